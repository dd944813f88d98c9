/* Routes in the order of prefix, distance, kind. A route is active when it can be used and no
 * better one for the same prefix can: a connected one while its port is up, a static one while one
 * of its gateways lies in a connected net that is up (so gateways are never looked up recursively).
 *
 * Everything is made anew from the configuration: what decides is in one place, and a commit that
 * fails has changed nothing. */
#include "net/rib.h"

#include <string.h>

#include "kernel/base/pause.h"
#include "kernel/platform.h"
#include "net/fib4.h"

enum { ROUTES_PER_PAUSE = 512 }; /* at most half a microsecond each */

struct rib {
    unsigned count;
    struct route *routes;
    struct fib4 *connected; /* active connected nets; answers port index + 1 */
};

const char *route_protocol_name(enum route_protocol protocol)
{
    return protocol == PROTOCOL_CONNECTED ? "connected" : "static";
}

static uint16_t find_port(const struct port *ports, unsigned port_count, const char *name)
{
    for (unsigned i = 0; i < port_count; i++)
        if (strcmp(ports[i].name, name) == 0)
            return (uint16_t)i;
    return PORT_NONE;
}

static bool comes_before(const struct route *a, const struct route *b)
{
    int order = prefix_compare(&a->prefix, &b->prefix);

    return order != 0 ? order < 0 : a->distance < b->distance;
}

/* The connected routes, in order, each net of a port once; how many. */
static unsigned list_connected(const struct config *config, const struct port *ports,
                               unsigned port_count, struct route *out)
{
    unsigned count = 0;

    for (unsigned i = 0; i < config->address_count; i++) {
        const struct config_address *address = &config->addresses[i];
        uint16_t port = find_port(ports, port_count, address->interface);
        if (port == PORT_NONE)
            continue;
        struct route route = { .prefix = prefix_network(&address->prefix),
                               .protocol = PROTOCOL_CONNECTED,
                               .port = port,
                               .active = ports[port].admin_up && ports[port].link_up };
        unsigned at = count;
        while (at > 0 && comes_before(&route, &out[at - 1]))
            at--;
        if (at > 0 && prefix_equal(&out[at - 1].prefix, &route.prefix))
            continue; /* a second address in the same net */
        memmove(&out[at + 1], &out[at], (count - at) * sizeof(*out));
        out[at] = route;
        count++;
    }
    return count;
}

/* Nobody is behind the loopback, so it leads to no gateway. */
static enum error index_connected(struct rib *rib, const struct route *connected, unsigned count,
                                  unsigned loopback)
{
    struct fib4_route *nets = memory_alloc((count + 1) * sizeof(*nets), 0, MEMORY_ROUTE);
    unsigned active = 0;

    if (!nets)
        return fail(ERROR_NO_MEMORY);
    for (unsigned i = 0; i < count; i++)
        if (connected[i].active && connected[i].port != loopback)
            nets[active++] = (struct fib4_route){
                .address_be = address_ipv4_be(&connected[i].prefix.address),
                .length = connected[i].prefix.length,
                .next_hop = (uint16_t)(connected[i].port + 1),
            };
    rib->connected = fib4_create(&(struct fib4_plan){ .shape = FIB4_COMPACT }, nets, active);
    memory_free(nets);
    return rib->connected ? OK : fail(ERROR_NO_MEMORY);
}

static struct route static_route(const struct rib *rib, const struct config_route *config)
{
    struct route route = { .prefix = config->prefix,
                           .protocol = PROTOCOL_STATIC,
                           .kind = config->kind,
                           .distance = config->distance,
                           .active = config->kind != ROUTE_GATEWAY,
                           .port = PORT_NONE,
                           .gateway_count = config->gateway_count };

    for (unsigned i = 0; i < config->gateway_count; i++) {
        route.gateways[i] = config->gateways[i];
        uint16_t port = rib_connected_port(rib, &config->gateways[i]);
        if (port == PORT_NONE)
            continue;
        route.active = true;
        if (route.port == PORT_NONE)
            route.port = port;
    }
    return route;
}

/* Of several for one prefix the first that can be used stays active. */
static void elect(struct rib *rib, const struct pause *pause)
{
    bool decided = false;

    for (unsigned i = 0; i < rib->count; i++) {
        struct route *route = &rib->routes[i];
        if (i % ROUTES_PER_PAUSE == 0)
            pause_take(pause);
        if (i > 0 && !prefix_equal(&route->prefix, &rib->routes[i - 1].prefix))
            decided = false;
        if (decided)
            route->active = false;
        decided = decided || route->active;
    }
}

struct rib *rib_create(const struct config *config, const struct port *ports, unsigned port_count,
                       const struct pause *pause)
{
    struct rib *rib = memory_alloc(sizeof(*rib), 0, MEMORY_ROUTE);
    size_t room = (size_t)config->address_count + config->route_count + 1;
    struct route *connected =
        memory_alloc((config->address_count + 1) * sizeof(*connected), 0, MEMORY_ROUTE);

    if (!rib || !connected)
        goto no_memory;
    rib->routes = memory_alloc(room * sizeof(*rib->routes), 0, MEMORY_ROUTE);
    if (!rib->routes)
        goto no_memory;
    unsigned connected_count = list_connected(config, ports, port_count, connected);
    if (index_connected(rib, connected, connected_count, port_count - 1) != OK)
        goto no_memory;
    /* Both lists are in order: merged, the connected one first among equals. */
    unsigned from_connected = 0;
    for (unsigned i = 0; i < config->route_count; i++) {
        if (i % ROUTES_PER_PAUSE == 0)
            pause_take(pause);
        struct route route = static_route(rib, &config->routes[i]);
        while (from_connected < connected_count && comes_before(&connected[from_connected], &route))
            rib->routes[rib->count++] = connected[from_connected++];
        rib->routes[rib->count++] = route;
    }
    while (from_connected < connected_count)
        rib->routes[rib->count++] = connected[from_connected++];
    elect(rib, pause);
    memory_free(connected);
    return rib;

no_memory:
    memory_free(connected);
    rib_destroy(rib);
    return NULL;
}

void rib_destroy(struct rib *rib)
{
    if (!rib)
        return;
    memory_free(rib->routes);
    fib4_destroy(rib->connected);
    memory_free(rib);
}

unsigned rib_list(const struct rib *rib, unsigned from, struct route *out, unsigned max)
{
    unsigned count = 0;

    while (count < max && from + count < rib->count) {
        out[count] = rib->routes[from + count];
        count++;
    }
    return count;
}

unsigned rib_count(const struct rib *rib)
{
    return rib->count;
}

const struct route *rib_at(const struct rib *rib, unsigned index)
{
    return &rib->routes[index];
}

uint16_t rib_connected_port(const struct rib *rib, const struct address *address)
{
    if (address->family != FAMILY_IPV4)
        return PORT_NONE;
    uint16_t answer = fib4_lookup(rib->connected, address_ipv4_be(address));
    return answer == FIB4_NO_ROUTE ? PORT_NONE : (uint16_t)(answer - 1);
}
