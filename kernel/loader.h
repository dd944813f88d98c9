/* From what the loader left in memory to struct boot_info. */
#pragma once

#include "boot/boot_info.h"

/* Once, on core 0, while the boot page tables hold. Panics where the loader told of no RAM. */
void loader_read(struct boot_info *info, unsigned protocol, uint64_t information);
