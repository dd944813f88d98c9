/* The terminal that the process was started on, as the router's console. */
#pragma once

#include "shell/shell.h"

/* Raw while it is a terminal, as it was before once the process ends. Wakes core 0 when a key is
 * pressed. */
void terminal_start(struct terminal_io *terminal);
