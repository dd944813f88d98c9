/* Configuration as text and back. */
#include "shell/config_text.h"

#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "shell/parse.h"
#include "shell/secret.h"
#include "shell/shell.h"
#include "tests/unit/test.h"

static const struct command_table *const tables[] = { &session_commands, &statement_commands,
                                                      &filter_statements };
static const struct command_set all = { .tables = tables, .table_count = ARRAY_COUNT(tables) };
static struct problem problem;

static bool append(void *context, const char *line)
{
    text_print(context, "%s\n", line);
    return true;
}

static void print(const struct config *config, char *out, size_t size)
{
    struct text text = text_of(out, size);
    struct line_sink sink = { .put = append, .context = &text };
    EXPECT(config_print(&all, config, &sink));
    EXPECT(!text.cut);
}

static struct config *read(const char *text)
{
    struct config *config;
    if (config_from_text(&all, text, strlen(text), &config, &problem) != OK)
        test_fail(__FILE__, __LINE__, "line %u: %s", problem.line, problem.text);
    return config;
}

/* What a text becomes when it is read and printed; and that once more is the same. */
static const char *round_trip(const char *text)
{
    static char first[8192], second[8192];
    struct config *config = read(text);
    print(config, first, sizeof(first));
    struct config *again = read(first);
    print(again, second, sizeof(second));
    EXPECT_TEXT(second, first);
    EXPECT(config_equal(config, again));
    config_destroy(config);
    config_destroy(again);
    return first;
}

static const char everything[] =
    "system name r1\n"
    "system login bob password "
    "$s$1000$000102030405060708090a0b0c0d0e0f$"
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f role operator\n"
    "system console com1 login on\n"
    "system watchdog 10s\n"
    "interface eth0 down\n"
    "interface eth0 mtu 1400\n"
    "interface eth0 mac 02:00:00:00:00:01\n"
    "interface eth1 mtu 9000\n"
    "ip eth0 address 192.0.2.1/24\n"
    "ip eth0 address 192.0.2.2/24 secondary\n"
    "ipv6 eth0 address 2001:db8::1/64\n"
    "ipv6 eth0 address auto\n"
    "ipv6 eth0 proxy 2001:db8:9::/64\n"
    "ipv6 eth0 proxy 2001:db8:9::5/128\n"
    "ipv6 eth0 ra on\n"
    "ipv6 eth0 ra prefix 2001:db8::/64\n"
    "ipv6 eth0 ra prefix 2001:db8:0:1::/64\n"
    "ipv6 eth0 ra dns 2001:db8::53\n"
    "ipv6 eth0 ra dns 2001:db8::52\n"
    "ip route default gateway 192.0.2.254\n"
    "ip route 10.0.0.0/8 gateway 192.0.2.7 gateway 192.0.2.8 distance 7\n"
    "ip route 10.1.0.0/16 blackhole\n"
    "ip route 10.2.0.0/16 reject\n"
    "ipv6 route default gateway fe80::1 gateway fe80::2 interface eth0\n"
    "ipv6 route 2001:db8:8::/48 gateway 2001:db8::7 distance 7\n"
    "ipv6 route 2001:db8:9::/48 blackhole\n"
    "ip route file full\n"
    "ipv6 route file full\n"
    "arp 192.0.2.7 02:00:00:00:00:07 eth0\n"
    "ip filter set bad 10.0.0.0/8\n"
    "ip filter set bad 192.0.2.0/24\n"
    "ip filter set bad file list\n"
    "ipv6 filter set bad 2001:db8::/32\n"
    "ip filter 10 pass src 10.0.0.0/8 dst set bad proto tcp sport 1024-65535 dport 22 flags S!A "
    "in eth0 out eth1 log comment \"from the office\"\n"
    "ip filter 20 reject src set bad proto udp dport 53\n"
    "ip filter 30 drop proto icmp type 8\n"
    "ip filter 40 drop fragment\n"
    "ip filter 50 pass proto 47\n"
    "ip filter 100 drop src 192.0.2.0/24\n"
    "ipv6 filter 5 pass proto icmp type 128 comment x\n"
    "ipv6 filter 100 drop src 2001:db8:bad::/48\n"
    "ip filter default drop\n"
    "ip filter jit on sse2\n"
    "ipv6 filter default drop\n";

TEST(config_text_round_trips_every_statement)
{
    EXPECT_TEXT(round_trip(everything), everything);
    EXPECT_TEXT(round_trip(""), "");
}

TEST(config_text_takes_any_order_and_defaults_away)
{
    EXPECT_TEXT(round_trip("arp 192.0.2.8 02:00:00:00:00:08 eth0\r\n"
                           "# a comment\n\n   ! another\n"
                           "arp 192.0.2.7 02:00:00:00:00:07 eth0\n"
                           "ipv6 route ::/0 gateway 2001:DB8:0:0:0::1\n"
                           "interface eth0 up\ninterface eth1 down\ninterface eth1 up\n"
                           "system watchdog off\nsystem name r1\nsystem name r2\n"
                           "ip route 10.0.0.0/8 gateway 192.0.2.8\n"
                           "ip route 10.0.0.0/8 gateway 192.0.2.7"),
                "system name r2\n"
                "ip route 10.0.0.0/8 gateway 192.0.2.7 gateway 192.0.2.8\n"
                "ipv6 route default gateway 2001:db8::1\n"
                "arp 192.0.2.7 02:00:00:00:00:07 eth0\n"
                "arp 192.0.2.8 02:00:00:00:00:08 eth0\n");
}

TEST(config_text_gives_short_filters_the_next_number)
{
    EXPECT_TEXT(round_trip("ip filter 192.0.2.0/24\nip filter 133.27.0.0/16\n"
                           "ip filter 192.0.2.0/24\nip filter 7 pass proto 6\n"
                           "ip filter 300 drop comment a|b flags !A dport 5-5\n"
                           "ip filter 10.0.0.0/8\nip filter default pass\n"
                           "ipv6 filter 2001:db8::/32\n"),
                "ip filter 7 pass proto tcp\n"
                "ip filter 100 drop src 192.0.2.0/24\n"
                "ip filter 101 drop src 133.27.0.0/16\n"
                "ip filter 300 drop dport 5 flags !A comment \"a|b\"\n"
                "ip filter 301 drop src 10.0.0.0/8\n"
                "ipv6 filter 100 drop src 2001:db8::/32\n");
}

static const char *after(const char *text, const char *change)
{
    static char out[8192];
    struct config *base = read(text), *next;
    if (config_merge_text(&all, base, change, strlen(change), &next, &problem) == OK) {
        print(next, out, sizeof(out));
        config_destroy(next);
    } else {
        text_format(out, sizeof(out), "%u:%d %s", problem.line, problem.column, problem.id);
    }
    config_destroy(base);
    return out;
}

TEST(config_text_no_takes_back_what_it_names)
{
    static const char routes[] = "ip route 10.0.0.0/8 gateway 192.0.2.7 gateway 192.0.2.8\n"
                                 "ip route 10.0.0.0/8 gateway 192.0.2.9 distance 5\n"
                                 "ip route 10.1.0.0/16 blackhole\n";
    EXPECT_TEXT(after(routes, "no ip route 10.0.0.0/8"), "ip route 10.1.0.0/16 blackhole\n");
    EXPECT_TEXT(after(routes, "no ip route 10.0.0.0/8 gateway 192.0.2.7"),
                "ip route 10.0.0.0/8 gateway 192.0.2.8\n"
                "ip route 10.0.0.0/8 gateway 192.0.2.9 distance 5\n"
                "ip route 10.1.0.0/16 blackhole\n");
    EXPECT_TEXT(after(routes, "no ip route 10.0.0.0/8 gateway 192.0.2.9"),
                "ip route 10.0.0.0/8 gateway 192.0.2.7 gateway 192.0.2.8\n"
                "ip route 10.1.0.0/16 blackhole\n");
    EXPECT_TEXT(after(routes, "no ip route 10.0.0.0/8 gateway 192.0.2.9 distance 1"),
                "1:12 not-found");
    EXPECT_TEXT(after(routes, "no ip route 10.1.0.0/16 reject"), "1:12 not-found");
    EXPECT_TEXT(after(routes, "no ip route"), "1:-1 incomplete");
    static const char filters[] = "ip filter 10 drop src 10.0.0.0/8 dport 5\n"
                                  "ip filter 20 pass proto tcp\nip filter set a 10.0.0.0/8\n"
                                  "ip filter set a 11.0.0.0/8\nip filter 11.0.0.0/8\n"
                                  "ip filter default drop\n";
    EXPECT_TEXT(after(filters, "no ip filter 10\nno ip filter 11.0.0.0/8\nno ip filter set a\n"),
                "ip filter 20 pass proto tcp\nip filter default drop\n");
    EXPECT_TEXT(after(filters, "no ip filter 10 drop dport 5 src 10.0.0.0/8\n"
                               "no ip filter 20 pass proto 6\nno ip filter set a 10.0.0.0/8\n"
                               "no ip filter default"),
                "ip filter set a 11.0.0.0/8\nip filter 100 drop src 11.0.0.0/8\n");
    EXPECT_TEXT(after("system name x\n", "no system"), "");
    EXPECT_TEXT(after("ip eth1 address 10.0.0.1/8\nip eth10 address 11.0.0.1/8\n", "no ip eth1"),
                "ip eth10 address 11.0.0.1/8\n");
    EXPECT_TEXT(after(everything, "no interface eth0\nno ip eth0\nno system login bob\n"
                                  "no system console com1\nno arp 192.0.2.7\n"
                                  "no ip route default\nno ip route 10.0.0.0/8\n"
                                  "no ip route 10.1.0.0/16\nno ip route 10.2.0.0/16\n"
                                  "no ip route file full\nno ipv6 route file full\n"
                                  "no ipv6 eth0 ra dns 2001:db8::52\n"
                                  "no ipv6 eth0 ra prefix 2001:db8::/64\nno ipv6 eth0\n"
                                  "no ipv6 route default gateway fe80::2\n"
                                  "no ipv6 route 2001:db8:8::/48\n"
                                  "no ipv6 route 2001:db8:9::/48\n"
                                  "no system watchdog 10s\n"
                                  "no ip filter set bad\nno ipv6 filter set bad\n"
                                  "no ip filter 10\nno ip filter 20\nno ip filter 30\n"
                                  "no ip filter 40\nno ip filter 50\n"
                                  "no ip filter 192.0.2.0/24\nno ipv6 filter 5\n"
                                  "no ipv6 filter 2001:db8:bad::/48\n"
                                  "no ip filter default\nno ip filter jit on\n"
                                  "no ipv6 filter default drop\n"),
                "system name r1\ninterface eth1 mtu 9000\n"
                "ipv6 route default gateway fe80::1 interface eth0\n");
    EXPECT_TEXT(after("ipv6 eth0 address auto\nipv6 eth0 proxy 2001:db8::/64\n",
                      "no ipv6 eth0 address auto"),
                "ipv6 eth0 proxy 2001:db8::/64\n");
    EXPECT_TEXT(after("ipv6 eth0 proxy 2001:db8::/64\n", "no ipv6 eth0 proxy"), "");
    EXPECT_TEXT(after("ipv6 eth0 ra on\nipv6 eth0 ra dns 2001:db8::1\n", "ipv6 eth0 ra off"),
                "ipv6 eth0 ra dns 2001:db8::1\n");
}

TEST(config_text_names_the_bad_line)
{
    static const struct {
        const char *text, *id;
        unsigned line;
        int column;
    } bad[] = {
        { "system name a\n\nbogus\n", "unknown-command", 3, 0 },
        { "sys name a\n", "unknown-command", 1, 0 },
        { "show configuration\n", "unknown-command", 1, 0 },
        { "interface eth0 mtu 575", "bad-value", 1, 19 },
        { "interface eth0 mac 01:00:5e:00:00:01", "bad-value", 1, 19 },
        { "interface eth0 mac 00:00:00:00:00:00", "bad-value", 1, 19 },
        { "system login bob password $s$1$2$3", "bad-value", 1, 26 },
        { "system login aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa password x", "bad-value", 1, 13 },
        { "system watchdog 2d", "bad-value", 1, 16 },
        { "ipv6 eth0 address ff02::1/64", "bad-value", 1, 18 },
        { "ipv6 eth0 address 2001:db8::1", "bad-value", 1, 18 },
        { "ipv6 eth0 address 10.0.0.1/8", "bad-value", 1, 18 },
        { "ipv6 eth0 ra prefix fe80::/64", "bad-value", 1, 20 },
        { "ipv6 eth0 proxy fe80::/64", "bad-value", 1, 16 },
        { "ipv6 eth0 proxy 2001:db8::1/64", "bad-value", 1, 16 },
        { "ipv6 route 2001:db8::1/64 blackhole", "bad-value", 1, 11 },
        { "ipv6 route default gateway fe80::1", "bad-value", 1, 27 },
        { "ipv6 route default gateway fe80::1 interface eth0\n"
          "ipv6 route default gateway fe80::2 interface eth1",
          "bad-value", 2, 45 },
        { "no system name", "not-found", 1, -1 },
        { "ip filter 192.0.2.1/24", "bad-value", 1, 10 },
        { "ip filter 0 drop", "bad-value", 1, 10 },
        { "ip filter 65536 drop", "bad-value", 1, 10 },
        { "ip filter 10 drop src 10.0.0.1/8", "bad-value", 1, 22 },
        { "ip filter 10 drop dport 80-79", "bad-value", 1, 24 },
        { "ip filter 10 drop dport 65536", "bad-value", 1, 24 },
        { "ip filter 10 drop dport http", "bad-value", 1, 24 },
        { "ip filter 10 drop proto 256", "bad-value", 1, 24 },
        { "ip filter 10 drop flags X", "bad-value", 1, 24 },
        { "ip filter 10 drop flags !", "bad-value", 1, 24 },
        { "ip filter 10 drop flags S!S", "bad-value", 1, 24 },
        { "ip filter 10 drop flags S!A!F", "bad-value", 1, 24 },
        { "ip filter 10 drop proto udp flags S", "bad-value", 1, 34 },
        { "ip filter 10 drop proto icmp dport 5", "bad-value", 1, 35 },
        { "ip filter 10 drop proto 58 type 8", "bad-value", 1, 32 },
        { "ip filter 10 drop dport 5 type 8", "bad-value", 1, 31 },
        { "ip filter 10 drop src 10.0.0.0/8 src 11.0.0.0/8", "bad-value", 1, 33 },
        { "ip filter 10 drop log log", "bad-value", 1, 22 },
        { "ip filter 10 drop src set aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bad-value", 1, 26 },
        { "ip filter set aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 10.0.0.0/8", "bad-value", 1, 14 },
        { "ip filter set a file ..", "bad-value", 1, 21 },
        { "ip filter 10 drop comment "
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          "bad-value", 1, 26 },
        { "ip filter 65535 pass\nip filter 10.0.0.0/8", "full", 2, 10 },
        { "ipv6 filter 10 drop proto 1 type 8", "bad-value", 1, 33 },
        { "no ip filter 10.0.0.0/8", "not-found", 1, 13 },
        { "ip filter 10 drop\nno ip filter 10 drop log", "not-found", 2, 13 },
        { "ip filter 10 drop\nip filter 20 drop\nno ip filter", "incomplete", 3, -1 },
        { "ip route default gateway 1.1.1.1 gateway 1.1.1.2 gateway 1.1.1.3 gateway 1.1.1.4 "
          "gateway 1.1.1.5 gateway 1.1.1.6 gateway 1.1.1.7 gateway 1.1.1.8 gateway 1.1.1.9",
          "full", 1, 153 },
    };
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        struct config *config = NULL;
        EXPECT(config_from_text(&all, bad[i].text, strlen(bad[i].text), &config, &problem) != OK);
        EXPECT(config == NULL);
        EXPECT_TEXT(problem.id, bad[i].id);
        EXPECT_EQUAL(problem.line, bad[i].line);
        EXPECT_EQUAL(problem.column, bad[i].column);
    }
}

TEST(config_text_compares)
{
    char out[512];
    struct text text = text_of(out, sizeof(out));
    struct line_sink sink = { .put = append, .context = &text };
    struct config *old = read("system name a\ninterface eth0 down\ninterface eth1 down\n");
    struct config *new = read("system name b\ninterface eth1 down\ninterface eth1 mtu 1400\n");
    EXPECT(config_compare(&all, old, new, &sink) == OK);
    EXPECT_TEXT(out, "- system name a\n- interface eth0 down\n"
                     "+ system name b\n+ interface eth1 mtu 1400\n");
    config_destroy(old);
    config_destroy(new);
}

TEST(config_text_takes_full_tables)
{
    enum { LINES = 20000 };
    size_t room = LINES * 48ull;
    char *text = memory_alloc(room, 0, MEMORY_TEST);
    struct text lines = text_of(text, room);
    for (unsigned i = 0; i < LINES; i++)
        text_print(&lines, "ip route 10.%u.%u.0/24 gateway 192.0.2.1\n", i >> 8, i & 255);
    EXPECT(!lines.cut);
    struct config *config = read(text);
    EXPECT_EQUAL(config->route_count, LINES);
    config_destroy(config);
    memory_free(text);
}

TEST(config_text_fails_whole_when_memory_is_short)
{
    static const char change[] = "no interface eth0\nip eth1 address 10.9.9.9/24\n";
    struct config *base = read(everything);
    bool failed = true;
    for (uint64_t n = 0; failed; n++) {
        struct config *next = NULL;
        host_fail_allocation(n);
        failed = config_merge_text(&all, base, change, strlen(change), &next, &problem) != OK;
        host_fail_allocation(UINT64_MAX);
        EXPECT(failed == (next == NULL));
        if (failed)
            EXPECT_TEXT(problem.id, "no-memory");
        config_destroy(next);
    }
    config_destroy(base);
}

TEST(secret_hash_is_sha256)
{
    /* FIPS 180-4 examples, and one that fills the block up to its length. */
    static const struct {
        const char *text;
        uint8_t first[4];
    } known[] = {
        { "abc", { 0xba, 0x78, 0x16, 0xbf } },
        { "", { 0xe3, 0xb0, 0xc4, 0x42 } },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", { 0x24, 0x8d, 0x6a, 0x61 } },
    };
    for (unsigned i = 0; i < ARRAY_COUNT(known); i++) {
        uint8_t hash[SECRET_HASH_BYTES];
        sha256(known[i].text, strlen(known[i].text), hash);
        EXPECT(memcmp(hash, known[i].first, 4) == 0);
    }
}

TEST(secret_is_recognized_and_nothing_else)
{
    static const uint8_t salt[SECRET_SALT_BYTES] = { 1, 2, 3 };
    char stored[SECRET_STORED_MAX];
    secret_store("open sesame", salt, stored);
    EXPECT(secret_is_stored(stored));
    EXPECT(secret_matches(stored, "open sesame"));
    EXPECT(!secret_matches(stored, "open sesam"));
    EXPECT(!secret_matches(stored, ""));
    EXPECT(!secret_matches("plain", "plain"));
    EXPECT(!secret_is_stored("$s$"));
    stored[strlen(stored) - 1] = 'x';
    EXPECT(!secret_is_stored(stored));
}
