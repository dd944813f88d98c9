/* Misuse of memory on purpose, for system tests of the debug allocator: the command `selftest`,
 * there only with `test` on the kernel's command line. */
#pragma once

#include "kernel/base/types.h"

/* "double-free", "leak", "overrun", "use-after-free". UNSUPPORTED: this build would not survive it.
 */
enum error selftest_memory(const char *word) MUST_CHECK;
