/* What the drivers of Intel's gigabit cards share:
 *
 *   intel_nic.c      a card: reset, its address, interrupts, what it is asked now and then
 *   intel_queue.c    receiving into packets, collecting what was sent, sleeping
 *   e1000.c, e1000e.c, igb.c    what differs: found, opened, received and sent how
 *
 * All have rings of descriptors of 16 bytes, an address and a word of state in which the card sets
 * DD when it is done. Head and tail [8254x 3.2.6, 3.4]: equal means empty, so the driver always
 * keeps one descriptor back. Registers are never read in the hot path: DD in memory says all.
 *
 * Sections without the name of a card are those of the 8254x manual; what is said there of the
 * registers here holds for the later cards, too. */
#pragma once

#include <stdatomic.h>

#include "drivers/e1000_regs.h"
#include "drivers/nic.h"
#include "drivers/pci.h"
#include "kernel/base/counter.h"

enum {
    RING_ENTRIES = NIC_RING_DEFAULT, /* RDLEN is a multiple of 128 bytes [13.4.27] */
    RING_MASK = RING_ENTRIES - 1,
    RETURN_BATCH = 32, /* receive descriptors given back by one register write */
    ETHERNET_HEADER_BYTES = 14,
    /* With TCTL.PSP the card pads, but not what is shorter than this. Found in other drivers. */
    SEND_BYTES_MIN = 17,
    CHAIN_MAX = 32, /* descriptors of one frame to send */
};
_Static_assert((RING_ENTRIES & RING_MASK) == 0, "indices are masked");

struct intel_nic;

/* What the cards of one driver have in common. */
struct intel_family {
    const char *name;
    size_t bar_bytes;
    unsigned queue_max; /* with an interrupt for each */
    uint32_t frame_max_bytes;
    uint16_t receive_ring, transmit_ring; /* RDBAL and TDBAL of the first queue, */
    uint16_t ring_stride;                 /* and how far it is to those of the next */
    uint8_t eerd_address_shift;
    uint8_t eerd_done;     /* the bit */
    bool express;          /* on PCI Express: has message interrupts, and a reset with more to it */
    uint64_t receive_done; /* DD in the state of a receive descriptor */
    /* Interrupts by MSI-X: which causes are a queue's, in which registers. */
    uint16_t cause, mask_set, mask_clear;
    uint32_t (*causes)(unsigned queue);
    /* Entry i of the MSI-X table is now that of queue i: tells the card. */
    void (*assign_vectors)(const struct intel_nic *card);
};

struct nic_queue {
    /* Set by open. */
    struct intel_nic *card;
    struct packet_pool *pool;
    uint64_t *register_accesses;
    uint8_t *receive_tail, *transmit_tail; /* RDT, TDT */
    struct e1000_receive_descriptor *receive;
    struct e1000_transmit_descriptor *transmit;
    unsigned index;
    int interrupt;    /* -1: none */
    bool has_message; /* of MSI-X */
    uint32_t causes;
    /* Owned by the queue's core. */
    _Atomic bool broken; /* read by others */
    bool skipping;       /* the rest of a frame that is lost */
    uint16_t receive_next;
    uint16_t unreturned; /* receive descriptors done and not given back */
    uint16_t posted;     /* receive descriptors that have a packet, all at last */
    uint16_t send_next;
    uint16_t send_told;                    /* TDT */
    uint16_t send_clean;                   /* the oldest descriptor that may not be sent yet */
    struct nic_stats stats;                /* counters */
    struct packet *received[RING_ENTRIES]; /* behind each descriptor */
    struct packet *sent[RING_ENTRIES];     /* of a frame's last descriptor */
    /* Control core. */
    struct nic_watch watch; /* of the transmit ring */
};

struct intel_nic {
    struct nic nic;
    /* Set by probe. */
    struct pci_device *device;
    uint8_t *registers;
    const struct intel_family *family;
    /* Set by open. */
    struct pci_msix msix;
    bool has_msi;
    /* Control core. */
    struct nic_stats past; /* the card's own counters, and those of closed queues */
};

static inline struct intel_nic *intel_card(struct nic *nic)
{
    return CONTAINER_OF(nic, struct intel_nic, nic);
}

static inline uint32_t intel_read(const struct intel_nic *card, unsigned offset)
{
    return mmio_read32(card->registers + offset);
}

static inline void intel_write(const struct intel_nic *card, unsigned offset, uint32_t value)
{
    mmio_write32(card->registers + offset, value);
}

/* The register of a queue that the first queue has at `first`. */
static inline unsigned intel_of_queue(const struct intel_nic *card, unsigned first, unsigned queue)
{
    return first + queue * card->family->ring_stride;
}

/* ---- intel_nic.c ------------------------------------------------------------------------------
 */

/* The card, or NULL and why. */
struct nic *intel_probe(struct pci_device *device, const struct intel_family *family,
                        const struct nic_ops *ops, const char **why) MUST_CHECK;
void intel_remove(struct nic *nic);

enum error intel_reset(const struct intel_nic *card) MUST_CHECK;
/* Polls a register until (value & mask) == wanted; false where it takes too long. */
bool intel_wait(const struct intel_nic *card, unsigned offset, uint32_t mask,
                uint32_t wanted) MUST_CHECK;

/* Tells the card where a queue's rings are; both are empty. */
void intel_write_rings(const struct intel_nic *card, const struct nic_queue *queue);
/* The card's own address, and no filter of groups. */
void intel_write_addresses(const struct intel_nic *card);
/* On PCI Express: transfers and the link may come; a PHY without one is made to look for it. */
void intel_set_link_up(const struct intel_nic *card);
/* For queues that are spread by RSS: key and table are at the same places in all that can. */
void intel_write_rss(const struct intel_nic *card, unsigned queue_count, unsigned queue_shift);
/* An interrupt for each queue, by MSI-X; for a single one MSI or a pin will do. Else it is polled.
 */
void intel_connect(struct intel_nic *card, const struct nic_queue_setup *setup);

/* What open() begins with: a reset, and queues with empty rings, which the card is not told yet.
 * queue_bytes: of the struct that begins with a struct nic_queue. On failure nothing is left. */
enum error intel_open_queues(struct nic *nic, unsigned queue_count,
                             const struct nic_queue_setup *setup, size_t queue_bytes) MUST_CHECK;
/* Stops DMA; no queue is freed yet. */
void intel_stop(struct nic *nic);
void intel_free_queues(struct nic *nic, struct packet_pool *local);
void intel_close(struct nic *nic, struct packet_pool *local);

bool intel_link_up(struct nic *nic);
bool intel_is_well(struct nic *nic);
enum error intel_set_mac(struct nic *nic, const uint8_t mac[6]);
void intel_stats(struct nic *nic, struct nic_stats *stats);

/* ---- intel_queue.c ----------------------------------------------------------------------------
 */

void intel_receive(struct nic_queue *queue, struct batch *batch);
void intel_flush(struct nic_queue *queue);
bool intel_arm(struct nic_queue *queue);
void intel_disarm(struct nic_queue *queue);
void intel_return_descriptors(struct nic_queue *queue);
/* The card broke the rules: the queue stands still until the card is opened anew. */
void intel_take_down(struct nic_queue *queue, uint32_t length_bytes);

/* Of descriptors with DEXT: none of data. The card does not set DD in it. */
static inline bool intel_is_context(uint64_t state)
{
    return (state & E1000_TRANSMIT_DEXT) && !(state & E1000_TRANSMIT_DATA);
}

/* ---- Transmitting [3.3, 3.4] ------------------------------------------------------------------
 * Descriptor i sends a segment of a packet; the slot of the frame's last one holds the packet until
 * the card sets DD there. */

/* How a driver's cards are told to send. One constant of each driver, so that it costs nothing. */
struct intel_format {
    uint64_t data;         /* what stands in every descriptor with data */
    unsigned length_shift; /* where the frame's length goes in there; 0: nowhere */
    /* Tells the card where the frame's checksum is to go; false where it has no words for that. */
    bool (*context)(const struct packet *packet, struct e1000_transmit_descriptor *descriptor);
};

/* Any frame, also one with several segments, or one that is too short for the card. Takes it,
 * unless the ring is full. */
bool intel_transmit_slowly(struct nic_queue *queue, struct packet *packet,
                           const struct intel_format *format) MUST_CHECK;

static inline unsigned intel_room(const struct nic_queue *queue)
{
    return (queue->send_clean - queue->send_next - 1u) & RING_MASK;
}

static inline void intel_describe(struct nic_queue *queue, unsigned at,
                                  const struct packet *segment, uint64_t command)
{
    struct e1000_transmit_descriptor *descriptor = &queue->transmit[at];
    descriptor->address = packet_dma(segment, segment->data);
    /* RS in each, so that every descriptor is collected by itself. */
    uint64_t state = segment->length_bytes | E1000_TRANSMIT_IFCS | E1000_TRANSMIT_RS | command;
    atomic_store_explicit(&descriptor->state, state, memory_order_release);
}

/* One segment, with nothing for the card to do. */
static inline bool intel_is_plain(const struct packet *packet)
{
    return LIKELY(packet->next_segment == NULL && packet->length_bytes >= SEND_BYTES_MIN &&
                  !(packet->flags & PACKET_CHECKSUM_WANTED));
}

static inline unsigned intel_transmit(struct nic_queue *queue, struct packet **packets,
                                      unsigned count, const struct intel_format *format)
{
    if (UNLIKELY(queue->broken))
        return 0;
    unsigned room = intel_room(queue);
    unsigned next = queue->send_next;
    for (unsigned taken = 0; taken < count; taken++) {
        struct packet *packet = packets[taken];
        if (UNLIKELY(room == 0 || !intel_is_plain(packet))) {
            queue->send_next = (uint16_t)next;
            if (!intel_transmit_slowly(queue, packet, format))
                return taken;
            room = intel_room(queue);
            next = queue->send_next;
            continue;
        }
        uint64_t command = format->data | E1000_TRANSMIT_EOP;
        if (format->length_shift != 0)
            command |= (uint64_t)packet->length_bytes << format->length_shift;
        queue->sent[next] = packet;
        intel_describe(queue, next, packet, command);
        next = (next + 1) & RING_MASK;
        room--;
    }
    queue->send_next = (uint16_t)next;
    return count;
}
