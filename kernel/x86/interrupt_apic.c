/* Intel SDM volume 3, chapter 11. A register is a doubleword every 16 bytes in memory, or an MSR
 * each in x2APIC mode, by the same numbers. */
#include "kernel/platform.h"
#include "kernel/x86/apic.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/registers.h"

enum apic_register { /* offset in memory / 16 = MSR - MSR_X2APIC */
                     APIC_ID = 0x02,
                     APIC_TASK_PRIORITY = 0x08,
                     APIC_EOI = 0x0b,
                     APIC_SPURIOUS = 0x0f,
                     APIC_ERROR = 0x28,
                     APIC_COMMAND = 0x30,
                     APIC_COMMAND_HIGH = 0x31, /* in memory only */
                     APIC_LVT_TIMER = 0x32,
                     APIC_LVT_LINT0 = 0x35,
                     APIC_LVT_LINT1 = 0x36,
                     APIC_TIMER_INITIAL = 0x38,
                     APIC_TIMER_CURRENT = 0x39,
                     APIC_TIMER_DIVIDE = 0x3e,
};

enum {
    APIC_BASE_X2APIC = 1 << 10,
    APIC_BASE_ENABLE = 1 << 11,
    SPURIOUS_ENABLE = 1 << 8,
    LVT_MASKED = 1 << 16,
    LVT_NMI = 4 << 8,
    LVT_TSC_DEADLINE = 2 << 17,
    DIVIDE_BY_16 = 3,
    COMMAND_NMI = 4 << 8,
    COMMAND_INIT = 5 << 8,
    COMMAND_STARTUP = 6 << 8,
    COMMAND_BUSY = 1 << 12,
    COMMAND_ASSERT = 1 << 14,
    COMMAND_PATIENCE = 1000 * 1000, /* looks at COMMAND_BUSY before we send all the same */
    XAPIC_ID_SHIFT = 24,
    PAGE_SHIFT = 12,
};

static volatile uint8_t *registers; /* NULL in x2APIC mode */

/* Timer ticks per TSC cycle, times 2^32; 0: TSC deadline mode. */
static uint64_t ticks_per_cycle;

static uint32_t apic_read(enum apic_register number)
{
    if (registers)
        return mmio_read32(registers + number * 16);
    return (uint32_t)msr_read((uint32_t)MSR_X2APIC + number);
}

static void apic_write(enum apic_register number, uint32_t value)
{
    if (registers)
        mmio_write32((void *)(uintptr_t)(registers + number * 16), value);
    else
        msr_write((uint32_t)MSR_X2APIC + number, value);
}

uint32_t apic_id(void)
{
    uint32_t id = apic_read(APIC_ID);
    return registers ? id >> XAPIC_ID_SHIFT : id;
}

uint32_t apic_id_max(void)
{
    return registers ? APIC_MESSAGE_ID_MAX : UINT32_MAX - 1; /* one more is everybody */
}

void apic_acknowledge(void)
{
    apic_write(APIC_EOI, 0);
}

/* 11.6.1; in x2APIC mode, 11.12.9: one MSR, never busy, and not ordered after earlier stores. */
static void send(uint32_t id, uint32_t command)
{
    uint64_t flags = interrupts_off();
    if (registers) {
        for (unsigned i = 0; i < COMMAND_PATIENCE && (apic_read(APIC_COMMAND) & COMMAND_BUSY); i++)
            core_relax();
        apic_write(APIC_COMMAND_HIGH, id << XAPIC_ID_SHIFT);
        apic_write(APIC_COMMAND, command);
    } else {
        __asm__ volatile("mfence; lfence" : : : "memory");
        msr_write((uint32_t)MSR_X2APIC + APIC_COMMAND, (uint64_t)id << 32 | command);
    }
    interrupts_restore(flags);
}

void apic_send(uint32_t id, uint8_t vector)
{
    send(id, (uint32_t)COMMAND_ASSERT | vector);
}

void apic_send_nmi(uint32_t id)
{
    send(id, COMMAND_ASSERT | COMMAND_NMI);
}

void apic_send_init(uint32_t id)
{
    send(id, COMMAND_ASSERT | COMMAND_INIT);
}

void apic_send_startup(uint32_t id, uint64_t page)
{
    send(id, (uint32_t)(COMMAND_ASSERT | COMMAND_STARTUP) | (uint32_t)(page >> PAGE_SHIFT));
}

/* ---- Timer ----------------------------------------------------------------------------------- */

void apic_timer_set(uint64_t cycles)
{
    if (ticks_per_cycle == 0) {
        msr_write(MSR_TSC_DEADLINE, cycles);
        return;
    }
    uint64_t now = clock_cycles();
    uint64_t left = cycles > now ? cycles - now : 0;
    uint64_t ticks = (uint64_t)(((unsigned __int128)left * ticks_per_cycle) >> 32) + 1;
    apic_write(APIC_TIMER_INITIAL, ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks);
}

const char *apic_timer_name(void)
{
    return ticks_per_cycle == 0 ? "tsc-deadline" : "one-shot";
}

/* Lets it count down for a while. A wrong figure is no harm: who is woken early goes back to sleep,
 * and nobody relies on more than a deadline's order of magnitude. */
static void measure_timer(uint64_t measure_cycles)
{
    apic_write(APIC_LVT_TIMER, (uint32_t)LVT_MASKED | VECTOR_TIMER);
    apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_16);
    apic_write(APIC_TIMER_INITIAL, UINT32_MAX);
    uint64_t start = clock_cycles();
    uint64_t now = start;
    while (now - start < measure_cycles)
        now = clock_cycles();
    uint32_t ticks = UINT32_MAX - apic_read(APIC_TIMER_CURRENT);
    apic_write(APIC_TIMER_INITIAL, 0);
    ticks_per_cycle = ((uint64_t)ticks << 32) / (now - start);
    if (ticks_per_cycle == 0)
        ticks_per_cycle = 1; /* a timer that stands still: at least it is not the other mode */
}

/* ---- Start ----------------------------------------------------------------------------------- */

void apic_init(volatile void *mapped, uint64_t measure_cycles)
{
    registers = mapped;
    apic_init_core();
    if (!cpu_features.tsc_deadline) {
        measure_timer(measure_cycles);
        apic_init_core();
    }
}

void apic_init_core(void)
{
    uint64_t base = msr_read(MSR_APIC_BASE) | APIC_BASE_ENABLE;
    msr_write(MSR_APIC_BASE, base);
    if (!registers)
        msr_write(MSR_APIC_BASE, base | APIC_BASE_X2APIC); /* 11.12.5: in two steps */

    apic_write(APIC_SPURIOUS, (uint32_t)SPURIOUS_ENABLE | VECTOR_SPURIOUS);
    apic_write(APIC_TASK_PRIORITY, 0);
    apic_write(APIC_LVT_LINT0, LVT_MASKED); /* the old controllers */
    apic_write(APIC_LVT_LINT1, LVT_NMI);    /* the board's NMI button */
    apic_write(APIC_ERROR, 0);
    if (cpu_features.tsc_deadline) {
        apic_write(APIC_LVT_TIMER, (uint32_t)LVT_TSC_DEADLINE | VECTOR_TIMER);
        __asm__ volatile("mfence" : : : "memory"); /* 11.5.4.1: before the first deadline */
    } else {
        apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_16);
        apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
    }
}
