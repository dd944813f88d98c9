/* IPv6 forwarding as peers see it: frames into a router on software cards, frames out, and why the
 * others did not come out. */
#include <string.h>

#include "kernel/base/bytes.h"
#include "net/forwarding.h"
#include "net/icmp.h"
#include "net/icmp6.h"
#include "net/neighbor.h"
#include "net/wire/ipv4.h"
#include "tests/unit/lab6.h"

#define HOST_0 "2001:db8:0::2"
#define HOST_1 "2001:db8:1::2"
#define US_0   "2001:db8:0::1"

static struct lab start(void)
{
    struct lab lab = lab6_create(1, 2);

    lab6_meet(&lab, 0, HOST_0, 2);
    lab6_meet(&lab, 1, HOST_1, 2);
    return lab;
}

static void finish(struct lab *lab)
{
    lab_expect_books(lab);
    lab_destroy(lab);
}

static void send(struct lab *lab, const struct lab_frame *frame)
{
    lab_put(lab, 0, frame);
    lab_step(lab, 4);
}

/* It left by that port, one hop older and else as it came. */
static void expect_forwarded(struct lab *lab, unsigned port, const struct lab_frame *frame)
{
    struct lab_frame out, wish = *frame;

    EXPECT(lab_take(lab, port, &out));
    lab6_header(&wish)->hop_limit--;
    EXPECT_EQUAL(out.length_bytes, wish.length_bytes);
    EXPECT(memcmp(out.bytes + 14, wish.bytes + 14, wish.length_bytes - 14) == 0);
    EXPECT(mac_equal(out.bytes, lab_host_mac(port, 2)));
    EXPECT(mac_equal(out.bytes + 6, lab_port_mac(port)));
    EXPECT_EQUAL(load_be16(out.bytes + 12), ETHERTYPE_IPV6);
    lab6_expect_silence(lab);
}

TEST(forward6_decrements_the_hop_limit_and_changes_nothing_else)
{
    struct lab lab = start();
    static const uint16_t lengths[] = { 0, 1, 8, 100, 1459, 1460 };

    for (unsigned i = 0; i < ARRAY_COUNT(lengths); i++) {
        struct lab_frame frame =
            lab6_frame(0, &(struct lab6_packet){ HOST_0, HOST_1, .hop_limit = 2,
                                                 .payload_bytes = lengths[i] });
        send(&lab, &frame);
        expect_forwarded(&lab, 1, &frame);
    }
    finish(&lab);
}

TEST(forward6_cuts_off_what_the_link_has_padded)
{
    struct lab lab = start();
    struct lab_frame frame =
        lab6_frame(0, &(struct lab6_packet){ HOST_0, HOST_1, .hop_limit = 64 });
    struct lab_frame padded = frame;

    padded.length_bytes += 6;
    send(&lab, &padded);
    expect_forwarded(&lab, 1, &frame);
    finish(&lab);
}

TEST(forward6_batch_of_both_families_is_sorted)
{
    struct lab lab = start();
    struct lab_frame out;
    struct lab_frame six = lab6_frame(0, &(struct lab6_packet){ HOST_0, HOST_1, .hop_limit = 64 });
    struct lab_frame four =
        lab_frame(0, &(struct lab_packet){ .source = "10.0.0.2", .destination = "10.0.1.2" });
    unsigned seen[2] = { 0 };

    for (unsigned i = 0; i < 40; i++)
        lab_put(&lab, 0, i * 7 % 5 < 2 ? &four : &six);
    lab_step(&lab, 4);
    while (lab_take(&lab, 1, &out))
        seen[load_be16(out.bytes + 12) == ETHERTYPE_IPV6]++;
    EXPECT_EQUAL(seen[0], 16);
    EXPECT_EQUAL(seen[1], 24);
    uint64_t bytes = lab_counters(&lab, 0).received_bytes;
    for (unsigned i = 0; i < 40; i++)
        lab_put(&lab, 0, i * 7 % 5 < 2 ? &four : &six);
    lab_step(&lab, 4);
    EXPECT_EQUAL(lab_counters(&lab, 0).received_bytes - bytes,
                 16 * four.length_bytes + 24 * six.length_bytes);
    finish(&lab);
}

TEST(forward6_hop_limit_of_one_or_none_is_time_exceeded)
{
    struct lab lab = start();
    static const uint16_t lengths[] = { 0, 8, 1184, 1192, 1193, 1400 };

    for (unsigned i = 0; i < ARRAY_COUNT(lengths); i++)
        for (uint8_t hop_limit = 0; hop_limit < 2; hop_limit++) {
            struct lab_frame frame =
                lab6_frame(0, &(struct lab6_packet){ HOST_0, HOST_1, .payload_bytes = lengths[i] });
            lab6_header(&frame)->hop_limit = hop_limit;
            send(&lab, &frame);
            lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_TIME_EXCEEDED, ICMP6_HOP_LIMIT_EXPIRED);
        }
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_TTL_EXPIRED), 2 * ARRAY_COUNT(lengths));
    finish(&lab);
}

TEST(forward6_unreachable_says_why)
{
    struct lab lab = start();
    struct lab6_packet packet = { HOST_0, "2001:db8:99::1", .payload_bytes = 30 };

    lab_route_kind(&lab, "2001:db8:50::/44", ROUTE_REJECT);
    lab_route_kind(&lab, "2001:db8:51::/48", ROUTE_BLACKHOLE);
    lab_commit(&lab);
    lab_step(&lab, 2);
    struct lab_frame frame = lab6_frame(0, &packet);
    send(&lab, &frame);
    lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_UNREACHABLE, ICMP6_NO_ROUTE);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NO_ROUTE), 1);

    packet.destination = "2001:db8:50::1";
    frame = lab6_frame(0, &packet);
    send(&lab, &frame);
    lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_UNREACHABLE, ICMP6_REJECT_ROUTE);

    packet.destination = "2001:db8:51::1";
    frame = lab6_frame(0, &packet);
    send(&lab, &frame);
    lab6_expect_silence(&lab);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BLACKHOLE), 1);
    finish(&lab);
}

TEST(forward6_neighbor_that_does_not_answer_is_address_unreachable)
{
    struct lab lab = start();
    struct lab_frame out,
        frame =
            lab6_frame(0, &(struct lab6_packet){ HOST_0, "2001:db8:1::77", .payload_bytes = 30 });

    send(&lab, &frame);
    lab_wait(&lab, 2900);
    EXPECT(!lab_take(&lab, 0, &out));
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 1);
    for (unsigned i = 0; i < NEIGHBOR_REQUEST_MAX; i++) {
        EXPECT(lab_take(&lab, 1, &out));
        EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_NEIGHBOR_SOLICITATION);
    }
    lab_wait(&lab, 200);
    lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_UNREACHABLE, ICMP6_ADDRESS_UNREACHABLE);
    lab6_expect_silence(&lab);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NEIGHBOR_FAILED), 1);
    finish(&lab);
}

TEST(forward6_never_fragments_and_tells_the_mtu)
{
    struct lab lab = start();
    struct lab6_packet packet = { HOST_0, HOST_1, .payload_bytes = 1360 };

    lab_interface(&lab, "eth1", false, 1400);
    lab_commit(&lab);
    lab_step(&lab, 2);
    struct lab_frame frame = lab6_frame(0, &packet);
    send(&lab, &frame);
    expect_forwarded(&lab, 1, &frame);
    packet.payload_bytes = 1361;
    frame = lab6_frame(0, &packet);
    send(&lab, &frame);
    struct icmp6_header icmp = lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_PACKET_TOO_BIG, 0);
    EXPECT_EQUAL(__builtin_bswap32(icmp.mtu_be), 1400);
    lab6_expect_silence(&lab);
    /* So one that has waited for its neighbor. */
    packet.destination = "2001:db8:1::3";
    frame = lab6_frame(0, &packet);
    send(&lab, &frame);
    lab6_forget_frames(&lab);
    struct lab_frame answer =
        lab6_advertisement(1, "2001:db8:1::3", "2001:db8:1::1", "2001:db8:1::3", lab_host_mac(1, 3),
                           (struct advertised){ .solicited = true });
    lab_put(&lab, 1, &answer);
    lab_step(&lab, 4);
    icmp = lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_PACKET_TOO_BIG, 0);
    EXPECT_EQUAL(__builtin_bswap32(icmp.mtu_be), 1400);
    lab6_expect_silence(&lab);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_FRAGMENT_NEEDED), 2);
    finish(&lab);
}

TEST(forward6_addresses_that_must_not_pass)
{
    static const struct {
        const char *source, *destination;
        enum verdict why;
    } cases[] = {
        { "fe80::2", HOST_1, DROP_BEYOND_SCOPE },
        { HOST_0, "fe80::77", DROP_BEYOND_SCOPE },
        { "fe80::2", "fe80::77", DROP_BEYOND_SCOPE },
        { HOST_0, "ff0e::1234", DROP_MULTICAST },
        { HOST_0, "ff02::1234", DROP_MULTICAST },
        { HOST_0, "ff02::1:ff00:77", DROP_MULTICAST },
        { HOST_0, "::", DROP_MARTIAN_DESTINATION },
        { HOST_0, "::1", DROP_MARTIAN_DESTINATION },
        { HOST_0, "::ffff:10.0.1.2", DROP_MARTIAN_DESTINATION },
        { "::", HOST_1, DROP_MARTIAN_SOURCE },
        { "::1", HOST_1, DROP_MARTIAN_SOURCE },
        { "ff02::1", HOST_1, DROP_MARTIAN_SOURCE },
        { "::ffff:10.0.0.2", HOST_1, DROP_MARTIAN_SOURCE },
        { US_0, HOST_1, DROP_MARTIAN_SOURCE },
        { "2001:db8:1::1", HOST_1, DROP_MARTIAN_SOURCE },
    };
    struct lab lab = start();

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct lab_frame out,
            frame = lab6_frame(
                0, &(struct lab6_packet){ cases[i].source, cases[i].destination, .hop_limit = 64 });
        uint64_t before = lab_dropped(&lab, 0, cases[i].why);
        send(&lab, &frame);
        if (lab_dropped(&lab, 0, cases[i].why) != before + 1)
            test_fail(__FILE__, __LINE__, "%s to %s", cases[i].source, cases[i].destination);
        EXPECT(!lab_take(&lab, 1, &out));
        /* To whom the error goes that scope owes must be asked for first, if he is not known. */
        if (cases[i].why != DROP_BEYOND_SCOPE)
            lab6_expect_silence(&lab);
        lab6_forget_frames(&lab);
    }
    lab_wait(&lab, 4000);
    finish(&lab);
}

TEST(forward6_beyond_scope_is_told_to_the_sender)
{
    struct lab lab = start();
    struct lab_frame frame =
        lab6_frame(0, &(struct lab6_packet){ HOST_0, "fe80::77", .hop_limit = 64 });

    send(&lab, &frame);
    lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_UNREACHABLE, ICMP6_BEYOND_SCOPE);
    /* A link-local sender hears it from a link-local address. */
    lab6_meet(&lab, 0, "fe80::2", 2);
    frame = lab6_frame(0, &(struct lab6_packet){ "fe80::2", HOST_1, .hop_limit = 64 });
    send(&lab, &frame);
    lab6_expect_error(&lab, 0, &frame, "fe80::ff:fe00:0", ICMP6_UNREACHABLE, ICMP6_BEYOND_SCOPE);
    finish(&lab);
}

TEST(forward6_bad_headers_are_counted)
{
    struct lab lab = start();
    const struct lab_frame good =
        lab6_frame(0, &(struct lab6_packet){ HOST_0, HOST_1, .payload_bytes = 20 });
    struct lab_frame frame = good;

    frame.bytes[14] = 0x45;
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_IPV6_HEADER), 1);
    frame = good;
    lab6_header(&frame)->payload_length_be = __builtin_bswap16(21);
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_TRUNCATED), 1);
    frame = good;
    for (frame.length_bytes = 14; frame.length_bytes < 74; frame.length_bytes++)
        send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_TRUNCATED), 61);
    frame = good; /* a jumbogram */
    lab6_header(&frame)->payload_length_be = 0;
    lab6_header(&frame)->next_header = PROTOCOL_HOP_BY_HOP;
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_IPV6_HEADER), 2);
    frame = good;
    frame.bytes[5] ^= 0x40;
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NOT_FOR_US), 1);
    frame = good; /* to one station in a frame to many */
    memset(frame.bytes, 0xff, 6);
    send(&lab, &frame);
    memcpy(frame.bytes, (uint8_t[]){ 0x33, 0x33, 0, 0, 0, 1 }, 6);
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_LINK_BROADCAST), 2);
    lab6_expect_silence(&lab);
    send(&lab, &good);
    expect_forwarded(&lab, 1, &good);
    finish(&lab);
}

/* ---- Extension headers ---------------------------------------------------------------------- */

enum { UDP = 17, HBH = PROTOCOL_HOP_BY_HOP, DEST = PROTOCOL_DESTINATION_OPTIONS };

TEST(forward6_hop_by_hop_options_pass_or_not_as_their_bits_say)
{
    static const struct {
        uint8_t option[6];
        const char *destination;
        int pointer; /* of the error, 0: passes, -1: silence */
    } cases[] = {
        { { IPV6_OPTION_PADN, 4 }, HOST_1, 0 },
        { { IPV6_OPTION_ROUTER_ALERT, 2, 0, 0, 1, 0 }, HOST_1, 0 },
        { { 0x1e, 4 }, HOST_1, 0 },        /* unknown, skip */
        { { 0x5e, 4 }, HOST_1, -1 },       /* unknown, discard */
        { { 0x9e, 4 }, HOST_1, 42 },       /* unknown, tell */
        { { 0xde, 4 }, HOST_1, 42 },       /* unknown, tell unless to a group */
        { { 1, 0, 0x9e, 2 }, HOST_1, 44 }, /* behind padding */
        { { 0x9e, 4 }, "ff02::1", 42 },    /* RFC 4443 2.4 (e.3): this one even to a group */
        { { 0xde, 4 }, "ff02::1", -1 },
    };
    struct lab lab = start();

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t extension[8] = { UDP };
        memcpy(extension + 2, cases[i].option, 6);
        struct lab_frame frame =
            lab6_frame(0, &(struct lab6_packet){ HOST_0, cases[i].destination, .protocol = HBH,
                                                 .extensions = extension, .extension_bytes = 8,
                                                 .payload_bytes = 20 });
        send(&lab, &frame);
        if (cases[i].pointer == 0) {
            expect_forwarded(&lab, 1, &frame);
        } else if (cases[i].pointer > 0) {
            struct icmp6_header icmp = lab6_expect_error(
                &lab, 0, &frame, US_0, ICMP6_PARAMETER_PROBLEM, ICMP6_UNKNOWN_OPTION);
            EXPECT_EQUAL(__builtin_bswap32(icmp.pointer_be), cases[i].pointer);
        }
        lab6_expect_silence(&lab);
    }
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_IPV6_DISCARD), 2);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_IPV6_EXTENSION), 4);
    finish(&lab);
}

TEST(forward6_extensions_for_the_destination_pass_unseen)
{
    static const uint8_t destination_options[8] = { UDP, 0, 0x9e, 4 }; /* unknown, tell */
    static const uint8_t fragment[8] = { UDP, 0, 0, 1, 1, 2, 3, 4 };
    static const uint8_t routing_4[24] = { UDP, 2, 4, 1 }; /* segment routing */
    struct lab lab = start();
    struct lab6_packet packet = { HOST_0,
                                  HOST_1,
                                  .protocol = DEST,
                                  .extensions = destination_options,
                                  .extension_bytes = 8,
                                  .payload_bytes = 20 };
    struct lab_frame frame = lab6_frame(0, &packet);

    send(&lab, &frame);
    expect_forwarded(&lab, 1, &frame);
    packet.protocol = PROTOCOL_FRAGMENT;
    packet.extensions = fragment;
    frame = lab6_frame(0, &packet);
    send(&lab, &frame);
    expect_forwarded(&lab, 1, &frame);
    packet.protocol = PROTOCOL_ROUTING;
    packet.extensions = routing_4;
    packet.extension_bytes = 24;
    frame = lab6_frame(0, &packet);
    send(&lab, &frame);
    expect_forwarded(&lab, 1, &frame);
    finish(&lab);
}

/* RFC 5095 3: of a type that we do not know, like any. On its way to others it is not helped along
 * while it wants something; done, it is as harmless as the rest. */
TEST(forward6_type_0_routing_header_is_followed_by_nobody)
{
    struct lab lab = start();
    uint8_t routing_0[24] = { PROTOCOL_ICMP6, 2, 0, 1 }, message[16] = { ICMP6_ECHO_REQUEST };
    struct lab6_packet packet = { HOST_0,
                                  HOST_1,
                                  .hop_limit = 64,
                                  .protocol = PROTOCOL_ROUTING,
                                  .extensions = routing_0,
                                  .extension_bytes = sizeof(routing_0) };
    struct lab_frame out, frame = lab6_icmp(0, &packet, message, sizeof(message));

    memcpy(routing_0 + 8, address_of("2001:db8:0::3").bytes, 16);
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_SOURCE_ROUTE), 1);
    lab6_expect_silence(&lab);
    packet.destination = US_0;
    frame = lab6_icmp(0, &packet, message, sizeof(message));
    send(&lab, &frame);
    struct icmp6_header icmp =
        lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_PARAMETER_PROBLEM, ICMP6_ERRONEOUS_FIELD);
    EXPECT_EQUAL(__builtin_bswap32(icmp.pointer_be), 42); /* the type */

    routing_0[3] = 0;
    frame = lab6_icmp(0, &packet, message, sizeof(message));
    send(&lab, &frame);
    EXPECT(lab_take(&lab, 0, &out));
    EXPECT_EQUAL(lab6_header(&out)->next_header, PROTOCOL_ICMP6);
    EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_ECHO_REPLY);
    packet.destination = HOST_1;
    frame = lab6_icmp(0, &packet, message, sizeof(message));
    send(&lab, &frame);
    expect_forwarded(&lab, 1, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_SOURCE_ROUTE), 1);
    finish(&lab);
}

TEST(forward6_delivered_extensions_are_judged)
{
    static const uint8_t routing[32] = { PROTOCOL_ROUTING, 0, 1, 4, 0, 0, 0, 0, UDP, 2, 0, 1 };
    static const uint8_t unknown[8] = { 200, 0, 1, 4 };
    struct lab lab = start();
    struct lab6_packet packet = { HOST_0,
                                  US_0,
                                  .protocol = DEST,
                                  .extensions = routing,
                                  .extension_bytes = 32,
                                  .payload_bytes = 20 };
    struct lab_frame frame = lab6_frame(0, &packet);

    send(&lab, &frame);
    struct icmp6_header icmp =
        lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_PARAMETER_PROBLEM, ICMP6_ERRONEOUS_FIELD);
    EXPECT_EQUAL(__builtin_bswap32(icmp.pointer_be), 50); /* the type */
    packet.extensions = unknown;
    packet.extension_bytes = 8;
    frame = lab6_frame(0, &packet);
    send(&lab, &frame);
    icmp = lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_PARAMETER_PROBLEM,
                             ICMP6_UNKNOWN_NEXT_HEADER);
    EXPECT_EQUAL(__builtin_bswap32(icmp.pointer_be), 40);
    frame = lab6_frame(0, &(struct lab6_packet){ HOST_0, US_0, .protocol = 200 });
    send(&lab, &frame);
    icmp = lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_PARAMETER_PROBLEM,
                             ICMP6_UNKNOWN_NEXT_HEADER);
    EXPECT_EQUAL(__builtin_bswap32(icmp.pointer_be), 6);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_PROTOCOL_UNREACHABLE), 2);
    finish(&lab);
}

/* A chain without end is not followed, whether it is for us or hop-by-hop options make us look on
 * its way. too many options are told to the sender (RFC 8883 2); what ends the walk before a
 * message is seen is not, since that may be an error (RFC 4443 2.4, e.1). */
TEST(forward6_chain_beyond_our_limits_is_dropped)
{
    static const struct {
        unsigned headers, options; /* destination options behind the hop-by-hop ones; in those */
        unsigned segment_bytes;    /* of the buffers in which the frame comes */
        bool told;
    } cases[] = {
        { IPV6_EXTENSIONS_MAX, 1, 0, false },
        { 100, 1, 0, false },
        { 1, IPV6_OPTIONS_MAX + 1, 0, true },
        { 6, 1, 96, false },
    };
    static uint8_t extensions[1200];

    for (unsigned i = 0; i < 2 * ARRAY_COUNT(cases); i++) {
        unsigned bytes = 8 * (1 + cases[i / 2].options / 3);
        struct lab lab = start();
        memset(extensions, 0, sizeof(extensions));
        extensions[0] = DEST;
        extensions[1] = (uint8_t)(bytes / 8 - 1);
        for (unsigned n = 0; n < cases[i / 2].options; n++)
            extensions[2 + 2 * n] = 0x1e; /* unknown, of no length: skip */
        for (unsigned n = 0; n < cases[i / 2].headers; n++, bytes += 8)
            memcpy(extensions + bytes, (uint8_t[]){ DEST, 0, 1, 4 }, 4);
        extensions[bytes - 8] = UDP;
        struct lab_frame frame =
            lab6_frame(0, &(struct lab6_packet){ .source = HOST_0,
                                                 .destination = i % 2 ? US_0 : HOST_1,
                                                 .protocol = HBH,
                                                 .extensions = extensions,
                                                 .extension_bytes = bytes,
                                                 .payload_bytes = 20 });
        if (cases[i / 2].segment_bytes > 0)
            wire_nic_set_segment(lab.cards[0], cases[i / 2].segment_bytes);
        send(&lab, &frame);
        if (cases[i / 2].told)
            lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_PARAMETER_PROBLEM,
                              ICMP6_TOO_MANY_OPTIONS);
        EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_IPV6_EXTENSION), 1);
        lab6_expect_silence(&lab);
        finish(&lab);
    }
}

/* RFC 2675: an option that we do not know wants its sender told, unless it speaks to many. Where
 * the payload length is 0, as in a jumbogram, there is no packet to tell of. */
TEST(forward6_jumbo_payload_option_is_unknown)
{
    static const uint8_t jumbo[8] = { UDP, 0, 0xc2, 4, 0, 1, 0, 0 };
    struct lab lab = start();
    struct lab6_packet packet = { HOST_0,
                                  HOST_1,
                                  .protocol = HBH,
                                  .extensions = jumbo,
                                  .extension_bytes = sizeof(jumbo),
                                  .payload_bytes = 20 };
    struct lab_frame frame = lab6_frame(0, &packet);

    send(&lab, &frame);
    struct icmp6_header icmp =
        lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_PARAMETER_PROBLEM, ICMP6_UNKNOWN_OPTION);
    EXPECT_EQUAL(__builtin_bswap32(icmp.pointer_be), 42);
    lab6_header(&frame)->payload_length_be = 0;
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_IPV6_HEADER), 1);
    packet.destination = "ff02::1";
    frame = lab6_frame(0, &packet);
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_IPV6_DISCARD), 1);
    lab6_expect_silence(&lab);
    finish(&lab);
}

/* ---- Errors: when not ----------------------------------------------------------------------- */

TEST(forward6_error_is_never_about_an_error_or_a_redirect)
{
    struct lab lab = start();
    struct lab6_packet packet = { HOST_0, "2001:db8:99::1", .hop_limit = 64 };
    uint8_t message[40] = { 0 };

    for (unsigned type = 0; type < 256; type++) {
        message[0] = (uint8_t)type;
        struct lab_frame frame = lab6_icmp(0, &packet, message, sizeof(message));
        send(&lab, &frame);
        if (type < 128 || type == ICMP6_REDIRECT)
            lab6_expect_silence(&lab);
        else
            lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_UNREACHABLE, ICMP6_NO_ROUTE);
        lab_wait(&lab, 10);
        lab6_meet(&lab, 0, HOST_0, 2);
    }
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NO_ROUTE), 256);
    finish(&lab);
}

/* An error behind extension headers is one, too. */
TEST(forward6_error_is_never_about_an_error_behind_extensions)
{
    static const uint8_t extensions[16] = { DEST, 0, 1, 4, 0, 0, 0, 0, PROTOCOL_ICMP6, 0, 1, 4 };
    struct lab lab = start();
    struct lab6_packet packet = { HOST_0, "2001:db8:99::1", .protocol = HBH,
                                  .extensions = extensions, .extension_bytes = 16 };
    uint8_t message[40] = { ICMP6_TIME_EXCEEDED };
    struct lab_frame frame = lab6_icmp(0, &packet, message, sizeof(message));

    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NO_ROUTE), 1);
    lab6_expect_silence(&lab);
    finish(&lab);
}

TEST(forward6_errors_are_limited_in_rate)
{
    struct lab lab = start();
    struct lab_frame out,
        frame = lab6_frame(0, &(struct lab6_packet){ HOST_0, "2001:db8:99::1", .hop_limit = 64 });
    unsigned answers = 0;

    for (unsigned i = 0; i < 200; i++)
        lab_put(&lab, 0, &frame);
    lab_step(&lab, 8);
    while (lab_take(&lab, 0, &out))
        answers++;
    EXPECT(answers >= ICMP_ERROR_BURST && answers <= ICMP_ERROR_BURST + 1);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NO_ROUTE), 200);
    EXPECT_EQUAL(lab_dropped(&lab, 2, DROP_ICMP_RATE_LIMIT), 200 - answers);
    finish(&lab);
}

/* Who speaks in our name is not answered, nor is he who speaks for many or nobody: the error would
 * go to ourselves, or to all. */
TEST(forward6_error_is_never_sent_to_a_forged_source)
{
    static const char *const sources[] = {
        US_0,  "2001:db8:1::1", "fe80::ff:fe00:0", "::",
        "::1", "ff02::1",       "ff0e::1",         "::ffff:10.0.0.2"
    };
    static const uint8_t tell[8] = { UDP, 0, 0x9e, 4 };
    struct lab lab = start();
    struct lab6_packet packet = { .destination = HOST_1,
                                  .protocol = HBH,
                                  .extensions = tell,
                                  .extension_bytes = sizeof(tell),
                                  .payload_bytes = 20 };
    uint64_t originated = lab_counters(&lab, 2).originated;

    for (unsigned i = 0; i < ARRAY_COUNT(sources); i++) {
        packet.source = sources[i];
        struct lab_frame frame = lab6_frame(0, &packet);
        send(&lab, &frame);
        EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_IPV6_EXTENSION), i + 1);
        lab6_expect_silence(&lab);
    }
    EXPECT_EQUAL(lab_counters(&lab, 2).originated, originated);
    finish(&lab);
}

/* ---- Long packets of our own ------------------------------------------------------------------
 */

TEST(forward6_own_packet_that_is_too_long_is_fragmented)
{
    struct lab lab = start();
    static uint8_t message[1500 - 40];
    static uint8_t whole[2000];
    struct lab_frame out;
    unsigned pieces = 0, end = 0;
    uint32_t identification = 0;

    message[0] = ICMP6_ECHO_REQUEST;
    for (unsigned i = 8; i < sizeof(message); i++)
        message[i] = (uint8_t)(i * 3);
    lab_interface(&lab, "eth0", false, 1300);
    lab_commit(&lab);
    lab_step(&lab, 2);
    struct lab_frame frame = lab6_icmp(0, &(struct lab6_packet){ HOST_0, US_0, .hop_limit = 64 },
                                       message, sizeof(message));
    send(&lab, &frame);
    while (lab_take(&lab, 0, &out)) {
        struct ipv6_fragment fragment;
        EXPECT(out.length_bytes <= 14 + 1300);
        EXPECT_EQUAL(out.length_bytes, 54 + lab6_payload_bytes(&out));
        EXPECT_EQUAL(lab6_header(&out)->next_header, PROTOCOL_FRAGMENT);
        lab6_expect_address(lab6_header(&out)->source, US_0);
        lab6_expect_address(lab6_header(&out)->destination, HOST_0);
        EXPECT(mac_equal(out.bytes, lab_host_mac(0, 2)));
        ipv6_fragment_read(lab6_payload(&out), &fragment);
        EXPECT_EQUAL(fragment.next_header, PROTOCOL_ICMP6);
        EXPECT(pieces == 0 || fragment.identification == identification);
        identification = fragment.identification;
        EXPECT_EQUAL(fragment.offset_bytes, end);
        unsigned piece_bytes = (unsigned)lab6_payload_bytes(&out) - 8;
        EXPECT(!fragment.more || piece_bytes % 8 == 0);
        memcpy(whole + end, lab6_payload(&out) + 8, piece_bytes);
        end += piece_bytes;
        EXPECT_EQUAL(fragment.more, end < sizeof(message));
        pieces++;
    }
    EXPECT_EQUAL(pieces, 2);
    EXPECT_EQUAL(end, sizeof(message));
    EXPECT_EQUAL(whole[0], ICMP6_ECHO_REPLY);
    EXPECT(icmp6_is_good(whole, end, address_of(US_0).bytes, address_of(HOST_0).bytes));
    EXPECT(memcmp(whole + 8, message + 8, end - 8) == 0);
    finish(&lab);
}

/* ---- Batches, and what is sent by ourselves ----------------------------------------------------
 */

/* One that falls out of a batch must not shift where the others go. */
TEST(forward6_batch_with_gaps_leads_each_packet_where_it_wants)
{
    struct lab lab = lab6_create(1, 3);
    struct lab_frame frames[6], out;

    for (unsigned port = 0; port < 3; port++) {
        static const char *const hosts[] = { HOST_0, HOST_1, "2001:db8:2::2" };
        lab6_meet(&lab, port, hosts[port], 2);
    }
    for (unsigned i = 0; i < 6; i++) {
        frames[i] = lab6_frame(0, &(struct lab6_packet){ HOST_0, i % 2 ? HOST_1 : "2001:db8:2::2",
                                                         .payload_bytes = (uint16_t)(10 + i) });
        if (i == 0 || i == 3)
            frames[i].bytes[14] = 0x50; /* version 5 */
        lab_put(&lab, 0, &frames[i]);
    }
    lab_step(&lab, 4);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_IPV6_HEADER), 2);
    for (unsigned i = 0; i < 6; i++) {
        if (i == 0 || i == 3)
            continue;
        EXPECT(lab_take(&lab, i % 2 ? 1 : 2, &out));
        EXPECT_EQUAL(out.length_bytes, frames[i].length_bytes);
    }
    lab6_expect_silence(&lab);
    finish(&lab);
}

/* A far station could not answer to a link-local address, nor would the next router pass it. */
TEST(forward6_source_has_the_scope_of_the_destination)
{
    struct lab lab = start();
    const struct forwarding *view = lab.router->cores[0]->forwarding;
    const struct address far = address_of("2001:db8:aaaa::5"), near = address_of("fe80::5");

    lab6_expect_address(forwarding_source(view, 0, &far).bytes, US_0);
    lab6_expect_address(forwarding_source(view, 0, &near).bytes, "fe80::ff:fe00:0");
    EXPECT_EQUAL(forwarding_source(view, 2, &far).family, FAMILY_NONE);
    finish(&lab);
}

/* What we send to far away goes to the gateway, known or not, and comes from a global address. */
TEST(forward6_error_to_a_far_sender_goes_by_the_gateway)
{
    struct lab lab = start();
    struct lab_frame frame = lab6_frame(
        0, &(struct lab6_packet){ "2001:db8:aaaa::5", "2001:db8:99::1", .hop_limit = 64 });

    lab_route(&lab, "2001:db8:aaaa::/48", HOST_0);
    lab_commit(&lab);
    lab_step(&lab, 2);
    for (unsigned i = 0; i < 2; i++) {
        send(&lab, &frame);
        lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_UNREACHABLE, ICMP6_NO_ROUTE);
    }
    finish(&lab);
}

/* Asymmetric: the packet came by one port, the way back is another. */
TEST(forward6_error_comes_from_the_port_where_the_packet_came)
{
    struct lab lab = start();
    struct lab_frame frame = lab6_frame(
        0, &(struct lab6_packet){ "2001:db8:aaaa::5", "2001:db8:99::1", .hop_limit = 64 });

    lab_route(&lab, "2001:db8:aaaa::/48", HOST_1);
    lab_commit(&lab);
    lab_step(&lab, 2);
    send(&lab, &frame);
    lab6_expect_error(&lab, 1, &frame, US_0, ICMP6_UNREACHABLE, ICMP6_NO_ROUTE);
    finish(&lab);
}

TEST(forward6_redirect_names_the_better_way_and_can_be_read)
{
    struct lab lab = start();
    struct lab_frame out;

    lab6_meet(&lab, 0, "2001:db8:0::3", 2);
    for (uint16_t payload_bytes = 0; payload_bytes <= 1460;
         payload_bytes += payload_bytes < 40 ? 1 : 71) {
        struct lab_frame frame = lab6_frame(
            0, &(struct lab6_packet){ "2001:db8:0::3", HOST_0, .payload_bytes = payload_bytes });
        struct nd_redirect redirect;
        send(&lab, &frame);
        bool found = false, passed = false;
        while (lab_take(&lab, 0, &out)) {
            if (lab6_header(&out)->next_header != PROTOCOL_ICMP6) {
                passed = true;
                continue;
            }
            found = true;
            lab6_expect_address(lab6_header(&out)->source, "fe80::ff:fe00:0");
            lab6_expect_address(lab6_header(&out)->destination, "2001:db8:0::3");
            EXPECT_EQUAL(nd_redirect_read(lab6_header(&out), lab6_payload(&out),
                                          lab6_payload_bytes(&out), &redirect),
                         OK);
            lab6_expect_address(redirect.target, HOST_0);
            lab6_expect_address(redirect.destination, HOST_0);
            EXPECT(redirect.has_target_mac);
            EXPECT(mac_equal(redirect.target_mac, lab_host_mac(0, 2)));
            EXPECT(lab6_payload_bytes(&out) <= 1240);
            EXPECT_EQUAL(redirect.redirected_bytes, MIN_OF((40 + payload_bytes) / 8 * 8, 1184));
            EXPECT(memcmp(redirect.redirected, frame.bytes + 14, 40) == 0);
        }
        EXPECT(found && passed);
        lab_wait(&lab, 10);
    }
    finish(&lab);
}

/* RFC 4443 3.4, code 0: its sender is told where a length runs over the end. */
TEST(forward6_option_that_runs_over_its_header_is_an_erroneous_field)
{
    static const uint8_t option_too_long[8] = { UDP, 0, 0x1e, 5 };
    static const uint8_t header_too_long[8] = { UDP, 9, 1, 4 };
    struct lab lab = start();
    struct lab6_packet packet = { HOST_0,
                                  HOST_1,
                                  .protocol = HBH,
                                  .extensions = option_too_long,
                                  .extension_bytes = 8,
                                  .payload_bytes = 20 };
    struct lab_frame frame = lab6_frame(0, &packet);

    send(&lab, &frame);
    struct icmp6_header icmp =
        lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_PARAMETER_PROBLEM, ICMP6_ERRONEOUS_FIELD);
    EXPECT_EQUAL(__builtin_bswap32(icmp.pointer_be), 43);
    packet.extensions = header_too_long;
    frame = lab6_frame(0, &packet);
    send(&lab, &frame);
    icmp = lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_PARAMETER_PROBLEM, ICMP6_ERRONEOUS_FIELD);
    EXPECT_EQUAL(__builtin_bswap32(icmp.pointer_be), 41);
    finish(&lab);
}

/* An answer to a link-local station that is not there: the error is about a packet of ours, and
 * comes to ourselves. */
TEST(forward6_own_packet_to_a_link_local_address_may_fail)
{
    struct lab lab = start();
    uint8_t message[16] = { ICMP6_ECHO_REQUEST };
    struct lab_frame out;

    lab_address(&lab, "lo", "2001:db8:ff::1/128");
    lab_commit(&lab);
    lab_step(&lab, 2);
    struct lab_frame frame =
        lab6_icmp(0, &(struct lab6_packet){ "fe80::77", "fe80::ff:fe00:0", .hop_limit = 64 },
                  message, sizeof(message));
    send(&lab, &frame);
    lab_wait(&lab, 8000);
    while (lab_take(&lab, 0, &out))
        EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_NEIGHBOR_SOLICITATION);
    EXPECT_EQUAL(lab_dropped(&lab, 2, DROP_NEIGHBOR_FAILED), 1);
    struct port_counters own = lab_counters(&lab, 2);
    uint64_t dropped = 0;
    for (unsigned why = 0; why < VERDICT_COUNT; why++)
        dropped += own.dropped[why];
    /* The answer, and the error where nobody waits for it. */
    EXPECT_EQUAL(dropped - own.dropped[DROP_ICMP_IGNORED], 1);
    EXPECT_EQUAL(own.delivered + own.dropped[DROP_ICMP_IGNORED], 1);
    finish(&lab);
}

/* RFC 7112 5: a first fragment must hold all headers. */
TEST(forward6_first_fragment_without_its_upper_header_is_an_incomplete_chain)
{
    static const uint8_t fragment[8] = { PROTOCOL_ICMP6, 0, 0, 1, 1, 2, 3, 4 };
    struct lab lab = start();
    struct lab_frame frame = lab6_frame(0, &(struct lab6_packet){ .source = HOST_0,
                                                                  .destination = US_0,
                                                                  .protocol = PROTOCOL_FRAGMENT,
                                                                  .extensions = fragment,
                                                                  .extension_bytes = 8,
                                                                  .payload_bytes = 4 });

    send(&lab, &frame);
    struct icmp6_header icmp =
        lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_PARAMETER_PROBLEM, ICMP6_INCOMPLETE_CHAIN);
    EXPECT_EQUAL(icmp.pointer_be, 0);
    finish(&lab);
}

/* Frames in several buffers: on their way, quoted, answered. */
TEST(forward6_frames_of_several_segments)
{
    struct lab lab = start();
    uint8_t message[1400] = { ICMP6_ECHO_REQUEST };
    struct lab_frame out,
        frame = lab6_frame(0, &(struct lab6_packet){
                                  .source = HOST_0, .destination = HOST_1, .payload_bytes = 1400 });

    wire_nic_set_segment(lab.cards[0], 333);
    send(&lab, &frame);
    expect_forwarded(&lab, 1, &frame);
    lab6_header(&frame)->hop_limit = 1;
    send(&lab, &frame);
    lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_TIME_EXCEEDED, ICMP6_HOP_LIMIT_EXPIRED);
    for (unsigned i = 8; i < sizeof(message); i++)
        message[i] = (uint8_t)(i * 5);
    frame = lab6_icmp(0, &(struct lab6_packet){ HOST_0, US_0, .hop_limit = 64 }, message,
                      sizeof(message));
    send(&lab, &frame);
    EXPECT(lab_take(&lab, 0, &out));
    EXPECT_EQUAL(lab6_payload_bytes(&out), sizeof(message));
    EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_ECHO_REPLY);
    EXPECT(memcmp(lab6_payload(&out) + 4, message + 4, sizeof(message) - 4) == 0);
    EXPECT(icmp6_is_good(lab6_payload(&out), sizeof(message), address_of(US_0).bytes,
                         address_of(HOST_0).bytes));
    finish(&lab);
}

/* A gateway that the statement names by its link-local address: the only target of a redirect that
 * is not the destination itself (RFC 4861 4.5). */
TEST(forward6_goes_by_a_link_local_gateway_and_redirects_to_it)
{
    struct lab lab = start();
    struct config_route route = { .prefix = { address_of("2001:db8:bbbb::"), 48 },
                                  .interface = "eth0",
                                  .kind = ROUTE_GATEWAY,
                                  .distance = DISTANCE_STATIC,
                                  .gateway_count = 1,
                                  .gateways = { address_of("fe80::9") } };
    struct nd_redirect redirect;
    struct lab_frame out;
    bool redirected = false, passed = false;

    EXPECT_EQUAL(config_set_route(lab.config, &route), OK);
    lab_commit(&lab);
    lab_step(&lab, 2);
    lab6_meet(&lab, 0, "fe80::9", 9);
    struct lab_frame frame = lab6_frame(0, &(struct lab6_packet){ .source = HOST_0,
                                                                  .destination = "2001:db8:bbbb::1",
                                                                  .payload_bytes = 20 });
    send(&lab, &frame);
    while (lab_take(&lab, 0, &out)) {
        if (lab6_header(&out)->next_header != PROTOCOL_ICMP6) {
            EXPECT(mac_equal(out.bytes, lab_host_mac(0, 9)));
            passed = true;
            continue;
        }
        EXPECT_EQUAL(nd_redirect_read(lab6_header(&out), lab6_payload(&out),
                                      lab6_payload_bytes(&out), &redirect),
                     OK);
        lab6_expect_address(redirect.target, "fe80::9");
        lab6_expect_address(redirect.destination, "2001:db8:bbbb::1");
        redirected = true;
    }
    EXPECT(redirected && passed);
    /* From the other side it passes, and nobody is redirected. */
    frame = lab6_frame(1, &(struct lab6_packet){ .source = HOST_1,
                                                 .destination = "2001:db8:bbbb::1",
                                                 .payload_bytes = 20 });
    lab_put(&lab, 1, &frame);
    lab_step(&lab, 4);
    EXPECT(lab_take(&lab, 0, &out));
    EXPECT(mac_equal(out.bytes, lab_host_mac(0, 9)));
    lab6_expect_silence(&lab);
    finish(&lab);
}

/* Two cores: what only the control core may do arrives on the other one. */
TEST(forward6_on_a_core_that_is_not_the_control_core)
{
    struct lab lab = lab6_create(2, 2);
    uint8_t message[16] = { ICMP6_ECHO_REQUEST };
    struct lab_frame out;
    struct lab_frame asked =
        lab6_solicitation(0, HOST_0, "ff02::1:ff00:1", US_0, lab_host_mac(0, 2));
    struct lab_frame echo = lab6_icmp(0, &(struct lab6_packet){ HOST_0, US_0, .hop_limit = 64 },
                                      message, sizeof(message));
    struct lab_frame far =
        lab6_frame(0, &(struct lab6_packet){ .source = HOST_0, .destination = HOST_1 });
    struct lab_frame lost =
        lab6_frame(0, &(struct lab6_packet){ .source = HOST_0, .destination = "2001:db8:99::1" });

    EXPECT(wire_nic_put(lab.cards[0], 1, asked.bytes, asked.length_bytes));
    lab_step(&lab, 6);
    EXPECT(lab_take(&lab, 0, &out));
    EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_NEIGHBOR_ADVERTISEMENT);
    EXPECT(wire_nic_put(lab.cards[0], 1, echo.bytes, echo.length_bytes));
    lab_step(&lab, 6);
    EXPECT(lab_take(&lab, 0, &out));
    EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_ECHO_REPLY);
    EXPECT(wire_nic_put(lab.cards[0], 1, lost.bytes, lost.length_bytes));
    lab_step(&lab, 6);
    lab6_expect_error(&lab, 0, &lost, US_0, ICMP6_UNREACHABLE, ICMP6_NO_ROUTE);
    EXPECT(wire_nic_put(lab.cards[0], 1, far.bytes, far.length_bytes));
    lab_step(&lab, 6);
    EXPECT(lab_take(&lab, 1, &out));
    EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_NEIGHBOR_SOLICITATION);
    struct lab_frame answer =
        lab6_advertisement(1, HOST_1, "2001:db8:1::1", HOST_1, lab_host_mac(1, 2),
                           (struct advertised){ .solicited = true, .override = true });
    EXPECT(wire_nic_put(lab.cards[1], 1, answer.bytes, answer.length_bytes));
    lab_step(&lab, 6);
    expect_forwarded(&lab, 1, &far);
    finish(&lab);
}
