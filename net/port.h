/* A port: a network card, or the loopback, as the datapath sees it. Only port.c knows nic.h. */
#pragma once

#include "kernel/base/packet.h"
#include "kernel/base/types.h"
#include "net/config.h"
#include "net/verdict.h"

struct nic;
struct core;
struct router;

/* Written by one core, read by anyone: core->ports[index].
 * The books, exact whenever nothing is in flight:
 *   received + originated == sent + delivered + sum(dropped) + held
 * all accounted to the port that the packet came in by; what we make ourselves came in by the
 * loopback. A packet that becomes n fragments counts n - 1 as originated. */
struct port_counters {
    uint64_t received, received_bytes;
    uint64_t originated;
    uint64_t sent;      /* came in here and left by whatever port */
    uint64_t delivered; /* to our own stack */
    int64_t
        held; /* taken and neither sent, delivered nor dropped yet; may be negative on one core */
    uint64_t transmitted, transmitted_bytes; /* left by this port */
    uint64_t dropped[VERDICT_COUNT];
};

struct port {
    /* Set when created. */
    uint16_t index;
    char name[PORT_NAME_BYTES]; /* "eth0", "lo" */
    struct nic *nic;            /* NULL: loopback */
    /* Owned by the control core; copied into each view for the others. */
    uint8_t mac[6];
    uint16_t mtu_bytes;
    bool admin_up;
    bool link_up;
    uint64_t link_changes;
};

/* Everything below is called by the core that the queue belongs to, unless it says control. */

/* Control: opens the card with its queues dealt to cores; PORT_DOWN stays until admin and link are
 * up. */
enum error port_open(struct router *router, struct port *port) MUST_CHECK;
void port_close(struct router *router, struct port *port);
/* Control, ten times a second: true if link_up changed. */
bool port_check_link(struct port *port);

/* Takes what is there into an empty batch, stamps port_in and received_ns, counts. */
void port_receive(struct core *core, const struct port *port, struct batch *batch);
/* Takes a whole frame; sends it by this core's queue, or by mailbox to the core that has one. */
void port_transmit(struct core *core, const struct port *port, struct packet *packet);
