/* See clock_sources.h. Two ways to be told the rate, then three clocks of known rate to measure
 * against (kernel/clock_measure.c). */
#include "kernel/x86/clock_sources.h"

#include "kernel/clock_measure.h"
#include "kernel/platform.h"
#include "kernel/x86/acpi.h"
#include "kernel/x86/cpuid.h"

/* ---- Being told ----------------------------------------------------------------------------- */

/* Intel SDM 2A, CPUID leaves 15h and 16h: crystal * ebx / eax; where the crystal is not told, leaf
 * 16h's base frequency is that of the TSC, rounded to MHz. */
static uint64_t cpuid_hz(void)
{
    struct cpuid rate = cpuid(CPUID_TSC_RATE, 0);
    if (rate.eax != 0 && rate.ebx != 0 && rate.ecx != 0)
        return (uint64_t)rate.ecx * rate.ebx / rate.eax;
    return (uint64_t)(cpuid(CPUID_FREQUENCIES, 0).eax & 0xffff) * 1000000;
}

static uint64_t hypervisor_hz(void)
{
    return (uint64_t)cpuid(CPUID_HYPERVISOR_RATE, 0).eax * 1000;
}

/* ---- Measuring ------------------------------------------------------------------------------ */

static uint64_t read_cycles(void)
{
    return clock_cycles();
}

static uint64_t measure(uint64_t (*read)(void), uint64_t hz, uint64_t mask)
{
    return clock_measure(&(struct clock_counter){ read, hz, mask, read_cycles });
}

/* ---- HPET: IA-PC HPET Specification 1.0a, 2.3 ------------------------------------------------ */

enum {
    HPET_CAPABILITIES = 0x00, /* upper half: femtoseconds of a tick */
    HPET_CONFIGURATION = 0x10,
    HPET_COUNTER = 0xf0,
    HPET_BYTES = 0x100,
    HPET_ENABLE = 1 << 0,
    HPET_PERIOD_FS_MAX = 100000000, /* 2.3.4: slower is not allowed */
};
#define FS_PER_S 1000000000000000ull

static volatile uint8_t *hpet;

static uint64_t hpet_read(void)
{
    return mmio_read32(hpet + HPET_COUNTER);
}

static uint64_t hpet_hz(void)
{
    const struct acpi_info *acpi = acpi_get();
    hpet = acpi->hpet_present ? mmio_map(acpi->hpet_address, HPET_BYTES) : NULL;
    if (!hpet)
        return 0;
    uint32_t period_fs = (uint32_t)(mmio_read64(hpet + HPET_CAPABILITIES) >> 32);
    if (period_fs == 0 || period_fs > HPET_PERIOD_FS_MAX)
        return 0;

    uint64_t configuration = mmio_read64(hpet + HPET_CONFIGURATION);
    mmio_write64(hpet + HPET_CONFIGURATION, configuration | HPET_ENABLE);
    uint64_t hz = measure(hpet_read, FS_PER_S / period_fs, UINT32_MAX);
    mmio_write64(hpet + HPET_CONFIGURATION, configuration);
    return hz;
}

/* ---- PIT: Intel 8254, channel 2, whose gate and output are in port 0x61 ---------------------- */

enum {
    PIT_HZ = 1193182,
    PIT_CHANNEL_2 = 0x42,
    PIT_COMMAND = 0x43,
    PIT_COMMAND_LATCH_2 = 0x80,
    PIT_COMMAND_COUNT_2 = 0xb4, /* channel 2, low byte then high, mode 2: counts again and again */
    SPEAKER_PORT = 0x61,
    SPEAKER_GATE = 1 << 0,
    SPEAKER_SOUND = 1 << 1,
};

static uint64_t pit_read(void)
{
    port_write8(PIT_COMMAND, PIT_COMMAND_LATCH_2);
    unsigned low = port_read8(PIT_CHANNEL_2);
    unsigned high = port_read8(PIT_CHANNEL_2);
    return UINT16_MAX - (high << 8 | low); /* it counts down */
}

static uint64_t pit_hz(void)
{
    uint8_t speaker = port_read8(SPEAKER_PORT);
    port_write8(SPEAKER_PORT, (uint8_t)((speaker & ~SPEAKER_SOUND) | SPEAKER_GATE));
    port_write8(PIT_COMMAND, PIT_COMMAND_COUNT_2);
    port_write8(PIT_CHANNEL_2, 0); /* 65,536: 55 ms a round */
    port_write8(PIT_CHANNEL_2, 0);
    uint64_t hz = measure(pit_read, PIT_HZ, UINT16_MAX);
    port_write8(SPEAKER_PORT, speaker);
    return hz;
}

/* ---- ACPI PM timer: ACPI 6.5, 4.8.3.3 -------------------------------------------------------- */

enum { PM_TIMER_HZ = 3579545 };

static uint64_t pm_timer_read(void)
{
    return port_read32((uint16_t)acpi_get()->pm_timer.address);
}

static uint64_t pm_timer_hz(void)
{
    const struct acpi_info *acpi = acpi_get();
    const struct acpi_register *timer = &acpi->pm_timer;
    if (!acpi->fadt_present || timer->space != ACPI_SPACE_IO || timer->address == 0 ||
        timer->address > UINT16_MAX)
        return 0;
    uint64_t mask = acpi->fadt_flags & ACPI_PM_TIMER_32_BITS ? UINT32_MAX : (1u << 24) - 1;
    return measure(pm_timer_read, PM_TIMER_HZ, mask);
}

const struct clock_source clock_sources[] = {
    { "cpuid", cpuid_hz }, { "hypervisor", hypervisor_hz }, { "hpet", hpet_hz },
    { "pit", pit_hz },     { "acpi-pm", pm_timer_hz },
};
const unsigned clock_source_count = ARRAY_COUNT(clock_sources);
