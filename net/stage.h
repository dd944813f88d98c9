/* What the stages of the datapath share. A stage gets the whole batch, asks its own function for a
 * verdict on each packet, and leaves in the batch what may go on:
 *
 *   PASS     stays
 *   TAKEN    goes to core->taken with its `purpose`; handled after the batch, by datapath.c
 *   DROP_x   counted and freed at once, or likewise set aside where the sender is owed an error
 *
 * So a stage never calls the next one, never calls up, and never frees. */
#pragma once

#include "net/router.h"

/* Takes. Counts the drop, sends the ICMP error that is owed for it, frees. */
void datapath_drop(struct core *core, struct packet *packet, enum verdict why);

/* Borrows. Tells the sender that next_hop_be would be the shorter way. */
void datapath_redirect(struct core *core, const struct packet *packet);

/* The rare half of batch_run(). */
void batch_set_aside(struct core *core, struct packet *packet, enum verdict verdict);

/* For what a stage does rarely: out of the way of its loop, which then keeps its values in
 * registers. */
#define RARE __attribute__((noinline))

/* Inlined with its stage, so that a packet costs no call through a pointer. `context` is what the
 * stage looks up once for the whole batch. */
static inline __attribute__((always_inline)) void
batch_run(struct core *core, struct batch *batch,
          enum verdict (*stage)(struct core *core, struct packet *packet, const void *context),
          const void *context)
{
    unsigned count = batch->count, passed = 0;

    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = batch->packets[i];
        enum verdict verdict = stage(core, packet, context);

        if (UNLIKELY(verdict != PASS)) {
            batch_set_aside(core, packet, verdict);
            continue;
        }
        batch->packets[passed++] = packet;
    }
    batch->count = passed;
}

/* The stages, in their order. Until route says otherwise, a packet's next_hop_be is its
 * destination.
 */
void classify_batch(struct core *core,
                    struct batch *batch);                 /* classify.c: what is it, is it valid */
void route_batch(struct core *core, struct batch *batch); /* route.c: where does it go */
void rewrite_batch(struct core *core, struct batch *batch); /* rewrite.c: a new Ethernet header */
void enqueue_batch(struct core *core, struct batch *batch); /* port.c: to its queue */

/* Takes. Cuts a packet of MAIL_FRAGMENT and sends the pieces. */
void fragment_packet(struct core *core, struct packet *packet);

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
