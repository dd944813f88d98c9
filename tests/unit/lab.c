/* See lab.h. */
#include "tests/unit/lab.h"

#include <stdio.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/text.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"

enum { STEP_NS = 10 * NS_PER_US, WAIT_STEP_NS = 10 * NS_PER_MS };

const uint8_t *lab_host_mac(unsigned port, unsigned host)
{
    static uint8_t mac[6];

    memcpy(mac, (uint8_t[6]){ 2, 0, 0, 0xaa, (uint8_t)port, (uint8_t)host }, sizeof(mac));
    return mac;
}

const uint8_t *lab_port_mac(unsigned port)
{
    static uint8_t mac[6];

    memcpy(mac, (uint8_t[6]){ 2, 0, 0, 0, 0, (uint8_t)port }, sizeof(mac));
    return mac;
}

uint32_t ipv4_of(const char *text)
{
    uint32_t address_be;

    if (!text_to_ipv4(text, strlen(text), &address_be))
        test_fail(__FILE__, __LINE__, "%s is no address", text);
    return address_be;
}

struct address address_of(const char *text)
{
    struct address address = { .family = FAMILY_IPV6 };

    if (!strchr(text, ':'))
        return address_of_ipv4(ipv4_of(text));
    if (!text_to_ipv6(text, strlen(text), address.bytes))
        test_fail(__FILE__, __LINE__, "%s is no address", text);
    return address;
}

static struct prefix prefix_of(const char *text)
{
    const char *slash = strchr(text, '/');
    char address[ADDRESS_TEXT_MAX];
    uint64_t length;

    snprintf(address, sizeof(address), "%.*s", (int)(slash ? slash - text : (int)strlen(text)),
             text);
    struct prefix prefix = { .address = address_of(address) };
    length = address_bits(&prefix.address);
    if (slash)
        EXPECT(text_to_u64(slash + 1, strlen(slash + 1), length, &length));
    prefix.length = (uint8_t)length;
    return prefix;
}

/* ---- Building ---------------------------------------------------------------------------------
 */

static struct lab create_bare(unsigned core_count, unsigned port_count, unsigned queue_max)
{
    struct lab lab = { .port_count = port_count, .now_ns = NS_PER_S };
    struct nic *nics[LAB_PORT_MAX];

    EXPECT(port_count <= LAB_PORT_MAX);
    host_clock_real(); /* so that it may begin anew */
    host_clock_virtual(lab.now_ns);
    host_random_seed(1);
    host_cores(core_count, HOST_STEPPED);
    for (unsigned i = 0; i < port_count; i++) {
        lab.cards[i] = wire_nic_create(lab_port_mac(i), queue_max);
        nics[i] = wire_nic_card(lab.cards[i]);
    }
    struct router_setup setup = {
        .core_count = core_count, .nics = nics, .nic_count = port_count, .now_ns = lab.now_ns
    };
    lab.router = router_create(&setup);
    EXPECT(lab.router != NULL);
    lab.config = config_create();
    EXPECT(lab.config != NULL);
    return lab;
}

struct lab lab_create_queues(unsigned core_count, unsigned port_count, unsigned queue_max)
{
    struct lab lab = create_bare(core_count, port_count, queue_max);

    for (unsigned i = 0; i < port_count; i++) {
        char interface[16], address[32], host[32];
        snprintf(interface, sizeof(interface), "eth%u", i);
        snprintf(address, sizeof(address), "10.0.%u.1/24", i);
        snprintf(host, sizeof(host), "10.0.%u.2", i);
        lab_address(&lab, interface, address);
        lab_arp(&lab, host, lab_host_mac(i, 2), interface);
    }
    lab_commit(&lab);
    lab_wait(&lab, 3000); /* the addresses have been announced */
    struct lab_frame frame;
    for (unsigned i = 0; i < port_count; i++)
        while (lab_take(&lab, i, &frame))
            continue;
    return lab;
}

struct lab lab_create(unsigned core_count, unsigned port_count)
{
    return lab_create_queues(core_count, port_count, core_count);
}

void lab_destroy(struct lab *lab)
{
    config_destroy(lab->config);
    router_destroy(lab->router);
    for (unsigned i = 0; i < lab->port_count; i++)
        wire_nic_destroy(lab->cards[i]);
}

void lab_address(struct lab *lab, const char *interface, const char *prefix)
{
    struct config_address address = { .prefix = prefix_of(prefix) };

    snprintf(address.interface, sizeof(address.interface), "%s", interface);
    EXPECT_EQUAL(config_set_address(lab->config, &address), OK);
}

void lab_route(struct lab *lab, const char *prefix, const char *gateway)
{
    struct config_route route = { .prefix = prefix_of(prefix),
                                  .kind = ROUTE_GATEWAY,
                                  .distance = DISTANCE_STATIC,
                                  .gateway_count = 1,
                                  .gateways = { address_of(gateway) } };

    EXPECT_EQUAL(config_set_route(lab->config, &route), OK);
}

void lab_route_kind(struct lab *lab, const char *prefix, enum route_kind kind)
{
    struct config_route route = { .prefix = prefix_of(prefix),
                                  .kind = kind,
                                  .distance = DISTANCE_STATIC };

    EXPECT_EQUAL(config_set_route(lab->config, &route), OK);
}

void lab_interface(struct lab *lab, const char *name, bool down, unsigned mtu_bytes)
{
    struct config_interface interface = { .down = down, .mtu_bytes = (uint16_t)mtu_bytes };

    snprintf(interface.name, sizeof(interface.name), "%s", name);
    EXPECT_EQUAL(config_set_interface(lab->config, &interface), OK);
}

void lab_arp(struct lab *lab, const char *address, const uint8_t mac[6], const char *interface)
{
    struct config_arp arp = { .address_be = ipv4_of(address) };

    memcpy(arp.mac, mac, sizeof(arp.mac));
    snprintf(arp.interface, sizeof(arp.interface), "%s", interface);
    EXPECT_EQUAL(config_set_arp(lab->config, &arp), OK);
}

enum error lab_try_commit(struct lab *lab, struct commit_report *report)
{
    struct config *next = config_copy(lab->config);

    EXPECT(next != NULL);
    enum error error = control_commit(lab->router, next, report);
    if (error != OK)
        config_destroy(next);
    return error;
}

void lab_commit(struct lab *lab)
{
    struct commit_report report;

    if (lab_try_commit(lab, &report) != OK)
        test_fail(__FILE__, __LINE__, "commit: %s", report.problem);
}

/* ---- Running ----------------------------------------------------------------------------------
 */

static void step_once(struct lab *lab, uint64_t step_ns)
{
    host_clock_virtual(lab->now_ns += step_ns);
    for (unsigned i = 0; i < lab->router->core_count; i++)
        core_step(lab->router->cores[i]);
}

void lab_step(struct lab *lab, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++)
        step_once(lab, STEP_NS);
}

void lab_wait(struct lab *lab, uint64_t ms)
{
    for (uint64_t end_ns = lab->now_ns + ms * NS_PER_MS; lab->now_ns < end_ns;)
        step_once(lab, WAIT_STEP_NS);
}

void lab_expect_books(struct lab *lab)
{
    for (unsigned i = 0; i < lab->router->port_count; i++) {
        struct port_books books;
        router_books(lab->router, i, &books);
        if (!books.balanced || books.held != 0)
            test_fail(__FILE__, __LINE__,
                      "%s: received %llu + originated %llu, sent %llu + delivered %llu + dropped "
                      "%llu + held %lld",
                      lab->router->ports[i].name, (unsigned long long)books.received,
                      (unsigned long long)books.originated, (unsigned long long)books.sent,
                      (unsigned long long)books.delivered, (unsigned long long)books.dropped,
                      (long long)books.held);
    }
}

struct port_counters lab_counters(struct lab *lab, unsigned port)
{
    struct port_counters counters;

    router_port_counters(lab->router, port, &counters);
    return counters;
}

uint64_t lab_dropped(struct lab *lab, unsigned port, enum verdict why)
{
    return lab_counters(lab, port).dropped[why];
}

/* ---- Frames -----------------------------------------------------------------------------------
 */

static struct ipv4_header *header_of(struct lab_frame *frame)
{
    return (void *)(frame->bytes + ETHERNET_HEADER_BYTES);
}

void lab_frame_seal(struct lab_frame *frame)
{
    ipv4_seal(header_of(frame));
}

struct lab_frame lab_frame(unsigned port, const struct lab_packet *packet)
{
    struct lab_frame frame = { .length_bytes = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES +
                                               packet->option_bytes + packet->payload_bytes };
    struct ethernet_header ethernet = { .ethertype = ETHERTYPE_IPV4 };
    struct ipv4_header *header = header_of(&frame);
    unsigned header_bytes = IPV4_HEADER_BYTES + packet->option_bytes;
    uint8_t *payload = (uint8_t *)header + header_bytes;

    memcpy(ethernet.target, lab_port_mac(port), sizeof(ethernet.target));
    memcpy(ethernet.source, lab_host_mac(port, 2), sizeof(ethernet.source));
    ethernet_write(&ethernet, frame.bytes);
    *header = (struct ipv4_header){
        .version_and_length = (uint8_t)(0x40 | header_bytes / 4),
        .total_length_be = __builtin_bswap16((uint16_t)(header_bytes + packet->payload_bytes)),
        .identification_be = __builtin_bswap16(packet->identification),
        .fragment_be = __builtin_bswap16(packet->fragment),
        .ttl = packet->ttl ? packet->ttl : 64,
        .protocol = packet->protocol ? packet->protocol : PROTOCOL_UDP,
        .source_be = ipv4_of(packet->source),
        .destination_be = ipv4_of(packet->destination),
    };
    if (packet->option_bytes > 0)
        memcpy(header + 1, packet->options, packet->option_bytes);
    for (unsigned i = 0; i < packet->payload_bytes; i++)
        payload[i] = (uint8_t)(i * 7 + i / 256);
    if (packet->payload_bytes >= 8 && packet->source_port) {
        store_be16(payload, packet->source_port);
        store_be16(payload + 2, packet->destination_port);
        store_be16(payload + 4, packet->payload_bytes);
        store_be16(payload + 6, 0); /* RFC 768: no checksum */
    }
    ipv4_seal(header);
    return frame;
}

void lab_put(struct lab *lab, unsigned port, const struct lab_frame *frame)
{
    EXPECT(wire_nic_put(lab->cards[port], 0, frame->bytes, frame->length_bytes));
}

bool lab_take(struct lab *lab, unsigned port, struct lab_frame *frame)
{
    frame->length_bytes = wire_nic_take(lab->cards[port], frame->bytes);
    return frame->length_bytes > 0;
}
