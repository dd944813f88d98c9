/* Rule by rule, word by word: what filter.h says, said in C. */
#include "net/filter.h"
#include "net/filter_set.h"

static bool flags_fit(const struct filter_rule *rule, uint32_t flags)
{
    uint32_t looked_at = (uint32_t)rule->flags_set | rule->flags_clear;

    return flags != FILTER_ABSENT && (flags & looked_at) == rule->flags_set;
}

static bool set_fits(const struct filter_set *set, const struct filter_keys *keys,
                     enum filter_word first_word, unsigned packet)
{
    uint32_t address[FILTER_ADDRESS_WORDS];

    if (!set)
        return true;
    for (unsigned i = 0; i < set->words; i++)
        address[i] = keys->words[first_word + i][packet];
    return filter_set_has(set, address);
}

static bool rule_fits(const struct filter_rule *rule, unsigned words,
                      const struct filter_keys *keys, unsigned packet)
{
    for (words &= rule->constrained; words != 0; words &= words - 1) {
        unsigned word = (unsigned)__builtin_ctz(words);
        uint32_t value = keys->words[word][packet];
        if (word == FILTER_FLAGS
                ? !flags_fit(rule, value)
                : value < rule->ranges[word].first || value > rule->ranges[word].last)
            return false;
    }
    return set_fits(rule->source_set, keys, FILTER_SOURCE, packet) &&
           set_fits(rule->destination_set, keys, FILTER_DESTINATION, packet);
}

void filter_interpret(const struct filter *filter, enum filter_moment moment,
                      const struct filter_keys *keys, unsigned count, uint32_t *rules)
{
    const unsigned words = filter->asked[moment];

    for (unsigned i = 0; i < count; i++) {
        uint32_t rule = 0;
        while (rule + 1 < filter->rule_count && !rule_fits(&filter->rules[rule], words, keys, i))
            rule++;
        rules[i] = rule;
    }
}
