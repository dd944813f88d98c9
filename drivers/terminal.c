/* A VT100 in memory: see the header. Source: ECMA-48, 5th edition, for the control functions; DEC
 * VT100 User Guide for the pending wrap and for where the cursor stops. */
#include "drivers/terminal.h"

enum { BEL = 7, BS = 8, TAB = 9, LF = 10, CR = 13, ESC = 27, DEL = 127 };
enum { TAB_COLUMNS = 8, COLOR_WHITE = 7, COLOR_BRIGHT = 8 };

static uint8_t terminal_attribute(const struct terminal *terminal)
{
    unsigned foreground = terminal->foreground;
    unsigned background = terminal->background;
    if (terminal->reverse) {
        foreground = terminal->background;
        background = terminal->foreground & COLOR_WHITE;
    }
    if (terminal->bold)
        foreground |= COLOR_BRIGHT;
    return (uint8_t)(background << 4 | foreground);
}

/* Erased cells take the background that is set, as terminals of today do. */
static void terminal_erase(struct terminal *terminal, unsigned from, unsigned to)
{
    struct terminal_cell blank = { ' ', terminal_attribute(terminal) };
    for (unsigned i = from; i < to; i++)
        terminal->cells[i] = blank;
}

static void terminal_line_feed(struct terminal *terminal)
{
    unsigned last = terminal->rows - 1;

    if (terminal->row < last) {
        terminal->row++;
        return;
    }
    unsigned kept = last * terminal->columns;
    for (unsigned i = 0; i < kept; i++)
        terminal->cells[i] = terminal->cells[i + terminal->columns];
    terminal_erase(terminal, kept, kept + terminal->columns);
}

static void terminal_put(struct terminal *terminal, uint8_t character)
{
    if (terminal->wrap_pending) {
        terminal->wrap_pending = false;
        terminal->column = 0;
        terminal_line_feed(terminal);
    }
    terminal->cells[terminal->row * terminal->columns + terminal->column] =
        (struct terminal_cell){ character, terminal_attribute(terminal) };
    if (terminal->column + 1 < terminal->columns)
        terminal->column++;
    else
        terminal->wrap_pending = true;
}

static void terminal_text_byte(struct terminal *terminal, uint8_t byte)
{
    switch (byte) {
    case ESC:
        terminal->state = TERMINAL_ESCAPE;
        return;
    case CR:
        terminal->column = 0;
        terminal->wrap_pending = false;
        return;
    case LF:
        terminal_line_feed(terminal);
        terminal->wrap_pending = false;
        return;
    case BS:
        if (terminal->column > 0)
            terminal->column--;
        terminal->wrap_pending = false;
        return;
    case TAB:
        terminal->column =
            MIN_OF((terminal->column / TAB_COLUMNS + 1) * TAB_COLUMNS, terminal->columns - 1);
        return;
    default:
        if (byte < ' ' || byte == DEL)
            return;
        terminal_put(terminal, byte > DEL ? '?' : byte);
    }
}

/* Parameter number index of the sequence; 0 and absent ones count as `absent` (ECMA-48, 5.4.2). */
static unsigned terminal_parameter(const struct terminal *terminal, unsigned index, unsigned absent)
{
    if (index >= terminal->parameter_count || terminal->parameters[index] == 0)
        return absent;
    return terminal->parameters[index];
}

/* SGR, ECMA-48 8.3.117. The VGA counts colours blue, green, red; ANSI the other way round. */
static void terminal_select_graphics(struct terminal *terminal, unsigned code)
{
    static const uint8_t vga_color[8] = { 0, 4, 2, 6, 1, 5, 3, 7 };

    if (code >= 30 && code <= 37)
        terminal->foreground = vga_color[code - 30];
    else if (code >= 90 && code <= 97)
        terminal->foreground = vga_color[code - 90] | COLOR_BRIGHT;
    else if (code >= 40 && code <= 47)
        terminal->background = vga_color[code - 40];
    else if (code == 0 || code == 39)
        terminal->foreground = COLOR_WHITE;

    if (code == 0 || code == 49)
        terminal->background = 0;
    if (code == 0 || code == 22)
        terminal->bold = false;
    if (code == 0 || code == 27)
        terminal->reverse = false;
    if (code == 1)
        terminal->bold = true;
    if (code == 7)
        terminal->reverse = true;
}

static void terminal_erase_line(struct terminal *terminal)
{
    unsigned start = terminal->row * terminal->columns;
    unsigned cursor = start + terminal->column;
    unsigned end = start + terminal->columns;

    switch (terminal_parameter(terminal, 0, 0)) {
    case 0:
        terminal_erase(terminal, cursor, end);
        return;
    case 1:
        terminal_erase(terminal, start, cursor + 1);
        return;
    case 2:
        terminal_erase(terminal, start, end);
        return;
    }
}

static void terminal_erase_screen(struct terminal *terminal)
{
    unsigned cursor = terminal->row * terminal->columns + terminal->column;
    unsigned end = terminal->rows * terminal->columns;

    switch (terminal_parameter(terminal, 0, 0)) {
    case 0:
        terminal_erase(terminal, cursor, end);
        return;
    case 1:
        terminal_erase(terminal, 0, cursor + 1);
        return;
    case 2:
        terminal_erase(terminal, 0, end);
        return;
    }
}

static void terminal_control(struct terminal *terminal, uint8_t final)
{
    unsigned count = terminal_parameter(terminal, 0, 1);

    if (final != 'm')
        terminal->wrap_pending = false;
    switch (final) {
    case 'A':
        terminal->row -= MIN_OF(count, terminal->row);
        return;
    case 'B':
        terminal->row = MIN_OF(terminal->row + count, terminal->rows - 1);
        return;
    case 'C':
        terminal->column = MIN_OF(terminal->column + count, terminal->columns - 1);
        return;
    case 'D':
        terminal->column -= MIN_OF(count, terminal->column);
        return;
    case 'H':
        terminal->row = MIN_OF(count, terminal->rows) - 1;
        terminal->column = MIN_OF(terminal_parameter(terminal, 1, 1), terminal->columns) - 1;
        return;
    case 'J':
        terminal_erase_screen(terminal);
        return;
    case 'K':
        terminal_erase_line(terminal);
        return;
    case 'm':
        for (unsigned i = 0; i < terminal->parameter_count; i++)
            terminal_select_graphics(terminal, terminal->parameters[i]);
        return;
    }
}

static void terminal_escape_byte(struct terminal *terminal, uint8_t byte)
{
    if (byte == '[') {
        terminal->state = TERMINAL_SEQUENCE;
        terminal->unknown = false;
        terminal->parameter_count = 1;
        terminal->parameters[0] = 0;
        return;
    }
    /* ECMA-48 5.3.2: intermediate bytes 0x20 to 0x2f may follow, then one final byte. */
    if (byte < 0x20 || byte > 0x2f)
        terminal->state = TERMINAL_TEXT;
}

/* ECMA-48 5.4: parameter bytes 0x30 to 0x3f, intermediate bytes 0x20 to 0x2f, final byte 0x40 to
 * 0x7e. */
static void terminal_sequence_byte(struct terminal *terminal, uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        if (terminal->parameter_count > TERMINAL_PARAMETER_COUNT_MAX)
            return;
        uint16_t *parameter = &terminal->parameters[terminal->parameter_count - 1];
        *parameter = (uint16_t)MIN_OF(*parameter * 10 + (byte - '0'), TERMINAL_PARAMETER_MAX);
        return;
    }
    if (byte == ';') {
        if (terminal->parameter_count < TERMINAL_PARAMETER_COUNT_MAX)
            terminal->parameters[terminal->parameter_count] = 0;
        if (terminal->parameter_count <= TERMINAL_PARAMETER_COUNT_MAX)
            terminal->parameter_count++;
        return;
    }
    if (byte == ESC) {
        terminal->state = TERMINAL_ESCAPE;
        return;
    }
    if (byte >= 0x20 && byte < 0x40) {
        terminal->unknown = true;
        return;
    }
    terminal->state = TERMINAL_TEXT;
    terminal->parameter_count = MIN_OF(terminal->parameter_count, TERMINAL_PARAMETER_COUNT_MAX);
    if (!terminal->unknown)
        terminal_control(terminal, byte);
}

void terminal_init(struct terminal *terminal, struct terminal_cell *cells, unsigned columns,
                   unsigned rows)
{
    CHECK(columns >= 1 && columns <= TERMINAL_COLUMNS_MAX);
    CHECK(rows >= 1 && rows <= TERMINAL_ROWS_MAX);
    *terminal = (struct terminal){
        .cells = cells, .columns = columns, .rows = rows, .foreground = COLOR_WHITE
    };
    terminal_erase(terminal, 0, columns * rows);
}

void terminal_write(struct terminal *terminal, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)bytes[i];
        switch (terminal->state) {
        case TERMINAL_TEXT:
            terminal_text_byte(terminal, byte);
            break;
        case TERMINAL_ESCAPE:
            terminal_escape_byte(terminal, byte);
            break;
        case TERMINAL_SEQUENCE:
            terminal_sequence_byte(terminal, byte);
            break;
        }
        DCHECK(terminal->row < terminal->rows);
        DCHECK(terminal->column < terminal->columns);
    }
}
