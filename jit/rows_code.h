/* Many rules over several fields: a packet's row in each field (bit_rows.h), and the first bit that
 * all of them have.
 *
 *   rows    of the source        0 1 1 0 1 1 0 1
 *           of the destination   1 1 0 0 1 0 0 1
 *           of the port          0 0 1 0 1 1 1 1
 *   in common                    0 0 0 0 1 0 0 1     rule 4; the last bit is "none"
 *
 * Where the rules are divided (division.h), the code first finds the group of each packet; a record
 * of the group then says where its trees, rows and answers are (rows_table.h). So all packets take
 * the same steps, whatever their groups. It goes on field by field, to the rows of all packets: by
 * a tree of intervals, or from a table where the field is one of bits. Where they are waits on the
 * stack. Then it takes the packets one by one: a few vectors are what the rows have in common;
 * which of their words is not 0, which of its bits is set, which answer that is.
 *
 * Of several portions each finds the number of the first rule of its own, and the lowest one wins.
 */
#pragma once

#include "jit/emit.h"
#include "jit/rows_table.h"

enum { ROWS_RULE_MAX = 64 * 32 - 1 }; /* one bit for each word of a row fits into a register */

struct rows_code {
    enum jit_vectors vectors;
    unsigned portion_count; /* at least 1 */
    const struct rows_portion *portions;
    uint32_t answers; /* of several portions: where those of all rules are, by number */
};

/* The function, see filter_code.h. */
void rows_code_emit(const struct rows_code *code, struct emit *emit);
