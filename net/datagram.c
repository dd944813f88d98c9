/* See datagram.h. */
#include "net/datagram.h"

#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "net/datapath.h"
#include "net/forwarding.h"
#include "net/router.h"
#include "net/wire/checksum.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"

uint32_t datagram_source(const struct core *core, uint32_t destination_be)
{
    const struct forwarding *view = core->forwarding;
    const struct next_hop *way = forwarding_lookup_ipv4(view, destination_be);

    switch ((enum next_hop_kind)way->kind) {
    case NEXT_HOP_LOCAL:
    case NEXT_HOP_LOOPBACK:
        return destination_be;
    case NEXT_HOP_CONNECTED:
    case NEXT_HOP_BROADCAST:
        return forwarding_source_ipv4(view, way->port, destination_be);
    case NEXT_HOP_GATEWAY:
        return forwarding_source_ipv4(view, way->gateway_ports[0],
                                      address_ipv4_be(&way->gateways[0]));
    case NEXT_HOP_NONE:
    case NEXT_HOP_LIMITED_BROADCAST:
    case NEXT_HOP_MULTICAST:
    case NEXT_HOP_LINK_LOCAL:
    case NEXT_HOP_MARTIAN:
    case NEXT_HOP_BLACKHOLE:
    case NEXT_HOP_REJECT:
        break;
    }
    return 0;
}

/* Length of all segments from this one on becomes length_bytes. */
static bool extend(struct core *core, struct packet *first, uint32_t length_bytes)
{
    struct packet *segment = first;

    for (;;) {
        uint32_t here = MIN_OF(length_bytes, (uint32_t)PACKET_ROOM_BYTES);
        if (!packet_append(segment, here))
            return false;
        length_bytes -= here;
        if (segment != first)
            first->frame_length_bytes += here;
        if (length_bytes == 0)
            return true;
        segment->next_segment = packet_alloc(core->pool);
        if (!segment->next_segment)
            return false;
        segment = segment->next_segment;
    }
}

struct packet *datagram_create(struct core *core, const struct datagram_setup *setup)
{
    struct packet *packet = packet_alloc(core->pool);
    uint32_t total_bytes = IPV4_HEADER_BYTES + (uint32_t)setup->payload_bytes;

    CHECK(total_bytes <= IPV4_PACKET_MAX_BYTES);
    if (!packet)
        return NULL;
    if (!extend(core, packet, total_bytes)) {
        packet_free(core->pool, packet);
        return NULL;
    }
    struct ipv4_header *header = (void *)packet->data;
    *header = (struct ipv4_header){
        .version_and_length = 4 << 4 | IPV4_HEADER_BYTES / 4,
        .type_of_service = setup->type_of_service,
        .total_length_be = __builtin_bswap16((uint16_t)total_bytes),
        .identification_be = (uint16_t)random_next(&core->random_state),
        .fragment_be = __builtin_bswap16(setup->dont_fragment ? IPV4_DONT_FRAGMENT : 0),
        .ttl = setup->ttl,
        .protocol = setup->protocol,
        .source_be = setup->source_be,
        .destination_be = setup->destination_be,
    };
    ipv4_seal(header);
    return packet;
}

struct address datagram6_source(const struct core *core, const struct address *destination,
                                uint16_t port)
{
    static const struct address none = { .family = FAMILY_NONE };
    const struct forwarding *view = core->forwarding;
    struct address link_local;

    if (port != PORT_NONE &&
        (address_is_link_local(destination) || ipv6_is_multicast(destination->bytes)))
        return forwarding_link_local(view, port, &link_local) ? link_local : none;
    const struct next_hop *way = forwarding_lookup(view, destination);
    if (way->kind == NEXT_HOP_LOCAL || way->kind == NEXT_HOP_LOOPBACK)
        return *destination;
    if (way->kind < NEXT_HOP_CONNECTED)
        return none;
    return forwarding_source(view, way->port, destination);
}

struct packet *datagram6_create(struct core *core, const struct datagram6_setup *setup)
{
    struct packet *packet = packet_alloc(core->pool);

    CHECK(setup->payload_bytes <= UINT16_MAX - IPV6_HEADER_BYTES);
    if (!packet)
        return NULL;
    if (!extend(core, packet, IPV6_HEADER_BYTES + setup->payload_bytes)) {
        packet_free(core->pool, packet);
        return NULL;
    }
    struct ipv6_header *header = (void *)packet->data;
    *header = (struct ipv6_header){
        .version_class_flow_be = ipv6_version_word_be(setup->traffic_class, 0),
        .payload_length_be = __builtin_bswap16((uint16_t)setup->payload_bytes),
        .next_header = setup->protocol,
        .hop_limit = setup->hop_limit,
    };
    memcpy(header->source, setup->source, sizeof(header->source));
    memcpy(header->destination, setup->destination, sizeof(header->destination));
    packet->port_out = setup->port;
    if (setup->dont_fragment)
        packet->flags |= PACKET_DONT_FRAGMENT;
    return packet;
}

void datagram_write(struct packet *packet, uint32_t offset, const void *from, uint32_t length_bytes)
{
    const uint8_t *bytes = from;

    for (; length_bytes > 0; packet = packet->next_segment) {
        CHECK(packet);
        if (offset >= packet->length_bytes) {
            offset -= packet->length_bytes;
            continue;
        }
        uint32_t here = MIN_OF(packet->length_bytes - offset, length_bytes);
        memcpy(packet->data + offset, bytes, here);
        bytes += here;
        length_bytes -= here;
        offset = 0;
    }
}

uint64_t datagram_sum(const struct packet *packet, uint32_t offset, uint32_t length_bytes,
                      uint64_t sum)
{
    uint32_t done = 0;

    for (; done < length_bytes; packet = packet->next_segment) {
        CHECK(packet);
        if (offset >= packet->length_bytes) {
            offset -= packet->length_bytes;
            continue;
        }
        uint32_t here = MIN_OF(packet->length_bytes - offset, length_bytes - done);
        sum = done % 2 == 0 ? checksum_add(sum, packet->data + offset, here)
                            : checksum_add_odd(sum, packet->data + offset, here);
        done += here;
        offset = 0;
    }
    return sum;
}

void datagram_trim(struct core *core, struct packet *packet)
{
    uint32_t left = packet->network_length_bytes;
    bool pulled = packet_pull(packet, packet->network_offset);

    CHECK(pulled);
    CHECK(packet->frame_length_bytes >= left);
    packet->network_offset = 0;
    packet->frame_length_bytes = left;
    for (struct packet *segment = packet; segment; segment = segment->next_segment) {
        segment->length_bytes = MIN_OF(segment->length_bytes, left);
        left -= segment->length_bytes;
        if (left == 0 && segment->next_segment) {
            packet_free(core->pool, segment->next_segment);
            segment->next_segment = NULL;
        }
    }
}
