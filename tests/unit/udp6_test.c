/* UDP sockets over IPv6, of a router on software cards. What holds of sockets in general is in
 * udp_test.c. */
#include <string.h>

#include "kernel/base/bytes.h"
#include "net/udp.h"
#include "net/wire/checksum.h"
#include "net/wire/ipv4.h"
#include "net/wire/udp.h"
#include "tests/unit/lab6.h"
#include "tests/unit/udp_hearer.h"

#define HOST "2001:db8::2"
#define US   "2001:db8::1"

static struct lab start(unsigned core_count)
{
    struct lab lab = lab6_create(core_count, 2);

    lab6_meet(&lab, 0, HOST, 2);
    return lab;
}

static void finish(struct lab *lab)
{
    lab6_expect_silence(lab);
    lab_expect_books(lab);
    lab_destroy(lab);
}

static enum error send_to(struct udp_socket *socket, const char *address, uint16_t port,
                          uint16_t payload_bytes)
{
    const struct udp_target target = { address_of(address), .port = port, .port_out = 1 };
    uint8_t payload[UDP_PAYLOAD_MAX_BYTES + 1];

    for (unsigned i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)(i * 3);
    return udp_send(socket, &target, payload, payload_bytes);
}

/* From port 4000, with a good checksum, behind `extensions`. */
static struct lab_frame datagram_of(const struct lab6_packet *shape, uint16_t port, uint16_t bytes)
{
    struct lab6_packet packet = *shape;

    packet.payload_bytes = (uint16_t)(UDP_HEADER_BYTES + bytes);
    struct lab_frame frame = lab6_frame(0, &packet);
    const struct ipv6_header *header = lab6_header(&frame);
    udp6_seal(lab6_payload(&frame) + packet.extension_bytes, bytes, header->source,
              header->destination, 4000, port);
    return frame;
}

static struct lab_frame datagram_to(const char *destination, uint16_t port, uint16_t bytes)
{
    return datagram_of(&(struct lab6_packet){ HOST, destination, .protocol = PROTOCOL_UDP }, port,
                       bytes);
}

/* By the queue of the last core. */
static void send(struct lab *lab, const struct lab_frame *frame)
{
    unsigned queue = lab->router->core_count - 1;

    EXPECT(wire_nic_put(lab->cards[0], queue, frame->bytes, frame->length_bytes));
    lab_step(lab, 4);
}

TEST(udp6_reaches_the_socket_that_is_bound_closest)
{
    for (unsigned cores = 1; cores <= 2; cores++) {
        struct lab lab = start(cores);
        struct heard any, exact, ipv4;
        bind_to(&lab, NULL, 53, &any);
        bind_to(&lab, US, 53, &exact);
        bind_to(&lab, "10.0.0.1", 54, &ipv4);
        struct lab_frame frame = datagram_to(US, 53, 100);
        send(&lab, &frame);
        EXPECT_EQUAL(exact.datagrams, 1);
        lab6_expect_address(exact.last.source.bytes, HOST);
        EXPECT_EQUAL(exact.last.source_port, 4000);
        EXPECT_EQUAL(exact.last.payload_bytes, 100);
        EXPECT(memcmp(exact.payload, lab6_payload(&frame) + UDP_HEADER_BYTES, 100) == 0);
        static const char *const others[] = { "2001:db8:1::1", "fe80::ff:fe00:0", "ff02::1" };
        for (unsigned i = 0; i < ARRAY_COUNT(others); i++) {
            frame = datagram_to(others[i], 53, 0);
            send(&lab, &frame);
            EXPECT_EQUAL(any.datagrams, i + 1);
            lab6_expect_address(any.last.destination.bytes, others[i]);
        }
        frame = datagram_to(US, 54, 0); /* a socket of the other family only */
        send(&lab, &frame);
        EXPECT_EQUAL(ipv4.datagrams, 0);
        lab6_expect_error(&lab, 0, &frame, US, ICMP6_UNREACHABLE, ICMP6_PORT_UNREACHABLE);
        finish(&lab);
    }
}

/* Sockets are the control core's alone. */
TEST(udp6_on_another_core_is_left_to_the_control_core)
{
    struct lab lab = start(2);
    struct heard heard;
    const struct lab_frame frame = datagram_to(US, 53, 10);

    bind_to(&lab, NULL, 53, &heard);
    EXPECT(wire_nic_put(lab.cards[0], 1, frame.bytes, frame.length_bytes));
    core_step(lab.router->cores[1]);
    EXPECT_EQUAL(heard.datagrams, 0);
    core_step(lab.router->cores[CONTROL_CORE]);
    EXPECT_EQUAL(heard.datagrams, 1);
    finish(&lab);
}

/* RFC 8200 8.1. */
TEST(udp6_checksum_must_be_there_and_good)
{
    struct lab lab = start(1);
    struct heard heard;

    bind_to(&lab, NULL, 53, &heard);
    for (uint16_t length = 0; length < 300; length += 37) {
        struct lab_frame frame = datagram_to(US, 53, length);
        send(&lab, &frame);
        lab6_payload(&frame)[7] ^= 0x20;
        send(&lab, &frame);
        store_be16(lab6_payload(&frame) + 6, UDP_NO_CHECKSUM);
        send(&lab, &frame);
    }
    EXPECT_EQUAL(heard.datagrams, 9);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_UDP), 18);
    finish(&lab);
}

TEST(udp6_lengths_that_do_not_fit_are_dropped)
{
    struct lab lab = start(1);
    struct heard heard;
    const struct lab6_packet no_header = { HOST, US, .protocol = PROTOCOL_UDP, .payload_bytes = 7 };

    bind_to(&lab, NULL, 53, &heard);
    for (uint16_t length = 0; length < 30; length++) {
        struct lab_frame frame = datagram_to(US, 53, 20);
        if (length == 8)
            length = 29;
        store_be16(lab6_payload(&frame) + 4, length);
        send(&lab, &frame);
    }
    struct lab_frame frame = lab6_frame(0, &no_header);
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_UDP), 10);
    EXPECT_EQUAL(heard.datagrams, 0);
    finish(&lab);
}

TEST(udp6_to_a_port_that_nobody_has_is_told_but_not_to_groups)
{
    struct lab lab = start(1);
    struct lab_frame frame = datagram_to(US, 9, 20);

    send(&lab, &frame);
    lab6_expect_error(&lab, 0, &frame, US, ICMP6_UNREACHABLE, ICMP6_PORT_UNREACHABLE);
    frame = datagram_to("ff02::1", 9, 20);
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_UDP_PORT_UNREACHABLE), 2);
    finish(&lab);
}

TEST(udp6_is_heard_behind_extension_headers)
{
    static const uint8_t extensions[] = {
        PROTOCOL_FRAGMENT, 0, IPV6_OPTION_PADN, 4, 0, 0, 0, 0, PROTOCOL_UDP, 0, 0, 0, 1, 2, 3, 4
    };
    struct lab lab = start(1);
    struct heard heard;
    struct lab_frame frame = datagram_of(
        &(struct lab6_packet){ HOST, US, .protocol = PROTOCOL_DESTINATION_OPTIONS,
                               .extensions = extensions, .extension_bytes = sizeof(extensions) },
        53, 100);

    bind_to(&lab, NULL, 53, &heard);
    send(&lab, &frame);
    EXPECT_EQUAL(heard.datagrams, 1);
    EXPECT_EQUAL(heard.last.payload_bytes, 100);
    EXPECT(memcmp(heard.payload, frame.bytes + frame.length_bytes - 100, 100) == 0);
    finish(&lab);
}

TEST(udp6_in_fragments_is_heard_whole)
{
    struct lab lab = start(2);
    struct heard heard;
    uint8_t datagram[2000];

    uint64_t delivered = lab_counters(&lab, 0).delivered;
    bind_to(&lab, NULL, 53, &heard);
    for (unsigned i = 0; i < sizeof(datagram); i++)
        datagram[i] = (uint8_t)(i * 3);
    udp6_seal(datagram, sizeof(datagram) - UDP_HEADER_BYTES, address_of(HOST).bytes,
              address_of(US).bytes, 4000, 53);
    for (unsigned at = 0; at < sizeof(datagram); at += 1000) {
        const struct ipv6_fragment fragment = { .offset_bytes = (uint16_t)at,
                                                .next_header = PROTOCOL_UDP,
                                                .more = at == 0 };
        uint8_t header[IPV6_FRAGMENT_HEADER_BYTES];
        ipv6_fragment_write(&fragment, header);
        struct lab_frame frame = lab6_frame(
            0, &(struct lab6_packet){ HOST, US, .protocol = PROTOCOL_FRAGMENT, .extensions = header,
                                      .extension_bytes = sizeof(header), .payload_bytes = 1000 });
        memcpy(lab6_payload(&frame) + sizeof(header), datagram + at, 1000);
        EXPECT(wire_nic_put(lab.cards[0], at / 1000, frame.bytes, frame.length_bytes));
        lab_step(&lab, 4);
    }
    EXPECT_EQUAL(heard.datagrams, 1);
    EXPECT_EQUAL(heard.last.payload_bytes, sizeof(datagram) - UDP_HEADER_BYTES);
    EXPECT(memcmp(heard.payload, datagram + UDP_HEADER_BYTES, heard.last.payload_bytes) == 0);
    EXPECT_EQUAL(lab_counters(&lab, 0).delivered, delivered + 2);
    finish(&lab);
}

/* An ICMPv6 error about the frame, from the host. */
static void object(struct lab *lab, struct lab_frame *frame, uint8_t type, uint8_t code)
{
    uint8_t message[ICMP6_HEADER_BYTES + ICMP6_QUOTE_MAX_BYTES] = { type, code };
    size_t quote_bytes =
        MIN_OF(frame->length_bytes - ETHERNET_HEADER_BYTES, (size_t)ICMP6_QUOTE_MAX_BYTES);
    struct lab6_packet packet = { HOST, US, .hop_limit = 64 };

    memcpy(message + ICMP6_HEADER_BYTES, lab6_header(frame), quote_bytes);
    struct lab_frame error = lab6_icmp(0, &packet, message, ICMP6_HEADER_BYTES + quote_bytes);
    send(lab, &error);
}

TEST(udp6_sends_with_a_checksum_and_hears_of_failure)
{
    struct lab lab = start(1);
    struct heard heard;
    struct lab_frame frame;
    struct udp_socket *socket = bind_to(&lab, NULL, 0, &heard);

    EXPECT_EQUAL(send_to(socket, HOST, 7, 5), OK);
    lab_step(&lab, 3);
    EXPECT(lab_take(&lab, 0, &frame));
    const struct ipv6_header *header = lab6_header(&frame);
    lab6_expect_address(header->source, US);
    EXPECT_EQUAL(header->next_header, PROTOCOL_UDP);
    EXPECT_EQUAL(header->hop_limit, UDP_TTL);
    uint64_t sum = ipv6_pseudo_sum(header->source, header->destination, 13, PROTOCOL_UDP);
    EXPECT_EQUAL(checksum_finish(checksum_add(sum, lab6_payload(&frame), 13)), 0);
    EXPECT_EQUAL(load_be16(lab6_payload(&frame)), udp_port(socket));

    object(&lab, &frame, ICMP6_UNREACHABLE, ICMP6_PORT_UNREACHABLE);
    EXPECT_EQUAL(heard.failures, 1);
    EXPECT_EQUAL(heard.failure.icmp_type, ICMP6_UNREACHABLE);
    EXPECT_EQUAL(heard.failure.icmp_code, ICMP6_PORT_UNREACHABLE);
    EXPECT_EQUAL(heard.failure.target_port, 7);
    lab6_expect_address(heard.failure.target.bytes, HOST);
    lab6_expect_address(heard.failure.from.bytes, HOST);
    /* The same port, but not our address. */
    lab6_header(&frame)->source[15] = 9;
    object(&lab, &frame, ICMP6_UNREACHABLE, ICMP6_PORT_UNREACHABLE);
    EXPECT_EQUAL(heard.failures, 1);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ICMP_IGNORED), 1);

    EXPECT_EQUAL(send_to(socket, "2001:db9::1", 7, 5), ERROR_NOT_FOUND);
    EXPECT_EQUAL(send_to(socket, HOST, 7, UDP_PAYLOAD_MAX_BYTES + 1), ERROR_BAD_VALUE);
    udp_close(socket);
    socket = bind_to(&lab, US, 0, &heard);
    EXPECT_EQUAL(send_to(socket, "10.0.0.2", 7, 5), ERROR_BAD_VALUE); /* of the other family */
    finish(&lab);
}

TEST(udp6_to_a_link_local_address_leaves_by_its_link)
{
    struct lab lab = start(1);
    struct heard heard;
    struct lab_frame frame =
        lab6_solicitation(1, "fe80::2", "fe80::ff:fe00:1", "fe80::ff:fe00:1", lab_host_mac(1, 2));
    struct udp_socket *socket = bind_to(&lab, NULL, 0, &heard);

    lab_put(&lab, 1, &frame);
    lab_step(&lab, 4);
    lab6_forget_frames(&lab);
    EXPECT_EQUAL(send_to(socket, "fe80::2", 7, 5), OK);
    lab_step(&lab, 3);
    EXPECT(lab_take(&lab, 1, &frame));
    lab6_expect_address(lab6_header(&frame)->source, "fe80::ff:fe00:1");
    /* On the other link that is not our address. */
    struct lab6_packet packet = { "fe80::2", "fe80::ff:fe00:0", .hop_limit = 64 };
    uint8_t message[ICMP6_HEADER_BYTES + 53] = { ICMP6_UNREACHABLE, ICMP6_PORT_UNREACHABLE };
    memcpy(message + ICMP6_HEADER_BYTES, lab6_header(&frame), 53);
    struct lab_frame error = lab6_icmp(0, &packet, message, sizeof(message));
    send(&lab, &error);
    EXPECT_EQUAL(heard.failures, 0);
    packet.destination = "fe80::ff:fe00:1";
    error = lab6_icmp(1, &packet, message, sizeof(message));
    lab_put(&lab, 1, &error);
    lab_step(&lab, 3);
    EXPECT_EQUAL(heard.failures, 1);
    finish(&lab);
}

TEST(udp6_to_ourselves_comes_back)
{
    struct lab lab = start(2);
    struct heard heard;
    struct udp_socket *socket = bind_to(&lab, NULL, 5000, &heard);

    EXPECT_EQUAL(send_to(socket, "2001:db8:1::1", 5000, 2), OK);
    lab_step(&lab, 4);
    EXPECT_EQUAL(heard.datagrams, 1);
    lab6_expect_address(heard.last.source.bytes, "2001:db8:1::1");
    EXPECT_EQUAL(send_to(socket, "2001:db8:1::1", 5001, 6), OK);
    lab_step(&lab, 6);
    EXPECT_EQUAL(heard.failures, 1);
    finish(&lab);
}

TEST(udp6_without_a_buffer_is_not_sent)
{
    struct lab lab = start(1);
    struct heard heard;
    struct udp_socket *socket = bind_to(&lab, NULL, 0, &heard);
    struct packet_pool *pool = lab.router->cores[0]->pool;
    struct packet *taken = NULL, *next;

    while ((next = packet_alloc(pool))) {
        next->next = taken;
        taken = next;
    }
    EXPECT_EQUAL(send_to(socket, HOST, 7, 5), ERROR_NO_MEMORY);
    for (; taken; taken = next) {
        next = taken->next;
        packet_free(pool, taken);
    }
    finish(&lab);
}
