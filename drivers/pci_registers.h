/* Configuration space: PCI Local Bus 3.0, chapter 6 and appendix D; PCI-to-PCI Bridge 1.2, 3.2. */
#pragma once

enum pci_register {
    PCI_VENDOR = 0x00,
    PCI_DEVICE = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08, /* and the class code in the three bytes above */
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR_FIRST = 0x10,
    PCI_SECONDARY_BUS = 0x19, /* bridges */
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM = 0x2e,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_HEADER_END = 0x40,
};

enum pci_command {
    PCI_COMMAND_IO = 1 << 0,
    PCI_COMMAND_MEMORY = 1 << 1,
    PCI_COMMAND_MASTER = 1 << 2,
    PCI_COMMAND_PIN_OFF = 1 << 10, /* no INTx */
};

enum {
    PCI_STATUS_CAPABILITIES = 1 << 4,
    PCI_HEADER_MANY_FUNCTIONS = 1 << 7,
    PCI_HEADER_KIND_MASK = 0x7f,
    PCI_HEADER_DEVICE = 0,
    PCI_HEADER_BRIDGE = 1,
    PCI_CLASS_HOST_BRIDGE = 0x0600, /* class code >> 8 */
};

/* 6.2.5.1 */
enum {
    PCI_BAR_IO = 1 << 0,
    PCI_BAR_KIND_MASK = 3 << 1,
    PCI_BAR_KIND_64 = 2 << 1,
    PCI_BAR_IO_FLAGS = 0x3,
    PCI_BAR_MEMORY_FLAGS = 0xf,
};

/* 6.8.1: offsets from the capability */
enum pci_msi {
    PCI_CAPABILITY_MSI = 0x05,
    MSI_CONTROL = 2,
    MSI_ENABLE = 1 << 0,
    MSI_COUNT_MASK = 7 << 4, /* messages we may use, as a power of two */
    MSI_WIDE = 1 << 7,       /* 64-bit address */
    MSI_MASKABLE = 1 << 8,
    MSI_ADDRESS = 4,
    MSI_ADDRESS_HIGH = 8,
    MSI_DATA = 8, /* 4 further on where the address is wide; so is the mask */
    MSI_MASK = 12,
};

/* 6.8.2 */
enum pci_msix_register {
    PCI_CAPABILITY_MSIX = 0x11,
    MSIX_CONTROL = 2,
    MSIX_COUNT_MASK = 0x7ff, /* entries - 1 */
    MSIX_ALL_MASKED = 1 << 14,
    MSIX_ENABLE = 1 << 15,
    MSIX_TABLE = 4,
    MSIX_TABLE_BAR_MASK = 7,
    MSIX_ENTRY_BYTES = 16,
    MSIX_ENTRY_WORDS = 4, /* address, its upper half, data, control */
    MSIX_ENTRY_MASKED = 1 << 0,
};
