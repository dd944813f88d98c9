/* What happens per packet on Intel's gigabit cards, but for sending plain frames, which is in
 * intel_nic.h: each driver makes its own of that.
 *
 * Receiving here is for cards with extended or advanced descriptors, whose answers are alike
 * [82574 7.1, 82576 7.1]; the 8254x has neither, and e1000.c its own way. Descriptor i has
 * the packet received[i] behind it, into which the card writes. A used one is replaced by a fresh
 * one before it goes up, or offered again where the pool is empty: the ring is always full. It is
 * filled by the first receive, on the core that owns the pool.
 *
 * The cards know buffers in steps of 1024 bytes and are told 2048; a packet has room for 1792. Long
 * frames are off, so that they never write more than 1522. */
#include <string.h>

#include "drivers/intel_nic.h"
#include "kernel/base/log.h"

void intel_take_down(struct nic_queue *queue, uint32_t length_bytes)
{
    queue->broken = true;
    log_error(queue->card->family->name,
              "%s queue %u stopped: the card wrote %u bytes into a buffer",
              queue->card->nic.location, queue->index, length_bytes);
}

/* ---- Receiving [82574 7.1, 82576 7.1] -------------------------------------------------------- */

/* Whether the card vouches for the transport checksum. */
static inline uint8_t checksum_flag(uint64_t state)
{
    const uint64_t said = E1000_DONE_L4CS | E1000_DONE_IXSM | E1000_DONE_L4E;
    return (state & said) == E1000_DONE_L4CS ? PACKET_CHECKSUM_GOOD : 0;
}

/* The card has written over the address. */
static inline void offer(struct e1000_receive_descriptor *descriptor, const struct packet *packet)
{
    descriptor->address = packet->buffer_dma + PACKET_META_BYTES + PACKET_HEADROOM_BYTES;
    atomic_store_explicit(&descriptor->state, 0, memory_order_release);
}

void intel_return_descriptors(struct nic_queue *queue)
{
    io_fence();
    /* The tail is the one that we keep back: the last that was done. [3.2.6] */
    mmio_write32(queue->receive_tail, (queue->receive_next - 1u) & RING_MASK);
    counter_add(queue->register_accesses, 1);
    queue->unreturned = 0;
}

/* A packet behind each descriptor. The card gets none before all have one. */
static bool fill(struct nic_queue *queue)
{
    while (queue->posted < RING_ENTRIES) {
        struct packet *packet = packet_take(queue->pool);
        if (packet == NULL)
            return false;
        queue->received[queue->posted] = packet;
        offer(&queue->receive[queue->posted], packet);
        queue->posted++;
    }
    intel_return_descriptors(queue);
    return true;
}

/* The frame of a descriptor that is done, or NULL where it is lost: it is bad, or in pieces, which
 * with long frames off it never should be; or there is no packet to put in its place. */
static struct packet *take_frame(struct nic_queue *queue, uint64_t state)
{
    bool begins = !queue->skipping;
    bool whole = (state & E1000_DONE_WHOLE_MASK) == E1000_DONE_WHOLE;
    queue->skipping = !(state & E1000_DONE_EOP);
    if (!begins)
        return NULL;
    if (!whole || E1000_DONE_LENGTH(state) < ETHERNET_HEADER_BYTES) {
        counter_add(&queue->stats.rx_errors, 1);
        return NULL;
    }
    struct packet *fresh = packet_take(queue->pool);
    if (fresh == NULL) {
        counter_add(&queue->stats.rx_no_buffer, 1);
        return NULL;
    }
    struct packet *packet = queue->received[queue->receive_next];
    queue->received[queue->receive_next] = fresh;
    packet->flags = checksum_flag(state);
    packet->length_bytes = E1000_DONE_LENGTH(state);
    packet->frame_length_bytes = packet->length_bytes;
    return packet;
}

/* One descriptor, whatever is in it; false where there is none. */
static bool receive_any(struct nic_queue *queue, struct batch *batch)
{
    struct e1000_receive_descriptor *descriptor = &queue->receive[queue->receive_next];
    uint64_t state = atomic_load_explicit(&descriptor->state, memory_order_acquire);
    if (!(state & E1000_DONE_DD))
        return false;
    if (E1000_DONE_LENGTH(state) > PACKET_ROOM_BYTES) {
        intel_take_down(queue, E1000_DONE_LENGTH(state));
        return false;
    }
    struct packet *packet = take_frame(queue, state);
    if (packet != NULL)
        batch->packets[batch->count++] = packet;
    offer(descriptor, queue->received[queue->receive_next]);
    queue->receive_next = (queue->receive_next + 1u) & RING_MASK;
    queue->unreturned++;
    return true;
}

/* The same, all in registers, while frames are good and each is in one descriptor; at most `room`.
 */
static void receive_quickly(struct nic_queue *queue, struct batch *batch, unsigned room)
{
    struct packet_pool *pool = queue->pool;
    struct packet **top = pool->top;
    struct packet **out = &batch->packets[batch->count];
    struct packet **const end = out + room;
    unsigned next = queue->receive_next;

    for (; out != end; next = (next + 1) & RING_MASK) {
        struct e1000_receive_descriptor *descriptor = &queue->receive[next];
        uint64_t state = atomic_load_explicit(&descriptor->state, memory_order_acquire);
        uint32_t length = E1000_DONE_LENGTH(state);
        if ((state & E1000_DONE_WHOLE_MASK) != E1000_DONE_WHOLE)
            break;
        if (UNLIKELY(length - ETHERNET_HEADER_BYTES > PACKET_ROOM_BYTES - ETHERNET_HEADER_BYTES))
            break;
        struct packet *packet = queue->received[next];
        struct packet *fresh = pool_pop(&top);
        queue->received[next] = fresh;
        offer(descriptor, fresh);
        packet->flags = checksum_flag(state);
        packet->length_bytes = length;
        packet->frame_length_bytes = length;
        *out++ = packet;
    }
    pool->top = top;
    queue->receive_next = (uint16_t)next;
    queue->unreturned = (uint16_t)(queue->unreturned + (out - &batch->packets[batch->count]));
    batch->count = (unsigned)(out - batch->packets);
}

void intel_receive(struct nic_queue *queue, struct batch *batch)
{
    if (UNLIKELY(queue->broken))
        return;
    if (UNLIKELY(queue->posted < RING_ENTRIES) && !fill(queue))
        return;
    for (;;) {
        unsigned room = MIN_OF(BATCH_MAX - batch->count, (unsigned)RING_MASK - queue->unreturned);
        if (LIKELY(!queue->skipping))
            receive_quickly(queue, batch, pool_prepare(queue->pool, room));
        /* No more than the card was given, whatever it writes. */
        if (batch->count == BATCH_MAX || queue->unreturned == RING_MASK ||
            !receive_any(queue, batch))
            break;
    }
    if (queue->unreturned >= RETURN_BATCH)
        intel_return_descriptors(queue);
}

/* ---- Transmitting [3.3, 3.4] ------------------------------------------------------------------
 */

/* Frees what the card has sent. A context goes with the frame after it. */
static void reclaim(struct nic_queue *queue)
{
    struct packet_pool *pool = queue->pool;
    struct packet **top = pool->top;
    unsigned clean = queue->send_clean;
    const unsigned told = queue->send_told;

    for (unsigned at = clean; at != told;) {
        uint64_t state = atomic_load_explicit(&queue->transmit[at].state, memory_order_acquire);
        if (!(state & E1000_TRANSMIT_DD) && !intel_is_context(state))
            break;
        struct packet *packet = queue->sent[at];
        at = (at + 1) & RING_MASK;
        if (!(state & E1000_TRANSMIT_DD))
            continue;
        clean = at;
        if (packet == NULL) /* no frame's last segment */
            continue;
        queue->sent[(at - 1) & RING_MASK] = NULL;
        if (LIKELY(pool_push(pool, &top, packet)))
            continue;
        pool->top = top;
        packet_free(pool, packet);
        top = pool->top;
    }
    pool->top = top;
    queue->send_clean = (uint16_t)clean;
}

void intel_flush(struct nic_queue *queue)
{
    if (queue->send_next != queue->send_told) {
        io_fence();
        mmio_write32(queue->transmit_tail, queue->send_next);
        counter_add(queue->register_accesses, 1);
        queue->send_told = queue->send_next;
    }
    reclaim(queue);
}

/* A frame can be too short for the card. */
static bool pad(struct packet *packet)
{
    if (packet->frame_length_bytes >= SEND_BYTES_MIN || packet->next_segment != NULL)
        return true;
    uint32_t missing = SEND_BYTES_MIN - packet->frame_length_bytes;
    uint8_t *padding = packet_append(packet, missing);
    if (padding == NULL)
        return false;
    memset(padding, 0, missing);
    return true;
}

/* How many descriptors the frame takes, 0 where it cannot be sent. */
static unsigned count_descriptors(struct packet *packet)
{
    unsigned count = packet->flags & PACKET_CHECKSUM_WANTED ? 1 : 0;
    for (const struct packet *segment = packet; segment != NULL; segment = segment->next_segment)
        count++;
    return count <= CHAIN_MAX && pad(packet) ? count : 0;
}

static bool make_room(struct nic_queue *queue, unsigned needed)
{
    if (intel_room(queue) < needed)
        intel_flush(queue);
    return intel_room(queue) >= needed;
}

static void describe_next(struct nic_queue *queue, const struct packet *segment, uint64_t command)
{
    intel_describe(queue, queue->send_next, segment, command);
    queue->send_next = (queue->send_next + 1) & RING_MASK;
}

/* Tells the card where the checksum is to go; true where it can. */
static bool describe_checksum(struct nic_queue *queue, const struct packet *packet,
                              const struct intel_format *format)
{
    if (format->context == NULL || !format->context(packet, &queue->transmit[queue->send_next]))
        return false;
    queue->send_next = (queue->send_next + 1) & RING_MASK;
    return true;
}

static void lose_to_send(struct nic_queue *queue, struct packet *packet)
{
    counter_add(&queue->stats.tx_errors, 1);
    packet_free(queue->pool, packet);
}

bool intel_transmit_slowly(struct nic_queue *queue, struct packet *packet,
                           const struct intel_format *format)
{
    uint64_t command = format->data;
    unsigned needed = count_descriptors(packet);
    if (needed == 0) {
        lose_to_send(queue, packet);
        return true;
    }
    if (!make_room(queue, needed))
        return false;
    if (packet->flags & PACKET_CHECKSUM_WANTED) {
        if (!describe_checksum(queue, packet, format)) {
            lose_to_send(queue, packet);
            return true;
        }
        command |= E1000_TRANSMIT_TXSM;
    }
    if (format->length_shift != 0)
        command |= (uint64_t)packet->frame_length_bytes << format->length_shift;
    const struct packet *segment = packet;
    for (; segment->next_segment != NULL; segment = segment->next_segment)
        describe_next(queue, segment, command);
    queue->sent[queue->send_next] = packet;
    describe_next(queue, segment, command | E1000_TRANSMIT_EOP);
    return true;
}

/* ---- Interrupts [13.4.17] --------------------------------------------------------------------
 */

bool intel_arm(struct nic_queue *queue)
{
    const struct intel_nic *card = queue->card;
    if (queue->broken)
        return false;
    reclaim(queue);
    if (queue->has_message) {
        /* What came while the core polled is no news. */
        intel_write(card, card->family->cause, queue->causes);
        intel_write(card, card->family->mask_set, queue->causes);
        counter_add(queue->register_accesses, 2);
    } else if (queue->interrupt >= 0) {
        (void)intel_read(card, E1000_ICR);
        if (!card->has_msi)
            interrupt_unmask(queue->interrupt);
        intel_write(card, E1000_IMS, queue->causes);
        counter_add(queue->register_accesses, 2);
    }
    uint64_t state =
        atomic_load_explicit(&queue->receive[queue->receive_next].state, memory_order_acquire);
    return (state & card->family->receive_done) != 0;
}

void intel_disarm(struct nic_queue *queue)
{
    if (queue->interrupt < 0)
        return;
    intel_write(queue->card, queue->has_message ? queue->card->family->mask_clear : E1000_IMC,
                queue->causes);
    counter_add(queue->register_accesses, 1);
}
