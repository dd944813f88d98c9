/* Verifying and interpreting, both one switch over all instructions. */
#include "jit/bpf.h"

#include "kernel/base/bytes.h"

/* ---- Verifying --------------------------------------------------------------------------------
 */

/* Is `skipped` ahead of instruction i still in the program? */
static bool is_inside(size_t count, size_t i, uint32_t skipped)
{
    return skipped < count - i - 1;
}

static bool is_valid(const struct bpf_instruction *instruction, size_t i, size_t count)
{
    bool by_x = bpf_operation(instruction->code) != instruction->code;
    switch (bpf_operation(instruction->code)) {
    case BPF_LD_WORD:
    case BPF_LD_HALF:
    case BPF_LD_BYTE:
    case BPF_LD_WORD_INDEXED:
    case BPF_LD_HALF_INDEXED:
    case BPF_LD_BYTE_INDEXED:
    case BPF_LD_VALUE:
    case BPF_LD_LENGTH:
    case BPF_LDX_VALUE:
    case BPF_LDX_LENGTH:
    case BPF_LDX_HEADER:
    case BPF_ADD:
    case BPF_SUBTRACT:
    case BPF_MULTIPLY:
    case BPF_OR:
    case BPF_AND:
    case BPF_XOR:
    case BPF_SHIFT_LEFT:
    case BPF_SHIFT_RIGHT:
    case BPF_RETURN:
    case BPF_RETURN_A:
    case BPF_A_TO_X:
    case BPF_X_TO_A:
        return true;
    case BPF_NEGATE:
        return !by_x;
    case BPF_LD_MEMORY:
    case BPF_LDX_MEMORY:
    case BPF_STORE:
    case BPF_STOREX:
        return instruction->k < BPF_WORDS;
    case BPF_DIVIDE:
    case BPF_MODULO:
        return by_x || instruction->k != 0;
    case BPF_JUMP:
        return !by_x && is_inside(count, i, instruction->k);
    case BPF_IF_EQUAL:
    case BPF_IF_GREATER:
    case BPF_IF_NOT_LESS:
    case BPF_IF_SET:
        return is_inside(count, i, instruction->jump_true) &&
               is_inside(count, i, instruction->jump_false);
    }
    return false;
}

enum error bpf_verify(const struct bpf_instruction *program, size_t count)
{
    if (count > BPF_INSTRUCTIONS_MAX)
        return fail(ERROR_FULL);
    if (count == 0)
        return fail(ERROR_MALFORMED);
    for (size_t i = 0; i < count; i++) {
        if (!is_valid(&program[i], i, count))
            return fail(ERROR_MALFORMED);
    }
    uint16_t last = program[count - 1].code;
    return last == BPF_RETURN || last == BPF_RETURN_A ? OK : fail(ERROR_MALFORMED);
}

/* ---- Interpreting -----------------------------------------------------------------------------
 */

/* size bytes from index + offset on, the first is the highest; false: they are not all there. */
static bool load(const uint8_t *packet, uint32_t captured_bytes, uint32_t index, uint32_t offset,
                 unsigned size, uint32_t *value)
{
    uint64_t at = (uint64_t)index + offset;
    if (at > captured_bytes || size > captured_bytes - at)
        return false;
    *value = 0;
    for (unsigned i = 0; i < size; i++)
        *value = *value << 8 | packet[at + i];
    return true;
}

/* False: a division by 0. */
static bool compute(unsigned operation, uint32_t *a, uint32_t by)
{
    switch (operation) {
    case BPF_ADD:
        *a += by;
        return true;
    case BPF_SUBTRACT:
        *a -= by;
        return true;
    case BPF_MULTIPLY:
        *a *= by;
        return true;
    case BPF_DIVIDE:
        *a = by != 0 ? *a / by : 0;
        return by != 0;
    case BPF_MODULO:
        *a = by != 0 ? *a % by : 0;
        return by != 0;
    case BPF_OR:
        *a |= by;
        return true;
    case BPF_AND:
        *a &= by;
        return true;
    case BPF_XOR:
        *a ^= by;
        return true;
    case BPF_SHIFT_LEFT:
        *a = by < 32 ? *a << by : 0;
        return true;
    case BPF_SHIFT_RIGHT:
        *a = by < 32 ? *a >> by : 0;
        return true;
    default: /* BPF_NEGATE */
        *a = -*a;
        return true;
    }
}

static bool decide(unsigned operation, uint32_t a, uint32_t by)
{
    switch (operation) {
    case BPF_IF_EQUAL:
        return a == by;
    case BPF_IF_GREATER:
        return a > by;
    case BPF_IF_NOT_LESS:
        return a >= by;
    default: /* BPF_IF_SET */
        return (a & by) != 0;
    }
}

uint32_t bpf_interpret(const struct bpf_instruction *program, const uint8_t *packet,
                       uint32_t captured_bytes, uint32_t wire_bytes)
{
    uint32_t a = 0, x = 0, words[BPF_WORDS] = { 0 };

    for (const struct bpf_instruction *now = program;; now++) {
        uint16_t operation = bpf_operation(now->code);
        uint32_t k = now->k;
        uint32_t by = operation != now->code ? x : k;

        switch (operation) {
        case BPF_LD_WORD:
            if (!load(packet, captured_bytes, 0, k, 4, &a))
                return 0;
            break;
        case BPF_LD_HALF:
            if (!load(packet, captured_bytes, 0, k, 2, &a))
                return 0;
            break;
        case BPF_LD_BYTE:
            if (!load(packet, captured_bytes, 0, k, 1, &a))
                return 0;
            break;
        case BPF_LD_WORD_INDEXED:
            if (!load(packet, captured_bytes, x, k, 4, &a))
                return 0;
            break;
        case BPF_LD_HALF_INDEXED:
            if (!load(packet, captured_bytes, x, k, 2, &a))
                return 0;
            break;
        case BPF_LD_BYTE_INDEXED:
            if (!load(packet, captured_bytes, x, k, 1, &a))
                return 0;
            break;
        case BPF_LD_VALUE:
            a = k;
            break;
        case BPF_LD_MEMORY:
            a = words[k];
            break;
        case BPF_LD_LENGTH:
            a = wire_bytes;
            break;
        case BPF_LDX_VALUE:
            x = k;
            break;
        case BPF_LDX_MEMORY:
            x = words[k];
            break;
        case BPF_LDX_LENGTH:
            x = wire_bytes;
            break;
        case BPF_LDX_HEADER:
            if (!load(packet, captured_bytes, 0, k, 1, &x))
                return 0;
            x = (x & 15) * 4;
            break;
        case BPF_STORE:
            words[k] = a;
            break;
        case BPF_STOREX:
            words[k] = x;
            break;
        case BPF_JUMP:
            now += k;
            break;
        case BPF_IF_EQUAL:
        case BPF_IF_GREATER:
        case BPF_IF_NOT_LESS:
        case BPF_IF_SET:
            now += decide(operation, a, by) ? now->jump_true : now->jump_false;
            break;
        case BPF_RETURN:
            return k;
        case BPF_RETURN_A:
            return a;
        case BPF_A_TO_X:
            x = a;
            break;
        case BPF_X_TO_A:
            a = x;
            break;
        default:
            if (!compute(operation, &a, by))
                return 0;
        }
    }
}
