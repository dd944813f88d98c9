/* What comes to the router itself in IPv6 fragments (RFC 8200 4.5), as its peers see it: frames
 * into a router on software cards, frames out, and why others did not come out. The table of
 * fragments itself is tried in reassembly_test.c. */
#include <string.h>

#include "kernel/base/bytes.h"
#include "net/local.h"
#include "net/reassembly.h"
#include "tests/unit/lab6.h"

#define HOST "2001:db8::2"
#define US   "2001:db8::1"

enum { MESSAGE_MAX = 65495 };

/* A message to be cut, and where it goes. */
struct whole {
    const char *source, *destination;
    uint8_t protocol;
    uint32_t identification;
    unsigned length_bytes;
    uint8_t bytes[MESSAGE_MAX];
};

static struct lab start(unsigned core_count)
{
    struct lab lab = lab6_create(core_count, 1);

    lab6_meet(&lab, 0, HOST, 2);
    return lab;
}

static void finish(struct lab *lab)
{
    lab6_expect_silence(lab);
    lab_expect_books(lab);
    lab_destroy(lab);
}

/* By the queues of all cores in turn. */
static void send(struct lab *lab, const struct lab_frame *frame)
{
    static unsigned turn;
    unsigned queue = turn++ % lab->router->core_count;

    EXPECT(wire_nic_put(lab->cards[0], queue, frame->bytes, frame->length_bytes));
    lab_step(lab, 3);
}

static struct whole *echo_request(unsigned length_bytes, uint32_t identification)
{
    static struct whole whole;

    whole = (struct whole){
        HOST,           US,           PROTOCOL_ICMP6,
        identification, length_bytes, .bytes = { ICMP6_ECHO_REQUEST, 0, 0, 0, 0x12, 0x34, 0, 7 }
    };
    for (unsigned i = ICMP6_HEADER_BYTES; i < length_bytes; i++)
        whole.bytes[i] = (uint8_t)(i * 7 + i / 256);
    icmp6_seal(whole.bytes, length_bytes, address_of(whole.source).bytes,
               address_of(whole.destination).bytes);
    return &whole;
}

/* Bytes [start, start + length) of it. */
static struct lab_frame piece_of(const struct whole *whole, unsigned start, unsigned length,
                                 bool more)
{
    const struct ipv6_fragment fragment = { .identification = whole->identification,
                                            .offset_bytes = (uint16_t)start,
                                            .next_header = whole->protocol,
                                            .more = more };
    uint8_t header[IPV6_FRAGMENT_HEADER_BYTES];
    struct lab6_packet packet = { .source = whole->source,
                                  .destination = whole->destination,
                                  .protocol = PROTOCOL_FRAGMENT,
                                  .extensions = header,
                                  .extension_bytes = sizeof(header),
                                  .payload_bytes = (uint16_t)length };

    ipv6_fragment_write(&fragment, header);
    struct lab_frame frame = lab6_frame(0, &packet);
    if (length > 0)
        memcpy(lab6_payload(&frame) + sizeof(header), whole->bytes + start, length);
    return frame;
}

static void send_piece(struct lab *lab, const struct whole *whole, unsigned start, unsigned length,
                       bool more)
{
    const struct lab_frame frame = piece_of(whole, start, length, more);

    send(lab, &frame);
}

/* In pieces of that many bytes, the last one first. */
static void send_backwards(struct lab *lab, const struct whole *whole, unsigned piece_bytes)
{
    unsigned count = (whole->length_bytes + piece_bytes - 1) / piece_bytes;

    while (count-- > 0) {
        unsigned start = count * piece_bytes;
        unsigned length = MIN_OF(whole->length_bytes - start, piece_bytes);
        send_piece(lab, whole, start, length, start + length < whole->length_bytes);
    }
}

/* The echo reply, in one frame or in fragments no longer than 1,500 bytes. */
static void expect_reply(struct lab *lab, const struct whole *request)
{
    static uint8_t reply[65536];
    unsigned total = 0;
    struct lab_frame frame;

    while (total < request->length_bytes && lab_take(lab, 0, &frame)) {
        const struct ipv6_header *header = lab6_header(&frame);
        const uint8_t *piece = lab6_payload(&frame);
        unsigned length = (unsigned)lab6_payload_bytes(&frame);
        struct ipv6_fragment fragment = { .next_header = header->next_header };
        EXPECT(length + IPV6_HEADER_BYTES <= MTU_DEFAULT);
        lab6_expect_address(header->source, request->destination);
        lab6_expect_address(header->destination, request->source);
        if (header->next_header == PROTOCOL_FRAGMENT) {
            ipv6_fragment_read(piece, &fragment);
            piece += IPV6_FRAGMENT_HEADER_BYTES;
            length -= IPV6_FRAGMENT_HEADER_BYTES;
        }
        EXPECT_EQUAL(fragment.next_header, PROTOCOL_ICMP6);
        memcpy(reply + fragment.offset_bytes, piece, length);
        total += length;
    }
    EXPECT_EQUAL(total, request->length_bytes);
    EXPECT_EQUAL(reply[0], ICMP6_ECHO_REPLY);
    EXPECT(memcmp(reply + 4, request->bytes + 4, total - 4) == 0);
    EXPECT(icmp6_is_good(reply, total, address_of(US).bytes, address_of(HOST).bytes));
}

TEST(local6_echo_in_fragments_is_answered_on_any_core)
{
    static const struct {
        unsigned length_bytes, piece_bytes;
    } cases[] = { { 9, 8 },       { 500, 8 },      { 2000, 1000 },
                  { 8008, 1448 }, { 65008, 1448 }, { MESSAGE_MAX, 1448 } };

    for (unsigned cores = 1; cores <= 2; cores++) {
        struct lab lab = start(cores);
        for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
            struct whole *request = echo_request(cases[i].length_bytes, i);
            send_backwards(&lab, request, cases[i].piece_bytes);
            lab_step(&lab, 4);
            expect_reply(&lab, request);
            lab6_expect_silence(&lab);
        }
        EXPECT_EQUAL(lab_counters(&lab, 0).held, 0);
        finish(&lab);
    }
}

/* The table is the control core's alone. */
TEST(local6_fragment_on_another_core_is_left_to_the_control_core)
{
    struct lab lab = start(2);
    struct whole *request = echo_request(2000, 1);
    const struct lab_frame first = piece_of(request, 0, 1000, true);
    const struct reassembly *reassembly = lab.router->local->reassembly;

    EXPECT(wire_nic_put(lab.cards[0], 1, first.bytes, first.length_bytes));
    core_step(lab.router->cores[1]);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 1);
    EXPECT_EQUAL(reassembly_held(reassembly), 0);
    core_step(lab.router->cores[CONTROL_CORE]);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 1);
    EXPECT_EQUAL(reassembly_held(reassembly), 1);
    send_piece(&lab, request, 1000, 1000, false);
    expect_reply(&lab, request);
    finish(&lab);
}

/* RFC 6946: the only fragment of itself belongs to no other, whatever its identification. */
TEST(local6_atomic_fragment_leaves_others_alone)
{
    struct lab lab = start(1);
    struct whole *request = echo_request(2000, 77);

    send_piece(&lab, request, 0, 1000, true);
    struct whole big = *request;
    struct whole *atomic = echo_request(100, 77);
    send_piece(&lab, atomic, 0, 100, false);
    expect_reply(&lab, atomic);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 1);
    send_piece(&lab, &big, 1000, 1000, false);
    expect_reply(&lab, &big);
    finish(&lab);
}

/* RFC 5722: nothing of it is answered or told, in whatever order it comes. */
TEST(local6_overlap_ends_the_datagram_in_silence)
{
    struct lab lab = start(1);
    struct whole *request = echo_request(2000, 5);

    send_piece(&lab, request, 0, 1000, true);
    send_piece(&lab, request, 992, 1008, false);
    send_piece(&lab, request, 1000, 1000, false);
    send_piece(&lab, request, 0, 1000, true);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_REASSEMBLY_OVERLAP), 4);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 0);
    lab6_expect_silence(&lab);
    lab_wait(&lab, REASSEMBLY6_TIMEOUT_MS + 20);
    lab6_forget_frames(&lab);
    send_backwards(&lab, request, 1000); /* its time is over */
    lab_step(&lab, 4);
    expect_reply(&lab, request);
    finish(&lab);
}

TEST(local6_fragments_that_stay_incomplete_are_told_if_the_first_came)
{
    struct lab lab = start(1);
    struct whole *request = echo_request(3000, 5);
    struct lab_frame first = piece_of(request, 0, 1000, true);

    send(&lab, &first);
    send_piece(&lab, request, 2000, 1000, false);
    request->identification = 6;
    send_piece(&lab, request, 1000, 1000, true);
    lab_wait(&lab, REASSEMBLY6_TIMEOUT_MS - 200);
    lab6_forget_frames(&lab);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 3);
    lab6_meet(&lab, 0, HOST, 2);
    lab_wait(&lab, 300);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_REASSEMBLY_TIMEOUT), 3);
    lab6_expect_error(&lab, 0, &first, US, ICMP6_TIME_EXCEEDED, ICMP6_REASSEMBLY_EXPIRED);
    finish(&lab);
}

TEST(local6_fragment_that_no_packet_can_have_is_pointed_at)
{
    struct lab lab = start(1);
    struct whole *request = echo_request(2000, 5);
    struct icmp6_header icmp;

    /* Not the last, and no multiple of 8: the payload length. */
    struct lab_frame frame = piece_of(request, 0, 1001, true);
    send(&lab, &frame);
    icmp = lab6_expect_error(&lab, 0, &frame, US, ICMP6_PARAMETER_PROBLEM, ICMP6_ERRONEOUS_FIELD);
    EXPECT_EQUAL(__builtin_bswap32(icmp.pointer_be), 4);
    /* A payload of 65,536 bytes: the fragment's offset. */
    struct whole *far = echo_request(MESSAGE_MAX, 6);
    frame = piece_of(far, 65480, 8, false);
    lab6_payload(&frame)[2] = 0xff;
    lab6_payload(&frame)[3] = 0xf8; /* 65,528 */
    send(&lab, &frame);
    icmp = lab6_expect_error(&lab, 0, &frame, US, ICMP6_PARAMETER_PROBLEM, ICMP6_ERRONEOUS_FIELD);
    EXPECT_EQUAL(__builtin_bswap32(icmp.pointer_be), 42);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_IPV6_EXTENSION), 2);
    /* One of 65,535 could be, but is longer than what we keep, with its header. */
    frame = piece_of(far, 65480, 7, false);
    lab6_payload(&frame)[2] = 0xff;
    lab6_payload(&frame)[3] = 0xf8;
    send(&lab, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_REASSEMBLY_BAD), 1);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 0);
    finish(&lab);
}

/* RFC 7112: headers do not go on in the second fragment. */
TEST(local6_first_fragment_without_all_headers_is_told)
{
    struct lab lab = start(1);
    struct whole whole = { HOST, US, PROTOCOL_DESTINATION_OPTIONS,
                           5,    48, .bytes = { PROTOCOL_ICMP6, 1 } };
    struct lab_frame first = piece_of(&whole, 0, 8, true);

    send(&lab, &first);
    lab6_expect_error(&lab, 0, &first, US, ICMP6_PARAMETER_PROBLEM, ICMP6_INCOMPLETE_CHAIN);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 0);
    finish(&lab);
}

/* A header behind the fragment header is judged once all is there. */
TEST(local6_options_in_fragments_are_judged_when_whole)
{
    struct lab lab = start(1);
    struct whole whole = { HOST, US, PROTOCOL_DESTINATION_OPTIONS,
                           5,    48, .bytes = { PROTOCOL_NO_NEXT_HEADER, 0, 0x9e, 4 } };
    struct lab_frame out;

    send_backwards(&lab, &whole, 24);
    EXPECT(lab_take(&lab, 0, &out));
    EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_PARAMETER_PROBLEM);
    EXPECT_EQUAL(lab6_payload(&out)[1], ICMP6_UNKNOWN_OPTION);
    EXPECT_EQUAL(load_be32(lab6_payload(&out) + 4), 42); /* in the packet that was put together */
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_IPV6_EXTENSION), 1);
    whole.bytes[2] = IPV6_OPTION_PADN;
    send_backwards(&lab, &whole, 24);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 0);
    finish(&lab);
}

/* What is in pieces of pieces, whole ones included, is nobody's. */
TEST(local6_fragments_in_fragments_are_refused)
{
    struct lab lab = start(1);

    for (uint8_t more = 0; more < 2; more++) {
        struct whole whole = {
            HOST, US, PROTOCOL_FRAGMENT,
            more, 48, .bytes = { PROTOCOL_ICMP6, 0, 0, more, 0, 0, 0, 9, ICMP6_ECHO_REQUEST }
        };
        struct lab_frame out;
        send_backwards(&lab, &whole, 24);
        EXPECT(lab_take(&lab, 0, &out));
        EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_PARAMETER_PROBLEM);
        EXPECT_EQUAL(lab6_payload(&out)[1], ICMP6_UNKNOWN_NEXT_HEADER);
        EXPECT_EQUAL(load_be32(lab6_payload(&out) + 4), 6);
    }
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_PROTOCOL_UNREACHABLE), 2);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 0);
    finish(&lab);
}

/* RFC 6980: by fragments nobody's cache is poisoned. */
TEST(local6_neighbor_discovery_in_fragments_is_ignored)
{
    struct lab lab = start(1);
    struct lab_frame frame = lab6_solicitation(0, "2001:db8::66", US, US, lab_host_mac(0, 6));
    struct whole whole = {
        "2001:db8::66", US, PROTOCOL_ICMP6, 3, (unsigned)lab6_payload_bytes(&frame), .bytes = { 0 }
    };

    memcpy(whole.bytes, lab6_payload(&frame), whole.length_bytes);
    for (unsigned piece_bytes = 16; piece_bytes <= 32; piece_bytes += 16) {
        struct lab_frame piece;
        for (unsigned at = 0; at < whole.length_bytes; at += piece_bytes) {
            piece = piece_of(&whole, at, piece_bytes, at + piece_bytes < whole.length_bytes);
            lab6_header(&piece)->hop_limit = ND_HOP_LIMIT;
            send(&lab, &piece);
        }
    }
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ND), 2);
    lab6_expect_silence(&lab);
    send(&lab, &frame); /* it was not for anything else */
    EXPECT(lab_take(&lab, 0, &frame));
    EXPECT_EQUAL(lab6_payload(&frame)[0], ICMP6_NEIGHBOR_ADVERTISEMENT);
    finish(&lab);
}

TEST(local6_fragments_without_a_buffer_for_the_answer_are_a_counted_drop)
{
    struct lab lab = start(1);
    struct packet_pool *pool = lab.router->cores[0]->pool;
    struct whole *request = echo_request(3000, 1);
    struct packet *taken = NULL, *next;
    struct packet_pool_stats stats;
    struct lab_frame out;

    send_piece(&lab, request, 1504, 1496, false);
    packet_pool_stats(pool, &stats);
    for (uint64_t i = 2; i < stats.free; i++) { /* one to receive, one for the first fragment */
        next = packet_alloc(pool);
        EXPECT(next);
        next->next = taken;
        taken = next;
    }
    send_piece(&lab, request, 0, 1504, true);
    EXPECT_EQUAL(lab_dropped(&lab, router_loopback(lab.router), DROP_NO_BUFFER), 1);
    EXPECT(lab_take(&lab, 0, &out));
    lab_expect_books(&lab);
    for (; taken; taken = next) {
        next = taken->next;
        packet_free(pool, taken);
    }
    finish(&lab);
}
