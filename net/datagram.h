/* IPv4 packets as our own stack makes and reads them, over one buffer or several. */
#pragma once

#include "kernel/base/types.h"

struct core;
struct packet;

/* The source address of what we send there: that of the port by which it leaves, or the address
 * itself where it is ours. 0: no route, or no address on that port. */
uint32_t datagram_source(const struct core *core, uint32_t destination_be) MUST_CHECK;

struct datagram_setup {
    uint32_t source_be, destination_be;
    uint8_t protocol;
    uint8_t ttl;
    uint8_t type_of_service;
    bool dont_fragment;
    uint16_t payload_bytes; /* at most 65,515 */
};

/* A packet for datapath_originate(): a whole IPv4 header, then payload_bytes that are not written
 * yet, over as many segments as it takes. NULL without buffers. */
struct packet *datagram_create(struct core *core, const struct datagram_setup *setup) MUST_CHECK;

/* The same for IPv6. FAMILY_NONE: no route, or no address on that port. A link-local or multicast
 * destination wants `port`, which else is PORT_NONE. */
struct address datagram6_source(const struct core *core, const struct address *destination,
                                uint16_t port) MUST_CHECK;

struct datagram6_setup {
    const uint8_t *source, *destination; /* 16 bytes each */
    uint16_t port;                       /* by which it leaves; PORT_NONE: as routes say */
    uint8_t protocol;
    uint8_t hop_limit;
    uint8_t traffic_class;
    bool dont_fragment;     /* DROP_FRAGMENT_NEEDED where it is too long for its way out */
    uint32_t payload_bytes; /* at most 65,495: no packet of ours is longer than 65,535 */
};

/* A packet for datapath_originate6(). NULL without buffers. */
struct packet *datagram6_create(struct core *core, const struct datagram6_setup *setup) MUST_CHECK;

/* Copies into a packet's bytes [offset, offset + length_bytes), which are there. */
void datagram_write(struct packet *packet, uint32_t offset, const void *from,
                    uint32_t length_bytes);

/* Adds the bytes [offset, offset + length_bytes), which are there, to a checksum's running sum. */
uint64_t datagram_sum(const struct packet *packet, uint32_t offset, uint32_t length_bytes,
                      uint64_t sum);

/* Takes off what is before the IP header, and behind the packet's own length: link headers and
 * padding. */
void datagram_trim(struct core *core, struct packet *packet);
