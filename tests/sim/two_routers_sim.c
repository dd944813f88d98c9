/* Two routers and two hosts on lossy, slow, reordering wires, all from one seed:
 *
 *   host 1 --wire-- eth0 [west] eth1 --wire-- eth0 [east] eth1 --wire-- host 2
 *   10.1.0.2        10.1.0.1   10.9.0.1      10.9.0.2   10.2.0.1        10.2.0.2
 *   2001:db8:1::2        1::1  9::1               9::2  2::1        2001:db8:2::2
 *
 * The hosts are a few lines each: of one family or the other, they answer echo requests and whoever
 * asks for their MAC address, and count. Whatever the wires
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
#include "net/wire/icmp6.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "net/wire/nd.h"
#include "tests/host/host.h"
#include "tests/host/wire_nic.h"
#include "tests/unit/lab.h"

enum {
    STEP_NS = 100 * NS_PER_US,
    ECHO_BYTES = 600,
    SETTLE_MS = 1500, /* until addresses of IPv6 may be used */
    /* In the addresses, by the picture. */
    WEST_NET = 1,
    EAST_NET = 2,
    MIDDLE_NET = 9,
};

/* Addresses by family: of the nets in the picture from left to right, with a host's number. */
static struct address address_in(enum family family, unsigned net, unsigned host)
{
    char text[32];

    snprintf(text, sizeof(text), family == FAMILY_IPV6 ? "2001:db8:%u::%u" : "10.%u.0.%u", net,
             host);
    return address_of(text);
}

/* ---- Hosts ------------------------------------------------------------------------------------
 */

/* A host's card is opened without a router: its pool is its own. */
struct host {
    struct wire_nic *card;
    struct packet_pools *pools;
    uint8_t mac[6];
    struct address address;
    struct address gateway;
    uint8_t gateway_mac[6];
    bool knows_gateway;
    uint64_t requests, replies, answered, errors;
};

/* Number 2 in its net, behind number 1. */
static struct host host_create(enum family family, unsigned net)
{
    struct host host = { .mac = { 2, 0, 0, 0xcc, 0, (uint8_t)net },
                         .address = address_in(family, net, 2),
                         .gateway = address_in(family, net, 1) };

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

/* ---- IPv4 ---- */

static void host_send_arp(struct host *host, uint16_t operation, const uint8_t target_mac[6],
                          uint32_t target_be)
{
    struct arp_message arp = { .operation = operation,
                               .sender_be = address_ipv4_be(&host->address),
                               .target_be = target_be };
    uint8_t bytes[ARP_BYTES];

    memcpy(arp.sender_mac, host->mac, 6);
    if (operation == ARP_REPLY)
        memcpy(arp.target_mac, target_mac, 6);
    arp_write(&arp, bytes);
    host_send(host, target_mac, ETHERTYPE_ARP, bytes, sizeof(bytes));
}

static void host_send_ipv4_echo(struct host *host, const struct address *target, uint8_t type)
{
    uint8_t bytes[IPV4_HEADER_BYTES + ECHO_BYTES] = { 0 };
    struct ipv4_header *header = (void *)bytes;
    uint8_t *icmp = bytes + IPV4_HEADER_BYTES;

    *header = (struct ipv4_header){ .version_and_length = 0x45,
                                    .total_length_be = __builtin_bswap16(sizeof(bytes)),
                                    .ttl = 64,
                                    .protocol = PROTOCOL_ICMP,
                                    .source_be = address_ipv4_be(&host->address),
                                    .destination_be = address_ipv4_be(target) };
    ipv4_seal(header);
    icmp[0] = type;
    store_be32(icmp + 4, (uint32_t)host->requests);
    uint16_t checksum_be = checksum_of(icmp, ECHO_BYTES);
    memcpy(icmp + 2, &checksum_be, sizeof(checksum_be));
    host_send(host, host->gateway_mac, ETHERTYPE_IPV4, bytes, sizeof(bytes));
}

/* ---- IPv6 ---- */

static void host_send_icmp6(struct host *host, const uint8_t target_mac[6],
                            const uint8_t *destination, const void *message, size_t length_bytes)
{
    uint8_t bytes[IPV6_HEADER_BYTES + ECHO_BYTES];
    struct ipv6_header *header = (void *)bytes;
    uint8_t type = *(const uint8_t *)message;

    *header =
        (struct ipv6_header){ .version_class_flow_be = ipv6_version_word_be(0, 0),
                              .payload_length_be = __builtin_bswap16((uint16_t)length_bytes),
                              .next_header = PROTOCOL_ICMP6,
                              .hop_limit = type >= ICMP6_ROUTER_SOLICITATION ? ND_HOP_LIMIT : 64 };
    memcpy(header->source, host->address.bytes, IPV6_ADDRESS_BYTES);
    memcpy(header->destination, destination, IPV6_ADDRESS_BYTES);
    memcpy(header + 1, message, length_bytes);
    icmp6_seal(header + 1, length_bytes, header->source, header->destination);
    host_send(host, target_mac, ETHERTYPE_IPV6, bytes, IPV6_HEADER_BYTES + length_bytes);
}

static void host_send_ipv6_echo(struct host *host, const struct address *target, uint8_t type)
{
    uint8_t icmp[ECHO_BYTES] = { type };

    store_be32(icmp + 4, (uint32_t)host->requests);
    host_send_icmp6(host, host->gateway_mac, target->bytes, icmp, sizeof(icmp));
}

static void host_solicit(struct host *host)
{
    struct nd_neighbor_solicitation solicitation = { .has_source_mac = true };
    uint8_t group[IPV6_ADDRESS_BYTES], group_mac[MAC_BYTES], message[ND_NEIGHBOR_BYTES];

    memcpy(solicitation.target, host->gateway.bytes, IPV6_ADDRESS_BYTES);
    memcpy(solicitation.source_mac, host->mac, MAC_BYTES);
    ipv6_solicited_node(host->gateway.bytes, group);
    ipv6_multicast_mac(group, group_mac);
    EXPECT(nd_neighbor_solicitation_write(&solicitation, message, sizeof(message)) > 0);
    host_send_icmp6(host, group_mac, group, message, sizeof(message));
}

static void host_advertise(struct host *host, const uint8_t target_mac[6],
                           const uint8_t *destination)
{
    struct nd_neighbor_advertisement advertisement = { .solicited = true,
                                                       .override = true,
                                                       .has_target_mac = true };
    uint8_t message[ND_NEIGHBOR_BYTES];

    memcpy(advertisement.target, host->address.bytes, IPV6_ADDRESS_BYTES);
    memcpy(advertisement.target_mac, host->mac, MAC_BYTES);
    EXPECT(nd_neighbor_advertisement_write(&advertisement, message, sizeof(message)) > 0);
    host_send_icmp6(host, target_mac, destination, message, sizeof(message));
}

/* ---- Either ---- */

static void host_send_echo(struct host *host, const struct address *target, bool reply)
{
    bool ipv6 = host->address.family == FAMILY_IPV6;

    if (!host->knows_gateway && ipv6)
        host_solicit(host);
    else if (!host->knows_gateway)
        host_send_arp(host, ARP_REQUEST, mac_broadcast, address_ipv4_be(&host->gateway));
    if (!host->knows_gateway)
        return;
    if (ipv6)
        host_send_ipv6_echo(host, target, reply ? ICMP6_ECHO_REPLY : ICMP6_ECHO_REQUEST);
    else
        host_send_ipv4_echo(host, target, reply ? ICMP4_ECHO_REPLY : ICMP4_ECHO_REQUEST);
    if (!reply)
        host->requests++;
}

static void host_learn(struct host *host, const uint8_t mac[6])
{
    memcpy(host->gateway_mac, mac, 6);
    host->knows_gateway = true;
}

static void host_input_arp(struct host *host, const uint8_t *frame, size_t length_bytes)
{
    struct arp_message arp;

    EXPECT_EQUAL(
        arp_read(frame + ETHERNET_HEADER_BYTES, length_bytes - ETHERNET_HEADER_BYTES, &arp), OK);
    if (arp.sender_be == address_ipv4_be(&host->gateway))
        host_learn(host, arp.sender_mac);
    if (arp.operation == ARP_REQUEST && arp.target_be == address_ipv4_be(&host->address))
        host_send_arp(host, ARP_REPLY, arp.sender_mac, arp.sender_be);
}

/* It came through both routers. */
static void host_answer(struct host *host, const struct address *asks, uint8_t hops_left)
{
    EXPECT_EQUAL(hops_left, 62);
    host->answered++;
    host_send_echo(host, asks, true);
}

static void host_input_ipv4(struct host *host, const uint8_t *frame, size_t length_bytes)
{
    const struct ipv4_header *header = (const void *)(frame + ETHERNET_HEADER_BYTES);
    const uint8_t *icmp = (const uint8_t *)header + ipv4_header_bytes(header);
    const struct address source = address_of_ipv4(header->source_be);
    size_t packet_bytes = length_bytes - ETHERNET_HEADER_BYTES;

    EXPECT_EQUAL(ipv4_check(header, packet_bytes, packet_bytes), IPV4_GOOD);
    EXPECT_EQUAL(header->destination_be, address_ipv4_be(&host->address));
    if (icmp[0] == ICMP4_ECHO_REPLY)
        host->replies++;
    else if (icmp[0] == ICMP4_ECHO_REQUEST)
        host_answer(host, &source, header->ttl);
    else
        host->errors++;
}

/* What tells of neighbors. */
static void host_input_nd(struct host *host, const uint8_t *frame, const struct ipv6_header *header)
{
    struct nd_neighbor_solicitation solicitation;
    struct nd_neighbor_advertisement advertisement;
    size_t length_bytes = ipv6_payload_bytes(header);

    if (nd_neighbor_solicitation_read(header, header + 1, length_bytes, &solicitation) == OK &&
        ipv6_equal(solicitation.target, host->address.bytes))
        host_advertise(host, frame + MAC_BYTES, header->source);
    if (nd_neighbor_advertisement_read(header, header + 1, length_bytes, &advertisement) == OK &&
        ipv6_equal(advertisement.target, host->gateway.bytes))
        host_learn(host, frame + MAC_BYTES);
}

static void host_input_ipv6(struct host *host, const uint8_t *frame, size_t length_bytes)
{
    const struct ipv6_header *header = (const void *)(frame + ETHERNET_HEADER_BYTES);
    const uint8_t *icmp = (const uint8_t *)(header + 1);
    const struct address source = address_of_ipv6(header->source);
    size_t packet_bytes = length_bytes - ETHERNET_HEADER_BYTES;

    EXPECT_EQUAL(ipv6_check(header, packet_bytes, packet_bytes), IPV6_GOOD);
    if (header->next_header != PROTOCOL_ICMP6)
        return; /* reports of groups come behind an extension header */
    EXPECT(icmp6_is_good(icmp, ipv6_payload_bytes(header), header->source, header->destination));
    if (icmp[0] == ICMP6_ECHO_REPLY)
        host->replies++;
    else if (icmp[0] == ICMP6_ECHO_REQUEST)
        host_answer(host, &source, header->hop_limit);
    else if (icmp6_is_error(icmp[0]))
        host->errors++;
    else
        host_input_nd(host, frame, header);
}

static void host_input(struct host *host, const uint8_t *frame, size_t length_bytes)
{
    switch (load_be16(frame + ETHERNET_TYPE_OFFSET)) {
    case ETHERTYPE_ARP:
        host_input_arp(host, frame, length_bytes);
        break;
    case ETHERTYPE_IPV4:
        host_input_ipv4(host, frame, length_bytes);
        break;
    case ETHERTYPE_IPV6:
        host_input_ipv6(host, frame, length_bytes);
        break;
    }
}

static void host_step(struct host *host)
{
    struct nic *nic = wire_nic_card(host->card);
    struct batch batch = { .count = 0 };

    nic->ops->receive(nic->queues[0], &batch);
    for (unsigned i = 0; i < batch.count; i++) {
        struct packet *packet = batch.packets[i];
        host_input(host, packet->data, packet->length_bytes);
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

static struct prefix net_of(enum family family, unsigned net, unsigned host)
{
    return (struct prefix){ address_in(family, net, host), family == FAMILY_IPV6 ? 64 : 24 };
}

static void set_address(struct config *config, const char *interface, struct prefix prefix)
{
    struct config_address wish = { .prefix = prefix };

    snprintf(wish.interface, sizeof(wish.interface), "%s", interface);
    EXPECT_EQUAL(config_set_address(config, &wish), OK);
}

/* Number 1 in its host's net; `own` in the middle one, where the other is `other`. */
static void configure(struct router *router, enum family family, unsigned near_net,
                      unsigned far_net, unsigned own)
{
    bool is_west = near_net < far_net;
    struct config *config = config_create();
    struct commit_report report;
    struct config_route route = { .prefix = net_of(family, far_net, 0),
                                  .distance = DISTANCE_STATIC,
                                  .gateway_count = 1,
                                  .gateways = { address_in(family, MIDDLE_NET, 3 - own) } };

    EXPECT(config != NULL);
    set_address(config, is_west ? "eth0" : "eth1", net_of(family, near_net, 1));
    set_address(config, is_west ? "eth1" : "eth0", net_of(family, MIDDLE_NET, own));
    EXPECT_EQUAL(config_set_route(config, &route), OK);
    EXPECT_EQUAL(control_commit(router, config, &report), OK);
}

static struct world world_create(enum family family, uint64_t seed, unsigned cores,
                                 unsigned loss_per_mille)
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
    configure(world.routers[0], family, WEST_NET, EAST_NET, 1);
    configure(world.routers[1], family, EAST_NET, WEST_NET, 2);
    world.hosts[0] = host_create(family, WEST_NET);
    world.hosts[1] = host_create(family, EAST_NET);
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
        host_send_echo(&world->hosts[0], &world->hosts[1].address, false);
        host_send_echo(&world->hosts[1], &world->hosts[0].address, false);
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

static struct outcome run(enum family family, uint64_t seed, unsigned cores,
                          unsigned loss_per_mille)
{
    struct world world = world_create(family, seed, cores, loss_per_mille);
    struct outcome outcome = { 0 };

    world_run(&world, SETTLE_MS);
    world_ping(&world, 5); /* so that neighbors are asked for, a second time where that was lost */
    world_run(&world, 4000);
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

static void expect_good_wires_lose_nothing(enum family family)
{
    struct outcome outcome = run(family, 1, 1, 0);

    EXPECT_EQUAL(outcome.lost, 0);
    EXPECT(outcome.requests > 1950);
    /* At the start more than three wait for each neighbor. */
    EXPECT(outcome.replies >= outcome.requests - 60);
}

TEST(two_routers_on_good_wires_lose_nothing_but_what_waits_too_long)
{
    expect_good_wires_lose_nothing(FAMILY_IPV4);
}

TEST(two_routers_on_good_wires_lose_no_ipv6_but_what_waits_too_long)
{
    expect_good_wires_lose_nothing(FAMILY_IPV6);
}

static void expect_books_in_order(enum family family)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct outcome outcome = run(family, seed, (unsigned)seed, 50);
        EXPECT(outcome.lost > 100);
        /* Six crossings of a wire at 5 percent: about 74 in 100 come back. */
        EXPECT(outcome.replies > outcome.requests * 60 / 100);
        EXPECT(outcome.replies < outcome.requests * 85 / 100);
    }
}

TEST(two_routers_on_lossy_wires_keep_their_books)
{
    expect_books_in_order(FAMILY_IPV4);
}

TEST(two_routers_on_lossy_wires_keep_their_books_of_ipv6)
{
    expect_books_in_order(FAMILY_IPV6);
}

TEST(two_routers_with_the_same_seed_have_the_same_history)
{
    for (enum family family = FAMILY_IPV4; family < FAMILY_COUNT; family++) {
        struct outcome first = run(family, 42, 2, 100), second = run(family, 42, 2, 100);
        EXPECT(memcmp(&first, &second, sizeof(first)) == 0);
    }
}

/* The wire between the routers is pulled for a while: what is sent meanwhile is answered by "net
 * unreachable" or "no route", and afterwards all goes on. */
static void expect_pulled_wire_survived(enum family family)
{
    struct world world = world_create(family, 7, 2, 0);

    world_run(&world, SETTLE_MS);
    world_ping(&world, 200);
    wire_nic_set_link(world.cards[1], false);
    wire_nic_set_link(world.cards[2], false);
    world_run(&world, 300);
    world_ping(&world, 100);
    world_run(&world, 100);
    EXPECT(world.hosts[0].errors > 50);
    wire_nic_set_link(world.cards[1], true);
    wire_nic_set_link(world.cards[2], true);
    world_run(&world, SETTLE_MS);
    uint64_t replies = world.hosts[0].replies;
    world_ping(&world, 100);
    world_run(&world, 6000);
    EXPECT(world.hosts[0].replies >= replies + 90);
    expect_books(&world);
    world_destroy(&world);
}

TEST(two_routers_survive_a_pulled_wire)
{
    expect_pulled_wire_survived(FAMILY_IPV4);
}

TEST(two_routers_of_ipv6_survive_a_pulled_wire)
{
    expect_pulled_wire_survived(FAMILY_IPV6);
}
