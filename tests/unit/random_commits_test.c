/* Whatever commits, links, addresses, files and failing allocations came before: what the cores
 * look up is what they would look up had all been made anew from the configuration in force. */
#include <stdio.h>
#include <string.h>

#include "kernel/base/random.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/config_routes.h"
#include "net/fib4.h"
#include "net/fib6.h"
#include "net/forwarding.h"
#include "net/rib.h"
#include "net/routes.h"
#include "tests/unit/lab6.h"

enum { PORTS = 4, ROUNDS = 1500, LOOKUPS = 60, ROUTES_SOME = 60 };

#define SECOND "2001:db8:9::1" /* an address that eth1 has at times */

static uint64_t state = 99;

static unsigned below(unsigned count)
{
    return (unsigned)random_below(&state, count);
}

static enum family random_family(void)
{
    return below(2) == 0 ? FAMILY_IPV4 : FAMILY_IPV6;
}

/* Few bits differ, so that prefixes lie in each other. */
static struct address random_address(enum family family)
{
    uint64_t bits = random_next(&state) & random_next(&state) & 0x0101818181c18100;
    struct address address = address_of("2400::");

    if (family == FAMILY_IPV4)
        return address_of_ipv4(__builtin_bswap32(
            20u << 24 |
            ((uint32_t)random_next(&state) & (uint32_t)random_next(&state) & 0x00c3c3c3)));
    memcpy(address.bytes, &bits, sizeof(bits));
    address.bytes[0] = 0x24;
    address.bytes[15] = below(2);
    return address;
}

static struct address random_gateway(enum family family)
{
    char text[32];
    bool second_net = below(5) == 0;

    if (family == FAMILY_IPV6)
        snprintf(text, sizeof(text), "2001:db8:%u::%u", second_net ? 9 : below(PORTS),
                 2 + below(3));
    else
        snprintf(text, sizeof(text), "10.%u.%u.%u", second_net ? 9 : 0, below(PORTS), 2 + below(3));
    return address_of(text);
}

static unsigned random_length(enum family family)
{
    static const uint8_t ipv4[] = { 0,  1,  7,  8,  9,  12, 15, 16, 17,
                                    20, 23, 24, 24, 24, 25, 28, 31, 32 };
    static const uint8_t ipv6[] = { 0,  1,  8,  13, 16, 17, 24, 29, 32,  32,
                                    33, 40, 47, 48, 48, 49, 56, 64, 127, 128 };

    return family == FAMILY_IPV6 ? ipv6[below(ARRAY_COUNT(ipv6))] : ipv4[below(ARRAY_COUNT(ipv4))];
}

static struct config_route random_route(void)
{
    enum family family = random_family();
    struct prefix prefix = { random_address(family), (uint8_t)random_length(family) };
    struct config_route route = { .prefix = prefix_network(&prefix),
                                  .distance = (uint8_t)(1 + below(3)) };

    if (below(8) == 0) {
        route.kind = ROUTE_BLACKHOLE;
        return route;
    }
    route.gateway_count = 1;
    route.gateways[0] = random_gateway(family);
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

/* Also such that are proxied, or whose net is another one then. */
static void change_address(struct config *config)
{
    struct config_address ipv4 = { .interface = "eth1",
                                   .prefix = prefix_of_ipv4(ipv4_of("10.9.1.1"), 24),
                                   .secondary = true };
    struct config_address ipv6 = { .interface = "eth1", .prefix = { address_of(SECOND), 64 } };
    struct config_address *address = random_family() == FAMILY_IPV6 ? &ipv6 : &ipv4;
    bool removed = config_remove_address(config, "eth1", &address->prefix) == OK;

    if (address == &ipv6) {
        ipv6.prefix.length = 48;
        removed |= config_remove_address(config, "eth1", &ipv6.prefix) == OK;
        ipv6.prefix.length = below(2) == 0 ? 48 : 64;
    }
    if (!removed || below(2) == 0)
        EXPECT_EQUAL(config_set_address(config, address), OK);
}

static void change_interface(struct config *config)
{
    struct config_interface wish = { .name = "eth1", .ipv6_auto = below(2) };

    if (below(2))
        wish.proxied[wish.proxied_count++] = (struct prefix){ address_of(SECOND), 128 };
    if (below(2))
        wish.proxied[wish.proxied_count++] = (struct prefix){ address_of("2001:db8:a::1"), 128 };
    EXPECT_EQUAL(config_set_interface(config, &wish), OK);
}

static void change_files(struct config *config)
{
    if (config->route_file_count == 0) {
        EXPECT_EQUAL(config_set_route_file(config, FAMILY_IPV4, "table"), OK);
        EXPECT_EQUAL(config_set_route_file(config, FAMILY_IPV6, "table6"), OK);
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

/* The FIBs of a view, and all that is made anew beside them. */
struct tables {
    struct rib *ribs[FAMILY_COUNT];
    struct forwarding *view;
    struct fib4 *fib4;
    struct fib6 *fib6;
};

static struct rib *make_rib(const struct router *router, enum family family)
{
    struct config_routes_plan plan = { .family = family,
                                       .config = router->config,
                                       .ports = router->ports,
                                       .port_count = router->port_count };
    struct route_files files;
    struct rib *rib;
    char why[160];
    struct text text = text_of(why, sizeof(why));

    EXPECT_EQUAL(config_routes_create(&plan, &rib, &files, &text), OK);
    return rib;
}

static struct tables make_anew(const struct router *router)
{
    struct tables anew = { .ribs = { [FAMILY_IPV4] = make_rib(router, FAMILY_IPV4),
                                     [FAMILY_IPV6] = make_rib(router, FAMILY_IPV6) } };
    struct forwarding_plan plan = { .config = router->config,
                                    .ribs = (const struct rib *const *)anew.ribs,
                                    .ports = router->ports,
                                    .port_count = router->port_count,
                                    .ipv6_addresses = router->ipv6_addresses };

    anew.view = forwarding_create(&plan);
    anew.fib4 = routes_create_fib4(anew.ribs[FAMILY_IPV4], anew.view, NULL);
    anew.fib6 = routes_create_fib6(anew.ribs[FAMILY_IPV6], anew.view, NULL);
    EXPECT(anew.fib4 && anew.fib6);
    return anew;
}

static void forget(struct tables *tables)
{
    fib4_destroy(tables->fib4, NULL);
    fib6_destroy(tables->fib6);
    forwarding_destroy(tables->view);
    rib_destroy(tables->ribs[FAMILY_IPV4], NULL);
    rib_destroy(tables->ribs[FAMILY_IPV6], NULL);
}

static uint16_t look_up(const struct fib4 *fib4, const struct fib6 *fib6,
                        const struct address *address)
{
    return address->family == FAMILY_IPV6 ? fib6_lookup(fib6, address->bytes)
                                          : fib4_lookup(fib4, address_ipv4_be(address));
}

static void expect_same_way(const struct router *router, const struct tables *anew,
                            const struct address *address)
{
    const struct forwarding *view = atomic_load(&router->forwarding);
    enum family family = address->family;
    const struct next_hop_table *table = forwarding_table_of(view, family);
    const struct next_hop_table *table_anew = forwarding_table_of(anew->view, family);
    unsigned length = address_bits(address);
    uint16_t number = look_up(view->fib4, view->fib6, address);
    uint16_t number_anew = look_up(anew->fib4, anew->fib6, address);

    EXPECT_EQUAL(number, rib_lookup(router->ribs[family], address, table->next_hops, &length));
    EXPECT_EQUAL(number == 0, number_anew == 0);
    EXPECT(number == 0 || memcmp(rib_path(anew->ribs[family], number_anew),
                                 rib_path(router->ribs[family], number), sizeof(struct path)) == 0);
    EXPECT(memcmp(&table_anew->next_hops[number_anew], &table->next_hops[number],
                  sizeof(struct next_hop)) == 0);
}

/* The cores' own table agrees with the RIB, and both with a router that begins with this
 * configuration. */
static void expect_as_made_anew(struct lab *lab)
{
    const struct router *router = lab->router;
    struct tables anew = make_anew(router);

    for (unsigned i = 0; i < LOOKUPS; i++) {
        enum family family = random_family();
        bool of_route = i % 2 == 0 && router->config->route_count > 0;
        struct address address =
            of_route ? router->config->routes[below(router->config->route_count)].prefix.address
                     : (i % 4 == 1 ? random_gateway(family) : random_address(family));
        expect_same_way(router, &anew, &address);
    }
    for (enum family family = FAMILY_IPV4; family < FAMILY_COUNT; family++)
        EXPECT_EQUAL(rib_count(anew.ribs[family]), rib_count(router->ribs[family]));
    forget(&anew);
}

static bool is_ours(const struct router *router, const struct address *address)
{
    return ipv6_addresses_state(router->ipv6_addresses, 1, address) != IPV6_ADDRESS_NONE;
}

/* Those of the statements, with their nets', a link-local one for each port, and those that are
 * proxied, no more and no less. */
static void expect_addresses(const struct router *router)
{
    const struct config *config = router->config;
    const struct config_interface *interface = config_find_interface(config, "eth1");
    const struct address second = address_of(SECOND);
    unsigned expected = PORTS;
    bool has_second = false;

    for (unsigned i = 0; i < config->address_count; i++) {
        const struct config_address *address = &config->addresses[i];
        expected += address->prefix.address.family == FAMILY_IPV6 ? 2 : 0;
        has_second |= address_equal(&address->prefix.address, &second);
    }
    for (unsigned i = 0; interface && i < interface->proxied_count; i++) {
        EXPECT(is_ours(router, &interface->proxied[i].address));
        expected += !(has_second && address_equal(&interface->proxied[i].address, &second));
    }
    EXPECT(!has_second || is_ours(router, &second));
    EXPECT_EQUAL(ipv6_addresses_count(router->ipv6_addresses), expected);
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
    static const char table6[] = "2400::/16 2001:db8:1::4\n2400:1::/32 2001:db8:2::3\n"
                                 "2400:1::/32 2001:db8:3::3\n2400:1:101::/48 2001:db8:9::2\n"
                                 "::/0 2001:db8::4\n";
    struct lab lab = lab6_create(2, PORTS);
    unsigned in_place = 0;

    host_file_add("table", table, strlen(table));
    host_file_add("table6", table6, strlen(table6));
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
            change_files(lab.config);
        else if (what == 18)
            change_interface(lab.config);
        commit(&lab);
        expect_addresses(lab.router);
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
