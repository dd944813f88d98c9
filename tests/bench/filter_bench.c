/* Compiled filters beside DPDK's rte_acl and a search by halves, in one process.
 *
 *   filter_bench PASSES prefixes COUNT       a list of random prefixes of one field
 *   filter_bench PASSES rules FILE TRACE N   ClassBench's packets through the first N of its rules
 *
 * Everybody's answers are compared before the race, which is that of fib_race.h. Ours reads fields
 * in columns, as the datapath has them; rte_acl reads keys through pointers, as it wants them. */
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
#include "kernel/base/random.h"
#include "tests/bench/fib_race.h"
#include "tests/host/host.h"

enum { SOURCE, DESTINATION, SOURCE_PORT, DESTINATION_PORT, PROTOCOL, FLAGS, FIELDS };

/* As rte_acl reads it: the first byte, then words, in network order. */
struct key {
    uint8_t protocol;
    uint8_t unused[3];
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
    uint32_t columns[BURSTS * FIELDS][BURST]; /* field_count of each burst */
    struct key keys[PACKETS];
};

struct bench {
    struct race race;
    struct jit_rule *rules;
    unsigned rule_count;
    struct trace *traces[2];
    struct jit_plan plan;
    bool is_prefixes;
};

static uint64_t random_state = 1;

/* ---- Rules and packets ----------------------------------------------------------------------- */

/* Of a list of prefixes nobody is told of more than the prefix: it is the first field. */
static const struct jit_plan prefix_plan = { .field_count = 1 };
static const struct jit_plan rule_plan = { .field_count = FIELDS,
                                           .bits = 1 << FLAGS | 1 << PROTOCOL };

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
static void make_prefixes(struct bench *bench, unsigned count)
{
    bench->is_prefixes = true;
    bench->plan = prefix_plan;
    bench->rule_count = count;
    bench->rules = need(calloc(count, sizeof(*bench->rules)));
    for (unsigned i = 0; i < count; i++) {
        unsigned kind = random_below(&random_state, 100);
        unsigned length = kind < 40   ? 24
                          : kind < 60 ? 32
                          : kind < 75 ? 16 + random_below(&random_state, 8)
                          : kind < 95 ? 24 + random_below(&random_state, 8)
                                      : 18 + random_below(&random_state, 6);
        uint32_t address = (uint32_t)random_next(&random_state);
        if (i > 20 && random_below(&random_state, 3) > 0) {
            uint32_t group = bench->rules[random_below(&random_state, i)].fields[SOURCE].first;
            address = (group & 0xfff00000) | (address & 0xfffff);
        }
        bench->rules[i] = any_rule(i);
        bench->rules[i].fields[SOURCE] = prefix_range(address, length);
    }
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
    report_build(names[vectors], best_ns, description.table_bytes + description.code_bytes);
    printf("    %s: %u parts, %u bytes of code\n", description.shape, description.parts,
           description.code_bytes);
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

static struct acl_rule acl_rule_of(const struct bench *bench, unsigned i)
{
    const struct jit_range *fields = bench->rules[i].fields;
    struct acl_rule rule = {
        .data = { .category_mask = 1,
                  .priority = (int32_t)(RTE_ACL_MAX_PRIORITY - i),
                  .userdata = i + 1 },
    };

    rule.field[0].value.u8 = (uint8_t)fields[PROTOCOL].first;
    rule.field[0].mask_range.u8 = (uint8_t)fields[PROTOCOL].last;
    uint32_t length;
    rule.field[1].value = acl_prefix(&fields[SOURCE], &length);
    rule.field[1].mask_range.u32 = length;
    rule.field[2].value = acl_prefix(&fields[DESTINATION], &length);
    rule.field[2].mask_range.u32 = length;
    rule.field[3].value.u16 = (uint16_t)fields[SOURCE_PORT].first;
    rule.field[3].mask_range.u16 = (uint16_t)MIN_OF(fields[SOURCE_PORT].last, 0xffffu);
    rule.field[4].value.u16 = (uint16_t)fields[DESTINATION_PORT].first;
    rule.field[4].mask_range.u16 = (uint16_t)MIN_OF(fields[DESTINATION_PORT].last, 0xffffu);
    rule.field[5].value.u32 = fields[FLAGS].first;
    rule.field[5].mask_range.u32 = fields[FLAGS].last;
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

static void add_acl(struct bench *bench)
{
    static const struct {
        const char *name;
        enum rte_acl_classify_alg alg;
    } modes[] = { { "rte_acl, AVX2", RTE_ACL_CLASSIFY_AVX2 },
                  { "rte_acl, AVX-512, 16", RTE_ACL_CLASSIFY_AVX512X16 },
                  { "rte_acl, AVX-512, 32", RTE_ACL_CLASSIFY_AVX512X32 } };
    /* Of a list of prefixes it is told of nothing but what it must have: a byte and the prefix. */
    const unsigned fields = bench->is_prefixes ? 2 : ARRAY_COUNT(defs);
    struct rte_acl_param parameters = { .name = "acl",
                                        .socket_id = SOCKET_ID_ANY,
                                        .rule_size = RTE_ACL_RULE_SZ(fields),
                                        .max_rule_num = bench->rule_count };
    struct rte_acl_config config = { .num_categories = 1, .num_fields = fields };
    struct rte_acl_ctx *context = rte_acl_create(&parameters);

    memcpy(config.defs, defs, fields * sizeof(defs[0]));
    if (context == NULL)
        refuse("rte_acl cannot be made");
    for (unsigned i = 0; i < bench->rule_count; i++) {
        struct acl_rule rule = acl_rule_of(bench, i);
        if (rte_acl_add_rules(context, (struct rte_acl_rule *)&rule, 1) != 0)
            refuse("rte_acl does not take a rule");
    }
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
    } else if (strcmp(what, "rules") == 0 && argc > 5) {
        read_rules(&bench, argv[3], (unsigned)strtoul(argv[5], NULL, 10));
        read_trace(&bench, argv[4]);
    } else {
        refuse("usage: filter_bench PASSES prefixes COUNT | rules FILE TRACE N");
    }
    printf("%u rules, %u packets a pass\n  %-28s %9s %9s\n", bench.rule_count, TRACE_LENGTH, "",
           "build ms", "MiB");
    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++)
        add_ours(&bench, vectors);
    if (bench.is_prefixes)
        add_halves(&bench);
    add_acl(&bench);
    compare_answers(&bench);
    race_run(&bench.race);
    race_report(&bench.race);
    return EXIT_SUCCESS;
}
