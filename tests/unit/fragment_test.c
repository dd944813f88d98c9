/* Fragmentation beside a reassembly that is a byte array with a map of what has come. */
#include <stdlib.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "net/wire/checksum.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "tests/unit/lab.h"

/* What has come of one packet. */
struct pieces {
    uint8_t bytes[65536];
    bool here[65536];
    unsigned total_bytes; /* 0: the last has not come */
    unsigned count;
    unsigned first_header_bytes, other_header_bytes;
};

static void take_pieces(struct lab *lab, struct pieces *pieces, unsigned mtu_bytes)
{
    struct lab_frame frame;

    while (lab_take(lab, 1, &frame)) {
        const struct ipv4_header *header = (const void *)(frame.bytes + ETHERNET_HEADER_BYTES);
        unsigned header_bytes = ipv4_header_bytes(header);
        unsigned offset = ipv4_fragment_offset_bytes(header);
        unsigned length = ipv4_total_bytes(header) - header_bytes;
        bool more = ipv4_fragment(header) & IPV4_MORE_FRAGMENTS;

        EXPECT_EQUAL(frame.length_bytes, ETHERNET_HEADER_BYTES + ipv4_total_bytes(header));
        EXPECT(ipv4_total_bytes(header) <= mtu_bytes);
        EXPECT_EQUAL(checksum_of(header, header_bytes), 0);
        EXPECT_EQUAL(header->ttl, 63);
        EXPECT_EQUAL(__builtin_bswap16(header->identification_be), 4711);
        EXPECT(!more || length % IPV4_FRAGMENT_UNIT == 0);
        for (unsigned i = 0; i < length; i++) {
            EXPECT(!pieces->here[offset + i]);
            pieces->here[offset + i] = true;
            pieces->bytes[offset + i] = frame.bytes[ETHERNET_HEADER_BYTES + header_bytes + i];
        }
        if (!more)
            pieces->total_bytes = offset + length;
        if (pieces->count++ == 0)
            pieces->first_header_bytes = header_bytes;
        else
            pieces->other_header_bytes = header_bytes;
    }
}

static void cut(struct lab *lab, unsigned payload_bytes, unsigned mtu_bytes, const uint8_t *options,
                unsigned option_bytes, uint16_t fragment, struct pieces *pieces)
{
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.1.2",
                                 .payload_bytes = (uint16_t)payload_bytes,
                                 .identification = 4711,
                                 .fragment = fragment,
                                 .options = options,
                                 .option_bytes = option_bytes };
    struct lab_frame frame = lab_frame(0, &packet);
    unsigned start = (fragment & IPV4_FRAGMENT_OFFSET) * IPV4_FRAGMENT_UNIT;

    *pieces = (struct pieces){ .count = 0 };
    lab_put(lab, 0, &frame);
    lab_step(lab, 1);
    take_pieces(lab, pieces, mtu_bytes);
    for (unsigned i = 0; i < payload_bytes; i++)
        EXPECT(pieces->here[start + i]);
    EXPECT(memcmp(pieces->bytes + start,
                  frame.bytes + ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + option_bytes,
                  payload_bytes) == 0);
    if (!(fragment & IPV4_MORE_FRAGMENTS))
        EXPECT_EQUAL(pieces->total_bytes, start + payload_bytes);
    else
        EXPECT_EQUAL(pieces->total_bytes, 0); /* the last of these is not the last of all */
    lab_expect_books(lab);
}

static struct lab create_lab(unsigned mtu_bytes)
{
    struct lab lab = lab_create(1, 2);

    lab_interface(&lab, "eth1", false, mtu_bytes);
    lab_interface(&lab, "eth0", false, MTU_MAX);
    lab_commit(&lab);
    return lab;
}

TEST(fragments_put_together_are_the_packet)
{
    static struct pieces pieces;
    static const unsigned mtus[] = { 576, 577, 583, 584, 1280, 1400, 1500 };

    srand(7);
    for (unsigned m = 0; m < ARRAY_COUNT(mtus); m++) {
        struct lab lab = create_lab(mtus[m]);
        for (unsigned i = 0; i < 40; i++) {
            unsigned payload = 1 + (unsigned)rand() % (MTU_MAX - 100);
            cut(&lab, payload, mtus[m], NULL, 0, 0, &pieces);
            unsigned room = (mtus[m] - IPV4_HEADER_BYTES) / 8 * 8;
            if (payload > mtus[m] - IPV4_HEADER_BYTES)
                EXPECT(pieces.count >= payload / mtus[m] + 1 && pieces.count <= payload / room + 1);
            else
                EXPECT_EQUAL(pieces.count, 1);
        }
        lab_destroy(&lab);
    }
}

TEST(only_what_is_too_long_is_cut)
{
    static struct pieces pieces;
    struct lab lab = create_lab(1400);

    cut(&lab, 1380, 1400, NULL, 0, 0, &pieces);
    EXPECT_EQUAL(pieces.count, 1);
    cut(&lab, 1381, 1400, NULL, 0, 0, &pieces);
    EXPECT_EQUAL(pieces.count, 2);
    EXPECT_EQUAL(lab_counters(&lab, 0).originated, 1); /* two fragments count one more */
    lab_destroy(&lab);
}

/* RFC 791 3.2: what is a fragment already keeps its place, and its "more". */
TEST(a_fragment_is_cut_again)
{
    static struct pieces pieces;
    struct lab lab = create_lab(576);

    cut(&lab, 1400, 576, NULL, 0, 100 | IPV4_MORE_FRAGMENTS, &pieces);
    cut(&lab, 1401, 576, NULL, 0, 100, &pieces);
    lab_destroy(&lab);
}

/* RFC 791 3.1: an option with the copied flag is in all fragments, others in the first alone. */
TEST(options_are_copied_as_their_flag_says)
{
    static struct pieces pieces;
    static const uint8_t record_route[12] = { IPV4_OPTION_RECORD_ROUTE, 11, 4 };
    static const uint8_t router_alert[4] = { IPV4_OPTION_ROUTER_ALERT, 4, 0, 0 };
    static const uint8_t both[16] = { IPV4_OPTION_RECORD_ROUTE, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0,
                                      IPV4_OPTION_ROUTER_ALERT, 4,  0, 0, 0 };
    struct lab lab = create_lab(576);

    cut(&lab, 1400, 576, record_route, sizeof(record_route), 0, &pieces);
    EXPECT_EQUAL(pieces.first_header_bytes, 32);
    EXPECT_EQUAL(pieces.other_header_bytes, 20);
    cut(&lab, 1400, 576, router_alert, sizeof(router_alert), 0, &pieces);
    EXPECT_EQUAL(pieces.other_header_bytes, 24);
    cut(&lab, 1400, 576, both, sizeof(both), 0, &pieces);
    EXPECT_EQUAL(pieces.first_header_bytes, 36);
    EXPECT_EQUAL(pieces.other_header_bytes, 24);
    lab_destroy(&lab);
}

/* Its second piece would have an offset of 14 bits, and so another "more" flag. */
TEST(a_fragment_beyond_the_longest_packet_is_not_cut)
{
    struct lab lab = create_lab(576);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.1.2",
                                 .payload_bytes = 1400,
                                 .fragment = IPV4_FRAGMENT_OFFSET };
    struct lab_frame frame = lab_frame(0, &packet);

    lab_put(&lab, 0, &frame);
    lab_step(&lab, 1);
    EXPECT(!lab_take(&lab, 1, &frame));
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_REASSEMBLY_BAD), 1);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* Between the stage that sets a long packet aside and the cutting, the control core may have moved
 * or removed the neighbor: that is no reason to tell the sender that the host cannot be reached. */
TEST(what_is_to_be_cut_waits_for_a_neighbor_that_has_gone)
{
    struct lab lab = create_lab(576);
    struct core *core = lab.router->cores[CONTROL_CORE];
    struct lab_packet wish = { .source = "10.0.0.2",
                               .destination = "10.0.1.9",
                               .payload_bytes = 600 };
    struct lab_frame frame = lab_frame(0, &wish);
    struct packet *packet = packet_alloc(core->pool);

    memcpy(packet_append(packet, (uint32_t)frame.length_bytes), frame.bytes, frame.length_bytes);
    packet->port_in = 0;
    packet->port_out = 1;
    packet->next_hop_be = ipv4_of("10.0.1.9");
    packet->mtu_bytes = 576;
    packet->network_offset = ETHERNET_HEADER_BYTES;
    packet->network_length_bytes = (uint16_t)(frame.length_bytes - ETHERNET_HEADER_BYTES);
    packet->header_length_bytes = IPV4_HEADER_BYTES;
    core->ports[0].received++;
    fragment_packet(core, packet);
    lab_step(&lab, 1);
    EXPECT(lab_take(&lab, 1, &frame));
    EXPECT_EQUAL(load_be16(frame.bytes + 12), ETHERTYPE_ARP); /* who has 10.0.1.9? */
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 1);
    lab_wait(&lab, 4000); /* nobody has */
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NEIGHBOR_FAILED), 1);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}
