/* Making rows: of a field of numbers by a sweep over its values, in which the row of the moment
 * gains a bit where a range starts and loses it where it ends; of a field of bits for each value
 * that the mask lets through. */
#include "jit/bit_rows.h"

#include <string.h>

#include "jit/lanes.h"
#include "kernel/platform.h"

enum { ROWS_A_PAUSE = 512 };

/* Odd, its bits as good as random: 2^64 by the golden ratio. */
#define HASH_FACTOR 0x9e3779b97f4a7c15u

/* ---- All rows, each once --------------------------------------------------------------------- */

enum error bit_rows_create(struct bit_rows *rows, enum jit_vectors vectors,
                           const struct rule_list *list, unsigned room)
{
    const unsigned lanes = lane_count(vectors);
    const unsigned words = (list->count + 1 + 31) / 32;
    struct bit_rows made = { .words = (words + lanes - 1) / lanes * lanes, .room = room };

    made.slot_count = 4u << (31 - __builtin_clz(room | 1));
    made.bits =
        memory_alloc_uncleared((size_t)made.room * made.words * sizeof(uint32_t), 0, MEMORY_CODE);
    made.slots = memory_alloc(made.slot_count * sizeof(uint32_t), 0, MEMORY_CODE);
    if (made.bits == NULL || made.slots == NULL) {
        bit_rows_destroy(&made);
        return fail(ERROR_NO_MEMORY);
    }
    *rows = made;
    return OK;
}

void bit_rows_destroy(struct bit_rows *rows)
{
    memory_free(rows->bits);
    memory_free(rows->slots);
}

static uint32_t *row_at(const struct bit_rows *rows, unsigned number)
{
    return rows->bits + (size_t)number * rows->words;
}

/* The number of the row that is equal. There is always a free slot: they are more than rows. */
static uint32_t add_row(struct bit_rows *rows, const uint32_t *row)
{
    const size_t bytes = rows->words * sizeof(uint32_t);
    uint64_t hash = 0;

    for (unsigned i = 0; i < rows->words; i += 2) {
        hash = (hash ^ ((uint64_t)row[i + 1] << 32 | row[i])) * HASH_FACTOR;
        hash ^= hash >> 32;
    }
    for (unsigned slot = (unsigned)hash;; slot++) {
        uint32_t *taken = &rows->slots[slot & (rows->slot_count - 1)];
        if (*taken != 0 && memcmp(row_at(rows, *taken - 1), row, bytes) != 0)
            continue;
        if (*taken == 0) {
            CHECK(rows->count < rows->room);
            memcpy(row_at(rows, rows->count), row, bytes);
            *taken = ++rows->count;
        }
        return *taken - 1;
    }
}

static void flip(uint32_t *row, unsigned rule)
{
    row[rule / 32] ^= (uint32_t)1 << (rule % 32);
}

/* ---- A field of bits ------------------------------------------------------------------------- */

static uint32_t mask_of(const struct rule_list *list, unsigned field)
{
    uint32_t mask = 0;

    for (unsigned i = 0; i < list->count; i++)
        mask |= list->rules[i].fields[field].last;
    return mask;
}

unsigned field_rows_max(const struct jit_plan *plan, const struct rule_list *list, unsigned field)
{
    if ((plan->bits >> field & 1) == 0)
        return 2 * list->count + 1;
    const uint32_t mask = mask_of(list, field);
    const unsigned bits = (unsigned)__builtin_popcount(mask);
    CHECK(mask != 0);
    if (bits > BIT_ROWS_BITS_MAX || mask >> __builtin_ctz(mask) >= 1u << BIT_ROWS_SPAN_MAX)
        return 0;
    return 1u << bits;
}

static enum error make_of_bits(const struct jit_plan *plan, const struct rule_list *list,
                               struct bit_rows *rows, uint32_t *row, struct field_rows *made)
{
    const uint32_t mask = mask_of(list, made->field);
    unsigned done = 0;

    made->mask = mask;
    made->shift = (unsigned)__builtin_ctz(mask);
    made->index.count = (mask >> made->shift) + 1;
    made->index.answers = memory_alloc(made->index.count * sizeof(uint32_t), 0, MEMORY_CODE);
    if (made->index.answers == NULL)
        return fail(ERROR_NO_MEMORY);

    /* All values under the mask, from 0 up: the next one carries over the holes. */
    uint32_t value = 0;
    do {
        memset(row, 0, rows->words * sizeof(uint32_t));
        flip(row, list->count);
        for (unsigned i = 0; i < list->count; i++) {
            const struct jit_range *range = &list->rules[i].fields[made->field];
            if ((value & range->last) == range->first)
                flip(row, i);
        }
        made->index.answers[value >> made->shift] = add_row(rows, row);
        value = (value - mask) & mask;
        if (++done % 32 == 0)
            pause_take(plan->pause);
    } while (value != 0);
    return OK;
}

/* ---- A field of numbers ---------------------------------------------------------------------- */

static void sweep(const struct jit_plan *plan, unsigned count, const struct bound *starts,
                  const struct bound *ends, struct bit_rows *rows, uint32_t *row,
                  struct intervals *index)
{
    unsigned started = 0, ended = 0;
    uint32_t value = 0, last;

    do {
        for (; started < count && starts[started].value == value; started++)
            flip(row, starts[started].rule);
        last = started < count ? starts[started].value - 1 : UINT32_MAX;
        if (ended < count)
            last = MIN_OF(last, ends[ended].value);
        index->last[index->count] = last;
        index->answers[index->count++] = add_row(rows, row);
        for (; ended < count && ends[ended].value == last; ended++)
            flip(row, ends[ended].rule);
        value = last + 1;
        if (index->count % ROWS_A_PAUSE == 0)
            pause_take(plan->pause);
    } while (last != UINT32_MAX);
}

static enum error make_of_numbers(const struct jit_plan *plan, const struct rule_list *list,
                                  struct bit_rows *rows, uint32_t *row, struct field_rows *made)
{
    const unsigned count = list->count;
    const size_t interval_max = 2 * (size_t)count + 1;
    struct bound *bounds =
        memory_alloc_uncleared(4 * (count + 1) * sizeof(*bounds), 0, MEMORY_CODE);
    uint32_t *index = memory_alloc_uncleared(2 * interval_max * sizeof(*index), 0, MEMORY_CODE);

    if (bounds == NULL || index == NULL) {
        memory_free(bounds);
        memory_free(index);
        return fail(ERROR_NO_MEMORY);
    }
    struct bound *starts = bounds, *ends = bounds + 2 * count;
    for (unsigned i = 0; i < count; i++) {
        const struct jit_range *range = &list->rules[i].fields[made->field];
        starts[i] = (struct bound){ .value = range->first, .rule = i };
        ends[i] = (struct bound){ .value = range->last, .rule = i };
    }
    starts = bounds_sort(starts, starts + count, count, plan->pause);
    ends = bounds_sort(ends, ends + count, count, plan->pause);
    made->index = (struct intervals){ .last = index, .answers = index + interval_max };
    memset(row, 0, rows->words * sizeof(uint32_t));
    flip(row, count);
    sweep(plan, count, starts, ends, rows, row, &made->index);
    memory_free(bounds);
    return OK;
}

/* ---- Either ---------------------------------------------------------------------------------- */

enum error field_rows_make(const struct jit_plan *plan, const struct rule_list *list,
                           unsigned field, struct bit_rows *rows, struct field_rows *made)
{
    struct field_rows field_rows = { .field = field };
    uint32_t *row = memory_alloc_uncleared(rows->words * sizeof(*row), 0, MEMORY_CODE);

    if (row == NULL)
        return fail(ERROR_NO_MEMORY);
    enum error error = (plan->bits >> field & 1) != 0
                           ? make_of_bits(plan, list, rows, row, &field_rows)
                           : make_of_numbers(plan, list, rows, row, &field_rows);
    memory_free(row);
    if (error == OK)
        *made = field_rows;
    return error;
}

/* Of a field of numbers the answers are part of what last[] is of. */
void field_rows_free(struct field_rows *made)
{
    memory_free(made->mask != 0 ? made->index.answers : made->index.last);
}
