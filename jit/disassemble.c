/* See disassemble.h. Zydis numbers registers as the processor does, so its numbers are enum gpr. */
#include "jit/disassemble.h"

#include <Zydis/Zydis.h>

static enum gpr gpr_of(ZydisRegister name)
{
    return (enum gpr)ZydisRegisterGetId(name);
}

static int vector_of(const ZydisDecodedOperand *operand)
{
    if (operand->type != ZYDIS_OPERAND_TYPE_REGISTER)
        return -1;
    switch (ZydisRegisterGetClass(operand->reg.value)) {
    case ZYDIS_REGCLASS_XMM:
    case ZYDIS_REGCLASS_YMM:
    case ZYDIS_REGCLASS_ZMM:
        return ZydisRegisterGetId(operand->reg.value);
    default:
        return -1;
    }
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

/* Numbers without zeroes in front, in small letters. */
static bool formatter_init(ZydisFormatter *formatter)
{
    static const struct {
        ZydisFormatterProperty property;
        ZyanUPointer value;
    } wanted[] = {
        { ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE },
        { ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, ZYDIS_PADDING_DISABLED },
        { ZYDIS_FORMATTER_PROP_DISP_PADDING, ZYDIS_PADDING_DISABLED },
        { ZYDIS_FORMATTER_PROP_IMM_PADDING, ZYDIS_PADDING_DISABLED },
    };

    if (!ZYAN_SUCCESS(ZydisFormatterInit(formatter, ZYDIS_FORMATTER_STYLE_INTEL)))
        return false;
    for (unsigned i = 0; i < ARRAY_COUNT(wanted); i++)
        if (!ZYAN_SUCCESS(
                ZydisFormatterSetProperty(formatter, wanted[i].property, wanted[i].value)))
            return false;
    return true;
}

void disassemble(const uint8_t *bytes, size_t left, uint32_t at, struct disassembled *out)
{
    ZydisDecoder decoder;
    ZydisFormatter formatter;
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    *out = (struct disassembled){ .vector = -1 };
    if (!ZYAN_SUCCESS(
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
        !formatter_init(&formatter) ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, left, &instruction, operands)) ||
        !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &instruction, operands,
                                                      instruction.operand_count_visible, out->text,
                                                      sizeof(out->text), at, NULL)))
        return;
    out->length = instruction.length;
    for (unsigned i = 0; i < instruction.operand_count_visible; i++) {
        tell_memory(&operands[i], out);
        out->vector = MAX_OF(out->vector, vector_of(&operands[i]));
    }
}
