/* Intel 8254x gigabit cards as hypervisors emulate them: 82540EM and 82545EM. Source: 8254x SDM,
 * 317453; sections in brackets. One queue pair, legacy descriptors, INTx.
 *
 * Receive descriptor i always points to buffer i of 2048 bytes; the frame is copied into a packet.
 * The card knows buffers of 1024 or 2048 bytes only, and with long frames allowed it fills them; a
 * packet has room for 1792. So either every full frame comes in two pieces, or frames are copied,
 * which costs less than emulating this card costs anyone. A descriptor goes back by clearing its
 * state; a frame for which there is no packet is lost at no other cost. All else this card shares
 * with its successors, see intel_nic.h. */
#include <string.h>

#include "drivers/driver_table.h"
#include "drivers/intel_nic.h"

enum {
    /* [14.5] 16128 is the card's limit; ours is what a chain of packets carries and some. */
    FRAME_MAX_BYTES = ETHERNET_HEADER_BYTES + 9216,
    COPY_BYTES = 64,
};
_Static_assert(PACKET_ROOM_BYTES % COPY_BYTES == 0 && E1000_BUFFER_BYTES % COPY_BYTES == 0,
               "copies are in whole blocks");

struct e1000_queue {
    struct nic_queue common;
    /* Set by open. */
    uint8_t (*buffers)[E1000_BUFFER_BYTES];
    /* Owned by the queue's core. */
    struct packet *partial; /* the chain of a frame whose end has not come */
    struct packet *partial_last;
};

static struct e1000_queue *queue_of(struct nic_queue *queue)
{
    return CONTAINER_OF(queue, struct e1000_queue, common);
}

/* ---- Receiving [3.2] ------------------------------------------------------------------------ */

/* Whether the card vouches for the transport checksum. */
static inline uint8_t checksum_flag(uint64_t state)
{
    const uint64_t said = E1000_RECEIVE_TCPCS | E1000_RECEIVE_IXSM | E1000_RECEIVE_TCPE;
    return (state & said) == E1000_RECEIVE_TCPCS ? PACKET_CHECKSUM_GOOD : 0;
}

/* Whole blocks, in registers; there is room behind the end in either buffer. */
static inline void copy_blocks(uint8_t *to, const uint8_t *from, uint32_t length_bytes)
{
    for (uint32_t at = 0; at < length_bytes; at += COPY_BYTES)
        memcpy(to + at, from + at, COPY_BYTES);
}

static void lose_partial(struct e1000_queue *queue, uint64_t *counter)
{
    counter_add(counter, 1);
    packet_free(queue->common.pool, queue->partial);
    queue->partial = NULL;
    queue->partial_last = NULL;
}

/* Appends bytes to the partial chain; false, and nothing left of it, where there is no room. */
static bool append(struct e1000_queue *queue, const uint8_t *from, uint32_t length_bytes)
{
    while (length_bytes > 0) {
        struct packet *last = queue->partial_last;
        if (last == NULL || last->length_bytes == PACKET_ROOM_BYTES) {
            struct packet *fresh = NULL;
            bool too_long = queue->partial != NULL && queue->partial->frame_length_bytes >=
                                                          PACKET_SEGMENT_MAX * PACKET_ROOM_BYTES;
            if (!too_long)
                fresh = packet_alloc(queue->common.pool);
            if (fresh == NULL) {
                lose_partial(queue, too_long ? &queue->common.stats.rx_errors
                                             : &queue->common.stats.rx_no_buffer);
                return false;
            }
            if (last == NULL)
                queue->partial = fresh;
            else
                last->next_segment = fresh;
            queue->partial_last = fresh;
            last = fresh;
        }
        uint32_t here = MIN_OF(length_bytes, PACKET_ROOM_BYTES - last->length_bytes);
        memcpy(last->data + last->length_bytes, from, here);
        last->length_bytes += here;
        queue->partial->frame_length_bytes += here;
        from += here;
        length_bytes -= here;
    }
    return true;
}

/* What is not one good frame in one descriptor that fits one packet. Answers a frame when it is
 * whole. */
static struct packet *receive_piece(struct e1000_queue *queue, const uint8_t *buffer,
                                    uint64_t state)
{
    bool last = state & E1000_RECEIVE_EOP;
    if (queue->common.skipping) {
        queue->common.skipping = !last;
        return NULL;
    }
    if (state & E1000_RECEIVE_ERRORS) {
        lose_partial(queue, &queue->common.stats.rx_errors);
        queue->common.skipping = !last;
        return NULL;
    }
    if (!append(queue, buffer, E1000_RECEIVE_LENGTH(state))) {
        queue->common.skipping = !last;
        return NULL;
    }
    if (!last)
        return NULL;
    struct packet *packet = queue->partial;
    if (packet == NULL || packet->length_bytes < ETHERNET_HEADER_BYTES) {
        lose_partial(queue, &queue->common.stats.rx_errors);
        return NULL;
    }
    queue->partial = NULL;
    queue->partial_last = NULL;
    return packet;
}

/* One frame, or a piece of one, whatever it is; false where there is none. */
static bool receive_any(struct nic_queue *queue, struct batch *batch)
{
    struct e1000_receive_descriptor *descriptor = &queue->receive[queue->receive_next];
    uint64_t state = atomic_load_explicit(&descriptor->state, memory_order_acquire);
    if (!(state & E1000_RECEIVE_DD))
        return false;
    if (E1000_RECEIVE_LENGTH(state) > E1000_BUFFER_BYTES) {
        intel_take_down(queue, E1000_RECEIVE_LENGTH(state));
        return false;
    }
    struct e1000_queue *ours = queue_of(queue);
    struct packet *packet = receive_piece(ours, ours->buffers[queue->receive_next], state);
    if (packet != NULL)
        batch->packets[batch->count++] = packet;
    atomic_store_explicit(&descriptor->state, 0, memory_order_release);
    queue->receive_next = (queue->receive_next + 1u) & RING_MASK;
    queue->unreturned++;
    return true;
}

/* The same with all in registers, while frames are good and each is in one descriptor. */
static void receive_quickly(struct nic_queue *queue, struct batch *batch)
{
    uint8_t(*const buffers)[E1000_BUFFER_BYTES] = queue_of(queue)->buffers;
    struct packet_pool *pool = queue->pool;
    const unsigned room = pool_prepare(pool, BATCH_MAX - batch->count);
    struct packet **top = pool->top;
    struct packet **out = &batch->packets[batch->count];
    struct packet **const end = out + room;
    unsigned next = queue->receive_next;

    for (; out != end; next = (next + 1) & RING_MASK) {
        struct e1000_receive_descriptor *descriptor = &queue->receive[next];
        uint64_t state = atomic_load_explicit(&descriptor->state, memory_order_acquire);
        uint32_t length = E1000_RECEIVE_LENGTH(state);
        if ((state & E1000_RECEIVE_WHOLE_MASK) != E1000_RECEIVE_WHOLE)
            break;
        if (UNLIKELY(length - ETHERNET_HEADER_BYTES > PACKET_ROOM_BYTES - ETHERNET_HEADER_BYTES))
            break;
        struct packet *packet = pool_pop(&top);
        copy_blocks(packet->data, buffers[next], length);
        packet->flags = checksum_flag(state);
        packet->length_bytes = length;
        packet->frame_length_bytes = length;
        *out++ = packet;
        atomic_store_explicit(&descriptor->state, 0, memory_order_release);
    }
    pool->top = top;
    queue->receive_next = (uint16_t)next;
    queue->unreturned = (uint16_t)(queue->unreturned + (out - &batch->packets[batch->count]));
    batch->count = (unsigned)(out - batch->packets);
}

static void e1000_receive(struct nic_queue *queue, struct batch *batch)
{
    if (UNLIKELY(queue->broken))
        return;
    /* No more than once around, whatever the card writes meanwhile. */
    for (unsigned round = 0; round < RING_ENTRIES; round++) {
        if (LIKELY(queue_of(queue)->partial == NULL && !queue->skipping))
            receive_quickly(queue, batch);
        if (batch->count == BATCH_MAX || !receive_any(queue, batch))
            break;
    }
    if (queue->unreturned >= RETURN_BATCH)
        intel_return_descriptors(queue);
}

/* ---- Transmitting [3.3, 3.4] ---------------------------------------------------------------- */

/* Legacy descriptors, for which QEMU's card completes no checksum. */
static unsigned e1000_transmit(struct nic_queue *queue, struct packet **packets, unsigned count)
{
    static const struct intel_format legacy = { .data = 0 };
    return intel_transmit(queue, packets, count, &legacy);
}

/* ---- Opening and closing [14] --------------------------------------------------------------- */

static enum error alloc_buffers(struct e1000_queue *queue)
{
    queue->buffers = dma_alloc(RING_ENTRIES * sizeof(queue->buffers[0]), PAGE_BYTES, MEMORY_RING);
    if (queue->buffers == NULL)
        return fail(ERROR_NO_MEMORY);
    for (unsigned i = 0; i < RING_ENTRIES; i++)
        queue->common.receive[i].address = dma_address(queue->buffers[i]);
    return OK;
}

/* [14.4, 14.5] Addresses, then rings, then the two units on. */
static void start(const struct intel_nic *card, const struct nic_queue *queue)
{
    intel_write_addresses(card);
    intel_write_rings(card, queue);
    intel_write(card, E1000_CTRL, intel_read(card, E1000_CTRL) | E1000_CTRL_SLU | E1000_CTRL_ASDE);
    intel_write(card, E1000_TIPG, E1000_TIPG_COPPER);
    intel_write(card, E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_PSP | E1000_TCTL_CT | E1000_TCTL_COLD);
    intel_write(card, E1000_RXCSUM, E1000_RXCSUM_TUOFLD);
    intel_write(card, E1000_RCTL,
                E1000_RCTL_EN | E1000_RCTL_MPE | E1000_RCTL_LPE | E1000_RCTL_BAM |
                    E1000_RCTL_SECRC);
    io_fence();
    mmio_write32(queue->receive_tail, RING_ENTRIES - 1);
}

static void e1000_close(struct nic *nic, struct packet_pool *local)
{
    intel_stop(nic);
    if (nic->queue_count > 0) {
        struct e1000_queue *queue = queue_of(nic->queues[0]);
        packet_free(local, queue->partial);
        dma_free(queue->buffers);
    }
    intel_free_queues(nic, local);
}

static enum error e1000_open(struct nic *nic, unsigned queue_count,
                             const struct nic_queue_setup *setup)
{
    struct intel_nic *card = intel_card(nic);
    enum error error = intel_open_queues(nic, queue_count, setup, sizeof(struct e1000_queue));
    if (error != OK)
        return error;
    error = alloc_buffers(queue_of(nic->queues[0]));
    if (error != OK) {
        e1000_close(nic, setup[0].pool);
        return error;
    }
    start(card, nic->queues[0]);
    intel_connect(card, setup);
    return OK;
}

/* ---- Probing -------------------------------------------------------------------------------- */

static const struct intel_family family = {
    .name = "e1000",
    .bar_bytes = E1000_BAR_BYTES,
    .queue_max = 1,
    .frame_max_bytes = FRAME_MAX_BYTES,
    .receive_ring = E1000_RDBAL,
    .transmit_ring = E1000_TDBAL,
    .eerd_address_shift = E1000_EERD_ADDRESS_SHIFT,
    .eerd_done = E1000_EERD_DONE,
    .receive_done = E1000_RECEIVE_DD,
    .mask_clear = E1000_IMC,
};

static const struct nic_ops e1000_ops = {
    .open = e1000_open,
    .close = e1000_close,
    .receive = e1000_receive,
    .transmit = e1000_transmit,
    .flush = intel_flush,
    .arm = intel_arm,
    .disarm = intel_disarm,
    .link_up = intel_link_up,
    .is_well = intel_is_well,
    .set_mac = intel_set_mac,
    .stats = intel_stats,
};

static struct nic *e1000_probe(struct pci_device *device, const char **why)
{
    return intel_probe(device, &family, &e1000_ops, why);
}

static const struct pci_id e1000_ids[] = {
    { E1000_VENDOR, E1000_82540EM },
    { E1000_VENDOR, E1000_82545EM },
    { 0, 0 },
};

const struct pci_driver e1000_driver = {
    .name = "e1000",
    .ids = e1000_ids,
    .probe = e1000_probe,
    .remove = intel_remove,
};
