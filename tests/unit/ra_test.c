/* Router advertisements on the test stand: when they are sent, and what they say. */
#include "net/ra.h"

#include <string.h>

#include "net/ipv6_addresses.h"
#include "net/wire/nd.h"
#include "tests/unit/stand.h"
#include "tests/unit/test.h"

static struct {
    unsigned count;
    uint64_t at_ns[64];
    struct nd_router_advertisement last;
} seen;

static struct ipv6_addresses *addresses;
static struct ra *ra;

static void see(struct core *core, uint16_t port,
                const struct nd_router_advertisement *advertisement)
{
    EXPECT_EQUAL(port, STAND_ETH1);
    EXPECT(seen.count < ARRAY_COUNT(seen.at_ns));
    seen.at_ns[seen.count++] = core->now_ns;
    seen.last = *advertisement;
}

static void listen(struct core *core, uint16_t port)
{
    (void)core, (void)port;
}

static void ignore(struct core *core, uint16_t port, const struct address *address)
{
    (void)core, (void)port, (void)address;
}

static struct prefix prefix_of(uint8_t last_group, unsigned length)
{
    const uint8_t bytes[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, last_group };
    return (struct prefix){ address_of_ipv6(bytes), (uint8_t)length };
}

/* eth1 has 2001:db8:0:1::9/64. */
static struct stand *start(void)
{
    static const struct ipv6_addresses_uses uses = {
        .listen = listen, .leave = ignore, .duplicate = ignore, .probe = ignore, .announce = ignore
    };
    struct stand *stand = stand_create();
    struct config_address own = { .interface = "eth1", .prefix = prefix_of(1, 64) };

    own.prefix.address.bytes[15] = 9;
    EXPECT_EQUAL(config_set_address(stand->router.config, &own), OK);
    addresses = ipv6_addresses_create(&stand->core, &uses);
    ra = ra_create(&stand->core, addresses, &(struct ra_uses){ .advertise = see });
    EXPECT(addresses && ra);
    ipv6_addresses_reconfigure(addresses, stand->router.config, stand->core.now_ns);
    memset(&seen, 0, sizeof(seen));
    return stand;
}

static void wish(struct stand *stand, const struct config_advertising *advertising)
{
    struct config_interface interface = { .name = "eth1", .advertising = *advertising };

    EXPECT_EQUAL(config_set_interface(stand->router.config, &interface), OK);
    ra_reconfigure(ra, stand->router.config, stand->core.now_ns);
}

static void finish(struct stand *stand)
{
    ra_destroy(ra);
    ipv6_addresses_destroy(addresses);
    stand_destroy(stand);
}

TEST(ra_three_come_soon_and_then_one_in_a_while)
{
    struct stand *stand = start();

    stand_advance(stand, 5000);
    EXPECT_EQUAL(seen.count, 0); /* nobody has wished for any */
    wish(stand, &(struct config_advertising){ .on = true });
    stand_advance(stand, 100);
    EXPECT_EQUAL(seen.count, 1);
    stand_advance(stand, 2 * RA_INITIAL_MAX_S * 1000);
    EXPECT_EQUAL(seen.count, RA_INITIAL);
    for (unsigned hour = 0; hour < 4; hour++)
        stand_advance(stand, 3600 * 1000);
    EXPECT(seen.count >= 3 + 4 * 3600 / RA_INTERVAL_MAX_S - 1);
    for (unsigned i = 1; i < seen.count; i++) {
        uint64_t apart_s = (seen.at_ns[i] - seen.at_ns[i - 1]) / NS_PER_S;
        EXPECT(apart_s >= (i < RA_INITIAL ? RA_SPACING_MS / 1000 : RA_INTERVAL_MIN_S - 1));
        EXPECT(apart_s <= (i < RA_INITIAL ? RA_INITIAL_MAX_S : RA_INTERVAL_MAX_S) + 1);
    }
    finish(stand);
}

TEST(ra_solicitations_are_answered_soon_but_a_flood_of_them_is_not)
{
    struct stand *stand = start();

    EXPECT(!ra_solicited(ra, STAND_ETH1, stand->core.now_ns));
    wish(stand, &(struct config_advertising){ .on = true });
    stand_advance(stand, 60000);
    unsigned before = seen.count;
    EXPECT(ra_solicited(ra, STAND_ETH1, stand->core.now_ns));
    stand_advance(stand, RA_ANSWER_DELAY_MS + 10);
    EXPECT_EQUAL(seen.count, before + 1);
    for (unsigned i = 0; i < 1000; i++) {
        EXPECT(ra_solicited(ra, STAND_ETH1, stand->core.now_ns));
        stand_advance(stand, 10);
    }
    EXPECT(seen.count >= before + 3 && seen.count <= before + 1 + 10000 / RA_SPACING_MS + 1);
    finish(stand);
}

TEST(ra_says_what_was_told_or_the_prefixes_of_the_port)
{
    const struct prefix own = prefix_of(1, 64), told = prefix_of(7, 64), wide = prefix_of(8, 61);
    struct stand *stand = start();

    wish(stand, &(struct config_advertising){ .on = true });
    stand_advance(stand, 100);
    EXPECT_EQUAL(seen.last.prefix_count, 1);
    EXPECT(memcmp(seen.last.prefixes[0].prefix, own.address.bytes, 16) == 0);
    EXPECT(seen.last.prefixes[0].on_link && seen.last.prefixes[0].autonomous);
    EXPECT_EQUAL(seen.last.lifetime_s, RA_LIFETIME_S);
    EXPECT_EQUAL(seen.last.mtu, stand->router.ports[STAND_ETH1].mtu_bytes);
    wish(stand, &(struct config_advertising){ .on = true,
                                              .prefix_count = 2,
                                              .prefixes = { told, wide },
                                              .server_count = 1,
                                              .servers = { own.address } });
    stand_advance(stand, RA_SPACING_MS + 100);
    EXPECT_EQUAL(seen.last.prefix_count, 3); /* the last is withdrawn */
    EXPECT_EQUAL(seen.last.prefixes[2].valid_s, 0);
    EXPECT(memcmp(seen.last.prefixes[0].prefix, told.address.bytes, 16) == 0);
    EXPECT(seen.last.prefixes[0].autonomous && !seen.last.prefixes[1].autonomous);
    EXPECT_EQUAL(seen.last.server_count, 1);
    wish(stand, &(struct config_advertising){ .on = false });
    EXPECT_EQUAL(seen.last.lifetime_s, 0); /* a router no longer, said at once */
    unsigned count = seen.count;
    stand_advance(stand, 3600 * 1000);
    EXPECT_EQUAL(seen.count, count);
    finish(stand);
}

/* How the last one told that prefix: -1 not at all, 0 withdrawn, 1 in force. */
static int told(const struct prefix *prefix)
{
    for (unsigned i = 0; i < seen.last.prefix_count; i++) {
        const struct nd_prefix *at = &seen.last.prefixes[i];
        if (at->prefix_bits != prefix->length || memcmp(at->prefix, prefix->address.bytes, 16) != 0)
            continue;
        EXPECT_EQUAL(at->preferred_s, at->valid_s > 0 ? RA_PREFIX_PREFERRED_S : 0);
        EXPECT(at->on_link && at->autonomous == (prefix->length == 64));
        return at->valid_s > 0;
    }
    return -1;
}

TEST(ra_prefix_that_goes_is_withdrawn_for_two_hours)
{
    const struct prefix first = prefix_of(7, 64), second = prefix_of(8, 61), own = prefix_of(1, 64);
    struct stand *stand = start();

    wish(stand, &(struct config_advertising){
                    .on = true, .prefix_count = 2, .prefixes = { first, second } });
    stand_advance(stand, 60000);
    wish(stand,
         &(struct config_advertising){ .on = true, .prefix_count = 1, .prefixes = { second } });
    stand_advance(stand, RA_SPACING_MS);
    EXPECT(told(&first) == 0 && told(&second) == 1);
    wish(stand, &(struct config_advertising){ .on = true }); /* the port's own instead */
    stand_advance(stand, RA_SPACING_MS + 100);
    EXPECT(told(&first) == 0 && told(&second) == 0 && told(&own) == 1);
    for (unsigned s = 0; s < RA_WITHDRAWN_S - 20 - RA_INTERVAL_MAX_S; s += 60)
        stand_advance(stand, 60000);
    EXPECT(told(&first) == 0);
    for (unsigned s = 0; s < 2 * RA_INTERVAL_MAX_S + 60; s += 60)
        stand_advance(stand, 60000);
    EXPECT(told(&first) == -1 && told(&second) == -1 && told(&own) == 1);
    finish(stand);
}

TEST(ra_prefix_that_comes_back_is_in_force_again)
{
    const struct prefix first = prefix_of(7, 64), second = prefix_of(8, 64);
    struct stand *stand = start();

    for (unsigned i = 0; i < 3; i++) {
        wish(stand, &(struct config_advertising){
                        .on = true, .prefix_count = 1, .prefixes = { i == 1 ? second : first } });
        stand_advance(stand, RA_SPACING_MS + 100);
    }
    EXPECT(told(&first) == 1 && told(&second) == 0 && seen.last.prefix_count == 2);
    finish(stand);
}

TEST(ra_prefix_of_an_address_that_is_taken_away_is_withdrawn)
{
    const struct prefix own = prefix_of(1, 64);
    struct prefix address = own;
    struct stand *stand = start();

    address.address.bytes[15] = 9;
    wish(stand, &(struct config_advertising){ .on = true });
    stand_advance(stand, 60000);
    unsigned before = seen.count;
    ra_reconfigure(ra, stand->router.config, stand->core.now_ns); /* a commit of something else */
    stand_advance(stand, 100);
    EXPECT(seen.count == before && told(&own) == 1);
    EXPECT_EQUAL(config_remove_address(stand->router.config, "eth1", &address), OK);
    ipv6_addresses_reconfigure(addresses, stand->router.config, stand->core.now_ns);
    ra_reconfigure(ra, stand->router.config, stand->core.now_ns);
    stand_advance(stand, 100);
    EXPECT(seen.count == before + 1 && told(&own) == 0);
    finish(stand);
}

/* One that is not told, and goes, must not push out one that is. */
TEST(ra_of_too_many_nets_of_a_port_the_first_are_told)
{
    enum { NETS = 2 * ND_PREFIXES_MAX };
    struct stand *stand = start();
    struct config_address more = { .interface = "eth1" };

    for (uint8_t net = NETS; net > 1; net--) {
        more.prefix = prefix_of(net, 64);
        more.prefix.address.bytes[15] = 9;
        EXPECT_EQUAL(config_set_address(stand->router.config, &more), OK);
        ipv6_addresses_reconfigure(addresses, stand->router.config, stand->core.now_ns);
    }
    for (uint8_t last = NETS; last > NETS - 2; last--) {
        wish(stand, &(struct config_advertising){ .on = true });
        stand_advance(stand, 60000);
        EXPECT_EQUAL(seen.last.prefix_count, ND_PREFIXES_MAX);
        for (uint8_t net = 1; net <= ND_PREFIXES_MAX; net++) {
            const struct prefix prefix = prefix_of(net, 64);
            EXPECT_EQUAL(told(&prefix), 1);
        }
        more.prefix = prefix_of(last, 64);
        more.prefix.address.bytes[15] = 9;
        EXPECT_EQUAL(config_remove_address(stand->router.config, "eth1", &more.prefix), OK);
        ipv6_addresses_reconfigure(addresses, stand->router.config, stand->core.now_ns);
    }
    finish(stand);
}

TEST(ra_of_many_withdrawn_prefixes_the_last_are_told)
{
    struct config_advertising advertising = { .on = true, .prefix_count = 1 };
    struct stand *stand = start();

    for (uint8_t i = 0; i < 2 * RA_WITHDRAWN_MAX; i++) {
        advertising.prefixes[0] = prefix_of(0x20 + i, 64);
        wish(stand, &advertising);
        stand_advance(stand, RA_SPACING_MS + 100);
    }
    EXPECT_EQUAL(seen.last.prefix_count, ND_PREFIXES_MAX);
    for (uint8_t i = 0; i < 2 * RA_WITHDRAWN_MAX; i++) {
        const struct prefix prefix = prefix_of(0x20 + i, 64);
        int age = 2 * RA_WITHDRAWN_MAX - 1 - i;
        EXPECT_EQUAL(told(&prefix), age == 0 ? 1 : age < ND_PREFIXES_MAX ? 0 : -1);
    }
    finish(stand);
}
