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

struct prefixes {
    unsigned count;
    struct prefix at[ND_PREFIXES_MAX];
};

/* A prefix that hosts have from us and shall not have any more. */
struct withdrawn {
    struct prefix prefix;
    uint64_t until_ns;
};

struct ra_port {
    struct ra *owner;
    uint16_t port;
    struct config_advertising wish; /* as it was told last */
    struct prefixes told;           /* likewise */
    unsigned withdrawn_count;
    struct withdrawn withdrawn[RA_WITHDRAWN_MAX]; /* oldest first */
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

static bool contains(const struct prefixes *prefixes, const struct prefix *prefix)
{
    for (unsigned i = 0; i < prefixes->count; i++)
        if (prefix_equal(&prefixes->at[i], prefix))
            return true;
    return false;
}

/* In their order, so that of too many the same ones are told whatever came first. */
static void add_network(struct prefixes *prefixes, const struct prefix *prefix)
{
    const struct prefix network = prefix_network(prefix);
    unsigned at = 0;

    while (at < prefixes->count && prefix_compare(&prefixes->at[at], &network) < 0)
        at++;
    if (at == ND_PREFIXES_MAX || contains(prefixes, &network))
        return;
    unsigned behind = MIN_OF(prefixes->count, (unsigned)ND_PREFIXES_MAX - 1) - at;
    memmove(&prefixes->at[at + 1], &prefixes->at[at], behind * sizeof(prefixes->at[0]));
    prefixes->at[at] = network;
    prefixes->count = MIN_OF(prefixes->count + 1, (unsigned)ND_PREFIXES_MAX);
}

/* Those of the statements; without any, those of the port's addresses. */
static struct prefixes prefixes_of(const struct ra_port *port)
{
    const struct ipv6_addresses *addresses = port->owner->addresses;
    struct prefixes prefixes = { .count = 0 };

    for (unsigned i = 0; i < port->wish.prefix_count; i++)
        add_network(&prefixes, &port->wish.prefixes[i]);
    if (prefixes.count > 0)
        return prefixes;
    for (unsigned i = 0; i < ipv6_addresses_count(addresses); i++) {
        const struct ipv6_address *at = ipv6_addresses_at(addresses, i);
        const struct prefix prefix = { .address = at->address, .length = at->length };
        if (at->port == port->port && at->origin == IPV6_FROM_STATEMENT)
            add_network(&prefixes, &prefix);
    }
    return prefixes;
}

static void withdraw(struct ra_port *port, const struct prefix *prefix, uint64_t now_ns)
{
    if (port->withdrawn_count == RA_WITHDRAWN_MAX) {
        port->withdrawn_count--;
        memmove(&port->withdrawn[0], &port->withdrawn[1],
                port->withdrawn_count * sizeof(port->withdrawn[0]));
    }
    port->withdrawn[port->withdrawn_count++] =
        (struct withdrawn){ *prefix, now_ns + (uint64_t)RA_WITHDRAWN_S * NS_PER_S };
}

/* What was told before and is not any more is withdrawn, until it comes back or hosts have
 * forgotten it. */
static void follow_prefixes(struct ra_port *port, const struct prefixes *now, uint64_t now_ns)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < port->told.count; i++)
        if (!contains(now, &port->told.at[i]))
            withdraw(port, &port->told.at[i], now_ns);
    port->told = *now;
    for (unsigned i = 0; i < port->withdrawn_count; i++) {
        const struct withdrawn *withdrawn = &port->withdrawn[i];
        if (now_ns < withdrawn->until_ns && !contains(now, &withdrawn->prefix))
            port->withdrawn[kept++] = *withdrawn;
    }
    port->withdrawn_count = kept;
}

static void add_prefix(struct nd_router_advertisement *advertisement, const struct prefix *prefix,
                       bool in_force)
{
    if (advertisement->prefix_count == ND_PREFIXES_MAX)
        return;
    struct nd_prefix *entry = &advertisement->prefixes[advertisement->prefix_count++];
    *entry = (struct nd_prefix){ .prefix_bits = prefix->length,
                                 .on_link = true,
                                 .autonomous = prefix->length == AUTONOMOUS_LENGTH,
                                 .valid_s = in_force ? RA_PREFIX_VALID_S : 0,
                                 .preferred_s = in_force ? RA_PREFIX_PREFERRED_S : 0 };
    memcpy(entry->prefix, prefix->address.bytes, sizeof(entry->prefix));
}

static void advertise(struct ra_port *port, uint16_t lifetime_s, uint64_t now_ns)
{
    struct core *core = port->owner->core;
    const struct port *card = &core->router->ports[port->port];
    const struct config_advertising *wish = &port->wish;
    const struct prefixes prefixes = prefixes_of(port);
    struct nd_router_advertisement advertisement = { .hop_limit = HOP_LIMIT,
                                                     .lifetime_s = lifetime_s,
                                                     .mtu = card->mtu_bytes,
                                                     .has_source_mac = true };

    memcpy(advertisement.source_mac, card->mac, sizeof(advertisement.source_mac));
    follow_prefixes(port, &prefixes, now_ns);
    for (unsigned i = 0; i < prefixes.count; i++)
        add_prefix(&advertisement, &prefixes.at[i], true);
    for (unsigned i = port->withdrawn_count; i-- > 0;) /* the last first: there may be no room */
        add_prefix(&advertisement, &port->withdrawn[i].prefix, false);
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

    advertise(port, RA_LIFETIME_S, now_ns);
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

/* Is a prefix that was told not to be told any more? */
static bool withdraws(const struct ra_port *port)
{
    const struct prefixes prefixes = prefixes_of(port);

    for (unsigned i = 0; i < port->told.count; i++)
        if (!contains(&prefixes, &port->told.at[i]))
            return true;
    return false;
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
            advertise(port, 0, now_ns); /* RFC 4861 6.2.5: a router no longer */
        }
        port->wish = *wish;
        if (wish->on && (changed || withdraws(port)))
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
