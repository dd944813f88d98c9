/* What rules mean. The interpreter is compared with the statements themselves, read naively, on
 * random rules and packets at their boundaries; sets with a list of prefixes. */
#include "net/filter.h"

#include <stdio.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "kernel/base/text.h"
#include "net/filter_set.h"
#include "net/port.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv4.h"
#include "tests/unit/lab.h"

enum { PORTS = 4, ROUNDS = 150, RULES = 24, PACKETS = 400, SET_PREFIXES = 20 };

static uint64_t state = 11;
static struct port ports[PORTS];

static unsigned below(unsigned count)
{
    return (unsigned)random_below(&state, count);
}

static void name_ports(void)
{
    for (unsigned i = 0; i < PORTS; i++)
        snprintf(ports[i].name, sizeof(ports[i].name), "eth%u", i);
}

static struct filter *create(const struct config *config, enum family family,
                             const struct filter *old)
{
    char why[200];
    struct text problem = text_of(why, sizeof(why));
    struct filter *filter;

    EXPECT_EQUAL(filter_create(&(struct filter_plan){ .config = config,
                                                      .family = family,
                                                      .ports = ports,
                                                      .port_count = PORTS,
                                                      .core_count = 2,
                                                      .old = old,
                                                      .generation = old ? 2 : 1 },
                               &filter, &problem),
                 OK);
    EXPECT_TEXT(why, "");
    return filter;
}

/* ---- Random rules ---------------------------------------------------------------------------- */

/* Few bits differ, so that prefixes lie in each other. */
static struct prefix random_prefix(enum family family)
{
    struct prefix prefix = { .address.family = (uint8_t)family };
    unsigned bytes = family == FAMILY_IPV6 ? 16 : 4;

    for (unsigned i = 0; i < bytes; i++)
        prefix.address.bytes[i] = (uint8_t)(below(3) == 0 ? 0x81 << below(2) : 0x10);
    prefix.length = (uint8_t)below(bytes * 8 + 1);
    return prefix_network(&prefix);
}

static void random_end(struct config_filter_end *end, enum family family)
{
    static const uint16_t edges[] = { 0, 1, 79, 80, 81, 1023, 1024, 65534, 65535 };

    if (below(2) == 0)
        end->prefix = random_prefix(family);
    else if (below(3) == 0)
        snprintf(end->set, sizeof(end->set), "set%u", below(3));
    if (below(4) == 0) {
        end->has_ports = true;
        unsigned first = below(ARRAY_COUNT(edges));
        end->first_port = edges[first];
        end->last_port = edges[first + below((unsigned)ARRAY_COUNT(edges) - first)];
    }
}

static struct config_filter random_filter(enum family family)
{
    static const uint8_t protocols[] = {
        PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP, PROTOCOL_ICMP6, 0, 255
    };
    struct config_filter filter = { .family = (uint8_t)family,
                                    .number = (uint16_t)(1 + below(60000)),
                                    .action = (uint8_t)below(3),
                                    .fragment = below(10) == 0,
                                    .has_protocol = below(2) == 0 };

    random_end(&filter.source, family);
    random_end(&filter.destination, family);
    if (filter.has_protocol)
        filter.protocol = protocols[below(ARRAY_COUNT(protocols))];
    if (below(8) == 0) {
        filter.has_type = true;
        filter.type = (uint8_t)(below(2) ? 8 : 255);
    }
    if (below(8) == 0) {
        filter.flags_set = (uint8_t)random_next(&state) & (uint8_t)random_next(&state);
        filter.flags_clear =
            (uint8_t)random_next(&state) & (uint8_t)random_next(&state) & ~filter.flags_set;
    }
    if (below(6) == 0)
        snprintf(filter.in, sizeof(filter.in), "eth%u", below(PORTS));
    if (below(6) == 0)
        snprintf(filter.out, sizeof(filter.out), "eth%u", below(PORTS));
    return filter;
}

static struct config *random_config(enum family family)
{
    struct config *config = config_create();
    unsigned count = below(RULES);

    for (unsigned i = 0; i < SET_PREFIXES; i++) {
        struct config_filter_set element = { .family = (uint8_t)family,
                                             .prefix = random_prefix(family) };
        snprintf(element.name, sizeof(element.name), "set%u", i < 3 ? i : below(3));
        EXPECT_EQUAL(config_set_filter_set(config, &element), OK);
    }
    for (unsigned i = 0; i < count; i++) {
        struct config_filter filter = random_filter(family);
        EXPECT_EQUAL(config_set_filter(config, &filter), OK);
    }
    config->filter_default_drop[family] = below(2) == 0;
    return config;
}

/* ---- Packets at the boundaries of rules -------------------------------------------------------
 */

static void set_address(struct filter_keys *keys, enum filter_word word, unsigned i,
                        const struct address *address)
{
    for (unsigned k = 0; k < 4; k++)
        keys->words[word + k][i] = load_be32(address->bytes + k * 4);
}

static struct address near(const struct prefix *prefix)
{
    struct address address = prefix->address;
    unsigned bytes = address_bits(&address) / 8;

    for (unsigned bit = prefix->length; bit < bytes * 8; bit++)
        if (below(2))
            address.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
    if (prefix->length > 0 && below(3) == 0) { /* just outside */
        unsigned bit = prefix->length - 1u;
        address.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
    }
    return address;
}

static uint32_t near_range(unsigned first, unsigned last)
{
    uint32_t values[] = { first - 1u, first, last, last + 1u, first + below(last - first + 1) };
    uint32_t value = values[below(ARRAY_COUNT(values))];

    return value > 65535 ? FILTER_ABSENT : value;
}

static void random_packet(const struct config *config, enum family family, struct filter_keys *keys,
                          unsigned i)
{
    struct config_filter like = random_filter(family);

    if (config->filter_count > 0 && below(4) > 0)
        like = config->filters[below(config->filter_count)];
    const struct prefix any = random_prefix(family);
    const struct prefix *in_set = &config->filter_sets[below(SET_PREFIXES / 2)].prefix;
    const struct prefix *source = like.source.prefix.address.family ? &like.source.prefix : in_set;
    const struct prefix *destination =
        like.destination.prefix.address.family ? &like.destination.prefix : &any;
    struct address from = near(source), to = near(below(2) ? destination : in_set);
    bool ours = below(8) == 0;

    set_address(keys, FILTER_SOURCE, i, &from);
    set_address(keys, FILTER_DESTINATION, i, &to);
    keys->words[FILTER_PROTOCOL][i] = like.has_protocol && below(4) ? like.protocol : below(256);
    keys->words[FILTER_SOURCE_PORT][i] = near_range(like.source.first_port, like.source.last_port);
    keys->words[FILTER_DESTINATION_PORT][i] =
        near_range(like.destination.first_port, like.destination.last_port);
    keys->words[FILTER_TYPE][i] = below(3) == 0 ? FILTER_ABSENT : like.type ^ (below(4) == 0);
    keys->words[FILTER_FLAGS][i] =
        below(6) == 0 ? FILTER_ABSENT
                      : ((uint32_t)random_next(&state) & 0xff & ~like.flags_clear) | like.flags_set;
    keys->words[FILTER_FRAGMENT][i] = below(3);
    keys->words[FILTER_PORT_IN][i] = ours ? FILTER_ABSENT : below(PORTS);
    keys->words[FILTER_PORT_OUT][i] = below(8) == 0 ? FILTER_ABSENT : below(PORTS);
}

/* ---- What the statements say, read naively ----------------------------------------------------
 */

static struct address address_at(const struct filter_keys *keys, enum filter_word word, unsigned i,
                                 enum family family)
{
    struct address address = { .family = (uint8_t)family };

    for (unsigned k = 0; k < address_bits(&address) / 32; k++)
        store_be32(address.bytes + k * 4, keys->words[word + k][i]);
    return address;
}

static bool end_matches(const struct config *config, const struct config_filter_end *end,
                        const struct address *address, uint32_t port)
{
    bool in_set = end->set[0] == '\0';

    for (unsigned k = 0; k < config->filter_set_count && !in_set; k++)
        if (strcmp(config->filter_sets[k].name, end->set) == 0 &&
            prefix_contains(&config->filter_sets[k].prefix, address))
            in_set = true;
    return in_set &&
           (end->prefix.address.family == FAMILY_NONE || prefix_contains(&end->prefix, address)) &&
           (!end->has_ports ||
            (port != FILTER_ABSENT && port >= end->first_port && port <= end->last_port));
}

static bool port_is(uint32_t port, const char *name)
{
    return port != FILTER_ABSENT && strcmp(ports[port].name, name) == 0;
}

static bool matches(const struct config *config, const struct config_filter *filter,
                    enum filter_moment moment, const struct filter_keys *keys, unsigned i)
{
    enum family family = (enum family)filter->family;
    struct address from = address_at(keys, FILTER_SOURCE, i, family);
    struct address to = address_at(keys, FILTER_DESTINATION, i, family);
    uint32_t flags = keys->words[FILTER_FLAGS][i], in = keys->words[FILTER_PORT_IN][i];
    bool wants_flags = (filter->flags_set | filter->flags_clear) != 0;

    if (!end_matches(config, &filter->source, &from, keys->words[FILTER_SOURCE_PORT][i]) ||
        !end_matches(config, &filter->destination, &to, keys->words[FILTER_DESTINATION_PORT][i]))
        return false;
    if (filter->has_protocol && keys->words[FILTER_PROTOCOL][i] != filter->protocol)
        return false;
    if (filter->has_type && keys->words[FILTER_TYPE][i] != filter->type)
        return false;
    if (wants_flags &&
        (flags == FILTER_ABSENT || (flags & filter->flags_set) != filter->flags_set ||
         (flags & filter->flags_clear) != 0))
        return false;
    if (filter->fragment && keys->words[FILTER_FRAGMENT][i] == FILTER_WHOLE)
        return false;
    if (filter->in[0] != '\0' && !port_is(in, filter->in))
        return false;
    if (filter->out[0] == '\0')
        return in != FILTER_ABSENT;
    return moment == FILTER_ARRIVING || port_is(keys->words[FILTER_PORT_OUT][i], filter->out);
}

struct decision {
    uint16_t number;
    enum filter_action action;
};

static struct decision read_naively(const struct config *config, enum family family,
                                    enum filter_moment moment, const struct filter_keys *keys,
                                    unsigned i)
{
    uint32_t type = keys->words[FILTER_TYPE][i];
    bool is_discovery = family == FAMILY_IPV6 &&
                        keys->words[FILTER_PROTOCOL][i] == PROTOCOL_ICMP6 &&
                        ((type >= 130 && type <= 137) || type == 143);

    for (unsigned k = 0; k < config->filter_count; k++)
        if (matches(config, &config->filters[k], moment, keys, i))
            return (struct decision){ config->filters[k].number,
                                      (enum filter_action)config->filters[k].action };
    bool drop = config->filter_default_drop[family] && !is_discovery &&
                keys->words[FILTER_PORT_IN][i] != FILTER_ABSENT;
    return (struct decision){ 0, drop ? FILTER_DROP : FILTER_PASS };
}

static void compare(const struct config *config, const struct filter *filter, enum family family)
{
    static struct filter_keys keys;
    uint32_t rules[BATCH_MAX], interpreted[BATCH_MAX];

    for (unsigned done = 0; done < PACKETS; done += BATCH_MAX) {
        enum filter_moment moment = below(2) ? FILTER_ARRIVING : FILTER_LEAVING;
        for (unsigned i = 0; i < BATCH_MAX; i++)
            random_packet(config, family, &keys, i);
        /* What arrives has come by a port. */
        for (unsigned i = 0; moment == FILTER_ARRIVING && i < BATCH_MAX; i++)
            if (keys.words[FILTER_PORT_IN][i] == FILTER_ABSENT)
                keys.words[FILTER_PORT_IN][i] = 0;
        filter_decide(filter, moment, &keys, BATCH_MAX, rules);
        filter_interpret(filter, moment, &keys, BATCH_MAX, interpreted);
        for (unsigned i = 0; i < BATCH_MAX; i++) {
            struct decision wish = read_naively(config, family, moment, &keys, i);
            EXPECT(rules[i] < filter->rule_count);
            EXPECT_EQUAL(interpreted[i], rules[i]);
            EXPECT_EQUAL(filter->rules[rules[i]].number, wish.number);
            EXPECT_EQUAL(filter->outcomes[rules[i]].action, wish.action);
            EXPECT(!filter->rules[rules[i]].is_shadowed);
        }
    }
}

TEST(filter_decides_as_the_statements_say)
{
    const unsigned rounds = MAX_OF(test_comparisons() / PACKETS / 4, (unsigned)ROUNDS);

    name_ports();
    for (unsigned round = 0; round < rounds; round++) {
        enum family family = round % 2 ? FAMILY_IPV6 : FAMILY_IPV4;
        struct config *config = random_config(family);
        config->filter_jit_off[family] = round % 4 >= 2;
        struct filter *filter = create(config, family, NULL);
        EXPECT(!filter == !filter_is_wanted(config, family));
        if (filter) {
            EXPECT_EQUAL(filter->compiled[FILTER_ARRIVING] != NULL,
                         !config->filter_jit_off[family]);
            compare(config, filter, family);
        }
        filter_destroy(filter, NULL);
        config_destroy(config);
    }
}

/* ---- Sets ------------------------------------------------------------------------------------ */

static void add_prefix(struct config *config, const struct prefix *prefix)
{
    struct config_filter_set element = { .family = prefix->address.family,
                                         .name = "bad",
                                         .prefix = *prefix };

    EXPECT_EQUAL(config_set_filter_set(config, &element), OK);
}

static bool list_has(const struct config *config, const struct address *address)
{
    for (unsigned i = 0; i < config->filter_set_count; i++)
        if (prefix_contains(&config->filter_sets[i].prefix, address))
            return true;
    return false;
}

static enum error make_set(struct filter_set *set, const struct config *config, enum family family,
                           struct text *problem)
{
    const struct filter_set_plan plan = { .config = config, .family = family };
    struct filter_files files;

    EXPECT_EQUAL(filter_files_create(&files, config, family), OK);
    enum error error = filter_set_make(set, &plan, "bad", &files, problem);
    filter_files_clear(&files);
    return error;
}

TEST(filter_set_has_what_its_prefixes_have)
{
    char why[100];
    struct text problem = text_of(why, sizeof(why));

    for (unsigned round = 0; round < 200; round++) {
        enum family family = round % 2 ? FAMILY_IPV6 : FAMILY_IPV4;
        struct config *config = config_create();
        struct filter_set set = { .count = 0 };
        for (unsigned i = below(40); i > 0; i--) {
            struct prefix prefix = random_prefix(family);
            add_prefix(config, &prefix);
        }
        EXPECT_EQUAL(make_set(&set, config, family, &problem), OK);
        for (unsigned i = 0; i < 200; i++) {
            struct prefix prefix = config->filter_set_count > 0
                                       ? config->filter_sets[below(config->filter_set_count)].prefix
                                       : random_prefix(family);
            struct address address = near(&prefix);
            uint32_t words[4];
            filter_address_words(&address, words);
            EXPECT_EQUAL(filter_set_has(&set, words), list_has(config, &address));
        }
        filter_set_clear(&set);
        config_destroy(config);
    }
}

TEST(filter_set_joins_neighbors_and_ends_with_the_last_address)
{
    struct config *config = config_create();
    struct filter_set set = { .count = 0 };
    char why[100];
    struct text problem = text_of(why, sizeof(why));
    static const struct {
        const char *address;
        unsigned length;
    } prefixes[] = { { "10.0.0.0", 9 },
                     { "10.128.0.0", 9 },
                     { "11.0.0.0", 8 },
                     { "10.1.0.0", 16 },
                     { "255.255.255.254", 31 } };

    for (unsigned i = 0; i < ARRAY_COUNT(prefixes); i++) {
        struct prefix prefix = prefix_of_ipv4(ipv4_of(prefixes[i].address), prefixes[i].length);
        add_prefix(config, &prefix);
    }
    EXPECT_EQUAL(make_set(&set, config, FAMILY_IPV4, &problem), OK);
    EXPECT_EQUAL(set.count, 2);
    EXPECT_EQUAL(set.first[0], 0x0a000000);
    EXPECT_EQUAL(set.last[0], 0x0bffffff);
    EXPECT_EQUAL(set.first[1], 0xfffffffe);
    EXPECT_EQUAL(set.last[1], 0xffffffff);
    filter_set_clear(&set);
    config_destroy(config);
}

static enum error make_from_file(const char *bytes, struct filter_set *set, char *why, size_t size)
{
    struct config *config = config_create();
    struct config_filter_set element = { .family = FAMILY_IPV4, .name = "bad", .file = "list" };
    struct text problem = text_of(why, size);

    EXPECT_EQUAL(config_set_filter_set(config, &element), OK);
    host_file_remove_all();
    if (bytes)
        host_file_add("list", bytes, strlen(bytes));
    enum error error = make_set(set, config, FAMILY_IPV4, &problem);
    config_destroy(config);
    return error;
}

TEST(filter_set_reads_files_and_names_the_bad_line)
{
    struct filter_set set = { .count = 0 };
    char why[200];

    EXPECT_EQUAL(
        make_from_file("# bad ones\n10.0.0.0/8\n192.0.2.7\n\n10.1.0.0/16", &set, why, sizeof(why)),
        OK);
    EXPECT_EQUAL(set.count, 2);
    filter_set_clear(&set);
    EXPECT_EQUAL(make_from_file("10.0.0.0/8\n10.0.0.1/8\n", &set, why, sizeof(why)),
                 ERROR_BAD_VALUE);
    EXPECT_TEXT(why, "ip filter set bad file list: line 2, column 1: there are bits behind the "
                     "prefix's length");
    filter_set_clear(&set);
    EXPECT_EQUAL(make_from_file("10.0.0.0/8 10.0.0.1\n", &set, why, sizeof(why)), ERROR_BAD_VALUE);
    EXPECT_TEXT(why, "ip filter set bad file list: line 1, column 12: that is one word too many");
    filter_set_clear(&set);
    EXPECT_EQUAL(make_from_file(NULL, &set, why, sizeof(why)), ERROR_NOT_FOUND);
    EXPECT_TEXT(why, "ip filter set bad file list: there is no such file");
    filter_set_clear(&set);
}

static struct filter *create_of_file(const struct config *config, const struct filter *old,
                                     bool read_again, const char *bytes)
{
    char why[200];
    struct text problem = text_of(why, sizeof(why));
    struct filter *filter;

    host_file_remove_all();
    host_file_add("list", bytes, strlen(bytes));
    EXPECT_EQUAL(filter_create(&(struct filter_plan){ .config = config,
                                                      .family = FAMILY_IPV4,
                                                      .ports = ports,
                                                      .port_count = PORTS,
                                                      .core_count = 2,
                                                      .old = old,
                                                      .read_again = read_again },
                               &filter, &problem),
                 OK);
    return filter;
}

/* Goal: a file is read once, however many filters follow each other and sets name it, and again
 * when that is asked for. Method: the file changes in between. */
TEST(filter_set_files_are_handed_on)
{
    struct config *config = config_create();
    struct filter *filters[4];

    name_ports();
    for (unsigned i = 0; i < 2; i++) {
        struct config_filter filter = { .family = FAMILY_IPV4,
                                        .number = (uint16_t)(10 + i),
                                        .action = FILTER_DROP };
        struct config_filter_set element = { .family = FAMILY_IPV4, .file = "list" };
        snprintf(element.name, sizeof(element.name), "set%u", i);
        snprintf(filter.source.set, sizeof(filter.source.set), "set%u", i);
        EXPECT_EQUAL(config_set_filter_set(config, &element), OK);
        EXPECT_EQUAL(config_set_filter(config, &filter), OK);
    }
    filters[0] = create_of_file(config, NULL, false, "10.0.0.0/8");
    EXPECT_EQUAL(filters[0]->files.count, 1);
    EXPECT_EQUAL(filters[0]->sets[1].first[0], 0x0a000000);

    struct config_filter_set element = { .family = FAMILY_IPV4, .name = "set1" };
    element.prefix = prefix_of_ipv4(ipv4_of("11.0.0.0"), 8);
    EXPECT_EQUAL(config_set_filter_set(config, &element), OK);
    filters[1] = create_of_file(config, filters[0], false, "bad");
    filter_destroy(filters[0], NULL);
    EXPECT_EQUAL(filters[1]->sets[0].last[0], 0x0affffff);
    EXPECT_EQUAL(filters[1]->sets[1].last[0], 0x0bffffff); /* joined to what was added */
    filters[2] = create_of_file(config, filters[1], true, "13.0.0.0/8");
    EXPECT_EQUAL(filters[2]->sets[0].first[0], 0x0d000000);
    EXPECT_EQUAL(filters[2]->sets[1].count, 2);
    /* Who is left alone with it still has it. */
    filters[3] = create_of_file(config, filters[1], false, "bad");
    filter_destroy(filters[1], NULL);
    EXPECT_EQUAL(filters[3]->sets[0].first[0], 0x0a000000);
    filter_destroy(filters[2], NULL);
    filter_destroy(filters[3], NULL);
    host_file_remove_all();
    config_destroy(config);
}

/* ---- Hits ------------------------------------------------------------------------------------ */

static void add_filter(struct config *config, unsigned number, const char *source)
{
    struct config_filter filter = { .family = FAMILY_IPV4,
                                    .number = (uint16_t)number,
                                    .action = FILTER_DROP };

    filter.source.prefix = prefix_of_ipv4(ipv4_of(source), 32);
    EXPECT_EQUAL(config_set_filter(config, &filter), OK);
}

static void hit(const struct filter *filter, unsigned rule, uint64_t packets)
{
    filter->outcomes[rule].hits->cores[rule % 2].packets += packets;
    filter->outcomes[rule].hits->cores[rule % 2].bytes += packets * 100;
}

static uint64_t packets_of(const struct filter *filter, unsigned rule)
{
    return filter_hits_of(filter, &filter->rules[rule]).packets;
}

TEST(filter_hits_go_with_the_rule_from_filter_to_filter)
{
    struct config *config = config_create();

    name_ports();
    add_filter(config, 10, "192.0.2.1");
    add_filter(config, 20, "192.0.2.2");
    add_filter(config, 30, "192.0.2.3");
    struct filter *first = create(config, FAMILY_IPV4, NULL);
    for (unsigned rule = 0; rule < first->rule_count; rule++)
        hit(first, rule, rule + 1);
    EXPECT_EQUAL(first->rule_count, 5); /* with those for all that came in, and for ours */

    add_filter(config, 5, "192.0.2.5");  /* before */
    add_filter(config, 20, "192.0.2.9"); /* another one by the same number */
    struct filter *second = create(config, FAMILY_IPV4, first);
    EXPECT_EQUAL(second->generation, 2);
    EXPECT_EQUAL(packets_of(second, 0), 0);
    EXPECT_EQUAL(packets_of(second, 1), 1);
    EXPECT_EQUAL(packets_of(second, 2), 0);
    EXPECT_EQUAL(packets_of(second, 3), 3);
    EXPECT_EQUAL(packets_of(second, 4), 4);
    EXPECT_EQUAL(packets_of(second, 5), 5);
    hit(first, 2, 100); /* by a core that has not seen the new one yet */
    EXPECT_EQUAL(packets_of(second, 3), 103);
    filter_destroy(first, NULL);
    EXPECT_EQUAL(packets_of(second, 3), 103);

    filter_clear_hits(second);
    EXPECT_EQUAL(packets_of(second, 3), 0);
    hit(second, 3, 7);
    EXPECT_EQUAL(packets_of(second, 3), 7);
    EXPECT_EQUAL(filter_hits_of(second, &second->rules[3]).bytes, 700);
    filter_destroy(second, NULL);
    config_destroy(config);
}

TEST(filter_create_fails_cleanly_without_memory)
{
    struct config *config = random_config(FAMILY_IPV6);
    char why[100];
    struct text problem = text_of(why, sizeof(why));
    struct filter *filter, *old = NULL;
    enum error error = ERROR_NO_MEMORY;

    name_ports();
    config->filter_default_drop[FAMILY_IPV6] = true;
    for (unsigned n = 0; error == ERROR_NO_MEMORY; n++) {
        EXPECT(n < 500);
        host_fail_allocation(n);
        error = filter_create(&(struct filter_plan){ .config = config,
                                                     .family = FAMILY_IPV6,
                                                     .ports = ports,
                                                     .port_count = PORTS,
                                                     .core_count = 2,
                                                     .old = old },
                              &filter, &problem);
        host_fail_allocation(UINT64_MAX);
        EXPECT(error == OK || filter == NULL);
    }
    EXPECT_EQUAL(error, OK);
    EXPECT(filter->compiled[FILTER_ARRIVING] != NULL); /* what is lacking is never left out */
    filter_destroy(filter, NULL);
    config_destroy(config);
}

static unsigned verify(const struct filter *filter, enum filter_moment moment)
{
    const unsigned batches = test_comparisons() / ROUNDS / BATCH_MAX;
    uint64_t seed = 1;
    unsigned differences = 0;

    for (unsigned i = 0; i < batches; i++)
        differences += filter_verify(filter, moment, BATCH_MAX, &seed);
    return differences;
}

/* Goal: a verification finds what differs, and only that. Method: a rule that changes behind the
 * compiler's back. */
TEST(filter_verify_finds_what_code_decides_otherwise)
{
    struct config_filter wish = { .number = 5, .family = FAMILY_IPV4, .action = FILTER_DROP };
    struct config *config = config_create();

    name_ports();
    EXPECT(config != NULL);
    wish.source.prefix = prefix_of_ipv4(0x000200c0, 24); /* 192.0.2.0 */
    EXPECT_EQUAL(config_set_filter(config, &wish), OK);
    struct filter *filter = create(config, FAMILY_IPV4, NULL);
    EXPECT_EQUAL(verify(filter, FILTER_ARRIVING), 0);
    filter->rules[0].ranges[FILTER_SOURCE].last++;
    EXPECT(verify(filter, FILTER_ARRIVING) > 0);
    filter_destroy(filter, NULL);
    config_destroy(config);

    for (unsigned round = 0; round < ROUNDS; round++) {
        config = random_config(round % 2 ? FAMILY_IPV6 : FAMILY_IPV4);
        filter = create(config, round % 2 ? FAMILY_IPV6 : FAMILY_IPV4, NULL);
        for (unsigned moment = 0; filter && moment < FILTER_MOMENT_COUNT; moment++)
            EXPECT_EQUAL(verify(filter, (enum filter_moment)moment), 0);
        filter_destroy(filter, NULL);
        config_destroy(config);
    }
}

/* ---- Large sets beside rules that ask for more ------------------------------------------------
 */

enum { LIST_PREFIXES = 20000, LIST_BYTES = LIST_PREFIXES * 32 };

/* A file of prefixes, some of them hosts; every other list lies between the prefixes of the first.
 */
static void print_list(char list[LIST_BYTES], enum family family, unsigned shift)
{
    unsigned used = 0;

    for (unsigned i = 0; i < LIST_PREFIXES; i++) {
        const unsigned net = 4 * i + shift;
        if (family == FAMILY_IPV6)
            used += (unsigned)snprintf(list + used, LIST_BYTES - used, "2001:%x:%x::%s\n",
                                       0x1000 + net / 256, net % 256, i % 16 == 0 ? "7" : "/48");
        else
            used += (unsigned)snprintf(list + used, LIST_BYTES - used, "%u.%u.%u.%s\n",
                                       10 + net / 65536, net / 256 % 256, net % 256,
                                       i % 16 == 0 ? "7" : "0/24");
    }
}

static void add_list(struct config *config, char list[LIST_BYTES], enum family family,
                     const char *name, unsigned shift)
{
    struct config_filter_set element = { .family = (uint8_t)family };

    print_list(list, family, shift);

    snprintf(element.name, sizeof(element.name), "%s", name);
    snprintf(element.file, sizeof(element.file), "%s", name);
    EXPECT_EQUAL(config_set_filter_set(config, &element), OK);
    host_file_add(name, list, strlen(list));
}

/* Goal: what operators have most is compiled. Method: a list of bad addresses before general rules,
 * another one that overlaps it, and a rule from the one to the other. */
TEST(filter_of_large_sets_and_general_rules_is_compiled)
{
    static char lists[3][LIST_BYTES];

    name_ports();
    for (unsigned round = 0; round < 2; round++) {
        const enum family family = round == 0 ? FAMILY_IPV4 : FAMILY_IPV6;
        struct config *config = config_create();
        struct config_filter rule = { .family = (uint8_t)family,
                                      .number = 1,
                                      .action = FILTER_DROP };

        host_file_remove_all();
        add_list(config, lists[0], family, "bad", 0);
        add_list(config, lists[1], family, "worse", 2);
        add_list(config, lists[2], family, "far", 0);
        snprintf(rule.source.set, sizeof(rule.source.set), "bad");
        EXPECT_EQUAL(config_set_filter(config, &rule), OK);
        for (unsigned i = 2; i < 22; i++) {
            rule = random_filter(family);
            rule.number = (uint16_t)i;
            rule.source.set[0] = rule.destination.set[0] = '\0';
            EXPECT_EQUAL(config_set_filter(config, &rule), OK);
        }
        rule = (struct config_filter){ .family = (uint8_t)family, .number = 30 };
        snprintf(rule.source.set, sizeof(rule.source.set), "worse");
        snprintf(rule.destination.set, sizeof(rule.destination.set), "far");
        EXPECT_EQUAL(config_set_filter(config, &rule), OK);

        struct filter *filter = create(config, family, NULL);
        for (unsigned moment = 0; moment < FILTER_MOMENT_COUNT; moment++) {
            EXPECT(filter->compiled[moment] != NULL || moment == FILTER_LEAVING);
            EXPECT_EQUAL(verify(filter, (enum filter_moment)moment), 0);
        }
        filter_destroy(filter, NULL);
        config_destroy(config);
    }
    host_file_remove_all();
}
