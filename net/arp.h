/* ARP (RFC 826): asks for neighbors on behalf of the neighbor table, answers for our own addresses,
 * and says which they are (RFC 5227: announcements, conflicts). Belongs to the control core. */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"
#include "net/verdict.h"

struct core;
struct neighbor_table;
struct packet;

enum {
    ARP_ANNOUNCE_MS = 2000,      /* to the second announcement: RFC 5227 ANNOUNCE_INTERVAL */
    ARP_DEFEND_MS = 10000,       /* RFC 5227 DEFEND_INTERVAL */
    ARP_CONFLICT_LOG_MS = 10000, /* a conflict is told to the operator this often */
};

/* Functions of net/datapath.h by these contracts. All take the packet. */
struct arp_uses {
    void (*originate_frame)(struct core *core, uint16_t port, struct packet *packet);
    void (*drop)(struct core *core, struct packet *packet, enum verdict why);
    void (*delivered)(struct core *core, struct packet *packet);
};

struct arp;

/* core: the control core, whose timers, pool and view it uses. NULL: no memory. */
struct arp *arp_create(struct core *core, struct neighbor_table *neighbors,
                       const struct arp_uses *uses) MUST_CHECK;
void arp_destroy(struct arp *arp); /* no core steps any more; NULL is allowed */

/* Asks whose that address is: everybody, or the station with that MAC address. */
void arp_solicit(struct arp *arp, uint16_t port, uint32_t address_be, const uint8_t *mac);

/* Takes a frame that says it is ARP, data at the Ethernet header. Answers what asks for an address
 * of ours on that port, learns: updates who is known, adds only who asks for us. */
void arp_input(struct arp *arp, struct packet *packet, uint64_t now_ns);

/* An address has been given to a port: asks whether somebody has it already (RFC 5227 probe), says
 * that it is ours now, and 2 s later once more. */
void arp_announce(struct arp *arp, uint16_t port, uint32_t address_be, uint64_t now_ns);

/* The port's link, admin state or MAC address has changed, and core->forwarding knows: coming up
 * announces all of its addresses. */
void arp_port_changed(struct arp *arp, uint16_t port, uint64_t now_ns);
