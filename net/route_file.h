/* Tables of routes as text, a line each:
 *
 *   PREFIX NEXT-HOP     192.0.2.0/24 10.0.0.1        2001:db8::/32 fd00::1
 *
 * An address without a length is that address alone; the next hop may be `none`: no
 * gateway. Empty lines and
 * lines that begin with # count for nothing. Files come through the seam (file_open), in pieces, so
 * that a table of a million lines needs no more memory than a short one. */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"

struct pause;
struct text;

enum { ROUTE_LINE_MAX = 256 }; /* bytes of a line; a longer one is refused */

struct route_line {
    struct prefix prefix;
    struct address next_hop; /* FAMILY_NONE: `none` */
};

/* What it answers other than OK ends the reading; ERROR_BAD_VALUE blames the line, and *wrong says
 * why. */
typedef enum error route_line_visit(void *context, const struct route_line *line,
                                    const char **wrong);

/* Calls visit() with each line in turn, all of them of one family. Any error: *problem is added in
 * words what is wrong and in which line. */
enum error route_file_read(const char *name, enum family family, route_line_visit *visit,
                           void *context, const struct pause *pause,
                           struct text *problem) MUST_CHECK;

/* The same of files that have nothing but a prefix in each line. */
enum error prefix_file_read(const char *name, enum family family, route_line_visit *visit,
                            void *context, const struct pause *pause,
                            struct text *problem) MUST_CHECK;
