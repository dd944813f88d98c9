/* See acpi_tables.h. RSDP -> XSDT or RSDT -> each table once, by its signature; the FADT leads on
 * to the DSDT. Section numbers are of the ACPI Specification 6.5. */
#include "kernel/x86/acpi_tables.h"

#include "kernel/base/bytes.h"

enum {
    HEADER_BYTES = 36, /* 5.2.6 */
    HEADER_LENGTH = 4,
    RSDP_V1_BYTES = 20, /* 5.2.5.3 */
    EBDA_POINTER = 0x40e,
    EBDA_SEARCH_BYTES = 1024,
    BIOS_AREA = 0xe0000,
    BIOS_AREA_BYTES = 0x20000,
    RSDP_STEP_BYTES = 16,
};

/* What the readers of single tables share. */
struct tables {
    struct acpi_info *info;
    acpi_physical *physical;
    void *context;
};

static bool checksum_good(const uint8_t *bytes, size_t length)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return sum == 0;
}

/* Names from firmware go to terminals. */
static void copy_name(char *out, const uint8_t *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] = name[i] >= ' ' && name[i] <= '~' ? (char)name[i] : '?';
    out[length] = '\0';
}

/* ---- RSDP ----------------------------------------------------------------------------------- */

/* length: what may be read. */
static bool rsdp_valid(const uint8_t *rsdp, size_t length)
{
    return length >= RSDP_V1_BYTES && memcmp(rsdp, "RSD PTR ", 8) == 0 &&
           checksum_good(rsdp, RSDP_V1_BYTES);
}

static uint64_t rsdp_search(uint64_t base, uint64_t length, acpi_physical *physical, void *context)
{
    const uint8_t *bytes = physical(base, length, context);
    if (!bytes)
        return 0;
    for (uint64_t at = 0; at + RSDP_V1_BYTES <= length; at += RSDP_STEP_BYTES)
        if (rsdp_valid(bytes + at, length - at))
            return base + at;
    return 0;
}

uint64_t acpi_find_rsdp(acpi_physical *physical, void *context)
{
    uint64_t address = 0;
    const uint8_t *ebda = physical(EBDA_POINTER, sizeof(uint16_t), context);
    if (ebda && load_le16(ebda) != 0)
        address = rsdp_search((uint64_t)load_le16(ebda) << 4, EBDA_SEARCH_BYTES, physical, context);
    return address ? address : rsdp_search(BIOS_AREA, BIOS_AREA_BYTES, physical, context);
}

/* ---- MADT, 5.2.12 --------------------------------------------------------------------------- */

enum madt_entry {
    MADT_LOCAL_APIC = 0,
    MADT_IO_APIC = 1,
    MADT_OVERRIDE = 2,
    MADT_X2APIC = 9,
};

#define MADT_EVERYBODY 0xffffffffu /* as an x2APIC id: sending to it is a broadcast */

enum {
    MADT_PROCESSOR_ENABLED = 1 << 0,
    MADT_NO_APIC_ID_V1 = 0xff,
    ISA_BUS = 0,
    ISA_IRQ_COUNT = 16,
};

static struct acpi_pin pin_of(uint16_t flags)
{
    return (struct acpi_pin){ .polarity = flags & 3, .trigger = (flags >> 2) & 3 };
}

static void add_processor(struct acpi_info *info, uint32_t apic_id, uint32_t uid, uint32_t flags)
{
    if (!(flags & MADT_PROCESSOR_ENABLED))
        return;
    if (apic_id == MADT_EVERYBODY) {
        info->rejected++;
        return;
    }
    /* Firmware lists processors with small identifiers in both forms at times. */
    for (unsigned i = 0; i < info->processor_count; i++)
        if (info->processors[i].apic_id == apic_id)
            return;
    if (info->processor_count == ACPI_PROCESSOR_MAX) {
        info->rejected++;
        return;
    }
    info->processors[info->processor_count++] = (struct acpi_processor){ apic_id, uid };
}

static void add_io_apic(struct acpi_info *info, const struct acpi_io_apic *io_apic)
{
    if (info->io_apic_count == ACPI_IO_APIC_MAX || io_apic->address == 0) {
        info->rejected++;
        return;
    }
    info->io_apics[info->io_apic_count++] = *io_apic;
}

static void add_override(struct acpi_info *info, uint8_t bus, const struct acpi_override *entry)
{
    if (info->override_count == ACPI_OVERRIDE_MAX || bus != ISA_BUS ||
        entry->isa_irq >= ISA_IRQ_COUNT) {
        info->rejected++;
        return;
    }
    info->overrides[info->override_count++] = *entry;
}

/* How long an entry of each type we read must be; 0: a type we do not read. */
static const uint8_t madt_entry_bytes[] = {
    [MADT_LOCAL_APIC] = 8,
    [MADT_IO_APIC] = 12,
    [MADT_OVERRIDE] = 10,
    [MADT_X2APIC] = 16,
};

/* entry has at least madt_entry_bytes[type]. */
static void read_madt_entry(struct acpi_info *info, enum madt_entry type, const uint8_t *entry)
{
    switch (type) {
    case MADT_LOCAL_APIC:
        if (entry[3] != MADT_NO_APIC_ID_V1)
            add_processor(info, entry[3], entry[2], load_le32(entry + 4));
        break;
    case MADT_IO_APIC:
        add_io_apic(info, &(struct acpi_io_apic){ .id = entry[2],
                                                  .address = load_le32(entry + 4),
                                                  .interrupt_base = load_le32(entry + 8) });
        break;
    case MADT_OVERRIDE:
        add_override(info, entry[2],
                     &(struct acpi_override){ .isa_irq = entry[3],
                                              .interrupt = load_le32(entry + 4),
                                              .pin = pin_of(load_le16(entry + 8)) });
        break;
    case MADT_X2APIC:
        add_processor(info, load_le32(entry + 4), load_le32(entry + 12), load_le32(entry + 8));
        break;
    }
}

static void read_madt(struct tables *tables, const uint8_t *table, size_t length)
{
    enum { ENTRIES = 44 };
    struct acpi_info *info = tables->info;
    if (length < ENTRIES || info->madt_present) {
        info->rejected++;
        return;
    }
    info->madt_present = true;

    struct reader reader = reader_of(table + ENTRIES, length - ENTRIES);
    while (reader_left(&reader) > 0) {
        const uint8_t *entry = reader.at;
        if (reader_left(&reader) < 2 || entry[1] < 2 || !reader_take(&reader, entry[1])) {
            info->rejected++; /* nobody can tell where the next one begins */
            return;
        }
        uint8_t type = entry[0];
        if (type >= ARRAY_COUNT(madt_entry_bytes) || madt_entry_bytes[type] == 0)
            continue;
        if (entry[1] < madt_entry_bytes[type])
            info->rejected++;
        else
            read_madt_entry(info, (enum madt_entry)type, entry);
    }
}

/* ---- MCFG and HPET -------------------------------------------------------------------------- */

static void read_mcfg(struct tables *tables, const uint8_t *table, size_t length)
{
    enum { ENTRIES = 44, ENTRY_BYTES = 16 };
    struct acpi_info *info = tables->info;
    for (size_t at = ENTRIES; at <= length && length - at >= ENTRY_BYTES; at += ENTRY_BYTES) {
        struct acpi_ecam ecam = {
            .address = load_le64(table + at),
            .segment = load_le16(table + at + 8),
            .first_bus = table[at + 10],
            .last_bus = table[at + 11],
        };
        if (info->ecam_count == ACPI_ECAM_MAX || ecam.address == 0 ||
            ecam.address % PAGE_BYTES != 0 || ecam.first_bus > ecam.last_bus)
            info->rejected++;
        else
            info->ecams[info->ecam_count++] = ecam;
    }
}

/* 5.2.3.2. An address of 0 means that there is no such register. */
static struct acpi_register register_at(const uint8_t *bytes)
{
    return (struct acpi_register){
        .space = bytes[0],
        .width_bits = bytes[1],
        .address = load_le64(bytes + 4),
    };
}

static void read_hpet(struct tables *tables, const uint8_t *table, size_t length)
{
    enum { ADDRESS = 40, END = 56 };
    struct acpi_info *info = tables->info;
    if (length < END) {
        info->rejected++;
        return;
    }
    struct acpi_register base = register_at(table + ADDRESS);
    if (base.space != ACPI_SPACE_MEMORY || base.address == 0) {
        info->rejected++;
        return;
    }
    info->hpet_present = true;
    info->hpet_address = base.address;
}

/* ---- DSDT and SSDT: only \_S5 --------------------------------------------------------------- */

enum aml_opcode { /* 20.2 */
                  AML_ZERO = 0x00,
                  AML_ONE = 0x01,
                  AML_NAME = 0x08,
                  AML_BYTE = 0x0a,
                  AML_WORD = 0x0b,
                  AML_DWORD = 0x0c,
                  AML_PACKAGE = 0x12,
                  AML_ROOT = '\\',
};

/* An integer constant of any form; `failed` where it is something else. */
static uint32_t read_aml_integer(struct reader *reader)
{
    switch (read_u8(reader)) {
    case AML_ZERO:
        return 0;
    case AML_ONE:
        return 1;
    case AML_BYTE:
        return read_u8(reader);
    case AML_WORD:
        return read_le16(reader);
    case AML_DWORD:
        return read_le32(reader);
    default:
        reader->failed = true;
        return 0;
    }
}

/* 20.2.4: the two top bits of the first byte tell how many follow. */
static void skip_package_length(struct reader *reader)
{
    (void)reader_take(reader, read_u8(reader) >> 6);
}

/* What follows the name: Package () { SLP_TYPa, SLP_TYPb, ... }, 7.4.2.6. */
static bool read_s5_package(struct acpi_info *info, const uint8_t *bytes, size_t length)
{
    enum { SLEEP_TYPE_MAX = 7 }; /* 3 bits in PM1_CNT */
    struct reader reader = reader_of(bytes, length);
    if (read_u8(&reader) != AML_PACKAGE)
        return false;
    skip_package_length(&reader);
    if (read_u8(&reader) < 2)
        return false;
    uint32_t type_a = read_aml_integer(&reader), type_b = read_aml_integer(&reader);
    if (reader.failed || type_a > SLEEP_TYPE_MAX || type_b > SLEEP_TYPE_MAX)
        return false;
    info->s5_present = true;
    info->s5_sleep_type_a = (uint8_t)type_a;
    info->s5_sleep_type_b = (uint8_t)type_b;
    return true;
}

/* Without an interpreter: the bytes of `Name (\_S5, Package () {...})` wherever they are. Firmware
 * writes it as constants, as the operating system needs it before it runs any method. */
static void read_aml(struct tables *tables, const uint8_t *table, size_t length)
{
    static const char name[] = { '_', 'S', '5', '_' };
    for (size_t at = HEADER_BYTES + 1; at < length && length - at >= sizeof(name); at++) {
        if (tables->info->s5_present)
            return;
        if (memcmp(table + at, name, sizeof(name)) != 0)
            continue;
        bool named =
            table[at - 1] == AML_NAME || (table[at - 1] == AML_ROOT && table[at - 2] == AML_NAME);
        size_t after = at + sizeof(name);
        if (!named || !read_s5_package(tables->info, table + after, length - after))
            tables->info->rejected++;
    }
}

/* ---- FADT, 5.2.9 ---------------------------------------------------------------------------- */

enum fadt_offset {
    FADT_DSDT = 40,
    FADT_SCI_INTERRUPT = 46,
    FADT_SMI_COMMAND = 48,
    FADT_ACPI_ENABLE = 52,
    FADT_PM1A_EVENT = 56,
    FADT_PM1B_EVENT = 60,
    FADT_PM1A_CONTROL = 64,
    FADT_PM1B_CONTROL = 68,
    FADT_PM_TIMER = 76,
    FADT_PM1_EVENT_BYTES = 88,
    FADT_CENTURY = 108,
    FADT_BOOT_FLAGS = 109,
    FADT_FLAGS = 112,
    FADT_V1_BYTES = 116, /* all from here on came later */
    FADT_RESET = 116,
    FADT_RESET_VALUE = 128,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_EVENT = 148,
    FADT_X_PM1B_EVENT = 160,
    FADT_X_PM1A_CONTROL = 172,
    FADT_X_PM1B_CONTROL = 184,
    FADT_X_PM_TIMER = 208,
    REGISTER_BYTES = 12,
};

/* The extended form counts where the table has it and it says something, else the old port number.
 */
static struct acpi_register fadt_register(const uint8_t *fadt, size_t length,
                                          enum fadt_offset old_offset,
                                          enum fadt_offset extended_offset)
{
    if (length >= (size_t)extended_offset + REGISTER_BYTES) {
        struct acpi_register extended = register_at(fadt + extended_offset);
        if (extended.address != 0)
            return extended;
    }
    return (struct acpi_register){
        .address = load_le32(fadt + old_offset),
        .space = ACPI_SPACE_IO,
    };
}

static void read_table(struct tables *tables, uint64_t address);

static void read_fadt(struct tables *tables, const uint8_t *fadt, size_t length)
{
    struct acpi_info *info = tables->info;
    if (length < FADT_V1_BYTES || info->fadt_present) {
        info->rejected++;
        return;
    }
    info->fadt_present = true;
    info->sci_interrupt = load_le16(fadt + FADT_SCI_INTERRUPT);
    info->smi_command_port = (uint16_t)load_le32(fadt + FADT_SMI_COMMAND);
    info->acpi_enable_value = fadt[FADT_ACPI_ENABLE];
    info->century_index = fadt[FADT_CENTURY];
    info->boot_flags = load_le16(fadt + FADT_BOOT_FLAGS);
    info->fadt_flags = load_le32(fadt + FADT_FLAGS);
    info->pm1_event_bytes = fadt[FADT_PM1_EVENT_BYTES];
    info->pm1a_event = fadt_register(fadt, length, FADT_PM1A_EVENT, FADT_X_PM1A_EVENT);
    info->pm1b_event = fadt_register(fadt, length, FADT_PM1B_EVENT, FADT_X_PM1B_EVENT);
    info->pm1a_control = fadt_register(fadt, length, FADT_PM1A_CONTROL, FADT_X_PM1A_CONTROL);
    info->pm1b_control = fadt_register(fadt, length, FADT_PM1B_CONTROL, FADT_X_PM1B_CONTROL);
    info->pm_timer = fadt_register(fadt, length, FADT_PM_TIMER, FADT_X_PM_TIMER);
    if (length > FADT_RESET_VALUE && (info->fadt_flags & ACPI_RESET_SUPPORTED)) {
        info->reset = register_at(fadt + FADT_RESET);
        info->reset_value = fadt[FADT_RESET_VALUE];
        info->reset_present = info->reset.address != 0;
    }

    uint64_t dsdt = load_le32(fadt + FADT_DSDT);
    if (length >= FADT_X_DSDT + sizeof(uint64_t) && load_le64(fadt + FADT_X_DSDT) != 0)
        dsdt = load_le64(fadt + FADT_X_DSDT);
    if (dsdt != 0)
        read_table(tables, dsdt);
}

/* ---- All tables ----------------------------------------------------------------------------- */

static const struct {
    char signature[5];
    void (*read)(struct tables *tables, const uint8_t *table, size_t length);
} readers[] = {
    { "APIC", read_madt }, { "MCFG", read_mcfg }, { "HPET", read_hpet },
    { "FACP", read_fadt }, { "DSDT", read_aml },  { "SSDT", read_aml },
};

/* The whole table, or NULL where its length or checksum is wrong. */
static const uint8_t *table_bytes(struct tables *tables, uint64_t address, uint32_t *length)
{
    const uint8_t *table = tables->physical(address, HEADER_BYTES, tables->context);
    if (!table)
        return NULL;
    *length = load_le32(table + HEADER_LENGTH);
    if (*length < HEADER_BYTES || *length > ACPI_TABLE_BYTES_MAX)
        return NULL;
    table = tables->physical(address, *length, tables->context);
    return table && checksum_good(table, *length) ? table : NULL;
}

static void read_table(struct tables *tables, uint64_t address)
{
    struct acpi_info *info = tables->info;
    for (unsigned i = 0; i < info->table_count; i++)
        if (info->tables[i].address == address)
            return; /* listed twice, or a table that leads to itself */
    const uint8_t *header = tables->physical(address, HEADER_BYTES, tables->context);
    if (!header || info->table_count == ACPI_TABLE_MAX) {
        info->rejected++;
        return;
    }
    struct acpi_table *entry = &info->tables[info->table_count++];
    copy_name(entry->signature, header, 4);
    entry->address = address;

    const uint8_t *table = table_bytes(tables, address, &entry->length_bytes);
    entry->valid = table != NULL;
    if (!table) {
        info->rejected++;
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(readers); i++)
        if (memcmp(table, readers[i].signature, 4) == 0)
            readers[i].read(tables, table, entry->length_bytes);
}

/* XSDT or RSDT: addresses of 8 or 4 bytes. */
static bool read_root(struct tables *tables, uint64_t address, const char *signature,
                      size_t address_bytes)
{
    uint32_t length;
    const uint8_t *root = address ? table_bytes(tables, address, &length) : NULL;
    if (!root || memcmp(root, signature, 4) != 0)
        return false;
    for (size_t at = HEADER_BYTES; length - at >= address_bytes; at += address_bytes) {
        uint64_t table = address_bytes == 8 ? load_le64(root + at) : load_le32(root + at);
        if (table == 0)
            continue; /* seen in the field: empty places */
        if (tables->info->table_count == ACPI_TABLE_MAX) {
            tables->info->rejected++;
            break;
        }
        read_table(tables, table);
    }
    return true;
}

enum error acpi_tables_read(struct acpi_info *info, const uint8_t *rsdp, size_t length_bytes,
                            acpi_physical *physical, void *context)
{
    enum { OEM = 9, REVISION = 15, RSDT = 16, LENGTH = 20, XSDT = 24 };
    *info = (struct acpi_info){ .present = false };
    if (!rsdp_valid(rsdp, length_bytes))
        return fail(ERROR_BAD_CHECKSUM);
    info->revision = rsdp[REVISION];
    copy_name(info->oem, rsdp + OEM, 6);

    struct tables tables = { .info = info, .physical = physical, .context = context };
    bool extended = info->revision >= 2 && length_bytes >= ACPI_RSDP_BYTES &&
                    load_le32(rsdp + LENGTH) >= ACPI_RSDP_BYTES &&
                    checksum_good(rsdp, ACPI_RSDP_BYTES);
    if (info->revision >= 2 && !extended)
        info->rejected++;
    if (extended)
        info->present = read_root(&tables, load_le64(rsdp + XSDT), "XSDT", 8);
    if (!info->present)
        info->present = read_root(&tables, load_le32(rsdp + RSDT), "RSDT", 4);
    return info->present ? OK : fail(ERROR_MALFORMED);
}

void acpi_isa_interrupt(const struct acpi_info *info, uint8_t isa_irq, uint32_t *interrupt,
                        struct acpi_pin *pin)
{
    *interrupt = isa_irq;
    *pin = (struct acpi_pin){ ACPI_POLARITY_BUS, ACPI_TRIGGER_BUS };
    for (unsigned i = 0; i < info->override_count; i++) {
        if (info->overrides[i].isa_irq == isa_irq) {
            *interrupt = info->overrides[i].interrupt;
            *pin = info->overrides[i].pin;
        }
    }
}
