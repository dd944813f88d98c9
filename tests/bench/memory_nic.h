/* Network cards of memory, for benchmarks: what they receive is copied from prepared frames, round
 * and round; what they send is freed.
 *
 * What that costs is meant to be what DPDK's net_pcap costs with infinite_rx, so that a router over
 * this and l3fwd over that compare. Per packet both take a buffer from the pool, copy 60 bytes into
 * it, set its lengths, count it, and give it back to the pool on transmit. net_pcap besides takes
 * the frame from a ring and puts it back; here frames lie in an array, one to a cache line, which
 * the processor reads ahead. Neither has descriptors, doorbells or DMA; register_accesses counts
 * what a card with doorbells would have been written: one for the buffers given back after a
 * receive, one per flush with something to send. */
#pragma once

#include "drivers/nic.h"

enum {
    MEMORY_FRAME_BYTES = 60, /* 64 with the FCS, which is not ours */
    MEMORY_NIC_RING = NIC_RING_DEFAULT,
    /* Of a histogram with a relative error of 1/8. */
    LATENCY_OCTAVES = 40,
    LATENCY_STEPS = 8,
    LATENCY_COUNT = LATENCY_OCTAVES * LATENCY_STEPS,
};

struct memory_frame {
    alignas(CACHE_LINE_BYTES) uint8_t bytes[CACHE_LINE_BYTES];
};

struct memory_nic;
struct memory_nic *memory_nic_create(const uint8_t mac[6], unsigned queue_max);
void memory_nic_destroy(struct memory_nic *nic); /* closed by its router */
struct nic *memory_nic_card(struct memory_nic *nic);

/* ---- While no core steps ----------------------------------------------------------------------
 */

/* Frames to be received from here on, the same number by each queue; the array stays the caller's.
 */
void memory_nic_frames(struct memory_nic *nic, const struct memory_frame *frames, unsigned count);

/* From now on, by each queue: MEMORY_NIC_SATURATED: always another frame. MEMORY_NIC_SILENT: none.
 * Else a frame comes every so many cycles whether somebody takes it or not, up to MEMORY_NIC_RING
 * wait for that, and the rest is lost. These carry the time of their arrival in their payload, so
 * that transmit() can tell how long they took. Sets all counts to zero. */
enum { MEMORY_NIC_SATURATED = 0 };
static const uint64_t MEMORY_NIC_SILENT = UINT64_MAX;
void memory_nic_pace(struct memory_nic *nic, uint64_t cycles_per_frame);

/* Adds the counts of all queues. */
struct memory_counts {
    uint64_t received, lost, sent;
    uint64_t latency_max_cycles;
    uint64_t latencies[LATENCY_COUNT];
};
void memory_nic_counts(const struct memory_nic *nic, struct memory_counts *sum);

/* The latency in cycles that so many thousandths of all packets did not exceed. */
uint64_t latency_at(const struct memory_counts *counts, unsigned per_mille);
