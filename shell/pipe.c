/* A chain of stages; each gets whole lines and passes some on. The words behind the bars have a
 * command table of their own, so they are abbreviated, completed and explained like everything
 * else. */
#include "shell/pipe.h"

#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "shell/parse.h"
#include "shell/regex.h"

enum stage_kind { MATCH, EXCEPT, BEGIN, SECTION, COUNT, HEAD, LAST, AS_JSON, NO_MORE };

/* In the order of enum stage_kind, aliases behind. */
#define FILTER .kind = COMMAND_SHOW /* so that no `no` may stand in front */
static const struct command stage_commands[] = {
    [MATCH] = { FILTER, .grammar = "match <pattern:STR>",
                .help = "lines that match a regular expression" },
    [EXCEPT] = { FILTER, .grammar = "except <pattern:STR>", .help = "lines that do not match" },
    [BEGIN] = { FILTER, .grammar = "begin <pattern:STR>",
                .help = "from the first line that matches" },
    [SECTION] = { FILTER, .grammar = "section <pattern:STR>",
                  .help = "lines that match, and what is indented below them" },
    [COUNT] = { FILTER, .grammar = "count", .help = "the number of lines" },
    [HEAD] = { FILTER, .grammar = "head <lines:1-100000>", .help = "the first lines" },
    [LAST] = { FILTER, .grammar = "last <lines:1-100000>", .help = "the last lines" },
    [AS_JSON] = { FILTER, .grammar = "json", .help = "one JSON document" },
    [NO_MORE] = { FILTER, .grammar = "no-more", .help = "without stopping at each page" },
    { FILTER, .grammar = "include <pattern:STR>", .help = "the same as match" },
    { FILTER, .grammar = "exclude <pattern:STR>", .help = "the same as except" },
};

static const struct command_table stage_table = { .commands = stage_commands,
                                                  .count = ARRAY_COUNT(stage_commands) };
static const struct command_table *const stage_tables[] = { &stage_table };
const struct command_set pipe_command_set = { .tables = stage_tables, .table_count = 1 };

struct stage {
    enum stage_kind kind;
    uint64_t wanted; /* HEAD, LAST */
    uint64_t seen;   /* COUNT, HEAD, LAST: lines in there */
    bool open;       /* BEGIN, SECTION */
    struct regex regex;
    char *kept; /* LAST: lines, each with its \n */
    size_t kept_length;
};

struct pipe {
    struct sink to;
    bool json, no_more;
    unsigned stage_count;
    struct stage stages[PIPE_STAGE_MAX];
    size_t line_length;
    char line[PIPE_LINE_BYTES];
};

static void keep_last(struct stage *stage, const char *line, size_t length)
{
    size_t drop = 0;
    while (stage->seen > 0 && (stage->seen >= stage->wanted ||
                               PIPE_LAST_BYTES - (stage->kept_length - drop) < length + 1)) {
        const char *end = memchr(stage->kept + drop, '\n', stage->kept_length - drop);
        drop = (size_t)(end - stage->kept) + 1;
        stage->seen--;
    }
    memmove(stage->kept, stage->kept + drop, stage->kept_length - drop);
    stage->kept_length -= drop;
    memcpy(stage->kept + stage->kept_length, line, length);
    stage->kept_length += length;
    stage->kept[stage->kept_length++] = '\n';
    stage->seen++;
}

/* Whether a stage lets the line pass. */
static bool stage_passes(struct stage *stage, const char *line, size_t length)
{
    switch (stage->kind) {
    case MATCH:
        return regex_matches(&stage->regex, line, length);
    case EXCEPT:
        return !regex_matches(&stage->regex, line, length);
    case BEGIN:
        stage->open = stage->open || regex_matches(&stage->regex, line, length);
        return stage->open;
    case SECTION:
        if (length == 0 || line[0] != ' ' || !stage->open)
            stage->open = regex_matches(&stage->regex, line, length);
        return stage->open;
    case HEAD:
        return stage->seen++ < stage->wanted;
    case COUNT:
        stage->seen++;
        return false;
    case LAST:
        keep_last(stage, line, length);
        return false;
    default:
        return true;
    }
}

static void pass_line(struct pipe *pipe, unsigned first, const char *line, size_t length)
{
    for (unsigned i = first; i < pipe->stage_count; i++) {
        if (!stage_passes(&pipe->stages[i], line, length))
            return;
    }
    sink_put(&pipe->to, line, length);
    sink_put(&pipe->to, "\n", 1);
}

static void put(void *context, const char *bytes, size_t length)
{
    struct pipe *pipe = context;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != '\n' && pipe->line_length < PIPE_LINE_BYTES) {
            pipe->line[pipe->line_length++] = bytes[i];
            continue;
        }
        pass_line(pipe, 0, pipe->line, pipe->line_length);
        pipe->line_length = 0;
        if (bytes[i] != '\n')
            pipe->line[pipe->line_length++] = bytes[i];
    }
}

struct sink pipe_sink(struct pipe *pipe)
{
    return (struct sink){ .put = put, .context = pipe };
}

void pipe_finish(struct pipe *pipe)
{
    if (pipe->line_length > 0)
        put(pipe, "\n", 1);
    for (unsigned i = 0; i < pipe->stage_count; i++) {
        struct stage *stage = &pipe->stages[i];
        if (stage->kind == COUNT) {
            char number[24];
            size_t length =
                text_format(number, sizeof(number), "%llu", (unsigned long long)stage->seen);
            pass_line(pipe, i + 1, number, length);
        }
        for (size_t at = 0; stage->kind == LAST && at < stage->kept_length;) {
            const char *line = stage->kept + at;
            const char *end = memchr(line, '\n', stage->kept_length - at);
            pass_line(pipe, i + 1, line, (size_t)(end - line));
            at = (size_t)(end - stage->kept) + 1;
        }
    }
}

static enum stage_kind kind_of(const struct command *command)
{
    unsigned index = (unsigned)(command - stage_commands);
    return index <= NO_MORE ? (enum stage_kind)index : (index == NO_MORE + 1 ? MATCH : EXCEPT);
}

static enum error stage_compile(struct stage *stage, const struct argument *pattern,
                                struct problem *problem)
{
    size_t column;
    const char *wrong = regex_compile(&stage->regex, pattern->text, strlen(pattern->text), &column);
    if (!wrong)
        return OK;
    problem_set(problem, "bad-pattern", pattern, "%s", wrong);
    problem->column += (int)column;
    return fail(ERROR_BAD_VALUE);
}

static enum error stage_add(struct pipe *pipe, const struct parsed_line *line,
                            struct problem *problem)
{
    enum stage_kind kind = kind_of(line->command);
    pipe->json = pipe->json || kind == AS_JSON;
    pipe->no_more = pipe->no_more || kind == NO_MORE;
    if (kind == AS_JSON || kind == NO_MORE)
        return OK;
    if (pipe->stage_count == PIPE_STAGE_MAX) {
        problem_set(problem, "too-long", &line->arguments[0], "at most %d filters in a line",
                    PIPE_STAGE_MAX);
        return fail(ERROR_FULL);
    }
    struct stage *stage = &pipe->stages[pipe->stage_count++];
    stage->kind = kind;
    const struct argument *lines = line_argument(line, "lines");
    const struct argument *pattern = line_argument(line, "pattern");
    stage->wanted = lines ? lines->number : 0;
    if (pattern)
        return stage_compile(stage, pattern, problem);
    if (kind != LAST)
        return OK;
    stage->kept = memory_alloc(PIPE_LAST_BYTES, 0, MEMORY_SHELL);
    if (stage->kept)
        return OK;
    problem_set(problem, "no-memory", NULL, "out of memory");
    return fail(ERROR_NO_MEMORY);
}

enum error pipe_create(const char *text, size_t length, unsigned column, const struct sink *to,
                       struct pipe **out, struct problem *problem)
{
    *out = NULL;
    if (length == 0)
        return OK;
    enum error error = fail(ERROR_NO_MEMORY);
    struct pipe *pipe = memory_alloc(sizeof(*pipe), 0, MEMORY_SHELL);
    struct parsed_line *line = memory_alloc(sizeof(*line), 0, MEMORY_SHELL);
    problem_set(problem, "no-memory", NULL, "out of memory");
    if (!pipe || !line)
        goto failed;
    pipe->to = *to;
    for (size_t at = 0; at < length;) {
        size_t start = at + 1; /* behind the bar */
        at = line_find_bar(text, length, start);
        error = parse_line(&pipe_command_set, text + start, at - start, PARSE_TYPED, line, problem);
        if (!error)
            error = stage_add(pipe, line, problem);
        if (error) {
            if (problem->column >= 0)
                problem->column += (int)(column + start);
            goto failed;
        }
    }
    memory_free(line);
    *out = pipe;
    return OK;

failed:
    memory_free(line);
    pipe_destroy(pipe);
    return error;
}

void pipe_destroy(struct pipe *pipe)
{
    if (!pipe)
        return;
    for (unsigned i = 0; i < pipe->stage_count; i++)
        memory_free(pipe->stages[i].kept);
    memory_free(pipe);
}

bool pipe_filters(const struct pipe *pipe)
{
    return pipe && pipe->stage_count > 0;
}

bool pipe_wants_json(const struct pipe *pipe)
{
    return pipe && pipe->json;
}

bool pipe_wants_no_pages(const struct pipe *pipe)
{
    return pipe && pipe->no_more;
}

bool pipe_is_satisfied(const struct pipe *pipe)
{
    if (!pipe || pipe->stage_count == 0)
        return false;
    for (unsigned i = 0; i < pipe->stage_count; i++) {
        const struct stage *stage = &pipe->stages[i];
        if (stage->kind == COUNT || stage->kind == LAST)
            return false;
        if (stage->kind == HEAD && stage->seen >= stage->wanted)
            return true;
    }
    return false;
}
