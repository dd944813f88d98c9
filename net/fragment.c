/* IPv4 fragmentation (RFC 791 3.2): a packet that is longer than its way out allows, and may be
 * cut, becomes several, each with its own header and as many multiples of 8 bytes as fit.
 *
 *   | header, all options | 0 ......... n | n ......... 2n | 2n ... end |
 *   -> | header, all options      | 0 ..  n  | MF
 *      | header, copied options   | n .. 2n  | MF
 *      | header, copied options   | 2n ..    | as the packet itself: it may be a fragment already
 *
 * The fragments are new packets; the one that was cut is freed. */
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/packet.h"
#include "net/neighbor.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"

/* A cut in progress. */
struct cut {
    const struct packet *whole;
    struct ipv4_header *header; /* of the whole, TTL already decremented */
    struct adjacency *adjacency;
    uint8_t options[IPV4_HEADER_MAX_BYTES - IPV4_HEADER_BYTES]; /* those that are copied */
    unsigned options_bytes;
    unsigned payload_bytes;
    unsigned done_bytes; /* of the payload */
};

/* The next header, without its checksum: in the first fragment as it was, then with the options
 * that must be in all. */
static unsigned write_header(const struct cut *cut, uint8_t *to)
{
    unsigned header_bytes = cut->whole->header_length_bytes;

    if (cut->done_bytes > 0) {
        memcpy(to, cut->header, IPV4_HEADER_BYTES);
        memcpy(to + IPV4_HEADER_BYTES, cut->options, cut->options_bytes);
        header_bytes = IPV4_HEADER_BYTES + cut->options_bytes;
        to[0] = (uint8_t)(0x40 | header_bytes / 4);
    } else {
        memcpy(to, cut->header, header_bytes);
    }
    return header_bytes;
}

/* How many bytes of payload go into the next one. */
static unsigned next_payload(const struct cut *cut, unsigned header_bytes)
{
    unsigned left = cut->payload_bytes - cut->done_bytes;
    unsigned room = MIN_OF(cut->whole->mtu_bytes, (unsigned)PACKET_ROOM_BYTES) - header_bytes;

    return left <= room ? left : room / IPV4_FRAGMENT_UNIT * IPV4_FRAGMENT_UNIT;
}

/* The next fragment, or NULL without a buffer. */
static struct packet *next_fragment(struct core *core, struct cut *cut)
{
    const struct packet *whole = cut->whole;
    struct packet *packet = packet_alloc(core->pool);

    if (!packet)
        return NULL;
    struct ipv4_header *header = (void *)packet->data;
    unsigned header_bytes = write_header(cut, packet->data);
    unsigned payload_bytes = next_payload(cut, header_bytes);
    uint32_t from = (uint32_t)whole->network_offset + whole->header_length_bytes + cut->done_bytes;
    bool copied = packet_copy_out(whole, from, packet->data + header_bytes, payload_bytes);
    CHECK(copied); /* network_length_bytes was checked against what came */

    unsigned offset =
        (ipv4_fragment(cut->header) & IPV4_FRAGMENT_OFFSET) + cut->done_bytes / IPV4_FRAGMENT_UNIT;
    bool more = cut->done_bytes + payload_bytes < cut->payload_bytes ||
                (ipv4_fragment(cut->header) & IPV4_MORE_FRAGMENTS);
    header->fragment_be = __builtin_bswap16((uint16_t)(offset | (more ? IPV4_MORE_FRAGMENTS : 0)));
    header->total_length_be = __builtin_bswap16((uint16_t)(header_bytes + payload_bytes));
    ipv4_seal(header);
    cut->done_bytes += payload_bytes;

    packet->length_bytes = packet->frame_length_bytes = header_bytes + payload_bytes;
    packet->network_offset = 0;
    packet->network_protocol = PACKET_IPV4;
    packet->network_length_bytes = (uint16_t)packet->length_bytes;
    packet->header_length_bytes = (uint16_t)header_bytes;
    packet->flags = whole->flags;
    packet->port_in = whole->port_in;
    packet->port_out = whole->port_out;
    return packet;
}

void fragment_packet(struct core *core, struct packet *packet)
{
    struct cut cut = { .whole = packet,
                       .header = (void *)(packet->data + packet->network_offset),
                       .adjacency = neighbor_lookup_ipv4(core->router->neighbors, packet->port_out,
                                                         packet->next_hop_be),
                       .payload_bytes =
                           packet->network_length_bytes - packet->header_length_bytes };
    const struct port *port_out = &core->router->ports[packet->port_out];
    struct port_counters *books = &core->ports[packet->port_in];
    unsigned fragments = 0;

    if (!cut.adjacency) { /* the entry has moved or gone since: the control core knows */
        packet->purpose = MAIL_RESOLVE;
        batch_set_aside(core, packet, TAKEN);
        return;
    }
    /* A "ping of death": the offsets of its pieces would begin again at 0. */
    if (ipv4_fragment_offset_bytes(cut.header) + cut.payload_bytes > IPV4_PACKET_MAX_BYTES) {
        datapath_drop(core, packet, DROP_REASSEMBLY_BAD);
        return;
    }
    neighbor_touch(cut.adjacency);
    if (!(packet->flags & PACKET_LOCAL))
        ipv4_decrement_ttl(cut.header);
    if (packet->header_length_bytes > IPV4_HEADER_BYTES)
        cut.options_bytes =
            (unsigned)ipv4_options_copied(cut.header, packet->header_length_bytes, cut.options);
    while (cut.done_bytes < cut.payload_bytes) {
        struct packet *fragment = next_fragment(core, &cut);
        if (!fragment || !frame_write_header(fragment, cut.adjacency)) {
            /* The rest is lost, and with it the whole: it counts as one more that was dropped. */
            packet_free(core->pool, fragment);
            counter_add(&books->dropped[DROP_NO_BUFFER], 1);
            fragments++;
            break;
        }
        fragments++;
        port_transmit(core, port_out, fragment);
    }
    counter_add(&books->originated, fragments - 1u); /* net/port.h: n count n - 1 */
    packet_free(core->pool, packet);
}
