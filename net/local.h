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
/* Likewise an IPv6 packet to an address or a group of ours. */
void local6_input(struct core *core, struct packet *packet);
