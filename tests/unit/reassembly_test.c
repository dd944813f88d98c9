/* Reassembly on the test stand, beside a naive twin: an array of 65,535 bytes with a note of which
 * have come. */
#include "net/reassembly.h"

#include <string.h>

#include "kernel/base/random.h"
#include "net/wire/ipv4.h"
#include "tests/unit/stand.h"
#include "tests/unit/test.h"

static struct {
    unsigned count;
    enum verdict last;
    unsigned first_fragments; /* those that owe a message when time is over */
} dropped;

static void see_dropped(struct core *core, struct packet *packet, enum verdict why)
{
    const struct ipv4_header *header = (const void *)(packet->data + packet->network_offset);

    dropped.count++;
    dropped.last = why;
    dropped.first_fragments += ipv4_fragment_offset_bytes(header) == 0;
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
    stand_advance(stand, REASSEMBLY_TIMEOUT_MS + 2);
    EXPECT_EQUAL(reassembly_held(reassembly), 0);
    EXPECT_EQUAL(stand->core.ports[STAND_ETH0].held, 0);
    expect_books(stand);
    reassembly_destroy(reassembly);
    stand_destroy(stand);
}

/* Bytes [start, start + length) of datagram `id`, whose byte i is i modulo 256. */
static struct packet *put(struct stand *stand, struct reassembly *reassembly, uint16_t id,
                          unsigned start, unsigned length, bool more)
{
    uint16_t fragment = (uint16_t)(start / 8 | (more ? IPV4_MORE_FRAGMENTS : 0));
    struct packet *packet = stand_ipv4(stand, STAND_ETH0, ip(10, 1, 0, 9), ip(10, 1, 0, 1), 17, id,
                                       fragment, (uint8_t)start, (uint16_t)length);

    return reassembly_input(reassembly, packet, stand->core.now_ns);
}

/* The whole datagram, as it must look; takes it. */
static void expect_whole(struct stand *stand, struct packet *whole, unsigned length)
{
    EXPECT(whole);
    const struct ipv4_header *header = (const void *)whole->data;
    EXPECT_EQUAL(whole->network_offset, 0);
    EXPECT_EQUAL(whole->frame_length_bytes, IPV4_HEADER_BYTES + length);
    EXPECT_EQUAL(whole->network_length_bytes, IPV4_HEADER_BYTES + length);
    EXPECT_EQUAL(ipv4_check(header, whole->length_bytes, whole->frame_length_bytes), IPV4_GOOD);
    EXPECT_EQUAL(ipv4_total_bytes(header), IPV4_HEADER_BYTES + length);
    EXPECT_EQUAL(header->fragment_be, 0);
    for (unsigned i = 0; i < length; i++) {
        uint8_t byte;
        EXPECT(packet_copy_out(whole, IPV4_HEADER_BYTES + i, &byte, 1));
        EXPECT_EQUAL(byte, i & 255);
    }
    stand->core.ports[STAND_ETH0].delivered++;
    packet_free(stand->core.pool, whole);
}

TEST(reassembly_puts_fragments_of_any_order_together)
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
TEST(reassembly_of_the_smallest_fragments_takes_few_buffers)
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

TEST(reassembly_of_the_longest_packet)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);
    unsigned length = IPV4_PACKET_MAX_BYTES - IPV4_HEADER_BYTES, at;

    for (at = 0; length - at > 1480; at += 1480)
        EXPECT(!put(stand, reassembly, 1, at, 1480, true));
    expect_whole(stand, put(stand, reassembly, 1, at, length - at, false), length);
    finish(stand, reassembly);
}

TEST(reassembly_gives_up_after_30_seconds_with_the_first_fragment)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);

    EXPECT(!put(stand, reassembly, 1, 0, 800, true));
    EXPECT(!put(stand, reassembly, 1, 1600, 80, false));
    EXPECT(!put(stand, reassembly, 2, 800, 800, true));
    stand_advance(stand, 29999);
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

TEST(reassembly_drops_an_exact_duplicate_alone)
{
    struct stand *stand = stand_create();
    struct reassembly *reassembly = start(stand);

    EXPECT(!put(stand, reassembly, 1, 0, 800, true));
    EXPECT(!put(stand, reassembly, 1, 0, 800, true));
    EXPECT_EQUAL(dropped.count, 1);
    expect_whole(stand, put(stand, reassembly, 1, 800, 8, false), 808);
    finish(stand, reassembly);
}

TEST(reassembly_ends_with_an_overlap)
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

TEST(reassembly_refuses_lengths_that_make_no_packet)
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

TEST(reassembly_is_bounded_in_datagrams_fragments_and_buffers)
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

TEST(reassembly_agrees_with_a_naive_twin_on_random_fragments)
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
        stand_time(stand, stand->core.now_ns + 30001ull * NS_PER_MS);
    }
    EXPECT(completed > 1000);
    EXPECT(dead > 100);
    finish(stand, reassembly);
}
