/* The layout of the tree, and the code that searches it.
 *
 * What a search has come to is kept as node number times W / 2: that is what the scaled index of an
 * x86 address wants (8 at most) to reach a node of 4 W bytes, and what the next level is computed
 * from by one or two lea. Behind the last level it is the interval's number times W / 2. */
#include "jit/search_tree.h"

#include "jit/filter_code.h"
#include "jit/lanes.h"
#include "jit/marks.h"

enum {
    PACKETS_A_TURN = 8,
    NODES_A_PAUSE = 4096, /* some 100 microseconds each */
    ANSWERS_A_PAUSE = 65536,
};
_Static_assert(BATCH_MAX % PACKETS_A_TURN == 0, "turns stay within the arrays");

/* ---- The table ------------------------------------------------------------------------------- */

struct search_tree search_tree_plan(enum jit_vectors vectors, unsigned interval_count, uint32_t at)
{
    const unsigned lanes = lane_count(vectors);
    struct search_tree tree = { .vectors = vectors, .interval_count = interval_count };
    unsigned nodes[SEARCH_LEVEL_MAX]; /* from the leaves up */

    unsigned count = interval_count;
    do {
        CHECK(tree.level_count < SEARCH_LEVEL_MAX);
        count = (count + lanes) / (lanes + 1);
        nodes[tree.level_count++] = count;
    } while (count > 1);
    tree.end_words = at;
    for (unsigned level = 0; level < tree.level_count; level++) {
        tree.level_words[level] = tree.end_words;
        tree.end_words += nodes[tree.level_count - 1 - level] * lanes;
    }
    tree.answer_words = tree.end_words;
    tree.end_words += interval_count;
    return tree;
}

/* AVX-512 compares without a sign, the others with one. */
static uint32_t ordered(enum jit_vectors vectors, uint32_t value)
{
    return vectors == JIT_AVX512 ? value : value ^ FILTER_SIGN;
}

/* One level, the children of whose nodes have `span` intervals each. */
static void fill_level(const struct search_tree *tree, const struct intervals *intervals,
                       uint64_t span, const struct pause *pause, uint32_t *words)
{
    const unsigned lanes = lane_count(tree->vectors);
    const uint64_t count = tree->interval_count;
    unsigned filled = 0;

    for (uint64_t first = 0; first < count; first += span * (lanes + 1)) {
        for (unsigned lane = 0; lane < lanes; lane++) {
            uint64_t behind = MIN_OF(first + (lane + 1) * span, count);
            *words++ = ordered(tree->vectors, intervals->last[behind - 1]);
        }
        if (++filled % NODES_A_PAUSE == 0)
            pause_take(pause);
    }
}

void search_tree_fill(const struct search_tree *tree, const struct intervals *intervals,
                      const struct pause *pause, uint32_t *table)
{
    uint64_t span = 1;

    for (unsigned level = tree->level_count; level-- > 0;) {
        fill_level(tree, intervals, span, pause, table + tree->level_words[level]);
        span *= lane_count(tree->vectors) + 1;
    }
    for (unsigned i = 0; i < tree->interval_count; i++) {
        table[tree->answer_words + i] = intervals->answers[i];
        if (i % ANSWERS_A_PAUSE == 0)
            pause_take(pause);
    }
}

/* A leaf has the bounds of its first W intervals, that of the last one is the node's own, a level
 * above; and so on. Behind the root's there is the highest value alone. */
uint32_t search_tree_last(const struct search_tree *tree, const uint32_t *table, uint32_t i)
{
    const unsigned lanes = lane_count(tree->vectors);

    if (i + 1 >= tree->interval_count)
        return UINT32_MAX;
    for (unsigned level = tree->level_count; level-- > 0; i /= lanes + 1) {
        if (i % (lanes + 1) < lanes)
            return ordered(
                tree->vectors,
                table[tree->level_words[level] + i / (lanes + 1) * lanes + i % (lanes + 1)]);
    }
    return UINT32_MAX;
}

/* ---- The code -------------------------------------------------------------------------------- */

enum { VALUE = 0, SIGNS = 2, ABOVE = 1 }; /* vector registers, a mask register */

/* RAX = how many bounds of the node are below the value. */
static void emit_count_below(struct emit *emit, enum jit_vectors vectors,
                             struct memory_operand value, struct memory_operand node)
{
    lanes_broadcast(emit, vectors, VALUE, value);
    if (vectors == JIT_AVX512) {
        emit_evex_vpcmpud_load(emit, VECTOR_512, COMPARE_GREATER, ABOVE, 0, VALUE, node);
        emit_kmovw(emit, RAX, ABOVE);
        emit_popcnt32(emit, RAX, RAX);
        return;
    }
    lanes_operate(emit, vectors, VECTOR_PXOR, VALUE, SIGNS);
    lanes_operate_load(emit, vectors, VECTOR_PCMPGTD, VALUE, node);
    lanes_signs(emit, vectors, RAX, VALUE);
    if (vectors == JIT_AVX2) {
        emit_popcnt32(emit, RAX, RAX);
    } else {
        /* The ones are all below the zeros. */
        emit_not32(emit, RAX);
        emit_bsf32(emit, RAX, RAX);
    }
}

/* R8 = (W + 1) R8 + W / 2 RAX; R8 is 0 in the root. */
static void emit_descend(struct emit *emit, enum jit_vectors vectors, bool is_root)
{
    const uint8_t half = (uint8_t)(lane_count(vectors) / 2);

    if (is_root) {
        emit_imul32_value(emit, R8, RAX, half);
        return;
    }
    if (vectors == JIT_AVX512)
        emit_imul32_value(emit, R8, R8, 17);
    else
        emit_lea64(emit, R8, memory_indexed(R8, R8, 2 * half, 0));
    emit_lea64(emit, R8, memory_indexed(R8, RAX, half, 0));
}

/* R8 = the answer of the interval whose number is R8 / (W / 2). */
static void emit_answer(struct emit *emit, const struct search_tree *tree)
{
    if (tree->vectors == JIT_AVX512)
        emit_shift32_value(emit, SHIFT_RIGHT, R8, 1);
    emit_load32(emit, R8,
                filter_table_indexed(tree->answer_words, R8, tree->vectors == JIT_SSE2 ? 2 : 1));
}

static void emit_packet(struct emit *emit, const struct search_tree *tree, unsigned level,
                        unsigned field, unsigned packet)
{
    const bool is_root = level == 0;
    const uint32_t nodes = tree->level_words[level];

    if (!is_root)
        emit_load32(emit, R8, filter_answer(packet));
    emit_count_below(emit, tree->vectors, filter_field(field, packet),
                     is_root ? filter_table(nodes) : filter_table_indexed(nodes, R8, 8));
    emit_descend(emit, tree->vectors, is_root);
    if (level == tree->level_count - 1)
        emit_answer(emit, tree);
    emit_store32(emit, filter_answer(packet), R8);
}

void search_tree_emit(const struct search_tree *tree, unsigned field, struct emit *emit)
{
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_LEVEL, .field = (uint16_t)field });
    emit_table(emit, (struct jit_table){ .kind = JIT_TABLE_INTERVALS,
                                         .field = (uint16_t)field,
                                         .at = tree->level_words[0],
                                         .count = tree->interval_count });
    if (tree->vectors != JIT_AVX512)
        lanes_broadcast(emit, tree->vectors, SIGNS, filter_table(FILTER_SIGN_WORD));
    for (unsigned level = 0; level < tree->level_count; level++) {
        emit_mark(emit, (struct jit_mark){
                            .step = JIT_STEP_LEVEL, .field = (uint16_t)field, .number = level });
        struct label turn = filter_loop_begin(emit);
        for (unsigned packet = 0; packet < PACKETS_A_TURN; packet++)
            emit_packet(emit, tree, level, field, packet);
        filter_loop_end(emit, &turn, PACKETS_A_TURN);
    }
}
