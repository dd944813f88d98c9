/* The TCP header (RFC 9293 3.1), as far as one needs it who judges packets and refuses them. */
#pragma once

#include "kernel/base/types.h"

enum {
    TCP_HEADER_BYTES = 20,
    TCP_FLAGS_OFFSET = 13,

    /* Flags. */
    TCP_FIN = 1 << 0,
    TCP_SYN = 1 << 1,
    TCP_RST = 1 << 2,
    TCP_PSH = 1 << 3,
    TCP_ACK = 1 << 4,
    TCP_URG = 1 << 5,
    TCP_ECE = 1 << 6,
    TCP_CWR = 1 << 7,
};

struct tcp_header {
    uint16_t source_port_be;
    uint16_t destination_port_be;
    uint32_t sequence_be;
    uint32_t acknowledgment_be;
    uint8_t data_offset; /* of the payload, in 32-bit words, in the upper four bits */
    uint8_t flags;
    uint16_t window_be;
    uint16_t checksum_be;
    uint16_t urgent_be;
} __attribute__((packed));
_Static_assert(sizeof(struct tcp_header) == TCP_HEADER_BYTES, "as on the wire");

/* The reset that answers a segment for which there is no connection (RFC 9293 3.5.2, group 1), all
 * but its checksum. segment_bytes is the segment's length with its header. False: a reset is never
 * answered, nor what is shorter than its own header. */
bool tcp_reset_for(const struct tcp_header *segment, uint32_t segment_bytes,
                   struct tcp_header *reset) MUST_CHECK;
