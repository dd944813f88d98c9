/* One sweep over the values of a field serves both: to count what groups it would make, and to make
 * them. */
#include "jit/division.h"

#include <string.h>

#include "kernel/platform.h"

enum {
    /* What is open where a group starts is in it anyway: it may have a fourth as much more, or each
     * value would become a group. The last stage does without, as nobody comes after it. */
    SLACK = 4,
    /* A rule is wide if more than this part of the different starts of all ranges lie in its own;
     * where there are few of them that says nothing. */
    WIDE = 8,
    STARTS_MIN = 2 * WIDE,
};

/* ---- The sweep ------------------------------------------------------------------------------- */

/* What it takes to divide groups, the largest of which has so many rules. */
struct cutter {
    const struct jit_plan *plan;
    const struct rule_list *list;
    struct pace *pace;
    unsigned group_max;
    size_t total_max;
    struct bound *bounds;
    struct bound *starts, *ends; /* of the group that is being divided, sorted; part of bounds */
    uint64_t *open;              /* by number in that group: those that hold the value */
    uint64_t *members;           /* and those that the new group has so far */
};

/* What dividing comes to. */
struct cut {
    unsigned group_count;
    unsigned largest;
    size_t total;
    uint64_t weight; /* the squares of the groups' sizes together: what their rows may take */
};

static enum error cutter_create(struct cutter *cutter, const struct jit_plan *plan,
                                const struct rule_list *list, unsigned count, struct pace *pace)
{
    const size_t words = count / 64 + 1;

    *cutter = (struct cutter){ .plan = plan, .list = list, .pace = pace };
    cutter->bounds =
        memory_alloc_uncleared(4 * ((size_t)count + 1) * sizeof(struct bound), 0, MEMORY_CODE);
    cutter->open = memory_alloc_uncleared(2 * words * sizeof(uint64_t), 0, MEMORY_CODE);
    if (cutter->bounds == NULL || cutter->open == NULL)
        return fail(ERROR_NO_MEMORY);
    cutter->members = cutter->open + words;
    return OK;
}

static void cutter_destroy(struct cutter *cutter)
{
    memory_free(cutter->bounds);
    memory_free(cutter->open);
}

static void sort_bounds(struct cutter *cutter, const struct rule_group *group, unsigned field)
{
    const unsigned count = group->count;
    struct bound *starts = cutter->bounds, *ends = starts + 2 * count;

    for (unsigned i = 0; i < count; i++) {
        const struct jit_range *range = &cutter->list->rules[group->rules[i]].fields[field];
        starts[i] = (struct bound){ .value = range->first, .rule = i };
        ends[i] = (struct bound){ .value = range->last, .rule = i };
        pace_steps(cutter->pace, 1);
    }
    cutter->starts = bounds_sort(starts, starts + count, count, cutter->pace->pause);
    cutter->ends = bounds_sort(ends, ends + count, count, cutter->pace->pause);
}

static void set_bit(uint64_t *bits, unsigned bit)
{
    bits[bit / 64] |= (uint64_t)1 << (bit % 64);
}

/* Writes the members of a new group behind those of the ones before; what is open goes on in the
 * next. */
static void write_group(struct cutter *cutter, const struct rule_group *from, uint32_t last,
                        struct rule_groups *into, struct division_stage *stage)
{
    for (unsigned word = 0; word <= from->count / 64; word++) {
        for (uint64_t bits = cutter->members[word]; bits != 0; bits &= bits - 1)
            into->rules[into->total++] = from->rules[64 * word + (unsigned)__builtin_ctzll(bits)];
        cutter->members[word] = cutter->open[word];
    }
    pace_steps(cutter->pace, from->count / 512);
    stage->lasts[into->count] = last;
    into->ends[into->count++] = (uint32_t)into->total;
}

static void count_group(struct cut *cut, unsigned size)
{
    cut->group_count++;
    cut->largest = MAX_OF(cut->largest, size);
    cut->total += size;
    cut->weight += (uint64_t)size * size;
}

/* Divides one group whose bounds are sorted; into and stage may be NULL. */
static void cut_group(struct cutter *cutter, const struct rule_group *group, unsigned slack,
                      struct cut *cut, struct rule_groups *into, struct division_stage *stage)
{
    const struct bound *starts = cutter->starts, *ends = cutter->ends;
    unsigned started = 0, ended = 0, size = 0, size_max = 0;
    uint32_t value = 0, last;

    if (into != NULL)
        memset(cutter->open, 0, 2 * (group->count / 64 + 1) * sizeof(uint64_t));
    do {
        const unsigned before = started;
        while (started < group->count && starts[started].value == value)
            started++;
        if (value == 0 || size + started - before > size_max) {
            if (value > 0) {
                count_group(cut, size);
                if (into != NULL)
                    write_group(cutter, group, value - 1, into, stage);
            }
            const unsigned open = started - ended;
            size = before - ended;
            size_max = MAX_OF(cutter->group_max, slack > 0 ? open + open / slack : open);
        }
        size += started - before;
        for (unsigned i = before; i < started && into != NULL; i++) {
            set_bit(cutter->open, starts[i].rule);
            set_bit(cutter->members, starts[i].rule);
        }
        last = started < group->count ? starts[started].value - 1 : UINT32_MAX;
        if (ended < group->count)
            last = MIN_OF(last, ends[ended].value);
        for (; ended < group->count && ends[ended].value == last; ended++) {
            if (into != NULL)
                cutter->open[ends[ended].rule / 64] &= ~((uint64_t)1 << (ends[ended].rule % 64));
        }
        value = last + 1;
        pace_steps(cutter->pace, 1);
    } while (last != UINT32_MAX);
    count_group(cut, size);
    if (into != NULL)
        write_group(cutter, group, last, into, stage);
}

/* ---- Stages ---------------------------------------------------------------------------------- */

static struct cut cut_all(struct cutter *cutter, const struct rule_groups *groups, unsigned field,
                          unsigned slack)
{
    struct cut cut = { .group_count = 0 };

    for (unsigned i = 0; i < groups->count && cut.total <= cutter->total_max; i++) {
        const struct rule_group group = rule_group_at(groups, i);
        sort_bounds(cutter, &group, field);
        cut_group(cutter, &group, slack, &cut, NULL, NULL);
    }
    return cut;
}

/* The field of numbers by which groups become lightest. False: there is none that does not copy too
 * much. */
static bool best_field(struct cutter *cutter, const struct rule_groups *groups, unsigned slack,
                       unsigned *best, struct cut *best_cut)
{
    bool found = false;

    for (uint32_t left = cutter->list->used & ~cutter->plan->bits; left != 0; left &= left - 1) {
        const unsigned field = (unsigned)__builtin_ctz(left);
        const struct cut cut = cut_all(cutter, groups, field, slack);
        if (cut.total > cutter->total_max || (found && cut.weight >= best_cut->weight))
            continue;
        found = true;
        *best = field;
        *best_cut = cut;
    }
    return found;
}

static enum error make_all(struct cutter *cutter, const struct rule_groups *groups, unsigned slack,
                           const struct cut *expected, struct rule_groups *into,
                           struct division_stage *stage)
{
    struct cut cut = { .group_count = 0 };

    stage->parent_count = groups->count;
    stage->child_ends = memory_alloc_uncleared(groups->count * sizeof(uint32_t), 0, MEMORY_CODE);
    stage->lasts = memory_alloc_uncleared(expected->group_count * sizeof(uint32_t), 0, MEMORY_CODE);
    into->ends = memory_alloc_uncleared(expected->group_count * sizeof(uint32_t), 0, MEMORY_CODE);
    into->rules = memory_alloc_uncleared(expected->total * sizeof(uint32_t), 0, MEMORY_CODE);
    if (stage->child_ends == NULL || stage->lasts == NULL || into->ends == NULL ||
        into->rules == NULL)
        return fail(ERROR_NO_MEMORY);
    for (unsigned i = 0; i < groups->count; i++) {
        const struct rule_group group = rule_group_at(groups, i);
        sort_bounds(cutter, &group, stage->field);
        cut_group(cutter, &group, slack, &cut, into, stage);
        stage->child_ends[i] = into->count;
    }
    into->largest = cut.largest;
    CHECK(into->count == expected->group_count && into->total == expected->total);
    return OK;
}

static void free_groups(struct rule_groups *groups)
{
    memory_free(groups->ends);
    memory_free(groups->rules);
    *groups = (struct rule_groups){ .count = 0 };
}

/* One stage more. */
static enum error add_stage(struct cutter *cutter, struct division *division)
{
    struct division_stage *stage = &division->stages[division->stage_count++];
    const unsigned slack = division->stage_count < DIVISION_STAGE_MAX ? SLACK : 0;
    struct rule_groups groups = { .count = 0 };
    struct cut cut = { .group_count = 0 };

    if (!best_field(cutter, &division->groups, slack, &stage->field, &cut))
        return ERROR_FULL;
    enum error error = make_all(cutter, &division->groups, slack, &cut, &groups, stage);
    free_groups(&division->groups);
    division->groups = groups;
    return error;
}

/* All rules as one group. */
static enum error start_division(const struct rule_group *all, struct division *division)
{
    struct rule_groups *groups = &division->groups;

    groups->ends = memory_alloc_uncleared(sizeof(uint32_t), 0, MEMORY_CODE);
    groups->rules = memory_alloc_uncleared((all->count + 1) * sizeof(uint32_t), 0, MEMORY_CODE);
    if (groups->ends == NULL || groups->rules == NULL)
        return fail(ERROR_NO_MEMORY);
    memcpy(groups->rules, all->rules, all->count * sizeof(uint32_t));
    groups->ends[0] = all->count;
    groups->total = groups->largest = all->count;
    groups->count = 1;
    return OK;
}

enum error division_make(const struct jit_plan *plan, const struct rule_list *list,
                         const struct rule_group *all, unsigned group_max, size_t total_max,
                         struct pace *pace, struct division *division)
{
    struct division made = { .stage_count = 0 };
    struct cutter cutter = { .plan = NULL };

    enum error error = start_division(all, &made);
    if (error == OK && all->count > group_max)
        error = cutter_create(&cutter, plan, list, all->count, pace);
    cutter.group_max = group_max;
    cutter.total_max = total_max;
    while (error == OK && made.groups.largest > group_max)
        error = made.stage_count < DIVISION_STAGE_MAX ? add_stage(&cutter, &made) : ERROR_FULL;
    cutter_destroy(&cutter);
    if (error == OK)
        *division = made;
    else
        division_free(&made);
    return error;
}

void division_free(struct division *division)
{
    for (unsigned i = 0; i < division->stage_count; i++) {
        memory_free(division->stages[i].child_ends);
        memory_free(division->stages[i].lasts);
    }
    free_groups(&division->groups);
}

/* ---- Portions -------------------------------------------------------------------------------- */

/* wide[] = a bit for each rule of the group whose bounds are sorted; answers how many are not. In
 * ranks[] is which of the different starts is a rule's. */
static unsigned mark_wide(const struct cutter *cutter, unsigned count, uint32_t *ranks,
                          uint64_t *wide)
{
    unsigned starts = 0, at = 0, narrow = 0, begun = 0;

    for (unsigned i = 0; i < count; i++) {
        starts += i == 0 || cutter->starts[i].value != cutter->starts[i - 1].value;
        ranks[cutter->starts[i].rule] = starts;
        pace_steps(cutter->pace, 1);
    }
    memset(wide, 0, (count / 64 + 1) * sizeof(*wide));
    for (unsigned i = 0; i < count; i++) {
        const struct bound *end = &cutter->ends[i];
        for (; at < count && cutter->starts[at].value <= end->value; at++)
            begun = ranks[cutter->starts[at].rule];
        if (begun - ranks[end->rule] > starts / WIDE || starts < STARTS_MIN)
            set_bit(wide, end->rule);
        else
            narrow++;
        pace_steps(cutter->pace, 1);
    }
    return narrow;
}

/* The rules of the group whose bit is `value`. */
static unsigned pick(const struct rule_group *group, const uint64_t *bits, bool value,
                     uint32_t *picked)
{
    unsigned count = 0;

    for (unsigned i = 0; i < group->count; i++) {
        if ((bits[i / 64] >> (i % 64) & 1) == value)
            picked[count++] = group->rules[i];
    }
    return count;
}

/* How well the rules that are not wide can be divided by the field: the share of all of them that a
 * group has, in 2^20 parts, so less is better. UINT64_MAX: they are too few, or all. */
static uint64_t share_of_narrow(struct cutter *cutter, const struct rule_group *all, unsigned field,
                                uint32_t *room, uint64_t *wide)
{
    struct cut cut = { .group_count = 0 };

    sort_bounds(cutter, all, field);
    const unsigned count = mark_wide(cutter, all->count, room, wide);
    if (count < all->count / WIDE || count == 0 || count == all->count)
        return UINT64_MAX;
    const struct rule_group narrow = { room, pick(all, wide, false, room) };
    sort_bounds(cutter, &narrow, field);
    cut_group(cutter, &narrow, SLACK, &cut, NULL, NULL);
    return cut.weight / count * ((uint64_t)1 << 20) / count;
}

enum error division_split(const struct jit_plan *plan, const struct rule_list *list,
                          const struct rule_group *all, unsigned group_max, struct pace *pace,
                          uint32_t *split, unsigned *first)
{
    const size_t words = all->count / 64 + 1;
    uint64_t *wide = memory_alloc_uncleared(words * sizeof(*wide), 0, MEMORY_CODE);
    uint64_t *best = memory_alloc(words * sizeof(*best), 0, MEMORY_CODE);
    uint64_t best_share = UINT64_MAX;
    struct cutter cutter;
    enum error error = cutter_create(&cutter, plan, list, all->count, pace);

    if (error == OK && (wide == NULL || best == NULL))
        error = fail(ERROR_NO_MEMORY);
    if (error != OK)
        goto out;
    cutter.group_max = group_max;
    for (uint32_t left = list->used & ~plan->bits; left != 0; left &= left - 1) {
        const unsigned field = (unsigned)__builtin_ctz(left);
        const uint64_t share = share_of_narrow(&cutter, all, field, split, wide);
        if (share < best_share) {
            best_share = share;
            memcpy(best, wide, words * sizeof(*best));
        }
    }
    *first = best_share < UINT64_MAX ? pick(all, best, false, split) : 0;
    pick(all, best, true, split + *first);
out:
    memory_free(best);
    memory_free(wide);
    cutter_destroy(&cutter);
    return error;
}
