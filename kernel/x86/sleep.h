/* Sleep and the timer of each core: core_idle() and core_wake() of the seam, and the watchdog. */
#pragma once

#include "kernel/base/types.h"

enum { WATCHDOG_TICKS = 10 }; /* of a second each, without core_progress() */

struct interrupt_frame;
struct x86_cpu;

/* Each core, after its local APIC works: starts its tick. */
void sleep_init_core(struct x86_cpu *cpu);
void sleep_set_timer(struct x86_cpu *cpu);

/* How many ticks without progress are a panic: WATCHDOG_TICKS where nobody says. */
void sleep_set_watchdog(unsigned ticks);

/* From handlers: VECTOR_TIMER came. An NMI came; false: it was not the neighbor's nudge. */
void sleep_timer_came(struct x86_cpu *cpu, const struct interrupt_frame *frame);
bool sleep_nudge_came(struct x86_cpu *cpu, const struct interrupt_frame *frame);
void sleep_wake(struct x86_cpu *cpu);
