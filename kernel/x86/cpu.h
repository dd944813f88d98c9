/* What belongs to one core of the machine; %gs points to it. */
#pragma once

#include <stdatomic.h>

#include "kernel/base/log.h"
#include "kernel/base/trace.h"
#include "kernel/base/types.h"
#include "kernel/platform.h"
#include "kernel/x86/descriptors.h"
#include "kernel/x86/interrupt.h"

/* How often in a row one that looks for progress has found none. */
struct stall {
    uint64_t progress_seen;
    unsigned looks;
};

struct x86_cpu {
    /* Set before the core starts. */
    struct cpu cpu; /* first: core_current() */
    struct x86_cpu *self;

    /* Written by the core's loop: core_progress(). */
    uint64_t progress;

    /* Set before the core starts, or by itself on its way up. */
    uint32_t apic_id;
    struct core_descriptors descriptors;
    uint64_t stack_tops[IST_COUNT];
    _Atomic bool checked_in;

    /* Sleep. Written by anybody who wakes the core; cleared by itself. */
    alignas(CACHE_LINE_BYTES) _Atomic bool wake;
    _Atomic bool asleep; /* whoever sets wake and sees this sends an interrupt */

    /* The timer: by this core, handlers included. */
    alignas(CACHE_LINE_BYTES) uint64_t deadline_cycles; /* of core_idle(); UINT64_MAX: none */
    uint64_t tick_cycles;                               /* the watchdog's next */
    uint64_t cycles_per_tick;
    struct stall stall_by_tick;
    struct stall stall_by_nudge;
    uint32_t neighbor_ticks; /* of the neighbor, when we looked last */
    _Atomic uint32_t ticks;  /* so far */
    _Atomic bool nudged;     /* by the core whose neighbor we are: an NMI of it is on the way */

    /* Set by core 0 once all cores are there: the next one, whom this one nudges; NULL: none. */
    struct x86_cpu *_Atomic neighbor;

    /* Device interrupts: vector less VECTOR_DEVICE to handle, -1 where there is none. */
    int16_t interrupts[VECTOR_DEVICE_END - VECTOR_DEVICE];

    /* Work: set by core_start() while the core is parked. */
    void *argument;
    void (*_Atomic entry)(void *argument);

    const char *panic_text; /* set by platform_panic() on its way */

    /* Set in the NMI that a panic on another core sends. */
    struct interrupt_frame *stopped_at;
    _Atomic bool stopped;
};
_Static_assert(offsetof(struct x86_cpu, cpu) == 0, "core_current() is a cast");
_Static_assert(offsetof(struct x86_cpu, self) == 24, "CPU_SELF_OFFSET");
_Static_assert(offsetof(struct x86_cpu, progress) == 32, "CPU_PROGRESS_OFFSET");

static inline struct x86_cpu *cpu_current(void)
{
    return (struct x86_cpu *)core_current();
}

/* All cores that run, by index: core_count() of them. */
extern struct x86_cpu *cpus[CORE_MAX];

/* What the processors can do; those of core 0, which the others are taken to have as well. */
struct cpu_features {
    bool no_execute, global_pages, huge_pages; /* 1 GiB */
    bool smep, smap, umip, xsave, machine_check;
    bool x2apic, tsc_deadline;
    char vendor[13];
    char hypervisor[13]; /* "" on bare hardware */
};
extern struct cpu_features cpu_features;

/* Core 0, first of all: finds the features, makes %gs point to its struct, and lets exceptions end
 * in a panic. */
void cpu_init(void);

/* Each core: %gs, protections, vector registers. */
void cpu_init_core(struct x86_cpu *cpu);
