/* See filter_keys.h. One packet is read as its headers say, whatever they are. Of a batch nearly
 * all are plain: there the words lie at places known before, and are taken column by column, those
 * alone that somebody asks for. */
#include "net/filter_keys.h"

#include "kernel/base/bytes.h"
#include "kernel/base/packet.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "net/wire/tcp.h"
#include "net/wire/udp.h"

static void set(struct filter_keys *keys, enum filter_word word, unsigned i, uint32_t value)
{
    keys->words[word][i] = value;
}

static void set_address(struct filter_keys *keys, enum filter_word first_word, unsigned i,
                        const uint8_t *bytes)
{
    for (unsigned word = 0; word < FILTER_ADDRESS_WORDS; word++)
        set(keys, (enum filter_word)(first_word + word), i, load_be32(bytes + word * 4));
}

/* What is not there has no port, type or flags. */
static void set_nothing_above(struct filter_keys *keys, unsigned i)
{
    set(keys, FILTER_SOURCE_PORT, i, FILTER_ABSENT);
    set(keys, FILTER_DESTINATION_PORT, i, FILTER_ABSENT);
    set(keys, FILTER_TYPE, i, FILTER_ABSENT);
    set(keys, FILTER_FLAGS, i, FILTER_ABSENT);
}

/* The first bytes of what IP carries: as many as there are. */
struct upper {
    const uint8_t *bytes;
    uint32_t length_bytes;
};

static void set_upper(struct filter_keys *keys, unsigned i, uint8_t protocol, struct upper upper)
{
    bool has_ports = protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP;
    bool has_type = protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMP6;

    if (has_ports && upper.length_bytes >= 4) {
        set(keys, FILTER_SOURCE_PORT, i, load_be16(upper.bytes));
        set(keys, FILTER_DESTINATION_PORT, i, load_be16(upper.bytes + 2));
    }
    if (has_type && upper.length_bytes >= 1)
        set(keys, FILTER_TYPE, i, upper.bytes[0]);
    if (protocol == PROTOCOL_TCP && upper.length_bytes > TCP_FLAGS_OFFSET)
        set(keys, FILTER_FLAGS, i, upper.bytes[TCP_FLAGS_OFFSET]);
}

/* How much of a protocol's header the first piece must have, so that no other has any of it. */
static uint32_t least_of(uint8_t protocol)
{
    return protocol == PROTOCOL_TCP   ? TCP_HEADER_BYTES
           : protocol == PROTOCOL_UDP ? UDP_HEADER_BYTES
                                      : 1;
}

/* ---- IPv4 ----------------------------------------------------------------------------------- */

static bool keys_of_ipv4(const struct packet *packet, struct filter_keys *keys, unsigned i)
{
    const struct ipv4_header *header = (const void *)(packet->data + packet->network_offset);
    uint32_t header_bytes = ipv4_header_bytes(header);
    uint32_t behind_header = packet->network_offset + header_bytes;
    uint32_t offset_bytes = ipv4_fragment_offset_bytes(header);
    bool more = ipv4_fragment(header) & IPV4_MORE_FRAGMENTS;
    /* Without what the link has added behind the packet. */
    uint32_t length_bytes = MIN_OF(packet->length_bytes - behind_header,
                                   (uint32_t)ipv4_total_bytes(header) - header_bytes);
    struct upper upper = { packet->data + behind_header, length_bytes };

    set(keys, FILTER_SOURCE, i, load_be32(&header->source_be));
    set(keys, FILTER_DESTINATION, i, load_be32(&header->destination_be));
    for (unsigned word = 1; word < FILTER_ADDRESS_WORDS; word++) {
        set(keys, (enum filter_word)(FILTER_SOURCE + word), i, 0);
        set(keys, (enum filter_word)(FILTER_DESTINATION + word), i, 0);
    }
    set(keys, FILTER_PROTOCOL, i, header->protocol);
    set(keys, FILTER_FRAGMENT, i,
        offset_bytes > 0 ? FILTER_LATER_PIECE
        : more           ? FILTER_FIRST_PIECE
                         : FILTER_WHOLE);
    if (offset_bytes > 0)
        return offset_bytes >= least_of(header->protocol);
    set_upper(keys, i, header->protocol, upper);
    return !more || length_bytes >= least_of(header->protocol);
}

/* ---- IPv6 ----------------------------------------------------------------------------------- */

static bool keys_of_ipv6(const struct packet *packet, struct filter_keys *keys, unsigned i)
{
    const struct ipv6_header *header = (const void *)(packet->data + packet->network_offset);
    uint32_t there_bytes =
        MIN_OF(packet->length_bytes - packet->network_offset, ipv6_packet_bytes(header));
    struct ipv6_headers headers;

    set_address(keys, FILTER_SOURCE, i, header->source);
    set_address(keys, FILTER_DESTINATION, i, header->destination);
    if (ipv6_headers_walk(header, there_bytes, IPV6_TO_QUOTE, &headers) != IPV6_CHAIN_GOOD)
        return false;
    set(keys, FILTER_PROTOCOL, i, headers.protocol);
    set(keys, FILTER_FRAGMENT, i,
        !ipv6_is_fragment(&headers)        ? FILTER_WHOLE
        : ipv6_is_later_fragment(&headers) ? FILTER_LATER_PIECE
                                           : FILTER_FIRST_PIECE);
    if (ipv6_is_later_fragment(&headers))
        return true;
    struct upper upper = { (const uint8_t *)header + headers.upper_offset,
                           there_bytes - headers.upper_offset };
    set_upper(keys, i, headers.protocol, upper);
    /* Where extension headers fill the first buffer, what comes behind them is in another. */
    return upper.length_bytes >= least_of(headers.protocol) ||
           there_bytes == ipv6_packet_bytes(header);
}

bool filter_keys_of(const struct packet *packet, struct filter_keys *keys, unsigned i)
{
    set_nothing_above(keys, i);
    return packet->network_protocol == PACKET_IPV6 ? keys_of_ipv6(packet, keys, i)
                                                   : keys_of_ipv4(packet, keys, i);
}

/* ---- Plain packets, by columns --------------------------------------------------------------- */

/* What is not in the headers that routers look at. */
enum {
    UPPER_WORDS = 1 << FILTER_PROTOCOL | 1 << FILTER_SOURCE_PORT | 1 << FILTER_DESTINATION_PORT |
                  1 << FILTER_TYPE | 1 << FILTER_FLAGS | 1 << FILTER_FRAGMENT,
};

/* Buffers are so long that one may look past a header whatever the frame's length. */
static const uint8_t *header_in(const struct batch *batch, unsigned i)
{
    return batch->packets[i]->data + ETHERNET_HEADER_BYTES;
}

static void take_word(const struct batch *batch, size_t offset, uint32_t *column)
{
    for (unsigned i = 0; i < batch->count; i++)
        column[i] = load_be32(header_in(batch, i) + offset);
}

/* What the header of header_bytes carries, whole. */
static void take_upper(const struct batch *batch, size_t header_bytes, size_t protocol_offset,
                       struct filter_keys *keys)
{
    const uint32_t headers_bytes = ETHERNET_HEADER_BYTES + (uint32_t)header_bytes;

    for (unsigned i = 0; i < batch->count; i++) {
        const uint8_t *header = header_in(batch, i);
        const uint32_t length_bytes = batch->packets[i]->length_bytes;
        struct upper upper = { header + header_bytes,
                               MAX_OF(length_bytes, headers_bytes) - headers_bytes };

        set(keys, FILTER_PROTOCOL, i, header[protocol_offset]);
        set(keys, FILTER_FRAGMENT, i, FILTER_WHOLE);
        set_nothing_above(keys, i);
        set_upper(keys, i, header[protocol_offset], upper);
    }
}

static RARE uint64_t find_pieces(const struct batch *batch)
{
    uint64_t found = 0;

    for (unsigned i = 0; i < batch->count; i++)
        if (ipv4_is_fragment((const void *)header_in(batch, i)))
            found |= bit_of(i);
    return found;
}

/* Answers which are in pieces, whose words are others. The source is what most rules ask for. */
static uint64_t take_ipv4(const struct batch *batch, unsigned asked, struct filter_keys *keys)
{
    const unsigned count = batch->count;
    uint16_t fragment_be = 0;

#pragma GCC unroll 4
    for (unsigned i = 0; i < count; i++) {
        const struct ipv4_header *header = (const void *)header_in(batch, i);
        set(keys, FILTER_SOURCE, i, load_be32(&header->source_be));
        fragment_be |= header->fragment_be;
    }
    if ((asked >> FILTER_DESTINATION & 1) != 0)
        take_word(batch, offsetof(struct ipv4_header, destination_be),
                  keys->words[FILTER_DESTINATION]);
    if ((asked & UPPER_WORDS) != 0)
        take_upper(batch, IPV4_HEADER_BYTES, offsetof(struct ipv4_header, protocol), keys);
    return (__builtin_bswap16(fragment_be) & IPV4_IN_PIECES) != 0 ? find_pieces(batch) : 0;
}

/* Answers which may have extension headers: what they carry is none of the usual protocols. */
static uint64_t take_ipv6(const struct batch *batch, unsigned asked, struct filter_keys *keys)
{
    const uint64_t usual =
        UINT64_C(1) << PROTOCOL_TCP | UINT64_C(1) << PROTOCOL_UDP | UINT64_C(1) << PROTOCOL_ICMP6;
    const size_t source = offsetof(struct ipv6_header, source);
    uint64_t others = 0;

    for (unsigned i = 0; i < batch->count; i++) {
        uint8_t protocol = header_in(batch, i)[offsetof(struct ipv6_header, next_header)];
        if (UNLIKELY(protocol >= 64 || (usual >> protocol & 1) == 0))
            others |= bit_of(i);
    }
    /* The two addresses follow each other in the header as well as in the words. */
    for (unsigned word = FILTER_SOURCE; word < FILTER_PROTOCOL; word++)
        if ((asked >> word & 1) != 0)
            take_word(batch, source + (word - FILTER_SOURCE) * 4, keys->words[word]);
    if ((asked & UPPER_WORDS) != 0)
        take_upper(batch, IPV6_HEADER_BYTES, offsetof(struct ipv6_header, next_header), keys);
    return others;
}

uint64_t filter_keys_of_batch(const struct batch *batch, uint64_t unusual, unsigned asked,
                              struct filter_keys *keys)
{
    const bool ipv6 = batch->packets[0]->network_protocol == PACKET_IPV6;
    uint64_t left = unusual, opaque = 0;

    left |= ipv6 ? take_ipv6(batch, asked, keys) : take_ipv4(batch, asked, keys);
    while (UNLIKELY(left != 0)) {
        unsigned i = bits_take_first(&left);
        if (!filter_keys_of(batch->packets[i], keys, i))
            opaque |= bit_of(i);
    }
    return opaque;
}
