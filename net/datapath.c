/* The path itself, and what becomes of packets that leave it halfway. See datapath.h. */
#include "net/datapath.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "net/arp.h"
#include "net/filter.h"
#include "net/forwarding.h"
#include "net/icmp.h"
#include "net/icmp6.h"
#include "net/local.h"
#include "net/neighbor.h"
#include "net/refuse.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"

enum {
    /* An answer to ourselves may cause one more, and so on: what is left waits for the next step.
     */
    FLUSH_ROUNDS_MAX = 4,
};

static void handle_taken(struct core *core);

/* ---- The path, top to bottom ------------------------------------------------------------------
 */

static void run_ipv4(struct core *core, uint16_t port_in, struct batch *batch)
{
    const struct filter *filter = core->forwarding->filters[FAMILY_IPV4];
    struct findings findings;

    findings_begin(&findings);
    classify_batch(core, port_in, batch, &findings);
    if (UNLIKELY(filter != NULL)) /* a flood dies here, at the cheapest place */
        filter_in_batch(core, filter, batch, &findings);
    route_batch(core, batch, &findings);
    if (UNLIKELY(filter != NULL && filter->names_out))
        filter_out_batch(core, filter, batch, &findings);
    rewrite_batch(core, batch, &findings);
    enqueue_batch(core, batch, &findings);
}

static void run_ipv6(struct core *core, uint16_t port_in, struct batch *batch)
{
    const struct filter *filter = core->forwarding->filters[FAMILY_IPV6];
    struct findings findings;

    findings_begin(&findings);
    classify6_batch(core, port_in, batch, &findings);
    if (UNLIKELY(filter != NULL))
        filter_in_batch(core, filter, batch, &findings);
    route6_batch(core, batch, &findings);
    if (UNLIKELY(filter != NULL && filter->names_out))
        filter_out_batch(core, filter, batch, &findings);
    rewrite6_batch(core, batch, &findings);
    enqueue_batch(core, batch, &findings);
}

/* The first frame tells of which family most are: packets come in groups. */
static bool begins_with_ipv6(const struct batch *batch)
{
    const struct packet *first = batch->packets[0];

    return first->length_bytes >= ETHERNET_HEADER_BYTES &&
           load_be16(first->data + ETHERNET_TYPE_OFFSET) == ETHERTYPE_IPV6;
}

static RARE void run_other_family(struct core *core, uint16_t port_in, bool ipv6)
{
    struct batch batch = core->other_family;

    core->other_family.count = 0;
    if (ipv6)
        run_ipv6(core, port_in, &batch);
    else
        run_ipv4(core, port_in, &batch);
}

void datapath_poll(struct core *core, const struct port *port)
{
    struct batch batch;

    batch.count = 0;
    port_receive(core, port, &batch);
    if (batch.count == 0)
        return;
    core->worked = true;
    counter_add(&core->stats.packets, batch.count);
    counter_add(&core->stats.batches, 1);
    bool ipv6 = begins_with_ipv6(&batch);
    if (UNLIKELY(ipv6))
        run_ipv6(core, port->index, &batch);
    else
        run_ipv4(core, port->index, &batch);
    if (UNLIKELY(core->other_family.count > 0))
        run_other_family(core, port->index, !ipv6);
    if (core->taken.count > 0 || core->originated.count > 0)
        datapath_flush(core);
}

/* Packets of ours, of one family. */
static void run_originated(struct core *core, struct batch *batch, bool ipv6)
{
    const struct filter *filter = core->forwarding->filters[ipv6 ? FAMILY_IPV6 : FAMILY_IPV4];
    struct findings findings;

    if (batch->count == 0)
        return;
    findings_begin(&findings);
    findings.unusual = UINT64_MAX >> (BATCH_MAX - batch->count); /* not plain, all of them */
    for (unsigned i = 0; i < batch->count; i++) {
        if (ipv6)
            memcpy(findings.destinations[i], batch->packets[i]->next_hop,
                   sizeof(findings.destinations[i]));
        else
            findings.destinations_be[i] = batch->packets[i]->next_hop_be;
    }
    if (ipv6)
        route6_originated(core, batch, &findings);
    else
        route_batch(core, batch, &findings);
    if (UNLIKELY(filter != NULL && filter->names_out))
        filter_out_batch(core, filter, batch, &findings);
    if (ipv6)
        rewrite6_batch(core, batch, &findings);
    else
        rewrite_batch(core, batch, &findings);
    enqueue_batch(core, batch, &findings);
}

/* What was set aside, and what we send ourselves, which joins at the route stage. */
void datapath_flush(struct core *core)
{
    handle_taken(core);
    for (unsigned i = 0; i < FLUSH_ROUNDS_MAX && core->originated.count > 0; i++) {
        struct batch ipv4 = { .count = 0 }, ipv6 = { .count = 0 };

        for (unsigned k = 0; k < core->originated.count; k++) {
            struct packet *packet = core->originated.packets[k];
            struct batch *batch = packet->network_protocol == PACKET_IPV6 ? &ipv6 : &ipv4;
            batch->packets[batch->count++] = packet;
        }
        core->originated.count = 0;
        core->worked = true;
        run_originated(core, &ipv4, false);
        run_originated(core, &ipv6, true);
        handle_taken(core);
    }
}

void datapath_resume(struct core *core, struct packet *packet)
{
    struct batch batch = { .count = 1, .packets = { packet } };
    struct findings findings;

    core->worked = true;
    if (!core->forwarding->ports[packet->port_out].up) {
        datapath_drop(core, packet, DROP_PORT_DOWN);
        return;
    }
    findings_begin(&findings);
    findings.adjacencies[0] = NULL;
    if (packet->network_protocol == PACKET_IPV6)
        rewrite6_batch(core, &batch, &findings);
    else
        rewrite_batch(core, &batch, &findings);
    enqueue_batch(core, &batch, &findings);
}

/* ---- Off the path -----------------------------------------------------------------------------
 */

void batch_set_aside(struct core *core, struct packet *packet, enum verdict verdict)
{
    if (verdict != TAKEN) {
        if (!drop_is_owed_error(packet, verdict)) {
            datapath_drop(core, packet, verdict);
            return;
        }
        packet->purpose = MAIL_DROP;
        packet->reason = verdict;
    }
    if (core->taken.count == BATCH_MAX) {
        datapath_drop(core, packet, DROP_MAILBOX_FULL);
        return;
    }
    core->taken.packets[core->taken.count++] = packet;
}

/* Both families' destinations lie in the same place. */
static void move_destination(struct findings *findings, const struct packet *packet, unsigned to,
                             unsigned from)
{
    if (packet->network_protocol == PACKET_IPV6)
        memmove(findings->destinations[to], findings->destinations[from],
                sizeof(findings->destinations[to]));
    else
        findings->destinations_be[to] = findings->destinations_be[from];
}

void batch_close_gaps(struct batch *batch, struct findings *findings)
{
    uint64_t unusual = 0;
    unsigned stayed = 0;

    for (unsigned i = 0; i < batch->count; i++) {
        if (findings->fallen >> i & 1)
            continue;
        unusual |= (findings->unusual >> i & 1) << stayed;
        batch->packets[stayed] = batch->packets[i];
        move_destination(findings, batch->packets[i], stayed, i);
        findings->next_hops[stayed] = findings->next_hops[i];
        findings->adjacencies[stayed] = findings->adjacencies[i];
        stayed++;
    }
    batch->count = stayed;
    findings->unusual = unusual;
    findings->fallen = 0;
}

/* Takes. To our own stack. */
static void deliver(struct core *core, struct packet *packet)
{
    if (UNLIKELY(packet->flags & PACKET_UNDECIDED)) {
        enum verdict verdict = filter_staying(core, packet);
        if (verdict != PASS) {
            datapath_drop(core, packet, verdict);
            return;
        }
    }
    if (packet->network_protocol == PACKET_IPV6)
        local6_input(core, packet);
    else
        local_input(core, packet);
}

/* Takes. To whom its purpose says, where this core may do that; else to the control core. */
static void dispatch(struct core *core, struct packet *packet)
{
    struct router *router = core->router;
    enum mail_purpose purpose = packet->purpose;

    if ((purpose == MAIL_ARP || purpose == MAIL_RESOLVE) && !core_is_control(core)) {
        mailbox_send(core, CONTROL_CORE, packet, purpose);
        return;
    }
    switch (purpose) {
    case MAIL_TRANSMIT:
        if (!(packet->flags & PACKET_LOCAL) && core->mailed++ == 0)
            core->mailed_since_ns = packet->received_ns;
        port_transmit(core, &router->ports[packet->port_out], packet);
        break;
    case MAIL_RESOLVE:
        neighbor_resolve(router->neighbors, packet, core->now_ns);
        break;
    case MAIL_LOCAL:
        deliver(core, packet);
        break;
    case MAIL_ARP:
        arp_input(router->arp, packet, core->now_ns);
        break;
    case MAIL_FRAGMENT:
        if (packet->network_protocol == PACKET_IPV6)
            fragment6_packet(core, packet);
        else
            fragment_packet(core, packet);
        break;
    case MAIL_DROP:
        datapath_drop(core, packet, packet->reason);
        break;
    }
}

/* In the order in which they came. Some come back: a packet that waited for its neighbor may turn
 * out to be too long. */
static void handle_taken(struct core *core)
{
    while (core->taken.count > 0) {
        struct batch taken = core->taken;

        core->taken.count = 0;
        for (unsigned i = 0; i < taken.count; i++)
            dispatch(core, taken.packets[i]);
    }
}

static void send_error(struct core *core, const struct packet *packet, enum verdict why)
{
    if (why == DROP_FILTER_REJECT && refuse_tcp(core, packet))
        return;
    if (packet->network_protocol == PACKET_IPV6)
        icmp6_send_error(core, packet, why);
    else
        icmp_send_error(core, packet, why);
}

void datapath_drop(struct core *core, struct packet *packet, enum verdict why)
{
    counter_add(&core->ports[packet->port_in].dropped[why], 1);
    if (drop_is_owed_error(packet, why))
        send_error(core, packet, why);
    packet_free(core->pool, packet);
}

void datapath_redirect(struct core *core, const struct packet *packet)
{
    if (packet->network_protocol == PACKET_IPV6)
        icmp6_send_redirect(core, packet);
    else
        icmp_send_redirect(core, packet, packet->next_hop_be);
}

void datapath_delivered(struct core *core, struct packet *packet)
{
    counter_add(&core->ports[packet->port_in].delivered, 1);
    packet_free(core->pool, packet);
}

/* ---- From ourselves ---------------------------------------------------------------------------
 */

static void count_originated(struct core *core, struct packet *packet)
{
    packet->port_in = router_loopback(core->router);
    counter_add(&core->ports[packet->port_in].originated, 1);
    core->worked = true;
}

static void originate(struct core *core, struct packet *packet)
{
    if (core->originated.count == BATCH_MAX) {
        counter_add(&core->ports[packet->port_in].dropped[DROP_NO_BUFFER], 1);
        packet_free(core->pool, packet);
        return;
    }
    core->originated.packets[core->originated.count++] = packet;
}

void datapath_originate(struct core *core, struct packet *packet)
{
    const struct ipv4_header *header = (const void *)packet->data;

    count_originated(core, packet);
    packet->flags |= PACKET_LOCAL;
    packet->network_protocol = PACKET_IPV4;
    packet->network_offset = 0;
    packet->network_length_bytes = ipv4_total_bytes(header);
    packet->header_length_bytes = (uint16_t)ipv4_header_bytes(header);
    packet->next_hop_be = header->destination_be;
    originate(core, packet);
}

void datapath_originate6(struct core *core, struct packet *packet)
{
    const struct ipv6_header *header = (const void *)packet->data;

    count_originated(core, packet);
    packet->flags |= PACKET_LOCAL;
    packet->network_protocol = PACKET_IPV6;
    packet->network_offset = 0;
    packet->network_length_bytes = (uint16_t)ipv6_packet_bytes(header);
    packet->header_length_bytes = IPV6_HEADER_BYTES;
    memcpy(packet->next_hop, header->destination, sizeof(packet->next_hop));
    originate(core, packet);
}

void datapath_originate_frame(struct core *core, uint16_t port, struct packet *packet)
{
    count_originated(core, packet);
    packet->flags |= PACKET_LOCAL;
    port_transmit(core, &core->router->ports[port], packet);
}

/* ---- Between cores ----------------------------------------------------------------------------
 */

void mailbox_send(struct core *core, unsigned target, struct packet *packet,
                  enum mail_purpose purpose)
{
    struct batch batch = { .count = 1, .packets = { packet } };

    mailbox_send_batch(core, target, &batch, purpose);
}

/* How many of that purpose find room: a flood of questions, which anybody can cause, must not be in
 * the way of packets that only have to be sent. */
static unsigned mailbox_room(const struct ring *inbox, enum mail_purpose purpose)
{
    unsigned limit = purpose == MAIL_TRANSMIT ? MAILBOX_SLOTS : MAILBOX_WORK_SLOTS;
    unsigned used = ring_count(inbox);

    return used < limit ? limit - used : 0;
}

/* Held before the other core can see them, as he will count them no longer held. */
void mailbox_send_batch(struct core *core, unsigned target, struct batch *batch,
                        enum mail_purpose purpose)
{
    struct ring *inbox = &core->router->cores[target]->inbox[core->index];
    unsigned room = mailbox_room(inbox, purpose);

    for (unsigned i = 0; i < batch->count; i++) {
        batch->packets[i]->purpose = purpose;
        batch->packets[i]->received_ns = core->now_ns;
        books_hold(core, batch->packets[i]);
    }
    unsigned sent = ring_put_many(inbox, (void *const *)batch->packets, MIN_OF(batch->count, room));
    for (unsigned i = sent; i < batch->count; i++) {
        books_unhold(core, batch->packets[i]);
        datapath_drop(core, batch->packets[i], DROP_MAILBOX_FULL);
    }
    batch->count = 0;
    core->mailed_to |= bit_of(target);
}

static unsigned take_mail(struct core *core, struct ring *inbox)
{
    struct batch mail;
    unsigned count = 0;

    /* No more than a ring full, so that a busy sender does not keep us here. */
    for (unsigned round = 0; round < MAILBOX_SLOTS / BATCH_MAX; round++) {
        mail.count = ring_take_many(inbox, (void **)mail.packets, BATCH_MAX);
        if (mail.count == 0)
            break;
        count += mail.count;
        for (unsigned i = 0; i < mail.count; i++) {
            books_unhold(core, mail.packets[i]);
            dispatch(core, mail.packets[i]);
            if (core->originated.count > BATCH_MAX / 2)
                datapath_flush(core);
        }
    }
    return count;
}

/* Who puts something in after we have taken his bit sets it again at the end of his step. */
void mailbox_poll(struct core *core)
{
    uint64_t senders = atomic_exchange_explicit(&core->mail_from, 0, memory_order_acquire);
    unsigned count = 0;

    while (senders != 0)
        count += take_mail(core, &core->inbox[bits_take_first(&senders)]);
    datapath_flush(core);
    core->worked = true;
    counter_add(&core->stats.packets, count);
    counter_add(&core->stats.batches, 1);
}

void mailbox_notify(struct core *core)
{
    while (core->mailed_to != 0) {
        struct core *target = core->router->cores[bits_take_first(&core->mailed_to)];
        /* Our mail and its bit are in before we look whether he sleeps; he says that he sleeps
         * before he looks for mail a last time. So one of both sees the other. */
        atomic_fetch_or_explicit(&target->mail_from, bit_of(core->index), memory_order_seq_cst);
        if (atomic_load_explicit(&target->asleep, memory_order_relaxed))
            core_wake(target->index);
    }
}
