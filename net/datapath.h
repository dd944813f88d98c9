/* The path of a packet through the router, from one card to another, and the doors into it.
 *
 *   port_receive -> classify -> filter_in -> route -> filter_out -> rewrite -> enqueue
 *                      |   |                  |  ^                     | ^
 *                     ARP drops             to us                      | neighbor answered:
 *                                                |                     | datapath_resume
 *                     datapath_originate: what we send ourselves       unresolved
 *
 * Inside the stages `data` is the Ethernet header and network_offset the way to the IP header; in a
 * packet of ours (PACKET_LOCAL) there is none yet: network_offset is 0.
 *
 * The collaborators get what was set aside, after the batch, on the core that the purpose names:
 *   MAIL_LOCAL    local_input(core, packet)      any core; it mails on what only control can do
 *   MAIL_ARP      arp_input()                    control core
 *   MAIL_RESOLVE  neighbor_resolve()             control core
 *   a drop whose reason owes an ICMP error: icmp_send_error(core, packet, why), which borrows; for
 *   a parameter problem packet->error_offset is the byte at fault */
#pragma once

#include "net/router.h"
#include "net/stage.h"

/* Takes what the core's queue of this port holds and sends it where it belongs. */
void datapath_poll(struct core *core, const struct port *port);

/* Takes an IPv4 packet of ours, complete with checksum, data at its header and room for an Ethernet
 * header before it. It is routed at the end of this poll; what is addressed to ourselves comes back
 * by local_input(). */
void datapath_originate(struct core *core, struct packet *packet);

/* The same for IPv6. port_out is PORT_NONE, or the port by which it must leave, as the destination
 * is link-local or a group. */
void datapath_originate6(struct core *core, struct packet *packet);

/* Takes a whole frame of ours, as ARP makes them: counts it and sends it by that port. */
void datapath_originate_frame(struct core *core, uint16_t port, struct packet *packet);

/* Takes a packet with port_out and its next hop set: goes on where it waited for its neighbor. */
void datapath_resume(struct core *core, struct packet *packet);

/* Takes: our own stack has consumed it. Counted and freed. */
void datapath_delivered(struct core *core, struct packet *packet);

/* Takes. To another core, or a drop counted when its mailbox is full; held in between. */
void mailbox_send(struct core *core, unsigned target, struct packet *packet,
                  enum mail_purpose purpose);

/* Takes all packets of the batch, likewise. */
void mailbox_send_batch(struct core *core, unsigned target, struct batch *batch,
                        enum mail_purpose purpose);

/* core_step's: routes what was originated; takes what other cores have mailed, tells those that we
 * have mailed to, and wakes them where they sleep. */
void datapath_flush(struct core *core);
void mailbox_poll(struct core *core);
void mailbox_notify(struct core *core);

static inline bool mailbox_is_empty(const struct core *core)
{
    return atomic_load_explicit(&core->mail_from, memory_order_relaxed) == 0;
}

static inline bool core_is_control(const struct core *core)
{
    return core->index == CONTROL_CORE;
}

/* The loopback: port_in of what we originate. */
static inline uint16_t router_loopback(const struct router *router)
{
    return (uint16_t)(router->port_count - 1);
}
