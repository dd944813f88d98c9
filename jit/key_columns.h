/* The step before rules over several keys: what a key of several words is, and which sets it is in,
 * becomes fields of one word, so that all that follows knows no others. For a batch they are
 * columns, and code of their own makes them:
 *
 *   a copy    of a key of one word, of which rules ask for ranges or bits
 *   a rank    of a key of several: rules' ranges become ranges of ranks (key_ranks.h)
 *   members   a field of bits: which sets a key is in
 *
 * Sets of which no two have a value in common are a group and numbered; a group takes as many bits
 * of a field of members as its numbers have, and 0 is "in none of them". So it takes one bit to
 * tell whether an address is on a blocklist, and nine to tell which of 500 customers has it, and
 * what is asked of a field is what a field of bits is asked anyway.
 *
 *   0 ... 0 0 1 101     in set 5 of the first group, and in the only one of the second
 */
#pragma once

#include "jit/key_ranks.h"
#include "jit/key_search.h"
#include "jit/keys.h"

enum column_kind { COLUMN_COPY, COLUMN_RANK, COLUMN_MEMBERS };

struct key_column {
    enum column_kind kind;
    unsigned field;           /* of the caller's plan: where the key begins */
    struct key_search search; /* but of a copy */
    struct jit_range *ranges; /* of a rank: for each rule its range */
    struct key_ranks ranks;   /* of a rank */
};

/* What a set asks of a field of members; a mask of 0: nothing is in it. */
struct key_member {
    unsigned column;
    struct jit_range bits;
};

struct key_columns {
    struct jit_plan plan; /* of what follows: field i is column i */
    struct key_column columns[JIT_FIELD_MAX];
    struct key_member *members[JIT_FIELD_MAX]; /* for each key of the caller's plan that is asked
                                                  for sets: of each set of the plan */
};

/* Do rules that look like this need columns? Else they are as they must be. */
bool key_columns_are_needed(const struct jit_plan *plan, const struct keys_look *look);

/* Columns for these rules. ERROR_NO_MEMORY, ERROR_FULL: see jit_filter_compile(); *columns is to
 * be freed in any case. */
enum error key_columns_make(const struct jit_plan *plan, const struct jit_rule *rules,
                            unsigned count, const struct keys_look *look,
                            struct key_columns *columns) MUST_CHECK;
void key_columns_free(struct key_columns *columns); /* one of zeros is allowed */

/* The same rules in terms of columns, to be freed; NULL: no memory. Of those that nothing can match
 * the bits are set in never[]. */
struct jit_rule *key_columns_rules(const struct key_columns *columns, const struct jit_plan *plan,
                                   const struct jit_rule *rules, unsigned count,
                                   uint64_t *never) MUST_CHECK;
