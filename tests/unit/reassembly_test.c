/* Reassembly on the test stand, beside a naive twin: an array with a note of which bytes have come.
 * What holds of both families is tried with both. */
#include "net/reassembly.h"

#include <string.h>

#include "kernel/base/random.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "tests/unit/stand.h"
#include "tests/unit/test.h"

static struct {
    unsigned count;
    enum verdict last;
    unsigned first_fragments; /* those that owe a message when time is over */
} dropped;

/* Of what put() makes. A test runs in a process of its own. */
static enum family family = FAMILY_IPV4;

#define TEST_OF_BOTH_FAMILIES(name) \
    static void name##_of(void); \
    TEST(name) \
    { \
        name##_of(); \
    } \
    TEST(name##_of_ipv6) \
    { \
        family = FAMILY_IPV6; \
        name##_of(); \
    } \
    static void name##_of(void)

static unsigned timeout_ms(void)
{
    return family == FAMILY_IPV6 ? 60000
                                 : 30000; /* RFC 8200 4.5; RFC 1122 3.3.2 wants a fixed one */
}

static unsigned header_bytes(void)
{
    return family == FAMILY_IPV6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES;
}

static bool is_first_fragment(const struct packet *packet)
{
    const uint8_t *header = packet->data + packet->network_offset;
    struct ipv6_fragment fragment;

    if (packet->network_protocol == PACKET_IPV4)
        return ipv4_fragment_offset_bytes((const void *)header) == 0;
    ipv6_fragment_read(header + packet->header_length_bytes - IPV6_FRAGMENT_HEADER_BYTES,
                       &fragment);
    return fragment.offset_bytes == 0;
}

static void see_dropped(struct core *core, struct packet *packet, enum verdict why)
{
    dropped.count++;
    dropped.last = why;
    dropped.first_fragments += is_first_fragment(packet);
    core->ports[packet->port_in].dropped[why]++;
    packet_free(core->pool, packet);
}

static struct reassembly *start(struct stand *stand)
{
    struct reassembly *reassembly =
        reassembly_create(&stand->core, &(struct reassembly_uses){ .drop = see_dropped });

    EXPECT(reassembly);
    memset(&dropped, 0, sizeof(dropped));
    return reassembly;
}

static void expect_books(struct stand *stand)
{
    const struct port_counters *port = &stand->core.ports[STAND_ETH0];
    uint64_t sum = port->delivered + (uint64_t)port->held;

    for (unsigned i = 0; i < VERDICT_COUNT; i++)
        sum += port->dropped[i];
    EXPECT_EQUAL(port->received, sum);
}

static void finish(struct stand *stand, struct reassembly *reassembly)
{
    expect_books(stand);
    stand_advance(stand, timeout_ms() + 2);
    EXPECT_EQUAL(reassembly_held(reassembly), 0);
    EXPECT_EQUAL(stand->core.ports[STAND_ETH0].held, 0);
    expect_books(stand);
    reassembly_destroy(reassembly);
    stand_destroy(stand);
}

/* A fragment of IPv6, and what is before its piece of data. */
struct piece6 {
    uint8_t source, destination; /* the last bytes */
    bool is_of_link;             /* addresses of fe80::/10 */
    uint8_t extension_count; /* destination options of 8 bytes each, before the fragment header */
    uint8_t next_header;
    uint32_t id;
    unsigned start, length;
    bool more;
};

static struct packet *make_piece6(struct stand *stand, uint16_t port, const struct piece6 *piece)
{
    uint8_t frame[PACKET_ROOM_BYTES] = { 0 };
    struct ipv6_header *header = (void *)(frame + ETHERNET_HEADER_BYTES);
    uint8_t *at = (uint8_t *)(header + 1);
    const struct ipv6_fragment fragment = { .identification = piece->id,
                                            .offset_bytes = (uint16_t)piece->start,
                                            .next_header = piece->next_header,
                                            .more = piece->more };
    uint8_t *next_header = &header->next_header;

    *header = (struct ipv6_header){ .version_class_flow_be = ipv6_version_word_be(0, 0),
                                    .hop_limit = 64 };
    header->source[0] = header->destination[0] = piece->is_of_link ? 0xfe : 0x20;
    header->source[1] = header->destination[1] = 0x80;
    header->source[15] = piece->source;
    header->destination[15] = piece->destination;
    for (unsigned i = 0; i < piece->extension_count; i++, at += IPV6_EXTENSION_UNIT) {
        *next_header = PROTOCOL_DESTINATION_OPTIONS;
        next_header = at;
        at[2] = IPV6_OPTION_PADN;
        at[3] = 4;
    }
    *next_header = PROTOCOL_FRAGMENT;
    ipv6_fragment_write(&fragment, at);
    at += IPV6_FRAGMENT_HEADER_BYTES;
    for (unsigned i = 0; i < piece->length; i++)
        at[i] = (uint8_t)(piece->start + i);
    uint32_t before_bytes = (uint32_t)(at - (uint8_t *)header);
    header->payload_length_be =
        __builtin_bswap16((uint16_t)(before_bytes - IPV6_HEADER_BYTES + piece->length));

    struct packet *packet =
        stand_frame(stand, port, frame, ETHERNET_HEADER_BYTES + before_bytes + piece->length);
    packet->network_protocol = PACKET_IPV6;
    packet->network_offset = ETHERNET_HEADER_BYTES;
    packet->network_length_bytes = (uint16_t)(before_bytes + piece->length);
    packet->header_length_bytes = (uint16_t)before_bytes;
    return packet;
}

static struct packet *put6(struct stand *stand, struct reassembly *reassembly,
                           const struct piece6 *piece)
{
    return reassembly_input(reassembly, make_piece6(stand, STAND_ETH0, piece), stand->core.now_ns);
}

/* Bytes [start, start + length) of datagram `id`, whose byte i is i modulo 256. */
static struct packet *put(struct stand *stand, struct reassembly *reassembly, uint16_t id,
                          unsigned start, unsigned length, bool more)
{
    const struct piece6 piece = {
        .next_header = 17, .id = id, .start = start, .length = length, .more = more
    };
    if (family == FAMILY_IPV6)
        return put6(stand, reassembly, &piece);
    uint16_t fragment = (uint16_t)(start / 8 | (more ? IPV4_MORE_FRAGMENTS : 0));
    struct packet *packet = stand_ipv4(stand, STAND_ETH0, ip(10, 1, 0, 9), ip(10, 1, 0, 1), 17, id,
                                       fragment, (uint8_t)start, (uint16_t)length);

    return reassembly_input(reassembly, packet, stand->core.now_ns);
}

static void expect_ipv4_header(const struct packet *whole, unsigned length)
{
    const struct ipv4_header *header = (const void *)whole->data;

    EXPECT_EQUAL(ipv4_check(header, whole->length_bytes, whole->frame_length_bytes), IPV4_GOOD);
    EXPECT_EQUAL(ipv4_total_bytes(header), IPV4_HEADER_BYTES + length);
    EXPECT_EQUAL(header->fragment_be, 0);
}

static void expect_ipv6_header(const struct packet *whole, unsigned length)
{
    const struct ipv6_header *header = (const void *)whole->data;

    EXPECT_EQUAL(ipv6_check(header, whole->length_bytes, whole->frame_length_bytes), IPV6_GOOD);
    EXPECT_EQUAL(ipv6_payload_bytes(header), length);
    EXPECT_EQUAL(header->next_header, 17);
}

/* The whole datagram, as it must look; takes it. */
static void expect_whole(struct stand *stand, struct packet *whole, unsigned length)
{
    EXPECT(whole);
    EXPECT_EQUAL(whole->network_offset, 0);
    EXPECT_EQUAL(whole->header_length_bytes, header_bytes());
    EXPECT_EQUAL(whole->frame_length_bytes, header_bytes() + length);
    EXPECT_EQUAL(whole->network_length_bytes, header_bytes() + length);
    EXPECT(whole->flags & PACKET_REASSEMBLED);
    if (family == FAMILY_IPV6)
        expect_ipv6_header(whole, length);
    else
        expect_ipv4_header(whole, length);
    for (unsigned i = 0; i < length; i++) {
        uint8_t byte;
        EXPECT(packet_copy_out(whole, header_bytes() + i, &byte, 1));
        EXPECT_EQUAL(byte, i & 255);
    }
    stand->core.ports[STAND_ETH0].delivered++;
    packet_free(stand->core.pool, whole);
}

TEST_OF_BOTH_FAMILIES(reassembly_puts_fragments_of_any_order_together)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);
    uint64_t random = 5;

    for (uint16_t round = 0; round < 200; round++) {
        unsigned order[16], count = 2 + random_below(&random, 15);
        for (unsigned i = 0; i < count; i++)
            order[i] = i;
        for (unsigned i = count; i > 1; i--) {
            unsigned other = random_below(&random, i), kept = order[i - 1];
            order[i - 1] = order[other];
            order[other] = kept;
        }
        for (unsigned i = 0; i < count; i++) {
            bool is_last = order[i] == count - 1;
            struct packet *whole =
                put(stand, reassembly, round, order[i] * 160, is_last ? 33 : 160, !is_last);
            if (i + 1 == count)
                expect_whole(stand, whole, (count - 1) * 160 + 33);
            else
                EXPECT(!whole);
        }
        EXPECT_EQUAL(reassembly_held(reassembly), 0);
        EXPECT_EQUAL(stand->core.timers.count, 0);
    }
    EXPECT_EQUAL(dropped.count, 0);
    finish(stand, reassembly);
}

/* A card sends a chain of so many buffers and no more: an echo reply is made of what came. */
TEST_OF_BOTH_FAMILIES(reassembly_of_the_smallest_fragments_takes_few_buffers)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);
    unsigned length = REASSEMBLY_FRAGMENT_MAX * IPV4_FRAGMENT_UNIT, at;

    for (at = 0; length - at > IPV4_FRAGMENT_UNIT; at += IPV4_FRAGMENT_UNIT)
        EXPECT(!put(stand, reassembly, 1, at, IPV4_FRAGMENT_UNIT, true));
    struct packet *whole = put(stand, reassembly, 1, at, IPV4_FRAGMENT_UNIT, false);
    EXPECT(whole && !whole->next_segment);
    expect_whole(stand, whole, length);
    finish(stand, reassembly);
}

TEST_OF_BOTH_FAMILIES(reassembly_of_the_longest_packet)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);
    unsigned length = UINT16_MAX - header_bytes(), at;

    for (at = 0; length - at > 1448; at += 1448)
        EXPECT(!put(stand, reassembly, 1, at, 1448, true));
    expect_whole(stand, put(stand, reassembly, 1, at, length - at, false), length);
    finish(stand, reassembly);
}

TEST_OF_BOTH_FAMILIES(reassembly_gives_up_in_time_with_the_first_fragment)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);

    EXPECT(!put(stand, reassembly, 1, 0, 800, true));
    EXPECT(!put(stand, reassembly, 1, 1600, 80, false));
    EXPECT(!put(stand, reassembly, 2, 800, 800, true));
    stand_advance(stand, timeout_ms() - 1);
    EXPECT_EQUAL(dropped.count, 0);
    EXPECT_EQUAL(stand->core.ports[STAND_ETH0].held, 3);
    stand_advance(stand, 2);
    EXPECT_EQUAL(dropped.count, 3);
    EXPECT_EQUAL(dropped.last, DROP_REASSEMBLY_TIMEOUT);
    EXPECT_EQUAL(dropped.first_fragments, 1);
    /* Begins anew with the same identification. */
    EXPECT(!put(stand, reassembly, 1, 0, 800, true));
    expect_whole(stand, put(stand, reassembly, 1, 800, 8, false), 808);
    finish(stand, reassembly);
}

TEST_OF_BOTH_FAMILIES(reassembly_drops_an_exact_duplicate_alone)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);

    EXPECT(!put(stand, reassembly, 1, 0, 800, true));
    EXPECT(!put(stand, reassembly, 1, 0, 800, true));
    EXPECT_EQUAL(dropped.count, 1);
    expect_whole(stand, put(stand, reassembly, 1, 800, 8, false), 808);
    finish(stand, reassembly);
}

TEST_OF_BOTH_FAMILIES(reassembly_ends_with_an_overlap)
{
    static const struct {
        unsigned start, length;
        bool more;
    } overlaps[] = { { 0, 808, true },    { 792, 16, true }, { 8, 8, true },
                     { 400, 1200, true }, { 0, 792, true },  { 0, 800, false } };
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);

    for (uint16_t i = 0; i < ARRAY_COUNT(overlaps); i++) {
        EXPECT(!put(stand, reassembly, i, 0, 800, true));
        EXPECT(!put(stand, reassembly, i, overlaps[i].start, overlaps[i].length, overlaps[i].more));
        EXPECT_EQUAL(dropped.last, DROP_REASSEMBLY_OVERLAP);
        EXPECT_EQUAL(dropped.count, 3 * i + 2u);
        EXPECT(!put(stand, reassembly, i, 800, 8, false)); /* a straggler */
        EXPECT_EQUAL(dropped.count, 3 * i + 3u);
        EXPECT_EQUAL(reassembly_held(reassembly), 0);
    }
    finish(stand, reassembly);
}

TEST_OF_BOTH_FAMILIES(reassembly_refuses_lengths_that_make_no_packet)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);

    EXPECT(!put(stand, reassembly, 1, 0, 801, true)); /* not a multiple of 8 */
    EXPECT(!put(stand, reassembly, 1, 800, 0, false));
    EXPECT(!put(stand, reassembly, 1, 65528, 8, false)); /* beyond 65,535 */
    EXPECT_EQUAL(dropped.count, 3);
    EXPECT_EQUAL(dropped.last, DROP_REASSEMBLY_BAD);
    EXPECT_EQUAL(stand->core.timers.count, 0); /* not worth an entry */

    EXPECT(!put(stand, reassembly, 2, 800, 80, false)); /* two ends */
    EXPECT(!put(stand, reassembly, 2, 1600, 80, false));
    EXPECT_EQUAL(dropped.last, DROP_REASSEMBLY_BAD);
    EXPECT_EQUAL(dropped.count, 5);
    EXPECT(!put(stand, reassembly, 3, 1600, 80, true)); /* an end before what has come */
    EXPECT(!put(stand, reassembly, 3, 800, 80, false));
    EXPECT_EQUAL(dropped.count, 7);
    EXPECT(!put(stand, reassembly, 4, 800, 80, false)); /* more, behind the end */
    EXPECT(!put(stand, reassembly, 4, 880, 80, true));
    EXPECT_EQUAL(dropped.count, 9);
    EXPECT(!put(stand, reassembly, 5, 1600, 80, false)); /* two ends, the second nearer */
    EXPECT(!put(stand, reassembly, 5, 0, 80, false));
    EXPECT_EQUAL(dropped.count, 11);
    finish(stand, reassembly);
}

TEST_OF_BOTH_FAMILIES(reassembly_is_bounded_in_datagrams_fragments_and_buffers)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);

    for (uint16_t i = 0; i < 4 * REASSEMBLY_MAX; i++) {
        stand_advance(stand, 1);
        EXPECT(!put(stand, reassembly, i, 0, 800, true));
    }
    EXPECT_EQUAL(reassembly_held(reassembly), REASSEMBLY_MAX);
    EXPECT_EQUAL(dropped.last, DROP_REASSEMBLY_FULL);
    /* The youngest are there. */
    expect_whole(stand, put(stand, reassembly, 4 * REASSEMBLY_MAX - 1, 800, 8, false), 808);

    for (unsigned i = 0; i < REASSEMBLY_FRAGMENT_MAX; i++)
        EXPECT(!put(stand, reassembly, 999, i * 8, 8, true));
    unsigned before = dropped.count;
    EXPECT(!put(stand, reassembly, 999, REASSEMBLY_FRAGMENT_MAX * 8, 8, true));
    EXPECT_EQUAL(dropped.count, before + REASSEMBLY_FRAGMENT_MAX + 1);

    for (uint16_t id = 2000; id < 2020; id++) {
        stand_advance(stand, 1);
        for (unsigned i = 0; i < 60; i++) {
            EXPECT(!put(stand, reassembly, id, i * 8, 8, true));
            EXPECT(reassembly_held(reassembly) <= REASSEMBLY_BUFFER_MAX);
        }
    }
    finish(stand, reassembly);
}

TEST(reassembly_keeps_datagrams_apart_by_all_of_their_key)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);
    struct packet *packet;

    EXPECT(!put(stand, reassembly, 1, 0, 800, true));
    EXPECT(!put(stand, reassembly, 2, 800, 8, false));
    packet = stand_ipv4(stand, STAND_ETH0, ip(10, 1, 0, 9), ip(10, 1, 0, 1), 6, 1, 100, 0, 8);
    EXPECT(!reassembly_input(reassembly, packet, stand->core.now_ns));
    packet = stand_ipv4(stand, STAND_ETH0, ip(10, 1, 0, 8), ip(10, 1, 0, 1), 17, 1, 100, 0, 8);
    EXPECT(!reassembly_input(reassembly, packet, stand->core.now_ns));
    packet = stand_ipv4(stand, STAND_ETH0, ip(10, 1, 0, 9), ip(10, 2, 0, 1), 17, 1, 100, 0, 8);
    EXPECT(!reassembly_input(reassembly, packet, stand->core.now_ns));
    EXPECT_EQUAL(dropped.count, 0);
    expect_whole(stand, put(stand, reassembly, 1, 800, 8, false), 808);
    finish(stand, reassembly);
}

/* RFC 8200 4.5: "exact". The first of two that differ is not trusted either. */
TEST_OF_BOTH_FAMILIES(reassembly_takes_other_bytes_in_the_same_place_for_an_overlap)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);
    struct packet *packet;
    const struct piece6 piece = {
        .next_header = 17, .id = 1, .start = 512, .length = 800, .more = true
    };

    EXPECT(!put(stand, reassembly, 1, 512, 800, true));
    packet = family == FAMILY_IPV6 ? make_piece6(stand, STAND_ETH0, &piece)
                                   : stand_ipv4(stand, STAND_ETH0, ip(10, 1, 0, 9), ip(10, 1, 0, 1),
                                                17, 1, 512 / 8 | IPV4_MORE_FRAGMENTS, 0, 800);
    packet->data[packet->length_bytes - 1] ^= 1;
    EXPECT(!reassembly_input(reassembly, packet, stand->core.now_ns));
    EXPECT_EQUAL(dropped.count, 2);
    EXPECT_EQUAL(dropped.last, DROP_REASSEMBLY_OVERLAP);
    finish(stand, reassembly);
}

/* RFC 8200 4.5: the key is of addresses and identification; next headers may differ. */
TEST(reassembly6_keeps_datagrams_apart_by_all_of_their_key)
{
    static const struct piece6 others[] = {
        { .source = 1, .id = 1 },
        { .destination = 1, .id = 1 },
        { .id = 0x10001 },
        { .is_of_link = true, .id = 1 },
    };
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);
    struct piece6 piece;

    family = FAMILY_IPV6;
    EXPECT(!put(stand, reassembly, 1, 0, 800, true));
    for (unsigned i = 0; i < ARRAY_COUNT(others); i++) {
        piece = others[i];
        piece.start = 800;
        piece.length = 8;
        EXPECT(!put6(stand, reassembly, &piece));
    }
    piece = (struct piece6){ .next_header = 6, .id = 1, .start = 800, .length = 8 };
    expect_whole(stand, put6(stand, reassembly, &piece), 808);
    EXPECT_EQUAL(dropped.count, 0);
    finish(stand, reassembly);
}

/* A global address may come by any port, a link-local one is another on each. */
TEST(reassembly6_keeps_the_addresses_of_links_apart)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);
    struct piece6 first = { .next_header = 17, .id = 1, .length = 800, .more = true };
    struct piece6 last = { .next_header = 17, .id = 1, .start = 800, .length = 8 };

    family = FAMILY_IPV6;
    EXPECT(!put6(stand, reassembly, &first));
    stand->core.ports[STAND_ETH1].delivered++; /* the piece that is added to the other */
    expect_whole(
        stand,
        reassembly_input(reassembly, make_piece6(stand, STAND_ETH1, &last), stand->core.now_ns),
        808);
    stand->core.ports[STAND_ETH1].delivered--;
    first.is_of_link = last.is_of_link = true;
    EXPECT(!put6(stand, reassembly, &first));
    EXPECT(
        !reassembly_input(reassembly, make_piece6(stand, STAND_ETH1, &last), stand->core.now_ns));
    expect_whole(stand, put6(stand, reassembly, &last), 808);
    finish(stand, reassembly);
}

/* Those of the first fragment stay, those of others go: RFC 8200 4.5. */
TEST(reassembly6_keeps_what_was_before_the_first_fragment_header)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);
    struct piece6 first = { .next_header = 17, .id = 1, .length = 800, .more = true };
    struct piece6 last = { .next_header = 17, .id = 1, .start = 800, .length = 16 };
    struct ipv6_headers headers;

    family = FAMILY_IPV6;
    for (unsigned count = 0; count < IPV6_EXTENSIONS_MAX; count++) {
        first.extension_count = (uint8_t)count;
        last.extension_count = (uint8_t)(IPV6_EXTENSIONS_MAX - 1 - count);
        EXPECT(!put6(stand, reassembly, &last));
        struct packet *whole = put6(stand, reassembly, &first);
        EXPECT(whole);
        EXPECT_EQUAL(whole->frame_length_bytes, IPV6_HEADER_BYTES + count * 8 + 816);
        EXPECT_EQUAL(whole->header_length_bytes, IPV6_HEADER_BYTES + count * 8);
        EXPECT_EQUAL(ipv6_headers_walk(whole->data, whole->length_bytes, IPV6_TO_DELIVER, &headers),
                     IPV6_CHAIN_GOOD);
        EXPECT_EQUAL(headers.protocol, 17);
        EXPECT_EQUAL(headers.extension_count, count);
        EXPECT_EQUAL(headers.fragment_offset, 0);
        EXPECT_EQUAL(headers.upper_offset, whole->header_length_bytes);
        stand->core.ports[STAND_ETH0].delivered++;
        packet_free(stand->core.pool, whole);
    }
    /* They count: 65,535 bytes with them and no more. */
    last.start = 65528 - IPV6_HEADER_BYTES;
    last.length = 7;
    last.extension_count = 0;
    EXPECT(!put6(stand, reassembly, &last));
    last.extension_count = 1;
    EXPECT(!put6(stand, reassembly, &last));
    EXPECT_EQUAL(dropped.count, 1);
    EXPECT_EQUAL(dropped.last, DROP_REASSEMBLY_BAD);
    finish(stand, reassembly);
}

/* The last one fits behind a short header, and the first one has a long one. */
TEST(reassembly6_whole_that_is_too_long_is_dropped)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);
    struct piece6 piece = { .next_header = 17, .id = 1, .more = true };
    unsigned length = UINT16_MAX - IPV6_HEADER_BYTES;

    family = FAMILY_IPV6;
    for (piece.start = 1440; length - piece.start > 1440; piece.start += piece.length) {
        piece.length = 1440;
        EXPECT(!put6(stand, reassembly, &piece));
    }
    piece.length = length - piece.start;
    piece.more = false;
    EXPECT(!put6(stand, reassembly, &piece));
    EXPECT_EQUAL(dropped.count, 0);
    piece = (struct piece6){
        .next_header = 17, .id = 1, .length = 1440, .more = true, .extension_count = 1
    };
    EXPECT(!put6(stand, reassembly, &piece));
    EXPECT_EQUAL(dropped.last, DROP_REASSEMBLY_BAD);
    EXPECT_EQUAL(reassembly_held(reassembly), 0);
    finish(stand, reassembly);
}

/* One table, so one bound for both. */
TEST(reassembly_of_both_families_has_one_bound)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);

    for (uint16_t id = 0; id < REASSEMBLY_MAX; id++) {
        stand_advance(stand, 1);
        family = id % 2 ? FAMILY_IPV6 : FAMILY_IPV4;
        EXPECT(!put(stand, reassembly, id, 0, 800, true));
    }
    EXPECT_EQUAL(dropped.count, 0);
    family = FAMILY_IPV6;
    EXPECT(!put(stand, reassembly, REASSEMBLY_MAX, 0, 800, true));
    EXPECT_EQUAL(dropped.count, 1);
    EXPECT_EQUAL(dropped.last, DROP_REASSEMBLY_FULL);
    expect_whole(stand, put(stand, reassembly, 1, 800, 8, false), 808); /* 0 was the oldest */
    finish(stand, reassembly);
}

TEST(reassembly_without_memory_is_not_created)
{
    struct stand *stand = stand_create();

    host_fail_allocation(0);
    EXPECT(!reassembly_create(&stand->core, &(struct reassembly_uses){ .drop = see_dropped }));
    reassembly_destroy(NULL);
    stand_destroy(stand);
}

/* The twin: what has come of a datagram, byte by byte, with RFC 5722's rule. */
struct twin {
    bool came[4096];
    unsigned pieces[4096]; /* at a piece's start: its end, 0 for none */
    unsigned end;          /* 0: unknown */
    unsigned furthest, count;
    bool is_dead;
};

static bool twin_takes(struct twin *twin, unsigned start, unsigned length, bool more)
{
    if (twin->is_dead)
        return false;
    bool overlap = false;
    for (unsigned i = start; i < start + length; i++)
        overlap |= twin->came[i];
    bool ends_disagree = (twin->end && start + length > twin->end) ||
                         (more && twin->end && start + length == twin->end) ||
                         (!more && twin->end && start + length != twin->end) ||
                         (!more && twin->furthest > start + length);
    if (overlap && twin->pieces[start] == start + length && more == (twin->end != start + length))
        return false; /* duplicate */
    if (overlap || ends_disagree) {
        twin->is_dead = true;
        return false;
    }
    memset(twin->came + start, 1, length);
    twin->pieces[start] = start + length;
    twin->furthest = MAX_OF(twin->furthest, start + length);
    twin->count += length;
    if (!more)
        twin->end = start + length;
    return true;
}

TEST_OF_BOTH_FAMILIES(reassembly_agrees_with_a_naive_twin_on_random_fragments)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);
    static struct twin twin;
    unsigned completed = 0, dead = 0;
    uint64_t random = 11;

    for (uint16_t id = 0; id < 4000; id++) {
        unsigned units = 2 + random_below(&random, 6); /* the datagram, in pieces of 16 bytes */
        bool wild = random_below(&random, 4) == 0;
        memset(&twin, 0, sizeof(twin));
        for (unsigned tries = 0; tries < 60; tries++) {
            unsigned first = random_below(&random, units), count = 1;
            if (wild && random_below(&random, 8) == 0) {
                count = 1 + random_below(&random, 3);
                first += random_below(&random, 3);
            }
            bool more = first + count < units || (wild && random_below(&random, 16) == 0);
            struct packet *whole = put(stand, reassembly, id, first * 16, count * 16, more);
            bool was_whole = twin.end && twin.count == twin.end;
            EXPECT(!was_whole);
            twin_takes(&twin, first * 16, count * 16, more);
            bool is_whole = !twin.is_dead && twin.end && twin.count == twin.end;
            EXPECT_EQUAL(whole != NULL, is_whole);
            if (whole) {
                expect_whole(stand, whole, twin.end);
                completed++;
                break;
            }
        }
        dead += twin.is_dead;
        stand_time(stand, stand->core.now_ns + (timeout_ms() + 1ull) * NS_PER_MS);
    }
    EXPECT(completed > 1000);
    EXPECT(dead > 100);
    finish(stand, reassembly);
}
