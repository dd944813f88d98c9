/* A lock for the few places below the seam that all cores share: allocators, random numbers, PCI
 * ports. Held for microseconds. Interrupt handlers take none, so interrupts may stay on; the one
 * exception, the I/O APICs, says so (x86/interrupt_pins.c). */
#pragma once

#include <stdatomic.h>

#include "kernel/platform.h"

struct spinlock {
    atomic_flag taken;
};

static inline void spinlock_take(struct spinlock *lock)
{
    while (atomic_flag_test_and_set_explicit(&lock->taken, memory_order_acquire))
        core_relax();
}

static inline void spinlock_release(struct spinlock *lock)
{
    atomic_flag_clear_explicit(&lock->taken, memory_order_release);
}
