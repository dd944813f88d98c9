/* covers: net/classify.c */
/* covers: net/icmp.c */
/* covers: net/local.c */
/* covers: net/reassembly.c */
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
#include "net/neighbor.h"
#include "net/router.h"
#include "net/wire/checksum.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "tests/host/host.h"
#include "tests/host/wire_nic.h"

enum { CORES = 2, PORTS = 2, FRAMES_MAX = 200 };

enum how {
    HOW_PORT = 1 << 0,
    HOW_QUEUE = 1 << 1,
    HOW_ETHERNET = 1 << 2, /* to the port's own MAC address */
    HOW_IPV4 = 1 << 3,     /* total length and checksum */
    HOW_ICMP = 1 << 4,
    HOW_SECOND = 1 << 5, /* a second passes afterwards */
    HOW_MINUTE = 1 << 6,
};

/* Built for the first input and used for all: building one takes longer than most inputs. */
static struct {
    struct router *router;
    struct wire_nic *cards[PORTS];
    uint64_t now_ns;
    uint64_t packets_at_rest;
} lab;

static const uint8_t macs[PORTS][MAC_BYTES] = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 } };

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
        if (load_be16(frame + 12) != ETHERTYPE_IPV4)
            continue;
        const uint8_t *packet = frame + ETHERNET_HEADER_BYTES;
        size_t bytes = length - ETHERNET_HEADER_BYTES;
        CHECK(ipv4_check(packet, bytes, bytes) == IPV4_GOOD);
        CHECK(ipv4_total_bytes((const void *)packet) <= MTU_DEFAULT);
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

static void create(void)
{
    struct nic *nics[PORTS];
    struct commit_report report;

    lab.now_ns = NS_PER_S;
    host_clock_virtual(lab.now_ns);
    host_random_seed(1);
    host_cores(CORES, HOST_STEPPED);
    for (unsigned i = 0; i < PORTS; i++) {
        lab.cards[i] = wire_nic_create(macs[i], CORES);
        nics[i] = wire_nic_card(lab.cards[i]);
    }
    lab.router = router_create(&(struct router_setup){
        .core_count = CORES, .nics = nics, .nic_count = PORTS, .now_ns = lab.now_ns });
    CHECK(lab.router);

    /* eth0 10.0.0.1/24, eth1 10.0.1.1/24; 10.0.1.2 is known, all else must be asked for; 10.2/16 is
     * behind 10.0.1.2. */
    struct config *config = config_create();
    CHECK(config);
    struct config_arp arp = { .address_be = address(10, 0, 1, 2),
                              .mac = { 2, 0, 0, 0, 9, 2 },
                              .interface = "eth1" };
    struct config_route route = { .prefix = prefix_of_ipv4(address(10, 2, 0, 0), 16),
                                  .distance = DISTANCE_STATIC,
                                  .gateway_count = 1,
                                  .gateways = { address_of_ipv4(arp.address_be) } };
    for (unsigned i = 0; i < PORTS; i++) {
        struct config_address own = { .prefix = prefix_of_ipv4(address(10, 0, i, 1), 24) };
        memcpy(own.interface, i ? "eth1" : "eth0", 5);
        CHECK(config_set_address(config, &own) == OK);
    }
    CHECK(config_set_arp(config, &arp) == OK);
    CHECK(config_set_route(config, &route) == OK);
    CHECK(control_commit(lab.router, config, &report) == OK);
    pass(5);
    lab.packets_at_rest = packets_in_use();
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
    size_t header_bytes = ipv4_header_bytes(header);
    if (header_bytes < IPV4_HEADER_BYTES || header_bytes > packet_bytes)
        return;
    if (how & HOW_ICMP && packet_bytes - header_bytes >= 4) {
        uint8_t *icmp = (uint8_t *)header + header_bytes;
        memset(icmp + 2, 0, 2);
        uint16_t checksum_be = checksum_of(icmp, packet_bytes - header_bytes);
        memcpy(icmp + 2, &checksum_be, 2);
    }
    if (how & HOW_IPV4) {
        header->total_length_be = __builtin_bswap16((uint16_t)packet_bytes);
        ipv4_seal(header);
    }
}

static void expect_rest(void)
{
    pass(40); /* longer than anything is kept for */
    control_clear_neighbors(lab.router, NULL);
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
        size_t length = MIN_OF(read_be16(&reader), reader_left(&reader));
        length = MIN_OF(length, sizeof(frame));
        if (length == 0)
            continue;
        memcpy(frame, reader_take(&reader, length), length);
        unsigned port = how & HOW_PORT ? 1 : 0;
        repair(frame, length, how, port);
        wire_nic_put(lab.cards[port], how & HOW_QUEUE ? 1 : 0, frame, length);
        if (i % 8 == 7 || how & (HOW_SECOND | HOW_MINUTE))
            step(NS_PER_MS);
        if (how & HOW_SECOND)
            pass(1);
        if (how & HOW_MINUTE)
            pass(60);
    }
    expect_rest();
    return 0;
}
