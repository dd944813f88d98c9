/* Lists of statements: order, replacement, merging of gateways, bounds, equality and failure. */
#include "net/config.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/lab.h"

static struct config_route route_to(const char *network, unsigned length, const char *gateway)
{
    struct config_route route = { .prefix = prefix_of_ipv4(ipv4_of(network), length),
                                  .distance = DISTANCE_STATIC };

    route.kind = gateway ? ROUTE_GATEWAY : ROUTE_BLACKHOLE;
    if (gateway)
        route.gateways[route.gateway_count++] = address_of_ipv4(ipv4_of(gateway));
    return route;
}

static struct config_interface interface_of(const char *name)
{
    struct config_interface interface = { .mtu_bytes = 1400 };

    snprintf(interface.name, sizeof(interface.name), "%s", name);
    return interface;
}

TEST(config_keeps_interfaces_in_natural_order)
{
    static const char *const names[] = { "eth10", "eth2", "lo", "eth0", "eth1", "eth11" };
    static const char *const order[] = { "eth0", "eth1", "eth2", "eth10", "eth11", "lo" };
    struct config *config = config_create();

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        struct config_interface interface = interface_of(names[i]);
        EXPECT_EQUAL(config_set_interface(config, &interface), OK);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(order); i++)
        EXPECT_TEXT(config->interfaces[i].name, order[i]);
    struct config_interface again = interface_of("eth2");
    again.mtu_bytes = 9000;
    EXPECT_EQUAL(config_set_interface(config, &again), OK);
    EXPECT_EQUAL(config->interface_count, ARRAY_COUNT(names));
    EXPECT_EQUAL(config_find_interface(config, "eth2")->mtu_bytes, 9000);
    EXPECT_EQUAL(config_remove_interface(config, "eth2"), OK);
    EXPECT_EQUAL(config_remove_interface(config, "eth2"), ERROR_NOT_FOUND);
    EXPECT(config_find_interface(config, "eth2") == NULL);
    config_destroy(config);
}

TEST(config_order_does_not_depend_on_the_order_of_statements)
{
    enum { ROUTES = 200 };
    struct config *forth = config_create(), *back = config_create();

    for (unsigned i = 0; i < ROUTES; i++) {
        char network[32];
        snprintf(network, sizeof(network), "20.0.%u.0", i);
        struct config_route route = route_to(network, 24, "10.0.0.2");
        EXPECT_EQUAL(config_set_route(forth, &route), OK);
        snprintf(network, sizeof(network), "20.0.%u.0", ROUTES - 1 - i);
        route = route_to(network, 24, "10.0.0.2");
        EXPECT_EQUAL(config_set_route(back, &route), OK);
    }
    EXPECT(config_equal(forth, back));
    struct config *copy = config_copy(forth);
    EXPECT(config_equal(forth, copy));
    struct config_route one = route_to("20.0.7.0", 24, NULL);
    one.kind = ROUTE_GATEWAY;
    EXPECT_EQUAL(config_remove_route(copy, &one), OK);
    EXPECT_EQUAL(config_changes(forth, copy), 1);
    EXPECT(!config_equal(forth, copy));
    memcpy(copy->name, "other", sizeof("other"));
    EXPECT_EQUAL(config_changes(forth, copy), 2);
    config_destroy(copy);
    config_destroy(forth);
    config_destroy(back);
}

TEST(config_merges_gateways_of_one_route)
{
    struct config *config = config_create();
    char gateway[16];

    for (unsigned i = 0; i < ROUTE_GATEWAY_MAX; i++) {
        snprintf(gateway, sizeof(gateway), "10.0.0.%u", 100 - i);
        struct config_route route = route_to("20.0.0.0", 8, gateway);
        EXPECT_EQUAL(config_set_route(config, &route), OK);
        EXPECT_EQUAL(config_set_route(config, &route), OK); /* twice is once */
    }
    EXPECT_EQUAL(config->route_count, 1);
    EXPECT_EQUAL(config->routes[0].gateway_count, ROUTE_GATEWAY_MAX);
    for (unsigned i = 1; i < ROUTE_GATEWAY_MAX; i++)
        EXPECT(address_compare(&config->routes[0].gateways[i - 1], &config->routes[0].gateways[i]) <
               0);
    struct config_route ninth = route_to("20.0.0.0", 8, "10.0.0.200");
    EXPECT_EQUAL(config_set_route(config, &ninth), ERROR_FULL);
    EXPECT_EQUAL(config->routes[0].gateway_count, ROUTE_GATEWAY_MAX);

    EXPECT_EQUAL(config_remove_route(config, &ninth), ERROR_NOT_FOUND);
    struct config_route first = route_to("20.0.0.0", 8, "10.0.0.100");
    EXPECT_EQUAL(config_remove_route(config, &first), OK);
    EXPECT_EQUAL(config->routes[0].gateway_count, ROUTE_GATEWAY_MAX - 1);
    struct config_route all = first;
    all.gateway_count = 0;
    EXPECT_EQUAL(config_remove_route(config, &all), OK);
    EXPECT_EQUAL(config->route_count, 0);
    config_destroy(config);
}

TEST(config_refuses_values_that_are_wrong_in_themselves)
{
    struct config *config = config_create();
    struct config_route host_bits = route_to("20.0.0.1", 8, "10.0.0.2");
    struct config_route to_group = route_to("20.0.0.0", 8, "224.0.0.5");
    struct config_route no_gateway = route_to("20.0.0.0", 8, NULL);
    struct config_interface small = interface_of("eth0"), nameless = interface_of("");
    struct config_address address = { .interface = "eth0" };
    struct config_arp arp = { .interface = "eth0",
                              .address_be = ipv4_of("10.0.0.2"),
                              .mac = { 1, 2, 3, 4, 5, 6 } };
    static const struct {
        const char *address;
        unsigned length;
        enum error answer;
    } addresses[] = {
        { "10.0.0.0", 24, ERROR_BAD_VALUE },
        { "10.0.0.255", 24, ERROR_BAD_VALUE },
        { "10.0.0.0", 31, OK },
        { "10.0.0.1", 32, OK },
        { "224.0.0.1", 24, ERROR_BAD_VALUE },
        { "0.0.0.1", 24, ERROR_BAD_VALUE },
        { "10.0.0.1", 0, ERROR_BAD_VALUE },
        { "10.0.0.1", 33, ERROR_BAD_VALUE },
        { "10.0.0.1", 24, OK },
    };

    no_gateway.kind = ROUTE_GATEWAY;
    small.mtu_bytes = MTU_MIN - 1;
    EXPECT_EQUAL(config_set_route(config, &host_bits), ERROR_BAD_VALUE);
    EXPECT_EQUAL(config_set_route(config, &to_group), ERROR_BAD_VALUE);
    EXPECT_EQUAL(config_set_route(config, &no_gateway), ERROR_BAD_VALUE);
    EXPECT_EQUAL(config_set_interface(config, &small), ERROR_BAD_VALUE);
    EXPECT_EQUAL(config_set_interface(config, &nameless), ERROR_BAD_VALUE);
    EXPECT_EQUAL(config_set_arp(config, &arp), ERROR_BAD_VALUE); /* a group's MAC address */
    for (unsigned i = 0; i < ARRAY_COUNT(addresses); i++) {
        address.prefix = prefix_of_ipv4(ipv4_of(addresses[i].address), addresses[i].length);
        EXPECT_EQUAL(config_set_address(config, &address), addresses[i].answer);
    }
    EXPECT_EQUAL(config->route_count, 0);
    EXPECT_EQUAL(config->interface_count, 0);
    config_destroy(config);
}

TEST(config_lists_are_bounded)
{
    struct config *config = config_create();
    struct config_arp arp = { .interface = "eth0", .mac = { 2, 0, 0, 0, 0, 1 } };

    for (uint32_t i = 0; i < CONFIG_ARP_MAX; i++) {
        arp.address_be = __builtin_bswap32(0x0a000000 + i);
        EXPECT_EQUAL(config_set_arp(config, &arp), OK);
    }
    arp.address_be = ipv4_of("11.0.0.1");
    EXPECT_EQUAL(config_set_arp(config, &arp), ERROR_FULL);
    EXPECT_EQUAL(config_remove_arp(config, ipv4_of("10.0.0.5")), OK);
    EXPECT_EQUAL(config_set_arp(config, &arp), OK);
    config_destroy(config);
}

TEST(config_copy_fails_cleanly_without_memory)
{
    struct config *config = config_create(), *copy = NULL;
    struct config_route route = route_to("20.0.0.0", 8, "10.0.0.2");
    struct config_address address = { .interface = "eth0",
                                      .prefix = prefix_of_ipv4(ipv4_of("10.0.0.1"), 24) };

    EXPECT_EQUAL(config_set_route(config, &route), OK);
    EXPECT_EQUAL(config_set_address(config, &address), OK);
    for (uint64_t n = 0; !copy; n++) {
        EXPECT(n < 10);
        host_fail_allocation(n);
        copy = config_copy(config);
        host_fail_allocation(UINT64_MAX);
    }
    EXPECT(config_equal(config, copy));
    config_destroy(copy);
    config_destroy(config);
}

TEST(config_set_fails_cleanly_without_memory)
{
    struct config *config = config_create();
    struct config_route route = route_to("20.0.0.0", 8, "10.0.0.2");

    host_fail_allocation(0);
    EXPECT_EQUAL(config_set_route(config, &route), ERROR_NO_MEMORY);
    host_fail_allocation(UINT64_MAX);
    EXPECT_EQUAL(config->route_count, 0);
    EXPECT_EQUAL(config_set_route(config, &route), OK);
    config_destroy(config);
}
