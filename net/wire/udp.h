/* The UDP header (RFC 768; over IPv6, where a checksum must be, RFC 8200 8.1). */
#pragma once

#include "kernel/base/types.h"

enum { UDP_HEADER_BYTES = 8, UDP_NO_CHECKSUM = 0 };

struct udp_header {
    uint16_t source_port_be;
    uint16_t destination_port_be;
    uint16_t length_be; /* header and payload */
    uint16_t checksum_be;
} __attribute__((packed));
_Static_assert(sizeof(struct udp_header) == UDP_HEADER_BYTES, "as on the wire");

struct udp {
    uint16_t source_port, destination_port;
    uint16_t length_bytes; /* checked: header included, not more than came */
    bool has_checksum;
};

/* Reads the header at the start of a transport payload of length_bytes, of which at least
 * header_bytes are contiguous. ERROR_TRUNCATED where fewer bytes came than it says, ERROR_MALFORMED
 * where it says fewer than its own. */
enum error udp_read(const void *data, size_t header_bytes, size_t length_bytes,
                    struct udp *udp) MUST_CHECK;

/* Writes header and checksum before a payload that is there already: `datagram` has
 * UDP_HEADER_BYTES of room, then payload_bytes. A sum of 0 is sent as all ones. */
void udp_seal(void *datagram, uint16_t payload_bytes, uint32_t source_be, uint32_t destination_be,
              uint16_t source_port, uint16_t destination_port);
/* The same between IPv6 addresses. */
void udp6_seal(void *datagram, uint16_t payload_bytes, const uint8_t *source,
               const uint8_t *destination, uint16_t source_port, uint16_t destination_port);
