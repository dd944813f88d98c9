/* Changing the router, in the control coroutine.
 *
 *   check     does the wish make sense as a whole?               no effect
 *   prepare   plan ports, make RIB, view and FIB from it          may fail, no effect
 *   publish   ports, RIB, FIB, view, configuration are swapped    cannot fail
 *   retire    what was is freed when every core has let go of it
 *
 * A link that goes up or down takes the same way from `prepare` on, with the same configuration.
 * What stays the same is not made anew: the RIB follows from addresses, routes and files, and from
 * what protocols have learned (routes.h), the FIB from the RIB and from what can be used. A commit
 * of one route does not even make a view: it is one change of RIB and FIB (routes.h). */
#include "net/control.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/log.h"
#include "kernel/base/pause.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/arp.h"
#include "net/autoconf.h"
#include "net/config_routes.h"
#include "net/datapath.h"
#include "net/fib4.h"
#include "net/fib6.h"
#include "net/filter.h"
#include "net/filter_shadow.h"
#include "net/forwarding.h"
#include "net/ipv6_addresses.h"
#include "net/mld.h"
#include "net/neighbor.h"
#include "net/ra.h"
#include "net/rib.h"
#include "net/router.h"
#include "net/routes.h"
#include "net/wire/ipv6.h"

enum {
    LINK_CHECK_MS = 100,
    ADDRESS_CHECK_MS = 5, /* for IPv6 addresses that have changed: less than IPV6_PROBE_DELAY_MS,
                           * and a bound on what strangers can cause */
    RETIRED_FEW = 16,     /* of what was replaced: nobody waits for so little */
    CATCH_UP_PAUSES = 100000, /* a second or so where a step does nothing else */
};

/* ---- Check ------------------------------------------------------------------------------------
 */

static enum error problem(struct commit_report *report, const char *format, ...) PRINTF_LIKE(2, 3);
static enum error problem(struct commit_report *report, const char *format, ...)
{
    struct text text = text_of(report->problem, sizeof(report->problem));
    va_list args;

    va_start(args, format);
    text_print_args(&text, format, args);
    va_end(args);
    return ERROR_BAD_VALUE;
}

static const char *family_keyword(unsigned family)
{
    return family == FAMILY_IPV6 ? "ipv6" : "ip";
}

static bool has_ipv6(const struct config *config, const char *interface)
{
    const struct config_interface *wish = config_find_interface(config, interface);

    for (unsigned i = 0; i < config->address_count; i++)
        if (config->addresses[i].prefix.address.family == FAMILY_IPV6 &&
            strcmp(config->addresses[i].interface, interface) == 0)
            return true;
    return wish && wish->ipv6_auto;
}

static enum error check_interfaces(struct router *router, const struct config *next,
                                   struct commit_report *report)
{
    for (unsigned i = 0; i < next->interface_count; i++) {
        const struct config_interface *interface = &next->interfaces[i];
        const struct port *port = router_port(router, interface->name);

        if (!port)
            return problem(report, "interface %s: there is no such interface", interface->name);
        if (!port->nic && (interface->down || interface->has_mac))
            return problem(report, "interface %s: the loopback is always up and has no MAC address",
                           interface->name);
        if (!port->nic && interface->ipv6_auto)
            return problem(report, "ipv6 %s address auto: nobody is there to learn from",
                           interface->name);
        if (interface->ipv6_auto && interface->mtu_bytes != 0 &&
            interface->mtu_bytes < IPV6_MINIMUM_MTU)
            return problem(report, "ipv6 %s address auto: IPv6 needs an MTU of %u", interface->name,
                           (unsigned)IPV6_MINIMUM_MTU);
        if (interface->proxied_count > 0 && !has_ipv6(next, interface->name))
            return problem(report, "ipv6 %s proxy: the interface has no IPv6 address",
                           interface->name);
        if (interface->advertising.on && !has_ipv6(next, interface->name))
            return problem(report, "ipv6 %s ra on: the interface has no IPv6 address",
                           interface->name);
        if (interface->mtu_bytes > port->mtu_max_bytes)
            return problem(report, "interface %s mtu %u: the card can send %u at most",
                           interface->name, (unsigned)interface->mtu_bytes,
                           (unsigned)port->mtu_max_bytes);
    }
    return OK;
}

/* One host address inside another port's net is all right on the loopback. */
static bool addresses_collide(const struct config_address *a, const struct config_address *b)
{
    if (address_equal(&a->prefix.address, &b->prefix.address))
        return true;
    bool a_is_single = a->prefix.length == address_bits(&a->prefix.address);
    bool b_is_single = b->prefix.length == address_bits(&b->prefix.address);
    if (a_is_single || b_is_single)
        return false;
    return prefix_contains(&a->prefix, &b->prefix.address) ||
           prefix_contains(&b->prefix, &a->prefix.address);
}

/* RFC 8200 5. */
static bool mtu_suffices(const struct config *next, const struct config_address *address)
{
    const struct config_interface *interface = config_find_interface(next, address->interface);

    return address->prefix.address.family != FAMILY_IPV6 || !interface ||
           interface->mtu_bytes == 0 || interface->mtu_bytes >= IPV6_MINIMUM_MTU;
}

static enum error check_addresses(struct router *router, const struct config *next,
                                  struct commit_report *report)
{
    char text[PREFIX_TEXT_MAX], other_text[PREFIX_TEXT_MAX];

    for (unsigned i = 0; i < next->address_count; i++) {
        const struct config_address *address = &next->addresses[i];

        prefix_text(&address->prefix, text);
        const char *keyword = family_keyword(address->prefix.address.family);
        if (!router_port(router, address->interface))
            return problem(report, "%s %s address %s: there is no such interface", keyword,
                           address->interface, text);
        if (address->prefix.address.bytes[0] == 127 &&
            address->prefix.address.family == FAMILY_IPV4)
            return problem(report, "ip %s address %s: 127.0.0.0/8 is the machine itself",
                           address->interface, text);
        if (address_is_link_local(&address->prefix.address))
            return problem(report, "ipv6 %s address %s: a link-local address comes by itself",
                           address->interface, text);
        if (!mtu_suffices(next, address))
            return problem(report, "ipv6 %s address %s: IPv6 needs an MTU of %u",
                           address->interface, text, (unsigned)IPV6_MINIMUM_MTU);
        for (unsigned k = 0; k < i; k++) {
            const struct config_address *other = &next->addresses[k];
            bool same_port = strcmp(address->interface, other->interface) == 0;
            if (same_port ? address_equal(&address->prefix.address, &other->prefix.address)
                          : addresses_collide(address, other))
                return problem(report, "%s %s address %s: overlaps %s of %s", keyword,
                               address->interface, text, prefix_text(&other->prefix, other_text),
                               other->interface);
        }
        control_yield(router);
    }
    return OK;
}

static bool is_own_address(const struct config *config, const struct address *address)
{
    for (unsigned i = 0; i < config->address_count; i++)
        if (address_equal(&config->addresses[i].prefix.address, address))
            return true;
    return false;
}

static enum error check_routes(struct router *router, const struct config *next,
                               struct commit_report *report)
{
    enum { ROUTES_PER_SLICE = 256 };
    char text[PREFIX_TEXT_MAX], gateway_text[ADDRESS_TEXT_MAX];
    unsigned alike = 0;

    for (unsigned i = 0; i < next->route_count; i++) {
        const struct config_route *route = &next->routes[i];

        const char *keyword = family_keyword(route->prefix.address.family);

        if (i % ROUTES_PER_SLICE == 0)
            control_yield(router);
        if (route->interface[0] != '\0' && !router_port(router, route->interface))
            return problem(report, "%s route %s interface %s: there is no such interface", keyword,
                           prefix_text(&route->prefix, text), route->interface);
        if (is_special_prefix(&route->prefix))
            return problem(report, "%s route %s: no routes to special addresses", keyword,
                           prefix_text(&route->prefix, text));
        if (i > 0 && prefix_equal(&route->prefix, &next->routes[i - 1].prefix) &&
            route->distance == next->routes[i - 1].distance)
            return problem(report, "%s route %s: two kinds at the same distance %u", keyword,
                           prefix_text(&route->prefix, text), (unsigned)route->distance);
        alike = i > 0 && prefix_equal(&route->prefix, &next->routes[i - 1].prefix) ? alike + 1 : 1;
        if (alike > CONFIG_ROUTES_PER_PREFIX_MAX)
            return problem(report, "%s route %s: at most %u routes for one prefix", keyword,
                           prefix_text(&route->prefix, text),
                           (unsigned)CONFIG_ROUTES_PER_PREFIX_MAX);
        for (unsigned k = 0; k < route->gateway_count; k++)
            if (is_own_address(next, &route->gateways[k]))
                return problem(report, "%s route %s gateway %s: that is an address of our own",
                               keyword, prefix_text(&route->prefix, text),
                               address_text(&route->gateways[k], gateway_text));
    }
    return OK;
}

static enum error check_arps(struct router *router, const struct config *next,
                             struct commit_report *report)
{
    for (unsigned i = 0; i < next->arp_count; i++) {
        const struct config_arp *arp = &next->arps[i];
        const struct port *port = router_port(router, arp->interface);
        struct address address = address_of_ipv4(arp->address_be);

        if (!port || !port->nic)
            return problem(report, "arp %pI4 %pM %s: there is no such Ethernet interface",
                           (const void *)&arp->address_be, (const void *)arp->mac, arp->interface);
        if (is_own_address(next, &address))
            return problem(report, "arp %pI4 %pM %s: that is an address of our own",
                           (const void *)&arp->address_be, (const void *)arp->mac, arp->interface);
    }
    return OK;
}

static enum error check_filter_interface(struct router *router, const struct config_filter *filter,
                                         const char *word, const char *name,
                                         struct commit_report *report)
{
    if (name[0] == '\0' || router_port(router, name))
        return OK;
    return problem(report, "%s filter %u %s %s: there is no such interface",
                   family_keyword(filter->family), (unsigned)filter->number, word, name);
}

static enum error check_filter_set(const struct config *next, const struct config_filter *filter,
                                   const struct config_filter_end *end, const char *word,
                                   struct commit_report *report)
{
    if (end->set[0] == '\0' ||
        config_find_filter_set(next, (enum family)filter->family, end->set) != NULL)
        return OK;
    return problem(report, "%s filter %u %s set %s: there is no such set",
                   family_keyword(filter->family), (unsigned)filter->number, word, end->set);
}

static enum error check_filters(struct router *router, const struct config *next,
                                struct commit_report *report)
{
    enum { FILTERS_PER_SLICE = 256 };
    enum error error = OK;

    for (unsigned i = 0; i < next->filter_count && error == OK; i++) {
        const struct config_filter *filter = &next->filters[i];
        if ((error = check_filter_interface(router, filter, "in", filter->in, report)) == OK &&
            (error = check_filter_interface(router, filter, "out", filter->out, report)) == OK &&
            (error = check_filter_set(next, filter, &filter->source, "src", report)) == OK)
            error = check_filter_set(next, filter, &filter->destination, "dst", report);
        if (i % FILTERS_PER_SLICE == 0)
            control_yield(router);
    }
    return error;
}

enum error control_check(struct router *router, const struct config *next,
                         struct commit_report *report)
{
    enum error error;

    *report = (struct commit_report){ .changes = config_changes(router->config, next) };
    if ((error = check_interfaces(router, next, report)) != OK ||
        (error = check_addresses(router, next, report)) != OK ||
        (error = check_routes(router, next, report)) != OK ||
        (error = check_arps(router, next, report)) != OK ||
        (error = check_filters(router, next, report)) != OK)
        return fail(error);
    return OK;
}

/* ---- Prepare ----------------------------------------------------------------------------------
 */

/* Routes and filters that nobody uses any more, on their way to be freed. */
struct old_tables {
    struct old_tables *next; /* once every core has let go of them */
    struct router *router;
    /* NULL: they stay in force. */
    struct rib *ribs[FAMILY_COUNT];
    struct fib4 *fib4;
    struct fib6 *fib6;
    struct filter *filters[FAMILY_COUNT];
};

/* All that a commit will put in place. */
struct plan {
    struct port *ports;
    /* NULL: those of before. */
    struct rib *ribs[FAMILY_COUNT];
    struct fib4 *fib4;
    struct fib6 *fib6;
    struct route_files files[FAMILY_COUNT]; /* of the RIBs that are new */
    struct filter *filters[FAMILY_COUNT];   /* in force from now on; NULL: none */
    bool filters_are_new[FAMILY_COUNT];     /* else they are those of before */
    struct forwarding *view;
    struct old_tables *old; /* takes what is replaced; NULL: all tables stay */
};

static void apply_interface(struct port *port, const struct config_interface *wish)
{
    port->admin_up = !wish || !wish->down;
    port->mtu_bytes = wish && wish->mtu_bytes ? wish->mtu_bytes : MTU_DEFAULT;
    port->mtu_bytes = MIN_OF(port->mtu_bytes, port->mtu_max_bytes);
    memcpy(port->mac, wish && wish->has_mac ? wish->mac : port->permanent_mac, sizeof(port->mac));
}

static void take_pause(void *router)
{
    control_yield(router);
}

static struct pause pause_of(struct router *router)
{
    return (struct pause){ .take = take_pause, .context = router };
}

static void plan_drop(struct router *router, struct plan *plan)
{
    const struct pause pause = pause_of(router);

    memory_free(plan->ports);
    memory_free(plan->old);
    forwarding_destroy(plan->view);
    fib4_destroy(plan->fib4, &pause);
    fib6_destroy(plan->fib6);
    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++) {
        rib_destroy(plan->ribs[family], &pause);
        if (plan->filters_are_new[family])
            filter_destroy(plan->filters[family], &pause);
    }
}

static enum error plan_ports(struct router *router, const struct config *config, struct plan *plan)
{
    unsigned count = router->port_count;

    plan->ports = memory_alloc(count * sizeof(*plan->ports), 0, MEMORY_CONFIG);
    if (!plan->ports)
        return fail(ERROR_NO_MEMORY);
    memcpy(plan->ports, router->ports, count * sizeof(*plan->ports));
    for (unsigned i = 0; i < count; i++)
        apply_interface(&plan->ports[i], config_find_interface(config, plan->ports[i].name));
    return OK;
}

/* What is to be made anew though its statements are the same. */
struct renewal {
    enum family family;
    const char *route_file; /* of that family; NULL: none */
    bool filters;           /* of both */
};

static enum error plan_rib(struct router *router, enum family family, const struct config *config,
                           const struct renewal *again, struct plan *plan, struct text *problem)
{
    const struct pause pause = pause_of(router);
    struct config_routes_plan routes = {
        .family = family,
        .config = config,
        .ports = plan->ports,
        .port_count = router->port_count,
        .rib = router->ribs[family],
        .files = router->route_files[family],
        .read_again = again && again->family == family ? again->route_file : NULL,
        .pause = &pause,
    };

    if (router->ribs[family] && !routes.read_again && !router->routes_anew &&
        config_same_routes(router->config, config, family))
        return OK;
    return config_routes_create(&routes, &plan->ribs[family], &plan->files[family], problem);
}

static enum error plan_ribs(struct router *router, const struct config *config,
                            const struct renewal *again, struct plan *plan, struct text *problem)
{
    enum error error = OK;

    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT && error == OK; family++)
        error = plan_rib(router, (enum family)family, config, again, plan, problem);
    return error;
}

static enum error plan_fibs(struct router *router, const struct rib *const *ribs, struct plan *plan)
{
    const struct forwarding *now = atomic_load_explicit(&router->forwarding, memory_order_relaxed);
    struct forwarding *view = plan->view;
    const struct pause pause = pause_of(router);

    view->fib4 = router->fib4;
    view->fib6 = router->fib6;
    if (plan->ribs[FAMILY_IPV4] || !next_hops_same_usable(&now->ipv4, &view->ipv4)) {
        view->fib4 = plan->fib4 = routes_create_fib4(ribs[FAMILY_IPV4], view, &pause);
        if (!plan->fib4)
            return fail(ERROR_NO_MEMORY);
    }
    if (plan->ribs[FAMILY_IPV6] || !next_hops_same_usable(&now->ipv6, &view->ipv6)) {
        view->fib6 = plan->fib6 = routes_create_fib6(ribs[FAMILY_IPV6], view, &pause);
        if (!plan->fib6)
            return fail(ERROR_NO_MEMORY);
    }
    return OK;
}

static enum error plan_view(struct router *router, const struct config *config, struct plan *plan,
                            struct text *problem)
{
    const struct rib *ribs[FAMILY_COUNT] = { NULL };
    unsigned route_count = 0;

    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++) {
        ribs[family] = plan->ribs[family] ? plan->ribs[family] : router->ribs[family];
        route_count += rib_count(ribs[family]);
    }
    plan->view = forwarding_create(&(struct forwarding_plan){
        .config = config,
        .ribs = ribs,
        .ports = plan->ports,
        .port_count = router->port_count,
        .ipv6_addresses = router->ipv6_addresses,
        .autoconf = router->autoconf,
    });
    enum error error = plan->view ? plan_fibs(router, ribs, plan) : fail(ERROR_NO_MEMORY);
    if (error == ERROR_NO_MEMORY)
        text_print(problem, "out of memory for the tables of %u routes", route_count);
    return error;
}

static enum error plan_filters(struct router *router, const struct config *config,
                               const struct renewal *again, struct plan *plan, struct text *problem)
{
    const struct pause pause = pause_of(router);
    bool renew = again && again->filters;
    enum error error = OK;

    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT && error == OK; family++) {
        plan->filters[family] = router->filters[family];
        if (!renew && config_same_filters(router->config, config, (enum family)family))
            continue;
        plan->filters_are_new[family] = true;
        error = filter_create(
            &(struct filter_plan){ .config = config,
                                   .family = (enum family)family,
                                   .ports = plan->ports,
                                   .port_count = router->port_count,
                                   .core_count = router->core_count,
                                   .old = router->filters[family],
                                   .read_again = renew,
                                   .generation = router->filter_generations[family] + 1,
                                   .pause = &pause },
            &plan->filters[family], problem);
    }
    if (error == ERROR_NO_MEMORY)
        text_print(problem, "out of memory for %u %s and code", config->filter_count,
                   config->filter_count == 1 ? "filter" : "filters");
    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT && error == OK; family++)
        plan->view->filters[family] = plan->filters[family];
    return error;
}

/* For what is replaced. */
static enum error plan_old(struct plan *plan)
{
    bool replaces = plan->fib4 || plan->fib6 || plan->filters_are_new[FAMILY_IPV4] ||
                    plan->filters_are_new[FAMILY_IPV6];

    if (!replaces)
        return OK;
    plan->old = memory_alloc(sizeof(*plan->old), 0, MEMORY_ROUTE);
    return plan->old ? OK : fail(ERROR_NO_MEMORY);
}

/* While it is being made, packets go on; neighbors come and go, but no port changes, as only this
 * coroutine looks at them. */
static enum error plan_make(struct router *router, const struct config *config,
                            const struct renewal *again, struct plan *plan, struct text *problem)
{
    *plan = (struct plan){ .ports = NULL };
    enum error error = plan_ports(router, config, plan);
    if (error == OK)
        error = plan_ribs(router, config, again, plan, problem);
    if (error == OK)
        error = plan_view(router, config, plan, problem);
    if (error == OK)
        error = plan_filters(router, config, again, plan, problem);
    if (error == OK)
        error = plan_old(plan);
    if (error != OK)
        plan_drop(router, plan);
    return error;
}

/* The only step that devices can refuse: those that have it already get their old one back. */
static enum error set_macs(struct router *router, const struct plan *plan)
{
    for (unsigned i = 0; i < router->port_count; i++) {
        struct port *port = &router->ports[i];
        if (memcmp(port->mac, plan->ports[i].mac, sizeof(port->mac)) == 0)
            continue;
        enum error error = port_set_mac(port, plan->ports[i].mac);
        if (error == OK)
            continue;
        while (i-- > 0)
            if (memcmp(router->ports[i].mac, plan->ports[i].mac, sizeof(port->mac)) != 0 &&
                port_set_mac(&router->ports[i], router->ports[i].mac) != OK)
                log_error(router->ports[i].name, "does not take its old MAC address back");
        return error;
    }
    return OK;
}

/* ---- Publish and retire -----------------------------------------------------------------------
 */

static bool port_differs(const struct port *a, const struct port *b)
{
    return a->admin_up != b->admin_up || a->link_up != b->link_up ||
           memcmp(a->mac, b->mac, sizeof(a->mac)) != 0;
}

static bool was_own_address(const struct config *config, const struct config_address *address)
{
    for (unsigned i = 0; i < config->address_count; i++)
        if (strcmp(config->addresses[i].interface, address->interface) == 0 &&
            address_equal(&config->addresses[i].prefix.address, &address->prefix.address))
            return true;
    return false;
}

/* Says on the link which addresses are new on it. */
static void announce_new_addresses(struct router *router, const struct config *old,
                                   const struct config *next, uint64_t now_ns)
{
    for (unsigned i = 0; i < next->address_count; i++) {
        const struct config_address *address = &next->addresses[i];
        const struct port *port = router_port(router, address->interface);
        if (address->prefix.address.family == FAMILY_IPV4 && port && port->nic && port->admin_up &&
            port->link_up && !was_own_address(old, address))
            arp_announce(router->arp, port->index, address_ipv4_be(&address->prefix.address),
                         now_ns);
    }
}

/* Nobody looks at them any more; the coroutine takes them apart, piece by piece. */
static void let_go(void *object)
{
    struct old_tables *old = object;

    old->next = old->router->old_tables;
    old->router->old_tables = old;
}

void control_free_old_tables(struct router *router)
{
    const struct pause pause = pause_of(router);
    struct old_tables *old = router->old_tables;

    while ((old = router->old_tables) != NULL) {
        router->old_tables = old->next;
        fib4_destroy(old->fib4, &pause);
        fib6_destroy(old->fib6);
        for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++)
            rib_destroy(old->ribs[family], &pause);
        for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++)
            filter_destroy(old->filters[family], &pause);
        memory_free(old);
    }
}

static void retire(struct router *router, void *object, void (*destroy)(void *object))
{
    enum error error = snapshot_retire(&router->snapshots, object, destroy);

    CHECK(error == OK); /* can_retire() */
}

/* What the plan has takes the place of what the router has; that goes into *old. */
static void swap_routes(struct router *router, struct plan *plan, struct old_tables *old)
{
    const struct pause pause = pause_of(router);

    if (plan->fib4) {
        old->fib4 = router->fib4;
        router->fib4 = plan->fib4;
        fib4_share(router->fib4, &router->snapshots, &pause);
    }
    if (plan->fib6) {
        old->fib6 = router->fib6;
        router->fib6 = plan->fib6;
        fib6_share(router->fib6, &router->snapshots, &pause);
    }
    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++) {
        if (!plan->ribs[family])
            continue;
        old->ribs[family] = router->ribs[family];
        router->ribs[family] = plan->ribs[family];
        *router->route_files[family] = plan->files[family];
    }
}

static void swap_filters(struct router *router, const struct plan *plan, struct old_tables *old)
{
    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++) {
        if (!plan->filters_are_new[family])
            continue;
        old->filters[family] = router->filters[family];
        router->filters[family] = plan->filters[family];
        router->filter_generations[family]++;
    }
}

static bool can_retire(const struct router *router, const struct plan *plan)
{
    return router->snapshots.retired_count + (plan->old ? 2u : 1u) <= RETIRED_MAX;
}

/* Swaps; the caller has seen that there is room on the retire list. What view the cores had tells
 * what they thought of the links. */
static void publish(struct router *router, struct plan *plan)
{
    struct core *core = router->cores[CONTROL_CORE];
    struct forwarding *old = atomic_load_explicit(&router->forwarding, memory_order_relaxed);
    bool changed[PORT_MAX + 1];

    for (unsigned i = 0; i < router->port_count; i++) {
        struct port *port = &router->ports[i];
        const struct port *planned = &plan->ports[i];
        bool up = planned->admin_up && planned->link_up;
        changed[i] = port_differs(port, planned) || old->ports[i].up != up;
        port->admin_up = planned->admin_up;
        port->mtu_bytes = planned->mtu_bytes;
        memcpy(port->mac, planned->mac, sizeof(port->mac));
    }
    if (plan->old) {
        plan->old->router = router;
        swap_routes(router, plan, plan->old);
        swap_filters(router, plan, plan->old);
    }
    forwarding_find_gateways(plan->view, router->neighbors);
    atomic_store_explicit(&router->forwarding, plan->view, memory_order_release);
    core->forwarding = plan->view;
    router->links_changed = router->routes_anew = false;
    memory_free(plan->ports);
    retire(router, old, forwarding_destroy);
    if (plan->old)
        retire(router, plan->old, let_go);
    for (unsigned i = 0; i < router->port_count; i++)
        if (changed[i] && router->ports[i].nic) {
            neighbor_port_changed(router->neighbors, (uint16_t)i, core->now_ns);
            arp_port_changed(router->arp, (uint16_t)i, core->now_ns);
            ipv6_addresses_port_changed(router->ipv6_addresses, (uint16_t)i, core->now_ns);
            autoconf_port_changed(router->autoconf, (uint16_t)i, core->now_ns);
        }
}

/* Of ports that are about to be taken out of service, or to lose IPv6, while there is still an
 * address to say so from. */
static void take_leave(struct router *router, const struct config *next, const struct plan *plan)
{
    for (unsigned i = 0; i < router->port_count; i++) {
        const struct port *port = &router->ports[i];
        if (port->admin_up && port->link_up &&
            (!plan->ports[i].admin_up || !has_ipv6(next, port->name)))
            mld_leave_all(router->mld, (uint16_t)i);
    }
}

/* A commit that is no more than one route changed. False: it takes all the steps. */
static bool commit_one_route(struct router *router, const struct config *next,
                             const struct commit_report *report, enum error *error)
{
    const struct config_route *was, *is;

    if (report->changes != 1 || !config_first_route_change(router->config, next, &was, &is))
        return false;
    struct path path = config_route_path(is ? is : was, router->ports, router->port_count);
    if (is)
        *error = routes_set(router, &is->prefix, &path);
    else
        *error = routes_remove(router, &was->prefix, &path);
    return *error != ERROR_FULL && *error != ERROR_BUSY;
}

static void take_config(struct router *router, struct config *next)
{
    config_destroy(router->config);
    router->config = next;
}

static void note_shadowed(const struct router *router, const struct plan *plan,
                          struct commit_report *report)
{
    struct text note = text_of(report->note, sizeof(report->note));

    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++)
        if (plan->filters_are_new[family])
            filter_tell_shadowed(plan->filters[family], router->filters[family], &note);
}

/* What was replaced takes memory, and room for code, until the last core has let go of it: whoever
 * commits faster than a core steps, which may have been put aside for a while, waits for it here.
 * Where a pause lets nobody step it is no use (control_yield()). */
static void let_cores_catch_up(struct router *router)
{
    const struct pause pause = pause_of(router);

    if (!router->control_inside)
        return;
    for (unsigned i = 0; i < CATCH_UP_PAUSES && router->snapshots.retired_count > RETIRED_FEW; i++)
        pause_take(&pause);
}

/* From `prepare` on; next may be the configuration that is in force. */
static enum error apply(struct router *router, const struct config *next,
                        const struct renewal *again, struct commit_report *report)
{
    struct text problem_text = text_of(report->problem, sizeof(report->problem));
    uint64_t start_ns = clock_ns();
    struct plan plan;

    let_cores_catch_up(router);
    enum error error = plan_make(router, next, again, &plan, &problem_text);
    if (error != OK) {
        if (problem_text.length == 0)
            problem(report, "%s", error_text(error));
        return error;
    }
    if (!can_retire(router, &plan)) {
        problem(report, "too many changes at once; try again");
        plan_drop(router, &plan);
        return fail(ERROR_BUSY);
    }
    note_shadowed(router, &plan, report);
    error = set_macs(router, &plan);
    if (error != OK) {
        problem(report, "a card refuses its MAC address: %s", error_text(error));
        plan_drop(router, &plan);
        return error;
    }
    uint64_t prepared_ns = clock_ns();
    report->prepare_ns = prepared_ns - start_ns;

    uint64_t now_ns = router->cores[CONTROL_CORE]->now_ns;
    take_leave(router, next, &plan);
    publish(router, &plan);
    neighbor_reconfigure(router->neighbors, next, now_ns);
    ipv6_addresses_reconfigure(router->ipv6_addresses, next, now_ns);
    autoconf_reconfigure(router->autoconf, next, now_ns);
    ra_reconfigure(router->ra, next, now_ns);
    announce_new_addresses(router, router->config, next, now_ns);
    report->swap_ns = clock_ns() - prepared_ns;
    return OK;
}

enum error control_commit(struct router *router, struct config *next, struct commit_report *report)
{
    uint64_t start_ns = clock_ns();
    enum error error = control_check(router, next, report);
    if (error != OK)
        return error;
    report->check_ns = clock_ns() - start_ns;
    start_ns = clock_ns();
    if (commit_one_route(router, next, report, &error)) {
        report->swap_ns = clock_ns() - start_ns;
        if (error != OK)
            problem(report, "%s", error_text(error));
    } else {
        error = apply(router, next, NULL, report);
    }
    if (error == OK)
        take_config(router, next);
    return error;
}

enum error control_read_routes(struct router *router, enum family family, const char *name,
                               struct commit_report *report)
{
    const struct renewal again = { .family = family, .route_file = name };

    *report = (struct commit_report){ .changes = 0 };
    return apply(router, router->config, &again, report);
}

enum error control_renew_filters(struct router *router, struct commit_report *report)
{
    const struct renewal again = { .filters = true };

    *report = (struct commit_report){ .changes = 0 };
    return apply(router, router->config, &again, report);
}

/* ---- Links ------------------------------------------------------------------------------------
 */

/* Without memory the old view stays, and it is tried again at the next check. */
static void check_links(struct router *router, uint64_t now_ns)
{
    char why[64];
    struct text problem_text = text_of(why, sizeof(why));
    struct plan plan;

    /* Soon: the group of an address must be heard before it is probed, and the address itself when
     * it has been announced. */
    if (ipv6_addresses_take_change(router->ipv6_addresses)) {
        router->link_check_ns = MIN_OF(router->link_check_ns, router->address_check_ns);
        router->links_changed = true;
    }
    if (now_ns < router->link_check_ns)
        return;
    router->address_check_ns = now_ns + (uint64_t)ADDRESS_CHECK_MS * NS_PER_MS;
    if (autoconf_take_change(router->autoconf))
        router->links_changed = true;
    router->link_check_ns = now_ns + (uint64_t)LINK_CHECK_MS * NS_PER_MS;
    for (unsigned i = 0; i < router->port_count; i++) {
        struct port *port = &router->ports[i];
        if (!port_check(router, port, now_ns))
            continue;
        log_info(port->name, "link is %s", port->link_up ? "up" : "down");
        router->links_changed = true;
    }
    if ((!router->links_changed && !router->routes_anew) ||
        plan_make(router, router->config, NULL, &plan, &problem_text) != OK)
        return;
    if (!can_retire(router, &plan)) {
        plan_drop(router, &plan);
        return;
    }
    publish(router, &plan);
    /* The view of a commit still has the addresses that it took away. */
    neighbor_reconfigure(router->neighbors, router->config, now_ns);
}

/* ---- The coroutine ----------------------------------------------------------------------------
 */

static void control_main(void *arg)
{
    struct router *router = arg;

    for (;;) {
        uint64_t now_ns = router->cores[CONTROL_CORE]->now_ns;
        check_links(router, now_ns);
        autoconf_follow(router->autoconf, now_ns);
        control_free_old_tables(router);
        if (router->control_work)
            router->control_work(router->control_context, now_ns);
        coroutine_yield(router->control);
    }
}

void control_yield(struct router *router)
{
    if (!router->control_inside) /* called before the loop runs, or by a test */
        return;
    router->control_busy = true;
    coroutine_yield(router->control);
}

void control_resume(struct core *core)
{
    struct router *router = core->router;
    uint64_t start_ns = clock_ns();

    /* First, so that what a change of the pass before has replaced is in the way of none. */
    if (router->snapshots.retired_count > 0)
        snapshot_reclaim(&router->snapshots);
    router->control_busy = false;
    router->control_inside = true;
    coroutine_resume(router->control);
    router->control_inside = false;
    counter_set(&core->stats.longest_slice_ns,
                MAX_OF(core->stats.longest_slice_ns, clock_ns() - start_ns));
}

static void yield_while_waiting(void *router)
{
    control_yield(router);
}

enum error control_create(struct router *router)
{
    char why[64];
    struct text problem_text = text_of(why, sizeof(why));
    struct old_tables none = { .next = NULL };
    struct plan plan;

    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++) {
        router->route_files[family] =
            memory_alloc(sizeof(*router->route_files[family]), 0, MEMORY_ROUTE);
        if (!router->route_files[family])
            return fail(ERROR_NO_MEMORY);
    }
    router->config = config_create();
    if (!router->config)
        return fail(ERROR_NO_MEMORY);
    enum error error = plan_make(router, router->config, NULL, &plan, &problem_text);
    if (error != OK)
        return error;
    swap_routes(router, &plan, &none);
    memory_free(plan.ports);
    memory_free(plan.old);
    atomic_store_explicit(&router->forwarding, plan.view, memory_order_release);
    for (unsigned i = 0; i < router->core_count; i++)
        router->cores[i]->forwarding = plan.view;
    router->while_waiting = yield_while_waiting;
    router->control = coroutine_create(control_main, router);
    return router->control ? OK : fail(ERROR_NO_MEMORY);
}

void control_finish(struct router *router)
{
    while (router->control_busy)
        control_resume(router->cores[CONTROL_CORE]);
}

void control_destroy(struct router *router)
{
    if (router->control)
        coroutine_destroy(router->control);
    forwarding_destroy(atomic_load_explicit(&router->forwarding, memory_order_relaxed));
    fib4_destroy(router->fib4, NULL);
    fib6_destroy(router->fib6);
    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++) {
        rib_destroy(router->ribs[family], NULL);
        filter_destroy(router->filters[family], NULL);
        memory_free(router->route_files[family]);
    }
    config_destroy(router->config);
}

/* ---- Questions --------------------------------------------------------------------------------
 */

/* The FIB answers what happens; the RIB knows for which prefix. */
bool control_route_for(struct router *router, const struct address *address, struct route *out)
{
    const struct forwarding *view = atomic_load_explicit(&router->forwarding, memory_order_acquire);
    const struct next_hop_table *table = forwarding_table_of(view, (enum family)address->family);
    const struct rib *rib = router->ribs[address->family];
    unsigned length = address_bits(address);

    if (!rib)
        return false;
    uint16_t number = address->family == FAMILY_IPV6
                          ? fib6_lookup(view->fib6, address->bytes)
                          : fib4_lookup(view->fib4, address_ipv4_be(address));
    if (number == 0)
        return false;
    if (rib_lookup(rib, address, table->next_hops, &length) != number)
        length = address_bits(address); /* it has just changed */
    struct prefix prefix = { .address = *address, .length = (uint8_t)length };
    *out = (struct route){ .prefix = prefix_network(&prefix),
                           .path = *rib_path(rib, number),
                           .active = true,
                           .port = table->next_hops[number].port };
    return true;
}

void control_clear_neighbors(struct router *router, enum family family, const struct address *only)
{
    neighbor_clear(router->neighbors, family, only);
}
