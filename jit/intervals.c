/* One sweep over all values, upwards. The spans that hold the value under the broom wait in a
 * heap, the first one on top; one that ended is taken out when it comes to the top.
 *
 *   span 2   |---------------------|
 *   span 0        |-----|
 *   span 1           |------|
 *   winner   2    0     1   2
 */
#include "jit/intervals.h"

#include "kernel/platform.h"

enum {
    DIGIT_BITS = 8,
    DIGITS = 1 << DIGIT_BITS,
    STEPS_A_PAUSE = 4096, /* some 100 microseconds */
    COUNTS_A_PAUSE = 65536,
};

struct heap {
    uint32_t *spans; /* each comes before its two children, which are at 2 i + 1 and 2 i + 2 */
    unsigned count;
};

struct sweep {
    const struct span *spans;
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
            if (i % COUNTS_A_PAUSE == COUNTS_A_PAUSE - 1)
                pause_take(pause);
        }
        if (count > 0 && places[(from[0].value >> shift) % DIGITS] == count)
            continue; /* they all have the same */
        for (unsigned digit = 0; digit < DIGITS; digit++) {
            uint32_t size = places[digit];
            places[digit] = place;
            place += size;
        }
        for (unsigned i = 0; i < count; i++) {
            to[places[(from[i].value >> shift) % DIGITS]++] = from[i];
            if (i % STEPS_A_PAUSE == STEPS_A_PAUSE - 1)
                pause_take(pause);
        }
        struct bound *sorted = to;
        to = from;
        from = sorted;
    }
    return from;
}

/* ---- Those that are open, the first one on top ----------------------------------------------- */

static void heap_add(struct heap *heap, uint32_t span)
{
    unsigned at = heap->count++;

    for (; at > 0 && heap->spans[(at - 1) / 2] > span; at = (at - 1) / 2)
        heap->spans[at] = heap->spans[(at - 1) / 2];
    heap->spans[at] = span;
}

static void heap_remove_top(struct heap *heap)
{
    uint32_t span = heap->spans[--heap->count];
    unsigned at = 0;

    for (unsigned child = 1; child < heap->count; child = 2 * at + 1) {
        if (child + 1 < heap->count && heap->spans[child + 1] < heap->spans[child])
            child++;
        if (span <= heap->spans[child])
            break;
        heap->spans[at] = heap->spans[child];
        at = child;
    }
    heap->spans[at] = span;
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
    while (sweep->open.count > 0 && sweep->spans[sweep->open.spans[0]].last < value)
        heap_remove_top(&sweep->open);
    if (sweep->open.count == 0)
        return JIT_NONE;

    const struct span *span = &sweep->spans[sweep->open.spans[0]];
    *last = MIN_OF(*last, span->last);
    sweep->seen[span->rule / 64] |= (uint64_t)1 << (span->rule % 64);
    return span->answer;
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

enum error intervals_make(const struct span *spans, unsigned count, const struct pause *pause,
                          uint64_t *seen, struct intervals *intervals)
{
    const size_t places = (size_t)count + 1, interval_max = 2 * (size_t)count + 1;
    struct sweep sweep = { .spans = spans, .seen = seen };
    struct intervals made = { .count = 0 };
    enum error error = ERROR_NO_MEMORY;

    struct bound *starts = memory_alloc_uncleared(2 * places * sizeof(*starts), 0, MEMORY_CODE);
    sweep.open.spans = memory_alloc_uncleared(places * sizeof(uint32_t), 0, MEMORY_CODE);
    made.last = memory_alloc_uncleared(2 * interval_max * sizeof(uint32_t), 0, MEMORY_CODE);
    if (starts == NULL || sweep.open.spans == NULL || made.last == NULL)
        goto out;
    made.answers = made.last + interval_max;

    for (unsigned i = 0; i < count; i++) {
        starts[i] = (struct bound){ .value = spans[i].first, .rule = i };
        if (i % COUNTS_A_PAUSE == 0)
            pause_take(pause);
    }
    sweep_all(&sweep, bounds_sort(starts, starts + places, count, pause), count, pause, &made);
    *intervals = made;
    made.last = NULL;
    error = OK;
out:
    memory_free(made.last);
    memory_free(sweep.open.spans);
    memory_free(starts);
    return error == OK ? OK : fail(error);
}

void intervals_free(struct intervals *intervals)
{
    memory_free(intervals->last);
}
