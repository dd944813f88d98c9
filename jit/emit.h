/* x86-64 instructions as bytes, one function for each form that the compilers of this folder use.
 * Names and encodings are those of the Intel SDM, volume 2; a form is there because somebody uses
 * it, and tests/unit/emit_test.c has a disassembler read every one.
 *
 *   struct emit emit = { 0 };            measures: nothing is written, `used` counts
 *   compile(&emit);
 *   struct code *code = code_alloc(emit.used);
 *   emit = (struct emit){ .bytes = code->bytes, .room = code->size_bytes };
 *   compile(&emit);                      writes the same
 *
 * What has no room is counted and not written, so only the end needs to be looked at: emit_fits().
 * Sizes never depend on where a label is: jumps have 32 bits.
 *
 * In all functions the operand that changes comes first. Values of 32 bits clear the upper half of
 * their register. */
#pragma once

#include "kernel/base/types.h"

struct mark_list;

enum gpr {
    RAX,
    RCX,
    RDX,
    RBX,
    RSP,
    RBP,
    RSI,
    RDI,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    GPR_NONE = RSP, /* as an index: the one register that cannot be */
};

/* [base + index * scale + displacement] */
struct memory_operand {
    enum gpr base;
    enum gpr index; /* GPR_NONE: without */
    uint8_t scale;  /* 1, 2, 4, 8 */
    int32_t displacement;
};

static inline struct memory_operand memory_of(enum gpr base, int32_t displacement)
{
    return (struct memory_operand){ base, GPR_NONE, 1, displacement };
}

static inline struct memory_operand memory_indexed(enum gpr base, enum gpr index, uint8_t scale,
                                                   int32_t displacement)
{
    return (struct memory_operand){ base, index, scale, displacement };
}

struct emit {
    uint8_t *bytes;
    size_t room;             /* of bytes[] */
    size_t used;             /* so far; more than room: not all was written */
    struct mark_list *marks; /* jit/marks.h; NULL: nobody asks what it is for */
};

static inline bool emit_fits(const struct emit *emit)
{
    return emit->used <= emit->room;
}

/* ---- Jumps ------------------------------------------------------------------------------------
 */

/* A place to jump to, {0} at first. Jumps that come before the place wait in a list that runs
 * through their own distances, so there may be any number of them. */
struct label {
    uint32_t place;   /* behind this many bytes and one; 0: not known yet */
    uint32_t waiting; /* where the distance of the last jump is that waits; 0: none does */
};

void emit_label(struct emit *emit, struct label *label); /* it is here; once */

/* Appendix B.1: the four bits that are called tttn. */
enum condition {
    IF_BELOW = 2, /* unsigned */
    IF_NOT_BELOW = 3,
    IF_EQUAL = 4, /* or zero */
    IF_NOT_EQUAL = 5,
    IF_NOT_ABOVE = 6,
    IF_ABOVE = 7,
    IF_SIGN = 8,
    IF_NOT_SIGN = 9,
    IF_LESS = 12, /* signed */
    IF_NOT_LESS = 13,
    IF_NOT_GREATER = 14,
    IF_GREATER = 15,
};

static inline enum condition condition_opposite(enum condition condition)
{
    return (enum condition)(condition ^ 1);
}

void emit_jump(struct emit *emit, struct label *to);
void emit_jump_if(struct emit *emit, enum condition condition, struct label *to);
void emit_call(struct emit *emit, enum gpr target);
void emit_ret(struct emit *emit);
void emit_align(struct emit *emit, size_t align); /* by nops, from the first byte on */

/* ---- General registers ------------------------------------------------------------------------
 */

void emit_mov32(struct emit *emit, enum gpr to, enum gpr from);
void emit_mov64(struct emit *emit, enum gpr to, enum gpr from);
void emit_mov32_value(struct emit *emit, enum gpr to, uint32_t value);
void emit_mov64_value(struct emit *emit, enum gpr to, uint64_t value);
void emit_cmov32(struct emit *emit, enum condition condition, enum gpr to, enum gpr from);
void emit_cmov64(struct emit *emit, enum condition condition, enum gpr to, enum gpr from);
void emit_lea64(struct emit *emit, enum gpr to, struct memory_operand from);
void emit_push(struct emit *emit, enum gpr from);
void emit_pop(struct emit *emit, enum gpr to);

/* Shorter than the register: zeroes above. */
void emit_load8(struct emit *emit, enum gpr to, struct memory_operand from);
void emit_load16(struct emit *emit, enum gpr to, struct memory_operand from);
void emit_load32(struct emit *emit, enum gpr to, struct memory_operand from);
void emit_load64(struct emit *emit, enum gpr to, struct memory_operand from);
void emit_store32(struct emit *emit, struct memory_operand to, enum gpr from);
void emit_store64(struct emit *emit, struct memory_operand to, enum gpr from);

/* The eight operations of opcode 81; CMP changes the flags alone. */
enum alu {
    ALU_ADD = 0,
    ALU_OR = 1,
    ALU_AND = 4,
    ALU_SUB = 5,
    ALU_XOR = 6,
    ALU_CMP = 7,
};
void emit_alu32(struct emit *emit, enum alu alu, enum gpr to, enum gpr from);
void emit_alu64(struct emit *emit, enum alu alu, enum gpr to, enum gpr from);
void emit_alu32_value(struct emit *emit, enum alu alu, enum gpr to, uint32_t value);
void emit_alu64_value(struct emit *emit, enum alu alu, enum gpr to, int32_t value);
void emit_alu32_load(struct emit *emit, enum alu alu, enum gpr to, struct memory_operand from);
void emit_alu64_load(struct emit *emit, enum alu alu, enum gpr to, struct memory_operand from);
void emit_alu64_store(struct emit *emit, enum alu alu, struct memory_operand to, enum gpr from);
void emit_test32(struct emit *emit, enum gpr left, enum gpr right);
void emit_test32_value(struct emit *emit, enum gpr left, uint32_t value);

/* Of opcodes C1 and D3; only the lowest five bits of the count matter, six with 64 bits. */
enum shift {
    SHIFT_LEFT = 4,
    SHIFT_RIGHT = 5,
};
void emit_shift32_value(struct emit *emit, enum shift shift, enum gpr to, uint8_t count);
void emit_shift64_value(struct emit *emit, enum shift shift, enum gpr to, uint8_t count);
void emit_shift32_cl(struct emit *emit, enum shift shift, enum gpr to);

void emit_imul32(struct emit *emit, enum gpr to, enum gpr from);
void emit_imul32_value(struct emit *emit, enum gpr to, enum gpr from, uint32_t value);
void emit_imul64(struct emit *emit, enum gpr to, enum gpr from);
void emit_div32(struct emit *emit, enum gpr by); /* EDX:EAX: quotient to EAX, remainder to EDX */
void emit_neg32(struct emit *emit, enum gpr to);
void emit_not32(struct emit *emit, enum gpr to);
void emit_not64(struct emit *emit, enum gpr to);
void emit_bswap32(struct emit *emit, enum gpr to);
void emit_swap16(struct emit *emit, enum gpr to); /* its two lowest bytes change places (rol) */
void emit_popcnt32(struct emit *emit, enum gpr to, enum gpr from);
void emit_popcnt64(struct emit *emit, enum gpr to, enum gpr from);
void emit_tzcnt32(struct emit *emit, enum gpr to, enum gpr from); /* of 0: 32. BMI1 */
void emit_tzcnt64(struct emit *emit, enum gpr to, enum gpr from);
void emit_bsf32(struct emit *emit, enum gpr to, enum gpr from); /* of 0: ZF, and anything */

/* ---- Vectors ----------------------------------------------------------------------------------
 *
 * Registers are numbers: 0 to 15, with EVEX to 31. What is loaded need not be aligned, but for the
 * second operand of emit_sse_load(). */

enum vector_width {
    VECTOR_128,
    VECTOR_256,
    VECTOR_512, /* EVEX alone */
};

/* to = left OP right, on lanes of 32 bits or on bits. With SSE left is to. Minimum and maximum want
 * SSE4.1 there, PCMPGTQ SSE4.2. */
enum vector_operation {
    VECTOR_PCMPEQD,   /* the first six are with SSE and AVX alone */
    VECTOR_PCMPGTD,   /* signed, as is the next */
    VECTOR_PCMPGTQ,   /* lanes of 64 bits */
    VECTOR_PACKSSDW,  /* lanes as halves: left's, then right's, in each 128 bits */
    VECTOR_PUNPCKLDQ, /* left's and right's in turns, the first two of each 128 bits */
    VECTOR_PUNPCKHDQ, /* the last two */
    VECTOR_PMINUD,
    VECTOR_PMAXUD,
    VECTOR_PADDD,
    VECTOR_PSUBD,
    VECTOR_PAND,
    VECTOR_PANDN, /* not left, and right */
    VECTOR_POR,
    VECTOR_PXOR,
};

void emit_sse(struct emit *emit, enum vector_operation operation, unsigned to, unsigned right);
void emit_sse_load(struct emit *emit, enum vector_operation operation, unsigned to,
                   struct memory_operand right);
void emit_sse_movdqa(struct emit *emit, unsigned to, unsigned from);
void emit_sse_movdqu_load(struct emit *emit, unsigned to, struct memory_operand from);
void emit_sse_movdqu_store(struct emit *emit, struct memory_operand to, unsigned from);
void emit_sse_movd(struct emit *emit, unsigned to, enum gpr from); /* zeroes above */
void emit_sse_movd_load(struct emit *emit, unsigned to, struct memory_operand from);
void emit_sse_pshufd(struct emit *emit, unsigned to, unsigned from, uint8_t order);
void emit_sse_movmskps(struct emit *emit, enum gpr to, unsigned from); /* signs of the 4 lanes */
void emit_sse_pmovmskb(struct emit *emit, enum gpr to, unsigned from); /* of the 16 bytes */

void emit_avx(struct emit *emit, enum vector_width width, enum vector_operation operation,
              unsigned to, unsigned left, unsigned right);
void emit_avx_load(struct emit *emit, enum vector_width width, enum vector_operation operation,
                   unsigned to, unsigned left, struct memory_operand right);
void emit_avx_vmovdqu_load(struct emit *emit, enum vector_width width, unsigned to,
                           struct memory_operand from);
void emit_avx_vmovdqu_store(struct emit *emit, enum vector_width width, struct memory_operand to,
                            unsigned from);
void emit_avx_vmovd(struct emit *emit, unsigned to, enum gpr from);
void emit_avx_vmovd_store(struct emit *emit, enum gpr to, unsigned from);
void emit_avx_vpbroadcastd(struct emit *emit, enum vector_width width, unsigned to, unsigned from);
void emit_avx_vpbroadcastd_load(struct emit *emit, enum vector_width width, unsigned to,
                                struct memory_operand from);
void emit_avx_vpbroadcastq_load(struct emit *emit, enum vector_width width, unsigned to,
                                struct memory_operand from);
void emit_avx_vmovmskps(struct emit *emit, enum vector_width width, enum gpr to, unsigned from);
void emit_avx_vzeroupper(struct emit *emit); /* before code that has SSE: no transition penalty */

/* AVX-512F. Masks are registers k0 to k7; as the mask of an operation k0 means all lanes. */
enum comparison {
    COMPARE_EQUAL,
    COMPARE_LESS,
    COMPARE_NOT_GREATER,
    COMPARE_NOT_EQUAL = 4,
    COMPARE_NOT_LESS,
    COMPARE_GREATER,
};

void emit_evex(struct emit *emit, enum vector_width width, enum vector_operation operation,
               unsigned to, unsigned left, unsigned right);
void emit_evex_load(struct emit *emit, enum vector_width width, enum vector_operation operation,
                    unsigned to, unsigned left, struct memory_operand right);
/* The right operand of every lane is the one word in memory. */
void emit_evex_word(struct emit *emit, enum vector_width width, enum vector_operation operation,
                    unsigned to, unsigned left, struct memory_operand right);
void emit_evex_vmovdqu32_load(struct emit *emit, enum vector_width width, unsigned to,
                              struct memory_operand from);
void emit_evex_vmovdqu32_store(struct emit *emit, enum vector_width width, struct memory_operand to,
                               unsigned from);
void emit_evex_vpbroadcastd(struct emit *emit, enum vector_width width, unsigned to, enum gpr from);
void emit_evex_vpbroadcastd_load(struct emit *emit, enum vector_width width, unsigned to,
                                 struct memory_operand from);
void emit_evex_vpbroadcastq_load(struct emit *emit, enum vector_width width, unsigned to,
                                 struct memory_operand from);
/* Lanes that `mask` leaves out stay. */
void emit_evex_vpbroadcastd_merge(struct emit *emit, enum vector_width width, unsigned to,
                                  unsigned mask, struct memory_operand from);
/* Those that `mask` names come first; the ones behind them stay. */
void emit_evex_vpcompressd(struct emit *emit, enum vector_width width, unsigned to, unsigned mask,
                           unsigned from);
/* Unsigned; lanes that `mask` leaves out compare false. */
void emit_evex_vpcmpud(struct emit *emit, enum vector_width width, enum comparison comparison,
                       unsigned to_mask, unsigned mask, unsigned left, unsigned right);
void emit_evex_vpcmpud_load(struct emit *emit, enum vector_width width, enum comparison comparison,
                            unsigned to_mask, unsigned mask, unsigned left,
                            struct memory_operand right);
void emit_evex_vpcmpud_word(struct emit *emit, enum vector_width width, enum comparison comparison,
                            unsigned to_mask, unsigned mask, unsigned left,
                            struct memory_operand right);
void emit_evex_vpcmpuq_load(struct emit *emit, enum vector_width width, enum comparison comparison,
                            unsigned to_mask, unsigned mask, unsigned left,
                            struct memory_operand right);
void emit_kmovw(struct emit *emit, enum gpr to, unsigned from_mask);
void emit_kmovw_to_mask(struct emit *emit, unsigned to_mask, enum gpr from);
void emit_kandw(struct emit *emit, unsigned to, unsigned left, unsigned right);
void emit_korw(struct emit *emit, unsigned to, unsigned left, unsigned right);
