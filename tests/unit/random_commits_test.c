/* Whatever commits, links, addresses, files and failing allocations came before: what the cores
 * look up is what they would look up had all been made anew from the configuration in force. */
#include <stdio.h>
#include <string.h>

#include "kernel/base/random.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/config_routes.h"
#include "net/fib4.h"
#include "net/forwarding.h"
#include "net/rib.h"
#include "net/routes.h"
#include "tests/unit/lab.h"

enum { PORTS = 4, ROUNDS = 1500, LOOKUPS = 60, ROUTES_SOME = 60 };

static uint64_t state = 99;

static unsigned below(unsigned count)
{
    return (unsigned)random_below(&state, count);
}

/* Few bits differ, so that prefixes lie in each other. */
static uint32_t random_address(void)
{
    return __builtin_bswap32(
        20u << 24 | ((uint32_t)random_next(&state) & (uint32_t)random_next(&state) & 0x00c3c3c3));
}

static uint32_t random_gateway(void)
{
    char text[32];

    snprintf(text, sizeof(text), "10.%u.%u.%u", below(5) == 0 ? 9 : 0, below(PORTS), 2 + below(3));
    return ipv4_of(text);
}

static struct config_route random_route(void)
{
    static const uint8_t lengths[] = { 0,  1,  7,  8,  9,  12, 15, 16, 17,
                                       20, 23, 24, 24, 24, 25, 28, 31, 32 };
    struct prefix prefix = prefix_of_ipv4(random_address(), lengths[below(ARRAY_COUNT(lengths))]);
    struct config_route route = { .prefix = prefix_network(&prefix),
                                  .distance = (uint8_t)(1 + below(3)) };

    if (below(8) == 0) {
        route.kind = ROUTE_BLACKHOLE;
        return route;
    }
    route.gateway_count = 1;
    route.gateways[0] = address_of_ipv4(random_gateway());
    return route;
}

/* Taken away, or added; a second gateway for the same prefix and distance joins the first. */
static void change_route(struct config *config)
{
    bool take =
        config->route_count > 0 && below(100) < (config->route_count > ROUTES_SOME ? 60 : 35);
    struct config_route route = take ? config->routes[below(config->route_count)] : random_route();
    enum error error =
        take ? config_remove_route(config, &route) : config_set_route(config, &route);

    EXPECT(error == OK || (!take && error == ERROR_FULL)); /* eight gateways already */
}

static void change_address(struct config *config)
{
    struct config_address address = { .interface = "eth1",
                                      .prefix = prefix_of_ipv4(ipv4_of("10.9.1.1"), 24),
                                      .secondary = true };

    if (config_remove_address(config, "eth1", &address.prefix) != OK)
        EXPECT_EQUAL(config_set_address(config, &address), OK);
}

static void change_file(struct config *config)
{
    if (config->route_file_count == 0) {
        EXPECT_EQUAL(config_set_route_file(config, FAMILY_IPV4, "table"), OK);
        return;
    }
    config->route_file_count = 0;
    memset(config->route_files, 0, sizeof(config->route_files));
}

static void flap(struct lab *lab)
{
    static bool down[PORTS];
    unsigned port = below(PORTS);

    down[port] = !down[port];
    wire_nic_set_link(lab->cards[port], !down[port]);
    if (below(2) == 0)
        lab_wait(lab, 150); /* else the next commit comes before it is noticed */
}

/* The cores' own table agrees with the RIB, and both with a router that begins with this
 * configuration. */
static void expect_as_made_anew(struct lab *lab)
{
    const struct router *router = lab->router;
    const struct forwarding *view = atomic_load(&router->forwarding);
    struct config_routes_plan plan = { .family = FAMILY_IPV4,
                                       .config = router->config,
                                       .ports = router->ports,
                                       .port_count = router->port_count };
    struct route_files files;
    struct rib *rib;
    char why[160];
    struct text text = text_of(why, sizeof(why));

    EXPECT_EQUAL(config_routes_create(&plan, &rib, &files, &text), OK);
    const struct rib *ribs[FAMILY_COUNT] = {
        [FAMILY_IPV4] = rib, [FAMILY_IPV6] = router->ribs[FAMILY_IPV6]
    };
    struct forwarding *anew =
        forwarding_create(&(struct forwarding_plan){ .config = router->config,
                                                     .ribs = ribs,
                                                     .ports = router->ports,
                                                     .port_count = router->port_count });
    struct fib4 *fib4 = routes_create_fib4(rib, anew, NULL);
    EXPECT_EQUAL(rib_count(rib), rib_count(router->ribs[FAMILY_IPV4]));
    for (unsigned i = 0; i < LOOKUPS; i++) {
        bool of_route = i % 2 == 0 && router->config->route_count > 0;
        struct address address =
            of_route ? router->config->routes[below(router->config->route_count)].prefix.address
                     : address_of_ipv4(i % 4 == 1 ? random_gateway() : random_address());
        unsigned length = 32;
        uint16_t number = fib4_lookup(view->fib4, address_ipv4_be(&address));
        uint16_t number_anew = fib4_lookup(fib4, address_ipv4_be(&address));
        EXPECT_EQUAL(
            number, rib_lookup(router->ribs[FAMILY_IPV4], &address, view->ipv4.next_hops, &length));
        EXPECT_EQUAL(number == 0, number_anew == 0);
        EXPECT(number == 0 ||
               memcmp(rib_path(rib, number_anew), rib_path(router->ribs[FAMILY_IPV4], number),
                      sizeof(struct path)) == 0);
        EXPECT(memcmp(&anew->ipv4.next_hops[number_anew], &view->ipv4.next_hops[number],
                      sizeof(struct next_hop)) == 0);
    }
    fib4_destroy(fib4, NULL);
    forwarding_destroy(anew);
    rib_destroy(rib, NULL);
}

static void wait_for_control(struct lab *lab)
{
    while (lab->router->control_busy)
        lab_step(lab, 1);
}

/* The wish itself may be refused: two kinds at one distance. Then it is forgotten. */
static void commit(struct lab *lab)
{
    struct config *next = config_copy(lab->config);
    struct commit_report report;

    wait_for_control(lab);
    if (below(3) == 0)
        host_fail_allocation(below(12));
    enum error error = control_commit(lab->router, next, &report);
    host_fail_allocation(UINT64_MAX);
    if (error == OK)
        return;
    config_destroy(next);
    EXPECT(error == ERROR_BAD_VALUE || error == ERROR_NO_MEMORY);
    config_destroy(lab->config);
    lab->config = config_copy(lab->router->config);
}

TEST(random_commits_leave_what_would_be_made_anew)
{
    static const char table[] = "20.0.0.0/8 10.0.1.4\n20.1.0.0/16 10.0.2.3\n20.1.0.0/16 10.0.3.3\n"
                                "20.192.3.0/24 10.9.1.2\n0.0.0.0/0 10.0.0.4\n";
    struct lab lab = lab_create(2, PORTS);
    unsigned in_place = 0;

    host_file_add("table", table, strlen(table));
    for (unsigned round = 0; round < ROUNDS; round++) {
        const struct forwarding *view = atomic_load(&lab.router->forwarding);
        unsigned what = below(20);
        if (what < 12)
            change_route(lab.config);
        else if (what < 14)
            for (unsigned i = 0; i < 4; i++)
                change_route(lab.config);
        else if (what < 16)
            flap(&lab);
        else if (what == 16)
            change_address(lab.config);
        else if (what == 17)
            change_file(lab.config);
        commit(&lab);
        in_place += atomic_load(&lab.router->forwarding) == view;
        if (round % 3 == 0)
            lab_step(&lab, 2);
        if (round % 8 == 0) {
            lab_wait(&lab, 150);
            wait_for_control(&lab);
            expect_as_made_anew(&lab);
        }
    }
    EXPECT(in_place > ROUNDS / 4);
    lab_destroy(&lab);
}
