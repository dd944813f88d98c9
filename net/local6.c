/* What is addressed to ourselves over IPv6: see local.h. Extension headers are judged here, as the
 * destination must (RFC 8200 4). */
#include "net/datagram.h"
#include "net/datapath.h"
#include "net/forwarding.h"
#include "net/icmp6.h"
#include "net/local.h"
#include "net/mld.h"
#include "net/nd.h"
#include "net/path_mtu.h"
#include "net/probe.h"
#include "net/reassembly.h"
#include "net/udp.h"
#include "net/wire/checksum.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"

static const struct ipv6_header *header_of(const struct packet *packet)
{
    return (const void *)(packet->data + packet->network_offset);
}

/* A message of ours, whole. */
struct message {
    uint32_t offset; /* from the IPv6 header */
    uint32_t length_bytes;
    uint8_t type;
};

static bool read_message(const struct packet *packet, const struct ipv6_headers *headers,
                         struct message *message)
{
    const struct ipv6_header *header = header_of(packet);

    message->offset = headers->upper_offset;
    message->length_bytes = packet->network_length_bytes - message->offset;
    if (message->length_bytes < ICMP6_HEADER_BYTES)
        return false;
    uint64_t sum = icmp6_pseudo_sum(header->source, header->destination, message->length_bytes);
    if (checksum_finish(datagram_sum(packet, packet->network_offset + message->offset,
                                     message->length_bytes, sum)) != 0)
        return false;
    return packet_copy_out(packet, packet->network_offset + message->offset, &message->type, 1);
}

static void conclude(struct core *core, struct packet *packet, enum verdict verdict)
{
    if (verdict == PASS)
        datapath_delivered(core, packet);
    else
        datapath_drop(core, packet, verdict);
}

/* The link on which its link-local addresses mean something: of what we have sent to ourselves, the
 * one that it was sent to. */
static uint16_t link_of(const struct packet *packet)
{
    return packet->flags & PACKET_LOCAL ? packet->port_out : packet->port_in;
}

static enum verdict input_echo_reply(struct core *core, const struct packet *packet,
                                     const struct message *message)
{
    const struct ipv6_header *header = header_of(packet);
    struct icmp6_header icmp;
    bool copied =
        packet_copy_out(packet, packet->network_offset + message->offset, &icmp, sizeof(icmp));

    CHECK(copied);
    const struct probe_echo echo = {
        .source = address_of_ipv6(header->destination),
        .target = address_of_ipv6(header->source),
        .port = link_of(packet),
        .identifier_be = icmp.echo.identifier_be,
        .sequence_be = icmp.echo.sequence_be,
    };
    return probes_input_reply(core->router->local->probes, &echo, header->hop_limit,
                              (uint16_t)message->length_bytes, core->now_ns)
               ? PASS
               : DROP_ICMP_IGNORED;
}

/* Is it one of ours, of which nobody keeps a note? */
static bool is_about_our_reply(const struct core *core, const struct packet *packet,
                               const struct icmp6_error *error)
{
    const struct address source = address_of_ipv6(error->source);

    return error->protocol == PROTOCOL_ICMP6 && error->transport[0] == ICMP6_ECHO_REPLY &&
           forwarding_is_own(core->forwarding, link_of(packet), &source);
}

/* RFC 8201 4, of a packet that may be ours: believed where it was longer than what it says would
 * fit, and the way there carries more than that. Our own links tell nothing new about a path. */
static void learn_path_mtu(const struct core *core, const struct packet *packet,
                           const struct icmp6_error *error)
{
    const struct forwarding *view = core->forwarding;
    const struct address target = address_of_ipv6(error->destination);
    const struct next_hop *way = forwarding_lookup(view, &target);

    if (packet->flags & PACKET_LOCAL || error->packet_bytes <= error->mtu)
        return;
    if (way->kind >= NEXT_HOP_CONNECTED && error->mtu < view->ports[way->port].mtu_bytes)
        path_mtu_learn(core->router->path_mtus, target.bytes, (uint16_t)error->mtu, core->now_ns);
}

/* No more is looked at than any router quotes. */
static enum verdict input_icmp_error(struct core *core, const struct packet *packet,
                                     const struct message *message)
{
    const struct local *local = core->router->local;
    const struct address from = address_of_ipv6(header_of(packet)->source);
    uint8_t bytes[ICMP6_HEADER_BYTES + ICMP6_QUOTE_MAX_BYTES];
    uint32_t length_bytes = MIN_OF(message->length_bytes, (uint32_t)sizeof(bytes));
    struct icmp6_error error;
    bool copied =
        packet_copy_out(packet, packet->network_offset + message->offset, bytes, length_bytes);

    CHECK(copied);
    if (icmp6_error_read(bytes, length_bytes, &error) != OK)
        return DROP_BAD_ICMP;
    bool is_ours = false;
    if (error.protocol == PROTOCOL_ICMP6)
        is_ours = probes_input_error6(local->probes, &error, &from, link_of(packet), core->now_ns);
    else if (error.protocol == PROTOCOL_UDP)
        is_ours = udp_input_error6(local->udp, &error, &from, link_of(packet), core->now_ns);
    if (error.type == ICMP6_PACKET_TOO_BIG) {
        is_ours = is_ours || is_about_our_reply(core, packet, &error);
        if (is_ours)
            learn_path_mtu(core, packet, &error);
    }
    return is_ours ? PASS : DROP_ICMP_IGNORED;
}

/* Control core. PASS: somebody wanted to know. */
static enum verdict input_icmp(struct core *core, const struct packet *packet,
                               const struct ipv6_headers *headers, const struct message *message)
{
    bool contiguous = packet->length_bytes - packet->network_offset >= packet->network_length_bytes;

    switch (message->type) {
    case ICMP6_ROUTER_SOLICITATION:
    case ICMP6_ROUTER_ADVERTISEMENT:
    case ICMP6_NEIGHBOR_SOLICITATION:
    case ICMP6_NEIGHBOR_ADVERTISEMENT:
    case ICMP6_REDIRECT:
        if (!contiguous)
            return DROP_BAD_ND;
        return nd_input(core->router->nd, packet, message->offset, core->now_ns);
    case ICMP6_LISTENER_QUERY:
        return contiguous ? mld_input(core->router->mld, packet, headers, core->now_ns)
                          : DROP_BAD_ICMP;
    case ICMP6_ECHO_REPLY:
        return input_echo_reply(core, packet, message);
    default:
        return icmp6_is_error(message->type) ? input_icmp_error(core, packet, message)
                                             : DROP_ICMP_IGNORED;
    }
}

static void take_icmp(struct core *core, struct packet *packet, const struct ipv6_headers *headers)
{
    struct message message;

    if (!read_message(packet, headers, &message)) {
        datapath_drop(core, packet, DROP_BAD_ICMP);
        return;
    }
    if (message.type == ICMP6_ECHO_REQUEST) {
        if (packet->length_bytes - packet->network_offset < message.offset + ICMP6_HEADER_BYTES)
            datapath_drop(core, packet, DROP_ICMP_IGNORED); /* a chain that fills a whole buffer */
        else
            icmp6_answer_echo(core, packet, message.offset);
        return;
    }
    if (!core_is_control(core)) {
        mailbox_send(core, CONTROL_CORE, packet, MAIL_LOCAL);
        return;
    }
    conclude(core, packet, input_icmp(core, packet, headers, &message));
}

static void tell_problem(struct core *core, struct packet *packet,
                         const struct ipv6_headers *headers)
{
    packet->error_code = headers->problem_code;
    packet->error_offset = headers->problem_pointer;
    datapath_drop(core, packet, DROP_IPV6_EXTENSION);
}

/* Judges the headers; false: it was dropped. */
static bool read_headers(struct core *core, struct packet *packet, struct ipv6_headers *headers)
{
    switch (ipv6_headers_walk(header_of(packet), packet->length_bytes - packet->network_offset,
                              IPV6_TO_DELIVER, headers)) {
    case IPV6_CHAIN_GOOD:
        break;
    case IPV6_CHAIN_DISCARD:
        datapath_drop(core, packet, DROP_IPV6_DISCARD);
        return false;
    case IPV6_CHAIN_PROBLEM:
        tell_problem(core, packet, headers);
        return false;
    }
    /* Nobody cuts twice: what would come of it has been seen by no filter. */
    if (headers->fragment_offset != 0 && packet->flags & PACKET_REASSEMBLED) {
        packet->error_offset = headers->fragment_named_offset;
        datapath_drop(core, packet, DROP_PROTOCOL_UNREACHABLE);
        return false;
    }
    packet->header_length_bytes = headers->upper_offset;
    return true;
}

/* The packet whole, its headers read, or NULL: other pieces are missing, or it was dropped. */
static struct packet *reassemble(struct core *core, struct packet *packet,
                                 struct ipv6_headers *headers)
{
    if (!ipv6_fragment_is_possible(header_of(packet), headers)) {
        tell_problem(core, packet, headers);
        return NULL;
    }
    if (!core_is_control(core)) {
        mailbox_send(core, CONTROL_CORE, packet, MAIL_LOCAL);
        return NULL;
    }
    packet->header_length_bytes = (uint16_t)(headers->fragment_offset + IPV6_FRAGMENT_HEADER_BYTES);
    packet = reassembly_input(core->router->local->reassembly, packet, core->now_ns);
    return packet && read_headers(core, packet, headers) ? packet : NULL;
}

void local6_input(struct core *core, struct packet *packet)
{
    struct ipv6_headers headers;

    if (!read_headers(core, packet, &headers))
        return;
    /* The only fragment of itself is whole, and none of any other (RFC 6946). */
    if (ipv6_is_fragment(&headers))
        packet = reassemble(core, packet, &headers);
    if (!packet)
        return;
    switch (headers.protocol) {
    case PROTOCOL_ICMP6:
        take_icmp(core, packet, &headers);
        return;
    case PROTOCOL_UDP:
        if (core_is_control(core))
            udp_input(core->router->local->udp, core, packet);
        else
            mailbox_send(core, CONTROL_CORE, packet, MAIL_LOCAL);
        return;
    case PROTOCOL_NO_NEXT_HEADER:
        datapath_delivered(core, packet);
        return;
    default:
        packet->error_offset = headers.next_header_offset;
        datapath_drop(core, packet, DROP_PROTOCOL_UNREACHABLE);
        return;
    }
}
