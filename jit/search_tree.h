/* Which of many intervals does a value lie in? A tree whose nodes are vectors.
 *
 * The bounds are the last values of all intervals but the last one, ascending. A node holds a
 * vector full of them, and where its children are, which lie one behind the other; how many of the
 * bounds are below the value says which of them comes next. Behind the last level come the answers
 * in the same way. For vectors of 4 lanes:
 *
 *          [ b4 b9 -- -- * ]
 *                        |
 *          [ b0 b1 b2 b3 * ] [ b5 b6 b7 b8 * ] [ b10 -- -- -- * ]
 *                        |                 |                  |
 *          a0 a1 a2 a3 a4    a5 a6 a7 a8 a9    a10 a11
 *
 * What is missing is filled with the highest value, which no value is above, so that no search
 * leaves the tree. A tree may have more levels than it needs: then all that the same code searches
 * have as many. Where nodes are counts in units of 8 bytes, where answers are in words.
 *
 * The code goes through the batch once for every two levels, so that the loads of many packets are
 * under way together; what a packet has come to waits in its answer. */
#pragma once

#include "jit/emit.h"
#include "jit/intervals.h"

enum {
    SEARCH_LEVEL_MAX = 10, /* 5 ^ 10 is beyond twice JIT_RANGE_MAX */
    SEARCH_NODE_WORDS = CACHE_LINE_BYTES / sizeof(uint32_t), /* at most */
};

struct search_tree {
    enum jit_vectors vectors;
    unsigned interval_count;
    unsigned level_count;                   /* at least 1 */
    uint32_t level_words[SEARCH_LEVEL_MAX]; /* where each level starts, the root first */
    uint32_t answer_words;                  /* where the answers start */
    uint32_t end_words;                     /* where they end */
};

/* How the tree of so many intervals lies in a table, from its word `at` on, where a cache line
 * starts. */
struct search_tree search_tree_plan(enum jit_vectors vectors, unsigned interval_count, uint32_t at);

/* Writes that part of the table. */
void search_tree_fill(const struct search_tree *tree, const struct intervals *intervals,
                      const struct pause *pause, uint32_t *table);

/* The bound of interval i, its last value, as that part of the table has it. */
uint32_t search_tree_last(const struct search_tree *tree, const uint32_t *table, uint32_t i);

/* A node that starts at that word, as the code finds it in a table. */
static inline uint32_t search_tree_place(uint32_t words)
{
    return words / 2;
}

/* Writes a root above a root, which makes the tree a level higher: at word `at`, where there is
 * room for SEARCH_NODE_WORDS and a cache line starts. */
void search_tree_raise(enum jit_vectors vectors, uint32_t root, uint32_t at, uint32_t *table);

/* ---- The code -------------------------------------------------------------------------------- */

struct search {
    enum jit_vectors vectors;
    unsigned field;
    unsigned level_count; /* at least 1 */
    enum {
        SEARCH_ONE,   /* all packets search the tree at `root` */
        SEARCH_FOUND, /* a packet's answer says where, as search_tree_place() does */
        SEARCH_NAMED, /* so does the table, `entry` words behind the byte that a packet's word of
                         the column at RSP + `column` names */
    } start;
    uint32_t root;
    uint32_t entry;
    int32_t column;
};

/* The passes that put what is found at FILTER_ANSWERS; see filter_code.h. */
void search_emit(const struct search *search, struct emit *emit);
/* The same of one tree, whose table is told (marks.h). */
void search_tree_emit(const struct search_tree *tree, unsigned field, struct emit *emit);
