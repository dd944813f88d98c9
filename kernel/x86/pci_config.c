/* See pci_config.h. ECAM windows are mapped a bus at a time (1 MiB), when the bus is first asked
 * for: a segment has 256 of them and uses a few. */
#include "kernel/x86/pci_config.h"

#include "kernel/base/log.h"
#include "kernel/platform.h"
#include "kernel/spinlock.h"

enum {
    CONFIG_ADDRESS = 0xcf8, /* PCI Local Bus 3.0, 3.2.2.3.2 */
    CONFIG_DATA = 0xcfc,
    PORT_OFFSET_MAX = 256,
    ECAM_OFFSET_MAX = 4096, /* PCI Express Base 5.0, 7.2.2 */
    ECAM_BUS_BYTES = 1 << 20,
    BUS_COUNT = 256,
};
#define CONFIG_ENABLE 0x80000000u

static struct spinlock lock; /* guards the two ports, and the mapping of windows */
static const struct acpi_info *acpi;
static struct {
    volatile uint8_t *buses[BUS_COUNT]; /* NULL: not mapped yet */
} windows[ACPI_ECAM_MAX];
static unsigned window_count;

/* ---- Ports ---------------------------------------------------------------------------------- */

static void port_select(struct pci_address address, unsigned offset)
{
    port_write32(CONFIG_ADDRESS, CONFIG_ENABLE | (uint32_t)address.bus << 16 |
                                     (uint32_t)address.device << 11 |
                                     (uint32_t)address.function << 8 | (offset & 0xfc));
}

static uint32_t all_ones(unsigned size)
{
    return UINT32_MAX >> (32 - 8 * size);
}

static uint32_t config_read_port(struct pci_address address, unsigned offset, unsigned size)
{
    if (address.segment != 0 || offset >= PORT_OFFSET_MAX)
        return all_ones(size);
    uint16_t port = (uint16_t)(CONFIG_DATA + (offset & 3));
    spinlock_take(&lock);
    port_select(address, offset);
    uint32_t value = size == 1   ? port_read8(port)
                     : size == 2 ? port_read16(port)
                                 : port_read32(port);
    spinlock_release(&lock);
    return value;
}

static void config_write_port(struct pci_address address, unsigned offset, unsigned size,
                              uint32_t value)
{
    if (address.segment != 0 || offset >= PORT_OFFSET_MAX)
        return;
    uint16_t port = (uint16_t)(CONFIG_DATA + (offset & 3));
    spinlock_take(&lock);
    port_select(address, offset);
    if (size == 1)
        port_write8(port, (uint8_t)value);
    else if (size == 2)
        port_write16(port, (uint16_t)value);
    else
        port_write32(port, value);
    spinlock_release(&lock);
}

/* ---- Memory --------------------------------------------------------------------------------- */

static volatile uint8_t *bus_map(unsigned window, uint8_t bus)
{
    const struct acpi_ecam *ecam = &acpi->ecams[window];
    if (bus < ecam->first_bus || bus > ecam->last_bus)
        return NULL;
    spinlock_take(&lock);
    volatile uint8_t **mapped = &windows[window].buses[bus];
    if (!*mapped)
        *mapped = mmio_map(ecam->address + (uint64_t)bus * ECAM_BUS_BYTES, ECAM_BUS_BYTES);
    spinlock_release(&lock);
    return *mapped;
}

/* The register, or NULL where it can only be reached through ports. */
static volatile uint8_t *config_at(struct pci_address address, unsigned offset)
{
    if (offset >= ECAM_OFFSET_MAX)
        return NULL;
    for (unsigned i = 0; i < window_count; i++) {
        if (acpi->ecams[i].segment != address.segment)
            continue;
        volatile uint8_t *bus = bus_map(i, address.bus);
        if (bus)
            return bus + ((unsigned)address.device << 15 | (unsigned)address.function << 12) +
                   offset;
    }
    return NULL;
}

/* Does the window show the same devices on bus 0 as the ports do? Firmware has been seen to
 * announce windows that the chipset does not decode. */
static bool window_believable(void)
{
    for (uint8_t device = 0; device < 32; device++) {
        struct pci_address address = { .device = device };
        volatile uint8_t *at = config_at(address, 0);
        if (at && mmio_read32(at) != config_read_port(address, 0, sizeof(uint32_t)))
            return false;
    }
    return true;
}

void pci_config_init(const struct acpi_info *info)
{
    acpi = info;
    window_count = info->ecam_count;
    if (window_count > 0 && !window_believable()) {
        window_count = 0;
        log_warning("pci", "the memory window shows other devices than the ports: not used");
    }
}

/* ---- The seam ------------------------------------------------------------------------------- */

uint32_t pci_config_read(struct pci_address address, unsigned offset, unsigned size)
{
    CHECK(size == 1 || size == 2 || size == 4);
    CHECK(offset % size == 0);
    volatile uint8_t *at = config_at(address, offset);
    if (!at)
        return config_read_port(address, offset, size);
    switch (size) {
    case 1:
        return mmio_read8(at);
    case 2:
        return mmio_read16(at);
    default:
        return mmio_read32(at);
    }
}

void pci_config_write(struct pci_address address, unsigned offset, unsigned size, uint32_t value)
{
    CHECK(size == 1 || size == 2 || size == 4);
    CHECK(offset % size == 0);
    volatile uint8_t *at = config_at(address, offset);
    if (!at) {
        config_write_port(address, offset, size, value);
        return;
    }
    switch (size) {
    case 1:
        mmio_write8(at, (uint8_t)value);
        break;
    case 2:
        mmio_write16(at, (uint16_t)value);
        break;
    default:
        mmio_write32(at, value);
        break;
    }
}
