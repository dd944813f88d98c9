/* covers: net/filter_keys.c */
/* covers: net/wire/tcp.c */
/* Any IP packet whose header was found good: what is read of it lies in it, and is what it says.
 *
 * The input: the family (its lowest bit: IPv6), how much of the packet is in the first buffer (a
 * byte, in units of 8; what is not there is in others), the packet. */
#include "net/filter_keys.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/packet.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "net/wire/tcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_good(bool ipv6, const uint8_t *bytes, size_t here_bytes, size_t size)
{
    return ipv6 ? ipv6_check(bytes, here_bytes, size) == IPV6_GOOD
                : ipv4_check(bytes, here_bytes, size) == IPV4_GOOD;
}

/* Each word is in its bounds, or absent where it may be. */
static void check_words(const struct filter_keys *keys)
{
    static const struct {
        enum filter_word word;
        uint32_t maximum;
        bool may_be_absent;
    } bounds[] = {
        { FILTER_PROTOCOL, 255, false },     { FILTER_FRAGMENT, FILTER_LATER_PIECE, false },
        { FILTER_SOURCE_PORT, 65535, true }, { FILTER_DESTINATION_PORT, 65535, true },
        { FILTER_TYPE, 255, true },          { FILTER_FLAGS, 255, true },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(bounds); i++) {
        uint32_t value = keys->words[bounds[i].word][5];
        CHECK(value <= bounds[i].maximum || (bounds[i].may_be_absent && value == FILTER_ABSENT));
    }
    if (keys->words[FILTER_FRAGMENT][5] == FILTER_LATER_PIECE)
        CHECK(keys->words[FILTER_SOURCE_PORT][5] == FILTER_ABSENT);
    CHECK(keys->words[FILTER_FLAGS][5] == FILTER_ABSENT ||
          keys->words[FILTER_PROTOCOL][5] == PROTOCOL_TCP);
}

/* All of the packet is there and is as long as it says, without what classify.c calls unusual. */
static bool is_plain(bool ipv6, const uint8_t *bytes, size_t here_bytes, size_t size)
{
    const struct ipv4_header *ipv4 = (const void *)bytes;
    const struct ipv6_header *header = (const void *)bytes;

    if (here_bytes != size)
        return false;
    return ipv6 ? ipv6_packet_bytes(header) == size && header->next_header != PROTOCOL_HOP_BY_HOP
                : ipv4_total_bytes(ipv4) == size && ipv4_header_bytes(ipv4) == IPV4_HEADER_BYTES;
}

/* In a batch it is read as it is alone; behind it in the buffer there are other bytes. */
static void check_batch(bool ipv6, const uint8_t *bytes, size_t size, uint64_t unusual)
{
    static uint8_t buffer[PACKET_ROOM_BYTES];
    static struct filter_keys alone, together;
    struct packet packet = { .data = buffer,
                             .length_bytes = (uint32_t)(ETHERNET_HEADER_BYTES + size),
                             .frame_length_bytes = (uint32_t)(ETHERNET_HEADER_BYTES + size),
                             .network_offset = ETHERNET_HEADER_BYTES,
                             .network_protocol = ipv6 ? PACKET_IPV6 : PACKET_IPV4 };
    const struct batch batch = { .count = 2, .packets = { &packet, &packet } };
    const unsigned words = FILTER_PORT_IN, step = ipv6 ? 1 : FILTER_ADDRESS_WORDS;

    memset(buffer, 0xee, sizeof(buffer));
    memcpy(buffer + ETHERNET_HEADER_BYTES, bytes, size);
    bool can_be_judged = filter_keys_of(&packet, &alone, 1);
    uint64_t opaque = filter_keys_of_batch(&batch, unusual, (1u << words) - 1, &together);
    CHECK((opaque >> 1 & 1) == !can_be_judged);
    for (unsigned word = 0; can_be_judged && word < words;
         word += word < FILTER_PROTOCOL ? step : 1)
        CHECK(together.words[word][1] == alone.words[word][1]);
}

static void check_reset(const uint8_t *bytes, size_t size)
{
    struct tcp_header segment, reset;

    if (size < sizeof(segment))
        return;
    memcpy(&segment, bytes + size - sizeof(segment), sizeof(segment));
    if (!tcp_reset_for(&segment, (uint32_t)size, &reset))
        return;
    CHECK(reset.flags & TCP_RST && !(segment.flags & TCP_RST));
    CHECK(!tcp_reset_for(&reset, sizeof(reset), &segment)); /* two who refuse do not go on */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct filter_keys keys;
    bool ipv6 = size > 0 && data[0] & 1;

    if (size < 2 + IPV4_HEADER_BYTES)
        return 0;
    size_t packet_bytes = size - 2, here_bytes = MIN_OF(data[1] * (size_t)8, packet_bytes);
    uint8_t *bytes = malloc(here_bytes); /* of that size, so that nothing behind it can be read */
    CHECK(bytes || here_bytes == 0);
    if (here_bytes > 0)
        memcpy(bytes, data + 2, here_bytes);
    if (is_good(ipv6, bytes, here_bytes, packet_bytes)) {
        const struct packet packet = { .data = bytes,
                                       .length_bytes = (uint32_t)here_bytes,
                                       .frame_length_bytes = (uint32_t)packet_bytes,
                                       .network_protocol = ipv6 ? PACKET_IPV6 : PACKET_IPV4 };
        memset(&keys, 0xee, sizeof(keys));
        if (filter_keys_of(&packet, &keys, 5))
            check_words(&keys);
        if (here_bytes == packet_bytes && packet_bytes <= PACKET_ROOM_BYTES - ETHERNET_HEADER_BYTES)
            check_batch(ipv6, bytes, packet_bytes,
                        is_plain(ipv6, bytes, here_bytes, packet_bytes) ? 0 : 2);
        check_reset(bytes, here_bytes);
    }
    free(bytes);
    return 0;
}
