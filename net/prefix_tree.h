/* A table of prefixes of either family, each with a value: found exactly, by what covers it, and in
 * order. For those who change and list routes; the cores have the FIB.
 *
 * A tree of nodes, each of which divides eight bits of the address:
 *
 *   the root          lengths 1 to 8
 *   a child of it     9 to 16, below one first byte
 *   and so on         17 to 24, 25 to 32, ...
 *
 * In its node a prefix has the position that it has in a binary tree that is written down level by
 * level: the bits that the node adds, behind a 1.
 *
 *   one bit   0 1     two bits   00 01 10 11    ...   eight bits   0 .. 255
 *   position  2 3                 4  5  6  7                      256 .. 511
 *
 * Bits tell at which positions there are values and below which bytes there are children; values
 * and children stand packed, in that order (after the tree bitmap of Eatherton, Varghese and
 * Dittia, 2004). What covers a prefix stands at the halves of its position: in the same two cache
 * lines. A full IPv4 table of 900,000 prefixes takes 9 MB.
 *
 * An address is given by its bytes in wire order, as struct address has them; bits behind the
 * prefix's length are ignored. */
#pragma once

#include "kernel/base/types.h"

enum { PREFIX_LENGTH_MAX = 128 };

struct prefix_node;

struct prefix_tree {
    struct prefix_node *root; /* NULL: nothing but perhaps the prefix of length 0 */
    uint32_t root_value;      /* of length 0 */
};

/* All zero is an empty tree; this makes it one again. */
struct pause;
void prefix_tree_clear(struct prefix_tree *tree, const struct pause *pause);

/* 0: it is not there. */
uint32_t prefix_tree_get(const struct prefix_tree *tree, const uint8_t *address, unsigned length);
/* Where the prefix's value is, to be changed at once; one that was not there is 0, and must be
 * given a value. Until the next change of the tree. ERROR_NO_MEMORY, never where the prefix has a
 * value already: nothing changed. */
enum error prefix_tree_place(struct prefix_tree *tree, const uint8_t *address, unsigned length,
                             uint32_t **value) MUST_CHECK;
/* Likewise, and gives it that value, which is not 0. */
enum error prefix_tree_set(struct prefix_tree *tree, const uint8_t *address, unsigned length,
                           uint32_t value) MUST_CHECK;
/* What was not there is no error. */
void prefix_tree_remove(struct prefix_tree *tree, const uint8_t *address, unsigned length);

/* The value of the longest prefix of at most *length bits that contains the address, and its
 * length; 0 where there is none. */
uint32_t prefix_tree_cover(const struct prefix_tree *tree, const uint8_t *address,
                           unsigned *length);

/* The prefix after the given one in the order of address, then length: into address (16 bytes) and
 * *length; its value, or 0 where none follows. Before the first: *length = PREFIX_BEFORE_FIRST. */
enum { PREFIX_BEFORE_FIRST = 255 };
uint32_t prefix_tree_next(const struct prefix_tree *tree, uint8_t *address, unsigned *length);

/* All of them, each before those that it covers; for the rest in no order. visit() must not change
 * the tree; what it answers other than OK ends the walk and is the answer. */
typedef enum error prefix_visit(void *context, const uint8_t *address, unsigned length,
                                uint32_t value);
enum error prefix_tree_each(const struct prefix_tree *tree, prefix_visit *visit,
                            void *context) MUST_CHECK;
