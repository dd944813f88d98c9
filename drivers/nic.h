/* The contract between a network card's driver and the port above it.
 *
 * A card has queue pairs; a queue pair belongs to one core for as long as it is open, and only that
 * core calls receive, transmit, flush and arm. All else is called by the control core while the
 * queues are closed, except link_up(), is_well() and stats(), which only read, and set_mac().
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
    /* A card that is asked so often whether it is well, and has frames to send and sends none, is
     * not: 5 seconds. Pause frames and busy hosts hold a card up for less. */
    NIC_HANG_QUESTIONS = 50,
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
     * 14 bytes; short ones are padded by the driver where the card does not. A frame with
     * PACKET_CHECKSUM_WANTED goes to cards alone that complete checksums. */
    unsigned (*transmit)(struct nic_queue *queue, struct packet **packets, unsigned count);
    /* Rings the doorbell once, if anything was queued since; frees what has been sent. */
    void (*flush)(struct nic_queue *queue);
    /* Before sleep: enables the queue's interrupt; true if there is work already, then do not
     * sleep. */
    bool (*arm)(struct nic_queue *queue);
    /* After sleep: no interrupts while the core polls. */
    void (*disarm)(struct nic_queue *queue);

    bool (*link_up)(struct nic *nic); /* asks the card; cheap enough for 10 Hz */
    /* Asked ten times a second while it is open. False: the card broke the rules, is mute, wants a
     * reset, or sends nothing any more. It needs close() and open(). */
    bool (*is_well)(struct nic *nic);
    /* Of an open card, too, while the cores go on; after an error the card has its old address. */
    enum error (*set_mac)(struct nic *nic, const uint8_t mac[6]);
    void (*stats)(struct nic *nic, struct nic_stats *stats);
};

/* How cards spread flows over queues by a Toeplitz hash (RSS). With a key that repeats after 16
 * bits, both directions of a flow have one hash: its bits are sums over words, whose order does not
 * matter. Fragments have no ports, so they are spread by addresses, not with their flow. */
enum { NIC_RSS_KEY_EVEN = 0x6d, NIC_RSS_KEY_ODD = 0x5a }; /* the key's bytes */

/* What stands in an entry of the table, which the hash's last bits choose. It is not simply dealt
 * in turn: flows with ports in a row meet every second entry of it in a linear pattern, of which
 * three queues would get 8, 21 and 35 flows of 64. Tried with runs of 64 ports, all and every
 * second one: two and four queues always get what they should within 30 %, three queues 93 times
 * of 100. */
static inline unsigned nic_rss_queue(unsigned entry, unsigned queue_count)
{
    return (entry ^ entry >> 2) % queue_count;
}

/* Whether a transmit ring still moves, by asking over and over; zero at open. */
struct nic_watch {
    uint32_t place;
    unsigned questions; /* that found it there, with frames to send */
};

/* waiting: the card has frames and has sent none that the driver has not seen. place: changes
 * whenever the driver sees that it has sent one. */
static inline bool nic_watch_hangs(struct nic_watch *watch, bool waiting, uint32_t place)
{
    bool moved = !waiting || place != watch->place;
    watch->place = place;
    watch->questions = moved ? 0 : watch->questions + 1;
    return watch->questions >= NIC_HANG_QUESTIONS;
}

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
    bool polled;              /* no interrupt reaches us: poll 250 times a second when idle */
    bool completes_checksums; /* of frames with PACKET_CHECKSUM_WANTED */
    /* Set by who opens it, may be NULL: called over and over while open(), close() or set_mac()
     * wait for the card, so that its core can do other things. */
    void (*while_waiting)(void *context);
    void *while_waiting_context;
    /* Counted by the driver: accesses to device registers, for `show cores`. */
    uint64_t register_accesses[NIC_QUEUE_MAX];
    uint16_t ring_entries_rx, ring_entries_tx;
};
