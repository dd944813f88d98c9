/* The neighbor table on the test stand: the datapath is four functions that write down what they
 * were given, and time moves by hand. */
#include "net/neighbor.h"

#include <string.h>

#include "kernel/base/random.h"
#include "net/arp.h"
#include "net/forwarding.h"
#include "net/stage.h"
#include "net/wire/arp.h"
#include "net/wire/ipv4.h"
#include "tests/unit/stand.h"
#include "tests/unit/test.h"

/* What the table has done. */
static struct {
    unsigned frames, requests, probes, announcements, replies, resumed, dropped, lost, delivered;
    bool last_was_broadcast;
    struct arp_message last;
    uint16_t last_port;
    enum verdict last_drop;
    uint32_t last_resumed_id;
} seen;

static const uint8_t host_mac[MAC_BYTES] = { 2, 0, 0, 0, 1, 9 };
static const uint8_t other_mac[MAC_BYTES] = { 2, 0, 0, 0, 1, 10 };

static void see_frame(struct core *core, uint16_t port, struct packet *packet)
{
    struct ethernet_header header;

    EXPECT_EQUAL(ethernet_read(packet->data, packet->length_bytes, &header), OK);
    EXPECT_EQUAL(arp_read(packet->data + 14, packet->length_bytes - 14, &seen.last), OK);
    EXPECT(mac_equal(header.source, core->router->ports[port].mac));
    EXPECT(mac_equal(seen.last.sender_mac, core->router->ports[port].mac));
    seen.frames++;
    seen.last_port = port;
    seen.last_was_broadcast = mac_equal(header.target, mac_broadcast);
    if (seen.last.operation == ARP_REPLY)
        seen.replies++;
    else if (seen.last.sender_be == 0)
        seen.probes++;
    else if (seen.last.sender_be == seen.last.target_be)
        seen.announcements++;
    else
        seen.requests++;
    packet_free(core->pool, packet);
}

static void see_resumed(struct core *core, struct packet *packet)
{
    seen.resumed++;
    seen.last_resumed_id = packet->mtu_bytes;
    packet_free(core->pool, packet);
}

static void see_dropped(struct core *core, struct packet *packet, enum verdict why)
{
    seen.dropped++;
    seen.last_drop = why;
    packet_free(core->pool, packet);
}

static void see_lost(struct core *core, uint16_t port, const struct address *address)
{
    (void)core, (void)port, (void)address;
    seen.lost++;
}

static void see_delivered(struct core *core, struct packet *packet)
{
    seen.delivered++;
    packet_free(core->pool, packet);
}

static void solicit(struct core *core, uint16_t port, const struct address *address,
                    const uint8_t *mac)
{
    arp_solicit(core->router->arp, port, address_ipv4_be(address), mac);
}

static struct neighbor_table *start(struct stand *stand)
{
    struct neighbor_table *table = neighbor_table_create(
        &stand->core,
        &(struct neighbor_uses){
            .solicit = solicit, .resume = see_resumed, .drop = see_dropped, .lost = see_lost });
    EXPECT(table);
    stand->router.arp = arp_create(&stand->core, table,
                                   &(struct arp_uses){ .originate_frame = see_frame,
                                                       .drop = see_dropped,
                                                       .delivered = see_delivered });
    EXPECT(stand->router.arp);
    memset(&seen, 0, sizeof(seen));
    return table;
}

static void port_changed(struct stand *stand, struct neighbor_table *table, uint16_t port)
{
    neighbor_port_changed(table, port, stand->core.now_ns);
    arp_port_changed(stand->router.arp, port, stand->core.now_ns);
}

static void finish(struct stand *stand, struct neighbor_table *table)
{
    arp_destroy(stand->router.arp);
    neighbor_table_destroy(table);
    EXPECT_EQUAL(stand->core.ports[STAND_ETH1].held, 0);
    stand_destroy(stand);
}

/* Wants to send a packet, which is recognized by its number. */
static void resolve(struct stand *stand, struct neighbor_table *table, uint32_t next_hop_be,
                    uint16_t number)
{
    struct packet *packet = stand_frame(stand, STAND_ETH1, "frame of 14 by", 14);

    packet->port_out = STAND_ETH0;
    packet->next_hop_be = next_hop_be;
    packet->mtu_bytes = number;
    neighbor_resolve(table, packet, stand->core.now_ns);
}

static void hear(struct stand *stand, uint16_t operation, const uint8_t *sender_mac,
                 uint32_t sender_be, uint32_t target_be)
{
    struct arp_message arp = { .operation = operation,
                               .sender_be = sender_be,
                               .target_be = target_be };
    struct ethernet_header header = { .ethertype = ETHERTYPE_ARP };
    uint8_t frame[60] = { 0 };

    memcpy(arp.sender_mac, sender_mac, MAC_BYTES);
    memcpy(header.source, sender_mac, MAC_BYTES);
    memcpy(header.target, mac_broadcast, MAC_BYTES);
    ethernet_write(&header, frame);
    arp_write(&arp, frame + ETHERNET_HEADER_BYTES);
    arp_input(stand->router.arp, stand_frame(stand, STAND_ETH0, frame, sizeof(frame)),
              stand->core.now_ns);
}

static enum neighbor_state state_of(struct stand *stand, struct neighbor_table *table,
                                    uint32_t address_be)
{
    struct address address = address_of_ipv4(address_be), after = { 0 };
    struct neighbor_info info[64];
    unsigned count;

    while ((count = neighbor_list(table, FAMILY_IPV4, &after, stand->core.now_ns, info, 64)) > 0) {
        for (unsigned i = 0; i < count; i++)
            if (address_equal(&info[i].address, &address))
                return info[i].state;
        after = info[count - 1].address;
    }
    return NEIGHBOR_NONE;
}

static const uint8_t *mac_of(struct neighbor_table *table, uint32_t address_be)
{
    struct adjacency *adjacency = neighbor_lookup_ipv4(table, STAND_ETH0, address_be);
    return adjacency ? adjacency->header : NULL;
}

#define HOST ip(10, 1, 0, 9)
#define US   ip(10, 1, 0, 1)

TEST(neighbor_asks_three_times_then_drops_what_waits)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);

    resolve(stand, table, HOST, 1);
    EXPECT_EQUAL(seen.requests, 1);
    EXPECT(seen.last_was_broadcast);
    EXPECT_EQUAL(seen.last.target_be, HOST);
    EXPECT_EQUAL(seen.last.sender_be, US);
    EXPECT_EQUAL(stand->core.ports[STAND_ETH1].held, 1);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_INCOMPLETE);
    EXPECT(!neighbor_lookup_ipv4(table, STAND_ETH0, HOST));
    stand_advance(stand, 999);
    EXPECT_EQUAL(seen.requests, 1);
    stand_advance(stand, 2000);
    EXPECT_EQUAL(seen.requests, 3);
    EXPECT_EQUAL(seen.dropped + seen.lost, 0);
    stand_advance(stand, 2);
    EXPECT_EQUAL(seen.requests, 3);
    EXPECT_EQUAL(seen.lost, 1);
    EXPECT_EQUAL(seen.dropped, 1);
    EXPECT_EQUAL(seen.last_drop, DROP_NEIGHBOR_FAILED);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_NONE);
    EXPECT_EQUAL(stand->core.ports[STAND_ETH1].held, 0);
    finish(stand, table);
}

TEST(neighbor_sends_what_waits_once_it_answers)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);

    for (uint16_t i = 1; i <= 3; i++)
        resolve(stand, table, HOST, i);
    EXPECT_EQUAL(seen.requests, 1);
    hear(stand, ARP_REPLY, host_mac, HOST, US);
    EXPECT_EQUAL(seen.resumed, 3);
    EXPECT_EQUAL(seen.last_resumed_id, 3); /* in their order */
    EXPECT_EQUAL(seen.delivered, 1);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_REACHABLE);
    EXPECT(mac_equal(mac_of(table, HOST), host_mac));
    struct adjacency *adjacency = neighbor_lookup_ipv4(table, STAND_ETH0, HOST);
    EXPECT(mac_equal(adjacency->header + 6, stand->router.ports[STAND_ETH0].mac));
    EXPECT_EQUAL(adjacency->header[12], 8);
    EXPECT_EQUAL(adjacency->header[13], 0);
    EXPECT(!neighbor_lookup_ipv4(table, STAND_ETH1, HOST));
    resolve(stand, table, HOST, 4); /* a reader that came too late for the record */
    EXPECT_EQUAL(seen.resumed, 4);
    finish(stand, table);
}

TEST(neighbor_keeps_the_latest_three_packets)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);

    for (uint16_t i = 1; i <= 5; i++)
        resolve(stand, table, HOST, i);
    EXPECT_EQUAL(seen.dropped, 2);
    EXPECT_EQUAL(seen.last_drop, DROP_NEIGHBOR_QUEUE_FULL);
    hear(stand, ARP_REPLY, host_mac, HOST, US);
    EXPECT_EQUAL(seen.resumed, 3);
    EXPECT_EQUAL(seen.last_resumed_id, 5);
    finish(stand, table);
}

static struct neighbor_table *with_reachable_host(struct stand *stand)
{
    struct neighbor_table *table = start(stand);

    resolve(stand, table, HOST, 1);
    hear(stand, ARP_REPLY, host_mac, HOST, US);
    memset(&seen, 0, sizeof(seen));
    return table;
}

TEST(neighbor_ages_through_stale_delay_probe_and_back)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = with_reachable_host(stand);

    stand_advance(stand, NEIGHBOR_REACHABLE_MS - 1);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_REACHABLE);
    stand_advance(stand, 2);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_STALE);
    stand_advance(stand, 5000);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_STALE); /* nobody uses it */
    neighbor_touch(neighbor_lookup_ipv4(table, STAND_ETH0, HOST));
    stand_advance(stand, 1001);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_DELAY);
    EXPECT_EQUAL(seen.frames, 0);
    stand_advance(stand, NEIGHBOR_DELAY_MS);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_PROBE);
    EXPECT_EQUAL(seen.requests, 1);
    EXPECT(!seen.last_was_broadcast);
    EXPECT(mac_of(table, HOST)); /* still good to send by */
    hear(stand, ARP_REPLY, host_mac, HOST, US);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_REACHABLE);
    finish(stand, table);
}

TEST(neighbor_that_answers_no_probe_is_gone)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = with_reachable_host(stand);

    stand_advance(stand, NEIGHBOR_REACHABLE_MS + 1);
    neighbor_touch(neighbor_lookup_ipv4(table, STAND_ETH0, HOST));
    stand_advance(stand, 1001 + NEIGHBOR_DELAY_MS + 3000 + 2);
    EXPECT_EQUAL(seen.requests, NEIGHBOR_REQUEST_MAX);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_NONE);
    EXPECT(!neighbor_lookup_ipv4(table, STAND_ETH0, HOST));
    finish(stand, table);
}

TEST(neighbor_unused_for_ten_minutes_is_forgotten)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = with_reachable_host(stand);

    stand_advance(stand, NEIGHBOR_REACHABLE_MS + NEIGHBOR_STALE_MS - 1000);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_STALE);
    stand_advance(stand, 3000);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_NONE);
    EXPECT_EQUAL(seen.frames, 0);
    finish(stand, table);
}

TEST(neighbor_answers_only_for_its_own_address_on_that_port)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);

    hear(stand, ARP_REQUEST, host_mac, HOST, US);
    EXPECT_EQUAL(seen.replies, 1);
    EXPECT(!seen.last_was_broadcast);
    EXPECT_EQUAL(seen.last.sender_be, US);
    EXPECT_EQUAL(seen.last.target_be, HOST);
    EXPECT(mac_equal(seen.last.target_mac, host_mac));
    hear(stand, ARP_REQUEST, host_mac, HOST, ip(10, 1, 0, 77));
    hear(stand, ARP_REQUEST, host_mac, HOST, ip(10, 2, 0, 1)); /* eth1's */
    EXPECT_EQUAL(seen.frames, 1);
    finish(stand, table);
}

TEST(neighbor_learns_new_ones_only_from_requests_for_us)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);

    hear(stand, ARP_REQUEST, host_mac, HOST, ip(10, 1, 0, 77));
    hear(stand, ARP_REQUEST, host_mac, HOST, HOST);
    hear(stand, ARP_REPLY, host_mac, HOST, US);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_NONE);
    EXPECT_EQUAL(seen.last_drop, DROP_ARP_NOT_FOR_US);
    hear(stand, ARP_REQUEST, host_mac, HOST, US);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_STALE);
    EXPECT(mac_equal(mac_of(table, HOST), host_mac));
    /* From another net: neither answered nor learned. */
    hear(stand, ARP_REQUEST, host_mac, ip(192, 168, 0, 9), US);
    EXPECT_EQUAL(state_of(stand, table, ip(192, 168, 0, 9)), NEIGHBOR_NONE);
    EXPECT_EQUAL(seen.replies, 1);
    finish(stand, table);
}

TEST(neighbor_with_a_new_mac_address_is_used_at_once_and_verified)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = with_reachable_host(stand);

    hear(stand, ARP_REQUEST, other_mac, HOST, HOST); /* gratuitous, as in a failover */
    EXPECT(mac_equal(mac_of(table, HOST), other_mac));
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_STALE);
    neighbor_touch(neighbor_lookup_ipv4(table, STAND_ETH0, HOST));
    stand_advance(stand, 1001 + NEIGHBOR_DELAY_MS);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_PROBE);
    /* An unasked reply with the same address confirms nothing but when we have asked. */
    hear(stand, ARP_REPLY, other_mac, HOST, US);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_REACHABLE);
    hear(stand, ARP_REPLY, host_mac, HOST, US);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_STALE);
    finish(stand, table);
}

/* Many changes in one step: more records than the table has spare ones never harm it. */
TEST(neighbor_survives_a_flood_of_mac_changes)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = with_reachable_host(stand);
    uint8_t mac[MAC_BYTES] = { 2 };

    for (unsigned i = 0; i < 3 * NEIGHBOR_MAX; i++) {
        memcpy(mac + 2, &i, sizeof(i));
        hear(stand, ARP_REQUEST, mac, HOST, US);
    }
    stand_advance(stand, 2);
    hear(stand, ARP_REQUEST, host_mac, HOST, US);
    EXPECT(mac_equal(mac_of(table, HOST), host_mac));
    finish(stand, table);
}

TEST(neighbor_malformed_arp_is_dropped_and_changes_nothing)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);
    static const uint8_t group_mac[MAC_BYTES] = { 3, 0, 0, 0, 0, 1 };
    static const uint8_t zero_mac[MAC_BYTES] = { 0 };
    static const uint32_t bad_senders[] = { 0xffffffff, 0x010000e0 /* 224.0.0.1 */,
                                            0x0100007f /* 127.0.0.1 */,
                                            0xff00010a /* 10.1.0.255 */ };
    uint8_t frame[42];
    struct arp_message good = { .operation = ARP_REQUEST, .sender_be = HOST, .target_be = US };

    memcpy(good.sender_mac, host_mac, MAC_BYTES);
    memset(frame, 0xff, sizeof(frame));
    arp_write(&good, frame + 14);
    for (uint32_t length = 14; length < sizeof(frame); length++) /* cut anywhere */
        arp_input(stand->router.arp, stand_frame(stand, STAND_ETH0, frame, length), 0);
    EXPECT_EQUAL(seen.dropped, sizeof(frame) - 14);
    for (unsigned at = 14; at < 22; at++) { /* hardware, protocol, lengths, operation */
        frame[at] ^= 0x40;
        arp_input(stand->router.arp, stand_frame(stand, STAND_ETH0, frame, sizeof(frame)), 0);
        EXPECT_EQUAL(seen.last_drop, DROP_BAD_ARP);
        frame[at] ^= 0x40;
    }
    EXPECT_EQUAL(seen.dropped, sizeof(frame) - 14 + 8);
    hear(stand, ARP_REQUEST, group_mac, HOST, US);
    hear(stand, ARP_REQUEST, zero_mac, HOST, US);
    hear(stand, ARP_REPLY, host_mac, 0, US);
    for (unsigned i = 0; i < ARRAY_COUNT(bad_senders); i++) {
        hear(stand, ARP_REQUEST, host_mac, bad_senders[i], US);
        EXPECT_EQUAL(seen.last_drop, DROP_BAD_ARP);
    }
    EXPECT_EQUAL(seen.dropped, sizeof(frame) - 14 + 8 + 3 + ARRAY_COUNT(bad_senders));
    EXPECT_EQUAL(seen.frames, 0);
    EXPECT_EQUAL(seen.delivered, 0);
    arp_input(stand->router.arp, stand_frame(stand, STAND_ETH0, frame, sizeof(frame)), 0);
    EXPECT_EQUAL(seen.replies, 1);
    finish(stand, table);
}

TEST(neighbor_conflict_is_counted_and_defended_but_not_too_often)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);

    hear(stand, ARP_REQUEST, host_mac, US, US);
    EXPECT_EQUAL(seen.last_drop, DROP_ARP_CONFLICT);
    EXPECT_EQUAL(seen.announcements, 1);
    EXPECT_EQUAL(seen.last.sender_be, US);
    EXPECT_EQUAL(state_of(stand, table, US), NEIGHBOR_NONE);
    for (unsigned i = 0; i < 5; i++)
        hear(stand, ARP_REPLY, host_mac, US, HOST);
    EXPECT_EQUAL(seen.announcements, 1);
    EXPECT_EQUAL(seen.dropped, 6);
    stand_advance(stand, ARP_DEFEND_MS);
    hear(stand, ARP_REPLY, host_mac, US, HOST);
    EXPECT_EQUAL(seen.announcements, 2);
    /* Our own words, come back over a loop, are none. */
    hear(stand, ARP_REQUEST, stand->router.ports[STAND_ETH0].mac, US, US);
    EXPECT_EQUAL(seen.last_drop, DROP_ARP_NOT_FOR_US);
    EXPECT_EQUAL(seen.announcements, 2);
    finish(stand, table);
}

TEST(neighbor_answers_a_probe_for_our_address)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);

    hear(stand, ARP_REQUEST, host_mac, 0, US);
    EXPECT_EQUAL(seen.replies, 1);
    EXPECT_EQUAL(seen.last.target_be, 0);
    hear(stand, ARP_REQUEST, host_mac, 0, HOST);
    EXPECT_EQUAL(seen.frames, 1);
    finish(stand, table);
}

TEST(neighbor_announces_an_address_twice)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);

    arp_announce(stand->router.arp, STAND_ETH0, US, stand->core.now_ns);
    EXPECT_EQUAL(seen.probes, 1);
    EXPECT_EQUAL(seen.announcements, 1);
    EXPECT(seen.last_was_broadcast);
    stand_advance(stand, ARP_ANNOUNCE_MS + 2);
    EXPECT_EQUAL(seen.announcements, 2);
    stand_advance(stand, 10000);
    EXPECT_EQUAL(seen.frames, 3);
    finish(stand, table);
}

TEST(neighbor_forgets_with_the_link_and_announces_with_it)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = with_reachable_host(stand);

    resolve(stand, table, ip(10, 1, 0, 33), 1);
    stand->router.ports[STAND_ETH0].link_up = false;
    port_changed(stand, table, STAND_ETH0);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_NONE);
    EXPECT_EQUAL(seen.last_drop, DROP_PORT_DOWN);
    EXPECT(!neighbor_lookup_ipv4(table, STAND_ETH0, HOST));
    arp_announce(stand->router.arp, STAND_ETH0, US, stand->core.now_ns);
    EXPECT_EQUAL(seen.announcements, 0);
    stand->router.ports[STAND_ETH0].link_up = true;
    port_changed(stand, table, STAND_ETH0);
    EXPECT_EQUAL(seen.announcements, 1);
    EXPECT_EQUAL(seen.last_port, STAND_ETH0);
    stand_advance(stand, ARP_ANNOUNCE_MS + 2);
    EXPECT_EQUAL(seen.announcements, 2);
    finish(stand, table);
}

/* A scan of a /16 through us: 65,534 addresses that nobody has. Who is known stays known, even the
 * stale, and few packets wait. */
TEST(neighbor_scan_of_a_16_leaves_the_known_alone)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);

    for (unsigned i = 10; i < 110; i++) { /* a hundred neighbors, half of them reachable */
        uint32_t address_be = ip(10, 1, 0, i);
        if (i % 2)
            resolve(stand, table, address_be, 1);
        hear(stand, i % 2 ? ARP_REPLY : ARP_REQUEST, host_mac, address_be, US);
    }
    memset(&seen, 0, sizeof(seen));
    for (unsigned i = 2; i < 65536; i++) {
        struct packet *packet = stand_frame(stand, STAND_ETH0, "frame of 14 by", 14);
        packet->port_out = STAND_ETH1;
        packet->next_hop_be = ip(10, 2, i >> 8, i & 255);
        neighbor_resolve(table, packet, stand->core.now_ns);
        EXPECT(stand_packets_in_use(stand) <= NEIGHBOR_HELD_MAX);
        if (i % 64 == 0)
            stand_advance(stand, 1);
    }
    /* 1,023 ms: new ones are not asked for without bound, nor any more than three times. */
    EXPECT(seen.requests >= NEIGHBOR_ASK_PER_S);
    EXPECT(seen.requests <= NEIGHBOR_ASK_BURST + NEIGHBOR_ASK_PER_S * 1023 / 1000 * 2);
    /* Who is looked for from elsewhere is. */
    unsigned before = seen.requests;
    resolve(stand, table, HOST, 1);
    EXPECT_EQUAL(seen.requests, before + 1);
    hear(stand, ARP_REPLY, host_mac, HOST, US);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_REACHABLE);
    for (unsigned i = 10; i < 110; i++)
        EXPECT(mac_of(table, ip(10, 1, 0, i)));
    EXPECT_EQUAL(state_of(stand, table, ip(10, 1, 0, 11)), NEIGHBOR_REACHABLE);
    EXPECT_EQUAL(state_of(stand, table, ip(10, 1, 0, 12)), NEIGHBOR_STALE);
    stand_advance(stand, 4000);
    EXPECT_EQUAL(seen.dropped, 65534 + 1);
    EXPECT_EQUAL(stand_packets_in_use(stand), 0);
    EXPECT(mac_of(table, ip(10, 1, 0, 10)));
    finish(stand, table);
}

/* Everybody is reachable: no room for one more, said by a drop. */
TEST(neighbor_table_full_of_reachable_ones_refuses_more)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);

    for (unsigned i = 0; i < NEIGHBOR_MAX; i++) {
        struct packet *packet = stand_frame(stand, STAND_ETH0, "frame of 14 by", 14);
        struct arp_message arp = { .operation = ARP_REPLY, .target_be = ip(10, 2, 0, 1) };
        uint8_t frame[42] = { 0 };
        packet->port_out = STAND_ETH1;
        packet->next_hop_be = arp.sender_be = ip(10, 2, 1 + (i >> 8), i & 255);
        neighbor_resolve(table, packet, stand->core.now_ns);
        memcpy(arp.sender_mac, host_mac, MAC_BYTES);
        arp_write(&arp, frame + 14);
        arp_input(stand->router.arp, stand_frame(stand, STAND_ETH1, frame, sizeof(frame)),
                  stand->core.now_ns);
        if (i % (NEIGHBOR_ASK_PER_S / 1000) == 0)
            stand_advance(stand, 1);
    }
    EXPECT_EQUAL(seen.resumed, NEIGHBOR_MAX);
    resolve(stand, table, HOST, 1);
    EXPECT_EQUAL(seen.last_drop, DROP_NEIGHBOR_TABLE_FULL);
    /* What the operator states has room all the same. */
    struct config_arp wish = { .address_be = HOST, .interface = "eth0" };
    memcpy(wish.mac, host_mac, MAC_BYTES);
    EXPECT_EQUAL(config_set_arp(stand->router.config, &wish), OK);
    neighbor_reconfigure(table, stand->router.config, stand->core.now_ns);
    EXPECT(mac_equal(mac_of(table, HOST), host_mac));
    finish(stand, table);
}

/* ---- Floods of senders that are not there -----------------------------------------------------
 */

enum { KNOWN = 100, FORGED = 3 * NEIGHBOR_MAX };

static uint32_t known(unsigned i)
{
    return ip(10, 1, 0, 10 + i);
}

/* Has answered once; where half a minute is nothing, it is stale since. */
static void prove(struct stand *stand, struct neighbor_table *table, uint32_t address_be)
{
    resolve(stand, table, address_be, 1);
    hear(stand, ARP_REPLY, host_mac, address_be, US);
    EXPECT_EQUAL(state_of(stand, table, address_be), NEIGHBOR_REACHABLE);
}

/* Somebody who is not there asks for us, and we answer by what he says of himself, or more. */
static void forge(struct stand *stand, struct neighbor_table *table, unsigned number, bool in_use)
{
    const struct address sender = address_of_ipv4(ip(10, 2, 1 + (number >> 8), number & 255));
    const struct neighbor_news news = { .mac = other_mac,
                                        .overrides = true,
                                        .is_worth_an_entry = true };

    neighbor_learn(table, STAND_ETH1, &sender, &news, stand->core.now_ns);
    if (in_use)
        neighbor_touch(neighbor_lookup(table, STAND_ETH1, &sender));
}

/* Whoever has answered stays, in use or not; and who is asked for in the middle of it has the time
 * to answer. */
static void expect_flood_survived(bool in_use)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);
    uint32_t newcomer_be = ip(10, 1, 0, 200);

    for (unsigned i = 0; i < KNOWN; i++)
        prove(stand, table, known(i));
    stand_advance(stand, NEIGHBOR_REACHABLE_MS + 100);
    for (unsigned i = 0; i < KNOWN; i += 2)
        neighbor_touch(neighbor_lookup_ipv4(table, STAND_ETH0, known(i)));
    for (unsigned i = 0; i < FORGED; i++) {
        forge(stand, table, i, in_use);
        if (i % 20 == 0)
            stand_advance(stand, 1);
        if (i == FORGED / 2)
            resolve(stand, table, newcomer_be, 77);
        if (i == FORGED / 2 + 100)
            hear(stand, ARP_REPLY, host_mac, newcomer_be, US);
    }
    EXPECT_EQUAL(seen.last_resumed_id, 77);
    EXPECT(mac_of(table, newcomer_be));
    EXPECT_EQUAL(seen.dropped, 0);
    for (unsigned i = 0; i < KNOWN; i++)
        EXPECT(mac_equal(mac_of(table, known(i)), host_mac));
    finish(stand, table);
}

TEST(neighbor_flood_of_forged_senders_leaves_the_proven_alone)
{
    expect_flood_survived(false);
}

/* They want something of us as well, so that we send by what they have said. */
TEST(neighbor_flood_of_forged_senders_in_use_leaves_the_proven_alone)
{
    expect_flood_survived(true);
}

/* The table is full of stale ones: that in use has only not been seen to be, and is not the one to
 * go, be it the oldest. */
TEST(neighbor_in_use_does_not_make_room_for_a_new_one)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);

    for (unsigned i = 0; i < NEIGHBOR_MAX; i++) {
        struct address address = address_of_ipv4(ip(10, 2, 1 + (i >> 8), i & 255));
        const struct neighbor_news news = { .mac = host_mac,
                                            .is_answer = true,
                                            .is_worth_an_entry = true };
        struct packet *packet = stand_frame(stand, STAND_ETH0, "frame of 14 by", 14);
        packet->port_out = STAND_ETH1;
        packet->next_hop_be = address_ipv4_be(&address);
        neighbor_resolve(table, packet, stand->core.now_ns);
        neighbor_learn(table, STAND_ETH1, &address, &news, stand->core.now_ns);
        if (i % (NEIGHBOR_ASK_PER_S / 1000) == 0)
            stand_advance(stand, 1);
    }
    stand_advance(stand, NEIGHBOR_REACHABLE_MS + 100);
    neighbor_touch(neighbor_lookup_ipv4(table, STAND_ETH1, ip(10, 2, 1, 0)));
    resolve(stand, table, HOST, 1);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_INCOMPLETE);
    EXPECT(neighbor_lookup_ipv4(table, STAND_ETH1, ip(10, 2, 1, 0)));
    EXPECT(!neighbor_lookup_ipv4(table, STAND_ETH1, ip(10, 2, 1, 1)));
    neighbor_clear(table, FAMILY_IPV4, NULL);
    finish(stand, table);
}

TEST(neighbor_static_entry_neither_ages_nor_learns)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);
    struct config_arp wish = { .address_be = HOST, .interface = "eth0" };

    memcpy(wish.mac, host_mac, MAC_BYTES);
    EXPECT_EQUAL(config_set_arp(stand->router.config, &wish), OK);
    resolve(stand, table, HOST, 1);
    neighbor_reconfigure(table, stand->router.config, stand->core.now_ns);
    EXPECT_EQUAL(seen.resumed, 1);
    hear(stand, ARP_REQUEST, other_mac, HOST, US);
    stand_advance(stand, NEIGHBOR_REACHABLE_MS + 10000);
    EXPECT(mac_equal(mac_of(table, HOST), host_mac));
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_STATIC);
    neighbor_clear(table, FAMILY_IPV4, NULL);
    stand->router.ports[STAND_ETH0].link_up = false;
    port_changed(stand, table, STAND_ETH0);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_STATIC);
    /* The port's own MAC address changes: so does the frame's source. */
    stand->router.ports[STAND_ETH0].link_up = true;
    stand->router.ports[STAND_ETH0].mac[5] = 0x99;
    port_changed(stand, table, STAND_ETH0);
    EXPECT_EQUAL(neighbor_lookup_ipv4(table, STAND_ETH0, HOST)->header[11], 0x99);
    EXPECT_EQUAL(config_remove_arp(stand->router.config, HOST), OK);
    neighbor_reconfigure(table, stand->router.config, stand->core.now_ns);
    EXPECT_EQUAL(state_of(stand, table, HOST), NEIGHBOR_NONE);
    finish(stand, table);
}

TEST(neighbor_of_a_net_that_is_gone_is_forgotten)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = with_reachable_host(stand);
    struct prefix prefix = { .address = address_of_ipv4(US), .length = 24 };

    neighbor_reconfigure(table, stand->router.config, stand->core.now_ns);
    EXPECT(mac_of(table, HOST));
    EXPECT_EQUAL(config_remove_address(stand->router.config, "eth0", &prefix), OK);
    stand_view(stand);
    neighbor_reconfigure(table, stand->router.config, stand->core.now_ns);
    EXPECT(!mac_of(table, HOST));
    finish(stand, table);
}

/* A gateway inside a net of ours may itself lie behind a longer route. */
TEST(neighbor_of_a_connected_net_survives_a_commit_whatever_routes_say)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = with_reachable_host(stand);
    struct config_route route = { .prefix = prefix_of_ipv4(HOST, 32),
                                  .kind = ROUTE_BLACKHOLE,
                                  .distance = DISTANCE_STATIC };

    EXPECT_EQUAL(config_set_route(stand->router.config, &route), OK);
    stand_view(stand);
    neighbor_reconfigure(table, stand->router.config, stand->core.now_ns);
    EXPECT(mac_of(table, HOST));
    finish(stand, table);
}

TEST(neighbor_clear_forgets_one_or_all)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = with_reachable_host(stand);
    struct address host = address_of_ipv4(HOST), nobody = address_of_ipv4(US);

    hear(stand, ARP_REQUEST, other_mac, ip(10, 1, 0, 10), US);
    neighbor_clear(table, FAMILY_IPV4, &nobody);
    EXPECT(mac_of(table, HOST));
    neighbor_clear(table, FAMILY_IPV4, &host);
    EXPECT(!mac_of(table, HOST));
    EXPECT(mac_of(table, ip(10, 1, 0, 10)));
    neighbor_clear(table, FAMILY_IPV4, NULL);
    EXPECT(!mac_of(table, ip(10, 1, 0, 10)));
    finish(stand, table);
}

TEST(neighbor_list_is_in_order_and_pages)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);
    struct neighbor_info info[7];
    struct address after = { 0 };
    unsigned total = 0, count;

    for (unsigned i = 2; i < 42; i++)
        hear(stand, ARP_REQUEST, host_mac, ip(10, 1, 0, i * 37 % 200 + 10), US);
    while ((count = neighbor_list(table, FAMILY_IPV4, &after, stand->core.now_ns, info, 7)) > 0) {
        for (unsigned i = 0; i < count; i++) {
            EXPECT(address_compare(&info[i].address, &after) > 0);
            after = info[i].address;
        }
        total += count;
    }
    EXPECT_EQUAL(total, 40);
    finish(stand, table);
}

/* The index under random additions and removals, with full reading of a naive twin after each. */
TEST(neighbor_index_agrees_with_a_plain_array)
{
    struct stand *stand = stand_create();
    struct neighbor_table *table = start(stand);
    uint64_t random = 7;
    bool known[256] = { 0 };

    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = 2 + random_below(&random, 250);
        struct address address = address_of_ipv4(ip(10, 1, 0, i));
        if (random_below(&random, 2)) {
            hear(stand, ARP_REQUEST, host_mac, ip(10, 1, 0, i), US);
            known[i] = true;
        } else {
            neighbor_clear(table, FAMILY_IPV4, &address);
            known[i] = false;
        }
        i = 2 + random_below(&random, 250);
        EXPECT_EQUAL(neighbor_lookup_ipv4(table, STAND_ETH0, ip(10, 1, 0, i)) != NULL, known[i]);
        if (step % 100 == 0)
            stand_advance(stand, 1);
    }
    finish(stand, table);
}

TEST(neighbor_create_survives_each_failed_allocation)
{
    struct stand *stand = stand_create();

    for (uint64_t n = 0; n < 2; n++) {
        host_fail_allocation(n);
        EXPECT(!neighbor_table_create(&stand->core, &(struct neighbor_uses){ 0 }));
    }
    host_fail_allocation(UINT64_MAX);
    stand_destroy(stand);
}
