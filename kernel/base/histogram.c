/* Asking a histogram; adding to it is inline in the header. */
#include "kernel/base/histogram.h"

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum += counter_read(&histogram->counts[i]);
    return sum;
}

uint64_t histogram_quantile(const struct histogram *histogram, unsigned part)
{
    uint64_t total = histogram_count(histogram), seen = 0;
    /* Rounded up without a product that could overflow. */
    uint64_t wanted = total / HISTOGRAM_ALL * part +
                      (total % HISTOGRAM_ALL * part + HISTOGRAM_ALL - 1) / HISTOGRAM_ALL;

    if (total == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += counter_read(&histogram->counts[i]);
        if (seen >= wanted && seen > 0)
            return (UINT64_C(1) << i) - 1;
    }
    return UINT64_MAX; /* more was added while we counted */
}
