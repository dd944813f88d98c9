/* See pci.h. Buses are walked in the order of their numbers: a bridge marks the bus behind it as
 * worth a look, and a sane one has a higher number than the bridge's own. So every bus is seen
 * once, whatever the bridges say, and the devices come out in order. */
#include "drivers/pci.h"

#include "drivers/pci_registers.h"
#include "kernel/base/log.h"

enum {
    BUS_COUNT = 256,
    DEVICE_COUNT = 32,
    FUNCTION_COUNT = 8,
    CAPABILITY_MAX = 48, /* what fits behind the header, at 4 bytes each */
    BRIDGE_BAR_COUNT = 2,
};

uint32_t pci_read(const struct pci_device *device, unsigned offset, unsigned size)
{
    return pci_config_read(device->address, offset, size);
}

void pci_write(const struct pci_device *device, unsigned offset, unsigned size, uint32_t value)
{
    pci_config_write(device->address, offset, size, value);
}

/* All ones: nobody answers. 0 and 1 are no vendors either; a device answers 1 while it still
 * starts. */
static bool answers(struct pci_address address)
{
    uint32_t vendor = pci_config_read(address, PCI_VENDOR, 2);
    return vendor != 0xffff && vendor > 1;
}

static void command_change(const struct pci_device *device, uint16_t clear, uint16_t set)
{
    uint16_t command = (uint16_t)pci_read(device, PCI_COMMAND, 2);
    pci_write(device, PCI_COMMAND, 2, (uint16_t)((command & ~clear) | set));
}

/* ---- Base addresses ------------------------------------------------------------------------- */

/* What the register holds, and what it holds after all ones were written: ones where it decodes. */
static uint32_t bar_probe(const struct pci_device *device, unsigned index, uint32_t *mask)
{
    unsigned offset = PCI_BAR_FIRST + 4 * index;
    uint32_t value = pci_read(device, offset, 4);
    pci_write(device, offset, 4, UINT32_MAX);
    *mask = pci_read(device, offset, 4);
    pci_write(device, offset, 4, value);
    return value;
}

static uint64_t lowest_bit(uint64_t mask)
{
    return mask & -mask;
}

/* Reads one BAR, and the next where it is wide; answers how many registers it took. */
static unsigned bar_read(struct pci_device *device, unsigned index, unsigned bar_count)
{
    struct pci_bar *bar = &device->bars[index];
    uint32_t mask;
    uint32_t value = bar_probe(device, index, &mask);
    if (mask == 0)
        return 1;

    if (value & PCI_BAR_IO) {
        bar->io = true;
        bar->address = value & ~(uint32_t)PCI_BAR_IO_FLAGS & UINT16_MAX;
        bar->size_bytes = lowest_bit(mask & ~(uint32_t)PCI_BAR_IO_FLAGS);
    } else {
        bar->wide = (value & PCI_BAR_KIND_MASK) == PCI_BAR_KIND_64;
        uint64_t address = value & ~(uint32_t)PCI_BAR_MEMORY_FLAGS;
        uint64_t wide_mask = mask & ~(uint32_t)PCI_BAR_MEMORY_FLAGS;
        if (bar->wide && index + 1 == bar_count) {
            *bar = (struct pci_bar){ 0 }; /* its upper half would be another register */
            return 1;
        }
        if (bar->wide) {
            uint32_t high_mask;
            address |= (uint64_t)bar_probe(device, index + 1, &high_mask) << 32;
            wide_mask |= (uint64_t)high_mask << 32;
        }
        bar->address = address;
        bar->size_bytes = lowest_bit(wide_mask);
    }
    unsigned taken = bar->wide ? 2 : 1;
    if (bar->address == 0 || bar->size_bytes == 0)
        *bar = (struct pci_bar){ 0 };
    return taken;
}

/* With decoding off, so that the device answers at no address made of ones. */
static void bars_read(struct pci_device *device)
{
    unsigned kind = device->header_type & PCI_HEADER_KIND_MASK;
    unsigned bar_count = kind == PCI_HEADER_DEVICE   ? PCI_BAR_MAX
                         : kind == PCI_HEADER_BRIDGE ? BRIDGE_BAR_COUNT
                                                     : 0;
    /* A host bridge may stop decoding RAM or interrupt controllers. */
    if (device->class_code >> 8 == PCI_CLASS_HOST_BRIDGE)
        return;
    uint16_t command = (uint16_t)pci_read(device, PCI_COMMAND, 2);
    pci_write(device, PCI_COMMAND, 2, command & (uint16_t) ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
    for (unsigned index = 0; index < bar_count;)
        index += bar_read(device, index, bar_count);
    pci_write(device, PCI_COMMAND, 2, command);
}

/* ---- Scan ----------------------------------------------------------------------------------- */

struct scan {
    struct pci_bus *bus;
    bool wanted[BUS_COUNT];
};

static struct pci_device device_read(struct pci_address address)
{
    struct pci_device device = { .address = address };
    device.vendor = (uint16_t)pci_read(&device, PCI_VENDOR, 2);
    device.device = (uint16_t)pci_read(&device, PCI_DEVICE, 2);
    uint32_t revision = pci_read(&device, PCI_REVISION, 4);
    device.class_code = revision >> 8;
    device.revision = (uint8_t)revision;
    device.header_type = (uint8_t)pci_read(&device, PCI_HEADER_TYPE, 1);
    device.interrupt_line = (uint8_t)pci_read(&device, PCI_INTERRUPT_LINE, 1);
    device.interrupt_pin = (uint8_t)pci_read(&device, PCI_INTERRUPT_PIN, 1);
    if ((device.header_type & PCI_HEADER_KIND_MASK) == PCI_HEADER_DEVICE) {
        device.subsystem_vendor = (uint16_t)pci_read(&device, PCI_SUBSYSTEM_VENDOR, 2);
        device.subsystem_device = (uint16_t)pci_read(&device, PCI_SUBSYSTEM, 2);
    }
    bars_read(&device);
    return device;
}

/* False: nobody is there, or went away meanwhile. */
static bool scan_function(struct scan *scan, struct pci_address address, bool *many_functions)
{
    if (!answers(address))
        return false;
    struct pci_device device = device_read(address);
    if (!answers(address))
        return false;
    *many_functions = device.header_type & PCI_HEADER_MANY_FUNCTIONS;
    if ((device.header_type & PCI_HEADER_KIND_MASK) == PCI_HEADER_BRIDGE)
        scan->wanted[pci_read(&device, PCI_SECONDARY_BUS, 1) & 0xff] = true;

    if (scan->bus->device_count == PCI_DEVICE_MAX)
        scan->bus->ignored_count++;
    else
        scan->bus->devices[scan->bus->device_count++] = device;
    return true;
}

static void scan_bus(struct scan *scan, uint8_t bus)
{
    for (uint8_t device = 0; device < DEVICE_COUNT; device++) {
        struct pci_address address = { .bus = bus, .device = device };
        bool many = false, ignored;
        /* Function 0 must exist for the others to. */
        if (!scan_function(scan, address, &many) || !many)
            continue;
        for (address.function = 1; address.function < FUNCTION_COUNT; address.function++)
            (void)scan_function(scan, address, &ignored);
    }
}

void pci_scan(struct pci_bus *bus)
{
    struct scan scan = { .bus = bus, .wanted = { [0] = true } };
    bus->device_count = 0;
    bus->ignored_count = 0;
    for (unsigned number = 0; number < BUS_COUNT; number++)
        if (scan.wanted[number])
            scan_bus(&scan, (uint8_t)number);
    if (bus->ignored_count > 0)
        log_warning("pci", "%u devices beyond the first %u are left alone", bus->ignored_count,
                    bus->device_count);
}

/* ---- One device ----------------------------------------------------------------------------- */

unsigned pci_capability(const struct pci_device *device, uint8_t id, unsigned after)
{
    if (!(pci_read(device, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES))
        return 0;
    unsigned offset = pci_read(device, after ? after + 1 : PCI_CAPABILITIES, 1) & 0xfc;
    for (unsigned i = 0; i < CAPABILITY_MAX && offset >= PCI_HEADER_END; i++) {
        if (pci_read(device, offset, 1) == id)
            return offset;
        offset = pci_read(device, offset + 1, 1) & 0xfc;
    }
    return 0;
}

void pci_enable(const struct pci_device *device)
{
    command_change(device, 0, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void pci_disable(const struct pci_device *device)
{
    command_change(device, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
}

void *pci_map_bar(const struct pci_device *device, unsigned bar, size_t size)
{
    if (bar >= PCI_BAR_MAX || device->bars[bar].io || size == 0 ||
        device->bars[bar].size_bytes < size)
        return NULL;
    return mmio_map(device->bars[bar].address, size);
}

/* ---- MSI-X ---------------------------------------------------------------------------------- */

/* The table, where the device's own words about it hold. */
static void *msix_map(const struct pci_device *device, unsigned capability, unsigned entry_count)
{
    uint32_t where = pci_read(device, capability + MSIX_TABLE, 4);
    unsigned index = where & MSIX_TABLE_BAR_MASK;
    uint64_t offset = where & ~(uint32_t)MSIX_TABLE_BAR_MASK;
    uint64_t size = (uint64_t)entry_count * MSIX_ENTRY_BYTES;
    if (index >= PCI_BAR_MAX)
        return NULL;
    const struct pci_bar *bar = &device->bars[index];
    if (bar->io || offset > bar->size_bytes || size > bar->size_bytes - offset)
        return NULL;
    return mmio_map(bar->address + offset, size);
}

static volatile uint32_t *msix_entry(struct pci_msix *msix, unsigned entry)
{
    return msix->table + (size_t)entry * MSIX_ENTRY_WORDS;
}

enum error pci_msix_open(const struct pci_device *device, struct pci_msix *msix)
{
    *msix = (struct pci_msix){ .table = NULL };
    unsigned capability = pci_capability(device, PCI_CAPABILITY_MSIX, 0);
    if (!capability)
        return ERROR_UNSUPPORTED;
    uint16_t control = (uint16_t)pci_read(device, capability + MSIX_CONTROL, 2);
    unsigned entry_count = (control & MSIX_COUNT_MASK) + 1;
    command_change(device, 0, PCI_COMMAND_MEMORY);
    void *table = msix_map(device, capability, entry_count);
    if (!table)
        return fail(ERROR_DEVICE);

    *msix = (struct pci_msix){ table, entry_count, capability };
    control |= MSIX_ENABLE | MSIX_ALL_MASKED;
    pci_write(device, capability + MSIX_CONTROL, 2, control);
    for (unsigned entry = 0; entry < entry_count; entry++)
        mmio_write32(msix_entry(msix, entry) + 3, MSIX_ENTRY_MASKED);
    pci_write(device, capability + MSIX_CONTROL, 2, control & (uint16_t)~MSIX_ALL_MASKED);
    command_change(device, 0, PCI_COMMAND_PIN_OFF);
    return OK;
}

enum error pci_msix_set(struct pci_msix *msix, unsigned entry, int interrupt)
{
    uint64_t address;
    uint32_t data;
    if (entry >= msix->entry_count)
        return fail(ERROR_BAD_VALUE);
    if (!interrupt_message(interrupt, &address, &data))
        return fail(ERROR_UNSUPPORTED);
    volatile uint32_t *words = msix_entry(msix, entry);
    mmio_write32(words, (uint32_t)address);
    mmio_write32(words + 1, (uint32_t)(address >> 32));
    mmio_write32(words + 2, data);
    mmio_write32(words + 3, 0);
    return OK;
}

void pci_msix_close(const struct pci_device *device, struct pci_msix *msix)
{
    if (!msix->table)
        return;
    for (unsigned entry = 0; entry < msix->entry_count; entry++)
        mmio_write32(msix_entry(msix, entry) + 3, MSIX_ENTRY_MASKED);
    uint16_t control = (uint16_t)pci_read(device, msix->capability + MSIX_CONTROL, 2);
    pci_write(device, msix->capability + MSIX_CONTROL, 2, control & (uint16_t)~MSIX_ENABLE);
    command_change(device, PCI_COMMAND_PIN_OFF, 0);
    *msix = (struct pci_msix){ .table = NULL };
}

/* ---- MSI ------------------------------------------------------------------------------------ */

enum error pci_msi_set(const struct pci_device *device, int interrupt)
{
    uint64_t address;
    uint32_t data;
    unsigned capability = pci_capability(device, PCI_CAPABILITY_MSI, 0);
    if (!capability || !interrupt_message(interrupt, &address, &data))
        return ERROR_UNSUPPORTED;
    uint16_t control = (uint16_t)pci_read(device, capability + MSI_CONTROL, 2);
    bool wide = control & MSI_WIDE;
    unsigned shift = wide ? 4 : 0;
    if (!wide && address >> 32 != 0)
        return fail(ERROR_UNSUPPORTED);

    control &= (uint16_t) ~(MSI_ENABLE | MSI_COUNT_MASK); /* one message */
    pci_write(device, capability + MSI_CONTROL, 2, control);
    pci_write(device, capability + MSI_ADDRESS, 4, (uint32_t)address);
    if (wide)
        pci_write(device, capability + MSI_ADDRESS_HIGH, 4, (uint32_t)(address >> 32));
    pci_write(device, capability + MSI_DATA + shift, 2, data);
    if (control & MSI_MASKABLE)
        pci_write(device, capability + MSI_MASK + shift, 4, 0);
    pci_write(device, capability + MSI_CONTROL, 2, control | MSI_ENABLE);
    command_change(device, 0, PCI_COMMAND_PIN_OFF);
    return OK;
}

void pci_msi_clear(const struct pci_device *device)
{
    unsigned capability = pci_capability(device, PCI_CAPABILITY_MSI, 0);
    if (!capability)
        return;
    uint16_t control = (uint16_t)pci_read(device, capability + MSI_CONTROL, 2);
    pci_write(device, capability + MSI_CONTROL, 2, control & (uint16_t)~MSI_ENABLE);
    command_change(device, PCI_COMMAND_PIN_OFF, 0);
}

/* ---- Drivers -------------------------------------------------------------------------------- */

static bool driver_knows(const struct pci_driver *driver, const struct pci_device *device)
{
    for (const struct pci_id *id = driver->ids; id->vendor != 0; id++)
        if (id->vendor == device->vendor && id->device == device->device)
            return true;
    return false;
}

static struct nic *probe_device(struct pci_device *device)
{
    for (unsigned i = 0; i < pci_driver_count; i++) {
        const struct pci_driver *driver = pci_drivers[i];
        if (!driver_knows(driver, device))
            continue;
        const char *why = "no reason given";
        struct nic *nic = driver->probe(device, &why);
        if (nic) {
            device->driver = driver->name;
            device->why_not = NULL;
            return nic;
        }
        device->why_not = why;
        log_warning("pci", "%02x:%02x.%u: %s gave it up: %s", device->address.bus,
                    device->address.device, device->address.function, driver->name, why);
    }
    return NULL;
}

unsigned pci_probe_nics(struct pci_bus *bus, struct nic **nics, unsigned max)
{
    unsigned count = 0;
    for (unsigned i = 0; i < bus->device_count && count < max; i++) {
        struct nic *nic = probe_device(&bus->devices[i]);
        if (nic)
            nics[count++] = nic;
    }
    return count;
}
