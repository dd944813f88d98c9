/* The IPv4 header (RFC 791 3.1). ipv4_check() looks at everything once; after it says IPV4_GOOD the
 * fixed struct may be laid over the bytes, at any alignment. */
#pragma once

#include "kernel/base/bytes.h"
#include "kernel/base/types.h"

enum {
    IPV4_HEADER_BYTES = 20,
    IPV4_HEADER_MAX_BYTES = 60,
    IPV4_PACKET_MAX_BYTES = 65535,
    IPV4_MINIMUM_MTU = 68, /* RFC 791 3.2: every link carries this much */

    IPV4_DONT_FRAGMENT = 0x4000,
    IPV4_MORE_FRAGMENTS = 0x2000,
    IPV4_FRAGMENT_OFFSET = 0x1fff,                               /* in units of 8 bytes */
    IPV4_IN_PIECES = IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET, /* any of these bits */
    IPV4_FRAGMENT_UNIT = 8,

    PROTOCOL_ICMP = 1,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
};

struct ipv4_header {
    uint8_t version_and_length; /* 4, and the header's length in 32-bit words */
    uint8_t type_of_service;
    uint16_t total_length_be;
    uint16_t identification_be;
    uint16_t fragment_be; /* flags and offset */
    uint8_t ttl;
    uint8_t protocol;
    uint16_t checksum_be;
    uint32_t source_be;
    uint32_t destination_be;
} __attribute__((packed));
_Static_assert(sizeof(struct ipv4_header) == IPV4_HEADER_BYTES, "as on the wire");

enum ipv4_validity {
    IPV4_GOOD,
    IPV4_BAD_HEADER, /* version, header length, or total length shorter than the header */
    IPV4_BAD_CHECKSUM,
    IPV4_TRUNCATED, /* fewer bytes came than the header or the total length says */
};

/* RFC 1812 5.2.2, in its order. `data` holds header_bytes contiguous bytes of a packet of which
 * packet_bytes came in all. */
enum ipv4_validity ipv4_check(const void *data, size_t header_bytes,
                              size_t packet_bytes) MUST_CHECK;

/* True: surely IPV4_GOOD, without options, and the packet ends where its header says. False: ask
 * ipv4_check(). `data` holds packet_bytes, at least 20. For the datapath: no call, no loop. */
static inline bool ipv4_is_plain(const void *data, uint32_t packet_bytes)
{
    const uint8_t *bytes = data;
    const uint32_t type_of_service = 0xff << 16;

    /* Version and header length, type of service, total length. */
    if ((load_be32(bytes) & ~type_of_service) != 0x45000000 + packet_bytes)
        return false;
    /* The one's complement sum of 16-bit words is all ones, or zero, exactly where the plain sum is
     * a multiple of 0xffff; and 32-bit words sum up to the same remainder. */
    uint64_t sum = load_le32(bytes);
    sum += load_le32(bytes + 4);
    sum += load_le32(bytes + 8);
    sum += load_le32(bytes + 12);
    sum += load_le32(bytes + 16);
    return sum % 0xffff == 0;
}

static inline unsigned ipv4_header_bytes(const struct ipv4_header *header)
{
    return (header->version_and_length & 15u) * 4;
}

static inline uint16_t ipv4_total_bytes(const struct ipv4_header *header)
{
    return __builtin_bswap16(header->total_length_be);
}

static inline uint16_t ipv4_fragment(const struct ipv4_header *header)
{
    return __builtin_bswap16(header->fragment_be);
}

static inline unsigned ipv4_fragment_offset_bytes(const struct ipv4_header *header)
{
    return (ipv4_fragment(header) & IPV4_FRAGMENT_OFFSET) * (unsigned)IPV4_FRAGMENT_UNIT;
}

/* Any piece of a datagram that is not whole. */
static inline bool ipv4_is_fragment(const struct ipv4_header *header)
{
    return (ipv4_fragment(header) & IPV4_IN_PIECES) != 0;
}

/* Classes of addresses; directed broadcasts are known to the forwarding view alone. */
static inline bool ipv4_is_multicast(uint32_t address_be) /* 224/4 */
{
    return (address_be & 0xf0) == 0xe0;
}

static inline bool ipv4_is_loopback(uint32_t address_be) /* 127/8 */
{
    return (address_be & 0xff) == 127;
}

static inline bool ipv4_is_this_network(uint32_t address_be) /* 0/8 */
{
    return (address_be & 0xff) == 0;
}

static inline bool ipv4_is_reserved(uint32_t address_be) /* 240/4, 255.255.255.255 included */
{
    return (address_be & 0xf0) == 0xf0;
}

static inline bool ipv4_is_limited_broadcast(uint32_t address_be)
{
    return address_be == 0xffffffff;
}

/* What can be one station's own address on a link: RFC 1812 5.3.7, RFC 1122 3.2.1.3. */
static inline bool ipv4_is_station(uint32_t address_be)
{
    return !ipv4_is_multicast(address_be) && !ipv4_is_reserved(address_be) &&
           !ipv4_is_loopback(address_be) && !ipv4_is_this_network(address_be);
}

/* What ipv4_options_walk() finds between the 20th byte and the header's end. */
struct ipv4_options {
    bool source_route;    /* loose or strict */
    bool router_alert;    /* RFC 2113 */
    uint8_t error_offset; /* where ICMP's parameter problem points, from the header's start */
};

enum {
    IPV4_OPTION_END = 0,
    IPV4_OPTION_NOTHING = 1,
    IPV4_OPTION_RECORD_ROUTE = 7,
    IPV4_OPTION_TIMESTAMP = 68,
    IPV4_OPTION_LOOSE_ROUTE = 131,
    IPV4_OPTION_STRICT_ROUTE = 137,
    IPV4_OPTION_ROUTER_ALERT = 148,
    IPV4_OPTION_COPIED = 0x80, /* RFC 791 3.1: repeated in every fragment */
};

/* Walks the options of a header of header_bytes, which ipv4_check() found good. False where one is
 * malformed; then error_offset is where. */
bool ipv4_options_walk(const void *header, size_t header_bytes,
                       struct ipv4_options *options) MUST_CHECK;

/* Writes the options of `header` that every fragment but the first must carry, padded to 32 bits,
 * to out; how many bytes. The options have been walked before. */
size_t ipv4_options_copied(const void *header, size_t header_bytes,
                           uint8_t out[IPV4_HEADER_MAX_BYTES - IPV4_HEADER_BYTES]);

/* Computes the header's checksum anew. */
void ipv4_seal(struct ipv4_header *header);

/* TTL minus one, with the checksum by difference: RFC 1624 equation 3, HC' = ~(~HC + ~m + m').
 * As the words lie in memory on this little-endian machine, m' is m - 1, and so HC' is HC + 1 with
 * the carry added at the low end. TTL and checksum are in one 32-bit word, from bits 0 and 16. */
static inline void ipv4_decrement_ttl(struct ipv4_header *header)
{
    uint32_t word = load_le32(&header->ttl);
    uint32_t next = word + 0x10000 - 1;

    if (UNLIKELY(word >= 0xfffe0000)) /* to 0xffff, which is 0, or with carry */
        next += 0x10000;
    store_le32(&header->ttl, next);
}

/* Sum of the pseudo-header of UDP and TCP (RFC 768), for checksum_add(). */
uint64_t ipv4_pseudo_sum(uint32_t source_be, uint32_t destination_be, uint8_t protocol,
                         uint16_t length_bytes);
