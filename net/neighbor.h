/* Neighbors: who has an IP address on a link. One state machine and one bounded table for ARP (RFC
 * 826), and later for neighbor discovery (RFC 4861, whose states it follows).
 *
 *   INCOMPLETE --reply--> REACHABLE --30 s--> STALE --used--> DELAY --5 s--> PROBE --reply-->
 *    | 3 requests, 1 s apart                                     REACHABLE    | 3 unicast requests
 *    v failed: what waits is dropped, host unreachable                        v gone
 *
 * What somebody else told us unasked (a request to us, a gratuitous announcement) is STALE: good
 * enough to send by, and verified as soon as it is used.
 *
 * The table belongs to the control core. Other cores read adjacencies only: immutable records
 * behind an index of atomic pointers; a new MAC address is a new record and one store. A reader
 * holds a record until its core's next snapshot_quiesce(), no longer. It may fail to see a neighbor
 * while its entry moves; then the packet goes to neighbor_resolve(), which sees it. */
#pragma once

#include <stdatomic.h>

#include "kernel/base/types.h"
#include "net/address.h"
#include "net/verdict.h"

struct config;
struct core;
struct packet;

enum {
    NEIGHBOR_MAX = 16384,     /* entries in all; the oldest unresolved or stale one makes room */
    NEIGHBOR_WAITING_MAX = 3, /* packets held per unresolved address; RFC 4861 7.2.2 wants 1 */
    NEIGHBOR_HELD_MAX = 512,  /* packets held in all: a scan must not take every buffer */
    NEIGHBOR_REQUEST_MAX = 3, /* RFC 4861 MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT */
    NEIGHBOR_RETRANSMIT_MS = 1000, /* RFC 4861 RETRANS_TIMER; RFC 1122 2.3.2.1 wants 1 s a try */
    NEIGHBOR_REACHABLE_MS = 30000,
    NEIGHBOR_DELAY_MS = 5000,         /* RFC 4861 DELAY_FIRST_PROBE_TIME */
    NEIGHBOR_STALE_MS = 600000,       /* unused for that long: forgotten */
    NEIGHBOR_ANNOUNCE_MS = 2000,      /* to the second announcement: RFC 5227 ANNOUNCE_INTERVAL */
    NEIGHBOR_DEFEND_MS = 10000,       /* RFC 5227 DEFEND_INTERVAL */
    NEIGHBOR_CONFLICT_LOG_MS = 10000, /* a conflict is told to the operator this often */
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

/* Immutable but for `used`: how to put a frame on the wire to that neighbor. */
struct adjacency {
    uint8_t header[14]; /* destination, source, Ethertype */
    uint16_t port;
    uint32_t address_be;
    _Atomic bool used;      /* set by whoever sends, cleared by control when it becomes stale */
    struct adjacency *next; /* of control's lists of free and of retired records */
};
_Static_assert(sizeof(struct adjacency) == 32, "two on a cache line, none across two");

/* For `show arp`. */
struct neighbor_info {
    struct address address;
    uint8_t mac[6]; /* zero while incomplete */
    uint16_t port;
    enum neighbor_state state;
    uint64_t age_ns; /* since last confirmed */
};

/* What the table asks of the datapath: functions of net/datapath.h and net/stage.h by these
 * contracts. All take the packet. */
struct neighbor_uses {
    void (*originate_frame)(struct core *core, uint16_t port, struct packet *packet);
    void (*resume)(struct core *core, struct packet *packet); /* its neighbor is known now */
    void (*drop)(struct core *core, struct packet *packet, enum verdict why);
    void (*delivered)(struct core *core, struct packet *packet);
};

struct neighbor_table;

/* core: the control core, whose timers, pool and view it uses from then on. NULL: no memory. */
struct neighbor_table *neighbor_table_create(struct core *core,
                                             const struct neighbor_uses *uses) MUST_CHECK;
/* No core steps any more. What waits is freed. */
void neighbor_table_destroy(struct neighbor_table *table);

/* ---- Any core ------------------------------------------------------------------------------- */

/* The record of that neighbor, or NULL: then neighbor_resolve() it. */
struct adjacency *neighbor_lookup(const struct neighbor_table *table, uint16_t port,
                                  uint32_t address_be);

/* A packet is sent by it: a stale one will be verified. */
static inline void neighbor_touch(struct adjacency *adjacency)
{
    /* Looked at first, so that many cores do not write one line for each packet. */
    if (UNLIKELY(!atomic_load_explicit(&adjacency->used, memory_order_relaxed)))
        atomic_store_explicit(&adjacency->used, true, memory_order_relaxed);
}

/* ---- Control core --------------------------------------------------------------------------- */

/* Takes a packet whose next_hop_be on port_out has no record. Sends it once the neighbor answers,
 * or drops it: DROP_NEIGHBOR_FAILED, DROP_NEIGHBOR_QUEUE_FULL, DROP_NEIGHBOR_TABLE_FULL. Held while
 * it waits. */
void neighbor_resolve(struct neighbor_table *table, struct packet *packet, uint64_t now_ns);

/* Takes a frame that says it is ARP, data at the Ethernet header. Answers what asks for an address
 * of ours on that port, learns: updates who is known, adds only who asks for us. */
void neighbor_input_arp(struct neighbor_table *table, struct packet *packet, uint64_t now_ns);

/* An address has been given to a port: asks whether somebody has it already (RFC 5227 probe), says
 * that it is ours now, and 2 s later once more. */
void neighbor_announce(struct neighbor_table *table, uint16_t port, uint32_t address_be,
                       uint64_t now_ns);

/* The port's link, admin state or MAC address has changed, and core->forwarding knows: going down
 * forgets what was learned there; coming up announces all of its addresses. */
void neighbor_port_changed(struct neighbor_table *table, uint16_t port, uint64_t now_ns);

/* Makes the static entries those of that configuration, and forgets who is on no net of ours any
 * more; core->forwarding is the new view. Cannot fail: what has no room now gets it within a
 * second. */
void neighbor_reconfigure(struct neighbor_table *table, const struct config *config,
                          uint64_t now_ns);

/* Forgets what was learned: all, or one address. */
void neighbor_clear(struct neighbor_table *table, const struct address *only);

/* Entries in the order of their addresses, starting behind *after (family none: the first); how
 * many were written. */
unsigned neighbor_list(const struct neighbor_table *table, const struct address *after,
                       uint64_t now_ns, struct neighbor_info *out, unsigned max);
