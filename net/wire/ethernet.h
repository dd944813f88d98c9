/* Ethernet II: 6 bytes of target, 6 of source, 2 of Ethertype, the payload. */
#pragma once

#include <string.h>

#include "kernel/base/types.h"

enum {
    MAC_BYTES = 6,
    ETHERNET_HEADER_BYTES = 14,
    ETHERNET_TYPE_OFFSET = 12,
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    ETHERTYPE_IPV6 = 0x86dd,
};

struct ethernet_header {
    uint8_t target[MAC_BYTES];
    uint8_t source[MAC_BYTES];
    uint16_t ethertype;
};

enum error ethernet_read(const void *data, size_t length_bytes,
                         struct ethernet_header *header) MUST_CHECK;
void ethernet_write(const struct ethernet_header *header, uint8_t out[ETHERNET_HEADER_BYTES]);

extern const uint8_t mac_broadcast[MAC_BYTES];

static inline bool mac_equal(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, MAC_BYTES) == 0;
}

/* Broadcast included: IEEE 802-2014 8.2.2, the individual/group bit. */
static inline bool mac_is_group(const uint8_t *mac)
{
    return mac[0] & 1;
}

static inline bool mac_is_zero(const uint8_t *mac)
{
    return (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]) == 0;
}

/* What a station may have for itself. */
static inline bool mac_is_station(const uint8_t *mac)
{
    return !mac_is_group(mac) && !mac_is_zero(mac);
}
