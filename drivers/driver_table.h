/* The drivers by name, for driver_table.c and for tests of one of them. */
#pragma once

#include "drivers/pci.h"

extern const struct pci_driver virtio_net_driver;
extern const struct pci_driver e1000_driver;
extern const struct pci_driver e1000e_driver;
extern const struct pci_driver igb_driver;
