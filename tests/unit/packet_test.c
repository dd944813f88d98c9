/* Packets and their pools. */
#include "kernel/base/packet.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "kernel/platform.h"
#include "tests/unit/test.h"

enum { CHUNK_PACKETS = PACKET_CHUNK_BYTES / PACKET_BUFFER_BYTES };

static struct packet_pools *pools;

static void create(unsigned pool_count)
{
    pools = packet_pools_create(pool_count, 1);
    EXPECT(pools != NULL);
}

static struct packet *take(unsigned core)
{
    struct packet *packet = packet_alloc(packet_pool(pools, core));
    EXPECT(packet != NULL);
    return packet;
}

static uint64_t free_count(unsigned core)
{
    struct packet_pool_stats stats;
    packet_pool_stats(packet_pool(pools, core), &stats);
    return stats.free;
}

TEST(packets_are_empty_aligned_and_known_to_devices)
{
    create(2);
    struct packet *packet = take(1);
    EXPECT_EQUAL((uintptr_t)packet % PACKET_BUFFER_BYTES, 0);
    EXPECT_EQUAL(packet->length_bytes, 0);
    EXPECT_EQUAL(packet->frame_length_bytes, 0);
    EXPECT_EQUAL(packet->port_in, PORT_NONE);
    EXPECT_EQUAL(packet->flags, 0);
    EXPECT_EQUAL(packet->home, 1);
    EXPECT(packet->next_segment == NULL && packet->next == NULL);
    EXPECT_EQUAL(packet_headroom(packet), PACKET_HEADROOM_BYTES);
    EXPECT_EQUAL(packet_dma(packet, packet->data), dma_address(packet->data));
    packet_free(packet_pool(pools, 1), packet);
    packet_pools_destroy(pools);
}

TEST(pool_gives_all_its_packets_then_none)
{
    static struct packet *packets[CHUNK_PACKETS];
    struct packet_pool_stats stats;
    create(1);
    struct packet_pool *pool = packet_pool(pools, 0);
    for (unsigned i = 0; i < CHUNK_PACKETS; i++) {
        packets[i] = take(0);
        memset(packets[i]->data, (int)i, PACKET_ROOM_BYTES); /* no two share a byte */
    }
    EXPECT(packet_alloc(pool) == NULL);
    EXPECT(packet_alloc(pool) == NULL);
    packet_pool_stats(pool, &stats);
    EXPECT_EQUAL(stats.total, CHUNK_PACKETS);
    EXPECT_EQUAL(stats.free, 0);
    EXPECT_EQUAL(stats.failed, 2);
    for (unsigned i = 0; i < CHUNK_PACKETS; i++) {
        EXPECT_EQUAL(packets[i]->data[PACKET_ROOM_BYTES - 1], (uint8_t)i);
        packet_free(pool, packets[i]);
    }
    /* Last in, first out: the packet that is still in the cache. */
    EXPECT(take(0) == packets[CHUNK_PACKETS - 1]);
    packet_free(pool, packets[CHUNK_PACKETS - 1]);
    packet_pools_destroy(pools);
}

TEST(pool_rounds_up_to_whole_chunks)
{
    struct packet_pool_stats stats;
    pools = packet_pools_create(1, CHUNK_PACKETS + 1);
    EXPECT(pools != NULL);
    packet_pool_stats(packet_pool(pools, 0), &stats);
    EXPECT_EQUAL(stats.total, 2 * CHUNK_PACKETS);
    packet_pools_destroy(pools);
}

TEST(packet_freed_elsewhere_goes_home)
{
    create(2);
    struct packet_pool *away = packet_pool(pools, 1);
    for (unsigned round = 0; round < 3 * CHUNK_PACKETS; round++) {
        packet_free(away, take(0));
        EXPECT_EQUAL(free_count(0), CHUNK_PACKETS);
        if (round % 100 == 0)
            packet_pool_collect(away);
    }
    packet_pool_collect(away);
    EXPECT_EQUAL(free_count(1), CHUNK_PACKETS);
    static struct packet *packets[CHUNK_PACKETS];
    for (unsigned i = 0; i < CHUNK_PACKETS; i++)
        packets[i] = take(0);
    for (unsigned i = 0; i < CHUNK_PACKETS; i++)
        packet_free(away, packets[i]);
    packet_pools_destroy(pools);
}

TEST(packet_chain_is_freed_as_a_whole)
{
    create(2);
    struct packet *first = take(0), *second = take(1), *third = take(0);
    first->next_segment = second;
    second->next_segment = third;
    packet_free(packet_pool(pools, 1), first);
    EXPECT_EQUAL(free_count(0), CHUNK_PACKETS);
    EXPECT_EQUAL(free_count(1), CHUNK_PACKETS);
    packet_pools_destroy(pools);
}

TEST(packet_freed_twice_panics)
{
    create(2);
    struct packet *packet = take(0);
    packet_free(packet_pool(pools, 0), packet);
    EXPECT_PANIC(packet_free(packet_pool(pools, 0), packet), "packet freed twice");
    EXPECT_PANIC(packet_free(packet_pool(pools, 1), packet), "packet freed twice");
    packet_pools_destroy(pools);
}

TEST(pools_are_not_destroyed_while_a_packet_is_out)
{
    create(1);
    struct packet *packet = take(0);
    EXPECT_PANIC(packet_pools_destroy(pools), "stats.free == stats.total");
    packet_free(packet_pool(pools, 0), packet);
    packet_pools_destroy(pools);
}

TEST(pools_undo_everything_when_any_allocation_fails)
{
    for (uint64_t n = 0;; n++) {
        host_fail_allocation(n);
        pools = packet_pools_create(2, CHUNK_PACKETS + 1);
        if (pools != NULL) {
            EXPECT_EQUAL(n, host_allocation_count());
            break;
        }
        struct memory_stats stats;
        memory_stats(&stats);
        EXPECT_EQUAL(stats.live, 0);
    }
    packet_pools_destroy(pools);
}

TEST(headers_are_pushed_and_pulled_within_the_buffer)
{
    create(1);
    struct packet *packet = take(0);
    uint8_t *start = packet->data;
    EXPECT(packet_append(packet, 100) == start);
    EXPECT(packet_append(packet, PACKET_ROOM_BYTES - 100) == start + 100);
    EXPECT(packet_append(packet, 0) != NULL);
    EXPECT(packet_append(packet, 1) == NULL);
    EXPECT(packet_append(packet, UINT32_MAX) == NULL);
    EXPECT_EQUAL(packet->length_bytes, PACKET_ROOM_BYTES);

    EXPECT(packet_push(packet, PACKET_HEADROOM_BYTES) == start - PACKET_HEADROOM_BYTES);
    EXPECT(packet_push(packet, 1) == NULL);
    EXPECT(packet_push(packet, UINT32_MAX) == NULL);
    EXPECT_EQUAL(packet->frame_length_bytes, PACKET_ROOM_BYTES + PACKET_HEADROOM_BYTES);

    EXPECT(!packet_pull(packet, packet->length_bytes + 1));
    EXPECT(packet_pull(packet, packet->length_bytes));
    EXPECT_EQUAL(packet->length_bytes, 0);
    EXPECT(!packet_pull(packet, 1));
    packet_free(packet_pool(pools, 0), packet);
    packet_pools_destroy(pools);
}

TEST(bytes_are_copied_out_across_segments)
{
    static const uint32_t lengths[] = { 5, 0, 1, 10 };
    create(1);
    struct packet *first = NULL, **link = &first;
    uint8_t next_byte = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(lengths); i++) {
        *link = take(0);
        uint8_t *bytes = packet_append(*link, lengths[i]);
        EXPECT(bytes != NULL);
        for (unsigned k = 0; k < lengths[i]; k++)
            bytes[k] = next_byte++;
        link = &(*link)->next_segment;
    }
    for (uint32_t offset = 0; offset <= 17; offset++) {
        for (uint32_t length = 0; length <= 17; length++) {
            uint8_t out[17];
            bool inside = offset + length <= 16;
            EXPECT_EQUAL(packet_copy_out(first, offset, out, length), inside || length == 0);
            for (uint32_t k = 0; inside && k < length; k++)
                EXPECT_EQUAL(out[k], offset + k);
        }
    }
    EXPECT(!packet_copy_out(first, UINT32_MAX, &next_byte, 1));
    packet_free(packet_pool(pools, 0), first);
    packet_pools_destroy(pools);
}

/* ---- With threads: packets of core 0 are freed by cores 1 and 2 --------------------------------
 */

enum { HANDED_OVER = 100000, FREERS = 2 };

static _Atomic(struct packet *) handed[FREERS];

static void *free_what_comes(void *arg)
{
    unsigned index = (unsigned)(uintptr_t)arg;
    struct packet_pool *local = packet_pool(pools, index + 1);
    for (unsigned done = 0; done < HANDED_OVER / FREERS;) {
        struct packet *packet = atomic_exchange(&handed[index], NULL);
        if (packet == NULL) {
            packet_pool_collect(local);
            sched_yield();
            continue;
        }
        packet_free(local, packet);
        done++;
    }
    packet_pool_collect(local);
    return NULL;
}

TEST(packets_come_home_from_other_threads)
{
    pthread_t threads[FREERS];
    create(FREERS + 1);
    for (uintptr_t i = 0; i < FREERS; i++)
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, free_what_comes, (void *)i), 0);
    for (unsigned i = 0; i < HANDED_OVER; i++) {
        struct packet *packet;
        while ((packet = packet_alloc(packet_pool(pools, 0))) == NULL)
            sched_yield();
        while (atomic_load(&handed[i % FREERS]) != NULL)
            sched_yield();
        atomic_store(&handed[i % FREERS], packet);
    }
    for (unsigned i = 0; i < FREERS; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQUAL(free_count(0), CHUNK_PACKETS);
    static struct packet *packets[CHUNK_PACKETS];
    for (unsigned i = 0; i < CHUNK_PACKETS; i++)
        packets[i] = take(0); /* none is on its way any more */
    for (unsigned i = 0; i < CHUNK_PACKETS; i++)
        packet_free(packet_pool(pools, 0), packets[i]);
    packet_pools_destroy(pools);
}
