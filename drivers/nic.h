/* The contract between a network card's driver and the port above it.
 *
 * A card has queue pairs; a queue pair belongs to one core for as long as it is open, and only that
 * core calls receive, transmit, flush and arm. All else is called by the control core while the
 * queues are closed, except link_up() and stats(), which only read, and set_mac().
 *
 * Packets: receive() gives packets that the driver had taken from the queue's pool; transmit()
 * takes those it accepts and frees them when the card has sent them. */
#pragma once

#include "kernel/base/packet.h"
#include "kernel/base/types.h"

struct nic;
struct nic_queue; /* the driver's own */

enum {
    NIC_QUEUE_MAX = CORE_MAX,
    NIC_RING_DEFAULT = 256,
};

/* How one queue pair is to be opened. */
struct nic_queue_setup {
    struct packet_pool *pool; /* of the core that owns the queue */
    unsigned core;            /* whom its interrupt wakes */
};

struct nic_stats {
    uint64_t rx_errors;    /* the card's own count of frames it could not give us */
    uint64_t rx_no_buffer; /* frames lost because no buffer was posted */
    uint64_t tx_errors;
};

struct nic_ops {
    /* Takes the card into service with queue_count pairs (1 to nic->queue_max): afterwards
     * nic->queues[0 .. queue_count) work. On failure nothing is left allocated or running. */
    enum error (*open)(struct nic *nic, unsigned queue_count, const struct nic_queue_setup *setup);
    /* Stops DMA, then frees every packet the driver holds. local: pool of the calling core. */
    void (*close)(struct nic *nic, struct packet_pool *local);

    /* Appends at most BATCH_MAX - batch->count packets; refills the ring. Frames are whole, without
     * FCS; frame_length_bytes, segments and PACKET_CHECKSUM_GOOD are set, the rest is not. */
    void (*receive)(struct nic_queue *queue, struct batch *batch);
    /* Takes the first packets of the array, as many as fit, and answers their number; the rest
     * stays the caller's. Nothing need be visible to the card before flush(). Frames have at least
     * 14 bytes; short ones are padded by the driver where the card does not. */
    unsigned (*transmit)(struct nic_queue *queue, struct packet **packets, unsigned count);
    /* Rings the doorbell once, if anything was queued since; frees what has been sent. */
    void (*flush)(struct nic_queue *queue);
    /* Before sleep: enables the queue's interrupt; true if there is work already, then do not
     * sleep. */
    bool (*arm)(struct nic_queue *queue);
    /* After sleep: no interrupts while the core polls. */
    void (*disarm)(struct nic_queue *queue);

    bool (*link_up)(struct nic *nic); /* asks the card; cheap enough for 10 Hz */
    /* Of an open card, too, while the cores go on; after an error the card has its old address. */
    enum error (*set_mac)(struct nic *nic, const uint8_t mac[6]);
    void (*stats)(struct nic *nic, struct nic_stats *stats);
};

struct nic {
    /* Set by probe, never changed, but for `mac` by set_mac(). */
    const struct nic_ops *ops;
    const char *driver; /* "virtio-net" */
    uint8_t mac[6];
    unsigned queue_max;       /* pairs the card can do */
    uint32_t frame_max_bytes; /* longest frame it can send, Ethernet header included, FCS not */
    char location[16];        /* "0000:00:02.0" */
    /* Set by open, zero when closed. */
    unsigned queue_count;
    struct nic_queue *queues[NIC_QUEUE_MAX];
    bool polled; /* no interrupt reaches us: poll 250 times a second when idle */
    /* Counted by the driver: accesses to device registers, for `show cores`. */
    uint64_t register_accesses[NIC_QUEUE_MAX];
    uint16_t ring_entries_rx, ring_entries_tx;
};
