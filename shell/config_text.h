/* Configuration as text: complete lines in canonical order, and back. Law: printing what was read
 * from what was printed gives the same text. */
#pragma once

#include "net/config.h"
#include "shell/command.h"

/* The built-in configuration and the lines of a text. On failure nothing is left, and `problem` has
 * line and column. Empty lines and comments (# or !) are skipped. */
enum error config_from_text(const struct command_set *set, const char *text, size_t length,
                            struct config **out, struct problem *problem) MUST_CHECK;

/* Base and the lines of a text (`no` lines too) as a new configuration. */
enum error config_merge_text(const struct command_set *set, const struct config *base,
                             const char *text, size_t length, struct config **out,
                             struct problem *problem) MUST_CHECK;

/* Base and one statement, or less what its `no` names, as a new configuration. */
enum error config_with_line(const struct command_set *set, const struct config *base,
                            const struct parsed_line *line, struct config **out,
                            struct problem *problem) MUST_CHECK;

/* All lines, to the sink, without line ends. False where the sink stopped it. */
bool config_print(const struct command_set *set, const struct config *config,
                  struct line_sink *sink);

/* The lines that only one has: "- ..." those of `old`, then "+ ..." those of `new`. */
enum error config_compare(const struct command_set *set, const struct config *old,
                          const struct config *new, struct line_sink *sink) MUST_CHECK;
