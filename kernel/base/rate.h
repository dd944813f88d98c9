/* How often something may happen: a token bucket. It fills by per_second tokens a second up to
 * burst, and starts full. Credit is counted in billionths of a token, so that no rate is rounded.
 */
#pragma once

#include "kernel/base/types.h"

enum {
    RATE_MAX = 1000000000
}; /* per second, and burst: the credit of a full bucket fits 64 bits */

struct rate {
    uint64_t per_second; /* 0: the burst is all there ever is */
    uint64_t burst;
    uint64_t credit;
    uint64_t filled_ns;
};

static inline struct rate rate_of(uint64_t per_second, uint64_t burst, uint64_t now_ns)
{
    per_second = MIN_OF(per_second, (uint64_t)RATE_MAX);
    burst = MIN_OF(burst, (uint64_t)RATE_MAX);
    return (struct rate){ per_second, burst, burst * NS_PER_S, now_ns };
}

/* True, and a token less, if it may happen now. */
static inline bool rate_take(struct rate *rate, uint64_t now_ns)
{
    if (now_ns > rate->filled_ns && rate->per_second > 0) {
        uint64_t elapsed_ns = now_ns - rate->filled_ns;
        uint64_t missing = rate->burst * NS_PER_S - rate->credit;
        if (elapsed_ns > missing / rate->per_second)
            rate->credit += missing;
        else
            rate->credit += elapsed_ns * rate->per_second;
        rate->filled_ns = now_ns;
    }
    if (rate->credit < NS_PER_S)
        return false;
    rate->credit -= NS_PER_S;
    return true;
}
