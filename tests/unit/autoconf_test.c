/* A port that is told to learn: what other routers advertise there becomes addresses, routes and
 * parameters, for as long as it was told and no longer. A whole router on software cards; the other
 * routers are frames that the test makes. */
#include "net/autoconf.h"

#include <stdio.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/log.h"
#include "kernel/platform.h"
#include "net/forwarding.h"
#include "net/rib.h"
#include "net/wire/ipv4.h"
#include "tests/unit/lab6.h"

#define ROUTER   "fe80::9"
#define OTHER    "fe80::a"
#define FAR      "2001:db8:ffff::1"
#define HOST_1   "2001:db8:1::2"
#define LEARNED  "2001:db8:7::"
#define LEARNED2 "2001:db8:8::"

enum { S = 1000 }; /* of milliseconds */

static void finish(struct lab *lab)
{
    lab_wait(lab, 4 * S); /* what waits for a neighbor is given up */
    lab_expect_books(lab);
    lab_destroy(lab);
}

static void tell_auto(struct lab *lab, bool on)
{
    struct config_interface wish = { .name = "eth0", .ipv6_auto = on };

    EXPECT_EQUAL(config_set_interface(lab->config, &wish), OK);
    lab_commit(lab);
}

/* eth0 learns, eth1 has 2001:db8:1::1/64 and host 2; the link-local addresses are valid. */
static struct lab start(void)
{
    struct lab lab = lab_create(1, 2);

    lab_address(&lab, "eth1", "2001:db8:1::1/64");
    tell_auto(&lab, true);
    lab_wait(&lab, 2500);
    lab6_forget_frames(&lab);
    return lab;
}

static struct nd_prefix prefix_told(const char *network, uint32_t valid_s, uint32_t preferred_s)
{
    struct nd_prefix prefix = { .prefix_bits = 64,
                                .on_link = true,
                                .autonomous = true,
                                .valid_s = valid_s,
                                .preferred_s = preferred_s };

    memcpy(prefix.prefix, address_of(network).bytes, sizeof(prefix.prefix));
    return prefix;
}

/* What a router on eth0's link is worth, with one prefix where it is told. */
static struct nd_router_advertisement advertisement_of(uint16_t lifetime_s)
{
    return (struct nd_router_advertisement){ .lifetime_s = lifetime_s, .has_source_mac = true };
}

static void add_prefix(struct nd_router_advertisement *told, const struct nd_prefix *prefix)
{
    told->prefixes[told->prefix_count++] = *prefix;
}

static struct lab_frame frame_of(unsigned port, const char *router,
                                 struct nd_router_advertisement told)
{
    struct lab6_packet packet = { router, "ff02::1", .hop_limit = ND_HOP_LIMIT };
    uint8_t message[1200];

    memcpy(told.source_mac, lab_host_mac(port, address_of(router).bytes[15]), MAC_BYTES);
    size_t length = nd_router_advertisement_write(&told, message, sizeof(message));
    EXPECT(length > 0);
    return lab6_icmp(port, &packet, message, length);
}

static void hear_on(struct lab *lab, unsigned port, const char *router,
                    const struct nd_router_advertisement *told)
{
    struct lab_frame frame = frame_of(port, router, *told);

    lab_put(lab, port, &frame);
    lab_step(lab, 4);
}

static void hear(struct lab *lab, const char *router, const struct nd_router_advertisement *told)
{
    hear_on(lab, 0, router, told);
}

/* A router with one prefix, both for half an hour. */
static void hear_usual(struct lab *lab)
{
    struct nd_router_advertisement told = advertisement_of(1800);
    const struct nd_prefix prefix = prefix_told(LEARNED, 1800, 1800);

    add_prefix(&told, &prefix);
    hear(lab, ROUTER, &told);
}

/* The address that was learned in that net; NULL: none. */
static const struct ipv6_address *learned_in(struct lab *lab, const char *network)
{
    const struct ipv6_addresses *all = lab->router->ipv6_addresses;
    const struct prefix prefix = { address_of(network), 64 };

    for (unsigned i = 0; i < ipv6_addresses_count(all); i++) {
        const struct ipv6_address *at = ipv6_addresses_at(all, i);
        if (at->origin == IPV6_FROM_ADVERTISEMENT && prefix_contains(&prefix, &at->address))
            return at;
    }
    return NULL;
}

static enum ipv6_address_state learned_state(struct lab *lab, const char *network)
{
    const struct ipv6_address *learned = learned_in(lab, network);

    return learned ? (enum ipv6_address_state)learned->state : IPV6_ADDRESS_NONE;
}

/* How many seconds the address has left; 0: there is none. */
static uint64_t valid_left_s(struct lab *lab, const char *network)
{
    const struct ipv6_address *learned = learned_in(lab, network);
    struct autoconf_lifetimes lifetimes;

    if (!learned)
        return 0;
    EXPECT(autoconf_address_lifetimes(lab->router->autoconf, 0, &learned->address, &lifetimes));
    return (lifetimes.valid_until_ns - lab->now_ns) / NS_PER_S;
}

static struct next_hop way_to(struct lab *lab, const char *text)
{
    const struct address address = address_of(text);

    return *forwarding_lookup(atomic_load(&lab->router->forwarding), &address);
}

static bool leads_to(struct lab *lab, const char *gateway)
{
    const struct next_hop way = way_to(lab, FAR);
    const struct address address = address_of(gateway);

    return way.kind == NEXT_HOP_GATEWAY && way.gateway_count == 1 && way.port == 0 &&
           address_equal(&way.gateways[0], &address);
}

static unsigned count_of(struct lab *lab, uint8_t type)
{
    struct lab_frame out;
    unsigned count = 0;

    while (lab_take(lab, 0, &out))
        count += lab6_header(&out)->next_header == PROTOCOL_ICMP6 && lab6_payload(&out)[0] == type;
    return count;
}

/* Nothing is left of what was learned. */
static void expect_nothing_learned(struct lab *lab)
{
    struct autoconf_router router;
    struct prefix net;
    unsigned cursor = 0;
    uint16_t port;

    lab_wait(lab, 300);
    EXPECT(!learned_in(lab, LEARNED));
    EXPECT_EQUAL(way_to(lab, FAR).kind, NEXT_HOP_NONE);
    EXPECT_EQUAL(way_to(lab, LEARNED "5").kind, NEXT_HOP_NONE);
    EXPECT(!autoconf_next_net(lab->router->autoconf, &cursor, &net, &port));
    cursor = 0;
    EXPECT(!autoconf_next_router(lab->router->autoconf, &cursor, &router));
    EXPECT_EQUAL(rib_count(lab->router->ribs[FAMILY_IPV6]), 1); /* of eth1 */
}

/* ---- Soliciting (RFC 4861 6.3.7, RFC 7559) ----------------------------------------------------
 */

TEST(autoconf_asks_for_routers_ever_more_seldom_until_one_answers)
{
    struct lab lab = lab_create(1, 1);
    uint64_t last_s = 0, pauses_s[8];
    unsigned count = 0;

    tell_auto(&lab, true);

    for (unsigned s = 0; count < ARRAY_COUNT(pauses_s); s++) {
        EXPECT(s < 10000);
        lab_wait(&lab, S);
        unsigned now = count_of(&lab, ICMP6_ROUTER_SOLICITATION);
        EXPECT(now <= 1);
        if (now == 0)
            continue;
        pauses_s[count++] = s - last_s;
        last_s = s;
    }
    EXPECT(pauses_s[0] >= 1 && pauses_s[0] <= 2); /* the link-local address is asked for first */
    EXPECT(pauses_s[1] >= 3 && pauses_s[1] <= 5);
    for (unsigned i = 2; i < count; i++) /* twice as long, a tenth more or less */
        EXPECT(pauses_s[i] + 2 >= pauses_s[i - 1] * 18 / 10 &&
               pauses_s[i] <= pauses_s[i - 1] * 22 / 10 + 2);
    struct nd_router_advertisement told = advertisement_of(0); /* of no default router */
    hear(&lab, ROUTER, &told);
    for (unsigned s = 0; s < 1500; s++)
        lab_wait(&lab, S);
    EXPECT(count_of(&lab, ICMP6_ROUTER_SOLICITATION) > 0);
    told = advertisement_of(9000);
    hear(&lab, ROUTER, &told);
    for (unsigned s = 0; s < 3700; s++)
        lab_wait(&lab, S);
    EXPECT_EQUAL(count_of(&lab, ICMP6_ROUTER_SOLICITATION), 0);
    finish(&lab);
}

TEST(autoconf_never_waits_longer_than_an_hour)
{
    struct lab lab = start();
    uint64_t last_s = 0;
    unsigned count = 0;

    for (uint64_t s = 0; s < 12 * 3600; s += 10) {
        for (unsigned i = 0; i < 10; i++)
            lab_wait(&lab, S);
        if (count_of(&lab, ICMP6_ROUTER_SOLICITATION) == 0)
            continue;
        EXPECT(s - last_s <= AUTOCONF_PAUSE_MAX_S * 11 / 10 + 10);
        last_s = s;
        count++;
    }
    EXPECT(count > 15 && count < 25);
    finish(&lab);
}

TEST(autoconf_solicitation_is_from_the_link_local_address_to_all_routers)
{
    struct lab lab = start();
    struct nd_router_solicitation solicitation;
    struct lab_frame out;

    do {
        lab_wait(&lab, 100);
    } while (!lab_take(&lab, 0, &out) || lab6_header(&out)->next_header != PROTOCOL_ICMP6);
    EXPECT_EQUAL(nd_router_solicitation_read(lab6_header(&out), lab6_payload(&out),
                                             lab6_payload_bytes(&out), &solicitation),
                 OK);
    lab6_expect_address(lab6_header(&out)->source, "fe80::ff:fe00:0");
    lab6_expect_address(lab6_header(&out)->destination, "ff02::2");
    EXPECT(solicitation.has_source_mac && mac_equal(solicitation.source_mac, lab_port_mac(0)));
    finish(&lab);
}

/* ---- Default routers --------------------------------------------------------------------------
 */

TEST(autoconf_default_route_comes_and_goes_with_its_router)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(1800);
    struct lab_frame out,
        frame = lab6_frame(1, &(struct lab6_packet){ HOST_1, FAR, .payload_bytes = 100 });

    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 200);
    EXPECT(leads_to(&lab, ROUTER));
    lab6_forget_frames(&lab);
    lab_put(&lab, 1, &frame);
    lab_step(&lab, 4);
    EXPECT(lab_take(&lab, 0, &out)); /* its MAC address was told, too */
    EXPECT(mac_equal(out.bytes, lab_host_mac(0, 9)));
    struct route route;
    const struct address far = address_of(FAR);
    EXPECT(control_route_for(lab.router, &far, &route));
    EXPECT(route.path.protocol == PROTOCOL_RA && route.path.distance == DISTANCE_RA);
    told.lifetime_s = 0;
    hear(&lab, ROUTER, &told);
    expect_nothing_learned(&lab);
    told.lifetime_s = 30; /* and in silence */
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 29 * S);
    EXPECT(leads_to(&lab, ROUTER));
    lab_wait(&lab, 1100);
    expect_nothing_learned(&lab);
    finish(&lab);
}

TEST(autoconf_default_route_is_behind_a_static_one)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(1800);

    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 200);
    lab_route(&lab, "::/0", HOST_1);
    lab_commit(&lab);
    EXPECT_EQUAL(way_to(&lab, FAR).port, 1);
    lab_wait(&lab, 100);
    EXPECT_EQUAL(config_remove_route(lab.config,
                                     &(struct config_route){ .prefix.address.family = FAMILY_IPV6,
                                                             .distance = DISTANCE_STATIC }),
                 OK);
    lab_commit(&lab);
    EXPECT(leads_to(&lab, ROUTER));
    finish(&lab);
}

/* RFC 4191 3.2, RFC 4311 3. */
TEST(autoconf_prefers_routers_by_what_they_say_and_shares_the_load_among_equals)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(1800);

    told.preference = ND_PREFERENCE_LOW;
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 200);
    EXPECT(leads_to(&lab, ROUTER));
    told.preference = ND_PREFERENCE_MEDIUM;
    hear(&lab, OTHER, &told);
    lab_wait(&lab, 200);
    EXPECT(leads_to(&lab, OTHER));
    told.preference = ND_PREFERENCE_HIGH;
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 200);
    EXPECT(leads_to(&lab, ROUTER));
    hear(&lab, OTHER, &told);
    lab_wait(&lab, 200);
    EXPECT_EQUAL(way_to(&lab, FAR).gateway_count, 2);
    told.lifetime_s = 0;
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 200);
    EXPECT(leads_to(&lab, OTHER));
    hear(&lab, OTHER, &told);
    expect_nothing_learned(&lab);
    finish(&lab);
}

TEST(autoconf_of_two_ports_the_better_router_decides_and_then_the_first_port)
{
    static const int8_t preferences[][2] = { { 0, 1 }, { 1, 0 }, { 0, 0 }, { -1, 0 } };
    static const uint16_t ports[] = { 1, 0, 0, 1 };
    struct lab lab = lab_create(1, 2);
    struct config_interface second = { .name = "eth1", .ipv6_auto = true };

    EXPECT_EQUAL(config_set_interface(lab.config, &second), OK);
    tell_auto(&lab, true);
    lab_wait(&lab, 2500);
    for (unsigned i = 0; i < ARRAY_COUNT(ports); i++) {
        for (unsigned port = 0; port < 2; port++) {
            struct nd_router_advertisement told = advertisement_of(1800);
            told.preference = preferences[i][port];
            hear_on(&lab, port, ROUTER, &told); /* they may have the same address */
        }
        lab_wait(&lab, 300);
        EXPECT_EQUAL(way_to(&lab, FAR).kind, NEXT_HOP_GATEWAY);
        EXPECT_EQUAL(way_to(&lab, FAR).port, ports[i]);
    }
    wire_nic_set_link(lab.cards[1], false);
    lab_wait(&lab, 300);
    EXPECT_EQUAL(way_to(&lab, FAR).port, 0);
    finish(&lab);
}

static void hear_neighbor(struct lab *lab, const char *router, const uint8_t *mac,
                          struct advertised flags)
{
    struct lab_frame frame = lab6_advertisement(0, router, "fe80::ff:fe00:0", router, mac, flags);

    lab_put(lab, 0, &frame);
    lab_step(lab, 4);
}

/* RFC 4861 7.2.5. */
TEST(autoconf_router_that_says_it_is_none_is_none)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(1800);

    hear(&lab, ROUTER, &told);
    hear_neighbor(&lab, ROUTER, lab_host_mac(0, 9), (struct advertised){ .router = true });
    hear_neighbor(&lab, ROUTER, lab_host_mac(0, 77), (struct advertised){ .router = false });
    hear_neighbor(&lab, OTHER, lab_host_mac(0, 10), (struct advertised){ .router = false });
    lab_wait(&lab, 200);
    EXPECT(leads_to(&lab, ROUTER)); /* what does not override is not believed */
    hear_neighbor(&lab, ROUTER, lab_host_mac(0, 9), (struct advertised){ .router = false });
    lab6_forget_frames(&lab);
    expect_nothing_learned(&lab);
    lab_wait(&lab, 2500);
    EXPECT_EQUAL(count_of(&lab, ICMP6_ROUTER_SOLICITATION), 1); /* is there another one? */
    finish(&lab);
}

/* Packets of several flows from eth1 for that many seconds; OTHER alone answers when it is asked.
 */
static void send_for(struct lab *lab, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        for (unsigned flow = 0; flow < 8; flow++) {
            char source[ADDRESS_TEXT_MAX];
            snprintf(source, sizeof(source), "2001:db8:1::1%u", flow);
            struct lab_frame frame =
                lab6_frame(1, &(struct lab6_packet){ source, FAR, .payload_bytes = 100 });
            lab_put(lab, 1, &frame);
            lab_step(lab, 4);
        }
        hear_neighbor(lab, OTHER, lab_host_mac(0, 10),
                      (struct advertised){ .router = true, .solicited = true });
        lab_wait(lab, S);
        lab6_forget_frames(lab);
    }
}

/* RFC 4861 6.3.6: what is reachable comes first, also before what is preferred. */
TEST(autoconf_router_that_does_not_answer_comes_last_until_it_is_heard)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(1800);

    hear(&lab, OTHER, &told);
    told.preference = ND_PREFERENCE_HIGH;
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 200);
    EXPECT(leads_to(&lab, ROUTER));
    send_for(&lab, 12);
    EXPECT(leads_to(&lab, OTHER));
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 200);
    EXPECT(leads_to(&lab, ROUTER));
    send_for(&lab, 12);
    EXPECT(leads_to(&lab, OTHER));
    hear_neighbor(&lab, ROUTER, lab_host_mac(0, 9), (struct advertised){ .router = true });
    lab_wait(&lab, 200);
    EXPECT(leads_to(&lab, OTHER)); /* nobody was asked, nothing is known of it */
    finish(&lab);
}

/* Alone it is all that there is. */
TEST(autoconf_only_router_stays_though_it_does_not_answer)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(1800);

    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 200);
    send_for(&lab, 12);
    EXPECT(leads_to(&lab, ROUTER));
    finish(&lab);
}

TEST(autoconf_router_beyond_the_bound_is_dropped_and_counted)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(1800);
    const struct nd_prefix prefix = prefix_told(LEARNED, 1800, 1800);
    char router[16];

    for (unsigned i = 0; i < AUTOCONF_ROUTER_MAX; i++) {
        snprintf(router, sizeof(router), "fe80::%x", 0x90 - i);
        hear(&lab, router, &told);
    }
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ND_FULL), 0);
    add_prefix(&told, &prefix);
    hear(&lab, OTHER, &told);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ND_FULL), 1);
    EXPECT(!learned_in(&lab, LEARNED));
    hear(&lab, router, &told); /* who is known may go on */
    EXPECT(learned_in(&lab, LEARNED));
    lab_wait(&lab, 200);
    EXPECT_EQUAL(way_to(&lab, FAR).gateway_count, AUTOCONF_ROUTER_MAX);
    finish(&lab);
}

/* A stranger who is a new router each time costs no more than the room that is there. */
TEST(autoconf_flood_of_routers_that_come_and_go_is_survived)
{
    struct lab lab = start();
    struct nd_router_advertisement told;
    char router[24];

    for (unsigned i = 0; i < 600; i++) {
        snprintf(router, sizeof(router), "fe80::1:%x", i + 1);
        told = advertisement_of(1800);
        hear(&lab, router, &told);
        lab_wait(&lab, 120);
        told = advertisement_of(0);
        hear(&lab, router, &told);
    }
    expect_nothing_learned(&lab);
    EXPECT(rib_path_end(lab.router->ribs[FAMILY_IPV6]) < 200);
    told = advertisement_of(1800);
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 300);
    EXPECT(leads_to(&lab, ROUTER));
    finish(&lab);
}

/* ---- What is not listened to ------------------------------------------------------------------
 */

TEST(autoconf_port_that_was_not_told_to_learns_nothing)
{
    struct lab lab = lab6_create(1, 2);

    hear_usual(&lab);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ND_IGNORED), 1);
    lab_wait(&lab, 300);
    EXPECT_EQUAL(way_to(&lab, FAR).kind, NEXT_HOP_NONE);
    EXPECT(!learned_in(&lab, LEARNED));
    EXPECT_EQUAL(count_of(&lab, ICMP6_ROUTER_SOLICITATION), 0);
    finish(&lab);
}

/* RFC 4861 6.1.2. */
TEST(autoconf_malformed_advertisements_are_dropped_and_change_nothing)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(1800);
    const struct nd_prefix prefix = prefix_told(LEARNED, 1800, 1800);
    uint64_t bad = 0;

    add_prefix(&told, &prefix);
    const struct lab_frame good = frame_of(0, ROUTER, told);
    for (unsigned i = 0; i < 5; i++) {
        struct lab_frame frame = good;
        switch (i) {
        case 0: /* from beyond a router */
            lab6_header(&frame)->hop_limit = 254;
            break;
        case 1: /* not from a link-local address */
            lab6_header(&frame)->source[0] = 0x20;
            break;
        case 2:
            lab6_payload(&frame)[1] = 1; /* code */
            break;
        case 3:
            lab6_payload(&frame)[17] = 0; /* an option of no length */
            break;
        case 4:
            lab6_payload(&frame)[25] = 9; /* and one beyond the end */
            break;
        }
        lab6_seal(&frame);
        lab_put(&lab, 0, &frame);
        lab_step(&lab, 4);
        EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ND), ++bad);
    }
    struct lab_frame own = good; /* a loop brings our own words back */
    memcpy(own.bytes + MAC_BYTES, lab_port_mac(0), MAC_BYTES);
    lab_put(&lab, 0, &own);
    lab_step(&lab, 4);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ND_NOT_FOR_US), 1);
    expect_nothing_learned(&lab);
    finish(&lab);
}

/* ---- Addresses (RFC 4862 5.5) -----------------------------------------------------------------
 */

TEST(autoconf_prefix_becomes_an_address_that_is_asked_for_first)
{
    struct lab lab = start();
    uint8_t eui64[8];

    hear_usual(&lab);
    const struct ipv6_address *learned = learned_in(&lab, LEARNED);
    EXPECT(learned && learned->state == IPV6_ADDRESS_TENTATIVE && learned->length == 64);
    const struct address address = learned->address;
    ipv6_eui64(lab_port_mac(0), eui64);
    EXPECT(memcmp(address.bytes + 8, eui64, 8) != 0); /* it tells nothing of the card */
    lab_wait(&lab, 2200);
    EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_VALID);
    EXPECT(count_of(&lab, ICMP6_NEIGHBOR_SOLICITATION) >= 1);
    /* It answers, from where the default route leads, and so does the net's anycast address. */
    char text[2][ADDRESS_TEXT_MAX] = { "", LEARNED };
    address_text(&address, text[0]);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t message[16] = { ICMP6_ECHO_REQUEST };
        struct lab_frame out;
        struct lab_frame echo = lab6_icmp(0, &(struct lab6_packet){ FAR, text[i], .hop_limit = 64 },
                                          message, sizeof(message));
        lab6_forget_frames(&lab);
        lab_put(&lab, 0, &echo);
        lab_step(&lab, 4);
        EXPECT(lab_take(&lab, 0, &out));
        EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_ECHO_REPLY);
        EXPECT(ipv6_equal(lab6_header(&out)->source, address.bytes));
        EXPECT(mac_equal(out.bytes, lab_host_mac(0, 9)));
    }
    EXPECT(way_to(&lab, LEARNED "77").kind == NEXT_HOP_CONNECTED);
    finish(&lab);
}

/* RFC 4862 5.4.2: all hosts of the link make one at once. */
TEST(autoconf_addresses_are_asked_for_each_at_a_time_of_its_own)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(0);

    for (uint8_t i = 0; i < AUTOCONF_PREFIX_MAX; i++) {
        struct nd_prefix prefix = prefix_told(LEARNED, 1800, 1800);
        prefix.prefix[7] = i;
        add_prefix(&told, &prefix);
    }
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 100);
    unsigned soon = count_of(&lab, ICMP6_NEIGHBOR_SOLICITATION);
    EXPECT(soon < AUTOCONF_PREFIX_MAX);
    lab_wait(&lab, 1000);
    EXPECT_EQUAL(soon + count_of(&lab, ICMP6_NEIGHBOR_SOLICITATION), AUTOCONF_PREFIX_MAX);
    finish(&lab);
}

TEST(autoconf_prefix_that_is_of_another_length_or_not_autonomous_makes_no_address)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(1800);
    struct nd_prefix prefix = prefix_told(LEARNED, 1800, 1800);

    prefix.autonomous = false;
    add_prefix(&told, &prefix);
    prefix = prefix_told(LEARNED2, 1800, 1800);
    prefix.prefix_bits = 63;
    add_prefix(&told, &prefix);
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 300);
    EXPECT(!learned_in(&lab, LEARNED) && !learned_in(&lab, LEARNED2));
    /* But who has one is on the link, and found there. */
    EXPECT_EQUAL(way_to(&lab, LEARNED "5").kind, NEXT_HOP_CONNECTED);
    EXPECT_EQUAL(way_to(&lab, "2001:db8:8:1::5").kind, NEXT_HOP_CONNECTED);
    lab6_forget_frames(&lab);
    struct lab_frame frame =
        lab6_frame(1, &(struct lab6_packet){ HOST_1, LEARNED "5", .payload_bytes = 9 });
    struct lab_frame answer =
        lab6_advertisement(0, LEARNED "5", "fe80::ff:fe00:0", LEARNED "5", lab_host_mac(0, 5),
                           (struct advertised){ .solicited = true, .override = true });
    struct lab_frame out;
    lab_put(&lab, 1, &frame);
    lab_step(&lab, 4);
    EXPECT(lab_take(&lab, 0, &out)); /* the question */
    lab_put(&lab, 0, &answer);
    lab_step(&lab, 4);
    EXPECT(lab_take(&lab, 0, &out));
    EXPECT(mac_equal(out.bytes, lab_host_mac(0, 5)));
    finish(&lab);
}

TEST(autoconf_prefix_that_another_link_has_is_not_believed)
{
    static const struct {
        const char *prefix;
        uint8_t length;
        bool believed;
    } cases[] = {
        { "2001:db8:1::", 64, false },        /* eth1's own, */
        { "2001:db8:1::2", 128, false },      /* a host there, */
        { "2001:db8:1:0:8000::", 65, false }, /* half of it; */
        { "2001:db8:f000::", 48, true },
        { "2001:db8:f000::", 47, false }, /* more than a site's, */
        { "2000::", 3, false },           /* or everything */
        { "::", 0, false },
        { "::", 64, false },           /* special addresses */
        { "2001:db8:5::", 64, false }, /* by a static route elsewhere, */
        { "2001:db8:5:1::", 64, false },
        { "2001:db8:5::", 48, true }, /* or a wider one */
        { "2001:db8:6::", 64, true },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct lab lab = start();
        struct nd_router_advertisement told = advertisement_of(0);
        struct nd_prefix prefix = prefix_told(cases[i].prefix, 1800, 1800);
        lab_route(&lab, "2001:db8:5::/56", HOST_1);
        lab_route(&lab, "2001:db8::/32", HOST_1);
        lab_route(&lab, "::/0", HOST_1);
        lab_commit(&lab);
        unsigned cursor = 0;
        struct prefix net;
        uint16_t port;
        prefix.prefix_bits = cases[i].length;
        add_prefix(&told, &prefix);
        hear(&lab, ROUTER, &told);
        lab_wait(&lab, 300);
        EXPECT_EQUAL(autoconf_next_net(lab.router->autoconf, &cursor, &net, &port),
                     cases[i].believed);
        EXPECT_EQUAL(way_to(&lab, HOST_1).port, 1);
        finish(&lab);
    }
}

/* A statement may come later than what contradicts it; and what is taken back is gone. */
TEST(autoconf_prefix_is_not_believed_any_more_when_another_port_gets_it)
{
    struct lab lab = start();

    hear_usual(&lab);
    lab_wait(&lab, 2500);
    EXPECT_EQUAL(way_to(&lab, LEARNED "5").port, 0);
    lab_address(&lab, "eth1", LEARNED "1/64");
    lab_commit(&lab);
    lab_wait(&lab, 2500);
    EXPECT_EQUAL(way_to(&lab, LEARNED "5").port, 1);
    EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_NONE);
    hear_usual(&lab);
    lab_wait(&lab, 300);
    EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_NONE);
    finish(&lab);
}

static unsigned connected_count;

static enum error count_connected(void *rib, const struct prefix *prefix, uint16_t path)
{
    const struct prefix net = { address_of(LEARNED), 64 };

    connected_count += prefix_equal(prefix, &net) && rib_path(rib, path)->protocol == PROTOCOL_RA;
    return OK;
}

TEST(autoconf_net_of_several_ports_is_that_of_the_first_one_that_is_up)
{
    struct lab lab = lab_create(1, 2);
    struct config_interface second = { .name = "eth1", .ipv6_auto = true };
    struct rib *rib = lab.router->ribs[FAMILY_IPV6];

    EXPECT_EQUAL(config_set_interface(lab.config, &second), OK);
    tell_auto(&lab, true);
    lab_wait(&lab, 2500);
    for (unsigned port = 2; port-- > 0;) {
        struct nd_router_advertisement told = advertisement_of(0);
        const struct nd_prefix prefix = prefix_told(LEARNED, 1800, 1800);
        add_prefix(&told, &prefix);
        hear_on(&lab, port, ROUTER, &told);
        lab_wait(&lab, 300);
        connected_count = 0;
        EXPECT_EQUAL(rib_each(rib, count_connected, rib), OK);
        EXPECT_EQUAL(connected_count, 1);
        EXPECT_EQUAL(way_to(&lab, LEARNED "5").port, port);
        EXPECT_EQUAL(way_to(&lab, LEARNED).kind, NEXT_HOP_LOCAL);
    }
    wire_nic_set_link(lab.cards[0], false);
    lab_wait(&lab, 500);
    EXPECT_EQUAL(way_to(&lab, LEARNED "5").port, 1);
    EXPECT_EQUAL(way_to(&lab, LEARNED).kind, NEXT_HOP_LOCAL);
    finish(&lab);
}

TEST(autoconf_prefix_that_is_autonomous_alone_makes_an_address_without_a_net)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(1800);
    struct nd_prefix prefix = prefix_told(LEARNED, 1800, 1800);

    prefix.on_link = false;
    add_prefix(&told, &prefix);
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 2500);
    EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_VALID);
    EXPECT_EQUAL(way_to(&lab, LEARNED "5").kind, NEXT_HOP_GATEWAY); /* by the default route */
    finish(&lab);
}

/* What static routes lead through may be a net that was learned: the RIB says so, and the view is
 * made after it. */
TEST(autoconf_static_route_through_a_learned_net_is_in_use_while_the_net_is_there)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(0);
    struct nd_prefix prefix = prefix_told(LEARNED, 100, 100);
    struct config_route backup = { .prefix = { address_of("2001:db8:ffff::"), 48 },
                                   .kind = ROUTE_GATEWAY,
                                   .distance = 10,
                                   .gateway_count = 1,
                                   .gateways = { address_of(HOST_1) } };

    prefix.autonomous = false; /* nothing but the net changes */
    add_prefix(&told, &prefix);
    lab_route(&lab, "2001:db8:ffff::/48", LEARNED "99");
    EXPECT_EQUAL(config_set_route(lab.config, &backup), OK);
    lab_commit(&lab);
    lab_wait(&lab, 300);
    EXPECT_EQUAL(way_to(&lab, FAR).port, 1);
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 300);
    EXPECT(leads_to(&lab, LEARNED "99"));
    lab_wait(&lab, 100 * S);
    EXPECT_EQUAL(way_to(&lab, FAR).port, 1);
    finish(&lab);
}

TEST(autoconf_address_is_deprecated_and_then_goes)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(9000);
    const struct nd_prefix first = prefix_told(LEARNED, 100, 50);
    const struct nd_prefix second = prefix_told(LEARNED2, 9000, 9000);
    const struct address far = address_of(FAR);

    add_prefix(&told, &first);
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 2500);
    add_prefix(&told, &second);
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 2500);
    EXPECT(!learned_in(&lab, LEARNED)->deprecated);
    lab_wait(&lab, 50 * S);
    EXPECT(learned_in(&lab, LEARNED)->deprecated);
    EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_VALID);
    /* RFC 6724 5, rule 3: the other is the source now. */
    struct address source = forwarding_source(atomic_load(&lab.router->forwarding), 0, &far);
    EXPECT(address_equal(&source, &learned_in(&lab, LEARNED2)->address));
    hear(&lab, ROUTER, &told); /* told again, it is as new */
    lab_wait(&lab, 200);
    EXPECT(!learned_in(&lab, LEARNED)->deprecated);
    lab_wait(&lab, 101 * S);
    EXPECT(!learned_in(&lab, LEARNED) && learned_in(&lab, LEARNED2));
    EXPECT_EQUAL(way_to(&lab, LEARNED "5").kind, NEXT_HOP_GATEWAY);
    finish(&lab);
}

/* RFC 4862 5.5.3 e: what is left, what is told, what is left then; in seconds. */
TEST(autoconf_lifetime_is_not_cut_below_two_hours)
{
    static const struct {
        uint32_t left_s, told_s, then_s;
    } cases[] = {
        { 10000, 20000, 20000 }, /* more than two hours */
        { 20000, 8000, 8000 },   /* less, but more than two hours still */
        { 20000, 100, 7200 },    /* cut to two hours, */
        { 20000, 0, 7200 },
        { 7000, 100, 7000 },  /* and what is less stays, */
        { 7000, 7100, 7100 }, /* unless it is made longer */
        { ND_INFINITE_S, 9000, 9000 },
        { 9000, 7200, 7200 },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct lab lab = start();
        struct nd_router_advertisement told = advertisement_of(1800);
        struct nd_prefix prefix = prefix_told(LEARNED, cases[i].left_s, cases[i].left_s);
        add_prefix(&told, &prefix);
        hear(&lab, ROUTER, &told);
        told.prefixes[0] = prefix_told(LEARNED, cases[i].told_s, cases[i].told_s);
        hear(&lab, ROUTER, &told);
        uint64_t left_s = valid_left_s(&lab, LEARNED);
        EXPECT(left_s <= cases[i].then_s && left_s + 2 >= cases[i].then_s);
        EXPECT_EQUAL(learned_in(&lab, LEARNED)->deprecated, cases[i].told_s == 0);
        finish(&lab);
    }
}

TEST(autoconf_address_is_the_same_when_the_link_comes_back)
{
    struct lab lab = start();

    hear_usual(&lab);
    const struct address before = learned_in(&lab, LEARNED)->address;
    lab_wait(&lab, 2500);
    wire_nic_set_link(lab.cards[0], false);
    lab_wait(&lab, 300);
    expect_nothing_learned(&lab);
    wire_nic_set_link(lab.cards[0], true);
    lab6_forget_frames(&lab);
    lab_wait(&lab, 3 * S);
    EXPECT_EQUAL(count_of(&lab, ICMP6_ROUTER_SOLICITATION), 1);
    hear_usual(&lab);
    EXPECT(address_equal(&learned_in(&lab, LEARNED)->address, &before));
    lab_wait(&lab, 2500);
    EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_VALID);
    EXPECT(leads_to(&lab, ROUTER));
    finish(&lab);
}

/* Somebody has each address that is tried. */
static void take_away(struct lab *lab, const struct address *address)
{
    char text[ADDRESS_TEXT_MAX];
    struct lab_frame frame =
        lab6_advertisement(0, address_text(address, text), "ff02::1", text, lab_host_mac(0, 99),
                           (struct advertised){ .override = true });

    lab_put(lab, 0, &frame);
    lab_step(lab, 4);
}

/* RFC 7217 6. */
TEST(autoconf_address_that_somebody_has_is_tried_anew_a_few_times)
{
    struct lab lab = start();
    struct address tried[AUTOCONF_TRIES + 1];

    hear_usual(&lab);
    for (unsigned i = 0; i <= AUTOCONF_TRIES; i++) {
        EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_TENTATIVE);
        tried[i] = learned_in(&lab, LEARNED)->address;
        for (unsigned k = 0; k < i; k++)
            EXPECT(!address_equal(&tried[i], &tried[k]));
        lab_wait(&lab, 300);
        take_away(&lab, &tried[i]);
    }
    EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_DUPLICATE);
    hear_usual(&lab);
    lab_wait(&lab, 3 * S);
    EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_DUPLICATE);
    EXPECT(leads_to(&lab, ROUTER)); /* the router is as good as before */
    finish(&lab);
}

/* Who tells many prefixes, and has each address that follows, must not fill the log with it. */
TEST(autoconf_addresses_that_somebody_has_are_logged_seldom)
{
    struct lab lab = start();
    uint64_t before = core_current()->log->written;

    for (unsigned i = 0; i < 20; i++) {
        struct nd_router_advertisement told = advertisement_of(0);
        const struct nd_prefix prefix = prefix_told(LEARNED, 1, 1);
        add_prefix(&told, &prefix);
        hear(&lab, ROUTER, &told);
        for (unsigned tries = 0; tries <= AUTOCONF_TRIES; tries++) {
            lab_wait(&lab, 30);
            take_away(&lab, &learned_in(&lab, LEARNED)->address);
        }
        lab_wait(&lab, 1500);
        EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_NONE);
    }
    EXPECT(core_current()->log->written - before <= 2 * (20 * 1700 / AUTOCONF_LOG_MS + 1));
    finish(&lab);
}

TEST(autoconf_address_of_the_second_try_is_used)
{
    struct lab lab = start();

    hear_usual(&lab);
    lab_wait(&lab, 300);
    take_away(&lab, &learned_in(&lab, LEARNED)->address);
    lab_wait(&lab, 2500);
    EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_VALID);
    const struct address address = learned_in(&lab, LEARNED)->address;
    EXPECT_EQUAL(forwarding_kind(atomic_load(&lab.router->forwarding), &address), NEXT_HOP_LOCAL);
    finish(&lab);
}

TEST(autoconf_prefixes_beyond_the_bound_are_left_out)
{
    struct lab lab = start();
    char network[32];
    unsigned count = 0;

    for (unsigned i = 0; i < 2 * AUTOCONF_PREFIX_MAX; i++) {
        struct nd_router_advertisement told = advertisement_of(1800);
        snprintf(network, sizeof(network), "2001:db8:%x::", 0x100 + i);
        const struct nd_prefix prefix = prefix_told(network, ND_INFINITE_S, ND_INFINITE_S);
        add_prefix(&told, &prefix);
        hear(&lab, ROUTER, &told);
    }
    for (unsigned i = 0; i < 2 * AUTOCONF_PREFIX_MAX; i++) {
        snprintf(network, sizeof(network), "2001:db8:%x::", 0x100 + i);
        count += learned_in(&lab, network) != NULL;
    }
    EXPECT_EQUAL(count, AUTOCONF_PREFIX_MAX);
    lab_wait(&lab, 2500);
    tell_auto(&lab, false);
    expect_nothing_learned(&lab);
    finish(&lab);
}

/* ---- Parameters of the link -------------------------------------------------------------------
 */

TEST(autoconf_mtu_of_the_link_limits_what_is_sent_there)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(1800);
    struct lab_frame frame =
        lab6_frame(1, &(struct lab6_packet){ HOST_1, FAR, .payload_bytes = 1400 });
    struct lab_frame out;

    lab6_meet(&lab, 1, HOST_1, 2);
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 200);
    for (unsigned mtu = 1279; mtu <= 1501; mtu += mtu == 1280 ? 220 : 1) {
        told.mtu = mtu; /* 1279 cannot be; 1280 is too little; 1500 enough; 1501 more than ours */
        hear(&lab, ROUTER, &told);
        lab_wait(&lab, 200);
        lab6_forget_frames(&lab);
        lab_put(&lab, 1, &frame);
        lab_step(&lab, 4);
        EXPECT_EQUAL(lab_take(&lab, mtu == 1280, &out), true);
        EXPECT_EQUAL(lab_take(&lab, mtu != 1280, &out), false);
        if (mtu == 1280)
            EXPECT_EQUAL(load_be32(lab6_payload(&out) + 4), 1280);
    }
    finish(&lab);
}

TEST(autoconf_hop_limit_is_that_of_the_link_unless_it_would_cut_us_off)
{
    static const uint8_t told_limits[] = { 128, 0, 1, 31, 32 },
                         then_limits[] = { 128, 128, 128, 128, 32 };
    struct lab lab = start();
    uint8_t message[16] = { ICMP6_ECHO_REQUEST };
    struct lab_frame out,
        echo = lab6_icmp(0, &(struct lab6_packet){ "fe80::5", "fe80::ff:fe00:0", .hop_limit = 64 },
                         message, sizeof(message));
    struct lab_frame met =
        lab6_solicitation(0, "fe80::5", "fe80::ff:fe00:0", "fe80::ff:fe00:0", lab_host_mac(0, 5));

    lab_put(&lab, 0, &met);
    for (unsigned i = 0; i < ARRAY_COUNT(told_limits); i++) {
        struct nd_router_advertisement told = advertisement_of(1800);
        told.hop_limit = told_limits[i];
        hear(&lab, ROUTER, &told);
        lab_wait(&lab, 200);
        lab6_forget_frames(&lab);
        lab_put(&lab, 0, &echo);
        lab_step(&lab, 4);
        EXPECT(lab_take(&lab, 0, &out));
        EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_ECHO_REPLY);
        EXPECT_EQUAL(lab6_header(&out)->hop_limit, then_limits[i]);
    }
    finish(&lab);
}

/* Packets to a host that is not there: how many questions in how many milliseconds. */
static unsigned questions(struct lab *lab, const char *host, unsigned ms)
{
    struct lab_frame frame =
        lab6_frame(1, &(struct lab6_packet){ HOST_1, host, .payload_bytes = 9 });

    lab_wait(lab, 8 * S); /* those before were given up */
    lab6_forget_frames(lab);
    lab_put(lab, 1, &frame);
    lab_wait(lab, ms);
    return count_of(lab, ICMP6_NEIGHBOR_SOLICITATION);
}

TEST(autoconf_neighbors_are_asked_as_often_as_the_link_wants)
{
    struct lab lab = start();
    struct nd_router_advertisement told = advertisement_of(1800);
    const struct nd_prefix prefix = prefix_told(LEARNED, 1800, 1800);

    add_prefix(&told, &prefix);
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 2000);
    EXPECT_EQUAL(questions(&lab, LEARNED "51", 900), 1);
    told.retransmit_ms = 1; /* less than we would stoop to */
    hear(&lab, ROUTER, &told);
    EXPECT_EQUAL(questions(&lab, LEARNED "52", 150), 2);
    told.retransmit_ms = 2000;
    hear(&lab, ROUTER, &told);
    EXPECT_EQUAL(questions(&lab, LEARNED "53", 1900), 1);
    told.retransmit_ms = UINT32_MAX; /* what waits for neighbors must not wait for ever */
    hear(&lab, ROUTER, &told);
    EXPECT(questions(&lab, LEARNED "55", 11 * S) >= 2);
    lab_wait(&lab, 20 * S);
    wire_nic_set_link(lab.cards[0], false); /* which forgets it */
    lab_wait(&lab, 300);
    wire_nic_set_link(lab.cards[0], true);
    lab_wait(&lab, 2500);
    told.retransmit_ms = 0;
    hear(&lab, ROUTER, &told);
    lab_wait(&lab, 2000);
    EXPECT_EQUAL(questions(&lab, LEARNED "54", 1500), 2);
    lab_wait(&lab, 6 * S);
    finish(&lab);
}

/* ---- Commits ----------------------------------------------------------------------------------
 */

TEST(autoconf_commit_of_something_else_changes_nothing)
{
    struct lab lab = start();

    hear_usual(&lab);
    lab_wait(&lab, 2500);
    const struct address learned = learned_in(&lab, LEARNED)->address;
    uint64_t left_s = valid_left_s(&lab, LEARNED);
    lab6_forget_frames(&lab);
    lab_address(&lab, "eth1", "2001:db8:9::1/64");
    lab_route(&lab, "2001:db8:aaaa::/48", HOST_1);
    lab_commit(&lab);
    lab_wait(&lab, 200);
    EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_VALID);
    EXPECT(address_equal(&learned_in(&lab, LEARNED)->address, &learned));
    EXPECT(valid_left_s(&lab, LEARNED) + 1 >= left_s);
    EXPECT(leads_to(&lab, ROUTER));
    EXPECT_EQUAL(way_to(&lab, LEARNED "5").kind, NEXT_HOP_CONNECTED);
    EXPECT_EQUAL(forwarding_kind(atomic_load(&lab.router->forwarding), &learned), NEXT_HOP_LOCAL);
    EXPECT_EQUAL(count_of(&lab, ICMP6_NEIGHBOR_SOLICITATION), 0); /* nothing is asked again */
    finish(&lab);
}

TEST(autoconf_statement_that_goes_takes_all_that_was_learned)
{
    struct lab lab = start();

    hear_usual(&lab);
    lab_wait(&lab, 2500);
    tell_auto(&lab, false);
    expect_nothing_learned(&lab);
    EXPECT_EQUAL(ipv6_addresses_count(lab.router->ipv6_addresses), 3); /* of eth1 */
    lab6_forget_frames(&lab);
    lab_wait(&lab, 10 * S);
    EXPECT_EQUAL(count_of(&lab, ICMP6_ROUTER_SOLICITATION), 0);
    finish(&lab);
}

/* The usual router is heard, and the address that is learned is in a statement then. */
static struct prefix learn_and_state(struct lab *lab)
{
    char text[PREFIX_TEXT_MAX];

    hear_usual(lab);
    lab_wait(lab, 2500);
    const struct prefix own = { learned_in(lab, LEARNED)->address, 64 };
    lab_address(lab, "eth0", prefix_text(&own, text));
    lab_commit(lab);
    return own;
}

TEST(autoconf_address_that_a_statement_has_as_well_is_the_statements)
{
    struct lab lab = start();
    const struct prefix own = learn_and_state(&lab);

    lab_wait(&lab, 300);
    struct nd_router_advertisement told = advertisement_of(0);
    const struct nd_prefix prefix = prefix_told(LEARNED, 0, 0);
    add_prefix(&told, &prefix);
    hear(&lab, ROUTER, &told);
    wire_nic_set_link(lab.cards[0], false);
    lab_wait(&lab, 300);
    wire_nic_set_link(lab.cards[0], true);
    lab_wait(&lab, 2 * S);
    EXPECT_EQUAL(ipv6_addresses_state(lab.router->ipv6_addresses, 0, &own.address),
                 IPV6_ADDRESS_VALID);
    EXPECT_EQUAL(way_to(&lab, LEARNED "5").kind, NEXT_HOP_CONNECTED);
    EXPECT_EQUAL(way_to(&lab, FAR).kind, NEXT_HOP_NONE);
    finish(&lab);
}

/* What routers repeat every few minutes, or a stranger a thousand times a second. */
TEST(autoconf_advertisement_with_nothing_new_makes_no_view)
{
    struct lab lab = start();

    hear_usual(&lab);
    lab_wait(&lab, 2500);
    const struct forwarding *view = atomic_load(&lab.router->forwarding);
    for (unsigned i = 0; i < 5; i++) {
        hear_usual(&lab);
        lab_wait(&lab, 250);
    }
    EXPECT(atomic_load(&lab.router->forwarding) == view);
    finish(&lab);
}

TEST(autoconf_address_is_still_learned_when_its_statement_goes)
{
    struct lab lab = start();
    const struct prefix own = learn_and_state(&lab);

    EXPECT_EQUAL(config_remove_address(lab.config, "eth0", &own), OK);
    lab_commit(&lab);
    lab_wait(&lab, 300);
    EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_VALID);
    EXPECT_EQUAL(forwarding_kind(atomic_load(&lab.router->forwarding), &own.address),
                 NEXT_HOP_LOCAL);
    finish(&lab);
}

/* RFC 4862 5.4.5. */
TEST(autoconf_port_without_ipv6_learns_nothing)
{
    struct lab lab = lab_create(1, 2);
    const struct address link_local = address_of("fe80::ff:fe00:0");

    lab_address(&lab, "eth1", "2001:db8:1::1/64");
    tell_auto(&lab, true);
    lab_wait(&lab, 300);
    hear_usual(&lab);
    take_away(&lab, &link_local);
    lab_wait(&lab, 300);
    EXPECT_EQUAL(ipv6_addresses_state(lab.router->ipv6_addresses, 0, &link_local),
                 IPV6_ADDRESS_DUPLICATE);
    hear_usual(&lab);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_IPV6_DISABLED), 1);
    expect_nothing_learned(&lab);
    lab6_forget_frames(&lab);
    lab_wait(&lab, 5 * S);
    EXPECT_EQUAL(count_of(&lab, ICMP6_ROUTER_SOLICITATION), 0);
    finish(&lab);
}

TEST(autoconf_without_memory_it_is_learned_when_it_is_told_again)
{
    for (uint64_t n = 0, done = false; !done; n++) {
        struct lab lab = start();
        host_fail_allocation(n);
        hear_usual(&lab);
        lab_wait(&lab, 300);
        done = host_allocation_count() <= n;
        host_fail_allocation(UINT64_MAX);
        hear_usual(&lab);
        lab_wait(&lab, 2500);
        EXPECT_EQUAL(learned_state(&lab, LEARNED), IPV6_ADDRESS_VALID);
        EXPECT(leads_to(&lab, ROUTER));
        EXPECT_EQUAL(way_to(&lab, LEARNED "5").kind, NEXT_HOP_CONNECTED);
        finish(&lab);
    }
}
