/* Neighbors: who has an IP address on a link. One state machine and one bounded table for ARP (RFC
 * 826) and neighbor discovery (RFC 4861, whose states it follows).
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
    NEIGHBOR_MAX = 16384,     /* entries in all; who has never answered makes room first */
    NEIGHBOR_WAITING_MAX = 3, /* packets held per unresolved address; RFC 4861 7.2.2 wants 1 */
    NEIGHBOR_HELD_MAX = 512,  /* packets held in all: a scan must not take every buffer */
    /* Unknown addresses that are asked for because of what comes in by one port: a scan must not
     * fill links and transmit rings with questions (RFC 6583 7.1), nor use up those of the others
     * and our own. A burst is half a ring. */
    NEIGHBOR_ASK_PER_S = 4000,
    NEIGHBOR_ASK_BURST = 128,
    NEIGHBOR_REQUEST_MAX = 3,      /* RFC 4861 MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT */
    NEIGHBOR_RETRANSMIT_MS = 1000, /* RFC 4861 RETRANS_TIMER; RFC 1122 2.3.2.1 wants 1 s a try */
    NEIGHBOR_REACHABLE_MS = 30000,
    NEIGHBOR_DELAY_MS = 5000,   /* RFC 4861 DELAY_FIRST_PROBE_TIME */
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

/* Immutable but for `used`: how to put a frame on the wire to that neighbor. */
struct adjacency {
    alignas(CACHE_LINE_BYTES) uint8_t header[14]; /* destination, source, Ethertype */
    uint16_t port;
    _Atomic bool used; /* set by whoever sends, cleared by control when it becomes stale */
    struct address address;
    struct adjacency *next; /* of control's lists of free and of retired records */
};
_Static_assert(sizeof(struct adjacency) == CACHE_LINE_BYTES, "one line per packet");

/* For `show arp` and `show ipv6 neighbors`. */
struct neighbor_info {
    struct address address;
    uint8_t mac[6]; /* zero while incomplete */
    uint16_t port;
    enum neighbor_state state;
    uint64_t age_ns; /* since last confirmed */
};

/* What the table asks of others: of the datapath (net/datapath.h, net/stage.h), whose functions
 * take the packet, and of who speaks on the link for it (net/arp.h). */
struct neighbor_uses {
    /* Asks whose the address is: mac NULL everybody, else that station. */
    void (*solicit)(struct core *core, uint16_t port, const struct address *address,
                    const uint8_t *mac);
    void (*resume)(struct core *core, struct packet *packet); /* its neighbor is known now */
    void (*drop)(struct core *core, struct packet *packet, enum verdict why);
    /* Has answered none of the questions: RFC 4861 7.3.3. */
    void (*lost)(struct core *core, uint16_t port, const struct address *address);
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
                                  const struct address *address);
static inline struct adjacency *neighbor_lookup_ipv4(const struct neighbor_table *table,
                                                     uint16_t port, uint32_t address_be)
{
    const struct address address = address_of_ipv4(address_be);
    return neighbor_lookup(table, port, &address);
}

/* A packet is sent by it: a stale one will be verified. */
static inline void neighbor_touch(struct adjacency *adjacency)
{
    /* Looked at first, so that many cores do not write one line for each packet. */
    if (UNLIKELY(!atomic_load_explicit(&adjacency->used, memory_order_relaxed)))
        atomic_store_explicit(&adjacency->used, true, memory_order_relaxed);
}

/* ---- Control core --------------------------------------------------------------------------- */

/* Takes a packet whose next hop on port_out has no record. Sends it once the neighbor answers,
 * or drops it: DROP_NEIGHBOR_FAILED, DROP_NEIGHBOR_QUEUE_FULL, DROP_NEIGHBOR_TABLE_FULL,
 * DROP_NEIGHBOR_RATE_LIMIT. Held while it waits. */
void neighbor_resolve(struct neighbor_table *table, struct packet *packet, uint64_t now_ns);

/* What a station has said of itself. */
struct neighbor_news {
    const uint8_t *mac;     /* NULL: as it is known */
    bool is_answer;         /* to us, who have asked */
    bool overrides;         /* what is known: RFC 4861 7.2.5; ARP always does */
    bool is_worth_an_entry; /* where there is none; else it is for those that are known already */
};
/* True where it was known before. */
bool neighbor_learn(struct neighbor_table *table, uint16_t port, const struct address *address,
                    const struct neighbor_news *news, uint64_t now_ns);

/* The port's link, admin state or MAC address has changed, and core->forwarding knows: what was
 * learned there is forgotten where it is down, or its own MAC address is new. */
void neighbor_port_changed(struct neighbor_table *table, uint16_t port, uint64_t now_ns);

/* Times of IPv6 neighbors on that port, as another router has told (RFC 4861 6.3.4); 0: as before.
 * They are for what begins from then on. */
void neighbor_set_times(struct neighbor_table *table, uint16_t port, uint32_t reachable_ms,
                        uint32_t retransmit_ms);
void neighbor_reset_times(struct neighbor_table *table, uint16_t port);

/* Makes the static entries those of that configuration, and forgets who is on no net of ours any
 * more; core->forwarding is the new view. Cannot fail: what has no room now gets it within a
 * second. */
void neighbor_reconfigure(struct neighbor_table *table, const struct config *config,
                          uint64_t now_ns);

/* Forgets what was learned: all of that family, or one address. */
void neighbor_clear(struct neighbor_table *table, enum family family, const struct address *only);

/* Entries of that family in the order of their addresses, starting behind *after (family none: the
 * first); how many were written. */
unsigned neighbor_list(const struct neighbor_table *table, enum family family,
                       const struct address *after, uint64_t now_ns, struct neighbor_info *out,
                       unsigned max);
