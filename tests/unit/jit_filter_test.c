/* Compiled filters against a list that is searched from its start, for every kind of vector that
 * this machine has. */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jit/jit.h"
#include "kernel/base/random.h"
#include "tests/unit/rule_search.h"
#include "tests/unit/test.h"

enum { SPACE = 512, RULES = 3000, SEVERAL = 2100, MANY = 10000 };

static uint64_t random_state = 1;

static unsigned below(unsigned limit)
{
    return random_below(&random_state, limit);
}

static uint32_t any_word(void)
{
    return (uint32_t)random_next(&random_state);
}

struct batch {
    uint32_t fields[JIT_FIELD_MAX][BATCH_MAX];
};

static bool is_bits(const struct jit_plan *plan, unsigned field)
{
    return (plan->bits >> field & 1) != 0;
}

/* ---- Rules and packets ----------------------------------------------------------------------- */

static struct jit_rule any_rule(const struct jit_plan *plan, uint32_t answer)
{
    struct jit_rule rule = { .answer = answer };

    for (unsigned field = 0; field < plan->field_count; field++)
        rule.fields[field] = is_bits(plan, field) ? JIT_ANY_BITS : JIT_ANY;
    return rule;
}

/* Any, one value, a prefix, or what lies between two values; some around the same places, so that
 * they nest, overlap and touch. */
static struct jit_range random_range(void)
{
    uint32_t near = below(2) ? any_word() : below(SPACE) * 0x01000100;
    uint32_t other = below(2) ? near + below(SPACE) : any_word();
    uint32_t host = (uint32_t)(0xffffffffull >> below(33));

    switch (below(4)) {
    case 0:
        return JIT_ANY;
    case 1:
        return (struct jit_range){ near, near };
    case 2:
        return (struct jit_range){ near & ~host, near | host };
    default:
        return (struct jit_range){ MIN_OF(near, other), MAX_OF(near, other) };
    }
}

static struct jit_range random_bits(void)
{
    uint32_t mask = below(2) ? 0 : any_word() & any_word() & any_word();

    return (struct jit_range){ any_word() & mask, mask };
}

static void random_rules(const struct jit_plan *plan, struct jit_rule *rules, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        rules[i] = any_rule(plan, below(4) || i == 0 ? i : rules[i - 1].answer);
        for (unsigned field = 0; field < plan->field_count; field++)
            rules[i].fields[field] = is_bits(plan, field) ? random_bits() : random_range();
    }
}

/* Around the bounds of the range, or anywhere. */
static uint32_t value_near(const struct jit_plan *plan, unsigned field,
                           const struct jit_range *range)
{
    if (is_bits(plan, field))
        return range->first | (any_word() & ~range->last);
    switch (below(8)) {
    case 0:
        return range->first - 1;
    case 1:
        return range->first;
    case 2:
        return range->last;
    case 3:
        return range->last + 1;
    case 4:
        return any_word();
    default:
        return range->first + below(MAX_OF(range->last - range->first, 1u));
    }
}

/* Each packet is near one of the rules, most of it. */
static void random_batch(const struct jit_plan *plan, const struct jit_rule *rules, unsigned count,
                         struct batch *batch)
{
    const struct jit_rule any = any_rule(plan, 0);

    for (unsigned column = 0; column < BATCH_MAX; column++) {
        const struct jit_rule *near = count > 0 ? &rules[below(count)] : &any;
        for (unsigned field = 0; field < plan->field_count; field++)
            batch->fields[field][column] = value_near(plan, field, &near->fields[field]);
    }
}

/* ---- Comparing ------------------------------------------------------------------------------- */

static struct jit_filter *compile(const struct jit_plan *plan, const struct jit_rule *rules,
                                  unsigned count)
{
    struct jit_filter *filter = NULL;

    EXPECT_EQUAL(jit_filter_compile(plan, rules, count, &filter), OK);
    return filter;
}

static void compare(const struct jit_plan *plan, const struct jit_rule *rules, unsigned count,
                    const struct jit_filter *filter, const struct batch *batch, unsigned columns)
{
    const uint32_t(*fields)[BATCH_MAX] = (const uint32_t(*)[BATCH_MAX])batch->fields;
    uint32_t answers[BATCH_MAX];

    jit_filter_run(filter, fields, columns, answers);
    for (unsigned column = 0; column < columns; column++) {
        unsigned rule = rule_search(plan, rules, count, fields, column);
        EXPECT_EQUAL(answers[column], rule < count ? rules[rule].answer : JIT_NONE);
        EXPECT(rule == count || !jit_filter_is_shadowed(filter, rule));
    }
}

static void compare_random(const struct jit_plan *plan, const struct jit_rule *rules,
                           unsigned count, unsigned packets)
{
    struct jit_filter *filter = compile(plan, rules, count);
    struct batch batch;

    for (unsigned i = 0; i < packets; i += BATCH_MAX) {
        random_batch(plan, rules, count, &batch);
        compare(plan, rules, count, filter, &batch, i == 0 ? 1 + below(BATCH_MAX) : BATCH_MAX);
    }
    jit_filter_destroy(filter);
}

/* A disassembler reads all of it: instruction by instruction, up to one return, which is the end.
 */
static void expect_decodes(const struct jit_filter *filter)
{
    struct jit_description description;
    ZydisDecoder decoder;
    ZydisDecodedInstruction instruction;
    unsigned at = 0;

    jit_filter_describe(filter, &description);
    EXPECT(
        ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)));
    while (at < description.code_bytes) {
        EXPECT(ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(
            &decoder, NULL, description.code + at, description.code_bytes - at, &instruction)));
        at += instruction.length;
        EXPECT_EQUAL(instruction.mnemonic == ZYDIS_MNEMONIC_RET, at == description.code_bytes);
    }
}

/* ---- One field ------------------------------------------------------------------------------- */

/* All values at which something may change, by lists of any length: each number of levels, and the
 * first and last node of each, comes up. */
TEST(filter_of_one_field_is_right_at_every_bound)
{
    static struct jit_rule rules[RULES];
    struct batch batch;
    unsigned done = 0;

    for (unsigned round = 0; done < test_comparisons() / 2; round++) {
        struct jit_plan plan = { .field_count = 1 + below(3),
                                 .vectors = round % (jit_vectors_best() + 1) };
        unsigned field = below(plan.field_count), count = below(round % 16 == 0 ? 300 : 20);
        for (unsigned i = 0; i < count; i++) {
            rules[i] = any_rule(&plan, below(4) || i == 0 ? i : rules[i - 1].answer);
            rules[i].fields[field] = random_range();
        }
        struct jit_filter *filter = compile(&plan, rules, count);
        struct jit_description description;
        jit_filter_describe(filter, &description);
        if (description.parts > 1)
            EXPECT_TEXT(description.shape, "intervals");
        for (unsigned i = 0; i < count; i += BATCH_MAX / 4) {
            random_batch(&plan, rules, count, &batch);
            for (unsigned k = 0; k < BATCH_MAX; k++) {
                const struct jit_range *range = &rules[MIN_OF(i + k / 4, count - 1)].fields[field];
                const uint32_t bounds[] = { range->first - 1, range->first, range->last,
                                            range->last + 1 };
                batch.fields[field][k] = bounds[k % 4];
            }
            compare(&plan, rules, count, filter, &batch, BATCH_MAX);
            done += BATCH_MAX;
        }
        jit_filter_destroy(filter);
        done++;
    }
}

/* So many intervals that the tree has all its levels: against a search by halves, as the rules do
 * not overlap. */
TEST(filter_of_many_prefixes_finds_each_of_them)
{
    enum { PREFIXES = 60000, STRIDE = 0x10000 };
    struct jit_rule *rules = calloc(PREFIXES, sizeof(*rules));
    struct batch batch;
    uint32_t answers[BATCH_MAX];

    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        struct jit_plan plan = { .field_count = 1, .vectors = vectors };
        for (unsigned i = 0; i < PREFIXES; i++) {
            uint32_t first = i * STRIDE + 1;
            rules[i] = any_rule(&plan, i);
            rules[i].fields[0] = (struct jit_range){ first, first + i % (STRIDE - 2) };
        }
        struct jit_filter *filter = compile(&plan, rules, PREFIXES);
        for (unsigned i = 0; i < PREFIXES; i += BATCH_MAX / 4) {
            for (unsigned k = 0; k < BATCH_MAX; k++) {
                const struct jit_range *range =
                    &rules[i + k / 4 < PREFIXES ? i + k / 4 : 0].fields[0];
                batch.fields[0][k] = k % 2 ? range->first - 1 + k % 4 / 2 : range->last + k % 4 / 2;
            }
            jit_filter_run(filter, (const uint32_t(*)[BATCH_MAX])batch.fields, BATCH_MAX, answers);
            for (unsigned k = 0; k < BATCH_MAX; k++) {
                unsigned rule = batch.fields[0][k] / STRIDE;
                const struct jit_range *range = &rules[rule].fields[0];
                bool is_in = rule < PREFIXES && range->first <= batch.fields[0][k] &&
                             batch.fields[0][k] <= range->last;
                EXPECT_EQUAL(answers[k], is_in ? rule : JIT_NONE);
            }
        }
        jit_filter_destroy(filter);
    }
    free(rules);
}

/* The first field is one of bits, which is no range of one value. */
TEST(filter_that_asks_for_nothing_has_one_answer)
{
    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        struct jit_plan plan = { .field_count = 2, .bits = 1, .vectors = vectors };
        struct jit_rule rule = any_rule(&plan, 7);
        compare_random(&plan, NULL, 0, 100);
        compare_random(&plan, &rule, 1, 100);
    }
}

/* ---- Several fields -------------------------------------------------------------------------- */

TEST(filter_of_several_fields_is_right)
{
    enum { PACKETS_A_FILTER = 512 };
    static struct jit_rule rules[SEVERAL];

    for (unsigned done = 0, round = 0; done < test_comparisons() / 2;
         done += PACKETS_A_FILTER, round++) {
        struct jit_plan plan = { .field_count = 1 + below(JIT_FIELD_MAX),
                                 .bits = below(2) ? any_word() & any_word() : 0,
                                 .vectors = round % (jit_vectors_best() + 1) };
        unsigned count = below(round % 16 == 0 ? SEVERAL + 1 : 40);
        random_rules(&plan, rules, count);
        /* Mostly few fields in use, or nothing would ever match. */
        for (unsigned i = 0; i < count; i++) {
            for (unsigned field = 0; field < plan.field_count; field++) {
                if (below(plan.field_count) > 2)
                    rules[i].fields[field] = any_rule(&plan, 0).fields[field];
            }
        }
        compare_random(&plan, rules, count, PACKETS_A_FILTER);
    }
}

/* A prefix of 16 bits or more, so that few rules are shadowed, in one of four places, so that many
 * overlap; the other fields as they come. */
static void random_overlapping_rules(const struct jit_plan *plan, struct jit_rule *rules,
                                     unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        rules[i] = any_rule(plan, i);
        uint32_t near = below(4) << 30 | below(200) << 8, host = 0xffffu >> below(17);
        rules[i].fields[0] = (struct jit_range){ near & ~host, near | host };
        for (unsigned field = 1; field < plan->field_count; field++) {
            if (!is_bits(plan, field))
                rules[i].fields[field] = random_range();
            else if (below(2))
                rules[i].fields[field] =
                    (struct jit_range){ below(2) << 12, 1 << 12 | below(2) << 9 };
        }
    }
}

/* All numbers of rules at which a row takes a word or a vector more. */
TEST(filter_of_many_general_rules_is_right)
{
    static struct jit_rule rules[SEVERAL];
    const unsigned packets = MAX_OF(test_comparisons() / 1000, 128u);

    for (unsigned round = 0; round < 3 * 65; round++) {
        struct jit_plan plan = { .field_count = 2 + below(5),
                                 .bits = below(4) << 3,
                                 .vectors = round % (jit_vectors_best() + 1) };
        unsigned count = MIN_OF(MAX_OF(32 * (round / 3) + below(32), 150u), SEVERAL);
        random_overlapping_rules(&plan, rules, count);
        struct jit_filter *filter = compile(&plan, rules, count);
        struct jit_description description;
        jit_filter_describe(filter, &description);
        if (description.parts >= 100)
            EXPECT_TEXT(description.shape, "rows");
        expect_decodes(filter);
        jit_filter_destroy(filter);
        compare_random(&plan, rules, count, packets);
    }
}

/* ---- Divided --------------------------------------------------------------------------------- */

static struct jit_description describe(const struct jit_filter *filter)
{
    struct jit_description description;

    jit_filter_describe(filter, &description);
    return description;
}

/* Four fields of numbers and one of bits. */
static const struct jit_plan five = { .field_count = 5, .bits = 1 << 4 };

/* An address of one of a few, or a prefix around it. */
static struct jit_range host_or_net(unsigned hosts, unsigned seed)
{
    uint32_t address = (below(hosts) + 1) * seed, host = below(3) ? 0 : 0xffffu >> below(17);

    return (struct jit_range){ address & ~host, address | host };
}

/* As access lists have them: few addresses in all combinations, a port, a protocol. */
static void access_rules(struct jit_rule *rules, unsigned count, unsigned wide)
{
    for (unsigned i = 0; i < count; i++) {
        const uint32_t port = below(100) * 7;
        rules[i] = any_rule(&five, below(8) || i == 0 ? i : rules[i - 1].answer);
        if (wide == 0 || below(wide) > 0)
            rules[i].fields[0] = host_or_net(2 * MANY, 0x1357bu);
        if (rules[i].fields[0].last != UINT32_MAX || below(16) > 0)
            rules[i].fields[1] = host_or_net(300, 0xc0ffe7u);
        if (below(4) > 0)
            rules[i].fields[3] = (struct jit_range){ port, port + below(3) * 2 };
        if (below(4) > 0)
            rules[i].fields[4] = (struct jit_range){ below(2) ? 6 : 17, 0xff };
    }
}

static void count_pause(void *context)
{
    ++*(unsigned *)context;
}

/* In all fields about half of all values, so that all rules overlap, and no two start at one. */
static void crossing_rules(struct jit_rule *rules, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        rules[i] = any_rule(&five, i);
        for (unsigned field = 0; field < 4; field++) {
            const uint32_t first = below(INT32_MAX);
            rules[i].fields[field] = (struct jit_range){ first, first + 0x80000000u };
        }
    }
}

static void compare_with(enum jit_vectors vectors, const struct jit_rule *rules, unsigned count,
                         unsigned packets, struct jit_description *description)
{
    struct jit_plan plan = five;
    struct batch batch;

    plan.vectors = vectors;
    struct jit_filter *filter = compile(&plan, rules, count);
    *description = describe(filter);
    EXPECT_TEXT(description->shape, "rows");
    expect_decodes(filter);
    for (unsigned i = 0; i < packets; i += BATCH_MAX) {
        random_batch(&plan, rules, count, &batch);
        compare(&plan, rules, count, filter, &batch, i == 0 ? 1 + below(BATCH_MAX) : BATCH_MAX);
    }
    jit_filter_destroy(filter);
}

/* By one field, and by a second one where a few hosts have all the rules. */
TEST(filter_of_thousands_of_general_rules_is_divided_into_groups)
{
    static struct jit_rule rules[MANY];
    static const unsigned counts[] = { 600, 1100, 3000, MANY };
    struct jit_description description;

    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
            access_rules(rules, counts[i], 0);
            compare_with(vectors, rules, counts[i], 512, &description);
            EXPECT_EQUAL(description.portions, 1);
            EXPECT(vectors == JIT_AVX512 && i == 0 ? description.groups == 1
                                                   : description.groups > counts[i] / 1024);
            for (unsigned k = 0; k < counts[i]; k++)
                rules[k].fields[0] = host_or_net(2, 0x1010101u);
            compare_with(vectors, rules, counts[i], 512, &description);
            EXPECT_EQUAL(description.portions, 1);
        }
    }
}

/* The last value of a group and the first one of the next: where groups meet is where some rule
 * starts, in the first field, which no two rules share. */
TEST(filter_keeps_to_the_bounds_of_groups)
{
    static struct jit_rule rules[RULES];
    struct batch batch = { { { 0 } } };

    for (unsigned i = 0; i < RULES; i++) {
        rules[i] = any_rule(&five, i);
        rules[i].fields[0] = (struct jit_range){ 1000 * i, 1000 * i + 1500 };
        rules[i].fields[1] = (struct jit_range){ i % 2, i % 2 + 5 };
    }
    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        struct jit_plan plan = five;
        plan.vectors = vectors;
        struct jit_filter *filter = compile(&plan, rules, RULES);
        EXPECT(describe(filter).groups > 2);
        for (unsigned i = 0; i < RULES; i += BATCH_MAX / 4) {
            for (unsigned k = 0; k < BATCH_MAX; k++) {
                const uint32_t start = 1000 * (i + k / 4);
                batch.fields[0][k] = k % 2 ? start : start - 1;
                batch.fields[1][k] = k % 4 / 2 * 6;
            }
            compare(&plan, rules, RULES, filter, &batch, BATCH_MAX);
        }
        jit_filter_destroy(filter);
    }
}

/* Half of the rules reach over all sources, and the others over many destinations: copying each
 * into the groups of the other half would be too much. Whichever portion a rule is in, the first
 * one that matches wins. */
TEST(filter_whose_rules_are_wide_here_and_there_is_parted)
{
    static struct jit_rule rules[MANY];
    struct jit_description description;

    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        access_rules(rules, MANY, 2);
        for (unsigned i = 0; i < MANY; i++) {
            if (rules[i].fields[0].last == UINT32_MAX)
                rules[i].fields[1] = host_or_net(2 * MANY, 0x2468fu);
            else
                rules[i].fields[1] = JIT_ANY;
        }
        compare_with(vectors, rules, MANY, 512, &description);
        EXPECT(description.portions > 1 && description.portions < 5);
        EXPECT(description.groups > 2 * description.portions);
    }
}

/* Nothing can be divided: rows of all rules, one portion after the other. */
TEST(filter_whose_rules_all_cross_each_other_is_searched_in_portions)
{
    static struct jit_rule rules[RULES];
    struct jit_description description;

    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        crossing_rules(rules, RULES);
        compare_with(vectors, rules, RULES, 512, &description);
        EXPECT(description.portions > 1);
        EXPECT_EQUAL(description.groups, description.portions);
    }
}

static struct jit_rule rule_of(struct jit_range a, struct jit_range b, uint32_t answer)
{
    return (struct jit_rule){ .fields = { a, b }, .answer = answer };
}

static unsigned parts_of(const struct jit_filter *filter)
{
    return describe(filter).parts;
}

TEST(filter_names_the_rules_that_no_packet_comes_to)
{
    struct jit_plan plan = { .field_count = 2 };
    const struct jit_range low = { 0, 99 }, high = { 50, 200 }, both = { 10, 150 };
    const struct jit_rule one[] = { rule_of(low, JIT_ANY, 0), rule_of(high, JIT_ANY, 1),
                                    rule_of(both, JIT_ANY, 2), rule_of(JIT_ANY, JIT_ANY, 3) };
    const struct jit_rule two[] = { rule_of(low, low, 0), rule_of(high, high, 1),
                                    rule_of(both, both, 2),
                                    rule_of((struct jit_range){ 5, 99 }, low, 3) };

    struct jit_filter *filter = compile(&plan, one, ARRAY_COUNT(one));
    for (unsigned i = 0; i < ARRAY_COUNT(one); i++)
        EXPECT_EQUAL(jit_filter_is_shadowed(filter, i), i == 2);
    EXPECT_EQUAL(parts_of(filter), 3);
    jit_filter_destroy(filter);

    filter = compile(&plan, two, ARRAY_COUNT(two));
    for (unsigned i = 0; i < ARRAY_COUNT(two); i++)
        EXPECT_EQUAL(jit_filter_is_shadowed(filter, i), i == 3);
    EXPECT_EQUAL(parts_of(filter), 3);
    jit_filter_destroy(filter);
}

TEST(filter_of_bits_alone_names_its_shadowed_rules)
{
    struct jit_plan plan = { .field_count = 2, .bits = 3 };
    const struct jit_rule rules[] = {
        rule_of((struct jit_range){ 1, 3 }, JIT_ANY_BITS, 0),
        rule_of((struct jit_range){ 5, 7 }, JIT_ANY_BITS, 1), /* 5 & 3 is 1 */
        rule_of((struct jit_range){ 2, 3 }, (struct jit_range){ 0, 1 }, 2),
    };
    struct jit_filter *filter = compile(&plan, rules, ARRAY_COUNT(rules));

    for (unsigned i = 0; i < ARRAY_COUNT(rules); i++)
        EXPECT_EQUAL(jit_filter_is_shadowed(filter, i), i == 1);
    jit_filter_destroy(filter);
}

TEST(filter_makes_one_box_of_neighbours_with_one_answer)
{
    struct jit_plan plan = { .field_count = 3, .bits = 4 };
    const struct jit_range port = { 80, 80 };
    const struct jit_rule rules[] = {
        rule_of((struct jit_range){ 0, 9 }, port, 0),
        rule_of((struct jit_range){ 20, 29 }, port, 0),    /* apart from the first */
        rule_of((struct jit_range){ 10, 19 }, port, 0),    /* now all three are one */
        rule_of((struct jit_range){ 30, 39 }, port, 1),    /* another answer */
        rule_of((struct jit_range){ 41, 49 }, port, 1),    /* 40 is in neither */
        rule_of((struct jit_range){ 50, 59 }, JIT_ANY, 1), /* two fields differ */
    };
    struct jit_filter *filter = compile(&plan, rules, ARRAY_COUNT(rules));

    EXPECT_EQUAL(parts_of(filter), 4);
    jit_filter_destroy(filter);
    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        plan.vectors = vectors;
        compare_random(&plan, rules, ARRAY_COUNT(rules), 10000);
    }
}

/* Nothing takes long between two pauses: as many as there are rules, at least. */
TEST(filter_is_compiled_in_slices)
{
    static struct jit_rule rules[MANY];
    unsigned pauses = 0;
    const struct pause pause = { count_pause, &pauses };
    struct jit_plan plan = five;

    plan.pause = &pause;
    access_rules(rules, MANY, 0);
    jit_filter_destroy(compile(&plan, rules, MANY));
    EXPECT(pauses > MANY / 100);
}

/* ---- The code -------------------------------------------------------------------------------- */

TEST(filter_code_decodes_for_all_vectors)
{
    static struct jit_rule rules[100];

    for (unsigned vectors = JIT_SSE2; vectors < JIT_VECTORS_COUNT; vectors++) {
        for (unsigned fields = 1; fields <= JIT_FIELD_MAX; fields++) {
            struct jit_plan plan = { .field_count = fields, .bits = 0xaa, .vectors = vectors };
            random_rules(&plan, rules, ARRAY_COUNT(rules));
            struct jit_filter *filter = compile(&plan, rules, ARRAY_COUNT(rules));
            expect_decodes(filter);
            jit_filter_destroy(filter);
        }
    }
}

/* ---- What is refused ------------------------------------------------------------------------- */

static void expect_refused(const struct jit_plan *plan, const struct jit_rule *rules,
                           unsigned count, enum error error)
{
    struct jit_filter *filter = (struct jit_filter *)&filter;

    EXPECT_EQUAL(jit_filter_compile(plan, rules, count, &filter), error);
    EXPECT(filter == (struct jit_filter *)&filter);
}

TEST(filter_refuses_what_contradicts_itself)
{
    struct jit_plan plan = { .field_count = 2, .bits = 2 };
    struct jit_rule rule = any_rule(&plan, 0);

    rule.fields[2] = (struct jit_range){ 2, 1 }; /* is none of the plan's */
    jit_filter_destroy(compile(&plan, &rule, 1));
    rule.fields[1] = (struct jit_range){ 2, 1 };
    expect_refused(&plan, &rule, 1, ERROR_BAD_VALUE);
    rule.fields[1] = JIT_ANY_BITS;
    rule.fields[0] = (struct jit_range){ 2, 1 };
    expect_refused(&plan, &rule, 1, ERROR_BAD_VALUE);
    expect_refused(&plan, &rule, JIT_RULE_MAX + 1, ERROR_FULL);
}

/* As many as there may be, all of which say something; one more; and one that is shadowed more. */
TEST(filter_refuses_too_many_general_rules)
{
    struct jit_rule *rules = calloc(JIT_GENERAL_MAX + 1, sizeof(*rules));
    struct jit_plan plan = { .field_count = 2 };

    for (unsigned i = 0; i <= JIT_GENERAL_MAX; i++) {
        const struct jit_range range = { 2 * i, 2 * i };
        rules[i] = rule_of(range, range, i);
    }
    struct jit_filter *filter = compile(&plan, rules, JIT_GENERAL_MAX);
    struct batch batch = { { { 0, 2, 2, 2 * JIT_GENERAL_MAX - 2 },
                             { 0, 0, 2, 2 * JIT_GENERAL_MAX - 2 } } };
    compare(&plan, rules, JIT_GENERAL_MAX, filter, &batch, 4);
    jit_filter_destroy(filter);
    expect_refused(&plan, rules, JIT_GENERAL_MAX + 1, ERROR_FULL);
    rules[JIT_GENERAL_MAX] = rules[0];
    jit_filter_destroy(compile(&plan, rules, JIT_GENERAL_MAX + 1));
    free(rules);
}

/* Rules that all cross each other in many fields: each field has rows of its own for all of them.
 */
TEST(filter_refuses_what_takes_too_large_a_table)
{
    struct jit_plan plan = { .field_count = JIT_FIELD_MAX, .vectors = jit_vectors_best() };
    struct jit_rule *rules = calloc(MANY, 3 * sizeof(*rules));

    for (unsigned i = 0; i < 3 * MANY; i++) {
        for (unsigned field = 0; field < JIT_FIELD_MAX; field++) {
            const uint32_t first = below(INT32_MAX);
            rules[i].fields[field] = (struct jit_range){ first, first + 0x80000000u };
        }
    }
    expect_refused(&plan, rules, 3 * MANY, ERROR_FULL);
    free(rules);
}

/* Stairs, of which all overlap and none covers another, and a rule that the last stair alone
 * covers: that is seen while there are not too many before it, and what is decided is right anyway.
 */
TEST(filter_looks_for_shadows_within_bounds)
{
    static struct jit_rule rules[JIT_SHADOW_TRIES + 2];
    struct jit_plan plan = { .field_count = 2, .vectors = jit_vectors_best() };

    for (unsigned stairs = JIT_SHADOW_TRIES; stairs <= JIT_SHADOW_TRIES + 1; stairs++) {
        for (unsigned i = 0; i < stairs; i++)
            rules[i] = rule_of((struct jit_range){ i, 9999 }, (struct jit_range){ 0, i }, i);
        rules[stairs] = rule_of((struct jit_range){ stairs, 9999 },
                                (struct jit_range){ 0, stairs - 1 }, stairs);
        struct jit_filter *filter = compile(&plan, rules, stairs + 1);
        EXPECT_EQUAL(jit_filter_is_shadowed(filter, stairs), stairs == JIT_SHADOW_TRIES);
        struct batch batch = { { { stairs, 5, 7 }, { stairs - 1, 5, 9 } } };
        compare(&plan, rules, stairs, filter, &batch, 3);
        jit_filter_destroy(filter);
    }
}

/* Bits that are too many for a table, or too far apart, are tried one by one, so fewer. */
TEST(filter_of_scattered_bits_tries_its_rules)
{
    static struct jit_rule rules[JIT_LINEAR_MAX + 1];
    struct jit_plan plan = { .field_count = 2, .bits = 2 };

    for (unsigned scattered = 0; scattered < 2; scattered++) {
        for (unsigned i = 0; i < ARRAY_COUNT(rules); i++) {
            const struct jit_range range = { 2 * i, 2 * i };
            const struct jit_range wide = { 1, 0x10001 }, many = { 0x7ff, 0x7ff };
            rules[i] = rule_of(range, scattered ? wide : many, i);
        }
        struct jit_filter *filter = compile(&plan, rules, JIT_LINEAR_MAX);
        struct jit_description description;
        jit_filter_describe(filter, &description);
        EXPECT_TEXT(description.shape, "linear");
        jit_filter_destroy(filter);
        compare_random(&plan, rules, JIT_LINEAR_MAX, 1000);
        expect_refused(&plan, rules, JIT_LINEAR_MAX + 1, ERROR_FULL);
    }
}

/* Likewise of one in groups and one in portions, and not at every one, as what grows by
 * doubling comes to the same ones again and again. */
TEST(divided_filter_without_memory_is_an_error)
{
    static struct jit_rule rules[RULES];
    struct jit_plan plan = five;

    for (unsigned crossing = 0; crossing < 2; crossing++) {
        if (crossing)
            crossing_rules(rules, RULES);
        else
            access_rules(rules, RULES, 0);
        host_fail_allocation(UINT64_MAX);
        struct jit_filter *filter = compile(&plan, rules, RULES);
        const uint64_t allocations = host_allocation_count();
        EXPECT(crossing ? describe(filter).portions > 1 : describe(filter).groups > 1);
        jit_filter_destroy(filter);
        for (uint64_t failing = 0; failing < allocations; failing += 1 + failing / 16) {
            host_fail_allocation(failing);
            expect_refused(&plan, rules, RULES, ERROR_NO_MEMORY);
        }
    }
}

/* Whichever allocation fails, of memory or of code, nothing is left and an older filter works on.
 */
TEST(filter_without_memory_is_an_error)
{
    static struct jit_rule rules[100];
    static const struct {
        unsigned fields, rules;
        const char *shape;
    } cases[] = { { 1, 1, "intervals" }, { 2, 1, "linear" }, { 4, 100, "rows" } };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct jit_plan plan = { .field_count = cases[i].fields, .bits = 8 };
        struct jit_description description;
        random_overlapping_rules(&plan, rules, cases[i].rules);
        rules[0] = any_rule(&plan, 0);
        rules[0].fields[0] = rules[0].fields[cases[i].fields / 2] = (struct jit_range){ 1, 5 };
        host_fail_allocation(UINT64_MAX);
        struct jit_filter *filter = compile(&plan, rules, cases[i].rules);
        const uint64_t allocations = host_allocation_count();
        EXPECT(allocations >= 4);
        for (uint64_t failing = 0; failing < allocations; failing++) {
            host_fail_allocation(failing);
            expect_refused(&plan, rules, cases[i].rules, ERROR_NO_MEMORY);
        }
        host_fail_allocation(UINT64_MAX);
        jit_filter_describe(filter, &description);
        EXPECT_TEXT(description.shape, cases[i].shape);
        struct batch batch;
        random_batch(&plan, rules, cases[i].rules, &batch);
        compare(&plan, rules, cases[i].rules, filter, &batch, BATCH_MAX);
        jit_filter_destroy(filter);
    }
}

/* Goal: a packet that none of thousands of rules takes comes to the last one. Method: rules whose
 * ranges overlap so much that the one that asks for nothing becomes a portion of its own. */
TEST(filter_with_a_portion_that_asks_for_nothing_is_right)
{
    enum { COUNT = 20000, FIELDS = 2, BATCHES = 8 };
    static struct jit_rule rules[COUNT + 1];
    static uint32_t fields[JIT_FIELD_MAX][BATCH_MAX];
    uint32_t answers[BATCH_MAX];

    for (unsigned i = 0; i < COUNT; i++) {
        rules[i].answer = i;
        for (unsigned field = 0; field < FIELDS; field++) {
            const uint32_t width = 5900 + below(656), first = below(65536 - width);
            rules[i].fields[field] = (struct jit_range){ first, first + width };
        }
    }
    rules[COUNT] = (struct jit_rule){ .fields = { JIT_ANY, JIT_ANY }, .answer = COUNT };
    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        const struct jit_plan plan = { .field_count = FIELDS, .vectors = vectors };
        struct jit_filter *filter;
        EXPECT_EQUAL(jit_filter_compile(&plan, rules, COUNT + 1, &filter), OK);
        for (unsigned batch = 0; batch < BATCHES; batch++) {
            for (unsigned i = 0; i < BATCH_MAX * FIELDS; i++)
                fields[i % FIELDS][i / FIELDS] = below(65536);
            const uint32_t(*columns)[BATCH_MAX] = (const uint32_t(*)[BATCH_MAX])fields;
            jit_filter_run(filter, columns, BATCH_MAX, answers);
            for (unsigned i = 0; i < BATCH_MAX; i++)
                EXPECT_EQUAL(answers[i], rule_search(&plan, rules, COUNT + 1, columns, i));
        }
        jit_filter_destroy(filter);
    }
}
