/* The router as a whole: creating it, and the loop of a core. */
#include "net/router.h"

#include <string.h>

#include "kernel/platform.h"
#include "net/arp.h"
#include "net/autoconf.h"
#include "net/control.h"
#include "net/datapath.h"
#include "net/ipv6_addresses.h"
#include "net/local.h"
#include "net/mld.h"
#include "net/nd.h"
#include "net/neighbor.h"
#include "net/path_mtu.h"
#include "net/ra.h"

enum {
    /* Rings are as long as drivers make them, two per port; the rest is for mailboxes, for what
     * waits for neighbors, and for fragments. */
    PACKETS_PER_RING_PAIR = 2 * 256,
    PACKETS_FOR_QUEUES = 1024,

    CONTROL_PAUSE_US = 1000, /* control waits so long while there are packets, and consoles with it:
                              * at 115200 baud that is 11 letters, and the port keeps 16 */
    SPIN_US = 20,            /* a core that found nothing looks so long before it sleeps */
    POLLED_CARD_MS = 4, /* a card without interrupts is looked at so often: 250 times a second */
};

/* ---- Create, destroy ---------------------------------------------------------------------------
 */

static void solicit(struct core *core, uint16_t port, const struct address *address,
                    const uint8_t *mac)
{
    if (address->family == FAMILY_IPV6)
        nd_solicit(core->router->nd, port, address, mac);
    else
        arp_solicit(core->router->arp, port, address_ipv4_be(address), mac);
}

static void probe_address(struct core *core, uint16_t port, const struct address *address)
{
    nd_probe(core->router->nd, port, address);
}

static void listen_on(struct core *core, uint16_t port)
{
    mld_listen(core->router->mld, port);
}

static void announce_address(struct core *core, uint16_t port, const struct address *address)
{
    nd_announce(core->router->nd, port, address);
    ra_address_valid(core->router->ra, port, core->now_ns);
    autoconf_address_valid(core->router->autoconf, port, address, core->now_ns);
}

static void leave_address(struct core *core, uint16_t port, const struct address *address)
{
    mld_leave(core->router->mld, port, address);
}

static void address_is_duplicate(struct core *core, uint16_t port, const struct address *address)
{
    autoconf_address_duplicate(core->router->autoconf, port, address, core->now_ns);
}

static const struct ipv6_addresses_uses ipv6_addresses_uses = {
    .listen = listen_on,
    .probe = probe_address,
    .announce = announce_address,
    .leave = leave_address,
    .duplicate = address_is_duplicate,
};
static const struct mld_uses mld_uses = { .originate_frame = datapath_originate_frame };

static bool router_solicited(struct core *core, uint16_t port)
{
    return ra_solicited(core->router->ra, port, core->now_ns);
}

static enum verdict router_advertised(struct core *core, uint16_t port,
                                      const struct address *router,
                                      const struct nd_router_advertisement *advertisement)
{
    return autoconf_input(core->router->autoconf, port, router, advertisement, core->now_ns);
}

static void neighbor_advertised(struct core *core, uint16_t port, const struct address *address,
                                bool is_router)
{
    autoconf_neighbor_advertised(core->router->autoconf, port, address, is_router, core->now_ns);
}

static const struct nd_uses nd_uses = { .router_solicited = router_solicited,
                                        .router_advertised = router_advertised,
                                        .neighbor_advertised = neighbor_advertised,
                                        .originate_frame = datapath_originate_frame };

static void advertise_router(struct core *core, uint16_t port,
                             const struct nd_router_advertisement *advertisement)
{
    nd_advertise_router(core->router->nd, port, advertisement);
}

static void solicit_router(struct core *core, uint16_t port)
{
    nd_solicit_router(core->router->nd, port);
}

static const struct autoconf_uses autoconf_uses = { .solicit = solicit_router };

static const struct ra_uses ra_uses = { .advertise = advertise_router };

static void neighbor_is_lost(struct core *core, uint16_t port, const struct address *address)
{
    autoconf_neighbor_lost(core->router->autoconf, port, address);
}

static const struct neighbor_uses neighbor_uses = {
    .solicit = solicit,
    .resume = datapath_resume,
    .drop = datapath_drop,
    .lost = neighbor_is_lost,
};

static const struct arp_uses arp_uses = {
    .originate_frame = datapath_originate_frame,
    .drop = datapath_drop,
    .delivered = datapath_delivered,
};

static enum error create_cores(struct router *router, const struct router_setup *setup)
{
    for (unsigned i = 0; i < setup->core_count; i++) {
        struct core *core = memory_alloc(sizeof(*core), CACHE_LINE_BYTES, MEMORY_CORE);
        if (!core)
            return fail(ERROR_NO_MEMORY);
        router->cores[i] = core;
        core->index = i;
        core->router = router;
        core->pool = packet_pool(router->pools, i);
        core->now_ns = core->stepped_ns = setup->now_ns;
        timer_wheel_init(&core->timers, setup->now_ns);
        filter_log_init(&core->filter_log, setup->now_ns);
        random_bytes(&core->random_state, sizeof(core->random_state));
        for (unsigned from = 0; from < setup->core_count; from++) {
            enum error error = ring_init(&core->inbox[from], MAILBOX_SLOTS, MEMORY_CORE);
            if (error != OK)
                return error;
        }
    }
    return OK;
}

static void free_batch(struct core *core, struct batch *batch)
{
    while (batch->count > 0)
        packet_free(core->pool, batch->packets[--batch->count]);
}

static void destroy_core(struct core *core, unsigned core_count)
{
    if (!core)
        return;
    for (unsigned from = 0; from < core_count; from++) {
        struct packet *packet;
        if (!core->inbox[from].slots)
            continue;
        while ((packet = ring_take(&core->inbox[from])))
            packet_free(core->pool, packet);
        ring_destroy(&core->inbox[from]);
    }
    free_batch(core, &core->originated);
    free_batch(core, &core->taken);
    packet_pool_collect(core->pool);
    memory_free(core);
}

struct router *router_create(const struct router_setup *setup)
{
    CHECK(setup->core_count >= 1 && setup->core_count <= CORE_MAX);
    CHECK(setup->nic_count <= PORT_MAX);
    struct router *router = memory_alloc(sizeof(*router), CACHE_LINE_BYTES, MEMORY_CORE);
    unsigned packets = setup->packets_per_core;

    if (!router)
        return NULL;
    if (packets == 0)
        packets = PACKETS_FOR_QUEUES + setup->nic_count * PACKETS_PER_RING_PAIR;
    router->core_count = setup->core_count;
    router->created_ns = setup->now_ns;
    router->created_cycles = clock_cycles();
    router->port_count = (uint16_t)(setup->nic_count + 1);
    for (unsigned i = 0; i < router->port_count; i++)
        port_create(&router->ports[i], i, i < setup->nic_count ? setup->nics[i] : NULL);
    snapshot_domain_init(&router->snapshots, setup->core_count);
    router->pools = packet_pools_create(setup->core_count, packets);
    router->counters_base =
        memory_alloc(router->port_count * sizeof(*router->counters_base), 0, MEMORY_CORE);
    router->path_mtus = path_mtus_create();
    if (!router->pools || !router->counters_base || !router->path_mtus ||
        create_cores(router, setup) != OK)
        goto undo;
    /* A card that does not come into service is one port less, not a router less. */
    for (unsigned i = 0; i < router->port_count; i++)
        if (port_open(router, &router->ports[i], setup->now_ns) == ERROR_NO_MEMORY)
            goto undo;
    for (unsigned i = 0; i < router->core_count; i++)
        ports_adopt(router->cores[i]);
    router->ipv6_addresses =
        ipv6_addresses_create(router->cores[CONTROL_CORE], &ipv6_addresses_uses);
    if (!router->ipv6_addresses || control_create(router) != OK)
        goto undo;
    router->neighbors = neighbor_table_create(router->cores[CONTROL_CORE], &neighbor_uses);
    if (!router->neighbors)
        goto undo;
    router->arp = arp_create(router->cores[CONTROL_CORE], router->neighbors, &arp_uses);
    if (!router->arp)
        goto undo;
    router->nd =
        nd_create(router->cores[CONTROL_CORE], router->neighbors, router->ipv6_addresses, &nd_uses);
    if (!router->nd)
        goto undo;
    router->ra = ra_create(router->cores[CONTROL_CORE], router->ipv6_addresses, &ra_uses);
    if (!router->ra)
        goto undo;
    router->autoconf =
        autoconf_create(router->cores[CONTROL_CORE], router->ipv6_addresses, &autoconf_uses);
    if (!router->autoconf)
        goto undo;
    router->mld = mld_create(router->cores[CONTROL_CORE], router->ipv6_addresses, &mld_uses);
    if (!router->mld)
        goto undo;
    router->local = local_create(router);
    if (!router->local)
        goto undo;
    return router;

undo:
    router_destroy(router);
    return NULL;
}

void router_destroy(struct router *router)
{
    if (!router)
        return;
    control_finish(router);
    if (router->local)
        local_destroy(router->local);
    mld_destroy(router->mld);
    autoconf_destroy(router->autoconf);
    ra_destroy(router->ra);
    nd_destroy(router->nd);
    arp_destroy(router->arp);
    ipv6_addresses_destroy(router->ipv6_addresses);
    if (router->neighbors)
        neighbor_table_destroy(router->neighbors);
    for (unsigned i = 0; i < router->port_count; i++)
        port_close(router, &router->ports[i]);
    /* Nobody steps any more, so all that was retired can go. */
    for (unsigned i = 0; i < router->core_count; i++)
        snapshot_offline(&router->snapshots, i);
    snapshot_reclaim(&router->snapshots);
    control_free_old_tables(router);
    control_destroy(router);
    for (unsigned i = 0; i < router->core_count; i++)
        destroy_core(router->cores[i], router->core_count);
    packet_pools_destroy(router->pools);
    path_mtus_destroy(router->path_mtus);
    memory_free(router->counters_base);
    memory_free(router);
}

/* ---- The loop -----------------------------------------------------------------------------------
 */

/* The time since the last step began: asleep or busy. Looking for work in vain is busy, too, as it
 * costs the host the same. */
static void account_time(struct core *core)
{
    uint64_t passed_ns = core->now_ns - core->stepped_ns;
    uint64_t slept_ns = MIN_OF(core->slept_ns, passed_ns);

    counter_add(&core->stats.busy_ns, passed_ns - slept_ns);
    if (core->worked)
        counter_add(&core->stats.worked_ns, passed_ns);
    core->stepped_ns = core->now_ns;
    core->slept_ns = 0;
}

/* How long the packets of the last step took, until this one began: all of them were sent, and the
 * clock is read once per step only. */
static void account_latency(struct core *core)
{
    if (core->forwarded == 0 && core->mailed == 0)
        return;
    histogram_add(&core->stats.latency, core->now_ns - core->stepped_ns, core->forwarded);
    if (core->mailed > 0)
        histogram_add(&core->stats.latency,
                      core->now_ns - MIN_OF(core->mailed_since_ns, core->now_ns), core->mailed);
    core->forwarded = 0;
    core->mailed = 0;
}

uint64_t core_deadline(const struct core *core)
{
    uint64_t deadline_ns = timer_wheel_deadline(&core->timers);

    if (core_is_control(core))
        deadline_ns = MIN_OF(deadline_ns, core->router->link_check_ns);
    if (ports_need_polling(core))
        deadline_ns = MIN_OF(deadline_ns, core->now_ns + (uint64_t)POLLED_CARD_MS * NS_PER_MS);
    return deadline_ns;
}

/* This core holds nothing of the last step any more; and learns which ports it serves. */
static void look_around(struct core *core)
{
    struct router *router = core->router;

    snapshot_quiesce(&router->snapshots, core->index);
    if (core->services != atomic_load_explicit(&router->services, memory_order_acquire))
        ports_adopt(core);
}

/* Nothing to do: spin shortly, as packets come in groups; then sleep until an interrupt, mail or
 * the deadline. What comes while we go to sleep is seen by the second look. */
static void core_rest(struct core *core)
{
    struct router *router = core->router;

    if (core->worked || (core_is_control(core) && router->control_busy)) {
        core->spin_until_ns = core->now_ns + (uint64_t)SPIN_US * NS_PER_US;
        return;
    }
    if (core->now_ns < core->spin_until_ns) {
        core_relax();
        return;
    }
    atomic_store_explicit(&core->asleep, true, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* the other half of mailbox_notify() */
    if (!ports_arm(core) && mailbox_is_empty(core)) {
        snapshot_offline(&router->snapshots, core->index);
        uint64_t before_ns = clock_ns();
        core_idle(core_deadline(core));
        core->slept_ns = clock_ns() - before_ns;
        look_around(core);
    }
    ports_disarm(core);
    atomic_store_explicit(&core->asleep, false, memory_order_relaxed);
}

/* In the middle of work it goes on, slice by slice. Else packets come first, for a while. */
static bool control_is_due(const struct core *core)
{
    const struct router *router = core->router;

    return !core->worked || router->control_busy || core->now_ns >= router->control_due_ns;
}

static void run_control(struct core *core)
{
    control_resume(core);
    core->router->control_due_ns = core->now_ns + (uint64_t)CONTROL_PAUSE_US * NS_PER_US;
}

void core_step(struct core *core)
{
    struct router *router = core->router;

    look_around(core);
    core->forwarding = atomic_load_explicit(&router->forwarding, memory_order_acquire);
    core_follow_code(); /* the view may lead to some that is new */
    core->now_ns = clock_ns();
    account_latency(core);
    account_time(core);
    core->worked = false;
    for (unsigned i = 0; i < core->polled_count; i++)
        datapath_poll(core, &router->ports[core->polled[i]]);
    if (!mailbox_is_empty(core))
        mailbox_poll(core);
    timer_wheel_advance(&core->timers, core->now_ns);
    if (core_is_control(core) && control_is_due(core))
        run_control(core);
    datapath_flush(core); /* what timers and control have sent */
    ports_flush(core);
    mailbox_notify(core);
    if (UNLIKELY(core->filter_log.count > 0))
        filter_log_write(core);
    packet_pool_collect(core->pool);
    core_rest(core);
}

_Noreturn void core_loop(struct core *core)
{
    core->cpu = core_current();
    for (;;) {
        core_progress();
        core_step(core);
    }
}

/* ---- Questions ----------------------------------------------------------------------------------
 */

uint64_t router_cycles(const struct router *router, uint64_t duration_ns)
{
    uint64_t passed_us = (clock_ns() - router->created_ns) / NS_PER_US;
    uint64_t passed_cycles = clock_cycles() - router->created_cycles;

    return passed_us == 0 ? 0 : duration_ns / NS_PER_US * (passed_cycles / passed_us);
}

struct port *router_port(struct router *router, const char *name)
{
    for (unsigned i = 0; i < router->port_count; i++)
        if (strcmp(router->ports[i].name, name) == 0)
            return &router->ports[i];
    return NULL;
}

/* Counters are 64-bit words, all of them. */
static void add_counters(struct port_counters *sum, const struct port_counters *more, bool subtract)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)more;

    for (unsigned i = 0; i < sizeof(*sum) / sizeof(*to); i++) {
        uint64_t value = counter_read(&from[i]);
        to[i] = subtract ? to[i] - value : to[i] + value;
    }
}

static void sum_counters(const struct router *router, unsigned port, struct port_counters *sum)
{
    *sum = (struct port_counters){ 0 };
    for (unsigned i = 0; i < router->core_count; i++)
        add_counters(sum, &router->cores[i]->ports[port], false);
}

void router_port_counters(const struct router *router, unsigned port, struct port_counters *sum)
{
    sum_counters(router, port, sum);
    add_counters(sum, &router->counters_base[port], true);
}

void router_clear_filter_hits(struct router *router)
{
    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++)
        if (router->filters[family])
            filter_clear_hits(router->filters[family]);
}

void router_clear_counters(struct router *router, uint64_t now_ns)
{
    for (unsigned port = 0; port < router->port_count; port++) {
        sum_counters(router, port, &router->counters_base[port]);
        router->counters_base[port].held = 0; /* what is held now is not forgotten */
    }
    router_clear_filter_hits(router);
    router->counters_cleared_ns = now_ns;
}

void router_books(const struct router *router, unsigned port, struct port_books *books)
{
    struct port_counters sum;

    sum_counters(router, port, &sum);
    *books = (struct port_books){ .received = sum.received,
                                  .originated = sum.originated,
                                  .sent = sum.sent,
                                  .delivered = sum.delivered,
                                  .held = (int64_t)sum.held };
    for (unsigned i = 0; i < VERDICT_COUNT; i++)
        books->dropped += sum.dropped[i];
    books->balanced = books->received + books->originated ==
                      books->sent + books->delivered + books->dropped + (uint64_t)books->held;
}
