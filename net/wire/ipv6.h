/* The IPv6 header and its extension headers (RFC 8200). ipv6_check() looks at the fixed header;
 * after it says IPV6_GOOD the fixed struct may be laid over the bytes, at any alignment, and
 * ipv6_headers_walk() may go along the chain of what follows:
 *
 *   IPv6 header | hop-by-hop | destination options | routing | fragment | ... | upper layer
 *
 * each of which says in its first byte what comes next. There is no checksum: the hop limit is a
 * plain byte to decrement. An address is 16 bytes in wire order. */
#pragma once

#include "kernel/base/bytes.h"
#include "kernel/base/types.h"

enum {
    IPV6_ADDRESS_BYTES = 16,
    IPV6_HEADER_BYTES = 40,
    IPV6_PACKET_MAX_BYTES = 40 + 65535, /* without jumbograms (RFC 2675), which we refuse */
    IPV6_MINIMUM_MTU = 1280,            /* RFC 8200 5: every link carries this much */
    IPV6_INTERFACE_ID_BYTES = 8,        /* RFC 4291 2.5.1 */

    /* Headers and options that are looked at: RFC 8504 5.3 lets a node have such limits and gives 8
     * as the number of options, padding not counted. More is refused, with RFC 8883's codes. */
    IPV6_EXTENSIONS_MAX = 8, /* hence a chain is at most 40 + 8 * 2048 bytes long */
    IPV6_OPTIONS_MAX = 8,    /* in one header */

    IPV6_EXTENSION_UNIT = 8, /* extension headers are so many bytes long, or a multiple */
    IPV6_FRAGMENT_HEADER_BYTES = 8,
    IPV6_ROUTER_ALERT_HEADER_BYTES = 8,

    PROTOCOL_HOP_BY_HOP = 0,
    PROTOCOL_ROUTING = 43,
    PROTOCOL_FRAGMENT = 44,
    PROTOCOL_ENCRYPTED = 50,      /* ESP, RFC 4303: nothing behind it can be read */
    PROTOCOL_AUTHENTICATION = 51, /* AH, RFC 4302 */
    PROTOCOL_ICMP6 = 58,
    PROTOCOL_NO_NEXT_HEADER = 59,
    PROTOCOL_DESTINATION_OPTIONS = 60,

    /* Options of hop-by-hop and destination options headers. */
    IPV6_OPTION_PAD1 = 0,
    IPV6_OPTION_PADN = 1,
    IPV6_OPTION_ROUTER_ALERT = 5, /* RFC 2711 2.1; hop-by-hop only */

    IPV6_ROUTER_ALERT_MLD = 0,

    /* Scopes of multicast: RFC 4291 2.7, RFC 7346 2. */
    IPV6_SCOPE_INTERFACE = 1,
    IPV6_SCOPE_LINK = 2,
    IPV6_SCOPE_REALM = 3,
    IPV6_SCOPE_ADMIN = 4,
    IPV6_SCOPE_SITE = 5,
    IPV6_SCOPE_ORGANIZATION = 8,
    IPV6_SCOPE_GLOBAL = 14,
};

struct ipv6_header {
    uint32_t version_class_flow_be; /* 6 (4 bits), traffic class (8), flow label (20) */
    uint16_t payload_length_be;     /* extension headers included, this one not */
    uint8_t next_header;
    uint8_t hop_limit;
    uint8_t source[IPV6_ADDRESS_BYTES];
    uint8_t destination[IPV6_ADDRESS_BYTES];
} __attribute__((packed));
_Static_assert(sizeof(struct ipv6_header) == IPV6_HEADER_BYTES, "as on the wire");

enum ipv6_validity {
    IPV6_GOOD,
    IPV6_BAD_HEADER, /* version, or a jumbogram: payload length 0 before hop-by-hop options */
    IPV6_TRUNCATED,  /* fewer bytes came than the header or the payload length says */
};

/* `data` holds header_bytes contiguous bytes of a packet of which packet_bytes came in all. More
 * than the payload length says is padding of the link. */
enum ipv6_validity ipv6_check(const void *data, size_t header_bytes,
                              size_t packet_bytes) MUST_CHECK;

/* True: surely IPV6_GOOD, the packet ends where its header says, and no extension header follows
 * that a router has to look at: hop-by-hop options (RFC 8200 4.3), or a routing header (4.4).
 * False: ask ipv6_check(). `data` holds at least 40 bytes of packet_bytes. For the datapath: no
 * call, no loop; and one question about the next header, which suspects also those whose numbers
 * end in the same six bits: 64, 107 and others that are hardly ever seen. */
static inline bool ipv6_is_plain_version_6(const void *data, uint32_t packet_bytes)
{
    const uint64_t suspects = (uint64_t)1 << PROTOCOL_HOP_BY_HOP | (uint64_t)1 << PROTOCOL_ROUTING;
    uint32_t word = load_be32((const uint8_t *)data + 4); /* length, next header, hop limit */

    return word >> 16 == packet_bytes - IPV6_HEADER_BYTES &&
           (suspects >> (word >> 8 & 63) & 1) == 0;
}

/* The same, where the version is not known yet. */
static inline bool ipv6_is_plain(const void *data, uint32_t packet_bytes)
{
    return *(const uint8_t *)data >> 4 == 6 && ipv6_is_plain_version_6(data, packet_bytes);
}

static inline uint16_t ipv6_payload_bytes(const struct ipv6_header *header)
{
    return __builtin_bswap16(header->payload_length_be);
}

static inline uint32_t ipv6_packet_bytes(const struct ipv6_header *header)
{
    return IPV6_HEADER_BYTES + (uint32_t)ipv6_payload_bytes(header);
}

static inline uint8_t ipv6_traffic_class(const struct ipv6_header *header)
{
    return (uint8_t)(__builtin_bswap32(header->version_class_flow_be) >> 20);
}

static inline uint32_t ipv6_flow_label(const struct ipv6_header *header)
{
    return __builtin_bswap32(header->version_class_flow_be) & 0xfffff;
}

/* The header's first word. */
static inline uint32_t ipv6_version_word_be(uint8_t traffic_class, uint32_t flow_label)
{
    return __builtin_bswap32(6u << 28 | (uint32_t)traffic_class << 20 | (flow_label & 0xfffff));
}

/* ---- Addresses (RFC 4291) ------------------------------------------------------------------- */

extern const uint8_t ipv6_unspecified[IPV6_ADDRESS_BYTES];
extern const uint8_t ipv6_all_nodes[IPV6_ADDRESS_BYTES];        /* ff02::1 */
extern const uint8_t ipv6_all_routers[IPV6_ADDRESS_BYTES];      /* ff02::2 */
extern const uint8_t ipv6_all_mld2_routers[IPV6_ADDRESS_BYTES]; /* ff02::16, RFC 3810 5.2.14 */

static inline bool ipv6_equal(const uint8_t *a, const uint8_t *b)
{
    return ((load_be64(a) ^ load_be64(b)) | (load_be64(a + 8) ^ load_be64(b + 8))) == 0;
}

static inline bool ipv6_is_unspecified(const uint8_t *address) /* :: */
{
    return (load_be64(address) | load_be64(address + 8)) == 0;
}

static inline bool ipv6_is_loopback(const uint8_t *address) /* ::1 */
{
    return load_be64(address) == 0 && load_be64(address + 8) == 1;
}

static inline bool ipv6_is_multicast(const uint8_t *address) /* ff00::/8 */
{
    return address[0] == 0xff;
}

static inline bool ipv6_is_link_local(const uint8_t *address) /* fe80::/10 */
{
    return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

static inline bool ipv6_is_unique_local(const uint8_t *address) /* fc00::/7, RFC 4193 3.1 */
{
    return (address[0] & 0xfe) == 0xfc;
}

static inline bool ipv6_is_v4_mapped(const uint8_t *address) /* ::ffff:0:0/96 */
{
    return load_be64(address) == 0 && load_be32(address + 8) == 0xffff;
}

/* What can be one station's own address on a link. */
static inline bool ipv6_is_station(const uint8_t *address)
{
    return !ipv6_is_multicast(address) && !ipv6_is_unspecified(address) &&
           !ipv6_is_loopback(address) && !ipv6_is_v4_mapped(address);
}

/* IPV6_SCOPE_ of a multicast address. 0, 15 and those not named are reserved or unassigned. */
static inline uint8_t ipv6_multicast_scope(const uint8_t *address)
{
    return address[1] & 15;
}

static inline bool ipv6_is_solicited_node(const uint8_t *address) /* ff02::1:ff00:0/104 */
{
    return load_be64(address) == 0xff02000000000000 && load_be32(address + 8) == 1 &&
           address[12] == 0xff;
}

/* The group in which the owner of an address is asked for: RFC 4291 2.7.1. */
static inline void ipv6_solicited_node(const uint8_t *address, uint8_t out[IPV6_ADDRESS_BYTES])
{
    const uint8_t last[3] = { address[13], address[14], address[15] }; /* out may be address */

    memset(out, 0, IPV6_ADDRESS_BYTES);
    out[0] = 0xff;
    out[1] = IPV6_SCOPE_LINK;
    out[11] = 1;
    out[12] = 0xff;
    memcpy(out + 13, last, sizeof(last));
}

/* Where Ethernet carries a group: RFC 2464 7. */
static inline void ipv6_multicast_mac(const uint8_t *address, uint8_t mac[6])
{
    mac[0] = 0x33;
    mac[1] = 0x33;
    memcpy(mac + 2, address + 12, 4);
}

/* The interface identifier that is made of a MAC: RFC 2464 4, RFC 4291 appendix A. */
static inline void ipv6_eui64(const uint8_t *mac, uint8_t out[IPV6_INTERFACE_ID_BYTES])
{
    out[0] = mac[0] ^ 2;
    out[1] = mac[1];
    out[2] = mac[2];
    out[3] = 0xff;
    out[4] = 0xfe;
    memcpy(out + 5, mac + 3, 3);
}

/* ---- Fragment header (RFC 8200 4.5) --------------------------------------------------------- */

struct ipv6_fragment {
    uint32_t identification;
    uint16_t offset_bytes; /* a multiple of 8 */
    uint8_t next_header;
    bool more;
};

void ipv6_fragment_read(const uint8_t bytes[IPV6_FRAGMENT_HEADER_BYTES],
                        struct ipv6_fragment *fragment);
void ipv6_fragment_write(const struct ipv6_fragment *fragment,
                         uint8_t out[IPV6_FRAGMENT_HEADER_BYTES]);

/* ---- The chain of extension headers --------------------------------------------------------- */

/* Who asks. */
enum ipv6_purpose {
    IPV6_TO_FORWARD, /* only hop-by-hop options are judged */
    /* Destination options and routing headers as well; but not those behind the fragment header of
     * a piece, as the packet is walked again once it is whole. */
    IPV6_TO_DELIVER,
    IPV6_TO_QUOTE, /* in an ICMP error: lengths only */
};

enum ipv6_chain {
    IPV6_CHAIN_GOOD,
    IPV6_CHAIN_DISCARD, /* an option wants it dropped without a word */
    IPV6_CHAIN_PROBLEM, /* dropped, and an ICMPv6 parameter problem with `problem_` is owed */
};

/* What the walk found. Offsets count from the IPv6 header's first byte; 0: there is none. */
struct ipv6_headers {
    uint8_t protocol;            /* what the chain ends with: see ipv6_headers_walk() */
    uint16_t upper_offset;       /* of its header; of a later fragment, of its piece of data */
    uint16_t next_header_offset; /* of the byte that says `protocol`: the pointer that is owed where
                                  * we do not know it (RFC 4443 3.4, code 1) */
    uint8_t extension_count;

    bool has_hop_by_hop;
    bool router_alert; /* then with router_alert_value */
    uint16_t router_alert_value;

    bool has_routing; /* of the last one */
    uint8_t routing_type;
    uint8_t segments_left;

    uint16_t fragment_offset;       /* of the fragment header */
    uint16_t fragment_named_offset; /* of the next header byte that says 44 */
    struct ipv6_fragment fragment;

    uint8_t problem_code; /* ICMP6_ of a parameter problem */
    uint16_t problem_pointer;
};

/* A piece of a packet. One that is the only fragment of itself is none: RFC 8200 4.5, RFC 6946. */
static inline bool ipv6_is_fragment(const struct ipv6_headers *headers)
{
    return headers->fragment_offset != 0 &&
           (headers->fragment.more || headers->fragment.offset_bytes != 0);
}

static inline bool ipv6_is_later_fragment(const struct ipv6_headers *headers)
{
    return headers->fragment_offset != 0 && headers->fragment.offset_bytes != 0;
}

/* Walks a packet that ipv6_check() found good and of which `data` holds header_bytes (40 at least)
 * contiguous bytes: the whole, or the first segment. The chain ends with
 *   - any protocol that is no extension header of RFC 8200, ESP and "no next header" included, and
 *     so are mobility, HIP and Shim6, which we do not know;
 *   - the fragment header of a later fragment: `protocol` is then what it says comes next in the
 *     first one, an extension header perhaps;
 *   - a second fragment header, with protocol 44: nobody sends it, and behind it a filter could not
 *     tell what is the beginning of anything;
 *   - hop-by-hop options that are not first, with protocol 0; a problem where we deliver (RFC 8200
 *     4).
 *
 * IPV6_CHAIN_PROBLEM, in RFC 4443's and RFC 8883's codes:
 *   ICMP6_ERRONEOUS_FIELD       a length that runs over its end; a routing header with segments
 *                               left, of whatever type, since we know none (RFC 8200 4.4), type 0
 *                               least of all (RFC 5095 3)
 *   ICMP6_UNKNOWN_NEXT_HEADER   hop-by-hop options that are not first
 *   ICMP6_UNKNOWN_OPTION        where its two highest bits want it (RFC 8200 4.2); may be sent
 *                               about a packet to a group, RFC 4443 2.4 (e.3)
 *   ICMP6_INCOMPLETE_CHAIN      a first fragment without all headers, up to that of TCP, UDP and
 *                               ICMPv6 (RFC 8200 4.5, RFC 7112 5)
 *   ICMP6_CHAIN_TOO_LONG        more than the first header_bytes
 *   ICMP6_TOO_MANY_EXTENSIONS, ICMP6_TOO_MANY_OPTIONS */
enum ipv6_chain ipv6_headers_walk(const void *data, size_t header_bytes, enum ipv6_purpose purpose,
                                  struct ipv6_headers *headers) MUST_CHECK;

/* RFC 8200 4.5 of a piece whose chain is good: can it be part of any packet? False where it is not
 * the last and no multiple of 8 bytes long, or makes a payload of more than 65,535 bytes; then a
 * parameter problem with `problem_` is owed. */
bool ipv6_fragment_is_possible(const struct ipv6_header *header,
                               struct ipv6_headers *headers) MUST_CHECK;

/* A hop-by-hop header with nothing but a router alert, as MLD wants it (RFC 2711 2.1). */
void ipv6_router_alert_write(uint8_t next_header, uint16_t value,
                             uint8_t out[IPV6_ROUTER_ALERT_HEADER_BYTES]);

/* Sum of the pseudo-header of ICMPv6, UDP and TCP (RFC 8200 8.1), for checksum_add(). upper_bytes
 * is the length of the upper layer's header and data. */
uint64_t ipv6_pseudo_sum(const uint8_t *source, const uint8_t *destination, uint32_t upper_bytes,
                         uint8_t protocol);
