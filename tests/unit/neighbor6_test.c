/* Neighbor discovery as the stations on a link see it: duplicate detection, solicitations and their
 * answers, resolving, and what the state of a neighbor becomes. */
#include <string.h>

#include "kernel/base/bytes.h"
#include "net/nd.h"
#include "net/neighbor.h"
#include "net/wire/ipv4.h"
#include "net/wire/mld.h"
#include "tests/unit/lab6.h"

#define US_0         "2001:db8:0::1"
#define GROUP_0      "ff02::1:ff00:1"
#define LINK_LOCAL_0 "fe80::ff:fe00:0"
#define HOST_0       "2001:db8:0::2"
#define HOST_1       "2001:db8:1::2"
#define STRANGER     "2001:db8:1::9"
#define US_1         "2001:db8:1::1"

static void finish(struct lab *lab)
{
    lab_expect_books(lab);
    lab_destroy(lab);
}

static void send(struct lab *lab, unsigned port, const struct lab_frame *frame)
{
    lab_put(lab, port, frame);
    lab_step(lab, 4);
}

static enum ipv6_address_state state_of(struct lab *lab, unsigned port, const char *text)
{
    const struct address address = address_of(text);

    return ipv6_addresses_state(lab->router->ipv6_addresses, (uint16_t)port, &address);
}

/* A lab in which eth0 has just got its addresses. */
static struct lab begin(void)
{
    struct lab lab = lab_create(1, 2);

    lab_address(&lab, "eth0", "2001:db8:0::1/64");
    lab_commit(&lab);
    return lab;
}

/* ---- Duplicate detection (RFC 4862 5.4) -------------------------------------------------------
 */

/* The next frame that is not a listener's report: mld_test.c. */
static bool take_discovery(struct lab *lab, unsigned port, struct lab_frame *frame)
{
    while (lab_take(lab, port, frame))
        if (lab6_header(frame)->next_header != PROTOCOL_HOP_BY_HOP)
            return true;
    return false;
}

TEST(neighbor6_address_is_probed_once_and_valid_a_second_later)
{
    struct lab lab = begin();
    struct lab_frame out;
    unsigned probes = 0, announcements = 0;

    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_TENTATIVE);
    EXPECT_EQUAL(state_of(&lab, 0, LINK_LOCAL_0), IPV6_ADDRESS_TENTATIVE);
    EXPECT_EQUAL(state_of(&lab, 1, US_0), IPV6_ADDRESS_NONE);
    lab_wait(&lab, 900);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_TENTATIVE);
    while (take_discovery(&lab, 0, &out)) {
        struct nd_neighbor_solicitation solicitation;
        uint8_t group[16], mac[6];
        EXPECT_EQUAL(lab6_header(&out)->hop_limit, ND_HOP_LIMIT);
        EXPECT(icmp6_is_good(lab6_payload(&out), lab6_payload_bytes(&out),
                             lab6_header(&out)->source, lab6_header(&out)->destination));
        EXPECT_EQUAL(nd_neighbor_solicitation_read(lab6_header(&out), lab6_payload(&out),
                                                   lab6_payload_bytes(&out), &solicitation),
                     OK);
        lab6_expect_address(lab6_header(&out)->source, "::");
        EXPECT(!solicitation.has_source_mac);
        ipv6_solicited_node(solicitation.target, group);
        EXPECT(ipv6_equal(lab6_header(&out)->destination, group));
        ipv6_multicast_mac(group, mac);
        EXPECT(mac_equal(out.bytes, mac));
        EXPECT(mac_equal(out.bytes + 6, lab_port_mac(0)));
        probes++;
    }
    EXPECT_EQUAL(probes, 2); /* the link-local address has one, too */
    lab_wait(&lab, 200);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_VALID);
    EXPECT_EQUAL(state_of(&lab, 0, LINK_LOCAL_0), IPV6_ADDRESS_VALID);
    while (take_discovery(&lab, 0, &out)) {
        struct nd_neighbor_advertisement advertisement;
        EXPECT_EQUAL(nd_neighbor_advertisement_read(lab6_header(&out), lab6_payload(&out),
                                                    lab6_payload_bytes(&out), &advertisement),
                     OK);
        EXPECT(advertisement.router && advertisement.override && !advertisement.solicited);
        EXPECT(ipv6_equal(lab6_header(&out)->source, advertisement.target));
        lab6_expect_address(lab6_header(&out)->destination, "ff02::1");
        EXPECT(mac_equal(advertisement.target_mac, lab_port_mac(0)));
        announcements++;
    }
    EXPECT_EQUAL(announcements, 2);
    EXPECT(!lab_take(&lab, 1, &out));
    finish(&lab);
}

static void expect_no_use(struct lab *lab)
{
    uint8_t message[16] = { ICMP6_ECHO_REQUEST };
    struct lab_frame out;
    struct lab_frame asked = lab6_solicitation(0, HOST_0, GROUP_0, US_0, lab_host_mac(0, 2));
    struct lab_frame echo = lab6_icmp(0, &(struct lab6_packet){ HOST_0, US_0, .hop_limit = 64 },
                                      message, sizeof(message));

    send(lab, 0, &asked);
    send(lab, 0, &echo);
    while (lab_take(lab, 0, &out)) {
        EXPECT(!mac_equal(out.bytes, lab_host_mac(0, 2)));
        EXPECT(!ipv6_equal(lab6_header(&out)->source, address_of(US_0).bytes));
    }
}

TEST(neighbor6_tentative_address_is_not_answered_for)
{
    struct lab lab = begin();

    lab_wait(&lab, 500);
    expect_no_use(&lab);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_TENTATIVE);
    lab_wait(&lab, 1000);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_VALID);
    lab6_forget_frames(&lab);
    lab6_meet(&lab, 0, HOST_0, 2);
    lab_wait(&lab, 4000);
    finish(&lab);
}

static void expect_duplicate(const struct lab_frame *frame)
{
    struct lab lab = begin();

    lab_wait(&lab, 500);
    lab6_forget_frames(&lab);
    send(&lab, 0, frame);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_DUPLICATE);
    lab_wait(&lab, 3000);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_DUPLICATE);
    EXPECT_EQUAL(state_of(&lab, 0, LINK_LOCAL_0), IPV6_ADDRESS_VALID);
    lab6_forget_frames(&lab);
    expect_no_use(&lab);
    /* A probe of it is no longer answered either: it is the other's. */
    struct lab_frame out, probe = lab6_solicitation(0, "::", GROUP_0, US_0, NULL);
    send(&lab, 0, &probe);
    EXPECT(!lab_take(&lab, 0, &out));
    /* With the link it is tried anew. */
    wire_nic_set_link(lab.cards[0], false);
    lab_wait(&lab, 500);
    wire_nic_set_link(lab.cards[0], true);
    lab_wait(&lab, 2000);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_VALID);
    lab_wait(&lab, 4000);
    finish(&lab);
}

TEST(neighbor6_advertisement_for_a_tentative_address_makes_it_a_duplicate)
{
    struct lab_frame frame = lab6_advertisement(0, US_0, "ff02::1", US_0, lab_host_mac(0, 9),
                                                (struct advertised){ .override = true });

    expect_duplicate(&frame);
}

/* What eth0 has is sent to from host 1 behind eth1, over either family: how much arrives. */
static unsigned arrivals(struct lab *lab)
{
    struct lab_frame out;
    struct lab_frame frames[] = {
        lab6_frame(1, &(struct lab6_packet){ HOST_1, HOST_0, .payload_bytes = 9 }),
        lab_frame(1, &(struct lab_packet){ .source = "10.0.1.2", .destination = "10.0.0.2" }),
    };
    unsigned count = 0;

    lab6_forget_frames(lab);
    for (unsigned i = 0; i < ARRAY_COUNT(frames); i++)
        send(lab, 1, &frames[i]);
    while (lab_take(lab, 0, &out))
        count++;
    return count;
}

static void expect_link_local_duplicate(bool mend_by_mac)
{
    struct lab lab = lab_create(1, 2);
    struct lab_frame conflict =
        lab6_advertisement(0, LINK_LOCAL_0, "ff02::1", LINK_LOCAL_0, lab_host_mac(0, 9),
                           (struct advertised){ .override = true });
    struct lab_frame asked = lab6_solicitation(0, HOST_0, GROUP_0, US_0, lab_host_mac(0, 2));
    struct lab_frame out;

    lab_address(&lab, "eth0", "2001:db8:0::1/64");
    lab_address(&lab, "eth1", "2001:db8:1::1/64");
    lab_commit(&lab);
    lab_wait(&lab, 500);
    send(&lab, 0, &conflict);
    lab_wait(&lab, 3000);
    EXPECT_EQUAL(state_of(&lab, 0, LINK_LOCAL_0), IPV6_ADDRESS_DUPLICATE);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_DISABLED);
    EXPECT_EQUAL(state_of(&lab, 1, US_1), IPV6_ADDRESS_VALID);
    /* In silence, though IPv4 goes on. */
    lab6_forget_frames(&lab);
    send(&lab, 0, &asked);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_IPV6_DISABLED), 1);
    EXPECT(!lab_take(&lab, 0, &out));
    EXPECT_EQUAL(arrivals(&lab), 1);
    /* An address that comes meanwhile is not tried either. */
    lab_address(&lab, "eth0", "2001:db8:5::1/64");
    lab_commit(&lab);
    lab_wait(&lab, 2000);
    EXPECT_EQUAL(state_of(&lab, 0, "2001:db8:5::1"), IPV6_ADDRESS_DISABLED);
    EXPECT(!lab_take(&lab, 0, &out));
    if (mend_by_mac) {
        struct config_interface wish = { .name = "eth0", .has_mac = true, .mac = { 2, 7 } };
        EXPECT_EQUAL(config_set_interface(lab.config, &wish), OK);
        lab_commit(&lab);
    } else {
        wire_nic_set_link(lab.cards[0], false);
        lab_wait(&lab, 500);
        wire_nic_set_link(lab.cards[0], true);
    }
    lab_wait(&lab, 2000);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_VALID);
    EXPECT_EQUAL(state_of(&lab, 0, "2001:db8:5::1"), IPV6_ADDRESS_VALID);
    EXPECT(!mend_by_mac || state_of(&lab, 0, LINK_LOCAL_0) == IPV6_ADDRESS_NONE);
    lab_wait(&lab, 4000);
    finish(&lab);
}

/* RFC 4862 5.4.5. */
TEST(neighbor6_duplicate_link_local_address_disables_ipv6_until_the_link_has_been_down)
{
    expect_link_local_duplicate(false);
}

TEST(neighbor6_duplicate_link_local_address_disables_ipv6_until_the_mac_address_is_another)
{
    expect_link_local_duplicate(true);
}

/* RFC 4862 5.4.3: the loop of a switch brings our own probe back. */
TEST(neighbor6_own_probe_that_comes_back_is_no_duplicate)
{
    struct lab lab = begin();
    struct lab_frame out;

    lab_wait(&lab, 500);
    while (lab_take(&lab, 0, &out)) {
        lab_put(&lab, 0, &out);
        lab_step(&lab, 2);
    }
    lab_wait(&lab, 1000);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_VALID);
    finish(&lab);
}

TEST(neighbor6_address_is_tried_anew_with_the_link)
{
    struct lab lab = lab6_create(1, 2);

    wire_nic_set_link(lab.cards[0], false);
    lab_wait(&lab, 300);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_TENTATIVE);
    lab_wait(&lab, 5000);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_TENTATIVE);
    wire_nic_set_link(lab.cards[0], true);
    lab_wait(&lab, 900);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_TENTATIVE);
    lab_wait(&lab, 500);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_VALID);
    EXPECT_EQUAL(state_of(&lab, 1, US_1), IPV6_ADDRESS_VALID);
    finish(&lab);
}

TEST(neighbor6_address_that_is_taken_away_is_forgotten_even_while_it_is_tentative)
{
    struct lab lab = begin();
    struct prefix prefix = { .address = address_of(US_0), .length = 64 };
    struct lab_frame out;

    lab_wait(&lab, 500);
    EXPECT_EQUAL(config_remove_address(lab.config, "eth0", &prefix), OK);
    lab_commit(&lab);
    EXPECT_EQUAL(ipv6_addresses_count(lab.router->ipv6_addresses), 0);
    lab6_forget_frames(&lab);
    lab_wait(&lab, 3000);
    EXPECT(!take_discovery(&lab, 0, &out)); /* but its group is left: mld_test.c */
    finish(&lab);
}

/* ---- Answers (RFC 4861 7.2.3, 7.2.4) ----------------------------------------------------------
 */

static void expect_answer(struct lab *lab, const char *source, const char *destination,
                          const uint8_t *mac, bool solicited)
{
    struct nd_neighbor_advertisement advertisement;
    struct lab_frame out;

    EXPECT(lab_take(lab, 0, &out));
    EXPECT(mac_equal(out.bytes, mac));
    EXPECT(mac_equal(out.bytes + 6, lab_port_mac(0)));
    EXPECT_EQUAL(out.length_bytes, 14 + 40 + 32);
    EXPECT_EQUAL(lab6_header(&out)->hop_limit, ND_HOP_LIMIT);
    EXPECT_EQUAL(lab6_header(&out)->next_header, PROTOCOL_ICMP6);
    lab6_expect_address(lab6_header(&out)->source, source);
    lab6_expect_address(lab6_header(&out)->destination, destination);
    EXPECT(icmp6_is_good(lab6_payload(&out), lab6_payload_bytes(&out), lab6_header(&out)->source,
                         lab6_header(&out)->destination));
    EXPECT_EQUAL(nd_neighbor_advertisement_read(lab6_header(&out), lab6_payload(&out),
                                                lab6_payload_bytes(&out), &advertisement),
                 OK);
    lab6_expect_address(advertisement.target, source);
    EXPECT_EQUAL(advertisement.solicited, solicited);
    EXPECT(advertisement.router && advertisement.override && advertisement.has_target_mac);
    EXPECT(mac_equal(advertisement.target_mac, lab_port_mac(0)));
    lab6_expect_silence(lab);
}

/* The state of HOST_0 or another on eth0, with its MAC address. */
static struct neighbor_info neighbor_of(struct lab *lab, unsigned port, const char *text)
{
    const struct address address = address_of(text);
    struct address after = { 0 };
    struct neighbor_info info;

    while (neighbor_list(lab->router->neighbors, FAMILY_IPV6, &after, lab->now_ns, &info, 1) > 0) {
        if (info.port == port && address_equal(&info.address, &address))
            return info;
        after = info.address;
    }
    return (struct neighbor_info){ .state = NEIGHBOR_NONE };
}

TEST(neighbor6_solicitation_for_an_own_address_is_answered_and_its_sender_learned)
{
    struct lab lab = lab6_create(1, 2);
    static const char *const targets[][3] = {
        /* target, group, who asks */
        { US_0, GROUP_0, HOST_0 },
        { US_0, US_0, HOST_0 },
        { US_0, GROUP_0, "fe80::2" },
        { LINK_LOCAL_0, "ff02::1:ff00:0", "fe80::2" },
        { LINK_LOCAL_0, "ff02::1:ff00:0", HOST_0 },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(targets); i++) {
        struct lab_frame frame = lab6_solicitation(0, targets[i][2], targets[i][1], targets[i][0],
                                                   lab_host_mac(0, 40 + i));
        send(&lab, 0, &frame);
        expect_answer(&lab, targets[i][0], targets[i][2], lab_host_mac(0, 40 + i), true);
        struct neighbor_info info = neighbor_of(&lab, 0, targets[i][2]);
        EXPECT_EQUAL(info.state, NEIGHBOR_STALE);
        EXPECT(mac_equal(info.mac, lab_host_mac(0, 40 + i)));
    }
    EXPECT_EQUAL(lab_counters(&lab, 0).delivered, ARRAY_COUNT(targets));
    finish(&lab);
}

/* RFC 4861 7.2.8. On eth0 the router answers for what is behind eth1, and for nobody else. */
TEST(neighbor6_proxied_address_is_answered_for_where_its_route_leads_elsewhere)
{
    static const struct {
        const char *target, *source;
        bool answered;
        bool itself; /* is asked, not its group */
    } cases[] = {
        { "2001:db8:0::1:5", HOST_0, true, false },  /* on eth1 by a route of its own, */
        { "2001:db8:0::1:5", "::", true, false },    /* so that nobody here takes it */
        { "2001:db8:0::1:6", HOST_0, false, false }, /* in the prefix, but here */
        { "2001:db8:0::2:5", HOST_0, false, false }, /* not in it */
        { "2001:db8:0::ab", HOST_0, true, false },   /* a single one */
        { "2001:db8:0::ac", HOST_0, false, false },
        { "2001:db8:0::1:5", HOST_0, true, true }, /* is it still there? */
        { "2001:db8:0::1:5", "fe80::2", true, true },
        { "2001:db8:0::ab", HOST_0, true, true },
    };
    struct lab lab = lab6_create(1, 2);
    struct config_interface wish = { .name = "eth0", .proxied_count = 2 };

    wish.proxied[0] = (struct prefix){ address_of("2001:db8:0::ab"), 128 };
    wish.proxied[1] = (struct prefix){ address_of("2001:db8:0::1:0"), 112 };
    EXPECT_EQUAL(config_set_interface(lab.config, &wish), OK);
    lab_route(&lab, "2001:db8:0::1:5/128", HOST_1);
    lab_route(&lab, "2001:db8:0::ab/128", HOST_1);
    lab_commit(&lab);
    lab_wait(&lab, 200);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const bool probe = cases[i].source[0] == ':';
        const struct address target = address_of(cases[i].target);
        struct nd_neighbor_advertisement told;
        char group[ADDRESS_TEXT_MAX];
        struct address group_address = { .family = FAMILY_IPV6 };
        struct lab_frame out;
        ipv6_solicited_node(target.bytes, group_address.bytes);
        struct lab_frame asked = lab6_solicitation(
            0, cases[i].source,
            cases[i].itself ? cases[i].target : address_text(&group_address, group),
            cases[i].target, probe ? NULL : lab_host_mac(0, 2));
        lab6_forget_frames(&lab);
        send(&lab, 0, &asked);
        EXPECT_EQUAL(lab_take(&lab, 0, &out), cases[i].answered);
        if (!cases[i].answered)
            continue;
        EXPECT_EQUAL(nd_neighbor_advertisement_read(lab6_header(&out), lab6_payload(&out),
                                                    lab6_payload_bytes(&out), &told),
                     OK);
        EXPECT(ipv6_equal(told.target, target.bytes) && !told.override && told.router);
        EXPECT_EQUAL(told.solicited, !probe);
        if (cases[i].source[0] != 'f')
            lab6_expect_address(lab6_header(&out)->source, US_0);
        EXPECT(mac_equal(told.target_mac, lab_port_mac(0)));
    }
    EXPECT_EQUAL(state_of(&lab, 0, "2001:db8:0::ab"), IPV6_ADDRESS_PROXIED);
    lab_wait(&lab, 4000);
    finish(&lab);
}

TEST(neighbor6_port_without_an_ipv6_address_is_no_proxy)
{
    struct lab lab = lab_create(1, 2);
    struct config_interface wish = { .name = "eth0", .proxied_count = 1 };
    struct commit_report report;

    wish.proxied[0] = (struct prefix){ address_of("2001:db8:0::ab"), 128 };
    EXPECT_EQUAL(config_set_interface(lab.config, &wish), OK);
    EXPECT_EQUAL(lab_try_commit(&lab, &report), ERROR_BAD_VALUE);
    EXPECT_TEXT(report.problem, "ipv6 eth0 proxy: the interface has no IPv6 address");
    lab_destroy(&lab);
}

/* RFC 4291 2.6.1, RFC 4861 7.2.7. */
TEST(neighbor6_subnet_router_anycast_address_is_answered_for_without_overriding)
{
    static const char ANYCAST_0[] = "2001:db8:0::";
    struct lab lab = lab6_create(1, 2);
    struct lab_frame asked =
        lab6_solicitation(0, HOST_0, "ff02::1:ff00:0", ANYCAST_0, lab_host_mac(0, 2));
    uint8_t message[16] = { ICMP6_ECHO_REQUEST };
    struct lab_frame echo = lab6_icmp(
        0, &(struct lab6_packet){ HOST_0, ANYCAST_0, .hop_limit = 64 }, message, sizeof(message));
    struct lab_frame other =
        lab6_advertisement(0, "fe80::9", "ff02::1", ANYCAST_0, lab_host_mac(0, 9),
                           (struct advertised){ .router = true });
    struct nd_neighbor_advertisement advertisement;
    struct lab_frame out;

    send(&lab, 0, &asked);
    EXPECT(lab_take(&lab, 0, &out));
    EXPECT(mac_equal(out.bytes, lab_host_mac(0, 2)));
    lab6_expect_address(lab6_header(&out)->source, US_0);
    EXPECT_EQUAL(nd_neighbor_advertisement_read(lab6_header(&out), lab6_payload(&out),
                                                lab6_payload_bytes(&out), &advertisement),
                 OK);
    lab6_expect_address(advertisement.target, ANYCAST_0);
    EXPECT(advertisement.router && advertisement.solicited && !advertisement.override);
    send(&lab, 0, &echo);
    EXPECT(lab_take(&lab, 0, &out));
    lab6_expect_address(lab6_header(&out)->source, US_0);
    EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_ECHO_REPLY);
    EXPECT(icmp6_is_good(lab6_payload(&out), lab6_payload_bytes(&out), lab6_header(&out)->source,
                         lab6_header(&out)->destination));
    /* Another router of that net may say so, too. */
    send(&lab, 0, &other);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ND_CONFLICT), 0);
    EXPECT_EQUAL(state_of(&lab, 0, ANYCAST_0), IPV6_ADDRESS_VALID);
    lab6_expect_silence(&lab);
    finish(&lab);
}

TEST(neighbor6_nets_of_two_addresses_have_no_anycast_address)
{
    struct lab lab = lab_create(1, 2);

    lab_address(&lab, "eth0", "2001:db8:9::1/127");
    lab_address(&lab, "lo", "2001:db8:8::1/128");
    lab_commit(&lab);
    lab_wait(&lab, 2000);
    EXPECT_EQUAL(ipv6_addresses_count(lab.router->ipv6_addresses), 3);
    EXPECT_EQUAL(state_of(&lab, 0, "2001:db8:9::"), IPV6_ADDRESS_NONE);
    lab_wait(&lab, 3000);
    finish(&lab);
}

TEST(neighbor6_probe_of_our_address_is_answered_to_all)
{
    struct lab lab = lab6_create(1, 2);
    struct lab_frame frame = lab6_solicitation(0, "::", GROUP_0, US_0, NULL);

    send(&lab, 0, &frame);
    expect_answer(&lab, US_0, "ff02::1", (const uint8_t[]){ 0x33, 0x33, 0, 0, 0, 1 }, false);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_VALID);
    finish(&lab);
}

TEST(neighbor6_solicitation_for_others_is_not_answered)
{
    struct lab lab = lab6_create(1, 2);
    static const char *const cases[][4] = {
        /* source, destination, target, reason */
        { HOST_0, GROUP_0, US_1, "nd" }, /* ours, but on another link */
        { HOST_0, GROUP_0, "2001:db8:0::77", "nd" },
        { HOST_0, "ff02::1", "2001:db8:0::77", "nd" },
        { HOST_0, "ff02::1:ff00:77", "2001:db8:0::77", "group" },
        { STRANGER, GROUP_0, US_0, "bad" }, /* who is not on that link cannot ask */
        { US_0, GROUP_0, US_0, "conflict" },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        enum verdict why = cases[i][3][0] == 'n'   ? DROP_ND_NOT_FOR_US
                           : cases[i][3][0] == 'g' ? DROP_MULTICAST
                           : cases[i][3][0] == 'b' ? DROP_BAD_ND
                                                   : DROP_ND_CONFLICT;
        uint64_t before = lab_dropped(&lab, 0, why);
        struct lab_frame frame =
            lab6_solicitation(0, cases[i][0], cases[i][1], cases[i][2], lab_host_mac(0, 2));
        if (cases[i][3][0] == 'c') /* from our address by the router's own rules: let through */
            frame = lab6_solicitation(0, LINK_LOCAL_0, GROUP_0, US_0, lab_host_mac(0, 2));
        send(&lab, 0, &frame);
        if (cases[i][3][0] == 'c')
            EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_MARTIAN_SOURCE), 1);
        else
            EXPECT_EQUAL(lab_dropped(&lab, 0, why), before + 1);
        lab6_expect_silence(&lab);
        EXPECT_EQUAL(neighbor_of(&lab, 0, cases[i][0]).state, NEIGHBOR_NONE);
    }
    finish(&lab);
}

TEST(neighbor6_malformed_messages_are_dropped_and_change_nothing)
{
    struct lab lab = lab6_create(1, 2);
    const struct lab_frame solicitation =
        lab6_solicitation(0, HOST_0, GROUP_0, US_0, lab_host_mac(0, 2));
    const struct lab_frame advertisement = lab6_advertisement(
        0, HOST_0, "ff02::1", HOST_0, lab_host_mac(0, 2), (struct advertised){ .override = true });
    uint64_t bad = 0;

    for (unsigned kind = 0; kind < 2; kind++) {
        const struct lab_frame good = kind == 0 ? solicitation : advertisement;
        struct lab_frame frame = good;
        for (unsigned hop_limit = 0; hop_limit < 255; hop_limit++) { /* from beyond a router */
            lab6_header(&frame)->hop_limit = (uint8_t)hop_limit;
            send(&lab, 0, &frame);
            EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ND), ++bad);
        }
        frame = good;
        lab6_payload(&frame)[1] = 1; /* code */
        lab6_seal(&frame);
        send(&lab, 0, &frame);
        EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ND), ++bad);
        frame = good;
        lab6_payload(&frame)[25] = 0; /* an option of no length */
        lab6_seal(&frame);
        send(&lab, 0, &frame);
        EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ND), ++bad);
        lab6_payload(&frame)[25] = 2; /* and one beyond the end */
        lab6_seal(&frame);
        send(&lab, 0, &frame);
        EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ND), ++bad);
        frame = good;
        lab6_payload(&frame)[8] = 0xff; /* of a group */
        lab6_seal(&frame);
        send(&lab, 0, &frame);
        EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ND), ++bad);
        for (uint16_t length = 8; length < 24; length++) { /* cut short */
            frame = good;
            frame.length_bytes = 54u + length;
            lab6_header(&frame)->payload_length_be = __builtin_bswap16(length);
            lab6_seal(&frame);
            send(&lab, 0, &frame);
            EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ND), ++bad);
        }
        frame = good;
        lab6_payload(&frame)[2] ^= 1; /* checksum */
        send(&lab, 0, &frame);
        EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ICMP), kind + 1);
    }
    /* A probe with a source link-layer address, or to one station: RFC 4861 7.1.1. */
    struct lab_frame frame = lab6_solicitation(0, "::", GROUP_0, US_0, lab_host_mac(0, 2));
    send(&lab, 0, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ND), ++bad);
    frame = lab6_solicitation(0, "::", US_0, US_0, NULL);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ND), ++bad);
    lab6_expect_silence(&lab);
    EXPECT_EQUAL(lab_counters(&lab, 0).delivered, 0);
    EXPECT_EQUAL(neighbor_of(&lab, 0, HOST_0).state, NEIGHBOR_NONE);
    send(&lab, 0, &solicitation);
    expect_answer(&lab, US_0, HOST_0, lab_host_mac(0, 2), true);
    finish(&lab);
}

TEST(neighbor6_what_a_router_has_no_use_for_is_ignored)
{
    struct lab lab = lab6_create(1, 2);
    struct nd_redirect redirect = { .has_target_mac = true };
    struct nd_router_advertisement advertisement = { .lifetime_s = 1800, .has_source_mac = true };
    uint8_t message[200];
    struct lab6_packet packet = { "fe80::2", LINK_LOCAL_0, .hop_limit = ND_HOP_LIMIT };

    lab6_meet(&lab, 0, HOST_0, 2);
    memcpy(redirect.target, address_of("fe80::9").bytes, 16);
    memcpy(redirect.destination, address_of(HOST_1).bytes, 16);
    memcpy(redirect.target_mac, lab_host_mac(0, 9), 6);
    memcpy(advertisement.source_mac, lab_host_mac(0, 9), 6);
    size_t length = nd_redirect_write(&redirect, message, sizeof(message));
    struct lab_frame frame = lab6_icmp(0, &packet, message, length);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ND_IGNORED), 1);
    length = nd_router_advertisement_write(&advertisement, message, sizeof(message));
    frame = lab6_icmp(0, &packet, message, length);
    send(&lab, 0, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ND_IGNORED), 2);
    EXPECT_EQUAL(neighbor_of(&lab, 0, "fe80::9").state, NEIGHBOR_NONE);
    EXPECT_EQUAL(neighbor_of(&lab, 0, "fe80::2").state, NEIGHBOR_NONE);
    lab6_expect_silence(&lab);
    /* The way is as it was. */
    frame = lab6_frame(0, &(struct lab6_packet){ HOST_0, "2001:db8:99::1", .hop_limit = 64 });
    send(&lab, 0, &frame);
    lab6_expect_error(&lab, 0, &frame, US_0, ICMP6_UNREACHABLE, ICMP6_NO_ROUTE);
    finish(&lab);
}

TEST(neighbor6_advertisement_for_our_valid_address_is_a_conflict_and_we_keep_it)
{
    struct lab lab = lab6_create(1, 2);
    struct lab_frame frame = lab6_advertisement(0, HOST_0, "ff02::1", US_0, lab_host_mac(0, 9),
                                                (struct advertised){ .override = true });

    send(&lab, 0, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_ND_CONFLICT), 1);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_VALID);
    EXPECT_EQUAL(neighbor_of(&lab, 0, US_0).state, NEIGHBOR_NONE);
    finish(&lab);
}

/* ---- Resolving (RFC 4861 7.2.2) -------------------------------------------------------------- */

static void forward(struct lab *lab, const char *destination, uint16_t payload_bytes)
{
    struct lab_frame frame =
        lab6_frame(0, &(struct lab6_packet){ HOST_0, destination, .payload_bytes = payload_bytes });

    send(lab, 0, &frame);
}

static void answer(struct lab *lab, const char *target, unsigned host, struct advertised flags)
{
    const uint8_t *mac = host == 0 ? NULL : lab_host_mac(1, host);
    struct lab_frame frame = lab6_advertisement(1, target, US_1, target, mac, flags);

    send(lab, 1, &frame);
}

TEST(neighbor6_packets_wait_for_their_neighbor_and_leave_in_order)
{
    struct lab lab = lab6_create(1, 2);
    struct nd_neighbor_solicitation solicitation;
    struct lab_frame out;

    lab6_meet(&lab, 0, HOST_0, 2);
    for (uint16_t i = 0; i < 5; i++)
        forward(&lab, HOST_1, (uint16_t)(20 + i));
    EXPECT_EQUAL(lab_counters(&lab, 0).held, NEIGHBOR_WAITING_MAX);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NEIGHBOR_QUEUE_FULL), 2);
    EXPECT_EQUAL(neighbor_of(&lab, 1, HOST_1).state, NEIGHBOR_INCOMPLETE);

    EXPECT(lab_take(&lab, 1, &out));
    EXPECT(mac_equal(out.bytes, (const uint8_t[]){ 0x33, 0x33, 0xff, 0, 0, 2 }));
    lab6_expect_address(lab6_header(&out)->source, US_1);
    lab6_expect_address(lab6_header(&out)->destination, "ff02::1:ff00:2");
    EXPECT_EQUAL(lab6_header(&out)->hop_limit, ND_HOP_LIMIT);
    EXPECT(icmp6_is_good(lab6_payload(&out), lab6_payload_bytes(&out), lab6_header(&out)->source,
                         lab6_header(&out)->destination));
    EXPECT_EQUAL(nd_neighbor_solicitation_read(lab6_header(&out), lab6_payload(&out),
                                               lab6_payload_bytes(&out), &solicitation),
                 OK);
    lab6_expect_address(solicitation.target, HOST_1);
    EXPECT(solicitation.has_source_mac);
    EXPECT(mac_equal(solicitation.source_mac, lab_port_mac(1)));
    lab6_expect_silence(&lab);

    answer(&lab, HOST_1, 2, (struct advertised){ .solicited = true, .override = true });
    for (unsigned i = 2; i < 5; i++) {
        EXPECT(lab_take(&lab, 1, &out));
        EXPECT_EQUAL(lab6_payload_bytes(&out), 20 + i);
        EXPECT_EQUAL(lab6_header(&out)->hop_limit, 63);
        EXPECT(mac_equal(out.bytes, lab_host_mac(1, 2)));
    }
    lab6_expect_silence(&lab);
    EXPECT_EQUAL(neighbor_of(&lab, 1, HOST_1).state, NEIGHBOR_REACHABLE);
    finish(&lab);
}

/* ---- What an advertisement does (RFC 4861 7.2.5) ------------------------------------------------
 */

enum { OLD = 2, NEW = 9, NO_MAC = 0 };

/* Leads HOST_1 to that state, with the MAC address of host OLD. */
static struct lab lab_with_neighbor(enum neighbor_state state)
{
    struct lab lab = lab6_create(1, 2);

    lab6_meet(&lab, 0, HOST_0, 2);
    forward(&lab, HOST_1, 20);
    if (state == NEIGHBOR_INCOMPLETE)
        return lab;
    answer(&lab, HOST_1, OLD, (struct advertised){ .solicited = true, .override = true });
    if (state == NEIGHBOR_REACHABLE)
        return lab;
    lab_wait(&lab, NEIGHBOR_REACHABLE_MS + 20);
    lab6_meet(&lab, 0, HOST_0, 2);
    if (state == NEIGHBOR_STALE)
        return lab;
    forward(&lab, HOST_1, 20);
    lab_wait(&lab, 1010);
    if (state == NEIGHBOR_PROBE)
        lab_wait(&lab, NEIGHBOR_DELAY_MS);
    return lab;
}

TEST(neighbor6_unsolicited_advertisement_makes_no_entry)
{
    struct lab lab = lab6_create(1, 2);

    answer(&lab, HOST_1, 2, (struct advertised){ .override = true });
    answer(&lab, HOST_1, 2, (struct advertised){ .solicited = true, .override = true });
    EXPECT_EQUAL(neighbor_of(&lab, 1, HOST_1).state, NEIGHBOR_NONE);
    EXPECT_EQUAL(lab_dropped(&lab, 1, DROP_ND_NOT_FOR_US), 2);
    /* Nor does one for an address that is not of that link. */
    answer(&lab, HOST_0, 2, (struct advertised){ .override = true });
    EXPECT_EQUAL(lab_dropped(&lab, 1, DROP_BAD_ND), 1);
    finish(&lab);
}

TEST(neighbor6_neighbor_is_probed_by_unicast_and_forgotten_without_an_answer)
{
    struct lab lab = lab_with_neighbor(NEIGHBOR_PROBE);
    struct lab_frame out;
    unsigned probes = 0;

    lab_wait(&lab, 3100);
    EXPECT_EQUAL(neighbor_of(&lab, 1, HOST_1).state, NEIGHBOR_NONE);
    while (lab_take(&lab, 1, &out)) {
        if (lab6_header(&out)->next_header != PROTOCOL_ICMP6)
            continue;
        if (!mac_equal(out.bytes, lab_host_mac(1, OLD)))
            continue; /* the first, to the group */
        lab6_expect_address(lab6_header(&out)->destination, HOST_1);
        EXPECT_EQUAL(lab6_payload(&out)[0], ICMP6_NEIGHBOR_SOLICITATION);
        probes++;
    }
    EXPECT_EQUAL(probes, NEIGHBOR_REQUEST_MAX);
    finish(&lab);
}

/* RFC 4861 7.2.3: a solicitation with another MAC address is news, with the same it is none. */
TEST(neighbor6_solicitation_updates_what_is_known)
{
    struct lab lab = lab_with_neighbor(NEIGHBOR_REACHABLE);
    struct lab_frame frame =
        lab6_solicitation(1, HOST_1, "ff02::1:ff00:1", US_1, lab_host_mac(1, OLD));

    send(&lab, 1, &frame);
    EXPECT_EQUAL(neighbor_of(&lab, 1, HOST_1).state, NEIGHBOR_REACHABLE);
    frame = lab6_solicitation(1, HOST_1, "ff02::1:ff00:1", US_1, lab_host_mac(1, NEW));
    send(&lab, 1, &frame);
    EXPECT_EQUAL(neighbor_of(&lab, 1, HOST_1).state, NEIGHBOR_STALE);
    EXPECT(mac_equal(neighbor_of(&lab, 1, HOST_1).mac, lab_host_mac(1, NEW)));
    finish(&lab);
}

/* ---- Router alert ------------------------------------------------------------------------------
 */

TEST(neighbor6_message_with_a_router_alert_is_read_as_any_other)
{
    struct lab lab = lab6_create(1, 2);
    uint8_t alert[IPV6_ROUTER_ALERT_HEADER_BYTES];
    struct lab_frame plain = lab6_solicitation(0, HOST_0, GROUP_0, US_0, lab_host_mac(0, 2));
    struct lab6_packet packet = { HOST_0, GROUP_0, .hop_limit = ND_HOP_LIMIT, .extensions = alert,
                                  .extension_bytes = sizeof(alert) };

    ipv6_router_alert_write(PROTOCOL_ICMP6, IPV6_ROUTER_ALERT_MLD, alert);
    struct lab_frame frame =
        lab6_icmp(0, &packet, lab6_payload(&plain), lab6_payload_bytes(&plain));
    send(&lab, 0, &frame);
    expect_answer(&lab, US_0, HOST_0, lab_host_mac(0, 2), true);
    finish(&lab);
}

/* RFC 3810 5.2.13: routers do not hear who leaves from no address. */
TEST(neighbor6_port_that_loses_its_last_address_leaves_its_groups_from_it)
{
    struct lab lab = lab6_create(1, 2);
    const struct prefix last = { address_of(US_0), 64 };
    struct lab_frame out;
    bool heard = false;

    EXPECT_EQUAL(config_remove_address(lab.config, "eth0", &last), OK);
    lab6_forget_frames(&lab);
    lab_commit(&lab);
    lab_step(&lab, 3);
    while (lab_take(&lab, 0, &out)) {
        const uint8_t *report = lab6_payload(&out) + IPV6_ROUTER_ALERT_HEADER_BYTES;
        heard |= lab6_header(&out)->next_header == PROTOCOL_HOP_BY_HOP &&
                 ipv6_is_link_local(lab6_header(&out)->source) &&
                 report[0] == ICMP6_LISTENER_REPORT_V2 &&
                 report[MLD_REPORT_BYTES] == MLD_TO_INCLUDE;
    }
    EXPECT(heard);
    lab_wait(&lab, 3000);
    lab6_forget_frames(&lab);
    finish(&lab);
}

/* A router that has nothing else to do sleeps no longer than until an address can be heard. */
TEST(neighbor6_address_that_comes_right_behind_another_is_not_slept_over)
{
    struct lab lab = lab6_create(1, 2);

    lab_address(&lab, "eth0", "2001:db8:5::1/64");
    lab_commit(&lab);
    lab_step(&lab, 3); /* which makes a view */
    lab_address(&lab, "eth0", "2001:db8:6::1/64");
    lab_commit(&lab);
    lab_step(&lab, 3);
    EXPECT(core_deadline(lab.router->cores[CONTROL_CORE]) <= lab.now_ns + 5 * NS_PER_MS);
    lab_wait(&lab, 1500);
    lab6_forget_frames(&lab);
    finish(&lab);
}

/* ---- Memory ------------------------------------------------------------------------------------
 */

TEST(neighbor6_commit_without_memory_leaves_the_books_in_order)
{
    bool failed = true;

    for (uint64_t n = 0; failed; n++) {
        struct lab lab = lab_create(1, 2);
        struct commit_report report;
        lab_address(&lab, "eth0", "2001:db8:0::1/64");
        lab_address(&lab, "eth1", "2001:db8:1::1/64");
        struct config *next = config_copy(lab.config);
        EXPECT(next != NULL);
        host_fail_allocation(n);
        enum error error = control_commit(lab.router, next, &report);
        failed = host_allocation_count() > n;
        host_fail_allocation(UINT64_MAX);
        if (error != OK) {
            EXPECT_EQUAL(ipv6_addresses_count(lab.router->ipv6_addresses), 0);
            config_destroy(next);
        } else {
            EXPECT_EQUAL(ipv6_addresses_count(lab.router->ipv6_addresses), 6);
        }
        lab_wait(&lab, 1500);
        lab6_forget_frames(&lab);
        finish(&lab);
    }
}

/* RFC 4862 5.4.3: somebody else asks at the same time. */
TEST(neighbor6_probe_of_a_tentative_address_makes_it_a_duplicate)
{
    struct lab_frame frame = lab6_solicitation(0, "::", GROUP_0, US_0, NULL);

    expect_duplicate(&frame);
}

/* From the first moment: the other's probe comes right behind ours. */
TEST(neighbor6_tentative_address_is_listened_for_when_it_is_probed)
{
    struct lab lab = begin();
    struct lab_frame out, probe = lab6_solicitation(0, "::", GROUP_0, US_0, NULL);

    do
        lab_step(&lab, 100);
    while (!lab_take(&lab, 0, &out));
    send(&lab, 0, &probe);
    EXPECT_EQUAL(state_of(&lab, 0, US_0), IPV6_ADDRESS_DUPLICATE);
    lab_wait(&lab, 2000);
    finish(&lab);
}

/* RFC 6980 5: not even a packet that is one fragment. */
TEST(neighbor6_message_behind_a_fragment_header_is_ignored)
{
    static const uint8_t fragment[8] = { PROTOCOL_ICMP6, 0, 0, 0, 1, 2, 3, 4 };
    struct lab lab = lab6_create(1, 2);
    struct lab_frame plain = lab6_solicitation(0, HOST_0, GROUP_0, US_0, lab_host_mac(0, 2));
    struct lab6_packet packet = { HOST_0,
                                  GROUP_0,
                                  .hop_limit = ND_HOP_LIMIT,
                                  .protocol = PROTOCOL_FRAGMENT,
                                  .extensions = fragment,
                                  .extension_bytes = 8 };
    struct lab_frame frame =
        lab6_icmp(0, &packet, lab6_payload(&plain), lab6_payload_bytes(&plain));

    send(&lab, 0, &frame);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_BAD_ND), 1);
    lab6_expect_silence(&lab);
    EXPECT_EQUAL(neighbor_of(&lab, 0, HOST_0).state, NEIGHBOR_NONE);
    finish(&lab);
}

TEST(neighbor6_advertisement_changes_the_state_as_the_rfc_says)
{
    enum {
        NONE = NEIGHBOR_NONE,
        INCOMPLETE = NEIGHBOR_INCOMPLETE,
        REACHABLE = NEIGHBOR_REACHABLE,
        STALE = NEIGHBOR_STALE,
        DELAY = NEIGHBOR_DELAY,
        PROBE = NEIGHBOR_PROBE
    };
    static const struct {
        uint8_t before, solicited, override, mac, after, mac_after;
    } cases[] = {
        /* INCOMPLETE: without a MAC address nothing; else the override flag does not matter. */
        { INCOMPLETE, 0, 0, NO_MAC, INCOMPLETE, NO_MAC },
        { INCOMPLETE, 1, 1, NO_MAC, INCOMPLETE, NO_MAC },
        { INCOMPLETE, 0, 0, NEW, STALE, NEW },
        { INCOMPLETE, 0, 1, NEW, STALE, NEW },
        { INCOMPLETE, 1, 0, NEW, REACHABLE, NEW },
        { INCOMPLETE, 1, 1, NEW, REACHABLE, NEW },
        /* Another MAC address without override: REACHABLE becomes STALE, else nothing. */
        { REACHABLE, 0, 0, NEW, STALE, OLD },
        { REACHABLE, 1, 0, NEW, STALE, OLD },
        { STALE, 0, 0, NEW, STALE, OLD },
        { STALE, 1, 0, NEW, STALE, OLD },
        { DELAY, 0, 0, NEW, DELAY, OLD },
        { DELAY, 1, 0, NEW, DELAY, OLD },
        { PROBE, 0, 0, NEW, PROBE, OLD },
        { PROBE, 1, 0, NEW, PROBE, OLD },
        /* With override: taken; solicited is reachable, else it must be found out. */
        { REACHABLE, 0, 1, NEW, STALE, NEW },
        { REACHABLE, 1, 1, NEW, REACHABLE, NEW },
        { STALE, 0, 1, NEW, STALE, NEW },
        { STALE, 1, 1, NEW, REACHABLE, NEW },
        { DELAY, 0, 1, NEW, STALE, NEW },
        { DELAY, 1, 1, NEW, REACHABLE, NEW },
        { PROBE, 0, 1, NEW, STALE, NEW },
        { PROBE, 1, 1, NEW, REACHABLE, NEW },
        /* The same one, or none: solicited confirms, else nothing. */
        { REACHABLE, 0, 0, OLD, REACHABLE, OLD },
        { REACHABLE, 0, 1, OLD, REACHABLE, OLD },
        { REACHABLE, 1, 0, NO_MAC, REACHABLE, OLD },
        { STALE, 0, 1, OLD, STALE, OLD },
        { STALE, 1, 0, OLD, REACHABLE, OLD },
        { STALE, 1, 0, NO_MAC, REACHABLE, OLD },
        { DELAY, 0, 0, OLD, DELAY, OLD },
        { DELAY, 1, 0, OLD, REACHABLE, OLD },
        { PROBE, 0, 1, OLD, PROBE, OLD },
        { PROBE, 0, 0, NO_MAC, PROBE, OLD },
        { PROBE, 1, 0, OLD, REACHABLE, OLD },
        { PROBE, 1, 1, NO_MAC, REACHABLE, OLD },
    };

    for (unsigned i = 0; i < 2 * ARRAY_COUNT(cases); i++) { /* the router flag changes nothing */
        unsigned at = i / 2;
        struct lab lab = lab_with_neighbor((enum neighbor_state)cases[at].before);
        EXPECT_EQUAL(neighbor_of(&lab, 1, HOST_1).state, cases[at].before);
        answer(&lab, HOST_1, cases[at].mac,
               (struct advertised){ .router = i % 2,
                                    .solicited = cases[at].solicited,
                                    .override = cases[at].override });
        struct neighbor_info info = neighbor_of(&lab, 1, HOST_1);
        static const uint8_t none[6];
        const uint8_t *mac = cases[at].mac_after ? lab_host_mac(1, cases[at].mac_after) : none;
        if (info.state != cases[at].after || !mac_equal(info.mac, mac))
            test_fail(__FILE__, __LINE__, "case %u: %s after %s, mac ends in %u", at,
                      neighbor_state_name(info.state),
                      neighbor_state_name((enum neighbor_state)cases[at].before), info.mac[5]);
        lab_wait(&lab, 8000);
        finish(&lab);
    }
}

/* RFC 4861 7.2.4: he says where he wants it; who does not say is where the frame came from. */
TEST(neighbor6_answer_goes_to_the_mac_address_that_the_sender_tells)
{
    struct lab lab = lab6_create(1, 2);
    struct lab_frame frame = lab6_solicitation(0, HOST_0, GROUP_0, US_0, lab_host_mac(0, 7));

    memcpy(frame.bytes + MAC_BYTES, lab_host_mac(0, 8), MAC_BYTES);
    send(&lab, 0, &frame);
    expect_answer(&lab, US_0, HOST_0, lab_host_mac(0, 7), true);
    frame = lab6_solicitation(0, "2001:db8:0::3", US_0, US_0, NULL);
    send(&lab, 0, &frame);
    expect_answer(&lab, US_0, "2001:db8:0::3", lab_host_mac(0, 2), true);
    EXPECT_EQUAL(neighbor_of(&lab, 0, "2001:db8:0::3").state, NEIGHBOR_NONE);
    finish(&lab);
}

TEST(neighbor6_of_a_net_that_is_gone_is_forgotten)
{
    struct lab lab = lab_with_neighbor(NEIGHBOR_REACHABLE);
    struct prefix prefix = { .address = address_of(US_1), .length = 64 };

    EXPECT_EQUAL(config_remove_address(lab.config, "eth1", &prefix), OK);
    lab_commit(&lab);
    lab_wait(&lab, 200);
    EXPECT_EQUAL(neighbor_of(&lab, 1, HOST_1).state, NEIGHBOR_NONE);
    EXPECT_EQUAL(neighbor_of(&lab, 0, HOST_0).state, NEIGHBOR_STALE);
    finish(&lab);
}

/* RFC 8200 5: a packet too big with less would be ignored, and nothing would ever pass. */
TEST(neighbor6_address_wants_a_port_that_carries_1280_bytes)
{
    struct lab lab = lab_create(1, 2);
    struct commit_report report;

    lab_interface(&lab, "eth0", false, 1279);
    lab_address(&lab, "eth0", "2001:db8:0::1/64");
    EXPECT_EQUAL(lab_try_commit(&lab, &report), ERROR_BAD_VALUE);
    EXPECT_TEXT(report.problem, "ipv6 eth0 address 2001:db8::1/64: IPv6 needs an MTU of 1280");
    lab_interface(&lab, "eth0", false, 1280);
    lab_address(&lab, "eth1", "7f00::1/64"); /* begins like 127.0.0.0/8, but is no loopback */
    lab_commit(&lab);
    lab_wait(&lab, 2000);
    lab6_forget_frames(&lab);
    finish(&lab);
}

/* Who is on another link knows nothing of this one. */
TEST(neighbor6_advertisement_from_another_link_changes_nothing)
{
    struct lab lab = lab6_create(1, 2);
    static const char *const targets[] = { HOST_0, "2001:db8:99::1", "ff02::1" };
    const struct advertised flags = { .solicited = true, .override = true };

    lab6_meet(&lab, 0, HOST_0, 2);
    for (unsigned i = 0; i < ARRAY_COUNT(targets); i++) {
        struct lab_frame frame =
            lab6_advertisement(1, "fe80::9", US_1, targets[i], lab_host_mac(1, 9), flags);
        send(&lab, 1, &frame);
        EXPECT_EQUAL(lab_dropped(&lab, 1, DROP_BAD_ND), i + 1);
    }
    EXPECT(mac_equal(neighbor_of(&lab, 0, HOST_0).mac, lab_host_mac(0, 2)));
    EXPECT_EQUAL(neighbor_of(&lab, 1, HOST_0).state, NEIGHBOR_NONE);
    EXPECT_EQUAL(neighbor_of(&lab, 1, "2001:db8:99::1").state, NEIGHBOR_NONE);
    lab6_expect_silence(&lab);
    finish(&lab);
}

/* A scan of a net with more addresses than there is memory for. */
TEST(neighbor6_scan_of_a_net_holds_a_bounded_number_of_packets)
{
    struct lab lab = lab6_create(1, 2);
    uint64_t held_most = 0;

    lab6_meet(&lab, 0, HOST_0, 2);
    for (unsigned i = 0; i < 3000; i++) {
        struct lab_frame frame =
            lab6_frame(0, &(struct lab6_packet){ .source = HOST_0, .destination = HOST_1 });
        store_be32(lab6_header(&frame)->destination + 8, 0x10000 + i);
        lab_put(&lab, 0, &frame);
        lab_step(&lab, 30); /* as slowly as new ones are asked for */
        held_most = MAX_OF(held_most, lab_counters(&lab, 0).held);
        lab6_forget_frames(&lab);
    }
    EXPECT_EQUAL(held_most, NEIGHBOR_HELD_MAX);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NEIGHBOR_QUEUE_FULL), 3000 - NEIGHBOR_HELD_MAX);
    for (unsigned i = 0; i < 400; i++) {
        lab_wait(&lab, 10);
        lab6_forget_frames(&lab);
    }
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NEIGHBOR_FAILED), NEIGHBOR_HELD_MAX);
    finish(&lab);
}

TEST(neighbor6_packets_in_wait_go_down_with_the_link)
{
    struct lab lab = lab6_create(1, 2);
    struct lab_frame out;

    lab6_meet(&lab, 0, HOST_0, 2);
    forward(&lab, HOST_1, 20);
    forward(&lab, "2001:db8:1::3", 20);
    EXPECT_EQUAL(lab_counters(&lab, 0).held, 2);
    wire_nic_set_link(lab.cards[1], false);
    lab_wait(&lab, 200);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_PORT_DOWN), 2);
    EXPECT_EQUAL(neighbor_of(&lab, 1, HOST_1).state, NEIGHBOR_NONE);
    forward(&lab, HOST_1, 20); /* and now there is no route any more */
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_NO_ROUTE), 1);
    EXPECT(lab_take(&lab, 0, &out));
    finish(&lab);
}
