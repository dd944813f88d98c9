/* Rules become spans, those of one word as they are, longer ones as ranks; spans become disjoint
 * intervals, and these are given the last values of their key again. */
#include "jit/first_match.h"

#include <string.h>

#include "jit/key_ranks.h"
#include "jit/keys.h"
#include "kernel/platform.h"

enum {
    RULES_A_PAUSE = 1024,
    RANGES_A_PAUSE = 16384,
};

struct spans {
    unsigned count;
    struct span *all;
};

/* How many ranges a rule has. */
static unsigned ranges_of(const struct jit_plan *plan, const struct jit_rule *rule, unsigned field)
{
    return key_ask(plan, rule, field) == ASK_SET ? key_set(plan, rule, field)->count : 1;
}

static enum error count_ranges(const struct jit_plan *plan, const struct jit_rule *rules,
                               unsigned count, unsigned field, unsigned *range_count)
{
    uint64_t sum = 0;

    *range_count = 0;
    for (unsigned i = 0; i < count; i++) {
        sum += ranges_of(plan, &rules[i], field);
        if (i % RULES_A_PAUSE == 0)
            pause_take(plan->pause);
    }
    if (sum > JIT_RANGE_MAX)
        return fail(ERROR_FULL);
    *range_count = (unsigned)sum;
    return OK;
}

/* ---- Keys of one word ------------------------------------------------------------------------ */

static void add_span(struct spans *spans, const struct jit_rule *rule, unsigned number,
                     uint32_t first, uint32_t last)
{
    spans->all[spans->count++] =
        (struct span){ .first = first, .last = last, .rule = number, .answer = rule->answer };
}

static void spans_of_words(const struct jit_plan *plan, const struct jit_rule *rules,
                           unsigned count, unsigned field, struct spans *spans)
{
    for (unsigned i = 0; i < count; i++) {
        const struct jit_range *range = &rules[i].fields[field];
        if (i % RULES_A_PAUSE == 0)
            pause_take(plan->pause);
        if (key_ask(plan, &rules[i], field) != ASK_SET) {
            add_span(spans, &rules[i], i, range->first, range->last);
            continue;
        }
        const struct jit_set *set = key_set(plan, &rules[i], field);
        for (unsigned k = 0; k < set->count; k++) {
            add_span(spans, &rules[i], i, set->first[k], set->last[k]);
            if (k % RANGES_A_PAUSE == 0)
                pause_take(plan->pause);
        }
    }
}

/* ---- Longer keys ----------------------------------------------------------------------------- */

static enum error rank_rules(const struct jit_plan *plan, const struct jit_rule *rules,
                             unsigned count, unsigned field, unsigned range_count,
                             struct key_ranks *ranks)
{
    struct key_ranges ranges;
    enum error error = key_ranges_create(&ranges, key_words(plan, field), range_count);

    if (error != OK)
        return error;
    for (unsigned i = 0; i < count; i++) {
        if (key_ask(plan, &rules[i], field) == ASK_SET)
            key_ranges_add_set(&ranges, key_set(plan, &rules[i], field), plan->pause);
        else
            key_ranges_add_rule(&ranges, &rules[i].fields[field]);
        if (i % RULES_A_PAUSE == 0)
            pause_take(plan->pause);
    }
    error = key_ranks_make(&ranges, plan->pause, ranks);
    key_ranges_free(&ranges);
    return error;
}

static void spans_of_ranks(const struct jit_plan *plan, const struct jit_rule *rules,
                           unsigned count, unsigned field, const struct key_ranks *ranks,
                           struct spans *spans)
{
    const struct jit_range *range = ranks->ranks;

    for (unsigned i = 0; i < count; i++) {
        const struct jit_range *end = range + ranges_of(plan, &rules[i], field);
        for (; range < end; range++) {
            add_span(spans, &rules[i], i, range->first, range->last);
            if (spans->count % RANGES_A_PAUSE == 0)
                pause_take(plan->pause);
        }
    }
}

/* ---- Either ---------------------------------------------------------------------------------- */

/* Ranks to values, which are put in place of those of the ranks that intervals end with. */
static void name_last_values(const struct intervals *intervals, const struct pause *pause,
                             struct key_ranks *ranks, struct key_intervals *made)
{
    const size_t words = ranks->words;

    for (size_t i = 0; i < intervals->count; i++) {
        const size_t rank = MIN_OF(intervals->last[i], ranks->count - 1);
        memmove(&ranks->last[i * words], &ranks->last[rank * words], words * sizeof(uint32_t));
        if (i % RANGES_A_PAUSE == 0)
            pause_take(pause);
    }
    *made = (struct key_intervals){ .words = ranks->words,
                                    .count = intervals->count,
                                    .last = ranks->last,
                                    .answers = intervals->answers };
}

static enum error search_intervals(const struct jit_plan *plan, const struct spans *spans,
                                   unsigned field, struct key_ranks *ranks, uint64_t *seen,
                                   unsigned *parts, struct key_search *search)
{
    struct intervals intervals;
    struct key_intervals named;
    enum error error = intervals_make(spans->all, spans->count, plan->pause, seen, &intervals);

    if (error != OK)
        return error;
    *parts = intervals.count;
    if (ranks->words > 1)
        name_last_values(&intervals, plan->pause, ranks, &named);
    else
        named = (struct key_intervals){ .words = 1,
                                        .count = intervals.count,
                                        .last = intervals.last,
                                        .answers = intervals.answers };
    error = key_search_make(&named, plan->vectors, field, plan->pause, search);
    intervals_free(&intervals);
    return error;
}

enum error first_match_search(const struct jit_plan *plan, const struct jit_rule *rules,
                              unsigned count, unsigned field, uint64_t *seen, unsigned *parts,
                              struct key_search *search)
{
    const unsigned words = key_words(plan, field);
    struct key_ranks ranks = { .words = words };
    struct spans spans = { .count = 0 };
    unsigned range_count;
    enum error error = count_ranges(plan, rules, count, field, &range_count);

    if (error == OK && words > 1)
        error = rank_rules(plan, rules, count, field, range_count, &ranks);
    if (error != OK)
        return error;
    spans.all =
        memory_alloc_uncleared(((size_t)range_count + 1) * sizeof(*spans.all), 0, MEMORY_CODE);
    if (spans.all == NULL) {
        error = fail(ERROR_NO_MEMORY);
        goto out;
    }
    if (words == 1)
        spans_of_words(plan, rules, count, field, &spans);
    else
        spans_of_ranks(plan, rules, count, field, &ranks, &spans);
    error = search_intervals(plan, &spans, field, &ranks, seen, parts, search);
out:
    memory_free(spans.all);
    key_ranks_free(&ranks);
    return error;
}
