/* The consoles of this machine, and the words that appear on them before there is a shell. */
#pragma once

#include "boot/boot_info.h"
#include "kernel/base/types.h"
#include "shell/shell.h"

/* Opens those that `console=com1` (the default) and `console=vga` in the command line name and that
 * are there. */
void consoles_create(const struct boot_info *info);

/* One session on each. */
void consoles_open_sessions(struct shell *shell);

void consoles_print(const char *format, ...) PRINTF_LIKE(1, 2);
