/* Histograms: where values go, and what quantiles say of them. */
#include "kernel/base/histogram.h"

#include "tests/unit/test.h"

TEST(histogram_counts_by_powers_of_two)
{
    struct histogram histogram = { { 0 } };
    static const struct {
        uint64_t value;
        unsigned bucket;
    } cases[] = { { 0, 0 },
                  { 1, 1 },
                  { 2, 2 },
                  { 3, 2 },
                  { 4, 3 },
                  { 1023, 10 },
                  { 1024, 11 },
                  { UINT64_C(1) << 38, 39 },
                  { UINT64_MAX, HISTOGRAM_BUCKETS - 1 } };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t before = histogram.counts[cases[i].bucket];
        histogram_add(&histogram, cases[i].value, 3);
        EXPECT_EQUAL(histogram.counts[cases[i].bucket], before + 3);
    }
    EXPECT_EQUAL(histogram_count(&histogram), 3 * ARRAY_COUNT(cases));
}

TEST(histogram_quantiles_are_bounds_that_hold)
{
    struct histogram histogram = { { 0 } };
    EXPECT_EQUAL(histogram_quantile(&histogram, 5000), 0);
    histogram_add(&histogram, 100, 989);
    histogram_add(&histogram, 5000, 10);
    histogram_add(&histogram, 70000, 1);
    EXPECT_EQUAL(histogram_quantile(&histogram, 5000), 127);
    EXPECT_EQUAL(histogram_quantile(&histogram, 9890), 127);
    EXPECT_EQUAL(histogram_quantile(&histogram, 9900), 8191);
    EXPECT_EQUAL(histogram_quantile(&histogram, 9990), 8191);
    EXPECT_EQUAL(histogram_quantile(&histogram, 9991), 131071);
    EXPECT_EQUAL(histogram_quantile(&histogram, HISTOGRAM_ALL), 131071);
}

TEST(histogram_of_very_many_values_does_not_overflow)
{
    struct histogram histogram = { { 0 } };
    histogram_add(&histogram, 1, UINT64_C(1) << 62);
    histogram_add(&histogram, 10, UINT64_C(1) << 62);
    EXPECT_EQUAL(histogram_quantile(&histogram, 5000), 1);
    EXPECT_EQUAL(histogram_quantile(&histogram, 5001), 15);
}
