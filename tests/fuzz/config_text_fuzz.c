/* Any bytes as a configuration text: refused with a line, or read; and what was read is printed,
 * read and printed again as the same.
 *
 * A line of "%%" divides the input: what stands behind is merged into what stood before. */
/* covers: shell/config_text.c */
/* covers: shell/statements.c */
/* covers: shell/filter_statements.c */
/* covers: shell/filter_text.c */
/* covers: shell/parse.c */
/* covers: shell/value.c */
/* covers: shell/grammar.c */
#include "shell/config_text.h"

#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "shell/parse.h"
#include "shell/shell.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Beside the statements a command that takes what none of them does. */
static const struct command_table *const tables[] = { &session_commands, &statement_commands,
                                                      &filter_statements, &explain_commands };
static const struct command_set all = { .tables = tables, .table_count = ARRAY_COUNT(tables) };

enum { PRINTED_BYTES = 1 << 18 };

static bool append(void *context, const char *line)
{
    text_print(context, "%s\n", line);
    return true;
}

static size_t print(const struct config *config, char *out)
{
    struct text text = text_of(out, PRINTED_BYTES);
    struct line_sink sink = { .put = append, .context = &text };
    CHECK(config_print(&all, config, &sink));
    CHECK(!text.cut);
    return text.length;
}

static void check_round_trip(const struct config *config)
{
    static char first[PRINTED_BYTES], second[PRINTED_BYTES], difference[PRINTED_BYTES];
    struct problem problem;
    struct config *again;
    size_t length = print(config, first);
    CHECK(config_from_text(&all, first, length, &again, &problem) == OK);
    print(again, second);
    CHECK(strcmp(first, second) == 0);
    CHECK(config_equal(config, again));
    struct text text = text_of(difference, sizeof(difference));
    struct line_sink sink = { .put = append, .context = &text };
    CHECK(config_compare(&all, config, again, &sink) == OK);
    CHECK(text.length == 0);
    config_destroy(again);
}

/* Each line as it would be typed: help and completion at its end, too. */
static void check_typed_lines(const char *text, size_t length)
{
    static struct parsed_line line;
    static struct expectation expectation;
    struct problem problem;
    for (size_t at = 0; at < length;) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t line_length = end ? (size_t)(end - text) - at : length - at;
        if (parse_expect(&all, text + at, line_length, ROLE_ADMIN, &expectation, &problem) == OK)
            CHECK(expectation.partial <= line_length);
        if (parse_line(&all, text + at, line_length, PARSE_TYPED, &line, &problem) == OK) {
            static char printed[LINE_BYTES_MAX * 4 + ARGUMENT_MAX], again[sizeof(printed)];
            size_t printed_length = line_print(&line, true, printed, sizeof(printed));
            if (printed_length <= LINE_BYTES_MAX) {
                CHECK(parse_line(&all, printed, printed_length, PARSE_STORED, &line, &problem) ==
                      OK);
                line_print(&line, true, again, sizeof(again));
                CHECK(strcmp(printed, again) == 0);
            }
        }
        at += line_length + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *divider = size > 3 ? memmem(text, size, "\n%%\n", 4) : NULL;
    size_t first = divider ? (size_t)(divider - text) : size;
    struct problem problem;
    struct config *config, *merged;
    if (config_from_text(&all, text, first, &config, &problem) == OK) {
        check_round_trip(config);
        if (divider && config_merge_text(&all, config, divider + 4, size - first - 4, &merged,
                                         &problem) == OK) {
            struct line_sink sink = { .put = append };
            static char difference[PRINTED_BYTES * 2];
            struct text changes = text_of(difference, sizeof(difference));
            sink.context = &changes;
            CHECK(config_compare(&all, config, merged, &sink) == OK);
            check_round_trip(merged);
            config_destroy(merged);
        }
        config_destroy(config);
    } else {
        CHECK(problem.id[0] != '\0');
        CHECK(problem.text[0] != '\0');
    }
    check_typed_lines(text, size);
    return 0;
}
