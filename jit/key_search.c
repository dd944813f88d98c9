/* How intervals of a key become those of words, of pairs and of groups, and the code.
 *
 * The code's stack, from RSP on: the pairs that are searched for, and what the search of each has
 * come to. */
#include "jit/key_search.h"

#include "jit/filter_code.h"
#include "jit/marks.h"
#include "kernel/platform.h"

enum {
    PACKETS_A_TURN = 8,
    STATES_AT = BATCH_MAX * sizeof(uint64_t),
    STACK_BYTES = STATES_AT + BATCH_MAX * sizeof(uint32_t),
    INTERVALS_A_PAUSE = 8192,
};
_Static_assert(BATCH_MAX % PACKETS_A_TURN == 0, "turns stay within the arrays");

/* ---- Words ----------------------------------------------------------------------------------- */

static bool are_ones(const uint32_t *words, unsigned count)
{
    uint32_t all = UINT32_MAX;

    for (unsigned i = 0; i < count; i++)
        all &= words[i];
    return all == UINT32_MAX;
}

static bool first_word_decides(const struct key_intervals *intervals, const struct pause *pause)
{
    const unsigned words = intervals->words;

    for (unsigned i = 0; i < intervals->count; i++) {
        if (!are_ones(&intervals->last[(size_t)i * words + 1], words - 1))
            return false;
        if (i % INTERVALS_A_PAUSE == 0)
            pause_take(pause);
    }
    return true;
}

/* Of one word or two; the last one of a range ends with ones. */
static uint64_t pair_of_words(const uint32_t *words, unsigned count)
{
    return (uint64_t)words[0] << 32 | (count > 1 ? words[1] : UINT32_MAX);
}

static enum error make_words(const struct key_intervals *intervals, const struct pause *pause,
                             struct key_search *search)
{
    const unsigned count = intervals->count;
    uint32_t *last = memory_alloc_uncleared(2 * (size_t)count * sizeof(*last), 0, MEMORY_CODE);

    if (last == NULL)
        return fail(ERROR_NO_MEMORY);
    search->word_intervals =
        (struct intervals){ .count = count, .last = last, .answers = last + count };
    for (unsigned i = 0; i < count; i++) {
        last[i] = intervals->last[(size_t)i * intervals->words];
        search->word_intervals.answers[i] = intervals->answers[i];
        if (i % INTERVALS_A_PAUSE == 0)
            pause_take(pause);
    }
    return OK;
}

/* ---- Pairs and groups ------------------------------------------------------------------------ */

/* Each interval ends one group at most, and begins one. */
struct division {
    struct pair_intervals *pairs;
    struct pair_groups *groups;
    unsigned words; /* of the key */
    bool in_group;
    uint64_t group_pair;
};

static void add_pair(struct division *division, uint64_t last, uint32_t answer)
{
    struct pair_intervals *pairs = division->pairs;

    pairs->last[pairs->count] = last;
    pairs->answers[pairs->count++] = answer;
}

static void add_within(struct division *division, uint64_t last, uint32_t answer)
{
    struct pair_groups *groups = division->groups;

    groups->last[groups->interval_count] = last;
    groups->answers[groups->interval_count++] = answer;
}

static void end_group(struct division *division, uint32_t answer)
{
    struct pair_groups *groups = division->groups;

    add_within(division, UINT64_MAX, answer);
    add_pair(division, division->group_pair, groups->group_count | PAIR_GROUPS_NODE);
    groups->ends[groups->group_count++] = groups->interval_count;
    division->in_group = false;
}

static void divide_interval(struct division *division, const uint32_t *last, uint32_t answer)
{
    const uint64_t pair = pair_of_words(last, 2);
    const unsigned words_behind = division->words - 2;
    const bool is_whole = are_ones(last + 2, words_behind);
    const bool is_same = division->in_group && division->group_pair == pair;

    if (division->in_group && (!is_same || is_whole))
        end_group(division, answer);
    if (is_same && is_whole)
        return;
    if (is_whole) {
        add_pair(division, pair, answer);
        return;
    }
    /* What lies before this pair, and behind all so far, is all of this interval. */
    const unsigned count = division->pairs->count;
    if (!is_same && pair != 0 && (count == 0 || division->pairs->last[count - 1] != pair - 1))
        add_pair(division, pair - 1, answer);
    division->in_group = true;
    division->group_pair = pair;
    add_within(division, pair_of_words(last + 2, words_behind), answer);
}

static enum error take_pairs(size_t count, struct key_search *search)
{
    const size_t room = 2 * count, bytes = room * (sizeof(uint64_t) + sizeof(uint32_t));
    struct pair_intervals *pairs = &search->pairs;
    struct pair_groups *groups = &search->groups;

    pairs->last = memory_alloc_uncleared(bytes, 0, MEMORY_CODE);
    if (pairs->last == NULL)
        return fail(ERROR_NO_MEMORY);
    pairs->answers = (uint32_t *)(pairs->last + room);
    if (search->words == 2)
        return OK;
    groups->last = memory_alloc_uncleared(bytes + count * sizeof(uint32_t), 0, MEMORY_CODE);
    if (groups->last == NULL)
        return fail(ERROR_NO_MEMORY);
    groups->answers = (uint32_t *)(groups->last + room);
    groups->ends = groups->answers + room;
    return OK;
}

static enum error make_pairs(const struct key_intervals *intervals, const struct pause *pause,
                             struct key_search *search)
{
    struct division division = { .pairs = &search->pairs,
                                 .groups = &search->groups,
                                 .words = intervals->words };
    enum error error = take_pairs(intervals->count, search);

    for (unsigned i = 0; i < intervals->count && error == OK; i++) {
        divide_interval(&division, &intervals->last[(size_t)i * intervals->words],
                        intervals->answers[i]);
        if (i % INTERVALS_A_PAUSE == 0)
            pause_take(pause);
    }
    return error;
}

enum error key_search_make(const struct key_intervals *intervals, enum jit_vectors vectors,
                           unsigned field, const struct pause *pause, struct key_search *search)
{
    struct key_search made = { .vectors = vectors,
                               .field = field,
                               .words = intervals->words,
                               .is_word = first_word_decides(intervals, pause) };
    enum error error =
        made.is_word ? make_words(intervals, pause, &made) : make_pairs(intervals, pause, &made);

    if (error == OK)
        *search = made;
    else
        key_search_free(&made);
    return error;
}

void key_search_free(struct key_search *search)
{
    memory_free(search->word_intervals.last);
    memory_free(search->pairs.last);
    memory_free(search->groups.last);
}

/* ---- The table ------------------------------------------------------------------------------- */

uint32_t key_search_place(struct key_search *search, uint32_t at, const struct pause *pause)
{
    const uint32_t line_words = CACHE_LINE_BYTES / sizeof(uint32_t);

    if (search->is_word) {
        const uint32_t line = (at + line_words - 1) / line_words * line_words;
        search->word_tree = search_tree_plan(search->vectors, search->word_intervals.count, line);
        return search->word_tree.end_words;
    }
    search->pair_tree = pair_tree_plan(search->vectors, search->pairs.count, at);
    pair_groups_place(&search->groups, search->vectors, search->pair_tree.end_words, pause);
    pair_groups_link(&search->groups, search->pairs.answers, search->pairs.count, pause);
    return search->groups.end_words;
}

void key_search_fill(const struct key_search *search, const struct pause *pause, uint32_t *table)
{
    if (search->is_word) {
        search_tree_fill(&search->word_tree, &search->word_intervals, pause, table);
        return;
    }
    pair_tree_fill(&search->pair_tree, &search->pairs, pause, table);
    pair_groups_fill(&search->groups, pause, table);
}

/* ---- The code -------------------------------------------------------------------------------- */

static struct memory_operand pair_of(unsigned ahead)
{
    return memory_indexed(RSP, FILTER_PACKET, sizeof(uint64_t),
                          (int32_t)(ahead * sizeof(uint64_t)));
}

static struct memory_operand state_of(unsigned ahead)
{
    return memory_indexed(RSP, FILTER_PACKET, sizeof(uint32_t),
                          STATES_AT + (int32_t)(ahead * sizeof(uint32_t)));
}

/* Words `word` and the next one of the key. Where there is no next one, any is below the ones that
 * bounds have there, or equal. */
static void emit_pairs(const struct key_search *search, unsigned word, struct emit *emit)
{
    const unsigned upper = search->field + word;
    const unsigned lower = word + 1 < search->words ? upper + 1 : upper;

    pair_values_begin(search->vectors, emit);
    struct label turn = filter_loop_begin(emit);
    for (unsigned ahead = 0; ahead < PACKETS_A_TURN; ahead += PAIR_VALUES)
        pair_values_emit(search->vectors, filter_field(upper, ahead), filter_field(lower, ahead),
                         pair_of(ahead), emit);
    filter_loop_end(emit, &turn, PACKETS_A_TURN);
}

static void mark(const struct key_search *search, enum jit_step step, unsigned number,
                 struct emit *emit)
{
    emit_mark(emit, (struct jit_mark){ .step = (uint16_t)step,
                                       .field = (uint16_t)search->field,
                                       .number = number });
}

static void emit_tree_level(const struct key_search *search, unsigned level, struct emit *emit)
{
    const struct pair_tree *tree = &search->pair_tree;
    const bool is_last = level == tree->level_count - 1;

    mark(search, JIT_STEP_LEVEL, level, emit);
    struct label turn = filter_loop_begin(emit);

    for (unsigned ahead = 0; ahead < PACKETS_A_TURN; ahead++) {
        pair_tree_emit_level(tree, level, pair_of(ahead), state_of(ahead), emit);
        emit_store32(emit, is_last ? filter_answer(ahead) : state_of(ahead), R8);
    }
    filter_loop_end(emit, &turn, PACKETS_A_TURN);
}

/* Levels of groups are counted from below. */
static void emit_groups_level(const struct key_search *search, unsigned level, struct emit *emit)
{
    const unsigned before = search->pair_tree.level_count + search->groups.level_count - 1;

    mark(search, JIT_STEP_LEVEL, before - level, emit);
    struct label turn = filter_loop_begin(emit);
    for (unsigned ahead = 0; ahead < PACKETS_A_TURN; ahead++)
        pair_groups_emit_level(&search->groups, level, pair_of(ahead), ahead, emit);
    filter_loop_end(emit, &turn, PACKETS_A_TURN);
}

void key_search_emit(const struct key_search *search, struct emit *emit)
{
    if (search->is_word) {
        search_tree_emit(&search->word_tree, search->field, emit);
        return;
    }
    mark(search, JIT_STEP_BEGIN, 0, emit);
    emit_table(emit, (struct jit_table){ .kind = JIT_TABLE_PAIRS,
                                         .field = (uint16_t)search->field,
                                         .at = search->pair_tree.level_words[0],
                                         .count = search->pair_tree.interval_count,
                                         .nodes = search->groups.node_words,
                                         .next = search->groups.next_words });
    emit_alu64_value(emit, ALU_SUB, RSP, STACK_BYTES);
    emit_pairs(search, 0, emit);
    for (unsigned level = 0; level < search->pair_tree.level_count; level++)
        emit_tree_level(search, level, emit);
    if (search->groups.level_count > 0) {
        mark(search, JIT_STEP_BEGIN, 1, emit);
        emit_pairs(search, 2, emit);
    }
    for (unsigned level = search->groups.level_count; level-- > 0;)
        emit_groups_level(search, level, emit);
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_END });
    emit_alu64_value(emit, ALU_ADD, RSP, STACK_BYTES);
}
