/* What a VT100 does with the bytes it gets, on a grid of cells in memory. Pure: no device, no
 * allocation.
 *
 * Understood: printable ASCII, BEL BS TAB LF CR, and the sequences CSI n A B C D (move), CSI r;c H
 * (go), CSI n J and K (erase), CSI n;... m (colours, bold, reverse). Other sequences are swallowed
 * whole; other bytes print as '?'. */
#pragma once

#include "kernel/base/types.h"

enum {
    TERMINAL_COLUMNS_MAX = 240, /* 1,920 pixels; a wider screen stays empty at its right */
    TERMINAL_ROWS_MAX = 100,
    TERMINAL_PARAMETER_COUNT_MAX = 8, /* further ones of a sequence are ignored */
    TERMINAL_PARAMETER_MAX = 999,     /* larger ones count as this */
};

/* As the VGA has it in memory: foreground in bits 0 to 3, background in bits 4 to 6. */
struct terminal_cell {
    uint8_t character;
    uint8_t attribute;
};

enum { TERMINAL_ATTRIBUTE_NORMAL = 0x07 };

enum terminal_state { TERMINAL_TEXT, TERMINAL_ESCAPE, TERMINAL_SEQUENCE };

struct terminal {
    /* Set by terminal_init(). */
    struct terminal_cell *cells; /* rows * columns, the first row first */
    unsigned columns, rows;
    /* Changed by terminal_write(). */
    unsigned row, column; /* of the cursor */
    bool wrap_pending;    /* last column was written: the next character starts a new line */
    uint8_t foreground, background;
    bool bold, reverse;
    enum terminal_state state;
    bool unknown; /* the sequence has bytes we know nothing of: swallow it */
    unsigned parameter_count;
    uint16_t parameters[TERMINAL_PARAMETER_COUNT_MAX];
};

/* cells stay the caller's. 1 <= columns <= TERMINAL_COLUMNS_MAX, rows likewise. */
void terminal_init(struct terminal *terminal, struct terminal_cell *cells, unsigned columns,
                   unsigned rows);
void terminal_write(struct terminal *terminal, const char *bytes, size_t length);
