/* Every driver there is. A device is offered to them in this order. */
#include "drivers/driver_table.h"

const struct pci_driver *const pci_drivers[] = { &virtio_net_driver, &e1000_driver, &e1000e_driver,
                                                 &igb_driver };
const unsigned pci_driver_count = ARRAY_COUNT(pci_drivers);
