/* The formats of IPv6, ICMPv6, neighbor and listener discovery: known bytes in, values out, and
 * back; each rule of validity broken by itself; checksums beside the sum as the RFC writes it. */
#include <string.h>

#include "kernel/base/random.h"
#include "net/wire/checksum.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv6.h"
#include "net/wire/mld.h"
#include "net/wire/nd.h"
#include "tests/unit/test.h"

static const uint8_t host[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
static const uint8_t other[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 };

/* ---- The header ----------------------------------------------------------------------------- */

static struct ipv6_header header_of(uint8_t next_header, unsigned payload_bytes)
{
    struct ipv6_header header = {
        .version_class_flow_be = ipv6_version_word_be(0, 0),
        .payload_length_be = __builtin_bswap16((uint16_t)payload_bytes),
        .next_header = next_header,
        .hop_limit = 64,
    };

    memcpy(header.source, host, sizeof(host));
    memcpy(header.destination, other, sizeof(other));
    return header;
}

TEST(ipv6_header_is_checked_against_what_came)
{
    struct ipv6_header header = header_of(6, 100);

    EXPECT_EQUAL(ipv6_check(&header, 40, 140), IPV6_GOOD);
    EXPECT_EQUAL(ipv6_check(&header, 40, 141), IPV6_GOOD); /* padding */
    EXPECT_EQUAL(ipv6_check(&header, 40, 139), IPV6_TRUNCATED);
    EXPECT_EQUAL(ipv6_check(&header, 39, 140), IPV6_TRUNCATED);
    EXPECT_EQUAL(ipv6_check(&header, 40, 39), IPV6_TRUNCATED);
    header.version_class_flow_be = 0x45;
    EXPECT_EQUAL(ipv6_check(&header, 40, 140), IPV6_BAD_HEADER);

    header = header_of(PROTOCOL_NO_NEXT_HEADER, 0);
    EXPECT_EQUAL(ipv6_check(&header, 40, 40), IPV6_GOOD);
    header = header_of(PROTOCOL_HOP_BY_HOP, 0); /* a jumbogram */
    EXPECT_EQUAL(ipv6_check(&header, 40, 100000), IPV6_BAD_HEADER);
}

TEST(ipv6_packet_is_plain_where_a_router_has_nothing_more_to_look_at)
{
    for (unsigned protocol = 0; protocol < 256; protocol++) {
        struct ipv6_header header = header_of((uint8_t)protocol, 100);
        EXPECT_EQUAL(ipv6_is_plain(&header, 140), protocol % 64 != 0 && protocol % 64 != 43);
        EXPECT(!ipv6_is_plain(&header, 139));
        EXPECT(!ipv6_is_plain(&header, 141));
        EXPECT(!ipv6_is_plain(&header, 140 + 65536));
    }
    struct ipv6_header header = header_of(6, 65535);
    header.version_class_flow_be = ipv6_version_word_be(0xff, 0xfffff);
    EXPECT(ipv6_is_plain(&header, IPV6_PACKET_MAX_BYTES));
    header.version_class_flow_be = 0x45;
    EXPECT(!ipv6_is_plain(&header, IPV6_PACKET_MAX_BYTES));
}

TEST(ipv6_first_word_holds_class_and_label)
{
    struct ipv6_header header = header_of(6, 0);
    const uint8_t expected[4] = { 0x6a, 0xb1, 0x23, 0x45 };

    header.version_class_flow_be = ipv6_version_word_be(0xab, 0xfff12345); /* 20 bits of it */
    EXPECT(memcmp(&header, expected, sizeof(expected)) == 0);
    EXPECT_EQUAL(ipv6_traffic_class(&header), 0xab);
    EXPECT_EQUAL(ipv6_flow_label(&header), 0x12345);
}

/* ---- Addresses ------------------------------------------------------------------------------ */

TEST(ipv6_addresses_fall_into_their_classes)
{
    static const struct {
        uint8_t address[16];
        bool unspecified, loopback, multicast, link_local, unique_local, v4_mapped, station;
    } cases[] = {
        { { 0 }, .unspecified = true },
        { { [15] = 1 }, .loopback = true },
        { { [15] = 2 }, .station = true },
        { { [7] = 1, [15] = 1 }, .station = true },
        { { 0xff, 2, [15] = 1 }, .multicast = true },
        { { 0xfe, 0x80, [15] = 1 }, .link_local = true, .station = true },
        { { 0xfe, 0xbf, [15] = 1 }, .link_local = true, .station = true },
        { { 0xfe, 0xc0, [15] = 1 }, .station = true },
        { { 0xfe, 0x7f, [15] = 1 }, .station = true },
        { { 0xfc, 0, [15] = 1 }, .unique_local = true, .station = true },
        { { 0xfd, 0xff, [15] = 1 }, .unique_local = true, .station = true },
        { { 0xfb, 0xff, [15] = 1 }, .station = true },
        { { [10] = 0xff, [11] = 0xff, [12] = 10 }, .v4_mapped = true },
        { { [9] = 1, [10] = 0xff, [11] = 0xff, [12] = 10 }, .station = true },
        { { 0x20, 1, [15] = 1 }, .station = true },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const uint8_t *address = cases[i].address;
        EXPECT_EQUAL(ipv6_is_unspecified(address), cases[i].unspecified);
        EXPECT_EQUAL(ipv6_is_loopback(address), cases[i].loopback);
        EXPECT_EQUAL(ipv6_is_multicast(address), cases[i].multicast);
        EXPECT_EQUAL(ipv6_is_link_local(address), cases[i].link_local);
        EXPECT_EQUAL(ipv6_is_unique_local(address), cases[i].unique_local);
        EXPECT_EQUAL(ipv6_is_v4_mapped(address), cases[i].v4_mapped);
        EXPECT_EQUAL(ipv6_is_station(address), cases[i].station);
        for (unsigned j = 0; j < ARRAY_COUNT(cases); j++)
            EXPECT_EQUAL(ipv6_equal(address, cases[j].address), i == j);
    }
    EXPECT_EQUAL(ipv6_multicast_scope(ipv6_all_nodes), IPV6_SCOPE_LINK);
    EXPECT(ipv6_is_unspecified(ipv6_unspecified));
}

TEST(ipv6_addresses_are_made_of_others_and_of_macs)
{
    /* The examples of RFC 4291 2.7.1 and RFC 2464 4. */
    static const uint8_t address[16] = { 0x40, 0x37, 0, 0,    0,    0,    0,    0,
                                         0,    1,    8, 0x00, 0x20, 0x0e, 0x8c, 0x6c };
    static const uint8_t group[16] = { 0xff, 2, [11] = 1, 0xff, 0x0e, 0x8c, 0x6c };
    static const uint8_t group_mac[6] = { 0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c };
    static const uint8_t mac[6] = { 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde };
    static const uint8_t id[8] = { 0x36, 0x56, 0x78, 0xff, 0xfe, 0x9a, 0xbc, 0xde };
    uint8_t out[16], out_mac[6], out_id[8];

    ipv6_solicited_node(address, out);
    EXPECT(ipv6_equal(out, group));
    EXPECT(ipv6_is_solicited_node(out));
    ipv6_solicited_node(out, out);
    EXPECT(ipv6_equal(out, group));
    ipv6_multicast_mac(group, out_mac);
    EXPECT(memcmp(out_mac, group_mac, sizeof(group_mac)) == 0);
    ipv6_eui64(mac, out_id);
    EXPECT(memcmp(out_id, id, sizeof(id)) == 0);
    for (unsigned at = 0; at < 13; at++) {
        memcpy(out, group, sizeof(out));
        out[at] ^= 1;
        EXPECT(!ipv6_is_solicited_node(out));
    }
    EXPECT(!ipv6_is_solicited_node(ipv6_all_nodes));
}

/* ---- Extension headers ---------------------------------------------------------------------- */

enum { ROOM = 40 + 1000 };

/* A packet of an IPv6 header with this payload. */
static uint32_t packet_of(uint8_t packet[ROOM], uint8_t next_header, const uint8_t *payload,
                          unsigned payload_bytes)
{
    struct ipv6_header header = header_of(next_header, payload_bytes);

    memcpy(packet, &header, sizeof(header));
    memcpy(packet + sizeof(header), payload, payload_bytes);
    return (uint32_t)sizeof(header) + payload_bytes;
}

#define PACKET(packet, next_header, ...) \
    packet_of(packet, next_header, (const uint8_t[]){ __VA_ARGS__ }, \
              sizeof((uint8_t[]){ __VA_ARGS__ }))

static void expect_problem(int line, const uint8_t *packet, uint32_t bytes,
                           enum ipv6_purpose purpose, unsigned code, unsigned pointer)
{
    struct ipv6_headers headers;

    if (ipv6_headers_walk(packet, bytes, purpose, &headers) != IPV6_CHAIN_PROBLEM)
        test_fail(__FILE__, line, "no problem was found");
    if (headers.problem_code != code || headers.problem_pointer != pointer)
        test_fail(__FILE__, line, "problem %u at %u", headers.problem_code,
                  headers.problem_pointer);
}

#define EXPECT_PROBLEM(packet, bytes, purpose, code, pointer) \
    expect_problem(__LINE__, packet, bytes, purpose, code, pointer)

TEST(ipv6_chain_is_walked_to_the_upper_layer)
{
    static const uint8_t bare[1];
    uint8_t packet[ROOM];
    struct ipv6_headers headers;
    uint32_t bytes = packet_of(packet, 6, bare, 1);

    for (unsigned purpose = IPV6_TO_FORWARD; purpose <= IPV6_TO_QUOTE; purpose++) {
        EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, purpose, &headers), IPV6_CHAIN_GOOD);
        EXPECT_EQUAL(headers.protocol, 6);
        EXPECT_EQUAL(headers.upper_offset, 40);
        EXPECT_EQUAL(headers.next_header_offset, 6);
        EXPECT_EQUAL(headers.extension_count, 0);
        EXPECT(!headers.has_hop_by_hop);
        EXPECT(!ipv6_is_fragment(&headers));
    }

    bytes = PACKET(packet, 0,                                        /* hop-by-hop: */
                   60, 0, 5, 2, 0x12, 0x34, 0, 0,                    /* router alert, 2 Pad1 */
                   43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* destination options */
                   44, 0, 4, 0, 0, 0, 0, 0,                          /* routing, type 4 */
                   51, 99, 0, 0, 1, 2, 3, 4,                         /* the only fragment */
                   17, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,              /* authentication: 12 bytes */
                   0, 1, 0, 2, 0, 8, 0, 0);
    for (unsigned purpose = IPV6_TO_FORWARD; purpose <= IPV6_TO_QUOTE; purpose++) {
        EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, purpose, &headers), IPV6_CHAIN_GOOD);
        EXPECT_EQUAL(headers.protocol, 17);
        EXPECT_EQUAL(headers.upper_offset, 40 + 8 + 16 + 8 + 8 + 12);
        EXPECT_EQUAL(headers.next_header_offset, 40 + 8 + 16 + 8 + 8);
        EXPECT_EQUAL(headers.extension_count, 5);
        EXPECT(headers.has_hop_by_hop);
        EXPECT_EQUAL(headers.router_alert, purpose != IPV6_TO_QUOTE);
        EXPECT_EQUAL(headers.router_alert_value, purpose != IPV6_TO_QUOTE ? 0x1234 : 0);
        EXPECT(headers.has_routing);
        EXPECT_EQUAL(headers.routing_type, 4);
        EXPECT_EQUAL(headers.segments_left, 0);
        EXPECT_EQUAL(headers.fragment_offset, 40 + 8 + 16 + 8);
        EXPECT_EQUAL(headers.fragment_named_offset, 40 + 8 + 16);
        EXPECT_EQUAL(headers.fragment.identification, 0x01020304);
        EXPECT(!ipv6_is_fragment(&headers));
    }
    /* Any byte less that is here, and the walk cannot go on; any that is missing is a fault. */
    for (uint32_t here = 40; here < headers.upper_offset; here++)
        EXPECT_PROBLEM(packet, here, IPV6_TO_FORWARD, ICMP6_CHAIN_TOO_LONG, here);
    for (uint32_t cut = 40; cut < headers.upper_offset; cut++) {
        struct ipv6_headers found;
        store_be16(packet + 4, (uint16_t)(cut - 40));
        EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_DELIVER, &found), IPV6_CHAIN_PROBLEM);
        EXPECT_EQUAL(found.problem_code, ICMP6_ERRONEOUS_FIELD);
    }
}

TEST(ipv6_lengths_that_run_over_are_pointed_at)
{
    uint8_t packet[ROOM];
    uint32_t bytes = PACKET(packet, 60, 6, 1, 0, 0, 0, 0, 0, 0);

    EXPECT_PROBLEM(packet, bytes, IPV6_TO_FORWARD, ICMP6_ERRONEOUS_FIELD, 41);
    bytes = PACKET(packet, 60, 6, 0, 0, 0);
    EXPECT_PROBLEM(packet, bytes, IPV6_TO_FORWARD, ICMP6_ERRONEOUS_FIELD, 4);
    bytes = PACKET(packet, 60, 59, 0, 1, 4, 0, 0, 0, 0);
    EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_DELIVER, &(struct ipv6_headers){ 0 }),
                 IPV6_CHAIN_GOOD);
    packet[43] = 5; /* PadN beyond its header */
    EXPECT_PROBLEM(packet, bytes, IPV6_TO_DELIVER, ICMP6_ERRONEOUS_FIELD, 43);
    packet[43] = 3; /* and then the last byte begins an option */
    packet[47] = 7;
    EXPECT_PROBLEM(packet, bytes, IPV6_TO_DELIVER, ICMP6_ERRONEOUS_FIELD, 47);
    bytes = PACKET(packet, 0, 59, 0, 5, 1, 0, 0, 0, 0); /* router alert of 1 byte */
    EXPECT_PROBLEM(packet, bytes, IPV6_TO_FORWARD, ICMP6_ERRONEOUS_FIELD, 43);
}

TEST(ipv6_unknown_options_are_treated_as_their_type_says)
{
    struct {
        uint8_t type;
        bool to_group;
        enum ipv6_chain chain;
    } cases[] = {
        { 0x1e, false, IPV6_CHAIN_GOOD },    { 0x1e, true, IPV6_CHAIN_GOOD },
        { 0x5e, false, IPV6_CHAIN_DISCARD }, { 0x5e, true, IPV6_CHAIN_DISCARD },
        { 0x9e, false, IPV6_CHAIN_PROBLEM }, { 0x9e, true, IPV6_CHAIN_PROBLEM },
        { 0xc2, false, IPV6_CHAIN_PROBLEM }, { 0xc2, true, IPV6_CHAIN_DISCARD }, /* jumbo */
    };
    uint8_t packet[ROOM];
    struct ipv6_headers headers;

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        for (unsigned next = 0; next <= 60; next += 60) {
            uint32_t bytes = PACKET(packet, (uint8_t)next, 59, 0, 1, 0, cases[i].type, 2, 0, 0);
            packet[24] = cases[i].to_group ? 0xff : 0x20;
            EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_DELIVER, &headers),
                         cases[i].chain);
            if (cases[i].chain == IPV6_CHAIN_PROBLEM) {
                EXPECT_EQUAL(headers.problem_code, ICMP6_UNKNOWN_OPTION);
                EXPECT_EQUAL(headers.problem_pointer, 44);
            }
            /* A router looks at those of every hop, and nobody judges a quote. */
            EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_FORWARD, &headers),
                         next == 0 ? cases[i].chain : IPV6_CHAIN_GOOD);
            EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_QUOTE, &headers),
                         IPV6_CHAIN_GOOD);
        }
    }
}

TEST(ipv6_headers_and_options_have_their_bounds)
{
    uint8_t payload[200] = { 0 };
    uint8_t packet[ROOM];
    struct ipv6_headers headers;

    for (unsigned i = 0; i < IPV6_EXTENSIONS_MAX; i++)
        payload[i * 8] = 60;
    payload[(IPV6_EXTENSIONS_MAX - 1) * 8] = 59;
    uint32_t bytes = packet_of(packet, 60, payload, IPV6_EXTENSIONS_MAX * 8 + 8);
    EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_DELIVER, &headers), IPV6_CHAIN_GOOD);
    EXPECT_EQUAL(headers.extension_count, IPV6_EXTENSIONS_MAX);
    packet[40 + (IPV6_EXTENSIONS_MAX - 1) * 8] = 60;
    EXPECT_PROBLEM(packet, bytes, IPV6_TO_DELIVER, ICMP6_TOO_MANY_EXTENSIONS,
                   40 + IPV6_EXTENSIONS_MAX * 8);

    /* Options of 2 bytes that may be skipped, with padding between them. */
    memset(payload, 0, sizeof(payload));
    payload[0] = 59;
    payload[1] = 3;
    for (unsigned i = 0; i < IPV6_OPTIONS_MAX; i++)
        payload[2 + i * 3] = 0x1e;
    bytes = packet_of(packet, 60, payload, 32);
    EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_DELIVER, &headers), IPV6_CHAIN_GOOD);
    packet[40 + 2 + IPV6_OPTIONS_MAX * 3] = 0x1e;
    EXPECT_PROBLEM(packet, bytes, IPV6_TO_DELIVER, ICMP6_TOO_MANY_OPTIONS,
                   40 + 2 + IPV6_OPTIONS_MAX * 3);
}

TEST(ipv6_hop_by_hop_options_come_first_or_are_a_problem)
{
    uint8_t packet[ROOM];
    struct ipv6_headers headers;
    uint32_t bytes = PACKET(packet, 60, 0, 0, 1, 4, 0, 0, 0, 0, 59, 0, 1, 4, 0, 0, 0, 0);

    EXPECT_PROBLEM(packet, bytes, IPV6_TO_DELIVER, ICMP6_UNKNOWN_NEXT_HEADER, 40);
    EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_FORWARD, &headers), IPV6_CHAIN_GOOD);
    EXPECT_EQUAL(headers.protocol, PROTOCOL_HOP_BY_HOP);
    EXPECT_EQUAL(headers.upper_offset, 48);
    EXPECT(!headers.has_hop_by_hop);
}

TEST(ipv6_routing_headers_are_obeyed_by_nobody)
{
    uint8_t packet[ROOM];
    struct ipv6_headers headers;
    uint32_t bytes = PACKET(packet, 43, 59, 0, 0, 0, 0, 0, 0, 0);

    for (unsigned type = 0; type < 8; type++) {
        packet[42] = (uint8_t)type;
        packet[43] = 0;
        EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_DELIVER, &headers), IPV6_CHAIN_GOOD);
        packet[43] = 1;
        EXPECT_PROBLEM(packet, bytes, IPV6_TO_DELIVER, ICMP6_ERRONEOUS_FIELD, 42);
        EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_FORWARD, &headers), IPV6_CHAIN_GOOD);
        EXPECT_EQUAL(headers.routing_type, type);
        EXPECT_EQUAL(headers.segments_left, 1);
    }
}

TEST(ipv6_first_fragment_must_hold_all_headers)
{
    static const struct {
        uint8_t protocol, minimum;
    } cases[] = { { 6, 20 }, { 17, 8 }, { 58, 8 }, { 132, 0 } };
    uint8_t payload[64] = { 0, 0, 0, 1 }; /* offset 0, more */
    uint8_t packet[ROOM];
    struct ipv6_headers headers;

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        payload[0] = cases[i].protocol;
        for (unsigned room = 0; room < 32; room++) {
            uint32_t bytes = packet_of(packet, 44, payload, 8 + room);
            if (room >= cases[i].minimum) {
                EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_DELIVER, &headers),
                             IPV6_CHAIN_GOOD);
                EXPECT(ipv6_is_fragment(&headers));
                EXPECT(!ipv6_is_later_fragment(&headers));
                EXPECT_EQUAL(headers.fragment_named_offset, 6);
            } else {
                EXPECT_PROBLEM(packet, bytes, IPV6_TO_DELIVER, ICMP6_INCOMPLETE_CHAIN, 0);
            }
        }
    }
    /* Destination options behind it that do not end in it, or that are bad once they are whole. */
    uint32_t bytes = PACKET(packet, 44, 60, 0, 0, 1, 0, 0, 0, 0, 59, 1, 0x9e, 0, 0, 0, 0, 0);
    EXPECT_PROBLEM(packet, bytes, IPV6_TO_DELIVER, ICMP6_INCOMPLETE_CHAIN, 0);
    packet[49] = 0;
    EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_DELIVER, &headers), IPV6_CHAIN_GOOD);
    packet[43] = 0;
    EXPECT_PROBLEM(packet, bytes, IPV6_TO_DELIVER, ICMP6_UNKNOWN_OPTION, 50);
}

/* RFC 8200 4.5, by the lengths on both sides of each limit. */
TEST(ipv6_fragment_that_no_packet_can_have_is_pointed_at)
{
    static const struct {
        unsigned offset, data_bytes;
        bool more;
        uint16_t pointer; /* behind 8 bytes of options; 0: it can be */
    } cases[] = {
        { 0, 16, true, 0 },     { 0, 15, true, 4 },      { 0, 15, false, 0 },
        { 8, 17, true, 4 },     { 65512, 15, false, 0 }, { 65512, 16, false, 50 },
        { 65520, 7, false, 0 }, { 65520, 8, true, 50 },  { 65528, 0, false, 50 },
        { 65520, 9, true, 4 },
    };
    uint8_t payload[64] = { PROTOCOL_FRAGMENT, 0, IPV6_OPTION_PADN, 4 };
    uint8_t packet[ROOM];
    struct ipv6_headers headers;

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct ipv6_fragment fragment = { .offset_bytes = (uint16_t)cases[i].offset,
                                                .next_header = 132,
                                                .more = cases[i].more };
        ipv6_fragment_write(&fragment, payload + 8);
        uint32_t bytes = packet_of(packet, 60, payload, 16 + cases[i].data_bytes);
        EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_DELIVER, &headers), IPV6_CHAIN_GOOD);
        EXPECT_EQUAL(ipv6_fragment_is_possible((const void *)packet, &headers),
                     cases[i].pointer == 0);
        if (cases[i].pointer != 0) {
            EXPECT_EQUAL(headers.problem_code, ICMP6_ERRONEOUS_FIELD);
            EXPECT_EQUAL(headers.problem_pointer, cases[i].pointer);
        }
    }
}

TEST(ipv6_later_fragment_holds_no_headers)
{
    uint8_t packet[ROOM];
    struct ipv6_headers headers;
    uint32_t bytes = PACKET(packet, 44, 60, 0, 0, 8, 0, 0, 0, 7, 99);

    EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_DELIVER, &headers), IPV6_CHAIN_GOOD);
    EXPECT(ipv6_is_fragment(&headers));
    EXPECT(ipv6_is_later_fragment(&headers));
    EXPECT_EQUAL(headers.protocol, 60);
    EXPECT_EQUAL(headers.upper_offset, 48);
    EXPECT_EQUAL(headers.fragment.offset_bytes, 8);
    EXPECT_EQUAL(headers.fragment.identification, 7);
}

TEST(ipv6_second_fragment_header_ends_the_chain)
{
    uint8_t packet[ROOM];
    struct ipv6_headers headers;
    uint32_t bytes = PACKET(packet, 44, 44, 0, 0, 0, 0, 0, 0, 7, 17, 0, 0, 8, 0, 0, 0, 9, 1, 2);

    for (unsigned more = 0; more < 2; more++) {
        packet[43] = (uint8_t)more;
        EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_DELIVER, &headers), IPV6_CHAIN_GOOD);
        EXPECT_EQUAL(headers.protocol, PROTOCOL_FRAGMENT);
        EXPECT_EQUAL(headers.upper_offset, 48);
        EXPECT_EQUAL(headers.fragment_offset, 40);
        EXPECT_EQUAL(headers.fragment.identification, 7);
    }
}

TEST(ipv6_fragment_header_comes_back_as_it_was_written)
{
    static const uint8_t expected[8] = { 17, 0, 0xab, 0xc9, 1, 2, 3, 4 };
    struct ipv6_fragment fragment;
    uint8_t bytes[8] = { 17, 0xff, 0xab, 0xcf, 1, 2, 3, 4 }; /* reserved bits set */

    ipv6_fragment_read(bytes, &fragment);
    EXPECT_EQUAL(fragment.offset_bytes, 0xabc8);
    EXPECT(fragment.more);
    ipv6_fragment_write(&fragment, bytes);
    EXPECT(memcmp(bytes, expected, sizeof(bytes)) == 0);
    fragment.more = false;
    ipv6_fragment_write(&fragment, bytes);
    EXPECT_EQUAL(bytes[3], 0xc8);
}

TEST(ipv6_router_alert_is_read_as_it_was_written)
{
    uint8_t alert[IPV6_ROUTER_ALERT_HEADER_BYTES], packet[ROOM];
    struct ipv6_headers headers;

    ipv6_router_alert_write(PROTOCOL_ICMP6, 0x0102, alert);
    uint32_t bytes = packet_of(packet, 0, alert, sizeof(alert));
    EXPECT_EQUAL(ipv6_headers_walk(packet, bytes, IPV6_TO_FORWARD, &headers), IPV6_CHAIN_GOOD);
    EXPECT(headers.router_alert);
    EXPECT_EQUAL(headers.router_alert_value, 0x0102);
    EXPECT_EQUAL(headers.protocol, PROTOCOL_ICMP6);
    EXPECT_EQUAL(headers.upper_offset, 48);
}

/* ---- Checksum, ICMPv6 ----------------------------------------------------------------------- */

/* RFC 8200 8.1: the pseudo-header as it is drawn there, and RFC 1071's sum in network order. */
static uint16_t naive_checksum(const uint8_t *source, const uint8_t *destination, uint8_t protocol,
                               const uint8_t *message, size_t length)
{
    uint8_t bytes[40 + 256] = { 0 };
    uint32_t sum = 0;

    memcpy(bytes, source, 16);
    memcpy(bytes + 16, destination, 16);
    store_be32(bytes + 32, (uint32_t)length);
    bytes[39] = protocol;
    memcpy(bytes + 40, message, length);
    for (size_t i = 0; i < 40 + length; i++)
        sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

TEST(icmp6_checksum_covers_message_and_addresses)
{
    uint64_t random = 1;
    uint8_t source[16], destination[16], message[200];

    for (unsigned round = 0; round < 2000; round++) {
        size_t length = 8 + random_below(&random, sizeof(message) - 8);
        for (unsigned i = 0; i < 16; i++) {
            source[i] = (uint8_t)random_next(&random);
            destination[i] = (uint8_t)random_next(&random);
        }
        for (unsigned i = 0; i < sizeof(message); i++)
            message[i] = (uint8_t)random_next(&random);
        icmp6_seal(message, length, source, destination);
        EXPECT(icmp6_is_good(message, length, source, destination));
        uint16_t sealed = load_be16(message + 2);
        store_be16(message + 2, 0);
        EXPECT_EQUAL(sealed, naive_checksum(source, destination, PROTOCOL_ICMP6, message, length));
        store_be16(message + 2, sealed);

        /* In two segments. */
        size_t cut = random_below(&random, (uint32_t)length / 2) * 2;
        uint64_t sum = icmp6_pseudo_sum(source, destination, (uint32_t)length);
        sum = checksum_add(checksum_add(sum, message, cut), message + cut, length - cut);
        EXPECT_EQUAL(checksum_finish(sum), 0);

        source[random_below(&random, 16)] ^= 1;
        EXPECT(!icmp6_is_good(message, length, source, destination));
    }
    for (unsigned type = 0; type < 256; type++)
        EXPECT_EQUAL(icmp6_is_error((uint8_t)type), type < 128);
}

TEST(icmp6_error_is_read_with_what_it_quotes)
{
    uint8_t message[8 + ROOM] = { ICMP6_PACKET_TOO_BIG, 0, 0, 0, 0, 0, 5, 120 };
    uint8_t *quote = message + 8;
    struct icmp6_error error;
    uint32_t bytes = 8 + PACKET(quote, 60, 17, 0, 1, 4, 0, 0, 0, 0, 0xab, 2, 3, 4, 5, 6, 7, 8);

    store_be16(quote + 4, 1500); /* more than is quoted */
    EXPECT_EQUAL(icmp6_error_read(message, bytes, &error), OK);
    EXPECT_EQUAL(error.type, ICMP6_PACKET_TOO_BIG);
    EXPECT_EQUAL(error.mtu, 1400);
    EXPECT(ipv6_equal(error.source, host));
    EXPECT(ipv6_equal(error.destination, other));
    EXPECT_EQUAL(error.packet_bytes, 1540);
    EXPECT_EQUAL(error.protocol, 17);
    EXPECT_EQUAL(error.transport[0], 0xab);
    for (uint32_t length = 0; length < bytes; length++)
        EXPECT_EQUAL(icmp6_error_read(message, length, &error), ERROR_TRUNCATED);

    message[6] = 4; /* 1144 */
    EXPECT_EQUAL(icmp6_error_read(message, bytes, &error), ERROR_BAD_VALUE);
    message[0] = ICMP6_PARAMETER_PROBLEM;
    EXPECT_EQUAL(icmp6_error_read(message, bytes, &error), OK);
    EXPECT_EQUAL(error.pointer, 0x478);
    message[0] = 127; /* unknown errors are told to the sender as well */
    EXPECT_EQUAL(icmp6_error_read(message, bytes, &error), OK);
    EXPECT_EQUAL(error.type, 127);
    message[0] = ICMP6_ECHO_REQUEST;
    EXPECT_EQUAL(icmp6_error_read(message, bytes, &error), ERROR_UNSUPPORTED);

    message[0] = ICMP6_UNREACHABLE;
    quote[0] = 0x45;
    EXPECT_EQUAL(icmp6_error_read(message, bytes, &error), ERROR_MALFORMED);
    quote[0] = 0x60;
    quote[6] = 44; /* a later fragment: destination options become its header */
    quote[42] = 8;
    EXPECT_EQUAL(icmp6_error_read(message, bytes, &error), ERROR_MALFORMED);
    quote[6] = 17; /* ends before its own transport header */
    store_be16(quote + 4, 7);
    EXPECT_EQUAL(icmp6_error_read(message, bytes, &error), ERROR_TRUNCATED);
    quote[6] = 60;
    EXPECT_EQUAL(icmp6_error_read(message, bytes, &error), ERROR_MALFORMED);
}

/* ---- Neighbor discovery --------------------------------------------------------------------- */

static const uint8_t link_local[16] = { 0xfe, 0x80, [15] = 1 };
static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 };

/* The header that a message came behind. */
static struct ipv6_header carrier(const uint8_t *source, const uint8_t *destination)
{
    struct ipv6_header header = header_of(PROTOCOL_ICMP6, 100);

    header.hop_limit = ND_HOP_LIMIT;
    memcpy(header.source, source, 16);
    memcpy(header.destination, destination, 16);
    return header;
}

/* What the five have in common, whatever the value is: each kind by its number. */
enum { KINDS = 5 };
static const uint8_t fixed_bytes[KINDS] = { 8, 16, 24, 24, 40 };

static enum error read_kind(unsigned kind, const struct ipv6_header *header, const uint8_t *message,
                            size_t length)
{
    struct nd_router_solicitation rs;
    struct nd_router_advertisement ra;
    struct nd_neighbor_solicitation ns;
    struct nd_neighbor_advertisement na;
    struct nd_redirect redirect;

    switch (kind) {
    case 0:
        return nd_router_solicitation_read(header, message, length, &rs);
    case 1:
        return nd_router_advertisement_read(header, message, length, &ra);
    case 2:
        return nd_neighbor_solicitation_read(header, message, length, &ns);
    case 3:
        return nd_neighbor_advertisement_read(header, message, length, &na);
    default:
        return nd_redirect_read(header, message, length, &redirect);
    }
}

TEST(nd_messages_have_common_rules)
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct ipv6_header header = carrier(link_local, other);
        uint8_t message[64] = { (uint8_t)(ICMP6_ROUTER_SOLICITATION + kind) };
        size_t fixed = fixed_bytes[kind];

        for (size_t length = 0; length < fixed; length++)
            EXPECT_EQUAL(read_kind(kind, &header, message, length), ERROR_TRUNCATED);
        EXPECT_EQUAL(read_kind(kind, &header, message, fixed), OK);
        /* An option that nobody knows; then of no length, and longer than the message. */
        message[fixed] = 200;
        message[fixed + 1] = 2;
        EXPECT_EQUAL(read_kind(kind, &header, message, fixed + 16), OK);
        for (size_t length = fixed + 1; length < fixed + 16; length++)
            EXPECT_EQUAL(read_kind(kind, &header, message, length), ERROR_MALFORMED);
        message[fixed + 1] = 0;
        EXPECT_EQUAL(read_kind(kind, &header, message, fixed + 16), ERROR_MALFORMED);

        header.hop_limit = 254;
        EXPECT_EQUAL(read_kind(kind, &header, message, fixed), ERROR_MALFORMED);
        header.hop_limit = 255;
        message[1] = 1;
        EXPECT_EQUAL(read_kind(kind, &header, message, fixed), ERROR_MALFORMED);
        message[1] = 0;
        message[0] = ICMP6_ECHO_REQUEST;
        EXPECT_EQUAL(read_kind(kind, &header, message, fixed), ERROR_UNSUPPORTED);
    }
}

TEST(nd_router_solicitation_comes_back_as_it_was_written)
{
    static const uint8_t expected[] = { 133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 7 };
    struct ipv6_header header = carrier(link_local, ipv6_all_routers);
    struct nd_router_solicitation solicitation = { .has_source_mac = true };
    uint8_t message[16];

    memcpy(solicitation.source_mac, mac, 6);
    EXPECT_EQUAL(nd_router_solicitation_write(&solicitation, message, 16), 16);
    EXPECT(memcmp(message, expected, 16) == 0);
    EXPECT_EQUAL(nd_router_solicitation_write(&solicitation, message, 15), 0);
    memset(&solicitation, 0, sizeof(solicitation));
    EXPECT_EQUAL(nd_router_solicitation_read(&header, message, 16, &solicitation), OK);
    EXPECT(solicitation.has_source_mac);
    EXPECT(mac_equal(solicitation.source_mac, mac));

    /* From nobody it has no address to tell, not even one that cannot be. */
    header = carrier(ipv6_unspecified, ipv6_all_routers);
    EXPECT_EQUAL(nd_router_solicitation_read(&header, message, 16, &solicitation), ERROR_MALFORMED);
    message[10] = 3;
    EXPECT_EQUAL(nd_router_solicitation_read(&header, message, 16, &solicitation), ERROR_MALFORMED);
    EXPECT_EQUAL(nd_router_solicitation_read(&header, message, 8, &solicitation), OK);
    EXPECT(!solicitation.has_source_mac);
    header = carrier(link_local, ipv6_all_routers); /* a group's MAC */
    EXPECT_EQUAL(nd_router_solicitation_read(&header, message, 16, &solicitation), OK);
    EXPECT(!solicitation.has_source_mac);
}

TEST(nd_router_advertisement_is_written_as_the_rfc_draws_it)
{
    static const uint8_t expected[] = {
        134,  0, 0,    0,    64,   0xc0, 7,    8,
        0,    0, 0x75, 0x30, 0,    0,    3,    0xe8, /* fixed part */
        1,    1, 2,    0,    0,    0,    0,    7,    /* source address */
        5,    1, 0,    0,    0,    0,    5,    0xdc, /* MTU 1500 */
        3,    4, 63,   0xc0, 0,    0,    0xe,  0x10,
        0,    0, 7,    8,    0,    0,    0,    0, /* prefix */
        0x20, 1, 0xd,  0xb8, 0,    0,    0,    2,
        0,    0, 0,    0,    0,    0,    0,    0,    /* its 64th bit cleared */
        25,   3, 0,    0,    0xff, 0xff, 0xff, 0xff, /* RDNSS */
        0x20, 1, 0xd,  0xb8, 0,    0,    0,    0,
        0,    0, 0,    0,    0,    0,    0,    1,
    };
    struct ipv6_header header = carrier(link_local, ipv6_all_nodes);
    struct nd_router_advertisement ra = {
        .hop_limit = 64,
        .managed = true,
        .other_configuration = true,
        .lifetime_s = 0x0708,
        .reachable_ms = 30000,
        .retransmit_ms = 1000,
        .mtu = 1500,
        .has_source_mac = true,
        .prefix_count = 1,
        .server_count = 1,
        .prefixes = { { .prefix = { 0x20, 1, 0xd, 0xb8, [7] = 3, [15] = 9 },
                        .prefix_bits = 63,
                        .on_link = true,
                        .autonomous = true,
                        .valid_s = 3600,
                        .preferred_s = 1800 } },
        .servers = { { .lifetime_s = ND_INFINITE_S } },
    };
    struct nd_router_advertisement found;
    uint8_t message[sizeof(expected)];

    memcpy(ra.source_mac, mac, 6);
    memcpy(ra.servers[0].address, host, 16);
    EXPECT_EQUAL(nd_router_advertisement_write(&ra, message, sizeof(message)), sizeof(message));
    EXPECT(memcmp(message, expected, sizeof(message)) == 0);
    for (size_t size = 0; size < sizeof(message); size++)
        EXPECT_EQUAL(nd_router_advertisement_write(&ra, message, size), 0);

    EXPECT_EQUAL(nd_router_advertisement_read(&header, expected, sizeof(expected), &found), OK);
    EXPECT_EQUAL(found.hop_limit, 64);
    EXPECT(found.managed);
    EXPECT(found.other_configuration);
    EXPECT_EQUAL(found.lifetime_s, 1800);
    EXPECT_EQUAL(found.reachable_ms, 30000);
    EXPECT_EQUAL(found.retransmit_ms, 1000);
    EXPECT_EQUAL(found.mtu, 1500);
    EXPECT(found.has_source_mac);
    EXPECT_EQUAL(found.prefix_count, 1);
    EXPECT_EQUAL(found.prefixes[0].prefix_bits, 63);
    EXPECT(memcmp(found.prefixes[0].prefix, expected + 48, 16) == 0);
    EXPECT(found.prefixes[0].on_link);
    EXPECT(found.prefixes[0].autonomous);
    EXPECT_EQUAL(found.prefixes[0].valid_s, 3600);
    EXPECT_EQUAL(found.prefixes[0].preferred_s, 1800);
    EXPECT_EQUAL(found.server_count, 1);
    EXPECT(ipv6_equal(found.servers[0].address, host));
    EXPECT_EQUAL(found.servers[0].lifetime_s, ND_INFINITE_S);
    EXPECT_EQUAL(found.prefixes_left_out + found.servers_left_out, 0);

    header = carrier(host, ipv6_all_nodes); /* not of this link */
    EXPECT_EQUAL(nd_router_advertisement_read(&header, expected, sizeof(expected), &found),
                 ERROR_MALFORMED);
}

/* An advertisement with one option of so many units. */
static struct nd_router_advertisement with_option(const uint8_t *option, size_t units)
{
    struct ipv6_header header = carrier(link_local, ipv6_all_nodes);
    struct nd_router_advertisement found;
    uint8_t message[16 + 64] = { ICMP6_ROUTER_ADVERTISEMENT };

    memcpy(message + 16, option, units * 8);
    message[17] = (uint8_t)units;
    EXPECT_EQUAL(nd_router_advertisement_read(&header, message, 16 + units * 8, &found), OK);
    return found;
}

TEST(nd_options_that_cannot_be_are_skipped_alone)
{
    uint8_t prefix[40] = { 3,    4, 64,   0xc0, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 0,
                           0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    struct nd_router_advertisement found = with_option(prefix, 4);

    EXPECT_EQUAL(found.prefix_count, 1);
    EXPECT_EQUAL(load_be64(found.prefixes[0].prefix + 8), 0);
    EXPECT(found.prefixes[0].autonomous);
    EXPECT_EQUAL(with_option(prefix, 3).prefix_count, 0);
    EXPECT_EQUAL(with_option(prefix, 5).prefix_count, 0);
    prefix[11] = 10; /* preferred for longer than valid */
    EXPECT(!with_option(prefix, 4).prefixes[0].autonomous);
    EXPECT(with_option(prefix, 4).prefixes[0].on_link);
    prefix[2] = 128;
    EXPECT_EQUAL(with_option(prefix, 4).prefixes[0].prefix[15], 8);
    prefix[2] = 0;
    EXPECT(ipv6_is_unspecified(with_option(prefix, 4).prefixes[0].prefix));
    prefix[2] = 129;
    EXPECT_EQUAL(with_option(prefix, 4).prefix_count, 0);
    prefix[2] = 64;
    prefix[16] = 0xfe;
    prefix[17] = 0x80;
    EXPECT_EQUAL(with_option(prefix, 4).prefix_count, 0);
    prefix[2] = 9;
    prefix[17] = 0xff; /* is link-local only once its host bits are gone */
    EXPECT_EQUAL(with_option(prefix, 4).prefix_count, 0);
    prefix[2] = 64;
    EXPECT_EQUAL(with_option(prefix, 4).prefix_count, 1);
    prefix[16] = 0xff;
    EXPECT_EQUAL(with_option(prefix, 4).prefix_count, 0);

    uint8_t mtu[16] = { 5, 1, 0, 0, 0, 0, 5, 0 };
    EXPECT_EQUAL(with_option(mtu, 1).mtu, 1280);
    EXPECT_EQUAL(with_option(mtu, 2).mtu, 0);
    mtu[6] = 4;
    EXPECT_EQUAL(with_option(mtu, 1).mtu, 0);

    uint8_t servers[64] = { 25, 5, 0, 0, 0, 0, 0, 60, [23] = 1, [39] = 2 };
    found = with_option(servers, 5);
    EXPECT_EQUAL(found.server_count, 2);
    EXPECT_EQUAL(found.servers[1].address[15], 2);
    EXPECT_EQUAL(found.servers[1].lifetime_s, 60);
    EXPECT_EQUAL(with_option(servers, 1).server_count, 0);
    EXPECT_EQUAL(with_option(servers, 2).server_count, 0);
    EXPECT_EQUAL(with_option(servers, 4).server_count, 0);

    uint8_t address[16] = { 1, 1, 2, 0, 0, 0, 0, 7 };
    EXPECT(with_option(address, 1).has_source_mac);
    EXPECT(!with_option(address, 2).has_source_mac);
}

TEST(nd_prefixes_and_servers_beyond_the_bound_are_counted)
{
    struct ipv6_header header = carrier(link_local, ipv6_all_nodes);
    struct nd_router_advertisement found;
    uint8_t message[16 + 10 * 32 + (8 + 6 * 16)] = { ICMP6_ROUTER_ADVERTISEMENT };
    uint8_t *at = message + 16;

    for (unsigned i = 0; i < 10; i++, at += 32) {
        at[0] = ND_OPTION_PREFIX;
        at[1] = 4;
        at[2] = 64;
        at[16] = 0x20;
        at[23] = (uint8_t)i;
    }
    at[0] = ND_OPTION_SERVERS;
    at[1] = 13;
    EXPECT_EQUAL(nd_router_advertisement_read(&header, message, sizeof(message), &found), OK);
    EXPECT_EQUAL(found.prefix_count, ND_PREFIXES_MAX);
    EXPECT_EQUAL(found.prefixes_left_out, 10 - ND_PREFIXES_MAX);
    EXPECT_EQUAL(found.prefixes[7].prefix[7], 7);
    EXPECT_EQUAL(found.server_count, ND_SERVERS_MAX);
    EXPECT_EQUAL(found.servers_left_out, 6 - ND_SERVERS_MAX);
}

TEST(nd_neighbor_solicitation_comes_back_as_it_was_written)
{
    struct nd_neighbor_solicitation solicitation = { .has_source_mac = true }, found;
    uint8_t message[ND_NEIGHBOR_BYTES], group[16];

    ipv6_solicited_node(other, group);
    struct ipv6_header header = carrier(host, group);
    memcpy(solicitation.target, other, 16);
    memcpy(solicitation.source_mac, mac, 6);
    EXPECT_EQUAL(nd_neighbor_solicitation_write(&solicitation, message, sizeof(message)),
                 sizeof(message));
    EXPECT_EQUAL(nd_neighbor_solicitation_write(&solicitation, message, sizeof(message) - 1), 0);
    EXPECT_EQUAL(message[0], 135);
    EXPECT_EQUAL(message[24], ND_OPTION_SOURCE_LINK_ADDRESS);
    EXPECT_EQUAL(nd_neighbor_solicitation_read(&header, message, sizeof(message), &found), OK);
    EXPECT(ipv6_equal(found.target, other));
    EXPECT(found.has_source_mac);
    EXPECT(mac_equal(found.source_mac, mac));

    /* Duplicate address detection: RFC 4862 5.4.2. */
    header = carrier(ipv6_unspecified, group);
    EXPECT_EQUAL(nd_neighbor_solicitation_read(&header, message, sizeof(message), &found),
                 ERROR_MALFORMED);
    EXPECT_EQUAL(nd_neighbor_solicitation_read(&header, message, 24, &found), OK);
    EXPECT(!found.has_source_mac);
    header = carrier(ipv6_unspecified, other);
    EXPECT_EQUAL(nd_neighbor_solicitation_read(&header, message, 24, &found), ERROR_MALFORMED);

    header = carrier(host, other);
    message[8] = 0xff; /* nobody owns a group */
    EXPECT_EQUAL(nd_neighbor_solicitation_read(&header, message, 24, &found), ERROR_MALFORMED);
}

TEST(nd_neighbor_advertisement_comes_back_as_it_was_written)
{
    struct ipv6_header to_one = carrier(other, host), to_all = carrier(other, ipv6_all_nodes);

    for (unsigned flags = 0; flags < 8; flags++) {
        struct nd_neighbor_advertisement advertisement = {
            .router = flags & 4,
            .solicited = flags & 2,
            .override = flags & 1,
            .has_target_mac = true,
        };
        struct nd_neighbor_advertisement found;
        uint8_t message[ND_NEIGHBOR_BYTES];

        memcpy(advertisement.target, other, 16);
        memcpy(advertisement.target_mac, mac, 6);
        EXPECT_EQUAL(nd_neighbor_advertisement_write(&advertisement, message, sizeof(message)),
                     sizeof(message));
        EXPECT_EQUAL(message[4], flags << 5);
        EXPECT_EQUAL(message[24], ND_OPTION_TARGET_LINK_ADDRESS);
        EXPECT_EQUAL(nd_neighbor_advertisement_read(&to_one, message, sizeof(message), &found), OK);
        EXPECT(ipv6_equal(found.target, other));
        EXPECT_EQUAL(found.router, advertisement.router);
        EXPECT_EQUAL(found.solicited, advertisement.solicited);
        EXPECT_EQUAL(found.override, advertisement.override);
        EXPECT(found.has_target_mac);
        EXPECT(mac_equal(found.target_mac, mac));
        EXPECT_EQUAL(nd_neighbor_advertisement_read(&to_all, message, sizeof(message), &found),
                     advertisement.solicited ? ERROR_MALFORMED : OK);
        message[8] = 0xff;
        EXPECT_EQUAL(nd_neighbor_advertisement_read(&to_one, message, sizeof(message), &found),
                     ERROR_MALFORMED);
    }
}

TEST(nd_redirect_comes_back_as_it_was_written)
{
    struct ipv6_header header = carrier(link_local, host);
    uint8_t packet[60], message[200];
    struct nd_redirect redirect = {
        .has_target_mac = true,
        .redirected = packet,
        .redirected_bytes = sizeof(packet),
    };
    struct nd_redirect found;

    memset(packet, 0x77, sizeof(packet));
    memcpy(redirect.target, link_local, 16);
    memcpy(redirect.destination, other, 16);
    memcpy(redirect.target_mac, mac, 6);
    EXPECT_EQUAL(nd_redirect_write(&redirect, message, sizeof(message)), 40 + 8 + 8 + 56);
    EXPECT_EQUAL(nd_redirect_read(&header, message, 40 + 8 + 8 + 56, &found), OK);
    EXPECT(ipv6_equal(found.target, link_local));
    EXPECT(ipv6_equal(found.destination, other));
    EXPECT(found.has_target_mac);
    EXPECT(mac_equal(found.target_mac, mac));
    EXPECT_EQUAL(found.redirected_bytes, 56);
    EXPECT(memcmp(found.redirected, packet, 56) == 0);

    /* Cut to what fits, left out where nothing does. */
    EXPECT_EQUAL(nd_redirect_write(&redirect, message, 40 + 8 + 8 + 55), 40 + 8 + 8 + 48);
    EXPECT_EQUAL(nd_redirect_write(&redirect, message, 40 + 8 + 15), 40 + 8);
    EXPECT_EQUAL(nd_redirect_read(&header, message, 40 + 8, &found), OK);
    EXPECT(!found.redirected);
    EXPECT_EQUAL(nd_redirect_write(&redirect, message, 40 + 7), 0);
    redirect.redirected_bytes = 7;
    EXPECT_EQUAL(nd_redirect_write(&redirect, message, sizeof(message)), 40 + 8);

    message[24] = 0xff; /* of a group */
    EXPECT_EQUAL(nd_redirect_read(&header, message, 40, &found), ERROR_MALFORMED);
    memcpy(message + 24, other, 16);
    memcpy(message + 8, other, 16); /* on this link */
    EXPECT_EQUAL(nd_redirect_read(&header, message, 40, &found), OK);
    message[8 + 15] ^= 1; /* a router by an address that is not link-local */
    EXPECT_EQUAL(nd_redirect_read(&header, message, 40, &found), ERROR_MALFORMED);
    memcpy(message + 8, other, 16);
    header = carrier(other, host);
    EXPECT_EQUAL(nd_redirect_read(&header, message, 40, &found), ERROR_MALFORMED);
}

/* ---- Multicast listener discovery ----------------------------------------------------------- */

static struct ipv6_header querier(void)
{
    struct ipv6_header header = carrier(link_local, ipv6_all_nodes);

    header.hop_limit = MLD_HOP_LIMIT;
    return header;
}

TEST(mld_query_is_of_the_version_that_its_length_says)
{
    struct ipv6_header header = querier();
    uint8_t message[28 + 32] = { 130, 0, 0, 0, 0x27, 0x10, 0, 0, 0xff, 2 };
    struct mld_query query;

    message[23] = 9;
    message[24] = 0xf0 | 8 | 2;
    message[25] = 125;
    message[27] = 2;
    message[28 + 31] = 0x77;
    for (size_t length = 0; length < 24; length++)
        EXPECT_EQUAL(mld_query_read(&header, true, message, length, &query), ERROR_TRUNCATED);
    EXPECT_EQUAL(mld_query_read(&header, true, message, 24, &query), OK);
    EXPECT_EQUAL(query.version, 1);
    EXPECT_EQUAL(query.maximum_response_ms, 10000);
    EXPECT_EQUAL(query.group[15], 9);
    EXPECT_EQUAL(query.interval_s + query.robustness + query.suppress + query.source_count, 0);
    for (size_t length = 25; length < 28; length++)
        EXPECT_EQUAL(mld_query_read(&header, true, message, length, &query), ERROR_UNSUPPORTED);
    for (size_t length = 28; length < 60; length++)
        EXPECT_EQUAL(mld_query_read(&header, true, message, length, &query), ERROR_MALFORMED);
    EXPECT_EQUAL(mld_query_read(&header, true, message, 60, &query), OK);
    EXPECT_EQUAL(query.version, 2);
    EXPECT_EQUAL(query.maximum_response_ms, 10000);
    EXPECT(query.suppress);
    EXPECT_EQUAL(query.robustness, 2);
    EXPECT_EQUAL(query.interval_s, 125);
    EXPECT_EQUAL(query.source_count, 2);
    EXPECT_EQUAL(query.sources[31], 0x77);
    message[27] = 0;
    message[8] = message[9] = message[23] = 0; /* general */
    EXPECT_EQUAL(mld_query_read(&header, true, message, 28, &query), OK);
    EXPECT(!query.sources);
    EXPECT(ipv6_is_unspecified(query.group));

    EXPECT_EQUAL(mld_query_read(&header, false, message, 28, &query), ERROR_MALFORMED);
    header.hop_limit = 2;
    EXPECT_EQUAL(mld_query_read(&header, true, message, 28, &query), ERROR_MALFORMED);
    header = querier();
    header.source[0] = 0x20;
    EXPECT_EQUAL(mld_query_read(&header, true, message, 28, &query), ERROR_MALFORMED);
    header = querier();
    message[8] = 0x20; /* no group */
    EXPECT_EQUAL(mld_query_read(&header, true, message, 28, &query), ERROR_MALFORMED);
    message[8] = 0;
    message[0] = 131;
    EXPECT_EQUAL(mld_query_read(&header, true, message, 28, &query), ERROR_UNSUPPORTED);
}

TEST(mld_times_have_a_floating_point_form)
{
    static const struct {
        uint16_t code;
        uint32_t ms;
    } responses[] = { { 0, 0 },          { 0x7fff, 32767 }, { 0x8000, 32768 },  { 0x8001, 32776 },
                      { 0x8fff, 65528 }, { 0x9000, 65536 }, { 0xffff, 8387584 } };
    static const struct {
        uint8_t code;
        uint32_t s;
    } intervals[] = { { 0, 0 },      { 127, 127 },  { 0x80, 128 },
                      { 0x81, 136 }, { 0x90, 256 }, { 0xff, 31744 } };
    struct ipv6_header header = querier();
    uint8_t message[28] = { 130 };
    struct mld_query query;

    for (unsigned i = 0; i < ARRAY_COUNT(responses); i++) {
        store_be16(message + 4, responses[i].code);
        EXPECT_EQUAL(mld_query_read(&header, true, message, 28, &query), OK);
        EXPECT_EQUAL(query.maximum_response_ms, responses[i].ms);
        EXPECT_EQUAL(mld_query_read(&header, true, message, 24, &query), OK);
        EXPECT_EQUAL(query.maximum_response_ms, responses[i].code); /* version 1 has none */
    }
    for (unsigned i = 0; i < ARRAY_COUNT(intervals); i++) {
        message[25] = intervals[i].code;
        EXPECT_EQUAL(mld_query_read(&header, true, message, 28, &query), OK);
        EXPECT_EQUAL(query.interval_s, intervals[i].s);
    }
}

TEST(mld_reports_are_written_as_the_rfcs_draw_them)
{
    static const uint8_t expected[] = {
        143, 0, 0, 0, 0, 0, 0, 2, 4,    0, 0, 0, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0,   0, 0, 2, 3, 0, 0, 0, 0xff, 2, 0, 0, 0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    };
    struct mld_record records[MLD_RECORDS_MAX + 1] = { { .type = MLD_TO_EXCLUDE },
                                                       { .type = MLD_TO_INCLUDE } };
    uint8_t out[IPV6_MINIMUM_MTU];

    memcpy(records[0].group, ipv6_all_routers, 16);
    memcpy(records[1].group, ipv6_all_nodes, 16);
    EXPECT_EQUAL(mld_report_write(records, 2, out, 48), 48);
    EXPECT(memcmp(out, expected, 48) == 0);
    EXPECT_EQUAL(mld_report_write(records, 2, out, 47), 0);
    EXPECT_EQUAL(mld_report_write(records, MLD_RECORDS_MAX, out, sizeof(out) - 40 - 8), 1228);
    EXPECT_PANIC((void)!mld_report_write(records, MLD_RECORDS_MAX + 1, out, sizeof(out)),
                 "MLD_RECORDS_MAX");

    mld1_message_write(ICMP6_LISTENER_DONE, ipv6_all_routers, out);
    EXPECT_EQUAL(load_be64(out), (uint64_t)132 << 56);
    EXPECT(ipv6_equal(out + 8, ipv6_all_routers));
}
