/* See acpi.h. Fixed hardware only: no AML is run. Section numbers are of the ACPI
 * Specification 6.5.
 *
 * The power button is a fixed event: PM1_STS tells, PM1_EN lets it raise the SCI, a level-triggered
 * ISA interrupt that wakes core 0, which then asks acpi_power_button_pressed(). */
#include "kernel/x86/acpi.h"

#include <string.h>

#include "kernel/base/log.h"
#include "kernel/platform.h"

enum {
    PM1_POWER_BUTTON = 1 << 8, /* 4.8.3.1.1, table 4.12: same bit in status and enable */
    PM1_SCI_ENABLE = 1 << 0,   /* 4.8.3.2.1 */
    PM1_SLEEP_TYPE_SHIFT = 10,
    PM1_SLEEP_ENABLE = 1 << 13,
    PM1_KEEP = 0xc3ff,         /* all but SLP_TYP and SLP_EN */
    ENABLE_POLLS_MAX = 300000, /* reads of a port, about 1 us each: 4.8.2.5 names no bound */

    KEYBOARD_STATUS = 0x64, /* i8042 */
    KEYBOARD_COMMAND = 0x64,
    KEYBOARD_INPUT_FULL = 1 << 1,
    KEYBOARD_PULSE_RESET = 0xfe,
    KEYBOARD_POLLS_MAX = 10000,
};

static struct acpi_info acpi;
static int sci = -1;
static bool button_enabled;

/* ---- Registers ------------------------------------------------------------------------------ */

/* Memory registers are mapped when acpi_init() runs, so that a panic needs no allocation. */
static void *reset_mapped;

static bool is_port(const struct acpi_register *where)
{
    return where->space == ACPI_SPACE_IO && where->address != 0 && where->address <= UINT16_MAX;
}

static uint16_t pm1_read(const struct acpi_register *where, unsigned offset)
{
    return is_port(where) ? port_read16((uint16_t)(where->address + offset)) : 0;
}

static void pm1_write(const struct acpi_register *where, unsigned offset, uint16_t value)
{
    if (is_port(where))
        port_write16((uint16_t)(where->address + offset), value);
}

/* ---- Start ---------------------------------------------------------------------------------- */

void acpi_init(const struct boot_info *info, acpi_physical *physical, void *context)
{
    static const uint8_t none[sizeof(info->rsdp)];
    const uint8_t *rsdp = info->rsdp;
    if (memcmp(rsdp, none, sizeof(none)) == 0) {
        uint64_t address =
            info->rsdp_address ? info->rsdp_address : acpi_find_rsdp(physical, context);
        rsdp = address ? physical(address, ACPI_RSDP_BYTES, context) : NULL;
    }
    enum error error = rsdp ? acpi_tables_read(&acpi, rsdp, ACPI_RSDP_BYTES, physical, context)
                            : fail(ERROR_NOT_FOUND);
    if (error) {
        log_warning("acpi", "no tables: %s", error_text(error));
        return;
    }
    if (acpi.reset_present && acpi.reset.space == ACPI_SPACE_MEMORY)
        reset_mapped = mmio_map(acpi.reset.address, 1);
    if (acpi.rejected > 0)
        log_warning("acpi", "%u tables or entries were not believed", acpi.rejected);
}

const struct acpi_info *acpi_get(void)
{
    return &acpi;
}

/* 4.8.2.5: hands the fixed hardware from the firmware to us. */
static bool acpi_mode_enable(void)
{
    if (acpi.fadt_flags & ACPI_HARDWARE_REDUCED)
        return false;
    if (pm1_read(&acpi.pm1a_control, 0) & PM1_SCI_ENABLE)
        return true;
    if (acpi.smi_command_port == 0 || acpi.acpi_enable_value == 0)
        return false;
    port_write8(acpi.smi_command_port, acpi.acpi_enable_value);
    for (unsigned i = 0; i < ENABLE_POLLS_MAX; i++)
        if (pm1_read(&acpi.pm1a_control, 0) & PM1_SCI_ENABLE)
            return true;
    return false;
}

/* ---- Power off and restart ------------------------------------------------------------------ */

static void sleep_write(const struct acpi_register *control, uint8_t sleep_type)
{
    uint16_t value = pm1_read(control, 0) & PM1_KEEP;
    value = (uint16_t)(value | sleep_type << PM1_SLEEP_TYPE_SHIFT);
    pm1_write(control, 0, value);
    pm1_write(control, 0, value | PM1_SLEEP_ENABLE);
}

/* 7.4.2.6 and 4.8.3.2.1: \_S5's values into SLP_TYP, then SLP_EN. */
void acpi_power_off(void)
{
    if (!acpi.s5_present || !acpi.fadt_present)
        return;
    acpi_mode_enable();
    sleep_write(&acpi.pm1a_control, acpi.s5_sleep_type_a);
    sleep_write(&acpi.pm1b_control, acpi.s5_sleep_type_b);
}

/* 4.8.3.6. A PCI reset register is on bus 0: device in bits 32 up, function in 16 up. */
static void reset_register_write(void)
{
    const struct acpi_register *reset = &acpi.reset;
    if (!acpi.reset_present)
        return;
    if (is_port(reset))
        port_write8((uint16_t)reset->address, acpi.reset_value);
    else if (reset_mapped)
        mmio_write8(reset_mapped, acpi.reset_value);
    else if (reset->space == ACPI_SPACE_PCI)
        pci_config_write((struct pci_address){ .device = (reset->address >> 32) & 31,
                                               .function = (reset->address >> 16) & 7 },
                         reset->address & 0xff, 1, acpi.reset_value);
}

static void keyboard_reset(void)
{
    for (unsigned i = 0; i < KEYBOARD_POLLS_MAX; i++)
        if (!(port_read8(KEYBOARD_STATUS) & KEYBOARD_INPUT_FULL))
            break;
    port_write8(KEYBOARD_COMMAND, KEYBOARD_PULSE_RESET);
    for (unsigned i = 0; i < KEYBOARD_POLLS_MAX; i++)
        port_read8(KEYBOARD_STATUS); /* time for the pulse */
}

void acpi_restart(void)
{
    reset_register_write();
    keyboard_reset();
    /* Without a table of gates every exception is a triple fault, which resets the processor. */
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_gates = { 0, 0 };
    __asm__ volatile("lidt %0; int3" : : "m"(no_gates));
}

/* ---- Power button --------------------------------------------------------------------------- */

static unsigned pm1_enable_offset(void)
{
    return acpi.pm1_event_bytes / 2;
}

bool acpi_power_button_enable(void)
{
    bool fixed = acpi.fadt_present && is_port(&acpi.pm1a_event) && acpi.pm1_event_bytes >= 4 &&
                 !(acpi.fadt_flags & ACPI_POWER_BUTTON_IS_DEVICE);
    if (!fixed || !acpi_mode_enable())
        return false;

    sci = interrupt_alloc(0);
    if (sci >= 0 && !interrupt_connect_isa(sci, acpi.sci_interrupt)) {
        interrupt_free(sci);
        sci = -1;
    }
    if (sci < 0)
        log_warning("acpi", "no interrupt from the power button; it is only looked at");
    /* What was pressed before we came is not for us. */
    pm1_write(&acpi.pm1a_event, 0, PM1_POWER_BUTTON);
    pm1_write(&acpi.pm1b_event, 0, PM1_POWER_BUTTON);
    pm1_write(&acpi.pm1a_event, pm1_enable_offset(), PM1_POWER_BUTTON);
    pm1_write(&acpi.pm1b_event, pm1_enable_offset(), PM1_POWER_BUTTON);
    button_enabled = true;
    return true;
}

static bool button_take(const struct acpi_register *event)
{
    if (!(pm1_read(event, 0) & PM1_POWER_BUTTON))
        return false;
    pm1_write(event, 0, PM1_POWER_BUTTON); /* a one clears it */
    return true;
}

bool acpi_power_button_pressed(void)
{
    static uint64_t interrupts_seen;
    if (!button_enabled)
        return false;
    if (sci >= 0) {
        uint64_t interrupts = interrupt_count(sci);
        if (interrupts == interrupts_seen)
            return false;
        interrupts_seen = interrupts;
    }
    bool pressed = button_take(&acpi.pm1a_event);
    pressed = button_take(&acpi.pm1b_event) || pressed;
    if (sci >= 0)
        interrupt_unmask(sci);
    return pressed;
}
