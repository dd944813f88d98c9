/* See ipv6_addresses.h. They are few, so they are looked through one by one. */
#include "net/ipv6_addresses.h"

#include <string.h>

#include "kernel/base/log.h"
#include "kernel/base/timer_wheel.h"
#include "kernel/platform.h"
#include "net/config.h"
#include "net/router.h"
#include "net/wire/ipv6.h"

enum { LINK_LOCAL_LENGTH = 64 };

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
    unsigned count;
    struct entry *entries[IPV6_ADDRESS_MAX]; /* in no order; each allocated for itself */
    unsigned spare_count;
    struct entry *spares; /* prepared for a commit */
};

const char *ipv6_address_state_name(enum ipv6_address_state state)
{
    static const char *const names[] = { "none", "tentative", "valid", "duplicate" };
    return names[state];
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

/* Nobody is behind the loopback; behind a link that is down there may be anybody. */
static void begin(struct entry *entry, uint64_t now_ns)
{
    const struct port *port = port_of(entry);

    timer_cancel(&entry->owner->core->timers, &entry->timer);
    entry->probed = false;
    set_state(entry, port->nic ? IPV6_ADDRESS_TENTATIVE : IPV6_ADDRESS_VALID);
    if (port->nic && port->admin_up && port->link_up)
        set_timer(entry, now_ns + (uint64_t)IPV6_PROBE_DELAY_MS * NS_PER_MS);
}

static void expired(struct timer *timer, uint64_t now_ns)
{
    struct entry *entry = CONTAINER_OF(timer, struct entry, timer);
    struct ipv6_addresses *addresses = entry->owner;

    if (!entry->probed) {
        entry->probed = true;
        addresses->uses.listen(addresses->core, entry->public.port);
        addresses->uses.probe(addresses->core, entry->public.port, &entry->public.address);
        set_timer(entry, now_ns + (uint64_t)IPV6_PROBE_MS * NS_PER_MS);
        return;
    }
    set_state(entry, IPV6_ADDRESS_VALID);
    addresses->uses.announce(addresses->core, entry->public.port, &entry->public.address);
}

void ipv6_addresses_conflict(struct ipv6_addresses *addresses, uint16_t port,
                             const struct address *address, const uint8_t *mac)
{
    struct entry *entry = find(addresses, port, address);

    if (!entry || entry->public.state != IPV6_ADDRESS_TENTATIVE)
        return;
    timer_cancel(&addresses->core->timers, &entry->timer);
    set_state(entry, IPV6_ADDRESS_DUPLICATE);
    log_warning("nd", "%s: our address %pI6 is also used by %pM: it stays out of use",
                port_of(entry)->name, (const void *)address->bytes, (const void *)mac);
}

static struct address link_local_of(const struct port *port)
{
    struct address address = { .family = FAMILY_IPV6, .bytes = { 0xfe, 0x80 } };

    ipv6_eui64(port->mac, address.bytes + 8);
    return address;
}

void ipv6_addresses_port_changed(struct ipv6_addresses *addresses, uint16_t port, uint64_t now_ns)
{
    for (unsigned i = 0; i < addresses->count; i++) {
        struct entry *entry = addresses->entries[i];
        if (entry->public.port != port)
            continue;
        if (address_is_link_local(&entry->public.address))
            entry->public.address = link_local_of(port_of(entry)); /* the MAC may be new */
        begin(entry, now_ns);
    }
}

/* ---- Coming and going ---------------------------------------------------------------------------
 */

typedef void wish_visitor(struct ipv6_addresses *addresses, const struct ipv6_address *wish,
                          void *context);

/* What a configuration wants: its addresses, and before each the link-local one of its port. */
static void each_wish(struct ipv6_addresses *addresses, const struct config *config,
                      wish_visitor *visit, void *context)
{
    for (unsigned i = 0; i < config->address_count; i++) {
        const struct config_address *address = &config->addresses[i];
        const struct port *port = router_port(addresses->core->router, address->interface);
        if (!port || address->prefix.address.family != FAMILY_IPV6)
            continue;
        struct ipv6_address wish = { link_local_of(port), LINK_LOCAL_LENGTH, port->index, 0 };
        if (port->nic)
            visit(addresses, &wish, context);
        wish.address = address->prefix.address;
        wish.length = address->prefix.length;
        visit(addresses, &wish, context);
    }
}

static void count_new(struct ipv6_addresses *addresses, const struct ipv6_address *wish,
                      void *context)
{
    unsigned *count = context;

    *count += !find(addresses, wish->port, &wish->address);
}

static void keep_old(struct ipv6_addresses *addresses, const struct ipv6_address *wish,
                     void *context)
{
    struct entry *entry = find(addresses, wish->port, &wish->address);

    (void)context;
    if (!entry)
        return;
    entry->wanted = true;
    entry->public.length = wish->length;
}

static void add_new(struct ipv6_addresses *addresses, const struct ipv6_address *wish,
                    void *context)
{
    const uint64_t *now_ns = context;

    if (find(addresses, wish->port, &wish->address))
        return;
    struct entry *entry = addresses->spares;
    CHECK(entry);
    CHECK(addresses->count < IPV6_ADDRESS_MAX);
    addresses->spares = entry->next_spare;
    addresses->spare_count--;
    *entry = (struct entry){ .public = *wish, .timer.expired = expired, .owner = addresses };
    addresses->entries[addresses->count++] = entry;
    begin(entry, *now_ns);
}

static void remove_at(struct ipv6_addresses *addresses, unsigned index)
{
    struct entry *entry = addresses->entries[index];

    timer_cancel(&addresses->core->timers, &entry->timer);
    set_state(entry, IPV6_ADDRESS_NONE);
    memory_free(entry);
    addresses->entries[index] = addresses->entries[--addresses->count];
}

static void free_spares(struct ipv6_addresses *addresses)
{
    while (addresses->spares) {
        struct entry *entry = addresses->spares;
        addresses->spares = entry->next_spare;
        memory_free(entry);
    }
    addresses->spare_count = 0;
}

enum error ipv6_addresses_prepare(struct ipv6_addresses *addresses, const struct config *config)
{
    unsigned needed = 0;

    each_wish(addresses, config, count_new, &needed);
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
    each_wish(addresses, config, keep_old, NULL);
    for (unsigned i = addresses->count; i-- > 0;)
        if (!addresses->entries[i]->wanted)
            remove_at(addresses, i);
    if (addresses->spares)
        each_wish(addresses, config, add_new, &now_ns);
    free_spares(addresses);
}

/* ---- Questions ----------------------------------------------------------------------------------
 */

enum ipv6_address_state ipv6_addresses_state(const struct ipv6_addresses *addresses, uint16_t port,
                                             const struct address *address)
{
    const struct entry *entry = find(addresses, port, address);

    return entry ? (enum ipv6_address_state)entry->public.state : IPV6_ADDRESS_NONE;
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
        remove_at(addresses, addresses->count - 1);
    free_spares(addresses);
    memory_free(addresses);
}
