/* UDP to and from ourselves (RFC 768, RFC 1122 4.1, RFC 8200 8.1): sockets with a function behind
 * them, for both families. Belongs to the control core. */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"

struct core;
struct packet;
struct router;
struct icmp4_error;
struct icmp6_error;

enum {
    UDP_SOCKET_MAX = 64,
    UDP_PAYLOAD_MAX_BYTES = 1472, /* made in one buffer; a longer one is ERROR_BAD_VALUE */
    UDP_EPHEMERAL_FIRST = 49152,  /* RFC 6335 6 */
    UDP_TTL = 64,                 /* and hop limit */
};

/* What has come, lent for the call. */
struct udp_datagram {
    struct address source, destination; /* of one family */
    uint16_t source_port, destination_port;
    uint16_t port_in;
    const struct packet *packet; /* maybe in several segments: packet_copy_out() */
    uint32_t payload_offset;     /* from packet->data */
    uint16_t payload_bytes;
};

/* An ICMP error about something that a socket has sent. */
struct udp_failure {
    struct address target; /* to which it was sent */
    uint16_t target_port;
    struct address from;          /* who says so */
    uint8_t icmp_type, icmp_code; /* of the family of `target` */
    uint32_t mtu;                 /* fragmentation needed, packet too big; else 0 */
};

struct udp_handlers {
    void (*received)(void *context, const struct udp_datagram *datagram, uint64_t now_ns);
    void (*failed)(void *context, const struct udp_failure *failure,
                   uint64_t now_ns); /* may be NULL */
    void *context;
};

/* Where to. */
struct udp_target {
    struct address address;
    uint16_t port;
    uint16_t port_out; /* of a link-local address: the link; else ignored */
};

struct udp_sockets;
struct udp_socket;

struct udp_sockets *udp_create(struct router *router) MUST_CHECK; /* NULL: no memory */
void udp_destroy(struct udp_sockets *sockets);                    /* NULL is allowed */

/* address NULL: any of ours, of either family. port 0: one that nobody has. ERROR_EXISTS,
 * ERROR_FULL. */
enum error udp_bind(struct udp_sockets *sockets, const struct address *address, uint16_t port,
                    const struct udp_handlers *handlers, struct udp_socket **socket) MUST_CHECK;
uint16_t udp_port(const struct udp_socket *socket);
void udp_close(struct udp_socket *socket);

/* Copies the payload. ERROR_NOT_FOUND: no way there, so no source address. ERROR_BAD_VALUE: too
 * long, or the socket's address is of the other family. */
enum error udp_send(struct udp_socket *socket, const struct udp_target *target, const void *payload,
                    uint16_t payload_bytes) MUST_CHECK;

/* ---- From local.c and local6.c -------------------------------------------------------------- */

/* Takes a packet of either family that says it is UDP, whole, data at network_offset checked, UDP's
 * header behind header_length_bytes. */
void udp_input(struct udp_sockets *sockets, struct core *core, struct packet *packet);
/* An error has come by that port about a UDP packet that has our address as its source: true if a
 * socket may have sent it. */
bool udp_input_error(struct udp_sockets *sockets, const struct icmp4_error *error, uint32_t from_be,
                     uint64_t now_ns) MUST_CHECK;
bool udp_input_error6(struct udp_sockets *sockets, const struct icmp6_error *error,
                      const struct address *from, uint16_t port, uint64_t now_ns) MUST_CHECK;
