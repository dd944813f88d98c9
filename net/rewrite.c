/* The third stage, and the one place where a packet gets its Ethernet header: one less to live, and
 * the next hop's header in front. What has no neighbor yet, or is too long, is set aside whole: its
 * header is as it came, for the ICMP error that may quote it. */
#include <string.h>

#include "net/neighbor.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"

/* RFC 1812 4.2.2.7. */
static enum verdict too_long(struct packet *packet, const struct ipv4_header *header)
{
    if (ipv4_fragment(header) & IPV4_DONT_FRAGMENT)
        return DROP_FRAGMENT_NEEDED;
    packet->purpose = MAIL_FRAGMENT;
    return TAKEN;
}

bool frame_write_header(struct packet *packet, const struct adjacency *adjacency)
{
    uint32_t front = packet->network_offset;

    /* What was received has its old header there; what is ours has headroom. */
    if (UNLIKELY(packet_headroom(packet) + front < ETHERNET_HEADER_BYTES))
        return false;
    packet->data += (int32_t)front - ETHERNET_HEADER_BYTES;
    packet->length_bytes += ETHERNET_HEADER_BYTES - front;
    packet->frame_length_bytes += ETHERNET_HEADER_BYTES - front;
    packet->network_offset = ETHERNET_HEADER_BYTES;
    memcpy(packet->data, adjacency->header, ETHERNET_HEADER_BYTES);
    return true;
}

static inline __attribute__((always_inline)) enum verdict rewrite_packet(struct core *core,
                                                                         struct packet *packet)
{
    struct ipv4_header *header = (void *)(packet->data + packet->network_offset);
    struct adjacency *adjacency =
        neighbor_lookup(core->router->neighbors, packet->port_out, packet->next_hop_be);

    if (UNLIKELY(!adjacency)) {
        packet->purpose = MAIL_RESOLVE;
        return TAKEN;
    }
    if (UNLIKELY(packet->network_length_bytes > packet->mtu_bytes))
        return too_long(packet, header);
    neighbor_touch(adjacency);
    if (LIKELY(!(packet->flags & PACKET_LOCAL)))
        ipv4_decrement_ttl(header);
    if (UNLIKELY(!frame_write_header(packet, adjacency)))
        return DROP_NO_BUFFER;
    return PASS;
}

void rewrite_batch(struct core *core, struct batch *batch)
{
    batch_run(core, batch, rewrite_packet);
}
