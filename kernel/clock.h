/* The clock: nanoseconds since the kernel's first instruction, from the processor's time stamp
 * counter. Its rate is found by the first of the sources in kernel/x86/clock_sources.c that
 * answers.
 *
 * The arithmetic is pure; clock_ns() and clock_unix_ns() of the seam are in kernel/clock.c too. */
#pragma once

#include "kernel/base/types.h"

/* ns = cycles * multiplier / 2^32. Exact to 1 in 10^9 between 300 MHz and 10 GHz. */
struct clock_scale {
    uint64_t multiplier;
};

enum {
    CLOCK_HZ_MIN = 10 * 1000 * 1000, /* below, a source told nonsense */
};
#define CLOCK_HZ_MAX (20ull * 1000 * 1000 * 1000)

static inline bool clock_rate_sane(uint64_t cycles_per_s)
{
    return cycles_per_s >= CLOCK_HZ_MIN && cycles_per_s <= CLOCK_HZ_MAX;
}

static inline struct clock_scale clock_scale_of(uint64_t cycles_per_s)
{
    return (struct clock_scale){ ((uint64_t)NS_PER_S << 32) / cycles_per_s };
}

static inline uint64_t clock_cycles_to_ns(struct clock_scale scale, uint64_t cycles)
{
    return (uint64_t)(((unsigned __int128)cycles * scale.multiplier) >> 32);
}

/* Cycles that take at least ns. */
uint64_t clock_ns_to_cycles(uint64_t cycles_per_s, uint64_t ns);

/* Finds the rate, reads the calendar clock, starts clock_ns(). Once, on core 0, after acpi_init()
 * and once mmio_map() works. */
void clock_init(uint64_t first_cycles);

uint64_t clock_frequency_hz(void);   /* of the TSC */
const char *clock_source_name(void); /* "cpuid", "hypervisor", "hpet", "pit", "acpi-pm", "guess" */
bool clock_tsc_invariant(void);      /* does the processor promise it? Used all the same. */
bool clock_calendar_is_set(void);    /* did the machine's calendar clock tell sense? */
void clock_delay_ns(uint64_t ns);    /* spins; for devices at boot only */
