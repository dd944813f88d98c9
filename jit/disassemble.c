/* See disassemble.h. Zydis numbers registers as the processor does, so its numbers are enum gpr. */
#include "jit/disassemble.h"

#include <Zydis/Zydis.h>

static enum gpr gpr_of(ZydisRegister name)
{
    return (enum gpr)ZydisRegisterGetId(name);
}

/* lea only computes with its operand. Of none at all the base is no register. */
static void tell_memory(const ZydisDecodedOperand *operand, struct disassembled *out)
{
    if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY || operand->mem.type != ZYDIS_MEMOP_TYPE_MEM ||
        operand->mem.base == ZYDIS_REGISTER_NONE)
        return;
    const bool is_indexed = operand->mem.index != ZYDIS_REGISTER_NONE;
    out->has_memory = true;
    out->memory = (struct memory_operand){
        .base = gpr_of(operand->mem.base),
        .index = is_indexed ? gpr_of(operand->mem.index) : GPR_NONE,
        .scale = is_indexed ? operand->mem.scale : 1,
        .displacement = (int32_t)operand->mem.disp.value,
    };
}

void disassemble(const uint8_t *bytes, size_t left, uint32_t at, struct disassembled *out)
{
    ZydisDecoder decoder;
    ZydisFormatter formatter;
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    *out = (struct disassembled){ .length = 0 };
    if (!ZYAN_SUCCESS(
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
        !ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL)) ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, left, &instruction, operands)) ||
        !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &instruction, operands,
                                                      instruction.operand_count_visible, out->text,
                                                      sizeof(out->text), at, NULL)))
        return;
    out->length = instruction.length;
    for (unsigned i = 0; i < instruction.operand_count_visible; i++)
        tell_memory(&operands[i], out);
}
