/* See udp.h. */
#include "net/wire/udp.h"

#include "kernel/base/bytes.h"
#include "net/wire/checksum.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"

enum error udp_read(const void *data, size_t header_bytes, size_t length_bytes, struct udp *udp)
{
    struct reader reader = reader_of(data, MIN_OF(header_bytes, length_bytes));

    udp->source_port = read_be16(&reader);
    udp->destination_port = read_be16(&reader);
    udp->length_bytes = read_be16(&reader);
    udp->has_checksum = read_be16(&reader) != UDP_NO_CHECKSUM;
    if (reader.failed)
        return ERROR_TRUNCATED;
    if (udp->length_bytes < UDP_HEADER_BYTES)
        return ERROR_MALFORMED;
    if (udp->length_bytes > length_bytes)
        return ERROR_TRUNCATED;
    return OK;
}

static void seal(void *datagram, uint16_t length_bytes, uint64_t pseudo_sum, uint16_t source_port,
                 uint16_t destination_port)
{
    struct udp_header *header = datagram;

    header->source_port_be = __builtin_bswap16(source_port);
    header->destination_port_be = __builtin_bswap16(destination_port);
    header->length_be = __builtin_bswap16(length_bytes);
    header->checksum_be = 0;
    uint16_t checksum_be = checksum_finish(checksum_add(pseudo_sum, datagram, length_bytes));
    header->checksum_be = checksum_be ? checksum_be : 0xffff; /* RFC 768: 0 means none */
}

void udp_seal(void *datagram, uint16_t payload_bytes, uint32_t source_be, uint32_t destination_be,
              uint16_t source_port, uint16_t destination_port)
{
    uint16_t length_bytes = (uint16_t)(UDP_HEADER_BYTES + payload_bytes);

    seal(datagram, length_bytes,
         ipv4_pseudo_sum(source_be, destination_be, PROTOCOL_UDP, length_bytes), source_port,
         destination_port);
}

void udp6_seal(void *datagram, uint16_t payload_bytes, const uint8_t *source,
               const uint8_t *destination, uint16_t source_port, uint16_t destination_port)
{
    uint16_t length_bytes = (uint16_t)(UDP_HEADER_BYTES + payload_bytes);

    seal(datagram, length_bytes, ipv6_pseudo_sum(source, destination, length_bytes, PROTOCOL_UDP),
         source_port, destination_port);
}
