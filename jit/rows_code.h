/* Many rules over several fields: a packet's row in each field (bit_rows.h), and the first bit that
 * all of them have.
 *
 *   rows    of the source        0 1 1 0 1 1 0 1
 *           of the destination   1 1 0 0 1 0 0 1
 *           of the port          0 0 1 0 1 1 1 1
 *   in common                    0 0 0 0 1 0 0 1     rule 4; the last bit is "none"
 *
 * The code first finds, field by field, the rows of all packets: by a tree of intervals, or from a
 * table where the field is one of bits. Where they are waits on the stack. Then it takes the
 * packets one by one: a few vectors are what the rows have in common; which of their words is not
 * 0, which of its bits is set, which answer that is. */
#pragma once

#include "jit/bit_rows.h"
#include "jit/emit.h"
#include "jit/search_tree.h"

enum { ROWS_RULE_MAX = 64 * 32 - 1 }; /* one bit for each word of a row fits into a register */

/* How all of it lies in the table. */
struct rows_code {
    enum jit_vectors vectors;
    unsigned row_words;
    unsigned field_count;
    struct {
        unsigned field;
        uint32_t mask; /* see struct field_rows */
        unsigned shift;
        uint32_t index_words;    /* of bits: where the table is that leads to the rows */
        struct search_tree tree; /* of numbers */
    } fields[JIT_FIELD_MAX];
    uint32_t answer_words;
    uint32_t bits_words; /* where the rows start */
    uint32_t end_words;
};

/* At least one field. */
struct rows_code rows_code_plan(enum jit_vectors vectors, const struct rule_list *list,
                                const struct bit_rows *rows, const struct field_rows *fields,
                                unsigned field_count);

/* Writes the table. What leads to rows in fields[] is no number any more then, but where the row is
 * in the table, in bytes. */
void rows_code_fill(const struct rows_code *code, const struct rule_list *list,
                    const struct bit_rows *rows, struct field_rows *fields,
                    const struct pause *pause, uint32_t *table);

/* The function, see filter_code.h. */
void rows_code_emit(const struct rows_code *code, struct emit *emit);
