/* See ipv6.h. The walk goes from header to header, each of which must lie within what is here of
 * the packet; offsets are compared by what is left, and stay below 40 + 8 * 2048. */
#include "net/wire/ipv6.h"

#include "net/wire/checksum.h"
#include "net/wire/icmp6.h"

const uint8_t ipv6_unspecified[IPV6_ADDRESS_BYTES] = { 0 };
const uint8_t ipv6_all_nodes[IPV6_ADDRESS_BYTES] = { 0xff, 2, [15] = 1 };
const uint8_t ipv6_all_routers[IPV6_ADDRESS_BYTES] = { 0xff, 2, [15] = 2 };
const uint8_t ipv6_all_mld2_routers[IPV6_ADDRESS_BYTES] = { 0xff, 2, [15] = 0x16 };

enum ipv6_validity ipv6_check(const void *data, size_t header_bytes, size_t packet_bytes)
{
    const struct ipv6_header *header = data;
    const uint8_t *bytes = data;

    if (header_bytes < IPV6_HEADER_BYTES || packet_bytes < IPV6_HEADER_BYTES)
        return IPV6_TRUNCATED;
    if (bytes[0] >> 4 != 6)
        return IPV6_BAD_HEADER;
    if (header->payload_length_be == 0 && header->next_header == PROTOCOL_HOP_BY_HOP)
        return IPV6_BAD_HEADER;
    if (ipv6_packet_bytes(header) > packet_bytes)
        return IPV6_TRUNCATED;
    return IPV6_GOOD;
}

/* ---- Fragment header --------------------------------------------------------------------------
 */

/* next header | reserved | offset in units of 8 (13 bits), reserved (2), more (1) | identification
 */
enum { FRAGMENT_OFFSET_MASK = 0xfff8, FRAGMENT_MORE = 1 };

void ipv6_fragment_read(const uint8_t bytes[IPV6_FRAGMENT_HEADER_BYTES],
                        struct ipv6_fragment *fragment)
{
    uint16_t offset_and_flags = load_be16(bytes + 2);

    fragment->next_header = bytes[0];
    fragment->offset_bytes = offset_and_flags & FRAGMENT_OFFSET_MASK;
    fragment->more = offset_and_flags & FRAGMENT_MORE;
    fragment->identification = load_be32(bytes + 4);
}

void ipv6_fragment_write(const struct ipv6_fragment *fragment,
                         uint8_t out[IPV6_FRAGMENT_HEADER_BYTES])
{
    unsigned offset = fragment->offset_bytes & FRAGMENT_OFFSET_MASK;

    out[0] = fragment->next_header;
    out[1] = 0;
    store_be16(out + 2, (uint16_t)(offset | (fragment->more ? FRAGMENT_MORE : 0)));
    store_be32(out + 4, fragment->identification);
}

/* ---- The chain ------------------------------------------------------------------------------ */

enum {
    NEXT_HEADER_AT = 6, /* in the IPv6 header; in all others 0 */
    PAYLOAD_LENGTH_AT = 4,
    LENGTH_AT = 1, /* in an extension header and in an option */
    ROUTING_TYPE_AT = 2,
    SEGMENTS_LEFT_AT = 3,
    OPTIONS_AT = 2,
    OPTION_HEAD_BYTES = 2,
    ROUTER_ALERT_BYTES = 2, /* of value */
    TCP_HEADER_BYTES = 20,
    FRAGMENT_OFFSET_AT = 2,
};

/* Where the walk is. Nothing is looked at beyond `here_bytes`. */
struct walk {
    const uint8_t *packet;
    uint32_t here_bytes;   /* contiguous, and of the packet */
    uint32_t packet_bytes; /* as the IPv6 header says */
    enum ipv6_purpose purpose;
    struct ipv6_headers *headers;
};

static enum ipv6_chain problem(const struct walk *walk, uint8_t code, uint32_t pointer)
{
    walk->headers->problem_code = code;
    walk->headers->problem_pointer = (uint16_t)pointer;
    return IPV6_CHAIN_PROBLEM;
}

static bool is_extension(uint8_t protocol)
{
    switch (protocol) {
    case PROTOCOL_HOP_BY_HOP:
    case PROTOCOL_ROUTING:
    case PROTOCOL_FRAGMENT:
    case PROTOCOL_AUTHENTICATION:
    case PROTOCOL_DESTINATION_OPTIONS:
        return true;
    }
    return false;
}

/* Is there a header of length_bytes at this offset, which is not beyond what is here? Where the
 * packet ends before it, the fault is in the field at `pointer`. */
static enum ipv6_chain header_fits(const struct walk *walk, uint32_t at, uint32_t length_bytes,
                                   uint32_t pointer)
{
    if (length_bytes <= walk->here_bytes - at)
        return IPV6_CHAIN_GOOD;
    if (length_bytes <= walk->packet_bytes - at)
        return problem(walk, ICMP6_CHAIN_TOO_LONG, walk->here_bytes);
    if (ipv6_is_fragment(walk->headers)) /* the first: RFC 8200 4.5 wants a pointer of 0 */
        return problem(walk, ICMP6_INCOMPLETE_CHAIN, 0);
    return problem(walk, ICMP6_ERRONEOUS_FIELD, pointer);
}

/* RFC 8200 4.2, by the two highest bits of the type. */
static enum ipv6_chain unknown_option(const struct walk *walk, uint32_t at)
{
    enum { SKIP, DISCARD, TELL, TELL_UNLESS_MULTICAST };
    const struct ipv6_header *header = (const void *)walk->packet;

    switch (walk->packet[at] >> 6) {
    case SKIP:
        return IPV6_CHAIN_GOOD;
    case TELL_UNLESS_MULTICAST:
        if (ipv6_is_multicast(header->destination))
            return IPV6_CHAIN_DISCARD;
        return problem(walk, ICMP6_UNKNOWN_OPTION, at);
    case TELL:
        return problem(walk, ICMP6_UNKNOWN_OPTION, at);
    default:
        return IPV6_CHAIN_DISCARD;
    }
}

/* The options between `at` and `end`, of a hop-by-hop or destination options header. */
static enum ipv6_chain options_walk(const struct walk *walk, uint32_t at, uint32_t end,
                                    bool is_hop_by_hop)
{
    const uint8_t *packet = walk->packet;
    unsigned count = 0;

    while (at < end) {
        uint8_t type = packet[at];
        if (type == IPV6_OPTION_PAD1) {
            at++;
            continue;
        }
        if (end - at < OPTION_HEAD_BYTES)
            return problem(walk, ICMP6_ERRONEOUS_FIELD, at);
        uint32_t value_bytes = packet[at + LENGTH_AT];
        if (value_bytes > end - at - OPTION_HEAD_BYTES)
            return problem(walk, ICMP6_ERRONEOUS_FIELD, at + LENGTH_AT);
        if (type != IPV6_OPTION_PADN && ++count > IPV6_OPTIONS_MAX)
            return problem(walk, ICMP6_TOO_MANY_OPTIONS, at);

        if (type == IPV6_OPTION_ROUTER_ALERT && is_hop_by_hop) {
            if (value_bytes != ROUTER_ALERT_BYTES)
                return problem(walk, ICMP6_ERRONEOUS_FIELD, at + LENGTH_AT);
            walk->headers->router_alert = true;
            walk->headers->router_alert_value = load_be16(packet + at + OPTION_HEAD_BYTES);
        } else if (type != IPV6_OPTION_PADN) {
            enum ipv6_chain chain = unknown_option(walk, at);
            if (chain != IPV6_CHAIN_GOOD)
                return chain;
        }
        at += OPTION_HEAD_BYTES + value_bytes;
    }
    return IPV6_CHAIN_GOOD;
}

/* Looks into one header, which is here to its last byte. */
static enum ipv6_chain header_look(const struct walk *walk, uint8_t protocol, uint32_t at,
                                   uint32_t length_bytes)
{
    struct ipv6_headers *headers = walk->headers;
    const uint8_t *bytes = walk->packet + at;
    bool delivered = walk->purpose == IPV6_TO_DELIVER && !ipv6_is_fragment(headers);

    switch (protocol) {
    case PROTOCOL_HOP_BY_HOP:
        headers->has_hop_by_hop = true;
        if (walk->purpose == IPV6_TO_QUOTE)
            return IPV6_CHAIN_GOOD;
        return options_walk(walk, at + OPTIONS_AT, at + length_bytes, true);
    case PROTOCOL_DESTINATION_OPTIONS:
        if (!delivered)
            return IPV6_CHAIN_GOOD;
        return options_walk(walk, at + OPTIONS_AT, at + length_bytes, false);
    case PROTOCOL_ROUTING:
        headers->has_routing = true;
        headers->routing_type = bytes[ROUTING_TYPE_AT];
        headers->segments_left = bytes[SEGMENTS_LEFT_AT];
        if (delivered && headers->segments_left > 0)
            return problem(walk, ICMP6_ERRONEOUS_FIELD, at + ROUTING_TYPE_AT);
        return IPV6_CHAIN_GOOD;
    case PROTOCOL_FRAGMENT:
        headers->fragment_offset = (uint16_t)at;
        headers->fragment_named_offset = headers->next_header_offset;
        ipv6_fragment_read(bytes, &headers->fragment);
        return IPV6_CHAIN_GOOD;
    }
    return IPV6_CHAIN_GOOD; /* authentication: not judged */
}

static uint32_t extension_bytes(uint8_t protocol, uint8_t length)
{
    switch (protocol) {
    case PROTOCOL_FRAGMENT: /* the byte is reserved */
        return IPV6_FRAGMENT_HEADER_BYTES;
    case PROTOCOL_AUTHENTICATION: /* RFC 4302 2.2: in units of 4, less 2 */
        return (length + 2u) * 4;
    default:
        return (length + 1u) * IPV6_EXTENSION_UNIT;
    }
}

/* How much of the upper layer a first fragment must hold: RFC 7112 3 and 5. */
static uint32_t upper_minimum_bytes(uint8_t protocol)
{
    enum { TCP = 6, UDP = 17 };

    switch (protocol) {
    case TCP:
        return TCP_HEADER_BYTES;
    case UDP:
    case PROTOCOL_ICMP6:
        return 8;
    }
    return 0;
}

enum ipv6_chain ipv6_headers_walk(const void *data, size_t header_bytes, enum ipv6_purpose purpose,
                                  struct ipv6_headers *headers)
{
    const struct ipv6_header *header = data;
    const uint32_t packet_bytes = ipv6_packet_bytes(header);
    const struct walk walk = {
        .packet = data,
        .here_bytes = (uint32_t)MIN_OF(header_bytes, (size_t)packet_bytes),
        .packet_bytes = packet_bytes,
        .purpose = purpose,
        .headers = headers,
    };
    uint32_t at = IPV6_HEADER_BYTES;
    uint32_t length_at = PAYLOAD_LENGTH_AT; /* of the field that says where the next header is */
    uint8_t next = header->next_header;
    enum ipv6_chain chain;

    *headers = (struct ipv6_headers){ .next_header_offset = NEXT_HEADER_AT };
    while (is_extension(next) && !ipv6_is_later_fragment(headers)) {
        if (next == PROTOCOL_FRAGMENT && headers->fragment_offset != 0)
            break;
        if (next == PROTOCOL_HOP_BY_HOP && at != IPV6_HEADER_BYTES) {
            if (purpose != IPV6_TO_DELIVER)
                break;
            return problem(&walk, ICMP6_UNKNOWN_NEXT_HEADER, headers->next_header_offset);
        }
        if (headers->extension_count == IPV6_EXTENSIONS_MAX)
            return problem(&walk, ICMP6_TOO_MANY_EXTENSIONS, at);

        chain = header_fits(&walk, at, IPV6_EXTENSION_UNIT, length_at);
        if (chain != IPV6_CHAIN_GOOD)
            return chain;
        uint32_t length_bytes = extension_bytes(next, walk.packet[at + LENGTH_AT]);
        chain = header_fits(&walk, at, length_bytes, at + LENGTH_AT);
        if (chain != IPV6_CHAIN_GOOD)
            return chain;
        chain = header_look(&walk, next, at, length_bytes);
        if (chain != IPV6_CHAIN_GOOD)
            return chain;

        headers->extension_count++;
        headers->next_header_offset = (uint16_t)at;
        next = walk.packet[at];
        at += length_bytes;
    }
    headers->protocol = next;
    headers->upper_offset = (uint16_t)at;
    if (ipv6_is_fragment(headers) && !ipv6_is_later_fragment(headers) &&
        upper_minimum_bytes(next) > packet_bytes - at)
        return problem(&walk, ICMP6_INCOMPLETE_CHAIN, 0);
    return IPV6_CHAIN_GOOD;
}

bool ipv6_fragment_is_possible(const struct ipv6_header *header, struct ipv6_headers *headers)
{
    const struct ipv6_fragment *fragment = &headers->fragment;
    uint32_t before_bytes = headers->fragment_offset - (uint32_t)IPV6_HEADER_BYTES;
    uint32_t data_bytes = ipv6_payload_bytes(header) - before_bytes - IPV6_FRAGMENT_HEADER_BYTES;

    headers->problem_code = ICMP6_ERRONEOUS_FIELD;
    if (fragment->more && data_bytes % IPV6_EXTENSION_UNIT != 0) {
        headers->problem_pointer = PAYLOAD_LENGTH_AT;
        return false;
    }
    headers->problem_pointer = headers->fragment_offset + FRAGMENT_OFFSET_AT;
    return before_bytes + fragment->offset_bytes + data_bytes <= UINT16_MAX;
}

void ipv6_router_alert_write(uint8_t next_header, uint16_t value,
                             uint8_t out[IPV6_ROUTER_ALERT_HEADER_BYTES])
{
    out[0] = next_header;
    out[1] = 0; /* units beyond the first */
    out[2] = IPV6_OPTION_ROUTER_ALERT;
    out[3] = ROUTER_ALERT_BYTES;
    store_be16(out + 4, value);
    out[6] = IPV6_OPTION_PADN;
    out[7] = 0;
}

uint64_t ipv6_pseudo_sum(const uint8_t *source, const uint8_t *destination, uint32_t upper_bytes,
                         uint8_t protocol)
{
    uint64_t sum = checksum_add(0, source, IPV6_ADDRESS_BYTES);

    sum = checksum_add(sum, destination, IPV6_ADDRESS_BYTES);
    return sum + __builtin_bswap32(upper_bytes) + __builtin_bswap32(protocol);
}
