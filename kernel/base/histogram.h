/* How often values of each size occurred: one counter per power of two, so that an entry costs one
 * addition, and a quantile is known to a factor of two. Written by one core, read by any. */
#pragma once

#include "kernel/base/counter.h"
#include "kernel/base/types.h"

enum {
    HISTOGRAM_BUCKETS = 40, /* of nanoseconds: up to nine minutes */
    HISTOGRAM_ALL = 10000,  /* quantiles are told in parts of this */
};

/* Bucket 0 counts zeros; bucket i values from 2^(i-1) to 2^i - 1, the last one all beyond, too. */
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
};

static inline void histogram_add(struct histogram *histogram, uint64_t value, uint64_t times)
{
    unsigned bits = value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);

    counter_add(&histogram->counts[MIN_OF(bits, HISTOGRAM_BUCKETS - 1u)], times);
}

uint64_t histogram_count(const struct histogram *histogram);

/* The smallest bound that at least `part` of HISTOGRAM_ALL values do not exceed; 0: no values.
 * 5000 is the median. */
uint64_t histogram_quantile(const struct histogram *histogram, unsigned part);
