/* Rules as the boxes that jit/jit.h compiles, one filter for each moment; whether it or the
 * interpreter decides is all that anybody sees of it. What cannot be boxes, or is too much for the
 * compiler, stays interpreted: thousands of rules over several fields, large sets beside other
 * conditions. */
#include <string.h>

#include "jit/jit.h"
#include "kernel/base/random.h"
#include "kernel/platform.h"
#include "net/filter.h"
#include "net/filter_set.h"
#include "net/port.h"

enum {
    BOXES_MAX = 1 << 17, /* 17 MB of them, while they are compiled */
    NO_TCP = 0x100,      /* FILTER_ABSENT has this bit, flags have not */
    SEARCHED_MAX = 4096, /* rules whose edges a verification may draw from */
    WORD_CHOICES = 4,
};
_Static_assert(FILTER_WORD_COUNT <= (int)JIT_FIELD_MAX, "a word is a field");

/* ---- Boxes ---------------------------------------------------------------------------------- */

/* A box for each range of the source's set and each of the destination's. */
static uint64_t boxes_of(const struct filter_rule *rule)
{
    uint64_t sources = rule->source_set ? rule->source_set->count : 1;
    uint64_t destinations = rule->destination_set ? rule->destination_set->count : 1;

    return sources * destinations;
}

/* The words of range i of a set. False: it is no box, as it begins or ends amid a word and goes
 * over several values of the one before. */
static bool box_of_range(struct jit_range *fields, const struct filter_set *set, unsigned i)
{
    const uint32_t *first = &set->first[i * set->words], *last = &set->last[i * set->words];
    bool differs = false;

    for (unsigned word = 0; word < set->words; word++) {
        if (differs && (first[word] != 0 || last[word] != UINT32_MAX))
            return false;
        differs = differs || first[word] != last[word];
        fields[word] = (struct jit_range){ first[word], last[word] };
    }
    return true;
}

/* Each packet that arrives came by a port, and nobody knows yet by which it will leave. */
static void box_of_rule(struct jit_rule *box, const struct filter_rule *rule,
                        enum filter_moment moment, uint32_t index)
{
    for (unsigned word = 0; word < FILTER_WORD_COUNT; word++)
        box->fields[word] = (struct jit_range){ rule->ranges[word].first, rule->ranges[word].last };
    uint32_t flags = (uint32_t)rule->flags_set | rule->flags_clear;
    box->fields[FILTER_FLAGS] =
        flags == 0 ? JIT_ANY_BITS : (struct jit_range){ rule->flags_set, flags | NO_TCP };
    if (moment == FILTER_ARRIVING) {
        box->fields[FILTER_PORT_OUT] = JIT_ANY;
        if (rule->ranges[FILTER_PORT_IN].first == 0 &&
            rule->ranges[FILTER_PORT_IN].last >= PORT_MAX)
            box->fields[FILTER_PORT_IN] = JIT_ANY;
    }
    box->answer = index;
}

static bool add_boxes(struct jit_rule *boxes, unsigned *count, const struct filter_rule *rule,
                      enum filter_moment moment, uint32_t index)
{
    const struct filter_set *sources = rule->source_set, *destinations = rule->destination_set;

    for (unsigned s = 0; s < (sources ? sources->count : 1); s++) {
        for (unsigned d = 0; d < (destinations ? destinations->count : 1); d++) {
            struct jit_rule *box = &boxes[(*count)++];
            box_of_rule(box, rule, moment, index);
            if (sources && !box_of_range(&box->fields[FILTER_SOURCE], sources, s))
                return false;
            if (destinations && !box_of_range(&box->fields[FILTER_DESTINATION], destinations, d))
                return false;
        }
    }
    return true;
}

static struct jit_filter *compile(const struct filter *filter, enum filter_moment moment,
                                  const struct pause *pause)
{
    const struct jit_plan plan = { .field_count = FILTER_WORD_COUNT,
                                   .bits = 1u << FILTER_FLAGS,
                                   .vectors = jit_vectors_best(),
                                   .pause = pause };
    struct jit_filter *compiled = NULL;
    uint64_t room = 0;
    unsigned count = 0;
    bool are_boxes = true;

    for (unsigned i = 0; i < filter->rule_count && room <= BOXES_MAX; i++)
        room += boxes_of(&filter->rules[i]);
    if (room > BOXES_MAX)
        return NULL;
    struct jit_rule *boxes =
        memory_alloc_uncleared(room * sizeof(*boxes), alignof(struct jit_rule), MEMORY_FILTER);
    if (!boxes)
        return NULL;
    for (unsigned i = 0; i < filter->rule_count && are_boxes; i++)
        are_boxes = add_boxes(boxes, &count, &filter->rules[i], moment, i);
    if (are_boxes && jit_filter_compile(&plan, boxes, count, &compiled) != OK)
        compiled = NULL;
    memory_free(boxes);
    return compiled;
}

void filter_compile(struct filter *filter, const struct pause *pause)
{
    filter->compiled[FILTER_ARRIVING] = compile(filter, FILTER_ARRIVING, pause);
    if (filter->names_out) /* else nothing is judged then */
        filter->compiled[FILTER_LEAVING] = compile(filter, FILTER_LEAVING, pause);
}

void filter_clear_compiled(struct filter *filter)
{
    jit_filter_destroy(filter->compiled[FILTER_ARRIVING]);
    jit_filter_destroy(filter->compiled[FILTER_LEAVING]);
}

void filter_decide(const struct filter *filter, enum filter_moment moment,
                   const struct filter_keys *keys, unsigned count, uint32_t rules[BATCH_MAX])
{
    if (filter->compiled[moment])
        jit_filter_run(filter->compiled[moment], keys->words, count, rules);
    else
        filter_interpret(filter, moment, keys, count, rules);
}

void filter_describe(const struct filter *filter, struct filter_description *description)
{
    struct jit_description jit;

    *description = (struct filter_description){ .kind = "interpreter" };
    for (unsigned moment = FILTER_ARRIVING; moment <= FILTER_LEAVING; moment++) {
        if (!filter || !filter->compiled[moment])
            continue;
        jit_filter_describe(filter->compiled[moment], &jit);
        if (moment == FILTER_ARRIVING)
            description->kind = jit.shape;
        description->code_bytes += jit.code_bytes;
        description->table_bytes += jit.table_bytes;
    }
}

/* ---- Verification --------------------------------------------------------------------------- */

/* A value at the edge of what some rule wants, or any. */
static uint32_t draw_word(const struct filter *filter, unsigned word, uint64_t *random_state)
{
    unsigned rules = MIN_OF(filter->rule_count, (unsigned)SEARCHED_MAX);
    const struct filter_range *range =
        &filter->rules[random_below(random_state, rules)].ranges[word];
    uint32_t any = (uint32_t)random_next(random_state);

    switch (random_below(random_state, WORD_CHOICES)) {
    case 0:
        return range->first - random_below(random_state, 2);
    case 1:
        return range->last + random_below(random_state, 2);
    case 2:
        return range->first + (uint32_t)((uint64_t)any * (range->last - range->first) >> 32);
    default:
        return any;
    }
}

/* Words that a packet can have. */
static void draw_packet(const struct filter *filter, enum filter_moment moment,
                        struct filter_keys *keys, unsigned i, uint64_t *random_state)
{
    bool ours = moment == FILTER_LEAVING && random_below(random_state, 8) == 0;

    for (unsigned word = 0; word < FILTER_WORD_COUNT; word++)
        keys->words[word][i] = draw_word(filter, word, random_state);
    keys->words[FILTER_PROTOCOL][i] &= 0xff;
    keys->words[FILTER_FLAGS][i] = random_below(random_state, 8) == 0
                                       ? FILTER_ABSENT
                                       : (uint32_t)random_below(random_state, 256);
    keys->words[FILTER_FRAGMENT][i] = random_below(random_state, FILTER_LATER_PIECE + 1);
    keys->words[FILTER_PORT_IN][i] =
        ours ? FILTER_ABSENT : keys->words[FILTER_PORT_IN][i] % (PORT_MAX + 1);
}

unsigned filter_verify(const struct filter *filter, enum filter_moment moment,
                       uint64_t *random_state)
{
    uint32_t decided[BATCH_MAX], interpreted[BATCH_MAX];
    struct filter_keys keys;
    unsigned differences = 0;

    for (unsigned i = 0; i < BATCH_MAX; i++)
        draw_packet(filter, moment, &keys, i, random_state);
    filter_decide(filter, moment, &keys, BATCH_MAX, decided);
    filter_interpret(filter, moment, &keys, BATCH_MAX, interpreted);
    for (unsigned i = 0; i < BATCH_MAX; i++)
        differences += decided[i] != interpreted[i];
    return differences;
}
