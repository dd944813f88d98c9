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
 * one moment are retired together, as one object of the snapshot domain. */
#include "net/neighbor.h"

#include "kernel/base/bytes.h"
#include "kernel/base/log.h"
#include "kernel/base/random.h"
#include "kernel/base/timer_wheel.h"
#include "kernel/platform.h"
#include "net/config.h"
#include "net/forwarding.h"
#include "net/router.h"
#include "net/stage.h"
#include "net/wire/arp.h"
#include "net/wire/ipv4.h"

enum {
    SLOT_BITS = 15,
    SLOT_COUNT = 1 << SLOT_BITS,
    SLOT_MASK = SLOT_COUNT - 1,
    RECORD_COUNT = 2 * NEIGHBOR_MAX, /* each entry's own, and as many on their way to retirement */
    FRAME_BYTES = ETHERNET_HEADER_BYTES + ARP_BYTES,
};
_Static_assert(SLOT_COUNT >= 2 * NEIGHBOR_MAX, "half of the slots stay empty");

/* Doubly linked through entries, oldest first. */
struct age_list {
    struct neighbor *oldest, *newest;
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
    uint32_t address_be;
    uint32_t slot;
    uint16_t port;
    uint8_t mac[MAC_BYTES];
    uint8_t state; /* enum neighbor_state */
    uint8_t request_count;
    uint8_t waiting_count;
    bool wanted; /* by the configuration, while that is being compared */
};

/* The second announcement of a port's addresses. */
struct announcer {
    struct timer timer;
    struct neighbor_table *table;
    uint16_t port;
};

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
    struct age_list unresolved, stale;
    unsigned held;
    struct adjacency *free_records, *replaced, *retiring;
    struct retirement *retirement;
    bool is_retiring;
    struct announcer announcers[PORT_MAX + 1];
    uint64_t next_defense_ns[PORT_MAX + 1];
    uint64_t next_conflict_log_ns;
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

static unsigned slot_of(const struct neighbor_table *table, uint16_t port, uint32_t address_be)
{
    /* Seeded, so that nobody outside can choose addresses that meet in one place. */
    uint64_t key = (uint64_t)port << 32 | address_be;
    return (unsigned)(random_mix(key ^ table->seed) >> (64 - SLOT_BITS));
}

struct adjacency *neighbor_lookup(const struct neighbor_table *table, uint16_t port,
                                  uint32_t address_be)
{
    unsigned slot = slot_of(table, port, address_be);

    for (unsigned probes = 0; probes < SLOT_COUNT; probes++) {
        struct adjacency *found = atomic_load_explicit(&table->slots[slot], memory_order_acquire);
        if (!found)
            return NULL;
        if (found->address_be == address_be && found->port == port)
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
    forwarding_set_gateway(table->core->forwarding, entry->port, entry->address_be, record);
}

static struct neighbor *entry_find(const struct neighbor_table *table, uint16_t port,
                                   uint32_t address_be)
{
    unsigned slot = slot_of(table, port, address_be);

    for (; table->entries[slot]; slot = (slot + 1) & SLOT_MASK) {
        struct neighbor *entry = table->entries[slot];
        if (entry->address_be == address_be && entry->port == port)
            return entry;
    }
    return NULL;
}

static void index_insert(struct neighbor_table *table, struct neighbor *entry)
{
    unsigned slot = slot_of(table, entry->port, entry->address_be);

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
        unsigned home = slot_of(table, follower->port, follower->address_be);
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
        struct ethernet_header header = { .ethertype = ETHERTYPE_IPV4 };
        table->free_records = record->next;
        memcpy(header.target, entry->mac, MAC_BYTES);
        memcpy(header.source, table->core->router->ports[entry->port].mac, MAC_BYTES);
        ethernet_write(&header, record->header);
        record->port = entry->port;
        record->address_be = entry->address_be;
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
    entry->list = NULL;
    entry->older = entry->newer = NULL;
}

static void list_append(struct age_list *list, struct neighbor *entry)
{
    list_remove(entry);
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

/* For a static entry, which must get room, anybody may have to go. */
static struct neighbor *eviction_victim(struct neighbor_table *table, bool for_static)
{
    if (table->unresolved.oldest)
        return table->unresolved.oldest;
    if (table->stale.oldest)
        return table->stale.oldest;
    for (unsigned i = 0; for_static && i < NEIGHBOR_MAX; i++)
        if (table->pool[i].state != NEIGHBOR_STATIC)
            return &table->pool[i];
    return NULL;
}

static void neighbor_expired(struct timer *timer, uint64_t now_ns);

/* A new entry, in no state yet, or NULL: the table is full of neighbors that are in use. */
static struct neighbor *entry_add(struct neighbor_table *table, uint16_t port, uint32_t address_be,
                                  bool is_static)
{
    if (!table->free_entries) {
        struct neighbor *victim = eviction_victim(table, is_static);
        if (!victim)
            return NULL;
        entry_remove(table, victim, DROP_NEIGHBOR_TABLE_FULL);
    }
    struct neighbor *entry = table->free_entries;
    table->free_entries = entry->newer;
    *entry = (struct neighbor){
        .table = table,
        .timer.expired = neighbor_expired,
        .address_be = address_be,
        .port = port,
    };
    index_insert(table, entry);
    return entry;
}

/* ---- Frames --------------------------------------------------------------------------------- */

static void send_arp(struct neighbor_table *table, uint16_t port, const uint8_t *target_mac,
                     const struct arp *arp)
{
    struct core *core = table->core;
    struct packet *packet = packet_alloc(core->pool);
    struct ethernet_header header = { .ethertype = ETHERTYPE_ARP };

    if (!packet)
        return; /* as if lost on the way: requests are repeated, and so are questions to us */
    uint8_t *frame = packet_append(packet, FRAME_BYTES);
    CHECK(frame);
    memcpy(header.target, target_mac, MAC_BYTES);
    memcpy(header.source, arp->sender_mac, MAC_BYTES);
    ethernet_write(&header, frame);
    arp_write(arp, frame + ETHERNET_HEADER_BYTES);
    table->uses.originate_frame(core, port, packet);
}

/* Asks for target_be, everybody or one station. A sender of 0 makes it a probe (RFC 5227 2.1.1), a
 * sender equal to the target an announcement (2.3). */
static void send_request(struct neighbor_table *table, uint16_t port, uint32_t sender_be,
                         uint32_t target_be, const uint8_t *target_mac)
{
    struct arp arp = { .operation = ARP_REQUEST, .sender_be = sender_be, .target_be = target_be };

    memcpy(arp.sender_mac, table->core->router->ports[port].mac, MAC_BYTES);
    if (target_mac != mac_broadcast)
        memcpy(arp.target_mac, target_mac, MAC_BYTES);
    send_arp(table, port, target_mac, &arp);
}

static void send_reply(struct neighbor_table *table, uint16_t port, const struct arp *request)
{
    struct arp arp = {
        .operation = ARP_REPLY,
        .sender_be = request->target_be,
        .target_be = request->sender_be,
    };

    memcpy(arp.sender_mac, table->core->router->ports[port].mac, MAC_BYTES);
    memcpy(arp.target_mac, request->sender_mac, MAC_BYTES);
    send_arp(table, port, request->sender_mac, &arp);
}

static void entry_request(struct neighbor *entry)
{
    struct neighbor_table *table = entry->table;
    const struct forwarding *view = table->core->forwarding;
    uint32_t source_be = forwarding_source(view, entry->port, entry->address_be);

    entry->request_count++;
    if (source_be != 0) /* else the port has lost its addresses, and nobody will answer */
        send_request(table, entry->port, source_be, entry->address_be,
                     entry->state == NEIGHBOR_PROBE ? entry->mac : mac_broadcast);
}

/* ---- States --------------------------------------------------------------------------------- */

static void become_incomplete(struct neighbor *entry, uint64_t now_ns)
{
    entry->state = NEIGHBOR_INCOMPLETE;
    entry->confirmed_ns = now_ns;
    list_append(&entry->table->unresolved, entry);
    entry_request(entry);
    set_timer(entry, ms_later(now_ns, NEIGHBOR_RETRANSMIT_MS));
}

static void become_reachable(struct neighbor *entry, uint64_t now_ns)
{
    entry->state = NEIGHBOR_REACHABLE;
    entry->confirmed_ns = now_ns;
    list_remove(entry);
    set_timer(entry, ms_later(now_ns, NEIGHBOR_REACHABLE_MS));
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
    list_append(&entry->table->stale, entry);
    watch_stale(entry, now_ns);
}

static void become_delay(struct neighbor *entry, uint64_t now_ns)
{
    entry->state = NEIGHBOR_DELAY;
    list_remove(entry);
    set_timer(entry, ms_later(now_ns, NEIGHBOR_DELAY_MS));
}

static void become_probe(struct neighbor *entry, uint64_t now_ns)
{
    entry->state = NEIGHBOR_PROBE;
    entry->request_count = 0;
    entry_request(entry);
    set_timer(entry, ms_later(now_ns, NEIGHBOR_RETRANSMIT_MS));
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

    switch ((enum neighbor_state)entry->state) {
    case NEIGHBOR_INCOMPLETE:
    case NEIGHBOR_PROBE:
        if (entry->request_count >= NEIGHBOR_REQUEST_MAX) {
            entry_remove(entry->table, entry, DROP_NEIGHBOR_FAILED);
            return;
        }
        entry_request(entry);
        set_timer(entry, ms_later(now_ns, NEIGHBOR_RETRANSMIT_MS));
        return;
    case NEIGHBOR_REACHABLE:
        become_stale(entry, now_ns);
        return;
    case NEIGHBOR_STALE:
        if (atomic_load_explicit(&entry->adjacency->used, memory_order_relaxed))
            become_delay(entry, now_ns);
        else if (now_ns - entry->stale_ns >= (uint64_t)NEIGHBOR_STALE_MS * NS_PER_MS)
            entry_remove(entry->table, entry, DROP_NEIGHBOR_FAILED);
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

/* Somebody says that entry's address is at `mac`. */
static void entry_learn(struct neighbor *entry, const uint8_t *mac, bool is_answer, uint64_t now_ns)
{
    struct neighbor_table *table = entry->table;
    bool same = entry->adjacency && mac_equal(entry->mac, mac);
    /* Only what we have asked for confirms: RFC 4861 7.2.5. */
    bool asked = entry->state == NEIGHBOR_INCOMPLETE || entry->state == NEIGHBOR_PROBE;

    if (entry->state == NEIGHBOR_STATIC)
        return;
    if (!same) {
        memcpy(entry->mac, mac, MAC_BYTES);
        if (!entry_publish(table, entry)) {
            entry_remove(table, entry, DROP_NEIGHBOR_TABLE_FULL);
            return;
        }
    }
    if (is_answer && asked)
        become_reachable(entry, now_ns);
    else if (!same)
        become_stale(entry, now_ns);
    release_waiting(table, entry);
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

void neighbor_resolve(struct neighbor_table *table, struct packet *packet, uint64_t now_ns)
{
    struct core *core = table->core;
    uint16_t port = packet->port_out;
    uint32_t address_be = packet->next_hop_be;
    struct neighbor *entry = entry_find(table, port, address_be);

    if (entry && entry->adjacency) { /* learned since, or missed by a reader */
        table->uses.resume(core, packet);
        return;
    }
    if (!entry) {
        if (forwarding_source(core->forwarding, port, address_be) == 0) {
            table->uses.drop(core, packet, DROP_NEIGHBOR_FAILED);
            return;
        }
        entry = entry_add(table, port, address_be, false);
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

/* ---- ARP ------------------------------------------------------------------------------------ */

/* RFC 5227 2.4 (b): says once more that the address is ours, but not so often that two stubborn
 * stations fill the link. */
static void report_conflict(struct neighbor_table *table, uint16_t port, const struct arp *arp,
                            uint64_t now_ns)
{
    if (now_ns >= table->next_conflict_log_ns) {
        table->next_conflict_log_ns = ms_later(now_ns, NEIGHBOR_CONFLICT_LOG_MS);
        log_warning("arp", "%s: our address %pI4 is also used by %pM",
                    table->core->router->ports[port].name, (const void *)&arp->sender_be,
                    (const void *)arp->sender_mac);
    }
    if (now_ns >= table->next_defense_ns[port]) {
        table->next_defense_ns[port] = ms_later(now_ns, NEIGHBOR_DEFEND_MS);
        send_request(table, port, arp->sender_be, arp->sender_be, mac_broadcast);
    }
}

/* Everything about a message but its payload's owner: PASS where it was for us. */
static enum verdict input_arp(struct neighbor_table *table, uint16_t port, const struct arp *arp,
                              uint64_t now_ns)
{
    const struct forwarding *view = table->core->forwarding;
    bool for_us = forwarding_is_own_on(view, port, arp->target_be);
    bool is_request = arp->operation == ARP_REQUEST;

    if (!mac_is_station(arp->sender_mac))
        return DROP_BAD_ARP;
    if (mac_equal(arp->sender_mac, table->core->router->ports[port].mac))
        return DROP_ARP_NOT_FOR_US; /* our own words, come back */

    if (arp->sender_be == 0) { /* RFC 5227 2.1.1: may I have this address? */
        if (!is_request)
            return DROP_BAD_ARP;
        if (!for_us)
            return DROP_ARP_NOT_FOR_US;
        send_reply(table, port, arp);
        return PASS;
    }
    if (forwarding_is_own_on(view, port, arp->sender_be)) {
        report_conflict(table, port, arp, now_ns);
        return DROP_ARP_CONFLICT;
    }
    if (!ipv4_is_station(arp->sender_be))
        return DROP_BAD_ARP;
    if (!forwarding_is_connected(view, port, arp->sender_be))
        return DROP_ARP_NOT_FOR_US;
    if (forwarding_kind(view, arp->sender_be) == NEXT_HOP_BROADCAST)
        return DROP_BAD_ARP;

    struct neighbor *entry = entry_find(table, port, arp->sender_be);
    bool known = entry;
    /* Whoever asks for us will be answered soon by a packet of ours (RFC 826, "Packet reception").
     * Others are not worth an entry: any station could fill the table with names. */
    if (!entry && for_us && is_request)
        entry = entry_add(table, port, arp->sender_be, false);
    if (entry)
        entry_learn(entry, arp->sender_mac, for_us && !is_request, now_ns);

    if (for_us && is_request)
        send_reply(table, port, arp);
    return for_us || known ? PASS : DROP_ARP_NOT_FOR_US;
}

void neighbor_input_arp(struct neighbor_table *table, struct packet *packet, uint64_t now_ns)
{
    struct reader reader = reader_of(packet->data, packet->length_bytes);
    enum verdict verdict = DROP_BAD_ARP;
    struct arp arp;

    reader_take(&reader, ETHERNET_HEADER_BYTES);
    if (arp_read(reader.at, reader_left(&reader), &arp) == OK)
        verdict = input_arp(table, packet->port_in, &arp, now_ns);
    if (verdict == PASS)
        table->uses.delivered(table->core, packet);
    else
        table->uses.drop(table->core, packet, verdict);
}

/* ---- Announcements, ports ------------------------------------------------------------------- */

static bool port_works(const struct port *port)
{
    return port->nic && port->admin_up && port->link_up;
}

static void announce_all(struct neighbor_table *table, uint16_t port)
{
    const struct forwarding *view = table->core->forwarding;

    for (unsigned i = 0; i < view->address_count; i++) {
        uint32_t address_be = view->addresses[i].address_be;
        if (view->addresses[i].port == port)
            send_request(table, port, address_be, address_be, mac_broadcast);
    }
}

static void announcer_expired(struct timer *timer, uint64_t now_ns)
{
    struct announcer *announcer = CONTAINER_OF(timer, struct announcer, timer);

    (void)now_ns;
    if (port_works(&announcer->table->core->router->ports[announcer->port]))
        announce_all(announcer->table, announcer->port);
}

static void announce_again(struct neighbor_table *table, uint16_t port, uint64_t now_ns)
{
    timer_set(&table->core->timers, &table->announcers[port].timer,
              ms_later(now_ns, NEIGHBOR_ANNOUNCE_MS));
}

void neighbor_announce(struct neighbor_table *table, uint16_t port, uint32_t address_be,
                       uint64_t now_ns)
{
    if (!port_works(&table->core->router->ports[port]))
        return; /* when it comes up */
    /* RFC 5227 wants 3 probes and 4 s of silence before the address is used. A router is told its
     * address by who knows, and waits for nobody; but whoever has it too shall answer, and some
     * answer probes alone. */
    send_request(table, port, 0, address_be, mac_broadcast);
    send_request(table, port, address_be, address_be, mac_broadcast);
    announce_again(table, port, now_ns);
}

void neighbor_port_changed(struct neighbor_table *table, uint16_t port_index, uint64_t now_ns)
{
    const struct port *port = &table->core->router->ports[port_index];
    bool works = port_works(port);

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
    if (!works) {
        timer_cancel(&table->core->timers, &table->announcers[port_index].timer);
        return;
    }
    announce_all(table, port_index);
    announce_again(table, port_index, now_ns);
}

/* ---- Static entries, clear, list ------------------------------------------------------------ */

static void set_static(struct neighbor_table *table, uint16_t port, const struct config_arp *wish,
                       uint64_t now_ns)
{
    struct neighbor *entry = entry_find(table, port, wish->address_be);

    if (!entry)
        entry = entry_add(table, port, wish->address_be, true);
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
    enum next_hop_kind kind = forwarding_kind(view, entry->address_be);

    return forwarding_is_connected(view, entry->port, entry->address_be) &&
           kind != NEXT_HOP_LOCAL && kind != NEXT_HOP_BROADCAST;
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

void neighbor_clear(struct neighbor_table *table, const struct address *only)
{
    for (unsigned i = 0; i < NEIGHBOR_MAX; i++) {
        struct neighbor *entry = &table->pool[i];
        if (entry->state == NEIGHBOR_NONE || entry->state == NEIGHBOR_STATIC)
            continue;
        if (!only || (only->family == FAMILY_IPV4 && address_ipv4_be(only) == entry->address_be))
            entry_remove(table, entry, DROP_NEIGHBOR_FAILED);
    }
}

static void describe(const struct neighbor *entry, uint64_t now_ns, struct neighbor_info *info)
{
    *info = (struct neighbor_info){
        .address = address_of_ipv4(entry->address_be),
        .port = entry->port,
        .state = (enum neighbor_state)entry->state,
        .age_ns = now_ns - entry->confirmed_ns,
    };
    memcpy(info->mac, entry->mac, MAC_BYTES);
}

/* Keeps the `max` smallest by insertion: a page is short, and nobody waits for this but a person.
 */
unsigned neighbor_list(const struct neighbor_table *table, const struct address *after,
                       uint64_t now_ns, struct neighbor_info *out, unsigned max)
{
    unsigned count = 0;

    for (unsigned i = 0; max > 0 && i < NEIGHBOR_MAX; i++) {
        const struct neighbor *entry = &table->pool[i];
        struct address address = address_of_ipv4(entry->address_be);

        if (entry->state == NEIGHBOR_NONE)
            continue;
        if (after->family != FAMILY_NONE && address_compare(&address, after) <= 0)
            continue;
        if (count == max && address_compare(&address, &out[count - 1].address) >= 0)
            continue;
        unsigned place = count < max ? count++ : count - 1;
        for (; place > 0 && address_compare(&address, &out[place - 1].address) < 0; place--)
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
    table->seed = random_next(&core->random_state);
    table->nobody.port = PORT_NONE;
    for (unsigned i = NEIGHBOR_MAX; i-- > 0;) {
        table->pool[i].newer = table->free_entries;
        table->free_entries = &table->pool[i];
    }
    for (unsigned i = RECORD_COUNT; i-- > 0;) {
        table->records[i].next = table->free_records;
        table->free_records = &table->records[i];
    }
    for (uint16_t i = 0; i < ARRAY_COUNT(table->announcers); i++)
        table->announcers[i] = (struct announcer){
            .timer.expired = announcer_expired,
            .table = table,
            .port = i,
        };
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
    for (unsigned i = 0; i < ARRAY_COUNT(table->announcers); i++)
        timer_cancel(&core->timers, &table->announcers[i].timer);
    if (table->is_retiring)
        table->retirement->table = NULL; /* records_return() frees it */
    else
        memory_free(table->retirement);
    memory_free(table);
}
