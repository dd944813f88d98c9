/* What the files of the virtio network driver share:
 *
 *   virtio_net.c           a card: found, opened, asked, closed
 *   virtio_net_control.c   its control queue
 *   virtio_split.c         its queues with split rings, packet by packet
 *   virtio_packed.c        its queues with packed rings, packet by packet
 *   virtio_net_queue.c     what the two have in common and seldom run
 *
 * A queue pair is two rings. Each has a slot for every buffer number, which holds the packet behind
 * that number. A receive ring is always full: a buffer that the device has used is replaced by a
 * fresh one under the same number before its packet is handed up; where the pool has none, the
 * frame is dropped and its buffer offered again. It is filled by the first receive(), on the core
 * that owns the pool.
 *
 * A device may write its rings at any time and anything: each word is read once, every number is
 * checked before use, and a queue whose device breaks the rules stands still until close(). */
#pragma once

#include "drivers/nic.h"
#include "drivers/virtio_pci.h"
#include "kernel/base/bytes.h"
#include "kernel/base/counter.h"

enum {
    RING_ENTRIES_MAX = NIC_RING_DEFAULT, /* what the packet pools are made for */
    ETHERNET_HEADER_BYTES = 14,
    BUFFER_BYTES = VIRTIO_NET_HEADER_BYTES + PACKET_ROOM_BYTES, /* of one receive descriptor */
    CHAIN_MAX = 32, /* descriptors of one frame to send: headers, and 64 KiB in whole buffers */
};

struct ring {
    struct virtio_ring shared;
    /* Numbers that only grow. The control core reads them to see whether a device moves. */
    uint32_t offered; /* next entry of the available ring; packed: next place to give */
    uint32_t shown;   /* `offered` when the device was told last */
    uint32_t used_next;
    uint32_t mask;
    uint32_t posted; /* receive: slots that have a packet, all at last */
    struct packet *slots[RING_ENTRIES_MAX];
};

struct nic_queue {
    /* Set by open. */
    struct virtio_nic *card;
    struct packet_pool *pool;
    uint64_t *register_accesses;
    unsigned pair;
    int interrupt; /* of MSI-X; -1: none */
    bool merged_buffers;
    /* Owned by the queue's core. */
    _Atomic bool broken; /* read by others */
    struct ring receive;
    struct ring transmit;
    struct nic_stats stats; /* counters */
    struct packet chained;  /* never a packet: its address marks the slots behind a chain's first */
    /* Control core. */
    struct nic_watch watch; /* of the transmit ring */
};

struct control;

struct virtio_nic {
    struct nic nic;
    /* Set by probe. */
    struct virtio_pci virtio;
    uint64_t offered; /* features */
    unsigned device_pairs;
    bool mac_is_ours; /* to be told to the device: it had none, or set_mac() */
    /* Set by open. */
    uint64_t features;
    struct pci_msix msix;
    int pin; /* interrupt of INTx; -1: none */
    struct virtio_ring control_ring;
    struct control *control;
    uint32_t control_count; /* commands so far */
    /* Control core. */
    struct nic_stats past; /* of queues that are closed */
};

extern const char virtio_net_name[];

/* ---- The kinds of rings ----------------------------------------------------------------------
 * receive, transmit, flush, arm and disarm are those of nic_ops. */

void virtio_split_receive(struct nic_queue *queue, struct batch *batch);
unsigned virtio_split_transmit(struct nic_queue *queue, struct packet **packets, unsigned count);
void virtio_split_flush(struct nic_queue *queue);
bool virtio_split_arm(struct nic_queue *queue);
void virtio_split_disarm(struct nic_queue *queue);
/* Control core: the device has used what the driver has not looked at yet. */
bool virtio_split_has_sent(const struct ring *ring);

void virtio_packed_receive(struct nic_queue *queue, struct batch *batch);
unsigned virtio_packed_transmit(struct nic_queue *queue, struct packet **packets, unsigned count);
void virtio_packed_flush(struct nic_queue *queue);
bool virtio_packed_arm(struct nic_queue *queue);
void virtio_packed_disarm(struct nic_queue *queue);
bool virtio_packed_has_sent(const struct ring *ring);

/* ---- virtio_net_queue.c ---------------------------------------------------------------------- */

/* The device broke the rules: the queue stands still until the card is opened anew. */
void virtio_net_take_down(struct nic_queue *queue, const char *what, unsigned number);

/* A frame that comes in several buffers, or that is not good. */
struct frame_parts {
    unsigned buffer_count;
    unsigned done;
    struct packet *first, **link;
    uint64_t *lost; /* counter, where the frame is to be dropped */
    uint32_t length_bytes;
};
void virtio_net_begin_frame(struct nic_queue *queue, struct frame_parts *frame,
                            unsigned buffer_count);
/* The next buffer of it: puts a fresh packet into slot id, or leaves the old one where the frame is
 * lost. The caller offers it again. False where the device broke the rules. */
bool virtio_net_add_buffer(struct nic_queue *queue, struct frame_parts *frame, uint32_t id,
                           uint32_t length_bytes) MUST_CHECK;
/* The frame, or NULL where it is lost. */
struct packet *virtio_net_end_frame(struct nic_queue *queue, struct frame_parts *frame) MUST_CHECK;

/* How many descriptors a frame needs to be sent; 0: it cannot be, and is counted and freed. */
unsigned virtio_net_count_descriptors(struct nic_queue *queue, struct packet *packet);
/* The frame with the device's header before its first segment: in its headroom, or in a packet of
 * its own. NULL: no packet for it. */
struct packet *virtio_net_add_header(struct nic_queue *queue, struct packet *packet) MUST_CHECK;

/* Before arm() asks for interrupts, on cards with INTx. */
void virtio_net_unmask_pin(struct nic_queue *queue);

/* ---- virtio_net_control.c -------------------------------------------------------------------- */

enum { VIRTIO_CONTROL_DATA_MAX = 320 };

enum error virtio_control_open(struct virtio_nic *card, uint16_t queue) MUST_CHECK;
void virtio_control_close(struct virtio_nic *card);
/* One command, and its answer: UNSUPPORTED where the device refuses. After any other error the
 * queue is of no use until the next open. */
enum error virtio_control_command(struct virtio_nic *card, uint8_t class, uint8_t what,
                                  const void *data, size_t data_bytes);
/* Whether the device is to raise an interrupt when it has obeyed. */
void virtio_control_interrupt(struct virtio_nic *card, bool wanted);

/* ---- Both kinds' hot paths --------------------------------------------------------------------
 */

/* Where the device is to put header and frame in an empty packet. */
static inline uint64_t buffer_of(const struct packet *packet)
{
    return packet->buffer_dma + PACKET_META_BYTES + PACKET_HEADROOM_BYTES - VIRTIO_NET_HEADER_BYTES;
}

/* Of the frame whose first buffer this packet has: in how many it is. */
static inline unsigned buffer_count_of(struct packet *packet)
{
    return load_le16(packet_buffer(packet) + PACKET_HEADROOM_BYTES - VIRTIO_NET_HEADER_BYTES +
                     VIRTIO_NET_HEADER_BUFFER_COUNT);
}

/* A whole frame has come in one buffer. */
static inline void set_frame(struct packet *packet, uint32_t length_bytes)
{
    packet->flags = 0;
    packet->length_bytes = length_bytes;
    packet->frame_length_bytes = length_bytes;
}

/* Sent as it is: in one segment, with nothing for the device to do. header_offset: of the device's
 * header from the packet, which must lie in its headroom. */
static inline bool is_plain(const struct packet *packet, uint64_t header_offset)
{
    return LIKELY(packet->next_segment == NULL && header_offset >= PACKET_META_BYTES &&
                  !(packet->flags & PACKET_CHECKSUM_WANTED));
}

static inline uint64_t header_offset_of(const struct packet *packet)
{
    return (uint64_t)(packet->data - VIRTIO_NET_HEADER_BYTES - (const uint8_t *)packet);
}
