/* The terminal shows the prompt and the line as one string that wraps at its right edge; `at` says
 * on which cell of that string its cursor is. Moving is arithmetic on cells:
 *
 *   cell:   0 .. prompt_length - 1 | prompt_length + index in the line
 *   row:    cell / columns           column: cell % columns
 *
 * Behind a character in the last column terminals differ: some wrap at once, most wait for the next
 * character. So before any movement from there we print a space and CR, which ends in the same
 * place on all. */
#include "shell/line_editor.h"

#include <string.h>

#include "kernel/base/text.h"

enum escape_state { ESCAPE_NONE, ESCAPE_BEGUN, ESCAPE_CSI, ESCAPE_SS3 };

enum key {
    CTRL_A = 1,
    CTRL_B = 2,
    CTRL_C = 3,
    CTRL_D = 4,
    CTRL_E = 5,
    CTRL_F = 6,
    CTRL_G = 7,
    BACKSPACE = 8,
    TAB = 9,
    LINE_FEED = 10,
    CTRL_K = 11,
    CTRL_L = 12,
    RETURN = 13,
    CTRL_N = 14,
    CTRL_P = 16,
    CTRL_R = 18,
    CTRL_T = 20,
    CTRL_U = 21,
    CTRL_V = 22,
    CTRL_W = 23,
    CTRL_Y = 25,
    CTRL_Z = 26,
    ESCAPE = 27,
    DELETE = 127,
};

/* ---- The screen ----------------------------------------------------------------------------- */

static void put(struct line_editor *editor, const char *text, size_t length)
{
    sink_put(&editor->screen, text, length);
}

static void bell(struct line_editor *editor)
{
    put(editor, "\a", 1);
}

/* Characters at the terminal's cursor. */
static void show(struct line_editor *editor, const char *text, unsigned length)
{
    if (length == 0)
        return;
    put(editor, text, length);
    editor->at += length;
    editor->at_edge = editor->at % editor->columns == 0;
}

static void leave_edge(struct line_editor *editor)
{
    if (editor->at_edge)
        put(editor, " \r", 2);
    editor->at_edge = false;
}

static void move_rows(struct line_editor *editor, unsigned from, unsigned to)
{
    if (to < from)
        sink_print(&editor->screen, "\033[%uA", from - to);
    if (to > from)
        sink_print(&editor->screen, "\033[%uB", to - from);
}

static void move_to(struct line_editor *editor, unsigned cell)
{
    if (cell == editor->at)
        return;
    leave_edge(editor);
    unsigned row = cell / editor->columns, column = cell % editor->columns;
    unsigned row_now = editor->at / editor->columns, column_now = editor->at % editor->columns;
    move_rows(editor, row_now, row);
    if (column < column_now && column_now - column <= 4) {
        put(editor, "\b\b\b\b", column_now - column);
    } else if (column < column_now || column - column_now > 4) {
        put(editor, "\r", 1);
        if (column > 0)
            sink_print(&editor->screen, "\033[%uC", column);
    } else if (column > column_now) {
        sink_print(&editor->screen, "\033[%uC", column - column_now);
    }
    editor->at = cell;
}

static unsigned cell_of(const struct line_editor *editor, unsigned index)
{
    return editor->prompt_length + index;
}

static void move_to_cursor(struct line_editor *editor)
{
    if (!editor->hidden)
        move_to(editor, cell_of(editor, editor->cursor));
}

/* The line from `index` on is new; `shorter`: what stood behind it must go. */
static void show_from(struct line_editor *editor, unsigned index, bool shorter)
{
    if (editor->hidden)
        return;
    move_to(editor, cell_of(editor, index));
    show(editor, editor->line + index, editor->length - index);
    if (shorter) {
        leave_edge(editor);
        put(editor, "\033[J", 3);
    }
    move_to_cursor(editor);
}

void editor_resume(struct line_editor *editor)
{
    editor->at = 0;
    editor->at_edge = false;
    show(editor, editor->prompt, editor->prompt_length);
    if (editor->hidden)
        return;
    show(editor, editor->line, editor->length);
    move_to_cursor(editor);
}

void editor_suspend(struct line_editor *editor)
{
    if (!editor->hidden)
        move_to(editor, cell_of(editor, editor->length));
    put(editor, "\n", 1);
}

void editor_wipe(struct line_editor *editor)
{
    move_to(editor, 0);
    put(editor, "\r\033[J", 4);
}

static void set_prompt(struct line_editor *editor, const char *prompt)
{
    text_format(editor->prompt, sizeof(editor->prompt), "%s", prompt);
    editor->prompt_length = (unsigned)strlen(editor->prompt);
}

static void clear_line(struct line_editor *editor)
{
    editor->length = editor->cursor = 0;
    editor->line[0] = '\0';
    editor->loss = LOSS_NONE;
}

void editor_init(struct line_editor *editor, struct sink screen, unsigned columns)
{
    memset(editor, 0, sizeof(*editor));
    editor->screen = screen;
    editor->columns = MAX_OF(columns, (unsigned)EDITOR_COLUMNS_MIN);
}

void editor_start(struct line_editor *editor, const char *prompt, bool hidden)
{
    clear_line(editor);
    editor->hidden = hidden;
    editor->history_back = 0;
    editor->searching = false;
    editor->literal = false;
    editor->escape = ESCAPE_NONE;
    set_prompt(editor, prompt);
    editor_resume(editor);
}

/* ---- Changing the line ------------------------------------------------------------------------
 */

void editor_insert(struct line_editor *editor, const char *text, unsigned length)
{
    if (length > LINE_BYTES_MAX - editor->length) {
        editor->loss = LOSS_TOO_LONG;
        bell(editor);
        return;
    }
    char *here = editor->line + editor->cursor;
    memmove(here + length, here, editor->length - editor->cursor + 1);
    memcpy(here, text, length);
    unsigned from = editor->cursor;
    editor->length += length;
    editor->cursor += length;
    show_from(editor, from, false);
}

static void remove_range(struct line_editor *editor, unsigned from, unsigned to, bool keep)
{
    if (from == to)
        return;
    if (keep && !editor->hidden) {
        memcpy(editor->killed, editor->line + from, to - from);
        editor->killed[to - from] = '\0';
    }
    memmove(editor->line + from, editor->line + to, editor->length - to + 1);
    editor->length -= to - from;
    if (editor->length == 0)
        editor->loss = LOSS_NONE;
    editor->cursor = from;
    show_from(editor, from, true);
}

static void set_line(struct line_editor *editor, const char *line)
{
    editor->length = (unsigned)text_format(editor->line, sizeof(editor->line), "%s", line);
    editor->length = MIN_OF(editor->length, (unsigned)LINE_BYTES_MAX);
    editor->cursor = editor->length;
    editor->loss = LOSS_NONE;
    show_from(editor, 0, true);
}

static unsigned word_left(const struct line_editor *editor)
{
    unsigned at = editor->cursor;
    while (at > 0 && editor->line[at - 1] == ' ')
        at--;
    while (at > 0 && editor->line[at - 1] != ' ')
        at--;
    return at;
}

static unsigned word_right(const struct line_editor *editor)
{
    unsigned at = editor->cursor;
    while (at < editor->length && editor->line[at] == ' ')
        at++;
    while (at < editor->length && editor->line[at] != ' ')
        at++;
    return at;
}

static void move_cursor(struct line_editor *editor, unsigned index)
{
    editor->cursor = MIN_OF(index, editor->length);
    move_to_cursor(editor);
}

/* The two characters before the cursor change places. */
static void swap_letters(struct line_editor *editor)
{
    unsigned second = editor->cursor == editor->length ? editor->cursor - 1 : editor->cursor;
    if (editor->length < 2 || editor->cursor == 0 || second == 0)
        return;
    char letter = editor->line[second];
    editor->line[second] = editor->line[second - 1];
    editor->line[second - 1] = letter;
    editor->cursor = second + 1;
    show_from(editor, second - 1, false);
}

/* ---- History ----------------------------------------------------------------------------------
 */

const char *editor_history(const struct line_editor *editor, unsigned back)
{
    if (back == 0 || back > editor->history_count)
        return NULL;
    const char *line = editor->history;
    for (unsigned i = editor->history_count; i > back; i--)
        line += strlen(line) + 1;
    return line;
}

void editor_remember(struct line_editor *editor, const char *line, unsigned length)
{
    const char *newest = editor_history(editor, 1);
    bool same = newest && strlen(newest) == length && memcmp(newest, line, length) == 0;
    if (length == 0 || same)
        return;
    while (EDITOR_HISTORY_BYTES - editor->history_length < length + 1) {
        unsigned oldest = (unsigned)strlen(editor->history) + 1;
        editor->history_length -= oldest;
        editor->history_count--;
        memmove(editor->history, editor->history + oldest, editor->history_length);
    }
    memcpy(editor->history + editor->history_length, line, length);
    editor->history[editor->history_length + length] = '\0';
    editor->history_length += length + 1;
    editor->history_count++;
}

void editor_forget(struct line_editor *editor)
{
    editor->history_length = editor->history_count = 0;
    memset(editor->history, 0, sizeof(editor->history));
    memset(editor->killed, 0, sizeof(editor->killed));
}

static void go_back(struct line_editor *editor, unsigned back)
{
    const char *line = back == 0 ? editor->draft : editor_history(editor, back);
    if (editor->hidden || !line) {
        bell(editor);
        return;
    }
    if (editor->history_back == 0)
        memcpy(editor->draft, editor->line, editor->length + 1);
    editor->history_back = back;
    set_line(editor, line);
}

static bool contains(const char *line, const char *pattern, size_t length)
{
    for (; strlen(line) >= length; line++) {
        if (memcmp(line, pattern, length) == 0)
            return true;
    }
    return false;
}

/* Looks for the pattern from the back-th newest line on, and shows what it found. */
static void search(struct line_editor *editor, unsigned back)
{
    const char *line;
    while ((line = editor_history(editor, back)) != NULL &&
           !contains(line, editor->pattern, editor->pattern_length))
        back++;
    char prompt[EDITOR_PROMPT_MAX];
    text_format(prompt, sizeof(prompt), "%s`%s': ", line ? "search " : "nothing like ",
                editor->pattern);
    editor_wipe(editor);
    set_prompt(editor, prompt);
    if (line) {
        editor->history_back = back;
        editor->length = (unsigned)text_format(editor->line, sizeof(editor->line), "%s", line);
        editor->cursor = editor->length;
    }
    editor_resume(editor);
}

/* The prompt that the search replaced is kept in the draft's place, which a search does not need.
 */
static void search_begin(struct line_editor *editor)
{
    if (editor->hidden)
        return;
    editor->searching = true;
    text_format(editor->draft, sizeof(editor->draft), "%s", editor->prompt);
    editor->pattern_length = 0;
    editor->pattern[0] = '\0';
    search(editor, 1);
}

static void search_end(struct line_editor *editor)
{
    editor->searching = false;
    editor_wipe(editor);
    set_prompt(editor, editor->draft);
    memcpy(editor->draft, editor->line, editor->length + 1);
    editor_resume(editor);
}

/* True: the key belonged to the search. */
static bool search_key(struct line_editor *editor, char key)
{
    unsigned length = editor->pattern_length;
    if (key == CTRL_R) {
        search(editor, editor->history_back + 1);
    } else if (key == BACKSPACE || key == DELETE) {
        editor->pattern_length = length > 0 ? length - 1 : 0;
        editor->pattern[editor->pattern_length] = '\0';
        search(editor, 1);
    } else if (key >= ' ' && key <= '~' && length + 1 < sizeof(editor->pattern)) {
        editor->pattern[length] = key;
        editor->pattern[++editor->pattern_length] = '\0';
        search(editor, MAX_OF(editor->history_back, 1u));
    } else if (key == CTRL_G) {
        clear_line(editor);
        search_end(editor);
    } else {
        search_end(editor);
        return false;
    }
    return true;
}

/* ---- Keys -------------------------------------------------------------------------------------
 */

static bool inside_quotes(const struct line_editor *editor)
{
    bool inside = false;
    for (unsigned i = 0; i < editor->cursor; i++) {
        if (inside && editor->line[i] == '\\')
            i++;
        else if (editor->line[i] == '"')
            inside = !inside;
    }
    return inside;
}

static void letter_key(struct line_editor *editor, char key)
{
    if (key >= ' ' && key <= '~')
        editor_insert(editor, &key, 1);
    else
        bell(editor);
    if ((unsigned char)key >= 0x80)
        editor->loss = LOSS_NOT_ASCII;
}

static void arrow_key(struct line_editor *editor, char key)
{
    switch (key) {
    case 'A':
        go_back(editor, editor->history_back + 1);
        break;
    case 'B':
        if (editor->history_back > 0)
            go_back(editor, editor->history_back - 1);
        break;
    case 'C':
        move_cursor(editor, editor->cursor + 1);
        break;
    case 'D':
        move_cursor(editor, editor->cursor - (editor->cursor > 0));
        break;
    case 'H':
        move_cursor(editor, 0);
        break;
    case 'F':
        move_cursor(editor, editor->length);
        break;
    default:
        break;
    }
}

/* CSI n ~: Home 1 or 7, Delete 3, End 4 or 8. */
static void numbered_key(struct line_editor *editor, unsigned number)
{
    if (number == 1 || number == 7)
        move_cursor(editor, 0);
    else if (number == 4 || number == 8)
        move_cursor(editor, editor->length);
    else if (number == 3 && editor->cursor < editor->length)
        remove_range(editor, editor->cursor, editor->cursor + 1, false);
}

static void alt_key(struct line_editor *editor, char key)
{
    if (key == 'b')
        move_cursor(editor, word_left(editor));
    else if (key == 'f')
        move_cursor(editor, word_right(editor));
    else if (key == 'd')
        remove_range(editor, editor->cursor, word_right(editor), true);
    else if (key == DELETE || key == BACKSPACE)
        remove_range(editor, word_left(editor), editor->cursor, true);
}

/* The bytes behind ESC. */
static void escape_byte(struct line_editor *editor, char byte)
{
    enum escape_state state = (enum escape_state)editor->escape;
    editor->escape = ESCAPE_NONE;
    if (state == ESCAPE_BEGUN && (byte == '[' || byte == 'O')) {
        editor->escape = byte == '[' ? ESCAPE_CSI : ESCAPE_SS3;
        editor->parameter = 0;
    } else if (state == ESCAPE_BEGUN) {
        alt_key(editor, byte);
    } else if (byte >= '0' && byte <= '9') {
        editor->parameter = (uint8_t)((editor->parameter * 10 + byte - '0') % 100);
        editor->escape = state;
    } else if (byte == ';') { /* a modifier follows: Ctrl-arrow and the like act as the arrow */
        editor->escape = state;
    } else if (byte == '~') {
        numbered_key(editor, editor->parameter);
    } else {
        arrow_key(editor, byte);
    }
}

/* Keys that change the line or the cursor's place. */
static void edit_key(struct line_editor *editor, char key)
{
    switch (key) {
    case CTRL_A:
        move_cursor(editor, 0);
        break;
    case CTRL_B:
        arrow_key(editor, 'D');
        break;
    case CTRL_D:
        numbered_key(editor, 3);
        break;
    case CTRL_E:
        move_cursor(editor, editor->length);
        break;
    case CTRL_F:
        arrow_key(editor, 'C');
        break;
    case BACKSPACE:
    case DELETE:
        if (editor->cursor > 0)
            remove_range(editor, editor->cursor - 1, editor->cursor, false);
        break;
    case CTRL_K:
        remove_range(editor, editor->cursor, editor->length, true);
        break;
    case CTRL_L:
        put(editor, "\033[H\033[J", 6);
        editor_resume(editor);
        break;
    case CTRL_N:
        arrow_key(editor, 'B');
        break;
    case CTRL_P:
        arrow_key(editor, 'A');
        break;
    case CTRL_R:
        search_begin(editor);
        break;
    case CTRL_T:
        swap_letters(editor);
        break;
    case CTRL_U:
        remove_range(editor, 0, editor->cursor, true);
        break;
    case CTRL_V:
        editor->literal = true;
        break;
    case CTRL_W:
        remove_range(editor, word_left(editor), editor->cursor, true);
        break;
    case CTRL_Y:
        editor_insert(editor, editor->killed, (unsigned)strlen(editor->killed));
        break;
    case ESCAPE:
        editor->escape = ESCAPE_BEGUN;
        break;
    default:
        letter_key(editor, key);
    }
}

static enum editor_event end_line(struct line_editor *editor, enum editor_event event)
{
    editor_suspend(editor);
    return event;
}

enum editor_event editor_key(struct line_editor *editor, char byte)
{
    bool second_half = byte == LINE_FEED && editor->after_return;
    editor->after_return = byte == RETURN;
    if (second_half)
        return EDITOR_NONE;
    if (editor->literal) {
        editor->literal = false;
        letter_key(editor, byte);
        return EDITOR_NONE;
    }
    if (editor->searching && search_key(editor, byte))
        return EDITOR_NONE;
    if (editor->escape != ESCAPE_NONE) {
        escape_byte(editor, byte);
        return EDITOR_NONE;
    }
    switch (byte) {
    case RETURN:
    case LINE_FEED:
        return end_line(editor, EDITOR_LINE);
    case CTRL_C:
        put(editor, "^C", 2);
        return end_line(editor, EDITOR_CANCEL);
    case CTRL_Z:
        return end_line(editor, EDITOR_LEAVE);
    case CTRL_D:
        if (editor->length == 0)
            return end_line(editor, EDITOR_END);
        break;
    case TAB:
        return editor->hidden ? EDITOR_NONE : EDITOR_COMPLETE;
    case '?':
        if (!editor->hidden && !inside_quotes(editor))
            return EDITOR_HELP;
        break;
    default:
        break;
    }
    edit_key(editor, byte);
    return EDITOR_NONE;
}
