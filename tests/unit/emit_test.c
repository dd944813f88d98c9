/* Goal: what jit/emit.h writes is what its functions are called. Method: Zydis, which knows nothing
 * of us, reads each form back with every register in each of its places and memory operands of
 * every shape; its text is compared with ours. */
#include "jit/emit.h"

#include <Zydis/Zydis.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kernel/platform.h"
#include "tests/unit/test.h"

enum { ROOM = 64 };

static const char *const names64[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
static const char *const names32[] = {
    "eax", "ecx", "edx",  "ebx",  "esp",  "ebp",  "esi",  "edi",
    "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"
};
static const char *const names16[] = {
    "ax",  "cx",  "dx",   "bx",   "sp",   "bp",   "si",   "di",
    "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w"
};
static const char vector_letters[] = { 'x', 'y', 'z' };

/* One instruction, written and read back; all of it is gone through, and measuring agrees. */
struct bench {
    struct emit emit;
    uint8_t bytes[ROOM];
};

static struct emit *begin(struct bench *bench)
{
    memset(bench->bytes, 0xcc, sizeof(bench->bytes));
    bench->emit = (struct emit){ .bytes = bench->bytes, .room = sizeof(bench->bytes) };
    return &bench->emit;
}

static void disassemble(const struct bench *bench, size_t at, char *text, size_t size,
                        size_t *length)
{
    ZydisDecoder decoder;
    ZydisFormatter formatter;
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    EXPECT(
        ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)));
    EXPECT(ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL)));
    EXPECT(ZYAN_SUCCESS(
        ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_FORCE_SIZE, ZYAN_TRUE)));
    ZyanStatus status = ZydisDecoderDecodeFull(&decoder, bench->bytes + at, bench->emit.used - at,
                                               &instruction, operands);
    if (!ZYAN_SUCCESS(status))
        test_fail(__FILE__, __LINE__, "no instruction: %02x %02x %02x %02x %02x", bench->bytes[at],
                  bench->bytes[at + 1], bench->bytes[at + 2], bench->bytes[at + 3],
                  bench->bytes[at + 4]);
    EXPECT(ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &instruction, operands,
                                                        instruction.operand_count_visible, text,
                                                        size, at, NULL)));
    *length = instruction.length;
}

static void expect_decoded(const struct bench *bench, int line, const char *format, ...)
{
    char text[128], wanted[128];
    size_t length;
    va_list args;
    va_start(args, format);
    vsnprintf(wanted, sizeof(wanted), format, args);
    va_end(args);
    EXPECT(emit_fits(&bench->emit));
    disassemble(bench, 0, text, sizeof(text), &length);
    if (strcmp(text, wanted) != 0 || length != bench->emit.used)
        test_fail(__FILE__, line, "\"%s\" of %zu bytes, expected \"%s\" of %zu", text, length,
                  wanted, bench->emit.used);
}
#define EXPECT_DECODED(bench, ...) expect_decoded((bench), __LINE__, __VA_ARGS__)

/* Displacements of no, one and four bytes, at their limits. */
static const int32_t displacements[] = {
    0, 1, -1, 127, 128, -128, -129, 64, 0x12345678, INT32_MIN
};

/* Goes through all bases, indices, scales and displacements; false at the end. */
struct shape {
    unsigned base, index, scale_log, displacement;
};

static bool next_shape(struct shape *shape)
{
    if (++shape->displacement < ARRAY_COUNT(displacements))
        return true;
    shape->displacement = 0;
    if (++shape->scale_log < 4)
        return true;
    shape->scale_log = 0;
    if (++shape->index < 16)
        return true;
    shape->index = 0;
    return ++shape->base < 16;
}

static struct memory_operand memory_at_shape(const struct shape *shape)
{
    int32_t displacement = displacements[shape->displacement];
    if (shape->index == GPR_NONE)
        return memory_of(shape->base, displacement);
    return memory_indexed(shape->base, shape->index, (uint8_t)(1 << shape->scale_log),
                          displacement);
}

static const char *memory_text(struct memory_operand memory)
{
    static char text[4][64];
    static unsigned turn;
    char *out = text[turn++ % 4];
    int used = snprintf(out, 64, "[%s", names64[memory.base]);
    if (memory.index != GPR_NONE) {
        used += snprintf(out + used, 64 - (size_t)used, "+%s", names64[memory.index]);
        used += snprintf(out + used, 64 - (size_t)used, "*%u", memory.scale);
    }
    int64_t displacement = memory.displacement;
    if (displacement != 0)
        used += snprintf(out + used, 64 - (size_t)used, "%c0x%02llX", displacement < 0 ? '-' : '+',
                         (unsigned long long)(displacement < 0 ? -displacement : displacement));
    snprintf(out + used, 64 - (size_t)used, "]");
    return out;
}

static const char *vector(enum vector_width width, unsigned number)
{
    static char text[8][8];
    static unsigned turn;
    char *out = text[turn++ % 8];
    snprintf(out, 8, "%cmm%u", vector_letters[width], number);
    return out;
}

static const char *const conditions[16] = {
    [IF_BELOW] = "b",      [IF_NOT_BELOW] = "nb", [IF_EQUAL] = "z",        [IF_NOT_EQUAL] = "nz",
    [IF_NOT_ABOVE] = "be", [IF_ABOVE] = "nbe",    [IF_SIGN] = "s",         [IF_NOT_SIGN] = "ns",
    [IF_LESS] = "l",       [IF_NOT_LESS] = "nl",  [IF_NOT_GREATER] = "le", [IF_GREATER] = "nle",
};
static const char *const alus[8] = {
    [ALU_ADD] = "add", [ALU_OR] = "or",   [ALU_AND] = "and",
    [ALU_SUB] = "sub", [ALU_XOR] = "xor", [ALU_CMP] = "cmp",
};
static const char *const operations[] = {
    [VECTOR_PCMPEQD] = "pcmpeqd",
    [VECTOR_PCMPGTD] = "pcmpgtd",
    [VECTOR_PCMPGTQ] = "pcmpgtq",
    [VECTOR_PACKSSDW] = "packssdw",
    [VECTOR_PUNPCKLDQ] = "punpckldq",
    [VECTOR_PUNPCKHDQ] = "punpckhdq",
    [VECTOR_PMINUD] = "pminud",
    [VECTOR_PMAXUD] = "pmaxud",
    [VECTOR_PADDD] = "paddd",
    [VECTOR_PSUBD] = "psubd",
    [VECTOR_PAND] = "pand",
    [VECTOR_PANDN] = "pandn",
    [VECTOR_POR] = "por",
    [VECTOR_PXOR] = "pxor",
};

/* ---- General registers ------------------------------------------------------------------------
 */

typedef void (*two_registers)(struct emit *emit, enum gpr to, enum gpr from);

TEST(emitted_forms_of_two_registers_decode)
{
    static const struct {
        two_registers form;
        const char *name;
        const char *const *names;
    } forms[] = {
        { emit_mov32, "mov", names32 },       { emit_mov64, "mov", names64 },
        { emit_test32, "test", names32 },     { emit_imul32, "imul", names32 },
        { emit_imul64, "imul", names64 },     { emit_popcnt32, "popcnt", names32 },
        { emit_popcnt64, "popcnt", names64 }, { emit_tzcnt32, "tzcnt", names32 },
        { emit_tzcnt64, "tzcnt", names64 },   { emit_bsf32, "bsf", names32 },
    };
    struct bench bench;
    for (unsigned to = 0; to < 16; to++) {
        for (unsigned from = 0; from < 16; from++) {
            for (unsigned i = 0; i < ARRAY_COUNT(forms); i++) {
                forms[i].form(begin(&bench), to, from);
                EXPECT_DECODED(&bench, "%s %s, %s", forms[i].name, forms[i].names[to],
                               forms[i].names[from]);
            }
            for (unsigned i = 0; i < 16; i++) {
                if (conditions[i]) {
                    emit_cmov32(begin(&bench), i, to, from);
                    EXPECT_DECODED(&bench, "cmov%s %s, %s", conditions[i], names32[to],
                                   names32[from]);
                    emit_cmov64(begin(&bench), i, to, from);
                    EXPECT_DECODED(&bench, "cmov%s %s, %s", conditions[i], names64[to],
                                   names64[from]);
                }
                if (i < 8 && alus[i]) {
                    emit_alu32(begin(&bench), i, to, from);
                    EXPECT_DECODED(&bench, "%s %s, %s", alus[i], names32[to], names32[from]);
                    emit_alu64(begin(&bench), i, to, from);
                    EXPECT_DECODED(&bench, "%s %s, %s", alus[i], names64[to], names64[from]);
                }
            }
            emit_imul32_value(begin(&bench), to, from, 0x89abcdef);
            EXPECT_DECODED(&bench, "imul %s, %s, 0x89ABCDEF", names32[to], names32[from]);
        }
    }
}

TEST(emitted_forms_of_one_register_decode)
{
    struct bench bench;
    for (unsigned at = 0; at < 16; at++) {
        emit_mov32_value(begin(&bench), at, 0x89abcdef);
        EXPECT_DECODED(&bench, "mov %s, 0x89ABCDEF", names32[at]);
        emit_mov64_value(begin(&bench), at, 0x123456789abcdef0);
        EXPECT_DECODED(&bench, "mov %s, 0x123456789ABCDEF0", names64[at]);
        emit_push(begin(&bench), at);
        EXPECT_DECODED(&bench, "push %s", names64[at]);
        emit_pop(begin(&bench), at);
        EXPECT_DECODED(&bench, "pop %s", names64[at]);
        emit_call(begin(&bench), at);
        EXPECT_DECODED(&bench, "call %s", names64[at]);
        emit_div32(begin(&bench), at);
        EXPECT_DECODED(&bench, "div %s", names32[at]);
        emit_neg32(begin(&bench), at);
        EXPECT_DECODED(&bench, "neg %s", names32[at]);
        emit_not32(begin(&bench), at);
        EXPECT_DECODED(&bench, "not %s", names32[at]);
        emit_not64(begin(&bench), at);
        EXPECT_DECODED(&bench, "not %s", names64[at]);
        emit_bswap32(begin(&bench), at);
        EXPECT_DECODED(&bench, "bswap %s", names32[at]);
        emit_swap16(begin(&bench), at);
        EXPECT_DECODED(&bench, "rol %s, 0x08", names16[at]);
        emit_test32_value(begin(&bench), at, 0x89abcdef);
        EXPECT_DECODED(&bench, "test %s, 0x89ABCDEF", names32[at]);
        emit_shift32_value(begin(&bench), SHIFT_LEFT, at, 31);
        EXPECT_DECODED(&bench, "shl %s, 0x1F", names32[at]);
        emit_shift64_value(begin(&bench), SHIFT_RIGHT, at, 63);
        EXPECT_DECODED(&bench, "shr %s, 0x3F", names64[at]);
        emit_shift32_cl(begin(&bench), SHIFT_RIGHT, at);
        EXPECT_DECODED(&bench, "shr %s, cl", names32[at]);
        for (unsigned alu = 0; alu < 8; alu++) {
            if (!alus[alu])
                continue;
            emit_alu32_value(begin(&bench), alu, at, 0x7f);
            EXPECT_DECODED(&bench, "%s %s, 0x7F", alus[alu], names32[at]);
            emit_alu32_value(begin(&bench), alu, at, 0x80);
            EXPECT_DECODED(&bench, "%s %s, 0x80", alus[alu], names32[at]);
            emit_alu64_value(begin(&bench), alu, at, 0x12345678);
            EXPECT_DECODED(&bench, "%s %s, 0x12345678", alus[alu], names64[at]);
        }
    }
    emit_ret(begin(&bench));
    EXPECT_DECODED(&bench, "ret");
}

TEST(emitted_memory_operands_decode)
{
    static const struct {
        void (*form)(struct emit *emit, enum gpr to, struct memory_operand from);
        const char *name;
        const char *const *names;
        const char *size;
    } loads[] = {
        { emit_lea64, "lea", names64, "" },
        { emit_load8, "movzx", names32, "byte ptr " },
        { emit_load16, "movzx", names32, "word ptr " },
        { emit_load32, "mov", names32, "dword ptr " },
        { emit_load64, "mov", names64, "qword ptr " },
    };
    struct bench bench;
    struct shape shape = { 0 };
    unsigned reg = 0;
    do {
        struct memory_operand memory = memory_at_shape(&shape);
        const char *text = memory_text(memory);
        reg = (reg + 5) % 16;
        for (unsigned i = 0; i < ARRAY_COUNT(loads); i++) {
            loads[i].form(begin(&bench), reg, memory);
            EXPECT_DECODED(&bench, "%s %s, %s%s", loads[i].name, loads[i].names[reg], loads[i].size,
                           text);
        }
        emit_store32(begin(&bench), memory, reg);
        EXPECT_DECODED(&bench, "mov dword ptr %s, %s", text, names32[reg]);
        emit_store64(begin(&bench), memory, reg);
        EXPECT_DECODED(&bench, "mov qword ptr %s, %s", text, names64[reg]);
        emit_alu32_load(begin(&bench), ALU_CMP, reg, memory);
        EXPECT_DECODED(&bench, "cmp %s, dword ptr %s", names32[reg], text);
        emit_alu64_load(begin(&bench), ALU_AND, reg, memory);
        EXPECT_DECODED(&bench, "and %s, qword ptr %s", names64[reg], text);
        emit_alu64_store(begin(&bench), ALU_ADD, memory, reg);
        EXPECT_DECODED(&bench, "add qword ptr %s, %s", text, names64[reg]);
    } while (next_shape(&shape));
}

/* ---- Vectors ----------------------------------------------------------------------------------
 */

TEST(emitted_vector_operations_decode)
{
    struct bench bench;
    for (unsigned operation = 0; operation < ARRAY_COUNT(operations); operation++) {
        const char *name = operations[operation];
        bool bits = operation >= VECTOR_PAND;
        for (unsigned i = 0; i < 32 * 32; i++) {
            unsigned to = i / 32, right = i % 32, left = (to * 7 + right + 3) % 32;
            if (to < 16 && right < 16) {
                emit_sse(begin(&bench), operation, to, right);
                EXPECT_DECODED(&bench, "%s xmm%u, xmm%u", name, to, right);
                for (unsigned width = VECTOR_128; width <= VECTOR_256; width++) {
                    emit_avx(begin(&bench), width, operation, to, left % 16, right);
                    EXPECT_DECODED(&bench, "v%s %s, %s, %s", name, vector(width, to),
                                   vector(width, left % 16), vector(width, right));
                }
            }
            if (operation <= VECTOR_PUNPCKHDQ)
                continue;
            for (unsigned width = VECTOR_128; width <= VECTOR_512; width++) {
                emit_evex(begin(&bench), width, operation, to, left, right);
                EXPECT_DECODED(&bench, "v%s%s %s, %s, %s", name, bits ? "d" : "", vector(width, to),
                               vector(width, left), vector(width, right));
            }
        }
    }
    EXPECT_PANIC(emit_evex(begin(&bench), VECTOR_512, VECTOR_PCMPEQD, 0, 0, 0), "operation");
}

TEST(emitted_vector_moves_decode)
{
    struct bench bench;
    for (unsigned i = 0; i < 16 * 16; i++) {
        unsigned to = i / 16, from = i % 16;
        emit_sse_movdqa(begin(&bench), to, from);
        EXPECT_DECODED(&bench, "movdqa xmm%u, xmm%u", to, from);
        emit_sse_movd(begin(&bench), to, from);
        EXPECT_DECODED(&bench, "movd xmm%u, %s", to, names32[from]);
        emit_avx_vmovd(begin(&bench), to, from);
        EXPECT_DECODED(&bench, "vmovd xmm%u, %s", to, names32[from]);
        emit_avx_vmovd_store(begin(&bench), to, from);
        EXPECT_DECODED(&bench, "vmovd %s, xmm%u", names32[to], from);
        emit_sse_pshufd(begin(&bench), to, from, 0x1b);
        EXPECT_DECODED(&bench, "pshufd xmm%u, xmm%u, 0x1B", to, from);
        emit_sse_movmskps(begin(&bench), to, from);
        EXPECT_DECODED(&bench, "movmskps %s, xmm%u", names32[to], from);
        emit_sse_pmovmskb(begin(&bench), to, from);
        EXPECT_DECODED(&bench, "pmovmskb %s, xmm%u", names32[to], from);
        for (unsigned width = VECTOR_128; width <= VECTOR_256; width++) {
            emit_avx_vpbroadcastd(begin(&bench), width, to, from);
            EXPECT_DECODED(&bench, "vpbroadcastd %s, xmm%u", vector(width, to), from);
            emit_avx_vmovmskps(begin(&bench), width, to, from);
            EXPECT_DECODED(&bench, "vmovmskps %s, %s", names32[to], vector(width, from));
        }
        for (unsigned width = VECTOR_128; width <= VECTOR_512; width++) {
            emit_evex_vpbroadcastd(begin(&bench), width, to * 2 + 1, from);
            EXPECT_DECODED(&bench, "vpbroadcastd %s, %s", vector(width, to * 2 + 1), names32[from]);
            emit_evex_vpcompressd(begin(&bench), width, to * 2 + 1, 3, from * 2);
            EXPECT_DECODED(&bench, "vpcompressd %s {k3}, %s", vector(width, to * 2 + 1),
                           vector(width, from * 2));
        }
        unsigned mask = to % 8, other = from % 8, third = (to + from) % 8;
        emit_kmovw(begin(&bench), to, other);
        EXPECT_DECODED(&bench, "kmovw %s, k%u", names32[to], other);
        emit_kmovw_to_mask(begin(&bench), mask, from);
        EXPECT_DECODED(&bench, "kmovw k%u, %s", mask, names32[from]);
        emit_kandw(begin(&bench), mask, other, third);
        EXPECT_DECODED(&bench, "kandw k%u, k%u, k%u", mask, other, third);
        emit_korw(begin(&bench), mask, other, third);
        EXPECT_DECODED(&bench, "korw k%u, k%u, k%u", mask, other, third);
    }
    emit_avx_vzeroupper(begin(&bench));
    EXPECT_DECODED(&bench, "vzeroupper");
}

TEST(emitted_vector_memory_operands_decode)
{
    static const char *const sizes[] = { "xmmword ptr", "ymmword ptr", "zmmword ptr" };
    struct bench bench;
    struct shape shape = { 0 };
    unsigned reg = 0;
    do {
        struct memory_operand memory = memory_at_shape(&shape);
        const char *text = memory_text(memory);
        reg = (reg + 7) % 16;
        emit_sse_load(begin(&bench), VECTOR_PCMPGTD, reg, memory);
        EXPECT_DECODED(&bench, "pcmpgtd xmm%u, xmmword ptr %s", reg, text);
        emit_sse_movd_load(begin(&bench), reg, memory);
        EXPECT_DECODED(&bench, "movd xmm%u, dword ptr %s", reg, text);
        emit_sse_movdqu_load(begin(&bench), reg, memory);
        EXPECT_DECODED(&bench, "movdqu xmm%u, xmmword ptr %s", reg, text);
        emit_sse_movdqu_store(begin(&bench), memory, reg);
        EXPECT_DECODED(&bench, "movdqu xmmword ptr %s, xmm%u", text, reg);
        for (unsigned width = VECTOR_128; width <= VECTOR_256; width++) {
            const char *name = vector(width, reg);
            emit_avx_load(begin(&bench), width, VECTOR_PMINUD, reg, 15 - reg, memory);
            EXPECT_DECODED(&bench, "vpminud %s, %s, %s %s", name, vector(width, 15 - reg),
                           sizes[width], text);
            emit_avx_vmovdqu_load(begin(&bench), width, reg, memory);
            EXPECT_DECODED(&bench, "vmovdqu %s, %s %s", name, sizes[width], text);
            emit_avx_vmovdqu_store(begin(&bench), width, memory, reg);
            EXPECT_DECODED(&bench, "vmovdqu %s %s, %s", sizes[width], text, name);
            emit_avx_vpbroadcastd_load(begin(&bench), width, reg, memory);
            EXPECT_DECODED(&bench, "vpbroadcastd %s, dword ptr %s", name, text);
            emit_avx_vpbroadcastq_load(begin(&bench), width, reg, memory);
            EXPECT_DECODED(&bench, "vpbroadcastq %s, qword ptr %s", name, text);
        }
        for (unsigned width = VECTOR_128; width <= VECTOR_512; width++) {
            unsigned number = reg * 2 + 1;
            const char *name = vector(width, number);
            emit_evex_vmovdqu32_load(begin(&bench), width, number, memory);
            EXPECT_DECODED(&bench, "vmovdqu32 %s, %s %s", name, sizes[width], text);
            emit_evex_vmovdqu32_store(begin(&bench), width, memory, number);
            EXPECT_DECODED(&bench, "vmovdqu32 %s %s, %s", sizes[width], text, name);
            emit_evex_vpbroadcastd_load(begin(&bench), width, number, memory);
            EXPECT_DECODED(&bench, "vpbroadcastd %s, dword ptr %s", name, text);
            emit_evex_vpbroadcastq_load(begin(&bench), width, number, memory);
            EXPECT_DECODED(&bench, "vpbroadcastq %s, qword ptr %s", name, text);
            emit_evex_vpbroadcastd_merge(begin(&bench), width, number, 3, memory);
            EXPECT_DECODED(&bench, "vpbroadcastd %s {k3}, dword ptr %s", name, text);
            emit_evex_load(begin(&bench), width, VECTOR_PAND, number, 31 - number, memory);
            EXPECT_DECODED(&bench, "vpandd %s, %s, %s %s", name, vector(width, 31 - number),
                           sizes[width], text);
            emit_evex_word(begin(&bench), width, VECTOR_PSUBD, number, 31 - number, memory);
            EXPECT_DECODED(&bench, "vpsubd %s, %s, dword ptr %s {1to%u}", name,
                           vector(width, 31 - number), text, 4u << width);
            emit_evex_vpcmpud_word(begin(&bench), width, COMPARE_EQUAL, 1, 2, number, memory);
            EXPECT_DECODED(&bench, "vpcmpud k1 {k2}, %s, dword ptr %s {1to%u}, 0x00", name, text,
                           4u << width);
            emit_evex_vpcmpud_load(begin(&bench), width, COMPARE_NOT_GREATER, 1, 2, number, memory);
            EXPECT_DECODED(&bench, "vpcmpud k1 {k2}, %s, %s %s, 0x02", name, sizes[width], text);
            emit_evex_vpcmpuq_load(begin(&bench), width, COMPARE_GREATER, 1, 2, number, memory);
            EXPECT_DECODED(&bench, "vpcmpuq k1 {k2}, %s, %s %s, 0x06", name, sizes[width], text);
        }
    } while (next_shape(&shape));
}

TEST(emitted_comparisons_decode)
{
    static const enum comparison comparisons[] = {
        COMPARE_EQUAL,     COMPARE_LESS,     COMPARE_NOT_GREATER,
        COMPARE_NOT_EQUAL, COMPARE_NOT_LESS, COMPARE_GREATER,
    };
    struct bench bench;
    for (unsigned i = 0; i < ARRAY_COUNT(comparisons) * 32 * 32; i++) {
        unsigned left = i / 32 % 32, right = i % 32, which = i / 1024;
        unsigned width = (left + right) % 3, to = left % 8, mask = right % 8;
        char masked[8] = "";
        if (mask > 0)
            snprintf(masked, sizeof(masked), " {k%u}", mask);
        emit_evex_vpcmpud(begin(&bench), width, comparisons[which], to, mask, left, right);
        EXPECT_DECODED(&bench, "vpcmpud k%u%s, %s, %s, 0x%02X", to, masked, vector(width, left),
                       vector(width, right), comparisons[which]);
    }
}

/* ---- Jumps, room ------------------------------------------------------------------------------
 */

TEST(jumps_meet_their_labels_from_both_sides)
{
    struct bench bench;
    struct emit *emit = begin(&bench);
    struct label before = { 0 }, behind = { 0 };
    emit_label(emit, &before);
    emit_jump_if(emit, IF_ABOVE, &behind);
    emit_jump(emit, &behind);
    emit_jump(emit, &before);
    emit_label(emit, &behind);
    emit_jump_if(emit, IF_EQUAL, &behind);

    static const char *const wanted[] = { "jnbe 0x0000000000000010", "jmp 0x0000000000000010",
                                          "jmp 0x0000000000000000", "jz 0x0000000000000010" };
    size_t at = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(wanted); i++) {
        char text[128];
        size_t length;
        disassemble(&bench, at, text, sizeof(text), &length);
        EXPECT_TEXT(text, wanted[i]);
        at += length;
    }
    EXPECT_EQUAL(at, emit->used);
    EXPECT_PANIC(emit_label(emit, &behind), "place");
    for (unsigned i = 0; i < 16; i++) {
        if (!conditions[i])
            continue;
        struct label here = { 0 };
        emit_label(begin(&bench), &here);
        emit_jump_if(&bench.emit, i, &here);
        EXPECT_DECODED(&bench, "j%s 0x0000000000000000", conditions[i]);
    }
}

TEST(gaps_are_filled_with_nops)
{
    for (size_t start = 0; start <= 16; start++) {
        struct bench bench;
        struct emit *emit = begin(&bench);
        for (size_t i = 0; i < start; i++)
            emit_ret(emit);
        emit_align(emit, 16);
        EXPECT_EQUAL(emit->used, (start + 15) / 16 * 16);
        for (size_t at = start; at < emit->used;) {
            char text[128];
            size_t length;
            disassemble(&bench, at, text, sizeof(text), &length);
            EXPECT(strncmp(text, "nop", 3) == 0 || strcmp(text, "xchg ax, ax") == 0);
            at += length;
        }
    }
}

static void emit_something(struct emit *emit)
{
    struct label end = { 0 }, start = { 0 };
    emit_label(emit, &start);
    emit_jump_if(emit, IF_EQUAL, &end);
    emit_alu32_load(emit, ALU_ADD, RAX, memory_indexed(RDI, RCX, 4, 1000));
    emit_jump(emit, &end);
    emit_jump(emit, &start);
    emit_label(emit, &end);
    emit_ret(emit);
}

/* With any room, and none, as much is counted; what is written is the beginning. */
TEST(what_has_no_room_is_counted_and_not_written)
{
    struct emit measured = { 0 };
    emit_something(&measured);
    struct bench whole;
    emit_something(begin(&whole));
    EXPECT_EQUAL(measured.used, whole.emit.used);
    EXPECT(!emit_fits(&measured));
    for (size_t room = 0; room <= whole.emit.used; room++) {
        uint8_t *bytes = memory_alloc(room, 0, MEMORY_TEST); /* whose end AddressSanitizer guards */
        struct emit emit = { .bytes = bytes, .room = room };
        emit_something(&emit);
        EXPECT_EQUAL(emit.used, whole.emit.used);
        EXPECT_EQUAL(emit_fits(&emit), room == whole.emit.used);
        if (emit_fits(&emit))
            EXPECT(memcmp(bytes, whole.bytes, room) == 0);
        memory_free(bytes);
    }
}
