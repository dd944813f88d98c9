/* The stages between the others where packets are judged by rules: filter.h says when, and by
 * which. All packets of a batch are looked up together; then what the rules say is done one by
 * one. */
#include "net/filter.h"
#include "net/filter_keys.h"
#include "net/forwarding.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"

/* A batch and what is found out about it: entry i of packet i. */
struct judgement {
    const struct filter *filter;
    enum filter_moment moment;
    uint64_t opaque; /* bit per packet: it cannot be judged */
    uint32_t rules[BATCH_MAX];
    struct filter_keys keys;
};

static const enum verdict verdict_of_action[] = {
    [FILTER_PASS] = PASS,
    [FILTER_DROP] = DROP_FILTER,
    [FILTER_REJECT] = DROP_FILTER_REJECT,
};

static uint32_t port_in_of(const struct packet *packet)
{
    return packet->flags & PACKET_LOCAL ? FILTER_ABSENT : packet->port_in;
}

static void take_ports(struct judgement *judgement, const struct batch *batch)
{
    const unsigned asked = judgement->filter->asked[judgement->moment];
    uint32_t *in = judgement->keys.words[FILTER_PORT_IN];
    uint32_t *out = judgement->keys.words[FILTER_PORT_OUT];

    for (unsigned i = 0; (asked >> FILTER_PORT_IN & 1) != 0 && i < batch->count; i++)
        in[i] = port_in_of(batch->packets[i]);
    for (unsigned i = 0; (asked >> FILTER_PORT_OUT & 1) != 0 && i < batch->count; i++)
        out[i] = batch->packets[i]->port_out;
}

/* Which rule each packet is under; `aside` are those that are not to be judged. The outcome behind
 * those of all rules is theirs. */
static void judge(struct judgement *judgement, const struct batch *batch, uint64_t unusual,
                  uint64_t aside)
{
    const struct filter *filter = judgement->filter;

    judgement->opaque =
        filter_keys_of_batch(batch, unusual, filter->asked[judgement->moment], &judgement->keys) &
        ~aside;
    take_ports(judgement, batch);
    filter_decide(filter, judgement->moment, &judgement->keys, batch->count, judgement->rules);
    for (uint64_t left = judgement->opaque | aside; left != 0;)
        judgement->rules[bits_take_first(&left)] = filter->rule_count;
}

static inline void count(struct filter_hit *hit, const struct packet *packet, uint64_t now_ns)
{
    counter_add(&hit->packets, 1);
    counter_add(&hit->bytes, packet->frame_length_bytes - packet->network_offset);
    counter_set(&hit->last_ns, now_ns);
}

/* Entry i of the keys may have been made of what the rules ask for alone. */
static RARE void note(struct core *core, struct judgement *judgement, const struct packet *packet,
                      unsigned i)
{
    struct filter_keys *keys = &judgement->keys;

    if (!filter_keys_of(packet, keys, i))
        return;                                 /* it was judged, so it can be */
    if (judgement->moment == FILTER_ARRIVING) { /* else both ports are always asked for */
        keys->words[FILTER_PORT_IN][i] = packet->port_in;
        keys->words[FILTER_PORT_OUT][i] = FILTER_ABSENT;
    }
    filter_log_note(&core->filter_log, judgement->filter, judgement->rules[i], keys, i,
                    core->now_ns);
}

/* What the rule says of packet i, which it counts. */
static RARE enum verdict apply_rule(struct core *core, struct judgement *judgement, unsigned i,
                                    struct packet *packet)
{
    const struct filter *filter = judgement->filter;
    const struct filter_outcome *outcome = &filter->outcomes[judgement->rules[i]];

    if (judgement->rules[i] == filter->rule_count)
        return (judgement->opaque & bit_of(i)) ? DROP_FILTER_OPAQUE : PASS;
    if (judgement->moment == FILTER_ARRIVING && outcome->names_out) {
        packet->flags |= PACKET_UNDECIDED;
        return PASS;
    }
    count(&outcome->hits->cores[core->index], packet, core->now_ns);
    if (outcome->log)
        note(core, judgement, packet, i);
    return verdict_of_action[outcome->action];
}

/* As the plain ones are as long as their frames say, nobody has written it down yet; an ICMP error
 * asks. */
static void find_length(const struct findings *findings, struct packet *packet, unsigned i)
{
    if (!(findings->unusual & bit_of(i)))
        packet->network_length_bytes = (uint16_t)(packet->length_bytes - ETHERNET_HEADER_BYTES);
}

static void apply_rules(struct core *core, struct judgement *judgement, struct batch *batch,
                        struct findings *findings)
{
    const struct filter_outcome *outcomes = judgement->filter->outcomes;
    const unsigned packet_count = batch->count, own = core->index;
    const uint64_t now_ns = core->now_ns;

#pragma GCC unroll 4 /* a fifth of such a loop is the loop */
    for (unsigned i = 0; i < packet_count; i++) {
        struct packet *packet = batch->packets[i];
        const struct filter_outcome *outcome = &outcomes[judgement->rules[i]];
        if (LIKELY(outcome->quiet)) {
            count(&outcome->hits->cores[own], packet, now_ns);
            continue;
        }
        find_length(findings, packet, i);
        stage_conclude(core, batch, findings, i, apply_rule(core, judgement, i, packet));
    }
    stage_finish(batch, findings);
}

RARE void filter_in_batch(struct core *core, const struct filter *filter, struct batch *batch,
                          struct findings *findings)
{
    struct judgement judgement;

    if (batch->count == 0)
        return;
    judgement.filter = filter;
    judgement.moment = FILTER_ARRIVING;
    judge(&judgement, batch, findings->unusual, 0);
    apply_rules(core, &judgement, batch, findings);
}

/* Those that the rules have decided about when they came are done with. */
RARE void filter_out_batch(struct core *core, const struct filter *filter, struct batch *batch,
                           struct findings *findings)
{
    struct judgement judgement;
    uint64_t decided = 0;

    for (unsigned i = 0; i < batch->count; i++) {
        if (!(batch->packets[i]->flags & (PACKET_UNDECIDED | PACKET_LOCAL)))
            decided |= bit_of(i);
        batch->packets[i]->flags &= (uint8_t)~PACKET_UNDECIDED;
    }
    if (batch->count == 0)
        return;
    judgement.filter = filter;
    judgement.moment = FILTER_LEAVING;
    judge(&judgement, batch, findings->unusual, decided);
    apply_rules(core, &judgement, batch, findings);
}

RARE enum verdict filter_staying(struct core *core, struct packet *packet)
{
    enum family family = packet->network_protocol == PACKET_IPV6 ? FAMILY_IPV6 : FAMILY_IPV4;
    const struct filter *filter = core->forwarding->filters[family];
    struct judgement judgement;

    packet->flags &= (uint8_t)~PACKET_UNDECIDED;
    if (!filter) /* there was one when it came */
        return PASS;
    judgement.filter = filter;
    judgement.moment = FILTER_LEAVING;
    if (!filter_keys_of(packet, &judgement.keys, 0))
        return DROP_FILTER_OPAQUE;
    judgement.keys.words[FILTER_PORT_IN][0] = port_in_of(packet);
    judgement.keys.words[FILTER_PORT_OUT][0] = FILTER_ABSENT;
    filter_decide(filter, FILTER_LEAVING, &judgement.keys, 1, judgement.rules);
    return apply_rule(core, &judgement, 0, packet);
}
