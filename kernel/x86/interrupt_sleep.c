/* What handlers do about sleep: see sleep.c. */
#include "kernel/panic.h"
#include "kernel/x86/apic.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/sleep.h"

static _Atomic unsigned watchdog_ticks = WATCHDOG_TICKS;

void sleep_set_timer(struct x86_cpu *cpu)
{
    apic_timer_set(MIN_OF(cpu->deadline_cycles, cpu->tick_cycles));
}

void sleep_set_watchdog(unsigned ticks)
{
    atomic_store_explicit(&watchdog_ticks, ticks, memory_order_relaxed);
}

/* Is this the last look that the watchdog allows without progress? */
static bool is_stalled(const struct x86_cpu *cpu, struct stall *stall)
{
    bool went_round = cpu->progress != stall->progress_seen;
    bool watched = cpu->progress != 0 && !atomic_load_explicit(&cpu->asleep, memory_order_relaxed);
    stall->progress_seen = cpu->progress;
    stall->looks = went_round || !watched ? 0 : stall->looks + 1;
    return stall->looks >= atomic_load_explicit(&watchdog_ticks, memory_order_relaxed);
}

/* A neighbor that is awake and had no tick since ours before this one keeps interrupts off, or its
 * host does not let it run. */
static void nudge_neighbor(struct x86_cpu *cpu)
{
    struct x86_cpu *neighbor = atomic_load_explicit(&cpu->neighbor, memory_order_acquire);
    if (!neighbor)
        return;
    uint32_t ticks = atomic_load_explicit(&neighbor->ticks, memory_order_relaxed);
    bool silent = ticks == cpu->neighbor_ticks &&
                  !atomic_load_explicit(&neighbor->asleep, memory_order_relaxed);
    cpu->neighbor_ticks = ticks;
    if (silent) {
        atomic_store_explicit(&neighbor->nudged, true, memory_order_release);
        apic_send_nmi(neighbor->apic_id);
    }
}

bool sleep_nudge_came(struct x86_cpu *cpu, const struct interrupt_frame *frame)
{
    if (!atomic_exchange_explicit(&cpu->nudged, false, memory_order_acquire))
        return false;
    if (is_stalled(cpu, &cpu->stall_by_nudge))
        panic_at(frame, "watchdog: this core's loop does not go round, and interrupts are off");
    return true;
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
        atomic_fetch_add_explicit(&cpu->ticks, 1, memory_order_relaxed);
        nudge_neighbor(cpu);
        if (is_stalled(cpu, &cpu->stall_by_tick))
            panic_at(frame, "watchdog: this core's loop does not go round");
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
