/* ICMP for IPv4 (RFC 792): 8 bytes of header, whose second half means something else for each type,
 * and a body: what an echo carries, or the beginning of the packet that an error is about. */
#pragma once

#include "kernel/base/types.h"
#include "net/wire/ipv4.h"

enum {
    ICMP4_HEADER_BYTES = 8,
    ICMP4_QUOTED_MINIMUM_BYTES = 8, /* of the payload, behind the header: RFC 792 */

    ICMP4_ECHO_REPLY = 0,
    ICMP4_UNREACHABLE = 3,
    ICMP4_SOURCE_QUENCH = 4,
    ICMP4_REDIRECT = 5,
    ICMP4_ECHO_REQUEST = 8,
    ICMP4_ROUTER_ADVERTISEMENT = 9,
    ICMP4_ROUTER_SOLICITATION = 10,
    ICMP4_TIME_EXCEEDED = 11,
    ICMP4_PARAMETER_PROBLEM = 12,
    ICMP4_TIMESTAMP_REQUEST = 13,
    ICMP4_TIMESTAMP_REPLY = 14,
    ICMP4_INFORMATION_REQUEST = 15,
    ICMP4_INFORMATION_REPLY = 16,
    ICMP4_MASK_REQUEST = 17,
    ICMP4_MASK_REPLY = 18,

    /* Codes of ICMP4_UNREACHABLE: RFC 792, RFC 1812 5.2.7.1. */
    ICMP4_NET_UNREACHABLE = 0,
    ICMP4_HOST_UNREACHABLE = 1,
    ICMP4_PROTOCOL_UNREACHABLE = 2,
    ICMP4_PORT_UNREACHABLE = 3,
    ICMP4_FRAGMENTATION_NEEDED = 4,
    ICMP4_SOURCE_ROUTE_FAILED = 5,
    ICMP4_PROHIBITED = 13,
    /* Of ICMP4_REDIRECT. */
    ICMP4_REDIRECT_HOST = 1,
    /* Of ICMP4_TIME_EXCEEDED. */
    ICMP4_TTL_EXPIRED = 0,
    ICMP4_REASSEMBLY_EXPIRED = 1,
};

struct icmp4_header {
    uint8_t type;
    uint8_t code;
    uint16_t checksum_be;
    union {
        struct {
            uint16_t identifier_be;
            uint16_t sequence_be;
        } __attribute__((packed)) echo;
        struct {
            uint16_t unused;
            uint16_t mtu_be; /* RFC 1191 4 */
        } __attribute__((packed)) fragmentation_needed;
        struct {
            uint8_t pointer;
            uint8_t unused[3];
        } parameter_problem;
        uint32_t gateway_be; /* redirect */
    } __attribute__((packed));
} __attribute__((packed));
_Static_assert(sizeof(struct icmp4_header) == ICMP4_HEADER_BYTES, "as on the wire");

/* A question or an answer that RFC 792 knows, so that an error about it may be sent; false for
 * errors and for what we do not know (RFC 1812 4.3.2.7). */
bool icmp4_is_query(uint8_t type);

/* What an ICMP error says. */
struct icmp4_error {
    uint8_t type, code;
    uint16_t mtu;    /* fragmentation needed: 0 from routers before RFC 1191 */
    uint8_t pointer; /* parameter problem */
    /* Of the packet it is about, which we may have sent. */
    uint32_t source_be, destination_be;
    uint16_t total_bytes;
    uint8_t protocol;
    uint8_t transport[ICMP4_QUOTED_MINIMUM_BYTES]; /* ports, or ICMP header */
};

/* Reads an ICMP message whose checksum is good. ERROR_UNSUPPORTED where it is no error;
 * ERROR_TRUNCATED where the quote lacks a header and 8 bytes; ERROR_MALFORMED where what it quotes
 * is no first fragment of an IPv4 packet. */
enum error icmp4_error_read(const void *data, size_t length_bytes,
                            struct icmp4_error *error) MUST_CHECK;
