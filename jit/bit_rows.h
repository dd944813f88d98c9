/* Which rules are still in question once the value of one field is known: a row of bits, one for
 * each rule, that is set where the rule is content with the value. Few rows differ: a field has one
 * for each of the intervals between the bounds of its ranges, and many of these are equal. What
 * matches a packet is what its rows, one for each field, have in common.
 *
 * Behind the rules there is one more bit, set in all rows: it stands for "none of them". */
#pragma once

#include "jit/intervals.h"
#include "jit/rule_list.h"

enum {
    /* A bit of a field of bits is one of the number that chooses the row: so many between the
     * lowest and the highest that any rule looks at, and so many of these it may look at. */
    BIT_ROWS_SPAN_MAX = 16,
    BIT_ROWS_BITS_MAX = 10,
};

/* All rows, each once. */
struct bit_rows {
    unsigned words; /* of a row */
    unsigned count;
    unsigned room;
    uint32_t *bits;  /* the rows, one behind the other */
    uint32_t *slots; /* a hash table: numbers of rows plus 1, or 0 */
    unsigned slot_count;
};

/* What chooses the row of one field. */
struct field_rows {
    unsigned field;
    /* Of a field of bits: those that any rule looks at; row (x & mask) >> shift. Otherwise 0. */
    uint32_t mask;
    unsigned shift;
    /* answers are numbers of rows. Of a field of bits without last[]. */
    struct intervals index;
};

/* For so many rows, so wide that all rules of the list and one more have a bit, in whole vectors.
 */
enum error bit_rows_create(struct bit_rows *rows, enum jit_vectors vectors,
                           const struct rule_list *list, unsigned room) MUST_CHECK;
void bit_rows_destroy(struct bit_rows *rows); /* one of zeros is allowed */

/* How many rows the field has at most. 0: the bits that the list looks at are too many, or too far
 * from each other. */
unsigned field_rows_max(const struct jit_plan *plan, const struct rule_list *list, unsigned field);

/* Adds the rows of one field, of which some rule asks something. ERROR_NO_MEMORY: *made is as it
 * was. */
enum error field_rows_make(const struct jit_plan *plan, const struct rule_list *list,
                           unsigned field, struct bit_rows *rows,
                           struct field_rows *made) MUST_CHECK;
void field_rows_free(struct field_rows *made); /* one of zeros is allowed */
