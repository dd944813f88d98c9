/* What stands behind the bars of a line: `show log | match eth0 | last 5`. Works on lines of text;
 * `| json` chooses the printer and is no filter. */
#pragma once

#include "shell/command.h"
#include "shell/output.h"

enum {
    PIPE_STAGE_MAX = 8,
    PIPE_LINE_BYTES = 4096,     /* a longer line goes through in pieces of this size */
    PIPE_LAST_BYTES = 64 << 10, /* what `last` can hold; beyond, the oldest lines go */
};

struct pipe;

/* text begins with the first bar. `column` is where it stands in the line. *out is NULL where
 * nothing needs filtering. ERROR_NO_MEMORY, or as parse_line(). */
enum error pipe_create(const char *text, size_t length, unsigned column, const struct sink *to,
                       struct pipe **out, struct problem *problem) MUST_CHECK;
void pipe_destroy(struct pipe *pipe); /* NULL is allowed */

struct sink pipe_sink(struct pipe *pipe);
void pipe_finish(struct pipe *pipe); /* no more will come: print what waits for the end */

bool pipe_filters(const struct pipe *pipe); /* there is more to it than `json` and `no-more` */
bool pipe_wants_json(const struct pipe *pipe);
bool pipe_wants_no_pages(const struct pipe *pipe);
/* `head` has all it wants: the command may be ended. */
bool pipe_is_satisfied(const struct pipe *pipe);

/* The words that may stand behind a bar, for help and TAB. */
extern const struct command_set pipe_command_set;
