/* See show.h. What is told of instructions is known by the registers that the code of all filters
 * has its arguments in (filter_code.h). */
#include "jit/show.h"

#include <string.h>

#include "jit/filter_code.h"

enum { COLUMN_BYTES = BATCH_MAX * sizeof(uint32_t) };

uint32_t jit_mark_end(const struct jit_description *filter, unsigned mark)
{
    const struct jit_marks *marks = &filter->marks;

    return mark + 1 < marks->mark_count ? marks->marks[mark + 1].at : filter->code_bytes;
}

/* SSE2 and AVX2 compare with a sign, so where the order matters theirs is taken off constants. */
static bool has_sign_off(const struct jit_description *filter, const char *text)
{
    const char *operation = text + (filter->vectors == JIT_AVX2); /* a v before it */

    return filter->vectors != JIT_AVX512 &&
           (strncmp(operation, "psubd ", 6) == 0 || strncmp(operation, "pcmpgtd ", 8) == 0);
}

static void tell_table(const struct jit_description *filter, const struct memory_operand *memory,
                       struct jit_instruction *instruction)
{
    instruction->index = (uint32_t)memory->displacement / sizeof(uint32_t);
    instruction->operand = memory->index == GPR_NONE ? JIT_OPERAND_VALUE : JIT_OPERAND_TABLE;
    if (instruction->operand == JIT_OPERAND_VALUE)
        instruction->value =
            filter->table[instruction->index] ^
            (has_sign_off(filter, instruction->disassembled.text) ? FILTER_SIGN : 0);
}

void jit_instruction_at(const struct jit_description *filter, uint32_t at,
                        struct jit_instruction *instruction)
{
    const struct memory_operand *memory = &instruction->disassembled.memory;

    *instruction = (struct jit_instruction){ .operand = JIT_OPERAND_NONE };
    disassemble(filter->code + at, filter->code_bytes - at, at, &instruction->disassembled);
    if (instruction->disassembled.vector >= FILTER_FIELD_VECTORS) {
        instruction->has_field = true;
        instruction->field = (unsigned)instruction->disassembled.vector - FILTER_FIELD_VECTORS;
    }
    if (!instruction->disassembled.has_memory)
        return;
    if (memory->base == FILTER_TABLE) {
        tell_table(filter, memory, instruction);
    } else if (memory->base == FILTER_FIELDS) {
        instruction->operand = JIT_OPERAND_FIELD;
        instruction->has_field = true;
        instruction->field = (uint32_t)memory->displacement / COLUMN_BYTES;
    } else if (memory->base == FILTER_ANSWERS) {
        instruction->operand = JIT_OPERAND_ANSWER;
    } else if (memory->base == RSP) {
        instruction->operand = JIT_OPERAND_STACK;
    }
}
