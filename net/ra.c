/* See ra.h. A port has one timer; all advertisements go to all nodes, also those that were asked
 * for. */
#include "net/ra.h"

#include <string.h>

#include "kernel/base/random.h"
#include "kernel/base/timer_wheel.h"
#include "kernel/platform.h"
#include "net/config.h"
#include "net/ipv6_addresses.h"
#include "net/router.h"
#include "net/wire/nd.h"

enum { HOP_LIMIT = 64, AUTONOMOUS_LENGTH = 64 /* RFC 4291 2.5.1, RFC 2464 4 */ };

struct ra_port {
    struct ra *owner;
    uint16_t port;
    struct config_advertising wish; /* as it was told last */
    unsigned initial_left;
    bool has_sent;
    uint64_t sent_ns;
    struct timer timer;
};

struct ra {
    struct core *core;
    const struct ipv6_addresses *addresses;
    struct ra_uses uses;
    struct ra_port ports[PORT_MAX + 1];
};

/* ---- What is told -----------------------------------------------------------------------------
 */

static void add_prefix(struct nd_router_advertisement *advertisement, const struct prefix *prefix)
{
    struct prefix network = prefix_network(prefix);

    for (unsigned i = 0; i < advertisement->prefix_count; i++) {
        const struct nd_prefix *known = &advertisement->prefixes[i];
        if (known->prefix_bits == network.length &&
            memcmp(known->prefix, network.address.bytes, sizeof(known->prefix)) == 0)
            return;
    }
    if (advertisement->prefix_count == ND_PREFIXES_MAX)
        return;
    struct nd_prefix *entry = &advertisement->prefixes[advertisement->prefix_count++];
    *entry = (struct nd_prefix){ .prefix_bits = network.length,
                                 .on_link = true,
                                 .autonomous = network.length == AUTONOMOUS_LENGTH,
                                 .valid_s = RA_PREFIX_VALID_S,
                                 .preferred_s = RA_PREFIX_PREFERRED_S };
    memcpy(entry->prefix, network.address.bytes, sizeof(entry->prefix));
}

static void add_own_prefixes(const struct ra_port *port,
                             struct nd_router_advertisement *advertisement)
{
    const struct ipv6_addresses *addresses = port->owner->addresses;

    for (unsigned i = 0; i < ipv6_addresses_count(addresses); i++) {
        const struct ipv6_address *at = ipv6_addresses_at(addresses, i);
        const struct prefix prefix = { .address = at->address, .length = at->length };
        if (at->port == port->port && at->origin == IPV6_FROM_STATEMENT)
            add_prefix(advertisement, &prefix);
    }
}

static void advertise(struct ra_port *port, uint16_t lifetime_s)
{
    struct core *core = port->owner->core;
    const struct port *card = &core->router->ports[port->port];
    const struct config_advertising *wish = &port->wish;
    struct nd_router_advertisement advertisement = { .hop_limit = HOP_LIMIT,
                                                     .lifetime_s = lifetime_s,
                                                     .mtu = card->mtu_bytes,
                                                     .has_source_mac = true };

    memcpy(advertisement.source_mac, card->mac, sizeof(advertisement.source_mac));
    for (unsigned i = 0; i < wish->prefix_count; i++)
        add_prefix(&advertisement, &wish->prefixes[i]);
    if (wish->prefix_count == 0)
        add_own_prefixes(port, &advertisement);
    for (unsigned i = 0; i < wish->server_count; i++) {
        struct nd_server *server = &advertisement.servers[advertisement.server_count++];
        memcpy(server->address, wish->servers[i].bytes, sizeof(server->address));
        server->lifetime_s = lifetime_s;
    }
    port->owner->uses.advertise(core, port->port, &advertisement);
}

/* ---- When -------------------------------------------------------------------------------------
 */

/* At a random time between both, though never closer to the last one than is allowed. */
static void advertise_within(struct ra_port *port, uint64_t minimum_ms, uint64_t maximum_ms,
                             uint64_t now_ns)
{
    struct core *core = port->owner->core;
    uint64_t spread_ms = random_next(&core->random_state) % (maximum_ms - minimum_ms + 1);
    uint64_t due_ns = now_ns + (minimum_ms + spread_ms) * NS_PER_MS;

    if (port->has_sent)
        due_ns = MAX_OF(due_ns, port->sent_ns + (uint64_t)RA_SPACING_MS * NS_PER_MS);
    if (!timer_is_set(&port->timer) || due_ns < port->timer.deadline_ns)
        timer_set(&core->timers, &port->timer, due_ns);
}

static void expired(struct timer *timer, uint64_t now_ns)
{
    struct ra_port *port = CONTAINER_OF(timer, struct ra_port, timer);
    bool initial = port->initial_left > 0;

    advertise(port, RA_LIFETIME_S);
    port->has_sent = true;
    port->sent_ns = now_ns;
    port->initial_left -= initial;
    if (port->initial_left > 0)
        advertise_within(port, 0, RA_INITIAL_MAX_S * 1000, now_ns);
    else
        advertise_within(port, RA_INTERVAL_MIN_S * 1000, RA_INTERVAL_MAX_S * 1000, now_ns);
}

/* RFC 4861 6.2.4: something is new. */
static void begin(struct ra_port *port, uint64_t now_ns)
{
    port->initial_left = RA_INITIAL;
    advertise_within(port, 0, 0, now_ns);
}

void ra_reconfigure(struct ra *ra, const struct config *config, uint64_t now_ns)
{
    static const struct config_advertising nothing;

    for (unsigned i = 0; i < ra->core->router->port_count; i++) {
        struct ra_port *port = &ra->ports[i];
        const struct config_interface *interface =
            config_find_interface(config, ra->core->router->ports[i].name);
        const struct config_advertising *wish = interface ? &interface->advertising : &nothing;
        bool changed = memcmp(wish, &port->wish, sizeof(*wish)) != 0;

        if (port->wish.on && !wish->on) {
            timer_cancel(&ra->core->timers, &port->timer);
            advertise(port, 0); /* RFC 4861 6.2.5: a router no longer */
        }
        port->wish = *wish;
        if (wish->on && changed)
            begin(port, now_ns);
    }
}

void ra_address_valid(struct ra *ra, uint16_t port, uint64_t now_ns)
{
    if (ra->ports[port].wish.on)
        begin(&ra->ports[port], now_ns);
}

bool ra_solicited(struct ra *ra, uint16_t port, uint64_t now_ns)
{
    if (!ra->ports[port].wish.on)
        return false;
    advertise_within(&ra->ports[port], 0, RA_ANSWER_DELAY_MS, now_ns);
    return true;
}

/* ---- Create, destroy --------------------------------------------------------------------------
 */

struct ra *ra_create(struct core *core, const struct ipv6_addresses *addresses,
                     const struct ra_uses *uses)
{
    struct ra *ra = memory_alloc(sizeof(*ra), 0, MEMORY_NEIGHBOR);

    if (!ra)
        return NULL;
    ra->core = core;
    ra->addresses = addresses;
    ra->uses = *uses;
    for (unsigned i = 0; i < ARRAY_COUNT(ra->ports); i++)
        ra->ports[i] =
            (struct ra_port){ .owner = ra, .port = (uint16_t)i, .timer.expired = expired };
    return ra;
}

void ra_destroy(struct ra *ra)
{
    if (!ra)
        return;
    for (unsigned i = 0; i < ARRAY_COUNT(ra->ports); i++)
        timer_cancel(&ra->core->timers, &ra->ports[i].timer);
    memory_free(ra);
}
