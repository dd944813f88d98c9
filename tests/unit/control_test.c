/* Commits: what is refused and why, what a good one changes, and that one which fails, for whatever
 * reason, has changed nothing. */
#include <stdio.h>
#include <string.h>

#include "kernel/base/random.h"
#include "kernel/platform.h"
#include "net/forwarding.h"
#include "net/neighbor.h"
#include "net/rib.h"
#include "tests/unit/lab6.h"

/* All that is to be seen of a router from outside. */
struct picture {
    struct config *config;
    struct route routes[64]; /* of both families */
    unsigned route_count;
    struct port ports[LAB_PORT_MAX + 1];
    const struct forwarding *view;
    struct neighbor_info neighbors[16];
    unsigned neighbor_count;
    unsigned ipv6_address_count;
};

static unsigned list_routes(struct lab *lab, enum family family, struct route *out, unsigned room)
{
    const struct next_hop_table *table = forwarding_table_of(lab->router->forwarding, family);
    struct rib_cursor cursor = { .begun = false };

    return rib_list(lab->router->ribs[family], table->next_hops, &cursor, out, room);
}

static void take_picture(struct lab *lab, struct picture *picture)
{
    memset(picture, 0, sizeof(*picture));
    picture->config = config_copy(lab->router->config);
    EXPECT(picture->config != NULL);
    picture->route_count = list_routes(lab, FAMILY_IPV4, picture->routes, 32);
    picture->route_count +=
        list_routes(lab, FAMILY_IPV6, picture->routes + picture->route_count, 32);
    memcpy(picture->ports, lab->router->ports, lab->router->port_count * sizeof(struct port));
    picture->view = lab->router->forwarding;
    struct address first = { .family = FAMILY_NONE };
    picture->neighbor_count = neighbor_list(lab->router->neighbors, FAMILY_IPV4, &first,
                                            lab->now_ns, picture->neighbors, 16);
    picture->ipv6_address_count = ipv6_addresses_count(lab->router->ipv6_addresses);
}

/* Field by field: what lies between the fields is any compiler's own. */
static void expect_same_neighbor(const struct neighbor_info *before,
                                 const struct neighbor_info *after)
{
    EXPECT(address_equal(&before->address, &after->address));
    EXPECT(memcmp(before->mac, after->mac, sizeof(before->mac)) == 0);
    EXPECT_EQUAL(before->port, after->port);
    EXPECT_EQUAL(before->state, after->state);
    EXPECT_EQUAL(before->age_ns, after->age_ns);
}

static void expect_same_route(const struct route *before, const struct route *after)
{
    EXPECT(address_equal(&before->prefix.address, &after->prefix.address));
    EXPECT_EQUAL(before->prefix.length, after->prefix.length);
    EXPECT(memcmp(&before->path, &after->path, sizeof(before->path)) == 0);
    EXPECT_EQUAL(before->active, after->active);
    EXPECT_EQUAL(before->port, after->port);
}

static void expect_same_picture(struct picture *before, struct picture *after)
{
    EXPECT(config_equal(before->config, after->config));
    EXPECT(before->view == after->view);
    EXPECT_EQUAL(before->route_count, after->route_count);
    for (unsigned i = 0; i < before->route_count; i++)
        expect_same_route(&before->routes[i], &after->routes[i]);
    EXPECT(memcmp(before->ports, after->ports, sizeof(before->ports)) == 0);
    EXPECT_EQUAL(before->neighbor_count, after->neighbor_count);
    for (unsigned i = 0; i < before->neighbor_count; i++)
        expect_same_neighbor(&before->neighbors[i], &after->neighbors[i]);
    EXPECT_EQUAL(before->ipv6_address_count, after->ipv6_address_count);
    config_destroy(before->config);
    config_destroy(after->config);
}

/* eth2 has no IPv6 yet. */
static struct lab start_much(void)
{
    struct lab lab = lab6_create(2, 3);
    const struct prefix last = { address_of("2001:db8:2::1"), 64 };

    EXPECT_EQUAL(config_remove_address(lab.config, "eth2", &last), OK);
    lab_commit(&lab);
    return lab;
}

static void wish_much(struct lab *lab)
{
    lab_address(lab, "eth0", "10.77.0.1/24");
    lab_route(lab, "172.16.0.0/12", "10.0.1.2");
    lab_route(lab, "172.16.0.0/12", "10.77.0.9");
    lab_route_kind(lab, "192.0.2.0/24", ROUTE_BLACKHOLE);
    lab_interface(lab, "eth1", false, 1400);
    lab_arp(lab, "10.77.0.9", lab_host_mac(0, 9), "eth0");
    lab_address(lab, "eth0", "2001:db8:77::1/64");
    lab_route(lab, "2001:db8:a000::/36", "2001:db8:1::2");
    lab_route(lab, "2001:db8:a000::/36", "2001:db8:77::9");
    lab_route_kind(lab, "2001:db8:b00b::/48", ROUTE_BLACKHOLE);
    struct config_interface learns = { .name = "eth2", .ipv6_auto = true, .proxied_count = 1 };
    learns.proxied[0] = (struct prefix){ address_of("2001:db8:55::1"), 128 };
    EXPECT_EQUAL(config_set_interface(lab->config, &learns), OK);
    const struct prefix longer = { address_of("2001:db8:1::1"), 64 };
    EXPECT_EQUAL(config_remove_address(lab->config, "eth1", &longer), OK);
    lab_address(lab, "eth1", "2001:db8:1::1/48");
}

TEST(a_commit_without_memory_changes_nothing)
{
    static struct picture before, after;
    struct lab lab = start_much();
    struct commit_report report;
    bool done = false;

    wish_much(&lab);
    for (uint64_t n = 0; !done; n++) {
        struct config *next = config_copy(lab.config);
        EXPECT(next != NULL);
        EXPECT(n < 1000);
        take_picture(&lab, &before);
        host_fail_allocation(n);
        enum error error = control_commit(lab.router, next, &report);
        bool failed_one = host_allocation_count() > n;
        host_fail_allocation(UINT64_MAX);
        if (error == OK) {
            config_destroy(before.config);
            done = !failed_one;
            break;
        }
        EXPECT_EQUAL(error, ERROR_NO_MEMORY);
        EXPECT(report.problem[0] != '\0');
        config_destroy(next);
        take_picture(&lab, &after);
        expect_same_picture(&before, &after);
    }
    EXPECT(done);
    EXPECT(config_equal(lab.router->config, lab.config));
    /* Of eth0 a link-local one and two nets, of eth1 a link-local one and a net, of eth2 a
     * link-local one and what is proxied. */
    EXPECT_EQUAL(ipv6_addresses_count(lab.router->ipv6_addresses), 5 + 3 + 2);
    lab_step(&lab, 3);
    lab_destroy(&lab);
}

/* As many statements as there may be, replaced by as many others: what goes makes room for what
 * comes. */
TEST(a_commit_may_replace_all_addresses_at_once)
{
    struct lab lab = lab_create(1, 2);
    char text[PREFIX_TEXT_MAX];
    struct commit_report report;

    for (unsigned round = 0; round < 2; round++) {
        while (lab.config->address_count > 0) {
            const struct config_address last = lab.config->addresses[lab.config->address_count - 1];
            EXPECT_EQUAL(config_remove_address(lab.config, last.interface, &last.prefix), OK);
        }
        for (unsigned i = 0; i < CONFIG_ADDRESS_MAX; i++) {
            snprintf(text, sizeof(text), "2001:db8:%x:%x::1/64", round, i);
            lab_address(&lab, "eth1", text);
        }
        EXPECT_EQUAL(lab_try_commit(&lab, &report), OK);
        EXPECT_EQUAL(ipv6_addresses_count(lab.router->ipv6_addresses), 2 * CONFIG_ADDRESS_MAX + 1);
    }
    lab_wait(&lab, 100);
    lab_destroy(&lab);
}

/* In any order, three to a net, so that whoever goes first or last takes the net along. */
TEST(a_commit_of_some_addresses_leaves_the_others_as_they_are)
{
    enum { ROUNDS = 20, NETS = 16, HOSTS = 3 };
    struct lab lab = lab_create(1, 2);
    bool is_there[NETS * HOSTS] = { false };
    uint64_t state = 5;

    for (unsigned round = 0; round < ROUNDS; round++) {
        enum ipv6_address_state expected[NETS * HOSTS];
        struct config_address address = { .interface = "eth1",
                                          .prefix = { address_of("2001:db8::"), 64 } };
        for (unsigned i = 0; i < NETS * HOSTS; i++) {
            bool was_there = is_there[i];
            is_there[i] = random_below(&state, 4) == 0 ? !was_there : was_there;
            expected[i] = !is_there[i] ? IPV6_ADDRESS_NONE
                          : was_there  ? IPV6_ADDRESS_VALID
                                       : IPV6_ADDRESS_TENTATIVE;
            address.prefix.address.bytes[5] = (uint8_t)(i / HOSTS);
            address.prefix.address.bytes[15] = (uint8_t)(1 + i % HOSTS);
            if (is_there[i] != was_there)
                EXPECT_EQUAL(is_there[i]
                                 ? config_set_address(lab.config, &address)
                                 : config_remove_address(lab.config, "eth1", &address.prefix),
                             OK);
        }
        lab_commit(&lab);
        for (unsigned i = 0; i < NETS * HOSTS; i++) {
            address.prefix.address.bytes[5] = (uint8_t)(i / HOSTS);
            address.prefix.address.bytes[15] = (uint8_t)(1 + i % HOSTS);
            EXPECT_EQUAL(
                ipv6_addresses_state(lab.router->ipv6_addresses, 1, &address.prefix.address),
                expected[i]);
        }
        lab_wait(&lab, 1200);
    }
    lab_destroy(&lab);
}

static uint64_t live_allocations(void)
{
    struct memory_stats stats;

    memory_stats(&stats);
    return stats.live;
}

TEST(a_router_without_memory_is_not_created_and_leaves_nothing)
{
    struct router *router = NULL;
    uint64_t n = 0;

    host_cores(2, HOST_STEPPED);
    for (; !router; n++) {
        struct wire_nic *card = wire_nic_create(lab_port_mac(0), 2);
        struct nic *nics[] = { wire_nic_card(card) };
        struct router_setup setup = { .core_count = 2, .nics = nics, .nic_count = 1 };
        uint64_t live = live_allocations();
        host_fail_allocation(n);
        router = router_create(&setup);
        bool failed_one = host_allocation_count() > n;
        host_fail_allocation(UINT64_MAX);
        if (router) {
            router_destroy(router);
            if (failed_one)
                router = NULL; /* it did without that one */
        }
        EXPECT_EQUAL(live_allocations(), live);
        wire_nic_destroy(card);
        EXPECT(n < 500);
    }
    EXPECT(n > 10);
}

static void expect_refused(void (*wish)(struct lab *lab), const char *why)
{
    static struct picture before, after;
    struct lab lab = lab_create(1, 3);
    struct commit_report report;

    take_picture(&lab, &before);
    wish(&lab);
    EXPECT_EQUAL(lab_try_commit(&lab, &report), ERROR_BAD_VALUE);
    EXPECT_TEXT(report.problem, why);
    take_picture(&lab, &after);
    expect_same_picture(&before, &after);
    lab_destroy(&lab);
}

static void wish_unknown_interface(struct lab *lab)
{
    lab_interface(lab, "eth7", false, 1400);
}

static void wish_address_nowhere(struct lab *lab)
{
    lab_address(lab, "eth7", "10.7.0.1/24");
}

static void wish_overlap(struct lab *lab)
{
    lab_address(lab, "eth2", "10.0.1.129/25");
}

static void wish_address_twice(struct lab *lab)
{
    lab_address(lab, "lo", "10.0.1.1/32");
}

static void wish_loopback_net(struct lab *lab)
{
    lab_address(lab, "eth2", "127.1.0.1/24");
}

static void wish_gateway_is_us(struct lab *lab)
{
    lab_route(lab, "20.0.0.0/8", "10.0.1.1");
}

static void wish_special_route(struct lab *lab)
{
    lab_route(lab, "127.1.0.0/16", "10.0.1.2");
}

static void wish_two_kinds(struct lab *lab)
{
    lab_route(lab, "20.0.0.0/8", "10.0.1.2");
    lab_route_kind(lab, "20.0.0.0/8", ROUTE_REJECT);
}

static void wish_loopback_down(struct lab *lab)
{
    lab_interface(lab, "lo", true, 0);
}

static void wish_arp_of_our_own(struct lab *lab)
{
    lab_arp(lab, "10.0.1.1", lab_host_mac(1, 1), "eth1");
}

TEST(a_wish_that_makes_no_sense_is_refused_in_words)
{
    expect_refused(wish_unknown_interface, "interface eth7: there is no such interface");
    expect_refused(wish_address_nowhere, "ip eth7 address 10.7.0.1/24: there is no such interface");
    expect_refused(wish_overlap, "ip eth2 address 10.0.1.129/25: overlaps 10.0.1.1/24 of eth1");
    expect_refused(wish_address_twice, "ip lo address 10.0.1.1/32: overlaps 10.0.1.1/24 of eth1");
    expect_refused(wish_loopback_net,
                   "ip eth2 address 127.1.0.1/24: 127.0.0.0/8 is the machine itself");
    expect_refused(wish_gateway_is_us,
                   "ip route 20.0.0.0/8 gateway 10.0.1.1: that is an address of our own");
    expect_refused(wish_special_route, "ip route 127.1.0.0/16: no routes to special addresses");
    expect_refused(wish_two_kinds, "ip route 20.0.0.0/8: two kinds at the same distance 1");
    expect_refused(wish_loopback_down,
                   "interface lo: the loopback is always up and has no MAC address");
    expect_refused(wish_arp_of_our_own,
                   "arp 10.0.1.1 02:00:00:aa:01:01 eth1: that is an address of our own");
}

TEST(a_card_that_refuses_its_mac_address_refuses_the_commit)
{
    static struct picture before, after;
    struct lab lab = lab_create(1, 2);
    struct commit_report report;
    struct config_interface first = { .name = "eth0",
                                      .has_mac = true,
                                      .mac = { 2, 9, 9, 9, 9, 0 } };
    struct config_interface second = first;

    memcpy(second.name, "eth1", sizeof("eth1"));
    second.mac[5] = 1;
    EXPECT_EQUAL(config_set_interface(lab.config, &first), OK);
    EXPECT_EQUAL(config_set_interface(lab.config, &second), OK);
    wire_nic_break(lab.cards[1]);
    take_picture(&lab, &before);
    EXPECT_EQUAL(lab_try_commit(&lab, &report), ERROR_DEVICE);
    take_picture(&lab, &after);
    expect_same_picture(&before, &after);
    EXPECT(memcmp(wire_nic_card(lab.cards[0])->mac, lab_port_mac(0), 6) == 0);
    lab_destroy(&lab);
}

TEST(the_route_with_the_smaller_distance_wins_while_it_can)
{
    struct lab lab = lab_create(1, 3);
    struct config_route backup = { .prefix = prefix_of_ipv4(ipv4_of("172.16.0.0"), 12),
                                   .distance = 10,
                                   .gateway_count = 1,
                                   .gateways = { address_of_ipv4(ipv4_of("10.0.2.2")) } };
    struct address target = address_of_ipv4(ipv4_of("172.16.0.1"));
    struct route route;

    lab_route(&lab, "172.16.0.0/12", "10.0.1.2");
    EXPECT_EQUAL(config_set_route(lab.config, &backup), OK);
    lab_commit(&lab);
    EXPECT(control_route_for(lab.router, &target, &route));
    EXPECT_EQUAL(route.path.distance, 1);
    wire_nic_set_link(lab.cards[1], false);
    lab_wait(&lab, 200);
    EXPECT(control_route_for(lab.router, &target, &route));
    EXPECT_EQUAL(route.path.distance, 10);
    EXPECT_EQUAL(route.port, 2);
    lab_destroy(&lab);
}

TEST(a_commit_counts_its_changes_and_old_views_are_freed)
{
    struct lab lab = lab_create(3, 2);
    struct commit_report report;

    for (unsigned i = 0; i < 5; i++) {
        lab_interface(&lab, "eth1", false, 1400 + i);
        EXPECT_EQUAL(lab_try_commit(&lab, &report), OK);
        EXPECT_EQUAL(report.changes, 1);
    }
    EXPECT_EQUAL(lab.router->snapshots.retired_count, 5);
    lab_step(&lab, 3);
    EXPECT_EQUAL(lab.router->snapshots.retired_count, 0);
    lab_destroy(&lab);
}

/* 1,024 views may wait for a core that does not let go; the next commit says so. */
TEST(a_commit_that_could_not_be_retired_is_refused)
{
    struct lab lab = lab_create(2, 1);
    struct commit_report report;
    enum error error = OK;
    unsigned commits = 0;

    lab_step(&lab, 1);
    for (; error == OK && commits <= RETIRED_MAX; commits++)
        error = lab_try_commit(&lab, &report);
    EXPECT_EQUAL(error, ERROR_BUSY);
    EXPECT_EQUAL(commits, RETIRED_MAX + 1);
    lab_step(&lab, 3);
    EXPECT_EQUAL(lab_try_commit(&lab, &report), OK);
    lab_destroy(&lab);
}
