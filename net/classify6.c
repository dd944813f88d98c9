/* The first stage of IPv6: classify.c says what it is for. After it a packet has network_offset,
 * header_length_bytes (40: extension headers are looked at where they matter) and, where it is not
 * plain, network_length_bytes set.
 *
 * A packet is plain if all of this is so: one segment, to our MAC address, IPv6, as long as it
 * says, no header that a router must look at, a source that anybody may have on any link, a hop
 * limit that allows forwarding, and short enough for every port; and, where we answer for others,
 * no message of neighbor discovery. */
#include <string.h>

#include "net/classify.h"
#include "net/forwarding.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv6.h"
#include "net/wire/nd.h"

enum {
    PLAIN_LENGTH_MIN = ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES,
    /* The Ethertype and, in the next byte, the version, as they are loaded. */
    TYPE_AND_VERSION_LE = 0x60 << 16 | (ETHERTYPE_IPV6 & 0xff) << 8 | ETHERTYPE_IPV6 >> 8,
    TYPE_AND_VERSION = 0xf0ffff,
};

static const struct ipv6_header *header_of(const struct packet *packet)
{
    return (const void *)(packet->data + ETHERNET_HEADER_BYTES);
}

/* RFC 8200 4.3: of all headers behind the first one a router looks at hop-by-hop options alone. */
static enum verdict check_extensions(struct packet *packet, const struct ipv6_header *header)
{
    struct ipv6_headers headers;

    if (header->next_header != PROTOCOL_HOP_BY_HOP)
        return PASS;
    switch (ipv6_headers_walk(header, packet->length_bytes - ETHERNET_HEADER_BYTES, IPV6_TO_FORWARD,
                              &headers)) {
    case IPV6_CHAIN_GOOD:
        break;
    case IPV6_CHAIN_DISCARD:
        return DROP_IPV6_DISCARD;
    case IPV6_CHAIN_PROBLEM:
        packet->error_code = headers.problem_code;
        packet->error_offset = headers.problem_pointer;
        return DROP_IPV6_EXTENSION;
    }
    return PASS;
}

/* Any IPv6 packet. */
static enum verdict classify_carefully(struct core *core, struct packet *packet,
                                       const struct forwarding_port *port)
{
    const struct ipv6_header *header = header_of(packet);
    enum verdict verdict = classify_target(packet, port);

    packet->flags &= (uint8_t)~PACKET_LOCAL;
    if (verdict != PASS)
        return verdict;
    if (port->ipv6_disabled)
        return DROP_IPV6_DISABLED;
    if (packet->next_segment && classify_has_too_many_segments(packet))
        return DROP_TOO_MANY_SEGMENTS;
    switch (ipv6_check(header, packet->length_bytes - ETHERNET_HEADER_BYTES,
                       packet->frame_length_bytes - ETHERNET_HEADER_BYTES)) {
    case IPV6_GOOD:
        break;
    case IPV6_BAD_HEADER:
        return DROP_BAD_IPV6_HEADER;
    case IPV6_TRUNCATED:
        return DROP_TRUNCATED;
    }
    if (ipv6_packet_bytes(header) > UINT16_MAX) /* no link of ours is that wide */
        return DROP_BAD_IPV6_HEADER;
    packet->network_length_bytes = (uint16_t)ipv6_packet_bytes(header);
    uint32_t length_bytes = ETHERNET_HEADER_BYTES + (uint32_t)packet->network_length_bytes;
    if (packet->frame_length_bytes != length_bytes)
        classify_trim(core, packet, length_bytes);
    return check_extensions(packet, header);
}

/* The others of a batch. */
static RARE void classify_unusual(struct core *core, const struct forwarding_port *port,
                                  struct batch *batch, struct findings *findings)
{
    uint64_t unusual = findings->unusual;

    while (unusual != 0) {
        unsigned i = bits_take_first(&unusual);
        struct packet *packet = batch->packets[i];
        if (!classify_is_of(packet, ETHERTYPE_IPV6)) {
            classify_hand_over(core, findings, i, packet);
            continue;
        }
        packet->flags &= PACKET_CHECKSUM_GOOD;
        enum verdict verdict = classify_carefully(core, packet, port);
        if (verdict == PASS)
            memcpy(findings->destinations[i], header_of(packet)->destination, IPV6_ADDRESS_BYTES);
        stage_conclude(core, batch, findings, i, verdict);
    }
    stage_finish(batch, findings);
}

/* Of plain packets, those that may ask us for somebody whom we answer for (route6.c). */
static RARE uint64_t find_discovery(const struct batch *batch, uint64_t unusual)
{
    uint64_t found = 0;

    for (unsigned i = 0; i < batch->count; i++) {
        const struct ipv6_header *header = header_of(batch->packets[i]);
        if (!(unusual & bit_of(i)) && header->next_header == PROTOCOL_ICMP6 &&
            header->hop_limit == ND_HOP_LIMIT)
            found |= bit_of(i);
    }
    return found;
}

/* A batch comes from one port. */
void classify6_batch(struct core *core, uint16_t port_in, struct batch *batch,
                     struct findings *findings)
{
    const struct forwarding *view = core->forwarding;
    const struct forwarding_port *port = &view->ports[port_in];
    const struct packet plain = { .port_in = port_in,
                                  .network_protocol = PACKET_IPV6,
                                  .network_offset = ETHERNET_HEADER_BYTES,
                                  .header_length_bytes = IPV6_HEADER_BYTES };
    const uint32_t mac_low = load_le32(port->mac);
    const uint32_t length_range = view->ipv6_plain_length_max - PLAIN_LENGTH_MIN;
    const uint16_t mac_high = load_le16(port->mac + 4);
    const unsigned count = batch->count;
    uint64_t bytes = 0, unusual = 0;

    if (UNLIKELY(!port->admin_up)) {
        classify_drop_all(core, port_in, batch, DROP_PORT_DOWN);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = batch->packets[i];
        const uint8_t *frame = packet->data;
        const struct ipv6_header *header = (const void *)(frame + ETHERNET_HEADER_BYTES);
        uint32_t length = packet->length_bytes;

        packet->nature = plain.nature;
        memcpy(findings->destinations[i], header->destination, IPV6_ADDRESS_BYTES);
        bytes += packet->frame_length_bytes;
        if (LIKELY(
                length == packet->frame_length_bytes && length - PLAIN_LENGTH_MIN <= length_range &&
                load_le32(frame) == mac_low && load_le16(frame + 4) == mac_high &&
                (load_le32(frame + ETHERNET_TYPE_OFFSET) & TYPE_AND_VERSION) ==
                    TYPE_AND_VERSION_LE &&
                ipv6_is_plain_version_6(header, length - ETHERNET_HEADER_BYTES) &&
                header->hop_limit > 1 && !forwarding_ipv6_source_is_suspect(view, header->source)))
            continue;
        unusual |= bit_of(i);
    }
    counter_add(&core->ports[port_in].received_bytes, bytes);
    if (UNLIKELY(port->ipv6_disabled)) /* each is looked at: others may be of IPv4 */
        unusual = bit_of(count - 1) | (bit_of(count - 1) - 1);
    if (UNLIKELY(port->proxied_count > 0))
        unusual |= find_discovery(batch, unusual);
    findings->unusual = unusual;
    if (UNLIKELY(unusual != 0))
        classify_unusual(core, port, batch, findings);
}
