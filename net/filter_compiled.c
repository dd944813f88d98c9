/* Rules as jit/jit.h compiles them, one filter for each moment; whether it or the interpreter
 * decides is all that anybody sees of it. What is too much for the compiler stays interpreted:
 * rules whose tables would be too large, too many sets that overlap each other. */
#include <string.h>

#include "jit/jit.h"
#include "kernel/base/pause.h"
#include "kernel/base/random.h"
#include "kernel/platform.h"
#include "net/filter.h"
#include "net/filter_set.h"
#include "net/filter_shadow.h"
#include "net/port.h"

enum {
    NO_TCP = 0x100, /* FILTER_ABSENT has this bit, flags have not */
    RULES_PER_PAUSE = 256,
};
_Static_assert(FILTER_WORD_COUNT <= (int)JIT_FIELD_MAX, "a word is a field");

/* ---- Rules ---------------------------------------------------------------------------------- */

/* IPv6 addresses are keys of four words; of IPv4 ones the first word is the address. */
static uint32_t joined_words(enum family family)
{
    const uint32_t others = (1u << FILTER_ADDRESS_WORDS) - 2;

    return family == FAMILY_IPV6 ? others << FILTER_SOURCE | others << FILTER_DESTINATION : 0;
}

static void ask_for_set(struct jit_rule *made, enum filter_word word, const struct filter *filter,
                        const struct filter_set *set)
{
    if (!set)
        return;
    made->in_set |= 1u << word;
    made->fields[word].first = (uint32_t)(set - filter->sets);
}

/* Each packet that arrives came by a port, and nobody knows yet by which it will leave. */
static void make_rule(const struct filter *filter, enum filter_moment moment, uint32_t index,
                      struct jit_rule *made)
{
    const struct filter_rule *rule = &filter->rules[index];

    *made = (struct jit_rule){ .answer = index };
    for (unsigned word = 0; word < FILTER_WORD_COUNT; word++)
        made->fields[word] =
            (struct jit_range){ rule->ranges[word].first, rule->ranges[word].last };
    uint32_t flags = (uint32_t)rule->flags_set | rule->flags_clear;
    made->fields[FILTER_FLAGS] =
        flags == 0 ? JIT_ANY_BITS : (struct jit_range){ rule->flags_set, flags | NO_TCP };
    if (moment == FILTER_ARRIVING) {
        made->fields[FILTER_PORT_OUT] = JIT_ANY;
        if (rule->ranges[FILTER_PORT_IN].first == 0 &&
            rule->ranges[FILTER_PORT_IN].last >= PORT_MAX)
            made->fields[FILTER_PORT_IN] = JIT_ANY;
    }
    ask_for_set(made, FILTER_SOURCE, filter, rule->source_set);
    ask_for_set(made, FILTER_DESTINATION, filter, rule->destination_set);
}

static enum jit_vectors vectors_of(const struct filter *filter)
{
    static const enum jit_vectors told[] = {
        [VECTORS_SSE2] = JIT_SSE2, [VECTORS_AVX2] = JIT_AVX2, [VECTORS_AVX512] = JIT_AVX512
    };
    return filter->vectors == VECTORS_BEST ? jit_vectors_best() : told[filter->vectors];
}

bool filter_has_vectors(enum config_vectors vectors)
{
    return vectors_of(&(struct filter){ .vectors = (uint8_t)vectors }) <= jit_vectors_best();
}

/* *compiled stays NULL where the rules are not for the compiler. */
static enum error compile_rules(struct filter *filter, enum filter_moment moment,
                                const struct jit_set *sets, const struct pause *pause,
                                struct jit_filter **compiled)
{
    const struct jit_plan plan = { .field_count = FILTER_WORD_COUNT,
                                   .bits = 1u << FILTER_FLAGS,
                                   .joined = joined_words(filter->family),
                                   .sets = sets,
                                   .set_count = filter->set_count,
                                   .vectors = vectors_of(filter),
                                   .pause = pause };
    struct jit_rule *rules = memory_alloc_uncleared(filter->rule_count * sizeof(*rules),
                                                    alignof(struct jit_rule), MEMORY_FILTER);

    if (!rules)
        return fail(ERROR_NO_MEMORY);
    for (unsigned i = 0; i < filter->rule_count; i++) {
        make_rule(filter, moment, i, &rules[i]);
        if (i % RULES_PER_PAUSE == 0)
            pause_take(pause);
    }
    enum error error = jit_filter_compile(&plan, rules, filter->rule_count, compiled);
    if (*compiled)
        filter_learn_shadowed(filter, moment, *compiled);
    memory_free(rules);
    return error == ERROR_FULL ? OK : error;
}

static enum error compile(struct filter *filter, enum filter_moment moment,
                          const struct pause *pause, struct jit_filter **compiled)
{
    struct jit_set *sets = memory_alloc((filter->set_count + 1) * sizeof(*sets), 0, MEMORY_FILTER);

    if (!sets)
        return fail(ERROR_NO_MEMORY);
    for (unsigned i = 0; i < filter->set_count; i++) {
        const struct filter_set *set = &filter->sets[i];
        sets[i] = (struct jit_set){
            .words = set->words, .count = set->count, .first = set->first, .last = set->last
        };
    }
    enum error error = compile_rules(filter, moment, sets, pause, compiled);
    memory_free(sets);
    return error;
}

enum error filter_compile(struct filter *filter, const struct pause *pause)
{
    enum error error = compile(filter, FILTER_ARRIVING, pause, &filter->compiled[FILTER_ARRIVING]);

    if (error == OK && filter->names_out) /* else nothing is judged then */
        error = compile(filter, FILTER_LEAVING, pause, &filter->compiled[FILTER_LEAVING]);
    return error;
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
    static const char *const names[] = {
        [JIT_SSE2] = "sse2", [JIT_AVX2] = "avx2", [JIT_AVX512] = "avx512"
    };
    struct jit_description jit;

    *description = (struct filter_description){ .kind = "interpreter" };
    for (unsigned moment = FILTER_ARRIVING; moment <= FILTER_LEAVING; moment++) {
        if (!filter || !filter->compiled[moment])
            continue;
        jit_filter_describe(filter->compiled[moment], &jit);
        if (moment == FILTER_ARRIVING) {
            description->kind = jit.shape;
            description->vectors = names[jit.vectors];
        }
        description->code_bytes += jit.front_code_bytes + jit.code_bytes;
        description->table_bytes += jit.front_table_bytes + jit.table_bytes;
    }
}

/* ---- Verification --------------------------------------------------------------------------- */

static const struct filter_rule *draw_rule(const struct filter *filter, uint64_t *random_state)
{
    return &filter->rules[random_below(random_state, filter->rule_count)];
}

/* At an edge of the range, beside one, or anywhere in it. */
static uint32_t draw_in(uint32_t first, uint32_t last, uint64_t *random_state)
{
    uint32_t any = (uint32_t)random_next(random_state);

    switch (random_below(random_state, 4)) {
    case 0:
        return first - random_below(random_state, 2);
    case 1:
        return last + random_below(random_state, 2);
    default:
        return first + (uint32_t)((uint64_t)any * (last - first) >> 32);
    }
}

/* An end of a packet that may fit the rule: its set decides, if it names one. */
static void draw_address(const struct filter_rule *rule, const struct filter_set *set,
                         enum filter_word first_word, struct filter_keys *keys, unsigned i,
                         uint64_t *random_state)
{
    const struct filter_range *ranges = &rule->ranges[first_word];
    unsigned at = set && set->count > 0 ? random_below(random_state, set->count) * set->words : 0;

    for (unsigned word = 0; word < FILTER_ADDRESS_WORDS; word++) {
        bool is_in_set = set && set->count > 0 && word < set->words;
        keys->words[first_word + word][i] =
            is_in_set ? draw_in(set->first[at + word], set->last[at + word], random_state)
                      : draw_in(ranges[word].first, ranges[word].last, random_state);
    }
}

/* A packet as one rule wants it, but for a word in eight, which is of another one. */
static void draw_packet(const struct filter *filter, enum filter_moment moment,
                        struct filter_keys *keys, unsigned i, uint64_t *random_state)
{
    const struct filter_rule *rule = draw_rule(filter, random_state);
    bool ours = moment == FILTER_LEAVING && random_below(random_state, 8) == 0;

    draw_address(rule, rule->source_set, FILTER_SOURCE, keys, i, random_state);
    draw_address(rule, rule->destination_set, FILTER_DESTINATION, keys, i, random_state);
    for (unsigned word = FILTER_PROTOCOL; word < FILTER_WORD_COUNT; word++) {
        const struct filter_rule *other =
            random_below(random_state, 8) == 0 ? draw_rule(filter, random_state) : rule;
        keys->words[word][i] =
            draw_in(other->ranges[word].first, other->ranges[word].last, random_state);
    }
    keys->words[FILTER_PROTOCOL][i] &= 0xff;
    keys->words[FILTER_FLAGS][i] =
        random_below(random_state, 8) == 0
            ? FILTER_ABSENT
            : rule->flags_set | (random_below(random_state, 256) & ~rule->flags_clear);
    keys->words[FILTER_FRAGMENT][i] = random_below(random_state, FILTER_LATER_PIECE + 1);
    keys->words[FILTER_PORT_IN][i] =
        ours ? FILTER_ABSENT : keys->words[FILTER_PORT_IN][i] % (PORT_MAX + 1);
}

void filter_draw(const struct filter *filter, enum filter_moment moment, struct filter_keys *keys,
                 unsigned count, uint64_t *random_state)
{
    CHECK(count <= BATCH_MAX);
    *keys = (struct filter_keys){ 0 };
    for (unsigned i = 0; i < count; i++)
        draw_packet(filter, moment, keys, i, random_state);
}

unsigned filter_verify(const struct filter *filter, enum filter_moment moment, unsigned count,
                       uint64_t *random_state)
{
    uint32_t decided[BATCH_MAX], interpreted[BATCH_MAX];
    struct filter_keys keys;
    unsigned differences = 0;

    filter_draw(filter, moment, &keys, count, random_state);
    filter_decide(filter, moment, &keys, count, decided);
    filter_interpret(filter, moment, &keys, count, interpreted);
    for (unsigned i = 0; i < count; i++)
        differences += decided[i] != interpreted[i];
    return differences;
}
