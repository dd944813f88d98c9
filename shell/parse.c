/* From a line to what it means.
 *
 * A line is cut into words. Then, word by word, all commands are followed through their grammars at
 * once: a `state` is a word of a grammar that the line has matched, with the state before it. The
 * commands that survive the last word and may end there are the answer, and the way back through
 * the states gives the arguments. No backtracking: the work is words times words that were
 * possible.
 *
 * Which match counts, over all commands together, for each word of the line:
 *   the exact keyword, else the beginning of one keyword (at the keyboard only), else values.
 * The beginning of several different keywords is an error, so that an abbreviation never means
 * something else after one more command was added. */
#include "shell/parse.h"

#include <string.h>

#include "kernel/base/text.h"
#include "shell/grammar.h"
#include "shell/value.h"

enum {
    STATE_MAX = 512, /* words matched so far, of all commands that are still possible */
    TOLD_MAX = 8,    /* expected words that an error tells */
};

struct word {
    const char *start;
    size_t length;
    unsigned column;
    bool quoted; /* start and length are without the quotes */
};

struct words {
    unsigned count;
    struct word list[ARGUMENT_MAX];
    bool open; /* the text ends in the middle of a word or string */
};

struct state {
    const struct command *command;
    uint16_t at;      /* offset of the word in its grammar */
    int16_t previous; /* index; -1: the first word */
};

/* How far a line has been followed. */
struct matcher {
    const struct command_set *set;
    bool stored;           /* no abbreviations */
    bool statements_only;  /* behind `no` */
    enum role role;        /* commands above it do not exist */
    unsigned first, count; /* states[first .. count) stand for the last word */
    bool begun;
    struct state states[STATE_MAX];
};

/* ---- Problems ------------------------------------------------------------------------------- */

static void problem_at(struct problem *problem, const char *id, unsigned column)
{
    *problem = (struct problem){ .column = (int)column };
    text_format(problem->id, sizeof(problem->id), "%s", id);
}

void problem_set(struct problem *problem, const char *id, const struct argument *argument,
                 const char *format, ...)
{
    problem_at(problem, id, 0);
    problem->column = argument ? (int)argument->column : -1;
    struct text text = text_of(problem->text, sizeof(problem->text));
    va_list args;
    va_start(args, format);
    text_print_args(&text, format, args);
    va_end(args);
}

enum error problem_refused(enum error error, const struct argument *argument,
                           struct problem *problem)
{
    if (error == ERROR_FULL)
        problem_set(problem, "full", argument, "there is no room for more of these");
    else if (error)
        problem_set(problem, error_id(error), argument, "%s", error_text(error));
    return error;
}

/* Distance in letters put in, left out, changed or swapped (Damerau and Levenshtein). */
static unsigned word_distance(struct span a, struct span b)
{
    enum { LETTERS_MAX = 24 };
    unsigned rows[3][LETTERS_MAX + 1];
    if (a.length > LETTERS_MAX || b.length > LETTERS_MAX)
        return UINT32_MAX;
    for (unsigned j = 0; j <= b.length; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.length; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b.length; j++) {
            bool same = a.start[i - 1] == b.start[j - 1];
            row[j] = MIN_OF(MIN_OF(above[j], row[j - 1]) + 1, above[j - 1] + !same);
            bool swapped = i > 1 && j > 1 && a.start[i - 1] == b.start[j - 2] &&
                           a.start[i - 2] == b.start[j - 1];
            if (swapped)
                row[j] = MIN_OF(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a.length % 3][b.length];
}

struct span nearest_word(struct span typed, struct span keyword, struct span best,
                         unsigned *distance)
{
    unsigned allowed = keyword.length <= 4 ? 1 : 2;
    unsigned here = word_distance(typed, keyword);
    if (here > allowed || here >= *distance)
        return best;
    *distance = here;
    return keyword;
}

/* ---- Words ---------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

bool line_is_blank(const char *text, size_t length)
{
    size_t i = 0;
    while (i < length && is_space(text[i]))
        i++;
    return i == length || text[i] == '#' || text[i] == '!';
}

/* Behind the closing quote of the string that begins at text[at]; length + 1 where it is not
 * closed. */
static size_t string_end(const char *text, size_t length, size_t at)
{
    for (size_t i = at + 1; i < length; i++) {
        if (text[i] == '\\')
            i++;
        else if (text[i] == '"')
            return i + 1;
    }
    return length + 1;
}

size_t line_find_bar(const char *text, size_t length, size_t from)
{
    bool word_begins = true;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '|' && i >= from)
            return i;
        if (text[i] == '"' && word_begins) {
            i = string_end(text, length, i) - 1;
            word_begins = false;
            continue;
        }
        word_begins = is_space(text[i]) || text[i] == '|';
    }
    return length;
}

static enum error split_words(const char *text, size_t length, struct words *words,
                              struct problem *problem)
{
    words->count = 0;
    words->open = false;
    if (length > LINE_BYTES_MAX) {
        problem_at(problem, "too-long", LINE_BYTES_MAX);
        text_format(problem->text, sizeof(problem->text), "a line has at most %d characters",
                    LINE_BYTES_MAX);
        return fail(ERROR_FULL);
    }
    for (size_t i = 0; i < length;) {
        if (is_space(text[i])) {
            i++;
            continue;
        }
        if (words->count == ARGUMENT_MAX) {
            problem_at(problem, "too-long", (unsigned)i);
            text_format(problem->text, sizeof(problem->text), "a line has at most %d words",
                        ARGUMENT_MAX);
            return fail(ERROR_FULL);
        }
        struct word *word = &words->list[words->count++];
        *word = (struct word){ .start = text + i, .column = (unsigned)i };
        word->quoted = text[i] == '"';
        size_t end = i;
        if (word->quoted) {
            end = string_end(text, length, i);
            word->start++;
            word->length = end - i - 2;
        } else {
            while (end < length && !is_space(text[end]))
                end++;
            word->length = end - i;
        }
        words->open = end >= length && !(word->quoted && end == length);
        if (end > length) {
            problem_at(problem, "bad-quote", (unsigned)i);
            text_format(problem->text, sizeof(problem->text), "this string has no closing quote");
            return fail(ERROR_MALFORMED);
        }
        i = end;
    }
    for (size_t i = 0; i < length; i++) {
        if ((text[i] < ' ' || text[i] > '~') && text[i] != '\t') {
            problem_at(problem, "bad-character", (unsigned)i);
            text_format(problem->text, sizeof(problem->text),
                        "only printable ASCII may stand here; \"\\xHH\" in a string");
            return fail(ERROR_MALFORMED);
        }
    }
    return OK;
}

/* ---- Following the grammars -------------------------------------------------------------------
 */

/* Calls visit for each word that may come next; `positions.end` of its command tells nothing here.
 */
typedef void (*visit_word)(void *context, const struct command *command, unsigned at, int previous);

static void visit_positions(const struct command *command, unsigned from, int previous,
                            visit_word visit, void *context)
{
    struct grammar_positions positions;
    grammar_follow(command->grammar, from, &positions);
    for (unsigned i = 0; i < positions.count; i++)
        visit(context, command, positions.at[i], previous);
}

static bool command_visible(const struct matcher *matcher, const struct command *command)
{
    if (matcher->statements_only && command->kind != COMMAND_STATEMENT)
        return false;
    return command->role <= matcher->role && (!command->only_in_test || matcher->set->test);
}

static struct grammar_word word_of(const struct command *command, unsigned at)
{
    struct grammar_word word;
    bool good = grammar_word_at(command->grammar, at, &word);
    CHECK(good);
    return word;
}

static void visit_next(const struct matcher *matcher, visit_word visit, void *context)
{
    if (matcher->begun) {
        for (unsigned i = matcher->first; i < matcher->count; i++) {
            const struct state *state = &matcher->states[i];
            visit_positions(state->command, word_of(state->command, state->at).after, (int)i, visit,
                            context);
        }
        return;
    }
    for (unsigned table = 0; table < matcher->set->table_count; table++) {
        for (unsigned i = 0; i < matcher->set->tables[table]->count; i++) {
            const struct command *command = &matcher->set->tables[table]->commands[i];
            if (command_visible(matcher, command))
                visit_positions(command, 0, -1, visit, context);
        }
    }
}

static bool may_end(const struct state *state)
{
    struct grammar_positions positions;
    grammar_follow(state->command->grammar, word_of(state->command, state->at).after, &positions);
    return positions.end;
}

/* In the order of their strength. */
enum match { MATCH_NONE, MATCH_VALUE, MATCH_BEGINNING, MATCH_EXACT };

static bool span_is(struct span a, const char *text, size_t length)
{
    return a.length == length && memcmp(a.start, text, length) == 0;
}

/* How a word of the line fits a word of a grammar; keyword: which, for the two that are keywords.
 */
static enum match match_word(const struct matcher *matcher, const struct grammar_word *expected,
                             const struct word *word, struct span *keyword, struct text *why)
{
    unsigned at = 0;
    struct span candidate;
    enum match best = MATCH_NONE;
    while (!word->quoted && grammar_keyword(expected, &at, &candidate)) {
        bool begins = candidate.length > word->length && word->length > 0 &&
                      memcmp(candidate.start, word->start, word->length) == 0;
        if (span_is(candidate, word->start, word->length)) {
            *keyword = candidate;
            return MATCH_EXACT;
        }
        if (begins && !matcher->stored) {
            *keyword = candidate;
            best = MATCH_BEGINNING;
        }
    }
    if (best != MATCH_NONE || expected->type == TOKEN_WORD)
        return best;
    char scratch[LINE_BYTES_MAX + 16];
    struct text canonical = text_of(scratch, sizeof(scratch));
    struct argument argument;
    bool fits =
        value_parse(expected, word->start, word->length, word->quoted, &argument, &canonical, why);
    return fits ? MATCH_VALUE : MATCH_NONE;
}

/* First pass over a word of the line: how well can it match; and, once it is clear that the line is
 * wrong, what would have matched. */
struct survey {
    const struct matcher *matcher;
    const struct word *word;
    bool describing;
    enum match best;
    struct span keyword; /* best is MATCH_BEGINNING: the first such keyword */
    bool ambiguous;
    char why[96];  /* what a value that nearly fitted says */
    bool is_guess; /* the word is no number at all, and why says which one it might have been */
    struct span nearest;
    unsigned nearest_distance;
    struct text told; /* "gateway, blackhole" */
    unsigned told_count;
    char told_text[160];
    /* The last value that was told, and one of another type before it; TOKEN_WORD: none. */
    enum token_type value, other_value;
};

/* Adds to the list of what is expected, once. */
static void tell(struct survey *survey, const char *before, struct span name, const char *after)
{
    char item[48];
    text_format(item, sizeof(item), "%s%.*s%s", before, (int)name.length, name.start, after);
    size_t length = strlen(item);
    for (const char *at = survey->told_text; *at;) {
        const char *comma = strchr(at, ',');
        size_t here = comma ? (size_t)(comma - at) : strlen(at);
        if (here == length && memcmp(at, item, length) == 0)
            return;
        at += here + (comma ? 2 : 0);
    }
    if (++survey->told_count <= TOLD_MAX)
        text_print(&survey->told, "%s%s", survey->told.length > 0 ? ", " : "", item);
}

static void tell_word(struct survey *survey, const struct grammar_word *expected)
{
    unsigned at = 0;
    struct span keyword;
    while (grammar_keyword(expected, &at, &keyword))
        tell(survey, "", keyword, "");
    if (expected->type == TOKEN_WORD)
        return;
    tell(survey, "<", expected->name, ">");
    if (survey->value != expected->type)
        survey->other_value = survey->value;
    survey->value = expected->type;
}

static void describe_word(struct survey *survey, const struct grammar_word *expected)
{
    unsigned at = 0;
    struct span keyword;
    tell_word(survey, expected);
    while (survey->word && grammar_keyword(expected, &at, &keyword)) {
        struct span typed = { survey->word->start, (uint32_t)survey->word->length };
        survey->nearest = nearest_word(typed, keyword, survey->nearest, &survey->nearest_distance);
    }
}

static bool is_digits(const struct word *word)
{
    for (size_t i = 0; i < word->length; i++)
        if (word->start[i] < '0' || word->start[i] > '9')
            return false;
    return word->length > 0;
}

/* Anything is nearly a number; what else says why not, says it better. */
static void tell_why(struct survey *survey, const struct grammar_word *expected, const char *why)
{
    const bool is_guess = expected->type == TOKEN_NUMBER && !is_digits(survey->word);

    if (is_guess && survey->why[0])
        return;
    text_format(survey->why, sizeof(survey->why), "%s", why);
    survey->is_guess = is_guess;
}

static void survey_word(void *context, const struct command *command, unsigned at, int previous)
{
    (void)previous;
    struct survey *survey = context;
    struct grammar_word expected = word_of(command, at);
    struct span keyword = { 0 };
    char why_text[96];
    struct text why = text_of(why_text, sizeof(why_text));
    enum match match = MATCH_NONE;
    if (survey->word)
        match = match_word(survey->matcher, &expected, survey->word, &keyword, &why);
    bool another = match == MATCH_BEGINNING && survey->best == MATCH_BEGINNING &&
                   !span_is(survey->keyword, keyword.start, keyword.length);
    survey->ambiguous = match > survey->best ? false : survey->ambiguous || another;
    if (match > survey->best) {
        survey->best = match;
        survey->keyword = keyword;
        survey->told_text[0] = '\0'; /* what did not match before tells nothing now */
        survey->told = text_of(survey->told_text, sizeof(survey->told_text));
        survey->told_count = 0;
    }
    if (!survey->describing)
        return;
    if (why.length > 0)
        tell_why(survey, &expected, why_text);
    if (match == MATCH_BEGINNING)
        tell(survey, "", keyword, "");
    else if (match == MATCH_NONE && survey->best == MATCH_NONE)
        describe_word(survey, &expected);
}

/* What may come next, and how well `word` (NULL: none) fits. */
static void survey_next(const struct matcher *matcher, const struct word *word,
                        struct survey *survey)
{
    survey->matcher = matcher;
    survey->word = word;
    survey->describing = false;
    survey->best = MATCH_NONE;
    survey->ambiguous = false;
    visit_next(matcher, survey_word, survey);
}

/* The same, once more, with words for an error. */
static void survey_in_words(const struct matcher *matcher, const struct word *word,
                            struct survey *survey)
{
    *survey = (struct survey){
        .matcher = matcher, .word = word, .describing = true, .nearest_distance = UINT32_MAX
    };
    survey->told = text_of(survey->told_text, sizeof(survey->told_text));
    visit_next(matcher, survey_word, survey);
}

/* Second pass: the matches of the best kind become states. */
struct advance {
    struct matcher *matcher;
    const struct word *word;
    enum match best;
    unsigned end; /* of the states of the word before */
    bool full;
};

static void advance_word(void *context, const struct command *command, unsigned at, int previous)
{
    struct advance *advance = context;
    struct matcher *matcher = advance->matcher;
    struct grammar_word expected = word_of(command, at);
    struct span keyword;
    char why_text[96];
    struct text why = text_of(why_text, sizeof(why_text));
    if (match_word(matcher, &expected, advance->word, &keyword, &why) != advance->best)
        return;
    for (unsigned i = advance->end; i < matcher->count; i++) {
        if (matcher->states[i].command == command && matcher->states[i].at == at)
            return;
    }
    if (matcher->count == STATE_MAX) {
        advance->full = true;
        return;
    }
    matcher->states[matcher->count++] =
        (struct state){ .command = command, .at = (uint16_t)at, .previous = (int16_t)previous };
}

static enum error describe_mismatch(const struct matcher *matcher, const struct word *word,
                                    struct survey *survey, struct problem *problem)
{
    survey_in_words(matcher, word, survey);
    problem_at(problem, "unknown-word", word->column);
    struct text text = text_of(problem->text, sizeof(problem->text));
    const char *more = survey->told_count > TOLD_MAX ? ", ..." : "";
    int shown = (int)MIN_OF(word->length, (size_t)40);
    if (survey->ambiguous) {
        problem_at(problem, "ambiguous", word->column);
        text_print(&text, "\"%.*s\" may be %s%s", shown, word->start, survey->told_text, more);
        return ERROR_MALFORMED;
    }
    if (survey->why[0] && !survey->nearest.length &&
        (!survey->is_guess || survey->told_count == 1)) {
        problem_at(problem, "bad-value", word->column);
        text_print(&text, "%s", survey->why);
        return ERROR_BAD_VALUE;
    }
    if (!matcher->begun)
        problem_at(problem, "unknown-command", word->column);
    if (survey->told_count == 0) {
        text_print(&text, "nothing may follow here, but there is \"%.*s\"", shown, word->start);
        return ERROR_MALFORMED;
    }
    if (survey->told_count == 1 && survey->value != TOKEN_WORD) {
        problem_at(problem, "bad-value", word->column);
        if (survey->other_value != TOKEN_WORD)
            text_print(&text, "expected %s, or %s", token_type_help(survey->other_value),
                       token_type_help(survey->value));
        else
            text_print(&text, "expected %s", token_type_help(survey->value));
        return ERROR_BAD_VALUE;
    }
    text_print(&text, "unknown %s \"%.*s\"", matcher->begun ? "word" : "command", shown,
               word->start);
    if (survey->nearest.length > 0)
        text_print(&text, ", did you mean \"%.*s\"", (int)survey->nearest.length,
                   survey->nearest.start);
    else if (matcher->begun)
        text_print(&text, ", expected %s%s", survey->told_text, more);
    else
        text_print(&text, "; ? lists all");
    return matcher->begun ? ERROR_MALFORMED : ERROR_NOT_FOUND;
}

static enum error matcher_take(struct matcher *matcher, const struct word *word,
                               struct problem *problem)
{
    struct survey survey;
    survey_next(matcher, word, &survey);
    if (survey.best == MATCH_NONE || survey.ambiguous)
        return describe_mismatch(matcher, word, &survey, problem);
    struct advance advance = {
        .matcher = matcher, .word = word, .best = survey.best, .end = matcher->count
    };
    visit_next(matcher, advance_word, &advance);
    if (advance.full) {
        problem_at(problem, "too-long", word->column);
        text_format(problem->text, sizeof(problem->text), "this line is too complicated");
        return fail(ERROR_FULL);
    }
    matcher->first = advance.end;
    matcher->begun = true;
    return OK;
}

/* ---- The answer -------------------------------------------------------------------------------
 */

/* Fills in one argument; its canonical text goes to `room`. */
static enum error make_argument(const struct matcher *matcher, const struct state *state,
                                const struct word *word, struct argument *argument,
                                struct text *room)
{
    struct grammar_word expected = word_of(state->command, state->at);
    char why_text[96];
    struct text why = text_of(why_text, sizeof(why_text));
    struct span keyword = { 0 };
    *argument = (struct argument){ .type = TOKEN_WORD, .name = expected.name };
    argument->column = word->column;
    argument->text = room->start + room->length;
    if (match_word(matcher, &expected, word, &keyword, &why) >= MATCH_BEGINNING)
        text_put(room, keyword.start, keyword.length);
    else if (!value_parse(&expected, word->start, word->length, word->quoted, argument, room, &why))
        return fail(ERROR_BAD_VALUE);
    text_put(room, "", 1); /* its final 0 */
    return room->cut ? fail(ERROR_FULL) : OK;
}

static enum error make_line(const struct matcher *matcher, int last, const struct words *words,
                            unsigned first_word, struct parsed_line *line)
{
    line->command = matcher->states[last].command;
    line->argument_count = words->count - first_word;
    int path[ARGUMENT_MAX];
    for (unsigned i = line->argument_count; i-- > 0; last = matcher->states[last].previous)
        path[i] = last;
    struct text room = text_of(line->text, sizeof(line->text));
    for (unsigned i = 0; i < line->argument_count; i++) {
        enum error error = make_argument(matcher, &matcher->states[path[i]],
                                         &words->list[first_word + i], &line->arguments[i], &room);
        if (error)
            return error;
    }
    return OK;
}

static enum error describe_incomplete(const struct matcher *matcher, size_t length,
                                      struct problem *problem)
{
    struct survey survey;
    survey_in_words(matcher, NULL, &survey);
    problem_at(problem, "incomplete", (unsigned)length);
    text_format(problem->text, sizeof(problem->text), "incomplete, expected %s%s", survey.told_text,
                survey.told_count > TOLD_MAX ? ", ..." : "");
    return ERROR_TRUNCATED;
}

static enum error find_line(const struct matcher *matcher, const struct words *words,
                            unsigned first_word, size_t length, struct parsed_line *line,
                            struct problem *problem)
{
    for (unsigned i = matcher->first; i < matcher->count; i++) {
        line->whole = may_end(&matcher->states[i]);
        if (line->whole)
            return make_line(matcher, (int)i, words, first_word, line);
    }
    if (!line->negated)
        return describe_incomplete(matcher, length, problem);
    return make_line(matcher, (int)matcher->first, words, first_word, line);
}

static bool word_is(const struct word *word, const char *text)
{
    return !word->quoted && word->length == strlen(text) &&
           memcmp(word->start, text, word->length) == 0;
}

enum error parse_line(const struct command_set *set, const char *text, size_t length,
                      unsigned flags, struct parsed_line *line, struct problem *problem)
{
    struct words words;
    struct matcher matcher;
    matcher.set = set;
    matcher.stored = (flags & PARSE_STORED) != 0;
    matcher.role = ROLE_ADMIN;
    matcher.first = matcher.count = 0;
    matcher.begun = false;
    enum error error = split_words(text, length, &words, problem);
    if (error)
        return error;
    line->negated = words.count > 0 && word_is(&words.list[0], "no");
    matcher.statements_only = line->negated || (flags & PARSE_STATEMENTS) != 0;
    unsigned first_word = line->negated ? 1 : 0;
    for (unsigned i = first_word; i < words.count; i++) {
        error = matcher_take(&matcher, &words.list[i], problem);
        if (error)
            return error;
    }
    if (words.count == first_word)
        return describe_incomplete(&matcher, length, problem);
    error = find_line(&matcher, &words, first_word, length, line, problem);
    if (error == ERROR_FULL) {
        problem_at(problem, "too-long", 0);
        text_format(problem->text, sizeof(problem->text), "the line is too long in its full form");
    }
    return error;
}

static bool is_keyword(const struct argument *argument)
{
    return argument->type == TOKEN_WORD &&
           span_is(argument->name, argument->text, strlen(argument->text));
}

const struct argument *line_argument_next(const struct parsed_line *line, const char *name,
                                          const struct argument *previous)
{
    unsigned first = previous ? (unsigned)(previous - line->arguments) + 1 : 0;
    for (unsigned i = first; i < line->argument_count; i++) {
        const struct argument *argument = &line->arguments[i];
        if (!is_keyword(argument) && span_is(argument->name, name, strlen(name)))
            return argument;
    }
    return NULL;
}

const struct argument *line_argument(const struct parsed_line *line, const char *name)
{
    return line_argument_next(line, name, NULL);
}

bool line_has(const struct parsed_line *line, const char *keyword)
{
    for (unsigned i = 0; i < line->argument_count; i++) {
        const struct argument *argument = &line->arguments[i];
        if (argument->type == TOKEN_WORD && strcmp(argument->text, keyword) == 0)
            return true;
    }
    return false;
}

enum family line_family(const struct parsed_line *line)
{
    return line_has(line, "ipv6") ? FAMILY_IPV6 : FAMILY_IPV4;
}

bool line_names_value(const struct parsed_line *line)
{
    for (unsigned i = 0; i < line->argument_count; i++) {
        if (!is_keyword(&line->arguments[i]))
            return true;
    }
    return false;
}

/* ---- Printing ---------------------------------------------------------------------------------
 */

void print_quoted(struct text *out, const char *string)
{
    bool plain = string[0] != '\0' && string[0] != '"';
    for (const char *c = string; *c; c++) {
        if (*c <= ' ' || *c > '~' || *c == '|')
            plain = false;
    }
    if (plain) {
        text_print(out, "%s", string);
        return;
    }
    text_put(out, "\"", 1);
    for (const char *c = string; *c; c++) {
        if (*c == '"' || *c == '\\')
            text_print(out, "\\%c", *c);
        else if (*c == '\n')
            text_put(out, "\\n", 2);
        else if (*c < ' ' || *c > '~')
            text_print(out, "\\x%02x", (unsigned char)*c);
        else
            text_put(out, c, 1);
    }
    text_put(out, "\"", 1);
}

size_t line_print(const struct parsed_line *line, bool show_secrets, char *out, size_t size)
{
    struct text text = text_of(out, size);
    if (line->negated)
        text_print(&text, "no ");
    for (unsigned i = 0; i < line->argument_count; i++) {
        const struct argument *argument = &line->arguments[i];
        if (i > 0)
            text_put(&text, " ", 1);
        if (argument->type == TOKEN_SECRET && !show_secrets)
            text_print(&text, "***");
        else if (argument->type == TOKEN_SECRET || argument->type == TOKEN_STRING)
            print_quoted(&text, argument->text);
        else
            text_print(&text, "%s", argument->text);
    }
    return text.length;
}

/* ---- What may come next ------------------------------------------------------------------------
 */

struct collect {
    struct expectation *out;
    bool identified; /* there is only one command that it can be */
    const char *partial;
    size_t partial_length;
};

static void expect_item(struct expectation *out, enum token_type type, struct span word,
                        const char *help)
{
    char shown[sizeof(out->items[0].word)];
    text_format(shown, sizeof(shown), type == TOKEN_WORD ? "%.*s" : "<%.*s>", (int)word.length,
                word.start);
    unsigned place = out->count;
    for (unsigned i = 0; i < out->count; i++) {
        bool item_is_value = out->items[i].type != TOKEN_WORD;
        int order = strcmp(shown, out->items[i].word);
        if (order == 0) { /* several commands go on with it: none of them says what it is */
            if (out->items[i].help != help)
                out->items[i].help = "";
            return;
        }
        bool before = type == TOKEN_WORD ? item_is_value || order < 0 : item_is_value && order < 0;
        if (before && place == out->count)
            place = i;
    }
    if (out->count == EXPECTED_MAX)
        return;
    memmove(&out->items[place + 1], &out->items[place],
            (out->count - place) * sizeof(out->items[0]));
    struct expected *item = &out->items[place];
    *item = (struct expected){ .help = help, .type = type };
    memcpy(item->word, shown, sizeof(shown));
    out->count++;
}

static void collect_word(void *context, const struct command *command, unsigned at, int previous)
{
    (void)previous;
    struct collect *collect = context;
    struct grammar_word expected = word_of(command, at);
    unsigned keyword_at = 0;
    struct span keyword;
    while (grammar_keyword(&expected, &keyword_at, &keyword)) {
        if (keyword.length >= collect->partial_length &&
            memcmp(keyword.start, collect->partial, collect->partial_length) == 0)
            expect_item(collect->out, TOKEN_WORD, keyword,
                        collect->identified ? "" : command->help);
    }
    if (expected.type != TOKEN_WORD)
        expect_item(collect->out, expected.type, expected.name, token_type_help(expected.type));
}

static bool has_statements(const struct matcher *matcher)
{
    for (unsigned table = 0; table < matcher->set->table_count; table++) {
        const struct command_table *commands = matcher->set->tables[table];
        for (unsigned i = 0; i < commands->count; i++) {
            if (commands->commands[i].kind == COMMAND_STATEMENT &&
                commands->commands[i].role <= matcher->role)
                return true;
        }
    }
    return false;
}

enum error parse_expect(const struct command_set *set, const char *text, size_t length,
                        enum role role, struct expectation *out, struct problem *problem)
{
    struct words words;
    struct matcher matcher;
    matcher.set = set;
    matcher.stored = false;
    matcher.role = role;
    matcher.first = matcher.count = 0;
    matcher.begun = false;
    out->count = 0;
    out->partial = length;
    enum error error = split_words(text, length, &words, problem);
    if (error)
        return error;
    bool open = words.count > 0 && words.open;
    unsigned whole = words.count - (open ? 1 : 0);
    matcher.statements_only = whole > 0 && word_is(&words.list[0], "no");
    struct collect collect = { .out = out, .partial = "" };
    if (open) {
        const struct word *word = &words.list[whole];
        out->partial = word->column;
        collect.partial = word->start;
        collect.partial_length = word->length;
    }
    for (unsigned i = matcher.statements_only ? 1 : 0; i < whole; i++) {
        error = matcher_take(&matcher, &words.list[i], problem);
        if (error)
            return error;
    }
    collect.identified = matcher.begun;
    for (unsigned i = matcher.first; i < matcher.count; i++) {
        if (matcher.states[i].command != matcher.states[matcher.first].command)
            collect.identified = false;
    }
    visit_next(&matcher, collect_word, &collect);
    bool no_possible = !matcher.begun && whole == 0 && has_statements(&matcher) &&
                       collect.partial_length <= 2 &&
                       memcmp("no", collect.partial, collect.partial_length) == 0;
    if (no_possible)
        expect_item(out, TOKEN_WORD, (struct span){ "no", 2 }, "takes a statement back");
    for (unsigned i = matcher.first; !open && matcher.begun && i < matcher.count; i++) {
        if (may_end(&matcher.states[i]) && out->count < EXPECTED_MAX) {
            out->items[out->count++] =
                (struct expected){ .word = "<enter>",
                                   .help = matcher.states[i].command->help,
                                   .end = true,
                                   .statement =
                                       matcher.states[i].command->kind == COMMAND_STATEMENT };
            break;
        }
    }
    return OK;
}
