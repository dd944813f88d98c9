/* A port: a network card, or the loopback, as the datapath sees it. Only port.c knows nic.h. */
#pragma once

#include "kernel/base/counter.h"
#include "kernel/base/packet.h"
#include "kernel/base/types.h"
#include "net/config.h"
#include "net/verdict.h"

struct nic;
struct core;
struct router;

/* Counters (kernel/base/counter.h) of one core: core->ports[index].
 * The books, exact whenever nothing is in flight:
 *   received + originated == sent + delivered + sum(dropped) + held
 * all accounted to the port that the packet came in by; what we make ourselves came in by the
 * loopback. A packet that becomes n fragments counts n - 1 as originated. */
struct port_counters {
    uint64_t received, received_bytes;
    uint64_t originated;
    uint64_t sent;      /* came in here and left by whatever port */
    uint64_t delivered; /* to our own stack */
    uint64_t held; /* taken and neither sent, delivered nor dropped yet; modulo 2^64 on one core */
    uint64_t transmitted, transmitted_bytes; /* left by this port */
    uint64_t transmit_dropped;               /* did not: the card's queue was full */
    uint64_t dropped[VERDICT_COUNT];
};

/* A card that fails (nic_ops.is_well) leaves service, and comes back:
 *
 *   PORT_SERVING --fails--> PORT_LEAVING --no core uses it--> PORT_LEFT --close--> PORT_CLOSED
 *        ^---------------------------- open, when it is time ---------------------------'
 */
enum port_state { PORT_CLOSED, PORT_OPENING, PORT_SERVING, PORT_LEAVING, PORT_LEFT };

/* What another router has told of the link (net/autoconf.h); 0: nothing. */
struct port_learned {
    uint16_t ipv6_mtu_bytes;
    uint8_t hop_limit;
};

struct port {
    /* Set when created. */
    uint16_t index;
    char name[PORT_NAME_BYTES]; /* "eth0", "lo" */
    struct nic *nic;            /* NULL: loopback */
    uint8_t permanent_mac[6];
    uint16_t mtu_max_bytes; /* what the card can send */
    /* Written by the control core, read by all: 0, no core may touch the card's queues; else how
     * often it has come into service, as each time its queues are others. */
    _Atomic uint32_t service;
    /* Owned by the control core. */
    enum port_state state;
    uint32_t services;       /* so far */
    uint64_t resets;         /* the card was closed because it failed */
    uint64_t next_try_ns;    /* when a card that is out of service is opened */
    uint64_t retry_delay_ns; /* and how long after that, should it fail again */
    uint64_t opened_ns;
    /* Owned by the control core; copied into each view for the others. */
    uint8_t mac[6];
    uint16_t mtu_bytes;
    bool admin_up;
    bool link_up;
    struct port_learned learned;
    uint64_t link_changes;
};

struct nic_ops;
struct nic_queue;

/* How one core serves one port. */
struct port_lane {
    /* Set by ports_adopt(). */
    uint32_t service; /* for which all this is right; 0: out of service */
    const struct nic_ops *ops;
    struct nic_queue *queue; /* NULL: another core sends for this one */
    uint16_t queue_index;
    uint16_t sender; /* the core that does */
    bool polled;     /* its interrupts do not reach us */
    /* Owned by the core. */
    struct batch pending; /* frames to send; handed to the card at the end of the step */
};

/* What is behind a port, for shows. */
struct port_info {
    const char *driver, *location;
    unsigned queue_count;
    uint8_t queue_cores[CORE_MAX]; /* owner of each queue */
    uint16_t ring_entries_rx, ring_entries_tx;
    bool polled;
    uint64_t register_accesses;                 /* of all queues */
    uint64_t queue_register_accesses[CORE_MAX]; /* of each */
    uint64_t rx_errors, rx_no_buffer, tx_errors;
    uint64_t resets;
};

/* Everything below is called by the core that the queue belongs to, unless it says control. */

/* Control: what port number `index` is before it is opened; nic NULL: the loopback. */
void port_create(struct port *port, unsigned index, struct nic *nic);
/* Control: opens the card with its queues dealt to cores, each of which adopts its own in its next
 * step; PORT_DOWN stays until admin and link are up. A card that does not open is tried again by
 * port_check(). */
enum error port_open(struct router *router, struct port *port, uint64_t now_ns) MUST_CHECK;
/* Control, while no core steps. */
void port_close(struct router *router, struct port *port);
/* Control, ten times a second: looks at the link and whether the card is well, and resets one that
 * is not; true if link_up changed. Others' packets for it are lost meanwhile, as port-down. */
bool port_check(struct router *router, struct port *port, uint64_t now_ns);
enum error port_set_mac(struct port *port, const uint8_t mac[6]) MUST_CHECK;
void port_info(const struct router *router, const struct port *port, struct port_info *info);

/* At the start of a step, when router->services says that a port came into service or left it. */
void ports_adopt(struct core *core);
/* Takes what is there into an empty batch, counts; classify counts the bytes. */
void port_receive(struct core *core, const struct port *port, struct batch *batch);
/* Once per step: hands what is pending to the cards and rings their doorbells. */
void ports_flush(struct core *core);
/* Before and after sleep: true where a queue has work already. */
bool ports_arm(struct core *core);
void ports_disarm(struct core *core);
bool ports_need_polling(const struct core *core); /* a card's interrupts do not reach us */
/* Takes a whole frame; sends it by this core's queue, or by mailbox to the core that has one. */
void port_transmit(struct core *core, const struct port *port, struct packet *packet);
