/* The second stage of IPv6: where does it go? One question to the FIB for the whole batch; what is
 * plain and leads to a gateway that is known is done with that. */
#include <string.h>

#include "kernel/base/bytes.h"
#include "net/fib6.h"
#include "net/forwarding.h"
#include "net/neighbor.h"
#include "net/path_mtu.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "net/wire/nd.h"

static const struct ipv6_header *header_of(const struct packet *packet)
{
    return (const void *)(packet->data + packet->network_offset);
}

static enum verdict to_us(struct packet *packet)
{
    packet->purpose = MAIL_LOCAL;
    return TAKEN;
}

/* RFC 4291 2.5.2, 2.5.3, 2.7: what nobody may have as his source. From :: and from link-local
 * addresses packets may come to us, but go no further (route_carefully). */
static enum verdict check_source(const struct core *core, const struct packet *packet,
                                 const uint8_t *source)
{
    const struct address address = address_of_ipv6(source);

    if (ipv6_is_multicast(source) || ipv6_is_loopback(source) || ipv6_is_v4_mapped(source))
        return DROP_MARTIAN_SOURCE;
    if (ipv6_is_unspecified(source))
        return PASS;
    if (ipv6_is_link_local(source))
        return forwarding_is_own_on(core->forwarding, packet->port_in, &address)
                   ? DROP_MARTIAN_SOURCE
                   : PASS;
    return forwarding_kind(core->forwarding, &address) == NEXT_HOP_LOCAL ? DROP_MARTIAN_SOURCE
                                                                         : PASS;
}

/* All that does not leave by a port. */
static enum verdict route_inward(const struct core *core, struct packet *packet,
                                 const struct next_hop *next_hop)
{
    const struct ipv6_header *header = header_of(packet);
    const struct address destination = address_of_ipv6(header->destination);
    bool ours = packet->flags & PACKET_LOCAL;

    switch ((enum next_hop_kind)next_hop->kind) {
    case NEXT_HOP_LOCAL:
        return to_us(packet);
    case NEXT_HOP_LOOPBACK:
        return ours ? to_us(packet) : DROP_MARTIAN_DESTINATION;
    case NEXT_HOP_LINK_LOCAL:
        return !ours && forwarding_is_own_on(core->forwarding, packet->port_in, &destination)
                   ? to_us(packet)
                   : DROP_BEYOND_SCOPE;
    case NEXT_HOP_MULTICAST:
        return !ours && forwarding_is_own_group(core->forwarding, packet->port_in,
                                                header->destination)
                   ? to_us(packet)
                   : DROP_MULTICAST;
    case NEXT_HOP_MARTIAN:
        return DROP_MARTIAN_DESTINATION;
    case NEXT_HOP_BLACKHOLE:
        return DROP_BLACKHOLE;
    case NEXT_HOP_REJECT:
        return DROP_REJECT;
    default:
        return DROP_NO_ROUTE;
    }
}

/* Which of several gateways: the same for all packets of a flow, in both directions. Fragments, and
 * what has extension headers, go by addresses alone. */
static unsigned choose_gateway(const struct packet *packet, const struct next_hop *next_hop)
{
    const struct ipv6_header *header = header_of(packet);
    uint64_t mixed = load_le64(header->source) ^ load_le64(header->source + 8) ^
                     load_le64(header->destination) ^ load_le64(header->destination + 8) ^
                     header->next_header;
    bool has_ports = header->next_header == PROTOCOL_TCP || header->next_header == PROTOCOL_UDP;

    if (has_ports && packet->length_bytes >= packet->network_offset + IPV6_HEADER_BYTES + 4u) {
        const uint8_t *ports = (const uint8_t *)header + IPV6_HEADER_BYTES;
        mixed ^= (uint64_t)(load_be16(ports) ^ load_be16(ports + 2)) << 32;
    }
    uint32_t hash = (uint32_t)(mixed * 0x9e3779b97f4a7c15 >> 48); /* Fibonacci hashing */
    return hash * next_hop->gateway_count >> 16;
}

/* The way out: port and next hop. */
static void leave_by(struct packet *packet, const struct next_hop *next_hop)
{
    const uint8_t *to = header_of(packet)->destination;

    packet->port_out = next_hop->port;
    if (next_hop->kind == NEXT_HOP_GATEWAY) {
        unsigned chosen = next_hop->gateway_count > 1 ? choose_gateway(packet, next_hop) : 0;
        packet->port_out = next_hop->gateway_ports[chosen];
        to = next_hop->gateways[chosen].bytes;
    }
    memmove(packet->next_hop, to, sizeof(packet->next_hop));
}

/* What the way out carries. What is ours is cut for the whole path (RFC 8201); what is short fits
 * every path. */
static uint16_t mtu_of_way(const struct core *core, const struct packet *packet)
{
    uint16_t link_mtu_bytes = core->forwarding->ports[packet->port_out].ipv6_mtu_bytes;

    if (!(packet->flags & PACKET_LOCAL) || packet->network_length_bytes <= IPV6_MINIMUM_MTU)
        return link_mtu_bytes;
    return path_mtu(core->router->path_mtus, header_of(packet)->destination, link_mtu_bytes,
                    core->now_ns);
}

/* RFC 4861 8.2: a sender on the same link as the next hop could reach it himself. The packet goes
 * on all the same. */
static void consider_redirect(struct core *core, const struct packet *packet)
{
    const struct address source = address_of_ipv6(header_of(packet)->source);

    if (!ipv6_equal(source.bytes, packet->next_hop) &&
        forwarding_is_connected(core->forwarding, packet->port_in, &source))
        datapath_redirect(core, packet);
}

/* What is ours and must leave by a certain port: to a station on that link, maybe ourselves. */
static enum verdict route_on_link(const struct core *core, struct packet *packet)
{
    const uint8_t *destination = header_of(packet)->destination;
    const struct address address = address_of_ipv6(destination);

    if (forwarding_is_own_on(core->forwarding, packet->port_out, &address))
        return to_us(packet);
    if (!core->forwarding->ports[packet->port_out].up)
        return DROP_PORT_DOWN;
    if (ipv6_is_multicast(destination))
        return DROP_MULTICAST; /* groups are spoken to by whole frames: nd.c */
    memcpy(packet->next_hop, destination, sizeof(packet->next_hop));
    packet->mtu_bytes = core->forwarding->ports[packet->port_out].ipv6_mtu_bytes;
    return PASS;
}

/* RFC 5095: no destination follows a routing header of type 0 any more, and we carry no more of
 * them to those that still do. Without segments left it asks for nothing. */
static bool is_source_routed(const struct packet *packet)
{
    const struct ipv6_header *header = header_of(packet);
    struct ipv6_headers headers;

    if (header->next_header != PROTOCOL_HOP_BY_HOP && header->next_header != PROTOCOL_ROUTING)
        return false;
    return ipv6_headers_walk(header, packet->length_bytes - packet->network_offset, IPV6_TO_QUOTE,
                             &headers) == IPV6_CHAIN_GOOD &&
           headers.has_routing && headers.routing_type == 0 && headers.segments_left > 0;
}

/* RFC 4861 7.3.3, 7.2.8: whether a neighbor is still there, he himself is asked; for whom we answer
 * first, we must answer then, too. It would not arrive with a hop limit less. */
static bool is_asked_of_proxy(const struct core *core, const struct packet *packet)
{
    const struct ipv6_header *header = header_of(packet);
    const struct address destination = address_of_ipv6(header->destination);
    const uint8_t *message = (const uint8_t *)header + IPV6_HEADER_BYTES;

    return header->next_header == PROTOCOL_ICMP6 && header->hop_limit == ND_HOP_LIMIT &&
           packet->length_bytes > packet->network_offset + (uint32_t)IPV6_HEADER_BYTES &&
           message[0] == ICMP6_NEIGHBOR_SOLICITATION &&
           forwarding_is_proxied(core->forwarding, packet->port_in, &destination);
}

/* Any packet. */
static enum verdict route_carefully(struct core *core, struct packet *packet,
                                    const struct next_hop *next_hop)
{
    const struct ipv6_header *header = header_of(packet);
    bool ours = packet->flags & PACKET_LOCAL;

    if (ours && packet->port_out != PORT_NONE)
        return route_on_link(core, packet);
    if (!ours) {
        enum verdict verdict = check_source(core, packet, header->source);
        if (verdict != PASS)
            return verdict;
        /* A group frame carries packets to groups alone: RFC 1122 3.3.6's reason is IPv6's, too. */
        if (packet->flags & (PACKET_LINK_BROADCAST | PACKET_LINK_MULTICAST) &&
            !ipv6_is_multicast(header->destination))
            return DROP_LINK_BROADCAST;
    }
    if (next_hop->kind < NEXT_HOP_CONNECTED)
        return route_inward(core, packet, next_hop);
    if (!ours && is_asked_of_proxy(core, packet))
        return to_us(packet);
    if (!ours && ipv6_is_unspecified(header->source))
        return DROP_MARTIAN_SOURCE;
    if (!ours && ipv6_is_link_local(header->source)) /* RFC 4291 2.5.6 */
        return DROP_BEYOND_SCOPE;
    if (!ours && is_source_routed(packet))
        return DROP_SOURCE_ROUTE;
    leave_by(packet, next_hop);
    packet->mtu_bytes = mtu_of_way(core, packet);
    if (ours)
        return PASS;
    if (header->hop_limit <= 1)
        return DROP_TTL_EXPIRED;
    if (packet->port_in == packet->port_out)
        consider_redirect(core, packet);
    return PASS;
}

/* A plain packet to a net that is connected, or any other whose answer is not at hand. */
static bool route_connected(const struct core *core, struct packet *packet,
                            const struct next_hop *next_hop, struct findings *findings, unsigned i)
{
    if (findings->unusual & bit_of(i) || next_hop->kind != NEXT_HOP_CONNECTED ||
        next_hop->port == packet->port_in)
        return false;
    const struct address destination = address_of_ipv6(findings->destinations[i]);
    packet->port_out = next_hop->port;
    findings->adjacencies[i] =
        neighbor_lookup(core->router->neighbors, next_hop->port, &destination);
    return findings->adjacencies[i] != NULL;
}

/* Those of a batch whose answer is not at hand. */
static RARE void route_others(struct core *core, struct batch *batch, struct findings *findings,
                              uint64_t others)
{
    while (others != 0) {
        unsigned i = bits_take_first(&others);
        struct packet *packet = batch->packets[i];
        const struct next_hop *next_hop = &core->forwarding->ipv6.next_hops[findings->next_hops[i]];

        if (!(findings->unusual & bit_of(i)))
            packet->network_length_bytes = (uint16_t)(packet->length_bytes - ETHERNET_HEADER_BYTES);
        if (route_connected(core, packet, next_hop, findings, i))
            continue;
        findings->adjacencies[i] = NULL;
        stage_conclude(core, batch, findings, i, route_carefully(core, packet, next_hop));
    }
    stage_finish(batch, findings);
}

static void look_up(const struct core *core, const struct batch *batch, struct findings *findings)
{
    fib6_lookup_batch(core->forwarding->fib6, (const uint8_t(*)[16])findings->destinations,
                      findings->next_hops, batch->count);
}

void route6_batch(struct core *core, struct batch *batch, struct findings *findings)
{
    const struct forwarding *view = core->forwarding;
    const unsigned count = batch->count;
    uint64_t others = findings->unusual;

    look_up(core, batch, findings);
    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = batch->packets[i];
        struct adjacency *adjacency = next_hop_adjacency(&view->ipv6, findings->next_hops[i]);

        if (UNLIKELY(!adjacency || adjacency->port == packet->port_in)) {
            others |= bit_of(i);
            continue;
        }
        packet->port_out = adjacency->port;
        findings->adjacencies[i] = adjacency;
    }
    if (UNLIKELY(others != 0))
        route_others(core, batch, findings, others);
}

void route6_originated(struct core *core, struct batch *batch, struct findings *findings)
{
    look_up(core, batch, findings);
    route_others(core, batch, findings, findings->unusual);
}
