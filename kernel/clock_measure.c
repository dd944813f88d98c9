/* See clock_measure.h. A look at the other clock takes long and may be interrupted by the host, so
 * each look is between two readings of the TSC, and of several tries the tightest counts.
 *
 *      tries           HALF_MS           tries           HALF_MS           tries
 *   |[..][.][...]|------------------|[..][...][.]|------------------|[...][.][..]|
 *         ^ first                             ^ middle                    ^ last
 *
 * A host that lets the processor stand still in between does no harm, unless the counter wraps
 * meanwhile: the PIT does after 55 ms. Then one half tells another rate than the other. */
#include "kernel/clock_measure.h"

enum {
    HALF_MS = 2,
    TRIES = 5,
    ATTEMPTS = 8,        /* of which the first nearly always does */
    AGREE_PART = 64,     /* the halves differ by less than this part: 2 ms and 30 us of bad luck */
    READS_MAX = 1000000, /* of a clock that perhaps stands still */
    LOOKS = 3,
};

struct look {
    uint64_t cycles;
    uint64_t count;
};

static struct look look_at(const struct clock_counter *counter)
{
    struct look best = { 0, 0 };
    uint64_t best_width = UINT64_MAX;
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t before = counter->cycles();
        uint64_t count = counter->read();
        uint64_t width = counter->cycles() - before;
        if (width < best_width) {
            best_width = width;
            best = (struct look){ before + width / 2, count };
        }
    }
    return best;
}

/* What passed between two looks, of which the counter must not wrap more than once. */
static struct look between(const struct clock_counter *counter, const struct look *from,
                           const struct look *to)
{
    return (struct look){ to->cycles - from->cycles, (to->count - from->count) & counter->mask };
}

static uint64_t rate_of(const struct clock_counter *counter, const struct look *passed)
{
    if (passed->count == 0 || passed->cycles > UINT64_MAX / counter->hz)
        return 0; /* we slept for minutes */
    return passed->cycles * counter->hz / passed->count;
}

static bool agree(uint64_t one, uint64_t other)
{
    uint64_t apart = one > other ? one - other : other - one;
    return one > 0 && other > 0 && apart <= one / AGREE_PART;
}

/* False where the counter stands still. */
static bool look_three_times(const struct clock_counter *counter, struct look looks[LOOKS])
{
    uint64_t wanted = counter->hz / 1000 * HALF_MS;
    looks[0] = look_at(counter);
    for (unsigned i = 1; i < LOOKS; i++) {
        unsigned reads = 0;
        while (((counter->read() - looks[i - 1].count) & counter->mask) < wanted)
            if (++reads == READS_MAX)
                return false;
        looks[i] = look_at(counter);
    }
    return true;
}

uint64_t clock_measure(const struct clock_counter *counter)
{
    struct look looks[LOOKS];
    for (unsigned i = 0; i < ATTEMPTS && look_three_times(counter, looks); i++) {
        struct look first = between(counter, &looks[0], &looks[1]);
        struct look second = between(counter, &looks[1], &looks[2]);
        if (agree(rate_of(counter, &first), rate_of(counter, &second))) {
            /* Not from the first look to the last, between which it may have wrapped. */
            struct look both = { first.cycles + second.cycles, first.count + second.count };
            return rate_of(counter, &both);
        }
    }
    return 0;
}
