/* Records and their two printers.
 *
 * JSON is printed as it comes; a stack knows what is open and whether a comma is due.
 *
 * Text:
 *   value in an object     "uptime               1m15s", indented by depth
 *   object                 its name on a line, its values below
 *   list                   its values on one line; in a table, in one cell
 *   lines                  each value a line
 *   table                  a heading and aligned columns
 *   blocks                 the rows of a table as objects with an empty line between them
 * A table holds its first rows back (HELD_BYTES of cells) to find the widths of its columns, prints
 * them, and then prints each row at once with those widths. So a table of a million rows costs what
 * one of a hundred costs, and a small one looks right. */
#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "shell/record_printer.h"

enum {
    HELD_BYTES = 12 << 10,
    CELL_BYTES_MAX = 512,   /* a cell of a text table is cut there */
    COLUMN_WIDTH_WIDE = 16, /* an IPv4 address fits */
    COLUMN_WIDTH_MAX = 48,  /* a longer cell pushes the rest of its row */
    KEY_WIDTH = 20,
    INDENT = 2,
    VALUE_BYTES_MAX = 512,
    TEXT_BYTES_MAX = 1536, /* a line of a configuration fits */
};

enum container { OBJECT, LIST, LINES, TABLE, BLOCKS };

struct level {
    enum container container;
    bool comma;    /* JSON: something stands before the next value */
    bool row_open; /* TABLE */
    bool first;    /* text: nothing was printed in it */
};

/* The text table that is open: one at a time. */
struct table {
    const struct record_column *columns;
    unsigned column_count;
    unsigned widths[RECORD_COLUMN_MAX];
    bool right[RECORD_COLUMN_MAX]; /* numbers stand to the right */
    bool flowing;                  /* the widths are fixed: rows go out as they end */
    unsigned column;               /* of the row being written */
    size_t cell_start;             /* in held */
    size_t held_length;            /* cells, each ends in 0; a row is column_count cells */
    char held[HELD_BYTES];
};

struct record {
    enum record_format format;
    struct sink sink;
    bool full;
    bool begun;     /* JSON: the outermost { is printed */
    unsigned depth; /* levels[depth] is open; levels[0] is the document */
    unsigned too_deep;
    struct level levels[RECORD_DEPTH_MAX];
    bool in_table;
    unsigned table_depth; /* level of the text table */
    struct table table;
};

static struct level *top(struct record *record)
{
    return &record->levels[record->depth];
}

/* ---- JSON ----------------------------------------------------------------------------------- */

void json_escape(const struct sink *sink, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            sink_print(sink, "\\%c", c);
        else if (c == '\n')
            sink_put(sink, "\\n", 2);
        else if (c < ' ' || c > '~')
            sink_print(sink, "\\u%04x", c);
        else
            sink_put(sink, text + i, 1);
    }
}

void json_string(const struct sink *sink, const char *text, size_t length)
{
    sink_put(sink, "\"", 1);
    json_escape(sink, text, length);
    sink_put(sink, "\"", 1);
}

/* The document begins with its first value, so that a command that fails has printed nothing. */
static void json_begin(struct record *record)
{
    if (!record->begun)
        sink_put(&record->sink, "{", 1);
    record->begun = true;
}

/* The comma and the name that come before a value. */
static void json_lead(struct record *record, const char *name)
{
    struct level *level = top(record);
    json_begin(record);
    if (level->comma)
        sink_put(&record->sink, ",", 1);
    level->comma = true;
    if (name && level->container != LIST && level->container != LINES) {
        json_string(&record->sink, name, strlen(name));
        sink_put(&record->sink, ":", 1);
    }
}

/* ---- Text tables ---------------------------------------------------------------------------- */

static bool column_hidden(const struct table *table, unsigned column)
{
    return (table->columns[column].flags & RECORD_DETAIL) != 0;
}

/* "rx_packets" as people read it; a unit that the value shows itself is left out. */
static size_t heading(const char *name, char out[64])
{
    size_t length = text_format(out, 64, "%s", name);
    length = MIN_OF(length, (size_t)63);
    if (length > 2 && out[length - 2] == '_' && out[length - 1] == 's')
        out[length -= 2] = '\0';
    for (size_t i = 0; i < length; i++) {
        if (out[i] == '_')
            out[i] = ' ';
    }
    return length;
}

static void print_cell(const struct record *record, unsigned column, const char *cell, bool last)
{
    const struct table *table = &record->table;
    unsigned length = (unsigned)strlen(cell);
    unsigned pad = length < table->widths[column] ? table->widths[column] - length : 0;
    if (table->right[column])
        sink_spaces(&record->sink, pad);
    sink_put(&record->sink, cell, length);
    if (last)
        sink_put(&record->sink, "\n", 1);
    else
        sink_spaces(&record->sink, 2 + (table->right[column] ? 0 : pad));
}

static unsigned last_visible(const struct table *table)
{
    unsigned last = 0;
    for (unsigned column = 0; column < table->column_count; column++) {
        if (!column_hidden(table, column))
            last = column;
    }
    return last;
}

/* Prints the whole rows that are held; answers where the row being written begins. */
static const char *print_held_rows(struct record *record)
{
    struct table *table = &record->table;
    const char *cell = table->held, *end = table->held + table->held_length;
    unsigned last = last_visible(table);
    for (;;) {
        const char *row = cell;
        for (unsigned column = 0; column < table->column_count; column++) {
            if (cell >= end)
                return row;
            cell += strlen(cell) + 1;
        }
        for (unsigned column = 0; column < table->column_count; column++) {
            if (!column_hidden(table, column))
                print_cell(record, column, row, column == last);
            row += strlen(row) + 1;
        }
    }
}

static void measure(struct table *table)
{
    char name[64];
    for (unsigned column = 0; column < table->column_count; column++) {
        unsigned least = table->columns[column].flags & RECORD_WIDE ? COLUMN_WIDTH_WIDE : 0;
        unsigned length = (unsigned)heading(table->columns[column].name, name);
        table->widths[column] = MAX_OF(length, least);
    }
    unsigned column = 0;
    const char *end = table->held + table->held_length;
    for (const char *cell = table->held; cell < end; cell += strlen(cell) + 1) {
        unsigned length = (unsigned)strlen(cell);
        if (length <= COLUMN_WIDTH_MAX)
            table->widths[column] = MAX_OF(table->widths[column], length);
        column = column + 1 == table->column_count ? 0 : column + 1;
    }
}

static void table_flush(struct record *record)
{
    struct table *table = &record->table;
    if (!table->flowing) {
        measure(table);
        unsigned last = last_visible(table);
        char name[64];
        for (unsigned column = 0; column < table->column_count; column++) {
            heading(table->columns[column].name, name);
            if (!column_hidden(table, column))
                print_cell(record, column, name, column == last);
        }
        table->flowing = true;
    }
    size_t rest = (size_t)(table->held + table->held_length - print_held_rows(record));
    memmove(table->held, table->held + table->held_length - rest, rest);
    table->held_length = rest;
}

/* Ends the cell that was being written. */
static void cell_end(struct table *table)
{
    table->held[table->held_length++] = '\0';
    table->column++;
}

static void cell_append(struct table *table, const char *text)
{
    size_t used = table->held_length - table->cell_start;
    size_t length = MIN_OF(strlen(text), (size_t)CELL_BYTES_MAX - 1 - used);
    memcpy(table->held + table->held_length, text, length);
    table->held_length += length;
}

/* A row has the cells of its columns in order; those that the handler left out show "-". */
static bool cell_begin(struct record *record, const char *name)
{
    struct table *table = &record->table;
    while (table->column < table->column_count &&
           strcmp(table->columns[table->column].name, name) != 0) {
        table->cell_start = table->held_length;
        cell_append(table, "-");
        cell_end(table);
    }
    table->cell_start = table->held_length;
    return table->column < table->column_count;
}

static void row_end(struct record *record)
{
    struct table *table = &record->table;
    while (table->column < table->column_count) {
        table->cell_start = table->held_length;
        cell_append(table, "-");
        cell_end(table);
    }
    /* Room for one more row, whatever it holds, so that a cell never has to ask. */
    bool no_room = HELD_BYTES - table->held_length < table->column_count * CELL_BYTES_MAX;
    if (table->flowing || no_room)
        table_flush(record);
}

_Static_assert(RECORD_COLUMN_MAX *CELL_BYTES_MAX <= HELD_BYTES, "a row always fits");

/* ---- Text ----------------------------------------------------------------------------------- */

/* Text from outside must not steer the reader's terminal. */
static void clean(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
            *text = '.';
    }
}

/* The left side of "name   value". */
static void print_key(struct record *record, const char *name)
{
    char key[64];
    unsigned indent = record->depth * INDENT;
    if (top(record)->container == BLOCKS)
        indent -= INDENT; /* the document's own values and a block's stand alike */
    sink_spaces(&record->sink, indent);
    unsigned length = (unsigned)heading(name, key);
    sink_put(&record->sink, key, length);
    sink_spaces(&record->sink, length + indent < KEY_WIDTH ? KEY_WIDTH - length - indent : 1);
}

static void text_value(struct record *record, const char *name, const char *value, bool number)
{
    struct level *level = top(record);
    if (value[0] == '\0' && level->container != LINES)
        value = "-";
    if (record->in_table && record->depth == record->table_depth) {
        struct table *table = &record->table;
        if (!cell_begin(record, name))
            return;
        table->right[table->column] = number;
        cell_append(table, value);
        cell_end(table);
        return;
    }
    if (record->in_table) { /* inside a row: a list is one cell, anything else is for JSON */
        if (level->container == LIST && record->depth == record->table_depth + 1) {
            if (!level->first)
                cell_append(&record->table, " ");
            cell_append(&record->table, value);
            level->first = false;
        }
        return;
    }
    if (level->container == LIST) {
        sink_put(&record->sink, " ", level->first ? 0 : 1);
        sink_put(&record->sink, value, strlen(value));
    } else {
        if (level->container != LINES)
            print_key(record, name);
        sink_put(&record->sink, value, strlen(value));
        sink_put(&record->sink, "\n", 1);
    }
    level->first = false;
}

/* ---- What opens and closes ------------------------------------------------------------------- */

static bool open(struct record *record, enum container container)
{
    if (record->too_deep > 0 || record->depth + 1 == RECORD_DEPTH_MAX) {
        DCHECK(record->depth + 1 < RECORD_DEPTH_MAX);
        record->too_deep++;
        return false;
    }
    record->depth++;
    *top(record) = (struct level){ .container = container, .first = true };
    return true;
}

void record_object(struct record *record, const char *name)
{
    if (record->format == RECORD_FORMAT_JSON) {
        json_lead(record, name);
        sink_put(&record->sink, "{", 1);
    } else if (!record->in_table) {
        sink_spaces(&record->sink, record->depth * INDENT);
        sink_print(&record->sink, "%s:\n", name ? name : "");
        top(record)->first = false;
    }
    open(record, OBJECT);
}

static void open_list(struct record *record, const char *name, enum container container)
{
    if (record->format == RECORD_FORMAT_JSON) {
        json_lead(record, name);
        sink_put(&record->sink, "[", 1);
    } else if (record->in_table) {
        if (record->depth == record->table_depth)
            cell_begin(record, name);
    } else if (container == LIST) {
        print_key(record, name);
        top(record)->first = false;
    }
    open(record, container);
}

void record_list(struct record *record, const char *name)
{
    open_list(record, name, LIST);
}

void record_lines(struct record *record, const char *name)
{
    open_list(record, name, LINES);
}

void record_table(struct record *record, const char *name, const struct record_column *columns,
                  unsigned column_count)
{
    CHECK(column_count > 0);
    CHECK(column_count <= RECORD_COLUMN_MAX);
    if (record->format == RECORD_FORMAT_JSON) {
        json_lead(record, name);
        sink_put(&record->sink, "[", 1);
        open(record, TABLE);
        return;
    }
    if (record->in_table) { /* a table inside a row is for JSON */
        open(record, TABLE);
        return;
    }
    if (!top(record)->first)
        sink_print(&record->sink, "\n%s:\n", name);
    top(record)->first = false;
    if (!open(record, TABLE))
        return;
    record->in_table = true;
    record->table_depth = record->depth;
    struct table *table = &record->table;
    table->columns = columns;
    table->column_count = column_count;
    table->flowing = false;
    table->held_length = 0;
    memset(table->right, 0, sizeof(table->right));
}

void record_blocks(struct record *record, const char *name)
{
    if (record->format == RECORD_FORMAT_JSON) {
        json_lead(record, name);
        sink_put(&record->sink, "[", 1);
    } else if (!record->in_table && !top(record)->first) {
        sink_print(&record->sink, "\n%s:\n", name);
    }
    top(record)->first = false;
    open(record, BLOCKS);
}

/* Ends the row that is open, in JSON and in text. */
static void close_row(struct record *record)
{
    struct level *level = top(record);
    if (!level->row_open)
        return;
    level->row_open = false;
    if (record->format == RECORD_FORMAT_JSON)
        sink_put(&record->sink, "}", 1);
    else if (record->in_table && record->depth == record->table_depth)
        row_end(record);
}

void record_row(struct record *record)
{
    struct level *level = top(record);
    if (record->too_deep > 0)
        return;
    CHECK(level->container == TABLE || level->container == BLOCKS);
    bool another = level->row_open;
    close_row(record);
    level->row_open = true;
    if (record->format == RECORD_FORMAT_JSON) {
        if (another)
            sink_put(&record->sink, ",", 1);
        sink_put(&record->sink, "{", 1);
        level->comma = false;
    } else if (record->in_table && record->depth == record->table_depth) {
        record->table.column = 0;
    } else if (!record->in_table && another) {
        sink_put(&record->sink, "\n", 1);
    }
}

void record_end(struct record *record)
{
    if (record->too_deep > 0) {
        record->too_deep--;
        return;
    }
    CHECK(record->depth > 0);
    struct level *level = top(record);
    close_row(record);
    if (record->format == RECORD_FORMAT_JSON) {
        sink_put(&record->sink, level->container == OBJECT ? "}" : "]", 1);
        record->depth--;
        return;
    }
    bool cell = record->in_table && record->depth == record->table_depth + 1;
    if (record->in_table && record->depth == record->table_depth) {
        table_flush(record);
        record->in_table = false;
    } else if (cell && level->container == LIST &&
               record->table.column < record->table.column_count) {
        if (level->first)
            cell_append(&record->table, "-");
        cell_end(&record->table);
    } else if (!record->in_table && level->container == LIST) {
        sink_put(&record->sink, "\n", 1);
    }
    record->depth--;
}

/* ---- Values ---------------------------------------------------------------------------------- */

/* A value that JSON prints bare. */
static void bare(struct record *record, const char *name, const char *json, const char *text,
                 bool number)
{
    if (record->too_deep > 0)
        return;
    if (record->format == RECORD_FORMAT_TEXT) {
        text_value(record, name, text, number);
        return;
    }
    json_lead(record, name);
    sink_put(&record->sink, json, strlen(json));
}

void record_text(struct record *record, const char *name, const char *value)
{
    if (record->too_deep > 0)
        return;
    if (record->format == RECORD_FORMAT_JSON) {
        json_lead(record, name);
        json_string(&record->sink, value, strlen(value));
        return;
    }
    char cleaned[TEXT_BYTES_MAX];
    text_format(cleaned, sizeof(cleaned), "%s", value);
    clean(cleaned);
    text_value(record, name, cleaned, false);
}

void record_format(struct record *record, const char *name, const char *format, ...)
{
    char value[VALUE_BYTES_MAX];
    struct text text = text_of(value, sizeof(value));
    va_list args;
    va_start(args, format);
    text_print_args(&text, format, args);
    va_end(args);
    record_text(record, name, value);
}

void record_message(struct record *record, const char *format, ...)
{
    char value[VALUE_BYTES_MAX];
    struct text text = text_of(value, sizeof(value));
    va_list args;
    va_start(args, format);
    text_print_args(&text, format, args);
    va_end(args);
    if (record->format == RECORD_FORMAT_JSON) {
        record_text(record, "message", value);
        return;
    }
    clean(value);
    sink_print(&record->sink, "%s\n", value);
    top(record)->first = false;
}

void record_u64(struct record *record, const char *name, uint64_t value)
{
    char digits[24];
    text_format(digits, sizeof(digits), "%llu", (unsigned long long)value);
    bare(record, name, digits, digits, true);
}

void record_decimal(struct record *record, const char *name, uint64_t value, unsigned digits)
{
    static const uint32_t powers[] = { 1,      10,      100,      1000,      10000,
                                       100000, 1000000, 10000000, 100000000, 1000000000 };
    CHECK(digits < ARRAY_COUNT(powers));
    char number[40];
    if (digits == 0)
        text_format(number, sizeof(number), "%llu", (unsigned long long)value);
    else
        text_format(number, sizeof(number), "%llu.%0*llu",
                    (unsigned long long)(value / powers[digits]), (int)digits,
                    (unsigned long long)(value % powers[digits]));
    bare(record, name, number, number, true);
}

void record_hex(struct record *record, const char *name, uint64_t value)
{
    record_format(record, name, "0x%llx", (unsigned long long)value);
}

void record_bool(struct record *record, const char *name, bool value)
{
    bare(record, name, value ? "true" : "false", value ? "yes" : "no", false);
}

void record_null(struct record *record, const char *name)
{
    bare(record, name, "null", "-", false);
}

void record_address(struct record *record, const char *name, const struct address *value)
{
    char text[ADDRESS_TEXT_MAX];
    record_text(record, name, address_text(value, text));
}

void record_prefix(struct record *record, const char *name, const struct prefix *value)
{
    char text[PREFIX_TEXT_MAX];
    record_text(record, name, prefix_text(value, text));
}

void record_mac(struct record *record, const char *name, const uint8_t value[6])
{
    record_format(record, name, "%pM", (const void *)value);
}

static bool leap_year(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned month_days(unsigned year, unsigned month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return days[month] + (month == 1 && leap_year(year) ? 1u : 0u);
}

void record_time(struct record *record, const char *name, int64_t unix_ns)
{
    unsigned long long seconds = (uint64_t)MAX_OF(unix_ns, 0) / NS_PER_S;
    unsigned long long days = seconds / (24 * 60 * 60);
    unsigned year = 1970, month = 0;

    /* 64 bits of nanoseconds end in 2262. */
    for (; days >= 365u + leap_year(year); year++)
        days -= 365u + leap_year(year);
    for (; days >= month_days(year, month); month++)
        days -= month_days(year, month);
    record_format(record, name, "%04u-%02u-%02lluT%02llu:%02llu:%02lluZ", year, month + 1, days + 1,
                  seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
}

void record_seconds(struct record *record, const char *name, uint64_t value_ns)
{
    unsigned long long seconds = value_ns / NS_PER_S;
    unsigned long long minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
    char json[24], people[48];
    text_format(json, sizeof(json), "%llu", seconds);
    if (days > 0)
        text_format(people, sizeof(people), "%llud%02lluh", days, hours % 24);
    else if (hours > 0)
        text_format(people, sizeof(people), "%lluh%02llum", hours, minutes % 60);
    else if (minutes > 0)
        text_format(people, sizeof(people), "%llum%02llus", minutes, seconds % 60);
    else
        text_format(people, sizeof(people), "%llus", seconds);
    bare(record, name, json, people, true);
}

bool record_full(const struct record *record)
{
    return record->full;
}

/* ---- For sessions -----------------------------------------------------------------------------
 */

struct record *record_create(enum record_format format, struct sink sink)
{
    struct record *record = memory_alloc(sizeof(*record), 0, MEMORY_SHELL);
    if (!record)
        return NULL;
    record->format = format;
    record->sink = sink;
    record->levels[0] = (struct level){ .container = OBJECT, .first = true };
    return record;
}

void record_flush(struct record *record)
{
    /* Before the first row nothing is known about the widths. */
    bool rows = record->in_table && (record->table.flowing || record->table.held_length > 0);
    if (rows && record->format == RECORD_FORMAT_TEXT)
        table_flush(record);
}

void record_finish(struct record *record)
{
    record->too_deep = 0;
    while (record->depth > 0)
        record_end(record);
    if (record->format != RECORD_FORMAT_JSON)
        return;
    json_begin(record);
    sink_put(&record->sink, "}", 1);
}

void record_destroy(struct record *record)
{
    memory_free(record);
}

void record_set_full(struct record *record, bool full)
{
    record->full = full;
}
