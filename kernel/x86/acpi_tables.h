/* ACPI tables: bytes in, struct acpi_info out. Pure, and wary: firmware tables are checked like
 * packets. A table with a bad checksum or length is left out and counted; what is missing costs a
 * feature and not the boot.
 *
 * Source: ACPI Specification 6.5, chapter 5; PCI Firmware Specification 3.2, 4.1.2 (MCFG);
 * IA-PC HPET Specification 1.0a, 3.2.4. */
#pragma once

#include "kernel/base/types.h"

enum {
    ACPI_TABLE_MAX = 64,            /* tables we look at; more are counted */
    ACPI_TABLE_BYTES_MAX = 4 << 20, /* the largest DSDTs have some hundred KiB */
    ACPI_PROCESSOR_MAX = 256,       /* of which CORE_MAX are started */
    ACPI_IO_APIC_MAX = 16,
    ACPI_OVERRIDE_MAX = 24, /* there are 16 ISA interrupts */
    ACPI_ECAM_MAX = 8,      /* PCI segments */
    ACPI_RSDP_BYTES = 36,
};

enum acpi_space { ACPI_SPACE_MEMORY = 0, ACPI_SPACE_IO = 1, ACPI_SPACE_PCI = 2 };

/* ACPI 6.5, 5.2.3.2: Generic Address Structure. address 0: there is no such register. */
struct acpi_register {
    uint64_t address;
    uint8_t space; /* enum acpi_space, or another that we cannot reach */
    uint8_t width_bits;
};

/* ACPI 6.5, table 5.26: MPS INTI flags. */
enum acpi_polarity { ACPI_POLARITY_BUS, ACPI_ACTIVE_HIGH, ACPI_POLARITY_RESERVED, ACPI_ACTIVE_LOW };
enum acpi_trigger { ACPI_TRIGGER_BUS, ACPI_EDGE, ACPI_TRIGGER_RESERVED, ACPI_LEVEL };

struct acpi_pin {
    uint8_t polarity; /* enum acpi_polarity; "bus" means high and edge for ISA */
    uint8_t trigger;  /* enum acpi_trigger */
};

struct acpi_processor {
    uint32_t apic_id;
    uint32_t uid;
};

struct acpi_io_apic {
    uint8_t id;
    uint32_t address;
    uint32_t interrupt_base; /* global number of its first pin */
};

struct acpi_override { /* an ISA interrupt that is wired elsewhere */
    uint8_t isa_irq;
    uint32_t interrupt; /* global number */
    struct acpi_pin pin;
};

struct acpi_ecam {    /* configuration space of one PCI segment in memory */
    uint64_t address; /* of bus 0, whether or not the segment has it */
    uint16_t segment;
    uint8_t first_bus, last_bus;
};

struct acpi_table {
    char signature[5];
    uint64_t address;
    uint32_t length_bytes;
    bool valid; /* length and checksum */
};

struct acpi_info {
    bool present;     /* an RSDP was found and led to a list of tables */
    uint8_t revision; /* of the RSDP: 0 is ACPI 1.0, 2 is all later ones */
    char oem[7];
    unsigned table_count;
    struct acpi_table tables[ACPI_TABLE_MAX];
    unsigned rejected; /* tables and entries that were not believed or did not fit */

    /* MADT */
    bool madt_present;
    unsigned processor_count; /* enabled ones; the booting one is among them */
    struct acpi_processor processors[ACPI_PROCESSOR_MAX];
    unsigned io_apic_count;
    struct acpi_io_apic io_apics[ACPI_IO_APIC_MAX];
    unsigned override_count;
    struct acpi_override overrides[ACPI_OVERRIDE_MAX];

    /* MCFG */
    unsigned ecam_count;
    struct acpi_ecam ecams[ACPI_ECAM_MAX];

    /* HPET */
    bool hpet_present;
    uint64_t hpet_address;

    /* FADT */
    bool fadt_present;
    uint16_t sci_interrupt;    /* ISA numbering, overrides apply */
    uint16_t smi_command_port; /* 0: ACPI mode is on for good */
    uint8_t acpi_enable_value;
    uint8_t century_index; /* CMOS register, or 0 */
    uint32_t fadt_flags;   /* enum acpi_fadt_flag */
    uint16_t boot_flags;   /* enum acpi_boot_flag */
    struct acpi_register pm1a_event, pm1b_event;
    uint8_t pm1_event_bytes; /* status half, then enable half */
    struct acpi_register pm1a_control, pm1b_control;
    struct acpi_register pm_timer;
    bool reset_present;
    struct acpi_register reset;
    uint8_t reset_value;

    /* \_S5 in DSDT or SSDT */
    bool s5_present;
    uint8_t s5_sleep_type_a, s5_sleep_type_b;
};

/* ACPI 6.5, table 5.10. */
enum acpi_fadt_flag {
    ACPI_POWER_BUTTON_IS_DEVICE = 1 << 4, /* set: no fixed power button */
    ACPI_PM_TIMER_32_BITS = 1 << 8,
    ACPI_RESET_SUPPORTED = 1 << 10,
    ACPI_HARDWARE_REDUCED = 1 << 20, /* no PM1 registers at all */
};

/* ACPI 6.5, table 5.11. */
enum acpi_boot_flag {
    ACPI_BOOT_8042 = 1 << 1,
    ACPI_BOOT_NO_VGA = 1 << 2,
    ACPI_BOOT_NO_MSI = 1 << 3,
    ACPI_BOOT_NO_CMOS_CLOCK = 1 << 5,
};

/* Readable bytes for a physical range, or NULL where there are none. */
typedef const void *acpi_physical(uint64_t address, uint64_t size_bytes, void *context);

/* Where the RSDP is: 5.2.5.1, the first KiB of the EBDA, then 0xE0000 to 0xFFFFF; 0 where nowhere.
 */
uint64_t acpi_find_rsdp(acpi_physical *physical, void *context);

/* Reads everything from the RSDP of length_bytes (20 or 36). All of *info is set, in every case. */
enum error acpi_tables_read(struct acpi_info *info, const uint8_t *rsdp, size_t length_bytes,
                            acpi_physical *physical, void *context) MUST_CHECK;

/* How the ISA interrupt reaches the I/O APICs: by an override, or the same number, high and edge.
 */
void acpi_isa_interrupt(const struct acpi_info *info, uint8_t isa_irq, uint32_t *interrupt,
                        struct acpi_pin *pin);
