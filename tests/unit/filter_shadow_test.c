/* Goal: the operator is told of rules that no packet comes to, when they are committed and when
 * they are shown, whether they are compiled or interpreted. Method: small lists of rules, typed.
 * That nothing is told of rules that decide is seen with random ones in filter_test.c. */
#include "net/filter_shadow.h"

#include "kernel/base/random.h"
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

/* ---- From filter to filter ------------------------------------------------------------------- */

static uint64_t random_state = 7;

static unsigned below(unsigned count)
{
    return random_below(&random_state, count);
}

/* Sources that often lie in each other, at times by a set, at times of one protocol. */
static struct config_filter random_rule(unsigned number)
{
    struct config_filter wish = { .family = FAMILY_IPV4, .number = (uint16_t)number };
    struct prefix any = prefix_of_ipv4(__builtin_bswap32(10u << 24 | below(1 << 16)),
                                       below(200) == 0 ? 18 + below(6) : 26 + below(4));

    if (below(50) == 0)
        text_format(wish.source.set, sizeof(wish.source.set), "a");
    else
        wish.source.prefix = prefix_network(&any);
    wish.has_protocol = below(3) == 0;
    wish.protocol = (uint8_t)below(2);
    return wish;
}

static void change_rules(struct config *config, unsigned changes)
{
    enum { NUMBERS = 2 * FILTER_SHADOW_RULES };

    for (unsigned i = 0; i < changes; i++) {
        struct config_filter wish = random_rule(1 + below(NUMBERS));
        const struct config_filter *known = config_find_filter(config, FAMILY_IPV4, wish.number);
        if (known && below(2) == 0) {
            wish = *known;
            EXPECT_EQUAL(config_remove_filter(config, &wish), OK);
        } else {
            EXPECT_EQUAL(config_set_filter(config, &wish), OK);
        }
    }
}

static void add_to_set(struct config *config)
{
    struct prefix any = prefix_of_ipv4(__builtin_bswap32(10u << 24 | below(1 << 16)), 22);
    struct config_filter_set element = { .family = FAMILY_IPV4,
                                         .name = "a",
                                         .prefix = prefix_network(&any) };

    EXPECT_EQUAL(config_set_filter_set(config, &element), OK);
}

static struct filter *create(const struct config *config, const struct filter *old)
{
    char why[200];
    struct text problem = text_of(why, sizeof(why));
    const struct filter_plan plan = {
        .config = config, .family = FAMILY_IPV4, .core_count = 1, .old = old
    };
    struct filter *filter;

    EXPECT_EQUAL(filter_create(&plan, &filter, &problem), OK);
    return filter;
}

/* Goal: what is found with the help of the filter before is what is found without. Method: lists
 * longer than what is compared, a few rules of which change, and a set at times. */
TEST(filter_shadow_is_the_same_after_changes_as_from_the_beginning)
{
    enum { ROUNDS = 25 };
    struct config *config = config_create();
    struct filter *filter = NULL;
    unsigned covered = 0;

    config->filter_jit_off[FAMILY_IPV4] = true;
    add_to_set(config);
    change_rules(config, 10 * FILTER_SHADOW_RULES);
    for (unsigned round = 0; round < ROUNDS; round++) {
        change_rules(config, 1 + below(6));
        if (below(4) == 0)
            add_to_set(config);
        struct filter *next = create(config, filter), *anew = create(config, NULL);
        EXPECT_EQUAL(next->rule_count, anew->rule_count);
        EXPECT(next->rule_count > FILTER_SHADOW_RULES);
        for (unsigned i = 0; i < next->rule_count; i++) {
            EXPECT_EQUAL(next->rules[i].is_shadowed, anew->rules[i].is_shadowed);
            EXPECT_EQUAL(next->rules[i].shadowed_by, anew->rules[i].shadowed_by);
            covered += next->rules[i].is_shadowed;
        }
        filter_destroy(anew, NULL);
        filter_destroy(filter, NULL);
        filter = next;
    }
    EXPECT(covered > 100 * ROUNDS && covered < 900 * ROUNDS);
    filter_destroy(filter, NULL);
    config_destroy(config);
}

/* The bound holds, and is what it says; also when a rule comes among the first. */
TEST(filter_shadow_compares_with_the_first_rules)
{
    enum { RULES = FILTER_SHADOW_RULES + 3 };
    struct config *config = config_create();

    config->filter_jit_off[FAMILY_IPV4] = true;
    for (unsigned i = 1; i <= RULES; i++) {
        struct config_filter wish = { .family = FAMILY_IPV4, .number = (uint16_t)i };
        const uint32_t block = i == FILTER_SHADOW_RULES + 2 ? 1 : i == RULES ? RULES - 2 : i;
        wish.source.prefix = prefix_of_ipv4(__builtin_bswap32(block << 8), 24);
        EXPECT_EQUAL(config_set_filter(config, &wish), OK);
    }
    struct filter *filter = create(config, NULL);
    for (unsigned i = 0; i < RULES; i++)
        EXPECT_EQUAL(filter->rules[i].is_shadowed, i == FILTER_SHADOW_RULES + 1);
    EXPECT_EQUAL(filter->rules[FILTER_SHADOW_RULES + 1].shadowed_by, 1);

    struct config_filter first = config->filters[0];
    EXPECT_EQUAL(config_remove_filter(config, &first), OK);
    struct filter *next = create(config, filter);
    for (unsigned i = 0; i < RULES - 1; i++)
        EXPECT_EQUAL(next->rules[i].is_shadowed, i == FILTER_SHADOW_RULES + 1);
    EXPECT_EQUAL(next->rules[FILTER_SHADOW_RULES + 1].shadowed_by, RULES - 2);
    filter_destroy(filter, NULL);
    filter_destroy(next, NULL);
    config_destroy(config);
}
