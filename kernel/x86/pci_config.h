/* pci_config_read() and pci_config_write() of the seam: through memory (ECAM) where the MCFG table
 * tells of it, else through ports 0xCF8 and 0xCFC, which reach segment 0 and the first 256 bytes.
 */
#pragma once

#include "kernel/x86/acpi_tables.h"

/* Once, after acpi_init() and once mmio_map() works. Before, all goes through the ports. */
void pci_config_init(const struct acpi_info *info);
