/* See nd.h. Messages are made as whole frames: they go to groups, or to whom we know already. */
#include "net/nd.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/log.h"
#include "kernel/platform.h"
#include "net/forwarding.h"
#include "net/ipv6_addresses.h"
#include "net/neighbor.h"
#include "net/router.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv6.h"
#include "net/wire/nd.h"

enum { HEADERS_BYTES = ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES };

struct nd {
    struct core *core;
    struct neighbor_table *neighbors;
    struct ipv6_addresses *addresses;
    struct nd_uses uses;
    uint64_t next_conflict_log_ns;
};

static const struct port *port_of(const struct nd *nd, uint16_t port)
{
    return &nd->core->router->ports[port];
}

/* ---- Sending ------------------------------------------------------------------------------- */

/* Who speaks to whom. */
struct envelope {
    uint16_t port;
    const uint8_t *source, *destination; /* addresses */
    const uint8_t *mac;                  /* of a station; NULL: the destination is a group */
};

/* A frame for a message of at most length_bytes, which is written behind its headers; NULL without
 * a buffer: as if lost on the way. */
static struct packet *make_frame(const struct nd *nd, const struct envelope *envelope,
                                 uint32_t length_bytes)
{
    struct packet *packet = packet_alloc(nd->core->pool);
    struct ethernet_header ethernet = { .ethertype = ETHERTYPE_IPV6 };

    if (!packet)
        return NULL;
    uint8_t *frame = packet_append(packet, HEADERS_BYTES + length_bytes);
    CHECK(frame);
    if (envelope->mac)
        memcpy(ethernet.target, envelope->mac, MAC_BYTES);
    else
        ipv6_multicast_mac(envelope->destination, ethernet.target);
    memcpy(ethernet.source, port_of(nd, envelope->port)->mac, MAC_BYTES);
    ethernet_write(&ethernet, frame);
    struct ipv6_header *header = (void *)(frame + ETHERNET_HEADER_BYTES);
    *header = (struct ipv6_header){
        .version_class_flow_be = ipv6_version_word_be(0, 0),
        .payload_length_be = __builtin_bswap16((uint16_t)length_bytes),
        .next_header = PROTOCOL_ICMP6,
        .hop_limit = ND_HOP_LIMIT,
    };
    memcpy(header->source, envelope->source, IPV6_ADDRESS_BYTES);
    memcpy(header->destination, envelope->destination, IPV6_ADDRESS_BYTES);
    return packet;
}

static void send_frame(const struct nd *nd, const struct envelope *envelope, struct packet *packet)
{
    uint32_t length_bytes = packet->length_bytes - HEADERS_BYTES;

    icmp6_seal(packet->data + HEADERS_BYTES, length_bytes, envelope->source, envelope->destination);
    nd->uses.originate_frame(nd->core, envelope->port, packet);
}

static void send_solicitation(const struct nd *nd, const struct envelope *envelope,
                              const struct nd_neighbor_solicitation *solicitation)
{
    uint32_t length_bytes =
        solicitation->has_source_mac ? ND_NEIGHBOR_BYTES : ND_NEIGHBOR_BYTES - 8;
    struct packet *packet = make_frame(nd, envelope, length_bytes);

    if (!packet)
        return;
    size_t written =
        nd_neighbor_solicitation_write(solicitation, packet->data + HEADERS_BYTES, length_bytes);
    CHECK(written == length_bytes);
    send_frame(nd, envelope, packet);
}

/* The address of ours on that port to ask from: RFC 4861 7.2.2. */
static bool choose_source(const struct nd *nd, uint16_t port, const struct address *toward,
                          struct address *source)
{
    const struct forwarding *view = nd->core->forwarding;

    if (!address_is_link_local(toward)) {
        *source = forwarding_source(view, port, toward);
        if (source->family != FAMILY_NONE)
            return true;
    }
    return forwarding_link_local(view, port, source);
}

void nd_solicit(struct nd *nd, uint16_t port, const struct address *address, const uint8_t *mac)
{
    struct nd_neighbor_solicitation solicitation = { .has_source_mac = true };
    uint8_t group[IPV6_ADDRESS_BYTES];
    struct address source;

    if (!choose_source(nd, port, address, &source))
        return; /* nobody would answer */
    ipv6_solicited_node(address->bytes, group);
    memcpy(solicitation.target, address->bytes, IPV6_ADDRESS_BYTES);
    memcpy(solicitation.source_mac, port_of(nd, port)->mac, MAC_BYTES);
    const struct envelope envelope = { port, source.bytes, mac ? address->bytes : group, mac };
    send_solicitation(nd, &envelope, &solicitation);
}

void nd_probe(struct nd *nd, uint16_t port, const struct address *address)
{
    struct nd_neighbor_solicitation solicitation = { .has_source_mac = false };
    uint8_t group[IPV6_ADDRESS_BYTES];

    ipv6_solicited_node(address->bytes, group);
    memcpy(solicitation.target, address->bytes, IPV6_ADDRESS_BYTES);
    const struct envelope envelope = { port, ipv6_unspecified, group, NULL };
    send_solicitation(nd, &envelope, &solicitation);
}

/* overrides: we are the only one who has that address. */
struct claim {
    const uint8_t *target;
    bool overrides, solicited;
};

static void send_advertisement(const struct nd *nd, const struct envelope *envelope,
                               const struct claim *claim)
{
    struct nd_neighbor_advertisement advertisement = { .router = true,
                                                       .solicited = claim->solicited,
                                                       .override = claim->overrides,
                                                       .has_target_mac = true };
    struct packet *packet = make_frame(nd, envelope, ND_NEIGHBOR_BYTES);

    if (!packet)
        return;
    memcpy(advertisement.target, claim->target, IPV6_ADDRESS_BYTES);
    memcpy(advertisement.target_mac, port_of(nd, envelope->port)->mac, MAC_BYTES);
    size_t written = nd_neighbor_advertisement_write(&advertisement, packet->data + HEADERS_BYTES,
                                                     ND_NEIGHBOR_BYTES);
    CHECK(written == ND_NEIGHBOR_BYTES);
    send_frame(nd, envelope, packet);
}

void nd_announce(struct nd *nd, uint16_t port, const struct address *address)
{
    const struct envelope envelope = { port, address->bytes, ipv6_all_nodes, NULL };

    send_advertisement(nd, &envelope, &(struct claim){ address->bytes, .overrides = true });
}

static void send_message(const struct nd *nd, const struct envelope *envelope,
                         const uint8_t *message, uint32_t length_bytes)
{
    struct packet *packet = make_frame(nd, envelope, length_bytes);

    if (!packet)
        return;
    memcpy(packet->data + HEADERS_BYTES, message, length_bytes);
    send_frame(nd, envelope, packet);
}

void nd_advertise_router(struct nd *nd, uint16_t port,
                         const struct nd_router_advertisement *advertisement)
{
    uint8_t message[IPV6_MINIMUM_MTU - IPV6_HEADER_BYTES];
    struct address source;

    if (!forwarding_link_local(nd->core->forwarding, port, &source))
        return;
    const struct envelope envelope = { port, source.bytes, ipv6_all_nodes, NULL };
    size_t length_bytes = nd_router_advertisement_write(advertisement, message, sizeof(message));
    CHECK(length_bytes > 0);
    send_message(nd, &envelope, message, (uint32_t)length_bytes);
}

void nd_solicit_router(struct nd *nd, uint16_t port)
{
    struct nd_router_solicitation solicitation = { .has_source_mac = true };
    uint8_t message[ND_ROUTER_SOLICITATION_BYTES];
    struct address source;

    if (!forwarding_link_local(nd->core->forwarding, port, &source))
        return;
    const struct envelope envelope = { port, source.bytes, ipv6_all_routers, NULL };
    memcpy(solicitation.source_mac, port_of(nd, port)->mac, MAC_BYTES);
    size_t length_bytes = nd_router_solicitation_write(&solicitation, message, sizeof(message));
    CHECK(length_bytes == sizeof(message));
    send_message(nd, &envelope, message, (uint32_t)length_bytes);
}

/* ---- Input --------------------------------------------------------------------------------- */

/* Only who is on this link speaks for himself: RFC 4861 11.2. */
static bool is_on_link(const struct nd *nd, uint16_t port, const struct address *address)
{
    return address_is_link_local(address) ||
           forwarding_is_connected(nd->core->forwarding, port, address);
}

static void report_conflict(struct nd *nd, uint16_t port, const uint8_t *address,
                            const uint8_t *mac, uint64_t now_ns)
{
    if (now_ns < nd->next_conflict_log_ns)
        return;
    nd->next_conflict_log_ns = now_ns + (uint64_t)ND_CONFLICT_LOG_MS * NS_PER_MS;
    log_warning("nd", "%s: our address %pI6 is also used by %pM", port_of(nd, port)->name,
                (const void *)address, (const void *)mac);
}

/* RFC 4861 7.2.4: by unicast to who asks, who may have sent the frame by another card; a probe's
 * sender has no address yet. What others answer for as well is said from an address of ours alone
 * (7.2.7), at once: who asks takes the first answer, be it ours or another's. */
static void answer_solicitation(const struct nd *nd, const struct packet *packet,
                                const struct ipv6_header *header,
                                const struct nd_neighbor_solicitation *solicitation)
{
    const struct forwarding *view = nd->core->forwarding;
    const struct address target = address_of_ipv6(solicitation->target);
    const struct address sender = address_of_ipv6(header->source);
    const bool probe = ipv6_is_unspecified(header->source);
    const bool shared = forwarding_is_anycast(view, &target) ||
                        !forwarding_is_own_on(view, packet->port_in, &target);
    const uint8_t *mac =
        solicitation->has_source_mac ? solicitation->source_mac : packet->data + MAC_BYTES;
    struct address source = target;

    if (shared && !choose_source(nd, packet->port_in, probe ? &target : &sender, &source))
        return;
    const struct envelope envelope = { packet->port_in, source.bytes,
                                       probe ? ipv6_all_nodes : sender.bytes, probe ? NULL : mac };
    const struct claim claim = { target.bytes, .overrides = !shared, .solicited = !probe };
    send_advertisement(nd, &envelope, &claim);
}

/* RFC 4861 7.2.3; RFC 4862 5.4.3. */
static enum verdict input_solicitation(struct nd *nd, const struct packet *packet,
                                       const struct ipv6_header *header,
                                       const struct nd_neighbor_solicitation *solicitation,
                                       uint64_t now_ns)
{
    const uint8_t *sender_mac = packet->data + MAC_BYTES;
    const struct address target = address_of_ipv6(solicitation->target);
    const struct address sender = address_of_ipv6(header->source);
    uint16_t port = packet->port_in;
    enum ipv6_address_state state = ipv6_addresses_state(nd->addresses, port, &target);
    bool probe = ipv6_is_unspecified(header->source);

    if (mac_equal(sender_mac, port_of(nd, port)->mac))
        return DROP_ND_NOT_FOR_US; /* our own words, come back */
    if (state == IPV6_ADDRESS_TENTATIVE && probe)
        ipv6_addresses_conflict(nd->addresses, port, &target, sender_mac);
    if (state != IPV6_ADDRESS_VALID && !forwarding_is_proxied(nd->core->forwarding, port, &target))
        return DROP_ND_NOT_FOR_US;
    if (!probe && (!is_on_link(nd, port, &sender) || !address_is_unicast(&sender)))
        return DROP_BAD_ND;
    if (!probe && forwarding_is_own_on(nd->core->forwarding, port, &sender)) {
        report_conflict(nd, port, sender.bytes, sender_mac, now_ns);
        return DROP_ND_CONFLICT;
    }
    if (!probe && solicitation->has_source_mac) {
        const struct neighbor_news news = { .mac = solicitation->source_mac,
                                            .overrides = true,
                                            .is_worth_an_entry = true };
        neighbor_learn(nd->neighbors, port, &sender, &news, now_ns);
    }
    answer_solicitation(nd, packet, header, solicitation);
    return PASS;
}

/* Is the neighbor known by that MAC address, NULL for whichever? What was ignored says nothing. */
static bool is_at(const struct nd *nd, uint16_t port, const struct address *address,
                  const uint8_t *mac)
{
    const struct adjacency *adjacency = neighbor_lookup(nd->neighbors, port, address);

    return adjacency && (!mac || mac_equal(adjacency->header, mac));
}

/* RFC 4861 7.2.5; RFC 4862 5.4.4. */
static enum verdict input_advertisement(struct nd *nd, const struct packet *packet,
                                        const struct nd_neighbor_advertisement *advertisement,
                                        uint64_t now_ns)
{
    const uint8_t *sender_mac = packet->data + MAC_BYTES;
    const struct address target = address_of_ipv6(advertisement->target);
    uint16_t port = packet->port_in;

    if (mac_equal(sender_mac, port_of(nd, port)->mac))
        return DROP_ND_NOT_FOR_US;
    switch (ipv6_addresses_state(nd->addresses, port, &target)) {
    case IPV6_ADDRESS_TENTATIVE:
        ipv6_addresses_conflict(nd->addresses, port, &target, sender_mac);
        return DROP_ND_CONFLICT;
    case IPV6_ADDRESS_VALID:
        if (forwarding_is_anycast(nd->core->forwarding, &target))
            return DROP_ND_NOT_FOR_US; /* any router of that net may say so */
        report_conflict(nd, port, target.bytes, sender_mac, now_ns);
        return DROP_ND_CONFLICT;
    default:
        break;
    }
    if (!is_on_link(nd, port, &target) || !address_is_unicast(&target))
        return DROP_BAD_ND;
    const struct neighbor_news news = { .mac = advertisement->has_target_mac
                                                   ? advertisement->target_mac
                                                   : NULL,
                                        .is_answer = advertisement->solicited,
                                        .overrides = advertisement->override };
    if (!neighbor_learn(nd->neighbors, port, &target, &news, now_ns))
        return DROP_ND_NOT_FOR_US;
    if (is_at(nd, port, &target, news.mac))
        nd->uses.neighbor_advertised(nd->core, port, &target, advertisement->router);
    return PASS;
}

/* RFC 4861 6.2.6. */
static enum verdict input_router_solicitation(struct nd *nd, const struct packet *packet,
                                              const struct ipv6_header *header,
                                              const struct nd_router_solicitation *solicitation,
                                              uint64_t now_ns)
{
    const struct address sender = address_of_ipv6(header->source);
    uint16_t port = packet->port_in;

    if (solicitation->has_source_mac && is_on_link(nd, port, &sender) &&
        !forwarding_is_own_on(nd->core->forwarding, port, &sender)) {
        const struct neighbor_news news = { .mac = solicitation->source_mac, .overrides = true };
        neighbor_learn(nd->neighbors, port, &sender, &news, now_ns);
    }
    return nd->uses.router_solicited(nd->core, port) ? PASS : DROP_ND_IGNORED;
}

/* RFC 4861 6.3.4. */
static enum verdict input_router_advertisement(struct nd *nd, const struct packet *packet,
                                               const struct ipv6_header *header,
                                               const struct nd_router_advertisement *advertisement,
                                               uint64_t now_ns)
{
    const struct address router = address_of_ipv6(header->source);
    uint16_t port = packet->port_in;

    if (mac_equal(packet->data + MAC_BYTES, port_of(nd, port)->mac))
        return DROP_ND_NOT_FOR_US;
    enum verdict verdict = nd->uses.router_advertised(nd->core, port, &router, advertisement);
    if (verdict == PASS && advertisement->has_source_mac) {
        const struct neighbor_news news = { .mac = advertisement->source_mac,
                                            .overrides = true,
                                            .is_worth_an_entry = true };
        neighbor_learn(nd->neighbors, port, &router, &news, now_ns);
    }
    return verdict;
}

/* RFC 6980 5: not even as the only fragment. */
static bool has_fragment_header(const struct ipv6_header *header, uint32_t message_offset)
{
    struct ipv6_headers headers;

    return ipv6_headers_walk(header, message_offset, IPV6_TO_QUOTE, &headers) != IPV6_CHAIN_GOOD ||
           headers.fragment_offset != 0;
}

enum verdict nd_input(struct nd *nd, const struct packet *packet, uint32_t message_offset,
                      uint64_t now_ns)
{
    const struct ipv6_header *header = (const void *)(packet->data + packet->network_offset);
    const void *message = (const uint8_t *)header + message_offset;
    size_t length_bytes = packet->network_length_bytes - message_offset;
    struct nd_router_solicitation router_solicitation;
    struct nd_router_advertisement router_advertisement;
    struct nd_neighbor_solicitation solicitation;
    struct nd_neighbor_advertisement advertisement;

    if (packet->flags & PACKET_REASSEMBLED || has_fragment_header(header, message_offset))
        return DROP_BAD_ND;
    switch (*(const uint8_t *)message) {
    case ICMP6_ROUTER_SOLICITATION:
        if (nd_router_solicitation_read(header, message, length_bytes, &router_solicitation) != OK)
            return DROP_BAD_ND;
        return input_router_solicitation(nd, packet, header, &router_solicitation, now_ns);
    case ICMP6_NEIGHBOR_SOLICITATION:
        if (nd_neighbor_solicitation_read(header, message, length_bytes, &solicitation) != OK)
            return DROP_BAD_ND;
        return input_solicitation(nd, packet, header, &solicitation, now_ns);
    case ICMP6_NEIGHBOR_ADVERTISEMENT:
        if (nd_neighbor_advertisement_read(header, message, length_bytes, &advertisement) != OK)
            return DROP_BAD_ND;
        return input_advertisement(nd, packet, &advertisement, now_ns);
    case ICMP6_ROUTER_ADVERTISEMENT:
        if (nd_router_advertisement_read(header, message, length_bytes, &router_advertisement) !=
            OK)
            return DROP_BAD_ND;
        return input_router_advertisement(nd, packet, header, &router_advertisement, now_ns);
    default: /* a router does not follow redirects: RFC 4861 8.3 */
        return DROP_ND_IGNORED;
    }
}

/* ---- Create, destroy ------------------------------------------------------------------------ */

struct nd *nd_create(struct core *core, struct neighbor_table *neighbors,
                     struct ipv6_addresses *addresses, const struct nd_uses *uses)
{
    struct nd *nd = memory_alloc(sizeof(*nd), 0, MEMORY_NEIGHBOR);

    if (!nd)
        return NULL;
    nd->core = core;
    nd->neighbors = neighbors;
    nd->addresses = addresses;
    nd->uses = *uses;
    return nd;
}

void nd_destroy(struct nd *nd)
{
    memory_free(nd);
}
