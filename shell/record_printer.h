/* The other end of a record: who creates it, and how it is printed. For sessions, not for handlers.
 */
#pragma once

#include "shell/output.h"
#include "shell/record.h"

enum record_format { RECORD_FORMAT_TEXT, RECORD_FORMAT_JSON };

/* A document with its outermost object open, or NULL. What is printed goes to `sink`, which must
 * stay. */
struct record *record_create(enum record_format format, struct sink sink) MUST_CHECK;

/* Prints what a text table holds back to find the widths of its columns. */
void record_flush(struct record *record);

/* Closes whatever is open, a document cut short too. */
void record_finish(struct record *record);
void record_destroy(struct record *record); /* NULL is allowed */

/* Who asks record_full(): the session sets it while its reader is behind. */
void record_set_full(struct record *record, bool full);

/* Text as a JSON string, with and without its quotes. Bytes outside of printable ASCII become
 * \u00XX. */
void json_string(const struct sink *sink, const char *text, size_t length);
void json_escape(const struct sink *sink, const char *text, size_t length);
