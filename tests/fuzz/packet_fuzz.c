/* covers: net/classify.c */
/* covers: net/classify6.c */
/* covers: net/icmp.c */
/* covers: net/icmp6.c */
/* covers: net/local.c */
/* covers: net/mld.c */
/* covers: net/nd.c */
/* covers: net/ra.c */
/* covers: net/rewrite.c */
/* covers: net/route.c */
/* covers: net/route6.c */
/* Frames into a router with two cards and two cores. After each input everything that was taken is
 * given back, the books balance, and what was sent was well formed.
 *
 * The input is a sequence of: how (1 byte), length (2, big endian), that many bytes of frame.
 * Random bytes seldom have a good checksum, so `how` may repair what keeps a frame from going on.
 */
#include "kernel/base/packet.h"

#include <string.h>

#include "drivers/nic.h"
#include "kernel/base/bytes.h"
#include "net/control.h"
#include "net/local.h"
#include "net/neighbor.h"
#include "net/router.h"
#include "net/udp.h"
#include "net/wire/checksum.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "tests/host/host.h"
#include "tests/host/wire_nic.h"

enum {
    CORES = 2,
    PORTS = 2,
    FRAMES_MAX = 200,
    REPEATS = 80,         /* more than a table of datagrams, or a burst of errors */
    SEGMENT_BYTES = 96,   /* eth1 receives in pieces of that length */
    INPUTS_PER_LIFE = 16, /* of one router */
    IDENTIFICATION_AT = ETHERNET_HEADER_BYTES + 5, /* its low byte */
};

enum how {
    HOW_PORT = 1 << 0,
    HOW_QUEUE = 1 << 1,
    HOW_ETHERNET = 1 << 2, /* to the port's own MAC address */
    HOW_LENGTH = 1 << 3,   /* that of the IP header, and its checksum if it has one */
    HOW_ICMP = 1 << 4,     /* the message's checksum, of either family */
    HOW_SECOND = 1 << 5,   /* a second passes afterwards */
    HOW_MINUTE = 1 << 6,
    HOW_LINK = HOW_SECOND | HOW_MINUTE, /* before it, that port's link went down and up */
    HOW_REPEAT = 1 << 7,                /* many times, with the next identification each */
};

/* Serves many inputs: building one takes longer than most of them. */
static struct {
    struct router *router;
    unsigned inputs;
    struct wire_nic *cards[PORTS];
    uint64_t now_ns;
    uint64_t packets_at_rest;
} lab;

static const uint8_t macs[PORTS][MAC_BYTES] = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 } };
static const uint16_t mtus[PORTS] = { MTU_DEFAULT, MTU_MIN };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t address(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return a | b << 8 | c << 16 | d << 24;
}

static void look_at_sent(unsigned port)
{
    static uint8_t frame[WIRE_FRAME_MAX];
    size_t length;

    while ((length = wire_nic_take(lab.cards[port], frame)) > 0) {
        CHECK(length >= ETHERNET_HEADER_BYTES);
        CHECK(mac_equal(frame + MAC_BYTES, macs[port]));
        const uint8_t *packet = frame + ETHERNET_HEADER_BYTES;
        size_t bytes = length - ETHERNET_HEADER_BYTES;
        if (load_be16(frame + 12) == ETHERTYPE_IPV6) {
            CHECK(ipv6_check(packet, bytes, bytes) == IPV6_GOOD);
            CHECK(ipv6_packet_bytes((const void *)packet) == bytes);
            CHECK(bytes <= mtus[port]);
        }
        if (load_be16(frame + 12) != ETHERTYPE_IPV4)
            continue;
        CHECK(ipv4_check(packet, bytes, bytes) == IPV4_GOOD);
        CHECK(ipv4_total_bytes((const void *)packet) <= mtus[port]);
    }
}

static void step(uint64_t ns)
{
    host_clock_virtual(lab.now_ns += ns);
    for (unsigned i = 0; i < CORES; i++)
        core_step(lab.router->cores[i]);
    for (unsigned i = 0; i < PORTS; i++)
        look_at_sent(i);
}

static void pass(unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++)
        step(NS_PER_S);
    for (unsigned i = 0; i < 4; i++)
        step(NS_PER_MS);
}

static uint64_t packets_in_use(void)
{
    uint64_t in_use = 0;

    for (unsigned i = 0; i < CORES; i++) {
        struct packet_pool_stats stats;
        packet_pool_stats(packet_pool(lab.router->pools, i), &stats);
        in_use += stats.total - stats.free;
    }
    return in_use;
}

/* A socket on port 53 that reads every byte. */
static void hear(void *context, const struct udp_datagram *datagram, uint64_t now_ns)
{
    static uint8_t payload[IPV4_PACKET_MAX_BYTES];

    (void)context;
    (void)now_ns;
    CHECK(packet_copy_out(datagram->packet, datagram->payload_offset, payload,
                          datagram->payload_bytes));
}

static void hear_failure(void *context, const struct udp_failure *failure, uint64_t now_ns)
{
    (void)context;
    (void)now_ns;
    CHECK(failure->target.family == failure->from.family);
}

static struct address address6(unsigned net, unsigned host)
{
    const uint8_t bytes[16] = { 0x20, 1, 0xd, 0xb8, [5] = (uint8_t)net, [15] = (uint8_t)host };

    return address_of_ipv6(bytes);
}

/* eth0 2001:db8::1/64, told to hosts. 2001:db8:2::/48 is behind 2001:db8::2, and 2001:db8:3::/48 as
 * well behind 2001:db8::3; 2001:db8:4::/48 is refused, 2001:db8:5::/48 swallowed. All on that one
 * link, so that who could go himself is redirected. */
static void configure_ipv6(struct config *config)
{
    const struct address gateways[] = { address6(0, 2), address6(0, 3) };
    struct config_route routes[] = {
        { .prefix = { address6(2, 0), 48 }, .gateway_count = 1 },
        { .prefix = { address6(3, 0), 48 }, .gateway_count = 2 },
        { .prefix = { address6(4, 0), 48 }, .kind = ROUTE_REJECT },
        { .prefix = { address6(5, 0), 48 }, .kind = ROUTE_BLACKHOLE },
    };
    const struct config_address own = { .interface = "eth0", .prefix = { address6(0, 1), 64 } };
    struct config_interface eth0 = { .name = "eth0", .advertising = { .on = true } };

    for (unsigned i = 0; i < ARRAY_COUNT(routes); i++) {
        routes[i].distance = DISTANCE_STATIC;
        memcpy(routes[i].gateways, gateways, routes[i].gateway_count * sizeof(gateways[0]));
        CHECK(config_set_route(config, &routes[i]) == OK);
    }
    eth0.advertising.server_count = 1;
    eth0.advertising.servers[0] = address6(0, 0x53);
    CHECK(config_set_interface(config, &eth0) == OK);
    CHECK(config_set_address(config, &own) == OK);
}

/* What is told to hosts is what eth0 has at first, of which one address goes, and is stated then.
 * It answers for 2001:db8::77, and learns from others as well. */
static void commit(struct config *config)
{
    struct config_interface eth0 = { .name = "eth0",
                                     .ipv6_auto = true,
                                     .proxied_count = 1,
                                     .proxied = { { address6(0, 0x77), 128 } },
                                     .advertising = { .on = true,
                                                      .prefix_count = 2,
                                                      .prefixes = { { address6(0, 0), 64 },
                                                                    { address6(1, 0), 64 } } } };
    const struct config_address passing = { .interface = "eth0",
                                            .prefix = { address6(6, 0x99), 64 } };
    struct config *later[] = { config_copy(config), config_copy(config) };
    struct commit_report report;

    CHECK(config_set_address(config, &passing) == OK);
    CHECK(control_commit(lab.router, config, &report) == OK);
    CHECK(later[0] && later[1]);
    CHECK(config_set_interface(later[1], &eth0) == OK);
    for (unsigned i = 0; i < ARRAY_COUNT(later); i++) {
        pass(5);
        CHECK(control_commit(lab.router, later[i], &report) == OK);
    }
}

/* Of packets that nothing else here is about; the second one waits for the way out. */
static void configure_filters(struct config *config)
{
    for (unsigned family = FAMILY_IPV4; family < FAMILY_COUNT; family++) {
        struct config_filter tcp = { .family = (uint8_t)family,
                                     .action = FILTER_REJECT,
                                     .number = 10,
                                     .has_protocol = true,
                                     .protocol = PROTOCOL_TCP };
        struct config_filter discard = {
            .family = (uint8_t)family,
            .action = FILTER_DROP,
            .number = 20,
            .log = true,
            .destination = { .has_ports = true, .first_port = 9, .last_port = 9 },
            .out = "eth1"
        };
        CHECK(config_set_filter(config, &tcp) == OK);
        CHECK(config_set_filter(config, &discard) == OK);
    }
}

static void create(void)
{
    struct nic *nics[PORTS];

    lab.now_ns += NS_PER_S;
    host_clock_virtual(lab.now_ns);
    host_random_seed(1);
    host_cores(CORES, HOST_STEPPED);
    for (unsigned i = 0; i < PORTS; i++) {
        lab.cards[i] = wire_nic_create(macs[i], CORES);
        nics[i] = wire_nic_card(lab.cards[i]);
    }
    wire_nic_set_segment(lab.cards[1], SEGMENT_BYTES);
    lab.router = router_create(&(struct router_setup){
        .core_count = CORES, .nics = nics, .nic_count = PORTS, .now_ns = lab.now_ns });
    CHECK(lab.router);

    /* eth0 10.0.0.1/24, eth1 10.0.1.1/24; 10.0.1.2 is known, all else must be asked for. Behind it
     * are 10.2/16, and 10.3/16, to which 10.0.0.2 knows a way too. 10.4/16 is refused, 10.5/16
     * swallowed. */
    struct config *config = config_create();
    CHECK(config);
    struct config_arp arp = { .address_be = address(10, 0, 1, 2),
                              .mac = { 2, 0, 0, 0, 9, 2 },
                              .interface = "eth1" };
    struct config_route routes[] = {
        { .prefix = prefix_of_ipv4(address(10, 2, 0, 0), 16), .gateway_count = 1 },
        { .prefix = prefix_of_ipv4(address(10, 3, 0, 0), 16), .gateway_count = 2 },
        { .prefix = prefix_of_ipv4(address(10, 4, 0, 0), 16), .kind = ROUTE_REJECT },
        { .prefix = prefix_of_ipv4(address(10, 5, 0, 0), 16), .kind = ROUTE_BLACKHOLE },
    };
    for (unsigned i = 0; i < ARRAY_COUNT(routes); i++) {
        routes[i].distance = DISTANCE_STATIC;
        routes[i].gateways[routes[i].gateway_count == 2] = address_of_ipv4(arp.address_be);
        if (routes[i].gateway_count == 2)
            routes[i].gateways[0] = address_of_ipv4(address(10, 0, 0, 2));
        if (routes[i].gateway_count == 0)
            memset(routes[i].gateways, 0, sizeof(routes[i].gateways));
        CHECK(config_set_route(config, &routes[i]) == OK);
    }
    for (unsigned i = 0; i < PORTS; i++) {
        struct config_address own = { .prefix = prefix_of_ipv4(address(10, 0, i, 1), 24) };
        memcpy(own.interface, i ? "eth1" : "eth0", 5);
        CHECK(config_set_address(config, &own) == OK);
    }
    configure_filters(config);
    /* Of IPv6, eth0 alone: eth1 carries less than that wants. */
    configure_ipv6(config);
    struct config_interface eth1 = { .name = "eth1", .mtu_bytes = MTU_MIN };
    CHECK(config_set_interface(config, &eth1) == OK);
    CHECK(config_set_arp(config, &arp) == OK);
    commit(config);
    struct udp_socket *socket;
    CHECK(udp_bind(lab.router->local->udp, NULL, 53,
                   &(struct udp_handlers){ hear, hear_failure, NULL }, &socket) == OK);
    pass(5);
    lab.packets_at_rest = packets_in_use();
}

static void destroy(void)
{
    router_destroy(lab.router);
    for (unsigned i = 0; i < PORTS; i++)
        wire_nic_destroy(lab.cards[i]);
    lab.router = NULL;
}

static void repair6(uint8_t *packet, size_t packet_bytes, unsigned how)
{
    struct ipv6_header *header = (void *)packet;
    struct ipv6_headers headers;

    if (how & HOW_LENGTH)
        header->payload_length_be = __builtin_bswap16((uint16_t)(packet_bytes - IPV6_HEADER_BYTES));
    if (how & HOW_ICMP && ipv6_check(packet, packet_bytes, packet_bytes) == IPV6_GOOD &&
        ipv6_headers_walk(packet, packet_bytes, IPV6_TO_QUOTE, &headers) == IPV6_CHAIN_GOOD &&
        headers.protocol == PROTOCOL_ICMP6 &&
        ipv6_packet_bytes(header) >= headers.upper_offset + (uint32_t)ICMP6_HEADER_BYTES)
        icmp6_seal(packet + headers.upper_offset, ipv6_packet_bytes(header) - headers.upper_offset,
                   header->source, header->destination);
}

/* Frame bytes that a host could have sent, where `how` wants it. */
static void repair(uint8_t *frame, size_t length, unsigned how, unsigned port)
{
    struct ipv4_header *header = (void *)(frame + ETHERNET_HEADER_BYTES);

    if (how & HOW_ETHERNET && length >= MAC_BYTES)
        memcpy(frame, macs[port], MAC_BYTES);
    if (length < ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES)
        return;
    size_t packet_bytes = length - ETHERNET_HEADER_BYTES;
    if (load_be16(frame + 12) == ETHERTYPE_IPV6 && packet_bytes >= IPV6_HEADER_BYTES) {
        repair6(frame + ETHERNET_HEADER_BYTES, packet_bytes, how);
        return;
    }
    size_t header_bytes = ipv4_header_bytes(header);
    if (header_bytes < IPV4_HEADER_BYTES || header_bytes > packet_bytes)
        return;
    if (how & HOW_ICMP && packet_bytes - header_bytes >= 4) {
        uint8_t *icmp = (uint8_t *)header + header_bytes;
        memset(icmp + 2, 0, 2);
        uint16_t checksum_be = checksum_of(icmp, packet_bytes - header_bytes);
        memcpy(icmp + 2, &checksum_be, 2);
    }
    if (how & HOW_LENGTH) {
        header->total_length_be = __builtin_bswap16((uint16_t)packet_bytes);
        ipv4_seal(header);
    }
}

static void put(uint8_t *frame, size_t length, unsigned how)
{
    unsigned port = how & HOW_PORT ? 1 : 0;

    repair(frame, length, how, port);
    wire_nic_put(lab.cards[port], how & HOW_QUEUE ? 1 : 0, frame, length);
    step(10 * NS_PER_US);
}

/* Until the router has seen it; its addresses are to be tried anew. */
static void flap(unsigned port)
{
    for (unsigned up = 0; up < 2; up++) {
        wire_nic_set_link(lab.cards[port], up);
        for (unsigned i = 0; i < 3; i++)
            step(50 * NS_PER_MS);
    }
}

static void expect_rest(void)
{
    pass(70); /* longer than anything is kept for */
    control_clear_neighbors(lab.router, FAMILY_IPV4, NULL);
    control_clear_neighbors(lab.router, FAMILY_IPV6, NULL);
    pass(1);
    CHECK(packets_in_use() == lab.packets_at_rest);
    for (unsigned i = 0; i < lab.router->port_count; i++) {
        struct port_books books;
        router_books(lab.router, i, &books);
        CHECK(books.balanced);
        CHECK(books.held == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader reader = reader_of(data, size);

    if (!lab.router)
        create();
    for (unsigned i = 0; i < FRAMES_MAX && reader_left(&reader) > 0; i++) {
        static uint8_t frame[WIRE_FRAME_MAX];
        unsigned how = read_u8(&reader);
        size_t length = read_be16(&reader);
        length = MIN_OF(length, MIN_OF(reader_left(&reader), sizeof(frame)));
        if (length == 0)
            continue;
        memcpy(frame, reader_take(&reader, length), length);
        if ((how & HOW_LINK) == HOW_LINK) {
            flap(how & HOW_PORT);
            how &= ~(unsigned)HOW_LINK;
        }
        for (unsigned n = 0; n < (how & HOW_REPEAT ? REPEATS : 1u); n++) {
            put(frame, length, how);
            if (length > IDENTIFICATION_AT)
                frame[IDENTIFICATION_AT]++;
        }
        if (how & HOW_SECOND)
            pass(1);
        if (how & HOW_MINUTE)
            pass(60);
    }
    expect_rest();
    if (++lab.inputs % INPUTS_PER_LIFE == 0)
        destroy();
    return 0;
}
