/* covers: net/wire/udp.c */
/* What is read has a length within what came; sealed again, its checksum is good. */
#include "net/wire/udp.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "net/wire/checksum.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t datagram[2048];
    struct udp udp;

    if (size > sizeof(datagram))
        return 0;
    if (udp_read(data, MIN_OF(size, (size_t)UDP_HEADER_BYTES), size, &udp) != OK)
        return 0;
    CHECK(udp.length_bytes >= UDP_HEADER_BYTES);
    CHECK(udp.length_bytes <= size);
    memcpy(datagram, data, size);
    udp_seal(datagram, (uint16_t)(udp.length_bytes - UDP_HEADER_BYTES), 0x0100000a, 0x0200000a,
             udp.source_port, udp.destination_port);
    uint64_t sum = ipv4_pseudo_sum(0x0100000a, 0x0200000a, PROTOCOL_UDP, udp.length_bytes);
    CHECK(checksum_finish(checksum_add(sum, datagram, udp.length_bytes)) == 0);

    const uint8_t source[16] = { 0x20, 1, [15] = 1 }, destination[16] = { 0x20, 1, [15] = 2 };
    udp6_seal(datagram, (uint16_t)(udp.length_bytes - UDP_HEADER_BYTES), source, destination,
              udp.source_port, udp.destination_port);
    sum = ipv6_pseudo_sum(source, destination, udp.length_bytes, PROTOCOL_UDP);
    CHECK(checksum_finish(checksum_add(sum, datagram, udp.length_bytes)) == 0);
    CHECK(load_le16(datagram + 6) != UDP_NO_CHECKSUM);
    return 0;
}
