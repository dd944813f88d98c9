/* Who is wired to which pin: from ACPI for ISA interrupts, by trial for PCI.
 *
 * For PCI the truth is in AML code that we do not run, so we ask the device: all pins that PCI may
 * use are listened to at once, the device raises its interrupt, and the pin that comes is the one.
 */
#include "kernel/x86/pins.h"

#include "kernel/base/log.h"
#include "kernel/platform.h"
#include "kernel/x86/acpi.h"
#include "kernel/x86/apic.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/interrupt.h"

enum {
    IO_APIC_BYTES = 0x20,
    ISA_PINS = 16,
    PCI_PINS = 16,               /* from ISA_PINS on: the PIRQ lines of a chipset, and some more */
    TRIAL_SETTLE_NS = 20 * 1000, /* for pins that are raised by somebody else already */
    TRIAL_WAIT_NS = 10 * 1000 * 1000,
};

void pins_init(void)
{
    const struct acpi_info *acpi = acpi_get();
    for (unsigned i = 0; i < acpi->io_apic_count; i++) {
        const struct acpi_io_apic *io_apic = &acpi->io_apics[i];
        void *registers = mmio_map(io_apic->address, IO_APIC_BYTES);
        if (!registers || !pins_add_io_apic(registers, io_apic->interrupt_base))
            log_warning("acpi", "I/O APIC %u cannot be used", io_apic->id);
    }
}

/* Joins whoever has the pin already, or takes it. */
static bool connect(int handle, unsigned pin, bool level, bool active_low)
{
    struct interrupt *interrupt = &interrupts[handle];
    const struct x86_cpu *cpu = cpus[interrupt->core];

    if (!pin_exists(pin) || cpu->apic_id > APIC_MESSAGE_ID_MAX)
        return false;
    interrupt->pin = (int16_t)pin;
    int owner = pin_owner(pin);
    if (owner >= 0) {
        interrupt->next_on_pin = interrupts[owner].next_on_pin;
        interrupts[owner].next_on_pin = (int16_t)handle;
        pin_unmask(pin);
        return true;
    }
    pin_set_owner(pin, handle);
    struct pin_wiring wiring = { interrupt->vector, cpu->apic_id, level, active_low };
    pin_connect(pin, &wiring);
    return true;
}

/* ISA says high and edge, where ACPI does not say otherwise. */
bool interrupt_connect_isa(int handle, unsigned irq)
{
    const struct acpi_info *acpi = acpi_get();
    struct acpi_pin wiring;
    uint32_t pin;

    if (irq >= ISA_PINS)
        return false;
    acpi_isa_interrupt(acpi, (uint8_t)irq, &pin, &wiring);
    bool sci = acpi->fadt_present && irq == acpi->sci_interrupt; /* ACPI 6.5, 5.2.9: level, low */
    bool level = wiring.trigger == ACPI_LEVEL || (sci && wiring.trigger == ACPI_TRIGGER_BUS);
    bool low = wiring.polarity == ACPI_ACTIVE_LOW || (sci && wiring.polarity == ACPI_POLARITY_BUS);
    return connect(handle, pin, level, low);
}

struct candidates {
    unsigned count;
    unsigned pins[PIN_TRIAL_MAX];
    bool active_low[PIN_TRIAL_MAX];
};

static void add_candidate(struct candidates *candidates, unsigned pin, bool active_low)
{
    if (candidates->count == PIN_TRIAL_MAX || !pin_exists(pin) || pin_owner(pin) >= 0)
        return;
    for (unsigned i = 0; i < candidates->count; i++) {
        if (candidates->pins[i] == pin)
            return;
    }
    candidates->pins[candidates->count] = pin;
    candidates->active_low[candidates->count++] = active_low;
}

/* PCI over an ISA number: level always; low, unless ACPI says that the board turns it round. */
static void add_isa_candidate(struct candidates *candidates, unsigned irq)
{
    struct acpi_pin wiring;
    uint32_t pin;
    acpi_isa_interrupt(acpi_get(), (uint8_t)irq, &pin, &wiring);
    add_candidate(candidates, pin, wiring.polarity != ACPI_ACTIVE_HIGH);
}

/* Pins that already serve somebody are watched by the counts of those who have them. */
static uint64_t owner_count(unsigned pin)
{
    return pin_exists(pin) && pin_owner(pin) >= 0 ? interrupts[pin_owner(pin)].count : 0;
}

static int find_pin(const struct candidates *candidates, const uint64_t *counts, uint32_t ignored)
{
    uint32_t seen = pin_trial_seen() & ~ignored;
    if (seen != 0)
        return (int)candidates->pins[__builtin_ctz(seen)];
    for (unsigned pin = 0; pin < ISA_PINS + PCI_PINS; pin++) {
        if (owner_count(pin) != counts[pin])
            return (int)pin;
    }
    return -1;
}

static void wait_until(uint64_t end_ns)
{
    while (clock_ns() < end_ns)
        core_relax();
}

bool interrupt_connect_pci_pin(int handle, unsigned line_hint, void (*raise)(void *device),
                               void (*quiet)(void *device), void *device)
{
    static const uint8_t isa_irqs_for_pci[] = { 11, 10, 9, 5, 7, 3, 15, 14 };
    struct candidates candidates = { .count = 0 };
    uint64_t counts[ISA_PINS + PCI_PINS];

    if (line_hint < ISA_PINS)
        add_isa_candidate(&candidates, line_hint);
    for (unsigned pin = ISA_PINS; pin < ISA_PINS + PCI_PINS; pin++)
        add_candidate(&candidates, pin, true);
    for (unsigned i = 0; i < ARRAY_COUNT(isa_irqs_for_pci); i++)
        add_isa_candidate(&candidates, isa_irqs_for_pci[i]);

    pin_trial_begin(candidates.pins, candidates.count, cpu_current()->apic_id,
                    candidates.active_low);
    wait_until(clock_ns() + TRIAL_SETTLE_NS);
    uint32_t ignored = pin_trial_seen();
    for (unsigned pin = 0; pin < ARRAY_COUNT(counts); pin++)
        counts[pin] = owner_count(pin);

    raise(device);
    int found = -1;
    for (uint64_t end_ns = clock_ns() + TRIAL_WAIT_NS; found < 0 && clock_ns() < end_ns;)
        found = find_pin(&candidates, counts, ignored);
    quiet(device);
    pin_trial_end();

    if (found < 0)
        return false;
    for (unsigned i = 0; i < candidates.count; i++) {
        if (candidates.pins[i] == (unsigned)found)
            return connect(handle, (unsigned)found, true, candidates.active_low[i]);
    }
    return connect(handle, (unsigned)found, true, true); /* joins its owner */
}
