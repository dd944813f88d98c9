/* The list as a program of the kernel's eBPF, which the kernel's own compiler makes machine code
 * of: what a programmer of XDP writes, or LLVM makes of it, prefix by prefix. */
#include <linux/bpf.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/bench/chain_peers.h"

enum { FOUND = XDP_DROP, NOT_FOUND = XDP_PASS, DESTINATION_OFFSET = 30, HEADERS_BYTES = 34 };

/* Registers, by what is in them. */
enum { RESULT = BPF_REG_0, CONTEXT = BPF_REG_1, DATA, END, DESTINATION, REACH };

struct writer {
    struct bpf_insn *program;
    unsigned count;
};

static void put(struct writer *writer, uint8_t code, unsigned target, unsigned source, int offset,
                int32_t immediate)
{
    writer->program[writer->count++] = (struct bpf_insn){ .code = code,
                                                          .dst_reg = target & 15,
                                                          .src_reg = source & 15,
                                                          .off = (int16_t)offset,
                                                          .imm = immediate };
}

static void put_end(struct writer *writer, int32_t result)
{
    put(writer, BPF_ALU64 | BPF_MOV | BPF_K, RESULT, 0, 0, result);
    put(writer, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* The destination, of frames that have one. */
static void put_beginning(struct writer *writer)
{
    put(writer, BPF_LDX | BPF_MEM | BPF_W, DATA, CONTEXT, offsetof(struct xdp_md, data), 0);
    put(writer, BPF_LDX | BPF_MEM | BPF_W, END, CONTEXT, offsetof(struct xdp_md, data_end), 0);
    put(writer, BPF_ALU64 | BPF_MOV | BPF_X, REACH, DATA, 0, 0);
    put(writer, BPF_ALU64 | BPF_ADD | BPF_K, REACH, 0, 0, HEADERS_BYTES);
    put(writer, BPF_JMP | BPF_JLE | BPF_X, REACH, END, 2, 0);
    put_end(writer, NOT_FOUND);
    put(writer, BPF_LDX | BPF_MEM | BPF_W, DESTINATION, DATA, DESTINATION_OFFSET, 0);
}

static int load(const struct writer *writer)
{
    union bpf_attr attributes;

    memset(&attributes, 0, sizeof(attributes));
    attributes.prog_type = BPF_PROG_TYPE_XDP;
    attributes.insns = (uintptr_t)writer->program;
    attributes.insn_cnt = writer->count;
    attributes.license = (uintptr_t) "GPL";
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
}

static int load_chain(const uint32_t *nets, unsigned count)
{
    enum { EACH = 3, REST = 16 };
    struct writer writer = { calloc((size_t)count * EACH + REST, sizeof(struct bpf_insn)), 0 };

    if (writer.program == NULL)
        return -1;
    put_beginning(&writer);
    unsigned first = writer.count, found = first + count * EACH + 2;
    for (unsigned i = 0; i < count; i++) {
        put(&writer, BPF_ALU | BPF_MOV | BPF_X, RESULT, DESTINATION, 0, 0);
        put(&writer, BPF_ALU | BPF_AND | BPF_K, RESULT, 0, 0,
            (int32_t)__builtin_bswap32(0xffffff00));
        put(&writer, BPF_JMP32 | BPF_JEQ | BPF_K, RESULT, 0, (int)(found - writer.count - 1),
            (int32_t)__builtin_bswap32(nets[i]));
    }
    put_end(&writer, NOT_FOUND);
    put_end(&writer, FOUND);
    int file = load(&writer);
    free(writer.program);
    return file;
}

bool kernel_chain_create(struct kernel_chain *chain, const uint32_t *nets, unsigned count)
{
    struct bpf_insn nothing[2];
    struct writer writer = { nothing, 0 };

    put_end(&writer, NOT_FOUND);
    *chain = (struct kernel_chain){ load_chain(nets, count), load(&writer) };
    return chain->chain > 0 && chain->empty > 0;
}

void kernel_chain_destroy(struct kernel_chain *chain)
{
    close(chain->chain);
    close(chain->empty);
}

double kernel_chain_run(int program, const uint8_t *frame, unsigned length_bytes, unsigned runs,
                        bool *found)
{
    union bpf_attr attributes;

    memset(&attributes, 0, sizeof(attributes));
    attributes.test.prog_fd = (uint32_t)program;
    attributes.test.data_in = (uintptr_t)frame;
    attributes.test.data_size_in = length_bytes;
    attributes.test.repeat = runs;
    if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attributes, sizeof(attributes)) != 0)
        return 0;
    *found = attributes.test.retval == FOUND;
    return attributes.test.duration; /* on average, in whole nanoseconds */
}
