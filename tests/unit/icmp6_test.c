/* ICMPv6 echo as its peers see it: frames into a router on software cards, frames out. Errors are
 * in forward6_test.c. */
#include "net/icmp6.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "tests/unit/lab6.h"

enum { MESSAGE_BYTES = 100 };

/* Destination options, then a routing header without segments left, then a fragment header of a
 * packet that is whole: all that may come before a message to us. */
static const uint8_t extensions[] = {
    PROTOCOL_ROUTING,
    1,
    IPV6_OPTION_PADN,
    12,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0, /* options */
    PROTOCOL_FRAGMENT,
    0,
    4,
    0,
    0,
    0,
    0,
    0, /* routing */
    PROTOCOL_ICMP6,
    0,
    0,
    0,
    1,
    2,
    3,
    4, /* fragment */
};

static struct lab_frame request_to(const char *destination, uint8_t first, const void *bytes,
                                   unsigned length)
{
    struct lab6_packet packet = { .source = "2001:db8::2",
                                  .destination = destination,
                                  .protocol = first,
                                  .extensions = bytes,
                                  .extension_bytes = length };
    uint8_t message[MESSAGE_BYTES] = { ICMP6_ECHO_REQUEST, 0, 0, 0, 0x12, 0x34, 0, 7 };

    for (unsigned i = ICMP6_HEADER_BYTES; i < sizeof(message); i++)
        message[i] = (uint8_t)i;
    return lab6_icmp(0, &packet, message, sizeof(message));
}

/* The reply has the request's bytes, and nothing before them. */
static void expect_reply(struct lab *lab, const struct lab_frame *request, const char *source)
{
    const uint8_t *asked = request->bytes + request->length_bytes - MESSAGE_BYTES;
    struct lab_frame out;

    EXPECT(lab_take(lab, 0, &out));
    const struct ipv6_header *header = lab6_header(&out);
    EXPECT_EQUAL(header->next_header, PROTOCOL_ICMP6);
    EXPECT_EQUAL(header->hop_limit, ICMP6_HOP_LIMIT);
    EXPECT_EQUAL(lab6_payload_bytes(&out), MESSAGE_BYTES);
    EXPECT_EQUAL(out.length_bytes, ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + MESSAGE_BYTES);
    lab6_expect_address(header->source, source);
    lab6_expect_address(header->destination, "2001:db8::2");
    EXPECT(icmp6_is_good(lab6_payload(&out), MESSAGE_BYTES, header->source, header->destination));
    EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_ECHO_REPLY);
    EXPECT(memcmp(lab6_payload(&out) + 4, asked + 4, MESSAGE_BYTES - 4) == 0);
    EXPECT(!lab_take(lab, 0, &out));
}

static void send(struct lab *lab, const struct lab_frame *frame)
{
    lab_put(lab, 0, frame);
    lab_step(lab, 3);
}

TEST(icmp6_echo_behind_extension_headers_is_answered_without_them)
{
    static const unsigned segments_bytes[] = { PACKET_ROOM_BYTES, 128 };
    struct lab lab = lab6_create(1, 1);

    lab6_meet(&lab, 0, "2001:db8::2", 2);
    for (unsigned i = 0; i < ARRAY_COUNT(segments_bytes); i++) {
        wire_nic_set_segment(lab.cards[0], segments_bytes[i]);
        struct lab_frame plain = request_to("2001:db8::1", PROTOCOL_ICMP6, NULL, 0);
        send(&lab, &plain);
        expect_reply(&lab, &plain, "2001:db8::1");
        struct lab_frame one = request_to("2001:db8::1", PROTOCOL_FRAGMENT, extensions + 24, 8);
        send(&lab, &one);
        expect_reply(&lab, &one, "2001:db8::1");
        struct lab_frame all =
            request_to("2001:db8::1", PROTOCOL_DESTINATION_OPTIONS, extensions, sizeof(extensions));
        send(&lab, &all);
        expect_reply(&lab, &all, "2001:db8::1");
        struct lab_frame group =
            request_to("ff02::1", PROTOCOL_DESTINATION_OPTIONS, extensions, sizeof(extensions));
        send(&lab, &group);
        expect_reply(&lab, &group, "2001:db8::1");
    }
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* No card of ours cuts a frame so early; a chain that fills a whole buffer does the same. */
TEST(icmp6_echo_whose_header_is_not_in_the_first_buffer_is_ignored)
{
    struct lab lab = lab6_create(1, 1);
    struct lab_frame frame = request_to("2001:db8::1", PROTOCOL_FRAGMENT, extensions + 24, 8);

    lab6_meet(&lab, 0, "2001:db8::2", 2);
    wire_nic_set_segment(lab.cards[0], 64); /* 14 + 40 + 8 bytes, and 2 of the message */
    send(&lab, &frame);
    lab6_expect_silence(&lab);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ICMP_IGNORED), 1);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}
