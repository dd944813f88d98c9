#include "kernel/boot_phase.h"

#include "kernel/clock.h"
#include "kernel/platform.h"

static struct {
    const char *name;
    uint64_t start_cycles;
} phases[BOOT_PHASE_MAX + 1]; /* the one behind the last says where that ends */
static unsigned phase_count;
static uint64_t first_cycles;

void boot_phase_start(uint64_t cycles)
{
    first_cycles = cycles;
    phases[0].name = "entry";
    phases[0].start_cycles = cycles;
    phase_count = 1;
}

void boot_phase(const char *name)
{
    if (phase_count == BOOT_PHASE_MAX)
        return;
    phases[phase_count].name = name;
    phases[phase_count++].start_cycles = clock_cycles();
}

void boot_phase_end(void)
{
    phases[phase_count].name = NULL;
    phases[phase_count].start_cycles = clock_cycles();
}

unsigned boot_phase_count(void)
{
    return phase_count;
}

struct boot_phase_time boot_phase_get(unsigned index)
{
    CHECK(index < phase_count);
    struct clock_scale scale = clock_scale_of(clock_frequency_hz());
    uint64_t start = phases[index].start_cycles, end = phases[index + 1].start_cycles;
    return (struct boot_phase_time){
        .name = phases[index].name,
        .start_ns = clock_cycles_to_ns(scale, start - first_cycles),
        .length_ns = end > start ? clock_cycles_to_ns(scale, end - start) : 0,
    };
}
