/* Goal: the terminal does with its bytes what a VT100 does. Method: bytes in, the grid compared as
 * text. */
#include "drivers/terminal.h"

#include <string.h>

#include "tests/unit/test.h"

enum { COLUMNS = 10, ROWS = 3 };

struct screen_fake {
    struct terminal terminal;
    struct terminal_cell cells[COLUMNS * ROWS];
    char text[(COLUMNS + 1) * ROWS + 1];
};

/* The grid as lines, blanks at their ends left out. */
static const char *shown(struct screen_fake *screen)
{
    char *out = screen->text;
    for (unsigned row = 0; row < ROWS; row++) {
        char *end = out;
        for (unsigned column = 0; column < COLUMNS; column++) {
            out[column] = (char)screen->cells[row * COLUMNS + column].character;
            if (out[column] != ' ')
                end = out + column + 1;
        }
        *end = row + 1 < ROWS ? '\n' : '\0';
        out = end + 1;
    }
    return screen->text;
}

static const char *after(struct screen_fake *screen, const char *bytes)
{
    terminal_init(&screen->terminal, screen->cells, COLUMNS, ROWS);
    terminal_write(&screen->terminal, bytes, strlen(bytes));
    return shown(screen);
}

TEST(terminal_prints_lines)
{
    struct screen_fake screen;
    EXPECT_TEXT(after(&screen, "one\r\ntwo"), "one\ntwo\n");
    EXPECT_EQUAL(screen.terminal.row, 1);
    EXPECT_EQUAL(screen.terminal.column, 3);
}

TEST(terminal_scrolls_at_the_bottom)
{
    struct screen_fake screen;
    EXPECT_TEXT(after(&screen, "a\r\nb\r\nc\r\nd"), "b\nc\nd");
}

TEST(terminal_wraps_only_when_another_character_comes)
{
    struct screen_fake screen;
    EXPECT_TEXT(after(&screen, "0123456789\r\nx"), "0123456789\nx\n");
    EXPECT_TEXT(after(&screen, "0123456789x"), "0123456789\nx\n");
    EXPECT_TEXT(after(&screen, "0123456789\b."), "01234567.9\n\n");
}

TEST(terminal_tabs_stop_at_the_last_column)
{
    struct screen_fake screen;
    EXPECT_TEXT(after(&screen, "a\tb\t"), "a       b\n\n");
    EXPECT_EQUAL(screen.terminal.column, COLUMNS - 1);
}

TEST(terminal_rubs_out_as_line_editors_do)
{
    struct screen_fake screen;
    EXPECT_TEXT(after(&screen, "abc\b \b"), "ab\n\n");
    EXPECT_EQUAL(screen.terminal.column, 2);
    after(&screen, "\b\b");
    EXPECT_EQUAL(screen.terminal.column, 0);
}

TEST(terminal_moves_the_cursor_and_stops_at_the_edges)
{
    struct screen_fake screen;
    EXPECT_TEXT(after(&screen, "\033[2;3HX\033[A^\033[2B_\033[4D<"), "   ^\n  X\n <  _");
    after(&screen, "\033[999B\033[999C");
    EXPECT_EQUAL(screen.terminal.row, ROWS - 1);
    EXPECT_EQUAL(screen.terminal.column, COLUMNS - 1);
    after(&screen, "\033[9;99Hx\033[A\033[H");
    EXPECT_EQUAL(screen.terminal.row, 0);
    EXPECT_EQUAL(screen.terminal.column, 0);
    after(&screen, "\033[5A\033[5D");
    EXPECT_EQUAL(screen.terminal.row, 0);
    after(&screen, "\033[99999999999999999999C");
    EXPECT_EQUAL(screen.terminal.column, COLUMNS - 1);
}

TEST(terminal_erases)
{
    struct screen_fake screen;
    const char *fill = "aaaaaaaaaa\r\nbbbbbbbbbb\r\ncccccccccc\033[2;5H";
    char bytes[128];
    const struct {
        const char *sequence, *expected;
    } cases[] = {
        { "\033[K", "aaaaaaaaaa\nbbbb\ncccccccccc" },
        { "\033[1K", "aaaaaaaaaa\n     bbbbb\ncccccccccc" },
        { "\033[2K", "aaaaaaaaaa\n\ncccccccccc" },
        { "\033[J", "aaaaaaaaaa\nbbbb\n" },
        { "\033[1J", "\n     bbbbb\ncccccccccc" },
        { "\033[2J", "\n\n" },
        { "\033[7K\033[7J", "aaaaaaaaaa\nbbbbbbbbbb\ncccccccccc" },
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        strcpy(bytes, fill);
        strcat(bytes, cases[i].sequence);
        EXPECT_TEXT(after(&screen, bytes), cases[i].expected);
    }
}

TEST(terminal_colors_are_those_of_the_vga)
{
    struct screen_fake screen;
    after(&screen,
          "a\033[31mb\033[1mc\033[0;7md\033[me\033[34;43mf\033[39;49mg\033[92mh\033[7;22;27mi");
    static const uint8_t expected[] = { 0x07, 0x04, 0x0c, 0x70, 0x07, 0x61, 0x07, 0x0a, 0x0a };
    for (unsigned i = 0; i < ARRAY_COUNT(expected); i++)
        EXPECT_EQUAL(screen.cells[i].attribute, expected[i]);
}

TEST(terminal_swallows_what_it_does_not_know)
{
    struct screen_fake screen;
    EXPECT_TEXT(after(&screen, "a\033[?25lb\033(Bc\033Md\033[5 qe"), "abcde\n\n");
    EXPECT_TEXT(after(&screen, "\033[1;2;3;4;5;6;7;8;9;10;11mx\033[31\033[Ky"), "xy\n\n");
    EXPECT_TEXT(after(&screen, "\001\a\177\303\251"), "??\n\n");
}
