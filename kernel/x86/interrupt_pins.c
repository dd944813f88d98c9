/* The registers of I/O APICs. They are reached through a pair of index and data, so a lock guards
 * each access; it is held with interrupts off, because handlers take it too. */
#include <stdatomic.h>

#include "kernel/platform.h"
#include "kernel/spinlock.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/interrupt.h"
#include "kernel/x86/pins.h"
#include "kernel/x86/registers.h"

/* Intel 82093AA datasheet, 3.1 and 3.2. */
enum io_apic_register {
    IO_APIC_INDEX = 0x00,
    IO_APIC_DATA = 0x10,
    IO_APIC_VERSION = 0x01,
    IO_APIC_REDIRECTION = 0x10, /* two registers a pin */
};
enum {
    VERSION_LAST_PIN_SHIFT = 16,
    VERSION_LAST_PIN_MASK = 0xff,
    REDIRECTION_ACTIVE_LOW = 1 << 13,
    REDIRECTION_LEVEL = 1 << 15,
    REDIRECTION_MASKED = 1 << 16,
    REDIRECTION_ID_SHIFT = 24,
};
enum { IO_APIC_MAX = 16 };

struct io_apic {
    volatile uint8_t *registers;
    unsigned first_pin;
    unsigned pin_count;
};

struct pin {
    uint32_t wiring; /* lower half of its redirection entry, without the mask bit */
    int16_t owner;   /* -1: nobody */
};

static struct spinlock lock; /* guards the registers and pins[].wiring */
static struct io_apic io_apics[IO_APIC_MAX];
static unsigned io_apic_count;
static struct pin pins[PIN_MAX];

static struct {
    unsigned count;
    unsigned pins[PIN_TRIAL_MAX];
    _Atomic uint32_t seen;
} trial;

static uint32_t io_apic_read(const struct io_apic *io_apic, unsigned number)
{
    mmio_write32((void *)(uintptr_t)(io_apic->registers + IO_APIC_INDEX), number);
    return mmio_read32(io_apic->registers + IO_APIC_DATA);
}

static void io_apic_write(const struct io_apic *io_apic, unsigned number, uint32_t value)
{
    mmio_write32((void *)(uintptr_t)(io_apic->registers + IO_APIC_INDEX), number);
    mmio_write32((void *)(uintptr_t)(io_apic->registers + IO_APIC_DATA), value);
}

static const struct io_apic *io_apic_of(unsigned pin)
{
    for (unsigned i = 0; i < io_apic_count; i++) {
        if (pin - io_apics[i].first_pin < io_apics[i].pin_count)
            return &io_apics[i];
    }
    return NULL;
}

bool pin_exists(unsigned pin)
{
    return pin < PIN_MAX && io_apic_of(pin) != NULL;
}

/* The half that has the mask bit. */
static void write_low(unsigned pin, uint32_t value)
{
    const struct io_apic *io_apic = io_apic_of(pin);
    io_apic_write(io_apic, IO_APIC_REDIRECTION + 2 * (pin - io_apic->first_pin), value);
}

bool pins_add_io_apic(volatile void *registers, uint32_t first_pin)
{
    if (io_apic_count == IO_APIC_MAX || first_pin >= PIN_MAX)
        return false;
    struct io_apic *io_apic = &io_apics[io_apic_count++];
    io_apic->registers = registers;
    io_apic->first_pin = first_pin;
    uint32_t version = io_apic_read(io_apic, IO_APIC_VERSION);
    unsigned count = (version >> VERSION_LAST_PIN_SHIFT & VERSION_LAST_PIN_MASK) + 1;
    io_apic->pin_count = MIN_OF(count, PIN_MAX - first_pin);
    for (unsigned i = 0; i < io_apic->pin_count; i++) {
        pins[first_pin + i].owner = -1;
        io_apic_write(io_apic, IO_APIC_REDIRECTION + 2 * i, REDIRECTION_MASKED);
    }
    return true;
}

static void connect_locked(unsigned pin, const struct pin_wiring *wiring)
{
    const struct io_apic *io_apic = io_apic_of(pin);
    unsigned number = IO_APIC_REDIRECTION + 2 * (pin - io_apic->first_pin);
    pins[pin].wiring = wiring->vector | (wiring->level ? REDIRECTION_LEVEL : 0) |
                       (wiring->active_low ? REDIRECTION_ACTIVE_LOW : 0);
    io_apic_write(io_apic, number, REDIRECTION_MASKED);
    io_apic_write(io_apic, number + 1, wiring->apic_id << REDIRECTION_ID_SHIFT);
    io_apic_write(io_apic, number, pins[pin].wiring);
}

void pin_connect(unsigned pin, const struct pin_wiring *wiring)
{
    uint64_t flags = interrupts_off();
    spinlock_take(&lock);
    connect_locked(pin, wiring);
    spinlock_release(&lock);
    interrupts_restore(flags);
}

static void set_masked(unsigned pin, bool masked)
{
    uint64_t flags = interrupts_off();
    spinlock_take(&lock);
    write_low(pin, pins[pin].wiring | (masked ? REDIRECTION_MASKED : 0));
    spinlock_release(&lock);
    interrupts_restore(flags);
}

void pin_mask(unsigned pin)
{
    set_masked(pin, true);
}

void pin_unmask(unsigned pin)
{
    set_masked(pin, false);
}

int pin_owner(unsigned pin)
{
    return pins[pin].owner;
}

void pin_set_owner(unsigned pin, int interrupt)
{
    pins[pin].owner = (int16_t)interrupt;
}

/* ---- Handlers -------------------------------------------------------------------------------- */

void pin_came(unsigned pin)
{
    if (pins[pin].wiring & REDIRECTION_LEVEL)
        pin_mask(pin); /* it would come again at once: the device is not quiet yet */
}

void pin_trial_came(unsigned candidate)
{
    if (candidate >= trial.count)
        return;
    pin_mask(trial.pins[candidate]);
    atomic_fetch_or_explicit(&trial.seen, 1u << candidate, memory_order_release);
}

/* ---- Trial ----------------------------------------------------------------------------------- */

void pin_trial_begin(const unsigned *candidates, unsigned count, uint32_t apic_id,
                     const bool *active_low)
{
    atomic_store_explicit(&trial.seen, 0, memory_order_relaxed);
    trial.count = count;
    for (unsigned i = 0; i < count; i++)
        trial.pins[i] = candidates[i];
    for (unsigned i = 0; i < count; i++) {
        struct pin_wiring wiring = { (uint8_t)(VECTOR_TRIAL + i), apic_id, true, active_low[i] };
        pin_connect(candidates[i], &wiring);
    }
}

uint32_t pin_trial_seen(void)
{
    return atomic_load_explicit(&trial.seen, memory_order_acquire);
}

void pin_trial_end(void)
{
    for (unsigned i = 0; i < trial.count; i++)
        pin_mask(trial.pins[i]);
    trial.count = 0;
}

/* ---- Sharing --------------------------------------------------------------------------------- */

/* The vector of a pin is its first interrupt's; when that goes, the next one's core takes over. */
void pin_disconnect(int handle)
{
    unsigned pin = (unsigned)interrupts[handle].pin;
    pin_mask(pin);
    int16_t *link = &pins[pin].owner;
    while (*link >= 0 && *link != handle)
        link = &interrupts[*link].next_on_pin;
    if (*link == handle)
        *link = interrupts[handle].next_on_pin;
    interrupts[handle].pin = -1;
    interrupts[handle].next_on_pin = -1;
    if (pins[pin].owner < 0)
        return;

    const struct interrupt *owner = &interrupts[pins[pin].owner];
    pin_connect(pin, &(struct pin_wiring){
                         .vector = owner->vector,
                         .apic_id = cpus[owner->core]->apic_id,
                         .level = pins[pin].wiring & REDIRECTION_LEVEL,
                         .active_low = pins[pin].wiring & REDIRECTION_ACTIVE_LOW,
                     });
}

void interrupt_unmask(int handle)
{
    if (interrupts[handle].pin >= 0)
        pin_unmask((unsigned)interrupts[handle].pin);
}
