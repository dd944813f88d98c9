/* What handlers do, and the handles of device interrupts.
 *
 * A device interrupt wakes a core and counts; no driver has code that runs here. A message (MSI)
 * comes by a vector of its own on the core that it wakes. Pins are in interrupt_pins.c.
 *
 * Handles are given out and taken back by the control core alone. */
#include "kernel/x86/interrupt.h"

#include "kernel/panic.h"
#include "kernel/platform.h"
#include "kernel/x86/apic.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/pins.h"
#include "kernel/x86/registers.h"
#include "kernel/x86/sleep.h"

/* Intel SDM volume 3, 11.11: messages. */
enum {
    MESSAGE_ADDRESS_SHIFT = 12,
};
#define MESSAGE_ADDRESS 0xfee00000ull

/* Intel 8259A datasheet, on the ports of a PC. */
enum legacy_pic {
    PIC_FIRST_COMMAND = 0x20,
    PIC_FIRST_DATA = 0x21,
    PIC_SECOND_COMMAND = 0xa0,
    PIC_SECOND_DATA = 0xa1,
    PIC_INITIALIZE = 0x11,
    PIC_SECOND_ON_LINE_2 = 0x04,
    PIC_SECOND_IDENTITY = 2,
    PIC_8086 = 0x01,
    PIC_MASK_ALL = 0xff,
    PIC_VECTORS = 8,
};

struct interrupt interrupts[INTERRUPT_MAX];
_Atomic bool interrupt_stop_requested;

/* ---- Handlers -------------------------------------------------------------------------------- */

static void stop_for_panic(struct x86_cpu *cpu, struct interrupt_frame *frame)
{
    cpu->stopped_at = frame;
    atomic_store_explicit(&cpu->stopped, true, memory_order_release);
    halt_for_good();
}

static void came(struct interrupt *interrupt)
{
    interrupt->count++;
    sleep_wake(cpus[interrupt->core]);
}

static void device_came(struct x86_cpu *cpu, unsigned vector)
{
    int handle = cpu->interrupts[vector - VECTOR_DEVICE];
    if (handle < 0)
        return;
    if (interrupts[handle].pin < 0) {
        came(&interrupts[handle]);
        return;
    }
    pin_came((unsigned)interrupts[handle].pin);
    for (; handle >= 0; handle = interrupts[handle].next_on_pin)
        came(&interrupts[handle]);
}

void interrupt_dispatch(struct interrupt_frame *frame)
{
    struct x86_cpu *cpu = cpu_current();
    unsigned vector = (unsigned)frame->vector;

    if (vector < VECTOR_EXCEPTIONS) {
        if (vector == VECTOR_NMI &&
            atomic_load_explicit(&interrupt_stop_requested, memory_order_acquire))
            stop_for_panic(cpu, frame);
        if (vector == VECTOR_NMI && sleep_nudge_came(cpu, frame))
            return;
        panic_exception(frame);
    }
    if (vector == VECTOR_SPURIOUS || (vector >= VECTOR_LEGACY && vector < VECTOR_TIMER))
        return; /* Intel SDM volume 3, 11.9: not acknowledged */

    if (vector == VECTOR_TIMER)
        sleep_timer_came(cpu, frame);
    else if (vector >= VECTOR_DEVICE && vector < VECTOR_DEVICE_END)
        device_came(cpu, vector);
    else if (vector < VECTOR_TRIAL_END)
        pin_trial_came(vector - VECTOR_TRIAL);
    /* else VECTOR_WAKE: having come is all */
    apic_acknowledge();
}

/* ---- Handles --------------------------------------------------------------------------------- */

/* The old controllers get vectors of their own and are masked: the I/O APICs do their work. */
static void silence_legacy(void)
{
    port_write8(PIC_FIRST_COMMAND, PIC_INITIALIZE);
    port_write8(PIC_SECOND_COMMAND, PIC_INITIALIZE);
    port_write8(PIC_FIRST_DATA, VECTOR_LEGACY);
    port_write8(PIC_SECOND_DATA, VECTOR_LEGACY + PIC_VECTORS);
    port_write8(PIC_FIRST_DATA, PIC_SECOND_ON_LINE_2);
    port_write8(PIC_SECOND_DATA, PIC_SECOND_IDENTITY);
    port_write8(PIC_FIRST_DATA, PIC_8086);
    port_write8(PIC_SECOND_DATA, PIC_8086);
    port_write8(PIC_FIRST_DATA, PIC_MASK_ALL);
    port_write8(PIC_SECOND_DATA, PIC_MASK_ALL);
}

void interrupt_init(void)
{
    silence_legacy();
}

void interrupt_init_core(struct x86_cpu *cpu)
{
    for (unsigned i = 0; i < ARRAY_COUNT(cpu->interrupts); i++)
        cpu->interrupts[i] = -1;
}

int interrupt_alloc(unsigned core)
{
    struct x86_cpu *cpu = cpus[core];
    unsigned handle = 0;
    unsigned vector = 0;

    while (handle < INTERRUPT_MAX && interrupts[handle].used)
        handle++;
    while (vector < ARRAY_COUNT(cpu->interrupts) && cpu->interrupts[vector] >= 0)
        vector++;
    if (handle == INTERRUPT_MAX || vector == ARRAY_COUNT(cpu->interrupts))
        return -1;
    interrupts[handle] = (struct interrupt){ .used = true,
                                             .core = (uint16_t)core,
                                             .vector = (uint8_t)(VECTOR_DEVICE + vector),
                                             .pin = -1,
                                             .next_on_pin = -1 };
    atomic_signal_fence(memory_order_seq_cst);
    cpu->interrupts[vector] = (int16_t)handle;
    return (int)handle;
}

void interrupt_free(int handle)
{
    struct interrupt *interrupt = &interrupts[handle];
    CHECK(handle >= 0 && handle < INTERRUPT_MAX && interrupt->used);
    if (interrupt->pin >= 0)
        pin_disconnect(handle);
    cpus[interrupt->core]->interrupts[interrupt->vector - VECTOR_DEVICE] = -1;
    interrupt->used = false;
}

uint64_t interrupt_count(int handle)
{
    return interrupts[handle].count;
}

bool interrupt_message(int handle, uint64_t *address, uint32_t *data)
{
    const struct interrupt *interrupt = &interrupts[handle];
    uint32_t apic_id = cpus[interrupt->core]->apic_id;
    if (apic_id > APIC_MESSAGE_ID_MAX)
        return false;
    *address = MESSAGE_ADDRESS | (uint64_t)apic_id << MESSAGE_ADDRESS_SHIFT;
    *data = interrupt->vector;
    return true;
}
