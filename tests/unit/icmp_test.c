/* ICMP as its peers see it: frames into a router on software cards, frames out. */
#include "net/icmp.h"

#include <string.h>

#include "drivers/nic.h"
#include "kernel/base/bytes.h"
#include "net/wire/checksum.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp4.h"
#include "net/wire/ipv4.h"
#include "tests/unit/lab.h"

static struct ipv4_header *ip_of(struct lab_frame *frame)
{
    return (void *)(frame->bytes + ETHERNET_HEADER_BYTES);
}

static uint8_t *payload_of(struct lab_frame *frame)
{
    return frame->bytes + ETHERNET_HEADER_BYTES + ipv4_header_bytes(ip_of(frame));
}

static size_t payload_bytes(struct lab_frame *frame)
{
    return ipv4_total_bytes(ip_of(frame)) - ipv4_header_bytes(ip_of(frame));
}

/* Makes the payload an ICMP message with a good checksum. */
static void make_icmp(struct lab_frame *frame, uint8_t type, uint8_t code)
{
    uint8_t *icmp = payload_of(frame);
    uint16_t checksum_be;

    icmp[0] = type;
    icmp[1] = code;
    icmp[2] = icmp[3] = 0;
    checksum_be = checksum_of(icmp, payload_bytes(frame));
    memcpy(icmp + 2, &checksum_be, sizeof(checksum_be));
}

static void send(struct lab *lab, struct lab_frame *frame)
{
    lab_put(lab, 0, frame);
    lab_step(lab, 4);
}

/* The router's answer to `frame` by port 0: an ICMP error that keeps to all of RFC 1812 4.3.2. */
static struct icmp4_header expect_error(struct lab *lab, struct lab_frame *frame, uint8_t type,
                                        uint8_t code)
{
    struct lab_frame out;
    struct icmp4_header icmp;
    size_t quoted = ipv4_total_bytes(ip_of(frame));

    EXPECT(lab_take(lab, 0, &out));
    const struct ipv4_header *header = ip_of(&out);
    EXPECT_EQUAL(ipv4_check(header, 60, out.length_bytes - 14), IPV4_GOOD);
    EXPECT_EQUAL(header->protocol, PROTOCOL_ICMP);
    EXPECT_EQUAL(header->source_be, ipv4_of("10.0.0.1"));
    EXPECT_EQUAL(header->destination_be, ip_of(frame)->source_be);
    EXPECT_EQUAL(header->ttl, ICMP_ERROR_TTL);
    EXPECT_EQUAL(header->type_of_service, ICMP_ERROR_TOS);
    EXPECT(ipv4_total_bytes(header) <= ICMP_ERROR_MAX_BYTES);
    EXPECT_EQUAL(checksum_of(payload_of(&out), payload_bytes(&out)), 0);
    quoted = MIN_OF(quoted, (size_t)ICMP_ERROR_MAX_BYTES - 28);
    EXPECT_EQUAL(payload_bytes(&out), ICMP4_HEADER_BYTES + quoted);
    EXPECT(memcmp(payload_of(&out) + 8, ip_of(frame), quoted) == 0); /* as it came, TTL and all */
    memcpy(&icmp, payload_of(&out), sizeof(icmp));
    EXPECT_EQUAL(icmp.type, type);
    EXPECT_EQUAL(icmp.code, code);
    EXPECT(!lab_take(lab, 0, &out));
    return icmp;
}

static void expect_silence(struct lab *lab)
{
    struct lab_frame out;

    EXPECT(!lab_take(lab, 0, &out));
}

TEST(icmp_time_exceeded_quotes_the_packet_as_it_came)
{
    struct lab lab = lab_create(1, 2);
    static const uint16_t lengths[] = { 0, 8, 100, 1400 };

    for (unsigned i = 0; i < ARRAY_COUNT(lengths); i++)
        for (uint8_t ttl = 1; ttl < 3; ttl++) {
            struct lab_packet packet = { .source = "10.0.0.2",
                                         .destination = "10.0.1.2",
                                         .ttl = ttl,
                                         .payload_bytes = lengths[i] };
            struct lab_frame frame = lab_frame(0, &packet), out;
            send(&lab, &frame);
            if (ttl == 1)
                expect_error(&lab, &frame, ICMP4_TIME_EXCEEDED, ICMP4_TTL_EXPIRED);
            else
                EXPECT(lab_take(&lab, 1, &out));
        }
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_unreachable_names_net_host_or_prohibition)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "192.168.1.1",
                                 .payload_bytes = 30 };

    lab_route_kind(&lab, "172.16.0.0/12", ROUTE_REJECT);
    lab_route_kind(&lab, "172.20.0.0/16", ROUTE_BLACKHOLE);
    lab_commit(&lab);
    lab_step(&lab, 2);
    struct lab_frame frame = lab_frame(0, &packet);
    send(&lab, &frame);
    expect_error(&lab, &frame, ICMP4_UNREACHABLE, ICMP4_NET_UNREACHABLE);

    packet.destination = "172.16.0.1";
    frame = lab_frame(0, &packet);
    send(&lab, &frame);
    expect_error(&lab, &frame, ICMP4_UNREACHABLE, ICMP4_PROHIBITED);

    packet.destination = "172.20.0.1";
    frame = lab_frame(0, &packet);
    send(&lab, &frame);
    expect_silence(&lab);

    packet.destination = "10.0.1.77"; /* asked for 3 times, in vain */
    frame = lab_frame(0, &packet);
    send(&lab, &frame);
    expect_silence(&lab);
    lab_wait(&lab, 3100);
    expect_error(&lab, &frame, ICMP4_UNREACHABLE, ICMP4_HOST_UNREACHABLE);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_fragmentation_needed_tells_the_mtu)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.1.2",
                                 .fragment = IPV4_DONT_FRAGMENT,
                                 .payload_bytes = 1381 };

    lab_interface(&lab, "eth1", false, 1400);
    lab_commit(&lab);
    lab_step(&lab, 2);
    struct lab_frame frame = lab_frame(0, &packet);
    send(&lab, &frame);
    struct icmp4_header icmp =
        expect_error(&lab, &frame, ICMP4_UNREACHABLE, ICMP4_FRAGMENTATION_NEEDED);
    EXPECT_EQUAL(__builtin_bswap16(icmp.fragmentation_needed.mtu_be), 1400);
    EXPECT_EQUAL(icmp.fragmentation_needed.unused, 0);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_parameter_problem_points_at_the_byte)
{
    static const uint8_t options[] = { 1, 7, 3, 3 }; /* record route, its pointer too small */
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.1.2",
                                 .options = options,
                                 .option_bytes = sizeof(options),
                                 .payload_bytes = 8 };
    struct lab_frame frame = lab_frame(0, &packet);

    send(&lab, &frame);
    struct icmp4_header icmp = expect_error(&lab, &frame, ICMP4_PARAMETER_PROBLEM, 0);
    EXPECT_EQUAL(icmp.parameter_problem.pointer, 23);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_unreachable_protocol_and_port_of_our_own)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = {
        .source = "10.0.0.2", .destination = "10.0.0.1", .protocol = 200, .payload_bytes = 30
    };
    struct lab_frame frame = lab_frame(0, &packet);

    send(&lab, &frame);
    expect_error(&lab, &frame, ICMP4_UNREACHABLE, ICMP4_PROTOCOL_UNREACHABLE);
    packet.protocol = PROTOCOL_UDP;
    packet.source_port = packet.destination_port = 9;
    frame = lab_frame(0, &packet);
    send(&lab, &frame);
    expect_error(&lab, &frame, ICMP4_UNREACHABLE, ICMP4_PORT_UNREACHABLE);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_redirect_names_the_better_way_and_the_packet_goes_on)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "192.168.0.1",
                                 .payload_bytes = 30 };
    struct lab_frame frame, out;
    unsigned redirects = 0, forwarded = 0;

    lab_arp(&lab, "10.0.0.3", lab_host_mac(0, 3), "eth0");
    lab_route(&lab, "192.168.0.0/16", "10.0.0.3");
    lab_commit(&lab);
    lab_step(&lab, 2);
    frame = lab_frame(0, &packet);
    send(&lab, &frame);
    while (lab_take(&lab, 0, &out)) {
        if (ip_of(&out)->protocol != PROTOCOL_ICMP) {
            EXPECT(memcmp(out.bytes, lab_host_mac(0, 3), 6) == 0);
            forwarded++;
            continue;
        }
        struct icmp4_header icmp;
        memcpy(&icmp, payload_of(&out), sizeof(icmp));
        EXPECT_EQUAL(icmp.type, ICMP4_REDIRECT);
        EXPECT_EQUAL(icmp.code, ICMP4_REDIRECT_HOST);
        EXPECT_EQUAL(icmp.gateway_be, ipv4_of("10.0.0.3"));
        EXPECT_EQUAL(ip_of(&out)->destination_be, ipv4_of("10.0.0.2"));
        redirects++;
    }
    EXPECT_EQUAL(redirects, 1);
    EXPECT_EQUAL(forwarded, 1);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* A router on a stick: two nets on one port. */
TEST(icmp_redirect_is_for_neighbors_of_the_better_way_alone)
{
    static const char *const ways[][2] = {
        { "10.0.0.2", "10.5.0.9" },    /* from the other net of the port */
        { "10.5.0.9", "10.0.0.2" },    /* and back */
        { "192.168.0.1", "10.0.0.2" }, /* from behind a router */
        { "10.0.0.2", "10.0.0.2" },    /* to himself */
    };
    struct lab lab = lab_create(1, 2);
    struct lab_frame out;

    lab_address(&lab, "eth0", "10.5.0.1/24");
    lab_arp(&lab, "10.5.0.9", lab_host_mac(0, 9), "eth0");
    lab_commit(&lab);
    lab_step(&lab, 2);
    while (lab_take(&lab, 0, &out)) /* announcements */
        continue;
    for (unsigned i = 0; i < ARRAY_COUNT(ways); i++) {
        struct lab_packet packet = { .source = ways[i][0],
                                     .destination = ways[i][1],
                                     .payload_bytes = 30 };
        struct lab_frame frame = lab_frame(0, &packet);
        send(&lab, &frame);
        EXPECT(lab_take(&lab, 0, &out));
        EXPECT_EQUAL(ip_of(&out)->destination_be, ipv4_of(ways[i][1]));
        expect_silence(&lab);
    }
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* ---- RFC 1812 4.3.2.7: never about ... ---------------------------------------------------------
 */

TEST(icmp_is_never_sent_about_an_icmp_error)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "192.168.1.1", /* no route */
                                 .protocol = PROTOCOL_ICMP,
                                 .payload_bytes = 36 };

    for (unsigned type = 0; type < 256; type++) {
        struct lab_frame frame = lab_frame(0, &packet);
        make_icmp(&frame, (uint8_t)type, 0);
        send(&lab, &frame);
        if (icmp4_is_query((uint8_t)type))
            expect_error(&lab, &frame, ICMP4_UNREACHABLE, ICMP4_NET_UNREACHABLE);
        else
            expect_silence(&lab);
    }
    packet.payload_bytes = 0; /* ICMP without a type */
    struct lab_frame frame = lab_frame(0, &packet);
    send(&lab, &frame);
    expect_silence(&lab);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_is_never_sent_about_broadcasts_and_multicasts)
{
    static const char *const destinations[] = { "10.0.0.255", "255.255.255.255", "224.0.0.1",
                                                "10.0.1.255", "240.0.0.1",       "10.0.0.0" };
    struct lab lab = lab_create(1, 2);

    for (unsigned i = 0; i < ARRAY_COUNT(destinations); i++) {
        struct lab_packet packet = { .source = "10.0.0.2",
                                     .destination = destinations[i],
                                     .source_port = 9,
                                     .destination_port = 9,
                                     .payload_bytes = 36 };
        struct lab_frame frame = lab_frame(0, &packet);
        send(&lab, &frame);
        memcpy(frame.bytes, mac_broadcast, 6);
        send(&lab, &frame);
        expect_silence(&lab);
    }
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_is_never_sent_about_link_broadcasts_and_multicasts)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "192.168.1.1",
                                 .payload_bytes = 36 };
    struct lab_frame frame = lab_frame(0, &packet);

    memcpy(frame.bytes, mac_broadcast, 6);
    send(&lab, &frame);
    frame.bytes[0] = 1;
    send(&lab, &frame);
    expect_silence(&lab);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_is_never_sent_about_later_fragments)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = {
        .source = "10.0.0.2", .destination = "192.168.1.1", .fragment = 3, .payload_bytes = 36
    };
    struct lab_frame frame = lab_frame(0, &packet);

    send(&lab, &frame);
    expect_silence(&lab);
    packet.fragment = IPV4_MORE_FRAGMENTS; /* the first one is told of */
    frame = lab_frame(0, &packet);
    send(&lab, &frame);
    expect_error(&lab, &frame, ICMP4_UNREACHABLE, ICMP4_NET_UNREACHABLE);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_is_never_sent_to_sources_that_are_no_station)
{
    static const char *const sources[] = { "0.0.0.0",         "127.0.0.1",  "224.0.0.1",
                                           "255.255.255.255", "10.0.0.255", "240.0.0.1",
                                           "10.0.0.1",        "10.0.1.1" };
    static const uint8_t bad_options[] = { 7, 3, 3, 0 };
    struct lab lab = lab_create(1, 2);

    for (unsigned i = 0; i < ARRAY_COUNT(sources); i++) {
        struct lab_packet packet = { .source = sources[i],
                                     .destination = "192.168.1.1",
                                     .payload_bytes = 36 };
        struct lab_frame frame = lab_frame(0, &packet);
        send(&lab, &frame);
        packet.options = bad_options; /* found before the source is looked at */
        packet.option_bytes = sizeof(bad_options);
        frame = lab_frame(0, &packet);
        send(&lab, &frame);
        expect_silence(&lab);
    }
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_errors_are_limited_in_rate_and_the_rest_is_counted)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "192.168.1.1",
                                 .payload_bytes = 36 };
    struct lab_frame frame = lab_frame(0, &packet), out;
    unsigned sent = 0;

    for (unsigned i = 0; i < 500; i++) { /* within 5 ms */
        lab_put(&lab, 0, &frame);
        lab_step(&lab, 1);
        while (lab_take(&lab, 0, &out))
            sent++;
    }
    EXPECT(sent >= ICMP_ERROR_BURST);
    EXPECT(sent <= ICMP_ERROR_BURST + 6);
    EXPECT_EQUAL(lab_dropped(&lab, lab.port_count, DROP_ICMP_RATE_LIMIT), 500 - sent);
    lab_wait(&lab, 1000);
    send(&lab, &frame);
    expect_error(&lab, &frame, ICMP4_UNREACHABLE, ICMP4_NET_UNREACHABLE);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* ---- Echo ----------------------------------------------------------------------------------- */

static void expect_echo_reply(struct lab *lab, struct lab_frame *request)
{
    struct lab_frame out;

    EXPECT(lab_take(lab, 0, &out));
    const struct ipv4_header *header = ip_of(&out);
    EXPECT_EQUAL(ipv4_check(header, 60, out.length_bytes - 14), IPV4_GOOD);
    EXPECT_EQUAL(header->source_be, ip_of(request)->destination_be);
    EXPECT_EQUAL(header->destination_be, ip_of(request)->source_be);
    EXPECT_EQUAL(header->ttl, ICMP_ECHO_TTL);
    EXPECT_EQUAL(header->type_of_service, ip_of(request)->type_of_service);
    EXPECT_EQUAL(payload_bytes(&out), payload_bytes(request));
    EXPECT_EQUAL(checksum_of(payload_of(&out), payload_bytes(&out)), 0);
    EXPECT_EQUAL(payload_of(&out)[0], ICMP4_ECHO_REPLY);
    EXPECT_EQUAL(payload_of(&out)[1], 0);
    EXPECT(memcmp(payload_of(&out) + 4, payload_of(request) + 4, payload_bytes(&out) - 4) == 0);
    EXPECT(memcmp(out.bytes, lab_host_mac(0, 2), 6) == 0);
}

/* By frames into each queue of the card. */
static void check_echo(unsigned cores)
{
    struct lab lab = lab_create(cores, 2);
    unsigned queues = lab.router->ports[0].nic->queue_count;

    for (uint16_t length = 8; length < 1480; length += 61) {
        struct lab_packet packet = { .source = "10.0.0.2",
                                     .destination = length % 2 ? "10.0.0.1" : "10.0.1.1",
                                     .ttl = 1,
                                     .protocol = PROTOCOL_ICMP,
                                     .payload_bytes = length };
        struct lab_frame frame = lab_frame(0, &packet);
        make_icmp(&frame, ICMP4_ECHO_REQUEST, 0);
        EXPECT(wire_nic_put(lab.cards[0], length % queues, frame.bytes, frame.length_bytes));
        lab_step(&lab, 4);
        expect_echo_reply(&lab, &frame);
    }
    EXPECT(lab_counters(&lab, 0).delivered > 20);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_echo_is_answered_at_every_length)
{
    check_echo(1);
}

TEST(icmp_echo_is_answered_on_each_of_two_cores)
{
    check_echo(2);
}

TEST(icmp_echo_is_answered_on_each_of_four_cores)
{
    check_echo(4);
}

TEST(icmp_echo_reply_keeps_the_options)
{
    static const uint8_t options[] = { 7, 7, 4, 0, 0, 0, 0, 0 };
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.0.1",
                                 .protocol = PROTOCOL_ICMP,
                                 .options = options,
                                 .option_bytes = sizeof(options),
                                 .payload_bytes = 21 };
    struct lab_frame frame = lab_frame(0, &packet);

    make_icmp(&frame, ICMP4_ECHO_REQUEST, 0);
    send(&lab, &frame);
    expect_echo_reply(&lab, &frame);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_that_is_malformed_or_for_many_is_dropped)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.0.1",
                                 .protocol = PROTOCOL_ICMP,
                                 .payload_bytes = 30 };
    struct lab_frame frame = lab_frame(0, &packet);

    make_icmp(&frame, ICMP4_ECHO_REQUEST, 0);
    payload_of(&frame)[20] ^= 1;
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ICMP), 1);
    packet.payload_bytes = 7;
    frame = lab_frame(0, &packet);
    make_icmp(&frame, ICMP4_ECHO_REQUEST, 0);
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ICMP), 2);
    packet.payload_bytes = 30;
    packet.destination = "10.0.0.255";
    frame = lab_frame(0, &packet);
    make_icmp(&frame, ICMP4_ECHO_REQUEST, 0);
    memcpy(frame.bytes, mac_broadcast, 6);
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ICMP_IGNORED), 1);
    packet.destination = "10.0.0.1";
    for (unsigned type = 1; type < 256; type++) {
        if (type == ICMP4_ECHO_REQUEST)
            continue;
        frame = lab_frame(0, &packet);
        make_icmp(&frame, (uint8_t)type, 0);
        send(&lab, &frame);
    }
    expect_silence(&lab);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* Sends an echo request of length_bytes in fragments, in an order that `step` decides, and puts the
 * answer's fragments together. */
static void expect_large_echo(struct lab *lab, unsigned length_bytes, unsigned step)
{
    static uint8_t request[65536], reply[65536];
    unsigned count = (length_bytes + 1479) / 1480, replied = 0, total = 0;
    struct lab_frame frame, out;

    for (unsigned i = 0; i < length_bytes; i++)
        request[i] = (uint8_t)(i * 13 + i / 251);
    request[0] = ICMP4_ECHO_REQUEST;
    request[1] = request[2] = request[3] = 0;
    uint16_t checksum_be = checksum_of(request, length_bytes);
    memcpy(request + 2, &checksum_be, 2);
    for (unsigned i = 0; i < count; i++) {
        unsigned which = i * step % count, at = which * 1480;
        struct lab_packet packet = {
            .source = "10.0.0.2",
            .destination = "10.0.0.1",
            .protocol = PROTOCOL_ICMP,
            .identification = (uint16_t)length_bytes,
            .fragment = (uint16_t)(at / 8 | (which + 1 < count ? IPV4_MORE_FRAGMENTS : 0)),
            .payload_bytes = (uint16_t)MIN_OF(1480u, length_bytes - at)
        };
        frame = lab_frame(0, &packet);
        memcpy(payload_of(&frame), request + at, packet.payload_bytes);
        lab_put(lab, 0, &frame);
        lab_step(lab, 4);
    }
    while (lab_take(lab, 0, &out)) {
        const struct ipv4_header *header = ip_of(&out);
        EXPECT_EQUAL(ipv4_check(header, 60, out.length_bytes - 14), IPV4_GOOD);
        EXPECT(ipv4_total_bytes(header) <= 1500);
        EXPECT(ipv4_fragment_offset_bytes(header) + payload_bytes(&out) <= sizeof(reply));
        memcpy(reply + ipv4_fragment_offset_bytes(header), payload_of(&out), payload_bytes(&out));
        replied += (unsigned)payload_bytes(&out);
        if (!(ipv4_fragment(header) & IPV4_MORE_FRAGMENTS))
            total = ipv4_fragment_offset_bytes(header) + (unsigned)payload_bytes(&out);
    }
    EXPECT_EQUAL(replied, length_bytes);
    EXPECT_EQUAL(total, length_bytes);
    EXPECT_EQUAL(checksum_of(reply, length_bytes), 0);
    EXPECT_EQUAL(reply[0], ICMP4_ECHO_REPLY);
    EXPECT(memcmp(reply + 4, request + 4, length_bytes - 4) == 0);
}

static void check_large_echo(unsigned cores)
{
    struct lab lab = lab_create(cores, 2);

    expect_large_echo(&lab, 1481, 1);
    expect_large_echo(&lab, 4000, 2);
    expect_large_echo(&lab, 9001, 3);
    expect_large_echo(&lab, 65515, 7);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(icmp_echo_in_fragments_is_put_together_and_answered_in_fragments)
{
    check_large_echo(1);
}

/* The fragments come in on another core than the one that puts them together. */
TEST(icmp_echo_in_fragments_crosses_to_the_control_core)
{
    check_large_echo(4);
}

TEST(icmp_time_exceeded_tells_of_a_datagram_that_was_never_whole)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.0.1",
                                 .fragment = IPV4_MORE_FRAGMENTS,
                                 .payload_bytes = 800 };
    struct lab_frame first = lab_frame(0, &packet), other;

    packet.fragment = 200;
    other = lab_frame(0, &packet);
    send(&lab, &other);
    send(&lab, &first);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 2);
    lab_wait(&lab, 30100);
    expect_error(&lab, &first, ICMP4_TIME_EXCEEDED, ICMP4_REASSEMBLY_EXPIRED);
    send(&lab, &other); /* without the first fragment: nobody to tell */
    lab_wait(&lab, 30100);
    expect_silence(&lab);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_REASSEMBLY_TIMEOUT), 3);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}
