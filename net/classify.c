/* The first stage: what a frame is, and whether its headers can be believed. After it a packet is
 * IPv4 with network_offset, header_length_bytes and (where it is not plain) network_length_bytes
 * set, contiguous to the end of its header and without the padding that Ethernet adds. ARP is set
 * aside.
 *
 * A packet is plain if all of this is so, and then no stage needs to look at it again: one segment,
 * to our MAC address, IPv4 without options, as long as it says, the checksum right, a source that
 * anybody may have, a TTL that allows forwarding, and short enough for every port. */
#include "net/classify.h"

#include "kernel/base/bytes.h"
#include "net/forwarding.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"

enum {
    PLAIN_LENGTH_MIN = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES,
    ETHERTYPE_IPV4_LE = ETHERTYPE_IPV4 >> 8 | (ETHERTYPE_IPV4 & 0xff) << 8, /* as it is loaded */
};

static const enum verdict verdict_of_validity[] = {
    [IPV4_GOOD] = PASS,
    [IPV4_BAD_HEADER] = DROP_BAD_IPV4_HEADER,
    [IPV4_BAD_CHECKSUM] = DROP_BAD_IPV4_CHECKSUM,
    [IPV4_TRUNCATED] = DROP_TRUNCATED,
};

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

static enum verdict classify_other_ethertype(struct packet *packet, uint16_t ethertype)
{
    if (ethertype != ETHERTYPE_ARP)
        return DROP_UNKNOWN_ETHERTYPE;
    packet->network_protocol = PACKET_ARP;
    packet->purpose = MAIL_ARP;
    return TAKEN;
}

static enum verdict check_header(struct packet *packet, const struct ipv4_header *header)
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

static const struct ipv4_header *header_of(const struct packet *packet)
{
    return (const void *)(packet->data + ETHERNET_HEADER_BYTES);
}

/* Any packet. */
static enum verdict classify_carefully(struct core *core, struct packet *packet,
                                       const struct forwarding_port *port)
{
    const uint8_t *frame = packet->data;
    const struct ipv4_header *header = header_of(packet);

    packet->flags &= PACKET_CHECKSUM_GOOD;
    if (packet->length_bytes < ETHERNET_HEADER_BYTES)
        return DROP_SHORT_FRAME;
    enum verdict verdict = classify_target(packet, port);
    if (verdict != PASS)
        return verdict;
    if (packet->next_segment && classify_has_too_many_segments(packet))
        return DROP_TOO_MANY_SEGMENTS;
    uint16_t ethertype = load_be16(frame + 12);
    if (ethertype != ETHERTYPE_IPV4)
        return classify_other_ethertype(packet, ethertype);
    packet->network_length_bytes = ipv4_total_bytes(header);
    verdict = check_header(packet, header);
    if (verdict != PASS)
        return verdict;
    uint32_t length_bytes = ETHERNET_HEADER_BYTES + (uint32_t)packet->network_length_bytes;
    if (packet->frame_length_bytes != length_bytes)
        classify_trim(core, packet, length_bytes);
    return PASS;
}

/* The others of a batch. */
static RARE void classify_unusual(struct core *core, const struct forwarding_port *port,
                                  struct batch *batch, struct findings *findings)
{
    uint64_t unusual = findings->unusual;

    while (unusual != 0) {
        unsigned i = bits_take_first(&unusual);
        struct packet *packet = batch->packets[i];
        if (classify_is_of(packet, ETHERTYPE_IPV6)) {
            classify_hand_over(core, findings, i, packet);
            continue;
        }
        enum verdict verdict = classify_carefully(core, packet, port);

        if (verdict == PASS)
            findings->destinations_be[i] = header_of(packet)->destination_be;
        stage_conclude(core, batch, findings, i, verdict);
    }
    stage_finish(batch, findings);
}

/* A batch comes from one port. */
void classify_batch(struct core *core, uint16_t port_in, struct batch *batch,
                    struct findings *findings)
{
    const struct forwarding *view = core->forwarding;
    const struct forwarding_port *port = &view->ports[port_in];
    const struct packet plain = { .port_in = port_in,
                                  .network_protocol = PACKET_IPV4,
                                  .network_offset = ETHERNET_HEADER_BYTES,
                                  .header_length_bytes = IPV4_HEADER_BYTES };
    const uint32_t mac_low = load_le32(port->mac);
    const uint32_t length_range = view->plain_length_max - PLAIN_LENGTH_MIN;
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
        const struct ipv4_header *header = (const void *)(frame + ETHERNET_HEADER_BYTES);
        uint32_t length = packet->length_bytes;

        packet->nature = plain.nature;
        findings->destinations_be[i] = header->destination_be;
        bytes += packet->frame_length_bytes;
        if (LIKELY(length == packet->frame_length_bytes &&
                   length - PLAIN_LENGTH_MIN <= length_range && load_le32(frame) == mac_low &&
                   load_le16(frame + 4) == mac_high && load_le16(frame + 12) == ETHERTYPE_IPV4_LE &&
                   ipv4_is_plain(header, length - ETHERNET_HEADER_BYTES) && header->ttl > 1 &&
                   !forwarding_source_is_suspect(view, header->source_be)))
            continue;
        unusual |= bit_of(i);
    }
    counter_add(&core->ports[port_in].received_bytes, bytes);
    findings->unusual = unusual;
    if (UNLIKELY(unusual != 0))
        classify_unusual(core, port, batch, findings);
}
