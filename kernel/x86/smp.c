/* Starting cores: Intel SDM volume 3, 9.4.4; the first instructions are in boot/entry.S.
 *
 * Each core gets a slot with its APIC id, its stack and its struct. Whoever turns a slot from
 * OFFERED into something else owns it: the core (TAKEN) or, after 5 s, we (WITHDRAWN). */
#include "kernel/x86/smp.h"

#include <string.h>

#include "boot/entry.h"
#include "kernel/base/log.h"
#include "kernel/base/text.h"
#include "kernel/clock.h"
#include "kernel/memory.h"
#include "kernel/platform.h"
#include "kernel/x86/acpi.h"
#include "kernel/x86/apic.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/paging.h"
#include "kernel/x86/registers.h"
#include "kernel/x86/sleep.h"
#include "kernel/x86/stack.h"

enum {
    STARTUP_DELAY_NS = 200 * 1000, /* INIT to startup; a lost startup is sent again: */
    STARTUP_AGAIN_NS = 10 * 1000 * 1000,
    TIMER_MEASURE_PER_S = 1000, /* the local APIC's timer is measured for 1 ms */
    APIC_REGISTERS_BYTES = PAGE_BYTES,
    TRAMPOLINE_LOWEST = 0x10000, /* firmware may write to the first 64 KiB behind our back */
    TRAMPOLINE_END = 0xa0000,
};
#define CHECK_IN_NS       (5ull * NS_PER_S)
#define APIC_BASE_ADDRESS 0xffffff000ull
#define APIC_BASE_X2APIC  (1u << 10)

struct x86_cpu *cpus[CORE_MAX];
static unsigned running_count = 1;

unsigned core_count(void)
{
    return running_count;
}

/* ---- Each core ------------------------------------------------------------------------------- */

static bool create_interrupt_stacks(struct x86_cpu *cpu, unsigned number)
{
    static const char *const names[IST_COUNT] = { "interrupts", "exceptions", "nmi", "double fault",
                                                  "machine check" };
    for (unsigned i = 0; i < IST_COUNT; i++) {
        struct stack *stack = stack_create(IST_STACK_BYTES, "core %u %s", number, names[i]);
        if (!stack)
            return false;
        cpu->stack_tops[i] = stack_top(stack);
    }
    return true;
}

void smp_init_boot_core(void)
{
    struct x86_cpu *cpu = cpu_current();
    stack_add_boot();
    if (!create_interrupt_stacks(cpu, 0))
        platform_panic(__FILE__, __LINE__, "no memory for the stacks of interrupts");
    descriptors_set_stacks(&cpu->descriptors, cpu->stack_tops);

    uint64_t base = msr_read(MSR_APIC_BASE);
    void *registers = NULL;
    if (!cpu_features.x2apic && !(base & APIC_BASE_X2APIC)) {
        registers = mmio_map(base & APIC_BASE_ADDRESS, APIC_REGISTERS_BYTES);
        CHECK(registers != NULL);
    }
    interrupt_init();
    interrupt_init_core(cpu);
    apic_init(registers, clock_frequency_hz() / TIMER_MEASURE_PER_S);
    cpu->apic_id = apic_id();
    atomic_store(&cpu->checked_in, true);
    sleep_init_core(cpu);
    interrupts_on();
}

/* The other cores begin here, on their own stack. */
void core_main(struct x86_cpu *cpu)
{
    cpu_init_core(cpu);
    descriptors_init_core(&cpu->descriptors, cpu->stack_tops);
    paging_init_core();
    apic_init_core();
    sleep_init_core(cpu);
    atomic_store_explicit(&cpu->checked_in, true, memory_order_release);
    interrupts_on();

    void (*entry)(void *argument);
    while ((entry = atomic_load_explicit(&cpu->entry, memory_order_acquire)) == NULL)
        core_idle(UINT64_MAX);
    entry(cpu->argument);
    platform_panic(__FILE__, __LINE__, "a core has nothing more to do");
}

void core_start(unsigned core, void (*entry)(void *arg), void *arg)
{
    CHECK(core > 0 && core < running_count);
    cpus[core]->argument = arg;
    atomic_store_explicit(&cpus[core]->entry, entry, memory_order_release);
    core_wake(core);
}

/* ---- Core 0 starts the others ---------------------------------------------------------------- */

static struct x86_cpu *cpu_create(uint32_t id, unsigned number)
{
    struct x86_cpu *cpu = memory_alloc(sizeof(*cpu), CACHE_LINE_BYTES, MEMORY_CORE);
    if (!cpu)
        return NULL;
    cpu->apic_id = id;
    cpu->cpu.index = number;
    cpu->cpu.trace = memory_alloc(sizeof(*cpu->cpu.trace), 0, MEMORY_LOG);
    cpu->cpu.log = memory_alloc(sizeof(*cpu->cpu.log), 0, MEMORY_LOG);
    interrupt_init_core(cpu);
    return cpu;
}

/* Fills the slot of a core; false: no memory, it stays parked. What was taken stays taken. */
static bool offer(struct core_slot *slot, uint32_t id, unsigned number)
{
    struct x86_cpu *cpu = cpu_create(id, number);
    if (!cpu || !create_interrupt_stacks(cpu, number))
        return false;
    struct stack *stack = stack_create(CORE_STACK_BYTES, "core %u", number);
    if (!stack)
        return false;
    slot->apic_id = id;
    slot->stack_top = (void *)stack_top(stack);
    slot->argument = cpu;
    atomic_store_explicit(&slot->state, CORE_SLOT_OFFERED, memory_order_release);
    return true;
}

static bool is_module(const struct boot_info *info, uint64_t page)
{
    for (unsigned i = 0; i < info->module_count; i++) {
        const struct boot_module *module = &info->modules[i];
        if (module->address < page + PAGE_BYTES && page < module->address + module->size_bytes)
            return true;
    }
    return false;
}

/* A page of RAM below 1 MiB, where cores begin; 0: none. The page allocator leaves all of it alone.
 */
static uint64_t find_trampoline(const struct boot_info *info)
{
    for (unsigned i = 0; i < info->memory_count; i++) {
        const struct boot_memory *area = &info->memory[i];
        uint64_t end = MIN_OF(area->base + area->length_bytes, (uint64_t)TRAMPOLINE_END);
        uint64_t page = MAX_OF(area->base, (uint64_t)TRAMPOLINE_LOWEST);
        page = (page + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
        for (; area->kind == BOOT_MEMORY_RAM && page + PAGE_BYTES <= end; page += PAGE_BYTES) {
            if (!is_module(info, page))
                return page;
        }
    }
    return 0;
}

static unsigned cores_wanted(const struct boot_info *info)
{
    char text[16];
    uint64_t wanted;
    if (!boot_option(info, "cores", text, sizeof(text)))
        return CORE_MAX;
    if (!text_to_u64(text, strlen(text), UINT32_MAX, &wanted) || wanted == 0) {
        log_warning("boot", "cores=%s is not a number of cores", text);
        return CORE_MAX;
    }
    return (unsigned)MIN_OF(wanted, (uint64_t)CORE_MAX);
}

static bool is_waiting_for(const struct core_slot *slot)
{
    const struct x86_cpu *cpu = slot->argument;
    return !atomic_load_explicit(&cpu->checked_in, memory_order_acquire);
}

static unsigned count_waiting(unsigned slot_count)
{
    unsigned waiting = 0;
    for (unsigned i = 0; i < slot_count; i++)
        waiting += is_waiting_for(&core_slots[i]);
    return waiting;
}

static void send_startups(unsigned slot_count, uint64_t trampoline)
{
    for (unsigned i = 0; i < slot_count; i++) {
        uint32_t state = atomic_load_explicit(&core_slots[i].state, memory_order_relaxed);
        if (state == CORE_SLOT_OFFERED)
            apic_send_startup(core_slots[i].apic_id, trampoline);
    }
}

static void wait_for_cores(unsigned slot_count, uint64_t trampoline)
{
    uint64_t give_up_ns = clock_ns() + CHECK_IN_NS;
    uint64_t again_ns = clock_ns() + STARTUP_AGAIN_NS;
    while (count_waiting(slot_count) > 0 && clock_ns() < give_up_ns) {
        if (clock_ns() >= again_ns) {
            send_startups(slot_count, trampoline);
            again_ns += STARTUP_AGAIN_NS;
        }
        core_relax();
    }
}

/* Those who came get their numbers; the others lose their slot. */
static void close_slots(unsigned slot_count)
{
    for (unsigned i = 0; i < slot_count; i++) {
        struct core_slot *slot = &core_slots[i];
        struct x86_cpu *cpu = slot->argument;
        uint32_t offered = CORE_SLOT_OFFERED;
        atomic_compare_exchange_strong(&slot->state, &offered, CORE_SLOT_WITHDRAWN);
        if (is_waiting_for(slot)) {
            /* One that has taken its slot and hangs on the way keeps its stack. */
            log_error("boot", "the core with APIC id %u did not start", slot->apic_id);
            continue;
        }
        cpu->cpu.index = running_count;
        cpus[running_count++] = cpu;
    }
}

/* Each watches the next, the last one the first. */
static void introduce_neighbors(void)
{
    for (unsigned i = 0; running_count > 1 && i < running_count; i++)
        atomic_store_explicit(&cpus[i]->neighbor, cpus[(i + 1) % running_count],
                              memory_order_release);
}

void smp_start(const struct boot_info *info)
{
    const struct acpi_info *acpi = acpi_get();
    unsigned wanted = cores_wanted(info);
    uint64_t trampoline = find_trampoline(info);
    unsigned slot_count = 0;

    if (trampoline == 0) {
        log_error("boot", "no RAM below 1 MiB to start other cores in");
        return;
    }
    memcpy(memory_at(trampoline), trampoline_start, (size_t)(trampoline_end - trampoline_start));
    for (unsigned i = 0; i < acpi->processor_count && slot_count + 1 < wanted; i++) {
        uint32_t id = acpi->processors[i].apic_id;
        if (id == cpus[0]->apic_id)
            continue;
        if (id > apic_id_max())
            log_warning("boot", "no interrupt reaches the core with APIC id %u", id);
        else if (offer(&core_slots[slot_count], id, slot_count + 1))
            slot_count++;
    }
    if (wanted == CORE_MAX && acpi->processor_count > CORE_MAX)
        log_warning("boot", "of %u cores the first %u are started, the others stay parked",
                    acpi->processor_count, CORE_MAX);
    for (unsigned i = 0; i < slot_count; i++)
        apic_send_init(core_slots[i].apic_id);
    if (slot_count > 0)
        clock_delay_ns(STARTUP_DELAY_NS);
    send_startups(slot_count, trampoline);
    wait_for_cores(slot_count, trampoline);
    close_slots(slot_count);
    introduce_neighbors();
}
