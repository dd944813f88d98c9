/* Reading, printing and comparing configurations line by line. What a single statement means is in
 * the tables; here is what is true of all of them. `no` needs no code per statement: it prints the
 * configuration, leaves out the lines that begin with what was named, and reads the rest; where all
 * that are left out know how to be removed, they are. */
#include "shell/config_text.h"

#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "shell/parse.h"

enum { LINES_PER_BREATH = 32 }; /* read or printed in well under 500 us */

static void breathe(const struct command_set *set, unsigned lines)
{
    if (set->breathe && lines % LINES_PER_BREATH == 0)
        set->breathe(set->router);
}

/* Counts the lines on their way to the sink. */
struct breathing_sink {
    const struct command_set *set;
    struct line_sink *to;
    unsigned lines;
};

static bool put_and_breathe(void *context, const char *line)
{
    struct breathing_sink *breathing = context;
    breathe(breathing->set, ++breathing->lines);
    return breathing->to->put(breathing->to->context, line);
}

bool config_print(const struct command_set *set, const struct config *config,
                  struct line_sink *sink)
{
    struct breathing_sink breathing = { .set = set, .to = sink };
    struct line_sink counted = { .put = put_and_breathe, .context = &breathing };
    for (unsigned i = 0; i < set->table_count; i++) {
        if (set->tables[i]->print && !set->tables[i]->print(config, &counted))
            return false;
    }
    return true;
}

static enum error out_of_memory(struct problem *problem)
{
    problem_set(problem, "no-memory", NULL, "out of memory");
    return fail(ERROR_NO_MEMORY);
}

/* A statement that is not a `no`, into a configuration that may be half done afterwards. */
static enum error apply(struct config *config, const struct parsed_line *line,
                        struct problem *problem)
{
    problem_set(problem, "", NULL, "%s", "");
    enum error error = line->command->apply(config, line, problem);
    if (error && problem->id[0] == '\0')
        problem_set(problem, error_id(error), NULL, "%s", error_text(error));
    return error;
}

/* ---- no -------------------------------------------------------------------------------------- */

/* Of all lines those that begin with `wanted`. */
struct removal {
    const struct command_set *set;
    const char *wanted;
    struct config *next;
    struct parsed_line *line;
    struct problem *problem;
    unsigned removed;
    bool is_partial; /* some have no `remove` of their own, and are there still */
    enum error error;
};

static bool is_wanted(const struct removal *removal, const char *text)
{
    size_t wanted_length = strlen(removal->wanted);
    return strncmp(text, removal->wanted, wanted_length) == 0 &&
           (text[wanted_length] == '\0' || text[wanted_length] == ' ');
}

static void parse_stored(struct removal *removal, const char *text)
{
    removal->error = parse_line(removal->set, text, strlen(text), PARSE_STORED | PARSE_STATEMENTS,
                                removal->line, removal->problem);
}

static bool remove_line(void *context, const char *text)
{
    struct removal *removal = context;
    if (!is_wanted(removal, text))
        return true;
    removal->removed++;
    parse_stored(removal, text);
    if (removal->error)
        return false;
    const struct command *command = removal->line->command;
    if (command->remove)
        removal->error = command->remove(removal->next, removal->line, removal->problem);
    else
        removal->is_partial = true;
    return removal->error == OK;
}

static bool copy_line(void *context, const char *text)
{
    struct removal *removal = context;
    if (is_wanted(removal, text))
        return true;
    parse_stored(removal, text);
    if (!removal->error)
        removal->error = apply(removal->next, removal->line, removal->problem);
    return removal->error == OK;
}

/* To remove lines that know how is quick, as there are thousands of filters and routes. Else it
 * begins anew, and all other lines are read. */
static void remove_lines(struct removal *removal, const struct config *base)
{
    struct line_sink removing = { .put = remove_line, .context = removal };
    struct line_sink copying = { .put = copy_line, .context = removal };

    (void)!config_print(removal->set, base, &removing);
    if (removal->error || !removal->is_partial)
        return;
    config_destroy(removal->next);
    removal->next = config_create();
    if (!removal->next)
        removal->error = out_of_memory(removal->problem);
    else
        (void)!config_print(removal->set, base, &copying);
}

static enum error without_lines(const struct command_set *set, const struct config *base,
                                const struct parsed_line *line, struct config **out,
                                struct problem *problem)
{
    char wanted[LINE_BYTES_MAX * 2];
    struct removal removal = { .set = set, .problem = problem, .error = OK };
    line_print(line, true, wanted, sizeof(wanted));
    removal.wanted = wanted + strlen("no ");
    removal.next = config_copy(base);
    removal.line = memory_alloc(sizeof(*removal.line), 0, MEMORY_SHELL);
    if (!removal.next || !removal.line)
        removal.error = out_of_memory(problem);
    else
        remove_lines(&removal, base);
    memory_free(removal.line);
    if (!removal.error && removal.removed == 0) {
        problem_set(problem, "not-found", NULL, "there is no such statement");
        removal.error = fail(ERROR_NOT_FOUND);
    }
    /* `no ip route` must not be all it takes to lose all routes. */
    if (!removal.error && removal.removed > 1 && !line_names_value(line)) {
        problem_set(problem, "incomplete", NULL, "that would be %u statements: say which",
                    removal.removed);
        removal.error = fail(ERROR_TRUNCATED);
    }
    if (removal.error) {
        config_destroy(removal.next);
        return removal.error;
    }
    *out = removal.next;
    return OK;
}

enum error config_with_line(const struct command_set *set, const struct config *base,
                            const struct parsed_line *line, struct config **out,
                            struct problem *problem)
{
    if (line->negated && !(line->whole && line->command->remove))
        return without_lines(set, base, line, out, problem);
    struct config *next = config_copy(base);
    if (!next)
        return out_of_memory(problem);
    enum error error =
        line->negated ? line->command->remove(next, line, problem) : apply(next, line, problem);
    if (error) {
        config_destroy(next);
        return error;
    }
    *out = next;
    return OK;
}

/* ---- Whole texts -------------------------------------------------------------------------------
 */

static enum error read_line(const struct command_set *set, const char *text, size_t length,
                            struct config **config, struct parsed_line *line,
                            struct problem *problem)
{
    enum error error =
        parse_line(set, text, length, PARSE_STORED | PARSE_STATEMENTS, line, problem);
    if (error)
        return error;
    if (!line->negated)
        return apply(*config, line, problem);
    struct config *next;
    error = config_with_line(set, *config, line, &next, problem);
    if (error)
        return error;
    config_destroy(*config);
    *config = next;
    return OK;
}

/* Into *config, which is replaced by `no` lines and half done on failure. */
static enum error read_text(const struct command_set *set, const char *text, size_t length,
                            struct config **config, struct problem *problem)
{
    struct parsed_line *line = memory_alloc(sizeof(*line), 0, MEMORY_SHELL);
    if (!line)
        return out_of_memory(problem);
    enum error error = OK;
    unsigned number = 1;
    for (size_t at = 0; at < length && !error; number++) {
        const char *start = text + at;
        const char *end = memchr(start, '\n', length - at);
        size_t line_length = end ? (size_t)(end - start) : length - at;
        at += line_length + 1;
        if (line_length > 0 && start[line_length - 1] == '\r')
            line_length--;
        if (line_is_blank(start, line_length))
            continue;
        breathe(set, number);
        error = read_line(set, start, line_length, config, line, problem);
        problem->line = number;
    }
    memory_free(line);
    return error;
}

static enum error finish(enum error error, struct config *config, struct config **out)
{
    if (error) {
        config_destroy(config);
        return error;
    }
    *out = config;
    return OK;
}

enum error config_from_text(const struct command_set *set, const char *text, size_t length,
                            struct config **out, struct problem *problem)
{
    struct config *config = config_create();
    if (!config)
        return out_of_memory(problem);
    enum error error = read_text(set, text, length, &config, problem);
    return finish(error, config, out);
}

enum error config_merge_text(const struct command_set *set, const struct config *base,
                             const char *text, size_t length, struct config **out,
                             struct problem *problem)
{
    struct config *config = config_copy(base);
    if (!config)
        return out_of_memory(problem);
    enum error error = read_text(set, text, length, &config, problem);
    return finish(error, config, out);
}

/* ---- Comparing ---------------------------------------------------------------------------------
 */

/* The lines of a configuration by hash (64 bit FNV-1a), open addressing. Two different lines of one
 * hash would hide a difference from `compare`, once in 10^9 comparisons of the largest
 * configurations; nothing else rests on it. */
struct line_set {
    uint64_t *slots; /* 0: free */
    size_t mask;
    size_t count;
    const struct line_set *other;
    char sign;
    struct line_sink *sink;
};

static uint64_t hash_line(const char *line)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (; *line; line++)
        hash = (hash ^ (uint8_t)*line) * 0x100000001b3;
    return hash ? hash : 1;
}

static bool count_line(void *context, const char *line)
{
    (void)line;
    struct line_set *set = context;
    set->count++;
    return true;
}

static uint64_t *find_slot(const struct line_set *set, uint64_t hash)
{
    size_t at = (size_t)hash & set->mask;
    while (set->slots[at] != 0 && set->slots[at] != hash)
        at = (at + 1) & set->mask;
    return &set->slots[at];
}

static bool add_line(void *context, const char *line)
{
    struct line_set *set = context;
    uint64_t hash = hash_line(line);
    *find_slot(set, hash) = hash;
    return true;
}

static bool line_set_of(const struct command_set *commands, const struct config *config,
                        struct line_set *set)
{
    *set = (struct line_set){ 0 };
    struct line_sink sink = { .put = count_line, .context = set };
    (void)!config_print(commands, config, &sink);
    size_t room = 16;
    while (room < 2 * set->count)
        room *= 2;
    set->mask = room - 1;
    set->slots = memory_alloc(room * sizeof(*set->slots), 0, MEMORY_SHELL);
    if (!set->slots)
        return false;
    sink.put = add_line;
    (void)!config_print(commands, config, &sink);
    return true;
}

/* Passes on the lines that the other set does not have. */
static bool tell_line(void *context, const char *line)
{
    struct line_set *set = context;
    if (*find_slot(set->other, hash_line(line)) != 0)
        return true;
    char marked[LINE_BYTES_MAX * 2 + 4];
    text_format(marked, sizeof(marked), "%c %s", set->sign, line);
    return set->sink->put(set->sink->context, marked);
}

enum error config_compare(const struct command_set *set, const struct config *old,
                          const struct config *new, struct line_sink *sink)
{
    struct line_set old_lines, new_lines = { 0 };
    enum error error = fail(ERROR_NO_MEMORY);
    if (!line_set_of(set, old, &old_lines))
        return error;
    if (!line_set_of(set, new, &new_lines))
        goto no_memory;
    struct line_set tell = { .other = &new_lines, .sign = '-', .sink = sink };
    struct line_sink teller = { .put = tell_line, .context = &tell };
    if (config_print(set, old, &teller)) {
        tell.other = &old_lines;
        tell.sign = '+';
        (void)!config_print(set, new, &teller);
    }
    error = OK;
    memory_free(new_lines.slots);
no_memory:
    memory_free(old_lines.slots);
    return error;
}
