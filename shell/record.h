/* What a command has to say: typed records, never text. Handlers call the functions below; a
 * printer makes of it a text table for people or one JSON document for machines, so both always
 * tell the same.
 *
 *   record_table(record, "routes", columns, ARRAY_COUNT(columns));
 *   for (...) {
 *       record_row(record);
 *       record_prefix(record, "prefix", &route->prefix);     in the order of the columns
 *       record_u64(record, "distance", route->distance);
 *   }
 *   record_end(record);
 *
 * The document itself is an object that is open from the start. Names are JSON's, snake_case; text
 * shows them with spaces. Within a list, and there alone, values have no name (NULL).
 *
 * A record never fails in the handler's hands: out of memory, it swallows the rest and the session
 * says so. */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"

struct record;

enum record_column_flag {
    RECORD_PLAIN = 0,
    RECORD_DETAIL = 1 << 0, /* JSON only: the text table would get too wide */
    RECORD_WIDE = 1 << 1,   /* rows come one by one, and a later one may be longer */
};

struct record_column {
    const char *name;
    enum record_column_flag flags;
};

enum { RECORD_DEPTH_MAX = 8, RECORD_COLUMN_MAX = 24 };

/* Opens an object, a list of plain values, a list of lines (each a line of its own in text), or a
 * table; record_end() closes what was opened last. */
void record_object(struct record *record, const char *name);
void record_list(struct record *record, const char *name);
void record_lines(struct record *record, const char *name);
void record_table(struct record *record, const char *name, const struct record_column *columns,
                  unsigned column_count);
/* The same to a machine; in text each row is a block of lines, for rows that would be too wide. */
void record_blocks(struct record *record, const char *name);
void record_row(struct record *record); /* the table's next row */
void record_end(struct record *record);

void record_text(struct record *record, const char *name, const char *value);
void record_format(struct record *record, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);
void record_u64(struct record *record, const char *name, uint64_t value);
/* value / 10^digits: record_decimal(record, "busy_percent", 123, 1) is 12.3; digits up to 9. */
void record_decimal(struct record *record, const char *name, uint64_t value, unsigned digits);
void record_hex(struct record *record, const char *name, uint64_t value); /* "0x1f" */
void record_bool(struct record *record, const char *name, bool value);    /* text: yes, no */
void record_null(struct record *record, const char *name);                /* text: - */
void record_address(struct record *record, const char *name, const struct address *value);
void record_prefix(struct record *record, const char *name, const struct prefix *value);
void record_mac(struct record *record, const char *name, const uint8_t value[6]);
void record_seconds(struct record *record, const char *name, uint64_t value_ns); /* 75 / 1m15s */
/* ISO 8601, UTC, to the second: 2031-02-03T04:05:06Z. Before 1970 there is nothing. */
void record_time(struct record *record, const char *name, int64_t unix_ns);

/* A sentence that is the whole answer: {"message": ...}. */
void record_message(struct record *record, const char *format, ...) PRINTF_LIKE(2, 3);

/* The reader is behind: a handler that can should return COMMAND_AGAIN and go on later. */
bool record_full(const struct record *record);
