/* UDP to and from ourselves (RFC 768, RFC 1122 4.1): sockets with a function behind them. Belongs
 * to the control core. */
#pragma once

#include "kernel/base/types.h"

struct core;
struct packet;
struct router;
struct icmp4_error;

enum {
    UDP_SOCKET_MAX = 64,
    UDP_PAYLOAD_MAX_BYTES = 1472, /* sent in one buffer; a longer one is ERROR_BAD_VALUE */
    UDP_EPHEMERAL_FIRST = 49152,  /* RFC 6335 6 */
    UDP_TTL = 64,
};

/* What has come, lent for the call. */
struct udp_datagram {
    uint32_t source_be, destination_be;
    uint16_t source_port, destination_port;
    uint16_t port_in;
    const struct packet *packet; /* maybe in several segments: packet_copy_out() */
    uint32_t payload_offset;     /* from packet->data */
    uint16_t payload_bytes;
};

struct udp_handlers {
    void (*received)(void *context, const struct udp_datagram *datagram, uint64_t now_ns);
    /* An ICMP error about something this socket has sent; may be NULL. */
    void (*failed)(void *context, const struct icmp4_error *error, uint32_t from_be,
                   uint64_t now_ns);
    void *context;
};

struct udp_sockets;
struct udp_socket;

struct udp_sockets *udp_create(struct router *router) MUST_CHECK; /* NULL: no memory */
void udp_destroy(struct udp_sockets *sockets);                    /* NULL is allowed */

/* address_be 0: any of ours. port 0: one that nobody has. ERROR_EXISTS, ERROR_FULL. */
enum error udp_bind(struct udp_sockets *sockets, uint32_t address_be, uint16_t port,
                    const struct udp_handlers *handlers, struct udp_socket **socket) MUST_CHECK;
uint16_t udp_port(const struct udp_socket *socket);
void udp_close(struct udp_socket *socket);

/* Copies the payload. ERROR_NOT_FOUND: no way there, so no source address. */
enum error udp_send(struct udp_socket *socket, uint32_t target_be, uint16_t target_port,
                    const void *payload, uint16_t payload_bytes) MUST_CHECK;

/* ---- From local.c --------------------------------------------------------------------------- */

/* Takes a packet that says it is UDP, whole, data at network_offset checked. */
void udp_input(struct udp_sockets *sockets, struct core *core, struct packet *packet);
/* An error has come about a UDP packet of ours: true if a socket wanted to know. */
bool udp_input_error(struct udp_sockets *sockets, const struct icmp4_error *error, uint32_t from_be,
                     uint64_t now_ns) MUST_CHECK;
