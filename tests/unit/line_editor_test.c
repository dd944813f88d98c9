/* The line editor against a small terminal that knows BS, CR, LF and CSI A B C J: after every key
 * its screen must show the prompt and the line, with the cursor where it belongs. */
#include "shell/line_editor.h"

#include <string.h>

#include "tests/unit/test.h"

enum { COLUMNS = 20, ROWS = 80 };

static char screen[ROWS][COLUMNS];
static unsigned row, column;
static bool edge; /* behind the last column, not wrapped yet */
static bool wraps_at_once;
static unsigned number;
static enum { PLAIN, ESC, CSI } state;

static void line_feed(void)
{
    row++;
    EXPECT(row < ROWS);
}

static void show_letter(char c)
{
    if (edge) {
        edge = false;
        column = 0;
        line_feed();
    }
    screen[row][column] = c;
    if (++column < COLUMNS)
        return;
    if (wraps_at_once) {
        column = 0;
        line_feed();
    } else {
        column = COLUMNS - 1;
        edge = true;
    }
}

static void csi(char final)
{
    unsigned count = number ? number : 1;
    edge = false;
    if (final == 'A')
        row -= MIN_OF(count, row);
    else if (final == 'B')
        row += count;
    else if (final == 'C')
        column = MIN_OF(column + count, COLUMNS - 1u);
    else if (final == 'J')
        memset(&screen[row][column], ' ', sizeof(screen) - row * COLUMNS - column);
    else if (final == 'H')
        row = column = 0;
    else
        EXPECT(!"a sequence that we do not use");
}

static void terminal_byte(char c)
{
    if (state == ESC) {
        EXPECT(c == '[');
        state = CSI;
        number = 0;
    } else if (state == CSI && c >= '0' && c <= '9') {
        number = number * 10 + (unsigned)(c - '0');
    } else if (state == CSI) {
        state = PLAIN;
        csi(c);
    } else if (c == '\033') {
        state = ESC;
    } else if (c == '\r') {
        column = 0;
        edge = false;
    } else if (c == '\n') {
        column = 0;
        edge = false;
        line_feed();
    } else if (c == '\b') {
        column -= column > 0;
        edge = false;
    } else if (c != '\a') {
        EXPECT(c >= ' ' && c <= '~');
        show_letter(c);
    }
}

static void put(void *context, const char *bytes, size_t length)
{
    (void)context;
    for (size_t i = 0; i < length; i++)
        terminal_byte(bytes[i]);
}

static struct line_editor editor;

static void start(const char *prompt)
{
    memset(screen, ' ', sizeof(screen));
    row = column = 0;
    edge = false;
    state = PLAIN;
    editor_init(&editor, (struct sink){ .put = put }, COLUMNS);
    editor_start(&editor, prompt, false);
}

/* The screen shows what the editor believes. `top`: the row of the prompt. */
static void expect_screen(unsigned top)
{
    char wanted[ROWS * COLUMNS];
    memset(wanted, ' ', sizeof(wanted));
    memcpy(wanted, editor.prompt, editor.prompt_length);
    memcpy(wanted + editor.prompt_length, editor.line, editor.length);
    EXPECT(memcmp(wanted, screen[top], (ROWS - top) * COLUMNS) == 0);
    unsigned cell = editor.prompt_length + editor.cursor;
    unsigned shown = (row - top) * COLUMNS + column + (edge ? 1 : 0);
    EXPECT_EQUAL(shown, cell);
}

static enum editor_event type(const char *keys)
{
    enum editor_event event = EDITOR_NONE;
    for (; *keys; keys++)
        event = editor_key(&editor, *keys);
    return event;
}

static const char *line_after(const char *keys)
{
    start("# ");
    type(keys);
    expect_screen(0);
    return editor.line;
}

TEST(editor_edits_in_the_middle)
{
    EXPECT_TEXT(line_after("hello"), "hello");
    EXPECT_TEXT(line_after("helo\x02l"), "hello");     /* Ctrl-B */
    EXPECT_TEXT(line_after("ello\x01h"), "hello");     /* Ctrl-A */
    EXPECT_TEXT(line_after("hell\x01\x05o"), "hello"); /* Ctrl-E */
    EXPECT_TEXT(line_after("hllo\x01\x06"
                           "e"),
                "hello"); /* Ctrl-F */
    EXPECT_TEXT(line_after("hellox\x7f\x08"
                           "o"),
                "hello");                                      /* Delete, Backspace */
    EXPECT_TEXT(line_after("hello there\x17"), "hello ");      /* Ctrl-W */
    EXPECT_TEXT(line_after("xhello\x01\x04"), "hello");        /* Ctrl-D */
    EXPECT_TEXT(line_after("hello there\x01\x0b"), "");        /* Ctrl-K */
    EXPECT_TEXT(line_after("there hello\x15"), "");            /* Ctrl-U */
    EXPECT_TEXT(line_after("one two\x17\x01\x19"), "twoone "); /* Ctrl-Y */
    EXPECT_TEXT(line_after("hlelo\x02\x02\x02\x14"), "hello"); /* Ctrl-T */
    EXPECT_TEXT(line_after("ello\033[Hh\033[F!"), "hello!");
    EXPECT_TEXT(line_after("ello\033[1~h\033[4~!"), "hello!");
    EXPECT_TEXT(line_after("ab\033[D\033[3~\033OD\033OCc"), "ac");
    EXPECT_TEXT(line_after("one two\033b\033[1;5DX"), "oneX two");
    EXPECT_TEXT(line_after("one two\x01\033d\033f!"), " two!");
    EXPECT_TEXT(line_after("a\x16?b"), "a?b"); /* Ctrl-V */
    EXPECT_TEXT(line_after("\"?"), "\"?");
}

TEST(editor_keeps_the_screen_right_over_many_rows)
{
    for (unsigned variant = 0; variant < 2; variant++) {
        wraps_at_once = variant == 1;
        start("tsuji# ");
        uint64_t random = 7;
        static const char *const keys[] = { "a",     "bc",          "\x02",  "\x06", "\x01",
                                            "\x05",  "\x7f",        "\x04x", " ",    "\033[D",
                                            "\x17",  "\x0b",        "\x19",  "\x14", "word ",
                                            "\033b", "abcdefghijkl" };
        for (unsigned i = 0; i < 20000; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            unsigned choice = (unsigned)(random >> 33) % ARRAY_COUNT(keys);
            if (editor.length > 300)
                type("\x15");
            if (keys[choice][0] == '\x04' && editor.length == 0)
                continue; /* that would be the end */
            type(keys[choice]);
            expect_screen(0);
        }
    }
    wraps_at_once = false;
}

TEST(editor_walks_through_history)
{
    start("# ");
    editor_remember(&editor, "first", 5);
    editor_remember(&editor, "second", 6);
    editor_remember(&editor, "second", 6);
    EXPECT_EQUAL(editor.history_count, 2);
    type("dra\033[A");
    EXPECT_TEXT(editor.line, "second");
    type("\x10\x10");
    EXPECT_TEXT(editor.line, "first");
    type("\033[B\x0e");
    EXPECT_TEXT(editor.line, "dra");
    expect_screen(0);
}

TEST(editor_searches_in_history)
{
    start("# ");
    editor_remember(&editor, "show interfaces", 15);
    editor_remember(&editor, "show version", 12);
    editor_remember(&editor, "ping 1.2.3.4", 12);
    type("\x12sh");
    EXPECT_TEXT(editor.line, "show version");
    type("\x12");
    EXPECT_TEXT(editor.line, "show interfaces");
    EXPECT_EQUAL(type("\r"), EDITOR_LINE);
    EXPECT_TEXT(editor.line, "show interfaces");
    editor_start(&editor, "# ", false);
    type("\x12zzz\x7f\x7f\x7f\x07");
    EXPECT_TEXT(editor.line, "");
    EXPECT_TEXT(editor.prompt, "# ");
}

TEST(editor_forgets_the_oldest_history)
{
    start("# ");
    char line[1000];
    memset(line, 'x', sizeof(line));
    for (unsigned i = 0; i < 30; i++) {
        line[0] = (char)('a' + i % 26);
        editor_remember(&editor, line, sizeof(line) - 1);
    }
    EXPECT_EQUAL(editor.history_count, EDITOR_HISTORY_BYTES / 1000);
    EXPECT(editor_history(&editor, editor.history_count) != NULL);
    EXPECT(editor_history(&editor, editor.history_count + 1) == NULL);
}

TEST(editor_takes_one_line_end_for_cr_lf)
{
    start("# ");
    EXPECT_EQUAL(type("a\r"), EDITOR_LINE);
    editor_start(&editor, "# ", false);
    EXPECT_EQUAL(type("\n"), EDITOR_NONE);
    EXPECT_EQUAL(type("\n"), EDITOR_LINE);
}

TEST(editor_tells_what_is_not_editing)
{
    start("# ");
    EXPECT_EQUAL(type("x\t"), EDITOR_COMPLETE);
    EXPECT_EQUAL(type("?"), EDITOR_HELP);
    EXPECT_EQUAL(type("\x03"), EDITOR_CANCEL);
    editor_start(&editor, "# ", false);
    EXPECT_EQUAL(type("\x04"), EDITOR_END);
    editor_start(&editor, "# ", false);
    EXPECT_EQUAL(type("\x1a"), EDITOR_LEAVE);
}

TEST(editor_hides_a_secret)
{
    start("# ");
    editor_start(&editor, "password: ", true);
    unsigned at = column;
    type("s3cret?\x02x\033[A");
    EXPECT_EQUAL(column, at);
    EXPECT_TEXT(editor.line, "s3cretx?");
}
