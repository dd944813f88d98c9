/* The header formats: known bytes in, values out, and back; every field's bad values; checksums
 * beside a sum that is computed as RFC 1071 is written. */
#include <string.h>

#include "kernel/base/random.h"
#include "net/wire/arp.h"
#include "net/wire/checksum.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp4.h"
#include "net/wire/ipv4.h"
#include "net/wire/udp.h"
#include "tests/unit/test.h"

/* ---- Checksum ------------------------------------------------------------------------------- */

/* RFC 1071 1, word by word in network order. */
static uint16_t naive_checksum(const uint8_t *data, size_t length)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < length; i++)
        sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void fill(uint8_t *bytes, size_t length, uint64_t *random)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)random_next(random);
}

TEST(checksum_agrees_with_the_naive_sum_at_every_length_and_alignment)
{
    uint64_t random = 1;
    uint8_t bytes[300];

    for (unsigned round = 0; round < 4; round++) {
        fill(bytes, sizeof(bytes), &random);
        if (round == 0)
            memset(bytes, 0xff, sizeof(bytes)); /* carries everywhere */
        for (size_t start = 0; start < 9; start++)
            for (size_t length = 0; start + length <= sizeof(bytes); length++)
                EXPECT_EQUAL(checksum_of(bytes + start, length),
                             __builtin_bswap16(naive_checksum(bytes + start, length)));
    }
}

TEST(checksum_of_pieces_is_that_of_the_whole)
{
    uint64_t random = 2;
    uint8_t bytes[200];

    fill(bytes, sizeof(bytes), &random);
    for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
        uint64_t sum = checksum_add(0, bytes, cut);
        sum = cut % 2 == 0 ? checksum_add(sum, bytes + cut, sizeof(bytes) - cut)
                           : checksum_add_odd(sum, bytes + cut, sizeof(bytes) - cut);
        EXPECT_EQUAL(checksum_finish(sum), checksum_of(bytes, sizeof(bytes)));
    }
}

TEST(checksum_by_difference_is_that_of_the_changed_bytes)
{
    uint64_t random = 3;
    uint8_t bytes[IPV4_HEADER_BYTES];
    struct ipv4_header *header = (void *)bytes;

    for (unsigned round = 0; round < 100000; round++) {
        fill(bytes, sizeof(bytes), &random);
        header->version_and_length = 0x45;
        header->ttl |= 1;
        ipv4_seal(header);
        EXPECT_EQUAL(checksum_of(bytes, sizeof(bytes)), 0);
        ipv4_decrement_ttl(header);
        EXPECT_EQUAL(checksum_of(bytes, sizeof(bytes)), 0);
    }
}

/* ---- Ethernet, ARP -------------------------------------------------------------------------- */

TEST(ethernet_and_arp_come_back_as_they_were_written)
{
    static const uint8_t expected[] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,  0, 0, 0, 0, 1, 0x08, 0x06, /* Ethernet */
        0,    1,    8,    0,    6,    4,    0,  1,                         /* request */
        2,    0,    0,    0,    0,    1,    10, 0, 0, 1, 0, 0, 0,    0,    0, 0, 10, 0, 0, 2,
    };
    struct ethernet_header header;
    struct arp_message arp;
    uint8_t bytes[sizeof(expected)];

    EXPECT_EQUAL(ethernet_read(expected, sizeof(expected), &header), OK);
    EXPECT(mac_equal(header.target, mac_broadcast));
    EXPECT(mac_is_group(header.target));
    EXPECT(mac_is_station(header.source));
    EXPECT_EQUAL(header.ethertype, ETHERTYPE_ARP);
    EXPECT_EQUAL(arp_read(expected + 14, ARP_BYTES, &arp), OK);
    EXPECT_EQUAL(arp.operation, ARP_REQUEST);
    EXPECT_EQUAL(arp.sender_be, 0x0100000a);
    EXPECT_EQUAL(arp.target_be, 0x0200000a);
    EXPECT(mac_is_zero(arp.target_mac));
    ethernet_write(&header, bytes);
    arp_write(&arp, bytes + 14);
    EXPECT(memcmp(bytes, expected, sizeof(bytes)) == 0);
    for (size_t length = 0; length < ETHERNET_HEADER_BYTES; length++)
        EXPECT_EQUAL(ethernet_read(expected, length, &header), ERROR_TRUNCATED);
    for (size_t length = 0; length < ARP_BYTES; length++)
        EXPECT_EQUAL(arp_read(expected + 14, length, &arp), ERROR_TRUNCATED);
    for (unsigned at = 14; at < 22; at++) {
        memcpy(bytes, expected, sizeof(bytes));
        bytes[at] ^= 0x10;
        EXPECT_EQUAL(arp_read(bytes + 14, ARP_BYTES, &arp), ERROR_UNSUPPORTED);
    }
}

/* ---- IPv4 ----------------------------------------------------------------------------------- */

/* A header with these options behind it, padded, its checksum good; its length. */
static size_t make_header(uint8_t out[IPV4_HEADER_MAX_BYTES], const uint8_t *options, size_t count)
{
    struct ipv4_header *header = (void *)out;
    size_t length = IPV4_HEADER_BYTES + (count + 3) / 4 * 4;

    memset(out, 0, IPV4_HEADER_MAX_BYTES);
    header->version_and_length = (uint8_t)(0x40 | length / 4);
    header->total_length_be = __builtin_bswap16((uint16_t)(length + 100));
    header->ttl = 64;
    if (count > 0)
        memcpy(out + IPV4_HEADER_BYTES, options, count);
    ipv4_seal(header);
    return length;
}

TEST(ipv4_header_is_checked_in_the_order_of_rfc_1812)
{
    uint8_t bytes[IPV4_HEADER_MAX_BYTES];
    struct ipv4_header *header = (void *)bytes;
    size_t length = make_header(bytes, NULL, 0);

    EXPECT_EQUAL(ipv4_check(bytes, sizeof(bytes), 120), IPV4_GOOD);
    EXPECT_EQUAL(ipv4_check(bytes, length, 1500), IPV4_GOOD); /* padding */
    EXPECT_EQUAL(ipv4_check(bytes, 19, 120), IPV4_TRUNCATED);
    EXPECT_EQUAL(ipv4_check(bytes, 0, 0), IPV4_TRUNCATED);
    EXPECT_EQUAL(ipv4_check(bytes, length, 119), IPV4_TRUNCATED);

    header->version_and_length = 0x65;
    ipv4_seal(header);
    EXPECT_EQUAL(ipv4_check(bytes, sizeof(bytes), 120), IPV4_BAD_HEADER);
    header->version_and_length = 0x44;
    EXPECT_EQUAL(ipv4_check(bytes, sizeof(bytes), 120), IPV4_BAD_HEADER);
    header->version_and_length = 0x4f;
    EXPECT_EQUAL(ipv4_check(bytes, 59, 120), IPV4_TRUNCATED);
    ipv4_seal(header);
    EXPECT_EQUAL(ipv4_check(bytes, 60, 120), IPV4_GOOD);
    header->ttl++;
    EXPECT_EQUAL(ipv4_check(bytes, 60, 120), IPV4_BAD_CHECKSUM);
    header->total_length_be = __builtin_bswap16(59);
    ipv4_seal(header);
    EXPECT_EQUAL(ipv4_check(bytes, 60, 120), IPV4_BAD_HEADER);
    header->total_length_be = __builtin_bswap16(60);
    ipv4_seal(header);
    EXPECT_EQUAL(ipv4_check(bytes, 60, 120), IPV4_GOOD);
}

static bool walk(const uint8_t *options, size_t count, struct ipv4_options *found)
{
    uint8_t bytes[IPV4_HEADER_MAX_BYTES];
    size_t length = make_header(bytes, options, count);

    return ipv4_options_walk(bytes, length, found);
}

#define WALK(found, ...) \
    walk((const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }), found)

TEST(ipv4_options_are_walked_to_the_byte_that_is_wrong)
{
    struct ipv4_options found;

    EXPECT(WALK(&found, 1, 1, 0, 77)); /* nothing behind the end is looked at */
    EXPECT(WALK(&found, 7, 7, 4, 0, 0, 0, 0, 1));
    EXPECT(!found.source_route);
    EXPECT(WALK(&found, 131, 7, 4, 10, 0, 0, 1));
    EXPECT(found.source_route);
    EXPECT(WALK(&found, 137, 3, 4, 148, 4, 0, 0, 0));
    EXPECT(found.source_route);
    EXPECT(found.router_alert);
    EXPECT(WALK(&found, 68, 8, 5, 0, 0, 0, 0, 0));
    EXPECT(WALK(&found, 200, 4, 0, 0)); /* unknown ones are passed on: RFC 1812 4.2.2.1 */

    EXPECT(!WALK(&found, 1, 1, 1, 7)); /* no room for its length */
    EXPECT_EQUAL(found.error_offset, 23);
    EXPECT(!WALK(&found, 200, 0, 0, 0));
    EXPECT_EQUAL(found.error_offset, 21);
    EXPECT(!WALK(&found, 1, 200, 4, 0)); /* longer than the header */
    EXPECT_EQUAL(found.error_offset, 22);
    EXPECT(!WALK(&found, 7, 2, 0, 0));
    EXPECT_EQUAL(found.error_offset, 21);
    EXPECT(!WALK(&found, 7, 3, 3, 0));
    EXPECT_EQUAL(found.error_offset, 22);
    EXPECT(!WALK(&found, 68, 4, 4, 0));
    EXPECT_EQUAL(found.error_offset, 22);
    EXPECT(!WALK(&found, 148, 3, 0, 0));
    EXPECT_EQUAL(found.error_offset, 21);
}

TEST(ipv4_options_in_later_fragments_are_the_copied_ones)
{
    static const uint8_t options[] = { 1, 7, 7, 4, 1, 2, 3, 4, 148, 4, 0, 0, 131, 3, 4, 0 };
    static const uint8_t copied[] = { 148, 4, 0, 0, 131, 3, 4, 0 };
    uint8_t bytes[IPV4_HEADER_MAX_BYTES], out[40];
    size_t length = make_header(bytes, options, sizeof(options));

    EXPECT_EQUAL(ipv4_options_copied(bytes, length, out), sizeof(copied));
    EXPECT(memcmp(out, copied, sizeof(copied)) == 0);
}

TEST(ipv4_addresses_fall_into_their_classes)
{
    EXPECT(ipv4_is_multicast(0x010000e0));
    EXPECT(ipv4_is_multicast(0xffffffef));
    EXPECT(!ipv4_is_multicast(0x000000f0));
    EXPECT(ipv4_is_reserved(0x000000f0));
    EXPECT(ipv4_is_limited_broadcast(0xffffffff));
    EXPECT(ipv4_is_loopback(0x0100007f));
    EXPECT(ipv4_is_this_network(0x01000000));
    EXPECT(ipv4_is_station(0x0100000a));
    EXPECT(ipv4_is_station(0xfeffffdf)); /* 223.255.255.254 */
    EXPECT(!ipv4_is_station(0));
    EXPECT(!ipv4_is_station(0xffffffff));
}

/* ---- UDP, ICMP ------------------------------------------------------------------------------ */

TEST(udp_header_is_read_and_sealed)
{
    uint8_t bytes[UDP_HEADER_BYTES + 5] = { 0, 53, 0xc0, 1, 0, 13, 0x12, 0x34, 'h', 'e' };
    struct udp udp;

    EXPECT_EQUAL(udp_read(bytes, sizeof(bytes), sizeof(bytes), &udp), OK);
    EXPECT_EQUAL(udp.source_port, 53);
    EXPECT_EQUAL(udp.destination_port, 0xc001);
    EXPECT_EQUAL(udp.length_bytes, 13);
    EXPECT(udp.has_checksum);
    EXPECT_EQUAL(udp_read(bytes, 7, sizeof(bytes), &udp), ERROR_TRUNCATED);
    EXPECT_EQUAL(udp_read(bytes, 8, 12, &udp), ERROR_TRUNCATED);
    bytes[5] = 7;
    EXPECT_EQUAL(udp_read(bytes, 8, 13, &udp), ERROR_MALFORMED);

    udp_seal(bytes, 5, 0x0100000a, 0x0200000a, 53, 1000);
    uint64_t sum = ipv4_pseudo_sum(0x0100000a, 0x0200000a, PROTOCOL_UDP, 13);
    EXPECT_EQUAL(checksum_finish(checksum_add(sum, bytes, sizeof(bytes))), 0);
}

/* RFC 768: a sum that comes out as 0 is sent as all ones, since 0 says that there is none. */
TEST(udp_checksum_is_never_sent_as_zero)
{
    uint8_t bytes[UDP_HEADER_BYTES + 2];
    bool met = false;

    for (unsigned i = 0; i < 65536; i++) {
        bytes[8] = (uint8_t)(i >> 8);
        bytes[9] = (uint8_t)i;
        udp_seal(bytes, 2, 0x0100000a, 0x0200000a, 53, 1000);
        EXPECT(bytes[6] != 0 || bytes[7] != 0);
        met |= bytes[6] == 0xff && bytes[7] == 0xff;
    }
    EXPECT(met);
}

TEST(icmp_error_is_read_with_what_it_quotes)
{
    uint8_t bytes[ICMP4_HEADER_BYTES + IPV4_HEADER_MAX_BYTES + 8] = { 3, 4, 0, 0, 0, 0, 5, 120 };
    struct ipv4_header *quoted = (void *)(bytes + ICMP4_HEADER_BYTES);
    struct icmp4_error error;

    *quoted = (struct ipv4_header){ .version_and_length = 0x46,
                                    .total_length_be = __builtin_bswap16(1500),
                                    .protocol = PROTOCOL_UDP,
                                    .source_be = 0x0100000a,
                                    .destination_be = 0x0200000a };
    bytes[8 + 24] = 0xab;
    EXPECT_EQUAL(icmp4_error_read(bytes, 8 + 24 + 8, &error), OK);
    EXPECT_EQUAL(error.mtu, 1400);
    EXPECT_EQUAL(error.source_be, 0x0100000a);
    EXPECT_EQUAL(error.total_bytes, 1500);
    EXPECT_EQUAL(error.transport[0], 0xab);
    for (size_t length = 0; length < 8 + 24 + 8; length++)
        EXPECT_EQUAL(icmp4_error_read(bytes, length, &error), ERROR_TRUNCATED);
    quoted->fragment_be = __builtin_bswap16(1);
    EXPECT_EQUAL(icmp4_error_read(bytes, sizeof(bytes), &error), ERROR_MALFORMED);
    quoted->fragment_be = 0;
    quoted->version_and_length = 0x44;
    EXPECT_EQUAL(icmp4_error_read(bytes, sizeof(bytes), &error), ERROR_MALFORMED);
    quoted->version_and_length = 0x65;
    EXPECT_EQUAL(icmp4_error_read(bytes, sizeof(bytes), &error), ERROR_MALFORMED);
    bytes[0] = ICMP4_PARAMETER_PROBLEM;
    quoted->version_and_length = 0x45;
    bytes[4] = 21;
    EXPECT_EQUAL(icmp4_error_read(bytes, sizeof(bytes), &error), OK);
    EXPECT_EQUAL(error.pointer, 21);
    bytes[0] = ICMP4_TIME_EXCEEDED;
    EXPECT_EQUAL(icmp4_error_read(bytes, sizeof(bytes), &error), OK);
    bytes[0] = ICMP4_ECHO_REQUEST;
    EXPECT_EQUAL(icmp4_error_read(bytes, sizeof(bytes), &error), ERROR_UNSUPPORTED);
    for (unsigned type = 0; type < 256; type++)
        if (type >= 3 && type <= 5)
            EXPECT(!icmp4_is_query((uint8_t)type));
    EXPECT(!icmp4_is_query(11));
    EXPECT(!icmp4_is_query(12));
    EXPECT(!icmp4_is_query(99));
    EXPECT(icmp4_is_query(8));
}
