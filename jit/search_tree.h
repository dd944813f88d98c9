/* Which of many intervals does a value lie in? A tree whose nodes are vectors.
 *
 * The bounds are the last values of all intervals but the last one, ascending. A node holds as many
 * as a vector has lanes, W; how many of them are below the value says which of its W + 1 children
 * comes next, and after the last level the number of the interval. For W = 2:
 *
 *                       b2 b5                       nodes of a level lie one behind the other:
 *                     /   |   \                     child c of node n is node n (W + 1) + c
 *                b0 b1  b3 b4  b6 --
 *
 * A level has no more nodes than there are intervals for; what is missing in the last one is filled
 * with the highest value, which no value is above, so that no search leaves the tree. The answers
 * lie behind the levels.
 *
 * The code goes through the batch once for each level, so that the loads of many packets are under
 * way together; what a packet has come to waits in its answer. */
#pragma once

#include "jit/emit.h"
#include "jit/intervals.h"

enum { SEARCH_LEVEL_MAX = 10 }; /* 5 ^ 10 is beyond twice JIT_RULE_MAX */

struct search_tree {
    enum jit_vectors vectors;
    unsigned interval_count;
    unsigned level_count;                   /* at least 1 */
    uint32_t level_words[SEARCH_LEVEL_MAX]; /* where each level starts, the root first */
    uint32_t answer_words;                  /* where the answers start */
    uint32_t end_words;                     /* where they end */
};

/* How the tree of so many intervals lies in a table, from its word `at` on. */
struct search_tree search_tree_plan(enum jit_vectors vectors, unsigned interval_count, uint32_t at);

/* Writes that part of the table. */
void search_tree_fill(const struct search_tree *tree, const struct intervals *intervals,
                      const struct pause *pause, uint32_t *table);

/* The passes that put a field's answers at FILTER_ANSWERS; see filter_code.h. */
void search_tree_emit(const struct search_tree *tree, unsigned field, struct emit *emit);

/* The bound of interval i, its last value, as that part of the table has it. */
uint32_t search_tree_last(const struct search_tree *tree, const uint32_t *table, uint32_t i);
