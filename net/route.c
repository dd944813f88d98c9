/* The second stage: where a packet goes. All destinations of a batch are looked up together; then
 * each packet gets the port, the next hop and the MTU of its way out, is set aside for our own
 * stack, or is dropped: RFC 1812 5.2.1, 5.3.7.
 *
 * Usually the answer is one gateway whose record the view has at hand, and then that is all. */
#include "kernel/base/bytes.h"
#include "net/fib4.h"
#include "net/forwarding.h"
#include "net/neighbor.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"

static inline const struct ipv4_header *header_of(const struct packet *packet)
{
    return (const void *)(packet->data + packet->network_offset);
}

/* RFC 1812 5.3.7. 0.0.0.0 asks for its first address, which goes to the limited broadcast alone. */
static enum verdict check_source(const struct forwarding *view, uint32_t source_be,
                                 enum next_hop_kind destination)
{
    if (source_be == 0 && destination == NEXT_HOP_LIMITED_BROADCAST)
        return PASS;
    if (!ipv4_is_station(source_be))
        return DROP_MARTIAN_SOURCE;
    if (!forwarding_source_is_suspect(view, source_be))
        return PASS;
    enum next_hop_kind kind = forwarding_kind_ipv4(view, source_be);
    if (kind == NEXT_HOP_LOCAL || kind == NEXT_HOP_BROADCAST)
        return DROP_MARTIAN_SOURCE;
    return PASS;
}

static enum verdict to_us(struct packet *packet)
{
    packet->purpose = MAIL_LOCAL;
    return TAKEN;
}

/* All that does not leave by a port. */
static enum verdict route_inward(const struct packet *packet, const struct next_hop *next_hop)
{
    bool ours = packet->flags & PACKET_LOCAL;

    switch ((enum next_hop_kind)next_hop->kind) {
    case NEXT_HOP_LOCAL:
        return TAKEN;
    case NEXT_HOP_LOOPBACK:
        return ours ? TAKEN : DROP_MARTIAN_DESTINATION;
    case NEXT_HOP_BROADCAST:
        /* RFC 2644: not into a net from outside. Arriving from there it is for us, too. */
        return packet->port_in == next_hop->port ? TAKEN : DROP_DIRECTED_BROADCAST;
    case NEXT_HOP_LIMITED_BROADCAST:
        return ours ? DROP_DIRECTED_BROADCAST : TAKEN;
    case NEXT_HOP_MULTICAST:
        return DROP_MULTICAST; /* no group of ours yet */
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

static bool is_broadcast_kind(enum next_hop_kind kind)
{
    return kind == NEXT_HOP_BROADCAST || kind == NEXT_HOP_LIMITED_BROADCAST ||
           kind == NEXT_HOP_MULTICAST;
}

/* Which of several gateways: the same for all packets of a flow, in both directions. Fragments
 * have no ports, so they and what travels with them go by addresses alone. */
static uint16_t choose_gateway(struct packet *packet, const struct ipv4_header *header,
                               const struct next_hop *next_hop)
{
    uint32_t hash = header->source_be ^ header->destination_be ^ header->protocol;
    bool has_ports = header->protocol == PROTOCOL_TCP || header->protocol == PROTOCOL_UDP;

    if (has_ports && !ipv4_is_fragment(header) &&
        packet->network_length_bytes >= packet->header_length_bytes + 4u &&
        packet->length_bytes >= packet->network_offset + packet->header_length_bytes + 4u) {
        const uint8_t *ports = (const uint8_t *)header + packet->header_length_bytes;
        hash ^= (uint32_t)(load_be16(ports) ^ load_be16(ports + 2)) << 8;
    }
    hash *= 0x9e3779b1u; /* Fibonacci hashing: the high bits are the good ones */
    unsigned chosen = ((hash >> 16) * next_hop->gateway_count) >> 16;
    packet->next_hop_be = address_ipv4_be(&next_hop->gateways[chosen]);
    return next_hop->gateway_ports[chosen];
}

/* RFC 1812 5.2.7.2: a sender on the same net as the next hop could reach it himself. The packet
 * goes on all the same. */
static void consider_redirect(struct core *core, const struct packet *packet,
                              const struct ipv4_header *header)
{
    const struct forwarding *view = core->forwarding;
    uint16_t port = packet->port_in;

    if (header->source_be != packet->next_hop_be &&
        forwarding_is_connected_ipv4(view, port, header->source_be) &&
        forwarding_source_ipv4(view, port, header->source_be) ==
            forwarding_source_ipv4(view, port, packet->next_hop_be))
        datapath_redirect(core, packet);
}

/* Any packet. */
static enum verdict route_carefully(struct core *core, struct packet *packet,
                                    const struct next_hop *next_hop)
{
    const struct forwarding *view = core->forwarding;
    const struct ipv4_header *header = header_of(packet);
    bool ours = packet->flags & PACKET_LOCAL;

    packet->next_hop_be = header->destination_be;
    if (!ours) {
        enum verdict verdict = check_source(view, header->source_be, next_hop->kind);
        if (verdict != PASS)
            return verdict;
        /* RFC 1122 3.3.6, RFC 1812 5.3.4. */
        if (packet->flags & (PACKET_LINK_BROADCAST | PACKET_LINK_MULTICAST) &&
            !is_broadcast_kind(next_hop->kind))
            return DROP_LINK_BROADCAST;
    }
    if (next_hop->kind < NEXT_HOP_CONNECTED) {
        enum verdict verdict = route_inward(packet, next_hop);
        return verdict == TAKEN ? to_us(packet) : verdict;
    }
    packet->port_out = next_hop->port;
    if (next_hop->kind == NEXT_HOP_GATEWAY) {
        packet->next_hop_be = address_ipv4_be(&next_hop->gateways[0]);
        if (next_hop->gateway_count > 1)
            packet->port_out = choose_gateway(packet, header, next_hop);
    }
    packet->mtu_bytes = view->ports[packet->port_out].mtu_bytes;
    if (ours)
        return PASS;
    if (header->ttl <= 1) /* RFC 1812 5.3.1: only what is forwarded pays */
        return DROP_TTL_EXPIRED;
    if (packet->port_in == packet->port_out)
        consider_redirect(core, packet, header);
    return PASS;
}

/* A plain packet to a net that is connected, or any other whose answer is not at hand. */
static bool route_connected(const struct core *core, struct packet *packet,
                            const struct next_hop *next_hop, struct findings *findings, unsigned i)
{
    if (findings->unusual & bit_of(i) || next_hop->kind != NEXT_HOP_CONNECTED ||
        next_hop->port == packet->port_in)
        return false;
    packet->port_out = next_hop->port;
    findings->adjacencies[i] =
        neighbor_lookup_ipv4(core->router->neighbors, next_hop->port, findings->destinations_be[i]);
    return findings->adjacencies[i] != NULL;
}

/* Those of a batch whose answer is not at hand. */
static RARE void route_others(struct core *core, struct batch *batch, struct findings *findings,
                              uint64_t others)
{
    while (others != 0) {
        unsigned i = bits_take_first(&others);
        struct packet *packet = batch->packets[i];
        const struct next_hop *next_hop = &core->forwarding->ipv4.next_hops[findings->next_hops[i]];

        if (!(findings->unusual & bit_of(i)))
            packet->network_length_bytes = (uint16_t)(packet->length_bytes - ETHERNET_HEADER_BYTES);
        if (route_connected(core, packet, next_hop, findings, i))
            continue;
        findings->adjacencies[i] = NULL;
        stage_conclude(core, batch, findings, i, route_carefully(core, packet, next_hop));
    }
    stage_finish(batch, findings);
}

void route_batch(struct core *core, struct batch *batch, struct findings *findings)
{
    const struct forwarding *view = core->forwarding;
    const unsigned count = batch->count;
    uint64_t others = findings->unusual;

    fib4_lookup_batch(view->fib4, findings->destinations_be, findings->next_hops, count);
    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = batch->packets[i];
        struct adjacency *adjacency = next_hop_adjacency(&view->ipv4, findings->next_hops[i]);

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
