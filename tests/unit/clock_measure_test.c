/* Goal: the rate of the TSC comes out right, or not at all, on a host that lets the processor stand
 * still. Method: a machine of 3 GHz whose clocks go on with each reading, and which pauses at any
 * one of them, for longer than the counter takes to wrap as well. */
#include "kernel/clock_measure.h"

#include "tests/unit/test.h"

enum {
    CYCLES_PER_US = 3000,
    HZ = 1193182, /* the PIT's */
    MASK = UINT16_MAX,
};

static uint64_t cycles_now;
static unsigned readings, pause_at; /* the reading after which it pauses */
static uint64_t pause_cycles;
static bool stands_still, goes_faster;

static uint64_t take_time(uint64_t cycles)
{
    cycles_now += cycles;
    if (++readings == pause_at)
        cycles_now += pause_cycles;
    return cycles_now;
}

static uint64_t read_cycles(void)
{
    return take_time(20);
}

static uint64_t read_counter(void)
{
    uint64_t now = take_time(CYCLES_PER_US);
    uint64_t count = now / CYCLES_PER_US * HZ / 1000000;
    if (goes_faster)
        count = count * count / 1000;
    return stands_still ? 0 : count & MASK;
}

static const struct clock_counter counter = {
    .read = read_counter, .hz = HZ, .mask = MASK, .cycles = read_cycles
};

static bool is_right(uint64_t hz)
{
    const uint64_t truth = CYCLES_PER_US * UINT64_C(1000000);
    return hz > truth - truth / 200 && hz < truth + truth / 200;
}

TEST(clock_measure_tells_the_rate)
{
    EXPECT(is_right(clock_measure(&counter)));
}

TEST(clock_measure_is_right_whenever_the_processor_is_stopped)
{
    static const unsigned pauses_ms[] = { 1, 20, 54, 55, 56, 60, 109, 110, 1000 };
    EXPECT(is_right(clock_measure(&counter)));
    const unsigned all = readings;
    for (unsigned i = 0; i < ARRAY_COUNT(pauses_ms); i++) {
        pause_cycles = pauses_ms[i] * UINT64_C(1000) * CYCLES_PER_US;
        for (pause_at = 1; pause_at <= all; pause_at++) {
            readings = 0;
            uint64_t hz = clock_measure(&counter);
            if (!is_right(hz))
                test_fail(__FILE__, __LINE__, "stopped for %u ms after reading %u it tells %llu Hz",
                          pauses_ms[i], pause_at, (unsigned long long)hz);
        }
    }
}

TEST(clock_measure_gives_up_on_a_counter_that_stands_still)
{
    stands_still = true;
    EXPECT_EQUAL(clock_measure(&counter), 0);
}

TEST(clock_measure_gives_up_on_a_counter_that_goes_faster_and_faster)
{
    goes_faster = true;
    EXPECT_EQUAL(clock_measure(&counter), 0);
}
