#include "tests/unit/bpf_oracle.h"

#include <pcap/pcap.h>
#include <string.h>

_Static_assert(sizeof(struct bpf_insn) == sizeof(struct bpf_instruction), "one layout");
_Static_assert(offsetof(struct bpf_insn, k) == offsetof(struct bpf_instruction, k), "one layout");

uint32_t oracle_filter(const struct bpf_instruction *program, const uint8_t *packet,
                       uint32_t captured_bytes, uint32_t wire_bytes)
{
    return bpf_filter((const struct bpf_insn *)program, packet, wire_bytes, captured_bytes);
}

bool oracle_validate(const struct bpf_instruction *program, size_t count)
{
    return bpf_validate((const struct bpf_insn *)program, (int)count) != 0;
}

size_t oracle_compile(const char *expression, bool optimize,
                      struct bpf_instruction program[BPF_INSTRUCTIONS_MAX])
{
    enum { SNAPSHOT_BYTES = 262144 };
    pcap_t *pcap = pcap_open_dead(DLT_EN10MB, SNAPSHOT_BYTES);
    struct bpf_program compiled;
    size_t count = 0;
    if (pcap_compile(pcap, &compiled, expression, optimize, PCAP_NETMASK_UNKNOWN) == 0) {
        if (compiled.bf_len <= BPF_INSTRUCTIONS_MAX) {
            count = compiled.bf_len;
            memcpy(program, compiled.bf_insns, count * sizeof(program[0]));
        }
        pcap_freecode(&compiled);
    }
    pcap_close(pcap);
    return count;
}
