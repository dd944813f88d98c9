/* See ipv6_addresses.h. Found by hash: a commit may be of a thousand addresses, and a stranger's
 * advertisement must cost no more where there are many. An address has a length for each reason why
 * it is ours; whoever changes one settles what the address is now, and with it the anycast address
 * of its net, which counts the nets that begin there. */
#include "net/ipv6_addresses.h"

#include <string.h>

#include "kernel/base/hash.h"
#include "kernel/base/log.h"
#include "kernel/base/random.h"
#include "kernel/base/timer_wheel.h"
#include "kernel/platform.h"
#include "net/config.h"
#include "net/router.h"
#include "net/wire/ipv6.h"

enum {
    LINK_LOCAL_LENGTH = 64,
    SINGLE = IPV6_ADDRESS_BYTES * 8,
    SHORTEST_WITHOUT_ANYCAST = 127, /* RFC 6164 6 */
    BUCKET_COUNT = 4096,            /* more than IPV6_ADDRESS_MAX */
};

struct entry {
    struct ipv6_address public;
    uint8_t lengths[IPV6_ORIGIN_COUNT]; /* of its net, for each reason; 0: not for that one */
    uint8_t wanted[IPV6_ORIGIN_COUNT];  /* likewise, while a configuration is compared */
    uint16_t net_count;                 /* of nets that begin here, not counting its own */
    bool deprecated;                    /* as it was learned */
    bool probed;
    uint16_t index;     /* of entries */
    struct entry *next; /* in its bucket, or of those that are free */
    struct ipv6_addresses *owner;
    struct timer timer;
};

struct ipv6_addresses {
    struct core *core;
    struct ipv6_addresses_uses uses;
    struct hash_key key;
    bool changed;
    uint64_t next_log_ns;        /* about one that was learned */
    bool disabled[PORT_MAX + 1]; /* the port's link-local address is a duplicate */
    unsigned count;
    struct entry *entries[IPV6_ADDRESS_MAX]; /* in no order */
    struct entry *buckets[BUCKET_COUNT];
    struct entry *free;
    struct entry pool[IPV6_ADDRESS_MAX];
};

const char *ipv6_address_state_name(enum ipv6_address_state state)
{
    static const char *const names[] = { "none",      "tentative", "valid",
                                         "duplicate", "disabled",  "proxied" };
    return names[state];
}

const char *ipv6_address_origin_name(enum ipv6_address_origin origin)
{
    static const char *const names[] = { "static", "link-local", "anycast", "learned", "proxy" };
    return names[origin];
}

static struct port *port_of(const struct entry *entry)
{
    return &entry->owner->core->router->ports[entry->public.port];
}

static unsigned bucket_of(const struct ipv6_addresses *addresses, uint16_t port,
                          const struct address *address)
{
    uint64_t hash = hash_bytes(&addresses->key, address->bytes, sizeof(address->bytes));

    return (unsigned)((hash + port) % BUCKET_COUNT);
}

static struct entry *find(const struct ipv6_addresses *addresses, uint16_t port,
                          const struct address *address)
{
    struct entry *entry = addresses->buckets[bucket_of(addresses, port, address)];

    while (entry && !(entry->public.port == port && address_equal(&entry->public.address, address)))
        entry = entry->next;
    return entry;
}

/* ---- States -------------------------------------------------------------------------------------
 */

static void set_state(struct entry *entry, enum ipv6_address_state state)
{
    entry->public.state = (uint8_t)state;
    entry->owner->changed = true;
}

static void set_timer(struct entry *entry, uint64_t deadline_ns)
{
    timer_set(&entry->owner->core->timers, &entry->timer, deadline_ns);
}

/* TENTATIVE: it is asked for. */
static enum ipv6_address_state state_for(enum ipv6_address_origin origin)
{
    if (origin == IPV6_FROM_PROXY)
        return IPV6_ADDRESS_PROXIED;
    return origin == IPV6_FROM_NET ? IPV6_ADDRESS_VALID : IPV6_ADDRESS_TENTATIVE;
}

static enum ipv6_address_state first_state(const struct entry *entry)
{
    enum ipv6_address_state state = state_for((enum ipv6_address_origin)entry->public.origin);
    bool is_alone = !port_of(entry)->nic; /* nobody is behind the loopback */

    if (ipv6_addresses_is_disabled(entry->owner, entry->public.port))
        return IPV6_ADDRESS_DISABLED;
    return is_alone && state == IPV6_ADDRESS_TENTATIVE ? IPV6_ADDRESS_VALID : state;
}

static uint64_t delay_ms(const struct entry *entry)
{
    if (entry->public.origin != IPV6_FROM_ADVERTISEMENT)
        return IPV6_PROBE_DELAY_MS;
    return IPV6_PROBE_DELAY_MS + random_below(&entry->owner->core->random_state,
                                              IPV6_LEARNED_DELAY_MS - IPV6_PROBE_DELAY_MS + 1);
}

/* Behind a link that is down there may be anybody. */
static void begin(struct entry *entry, uint64_t now_ns)
{
    struct ipv6_addresses *addresses = entry->owner;
    const struct port *port = port_of(entry);

    timer_cancel(&addresses->core->timers, &entry->timer);
    entry->probed = false;
    set_state(entry, first_state(entry));
    if (port->nic && port->admin_up && port->link_up &&
        entry->public.state != IPV6_ADDRESS_DISABLED)
        set_timer(entry, now_ns + delay_ms(entry) * NS_PER_MS);
}

static void expired(struct timer *timer, uint64_t now_ns)
{
    struct entry *entry = CONTAINER_OF(timer, struct entry, timer);
    struct ipv6_addresses *addresses = entry->owner;

    if (!entry->probed) {
        entry->probed = true;
        addresses->uses.listen(addresses->core, entry->public.port);
        if (entry->public.state != IPV6_ADDRESS_TENTATIVE)
            return; /* nobody is asked */
        addresses->uses.probe(addresses->core, entry->public.port, &entry->public.address);
        set_timer(entry, now_ns + (uint64_t)IPV6_PROBE_MS * NS_PER_MS);
        return;
    }
    set_state(entry, IPV6_ADDRESS_VALID);
    addresses->uses.announce(addresses->core, entry->public.port, &entry->public.address);
}

/* RFC 4862 5.4.5. */
static void disable_port(struct ipv6_addresses *addresses, uint16_t port)
{
    addresses->disabled[port] = true;
    for (unsigned i = 0; i < addresses->count; i++) {
        struct entry *entry = addresses->entries[i];
        if (entry->public.port != port || entry->public.state == IPV6_ADDRESS_DUPLICATE)
            continue;
        timer_cancel(&addresses->core->timers, &entry->timer);
        set_state(entry, IPV6_ADDRESS_DISABLED);
    }
}

/* Of the operator's own there are few, and each must be told. */
static bool may_log(const struct entry *entry)
{
    struct ipv6_addresses *addresses = entry->owner;
    uint64_t now_ns = addresses->core->now_ns;

    if (entry->public.origin != IPV6_FROM_ADVERTISEMENT)
        return true;
    if (now_ns < addresses->next_log_ns)
        return false;
    addresses->next_log_ns = now_ns + (uint64_t)IPV6_CONFLICT_LOG_MS * NS_PER_MS;
    return true;
}

void ipv6_addresses_conflict(struct ipv6_addresses *addresses, uint16_t port,
                             const struct address *address, const uint8_t *mac)
{
    struct entry *entry = find(addresses, port, address);
    bool is_link_local = address_is_link_local(address);

    if (!entry || entry->public.state != IPV6_ADDRESS_TENTATIVE)
        return;
    timer_cancel(&addresses->core->timers, &entry->timer);
    set_state(entry, IPV6_ADDRESS_DUPLICATE);
    if (is_link_local)
        disable_port(addresses, port);
    if (may_log(entry))
        log_warning("nd", "%s: our address %pI6 is also used by %pM: %s", port_of(entry)->name,
                    (const void *)address->bytes, (const void *)mac,
                    is_link_local ? "no IPv6 there until the link has been down"
                                  : "it stays out of use");
    if (!is_link_local)
        addresses->uses.leave(addresses->core, port, address);
    addresses->uses.duplicate(addresses->core, port, address);
}

static struct address link_local_of(const struct ipv6_addresses *addresses, uint16_t port)
{
    struct address address = { .family = FAMILY_IPV6, .bytes = { 0xfe, 0x80 } };

    ipv6_eui64(addresses->core->router->ports[port].mac, address.bytes + 8);
    return address;
}

/* ---- Coming and going ---------------------------------------------------------------------------
 */

static struct entry *add(struct ipv6_addresses *addresses, uint16_t port,
                         const struct address *address)
{
    struct entry **bucket = &addresses->buckets[bucket_of(addresses, port, address)];
    struct entry *entry = addresses->free;

    CHECK(entry); /* IPV6_ADDRESS_MAX is the sum of what each may bring */
    addresses->free = entry->next;
    *entry = (struct entry){
        .public = { .address = *address, .port = port },
        .index = (uint16_t)addresses->count,
        .next = *bucket,
        .owner = addresses,
        .timer.expired = expired,
    };
    *bucket = entry;
    addresses->entries[addresses->count++] = entry;
    return entry;
}

static bool is_listened_for(const struct ipv6_address *address)
{
    return address->state != IPV6_ADDRESS_DUPLICATE && address->state != IPV6_ADDRESS_DISABLED;
}

static void take_out(struct entry *entry)
{
    struct ipv6_addresses *addresses = entry->owner;
    const struct ipv6_address *at = &entry->public;
    struct entry **place = &addresses->buckets[bucket_of(addresses, at->port, &at->address)];
    struct entry *last = addresses->entries[--addresses->count];

    timer_cancel(&addresses->core->timers, &entry->timer);
    while (*place != entry)
        place = &(*place)->next;
    *place = entry->next;
    addresses->entries[entry->index] = last;
    last->index = entry->index;
    entry->next = addresses->free;
    addresses->free = entry;
}

static void remove_entry(struct entry *entry)
{
    struct ipv6_addresses *addresses = entry->owner;
    const struct ipv6_address was = entry->public;

    take_out(entry);
    addresses->changed = true;
    if (was.origin == IPV6_FROM_MAC)
        addresses->disabled[was.port] = false;
    if (is_listened_for(&was))
        addresses->uses.leave(addresses->core, was.port, &was.address);
}

bool ipv6_subnet_router(const struct prefix *prefix, struct address *anycast)
{
    *anycast = prefix_network(prefix).address;
    return prefix->address.family == FAMILY_IPV6 && prefix->length < SHORTEST_WITHOUT_ANYCAST &&
           !address_is_link_local(anycast);
}

static void settle(struct entry *entry, uint64_t now_ns);

/* The first address of the net that this one is in, unless that is itself, is the anycast one for
 * one net more, or one less. */
static void count_net(struct ipv6_addresses *addresses, const struct ipv6_address *at, bool more,
                      uint64_t now_ns)
{
    const struct prefix prefix = { at->address, at->length };
    struct address anycast;

    if (at->length == 0 || !ipv6_subnet_router(&prefix, &anycast) ||
        address_equal(&anycast, &at->address))
        return;
    struct entry *entry = find(addresses, at->port, &anycast);
    CHECK(entry || more);
    if (!entry)
        entry = add(addresses, at->port, &anycast);
    entry->net_count = (uint16_t)(more ? entry->net_count + 1 : entry->net_count - 1);
    entry->lengths[IPV6_FROM_NET] = entry->net_count > 0 ? SINGLE : 0;
    settle(entry, now_ns);
}

static void become(struct entry *entry, const struct ipv6_address *is, uint64_t now_ns)
{
    bool begins = entry->public.state == IPV6_ADDRESS_NONE ||
                  state_for((enum ipv6_address_origin)entry->public.origin) !=
                      state_for((enum ipv6_address_origin)is->origin);

    entry->public = *is;
    entry->owner->changed = true;
    if (begins)
        begin(entry, now_ns);
}

/* Makes it what its first reason says; without any it goes. Its net's anycast address follows,
 * which is in no net itself. */
static void settle(struct entry *entry, uint64_t now_ns)
{
    struct ipv6_addresses *addresses = entry->owner;
    const struct ipv6_address was = entry->public;
    struct ipv6_address is = was;
    unsigned origin = 0;

    while (origin < IPV6_ORIGIN_COUNT && entry->lengths[origin] == 0)
        origin++;
    is.origin = (uint8_t)origin;
    is.length = origin < IPV6_ORIGIN_COUNT ? entry->lengths[origin] : 0;
    is.deprecated = origin == IPV6_FROM_ADVERTISEMENT && entry->deprecated;
    if (is.length == was.length && is.origin == was.origin && is.deprecated == was.deprecated)
        return;
    if (is.length == 0)
        remove_entry(entry);
    else
        become(entry, &is, now_ns);
    if (is.length == was.length)
        return;
    count_net(addresses, &is, true, now_ns);
    count_net(addresses, &was, false, now_ns);
}

/* It is ours for that reason, in a net of that length; 0: not for that reason any more. */
static void set_length(struct ipv6_addresses *addresses, uint16_t port,
                       const struct address *address, enum ipv6_address_origin origin,
                       uint8_t length, uint64_t now_ns)
{
    struct entry *entry = find(addresses, port, address);

    if (!entry && length == 0)
        return;
    if (!entry)
        entry = add(addresses, port, address);
    entry->lengths[origin] = length;
    settle(entry, now_ns);
}

void ipv6_addresses_port_changed(struct ipv6_addresses *addresses, uint16_t port, uint64_t now_ns)
{
    const struct address link_local = link_local_of(addresses, port); /* which may be new */
    struct entry *old = NULL;

    addresses->disabled[port] = false;
    for (unsigned i = 0; i < addresses->count; i++) {
        struct entry *entry = addresses->entries[i];
        if (entry->public.port != port)
            continue;
        begin(entry, now_ns);
        if (entry->lengths[IPV6_FROM_MAC] != 0 &&
            !address_equal(&entry->public.address, &link_local))
            old = entry;
    }
    if (!old)
        return;
    set_length(addresses, port, &link_local, IPV6_FROM_MAC, LINK_LOCAL_LENGTH, now_ns);
    set_length(addresses, port, &old->public.address, IPV6_FROM_MAC, 0, now_ns);
}

/* ---- By configuration -----------------------------------------------------------------------
 */

/* One that it wants, with the reason. */
struct wish {
    uint16_t port;
    struct prefix address;
    enum ipv6_address_origin origin;
};

typedef void wish_visit(struct ipv6_addresses *addresses, const struct wish *wish, uint64_t now_ns);

/* What is there is to stay. */
static void keep(struct ipv6_addresses *addresses, const struct wish *wish, uint64_t now_ns)
{
    struct entry *entry = find(addresses, wish->port, &wish->address.address);

    (void)now_ns;
    if (entry)
        entry->wanted[wish->origin] = wish->address.length;
}

static void fulfil(struct ipv6_addresses *addresses, const struct wish *wish, uint64_t now_ns)
{
    set_length(addresses, wish->port, &wish->address.address, wish->origin, wish->address.length,
               now_ns);
}

static void wish_link_local(struct ipv6_addresses *addresses, const struct port *port,
                            wish_visit *visit, uint64_t now_ns)
{
    const struct wish wish = { port->index,
                               { link_local_of(addresses, port->index), LINK_LOCAL_LENGTH },
                               IPV6_FROM_MAC };

    if (port->nic)
        visit(addresses, &wish, now_ns);
}

/* Single ones; whole prefixes would be too many groups. */
static void wish_proxied(struct ipv6_addresses *addresses, const struct port *port,
                         const struct config_interface *interface, wish_visit *visit,
                         uint64_t now_ns)
{
    for (unsigned i = 0; i < interface->proxied_count; i++) {
        const struct wish wish = { port->index, interface->proxied[i], IPV6_FROM_PROXY };
        if (wish.address.length == SINGLE)
            visit(addresses, &wish, now_ns);
    }
}

static void each_wish(struct ipv6_addresses *addresses, const struct config *config,
                      wish_visit *visit, uint64_t now_ns)
{
    struct router *router = addresses->core->router;

    for (unsigned i = 0; i < config->address_count; i++) {
        const struct config_address *address = &config->addresses[i];
        const struct port *port = router_port(router, address->interface);
        if (!port || address->prefix.address.family != FAMILY_IPV6)
            continue;
        const struct wish wish = { port->index, address->prefix, IPV6_FROM_STATEMENT };
        wish_link_local(addresses, port, visit, now_ns);
        visit(addresses, &wish, now_ns);
    }
    for (unsigned i = 0; i < config->interface_count; i++) {
        const struct config_interface *interface = &config->interfaces[i];
        const struct port *port = router_port(router, interface->name);
        if (port && interface->ipv6_auto)
            wish_link_local(addresses, port, visit, now_ns);
        if (port)
            wish_proxied(addresses, port, interface, visit, now_ns);
    }
}

/* Of the reasons of before, those stay that are still wanted, be it in another net. */
static void sweep(struct entry *entry, uint64_t now_ns)
{
    static const enum ipv6_address_origin configured[] = { IPV6_FROM_STATEMENT, IPV6_FROM_MAC,
                                                           IPV6_FROM_PROXY };

    for (unsigned i = 0; i < ARRAY_COUNT(configured); i++)
        if (entry->lengths[configured[i]] != 0)
            entry->lengths[configured[i]] = entry->wanted[configured[i]];
    settle(entry, now_ns);
}

/* What goes makes room for what comes. One that goes may take its anycast address with it; the last
 * ones move into the gaps, so that from the end none is missed, and some are swept twice. */
void ipv6_addresses_reconfigure(struct ipv6_addresses *addresses, const struct config *config,
                                uint64_t now_ns)
{
    for (unsigned i = 0; i < addresses->count; i++)
        memset(addresses->entries[i]->wanted, 0, sizeof(addresses->entries[i]->wanted));
    each_wish(addresses, config, keep, now_ns);
    for (unsigned i = addresses->count; i > 0; i = MIN_OF(i - 1, addresses->count))
        sweep(addresses->entries[i - 1], now_ns);
    each_wish(addresses, config, fulfil, now_ns);
}

/* ---- By advertisement -----------------------------------------------------------------------
 */

void ipv6_addresses_learn(struct ipv6_addresses *addresses, uint16_t port,
                          const struct prefix *address, bool deprecated, uint64_t now_ns)
{
    struct entry *entry = find(addresses, port, &address->address);

    if (!entry)
        entry = add(addresses, port, &address->address);
    entry->deprecated = deprecated;
    entry->lengths[IPV6_FROM_ADVERTISEMENT] = address->length;
    settle(entry, now_ns);
}

void ipv6_addresses_forget(struct ipv6_addresses *addresses, uint16_t port,
                           const struct address *address, uint64_t now_ns)
{
    set_length(addresses, port, address, IPV6_FROM_ADVERTISEMENT, 0, now_ns);
}

/* ---- Questions ----------------------------------------------------------------------------------
 */

enum ipv6_address_state ipv6_addresses_state(const struct ipv6_addresses *addresses, uint16_t port,
                                             const struct address *address)
{
    const struct entry *entry = find(addresses, port, address);

    return entry ? (enum ipv6_address_state)entry->public.state : IPV6_ADDRESS_NONE;
}

const struct ipv6_address *ipv6_addresses_find(const struct ipv6_addresses *addresses,
                                               uint16_t port, const struct address *address)
{
    const struct entry *entry = find(addresses, port, address);

    return entry ? &entry->public : NULL;
}

bool ipv6_addresses_link_local(const struct ipv6_addresses *addresses, uint16_t port,
                               struct address *address)
{
    const struct entry *entry;

    *address = link_local_of(addresses, port);
    entry = find(addresses, port, address);
    return entry && entry->public.state == IPV6_ADDRESS_VALID;
}

bool ipv6_addresses_is_disabled(const struct ipv6_addresses *addresses, uint16_t port)
{
    return addresses->disabled[port];
}

unsigned ipv6_addresses_count(const struct ipv6_addresses *addresses)
{
    return addresses->count;
}

const struct ipv6_address *ipv6_addresses_at(const struct ipv6_addresses *addresses, unsigned index)
{
    CHECK(index < addresses->count);
    return &addresses->entries[index]->public;
}

bool ipv6_addresses_take_change(struct ipv6_addresses *addresses)
{
    bool changed = addresses->changed;

    addresses->changed = false;
    return changed;
}

/* ---- Create, destroy ----------------------------------------------------------------------------
 */

struct ipv6_addresses *ipv6_addresses_create(struct core *core,
                                             const struct ipv6_addresses_uses *uses)
{
    struct ipv6_addresses *addresses = memory_alloc(sizeof(*addresses), 0, MEMORY_NEIGHBOR);

    if (!addresses)
        return NULL;
    addresses->core = core;
    addresses->uses = *uses;
    random_bytes(&addresses->key, sizeof(addresses->key));
    for (unsigned i = IPV6_ADDRESS_MAX; i-- > 0;) {
        addresses->pool[i].next = addresses->free;
        addresses->free = &addresses->pool[i];
    }
    return addresses;
}

void ipv6_addresses_destroy(struct ipv6_addresses *addresses)
{
    if (!addresses)
        return;
    while (addresses->count > 0)
        take_out(addresses->entries[0]);
    memory_free(addresses);
}
