/* Building the view. The FIB answers an index into next_hops[]:
 *
 *   0 .. SHARED_COUNT-1          what needs no port: no route, loopback, martian, blackhole ...
 *   SHARED_COUNT + 3 * port ...  three for each port: an address of ours, its broadcast, its net
 *   then                         one for each distinct set of gateways
 *
 * Special addresses (RFC 1812 4.2.2.11, 5.3.7) are prefixes in the same FIB, so the datapath asks
 * one question only. */
#include "net/forwarding.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/pause.h"
#include "kernel/platform.h"
#include "net/fib4.h"
#include "net/neighbor.h"
#include "net/rib.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"

enum {
    SHARED_NONE,
    SHARED_LOOPBACK,
    SHARED_LIMITED_BROADCAST,
    SHARED_MULTICAST,
    SHARED_MARTIAN,
    SHARED_BLACKHOLE,
    SHARED_REJECT,
    SHARED_COUNT,

    OF_PORT_LOCAL = 0,
    OF_PORT_BROADCAST,
    OF_PORT_CONNECTED,
    OF_PORT_COUNT,

    ROUTES_PER_PAUSE = 512, /* at most half a microsecond each */

    SPECIAL_ROUTES = 5,
    /* An address: itself, and the first and the last of its net. */
    ROUTES_OF_ADDRESS = 3,
};
_Static_assert((int)SHARED_NONE == (int)FIB4_NO_ROUTE,
               "what the FIB answers where nothing matches");

static const uint8_t shared_kinds[SHARED_COUNT] = {
    [SHARED_NONE] = NEXT_HOP_NONE,
    [SHARED_LOOPBACK] = NEXT_HOP_LOOPBACK,
    [SHARED_LIMITED_BROADCAST] = NEXT_HOP_LIMITED_BROADCAST,
    [SHARED_MULTICAST] = NEXT_HOP_MULTICAST,
    [SHARED_MARTIAN] = NEXT_HOP_MARTIAN,
    [SHARED_BLACKHOLE] = NEXT_HOP_BLACKHOLE,
    [SHARED_REJECT] = NEXT_HOP_REJECT,
};

/* What is needed while a view is built. */
struct builder {
    struct forwarding *view;
    struct next_hop *next_hops;
    _Atomic(struct adjacency *) *adjacencies;
    unsigned next_hop_count;
    struct own_address *addresses;
    struct fib4_route *routes;
    unsigned route_count;
    /* Finds equal sets of gateways: open addressing, next hop index + 1, 0 is empty. The view keeps
     * it. */
    uint32_t *set_table;
    uint32_t set_mask;
};

static uint16_t index_of_port(unsigned port, unsigned which)
{
    return (uint16_t)(SHARED_COUNT + port * OF_PORT_COUNT + which);
}

static void add_route(struct builder *builder, uint32_t address_be, unsigned length,
                      uint16_t next_hop)
{
    builder->routes[builder->route_count++] = (struct fib4_route){ .address_be = address_be,
                                                                   .length = (uint8_t)length,
                                                                   .next_hop = next_hop };
}

static uint32_t wire(uint32_t address)
{
    uint32_t address_be;

    store_be32(&address_be, address);
    return address_be;
}

/* ---- Next hops --------------------------------------------------------------------------------
 */

static void add_fixed_next_hops(struct builder *builder, unsigned port_count)
{
    for (unsigned i = 0; i < SHARED_COUNT; i++)
        builder->next_hops[i] = (struct next_hop){ .kind = shared_kinds[i], .port = PORT_NONE };
    for (unsigned port = 0; port < port_count; port++) {
        struct next_hop *of_port = &builder->next_hops[index_of_port(port, 0)];
        of_port[OF_PORT_LOCAL] =
            (struct next_hop){ .kind = NEXT_HOP_LOCAL, .port = (uint16_t)port };
        of_port[OF_PORT_BROADCAST] =
            (struct next_hop){ .kind = NEXT_HOP_BROADCAST, .port = (uint16_t)port };
        /* Nobody is behind the loopback. */
        of_port[OF_PORT_CONNECTED] =
            (struct next_hop){ .kind =
                                   port == port_count - 1 ? NEXT_HOP_BLACKHOLE : NEXT_HOP_CONNECTED,
                               .port = (uint16_t)port };
    }
    builder->next_hop_count = SHARED_COUNT + port_count * OF_PORT_COUNT;
}

static uint32_t hash_of_set(const struct next_hop *set)
{
    uint32_t hash = set->gateway_count;

    for (unsigned i = 0; i < set->gateway_count; i++)
        hash = (hash ^ set->gateways_be[i]) * 0x9e3779b1u + (hash >> 15);
    return hash ^ hash >> 16;
}

static bool same_set(const struct next_hop *a, const struct next_hop *b)
{
    if (a->gateway_count != b->gateway_count)
        return false;
    for (unsigned i = 0; i < a->gateway_count; i++)
        if (a->gateways_be[i] != b->gateways_be[i] || a->gateway_ports[i] != b->gateway_ports[i])
            return false;
    return true;
}

/* False: it is not there, and *where is the slot for it. */
static bool find_set(const uint32_t *set_table, uint32_t mask, const struct next_hop *next_hops,
                     const struct next_hop *set, unsigned *where)
{
    uint32_t slot = hash_of_set(set) & mask;

    for (; set_table[slot] != 0; slot = (slot + 1) & mask) {
        *where = set_table[slot] - 1;
        if (same_set(&next_hops[*where], set))
            return true;
    }
    *where = slot;
    return false;
}

/* The index of the set, added where it is new. */
static enum error index_of_set(struct builder *builder, const struct next_hop *set, uint16_t *index)
{
    unsigned where;

    if (find_set(builder->set_table, builder->set_mask, builder->next_hops, set, &where)) {
        *index = (uint16_t)where;
        return OK;
    }
    if (builder->next_hop_count == NEXT_HOP_MAX)
        return fail(ERROR_FULL);
    *index = (uint16_t)builder->next_hop_count;
    builder->next_hops[builder->next_hop_count++] = *set;
    builder->set_table[where] = *index + 1u;
    return OK;
}

static enum error index_of_route(struct builder *builder, const struct rib *rib,
                                 const struct route *route, uint16_t *index)
{
    if (route->protocol == PROTOCOL_CONNECTED) {
        *index = index_of_port(route->port, OF_PORT_CONNECTED);
        return OK;
    }
    if (route->kind != ROUTE_GATEWAY) {
        *index = route->kind == ROUTE_REJECT ? SHARED_REJECT : SHARED_BLACKHOLE;
        return OK;
    }
    struct next_hop set = { .kind = NEXT_HOP_GATEWAY, .port = route->port };
    for (unsigned i = 0; i < route->gateway_count; i++) {
        uint16_t port = rib_connected_port(rib, &route->gateways[i]);
        if (port == PORT_NONE)
            continue;
        set.gateways_be[set.gateway_count] = address_ipv4_be(&route->gateways[i]);
        set.gateway_ports[set.gateway_count++] = port;
    }
    return index_of_set(builder, &set, index);
}

/* ---- Routes -----------------------------------------------------------------------------------
 */

static void add_special_routes(struct builder *builder)
{
    add_route(builder, wire(0x00000000), 8, SHARED_MARTIAN); /* "this network" */
    add_route(builder, wire(0x7f000000), 8, SHARED_LOOPBACK);
    add_route(builder, wire(0xe0000000), 4, SHARED_MULTICAST);
    add_route(builder, wire(0xf0000000), 4, SHARED_MARTIAN); /* reserved */
    add_route(builder, wire(0xffffffff), 32, SHARED_LIMITED_BROADCAST);
}

static void forbid_source(struct builder *builder, uint32_t address_be)
{
    builder->view->suspect_hashes[forwarding_source_hash(address_be)] = 1;
}

/* Whatever their other bytes. */
static void suspect_first_bytes(struct forwarding *view)
{
    for (uint32_t first = 0; first < ARRAY_COUNT(view->suspect_first_bytes); first++)
        view->suspect_first_bytes[first] = !ipv4_is_station(first);
}

static void collect_address(struct builder *builder, const struct config_address *address,
                            uint16_t port)
{
    builder->addresses[builder->view->address_count++] =
        (struct own_address){ .address_be = address_ipv4_be(&address->prefix.address),
                              .mask_be = ipv4_mask_be(address->prefix.length),
                              .port = port,
                              .secondary = address->secondary };
}

/* By port, the primary ones first. */
static void collect_addresses(struct builder *builder, const struct config *config,
                              const struct port *ports, unsigned port_count)
{
    for (uint16_t port = 0; port < port_count; port++) {
        for (unsigned i = 0; i < 2 * config->address_count && ports[port].admin_up; i++) {
            const struct config_address *address = &config->addresses[i % config->address_count];
            bool secondary = i >= config->address_count;
            if (address->secondary == secondary &&
                strcmp(address->interface, ports[port].name) == 0)
                collect_address(builder, address, port);
        }
    }
}

/* Of equal prefixes the later wins: an address of ours is stronger than a broadcast address, and
 * both are stronger than a route. */
static void add_own_addresses(struct builder *builder)
{
    const struct forwarding *view = builder->view;
    const struct own_address *own = builder->addresses;

    for (unsigned i = 0; i < view->address_count; i++) {
        /* RFC 3021: a net of two addresses has no broadcast. The all-zeros form is the old
         * broadcast, RFC 1812 4.2.3.1. */
        bool has_broadcast = load_be32(&own[i].mask_be) < 0xfffffffe;
        if (!has_broadcast || !view->ports[own[i].port].up)
            continue;
        uint16_t index = index_of_port(own[i].port, OF_PORT_BROADCAST);
        add_route(builder, own[i].address_be & own[i].mask_be, 32, index);
        add_route(builder, own[i].address_be | ~own[i].mask_be, 32, index);
        forbid_source(builder, own[i].address_be & own[i].mask_be);
        forbid_source(builder, own[i].address_be | ~own[i].mask_be);
    }
    for (unsigned i = 0; i < view->address_count; i++) {
        add_route(builder, own[i].address_be, 32, index_of_port(own[i].port, OF_PORT_LOCAL));
        forbid_source(builder, own[i].address_be);
    }
}

static enum error add_rib_routes(struct builder *builder, const struct rib *rib,
                                 const struct pause *pause)
{
    for (unsigned i = 0; i < rib_count(rib); i++) {
        const struct route *route = rib_at(rib, i);
        uint16_t index = SHARED_NONE;

        if (i % ROUTES_PER_PAUSE == 0)
            pause_take(pause);
        if (!route->active || route->prefix.address.family != FAMILY_IPV4)
            continue;
        enum error error = index_of_route(builder, rib, route, &index);
        if (error != OK)
            return error;
        add_route(builder, address_ipv4_be(&route->prefix.address), route->prefix.length, index);
    }
    return OK;
}

/* ---- The whole --------------------------------------------------------------------------------
 */

static bool builder_alloc(struct builder *builder, const struct config *config,
                          const struct rib *rib, unsigned port_count)
{
    size_t routes =
        SPECIAL_ROUTES + ROUTES_OF_ADDRESS * (size_t)config->address_count + rib_count(rib);
    size_t next_hops =
        MIN_OF(SHARED_COUNT + OF_PORT_COUNT * port_count + rib_count(rib), (unsigned)NEXT_HOP_MAX);
    uint32_t slots = 16;

    while (slots < 2 * next_hops)
        slots *= 2;
    builder->set_mask = slots - 1;
    builder->view = memory_alloc(sizeof(*builder->view), CACHE_LINE_BYTES, MEMORY_FIB);
    builder->next_hops =
        memory_alloc(next_hops * sizeof(*builder->next_hops), CACHE_LINE_BYTES, MEMORY_FIB);
    builder->addresses =
        memory_alloc((config->address_count + 1) * sizeof(*builder->addresses), 0, MEMORY_FIB);
    builder->routes = memory_alloc(routes * sizeof(*builder->routes), 0, MEMORY_FIB);
    builder->set_table = memory_alloc(slots * sizeof(*builder->set_table), 0, MEMORY_FIB);
    builder->adjacencies =
        memory_alloc(next_hops * sizeof(*builder->adjacencies), CACHE_LINE_BYTES, MEMORY_FIB);
    return builder->view && builder->next_hops && builder->addresses && builder->routes &&
           builder->set_table && builder->adjacencies;
}

/* Many routes are worth the large table where there is room for it, and for the next one beside it.
 */
static struct fib4 *create_fib4(const struct builder *builder)
{
    enum { DIRECT_FROM_ROUTES = 4096 };
    static const uint64_t DIRECT_FROM_FREE_BYTES = 256 << 20;
    struct fib4_plan plan = { .shape = FIB4_COMPACT };
    struct memory_stats memory;

    memory_stats(&memory);
    bool has_room = memory.free_bytes == 0 || memory.free_bytes >= DIRECT_FROM_FREE_BYTES;
    if (builder->route_count >= DIRECT_FROM_ROUTES && has_room)
        plan.shape = FIB4_DIRECT;
    return fib4_create(&plan, builder->routes, builder->route_count);
}

static void copy_ports(struct forwarding *view, const struct port *ports, unsigned port_count)
{
    uint16_t mtu_min = MTU_MAX;

    view->port_count = port_count;
    for (unsigned i = 0; i < port_count; i++) {
        struct forwarding_port *port = &view->ports[i];
        memcpy(port->mac, ports[i].mac, sizeof(port->mac));
        port->mtu_bytes = ports[i].mtu_bytes;
        port->admin_up = ports[i].admin_up;
        port->up = ports[i].admin_up && ports[i].link_up;
        if (ports[i].nic && port->mtu_bytes < mtu_min)
            mtu_min = port->mtu_bytes;
    }
    view->plain_length_max = ETHERNET_HEADER_BYTES + (uint32_t)mtu_min;
}

struct forwarding *forwarding_create(const struct config *config, const struct rib *rib,
                                     const struct port *ports, unsigned port_count,
                                     const struct pause *pause)
{
    struct builder builder = { 0 };
    struct forwarding *view = NULL;

    if (!builder_alloc(&builder, config, rib, port_count))
        goto done;
    builder.view->next_hops = builder.next_hops;
    builder.view->adjacencies = builder.adjacencies;
    builder.view->set_table = builder.set_table;
    builder.view->set_mask = builder.set_mask;
    builder.view->addresses = builder.addresses;
    suspect_first_bytes(builder.view);
    copy_ports(builder.view, ports, port_count);
    add_fixed_next_hops(&builder, port_count);
    collect_addresses(&builder, config, ports, port_count);
    add_special_routes(&builder);
    if (add_rib_routes(&builder, rib, pause) != OK)
        goto done;
    add_own_addresses(&builder);
    builder.view->next_hop_count = builder.next_hop_count;
    builder.view->fib4 = create_fib4(&builder);
    if (builder.view->fib4)
        view = builder.view;

done:
    memory_free(builder.routes);
    if (!view) {
        memory_free(builder.set_table);
        memory_free(builder.adjacencies);
        memory_free(builder.next_hops);
        memory_free(builder.addresses);
        memory_free(builder.view);
    }
    return view;
}

void forwarding_destroy(void *forwarding)
{
    struct forwarding *view = forwarding;

    if (!view)
        return;
    fib4_destroy((struct fib4 *)view->fib4);
    memory_free((void *)view->next_hops);
    memory_free(view->adjacencies);
    memory_free((void *)view->set_table);
    memory_free((void *)view->addresses);
    memory_free(view);
}

/* ---- Gateways ---------------------------------------------------------------------------------
 */

void forwarding_find_gateways(struct forwarding *view, const struct neighbor_table *neighbors)
{
    for (unsigned i = 0; i < view->next_hop_count; i++) {
        const struct next_hop *next_hop = &view->next_hops[i];
        if (next_hop->kind != NEXT_HOP_GATEWAY || next_hop->gateway_count != 1)
            continue;
        struct adjacency *adjacency =
            neighbor_lookup(neighbors, next_hop->gateway_ports[0], next_hop->gateways_be[0]);
        atomic_store_explicit(&view->adjacencies[i], adjacency, memory_order_release);
    }
}

void forwarding_set_gateway(const struct forwarding *view, uint16_t port, uint32_t address_be,
                            struct adjacency *adjacency)
{
    const struct next_hop set = { .kind = NEXT_HOP_GATEWAY,
                                  .gateway_count = 1,
                                  .gateways_be = { address_be },
                                  .gateway_ports = { port } };
    unsigned index;

    if (find_set(view->set_table, view->set_mask, view->next_hops, &set, &index))
        atomic_store_explicit(&view->adjacencies[index], adjacency, memory_order_release);
}

/* ---- Questions --------------------------------------------------------------------------------
 */

const struct next_hop *forwarding_lookup(const struct forwarding *view, uint32_t address_be)
{
    return &view->next_hops[fib4_lookup(view->fib4, address_be)];
}

enum next_hop_kind forwarding_kind(const struct forwarding *view, uint32_t address_be)
{
    return forwarding_lookup(view, address_be)->kind;
}

bool forwarding_is_own(const struct forwarding *view, uint32_t address_be)
{
    enum next_hop_kind kind = forwarding_kind(view, address_be);

    return kind == NEXT_HOP_LOCAL || kind == NEXT_HOP_LOOPBACK;
}

bool forwarding_is_own_on(const struct forwarding *view, uint16_t port, uint32_t address_be)
{
    const struct next_hop *next_hop = forwarding_lookup(view, address_be);

    return next_hop->kind == NEXT_HOP_LOCAL && next_hop->port == port;
}

uint32_t forwarding_source(const struct forwarding *view, uint16_t port, uint32_t toward_be)
{
    uint32_t first_be = 0;

    for (unsigned i = 0; i < view->address_count; i++) {
        const struct own_address *own = &view->addresses[i];
        if (own->port != port)
            continue;
        if (((own->address_be ^ toward_be) & own->mask_be) == 0)
            return own->address_be;
        if (first_be == 0)
            first_be = own->address_be;
    }
    return first_be;
}

bool forwarding_is_connected(const struct forwarding *view, uint16_t port, uint32_t address_be)
{
    for (unsigned i = 0; i < view->address_count; i++) {
        const struct own_address *own = &view->addresses[i];
        if (own->port == port && ((own->address_be ^ address_be) & own->mask_be) == 0)
            return true;
    }
    return false;
}
