/* Goal: the operator is told of rules that no packet comes to, when they are committed and when
 * they are shown, whether they are compiled or interpreted. Method: small lists of rules, typed.
 * That nothing is told of rules that decide is seen with random ones in filter_test.c. */
#include "net/filter_shadow.h"

#include "kernel/base/text.h"
#include "net/control.h"
#include "tests/unit/lab.h"
#include "tests/unit/shell_lab.h"

static const char *say(const char *line)
{
    return ask_in(line, 500, 200); /* compiling has pauses */
}

#define BY(number) "rule 30 is never reached: rule " number " has all of its packets"
#define BY_SEVERAL "rule 30 is never reached: earlier rules have all of its packets"

/* Of the last of these rules, which is 30; "" where it is reached. */
struct list {
    const char *rules[4];
    const char *compiled, *interpreted;
};

/* clang-format off */
static const struct list lists[] = {
    { { "10 drop src 10.0.0.0/8", "30 pass src 10.1.0.0/16" }, BY("10"), BY("10") },
    { { "10 drop src 10.0.0.0/8", "30 pass src 10.0.0.0/7" }, "", "" },
    { { "10 pass src 10.0.0.0/8", "20 drop src 10.0.0.0/8", "30 drop src 10.0.0.0/8" }, BY("10"), BY("10") },
    { { "10 drop src 10.0.0.0/9", "20 drop src 10.128.0.0/9", "30 pass src 10.0.0.0/8" }, BY_SEVERAL, "" },
    { { "10 drop proto tcp dport 20-30", "30 pass proto tcp dport 22 src 10.0.0.0/8" }, BY("10"), BY("10") },
    { { "10 drop proto tcp dport 20-30", "30 pass dport 22" }, "", "" },
    { { "10 drop flags S", "30 pass proto tcp flags S!A" }, BY("10"), BY("10") },
    { { "10 drop flags S!A", "30 pass proto tcp flags S" }, "", "" },
    { { "10 drop flags !A", "30 pass proto tcp" }, "", "" },
    { { "10 drop src set a", "30 pass src 192.0.2.64/26" }, BY("10"), BY("10") },
    { { "10 drop src set a", "30 pass src 192.0.3.128/25" }, BY("10"), BY("10") },
    { { "10 drop src set a", "30 pass src 192.0.0.0/16" }, "", "" },
    { { "10 drop src set a", "30 pass src set a dport 5" }, BY("10"), BY("10") },
    { { "10 drop dst 192.0.2.0/23", "30 pass dst set a" }, BY("10"), BY("10") },
    { { "10 drop dst 192.0.2.0/24", "30 pass dst set a" }, "", "" },
    { { "10 drop in eth0", "30 pass in eth0 fragment" }, BY("10"), BY("10") },
    { { "10 drop in eth0", "30 pass in eth1" }, "", "" },
    { { "10 drop out eth1", "30 pass src 10.0.0.0/8" }, "", "" },
    { { "10 drop out eth1", "30 pass src 10.0.0.0/8 out eth1" }, BY("10"), BY("10") },
    { { "10 drop src 10.0.0.0/8", "30 pass src 10.0.0.0/8 out eth1" }, "", "" },
};
/* clang-format on */

/* What is said when the last rule is typed. */
static void expect_note(const struct list *list, const char *wanted)
{
    char line[128], note[128] = "";
    const char *answer = "";

    for (unsigned i = 0; i < ARRAY_COUNT(list->rules) && list->rules[i]; i++) {
        text_format(line, sizeof(line), "ip filter %s", list->rules[i]);
        answer = say(line);
    }
    if (wanted[0] != '\0')
        text_format(note, sizeof(note), "note: %s", wanted);
    EXPECT_TEXT(answer, note);
    ask("no ip filter 30");
    ask("no ip filter 20");
    ask("no ip filter 10");
}

TEST(filter_shadow_is_told_when_a_rule_is_typed)
{
    start();
    EXPECT_TEXT(say("ip filter set a 192.0.2.0/24"), "");
    EXPECT_TEXT(say("ip filter set a 192.0.3.0/24"), "");
    for (unsigned i = 0; i < ARRAY_COUNT(lists); i++)
        expect_note(&lists[i], lists[i].compiled);
    EXPECT_TEXT(say("ip filter jit off"), "");
    for (unsigned i = 0; i < ARRAY_COUNT(lists); i++)
        expect_note(&lists[i], lists[i].interpreted);
    stop();
}

TEST(filter_shadow_is_told_of_ipv6)
{
    start();
    EXPECT_TEXT(say("ipv6 filter set a 2001:db8:1::/48"), "");
    EXPECT_TEXT(say("ipv6 filter 10 drop dst set a"), "");
    EXPECT_TEXT(say("ipv6 filter 30 pass dst 2001:db8:1:7::/64 proto tcp"), "note: ipv6 " BY("10"));
    EXPECT_TEXT(say("ipv6 filter 40 pass dst 2001:db8:2::/64"), "");
    EXPECT_TEXT(say("ipv6 filter 20 pass dst 2001:db8:2::/47"),
                "note: ipv6 rule 40 is never "
                "reached: rule 20 has all of its packets");
    stop();
}

TEST(filter_shadow_is_told_of_ipv6_rules_that_several_have_together)
{
    start();
    EXPECT_TEXT(say("ipv6 filter 10 drop src 2001:db8::/33"), "");
    EXPECT_TEXT(say("ipv6 filter 20 pass src 2001:db8:8000::/33"), "");
    EXPECT_TEXT(say("ipv6 filter 30 drop src 2001:db8:1::/48"),
                "note: ipv6 rule 30 is never reached: rule 10 has all of its packets");
    EXPECT_TEXT(say("ipv6 filter 40 pass src 2001:db8::/32"),
                "note: ipv6 rule 40 is never reached: earlier rules have all of its packets");
    stop();
}

/* Nobody has what an empty set has. */
TEST(filter_shadow_is_not_told_of_empty_sets)
{
    start();
    host_file_add("none", "# nothing\n", 10);
    EXPECT_TEXT(say("ip filter set e file none"), "");
    EXPECT_TEXT(say("ip filter 10 drop src set e"), "");
    EXPECT_TEXT(say("ip filter 20 drop src set e dport 5"), "");
    stop();
}

/* News are told once, and of several the first; what is so is shown for as long as it is. */
TEST(filter_shadow_is_told_once_and_shown_always)
{
    start();
    EXPECT_TEXT(say("ip filter 30 drop src 10.0.0.0/8"), "");
    EXPECT_TEXT(say("ip filter 40 drop src 10.1.0.0/16"), "note: rule 40 is never reached: rule 30 "
                                                          "has all of its packets");
    EXPECT_TEXT(say("ip filter 50 drop src 192.0.2.0/24"), "");
    expect_in(say("configure"), "");
    EXPECT_TEXT(say("ip filter 20 pass src 0.0.0.0/1"), "");
    EXPECT_TEXT(say("ip filter 60 pass src 10.0.0.0/24"), "");
    expect_in(say("commit and-quit"),
              "\nnote                rule 30 is never reached: rule 20 has all of its packets; "
              "nor is 1 more");
    const char *answer = say("show ip filter | json");
    expect_in(answer, "{\"number\":20,");
    expect_in(answer, "\"shadowed_by\":null},{\"number\":30,");
    expect_in(answer, "\"shadowed_by\":20},{\"number\":40,");
    expect_in(answer, "\"shadowed_by\":20},{\"number\":50,");
    EXPECT_TEXT(say("ip filter 70 drop src 128.0.0.0/1"), "");
    EXPECT_TEXT(say("terminal format json"), "");
    answer = say("ip filter 80 drop");
    expect_in(answer, "{\"ok\":true,\"data\":{\"note\":\"rule 80 is never reached: earlier rules "
                      "have all of its packets\"}");
    expect_in(say("show ip filter"), "\"shadowed_by\":\"several\"}],\"default\"");
    stop();
}

/* The bound holds, and is what it says. */
TEST(filter_shadow_compares_with_the_first_rules)
{
    enum { RULES = FILTER_SHADOW_RULES + 3 };
    struct config *config = config_create();
    char why[200];
    struct text problem = text_of(why, sizeof(why));
    struct filter *filter;

    config->filter_jit_off[FAMILY_IPV4] = true;
    for (unsigned i = 1; i <= RULES; i++) {
        struct config_filter wish = { .family = FAMILY_IPV4, .number = (uint16_t)i };
        const uint32_t block = i == FILTER_SHADOW_RULES + 2 ? 1 : i == RULES ? RULES - 2 : i;
        wish.source.prefix = prefix_of_ipv4(__builtin_bswap32(block << 8), 24);
        EXPECT_EQUAL(config_set_filter(config, &wish), OK);
    }
    const struct filter_plan plan = { .config = config, .family = FAMILY_IPV4, .core_count = 1 };
    EXPECT_EQUAL(filter_create(&plan, &filter, &problem), OK);
    for (unsigned i = 0; i < RULES; i++)
        EXPECT_EQUAL(filter->rules[i].is_shadowed, i == FILTER_SHADOW_RULES + 1);
    EXPECT_EQUAL(filter->rules[FILTER_SHADOW_RULES + 1].shadowed_by, 1);
    filter_destroy(filter, NULL);
    config_destroy(config);
}
