/* covers: net/reassembly.c */
/* Fragments of both families into the table, in any order, place and length, while time passes. All
 * fragments of a datagram are cut from the same bytes, or from their complement, so each whole that
 * comes out can be checked byte by byte; what is held keeps its bounds, the books balance after
 * each step, and after the longest timeout nothing is left.
 *
 * The input is a sequence of 6 bytes: how, which, place (2, in units of 8), length (2, of which the
 * lower 11 bits count, for two buffers at most). */
#include "net/reassembly.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/packet.h"
#include "kernel/platform.h"
#include "net/router.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"

enum how {
    HOW_IPV6 = 1 << 0,
    HOW_MORE = 1 << 1,
    HOW_COMPLEMENT = 1 << 2, /* other bytes than the datagram's */
    HOW_OPTIONS = 1 << 3,    /* 8 bytes of them, before the data */
    HOW_LINK = 1 << 4,       /* link-local addresses, or another port */
    HOW_SECOND_PORT = 1 << 5,
    HOW_TEN_SECONDS = 1 << 6, /* pass afterwards */
    HOW_RUN = 1 << 7,         /* as many as a datagram may have, one behind the other */
};

enum { PACKETS = 1024, STEPS_MAX = 300, LENGTH_MASK = 2047, PORTS = 2, TEN_SECONDS = 10 };

/* A router as far as a table of fragments sees it. */
static struct {
    struct router router;
    struct core core;
    struct reassembly *reassembly;
} lab;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drop(struct core *core, struct packet *packet, enum verdict why)
{
    counter_add(&core->ports[packet->port_in].dropped[why], 1);
    packet_free(core->pool, packet);
}

static void create(void)
{
    lab.router.core_count = 1;
    lab.router.cores[0] = &lab.core;
    lab.router.pools = packet_pools_create(1, PACKETS);
    CHECK(lab.router.pools);
    lab.core.router = &lab.router;
    lab.core.pool = packet_pool(lab.router.pools, 0);
    lab.core.now_ns = NS_PER_S;
    timer_wheel_init(&lab.core.timers, lab.core.now_ns);
    lab.reassembly = reassembly_create(&lab.core, &(struct reassembly_uses){ .drop = drop });
    CHECK(lab.reassembly);
}

static void pass(unsigned seconds)
{
    lab.core.now_ns += (uint64_t)seconds * NS_PER_S;
    timer_wheel_advance(&lab.core.timers, lab.core.now_ns);
}

static void check_books(uint64_t held_max)
{
    uint64_t held = 0;

    for (unsigned i = 0; i < PORTS; i++) {
        const struct port_counters *port = &lab.core.ports[i];
        uint64_t sum = port->delivered + port->held;
        for (unsigned why = 0; why < VERDICT_COUNT; why++)
            sum += port->dropped[why];
        CHECK(sum == port->received);
        held += port->held;
    }
    CHECK(held <= held_max);
    CHECK(reassembly_held(lab.reassembly) <= REASSEMBLY_BUFFER_MAX);
    CHECK(held <= reassembly_held(lab.reassembly));
}

/* One fragment. */
struct piece {
    unsigned how;
    uint8_t which; /* identification */
    uint32_t start, length;
};

static uint8_t byte_at(const struct piece *piece, uint32_t at)
{
    uint8_t byte = (uint8_t)(piece->which + at + at / 256);

    return piece->how & HOW_COMPLEMENT ? (uint8_t)~byte : byte;
}

static unsigned write_ipv4_header(const struct piece *piece, uint8_t *out)
{
    unsigned header_bytes = IPV4_HEADER_BYTES + (piece->how & HOW_OPTIONS ? 8 : 0);
    uint16_t fragment = (uint16_t)(piece->start / 8 & IPV4_FRAGMENT_OFFSET);
    struct ipv4_header *header = (void *)out;

    if (piece->how & HOW_MORE)
        fragment |= IPV4_MORE_FRAGMENTS;
    memset(out + IPV4_HEADER_BYTES, IPV4_OPTION_NOTHING, 8);
    *header = (struct ipv4_header){
        .version_and_length = (uint8_t)(0x40 | header_bytes / 4),
        .total_length_be = __builtin_bswap16((uint16_t)(header_bytes + piece->length)),
        .identification_be = piece->which,
        .fragment_be = __builtin_bswap16(fragment),
        .ttl = 64,
        .protocol = piece->how & HOW_LINK ? PROTOCOL_TCP : PROTOCOL_UDP,
        .source_be = 0x0200000a,
        .destination_be = 0x0100000a,
    };
    return header_bytes;
}

static unsigned write_ipv6_header(const struct piece *piece, uint8_t *out)
{
    unsigned options_bytes = piece->how & HOW_OPTIONS ? 8 : 0;
    struct ipv6_header *header = (void *)out;
    uint8_t *at = out + IPV6_HEADER_BYTES;
    const struct ipv6_fragment fragment = { .identification = piece->which,
                                            .offset_bytes = (uint16_t)piece->start,
                                            .next_header = PROTOCOL_NO_NEXT_HEADER,
                                            .more = piece->how & HOW_MORE };

    *header = (struct ipv6_header){ .version_class_flow_be = ipv6_version_word_be(0, 0),
                                    .payload_length_be = __builtin_bswap16(
                                        (uint16_t)(options_bytes + IPV6_FRAGMENT_HEADER_BYTES +
                                                   piece->length)),
                                    .next_header = PROTOCOL_FRAGMENT,
                                    .hop_limit = 64 };
    header->source[0] = piece->how & HOW_LINK ? 0xfe : 0x20;
    header->source[1] = 0x80;
    header->destination[0] = 0x20;
    if (options_bytes > 0) {
        const uint8_t options[8] = { PROTOCOL_FRAGMENT, 0, IPV6_OPTION_PADN, 4 };
        header->next_header = PROTOCOL_DESTINATION_OPTIONS;
        memcpy(at, options, sizeof(options));
        at += sizeof(options);
    }
    ipv6_fragment_write(&fragment, at);
    return IPV6_HEADER_BYTES + options_bytes + IPV6_FRAGMENT_HEADER_BYTES;
}

/* In one buffer, or what does not fit in a second one. */
static struct packet *make(const struct piece *piece)
{
    struct packet *packet = packet_alloc(lab.core.pool);
    CHECK(packet);
    uint8_t *ip = packet->data + ETHERNET_HEADER_BYTES;
    bool ipv6 = piece->how & HOW_IPV6;
    unsigned header_bytes = ipv6 ? write_ipv6_header(piece, ip) : write_ipv4_header(piece, ip);
    struct packet *segment = packet;

    packet->length_bytes = ETHERNET_HEADER_BYTES + header_bytes;
    for (uint32_t i = 0; i < piece->length; i++) {
        if (packet_tailroom(segment) == 0) {
            segment->next_segment = packet_alloc(lab.core.pool);
            segment = segment->next_segment;
            CHECK(segment);
        }
        segment->data[segment->length_bytes++] = byte_at(piece, piece->start + i);
    }
    packet->frame_length_bytes = ETHERNET_HEADER_BYTES + header_bytes + piece->length;
    packet->port_in = piece->how & HOW_SECOND_PORT ? 1 : 0;
    packet->network_protocol = ipv6 ? PACKET_IPV6 : PACKET_IPV4;
    packet->network_offset = ETHERNET_HEADER_BYTES;
    packet->header_length_bytes = (uint16_t)header_bytes;
    packet->network_length_bytes = (uint16_t)(header_bytes + piece->length);
    counter_add(&lab.core.ports[packet->port_in].received, 1);
    return packet;
}

/* It says that it is whole, and its bytes are those that were sent. */
static void check_whole(const struct packet *whole, const struct piece *piece)
{
    uint32_t length = (uint32_t)whole->network_length_bytes - whole->header_length_bytes;
    bool ipv6 = piece->how & HOW_IPV6;

    CHECK(whole->network_offset == 0);
    CHECK(whole->frame_length_bytes == whole->network_length_bytes);
    if (ipv6) {
        struct ipv6_headers headers;
        CHECK(ipv6_check(whole->data, whole->length_bytes, whole->frame_length_bytes) == IPV6_GOOD);
        CHECK(ipv6_packet_bytes((const void *)whole->data) == whole->frame_length_bytes);
        CHECK(ipv6_headers_walk(whole->data, whole->length_bytes, IPV6_TO_DELIVER, &headers) ==
              IPV6_CHAIN_GOOD);
        CHECK(headers.fragment_offset == 0);
        CHECK(headers.protocol == PROTOCOL_NO_NEXT_HEADER);
        CHECK(headers.upper_offset == whole->header_length_bytes);
    } else {
        CHECK(ipv4_check(whole->data, whole->length_bytes, whole->frame_length_bytes) == IPV4_GOOD);
        CHECK(ipv4_total_bytes((const void *)whole->data) == whole->frame_length_bytes);
        CHECK(!ipv4_is_fragment((const void *)whole->data));
    }
    for (uint32_t i = 0; i < length; i++) {
        uint8_t byte, wish = (uint8_t)(piece->which + i + i / 256);
        CHECK(packet_copy_out(whole, whole->header_length_bytes + i, &byte, 1));
        CHECK(byte == wish || byte == (uint8_t)~wish);
    }
}

static void put(const struct piece *piece)
{
    struct packet *whole = reassembly_input(lab.reassembly, make(piece), lab.core.now_ns);

    if (whole) {
        check_whole(whole, piece);
        counter_add(&lab.core.ports[whole->port_in].delivered, 1);
        packet_free(lab.core.pool, whole);
    }
    check_books(REASSEMBLY_MAX * REASSEMBLY_FRAGMENT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader reader = reader_of(data, size);
    struct packet_pool_stats stats;

    if (!lab.reassembly)
        create();
    for (unsigned i = 0; i < STEPS_MAX && reader_left(&reader) > 0; i++) {
        struct piece piece = { .how = read_u8(&reader), .which = read_u8(&reader) };
        piece.start = read_be16(&reader) % 8192u * 8;
        piece.length = read_be16(&reader) & LENGTH_MASK;
        put(&piece);
        for (unsigned n = 1; piece.how & HOW_RUN && n <= REASSEMBLY_FRAGMENT_MAX; n++) {
            piece.start = (piece.start + piece.length) / 8 * 8;
            if (piece.start > UINT16_MAX)
                break;
            put(&piece);
        }
        if (piece.how & HOW_TEN_SECONDS)
            pass(TEN_SECONDS);
    }
    pass(REASSEMBLY6_TIMEOUT_MS / 1000 + 1);
    check_books(0);
    packet_pool_stats(lab.core.pool, &stats);
    CHECK(stats.free == stats.total);
    return 0;
}
