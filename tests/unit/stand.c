/* See stand.h. */
#include "tests/unit/stand.h"

#include <string.h>

#include "drivers/nic.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/config_routes.h"
#include "net/fib4.h"
#include "net/fib6.h"
#include "net/forwarding.h"
#include "net/rib.h"
#include "net/routes.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "tests/unit/test.h"

static void add_address(struct stand *stand, const char *interface, uint32_t address_be,
                        uint8_t length)
{
    struct config_address address = { .prefix = prefix_of_ipv4(address_be, length) };

    address.prefix.address = address_of_ipv4(address_be);
    memcpy(address.interface, interface, strlen(interface));
    EXPECT_EQUAL(config_set_address(stand->router.config, &address), OK);
}

static void drop_view(struct stand *stand)
{
    struct router *router = &stand->router;

    forwarding_destroy((void *)stand->core.forwarding);
    fib4_destroy(router->fib4, NULL);
    fib6_destroy(router->fib6);
    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++)
        rib_destroy(router->ribs[family], NULL);
}

void stand_view(struct stand *stand)
{
    struct router *router = &stand->router;
    struct route_files files;

    drop_view(stand);
    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++) {
        struct config_routes_plan plan = { .family = (enum family)family,
                                           .config = router->config,
                                           .ports = router->ports,
                                           .port_count = router->port_count };
        EXPECT_EQUAL(config_routes_create(&plan, &router->ribs[family], &files, NULL), OK);
    }
    struct forwarding *view = forwarding_create(
        &(struct forwarding_plan){ .config = router->config,
                                   .ribs = (const struct rib *const *)router->ribs,
                                   .ports = router->ports,
                                   .port_count = router->port_count,
                                   .ipv6_addresses = router->ipv6_addresses });
    EXPECT(view);
    view->fib4 = router->fib4 = routes_create_fib4(router->ribs[FAMILY_IPV4], view, NULL);
    view->fib6 = router->fib6 = routes_create_fib6(router->ribs[FAMILY_IPV6], view, NULL);
    EXPECT(view->fib4 && view->fib6);
    stand->core.forwarding = view;
}

struct stand *stand_create(void)
{
    static const char *const names[] = { "eth0", "eth1", "lo" };
    static struct nic card; /* says that there is one; nobody calls it */
    struct stand *stand = memory_alloc(sizeof(*stand), CACHE_LINE_BYTES, MEMORY_TEST);
    struct router *router = &stand->router;
    struct core *core = &stand->core;

    EXPECT(stand);
    router->core_count = 1;
    router->cores[0] = core;
    router->port_count = 3;
    router->pools = packet_pools_create(1, STAND_PACKETS);
    EXPECT(router->pools);
    snapshot_domain_init(&router->snapshots, 1);
    core->router = router;
    core->pool = packet_pool(router->pools, 0);
    core->cpu = core_current();
    core->random_state = 1;
    for (uint16_t i = 0; i < router->port_count; i++) {
        struct port *port = &router->ports[i];
        port->index = i;
        text_format(port->name, sizeof(port->name), "%s", names[i]);
        port->nic = i == STAND_LOOPBACK ? NULL : &card;
        memcpy(port->mac, (uint8_t[]){ 2, 0, 0, 0, 0, (uint8_t)(0x10 + i) }, MAC_BYTES);
        port->mtu_bytes = MTU_DEFAULT;
        port->admin_up = port->link_up = true;
    }
    router->config = config_create();
    EXPECT(router->config);
    add_address(stand, "eth0", ip(10, 1, 0, 1), 24);
    add_address(stand, "eth1", ip(10, 2, 0, 1), 16);
    stand_view(stand);
    timer_wheel_init(&core->timers, 0);
    stand_time(stand, (uint64_t)NS_PER_S);
    return stand;
}

void stand_destroy(struct stand *stand)
{
    struct router *router = &stand->router;

    snapshot_offline(&router->snapshots, 0);
    EXPECT_EQUAL(snapshot_reclaim(&router->snapshots), 0);
    EXPECT_EQUAL(stand->core.timers.count, 0);
    EXPECT_EQUAL(stand_packets_in_use(stand), 0);
    drop_view(stand);
    config_destroy(router->config);
    packet_pools_destroy(router->pools);
    memory_free(stand);
}

void stand_time(struct stand *stand, uint64_t now_ns)
{
    struct snapshot_domain *snapshots = &stand->router.snapshots;

    stand->core.now_ns = now_ns;
    snapshot_quiesce(snapshots, 0);
    snapshot_reclaim(snapshots);
    timer_wheel_advance(&stand->core.timers, now_ns);
}

void stand_advance(struct stand *stand, uint64_t ms)
{
    while (ms-- > 0)
        stand_time(stand, stand->core.now_ns + NS_PER_MS);
}

uint64_t stand_packets_in_use(const struct stand *stand)
{
    struct packet_pool_stats stats;

    packet_pool_stats(stand->core.pool, &stats);
    return stats.total - stats.free;
}

struct packet *stand_frame(struct stand *stand, uint16_t port, const void *bytes,
                           uint32_t length_bytes)
{
    struct packet *packet = packet_alloc(stand->core.pool);
    EXPECT(packet);
    uint8_t *data = packet_append(packet, length_bytes);
    EXPECT(data);
    memcpy(data, bytes, length_bytes);
    packet->port_in = port;
    packet->received_ns = stand->core.now_ns;
    stand->core.ports[port].received++;
    return packet;
}

struct packet *stand_ipv4(struct stand *stand, uint16_t port, uint32_t source_be,
                          uint32_t destination_be, uint8_t protocol, uint16_t identification,
                          uint16_t fragment, uint8_t first, uint16_t payload_bytes)
{
    uint8_t frame[PACKET_ROOM_BYTES] = { 0 };
    struct ipv4_header *header = (void *)(frame + ETHERNET_HEADER_BYTES);
    uint16_t total_bytes = (uint16_t)(IPV4_HEADER_BYTES + payload_bytes);

    EXPECT(ETHERNET_HEADER_BYTES + total_bytes <= PACKET_ROOM_BYTES);
    *header = (struct ipv4_header){
        .version_and_length = 0x45,
        .total_length_be = __builtin_bswap16(total_bytes),
        .identification_be = __builtin_bswap16(identification),
        .fragment_be = __builtin_bswap16(fragment),
        .ttl = 64,
        .protocol = protocol,
        .source_be = source_be,
        .destination_be = destination_be,
    };
    ipv4_seal(header);
    for (unsigned i = 0; i < payload_bytes; i++)
        frame[ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + i] = (uint8_t)(first + i);

    struct packet *packet =
        stand_frame(stand, port, frame, ETHERNET_HEADER_BYTES + (uint32_t)total_bytes);
    packet->network_protocol = PACKET_IPV4;
    packet->network_offset = ETHERNET_HEADER_BYTES;
    packet->network_length_bytes = total_bytes;
    packet->header_length_bytes = IPV4_HEADER_BYTES;
    return packet;
}
