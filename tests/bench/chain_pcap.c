/* The list as an expression for libpcap, which compiles it to classic BPF and interprets that: what
 * tcpdump does outside the kernel. */
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/chain_peers.h"

struct pcap_chain {
    struct bpf_program program;
};

static char *expression_of(const uint32_t *nets, unsigned count)
{
    enum { EACH_BYTES = sizeof(" or dst net 255.255.255.0/24") };
    char *expression = malloc((size_t)count * EACH_BYTES + 1), *at = expression;

    for (unsigned i = 0; i < count && expression != NULL; i++)
        at += sprintf(at, "%sdst net %u.%u.%u.0/24", i > 0 ? " or " : "", nets[i] >> 24,
                      nets[i] >> 16 & 255, nets[i] >> 8 & 255);
    return expression;
}

struct pcap_chain *pcap_chain_create(const uint32_t *nets, unsigned count)
{
    enum { SNAPSHOT_BYTES = 2048 };
    struct pcap_chain *chain = calloc(1, sizeof(*chain));
    char *expression = expression_of(nets, count);
    pcap_t *pcap = pcap_open_dead(DLT_EN10MB, SNAPSHOT_BYTES);

    if (chain == NULL || expression == NULL || pcap == NULL ||
        pcap_compile(pcap, &chain->program, expression, 1, PCAP_NETMASK_UNKNOWN) != 0) {
        free(chain);
        chain = NULL;
    }
    free(expression);
    if (pcap != NULL)
        pcap_close(pcap);
    return chain;
}

void pcap_chain_destroy(struct pcap_chain *chain)
{
    pcap_freecode(&chain->program);
    free(chain);
}

unsigned pcap_chain_instructions(const struct pcap_chain *chain)
{
    return chain->program.bf_len;
}

bool pcap_chain_run(const struct pcap_chain *chain, const uint8_t *frame, unsigned length_bytes)
{
    return bpf_filter(chain->program.bf_insns, frame, length_bytes, length_bytes) != 0;
}
