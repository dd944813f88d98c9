/* See udp.h. Sockets are few, so they are looked through one by one. */
#include "net/udp.h"

#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "kernel/platform.h"
#include "net/datagram.h"
#include "net/datapath.h"
#include "net/forwarding.h"
#include "net/router.h"
#include "net/wire/checksum.h"
#include "net/wire/icmp4.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "net/wire/udp.h"

struct udp_socket {
    struct udp_sockets *owner; /* NULL: free */
    struct udp_handlers handlers;
    struct address address; /* FAMILY_NONE: any, of either family */
    uint16_t port;
};

struct udp_sockets {
    struct core *core; /* the control core */
    struct udp_socket sockets[UDP_SOCKET_MAX];
};

struct udp_sockets *udp_create(struct router *router)
{
    struct udp_sockets *sockets = memory_alloc(sizeof(*sockets), 0, MEMORY_SOCKET);

    if (sockets)
        sockets->core = router->cores[CONTROL_CORE];
    return sockets;
}

void udp_destroy(struct udp_sockets *sockets)
{
    memory_free(sockets);
}

/* The socket for that address and port; one that is bound to the very address wins. */
static struct udp_socket *find(struct udp_sockets *sockets, const struct address *address,
                               uint16_t port)
{
    struct udp_socket *any = NULL;

    for (unsigned i = 0; i < UDP_SOCKET_MAX; i++) {
        struct udp_socket *socket = &sockets->sockets[i];
        if (!socket->owner || socket->port != port)
            continue;
        if (address_equal(&socket->address, address))
            return socket;
        if (socket->address.family == FAMILY_NONE)
            any = socket;
    }
    return any;
}

static bool is_bound(const struct udp_sockets *sockets, const struct address *address,
                     uint16_t port)
{
    for (unsigned i = 0; i < UDP_SOCKET_MAX; i++) {
        const struct udp_socket *socket = &sockets->sockets[i];
        if (socket->owner && socket->port == port && address_equal(&socket->address, address))
            return true;
    }
    return false;
}

/* A port that no socket has on any address. There are more ports than sockets, so one is found
 * soon. RFC 6056 3.3.1: begin anywhere. */
static uint16_t choose_port(struct udp_sockets *sockets)
{
    uint32_t count = 65536 - UDP_EPHEMERAL_FIRST;
    uint32_t start = random_below(&sockets->core->random_state, count);

    for (uint32_t i = 0;; i++) {
        uint16_t port = (uint16_t)(UDP_EPHEMERAL_FIRST + (start + i) % count);
        bool taken = false;
        for (unsigned j = 0; j < UDP_SOCKET_MAX; j++)
            taken |= sockets->sockets[j].owner && sockets->sockets[j].port == port;
        if (!taken)
            return port;
    }
}

enum error udp_bind(struct udp_sockets *sockets, const struct address *address, uint16_t port,
                    const struct udp_handlers *handlers, struct udp_socket **out)
{
    static const struct address any = { .family = FAMILY_NONE };

    if (!address)
        address = &any;
    if (port == 0)
        port = choose_port(sockets);
    else if (is_bound(sockets, address, port))
        return fail(ERROR_EXISTS);
    for (unsigned i = 0; i < UDP_SOCKET_MAX; i++) {
        struct udp_socket *socket = &sockets->sockets[i];
        if (socket->owner)
            continue;
        *socket = (struct udp_socket){
            .owner = sockets,
            .handlers = *handlers,
            .address = *address,
            .port = port,
        };
        *out = socket;
        return OK;
    }
    return fail(ERROR_FULL);
}

uint16_t udp_port(const struct udp_socket *socket)
{
    return socket->port;
}

void udp_close(struct udp_socket *socket)
{
    socket->owner = NULL;
}

/* ---- Output --------------------------------------------------------------------------------- */

/* FAMILY_NONE: no way there. */
static struct address source_of(const struct udp_socket *socket, const struct address *target,
                                uint16_t port_out)
{
    const struct core *core = socket->owner->core;

    if (socket->address.family != FAMILY_NONE)
        return socket->address;
    if (target->family == FAMILY_IPV6)
        return datagram6_source(core, target, port_out);
    uint32_t source_be = datagram_source(core, address_ipv4_be(target));
    return source_be == 0 ? (struct address){ .family = FAMILY_NONE } : address_of_ipv4(source_be);
}

/* An IP header, and room for datagram_bytes behind it. */
static struct packet *create_packet(const struct udp_socket *socket, const struct address *source,
                                    const struct address *target, uint16_t port_out,
                                    uint16_t datagram_bytes)
{
    struct core *core = socket->owner->core;

    if (source->family == FAMILY_IPV6)
        return datagram6_create(core, &(struct datagram6_setup){
                                          .source = source->bytes,
                                          .destination = target->bytes,
                                          .port = port_out,
                                          .protocol = PROTOCOL_UDP,
                                          .hop_limit = UDP_TTL,
                                          .payload_bytes = datagram_bytes,
                                      });
    return datagram_create(core, &(struct datagram_setup){
                                     .source_be = address_ipv4_be(source),
                                     .destination_be = address_ipv4_be(target),
                                     .protocol = PROTOCOL_UDP,
                                     .ttl = UDP_TTL,
                                     .payload_bytes = datagram_bytes,
                                 });
}

enum error udp_send(struct udp_socket *socket, const struct udp_target *target, const void *payload,
                    uint16_t payload_bytes)
{
    struct core *core = socket->owner->core;
    const struct address *to = &target->address;
    uint16_t port_out = address_is_link_local(to) ? target->port_out : (uint16_t)PORT_NONE;
    bool ipv6 = to->family == FAMILY_IPV6;

    if (payload_bytes > UDP_PAYLOAD_MAX_BYTES)
        return fail(ERROR_BAD_VALUE);
    const struct address source = source_of(socket, to, port_out);
    if (source.family == FAMILY_NONE)
        return fail(ERROR_NOT_FOUND);
    if (source.family != to->family)
        return fail(ERROR_BAD_VALUE);
    struct packet *packet =
        create_packet(socket, &source, to, port_out, (uint16_t)(UDP_HEADER_BYTES + payload_bytes));
    if (!packet)
        return fail(ERROR_NO_MEMORY);
    uint8_t *datagram = packet->data + (ipv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES);
    if (payload_bytes > 0)
        memcpy(datagram + UDP_HEADER_BYTES, payload, payload_bytes);
    if (ipv6) {
        udp6_seal(datagram, payload_bytes, source.bytes, to->bytes, socket->port, target->port);
        datapath_originate6(core, packet);
    } else {
        udp_seal(datagram, payload_bytes, address_ipv4_be(&source), address_ipv4_be(to),
                 socket->port, target->port);
        datapath_originate(core, packet);
    }
    return OK;
}

/* ---- Input ---------------------------------------------------------------------------------- */

/* From whom to whom. */
static void read_addresses(const struct packet *packet, struct udp_datagram *datagram)
{
    const void *header = packet->data + packet->network_offset;
    const struct ipv4_header *ipv4 = header;
    const struct ipv6_header *ipv6 = header;

    if (packet->network_protocol == PACKET_IPV6) {
        datagram->source = address_of_ipv6(ipv6->source);
        datagram->destination = address_of_ipv6(ipv6->destination);
    } else {
        datagram->source = address_of_ipv4(ipv4->source_be);
        datagram->destination = address_of_ipv4(ipv4->destination_be);
    }
}

static uint64_t pseudo_sum(const struct udp_datagram *datagram, uint16_t length_bytes)
{
    if (datagram->source.family == FAMILY_IPV6)
        return ipv6_pseudo_sum(datagram->source.bytes, datagram->destination.bytes, length_bytes,
                               PROTOCOL_UDP);
    return ipv4_pseudo_sum(address_ipv4_be(&datagram->source),
                           address_ipv4_be(&datagram->destination), PROTOCOL_UDP, length_bytes);
}

static bool checksum_is_good(const struct udp_datagram *datagram, const struct udp *udp,
                             uint32_t offset)
{
    const struct packet *packet = datagram->packet;

    if (!udp->has_checksum) /* RFC 8200 8.1: there must be one */
        return datagram->source.family == FAMILY_IPV4;
    if (packet->flags & PACKET_CHECKSUM_GOOD)
        return true;
    uint64_t sum = pseudo_sum(datagram, udp->length_bytes);
    return checksum_finish(datagram_sum(packet, offset, udp->length_bytes, sum)) == 0;
}

void udp_input(struct udp_sockets *sockets, struct core *core, struct packet *packet)
{
    uint32_t offset = packet->network_offset + packet->header_length_bytes;
    uint32_t length_bytes = packet->network_length_bytes - packet->header_length_bytes;
    struct udp_datagram datagram = { .port_in = packet->port_in,
                                     .packet = packet,
                                     .payload_offset = offset + UDP_HEADER_BYTES };
    uint8_t bytes[UDP_HEADER_BYTES];
    struct udp udp;

    read_addresses(packet, &datagram);
    if (!packet_copy_out(packet, offset, bytes, MIN_OF(length_bytes, sizeof(bytes))) ||
        udp_read(bytes, sizeof(bytes), length_bytes, &udp) != OK ||
        !checksum_is_good(&datagram, &udp, offset)) {
        datapath_drop(core, packet, DROP_BAD_UDP);
        return;
    }
    struct udp_socket *socket = find(sockets, &datagram.destination, udp.destination_port);
    if (!socket) {
        datapath_drop(core, packet, DROP_UDP_PORT_UNREACHABLE);
        return;
    }
    datagram.source_port = udp.source_port;
    datagram.destination_port = udp.destination_port;
    datagram.payload_bytes = (uint16_t)(udp.length_bytes - UDP_HEADER_BYTES);
    socket->handlers.received(socket->handlers.context, &datagram, core->now_ns);
    datapath_delivered(core, packet);
}

/* `transport` is the header of what was sent, as it is quoted: ports, RFC 768. */
static bool input_error(struct udp_sockets *sockets, const struct address *source, uint16_t port_in,
                        const uint8_t *transport, struct udp_failure *failure, uint64_t now_ns)
{
    struct udp_socket *socket = find(sockets, source, load_be16(transport));

    if (!socket || !forwarding_is_own(sockets->core->forwarding, port_in, source))
        return false;
    failure->target_port = load_be16(transport + 2);
    if (socket->handlers.failed)
        socket->handlers.failed(socket->handlers.context, failure, now_ns);
    return true;
}

bool udp_input_error(struct udp_sockets *sockets, const struct icmp4_error *error, uint32_t from_be,
                     uint64_t now_ns)
{
    const struct address source = address_of_ipv4(error->source_be);
    struct udp_failure failure = {
        .target = address_of_ipv4(error->destination_be),
        .from = address_of_ipv4(from_be),
        .icmp_type = error->type,
        .icmp_code = error->code,
        .mtu = error->mtu,
    };

    return input_error(sockets, &source, PORT_NONE, error->transport, &failure, now_ns);
}

bool udp_input_error6(struct udp_sockets *sockets, const struct icmp6_error *error,
                      const struct address *from, uint16_t port, uint64_t now_ns)
{
    const struct address source = address_of_ipv6(error->source);
    struct udp_failure failure = {
        .target = address_of_ipv6(error->destination),
        .from = *from,
        .icmp_type = error->type,
        .icmp_code = error->code,
        .mtu = error->mtu,
    };

    return input_error(sockets, &source, port, error->transport, &failure, now_ns);
}
