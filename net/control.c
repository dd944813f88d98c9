/* Changing the router, in the control coroutine.
 *
 *   check     does the wish make sense as a whole?          no effect
 *   prepare   plan ports, make RIB and view from it          may fail, no effect
 *   publish   ports, RIB, view, configuration are swapped    cannot fail
 *   retire    the old view is freed when every core has let go of it
 *
 * A link that goes up or down takes the same way from `prepare` on, with the same configuration. */
#include "net/control.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/log.h"
#include "kernel/base/pause.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/datapath.h"
#include "net/fib4.h"
#include "net/forwarding.h"
#include "net/neighbor.h"
#include "net/rib.h"
#include "net/router.h"

enum { LINK_CHECK_MS = 100 };

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

static enum error check_addresses(struct router *router, const struct config *next,
                                  struct commit_report *report)
{
    char text[PREFIX_TEXT_MAX], other_text[PREFIX_TEXT_MAX];

    for (unsigned i = 0; i < next->address_count; i++) {
        const struct config_address *address = &next->addresses[i];

        prefix_text(&address->prefix, text);
        if (!router_port(router, address->interface))
            return problem(report, "ip %s address %s: there is no such interface",
                           address->interface, text);
        if (address->prefix.address.bytes[0] == 127)
            return problem(report, "ip %s address %s: 127.0.0.0/8 is the machine itself",
                           address->interface, text);
        for (unsigned k = 0; k < i; k++) {
            const struct config_address *other = &next->addresses[k];
            bool same_port = strcmp(address->interface, other->interface) == 0;
            if (same_port ? address_equal(&address->prefix.address, &other->prefix.address)
                          : addresses_collide(address, other))
                return problem(report, "ip %s address %s: overlaps %s of %s", address->interface,
                               text, prefix_text(&other->prefix, other_text), other->interface);
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

/* 0/8 but for the default route, 127/8, 224/3: RFC 1812 4.2.2.11. */
static bool is_special_prefix(const struct prefix *prefix)
{
    uint8_t first = prefix->address.bytes[0];

    return prefix->length > 0 &&
           ((first == 0 && prefix->length >= 8) || first == 127 || first >= 224);
}

static enum error check_routes(struct router *router, const struct config *next,
                               struct commit_report *report)
{
    enum { ROUTES_PER_SLICE = 256 };
    char text[PREFIX_TEXT_MAX], gateway_text[ADDRESS_TEXT_MAX];

    for (unsigned i = 0; i < next->route_count; i++) {
        const struct config_route *route = &next->routes[i];

        if (i % ROUTES_PER_SLICE == 0)
            control_yield(router);
        if (is_special_prefix(&route->prefix))
            return problem(report, "ip route %s: no routes to special addresses",
                           prefix_text(&route->prefix, text));
        if (i > 0 && prefix_equal(&route->prefix, &next->routes[i - 1].prefix) &&
            route->distance == next->routes[i - 1].distance)
            return problem(report, "ip route %s: two kinds at the same distance %u",
                           prefix_text(&route->prefix, text), (unsigned)route->distance);
        for (unsigned k = 0; k < route->gateway_count; k++)
            if (is_own_address(next, &route->gateways[k]))
                return problem(report, "ip route %s gateway %s: that is an address of our own",
                               prefix_text(&route->prefix, text),
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

enum error control_check(struct router *router, const struct config *next,
                         struct commit_report *report)
{
    enum error error;

    *report = (struct commit_report){ .changes = config_changes(router->config, next) };
    if ((error = check_interfaces(router, next, report)) != OK ||
        (error = check_addresses(router, next, report)) != OK ||
        (error = check_routes(router, next, report)) != OK ||
        (error = check_arps(router, next, report)) != OK)
        return fail(error);
    return OK;
}

/* ---- Prepare ----------------------------------------------------------------------------------
 */

/* All that a commit will put in place. */
struct plan {
    struct port *ports;
    struct rib *rib;
    struct forwarding *view;
};

static void apply_interface(struct port *port, const struct config_interface *wish)
{
    port->admin_up = !wish || !wish->down;
    port->mtu_bytes = wish && wish->mtu_bytes ? wish->mtu_bytes : MTU_DEFAULT;
    port->mtu_bytes = MIN_OF(port->mtu_bytes, port->mtu_max_bytes);
    memcpy(port->mac, wish && wish->has_mac ? wish->mac : port->permanent_mac, sizeof(port->mac));
}

static void plan_drop(struct plan *plan)
{
    memory_free(plan->ports);
    rib_destroy(plan->rib);
    forwarding_destroy(plan->view);
}

static void take_pause(void *router)
{
    control_yield(router);
}

/* While it is being made, packets go on; neighbors come and go, but no port changes, as only this
 * coroutine looks at them. */
static enum error plan_make(struct router *router, const struct config *config, struct plan *plan)
{
    const struct pause pause = { .take = take_pause, .context = router };
    unsigned count = router->port_count;

    *plan = (struct plan){ .ports = memory_alloc(count * sizeof(*plan->ports), 0, MEMORY_CONFIG) };
    if (!plan->ports)
        return fail(ERROR_NO_MEMORY);
    memcpy(plan->ports, router->ports, count * sizeof(*plan->ports));
    for (unsigned i = 0; i < count; i++)
        apply_interface(&plan->ports[i], config_find_interface(config, plan->ports[i].name));
    plan->rib = rib_create(config, plan->ports, count, &pause);
    if (plan->rib)
        plan->view = forwarding_create(config, plan->rib, plan->ports, count, &pause);
    if (plan->view)
        return OK;
    plan_drop(plan);
    return fail(ERROR_NO_MEMORY);
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
        if (port && port->nic && port->admin_up && port->link_up && !was_own_address(old, address))
            neighbor_announce(router->neighbors, port->index,
                              address_ipv4_be(&address->prefix.address), now_ns);
    }
}

/* Swaps; the caller has seen that there is room on the retire list. `known_up` tells what the view
 * that goes away thought of the links. */
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
    rib_destroy(router->rib);
    router->rib = plan->rib;
    forwarding_find_gateways(plan->view, router->neighbors);
    atomic_store_explicit(&router->forwarding, plan->view, memory_order_release);
    core->forwarding = plan->view;
    router->links_changed = false;
    memory_free(plan->ports);
    enum error error = snapshot_retire(&router->snapshots, old, forwarding_destroy);
    CHECK(error == OK);
    for (unsigned i = 0; i < router->port_count; i++)
        if (changed[i] && router->ports[i].nic)
            neighbor_port_changed(router->neighbors, (uint16_t)i, core->now_ns);
}

static bool can_retire(const struct router *router)
{
    return router->snapshots.retired_count < RETIRED_MAX;
}

enum error control_commit(struct router *router, struct config *next, struct commit_report *report)
{
    uint64_t start_ns = clock_ns();
    enum error error = control_check(router, next, report);
    if (error != OK)
        return error;
    uint64_t checked_ns = clock_ns();
    report->check_ns = checked_ns - start_ns;

    struct plan plan;
    error = plan_make(router, next, &plan);
    if (error != OK) {
        problem(report, "%s", error_text(error));
        return error;
    }
    if (!can_retire(router)) {
        problem(report, "too many changes at once; try again");
        plan_drop(&plan);
        return fail(ERROR_BUSY);
    }
    error = set_macs(router, &plan);
    if (error != OK) {
        problem(report, "a card refuses its MAC address: %s", error_text(error));
        plan_drop(&plan);
        return error;
    }
    uint64_t prepared_ns = clock_ns();
    report->prepare_ns = prepared_ns - checked_ns;

    struct config *old = router->config;
    uint64_t now_ns = router->cores[CONTROL_CORE]->now_ns;
    publish(router, &plan);
    router->config = next;
    neighbor_reconfigure(router->neighbors, next, now_ns);
    announce_new_addresses(router, old, next, now_ns);
    config_destroy(old);
    report->swap_ns = clock_ns() - prepared_ns;
    return OK;
}

/* ---- Links ------------------------------------------------------------------------------------
 */

/* Without memory the old view stays, and it is tried again at the next check. */
static void check_links(struct router *router, uint64_t now_ns)
{
    struct plan plan;

    if (now_ns < router->link_check_ns)
        return;
    router->link_check_ns = now_ns + (uint64_t)LINK_CHECK_MS * NS_PER_MS;
    for (unsigned i = 0; i < router->port_count; i++) {
        struct port *port = &router->ports[i];
        if (!port_check(router, port, now_ns))
            continue;
        log_info(port->name, "link is %s", port->link_up ? "up" : "down");
        router->links_changed = true;
    }
    if (!router->links_changed || plan_make(router, router->config, &plan) != OK)
        return;
    if (can_retire(router))
        publish(router, &plan);
    else
        plan_drop(&plan);
}

/* ---- The coroutine ----------------------------------------------------------------------------
 */

static void control_main(void *arg)
{
    struct router *router = arg;

    for (;;) {
        uint64_t now_ns = router->cores[CONTROL_CORE]->now_ns;
        check_links(router, now_ns);
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

    router->control_busy = false;
    router->control_inside = true;
    coroutine_resume(router->control);
    router->control_inside = false;
    counter_set(&core->stats.longest_slice_ns,
                MAX_OF(core->stats.longest_slice_ns, clock_ns() - start_ns));
    if (router->snapshots.retired_count > 0)
        snapshot_reclaim(&router->snapshots);
}

static void yield_while_waiting(void *router)
{
    control_yield(router);
}

enum error control_create(struct router *router)
{
    struct plan plan;

    router->config = config_create();
    if (!router->config)
        return fail(ERROR_NO_MEMORY);
    enum error error = plan_make(router, router->config, &plan);
    if (error != OK)
        return error;
    memory_free(plan.ports);
    router->rib = plan.rib;
    atomic_store_explicit(&router->forwarding, plan.view, memory_order_release);
    for (unsigned i = 0; i < router->core_count; i++)
        router->cores[i]->forwarding = plan.view;
    router->while_waiting = yield_while_waiting;
    router->control = coroutine_create(control_main, router);
    return router->control ? OK : fail(ERROR_NO_MEMORY);
}

void control_destroy(struct router *router)
{
    if (router->control)
        coroutine_destroy(router->control);
    rib_destroy(router->rib);
    forwarding_destroy(atomic_load_explicit(&router->forwarding, memory_order_relaxed));
    config_destroy(router->config);
}

/* ---- Questions --------------------------------------------------------------------------------
 */

/* The view answers what happens; the RIB knows the route by which it does. */
bool control_route_for(struct router *router, const struct address *address, struct route *out)
{
    const struct forwarding *view = atomic_load_explicit(&router->forwarding, memory_order_acquire);
    const struct route *best = NULL;

    if (address->family != FAMILY_IPV4)
        return false;
    const struct next_hop *next_hop = forwarding_lookup(view, address_ipv4_be(address));
    if (next_hop->kind == NEXT_HOP_LOCAL || next_hop->kind == NEXT_HOP_LOOPBACK) {
        *out = (struct route){
            .prefix = { .address = *address, .length = (uint8_t)address_bits(address) },
            .protocol = PROTOCOL_CONNECTED,
            .active = true,
            .port = next_hop->kind == NEXT_HOP_LOCAL ? next_hop->port : router_loopback(router),
        };
        return true;
    }
    if (next_hop->kind == NEXT_HOP_NONE)
        return false;
    for (unsigned i = 0; i < rib_count(router->rib); i++) {
        const struct route *route = rib_at(router->rib, i);
        if (route->active && prefix_contains(&route->prefix, address) &&
            (!best || route->prefix.length > best->prefix.length))
            best = route;
    }
    if (best)
        *out = *best;
    return best != NULL;
}

void control_clear_neighbors(struct router *router, const struct address *only)
{
    neighbor_clear(router->neighbors, only);
}
