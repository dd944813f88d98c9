/* Goal: filters over keys of several words and over sets decide as a list does that is searched
 * from its start. Method: random rules of a few words each, so that ranges nest, overlap and touch,
 * and packets at their bounds, for every kind of vector that this machine has. */
#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>

#include "jit/jit.h"
#include "jit/key_front.h"
#include "jit/set_groups.h"
#include "jit/show.h"
#include "kernel/base/random.h"
#include "kernel/platform.h"
#include "tests/unit/rule_search.h"
#include "tests/unit/test.h"

enum { RULES = 2000, SETS = 40, SET_RANGES = 60 };

static uint64_t random_state = 3;

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

/* A value of a key. */
struct value {
    uint32_t words[JIT_KEY_WORDS_MAX];
};

/* ---- Values ---------------------------------------------------------------------------------- */

/* One more or less; past the last comes the first. */
static struct value moved(struct value value, unsigned words, uint32_t by)
{
    for (unsigned i = words; i-- > 0;) {
        value.words[i] += by;
        if (value.words[i] != (by == 1 ? 0 : UINT32_MAX))
            break;
    }
    return value;
}

/* Few different words, so that the first ones of two values are often the same. */
static struct value near_value(unsigned words)
{
    static const uint32_t corners[] = { 0, 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff };
    struct value value;

    for (unsigned i = 0; i < words; i++)
        value.words[i] = below(4) == 0   ? corners[below(ARRAY_COUNT(corners))]
                         : below(8) == 0 ? any_word()
                                         : 0x20010db8 + below(6);
    return value;
}

static void random_range(unsigned words, struct value *first, struct value *last)
{
    unsigned length = below(32 * words + 1);

    *first = near_value(words);
    *last = *first;
    switch (below(3)) {
    case 0:
        return;
    case 1:
        for (unsigned bit = length; bit < 32 * words; bit++) {
            first->words[bit / 32] &= ~(0x80000000u >> bit % 32);
            last->words[bit / 32] |= 0x80000000u >> bit % 32;
        }
        return;
    default:
        *last = near_value(words);
        if (words_are_below(last->words, first->words, words)) {
            struct value other = *first;
            *first = *last;
            *last = other;
        }
    }
}

static void range_of(const struct jit_rule *rule, unsigned field, unsigned words,
                     struct value *first, struct value *last)
{
    for (unsigned i = 0; i < words; i++) {
        first->words[i] = rule->fields[field + i].first;
        last->words[i] = rule->fields[field + i].last;
    }
}

/* ---- Plans, sets and rules ------------------------------------------------------------------- */

struct table {
    struct jit_plan plan;
    struct jit_set sets[SETS];
    uint32_t bounds[SETS][2][SET_RANGES * JIT_KEY_WORDS_MAX];
    unsigned count;
    struct jit_rule rules[RULES];
};

static struct table *new_table(void)
{
    struct table *table = calloc(1, sizeof(*table));

    EXPECT(table != NULL);
    table->plan.sets = table->sets;
    return table;
}

/* Behind the last one, or not at all. */
static void add_range(struct jit_set *set, uint32_t bounds[2][SET_RANGES * JIT_KEY_WORDS_MAX],
                      const struct value *first, const struct value *last)
{
    const unsigned words = set->words, at = set->count * words;

    if (set->count == SET_RANGES ||
        (set->count > 0 && !words_are_below(&bounds[1][at - words], first->words, words)))
        return;
    memcpy(&bounds[0][at], first->words, words * sizeof(uint32_t));
    memcpy(&bounds[1][at], last->words, words * sizeof(uint32_t));
    set->count++;
}

static int compare_values(const void *a, const void *b)
{
    return words_are_below(a, b, JIT_KEY_WORDS_MAX) ? -1 : words_are_below(b, a, JIT_KEY_WORDS_MAX);
}

/* Pairs of values that follow each other, some of them touching. */
static void random_set(struct table *table, unsigned words)
{
    struct value values[2 * SET_RANGES] = { { { 0 } } };
    const unsigned number = table->plan.set_count++, count = 2 * below(SET_RANGES + 1);
    struct jit_set *set = &table->sets[number];

    for (unsigned i = 0; i < count; i++) {
        values[i] = near_value(words);
        for (unsigned word = words; word < JIT_KEY_WORDS_MAX; word++)
            values[i].words[word] = 0;
    }
    qsort(values, count, sizeof(values[0]), compare_values);
    *set = (struct jit_set){ .words = words,
                             .first = table->bounds[number][0],
                             .last = table->bounds[number][1] };
    for (unsigned i = 0; i < count; i += 2) {
        add_range(set, table->bounds[number], &values[i], &values[i + 1]);
        if (below(8) == 0) {
            struct value next = moved(values[i + 1], words, 1);
            add_range(set, table->bounds[number], &next, &next);
        }
    }
}

static void ask_nothing(const struct jit_plan *plan, struct jit_rule *rule, uint32_t answer)
{
    *rule = (struct jit_rule){ .answer = answer };
    for (unsigned field = 0; field < plan->field_count; field++)
        rule->fields[field] = rule_has_bit(plan->bits, field) ? JIT_ANY_BITS : JIT_ANY;
}

static void ask_range(struct jit_rule *rule, unsigned field, unsigned words,
                      const struct value *first, const struct value *last)
{
    for (unsigned i = 0; i < words; i++)
        rule->fields[field + i] = (struct jit_range){ first->words[i], last->words[i] };
}

static void ask_set(struct jit_rule *rule, unsigned field, unsigned set)
{
    rule->in_set |= 1u << field;
    rule->fields[field] = (struct jit_range){ .first = set, .last = 0 };
}

/* One of the sets for keys of so many words; false: there is none. */
static bool ask_some_set(const struct table *table, struct jit_rule *rule, unsigned field,
                         unsigned words)
{
    const unsigned from = table->plan.set_count > 0 ? below(table->plan.set_count) : 0;

    for (unsigned i = 0; i < table->plan.set_count; i++) {
        const unsigned set = (from + i) % table->plan.set_count;
        if (table->sets[set].words != words)
            continue;
        ask_set(rule, field, set);
        return true;
    }
    return false;
}

static void ask_something(const struct table *table, struct jit_rule *rule, unsigned field)
{
    const unsigned words = rule_key_words(&table->plan, field);
    struct value first, last;

    if (rule_has_bit(table->plan.bits, field)) {
        const uint32_t mask = 1u << below(4) | 1u << below(4);
        rule->fields[field] = (struct jit_range){ any_word() & mask, mask };
        return;
    }
    if (below(3) == 0 && ask_some_set(table, rule, field, words))
        return;
    random_range(words, &first, &last);
    ask_range(rule, field, words, &first, &last);
}

/* Keys of one to four words, in all fields; some of one word are bits. */
static void random_plan(struct table *table, unsigned field_count, unsigned vectors)
{
    struct jit_plan *plan = &table->plan;

    *plan = (struct jit_plan){ .field_count = field_count,
                               .sets = table->sets,
                               .vectors = (enum jit_vectors)vectors };
    for (unsigned field = 0; field < field_count;) {
        const unsigned words = MIN_OF(1 + below(JIT_KEY_WORDS_MAX), field_count - field);
        for (unsigned i = 1; i < words; i++)
            plan->joined |= 1u << (field + i);
        if (words == 1 && field > 0 && below(2))
            plan->bits |= 1u << field;
        field += words;
    }
}

/* ---- Packets --------------------------------------------------------------------------------- */

/* At one of the bounds, beside it, or anywhere near. */
static struct value value_at(const struct value *first, const struct value *last, unsigned words,
                             unsigned which)
{
    switch (which % 6) {
    case 0:
        return moved(*first, words, UINT32_MAX);
    case 1:
        return *first;
    case 2:
        return *last;
    case 3:
        return moved(*last, words, 1);
    default:
        return near_value(words);
    }
}

static struct value key_value(const struct table *table, const struct jit_rule *rule,
                              unsigned field, unsigned which)
{
    const unsigned words = rule_key_words(&table->plan, field);
    struct value first, last;

    if (rule_has_bit(table->plan.bits, field))
        return (struct value){ { rule->fields[field].first |
                                 (any_word() & ~rule->fields[field].last) } };
    if (!rule_has_bit(rule->in_set, field)) {
        range_of(rule, field, words, &first, &last);
        return value_at(&first, &last, words, which);
    }
    const struct jit_set *set = &table->sets[rule->fields[field].first];
    if (set->count == 0)
        return near_value(words);
    const unsigned range = below(set->count);
    memcpy(first.words, &set->first[range * words], words * sizeof(uint32_t));
    memcpy(last.words, &set->last[range * words], words * sizeof(uint32_t));
    return value_at(&first, &last, words, which);
}

static void put(struct batch *batch, unsigned field, unsigned words, unsigned column,
                struct value value)
{
    for (unsigned i = 0; i < words; i++)
        batch->fields[field + i][column] = value.words[i];
}

/* Each packet is at a bound of each key of a rule: some are in it. */
static void make_batch(const struct table *table, struct batch *batch)
{
    for (unsigned column = 0; column < BATCH_MAX; column++) {
        const struct jit_rule *rule = &table->rules[below(table->count)];
        for (unsigned field = 0; field < table->plan.field_count;
             field += rule_key_words(&table->plan, field)) {
            const unsigned which = below(4) == 0 ? below(6) : 1 + below(2);
            put(batch, field, rule_key_words(&table->plan, field), column,
                key_value(table, rule, field, which));
        }
    }
}

/* ---- Comparing ------------------------------------------------------------------------------- */

static struct jit_filter *compile(const struct table *table)
{
    struct jit_filter *filter = NULL;

    EXPECT_EQUAL(jit_filter_compile(&table->plan, table->rules, table->count, &filter), OK);
    return filter;
}

static void compare(const struct table *table, const struct jit_filter *filter,
                    const struct batch *batch, unsigned columns)
{
    const uint32_t(*fields)[BATCH_MAX] = (const uint32_t(*)[BATCH_MAX])batch->fields;
    uint32_t answers[BATCH_MAX];

    jit_filter_run(filter, fields, columns, answers);
    for (unsigned column = 0; column < columns; column++) {
        unsigned rule = rule_search(&table->plan, table->rules, table->count, fields, column);
        EXPECT_EQUAL(answers[column], rule < table->count ? table->rules[rule].answer : JIT_NONE);
        EXPECT(rule == table->count || !jit_filter_is_shadowed(filter, rule));
    }
}

static void compare_random(const struct table *table, unsigned packets)
{
    struct jit_filter *filter = compile(table);
    struct batch batch;

    for (unsigned i = 0; i < packets; i += BATCH_MAX) {
        make_batch(table, &batch);
        compare(table, filter, &batch, i == 0 ? 1 + below(BATCH_MAX) : BATCH_MAX);
    }
    jit_filter_destroy(filter);
}

static struct jit_description describe(const struct jit_filter *filter)
{
    struct jit_description description;

    jit_filter_describe(filter, &description);
    return description;
}

static unsigned columns_of(const struct jit_filter *filter, enum column_kind kind)
{
    const struct key_front *front = describe(filter).front;
    unsigned count = 0;

    for (unsigned i = 0; front != NULL && i < front->count; i++)
        count += front->columns[i].kind == kind;
    return count;
}

static void expect_decodes(const uint8_t *code, unsigned bytes)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction instruction;
    unsigned at = 0;

    EXPECT(
        ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)));
    while (at < bytes) {
        EXPECT(ZYAN_SUCCESS(
            ZydisDecoderDecodeInstruction(&decoder, NULL, code + at, bytes - at, &instruction)));
        at += instruction.length;
        EXPECT_EQUAL(instruction.mnemonic == ZYDIS_MNEMONIC_RET, at == bytes);
    }
}

/* ---- One key --------------------------------------------------------------------------------- */

/* All bounds of all rules, and all of them of the sets, by lists of any length. */
static void compare_bounds(const struct table *table, const struct jit_filter *filter,
                           unsigned field)
{
    const unsigned words = rule_key_words(&table->plan, field);
    struct batch batch;

    memset(&batch, 0x55, sizeof(batch));
    for (unsigned i = 0; i < table->count; i++) {
        const struct jit_rule *rule = &table->rules[i];
        const bool is_set = rule_has_bit(rule->in_set, field);
        const unsigned ranges = is_set ? table->sets[rule->fields[field].first].count : 1;
        for (unsigned k = 0; k < ranges; k += BATCH_MAX / 4) {
            for (unsigned column = 0; column < BATCH_MAX; column++) {
                struct value first, last;
                range_of(rule, field, words, &first, &last);
                if (is_set) {
                    const struct jit_set *set = &table->sets[rule->fields[field].first];
                    const unsigned at = MIN_OF(k + column / 4, ranges - 1) * words;
                    memcpy(first.words, &set->first[at], words * sizeof(uint32_t));
                    memcpy(last.words, &set->last[at], words * sizeof(uint32_t));
                }
                put(&batch, field, words, column, value_at(&first, &last, words, column % 4));
            }
            compare(table, filter, &batch, BATCH_MAX);
        }
    }
}

TEST(filter_of_one_key_is_right_at_every_bound)
{
    struct table *table = new_table();
    const unsigned rounds = MAX_OF(test_comparisons() / 5000, 200u);

    for (unsigned round = 0; round < rounds; round++) {
        random_plan(table, 2 + below(6), round % (jit_vectors_best() + 1));
        unsigned field = 0;
        while (rule_has_bit(table->plan.bits, field) ||
               (rule_key_words(&table->plan, field) == 1 && field + 1 < table->plan.field_count))
            field++;
        if (rule_has_bit(table->plan.joined | table->plan.bits, field))
            continue;
        for (unsigned i = below(4); i > 0; i--)
            random_set(table, rule_key_words(&table->plan, field));
        table->count = 1 + below(round % 8 == 0 ? 150 : 12);
        for (unsigned i = 0; i < table->count; i++) {
            ask_nothing(&table->plan, &table->rules[i],
                        below(4) || i == 0 ? i : table->rules[i - 1].answer);
            ask_something(table, &table->rules[i], field);
        }
        struct jit_filter *filter = compile(table);
        const struct jit_description description = describe(filter);
        if (description.parts > 1)
            EXPECT_TEXT(description.shape, "intervals");
        EXPECT(description.front == NULL || table->rules[0].in_set == 0);
        compare_bounds(table, filter, field);
        expect_decodes(description.code, description.code_bytes);
        jit_filter_destroy(filter);
    }
    free(table);
}

static void add_prefix(struct table *table, const struct value *value, unsigned length)
{
    struct jit_rule *rule = &table->rules[table->count];

    ask_nothing(&table->plan, rule, table->count);
    for (unsigned word = 0; word < JIT_KEY_WORDS_MAX; word++) {
        const unsigned known = length > word * 32 ? MIN_OF(length - word * 32, 32u) : 0;
        const uint32_t host = (uint32_t)(0xffffffffull >> known);
        rule->fields[word] =
            (struct jit_range){ value->words[word] & ~host, value->words[word] | host };
    }
    table->count++;
}

/* Groups of one host each, of some hosts, and one of so many that its tree has three levels more.
 */
TEST(filter_of_addresses_finds_hosts_in_nets_of_any_size)
{
    static const unsigned sizes[] = { 1, 100, 3, 4, 5, 36, 37, 2, 82, 1, 90, 1 };
    struct table *table = new_table();

    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        table->plan = (struct jit_plan){ .field_count = 4,
                                         .joined = 0xe,
                                         .vectors = (enum jit_vectors)vectors };
        table->count = 0;
        for (unsigned group = 0; group < ARRAY_COUNT(sizes); group++) {
            for (unsigned i = 0; i < sizes[group]; i++) {
                const struct value host = { { 0x20010db8, group * 0x11111111, i % 3, i * 7 } };
                add_prefix(table, &host, 128);
            }
        }
        add_prefix(table, &(struct value){ { 0x20010db8, 0x11111111, 2, 0 } }, 96);
        add_prefix(table, &(struct value){ { 0x20010db8, 0x11111111, 0, 0 } }, 64);
        add_prefix(table, &(struct value){ { 0x20010db8, 0, 0, 0 } }, 32);
        struct jit_filter *filter = compile(table);
        compare_bounds(table, filter, 0);
        jit_filter_destroy(filter);
    }
    free(table);
}

/* So many that the tree has all its levels: they do not overlap, so whose it is can be computed. */
TEST(filter_of_many_ipv6_prefixes_finds_each_of_them)
{
    enum { MANY = 60000, STRIDE = 0x10000 };
    struct jit_rule *rules = calloc(MANY, sizeof(*rules));
    struct batch batch = { { { 0 } } };
    uint32_t answers[BATCH_MAX];

    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        const struct jit_plan plan = { .field_count = 4,
                                       .joined = 0xe,
                                       .vectors = (enum jit_vectors)vectors };
        struct jit_filter *filter = NULL;
        for (unsigned i = 0; i < MANY; i++) {
            const uint32_t net = (i % 7) * STRIDE;
            ask_nothing(&plan, &rules[i], i);
            rules[i].fields[0] = (struct jit_range){ i / 7 + 5, i / 7 + 5 };
            rules[i].fields[1] = (struct jit_range){ net, net + STRIDE - 1 - i % 2 };
        }
        EXPECT_EQUAL(jit_filter_compile(&plan, rules, MANY, &filter), OK);
        for (unsigned i = 0; i < MANY; i += BATCH_MAX / 4) {
            for (unsigned k = 0; k < BATCH_MAX; k++) {
                const struct jit_rule *rule = &rules[i + k / 4 < MANY ? i + k / 4 : 0];
                batch.fields[0][k] = rule->fields[0].first;
                batch.fields[1][k] = k % 2 ? rule->fields[1].first - 1 + k % 4 / 2
                                           : rule->fields[1].last + k % 4 / 2;
                batch.fields[2][k] = any_word();
                batch.fields[3][k] = any_word();
            }
            jit_filter_run(filter, (const uint32_t(*)[BATCH_MAX])batch.fields, BATCH_MAX, answers);
            for (unsigned k = 0; k < BATCH_MAX; k++) {
                const uint32_t net = batch.fields[1][k] / STRIDE;
                const uint32_t rule = (batch.fields[0][k] - 5) * 7 + net;
                bool is_in =
                    net < 7 && rule < MANY && batch.fields[1][k] <= rules[rule].fields[1].last;
                EXPECT_EQUAL(answers[k], is_in ? rule : JIT_NONE);
            }
        }
        jit_filter_destroy(filter);
    }
    free(rules);
}

/* ---- Several keys ---------------------------------------------------------------------------- */

TEST(filter_of_several_keys_and_sets_is_right)
{
    struct table *table = new_table();
    const unsigned rounds = MAX_OF(test_comparisons() / 4000, 240u);

    for (unsigned round = 0; round < rounds; round++) {
        random_plan(table, 2 + below(JIT_FIELD_MAX - 1), round % (jit_vectors_best() + 1));
        for (unsigned i = below(5); i > 0; i--)
            random_set(table, 1 + below(JIT_KEY_WORDS_MAX));
        table->count = 1 + below(round % 6 == 0 ? 200 : 30);
        for (unsigned i = 0; i < table->count; i++) {
            struct jit_rule *rule = &table->rules[i];
            ask_nothing(&table->plan, rule, below(4) || i == 0 ? i : rule[-1].answer);
            for (unsigned field = 0; field < table->plan.field_count;
                 field += rule_key_words(&table->plan, field))
                if (below(3) == 0)
                    ask_something(table, rule, field);
        }
        compare_random(table, 512);
    }
    free(table);
}

TEST(filter_code_before_rules_decodes_for_all_vectors)
{
    struct table *table = new_table();

    for (unsigned vectors = JIT_SSE2; vectors < JIT_VECTORS_COUNT; vectors++) {
        table->plan = (struct jit_plan){ .field_count = 6,
                                         .joined = 0xe,
                                         .bits = 1 << 5,
                                         .sets = table->sets,
                                         .vectors = (enum jit_vectors)vectors };
        for (unsigned words = 1; words <= JIT_KEY_WORDS_MAX; words += 3)
            random_set(table, words);
        table->count = 60;
        for (unsigned i = 0; i < table->count; i++) {
            ask_nothing(&table->plan, &table->rules[i], i);
            for (unsigned field = 0; field < 6; field += rule_key_words(&table->plan, field))
                ask_something(table, &table->rules[i], field);
        }
        struct jit_filter *filter = compile(table);
        const struct key_front *front = describe(filter).front;
        EXPECT(front != NULL);
        expect_decodes(front->code->entry, front->code_bytes);
        const struct jit_description whole = describe(filter);
        struct jit_description told;
        jit_front_describe(&whole, &told);
        EXPECT_EQUAL(told.code_bytes, front->code_bytes);
        EXPECT_EQUAL(told.marks.marks[0].at, 0);
        EXPECT_EQUAL(told.marks.marks[told.marks.mark_count - 1].step, JIT_STEP_END);
        jit_filter_destroy(filter);
    }
    free(table);
}

/* All marks lead to code, and copies that end behind one do not fall over: the last one is whole.
 */
static void run_cuts(const struct table *table)
{
    struct jit_filter *filter = compile(table);
    const struct jit_description description = describe(filter);
    alignas(CACHE_LINE_BYTES) uint32_t columns[JIT_FIELD_MAX][BATCH_MAX];
    uint32_t whole[BATCH_MAX], answers[BATCH_MAX];
    struct batch batch;

    make_batch(table, &batch);
    const uint32_t(*fields)[BATCH_MAX] = (const uint32_t(*)[BATCH_MAX])batch.fields;
    jit_filter_run(filter, fields, BATCH_MAX, whole);
    EXPECT_EQUAL(description.marks.marks[0].at, 0);
    for (unsigned mark = 0; mark < description.marks.mark_count; mark++) {
        struct jit_cut cut;
        EXPECT_EQUAL(jit_cut_make(&description, mark, &cut), OK);
        jit_cut_run(&cut, jit_cut_fields(&cut, fields, BATCH_MAX, columns), BATCH_MAX, answers);
        jit_cut_free(&cut);
    }
    EXPECT(memcmp(answers, whole, sizeof(whole)) == 0);
    jit_filter_destroy(filter);
}

TEST(filter_of_keys_can_be_cut_behind_each_mark)
{
    struct table *table = new_table();

    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        for (unsigned keys = 1; keys <= 2; keys++) {
            table->plan = (struct jit_plan){ .field_count = 5,
                                             .joined = 0xe,
                                             .sets = table->sets,
                                             .vectors = (enum jit_vectors)vectors };
            random_set(table, 4);
            table->count = 70;
            for (unsigned i = 0; i < table->count; i++) {
                ask_nothing(&table->plan, &table->rules[i], i);
                for (unsigned key = 0; key < keys; key++)
                    ask_something(table, &table->rules[i], 4 * key);
            }
            run_cuts(table);
        }
    }
    free(table);
}

/* ---- Sets ------------------------------------------------------------------------------------ */

/* Two keys of a word, so that rules are general; rule i wants set i of the first one. */
static void rule_for_each_set(struct table *table, unsigned vectors)
{
    table->plan = (struct jit_plan){ .field_count = 2,
                                     .sets = table->sets,
                                     .set_count = table->plan.set_count,
                                     .vectors = (enum jit_vectors)vectors };
    table->count = table->plan.set_count + 1;
    for (unsigned i = 0; i < table->count; i++) {
        ask_nothing(&table->plan, &table->rules[i], i);
        if (i < table->plan.set_count)
            ask_set(&table->rules[i], 0, i);
        table->rules[i].fields[1] = (struct jit_range){ 0, 80 + i % 5 };
    }
}

/* A set of words first, first + step, ... */
static void add_set(struct table *table, uint32_t first, uint32_t step, unsigned count)
{
    const unsigned number = table->plan.set_count++;
    struct jit_set *set = &table->sets[number];

    *set = (struct jit_set){ .words = 1,
                             .first = table->bounds[number][0],
                             .last = table->bounds[number][1] };
    for (unsigned i = 0; i < count; i++) {
        const struct value value = { { first + i * step } };
        add_range(set, table->bounds[number], &value, &value);
    }
}

TEST(filter_takes_one_column_for_sets_that_lie_apart)
{
    struct table *table = new_table();

    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        table->plan.set_count = 0;
        for (unsigned i = 0; i < SETS; i++)
            add_set(table, i, SETS, SET_RANGES);
        rule_for_each_set(table, vectors);
        struct jit_filter *filter = compile(table);
        EXPECT_EQUAL(columns_of(filter, COLUMN_MEMBERS), 1);
        EXPECT_EQUAL(columns_of(filter, COLUMN_COPY), 1);
        jit_filter_destroy(filter);
        compare_random(table, 4000);
    }
    free(table);
}

/* One more than ten bits can number. */
TEST(filter_takes_two_columns_for_more_sets_than_a_column_has_numbers_for)
{
    enum { MANY = 1 << SET_GROUP_BITS_MAX };
    static struct jit_set sets[MANY];
    static struct jit_rule rules[MANY];
    static uint32_t values[MANY];
    const struct jit_plan plan = { .field_count = 2, .sets = sets, .set_count = MANY };
    struct jit_filter *filter = NULL;
    struct batch batch = { { { 0 } } };
    uint32_t answers[BATCH_MAX];

    for (unsigned i = 0; i < MANY; i++) {
        values[i] = i * 3;
        sets[i] =
            (struct jit_set){ .words = 1, .count = 1, .first = &values[i], .last = &values[i] };
        ask_nothing(&plan, &rules[i], i);
        ask_set(&rules[i], 0, i);
        rules[i].fields[1] = (struct jit_range){ 0, i };
    }
    EXPECT_EQUAL(jit_filter_compile(&plan, rules, MANY, &filter), OK);
    EXPECT_EQUAL(columns_of(filter, COLUMN_MEMBERS), 2);
    for (unsigned i = 0; i < MANY; i += BATCH_MAX) {
        for (unsigned k = 0; k < BATCH_MAX; k++)
            batch.fields[0][k] = values[i + k];
        jit_filter_run(filter, (const uint32_t(*)[BATCH_MAX])batch.fields, BATCH_MAX, answers);
        for (unsigned k = 0; k < BATCH_MAX; k++)
            EXPECT_EQUAL(answers[k], i + k);
    }
    jit_filter_destroy(filter);
}

TEST(filter_takes_a_bit_for_each_of_the_sets_that_overlap)
{
    struct table *table = new_table();

    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        table->plan.set_count = 0;
        for (unsigned i = 0; i < 23; i++)
            add_set(table, 0, i + 1, SET_RANGES); /* 0 is in all of them */
        rule_for_each_set(table, vectors);
        struct jit_filter *filter = compile(table);
        EXPECT_EQUAL(columns_of(filter, COLUMN_MEMBERS), 3);
        jit_filter_destroy(filter);
        compare_random(table, 4000);
    }
    free(table);
}

TEST(filter_knows_that_nothing_is_in_an_empty_set)
{
    struct table *table = new_table();
    struct batch batch = { { { 0 } } };
    uint32_t answers[BATCH_MAX];

    for (unsigned general = 0; general < 2; general++) {
        table->plan.set_count = 0;
        add_set(table, 0, 1, 0);
        rule_for_each_set(table, JIT_SSE2);
        if (!general)
            table->rules[0].fields[1] = table->rules[1].fields[1] = JIT_ANY;
        struct jit_filter *filter = compile(table);
        EXPECT(jit_filter_is_shadowed(filter, 0));
        EXPECT(!jit_filter_is_shadowed(filter, 1));
        jit_filter_run(filter, (const uint32_t(*)[BATCH_MAX])batch.fields, 1, answers);
        EXPECT_EQUAL(answers[0], 1);
        jit_filter_destroy(filter);
    }
    free(table);
}

/* ---- What is refused ------------------------------------------------------------------------- */

static void expect_refused(const struct jit_plan *plan, const struct jit_rule *rules,
                           unsigned count, enum error error)
{
    struct jit_filter *filter = (struct jit_filter *)&filter;

    EXPECT_EQUAL(jit_filter_compile(plan, rules, count, &filter), error);
    EXPECT(filter == (struct jit_filter *)&filter);
}

TEST(filter_refuses_sets_and_keys_that_are_not_in_order)
{
    struct table *table = new_table();

    add_set(table, 5, 5, 3);
    rule_for_each_set(table, JIT_SSE2);
    jit_filter_destroy(compile(table));
    table->rules[0].fields[0].first = 1; /* there is one set, number 0 */
    expect_refused(&table->plan, table->rules, 1, ERROR_BAD_VALUE);
    table->rules[0].fields[0].first = 0;
    table->bounds[0][1][1] = 9; /* ends before it begins */
    expect_refused(&table->plan, table->rules, 1, ERROR_BAD_VALUE);
    table->bounds[0][1][1] = 15; /* goes into the next one */
    expect_refused(&table->plan, table->rules, 1, ERROR_BAD_VALUE);
    table->bounds[0][1][1] = 14;
    jit_filter_destroy(compile(table));
    table->plan.bits = 1;
    expect_refused(&table->plan, table->rules, 1, ERROR_BAD_VALUE);
    table->plan.bits = 0;
    table->plan.joined = 2; /* a key of two words, a set of one */
    expect_refused(&table->plan, table->rules, 1, ERROR_BAD_VALUE);

    ask_nothing(&table->plan, &table->rules[0], 0);
    table->rules[0].fields[0] = (struct jit_range){ 1, 2 };
    table->rules[0].fields[1] = (struct jit_range){ 2, 1 };
    jit_filter_destroy(compile(table));
    table->rules[0].fields[0].last = 1;
    expect_refused(&table->plan, table->rules, 1, ERROR_BAD_VALUE);
    ask_nothing(&table->plan, &table->rules[0], 0x80000000);
    expect_refused(&table->plan, table->rules, 1, ERROR_BAD_VALUE);
    free(table);
}

/* Sets that have all values each: 64 of them for a key, in bits of seven columns, and columns are
 * 16 at most. */
TEST(filter_refuses_more_sets_than_it_has_bits_and_columns_for)
{
    enum { SPARE = SET_GROUP_MAX + 1, KEYS = 3 };
    static uint32_t all[2] = { 0, UINT32_MAX };
    static struct jit_set sets[SPARE];
    static struct jit_rule rules[SPARE];
    struct jit_plan plan = { .field_count = 4, .sets = sets, .set_count = SPARE };

    for (unsigned keys = 1; keys <= KEYS; keys++) {
        for (unsigned i = 0; i < SPARE; i++) {
            sets[i] = (struct jit_set){ .words = 1, .count = 1, .first = &all[0], .last = &all[1] };
            ask_nothing(&plan, &rules[i], i);
            for (unsigned field = 0; field < keys; field++)
                ask_set(&rules[i], field, i);
            rules[i].fields[3] = (struct jit_range){ i, i };
        }
        struct jit_filter *filter = NULL;
        EXPECT_EQUAL(jit_filter_compile(&plan, rules, SPARE - 1, &filter),
                     keys < KEYS ? OK : ERROR_FULL);
        jit_filter_destroy(filter);
        expect_refused(&plan, rules, SPARE, ERROR_FULL);
    }
}

/* Of one key each rule that names a set counts, of several each set. */
TEST(filter_refuses_more_ranges_than_it_has_room_for)
{
    enum { HALF = JIT_RANGE_MAX / 2 };
    uint32_t *values = calloc(HALF + 1, sizeof(*values));
    struct jit_set sets[2];
    struct jit_rule rules[2];
    const struct jit_plan plan = { .field_count = 2, .sets = sets, .set_count = 2 };

    for (unsigned i = 0; i <= HALF; i++)
        values[i] = 2 * i;
    for (unsigned several = 0; several < 2; several++) {
        for (unsigned i = 0; i < 2; i++) {
            sets[i] =
                (struct jit_set){ .words = 1, .count = HALF + 1, .first = values, .last = values };
            ask_nothing(&plan, &rules[i], i);
            ask_set(&rules[i], 0, several ? i : 0);
            if (several)
                rules[i].fields[1] = (struct jit_range){ i, i };
        }
        expect_refused(&plan, rules, 2, ERROR_FULL);
    }
    free(values);
}

/* Whichever allocation fails, of memory or of code, nothing is left. */
TEST(filter_of_keys_without_memory_is_an_error)
{
    struct table *table = new_table();

    for (unsigned keys = 1; keys <= 2; keys++) {
        table->plan = (struct jit_plan){ .field_count = 5, .joined = 0xe, .sets = table->sets };
        random_set(table, 4);
        random_set(table, 1);
        table->count = 30;
        for (unsigned i = 0; i < table->count; i++) {
            ask_nothing(&table->plan, &table->rules[i], i);
            ask_something(table, &table->rules[i], 0);
            if (keys == 2)
                ask_something(table, &table->rules[i], 4);
        }
        host_fail_allocation(UINT64_MAX);
        jit_filter_destroy(compile(table));
        const uint64_t allocations = host_allocation_count();
        EXPECT(allocations >= 8);
        for (uint64_t failing = 0; failing < allocations; failing++) {
            host_fail_allocation(failing);
            expect_refused(&table->plan, table->rules, table->count, ERROR_NO_MEMORY);
        }
        host_fail_allocation(UINT64_MAX);
    }
    free(table);
}
