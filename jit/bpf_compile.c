/* A BPF program as machine code, instruction by instruction.
 *
 *   A       eax
 *   X       edx
 *   M[]     below the stack pointer, where interrupts never write (the red zone)
 *   packet  rdi, its captured length rsi, its length on the wire r8d
 *   rcx     free; r9d keeps X where an instruction wants edx; r11 is 0 in guarded programs
 *
 * As jumps only lead forward, one pass over the program knows of every instruction what holds
 * whenever it is come to: that the packet has so many bytes, and what of A, X and M[] was set. So
 * the packet's length is compared once per stretch without jumps, with the furthest byte that is
 * loaded there, and not at all where every way there has compared it with as much: a packet that is
 * too short is rejected a few instructions earlier, which nobody can tell. And only what may be
 * read before it is set begins as 0. */
#include <string.h>

#include "jit/bpf.h"
#include "jit/emit.h"
#include "kernel/platform.h"

/* The registers of the program, as bits. */
enum {
    SET_WORDS = (1 << BPF_WORDS) - 1,
    SET_A = 1 << BPF_WORDS,
    SET_X = 1 << (BPF_WORDS + 1),
    SET_ALL = SET_WORDS | SET_A | SET_X,
};

/* What is known of an instruction. */
struct place {
    struct label label;
    uint32_t length;     /* bytes that the packet has at least when it is come to */
    uint32_t known;      /* registers that were set by then, on every way */
    bool is_reached;     /* by any way */
    bool starts_stretch; /* something jumps here, or may have jumped away before */
};

struct compilation {
    struct emit emit;
    const struct bpf_instruction *program;
    size_t count;
    bool guarded;
    uint32_t unset; /* registers that may be read before they are set */
    bool has_indexed_loads, has_length;
    struct label reject;
    struct place places[]; /* of each instruction */
};

/* ---- What is known ----------------------------------------------------------------------------
 */

static bool is_if(uint16_t operation)
{
    return operation == BPF_IF_EQUAL || operation == BPF_IF_GREATER ||
           operation == BPF_IF_NOT_LESS || operation == BPF_IF_SET;
}

static bool is_return(uint16_t operation)
{
    return operation == BPF_RETURN || operation == BPF_RETURN_A;
}

/* How many bytes an instruction loads from the packet; 0: it does not. */
static uint32_t loaded_bytes(uint16_t operation)
{
    switch (operation) {
    case BPF_LD_WORD:
    case BPF_LD_WORD_INDEXED:
        return 4;
    case BPF_LD_HALF:
    case BPF_LD_HALF_INDEXED:
        return 2;
    case BPF_LD_BYTE:
    case BPF_LD_BYTE_INDEXED:
    case BPF_LDX_HEADER:
        return 1;
    default:
        return 0;
    }
}

static bool is_indexed(uint16_t operation)
{
    return operation == BPF_LD_WORD_INDEXED || operation == BPF_LD_HALF_INDEXED ||
           operation == BPF_LD_BYTE_INDEXED;
}

/* The end of what an instruction loads, less X; more than a packet can have: UINT32_MAX. */
static uint32_t load_end(const struct bpf_instruction *instruction)
{
    uint32_t size = loaded_bytes(instruction->code);
    if (instruction->k > BPF_PACKET_BYTES_MAX - size)
        return UINT32_MAX;
    return instruction->k + size;
}

/* Which registers an instruction reads, and which it sets. */
static void find_registers(const struct bpf_instruction *instruction, uint32_t *read, uint32_t *set)
{
    uint16_t operation = bpf_operation(instruction->code);
    *read = operation != instruction->code ? SET_X : 0;
    *set = 0;
    switch (operation) {
    case BPF_LD_WORD_INDEXED:
    case BPF_LD_HALF_INDEXED:
    case BPF_LD_BYTE_INDEXED:
        *read = SET_X;
        *set = SET_A;
        break;
    case BPF_LD_WORD:
    case BPF_LD_HALF:
    case BPF_LD_BYTE:
    case BPF_LD_VALUE:
    case BPF_LD_LENGTH:
        *set = SET_A;
        break;
    case BPF_LD_MEMORY:
        *read = 1u << instruction->k;
        *set = SET_A;
        break;
    case BPF_LDX_MEMORY:
        *read = 1u << instruction->k;
        *set = SET_X;
        break;
    case BPF_LDX_VALUE:
    case BPF_LDX_LENGTH:
    case BPF_LDX_HEADER:
        *set = SET_X;
        break;
    case BPF_STORE:
        *read = SET_A;
        *set = 1u << instruction->k;
        break;
    case BPF_STOREX:
        *read = SET_X;
        *set = 1u << instruction->k;
        break;
    case BPF_A_TO_X:
        *read = SET_A;
        *set = SET_X;
        break;
    case BPF_X_TO_A:
        *read = SET_X;
        *set = SET_A;
        break;
    case BPF_RETURN:
    case BPF_JUMP:
        break;
    case BPF_RETURN_A:
    case BPF_IF_EQUAL:
    case BPF_IF_GREATER:
    case BPF_IF_NOT_LESS:
    case BPF_IF_SET:
        *read |= SET_A;
        break;
    default: /* what computes */
        *read |= SET_A;
        *set = SET_A;
    }
}

/* Another way to an instruction, on which so much is known. */
static void reach(struct place *place, uint32_t length, uint32_t known)
{
    place->length = place->is_reached ? MIN_OF(place->length, length) : length;
    place->known = place->is_reached ? place->known & known : known;
    place->is_reached = true;
}

/* Bytes that the packet must have for the loads from i on until the next jump, or place to jump to;
 * the indexed ones, whose place is not known yet, left out. */
static uint32_t stretch_end(const struct compilation *compilation, size_t i)
{
    uint32_t end = 0;
    for (size_t at = i; at < compilation->count; at++) {
        const struct bpf_instruction *instruction = &compilation->program[at];
        uint16_t operation = bpf_operation(instruction->code);
        if (at > i && compilation->places[at].starts_stretch)
            break;
        if (loaded_bytes(operation) > 0 && !is_indexed(operation))
            end = MAX_OF(end, load_end(instruction));
        if (is_return(operation) || operation == BPF_JUMP)
            break;
    }
    return end;
}

static void mark_stretches(struct compilation *compilation)
{
    struct place *places = compilation->places;
    places[0].starts_stretch = true;
    for (size_t i = 0; i < compilation->count; i++) {
        const struct bpf_instruction *instruction = &compilation->program[i];
        uint16_t operation = bpf_operation(instruction->code);
        if (operation == BPF_JUMP)
            places[i + 1 + instruction->k].starts_stretch = true;
        if (is_if(operation)) {
            places[i + 1].starts_stretch = true;
            places[i + 1 + instruction->jump_true].starts_stretch = true;
            places[i + 1 + instruction->jump_false].starts_stretch = true;
        }
    }
}

/* From the first to the last: all ways to an instruction come from before it. */
static void find_known(struct compilation *compilation)
{
    struct place *places = compilation->places;

    mark_stretches(compilation);
    reach(&places[0], 0, 0);
    uint32_t length = 0;
    for (size_t i = 0; i < compilation->count; i++) {
        const struct bpf_instruction *instruction = &compilation->program[i];
        uint16_t operation = bpf_operation(instruction->code);
        if (!places[i].is_reached)
            continue;
        if (places[i].starts_stretch)
            length = MAX_OF(places[i].length, stretch_end(compilation, i));

        uint32_t read, set;
        find_registers(instruction, &read, &set);
        compilation->unset |= read & ~places[i].known;
        compilation->has_indexed_loads |= is_indexed(operation);
        compilation->has_length |= operation == BPF_LD_LENGTH || operation == BPF_LDX_LENGTH;
        uint32_t known = places[i].known | set;
        if (operation == BPF_JUMP) {
            reach(&places[i + 1 + instruction->k], length, known);
        } else if (is_if(operation)) {
            reach(&places[i + 1 + instruction->jump_true], length, known);
            reach(&places[i + 1 + instruction->jump_false], length, known);
        } else if (!is_return(operation)) {
            reach(&places[i + 1], length, known);
        }
    }
}

/* ---- Loads ------------------------------------------------------------------------------------
 */

static struct memory_operand word_of(uint32_t k)
{
    return memory_of(RSP, (int32_t)(k + 1) * -4);
}

/* The flags say that the packet is too short: in CF, as of `cmp length, end`. */
static void reject_if_below(struct compilation *compilation)
{
    emit_jump_if(&compilation->emit, IF_BELOW, &compilation->reject);
    if (compilation->guarded)
        emit_cmov64(&compilation->emit, IF_BELOW, RDI, R11);
}

static void check_stretch(struct compilation *compilation, size_t i)
{
    uint32_t end = stretch_end(compilation, i);
    if (end <= compilation->places[i].length)
        return;
    if (end == UINT32_MAX) {
        emit_jump(&compilation->emit, &compilation->reject);
        return;
    }
    emit_alu32_value(&compilation->emit, ALU_CMP, RSI, end);
    reject_if_below(compilation);
}

/* As a number: the first byte is the highest. */
static void load(struct emit *emit, enum gpr to, uint32_t size, struct memory_operand from)
{
    switch (size) {
    case 1:
        emit_load8(emit, to, from);
        break;
    case 2:
        emit_load16(emit, to, from);
        emit_swap16(emit, to);
        break;
    default:
        emit_load32(emit, to, from);
        emit_bswap32(emit, to);
    }
}

static void load_indexed(struct compilation *compilation, const struct bpf_instruction *instruction)
{
    struct emit *emit = &compilation->emit;
    uint32_t end = load_end(instruction);
    if (end == UINT32_MAX) {
        emit_jump(emit, &compilation->reject);
        return;
    }
    emit_lea64(emit, RCX, memory_of(RDX, (int32_t)end));
    emit_alu64(emit, ALU_CMP, RSI, RCX);
    reject_if_below(compilation);
    load(emit, RAX, loaded_bytes(instruction->code),
         memory_indexed(RDI, RDX, 1, (int32_t)instruction->k));
}

/* ---- Computing --------------------------------------------------------------------------------
 */

/* By the constant in the instruction, or by X. */
static void alu(struct emit *emit, enum alu operation, bool by_x, uint32_t k)
{
    if (by_x)
        emit_alu32(emit, operation, RAX, RDX);
    else
        emit_alu32_value(emit, operation, RAX, k);
}

static void shift(struct emit *emit, enum shift direction, bool by_x, uint32_t k)
{
    enum { BITS = 32 };
    if (!by_x && k < BITS) {
        emit_shift32_value(emit, direction, RAX, (uint8_t)k);
    } else if (!by_x) {
        emit_alu32(emit, ALU_XOR, RAX, RAX);
    } else {
        emit_mov32(emit, RCX, RDX);
        emit_shift32_cl(emit, direction, RAX);
        emit_alu32(emit, ALU_XOR, R9, R9);
        emit_alu32_value(emit, ALU_CMP, RCX, BITS);
        emit_cmov32(emit, IF_NOT_BELOW, RAX, R9);
    }
}

static void divide(struct compilation *compilation, bool by_x, uint32_t k, enum gpr result)
{
    struct emit *emit = &compilation->emit;
    if (by_x) {
        emit_test32(emit, RDX, RDX);
        emit_jump_if(emit, IF_EQUAL, &compilation->reject);
        emit_mov32(emit, RCX, RDX);
    } else {
        emit_mov32_value(emit, RCX, k);
    }
    emit_mov32(emit, R9, RDX);
    emit_alu32(emit, ALU_XOR, RDX, RDX);
    emit_div32(emit, RCX);
    if (result != RAX)
        emit_mov32(emit, RAX, result);
    emit_mov32(emit, RDX, R9);
}

/* ---- Jumps ------------------------------------------------------------------------------------
 */

static void decide(struct compilation *compilation, size_t i)
{
    struct emit *emit = &compilation->emit;
    const struct bpf_instruction *instruction = &compilation->program[i];
    uint16_t operation = bpf_operation(instruction->code);
    bool by_x = operation != instruction->code;
    struct label *if_true = &compilation->places[i + 1 + instruction->jump_true].label;
    struct label *if_false = &compilation->places[i + 1 + instruction->jump_false].label;
    struct label *next = &compilation->places[i + 1].label;

    if (if_true == if_false) {
        if (if_true != next)
            emit_jump(emit, if_true);
        return;
    }
    if (operation != BPF_IF_SET)
        alu(emit, ALU_CMP, by_x, instruction->k);
    else if (by_x)
        emit_test32(emit, RAX, RDX);
    else
        emit_test32_value(emit, RAX, instruction->k);

    enum condition condition = operation == BPF_IF_EQUAL      ? IF_EQUAL
                               : operation == BPF_IF_GREATER  ? IF_ABOVE
                               : operation == BPF_IF_NOT_LESS ? IF_NOT_BELOW
                                                              : IF_NOT_EQUAL;
    if (if_true == next) {
        emit_jump_if(emit, condition_opposite(condition), if_false);
        return;
    }
    emit_jump_if(emit, condition, if_true);
    if (if_false != next)
        emit_jump(emit, if_false);
}

/* ---- The whole --------------------------------------------------------------------------------
 */

static void compile_instruction(struct compilation *compilation, size_t i)
{
    struct emit *emit = &compilation->emit;
    const struct bpf_instruction *instruction = &compilation->program[i];
    uint16_t operation = bpf_operation(instruction->code);
    bool by_x = operation != instruction->code;
    uint32_t k = instruction->k;

    switch (operation) {
    case BPF_LD_WORD:
    case BPF_LD_HALF:
    case BPF_LD_BYTE:
        load(emit, RAX, loaded_bytes(operation), memory_of(RDI, (int32_t)k));
        break;
    case BPF_LD_WORD_INDEXED:
    case BPF_LD_HALF_INDEXED:
    case BPF_LD_BYTE_INDEXED:
        load_indexed(compilation, instruction);
        break;
    case BPF_LDX_HEADER:
        load(emit, RDX, 1, memory_of(RDI, (int32_t)k));
        emit_alu32_value(emit, ALU_AND, RDX, 15);
        emit_shift32_value(emit, SHIFT_LEFT, RDX, 2);
        break;
    case BPF_LD_VALUE:
        emit_mov32_value(emit, RAX, k);
        break;
    case BPF_LDX_VALUE:
        emit_mov32_value(emit, RDX, k);
        break;
    case BPF_LD_MEMORY:
        emit_load32(emit, RAX, word_of(k));
        break;
    case BPF_LDX_MEMORY:
        emit_load32(emit, RDX, word_of(k));
        break;
    case BPF_LD_LENGTH:
        emit_mov32(emit, RAX, R8);
        break;
    case BPF_LDX_LENGTH:
        emit_mov32(emit, RDX, R8);
        break;
    case BPF_STORE:
        emit_store32(emit, word_of(k), RAX);
        break;
    case BPF_STOREX:
        emit_store32(emit, word_of(k), RDX);
        break;
    case BPF_A_TO_X:
        emit_mov32(emit, RDX, RAX);
        break;
    case BPF_X_TO_A:
        emit_mov32(emit, RAX, RDX);
        break;

    case BPF_ADD:
        alu(emit, ALU_ADD, by_x, k);
        break;
    case BPF_SUBTRACT:
        alu(emit, ALU_SUB, by_x, k);
        break;
    case BPF_OR:
        alu(emit, ALU_OR, by_x, k);
        break;
    case BPF_AND:
        alu(emit, ALU_AND, by_x, k);
        break;
    case BPF_XOR:
        alu(emit, ALU_XOR, by_x, k);
        break;
    case BPF_MULTIPLY:
        if (by_x)
            emit_imul32(emit, RAX, RDX);
        else
            emit_imul32_value(emit, RAX, RAX, k);
        break;
    case BPF_DIVIDE:
        divide(compilation, by_x, k, RAX);
        break;
    case BPF_MODULO:
        divide(compilation, by_x, k, RDX);
        break;
    case BPF_SHIFT_LEFT:
        shift(emit, SHIFT_LEFT, by_x, k);
        break;
    case BPF_SHIFT_RIGHT:
        shift(emit, SHIFT_RIGHT, by_x, k);
        break;
    case BPF_NEGATE:
        emit_neg32(emit, RAX);
        break;

    case BPF_JUMP:
        if (k > 0)
            emit_jump(emit, &compilation->places[i + 1 + k].label);
        break;
    case BPF_IF_EQUAL:
    case BPF_IF_GREATER:
    case BPF_IF_NOT_LESS:
    case BPF_IF_SET:
        decide(compilation, i);
        break;
    case BPF_RETURN:
        emit_mov32_value(emit, RAX, k);
        emit_ret(emit);
        break;
    case BPF_RETURN_A:
        emit_ret(emit);
        break;
    }
}

/* Called with the packet in rdi, the captured length in esi, that on the wire in edx. */
static void emit_start(struct compilation *compilation)
{
    struct emit *emit = &compilation->emit;
    if (compilation->has_indexed_loads)
        emit_mov32(emit, RSI, RSI); /* its upper half may be anything */
    if (compilation->has_length)
        emit_mov32(emit, R8, RDX);
    if (compilation->guarded)
        emit_alu32(emit, ALU_XOR, R11, R11);
    if (compilation->unset & (SET_A | SET_WORDS))
        emit_alu32(emit, ALU_XOR, RAX, RAX);
    if (compilation->unset & SET_X)
        emit_alu32(emit, ALU_XOR, RDX, RDX);
    for (uint32_t k = 0; k < BPF_WORDS; k++) {
        if (compilation->unset & 1u << k)
            emit_store32(emit, word_of(k), RAX);
    }
}

static void emit_program(struct compilation *compilation)
{
    struct emit *emit = &compilation->emit;

    compilation->reject = (struct label){ 0 };
    for (size_t i = 0; i < compilation->count; i++)
        compilation->places[i].label = (struct label){ 0 };
    emit_start(compilation);
    for (size_t i = 0; i < compilation->count; i++) {
        if (!compilation->places[i].is_reached)
            continue;
        emit_label(emit, &compilation->places[i].label);
        if (compilation->places[i].starts_stretch)
            check_stretch(compilation, i);
        compile_instruction(compilation, i);
    }
    emit_label(emit, &compilation->reject);
    emit_alu32(emit, ALU_XOR, RAX, RAX);
    emit_ret(emit);
}

/* Measured, then written: see emit.h. */
static struct code *emit_code(struct compilation *compilation)
{
    compilation->emit = (struct emit){ 0 };
    emit_program(compilation);
    struct code *code = code_alloc(compilation->emit.used);
    if (!code)
        return NULL;
    compilation->emit = (struct emit){ .bytes = code->bytes, .room = code->size_bytes };
    emit_program(compilation);
    CHECK(emit_fits(&compilation->emit));
    if (code_seal(code) != OK) {
        code_free(code);
        return NULL;
    }
    return code;
}

struct code *bpf_compile(const struct bpf_instruction *program, size_t count, bool guarded)
{
    struct compilation *compilation =
        memory_alloc(sizeof(*compilation) + count * sizeof(compilation->places[0]), 0, MEMORY_CODE);
    if (!compilation)
        return NULL;
    compilation->program = program;
    compilation->count = count;
    compilation->guarded = guarded;
    find_known(compilation);
    struct code *code = emit_code(compilation);
    memory_free(compilation);
    return code;
}
