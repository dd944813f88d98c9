/* The host's part of IPv6 autoconfiguration, on ports that are told to (`ipv6 IF address auto`): a
 * router is configured by its operator, and only where he says so by another router.
 *
 *   router solicitations    until one answers, ever more seldom         RFC 4861 6.3.7, RFC 7559
 *   default routers         up to AUTOCONF_ROUTER_MAX on a port; those of the highest preference
 *                           that answer as neighbors share the load     RFC 4861 6.3, RFC 4191
 *   on-link prefixes        routes to the port                          RFC 4861 6.3.4
 *   autonomous prefixes     an address in each, with a stable identifier that tells nothing of the
 *                           card, and lifetimes                         RFC 4862 5.5, RFC 7217
 *   link parameters         MTU, hop limit, times of neighbor discovery RFC 4861 6.3.4
 *
 * Routes are of protocol `ra`, worth less than what the operator or a routing protocol says. The
 * secret of the identifiers is drawn when the router starts: addresses are the same while it runs,
 * whatever link or cable comes and goes, and others after a restart.
 *
 * What was learned on a port is forgotten when its link goes down, or its statement: what comes up
 * then may be another link. A commit of something else changes nothing.
 *
 * Belongs to the control core; routes follow in its coroutine (net/routes.h). */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"
#include "net/config.h"
#include "net/verdict.h"

struct config;
struct core;
struct ipv6_addresses;
struct nd_router_advertisement;

enum {
    AUTOCONF_ROUTER_MAX = ROUTE_GATEWAY_MAX, /* on a port; advertisements of one more are dropped */
    AUTOCONF_PREFIX_MAX = 8,                 /* on a port; one more is left out, and that logged */
    AUTOCONF_NET_MAX = PORT_MAX * AUTOCONF_PREFIX_MAX,
    /* A link has a /64, or some bits more or less; a shorter prefix than a site's (RFC 6177) would
     * take away by its length what a default route, or a route to a site, is for. */
    AUTOCONF_LENGTH_MIN = 48,
    AUTOCONF_TRIES = 3,          /* RFC 7217 6, IDGEN_RETRIES: identifiers beyond the first */
    AUTOCONF_TWO_HOURS_S = 7200, /* RFC 4862 5.5.3 e */
    AUTOCONF_FIRST_MS = 1000,    /* RFC 4861 10, MAX_RTR_SOLICITATION_DELAY */
    AUTOCONF_SOLICIT_MS = 4000,  /* RFC 7559 2, IRT: from then on the pauses double, */
    AUTOCONF_PAUSE_MAX_S = 3600, /* MRT: up to this */
    AUTOCONF_LOG_MS = 10000,     /* what has no room is logged this often */
    AUTOCONF_FOLLOW_MS = 100,    /* routes change at most this often */
    AUTOCONF_HOP_LIMIT_MIN = 32, /* less would cut us off from most of the world: CVE-2015-2922 */
    AUTOCONF_REACHABLE_MIN_MS = 1000,
    AUTOCONF_REACHABLE_MAX_MS = 3600000, /* RFC 4861 6.2.1 */
    AUTOCONF_RETRANSMIT_MIN_MS = 100,    /* else one advertisement makes us flood the link */
    AUTOCONF_RETRANSMIT_MAX_MS = 10000,  /* packets wait for three of them, in few places */

    DISTANCE_RA =
        250, /* of what a router of medium preference says; one less, or more, of others */
};
#define AUTOCONF_FOREVER UINT64_MAX /* of times at which something ends, or is due */

/* nd_solicit_router(). */
struct autoconf_uses {
    void (*solicit)(struct core *core, uint16_t port);
};

struct autoconf;

/* core: the control core. NULL: no memory. */
struct autoconf *autoconf_create(struct core *core, struct ipv6_addresses *addresses,
                                 const struct autoconf_uses *uses) MUST_CHECK;
void autoconf_destroy(struct autoconf *autoconf); /* NULL is allowed */

/* The configuration is in force: ports begin, and end. */
void autoconf_reconfigure(struct autoconf *autoconf, const struct config *config, uint64_t now_ns);
/* The port's link, admin state or MAC address has changed. */
void autoconf_port_changed(struct autoconf *autoconf, uint16_t port, uint64_t now_ns);
/* An address of ours on that port may be used now; a link-local one is what routers are asked from.
 */
void autoconf_address_valid(struct autoconf *autoconf, uint16_t port, const struct address *address,
                            uint64_t now_ns);
/* Somebody else has it. */
void autoconf_address_duplicate(struct autoconf *autoconf, uint16_t port,
                                const struct address *address, uint64_t now_ns);
/* The router with that link-local address has said this on that port, and it is all there.
 * DROP_ND_IGNORED where nobody wants to know, DROP_ND_FULL: it is one router too many. */
enum verdict autoconf_input(struct autoconf *autoconf, uint16_t port, const struct address *router,
                            const struct nd_router_advertisement *advertisement, uint64_t now_ns);

/* A neighbor on that port has told whether it is a router; one that is not any more is no default
 * router either (RFC 4861 7.2.5). */
void autoconf_neighbor_advertised(struct autoconf *autoconf, uint16_t port,
                                  const struct address *address, bool is_router, uint64_t now_ns);
/* It answers no questions: as a default router it comes behind those that may be there, until it is
 * heard again (RFC 4861 6.3.6). */
void autoconf_neighbor_lost(struct autoconf *autoconf, uint16_t port,
                            const struct address *address);

/* In the control coroutine, over and over: the RIB comes to say what has been learned. */
void autoconf_follow(struct autoconf *autoconf, uint64_t now_ns);
/* What the view has of all this has changed, since it was asked last. */
bool autoconf_take_change(struct autoconf *autoconf);

/* The on-link prefixes one by one: *cursor begins as 0; false behind the last. */
bool autoconf_next_net(const struct autoconf *autoconf, unsigned *cursor, struct prefix *prefix,
                       uint16_t *port);

/* For shows. */
struct autoconf_router {
    struct address address;
    uint16_t port;
    int8_t preference; /* enum nd_preference */
    bool in_use;       /* the default route leads to it */
    uint64_t until_ns;
};
bool autoconf_next_router(const struct autoconf *autoconf, unsigned *cursor,
                          struct autoconf_router *router);

struct autoconf_lifetimes {
    uint64_t preferred_until_ns, valid_until_ns;
};
/* False: that address was not learned. */
bool autoconf_address_lifetimes(const struct autoconf *autoconf, uint16_t port,
                                const struct address *address,
                                struct autoconf_lifetimes *lifetimes) MUST_CHECK;
