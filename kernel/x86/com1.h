/* The first serial port, polled: for panics and the first words of the boot. What drivers/ has for
 * it is for consoles. */
#pragma once

#include "kernel/base/types.h"

void com1_init(void);

/* LF becomes CR LF. Gives up on a port that is absent or never ready. */
void com1_write(const char *text, size_t length);
