/* What the code for many rules over several fields reads (rows_code.h): trees that lead to groups
 * of rules (division.h), and for each group what leads to its rows (bit_rows.h) and its answers.
 *
 *   first stage's tree      -> places of the roots of the second stage, or bytes of records
 *   second stage's trees    -> bytes of records
 *   record of a group       its fields' entries, and where its answers are, in words
 *   entry of a field        of numbers: the place of the root of a tree to bytes of rows
 *                           of bits: the byte of a table from classes to bytes of rows
 *
 * Where all rules are one group there is no record: the code knows what would be in it. */
#pragma once

#include "jit/division.h"
#include "jit/table.h"

/* What is so of the values of a field of bits for all portions of a filter: the table's words from
 * `index` on lead from numbers to four times classes. */
struct rows_bits {
    struct bit_classes classes;
    uint32_t index;
};

struct rows_field {
    unsigned field;
    unsigned level_count; /* of numbers */
    uint32_t mask;        /* of bits, or 0: row number (x & mask) >> shift */
    unsigned shift;
    uint32_t start; /* of bits: its index; of numbers, in a portion that is not divided: its root */
    uint32_t count; /* of what is there */
};

/* Rules that are divided together. */
struct rows_portion {
    unsigned row_words;
    unsigned group_count;
    unsigned stage_count;
    struct {
        unsigned field;
        unsigned level_count;
    } stages[DIVISION_STAGE_MAX];
    uint32_t root; /* of the first stage */
    unsigned field_count;
    struct rows_field fields[JIT_FIELD_MAX];
    /* Where it is not divided: what its rows are about. */
    unsigned rule_count;
    uint32_t rows; /* where the first one is that was not there before */
    uint32_t answers;
};

/* bits[] has an element for each field of the plan. The answers are those of the rules and
 * JIT_NONE; or, numbered, the numbers of the rules in the list, and list->count. ERROR_FULL,
 * ERROR_NO_MEMORY. */
enum error rows_portion_write(const struct jit_plan *plan, const struct rule_list *list,
                              const struct rows_bits *bits, const struct division *division,
                              bool numbered, struct table *table,
                              struct rows_portion *portion) MUST_CHECK;

/* Writes bits->index for classes that were made. */
enum error rows_bits_write(struct rows_bits *bits, struct table *table) MUST_CHECK;
