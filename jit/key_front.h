/* The code that runs before that of the rules and makes columns for it (key_columns.h), and what is
 * told of them to people. */
#pragma once

#include "jit/key_columns.h"

struct code;

struct key_front {
    /* A function of filter_code.h, with the first column at FILTER_ANSWERS, and its table. */
    struct code *code;
    uint32_t *table;
    unsigned code_bytes;
    size_t table_bytes;
    struct mark_list marks;
    /* What the columns are, for people. */
    unsigned count;
    struct {
        enum column_kind kind;
        unsigned field;         /* of the caller's, where the key begins */
        struct key_ranks ranks; /* of a rank, without those of ranges */
    } columns[JIT_FIELD_MAX];
    struct key_member *members[JIT_FIELD_MAX]; /* as key_columns has them */
};

/* What the columns are goes from *columns to *front, which is to be freed in any case.
 * ERROR_NO_MEMORY. */
enum error key_front_build(struct key_columns *columns, struct key_front *front) MUST_CHECK;
void key_front_free(struct key_front *front); /* one of zeros is allowed */

/* Makes the columns of `count` packets, at most BATCH_MAX and not 0. */
void key_front_run(const struct key_front *front, const uint32_t (*fields)[BATCH_MAX],
                   unsigned count, uint32_t columns[JIT_FIELD_MAX][BATCH_MAX]);
