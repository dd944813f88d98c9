/* Puts fragments addressed to us together (RFC 791 3.2, RFC 8200 4.5, hole list of RFC 815), with
 * bounds on datagrams, fragments and time that both families share. Belongs to the control core.
 *
 *   datagram: key (source, destination, identification, and of IPv4 the protocol)
 *     fragments, by offset:  [0..1480)[1480..2960)        [4440..5000)
 *     holes are what lies between:                [2960..4440)
 *
 * A fragment that overlaps another ends the datagram, and so do all that follow of it until its
 * time is over (RFC 5722, for IPv4 as well); an exact duplicate, byte by byte, is dropped alone.
 *
 * Books: each fragment is held while it waits. When the datagram is whole, all but one count as
 * delivered, and the datagram goes on as that one packet. */
#pragma once

#include "kernel/base/types.h"
#include "net/verdict.h"

struct core;
struct packet;

enum {
    REASSEMBLY_MAX = 64,          /* datagrams at once; beyond, the oldest is given up */
    REASSEMBLY_FRAGMENT_MAX = 64, /* per datagram: 65,535 bytes in pieces of 1,480 are 45 */
    REASSEMBLY_BUFFER_MAX = 512,  /* buffers held in all; beyond, the oldest datagram is given up */
    REASSEMBLY_TIMEOUT_MS = 30000,  /* RFC 1122 3.3.2 wants a fixed one; RFC 791 suggests 15 s */
    REASSEMBLY6_TIMEOUT_MS = 60000, /* RFC 8200 4.5 */
};

struct reassembly_uses {
    void (*drop)(struct core *core, struct packet *packet, enum verdict why); /* takes */
};

struct reassembly;
struct reassembly *reassembly_create(struct core *core,
                                     const struct reassembly_uses *uses) MUST_CHECK;
void reassembly_destroy(struct reassembly *reassembly); /* frees what waits; NULL is allowed */

/* Takes a fragment, its headers checked (ipv6_headers_walk(), ipv6_fragment_is_possible());
 * header_length_bytes is all before its piece of data, which in IPv6 ends with the fragment header.
 * NULL while pieces are missing, else the whole datagram: a packet of as few segments as it takes,
 * with PACKET_REASSEMBLED and headers that say so, data at the IP header. Of IPv6, those that came
 * before the fragment header of the first piece have been judged, and those behind it have not. */
struct packet *reassembly_input(struct reassembly *reassembly, struct packet *packet,
                                uint64_t now_ns) MUST_CHECK;

/* Buffers held now. */
unsigned reassembly_held(const struct reassembly *reassembly);
