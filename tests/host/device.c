/* Registers, PCI configuration space and interrupts, all from models attached by a test. Mapped
 * registers are at the address that the device has on the bus. */
#include <string.h>

#include "kernel/platform.h"
#include "tests/host/host.h"

enum {
    INTERRUPT_MAX = 256,
    PIN_NONE = UINT32_MAX,
    MESSAGE_ADDRESS = 0xfee00000, /* where x86 has its local APICs */
};

enum space { SPACE_MMIO, SPACE_PORT, SPACE_PCI, SPACE_MEMORY };

struct range {
    enum space space;
    uint64_t start, size;
    const struct device_model *model;
    void *memory;
};

struct interrupt {
    bool used;
    unsigned core;
    unsigned pin; /* PIN_NONE: by message only */
    bool level;   /* masked when it comes, until interrupt_unmask() */
    bool masked;
    _Atomic uint64_t count;
};

static struct range ranges[HOST_DEVICE_MAX];
static unsigned range_count;
static struct interrupt interrupts[INTERRUPT_MAX];
static int probed = -1; /* the interrupt that looks for its pin */

/* ---- Ranges -----------------------------------------------------------------------------------
 */

static void attach(struct range range)
{
    CHECK(range_count < HOST_DEVICE_MAX);
    ranges[range_count++] = range;
}

static const struct range *find(enum space space, uint64_t at, uint64_t size)
{
    for (unsigned i = range_count; i-- > 0;) { /* the newest first */
        const struct range *range = &ranges[i];
        if (range->space == space && at >= range->start && at - range->start < range->size &&
            size <= range->size - (at - range->start))
            return range;
    }
    return NULL;
}

static uint64_t pci_key(struct pci_address address)
{
    return ((uint64_t)address.segment << 16 | (uint64_t)address.bus << 8 |
            (uint64_t)address.device << 3 | address.function)
           << 12;
}

void host_attach_mmio(uint64_t physical, uint64_t size, const struct device_model *model)
{
    attach((struct range){ SPACE_MMIO, physical, size, model, NULL });
}

void host_attach_ports(uint16_t port, unsigned ports, const struct device_model *model)
{
    attach((struct range){ SPACE_PORT, port, ports, model, NULL });
}

void host_attach_pci(struct pci_address address, const struct device_model *model)
{
    attach((struct range){ SPACE_PCI, pci_key(address), PAGE_BYTES, model, NULL });
}

void host_attach_memory(uint64_t physical, uint64_t size, void *memory)
{
    attach((struct range){ SPACE_MEMORY, physical, size, NULL, memory });
}

void host_detach_all(void)
{
    range_count = 0;
}

/* ---- Accesses ---------------------------------------------------------------------------------
 */

static uint64_t all_ones(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

static uint64_t model_read(const struct range *range, uint64_t at, unsigned size)
{
    return range->model->read(range->model->context, at - range->start, size) & all_ones(size);
}

static void model_write(const struct range *range, uint64_t at, unsigned size, uint64_t value)
{
    range->model->write(range->model->context, at - range->start, size, value & all_ones(size));
}

void *mmio_map(uint64_t physical, size_t size)
{
    const struct range *memory = find(SPACE_MEMORY, physical, size);
    if (memory != NULL)
        return (uint8_t *)memory->memory + (physical - memory->start);
    if (find(SPACE_MMIO, physical, size) != NULL)
        return (void *)(uintptr_t)physical;
    return NULL;
}

uint64_t host_mmio_read(const volatile void *address, unsigned size)
{
    const struct range *range = find(SPACE_MMIO, (uintptr_t)address, size);
    if (range != NULL)
        return model_read(range, (uintptr_t)address, size);
    switch (size) {
    case 1:
        return *(const volatile uint8_t *)address;
    case 2:
        return *(const volatile uint16_t *)address;
    case 4:
        return *(const volatile uint32_t *)address;
    default:
        return *(const volatile uint64_t *)address;
    }
}

void host_mmio_write(volatile void *address, unsigned size, uint64_t value)
{
    const struct range *range = find(SPACE_MMIO, (uintptr_t)address, size);
    if (range != NULL) {
        model_write(range, (uintptr_t)address, size, value);
        return;
    }
    switch (size) {
    case 1:
        *(volatile uint8_t *)address = (uint8_t)value;
        break;
    case 2:
        *(volatile uint16_t *)address = (uint16_t)value;
        break;
    case 4:
        *(volatile uint32_t *)address = (uint32_t)value;
        break;
    default:
        *(volatile uint64_t *)address = value;
        break;
    }
}

/* An empty bus answers ones and swallows writes. */
uint32_t host_port_read(uint16_t port, unsigned size)
{
    const struct range *range = find(SPACE_PORT, port, size);
    return (uint32_t)(range != NULL ? model_read(range, port, size) : all_ones(size));
}

void host_port_write(uint16_t port, unsigned size, uint32_t value)
{
    const struct range *range = find(SPACE_PORT, port, size);
    if (range != NULL)
        model_write(range, port, size, value);
}

uint32_t pci_config_read(struct pci_address address, unsigned offset, unsigned size)
{
    CHECK((size == 1 || size == 2 || size == 4) && offset % size == 0);
    uint64_t at = pci_key(address) + offset;
    const struct range *range = offset < PAGE_BYTES ? find(SPACE_PCI, at, size) : NULL;
    return (uint32_t)(range != NULL ? model_read(range, at, size) : all_ones(size));
}

void pci_config_write(struct pci_address address, unsigned offset, unsigned size, uint32_t value)
{
    CHECK((size == 1 || size == 2 || size == 4) && offset % size == 0);
    uint64_t at = pci_key(address) + offset;
    const struct range *range = offset < PAGE_BYTES ? find(SPACE_PCI, at, size) : NULL;
    if (range != NULL)
        model_write(range, at, size, value);
}

/* ---- Interrupts -------------------------------------------------------------------------------
 */

static struct interrupt *interrupt_of(int handle)
{
    CHECK(handle >= 0 && handle < INTERRUPT_MAX && interrupts[handle].used);
    return &interrupts[handle];
}

int interrupt_alloc(unsigned core)
{
    CHECK(core < core_count());
    for (int handle = 0; handle < INTERRUPT_MAX; handle++) {
        struct interrupt *interrupt = &interrupts[handle];
        if (interrupt->used)
            continue;
        interrupt->used = true;
        interrupt->core = core;
        interrupt->pin = PIN_NONE;
        interrupt->level = false;
        interrupt->masked = false;
        interrupt->count = 0;
        return handle;
    }
    return -1;
}

void interrupt_free(int handle)
{
    interrupt_of(handle)->used = false;
}

uint64_t interrupt_count(int handle)
{
    return interrupt_of(handle)->count;
}

bool interrupt_message(int handle, uint64_t *address, uint32_t *data)
{
    interrupt_of(handle);
    *address = MESSAGE_ADDRESS;
    *data = (uint32_t)handle;
    return true;
}

bool interrupt_connect_isa(int handle, unsigned irq)
{
    interrupt_of(handle)->pin = irq;
    return true;
}

bool interrupt_connect_pci_pin(int handle, unsigned line_hint, void (*raise)(void *device),
                               void (*quiet)(void *device), void *device)
{
    (void)line_hint;
    struct interrupt *interrupt = interrupt_of(handle);
    interrupt->level = true;
    probed = handle;
    raise(device);
    probed = -1;
    quiet(device);
    interrupt->masked = false;
    return interrupt->pin != PIN_NONE;
}

void interrupt_unmask(int handle)
{
    interrupt_of(handle)->masked = false;
}

void host_interrupt(int handle)
{
    struct interrupt *interrupt = interrupt_of(handle);
    interrupt->count++;
    core_wake(interrupt->core);
}

bool host_message(uint64_t address, uint32_t data)
{
    if (address != MESSAGE_ADDRESS || data >= INTERRUPT_MAX || !interrupts[data].used)
        return false;
    host_interrupt((int)data);
    return true;
}

void host_pin(unsigned irq)
{
    if (probed >= 0)
        interrupts[probed].pin = irq;
    for (int handle = 0; handle < INTERRUPT_MAX; handle++) {
        struct interrupt *interrupt = &interrupts[handle];
        if (!interrupt->used || interrupt->pin != irq || interrupt->masked)
            continue;
        interrupt->masked = interrupt->level;
        host_interrupt(handle);
    }
}
