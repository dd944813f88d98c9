/* The path of packets through a router of software cards: what goes out is what came in with
 * another header, by one core or by many, and the books balance. Why packets die is in
 * drop_reasons_test.c. */
#include <stdlib.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "net/forwarding.h"
#include "net/neighbor.h"
#include "net/rib.h"
#include "net/wire/checksum.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp4.h"
#include "net/wire/ipv4.h"
#include "tests/unit/lab.h"

static const struct ipv4_header *ip(const struct lab_frame *frame)
{
    return (const void *)(frame->bytes + ETHERNET_HEADER_BYTES);
}

static const uint8_t *payload(const struct lab_frame *frame)
{
    return frame->bytes + ETHERNET_HEADER_BYTES + ipv4_header_bytes(ip(frame));
}

/* What came out is what went in, but for the Ethernet header, TTL and checksum. */
static void expect_forwarded(const struct lab_frame *in, const struct lab_frame *out, unsigned port,
                             unsigned host)
{
    struct lab_frame expected = *in;
    struct ipv4_header *header = (void *)(expected.bytes + ETHERNET_HEADER_BYTES);

    memcpy(expected.bytes, lab_host_mac(port, host), 6);
    memcpy(expected.bytes + 6, lab_port_mac(port), 6);
    header->ttl--;
    ipv4_seal(header);
    EXPECT_EQUAL(out->length_bytes, in->length_bytes);
    EXPECT(memcmp(out->bytes, expected.bytes, in->length_bytes) == 0);
}

static struct lab_frame plain_frame(const char *source, const char *destination)
{
    struct lab_packet packet = { .source = source,
                                 .destination = destination,
                                 .payload_bytes = 26 };

    return lab_frame(0, &packet);
}

TEST(datapath_forwards_between_connected_nets)
{
    struct lab lab = lab_create(1, 2);
    struct lab_frame frame = plain_frame("10.0.0.2", "10.0.1.2"), out;

    lab_put(&lab, 0, &frame);
    lab_step(&lab, 1);
    EXPECT(lab_take(&lab, 1, &out));
    expect_forwarded(&frame, &out, 1, 2);
    EXPECT_EQUAL(lab_counters(&lab, 0).received, 1);
    EXPECT_EQUAL(lab_counters(&lab, 0).received_bytes, frame.length_bytes);
    EXPECT_EQUAL(lab_counters(&lab, 0).sent, 1);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* RFC 1624: the checksum by difference is the one that is computed anew, for every header. */
TEST(ttl_checksum_by_difference_equals_the_full_one)
{
    srand(1);
    for (unsigned i = 0; i < 200000; i++) {
        struct ipv4_header header;
        uint8_t *bytes = (uint8_t *)&header;
        for (unsigned k = 0; k < sizeof(header); k++)
            bytes[k] = i % 3 == 0 ? (uint8_t)(rand() % 2 * 0xff) : (uint8_t)rand();
        header.version_and_length = 0x45;
        header.ttl = (uint8_t)(2 + rand() % 254);
        ipv4_seal(&header);
        struct ipv4_header full = header;
        full.ttl--;
        ipv4_seal(&full);
        ipv4_decrement_ttl(&header);
        EXPECT_EQUAL(header.checksum_be, full.checksum_be);
    }
}

TEST(datapath_takes_the_longest_prefix)
{
    struct lab lab = lab_create(1, 3);
    struct lab_frame frame = plain_frame("10.0.0.2", "172.16.5.1"), out;

    lab_route(&lab, "172.16.0.0/12", "10.0.1.2");
    lab_route(&lab, "172.16.5.0/24", "10.0.2.2");
    lab_commit(&lab);
    lab_put(&lab, 0, &frame);
    lab_step(&lab, 1);
    EXPECT(lab_take(&lab, 2, &out));
    expect_forwarded(&frame, &out, 2, 2);
    EXPECT(!lab_take(&lab, 1, &out));
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(padding_is_not_forwarded)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.1.2",
                                 .payload_bytes = 4 };
    struct lab_frame frame = lab_frame(0, &packet), out;
    struct lab_frame padded = frame;

    padded.length_bytes = 60;
    lab_put(&lab, 0, &padded);
    lab_step(&lab, 1);
    EXPECT(lab_take(&lab, 1, &out));
    expect_forwarded(&frame, &out, 1, 2);
    lab_destroy(&lab);
}

TEST(a_frame_in_segments_is_forwarded_whole)
{
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.1.2",
                                 .payload_bytes = 1000 };
    struct lab_frame frame = lab_frame(0, &packet), out;
    struct lab_frame padded = frame;

    wire_nic_set_segment(lab.cards[0], 300);
    padded.length_bytes += 250; /* the last segment is padding alone */
    lab_put(&lab, 0, &padded);
    lab_step(&lab, 1);
    EXPECT(lab_take(&lab, 1, &out));
    expect_forwarded(&frame, &out, 1, 2);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(options_are_passed_on)
{
    static const uint8_t record_route[8] = { IPV4_OPTION_RECORD_ROUTE, 7, 4, 0, 0, 0, 0, 0 };
    struct lab lab = lab_create(1, 2);
    struct lab_packet packet = { .source = "10.0.0.2",
                                 .destination = "10.0.1.2",
                                 .payload_bytes = 26,
                                 .options = record_route,
                                 .option_bytes = 8 };
    struct lab_frame frame = lab_frame(0, &packet), out;

    lab_put(&lab, 0, &frame);
    lab_step(&lab, 1);
    EXPECT(lab_take(&lab, 1, &out));
    expect_forwarded(&frame, &out, 1, 2);
    lab_destroy(&lab);
}

/* A batch of everything at once. What is plain goes the short way through the stages, the rest is
 * looked at one by one; yet each packet has its fate, and the order stays. */
TEST(plain_and_unusual_packets_of_a_batch_do_not_disturb_each_other)
{
    static const uint8_t record_route[8] = { IPV4_OPTION_RECORD_ROUTE, 7, 4, 0, 0, 0, 0, 0 };
    enum { KINDS = 7, ROUNDS = 9, PASSING = 4 };
    struct lab lab = lab_create(1, 3);
    struct lab_frame passed[2][PASSING * ROUNDS], out;
    unsigned counts[2] = { 0, 0 };

    lab_route(&lab, "172.16.0.0/12", "10.0.1.2");
    lab_commit(&lab);
    for (unsigned n = 0; n < KINDS * ROUNDS; n++) {
        static const char *const targets[KINDS] = { "10.0.1.2",   "172.16.3.4", "172.16.3.4",
                                                    "172.16.3.4", "10.0.2.2",   "99.0.0.1",
                                                    "172.16.3.4" };
        unsigned kind = (n * 5) % KINDS;
        struct lab_packet packet = { .source = kind == 6 ? "224.0.0.1" : "10.0.0.2",
                                     .destination = targets[kind],
                                     .payload_bytes = (uint16_t)(26 + n),
                                     .identification = (uint16_t)n };
        if (kind == 2) {
            packet.options = record_route;
            packet.option_bytes = sizeof(record_route);
        }
        packet.ttl = kind == 3 ? 1 : 64;
        struct lab_frame frame = lab_frame(0, &packet);
        lab_put(&lab, 0, &frame);
        if (kind <= 2)
            passed[0][counts[0]++] = frame;
        else if (kind == 4)
            passed[1][counts[1]++] = frame;
    }
    lab_step(&lab, 2);
    for (unsigned port = 1; port <= 2; port++) {
        for (unsigned i = 0; i < counts[port - 1]; i++) {
            EXPECT(lab_take(&lab, port, &out));
            expect_forwarded(&passed[port - 1][i], &out, port, 2);
        }
        EXPECT(!lab_take(&lab, port, &out));
    }
    EXPECT_EQUAL(counts[0] + counts[1], 4 * ROUNDS);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_TTL_EXPIRED), ROUNDS);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NO_ROUTE), ROUNDS);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_MARTIAN_SOURCE), ROUNDS);
    while (lab_take(&lab, 0, &out)) /* the ICMP errors */
        continue;
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* The view keeps the gateway's record; the neighbor table changes it there as well. */
TEST(a_gateway_with_a_new_mac_address_is_used_at_once)
{
    static const uint8_t first[6] = { 2, 0, 0, 0, 9, 1 }, second[6] = { 2, 0, 0, 0, 9, 2 };
    struct lab lab = lab_create(1, 2);
    struct lab_frame frame = plain_frame("10.0.0.2", "172.16.0.1"), out;

    lab_route(&lab, "172.16.0.0/12", "10.0.1.9");
    lab_arp(&lab, "10.0.1.9", first, "eth1");
    lab_commit(&lab);
    const struct forwarding *view = lab.router->forwarding;
    struct adjacency *record = neighbor_lookup_ipv4(lab.router->neighbors, 1, ipv4_of("10.0.1.9"));
    unsigned found = 0;
    for (uint16_t i = 0; i < view->ipv4.count; i++)
        found += next_hop_adjacency(&view->ipv4, i) == record;
    EXPECT(record);
    EXPECT_EQUAL(found, 1);
    lab_put(&lab, 0, &frame);
    lab_step(&lab, 1);
    EXPECT(lab_take(&lab, 1, &out));
    EXPECT(memcmp(out.bytes, first, 6) == 0);

    lab_arp(&lab, "10.0.1.9", second, "eth1");
    lab_commit(&lab);
    lab_put(&lab, 0, &frame);
    lab_step(&lab, 1);
    EXPECT(lab_take(&lab, 1, &out));
    EXPECT(memcmp(out.bytes, second, 6) == 0);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* Directly, and by mailbox where only another core can send. */
TEST(each_forwarded_packet_is_in_one_latency_histogram)
{
    for (unsigned core_count = 1; core_count <= 3; core_count++) {
        struct lab lab = lab_create_queues(core_count, 2, 1);
        struct lab_frame frame = plain_frame("10.0.0.2", "10.0.1.2"), out;
        uint64_t counted = 0;

        for (unsigned n = 0; n < 10; n++)
            lab_put(&lab, 0, &frame);
        lab_step(&lab, 3);
        for (unsigned i = 0; i < core_count; i++)
            counted += histogram_count(&lab.router->cores[i]->stats.latency);
        EXPECT_EQUAL(counted, 10);
        while (lab_take(&lab, 1, &out))
            continue;
        lab_destroy(&lab);
    }
}

/* ---- To us and from us
 * --------------------------------------------------------------------------- */

static struct lab_frame echo_request(const char *source, const char *destination)
{
    struct lab_packet packet = {
        .source = source, .destination = destination, .payload_bytes = 64, .protocol = PROTOCOL_ICMP
    };
    struct lab_frame frame = lab_frame(0, &packet);
    uint8_t *icmp = frame.bytes + ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES;

    memset(icmp, 0, ICMP4_HEADER_BYTES);
    icmp[0] = ICMP4_ECHO_REQUEST;
    uint16_t checksum_be = checksum_of(icmp, 64);
    memcpy(icmp + 2, &checksum_be, sizeof(checksum_be));
    return frame;
}

TEST(the_router_answers_echo_on_every_address_of_its_own)
{
    static const char *const addresses[] = { "10.0.0.1", "10.0.1.1", "10.9.9.9" };
    struct lab lab = lab_create(1, 2);
    struct lab_frame out;

    lab_address(&lab, "lo", "10.9.9.9/32");
    lab_commit(&lab);
    router_clear_counters(lab.router, lab.now_ns);
    for (unsigned i = 0; i < ARRAY_COUNT(addresses); i++) {
        struct lab_frame frame = echo_request("10.0.0.2", addresses[i]);
        lab_put(&lab, 0, &frame);
        lab_step(&lab, 2);
        EXPECT(lab_take(&lab, 0, &out));
        EXPECT_EQUAL(payload(&out)[0], ICMP4_ECHO_REPLY);
        EXPECT_EQUAL(ip(&out)->source_be, ipv4_of(addresses[i]));
        EXPECT_EQUAL(ip(&out)->destination_be, ipv4_of("10.0.0.2"));
    }
    EXPECT_EQUAL(lab_counters(&lab, 0).delivered, ARRAY_COUNT(addresses));
    EXPECT_EQUAL(lab_counters(&lab, 2).originated, ARRAY_COUNT(addresses));
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* A burst as long as a batch must not lose an answer. */
TEST(a_batch_of_echo_requests_gets_a_batch_of_replies)
{
    struct lab lab = lab_create(1, 2);
    struct lab_frame frame = echo_request("10.0.0.2", "10.0.0.1"), out;
    unsigned replies = 0;

    for (unsigned i = 0; i < 2 * BATCH_MAX; i++)
        lab_put(&lab, 0, &frame);
    lab_step(&lab, 4);
    while (lab_take(&lab, 0, &out))
        replies++;
    EXPECT_EQUAL(replies, 2 * BATCH_MAX);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* 5.2.7.2: the way out is the way in, and the sender could go there himself. */
TEST(a_detour_by_the_same_port_is_redirected_and_forwarded)
{
    struct lab lab = lab_create(1, 2);
    struct lab_frame frame = plain_frame("10.0.0.2", "172.16.0.1"), out;
    bool redirect = false, forwarded = false;

    lab_arp(&lab, "10.0.0.3", lab_host_mac(0, 3), "eth0");
    lab_route(&lab, "172.16.0.0/12", "10.0.0.3");
    lab_commit(&lab);
    lab_put(&lab, 0, &frame);
    lab_step(&lab, 2);
    while (lab_take(&lab, 0, &out)) {
        if (ip(&out)->protocol == PROTOCOL_UDP) {
            expect_forwarded(&frame, &out, 0, 3);
            forwarded = true;
            continue;
        }
        EXPECT_EQUAL(payload(&out)[0], ICMP4_REDIRECT);
        EXPECT_EQUAL(payload(&out)[1], ICMP4_REDIRECT_HOST);
        uint32_t gateway_be;
        memcpy(&gateway_be, payload(&out) + 4, sizeof(gateway_be));
        EXPECT_EQUAL(gateway_be, ipv4_of("10.0.0.3"));
        redirect = true;
    }
    EXPECT(redirect);
    EXPECT(forwarded);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* ---- Gateways
 * -------------------------------------------------------------------------------------- */

TEST(equal_gateways_share_flows_and_keep_each_flow)
{
    enum { FLOWS = 256 };
    struct lab lab = lab_create(1, 4);
    unsigned count[4] = { 0 };
    struct lab_frame out;

    for (unsigned i = 1; i < 4; i++) {
        char gateway[16] = "10.0.0.2";
        gateway[5] = (char)('0' + i);
        lab_route(&lab, "172.16.0.0/12", gateway);
    }
    lab_commit(&lab);
    for (unsigned flow = 0; flow < FLOWS; flow++) {
        struct lab_packet packet = { .source = "10.0.0.2",
                                     .destination = "172.16.0.1",
                                     .payload_bytes = 20,
                                     .source_port = (uint16_t)(1024 + flow * 37),
                                     .destination_port = 80 };
        struct lab_frame frame = lab_frame(0, &packet);
        unsigned used = 0;
        for (unsigned repeat = 0; repeat < 3; repeat++)
            lab_put(&lab, 0, &frame);
        lab_step(&lab, 1);
        for (unsigned port = 1; port < 4; port++) {
            unsigned got = 0;
            while (lab_take(&lab, port, &out))
                got++;
            EXPECT(got == 0 || got == 3); /* all of a flow, or none */
            count[port] += got > 0;
            used += got > 0;
        }
        EXPECT_EQUAL(used, 1);
    }
    for (unsigned port = 1; port < 4; port++)
        EXPECT(count[port] > FLOWS / 6); /* a third each, about */
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(a_link_that_goes_down_takes_its_routes_along)
{
    struct lab lab = lab_create(1, 3);
    struct lab_frame frame = plain_frame("10.0.0.2", "172.16.0.1"), out;
    struct address target = address_of_ipv4(ipv4_of("172.16.0.1"));
    struct route route;

    lab_route(&lab, "172.16.0.0/12", "10.0.1.2");
    lab_route(&lab, "172.16.0.0/12", "10.0.2.2");
    lab_commit(&lab);
    wire_nic_set_link(lab.cards[1], false);
    lab_wait(&lab, 200);
    for (unsigned i = 0; i < 20; i++) {
        lab_put(&lab, 0, &frame);
        lab_step(&lab, 1);
        EXPECT(lab_take(&lab, 2, &out)); /* the gateway that is left takes all */
    }
    wire_nic_set_link(lab.cards[2], false);
    lab_wait(&lab, 200);
    EXPECT(!control_route_for(lab.router, &target, &route));
    lab_put(&lab, 0, &frame);
    lab_step(&lab, 2);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NO_ROUTE), 1);
    wire_nic_set_link(lab.cards[2], true);
    lab_wait(&lab, 200);
    EXPECT(control_route_for(lab.router, &target, &route));
    EXPECT_EQUAL(route.port, 2);
    EXPECT_EQUAL(lab.router->ports[2].link_changes, 2);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* ---- Many cores
 * ------------------------------------------------------------------------------------ */

/* Cards with fewer queues than cores: frames cross by mailbox and nothing is lost or counted
 * twice. */
TEST(cores_without_a_queue_send_through_one_that_has_it)
{
    static const unsigned core_counts[] = { 1, 2, 3, 4, 7 };

    for (unsigned i = 0; i < ARRAY_COUNT(core_counts); i++) {
        struct lab lab = lab_create_queues(core_counts[i], 3, 1);
        unsigned got = 0;
        struct lab_frame out;
        for (unsigned n = 0; n < 100; n++) {
            struct lab_frame frame = plain_frame("10.0.0.2", n % 2 ? "10.0.1.2" : "10.0.2.2");
            lab_put(&lab, 0, &frame);
        }
        lab_step(&lab, 6);
        for (unsigned port = 1; port < 3; port++)
            while (lab_take(&lab, port, &out))
                got++;
        EXPECT_EQUAL(got, 100);
        lab_expect_books(&lab);
        lab_destroy(&lab);
    }
}

TEST(with_four_cores_control_owns_no_queue)
{
    struct lab lab = lab_create(4, 2);

    EXPECT_EQUAL(lab.router->cores[CONTROL_CORE]->polled_count, 0);
    for (unsigned i = 1; i < 4; i++)
        EXPECT_EQUAL(lab.router->cores[i]->polled_count, 2);
    lab_destroy(&lab);
}

TEST(a_core_that_mails_wakes_who_sleeps)
{
    struct lab lab = lab_create(2, 2);
    struct lab_packet packet = {
        .source = "10.0.0.2", .destination = "10.0.0.1", .payload_bytes = 20, .protocol = 99
    };
    struct lab_frame frame = lab_frame(0, &packet), out;

    lab.router->cores[0]->asleep = true; /* as if it lay in core_idle() */
    uint64_t wakes = host_wake_count(0);
    EXPECT(wire_nic_put(lab.cards[0], 1, frame.bytes, frame.length_bytes));
    core_step(lab.router->cores[1]);
    EXPECT_EQUAL(host_wake_count(0), wakes + 1);
    lab_step(&lab, 2);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_PROTOCOL_UNREACHABLE), 1);
    while (lab_take(&lab, 0, &out))
        continue;
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* As another core does it that may have fetched what was there before. */
TEST(a_core_hears_of_new_code_in_its_next_step)
{
    struct lab lab = lab_create(1, 1);
    struct code *code = code_alloc(1);

    EXPECT(code != NULL);
    EXPECT_EQUAL(code_seal(code), OK);
    EXPECT(core_current()->code_seen != code_generation);
    lab_step(&lab, 1);
    EXPECT_EQUAL(core_current()->code_seen, code_generation);
    code_free(code);
    lab_destroy(&lab);
}

TEST(clearing_counters_hides_them_and_keeps_the_books)
{
    struct lab lab = lab_create(1, 2);
    struct lab_frame frame = plain_frame("10.0.0.2", "10.0.1.2");

    lab_put(&lab, 0, &frame);
    lab_step(&lab, 1);
    router_clear_counters(lab.router, lab.now_ns);
    EXPECT_EQUAL(lab_counters(&lab, 0).received, 0);
    lab_put(&lab, 0, &frame);
    lab_step(&lab, 1);
    EXPECT_EQUAL(lab_counters(&lab, 0).received, 1);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}
