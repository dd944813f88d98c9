/* The stack, from RSP on, which is at a cache line: a line of the batch for each field, where the
 * rows of the packets are; one for their records; one for the numbers that earlier portions found;
 * and what the rows of one packet have in common. */
#include "jit/rows_code.h"

#include "jit/filter_code.h"
#include "jit/lanes.h"
#include "jit/marks.h"
#include "jit/search_tree.h"

enum {
    PACKETS_A_TURN = 4,
    COLUMN_BYTES = BATCH_MAX * sizeof(uint32_t),
    COMMON_BYTES = (ROWS_RULE_MAX + 1) / 8,
    VECTORS_AT_ONCE = 8, /* registers 0 to 7 are what the rows have in common so far */
    ZERO = 8,
    /* Columns, those of fields from the last one on. */
    RECORD = 0,
    FOUND = 1,
    FIRST_FIELD = 2,
    COLUMNS_MAX = FIRST_FIELD + JIT_FIELD_MAX,
};
_Static_assert(BATCH_MAX % PACKETS_A_TURN == 0, "turns stay within the arrays");

/* What is emitted for one portion. */
struct portion_code {
    const struct rows_code *code;
    const struct rows_portion *portion;
    bool is_first;
    struct emit *emit;
};

static int32_t column(unsigned i)
{
    return COMMON_BYTES + (int32_t)(i * COLUMN_BYTES);
}

/* The word of packet FILTER_PACKET + ahead in that column. */
static struct memory_operand in_column(unsigned i, unsigned ahead)
{
    return memory_indexed(RSP, FILTER_PACKET, sizeof(uint32_t),
                          column(i) + (int32_t)(ahead * sizeof(uint32_t)));
}

static bool is_divided(const struct portion_code *portion)
{
    return portion->portion->stage_count > 0;
}

/* What people can be told of tables is that all packets look there (marks.h). */
static bool tells_tables(const struct portion_code *portion)
{
    return portion->code->portion_count == 1 && !is_divided(portion);
}

static void mark(const struct portion_code *portion, enum jit_step step, unsigned number)
{
    emit_mark(portion->emit, (struct jit_mark){ .step = (uint16_t)step, .number = number });
}

static void mark_field(const struct portion_code *portion, enum jit_step step, unsigned field)
{
    emit_mark(portion->emit, (struct jit_mark){ .step = (uint16_t)step, .field = (uint16_t)field });
}

/* ---- Where the rows are ---------------------------------------------------------------------- */

/* Trees put what they find at FILTER_ANSWERS. */
static void emit_search(const struct portion_code *portion, const struct search *search,
                        unsigned to)
{
    mark_field(portion, JIT_STEP_LEVEL, search->field);
    emit_lea64(portion->emit, FILTER_ANSWERS, memory_of(RSP, column(to)));
    search_emit(search, portion->emit);
}

static void emit_stages(const struct portion_code *portion)
{
    for (unsigned i = 0; i < portion->portion->stage_count; i++) {
        const struct search search = { .vectors = portion->code->vectors,
                                       .field = portion->portion->stages[i].field,
                                       .level_count = portion->portion->stages[i].level_count,
                                       .start = i == 0 ? SEARCH_ONE : SEARCH_FOUND,
                                       .root = portion->portion->root };
        emit_search(portion, &search, RECORD);
    }
}

static void emit_bits(const struct portion_code *portion, unsigned i)
{
    const struct rows_field *field = &portion->portion->fields[i];
    struct emit *emit = portion->emit;

    mark_field(portion, JIT_STEP_VALUES, field->field);
    if (tells_tables(portion))
        emit_table(emit, (struct jit_table){ .kind = JIT_TABLE_VALUES,
                                             .field = (uint16_t)field->field,
                                             .at = field->start,
                                             .count = field->count,
                                             .mask = field->mask });
    struct label turn = filter_loop_begin(emit);

    for (unsigned ahead = 0; ahead < PACKETS_A_TURN; ahead++) {
        emit_load32(emit, RAX, filter_field(field->field, ahead));
        emit_alu32_value(emit, ALU_AND, RAX, field->mask);
        emit_shift32_value(emit, SHIFT_RIGHT, RAX, (uint8_t)field->shift);
        emit_load32(emit, RAX, filter_table_indexed(field->start, RAX, sizeof(uint32_t)));
        if (is_divided(portion)) {
            emit_load32(emit, R8, in_column(RECORD, ahead));
            emit_alu32_load(emit, ALU_ADD, RAX, filter_table_indexed(i, R8, 1));
            emit_load32(emit, RAX, filter_table_indexed(0, RAX, 1));
        }
        emit_store32(emit, in_column(FIRST_FIELD + i, ahead), RAX);
    }
    filter_loop_end(emit, &turn, PACKETS_A_TURN);
}

static void emit_numbers(const struct portion_code *portion, unsigned i)
{
    const struct rows_field *field = &portion->portion->fields[i];
    const struct search search = { .vectors = portion->code->vectors,
                                   .field = field->field,
                                   .level_count = field->level_count,
                                   .start = is_divided(portion) ? SEARCH_NAMED : SEARCH_ONE,
                                   .root = field->start,
                                   .entry = i,
                                   .column = column(RECORD) };

    mark_field(portion, JIT_STEP_LEVEL, field->field);
    if (tells_tables(portion))
        emit_table(portion->emit, (struct jit_table){ .kind = JIT_TABLE_INTERVALS,
                                                      .field = (uint16_t)field->field,
                                                      .at = field->start,
                                                      .count = field->count });
    emit_search(portion, &search, FIRST_FIELD + i);
}

/* ---- What they have in common ---------------------------------------------------------------- */

/* Registers 0 and up = so many vectors, from number `first` on. */
static void emit_common(const struct portion_code *portion, unsigned ahead, unsigned first,
                        unsigned count)
{
    const enum jit_vectors vectors = portion->code->vectors;
    struct emit *emit = portion->emit;

    for (unsigned i = 0; i < portion->portion->field_count; i++) {
        emit_load32(emit, RAX, in_column(FIRST_FIELD + i, ahead));
        for (unsigned k = 0; k < count; k++) {
            struct memory_operand bits =
                filter_table_indexed((first + k) * lane_count(vectors), RAX, 1);
            if (i == 0)
                lanes_load(emit, vectors, k, bits);
            else
                lanes_operate_load(emit, vectors, VECTOR_PAND, k, bits);
        }
    }
}

/* R8 |= RAX, a bit for each word of vector k. */
static void emit_mark_words(const struct portion_code *portion, unsigned k)
{
    if (k == 0) {
        emit_mov32(portion->emit, R8, RAX);
        return;
    }
    const unsigned word = k * lane_count(portion->code->vectors);
    emit_shift64_value(portion->emit, SHIFT_LEFT, RAX, (uint8_t)word);
    emit_alu64(portion->emit, ALU_OR, R8, RAX);
}

/* AVX-512: R8 = the first word that is not 0, RAX = what it is. Of each vector such a word is
 * brought to the front. (By way of the stack, as below, it is slower, and much slower where a row
 * that many packets have is a multiple of 4 KiB away from there.) */
static void emit_first_word_mask(const struct portion_code *portion, unsigned ahead,
                                 unsigned vectors)
{
    struct emit *emit = portion->emit;

    emit_common(portion, ahead, 0, vectors);
    mark(portion, JIT_STEP_FIRST, ahead);
    for (unsigned k = 0; k < vectors; k++) {
        emit_evex_vpcmpud(emit, VECTOR_512, COMPARE_NOT_EQUAL, 1, 0, k, ZERO);
        emit_evex_vpcompressd(emit, VECTOR_512, k, 1, k);
        emit_kmovw(emit, RAX, 1);
        emit_mark_words(portion, k);
    }
    emit_tzcnt64(emit, R8, R8);
    emit_avx_vmovd_store(emit, RAX, vectors - 1);
    for (unsigned k = vectors - 1; k-- > 0;) {
        emit_avx_vmovd_store(emit, R11, k);
        emit_test32(emit, R11, R11);
        emit_cmov32(emit, IF_NOT_EQUAL, RAX, R11);
    }
}

/* SSE2, AVX2: likewise. R8 first has a bit for each word that is 0. Processors without BMI1 take
 * tzcnt for bsf, which is the same of what is not 0. */
static void emit_first_word_lanes(const struct portion_code *portion, unsigned ahead,
                                  unsigned vectors)
{
    const enum jit_vectors kind = portion->code->vectors;
    struct emit *emit = portion->emit;

    for (unsigned first = 0; first < vectors; first += VECTORS_AT_ONCE) {
        const unsigned count = MIN_OF(vectors - first, (unsigned)VECTORS_AT_ONCE);
        emit_common(portion, ahead, first, count);
        for (unsigned k = 0; k < count; k++) {
            const size_t word = (first + k) * lane_count(kind);
            lanes_store(emit, kind, memory_of(RSP, (int32_t)(word * sizeof(uint32_t))), k);
            lanes_operate(emit, kind, VECTOR_PCMPEQD, k, ZERO);
            lanes_signs(emit, kind, RAX, k);
            emit_mark_words(portion, first + k);
        }
    }
    mark(portion, JIT_STEP_FIRST, ahead);
    emit_not64(emit, R8);
    emit_tzcnt64(emit, R8, R8);
    emit_load32(emit, RAX, memory_indexed(RSP, R8, sizeof(uint32_t), 0));
}

/* R8 = the number of the bit; of a group, RAX = the word of the table where its answer is. */
static void emit_answer(const struct portion_code *portion, unsigned ahead)
{
    struct emit *emit = portion->emit;

    if (is_divided(portion)) {
        emit_load32(emit, RAX, in_column(RECORD, ahead));
        emit_alu32_load(emit, ALU_ADD, R8,
                        filter_table_indexed(portion->portion->field_count, RAX, 1));
        emit_load32(emit, RAX, filter_table_indexed(0, R8, sizeof(uint32_t)));
    } else {
        emit_load32(emit, RAX,
                    filter_table_indexed(portion->portion->answers, R8, sizeof(uint32_t)));
    }
    if (portion->code->portion_count == 1) {
        emit_store32(emit, filter_answer(ahead), RAX);
        return;
    }
    if (!portion->is_first) {
        emit_load32(emit, R8, in_column(FOUND, ahead));
        emit_alu32(emit, ALU_CMP, R8, RAX);
        emit_cmov32(emit, IF_BELOW, RAX, R8);
    }
    emit_store32(emit, in_column(FOUND, ahead), RAX);
}

/* One of the words is not 0, as all rows have the last bit. */
static void emit_packet(const struct portion_code *portion, unsigned ahead)
{
    const unsigned vectors = portion->portion->row_words / lane_count(portion->code->vectors);

    mark(portion, JIT_STEP_COMMON, ahead);
    if (portion->code->vectors == JIT_AVX512)
        emit_first_word_mask(portion, ahead, vectors);
    else
        emit_first_word_lanes(portion, ahead, vectors);
    emit_tzcnt32(portion->emit, RAX, RAX);
    emit_shift32_value(portion->emit, SHIFT_LEFT, R8, 5);
    emit_alu32(portion->emit, ALU_OR, R8, RAX);
    emit_answer(portion, ahead);
}

static void emit_portion(const struct portion_code *portion)
{
    emit_stages(portion);
    if (is_divided(portion))
        mark(portion, JIT_STEP_BEGIN, 1); /* of the group */
    for (unsigned i = 0; i < portion->portion->field_count; i++) {
        if (portion->portion->fields[i].mask != 0)
            emit_bits(portion, i);
        else
            emit_numbers(portion, i);
    }
    mark(portion, JIT_STEP_BEGIN, 2);
    if (tells_tables(portion))
        emit_table(portion->emit, (struct jit_table){ .kind = JIT_TABLE_ROWS,
                                                      .at = portion->portion->rows,
                                                      .count = portion->portion->rule_count,
                                                      .words = portion->portion->row_words,
                                                      .answers = portion->portion->answers });
    emit_mov64(portion->emit, FILTER_ANSWERS, R10);
    lanes_operate(portion->emit, portion->code->vectors, VECTOR_PXOR, ZERO, ZERO);
    struct label turn = filter_loop_begin(portion->emit);
    for (unsigned ahead = 0; ahead < PACKETS_A_TURN; ahead++)
        emit_packet(portion, ahead);
    mark(portion, JIT_STEP_TURN, 0);
    filter_loop_end(portion->emit, &turn, PACKETS_A_TURN);
}

/* From numbers of rules to their answers. */
static void emit_answers(const struct rows_code *code, struct emit *emit)
{
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_STORE });
    struct label turn = filter_loop_begin(emit);

    for (unsigned ahead = 0; ahead < PACKETS_A_TURN; ahead++) {
        emit_load32(emit, RAX, in_column(FOUND, ahead));
        emit_load32(emit, RAX, filter_table_indexed(code->answers, RAX, sizeof(uint32_t)));
        emit_store32(emit, filter_answer(ahead), RAX);
    }
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_TURN });
    filter_loop_end(emit, &turn, PACKETS_A_TURN);
}

void rows_code_emit(const struct rows_code *code, struct emit *emit)
{
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_BEGIN });
    emit_push(emit, RBP);
    emit_mov64(emit, RBP, RSP);
    emit_alu64_value(emit, ALU_SUB, RSP, column(COLUMNS_MAX));
    emit_alu64_value(emit, ALU_AND, RSP, -CACHE_LINE_BYTES);
    emit_mov64(emit, R10, FILTER_ANSWERS);
    for (unsigned i = 0; i < code->portion_count; i++) {
        const struct portion_code portion = {
            .code = code, .portion = &code->portions[i], .is_first = i == 0, .emit = emit
        };
        emit_portion(&portion);
    }
    if (code->portion_count > 1)
        emit_answers(code, emit);
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_END });
    emit_mov64(emit, RSP, RBP);
    emit_pop(emit, RBP);
    filter_end(emit, code->vectors);
}
