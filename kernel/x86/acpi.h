/* The machine's ACPI: its tables, power off, restart, and the power button. */
#pragma once

#include "boot/boot_info.h"
#include "kernel/x86/acpi_tables.h"

/* Once, on core 0, early: RAM and firmware tables must be readable through `physical`. */
void acpi_init(const struct boot_info *info, acpi_physical *physical, void *context);

/* What was found; all zero before acpi_init(). Valid for good. */
const struct acpi_info *acpi_get(void);

/* Needs ports alone, so they work in a panic too. They come back where the machine does not obey.
 */
void acpi_power_off(void);
void acpi_restart(void); /* reset register, keyboard controller, triple fault: the last one works */

/* Lets the power button wake core 0, once interrupts work. False: no fixed power button. */
bool acpi_power_button_enable(void);
/* Was it pressed since the last call? Cheap without an interrupt; any core, but only one. */
bool acpi_power_button_pressed(void);
