/* Lines against the command tables, and the tables themselves. */
#include "shell/parse.h"

#include <string.h>

#include "kernel/base/text.h"
#include "shell/grammar.h"
#include "shell/pipe.h"
#include "shell/session.h"
#include "tests/unit/test.h"

static const struct command_table *const tables[] = { &session_commands, &statement_commands,
                                                      &filter_statements };
static const struct command_set all = { .tables = tables, .table_count = ARRAY_COUNT(tables) };

static const struct command_table *const hosted_tables[] = {
    &session_commands,  &statement_commands,   &filter_statements,
    &show_net_commands, &route_commands,       &filter_commands,
    &explain_commands,  &show_memory_commands, &action_commands
};
static const struct command_set hosted = { .tables = hosted_tables,
                                           .table_count = 8,
                                           .test = true };

static struct parsed_line line;
static struct problem problem;

static enum error parse(const char *text, unsigned flags)
{
    return parse_line(&all, text, strlen(text), flags, &line, &problem);
}

/* The canonical form of a line, or "error-id@column: text". */
static const char *canonical(const char *text, unsigned flags)
{
    static char out[512];
    if (parse(text, flags) == OK) {
        line_print(&line, true, out, sizeof(out));
        return out;
    }
    char id[32];
    strcpy(id, problem.id);
    text_format(out, sizeof(out), "%s@%d: %s", id, problem.column, problem.text);
    return out;
}

TEST(parse_prints_every_form_of_every_statement_back)
{
    static const char *const lines[] = {
        "system name r1",
        "system login bob password secret",
        "system login bob password \"two words\" role view",
        "system login bob password secret role operator",
        "system login bob password secret role admin",
        "system console com1 login on",
        "system console vga login off",
        "system watchdog off",
        "system watchdog 10s",
        "interface eth0 up",
        "interface eth0 down",
        "interface eth0 mtu 1500",
        "interface eth0 mac 52:54:00:12:34:56",
        "ip eth0 address 192.0.2.1/24",
        "ip eth0 address 192.0.2.1/24 secondary",
        "ip route default gateway 192.0.2.254",
        "ip route 10.0.0.0/8 gateway 192.0.2.1 gateway 192.0.2.2 gateway 192.0.2.3 distance 7",
        "ip route 10.0.0.0/8 blackhole",
        "ip route 10.0.0.0/8 reject distance 255",
        "arp 192.0.2.7 52:54:00:12:34:56 eth0",
    };
    for (unsigned i = 0; i < ARRAY_COUNT(lines); i++) {
        char no[256], shown[512];
        EXPECT_TEXT(canonical(lines[i], PARSE_STORED), lines[i]);
        text_format(no, sizeof(no), "no %s", lines[i]);
        strcpy(shown, canonical(no, PARSE_STORED));
        EXPECT_TEXT(shown, no);
        EXPECT(line.negated && line.whole);
    }
}

TEST(parse_makes_values_canonical)
{
    EXPECT_TEXT(canonical("interface eth0 mac 52:54:00:AB:CD:56", 0),
                "interface eth0 mac 52:54:00:ab:cd:56");
    EXPECT_TEXT(canonical("ip route 0.0.0.0/0 blackhole", 0), "ip route default blackhole");
    EXPECT_TEXT(canonical("system watchdog 120", 0), "system watchdog 2m");
    EXPECT_TEXT(canonical("system watchdog 90s", 0), "system watchdog 90s");
    EXPECT_TEXT(canonical("interface eth0 mtu 0x5dc", 0), "interface eth0 mtu 1500");
    EXPECT_TEXT(canonical("  sh   conf\t", 0), "show configuration");
}

TEST(parse_refuses_with_place_and_reason)
{
    EXPECT_TEXT(canonical("ip route 10.0.0.1/8 blackhole", 0),
                "bad-value@9: host bits are set, did you mean 10.0.0.0/8");
    EXPECT_TEXT(canonical("ip route 10.0.0.0 blackhole", 0),
                "bad-value@9: the length is missing, like 10.0.0.0/24");
    EXPECT_TEXT(canonical("ip route 10.0.0.0/33 blackhole", 0),
                "bad-value@9: the length behind / must be 0 to 32");
    EXPECT_TEXT(canonical("ip route 10.0.0.0/8 blackhloe", 0),
                "unknown-word@20: unknown word \"blackhloe\", did you mean \"blackhole\"");
    EXPECT_TEXT(canonical("ip route 10.0.0.0/8 via 1.2.3.4", 0),
                "unknown-word@20: unknown word \"via\", expected gateway, blackhole, reject");
    EXPECT_TEXT(canonical("ip route 10.0.0.0/8 gateway", 0),
                "incomplete@27: incomplete, expected <gateway>");
    EXPECT_TEXT(canonical("system watchdog 10s more", 0),
                "unknown-word@20: nothing may follow here, but there is \"more\"");
    EXPECT_TEXT(canonical("system name \"open", 0),
                "bad-quote@12: this string has no closing quote");
    EXPECT_TEXT(canonical("system name a/b", 0),
                "bad-value@12: a name has letters, digits, _ . and - only");
    EXPECT_TEXT(canonical("system watchdog soon", 0),
                "bad-value@16: must be a time like 10s, 5m, 2h or 1d");
    EXPECT_TEXT(canonical("system login a password \"\\q\"", 0),
                "bad-value@24: behind \\ may stand \" \\ n or xHH");
    EXPECT_TEXT(canonical("system name \x01", 0),
                "bad-character@12: only printable ASCII may stand here; \"\\xHH\" in a string");
    EXPECT_TEXT(canonical("no", 0),
                "incomplete@2: incomplete, expected system, interface, ip, ipv6, arp");
}

/* What nobody can mean is answered by what was meant, or what may stand there. */
TEST(parse_refuses_bad_filters_with_place_and_reason)
{
    static const char ports[] =
        "bad-value@24: must be a port from 0 to 65535, or a range of them like 1024-65535";

    EXPECT_TEXT(canonical("ip filter 192.0.2.1/24", 0),
                "bad-value@10: host bits are set, did you mean 192.0.2.0/24");
    EXPECT_TEXT(canonical("ip filter 10 drop src 192.0.2.1/24", 0),
                "bad-value@22: host bits are set, did you mean 192.0.2.0/24");
    EXPECT_TEXT(canonical("ipv6 filter 10 drop src 2001:db8::1/32", 0),
                "bad-value@24: host bits are set, did you mean 2001:db8::/32");
    EXPECT_TEXT(canonical("ip filter 10 drop src 300.0.2.0/24", 0),
                "bad-value@22: expected IPv4 network, like 192.0.2.0/24");
    EXPECT_TEXT(canonical("ip filter 10 drop src 2001:db8::/32", 0),
                "bad-value@22: expected IPv4 network, like 192.0.2.0/24");
    EXPECT_TEXT(canonical("ip filter 10 drop src nobody", 0),
                "unknown-word@22: unknown word \"nobody\", expected <source>, set");
    EXPECT_TEXT(canonical("ip filter 10 drop dport 90-80", 0),
                "bad-value@24: the range is the wrong way round, did you mean 80-90");
    EXPECT_TEXT(canonical("ip filter 10 drop dport 70000", 0), ports);
    EXPECT_TEXT(canonical("ip filter 10 drop dport http", 0), ports);
    EXPECT_TEXT(canonical("ip filter 10 drop sport 80-", 0), ports);
    EXPECT_TEXT(canonical("ip filter 10 drop proto sctp", 0),
                "unknown-word@24: unknown word \"sctp\", expected tcp, udp, icmp, <protocol>");
    EXPECT_TEXT(canonical("ip filter 10 drop proto 256", 0),
                "bad-value@24: must be a number from 0 to 255");
    EXPECT_TEXT(canonical("ip filter 10 drop type any", 0),
                "bad-value@23: must be a number from 0 to 255");
    EXPECT_TEXT(canonical("ip filter 65536 drop", 0),
                "bad-value@10: must be a number from 1 to 65535");
    EXPECT_TEXT(canonical("ip filter ten drop", 0),
                "unknown-word@10: unknown word \"ten\", expected <prefix>, <number>, default, jit, "
                "set");
    EXPECT_TEXT(canonical("ip filter 10 drop flags XYZ", 0),
                "bad-value@24: must be letters of FSRPAUEC, and behind a ! those that are not set");
    EXPECT_TEXT(canonical("ip filter jit on avx1024", 0),
                "unknown-word@17: unknown word \"avx1024\", expected sse2, avx2, avx512");
}

TEST(parse_takes_unambiguous_abbreviations_from_the_keyboard_only)
{
    EXPECT_TEXT(canonical("int eth0 d", 0), "interface eth0 down");
    EXPECT_TEXT(canonical("ip ro default bl", 0), "ip route default blackhole");
    EXPECT_TEXT(canonical("int eth0 d", PARSE_STORED),
                "unknown-command@0: unknown command \"int\"; ? lists all");
    EXPECT_TEXT(canonical("co", 0), "ambiguous@0: \"co\" may be configure, commit, compare");
    EXPECT_TEXT(canonical("show c", 0),
                "ambiguous@5: \"c\" may be configuration, candidate, commands");
    EXPECT_TEXT(canonical("interface eth0 m 1500", 0), "ambiguous@15: \"m\" may be mtu, mac");
    /* The keyword wins over an interface of that name, whole or begun. */
    EXPECT_TEXT(canonical("ip r 10.0.0.0/8 blackhole", 0), "ip route 10.0.0.0/8 blackhole");
}

TEST(parse_refuses_verbs_in_a_text_of_statements)
{
    EXPECT_TEXT(canonical("show configuration", PARSE_STORED | PARSE_STATEMENTS),
                "unknown-command@0: unknown command \"show\"; ? lists all");
}

TEST(parse_lets_no_name_the_beginning_of_statements)
{
    EXPECT(parse("no interface eth0", 0) == OK);
    EXPECT(line.negated && !line.whole && line_names_value(&line));
    EXPECT(parse("no system name", 0) == OK);
    EXPECT(parse("no ip route 10.0.0.0/8", 0) == OK);
    EXPECT(parse("no ip route", 0) == OK);
    EXPECT(!line_names_value(&line)); /* so it may take back one statement at most */
    EXPECT(parse("no show configuration", 0) != OK);
    EXPECT(parse("interface eth0", 0) == ERROR_TRUNCATED);
}

TEST(parse_bounds_lines_and_words)
{
    char text[LINE_BYTES_MAX + 2];
    memset(text, 'a', sizeof(text));
    EXPECT(parse_line(&all, text, LINE_BYTES_MAX + 1, 0, &line, &problem) == ERROR_FULL);
    EXPECT_TEXT(problem.id, "too-long");
    for (unsigned i = 0; i < LINE_BYTES_MAX; i++)
        text[i] = i % 2 == 0 ? 'a' : ' ';
    EXPECT(parse_line(&all, text, LINE_BYTES_MAX, 0, &line, &problem) == ERROR_FULL);
    EXPECT_EQUAL(problem.column, 2 * ARGUMENT_MAX);
}

TEST(parse_reads_strings_as_they_are_printed)
{
    char out[64];
    struct text text = text_of(out, sizeof(out));
    print_quoted(&text, "a \"b\" \\ \n\x01");
    EXPECT_TEXT(out, "\"a \\\"b\\\" \\\\ \\n\\x01\"");
    char command[128];
    text_format(command, sizeof(command), "system login x password %s", out);
    EXPECT(parse(command, 0) == OK);
    EXPECT_TEXT(line_argument(&line, "secret")->text, "a \"b\" \\ \n\x01");
    EXPECT_TEXT(canonical(command, 0), command);
    char shown[128];
    line_print(&line, false, shown, sizeof(shown));
    EXPECT_TEXT(shown, "system login x password ***");
}

TEST(parse_finds_bars_outside_of_strings)
{
    const char *text = "show x | match \"a|b\" | count";
    EXPECT_EQUAL(line_find_bar(text, strlen(text), 0), 7);
    EXPECT_EQUAL(line_find_bar(text, strlen(text), 8), 21);
    EXPECT_EQUAL(line_find_bar(text, strlen(text), 22), strlen(text));
}

static void expect_words(const char *text, const char *wanted)
{
    static struct expectation expectation;
    char out[1024];
    struct text words = text_of(out, sizeof(out));
    EXPECT(parse_expect(&all, text, strlen(text), ROLE_ADMIN, &expectation, &problem) == OK);
    for (unsigned i = 0; i < expectation.count; i++)
        text_print(&words, "%s%s", i ? " " : "", expectation.items[i].word);
    EXPECT_TEXT(out, wanted);
}

TEST(parse_tells_what_may_come_next)
{
    expect_words("i", "interface ip ipv6");
    expect_words("interface eth0 ", "down mac mtu up");
    expect_words("ip ", "filter route <interface>");
    expect_words("ip route ", "default file <prefix>");
    expect_words("ip route default gateway 1.2.3.4", "<gateway>");
    expect_words("ip route default gateway 1.2.3.4 ", "distance gateway <enter>");
    expect_words("ipv6 ", "filter route <interface>");
    expect_words("ipv6 route default gateway fe80::1 ", "distance gateway interface <enter>");
    expect_words("no interface eth0 ", "down mac mtu up");
    expect_words("system console com1 login o", "off on");
    expect_words("n", "no");
}

/* Each form of each grammar can be read; each keyword before a fork has a help text; nothing is
 * ambiguous. */
static void walk(const struct command *command, unsigned at, unsigned depth)
{
    struct grammar_positions next;
    EXPECT(depth < 40);
    grammar_follow(command->grammar, at, &next);
    for (unsigned i = 0; i < next.count; i++) {
        struct grammar_word word;
        EXPECT(grammar_word_at(command->grammar, next.at[i], &word));
        if (next.at[i] >= at) /* a repetition goes back */
            walk(command, word.after, depth + 1);
    }
    EXPECT(next.end || next.count > 0);
}

TEST(command_tables_are_well_formed)
{
    for (unsigned table = 0; table < all.table_count; table++) {
        for (unsigned i = 0; i < all.tables[table]->count; i++) {
            const struct command *command = &all.tables[table]->commands[i];
            walk(command, 0, 0);
            EXPECT(command->help && command->help[0]);
            EXPECT((command->kind == COMMAND_STATEMENT) == (command->apply != NULL));
            EXPECT((command->kind == COMMAND_STATEMENT) == (command->run == NULL));
        }
    }
}

/* `?` has something to say of every word at every place. */
static void expect_help(const char *line_so_far, unsigned depth)
{
    struct expectation expectation;
    if (parse_expect(&hosted, line_so_far, strlen(line_so_far), ROLE_ADMIN, &expectation,
                     &problem) != OK)
        return;
    for (unsigned i = 0; i < expectation.count; i++) {
        const struct expected *item = &expectation.items[i];
        if (item->help[0] == '\0' && word_help(item->word)[0] == '\0')
            test_fail(__FILE__, __LINE__, "no help for \"%s\" behind \"%s\"", item->word,
                      line_so_far);
        bool deeper = item->type == TOKEN_WORD && !item->end && depth < 4;
        char longer[256];
        text_format(longer, sizeof(longer), "%s%s ", line_so_far, item->word);
        if (deeper)
            expect_help(longer, depth + 1);
        static const struct {
            enum token_type type;
            const char *example;
        } examples[] = { { TOKEN_IFNAME, "eth0" },
                         { TOKEN_NAME, "x" },
                         { TOKEN_ADDR4, "192.0.2.1" },
                         { TOKEN_PREFIX4, "192.0.2.0/24" },
                         { TOKEN_HOST4, "192.0.2.1/24" },
                         { TOKEN_ADDR6, "2001:db8::1" },
                         { TOKEN_PREFIX6, "2001:db8::/32" },
                         { TOKEN_HOST6, "2001:db8::1/64" },
                         { TOKEN_PORTS, "80" },
                         { TOKEN_FLAGS, "S!A" },
                         { TOKEN_ENDPOINT, "192.0.2.1:80" },
                         { TOKEN_SECRET, "x" } };
        for (unsigned k = 0; k < ARRAY_COUNT(examples) && depth < 4; k++) {
            if (item->type != examples[k].type)
                continue;
            text_format(longer, sizeof(longer), "%s%s ", line_so_far, examples[k].example);
            expect_help(longer, depth + 1);
        }
    }
}

TEST(command_help_knows_every_word)
{
    expect_help("", 0);
}
