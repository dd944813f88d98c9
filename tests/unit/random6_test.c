/* Random IPv6 packets in random batches, against a naive judge that is written from the RFCs: what
 * leaves, what is dropped and why, and which errors its sender gets. */
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "net/icmp6.h"
#include "net/wire/ipv4.h"
#include "tests/unit/lab6.h"

/* A packet with extension headers may be longer than any port allows. */
enum { PORTS = 3, SMALL_PORT = 2, SMALL_MTU = 1400, GATEWAY_PORT = 1, BATCH = 8, ROUNDS = 3000 };

/* %: the number of the port where it comes in; who is what is said beside. */
struct place {
    const char *text;
    enum {
        ON_LINK, /* a host that we know, on the port of `port` */
        FAR,     /* behind the gateway on GATEWAY_PORT */
        OURS,
        OUR_GROUP,
        OTHER_GROUP,
        LINK_HOST,     /* fe80::2, on every link */
        LINK_OURS,     /* our link-local address on `port` */
        LINK_STRANGER, /* nobody */
        NO_ROUTE,
        REJECT,
        BLACKHOLE,
        UNSPECIFIED,
        IMPOSSIBLE, /* as source and destination */
    } kind;
    unsigned port;
};

static const struct place places[] = {
    { "2001:db8:0::2", ON_LINK, 0 },
    { "2001:db8:1::2", ON_LINK, 1 },
    { "2001:db8:2::2", ON_LINK, 2 },
    { "2001:db8:aaaa::5", FAR, GATEWAY_PORT },
    { "2001:db8:aaab::5", FAR, GATEWAY_PORT },
    { "2001:db8:0::1", OURS, 0 },
    { "2001:db8:1::1", OURS, 1 },
    { "2001:db8:2::1", OURS, 2 },
    { "ff02::1", OUR_GROUP, 0 },
    { "ff02::2", OUR_GROUP, 0 },
    { "ff02::1:ff00:1", OUR_GROUP, 0 },
    { "ff02::1:ff12:3456", OTHER_GROUP, 0 },
    { "ff02::5", OTHER_GROUP, 0 },
    { "ff0e::1", OTHER_GROUP, 0 },
    { "fe80::2", LINK_HOST, 0 },
    { "fe80::ff:fe00:0", LINK_OURS, 0 },
    { "fe80::ff:fe00:1", LINK_OURS, 1 },
    { "fe80::77", LINK_STRANGER, 0 },
    { "2001:db8:99::1", NO_ROUTE, 0 },
    { "2001:db8:50::1", REJECT, 0 },
    { "2001:db8:51::1", BLACKHOLE, 0 },
    { "::", UNSPECIFIED, 0 },
    { "::1", IMPOSSIBLE, 0 },
    { "::ffff:10.0.0.2", IMPOSSIBLE, 0 },
};

/* What stands between the IPv6 header and the payload. */
static const struct extension {
    uint8_t protocol;
    uint8_t length_bytes;
    uint8_t bytes[24]; /* the first is filled in */
} extensions[] = {
    { PROTOCOL_HOP_BY_HOP, 8, { 0, 0, IPV6_OPTION_PADN, 4 } },
    { PROTOCOL_HOP_BY_HOP, 8, { 0, 0, IPV6_OPTION_ROUTER_ALERT, 2, 0, 0, 1, 0 } },
    { PROTOCOL_HOP_BY_HOP, 8, { 0, 0, 0x1e, 4 } },
    { PROTOCOL_HOP_BY_HOP, 8, { 0, 0, 0x5e, 4 } },
    { PROTOCOL_HOP_BY_HOP, 8, { 0, 0, 0x9e, 4 } },
    { PROTOCOL_HOP_BY_HOP, 8, { 0, 0, 0xde, 4 } },
    { PROTOCOL_HOP_BY_HOP, 16, { 0, 1, 1, 5, 0, 0, 0, 0, 0, 0xde, 3 } },
    { PROTOCOL_HOP_BY_HOP, 8, { 0, 0, 0x1e, 5 } },
    { PROTOCOL_DESTINATION_OPTIONS, 8, { 0, 0, 0x9e, 4 } },
    { PROTOCOL_DESTINATION_OPTIONS, 8, { 0, 0, 0x1e, 4 } },
    { PROTOCOL_ROUTING, 24, { 0, 2, 0, 1 } },
    { PROTOCOL_ROUTING, 24, { 0, 2, 0, 0 } },
    { PROTOCOL_ROUTING, 24, { 0, 2, 4, 1 } },
    { PROTOCOL_ROUTING, 24, { 0, 2, 4, 0 } },
    { PROTOCOL_FRAGMENT, 8, { 0, 0, 0, 1, 1, 2, 3, 4 } },
    { PROTOCOL_FRAGMENT, 8, { 0, 0, 0, 9, 1, 2, 3, 4 } },
    { PROTOCOL_FRAGMENT, 8, { 0, 0, 0, 0, 1, 2, 3, 4 } },
};

struct packet_plan {
    unsigned port_in;
    struct place source, destination;
    uint8_t hop_limit, protocol, icmp_type;
    const struct extension *extensions[2];
    unsigned extension_count;
    uint16_t payload_bytes;
    bool other_version, cut, to_other_mac, link_multicast;
};

/* What becomes of it. */
struct fate {
    enum { FORWARDED, TO_US, DROPPED } end;
    unsigned port_out;
    enum verdict why;
    bool error;
    uint8_t type, code;
    uint32_t number; /* pointer or MTU */
    bool redirect;
};

/* ---- The judge ------------------------------------------------------------------------------- */

static struct fate dropped(enum verdict why)
{
    return (struct fate){ .end = DROPPED, .why = why };
}

static struct fate dropped_and_told(enum verdict why, uint8_t type, uint8_t code, uint32_t number)
{
    return (
        struct fate){ DROPPED, .why = why, .error = true, type, code, number, .redirect = false };
}

static bool is_group(const struct place *place)
{
    return place->kind == OUR_GROUP || place->kind == OTHER_GROUP;
}

/* RFC 8200 4.2 of the one option that may not be padding. */
static bool options_stop(const struct packet_plan *plan, const struct extension *extension,
                         unsigned at, struct fate *fate)
{
    unsigned i = 2;

    while (i < extension->length_bytes && extension->bytes[i] <= IPV6_OPTION_PADN)
        i += extension->bytes[i] == IPV6_OPTION_PAD1 ? 1u : 2u + extension->bytes[i + 1];
    if (i >= extension->length_bytes)
        return false;
    if (i + 2u + extension->bytes[i + 1] > extension->length_bytes) {
        *fate = dropped_and_told(DROP_IPV6_EXTENSION, ICMP6_PARAMETER_PROBLEM,
                                 ICMP6_ERRONEOUS_FIELD, at + i + 1);
        return true;
    }
    switch (extension->bytes[i] & 0xc0) {
    case 0x40:
        *fate = dropped(DROP_IPV6_DISCARD);
        return true;
    case 0xc0:
        if (is_group(&plan->destination)) {
            *fate = dropped(DROP_IPV6_DISCARD);
            return true;
        }
        break;
    case 0:
        return false;
    }
    *fate = dropped_and_told(DROP_IPV6_EXTENSION, ICMP6_PARAMETER_PROBLEM, ICMP6_UNKNOWN_OPTION,
                             at + i);
    return true;
}

static struct fate judge_delivery(const struct packet_plan *plan)
{
    unsigned at = IPV6_HEADER_BYTES;

    for (unsigned i = 0; i < plan->extension_count; i++) {
        const struct extension *extension = plan->extensions[i];
        struct fate fate;
        if (extension->protocol == PROTOCOL_DESTINATION_OPTIONS &&
            options_stop(plan, extension, at, &fate))
            return fate;
        if (extension->protocol == PROTOCOL_ROUTING && extension->bytes[3] > 0)
            return dropped_and_told(DROP_IPV6_EXTENSION, ICMP6_PARAMETER_PROBLEM,
                                    ICMP6_ERRONEOUS_FIELD, at + 2);
        at += extension->length_bytes;
    }
    return (struct fate){ .end = TO_US };
}

static struct fate judge_destination(const struct packet_plan *plan)
{
    bool is_mine = plan->destination.port == plan->port_in;

    switch (plan->destination.kind) {
    case OURS:
    case OUR_GROUP:
        return judge_delivery(plan);
    case LINK_OURS:
        if (is_mine)
            return judge_delivery(plan);
        return dropped_and_told(DROP_BEYOND_SCOPE, ICMP6_UNREACHABLE, ICMP6_BEYOND_SCOPE, 0);
    case LINK_HOST:
    case LINK_STRANGER:
        return dropped_and_told(DROP_BEYOND_SCOPE, ICMP6_UNREACHABLE, ICMP6_BEYOND_SCOPE, 0);
    case OTHER_GROUP:
        return dropped(DROP_MULTICAST);
    case UNSPECIFIED:
    case IMPOSSIBLE:
        return dropped(DROP_MARTIAN_DESTINATION);
    case NO_ROUTE:
        return dropped_and_told(DROP_NO_ROUTE, ICMP6_UNREACHABLE, ICMP6_NO_ROUTE, 0);
    case REJECT:
        return dropped_and_told(DROP_REJECT, ICMP6_UNREACHABLE, ICMP6_REJECT_ROUTE, 0);
    case BLACKHOLE:
        return dropped(DROP_BLACKHOLE);
    case ON_LINK:
    case FAR:
        break;
    }
    return (struct fate){ .end = FORWARDED, .port_out = plan->destination.port };
}

static unsigned length_of(const struct packet_plan *plan)
{
    unsigned length = IPV6_HEADER_BYTES + plan->payload_bytes;

    for (unsigned i = 0; i < plan->extension_count; i++)
        length += plan->extensions[i]->length_bytes;
    return length;
}

static struct fate judge_way(const struct packet_plan *plan)
{
    bool extension_first = plan->extension_count > 0;
    struct fate fate;

    if (plan->to_other_mac)
        return dropped(DROP_NOT_FOR_US);
    if (plan->other_version)
        return dropped(DROP_BAD_IPV6_HEADER);
    if (plan->cut)
        return dropped(DROP_TRUNCATED);
    uint8_t first = extension_first ? plan->extensions[0]->protocol : plan->protocol;
    if (extension_first && first == PROTOCOL_HOP_BY_HOP &&
        options_stop(plan, plan->extensions[0], IPV6_HEADER_BYTES, &fate))
        return fate;
    bool own = plan->source.kind == OURS ||
               (plan->source.kind == LINK_OURS && plan->source.port == plan->port_in);
    if (own || is_group(&plan->source) || plan->source.kind == IMPOSSIBLE)
        return dropped(DROP_MARTIAN_SOURCE);
    if (plan->link_multicast && !is_group(&plan->destination))
        return dropped(DROP_LINK_BROADCAST);
    fate = judge_destination(plan);
    if (fate.end != FORWARDED)
        return fate;
    if (plan->source.kind == UNSPECIFIED)
        return dropped(DROP_MARTIAN_SOURCE);
    if (plan->source.kind == LINK_HOST || plan->source.kind == LINK_STRANGER ||
        plan->source.kind == LINK_OURS)
        return dropped_and_told(DROP_BEYOND_SCOPE, ICMP6_UNREACHABLE, ICMP6_BEYOND_SCOPE, 0);
    if (first == PROTOCOL_HOP_BY_HOP || first == PROTOCOL_ROUTING)
        for (unsigned i = 0; i < plan->extension_count; i++)
            if (plan->extensions[i]->protocol == PROTOCOL_ROUTING &&
                plan->extensions[i]->bytes[2] == 0 && plan->extensions[i]->bytes[3] > 0)
                return dropped(DROP_SOURCE_ROUTE);
    if (plan->hop_limit <= 1)
        return dropped_and_told(DROP_TTL_EXPIRED, ICMP6_TIME_EXCEEDED, 0, 0);
    bool redirect = fate.port_out == plan->port_in && plan->destination.kind == ON_LINK &&
                    plan->source.kind == ON_LINK && plan->source.port == plan->port_in &&
                    strcmp(plan->source.text, plan->destination.text) != 0;
    unsigned mtu = fate.port_out == SMALL_PORT ? SMALL_MTU : MTU_DEFAULT;
    if (length_of(plan) > mtu)
        fate = dropped_and_told(DROP_FRAGMENT_NEEDED, ICMP6_PACKET_TOO_BIG, 0, mtu);
    fate.redirect = redirect;
    return fate;
}

/* RFC 4443 2.4 (e). */
static struct fate judge(const struct packet_plan *plan)
{
    struct fate fate = judge_way(plan);
    bool later = plan->extension_count > 0 &&
                 plan->extensions[plan->extension_count - 1]->protocol == PROTOCOL_FRAGMENT &&
                 plan->extensions[plan->extension_count - 1]->bytes[3] > 1;
    bool about_error = plan->protocol == PROTOCOL_ICMP6 && !later &&
                       (plan->icmp_type < 128 || plan->icmp_type == ICMP6_REDIRECT);
    bool may_be_to_group = fate.type == ICMP6_PACKET_TOO_BIG ||
                           (fate.type == ICMP6_PARAMETER_PROBLEM && fate.code == 2);
    bool to_group = is_group(&plan->destination) || plan->link_multicast;
    bool own = plan->source.kind == OURS ||
               (plan->source.kind == LINK_OURS && plan->source.port == plan->port_in);
    bool from_station = !is_group(&plan->source) && plan->source.kind != UNSPECIFIED &&
                        plan->source.kind != IMPOSSIBLE && !own;

    if (about_error || (to_group && !may_be_to_group) || !from_station)
        fate.error = fate.redirect = false;
    return fate;
}

/* ---- Packets --------------------------------------------------------------------------------- */

static uint64_t seed = 11;

static unsigned below(unsigned limit)
{
    return random_below(&seed, limit);
}

static bool one_in(unsigned count)
{
    return below(count) == 0;
}

static bool is_ours(const struct packet_plan *plan)
{
    return plan->destination.kind == OURS || plan->destination.kind == OUR_GROUP ||
           plan->destination.kind == LINK_OURS;
}

static struct packet_plan make_plan(unsigned port_in)
{
    static const uint8_t hop_limits[] = { 0, 1, 2, 64, 64, 64, 255 };
    struct packet_plan plan = { .port_in = port_in };
    static const uint8_t protocols[] = { PROTOCOL_UDP, PROTOCOL_ICMP6, 200,
                                         PROTOCOL_NO_NEXT_HEADER };

    plan.source = places[one_in(3) ? below(ARRAY_COUNT(places)) : below(4)];
    plan.destination = places[one_in(2) ? below(ARRAY_COUNT(places)) : below(5)];
    plan.hop_limit = hop_limits[below(ARRAY_COUNT(hop_limits))];
    plan.protocol = protocols[below(ARRAY_COUNT(protocols))];
    plan.icmp_type = one_in(2) ? ICMP6_TIME_EXCEEDED : one_in(4) ? ICMP6_REDIRECT : 200;
    plan.payload_bytes = one_in(8) ? (uint16_t)(1300 + below(160)) : (uint16_t)(8 + below(60));
    if (one_in(3))
        plan.extensions[plan.extension_count++] = &extensions[below(ARRAY_COUNT(extensions))];
    if (plan.extension_count > 0 && plan.extensions[0]->protocol == PROTOCOL_HOP_BY_HOP &&
        one_in(2)) {
        do
            plan.extensions[1] = &extensions[below(ARRAY_COUNT(extensions))];
        while (plan.extensions[1]->protocol == PROTOCOL_HOP_BY_HOP);
        plan.extension_count = 2;
    }
    plan.other_version = one_in(30);
    plan.cut = one_in(30);
    plan.to_other_mac = one_in(30) && !is_group(&plan.destination);
    plan.link_multicast = one_in(30) && !plan.to_other_mac;
    if (is_ours(
            &plan)) { /* what it delivers to is not judged here; pieces wait to be put together */
        plan.protocol = PROTOCOL_NO_NEXT_HEADER;
        for (unsigned i = 0; i < plan.extension_count; i++)
            if (plan.extensions[i]->protocol == PROTOCOL_FRAGMENT)
                plan.extension_count = i;
    }
    return plan;
}

static struct lab_frame make_frame(const struct packet_plan *plan, unsigned number)
{
    uint8_t bytes[48];
    unsigned length = 0;

    for (unsigned i = 0; i < plan->extension_count; i++) {
        memcpy(bytes + length, plan->extensions[i]->bytes, plan->extensions[i]->length_bytes);
        bytes[length] =
            i + 1 < plan->extension_count ? plan->extensions[i + 1]->protocol : plan->protocol;
        length += plan->extensions[i]->length_bytes;
    }
    struct lab_frame frame = lab6_frame(
        plan->port_in,
        &(struct lab6_packet){ .source = plan->source.text,
                               .destination = plan->destination.text,
                               .protocol = plan->extension_count > 0 ? plan->extensions[0]->protocol
                                                                     : plan->protocol,
                               .extensions = bytes,
                               .extension_bytes = length,
                               .payload_bytes = plan->payload_bytes });
    lab6_header(&frame)->hop_limit = plan->hop_limit;
    lab6_payload(&frame)[length] = plan->icmp_type;
    store_be32(lab6_payload(&frame) + length + 4, number); /* to tell them apart */
    if (plan->other_version)
        frame.bytes[14] = 0x70;
    if (plan->cut)
        frame.length_bytes--;
    if (plan->to_other_mac)
        frame.bytes[4] ^= 0x10;
    if (plan->link_multicast && !is_group(&plan->destination))
        memcpy(frame.bytes, (uint8_t[]){ 0x33, 0x33, 0, 0, 0, 1 }, 6);
    return frame;
}

/* ---- What came of it ---------------------------------------------------------------------------
 */

struct expected {
    struct packet_plan plan;
    struct fate fate;
    struct lab_frame frame;
    bool left, told, redirected;
};

/* By which port we answer that source, which came in there; false: we cannot. */
static bool answer_port(const struct packet_plan *plan, unsigned *port)
{
    switch (plan->source.kind) {
    case ON_LINK:
    case FAR:
        *port = plan->source.port;
        return true;
    case LINK_HOST:
        *port = plan->port_in;
        return true;
    default:
        return false;
    }
}

static bool is_forwarded(const struct expected *one, unsigned port, struct lab_frame *out)
{
    struct lab_frame wish = one->frame;

    if (one->fate.end != FORWARDED || one->left || one->fate.port_out != port ||
        out->length_bytes != wish.length_bytes)
        return false;
    lab6_header(&wish)->hop_limit--;
    return memcmp(out->bytes + 14, wish.bytes + 14, wish.length_bytes - 14) == 0 &&
           mac_equal(out->bytes, lab_host_mac(port, 2));
}

static bool is_error_about(const struct expected *one, unsigned port, struct lab_frame *out)
{
    struct icmp6_header icmp;
    size_t quoted = MIN_OF(length_of(&one->plan), 1232u);
    unsigned answer;

    memcpy(&icmp, lab6_payload(out), sizeof(icmp));
    return one->fate.error && !one->told && answer_port(&one->plan, &answer) && answer == port &&
           icmp.type == one->fate.type && icmp.code == one->fate.code &&
           icmp.unused == __builtin_bswap32(one->fate.number) &&
           lab6_payload_bytes(out) == 8 + quoted &&
           memcmp(lab6_payload(out) + 8, one->frame.bytes + 14, quoted) == 0;
}

static bool is_redirect_about(const struct expected *one, unsigned port, struct lab_frame *out)
{
    struct nd_redirect redirect;

    return one->fate.redirect && !one->redirected && one->plan.port_in == port &&
           lab6_payload(out)[0] == ICMP6_REDIRECT &&
           nd_redirect_read(lab6_header(out), lab6_payload(out), lab6_payload_bytes(out),
                            &redirect) == OK &&
           redirect.redirected_bytes >= 48 &&
           memcmp(redirect.redirected, one->frame.bytes + 14, redirect.redirected_bytes) == 0;
}

static void account(struct expected *expected, unsigned count, unsigned port, struct lab_frame *out)
{
    bool ours = lab6_header(out)->next_header == PROTOCOL_ICMP6 &&
                icmp6_is_good(lab6_payload(out), lab6_payload_bytes(out), lab6_header(out)->source,
                              lab6_header(out)->destination);

    if (ours && (lab6_payload(out)[0] == ICMP6_NEIGHBOR_SOLICITATION ||
                 lab6_payload(out)[0] == ICMP6_NEIGHBOR_ADVERTISEMENT))
        return;
    for (unsigned i = 0; i < count; i++) {
        struct expected *one = &expected[i];
        if (is_forwarded(one, port, out)) {
            one->left = true;
            return;
        }
        if (ours && is_error_about(one, port, out)) {
            one->told = true;
            return;
        }
        if (ours && is_redirect_about(one, port, out)) {
            one->redirected = true;
            return;
        }
    }
    const struct ipv6_header *quoted = (const void *)(lab6_payload(out) + 8);
    const struct address source = address_of_ipv6(quoted->source);
    const struct address destination = address_of_ipv6(quoted->destination);
    char source_text[ADDRESS_TEXT_MAX], destination_text[ADDRESS_TEXT_MAX];
    test_fail(__FILE__, __LINE__,
              "nobody expects a frame of type %u, code %u, number %u by eth%u, about %s to %s",
              lab6_payload(out)[0], lab6_payload(out)[1], load_be32(lab6_payload(out) + 4), port,
              address_text(&source, source_text), address_text(&destination, destination_text));
}

static void expect_all(const struct expected *expected, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct expected *one = &expected[i];
        unsigned port;
        const char *missing = one->fate.end == FORWARDED && !one->left ? "the packet"
                              : one->fate.error && !one->told && answer_port(&one->plan, &port)
                                  ? "an error"
                              : one->fate.redirect && !one->redirected ? "a redirect"
                                                                       : NULL;
        if (missing)
            test_fail(__FILE__, __LINE__, "%s is missing: %s to %s, hop limit %u, %s", missing,
                      one->plan.source.text, one->plan.destination.text, one->plan.hop_limit,
                      drop_reasons[one->fate.why].id);
    }
}

static void confirm(struct lab *lab, unsigned port, const char *host, const char *us)
{
    struct lab_frame frame = lab6_solicitation(port, host, us, us, lab_host_mac(port, 2));

    lab_put(lab, port, &frame);
    lab_step(lab, 2);
    frame = lab6_advertisement(port, host, us, host, lab_host_mac(port, 2),
                               (struct advertised){ .solicited = true, .override = true });
    lab_put(lab, port, &frame);
    lab_step(lab, 2);
}

/* All hosts are reachable, whoever is asked for. */
static void confirm_all(struct lab *lab)
{
    static const char *const hosts[] = { "2001:db8:0::2", "2001:db8:1::2", "2001:db8:2::2" };
    static const char *const us[] = { "2001:db8:0::1", "2001:db8:1::1", "2001:db8:2::1" };

    for (unsigned port = 0; port < PORTS; port++) {
        confirm(lab, port, hosts[port], us[port]);
        confirm(lab, port, "fe80::2", us[port]);
    }
    lab6_forget_frames(lab);
}

static void one_round(struct lab *lab)
{
    static struct expected expected[BATCH];
    unsigned port_in = below(PORTS), count = 1 + below(BATCH);
    uint64_t wish[VERDICT_COUNT] = { 0 };
    struct port_counters before = lab_counters(lab, port_in);
    struct lab_frame out;
    unsigned number = below(1 << 30), delivered = 0;

    for (unsigned i = 0; i < count; i++) {
        struct packet_plan plan = make_plan(port_in);
        expected[i] = (struct expected){ .plan = plan, .fate = judge(&plan) };
        expected[i].frame = make_frame(&plan, number + i);
        lab_put(lab, port_in, &expected[i].frame);
        if (expected[i].fate.end == DROPPED)
            wish[expected[i].fate.why]++;
        delivered += expected[i].fate.end == TO_US;
    }
    lab_step(lab, 6);
    for (unsigned port = 0; port < PORTS; port++)
        while (lab_take(lab, port, &out))
            account(expected, count, port, &out);
    expect_all(expected, count);
    struct port_counters after = lab_counters(lab, port_in);
    for (unsigned why = 0; why < VERDICT_COUNT; why++)
        if (after.dropped[why] - before.dropped[why] != wish[why])
            test_fail(__FILE__, __LINE__, "%llu were dropped as %s, expected %llu",
                      (unsigned long long)(after.dropped[why] - before.dropped[why]),
                      drop_reasons[why].id, (unsigned long long)wish[why]);
    EXPECT_EQUAL(after.delivered - before.delivered, delivered);
    lab_wait(lab, 20); /* the allowance of errors fills again */
}

TEST(random6_packets_fare_as_a_naive_judge_says)
{
    struct lab lab = lab6_create(1, PORTS);

    lab_interface(&lab, "eth2", false, SMALL_MTU);
    lab_route_kind(&lab, "2001:db8:50::/48", ROUTE_REJECT);
    lab_route_kind(&lab, "2001:db8:51::/48", ROUTE_BLACKHOLE);
    lab_route(&lab, "2001:db8:aaaa::/47", "2001:db8:1::2");
    lab_commit(&lab);
    lab_wait(&lab, 1500);
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (round % 100 == 0)
            confirm_all(&lab);
        one_round(&lab);
    }
    lab_wait(&lab, 5000);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}
