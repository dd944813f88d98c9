/* The third stage, and the one place where a packet gets its Ethernet header: one less to live, and
 * the next hop's header in front. What has no neighbor yet, or is too long, is set aside whole: its
 * header is as it came, for the ICMP error that may quote it. */
#include <string.h>

#include "net/neighbor.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"

/* RFC 1812 4.2.2.7. */
static enum verdict too_long(struct packet *packet, const struct ipv4_header *header)
{
    if (ipv4_fragment(header) & IPV4_DONT_FRAGMENT)
        return DROP_FRAGMENT_NEEDED;
    packet->purpose = MAIL_FRAGMENT;
    return TAKEN;
}

/* RFC 8200 5: nobody cuts on the way. */
static enum verdict too_long6(struct packet *packet)
{
    if (!(packet->flags & PACKET_LOCAL) || packet->flags & PACKET_DONT_FRAGMENT)
        return DROP_FRAGMENT_NEEDED;
    packet->purpose = MAIL_FRAGMENT;
    return TAKEN;
}

/* What is ours has no Ethernet header yet, but headroom. */
bool frame_write_header(struct packet *packet, const struct adjacency *adjacency)
{
    uint32_t missing = ETHERNET_HEADER_BYTES - (uint32_t)packet->network_offset;

    if (missing > 0 && !packet_push(packet, missing))
        return false;
    packet->network_offset = ETHERNET_HEADER_BYTES;
    memcpy(packet->data, adjacency->header, ETHERNET_HEADER_BYTES);
    return true;
}

/* A packet for which route has found no record, or has not looked for one. */
static enum verdict rewrite_carefully(struct core *core, struct packet *packet)
{
    struct ipv4_header *header = (void *)(packet->data + packet->network_offset);
    struct adjacency *adjacency =
        neighbor_lookup_ipv4(core->router->neighbors, packet->port_out, packet->next_hop_be);

    if (!adjacency) {
        packet->purpose = MAIL_RESOLVE;
        return TAKEN;
    }
    if (packet->network_length_bytes > packet->mtu_bytes)
        return too_long(packet, header);
    neighbor_touch(adjacency);
    if (packet->network_offset == ETHERNET_HEADER_BYTES) /* else ours: no header, full TTL */
        ipv4_decrement_ttl(header);
    return frame_write_header(packet, adjacency) ? PASS : DROP_NO_BUFFER;
}

/* Likewise of IPv6. */
static enum verdict rewrite6_carefully(struct core *core, struct packet *packet)
{
    struct ipv6_header *header = (void *)(packet->data + packet->network_offset);
    const struct address next_hop = address_of_ipv6(packet->next_hop);
    struct adjacency *adjacency =
        neighbor_lookup(core->router->neighbors, packet->port_out, &next_hop);

    if (!adjacency) {
        packet->purpose = MAIL_RESOLVE;
        return TAKEN;
    }
    if (packet->network_length_bytes > packet->mtu_bytes)
        return too_long6(packet);
    neighbor_touch(adjacency);
    if (packet->network_offset == ETHERNET_HEADER_BYTES)
        header->hop_limit--;
    return frame_write_header(packet, adjacency) ? PASS : DROP_NO_BUFFER;
}

static RARE void rewrite_others(struct core *core, struct batch *batch, struct findings *findings,
                                uint64_t others,
                                enum verdict (*carefully)(struct core *core, struct packet *packet))
{
    uint16_t first_port = batch->packets[0]->port_out;

    while (others != 0) {
        unsigned i = bits_take_first(&others);
        struct packet *packet = batch->packets[i];
        uint16_t port_out = packet->port_out;
        enum verdict verdict = carefully(core, packet);

        findings->ports_differ |= port_out ^ first_port;
        if (verdict == PASS)
            findings->length_bytes += packet->frame_length_bytes;
        stage_conclude(core, batch, findings, i, verdict);
    }
    stage_finish(batch, findings);
}

/* Inlined into each family's, where `ipv6` is a constant. */
static inline void rewrite(struct core *core, struct batch *batch, struct findings *findings,
                           bool ipv6)
{
    const unsigned count = batch->count;
    uint64_t others = 0, length_bytes = 0;
    uint16_t ports_differ = 0;

    if (count == 0)
        return;
    const uint16_t first_port = batch->packets[0]->port_out;
    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = batch->packets[i];
        struct adjacency *adjacency = findings->adjacencies[i];
        uint8_t *frame = packet->data;

        if (UNLIKELY(!adjacency)) {
            others |= bit_of(i);
            continue;
        }
        neighbor_touch(adjacency);
        memcpy(frame, adjacency->header, ETHERNET_HEADER_BYTES);
        if (ipv6)
            ((struct ipv6_header *)(void *)(frame + ETHERNET_HEADER_BYTES))->hop_limit--;
        else
            ipv4_decrement_ttl((void *)(frame + ETHERNET_HEADER_BYTES));
        length_bytes += packet->frame_length_bytes;
        ports_differ |= packet->port_out ^ first_port;
    }
    findings->length_bytes = length_bytes;
    findings->ports_differ = ports_differ;
    if (UNLIKELY(others != 0))
        rewrite_others(core, batch, findings, others,
                       ipv6 ? rewrite6_carefully : rewrite_carefully);
}

void rewrite_batch(struct core *core, struct batch *batch, struct findings *findings)
{
    rewrite(core, batch, findings, false);
}

void rewrite6_batch(struct core *core, struct batch *batch, struct findings *findings)
{
    rewrite(core, batch, findings, true);
}
