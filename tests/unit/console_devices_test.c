/* Goal: consoles work with their devices, and give up in bounded time where there is none. Method:
 * models of a 16550, an i8042 and a VGA behind the seam's ports and memory. */
#include "drivers/console_devices.h"

#include <string.h>

#include "drivers/font_8x16.h"
#include "drivers/screen.h"
#include "tests/host/host.h"
#include "tests/unit/test.h"

/* ---- A 16550 whose line can be stopped --------------------------------------------------------
 */

enum { COM1 = 0x3f8, COM1_IRQ = 4 };

struct uart {
    uint8_t registers[8];
    bool stopped; /* the transmit FIFO never empties */
    unsigned reads;
    size_t sent_count, waiting_at;
    char sent[64 * 1024];
    const char *waiting; /* input */
};

static uint64_t uart_read(void *context, uint64_t offset, unsigned size)
{
    struct uart *uart = context;
    bool ready = uart->waiting && uart->waiting[uart->waiting_at] != '\0';

    EXPECT_EQUAL(size, 1);
    uart->reads++;
    switch (offset) {
    case 0:
        return ready ? (uint8_t)uart->waiting[uart->waiting_at++] : 0;
    case 2:
        return ready ? 4 : 1;
    case 5:
        return (ready ? 1u : 0u) | (uart->stopped ? 0u : 0x60u);
    default:
        return uart->registers[offset];
    }
}

static void uart_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct uart *uart = context;

    EXPECT_EQUAL(size, 1);
    if (offset == 0 && !(uart->registers[3] & 0x80) && uart->sent_count < sizeof(uart->sent))
        uart->sent[uart->sent_count++] = (char)value;
    else
        uart->registers[offset] = (uint8_t)value;
}

static struct uart uart;

static struct console *uart_console(void)
{
    static struct device_model model = { &uart, uart_read, uart_write };
    host_attach_ports(COM1, sizeof(uart.registers), &model);
    struct console *console = serial_console_create(0);
    EXPECT(console != NULL);
    return console;
}

TEST(serial_absent_gives_no_console)
{
    EXPECT(serial_console_create(0) == NULL);
    EXPECT(serial_console_create(SERIAL_PORT_COUNT) == NULL);
}

TEST(serial_is_set_to_115200_8n1)
{
    struct console *console = uart_console();
    EXPECT_TEXT(console->name, "com1");
    EXPECT(!console->screen);
    EXPECT_EQUAL(uart.registers[3], 3);
    EXPECT_EQUAL(uart.registers[4], 0x0b);
    EXPECT_EQUAL(uart.registers[1], 1);
    serial_console_destroy(console);
    EXPECT_EQUAL(uart.registers[1], 0);
}

TEST(serial_gives_back_what_was_typed)
{
    char typed[64];
    struct console *console = uart_console();
    uart.waiting = "show version\r";
    host_pin(COM1_IRQ);
    size_t length = console->ops->read(console, typed, 4);
    length += console->ops->read(console, typed + length, sizeof(typed) - length);
    EXPECT_EQUAL(length, 13);
    EXPECT(memcmp(typed, "show version\r", length) == 0);
    serial_console_destroy(console);
}

/* A paste of 4000 bytes, one interrupt, and a reader that takes seven at a time. */
TEST(serial_loses_nothing_of_a_paste)
{
    char paste[4001], typed[sizeof(paste)];
    struct console *console = uart_console();
    for (unsigned i = 0; i < sizeof(paste) - 1; i++)
        paste[i] = (char)('a' + i % 25);
    paste[sizeof(paste) - 1] = '\0';
    uart.waiting = paste;
    host_pin(COM1_IRQ);
    size_t length = 0, taken;
    while ((taken = console->ops->read(console, typed + length, 7)) > 0)
        length += taken;
    EXPECT_EQUAL(length, sizeof(paste) - 1);
    EXPECT(memcmp(typed, paste, length) == 0);
    serial_console_destroy(console);
}

TEST(serial_leaves_the_port_alone_until_its_interrupt)
{
    char typed[64];
    struct console *console = uart_console();
    (void)console->ops->read(console, typed, sizeof(typed));
    unsigned before = uart.reads;
    for (unsigned i = 0; i < 100; i++)
        EXPECT_EQUAL(console->ops->read(console, typed, sizeof(typed)), 0);
    EXPECT_EQUAL(uart.reads, before);
    uart.waiting = "x";
    host_pin(COM1_IRQ);
    EXPECT_EQUAL(console->ops->read(console, typed, sizeof(typed)), 1);
    serial_console_destroy(console);
}

TEST(serial_write_never_waits_and_loses_nothing)
{
    static char text[20000];
    char typed[1];
    struct console *console = uart_console();
    for (unsigned i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    uart.stopped = true;
    size_t taken = console->ops->write(console, text, sizeof(text));
    EXPECT_EQUAL(taken, 16 * 1024);
    EXPECT_EQUAL(console->ops->write(console, text + taken, 1), 0);
    EXPECT_EQUAL(uart.sent_count, 0);
    EXPECT_EQUAL(uart.registers[1], 3); /* asks to be told when there is room */

    uart.stopped = false;
    for (unsigned i = 0; i < 64 && uart.sent_count < taken; i++) {
        host_pin(COM1_IRQ);
        (void)console->ops->read(console, typed, sizeof(typed));
    }
    EXPECT_EQUAL(uart.sent_count, taken);
    EXPECT(memcmp(uart.sent, text, taken) == 0);
    EXPECT_EQUAL(uart.registers[1], 1);
    serial_console_destroy(console);
}

TEST(serial_without_memory_gives_no_console)
{
    static struct device_model model = { &uart, uart_read, uart_write };
    host_attach_ports(COM1, sizeof(uart.registers), &model);
    host_fail_allocation(0);
    EXPECT(serial_console_create(0) == NULL);
}

/* ---- An i8042 with a keyboard ------------------------------------------------------------------
 */

struct i8042 {
    bool mute;
    uint8_t configuration, command;
    unsigned at, count;
    uint8_t waiting[64];
};

static void i8042_answer(struct i8042 *controller, uint8_t byte)
{
    EXPECT(controller->count < sizeof(controller->waiting));
    controller->waiting[controller->count++] = byte;
}

static uint64_t i8042_read(void *context, uint64_t offset, unsigned size)
{
    struct i8042 *controller = context;
    bool full = controller->at < controller->count;

    EXPECT_EQUAL(size, 1);
    if (offset == 4)
        return full;
    return full ? controller->waiting[controller->at++] : 0;
}

static void i8042_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8042 *controller = context;

    EXPECT_EQUAL(size, 1);
    if (controller->mute)
        return;
    if (offset == 4) {
        controller->command = (uint8_t)value;
        if (value == 0x20)
            i8042_answer(controller, controller->configuration);
        return;
    }
    if (controller->command == 0x60)
        controller->configuration = (uint8_t)value;
    else
        i8042_answer(controller, 0xfa);
    controller->command = 0;
}

static struct i8042 i8042 = { .configuration = 0x30 };

static void i8042_attach(void)
{
    static struct device_model model = { &i8042, i8042_read, i8042_write };
    host_attach_ports(0x60, 5, &model);
}

/* ---- A VGA -------------------------------------------------------------------------------------
 */

enum { VGA_MEMORY = 0xb8000, CELLS = 80 * 25 };

struct vga {
    uint8_t graphics_index, graphics_miscellaneous;
    uint8_t crt_index, crt[32];
};

static uint64_t vga_read(void *context, uint64_t offset, unsigned size)
{
    struct vga *vga = context;
    EXPECT_EQUAL(size, 1);
    return offset == 1 && vga->graphics_index == 6 ? vga->graphics_miscellaneous : 0xff;
}

static void vga_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = context;
    EXPECT_EQUAL(size, 1);
    if (offset == 0)
        vga->graphics_index = (uint8_t)value;
    if (offset == 6)
        vga->crt_index = (uint8_t)value;
    if (offset == 7)
        vga->crt[vga->crt_index % sizeof(vga->crt)] = (uint8_t)value;
}

static struct vga vga = { .graphics_miscellaneous = 0x0e };
static uint16_t vga_cells[CELLS];

static void vga_attach(void)
{
    static struct device_model model = { &vga, vga_read, vga_write };
    host_attach_ports(0x3ce, 8, &model);
    host_attach_memory(VGA_MEMORY, sizeof(vga_cells), vga_cells);
}

static const struct screen_setup no_setup = { .present = false };

TEST(screen_absent_gives_no_console)
{
    EXPECT(screen_console_create(&no_setup) == NULL);
}

TEST(screen_in_graphics_mode_is_no_text_screen)
{
    vga_attach();
    vga.graphics_miscellaneous = 0x05;
    EXPECT(screen_console_create(&no_setup) == NULL);
}

TEST(screen_shows_text_on_a_vga)
{
    vga_attach();
    struct console *console = screen_console_create(&no_setup);
    EXPECT(console != NULL);
    EXPECT(console->screen);
    EXPECT_EQUAL(console->columns, 80);
    EXPECT_EQUAL(console->rows, 25);
    EXPECT_EQUAL(vga_cells[0], 0x7000 | ' '); /* the cursor */
    EXPECT_EQUAL(vga_cells[CELLS - 1], 0x0700 | ' ');
    EXPECT_EQUAL(console->ops->write(console, "hi\033[31m!", 8), 8);
    EXPECT_EQUAL(vga_cells[0], 0x0700 | 'h');
    EXPECT_EQUAL(vga_cells[1], 0x0700 | 'i');
    EXPECT_EQUAL(vga_cells[2], 0x0400 | '!');
    EXPECT_EQUAL(vga_cells[3], 0x7000 | ' ');
    screen_console_destroy(console);
}

TEST(screen_reads_its_keyboard)
{
    char typed[16];
    vga_attach();
    i8042_attach();
    struct console *console = screen_console_create(&no_setup);
    EXPECT(console != NULL);
    EXPECT_EQUAL(i8042.configuration & 0x53,
                 0x41); /* its interrupt, its clock, translation; no mouse */
    i8042_answer(&i8042, 0x1e);
    i8042_answer(&i8042, 0xe0);
    i8042_answer(&i8042, 0x48);
    host_pin(1);
    size_t length = console->ops->read(console, typed, 2);
    EXPECT_EQUAL(length, 2);
    length += console->ops->read(console, typed + length, sizeof(typed) - length);
    EXPECT_EQUAL(length, 4);
    EXPECT(memcmp(typed, "a\033[A", 4) == 0);
    screen_console_destroy(console);
}

TEST(screen_without_an_answering_keyboard_still_shows)
{
    char typed[16];
    vga_attach();
    i8042_attach();
    i8042.mute = true;
    struct console *console = screen_console_create(&no_setup);
    EXPECT(console != NULL);
    EXPECT_EQUAL(console->ops->read(console, typed, sizeof(typed)), 0);
    screen_console_destroy(console);
}

TEST(screen_survives_every_failed_allocation)
{
    vga_attach();
    for (uint64_t n = 0; n < 2; n++) {
        host_fail_allocation(n);
        EXPECT(screen_console_create(&no_setup) == NULL);
    }
}

/* ---- Pixels ------------------------------------------------------------------------------------
 */

enum { WIDTH = 100, HEIGHT = 40, PIXELS_ADDRESS = 0x80000000 };

static uint32_t color_at(const uint8_t *pixels, const struct screen_setup *setup, unsigned x,
                         unsigned y)
{
    uint32_t color = 0;
    unsigned bytes = setup->bits_per_pixel / 8u;
    memcpy(&color, pixels + y * setup->pitch_bytes + x * bytes, bytes);
    return color;
}

TEST(screen_draws_letters_in_pixels)
{
    static uint8_t pixels[(WIDTH * 4 + 16) * HEIGHT];
    for (unsigned bits = 24; bits <= 32; bits += 8) {
        struct screen_setup setup = { .present = true,
                                      .address = PIXELS_ADDRESS,
                                      .pitch_bytes = WIDTH * bits / 8 + 16,
                                      .width = WIDTH,
                                      .height = HEIGHT,
                                      .bits_per_pixel = (uint8_t)bits,
                                      .red_shift = 16,
                                      .green_shift = 8,
                                      .blue_shift = 0 };
        memset(pixels, 0xee, sizeof(pixels));
        host_detach_all();
        host_attach_memory(PIXELS_ADDRESS, sizeof(pixels), pixels);
        struct console *console = screen_console_create(&setup);
        EXPECT(console != NULL);
        EXPECT_EQUAL(console->columns, 12);
        EXPECT_EQUAL(console->rows, 2);
        EXPECT_EQUAL(console->ops->write(console, "\n \033[32mR", 8), 8);
        for (unsigned y = 0; y < FONT_HEIGHT; y++)
            for (unsigned x = 0; x < FONT_WIDTH; x++)
                EXPECT_EQUAL(color_at(pixels, &setup, FONT_WIDTH + x, FONT_HEIGHT + y),
                             font_row('R', y) & 0x80 >> x ? 0x00aa00 : 0);
        EXPECT_EQUAL(color_at(pixels, &setup, 2 * FONT_WIDTH, FONT_HEIGHT), 0xaaaaaa); /* cursor */
        EXPECT_EQUAL(color_at(pixels, &setup, 12 * FONT_WIDTH, 0) & 0xff,
                     0xee); /* beyond the cells */
        screen_console_destroy(console);
    }
}

TEST(screen_believes_no_impossible_framebuffer)
{
    const struct screen_setup good = { .present = true,
                                       .address = PIXELS_ADDRESS,
                                       .pitch_bytes = 4096,
                                       .width = 1024,
                                       .height = 768,
                                       .bits_per_pixel = 32,
                                       .red_shift = 16 };
    struct screen_setup bad[10];
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        bad[i] = good;
    bad[0].present = false;
    bad[1].text = true;
    bad[2].address = 0;
    bad[3].bits_per_pixel = 16;
    bad[4].width = 7;
    bad[5].width = 20000;
    bad[6].height = 0;
    bad[7].pitch_bytes = 4092;
    bad[8].pitch_bytes = 4097;
    bad[9].red_shift = 25;
    EXPECT(screen_framebuffer_valid(&good));
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        EXPECT(!screen_framebuffer_valid(&bad[i]));
}

TEST(font_has_a_picture_for_every_character)
{
    for (unsigned character = FONT_FIRST + 1; character <= FONT_LAST; character++) {
        unsigned ink = 0;
        for (unsigned row = 0; row < FONT_HEIGHT; row++)
            ink |= font_row((uint8_t)character, row);
        EXPECT(ink != 0);
        EXPECT_EQUAL(ink & 1, 0); /* the gap between letters */
        for (unsigned other = FONT_FIRST; other < character; other++)
            EXPECT(memcmp(font_8x16[other - FONT_FIRST], font_8x16[character - FONT_FIRST],
                          FONT_ROWS) != 0);
    }
    EXPECT_EQUAL(font_row(200, 8), 0);
}
