/* A rank ends where a range ends, and before one begins: all these values sorted, each once, are
 * the ranks' last ones. They are sorted word by word, the last one first, as bounds_sort() leaves
 * in order what is equal.
 *
 *   ranges            [----------]      [---]
 *                          [-----------]
 *   last values   |   |          |     ||   |          |
 *   ranks       0   1   2  (3)     4      5 ...
 *
 * Before the first of all values is the last one: whoever begins there has the rank behind all. */
#include "jit/key_ranks.h"

#include <string.h>

#include "jit/intervals.h"
#include "jit/keys.h"
#include "kernel/platform.h"

enum { STEPS_A_PAUSE = 8192 };

/* ---- Ranges ---------------------------------------------------------------------------------- */

/* One value more: all ones, which ends the last rank. */
enum error key_ranges_create(struct key_ranges *ranges, unsigned words, unsigned room)
{
    const size_t values = 2 * (size_t)room + 1;
    uint32_t *ends = memory_alloc_uncleared(values * words * sizeof(*ends), 0, MEMORY_CODE);

    if (ends == NULL)
        return fail(ERROR_NO_MEMORY);
    *ranges = (struct key_ranges){ .words = words, .room = room, .ends = ends };
    return OK;
}

void key_ranges_free(struct key_ranges *ranges)
{
    memory_free(ranges->ends);
}

void key_ranges_add(struct key_ranges *ranges, const uint32_t *first, const uint32_t *last)
{
    const size_t bytes = ranges->words * sizeof(uint32_t);
    uint32_t *ends = &ranges->ends[2 * (size_t)ranges->count * ranges->words];

    CHECK(ranges->count < ranges->room);
    memcpy(ends, first, bytes);
    memcpy(ends + ranges->words, last, bytes);
    ranges->count++;
}

void key_ranges_add_rule(struct key_ranges *ranges, const struct jit_range *fields)
{
    uint32_t first[JIT_KEY_WORDS_MAX], last[JIT_KEY_WORDS_MAX];

    for (unsigned i = 0; i < ranges->words; i++) {
        first[i] = fields[i].first;
        last[i] = fields[i].last;
    }
    key_ranges_add(ranges, first, last);
}

void key_ranges_add_set(struct key_ranges *ranges, const struct jit_set *set,
                        const struct pause *pause)
{
    for (size_t i = 0; i < set->count; i++) {
        key_ranges_add(ranges, &set->first[i * set->words], &set->last[i * set->words]);
        if (i % STEPS_A_PAUSE == 0)
            pause_take(pause);
    }
}

/* ---- Sorting --------------------------------------------------------------------------------- */

static void subtract_one(uint32_t *words, unsigned count)
{
    while (count-- > 0 && words[count]-- == 0)
        continue;
}

/* Firsts become what is before them. */
static void end_ranks_before(struct key_ranges *ranges, const struct pause *pause)
{
    for (unsigned i = 0; i < ranges->count; i++) {
        subtract_one(&ranges->ends[2 * (size_t)i * ranges->words], ranges->words);
        if (i % STEPS_A_PAUSE == 0)
            pause_take(pause);
    }
    memset(&ranges->ends[2 * (size_t)ranges->count * ranges->words], 0xff,
           ranges->words * sizeof(uint32_t));
}

/* Numbers of values in their order; `room` is for as many bounds. */
static struct bound *sort_values(const struct key_ranges *ranges, unsigned count,
                                 struct bound *order, struct bound *room, const struct pause *pause)
{
    for (unsigned i = 0; i < count; i++) {
        order[i].rule = i;
        if (i % STEPS_A_PAUSE == 0)
            pause_take(pause);
    }
    for (unsigned word = ranges->words; word-- > 0;) {
        for (unsigned i = 0; i < count; i++) {
            order[i].value = ranges->ends[(size_t)order[i].rule * ranges->words + word];
            if (i % STEPS_A_PAUSE == 0)
                pause_take(pause);
        }
        struct bound *sorted = bounds_sort(order, room, count, pause);
        room = sorted == order ? room : order;
        order = sorted;
    }
    return order;
}

/* ---- Ranks ----------------------------------------------------------------------------------- */

static void set_rank(struct key_ranks *ranks, uint32_t value, uint32_t rank)
{
    struct jit_range *range = &ranks->ranks[value / 2];

    if (value % 2 == 0)
        range->first = rank + 1;
    else
        range->last = rank;
}

static void number_values(const struct key_ranges *ranges, const struct bound *order,
                          unsigned count, const struct pause *pause, struct key_ranks *ranks)
{
    const unsigned words = ranges->words;

    for (unsigned i = 0; i < count; i++) {
        const uint32_t *value = &ranges->ends[(size_t)order[i].rule * words];
        uint32_t *last = &ranks->last[(size_t)ranks->count * words];
        if (ranks->count == 0 || words_compare(last - words, value, words) != 0) {
            memcpy(last, value, words * sizeof(*last));
            ranks->count++;
        }
        set_rank(ranks, order[i].rule, ranks->count - 1);
        if (i % STEPS_A_PAUSE == 0)
            pause_take(pause);
    }
    for (unsigned i = 0; i < ranges->count; i++) {
        struct jit_range *range = &ranks->ranks[i];
        if (range->first == ranks->count)
            range->first = 0;
        if (range->last == ranks->count - 1)
            range->last = UINT32_MAX;
        if (i % STEPS_A_PAUSE == 0)
            pause_take(pause);
    }
}

enum error key_ranks_make(struct key_ranges *ranges, const struct pause *pause,
                          struct key_ranks *ranks)
{
    const unsigned count = 2 * ranges->count + 1;
    struct key_ranks made = { .words = ranges->words };
    struct bound *order =
        memory_alloc_uncleared(2 * (size_t)count * sizeof(*order), 0, MEMORY_CODE);

    made.last =
        memory_alloc_uncleared((size_t)count * made.words * sizeof(uint32_t), 0, MEMORY_CODE);
    /* One more than ranges: the value of all ones is written down there, too. */
    made.ranks =
        memory_alloc_uncleared(((size_t)ranges->count + 1) * sizeof(*made.ranks), 0, MEMORY_CODE);
    if (order == NULL || made.last == NULL || made.ranks == NULL) {
        memory_free(order);
        key_ranks_free(&made);
        return fail(ERROR_NO_MEMORY);
    }
    end_ranks_before(ranges, pause);
    number_values(ranges, sort_values(ranges, count, order, order + count, pause), count, pause,
                  &made);
    memory_free(order);
    *ranks = made;
    return OK;
}

void key_ranks_free(struct key_ranks *ranks)
{
    memory_free(ranks->last);
    memory_free(ranks->ranks);
}
