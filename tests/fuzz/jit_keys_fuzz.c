/* covers: jit/filter.c */
/* covers: jit/keys.c */
/* covers: jit/key_ranks.c */
/* covers: jit/first_match.c */
/* covers: jit/key_search.c */
/* covers: jit/pair_node.c */
/* covers: jit/pair_tree.c */
/* covers: jit/pair_groups.c */
/* covers: jit/key_columns.c */
/* covers: jit/key_front.c */
/* covers: jit/set_groups.c */
/* covers: jit/key_entries.c */
/* Whatever the rules over keys of several words and over sets: they are refused, or every kind of
 * code finds what a search from the start finds, at all their bounds.
 *
 * The input: the keys (field_count, joined, bits), which allocation fails, the sets, the rules. */
#include "jit/jit.h"
#include "kernel/platform.h"
#include "tests/fuzz/check_filter.h"
#include "tests/host/host.h"
#include "tests/unit/rule_search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS = 8, SETS = 24, SET_RANGES = 16, RULES = 64, WORDS = JIT_KEY_WORDS_MAX };

/* What is left of the input; behind its end are zeros. */
struct input {
    const uint8_t *bytes;
    size_t left;
};

static uint8_t take(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->bytes++;
}

/* Words at both ends of their range are one byte, as they are most often asked for. */
static uint32_t take_word(struct input *input)
{
    const uint8_t byte = take(input);

    return byte < 0x40   ? byte
           : byte < 0x80 ? 0x80000000u + byte
           : byte > 0xc0 ? UINT32_MAX - 0xff + byte
                         : (uint32_t)byte << 24 | take(input);
}

/* Keys of at most four words; bits are keys of one. */
static void take_keys(struct input *input, struct jit_plan *plan)
{
    plan->field_count = 1 + take(input) % FIELDS;
    plan->joined = take(input) & 0xfeu;
    for (unsigned field = 0; field < plan->field_count; field += rule_key_words(plan, field)) {
        if (rule_key_words(plan, field) > WORDS)
            plan->joined &= ~(1u << (field + WORDS));
    }
    plan->bits = take(input) & ~plan->joined & ~(plan->joined >> 1);
}

struct case_of_sets {
    struct jit_set sets[SETS];
    uint32_t first[SETS][SET_RANGES * WORDS], last[SETS][SET_RANGES * WORDS];
};

static void take_set(struct input *input, struct case_of_sets *all, unsigned number)
{
    const uint8_t shape = take(input);
    struct jit_set *set = &all->sets[number];

    *set = (struct jit_set){ .words = 1 + shape % WORDS,
                             .count = shape / WORDS % (SET_RANGES + 1),
                             .first = all->first[number],
                             .last = all->last[number] };
    for (unsigned i = 0; i < set->count * set->words; i++) {
        all->first[number][i] = take_word(input);
        all->last[number][i] = take_word(input);
    }
}

/* An answer, and of some keys a set or a range. */
static struct jit_rule take_rule(struct input *input, const struct jit_plan *plan)
{
    struct jit_rule rule = { .answer = take(input) % 8 };
    const uint8_t keys = take(input), in_set = take(input);

    for (unsigned field = 0; field < plan->field_count; field++)
        rule.fields[field] = rule_has_bit(plan->bits, field) ? JIT_ANY_BITS : JIT_ANY;
    for (unsigned field = 0; field < plan->field_count; field += rule_key_words(plan, field)) {
        if (!rule_has_bit(keys, field))
            continue;
        if (rule_has_bit(in_set, field)) {
            rule.in_set |= 1u << field;
            rule.fields[field].first = take(input) % (SETS + 1);
            continue;
        }
        for (unsigned i = 0; i < rule_key_words(plan, field); i++) {
            rule.fields[field + i].first = take_word(input);
            rule.fields[field + i].last = take_word(input);
        }
    }
    return rule;
}

/* ---- Packets --------------------------------------------------------------------------------- */

/* Which of the ends of the key's range, or of one of its set's, and whether beside it. */
static void put_key(const struct jit_plan *plan, const struct jit_rule *rule, unsigned field,
                    uint32_t (*fields)[BATCH_MAX], unsigned packet)
{
    const unsigned words = rule_key_words(plan, field), range = packet / 4;
    const bool is_last = packet % 2 != 0;
    uint32_t carry = packet % 4 < 2 ? 0 : is_last ? 1 : UINT32_MAX;

    for (unsigned i = words; i-- > 0;) {
        const struct jit_range *asked = &rule->fields[field + i];
        uint32_t word = is_last && !rule_has_bit(plan->bits, field) ? asked->last : asked->first;
        if (rule_has_bit(rule->in_set, field)) {
            const struct jit_set *set = &plan->sets[rule->fields[field].first];
            const unsigned at = set->count > 0 ? range % set->count * words + i : 0;
            word = is_last ? set->last[at] : set->first[at];
        }
        fields[field + i][packet] = word + carry;
        carry = carry == 1 && word == UINT32_MAX ? 1 : carry == UINT32_MAX && word == 0 ? carry : 0;
    }
}

/* At each of a rule's ends, and beside them. */
static void check_rules(const struct jit_plan *plan, const struct jit_rule *rules, unsigned count,
                        const struct jit_filter *filter)
{
    uint32_t fields[JIT_FIELD_MAX][BATCH_MAX] = { { 0 } };

    check_packets(plan, rules, count, filter, (const uint32_t(*)[BATCH_MAX])fields);
    for (unsigned rule = 0; rule < count; rule++) {
        for (unsigned field = 0; field < plan->field_count; field += rule_key_words(plan, field))
            for (unsigned packet = 0; packet < BATCH_MAX; packet++)
                put_key(plan, &rules[rule], field, fields, packet);
        check_packets(plan, rules, count, filter, (const uint32_t(*)[BATCH_MAX])fields);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct case_of_sets sets;
    static struct jit_rule rules[RULES];
    struct input input = { data, size };
    struct jit_plan plan = { .sets = sets.sets };
    struct jit_filter *filter = NULL;
    unsigned count = 0;

    take_keys(&input, &plan);
    const unsigned failing = take(&input);
    plan.set_count = take(&input) % (SETS + 1);
    for (unsigned i = 0; i < plan.set_count; i++)
        take_set(&input, &sets, i);
    while (count < RULES && input.left > 0)
        rules[count++] = take_rule(&input, &plan);
    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        plan.vectors = (enum jit_vectors)vectors;
        host_fail_allocation(failing < 32 ? failing : UINT64_MAX);
        enum error error = jit_filter_compile(&plan, rules, count, &filter);
        host_fail_allocation(UINT64_MAX);
        if (error == OK) {
            check_rules(&plan, rules, count, filter);
            check_entries(filter, count > 0 ? rules[0].answer : JIT_NONE);
            check_entries(filter, JIT_NONE);
        }
        CHECK((error == OK) == (filter != NULL));
        jit_filter_destroy(filter);
        filter = NULL;
    }
    return 0;
}
