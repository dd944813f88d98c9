/* The view: all that the datapath needs to know, in one object. Control builds a new one for every
 * commit and every link change and publishes it whole; a core loads the pointer once per step
 * (core->forwarding) and keeps nothing of it beyond.
 *
 *   destination --fib4--> index --next_hops[]--> kind, port, gateways --neighbor table--> header
 *                           `----adjacencies[]--> header
 *
 * It is immutable but for adjacencies[]: there the control core puts the neighbor table's record of
 * a next hop that is a single gateway. A gateway with a new MAC address is one store. Only the
 * newest view is kept so: whoever still uses an older one is in a step that began before, and so
 * the record that he finds there is not freed under him. */
#pragma once

#include <stdatomic.h>

#include "kernel/base/types.h"
#include "net/address.h"
#include "net/config.h"
#include "net/port.h"

struct adjacency;
struct fib4;
struct neighbor_table;
struct pause;
struct rib;

/* What is done with a packet to that destination. Those from NEXT_HOP_CONNECTED on leave by a
 * port. */
enum next_hop_kind {
    NEXT_HOP_NONE,              /* no route */
    NEXT_HOP_LOCAL,             /* an address of ours, on `port` */
    NEXT_HOP_LOOPBACK,          /* 127/8: ours, but never seen on a wire */
    NEXT_HOP_BROADCAST,         /* of the connected net of `port` */
    NEXT_HOP_LIMITED_BROADCAST, /* 255.255.255.255 */
    NEXT_HOP_MULTICAST,
    NEXT_HOP_MARTIAN, /* 0/8, 240/4: no destination at all */
    NEXT_HOP_BLACKHOLE,
    NEXT_HOP_REJECT,
    NEXT_HOP_CONNECTED, /* the destination itself is the neighbor */
    NEXT_HOP_GATEWAY,
};

enum {
    NEXT_HOP_MAX = 32768, /* distinct ones: 15 bits in the FIB */
    SOURCE_HASH_BITS = 11,
    SOURCE_HASHES = 1 << SOURCE_HASH_BITS,
};

struct next_hop {
    alignas(CACHE_LINE_BYTES) uint8_t kind; /* enum next_hop_kind */
    uint8_t gateway_count;
    uint16_t port; /* of the first gateway */
    /* Equal cost; only reachable ones. */
    uint32_t gateways_be[ROUTE_GATEWAY_MAX];
    uint16_t gateway_ports[ROUTE_GATEWAY_MAX];
};
_Static_assert(sizeof(struct next_hop) == CACHE_LINE_BYTES, "one line per packet");

/* An address of ours. */
struct own_address {
    uint32_t address_be;
    uint32_t mask_be;
    uint16_t port;
    bool secondary;
};

struct forwarding_port {
    uint8_t mac[6];
    uint16_t mtu_bytes; /* limits what we send */
    bool admin_up;
    bool up; /* admin and link */
};

struct forwarding {
    const struct fib4 *fib4;
    const struct next_hop *next_hops;
    _Atomic(struct adjacency *) *adjacencies; /* by next hop; NULL: not known, or no gateway */
    const uint32_t *set_table;                /* finds sets of gateways: see forwarding.c */
    uint32_t set_mask;
    unsigned next_hop_count;
    unsigned address_count;
    const struct own_address *addresses; /* by port, primary first */
    unsigned port_count;                 /* the loopback is the last */
    struct forwarding_port ports[PORT_MAX + 1];
    uint32_t plain_length_max; /* of a frame that fits every port */
    /* Not 0: a source with this first byte, or this hash, may be one that nobody can have. */
    uint8_t suspect_first_bytes[256];
    uint8_t suspect_hashes[SOURCE_HASHES];
};

/* What the table says of an address. */
enum next_hop_kind forwarding_kind(const struct forwarding *view, uint32_t address_be);
const struct next_hop *forwarding_lookup(const struct forwarding *view, uint32_t address_be);
/* Is it ours, on whatever port, or on that one? */
bool forwarding_is_own(const struct forwarding *view, uint32_t address_be);
bool forwarding_is_own_on(const struct forwarding *view, uint16_t port, uint32_t address_be);
/* The address of ours on that port in whose net `toward_be` lies, else the port's first; 0: none.
 */
uint32_t forwarding_source(const struct forwarding *view, uint16_t port, uint32_t toward_be);
/* Is the address in a net that is connected to that port? */
bool forwarding_is_connected(const struct forwarding *view, uint16_t port, uint32_t address_be);

static inline uint32_t forwarding_source_hash(uint32_t address_be)
{
    return address_be * 0x9e3779b1u >> (32 - SOURCE_HASH_BITS); /* Fibonacci hashing */
}

/* False: surely a station's address that is neither ours nor a broadcast address of a net of ours,
 * which nobody else may have as his source. True: ask ipv4_is_station() and forwarding_kind(). */
static inline bool forwarding_source_is_suspect(const struct forwarding *view, uint32_t address_be)
{
    return view->suspect_first_bytes[address_be & 0xff] != 0 ||
           view->suspect_hashes[forwarding_source_hash(address_be)] != 0;
}

/* The record of the gateway that is this next hop, or NULL: then look into next_hops[]. */
static inline struct adjacency *forwarding_adjacency(const struct forwarding *view,
                                                     uint16_t next_hop)
{
    return atomic_load_explicit(&view->adjacencies[next_hop], memory_order_acquire);
}

/* Control: the view of that configuration with the ports as they are now. The RIB's routes are the
 * active ones. NULL: no memory, or more than NEXT_HOP_MAX. */
struct forwarding *forwarding_create(const struct config *config, const struct rib *rib,
                                     const struct port *ports, unsigned port_count,
                                     const struct pause *pause) MUST_CHECK;
void forwarding_destroy(void *forwarding);

/* Control, before a view is published: finds the records of all its gateways. */
void forwarding_find_gateways(struct forwarding *view, const struct neighbor_table *neighbors);
/* Control: that neighbor has another record now, or none any more. */
void forwarding_set_gateway(const struct forwarding *view, uint16_t port, uint32_t address_be,
                            struct adjacency *adjacency);
