/* As search_tree.h, of pairs of words. A node is a line of the cache in all kinds of code, so it
 * holds eight bounds and has nine children (pair_node.h).
 *
 * Where the values come from and where the search leaves what it has come to is its caller's
 * affair: both are arrays for the batch. */
#pragma once

#include "jit/pair_node.h"

enum { PAIR_LEVEL_MAX = 8 }; /* 9 ^ 8 is beyond four times JIT_RANGE_MAX */

struct pair_intervals {
    unsigned count;    /* at least 1 */
    uint64_t *last;    /* of each; ascending, the last one is UINT64_MAX */
    uint32_t *answers; /* JIT_NONE where no range is */
};

struct pair_tree {
    enum jit_vectors vectors;
    unsigned interval_count;
    unsigned level_count;                 /* at least 1 */
    uint32_t level_words[PAIR_LEVEL_MAX]; /* where each level starts, the root first */
    uint32_t answer_words;
    uint32_t end_words;
};

/* How the tree of so many intervals lies in a table, behind its word `at`. */
struct pair_tree pair_tree_plan(enum jit_vectors vectors, unsigned interval_count, uint32_t at);

/* Writes that part of the table. */
void pair_tree_fill(const struct pair_tree *tree, const struct pair_intervals *intervals,
                    const struct pause *pause, uint32_t *table);

/* The bound of interval i, its last value, as that part of the table has it. */
uint64_t pair_tree_last(const struct pair_tree *tree, const uint32_t *table, uint32_t i);

/* One level, for packet FILTER_PACKET + ahead: `value` is as pair_node.h wants it, `state` of
 * 32 bits, left by the level before. In R8 is the next state, or behind the last level the answer.
 * RAX and vector registers 0 to 4 are used. */
void pair_tree_emit_level(const struct pair_tree *tree, unsigned level, struct memory_operand value,
                          struct memory_operand state, struct emit *emit);
