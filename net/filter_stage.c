/* The stages between the others where packets are judged by rules: filter.h says when, and by
 * which. All packets of a batch that are to be judged are looked up together; what the rules say
 * is then done one by one. */
#include <string.h>

#include "net/filter.h"
#include "net/filter_keys.h"
#include "net/forwarding.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"

/* Those of a batch that are judged: entry k is about packets[at[k]]. */
struct judgement {
    const struct filter *filter;
    enum filter_moment moment;
    unsigned count;
    uint8_t at[BATCH_MAX];
    uint32_t rules[BATCH_MAX];
    struct filter_keys keys;
};

static const enum verdict verdict_of_action[] = {
    [FILTER_PASS] = PASS,
    [FILTER_DROP] = DROP_FILTER,
    [FILTER_REJECT] = DROP_FILTER_REJECT,
};

/* One more to be judged; false: it cannot be. */
static bool bring(struct judgement *judgement, const struct packet *packet, unsigned i,
                  uint32_t port_out)
{
    unsigned k = judgement->count;
    bool ours = packet->flags & PACKET_LOCAL;

    if (!filter_keys_of(packet, &judgement->keys, k))
        return false;
    judgement->keys.words[FILTER_PORT_IN][k] = ours ? FILTER_ABSENT : packet->port_in;
    judgement->keys.words[FILTER_PORT_OUT][k] = port_out;
    judgement->at[k] = (uint8_t)i;
    judgement->count++;
    return true;
}

static void decide(struct judgement *judgement)
{
    filter_decide(judgement->filter, judgement->moment, &judgement->keys, judgement->count,
                  judgement->rules);
}

/* What the rule says of packet k, which it counts. */
static enum verdict apply_rule(struct core *core, const struct judgement *judgement, unsigned k,
                               struct packet *packet)
{
    const struct filter_rule *rule = &judgement->filter->rules[judgement->rules[k]];

    if (judgement->moment == FILTER_ARRIVING && rule->names_out) {
        packet->flags |= PACKET_UNDECIDED;
        return PASS;
    }
    struct filter_hit *hit = &rule->hits->cores[core->index];
    counter_add(&hit->packets, 1);
    counter_add(&hit->bytes, packet->network_length_bytes);
    counter_set(&hit->last_ns, core->now_ns);
    if (rule->log)
        filter_log_note(&core->filter_log, judgement->filter, rule, &judgement->keys, k,
                        core->now_ns);
    return verdict_of_action[rule->action];
}

static void apply_rules(struct core *core, const struct judgement *judgement, struct batch *batch,
                        struct findings *findings)
{
    for (unsigned k = 0; k < judgement->count; k++) {
        unsigned i = judgement->at[k];
        stage_conclude(core, batch, findings, i, apply_rule(core, judgement, k, batch->packets[i]));
    }
    stage_finish(batch, findings);
}

/* As the plain ones are as long as their frames say, nobody has written it down yet. */
static void find_length(const struct findings *findings, struct packet *packet, unsigned i)
{
    if (!(findings->unusual & bit_of(i)))
        packet->network_length_bytes = (uint16_t)(packet->length_bytes - ETHERNET_HEADER_BYTES);
}

RARE void filter_in_batch(struct core *core, const struct filter *filter, struct batch *batch,
                          struct findings *findings)
{
    struct judgement judgement;

    judgement.filter = filter;
    judgement.moment = FILTER_ARRIVING;
    judgement.count = 0;
    for (unsigned i = 0; i < batch->count; i++) {
        find_length(findings, batch->packets[i], i);
        if (!bring(&judgement, batch->packets[i], i, FILTER_ABSENT))
            stage_conclude(core, batch, findings, i, DROP_FILTER_OPAQUE);
    }
    decide(&judgement);
    apply_rules(core, &judgement, batch, findings);
}

RARE void filter_out_batch(struct core *core, const struct filter *filter, struct batch *batch,
                           struct findings *findings)
{
    struct judgement judgement;

    judgement.filter = filter;
    judgement.moment = FILTER_LEAVING;
    judgement.count = 0;
    for (unsigned i = 0; i < batch->count; i++) {
        struct packet *packet = batch->packets[i];
        if (!(packet->flags & (PACKET_UNDECIDED | PACKET_LOCAL)))
            continue;
        packet->flags &= (uint8_t)~PACKET_UNDECIDED;
        find_length(findings, packet, i);
        if (!bring(&judgement, packet, i, packet->port_out))
            stage_conclude(core, batch, findings, i, DROP_FILTER_OPAQUE);
    }
    decide(&judgement);
    apply_rules(core, &judgement, batch, findings);
}

RARE enum verdict filter_staying(struct core *core, struct packet *packet)
{
    enum family family = packet->network_protocol == PACKET_IPV6 ? FAMILY_IPV6 : FAMILY_IPV4;
    struct judgement judgement;

    packet->flags &= (uint8_t)~PACKET_UNDECIDED;
    judgement.filter = core->forwarding->filters[family];
    judgement.moment = FILTER_LEAVING;
    judgement.count = 0;
    if (!judgement.filter) /* there was one when it came */
        return PASS;
    if (!bring(&judgement, packet, 0, FILTER_ABSENT))
        return DROP_FILTER_OPAQUE;
    decide(&judgement);
    return apply_rule(core, &judgement, 0, packet);
}
