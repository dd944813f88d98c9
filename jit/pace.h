/* When a long computation takes its pauses (kernel/base/pause.h): not before enough was done since
 * the last one, as a pause may be longer than the computation. */
#pragma once

#include "kernel/base/pause.h"

/* Steps take some 50 nanoseconds each: so many are 200 microseconds. */
enum { PACE_STEPS = 4096 };

struct pace {
    const struct pause *pause; /* or NULL */
    unsigned steps;            /* since the last one */
};

/* So many steps more were taken, between two of which a pause may be. */
static inline void pace_steps(struct pace *pace, unsigned steps)
{
    pace->steps += steps;
    if (pace->steps < PACE_STEPS)
        return;
    pace->steps = 0;
    pause_take(pace->pause);
}
