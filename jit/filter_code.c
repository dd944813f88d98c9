/* The frame around the code of all filters. */
#include "jit/filter_code.h"

#include "jit/lanes.h"
#include "jit/marks.h"

static int32_t bytes_of(size_t words)
{
    return (int32_t)(words * sizeof(uint32_t));
}

struct memory_operand filter_table(uint32_t words)
{
    return memory_of(FILTER_TABLE, bytes_of(words));
}

struct memory_operand filter_table_indexed(uint32_t words, enum gpr index, uint8_t scale)
{
    return memory_indexed(FILTER_TABLE, index, scale, bytes_of(words));
}

struct memory_operand filter_field(unsigned field, unsigned ahead)
{
    return memory_indexed(FILTER_FIELDS, FILTER_PACKET, sizeof(uint32_t),
                          bytes_of(field * BATCH_MAX + ahead));
}

struct memory_operand filter_answer(unsigned ahead)
{
    return memory_indexed(FILTER_ANSWERS, FILTER_PACKET, sizeof(uint32_t), bytes_of(ahead));
}

struct label filter_loop_begin(struct emit *emit)
{
    struct label begin = { 0 };

    emit_alu32(emit, ALU_XOR, FILTER_PACKET, FILTER_PACKET);
    emit_label(emit, &begin);
    return begin;
}

void filter_loop_end(struct emit *emit, struct label *begin, unsigned step)
{
    emit_alu32_value(emit, ALU_ADD, FILTER_PACKET, step);
    emit_alu32(emit, ALU_CMP, FILTER_PACKET, FILTER_COUNT);
    emit_jump_if(emit, IF_BELOW, begin);
}

void filter_end(struct emit *emit, enum jit_vectors vectors)
{
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_END });
    lanes_end(emit, vectors);
    emit_ret(emit);
}
