/* Cells drawn into a linear framebuffer of 24 or 32 bits a pixel. */
#include "drivers/font_8x16.h"
#include "drivers/screen.h"

enum {
    PIXELS_MAX = 16384, /* each way; larger says that the loader is wrong */
    PITCH_MAX_BYTES = 256 * 1024,
    BACKGROUND_SHIFT = 4,
    COLOR_MASK = 15,
    BACKGROUND_MASK = 7,
};

/* The VGA's 16 colours, red << 16 | green << 8 | blue. */
static const uint32_t palette[16] = {
    0x000000, 0x0000aa, 0x00aa00, 0x00aaaa, 0xaa0000, 0xaa00aa, 0xaa5500, 0xaaaaaa,
    0x555555, 0x5555ff, 0x55ff55, 0x55ffff, 0xff5555, 0xff55ff, 0xffff55, 0xffffff,
};

static void framebuffer_put(volatile uint8_t *at, uint32_t color, unsigned pixel_bytes)
{
    if (pixel_bytes == sizeof(uint32_t)) {
        *(volatile uint32_t *)(volatile void *)at = color;
        return;
    }
    for (unsigned i = 0; i < pixel_bytes; i++)
        at[i] = (uint8_t)(color >> (8 * i));
}

static void framebuffer_draw(const struct screen_surface *surface, unsigned row, unsigned column,
                             struct terminal_cell cell)
{
    uint32_t ink = surface->colors[cell.attribute & COLOR_MASK];
    uint32_t paper = surface->colors[cell.attribute >> BACKGROUND_SHIFT & BACKGROUND_MASK];
    volatile uint8_t *line = surface->memory + (size_t)row * FONT_HEIGHT * surface->pitch_bytes +
                             (size_t)column * FONT_WIDTH * surface->pixel_bytes;

    for (unsigned y = 0; y < FONT_HEIGHT; y++, line += surface->pitch_bytes) {
        unsigned bits = font_row(cell.character, y);
        for (unsigned x = 0; x < FONT_WIDTH; x++)
            framebuffer_put(line + x * surface->pixel_bytes,
                            bits >> (FONT_WIDTH - 1 - x) & 1 ? ink : paper, surface->pixel_bytes);
    }
}

bool screen_framebuffer_valid(const struct screen_setup *setup)
{
    unsigned bits = setup->bits_per_pixel;

    if (!setup->present || setup->text || setup->address == 0)
        return false;
    if (bits != 24 && bits != 32)
        return false;
    if (setup->width < FONT_WIDTH || setup->width > PIXELS_MAX)
        return false;
    if (setup->height < FONT_HEIGHT || setup->height > PIXELS_MAX)
        return false;
    if (setup->pitch_bytes < setup->width * (bits / 8) || setup->pitch_bytes > PITCH_MAX_BYTES)
        return false;
    /* A 32-bit pixel is written as one. */
    if (bits == 32 && (setup->pitch_bytes % 4 != 0 || setup->address % 4 != 0))
        return false;
    return setup->red_shift <= bits - 8 && setup->green_shift <= bits - 8 &&
           setup->blue_shift <= bits - 8;
}

struct screen_surface screen_framebuffer_surface(const struct screen_setup *setup,
                                                 volatile uint8_t *pixels)
{
    struct screen_surface surface = { .columns = 0 };

    if (!screen_framebuffer_valid(setup))
        return surface;
    surface.columns = MIN_OF(setup->width / FONT_WIDTH, (unsigned)TERMINAL_COLUMNS_MAX);
    surface.rows = MIN_OF(setup->height / FONT_HEIGHT, (unsigned)TERMINAL_ROWS_MAX);
    surface.draw = framebuffer_draw;
    surface.memory = pixels;
    surface.pitch_bytes = setup->pitch_bytes;
    surface.pixel_bytes = setup->bits_per_pixel / 8u;
    for (unsigned i = 0; i < ARRAY_COUNT(palette); i++)
        surface.colors[i] = (palette[i] >> 16 & 0xff) << setup->red_shift |
                            (palette[i] >> 8 & 0xff) << setup->green_shift |
                            (palette[i] & 0xff) << setup->blue_shift;
    return surface;
}
