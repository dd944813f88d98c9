/* How a core sleeps and what wakes it.
 *
 * The word `wake` of a core is set by whoever has work for it, and cleared by the core when
 * core_idle() returns. Nobody's wake is lost, because each side writes its own word before it reads
 * the other's:
 *
 *   sleeper                          waker
 *   asleep = true                    (work is visible)
 *   full fence                       wake = true, full fence
 *   if (!wake) sti; hlt              if (asleep) send an interrupt
 *
 * Interrupts are off from before `asleep` is set until the hlt, so what comes in between ends the
 * hlt.
 *
 * One timer serves two purposes: the deadline of core_idle(), and the tick of a second by which the
 * watchdog sees that the core's loop still goes round. It is set to the earlier of both. Since the
 * core counts its own ticks, a host that stalls a virtual processor stalls the count as well.
 *
 * A core that hangs with interrupts off has no ticks. So each core looks at its neighbor's at each
 * tick of its own, and where there are none it sends an NMI, a nudge, which the neighbor counts as
 * it would have counted the tick. Of many nudges to a processor that does not run, one is left when
 * it runs again: a host's stall is no panic here either. (An NMI between `sti` and `hlt` may end
 * the former's grace, and then a wake-up may wait for the next tick. Who is asleep gets none, so
 * that takes a nudge in the very moment in which a core, silent for a second, goes to sleep.) */
#include "kernel/x86/sleep.h"

#include "kernel/clock.h"
#include "kernel/x86/apic.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/registers.h"

enum { SLEEP_MAX_S = 3600 }; /* longer is as good as for ever: the caller looks again */

void sleep_init_core(struct x86_cpu *cpu)
{
    cpu->cycles_per_tick = clock_frequency_hz();
    cpu->deadline_cycles = UINT64_MAX;
    cpu->tick_cycles = clock_cycles() + cpu->cycles_per_tick;
    sleep_set_timer(cpu);
}

/* The earliest cycle count that is not before deadline_ns. False where that has passed. */
static bool deadline_cycles(uint64_t deadline_ns, uint64_t *cycles)
{
    *cycles = UINT64_MAX;
    if (deadline_ns == UINT64_MAX)
        return true;
    uint64_t now_ns = clock_ns();
    if (deadline_ns <= now_ns)
        return false;
    uint64_t left_ns = MIN_OF(deadline_ns - now_ns, (uint64_t)SLEEP_MAX_S * NS_PER_S);
    *cycles = clock_cycles() + clock_ns_to_cycles(clock_frequency_hz(), left_ns);
    return true;
}

void core_idle(uint64_t deadline_ns)
{
    struct x86_cpu *cpu = cpu_current();
    uint64_t deadline;

    if (deadline_cycles(deadline_ns, &deadline)) {
        uint64_t flags = interrupts_off();
        atomic_store_explicit(&cpu->asleep, true, memory_order_seq_cst);
        if (!atomic_load_explicit(&cpu->wake, memory_order_seq_cst)) {
            cpu->deadline_cycles = deadline;
            if (deadline < cpu->tick_cycles)
                sleep_set_timer(cpu);
            do
                __asm__ volatile("sti; hlt; cli" : : : "memory");
            while (!atomic_load_explicit(&cpu->wake, memory_order_acquire));
            cpu->deadline_cycles = UINT64_MAX; /* the timer may come once for nothing */
        }
        atomic_store_explicit(&cpu->asleep, false, memory_order_relaxed);
        interrupts_restore(flags | FLAGS_INTERRUPT);
    }
    /* Exchanged, not stored: whoever woke us just now has put its work where we look next. */
    atomic_exchange_explicit(&cpu->wake, false, memory_order_seq_cst);
}
