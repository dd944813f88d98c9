/* See tcp.h. */
#include "net/wire/tcp.h"

/* RFC 9293 3.4: SYN and FIN take a place in the sequence, as a byte does. */
static uint32_t segment_length(const struct tcp_header *segment, uint32_t payload_bytes)
{
    return payload_bytes + ((segment->flags & TCP_SYN) != 0) + ((segment->flags & TCP_FIN) != 0);
}

bool tcp_reset_for(const struct tcp_header *segment, uint32_t segment_bytes,
                   struct tcp_header *reset)
{
    uint32_t header_bytes = (segment->data_offset >> 4) * 4u;

    if (segment->flags & TCP_RST || header_bytes < TCP_HEADER_BYTES || header_bytes > segment_bytes)
        return false;
    *reset = (struct tcp_header){
        .source_port_be = segment->destination_port_be,
        .destination_port_be = segment->source_port_be,
        .data_offset = TCP_HEADER_BYTES / 4 << 4,
        .flags = TCP_RST,
    };
    if (segment->flags & TCP_ACK) {
        reset->sequence_be = segment->acknowledgment_be;
        return true;
    }
    uint32_t next = __builtin_bswap32(segment->sequence_be) +
                    segment_length(segment, segment_bytes - header_bytes);
    reset->flags |= TCP_ACK;
    reset->acknowledgment_be = __builtin_bswap32(next);
    return true;
}
