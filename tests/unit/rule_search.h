/* What filters mean (jit/jit.h), by a search from the first rule on: what compiled ones are
 * compared with. */
#pragma once

#include "jit/jit.h"

static inline bool rule_has_bit(uint32_t bits, unsigned field)
{
    return (bits >> field & 1) != 0;
}

/* How many words the key has that begins at this field. */
static inline unsigned rule_key_words(const struct jit_plan *plan, unsigned field)
{
    unsigned words = 1;

    while (field + words < plan->field_count && rule_has_bit(plan->joined, field + words))
        words++;
    return words;
}

static inline bool words_are_below(const uint32_t *a, const uint32_t *b, unsigned words)
{
    while (words > 1 && *a == *b) {
        a++;
        b++;
        words--;
    }
    return *a < *b;
}

static inline bool words_lie_in(const uint32_t *value, const uint32_t *first, const uint32_t *last,
                                unsigned words)
{
    return !words_are_below(value, first, words) && !words_are_below(last, value, words);
}

static inline bool rule_key_matches(const struct jit_plan *plan, const struct jit_rule *rule,
                                    unsigned field, const uint32_t (*fields)[BATCH_MAX],
                                    unsigned packet)
{
    const unsigned words = rule_key_words(plan, field);
    uint32_t value[JIT_KEY_WORDS_MAX], first[JIT_KEY_WORDS_MAX], last[JIT_KEY_WORDS_MAX];

    for (unsigned i = 0; i < words; i++) {
        value[i] = fields[field + i][packet];
        first[i] = rule->fields[field + i].first;
        last[i] = rule->fields[field + i].last;
    }
    if (rule_has_bit(plan->bits, field))
        return (value[0] & last[0]) == first[0];
    if (!rule_has_bit(rule->in_set, field))
        return words_lie_in(value, first, last, words);
    const struct jit_set *set = &plan->sets[first[0]];
    for (unsigned i = 0; i < set->count * words; i += words)
        if (words_lie_in(value, &set->first[i], &set->last[i], words))
            return true;
    return false;
}

/* The number of the first rule that the packet matches, or count. */
static inline unsigned rule_search(const struct jit_plan *plan, const struct jit_rule *rules,
                                   unsigned count, const uint32_t (*fields)[BATCH_MAX],
                                   unsigned packet)
{
    for (unsigned rule = 0; rule < count; rule++) {
        bool matches = true;
        for (unsigned field = 0; field < plan->field_count && matches;
             field += rule_key_words(plan, field))
            matches = rule_key_matches(plan, &rules[rule], field, fields, packet);
        if (matches)
            return rule;
    }
    return count;
}
