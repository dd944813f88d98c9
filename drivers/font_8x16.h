/* The letters of the framebuffer console. */
#pragma once

#include "kernel/base/types.h"

enum {
    FONT_WIDTH = 8,
    FONT_HEIGHT = 16,
    FONT_FIRST = ' ',
    FONT_LAST = '~',
    FONT_TOP = 2, /* empty lines above the rows that are stored */
    FONT_ROWS = 13,
};

/* A row is a byte, the leftmost pixel its highest bit. */
extern const uint8_t font_8x16[FONT_LAST - FONT_FIRST + 1][FONT_ROWS];

/* Row 0 to FONT_HEIGHT - 1 of any byte; what the font does not have is blank. */
static inline uint8_t font_row(uint8_t character, unsigned row)
{
    if (character < FONT_FIRST || character > FONT_LAST)
        return 0;
    if (row < FONT_TOP || row >= FONT_TOP + FONT_ROWS)
        return 0;
    return font_8x16[character - FONT_FIRST][row - FONT_TOP];
}
