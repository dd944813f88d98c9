/* See show.h. What is told of instructions is known by the registers that the code of all filters
 * has its arguments in (filter_code.h). */
#include "jit/show.h"

#include <string.h>

#include "jit/filter_code.h"
#include "jit/key_front.h"
#include "kernel/platform.h"

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

/* ---- What fields are ------------------------------------------------------------------------- */

struct jit_field jit_field_of(const struct jit_description *filter, unsigned field)
{
    static const enum jit_field_kind kinds[] = { [COLUMN_COPY] = JIT_FIELD_ITSELF,
                                                 [COLUMN_RANK] = JIT_FIELD_RANK,
                                                 [COLUMN_MEMBERS] = JIT_FIELD_MEMBERS };
    if (filter->front == NULL)
        return (struct jit_field){ .kind = JIT_FIELD_ITSELF, .field = field };
    CHECK(field < filter->front->count);
    return (struct jit_field){ .kind = kinds[filter->front->columns[field].kind],
                               .field = filter->front->columns[field].field };
}

void jit_rank_values(const struct jit_description *filter, unsigned field, uint32_t first_rank,
                     uint32_t last_rank, uint32_t first[JIT_KEY_WORDS_MAX],
                     uint32_t last[JIT_KEY_WORDS_MAX])
{
    const struct key_ranks *ranks = &filter->front->columns[field].ranks;
    const unsigned words = ranks->words;

    first_rank = MIN_OF(first_rank, ranks->count - 1);
    last_rank = MIN_OF(last_rank, ranks->count - 1);
    /* Behind the last value of the rank before; before the first rank that is all ones. */
    bool carry = true;
    for (unsigned i = words; i-- > 0;) {
        first[i] = first_rank > 0 ? ranks->last[(first_rank - 1) * words + i] : UINT32_MAX;
        first[i] += carry;
        carry = carry && first[i] == 0;
        last[i] = ranks->last[last_rank * words + i];
    }
}

bool jit_bits_name_set(const struct jit_description *filter, unsigned field, unsigned set,
                       uint32_t value, uint32_t mask)
{
    const struct key_front *front = filter->front;
    const struct key_member *member = &front->members[front->columns[field].field][set];

    return member->bits.last != 0 && member->column == field && (member->bits.last & ~mask) == 0 &&
           (value & member->bits.last) == member->bits.first;
}

void jit_front_describe(const struct jit_description *filter, struct jit_description *front)
{
    const struct key_front *it = filter->front;

    *front = (struct jit_description){ .shape = filter->shape,
                                       .vectors = filter->vectors,
                                       .code_bytes = it->code_bytes,
                                       .table_bytes = it->table_bytes,
                                       .code = it->code->entry,
                                       .table = it->table,
                                       .marks = mark_list_of(&it->marks) };
}
