/* A sweep over the values of the field in which the fewest ranges overlap. What covers a rule holds
 * the first of its values there, so it is open when the rule comes up; most of what is open besides
 * is told apart by the next best field. */
#include "jit/shadow.h"

#include "jit/intervals.h"
#include "kernel/platform.h"

enum { NO_FIELD = JIT_FIELD_MAX };

struct open_rule {
    uint32_t rule;
    uint32_t last; /* of its range in the key field */
    struct jit_range other;
};

struct keys {
    unsigned key, other; /* fields of numbers, or NO_FIELD */
};

/* ---- What covers what ------------------------------------------------------------------------ */

/* Of a field of bits: what the outer one asks for, the inner one asks for as well. */
static bool range_covers(const struct jit_plan *plan, unsigned field, const struct jit_range *outer,
                         const struct jit_range *inner)
{
    if ((plan->bits >> field & 1) != 0)
        return (outer->last & ~inner->last) == 0 && (inner->first & outer->last) == outer->first;
    return outer->first <= inner->first && inner->last <= outer->last;
}

bool shadow_covers(const struct jit_plan *plan, const struct jit_rule *outer,
                   const struct jit_rule *inner)
{
    for (unsigned field = 0; field < plan->field_count; field++) {
        if (!range_covers(plan, field, &outer->fields[field], &inner->fields[field]))
            return false;
    }
    return true;
}

/* ---- The fields to look at ------------------------------------------------------------------- */

static struct jit_range range_of(const struct jit_rule *rule, unsigned field)
{
    return field == NO_FIELD ? JIT_ANY : rule->fields[field];
}

/* How many ranges are open where one starts, all in all. */
static uint64_t overlap_of(const struct jit_rule *rules, unsigned count, unsigned field,
                           struct pace *pace, struct bound *room)
{
    struct bound *starts = room, *ends = room + 2 * (size_t)count;
    unsigned ended = 0;
    uint64_t overlap = 0;

    for (unsigned i = 0; i < count; i++) {
        starts[i] = (struct bound){ .value = rules[i].fields[field].first, .rule = i };
        ends[i] = (struct bound){ .value = rules[i].fields[field].last, .rule = i };
        pace_steps(pace, 1);
    }
    starts = bounds_sort(starts, starts + count, count, pace->pause);
    ends = bounds_sort(ends, ends + count, count, pace->pause);
    for (unsigned i = 0; i < count; i++) {
        while (ends[ended].value < starts[i].value)
            ended++;
        overlap += i - ended;
        pace_steps(pace, 1);
    }
    return overlap;
}

static struct keys choose_keys(const struct jit_plan *plan, const struct jit_rule *rules,
                               unsigned count, uint32_t used, struct pace *pace, struct bound *room)
{
    struct keys keys = { NO_FIELD, NO_FIELD };
    uint64_t best = UINT64_MAX, second = UINT64_MAX;

    for (uint32_t left = used & ~plan->bits; left != 0; left &= left - 1) {
        const unsigned field = (unsigned)__builtin_ctz(left);
        const uint64_t overlap = overlap_of(rules, count, field, pace, room);
        if (overlap < best) {
            keys = (struct keys){ field, keys.key };
            second = best;
            best = overlap;
        } else if (overlap < second) {
            keys.other = field;
            second = overlap;
        }
    }
    return keys;
}

/* ---- The sweep ------------------------------------------------------------------------------- */

struct sweep {
    const struct jit_plan *plan;
    const struct jit_rule *rules;
    struct keys keys;
    struct open_rule *open;
    unsigned count;
};

static struct open_rule open_of(const struct sweep *sweep, uint32_t rule)
{
    return (struct open_rule){ .rule = rule,
                               .last = range_of(&sweep->rules[rule], sweep->keys.key).last,
                               .other = range_of(&sweep->rules[rule], sweep->keys.other) };
}

static bool covers(const struct sweep *sweep, const struct open_rule *outer,
                   const struct open_rule *inner)
{
    return outer->rule < inner->rule && inner->last <= outer->last &&
           outer->other.first <= inner->other.first && inner->other.last <= outer->other.last &&
           shadow_covers(sweep->plan, &sweep->rules[outer->rule], &sweep->rules[inner->rule]);
}

/* Is the rule that starts at that value covered? What ended before is taken out on the way. */
static bool is_covered(struct sweep *sweep, const struct open_rule *rule, uint32_t value,
                       struct pace *pace)
{
    unsigned i = 0;

    while (i < MIN_OF(sweep->count, (unsigned)JIT_SHADOW_TRIES)) {
        pace_steps(pace, 1);
        if (sweep->open[i].last < value)
            sweep->open[i] = sweep->open[--sweep->count];
        else if (covers(sweep, &sweep->open[i++], rule))
            return true;
    }
    return false;
}

static void sweep_all(struct sweep *sweep, const struct bound *starts, unsigned count,
                      struct pace *pace, uint64_t *shadowed)
{
    for (unsigned i = 0; i < count; i++) {
        const uint32_t rule = starts[i].rule;
        const struct open_rule open = open_of(sweep, rule);
        pace_steps(pace, 1);
        if ((shadowed[rule / 64] >> (rule % 64) & 1) != 0)
            continue;
        if (is_covered(sweep, &open, starts[i].value, pace))
            shadowed[rule / 64] |= (uint64_t)1 << (rule % 64);
        else
            sweep->open[sweep->count++] = open;
    }
}

enum error shadow_find(const struct jit_plan *plan, const struct jit_rule *rules, unsigned count,
                       uint32_t used, struct pace *pace, uint64_t *shadowed)
{
    const size_t places = (size_t)count + 1;
    struct sweep sweep = { .plan = plan, .rules = rules };
    struct bound *bounds = memory_alloc_uncleared(4 * places * sizeof(*bounds), 0, MEMORY_CODE);
    enum error error = ERROR_NO_MEMORY;

    sweep.open = memory_alloc_uncleared(places * sizeof(*sweep.open), 0, MEMORY_CODE);
    if (bounds == NULL || sweep.open == NULL)
        goto out;
    sweep.keys = choose_keys(plan, rules, count, used, pace, bounds);
    for (unsigned i = 0; i < count; i++) {
        const uint32_t first = range_of(&rules[i], sweep.keys.key).first;
        bounds[i] = (struct bound){ .value = first, .rule = i };
        pace_steps(pace, 1);
    }
    sweep_all(&sweep, bounds_sort(bounds, bounds + places, count, pace->pause), count, pace,
              shadowed);
    error = OK;
out:
    memory_free(sweep.open);
    memory_free(bounds);
    return error == OK ? OK : fail(error);
}
