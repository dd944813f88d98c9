/* See ipv6_addresses.h. They are few, so they are looked through one by one. */
#include "net/ipv6_addresses.h"

#include <string.h>

#include "kernel/base/log.h"
#include "kernel/base/timer_wheel.h"
#include "kernel/platform.h"
#include "net/config.h"
#include "net/router.h"
#include "net/wire/ipv6.h"

enum {
    LINK_LOCAL_LENGTH = 64,
    SHORTEST_WITHOUT_ANYCAST = 127, /* RFC 6164 6 */
    ENTRIES_PER_ADDRESS = 3, /* with its port's link-local address and its net's anycast one */
};

struct entry {
    struct ipv6_address public;
    struct timer timer;
    struct ipv6_addresses *owner;
    bool probed;
    bool wanted; /* while the configuration is being compared */
    struct entry *next_spare;
};

struct ipv6_addresses {
    struct core *core;
    struct ipv6_addresses_uses uses;
    bool changed;
    bool disabled[PORT_MAX + 1]; /* the port's link-local address is a duplicate */
    unsigned count;
    struct entry *entries[IPV6_ADDRESS_MAX]; /* in no order; each allocated for itself */
    unsigned spare_count;
    struct entry *spares; /* prepared for a commit */
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

static struct entry *find(const struct ipv6_addresses *addresses, uint16_t port,
                          const struct address *address)
{
    for (unsigned i = 0; i < addresses->count; i++) {
        struct entry *entry = addresses->entries[i];
        if (entry->public.port == port && address_equal(&entry->public.address, address))
            return entry;
    }
    return NULL;
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

static enum ipv6_address_state first_state(const struct entry *entry)
{
    bool is_alone = !port_of(entry)->nic; /* nobody is behind the loopback */

    if (ipv6_addresses_is_disabled(entry->owner, entry->public.port))
        return IPV6_ADDRESS_DISABLED;
    if (entry->public.origin == IPV6_FROM_PROXY)
        return IPV6_ADDRESS_PROXIED;
    return is_alone || entry->public.origin == IPV6_FROM_NET ? IPV6_ADDRESS_VALID
                                                             : IPV6_ADDRESS_TENTATIVE;
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
        set_timer(entry, now_ns + (uint64_t)IPV6_PROBE_DELAY_MS * NS_PER_MS);
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
    log_warning("nd", "%s: our address %pI6 is also used by %pM: %s", port_of(entry)->name,
                (const void *)address->bytes, (const void *)mac,
                is_link_local ? "no IPv6 there until the link has been down"
                              : "it stays out of use");
    if (!is_link_local)
        addresses->uses.leave(addresses->core, port, address);
    addresses->uses.duplicate(addresses->core, port, address);
}

static struct entry *take_spare(struct ipv6_addresses *addresses)
{
    struct entry *entry = addresses->spares;

    if (!entry)
        return memory_alloc(sizeof(*entry), 0, MEMORY_NEIGHBOR);
    addresses->spares = entry->next_spare;
    addresses->spare_count--;
    return entry;
}

/* Without memory, or room, it is tried again at the next commit, and said. */
static struct entry *add(struct ipv6_addresses *addresses, uint16_t port,
                         const struct address *address, enum ipv6_address_origin origin)
{
    struct entry *entry = addresses->count < IPV6_ADDRESS_MAX ? take_spare(addresses) : NULL;

    if (!entry) {
        log_error("nd", "%s: no room for the address %pI6",
                  addresses->core->router->ports[port].name, (const void *)address->bytes);
        return NULL;
    }
    *entry = (struct entry){
        .public = { .address = *address, .port = port, .origin = (uint8_t)origin },
        .timer.expired = expired,
        .owner = addresses,
    };
    addresses->entries[addresses->count++] = entry;
    return entry;
}

static void take_out(struct ipv6_addresses *addresses, unsigned index)
{
    struct entry *entry = addresses->entries[index];

    timer_cancel(&addresses->core->timers, &entry->timer);
    memory_free(entry);
    addresses->entries[index] = addresses->entries[--addresses->count];
}

static bool is_listened_for(const struct ipv6_address *address)
{
    return address->state != IPV6_ADDRESS_DUPLICATE && address->state != IPV6_ADDRESS_DISABLED;
}

static void remove_at(struct ipv6_addresses *addresses, unsigned index)
{
    const struct ipv6_address was = addresses->entries[index]->public;

    take_out(addresses, index);
    addresses->changed = true;
    if (was.origin == IPV6_FROM_MAC)
        addresses->disabled[was.port] = false;
    if (is_listened_for(&was))
        addresses->uses.leave(addresses->core, was.port, &was.address);
}

static struct address link_local_of(const struct ipv6_addresses *addresses, uint16_t port)
{
    struct address address = { .family = FAMILY_IPV6, .bytes = { 0xfe, 0x80 } };

    ipv6_eui64(addresses->core->router->ports[port].mac, address.bytes + 8);
    return address;
}

void ipv6_addresses_port_changed(struct ipv6_addresses *addresses, uint16_t port, uint64_t now_ns)
{
    addresses->disabled[port] = false;
    for (unsigned i = 0; i < addresses->count; i++) {
        struct entry *entry = addresses->entries[i];
        const struct address before = entry->public.address;
        if (entry->public.port != port)
            continue;
        if (entry->public.origin == IPV6_FROM_MAC) /* which may be new */
            entry->public.address = link_local_of(addresses, port);
        begin(entry, now_ns);
        if (!address_equal(&before, &entry->public.address))
            addresses->uses.leave(addresses->core, port, &before);
    }
}

/* ---- Coming and going ---------------------------------------------------------------------------
 */

static enum error want(struct ipv6_addresses *addresses, uint16_t port, const struct prefix *prefix,
                       enum ipv6_address_origin origin, uint64_t now_ns)
{
    struct entry *entry = find(addresses, port, &prefix->address);
    bool begins =
        !entry || (entry->public.origin != origin && (entry->public.origin == IPV6_FROM_NET ||
                                                      entry->public.origin == IPV6_FROM_PROXY));

    if (!entry)
        entry = add(addresses, port, &prefix->address, origin);
    if (!entry)
        return fail(ERROR_NO_MEMORY);
    if (entry->public.length != prefix->length && origin != IPV6_FROM_ADVERTISEMENT)
        addresses->changed = true;
    entry->wanted = true;
    entry->public.length = prefix->length;
    entry->public.origin = (uint8_t)origin;
    if (origin != IPV6_FROM_ADVERTISEMENT)
        entry->public.deprecated = false;
    if (begins)
        begin(entry, now_ns);
    return OK;
}

static void want_link_local(struct ipv6_addresses *addresses, uint16_t port, uint64_t now_ns)
{
    const struct prefix prefix = { link_local_of(addresses, port), LINK_LOCAL_LENGTH };

    if (addresses->core->router->ports[port].nic)
        (void)!want(addresses, port, &prefix, IPV6_FROM_MAC, now_ns);
}

/* Single ones; whole prefixes would be too many groups. What is ours is not proxied. */
static void want_proxied(struct ipv6_addresses *addresses, uint16_t port,
                         const struct config_interface *wish, uint64_t now_ns)
{
    for (unsigned i = 0; i < wish->proxied_count; i++) {
        const struct prefix *proxied = &wish->proxied[i];
        const struct entry *entry = find(addresses, port, &proxied->address);
        if (proxied->length == address_bits(&proxied->address) &&
            (!entry || entry->public.origin == IPV6_FROM_PROXY))
            (void)!want(addresses, port, proxied, IPV6_FROM_PROXY, now_ns);
    }
}

bool ipv6_subnet_router(const struct prefix *prefix, struct address *anycast)
{
    *anycast = prefix_network(prefix).address;
    return prefix->address.family == FAMILY_IPV6 && prefix->length < SHORTEST_WITHOUT_ANYCAST &&
           !address_is_link_local(anycast);
}

/* Whose net's first address that is. */
static bool is_first_of_a_net(const struct ipv6_addresses *addresses, const struct entry *anycast)
{
    for (unsigned i = 0; i < addresses->count; i++) {
        const struct ipv6_address *at = &addresses->entries[i]->public;
        const struct prefix prefix = { at->address, at->length };
        struct address first;
        if (at->port == anycast->public.port && at->origin != IPV6_FROM_NET &&
            ipv6_subnet_router(&prefix, &first) && address_equal(&first, &anycast->public.address))
            return true;
    }
    return false;
}

/* The anycast addresses become those of the nets that there are. */
static void follow_nets(struct ipv6_addresses *addresses, uint64_t now_ns)
{
    for (unsigned i = 0, count = addresses->count; i < count; i++) {
        const struct ipv6_address at = addresses->entries[i]->public;
        struct prefix prefix = { at.address, at.length };
        if (at.origin == IPV6_FROM_NET || !ipv6_subnet_router(&prefix, &prefix.address))
            continue;
        prefix.length = (uint8_t)address_bits(&prefix.address);
        if (!find(addresses, at.port, &prefix.address))
            (void)!want(addresses, at.port, &prefix, IPV6_FROM_NET, now_ns);
    }
    for (unsigned i = addresses->count; i-- > 0;)
        if (addresses->entries[i]->public.origin == IPV6_FROM_NET &&
            !is_first_of_a_net(addresses, addresses->entries[i]))
            remove_at(addresses, i);
}

/* Others come and go by themselves. */
static bool is_by_configuration(const struct entry *entry)
{
    return entry->public.origin != IPV6_FROM_NET && entry->public.origin != IPV6_FROM_ADVERTISEMENT;
}

static void free_spares(struct ipv6_addresses *addresses)
{
    while (addresses->spares)
        memory_free(take_spare(addresses));
}

enum error ipv6_addresses_prepare(struct ipv6_addresses *addresses, const struct config *config)
{
    unsigned needed = 0;

    for (unsigned i = 0; i < config->address_count; i++) {
        const struct config_address *wish = &config->addresses[i];
        const struct port *port = router_port(addresses->core->router, wish->interface);
        if (port && wish->prefix.address.family == FAMILY_IPV6 &&
            !find(addresses, port->index, &wish->prefix.address))
            needed += ENTRIES_PER_ADDRESS;
    }
    while (addresses->spare_count < needed) {
        struct entry *entry = memory_alloc(sizeof(*entry), 0, MEMORY_NEIGHBOR);
        if (!entry) {
            free_spares(addresses);
            return fail(ERROR_NO_MEMORY);
        }
        entry->next_spare = addresses->spares;
        addresses->spares = entry;
        addresses->spare_count++;
    }
    return OK;
}

void ipv6_addresses_reconfigure(struct ipv6_addresses *addresses, const struct config *config,
                                uint64_t now_ns)
{
    for (unsigned i = 0; i < addresses->count; i++)
        addresses->entries[i]->wanted = false;
    for (unsigned i = 0; i < config->address_count; i++) {
        const struct config_address *wish = &config->addresses[i];
        const struct port *port = router_port(addresses->core->router, wish->interface);
        if (!port || wish->prefix.address.family != FAMILY_IPV6)
            continue;
        want_link_local(addresses, port->index, now_ns);
        (void)!want(addresses, port->index, &wish->prefix, IPV6_FROM_STATEMENT, now_ns);
    }
    for (unsigned i = 0; i < config->interface_count; i++) {
        const struct port *port = router_port(addresses->core->router, config->interfaces[i].name);
        if (port && config->interfaces[i].ipv6_auto)
            want_link_local(addresses, port->index, now_ns);
        if (port)
            want_proxied(addresses, port->index, &config->interfaces[i], now_ns);
    }
    for (unsigned i = addresses->count; i-- > 0;)
        if (is_by_configuration(addresses->entries[i]) && !addresses->entries[i]->wanted)
            remove_at(addresses, i);
    follow_nets(addresses, now_ns);
    free_spares(addresses);
}

enum error ipv6_addresses_learn(struct ipv6_addresses *addresses, uint16_t port,
                                const struct prefix *address, uint64_t now_ns)
{
    const struct entry *entry = find(addresses, port, &address->address);

    if (entry && entry->public.origin != IPV6_FROM_ADVERTISEMENT)
        return fail(ERROR_EXISTS);
    enum error error = want(addresses, port, address, IPV6_FROM_ADVERTISEMENT, now_ns);
    follow_nets(addresses, now_ns);
    return error;
}

void ipv6_addresses_deprecate(struct ipv6_addresses *addresses, uint16_t port,
                              const struct address *address, bool deprecated)
{
    struct entry *entry = find(addresses, port, address);

    if (entry)
        entry->public.deprecated = deprecated;
}

void ipv6_addresses_forget(struct ipv6_addresses *addresses, uint16_t port,
                           const struct address *address, uint64_t now_ns)
{
    for (unsigned i = addresses->count; i-- > 0;) {
        const struct ipv6_address *at = &addresses->entries[i]->public;
        if (at->port == port && at->origin == IPV6_FROM_ADVERTISEMENT &&
            address_equal(&at->address, address))
            remove_at(addresses, i);
    }
    follow_nets(addresses, now_ns);
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
    return addresses;
}

void ipv6_addresses_destroy(struct ipv6_addresses *addresses)
{
    if (!addresses)
        return;
    while (addresses->count > 0)
        take_out(addresses, addresses->count - 1);
    free_spares(addresses);
    memory_free(addresses);
}
