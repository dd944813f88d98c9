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
    uint16_t mask;
    uint16_t offered; /* next entry of the available ring */
    uint16_t shown;   /* `offered` as the device knows it */
    uint16_t used_next;
    uint16_t descriptor_next; /* transmit */
    uint16_t posted;          /* receive: slots that have a packet, all at last */
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
    uint8_t *empty_header;  /* for frames without headroom */
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

static inline void offer(struct ring *ring, uint16_t id)
{
    ring->shared.available->ring[ring->offered++ & ring->mask] = id;
}

/* Puts an empty packet into a slot; flags and length of the descriptor never change. */
static inline void post(struct ring *ring, uint16_t id, struct packet *packet)
{
    ring->shared.descriptors[id].address =
        packet->buffer_dma + PACKET_META_BYTES + PACKET_HEADROOM_BYTES - VIRTIO_NET_HEADER_BYTES;
    ring->slots[id] = packet;
    offer(ring, id);
}

static void show(struct nic_queue *queue, struct ring *ring)
{
    if (ring->shown == ring->offered)
        return;
    ring->shown = ring->offered;
    if (virtio_ring_publish(&ring->shared, ring->offered))
        ++*queue->register_accesses;
}

static void fill(struct nic_queue *queue)
{
    struct ring *ring = &queue->receive;
    while (ring->posted < ring->shared.entries) {
        struct packet *packet = packet_alloc(queue->pool);
        if (packet == NULL)
            break;
        struct virtio_descriptor *descriptor = &ring->shared.descriptors[ring->posted];
        descriptor->length_bytes = BUFFER_BYTES;
        descriptor->flags = VIRTIO_DESCRIPTOR_WRITE;
        post(ring, ring->posted++, packet);
    }
    show(queue, ring);
}

/* Takes the packet of one used buffer, of which length_bytes were written, and puts a fresh one
 * into its place. NULL where the pool is empty: then the buffer is offered again, and what it held
 * is lost. */
static inline struct packet *exchange(struct nic_queue *queue, uint16_t id)
{
    struct ring *ring = &queue->receive;
    struct packet *fresh = packet_alloc(queue->pool);
    if (UNLIKELY(fresh == NULL)) {
        offer(ring, id);
        return NULL;
    }
    struct packet *packet = ring->slots[id];
    post(ring, id, fresh);
    return packet;
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
            offer(ring, (uint16_t)id);
            continue;
        }
        struct packet *packet = exchange(queue, (uint16_t)id);
        if (packet == NULL) {
            lost = &queue->stats.rx_no_buffer;
            continue;
        }
        *link = packet;
        link = &packet->next_segment;
        uint32_t header = i == 0 ? VIRTIO_NET_HEADER_BYTES : 0;
        uint32_t length_min = i == 0 ? VIRTIO_NET_HEADER_BYTES + ETHERNET_HEADER_BYTES : 1;
        if (length < length_min || (length < BUFFER_BYTES && i + 1 < buffer_count)) {
            lost = &queue->stats.rx_errors;
            continue;
        }
        packet->data -= VIRTIO_NET_HEADER_BYTES - header;
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

static void virtio_net_receive(struct nic_queue *queue, struct batch *batch)
{
    struct ring *ring = &queue->receive;
    if (UNLIKELY(queue->broken))
        return;
    if (UNLIKELY(ring->posted < ring->shared.entries))
        fill(queue);

    unsigned ready = virtio_ring_ready(&ring->shared, ring->used_next);
    if (ready == 0)
        return;
    if (UNLIKELY(ready > ring->posted)) {
        take_down(queue, "used more buffers than it was given", ready);
        return;
    }
    while (ready > 0 && batch->count < BATCH_MAX) {
        const struct virtio_used_element *element =
            &ring->shared.used->ring[ring->used_next & ring->mask];
        uint32_t id = element->id;
        uint32_t length = element->length_bytes - VIRTIO_NET_HEADER_BYTES;
        if (UNLIKELY(id >= ring->posted)) {
            take_down(queue, "used a buffer it was not given", id);
            return;
        }
        const uint8_t *frame = packet_buffer(ring->slots[id]) + PACKET_HEADROOM_BYTES;
        unsigned buffer_count =
            load_le16(frame - VIRTIO_NET_HEADER_BYTES + VIRTIO_NET_HEADER_BUFFER_COUNT);
        if (LIKELY(buffer_count == 1 &&
                   length - ETHERNET_HEADER_BYTES <= PACKET_ROOM_BYTES - ETHERNET_HEADER_BYTES)) {
            ring->used_next++;
            ready--;
            struct packet *packet = exchange(queue, (uint16_t)id);
            if (UNLIKELY(packet == NULL)) {
                queue->stats.rx_no_buffer++;
                continue;
            }
            packet->length_bytes = length;
            packet->frame_length_bytes = length;
            batch->packets[batch->count++] = packet;
            continue;
        }
        /* Without merged buffers the count means nothing. */
        if (!(queue->card->features & VIRTIO_NET_F_MRG_RXBUF))
            buffer_count = 1;
        if (buffer_count == 0 || buffer_count > ready) {
            take_down(queue, "spread a frame over buffers that it did not use", buffer_count);
            return;
        }
        ready -= buffer_count;
        struct packet *packet = gather(queue, buffer_count);
        if (queue->broken)
            return;
        if (packet != NULL)
            batch->packets[batch->count++] = packet;
    }
    show(queue, ring);
}

/* ---- Transmitting, 5.1.6.2 ------------------------------------------------------------------ */

/* Frees what the device has sent. */
static void reclaim(struct nic_queue *queue)
{
    struct ring *ring = &queue->transmit;
    unsigned ready = virtio_ring_ready(&ring->shared, ring->used_next);
    if (UNLIKELY(ready > ring->shared.entries)) {
        take_down(queue, "sent more frames than it was given", ready);
        return;
    }
    for (; ready > 0; ready--) {
        uint32_t id = ring->shared.used->ring[ring->used_next++ & ring->mask].id;
        struct packet *packet = id < ring->shared.entries ? ring->slots[id] : NULL;
        if (UNLIKELY(packet == NULL || packet == &queue->chained)) {
            take_down(queue, "sent a frame that it was not given", id);
            return;
        }
        ring->slots[id] = NULL;
        while (UNLIKELY(ring->slots[++id & ring->mask] == &queue->chained))
            ring->slots[id & ring->mask] = NULL;
        packet_free(queue->pool, packet);
    }
}

static void virtio_net_flush(struct nic_queue *queue)
{
    if (UNLIKELY(queue->broken))
        return;
    show(queue, &queue->transmit);
    reclaim(queue);
}

/* True if the next `needed` descriptors are free, after the sent ones were collected if they were
 * not. */
static bool make_room(struct nic_queue *queue, unsigned needed)
{
    struct ring *ring = &queue->transmit;
    for (unsigned tries = 0; tries < 2; tries++) {
        unsigned free_count = 0;
        while (free_count < needed &&
               ring->slots[(ring->descriptor_next + free_count) & ring->mask] == NULL)
            free_count++;
        if (free_count == needed)
            return true;
        virtio_net_flush(queue);
    }
    return false;
}

static void describe(struct ring *ring, uint16_t id, uint64_t address, uint32_t length_bytes,
                     uint16_t flags)
{
    ring->shared.descriptors[id] = (struct virtio_descriptor){
        .address = address,
        .length_bytes = length_bytes,
        .flags = flags,
        .next = (uint16_t)((id + 1) & ring->mask),
    };
}

/* Queues a frame that needs several descriptors: one for the header where there is no headroom for
 * it, one per segment. False where there is no room now. */
static bool transmit_chain(struct nic_queue *queue, struct packet *packet)
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
    if (!make_room(queue, needed))
        return false;

    uint16_t first = ring->descriptor_next & ring->mask;
    if (own_header) {
        describe(ring, first, dma_address(queue->card->empty_header), VIRTIO_NET_HEADER_BYTES,
                 VIRTIO_DESCRIPTOR_NEXT);
        ring->descriptor_next++;
    }
    for (struct packet *segment = packet; segment != NULL; segment = segment->next_segment) {
        uint32_t header = 0;
        if (segment == packet && !own_header) {
            header = VIRTIO_NET_HEADER_BYTES;
            memset(segment->data - header, 0, header);
        }
        uint16_t id = ring->descriptor_next++ & ring->mask;
        describe(ring, id, packet_dma(segment, segment->data - header),
                 segment->length_bytes + header,
                 segment->next_segment != NULL ? VIRTIO_DESCRIPTOR_NEXT : 0);
        ring->slots[id] = &queue->chained;
    }
    ring->slots[first] = packet;
    offer(ring, first);
    return true;
}

static unsigned virtio_net_transmit(struct nic_queue *queue, struct packet **packets,
                                    unsigned count)
{
    struct ring *ring = &queue->transmit;
    if (UNLIKELY(queue->broken))
        return 0;
    for (unsigned taken = 0; taken < count; taken++) {
        struct packet *packet = packets[taken];
        if (UNLIKELY(packet->next_segment != NULL ||
                     packet_headroom(packet) < VIRTIO_NET_HEADER_BYTES)) {
            if (!transmit_chain(queue, packet))
                return taken;
            continue;
        }
        uint16_t id = ring->descriptor_next & ring->mask;
        if (UNLIKELY(ring->slots[id] != NULL) && !make_room(queue, 1))
            return taken;
        ring->descriptor_next++;
        uint8_t *header = packet->data - VIRTIO_NET_HEADER_BYTES;
        memset(header, 0, VIRTIO_NET_HEADER_BYTES);
        describe(ring, id, packet_dma(packet, header),
                 packet->length_bytes + VIRTIO_NET_HEADER_BYTES, 0);
        ring->slots[id] = packet;
        offer(ring, id);
    }
    return count;
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
    return virtio_ring_ready(&ring->shared, ring->used_next) != 0;
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
    ring->mask = (uint16_t)(ring->shared.entries - 1);
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
    dma_free(card->empty_header);
    card->empty_header = NULL;
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
    card->empty_header = dma_alloc(VIRTIO_NET_HEADER_BYTES, 0, MEMORY_DRIVER);
    if (card->empty_header == NULL)
        return fail(ERROR_NO_MEMORY);
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
        enum error error = command(card, VIRTIO_NET_CONTROL_MAC, VIRTIO_NET_CONTROL_MAC_ADDRESS_SET,
                                   card->nic.mac, sizeof(card->nic.mac));
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
    if (nic->queue_count != 0)
        return fail(ERROR_BUSY);
    if (mac[0] & ETHERNET_GROUP_BIT)
        return fail(ERROR_BAD_VALUE);
    if (memcmp(nic->mac, mac, sizeof(nic->mac)) == 0)
        return OK;
    uint64_t needed = VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_CTRL_MAC_ADDR;
    if ((card->offered & needed) != needed)
        return fail(ERROR_UNSUPPORTED);
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
