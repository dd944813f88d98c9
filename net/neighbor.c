/* See neighbor.h for the states. How the table lies in memory:
 *
 *   slots[]    [ ][r][n][r][ ]...   what readers see: a record, `nobody`, or NULL
 *   entries[]  [ ][e][e][e][ ]...   the same places as the control core sees them
 *
 * Open addressing with linear probing, at most half full, so every probe soon meets a NULL.
 * `nobody` stands where an entry has no record yet: the probe goes on over it. Removing shifts the
 * followers back, copy first, so that a reader at worst misses one and asks the control core.
 *
 * A record that has been replaced rests on `replaced` until no core can hold it: all that rest at
 * one moment are retired together, as one object of the snapshot domain.
 *
 * A full table makes room at the cost of those who have not answered us yet, whether we ask for
 * them or they came unasked; of their lists, the longest gives it. So a scan pushes out what it has
 * scanned and a flood of forged senders its own, while the other's few neighbors have the time to
 * answer. Then come those that are not in use. */
#include "net/neighbor.h"

#include "kernel/base/bytes.h"
#include "kernel/base/log.h"
#include "kernel/base/random.h"
#include "kernel/base/rate.h"
#include "kernel/base/timer_wheel.h"
#include "kernel/platform.h"
#include "net/config.h"
#include "net/forwarding.h"
#include "net/router.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"

enum {
    SLOT_BITS = 15,
    SLOT_COUNT = 1 << SLOT_BITS,
    SLOT_MASK = SLOT_COUNT - 1,
    RECORD_COUNT = 2 * NEIGHBOR_MAX, /* each entry's own, and as many on their way to retirement */
    EVICTION_LOOKS_MAX = 8, /* at entries that turn out to be in use, for one that is not */
};
_Static_assert(SLOT_COUNT >= 2 * NEIGHBOR_MAX, "half of the slots stay empty");

/* Doubly linked through entries, oldest first. */
struct age_list {
    struct neighbor *oldest, *newest;
    unsigned count;
};

/* Who may be evicted, by why. */
enum evictable {
    UNRESOLVED, /* asked for */
    HEARD,      /* has spoken to us, has never answered, and is not in use */
    DOUBTED,    /* the same, in use: will be asked soon */
    UNPROVEN_COUNT,
    IDLE = UNPROVEN_COUNT, /* has answered, and is not in use */
    EVICTABLE_COUNT,
};

struct neighbor {
    struct neighbor_table *table;
    struct timer timer; /* what happens next in this state */
    struct neighbor *older, *newer;
    struct age_list *list;       /* the one it is in, or NULL: not to be evicted */
    struct adjacency *adjacency; /* NULL while nothing is published */
    struct packet *waiting;      /* oldest first, linked by `next` */
    uint64_t confirmed_ns;       /* when it answered last, or was entered */
    uint64_t stale_ns;           /* when it became stale */
    struct address address;
    uint32_t slot;
    uint16_t port;
    uint8_t mac[MAC_BYTES];
    uint8_t state; /* enum neighbor_state */
    uint8_t request_count;
    uint8_t waiting_count;
    bool proven; /* has answered us from that MAC address */
    bool wanted; /* by the configuration, while that is being compared */
};

/* Of IPv6 on a port. */
struct neighbor_times {
    uint32_t reachable_ms, retransmit_ms;
};
static const struct neighbor_times usual_times = { NEIGHBOR_REACHABLE_MS, NEIGHBOR_RETRANSMIT_MS };

/* Outlives the table if it must: the snapshot domain knows its address. */
struct retirement {
    struct neighbor_table *table;
};

struct neighbor_table {
    /* Read by all cores. */
    _Atomic(struct adjacency *) slots[SLOT_COUNT];
    uint64_t seed;
    /* Owned by the control core. */
    struct neighbor *entries[SLOT_COUNT];
    struct core *core;
    struct neighbor_uses uses;
    struct neighbor *free_entries; /* linked by `newer` */
    struct age_list evictable[EVICTABLE_COUNT];
    struct rate asking[PORT_MAX + 1]; /* for who has no entry yet, by who wants to reach him */
    unsigned held;
    struct neighbor_times ipv6_times[PORT_MAX + 1];
    struct adjacency *free_records, *replaced, *retiring;
    struct retirement *retirement;
    bool is_retiring;
    struct adjacency nobody;
    struct neighbor pool[NEIGHBOR_MAX];
    struct adjacency records[RECORD_COUNT];
};

const char *neighbor_state_name(enum neighbor_state state)
{
    static const char *const names[] = {
        [NEIGHBOR_NONE] = "none",     [NEIGHBOR_INCOMPLETE] = "incomplete",
        [NEIGHBOR_STALE] = "stale",   [NEIGHBOR_REACHABLE] = "reachable",
        [NEIGHBOR_DELAY] = "delay",   [NEIGHBOR_PROBE] = "probe",
        [NEIGHBOR_STATIC] = "static",
    };
    return names[state];
}

static uint64_t ms_later(uint64_t now_ns, uint64_t ms)
{
    return now_ns + ms * NS_PER_MS;
}

/* ---- Index ---------------------------------------------------------------------------------- */

static unsigned slot_of(const struct neighbor_table *table, uint16_t port,
                        const struct address *address)
{
    /* Seeded, so that nobody outside can choose addresses that meet in one place. */
    uint64_t key = random_mix(load_le64(address->bytes) ^ table->seed) ^
                   load_le64(address->bytes + 8) ^ (uint64_t)port << 48;

    return (unsigned)(random_mix(key ^ table->seed) >> (64 - SLOT_BITS));
}

static bool is_about(const struct adjacency *record, uint16_t port, const struct address *address)
{
    return record->port == port && address_equal(&record->address, address);
}

struct adjacency *neighbor_lookup(const struct neighbor_table *table, uint16_t port,
                                  const struct address *address)
{
    unsigned slot = slot_of(table, port, address);

    for (unsigned probes = 0; probes < SLOT_COUNT; probes++) {
        struct adjacency *found = atomic_load_explicit(&table->slots[slot], memory_order_acquire);
        if (!found)
            return NULL;
        if (is_about(found, port, address))
            return found;
        slot = (slot + 1) & SLOT_MASK;
    }
    return NULL;
}

static void slot_publish(struct neighbor_table *table, unsigned slot, struct adjacency *record)
{
    atomic_store_explicit(&table->slots[slot], record, memory_order_release);
}

/* The entry has that record now, or none. */
static void record_publish(struct neighbor_table *table, struct neighbor *entry,
                           struct adjacency *record)
{
    entry->adjacency = record;
    slot_publish(table, entry->slot, record ? record : &table->nobody);
    forwarding_set_gateway(table->core->forwarding, entry->port, &entry->address, record);
}

static struct neighbor *entry_find(const struct neighbor_table *table, uint16_t port,
                                   const struct address *address)
{
    unsigned slot = slot_of(table, port, address);

    for (; table->entries[slot]; slot = (slot + 1) & SLOT_MASK) {
        struct neighbor *entry = table->entries[slot];
        if (entry->port == port && address_equal(&entry->address, address))
            return entry;
    }
    return NULL;
}

static void index_insert(struct neighbor_table *table, struct neighbor *entry)
{
    unsigned slot = slot_of(table, entry->port, &entry->address);

    while (table->entries[slot])
        slot = (slot + 1) & SLOT_MASK;
    table->entries[slot] = entry;
    entry->slot = slot;
    slot_publish(table, slot, &table->nobody);
}

static void index_remove(struct neighbor_table *table, struct neighbor *entry)
{
    unsigned hole = entry->slot;

    for (unsigned slot = (hole + 1) & SLOT_MASK; table->entries[slot];
         slot = (slot + 1) & SLOT_MASK) {
        struct neighbor *follower = table->entries[slot];
        unsigned home = slot_of(table, follower->port, &follower->address);
        /* It may move to the hole unless that lies before its home. */
        if (((slot - home) & SLOT_MASK) < ((slot - hole) & SLOT_MASK))
            continue;
        table->entries[hole] = follower;
        follower->slot = hole;
        slot_publish(table, hole, follower->adjacency ? follower->adjacency : &table->nobody);
        hole = slot;
    }
    table->entries[hole] = NULL;
    slot_publish(table, hole, NULL);
}

/* ---- Records -------------------------------------------------------------------------------- */

static void records_return(void *object);

static void records_retire(struct neighbor_table *table)
{
    if (table->is_retiring || !table->replaced)
        return;
    if (snapshot_retire(&table->core->router->snapshots, table->retirement, records_return) != OK)
        return; /* tried again when the next one is replaced, or needed */
    table->retiring = table->replaced;
    table->replaced = NULL;
    table->is_retiring = true;
}

/* Called by the snapshot domain when no core holds any of `retiring` any more. */
static void records_return(void *object)
{
    struct retirement *retirement = object;
    struct neighbor_table *table = retirement->table;

    if (!table) {
        memory_free(retirement);
        return;
    }
    while (table->retiring) {
        struct adjacency *record = table->retiring;
        table->retiring = record->next;
        record->next = table->free_records;
        table->free_records = record;
    }
    table->is_retiring = false;
    records_retire(table); /* what has been replaced meanwhile */
}

static void record_replace(struct neighbor_table *table, struct adjacency *record)
{
    record->next = table->replaced;
    table->replaced = record;
    records_retire(table);
}

/* Makes the entry's MAC address known to all cores. False without a free record: then nothing is
 * published for it. */
static bool entry_publish(struct neighbor_table *table, struct neighbor *entry)
{
    struct adjacency *old = entry->adjacency;
    struct adjacency *record = table->free_records;

    records_retire(table);
    if (record) {
        bool is_ipv4 = entry->address.family == FAMILY_IPV4;
        struct ethernet_header header = { .ethertype = is_ipv4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6 };
        table->free_records = record->next;
        memcpy(header.target, entry->mac, MAC_BYTES);
        memcpy(header.source, table->core->router->ports[entry->port].mac, MAC_BYTES);
        ethernet_write(&header, record->header);
        record->port = entry->port;
        record->address = entry->address;
        atomic_store_explicit(&record->used, true, memory_order_relaxed);
    }
    record_publish(table, entry, record);
    if (old)
        record_replace(table, old);
    return record;
}

/* ---- Entries -------------------------------------------------------------------------------- */

static void list_remove(struct neighbor *entry)
{
    struct age_list *list = entry->list;

    if (!list)
        return;
    *(entry->older ? &entry->older->newer : &list->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &list->newest) = entry->older;
    list->count--;
    entry->list = NULL;
    entry->older = entry->newer = NULL;
}

static void list_append(struct neighbor *entry, enum evictable why)
{
    struct age_list *list = &entry->table->evictable[why];

    list_remove(entry);
    list->count++;
    entry->list = list;
    entry->older = list->newest;
    entry->newer = NULL;
    *(list->newest ? &list->newest->newer : &list->oldest) = entry;
    list->newest = entry;
}

static void set_timer(struct neighbor *entry, uint64_t deadline_ns)
{
    timer_set(&entry->table->core->timers, &entry->timer, deadline_ns);
}

static struct packet *take_waiting(struct neighbor_table *table, struct neighbor *entry)
{
    struct packet *packet = entry->waiting;

    entry->waiting = packet->next;
    entry->waiting_count--;
    table->held--;
    packet->next = NULL;
    books_unhold(table->core, packet);
    return packet;
}

static void drop_waiting(struct neighbor_table *table, struct neighbor *entry, enum verdict why)
{
    while (entry->waiting)
        table->uses.drop(table->core, take_waiting(table, entry), why);
}

static void entry_remove(struct neighbor_table *table, struct neighbor *entry, enum verdict why)
{
    drop_waiting(table, entry, why);
    timer_cancel(&table->core->timers, &entry->timer);
    list_remove(entry);
    if (entry->adjacency) {
        struct adjacency *old = entry->adjacency;
        record_publish(table, entry, NULL);
        record_replace(table, old);
    }
    index_remove(table, entry);
    entry->state = NEIGHBOR_NONE;
    entry->newer = table->free_entries;
    table->free_entries = entry;
}

static void become_delay(struct neighbor *entry, uint64_t now_ns);

static bool is_in_use(const struct neighbor *entry)
{
    return entry->adjacency && atomic_load_explicit(&entry->adjacency->used, memory_order_relaxed);
}

/* The oldest that is not in use, as far as that is soon found: a stale entry that is has only not
 * been looked at yet (watch_stale). */
static struct neighbor *oldest_idle(struct neighbor_table *table, enum evictable why,
                                    uint64_t now_ns)
{
    const struct age_list *list = &table->evictable[why];

    for (unsigned i = 0; i < EVICTION_LOOKS_MAX; i++) {
        struct neighbor *entry = list->oldest;
        if (!entry || entry->state != NEIGHBOR_STALE || !is_in_use(entry))
            return entry;
        become_delay(entry, now_ns);
    }
    return NULL;
}

static enum evictable longest_unproven(const struct neighbor_table *table)
{
    enum evictable longest = UNRESOLVED;

    for (enum evictable why = UNRESOLVED; why < UNPROVEN_COUNT; why++)
        if (table->evictable[why].count > table->evictable[longest].count)
            longest = why;
    return longest;
}

/* For a static entry, which must get room, anybody may have to go. */
static struct neighbor *eviction_victim(struct neighbor_table *table, bool for_static,
                                        uint64_t now_ns)
{
    struct neighbor *victim = oldest_idle(table, longest_unproven(table), now_ns);

    if (!victim)
        victim = oldest_idle(table, DOUBTED, now_ns);
    if (!victim)
        victim = oldest_idle(table, IDLE, now_ns);
    for (unsigned i = 0; !victim && for_static && i < NEIGHBOR_MAX; i++)
        if (table->pool[i].state != NEIGHBOR_STATIC)
            victim = &table->pool[i];
    return victim;
}

static void neighbor_expired(struct timer *timer, uint64_t now_ns);

/* A new entry, in no state yet, or NULL: the table is full of neighbors that are in use. */
static struct neighbor *entry_add(struct neighbor_table *table, uint16_t port,
                                  const struct address *address, bool is_static, uint64_t now_ns)
{
    if (!table->free_entries) {
        struct neighbor *victim = eviction_victim(table, is_static, now_ns);
        if (!victim)
            return NULL;
        entry_remove(table, victim, DROP_NEIGHBOR_TABLE_FULL);
    }
    struct neighbor *entry = table->free_entries;
    table->free_entries = entry->newer;
    *entry = (struct neighbor){
        .table = table,
        .timer.expired = neighbor_expired,
        .address = *address,
        .port = port,
    };
    index_insert(table, entry);
    return entry;
}

/* ---- States --------------------------------------------------------------------------------- */

static const struct neighbor_times *times_of(const struct neighbor *entry)
{
    return entry->address.family == FAMILY_IPV6 ? &entry->table->ipv6_times[entry->port]
                                                : &usual_times;
}

static void entry_solicit(struct neighbor *entry)
{
    struct neighbor_table *table = entry->table;

    entry->request_count++;
    table->uses.solicit(table->core, entry->port, &entry->address,
                        entry->state == NEIGHBOR_PROBE ? entry->mac : NULL);
}

static void become_incomplete(struct neighbor *entry, uint64_t now_ns)
{
    entry->state = NEIGHBOR_INCOMPLETE;
    entry->confirmed_ns = now_ns;
    list_append(entry, UNRESOLVED);
    entry_solicit(entry);
    set_timer(entry, ms_later(now_ns, times_of(entry)->retransmit_ms));
}

static void become_reachable(struct neighbor *entry, uint64_t now_ns)
{
    entry->state = NEIGHBOR_REACHABLE;
    entry->confirmed_ns = now_ns;
    entry->proven = true;
    list_remove(entry);
    set_timer(entry, ms_later(now_ns, times_of(entry)->reachable_ms));
}

/* Stale entries are looked at on whole seconds, all at once, so that thousands of them wake a
 * sleeping core once a second and not thousands of times. */
static void watch_stale(struct neighbor *entry, uint64_t now_ns)
{
    set_timer(entry, (now_ns / NS_PER_S + 1) * NS_PER_S);
}

static void become_stale(struct neighbor *entry, uint64_t now_ns)
{
    entry->state = NEIGHBOR_STALE;
    entry->stale_ns = now_ns;
    atomic_store_explicit(&entry->adjacency->used, false, memory_order_relaxed);
    list_append(entry, entry->proven ? IDLE : HEARD);
    watch_stale(entry, now_ns);
}

static void become_delay(struct neighbor *entry, uint64_t now_ns)
{
    entry->state = NEIGHBOR_DELAY;
    list_remove(entry);
    if (!entry->proven)
        list_append(entry, DOUBTED);
    set_timer(entry, ms_later(now_ns, NEIGHBOR_DELAY_MS));
}

static void become_probe(struct neighbor *entry, uint64_t now_ns)
{
    entry->state = NEIGHBOR_PROBE;
    entry->request_count = 0;
    entry_solicit(entry);
    set_timer(entry, ms_later(now_ns, times_of(entry)->retransmit_ms));
}

/* Sends what has waited. The datapath may hand a packet back at once, so the list is taken off
 * first. */
static void release_waiting(struct neighbor_table *table, struct neighbor *entry)
{
    while (entry->waiting)
        table->uses.resume(table->core, take_waiting(table, entry));
}

/* The operator's word stays, even if it must wait for a record. */
static void static_publish(struct neighbor *entry, uint64_t now_ns)
{
    if (!entry_publish(entry->table, entry)) {
        set_timer(entry, ms_later(now_ns, NEIGHBOR_RETRANSMIT_MS));
        return;
    }
    timer_cancel(&entry->table->core->timers, &entry->timer);
    release_waiting(entry->table, entry);
}

/* The timer of an entry: what silence means in each state. */
static void neighbor_expired(struct timer *timer, uint64_t now_ns)
{
    struct neighbor *entry = CONTAINER_OF(timer, struct neighbor, timer);
    struct neighbor_table *table = entry->table;

    switch ((enum neighbor_state)entry->state) {
    case NEIGHBOR_INCOMPLETE:
    case NEIGHBOR_PROBE:
        if (entry->request_count >= NEIGHBOR_REQUEST_MAX) {
            table->uses.lost(table->core, entry->port, &entry->address);
            entry_remove(table, entry, DROP_NEIGHBOR_FAILED);
            return;
        }
        entry_solicit(entry);
        set_timer(entry, ms_later(now_ns, times_of(entry)->retransmit_ms));
        return;
    case NEIGHBOR_REACHABLE:
        become_stale(entry, now_ns);
        return;
    case NEIGHBOR_STALE:
        if (is_in_use(entry))
            become_delay(entry, now_ns);
        else if (now_ns - entry->stale_ns >= (uint64_t)NEIGHBOR_STALE_MS * NS_PER_MS)
            entry_remove(table, entry, DROP_NEIGHBOR_FAILED);
        else
            watch_stale(entry, now_ns);
        return;
    case NEIGHBOR_DELAY:
        become_probe(entry, now_ns);
        return;
    case NEIGHBOR_STATIC: /* no record was free */
        static_publish(entry, now_ns);
        return;
    case NEIGHBOR_NONE:
        CHECK(entry->state != NEIGHBOR_NONE); /* a free entry has no timer */
    }
}

/* RFC 4861 7.2.5, and 7.2.3 for what was not asked for: the entry's address is at that MAC
 * address. */
static void entry_learn(struct neighbor *entry, const struct neighbor_news *news, uint64_t now_ns)
{
    struct neighbor_table *table = entry->table;
    bool known = entry->adjacency != NULL;
    bool same = known && (!news->mac || mac_equal(entry->mac, news->mac));
    /* Only what we have asked for confirms. Neighbor discovery says so itself, and in every state;
     * an ARP reply is an answer where there was a question. */
    bool asked = entry->address.family == FAMILY_IPV6 || entry->state == NEIGHBOR_INCOMPLETE ||
                 entry->state == NEIGHBOR_PROBE;

    if (entry->state == NEIGHBOR_STATIC || (!known && !news->mac))
        return;
    if (known && !same && !news->overrides) {
        if (entry->state == NEIGHBOR_REACHABLE)
            become_stale(entry, now_ns);
        return;
    }
    if (!same) {
        memcpy(entry->mac, news->mac, MAC_BYTES);
        entry->proven = false;
        if (!entry_publish(table, entry)) {
            entry_remove(table, entry, DROP_NEIGHBOR_TABLE_FULL);
            return;
        }
    }
    if (news->is_answer && asked)
        become_reachable(entry, now_ns);
    else if (!same)
        become_stale(entry, now_ns);
    release_waiting(table, entry);
}

bool neighbor_learn(struct neighbor_table *table, uint16_t port, const struct address *address,
                    const struct neighbor_news *news, uint64_t now_ns)
{
    struct neighbor *entry = entry_find(table, port, address);
    bool known = entry != NULL;

    if (!entry && news->is_worth_an_entry)
        entry = entry_add(table, port, address, false, now_ns);
    if (entry)
        entry_learn(entry, news, now_ns);
    return known;
}

/* ---- Packets that wait ---------------------------------------------------------------------- */

static void entry_hold(struct neighbor_table *table, struct neighbor *entry, struct packet *packet)
{
    struct packet **end = &entry->waiting;

    /* RFC 1122 2.3.2.2 wants the latest packet kept, so the oldest makes room. */
    if (entry->waiting_count == NEIGHBOR_WAITING_MAX)
        table->uses.drop(table->core, take_waiting(table, entry), DROP_NEIGHBOR_QUEUE_FULL);
    while (*end)
        end = &(*end)->next;
    packet->next = NULL;
    *end = packet;
    entry->waiting_count++;
    table->held++;
    books_hold(table->core, packet);
}

static struct address next_hop_of(const struct packet *packet)
{
    struct address address = { .family = FAMILY_IPV6 };

    if (packet->network_protocol != PACKET_IPV6)
        return address_of_ipv4(packet->next_hop_be);
    memcpy(address.bytes, packet->next_hop, sizeof(address.bytes));
    return address;
}

void neighbor_resolve(struct neighbor_table *table, struct packet *packet, uint64_t now_ns)
{
    struct core *core = table->core;
    uint16_t port = packet->port_out;
    struct address address = next_hop_of(packet);
    struct neighbor *entry = entry_find(table, port, &address);

    if (entry && entry->adjacency) { /* learned since, or missed by a reader */
        table->uses.resume(core, packet);
        return;
    }
    if (!entry) {
        if (!forwarding_has_source(core->forwarding, port, address.family)) {
            table->uses.drop(core, packet, DROP_NEIGHBOR_FAILED);
            return;
        }
        if (!rate_take(&table->asking[packet->port_in], now_ns)) {
            table->uses.drop(core, packet, DROP_NEIGHBOR_RATE_LIMIT);
            return;
        }
        entry = entry_add(table, port, &address, false, now_ns);
        if (!entry) {
            table->uses.drop(core, packet, DROP_NEIGHBOR_TABLE_FULL);
            return;
        }
        become_incomplete(entry, now_ns);
    }
    if (entry->waiting_count == 0 && table->held >= NEIGHBOR_HELD_MAX) {
        table->uses.drop(core, packet, DROP_NEIGHBOR_QUEUE_FULL);
        return;
    }
    entry_hold(table, entry, packet);
}

/* ---- Ports ---------------------------------------------------------------------------------- */

void neighbor_port_changed(struct neighbor_table *table, uint16_t port_index, uint64_t now_ns)
{
    const struct port *port = &table->core->router->ports[port_index];
    bool works = port->nic && port->admin_up && port->link_up;

    for (unsigned i = 0; i < NEIGHBOR_MAX; i++) {
        struct neighbor *entry = &table->pool[i];
        if (entry->state == NEIGHBOR_NONE || entry->port != port_index)
            continue;
        if (entry->state == NEIGHBOR_STATIC)
            static_publish(entry, now_ns);
        else if (!works)
            entry_remove(table, entry, DROP_PORT_DOWN);
        else if (entry->adjacency && !mac_equal(entry->adjacency->header + MAC_BYTES, port->mac))
            entry_remove(table, entry, DROP_NEIGHBOR_FAILED); /* our own MAC address is new */
    }
}

void neighbor_set_times(struct neighbor_table *table, uint16_t port, uint32_t reachable_ms,
                        uint32_t retransmit_ms)
{
    struct neighbor_times *times = &table->ipv6_times[port];

    if (reachable_ms != 0)
        times->reachable_ms = reachable_ms;
    if (retransmit_ms != 0)
        times->retransmit_ms = retransmit_ms;
}

void neighbor_reset_times(struct neighbor_table *table, uint16_t port)
{
    table->ipv6_times[port] = usual_times;
}

/* ---- Static entries, clear, list ------------------------------------------------------------ */

static void set_static(struct neighbor_table *table, uint16_t port, const struct config_arp *wish,
                       uint64_t now_ns)
{
    const struct address address = address_of_ipv4(wish->address_be);
    struct neighbor *entry = entry_find(table, port, &address);

    if (!entry)
        entry = entry_add(table, port, &address, true, now_ns);
    CHECK(entry); /* CONFIG_ARP_MAX is less than the table */
    entry->wanted = true;
    if (entry->state == NEIGHBOR_STATIC && mac_equal(entry->mac, wish->mac))
        return;
    entry->state = NEIGHBOR_STATIC;
    entry->confirmed_ns = now_ns;
    memcpy(entry->mac, wish->mac, MAC_BYTES);
    list_remove(entry);
    static_publish(entry, now_ns);
}
_Static_assert((int)CONFIG_ARP_MAX < (int)NEIGHBOR_MAX, "all static entries have room");

/* With the addresses as they are now. Whatever route leads to the entry's own address, it may be
 * somebody's gateway. */
static bool is_possible(const struct neighbor *entry)
{
    const struct forwarding *view = entry->table->core->forwarding;
    enum next_hop_kind kind = forwarding_kind(view, &entry->address);

    return forwarding_is_connected(view, entry->port, &entry->address) && kind != NEXT_HOP_LOCAL &&
           kind != NEXT_HOP_BROADCAST;
}

void neighbor_reconfigure(struct neighbor_table *table, const struct config *config,
                          uint64_t now_ns)
{
    for (unsigned i = 0; i < NEIGHBOR_MAX; i++)
        table->pool[i].wanted = false;
    for (unsigned i = 0; i < config->arp_count; i++) {
        const struct config_arp *wish = &config->arps[i];
        const struct port *port = router_port(table->core->router, wish->interface);
        if (port)
            set_static(table, port->index, wish, now_ns);
    }
    for (unsigned i = 0; i < NEIGHBOR_MAX; i++) {
        struct neighbor *entry = &table->pool[i];
        bool is_static = entry->state == NEIGHBOR_STATIC;
        if (entry->state != NEIGHBOR_NONE && (is_static ? !entry->wanted : !is_possible(entry)))
            entry_remove(table, entry, DROP_NEIGHBOR_FAILED);
    }
}

void neighbor_clear(struct neighbor_table *table, enum family family, const struct address *only)
{
    for (unsigned i = 0; i < NEIGHBOR_MAX; i++) {
        struct neighbor *entry = &table->pool[i];
        if (entry->state == NEIGHBOR_NONE || entry->state == NEIGHBOR_STATIC)
            continue;
        if (!only ? entry->address.family == family : address_equal(only, &entry->address))
            entry_remove(table, entry, DROP_NEIGHBOR_FAILED);
    }
}

static void describe(const struct neighbor *entry, uint64_t now_ns, struct neighbor_info *info)
{
    *info = (struct neighbor_info){
        .address = entry->address,
        .port = entry->port,
        .state = (enum neighbor_state)entry->state,
        .age_ns = now_ns - entry->confirmed_ns,
    };
    memcpy(info->mac, entry->mac, MAC_BYTES);
}

/* Keeps the `max` smallest by insertion: a page is short, and nobody waits for this but a person.
 */
unsigned neighbor_list(const struct neighbor_table *table, enum family family,
                       const struct address *after, uint64_t now_ns, struct neighbor_info *out,
                       unsigned max)
{
    unsigned count = 0;

    for (unsigned i = 0; max > 0 && i < NEIGHBOR_MAX; i++) {
        const struct neighbor *entry = &table->pool[i];
        if (entry->state == NEIGHBOR_NONE || entry->address.family != family)
            continue;
        if (after->family != FAMILY_NONE && address_compare(&entry->address, after) <= 0)
            continue;
        if (count == max && address_compare(&entry->address, &out[count - 1].address) >= 0)
            continue;
        unsigned place = count < max ? count++ : count - 1;
        for (; place > 0 && address_compare(&entry->address, &out[place - 1].address) < 0; place--)
            out[place] = out[place - 1];
        describe(entry, now_ns, &out[place]);
    }
    return count;
}

/* ---- Create, destroy ------------------------------------------------------------------------ */

struct neighbor_table *neighbor_table_create(struct core *core, const struct neighbor_uses *uses)
{
    struct neighbor_table *table = memory_alloc(sizeof(*table), CACHE_LINE_BYTES, MEMORY_NEIGHBOR);

    if (!table)
        return NULL;
    table->retirement = memory_alloc(sizeof(*table->retirement), 0, MEMORY_NEIGHBOR);
    if (!table->retirement) {
        memory_free(table);
        return NULL;
    }
    table->retirement->table = table;
    table->core = core;
    table->uses = *uses;
    for (unsigned i = 0; i < ARRAY_COUNT(table->asking); i++)
        table->asking[i] = rate_of(NEIGHBOR_ASK_PER_S, NEIGHBOR_ASK_BURST, core->now_ns);
    table->seed = random_next(&core->random_state);
    table->nobody.port = PORT_NONE;
    for (uint16_t port = 0; port < ARRAY_COUNT(table->ipv6_times); port++)
        neighbor_reset_times(table, port);
    for (unsigned i = NEIGHBOR_MAX; i-- > 0;) {
        table->pool[i].newer = table->free_entries;
        table->free_entries = &table->pool[i];
    }
    for (unsigned i = RECORD_COUNT; i-- > 0;) {
        table->records[i].next = table->free_records;
        table->free_records = &table->records[i];
    }
    return table;
}

void neighbor_table_destroy(struct neighbor_table *table)
{
    struct core *core = table->core;

    for (unsigned i = 0; i < NEIGHBOR_MAX; i++) {
        struct neighbor *entry = &table->pool[i];
        while (entry->waiting)
            packet_free(core->pool, take_waiting(table, entry));
        timer_cancel(&core->timers, &entry->timer);
    }
    if (table->is_retiring)
        table->retirement->table = NULL; /* records_return() frees it */
    else
        memory_free(table->retirement);
    memory_free(table);
}
