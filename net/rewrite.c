/* The third stage, and the one place where a packet gets its Ethernet header: one less to live, and
 * the next hop's header in front. What has no neighbor yet, or is too long, is set aside whole: its
 * header is as it came, for the ICMP error that may quote it. */
#include <string.h>

#include "net/neighbor.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"

/* RFC 1812 4.2.2.7. */
static RARE enum verdict too_long(struct packet *packet, const struct ipv4_header *header)
{
    if (ipv4_fragment(header) & IPV4_DONT_FRAGMENT)
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

/* Packets of a batch often go the same way, so the last answer is asked first. It is good until
 * this core's next quiescent point, and rewrite_batch() forgets it sooner. */
static inline struct adjacency *lookup(struct core *core, const struct packet *packet)
{
    struct recent_neighbor *recent = &core->recent_neighbor;

    if (UNLIKELY(recent->address_be != packet->next_hop_be || recent->port != packet->port_out)) {
        recent->adjacency =
            neighbor_lookup(core->router->neighbors, packet->port_out, packet->next_hop_be);
        recent->address_be = packet->next_hop_be;
        recent->port = packet->port_out;
    }
    return recent->adjacency;
}

static inline __attribute__((always_inline)) enum verdict
rewrite_packet(struct core *core, struct packet *packet, const void *context)
{
    (void)context;
    struct ipv4_header *header = (void *)(packet->data + packet->network_offset);
    struct adjacency *adjacency = lookup(core, packet);

    if (UNLIKELY(!adjacency)) {
        packet->purpose = MAIL_RESOLVE;
        return TAKEN;
    }
    if (UNLIKELY(packet->network_length_bytes > packet->mtu_bytes))
        return too_long(packet, header);
    neighbor_touch(adjacency);
    if (UNLIKELY(packet->network_offset != ETHERNET_HEADER_BYTES)) /* ours: no header, full TTL */
        return frame_write_header(packet, adjacency) ? PASS : DROP_NO_BUFFER;
    memcpy(packet->data, adjacency->header, ETHERNET_HEADER_BYTES);
    ipv4_decrement_ttl(header);
    return PASS;
}

void rewrite_batch(struct core *core, struct batch *batch)
{
    core->recent_neighbor.port = PORT_NONE;
    batch_run(core, batch, rewrite_packet, NULL);
}
