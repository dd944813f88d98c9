/* See udp.h. Sockets are few, so they are looked through one by one. */
#include "net/udp.h"

#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "kernel/platform.h"
#include "net/datagram.h"
#include "net/datapath.h"
#include "net/router.h"
#include "net/wire/checksum.h"
#include "net/wire/icmp4.h"
#include "net/wire/ipv4.h"
#include "net/wire/udp.h"

struct udp_socket {
    struct udp_sockets *owner; /* NULL: free */
    struct udp_handlers handlers;
    uint32_t address_be; /* 0: any */
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
static struct udp_socket *find(struct udp_sockets *sockets, uint32_t address_be, uint16_t port)
{
    struct udp_socket *any = NULL;

    for (unsigned i = 0; i < UDP_SOCKET_MAX; i++) {
        struct udp_socket *socket = &sockets->sockets[i];
        if (!socket->owner || socket->port != port)
            continue;
        if (socket->address_be == address_be)
            return socket;
        if (socket->address_be == 0)
            any = socket;
    }
    return any;
}

static bool is_bound(const struct udp_sockets *sockets, uint32_t address_be, uint16_t port)
{
    for (unsigned i = 0; i < UDP_SOCKET_MAX; i++) {
        const struct udp_socket *socket = &sockets->sockets[i];
        if (socket->owner && socket->port == port && socket->address_be == address_be)
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

enum error udp_bind(struct udp_sockets *sockets, uint32_t address_be, uint16_t port,
                    const struct udp_handlers *handlers, struct udp_socket **out)
{
    if (port == 0)
        port = choose_port(sockets);
    else if (is_bound(sockets, address_be, port))
        return fail(ERROR_EXISTS);
    for (unsigned i = 0; i < UDP_SOCKET_MAX; i++) {
        struct udp_socket *socket = &sockets->sockets[i];
        if (socket->owner)
            continue;
        *socket = (struct udp_socket){
            .owner = sockets,
            .handlers = *handlers,
            .address_be = address_be,
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

enum error udp_send(struct udp_socket *socket, uint32_t target_be, uint16_t target_port,
                    const void *payload, uint16_t payload_bytes)
{
    struct core *core = socket->owner->core;
    uint32_t source_be = socket->address_be;

    if (payload_bytes > UDP_PAYLOAD_MAX_BYTES)
        return fail(ERROR_BAD_VALUE);
    if (source_be == 0)
        source_be = datagram_source(core, target_be);
    if (source_be == 0)
        return fail(ERROR_NOT_FOUND);
    struct packet *packet =
        datagram_create(core, &(struct datagram_setup){
                                  .source_be = source_be,
                                  .destination_be = target_be,
                                  .protocol = PROTOCOL_UDP,
                                  .ttl = UDP_TTL,
                                  .payload_bytes = (uint16_t)(UDP_HEADER_BYTES + payload_bytes),
                              });
    if (!packet)
        return fail(ERROR_NO_MEMORY);
    uint8_t *datagram = packet->data + IPV4_HEADER_BYTES;
    if (payload_bytes > 0)
        memcpy(datagram + UDP_HEADER_BYTES, payload, payload_bytes);
    udp_seal(datagram, payload_bytes, source_be, target_be, socket->port, target_port);
    datapath_originate(core, packet);
    return OK;
}

/* ---- Input ---------------------------------------------------------------------------------- */

static bool checksum_is_good(const struct packet *packet, const struct ipv4_header *header,
                             const struct udp *udp, uint32_t offset)
{
    if (!udp->has_checksum || packet->flags & PACKET_CHECKSUM_GOOD)
        return true;
    uint64_t sum =
        ipv4_pseudo_sum(header->source_be, header->destination_be, PROTOCOL_UDP, udp->length_bytes);
    return checksum_finish(datagram_sum(packet, offset, udp->length_bytes, sum)) == 0;
}

void udp_input(struct udp_sockets *sockets, struct core *core, struct packet *packet)
{
    const struct ipv4_header *header = (const void *)(packet->data + packet->network_offset);
    uint32_t offset = packet->network_offset + packet->header_length_bytes;
    uint32_t length_bytes = packet->network_length_bytes - packet->header_length_bytes;
    uint8_t bytes[UDP_HEADER_BYTES];
    struct udp udp;

    if (!packet_copy_out(packet, offset, bytes, MIN_OF(length_bytes, sizeof(bytes))) ||
        udp_read(bytes, sizeof(bytes), length_bytes, &udp) != OK ||
        !checksum_is_good(packet, header, &udp, offset)) {
        datapath_drop(core, packet, DROP_BAD_UDP);
        return;
    }
    struct udp_socket *socket = find(sockets, header->destination_be, udp.destination_port);
    if (!socket) {
        datapath_drop(core, packet, DROP_UDP_PORT_UNREACHABLE);
        return;
    }
    struct udp_datagram datagram = {
        .source_be = header->source_be,
        .destination_be = header->destination_be,
        .source_port = udp.source_port,
        .destination_port = udp.destination_port,
        .port_in = packet->port_in,
        .packet = packet,
        .payload_offset = offset + UDP_HEADER_BYTES,
        .payload_bytes = (uint16_t)(udp.length_bytes - UDP_HEADER_BYTES),
    };
    socket->handlers.received(socket->handlers.context, &datagram, core->now_ns);
    datapath_delivered(core, packet);
}

bool udp_input_error(struct udp_sockets *sockets, const struct icmp4_error *error, uint32_t from_be,
                     uint64_t now_ns)
{
    uint16_t source_port = load_be16(error->transport); /* RFC 768: the first field */
    struct udp_socket *socket = find(sockets, error->source_be, source_port);

    if (!socket || !socket->handlers.failed)
        return false;
    socket->handlers.failed(socket->handlers.context, error, from_be, now_ns);
    return true;
}
