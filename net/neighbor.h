/* Neighbors: who has an IP address on a link. One state machine and one bounded table for ARP (RFC
 * 826), and later for neighbor discovery (RFC 4861, whose states it follows).
 *
 *   INCOMPLETE --reply--> REACHABLE --30 s--> STALE --used--> DELAY --5 s--> PROBE --reply-->
 * REACHABLE | 3 requests, 1 s apart                                                | 3 unicast
 * requests v                                                                      v failed: what
 * waits is dropped, host unreachable                        gone
 *
 * The table belongs to the control core. Other cores read adjacencies only: immutable records
 * behind an index; a new MAC address is a new record and one store. */
#pragma once

#include <stdatomic.h>

#include "kernel/base/types.h"
#include "net/address.h"

enum {
    NEIGHBOR_MAX = 16384,     /* entries in all; the oldest unresolved or stale one makes room */
    NEIGHBOR_WAITING_MAX = 3, /* packets held per unresolved address; RFC 4861 7.2.2 wants 1 */
    NEIGHBOR_REQUEST_MAX = 3, /* RFC 4861 MAX_MULTICAST_SOLICIT */
    NEIGHBOR_REACHABLE_MS = 30000,
    NEIGHBOR_STALE_MS = 600000, /* unused for that long: forgotten */
};

enum neighbor_state {
    NEIGHBOR_NONE,
    NEIGHBOR_INCOMPLETE,
    NEIGHBOR_REACHABLE,
    NEIGHBOR_STALE,
    NEIGHBOR_DELAY,
    NEIGHBOR_PROBE,
    NEIGHBOR_STATIC,
};

const char *neighbor_state_name(enum neighbor_state state); /* "reachable" */

/* Immutable: how to put a frame on the wire to that neighbor. */
struct adjacency {
    uint8_t header[14]; /* destination, source, Ethertype */
    uint16_t port;
};

/* For `show arp`. */
struct neighbor_info {
    struct address address;
    uint8_t mac[6]; /* zero while incomplete */
    uint16_t port;
    enum neighbor_state state;
    uint64_t age_ns; /* since last confirmed */
};

struct neighbor_table;
/* Control core: entries in the order of their addresses, starting behind *after (family none: the
 * first); how many were written. */
unsigned neighbor_list(const struct neighbor_table *table, const struct address *after,
                       uint64_t now_ns, struct neighbor_info *out, unsigned max);
