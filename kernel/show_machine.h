/* Commands about the machine under the router: show pci, boot, acpi, memory leaks, memory pages,
 * memory stacks; and with `test` on the command line, selftest. main.c joins them to the
 * shell's. */
#pragma once

struct boot_info;
struct command_table;
struct pci_bus;

extern const struct command_table machine_commands;

/* What the commands tell about; both must stay. */
void show_machine_init(const struct boot_info *boot, const struct pci_bus *bus);
