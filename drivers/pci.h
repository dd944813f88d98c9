/* PCI: enumeration behind bridges, base addresses, capabilities, message interrupts.
 * Source: PCI Local Bus 3.0, chapter 6; PCI-to-PCI Bridge 1.2; PCI Express Base 5.0, 7.5. */
#pragma once

#include "kernel/base/types.h"
#include "kernel/platform.h"

enum {
    PCI_DEVICE_MAX = 256, /* functions we keep; more are counted and left alone */
    PCI_BAR_MAX = 6,
};

struct pci_bar {
    uint64_t address; /* physical, or port number; 0 with size 0: absent or never assigned */
    uint64_t size_bytes;
    bool io;
    bool wide; /* 64-bit: the next entry is its upper half and absent */
};

struct nic;

struct pci_device {
    struct pci_address address;
    uint16_t vendor, device, subsystem_vendor, subsystem_device;
    uint32_t class_code; /* base << 16 | sub << 8 | interface */
    uint8_t revision, header_type;
    uint8_t interrupt_line, interrupt_pin;
    struct pci_bar bars[PCI_BAR_MAX];
    const char *driver;  /* who drives it, or NULL */
    const char *why_not; /* why a driver that knows it gave it up, or NULL */
};

struct pci_bus {
    unsigned device_count;
    unsigned ignored_count;                    /* beyond PCI_DEVICE_MAX */
    struct pci_device devices[PCI_DEVICE_MAX]; /* in the order of segment, bus, device, function */
};

/* Finds all functions; sizes BARs with decoding off. */
void pci_scan(struct pci_bus *bus);

uint32_t pci_read(const struct pci_device *device, unsigned offset, unsigned size);
void pci_write(const struct pci_device *device, unsigned offset, unsigned size, uint32_t value);

/* Offset of the next capability with that id after `after` (0: from the start), or 0. Bounded
 * against loops. */
unsigned pci_capability(const struct pci_device *device, uint8_t id, unsigned after);

/* Memory and I/O decoding and bus mastering on, or all off. */
void pci_enable(const struct pci_device *device);
void pci_disable(const struct pci_device *device);

/* Registers of a memory BAR, or NULL where it is absent, an I/O BAR, or shorter than size. */
void *pci_map_bar(const struct pci_device *device, unsigned bar, size_t size) MUST_CHECK;

/* MSI-X: entries in the table, 0 where there is none; entry -> interrupt; all masked until set. */
struct pci_msix {
    volatile uint32_t *table;
    unsigned entry_count;
    unsigned capability;
};
enum error pci_msix_open(const struct pci_device *device, struct pci_msix *msix) MUST_CHECK;
enum error pci_msix_set(struct pci_msix *msix, unsigned entry, int interrupt) MUST_CHECK;
void pci_msix_close(const struct pci_device *device, struct pci_msix *msix);

/* Plain MSI, one message; UNSUPPORTED where the device has none. */
enum error pci_msi_set(const struct pci_device *device, int interrupt) MUST_CHECK;
void pci_msi_clear(const struct pci_device *device);

struct pci_id {
    uint16_t vendor, device;
};

/* A driver: what it knows and how it starts. Explicit list in driver_table.c. */
struct pci_driver {
    const char *name;
    const struct pci_id *ids; /* ends with vendor 0 */
    /* A card ready to be opened, or NULL; then *why says so in words. Must come back in bounded
     * time from a mute device. */
    struct nic *(*probe)(struct pci_device *device, const char **why);
    void (*remove)(struct nic *nic); /* closed before */
};

extern const struct pci_driver *const pci_drivers[];
extern const unsigned pci_driver_count;

/* Offers every device to the drivers, in order; at most max cards. */
unsigned pci_probe_nics(struct pci_bus *bus, struct nic **nics, unsigned max);
