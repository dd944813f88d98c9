/* The view: all that the datapath needs to know, in one object. Control builds a new one for every
 * commit and every link change and publishes it whole; a core loads the pointer once per step
 * (core->forwarding) and keeps nothing of it beyond.
 *
 *   destination --fib4--> number --next_hops[]--> kind, port, gateways --neighbor table--> header
 *                            `----adjacencies[]--> header
 *
 * The FIB is not the view's own: views come and go over one FIB while no route does, and single
 * routes change in the FIB while the view stays (net/routes.h). Its numbers are those of the RIB's
 * paths; next_hops[] has what becomes of each with the ports as they are.
 *
 * A view is immutable but for two things, both the control core's. adjacencies[] has the neighbor
 * table's record of a next hop that is a single gateway; a gateway with a new MAC address is one
 * store. Only the newest view is kept so: whoever still uses an older one is in a step that began
 * before, and so the record that he finds there is not freed under him. And next_hops[] has room at
 * its end for paths that come later, which no core is told of before they are there. */
#pragma once

#include <stdatomic.h>
#include <string.h>

#include "kernel/base/types.h"
#include "net/address.h"
#include "net/config.h"
#include "net/next_hop.h"
#include "net/port.h"

struct adjacency;
struct autoconf;
struct fib4;
struct fib6;
struct filter;
struct ipv6_addresses;
struct neighbor_table;
struct path;
struct rib;

enum {
    SOURCE_HASH_BITS = 11,
    SOURCE_HASHES = 1 << SOURCE_HASH_BITS,
};

/* An address of ours. */
struct own_address {
    struct address address;
    uint8_t length; /* of its net */
    bool secondary;
    bool deprecated; /* no source where there is another one: RFC 6724 5, rule 3 */
    bool anycast;    /* of others as well, so nothing is sent from it: RFC 4291 2.6.1 */
    uint16_t port;
};

struct forwarding_port {
    uint8_t mac[6];
    uint16_t mtu_bytes;      /* limits what we send */
    uint16_t ipv6_mtu_bytes; /* likewise, or less, as another router has told */
    uint8_t hop_limit;       /* of ICMPv6 of ours that is for this link; else it is the usual one */
    bool admin_up;
    bool up; /* admin and link */
    uint8_t proxied_count;
    struct prefix proxied[PROXIED_MAX]; /* whose solicited-node groups are ours, too */
    bool ipv6_disabled; /* its link-local address is somebody else's: RFC 4862 5.4.5 */
};

/* What the numbers mean that a family's FIB answers. */
struct next_hop_table {
    struct next_hop *next_hops;
    _Atomic(struct adjacency *) *adjacencies; /* NULL: not known, or no single gateway */
    unsigned count, room;
};

struct forwarding {
    const struct fib4 *fib4;
    const struct fib6 *fib6;
    const struct filter *filters[FAMILY_COUNT]; /* by family; NULL: nothing is filtered */
    struct next_hop_table ipv4, ipv6;
    unsigned address_count;
    const struct own_address *addresses; /* by port, primary first */
    unsigned tentative_count;            /* of IPv6 ones behind those: not to be used yet */
    unsigned
        net_count; /* of nets behind those that are on a link, though no address of ours is in it */
    unsigned port_count; /* the loopback is the last */
    struct forwarding_port ports[PORT_MAX + 1];
    uint32_t plain_length_max;      /* of a frame that fits every port */
    uint32_t ipv6_plain_length_max; /* the same of IPv6 */
    /* Not 0: a source with this first byte, or this hash, may be one that nobody can have. */
    uint8_t suspect_first_bytes[256];
    uint8_t suspect_hashes[SOURCE_HASHES];
};

/* What the tables say of an address. */
const struct next_hop *forwarding_lookup(const struct forwarding *view,
                                         const struct address *address);
enum next_hop_kind forwarding_kind(const struct forwarding *view, const struct address *address);
/* Is it ours, on that port? */
bool forwarding_is_own_on(const struct forwarding *view, uint16_t port,
                          const struct address *address);
/* Is it ours, on whatever port, or a link-local one of ours on that port? */
bool forwarding_is_own(const struct forwarding *view, uint16_t port, const struct address *address);
/* Is it ours, and any other router's on its link? */
bool forwarding_is_anycast(const struct forwarding *view, const struct address *address);
/* The address of ours on that port in whose net `toward` lies, else the port's first of that
 * family and scope: a link-local one toward those alone. FAMILY_NONE: it has none. */
struct address forwarding_source(const struct forwarding *view, uint16_t port,
                                 const struct address *toward);
bool forwarding_has_source(const struct forwarding *view, uint16_t port, enum family family);
/* The port that is up and behind which that gateway of the path is: the path's own, else the one in
 * whose net it lies; PORT_NONE. */
uint16_t forwarding_gateway_port(const struct forwarding *view, const struct rib *rib,
                                 const struct path *path, const struct address *gateway);
/* The link-local address of that port; false: it has none that is valid. */
bool forwarding_link_local(const struct forwarding *view, uint16_t port,
                           struct address *address) MUST_CHECK;
/* Is that IPv6 group one in which we are, on that port: all nodes, all routers, that of an address
 * of ours, or of one that shall be ours (RFC 4862 5.4.2)? */
bool forwarding_is_own_group(const struct forwarding *view, uint16_t port, const uint8_t *group);
/* Is that somebody on another link, for whom we are told to answer on that port (net/nd.h)? */
bool forwarding_is_proxied(const struct forwarding *view, uint16_t port,
                           const struct address *address);
/* Is the address in a net that is connected to that port? */
bool forwarding_is_connected(const struct forwarding *view, uint16_t port,
                             const struct address *address);

/* The same of IPv4 addresses in wire order; 0 for none. */
const struct next_hop *forwarding_lookup_ipv4(const struct forwarding *view, uint32_t address_be);
enum next_hop_kind forwarding_kind_ipv4(const struct forwarding *view, uint32_t address_be);
bool forwarding_is_own_ipv4(const struct forwarding *view, uint32_t address_be); /* on any port */
bool forwarding_is_own_on_ipv4(const struct forwarding *view, uint16_t port, uint32_t address_be);
uint32_t forwarding_source_ipv4(const struct forwarding *view, uint16_t port, uint32_t toward_be);
bool forwarding_is_connected_ipv4(const struct forwarding *view, uint16_t port,
                                  uint32_t address_be);

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

/* False: surely no address of ours, and none that is of one link only, or of nobody. */
static inline bool forwarding_ipv6_source_is_suspect(const struct forwarding *view,
                                                     const uint8_t *address)
{
    uint32_t last_be;

    memcpy(&last_be, address + 12, sizeof(last_be));
    return address[0] == 0 || address[0] >= 0xfe ||
           view->suspect_hashes[forwarding_source_hash(last_be)] != 0;
}

/* The record of the gateway that is this next hop, or NULL: then look into next_hops[]. */
static inline struct adjacency *next_hop_adjacency(const struct next_hop_table *table,
                                                   uint16_t number)
{
    return atomic_load_explicit(&table->adjacencies[number], memory_order_acquire);
}

/* What a view is made of. */
struct forwarding_plan {
    const struct config *config;
    const struct rib *const *ribs; /* by family: their paths */
    const struct port *ports;      /* as they are now; the loopback is the last */
    unsigned port_count;
    const struct ipv6_addresses *ipv6_addresses; /* NULL: there are none */
    const struct autoconf *autoconf;             /* NULL: nothing is learned */
};

/* Control: without FIBs and filters. NULL: no memory. */
struct forwarding *forwarding_create(const struct forwarding_plan *plan) MUST_CHECK;
void forwarding_destroy(void *forwarding); /* FIBs and filters stay */

static inline struct next_hop_table *forwarding_table(struct forwarding *view, enum family family)
{
    return family == FAMILY_IPV6 ? &view->ipv6 : &view->ipv4;
}

static inline const struct next_hop_table *forwarding_table_of(const struct forwarding *view,
                                                               enum family family)
{
    return family == FAMILY_IPV6 ? &view->ipv6 : &view->ipv4;
}

/* Control: that family's RIB has got more paths. False: there is no room for them in this view. */
bool forwarding_add_paths(struct forwarding *view, enum family family, const struct rib *rib,
                          const struct neighbor_table *neighbors) MUST_CHECK;
/* Can the same routes be used in both, so that they may have one FIB? Both are of one RIB. */
bool next_hops_same_usable(const struct next_hop_table *a, const struct next_hop_table *b);

/* Control, before a view is published: finds the records of all its gateways. */
void forwarding_find_gateways(struct forwarding *view, const struct neighbor_table *neighbors);
/* Control: that neighbor has another record now, or none any more. */
void forwarding_set_gateway(const struct forwarding *view, uint16_t port,
                            const struct address *address, struct adjacency *adjacency);
