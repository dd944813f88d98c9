/* Queues of virtio network cards with split rings (virtio 1.2, 2.7).
 *
 *   receive    [p][p][p][p] ... [p]   always full
 *   transmit   [ ][p][p|.|.][p][ ]    a frame lies in one descriptor, header and data together, as
 *                                     the header goes into the packet's headroom; or in several, of
 *                                     which the first one's slot holds the packet and the others'
 *                                     &chained. A descriptor is free when its slot is NULL, so
 *                                     devices that complete out of order need no second book.
 *
 * The driver polls; interrupts are asked for by arm() alone, with the ring's flag. EVENT_IDX is not
 * negotiated: it saves nothing to one who polls, and costs a comparison per doorbell. */
#include "drivers/virtio_net.h"

/* ---- Receiving, 5.1.6.4 --------------------------------------------------------------------- */

/* Gives slot id to the device. But for the address its descriptor stays as it is. */
static inline void offer(struct ring *ring, uint32_t id)
{
    ring->shared.descriptors[id].address = buffer_of(ring->slots[id]);
    ring->shared.available->ring[ring->offered++ & ring->mask] = (uint16_t)id;
}

static void show(struct nic_queue *queue, struct ring *ring)
{
    if (ring->shown == ring->offered)
        return;
    ring->shown = ring->offered;
    if (virtio_split_publish(&ring->shared, (uint16_t)ring->offered))
        counter_add(queue->register_accesses, 1);
}

static void fill(struct nic_queue *queue)
{
    struct ring *ring = &queue->receive;
    while (ring->posted < ring->shared.entries) {
        struct packet *packet = packet_take(queue->pool);
        if (packet == NULL)
            break;
        ring->shared.descriptors[ring->posted] = (struct virtio_descriptor){
            .length_bytes = BUFFER_BYTES,
            .flags = VIRTIO_DESCRIPTOR_WRITE,
        };
        ring->slots[ring->posted] = packet;
        offer(ring, ring->posted++);
    }
    show(queue, ring);
}

/* Any frame, one or several buffers; of `ready` used entries it takes its own. */
static void receive_frame(struct nic_queue *queue, uint32_t ready, struct batch *batch)
{
    struct ring *ring = &queue->receive;
    const struct virtio_used_element *used = ring->shared.used->ring;
    uint32_t id = used[ring->used_next & ring->mask].id;
    if (id >= ring->posted) {
        virtio_net_take_down(queue, "used a buffer it was not given", id);
        return;
    }
    /* Without merged buffers the count means nothing. */
    unsigned buffer_count = queue->merged_buffers ? buffer_count_of(ring->slots[id]) : 1;
    if (buffer_count == 0 || buffer_count > ready) {
        virtio_net_take_down(queue, "spread a frame over buffers it did not use", buffer_count);
        return;
    }
    struct frame_parts frame;
    virtio_net_begin_frame(queue, &frame, buffer_count);
    for (unsigned i = 0; i < buffer_count; i++) {
        const struct virtio_used_element *element = &used[ring->used_next++ & ring->mask];
        id = element->id;
        if (!virtio_net_add_buffer(queue, &frame, id, element->length_bytes))
            break;
        offer(ring, id);
    }
    struct packet *packet = virtio_net_end_frame(queue, &frame);
    if (packet != NULL)
        batch->packets[batch->count++] = packet;
}

/* `run` used buffers up to the end of the used ring's array, while the receive ring is full and
 * each frame is good and in one buffer. A buffer is offered again at the index at which it was
 * used, as the two are a whole ring apart. How many; it stops at the first that is otherwise. A
 * function of its own for the sake of its registers. */
static __attribute__((noinline)) size_t receive_run(struct ring *ring, struct packet **top,
                                                    struct packet **out, size_t run)
{
    const uint32_t mask = ring->mask;
    const uint32_t at = ring->used_next & mask;
    const struct virtio_used_element *used = &ring->shared.used->ring[at];
    uint16_t *available = &ring->shared.available->ring[at];
    struct virtio_descriptor *descriptors = ring->shared.descriptors;
    size_t done = 0;

    for (; done != run; done++) {
        uint32_t id = used[done].id;
        uint32_t length = used[done].length_bytes - VIRTIO_NET_HEADER_BYTES;
        if (UNLIKELY(id > mask))
            break;
        struct packet *packet = ring->slots[id];
        if (UNLIKELY(buffer_count_of(packet) != 1))
            break;
        if (UNLIKELY(length - ETHERNET_HEADER_BYTES > PACKET_ROOM_BYTES - ETHERNET_HEADER_BYTES))
            break;
        set_frame(packet, length);
        out[done] = packet;
        struct packet *fresh = pool_pop(&top);
        descriptors[id].address = buffer_of(fresh);
        ring->slots[id] = fresh;
        available[done] = (uint16_t)id;
    }
    return done;
}

static void receive_quickly(struct nic_queue *queue, uint32_t ready, struct batch *batch)
{
    struct ring *ring = &queue->receive;
    struct packet_pool *pool = queue->pool;
    uint32_t run = MIN_OF(ready, BATCH_MAX - batch->count);
    run = pool_prepare(pool, MIN_OF(run, ring->mask + 1 - (ring->used_next & ring->mask)));
    size_t done = receive_run(ring, pool->top, &batch->packets[batch->count], run);
    pool->top -= done;
    ring->offered += (uint32_t)done;
    ring->used_next += (uint32_t)done;
    batch->count += (unsigned)done;
}

void virtio_split_receive(struct nic_queue *queue, struct batch *batch)
{
    struct ring *ring = &queue->receive;
    if (UNLIKELY(queue->broken))
        return;
    if (UNLIKELY(ring->posted < ring->shared.entries))
        fill(queue);

    uint32_t ready = virtio_split_ready(&ring->shared, (uint16_t)ring->used_next);
    if (ready == 0)
        return;
    if (UNLIKELY(ready > ring->posted)) {
        virtio_net_take_down(queue, "used more buffers than it was given", ready);
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

/* Frees the first `ready` frames that the device has sent, while they have one segment and are this
 * core's, up to the end of the used ring's array. Stops at the first that is otherwise. */
static __attribute__((noinline)) void reclaim_quickly(struct ring *ring, struct packet_pool *pool,
                                                      uint32_t ready)
{
    const uint32_t mask = ring->mask;
    const uint32_t at = ring->used_next & mask;
    const struct virtio_used_element *used = &ring->shared.used->ring[at];
    struct packet **slots = ring->slots;
    struct packet **top = pool->top;
    size_t run = MIN_OF(ready, mask + 1 - at);
    size_t done = 0;

    for (; done != run; done++) {
        uint32_t id = used[done].id;
        if (UNLIKELY(id > mask))
            break;
        struct packet *packet = slots[id];
        if (UNLIKELY(packet == NULL) || !pool_push(pool, &top, packet))
            break;
        slots[id] = NULL;
    }
    pool->top = top;
    ring->used_next += (uint32_t)done;
}

/* Frees any frame that the device has sent. */
static void reclaim_frame(struct nic_queue *queue)
{
    struct ring *ring = &queue->transmit;
    uint32_t id = ring->shared.used->ring[ring->used_next & ring->mask].id;
    if (id > ring->mask || ring->slots[id] == NULL)
        virtio_net_take_down(queue, "sent a frame it was not given", id);
    else if (!reclaim_chain(queue, id))
        virtio_net_take_down(queue, "sent the middle of a frame", id);
    ring->used_next++;
}

static void reclaim(struct nic_queue *queue)
{
    struct ring *ring = &queue->transmit;
    uint32_t ready = virtio_split_ready(&ring->shared, (uint16_t)ring->used_next);
    if (UNLIKELY(ready > ring->shared.entries)) {
        virtio_net_take_down(queue, "sent more frames than it was given", ready);
        return;
    }
    const uint32_t used_end = ring->used_next + ready;
    while (ready > 0 && !queue->broken) {
        reclaim_quickly(ring, queue->pool, ready);
        uint32_t left = used_end - ring->used_next;
        if (UNLIKELY(left == ready)) {
            reclaim_frame(queue);
            left--;
        }
        ready = left;
    }
}

void virtio_split_flush(struct nic_queue *queue)
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

/* Any frame: of several segments; without headroom; with a checksum for the device to complete; or
 * one that does not find the descriptor at its place free. False where there is no room now. */
static bool transmit_frame(struct nic_queue *queue, struct packet *packet)
{
    struct ring *ring = &queue->transmit;
    unsigned needed = virtio_net_count_descriptors(queue, packet);
    if (needed == 0)
        return true;
    if (!has_room(ring, needed)) {
        virtio_split_flush(queue);
        if (!has_room(ring, needed))
            return false;
    }
    packet = virtio_net_add_header(queue, packet);
    if (packet == NULL)
        return false;

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
            ring->shared.available->ring[ring->offered++ & ring->mask] = (uint16_t)id;
        }
        previous = descriptor;
    }
    return true;
}

/* The first of them that are plain and find the descriptors at their places free, up to the end of
 * the table; a frame's descriptor has the number of its entry in the ring. How many. */
static __attribute__((noinline)) size_t transmit_quickly(struct ring *ring, struct packet **packets,
                                                         size_t count)
{
    const uint32_t at = ring->offered & ring->mask;
    struct packet **slots = &ring->slots[at];
    struct virtio_descriptor *descriptors = &ring->shared.descriptors[at];
    uint16_t *available = &ring->shared.available->ring[at];
    size_t run = MIN_OF(count, (size_t)(ring->mask + 1 - at));
    size_t done = 0;

    for (; done != run; done++) {
        struct packet *packet = packets[done];
        uint64_t offset = header_offset_of(packet);
        if (UNLIKELY(slots[done] != NULL || !is_plain(packet, offset)))
            break;
        memset((uint8_t *)packet + offset, 0, VIRTIO_NET_HEADER_BYTES);
        slots[done] = packet;
        descriptors[done].address = packet->buffer_dma + offset;
        descriptors[done].length_alone = packet->length_bytes + VIRTIO_NET_HEADER_BYTES;
        available[done] = (uint16_t)(at + done);
    }
    ring->offered += (uint32_t)done;
    return done;
}

unsigned virtio_split_transmit(struct nic_queue *queue, struct packet **packets, unsigned count)
{
    struct ring *ring = &queue->transmit;
    if (UNLIKELY(queue->broken))
        return 0;
    size_t done = 0;
    while (done < count) {
        size_t sent = transmit_quickly(ring, packets + done, count - done);
        done += sent;
        if (LIKELY(sent > 0))
            continue;
        if (!transmit_frame(queue, packets[done]))
            break;
        done++;
    }
    return (unsigned)done;
}

bool virtio_split_has_sent(const struct ring *ring)
{
    return virtio_split_ready(&ring->shared, (uint16_t)ring->used_next) != 0;
}

/* ---- Interrupts ----------------------------------------------------------------------------- */

bool virtio_split_arm(struct nic_queue *queue)
{
    struct ring *ring = &queue->receive;
    if (queue->broken)
        return false;
    reclaim(queue);
    virtio_net_unmask_pin(queue);
    atomic_store_explicit(&ring->shared.available->flags, 0, memory_order_relaxed);
    io_fence();
    return virtio_split_ready(&ring->shared, (uint16_t)ring->used_next) != 0;
}

void virtio_split_disarm(struct nic_queue *queue)
{
    atomic_store_explicit(&queue->receive.shared.available->flags, VIRTIO_AVAILABLE_NO_INTERRUPT,
                          memory_order_relaxed);
}
