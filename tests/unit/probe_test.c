/* ping and traceroute from a router on software cards: the test is the network that answers, or
 * does not. */
#include "net/probe.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "net/wire/checksum.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp4.h"
#include "net/wire/ipv4.h"
#include "tests/unit/lab6.h"

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

/* ---- IPv6 -----------------------------------------------------------------------------------
 * The router is 2001:db8::1 on eth0 and 2001:db8:1::1 on eth1, its link-local addresses are
 * fe80::ff:fe00:0 and fe80::ff:fe00:1. */

enum { QUOTE_BYTES = IPV6_HEADER_BYTES + ICMP6_HEADER_BYTES };

static struct lab lab_of_ipv6(void)
{
    struct lab lab = lab6_create(1, 2);

    lab6_meet(&lab, 0, "2001:db8::2", 2);
    return lab;
}

static struct probe_setup ping6_of(const char *target, uint32_t count)
{
    struct probe_setup setup = ping_of("10.0.0.2", count);

    setup.target = address_of(target);
    setup.port = PORT_NONE;
    return setup;
}

/* The next frame that is no neighbor solicitation. */
static struct lab_frame expect_request6(struct lab *lab, unsigned port)
{
    struct lab_frame frame;

    do {
        EXPECT(lab_take(lab, port, &frame));
    } while (lab6_payload(&frame)[0] == ICMP6_NEIGHBOR_SOLICITATION);
    const struct ipv6_header *header = lab6_header(&frame);
    EXPECT_EQUAL(header->next_header, PROTOCOL_ICMP6);
    EXPECT(icmp6_is_good(lab6_payload(&frame), lab6_payload_bytes(&frame), header->source,
                         header->destination));
    EXPECT_EQUAL(lab6_payload(&frame)[0], ICMP6_ECHO_REQUEST);
    return frame;
}

static void reply6(struct lab *lab, unsigned port, const struct lab_frame *request)
{
    struct lab_frame frame = *request;
    const struct ipv6_header *asked = (const void *)(request->bytes + ETHERNET_HEADER_BYTES);
    struct ipv6_header *header = lab6_header(&frame);

    memcpy(frame.bytes, lab_port_mac(port), 6);
    memcpy(frame.bytes + 6, lab_host_mac(port, 2), 6);
    memcpy(header->source, asked->destination, sizeof(header->source));
    memcpy(header->destination, asked->source, sizeof(header->destination));
    header->hop_limit = 63;
    lab6_payload(&frame)[0] = ICMP6_ECHO_REPLY;
    lab6_seal(&frame);
    lab_put(lab, port, &frame);
    lab_step(lab, 2);
}

struct objection {
    const char *from;
    uint8_t type, code;
    uint32_t word; /* MTU or pointer */
    size_t quote_bytes;
};

static void object6(struct lab *lab, unsigned port, const struct lab_frame *request,
                    const struct objection *objection)
{
    struct lab6_packet packet = { .source = objection->from, .destination = "2001:db8::1" };
    uint8_t message[ICMP6_HEADER_BYTES + ICMP6_QUOTE_MAX_BYTES] = { objection->type,
                                                                    objection->code };

    store_be32(message + 4, objection->word);
    memcpy(message + ICMP6_HEADER_BYTES, request->bytes + ETHERNET_HEADER_BYTES,
           objection->quote_bytes);
    struct lab_frame frame =
        lab6_icmp(port, &packet, message, ICMP6_HEADER_BYTES + objection->quote_bytes);
    lab_put(lab, port, &frame);
    lab_step(lab, 2);
}

static void expect_from(const struct probe_event *event, const char *address)
{
    EXPECT_EQUAL(event->from.family, FAMILY_IPV6);
    lab6_expect_address(event->from.bytes, address);
}

TEST(ping6_is_answered)
{
    struct lab lab = lab_of_ipv6();
    struct probe_setup setup = ping6_of("2001:db8::2", 2);
    struct probe *probe = start(&lab, &setup);

    for (unsigned i = 0; i < 2; i++) {
        struct lab_frame request = expect_request6(&lab, 0);
        EXPECT_EQUAL(lab6_header(&request)->hop_limit, 64);
        lab6_expect_address(lab6_header(&request)->source, "2001:db8::1");
        EXPECT_EQUAL(lab6_payload_bytes(&request), 64);
        EXPECT_EQUAL(load_be16(lab6_payload(&request) + 6), i);
        lab_wait(&lab, 30);
        reply6(&lab, 0, &request);
        struct probe_event event = next_event(&lab, probe);
        EXPECT_EQUAL(event.answer, PROBE_REPLY);
        EXPECT_EQUAL(event.sequence, i);
        EXPECT_EQUAL(event.ttl, 63);
        EXPECT_EQUAL(event.length_bytes, 64);
        expect_from(&event, "2001:db8::2");
        EXPECT(event.round_trip_ns >= 30 * NS_PER_MS);
        EXPECT(event.round_trip_ns < 100 * NS_PER_MS);
        lab_wait(&lab, 1000);
    }
    finish(&lab, probe);
}

TEST(ping6_answers_of_others_late_and_twice_are_ignored)
{
    struct lab lab = lab_of_ipv6();
    struct probe_setup setup = ping6_of("2001:db8::2", 2);
    struct probe *probe = start(&lab, &setup);
    struct lab_frame first = expect_request6(&lab, 0), second, other;
    const struct objection objection = { "2001:db8::2", ICMP6_UNREACHABLE, 3, 0, QUOTE_BYTES };

    lab_wait(&lab, 1000);
    second = expect_request6(&lab, 0);
    lab_wait(&lab, 1010);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_TIMEOUT);
    reply6(&lab, 0, &first); /* late */
    object6(&lab, 0, &first, &objection);
    other = second;
    lab6_payload(&other)[4] ^= 1; /* identifier */
    reply6(&lab, 0, &other);
    object6(&lab, 0, &other, &objection);
    other = second;
    lab6_payload(&other)[7] ^= 3; /* sequence */
    reply6(&lab, 0, &other);
    object6(&lab, 0, &other, &objection);
    other = second;
    lab6_header(&other)->destination[15] = 3; /* to whom we have sent nothing */
    reply6(&lab, 0, &other);
    object6(&lab, 0, &other, &objection);
    other = second;
    lab6_header(&other)->source[5] = 1; /* ours, but not the one that we asked from */
    reply6(&lab, 0, &other);
    object6(&lab, 0, &other, &objection);
    other = second;
    lab6_header(&other)->source[5] = 7; /* not ours at all */
    object6(&lab, 0, &other, &objection);
    other = second;
    lab6_payload(&other)[0] = ICMP6_ECHO_REPLY; /* about an answer of ours */
    object6(&lab, 0, &other, &objection);
    other = second;
    lab6_header(&other)->next_header = PROTOCOL_UDP; /* and about no ICMPv6 */
    object6(&lab, 0, &other, &objection);
    EXPECT(no_event(&lab, probe));
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ICMP_IGNORED), 13);
    reply6(&lab, 0, &second);
    reply6(&lab, 0, &second); /* twice */
    object6(&lab, 0, &second, &objection);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_REPLY);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ICMP_IGNORED), 15);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ICMP), 0);
    finish(&lab, probe);
}

TEST(ping6_tells_what_is_in_the_way)
{
    static const struct {
        struct objection objection;
        enum probe_answer answer;
    } cases[] = {
        { { "2001:db8::2", ICMP6_PACKET_TOO_BIG, 0, 1280, QUOTE_BYTES }, PROBE_TOO_BIG },
        { { "2001:db8::77", ICMP6_UNREACHABLE, ICMP6_PROHIBITED, 0, QUOTE_BYTES + 8 },
          PROBE_UNREACHABLE },
        { { "2001:db8::77", ICMP6_UNREACHABLE, ICMP6_NO_ROUTE, 0, QUOTE_BYTES },
          PROBE_UNREACHABLE }, /* he knows no route; PROBE_NO_ROUTE is that we do not */
        { { "2001:db8::77", ICMP6_PARAMETER_PROBLEM, ICMP6_UNKNOWN_NEXT_HEADER, 6, QUOTE_BYTES },
          PROBE_UNREACHABLE },
        { { "2001:db8::77", 100, 1, 0, QUOTE_BYTES }, PROBE_UNREACHABLE }, /* RFC 4443 2.4 (a) */
        { { "2001:db8::77", ICMP6_TIME_EXCEEDED, 0, 0, QUOTE_BYTES }, PROBE_TTL_EXPIRED },
    };
    struct lab lab = lab_of_ipv6();
    struct probe_setup setup = ping6_of("2001:db8::2", ARRAY_COUNT(cases));

    setup.interval_ms = 100;
    struct probe *probe = start(&lab, &setup);

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct lab_frame request = expect_request6(&lab, 0);
        object6(&lab, 0, &request, &cases[i].objection);
        struct probe_event event = next_event(&lab, probe);
        EXPECT_EQUAL(event.answer, cases[i].answer);
        EXPECT_EQUAL(event.sequence, i);
        EXPECT_EQUAL(event.icmp_type, cases[i].objection.type);
        EXPECT_EQUAL(event.icmp_code, cases[i].objection.code);
        EXPECT_EQUAL(event.mtu, i == 0 ? 1280 : 0);
        expect_from(&event, cases[i].objection.from);
        lab_wait(&lab, 120);
    }
    finish(&lab, probe);
}

/* Every length that is too short, and quotes that lead nowhere; then the shortest good one. */
TEST(ping6_errors_with_bad_quotes_are_dropped)
{
    struct lab lab = lab_of_ipv6();
    struct probe_setup setup = ping6_of("2001:db8::2", 1);
    struct probe *probe = start(&lab, &setup);
    struct lab_frame request = expect_request6(&lab, 0), other;
    struct objection objection = { "2001:db8::2", ICMP6_UNREACHABLE, 3, 0, 0 };
    uint64_t dropped = 0;

    for (; objection.quote_bytes < QUOTE_BYTES; objection.quote_bytes++, dropped++)
        object6(&lab, 0, &request, &objection);
    other = request;
    lab6_header(&other)->payload_length_be = __builtin_bswap16(7); /* less than is quoted */
    object6(&lab, 0, &other, &objection);
    other = request;
    lab6_header(&other)->next_header = PROTOCOL_HOP_BY_HOP; /* whose length runs over the end */
    lab6_payload(&other)[1] = 255;
    object6(&lab, 0, &other, &objection);
    other = request;
    other.bytes[ETHERNET_HEADER_BYTES] = 0x45; /* IPv4 */
    object6(&lab, 0, &other, &objection);
    objection.type = ICMP6_PACKET_TOO_BIG;
    objection.word = 1279; /* RFC 8201 4 */
    object6(&lab, 0, &request, &objection);
    EXPECT(no_event(&lab, probe));
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ICMP), dropped + 4);
    objection.word = 1400;
    object6(&lab, 0, &request, &objection);
    EXPECT_EQUAL(next_event(&lab, probe).mtu, 1400);
    finish(&lab, probe);
}

TEST(ping6_without_a_route_says_so)
{
    struct lab lab = lab_of_ipv6();
    struct probe_setup setup = ping6_of("2001:db9::1", 1);
    struct probe *probe = start(&lab, &setup);

    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_NO_ROUTE);
    EXPECT(probe_done(probe));
    probe_stop(probe);
    setup.source = address_of("2001:db8::1"); /* found out by our own datapath */
    probe = start(&lab, &setup);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_NO_ROUTE);
    EXPECT(probe_done(probe));
    probe_stop(probe);
    setup = ping6_of("fe80::2", 1); /* on no link */
    probe = start(&lab, &setup);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_NO_ROUTE);
    finish(&lab, probe);
}

TEST(ping6_to_hosts_that_are_not_there_hears_it_from_ourselves)
{
    struct lab lab = lab_of_ipv6();
    struct probe_setup setup = ping6_of("2001:db8::99", 1);

    setup.timeout_ms = 5000;
    struct probe *probe = start(&lab, &setup);
    lab_wait(&lab, 3100);
    struct probe_event event = next_event(&lab, probe);
    EXPECT_EQUAL(event.answer, PROBE_UNREACHABLE);
    EXPECT_EQUAL(event.icmp_code, ICMP6_ADDRESS_UNREACHABLE);
    expect_from(&event, "2001:db8::1");
    probe_stop(probe);
    setup.target = address_of("fe80::99"); /* the error about it is link-local, too */
    setup.port = 1;
    probe = start(&lab, &setup);
    lab_wait(&lab, 3100);
    event = next_event(&lab, probe);
    EXPECT_EQUAL(event.icmp_code, ICMP6_ADDRESS_UNREACHABLE);
    expect_from(&event, "fe80::ff:fe00:1");
    finish(&lab, probe);
}

TEST(ping6_of_ourselves_is_answered_by_ourselves)
{
    static const char *const targets[] = { "2001:db8:1::1", "::1", "fe80::ff:fe00:1" };
    struct lab lab = lab_of_ipv6();

    for (unsigned i = 0; i < ARRAY_COUNT(targets); i++) {
        struct probe_setup setup = ping6_of(targets[i], 1);
        setup.port = 1;
        setup.payload_bytes = i == 0 ? 5000 : 56; /* in several buffers */
        struct probe *probe = start(&lab, &setup);
        struct probe_event event = next_event(&lab, probe);
        EXPECT_EQUAL(event.answer, PROBE_REPLY);
        expect_from(&event, targets[i]);
        EXPECT(probe_done(probe));
        probe_stop(probe);
    }
    lab6_expect_silence(&lab);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

/* The same address may be on every link: only where it was asked can it answer. */
TEST(ping6_of_a_link_local_address_stays_on_its_link)
{
    struct lab lab = lab_of_ipv6();
    struct probe_setup setup = ping6_of("fe80::2", 1);
    struct lab_frame frame =
        lab6_solicitation(1, "fe80::2", "fe80::ff:fe00:1", "fe80::ff:fe00:1", lab_host_mac(1, 2));

    lab_put(&lab, 1, &frame);
    lab_step(&lab, 4);
    lab6_forget_frames(&lab);
    setup.port = 1;
    struct probe *probe = start(&lab, &setup);
    struct lab_frame request = expect_request6(&lab, 1);
    lab6_expect_address(lab6_header(&request)->source, "fe80::ff:fe00:1");
    frame = request;
    lab6_header(&frame)->source[15] = 0; /* of eth0 */
    reply6(&lab, 0, &frame);
    EXPECT(no_event(&lab, probe));
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ICMP_IGNORED), 1);
    reply6(&lab, 1, &request);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_REPLY);
    finish(&lab, probe);
}

TEST(ping6_larger_than_the_mtu_goes_in_fragments_if_it_may)
{
    struct lab lab = lab_of_ipv6();
    struct probe_setup setup = ping6_of("2001:db8::2", 1);
    struct lab_frame frame;
    static uint8_t whole[65536];
    unsigned total = 0;

    setup.payload_bytes = 65535; /* cut to what fits */
    struct probe *probe = start(&lab, &setup);
    while (lab_take(&lab, 0, &frame)) {
        struct ipv6_fragment fragment;
        uint8_t *piece = lab6_payload(&frame);
        unsigned bytes = (unsigned)lab6_payload_bytes(&frame) - IPV6_FRAGMENT_HEADER_BYTES;
        EXPECT_EQUAL(lab6_header(&frame)->next_header, PROTOCOL_FRAGMENT);
        ipv6_fragment_read(piece, &fragment);
        memcpy(whole + fragment.offset_bytes, piece + IPV6_FRAGMENT_HEADER_BYTES, bytes);
        total += bytes;
    }
    EXPECT_EQUAL(total, 65495);
    EXPECT(icmp6_is_good(whole, total, address_of("2001:db8::1").bytes,
                         address_of("2001:db8::2").bytes));
    lab_wait(&lab, 2000);
    EXPECT_EQUAL(next_event(&lab, probe).answer, PROBE_TIMEOUT);
    probe_stop(probe);
    lab6_forget_frames(&lab);
    setup.payload_bytes = 1453;
    setup.dont_fragment = true;
    probe = start(&lab, &setup);
    struct probe_event event = next_event(&lab, probe);
    EXPECT_EQUAL(event.answer, PROBE_TOO_BIG);
    EXPECT_EQUAL(event.mtu, 1500);
    expect_from(&event, "2001:db8::1");
    finish(&lab, probe);
}

TEST(traceroute6_finds_the_hops_on_the_way)
{
    struct lab lab = lab_of_ipv6();
    struct probe_setup setup = ping6_of("2001:db8:7::7", 2);
    static const char *const hops[] = { "2001:db8::2", NULL, "2001:db8:9::1" };
    struct lab_frame request;

    lab_route(&lab, "2001:db8:7::/48", "2001:db8::2");
    lab_route(&lab, "2001:db8:9::/48", "2001:db8::2");
    lab_commit(&lab);
    lab_step(&lab, 2);
    setup.trace = true;
    setup.interval_ms = 10;
    setup.ttl_max = 30;
    struct probe *probe = start(&lab, &setup);
    for (unsigned hop = 0; hop < 4; hop++) {
        for (unsigned i = 0; i < 2; i++) {
            lab_wait(&lab, 30);
            request = expect_request6(&lab, 0);
            EXPECT_EQUAL(lab6_header(&request)->hop_limit, hop + 1);
            if (hop == 3)
                reply6(&lab, 0, &request);
            else if (hops[hop])
                object6(&lab, 0, &request,
                        &(struct objection){ hops[hop], ICMP6_TIME_EXCEEDED, 0, 0, QUOTE_BYTES });
        }
        lab_wait(&lab, hop == 1 ? 2100 : 0);
        for (unsigned i = 0; i < 2; i++) {
            struct probe_event event = next_event(&lab, probe);
            EXPECT_EQUAL(event.ttl, hop + 1);
            EXPECT_EQUAL(event.answer, hop == 3   ? PROBE_REPLY
                                       : hop == 1 ? PROBE_TIMEOUT
                                                  : PROBE_TTL_EXPIRED);
            if (event.answer == PROBE_TTL_EXPIRED)
                expect_from(&event, hops[hop]);
        }
    }
    finish(&lab, probe);
}
