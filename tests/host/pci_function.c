/* See pci_function.h. Source: PCI Local Bus 3.0, chapter 6. */
#include "tests/host/pci_function.h"

#include <string.h>

#include "kernel/base/bytes.h"

enum {
    COMMAND = 0x04,
    COMMAND_BYTES = 2,
    COMMAND_MASTER = 1 << 2,
    STATUS = 0x06,
    STATUS_CAPABILITIES = 1 << 4,
    BARS = 0x10,
    CAPABILITY_POINTER = 0x34,
    INTERRUPT_LINE = 0x3c,
    INTERRUPT_PIN = 0x3d,
    CAPABILITIES = 0x40,
    MSIX_ID = 0x11,
    MSIX_BYTES = 12,
    MSIX_CONTROL_HIGH = 3, /* from the capability: enable and mask-all are in this byte */
    MSIX_ENABLE = 0x80,
    MSIX_MASK_ALL = 0x40,
    VECTOR_MASKED = 1,
    MSI_ID = 0x05,
    MSI_BYTES = 14,
    MSI_CONTROL = 2, /* from the capability: enable, and the size of the address */
    MSI_ENABLE = 0x01,
    MSI_WIDE = 0x80,
    MSI_ADDRESS = 4, /* all behind may be written */
    MSI_DATA = 12,
};

static uint64_t read_space(void *context, uint64_t offset, unsigned size)
{
    const struct pci_function *function = context;
    uint64_t value = 0;
    if (offset + size <= PCI_FUNCTION_SPACE_BYTES)
        memcpy(&value, function->space + offset, size);
    return value;
}

static void write_space(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_function *function = context;
    for (unsigned i = 0; i < size; i++, value >>= 8) {
        uint64_t at = offset + i;
        bool command = at >= COMMAND && at < COMMAND + COMMAND_BYTES;
        bool msix = function->msix_at != 0 && at == function->msix_at + MSIX_CONTROL_HIGH;
        uint64_t msi = at - function->msi_at;
        if (command || (function->msi_at != 0 && msi >= MSI_ADDRESS && msi < MSI_BYTES))
            function->space[at] = (uint8_t)value;
        if (function->msi_at != 0 && msi == MSI_CONTROL)
            function->space[at] = (uint8_t)((value & MSI_ENABLE) | MSI_WIDE);
        if (msix) /* the other bits are the table's size */
            function->space[at] =
                (uint8_t)((function->space[at] & 0x07) | (value & (MSIX_ENABLE | MSIX_MASK_ALL)));
    }
}

void pci_function_init(struct pci_function *function, unsigned slot, uint16_t vendor,
                       uint16_t device, unsigned irq)
{
    *function = (struct pci_function){ .capability_end = CAPABILITIES,
                                       .last_pointer = CAPABILITY_POINTER,
                                       .irq = irq };
    function->space[0] = (uint8_t)vendor;
    function->space[1] = (uint8_t)(vendor >> 8);
    function->space[2] = (uint8_t)device;
    function->space[3] = (uint8_t)(device >> 8);
    function->space[INTERRUPT_LINE] = (uint8_t)irq;
    function->space[INTERRUPT_PIN] = 1;
    function->device = (struct pci_device){
        .address = { .device = (uint8_t)slot },
        .vendor = vendor,
        .device = device,
        .interrupt_line = (uint8_t)irq,
        .interrupt_pin = 1,
    };
    function->model = (struct device_model){ function, read_space, write_space };
    host_attach_pci(function->device.address, &function->model);
}

void pci_function_bar(struct pci_function *function, unsigned bar, uint64_t address, uint64_t size)
{
    store_le32(function->space + BARS + 4 * bar, (uint32_t)address);
    function->device.bars[bar] = (struct pci_bar){ .address = address, .size_bytes = size };
}

unsigned pci_function_capability(struct pci_function *function, uint8_t id, const void *bytes,
                                 unsigned size)
{
    unsigned at = function->capability_end;
    CHECK(size >= 2 && at + size <= PCI_FUNCTION_SPACE_BYTES);
    memcpy(function->space + at, bytes, size);
    function->space[at] = id;
    function->space[at + 1] = 0;
    function->space[function->last_pointer] = (uint8_t)at;
    function->space[STATUS] |= STATUS_CAPABILITIES;
    function->last_pointer = at + 1;
    function->capability_end = (at + size + 3) / 4 * 4;
    return at;
}

void pci_function_msix(struct pci_function *function, unsigned bar, unsigned vector_count)
{
    CHECK(vector_count > 0 && vector_count <= PCI_FUNCTION_VECTOR_MAX);
    uint8_t bytes[MSIX_BYTES] = { 0 };
    bytes[2] = (uint8_t)(vector_count - 1);
    bytes[4] = (uint8_t)bar;
    bytes[8] = (uint8_t)bar;
    bytes[9] = 0x08; /* the pending bits at 0x800 */
    function->msix_at = pci_function_capability(function, MSIX_ID, bytes, sizeof(bytes));
    for (unsigned i = 0; i < vector_count; i++)
        function->vectors[i][3] = VECTOR_MASKED;
}

void pci_function_msi(struct pci_function *function)
{
    uint8_t bytes[MSI_BYTES] = { [MSI_CONTROL] = MSI_WIDE };
    function->msi_at = pci_function_capability(function, MSI_ID, bytes, sizeof(bytes));
}

uint64_t pci_function_msix_read(const struct pci_function *function, uint64_t offset)
{
    return offset < sizeof(function->vectors) ? function->vectors[offset / 16][offset % 16 / 4] : 0;
}

void pci_function_msix_write(struct pci_function *function, uint64_t offset, uint64_t value)
{
    if (offset < sizeof(function->vectors))
        function->vectors[offset / 16][offset % 16 / 4] = (uint32_t)value;
}

bool pci_function_masters(const struct pci_function *function)
{
    return (function->space[COMMAND] & COMMAND_MASTER) != 0;
}

bool pci_function_uses_msix(const struct pci_function *function)
{
    return function->msix_at != 0 &&
           (function->space[function->msix_at + MSIX_CONTROL_HIGH] & MSIX_ENABLE) != 0;
}

void pci_function_interrupt(struct pci_function *function, unsigned vector)
{
    if (function->interrupts_lost)
        return;
    const uint8_t *msi = function->space + function->msi_at;
    if (!pci_function_uses_msix(function)) {
        if (function->msi_at != 0 && msi[MSI_CONTROL] & MSI_ENABLE)
            (void)host_message(load_le64(msi + MSI_ADDRESS), load_le16(msi + MSI_DATA));
        else
            host_pin(function->irq);
        return;
    }
    if (vector >= PCI_FUNCTION_VECTOR_MAX)
        return; /* no vector, no interrupt */
    const uint32_t *entry = function->vectors[vector];
    bool masked = function->space[function->msix_at + MSIX_CONTROL_HIGH] & MSIX_MASK_ALL;
    if (!masked && !(entry[3] & VECTOR_MASKED))
        (void)host_message((uint64_t)entry[1] << 32 | entry[0], entry[2]);
}
