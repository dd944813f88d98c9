/* One sweep over all values, upwards. The ranges that hold the value under the broom wait in a
 * heap, the first rule on top; one that ended is taken out when it comes to the top.
 *
 *   rule 2   |---------------------|
 *   rule 0        |-----|
 *   rule 1           |------|
 *   winner   2    0     1   2
 */
#include "jit/intervals.h"

#include <string.h>

#include "kernel/platform.h"

enum {
    DIGIT_BITS = 8,
    DIGITS = 1 << DIGIT_BITS,
    STEPS_A_PAUSE = 4096, /* some 100 microseconds */
};

struct heap {
    uint32_t *rules; /* each comes before its two children, which are at 2 i + 1 and 2 i + 2 */
    unsigned count;
};

struct sweep {
    const struct jit_rule *rules;
    unsigned field;
    uint64_t *seen;
    struct heap open;
};

/* ---- Sorting ---------------------------------------------------------- */

/* Radix sort, the lowest digit first: it keeps what is equal in order, and takes the same time
 * whatever the operator wrote. */
struct bound *bounds_sort(struct bound *from, struct bound *to, unsigned count,
                          const struct pause *pause)
{
    for (unsigned shift = 0; shift < 32; shift += DIGIT_BITS) {
        uint32_t places[DIGITS] = { 0 };
        uint32_t place = 0;

        for (unsigned i = 0; i < count; i++) {
            places[(from[i].value >> shift) % DIGITS]++;
        }
        for (unsigned digit = 0; digit < DIGITS; digit++) {
            uint32_t size = places[digit];
            places[digit] = place;
            place += size;
        }
        for (unsigned i = 0; i < count; i++) {
            to[places[(from[i].value >> shift) % DIGITS]++] = from[i];
            if (i % STEPS_A_PAUSE == 0)
                pause_take(pause);
        }
        struct bound *sorted = to;
        to = from;
        from = sorted;
    }
    return from;
}

/* ---- Those that are open, the first rule on top ---------------------------------------------- */

static void heap_add(struct heap *heap, uint32_t rule)
{
    unsigned at = heap->count++;

    for (; at > 0 && heap->rules[(at - 1) / 2] > rule; at = (at - 1) / 2)
        heap->rules[at] = heap->rules[(at - 1) / 2];
    heap->rules[at] = rule;
}

static void heap_remove_top(struct heap *heap)
{
    uint32_t rule = heap->rules[--heap->count];
    unsigned at = 0;

    for (unsigned child = 1; child < heap->count; child = 2 * at + 1) {
        if (child + 1 < heap->count && heap->rules[child + 1] < heap->rules[child])
            child++;
        if (rule <= heap->rules[child])
            break;
        heap->rules[at] = heap->rules[child];
        at = child;
    }
    heap->rules[at] = rule;
}

static uint32_t last_of(const struct sweep *sweep, uint32_t rule)
{
    return sweep->rules[rule].fields[sweep->field].last;
}

/* ---- The sweep ------------------------------------------------------------------------------- */

static void append(struct intervals *intervals, uint32_t last, uint32_t answer)
{
    if (intervals->count == 0 || intervals->answers[intervals->count - 1] != answer)
        intervals->answers[intervals->count++] = answer;
    intervals->last[intervals->count - 1] = last;
}

/* Who wins at `value`, and how far that is certain: up to *last at most. */
static uint32_t winner_at(struct sweep *sweep, uint32_t value, uint32_t *last)
{
    while (sweep->open.count > 0 && last_of(sweep, sweep->open.rules[0]) < value)
        heap_remove_top(&sweep->open);
    if (sweep->open.count == 0)
        return JIT_NONE;

    uint32_t rule = sweep->open.rules[0];
    *last = MIN_OF(*last, last_of(sweep, rule));
    sweep->seen[rule / 64] |= (uint64_t)1 << (rule % 64);
    return sweep->rules[rule].answer;
}

static void sweep_all(struct sweep *sweep, const struct bound *starts, unsigned count,
                      const struct pause *pause, struct intervals *intervals)
{
    unsigned next = 0, steps = 0;
    uint32_t value = 0, last;

    do {
        while (next < count && starts[next].value == value)
            heap_add(&sweep->open, starts[next++].rule);
        last = next < count ? starts[next].value - 1 : UINT32_MAX;
        uint32_t answer = winner_at(sweep, value, &last);
        append(intervals, last, answer);
        value = last + 1;
        if (++steps % STEPS_A_PAUSE == 0)
            pause_take(pause);
    } while (last != UINT32_MAX);
}

enum error intervals_make(const struct jit_rule *rules, unsigned count, unsigned field,
                          const struct pause *pause, uint64_t *seen, struct intervals *intervals)
{
    const size_t places = count + 1, interval_max = 2 * (size_t)count + 1;
    struct sweep sweep = { .rules = rules, .field = field, .seen = seen };
    struct intervals made = { .count = 0 };
    enum error error = ERROR_NO_MEMORY;

    struct bound *starts = memory_alloc_uncleared(2 * places * sizeof(*starts), 0, MEMORY_CODE);
    sweep.open.rules = memory_alloc_uncleared(places * sizeof(uint32_t), 0, MEMORY_CODE);
    made.last = memory_alloc_uncleared(2 * interval_max * sizeof(uint32_t), 0, MEMORY_CODE);
    if (starts == NULL || sweep.open.rules == NULL || made.last == NULL)
        goto out;
    made.answers = made.last + interval_max;

    for (unsigned i = 0; i < count; i++)
        starts[i] = (struct bound){ .value = rules[i].fields[field].first, .rule = i };
    memset(seen, 0, (count + 63) / 64 * sizeof(*seen));
    sweep_all(&sweep, bounds_sort(starts, starts + places, count, pause), count, pause, &made);
    *intervals = made;
    made.last = NULL;
    error = OK;
out:
    memory_free(made.last);
    memory_free(sweep.open.rules);
    memory_free(starts);
    return error == OK ? OK : fail(error);
}

void intervals_free(struct intervals *intervals)
{
    memory_free(intervals->last);
}
