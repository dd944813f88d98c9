/* The words of a batch against those of each of its packets. */
#include "net/filter_keys.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/packet.h"
#include "kernel/base/random.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "tests/unit/test.h"

enum { ROUNDS = 2000, BUFFER_BYTES = 256, PAYLOAD_MAX = 64 };

/* Rules of IPv4 ask for the first words of addresses alone. */
static const uint32_t ONLY_IPV6 = 7u << (FILTER_SOURCE + 1) | 7u << (FILTER_DESTINATION + 1);

static uint64_t state = 5;

static unsigned below(unsigned count)
{
    return (unsigned)random_below(&state, count);
}

struct frames {
    struct batch batch;
    uint64_t unusual;
    struct packet packets[BATCH_MAX];
    uint8_t bytes[BATCH_MAX][BUFFER_BYTES];
};

static const uint8_t protocols[] = {
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    PROTOCOL_ICMP,
    PROTOCOL_ICMP6,
    PROTOCOL_FRAGMENT,
    PROTOCOL_DESTINATION_OPTIONS,
    PROTOCOL_ROUTING,
    PROTOCOL_ENCRYPTED,
    89,
    255,
};

/* A frame whose buffer was somebody else's before: behind its end there are bytes, too. */
static void draw(struct frames *frames, unsigned i, bool ipv6)
{
    const uint32_t payload_bytes = below(4) == 0 ? below(8) : below(PAYLOAD_MAX);
    const uint8_t protocol = protocols[below(below(2) ? 3 : ARRAY_COUNT(protocols))];
    const bool has_options = !ipv6 && below(8) == 0;
    const uint32_t header_bytes = ipv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES + 4u * has_options;
    uint8_t *frame = frames->bytes[i];

    for (unsigned k = 0; k < BUFFER_BYTES; k++)
        frame[k] = (uint8_t)below(256);
    if (ipv6) {
        struct ipv6_header *header = (void *)(frame + ETHERNET_HEADER_BYTES);
        header->payload_length_be = __builtin_bswap16((uint16_t)payload_bytes);
        header->next_header = protocol;
    } else {
        struct ipv4_header *header = (void *)(frame + ETHERNET_HEADER_BYTES);
        header->version_and_length = (uint8_t)(0x40 | header_bytes / 4);
        header->total_length_be = __builtin_bswap16((uint16_t)(header_bytes + payload_bytes));
        header->protocol = protocol;
        header->fragment_be = __builtin_bswap16(
            below(8) == 0 ? (uint16_t)(below(2) << 13 | below(3)) : IPV4_DONT_FRAGMENT);
    }
    const uint32_t length_bytes = ETHERNET_HEADER_BYTES + header_bytes + payload_bytes;
    frames->packets[i] = (struct packet){ .data = frame,
                                          .length_bytes = length_bytes,
                                          .frame_length_bytes = length_bytes,
                                          .network_offset = ETHERNET_HEADER_BYTES,
                                          .network_protocol = ipv6 ? PACKET_IPV6 : PACKET_IPV4 };
    frames->batch.packets[i] = &frames->packets[i];
    if (has_options || below(8) == 0)
        frames->unusual |= bit_of(i);
}

static void compare(const struct frames *frames, unsigned asked)
{
    struct filter_keys keys, expected;
    uint64_t opaque;

    memset(&keys, 0xee, sizeof(keys));
    opaque = filter_keys_of_batch(&frames->batch, frames->unusual, asked, &keys);
    for (unsigned i = 0; i < frames->batch.count; i++) {
        bool can_be_judged = filter_keys_of(&frames->packets[i], &expected, i);
        EXPECT_EQUAL(opaque >> i & 1, !can_be_judged);
        for (unsigned word = 0; can_be_judged && word < FILTER_PORT_IN; word++)
            if (asked >> word & 1)
                EXPECT_EQUAL(keys.words[word][i], expected.words[word][i]);
    }
}

TEST(filter_keys_of_a_batch_are_those_of_each_packet)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct frames frames = { .batch.count = 1 + below(BATCH_MAX) };
        bool ipv6 = below(2);

        for (unsigned i = 0; i < frames.batch.count; i++)
            draw(&frames, i, ipv6);
        compare(&frames, below(1u << FILTER_WORD_COUNT) & (ipv6 ? UINT32_MAX : ~ONLY_IPV6));
    }
}
