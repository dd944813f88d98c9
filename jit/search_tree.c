/* The layout of the trees, and the code that searches them. */
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

/* How many words a node has, as many as let it start where a vector can be loaded from and be found
 * by an index times 8 or 4; and how many of them are bounds: the next one is where its children
 * are. With AVX-512 a node is a cache line, so a lane is spared for that. */
static const struct node {
    unsigned words;
    unsigned bounds;
} nodes[] = { [JIT_SSE2] = { 8, 4 }, [JIT_AVX2] = { 16, 8 }, [JIT_AVX512] = { 16, 15 } };

/* ---- The table ------------------------------------------------------------------------------- */

struct search_tree search_tree_plan(enum jit_vectors vectors, unsigned interval_count, uint32_t at)
{
    const struct node *node = &nodes[vectors];
    struct search_tree tree = { .vectors = vectors, .interval_count = interval_count };
    unsigned counts[SEARCH_LEVEL_MAX]; /* of nodes, from the leaves up */

    unsigned count = interval_count;
    do {
        CHECK(tree.level_count < SEARCH_LEVEL_MAX);
        count = (count + node->bounds) / (node->bounds + 1);
        counts[tree.level_count++] = count;
    } while (count > 1);
    tree.end_words = at;
    for (unsigned level = 0; level < tree.level_count; level++) {
        tree.level_words[level] = tree.end_words;
        tree.end_words += counts[tree.level_count - 1 - level] * node->words;
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

/* A node the children of which have `span` intervals each, from interval `first` on; past the last
 * one there is the highest value. */
static void fill_node(enum jit_vectors vectors, const struct intervals *intervals, uint64_t first,
                      uint64_t span, uint32_t child, uint32_t *words)
{
    const struct node *node = &nodes[vectors];

    for (unsigned i = 0; i < node->bounds; i++) {
        const uint64_t behind = MIN_OF(first + (i + 1) * span, (uint64_t)intervals->count);
        words[i] = ordered(vectors, intervals->last[behind - 1]);
    }
    words[node->bounds] = child;
    for (unsigned i = node->bounds + 1; i < node->words; i++)
        words[i] = 0;
}

static void fill_level(const struct search_tree *tree, const struct intervals *intervals,
                       unsigned level, uint64_t span, const struct pause *pause, uint32_t *table)
{
    const struct node *node = &nodes[tree->vectors];
    const bool is_last = level == tree->level_count - 1;
    const unsigned children = node->bounds + 1;
    uint32_t child = is_last ? tree->answer_words : search_tree_place(tree->level_words[level + 1]);
    uint32_t *words = table + tree->level_words[level];
    unsigned filled = 0;

    for (uint64_t first = 0; first < tree->interval_count; first += span * children) {
        fill_node(tree->vectors, intervals, first, span, child, words);
        words += node->words;
        child += is_last ? children : search_tree_place(children * node->words);
        if (++filled % NODES_A_PAUSE == 0)
            pause_take(pause);
    }
}

void search_tree_fill(const struct search_tree *tree, const struct intervals *intervals,
                      const struct pause *pause, uint32_t *table)
{
    uint64_t span = 1;

    for (unsigned level = tree->level_count; level-- > 0;) {
        fill_level(tree, intervals, level, span, pause, table);
        span *= nodes[tree->vectors].bounds + 1;
    }
    for (unsigned i = 0; i < tree->interval_count; i++) {
        table[tree->answer_words + i] = intervals->answers[i];
        if (i % ANSWERS_A_PAUSE == ANSWERS_A_PAUSE - 1)
            pause_take(pause);
    }
}

/* A leaf has the bounds of all its intervals but the last one, that is the node's own, a level
 * above; and so on. Behind the root's there is the highest value alone. */
uint32_t search_tree_last(const struct search_tree *tree, const uint32_t *table, uint32_t i)
{
    const struct node *node = &nodes[tree->vectors];
    const unsigned children = node->bounds + 1;

    if (i + 1 >= tree->interval_count)
        return UINT32_MAX;
    for (unsigned level = tree->level_count; level-- > 0; i /= children) {
        if (i % children < node->bounds)
            return ordered(
                tree->vectors,
                table[tree->level_words[level] + i / children * node->words + i % children]);
    }
    return UINT32_MAX;
}

void search_tree_raise(enum jit_vectors vectors, uint32_t root, uint32_t at, uint32_t *table)
{
    const struct intervals all = { .count = 1, .last = &(uint32_t){ UINT32_MAX } };

    fill_node(vectors, &all, 0, 1, search_tree_place(root), table + at);
}

/* ---- The code -------------------------------------------------------------------------------- */

enum { VALUE = 0, BELOW = 1, SIGNS = 2 }; /* vector registers */
enum { ABOVE = 1, BOUNDS = 2 };           /* mask registers */

/* Of one packet, which keep its value in a register; more leave too few packets under way. */
enum { LEVELS_AT_ONCE = 2 };

/* What all levels need in registers. */
static void emit_constants(struct emit *emit, enum jit_vectors vectors)
{
    if (vectors == JIT_AVX512) {
        emit_mov32_value(emit, RAX, (1u << nodes[vectors].bounds) - 1);
        emit_kmovw_to_mask(emit, BOUNDS, RAX);
    } else {
        lanes_broadcast(emit, vectors, SIGNS, filter_table(FILTER_SIGN_WORD));
    }
}

/* VALUE = the packet's, in all lanes. */
static void emit_value(struct emit *emit, const struct search *search, unsigned packet)
{
    lanes_broadcast(emit, search->vectors, VALUE, filter_field(search->field, packet));
    if (search->vectors != JIT_AVX512)
        lanes_operate(emit, search->vectors, VECTOR_PXOR, VALUE, SIGNS);
}

/* RAX = how many bounds of the node are below the value. */
static void emit_count_below(struct emit *emit, enum jit_vectors vectors,
                             struct memory_operand node)
{
    switch (vectors) {
    case JIT_SSE2:
        emit_sse_movdqa(emit, BELOW, VALUE);
        emit_sse_load(emit, VECTOR_PCMPGTD, BELOW, node);
        lanes_signs(emit, vectors, RAX, BELOW);
        emit_not32(emit, RAX); /* the ones are all below the zeros */
        emit_bsf32(emit, RAX, RAX);
        return;
    case JIT_AVX2:
        emit_avx_load(emit, VECTOR_256, VECTOR_PCMPGTD, BELOW, VALUE, node);
        lanes_signs(emit, vectors, RAX, BELOW);
        emit_popcnt32(emit, RAX, RAX);
        return;
    default:
        emit_evex_vpcmpud_load(emit, VECTOR_512, COMPARE_GREATER, ABOVE, BOUNDS, VALUE, node);
        emit_kmovw(emit, RAX, ABOVE);
        emit_popcnt32(emit, RAX, RAX);
    }
}

/* From the node to R8 = where the child is, or, from the last level, to the answer. */
static void emit_descend(struct emit *emit, enum jit_vectors vectors, struct memory_operand node,
                         bool is_last)
{
    emit_count_below(emit, vectors, node);
    node.displacement += (int32_t)(nodes[vectors].bounds * sizeof(uint32_t));
    emit_load32(emit, R8, node);
    if (is_last) {
        emit_alu32(emit, ALU_ADD, R8, RAX);
        emit_load32(emit, R8, filter_table_indexed(0, R8, sizeof(uint32_t)));
    } else {
        const uint8_t scale = (uint8_t)search_tree_place(nodes[vectors].words);
        emit_lea64(emit, R8, memory_indexed(R8, RAX, scale, 0));
    }
}

/* The packet's root; by R8, unless all have the same. */
static struct memory_operand emit_root(struct emit *emit, const struct search *search,
                                       unsigned packet)
{
    const int32_t ahead = (int32_t)(packet * sizeof(uint32_t));

    switch (search->start) {
    case SEARCH_ONE:
        return filter_table(search->root);
    case SEARCH_FOUND:
        emit_load32(emit, R8, filter_answer(packet));
        break;
    case SEARCH_NAMED:
        emit_load32(emit, R8,
                    memory_indexed(RSP, FILTER_PACKET, sizeof(uint32_t), search->column + ahead));
        emit_load32(emit, R8, filter_table_indexed(search->entry, R8, 1));
        break;
    }
    return filter_table_indexed(0, R8, 8);
}

/* So many levels of one packet. */
static void emit_packet(struct emit *emit, const struct search *search, unsigned level,
                        unsigned levels, unsigned packet)
{
    struct memory_operand node = filter_table_indexed(0, R8, 8);

    if (level == 0)
        node = emit_root(emit, search, packet);
    else
        emit_load32(emit, R8, filter_answer(packet));
    emit_value(emit, search, packet);
    for (unsigned end = level + levels; level < end; level++) {
        emit_descend(emit, search->vectors, node, level == search->level_count - 1);
        node = filter_table_indexed(0, R8, 8);
    }
    emit_store32(emit, filter_answer(packet), R8);
}

static void mark(const struct search *search, unsigned pass, struct emit *emit)
{
    emit_mark(emit, (struct jit_mark){
                        .step = JIT_STEP_LEVEL, .field = (uint16_t)search->field, .number = pass });
}

void search_emit(const struct search *search, struct emit *emit)
{
    mark(search, 0, emit);
    emit_constants(emit, search->vectors);
    for (unsigned level = 0; level < search->level_count; level += LEVELS_AT_ONCE) {
        const unsigned levels = MIN_OF(search->level_count - level, (unsigned)LEVELS_AT_ONCE);
        mark(search, level / LEVELS_AT_ONCE, emit);
        struct label turn = filter_loop_begin(emit);
        for (unsigned packet = 0; packet < PACKETS_A_TURN; packet++)
            emit_packet(emit, search, level, levels, packet);
        filter_loop_end(emit, &turn, PACKETS_A_TURN);
    }
}

void search_tree_emit(const struct search_tree *tree, unsigned field, struct emit *emit)
{
    const struct search search = { .vectors = tree->vectors,
                                   .field = field,
                                   .level_count = tree->level_count,
                                   .start = SEARCH_ONE,
                                   .root = tree->level_words[0] };

    mark(&search, 0, emit);
    emit_table(emit, (struct jit_table){ .kind = JIT_TABLE_INTERVALS,
                                         .field = (uint16_t)field,
                                         .at = tree->level_words[0],
                                         .count = tree->interval_count });
    search_emit(&search, emit);
}
