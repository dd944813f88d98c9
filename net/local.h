/* What is addressed to ourselves: echo is answered where it came; fragments are put together, and
 * UDP, answers to our probes and ICMP errors find who waits for them, on the control core. */
#pragma once

#include "kernel/base/types.h"

struct core;
struct packet;
struct probes;
struct reassembly;
struct router;
struct udp_sockets;

/* router->local. Owned by the control core. */
struct local {
    struct reassembly *reassembly;
    struct udp_sockets *udp;
    struct probes *probes;
};

struct local *local_create(struct router *router) MUST_CHECK; /* cores exist; NULL: no memory */
void local_destroy(struct local *local);                      /* NULL is allowed */

/* Any core. Takes an IPv4 packet to an address of ours or a broadcast address, its header checked:
 * network_offset, network_length_bytes and header_length_bytes are set. */
void local_input(struct core *core, struct packet *packet);

/* The source address of what we send there: that of the port by which it leaves, or the address
 * itself where it is ours. 0: no route, or no address on that port. */
uint32_t local_source(const struct core *core, uint32_t destination_be);

/* An empty packet of ours with an IPv4 header before payload_bytes of unspecified bytes, over as
 * many segments as it takes; NULL without a buffer. The header is complete but for its checksum:
 * ipv4_seal(). */
struct packet *local_packet(struct core *core, uint32_t source_be, uint32_t destination_be,
                            uint8_t protocol, uint8_t ttl, uint16_t payload_bytes) MUST_CHECK;
