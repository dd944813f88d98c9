/* Boxes in boxes. A rule is never reached at either moment if it is not when packets leave: then a
 * rule that names the way out is as wide as it says, when they arrive it is wider. */
#include "net/filter_shadow.h"

#include "jit/jit.h"
#include "kernel/base/pause.h"
#include "kernel/base/text.h"
#include "net/filter_set.h"

enum { COMPARISONS_PER_PAUSE = 1 << 14 };

/* ---- Boxes ---------------------------------------------------------------------------------- */

static bool range_covers(const struct filter_range *outer, const struct filter_range *inner)
{
    return outer->first <= inner->first && inner->last <= outer->last;
}

/* a is an address not behind b. */
static bool is_ordered(const uint32_t *a, const uint32_t *b, unsigned words)
{
    for (unsigned word = 0; word < words; word++)
        if (a[word] != b[word])
            return a[word] < b[word];
    return true;
}

/* The addresses from the first to the last of a prefix, or of all there are. */
struct span {
    uint32_t first[FILTER_ADDRESS_WORDS], last[FILTER_ADDRESS_WORDS];
};

static struct span span_of(const struct filter_range *ranges)
{
    struct span span;

    for (unsigned word = 0; word < FILTER_ADDRESS_WORDS; word++) {
        span.first[word] = ranges[word].first;
        span.last[word] = ranges[word].last;
    }
    return span;
}

/* They lie in one range of the set, as its ranges do not touch. */
static bool set_covers(const struct filter_set *set, const struct span *span)
{
    unsigned low = 0, high = set->count; /* the first range that begins behind their first */

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (is_ordered(set->first + (size_t)middle * set->words, span->first, set->words))
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 &&
           is_ordered(span->last, set->last + (size_t)(low - 1) * set->words, set->words);
}

static bool covers_set(const struct span *span, const struct filter_set *set)
{
    return set->count > 0 && is_ordered(span->first, set->first, set->words) &&
           is_ordered(set->last + (size_t)(set->count - 1) * set->words, span->last, set->words);
}

/* One end of packets, by a set or by the ranges of its address. */
struct end {
    const struct filter_set *set;
    const struct filter_range *ranges;
};

static bool end_covers(struct end outer, struct end inner)
{
    const struct span outer_span = span_of(outer.ranges), inner_span = span_of(inner.ranges);

    if (outer.set && inner.set)
        return outer.set == inner.set && inner.set->count > 0;
    if (outer.set)
        return set_covers(outer.set, &inner_span);
    if (inner.set)
        return covers_set(&outer_span, inner.set);
    for (unsigned word = 0; word < FILTER_ADDRESS_WORDS; word++)
        if (!range_covers(&outer.ranges[word], &inner.ranges[word]))
            return false;
    return true;
}

static bool rule_covers(const struct filter_rule *outer, const struct filter_rule *inner)
{
    const unsigned addresses = (1u << FILTER_PROTOCOL) - 1; /* which sets may narrow, too */

    if ((outer->constrained & ~inner->constrained & ~addresses) != 0)
        return false;
    for (unsigned word = FILTER_PROTOCOL; word < FILTER_WORD_COUNT; word++)
        if (word != FILTER_FLAGS && !range_covers(&outer->ranges[word], &inner->ranges[word]))
            return false;
    return (outer->flags_set & ~inner->flags_set) == 0 &&
           (outer->flags_clear & ~inner->flags_clear) == 0 &&
           end_covers((struct end){ outer->source_set, &outer->ranges[FILTER_SOURCE] },
                      (struct end){ inner->source_set, &inner->ranges[FILTER_SOURCE] }) &&
           end_covers((struct end){ outer->destination_set, &outer->ranges[FILTER_DESTINATION] },
                      (struct end){ inner->destination_set, &inner->ranges[FILTER_DESTINATION] });
}

/* ---- Finding --------------------------------------------------------------------------------- */

/* The rule of that number; NULL: there is none. Rules are in the order of numbers, those of nobody
 * at the end; *at goes on in them. */
static const struct filter_rule *rule_numbered(const struct filter *filter, unsigned *at,
                                               uint16_t number)
{
    if (!filter)
        return NULL;
    while (*at < filter->rule_count && filter->rules[*at].number != 0 &&
           filter->rules[*at].number < number)
        ++*at;
    return *at < filter->rule_count && filter->rules[*at].number == number ? &filter->rules[*at]
                                                                           : NULL;
}

/* So that a commit of one rule among thousands need not compare all with all: a rule that was not
 * covered is so now only by what is new. */
struct search {
    struct filter *filter;
    const struct filter *old; /* NULL: all is new */
    const struct pause *pause;
    unsigned old_at, compared, fresh_count;
    uint16_t fresh[FILTER_SHADOW_RULES]; /* indexes of those that are new among the first */
};

/* The rule as it was before; NULL: it is new, or what its sets contain may be. */
static const struct filter_rule *rule_before(struct search *search, const struct filter_rule *rule)
{
    if (rule->source_set || rule->destination_set)
        return NULL;
    const struct filter_rule *before = rule_numbered(search->old, &search->old_at, rule->number);
    return before && filter_outcome_of(search->old, before)->hits ==
                         filter_outcome_of(search->filter, rule)->hits
               ? before
               : NULL;
}

static bool take_cover(struct search *search, struct filter_rule *rule,
                       const struct filter_rule *other)
{
    if (++search->compared % COMPARISONS_PER_PAUSE == 0)
        pause_take(search->pause);
    if (!rule_covers(other, rule))
        return false;
    rule->is_shadowed = true;
    rule->shadowed_by = other->number;
    return true;
}

static void find_cover(struct search *search, unsigned index)
{
    struct filter_rule *rules = search->filter->rules, *rule = &rules[index];
    const struct filter_rule *before = rule_before(search, rule);
    const bool was_open = before && before->shadowed_by == 0;
    const unsigned count = was_open ? search->fresh_count : MIN_OF(index, FILTER_SHADOW_RULES + 0u);
    bool covered = false;

    for (unsigned i = 0; i < count && !covered; i++)
        covered = take_cover(search, rule, &rules[was_open ? search->fresh[i] : i]);
    if (index < FILTER_SHADOW_RULES &&
        (!before || before - search->old->rules >= FILTER_SHADOW_RULES))
        search->fresh[search->fresh_count++] = (uint16_t)index;
}

void filter_find_shadowed(struct filter *filter, const struct filter *old,
                          const struct pause *pause)
{
    struct search search = { .filter = filter, .old = old, .pause = pause };

    for (unsigned i = 0; i < filter->rule_count && filter->rules[i].number != 0; i++)
        find_cover(&search, i);
}

static bool is_empty(const struct filter_set *set)
{
    return set && set->count == 0;
}

void filter_learn_shadowed(struct filter *filter, enum filter_moment moment,
                           const struct jit_filter *compiled)
{
    if (moment != (filter->names_out ? FILTER_LEAVING : FILTER_ARRIVING))
        return;
    for (unsigned i = 0; i < filter->rule_count && filter->rules[i].number != 0; i++) {
        struct filter_rule *rule = &filter->rules[i];
        if (jit_filter_is_shadowed(compiled, i) && !is_empty(rule->source_set) &&
            !is_empty(rule->destination_set))
            rule->is_shadowed = true;
    }
}

/* ---- Telling --------------------------------------------------------------------------------- */

static void tell(const struct filter *filter, const struct filter_rule *rule, struct text *out)
{
    text_print(out, "%srule %u is never reached: ", filter->family == FAMILY_IPV6 ? "ipv6 " : "",
               rule->number);
    if (rule->shadowed_by != 0)
        text_print(out, "rule %u has all of its packets", rule->shadowed_by);
    else
        text_print(out, "earlier rules have all of its packets");
}

void filter_tell_shadowed(const struct filter *filter, const struct filter *old, struct text *out)
{
    unsigned count = 0, at = 0;

    for (unsigned i = 0; filter && i < filter->rule_count; i++) {
        const struct filter_rule *rule = &filter->rules[i];
        if (!rule->is_shadowed)
            continue;
        const struct filter_rule *before = rule_numbered(old, &at, rule->number);
        if (before && before->is_shadowed)
            continue;
        if (count++ > 0)
            continue;
        if (out->length > 0)
            text_print(out, "; ");
        tell(filter, rule, out);
    }
    if (count > 1)
        text_print(out, "; nor %s %u more", count == 2 ? "is" : "are", count - 1);
}
