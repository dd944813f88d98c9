/* The rate of the time stamp counter, by another counter whose rate is known. Pure but for the two
 * readings it is given. */
#pragma once

#include "kernel/base/types.h"

/* It counts upwards and wraps at mask + 1. */
struct clock_counter {
    uint64_t (*read)(void);
    uint64_t hz;
    uint64_t mask;
    uint64_t (*cycles)(void); /* of the time stamp counter */
};

/* Cycles per second, after some 4 ms; 0: it stands still, or never told the same twice. */
uint64_t clock_measure(const struct clock_counter *counter) MUST_CHECK;
