/* covers: net/wire/icmp6.c */
/* A message that is sealed is good; an error that is read is one, with headers and 8 bytes more. */
#include "net/wire/icmp6.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct icmp6_error error;
    uint8_t message[2048];

    if (icmp6_error_read(data, size, &error) == OK) {
        CHECK(icmp6_is_error(error.type));
        CHECK(size >= ICMP6_HEADER_BYTES + IPV6_HEADER_BYTES + ICMP6_QUOTED_TRANSPORT_BYTES);
        CHECK(error.packet_bytes >= IPV6_HEADER_BYTES + ICMP6_QUOTED_TRANSPORT_BYTES);
        CHECK(error.type != ICMP6_PACKET_TOO_BIG || error.mtu >= IPV6_MINIMUM_MTU);
    }
    if (size < ICMP6_HEADER_BYTES || size > sizeof(message))
        return 0;
    memcpy(message, data, size);
    icmp6_seal(message, size, ipv6_all_nodes, ipv6_all_routers);
    CHECK(icmp6_is_good(message, size, ipv6_all_nodes, ipv6_all_routers));
    message[0] ^= 1;
    CHECK(!icmp6_is_good(message, size, ipv6_all_nodes, ipv6_all_routers));
    return 0;
}
