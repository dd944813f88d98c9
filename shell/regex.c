/* A pattern becomes a program; the text is fed through all threads of the program at once (Thompson
 * 1968), so there is nothing to go back to and no pattern is slow.
 *
 *   e*    0: FORK +1, +n+2    1..n: e    n+1: JUMP -(n+1)
 *   e+    0..n-1: e           n: FORK -n, +1
 *   e?    0: FORK +1, +n+1    1..n: e
 *   a|b   0: FORK +1, +n+2    1..n: a    n+1: JUMP +m+1    b
 *
 * Targets are relative, so that a part can be shifted to make room for the FORK in front of it. */
#include "shell/regex.h"

#include <string.h>

enum step_kind { CHARACTER, ANY, SET, FORK, JUMP, LINE_START, LINE_END, FOUND };

struct compiler {
    struct regex *regex;
    const char *pattern;
    size_t length, at;
    unsigned depth;
    const char *wrong;
};

static void refuse(struct compiler *compiler, const char *why)
{
    if (!compiler->wrong)
        compiler->wrong = why;
}

/* Opens a gap of one step at `place` and puts a step there. */
static void insert(struct compiler *compiler, unsigned place, struct regex_step step)
{
    struct regex *regex = compiler->regex;
    if (regex->step_count == REGEX_STEP_MAX) {
        refuse(compiler, "the pattern is too long");
        return;
    }
    memmove(&regex->steps[place + 1], &regex->steps[place],
            (regex->step_count - place) * sizeof(step));
    regex->steps[place] = step;
    regex->step_count++;
}

static void append(struct compiler *compiler, struct regex_step step)
{
    insert(compiler, compiler->regex->step_count, step);
}

static bool more(const struct compiler *compiler)
{
    return !compiler->wrong && compiler->at < compiler->length;
}

static bool next_is(const struct compiler *compiler, char c)
{
    return more(compiler) && compiler->pattern[compiler->at] == c;
}

static void set_add(uint32_t *set, unsigned first, unsigned last)
{
    for (unsigned c = first; c <= last; c++)
        set[c / 32] |= 1u << (c % 32);
}

/* \d \w \s; false: the letter stands for itself. */
static bool set_add_class(uint32_t *set, char letter)
{
    switch (letter) {
    case 'd':
        set_add(set, '0', '9');
        return true;
    case 'w':
        set_add(set, '0', '9');
        set_add(set, 'A', 'Z');
        set_add(set, 'a', 'z');
        set_add(set, '_', '_');
        return true;
    case 's':
        set_add(set, ' ', ' ');
        set_add(set, '\t', '\r');
        return true;
    default:
        return false;
    }
}

static uint32_t *set_new(struct compiler *compiler)
{
    struct regex *regex = compiler->regex;
    if (regex->set_count == REGEX_SET_MAX) {
        refuse(compiler, "too many [...] in one pattern");
        return NULL;
    }
    append(compiler, (struct regex_step){ .kind = SET, .value = (uint8_t)regex->set_count });
    memset(regex->sets[regex->set_count], 0, sizeof(regex->sets[0]));
    return regex->sets[regex->set_count++];
}

/* Behind "[". */
static void compile_set(struct compiler *compiler)
{
    uint32_t *set = set_new(compiler);
    bool not = next_is(compiler, '^');
    compiler->at += not ;
    for (bool first = true; set && more(compiler); first = false) {
        unsigned char c = (unsigned char)compiler->pattern[compiler->at++];
        if (c == ']' && !first) {
            for (unsigned i = 0; not &&i < 8; i++)
                set[i] = ~set[i];
            return;
        }
        if (c == '\\' && more(compiler)) {
            c = (unsigned char)compiler->pattern[compiler->at++];
            if (set_add_class(set, (char)c))
                continue;
        }
        unsigned char last = c;
        bool range = compiler->length - compiler->at >= 2 && next_is(compiler, '-') &&
                     compiler->pattern[compiler->at + 1] != ']';
        if (range) {
            last = (unsigned char)compiler->pattern[compiler->at + 1];
            compiler->at += 2;
        }
        if (last < c)
            refuse(compiler, "this range runs backwards");
        set_add(set, c, last);
    }
    refuse(compiler, "[ without ]");
}

static void compile_escape(struct compiler *compiler)
{
    if (!more(compiler)) {
        refuse(compiler, "nothing behind \\");
        return;
    }
    char c = compiler->pattern[compiler->at++];
    uint32_t class[8] = { 0 };
    if (!set_add_class(class, c)) {
        append(compiler, (struct regex_step){ .kind = CHARACTER, .value = (uint8_t)c });
        return;
    }
    uint32_t *set = set_new(compiler);
    if (set)
        memcpy(set, class, sizeof(class));
}

static void compile_choice(struct compiler *compiler);

/* One character, set or group. */
static void compile_atom(struct compiler *compiler)
{
    char c = compiler->pattern[compiler->at++];
    switch (c) {
    case '.':
        append(compiler, (struct regex_step){ .kind = ANY });
        return;
    case '^':
        append(compiler, (struct regex_step){ .kind = LINE_START });
        return;
    case '$':
        append(compiler, (struct regex_step){ .kind = LINE_END });
        return;
    case '[':
        compile_set(compiler);
        return;
    case '\\':
        compile_escape(compiler);
        return;
    case '*':
    case '+':
    case '?':
        refuse(compiler, "nothing to repeat");
        return;
    case '(':
        if (++compiler->depth > REGEX_DEPTH_MAX)
            refuse(compiler, "too many ( inside each other");
        compile_choice(compiler);
        if (!next_is(compiler, ')'))
            refuse(compiler, "( without )");
        compiler->at++;
        compiler->depth--;
        return;
    default:
        append(compiler, (struct regex_step){ .kind = CHARACTER, .value = (uint8_t)c });
    }
}

static void compile_repeat(struct compiler *compiler, unsigned start)
{
    int16_t length = (int16_t)(compiler->regex->step_count - start);
    switch (compiler->pattern[compiler->at++]) {
    case '*':
        insert(compiler, start,
               (struct regex_step){ .kind = FORK, .first = 1, .second = (int16_t)(length + 2) });
        append(compiler, (struct regex_step){ .kind = JUMP, .first = (int16_t)(-length - 1) });
        break;
    case '+':
        append(compiler,
               (struct regex_step){ .kind = FORK, .first = (int16_t)-length, .second = 1 });
        break;
    default:
        insert(compiler, start,
               (struct regex_step){ .kind = FORK, .first = 1, .second = (int16_t)(length + 1) });
    }
}

static void compile_sequence(struct compiler *compiler)
{
    while (more(compiler) && !next_is(compiler, '|') && !next_is(compiler, ')')) {
        unsigned start = compiler->regex->step_count;
        compile_atom(compiler);
        while (next_is(compiler, '*') || next_is(compiler, '+') || next_is(compiler, '?'))
            compile_repeat(compiler, start);
    }
}

static void compile_choice(struct compiler *compiler)
{
    unsigned start = compiler->regex->step_count;
    compile_sequence(compiler);
    if (!next_is(compiler, '|'))
        return;
    compiler->at++;
    int16_t length = (int16_t)(compiler->regex->step_count - start);
    insert(compiler, start,
           (struct regex_step){ .kind = FORK, .first = 1, .second = (int16_t)(length + 2) });
    unsigned jump = compiler->regex->step_count;
    append(compiler, (struct regex_step){ .kind = JUMP });
    if (++compiler->depth > REGEX_STEP_MAX / 4)
        refuse(compiler, "too many | in one pattern");
    compile_choice(compiler);
    compiler->depth--;
    if (!compiler->wrong)
        compiler->regex->steps[jump].first = (int16_t)(compiler->regex->step_count - jump);
}

const char *regex_compile(struct regex *regex, const char *pattern, size_t length, size_t *column)
{
    struct compiler compiler = { .regex = regex, .pattern = pattern, .length = length };
    regex->step_count = regex->set_count = 0;
    compile_choice(&compiler);
    if (more(&compiler))
        refuse(&compiler, ") without (");
    append(&compiler, (struct regex_step){ .kind = FOUND });
    *column = MIN_OF(compiler.at, length);
    return compiler.wrong;
}

/* The steps at which threads wait for the next character, each at most once. */
struct threads {
    unsigned count;
    uint16_t at[REGEX_STEP_MAX];
    bool there[REGEX_STEP_MAX];
};

/* Adds a step and all that follow from it without a character; true when the end is among them. */
static bool threads_add(const struct regex *regex, struct threads *threads, unsigned step,
                        bool line_start, bool line_end)
{
    uint16_t todo[REGEX_STEP_MAX];
    unsigned todo_count = 0;
    if (!threads->there[step]) {
        threads->there[step] = true;
        todo[todo_count++] = (uint16_t)step;
    }
    while (todo_count > 0) {
        unsigned here = todo[--todo_count];
        const struct regex_step *at = &regex->steps[here];
        int next[2] = { -1, -1 };
        switch (at->kind) {
        case FOUND:
            return true;
        case FORK:
            next[1] = (int)here + at->second;
            next[0] = (int)here + at->first;
            break;
        case JUMP:
            next[0] = (int)here + at->first;
            break;
        case LINE_START:
            next[0] = line_start ? (int)here + 1 : -1;
            break;
        case LINE_END:
            next[0] = line_end ? (int)here + 1 : -1;
            break;
        default:
            threads->at[threads->count++] = (uint16_t)here;
        }
        for (unsigned i = 0; i < 2; i++) {
            if (next[i] >= 0 && !threads->there[next[i]]) {
                threads->there[next[i]] = true;
                todo[todo_count++] = (uint16_t)next[i];
            }
        }
    }
    return false;
}

static bool step_takes(const struct regex *regex, const struct regex_step *step, unsigned char c)
{
    switch (step->kind) {
    case CHARACTER:
        return step->value == c;
    case SET:
        return (regex->sets[step->value][c / 32] >> (c % 32) & 1) != 0;
    default:
        return true;
    }
}

bool regex_matches(const struct regex *regex, const char *text, size_t length)
{
    struct threads sets[2];
    struct threads *now = &sets[0], *next = &sets[1];
    memset(sets, 0, sizeof(sets));
    for (size_t i = 0;; i++) {
        if (threads_add(regex, now, 0, i == 0, i == length))
            return true;
        if (i == length)
            return false;
        memset(next, 0, sizeof(*next));
        for (unsigned t = 0; t < now->count; t++) {
            unsigned at = now->at[t];
            if (step_takes(regex, &regex->steps[at], (unsigned char)text[i]) &&
                threads_add(regex, next, at + 1, false, i + 1 == length))
                return true;
        }
        struct threads *swap = now;
        now = next;
        next = swap;
    }
}
