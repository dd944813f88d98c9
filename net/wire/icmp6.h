/* ICMP for IPv6 (RFC 4443): 4 bytes, 4 more that mean something else for each type, and a body:
 * what an echo carries, or the beginning of the packet that an error is about. Types below 128 are
 * errors. The checksum is over a pseudo-header and all of the message. Neighbor discovery's
 * messages are in nd.h, multicast listener discovery's in mld.h. */
#pragma once

#include "kernel/base/types.h"
#include "net/wire/ipv6.h"

enum {
    ICMP6_HEADER_BYTES = 8,
    ICMP6_QUOTED_TRANSPORT_BYTES = 8, /* what we want to see of a quote, behind its headers */
    /* RFC 4443 3: an error quotes as much as fits into a packet of the minimum MTU. */
    ICMP6_QUOTE_MAX_BYTES = IPV6_MINIMUM_MTU - IPV6_HEADER_BYTES - ICMP6_HEADER_BYTES,

    ICMP6_UNREACHABLE = 1,
    ICMP6_PACKET_TOO_BIG = 2,
    ICMP6_TIME_EXCEEDED = 3,
    ICMP6_PARAMETER_PROBLEM = 4,
    ICMP6_INFORMATIONAL = 128, /* the first type that is no error */
    ICMP6_ECHO_REQUEST = 128,
    ICMP6_ECHO_REPLY = 129,
    ICMP6_LISTENER_QUERY = 130,  /* RFC 2710, RFC 3810 */
    ICMP6_LISTENER_REPORT = 131, /* RFC 2710 */
    ICMP6_LISTENER_DONE = 132,   /* RFC 2710 */
    ICMP6_ROUTER_SOLICITATION = 133,
    ICMP6_ROUTER_ADVERTISEMENT = 134,
    ICMP6_NEIGHBOR_SOLICITATION = 135,
    ICMP6_NEIGHBOR_ADVERTISEMENT = 136,
    ICMP6_REDIRECT = 137,
    ICMP6_LISTENER_REPORT_V2 = 143, /* RFC 3810 */

    /* Codes of ICMP6_UNREACHABLE: RFC 4443 3.1. */
    ICMP6_NO_ROUTE = 0,
    ICMP6_PROHIBITED = 1,
    ICMP6_BEYOND_SCOPE = 2,
    ICMP6_ADDRESS_UNREACHABLE = 3,
    ICMP6_PORT_UNREACHABLE = 4,
    ICMP6_SOURCE_POLICY = 5,
    ICMP6_REJECT_ROUTE = 6,
    /* Of ICMP6_TIME_EXCEEDED: RFC 4443 3.3. */
    ICMP6_HOP_LIMIT_EXPIRED = 0,
    ICMP6_REASSEMBLY_EXPIRED = 1,
    /* Of ICMP6_PARAMETER_PROBLEM: RFC 4443 3.4, RFC 7112 5, RFC 8883 2. */
    ICMP6_ERRONEOUS_FIELD = 0,
    ICMP6_UNKNOWN_NEXT_HEADER = 1,
    ICMP6_UNKNOWN_OPTION = 2,
    ICMP6_INCOMPLETE_CHAIN = 3,
    ICMP6_CHAIN_TOO_LONG = 7,
    ICMP6_TOO_MANY_EXTENSIONS = 8,
    ICMP6_TOO_MANY_OPTIONS = 9,
};

struct icmp6_header {
    uint8_t type;
    uint8_t code;
    uint16_t checksum_be;
    union {
        struct {
            uint16_t identifier_be;
            uint16_t sequence_be;
        } __attribute__((packed)) echo;
        uint32_t mtu_be;     /* packet too big */
        uint32_t pointer_be; /* parameter problem: byte of the quoted packet */
        uint32_t unused;     /* other errors: 0 */
    } __attribute__((packed));
} __attribute__((packed));
_Static_assert(sizeof(struct icmp6_header) == ICMP6_HEADER_BYTES, "as on the wire");

/* RFC 4443 2.1. Never answered by an error, whether we know its type or not: 2.4 (e.1). */
static inline bool icmp6_is_error(uint8_t type)
{
    return type < ICMP6_INFORMATIONAL;
}

/* Writes the checksum of a message of length_bytes contiguous bytes, ICMP6_HEADER_BYTES at least,
 * between these addresses. */
void icmp6_seal(void *message, size_t length_bytes, const uint8_t *source,
                const uint8_t *destination);

/* Whether the checksum of length_bytes contiguous bytes is good. A message in several segments is
 * added up from icmp6_pseudo_sum() on, and good where checksum_finish() says 0. */
bool icmp6_is_good(const void *message, size_t length_bytes, const uint8_t *source,
                   const uint8_t *destination) MUST_CHECK;

static inline uint64_t icmp6_pseudo_sum(const uint8_t *source, const uint8_t *destination,
                                        uint32_t length_bytes)
{
    return ipv6_pseudo_sum(source, destination, length_bytes, PROTOCOL_ICMP6);
}

/* What an ICMPv6 error says. */
struct icmp6_error {
    uint8_t type, code;
    uint32_t mtu;     /* packet too big: 1280 at least */
    uint32_t pointer; /* parameter problem: may lie behind what is quoted */
    /* Of the packet it is about, which we may have sent. */
    uint8_t source[IPV6_ADDRESS_BYTES], destination[IPV6_ADDRESS_BYTES];
    uint32_t packet_bytes;
    uint8_t protocol;                                /* behind all extension headers */
    uint8_t transport[ICMP6_QUOTED_TRANSPORT_BYTES]; /* ports, or ICMP header */
};

/* Reads an ICMPv6 message whose checksum is good. Errors of types we do not know are read like the
 * others, for their packet's sender (RFC 4443 2.4 (a)). ERROR_UNSUPPORTED where it is no error;
 * ERROR_TRUNCATED where the quote lacks the headers and 8 bytes; ERROR_MALFORMED where what it
 * quotes is no first fragment of an IPv6 packet with a chain that ipv6_headers_walk() follows;
 * ERROR_BAD_VALUE where it wants packets smaller than 1280 bytes (RFC 8201 4). */
enum error icmp6_error_read(const void *data, size_t length_bytes,
                            struct icmp6_error *error) MUST_CHECK;
