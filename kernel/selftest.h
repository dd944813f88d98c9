/* Deliberate mistakes, so that a test can see each end in the right panic: `test selftest=WORD` on
 * the command line. */
#pragma once

#include "boot/boot_info.h"

/* Nothing without both words. */
void selftest_run(const struct boot_info *info);
