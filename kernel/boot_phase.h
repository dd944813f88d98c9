/* How long each part of the boot took, for `show boot`: `boot_phase("acpi")` where a part begins;
 * the one before ends there. Counts TSC cycles, so it works before the clock does. */
#pragma once

#include "kernel/base/types.h"

enum { BOOT_PHASE_MAX = 32 }; /* more are not kept */

/* first_cycles: TSC at the kernel's first instruction, where the first phase ("entry") begins. */
void boot_phase_start(uint64_t first_cycles);
void boot_phase(const char *name); /* a literal */
void boot_phase_end(void);         /* forwarding is up */

struct boot_phase_time {
    const char *name;
    uint64_t start_ns; /* since the first instruction */
    uint64_t length_ns;
};
unsigned boot_phase_count(void);
struct boot_phase_time boot_phase_get(unsigned index);
