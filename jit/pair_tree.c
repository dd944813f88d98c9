/* The layout of the tree and the code for one of its levels. What a search has come to is kept as
 * node number times 8, which the scaled index of an address takes to a node of 64 bytes. */
#include "jit/pair_tree.h"

#include "jit/filter_code.h"

enum {
    NODES_A_PAUSE = 4096, /* some 100 microseconds each */
    ANSWERS_A_PAUSE = 65536,
};
_Static_assert(PAIR_NODE_BOUNDS == 8, "9 children: one lea multiplies by that");

/* ---- The table ------------------------------------------------------------------------------- */

struct pair_tree pair_tree_plan(enum jit_vectors vectors, unsigned interval_count, uint32_t at)
{
    struct pair_tree tree = { .vectors = vectors, .interval_count = interval_count };
    unsigned nodes[PAIR_LEVEL_MAX]; /* from the leaves up */

    unsigned count = interval_count;
    do {
        CHECK(tree.level_count < PAIR_LEVEL_MAX);
        count = (count + PAIR_NODE_BOUNDS) / PAIR_NODE_CHILDREN;
        nodes[tree.level_count++] = count;
    } while (count > 1);
    tree.end_words = (at + PAIR_NODE_WORDS - 1) / PAIR_NODE_WORDS * PAIR_NODE_WORDS;
    for (unsigned level = 0; level < tree.level_count; level++) {
        tree.level_words[level] = tree.end_words;
        tree.end_words += nodes[tree.level_count - 1 - level] * PAIR_NODE_WORDS;
    }
    tree.answer_words = tree.end_words;
    tree.end_words += interval_count;
    return tree;
}

/* One level, the children of whose nodes have `span` intervals each. */
static void fill_level(const struct pair_tree *tree, const struct pair_intervals *intervals,
                       uint64_t span, const struct pause *pause, uint32_t *node)
{
    const uint64_t count = tree->interval_count;
    unsigned filled = 0;

    for (uint64_t first = 0; first < count; first += span * PAIR_NODE_CHILDREN) {
        for (unsigned i = 0; i < PAIR_NODE_BOUNDS; i++) {
            uint64_t behind = MIN_OF(first + (i + 1) * span, count);
            pair_node_set(tree->vectors, node, i, intervals->last[behind - 1]);
        }
        node += PAIR_NODE_WORDS;
        if (++filled % NODES_A_PAUSE == 0)
            pause_take(pause);
    }
}

void pair_tree_fill(const struct pair_tree *tree, const struct pair_intervals *intervals,
                    const struct pause *pause, uint32_t *table)
{
    uint64_t span = 1;

    for (unsigned level = tree->level_count; level-- > 0;) {
        fill_level(tree, intervals, span, pause, table + tree->level_words[level]);
        span *= PAIR_NODE_CHILDREN;
    }
    for (unsigned i = 0; i < tree->interval_count; i++) {
        table[tree->answer_words + i] = intervals->answers[i];
        if (i % ANSWERS_A_PAUSE == 0)
            pause_take(pause);
    }
}

/* As in search_tree_last(). */
uint64_t pair_tree_last(const struct pair_tree *tree, const uint32_t *table, uint32_t i)
{
    if (i + 1 >= tree->interval_count)
        return UINT64_MAX;
    for (unsigned level = tree->level_count; level-- > 0; i /= PAIR_NODE_CHILDREN) {
        const uint32_t *node =
            table + tree->level_words[level] + i / PAIR_NODE_CHILDREN * PAIR_NODE_WORDS;
        if (i % PAIR_NODE_CHILDREN < PAIR_NODE_BOUNDS)
            return pair_node_bound(tree->vectors, node, i % PAIR_NODE_CHILDREN);
    }
    return UINT64_MAX;
}

/* ---- The code -------------------------------------------------------------------------------- */

void pair_tree_emit_level(const struct pair_tree *tree, unsigned level, struct memory_operand value,
                          struct memory_operand state, struct emit *emit)
{
    const uint32_t nodes = tree->level_words[level];
    const uint8_t scale = (uint8_t)(PAIR_NODE_BOUNDS / pair_count_scale(tree->vectors));

    if (level == 0) {
        pair_node_emit_count(tree->vectors, value, filter_table(nodes), emit);
        emit_imul32_value(emit, R8, RAX, scale);
    } else {
        emit_load32(emit, R8, state);
        pair_node_emit_count(tree->vectors, value, filter_table_indexed(nodes, R8, 8), emit);
        emit_lea64(emit, R8, memory_indexed(R8, R8, PAIR_NODE_BOUNDS, 0));
        emit_lea64(emit, R8, memory_indexed(R8, RAX, scale, 0));
    }
    if (level != tree->level_count - 1)
        return;
    emit_shift32_value(emit, SHIFT_RIGHT, R8, 1);
    emit_load32(emit, R8, filter_table_indexed(tree->answer_words, R8, 1));
}
