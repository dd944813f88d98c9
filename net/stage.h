/* What the stages of the datapath share. A stage gets the whole batch with its findings, asks for a
 * verdict on each packet, and leaves in the batch what may go on:
 *
 *   PASS     stays
 *   TAKEN    goes to core->taken with its `purpose`; handled after the batch, by datapath.c
 *   DROP_x   counted and freed at once, or likewise set aside where the sender is owed an error
 *
 * So a stage never calls the next one, never calls up, and never frees.
 *
 * Nearly all packets are plain: classify.c says which. Each stage first has a loop for them that
 * does no more than they need, calls nothing and so keeps all it knows of a batch in registers;
 * then it takes the others, one by one, by a function that looks at any packet whole. */
#pragma once

#include "net/router.h"

/* Takes. Counts the drop, sends the ICMP error that is owed for it, frees. */
void datapath_drop(struct core *core, struct packet *packet, enum verdict why);

/* Borrows. Tells the sender that its next hop would be the shorter way. */
void datapath_redirect(struct core *core, const struct packet *packet);

/* What the stages have found out about the packets of a batch: entry i is about packets[i]. */
struct findings {
    uint64_t unusual;      /* bit per packet: not plain */
    uint64_t fallen;       /* bit per packet: set aside by the stage that is at work */
    uint64_t length_bytes; /* of all frames that rewrite has passed */
    uint16_t ports_differ; /* not 0: those frames leave by several ports */
    union {                /* by the family of the batch */
        uint32_t destinations_be[BATCH_MAX];
        uint8_t destinations[BATCH_MAX][16];
    };
    uint16_t next_hops[BATCH_MAX];            /* answers of the FIB */
    struct adjacency *adjacencies[BATCH_MAX]; /* NULL: rewrite has to look for it */
};

/* For what a stage does rarely: out of the way of its loop. */
#define RARE __attribute__((noinline))

static inline uint64_t bit_of(unsigned i)
{
    return UINT64_C(1) << i;
}

/* The lowest of a set that is not empty, taken out of it. */
static inline unsigned bits_take_first(uint64_t *set)
{
    unsigned i = (unsigned)__builtin_ctzll(*set);
    *set &= *set - 1;
    return i;
}

/* What becomes of packet i, other than that it passes. */
void batch_set_aside(struct core *core, struct packet *packet, enum verdict verdict);
static inline void stage_conclude(struct core *core, struct batch *batch, struct findings *findings,
                                  unsigned i, enum verdict verdict)
{
    if (verdict == PASS)
        return;
    findings->fallen |= bit_of(i);
    batch_set_aside(core, batch->packets[i], verdict);
}

/* At the end of a stage: those that follow move up to where packets have fallen out. */
void batch_close_gaps(struct batch *batch, struct findings *findings);
static inline void stage_finish(struct batch *batch, struct findings *findings)
{
    if (UNLIKELY(findings->fallen != 0))
        batch_close_gaps(batch, findings);
}

/* The arrays are filled as far as there are packets. */
static inline void findings_begin(struct findings *findings)
{
    findings->unusual = 0;
    findings->fallen = 0;
    findings->length_bytes = 0;
    findings->ports_differ = 0;
}

/* The stages, in their order: what is it and is it valid, where does it go, a new Ethernet header,
 * to its queue. classify.c, route.c, rewrite.c, port.c; those with a 6 for IPv6.
 *
 * A batch comes from a card with frames of all kinds, and is that of one family after it was
 * classified: what is of the other went to core->other_family, not looked at yet. */
void classify_batch(struct core *core, uint16_t port_in, struct batch *batch,
                    struct findings *findings);
void classify6_batch(struct core *core, uint16_t port_in, struct batch *batch,
                     struct findings *findings);
void route_batch(struct core *core, struct batch *batch, struct findings *findings);
void route6_batch(struct core *core, struct batch *batch, struct findings *findings);
/* A batch of packets of ours, all of them unusual: each may say by which port it must leave. */
void route6_originated(struct core *core, struct batch *batch, struct findings *findings);
void rewrite_batch(struct core *core, struct batch *batch, struct findings *findings);
void rewrite6_batch(struct core *core, struct batch *batch, struct findings *findings);
void enqueue_batch(struct core *core, struct batch *batch, const struct findings *findings);

/* The stages before and behind `route`, where there are rules (filter.h): what they say of packets
 * that arrive, and then of those about which they wait for the way out, and of ours. */
struct filter;
void filter_in_batch(struct core *core, const struct filter *filter, struct batch *batch,
                     struct findings *findings);
void filter_out_batch(struct core *core, const struct filter *filter, struct batch *batch,
                      struct findings *findings);
/* And of one of PACKET_UNDECIDED that turns out to be for us. */
enum verdict filter_staying(struct core *core, struct packet *packet);

/* Takes. Cuts a packet of MAIL_FRAGMENT and sends the pieces. */
void fragment_packet(struct core *core, struct packet *packet);
/* Likewise: only what is ours is ever cut (RFC 8200 5). */
void fragment6_packet(struct core *core, struct packet *packet);

/* Does this family's sender get an ICMP error for it? */
static inline bool drop_is_owed_error(const struct packet *packet, enum verdict why)
{
    const struct drop_reason *reason = &drop_reasons[why];

    return packet->network_protocol == PACKET_IPV6 ? reason->icmp6_type != ICMP_NONE
                                                   : reason->icmp_type != ICMP_NONE;
}

/* The neighbor's Ethernet header before the IP header; false where there is no room. */
struct adjacency;
bool frame_write_header(struct packet *packet, const struct adjacency *adjacency) MUST_CHECK;

/* The books of a packet that somebody keeps beyond the call that took it (net/port.h): whoever
 * keeps it counts it held, and no longer held before he sends, delivers or drops it, be it on
 * another core. */
static inline void books_hold(struct core *core, const struct packet *packet)
{
    counter_add(&core->ports[packet->port_in].held, 1);
}

static inline void books_unhold(struct core *core, const struct packet *packet)
{
    counter_subtract(&core->ports[packet->port_in].held, 1);
}
