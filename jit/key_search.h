/* Which of many intervals does a key lie in, be it one word or an address of four?
 *
 * One word is searched by a search_tree, as is a longer key where the first word decides, which it
 * does where all intervals end with ones behind it. Otherwise the first two words together are, by
 * a pair_tree, and few prefixes are longer than that:
 *
 *    first two words        the other two
 *   |--- ... ---| 1 |  2 |                       answers
 *                         |g|-----|-|-------|    group g: intervals that end within one pair
 *                           |  3  |4|   2   |
 *
 * A pair that has bounds within it leads to a group, and a tree of that group's own (pair_groups.h)
 * to the answer. Stages that no interval asks for are not there, and what a packet is does not
 * decide how many it goes through. */
#pragma once

#include "jit/intervals.h"
#include "jit/pair_groups.h"
#include "jit/pair_tree.h"
#include "jit/search_tree.h"

/* Disjoint intervals that together are all values of a key. */
struct key_intervals {
    unsigned words;    /* of the key */
    unsigned count;    /* at least 1 */
    uint32_t *last;    /* of interval i the words at [i * words]; ascending, at the end all ones */
    uint32_t *answers; /* below 2^31, or JIT_NONE */
};

struct key_search {
    enum jit_vectors vectors;
    unsigned field; /* where the key begins */
    unsigned words;
    bool is_word; /* the first word alone decides */
    struct intervals word_intervals;
    struct search_tree word_tree;
    struct pair_intervals pairs;
    struct pair_tree pair_tree;
    struct pair_groups groups;
};

/* A search for a key that begins at `field`; the intervals are not needed any more.
 * ERROR_NO_MEMORY: *search is as it was. */
enum error key_search_make(const struct key_intervals *intervals, enum jit_vectors vectors,
                           unsigned field, const struct pause *pause,
                           struct key_search *search) MUST_CHECK;
void key_search_free(struct key_search *search); /* one of zeros is allowed */

/* It shall lie in a table behind the word `at`: where it ends. */
uint32_t key_search_place(struct key_search *search, uint32_t at, const struct pause *pause);

/* Writes that part of the table. */
void key_search_fill(const struct key_search *search, const struct pause *pause, uint32_t *table);

/* The passes that put answers at FILTER_ANSWERS; see filter_code.h. */
void key_search_emit(const struct key_search *search, struct emit *emit);
