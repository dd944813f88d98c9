/* "Has the device called since I last asked?" for the slow ISA devices. Reading a port costs a
 * virtual machine thousands of cycles, and consoles are asked in every step of the control core; so
 * the port is left alone until its interrupt has come. */
#pragma once

#include "kernel/base/types.h"

struct isa_interrupt {
    int handle;    /* -1: none, the device is polled */
    uint64_t seen; /* interrupt_count() when the device was last looked at */
    unsigned skipped;
};

/* Wakes the control core whenever the line rises. Without one left, the device is polled, and the
 * log says so. */
void isa_interrupt_open(struct isa_interrupt *interrupt, unsigned line, const char *device);
void isa_interrupt_close(struct isa_interrupt *interrupt);

/* True when the device is to be looked at: after an interrupt, and now and then without one. */
bool isa_interrupt_due(struct isa_interrupt *interrupt);
