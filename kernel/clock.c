/* See clock.h. The rate is set once, before other cores run; so reading the clock takes no lock. */
#include "kernel/clock.h"

#include "kernel/base/log.h"
#include "kernel/cmos_time.h"
#include "kernel/platform.h"
#include "kernel/x86/acpi.h"
#include "kernel/x86/clock_sources.h"
#include "kernel/x86/cpuid.h"

/* Where no source answers we count on, wrongly, rather than stop: what most machines have. */
#define HZ_GUESS (2ull * NS_PER_S)

static uint64_t first_cycles;
static uint64_t frequency_hz = HZ_GUESS;
static struct clock_scale scale; /* 0 before clock_init(): the clock stands at 0 */
static const char *source_name = "guess";
static bool calendar_is_set;
static int64_t unix_ns_at_zero; /* UTC when clock_ns() was 0 */

uint64_t clock_ns_to_cycles(uint64_t cycles_per_s, uint64_t ns)
{
    uint64_t seconds = ns / NS_PER_S, rest_ns = ns % NS_PER_S;
    if (seconds > UINT64_MAX / cycles_per_s - 1)
        return UINT64_MAX;
    return seconds * cycles_per_s + (rest_ns * (cycles_per_s / 1000) + NS_PER_MS - 1) / NS_PER_MS;
}

static void find_rate(void)
{
    for (unsigned i = 0; i < clock_source_count; i++) {
        uint64_t hz = clock_sources[i].measure_hz();
        if (clock_rate_sane(hz)) {
            frequency_hz = hz;
            source_name = clock_sources[i].name;
            return;
        }
    }
    log_error("clock", "nothing tells how fast the TSC runs: guessing %llu MHz",
              (unsigned long long)(HZ_GUESS / 1000000));
}

static void read_calendar(void)
{
    int64_t unix_s = 0;
    const struct acpi_info *acpi = acpi_get();
    calendar_is_set = !(acpi->boot_flags & ACPI_BOOT_NO_CMOS_CLOCK) &&
                      cmos_time_read(acpi->century_index, &unix_s);
    if (!calendar_is_set)
        log_warning("clock", "the calendar clock tells no sensible time: counting from 1970");
    unix_ns_at_zero = unix_s * NS_PER_S - (int64_t)clock_ns();
}

void clock_init(uint64_t cycles)
{
    first_cycles = cycles;
    find_rate();
    scale = clock_scale_of(frequency_hz);
    read_calendar();
    log_info("clock", "TSC %llu.%03llu MHz by %s%s", (unsigned long long)(frequency_hz / 1000000),
             (unsigned long long)(frequency_hz / 1000 % 1000), source_name,
             clock_tsc_invariant() ? "" : ", not promised to be constant");
}

uint64_t clock_ns(void)
{
    /* A core whose counter lags a little behind must not make time wrap. */
    uint64_t cycles = clock_cycles();
    return cycles > first_cycles ? clock_cycles_to_ns(scale, cycles - first_cycles) : 0;
}

int64_t clock_unix_ns(void)
{
    return unix_ns_at_zero + (int64_t)clock_ns();
}

uint64_t clock_frequency_hz(void)
{
    return frequency_hz;
}

const char *clock_source_name(void)
{
    return source_name;
}

bool clock_tsc_invariant(void)
{
    /* Intel SDM 3, 18.17.1 */
    enum { LEAF_POWER = 0x80000007, INVARIANT_TSC = 1 << 8 };
    return cpuid(LEAF_POWER, 0).edx & INVARIANT_TSC;
}

bool clock_calendar_is_set(void)
{
    return calendar_is_set;
}

void clock_delay_ns(uint64_t ns)
{
    uint64_t start = clock_cycles(), wait = clock_ns_to_cycles(frequency_hz, ns);
    while (clock_cycles() - start < wait)
        core_relax();
}
