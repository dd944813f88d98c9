/* Intel SDM volume 2, chapter 2: an instruction is its prefixes, opcode, ModRM with SIB and
 * displacement, and an immediate value. The three families differ in the prefixes alone: REX and
 * escape bytes (2.2.1), VEX (2.3), EVEX (2.7). */
#include "jit/emit.h"

#include "kernel/base/bytes.h"

/* ---- Bytes ------------------------------------------------------------------------------------
 */

static void put(struct emit *emit, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        if (emit->used < emit->room)
            emit->bytes[emit->used] = (uint8_t)(value >> (8 * i));
        emit->used++;
    }
}

static void put8(struct emit *emit, unsigned value)
{
    put(emit, value, 1);
}

static void put32(struct emit *emit, uint32_t value)
{
    put(emit, value, 4);
}

/* ---- Instructions -----------------------------------------------------------------------------
 */

enum prefix {
    PREFIX_NONE = 0, /* numbered as VEX.pp is */
    PREFIX_66 = 1,
    PREFIX_F3 = 2,
};

enum map {
    MAP_ONE = 0, /* one byte, without escape */
    MAP_0F = 1,  /* numbered as VEX.mmmmm is */
    MAP_0F38 = 2,
    MAP_0F3A = 3,
};

/* Opcodes are written as the manual spells them: the mandatory prefix, the escape, the byte itself.
 * 0x660f383b is 66 0F 38 3B. WIDE is REX.W, VEX.W or EVEX.W. */
#define WIDE (1ull << 32)

struct opcode {
    uint8_t byte;
    enum map map;
    enum prefix prefix;
    bool wide;
};

static struct opcode opcode_of(uint64_t spelled)
{
    struct opcode opcode = { (uint8_t)spelled, MAP_ONE, PREFIX_NONE, (spelled & WIDE) != 0 };
    uint32_t rest = (uint32_t)spelled >> 8;
    if ((rest & 0xffff) == 0x0f38 || (rest & 0xffff) == 0x0f3a) {
        opcode.map = (rest & 0xff) == 0x38 ? MAP_0F38 : MAP_0F3A;
        rest >>= 16;
    } else if ((rest & 0xff) == 0x0f) {
        opcode.map = MAP_0F;
        rest >>= 8;
    }
    if (rest == 0x66)
        opcode.prefix = PREFIX_66;
    else if (rest == 0xf3)
        opcode.prefix = PREFIX_F3;
    return opcode;
}

/* The operand that ModRM.rm is: a register, or memory. */
struct operand {
    bool is_memory;
    bool is_word; /* with EVEX: memory is one lane, and the right operand of all */
    unsigned number;
    struct memory_operand memory;
};

static struct operand in_register(unsigned number)
{
    return (struct operand){ .number = number };
}

static struct operand in_memory(struct memory_operand memory)
{
    return (struct operand){ .is_memory = true, .memory = memory };
}

static struct operand in_word(struct memory_operand memory)
{
    return (struct operand){ .is_memory = true, .is_word = true, .memory = memory };
}

/* What extends ModRM and SIB: bit 3 of the base, or of the register there; bit 3 of the index. */
static unsigned high_base(const struct operand *operand)
{
    return (operand->is_memory ? operand->memory.base : operand->number) >> 3 & 1;
}

static unsigned high_index(const struct operand *operand)
{
    return operand->is_memory ? operand->memory.index >> 3 & 1 : 0;
}

/* Tables 2-2 and 2-3. RSP and R12 as a base need a SIB byte, RBP and R13 a displacement.
 * short_displacement: one of 8 bits means bytes, which it does not with EVEX. */
static void put_modrm(struct emit *emit, unsigned reg, const struct operand *operand,
                      bool short_displacement)
{
    enum { MOD_NONE = 0, MOD_8 = 1, MOD_32 = 2, MOD_REGISTER = 3, RM_SIB = 4, BASE_NEEDS = 5 };
    unsigned field = (reg & 7) << 3;
    if (!operand->is_memory) {
        put8(emit, MOD_REGISTER << 6 | field | (operand->number & 7));
        return;
    }

    const struct memory_operand *memory = &operand->memory;
    int32_t displacement = memory->displacement;
    unsigned base = memory->base & 7;
    unsigned mod = MOD_32;
    if (displacement == 0 && base != BASE_NEEDS)
        mod = MOD_NONE;
    else if (displacement == (int8_t)displacement && (short_displacement || displacement == 0))
        mod = MOD_8;

    if (memory->index == GPR_NONE && base != RM_SIB) {
        put8(emit, mod << 6 | field | base);
    } else {
        put8(emit, mod << 6 | field | RM_SIB);
        put8(emit, (unsigned)__builtin_ctz(memory->scale) << 6 | (memory->index & 7u) << 3 | base);
    }
    if (mod == MOD_8)
        put8(emit, (uint8_t)displacement);
    else if (mod == MOD_32)
        put32(emit, (uint32_t)displacement);
}

static void put_escape(struct emit *emit, enum map map)
{
    if (map != MAP_ONE)
        put8(emit, 0x0f);
    if (map == MAP_0F38 || map == MAP_0F3A)
        put8(emit, map == MAP_0F38 ? 0x38 : 0x3a);
}

static void legacy(struct emit *emit, uint64_t spelled, unsigned reg, struct operand operand)
{
    struct opcode opcode = opcode_of(spelled);
    static const uint8_t prefixes[] = { [PREFIX_66] = 0x66, [PREFIX_F3] = 0xf3 };
    unsigned rex = (unsigned)opcode.wide << 3 | (reg >> 3 & 1) << 2 | high_index(&operand) << 1 |
                   high_base(&operand);
    if (opcode.prefix != PREFIX_NONE)
        put8(emit, prefixes[opcode.prefix]);
    if (rex != 0)
        put8(emit, 0x40 | rex);
    put_escape(emit, opcode.map);
    put8(emit, opcode.byte);
    put_modrm(emit, reg, &operand, true);
}

/* 2.3.5. Registers in it are inverted. */
static void vex(struct emit *emit, enum vector_width width, uint64_t spelled, unsigned reg,
                unsigned left, struct operand operand)
{
    struct opcode opcode = opcode_of(spelled);
    unsigned high_reg = reg >> 3 & 1;
    unsigned rest = (~left & 15) << 3 | (unsigned)(width == VECTOR_256) << 2 | opcode.prefix;
    if (opcode.map == MAP_0F && !opcode.wide && !high_index(&operand) && !high_base(&operand)) {
        put8(emit, 0xc5);
        put8(emit, (high_reg ^ 1) << 7 | rest);
    } else {
        put8(emit, 0xc4);
        put8(emit, (high_reg ^ 1) << 7 | (high_index(&operand) ^ 1) << 6 |
                       (high_base(&operand) ^ 1) << 5 | opcode.map);
        put8(emit, (unsigned)opcode.wide << 7 | rest);
    }
    put8(emit, opcode.byte);
    put_modrm(emit, reg, &operand, true);
}

/* 2.7.1. Bit 4 of reg is R', of left V', and of a register in ModRM.rm X. */
static void evex(struct emit *emit, enum vector_width width, uint64_t spelled, unsigned mask,
                 unsigned reg, unsigned left, struct operand operand)
{
    struct opcode opcode = opcode_of(spelled);
    unsigned x = operand.is_memory ? high_index(&operand) : operand.number >> 4 & 1;
    put8(emit, 0x62);
    put8(emit, (~reg >> 3 & 1) << 7 | (x ^ 1) << 6 | (high_base(&operand) ^ 1) << 5 |
                   (~reg >> 4 & 1) << 4 | opcode.map);
    put8(emit, (unsigned)opcode.wide << 7 | (~left & 15) << 3 | 1 << 2 | opcode.prefix);
    put8(emit,
         (unsigned)width << 5 | (unsigned)operand.is_word << 4 | (~left >> 4 & 1) << 3 | mask);
    put8(emit, opcode.byte);
    put_modrm(emit, reg, &operand, false);
}

/* ---- Jumps ------------------------------------------------------------------------------------
 */

enum { DISTANCE_BYTES = 4 }; /* counted from its end */

static bool was_written(const struct emit *emit, uint32_t at)
{
    return at <= emit->room && DISTANCE_BYTES <= emit->room - at;
}

void emit_label(struct emit *emit, struct label *label)
{
    CHECK(label->place == 0);
    label->place = (uint32_t)emit->used + 1;
    for (uint32_t at = label->waiting; at != 0;) {
        uint32_t next = load_le32(emit->bytes + at);
        store_le32(emit->bytes + at, (uint32_t)emit->used - (at + DISTANCE_BYTES));
        at = next;
    }
    label->waiting = 0;
}

static void put_distance(struct emit *emit, struct label *to)
{
    uint32_t at = (uint32_t)emit->used;
    if (to->place != 0) {
        put32(emit, to->place - 1 - (at + DISTANCE_BYTES));
        return;
    }
    put32(emit, to->waiting);
    if (was_written(emit, at))
        to->waiting = at;
}

void emit_jump(struct emit *emit, struct label *to)
{
    put8(emit, 0xe9);
    put_distance(emit, to);
}

void emit_jump_if(struct emit *emit, enum condition condition, struct label *to)
{
    put8(emit, 0x0f);
    put8(emit, 0x80 | condition);
    put_distance(emit, to);
}

void emit_call(struct emit *emit, enum gpr target)
{
    legacy(emit, 0xff, 2, in_register(target));
}

void emit_ret(struct emit *emit)
{
    put8(emit, 0xc3);
}

/* Table 4-12, NOP: the recommended ones of up to four bytes. */
void emit_align(struct emit *emit, size_t align)
{
    static const uint32_t nops[] = { 0, 0x90, 0x9066, 0x001f0f, 0x00401f0f };
    size_t missing = -emit->used & (align - 1);
    while (missing > 0) {
        unsigned size = (unsigned)MIN_OF(missing, (size_t)4);
        put(emit, nops[size], size);
        missing -= size;
    }
}

/* ---- General registers ------------------------------------------------------------------------
 */

void emit_mov32(struct emit *emit, enum gpr to, enum gpr from)
{
    legacy(emit, 0x8b, to, in_register(from));
}

void emit_mov64(struct emit *emit, enum gpr to, enum gpr from)
{
    legacy(emit, WIDE | 0x8b, to, in_register(from));
}

/* An opcode that holds the register: B8, 50, 58, 0F C8. */
static void put_short(struct emit *emit, uint64_t spelled, enum gpr number)
{
    struct opcode opcode = opcode_of(spelled);
    unsigned rex = (unsigned)opcode.wide << 3 | number >> 3;
    if (rex != 0)
        put8(emit, 0x40 | rex);
    put_escape(emit, opcode.map);
    put8(emit, opcode.byte | (number & 7));
}

void emit_mov32_value(struct emit *emit, enum gpr to, uint32_t value)
{
    put_short(emit, 0xb8, to);
    put32(emit, value);
}

void emit_mov64_value(struct emit *emit, enum gpr to, uint64_t value)
{
    put_short(emit, WIDE | 0xb8, to);
    put(emit, value, 8);
}

void emit_cmov32(struct emit *emit, enum condition condition, enum gpr to, enum gpr from)
{
    legacy(emit, 0x0f40 | condition, to, in_register(from));
}

void emit_cmov64(struct emit *emit, enum condition condition, enum gpr to, enum gpr from)
{
    legacy(emit, WIDE | 0x0f40 | condition, to, in_register(from));
}

void emit_lea64(struct emit *emit, enum gpr to, struct memory_operand from)
{
    legacy(emit, WIDE | 0x8d, to, in_memory(from));
}

void emit_push(struct emit *emit, enum gpr from)
{
    put_short(emit, 0x50, from);
}

void emit_pop(struct emit *emit, enum gpr to)
{
    put_short(emit, 0x58, to);
}

void emit_load8(struct emit *emit, enum gpr to, struct memory_operand from)
{
    legacy(emit, 0x0fb6, to, in_memory(from));
}

void emit_load16(struct emit *emit, enum gpr to, struct memory_operand from)
{
    legacy(emit, 0x0fb7, to, in_memory(from));
}

void emit_load32(struct emit *emit, enum gpr to, struct memory_operand from)
{
    legacy(emit, 0x8b, to, in_memory(from));
}

void emit_load64(struct emit *emit, enum gpr to, struct memory_operand from)
{
    legacy(emit, WIDE | 0x8b, to, in_memory(from));
}

void emit_store32(struct emit *emit, struct memory_operand to, enum gpr from)
{
    legacy(emit, 0x89, from, in_memory(to));
}

void emit_store64(struct emit *emit, struct memory_operand to, enum gpr from)
{
    legacy(emit, WIDE | 0x89, from, in_memory(to));
}

/* Register from ModRM.rm; from a register to memory is the same less 2. */
static uint8_t alu_byte(enum alu alu)
{
    return (uint8_t)(alu << 3 | 3);
}

void emit_alu32(struct emit *emit, enum alu alu, enum gpr to, enum gpr from)
{
    legacy(emit, alu_byte(alu), to, in_register(from));
}

void emit_alu64(struct emit *emit, enum alu alu, enum gpr to, enum gpr from)
{
    legacy(emit, WIDE | alu_byte(alu), to, in_register(from));
}

/* Opcode 83 extends a byte by its sign, 81 has four. */
static void alu_value(struct emit *emit, bool wide, enum alu alu, enum gpr to, int32_t value)
{
    bool is_short = value == (int8_t)value;
    legacy(emit, (wide ? WIDE : 0) | (is_short ? 0x83 : 0x81), alu, in_register(to));
    put(emit, (uint32_t)value, is_short ? 1 : 4);
}

void emit_alu32_value(struct emit *emit, enum alu alu, enum gpr to, uint32_t value)
{
    alu_value(emit, false, alu, to, (int32_t)value);
}

void emit_alu64_value(struct emit *emit, enum alu alu, enum gpr to, int32_t value)
{
    alu_value(emit, true, alu, to, value);
}

void emit_alu32_load(struct emit *emit, enum alu alu, enum gpr to, struct memory_operand from)
{
    legacy(emit, alu_byte(alu), to, in_memory(from));
}

void emit_alu64_load(struct emit *emit, enum alu alu, enum gpr to, struct memory_operand from)
{
    legacy(emit, WIDE | alu_byte(alu), to, in_memory(from));
}

void emit_alu64_store(struct emit *emit, enum alu alu, struct memory_operand to, enum gpr from)
{
    legacy(emit, WIDE | (alu_byte(alu) - 2u), from, in_memory(to));
}

void emit_test32(struct emit *emit, enum gpr left, enum gpr right)
{
    legacy(emit, 0x85, right, in_register(left));
}

void emit_test32_value(struct emit *emit, enum gpr left, uint32_t value)
{
    legacy(emit, 0xf7, 0, in_register(left));
    put32(emit, value);
}

void emit_shift32_value(struct emit *emit, enum shift shift, enum gpr to, uint8_t count)
{
    legacy(emit, 0xc1, shift, in_register(to));
    put8(emit, count);
}

void emit_shift64_value(struct emit *emit, enum shift shift, enum gpr to, uint8_t count)
{
    legacy(emit, WIDE | 0xc1, shift, in_register(to));
    put8(emit, count);
}

void emit_shift32_cl(struct emit *emit, enum shift shift, enum gpr to)
{
    legacy(emit, 0xd3, shift, in_register(to));
}

void emit_imul32(struct emit *emit, enum gpr to, enum gpr from)
{
    legacy(emit, 0x0faf, to, in_register(from));
}

void emit_imul32_value(struct emit *emit, enum gpr to, enum gpr from, uint32_t value)
{
    legacy(emit, 0x69, to, in_register(from));
    put32(emit, value);
}

void emit_imul64(struct emit *emit, enum gpr to, enum gpr from)
{
    legacy(emit, WIDE | 0x0faf, to, in_register(from));
}

void emit_div32(struct emit *emit, enum gpr by)
{
    legacy(emit, 0xf7, 6, in_register(by));
}

void emit_neg32(struct emit *emit, enum gpr to)
{
    legacy(emit, 0xf7, 3, in_register(to));
}

void emit_not32(struct emit *emit, enum gpr to)
{
    legacy(emit, 0xf7, 2, in_register(to));
}

void emit_not64(struct emit *emit, enum gpr to)
{
    legacy(emit, WIDE | 0xf7, 2, in_register(to));
}

void emit_bswap32(struct emit *emit, enum gpr to)
{
    put_short(emit, 0x0fc8, to);
}

void emit_swap16(struct emit *emit, enum gpr to)
{
    legacy(emit, 0x66c1, 0, in_register(to));
    put8(emit, 8);
}

void emit_popcnt32(struct emit *emit, enum gpr to, enum gpr from)
{
    legacy(emit, 0xf30fb8, to, in_register(from));
}

void emit_popcnt64(struct emit *emit, enum gpr to, enum gpr from)
{
    legacy(emit, WIDE | 0xf30fb8, to, in_register(from));
}

void emit_tzcnt32(struct emit *emit, enum gpr to, enum gpr from)
{
    legacy(emit, 0xf30fbc, to, in_register(from));
}

void emit_tzcnt64(struct emit *emit, enum gpr to, enum gpr from)
{
    legacy(emit, WIDE | 0xf30fbc, to, in_register(from));
}

void emit_bsf32(struct emit *emit, enum gpr to, enum gpr from)
{
    legacy(emit, 0x0fbc, to, in_register(from));
}

/* ---- Vectors ----------------------------------------------------------------------------------
 */

static const uint32_t operations[] = {
    [VECTOR_PCMPEQD] = 0x660f76,  [VECTOR_PCMPGTD] = 0x660f66,   [VECTOR_PCMPGTQ] = 0x660f3837,
    [VECTOR_PACKSSDW] = 0x660f6b, [VECTOR_PUNPCKLDQ] = 0x660f62, [VECTOR_PUNPCKHDQ] = 0x660f6a,
    [VECTOR_PMINUD] = 0x660f383b, [VECTOR_PMAXUD] = 0x660f383f,  [VECTOR_PADDD] = 0x660ffe,
    [VECTOR_PSUBD] = 0x660ffa,    [VECTOR_PAND] = 0x660fdb,      [VECTOR_PANDN] = 0x660fdf,
    [VECTOR_POR] = 0x660feb,      [VECTOR_PXOR] = 0x660fef,
};

enum {
    LOAD_VECTOR = 0xf30f6f,
    STORE_VECTOR = 0xf30f7f,
    TO_VECTOR = 0x660f6e,
    FROM_VECTOR = 0x660f7e,
    SIGNS = 0x0f50,
    BROADCAST = 0x660f3858,
    BROADCAST_64 = 0x660f3859,
    COMPARE = 0x660f3a1e,
};

void emit_sse(struct emit *emit, enum vector_operation operation, unsigned to, unsigned right)
{
    legacy(emit, operations[operation], to, in_register(right));
}

void emit_sse_load(struct emit *emit, enum vector_operation operation, unsigned to,
                   struct memory_operand right)
{
    legacy(emit, operations[operation], to, in_memory(right));
}

void emit_sse_movdqa(struct emit *emit, unsigned to, unsigned from)
{
    legacy(emit, 0x660f6f, to, in_register(from));
}

void emit_sse_movdqu_load(struct emit *emit, unsigned to, struct memory_operand from)
{
    legacy(emit, LOAD_VECTOR, to, in_memory(from));
}

void emit_sse_movdqu_store(struct emit *emit, struct memory_operand to, unsigned from)
{
    legacy(emit, STORE_VECTOR, from, in_memory(to));
}

void emit_sse_movd(struct emit *emit, unsigned to, enum gpr from)
{
    legacy(emit, TO_VECTOR, to, in_register(from));
}

void emit_sse_movd_load(struct emit *emit, unsigned to, struct memory_operand from)
{
    legacy(emit, TO_VECTOR, to, in_memory(from));
}

void emit_sse_pshufd(struct emit *emit, unsigned to, unsigned from, uint8_t order)
{
    legacy(emit, 0x660f70, to, in_register(from));
    put8(emit, order);
}

void emit_sse_movmskps(struct emit *emit, enum gpr to, unsigned from)
{
    legacy(emit, SIGNS, to, in_register(from));
}

void emit_sse_pmovmskb(struct emit *emit, enum gpr to, unsigned from)
{
    legacy(emit, 0x660fd7, to, in_register(from));
}

void emit_avx(struct emit *emit, enum vector_width width, enum vector_operation operation,
              unsigned to, unsigned left, unsigned right)
{
    vex(emit, width, operations[operation], to, left, in_register(right));
}

void emit_avx_load(struct emit *emit, enum vector_width width, enum vector_operation operation,
                   unsigned to, unsigned left, struct memory_operand right)
{
    vex(emit, width, operations[operation], to, left, in_memory(right));
}

void emit_avx_vmovdqu_load(struct emit *emit, enum vector_width width, unsigned to,
                           struct memory_operand from)
{
    vex(emit, width, LOAD_VECTOR, to, 0, in_memory(from));
}

void emit_avx_vmovdqu_store(struct emit *emit, enum vector_width width, struct memory_operand to,
                            unsigned from)
{
    vex(emit, width, STORE_VECTOR, from, 0, in_memory(to));
}

void emit_avx_vmovd(struct emit *emit, unsigned to, enum gpr from)
{
    vex(emit, VECTOR_128, TO_VECTOR, to, 0, in_register(from));
}

void emit_avx_vmovd_store(struct emit *emit, enum gpr to, unsigned from)
{
    vex(emit, VECTOR_128, FROM_VECTOR, from, 0, in_register(to));
}

void emit_avx_vpbroadcastd(struct emit *emit, enum vector_width width, unsigned to, unsigned from)
{
    vex(emit, width, BROADCAST, to, 0, in_register(from));
}

void emit_avx_vpbroadcastd_load(struct emit *emit, enum vector_width width, unsigned to,
                                struct memory_operand from)
{
    vex(emit, width, BROADCAST, to, 0, in_memory(from));
}

void emit_avx_vpbroadcastq_load(struct emit *emit, enum vector_width width, unsigned to,
                                struct memory_operand from)
{
    vex(emit, width, BROADCAST_64, to, 0, in_memory(from));
}

void emit_avx_vmovmskps(struct emit *emit, enum vector_width width, enum gpr to, unsigned from)
{
    vex(emit, width, SIGNS, to, 0, in_register(from));
}

void emit_avx_vzeroupper(struct emit *emit)
{
    put(emit, 0x77f8c5, 3);
}

/* The comparisons of this family are of another kind; those of bits have a lane's width (W0). */
void emit_evex(struct emit *emit, enum vector_width width, enum vector_operation operation,
               unsigned to, unsigned left, unsigned right)
{
    CHECK(operation > VECTOR_PUNPCKHDQ);
    evex(emit, width, operations[operation], 0, to, left, in_register(right));
}

void emit_evex_load(struct emit *emit, enum vector_width width, enum vector_operation operation,
                    unsigned to, unsigned left, struct memory_operand right)
{
    CHECK(operation > VECTOR_PUNPCKHDQ);
    evex(emit, width, operations[operation], 0, to, left, in_memory(right));
}

void emit_evex_word(struct emit *emit, enum vector_width width, enum vector_operation operation,
                    unsigned to, unsigned left, struct memory_operand right)
{
    CHECK(operation > VECTOR_PUNPCKHDQ);
    evex(emit, width, operations[operation], 0, to, left, in_word(right));
}

void emit_evex_vmovdqu32_load(struct emit *emit, enum vector_width width, unsigned to,
                              struct memory_operand from)
{
    evex(emit, width, LOAD_VECTOR, 0, to, 0, in_memory(from));
}

void emit_evex_vmovdqu32_store(struct emit *emit, enum vector_width width, struct memory_operand to,
                               unsigned from)
{
    evex(emit, width, STORE_VECTOR, 0, from, 0, in_memory(to));
}

void emit_evex_vpbroadcastd(struct emit *emit, enum vector_width width, unsigned to, enum gpr from)
{
    evex(emit, width, 0x660f387c, 0, to, 0, in_register(from));
}

void emit_evex_vpbroadcastd_load(struct emit *emit, enum vector_width width, unsigned to,
                                 struct memory_operand from)
{
    evex(emit, width, BROADCAST, 0, to, 0, in_memory(from));
}

void emit_evex_vpbroadcastq_load(struct emit *emit, enum vector_width width, unsigned to,
                                 struct memory_operand from)
{
    evex(emit, width, WIDE | BROADCAST_64, 0, to, 0, in_memory(from));
}

void emit_evex_vpbroadcastd_merge(struct emit *emit, enum vector_width width, unsigned to,
                                  unsigned mask, struct memory_operand from)
{
    evex(emit, width, BROADCAST, mask, to, 0, in_memory(from));
}

void emit_evex_vpcompressd(struct emit *emit, enum vector_width width, unsigned to, unsigned mask,
                           unsigned from)
{
    evex(emit, width, 0x660f388b, mask, from, 0, in_register(to));
}

static void compare(struct emit *emit, enum vector_width width, enum comparison comparison,
                    unsigned to_mask, unsigned mask, unsigned left, struct operand right)
{
    evex(emit, width, COMPARE, mask, to_mask, left, right);
    put8(emit, comparison);
}

void emit_evex_vpcmpud(struct emit *emit, enum vector_width width, enum comparison comparison,
                       unsigned to_mask, unsigned mask, unsigned left, unsigned right)
{
    compare(emit, width, comparison, to_mask, mask, left, in_register(right));
}

void emit_evex_vpcmpud_load(struct emit *emit, enum vector_width width, enum comparison comparison,
                            unsigned to_mask, unsigned mask, unsigned left,
                            struct memory_operand right)
{
    compare(emit, width, comparison, to_mask, mask, left, in_memory(right));
}

void emit_evex_vpcmpud_word(struct emit *emit, enum vector_width width, enum comparison comparison,
                            unsigned to_mask, unsigned mask, unsigned left,
                            struct memory_operand right)
{
    compare(emit, width, comparison, to_mask, mask, left, in_word(right));
}

void emit_evex_vpcmpuq_load(struct emit *emit, enum vector_width width, enum comparison comparison,
                            unsigned to_mask, unsigned mask, unsigned left,
                            struct memory_operand right)
{
    evex(emit, width, WIDE | COMPARE, mask, to_mask, left, in_memory(right));
    put8(emit, comparison);
}

void emit_kmovw(struct emit *emit, enum gpr to, unsigned from_mask)
{
    vex(emit, VECTOR_128, 0x0f93, to, 0, in_register(from_mask));
}

void emit_kmovw_to_mask(struct emit *emit, unsigned to_mask, enum gpr from)
{
    vex(emit, VECTOR_128, 0x0f92, to_mask, 0, in_register(from));
}

/* Operations of masks have VEX.L set. */
void emit_kandw(struct emit *emit, unsigned to, unsigned left, unsigned right)
{
    vex(emit, VECTOR_256, 0x0f41, to, left, in_register(right));
}

void emit_korw(struct emit *emit, unsigned to, unsigned left, unsigned right)
{
    vex(emit, VECTOR_256, 0x0f45, to, left, in_register(right));
}
