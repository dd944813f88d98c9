/* covers: jit/bpf.c */
/* covers: jit/bpf_compile.c */
/* A program and a packet: what is verified ends, and has one answer, interpreted and compiled, with
 * any part of the packet captured. Byte 0 is how many instructions there are; 8 bytes each; the
 * rest is the packet, which lies before a page that nobody may touch. */
#include "jit/bpf.h"

#include <string.h>

#include "kernel/platform.h"
#include "tests/host/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PACKET_MAX = 4096, INSTRUCTIONS_MAX = 255 };

static uint8_t *packet_end(void)
{
    static uint8_t *end;
    if (!end)
        end = host_guarded_end(PACKET_MAX);
    return end;
}

static void compare(const struct bpf_instruction *program, const struct code *plain,
                    const struct code *guarded, const uint8_t *packet, uint32_t captured,
                    uint32_t wire)
{
    uint32_t answer = bpf_interpret(program, packet, captured, wire);
    CHECK(bpf_run(plain, packet, captured, wire) == answer);
    CHECK(bpf_run(guarded, packet, captured, wire) == answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bpf_instruction program[INSTRUCTIONS_MAX];

    if (size == 0)
        return 0;
    size_t count = MIN_OF(data[0], (size - 1) / sizeof(program[0]));
    const uint8_t *rest = data + 1 + count * sizeof(program[0]);
    size_t length = MIN_OF((size_t)(data + size - rest), (size_t)PACKET_MAX);
    memcpy(program, data + 1, count * sizeof(program[0]));
    if (bpf_verify(program, count) != OK)
        return 0;

    host_fail_allocation(data[size - 1] % 8); /* 0 to 3 is one of ours */
    struct code *plain = bpf_compile(program, count, false);
    struct code *guarded = bpf_compile(program, count, true);
    host_fail_allocation(UINT64_MAX);
    if (plain && guarded) {
        memcpy(packet_end() - length, rest, length);
        compare(program, plain, guarded, packet_end() - length, (uint32_t)length,
                (uint32_t)length * 3);
        /* The beginning alone, so that it ends in the middle of something. */
        uint32_t part = (uint32_t)length / 2;
        memmove(packet_end() - part, packet_end() - length, part);
        compare(program, plain, guarded, packet_end() - part, part, (uint32_t)length);
    }
    code_free(plain);
    code_free(guarded);
    return 0;
}
