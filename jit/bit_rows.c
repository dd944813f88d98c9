/* Making rows: of a field of numbers by a sweep over its values, in which the row of the moment
 * gains a bit where a range starts and loses it where it ends; of a field of bits for a value of
 * each class. */
#include "jit/bit_rows.h"

#include <string.h>

#include "jit/lanes.h"
#include "kernel/platform.h"

enum { SLOTS_AT_FIRST = 256 };

/* Odd, its bits as good as random: 2^64 by the golden ratio. */
#define HASH_FACTOR 0x9e3779b97f4a7c15u

/* ---- All rows, each once --------------------------------------------------------------------- */

struct bit_rows_slot {
    uint32_t at; /* where the row is, in words; or 0 */
    uint32_t hash;
};

enum error bit_rows_create(struct bit_rows *rows, struct table *table, const struct jit_plan *plan,
                           unsigned rules_max)
{
    const unsigned lanes = lane_count(plan->vectors);
    const unsigned words = (rules_max + 1 + 31) / 32;
    const size_t bound_max = (size_t)rules_max + 1, interval_max = 2 * (size_t)rules_max + 1;
    struct bit_rows made = { .table = table,
                             .pace = table->pace,
                             .lanes = lanes,
                             .words = (words + lanes - 1) / lanes * lanes,
                             .slot_count = SLOTS_AT_FIRST };

    made.slots = memory_alloc(made.slot_count * sizeof(*made.slots), 0, MEMORY_CODE);
    made.row = memory_alloc_uncleared(made.words * sizeof(*made.row), 0, MEMORY_CODE);
    made.bounds = memory_alloc_uncleared(4 * bound_max * sizeof(*made.bounds), 0, MEMORY_CODE);
    made.found.last = memory_alloc_uncleared(2 * interval_max * sizeof(uint32_t), 0, MEMORY_CODE);
    if (made.slots == NULL || made.row == NULL || made.bounds == NULL || made.found.last == NULL) {
        bit_rows_destroy(&made);
        return fail(ERROR_NO_MEMORY);
    }
    made.found.answers = made.found.last + interval_max;
    *rows = made;
    return OK;
}

void bit_rows_destroy(struct bit_rows *rows)
{
    memory_free(rows->slots);
    memory_free(rows->row);
    memory_free(rows->bounds);
    memory_free(rows->found.last);
}

/* A row's hash is that of its bits together, so that a bit more or less is one step. */
static void flip(struct bit_rows *rows, unsigned bit)
{
    rows->row[bit / 32] ^= (uint32_t)1 << (bit % 32);
    rows->hash ^= (uint32_t)((bit + 1) * HASH_FACTOR >> 32);
}

/* None of the rules. */
static void clear_row(struct bit_rows *rows, const struct rule_group *group)
{
    memset(rows->row, 0, rows->words * sizeof(*rows->row));
    rows->hash = 0;
    flip(rows, group->count);
}

/* The slot of the row that is equal to rows->row, or the free one where it would be. */
static struct bit_rows_slot *find_slot(const struct bit_rows *rows)
{
    const size_t bytes = rows->words * sizeof(*rows->row);

    for (uint32_t number = rows->hash;; number++) {
        struct bit_rows_slot *slot = &rows->slots[number & (rows->slot_count - 1)];
        if (slot->at == 0 || (slot->hash == rows->hash &&
                              memcmp(rows->table->words + slot->at, rows->row, bytes) == 0))
            return slot;
    }
}

/* At most half of the slots are taken, so there always is a free one. */
static enum error widen(struct bit_rows *rows)
{
    const unsigned slot_count = 4 * rows->slot_count;
    struct bit_rows_slot *slots =
        memory_alloc_uncleared(slot_count * sizeof(*slots), 0, MEMORY_CODE);

    if (slots == NULL)
        return fail(ERROR_NO_MEMORY);
    for (unsigned i = 0; i < slot_count; i++) {
        slots[i] = (struct bit_rows_slot){ .at = 0 };
        pace_steps(rows->pace, i % 16 == 0);
    }
    for (unsigned i = 0; i < rows->slot_count; i++) {
        uint32_t number = rows->slots[i].hash;
        if (rows->slots[i].at == 0)
            continue;
        while (slots[number & (slot_count - 1)].at != 0)
            number++;
        slots[number & (slot_count - 1)] = rows->slots[i];
        pace_steps(rows->pace, 1);
    }
    memory_free(rows->slots);
    rows->slots = slots;
    rows->slot_count = slot_count;
    return OK;
}

/* *place = the byte at which the row is that is equal to rows->row. */
static enum error add_row(struct bit_rows *rows, uint32_t *place)
{
    enum error error = 2 * (rows->count + 1) > rows->slot_count ? widen(rows) : OK;
    if (error != OK)
        return error;

    struct bit_rows_slot *slot = find_slot(rows);
    if (slot->at == 0) {
        uint32_t at;
        error = table_take(rows->table, rows->words, rows->lanes, &at);
        if (error != OK)
            return error;
        memcpy(rows->table->words + at, rows->row, rows->words * sizeof(*rows->row));
        *slot = (struct bit_rows_slot){ .at = at, .hash = rows->hash };
        rows->count++;
        pace_steps(rows->pace, 4);
    }
    *place = slot->at * (uint32_t)sizeof(uint32_t);
    return OK;
}

/* ---- A field of numbers ---------------------------------------------------------------------- */

static enum error sweep(struct bit_rows *rows, unsigned count, const struct bound *starts,
                        const struct bound *ends)
{
    struct intervals *found = &rows->found;
    unsigned started = 0, ended = 0;
    uint32_t value = 0, last;

    found->count = 0;
    do {
        for (; started < count && starts[started].value == value; started++)
            flip(rows, starts[started].rule);
        last = started < count ? starts[started].value - 1 : UINT32_MAX;
        if (ended < count)
            last = MIN_OF(last, ends[ended].value);
        enum error error = add_row(rows, &found->answers[found->count]);
        if (error != OK)
            return error;
        found->last[found->count++] = last;
        pace_steps(rows->pace, 2);
        for (; ended < count && ends[ended].value == last; ended++)
            flip(rows, ends[ended].rule);
        value = last + 1;
    } while (last != UINT32_MAX);
    return OK;
}

enum error bit_rows_of_numbers(struct bit_rows *rows, const struct rule_list *list,
                               const struct rule_group *group, unsigned field)
{
    const unsigned count = group->count;
    struct bound *starts = rows->bounds, *ends = rows->bounds + 2 * count;

    for (unsigned i = 0; i < count; i++) {
        const struct jit_range *range = &list->rules[group->rules[i]].fields[field];
        starts[i] = (struct bound){ .value = range->first, .rule = i };
        ends[i] = (struct bound){ .value = range->last, .rule = i };
    }
    starts = bounds_sort(starts, starts + count, count, rows->pace->pause);
    ends = bounds_sort(ends, ends + count, count, rows->pace->pause);
    clear_row(rows, group);
    return sweep(rows, count, starts, ends);
}

/* ---- A field of bits ------------------------------------------------------------------------- */

enum error bit_rows_of_class(struct bit_rows *rows, const struct rule_list *list,
                             const struct rule_group *group, const struct bit_classes *classes,
                             unsigned number, uint32_t *row)
{
    const uint32_t value = classes->value_of[number];

    clear_row(rows, group);
    for (unsigned i = 0; i < group->count; i++) {
        const struct jit_range *range = &list->rules[group->rules[i]].fields[classes->field];
        if ((value & range->last) == range->first)
            flip(rows, i);
    }
    pace_steps(rows->pace, group->count / 8);
    return add_row(rows, row);
}
