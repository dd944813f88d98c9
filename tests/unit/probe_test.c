/* ping and traceroute from a router on software cards: the test is the network that answers, or
 * does not. */
#include "net/probe.h"

#include <string.h>

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

static uint8_t *icmp_of(struct lab_frame *frame)
{
    return frame->bytes + ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES;
}

static struct probe_setup ping_of(const char *target, uint32_t count)
{
    return (struct probe_setup){ .target = address_of_ipv4(ipv4_of(target)),
                                 .count = count,
                                 .interval_ms = 1000,
                                 .timeout_ms = 2000,
                                 .payload_bytes = 56,
                                 .ttl_max = 64 };
}

static struct probe *start(struct lab *lab, const struct probe_setup *setup)
{
    struct probe *probe = probe_start(lab->router, setup, lab->now_ns);

    EXPECT(probe);
    lab_wait(lab, 20);
    return probe;
}

static struct probe_event next_event(struct lab *lab, struct probe *probe)
{
    struct probe_event event;

    EXPECT(probe_poll(probe, lab->now_ns, &event));
    return event;
}

static bool no_event(struct lab *lab, struct probe *probe)
{
    struct probe_event event;
    return !probe_poll(probe, lab->now_ns, &event);
}

static void finish(struct lab *lab, struct probe *probe)
{
    EXPECT(no_event(lab, probe));
    EXPECT(probe_done(probe));
    probe_stop(probe);
    lab_expect_books(lab);
    lab_destroy(lab);
}

/* The echo reply of the host to which the frame went. */
static void reply(struct lab *lab, unsigned port, const struct lab_frame *request)
{
    struct lab_frame frame = *request;
    struct ipv4_header *header = ip_of(&frame);
    uint8_t *icmp = icmp_of(&frame);
    uint32_t source_be = header->source_be;
    uint16_t checksum_be;

    memcpy(frame.bytes, lab_port_mac(port), 6);
    memcpy(frame.bytes + 6, lab_host_mac(port, 2), 6);
    header->source_be = header->destination_be;
    header->destination_be = source_be;
    header->ttl = 63;
    lab_frame_seal(&frame);
    icmp[0] = ICMP4_ECHO_REPLY;
    icmp[2] = icmp[3] = 0;
    checksum_be = checksum_of(icmp, ipv4_total_bytes(header) - 20u);
    memcpy(icmp + 2, &checksum_be, 2);
    lab_put(lab, port, &frame);
    lab_step(lab, 2);
}

/* An ICMP error about the frame, from that address behind the port. */
static void object(struct lab *lab, unsigned port, const struct lab_frame *request,
                   const char *from, uint8_t type, uint8_t code, uint16_t mtu)
{
    struct lab_packet packet = { .source = from,
                                 .destination = "10.0.0.1",
                                 .protocol = PROTOCOL_ICMP,
                                 .payload_bytes = 8 + 28 };
    struct lab_frame frame = lab_frame(port, &packet);
    uint8_t *icmp = icmp_of(&frame);
    uint16_t checksum_be;

    memset(icmp, 0, 8);
    icmp[0] = type;
    icmp[1] = code;
    store_be16(icmp + 6, mtu);
    memcpy(icmp + 8, request->bytes + ETHERNET_HEADER_BYTES, 28);
    checksum_be = checksum_of(icmp, 36);
    memcpy(icmp + 2, &checksum_be, 2);
    lab_put(lab, port, &frame);
    lab_step(lab, 2);
}

static struct lab_frame expect_request(struct lab *lab, unsigned port)
{
    struct lab_frame frame;

    EXPECT(lab_take(lab, port, &frame));
    EXPECT_EQUAL(ip_of(&frame)->protocol, PROTOCOL_ICMP);
    EXPECT_EQUAL(checksum_of(icmp_of(&frame), ipv4_total_bytes(ip_of(&frame)) - 20u), 0);
    EXPECT_EQUAL(icmp_of(&frame)[0], ICMP4_ECHO_REQUEST);
    return frame;
}

TEST(ping_is_answered)
{
    struct lab lab = lab_create(1, 2);
    struct probe_setup setup = ping_of("10.0.0.2", 2);
    struct probe *probe = start(&lab, &setup);

    for (unsigned i = 0; i < 2; i++) {
        struct lab_frame request = expect_request(&lab, 0), none;
        EXPECT_EQUAL(ip_of(&request)->ttl, 64);
        EXPECT_EQUAL(ip_of(&request)->source_be, ipv4_of("10.0.0.1"));
        EXPECT_EQUAL(ipv4_total_bytes(ip_of(&request)), 84);
        EXPECT_EQUAL(load_be16(icmp_of(&request) + 6), i);
        EXPECT(!lab_take(&lab, 0, &none));
        lab_wait(&lab, 30);
        reply(&lab, 0, &request);
        struct probe_event event = next_event(&lab, probe);
        EXPECT_EQUAL(event.answer, PROBE_REPLY);
        EXPECT_EQUAL(event.sequence, i);
        EXPECT_EQUAL(event.ttl, 63);
        EXPECT_EQUAL(event.length_bytes, 64);
        EXPECT_EQUAL(address_ipv4_be(&event.from), ipv4_of("10.0.0.2"));
        EXPECT(event.round_trip_ns >= 30 * NS_PER_MS);
        EXPECT(event.round_trip_ns < 100 * NS_PER_MS);
        lab_wait(&lab, 1000);
    }
    finish(&lab, probe);
}

TEST(ping_that_is_lost_times_out_and_a_late_or_second_answer_is_ignored)
{
    struct lab lab = lab_create(1, 2);
    struct probe_setup setup = ping_of("10.0.0.2", 2);
    struct probe *probe = start(&lab, &setup);
    struct lab_frame first = expect_request(&lab, 0), second;

    EXPECT(no_event(&lab, probe));
    lab_wait(&lab, 1000);
    second = expect_request(&lab, 0);
    lab_wait(&lab, 1010);
    struct probe_event event = next_event(&lab, probe);
    EXPECT_EQUAL(event.answer, PROBE_TIMEOUT);
    EXPECT_EQUAL(event.sequence, 0);
    reply(&lab, 0, &first);
    EXPECT(no_event(&lab, probe));
    reply(&lab, 0, &second);
    reply(&lab, 0, &second);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_REPLY);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ICMP_IGNORED), 2);
    finish(&lab, probe);
}

TEST(ping_answers_of_others_are_ignored)
{
    struct lab lab = lab_create(1, 2);
    struct probe_setup setup = ping_of("10.0.0.2", 1);
    struct probe *probe = start(&lab, &setup);
    struct lab_frame request = expect_request(&lab, 0), other;

    other = request;
    icmp_of(&other)[4] ^= 1; /* identifier */
    reply(&lab, 0, &other);
    other = request;
    icmp_of(&other)[7] ^= 1; /* sequence */
    reply(&lab, 0, &other);
    other = request;
    ip_of(&other)->destination_be = ipv4_of("10.0.0.3");
    reply(&lab, 0, &other);
    ip_of(&other)->destination_be = ipv4_of("10.0.0.2");
    ip_of(&other)->source_be = ipv4_of("192.168.7.7"); /* quotes what we never sent */
    object(&lab, 0, &other, "10.0.0.2", ICMP4_UNREACHABLE, 1, 0);
    EXPECT(no_event(&lab, probe));
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ICMP_IGNORED), 4);
    reply(&lab, 0, &request);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_REPLY);
    finish(&lab, probe);
}

TEST(ping_tells_what_is_in_the_way)
{
    struct lab lab = lab_create(1, 2);
    struct probe_setup setup = ping_of("10.0.0.2", 3);
    struct probe_event event;

    setup.dont_fragment = true;
    struct probe *probe = start(&lab, &setup);
    struct lab_frame request = expect_request(&lab, 0);
    EXPECT_EQUAL(ipv4_fragment(ip_of(&request)), IPV4_DONT_FRAGMENT);
    object(&lab, 0, &request, "10.0.0.2", ICMP4_UNREACHABLE, ICMP4_FRAGMENTATION_NEEDED, 1280);
    event = next_event(&lab, probe);
    EXPECT_EQUAL(event.answer, PROBE_TOO_BIG);
    EXPECT_EQUAL(event.mtu, 1280);
    lab_wait(&lab, 1000);
    request = expect_request(&lab, 0);
    object(&lab, 0, &request, "10.0.0.77", ICMP4_UNREACHABLE, ICMP4_PROHIBITED, 0);
    event = next_event(&lab, probe);
    EXPECT_EQUAL(event.answer, PROBE_UNREACHABLE);
    EXPECT_EQUAL(event.icmp_code, ICMP4_PROHIBITED);
    EXPECT_EQUAL(address_ipv4_be(&event.from), ipv4_of("10.0.0.77"));
    lab_wait(&lab, 1000);
    request = expect_request(&lab, 0);
    object(&lab, 0, &request, "10.0.0.77", ICMP4_TIME_EXCEEDED, 0, 0);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_TTL_EXPIRED);
    finish(&lab, probe);
}

TEST(ping_without_a_route_says_so)
{
    struct lab lab = lab_create(1, 2);
    struct probe_setup setup = ping_of("192.168.7.7", 2);
    struct probe *probe = start(&lab, &setup);

    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_NO_ROUTE);
    EXPECT(!probe_done(probe));
    lab_wait(&lab, 1000);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_NO_ROUTE);
    EXPECT(probe_done(probe));
    probe_stop(probe);
    setup.source = address_of_ipv4(ipv4_of("10.0.0.1")); /* found out by our own datapath */
    setup.count = 1;
    probe = start(&lab, &setup);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_NO_ROUTE);
    finish(&lab, probe);
}

TEST(ping_to_a_host_that_is_not_there_hears_it_from_ourselves)
{
    struct lab lab = lab_create(1, 2);
    struct probe_setup setup = ping_of("10.0.0.99", 1);

    setup.timeout_ms = 5000;
    struct probe *probe = start(&lab, &setup);
    lab_wait(&lab, 3100);
    struct probe_event event = next_event(&lab, probe);
    EXPECT_EQUAL(event.answer, PROBE_UNREACHABLE);
    EXPECT_EQUAL(event.icmp_code, ICMP4_HOST_UNREACHABLE);
    EXPECT_EQUAL(address_ipv4_be(&event.from), ipv4_of("10.0.0.1"));
    finish(&lab, probe);
}

TEST(ping_of_ourselves_is_answered_by_ourselves)
{
    struct lab lab = lab_create(2, 2);
    struct probe_setup setup = ping_of("10.0.1.1", 1);
    struct probe *probe = start(&lab, &setup);

    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_REPLY);
    EXPECT(probe_done(probe));
    probe_stop(probe);
    setup = ping_of("127.0.0.1", 1);
    probe = start(&lab, &setup);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_REPLY);
    finish(&lab, probe);
}

TEST(ping_larger_than_the_mtu_goes_in_fragments)
{
    struct lab lab = lab_create(1, 2);
    struct probe_setup setup = ping_of("10.0.0.2", 1);
    struct lab_frame frame;
    static uint8_t whole[65535];
    unsigned total = 0;

    setup.payload_bytes = 65535; /* cut to what fits */
    struct probe *probe = start(&lab, &setup);
    while (lab_take(&lab, 0, &frame)) {
        unsigned bytes = ipv4_total_bytes(ip_of(&frame)) - 20u;
        memcpy(whole + ipv4_fragment_offset_bytes(ip_of(&frame)), icmp_of(&frame), bytes);
        total += bytes;
    }
    EXPECT_EQUAL(total, 65515);
    EXPECT_EQUAL(checksum_of(whole, total), 0);
    lab_wait(&lab, 2000);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_TIMEOUT);
    finish(&lab, probe);
}

TEST(ping_faster_than_its_answers_keeps_to_its_bounds)
{
    struct lab lab = lab_create(1, 2);
    struct probe_setup setup = ping_of("10.0.0.2", 100000);
    struct lab_frame frame;
    unsigned sent = 0;

    setup.interval_ms = 0;
    setup.timeout_ms = 10000;
    struct probe *probe = start(&lab, &setup);
    for (unsigned i = 0; i < 40000; i++) { /* 40 s; nobody polls */
        lab_step(&lab, 100);
        while (lab_take(&lab, 0, &frame))
            sent++;
    }
    EXPECT(sent > 64);
    EXPECT(sent <= 128);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_TIMEOUT);
    EXPECT(!probe_done(probe));
    probe_stop(probe);
    lab_step(&lab, 1);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(traceroute_finds_the_hops_on_the_way)
{
    struct lab lab = lab_create(1, 2);
    struct probe_setup setup = ping_of("192.168.7.7", 2);
    static const char *const hops[] = { "10.0.0.2", NULL, "192.168.1.1" };
    struct lab_frame request;

    lab_route(&lab, "192.168.0.0/16", "10.0.0.2");
    lab_commit(&lab);
    lab_step(&lab, 2);
    setup.trace = true;
    setup.interval_ms = 10;
    setup.ttl_max = 30;
    struct probe *probe = start(&lab, &setup);
    for (unsigned hop = 0; hop < 4; hop++) {
        for (unsigned i = 0; i < 2; i++) {
            lab_wait(&lab, 30);
            request = expect_request(&lab, 0);
            EXPECT_EQUAL(ip_of(&request)->ttl, hop + 1);
            if (hop == 3)
                reply(&lab, 0, &request);
            else if (hops[hop])
                object(&lab, 0, &request, hops[hop], ICMP4_TIME_EXCEEDED, 0, 0);
        }
        lab_wait(&lab, hop == 1 ? 2100 : 0);
        for (unsigned i = 0; i < 2; i++) {
            struct probe_event event = next_event(&lab, probe);
            EXPECT_EQUAL(event.ttl, hop + 1);
            EXPECT_EQUAL(event.answer, hop == 3   ? PROBE_REPLY
                                       : hop == 1 ? PROBE_TIMEOUT
                                                  : PROBE_TTL_EXPIRED);
        }
    }
    lab_wait(&lab, 5000);
    EXPECT(!lab_take(&lab, 0, &request));
    finish(&lab, probe);
}

TEST(traceroute_ends_at_the_last_hop_it_may_try_and_where_it_is_refused)
{
    struct lab lab = lab_create(1, 2);
    struct probe_setup setup = ping_of("10.0.0.2", 1);
    struct lab_frame request;

    setup.trace = true;
    setup.interval_ms = 1;
    setup.timeout_ms = 100;
    setup.ttl_max = 5;
    struct probe *probe = start(&lab, &setup);
    for (unsigned hop = 0; hop < 5; hop++) {
        lab_wait(&lab, 200);
        EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_TIMEOUT);
    }
    EXPECT(probe_done(probe));
    probe_stop(probe);
    while (lab_take(&lab, 0, &request))
        continue;
    setup.timeout_ms = 1000;
    probe = start(&lab, &setup);
    request = expect_request(&lab, 0);
    object(&lab, 0, &request, "10.0.0.2", ICMP4_UNREACHABLE, ICMP4_PROHIBITED, 0);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_UNREACHABLE);
    finish(&lab, probe);
}

TEST(probes_are_bounded)
{
    struct lab lab = lab_create(1, 1);
    struct probe_setup setup = ping_of("10.0.0.2", 1);
    struct probe *probes[PROBE_MAX];

    for (unsigned i = 0; i < PROBE_MAX; i++)
        EXPECT((probes[i] = probe_start(lab.router, &setup, lab.now_ns)));
    EXPECT(!probe_start(lab.router, &setup, lab.now_ns));
    probe_stop(probes[3]);
    host_fail_allocation(0);
    EXPECT(!probe_start(lab.router, &setup, lab.now_ns));
    host_fail_allocation(UINT64_MAX);
    EXPECT((probes[3] = probe_start(lab.router, &setup, lab.now_ns)));
    lab_wait(&lab, 20);
    lab_destroy(&lab); /* stops those that are left */
}
