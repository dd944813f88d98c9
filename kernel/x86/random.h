/* random_bytes() of the seam: where its seed comes from. */
#pragma once

#include "boot/boot_info.h"

/* Once, after clock_init(). Says in the log which sources there were. */
void random_init(const struct boot_info *info);
