/* covers: net/autoconf.c */
/* covers: net/interface_id.c */
/* What other routers say, and when, to a router whose eth0 learns. Whatever it is, what was learned
 * keeps its bounds, the default route is there as long as somebody is a router, and nothing is left
 * of it when the port is told to learn no more.
 *
 * The input is a sequence of: what (1 byte), a number (2, big endian), and for an advertisement
 * that many bytes of it, whose type, code and checksum are made right. */
#include "net/autoconf.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "net/control.h"
#include "net/forwarding.h"
#include "net/ipv6_addresses.h"
#include "net/rib.h"
#include "net/router.h"
#include "net/wire/icmp6.h"
#include "net/wire/nd.h"
#include "tests/host/host.h"
#include "tests/host/wire_nic.h"

enum {
    STEPS_MAX = 64,
    INPUTS_PER_LIFE = 16,
    PORTS = 2, /* that learn */
    MESSAGE_AT = ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES,
};

/* The low bits of `what`; of an advertisement the high ones are who says so. */
enum what { ADVERTISE, PASS_SECONDS, CHANGE_LINK, TAKE_ADDRESS, LEARN_NO_MORE, WHAT_COUNT };

static struct {
    struct router *router;
    struct wire_nic *cards[PORTS];
    bool link_up;
    unsigned inputs;
    uint64_t now_ns;
} lab;

static const uint8_t macs[PORTS][MAC_BYTES] = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 } };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void step(uint64_t ns)
{
    static uint8_t frame[WIRE_FRAME_MAX];

    host_clock_virtual(lab.now_ns += ns);
    core_step(lab.router->cores[0]);
    for (unsigned i = 0; i < PORTS; i++)
        while (wire_nic_take(lab.cards[i], frame) > 0)
            continue;
}

/* In one leap, and some steps for what follows from it. */
static void pass(unsigned seconds)
{
    step(seconds * (uint64_t)NS_PER_S);
    for (unsigned i = 0; i < 8; i++)
        step(60 * NS_PER_MS);
}

static void learn(bool on)
{
    struct config *config = config_create();
    struct config_interface wishes[] = { { .name = "eth0", .ipv6_auto = on },
                                         { .name = "eth1", .ipv6_auto = on } };
    struct commit_report report;

    CHECK(config);
    for (unsigned i = 0; on && i < PORTS; i++)
        CHECK(config_set_interface(config, &wishes[i]) == OK);
    CHECK(control_commit(lab.router, config, &report) == OK);
    pass(2);
}

static void create(void)
{
    struct nic *nics[PORTS];

    lab.now_ns += NS_PER_S;
    host_clock_virtual(lab.now_ns);
    host_random_seed(1);
    host_cores(1, HOST_STEPPED);
    for (unsigned i = 0; i < PORTS; i++) {
        lab.cards[i] = wire_nic_create(macs[i], 1);
        nics[i] = wire_nic_card(lab.cards[i]);
    }
    lab.router = router_create(&(struct router_setup){
        .core_count = 1, .nics = nics, .nic_count = PORTS, .now_ns = lab.now_ns });
    CHECK(lab.router);
    lab.link_up = true;
}

static void destroy(void)
{
    router_destroy(lab.router);
    for (unsigned i = 0; i < PORTS; i++)
        wire_nic_destroy(lab.cards[i]);
    lab.router = NULL;
}

/* An ICMPv6 message of that type to all nodes, from the link-local address that ends so. */
static void put(unsigned from, uint8_t type, const uint8_t *message, size_t length_bytes)
{
    static uint8_t frame[WIRE_FRAME_MAX];
    unsigned port = from / 8 % PORTS;
    struct ethernet_header ethernet = { .ethertype = ETHERTYPE_IPV6,
                                        .source = { 2, 0, 0, 0, 1, (uint8_t)from } };
    struct ipv6_header *header = (void *)(frame + ETHERNET_HEADER_BYTES);

    if (length_bytes < 4 || length_bytes > 1200)
        return;
    ipv6_multicast_mac(ipv6_all_nodes, ethernet.target);
    ethernet_write(&ethernet, frame);
    *header = (struct ipv6_header){
        .version_class_flow_be = ipv6_version_word_be(0, 0),
        .payload_length_be = __builtin_bswap16((uint16_t)length_bytes),
        .next_header = PROTOCOL_ICMP6,
        .hop_limit = ND_HOP_LIMIT,
        .source = { 0xfe, 0x80, [15] = (uint8_t)from },
    };
    memcpy(header->destination, ipv6_all_nodes, IPV6_ADDRESS_BYTES);
    memcpy(frame + MESSAGE_AT, message, length_bytes);
    frame[MESSAGE_AT] = type;
    frame[MESSAGE_AT + 1] = 0;
    icmp6_seal(frame + MESSAGE_AT, length_bytes, header->source, header->destination);
    wire_nic_put(lab.cards[port], 0, frame, MESSAGE_AT + length_bytes);
    step(10 * NS_PER_US);
}

/* Somebody else has the address that was learned last. */
static void take_address(unsigned from)
{
    const struct ipv6_addresses *all = lab.router->ipv6_addresses;
    struct nd_neighbor_advertisement theirs = { .override = true };
    uint8_t message[ND_NEIGHBOR_BYTES];

    for (unsigned i = 0; i < ipv6_addresses_count(all); i++)
        if (ipv6_addresses_at(all, i)->origin == IPV6_FROM_ADVERTISEMENT || from == 0)
            memcpy(theirs.target, ipv6_addresses_at(all, i)->address.bytes, IPV6_ADDRESS_BYTES);
    size_t length = nd_neighbor_advertisement_write(&theirs, message, sizeof(message));
    put(from, ICMP6_NEIGHBOR_ADVERTISEMENT, message, length);
}

static void take_step(struct reader *reader)
{
    unsigned what = read_u8(reader), number = read_be16(reader);
    size_t length = MIN_OF(number, reader_left(reader));

    switch ((enum what)(what % WHAT_COUNT)) {
    case ADVERTISE:
        put(what / WHAT_COUNT + 1, ICMP6_ROUTER_ADVERTISEMENT, reader_take(reader, length), length);
        return;
    case PASS_SECONDS:
        pass(number);
        return;
    case CHANGE_LINK:
        lab.link_up = !lab.link_up;
        wire_nic_set_link(lab.cards[0], lab.link_up);
        pass(number % 4);
        return;
    case TAKE_ADDRESS:
        take_address(number % 8);
        return;
    case LEARN_NO_MORE:
        learn(number % 2 != 0);
        return;
    case WHAT_COUNT:
        return;
    }
}

static unsigned count_learned(void)
{
    const struct ipv6_addresses *all = lab.router->ipv6_addresses;
    struct autoconf_lifetimes lifetimes;
    unsigned count = 0;

    for (unsigned i = 0; i < ipv6_addresses_count(all); i++) {
        const struct ipv6_address *at = ipv6_addresses_at(all, i);
        if (at->origin != IPV6_FROM_ADVERTISEMENT)
            continue;
        CHECK(autoconf_address_lifetimes(lab.router->autoconf, at->port, &at->address, &lifetimes));
        CHECK(lifetimes.preferred_until_ns <= lifetimes.valid_until_ns);
        CHECK(lifetimes.valid_until_ns > lab.now_ns - NS_PER_S);
        count++;
    }
    return count;
}

static unsigned count_routers(unsigned *in_use)
{
    struct autoconf_router router;
    unsigned cursor = 0, count = 0;

    *in_use = 0;
    for (; autoconf_next_router(lab.router->autoconf, &cursor, &router); count++) {
        *in_use += router.in_use;
        CHECK(address_is_link_local(&router.address));
    }
    return count;
}

static bool has_default(void)
{
    const struct address far = { .family = FAMILY_IPV6, .bytes = { 0x3f, 0xff, 0xff } };

    return forwarding_kind(atomic_load(&lab.router->forwarding), &far) == NEXT_HOP_GATEWAY;
}

static void expect_bounds(void)
{
    unsigned in_use;

    pass(1); /* routes follow a little later: AUTOCONF_FOLLOW_MS */
    CHECK(count_learned() <= PORTS * AUTOCONF_PREFIX_MAX);
    unsigned count = count_routers(&in_use);
    CHECK(count <= PORTS * AUTOCONF_ROUTER_MAX);
    CHECK((in_use > 0) == (count > 0));
    CHECK(!has_default() || count > 0);
}

static void expect_nothing(void)
{
    unsigned in_use;

    wire_nic_set_link(lab.cards[0], lab.link_up = true);
    learn(false);
    pass(10);
    CHECK(count_learned() == 0);
    CHECK(count_routers(&in_use) == 0);
    CHECK(rib_count(lab.router->ribs[FAMILY_IPV6]) == 0);
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
    learn(true);
    for (unsigned i = 0; i < STEPS_MAX && reader_left(&reader) > 3; i++)
        take_step(&reader);
    expect_bounds();
    expect_nothing();
    if (++lab.inputs % INPUTS_PER_LIFE == 0)
        destroy();
    return 0;
}
