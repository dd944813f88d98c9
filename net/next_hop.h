/* Next hops: what is done with packets to a destination. The FIB answers a number, and the view has
 * the record of that number. */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"
#include "net/config.h"

/* Those from NEXT_HOP_CONNECTED on leave by a port. */
enum next_hop_kind {
    NEXT_HOP_NONE,              /* no route, or none that can be used now */
    NEXT_HOP_LOCAL,             /* an address of ours, on `port` */
    NEXT_HOP_LOOPBACK,          /* 127/8: ours, but never seen on a wire */
    NEXT_HOP_BROADCAST,         /* of the connected net of `port` */
    NEXT_HOP_LIMITED_BROADCAST, /* 255.255.255.255 */
    NEXT_HOP_MULTICAST,
    NEXT_HOP_LINK_LOCAL, /* fe80::/10: of the port by which it came */
    NEXT_HOP_MARTIAN,    /* 0/8, 240/4, ::, IPv4 in IPv6: no destination at all */
    NEXT_HOP_BLACKHOLE,
    NEXT_HOP_REJECT,
    NEXT_HOP_CONNECTED, /* the destination itself is the neighbor */
    NEXT_HOP_GATEWAY,
};

const char *next_hop_kind_name(enum next_hop_kind kind); /* "gateway" */

enum { NEXT_HOP_MAX = 32768 }; /* distinct ones */

struct next_hop {
    alignas(CACHE_LINE_BYTES) uint8_t kind; /* enum next_hop_kind */
    uint8_t gateway_count;
    uint16_t port; /* of the first gateway */
    /* Equal cost; only reachable ones. */
    uint16_t gateway_ports[ROUTE_GATEWAY_MAX];
    struct address gateways[ROUTE_GATEWAY_MAX];
};
