/* Building the view: what becomes of the RIB's paths, and what the datapath wants to know of ports
 * and addresses. */
#include "net/forwarding.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/platform.h"
#include "net/autoconf.h"
#include "net/fib4.h"
#include "net/fib6.h"
#include "net/icmp6.h"
#include "net/ipv6_addresses.h"
#include "net/neighbor.h"
#include "net/rib.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"

enum { NEXT_HOPS_SPARE = 64 }; /* room for paths that come later */

/* ---- Next hops --------------------------------------------------------------------------------
 */

/* A duplicate link-local address takes IPv6 away: RFC 4862 5.4.5. */
static bool is_up(const struct forwarding *view, uint16_t port, enum family family)
{
    return view->ports[port].up && !(family == FAMILY_IPV6 && view->ports[port].ipv6_disabled);
}

uint16_t forwarding_gateway_port(const struct forwarding *view, const struct rib *rib,
                                 const struct path *path, const struct address *gateway)
{
    const enum family family = (enum family)gateway->family;
    bool usable[PORT_MAX + 1];

    if (path->port != PORT_NONE) /* where a statement says so: of link-local gateways */
        return is_up(view, path->port, family) ? path->port : PORT_NONE;
    for (uint16_t i = 0; i < view->port_count; i++)
        usable[i] =
            is_up(view, i, family) && i != view->port_count - 1; /* nobody is behind the loopback */
    return rib_connected_port(rib, gateway, usable);
}

/* Only gateways that can be reached. They are never looked up recursively: each lies in a connected
 * net. */
static struct next_hop gateways_of(const struct forwarding *view, const struct rib *rib,
                                   const struct path *path)
{
    struct next_hop next_hop = { .kind = NEXT_HOP_NONE, .port = PORT_NONE };

    for (unsigned i = 0; i < path->gateway_count; i++) {
        uint16_t port = forwarding_gateway_port(view, rib, path, &path->gateways[i]);
        if (port == PORT_NONE)
            continue;
        next_hop.gateways[next_hop.gateway_count] = path->gateways[i];
        next_hop.gateway_ports[next_hop.gateway_count++] = port;
    }
    if (next_hop.gateway_count > 0) {
        next_hop.kind = NEXT_HOP_GATEWAY;
        next_hop.port = next_hop.gateway_ports[0];
    }
    return next_hop;
}

/* Its own, of IPv6: may it be used yet? */
static bool is_valid(const struct forwarding *view, const struct path *path)
{
    return path->gateway_count == 0 || forwarding_is_own_on(view, path->port, &path->gateways[0]);
}

/* What becomes of a path with the ports as they are. */
static struct next_hop resolve(const struct forwarding *view, const struct rib *rib,
                               const struct path *path)
{
    const enum family family = rib_family(rib);
    struct next_hop next_hop = { .kind = path->kind, .port = path->port };
    bool usable = true;

    switch ((enum next_hop_kind)path->kind) {
    case NEXT_HOP_LOCAL:
        usable = view->ports[path->port].admin_up && is_valid(view, path);
        break;
    case NEXT_HOP_BROADCAST:
        usable = view->ports[path->port].up;
        break;
    case NEXT_HOP_CONNECTED:
        usable = is_up(view, path->port, family);
        if (path->port == view->port_count - 1) /* the loopback, and nobody is behind it */
            next_hop.kind = NEXT_HOP_BLACKHOLE;
        break;
    case NEXT_HOP_GATEWAY:
        return gateways_of(view, rib, path);
    default:
        break;
    }
    if (!usable)
        next_hop.kind = NEXT_HOP_NONE;
    return next_hop;
}

static void find_gateway(struct next_hop_table *table, unsigned number,
                         const struct neighbor_table *neighbors)
{
    const struct next_hop *next_hop = &table->next_hops[number];

    if (next_hop->kind != NEXT_HOP_GATEWAY || next_hop->gateway_count != 1)
        return;
    struct adjacency *adjacency =
        neighbor_lookup(neighbors, next_hop->gateway_ports[0], &next_hop->gateways[0]);
    atomic_store_explicit(&table->adjacencies[number], adjacency, memory_order_release);
}

/* Number 0 stays NEXT_HOP_NONE: what a FIB answers where nothing matches. */
static bool create_table(struct forwarding *view, struct next_hop_table *table,
                         const struct rib *rib)
{
    table->room = MIN_OF(rib_path_end(rib) + NEXT_HOPS_SPARE, (unsigned)NEXT_HOP_MAX);
    table->next_hops =
        memory_alloc(table->room * sizeof(*table->next_hops), CACHE_LINE_BYTES, MEMORY_FIB);
    table->adjacencies =
        memory_alloc(table->room * sizeof(*table->adjacencies), CACHE_LINE_BYTES, MEMORY_FIB);
    if (!table->next_hops || !table->adjacencies)
        return false;
    table->next_hops[0].port = PORT_NONE;
    for (table->count = 1; table->count < rib_path_end(rib); table->count++)
        table->next_hops[table->count] = resolve(view, rib, rib_path(rib, (uint16_t)table->count));
    return true;
}

static void destroy_table(struct next_hop_table *table)
{
    memory_free(table->next_hops);
    memory_free(table->adjacencies);
}

bool forwarding_add_paths(struct forwarding *view, enum family family, const struct rib *rib,
                          const struct neighbor_table *neighbors)
{
    struct next_hop_table *table = forwarding_table(view, family);

    if (rib_path_end(rib) > table->room)
        return false;
    for (; table->count < rib_path_end(rib); table->count++) {
        table->next_hops[table->count] = resolve(view, rib, rib_path(rib, (uint16_t)table->count));
        find_gateway(table, table->count, neighbors);
    }
    return true;
}

bool next_hops_same_usable(const struct next_hop_table *a, const struct next_hop_table *b)
{
    for (unsigned i = 1; i < MIN_OF(a->count, b->count); i++)
        if ((a->next_hops[i].kind == NEXT_HOP_NONE) != (b->next_hops[i].kind == NEXT_HOP_NONE))
            return false;
    return a->count == b->count;
}

/* ---- Addresses ----------------------------------------------------------------------------------
 */

static void suspect_source(struct forwarding *view, uint32_t address_be)
{
    view->suspect_hashes[forwarding_source_hash(address_be)] = 1;
}

/* Whatever their other bytes. */
static void suspect_first_bytes(struct forwarding *view)
{
    for (uint32_t first = 0; first < ARRAY_COUNT(view->suspect_first_bytes); first++)
        view->suspect_first_bytes[first] = !ipv4_is_station(first);
}

static void collect_ipv4_address(struct forwarding *view, struct own_address *addresses,
                                 const struct config_address *address, uint16_t port)
{
    uint32_t address_be = address_ipv4_be(&address->prefix.address);
    uint32_t mask_be = ipv4_mask_be(address->prefix.length);

    addresses[view->address_count++] = (struct own_address){ .address = address->prefix.address,
                                                             .length = address->prefix.length,
                                                             .port = port,
                                                             .secondary = address->secondary };
    suspect_source(view, address_be);
    suspect_source(view, address_be & mask_be);
    suspect_source(view, address_be | ~mask_be);
}

/* By port, the primary ones first. */
static void collect_ipv4_addresses(struct forwarding *view, struct own_address *addresses,
                                   const struct config *config, const struct port *ports)
{
    for (uint16_t port = 0; port < view->port_count; port++) {
        for (unsigned i = 0; i < 2 * config->address_count && ports[port].admin_up; i++) {
            const struct config_address *address = &config->addresses[i % config->address_count];
            bool secondary = i >= config->address_count;
            if (address->secondary == secondary && address->prefix.address.family == FAMILY_IPV4 &&
                strcmp(address->interface, ports[port].name) == 0)
                collect_ipv4_address(view, addresses, address, port);
        }
    }
}

static void collect_ipv6_addresses(struct forwarding *view, struct own_address *addresses,
                                   const struct ipv6_addresses *known)
{
    for (unsigned i = 0; i < ipv6_addresses_count(known); i++) {
        const struct ipv6_address *own = ipv6_addresses_at(known, i);
        uint32_t last_be;
        if (own->state != IPV6_ADDRESS_VALID || !view->ports[own->port].admin_up)
            continue;
        addresses[view->address_count++] =
            (struct own_address){ .address = own->address,
                                  .length = own->length,
                                  .port = own->port,
                                  .deprecated = own->deprecated,
                                  .anycast = own->origin == IPV6_FROM_NET };
        memcpy(&last_be, own->address.bytes + 12, sizeof(last_be));
        suspect_source(view, last_be);
    }
}

/* Behind the others. */
static void collect_tentative_addresses(struct forwarding *view, struct own_address *addresses,
                                        const struct ipv6_addresses *known)
{
    for (unsigned i = 0; i < ipv6_addresses_count(known); i++) {
        const struct ipv6_address *own = ipv6_addresses_at(known, i);
        if (own->state != IPV6_ADDRESS_TENTATIVE)
            continue;
        addresses[view->address_count + view->tentative_count++] =
            (struct own_address){ .address = own->address, .port = own->port };
    }
}

/* Behind those. */
static void collect_nets(struct forwarding *view, struct own_address *addresses,
                         const struct autoconf *autoconf)
{
    struct own_address *nets = addresses + view->address_count + view->tentative_count;
    unsigned cursor = 0;
    struct prefix net;
    uint16_t port;

    while (view->net_count < AUTOCONF_NET_MAX && autoconf_next_net(autoconf, &cursor, &net, &port))
        nets[view->net_count++] =
            (struct own_address){ .address = net.address, .length = net.length, .port = port };
}

static void copy_proxied(struct forwarding *view, const struct config *config,
                         const struct port *ports)
{
    for (unsigned i = 0; i < view->port_count; i++) {
        const struct config_interface *wish = config_find_interface(config, ports[i].name);
        if (!wish)
            continue;
        view->ports[i].proxied_count = wish->proxied_count;
        memcpy(view->ports[i].proxied, wish->proxied, sizeof(wish->proxied));
    }
}

/* ---- The whole --------------------------------------------------------------------------------
 */

static void copy_ports(struct forwarding *view, const struct port *ports, unsigned port_count)
{
    uint16_t mtu_min = MTU_MAX, ipv6_mtu_min = MTU_MAX;

    view->port_count = port_count;
    for (unsigned i = 0; i < port_count; i++) {
        struct forwarding_port *port = &view->ports[i];
        memcpy(port->mac, ports[i].mac, sizeof(port->mac));
        const struct port_learned *learned = &ports[i].learned;
        port->mtu_bytes = port->ipv6_mtu_bytes = ports[i].mtu_bytes;
        if (learned->ipv6_mtu_bytes != 0 && learned->ipv6_mtu_bytes < port->mtu_bytes)
            port->ipv6_mtu_bytes = learned->ipv6_mtu_bytes;
        port->hop_limit = learned->hop_limit ? learned->hop_limit : (uint8_t)ICMP6_HOP_LIMIT;
        port->admin_up = ports[i].admin_up;
        port->up = ports[i].admin_up && ports[i].link_up;
        if (!ports[i].nic)
            continue;
        mtu_min = MIN_OF(mtu_min, port->mtu_bytes);
        ipv6_mtu_min = MIN_OF(ipv6_mtu_min, port->ipv6_mtu_bytes);
    }
    view->plain_length_max = ETHERNET_HEADER_BYTES + (uint32_t)mtu_min;
    view->ipv6_plain_length_max = ETHERNET_HEADER_BYTES + (uint32_t)ipv6_mtu_min;
}

struct forwarding *forwarding_create(const struct forwarding_plan *plan)
{
    unsigned ipv6_count = plan->ipv6_addresses ? ipv6_addresses_count(plan->ipv6_addresses) : 0;
    unsigned net_room = plan->autoconf ? AUTOCONF_NET_MAX : 0;
    unsigned room = plan->config->address_count + ipv6_count + net_room + 1;
    struct forwarding *view = memory_alloc(sizeof(*view), CACHE_LINE_BYTES, MEMORY_FIB);
    struct own_address *addresses = memory_alloc(room * sizeof(*addresses), 0, MEMORY_FIB);

    if (!view || !addresses) {
        memory_free(view);
        memory_free(addresses);
        return NULL;
    }
    view->addresses = addresses;
    suspect_first_bytes(view);
    copy_ports(view, plan->ports, plan->port_count);
    copy_proxied(view, plan->config, plan->ports);
    collect_ipv4_addresses(view, addresses, plan->config, plan->ports);
    if (plan->ipv6_addresses) {
        for (uint16_t i = 0; i < view->port_count; i++)
            view->ports[i].ipv6_disabled = ipv6_addresses_is_disabled(plan->ipv6_addresses, i);
        collect_ipv6_addresses(view, addresses, plan->ipv6_addresses);
        collect_tentative_addresses(view, addresses, plan->ipv6_addresses);
    }
    if (plan->autoconf)
        collect_nets(view, addresses, plan->autoconf);
    if (create_table(view, &view->ipv4, plan->ribs[FAMILY_IPV4]) &&
        create_table(view, &view->ipv6, plan->ribs[FAMILY_IPV6]))
        return view;
    forwarding_destroy(view);
    return NULL;
}

void forwarding_destroy(void *forwarding)
{
    struct forwarding *view = forwarding;

    if (!view)
        return;
    destroy_table(&view->ipv4);
    destroy_table(&view->ipv6);
    memory_free((void *)view->addresses);
    memory_free(view);
}

/* ---- Gateways ---------------------------------------------------------------------------------
 */

static void find_gateways(struct next_hop_table *table, const struct neighbor_table *neighbors)
{
    for (unsigned i = 1; i < table->count; i++)
        find_gateway(table, i, neighbors);
}

void forwarding_find_gateways(struct forwarding *view, const struct neighbor_table *neighbors)
{
    find_gateways(&view->ipv4, neighbors);
    find_gateways(&view->ipv6, neighbors);
}

void forwarding_set_gateway(const struct forwarding *view, uint16_t port,
                            const struct address *address, struct adjacency *adjacency)
{
    const struct next_hop_table *table = forwarding_table_of(view, address->family);

    for (unsigned i = 1; i < table->count; i++) {
        const struct next_hop *next_hop = &table->next_hops[i];
        if (next_hop->kind == NEXT_HOP_GATEWAY && next_hop->gateway_count == 1 &&
            next_hop->gateway_ports[0] == port && address_equal(&next_hop->gateways[0], address))
            atomic_store_explicit(&table->adjacencies[i], adjacency, memory_order_release);
    }
}

/* ---- Questions --------------------------------------------------------------------------------
 */

const struct next_hop *forwarding_lookup(const struct forwarding *view,
                                         const struct address *address)
{
    if (address->family == FAMILY_IPV6)
        return &view->ipv6.next_hops[fib6_lookup(view->fib6, address->bytes)];
    return forwarding_lookup_ipv4(view, address_ipv4_be(address));
}

enum next_hop_kind forwarding_kind(const struct forwarding *view, const struct address *address)
{
    return forwarding_lookup(view, address)->kind;
}

bool forwarding_is_own_on(const struct forwarding *view, uint16_t port,
                          const struct address *address)
{
    for (unsigned i = 0; i < view->address_count; i++)
        if (view->addresses[i].port == port && address_equal(&view->addresses[i].address, address))
            return true;
    return false;
}

bool forwarding_is_own(const struct forwarding *view, uint16_t port, const struct address *address)
{
    if (address_is_link_local(address))
        return forwarding_is_own_on(view, port, address);
    enum next_hop_kind kind = forwarding_kind(view, address);
    return kind == NEXT_HOP_LOCAL || kind == NEXT_HOP_LOOPBACK;
}

bool forwarding_link_local(const struct forwarding *view, uint16_t port, struct address *address)
{
    for (unsigned i = 0; i < view->address_count; i++) {
        *address = view->addresses[i].address;
        if (view->addresses[i].port == port && address_is_link_local(address))
            return true;
    }
    return false;
}

/* May an address of that prefix have that group? It is made of an address's last bytes. */
static bool is_group_of(const struct prefix *prefix, const uint8_t *group)
{
    enum { LAST_BYTES = 3 };
    struct address address = prefix->address;
    uint8_t *last = address.bytes + IPV6_ADDRESS_BYTES - LAST_BYTES;

    memcpy(last, group + IPV6_ADDRESS_BYTES - LAST_BYTES, LAST_BYTES);
    return ipv6_is_solicited_node(group) && prefix_contains(prefix, &address);
}

bool forwarding_is_own_group(const struct forwarding *view, uint16_t port, const uint8_t *group)
{
    uint8_t solicited[IPV6_ADDRESS_BYTES];

    if (ipv6_equal(group, ipv6_all_nodes) || ipv6_equal(group, ipv6_all_routers))
        return true;
    for (unsigned i = 0; i < view->address_count + view->tentative_count; i++) {
        const struct own_address *own = &view->addresses[i];
        if (own->port != port || own->address.family != FAMILY_IPV6)
            continue;
        ipv6_solicited_node(own->address.bytes, solicited);
        if (ipv6_equal(group, solicited))
            return true;
    }
    for (unsigned i = 0; i < view->ports[port].proxied_count; i++)
        if (is_group_of(&view->ports[port].proxied[i], group))
            return true;
    return false;
}

bool forwarding_is_proxied(const struct forwarding *view, uint16_t port,
                           const struct address *address)
{
    const struct forwarding_port *asked = &view->ports[port];
    const struct next_hop *way = forwarding_lookup(view, address);

    for (unsigned i = 0; i < asked->proxied_count; i++)
        if (prefix_contains(&asked->proxied[i], address))
            return way->kind >= NEXT_HOP_CONNECTED && way->port != port;
    return false;
}

static bool is_in_net_of(const struct own_address *own, const struct address *address)
{
    const struct prefix net = { .address = own->address, .length = own->length };

    return prefix_contains(&net, address);
}

bool forwarding_is_anycast(const struct forwarding *view, const struct address *address)
{
    for (unsigned i = 0; i < view->address_count; i++)
        if (view->addresses[i].anycast && address_equal(&view->addresses[i].address, address))
            return true;
    return false;
}

/* RFC 6724 5, rules 3 and 8, as far as they go for addresses of one port: what is not deprecated,
 * then what is in the same net. */
static bool is_better_source(const struct own_address *own, const struct own_address *best,
                             const struct address *toward)
{
    if (own->deprecated != best->deprecated)
        return best->deprecated;
    return is_in_net_of(own, toward) && !is_in_net_of(best, toward);
}

struct address forwarding_source(const struct forwarding *view, uint16_t port,
                                 const struct address *toward)
{
    const struct own_address *best = NULL;
    bool link_local = address_is_link_local(toward);

    for (unsigned i = 0; i < view->address_count; i++) {
        const struct own_address *own = &view->addresses[i];
        if (own->port != port || own->address.family != toward->family || own->anycast)
            continue;
        if (address_is_link_local(&own->address) != link_local) /* RFC 6724 5, rule 2 */
            continue;
        if (!best || is_better_source(own, best, toward))
            best = own;
    }
    return best ? best->address : (struct address){ .family = FAMILY_NONE };
}

bool forwarding_has_source(const struct forwarding *view, uint16_t port, enum family family)
{
    for (unsigned i = 0; i < view->address_count; i++)
        if (view->addresses[i].port == port && view->addresses[i].address.family == family)
            return true;
    return false;
}

bool forwarding_is_connected(const struct forwarding *view, uint16_t port,
                             const struct address *address)
{
    const struct own_address *nets = view->addresses + view->address_count + view->tentative_count;

    for (unsigned i = 0; i < view->address_count; i++)
        if (view->addresses[i].port == port && is_in_net_of(&view->addresses[i], address))
            return true;
    for (unsigned i = 0; i < view->net_count; i++)
        if (nets[i].port == port && is_in_net_of(&nets[i], address))
            return true;
    return false;
}

/* ---- Of IPv4 ------------------------------------------------------------------------------------
 */

const struct next_hop *forwarding_lookup_ipv4(const struct forwarding *view, uint32_t address_be)
{
    return &view->ipv4.next_hops[fib4_lookup(view->fib4, address_be)];
}

enum next_hop_kind forwarding_kind_ipv4(const struct forwarding *view, uint32_t address_be)
{
    return forwarding_lookup_ipv4(view, address_be)->kind;
}

bool forwarding_is_own_ipv4(const struct forwarding *view, uint32_t address_be)
{
    enum next_hop_kind kind = forwarding_kind_ipv4(view, address_be);

    return kind == NEXT_HOP_LOCAL || kind == NEXT_HOP_LOOPBACK;
}

bool forwarding_is_own_on_ipv4(const struct forwarding *view, uint16_t port, uint32_t address_be)
{
    const struct next_hop *next_hop = forwarding_lookup_ipv4(view, address_be);

    return next_hop->kind == NEXT_HOP_LOCAL && next_hop->port == port;
}

uint32_t forwarding_source_ipv4(const struct forwarding *view, uint16_t port, uint32_t toward_be)
{
    const struct address toward = address_of_ipv4(toward_be);
    struct address source = forwarding_source(view, port, &toward);

    return address_ipv4_be(&source);
}

bool forwarding_is_connected_ipv4(const struct forwarding *view, uint16_t port, uint32_t address_be)
{
    const struct address address = address_of_ipv4(address_be);

    return forwarding_is_connected(view, port, &address);
}
