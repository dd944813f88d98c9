/* The peers of chain_bench.c, a file for each, as both call their instructions the same. The list
 * is of /24, as addresses in host order; a frame is one of IPv4 over Ethernet. */
#pragma once

#include "kernel/base/types.h"

/* Programs in the kernel, as files; 0 stands for none. */
struct kernel_chain {
    int chain, empty; /* the latter does nothing: what a run costs by itself */
};

/* False: the kernel does not let us, and errno says why. */
bool kernel_chain_create(struct kernel_chain *chain, const uint32_t *nets, unsigned count);
void kernel_chain_destroy(struct kernel_chain *chain);
/* Nanoseconds a run, of so many; *found: whether the list has the destination. 0: it was not run,
 * and *found is as it was. */
double kernel_chain_run(int program, const uint8_t *frame, unsigned length_bytes, unsigned runs,
                        bool *found);

struct pcap_chain;

/* NULL: libpcap refuses. It is in no hurry: 7 s for 1,000. */
struct pcap_chain *pcap_chain_create(const uint32_t *nets, unsigned count);
void pcap_chain_destroy(struct pcap_chain *chain);
unsigned pcap_chain_instructions(const struct pcap_chain *chain);
bool pcap_chain_run(const struct pcap_chain *chain, const uint8_t *frame, unsigned length_bytes);
