/* Rules are made fewer as they come, so that the list never holds more than must be tried. */
#include "jit/rule_list.h"

static bool is_bits(const struct jit_plan *plan, unsigned field)
{
    return (plan->bits >> field & 1) != 0;
}

static bool range_equal(const struct jit_range *a, const struct jit_range *b)
{
    return a->first == b->first && a->last == b->last;
}

/* Of a field of bits: what the outer one asks for, the inner one asks for as well. */
static bool range_covers(const struct jit_plan *plan, unsigned field, const struct jit_range *outer,
                         const struct jit_range *inner)
{
    if (is_bits(plan, field))
        return (outer->last & ~inner->last) == 0 && (inner->first & outer->last) == outer->first;
    return outer->first <= inner->first && inner->last <= outer->last;
}

bool rule_covers(const struct jit_plan *plan, const struct jit_rule *outer,
                 const struct jit_rule *inner)
{
    for (unsigned field = 0; field < plan->field_count; field++) {
        if (!range_covers(plan, field, &outer->fields[field], &inner->fields[field]))
            return false;
    }
    return true;
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

    if (into->answer != rule->answer)
        return false;
    if (rule_covers(plan, rule, into)) {
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

void rule_list_init(struct rule_list *list, unsigned key_field)
{
    list->count = 0;
    list->key_field = key_field;
}

static struct jit_range key_of(const struct rule_list *list, const struct jit_plan *plan,
                               const struct jit_rule *rule)
{
    return is_bits(plan, list->key_field) ? JIT_ANY : rule->fields[list->key_field];
}

static bool is_covered(const struct rule_list *list, const struct jit_plan *plan,
                       const struct jit_rule *rule)
{
    const struct jit_range key = key_of(list, plan, rule);

    for (unsigned i = 0; i < list->count; i++) {
        if (list->keys[i].first <= key.first && key.last <= list->keys[i].last &&
            rule_covers(plan, &list->rules[i], rule))
            return true;
    }
    return false;
}

static void set_last_key(struct rule_list *list, const struct jit_plan *plan)
{
    list->keys[list->count - 1] = key_of(list, plan, &list->rules[list->count - 1]);
}

enum error rule_list_add(struct rule_list *list, const struct jit_plan *plan,
                         const struct jit_rule *rule, bool *shadowed)
{
    *shadowed = is_covered(list, plan, rule);
    if (*shadowed)
        return OK;
    if (list->count > 0 && rule_join(plan, &list->rules[list->count - 1], rule)) {
        /* What has grown may now meet the one before it. */
        while (list->count > 1 &&
               rule_join(plan, &list->rules[list->count - 2], &list->rules[list->count - 1]))
            list->count--;
        set_last_key(list, plan);
        return OK;
    }
    if (list->count == JIT_GENERAL_MAX)
        return fail(ERROR_FULL);
    list->rules[list->count++] = *rule;
    set_last_key(list, plan);
    return OK;
}
