/* The other cores: found in the MADT, started all at once, parked until they are given work. */
#pragma once

#include "boot/boot_info.h"

/* Core 0, before interrupts come: its own stacks for them, local APIC, timer; interrupts on. After
 * clock_init(). Panics where there is no memory. */
void smp_init_boot_core(void);

/* Core 0, then: starts the others, at most as many as `cores=N` in the command line allows, and
 * waits for them to check in, 5 s at most. One that comes later halts for good. */
void smp_start(const struct boot_info *info);
