/* A router: everything it is hangs from here. The kernel has one, a simulation has many.
 *
 *   struct router --- cores[] (each touched by its own core alone, but for counters, which anyone
 * may read)
 *                 --- ports[], rib, neighbor table, configuration: the control core's
 *                 --- forwarding: the immutable view that all cores read
 */
#pragma once

#include "kernel/base/histogram.h"
#include "kernel/base/packet.h"
#include "kernel/base/ring.h"
#include "kernel/base/snapshot.h"
#include "kernel/base/timer_wheel.h"
#include "kernel/base/types.h"
#include "net/config.h"
#include "net/filter_log.h"
#include "net/port.h"

struct arp;
struct autoconf;
struct fib4;
struct fib6;
struct forwarding;
struct ipv6_addresses;
struct mld;
struct nd;
struct ra;
struct local;
struct neighbor_table;
struct nic;
struct old_tables;
struct path_mtus;
struct rib;
struct route_files;
struct coroutine;

enum {
    CONTROL_CORE = 0,
    MAILBOX_SLOTS = 256, /* per pair of cores */
    /* Of them for what another core has to do; the rest is for packets that it only has to send. */
    MAILBOX_WORK_SLOTS = MAILBOX_SLOTS / 2,
};

/* What a packet is set aside or in a mailbox for. */
enum mail_purpose {
    MAIL_TRANSMIT, /* send it by your queue of port_out: it has its Ethernet header */
    MAIL_RESOLVE,  /* the next hop on port_out is unknown: control core */
    MAIL_LOCAL,    /* to our own stack: control core */
    MAIL_ARP,      /* control core */
    MAIL_FRAGMENT, /* longer than the way out allows: any core */
    MAIL_DROP,     /* for packet->reason, with an ICMP error: any core */
};

/* Counters (kernel/base/counter.h). */
struct core_stats {
    uint64_t packets, batches;
    uint64_t busy_ns;          /* awake; the rest of the time it was asleep, or still is */
    uint64_t worked_ns;        /* of it, steps that found something to do */
    uint64_t longest_slice_ns; /* of the control coroutine */
    struct histogram latency;  /* of forwarded packets: from the step that received them until the
                                * next one begins, when the card has them, in ns */
};

struct core {
    /* Set when created. */
    unsigned index;
    struct router *router;
    struct packet_pool *pool;
    struct cpu *cpu;
    /* Owned by this core. */
    uint64_t now_ns;                     /* at the start of this step */
    const struct forwarding *forwarding; /* for this step only */
    struct timer_wheel timers;
    struct ring inbox[CORE_MAX];          /* [from]: written by that core, read by this one */
    struct batch originated;              /* IP packets of ours, routed at the end of the poll */
    struct batch taken;                   /* out of the batch, each with its purpose */
    struct batch other_family;            /* out of the batch, for the line of the other family */
    struct port_lane lanes[PORT_MAX + 1]; /* this core's way to each port */
    uint32_t services;                    /* of the router, when lanes were adopted */
    unsigned polled_count;                /* ports of which this core has a queue */
    uint16_t polled[PORT_MAX];
    uint64_t lanes_pending;   /* bit per port with frames in its lane */
    uint64_t mailed_to;       /* bit per core that was sent mail in this step */
    uint64_t stepped_ns;      /* when the last step began */
    uint64_t slept_ns;        /* how long of it */
    unsigned forwarded;       /* packets that were received and sent in this step */
    unsigned mailed;          /* packets that others have received and we have sent */
    uint64_t mailed_since_ns; /* when the first of these was received */
    uint64_t spin_until_ns;   /* nothing to do: spins until then, before it sleeps */
    struct port_counters ports[PORT_MAX + 1]; /* the last: loopback, what we originate */
    struct core_stats stats;
    uint64_t icmp_bucket_full_ns; /* limits ICMP errors: icmp.c */
    struct filter_log filter_log; /* what rules want to be told */
    bool worked;                  /* something was done in this step */
    uint64_t random_state;
    /* Written by this core, read by those who send it mail. */
    alignas(CACHE_LINE_BYTES) _Atomic bool asleep;
    /* Written by all cores. */
    alignas(CACHE_LINE_BYTES) _Atomic uint64_t mail_from; /* bit per core that has sent us mail */
};

struct router {
    /* Set when created. */
    unsigned core_count;
    struct core *cores[CORE_MAX];
    struct packet_pools *pools;
    uint64_t created_ns, created_cycles; /* both clocks at that time */
    uint16_t port_count;                 /* cards and the loopback, which is the last */
    struct port ports[PORT_MAX + 1];
    /* Written by the control core, read by all. */
    _Atomic(struct forwarding *) forwarding;
    _Atomic uint32_t services; /* changes when a port comes into service or leaves it */
    struct path_mtus *path_mtus;
    struct snapshot_domain snapshots;
    /* Owned by the control core. */
    struct config *config;          /* committed, never edited */
    struct rib *ribs[FAMILY_COUNT]; /* of each family */
    struct fib4 *fib4;              /* follow the RIBs; the view leads the cores to them */
    struct fib6 *fib6;
    struct filter *filters[FAMILY_COUNT];          /* likewise; NULL: there is none */
    uint64_t filter_generations[FAMILY_COUNT];     /* of the last one that was in force */
    struct route_files *route_files[FAMILY_COUNT]; /* whose routes are in the RIBs */
    struct old_tables *old_tables;                 /* to be freed */
    struct neighbor_table *neighbors;
    struct arp *arp;
    struct autoconf *autoconf;
    struct mld *mld;
    struct nd *nd;
    struct ra *ra;
    struct ipv6_addresses *ipv6_addresses;
    struct local *local; /* echo waiters, UDP sockets, reassembly */
    struct coroutine *control;
    /* It yielded in the middle of work: no sleep before it goes on. */
    bool control_busy;
    bool control_inside;                 /* the coroutine is running now */
    void (*while_waiting)(void *router); /* control_yield(), for drivers that wait for a card */
    uint64_t link_check_ns;              /* when the links are looked at next */
    uint64_t address_check_ns;           /* not before, whatever IPv6 addresses of ours change */
    bool links_changed;                  /* and the view does not know yet */
    bool routes_anew;                    /* no room for a path: RIBs and view are to be made anew */
    uint64_t control_due_ns;             /* it runs again then, be the core ever so busy */
    void (*control_work)(void *context,
                         uint64_t now_ns); /* consoles: called in the coroutine, over and over */
    void *control_context;
    uint64_t counters_cleared_ns;
    struct port_counters *counters_base; /* sums at `clear counters`, subtracted when shown */
};

struct router_setup {
    unsigned core_count;
    struct nic *const *nics; /* become eth0, eth1, ... in this order */
    unsigned nic_count;
    unsigned packets_per_core; /* 0: enough for rings and queues */
    uint64_t now_ns;
};

/* A router with the built-in configuration, its ports open, or NULL with everything undone. The
 * cards stay the caller's and must outlive it. */
struct router *router_create(const struct router_setup *setup) MUST_CHECK;
void router_destroy(struct router *router); /* no core may be stepping */

/* One pass of the loop of ARCHITECTURE section 4; core_loop() does it for good. */
void core_step(struct core *core);
_Noreturn void core_loop(struct core *core);
/* When core_step() has to be called again if nothing arrives. */
uint64_t core_deadline(const struct core *core);

/* How many cycles of the time stamp counter pass in that time, for shows. */
uint64_t router_cycles(const struct router *router, uint64_t duration_ns);

struct port *router_port(struct router *router, const char *name); /* NULL: no such port */

/* All cores' counters of a port, less what `clear counters` set aside. */
void router_port_counters(const struct router *router, unsigned port, struct port_counters *sum);
void router_clear_counters(struct router *router, uint64_t now_ns); /* those of filters, too */
void router_clear_filter_hits(struct router *router);

/* The books of a port since it was created, all cores added up; they balance exactly whenever no
 * core is inside a step. */
struct port_books {
    uint64_t received, originated;
    uint64_t sent, delivered, dropped;
    int64_t held;
    bool balanced;
};
void router_books(const struct router *router, unsigned port, struct port_books *books);
