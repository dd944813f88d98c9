/* See icmp6.h. */
#include "net/icmp6.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "net/datagram.h"
#include "net/datapath.h"
#include "net/forwarding.h"
#include "net/icmp.h"
#include "net/neighbor.h"
#include "net/wire/checksum.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv6.h"
#include "net/wire/nd.h"

static const struct ipv6_header *header_of(const struct packet *packet)
{
    return (const void *)(packet->data + packet->network_offset);
}

/* The link on which its link-local addresses mean something: that of the way out for what we send
 * ourselves. */
static uint16_t link_of(const struct packet *packet)
{
    return packet->flags & PACKET_LOCAL ? packet->port_out : packet->port_in;
}

/* ---- When not to -------------------------------------------------------------------------- */

/* An error or a redirect, or what cannot be told from one: RFC 4443 2.4 (e.1), (e.2). */
static bool is_about_icmp_error(const struct packet *packet)
{
    struct ipv6_headers headers;
    uint8_t type;

    if (ipv6_headers_walk(header_of(packet), packet->length_bytes - packet->network_offset,
                          IPV6_TO_QUOTE, &headers) != IPV6_CHAIN_GOOD)
        /* Else the packet ends before any message begins, and its sender shall know. */
        return headers.problem_code == ICMP6_CHAIN_TOO_LONG ||
               headers.problem_code == ICMP6_TOO_MANY_EXTENSIONS;
    if (headers.protocol != PROTOCOL_ICMP6 || ipv6_is_later_fragment(&headers))
        return false;
    if (!packet_copy_out(packet, packet->network_offset + (uint32_t)headers.upper_offset, &type, 1))
        return true;
    return icmp6_is_error(type) || type == ICMP6_REDIRECT;
}

static bool is_later_fragment(const struct packet *packet)
{
    struct ipv6_headers headers;

    return ipv6_headers_walk(header_of(packet), packet->length_bytes - packet->network_offset,
                             IPV6_TO_QUOTE, &headers) == IPV6_CHAIN_GOOD &&
           ipv6_is_later_fragment(&headers);
}

/* RFC 4443 2.4 (e), paragraph by paragraph. */
static bool is_forbidden(const struct core *core, const struct packet *packet,
                         const struct icmp6_header *icmp)
{
    const struct ipv6_header *header = header_of(packet);
    const struct address source = address_of_ipv6(header->source);
    /* Path MTU works for groups, too; and an option may ask for an answer: (e.3). */
    bool may_be_to_group =
        icmp->type == ICMP6_PACKET_TOO_BIG ||
        (icmp->type == ICMP6_PARAMETER_PROBLEM && icmp->code == ICMP6_UNKNOWN_OPTION);
    bool to_group = ipv6_is_multicast(header->destination) ||
                    packet->flags & (PACKET_LINK_BROADCAST | PACKET_LINK_MULTICAST);

    if (is_about_icmp_error(packet))
        return true;
    if (to_group && !may_be_to_group) /* (e.3), (e.4), (e.5) */
        return true;
    if (!ipv6_is_station(header->source)) /* (e.6) */
        return true;
    /* The error about a packet of our own comes back to us; nobody else speaks in our name, and
     * nobody is told of what we send in his (net/refuse.h). */
    bool is_our_name = forwarding_kind(core->forwarding, &source) == NEXT_HOP_LOCAL ||
                       forwarding_is_own_on(core->forwarding, link_of(packet), &source);
    return is_our_name != ((packet->flags & PACKET_LOCAL) != 0);
}

bool icmp6_is_forbidden(const struct core *core, const struct packet *packet)
{
    const struct icmp6_header prohibited = { .type = ICMP6_UNREACHABLE, .code = ICMP6_PROHIBITED };

    return is_forbidden(core, packet, &prohibited);
}

/* What is learned on the link by which it goes; where no link was told, the usual one. */
static uint8_t hop_limit_on(const struct core *core, uint16_t link)
{
    return link == PORT_NONE ? (uint8_t)ICMP6_HOP_LIMIT : core->forwarding->ports[link].hop_limit;
}

/* ---- Errors ------------------------------------------------------------------------------- */

/* RFC 4443 2.2: an address that belongs to the port where the packet came in, toward its sender. */
static struct address error_source(const struct core *core, const struct packet *packet)
{
    const struct address sender = address_of_ipv6(header_of(packet)->source);

    if (packet->flags & PACKET_LOCAL)
        return sender;
    if (address_is_link_local(&sender))
        return datagram6_source(core, &sender, packet->port_in);
    struct address source = forwarding_source(core->forwarding, packet->port_in, &sender);
    return source.family != FAMILY_NONE ? source : datagram6_source(core, &sender, PORT_NONE);
}

/* How much of the packet fits behind a head of that length. */
static uint32_t quote_room(const struct packet *packet, uint32_t head_bytes)
{
    uint32_t room = IPV6_MINIMUM_MTU - IPV6_HEADER_BYTES - head_bytes;

    return MIN_OF((uint32_t)packet->network_length_bytes, room);
}

/* Sends `head` with so much of the packet behind it. */
static void send_about(struct core *core, const struct packet *packet,
                       const struct icmp6_header *icmp, const void *head, uint32_t head_bytes,
                       uint32_t quote_bytes, const struct address *source)
{
    const struct ipv6_header *header = header_of(packet);
    bool to_link_local = ipv6_is_link_local(header->source);
    bool is_redirect = icmp->type == ICMP6_REDIRECT;

    if (source->family == FAMILY_NONE || is_forbidden(core, packet, icmp) ||
        icmp_is_over_limit(core))
        return;
    struct packet *message = datagram6_create(
        core,
        &(struct datagram6_setup){
            .source = source->bytes,
            .destination = header->source,
            .port = to_link_local || is_redirect ? link_of(packet) : (uint16_t)PORT_NONE,
            .protocol = PROTOCOL_ICMP6,
            .hop_limit = is_redirect ? (uint8_t)ND_HOP_LIMIT : hop_limit_on(core, link_of(packet)),
            .payload_bytes = head_bytes + quote_bytes,
        });
    if (!message)
        return;                                           /* the pool has counted it */
    uint8_t *payload = message->data + IPV6_HEADER_BYTES; /* 1,280 bytes are one buffer */
    memcpy(payload, head, head_bytes);
    bool quoted =
        packet_copy_out(packet, packet->network_offset, payload + head_bytes, quote_bytes);
    CHECK(quoted);
    icmp6_seal(payload, head_bytes + quote_bytes, source->bytes, header->source);
    datapath_originate6(core, message);
}

void icmp6_send_error(struct core *core, const struct packet *packet, enum verdict verdict)
{
    const struct drop_reason *reason = &drop_reasons[verdict];
    struct icmp6_header icmp = { .type = reason->icmp6_type, .code = reason->icmp6_code };
    const struct address source = error_source(core, packet);

    if (reason->icmp6_type == ICMP_NONE)
        return;
    if (verdict == DROP_REASSEMBLY_TIMEOUT && is_later_fragment(packet)) /* RFC 8200 4.5 */
        return;
    if (verdict == DROP_FRAGMENT_NEEDED)
        icmp.mtu_be = __builtin_bswap32(packet->mtu_bytes);
    if (reason->icmp6_type == ICMP6_PARAMETER_PROBLEM) {
        icmp.code = verdict == DROP_IPV6_EXTENSION ? packet->error_code : reason->icmp6_code;
        icmp.pointer_be = __builtin_bswap32(packet->error_offset);
    }
    send_about(core, packet, &icmp, &icmp, sizeof(icmp), quote_room(packet, sizeof(icmp)), &source);
}

/* RFC 4861 8.2, with the better next hop's MAC address where it is known. */
void icmp6_send_redirect(struct core *core, const struct packet *packet)
{
    const struct ipv6_header *header = header_of(packet);
    const struct icmp6_header icmp = { .type = ICMP6_REDIRECT };
    const struct address better = address_of_ipv6(packet->next_hop);
    const struct adjacency *adjacency =
        neighbor_lookup(core->router->neighbors, packet->port_out, &better);
    struct nd_redirect redirect = { .has_target_mac = adjacency != NULL };
    uint8_t head[128];
    struct address source;

    /* 4.5: the target is the destination itself, or else a router's link-local address. */
    if (!ipv6_equal(better.bytes, header->destination) && !address_is_link_local(&better))
        return;
    if (!forwarding_link_local(core->forwarding, packet->port_in, &source))
        return;
    memcpy(redirect.target, better.bytes, sizeof(redirect.target));
    memcpy(redirect.destination, header->destination, sizeof(redirect.destination));
    if (adjacency)
        memcpy(redirect.target_mac, adjacency->header, sizeof(redirect.target_mac));
    size_t head_bytes = nd_redirect_write(&redirect, head, sizeof(head));
    CHECK(head_bytes > 0);
    /* The option of the redirected packet: type, length in units of 8, six zeros (4.6.3). Nothing
     * may follow it that is no option. */
    uint32_t quote_bytes = quote_room(packet, (uint32_t)head_bytes + 8) / 8 * 8;
    memset(head + head_bytes, 0, 8);
    head[head_bytes] = ND_OPTION_REDIRECTED_HEADER;
    head[head_bytes + 1] = (uint8_t)(1 + quote_bytes / 8);
    send_about(core, packet, &icmp, head, (uint32_t)head_bytes + 8, quote_bytes, &source);
}

/* ---- Echo ----------------------------------------------------------------------------------- */

/* The IPv6 header moves up to the message; what was between them is gone. */
static void remove_extensions(struct packet *packet, uint32_t message_offset)
{
    uint32_t surplus = message_offset - IPV6_HEADER_BYTES;

    memmove(packet->data + surplus, packet->data, IPV6_HEADER_BYTES);
    bool pulled = packet_pull(packet, surplus);
    CHECK(pulled);
    struct ipv6_header *header = (void *)packet->data;
    packet->network_length_bytes = (uint16_t)(packet->network_length_bytes - surplus);
    header->next_header = PROTOCOL_ICMP6;
    header->payload_length_be =
        __builtin_bswap16((uint16_t)(packet->network_length_bytes - IPV6_HEADER_BYTES));
}

/* To a group of ours, or to what others have as well, the answer comes from an address of the port
 * (RFC 4443 4.2). */
void icmp6_answer_echo(struct core *core, struct packet *packet, uint32_t message_offset)
{
    uint16_t old_be, new_be;
    uint16_t link = link_of(packet);

    counter_add(&core->ports[packet->port_in].delivered, 1);
    datagram_trim(core, packet);
    remove_extensions(packet, message_offset);
    struct ipv6_header *header = (void *)packet->data;
    struct icmp6_header *icmp = (void *)(packet->data + IPV6_HEADER_BYTES);
    uint32_t length_bytes = packet->network_length_bytes - (uint32_t)IPV6_HEADER_BYTES;
    struct address source = address_of_ipv6(header->destination);
    const struct address target = address_of_ipv6(header->source);
    bool shared =
        ipv6_is_multicast(header->destination) || forwarding_is_anycast(core->forwarding, &source);

    memcpy(&old_be, icmp, sizeof(old_be)); /* the word of type and code */
    icmp->type = ICMP6_ECHO_REPLY;
    icmp->code = 0;
    memcpy(&new_be, icmp, sizeof(new_be));
    icmp->checksum_be = checksum_replace(icmp->checksum_be, old_be, new_be);
    if (shared)
        source = datagram6_source(core, &target, link);
    if (source.family == FAMILY_NONE) {
        packet_free(core->pool, packet);
        return;
    }
    memcpy(header->destination, target.bytes, sizeof(header->destination));
    memcpy(header->source, source.bytes, sizeof(header->source));
    header->hop_limit = hop_limit_on(core, link);
    if (shared) {
        icmp->checksum_be = 0;
        uint64_t sum = icmp6_pseudo_sum(header->source, header->destination, length_bytes);
        icmp->checksum_be =
            checksum_finish(datagram_sum(packet, IPV6_HEADER_BYTES, length_bytes, sum));
    }
    packet->port_out = address_is_link_local(&target) ? link : (uint16_t)PORT_NONE;
    datapath_originate6(core, packet);
}
