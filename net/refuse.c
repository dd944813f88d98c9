/* See refuse.h. */
#include "net/refuse.h"

#include <string.h>

#include "net/datagram.h"
#include "net/datapath.h"
#include "net/icmp.h"
#include "net/icmp6.h"
#include "net/wire/checksum.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "net/wire/tcp.h"

/* A segment in its packet. */
struct segment {
    uint32_t offset; /* from the packet's first byte */
    uint32_t length_bytes;
    uint64_t pseudo_sum; /* of the segment */
    struct tcp_header header;
};

static const struct ipv4_header *ipv4_of(const struct packet *packet)
{
    return (const void *)(packet->data + packet->network_offset);
}

static const struct ipv6_header *ipv6_of(const struct packet *packet)
{
    return (const void *)(packet->data + packet->network_offset);
}

static bool find_in_ipv4(const struct packet *packet, struct segment *segment)
{
    const struct ipv4_header *header = ipv4_of(packet);

    if (header->protocol != PROTOCOL_TCP || ipv4_is_fragment(header))
        return false;
    segment->offset = packet->network_offset + ipv4_header_bytes(header);
    segment->length_bytes = packet->network_length_bytes - ipv4_header_bytes(header);
    segment->pseudo_sum = ipv4_pseudo_sum(header->source_be, header->destination_be, PROTOCOL_TCP,
                                          (uint16_t)segment->length_bytes);
    return true;
}

static bool find_in_ipv6(const struct packet *packet, struct segment *segment)
{
    const struct ipv6_header *header = ipv6_of(packet);
    struct ipv6_headers headers;

    if (ipv6_headers_walk(header, packet->length_bytes - packet->network_offset, IPV6_TO_QUOTE,
                          &headers) != IPV6_CHAIN_GOOD ||
        headers.protocol != PROTOCOL_TCP || ipv6_is_fragment(&headers))
        return false;
    segment->offset = packet->network_offset + (uint32_t)headers.upper_offset;
    segment->length_bytes = packet->network_length_bytes - (uint32_t)headers.upper_offset;
    segment->pseudo_sum =
        ipv6_pseudo_sum(header->source, header->destination, segment->length_bytes, PROTOCOL_TCP);
    return true;
}

/* A packet with room for the reset, from the one to whom the segment went. */
static struct packet *create_ipv4(struct core *core, const struct packet *packet)
{
    return datagram_create(core, &(struct datagram_setup){
                                     .source_be = ipv4_of(packet)->destination_be,
                                     .destination_be = ipv4_of(packet)->source_be,
                                     .protocol = PROTOCOL_TCP,
                                     .ttl = REFUSE_TTL,
                                     .payload_bytes = TCP_HEADER_BYTES,
                                 });
}

static struct packet *create_ipv6(struct core *core, const struct packet *packet)
{
    const struct ipv6_header *header = ipv6_of(packet);
    bool link_local = ipv6_is_link_local(header->source);

    return datagram6_create(core, &(struct datagram6_setup){
                                      .source = header->destination,
                                      .destination = header->source,
                                      .port = link_local ? packet->port_in : (uint16_t)PORT_NONE,
                                      .protocol = PROTOCOL_TCP,
                                      .hop_limit = REFUSE_TTL,
                                      .payload_bytes = TCP_HEADER_BYTES,
                                  });
}

static bool checksum_is_good(const struct packet *packet, const struct segment *segment)
{
    return packet->flags & PACKET_CHECKSUM_GOOD ||
           checksum_finish(datagram_sum(packet, segment->offset, segment->length_bytes,
                                        segment->pseudo_sum)) == 0;
}

bool refuse_tcp(struct core *core, const struct packet *packet)
{
    bool ipv6 = packet->network_protocol == PACKET_IPV6;
    struct segment segment;
    struct tcp_header reset;

    if (packet->flags & PACKET_LOCAL ||
        !(ipv6 ? find_in_ipv6(packet, &segment) : find_in_ipv4(packet, &segment)) ||
        segment.length_bytes < TCP_HEADER_BYTES ||
        !packet_copy_out(packet, segment.offset, &segment.header, sizeof(segment.header)))
        return false;
    if (!tcp_reset_for(&segment.header, segment.length_bytes, &reset) ||
        !checksum_is_good(packet, &segment) ||
        (ipv6 ? icmp6_is_forbidden(core, packet) : icmp_is_forbidden(core, packet)) ||
        icmp_is_over_limit(core))
        return true;
    struct packet *answer = ipv6 ? create_ipv6(core, packet) : create_ipv4(core, packet);
    if (!answer)
        return true; /* the pool has counted it */
    /* The pseudo-header is the same both ways round, but for the length. */
    uint64_t sum =
        ipv6 ? ipv6_pseudo_sum(ipv6_of(packet)->destination, ipv6_of(packet)->source,
                               TCP_HEADER_BYTES, PROTOCOL_TCP)
             : ipv4_pseudo_sum(ipv4_of(packet)->destination_be, ipv4_of(packet)->source_be,
                               PROTOCOL_TCP, TCP_HEADER_BYTES);
    reset.checksum_be = checksum_finish(checksum_add(sum, &reset, sizeof(reset)));
    memcpy(answer->data + (ipv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES), &reset, sizeof(reset));
    if (ipv6)
        datapath_originate6(core, answer);
    else
        datapath_originate(core, answer);
    return true;
}
