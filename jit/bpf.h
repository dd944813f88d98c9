/* Classic BPF: packet filters as capture clients send them, compiled from expressions such as
 * `tcp port 443` by libpcap. McCanne and Jacobson, The BSD Packet Filter, 1993.
 *
 * A program has an accumulator A, an index X and 16 words M[], all 0 at first, and answers how many
 * bytes of the packet are wanted, 0 for none. Answers are those of libpcap's bpf_filter() with the
 * same program, byte for byte. So:
 *
 *   - a load that is not wholly within what was captured answers 0, as does a division by X where X
 *     is 0;
 *   - LEN is the length on the wire, which may be more than what was captured;
 *   - a shift by 32 and more gives 0. (libpcap leaves that by a constant to its compiler.)
 *
 * Verified programs only go forward, so each ends after at most as many steps as it has
 * instructions. Nothing here writes to memory but the stack. */
#pragma once

#include "kernel/base/types.h"
#include "kernel/platform.h"

enum {
    BPF_INSTRUCTIONS_MAX = 4096,
    BPF_WORDS = 16,                   /* of M[] */
    BPF_PACKET_BYTES_MAX = INT32_MAX, /* that may be captured: no sum of offsets is ambiguous */
};

/* As they are transferred, in the order of this machine's bytes. */
struct bpf_instruction {
    uint16_t code;
    uint8_t jump_true; /* instructions to leave out */
    uint8_t jump_false;
    uint32_t k;
};
_Static_assert(sizeof(struct bpf_instruction) == 8, "struct bpf_insn of clients");

/* All instructions that there are. Of what computes or compares there is another one each with
 * BPF_X set, which has X for k; not of BPF_NEGATE and BPF_JUMP. */
enum bpf_code {
    BPF_X = 0x08,

    BPF_LD_WORD = 0x20, /* A = bytes of the packet from k on, the first is the highest */
    BPF_LD_HALF = 0x28,
    BPF_LD_BYTE = 0x30,
    BPF_LD_WORD_INDEXED = 0x40, /* from X + k on */
    BPF_LD_HALF_INDEXED = 0x48,
    BPF_LD_BYTE_INDEXED = 0x50,
    BPF_LD_VALUE = 0x00,
    BPF_LD_MEMORY = 0x60, /* M[k] */
    BPF_LD_LENGTH = 0x80,
    BPF_LDX_VALUE = 0x01,
    BPF_LDX_MEMORY = 0x61,
    BPF_LDX_LENGTH = 0x81,
    BPF_LDX_HEADER = 0xb1, /* X = 4 * (byte k of the packet & 15): an IPv4 header's length */
    BPF_STORE = 0x02,      /* M[k] = A */
    BPF_STOREX = 0x03,

    BPF_ADD = 0x04, /* A = A + k */
    BPF_SUBTRACT = 0x14,
    BPF_MULTIPLY = 0x24,
    BPF_DIVIDE = 0x34,
    BPF_OR = 0x44,
    BPF_AND = 0x54,
    BPF_SHIFT_LEFT = 0x64,
    BPF_SHIFT_RIGHT = 0x74,
    BPF_MODULO = 0x94,
    BPF_XOR = 0xa4,
    BPF_NEGATE = 0x84,

    BPF_JUMP = 0x05, /* k instructions are left out */
    BPF_IF_EQUAL = 0x15,
    BPF_IF_GREATER = 0x25, /* A > k, unsigned */
    BPF_IF_NOT_LESS = 0x35,
    BPF_IF_SET = 0x45, /* A & k */

    BPF_RETURN = 0x06,
    BPF_RETURN_A = 0x16,
    BPF_A_TO_X = 0x07,
    BPF_X_TO_A = 0x87,
};

/* The instruction without BPF_X, where that means something. */
static inline uint16_t bpf_operation(uint16_t code)
{
    enum { CLASS = 7, CLASS_COMPUTE = 4, CLASS_JUMP = 5 };
    bool has_source = (code & CLASS) == CLASS_COMPUTE || (code & CLASS) == CLASS_JUMP;
    return has_source ? code & (uint16_t)~BPF_X : code;
}

/* May it be run? ERROR_FULL: too many instructions. ERROR_MALFORMED: none, or one that does not
 * exist, a jump out of the program, a word that M[] does not have, a division by the constant 0, or
 * the last one is no return. (Stricter than bpf_validate() of libpcap, which lets instructions pass
 * that bpf_filter() then stops the process at, and jumps back.) */
enum error bpf_verify(const struct bpf_instruction *program, size_t count) MUST_CHECK;

/* What a verified program answers. captured_bytes, at most BPF_PACKET_BYTES_MAX, are at `packet`;
 * wire_bytes may be any number. */
uint32_t bpf_interpret(const struct bpf_instruction *program, const uint8_t *packet,
                       uint32_t captured_bytes, uint32_t wire_bytes);

/* A verified program as machine code that is sealed; NULL: no memory. The caller's, for
 * code_free(). guarded: for programs of people who must not learn what is in memory. A processor
 * that wrongly guesses that a load is within the packet then loads from the lowest 8 GiB, where
 * nothing is mapped, instead of from where the program says (Spectre, variant 1). */
struct code *bpf_compile(const struct bpf_instruction *program, size_t count,
                         bool guarded) MUST_CHECK;

typedef uint32_t bpf_function(const uint8_t *packet, uint32_t captured_bytes, uint32_t wire_bytes);

/* Runs what bpf_compile() made: the same answer as bpf_interpret()'s. */
static inline uint32_t bpf_run(const struct code *code, const uint8_t *packet,
                               uint32_t captured_bytes, uint32_t wire_bytes)
{
    return ((bpf_function *)(uintptr_t)code->entry)(packet, captured_bytes, wire_bytes);
}
