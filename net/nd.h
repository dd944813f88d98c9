/* Neighbor discovery (RFC 4861) on behalf of the neighbor table, as ARP does it for IPv4, and
 * duplicate address detection (RFC 4862) on behalf of our addresses. And on behalf of others, where
 * told to (`ipv6 IF proxy PREFIX`): who asks there for an address to which our route leads by
 * another port is told to send to us (RFC 4861 7.2.8). Belongs to the control core. */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"
#include "net/verdict.h"

struct core;
struct ipv6_addresses;
struct nd_router_advertisement;
struct neighbor_table;
struct packet;

enum { ND_CONFLICT_LOG_MS = 10000 }; /* a conflict is told to the operator this often */

struct nd_uses {
    /* A host on that port asks for a router; false: there is none. */
    bool (*router_solicited)(struct core *core, uint16_t port);
    /* The router with that link-local address says this on that port; PASS: somebody wanted to
     * know.
     */
    enum verdict (*router_advertised)(struct core *core, uint16_t port,
                                      const struct address *router,
                                      const struct nd_router_advertisement *advertisement);
    /* A neighbor on that port says of itself whether it is a router. */
    void (*neighbor_advertised)(struct core *core, uint16_t port, const struct address *address,
                                bool is_router);
    /* datapath_originate_frame(), which takes the packet. */
    void (*originate_frame)(struct core *core, uint16_t port, struct packet *packet);
};

struct nd;

/* core: the control core. NULL: no memory. */
struct nd *nd_create(struct core *core, struct neighbor_table *neighbors,
                     struct ipv6_addresses *addresses, const struct nd_uses *uses) MUST_CHECK;
void nd_destroy(struct nd *nd); /* NULL is allowed */

/* Asks whose that address is: everybody who may have it, or the station with that MAC address. */
void nd_solicit(struct nd *nd, uint16_t port, const struct address *address, const uint8_t *mac);
/* Asks from nobody whether somebody has it: RFC 4862 5.4.2. */
void nd_probe(struct nd *nd, uint16_t port, const struct address *address);
/* Says that it is ours: RFC 4861 7.2.6. */
void nd_announce(struct nd *nd, uint16_t port, const struct address *address);
/* Asks routers to tell; nothing without a link-local address. */
void nd_solicit_router(struct nd *nd, uint16_t port);
/* Tells all nodes; nothing without a link-local address, which hosts know a router by. */
void nd_advertise_router(struct nd *nd, uint16_t port,
                         const struct nd_router_advertisement *advertisement);

/* Borrows an ICMPv6 message of neighbor discovery, whole and in one segment, its checksum good,
 * message_offset from the IPv6 header. PASS: it was for us. */
enum verdict nd_input(struct nd *nd, const struct packet *packet, uint32_t message_offset,
                      uint64_t now_ns);
