/* The token bucket: over any stretch of time it lets through the burst and the rate, and not one
 * more. */
#include "kernel/base/rate.h"

#include "tests/unit/test.h"

static unsigned take_all(struct rate *rate, uint64_t now_ns)
{
    unsigned taken = 0;
    while (rate_take(rate, now_ns))
        taken++;
    return taken;
}

TEST(rate_starts_with_its_burst)
{
    struct rate rate = rate_of(10, 5, 1000);
    EXPECT_EQUAL(take_all(&rate, 1000), 5);
    EXPECT_EQUAL(take_all(&rate, 1000 + NS_PER_S / 10 - 1), 0);
    EXPECT_EQUAL(take_all(&rate, 1000 + NS_PER_S / 10), 1);
}

TEST(rate_saves_no_more_than_its_burst)
{
    struct rate rate = rate_of(10, 5, 0);
    EXPECT_EQUAL(take_all(&rate, 0), 5);
    EXPECT_EQUAL(take_all(&rate, UINT64_MAX), 5);
}

/* 3 and 7 do not divide a second, nor the step. */
TEST(rate_is_exact_over_a_long_time)
{
    static const uint64_t rates[] = { 1, 3, 7, 999, 12345 };
    for (unsigned i = 0; i < ARRAY_COUNT(rates); i++) {
        struct rate rate = rate_of(rates[i], 50, 0);
        uint64_t taken = 0, now_ns = 0;
        while (now_ns < 100ull * NS_PER_S) {
            taken += take_all(&rate, now_ns);
            now_ns += 1000003;
        }
        now_ns = 100ull * NS_PER_S;
        taken += take_all(&rate, now_ns);
        EXPECT_EQUAL(taken, 50 + 100 * rates[i]);
    }
}

TEST(rate_of_nothing_is_spent_once)
{
    struct rate rate = rate_of(0, 2, 0);
    EXPECT_EQUAL(take_all(&rate, 0), 2);
    EXPECT_EQUAL(take_all(&rate, UINT64_MAX), 0);
    rate = rate_of(100, 0, 0);
    EXPECT_EQUAL(take_all(&rate, UINT64_MAX), 0);
}

TEST(rate_stands_still_when_time_does_not_move_on)
{
    struct rate rate = rate_of(1000, 1, 5000);
    EXPECT_EQUAL(take_all(&rate, 5000), 1);
    EXPECT_EQUAL(take_all(&rate, 0), 0);
    EXPECT_EQUAL(take_all(&rate, 5000 + NS_PER_MS), 1);
}

TEST(rate_does_not_overflow_at_its_bounds)
{
    struct rate rate = rate_of(UINT64_MAX, UINT64_MAX, 0);
    EXPECT_EQUAL(rate.per_second, RATE_MAX);
    EXPECT(rate_take(&rate, 0));
    EXPECT(rate_take(&rate, UINT64_MAX));
    rate = rate_of(UINT64_MAX, 3, 0);
    EXPECT_EQUAL(take_all(&rate, 0), 3);
    EXPECT_EQUAL(take_all(&rate, 2), 2);
}
