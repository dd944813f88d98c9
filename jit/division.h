/* Many rules divided into groups, so that few of them are in question for a packet: by the values
 * of one field, gathered into intervals that so many rules at most have to do with,
 *
 *   rule 0   |----|                          group 0: rules 0 1 2
 *   rule 1     |-------|                     group 1: rules 2 3 4
 *   rule 2          |--------|
 *   rule 3                   |---|
 *   rule 4                      |-----|
 *            `-- group 0 --'`- group 1 -'
 *
 * and where that is not enough each group once more, all by the same other field. A rule that
 * reaches over several groups is in each of them. */
#pragma once

#include "jit/bit_rows.h"
#include "jit/rule_list.h"

enum { DIVISION_STAGE_MAX = 2 };

/* Groups, one behind the other. */
struct rule_groups {
    unsigned count;
    unsigned largest; /* so many rules */
    size_t total;     /* in all of them */
    uint32_t *ends;   /* where each ends in rules */
    uint32_t *rules;
};

static inline struct rule_group rule_group_at(const struct rule_groups *groups, unsigned number)
{
    const uint32_t first = number > 0 ? groups->ends[number - 1] : 0;

    return (struct rule_group){ groups->rules + first, groups->ends[number] - first };
}

struct division_stage {
    unsigned field;
    unsigned parent_count;
    uint32_t *child_ends; /* of each group that was divided: the number behind its last child */
    uint32_t *lasts;      /* of each child: the last value that leads to it */
};

struct division {
    unsigned stage_count; /* 0: all rules are one group */
    struct division_stage stages[DIVISION_STAGE_MAX];
    struct rule_groups groups;
};

/* Divides so that no group has more rules than group_max and all groups together no more than
 * total_max, which is at least what there are. ERROR_FULL, which is
 * no failure() yet: that cannot be done. ERROR_NO_MEMORY. */
enum error division_make(const struct jit_plan *plan, const struct rule_list *list,
                         const struct rule_group *all, unsigned group_max, size_t total_max,
                         struct pace *pace, struct division *division) MUST_CHECK;
void division_free(struct division *division); /* one of zeros is allowed */

/* For rules that cannot be divided, as too many of them reach over all groups: those that do not,
 * by the field that divides these best, come first in split[], the others behind them, each in
 * their old order. Answers how many come first, in *first: some, not all; 0: no field helps.
 * ERROR_NO_MEMORY. */
enum error division_split(const struct jit_plan *plan, const struct rule_list *list,
                          const struct rule_group *all, unsigned group_max, struct pace *pace,
                          uint32_t *split, unsigned *first) MUST_CHECK;
