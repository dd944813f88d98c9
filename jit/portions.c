/* Portions wait on a stack until they can be divided; what cannot is split once more. */
#include "jit/portions.h"

#include <string.h>

#include "kernel/platform.h"

enum {
    PORTIONS_MAX = 256,
    /* So many portions at most are made by width; what cannot be divided then is halved. Halves
     * that fit a row are not halved again, so there are no more than twice as many as full rows,
     * and these. */
    PORTIONS_BY_WIDTH_MAX = 32,
    /* So many rules in all groups together are few, whatever they are copies of: some MB. */
    COPIES_SMALL = 1 << 16,
};
_Static_assert(PORTIONS_BY_WIDTH_MAX + 2 * (JIT_GENERAL_MAX / ROWS_RULE_MAX + 1) <= PORTIONS_MAX,
               "all portions have room");

/* Rules that are fewer are not divided, and groups are of so many at most: rows that the vectors
 * are quick with, and those after them where rules would be copied too often. */
static const struct sizes {
    unsigned undivided;
    unsigned groups[4];
} sizes[] = {
    [JIT_SSE2] = { 511, { 255, 511, 1023, ROWS_RULE_MAX } },
    [JIT_AVX2] = { 511, { 255, 511, 1023, ROWS_RULE_MAX } },
    [JIT_AVX512] = { 1023, { 511, 1023, ROWS_RULE_MAX } },
};

struct portions {
    const struct jit_plan *plan;
    const struct rule_list *list;
    struct table *table;
    struct rows_code *code;
    struct rows_portion *made;
    struct rows_bits bits[JIT_FIELD_MAX];
    /* Numbers of rules; portions that wait are stretches of them, the last one is the next. */
    uint32_t *rules;
    uint32_t *room;
    unsigned waiting[PORTIONS_MAX]; /* so many rules in each */
    unsigned waiting_count;
};

/* ---- Fields of bits -------------------------------------------------------------------------- */

static enum error make_bits(struct portions *portions)
{
    enum error error = OK;

    for (uint32_t left = portions->list->used & portions->plan->bits; left != 0 && error == OK;
         left &= left - 1) {
        const unsigned field = (unsigned)__builtin_ctz(left);
        struct rows_bits *bits = &portions->bits[field];
        error = bit_classes_make(portions->list, field, portions->table->pace, &bits->classes);
        if (error == OK)
            error = rows_bits_write(bits, portions->table);
    }
    return error;
}

/* ---- One portion ----------------------------------------------------------------------------- */

/* Into the smallest groups that take no more than so many copies of rules. */
static enum error divide_within(const struct portions *portions, const struct rule_group *rules,
                                size_t total_max, struct division *division)
{
    const struct sizes *of = &sizes[portions->plan->vectors];
    enum error error = ERROR_FULL;

    for (unsigned i = 0; i < ARRAY_COUNT(of->groups) && error == ERROR_FULL; i++) {
        const unsigned group_max = rules->count <= of->undivided ? of->undivided : of->groups[i];
        if (group_max > 0)
            error = division_make(portions->plan, portions->list, rules, group_max, total_max,
                                  portions->table->pace, division);
    }
    return error;
}

/* Larger rows rather than more copies; many copies only of what is small all the same. */
static enum error divide(const struct portions *portions, const struct rule_group *rules,
                         struct division *division)
{
    const size_t few = 2 * (size_t)rules->count;

    if (portions->plan->shape == JIT_ROWS && rules->count <= ROWS_RULE_MAX)
        return division_make(portions->plan, portions->list, rules, ROWS_RULE_MAX, few,
                             portions->table->pace, division);
    enum error error = divide_within(portions, rules, few, division);
    if (error == ERROR_FULL && few < COPIES_SMALL)
        error = divide_within(portions, rules, COPIES_SMALL, division);
    return error;
}

static enum error write_portion(struct portions *portions, const struct division *division,
                                bool numbered)
{
    struct rows_portion *portion = &portions->made[portions->code->portion_count++];

    CHECK(portions->code->portion_count <= PORTIONS_MAX);
    return rows_portion_write(portions->plan, portions->list, portions->bits, division, numbered,
                              portions->table, portion);
}

/* Two portions wait instead of the one. */
static enum error split_portion(struct portions *portions, const struct rule_group *rules)
{
    uint32_t *const start = portions->rules + (rules->rules - portions->rules);
    unsigned first = 0;
    enum error error = OK;

    CHECK(portions->waiting_count + 2 <= PORTIONS_MAX);
    if (portions->code->portion_count + portions->waiting_count < PORTIONS_BY_WIDTH_MAX) {
        error = division_split(portions->plan, portions->list, rules, ROWS_RULE_MAX / 4,
                               portions->table->pace, portions->room, &first);
        if (error == OK && first > 0)
            memcpy(start, portions->room, rules->count * sizeof(*start));
    }
    if (first == 0)
        first = rules->count / 2;
    portions->waiting[portions->waiting_count++] = first;
    portions->waiting[portions->waiting_count++] = rules->count - first;
    return error;
}

static enum error write_all(struct portions *portions)
{
    unsigned end = portions->list->count;
    enum error error = OK;

    portions->waiting[portions->waiting_count++] = end;
    while (portions->waiting_count > 0 && error == OK) {
        const unsigned count = portions->waiting[--portions->waiting_count];
        const struct rule_group rules = { portions->rules + end - count, count };
        struct division division = { .stage_count = 0 };
        error = divide(portions, &rules, &division);
        if (error == ERROR_FULL) {
            error = split_portion(portions, &rules);
            continue;
        }
        if (error == OK)
            error = write_portion(portions, &division, count < portions->list->count);
        division_free(&division);
        end -= count;
    }
    return error;
}

/* ---- All of them ----------------------------------------------------------------------------- */

static enum error write_answers(struct portions *portions)
{
    const struct rule_list *list = portions->list;
    uint32_t *at = &portions->code->answers;

    if (portions->code->portion_count == 1)
        return OK;
    enum error error = table_take(portions->table, list->count + 1, 1, at);
    for (unsigned i = 0; i <= list->count && error == OK; i++) {
        portions->table->words[*at + i] = i < list->count ? list->rules[i].answer : JIT_NONE;
        pace_steps(portions->table->pace, 1);
    }
    return error;
}

enum error portions_write(const struct jit_plan *plan, const struct rule_list *list,
                          struct table *table, struct rows_code *code)
{
    const size_t rules_bytes = list->count * sizeof(uint32_t);
    struct portions portions = { .plan = plan, .list = list, .table = table, .code = code };
    enum error error = ERROR_NO_MEMORY;

    *code = (struct rows_code){ .vectors = plan->vectors };
    portions.made = memory_alloc_uncleared(PORTIONS_MAX * sizeof(*portions.made), 0, MEMORY_CODE);
    portions.rules = memory_alloc_uncleared(2 * rules_bytes, 0, MEMORY_CODE);
    if (portions.made == NULL || portions.rules == NULL)
        goto out;
    code->portions = portions.made;
    portions.room = portions.rules + list->count;
    for (unsigned i = 0; i < list->count; i++)
        portions.rules[i] = i;
    error = make_bits(&portions);
    if (error == OK)
        error = write_all(&portions);
    if (error == OK)
        error = write_answers(&portions);
out:
    for (unsigned i = 0; i < JIT_FIELD_MAX; i++)
        bit_classes_free(&portions.bits[i].classes);
    memory_free(portions.rules);
    if (error == OK)
        return OK;
    memory_free(portions.made);
    *code = (struct rows_code){ .portion_count = 0 };
    return fail(error);
}

void portions_free(struct rows_code *code)
{
    memory_free((void *)(uintptr_t)code->portions);
}
