/* See keys.h. */
#include "jit/keys.h"

enum {
    RULES_A_PAUSE = 1024,
    RANGES_A_PAUSE = 16384,
};

static bool has_bit(uint32_t bits, unsigned field)
{
    return (bits >> field & 1) != 0;
}

unsigned key_words(const struct jit_plan *plan, unsigned field)
{
    unsigned words = 1;

    while (field + words < plan->field_count && has_bit(plan->joined, field + words))
        words++;
    return words;
}

int words_compare(const uint32_t *a, const uint32_t *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

/* ---- What a rule asks ------------------------------------------------------------------------ */

static bool is_all(const struct jit_range *fields, unsigned words)
{
    uint32_t any_first = 0, all_last = UINT32_MAX;

    for (unsigned i = 0; i < words; i++) {
        any_first |= fields[i].first;
        all_last &= fields[i].last;
    }
    return any_first == 0 && all_last == UINT32_MAX;
}

enum key_ask key_ask(const struct jit_plan *plan, const struct jit_rule *rule, unsigned field)
{
    const struct jit_range *fields = &rule->fields[field];

    if (has_bit(rule->in_set, field))
        return ASK_SET;
    if (has_bit(plan->bits, field))
        return fields->last != 0 ? ASK_BITS : ASK_NOTHING;
    return is_all(fields, key_words(plan, field)) ? ASK_NOTHING : ASK_RANGE;
}

const struct jit_set *key_set(const struct jit_plan *plan, const struct jit_rule *rule,
                              unsigned field)
{
    return &plan->sets[rule->fields[field].first];
}

uint32_t rule_uses(const struct jit_plan *plan, const struct jit_rule *rule)
{
    uint32_t used = 0;

    for (unsigned field = 0; field < plan->field_count; field += key_words(plan, field)) {
        if (key_ask(plan, rule, field) != ASK_NOTHING)
            used |= (uint32_t)1 << field;
    }
    return used;
}

/* ---- Whether it makes sense ------------------------------------------------------------------ */

static bool range_is_sound(const struct jit_range *fields, unsigned words)
{
    for (unsigned i = 0; i < words; i++)
        if (fields[i].first != fields[i].last)
            return fields[i].first < fields[i].last;
    return true;
}

static bool key_is_sound(const struct jit_plan *plan, const struct jit_rule *rule, unsigned field)
{
    const struct jit_range *fields = &rule->fields[field];

    if (has_bit(rule->in_set, field))
        return !has_bit(plan->bits, field) && fields->first < plan->set_count &&
               key_set(plan, rule, field)->words == key_words(plan, field);
    if (has_bit(plan->bits, field))
        return (fields->first & ~fields->last) == 0;
    return range_is_sound(fields, key_words(plan, field));
}

static bool set_is_sound(const struct jit_set *set, const struct pause *pause)
{
    const unsigned words = set->words;

    for (size_t i = 0; i < set->count; i++) {
        const uint32_t *first = &set->first[i * words];
        if (i > 0 && words_compare(&set->last[(i - 1) * words], first, words) >= 0)
            return false;
        if (words_compare(first, &set->last[i * words], words) > 0)
            return false;
        if (i % RANGES_A_PAUSE == 0)
            pause_take(pause);
    }
    return true;
}

/* ---- All of them ----------------------------------------------------------------------------- */

static enum error look_at_rule(const struct jit_plan *plan, const struct jit_rule *rule,
                               struct keys_look *look)
{
    if (rule->answer > INT32_MAX && rule->answer != JIT_NONE)
        return fail(ERROR_BAD_VALUE);
    for (unsigned field = 0; field < plan->field_count; field += key_words(plan, field)) {
        const uint32_t bit = (uint32_t)1 << field;
        if (!key_is_sound(plan, rule, field))
            return fail(ERROR_BAD_VALUE);
        enum key_ask ask = key_ask(plan, rule, field);
        if (ask == ASK_NOTHING)
            continue;
        look->asked |= bit;
        look->users[field]++;
        look->ranges |= ask == ASK_RANGE ? bit : 0;
        look->sets |= ask == ASK_SET ? bit : 0;
        look->range_count += ask == ASK_SET ? key_set(plan, rule, field)->count : 1;
    }
    return OK;
}

static void check_plan(const struct jit_plan *plan)
{
    unsigned words;

    CHECK(plan->field_count <= JIT_FIELD_MAX);
    for (unsigned field = 0; field < plan->field_count; field += words) {
        words = key_words(plan, field);
        CHECK(words <= JIT_KEY_WORDS_MAX);
        CHECK(words == 1 || !has_bit(plan->bits, field));
    }
}

enum error keys_look(const struct jit_plan *plan, const struct jit_rule *rules, unsigned count,
                     struct keys_look *look)
{
    check_plan(plan);
    *look = (struct keys_look){ .asked = 0 };
    for (unsigned i = 0; i < plan->set_count; i++)
        if (!set_is_sound(&plan->sets[i], plan->pause))
            return fail(ERROR_BAD_VALUE);
    for (unsigned i = 0; i < count; i++) {
        enum error error = look_at_rule(plan, &rules[i], look);
        if (error != OK)
            return error;
        if (i % RULES_A_PAUSE == 0)
            pause_take(plan->pause);
    }
    return OK;
}

/* Behind the first word that is a range all others are open. */
static bool is_box(const struct jit_range *fields, unsigned words)
{
    bool is_range = false;

    for (unsigned i = 0; i < words; i++) {
        if (is_range && (fields[i].first != 0 || fields[i].last != UINT32_MAX))
            return false;
        is_range = is_range || fields[i].first != fields[i].last;
    }
    return true;
}

bool keys_are_boxes(const struct jit_plan *plan, const struct jit_rule *rules, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (rules[i].in_set != 0)
            return false;
        for (unsigned field = 0; field < plan->field_count; field += key_words(plan, field))
            if (!is_box(&rules[i].fields[field], key_words(plan, field)))
                return false;
    }
    return true;
}
