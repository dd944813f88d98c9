/* Each rule grows together with the one before it where it can. */
#include "jit/rule_list.h"

#include "jit/keys.h"
#include "jit/shadow.h"
#include "kernel/platform.h"

static bool is_bits(const struct jit_plan *plan, unsigned field)
{
    return (plan->bits >> field & 1) != 0;
}

static bool range_equal(const struct jit_range *a, const struct jit_range *b)
{
    return a->first == b->first && a->last == b->last;
}

/* They overlap or touch: no value lies between them. */
static bool ranges_meet(const struct jit_range *a, const struct jit_range *b)
{
    return (a->first <= b->last || a->first - b->last == 1) &&
           (b->first <= a->last || b->first - a->last == 1);
}

/* Makes one box of two, in *into, where that is possible: one covers the other, or they differ in
 * one field only and meet there. */
static bool rule_join(const struct jit_plan *plan, struct jit_rule *into,
                      const struct jit_rule *rule)
{
    unsigned differing = JIT_FIELD_MAX;

    if (into->answer != rule->answer || shadow_covers(plan, into, rule))
        return into->answer == rule->answer;
    if (shadow_covers(plan, rule, into)) {
        *into = *rule;
        return true;
    }
    for (unsigned field = 0; field < plan->field_count; field++) {
        if (range_equal(&into->fields[field], &rule->fields[field]))
            continue;
        if (differing != JIT_FIELD_MAX || is_bits(plan, field))
            return false;
        differing = field;
    }
    CHECK(differing != JIT_FIELD_MAX);

    struct jit_range *range = &into->fields[differing];
    const struct jit_range *other = &rule->fields[differing];
    if (!ranges_meet(range, other))
        return false;
    range->first = MIN_OF(range->first, other->first);
    range->last = MAX_OF(range->last, other->last);
    return true;
}

static void add_rule(const struct jit_plan *plan, const struct jit_rule *rule,
                     struct rule_list *list)
{
    if (list->count == 0 || !rule_join(plan, &list->rules[list->count - 1], rule)) {
        list->rules[list->count++] = *rule;
        return;
    }
    /* What has grown may now meet the one before it. */
    while (list->count > 1 &&
           rule_join(plan, &list->rules[list->count - 2], &list->rules[list->count - 1]))
        list->count--;
}

static void note_use(const struct jit_plan *plan, const struct jit_rule *rule,
                     struct rule_list *list)
{
    list->used |= rule_uses(plan, rule);
    for (uint32_t left = list->used & plan->bits; left != 0; left &= left - 1) {
        const unsigned field = (unsigned)__builtin_ctz(left);
        list->masks[field] |= rule->fields[field].last;
    }
}

enum error rule_list_make(const struct jit_plan *plan, const struct jit_rule *rules, unsigned count,
                          const uint64_t *shadowed, struct pace *pace, struct rule_list *list)
{
    struct rule_list made = { .count = 0 };

    made.rules = memory_alloc_uncleared(((size_t)count + 1) * sizeof(*made.rules), 0, MEMORY_CODE);
    if (made.rules == NULL)
        return fail(ERROR_NO_MEMORY);
    for (unsigned i = 0; i < count; i++) {
        if ((shadowed[i / 64] >> (i % 64) & 1) == 0)
            add_rule(plan, &rules[i], &made);
        pace_steps(pace, 1);
    }
    for (unsigned i = 0; i < made.count; i++) {
        note_use(plan, &made.rules[i], &made);
        pace_steps(pace, 1);
    }
    *list = made;
    return OK;
}

void rule_list_free(struct rule_list *list)
{
    memory_free(list->rules);
}
