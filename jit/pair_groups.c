/* See pair_groups.h. A group of m intervals has, at level l, a node for each 9 ^ (l + 1) of them;
 * so its nodes of a level follow each other, and child c of its node n there is its node 9 n + c of
 * the level below. */
#include "jit/pair_groups.h"

#include "jit/filter_code.h"

enum { GROUPS_A_PAUSE = 512, NODES_A_PAUSE = 2048, ANSWERS_A_PAUSE = 4096 };

/* ---- Where nodes are ------------------------------------------------------------------------- */

/* Intervals of a child of a node of that level. */
static uint64_t child_span(unsigned level)
{
    uint64_t span = 1;

    while (level-- > 0)
        span *= PAIR_NODE_CHILDREN;
    return span;
}

static unsigned size_of(const struct pair_groups *groups, unsigned group)
{
    return groups->ends[group] - (group > 0 ? groups->ends[group - 1] : 0);
}

/* Of a group of so many intervals. */
static unsigned nodes_at(unsigned level, unsigned intervals)
{
    const uint64_t span = child_span(level + 1);

    return (unsigned)((intervals + span - 1) / span);
}

static unsigned root_level(unsigned intervals)
{
    unsigned level = 0;

    while (nodes_at(level, intervals) > 1)
        level++;
    return level;
}

void pair_groups_place(struct pair_groups *groups, enum jit_vectors vectors, uint32_t at,
                       const struct pause *pause)
{
    uint32_t count = 0;

    groups->vectors = vectors;
    groups->level_count = 0;
    for (unsigned group = 0; group < groups->group_count; group++) {
        const unsigned size = size_of(groups, group), top = root_level(size);
        CHECK(top < PAIR_LEVEL_MAX);
        for (; groups->level_count <= top; groups->level_count++)
            groups->levels[groups->level_count].count = 0;
        for (unsigned level = 0; level <= top; level++)
            groups->levels[level].count += nodes_at(level, size);
        if (group % GROUPS_A_PAUSE == 0)
            pause_take(pause);
    }
    for (unsigned level = 0; level < groups->level_count; level++) {
        groups->levels[level].first = count;
        count += groups->levels[level].count;
    }
    groups->node_words = (at + PAIR_NODE_WORDS - 1) / PAIR_NODE_WORDS * PAIR_NODE_WORDS;
    groups->next_words = groups->node_words + count * PAIR_NODE_WORDS;
    groups->end_words = groups->next_words + count * PAIR_NODE_CHILDREN;
}

/* Where the next group's nodes start in each level. */
struct places {
    uint32_t next[PAIR_LEVEL_MAX];
};

static struct places places_begin(const struct pair_groups *groups)
{
    struct places places;

    for (unsigned level = 0; level < PAIR_LEVEL_MAX; level++)
        places.next[level] = level < groups->level_count ? groups->levels[level].first : 0;
    return places;
}

static void places_pass(struct places *places, unsigned intervals)
{
    for (unsigned level = 0; level <= root_level(intervals); level++)
        places->next[level] += nodes_at(level, intervals);
}

void pair_groups_link(const struct pair_groups *groups, uint32_t *answers, unsigned count,
                      const struct pause *pause)
{
    struct places places = places_begin(groups);
    unsigned group = 0;

    for (unsigned i = 0; i < count; i++) {
        if (i % ANSWERS_A_PAUSE == 0)
            pause_take(pause);
        if (answers[i] < PAIR_GROUPS_NODE || answers[i] == JIT_NONE)
            continue;
        const unsigned size = size_of(groups, group++);
        answers[i] = places.next[root_level(size)] | PAIR_GROUPS_NODE;
        places_pass(&places, size);
    }
    CHECK(group == groups->group_count);
}

/* ---- The table ------------------------------------------------------------------------------- */

/* Node `number` of a group, counted in its level. */
static void fill_node(const struct pair_groups *groups, unsigned group, unsigned level,
                      unsigned number, const struct places *places, uint32_t *table)
{
    const uint32_t node = places->next[level] + number, size = size_of(groups, group);
    const uint64_t *last = &groups->last[groups->ends[group] - size];
    const uint32_t *answers = &groups->answers[groups->ends[group] - size];
    uint32_t *bounds = table + groups->node_words + node * PAIR_NODE_WORDS;
    uint32_t *next = table + groups->next_words + node * PAIR_NODE_CHILDREN;
    const uint64_t span = child_span(level);

    for (unsigned child = 0; child < PAIR_NODE_CHILDREN; child++) {
        const uint64_t at = (uint64_t)number * PAIR_NODE_CHILDREN + child;
        const uint64_t begin = at * span, end = MIN_OF(begin + span, size);
        if (child < PAIR_NODE_BOUNDS)
            pair_node_set(groups->vectors, bounds, child, last[end - 1]);
        if (begin >= size) /* nothing is above the bound before it */
            next[child] = JIT_NONE;
        else
            next[child] = level == 0 ? answers[begin]
                                     : (places->next[level - 1] + (uint32_t)at) | PAIR_GROUPS_NODE;
    }
}

void pair_groups_fill(const struct pair_groups *groups, const struct pause *pause, uint32_t *table)
{
    struct places places = places_begin(groups);

    for (unsigned group = 0; group < groups->group_count; group++) {
        const unsigned size = size_of(groups, group);
        for (unsigned level = 0; level <= root_level(size); level++) {
            for (unsigned i = 0; i < nodes_at(level, size); i++) {
                fill_node(groups, group, level, i, &places, table);
                if (i % NODES_A_PAUSE == NODES_A_PAUSE - 1)
                    pause_take(pause);
            }
        }
        places_pass(&places, size);
        if (group % GROUPS_A_PAUSE == 0)
            pause_take(pause);
    }
}

/* ---- The code -------------------------------------------------------------------------------- */

/* `to` = the packet's node, counted in the level; not below its count: it is at none. */
static void emit_node(const struct pair_groups *groups, unsigned level, enum gpr to,
                      struct emit *emit)
{
    emit_alu32_value(emit, ALU_SUB, to, PAIR_GROUPS_NODE + groups->levels[level].first);
    emit_alu32_value(emit, ALU_CMP, to, groups->levels[level].count);
}

/* Whoever is at no node of this level goes through the motions at its first one. */
void pair_groups_emit_level(const struct pair_groups *groups, unsigned level,
                            struct memory_operand value, unsigned ahead, struct emit *emit)
{
    const uint32_t first = groups->levels[level].first;
    const uint32_t nodes = groups->node_words + first * PAIR_NODE_WORDS;
    const uint32_t next = groups->next_words + first * PAIR_NODE_CHILDREN;

    emit_load32(emit, R8, filter_answer(ahead));
    emit_mov32_value(emit, RAX, 0);
    emit_node(groups, level, R8, emit);
    emit_cmov32(emit, IF_NOT_BELOW, R8, RAX);
    emit_lea64(emit, R11, memory_indexed(R8, R8, PAIR_NODE_BOUNDS, 0));
    emit_shift32_value(emit, SHIFT_LEFT, R8, 3);
    pair_node_emit_count(groups->vectors, value, filter_table_indexed(nodes, R8, 8), emit);
    if (pair_count_scale(groups->vectors) == 2)
        emit_shift32_value(emit, SHIFT_RIGHT, RAX, 1);
    emit_alu32(emit, ALU_ADD, R11, RAX);
    emit_load32(emit, R8, filter_table_indexed(next, R11, sizeof(uint32_t)));
    emit_load32(emit, RAX, filter_answer(ahead));
    emit_mov32(emit, R11, RAX);
    emit_node(groups, level, R11, emit);
    emit_cmov32(emit, IF_NOT_BELOW, R8, RAX);
    emit_store32(emit, filter_answer(ahead), R8);
}
