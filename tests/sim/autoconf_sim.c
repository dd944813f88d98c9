/* A router that advertises and one that learns from it, on a wire that loses, delays and reorders,
 * all from one seed:
 *
 *   [provider] eth0 --wire-- eth0 [customer]
 *   2001:db8:1::1/64, ra on       address auto
 *
 * Whatever the wire loses, the customer comes to its address and its default route, keeps both for
 * a day, loses the route when the provider is a router no longer, and both routers' books balance.
 */
#include <string.h>

#include "net/autoconf.h"
#include "net/control.h"
#include "net/forwarding.h"
#include "net/ipv6_addresses.h"
#include "net/router.h"
#include "tests/host/host.h"
#include "tests/host/wire_nic.h"
#include "tests/unit/test.h"

enum { STEP_MS = 5, MINUTE_MS = 60000 };

struct world {
    uint64_t now_ns;
    struct wire_nic *cards[2];
    struct router *provider, *customer;
    struct wire *wire;
};

static struct router *create_router(struct wire_nic *card, uint64_t now_ns)
{
    struct nic *nics[] = { wire_nic_card(card) };
    struct router_setup setup = {
        .core_count = 1, .nics = nics, .nic_count = 1, .packets_per_core = 1024, .now_ns = now_ns
    };
    struct router *router = router_create(&setup);

    EXPECT(router != NULL);
    return router;
}

static void configure(struct router *router, bool has_address,
                      const struct config_interface *interface)
{
    const uint8_t own[16] = { 0x20, 1, 0xd, 0xb8, 0, 1, [15] = 1 };
    const struct config_address address = { .interface = "eth0",
                                            .prefix = { address_of_ipv6(own), 64 } };
    struct config *config = config_create();
    struct commit_report report;

    EXPECT(config != NULL);
    if (has_address)
        EXPECT_EQUAL(config_set_address(config, &address), OK);
    EXPECT_EQUAL(config_set_interface(config, interface), OK);
    EXPECT_EQUAL(control_commit(router, config, &report), OK);
}

static void advertise(struct world *world, bool on)
{
    const struct config_interface wish = { .name = "eth0",
                                           .mtu_bytes = 1400,
                                           .advertising.on = on };

    configure(world->provider, true, &wish);
}

static struct world world_create(uint64_t seed, unsigned loss_per_mille)
{
    const struct config_interface learns = { .name = "eth0", .ipv6_auto = true };
    struct world world = { .now_ns = NS_PER_S };

    host_clock_real(); /* so that it may begin anew */
    host_clock_virtual(world.now_ns);
    host_random_seed(seed);
    host_cores(1, HOST_STEPPED);
    for (uint8_t i = 0; i < 2; i++)
        world.cards[i] = wire_nic_create((uint8_t[6]){ 2, 0, 0, 0xbb, 0, i }, 1);
    world.provider = create_router(world.cards[0], world.now_ns);
    world.customer = create_router(world.cards[1], world.now_ns);
    world.wire = wire_create(&(struct wire_setup){ .ends = { world.cards[0], world.cards[1] },
                                                   .loss_per_mille = loss_per_mille,
                                                   .delay_ns = 2 * NS_PER_MS,
                                                   .jitter_ns = 9 * NS_PER_MS,
                                                   .seed = seed });
    configure(world.customer, false, &learns);
    advertise(&world, true);
    return world;
}

static void world_run(struct world *world, uint64_t ms)
{
    for (uint64_t i = 0; i < ms / STEP_MS; i++) {
        host_clock_virtual(world->now_ns += STEP_MS * NS_PER_MS);
        wire_step(world->wire, world->now_ns);
        core_step(world->provider->cores[0]);
        core_step(world->customer->cores[0]);
    }
}

static void expect_books(const struct router *router)
{
    for (unsigned port = 0; port < router->port_count; port++) {
        struct port_books books;
        router_books(router, port, &books);
        EXPECT(books.balanced && books.held == 0);
    }
}

static void world_destroy(struct world *world)
{
    world_run(world, 5000);
    expect_books(world->provider);
    expect_books(world->customer);
    router_destroy(world->provider);
    router_destroy(world->customer);
    wire_nic_destroy(world->cards[0]);
    wire_nic_destroy(world->cards[1]);
    wire_destroy(world->wire);
}

static bool has_default(const struct world *world)
{
    const struct address far = { .family = FAMILY_IPV6, .bytes = { 0x20, 1, 0xd, 0xb9 } };
    const struct next_hop *way = forwarding_lookup(atomic_load(&world->customer->forwarding), &far);

    return way->kind == NEXT_HOP_GATEWAY && way->gateway_count == 1;
}

/* The address that it has made, valid and not deprecated; NULL: none. */
static const struct ipv6_address *own_address(const struct world *world)
{
    const struct ipv6_addresses *all = world->customer->ipv6_addresses;

    for (unsigned i = 0; i < ipv6_addresses_count(all); i++) {
        const struct ipv6_address *at = ipv6_addresses_at(all, i);
        if (at->origin == IPV6_FROM_ADVERTISEMENT && at->state == IPV6_ADDRESS_VALID &&
            !at->deprecated)
            return at;
    }
    return NULL;
}

/* What one seed comes to. */
struct outcome {
    uint64_t learned_ms, lost, sent;
    struct address address;
};

static struct outcome run(uint64_t seed, unsigned loss_per_mille, unsigned minutes)
{
    struct world world = world_create(seed, loss_per_mille);
    struct outcome outcome = { 0 };
    struct port_counters counters;

    while (!has_default(&world) || !own_address(&world)) {
        EXPECT(outcome.learned_ms < 10 * MINUTE_MS);
        world_run(&world, 100);
        outcome.learned_ms += 100;
    }
    outcome.address = own_address(&world)->address;
    EXPECT_EQUAL(atomic_load(&world.customer->forwarding)->ports[0].ipv6_mtu_bytes, 1400);
    for (unsigned i = 0; i < minutes; i++) {
        world_run(&world, MINUTE_MS);
        EXPECT(has_default(&world));
        EXPECT(own_address(&world) &&
               address_equal(&own_address(&world)->address, &outcome.address));
    }
    outcome.lost = wire_lost(world.wire);
    router_port_counters(world.customer, 0, &counters);
    outcome.sent = counters.transmitted;
    /* Its last word may be lost: then what it said before ends by itself. */
    advertise(&world, false);
    world_run(&world, 31 * MINUTE_MS);
    EXPECT(!has_default(&world) && own_address(&world));
    world_destroy(&world);
    return outcome;
}

TEST(autoconf_on_a_good_wire_takes_seconds_and_stays)
{
    struct outcome outcome = run(1, 0, 120);

    EXPECT(outcome.learned_ms < 8000);
    EXPECT_EQUAL(outcome.lost, 0);
}

TEST(autoconf_on_lossy_wires_takes_longer_and_stays)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        EXPECT(run(seed, 200, 60).lost > 0);
}

TEST(autoconf_with_the_same_seed_has_the_same_history)
{
    struct outcome first = run(42, 300, 10), second = run(42, 300, 10);

    EXPECT(memcmp(&first, &second, sizeof(first)) == 0);
    EXPECT(!address_equal(&first.address, &(const struct address){ 0 }));
}
