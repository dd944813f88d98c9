/* IPv6 fragmentation of what is ours (RFC 8200 4.5): a packet that is longer than its way out
 * allows becomes several, each with the IPv6 header, a fragment header and as many multiples of 8
 * bytes as fit. Our packets have no extension headers, so all behind the header can be cut. */
#include <string.h>

#include "kernel/base/packet.h"
#include "kernel/base/random.h"
#include "net/neighbor.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv6.h"

enum { HEADERS_BYTES = IPV6_HEADER_BYTES + IPV6_FRAGMENT_HEADER_BYTES };

/* The piece of the packet's payload from done_bytes on, or NULL without a buffer. */
static struct packet *make_piece(struct core *core, const struct packet *whole,
                                 uint32_t identification, uint32_t done_bytes, uint32_t piece_bytes)
{
    struct packet *packet = packet_alloc(core->pool);
    uint8_t *bytes = packet ? packet_append(packet, HEADERS_BYTES + piece_bytes) : NULL;

    if (!bytes) {
        if (packet)
            packet_free(core->pool, packet);
        return NULL;
    }
    struct ipv6_header *header = (void *)bytes;
    bool copied =
        packet_copy_out(whole, 0, header, IPV6_HEADER_BYTES) &&
        packet_copy_out(whole, IPV6_HEADER_BYTES + done_bytes, bytes + HEADERS_BYTES, piece_bytes);
    CHECK(copied);
    uint32_t end_bytes = done_bytes + piece_bytes;
    const struct ipv6_fragment fragment = {
        .identification = identification,
        .offset_bytes = (uint16_t)done_bytes,
        .next_header = header->next_header,
        .more = IPV6_HEADER_BYTES + end_bytes < whole->network_length_bytes,
    };
    header->next_header = PROTOCOL_FRAGMENT;
    header->payload_length_be =
        __builtin_bswap16((uint16_t)(IPV6_FRAGMENT_HEADER_BYTES + piece_bytes));
    ipv6_fragment_write(&fragment, bytes + IPV6_HEADER_BYTES);
    packet->port_in = whole->port_in;
    packet->port_out = whole->port_out;
    packet->flags = PACKET_LOCAL;
    packet->network_protocol = PACKET_IPV6;
    packet->network_offset = 0;
    packet->network_length_bytes = (uint16_t)(HEADERS_BYTES + piece_bytes);
    return packet;
}

void fragment6_packet(struct core *core, struct packet *packet)
{
    const struct address next_hop = address_of_ipv6(packet->next_hop);
    struct adjacency *adjacency =
        neighbor_lookup(core->router->neighbors, packet->port_out, &next_hop);
    const struct port *port_out = &core->router->ports[packet->port_out];
    struct port_counters *books = &core->ports[packet->port_in];
    uint32_t room = MIN_OF(packet->mtu_bytes, (uint32_t)PACKET_ROOM_BYTES) - HEADERS_BYTES;
    uint32_t whole_pieces_bytes = room / IPV6_EXTENSION_UNIT * IPV6_EXTENSION_UNIT;
    uint32_t payload_bytes = packet->network_length_bytes - (uint32_t)IPV6_HEADER_BYTES;
    uint32_t identification = (uint32_t)random_next(&core->random_state); /* RFC 7739 5 */
    unsigned pieces = 0;

    if (!adjacency) { /* the entry has moved or gone since: the control core knows */
        packet->purpose = MAIL_RESOLVE;
        batch_set_aside(core, packet, TAKEN);
        return;
    }
    neighbor_touch(adjacency);
    for (uint32_t done = 0; done < payload_bytes; done += whole_pieces_bytes) {
        uint32_t piece_bytes = MIN_OF(whole_pieces_bytes, payload_bytes - done);
        struct packet *piece = make_piece(core, packet, identification, done, piece_bytes);
        pieces++;
        if (!piece || !frame_write_header(piece, adjacency)) {
            /* The rest is lost, and with it the whole: it counts as one more that was dropped. */
            packet_free(core->pool, piece);
            counter_add(&books->dropped[DROP_NO_BUFFER], 1);
            break;
        }
        port_transmit(core, port_out, piece);
    }
    counter_add(&books->originated, pieces - 1u); /* net/port.h: n count n - 1 */
    packet_free(core->pool, packet);
}
