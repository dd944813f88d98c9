/* The end: says what happened and stops the machine.
 *
 * The text goes to COM1 by polling and to the screen, if there is one: cause, registers, backtrace
 * with function names, the other cores (stopped by NMI), and the last trace events of each core.
 * Then the machine halts; with the word `test` on the command line QEMU ends with status 255. */
#pragma once

#include "kernel/base/types.h"

struct interrupt_frame;

/* frame: where it happened; NULL where no registers were kept. */
_Noreturn void panic_at(const struct interrupt_frame *frame, const char *cause);

/* What the processor complained about; ends in panic_at(). */
_Noreturn void panic_exception(const struct interrupt_frame *frame);

/* Shows panics on a screen as well. It is called with interrupts off, whatever the screen's owner
 * was doing. */
void panic_set_screen(void (*write)(const char *text, size_t length));

/* How it ends other than by halting: QEMU by isa-debug-exit, as the word `test` wants; a restart,
 * as `system watchdog` wants. */
void panic_set_test(bool test);
void panic_set_restart(bool restart);
