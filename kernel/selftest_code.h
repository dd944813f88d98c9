/* Does the machine's memory for code keep its promises (kernel/platform.h)? Among the self-tests
 * the one that ends well, where it is called `code`; else in a panic. */
#pragma once

void selftest_code(void);
