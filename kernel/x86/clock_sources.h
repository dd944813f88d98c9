/* Ways to find out how fast the time stamp counter runs, best first. Each takes a few milliseconds
 * at most and answers 0 where the machine does not have it. */
#pragma once

#include "kernel/base/types.h"

struct clock_source {
    const char *name;
    uint64_t (*measure_hz)(void);
};
extern const struct clock_source clock_sources[];
extern const unsigned clock_source_count;
