/* Two routers and two hosts on lossy, slow, reordering wires, all from one seed:
 *
 *   host 1 --wire-- eth0 [west] eth1 --wire-- eth0 [east] eth1 --wire-- host 2
 *   10.1.0.2        10.1.0.1   10.9.0.1      10.9.0.2   10.2.0.1        10.2.0.2
 *
 * The hosts are a few lines each: they answer ARP and echo requests, and count. Whatever the wires
 * lose, at the end both routers' books balance, nothing is held, every buffer is back, and the same
 * seed gives the same numbers. */
#include <stdio.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/packet.h"
#include "kernel/base/text.h"
#include "net/control.h"
#include "net/router.h"
#include "net/wire/arp.h"
#include "net/wire/checksum.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp4.h"
#include "net/wire/ipv4.h"
#include "tests/host/host.h"
#include "tests/host/wire_nic.h"
#include "tests/unit/test.h"

enum { STEP_NS = 100 * NS_PER_US, ECHO_BYTES = 600 };

/* ---- Hosts ------------------------------------------------------------------------------------
 */

/* A host's card is opened without a router: its pool is its own. */
struct host {
    struct wire_nic *card;
    struct packet_pools *pools;
    uint8_t mac[6];
    uint32_t address_be;
    uint32_t gateway_be;
    uint8_t gateway_mac[6];
    bool knows_gateway;
    uint64_t requests, replies, answered, errors;
};

static uint32_t address_of(const char *text)
{
    uint32_t address_be;

    EXPECT(text_to_ipv4(text, strlen(text), &address_be));
    return address_be;
}

static struct host host_create(uint8_t number, const char *address, const char *gateway)
{
    struct host host = { .mac = { 2, 0, 0, 0xcc, 0, number },
                         .address_be = address_of(address),
                         .gateway_be = address_of(gateway) };

    host.card = wire_nic_create(host.mac, 1);
    host.pools = packet_pools_create(1, 1);
    EXPECT(host.pools != NULL);
    struct nic *nic = wire_nic_card(host.card);
    struct nic_queue_setup setup = { .pool = packet_pool(host.pools, 0) };
    EXPECT_EQUAL(nic->ops->open(nic, 1, &setup), OK);
    return host;
}

static void host_destroy(struct host *host)
{
    struct nic *nic = wire_nic_card(host->card);

    nic->ops->close(nic, packet_pool(host->pools, 0));
    packet_pools_destroy(host->pools);
    wire_nic_destroy(host->card);
}

static void host_send(struct host *host, const uint8_t target[6], uint16_t ethertype,
                      const void *bytes, size_t length_bytes)
{
    struct nic *nic = wire_nic_card(host->card);
    struct packet *packet = packet_alloc(packet_pool(host->pools, 0));
    struct ethernet_header ethernet = { .ethertype = ethertype };

    EXPECT(packet != NULL);
    memcpy(ethernet.target, target, 6);
    memcpy(ethernet.source, host->mac, 6);
    ethernet_write(&ethernet, packet_append(packet, ETHERNET_HEADER_BYTES));
    memcpy(packet_append(packet, (uint32_t)length_bytes), bytes, length_bytes);
    if (nic->ops->transmit(nic->queues[0], &packet, 1) == 0)
        packet_free(packet_pool(host->pools, 0), packet);
}

static void host_send_arp(struct host *host, uint16_t operation, const uint8_t target_mac[6],
                          uint32_t target_be)
{
    struct arp_message arp = { .operation = operation,
                               .sender_be = host->address_be,
                               .target_be = target_be };
    uint8_t bytes[ARP_BYTES];

    memcpy(arp.sender_mac, host->mac, 6);
    if (operation == ARP_REPLY)
        memcpy(arp.target_mac, target_mac, 6);
    arp_write(&arp, bytes);
    host_send(host, target_mac, ETHERTYPE_ARP, bytes, sizeof(bytes));
}

static void host_send_echo(struct host *host, uint32_t target_be, uint8_t type)
{
    uint8_t bytes[IPV4_HEADER_BYTES + ECHO_BYTES] = { 0 };
    struct ipv4_header *header = (void *)bytes;
    uint8_t *icmp = bytes + IPV4_HEADER_BYTES;

    if (!host->knows_gateway) {
        host_send_arp(host, ARP_REQUEST, mac_broadcast, host->gateway_be);
        return;
    }
    *header = (struct ipv4_header){ .version_and_length = 0x45,
                                    .total_length_be = __builtin_bswap16(sizeof(bytes)),
                                    .ttl = 64,
                                    .protocol = PROTOCOL_ICMP,
                                    .source_be = host->address_be,
                                    .destination_be = target_be };
    ipv4_seal(header);
    icmp[0] = type;
    store_be32(icmp + 4, (uint32_t)host->requests);
    uint16_t checksum_be = checksum_of(icmp, ECHO_BYTES);
    memcpy(icmp + 2, &checksum_be, sizeof(checksum_be));
    host_send(host, host->gateway_mac, ETHERTYPE_IPV4, bytes, sizeof(bytes));
    if (type == ICMP4_ECHO_REQUEST)
        host->requests++;
}

static void host_input_arp(struct host *host, const uint8_t *frame, size_t length_bytes)
{
    struct arp_message arp;

    EXPECT_EQUAL(
        arp_read(frame + ETHERNET_HEADER_BYTES, length_bytes - ETHERNET_HEADER_BYTES, &arp), OK);
    if (arp.sender_be == host->gateway_be) {
        memcpy(host->gateway_mac, arp.sender_mac, 6);
        host->knows_gateway = true;
    }
    if (arp.operation == ARP_REQUEST && arp.target_be == host->address_be)
        host_send_arp(host, ARP_REPLY, arp.sender_mac, arp.sender_be);
}

static void host_input_ipv4(struct host *host, const uint8_t *frame, size_t length_bytes)
{
    const struct ipv4_header *header = (const void *)(frame + ETHERNET_HEADER_BYTES);
    const uint8_t *icmp = (const uint8_t *)header + ipv4_header_bytes(header);
    size_t packet_bytes = length_bytes - ETHERNET_HEADER_BYTES;

    EXPECT_EQUAL(ipv4_check(header, packet_bytes, packet_bytes), IPV4_GOOD);
    EXPECT_EQUAL(header->destination_be, host->address_be);
    if (icmp[0] == ICMP4_ECHO_REPLY) {
        host->replies++;
    } else if (icmp[0] == ICMP4_ECHO_REQUEST) {
        EXPECT_EQUAL(header->ttl, 62); /* through both */
        host->answered++;
        host_send_echo(host, header->source_be, ICMP4_ECHO_REPLY);
    } else {
        host->errors++;
    }
}

static void host_step(struct host *host)
{
    struct nic *nic = wire_nic_card(host->card);
    struct batch batch = { .count = 0 };

    nic->ops->receive(nic->queues[0], &batch);
    for (unsigned i = 0; i < batch.count; i++) {
        struct packet *packet = batch.packets[i];
        if (load_be16(packet->data + 12) == ETHERTYPE_ARP)
            host_input_arp(host, packet->data, packet->length_bytes);
        else
            host_input_ipv4(host, packet->data, packet->length_bytes);
        packet_free(packet_pool(host->pools, 0), packet);
    }
}

/* ---- The world --------------------------------------------------------------------------------
 */

struct world {
    uint64_t now_ns;
    struct wire_nic *cards[4]; /* west eth0, eth1, east eth0, eth1 */
    struct router *routers[2];
    struct host hosts[2];
    struct wire *wires[3];
};

static void set_address(struct config *config, const char *interface, const char *address)
{
    struct config_address wish = { .prefix = prefix_of_ipv4(address_of(address), 24) };

    snprintf(wish.interface, sizeof(wish.interface), "%s", interface);
    EXPECT_EQUAL(config_set_address(config, &wish), OK);
}

static void configure(struct router *router, const char *first, const char *second,
                      const char *network, const char *gateway)
{
    struct config *config = config_create();
    struct commit_report report;
    struct config_route route = { .prefix = prefix_of_ipv4(address_of(network), 24),
                                  .distance = DISTANCE_STATIC,
                                  .gateway_count = 1,
                                  .gateways = { address_of_ipv4(address_of(gateway)) } };

    EXPECT(config != NULL);
    set_address(config, "eth0", first);
    set_address(config, "eth1", second);
    EXPECT_EQUAL(config_set_route(config, &route), OK);
    EXPECT_EQUAL(control_commit(router, config, &report), OK);
}

static struct world world_create(uint64_t seed, unsigned cores, unsigned loss_per_mille)
{
    struct world world = { .now_ns = NS_PER_S };

    host_clock_real(); /* so that it may begin anew */
    host_clock_virtual(world.now_ns);
    host_random_seed(seed);
    host_cores(cores, HOST_STEPPED);
    for (uint8_t i = 0; i < 4; i++)
        world.cards[i] = wire_nic_create((uint8_t[6]){ 2, 0, 0, 0xbb, 0, i }, cores);
    for (unsigned i = 0; i < 2; i++) {
        struct nic *nics[] = { wire_nic_card(world.cards[2 * i]),
                               wire_nic_card(world.cards[2 * i + 1]) };
        struct router_setup setup = { .core_count = cores,
                                      .nics = nics,
                                      .nic_count = 2,
                                      .packets_per_core = 1024,
                                      .now_ns = world.now_ns };
        world.routers[i] = router_create(&setup);
        EXPECT(world.routers[i] != NULL);
    }
    configure(world.routers[0], "10.1.0.1", "10.9.0.1", "10.2.0.0", "10.9.0.2");
    configure(world.routers[1], "10.9.0.2", "10.2.0.1", "10.1.0.0", "10.9.0.1");
    world.hosts[0] = host_create(1, "10.1.0.2", "10.1.0.1");
    world.hosts[1] = host_create(2, "10.2.0.2", "10.2.0.1");
    struct wire_nic *ends[3][2] = { { world.hosts[0].card, world.cards[0] },
                                    { world.cards[1], world.cards[2] },
                                    { world.cards[3], world.hosts[1].card } };
    for (unsigned i = 0; i < 3; i++)
        world.wires[i] = wire_create(&(struct wire_setup){ .ends = { ends[i][0], ends[i][1] },
                                                           .loss_per_mille = loss_per_mille,
                                                           .delay_ns = 2 * NS_PER_MS,
                                                           .jitter_ns = 3 * NS_PER_MS,
                                                           .seed = seed * 3 + i });
    return world;
}

static void world_destroy(struct world *world)
{
    for (unsigned i = 0; i < 2; i++)
        router_destroy(world->routers[i]); /* checks that every buffer is back */
    for (unsigned i = 0; i < 4; i++)
        wire_nic_destroy(world->cards[i]);
    for (unsigned i = 0; i < 3; i++)
        wire_destroy(world->wires[i]);
    for (unsigned i = 0; i < 2; i++)
        host_destroy(&world->hosts[i]);
}

static void world_step(struct world *world)
{
    host_clock_virtual(world->now_ns += STEP_NS);
    for (unsigned i = 0; i < 3; i++)
        wire_step(world->wires[i], world->now_ns);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned core = 0; core < world->routers[i]->core_count; core++)
            core_step(world->routers[i]->cores[core]);
    for (unsigned i = 0; i < 2; i++)
        host_step(&world->hosts[i]);
}

static void world_run(struct world *world, uint64_t ms)
{
    for (uint64_t end_ns = world->now_ns + ms * NS_PER_MS; world->now_ns < end_ns;)
        world_step(world);
}

/* Both hosts ask each other, one request a millisecond each. */
static void world_ping(struct world *world, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        host_send_echo(&world->hosts[0], world->hosts[1].address_be, ICMP4_ECHO_REQUEST);
        host_send_echo(&world->hosts[1], world->hosts[0].address_be, ICMP4_ECHO_REQUEST);
        world_run(world, 1);
    }
}

static void expect_books(const struct world *world)
{
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned port = 0; port < world->routers[i]->port_count; port++) {
            struct port_books books;
            router_books(world->routers[i], port, &books);
            EXPECT(books.balanced);
            EXPECT_EQUAL(books.held, 0);
        }
    }
}

struct outcome {
    uint64_t requests, replies, lost, sent;
};

static struct outcome run(uint64_t seed, unsigned cores, unsigned loss_per_mille)
{
    struct world world = world_create(seed, cores, loss_per_mille);
    struct outcome outcome = { 0 };

    world_ping(&world, 1000);
    world_run(&world, 6000); /* what waits for neighbors is answered or given up */
    expect_books(&world);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQUAL(wire_under_way(world.wires[i]), 0);
        outcome.lost += wire_lost(world.wires[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        outcome.requests += world.hosts[i].requests;
        outcome.replies += world.hosts[i].replies;
        for (unsigned port = 0; port < 2; port++) {
            struct port_counters counters;
            router_port_counters(world.routers[i], port, &counters);
            outcome.sent += counters.sent;
        }
    }
    world_destroy(&world);
    return outcome;
}

TEST(two_routers_on_good_wires_lose_nothing_but_what_waits_too_long)
{
    struct outcome outcome = run(1, 1, 0);

    EXPECT_EQUAL(outcome.lost, 0);
    EXPECT(outcome.requests > 1950);
    /* At the start more than three wait for each neighbor. */
    EXPECT(outcome.replies >= outcome.requests - 60);
}

TEST(two_routers_on_lossy_wires_keep_their_books)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct outcome outcome = run(seed, (unsigned)seed, 50);
        EXPECT(outcome.lost > 100);
        /* Six crossings of a wire at 5 percent: about 74 in 100 come back. */
        EXPECT(outcome.replies > outcome.requests * 60 / 100);
        EXPECT(outcome.replies < outcome.requests * 85 / 100);
    }
}

TEST(two_routers_with_the_same_seed_have_the_same_history)
{
    struct outcome first = run(42, 2, 100), second = run(42, 2, 100);

    EXPECT(memcmp(&first, &second, sizeof(first)) == 0);
}

/* The wire between the routers is pulled for a while: what is sent meanwhile is answered by "net
 * unreachable", and afterwards all goes on. */
TEST(two_routers_survive_a_pulled_wire)
{
    struct world world = world_create(7, 2, 0);

    world_ping(&world, 200);
    wire_nic_set_link(world.cards[1], false);
    wire_nic_set_link(world.cards[2], false);
    world_run(&world, 300);
    world_ping(&world, 100);
    world_run(&world, 100);
    EXPECT(world.hosts[0].errors > 50);
    wire_nic_set_link(world.cards[1], true);
    wire_nic_set_link(world.cards[2], true);
    world_run(&world, 300);
    uint64_t replies = world.hosts[0].replies;
    world_ping(&world, 100);
    world_run(&world, 6000);
    EXPECT(world.hosts[0].replies >= replies + 90);
    expect_books(&world);
    world_destroy(&world);
}
