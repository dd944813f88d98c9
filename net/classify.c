/* The first stage: what a frame is, and whether its headers can be believed. After it a packet is
 * IPv4 with network_offset, network_length_bytes and header_length_bytes set, contiguous to the end
 * of its header and without the padding that Ethernet adds. ARP is set aside. */
#include "kernel/base/bytes.h"
#include "net/forwarding.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"

static const enum verdict verdict_of_validity[] = {
    [IPV4_GOOD] = PASS,
    [IPV4_BAD_HEADER] = DROP_BAD_IPV4_HEADER,
    [IPV4_BAD_CHECKSUM] = DROP_BAD_IPV4_CHECKSUM,
    [IPV4_TRUNCATED] = DROP_TRUNCATED,
};

/* Rare: Ethernet pads to 60 bytes (IEEE 802.3 3.2.8), some devices hand over more. The IP packet
 * ends where its own header says. */
static RARE void trim(struct core *core, struct packet *packet, uint32_t length_bytes)
{
    struct packet *segment = packet;
    uint32_t left = length_bytes;

    while (segment->length_bytes < left) {
        left -= segment->length_bytes;
        segment = segment->next_segment;
    }
    segment->length_bytes = left;
    if (segment->next_segment) {
        packet_free(core->pool, segment->next_segment);
        segment->next_segment = NULL;
    }
    packet->frame_length_bytes = length_bytes;
}

static RARE bool has_too_many_segments(const struct packet *packet)
{
    unsigned count = 0;

    for (; packet; packet = packet->next_segment)
        count++;
    return count > PACKET_SEGMENT_MAX;
}

/* RFC 7126 4.3, 4.4: source routes are refused; other options are passed on as they are. */
static enum verdict check_options(struct packet *packet, const struct ipv4_header *header)
{
    struct ipv4_options options;

    if (!ipv4_options_walk(header, packet->header_length_bytes, &options)) {
        packet->error_offset = options.error_offset;
        return DROP_BAD_IPV4_OPTION;
    }
    return options.source_route ? DROP_SOURCE_ROUTE : PASS;
}

static RARE enum verdict classify_group_or_other(struct packet *packet,
                                                 const struct forwarding_port *port)
{
    const uint8_t *frame = packet->data;

    if (mac_equal(frame, mac_broadcast))
        packet->flags |= PACKET_LINK_BROADCAST;
    else if (mac_is_group(frame))
        packet->flags |= PACKET_LINK_MULTICAST;
    else if (!mac_equal(frame, port->mac))
        return DROP_NOT_FOR_US;
    return PASS;
}

static inline bool is_for_us(const struct forwarding_port *port, const uint8_t *frame)
{
    return load_le32(frame) == load_le32(port->mac) &&
           load_le16(frame + 4) == load_le16(port->mac + 4);
}

static RARE enum verdict classify_other_ethertype(struct packet *packet, uint16_t ethertype)
{
    if (ethertype != ETHERTYPE_ARP)
        return DROP_UNKNOWN_ETHERTYPE;
    packet->network_protocol = PACKET_ARP;
    packet->purpose = MAIL_ARP;
    return TAKEN;
}

/* All but the plain header. */
static RARE enum verdict check_header(struct packet *packet, const struct ipv4_header *header)
{
    enum ipv4_validity validity = ipv4_check(header, packet->length_bytes - ETHERNET_HEADER_BYTES,
                                             packet->frame_length_bytes - ETHERNET_HEADER_BYTES);

    if (validity != IPV4_GOOD)
        return verdict_of_validity[validity];
    packet->header_length_bytes = (uint16_t)ipv4_header_bytes(header);
    if (packet->header_length_bytes != IPV4_HEADER_BYTES)
        return check_options(packet, header);
    return PASS;
}

static inline __attribute__((always_inline)) enum verdict
classify_packet(struct core *core, struct packet *packet, const void *context)
{
    const struct forwarding_port *port = context;
    const uint8_t *frame = packet->data;
    const struct ipv4_header *header = (const void *)(frame + ETHERNET_HEADER_BYTES);

    packet->flags &= PACKET_CHECKSUM_GOOD;
    if (UNLIKELY(packet->length_bytes < ETHERNET_HEADER_BYTES))
        return DROP_SHORT_FRAME;
    if (UNLIKELY(!is_for_us(port, frame))) {
        enum verdict verdict = classify_group_or_other(packet, port);
        if (verdict != PASS)
            return verdict;
    }
    if (UNLIKELY(packet->next_segment) && has_too_many_segments(packet))
        return DROP_TOO_MANY_SEGMENTS;
    uint16_t ethertype = load_be16(frame + 12);
    if (UNLIKELY(ethertype != ETHERTYPE_IPV4))
        return classify_other_ethertype(packet, ethertype);
    packet->network_protocol = PACKET_IPV4;
    packet->network_offset = ETHERNET_HEADER_BYTES;
    packet->network_length_bytes = ipv4_total_bytes(header);
    packet->header_length_bytes = IPV4_HEADER_BYTES;
    packet->next_hop_be = header->destination_be;
    if (UNLIKELY(!ipv4_is_plain(header, packet->length_bytes - ETHERNET_HEADER_BYTES))) {
        enum verdict verdict = check_header(packet, header);
        if (verdict != PASS)
            return verdict;
    }
    uint32_t length_bytes = ETHERNET_HEADER_BYTES + (uint32_t)packet->network_length_bytes;
    if (UNLIKELY(packet->frame_length_bytes != length_bytes))
        trim(core, packet, length_bytes);
    return PASS;
}

static void drop_all(struct core *core, struct batch *batch, enum verdict why)
{
    for (unsigned i = 0; i < batch->count; i++)
        datapath_drop(core, batch->packets[i], why);
    batch->count = 0;
}

void classify_batch(struct core *core, struct batch *batch)
{
    /* A batch comes from one port. */
    uint16_t port_in = batch->packets[0]->port_in;
    const struct forwarding_port *port = &core->forwarding->ports[port_in];

    if (UNLIKELY(!port->admin_up))
        drop_all(core, batch, DROP_PORT_DOWN);
    else
        batch_run(core, batch, classify_packet, port);
}
