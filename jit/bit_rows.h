/* Which rules of a group are still in question once the value of one field is known: a row of bits,
 * one for each rule, that is set where the rule is content with the value. Few rows differ: a field
 * has one for each of the intervals between the bounds of its ranges, and many of these are equal.
 * What matches a packet is what its rows, one for each field, have in common.
 *
 * Behind the rules there is one more bit, set in all rows: it stands for "none of them". */
#pragma once

#include "jit/bit_classes.h"
#include "jit/intervals.h"
#include "jit/rule_list.h"
#include "jit/table.h"

/* Rules of a list by their numbers there, ascending. */
struct rule_group {
    const uint32_t *rules;
    unsigned count;
};

/* All rows of groups, each once, and what it takes to make more of them. Rows are named by the byte
 * of the table at which they start. */
struct bit_rows {
    struct table *table;
    struct pace *pace;
    unsigned lanes; /* of a vector */
    unsigned words; /* of a row */
    unsigned count;
    struct bit_rows_slot *slots; /* a hash table */
    unsigned slot_count;
    uint32_t hash; /* of row */
    uint32_t *row; /* that is being made */
    struct bound *bounds;
    struct intervals found;
};

/* For groups of at most so many rules, of which each and one more has a bit, in whole vectors.
 * ERROR_NO_MEMORY. */
enum error bit_rows_create(struct bit_rows *rows, struct table *table, const struct jit_plan *plan,
                           unsigned rules_max) MUST_CHECK;
void bit_rows_destroy(struct bit_rows *rows); /* one of zeros is allowed */

/* Adds the rows of one field of numbers; rows->found are the intervals whose answers are rows.
 * ERROR_FULL and ERROR_NO_MEMORY are table_take()'s. */
enum error bit_rows_of_numbers(struct bit_rows *rows, const struct rule_list *list,
                               const struct rule_group *group, unsigned field) MUST_CHECK;

/* Likewise of a field of bits, the row of one class. */
enum error bit_rows_of_class(struct bit_rows *rows, const struct rule_list *list,
                             const struct rule_group *group, const struct bit_classes *classes,
                             unsigned number, uint32_t *row) MUST_CHECK;
