/* The regular expressions of `| match`, against a twin that goes back on its steps. */
#include "shell/regex.h"

#include <string.h>

#include "tests/unit/test.h"

static bool matches(const char *pattern, const char *text)
{
    struct regex regex;
    size_t column;
    EXPECT(regex_compile(&regex, pattern, strlen(pattern), &column) == NULL);
    return regex_matches(&regex, text, strlen(text));
}

TEST(regex_matches_what_it_says)
{
    EXPECT(matches("eth0", "interface eth0 up"));
    EXPECT(!matches("^eth0", "interface eth0"));
    EXPECT(matches("^interface .* up$", "interface eth0 up"));
    EXPECT(matches("eth[0-9]+", "eth12"));
    EXPECT(!matches("eth[^0-9]", "eth1"));
    EXPECT(matches("[]x]", "]"));
    EXPECT(matches("a|b|", "zzz"));
    EXPECT(matches("^(ab|cd)*$", "abcdab"));
    EXPECT(!matches("^(ab|cd)+$", "abc"));
    EXPECT(matches("\\.", "10.0"));
    EXPECT(!matches("\\.", "100"));
    EXPECT(matches("^\\d+\\s\\w+$", "12 ab_3"));
    EXPECT(matches("[\\d-]", "-"));
    EXPECT(matches("", ""));
    EXPECT(matches("^$", ""));
    EXPECT(matches("x?$", "y"));
}

TEST(regex_says_what_is_wrong_and_where)
{
    static const struct {
        const char *pattern;
        unsigned column;
    } wrong[] = {
        { "a(b", 3 }, { "a)", 1 }, { "[a", 2 }, { "*a", 1 }, { "a\\", 2 }, { "[z-a]", 4 }
    };
    for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct regex regex;
        size_t column;
        EXPECT(regex_compile(&regex, wrong[i].pattern, strlen(wrong[i].pattern), &column) != NULL);
        EXPECT_EQUAL(column, wrong[i].column);
    }
}

TEST(regex_bounds_the_pattern)
{
    struct regex regex;
    size_t column;
    char pattern[1000];
    static const char parts[] = "a(|[";
    for (unsigned part = 0; part < 4; part++) {
        memset(pattern, parts[part], sizeof(pattern));
        EXPECT(regex_compile(&regex, pattern, sizeof(pattern), &column) != NULL);
    }
}

TEST(regex_is_not_slow_where_others_are)
{
    char text[2001];
    memset(text, 'a', 2000);
    text[2000] = '\0';
    EXPECT(!matches("^(a*)*(a|a)*(a+a+)+b$", text));
}

/* ---- The twin: characters, . * + ? | ( ) ^ $ by going back, on short texts
 * ------------------------ */

struct twin {
    const char *text, *text_end;
};

struct twin_then;

/* All the places in the text where pattern [p, e) may end when it begins at t, given to then(). */
static bool twin_choice(const struct twin *twin, const char *p, const char *e, const char *t,
                        const struct twin_then *then);

struct twin_then {
    bool (*go)(const struct twin *twin, const char *t, const struct twin_then *then);
    const char *p, *e; /* what is still to be matched */
    const char *atom, *atom_end;
    const struct twin_then *next;
    const char *from; /* where the last turn of a loop began: an empty turn is the last */
    bool once;
};

static bool twin_finish(const struct twin *twin, const char *t, const struct twin_then *then)
{
    (void)twin;
    (void)t;
    (void)then;
    return true;
}

static const char *twin_atom_end(const char *p)
{
    if (*p != '(')
        return p + 1;
    unsigned depth = 0;
    do {
        depth += *p == '(';
        depth -= *p == ')';
        p++;
    } while (depth > 0);
    return p;
}

static bool twin_sequence(const struct twin *twin, const char *p, const char *e, const char *t,
                          const struct twin_then *then);

static bool twin_rest(const struct twin *twin, const char *t, const struct twin_then *then)
{
    return twin_sequence(twin, then->p, then->e, t, then->next);
}

static bool twin_atom(const struct twin *twin, const char *p, const char *e, const char *t,
                      const struct twin_then *then)
{
    if (*p == '(')
        return twin_choice(twin, p + 1, e - 1, t, then);
    if (*p == '^')
        return t == twin->text && then->go(twin, t, then);
    if (*p == '$')
        return t == twin->text_end && then->go(twin, t, then);
    bool takes = t < twin->text_end && (*p == '.' || *p == *t);
    return takes && then->go(twin, t + 1, then);
}

/* Once more the same atom, or what is behind it. */
static bool twin_again(const struct twin *twin, const char *t, const struct twin_then *then)
{
    if (twin_sequence(twin, then->p, then->e, t, then->next))
        return true;
    if (then->once || t == then->from)
        return false;
    struct twin_then more = *then;
    more.from = t;
    return twin_atom(twin, then->atom, then->atom_end, t, &more);
}

static bool twin_sequence(const struct twin *twin, const char *p, const char *e, const char *t,
                          const struct twin_then *then)
{
    if (p == e)
        return then->go(twin, t, then);
    const char *atom_end = twin_atom_end(p);
    char repeat = atom_end < e ? *atom_end : 0;
    bool repeated = repeat == '*' || repeat == '+' || repeat == '?';
    struct twin_then rest = { .go = twin_rest, .p = atom_end + repeated, .e = e, .next = then };
    if (!repeated)
        return twin_atom(twin, p, atom_end, t, &rest);
    rest.atom = p;
    rest.atom_end = atom_end;
    rest.go = twin_again;
    rest.once = repeat == '?';
    if (repeat == '+' || repeat == '?') {
        struct twin_then once = rest;
        if (repeat == '?' && twin_sequence(twin, rest.p, rest.e, t, then))
            return true;
        return twin_atom(twin, p, atom_end, t, &once);
    }
    return twin_again(twin, t, &rest);
}

static bool twin_choice(const struct twin *twin, const char *p, const char *e, const char *t,
                        const struct twin_then *then)
{
    const char *bar = p;
    while (bar < e && *bar != '|')
        bar = twin_atom_end(bar);
    if (twin_sequence(twin, p, bar, t, then))
        return true;
    return bar < e && twin_choice(twin, bar + 1, e, t, then);
}

static bool twin_matches(const char *pattern, const char *text)
{
    struct twin twin = { .text = text, .text_end = text + strlen(text) };
    struct twin_then finish = { .go = twin_finish };
    for (const char *t = text; t <= twin.text_end; t++) {
        if (twin_choice(&twin, pattern, pattern + strlen(pattern), t, &finish))
            return true;
    }
    return false;
}

static uint64_t state = 1;
static unsigned chance(unsigned count)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % count;
}

static void random_pattern(char *out, size_t *length, unsigned depth)
{
    unsigned parts = 1 + chance(3);
    for (unsigned i = 0; i < parts; i++) {
        unsigned kind = chance(depth < 2 ? 9 : 6);
        if (kind < 6) {
            out[(*length)++] = "aab.^$"[kind];
        } else {
            out[(*length)++] = '(';
            random_pattern(out, length, depth + 1);
            if (chance(2)) {
                out[(*length)++] = '|';
                random_pattern(out, length, depth + 1);
            }
            out[(*length)++] = ')';
        }
        if (chance(3) == 0)
            out[(*length)++] = "*+?"[chance(3)];
    }
    out[*length] = '\0';
}

TEST(regex_agrees_with_a_twin_that_goes_back)
{
    unsigned matched = 0;
    for (unsigned i = 0; i < 20000; i++) {
        char pattern[256], text[6];
        size_t length = 0;
        random_pattern(pattern, &length, 0);
        unsigned text_length = chance(5);
        for (unsigned t = 0; t < text_length; t++)
            text[t] = "ab"[chance(2)];
        text[text_length] = '\0';
        bool wanted = twin_matches(pattern, text);
        matched += wanted;
        if (matches(pattern, text) != wanted)
            test_fail(__FILE__, __LINE__, "/%s/ on \"%s\": the twin says %d", pattern, text,
                      wanted);
    }
    EXPECT(matched > 2000);
    EXPECT(matched < 18000);
}
