/* Reading grammar strings. There is no compiled form: following a grammar from one word to the next
 * touches a few dozen characters, and only for the commands that the line may still become. */
#include "shell/grammar.h"

#include <string.h>

#include "kernel/base/text.h"

static bool opens(char c)
{
    return c == '[' || c == '{';
}

static bool closes(char c)
{
    return c == ']' || c == '}';
}

static unsigned value_end(const char *grammar, unsigned at)
{
    while (grammar[at] != '\0' && grammar[at] != '>')
        at++;
    return grammar[at] == '>' ? at + 1 : at;
}

/* From behind an opening bracket, or behind a `|`: the offset of the bracket that closes it, or of
 * the next
 * `|` on this level where stop_at_bar. */
static unsigned bracket_end(const char *grammar, unsigned at, bool stop_at_bar)
{
    unsigned depth = 0;
    while (grammar[at] != '\0') {
        char c = grammar[at];
        if (c == '<') {
            at = value_end(grammar, at);
            continue;
        }
        if (depth == 0 && (closes(c) || (stop_at_bar && c == '|')))
            return at;
        depth += opens(c);
        depth -= closes(c);
        at++;
    }
    return at;
}

/* The opening bracket of the closing one at `at`. */
static unsigned bracket_start(const char *grammar, unsigned at)
{
    unsigned depth = 0;
    while (at > 0) {
        at--;
        if (opens(grammar[at]) && depth == 0)
            return at;
        depth += closes(grammar[at]);
        depth -= opens(grammar[at]);
    }
    return 0;
}

static void add(struct grammar_positions *out, unsigned at)
{
    for (unsigned i = 0; i < out->count; i++) {
        if (out->at[i] == at)
            return;
    }
    CHECK(out->count < GRAMMAR_POSITION_MAX);
    out->at[out->count++] = (uint16_t)at;
}

static void follow(const char *grammar, unsigned at, unsigned depth, struct grammar_positions *out)
{
    CHECK(depth < GRAMMAR_DEPTH_MAX);
    for (;;) {
        switch (grammar[at]) {
        case '\0':
            out->end = true;
            return;
        case ' ':
        case '}':
        case '*':
            at++;
            break;
        case '[': /* what is inside, and what is behind */
            follow(grammar, at + 1, depth + 1, out);
            at = bracket_end(grammar, at + 1, false) + 1;
            break;
        case ']': /* again, where it is repeated, and what is behind */
            if (grammar[at + 1] == '*')
                follow(grammar, bracket_start(grammar, at) + 1, depth + 1, out);
            at++;
            break;
        case '{':
            do {
                follow(grammar, at + 1, depth + 1, out);
                at = bracket_end(grammar, at + 1, true);
            } while (grammar[at] == '|');
            return;
        case '|': /* one alternative is over: go on behind all of them */
            at = bracket_end(grammar, at + 1, false);
            break;
        default:
            add(out, at);
            return;
        }
    }
}

void grammar_follow(const char *grammar, unsigned at, struct grammar_positions *out)
{
    out->count = 0;
    out->end = false;
    follow(grammar, at, 0, out);
}

/* The types that a grammar names, and what `?` says of them. */
static const struct {
    const char *name;
    enum token_type type;
    const char *help;
} types[] = {
    { "ADDR4", TOKEN_ADDR4, "IPv4 address, like 192.0.2.1" },
    { "PREFIX4", TOKEN_PREFIX4, "IPv4 network, like 192.0.2.0/24" },
    { "ADDRLEN4", TOKEN_HOST4, "IPv4 address in its network, like 192.0.2.1/24" },
    { "ADDR6", TOKEN_ADDR6, "IPv6 address, like 2001:db8::1" },
    { "PREFIX6", TOKEN_PREFIX6, "IPv6 network, like 2001:db8::/32" },
    { "ADDRLEN6", TOKEN_HOST6, "IPv6 address in its network, like 2001:db8::1/64" },
    { "TIME", TOKEN_TIME, "a time, like 10s, 5m, 2h or 1d" },
    { "MAC", TOKEN_MAC, "MAC address, like 52:54:00:12:34:56" },
    { "IFNAME", TOKEN_IFNAME, "name of an interface, like eth0" },
    { "NAME", TOKEN_NAME, "a name of letters, digits, _ . and -" },
    { "PORTS", TOKEN_PORTS, "a port, or a range of them, like 80 or 1024-65535" },
    { "FLAGS", TOKEN_FLAGS,
      "TCP flags, like S, SA, S!A or !A: set, and behind ! not set; of FSRPAUEC" },
    { "ENDPOINT", TOKEN_ENDPOINT,
      "an address, with a port: 192.0.2.1:80, [2001:db8::1]:80; without one for ICMP" },
    { "STR", TOKEN_STRING, "a word, or text \"in quotes\"" },
    { "SECRET", TOKEN_SECRET, "a secret, or its stored form $s$..." },
    { "", TOKEN_NUMBER, "a number" },
};

const char *token_type_help(enum token_type type)
{
    for (unsigned i = 0; i < ARRAY_COUNT(types); i++) {
        if (types[i].type == type)
            return types[i].help;
    }
    return "";
}

static bool type_of(struct span name, struct grammar_word *word)
{
    const char *dash = memchr(name.start, '-', name.length);
    if (dash) {
        size_t before = (size_t)(dash - name.start);
        word->type = TOKEN_NUMBER;
        return text_to_u64(name.start, before, UINT64_MAX, &word->minimum) &&
               text_to_u64(dash + 1, name.length - before - 1, UINT64_MAX, &word->maximum);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(types); i++) {
        if (strlen(types[i].name) == name.length &&
            memcmp(types[i].name, name.start, name.length) == 0 && name.length > 0) {
            word->type = types[i].type;
            return true;
        }
    }
    return false;
}

static bool ends_keyword(char c)
{
    switch (c) {
    case '\0':
    case ' ':
    case '[':
    case ']':
    case '{':
    case '}':
    case '|':
    case '<':
    case '>':
    case '*':
        return true;
    default:
        return false;
    }
}

bool grammar_word_at(const char *grammar, unsigned at, struct grammar_word *word)
{
    *word = (struct grammar_word){ .type = TOKEN_WORD };
    const char *start = grammar + at;
    if (*start != '<') {
        word->name.start = start;
        while (!ends_keyword(start[word->name.length]))
            word->name.length++;
        word->after = at + word->name.length;
        return word->name.length > 0;
    }
    word->after = value_end(grammar, at);
    uint32_t length = word->after - at - 2; /* between < and > */
    start++;
    const char *colon = memchr(start, ':', length);
    if (!colon || colon == start)
        return false;
    word->name = (struct span){ start, (uint32_t)(colon - start) };
    struct span type = { colon + 1, length - word->name.length - 1 };
    const char *bar = memchr(type.start, '|', type.length);
    if (bar) {
        word->keywords.start = bar + 1;
        word->keywords.length = type.length - (uint32_t)(bar - type.start) - 1;
        type.length = (uint32_t)(bar - type.start);
    }
    return type_of(type, word);
}

bool grammar_keyword(const struct grammar_word *word, unsigned *at, struct span *keyword)
{
    struct span all = word->type == TOKEN_WORD ? word->name : word->keywords;
    if (*at >= all.length)
        return false;
    const char *start = all.start + *at;
    const char *bar = memchr(start, '|', all.length - *at);
    *keyword = (struct span){ start, bar ? (uint32_t)(bar - start) : all.length - *at };
    *at += keyword->length + 1;
    return true;
}
