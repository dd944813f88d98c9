/* covers: net/wire/nd.c */
/* What is read and written again is read as the same. The input: a byte that chooses hop limit and
 * addresses, then the message. */
#include <string.h>

#include "net/wire/icmp6.h"
#include "net/wire/nd.h"

enum { MESSAGE_ROOM = 8192 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_router_solicitation(const struct ipv6_header *header, const uint8_t *message,
                                      size_t length)
{
    struct nd_router_solicitation first, second;
    uint8_t out[16];

    if (nd_router_solicitation_read(header, message, length, &first) != OK)
        return;
    size_t written = nd_router_solicitation_write(&first, out, sizeof(out));
    CHECK(written > 0 && written <= length);
    CHECK(nd_router_solicitation_read(header, out, written, &second) == OK);
    CHECK(first.has_source_mac == second.has_source_mac);
    CHECK(mac_equal(first.source_mac, second.source_mac));
}

static void check_router_advertisement(const struct ipv6_header *header, const uint8_t *message,
                                       size_t length)
{
    struct nd_router_advertisement first, second;
    uint8_t out[512];

    if (nd_router_advertisement_read(header, message, length, &first) != OK)
        return;
    CHECK(first.prefix_count <= ND_PREFIXES_MAX);
    CHECK(first.server_count <= ND_SERVERS_MAX);
    CHECK(first.mtu == 0 || first.mtu >= IPV6_MINIMUM_MTU);
    size_t written = nd_router_advertisement_write(&first, out, sizeof(out));
    CHECK(written > 0);
    CHECK(nd_router_advertisement_read(header, out, written, &second) == OK);
    CHECK(second.prefixes_left_out == 0);
    CHECK(second.servers_left_out == 0);
    CHECK(first.hop_limit == second.hop_limit);
    CHECK(first.lifetime_s == second.lifetime_s);
    CHECK(first.preference == second.preference);
    CHECK(first.mtu == second.mtu);
    CHECK(first.prefix_count == second.prefix_count);
    for (unsigned i = 0; i < first.prefix_count; i++) {
        const struct nd_prefix *a = &first.prefixes[i], *b = &second.prefixes[i];
        CHECK(ipv6_equal(a->prefix, b->prefix));
        CHECK(a->prefix_bits == b->prefix_bits);
        CHECK(a->on_link == b->on_link);
        CHECK(a->autonomous == b->autonomous);
        CHECK(a->valid_s == b->valid_s);
        CHECK(a->preferred_s == b->preferred_s);
    }
    CHECK(first.server_count == second.server_count);
    for (unsigned i = 0; i < first.server_count; i++) {
        CHECK(ipv6_equal(first.servers[i].address, second.servers[i].address));
        CHECK(first.servers[i].lifetime_s == second.servers[i].lifetime_s);
    }
}

static void check_neighbor_solicitation(const struct ipv6_header *header, const uint8_t *message,
                                        size_t length)
{
    struct nd_neighbor_solicitation first, second;
    uint8_t out[ND_NEIGHBOR_BYTES];

    if (nd_neighbor_solicitation_read(header, message, length, &first) != OK)
        return;
    size_t written = nd_neighbor_solicitation_write(&first, out, sizeof(out));
    CHECK(written > 0 && written <= length);
    CHECK(nd_neighbor_solicitation_read(header, out, written, &second) == OK);
    CHECK(ipv6_equal(first.target, second.target));
    CHECK(first.has_source_mac == second.has_source_mac);
    CHECK(mac_equal(first.source_mac, second.source_mac));
}

static void check_neighbor_advertisement(const struct ipv6_header *header, const uint8_t *message,
                                         size_t length)
{
    struct nd_neighbor_advertisement first, second;
    uint8_t out[ND_NEIGHBOR_BYTES];

    if (nd_neighbor_advertisement_read(header, message, length, &first) != OK)
        return;
    size_t written = nd_neighbor_advertisement_write(&first, out, sizeof(out));
    CHECK(written > 0 && written <= length);
    CHECK(nd_neighbor_advertisement_read(header, out, written, &second) == OK);
    CHECK(ipv6_equal(first.target, second.target));
    CHECK(first.router == second.router);
    CHECK(first.solicited == second.solicited);
    CHECK(first.override == second.override);
    CHECK(first.has_target_mac == second.has_target_mac);
    CHECK(mac_equal(first.target_mac, second.target_mac));
}

static void check_redirect(const struct ipv6_header *header, const uint8_t *message, size_t length)
{
    struct nd_redirect first, second;
    static uint8_t out[MESSAGE_ROOM];

    if (nd_redirect_read(header, message, length, &first) != OK)
        return;
    CHECK(first.redirected_bytes < length);
    size_t written = nd_redirect_write(&first, out, sizeof(out));
    CHECK(written > 0 && written <= length);
    CHECK(nd_redirect_read(header, out, written, &second) == OK);
    CHECK(ipv6_equal(first.target, second.target));
    CHECK(ipv6_equal(first.destination, second.destination));
    CHECK(first.redirected_bytes == second.redirected_bytes);
    if (first.redirected_bytes > 0)
        CHECK(memcmp(first.redirected, second.redirected, first.redirected_bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { FROM_NOBODY = 1, FROM_AFAR = 2, TO_GROUP = 4, FORWARDED = 8 };

    if (size < 2)
        return 0;
    struct ipv6_header header = { .hop_limit = data[0] & FORWARDED ? 254 : ND_HOP_LIMIT };
    if (!(data[0] & FROM_NOBODY)) {
        header.source[0] = data[0] & FROM_AFAR ? 0x20 : 0xfe;
        header.source[1] = 0x80;
    }
    if (data[0] & TO_GROUP)
        ipv6_solicited_node(ipv6_all_nodes, header.destination);
    check_router_solicitation(&header, data + 1, size - 1);
    check_router_advertisement(&header, data + 1, size - 1);
    check_neighbor_solicitation(&header, data + 1, size - 1);
    check_neighbor_advertisement(&header, data + 1, size - 1);
    check_redirect(&header, data + 1, size - 1);
    return 0;
}
