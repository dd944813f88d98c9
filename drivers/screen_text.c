/* The text mode of a VGA: 80 by 25 cells of two bytes at physical 0xb8000, character and attribute.
 * Source: IBM VGA registers as described in "FreeVGA"'s hardware reference, graphics and CRT
 * controllers. */
#include "drivers/screen.h"
#include "kernel/platform.h"

enum {
    TEXT_MEMORY = 0xb8000,
    TEXT_COLUMNS = 80,
    TEXT_ROWS = 25,
    CELL_BYTES = 2,
};

enum {
    GRAPHICS_INDEX_PORT = 0x3ce,
    GRAPHICS_DATA_PORT = 0x3cf,
    GRAPHICS_MISCELLANEOUS = 6,
    MISCELLANEOUS_MASK =
        0x0d, /* memory map select and graphics mode; "chain odd/even" may be either */
    MISCELLANEOUS_TEXT = 0x0c, /* map at 0xb8000, characters */
    CRT_INDEX_PORT = 0x3d4,    /* of colour adapters, which is what maps 0xb8000 */
    CRT_DATA_PORT = 0x3d5,
    CRT_START_HIGH = 0x0c,
    CRT_START_LOW = 0x0d,
    CRT_CURSOR_START = 0x0a,
    CURSOR_OFF = 1 << 5,
};

static void text_draw(const struct screen_surface *surface, unsigned row, unsigned column,
                      struct terminal_cell cell)
{
    volatile uint8_t *at = surface->memory + (row * TEXT_COLUMNS + column) * CELL_BYTES;
    mmio_write16(at, (uint16_t)(cell.attribute << 8 | cell.character));
}

static bool text_mode_on(void)
{
    port_write8(GRAPHICS_INDEX_PORT, GRAPHICS_MISCELLANEOUS);
    return (port_read8(GRAPHICS_DATA_PORT) & MISCELLANEOUS_MASK) == MISCELLANEOUS_TEXT;
}

static void crt_set(uint8_t index, uint8_t value)
{
    port_write8(CRT_INDEX_PORT, index);
    port_write8(CRT_DATA_PORT, value);
}

/* Memory behind the cells? */
static bool text_memory_there(volatile uint8_t *memory)
{
    static const uint16_t patterns[] = { 0x0755, 0x072a };
    for (unsigned i = 0; i < ARRAY_COUNT(patterns); i++) {
        mmio_write16(memory, patterns[i]);
        if (mmio_read16(memory) != patterns[i])
            return false;
    }
    return true;
}

struct screen_surface screen_text_surface(void)
{
    struct screen_surface surface = { .columns = 0 };

    if (!text_mode_on())
        return surface;
    surface.memory = mmio_map(TEXT_MEMORY, TEXT_COLUMNS * TEXT_ROWS * CELL_BYTES);
    if (!surface.memory || !text_memory_there(surface.memory))
        return surface;
    /* What firmware has scrolled away, it scrolled by moving the start. */
    crt_set(CRT_START_HIGH, 0);
    crt_set(CRT_START_LOW, 0);
    crt_set(CRT_CURSOR_START, CURSOR_OFF);
    surface.columns = TEXT_COLUMNS;
    surface.rows = TEXT_ROWS;
    surface.draw = text_draw;
    return surface;
}
