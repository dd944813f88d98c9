/* Counters: numbers that one core alone writes and any core may read.
 *
 * The owner adds with counter_add(), everybody else reads with counter_read(). Both are relaxed: on
 * this machine plain loads, adds and stores, without a lock. A reader gets a number that was true a
 * moment ago; two counters read one after the other may belong to different moments. The owner may
 * look at his own as he likes. */
#pragma once

#include "kernel/base/types.h"

static inline void counter_add(uint64_t *counter, uint64_t more)
{
#if __STDC_HOSTED__
    __atomic_store_n(counter, *counter + more, __ATOMIC_RELAXED); /* what sanitizers look at */
#else
    /* The same, in the one instruction of which gcc makes three. */
    __asm__("addq %1, %0" : "+m"(*counter) : "er"(more) : "cc");
#endif
}

/* Modulo 2^64: what one core adds another may subtract from its own, and only the sum counts. */
static inline void counter_subtract(uint64_t *counter, uint64_t less)
{
    counter_add(counter, 0 - less);
}

static inline void counter_set(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static inline uint64_t counter_read(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
