/* See autoconf.h. A port has one timer, for whatever ends or begins next; what it knows is a few
 * lines, looked through each time. Times at which things end are kept, AUTOCONF_FOREVER for
 * infinite lifetimes, so that nothing has to be counted down.
 *
 *   advertisement --input--> routers, prefixes, parameters --take_change--> the view
 *                                  |          |
 *                                  |          `--> ipv6_addresses: asked for first, announced
 *                                  `--follow--> the RIB, in the control coroutine
 */
#include "net/autoconf.h"

#include <string.h>

#include "kernel/base/log.h"
#include "kernel/base/random.h"
#include "kernel/base/timer_wheel.h"
#include "kernel/platform.h"
#include "net/config_routes.h"
#include "net/forwarding.h"
#include "net/interface_id.h"
#include "net/ipv6_addresses.h"
#include "net/neighbor.h"
#include "net/rib.h"
#include "net/router.h"
#include "net/routes.h"
#include "net/wire/nd.h"

enum {
    SINGLE = IPV6_ADDRESS_BYTES * 8,
    AUTONOMOUS_LENGTH = SINGLE - IPV6_INTERFACE_ID_BYTES * 8, /* RFC 4862 5.5.3 d */
    RANK_LOST = ND_PREFERENCE_HIGH - ND_PREFERENCE_LOW + 1,   /* less than any that is there */
    RANK_NONE = ND_PREFERENCE_LOW - RANK_LOST - 1,
};

struct learned_router {
    struct address address;
    int8_t preference; /* enum nd_preference */
    bool lost;         /* it does not answer */
    uint64_t until_ns;
};

/* A prefix is on the link, or has an address of ours, or both: each as long as it was told. */
struct learned_prefix {
    struct prefix prefix; /* family none: the place is free */
    uint64_t on_link_until_ns;
    struct address address; /* family none: there is none */
    uint8_t tries;          /* for its identifier, that somebody else had */
    bool deprecated;
    struct autoconf_lifetimes lifetimes; /* of the address */
    /* What the RIB has of it. */
    bool net_announced;
    struct prefix announced; /* the address in its net; family none: nothing */
    bool announced_whole;    /* with the anycast address beside it */
};

struct autoconf_port {
    struct autoconf *owner;
    uint16_t port;
    bool on;
    unsigned router_count;
    struct learned_router routers[AUTOCONF_ROUTER_MAX];
    struct learned_prefix prefixes[AUTOCONF_PREFIX_MAX];
    uint32_t reachable_base_ms; /* as told; 0: not */
    uint64_t solicit_ns;        /* when routers are asked for next */
    uint64_t pause_ms;          /* before that; 0: it is the first time */
    struct timer timer;
};

struct autoconf {
    struct core *core;
    struct ipv6_addresses *addresses;
    struct autoconf_uses uses;
    struct hash_key secret;
    bool view_changed, routes_changed;
    uint64_t follow_ns;   /* not before */
    uint64_t next_log_ns; /* likewise */
    bool has_default;
    struct path default_path; /* in the RIB */
    bool has_old_default;
    struct path old_default_path; /* still to be withdrawn */
    struct autoconf_port ports[PORT_MAX + 1];
};

static struct port *card_of(const struct autoconf_port *port)
{
    return &port->owner->core->router->ports[port->port];
}

static uint64_t after_s(uint64_t now_ns, uint32_t lifetime_s)
{
    return lifetime_s == ND_INFINITE_S ? AUTOCONF_FOREVER
                                       : now_ns + lifetime_s * (uint64_t)NS_PER_S;
}

static bool is_used(const struct learned_prefix *prefix)
{
    return prefix->prefix.address.family != FAMILY_NONE;
}

static bool has_address(const struct learned_prefix *prefix)
{
    return prefix->address.family != FAMILY_NONE;
}

static bool is_on_link(const struct learned_prefix *prefix)
{
    return prefix->on_link_until_ns != 0;
}

/* ---- Soliciting routers (RFC 4861 6.3.7, RFC 7559) --------------------------------------------
 */

static void solicit_from(struct autoconf_port *port, uint64_t now_ns)
{
    struct core *core = port->owner->core;

    port->pause_ms = 0;
    port->solicit_ns =
        now_ns + random_below(&core->random_state, AUTOCONF_FIRST_MS + 1) * (uint64_t)NS_PER_MS;
}

/* A tenth more or less, so that not all ask at once. */
static uint64_t spread(struct core *core, uint64_t ms)
{
    return ms - ms / 10 + random_next(&core->random_state) % (ms / 5 + 1);
}

static void solicit(struct autoconf_port *port, uint64_t now_ns)
{
    struct core *core = port->owner->core;
    const uint64_t longest_ms = (uint64_t)AUTOCONF_PAUSE_MAX_S * 1000;

    port->owner->uses.solicit(core, port->port);
    port->pause_ms =
        port->pause_ms == 0 ? spread(core, AUTOCONF_SOLICIT_MS) : 2 * spread(core, port->pause_ms);
    if (port->pause_ms > longest_ms)
        port->pause_ms = spread(core, longest_ms);
    port->solicit_ns = now_ns + port->pause_ms * NS_PER_MS;
}

/* ---- What is not taken ------------------------------------------------------------------------
 */

static void log_seldom(struct autoconf_port *port, const char *what, uint64_t now_ns)
{
    struct autoconf *autoconf = port->owner;

    if (now_ns < autoconf->next_log_ns)
        return;
    autoconf->next_log_ns = now_ns + (uint64_t)AUTOCONF_LOG_MS * NS_PER_MS;
    log_warning("autoconf", "%s: %s", card_of(port)->name, what);
}

/* Is it a part of what the operator says is elsewhere? Routes as wide as what nobody on a link may
 * claim are there for what is nowhere else. */
static bool has_static_route(const struct router *router, const struct prefix *prefix)
{
    const struct forwarding *view = atomic_load_explicit(&router->forwarding, memory_order_relaxed);
    const struct rib *rib = router->ribs[FAMILY_IPV6];
    unsigned length = prefix->length;

    while (length >= AUTOCONF_LENGTH_MIN) {
        uint16_t path = rib_lookup(rib, &prefix->address, view->ipv6.next_hops, &length);
        if (path == 0 || length < AUTOCONF_LENGTH_MIN)
            return false;
        if (rib_path(rib, path)->protocol == PROTOCOL_STATIC)
            return true;
        length--;
    }
    return false;
}

/* Nobody on this link may say where everything is, nor the net of another port or a part of it. */
static bool is_believable(const struct autoconf_port *port, const struct config *config,
                          const struct prefix *prefix)
{
    if (prefix->length < AUTOCONF_LENGTH_MIN || is_special_prefix(prefix) ||
        has_static_route(port->owner->core->router, prefix))
        return false;
    for (unsigned i = 0; i < config->address_count; i++) {
        const struct config_address *own = &config->addresses[i];
        if (prefix->length >= own->prefix.length &&
            prefix_contains(&own->prefix, &prefix->address) &&
            strcmp(own->interface, card_of(port)->name) != 0)
            return false;
    }
    return true;
}

/* ---- Addresses (RFC 4862 5.5.3, RFC 7217) -----------------------------------------------------
 */

/* The address in its net: that is the prefix where it is on the link, else nothing but itself. */
static struct prefix in_its_net(const struct learned_prefix *prefix)
{
    return (struct prefix){ prefix->address,
                            is_on_link(prefix) ? prefix->prefix.length : (uint8_t)SINGLE };
}

static void drop_address(struct autoconf_port *port, struct learned_prefix *prefix, uint64_t now_ns)
{
    if (!has_address(prefix))
        return;
    ipv6_addresses_forget(port->owner->addresses, port->port, &prefix->address, now_ns);
    prefix->address = (struct address){ .family = FAMILY_NONE };
    port->owner->routes_changed = true;
}

/* What it is now. */
static void have_address(struct autoconf_port *port, const struct learned_prefix *prefix,
                         uint64_t now_ns)
{
    const struct prefix address = in_its_net(prefix);

    ipv6_addresses_learn(port->owner->addresses, port->port, &address, prefix->deprecated, now_ns);
    port->owner->routes_changed = true;
}

/* RFC 7217 5 and 6: the next identifier that may be one. False: enough were tried. */
static bool make_address(struct autoconf_port *port, struct learned_prefix *prefix)
{
    prefix->address = prefix->prefix.address;
    for (; prefix->tries <= AUTOCONF_TRIES; prefix->tries++)
        if (interface_id_make(&port->owner->secret, prefix->prefix.address.bytes,
                              card_of(port)->name, prefix->tries,
                              prefix->address.bytes + IPV6_INTERFACE_ID_BYTES))
            return true;
    prefix->address = (struct address){ .family = FAMILY_NONE };
    return false;
}

/* e: what is left of it may be shortened to two hours, by nobody to less. */
static uint64_t valid_until(const struct learned_prefix *prefix, uint32_t valid_s, uint64_t now_ns)
{
    const uint64_t two_hours_ns = after_s(now_ns, AUTOCONF_TWO_HOURS_S);
    const uint64_t told_ns = after_s(now_ns, valid_s);
    const uint64_t known_ns = prefix->lifetimes.valid_until_ns;

    if (told_ns > two_hours_ns || told_ns > known_ns)
        return told_ns;
    return known_ns <= two_hours_ns ? known_ns : two_hours_ns;
}

static void take_autonomous(struct autoconf_port *port, struct learned_prefix *prefix,
                            const struct nd_prefix *told, uint64_t now_ns)
{
    const bool is_new = !has_address(prefix);

    if (!told->autonomous || told->prefix_bits != AUTONOMOUS_LENGTH)
        return;
    if (is_new && (told->valid_s == 0 || !make_address(port, prefix)))
        return;
    prefix->lifetimes.valid_until_ns =
        is_new ? after_s(now_ns, told->valid_s) : valid_until(prefix, told->valid_s, now_ns);
    prefix->lifetimes.preferred_until_ns = after_s(now_ns, told->preferred_s);
    if (!is_new && prefix->deprecated == (told->preferred_s == 0))
        return;
    prefix->deprecated = told->preferred_s == 0;
    have_address(port, prefix, now_ns);
}

static void try_another_address(struct autoconf_port *port, const struct address *address,
                                uint64_t now_ns)
{
    for (unsigned i = 0; i < AUTOCONF_PREFIX_MAX; i++) {
        struct learned_prefix *prefix = &port->prefixes[i];
        if (!has_address(prefix) || !address_equal(&prefix->address, address))
            continue;
        if (prefix->tries == AUTOCONF_TRIES) {
            log_seldom(port, "each address that was tried in a prefix is somebody else's", now_ns);
            return; /* the last stays, as the duplicate that it is */
        }
        drop_address(port, prefix, now_ns);
        prefix->tries++;
        if (make_address(port, prefix))
            have_address(port, prefix, now_ns);
    }
}

/* ---- Prefixes (RFC 4861 6.3.4) ----------------------------------------------------------------
 */

static struct learned_prefix *find_prefix(struct autoconf_port *port, const struct prefix *wanted)
{
    for (unsigned i = 0; i < AUTOCONF_PREFIX_MAX; i++)
        if (is_used(&port->prefixes[i]) && prefix_equal(&port->prefixes[i].prefix, wanted))
            return &port->prefixes[i];
    return NULL;
}

static struct learned_prefix *add_prefix(struct autoconf_port *port, const struct prefix *wanted,
                                         uint64_t now_ns)
{
    for (unsigned i = 0; i < AUTOCONF_PREFIX_MAX; i++)
        if (!is_used(&port->prefixes[i])) {
            port->prefixes[i] = (struct learned_prefix){ .prefix = *wanted };
            return &port->prefixes[i];
        }
    log_seldom(port, "more prefixes are advertised than there is room for", now_ns);
    return NULL;
}

static void set_on_link(struct autoconf_port *port, struct learned_prefix *prefix,
                        uint64_t until_ns, uint64_t now_ns)
{
    bool changes = is_on_link(prefix) != (until_ns != 0);

    prefix->on_link_until_ns = until_ns;
    if (!changes)
        return;
    port->owner->view_changed = port->owner->routes_changed = true;
    if (has_address(prefix))
        have_address(port, prefix, now_ns); /* its net is another one */
}

/* Its place is free again when the RIB has nothing of it either. */
static void release_prefix(struct learned_prefix *prefix)
{
    if (!is_on_link(prefix) && !has_address(prefix) && !prefix->net_announced &&
        prefix->announced.address.family == FAMILY_NONE)
        *prefix = (struct learned_prefix){ .on_link_until_ns = 0 };
}

static void drop_prefix(struct autoconf_port *port, struct learned_prefix *prefix, uint64_t now_ns)
{
    drop_address(port, prefix, now_ns);
    set_on_link(port, prefix, 0, now_ns);
    release_prefix(prefix);
}

static void take_prefix(struct autoconf_port *port, const struct nd_prefix *told, uint64_t now_ns)
{
    const struct prefix wanted = { address_of_ipv6(told->prefix), told->prefix_bits };
    struct learned_prefix *prefix = find_prefix(port, &wanted);

    if (!told->on_link && !told->autonomous)
        return;
    if (told->valid_s > 0 && !is_believable(port, port->owner->core->router->config, &wanted)) {
        log_seldom(port, "a prefix is advertised that cannot be of that link", now_ns);
        if (prefix)
            drop_prefix(port, prefix, now_ns);
        return;
    }
    if (!prefix && told->valid_s > 0)
        prefix = add_prefix(port, &wanted, now_ns);
    if (!prefix)
        return;
    if (told->on_link)
        set_on_link(port, prefix, told->valid_s == 0 ? 0 : after_s(now_ns, told->valid_s), now_ns);
    take_autonomous(port, prefix, told, now_ns);
    release_prefix(prefix);
}

/* What has ended, ends. */
static void expire_prefix(struct autoconf_port *port, struct learned_prefix *prefix,
                          uint64_t now_ns)
{
    if (is_on_link(prefix) && prefix->on_link_until_ns <= now_ns)
        set_on_link(port, prefix, 0, now_ns);
    if (has_address(prefix) && prefix->lifetimes.valid_until_ns <= now_ns)
        drop_address(port, prefix, now_ns);
    if (has_address(prefix) && !prefix->deprecated &&
        prefix->lifetimes.preferred_until_ns <= now_ns) {
        prefix->deprecated = true;
        have_address(port, prefix, now_ns);
    }
    release_prefix(prefix);
}

/* ---- Routers (RFC 4861 6.3.4, RFC 4191 3.1) ---------------------------------------------------
 */

static void remove_router(struct autoconf_port *port, unsigned index)
{
    port->router_count--;
    memmove(&port->routers[index], &port->routers[index + 1],
            (port->router_count - index) * sizeof(port->routers[0]));
    port->owner->routes_changed = true;
}

static struct learned_router *find_router(struct autoconf_port *port, const struct address *address)
{
    for (unsigned i = 0; i < port->router_count; i++)
        if (address_equal(&port->routers[i].address, address))
            return &port->routers[i];
    return NULL;
}

static void set_lost(struct autoconf_port *port, struct learned_router *router, bool lost)
{
    port->owner->routes_changed |= router->lost != lost;
    router->lost = lost;
}

/* Kept in the order of their addresses, as a path has them. False: there is no room. */
static bool take_router(struct autoconf_port *port, const struct address *address,
                        const struct nd_router_advertisement *told, uint64_t now_ns)
{
    unsigned at = 0;

    while (at < port->router_count && address_compare(&port->routers[at].address, address) < 0)
        at++;
    bool known = at < port->router_count && address_equal(&port->routers[at].address, address);
    if (told->lifetime_s == 0) {
        if (known)
            remove_router(port, at);
        return true;
    }
    if (!known && port->router_count == AUTOCONF_ROUTER_MAX)
        return false;
    if (!known) {
        memmove(&port->routers[at + 1], &port->routers[at],
                (port->router_count - at) * sizeof(port->routers[0]));
        port->router_count++;
    }
    if (!known || port->routers[at].lost || port->routers[at].preference != told->preference)
        port->owner->routes_changed = true;
    port->routers[at] = (struct learned_router){ .address = *address,
                                                 .preference = told->preference,
                                                 .until_ns = after_s(now_ns, told->lifetime_s) };
    return true;
}

static void expire_routers(struct autoconf_port *port, uint64_t now_ns)
{
    for (unsigned i = port->router_count; i-- > 0;)
        if (port->routers[i].until_ns <= now_ns)
            remove_router(port, i);
}

/* Without any, they are asked for; with one, no more. */
static void follow_routers(struct autoconf_port *port, uint64_t now_ns)
{
    struct address link_local;

    if (port->router_count > 0 || !port->on)
        port->solicit_ns = AUTOCONF_FOREVER;
    else if (port->solicit_ns == AUTOCONF_FOREVER &&
             ipv6_addresses_link_local(port->owner->addresses, port->port, &link_local))
        solicit_from(port, now_ns);
}

/* ---- Parameters of the link (RFC 4861 6.3.4) --------------------------------------------------
 */

/* Each router may say another time, and the last one counts; within half and one and a half of it
 * (6.3.2) we draw once. */
static void take_times(struct autoconf_port *port, const struct nd_router_advertisement *told)
{
    struct core *core = port->owner->core;
    uint32_t base_ms = told->reachable_ms;
    uint32_t retransmit_ms = 0, reachable_ms = 0;

    if (base_ms >= AUTOCONF_REACHABLE_MIN_MS && base_ms <= AUTOCONF_REACHABLE_MAX_MS &&
        base_ms != port->reachable_base_ms) {
        port->reachable_base_ms = base_ms;
        reachable_ms = base_ms / 2 + random_below(&core->random_state, base_ms);
    }
    if (told->retransmit_ms != 0)
        retransmit_ms = MIN_OF(MAX_OF(told->retransmit_ms, (uint32_t)AUTOCONF_RETRANSMIT_MIN_MS),
                               (uint32_t)AUTOCONF_RETRANSMIT_MAX_MS);
    neighbor_set_times(core->router->neighbors, port->port, reachable_ms, retransmit_ms);
}

static void set_link(struct autoconf_port *port, const struct port_learned *learned)
{
    struct port *card = card_of(port);

    if (memcmp(&card->learned, learned, sizeof(*learned)) == 0)
        return;
    card->learned = *learned;
    port->owner->view_changed = true;
}

static void take_parameters(struct autoconf_port *port, const struct nd_router_advertisement *told)
{
    struct port_learned learned = card_of(port)->learned;

    if (told->hop_limit >= AUTOCONF_HOP_LIMIT_MIN)
        learned.hop_limit = told->hop_limit;
    if (told->mtu >= IPV6_MINIMUM_MTU && told->mtu <= card_of(port)->mtu_bytes)
        learned.ipv6_mtu_bytes = (uint16_t)told->mtu;
    set_link(port, &learned);
    take_times(port, told);
}

/* ---- When -------------------------------------------------------------------------------------
 */

static void set_timer(struct autoconf_port *port)
{
    struct core *core = port->owner->core;
    uint64_t next_ns = port->solicit_ns;

    for (unsigned i = 0; i < port->router_count; i++)
        next_ns = MIN_OF(next_ns, port->routers[i].until_ns);
    for (unsigned i = 0; i < AUTOCONF_PREFIX_MAX; i++) {
        const struct learned_prefix *prefix = &port->prefixes[i];
        if (is_on_link(prefix))
            next_ns = MIN_OF(next_ns, prefix->on_link_until_ns);
        if (has_address(prefix))
            next_ns = MIN_OF(next_ns, prefix->lifetimes.valid_until_ns);
        if (has_address(prefix) && !prefix->deprecated)
            next_ns = MIN_OF(next_ns, prefix->lifetimes.preferred_until_ns);
    }
    if (next_ns == AUTOCONF_FOREVER)
        timer_cancel(&core->timers, &port->timer);
    else
        timer_set(&core->timers, &port->timer, next_ns);
}

static void expired(struct timer *timer, uint64_t now_ns)
{
    struct autoconf_port *port = CONTAINER_OF(timer, struct autoconf_port, timer);

    expire_routers(port, now_ns);
    for (unsigned i = 0; i < AUTOCONF_PREFIX_MAX; i++)
        expire_prefix(port, &port->prefixes[i], now_ns);
    if (port->solicit_ns <= now_ns)
        solicit(port, now_ns);
    follow_routers(port, now_ns);
    set_timer(port);
}

static void forget(struct autoconf_port *port, uint64_t now_ns)
{
    static const struct port_learned nothing;

    while (port->router_count > 0)
        remove_router(port, port->router_count - 1);
    for (unsigned i = 0; i < AUTOCONF_PREFIX_MAX; i++)
        drop_prefix(port, &port->prefixes[i], now_ns);
    set_link(port, &nothing);
    neighbor_reset_times(port->owner->core->router->neighbors, port->port);
    port->reachable_base_ms = 0;
    port->solicit_ns = AUTOCONF_FOREVER;
    set_timer(port);
}

/* ---- Events -----------------------------------------------------------------------------------
 */

enum verdict autoconf_input(struct autoconf *autoconf, uint16_t port_index,
                            const struct address *router,
                            const struct nd_router_advertisement *advertisement, uint64_t now_ns)
{
    struct autoconf_port *port = &autoconf->ports[port_index];

    if (!port->on)
        return DROP_ND_IGNORED;
    if (!take_router(port, router, advertisement, now_ns)) {
        log_seldom(port, "more routers are there than there is room for", now_ns);
        return DROP_ND_FULL;
    }
    take_parameters(port, advertisement);
    for (unsigned i = 0; i < advertisement->prefix_count; i++)
        take_prefix(port, &advertisement->prefixes[i], now_ns);
    if (advertisement->prefixes_left_out > 0)
        log_seldom(port, "more prefixes are advertised than there is room for", now_ns);
    follow_routers(port, now_ns);
    set_timer(port);
    return PASS;
}

void autoconf_neighbor_advertised(struct autoconf *autoconf, uint16_t port_index,
                                  const struct address *address, bool is_router, uint64_t now_ns)
{
    struct autoconf_port *port = &autoconf->ports[port_index];
    struct learned_router *router = find_router(port, address);

    if (!router)
        return;
    if (is_router) {
        set_lost(port, router, false);
        return;
    }
    remove_router(port, (unsigned)(router - port->routers));
    follow_routers(port, now_ns);
    set_timer(port);
}

void autoconf_neighbor_lost(struct autoconf *autoconf, uint16_t port_index,
                            const struct address *address)
{
    struct autoconf_port *port = &autoconf->ports[port_index];
    struct learned_router *router = find_router(port, address);

    if (router)
        set_lost(port, router, true);
}

void autoconf_address_valid(struct autoconf *autoconf, uint16_t port_index,
                            const struct address *address, uint64_t now_ns)
{
    struct autoconf_port *port = &autoconf->ports[port_index];

    if (!port->on || !address_is_link_local(address))
        return;
    follow_routers(port, now_ns);
    set_timer(port);
}

void autoconf_address_duplicate(struct autoconf *autoconf, uint16_t port_index,
                                const struct address *address, uint64_t now_ns)
{
    struct autoconf_port *port = &autoconf->ports[port_index];

    if (!port->on)
        return;
    if (address_is_link_local(address))
        forget(port, now_ns); /* no IPv6 there any more: RFC 4862 5.4.5 */
    else
        try_another_address(port, address, now_ns);
    set_timer(port);
}

void autoconf_port_changed(struct autoconf *autoconf, uint16_t port_index, uint64_t now_ns)
{
    struct autoconf_port *port = &autoconf->ports[port_index];

    if (port->on && !(card_of(port)->admin_up && card_of(port)->link_up))
        forget(port, now_ns);
}

void autoconf_reconfigure(struct autoconf *autoconf, const struct config *config, uint64_t now_ns)
{
    for (unsigned i = 0; i < autoconf->core->router->port_count; i++) {
        struct autoconf_port *port = &autoconf->ports[i];
        const struct config_interface *wish = config_find_interface(config, card_of(port)->name);
        bool was_on = port->on;
        port->on = wish && wish->ipv6_auto;
        if (was_on && !port->on)
            forget(port, now_ns);
        if (!was_on && port->on)
            follow_routers(port, now_ns);
        for (unsigned k = 0; k < AUTOCONF_PREFIX_MAX; k++)
            if (is_used(&port->prefixes[k]) &&
                !is_believable(port, config, &port->prefixes[k].prefix))
                drop_prefix(port, &port->prefixes[k], now_ns);
        set_timer(port);
    }
}

/* ---- Routes -----------------------------------------------------------------------------------
 */

static bool announce(const struct autoconf_port *port, const struct prefix *prefix,
                     const struct path *path, bool wanted)
{
    struct router *router = port->owner->core->router;

    return wanted ? routes_announce(router, prefix, path) : routes_withdraw(router, prefix, path);
}

/* A net that several ports have is that of the first one, so that the routes for a prefix are few
 * however many ports there are. */
static bool is_of_another(const struct autoconf_port *port, const struct prefix *prefix)
{
    const struct autoconf_port *first = port->owner->ports;

    for (const struct autoconf_port *other = first; other < port; other++)
        for (unsigned i = 0; i < AUTOCONF_PREFIX_MAX; i++)
            if (is_on_link(&other->prefixes[i]) && prefix_equal(&other->prefixes[i].prefix, prefix))
                return true;
    return false;
}

static bool follow_net(struct autoconf_port *port, struct learned_prefix *prefix)
{
    const struct path path = { .protocol = PROTOCOL_RA,
                               .source = (uint8_t)port->port,
                               .distance = DISTANCE_RA,
                               .kind = NEXT_HOP_CONNECTED,
                               .port = port->port };
    const bool wanted = is_on_link(prefix) && !is_of_another(port, &prefix->prefix);

    if (wanted == prefix->net_announced)
        return true;
    if (!announce(port, &prefix->prefix, &path, wanted))
        return false;
    prefix->net_announced = wanted;
    port->owner->view_changed = true; /* gateways may be there now, or no more */
    return true;
}

/* The route to an address of ours, or to the anycast one that comes with its net. */
static bool announce_local(const struct autoconf_port *port, const struct address *address,
                           bool wanted)
{
    const struct prefix prefix = { *address, SINGLE };
    const struct path path = { .protocol = PROTOCOL_LOCAL,
                               .source = (uint8_t)(SOURCE_LEARNED_ADDRESS + port->port),
                               .kind = NEXT_HOP_LOCAL,
                               .port = port->port,
                               .gateway_count = 1,
                               .gateways = { *address } };

    return announce(port, &prefix, &path, wanted);
}

static bool announce_address(const struct autoconf_port *port, const struct prefix *address,
                             bool wanted)
{
    struct address anycast;

    return announce_local(port, &address->address, wanted) &&
           (!ipv6_subnet_router(address, &anycast) || announce_local(port, &anycast, wanted));
}

static bool follow_address(struct autoconf_port *port, struct learned_prefix *prefix)
{
    static const struct prefix nothing;
    struct prefix wanted = has_address(prefix) ? in_its_net(prefix) : nothing;

    if (has_address(prefix) && !prefix->net_announced)
        wanted.length = SINGLE;
    if (!prefix_equal(&wanted, &prefix->announced)) {
        if (prefix->announced.address.family != FAMILY_NONE &&
            !announce_address(port, &prefix->announced, false))
            return false;
        prefix->announced = wanted; /* to be withdrawn from now on, be it done or half done */
        prefix->announced_whole = false;
    }
    if (wanted.address.family == FAMILY_NONE || prefix->announced_whole)
        return true;
    prefix->announced_whole = announce_address(port, &wanted, true);
    return prefix->announced_whole;
}

/* RFC 4191 3.2: who may be there before who is not, then by preference. */
static int rank_of(const struct learned_router *router)
{
    return router->preference - (router->lost ? RANK_LOST : 0);
}

/* The port's best routers, which share the load (RFC 4311 3), and their rank; RANK_NONE: it has
 * none. */
static int best_of(const struct autoconf_port *port, struct path *path)
{
    int best = RANK_NONE;

    *path = (struct path){ .protocol = PROTOCOL_RA, .kind = NEXT_HOP_GATEWAY, .port = port->port };
    for (unsigned i = 0; i < port->router_count; i++)
        best = MAX_OF(best, rank_of(&port->routers[i]));
    for (unsigned i = 0; i < port->router_count; i++) {
        const struct learned_router *router = &port->routers[i];
        if (rank_of(router) != best)
            continue;
        path->gateways[path->gateway_count++] = router->address;
        path->distance = (uint8_t)(DISTANCE_RA - router->preference);
    }
    return best;
}

/* Of ports that are equally good, the first. */
static bool find_default(const struct autoconf *autoconf, struct path *best)
{
    int highest = RANK_NONE;

    for (unsigned i = 0; i < ARRAY_COUNT(autoconf->ports); i++) {
        const struct autoconf_port *port = &autoconf->ports[i];
        struct path path;
        int rank = best_of(port, &path);
        if (rank <= highest || ipv6_addresses_is_disabled(autoconf->addresses, port->port))
            continue;
        highest = rank;
        *best = path;
    }
    return highest > RANK_NONE;
}

static const struct prefix all = { .address.family = FAMILY_IPV6 };

static bool withdraw_old_default(struct autoconf *autoconf)
{
    if (autoconf->has_old_default &&
        !routes_withdraw(autoconf->core->router, &all, &autoconf->old_default_path))
        return false;
    autoconf->has_old_default = false;
    return true;
}

/* The new one before the old one goes, so that there is one all the time. */
static bool follow_default(struct autoconf *autoconf)
{
    struct router *router = autoconf->core->router;
    struct path path;
    bool wanted = find_default(autoconf, &path);

    if (!withdraw_old_default(autoconf))
        return false;
    if (wanted == autoconf->has_default &&
        (!wanted || memcmp(&path, &autoconf->default_path, sizeof(path)) == 0))
        return true;
    if (wanted && !routes_announce(router, &all, &path))
        return false;
    bool replaced = wanted && path.distance == autoconf->default_path.distance;
    autoconf->has_old_default = autoconf->has_default && !replaced;
    autoconf->old_default_path = autoconf->default_path;
    autoconf->has_default = wanted;
    if (wanted)
        autoconf->default_path = path;
    return withdraw_old_default(autoconf);
}

void autoconf_follow(struct autoconf *autoconf, uint64_t now_ns)
{
    if (!autoconf->routes_changed || now_ns < autoconf->follow_ns)
        return;
    autoconf->routes_changed = false; /* before that yields, and more may change */
    bool done = follow_default(autoconf);

    for (unsigned i = 0; i < ARRAY_COUNT(autoconf->ports); i++) {
        struct autoconf_port *port = &autoconf->ports[i];
        for (unsigned k = 0; k < AUTOCONF_PREFIX_MAX; k++) {
            struct learned_prefix *prefix = &port->prefixes[k];
            done &= follow_net(port, prefix) && follow_address(port, prefix);
            release_prefix(prefix);
        }
    }
    autoconf->routes_changed |= !done;
    autoconf->follow_ns = now_ns + (uint64_t)AUTOCONF_FOLLOW_MS * NS_PER_MS;
}

bool autoconf_take_change(struct autoconf *autoconf)
{
    bool changed = autoconf->view_changed;

    autoconf->view_changed = false;
    return changed;
}

/* ---- Questions --------------------------------------------------------------------------------
 */

bool autoconf_next_net(const struct autoconf *autoconf, unsigned *cursor, struct prefix *prefix,
                       uint16_t *port)
{
    while (*cursor < ARRAY_COUNT(autoconf->ports) * AUTOCONF_PREFIX_MAX) {
        const struct autoconf_port *at = &autoconf->ports[*cursor / AUTOCONF_PREFIX_MAX];
        const struct learned_prefix *learned = &at->prefixes[(*cursor)++ % AUTOCONF_PREFIX_MAX];
        if (!is_on_link(learned))
            continue;
        *prefix = learned->prefix;
        *port = at->port;
        return true;
    }
    return false;
}

static bool leads_to(const struct path *path, uint16_t port, const struct address *gateway)
{
    for (unsigned i = 0; i < path->gateway_count; i++)
        if (path->port == port && address_equal(&path->gateways[i], gateway))
            return true;
    return false;
}

bool autoconf_next_router(const struct autoconf *autoconf, unsigned *cursor,
                          struct autoconf_router *router)
{
    while (*cursor < ARRAY_COUNT(autoconf->ports) * AUTOCONF_ROUTER_MAX) {
        const struct autoconf_port *port = &autoconf->ports[*cursor / AUTOCONF_ROUTER_MAX];
        unsigned index = (*cursor)++ % AUTOCONF_ROUTER_MAX;
        const struct learned_router *learned = &port->routers[index];
        if (index >= port->router_count)
            continue;
        *router = (struct autoconf_router){
            .address = learned->address,
            .port = port->port,
            .preference = learned->preference,
            .in_use = autoconf->has_default &&
                      leads_to(&autoconf->default_path, port->port, &learned->address),
            .until_ns = learned->until_ns,
        };
        return true;
    }
    return false;
}

bool autoconf_address_lifetimes(const struct autoconf *autoconf, uint16_t port,
                                const struct address *address, struct autoconf_lifetimes *lifetimes)
{
    for (unsigned i = 0; i < AUTOCONF_PREFIX_MAX; i++) {
        const struct learned_prefix *prefix = &autoconf->ports[port].prefixes[i];
        if (!has_address(prefix) || !address_equal(&prefix->address, address))
            continue;
        *lifetimes = prefix->lifetimes;
        return true;
    }
    return false;
}

/* ---- Create, destroy --------------------------------------------------------------------------
 */

struct autoconf *autoconf_create(struct core *core, struct ipv6_addresses *addresses,
                                 const struct autoconf_uses *uses)
{
    struct autoconf *autoconf = memory_alloc(sizeof(*autoconf), 0, MEMORY_NEIGHBOR);

    if (!autoconf)
        return NULL;
    autoconf->core = core;
    autoconf->addresses = addresses;
    autoconf->uses = *uses;
    random_bytes(&autoconf->secret, sizeof(autoconf->secret));
    for (unsigned i = 0; i < ARRAY_COUNT(autoconf->ports); i++)
        autoconf->ports[i] = (struct autoconf_port){ .owner = autoconf,
                                                     .port = (uint16_t)i,
                                                     .solicit_ns = AUTOCONF_FOREVER,
                                                     .timer.expired = expired };
    return autoconf;
}

void autoconf_destroy(struct autoconf *autoconf)
{
    if (!autoconf)
        return;
    for (unsigned i = 0; i < ARRAY_COUNT(autoconf->ports); i++)
        timer_cancel(&autoconf->core->timers, &autoconf->ports[i].timer);
    memory_free(autoconf);
}
