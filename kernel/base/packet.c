/* Packet pools.
 *
 *   pool of core 0                               pool of core 1
 *   free [p][p][p][ ][ ]                         free [q][q][ ][ ][ ]
 *                 ^ top                                    ^ top
 *   returned <------- a list, by one CAS ------- outgoing[0]: [p] -> [p]
 *   outgoing[1]: (empty)                         outgoing[1]: unused
 *
 * Whoever sends to `returned` only pushes and the owner only takes all, so the list needs neither a
 * lock nor a generation count. It cannot overflow: there are only so many packets.
 *
 * The array has a place for each packet of the pool, so that it cannot overflow either.
 *
 * A chunk is touched when its packets are first needed: the array begins empty and is filled from
 * the chunks, a few packets at a time, until all have been in it. So neither the boot nor a
 * core that forwards nothing pays for memory that nobody uses.
 *
 * With all checks on, a packet in a pool has data NULL. That is how a second packet_free() is
 * noticed. */
#include "kernel/base/packet.h"

#include <string.h>

#include "kernel/platform.h"

enum {
    OUTGOING_BATCH = 32, /* packets for one home before they are sent without waiting for a step */
    CHUNK_PACKETS = PACKET_CHUNK_BYTES / PACKET_BUFFER_BYTES,
    REFILL_PACKETS = BATCH_MAX,
};

struct packet_pools {
    unsigned pool_count;
    unsigned chunk_count;
    void **chunks;
    struct packet_pool pools[];
};

static void free_memory(struct packet_pools *pools)
{
    while (pools->chunk_count > 0)
        dma_free(pools->chunks[--pools->chunk_count]);
    for (unsigned i = 0; i < pools->pool_count; i++)
        memory_free(pools->pools[i].free);
    memory_free(pools->chunks);
    memory_free(pools);
}

struct packet_pools *packet_pools_create(unsigned pool_count, unsigned packet_count)
{
    CHECK(pool_count > 0 && pool_count <= CORE_MAX);
    CHECK(packet_count > 0);
    unsigned chunks_per_pool = (packet_count - 1) / CHUNK_PACKETS + 1;

    struct packet_pools *pools = memory_alloc(sizeof(*pools) + pool_count * sizeof(pools->pools[0]),
                                              CACHE_LINE_BYTES, MEMORY_PACKET);
    if (pools == NULL)
        goto no_pools;
    pools->chunks =
        memory_alloc((size_t)pool_count * chunks_per_pool * sizeof(void *), 0, MEMORY_PACKET);
    if (pools->chunks == NULL)
        goto no_chunks;
    pools->pool_count = pool_count;

    for (unsigned i = 0; i < pool_count; i++) {
        struct packet_pool *pool = &pools->pools[i];
        pool->index = (uint16_t)i;
        pool->all = pools;
        pool->chunks = pools->chunks + pools->chunk_count;
        pool->total = (uint64_t)chunks_per_pool * CHUNK_PACKETS;
        pool->free = memory_alloc((size_t)pool->total * sizeof(*pool->free), CACHE_LINE_BYTES,
                                  MEMORY_PACKET);
        if (pool->free == NULL)
            goto no_chunk;
        pool->top = pool->free;
        for (unsigned c = 0; c < chunks_per_pool; c++) {
            void *chunk =
                dma_alloc_uncleared(PACKET_CHUNK_BYTES, PACKET_CHUNK_BYTES, MEMORY_PACKET);
            if (chunk == NULL)
                goto no_chunk;
            pools->chunks[pools->chunk_count++] = chunk;
        }
    }
    return pools;

no_chunk:
    free_memory(pools);
    goto no_pools;
no_chunks:
    memory_free(pools);
no_pools:
    (void)fail(ERROR_NO_MEMORY);
    return NULL;
}

void packet_pools_destroy(struct packet_pools *pools)
{
    if (pools == NULL)
        return;
    for (unsigned i = 0; i < pools->pool_count; i++) {
        struct packet_pool_stats stats;
        packet_pool_stats(&pools->pools[i], &stats);
        CHECK(stats.free == stats.total); /* a packet is still out */
    }
    free_memory(pools);
}

struct packet_pool *packet_pool(struct packet_pools *pools, unsigned index)
{
    CHECK(index < pools->pool_count);
    return &pools->pools[index];
}

/* Hangs the list of packets for `home` on its pool. */
static void send_outgoing(struct packet_pool *local, unsigned home)
{
    struct packet_outgoing *outgoing = &local->outgoing[home];
    if (outgoing->count == 0)
        return;
    struct packet_pool *target = &local->all->pools[home];
    struct packet *seen = atomic_load_explicit(&target->returned, memory_order_relaxed);
    do
        outgoing->last->next = seen;
    while (!atomic_compare_exchange_weak_explicit(&target->returned, &seen, outgoing->first,
                                                  memory_order_release, memory_order_relaxed));
    *outgoing = (struct packet_outgoing){ .first = NULL };
}

static void take_returned(struct packet_pool *local)
{
    if (atomic_load_explicit(&local->returned, memory_order_relaxed) == NULL)
        return;
    struct packet *packet = atomic_exchange_explicit(&local->returned, NULL, memory_order_acquire);
    while (packet != NULL) {
        *local->top++ = packet;
        counter_add(&local->collected, 1);
        packet = packet->next;
    }
}

void packet_pool_collect(struct packet_pool *local)
{
    for (unsigned home = 0; home < local->all->pool_count; home++)
        send_outgoing(local, home);
    take_returned(local);
}

static void begin_packets(struct packet_pool *local)
{
    uint64_t end = MIN_OF(local->begun + REFILL_PACKETS, local->total);
    /* From the end, so that packets are given out in the order of their addresses. */
    for (uint64_t i = end; i-- > local->begun;) {
        uint8_t *chunk = local->chunks[i / CHUNK_PACKETS];
        struct packet *packet = (void *)(chunk + i % CHUNK_PACKETS * PACKET_BUFFER_BYTES);
        *packet = (struct packet){ .home = local->index, .buffer_dma = dma_address(packet) };
        *local->top++ = packet;
    }
    counter_set(&local->begun, end);
}

bool packet_refill(struct packet_pool *local)
{
    packet_pool_collect(local);
    if (local->top - local->free < BATCH_MAX)
        begin_packets(local);
    if (local->top > local->free)
        return true;
    counter_add(&local->failed, 1);
    return false;
}

static void free_segment(struct packet_pool *local, struct packet *packet)
{
    packet->next_segment = NULL;
    if (pool_push(local, &local->top, packet))
        return;
    DCHECK(packet->data != NULL && "packet freed twice");
    if (DEBUG_CHECKS)
        packet->data = NULL;
    counter_add(&local->freed[packet->home], 1);
    struct packet_outgoing *outgoing = &local->outgoing[packet->home];
    packet->next = outgoing->first;
    outgoing->first = packet;
    if (outgoing->last == NULL)
        outgoing->last = packet;
    if (++outgoing->count == OUTGOING_BATCH)
        send_outgoing(local, packet->home);
}

void packet_free_slowly(struct packet_pool *local, struct packet *packet)
{
    while (packet != NULL) {
        struct packet *next_segment = packet->next_segment;
        free_segment(local, packet);
        packet = next_segment;
    }
}

/* The owner keeps `top` in a register where it can and stores it plainly, so for others this is no
 * counter: what they read was true a moment ago, like one, but ThreadSanitizer must not look. */
__attribute__((no_sanitize("thread"))) static uint64_t in_pool(const struct packet_pool *pool)
{
    return (uint64_t)(*(struct packet * *const volatile *)&pool->top - pool->free);
}

void packet_pool_stats(const struct packet_pool *pool, struct packet_pool_stats *stats)
{
    uint64_t coming = 0; /* on the way home */
    for (unsigned i = 0; i < pool->all->pool_count; i++)
        coming += counter_read(&pool->all->pools[i].freed[pool->index]);
    coming -= counter_read(&pool->collected);
    *stats = (struct packet_pool_stats){
        .total = pool->total,
        .free = pool->total - counter_read(&pool->begun) + in_pool(pool) + coming,
        .failed = counter_read(&pool->failed),
    };
}

uint8_t *packet_push(struct packet *packet, uint32_t length_bytes)
{
    if (packet_headroom(packet) < length_bytes)
        return NULL;
    packet->data -= length_bytes;
    packet->length_bytes += length_bytes;
    packet->frame_length_bytes += length_bytes;
    return packet->data;
}

bool packet_pull(struct packet *packet, uint32_t length_bytes)
{
    if (packet->length_bytes < length_bytes)
        return false;
    packet->data += length_bytes;
    packet->length_bytes -= length_bytes;
    packet->frame_length_bytes -= length_bytes;
    return true;
}

uint8_t *packet_append(struct packet *packet, uint32_t length_bytes)
{
    DCHECK(packet->next_segment == NULL);
    uint8_t *end = packet->data + packet->length_bytes;
    if (length_bytes > packet_tailroom(packet))
        return NULL;
    packet->length_bytes += length_bytes;
    packet->frame_length_bytes += length_bytes;
    return end;
}

bool packet_copy_out(const struct packet *packet, uint32_t offset, void *out, uint32_t length_bytes)
{
    uint8_t *to = out;
    for (; packet != NULL && length_bytes > 0; packet = packet->next_segment) {
        if (offset >= packet->length_bytes) {
            offset -= packet->length_bytes;
            continue;
        }
        uint32_t here = MIN_OF(packet->length_bytes - offset, length_bytes);
        memcpy(to, packet->data + offset, here);
        to += here;
        length_bytes -= here;
        offset = 0;
    }
    return length_bytes == 0;
}
