/* covers: jit/table.c */
/* covers: jit/intervals.c */
/* covers: jit/shadow.c */
/* covers: jit/rule_list.c */
/* covers: jit/search_tree.c */
/* covers: jit/linear_code.c */
/* covers: jit/bit_classes.c */
/* covers: jit/bit_rows.c */
/* covers: jit/division.c */
/* covers: jit/rows_table.c */
/* covers: jit/portions.c */
/* covers: jit/rows_code.c */
/* covers: jit/entries.c */
/* Whatever the rules: they are refused, or every kind of code finds what a search from the start
 * finds, at all their bounds.
 *
 * The input: how many fields (its lower half), and how often all rules come again (its upper half,
 * as a power of two), each time a bit further on; which fields are bits; which allocation fails
 * (from 240 on: none); rules. */
#include "jit/jit.h"
#include "kernel/platform.h"
#include "tests/fuzz/check_filter.h"
#include "tests/host/host.h"
#include "tests/unit/rule_search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    RULES = 2600,
    LOOKED_AT = 320, /* that many more are only looked at here and there */
};

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

/* Two bytes, of which the second one decides whether they are the high or the low end. */
static uint32_t take_value(struct input *input)
{
    uint32_t high = take(input), low = take(input);

    return low == 0xff ? high << 24 | 0xffffff : low % 2 ? high << 24 | low : high << 8 | low;
}

static bool is_bits(const struct jit_plan *plan, unsigned field)
{
    return (plan->bits >> field & 1) != 0;
}

/* An answer, which fields, and of each its range. */
static struct jit_rule take_rule(struct input *input, const struct jit_plan *plan)
{
    struct jit_rule rule = { .answer = take(input) % 8 };
    unsigned count = take(input) % 4;

    for (unsigned field = 0; field < plan->field_count; field++)
        rule.fields[field] = is_bits(plan, field) ? JIT_ANY_BITS : JIT_ANY;
    while (count-- > 0) {
        unsigned field = take(input) % plan->field_count;
        rule.fields[field].first = take_value(input);
        rule.fields[field].last = take_value(input);
    }
    return rule;
}

/* The k-th of those that come again: all its numbers are further on, as far as there are any. */
static struct jit_rule moved_rule(const struct jit_plan *plan, const struct jit_rule *rule,
                                  unsigned k)
{
    struct jit_rule moved = *rule;

    for (unsigned field = 0; field < plan->field_count; field++) {
        struct jit_range *range = &moved.fields[field];
        const uint32_t by = k * (1 + range->first % 256);
        if (is_bits(plan, field) || (range->first == 0 && range->last == UINT32_MAX) ||
            range->last > UINT32_MAX - by)
            continue;
        range->first += by;
        range->last += by;
    }
    moved.answer = (rule->answer + k) % 8;
    return moved;
}

/* Each rule's corners, and what lies beside them. */
static void check_rules(const struct jit_plan *plan, const struct jit_rule *rules, unsigned count,
                        const struct jit_filter *filter)
{
    uint32_t fields[JIT_FIELD_MAX][BATCH_MAX] = { { 0 } };

    check_packets(plan, rules, count, filter, (const uint32_t(*)[BATCH_MAX])fields);
    for (unsigned rule = 0; rule < count; rule += 1 + count / LOOKED_AT * 8) {
        for (unsigned packet = 0; packet < BATCH_MAX; packet++) {
            for (unsigned field = 0; field < plan->field_count; field++) {
                const struct jit_range *range = &rules[rule].fields[field];
                bool is_end = (packet >> (field % 3) & 1) != 0;
                uint32_t step = packet / 8 % plan->field_count == field ? packet / 32 * 2 - 1 : 0;
                fields[field][packet] =
                    step + (is_end && !is_bits(plan, field) ? range->last : range->first);
            }
        }
        check_packets(plan, rules, count, filter, (const uint32_t(*)[BATCH_MAX])fields);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jit_rule rules[RULES];
    struct input input = { data, size };
    const unsigned head = take(&input);
    struct jit_plan plan = { .field_count = 1 + head % JIT_FIELD_MAX };
    struct jit_filter *filter = NULL;
    unsigned count = 0;

    plan.bits = take(&input);
    unsigned failing = take(&input);
    while (count < RULES && input.left > 0)
        rules[count++] = take_rule(&input, &plan);
    for (unsigned k = count, of = count; k < of << (head >> 4) && k < RULES; k++)
        rules[count++] = moved_rule(&plan, &rules[k % of], k / of);
    for (unsigned vectors = JIT_SSE2; vectors <= jit_vectors_best(); vectors++) {
        plan.vectors = vectors;
        host_fail_allocation(failing < 240 ? failing : UINT64_MAX);
        enum error error = jit_filter_compile(&plan, rules, count, &filter);
        host_fail_allocation(UINT64_MAX);
        if (error == OK) {
            check_rules(&plan, rules, count, filter);
            check_entries(filter, 0);
            check_entries(filter, JIT_NONE);
        }
        CHECK((error == OK) == (filter != NULL));
        jit_filter_destroy(filter);
        filter = NULL;
    }
    return 0;
}
