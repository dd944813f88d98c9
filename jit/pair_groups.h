/* Many small trees of pairs of words, one for each group, in a few steps for all packets.
 *
 *   level 1     n0         n1        roots of groups that have more than eight bounds
 *              / | \       |  \
 *   level 0   n2 n3 n4     n5  n6    n7 n8 n9 ...   roots of all others: groups of one node
 *
 * Most groups have a few bounds, some may have many. A node has eight, as in pair_tree.h, and says
 * for each of its nine children what comes next: a node of the level below, or an answer. A step
 * for each level, from the uppermost down, takes those packets on that are at one of its nodes, and
 * leaves the others where they are: at a node of a lower level, or with their answer. */
#pragma once

#include "jit/pair_tree.h"

struct pair_groups {
    /* What they are made of: the intervals of all, one group behind the other. */
    unsigned group_count, interval_count;
    uint64_t *last;    /* ascending within a group, whose last one is UINT64_MAX */
    uint32_t *answers; /* below 2^31, or JIT_NONE */
    uint32_t *ends;    /* behind the last interval of each group */
    /* How they lie in a table. */
    enum jit_vectors vectors;
    unsigned level_count;
    struct {
        uint32_t first, count; /* its nodes, numbered through all levels from level 0 up */
    } levels[PAIR_LEVEL_MAX];
    uint32_t node_words; /* where the nodes start */
    uint32_t next_words; /* where what comes next does */
    uint32_t end_words;
};

/* A packet that is at a node has that number with this sign as its answer. */
#define PAIR_GROUPS_NODE 0x80000000u

/* Places them in a table behind its word `at`. */
void pair_groups_place(struct pair_groups *groups, enum jit_vectors vectors, uint32_t at,
                       const struct pause *pause);

/* Of each answer that is a group's number, counted upwards, with PAIR_GROUPS_NODE: makes it the
 * group's root. */
void pair_groups_link(const struct pair_groups *groups, uint32_t *answers, unsigned count,
                      const struct pause *pause);

void pair_groups_fill(const struct pair_groups *groups, const struct pause *pause, uint32_t *table);

/* One level, for packet FILTER_PACKET + ahead, whose answer is changed; `value` is as pair_node.h
 * wants it. RAX, R8, R11 and vector registers 0 to 4 are used. */
void pair_groups_emit_level(const struct pair_groups *groups, unsigned level,
                            struct memory_operand value, unsigned ahead, struct emit *emit);
