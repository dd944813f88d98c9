/* All routes that are known, from all who know some. Belongs to the control core; the cores look up
 * the FIB, which follows what is best here.
 *
 *   prefix --prefix_tree--> one route, or several --> path --number--> next hop of the view
 *
 * A route is a prefix and a path. A path is all else that can be said: who says so, how much it is
 * worth, and where packets go. Few paths are told of many prefixes, so each is kept once, and its
 * number is what the FIB answers. Which paths can be used, the RIB does not know: whoever asks
 * brings the view's next hops, where one that cannot be used is NEXT_HOP_NONE. So a link that goes
 * down changes nothing here.
 *
 * Paths stay until the RIB ends, also those that no route has any more: what the cores have seen
 * keeps its meaning. A RIB that is made anew has only those that it needs. */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"
#include "net/next_hop.h"
#include "net/prefix_tree.h"

struct pause;

enum {
    ROUTES_PER_PREFIX_MAX =
        16, /* statements and files at most 14, the rest for what they cannot see */
    RIB_SHARED_MAX = 1 << 20, /* prefixes with more than one route */
};

/* Who says so. */
enum route_protocol {
    PROTOCOL_LOCAL, /* what an address of ours, and the architecture of addresses, make necessary */
    PROTOCOL_CONNECTED,
    PROTOCOL_STATIC,
    PROTOCOL_RA, /* router advertisements: net/autoconf.h */
};

/* Which one of its kind, of local routes. */
enum {
    SOURCE_OWN_ADDRESS = 0, /* stronger than a broadcast address */
    SOURCE_BROADCAST = 1,
    SOURCE_LEARNED_ADDRESS = 2, /* and its port */
};

const char *route_protocol_name(enum route_protocol protocol); /* "connected" */

/* Made from zeroes, field by field, gateways in ascending order: equal paths are equal bytes. */
struct path {
    uint8_t protocol; /* enum route_protocol */
    uint8_t source;   /* which one of its kind; of static routes: 0 statements, else a file */
    uint8_t distance; /* the smaller, the better */
    uint8_t kind;     /* enum next_hop_kind */
    uint16_t port;    /* of an address, a broadcast, a connected net; else PORT_NONE */
    uint16_t gateway_count;
    struct address gateways[ROUTE_GATEWAY_MAX];
};

/* From a protocol, not from the configuration: it stays whatever is committed. */
static inline bool path_is_learned(const struct path *path)
{
    return path->protocol > PROTOCOL_STATIC ||
           (path->protocol == PROTOCOL_LOCAL && path->source >= SOURCE_LEARNED_ADDRESS);
}

struct route {
    struct prefix prefix;
    struct path path;
    bool active;   /* the cores use it */
    uint16_t port; /* by which it leaves: of the first gateway that can be reached; PORT_NONE */
};

struct rib;

struct rib *rib_create(enum family family) MUST_CHECK; /* NULL: no memory */
void rib_destroy(struct rib *rib, const struct pause *pause);
enum family rib_family(const struct rib *rib);
unsigned rib_count(const struct rib *rib); /* routes, but for local ones */

/* ---- Paths ---------------------------------------------------------------------------------- */

/* The number of that path, which is added where it is new: numbers go from 1 without gaps.
 * ERROR_FULL beyond NEXT_HOP_MAX. */
enum error rib_add_path(struct rib *rib, const struct path *path, uint16_t *number) MUST_CHECK;
/* 0: no route ever had it. */
uint16_t rib_find_path(const struct rib *rib, const struct path *path);
const struct path *rib_path(const struct rib *rib, uint16_t number);
unsigned rib_path_end(const struct rib *rib); /* the number that the next one will get */

/* ---- Routes --------------------------------------------------------------------------------- */

/* Adds a route. It replaces one for the same prefix with the same protocol, source and distance,
 * whose path is then *replaced (0: there was none). An error has changed nothing; there is none
 * where one is replaced. ERROR_FULL: ROUTES_PER_PREFIX_MAX, or RIB_SHARED_MAX. */
enum error rib_set(struct rib *rib, const struct prefix *prefix, uint16_t path,
                   uint16_t *replaced) MUST_CHECK;
/* False: there is no such route. */
bool rib_remove(struct rib *rib, const struct prefix *prefix, uint16_t path);
/* The route for that prefix by that protocol, source and distance: its path, or 0. */
uint16_t rib_get(const struct rib *rib, const struct prefix *prefix, const struct path *like);

/* ---- Which one is used ---------------------------------------------------------------------- */

/* The best path for exactly that prefix that can be used, leaving out the route with path `without`
 * (0: none is left out); 0: there is none. */
uint16_t rib_best(const struct rib *rib, const struct prefix *prefix,
                  const struct next_hop *next_hops, uint16_t without);
/* The longest prefix of at most *length bits that contains the address and can be used: its path,
 * and its length; 0: there is none. */
uint16_t rib_lookup(const struct rib *rib, const struct address *address,
                    const struct next_hop *next_hops, unsigned *length);
/* The port of the longest connected net, be it of an address of ours or learned, which has that
 * address and is in `usable` by port; PORT_NONE.
 */
uint16_t rib_connected_port(const struct rib *rib, const struct address *address,
                            const bool *usable);

/* ---- All ------------------------------------------------------------------------------------ */

/* Calls visit() with each route, of a prefix the best first. What it answers other than OK ends
 * the walk. It must not change the RIB. */
typedef enum error rib_visit(void *context, const struct prefix *prefix, uint16_t path);
enum error rib_each(const struct rib *rib, rib_visit *visit, void *context) MUST_CHECK;
/* Likewise with each prefix and the best path for it that can be used, 0 where none can; covering
 * prefixes before what they cover. */
enum error rib_each_best(const struct rib *rib, const struct next_hop *next_hops, rib_visit *visit,
                         void *context) MUST_CHECK;

/* Where a list was left: {0} to begin. */
struct rib_cursor {
    bool begun;
    struct prefix last;
};

/* Routes but for local ones, in the order of prefix and distance; how many were written, 0 at the
 * end. max is at least ROUTES_PER_PREFIX_MAX. */
unsigned rib_list(const struct rib *rib, const struct next_hop *next_hops,
                  struct rib_cursor *cursor, struct route *out, unsigned max);
