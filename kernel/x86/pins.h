/* I/O APICs: interrupts that come over wires. Intel 82093AA datasheet, section 3.
 *
 * A pin has a global number (ACPI calls it global system interrupt). Several interrupts may share a
 * level-triggered pin: when it comes, each of them counts and wakes its core. */
#pragma once

#include "kernel/base/types.h"

enum {
    PIN_MAX = 256,      /* global numbers; pins beyond are left alone */
    PIN_TRIAL_MAX = 32, /* VECTOR_TRIAL to VECTOR_TRIAL_END */
};

/* Core 0, once, after acpi_init() and apic_init(): all pins masked. */
void pins_init(void);

/* ---- interrupt_pins.c: the registers; any core, handlers included ---------------------------- */

struct pin_wiring {
    uint8_t vector;
    uint32_t apic_id; /* to whom; at most 254 */
    bool level;
    bool active_low;
};

bool pins_add_io_apic(volatile void *registers, uint32_t first_pin); /* false: no room */
bool pin_exists(unsigned pin);
void pin_connect(unsigned pin, const struct pin_wiring *wiring); /* and unmasks it */
void pin_mask(unsigned pin);
void pin_unmask(unsigned pin);

/* The first of the interrupts that share the pin, or -1. */
int pin_owner(unsigned pin);
void pin_set_owner(unsigned pin, int interrupt);
void pin_disconnect(int interrupt);

/* From handlers. */
void pin_came(unsigned pin);
void pin_trial_came(unsigned candidate);

/* A trial: candidates that came since it began, a bit each. */
void pin_trial_begin(const unsigned *pins, unsigned count, uint32_t apic_id,
                     const bool *active_low);
uint32_t pin_trial_seen(void);
void pin_trial_end(void);
