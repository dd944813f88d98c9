/* The screen console: keyboard in, terminal out.
 *
 *   write() -> terminal -> cells (wanted) --compare--> draw() only what differs -> shown
 *   Device memory is uncached and slow, so it is never read, and scrolling moves cells in RAM: most
 * of a scrolled page is blank before and after, and is not drawn again. */
#include "drivers/screen.h"

#include "drivers/keyboard.h"
#include "kernel/platform.h"

enum { WRITE_BYTES_MAX = 4096 }; /* of one call; so that a long listing shares the control core */

struct screen {
    struct console console;
    /* Set when created. */
    struct screen_surface surface;
    /* Owned by the control core. */
    struct terminal terminal;
    struct keyboard keyboard;
    struct terminal_cell *wanted; /* what terminal writes to */
    struct terminal_cell *shown;  /* what was drawn */
};

/* Swaps ink and paper, and leaves the brightness where it is visible: in the ink. */
static struct terminal_cell cell_reversed(struct terminal_cell cell)
{
    unsigned ink = cell.attribute & 7;
    unsigned paper = cell.attribute >> 4 & 7;
    cell.attribute = (uint8_t)((cell.attribute & 8) | ink << 4 | paper);
    return cell;
}

void screen_refresh(const struct screen_surface *surface, const struct terminal *terminal,
                    struct terminal_cell *shown)
{
    for (unsigned row = 0; row < terminal->rows; row++) {
        for (unsigned column = 0; column < terminal->columns; column++) {
            unsigned index = row * terminal->columns + column;
            struct terminal_cell cell = terminal->cells[index];
            if (row == terminal->row && column == terminal->column)
                cell = cell_reversed(cell);
            if (cell.character == shown[index].character &&
                cell.attribute == shown[index].attribute)
                continue;
            shown[index] = cell;
            surface->draw(surface, row, column, cell);
        }
    }
}

static size_t screen_read(struct console *console, char *out, size_t size)
{
    struct screen *screen = CONTAINER_OF(console, struct screen, console);
    return keyboard_read(&screen->keyboard, out, size);
}

static size_t screen_write(struct console *console, const char *text, size_t size)
{
    struct screen *screen = CONTAINER_OF(console, struct screen, console);
    size_t taken = MIN_OF(size, (size_t)WRITE_BYTES_MAX);

    terminal_write(&screen->terminal, text, taken);
    screen_refresh(&screen->surface, &screen->terminal, screen->shown);
    return taken;
}

static const struct console_ops screen_ops = { .read = screen_read, .write = screen_write };

static struct screen_surface surface_find(const struct screen_setup *setup)
{
    if (screen_framebuffer_valid(setup)) {
        volatile uint8_t *pixels =
            mmio_map(setup->address, (size_t)setup->pitch_bytes * setup->height);
        if (pixels)
            return screen_framebuffer_surface(setup, pixels);
    }
    return screen_text_surface();
}

struct console *screen_console_create(const struct screen_setup *setup)
{
    struct screen_surface surface = surface_find(setup);
    if (surface.columns == 0)
        return NULL;

    struct screen *screen = memory_alloc(sizeof(*screen), 0, MEMORY_DRIVER);
    if (!screen)
        return NULL;
    unsigned cell_count = surface.columns * surface.rows;
    screen->wanted = memory_alloc(2 * cell_count * sizeof(*screen->wanted), 0, MEMORY_DRIVER);
    if (!screen->wanted) {
        memory_free(screen);
        return NULL;
    }
    /* All zero: different from every cell a terminal makes, so the first refresh draws everything.
     */
    screen->shown = screen->wanted + cell_count;
    screen->surface = surface;
    screen->console = (struct console){ .ops = &screen_ops,
                                        .name = "vga",
                                        .columns = (uint16_t)surface.columns,
                                        .rows = (uint16_t)surface.rows,
                                        .screen = true };
    terminal_init(&screen->terminal, screen->wanted, surface.columns, surface.rows);
    keyboard_open(&screen->keyboard);
    screen_refresh(&screen->surface, &screen->terminal, screen->shown);
    return &screen->console;
}

void screen_console_destroy(struct console *console)
{
    if (!console)
        return;
    struct screen *screen = CONTAINER_OF(console, struct screen, console);
    keyboard_close(&screen->keyboard);
    memory_free(screen->wanted);
    memory_free(screen);
}
