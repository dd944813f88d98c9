/* The stack, from RSP on, which is at a cache line: where the rows of the packets are, one line of
 * the batch for each field; and what the rows of one packet have in common. */
#include "jit/rows_code.h"

#include <string.h>

#include "jit/filter_code.h"
#include "jit/lanes.h"
#include "jit/marks.h"

enum {
    PACKETS_A_TURN = 4,
    COLUMN_BYTES = BATCH_MAX * sizeof(uint32_t),
    COMMON_BYTES = (ROWS_RULE_MAX + 1) / 8,
    VECTORS_AT_ONCE = 8, /* registers 0 to 7 are what the rows have in common so far */
    ZERO = 8,
};
_Static_assert(BATCH_MAX % PACKETS_A_TURN == 0, "turns stay within the arrays");

/* ---- The table ------------------------------------------------------------------------------- */

struct rows_code rows_code_plan(enum jit_vectors vectors, const struct rule_list *list,
                                const struct bit_rows *rows, const struct field_rows *fields,
                                unsigned field_count)
{
    const uint32_t line_words = CACHE_LINE_BYTES / sizeof(uint32_t);
    struct rows_code code = { .vectors = vectors,
                              .row_words = rows->words,
                              .field_count = field_count,
                              .end_words = FILTER_TABLE_HEAD_WORDS };

    for (unsigned i = 0; i < field_count; i++) {
        code.fields[i].field = fields[i].field;
        code.fields[i].mask = fields[i].mask;
        code.fields[i].shift = fields[i].shift;
        if (fields[i].mask != 0) {
            code.fields[i].index_words = code.end_words;
            code.end_words += fields[i].index.count;
        } else {
            code.fields[i].tree = search_tree_plan(vectors, fields[i].index.count, code.end_words);
            code.end_words = code.fields[i].tree.end_words;
        }
        code.end_words = (code.end_words + line_words - 1) / line_words * line_words;
    }
    code.bits_words = code.end_words;
    code.answer_words = code.bits_words + rows->count * rows->words;
    code.end_words = code.answer_words + list->count + 1;
    return code;
}

void rows_code_fill(const struct rows_code *code, const struct rule_list *list,
                    const struct bit_rows *rows, struct field_rows *fields,
                    const struct pause *pause, uint32_t *table)
{
    const size_t row_bytes = rows->words * sizeof(uint32_t);

    for (unsigned i = 0; i < code->field_count; i++) {
        struct intervals *index = &fields[i].index;
        for (unsigned k = 0; k < index->count; k++) {
            index->answers[k] =
                (code->bits_words + index->answers[k] * rows->words) * (uint32_t)sizeof(uint32_t);
        }
        if (fields[i].mask != 0) {
            memcpy(table + code->fields[i].index_words, index->answers,
                   index->count * sizeof(uint32_t));
        } else {
            search_tree_fill(&code->fields[i].tree, index, pause, table);
        }
        pause_take(pause);
    }
    for (unsigned i = 0; i < rows->count; i++) {
        memcpy(table + code->bits_words + i * rows->words, rows->bits + (size_t)i * rows->words,
               row_bytes);
        if (i % 512 == 0)
            pause_take(pause);
    }
    for (unsigned i = 0; i < list->count; i++)
        table[code->answer_words + i] = list->rules[i].answer;
    table[code->answer_words + list->count] = JIT_NONE;
}

/* ---- Where the rows are ---------------------------------------------------------------------- */

static int32_t column(unsigned i)
{
    return (int32_t)(i * COLUMN_BYTES);
}

/* The word of packet FILTER_PACKET + ahead in that column. */
static struct memory_operand in_column(unsigned i, unsigned ahead)
{
    return memory_indexed(RSP, FILTER_PACKET, sizeof(uint32_t),
                          column(i) + (int32_t)(ahead * sizeof(uint32_t)));
}

static void emit_index_of_bits(const struct rows_code *code, unsigned i, struct emit *emit)
{
    const uint16_t field = (uint16_t)code->fields[i].field;

    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_VALUES, .field = field });
    emit_table(emit,
               (struct jit_table){ .kind = JIT_TABLE_VALUES,
                                   .field = field,
                                   .at = code->fields[i].index_words,
                                   .count = (code->fields[i].mask >> code->fields[i].shift) + 1,
                                   .mask = code->fields[i].mask });
    struct label turn = filter_loop_begin(emit);

    for (unsigned ahead = 0; ahead < PACKETS_A_TURN; ahead++) {
        emit_load32(emit, RAX, filter_field(code->fields[i].field, ahead));
        emit_alu32_value(emit, ALU_AND, RAX, code->fields[i].mask);
        emit_shift32_value(emit, SHIFT_RIGHT, RAX, (uint8_t)code->fields[i].shift);
        emit_load32(emit, RAX,
                    filter_table_indexed(code->fields[i].index_words, RAX, sizeof(uint32_t)));
        emit_store32(emit, in_column(i, ahead), RAX);
    }
    filter_loop_end(emit, &turn, PACKETS_A_TURN);
}

/* A tree puts what it finds at FILTER_ANSWERS. */
static void emit_index(const struct rows_code *code, unsigned i, struct emit *emit)
{
    if (code->fields[i].mask != 0) {
        emit_index_of_bits(code, i, emit);
        return;
    }
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_LEVEL,
                                       .field = (uint16_t)code->fields[i].field });
    emit_lea64(emit, FILTER_ANSWERS, memory_of(RSP, column(i)));
    search_tree_emit(&code->fields[i].tree, code->fields[i].field, emit);
}

/* ---- What they have in common ---------------------------------------------------------------- */

/* RAX = a bit for each word of the vector that is 0. */
static void emit_zero_words(const struct rows_code *code, unsigned vector, struct emit *emit)
{
    if (code->vectors == JIT_AVX512) {
        emit_evex_vpcmpud(emit, VECTOR_512, COMPARE_EQUAL, 1, 0, vector, ZERO);
        emit_kmovw(emit, RAX, 1);
    } else {
        lanes_operate(emit, code->vectors, VECTOR_PCMPEQD, vector, ZERO);
        lanes_signs(emit, code->vectors, RAX, vector);
    }
}

/* So many vectors from number `first` on: to the stack, and which of their words are 0 to R8. */
static void emit_common(const struct rows_code *code, unsigned ahead, unsigned first,
                        unsigned count, struct emit *emit)
{
    const unsigned lanes = lane_count(code->vectors);

    for (unsigned i = 0; i < code->field_count; i++) {
        emit_load32(emit, RAX, in_column(i, ahead));
        for (unsigned k = 0; k < count; k++) {
            struct memory_operand bits = filter_table_indexed((first + k) * lanes, RAX, 1);
            if (i == 0)
                lanes_load(emit, code->vectors, k, bits);
            else
                lanes_operate_load(emit, code->vectors, VECTOR_PAND, k, bits);
        }
    }
    for (unsigned k = 0; k < count; k++) {
        const unsigned word = (first + k) * lanes;
        int32_t at = column(code->field_count) + (int32_t)(word * sizeof(uint32_t));
        lanes_store(emit, code->vectors, memory_of(RSP, at), k);
        emit_zero_words(code, k, emit);
        if (word == 0) {
            emit_mov32(emit, R8, RAX);
            continue;
        }
        emit_shift64_value(emit, SHIFT_LEFT, RAX, (uint8_t)word);
        emit_alu64(emit, ALU_OR, R8, RAX);
    }
}

/* One of the words is not 0, as all rows have the last bit. Processors without BMI1 take tzcnt for
 * bsf, which is the same then. */
static void emit_packet(const struct rows_code *code, unsigned ahead, struct emit *emit)
{
    const unsigned vectors = code->row_words / lane_count(code->vectors);

    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_COMMON, .number = ahead });
    for (unsigned first = 0; first < vectors; first += VECTORS_AT_ONCE) {
        emit_common(code, ahead, first, MIN_OF(vectors - first, (unsigned)VECTORS_AT_ONCE), emit);
    }
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_FIRST, .number = ahead });
    emit_not64(emit, R8);
    emit_tzcnt64(emit, R8, R8);
    emit_load32(emit, RAX, memory_indexed(RSP, R8, sizeof(uint32_t), column(code->field_count)));
    emit_tzcnt32(emit, RAX, RAX);
    emit_shift32_value(emit, SHIFT_LEFT, R8, 5);
    emit_alu32(emit, ALU_OR, R8, RAX);
    emit_load32(emit, RAX, filter_table_indexed(code->answer_words, R8, sizeof(uint32_t)));
    emit_store32(emit, filter_answer(ahead), RAX);
}

void rows_code_emit(const struct rows_code *code, struct emit *emit)
{
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_BEGIN });
    emit_push(emit, RBP);
    emit_mov64(emit, RBP, RSP);
    emit_alu64_value(emit, ALU_SUB, RSP, column(code->field_count) + COMMON_BYTES);
    emit_alu64_value(emit, ALU_AND, RSP, -CACHE_LINE_BYTES);
    emit_mov64(emit, R10, FILTER_ANSWERS);
    for (unsigned i = 0; i < code->field_count; i++)
        emit_index(code, i, emit);
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_BEGIN, .number = 1 });
    emit_table(emit, (struct jit_table){ .kind = JIT_TABLE_ROWS,
                                         .at = code->bits_words,
                                         .count = (code->end_words - 1) - code->answer_words,
                                         .words = code->row_words,
                                         .answers = code->answer_words });
    emit_mov64(emit, FILTER_ANSWERS, R10);

    lanes_operate(emit, code->vectors, VECTOR_PXOR, ZERO, ZERO);
    struct label turn = filter_loop_begin(emit);
    for (unsigned ahead = 0; ahead < PACKETS_A_TURN; ahead++)
        emit_packet(code, ahead, emit);
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_TURN });
    filter_loop_end(emit, &turn, PACKETS_A_TURN);
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_END });
    emit_mov64(emit, RSP, RBP);
    emit_pop(emit, RBP);
    filter_end(emit, code->vectors);
}
