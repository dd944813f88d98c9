/* A frame that provokes each drop reason: it is counted there and nowhere else, its sender gets the
 * ICMP error that the reason owes and no other, and the books balance. */
#include <stdio.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "net/neighbor.h"
#include "net/wire/arp.h"
#include "net/wire/checksum.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp4.h"
#include "net/wire/ipv4.h"
#include "tests/unit/lab.h"

/* ---- One frame, one reason ---------------------------------------------------------------------
 */

struct provocation {
    enum verdict why;
    struct lab_packet packet;                /* source 10.0.0.2 and destination 10.0.1.2 if NULL */
    void (*change)(struct lab_frame *frame); /* afterwards; may be NULL */
    bool keep_checksum;                      /* do not repair it after the change */
};

static struct ipv4_header *ip(struct lab_frame *frame)
{
    return (void *)(frame->bytes + ETHERNET_HEADER_BYTES);
}

static uint8_t *payload(struct lab_frame *frame)
{
    return frame->bytes + ETHERNET_HEADER_BYTES + ipv4_header_bytes(ip(frame));
}

static void cut_to_10_bytes(struct lab_frame *frame)
{
    frame->length_bytes = 10;
}

static void other_mac(struct lab_frame *frame)
{
    frame->bytes[5] ^= 0x55;
}

static void link_broadcast(struct lab_frame *frame)
{
    memset(frame->bytes, 0xff, 6);
}

static void link_multicast(struct lab_frame *frame)
{
    memcpy(frame->bytes, (uint8_t[6]){ 1, 0, 0x5e, 0, 0, 5 }, 6);
}

static void ethertype_of_nobody(struct lab_frame *frame)
{
    store_be16(frame->bytes + 12, 0x88cc);
}

static void ethertype_ipv6(struct lab_frame *frame)
{
    store_be16(frame->bytes + 12, ETHERTYPE_IPV6);
}

static void make_arp(struct lab_frame *frame, const char *sender, const char *target)
{
    struct arp_message arp = { .operation = ARP_REQUEST,
                               .sender_be = ipv4_of(sender),
                               .target_be = ipv4_of(target) };

    memcpy(arp.sender_mac, lab_host_mac(0, 2), 6);
    arp_write(&arp, frame->bytes + ETHERNET_HEADER_BYTES);
    store_be16(frame->bytes + 12, ETHERTYPE_ARP);
    memset(frame->bytes, 0xff, 6);
    frame->length_bytes = ETHERNET_HEADER_BYTES + ARP_BYTES;
}

static void arp_truncated(struct lab_frame *frame)
{
    make_arp(frame, "10.0.0.2", "10.0.0.1");
    frame->length_bytes--;
}

static void arp_for_another(struct lab_frame *frame)
{
    make_arp(frame, "10.0.0.55", "10.0.0.77"); /* neither is known */
}

static void arp_in_our_name(struct lab_frame *frame)
{
    make_arp(frame, "10.0.0.1", "10.0.0.1");
}

static void version_5(struct lab_frame *frame)
{
    ip(frame)->version_and_length = 0x55;
}

static void header_of_16_bytes(struct lab_frame *frame)
{
    ip(frame)->version_and_length = 0x44;
}

static void total_of_19_bytes(struct lab_frame *frame)
{
    ip(frame)->total_length_be = __builtin_bswap16(19);
    lab_frame_seal(frame);
}

static void wrong_checksum(struct lab_frame *frame)
{
    ip(frame)->checksum_be ^= 1;
}

static void total_beyond_frame(struct lab_frame *frame)
{
    ip(frame)->total_length_be = __builtin_bswap16(ipv4_total_bytes(ip(frame)) + 1);
}

static void frame_inside_header(struct lab_frame *frame)
{
    frame->length_bytes = ETHERNET_HEADER_BYTES + 19;
}

static void udp_too_short(struct lab_frame *frame)
{
    store_be16(payload(frame) + 4, 7);
}

static void icmp_bad_checksum(struct lab_frame *frame)
{
    memset(payload(frame), 1, 8);
}

static void icmp_of_no_kind(struct lab_frame *frame)
{
    memset(payload(frame), 0, 8);
    payload(frame)[0] = 42;
    store_be16(payload(frame) + 2, (uint16_t)(0xffff - (42 << 8)));
}

static const uint8_t option_without_end[4] = { IPV4_OPTION_RECORD_ROUTE, 0, 0, 0 };
static const uint8_t option_loose_route[8] = { IPV4_OPTION_LOOSE_ROUTE, 7, 4, 10, 0, 1, 2, 0 };
static const uint8_t option_strict_route[8] = { IPV4_OPTION_STRICT_ROUTE, 7, 4, 10, 0, 1, 2, 0 };

/* clang-format off */
static const struct provocation provocations[] = {
    { DROP_SHORT_FRAME, { .payload_bytes = 20 }, cut_to_10_bytes, true },
    { DROP_NOT_FOR_US, { .payload_bytes = 20 }, other_mac, true },
    { DROP_UNKNOWN_ETHERTYPE, { .payload_bytes = 20 }, ethertype_of_nobody, true },
    { DROP_BAD_IPV6_HEADER, { .payload_bytes = 20 }, ethertype_ipv6, true },
    { DROP_BAD_ARP, { .payload_bytes = 20 }, arp_truncated, true },
    { DROP_ARP_NOT_FOR_US, { .payload_bytes = 20 }, arp_for_another, true },
    { DROP_ARP_CONFLICT, { .payload_bytes = 20 }, arp_in_our_name, true },
    { DROP_BAD_IPV4_HEADER, { .payload_bytes = 20 }, version_5, false },
    { DROP_BAD_IPV4_HEADER, { .payload_bytes = 20 }, header_of_16_bytes, true },
    { DROP_BAD_IPV4_HEADER, { .payload_bytes = 20 }, total_of_19_bytes, false },
    { DROP_BAD_IPV4_CHECKSUM, { .payload_bytes = 20 }, wrong_checksum, true },
    { DROP_TRUNCATED, { .payload_bytes = 20 }, total_beyond_frame, false },
    { DROP_TRUNCATED, { .payload_bytes = 20 }, frame_inside_header, true },
    { DROP_BAD_IPV4_OPTION, { .payload_bytes = 20, .options = option_without_end, .option_bytes = 4 }, NULL, false },
    { DROP_SOURCE_ROUTE, { .payload_bytes = 20, .options = option_loose_route, .option_bytes = 8 }, NULL, false },
    { DROP_SOURCE_ROUTE, { .payload_bytes = 20, .options = option_strict_route, .option_bytes = 8 }, NULL, false },
    { DROP_MARTIAN_SOURCE, { .source = "0.0.0.0" }, NULL, false },
    { DROP_MARTIAN_SOURCE, { .source = "0.1.2.3" }, NULL, false },
    { DROP_MARTIAN_SOURCE, { .source = "127.0.0.1" }, NULL, false },
    { DROP_MARTIAN_SOURCE, { .source = "224.0.0.1" }, NULL, false },
    { DROP_MARTIAN_SOURCE, { .source = "240.0.0.1" }, NULL, false },
    { DROP_MARTIAN_SOURCE, { .source = "255.255.255.255" }, NULL, false },
    { DROP_MARTIAN_SOURCE, { .source = "10.0.0.1" }, NULL, false },   /* our own name */
    { DROP_MARTIAN_SOURCE, { .source = "10.0.1.1" }, NULL, false },
    { DROP_MARTIAN_SOURCE, { .source = "10.0.0.255" }, NULL, false }, /* a broadcast address */
    { DROP_MARTIAN_SOURCE, { .source = "10.0.1.0" }, NULL, false },
    { DROP_MARTIAN_DESTINATION, { .destination = "0.0.0.0" }, NULL, false },
    { DROP_MARTIAN_DESTINATION, { .destination = "0.1.2.3" }, NULL, false },
    { DROP_MARTIAN_DESTINATION, { .destination = "127.0.0.1" }, NULL, false },
    { DROP_MARTIAN_DESTINATION, { .destination = "250.0.0.1" }, NULL, false },
    { DROP_LINK_BROADCAST, { .payload_bytes = 20 }, link_broadcast, true },
    { DROP_LINK_BROADCAST, { .payload_bytes = 20 }, link_multicast, true },
    { DROP_LINK_BROADCAST, { .destination = "10.0.0.1" }, link_broadcast, true },
    { DROP_DIRECTED_BROADCAST, { .destination = "10.0.1.255" }, NULL, false },
    { DROP_DIRECTED_BROADCAST, { .destination = "10.0.1.0" }, NULL, false },
    { DROP_MULTICAST, { .destination = "224.0.0.5" }, link_multicast, true },
    { DROP_NO_ROUTE, { .destination = "203.0.113.1" }, NULL, false },
    { DROP_BLACKHOLE, { .destination = "192.0.2.1" }, NULL, false },
    { DROP_REJECT, { .destination = "198.51.100.1" }, NULL, false },
    { DROP_TTL_EXPIRED, { .ttl = 1 }, NULL, false },
    { DROP_FRAGMENT_NEEDED, { .payload_bytes = 1400, .fragment = IPV4_DONT_FRAGMENT }, NULL, false },
    { DROP_PROTOCOL_UNREACHABLE, { .destination = "10.0.0.1", .protocol = 99 }, NULL, false },
    { DROP_UDP_PORT_UNREACHABLE, { .destination = "10.0.0.1", .payload_bytes = 20, .source_port = 7, .destination_port = 9 }, NULL, false },
    { DROP_BAD_UDP, { .destination = "10.0.0.1", .payload_bytes = 20, .source_port = 7 }, udp_too_short, true },
    { DROP_BAD_ICMP, { .destination = "10.0.0.1", .payload_bytes = 8, .protocol = PROTOCOL_ICMP }, icmp_bad_checksum, true },
    { DROP_ICMP_IGNORED, { .destination = "10.0.0.1", .payload_bytes = 8, .protocol = PROTOCOL_ICMP }, icmp_of_no_kind, true },
};
/* clang-format on */

static struct lab create_lab(unsigned core_count)
{
    struct lab lab = lab_create(core_count, 2);

    lab_route_kind(&lab, "192.0.2.0/24", ROUTE_BLACKHOLE);
    lab_route_kind(&lab, "198.51.100.0/24", ROUTE_REJECT);
    lab_interface(&lab, "eth1", false, 1280);
    lab_commit(&lab);
    return lab;
}

static uint64_t all_drops(struct lab *lab, unsigned port)
{
    struct port_counters counters = lab_counters(lab, port);
    uint64_t sum = 0;

    for (unsigned i = 0; i < VERDICT_COUNT; i++)
        sum += counters.dropped[i];
    return sum;
}

/* The error that the reason owes came back to the sender, or nothing did. Answers to ARP aside. */
static void expect_answer(struct lab *lab, enum verdict why)
{
    const struct drop_reason *reason = &drop_reasons[why];
    struct lab_frame answer;
    bool came = false;

    while (lab_take(lab, 0, &answer)) {
        if (load_be16(answer.bytes + 12) == ETHERTYPE_ARP)
            continue;
        came = true;
        EXPECT_EQUAL(ip(&answer)->protocol, PROTOCOL_ICMP);
        EXPECT_EQUAL(payload(&answer)[0], reason->icmp_type);
        EXPECT_EQUAL(payload(&answer)[1], reason->icmp_code);
        EXPECT_EQUAL(ip(&answer)->destination_be, ipv4_of("10.0.0.2"));
        EXPECT_EQUAL(ip(&answer)->source_be, ipv4_of("10.0.0.1"));
    }
    EXPECT_EQUAL(came, reason->icmp_type != ICMP_NONE);
}

static void provoke(const struct provocation *provocation)
{
    struct lab lab = create_lab(1);
    struct lab_packet packet = provocation->packet;
    struct lab_frame out;

    packet.source = packet.source ? packet.source : "10.0.0.2";
    packet.destination = packet.destination ? packet.destination : "10.0.1.2";
    struct lab_frame frame = lab_frame(0, &packet);
    if (provocation->change)
        provocation->change(&frame);
    if (provocation->change && !provocation->keep_checksum)
        lab_frame_seal(&frame);
    lab_put(&lab, 0, &frame);
    lab_step(&lab, 3);
    if (lab_dropped(&lab, 0, provocation->why) != 1)
        test_fail(__FILE__, __LINE__, "provocation %u: %s not counted",
                  (unsigned)(provocation - provocations), drop_reasons[provocation->why].id);
    EXPECT_EQUAL(all_drops(&lab, 0), 1);
    expect_answer(&lab, provocation->why);
    while (lab_take(&lab, 1, &out))
        EXPECT_EQUAL(load_be16(out.bytes + 12), ETHERTYPE_ARP);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(a_frame_is_dropped_for_its_own_reason)
{
    for (unsigned i = 0; i < ARRAY_COUNT(provocations); i++)
        provoke(&provocations[i]);
}

TEST(every_drop_reason_has_words)
{
    for (unsigned i = 0; i < VERDICT_COUNT; i++) {
        EXPECT(drop_reasons[i].id != NULL);
        EXPECT(drop_reasons[i].text != NULL);
        EXPECT((drop_reasons[i].icmp_type == ICMP_NONE) ==
               (drop_reasons[i].icmp_code == ICMP_NONE));
        for (unsigned k = 0; k < i; k++)
            EXPECT(strcmp(drop_reasons[i].id, drop_reasons[k].id) != 0);
    }
}

/* ---- Reasons that need a situation
 * --------------------------------------------------------------- */

static struct lab_frame plain_frame(const char *destination)
{
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = destination,
                                 .payload_bytes = 26 };

    return lab_frame(0, &packet);
}

TEST(a_port_that_is_down_takes_nothing)
{
    struct lab lab = create_lab(1);
    struct lab_frame frame = plain_frame("10.0.1.2");

    lab_interface(&lab, "eth0", true, 0);
    lab_commit(&lab);
    lab_put(&lab, 0, &frame);
    lab_step(&lab, 2);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_PORT_DOWN), 1);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(a_frame_of_nine_segments_is_dropped)
{
    struct lab lab = create_lab(1);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.1.2",
                                 .payload_bytes = 64 * 8 };
    struct lab_frame frame = lab_frame(0, &packet);

    wire_nic_set_segment(lab.cards[0], 64);
    lab_put(&lab, 0, &frame);
    lab_step(&lab, 2);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_TOO_MANY_SEGMENTS), 1);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(a_full_card_is_a_counted_drop)
{
    struct lab lab = create_lab(1);
    struct lab_frame frame = plain_frame("10.0.1.2");

    wire_nic_set_room(lab.cards[1], 2);
    for (unsigned i = 0; i < 5; i++)
        lab_put(&lab, 0, &frame);
    lab_step(&lab, 2);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_TX_RING_FULL), 3);
    EXPECT_EQUAL(lab_counters(&lab, 0).sent, 2);
    EXPECT_EQUAL(lab_counters(&lab, 1).transmit_dropped, 3);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* More than three wait for nobody; those that wait are told that he does not answer. */
TEST(packets_to_a_silent_neighbor_wait_and_fail)
{
    struct lab lab = create_lab(1);
    struct lab_frame frame = plain_frame("10.0.1.99");

    for (unsigned i = 0; i < NEIGHBOR_WAITING_MAX + 1; i++)
        lab_put(&lab, 0, &frame);
    lab_step(&lab, 2);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NEIGHBOR_QUEUE_FULL), 1);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 3);
    lab_wait(&lab, 5000);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NEIGHBOR_FAILED), 3);
    expect_answer(&lab, DROP_NEIGHBOR_FAILED);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* Core 1 receives what only the control core may read, and the control core does not step. */
TEST(a_full_mailbox_is_a_counted_drop)
{
    struct lab lab = create_lab(2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.0.1",
                                 .payload_bytes = 20,
                                 .source_port = 7,
                                 .destination_port = 9 };
    struct lab_frame frame = lab_frame(0, &packet), out;

    for (unsigned i = 0; i < MAILBOX_WORK_SLOTS + 10; i++) {
        EXPECT(wire_nic_put(lab.cards[0], 1, frame.bytes, frame.length_bytes));
        core_step(lab.router->cores[1]);
    }
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_MAILBOX_FULL), 10);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, MAILBOX_WORK_SLOTS);
    struct port_books books;
    router_books(lab.router, 0, &books);
    EXPECT(books.balanced);
    lab_step(&lab, 20);
    /* And each was owed an error, more than are sent at once. */
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_UDP_PORT_UNREACHABLE), MAILBOX_WORK_SLOTS);
    EXPECT(lab_dropped(&lab, router_loopback(lab.router), DROP_ICMP_RATE_LIMIT) > 0);
    while (lab_take(&lab, 0, &out))
        continue;
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* A scan that one core receives is the other's to ask about; what it has to send as well finds room
 * in between. */
TEST(a_mailbox_full_of_questions_takes_packets_to_send)
{
    struct lab lab = lab_create_queues(2, 2, 1); /* a port has one queue, on one of the cores */
    unsigned from = lab.router->cores[1]->polled[0];
    struct lab_packet scan = { .source = from == 0 ? "10.0.0.2" : "10.0.1.2", .payload_bytes = 20 };
    struct lab_packet plain = scan;
    struct lab_frame frame, out;
    char target[16];

    EXPECT_EQUAL(lab.router->cores[1]->polled_count, 1);
    plain.destination = from == 0 ? "10.0.1.2" : "10.0.0.2";
    scan.destination = target;
    for (unsigned i = 0; i < MAILBOX_SLOTS; i++) {
        snprintf(target, sizeof(target), "10.0.%u.%u", 1 - from, 3 + i % 250);
        frame = lab_frame(from, &scan);
        lab_put(&lab, from, &frame);
        core_step(lab.router->cores[1]);
    }
    frame = lab_frame(from, &plain);
    lab_put(&lab, from, &frame);
    core_step(lab.router->cores[1]);
    EXPECT_EQUAL(lab_dropped(&lab, from, DROP_MAILBOX_FULL), MAILBOX_SLOTS - MAILBOX_WORK_SLOTS);
    lab_step(&lab, 4);
    unsigned sent = 0;
    while (lab_take(&lab, 1 - from, &out))
        sent += load_be16(out.bytes + 12) == ETHERTYPE_IPV4;
    EXPECT_EQUAL(sent, 1);
    lab_wait(&lab, 5000);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* Fragments need buffers of their own. */
TEST(fragmenting_without_buffers_is_a_counted_drop)
{
    struct lab lab = create_lab(1);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.1.2",
                                 .payload_bytes = 1400 };
    struct lab_frame frame = lab_frame(0, &packet), out;
    struct packet_pool *pool = lab.router->cores[0]->pool;
    struct packet *taken = NULL, *next;
    unsigned left = 2; /* one to receive into, one for the first fragment */
    struct packet_pool_stats stats;

    packet_pool_stats(pool, &stats);
    for (uint64_t i = left; i < stats.free; i++) {
        next = packet_alloc(pool);
        EXPECT(next != NULL);
        next->next = taken;
        taken = next;
    }
    lab_put(&lab, 0, &frame);
    lab_step(&lab, 1);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NO_BUFFER), 1);
    EXPECT(lab_take(&lab, 1, &out));
    EXPECT(!lab_take(&lab, 1, &out));
    lab_expect_books(&lab);
    for (; taken; taken = next) {
        next = taken->next;
        packet_free(pool, taken);
    }
    lab_destroy(&lab);
}

static struct lab_frame fragment_frame(unsigned offset_bytes, unsigned payload_bytes, bool more)
{
    struct lab_packet packet = {
        .source = "10.0.0.2",
        .destination = "10.0.0.1",
        .payload_bytes = (uint16_t)payload_bytes,
        .identification = 77,
        .fragment = (uint16_t)(offset_bytes / 8 | (more ? IPV4_MORE_FRAGMENTS : 0)),
    };
    return lab_frame(0, &packet);
}

TEST(fragments_that_never_become_whole_time_out)
{
    struct lab lab = create_lab(1);
    struct lab_frame frame = fragment_frame(0, 64, true);

    lab_put(&lab, 0, &frame);
    lab_step(&lab, 2);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 1);
    lab_wait(&lab, 31000);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_REASSEMBLY_TIMEOUT), 1);
    expect_answer(&lab, DROP_REASSEMBLY_TIMEOUT);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(overlapping_fragments_are_dropped)
{
    struct lab lab = create_lab(1);
    struct lab_frame first = fragment_frame(0, 64, true), second = fragment_frame(32, 64, false);

    lab_put(&lab, 0, &first);
    lab_put(&lab, 0, &second);
    lab_wait(&lab, 31000);
    EXPECT(lab_dropped(&lab, 0, DROP_REASSEMBLY_OVERLAP) > 0);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(fragments_that_make_no_packet_are_dropped)
{
    struct lab lab = create_lab(1);
    struct lab_frame frame = fragment_frame(65528, 64, false);

    lab_put(&lab, 0, &frame);
    lab_step(&lab, 2);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_REASSEMBLY_BAD), 1);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}
