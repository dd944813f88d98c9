/* UDP sockets of a router on software cards. */
#include "net/udp.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "net/local.h"
#include "net/wire/checksum.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp4.h"
#include "net/wire/ipv4.h"
#include "net/wire/udp.h"
#include "tests/unit/lab.h"
#include "tests/unit/udp_hearer.h"

static enum error send_to(struct udp_socket *socket, const char *address, uint16_t port,
                          const void *payload, uint16_t payload_bytes)
{
    const struct udp_target target = { .address = address_of(address), .port = port };

    return udp_send(socket, &target, payload, payload_bytes);
}

static void expect_address(const struct address *actual, const char *expected)
{
    char text[ADDRESS_TEXT_MAX];

    EXPECT_TEXT(address_text(actual, text), expected);
}

static struct lab_frame datagram_to(const char *destination, uint16_t port, uint16_t bytes)
{
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = destination,
                                 .source_port = 4000,
                                 .destination_port = port,
                                 .payload_bytes = (uint16_t)(UDP_HEADER_BYTES + bytes) };
    return lab_frame(0, &packet);
}

static void send(struct lab *lab, struct lab_frame *frame)
{
    lab_put(lab, 0, frame);
    lab_step(lab, 4);
}

/* Of a frame from lab_frame(): no options. */
static uint8_t *udp_of(struct lab_frame *frame)
{
    return frame->bytes + ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES;
}

static void seal(struct lab_frame *frame)
{
    const struct ipv4_header *header = (void *)(frame->bytes + ETHERNET_HEADER_BYTES);
    uint8_t *udp = udp_of(frame);

    udp_seal(udp, (uint16_t)(load_be16(udp + 4) - UDP_HEADER_BYTES), header->source_be,
             header->destination_be, load_be16(udp), load_be16(udp + 2));
}

TEST(udp_reaches_the_socket_that_is_bound_closest)
{
    struct lab lab = lab_create(1, 2);
    struct heard any, exact, other;
    struct lab_frame frame;

    bind_to(&lab, NULL, 53, &any);
    struct udp_socket *socket = bind_to(&lab, "10.0.0.1", 53, &exact);
    bind_to(&lab, NULL, 54, &other);
    frame = datagram_to("10.0.0.1", 53, 100);
    send(&lab, &frame);
    frame = datagram_to("10.0.1.1", 53, 100);
    send(&lab, &frame);
    EXPECT_EQUAL(exact.datagrams, 1);
    EXPECT_EQUAL(any.datagrams, 1);
    EXPECT_EQUAL(other.datagrams, 0);
    expect_address(&exact.last.source, "10.0.0.2");
    EXPECT_EQUAL(exact.last.source_port, 4000);
    EXPECT_EQUAL(exact.last.payload_bytes, 100);
    expect_address(&any.last.destination, "10.0.1.1");
    EXPECT(memcmp(any.payload, udp_of(&frame) + UDP_HEADER_BYTES, 100) == 0);
    udp_close(socket);
    frame = datagram_to("10.0.0.1", 53, 100);
    send(&lab, &frame);
    EXPECT_EQUAL(any.datagrams, 2);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(udp_checksum_is_verified_where_there_is_one)
{
    struct lab lab = lab_create(2, 2);
    struct heard heard;

    bind_to(&lab, NULL, 53, &heard);
    for (uint16_t length = 0; length < 300; length += 37) {
        struct lab_frame frame = datagram_to("10.0.0.1", 53, length);
        send(&lab, &frame); /* none: RFC 768 */
        seal(&frame);
        send(&lab, &frame);
        udp_of(&frame)[7] ^= 0x20;
        send(&lab, &frame);
    }
    EXPECT_EQUAL(heard.datagrams, 18);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_UDP), 9);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(udp_lengths_that_do_not_fit_are_dropped)
{
    struct lab lab = lab_create(1, 2);
    struct heard heard;
    struct lab_frame frame;

    bind_to(&lab, NULL, 53, &heard);
    for (uint16_t length = 0; length < 8; length++) {
        frame = datagram_to("10.0.0.1", 53, 20);
        store_be16(udp_of(&frame) + 4, length);
        send(&lab, &frame);
    }
    frame = datagram_to("10.0.0.1", 53, 20);
    store_be16(udp_of(&frame) + 4, 29);
    send(&lab, &frame);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.0.1",
                                 .payload_bytes = 7 };
    frame = lab_frame(0, &packet); /* not even a header */
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_UDP), 10);
    frame = datagram_to("10.0.0.1", 53, 20);
    store_be16(udp_of(&frame) + 4, 18); /* fewer than came: the rest is padding */
    send(&lab, &frame);
    EXPECT_EQUAL(heard.datagrams, 1);
    EXPECT_EQUAL(heard.last.payload_bytes, 10);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(udp_datagram_in_fragments_is_heard_whole)
{
    struct lab lab = lab_create(1, 2);
    struct heard heard;
    uint8_t datagram[2000];
    struct lab_frame frame;

    bind_to(&lab, NULL, 53, &heard);
    for (unsigned i = 0; i < sizeof(datagram); i++)
        datagram[i] = (uint8_t)(i * 3);
    udp_seal(datagram, sizeof(datagram) - UDP_HEADER_BYTES, ipv4_of("10.0.0.2"),
             ipv4_of("10.0.0.1"), 4000, 53);
    for (unsigned at = 0; at < sizeof(datagram); at += 1000) {
        struct lab_packet packet = { .source = "10.0.0.2",
                                     .destination = "10.0.0.1",
                                     .fragment = (uint16_t)(at / 8 | (at ? 0 : 0x2000)),
                                     .payload_bytes = 1000 };
        frame = lab_frame(0, &packet);
        memcpy(udp_of(&frame), datagram + at, 1000);
        send(&lab, &frame);
    }
    EXPECT_EQUAL(heard.datagrams, 1);
    EXPECT_EQUAL(heard.last.payload_bytes, sizeof(datagram) - UDP_HEADER_BYTES);
    EXPECT(memcmp(heard.payload, datagram + UDP_HEADER_BYTES, heard.last.payload_bytes) == 0);
    EXPECT_EQUAL(lab_counters(&lab, 0).delivered, 2);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(udp_sends_with_a_checksum_and_hears_of_failure)
{
    struct lab lab = lab_create(1, 2);
    struct heard heard;
    struct lab_frame frame, answer;
    struct udp_socket *socket = bind_to(&lab, NULL, 0, &heard);

    EXPECT(udp_port(socket) >= UDP_EPHEMERAL_FIRST);
    EXPECT_EQUAL(send_to(socket, "10.0.0.2", 7, "hello", 5), OK);
    lab_step(&lab, 3);
    EXPECT(lab_take(&lab, 0, &frame));
    const struct ipv4_header *header = (void *)(frame.bytes + ETHERNET_HEADER_BYTES);
    uint64_t sum = ipv4_pseudo_sum(header->source_be, header->destination_be, PROTOCOL_UDP, 13);
    EXPECT_EQUAL(header->source_be, ipv4_of("10.0.0.1"));
    EXPECT_EQUAL(checksum_finish(checksum_add(sum, udp_of(&frame), 13)), 0);
    EXPECT_EQUAL(load_be16(udp_of(&frame)), udp_port(socket));
    EXPECT(memcmp(udp_of(&frame) + 8, "hello", 5) == 0);

    /* "Port unreachable", with the packet in it. */
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.0.1",
                                 .protocol = PROTOCOL_ICMP,
                                 .payload_bytes = ICMP4_HEADER_BYTES + 33 };
    answer = lab_frame(0, &packet);
    memset(udp_of(&answer), 0, 8);
    udp_of(&answer)[0] = ICMP4_UNREACHABLE;
    udp_of(&answer)[1] = ICMP4_PORT_UNREACHABLE;
    memcpy(udp_of(&answer) + 8, header, 33);
    uint16_t checksum_be = checksum_of(udp_of(&answer), 41);
    memcpy(udp_of(&answer) + 2, &checksum_be, 2);
    send(&lab, &answer);
    EXPECT_EQUAL(heard.failures, 1);
    EXPECT_EQUAL(heard.failure.icmp_code, ICMP4_PORT_UNREACHABLE);
    EXPECT_EQUAL(heard.failure.target_port, 7);
    expect_address(&heard.failure.target, "10.0.0.2");
    expect_address(&heard.failure.from, "10.0.0.2");

    EXPECT_EQUAL(send_to(socket, "192.168.0.1", 7, "hello", 5), ERROR_NOT_FOUND);
    EXPECT_EQUAL(send_to(socket, "10.0.0.2", 7, heard.payload, 1473), ERROR_BAD_VALUE);
    EXPECT_EQUAL(send_to(socket, "10.0.0.2", 7, NULL, 0), OK);
    lab_step(&lab, 3);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(udp_to_ourselves_comes_back)
{
    struct lab lab = lab_create(2, 2);
    struct heard heard;
    struct udp_socket *socket = bind_to(&lab, NULL, 5000, &heard);

    EXPECT_EQUAL(send_to(socket, "10.0.1.1", 5000, "me", 2), OK);
    lab_step(&lab, 4);
    EXPECT_EQUAL(heard.datagrams, 1);
    expect_address(&heard.last.source, "10.0.1.1");
    EXPECT_EQUAL(send_to(socket, "10.0.1.1", 5001, "nobody", 6), OK);
    lab_step(&lab, 6);
    EXPECT_EQUAL(heard.failures, 1);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(udp_sockets_are_bounded_and_exclusive)
{
    struct lab lab = lab_create(1, 1);
    struct udp_sockets *sockets = lab.router->local->udp;
    struct udp_handlers handlers = { .received = hear };
    const struct address own = address_of("10.0.0.1");
    struct udp_socket *socket;

    EXPECT_EQUAL(udp_bind(sockets, NULL, 53, &handlers, &socket), OK);
    EXPECT_EQUAL(udp_bind(sockets, NULL, 53, &handlers, &socket), ERROR_EXISTS);
    EXPECT_EQUAL(udp_bind(sockets, &own, 53, &handlers, &socket), OK);
    for (unsigned i = 2; i < UDP_SOCKET_MAX; i++)
        EXPECT_EQUAL(udp_bind(sockets, NULL, 0, &handlers, &socket), OK);
    EXPECT_EQUAL(udp_bind(sockets, NULL, 0, &handlers, &socket), ERROR_FULL);
    udp_close(socket);
    EXPECT_EQUAL(udp_bind(sockets, NULL, 0, &handlers, &socket), OK);
    lab_destroy(&lab);
}
