/* virtio network cards, modern interface (virtio 1.2, 5.1), split rings.
 *
 * A queue pair is two rings. Each ring has a slot for every descriptor, which holds the packet
 * whose buffer the descriptor points to:
 *
 *   receive    [p][p][p][p] ... [p]   always full: a buffer that the device has used is replaced by
 * a fresh one in the same slot before its packet is handed up. Where the pool has none, the frame
 * is dropped and its buffer offered again. transmit   [ ][p][p|.|.][p][ ]    a frame lies in one
 * descriptor, header and data together, as the header goes into the packet's headroom; or in
 * several that follow each other, of which the first slot holds the packet and the others &chained.
 * A descriptor is free when its slot is NULL, so devices that complete out of order need no second
 * book.
 *
 * The driver polls; interrupts are asked for by arm() alone, with the ring's flag. EVENT_IDX is not
 * negotiated: it saves nothing to one who polls, and costs a comparison per doorbell. Neither are
 * guest checksum and guest segmentation: they would give us unfinished packets to forward.
 *
 * The receive ring is filled by the first receive(), on the core that owns the pool.
 *
 * A device may write its rings at any time and anything: each word is read once, every number is
 * checked before use, and a queue whose device breaks the rules stands still until close(). */
#include <string.h>

#include "drivers/driver_table.h"
#include "drivers/nic.h"
#include "drivers/virtio_pci.h"
#include "kernel/base/bytes.h"
#include "kernel/base/log.h"

enum {
    RING_ENTRIES_MAX = NIC_RING_DEFAULT, /* what the packet pools are made for */
    CONTROL_ENTRIES_MAX = 16,
    CONTROL_DATA_MAX = 6,
    CONTROL_READS_MAX = 2000000, /* a second and more: the host may be busy */
    ETHERNET_HEADER_BYTES = 14,
    MTU_MIN = 68,              /* RFC 791 */
    MTU_MAX = 9216,            /* fits PACKET_SEGMENT_MAX buffers with room to spare */
    PAIR_COUNT_MAX = 0x8000,   /* 5.1.4.1 */
    ETHERNET_GROUP_BIT = 0x01, /* of the first byte of an address */
    ETHERNET_LOCAL_BIT = 0x02,
    BUFFER_BYTES = VIRTIO_NET_HEADER_BYTES + PACKET_ROOM_BYTES, /* of one receive descriptor */
    CHAIN_MAX = 32, /* descriptors of one frame to send: headers, and 64 KiB in whole buffers */
};

static const char subject[] = "virtio-net";

struct ring {
    struct virtio_ring shared;
    /* Numbers that only grow; what the device sees of them is 16 bits wide. */
    uint32_t offered; /* next entry of the available ring */
    uint32_t shown;   /* `offered` as the device knows it */
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
    /* Owned by the queue's core. */
    bool broken; /* read by others */
    struct ring receive;
    struct ring transmit;
    struct nic_stats stats; /* read by others */
    struct packet chained;  /* never a packet: its address marks the slots behind a chain's first */
};

/* The control queue's one command. 5.1.6.5 */
struct control {
    uint8_t class;
    uint8_t command;
    uint8_t data[CONTROL_DATA_MAX];
    volatile uint8_t answer;
};

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
    uint16_t control_count; /* commands so far */
    /* Control core. */
    bool reset_wanted;     /* has been logged */
    struct nic_stats past; /* of queues that are closed */
};

static struct virtio_nic *card_of(struct nic *nic)
{
    return CONTAINER_OF(nic, struct virtio_nic, nic);
}

/* The device broke the rules: the queue stands still, and the link is down for all who ask. */
static void take_down(struct nic_queue *queue, const char *what, unsigned number)
{
    queue->broken = true;
    log_error(subject, "%s queue %u stopped: the device %s (%u)", queue->card->nic.location,
              queue->pair, what, number);
}

/* ---- Receiving, 5.1.6.4 --------------------------------------------------------------------- */

static inline void offer(struct ring *ring, uint32_t id)
{
    ring->shared.available->ring[ring->offered++ & ring->mask] = (uint16_t)id;
}

/* Where the device is to put header and frame in an empty packet. */
static inline uint64_t buffer_of(const struct packet *packet)
{
    return packet->buffer_dma + PACKET_META_BYTES + PACKET_HEADROOM_BYTES - VIRTIO_NET_HEADER_BYTES;
}

static void show(struct nic_queue *queue, struct ring *ring)
{
    if (ring->shown == ring->offered)
        return;
    ring->shown = ring->offered;
    if (virtio_ring_publish(&ring->shared, (uint16_t)ring->offered))
        ++*queue->register_accesses;
}

/* Of the frame whose first buffer this packet has: in how many it is. */
static inline unsigned buffer_count_of(struct packet *packet)
{
    return load_le16(packet_buffer(packet) + PACKET_HEADROOM_BYTES - VIRTIO_NET_HEADER_BYTES +
                     VIRTIO_NET_HEADER_BUFFER_COUNT);
}

static void fill(struct nic_queue *queue)
{
    struct ring *ring = &queue->receive;
    while (ring->posted < ring->shared.entries) {
        struct packet *packet = packet_take(queue->pool);
        if (packet == NULL)
            break;
        /* But for the address it stays as it is. */
        ring->shared.descriptors[ring->posted] = (struct virtio_descriptor){
            .address = buffer_of(packet),
            .length_bytes = BUFFER_BYTES,
            .flags = VIRTIO_DESCRIPTOR_WRITE,
        };
        ring->slots[ring->posted] = packet;
        offer(ring, ring->posted++);
    }
    show(queue, ring);
}

/* A frame in buffer_count buffers, which the caller knows to be there: as a chain, or NULL where it
 * is lost. All buffers but the last must be full (5.1.6.4.1), so that headers are in the first one.
 */
static struct packet *gather(struct nic_queue *queue, unsigned buffer_count)
{
    struct ring *ring = &queue->receive;
    struct packet *first = NULL;
    struct packet **link = &first;
    uint32_t frame_length_bytes = 0;
    uint64_t *lost = buffer_count > PACKET_SEGMENT_MAX ? &queue->stats.rx_errors : NULL;

    for (unsigned i = 0; i < buffer_count; i++) {
        const struct virtio_used_element *element =
            &ring->shared.used->ring[ring->used_next++ & ring->mask];
        uint32_t id = element->id;
        uint32_t length = element->length_bytes;
        if (id >= ring->posted || length > BUFFER_BYTES) {
            take_down(queue, "used a buffer or length it was not given", id);
            lost = &queue->stats.rx_errors;
            break;
        }
        if (lost != NULL) {
            offer(ring, id);
            continue;
        }
        struct packet *packet = ring->slots[id];
        struct packet *fresh = packet_take(queue->pool);
        offer(ring, id);
        if (fresh == NULL) {
            lost = &queue->stats.rx_no_buffer;
            continue;
        }
        ring->shared.descriptors[id].address = buffer_of(fresh);
        ring->slots[id] = fresh;
        *link = packet;
        link = &packet->next_segment;
        uint32_t header = i == 0 ? VIRTIO_NET_HEADER_BYTES : 0;
        uint32_t length_min = i == 0 ? VIRTIO_NET_HEADER_BYTES + ETHERNET_HEADER_BYTES : 1;
        if (length < length_min || (length < BUFFER_BYTES && i + 1 < buffer_count)) {
            lost = &queue->stats.rx_errors;
            continue;
        }
        packet->data -= VIRTIO_NET_HEADER_BYTES - header;
        packet->flags = 0;
        packet->length_bytes = length - header;
        frame_length_bytes += packet->length_bytes;
    }
    if (lost != NULL) {
        ++*lost;
        packet_free(queue->pool, first);
        return NULL;
    }
    first->frame_length_bytes = frame_length_bytes;
    return first;
}

/* Any frame, one or several buffers; of `ready` used entries it takes its own. */
static void receive_frame(struct nic_queue *queue, uint32_t ready, struct batch *batch)
{
    struct ring *ring = &queue->receive;
    uint32_t id = ring->shared.used->ring[ring->used_next & ring->mask].id;
    if (id >= ring->posted) {
        take_down(queue, "used a buffer it was not given", id);
        return;
    }
    /* Without merged buffers the count means nothing. */
    unsigned buffer_count = 1;
    if (queue->card->features & VIRTIO_NET_F_MRG_RXBUF)
        buffer_count = buffer_count_of(ring->slots[id]);
    if (buffer_count == 0 || buffer_count > ready) {
        take_down(queue, "spread a frame over buffers it did not use", buffer_count);
        return;
    }
    struct packet *packet = gather(queue, buffer_count);
    if (packet != NULL)
        batch->packets[batch->count++] = packet;
}

/* The same with all in registers, while the ring is full and each frame is good and in one buffer.
 * A buffer is offered again at the index at which it was used, as the two are a whole ring apart.
 * Stops at the first frame that is otherwise. */
static void receive_quickly(struct nic_queue *queue, uint32_t ready, struct batch *batch)
{
    struct ring *ring = &queue->receive;
    const struct virtio_used_element *used = ring->shared.used->ring;
    uint16_t *available = ring->shared.available->ring;
    struct virtio_descriptor *descriptors = ring->shared.descriptors;
    struct packet_pool *pool = queue->pool;
    struct packet **out = &batch->packets[batch->count];
    const uint32_t mask = ring->mask;
    uint32_t used_next = ring->used_next;
    const uint32_t used_end =
        used_next + pool_prepare(pool, MIN_OF(ready, BATCH_MAX - batch->count));
    struct packet **top = pool->top;

    for (; used_next != used_end; used_next++) {
        uint32_t at = used_next & mask;
        uint32_t id = used[at].id;
        uint32_t length = used[at].length_bytes - VIRTIO_NET_HEADER_BYTES;
        if (UNLIKELY(id > mask))
            break;
        struct packet *packet = ring->slots[id];
        if (UNLIKELY(buffer_count_of(packet) != 1))
            break;
        if (UNLIKELY(length - ETHERNET_HEADER_BYTES > PACKET_ROOM_BYTES - ETHERNET_HEADER_BYTES))
            break;
        struct packet *fresh = pool_pop(&top);
        descriptors[id].address = buffer_of(fresh);
        ring->slots[id] = fresh;
        available[at] = (uint16_t)id;
        packet->flags = 0;
        packet->length_bytes = length;
        packet->frame_length_bytes = length;
        *out++ = packet;
    }
    pool->top = top;
    ring->offered += used_next - ring->used_next;
    ring->used_next = used_next;
    batch->count = (unsigned)(out - batch->packets);
}

static void virtio_net_receive(struct nic_queue *queue, struct batch *batch)
{
    struct ring *ring = &queue->receive;
    if (UNLIKELY(queue->broken))
        return;
    if (UNLIKELY(ring->posted < ring->shared.entries))
        fill(queue);

    uint32_t ready = virtio_ring_ready(&ring->shared, (uint16_t)ring->used_next);
    if (ready == 0)
        return;
    if (UNLIKELY(ready > ring->posted)) {
        take_down(queue, "used more buffers than it was given", ready);
        return;
    }
    const uint32_t used_end = ring->used_next + ready;
    while (ready > 0 && batch->count < BATCH_MAX) {
        if (LIKELY(ring->posted == ring->shared.entries))
            receive_quickly(queue, ready, batch);
        ready = used_end - ring->used_next;
        if (LIKELY(ready == 0 || batch->count == BATCH_MAX))
            break;
        receive_frame(queue, ready, batch);
        if (queue->broken)
            return;
        ready = used_end - ring->used_next;
    }
    show(queue, ring);
}

/* ---- Transmitting, 5.1.6.2 ------------------------------------------------------------------ */

/* The device has sent a chain: frees its slots and its packets. False where that cannot be. */
static bool reclaim_chain(struct nic_queue *queue, uint32_t id)
{
    struct ring *ring = &queue->transmit;
    struct packet *packet = ring->slots[id];
    if (packet == &queue->chained)
        return false;
    ring->slots[id] = NULL;
    for (const struct packet *at = packet->next_segment; at != NULL; at = at->next_segment) {
        /* The links are in memory that the device could write. */
        id = ring->shared.descriptors[id].next & ring->mask;
        if (ring->slots[id] != &queue->chained)
            break;
        ring->slots[id] = NULL;
    }
    packet_free(queue->pool, packet);
    return true;
}

/* Frees what the device has sent. */
static void reclaim(struct nic_queue *queue)
{
    struct ring *ring = &queue->transmit;
    uint32_t used_next = ring->used_next;
    const uint32_t ready = virtio_ring_ready(&ring->shared, (uint16_t)used_next);
    if (ready == 0)
        return;
    if (UNLIKELY(ready > ring->shared.entries)) {
        take_down(queue, "sent more frames than it was given", ready);
        return;
    }
    const struct virtio_used_element *used = ring->shared.used->ring;
    const uint32_t mask = ring->mask;
    struct packet_pool *pool = queue->pool;
    const uint32_t used_end = used_next + ready;
    struct packet **top = pool->top;

    for (; used_next != used_end; used_next++) {
        uint32_t id = used[used_next & mask].id;
        struct packet *packet = id <= mask ? ring->slots[id] : NULL;
        if (UNLIKELY(packet == NULL)) {
            take_down(queue, "sent a frame it was not given", id);
            break;
        }
        if (LIKELY(pool_push(pool, &top, packet))) {
            ring->slots[id] = NULL;
            continue;
        }
        pool->top = top;
        if (!reclaim_chain(queue, id)) {
            take_down(queue, "sent the middle of a frame", id);
            break;
        }
        top = pool->top;
    }
    pool->top = top;
    ring->used_next = used_next;
}

static void virtio_net_flush(struct nic_queue *queue)
{
    if (UNLIKELY(queue->broken))
        return;
    show(queue, &queue->transmit);
    reclaim(queue);
}

/* A descriptor that is free, or mask + 1. Looked for half a ring ahead, so that the next frames
 * still find the ones at their places. */
static uint32_t find_free(const struct ring *ring)
{
    for (uint32_t i = 0; i <= ring->mask; i++) {
        uint32_t id = (ring->offered + ring->shared.entries / 2 + i) & ring->mask;
        if (ring->slots[id] == NULL)
            return id;
    }
    return ring->mask + 1;
}

static bool has_room(const struct ring *ring, unsigned needed)
{
    for (uint32_t id = 0; id <= ring->mask && needed > 0; id++)
        needed -= ring->slots[id] == NULL;
    return needed == 0;
}

/* Any frame: of several segments; without headroom, then by a segment of its own for the header; or
 * one that does not find the descriptor at its place free. False where there is no room now. */
static bool transmit_frame(struct nic_queue *queue, struct packet *packet)
{
    struct ring *ring = &queue->transmit;
    bool own_header = packet_headroom(packet) < VIRTIO_NET_HEADER_BYTES;
    unsigned needed = own_header ? 1 : 0;
    for (const struct packet *segment = packet; segment != NULL; segment = segment->next_segment)
        needed++;
    if (needed > MIN_OF(CHAIN_MAX, ring->shared.entries)) {
        queue->stats.tx_errors++;
        packet_free(queue->pool, packet);
        return true;
    }
    if (!has_room(ring, needed)) {
        virtio_net_flush(queue);
        if (!has_room(ring, needed))
            return false;
    }
    if (own_header) {
        struct packet *header = packet_alloc(queue->pool);
        if (header == NULL)
            return false;
        header->next_segment = packet;
        packet = header;
    }

    memset(packet->data - VIRTIO_NET_HEADER_BYTES, 0, VIRTIO_NET_HEADER_BYTES);
    uint32_t header = VIRTIO_NET_HEADER_BYTES; /* before the first segment alone */
    struct virtio_descriptor *previous = NULL;
    for (struct packet *segment = packet; segment != NULL; segment = segment->next_segment) {
        uint32_t id = find_free(ring);
        struct virtio_descriptor *descriptor = &ring->shared.descriptors[id];
        *descriptor = (struct virtio_descriptor){
            .address = packet_dma(segment, segment->data - header),
            .length_bytes = segment->length_bytes + header,
        };
        header = 0;
        if (previous != NULL) {
            previous->flags = VIRTIO_DESCRIPTOR_NEXT;
            previous->next = (uint16_t)id;
            ring->slots[id] = &queue->chained;
        } else {
            ring->slots[id] = packet;
            offer(ring, id);
        }
        previous = descriptor;
    }
    return true;
}

static unsigned virtio_net_transmit(struct nic_queue *queue, struct packet **packets,
                                    unsigned count)
{
    struct ring *ring = &queue->transmit;
    if (UNLIKELY(queue->broken))
        return 0;
    struct virtio_descriptor *descriptors = ring->shared.descriptors;
    uint16_t *available = ring->shared.available->ring;
    const uint32_t mask = ring->mask;
    struct packet **const end = packets + count;
    struct packet **next = packets;

    for (; next != end; next++) {
        struct packet *packet = *next;
        uint8_t *header = packet->data - VIRTIO_NET_HEADER_BYTES;
        /* Usually the descriptor with the number of the ring's entry. */
        uint32_t id = ring->offered & mask;
        if (UNLIKELY(packet->next_segment != NULL || header < packet_buffer(packet) ||
                     ring->slots[id] != NULL)) {
            if (!transmit_frame(queue, packet))
                break;
            continue;
        }
        memset(header, 0, VIRTIO_NET_HEADER_BYTES);
        struct virtio_descriptor *descriptor = &descriptors[id];
        descriptor->address = packet_dma(packet, header);
        descriptor->length_bytes = packet->length_bytes + VIRTIO_NET_HEADER_BYTES;
        descriptor->flags = 0;
        ring->slots[id] = packet;
        available[id] = (uint16_t)id;
        ring->offered++;
    }
    return (unsigned)(next - packets);
}

/* ---- Interrupts ----------------------------------------------------------------------------- */

static bool virtio_net_arm(struct nic_queue *queue)
{
    struct virtio_nic *card = queue->card;
    struct ring *ring = &queue->receive;
    if (queue->broken)
        return false;
    reclaim(queue);
    if (card->pin >= 0) {
        (void)virtio_pci_interrupt_status(&card->virtio);
        ++*queue->register_accesses;
        interrupt_unmask(card->pin);
    }
    atomic_store_explicit(&ring->shared.available->flags, 0, memory_order_relaxed);
    io_fence();
    return virtio_ring_ready(&ring->shared, (uint16_t)ring->used_next) != 0;
}

static void virtio_net_disarm(struct nic_queue *queue)
{
    atomic_store_explicit(&queue->receive.shared.available->flags, VIRTIO_AVAILABLE_NO_INTERRUPT,
                          memory_order_relaxed);
}

/* ---- The control queue, 5.1.6.5 ------------------------------------------------------------- */

enum { CONTROL_COMMAND, CONTROL_ANSWER, CONTROL_DESCRIPTORS };

static enum error open_control(struct virtio_nic *card, uint16_t queue)
{
    enum error error = virtio_ring_open(&card->virtio, &card->control_ring, queue,
                                        CONTROL_ENTRIES_MAX, VIRTIO_NO_VECTOR);
    if (error != OK)
        return error;
    struct virtio_ring *ring = &card->control_ring;
    if (ring->entries < CONTROL_DESCRIPTORS)
        return fail(ERROR_DEVICE);
    card->control = dma_alloc(sizeof(*card->control), 0, MEMORY_DRIVER);
    if (card->control == NULL)
        return fail(ERROR_NO_MEMORY);
    card->control_count = 0;
    ring->descriptors[CONTROL_COMMAND] = (struct virtio_descriptor){
        .address = dma_address(card->control),
        .flags = VIRTIO_DESCRIPTOR_NEXT,
        .next = CONTROL_ANSWER,
    };
    ring->descriptors[CONTROL_ANSWER] = (struct virtio_descriptor){
        .address = dma_address(card->control) + offsetof(struct control, answer),
        .length_bytes = sizeof(card->control->answer),
        .flags = VIRTIO_DESCRIPTOR_WRITE,
    };
    atomic_store_explicit(&ring->available->flags, VIRTIO_AVAILABLE_NO_INTERRUPT,
                          memory_order_relaxed);
    return OK; /* every entry of the available ring is 0, the command's descriptor */
}

/* One command, and its answer: UNSUPPORTED where the device refuses. After any other error the
 * queue is of no use until the next open. */
static enum error command(struct virtio_nic *card, uint8_t class, uint8_t what, const void *data,
                          size_t data_bytes)
{
    struct virtio_ring *ring = &card->control_ring;
    struct control *control = card->control;
    if (control == NULL)
        return fail(ERROR_UNSUPPORTED);
    control->class = class;
    control->command = what;
    memcpy(control->data, data, data_bytes);
    control->answer = (uint8_t)~VIRTIO_NET_CONTROL_OK;
    ring->descriptors[CONTROL_COMMAND].length_bytes =
        (uint32_t)(offsetof(struct control, data) + data_bytes);
    (void)virtio_ring_publish(ring, (uint16_t)(card->control_count + 1));

    for (unsigned i = 0; i < CONTROL_READS_MAX; i++) {
        uint16_t ready = virtio_ring_ready(ring, card->control_count);
        if (ready > 1)
            return fail(ERROR_DEVICE);
        if (ready == 1) {
            card->control_count++;
            return control->answer == VIRTIO_NET_CONTROL_OK ? OK : ERROR_UNSUPPORTED;
        }
        /* The read of a register paces the loop, too. */
        if (virtio_pci_is_broken(&card->virtio))
            return fail(ERROR_DEVICE);
        core_relax();
    }
    return fail(ERROR_TIMEOUT);
}

/* What this card should let through: its own address and all groups. */
static enum error set_filter(struct virtio_nic *card)
{
    static const uint8_t off = 0, on = 1;
    enum error error =
        command(card, VIRTIO_NET_CONTROL_RX, VIRTIO_NET_CONTROL_RX_PROMISCUOUS, &off, sizeof(off));
    if (error != OK)
        return error;
    return command(card, VIRTIO_NET_CONTROL_RX, VIRTIO_NET_CONTROL_RX_ALL_MULTICAST, &on,
                   sizeof(on));
}

/* For interrupt_connect_pci_pin(): a card with INTx raises it when it has obeyed a command. */
static void raise_interrupt(void *device)
{
    struct virtio_nic *card = device;
    _Atomic uint16_t *flags = &card->control_ring.available->flags;
    static const uint8_t on = 1;
    atomic_store_explicit(flags, 0, memory_order_relaxed);
    (void)command(card, VIRTIO_NET_CONTROL_RX, VIRTIO_NET_CONTROL_RX_ALL_MULTICAST, &on,
                  sizeof(on));
    atomic_store_explicit(flags, VIRTIO_AVAILABLE_NO_INTERRUPT, memory_order_relaxed);
}

static void quiet_interrupt(void *device)
{
    struct virtio_nic *card = device;
    (void)virtio_pci_interrupt_status(&card->virtio);
}

/* ---- Opening and closing -------------------------------------------------------------------- */

static enum error open_ring(struct nic_queue *queue, struct ring *ring, unsigned number,
                            uint16_t vector)
{
    enum error error = virtio_ring_open(&queue->card->virtio, &ring->shared, (uint16_t)number,
                                        RING_ENTRIES_MAX, vector);
    if (error != OK)
        return error;
    ring->mask = ring->shared.entries - 1u;
    atomic_store_explicit(&ring->shared.available->flags, VIRTIO_AVAILABLE_NO_INTERRUPT,
                          memory_order_relaxed);
    return OK;
}

/* Gives the queue pair an entry of the MSI-X table; VIRTIO_NO_VECTOR where that is not possible. */
static uint16_t connect_message(struct virtio_nic *card, struct nic_queue *queue, unsigned core)
{
    if (queue->pair >= card->msix.entry_count)
        return VIRTIO_NO_VECTOR;
    queue->interrupt = interrupt_alloc(core);
    if (queue->interrupt < 0)
        return VIRTIO_NO_VECTOR;
    if (pci_msix_set(&card->msix, queue->pair, queue->interrupt) == OK)
        return (uint16_t)queue->pair;
    interrupt_free(queue->interrupt);
    queue->interrupt = -1;
    return VIRTIO_NO_VECTOR;
}

static enum error open_queue(struct virtio_nic *card, unsigned pair,
                             const struct nic_queue_setup *setup)
{
    struct nic_queue *queue = memory_alloc(sizeof(*queue), CACHE_LINE_BYTES, MEMORY_DRIVER);
    if (queue == NULL)
        return fail(ERROR_NO_MEMORY);
    card->nic.queues[pair] = queue;
    card->nic.queue_count = pair + 1;
    queue->card = card;
    queue->pool = setup->pool;
    queue->register_accesses = &card->nic.register_accesses[pair];
    queue->pair = pair;
    queue->interrupt = -1;
    queue->chained.next_segment = &queue->chained; /* so that it is no frame of one segment */

    uint16_t vector = connect_message(card, queue, setup->core);
    enum error error = open_ring(queue, &queue->receive, 2 * pair, vector);
    if (error != OK)
        return error;
    if (queue->receive.shared.vector == VIRTIO_NO_VECTOR)
        card->nic.polled = true;
    return open_ring(queue, &queue->transmit, 2 * pair + 1, VIRTIO_NO_VECTOR);
}

/* Without MSI-X: proves INTx by a command that the device answers with it. */
static void connect_pin(struct virtio_nic *card, unsigned core)
{
    if (card->control == NULL)
        return;
    card->pin = interrupt_alloc(core);
    if (card->pin < 0)
        return;
    if (interrupt_connect_pci_pin(card->pin, card->virtio.device->interrupt_line, raise_interrupt,
                                  quiet_interrupt, card)) {
        card->nic.polled = false;
        return;
    }
    interrupt_free(card->pin);
    card->pin = -1;
}

static void free_slots(struct ring *ring, const struct nic_queue *queue, struct packet_pool *local)
{
    for (unsigned i = 0; i < RING_ENTRIES_MAX; i++) {
        if (ring->slots[i] != NULL && ring->slots[i] != &queue->chained)
            packet_free(local, ring->slots[i]);
    }
    virtio_ring_close(&ring->shared);
}

static void close_queue(struct virtio_nic *card, struct nic_queue *queue, struct packet_pool *local)
{
    card->past.rx_errors += queue->stats.rx_errors;
    card->past.rx_no_buffer += queue->stats.rx_no_buffer;
    card->past.tx_errors += queue->stats.tx_errors;
    free_slots(&queue->receive, queue, local);
    free_slots(&queue->transmit, queue, local);
    if (queue->interrupt >= 0)
        interrupt_free(queue->interrupt);
    memory_free(queue);
}

/* From any state that open leaves behind. */
static void virtio_net_close(struct nic *nic, struct packet_pool *local)
{
    struct virtio_nic *card = card_of(nic);
    if (virtio_pci_reset(&card->virtio) != OK)
        log_warning(subject, "%s does not answer a reset", nic->location);
    if (card->msix.entry_count > 0)
        pci_msix_close(card->virtio.device, &card->msix);
    card->msix = (struct pci_msix){ .entry_count = 0 };
    pci_disable(card->virtio.device); /* no DMA from here on, whatever the device thinks */

    for (unsigned i = 0; i < nic->queue_count; i++) {
        close_queue(card, nic->queues[i], local);
        nic->queues[i] = NULL;
    }
    nic->queue_count = 0;
    nic->polled = false;
    nic->ring_entries_rx = 0;
    nic->ring_entries_tx = 0;
    virtio_ring_close(&card->control_ring);
    dma_free(card->control);
    card->control = NULL;
    if (card->pin >= 0)
        interrupt_free(card->pin);
    card->pin = -1;
}

/* Everything before the device is live: rings, interrupts, features. */
static enum error prepare(struct virtio_nic *card, unsigned queue_count,
                          const struct nic_queue_setup *setup)
{
    uint64_t wanted = VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC |
                      VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_STATUS | VIRTIO_NET_F_CTRL_VQ |
                      VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_CTRL_MAC_ADDR;
    if (queue_count > 1)
        wanted |= VIRTIO_NET_F_MQ;
    card->features = card->offered & wanted;
    enum error error = virtio_pci_negotiate(&card->virtio, card->features);
    if (error != OK)
        return error;
    if (pci_msix_open(card->virtio.device, &card->msix) != OK)
        card->msix = (struct pci_msix){ .entry_count = 0 };
    for (unsigned i = 0; i < queue_count; i++) {
        error = open_queue(card, i, &setup[i]);
        if (error != OK)
            return error;
    }
    if (!(card->features & VIRTIO_NET_F_CTRL_VQ))
        return OK;
    /* 5.1.2: the control queue comes after all the pairs that the device can have. */
    unsigned pairs = card->features & VIRTIO_NET_F_MQ ? card->device_pairs : 1;
    return open_control(card, (uint16_t)(2 * pairs));
}

static enum error command_mac(struct virtio_nic *card, const uint8_t mac[6])
{
    return command(card, VIRTIO_NET_CONTROL_MAC, VIRTIO_NET_CONTROL_MAC_ADDRESS_SET, mac, 6);
}

/* What the live device is told by commands. */
static enum error instruct(struct virtio_nic *card, unsigned queue_count)
{
    if (card->features & VIRTIO_NET_F_CTRL_RX) {
        enum error error = set_filter(card);
        if (error == ERROR_UNSUPPORTED) /* then it lets everything through, which costs only time */
            log_warning(subject, "%s does not take a receive filter", card->nic.location);
        else if (error != OK)
            return error;
    }
    if (card->features & VIRTIO_NET_F_CTRL_MAC_ADDR && card->mac_is_ours) {
        enum error error = command_mac(card, card->nic.mac);
        if (error != OK)
            return error;
    }
    if (queue_count == 1)
        return OK;
    uint16_t pairs = (uint16_t)queue_count;
    return command(card, VIRTIO_NET_CONTROL_MQ, VIRTIO_NET_CONTROL_MQ_PAIRS_SET, &pairs,
                   sizeof(pairs));
}

static enum error virtio_net_open(struct nic *nic, unsigned queue_count,
                                  const struct nic_queue_setup *setup)
{
    struct virtio_nic *card = card_of(nic);
    if (nic->queue_count != 0)
        return fail(ERROR_BUSY);
    if (queue_count == 0 || queue_count > nic->queue_max)
        return fail(ERROR_BAD_VALUE);
    card->reset_wanted = false;
    pci_enable(card->virtio.device);
    enum error error = prepare(card, queue_count, setup);
    if (error != OK)
        goto failed;
    virtio_pci_start(&card->virtio);
    error = instruct(card, queue_count);
    if (error != OK)
        goto failed;
    if (card->msix.entry_count == 0)
        connect_pin(card, setup[0].core);
    if (nic->polled)
        log_warning(subject, "%s: no interrupt reaches us, so it is polled", nic->location);
    nic->ring_entries_rx = nic->queues[0]->receive.shared.entries;
    nic->ring_entries_tx = nic->queues[0]->transmit.shared.entries;
    return OK;

failed:
    virtio_net_close(nic, setup[0].pool);
    return error;
}

/* ---- What is asked now and then ------------------------------------------------------------- */

static bool virtio_net_link_up(struct nic *nic)
{
    struct virtio_nic *card = card_of(nic);
    if (nic->queue_count == 0)
        return false;
    for (unsigned i = 0; i < nic->queue_count; i++) {
        if (nic->queues[i]->broken)
            return false;
    }
    if (virtio_pci_is_broken(&card->virtio)) {
        if (!card->reset_wanted)
            log_error(subject, "%s has stopped and wants a reset", nic->location);
        card->reset_wanted = true;
        return false;
    }
    if (!(card->features & VIRTIO_NET_F_STATUS))
        return true;
    return mmio_read16(card->virtio.config + VIRTIO_NET_CONFIG_STATUS) & VIRTIO_NET_STATUS_LINK_UP;
}

static enum error virtio_net_set_mac(struct nic *nic, const uint8_t mac[6])
{
    struct virtio_nic *card = card_of(nic);
    if (mac[0] & ETHERNET_GROUP_BIT)
        return fail(ERROR_BAD_VALUE);
    if (memcmp(nic->mac, mac, sizeof(nic->mac)) == 0)
        return OK;
    uint64_t needed = VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_CTRL_MAC_ADDR;
    if ((card->offered & needed) != needed)
        return fail(ERROR_UNSUPPORTED);
    if (nic->queue_count != 0) { /* else open() tells it */
        enum error error = command_mac(card, mac);
        if (error != OK)
            return error;
    }
    memcpy(nic->mac, mac, sizeof(nic->mac));
    card->mac_is_ours = true;
    return OK;
}

static void virtio_net_stats(struct nic *nic, struct nic_stats *stats)
{
    *stats = card_of(nic)->past;
    for (unsigned i = 0; i < nic->queue_count; i++) {
        const struct nic_stats *queue = &nic->queues[i]->stats;
        stats->rx_errors += queue->rx_errors;
        stats->rx_no_buffer += queue->rx_no_buffer;
        stats->tx_errors += queue->tx_errors;
    }
}

/* ---- Probing -------------------------------------------------------------------------------- */

static const struct nic_ops virtio_net_ops = {
    .open = virtio_net_open,
    .close = virtio_net_close,
    .receive = virtio_net_receive,
    .transmit = virtio_net_transmit,
    .flush = virtio_net_flush,
    .arm = virtio_net_arm,
    .disarm = virtio_net_disarm,
    .link_up = virtio_net_link_up,
    .set_mac = virtio_net_set_mac,
    .stats = virtio_net_stats,
};

static void read_mac(struct virtio_nic *card)
{
    static const uint8_t none[6];
    uint8_t *mac = card->nic.mac;
    if (card->offered & VIRTIO_NET_F_MAC) {
        for (unsigned i = 0; i < sizeof(card->nic.mac); i++)
            mac[i] = mmio_read8(card->virtio.config + VIRTIO_NET_CONFIG_MAC + i);
        if (!(mac[0] & ETHERNET_GROUP_BIT) && memcmp(mac, none, sizeof(none)) != 0)
            return;
    }
    random_bytes(mac, sizeof(card->nic.mac));
    mac[0] = (uint8_t)((mac[0] & ~ETHERNET_GROUP_BIT) | ETHERNET_LOCAL_BIT);
    card->mac_is_ours = true;
    log_warning(subject, "%s has no MAC address; this one was made up: %pM", card->nic.location,
                mac);
}

/* How many pairs the device has, as far as we could give each an interrupt and command it. */
static void count_pairs(struct virtio_nic *card)
{
    card->device_pairs = 1;
    card->nic.queue_max = 1;
    uint64_t needed = VIRTIO_NET_F_MQ | VIRTIO_NET_F_CTRL_VQ;
    if ((card->offered & needed) != needed)
        return;
    unsigned pairs = mmio_read16(card->virtio.config + VIRTIO_NET_CONFIG_PAIR_COUNT);
    if (pairs < 1 || pairs > PAIR_COUNT_MAX)
        return;
    card->device_pairs = pairs;
    struct pci_msix msix;
    if (pci_msix_open(card->virtio.device, &msix) != OK)
        return;
    card->nic.queue_max = MIN_OF(MIN_OF(pairs, msix.entry_count), NIC_QUEUE_MAX);
    pci_msix_close(card->virtio.device, &msix);
}

/* Features whose fields lie behind the end of the configuration are none. */
static uint64_t features_in_reach(const struct virtio_pci *virtio, uint64_t features)
{
    if (virtio->config_bytes < VIRTIO_NET_CONFIG_STATUS)
        features &= ~VIRTIO_NET_F_MAC;
    if (virtio->config_bytes < VIRTIO_NET_CONFIG_PAIR_COUNT)
        features &= ~VIRTIO_NET_F_STATUS;
    if (virtio->config_bytes < VIRTIO_NET_CONFIG_MTU)
        features &= ~VIRTIO_NET_F_MQ;
    if (virtio->config_bytes < VIRTIO_NET_CONFIG_END)
        features &= ~VIRTIO_NET_F_MTU;
    return features;
}

static void read_frame_max(struct virtio_nic *card)
{
    unsigned mtu = MTU_MAX;
    if (card->offered & VIRTIO_NET_F_MTU) {
        unsigned device_mtu = mmio_read16(card->virtio.config + VIRTIO_NET_CONFIG_MTU);
        if (device_mtu >= MTU_MIN)
            mtu = MIN_OF(mtu, device_mtu);
    }
    card->nic.frame_max_bytes = ETHERNET_HEADER_BYTES + mtu;
}

static struct nic *virtio_net_probe(struct pci_device *device, const char **why)
{
    struct virtio_nic *card = memory_alloc(sizeof(*card), CACHE_LINE_BYTES, MEMORY_DRIVER);
    if (card == NULL) {
        *why = error_text(ERROR_NO_MEMORY);
        return NULL;
    }
    struct nic *nic = &card->nic;
    nic->ops = &virtio_net_ops;
    nic->driver = subject;
    card->pin = -1;
    text_format(nic->location, sizeof(nic->location), "%04x:%02x:%02x.%u", device->address.segment,
                device->address.bus, device->address.device, device->address.function);

    pci_enable(device);
    if (virtio_pci_find(device, &card->virtio, why) != OK)
        goto failed;
    if (virtio_pci_reset(&card->virtio) != OK) {
        *why = "does not answer a reset";
        goto failed;
    }
    card->offered = features_in_reach(&card->virtio, virtio_pci_features(&card->virtio));
    if (!(card->offered & VIRTIO_F_VERSION_1)) {
        *why = "does not offer virtio version 1";
        goto failed;
    }
    read_mac(card);
    count_pairs(card);
    read_frame_max(card);
    pci_disable(device);
    return nic;

failed:
    pci_disable(device);
    memory_free(card);
    return NULL;
}

static void virtio_net_remove(struct nic *nic)
{
    memory_free(card_of(nic));
}

static const struct pci_id virtio_net_ids[] = {
    { VIRTIO_VENDOR, VIRTIO_DEVICE_NET_TRANSITIONAL },
    { VIRTIO_VENDOR, VIRTIO_DEVICE_NET },
    { 0, 0 },
};

const struct pci_driver virtio_net_driver = {
    .name = subject,
    .ids = virtio_net_ids,
    .probe = virtio_net_probe,
    .remove = virtio_net_remove,
};
