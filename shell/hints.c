/* Both ask parse_expect() about the line up to the cursor; behind a bar, about the words that
 * filters have. */
#include "shell/hints.h"

#include <string.h>

#include "kernel/base/text.h"
#include "net/router.h"
#include "shell/parse.h"

enum { HELP_COLUMN = 24 };

size_t spoken_prefix(const char *text, size_t length)
{
    size_t at = 0;
    while (at < length && text[at] == ' ')
        at++;
    if (length - at > 3 && memcmp(text + at, "do ", 3) == 0)
        return at + 3;
    if (length - at > 4 && memcmp(text + at, "run ", 4) == 0)
        return at + 4;
    return 0;
}

static enum error expect(const struct session *session, struct expectation *out, bool *filter,
                         struct problem *problem)
{
    const struct line_editor *editor = &session->editor;
    const char *text = editor->line;
    size_t length = editor->cursor, start = 0, bar;
    while ((bar = line_find_bar(text, length, start)) < length)
        start = bar + 1;
    *filter = start > 0;
    const struct command_set *set = *filter ? &pipe_command_set : &session->shell->commands;
    if (!*filter && session->candidate)
        start = spoken_prefix(text, length);
    enum error error = parse_expect(set, text + start, length - start, session->role, out, problem);
    out->partial += start;
    return error;
}

/* Only the column is known to be wrong: the words before the cursor make no sense. */
static void show_problem(const struct session *session, const struct sink *sink,
                         const struct problem *problem)
{
    if (problem->column >= 0) {
        sink_spaces(sink,
                    ((unsigned)problem->column + session->editor.prompt_length) % session->columns);
        sink_print(sink, "^\n");
    }
    sink_print(sink, "%s\n", problem->text);
}

/* What a command says of itself tells its words apart only where it has one here. */
static const char *help_of(const struct expectation *expectation, unsigned index)
{
    const struct expected *item = &expectation->items[index];
    const char *own = word_help(item->word);
    bool shared = item->help[0] == '\0';
    for (unsigned i = 0; i < expectation->count && !item->end; i++)
        shared = shared || (i != index && expectation->items[i].help == item->help);
    return shared && own[0] ? own : item->help;
}

void hints_show(struct session *session)
{
    struct sink sink = output_sink(&session->output);
    struct expectation expectation;
    struct problem problem;
    bool filter;
    editor_suspend(&session->editor);
    if (expect(session, &expectation, &filter, &problem) != OK) {
        show_problem(session, &sink, &problem);
        editor_resume(&session->editor);
        return;
    }
    bool may_filter = false;
    for (unsigned i = 0; i < expectation.count; i++) {
        const struct expected *item = &expectation.items[i];
        const char *help = help_of(&expectation, i);
        unsigned length = (unsigned)strlen(item->word);
        sink_print(&sink, "  %s", item->word);
        sink_spaces(&sink, length < HELP_COLUMN ? HELP_COLUMN - length : 1);
        sink_print(&sink, "%s\n", help);
        may_filter = may_filter || (item->end && !item->statement);
    }
    if (may_filter && !filter)
        sink_print(&sink, "  |                       filter the answer\n");
    if (expectation.count == 0)
        sink_print(&sink, "  nothing may stand here\n");
    editor_resume(&session->editor);
}

/* The words that the partial one may become. */
struct candidates {
    const char *partial;
    size_t partial_length;
    unsigned count;
    char words[EXPECTED_MAX + PORT_MAX + 1][sizeof(((struct expected *)0)->word)];
};

static void add(struct candidates *candidates, const char *word)
{
    if (strncmp(word, candidates->partial, candidates->partial_length) != 0 ||
        candidates->count == ARRAY_COUNT(candidates->words))
        return;
    text_format(candidates->words[candidates->count++], sizeof(candidates->words[0]), "%s", word);
}

static void add_interfaces(struct candidates *candidates, const struct router *router)
{
    for (unsigned i = 0; i < router->port_count; i++)
        add(candidates, router->ports[i].name);
}

static size_t common_length(const struct candidates *candidates)
{
    const char *first = candidates->words[0];
    size_t length = strlen(first);
    for (unsigned i = 1; i < candidates->count; i++) {
        size_t same = 0;
        while (same < length && candidates->words[i][same] == first[same])
            same++;
        length = same;
    }
    return length;
}

static void list_candidates(struct session *session, const struct candidates *candidates)
{
    struct sink sink = output_sink(&session->output);
    unsigned column = 0;
    editor_suspend(&session->editor);
    for (unsigned i = 0; i < candidates->count; i++) {
        unsigned length = (unsigned)strlen(candidates->words[i]);
        bool fits = column + 2 + length < session->columns;
        if (i > 0)
            sink_print(&sink, fits ? "  " : "\n");
        column = i > 0 && fits ? column + 2 + length : length;
        sink_print(&sink, "%s", candidates->words[i]);
    }
    sink_print(&sink, "\n");
    editor_resume(&session->editor);
}

void hints_complete(struct session *session)
{
    struct line_editor *editor = &session->editor;
    struct sink sink = output_sink(&session->output);
    struct expectation expectation;
    struct problem problem;
    bool filter;
    if (expect(session, &expectation, &filter, &problem) != OK) {
        sink_put(&sink, "\a", 1);
        return;
    }
    struct candidates candidates = { .partial = editor->line + expectation.partial,
                                     .partial_length = editor->cursor - expectation.partial };
    /* The word being typed ends at the cursor; what stands behind it is not looked at. */
    char partial[LINE_BYTES_MAX + 1];
    memcpy(partial, candidates.partial, candidates.partial_length);
    partial[candidates.partial_length] = '\0';
    candidates.partial = partial;
    for (unsigned i = 0; i < expectation.count; i++) {
        const struct expected *item = &expectation.items[i];
        if (item->type == TOKEN_IFNAME)
            add_interfaces(&candidates, session->shell->router);
        else if (item->type == TOKEN_WORD && !item->end)
            add(&candidates, item->word);
    }
    if (candidates.count == 0) {
        sink_put(&sink, "\a", 1);
        return;
    }
    size_t common = common_length(&candidates);
    if (common > candidates.partial_length)
        editor_insert(editor, candidates.words[0] + candidates.partial_length,
                      (unsigned)(common - candidates.partial_length));
    else if (candidates.count > 1)
        list_candidates(session, &candidates);
    if (candidates.count == 1)
        editor_insert(editor, " ", 1);
}

/* Keywords that stand in front of several commands, or behind where the command is known. A unit
 * test finds those that are missing here. */
const char *word_help(const char *word)
{
    static const struct {
        const char *word, *help;
    } words[] = {
        { "address", "an address" },
        { "admin", "may do everything" },
        { "all", "also those that never happened" },
        { "and-quit", "and leave configure" },
        { "arp", "neighbors by IPv4 address" },
        { "asm", "its instructions, with comments" },
        { "auto", "addresses, routes and more, as other routers advertise them" },
        { "avx2", "for processors with AVX2" },
        { "avx512", "for processors with AVX-512" },
        { "blackhole", "drop in silence" },
        { "books", "where all packets have gone" },
        { "candidate", "what `configure` edits" },
        { "check", "only look whether it would work" },
        { "clear", "set counters to zero, forget what was learned" },
        { "code", "the machine code of filters" },
        { "com1", "the serial port" },
        { "comment", "a note that means nothing" },
        { "commit", "check the candidate, and apply it" },
        { "configuration", "the configuration as statements" },
        { "console", "a local console" },
        { "count", "how many" },
        { "default", "every destination that has no other route; all that no filter matches" },
        { "cores", "what each core does" },
        { "cost", "the cycles of each part, measured here and now" },
        { "df", "do not fragment on the way" },
        { "dns", "a server of names" },
        { "distance", "of several routes the one with the smallest distance wins" },
        { "down", "out of service" },
        { "dport", "to which TCP or UDP port" },
        { "drop", "drop in silence" },
        { "dst", "to whom" },
        { "exit", "leave configure, or log out" },
        { "explain", "what would become of a packet" },
        { "file", "a file with one in each line" },
        { "filter", "rules about packets" },
        { "flags", "flags of TCP" },
        { "flash", "make them anew, at once" },
        { "format", "how answers are printed" },
        { "fragment", "a piece of a packet" },
        { "from", "the address to ask from" },
        { "gateway", "the next router on the way" },
        { "hex", "the bytes of its instructions, with comments" },
        { "hits", "by how often they have decided" },
        { "icmp", "the protocol of errors and pings" },
        { "in", "by which interface it came" },
        { "interface", "a network interface" },
        { "interfaces", "network interfaces" },
        { "interval", "milliseconds between them" },
        { "ip", "IPv4" },
        { "ipv6", "IPv6" },
        { "jit", "how filters are carried out" },
        { "json", "one line of JSON for each" },
        { "latency", "how long packets stay" },
        { "length", "lines of a page" },
        { "load", "read statements, or a file of routes" },
        { "log", "and write it to the log" },
        { "login", "who may log in" },
        { "mac", "MAC address" },
        { "memory", "memory and who has it" },
        { "merge", "into what is there" },
        { "monitor", "log lines as they come" },
        { "mtu", "the longest packet to send" },
        { "name", "the host name" },
        { "neighbors", "neighbors and their MAC addresses" },
        { "off", "not at all" },
        { "on", "from now on" },
        { "operator", "may also clear and reset" },
        { "out", "by which interface it leaves" },
        { "pass", "let it go on" },
        { "password", "what the login has to know" },
        { "prefix", "a network" },
        { "proto", "the protocol behind the IP header" },
        { "proxy", "answer on behalf of others" },
        { "queues", "the queues of each card" },
        { "ra", "router advertisements" },
        { "reject", "drop, and tell the sender" },
        { "replace", "instead of what is there" },
        { "role", "what the login may do" },
        { "route", "routes" },
        { "routes", "a file of routes" },
        { "secondary", "another address of the same network" },
        { "set", "a set of prefixes" },
        { "show", "tell something and change nothing" },
        { "size", "bytes behind the ICMP header" },
        { "sort", "in which order" },
        { "sport", "from which TCP or UDP port" },
        { "src", "from whom" },
        { "sse2", "for all processors" },
        { "summary", "only how many" },
        { "system", "the router as a whole" },
        { "tcp", "TCP" },
        { "terminal", "this console" },
        { "text", "for people" },
        { "type", "which ICMP message" },
        { "udp", "UDP" },
        { "unused", "those that never decided anything" },
        { "up", "in service" },
        { "vga", "the screen and the keyboard" },
        { "view", "may only look" },
        { "watchdog", "restart when a core stands still" },
        { "width", "characters of a line" },
    };
    for (unsigned i = 0; i < ARRAY_COUNT(words); i++) {
        if (strcmp(words[i].word, word) == 0)
            return words[i].help;
    }
    return "";
}
