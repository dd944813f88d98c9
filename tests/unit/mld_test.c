/* Reports of listeners on the test stand: what is sent is read byte by byte, as RFC 3810 5.2 draws
 * it. */
#include "net/mld.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "net/ipv6_addresses.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv6.h"
#include "tests/unit/stand.h"
#include "tests/unit/test.h"

enum {
    BEFORE_ICMP = ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + IPV6_ROUTER_ALERT_HEADER_BYTES,
    GROUPS_MAX = 1024,
};

/* What was sent. */
static struct {
    unsigned reports, old_reports, dones, groups;
    unsigned left; /* groups that are told to be left */
    uint16_t port;
    uint8_t record_type;
    bool from_nobody;
    uint8_t group[GROUPS_MAX][16];
} seen;

static struct ipv6_addresses *addresses;
static struct mld *mld;

static void see_frame(struct core *core, uint16_t port, struct packet *packet)
{
    const uint8_t *frame = packet->data, *message = frame + BEFORE_ICMP;
    const uint8_t *destination = frame + ETHERNET_HEADER_BYTES + 24;
    static const uint8_t router_alert[8] = { PROTOCOL_ICMP6, 0, 5, 2, 0, 0, 1, 0 };

    seen.port = port;
    seen.from_nobody = ipv6_is_unspecified(frame + ETHERNET_HEADER_BYTES + 8);
    EXPECT_EQUAL(frame[ETHERNET_HEADER_BYTES + 7], 1); /* hop limit */
    EXPECT(memcmp(frame + ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES, router_alert, 8) == 0);
    EXPECT(packet->length_bytes - ETHERNET_HEADER_BYTES <= 1280);
    EXPECT(frame[0] == 0x33 && frame[1] == 0x33 && memcmp(frame + 2, destination + 12, 4) == 0);
    if (message[0] == 132) {
        seen.dones++;
        EXPECT(ipv6_equal(destination, ipv6_all_routers));
        memcpy(seen.group[seen.groups++], message + 8, 16);
    } else if (message[0] == 131) {
        seen.old_reports++;
        EXPECT(ipv6_equal(destination, message + 8));
        memcpy(seen.group[seen.groups++], message + 8, 16);
    } else {
        EXPECT_EQUAL(message[0], 143);
        EXPECT_EQUAL(destination[15], 0x16);
        seen.reports++;
        for (unsigned i = 0; i < load_be16(message + 6); i++) {
            const uint8_t *record = message + 8 + 20 * (size_t)i;
            seen.record_type = record[0];
            seen.left += record[0] == 3;
            memcpy(seen.group[seen.groups++], record + 4, 16);
        }
    }
    packet_free(core->pool, packet);
}

static void listen(struct core *core, uint16_t port)
{
    (void)core;
    mld_listen(mld, port);
}

static void ignore(struct core *core, uint16_t port, const struct address *address)
{
    (void)core, (void)port, (void)address;
}

static void leave(struct core *core, uint16_t port, const struct address *address)
{
    (void)core;
    if (mld)
        mld_leave(mld, port, address);
}

static void have_address(struct stand *stand, const char *interface, const uint8_t bytes[16])
{
    struct config_address wish = { .prefix = { address_of_ipv6(bytes), 64 } };

    memcpy(wish.interface, interface, strlen(interface));
    EXPECT_EQUAL(config_set_address(stand->router.config, &wish), OK);
}

static struct stand *start(void)
{
    static const struct ipv6_addresses_uses uses = {
        .listen = listen, .leave = leave, .duplicate = ignore, .probe = ignore, .announce = ignore
    };
    struct stand *stand = stand_create();

    addresses = ipv6_addresses_create(&stand->core, &uses);
    mld = mld_create(&stand->core, addresses, &(struct mld_uses){ .originate_frame = see_frame });
    EXPECT(addresses && mld);
    memset(&seen, 0, sizeof(seen));
    return stand;
}

static void finish(struct stand *stand)
{
    mld_destroy(mld);
    mld = NULL;
    ipv6_addresses_destroy(addresses);
    stand_destroy(stand);
}

static bool has_group(const uint8_t group[16])
{
    for (unsigned i = 0; i < seen.groups; i++)
        if (ipv6_equal(seen.group[i], group))
            return true;
    return false;
}

static const uint8_t own[16] = { 0x20, 1, 0xd, 0xb8, [13] = 0xab, 0xcd, 0xef };
static const uint8_t own_group[16] = { 0xff, 2, [11] = 1, 0xff, 0xab, 0xcd, 0xef };

static uint16_t query_response_ms = 1000; /* the most that queries allow */

/* A query for a group (NULL: all), of that many bytes. */
static enum verdict query(struct stand *stand, const uint8_t *group, uint8_t source_first,
                          unsigned length_bytes)
{
    uint8_t frame[ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + 28] = { 0 };
    struct ipv6_header *header = (void *)(frame + ETHERNET_HEADER_BYTES);
    uint8_t *message = (void *)(header + 1);
    struct ipv6_headers headers = { .upper_offset = IPV6_HEADER_BYTES, .router_alert = true };

    header->version_class_flow_be = ipv6_version_word_be(0, 0);
    header->hop_limit = 1;
    header->source[0] = source_first;
    header->source[1] = 0x80;
    header->source[15] = 9;
    memcpy(header->destination, ipv6_all_nodes, 16);
    message[0] = 130;
    store_be16(message + 4, query_response_ms);
    if (group)
        memcpy(message + 8, group, 16);
    struct packet *packet = stand_frame(stand, STAND_ETH1, frame, sizeof(frame));
    packet->network_offset = ETHERNET_HEADER_BYTES;
    packet->network_length_bytes = IPV6_HEADER_BYTES + length_bytes;
    enum verdict verdict = mld_input(mld, packet, &headers, stand->core.now_ns);
    packet_free(stand->core.pool, packet);
    return verdict;
}

static void settle(struct stand *stand)
{
    have_address(stand, "eth1", own);
    ipv6_addresses_reconfigure(addresses, stand->router.config, stand->core.now_ns);
    stand_advance(stand, 5000);
    memset(&seen, 0, sizeof(seen));
}

TEST(mld_new_address_is_reported_twice_before_it_is_valid)
{
    struct stand *stand = start();

    have_address(stand, "eth1", own);
    ipv6_addresses_reconfigure(addresses, stand->router.config, stand->core.now_ns);
    stand_advance(stand, 100);
    EXPECT(seen.reports >= 1);
    EXPECT_EQUAL(seen.port, STAND_ETH1);
    EXPECT_EQUAL(seen.record_type, 4); /* CHANGE_TO_EXCLUDE_MODE */
    EXPECT(seen.from_nobody);
    EXPECT(has_group(own_group) && has_group(ipv6_all_routers));
    EXPECT_EQUAL(seen.groups,
                 4 * seen.reports); /* the link-local and the anycast one have theirs */
    stand_advance(stand, 5000);
    EXPECT_EQUAL(seen.reports, 2);
    finish(stand);
}

TEST(mld_queries_are_answered_within_their_time)
{
    struct stand *stand = start();

    settle(stand);
    EXPECT_EQUAL(query(stand, NULL, 0xfe, 28), PASS);
    stand_advance(stand, 1100);
    EXPECT_EQUAL(seen.reports, 1);
    EXPECT_EQUAL(seen.record_type, 2); /* MODE_IS_EXCLUDE */
    EXPECT(!seen.from_nobody && has_group(own_group));
    EXPECT_EQUAL(query(stand, own_group, 0xfe, 28), PASS);
    EXPECT_EQUAL(query(stand, NULL, 0xfe, 28), PASS); /* one report answers both */
    stand_advance(stand, 1100);
    EXPECT_EQUAL(seen.reports, 2);
    finish(stand);
}

TEST(mld_queries_that_are_not_for_us_are_not_answered)
{
    static const uint8_t foreign[16] = { 0xff, 2, [15] = 0x77 };
    struct stand *stand = start();

    EXPECT_EQUAL(query(stand, NULL, 0xfe, 28), DROP_ICMP_IGNORED); /* no address, no groups */
    settle(stand);
    EXPECT_EQUAL(query(stand, foreign, 0xfe, 28), DROP_ICMP_IGNORED);
    EXPECT_EQUAL(query(stand, NULL, 0x20, 28), DROP_BAD_ICMP); /* not from a link-local address */
    EXPECT_EQUAL(query(stand, own, 0xfe, 28), DROP_BAD_ICMP);  /* for no group */
    EXPECT_EQUAL(query(stand, NULL, 0xfe, 25), DROP_BAD_ICMP); /* of no version's length */
    stand_advance(stand, 5000);
    EXPECT_EQUAL(seen.reports, 0);
    finish(stand);
}

TEST(mld_old_querier_gets_old_reports_until_it_has_been_silent_for_long)
{
    struct stand *stand = start();

    settle(stand);
    EXPECT_EQUAL(query(stand, NULL, 0xfe, 24), PASS);
    stand_advance(stand, 1100);
    EXPECT_EQUAL(seen.old_reports, 4);
    EXPECT(seen.reports == 0 && has_group(own_group));
    stand_advance(stand, MLD_OLD_QUERIER_MS);
    EXPECT_EQUAL(query(stand, NULL, 0xfe, 28), PASS);
    stand_advance(stand, 1100);
    EXPECT_EQUAL(seen.reports, 1);
    finish(stand);
}

static void lose_address(struct stand *stand, const uint8_t bytes[16])
{
    const struct prefix prefix = { address_of_ipv6(bytes), 64 };

    EXPECT_EQUAL(config_remove_address(stand->router.config, "eth1", &prefix), OK);
    memset(&seen, 0, sizeof(seen));
    ipv6_addresses_reconfigure(addresses, stand->router.config, stand->core.now_ns);
}

static const uint8_t second[16] = { 0x20, 1, 0xd, 0xb8, [13] = 0x12, 0x34, 0x56 };
static const uint8_t second_group[16] = { 0xff, 2, [11] = 1, 0xff, 0x12, 0x34, 0x56 };

TEST(mld_group_that_is_left_is_told_twice_and_those_that_stay_are_not)
{
    struct stand *stand = start();

    have_address(stand, "eth1", second);
    settle(stand);
    lose_address(stand, second);
    stand_advance(stand, 10);
    EXPECT_EQUAL(seen.reports, 1);
    EXPECT_EQUAL(seen.record_type, 3); /* CHANGE_TO_INCLUDE_MODE */
    EXPECT(seen.groups == 1 && has_group(second_group));
    stand_advance(stand, 5000);
    EXPECT(seen.reports == 2 && seen.groups == 2);
    lose_address(stand, own); /* the last: the link-local and the anycast one go as well */
    stand_advance(stand, 10);
    EXPECT(seen.reports == 1 && seen.groups == 4);
    EXPECT(has_group(own_group) && has_group(ipv6_all_routers));
    stand_advance(stand, 5000);
    EXPECT_EQUAL(seen.reports, 2);
    finish(stand);
}

TEST(mld_group_that_comes_back_is_not_told_to_be_left)
{
    uint8_t bytes[16];
    struct stand *stand = start();

    have_address(stand, "eth1", second);
    settle(stand);
    lose_address(stand, second);
    have_address(stand, "eth1", second);
    ipv6_addresses_reconfigure(addresses, stand->router.config, stand->core.now_ns);
    memcpy(bytes, own, sizeof(bytes));
    for (unsigned i = 0; i < 100; i++) { /* more than a report holds: all else comes in others */
        bytes[15] = (uint8_t)i;
        have_address(stand, "eth1", bytes);
    }
    ipv6_addresses_reconfigure(addresses, stand->router.config, stand->core.now_ns);
    stand_advance(stand, 5000);
    EXPECT(seen.reports > 0 && seen.left == 0);
    finish(stand);
}

TEST(mld_old_querier_is_told_once_that_a_group_is_left)
{
    struct stand *stand = start();

    have_address(stand, "eth1", second);
    settle(stand);
    EXPECT_EQUAL(query(stand, NULL, 0xfe, 24), PASS);
    stand_advance(stand, 1100);
    lose_address(stand, second);
    stand_advance(stand, 5000);
    EXPECT(seen.dones == 1 && seen.old_reports == 0 && has_group(second_group));
    finish(stand);
}

TEST(mld_more_groups_left_than_are_kept_are_forgotten)
{
    uint8_t bytes[16];
    struct stand *stand = start();

    memcpy(bytes, own, sizeof(bytes));
    for (unsigned i = 0; i < 100; i++) {
        bytes[15] = (uint8_t)i;
        have_address(stand, "eth1", bytes);
    }
    settle(stand);
    for (unsigned i = 0; i < 100; i++) {
        const struct prefix prefix = { address_of_ipv6(bytes), 64 };
        EXPECT_EQUAL(config_remove_address(stand->router.config, "eth1", &prefix), OK);
        bytes[15]--;
    }
    ipv6_addresses_reconfigure(addresses, stand->router.config, stand->core.now_ns);
    stand_advance(stand, 5000);
    EXPECT_EQUAL(seen.groups, 2 * MLD_LEAVING_MAX);
    finish(stand);
}

TEST(mld_port_that_goes_out_of_service_leaves_all_groups_at_once)
{
    struct stand *stand = start();

    settle(stand);
    mld_leave_all(mld, STAND_ETH1);
    EXPECT(seen.reports == 1 && seen.record_type == 3 && seen.groups == 4);
    finish(stand);
}

TEST(mld_more_groups_than_a_report_holds_go_into_several)
{
    uint8_t bytes[16], group[16];
    struct stand *stand = start();

    memcpy(bytes, own, sizeof(bytes));
    for (unsigned i = 0; i < 100; i++) {
        bytes[15] = (uint8_t)i;
        have_address(stand, "eth1", bytes);
    }
    settle(stand);
    EXPECT_EQUAL(query(stand, NULL, 0xfe, 28), PASS);
    stand_advance(stand, 1100);
    EXPECT_EQUAL(seen.reports, 2);
    for (unsigned i = 0; i < 100; i++) {
        bytes[15] = (uint8_t)i;
        ipv6_solicited_node(bytes, group);
        EXPECT(has_group(group));
    }
    finish(stand);
}

TEST(mld_flood_of_queries_is_not_answered_with_a_flood)
{
    struct stand *stand = start();

    settle(stand);
    query_response_ms = 0;
    for (unsigned i = 0; i < 1000; i++) {
        EXPECT_EQUAL(query(stand, NULL, 0xfe, 28), PASS);
        stand_advance(stand, 1);
        memset(seen.group, 0, sizeof(seen.group));
        seen.groups = 0;
    }
    query_response_ms = 1000;
    EXPECT(seen.reports >= 5 && seen.reports <= 1000 / MLD_SPACING_MS + 1);
    stand_advance(stand, 1000); /* what is owed */
    finish(stand);
}
