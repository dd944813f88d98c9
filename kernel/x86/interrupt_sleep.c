/* What handlers do about sleep: see sleep.c. */
#include "kernel/panic.h"
#include "kernel/x86/apic.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/sleep.h"

void sleep_set_timer(struct x86_cpu *cpu)
{
    apic_timer_set(MIN_OF(cpu->deadline_cycles, cpu->tick_cycles));
}

static void watch(struct x86_cpu *cpu, const struct interrupt_frame *frame)
{
    bool went_round = cpu->progress != cpu->progress_seen;
    bool watched = cpu->progress != 0 && !atomic_load_explicit(&cpu->asleep, memory_order_relaxed);
    cpu->progress_seen = cpu->progress;
    if (went_round || !watched)
        cpu->stalled_ticks = 0;
    else if (++cpu->stalled_ticks == WATCHDOG_TICKS)
        panic_at(frame, "watchdog: this core's loop has not gone round for 10 s");
}

void sleep_timer_came(struct x86_cpu *cpu, const struct interrupt_frame *frame)
{
    uint64_t now = clock_cycles();
    if (now >= cpu->deadline_cycles) {
        cpu->deadline_cycles = UINT64_MAX;
        atomic_store_explicit(&cpu->wake, true, memory_order_relaxed);
    }
    if (now >= cpu->tick_cycles) {
        cpu->tick_cycles = now + cpu->cycles_per_tick;
        watch(cpu, frame);
    }
    sleep_set_timer(cpu);
}

void sleep_wake(struct x86_cpu *cpu)
{
    atomic_exchange_explicit(&cpu->wake, true, memory_order_seq_cst);
    if (cpu != cpu_current() && atomic_load_explicit(&cpu->asleep, memory_order_seq_cst))
        apic_send(cpu->apic_id, VECTOR_WAKE);
}

void core_wake(unsigned core)
{
    sleep_wake(cpus[core]);
}
