/* Frames and packets for tests of network card drivers. */
#pragma once

#include <string.h>

#include "kernel/base/packet.h"
#include "tests/host/frame_sum.h"
#include "tests/unit/test.h"

enum { TEST_FRAME_MAX = 16384, TEST_POOL_PACKETS = PACKET_CHUNK_BYTES / PACKET_BUFFER_BYTES };

/* Bytes that differ by length and seed; valid until the next call. */
static inline const uint8_t *frame_of(uint32_t length_bytes, unsigned seed)
{
    static uint8_t pattern[TEST_FRAME_MAX];
    EXPECT(length_bytes <= TEST_FRAME_MAX);
    for (uint32_t i = 0; i < length_bytes; i++)
        pattern[i] = (uint8_t)(i * 7 + seed);
    return pattern;
}

static inline uint32_t frame_sum_of(uint32_t length_bytes, unsigned seed)
{
    return frame_sum(0, frame_of(length_bytes, seed), length_bytes);
}

/* The packet is a well-formed chain with just that frame. */
static inline void expect_frame(const struct packet *packet, uint32_t length_bytes, unsigned seed)
{
    uint32_t sum = 0;
    uint32_t chain_bytes = 0;
    unsigned segments = 0;
    EXPECT_EQUAL(packet->frame_length_bytes, length_bytes);
    EXPECT_EQUAL(packet->length_bytes, MIN_OF(length_bytes, PACKET_ROOM_BYTES));
    EXPECT_EQUAL(packet->flags & PACKET_CHECKSUM_GOOD, 0);
    for (const struct packet *segment = packet; segment; segment = segment->next_segment) {
        sum = frame_sum(sum, segment->data, segment->length_bytes);
        chain_bytes += segment->length_bytes;
        segments++;
    }
    EXPECT_EQUAL(chain_bytes, length_bytes);
    EXPECT_EQUAL(sum, frame_sum_of(length_bytes, seed));
    EXPECT(segments <= PACKET_SEGMENT_MAX);
}

/* A packet with that frame in it, in as many segments as it takes. */
static inline struct packet *packet_of(struct packet_pool *pool, uint32_t length_bytes,
                                       unsigned seed)
{
    const uint8_t *from = frame_of(length_bytes, seed);
    struct packet *first = NULL;
    struct packet **link = &first;
    for (uint32_t done = 0; done < length_bytes;) {
        struct packet *packet = packet_alloc(pool);
        EXPECT(packet != NULL);
        uint32_t here = MIN_OF(length_bytes - done, PACKET_ROOM_BYTES);
        memcpy(packet->data, from + done, here);
        packet->length_bytes = here;
        done += here;
        *link = packet;
        link = &packet->next_segment;
    }
    first->frame_length_bytes = length_bytes;
    return first;
}

static inline uint64_t packets_out(struct packet_pools *pools, unsigned pool_count)
{
    uint64_t out = 0;
    for (unsigned i = 0; i < pool_count; i++) {
        struct packet_pool_stats stats;
        packet_pool_stats(packet_pool(pools, i), &stats);
        out += stats.total - stats.free;
    }
    return out;
}

/* Empties a pool into `taken`; answers how many. */
static inline unsigned take_all(struct packet_pool *pool,
                                struct packet *taken[TEST_POOL_PACKETS + 1])
{
    unsigned count = 0;
    while ((taken[count] = packet_alloc(pool)) != NULL)
        count++;
    return count;
}
