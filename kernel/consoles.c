/* Joins the consoles of drivers/ to the terminals that the shell wants: neither knows the other. */
#include "kernel/consoles.h"

#include "drivers/console_devices.h"
#include "kernel/base/log.h"
#include "kernel/base/text.h"
#include "kernel/panic.h"

static struct {
    struct console *console;
    struct terminal_io terminal;
} consoles[CONSOLE_KIND_COUNT];

static size_t console_read(void *context, char *out, size_t size)
{
    struct console *console = context;
    return console->ops->read(console, out, size);
}

static size_t console_write(void *context, const char *text, size_t size)
{
    struct console *console = context;
    return console->ops->write(console, text, size);
}

static void add_console(enum console_kind kind, struct console *console)
{
    if (!console)
        return;
    consoles[kind].console = console;
    consoles[kind].terminal = (struct terminal_io){
        .read = console_read,
        .write = console_write,
        .context = console,
        .name = console->name,
        .kind = kind,
        .columns = console->columns,
        .rows = console->screen ? console->rows : 0,
    };
}

/* A screen takes all at once, so a panic may write to it as anybody else does. */
static void screen_panic_write(const char *text, size_t length)
{
    struct console *screen = consoles[CONSOLE_VGA].console;
    (void)screen->ops->write(screen, text, length);
}

static void create_screen(const struct boot_framebuffer *found)
{
    struct screen_setup setup = {
        .present = found->present,
        .text = found->text,
        .address = found->address,
        .pitch_bytes = found->pitch_bytes,
        .width = found->width,
        .height = found->height,
        .bits_per_pixel = found->bits_per_pixel,
        .red_shift = found->red_shift,
        .green_shift = found->green_shift,
        .blue_shift = found->blue_shift,
    };

    add_console(CONSOLE_VGA, screen_console_create(&setup));
    if (consoles[CONSOLE_VGA].console)
        panic_set_screen(screen_panic_write);
    else
        log_warning("console", "no screen: console=vga is ignored");
}

void consoles_create(const struct boot_info *info)
{
    bool screen = boot_option_is(info, "console", "vga");

    if (boot_option_is(info, "console", "com1") || !screen)
        add_console(CONSOLE_COM1, serial_console_create(0));
    if (screen)
        create_screen(&info->framebuffer);
}

void consoles_open_sessions(struct shell *shell)
{
    for (unsigned kind = 0; kind < CONSOLE_KIND_COUNT; kind++) {
        if (!consoles[kind].console)
            continue;
        enum error error = shell_open(shell, &consoles[kind].terminal);
        if (error != OK)
            log_error("console", "%s: no session: %s", consoles[kind].console->name,
                      error_text(error));
    }
}

void consoles_print(const char *format, ...)
{
    char line[512];
    struct text text = text_of(line, sizeof(line));
    va_list args;

    va_start(args, format);
    text_print_args(&text, format, args);
    va_end(args);
    for (unsigned kind = 0; kind < CONSOLE_KIND_COUNT; kind++) {
        struct console *console = consoles[kind].console;
        if (console)
            (void)console->ops->write(console, text.start, text.length);
    }
}
