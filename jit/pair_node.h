/* A node of the trees that search for pairs of words, values of 64 bits: eight bounds in a line of
 * the cache, and how many of them are below a value. */
#pragma once

#include "jit/emit.h"
#include "jit/jit.h"

enum {
    PAIR_NODE_WORDS = CACHE_LINE_BYTES / sizeof(uint32_t),
    PAIR_NODE_BOUNDS = 8,
    PAIR_NODE_CHILDREN = PAIR_NODE_BOUNDS + 1,
};

/* Bound `i` of a node. */
void pair_node_set(enum jit_vectors vectors, uint32_t node[PAIR_NODE_WORDS], unsigned i,
                   uint64_t bound);

uint64_t pair_node_bound(enum jit_vectors vectors, const uint32_t node[PAIR_NODE_WORDS],
                         unsigned i);

/* Values as nodes are compared with, 64 bits each, made of the words of PAIR_VALUES packets that
 * follow each other. Vector registers 0 to 3 are used, and the last one between the two. */
enum { PAIR_VALUES = 4 };
void pair_values_begin(enum jit_vectors vectors, struct emit *emit);
void pair_values_emit(enum jit_vectors vectors, struct memory_operand upper,
                      struct memory_operand lower, struct memory_operand values, struct emit *emit);

/* RAX = how many bounds are below the value, times pair_count_scale(). Vector registers 0 to 4 are
 * used. */
void pair_node_emit_count(enum jit_vectors vectors, struct memory_operand value,
                          struct memory_operand node, struct emit *emit);
unsigned pair_count_scale(enum jit_vectors vectors);
