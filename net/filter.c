/* How filters are made of statements. See filter.h; filter_interpreter.c tells what they mean,
 * filter_compiled.c has machine code made of them. */
#include "net/filter.h"

#include <string.h>

#include "kernel/base/counter.h"
#include "kernel/base/pause.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/filter_shadow.h"
#include "net/port.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv4.h"

enum {
    RULES_PER_PAUSE = 64,
    ENDING_MAX = 4, /* rules at the end */
};

bool filter_is_wanted(const struct config *config, enum family family)
{
    if (config->filter_default_drop[family])
        return true;
    for (unsigned i = 0; i < config->filter_count; i++)
        if (config->filters[i].family == family)
            return true;
    return false;
}

/* ---- Boxes ---------------------------------------------------------------------------------- */

static void constrain(struct filter_rule *rule, enum filter_word word, uint32_t first,
                      uint32_t last)
{
    rule->ranges[word] = (struct filter_range){ first, last };
    if (first != 0 || last != UINT32_MAX)
        rule->constrained |= (uint16_t)(1u << word);
}

static void constrain_address(struct filter_rule *rule, enum filter_word first_word,
                              const struct prefix *prefix)
{
    uint32_t first[FILTER_ADDRESS_WORDS], last[FILTER_ADDRESS_WORDS];
    unsigned words = address_bits(&prefix->address) / 32;

    filter_prefix_words(prefix, first, last);
    for (unsigned i = 0; i < words; i++)
        constrain(rule, (enum filter_word)(first_word + i), first[i], last[i]);
}

/* Contains every packet that came in; `ours` also what we send. */
static void box_of_all(struct filter_rule *rule, bool ours)
{
    for (unsigned word = 0; word < FILTER_WORD_COUNT; word++)
        constrain(rule, (enum filter_word)word, 0, UINT32_MAX);
    if (!ours)
        constrain(rule, FILTER_PORT_IN, 0, PORT_MAX);
}

static uint32_t port_index(const struct filter_plan *plan, const char *name)
{
    for (unsigned i = 0; i < plan->port_count; i++)
        if (strcmp(plan->ports[i].name, name) == 0)
            return i;
    return PORT_NONE; /* control_check() has seen to it; no packet has it */
}

static void constrain_end(struct filter_rule *rule, const struct config_filter_end *end,
                          enum filter_word address, enum filter_word port)
{
    if (end->prefix.address.family != FAMILY_NONE)
        constrain_address(rule, address, &end->prefix);
    if (end->has_ports)
        constrain(rule, port, end->first_port, end->last_port);
}

static void box_of(const struct filter_plan *plan, const struct config_filter *wish,
                   struct filter_rule *rule)
{
    bool names_out = wish->out[0] != '\0';

    *rule = (struct filter_rule){
        .number = wish->number,
        .flags_set = wish->flags_set,
        .flags_clear = wish->flags_clear,
    };
    box_of_all(rule, names_out);
    constrain_end(rule, &wish->source, FILTER_SOURCE, FILTER_SOURCE_PORT);
    constrain_end(rule, &wish->destination, FILTER_DESTINATION, FILTER_DESTINATION_PORT);
    if (wish->has_protocol)
        constrain(rule, FILTER_PROTOCOL, wish->protocol, wish->protocol);
    if (wish->has_type)
        constrain(rule, FILTER_TYPE, wish->type, wish->type);
    if (wish->fragment)
        constrain(rule, FILTER_FRAGMENT, FILTER_FIRST_PIECE, FILTER_LATER_PIECE);
    if ((wish->flags_set | wish->flags_clear) != 0)
        rule->constrained |= 1u << FILTER_FLAGS;
    if (wish->in[0] != '\0')
        constrain(rule, FILTER_PORT_IN, port_index(plan, wish->in), port_index(plan, wish->in));
    if (names_out)
        constrain(rule, FILTER_PORT_OUT, port_index(plan, wish->out), port_index(plan, wish->out));
}

/* ---- Hits ----------------------------------------------------------------------------------- */

static struct filter_hits *hits_create(unsigned core_count)
{
    struct filter_hits *hits = memory_alloc(sizeof(*hits) + core_count * sizeof(hits->cores[0]),
                                            CACHE_LINE_BYTES, MEMORY_FILTER);

    if (hits)
        hits->users = 1;
    return hits;
}

static void hits_let_go(struct filter_hits *hits)
{
    if (hits && --hits->users == 0)
        memory_free(hits);
}

struct filter_hit filter_hits_of(const struct filter *filter, const struct filter_rule *rule)
{
    const struct filter_hits *hits = filter_outcome_of(filter, rule)->hits;
    struct filter_hit sum = { .packets = 0 - hits->cleared_packets,
                              .bytes = 0 - hits->cleared_bytes };

    for (unsigned i = 0; i < filter->core_count; i++) {
        const struct filter_hit *hit = &hits->cores[i];
        sum.packets += counter_read(&hit->packets);
        sum.bytes += counter_read(&hit->bytes);
        sum.last_ns = MAX_OF(sum.last_ns, counter_read(&hit->last_ns));
    }
    return sum;
}

void filter_clear_hits(const struct filter *filter)
{
    for (unsigned i = 0; i < filter->rule_count; i++) {
        struct filter_hits *hits = filter->outcomes[i].hits;
        struct filter_hit sum = filter_hits_of(filter, &filter->rules[i]);
        hits->cleared_packets += sum.packets;
        hits->cleared_bytes += sum.bytes;
    }
}

/* ---- Making --------------------------------------------------------------------------------- */

struct maker {
    const struct filter_plan *plan;
    struct filter *filter;
    struct text *problem;
    unsigned *set_starts; /* where in the configuration each set begins, in ascending order */
    unsigned old_at;      /* in the rules of before, in step with ours: both are in order */
};

/* How many sets the family has, all elements of one following each other, and where each begins;
 * NULL: that is not asked for. */
static unsigned find_sets(const struct config *config, enum family family, unsigned *starts)
{
    const char *last = "";
    unsigned count = 0;

    for (unsigned i = 0; i < config->filter_set_count; i++) {
        const struct config_filter_set *element = &config->filter_sets[i];
        if (element->family != family || strcmp(element->name, last) == 0)
            continue;
        last = element->name;
        if (starts)
            starts[count] = i;
        count++;
    }
    return count;
}

static struct filter_set *set_that_starts(const struct maker *maker, unsigned start)
{
    unsigned low = 0, high = maker->filter->set_count - 1;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (maker->set_starts[middle] < start)
            low = middle + 1;
        else
            high = middle;
    }
    return &maker->filter->sets[low];
}

static enum error make_set(struct maker *maker, struct filter_set *set, const char *name)
{
    const struct filter_plan *plan = maker->plan;
    struct filter *filter = maker->filter;
    const struct filter_set_plan set_plan = {
        .config = plan->config,
        .family = plan->family,
        .known = plan->old && !plan->read_again ? &plan->old->files : NULL,
        .pause = plan->pause,
    };
    enum error error = filter_set_make(set, &set_plan, name, &filter->files, maker->problem);

    filter->bytes += 2ull * set->count * set->words * sizeof(set->first[0]);
    return error;
}

/* The set of that name, made when a rule first names it. */
static enum error find_set(struct maker *maker, const char *name, const struct filter_set **out)
{
    const struct config *config = maker->plan->config;

    *out = NULL;
    if (name[0] == '\0')
        return OK;
    const struct config_filter_set *first =
        config_find_filter_set(config, maker->plan->family, name);
    CHECK(first != NULL); /* control_check() knows all sets that are named */
    struct filter_set *set = set_that_starts(maker, (unsigned)(first - config->filter_sets));
    *out = set;
    return set->words > 0 ? OK : make_set(maker, set, name);
}

static bool same_set(const struct filter_set *a, const struct filter_set *b)
{
    return a && b ? strcmp(a->name, b->name) == 0 : a == b;
}

/* The same packets in the same place. */
static bool same_rule(const struct filter_rule *a, const struct filter_rule *b)
{
    return a->number == b->number && a->constrained == b->constrained &&
           a->flags_set == b->flags_set && a->flags_clear == b->flags_clear &&
           memcmp(a->ranges, b->ranges, sizeof(a->ranges)) == 0 &&
           same_set(a->source_set, b->source_set) &&
           same_set(a->destination_set, b->destination_set);
}

/* Those of the same rule of before with the same action, or new ones. Rules at the end, of which
 * there are few, all have number 0. */
static enum error find_hits(struct maker *maker, const struct filter_rule *rule,
                            struct filter_outcome *outcome)
{
    const struct filter *old = maker->plan->old;
    unsigned count = old ? old->rule_count : 0;

    while (maker->old_at < count && old->rules[maker->old_at].number != 0 &&
           (rule->number == 0 || old->rules[maker->old_at].number < rule->number))
        maker->old_at++;
    for (unsigned i = maker->old_at; i < count && old->rules[i].number == rule->number; i++)
        if (same_rule(&old->rules[i], rule) && old->outcomes[i].action == outcome->action) {
            outcome->hits = old->outcomes[i].hits;
            outcome->hits->users++;
            return OK;
        }
    outcome->hits = hits_create(maker->plan->core_count);
    return outcome->hits ? OK : fail(ERROR_NO_MEMORY);
}

/* The rule is there; what becomes of its packets follows. */
static enum error add_outcome(struct maker *maker, enum filter_action action, bool log,
                              bool names_out)
{
    struct filter *filter = maker->filter;
    const struct filter_rule *rule = &filter->rules[filter->rule_count];
    struct filter_outcome *outcome = &filter->outcomes[filter->rule_count];

    *outcome = (struct filter_outcome){ .action = (uint8_t)action,
                                        .log = log,
                                        .names_out = names_out,
                                        .quiet = action == FILTER_PASS && !log && !names_out };
    enum error error = find_hits(maker, rule, outcome);
    if (error != OK)
        return error;
    filter->names_out = filter->names_out || names_out;
    filter->rule_count++;
    return OK;
}

static enum error add_rule(struct maker *maker, const struct config_filter *wish)
{
    struct filter *filter = maker->filter;
    struct filter_rule *rule = &filter->rules[filter->rule_count];

    box_of(maker->plan, wish, rule);
    enum error error = find_set(maker, wish->source.set, &rule->source_set);
    if (error == OK)
        error = find_set(maker, wish->destination.set, &rule->destination_set);
    return error == OK ? add_outcome(maker, wish->action, wish->log, wish->out[0] != '\0') : error;
}

static enum error add_rules(struct maker *maker)
{
    const struct config *config = maker->plan->config;
    enum error error = OK;

    for (unsigned i = 0; i < config->filter_count && error == OK; i++) {
        if (config->filters[i].family == maker->plan->family)
            error = add_rule(maker, &config->filters[i]);
        if (i % RULES_PER_PAUSE == 0)
            pause_take(maker->plan->pause);
    }
    return error;
}

static enum error add_ending(struct maker *maker, enum filter_action action, bool ours,
                             uint32_t first_type, uint32_t last_type)
{
    struct filter *filter = maker->filter;
    struct filter_rule *rule = &filter->rules[filter->rule_count];

    *rule = (struct filter_rule){ .number = 0 };
    box_of_all(rule, ours);
    if (last_type != UINT32_MAX) {
        constrain(rule, FILTER_PROTOCOL, PROTOCOL_ICMP6, PROTOCOL_ICMP6);
        constrain(rule, FILTER_TYPE, first_type, last_type);
    }
    return add_outcome(maker, action, false, false);
}

/* What no rule has said. RFC 4890 4.4.1: without neighbor and listener discovery there is no link,
 * so it takes a rule, and not the lack of one, to drop that. */
static enum error add_endings(struct maker *maker)
{
    const struct filter_plan *plan = maker->plan;
    bool drops = plan->config->filter_default_drop[plan->family];
    enum error error = OK;

    if (drops && plan->family == FAMILY_IPV6) {
        error = add_ending(maker, FILTER_PASS, false, ICMP6_LISTENER_QUERY, ICMP6_REDIRECT);
        if (error == OK)
            error = add_ending(maker, FILTER_PASS, false, ICMP6_LISTENER_REPORT_V2,
                               ICMP6_LISTENER_REPORT_V2);
    }
    if (error == OK)
        error = add_ending(maker, drops ? FILTER_DROP : FILTER_PASS, false, 0, UINT32_MAX);
    if (error == OK)
        error = add_ending(maker, FILTER_PASS, true, 0, UINT32_MAX);
    return error;
}

/* Bit per word that the rule asks for: PORT_IN of what arrives only where it names one, as all of
 * that has come by a port. */
static uint16_t asked_by(const struct filter_rule *rule, enum filter_moment moment)
{
    const struct filter_range *in = &rule->ranges[FILTER_PORT_IN];
    uint32_t asked = rule->constrained;

    if (moment == FILTER_ARRIVING && in->first == 0 && in->last >= PORT_MAX)
        asked &= ~(1u << FILTER_PORT_IN);
    if (moment == FILTER_ARRIVING)
        asked &= ~(1u << FILTER_PORT_OUT);
    if (rule->source_set)
        asked |= ((1u << rule->source_set->words) - 1) << FILTER_SOURCE;
    if (rule->destination_set)
        asked |= ((1u << rule->destination_set->words) - 1) << FILTER_DESTINATION;
    return (uint16_t)asked;
}

static void find_asked(struct filter *filter)
{
    for (unsigned i = 0; i < filter->rule_count; i++)
        for (unsigned moment = 0; moment < FILTER_MOMENT_COUNT; moment++)
            filter->asked[moment] |= asked_by(&filter->rules[i], (enum filter_moment)moment);
}

static enum error make_room_for_sets(struct maker *maker)
{
    const struct filter_plan *plan = maker->plan;
    struct filter *filter = maker->filter;
    unsigned count = find_sets(plan->config, plan->family, NULL);
    size_t sets_bytes = count * sizeof(*filter->sets);

    if (count == 0)
        return OK;
    filter->sets = memory_alloc(sets_bytes, 0, MEMORY_FILTER);
    maker->set_starts = memory_alloc(count * sizeof(*maker->set_starts), 0, MEMORY_FILTER);
    if (!filter->sets || !maker->set_starts)
        return fail(ERROR_NO_MEMORY);
    filter->set_count = find_sets(plan->config, plan->family, maker->set_starts);
    filter->bytes += sets_bytes;
    return OK;
}

static enum error make_room_for_rules(struct maker *maker)
{
    struct filter *filter = maker->filter;
    size_t room = maker->plan->config->filter_count + ENDING_MAX;
    size_t rules_bytes = room * sizeof(*filter->rules);
    size_t outcomes_bytes = (room + 1) * sizeof(*filter->outcomes);

    filter->rules = memory_alloc(rules_bytes, 0, MEMORY_FILTER);
    filter->outcomes = memory_alloc(outcomes_bytes, 0, MEMORY_FILTER);
    if (!filter->rules || !filter->outcomes)
        return fail(ERROR_NO_MEMORY);
    filter->bytes += rules_bytes + outcomes_bytes;
    return OK;
}

static enum error make(struct maker *maker)
{
    const struct filter_plan *plan = maker->plan;
    struct filter *filter = maker->filter;

    filter->bytes = sizeof(*filter);
    enum error error = make_room_for_rules(maker);
    if (error == OK)
        error = make_room_for_sets(maker);
    if (error == OK)
        error = filter_files_create(&filter->files, plan->config, plan->family);
    if (error == OK)
        error = add_rules(maker);
    if (error == OK)
        error = add_endings(maker);
    if (error == OK)
        find_asked(filter);
    return error;
}

enum error filter_create(const struct filter_plan *plan, struct filter **out, struct text *problem)
{
    struct maker maker = { .plan = plan, .problem = problem };
    uint64_t start_ns = clock_ns();

    *out = NULL;
    if (!filter_is_wanted(plan->config, plan->family))
        return OK;
    struct filter *filter = memory_alloc(sizeof(*filter), 0, MEMORY_FILTER);
    if (!filter)
        return fail(ERROR_NO_MEMORY);
    filter->family = plan->family;
    filter->core_count = plan->core_count;
    filter->vectors = plan->config->filter_vectors[plan->family];
    filter->generation = plan->generation;
    maker.filter = filter;
    enum error error = make(&maker);
    memory_free(maker.set_starts);
    if (error == OK)
        filter_find_shadowed(filter, plan->old, plan->pause);
    if (error == OK && !plan->config->filter_jit_off[plan->family])
        error = filter_compile(filter, plan->pause);
    if (error != OK) {
        filter_destroy(filter, plan->pause);
        return error;
    }
    filter->made_ns = clock_ns() - start_ns;
    *out = filter;
    return OK;
}

void filter_destroy(struct filter *filter, const struct pause *pause)
{
    if (!filter)
        return;
    for (unsigned i = 0; i < filter->rule_count; i++) {
        hits_let_go(filter->outcomes[i].hits);
        if (i % RULES_PER_PAUSE == 0)
            pause_take(pause);
    }
    for (unsigned i = 0; i < filter->set_count; i++)
        filter_set_clear(&filter->sets[i]);
    filter_files_clear(&filter->files);
    filter_clear_compiled(filter);
    memory_free(filter->rules);
    memory_free(filter->outcomes);
    memory_free(filter->sets);
    memory_free(filter);
}
