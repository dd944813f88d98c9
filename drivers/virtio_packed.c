/* Queues of virtio network cards with packed rings (virtio 1.2, 2.8).
 *
 * One ring of descriptors which both sides write. A place is given to the device, used by it, and
 * given again one lap later; a descriptor's two flags tell in which lap it is. What the device used
 * carries the number of the buffer, which is what slots are found by.
 *
 *   receive    a used place is given again at once, under the same number with a fresh buffer
 *   transmit   a frame takes as many places as descriptors, and one number, that of its first place
 *              or, where frames overtake each other, a free one. The device marks one place per
 *              frame, and skips the others of it. */
#include "drivers/virtio_net.h"

/* ---- Receiving, 5.1.6.4 --------------------------------------------------------------------- */

/* Gives slot id to the device, at the next place. */
static inline void give(struct ring *ring, uint32_t id)
{
    struct virtio_packed_descriptor *descriptor = &ring->shared.packed[ring->offered & ring->mask];
    descriptor->address = buffer_of(ring->slots[id]);
    atomic_store_explicit(&descriptor->state,
                          BUFFER_BYTES | VIRTIO_PACKED_ID_OF(id) | VIRTIO_PACKED_WRITE |
                              virtio_packed_given(&ring->shared, ring->offered),
                          memory_order_release);
    ring->offered++;
}

static void show(struct nic_queue *queue, struct ring *ring)
{
    if (ring->shown == ring->offered)
        return;
    ring->shown = ring->offered;
    if (virtio_packed_publish(&ring->shared))
        counter_add(queue->register_accesses, 1);
}

static void fill(struct nic_queue *queue)
{
    struct ring *ring = &queue->receive;
    while (ring->posted < ring->shared.entries) {
        struct packet *packet = packet_take(queue->pool);
        if (packet == NULL)
            break;
        ring->slots[ring->posted] = packet;
        give(ring, ring->posted++);
    }
    show(queue, ring);
}

static bool is_used(const struct ring *ring, uint32_t place)
{
    return virtio_packed_is_used(&ring->shared, place, virtio_packed_state(&ring->shared, place));
}

/* Any frame, one or several buffers, of which the first is there. */
static void receive_frame(struct nic_queue *queue, struct batch *batch)
{
    struct ring *ring = &queue->receive;
    uint64_t state = virtio_packed_state(&ring->shared, ring->used_next);
    uint32_t id = VIRTIO_PACKED_ID(state);
    if (id >= ring->posted) {
        virtio_net_take_down(queue, "used a buffer it was not given", id);
        return;
    }
    /* Without merged buffers the count means nothing. The device shows a frame's first buffer
     * last. */
    unsigned buffer_count = queue->merged_buffers ? buffer_count_of(ring->slots[id]) : 1;
    if (buffer_count == 0 || buffer_count > ring->posted ||
        !is_used(ring, ring->used_next + buffer_count - 1)) {
        virtio_net_take_down(queue, "spread a frame over buffers it did not use", buffer_count);
        return;
    }
    struct frame_parts frame;
    virtio_net_begin_frame(queue, &frame, buffer_count);
    for (unsigned i = 0; i < buffer_count; i++) {
        state = virtio_packed_state(&ring->shared, ring->used_next++);
        id = VIRTIO_PACKED_ID(state);
        if (!virtio_net_add_buffer(queue, &frame, id, VIRTIO_PACKED_LENGTH(state)))
            break;
        give(ring, id);
    }
    struct packet *packet = virtio_net_end_frame(queue, &frame);
    if (packet != NULL)
        batch->packets[batch->count++] = packet;
}

/* What must not be in a state, beside what the lap's flags are not: numbers behind the last. */
static inline uint64_t wrong_bits(const struct ring *ring)
{
    return VIRTIO_PACKED_OWNER | VIRTIO_PACKED_ID_OF(0xffff & ~ring->mask);
}

static inline uint32_t left_in_lap(const struct ring *ring, uint32_t place)
{
    return ring->mask + 1 - (place & ring->mask);
}

/* At most `run` used places up to the end of the lap, while the receive ring is full and each frame
 * is good and in one buffer: then the place that is used is the next to give, too. How many; it
 * stops at the first that is otherwise, or is not there. A function of its own for the sake of its
 * registers. */
static __attribute__((noinline)) size_t receive_run(struct ring *ring, struct packet **top,
                                                    struct packet **out, size_t run)
{
    const uint32_t place = ring->used_next;
    const uint32_t mask = ring->mask;
    const uint64_t used = virtio_packed_used(&ring->shared, place);
    const uint64_t wrong = wrong_bits(ring);
    const uint64_t offer =
        BUFFER_BYTES | VIRTIO_PACKED_WRITE | virtio_packed_given(&ring->shared, place + mask + 1);
    struct virtio_packed_descriptor *descriptor = &ring->shared.packed[place & mask];
    size_t done = 0;

    for (; done != run; done++, descriptor++) {
        uint64_t state = atomic_load_explicit(&descriptor->state, memory_order_acquire);
        if ((state ^ used) & wrong)
            break;
        uint32_t id = (uint32_t)(state >> 32) & mask;
        uint32_t length = VIRTIO_PACKED_LENGTH(state) - VIRTIO_NET_HEADER_BYTES;
        struct packet *packet = ring->slots[id];
        if (UNLIKELY(buffer_count_of(packet) != 1))
            break;
        if (UNLIKELY(length - ETHERNET_HEADER_BYTES > PACKET_ROOM_BYTES - ETHERNET_HEADER_BYTES))
            break;
        set_frame(packet, length);
        out[done] = packet;
        struct packet *fresh = pool_pop(&top);
        ring->slots[id] = fresh;
        descriptor->address = buffer_of(fresh);
        atomic_store_explicit(&descriptor->state, offer | VIRTIO_PACKED_ID_OF(id),
                              memory_order_release);
    }
    return done;
}

static void receive_quickly(struct nic_queue *queue, struct batch *batch)
{
    struct ring *ring = &queue->receive;
    struct packet_pool *pool = queue->pool;
    uint32_t run = MIN_OF(BATCH_MAX - batch->count, left_in_lap(ring, ring->used_next));
    run = pool_prepare(pool, run);
    size_t done = receive_run(ring, pool->top, &batch->packets[batch->count], run);
    pool->top -= done;
    ring->offered += (uint32_t)done;
    ring->used_next += (uint32_t)done;
    batch->count += (unsigned)done;
}

void virtio_packed_receive(struct nic_queue *queue, struct batch *batch)
{
    struct ring *ring = &queue->receive;
    if (UNLIKELY(queue->broken))
        return;
    if (UNLIKELY(ring->posted < ring->shared.entries))
        fill(queue);
    while (batch->count < BATCH_MAX && is_used(ring, ring->used_next)) {
        uint32_t before = ring->used_next;
        if (LIKELY(ring->posted == ring->shared.entries))
            receive_quickly(queue, batch);
        if (LIKELY(ring->used_next != before))
            continue;
        receive_frame(queue, batch);
        if (queue->broken)
            return;
    }
    show(queue, ring);
}

/* ---- Transmitting, 5.1.6.2 ------------------------------------------------------------------ */

static unsigned count_segments(const struct packet *packet)
{
    unsigned count = 0;
    for (; packet != NULL; packet = packet->next_segment)
        count++;
    return count;
}

/* Frees at most `run` frames that the device has sent, up to the end of the lap, while they have
 * one segment and are this core's. Stops at the first that is otherwise, or not sent yet. */
static __attribute__((noinline)) void reclaim_quickly(struct ring *ring, struct packet_pool *pool,
                                                      size_t run)
{
    const uint32_t place = ring->used_next;
    const uint32_t mask = ring->mask;
    const uint64_t used = virtio_packed_used(&ring->shared, place);
    const uint64_t wrong = wrong_bits(ring);
    const struct virtio_packed_descriptor *descriptor = &ring->shared.packed[place & mask];
    struct packet **top = pool->top;
    size_t done = 0;

    for (; done != run; done++, descriptor++) {
        uint64_t state = atomic_load_explicit(&descriptor->state, memory_order_acquire);
        if ((state ^ used) & wrong)
            break;
        struct packet **slot = &ring->slots[(uint32_t)(state >> 32) & mask];
        if (UNLIKELY(*slot == NULL) || !pool_push(pool, &top, *slot))
            break;
        *slot = NULL;
    }
    pool->top = top;
    ring->used_next += (uint32_t)done;
}

/* Frees any frame that the device has sent. */
static void reclaim_frame(struct nic_queue *queue)
{
    struct ring *ring = &queue->transmit;
    uint32_t id = VIRTIO_PACKED_ID(virtio_packed_state(&ring->shared, ring->used_next));
    struct packet *packet = id <= ring->mask ? ring->slots[id] : NULL;
    if (packet == NULL) {
        virtio_net_take_down(queue, "sent a frame it was not given", id);
        return;
    }
    ring->slots[id] = NULL;
    ring->used_next += count_segments(packet);
    packet_free(queue->pool, packet);
}

static void reclaim(struct nic_queue *queue)
{
    struct ring *ring = &queue->transmit;
    while (ring->used_next != ring->offered && is_used(ring, ring->used_next) && !queue->broken) {
        uint32_t before = ring->used_next;
        reclaim_quickly(ring, queue->pool,
                        MIN_OF(ring->offered - before, left_in_lap(ring, before)));
        if (UNLIKELY(ring->used_next == before))
            reclaim_frame(queue);
    }
}

void virtio_packed_flush(struct nic_queue *queue)
{
    if (UNLIKELY(queue->broken))
        return;
    show(queue, &queue->transmit);
    reclaim(queue);
}

static unsigned room_of(const struct ring *ring)
{
    return ring->shared.entries - (ring->offered - ring->used_next);
}

/* A number for the frame at the next place: one is free where a place is. */
static uint32_t find_number(const struct ring *ring)
{
    uint32_t id = ring->offered & ring->mask;
    while (ring->slots[id] != NULL)
        id = (id + 1) & ring->mask;
    return id;
}

/* Any frame: of several segments; without headroom; with a checksum for the device to complete; or
 * one that finds its number taken or the ring full. False where there is no room now. */
static bool transmit_frame(struct nic_queue *queue, struct packet *packet)
{
    struct ring *ring = &queue->transmit;
    unsigned needed = virtio_net_count_descriptors(queue, packet);
    if (needed == 0)
        return true;
    if (room_of(ring) < needed) {
        virtio_packed_flush(queue);
        if (room_of(ring) < needed)
            return false;
    }
    packet = virtio_net_add_header(queue, packet);
    if (packet == NULL)
        return false;

    uint32_t id = find_number(ring);
    uint32_t header = VIRTIO_NET_HEADER_BYTES; /* before the first segment alone */
    uint64_t first_state = 0;
    uint32_t place = ring->offered;
    for (struct packet *segment = packet; segment != NULL; segment = segment->next_segment) {
        struct virtio_packed_descriptor *descriptor = &ring->shared.packed[place & ring->mask];
        uint64_t state = (segment->length_bytes + header) | VIRTIO_PACKED_ID_OF(id) |
                         virtio_packed_given(&ring->shared, place);
        if (segment->next_segment != NULL)
            state |= VIRTIO_PACKED_NEXT;
        descriptor->address = packet_dma(segment, segment->data - header);
        header = 0;
        /* 2.8.21.2: the first one shows the chain, when all the others are there. */
        if (segment == packet)
            first_state = state;
        else
            atomic_store_explicit(&descriptor->state, state, memory_order_relaxed);
        place++;
    }
    atomic_store_explicit(&ring->shared.packed[ring->offered & ring->mask].state, first_state,
                          memory_order_release);
    ring->slots[id] = packet;
    ring->offered = place;
    return true;
}

/* The first of them that are plain and find place and number free, up to the end of the lap; a
 * frame's number is that of its place. How many. */
static __attribute__((noinline)) size_t transmit_quickly(struct ring *ring, struct packet **packets,
                                                         size_t count)
{
    const uint32_t place = ring->offered;
    const uint32_t at = place & ring->mask;
    struct packet **slots = &ring->slots[at];
    struct virtio_packed_descriptor *descriptors = &ring->shared.packed[at];
    uint64_t state = VIRTIO_PACKED_ID_OF(at) | virtio_packed_given(&ring->shared, place);
    uint32_t room = MIN_OF(room_of(ring), left_in_lap(ring, place));
    size_t run = MIN_OF(count, (size_t)room);
    size_t done = 0;

    for (; done != run; done++, state += VIRTIO_PACKED_ID_OF(1)) {
        struct packet *packet = packets[done];
        uint64_t offset = header_offset_of(packet);
        if (UNLIKELY(slots[done] != NULL || !is_plain(packet, offset)))
            break;
        memset((uint8_t *)packet + offset, 0, VIRTIO_NET_HEADER_BYTES);
        slots[done] = packet;
        descriptors[done].address = packet->buffer_dma + offset;
        atomic_store_explicit(&descriptors[done].state,
                              state + packet->length_bytes + VIRTIO_NET_HEADER_BYTES,
                              memory_order_release);
    }
    ring->offered += (uint32_t)done;
    return done;
}

unsigned virtio_packed_transmit(struct nic_queue *queue, struct packet **packets, unsigned count)
{
    size_t done = 0;
    if (UNLIKELY(queue->broken))
        return 0;
    while (done < count) {
        size_t sent = transmit_quickly(&queue->transmit, packets + done, count - done);
        done += sent;
        if (LIKELY(sent > 0))
            continue;
        if (!transmit_frame(queue, packets[done]))
            break;
        done++;
    }
    return (unsigned)done;
}

bool virtio_packed_has_sent(const struct ring *ring)
{
    return is_used(ring, ring->used_next);
}

/* ---- Interrupts ----------------------------------------------------------------------------- */

bool virtio_packed_arm(struct nic_queue *queue)
{
    struct ring *ring = &queue->receive;
    if (queue->broken)
        return false;
    reclaim(queue);
    virtio_net_unmask_pin(queue);
    atomic_store_explicit(&ring->shared.driver_event->flags, VIRTIO_PACKED_EVENT_ENABLE,
                          memory_order_relaxed);
    io_fence();
    return is_used(ring, ring->used_next);
}

void virtio_packed_disarm(struct nic_queue *queue)
{
    atomic_store_explicit(&queue->receive.shared.driver_event->flags, VIRTIO_PACKED_EVENT_DISABLE,
                          memory_order_relaxed);
}
