/* Compiled filters beside DPDK's rte_acl and a search by halves, in one process.
 *
 *   filter_bench PASSES prefixes COUNT         a list of random IPv4 prefixes
 *   filter_bench PASSES prefixes6 COUNT TABLE  of IPv6 prefixes from a routing table
 *   filter_bench PASSES rules FILE TRACE N     ClassBench's packets through its first N rules
 *   filter_bench PASSES rules6 FILE TRACE N    the same with IPv6 addresses: a /L is a /16+L
 *   filter_bench PASSES set FILE TRACE N COUNT behind a rule about a set of IPv4 prefixes
 *
 * Everybody's answers are compared before the race, which is that of fib_race.h. Ours reads fields
 * in columns, as the datapath has them; rte_acl reads keys through pointers, as it wants them. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <rte_acl.h>
#include <rte_byteorder.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_memory.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef MS_PER_S
#undef US_PER_S
#undef NS_PER_S /* ours are constants of the same name */

#include "jit/jit.h"
#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "tests/bench/fib_race.h"
#include "tests/host/host.h"

enum { SOURCE, DESTINATION, SOURCE_PORT, DESTINATION_PORT, PROTOCOL, FLAGS, FIELDS };

/* With IPv6 addresses: four words each, then the others. */
enum {
    WORDS6 = 4,
    DESTINATION6 = WORDS6,
    SOURCE_PORT6 = 2 * WORDS6,
    DESTINATION_PORT6,
    PROTOCOL6,
    FLAGS6,
    FIELDS6,
};

/* As rte_acl reads it: the first byte, then words, in network order. */
struct key {
    uint8_t protocol;
    uint8_t unused[3];
    uint32_t source6_be[WORDS6];
    uint32_t destination6_be[WORDS6];
    uint32_t source_be;
    uint32_t destination_be;
    uint16_t source_port_be;
    uint16_t destination_port_be;
    uint32_t flags_be; /* in the lower half */
};

/* Packets that fit in the caches, as those that were just received do; a pass goes over them again
 * and again. */
enum { PACKETS = 1 << 15, BURSTS = PACKETS / BURST, ROUNDS = TRACE_LENGTH / PACKETS };

struct trace {
    unsigned field_count;
    uint32_t columns[BURSTS * FIELDS6][BURST]; /* field_count of each burst */
    struct key keys[PACKETS];
};

enum kind { RULES, RULES6, PREFIXES, PREFIXES6 };

struct bench {
    struct race race;
    enum kind kind;
    struct jit_rule *rules;
    unsigned rule_count;
    struct jit_set set;
    struct jit_rule *members; /* of the set, as rules: rte_acl knows no sets */
    unsigned member_count;
    struct trace *traces[2];
    struct jit_plan plan;
};

static uint64_t random_state = 1;

/* ---- Rules and packets ----------------------------------------------------------------------- */

/* Of a list of prefixes nobody is told of more than the prefix: it is the first field. */
static const struct jit_plan prefix_plan = { .field_count = 1 };
static const struct jit_plan prefix6_plan = { .field_count = WORDS6, .joined = 0xe };
static const struct jit_plan rule_plan = { .field_count = FIELDS,
                                           .bits = 1 << FLAGS | 1 << PROTOCOL };

static const struct jit_plan rule6_plan = { .field_count = FIELDS6,
                                            .joined = 0xee,
                                            .bits = 1 << FLAGS6 | 1 << PROTOCOL6 };

static struct jit_rule any_rule(uint32_t answer)
{
    struct jit_rule rule = { .answer = answer };

    for (unsigned field = 0; field < FIELDS; field++)
        rule.fields[field] = rule_plan.bits >> field & 1 ? JIT_ANY_BITS : JIT_ANY;
    return rule;
}

static const uint32_t (*burst_of(const struct trace *trace, unsigned burst))[BURST]
{
    return &trace->columns[burst * trace->field_count];
}

static uint32_t host_bits(unsigned length)
{
    return (uint32_t)(0xffffffffull >> length);
}

static struct jit_range prefix_range(uint32_t address, unsigned length)
{
    uint32_t host = host_bits(length);
    return (struct jit_range){ address & ~host, address | host };
}

/* Lengths as operators' lists have them, addresses in groups. */
static struct jit_rule *random_prefixes(unsigned count)
{
    struct jit_rule *rules = need(calloc(count, sizeof(*rules)));

    for (unsigned i = 0; i < count; i++) {
        unsigned kind = random_below(&random_state, 100);
        unsigned length = kind < 40   ? 24
                          : kind < 60 ? 32
                          : kind < 75 ? 16 + random_below(&random_state, 8)
                          : kind < 95 ? 24 + random_below(&random_state, 8)
                                      : 18 + random_below(&random_state, 6);
        uint32_t address = (uint32_t)random_next(&random_state);
        if (i > 20 && random_below(&random_state, 3) > 0) {
            uint32_t group = rules[random_below(&random_state, i)].fields[SOURCE].first;
            address = (group & 0xfff00000) | (address & 0xfffff);
        }
        rules[i] = any_rule(i);
        rules[i].fields[SOURCE] = prefix_range(address, length);
    }
    return rules;
}

static void make_prefixes(struct bench *bench, unsigned count)
{
    bench->kind = PREFIXES;
    bench->plan = prefix_plan;
    bench->rule_count = count;
    bench->rules = random_prefixes(count);
}

static void set_packet(struct trace *trace, unsigned at, const uint32_t fields[FIELDS])
{
    for (unsigned field = 0; field < trace->field_count; field++)
        trace->columns[at / BURST * trace->field_count + field][at % BURST] = fields[field];
    trace->keys[at] = (struct key){
        .protocol = (uint8_t)fields[PROTOCOL],
        .source_be = rte_cpu_to_be_32(fields[SOURCE]),
        .destination_be = rte_cpu_to_be_32(fields[DESTINATION]),
        .source_port_be = rte_cpu_to_be_16((uint16_t)fields[SOURCE_PORT]),
        .destination_port_be = rte_cpu_to_be_16((uint16_t)fields[DESTINATION_PORT]),
        .flags_be = rte_cpu_to_be_32(fields[FLAGS] & 0xffff),
    };
}

static struct trace *add_trace(struct bench *bench, const char *name)
{
    struct trace *trace = need(calloc(1, sizeof(*trace)));

    trace->field_count = bench->plan.field_count;
    CHECK(trace->field_count <= FIELDS6);
    bench->traces[bench->race.trace_count] = trace;
    race_add_trace(&bench->race, name, trace);
    return trace;
}

/* Half of the addresses in a prefix, half anywhere; or 4,096 of them, some more often. */
static void make_prefix_traces(struct bench *bench)
{
    enum { FLOWS = 4096 };
    static unsigned flows[TRACE_LENGTH];
    static uint32_t addresses[FLOWS];
    struct trace *random = add_trace(bench, "random"), *zipf = add_trace(bench, "4,096 flows");

    zipf_flows(flows, FLOWS, &random_state);
    for (unsigned i = 0; i < PACKETS; i++) {
        const struct jit_range *in =
            &bench->rules[random_below(&random_state, bench->rule_count)].fields[SOURCE];
        uint32_t address = (uint32_t)random_next(&random_state);
        if (i % 2 == 0)
            address = in->first | (address & (in->last - in->first));
        if (i < FLOWS)
            addresses[i] = address;
        set_packet(random, i, (uint32_t[FIELDS]){ [SOURCE] = address });
    }
    for (unsigned i = 0; i < PACKETS; i++)
        set_packet(zipf, i, (uint32_t[FIELDS]){ [SOURCE] = addresses[flows[i]] });
}

/* ---- IPv6 ------------------------------------------------------------------------------------ */

struct prefix6 {
    uint32_t words[WORDS6];
    unsigned length;
};

static struct jit_rule prefix6_rule(const struct prefix6 *prefix, uint32_t answer)
{
    struct jit_rule rule = { .answer = answer };

    for (unsigned word = 0; word < WORDS6; word++) {
        unsigned known = prefix->length > word * 32 ? MIN_OF(prefix->length - word * 32, 32u) : 0;
        rule.fields[word] = prefix_range(prefix->words[word], known);
    }
    return rule;
}

static void random_hosts(struct prefix6 *prefix)
{
    for (unsigned bit = prefix->length; bit < 128; bit++)
        prefix->words[bit / 32] |= (uint32_t)(random_next(&random_state) & 1) << (31 - bit % 32);
}

static struct prefix6 *read_table6(const char *path, unsigned *count)
{
    enum { ROOM = 1 << 20 };
    struct prefix6 *table = need(calloc(ROOM, sizeof(*table)));
    FILE *file = fopen(path, "r");
    char text[64], address[16];

    if (file == NULL)
        refuse("the table cannot be read");
    *count = 0;
    while (*count < ROOM && fscanf(file, " %63[^/]/%u %*d", text, &table[*count].length) == 2) {
        if (inet_pton(AF_INET6, text, address) != 1)
            refuse("the table has something else");
        for (unsigned word = 0; word < WORDS6; word++)
            table[*count].words[word] = load_be32((const uint8_t *)address + word * 4);
        (*count)++;
    }
    fclose(file);
    return table;
}

/* Of the table as they come, but for one in 32 that becomes a /64 and one in 64 that becomes a
 * host: so all of a key's words are looked at, however short the list. */
static struct prefix6 *choose_prefixes6(struct bench *bench, unsigned count, const char *path)
{
    unsigned table_count;
    struct prefix6 *table = read_table6(path, &table_count);

    if (table_count < count)
        refuse("the table is too short");
    for (unsigned i = 0; i < count; i++) {
        unsigned other = i + random_below(&random_state, table_count - i);
        struct prefix6 chosen = table[other];
        table[other] = table[i];
        if (i % 32 == 7 && chosen.length < 64) {
            random_hosts(&chosen);
            chosen.length = i % 64 == 7 ? 128 : 64;
        }
        table[i] = chosen;
    }
    bench->kind = PREFIXES6;
    bench->plan = prefix6_plan;
    bench->rule_count = count;
    bench->rules = need(calloc(count, sizeof(*bench->rules)));
    for (unsigned i = 0; i < count; i++)
        bench->rules[i] = prefix6_rule(&table[i], i);
    return table;
}

static void set_packet6(struct trace *trace, unsigned at, const uint32_t words[WORDS6])
{
    for (unsigned word = 0; word < WORDS6; word++) {
        trace->columns[at / BURST * trace->field_count + word][at % BURST] = words[word];
        trace->keys[at].source6_be[word] = rte_cpu_to_be_32(words[word]);
    }
}

/* Half of the addresses in a prefix, half near one; or 4,096 of them, some more often. */
static void make_prefix6_traces(struct bench *bench, const struct prefix6 *prefixes)
{
    enum { FLOWS = 4096, NEAR_BITS = 28 };
    static unsigned flows[TRACE_LENGTH];
    static struct prefix6 addresses[FLOWS];
    struct trace *random = add_trace(bench, "random"), *zipf = add_trace(bench, "4,096 flows");

    zipf_flows(flows, FLOWS, &random_state);
    for (unsigned i = 0; i < PACKETS; i++) {
        struct prefix6 address = prefixes[random_below(&random_state, bench->rule_count)];
        if (i % 2 != 0 && address.length > NEAR_BITS) {
            address = (struct prefix6){ .words = { address.words[0] & ~host_bits(NEAR_BITS) },
                                        .length = NEAR_BITS };
        }
        random_hosts(&address);
        if (i < FLOWS)
            addresses[i] = address;
        set_packet6(random, i, address.words);
    }
    for (unsigned i = 0; i < PACKETS; i++)
        set_packet6(zipf, i, addresses[flows[i]].words);
}

/* ---- Rules over several fields --------------------------------------------------------------- */

static void read_rules(struct bench *bench, const char *path, unsigned count_max)
{
    FILE *file = fopen(path, "r");
    unsigned a[4], b[4], lengths[2], ports[4], protocol[2], flags[2];

    if (file == NULL)
        refuse("the rules cannot be read");
    bench->plan = rule_plan;
    bench->rules = need(calloc(count_max, sizeof(*bench->rules)));
    while (bench->rule_count < count_max &&
           fscanf(file, " @%u.%u.%u.%u/%u %u.%u.%u.%u/%u %u : %u %u : %u %x/%x %x/%x", &a[0], &a[1],
                  &a[2], &a[3], &lengths[0], &b[0], &b[1], &b[2], &b[3], &lengths[1], &ports[0],
                  &ports[1], &ports[2], &ports[3], &protocol[0], &protocol[1], &flags[0],
                  &flags[1]) == 18) {
        struct jit_rule *rule = &bench->rules[bench->rule_count];
        rule->answer = bench->rule_count++;
        rule->fields[SOURCE] = prefix_range(a[0] << 24 | a[1] << 16 | a[2] << 8 | a[3], lengths[0]);
        rule->fields[DESTINATION] =
            prefix_range(b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3], lengths[1]);
        rule->fields[SOURCE_PORT] = (struct jit_range){ ports[0], ports[1] };
        rule->fields[DESTINATION_PORT] = (struct jit_range){ ports[2], ports[3] };
        rule->fields[PROTOCOL] = (struct jit_range){ protocol[0] & protocol[1], protocol[1] };
        rule->fields[FLAGS] = (struct jit_range){ flags[0] & flags[1], flags[1] };
    }
    fclose(file);
}

/* Shorter ones come again. */
static void read_trace(struct bench *bench, const char *path)
{
    FILE *file = fopen(path, "r");
    struct trace *trace = add_trace(bench, "ClassBench's");
    uint32_t f[FIELDS];
    unsigned count = 0;

    if (file == NULL)
        refuse("the trace cannot be read");
    while (count < PACKETS &&
           fscanf(file,
                  "%" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %*d",
                  &f[0], &f[1], &f[2], &f[3], &f[4], &f[5]) == FIELDS)
        set_packet(trace, count++, f);
    fclose(file);
    if (count == 0)
        refuse("the trace is empty");
    for (unsigned i = count; i < PACKETS; i++) {
        for (unsigned field = 0; field < FIELDS; field++)
            f[field] = burst_of(trace, (i - count) / BURST)[field][(i - count) % BURST];
        set_packet(trace, i, f);
    }
}

/* ---- The same with IPv6 addresses ------------------------------------------------------------ */

/* Where the fields of IPv4's rules are in those of IPv6. */
static const unsigned field6_of[] = { [SOURCE_PORT] = SOURCE_PORT6,
                                      [DESTINATION_PORT] = DESTINATION_PORT6,
                                      [PROTOCOL] = PROTOCOL6,
                                      [FLAGS] = FLAGS6 };

/* 16 bits that all have, then an IPv4 address, then anything. */
static void widen_address(uint32_t address, uint32_t rest, uint32_t words[WORDS6])
{
    words[0] = 0x20010000 | address >> 16;
    words[1] = address << 16 | rest >> 16;
    words[2] = words[3] = rest;
}

static void widen_range(const struct jit_range *range, struct jit_range wide[WORDS6])
{
    const bool is_any = range->first == 0 && range->last == UINT32_MAX;
    uint32_t first[WORDS6], last[WORDS6];

    widen_address(range->first, 0, first);
    widen_address(range->last, UINT32_MAX, last);
    for (unsigned word = 0; word < WORDS6; word++)
        wide[word] = is_any ? JIT_ANY : (struct jit_range){ first[word], last[word] };
}

static void widen_rules(struct bench *bench)
{
    for (unsigned i = 0; i < bench->rule_count; i++) {
        const struct jit_rule narrow = bench->rules[i];
        struct jit_rule *wide = &bench->rules[i];
        widen_range(&narrow.fields[SOURCE], &wide->fields[0]);
        widen_range(&narrow.fields[DESTINATION], &wide->fields[DESTINATION6]);
        for (unsigned field = SOURCE_PORT; field < FIELDS; field++)
            wide->fields[field6_of[field]] = narrow.fields[field];
    }
}

static void widen_packet(struct trace *trace, unsigned i, const uint32_t fields[FIELDS])
{
    uint32_t(*wide)[BURST] = &trace->columns[i / BURST * FIELDS6];
    struct key *key = &trace->keys[i];
    uint32_t source[WORDS6], destination[WORDS6];

    widen_address(fields[SOURCE], i, source);
    widen_address(fields[DESTINATION], i, destination);
    for (unsigned word = 0; word < WORDS6; word++) {
        wide[word][i % BURST] = source[word];
        wide[DESTINATION6 + word][i % BURST] = destination[word];
        key->source6_be[word] = rte_cpu_to_be_32(source[word]);
        key->destination6_be[word] = rte_cpu_to_be_32(destination[word]);
    }
    for (unsigned field = SOURCE_PORT; field < FIELDS; field++)
        wide[field6_of[field]][i % BURST] = fields[field];
}

static void widen_trace(struct trace *trace)
{
    struct trace *narrow = need(malloc(sizeof(*narrow)));
    uint32_t fields[FIELDS];

    memcpy(narrow, trace, sizeof(*narrow));
    trace->field_count = FIELDS6;
    for (unsigned i = 0; i < PACKETS; i++) {
        for (unsigned field = 0; field < FIELDS; field++)
            fields[field] = burst_of(narrow, i / BURST)[field][i % BURST];
        widen_packet(trace, i, fields);
    }
    free(narrow);
}

static void widen(struct bench *bench)
{
    bench->kind = RULES6;
    bench->plan = rule6_plan;
    widen_rules(bench);
    widen_trace(bench->traces[0]);
}

/* ---- A set before them ----------------------------------------------------------------------- */

static int compare_ranges(const void *a, const void *b)
{
    const struct jit_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* What the prefixes are together. */
static struct jit_set set_of(const struct jit_rule *prefixes, unsigned count)
{
    struct jit_range *ranges = need(calloc(count, sizeof(*ranges)));
    uint32_t *first = need(calloc(count, sizeof(*first)));
    uint32_t *last = need(calloc(count, sizeof(*last)));
    unsigned made = 0;

    for (unsigned i = 0; i < count; i++)
        ranges[i] = prefixes[i].fields[SOURCE];
    qsort(ranges, count, sizeof(*ranges), compare_ranges);
    for (unsigned i = 0; i < count; i++) {
        if (made > 0 && ranges[i].first <= last[made - 1]) {
            last[made - 1] = MAX_OF(last[made - 1], ranges[i].last);
            continue;
        }
        first[made] = ranges[i].first;
        last[made++] = ranges[i].last;
    }
    free(ranges);
    return (struct jit_set){ .words = 1, .count = made, .first = first, .last = last };
}

/* All rules move on by one. */
static void add_set(struct bench *bench, unsigned count)
{
    struct jit_rule *rules = need(calloc(bench->rule_count + 1, sizeof(*rules)));

    bench->members = random_prefixes(count);
    bench->member_count = count;
    bench->set = set_of(bench->members, count);
    bench->plan.sets = &bench->set;
    bench->plan.set_count = 1;
    rules[0] = any_rule(0);
    rules[0].in_set = 1 << SOURCE;
    rules[0].fields[SOURCE].first = 0;
    for (unsigned i = 0; i < count; i++)
        bench->members[i].answer = 0;
    for (unsigned i = 0; i < bench->rule_count; i++) {
        rules[i + 1] = bench->rules[i];
        rules[i + 1].answer++;
    }
    bench->rules = rules;
    bench->rule_count++;
    /* One packet in eight is from the set. */
    for (unsigned i = 0; i < PACKETS; i += 8) {
        unsigned chosen = random_below(&random_state, count);
        uint32_t source = bench->members[chosen].fields[SOURCE].first;
        bench->traces[0]->columns[i / BURST * FIELDS + SOURCE][i % BURST] = source;
        bench->traces[0]->keys[i].source_be = rte_cpu_to_be_32(source);
    }
}

/* ---- Ours ------------------------------------------------------------------------------------ */

static void run_ours(const struct subject *subject, const void *trace)
{
    const struct trace *packets = trace;
    uint32_t answers[BURST];

    for (unsigned i = 0; i < ROUNDS * BURSTS; i++) {
        jit_filter_run(subject->table, burst_of(packets, i % BURSTS), BURST, answers);
        use_answers(answers);
    }
}

static void add_ours(struct bench *bench, enum jit_vectors vectors)
{
    static const char *const names[] = { "ours, SSE2", "ours, AVX2", "ours, AVX-512" };
    struct jit_plan with = bench->plan;
    struct subject subject = { .name = names[vectors], .run = run_ours, .ours = true };
    struct jit_filter *filter = NULL;
    uint64_t best_ns = UINT64_MAX;

    with.vectors = vectors;
    for (unsigned i = 0; i < BUILDS; i++) {
        jit_filter_destroy(filter);
        uint64_t start_ns = cpu_ns();
        if (jit_filter_compile(&with, bench->rules, bench->rule_count, &filter) != OK) {
            printf("  %-28s cannot be compiled\n", names[vectors]);
            return;
        }
        best_ns = MIN_OF(best_ns, cpu_ns() - start_ns);
    }
    struct jit_description description;
    jit_filter_describe(filter, &description);
    report_build(names[vectors], best_ns,
                 description.table_bytes + description.front_table_bytes + description.code_bytes +
                     description.front_code_bytes);
    printf("    %s: %u parts, %u portions, %u groups, %u bytes of code\n", description.shape,
           description.parts, description.portions, description.groups, description.code_bytes);
    subject.table = filter;
    race_add(&bench->race, &subject, "");
}

/* ---- A search by halves ---------------------------------------------------------------------- */

struct halves {
    unsigned count;
    uint32_t *firsts, *answers;
};

static int compare_words(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t first_prefix(const struct bench *bench, uint32_t address)
{
    for (unsigned i = 0; i < bench->rule_count; i++) {
        const struct jit_range *range = &bench->rules[i].fields[SOURCE];
        if (range->first <= address && address <= range->last)
            return i;
    }
    return JIT_NONE;
}

static uint32_t search_halves(const struct halves *halves, uint32_t address)
{
    const uint32_t *base = halves->firsts;

    for (unsigned left = halves->count; left > 1; left -= left / 2)
        base += base[left / 2] <= address ? left / 2 : 0;
    return halves->answers[base - halves->firsts];
}

static void run_halves(const struct subject *subject, const void *trace)
{
    const struct trace *packets = trace;
    uint32_t answers[BURST];

    for (unsigned i = 0; i < ROUNDS * BURSTS; i++) {
        const uint32_t(*burst)[BURST] = burst_of(packets, i % BURSTS);
        for (unsigned k = 0; k < BURST; k++)
            answers[k] = search_halves(subject->table, burst[SOURCE][k]);
        use_answers(answers);
    }
}

/* By the list for each bound: slow to make, and made of nothing that is measured here. */
static void add_halves(struct bench *bench)
{
    struct subject subject = { .name = "search by halves", .run = run_halves, .peer = true };
    struct halves *halves = need(calloc(1, sizeof(*halves)));

    halves->firsts = need(calloc(2 * bench->rule_count + 1, sizeof(uint32_t)));
    halves->answers = need(calloc(2 * bench->rule_count + 1, sizeof(uint32_t)));
    halves->count = 1;
    for (unsigned i = 0; i < bench->rule_count; i++) {
        halves->firsts[halves->count++] = bench->rules[i].fields[SOURCE].first;
        halves->firsts[halves->count++] = bench->rules[i].fields[SOURCE].last + 1;
    }
    qsort(halves->firsts, halves->count, sizeof(uint32_t), compare_words);
    unsigned kept = 0;
    for (unsigned i = 0; i < halves->count; i++) {
        if (i > 0 && halves->firsts[i] == halves->firsts[i - 1])
            continue;
        uint32_t answer = first_prefix(bench, halves->firsts[i]);
        if (kept > 0 && halves->answers[kept - 1] == answer)
            continue;
        halves->firsts[kept] = halves->firsts[i];
        halves->answers[kept++] = answer;
    }
    halves->count = kept;
    subject.table = halves;
    race_add(&bench->race, &subject, "");
}

/* ---- rte_acl --------------------------------------------------------------------------------- */

RTE_ACL_RULE_DEF(acl_rule, RTE_ACL_MAX_FIELDS);

static const struct rte_acl_field_def defs[] = {
    { RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0, offsetof(struct key, protocol) },
    { RTE_ACL_FIELD_TYPE_MASK, 4, 1, 1, offsetof(struct key, source_be) },
    { RTE_ACL_FIELD_TYPE_MASK, 4, 2, 2, offsetof(struct key, destination_be) },
    { RTE_ACL_FIELD_TYPE_RANGE, 2, 3, 3, offsetof(struct key, source_port_be) },
    { RTE_ACL_FIELD_TYPE_RANGE, 2, 4, 3, offsetof(struct key, destination_port_be) },
    { RTE_ACL_FIELD_TYPE_BITMASK, 4, 5, 4, offsetof(struct key, flags_be) },
};

static union rte_acl_field_types acl_prefix(const struct jit_range *range, uint32_t *length)
{
    uint32_t host = range->last - range->first;

    *length = 32 - (host == UINT32_MAX ? 32 : (uint32_t)__builtin_popcount(host));
    return (union rte_acl_field_types){ .u32 = range->first };
}

static const struct rte_acl_field_def defs6[] = {
    { RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0, offsetof(struct key, protocol) },
    { RTE_ACL_FIELD_TYPE_MASK, 4, 1, 1, offsetof(struct key, source6_be[0]) },
    { RTE_ACL_FIELD_TYPE_MASK, 4, 2, 2, offsetof(struct key, source6_be[1]) },
    { RTE_ACL_FIELD_TYPE_MASK, 4, 3, 3, offsetof(struct key, source6_be[2]) },
    { RTE_ACL_FIELD_TYPE_MASK, 4, 4, 4, offsetof(struct key, source6_be[3]) },
    { RTE_ACL_FIELD_TYPE_MASK, 4, 5, 5, offsetof(struct key, destination6_be[0]) },
    { RTE_ACL_FIELD_TYPE_MASK, 4, 6, 6, offsetof(struct key, destination6_be[1]) },
    { RTE_ACL_FIELD_TYPE_MASK, 4, 7, 7, offsetof(struct key, destination6_be[2]) },
    { RTE_ACL_FIELD_TYPE_MASK, 4, 8, 8, offsetof(struct key, destination6_be[3]) },
    { RTE_ACL_FIELD_TYPE_RANGE, 2, 9, 9, offsetof(struct key, source_port_be) },
    { RTE_ACL_FIELD_TYPE_RANGE, 2, 10, 9, offsetof(struct key, destination_port_be) },
    { RTE_ACL_FIELD_TYPE_BITMASK, 4, 11, 10, offsetof(struct key, flags_be) },
};

static void set_acl_words(const struct jit_range *words, unsigned count, struct rte_acl_field *to)
{
    for (unsigned word = 0; word < count; word++) {
        uint32_t length;
        to[word].value = acl_prefix(&words[word], &length);
        to[word].mask_range.u32 = length;
    }
}

/* Ports, protocol and flags, which come behind addresses in this order; rte_acl has the protocol
 * first. */
static void set_acl_rest(const struct jit_range rest[4], unsigned at, struct acl_rule *rule)
{
    for (unsigned i = 0; i < 2; i++) {
        rule->field[at + i].value.u16 = (uint16_t)rest[i].first;
        rule->field[at + i].mask_range.u16 = (uint16_t)MIN_OF(rest[i].last, 0xffffu);
    }
    rule->field[0].value.u8 = (uint8_t)rest[2].first;
    rule->field[0].mask_range.u8 = (uint8_t)rest[2].last;
    rule->field[at + 2].value.u32 = rest[3].first;
    rule->field[at + 2].mask_range.u32 = rest[3].last;
}

/* What rte_acl is told of: of a list of prefixes of nothing but what it must have, a byte, and the
 * prefix. */
static const struct {
    const struct rte_acl_field_def *defs;
    unsigned count, address_words;
} told[] = { [RULES] = { defs, ARRAY_COUNT(defs), 2 },
             [RULES6] = { defs6, ARRAY_COUNT(defs6), 2 * WORDS6 },
             [PREFIXES] = { defs, 2, 1 },
             [PREFIXES6] = { defs6, 1 + WORDS6, WORDS6 } };

static struct acl_rule acl_rule_of(const struct bench *bench, const struct jit_rule *ours,
                                   unsigned i)
{
    const struct jit_range *fields = ours->fields;
    struct acl_rule rule = {
        .data = { .category_mask = 1,
                  .priority = (int32_t)(RTE_ACL_MAX_PRIORITY - i),
                  .userdata = ours->answer + 1 },
    };

    const unsigned words = told[bench->kind].address_words;
    set_acl_words(fields, words, &rule.field[1]);
    if (bench->kind == RULES || bench->kind == RULES6)
        set_acl_rest(&fields[words], words + 1, &rule);
    return rule;
}

static void classify_acl(const struct subject *subject, const struct key *keys, uint32_t *answers)
{
    const uint8_t *pointers[BURST];

    for (unsigned k = 0; k < BURST; k++)
        pointers[k] = (const uint8_t *)&keys[k];
    rte_acl_classify_alg(subject->table, pointers, answers, BURST, 1, subject->choice);
}

static void run_acl(const struct subject *subject, const void *trace)
{
    const struct trace *packets = trace;
    uint32_t answers[BURST];

    for (unsigned i = 0; i < ROUNDS * BURSTS; i++) {
        classify_acl(subject, &packets->keys[i % BURSTS * BURST], answers);
        use_answers(answers);
    }
}

/* The members first, in place of the rule that names the set. */
static void add_acl_rules(const struct bench *bench, struct rte_acl_ctx *context)
{
    const unsigned skipped = bench->member_count > 0 ? 1 : 0;

    for (unsigned i = 0; i < bench->member_count + bench->rule_count - skipped; i++) {
        const struct jit_rule *ours = i < bench->member_count
                                          ? &bench->members[i]
                                          : &bench->rules[i - bench->member_count + skipped];
        struct acl_rule rule = acl_rule_of(bench, ours, i);
        if (rte_acl_add_rules(context, (struct rte_acl_rule *)&rule, 1) != 0)
            refuse("rte_acl does not take a rule");
    }
}

static void add_acl(struct bench *bench)
{
    static const struct {
        const char *name;
        enum rte_acl_classify_alg alg;
    } modes[] = { { "rte_acl, AVX2", RTE_ACL_CLASSIFY_AVX2 },
                  { "rte_acl, AVX-512, 16", RTE_ACL_CLASSIFY_AVX512X16 },
                  { "rte_acl, AVX-512, 32", RTE_ACL_CLASSIFY_AVX512X32 } };
    const unsigned fields = told[bench->kind].count;
    struct rte_acl_param parameters = { .name = "acl",
                                        .socket_id = SOCKET_ID_ANY,
                                        .rule_size = RTE_ACL_RULE_SZ(fields),
                                        .max_rule_num = bench->rule_count + bench->member_count };
    struct rte_acl_config config = { .num_categories = 1, .num_fields = fields };
    struct rte_acl_ctx *context = rte_acl_create(&parameters);

    memcpy(config.defs, told[bench->kind].defs, fields * sizeof(config.defs[0]));
    if (context == NULL)
        refuse("rte_acl cannot be made");
    add_acl_rules(bench, context);
    uint64_t start_ns = cpu_ns();
    int error = rte_acl_build(context, &config);
    if (error != 0) {
        printf("  rte_acl cannot be built: %s\n", strerror(-error));
        return;
    }
    report_build("rte_acl", cpu_ns() - start_ns, 0);
    for (unsigned i = 0; i < ARRAY_COUNT(modes); i++) {
        struct subject subject = { .name = modes[i].name,
                                   .run = run_acl,
                                   .table = context,
                                   .choice = modes[i].alg,
                                   .peer = true };
        race_add(&bench->race, &subject, "");
    }
}

/* ---- The race -------------------------------------------------------------------------------- */

static uint32_t answer_of(const struct subject *subject, const struct trace *trace, unsigned at)
{
    uint32_t answers[BURST];
    const unsigned burst = at / BURST;

    if (subject->ours) {
        jit_filter_run(subject->table, burst_of(trace, burst), BURST, answers);
        return answers[at % BURST];
    }
    if (subject->run == run_halves)
        return search_halves(subject->table, burst_of(trace, burst)[SOURCE][at % BURST]);
    classify_acl(subject, &trace->keys[burst * BURST], answers);
    return answers[at % BURST] - 1;
}

static void compare_answers(const struct bench *bench)
{
    const struct race *race = &bench->race;

    for (unsigned t = 0; t < race->trace_count; t++) {
        for (unsigned i = 0; i < PACKETS; i += 61) {
            uint32_t expected = answer_of(&race->subjects[0], bench->traces[t], i);
            for (unsigned s = 1; s < race->subject_count; s++) {
                uint32_t answer = answer_of(&race->subjects[s], bench->traces[t], i);
                if (answer == expected)
                    continue;
                fprintf(stderr, "%s says %d of packet %u, %s says %d\n", race->subjects[s].name,
                        (int)answer, i, race->subjects[0].name, (int)expected);
                refuse("the answers differ");
            }
        }
    }
}

int main(int argc, char **argv)
{
    static struct bench bench;
    const char *what = argc > 3 ? argv[2] : "";

    bench.race.passes = race_passes(argc, argv);
    race_start_dpdk();
    if (strcmp(what, "prefixes") == 0) {
        make_prefixes(&bench, (unsigned)strtoul(argv[3], NULL, 10));
        make_prefix_traces(&bench);
    } else if (strcmp(what, "prefixes6") == 0 && argc > 4) {
        unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
        make_prefix6_traces(&bench, choose_prefixes6(&bench, count, argv[4]));
    } else if (((strcmp(what, "rules") == 0 || strcmp(what, "rules6") == 0) && argc > 5) ||
               (strcmp(what, "set") == 0 && argc > 6)) {
        read_rules(&bench, argv[3], (unsigned)strtoul(argv[5], NULL, 10));
        read_trace(&bench, argv[4]);
        if (strcmp(what, "rules6") == 0)
            widen(&bench);
        if (strcmp(what, "set") == 0)
            add_set(&bench, (unsigned)strtoul(argv[6], NULL, 10));
    } else {
        refuse("usage: filter_bench PASSES prefixes COUNT | prefixes6 COUNT TABLE | rules[6] FILE "
               "TRACE "
               "N | set FILE TRACE N COUNT");
    }
    printf("%u rules, %u packets a pass\n  %-28s %9s %9s\n", bench.rule_count, TRACE_LENGTH, "",
           "build ms", "MiB");
    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++)
        add_ours(&bench, vectors);
    if (bench.kind == PREFIXES)
        add_halves(&bench);
    add_acl(&bench);
    compare_answers(&bench);
    race_run(&bench.race);
    race_report(&bench.race);
    return EXIT_SUCCESS;
}
