/* Goal: the tables of real machines are read rightly, and wrong ones cost only what they would have
 * told. Method: a small memory in which a test lays down tables of its own. */
#include "kernel/x86/acpi_tables.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "tests/unit/test.h"

enum {
    MEMORY_BYTES = 1024 * 1024,
    EBDA = 0x9fc00,
    RSDP = 0xf0000,
    RSDT = 0x10000,
    XSDT = 0x11000,
    MADT = 0x12000,
    MCFG = 0x13000,
    HPET = 0x14000,
    FADT = 0x15000,
    DSDT = 0x16000,
    SSDT = 0x17000,
    HEADER = 36,
};

static uint8_t memory[MEMORY_BYTES];
static struct acpi_info info;

static const void *physical(uint64_t address, uint64_t size, void *context)
{
    (void)context;
    if (address > MEMORY_BYTES || size > MEMORY_BYTES - address)
        return NULL;
    return memory + address;
}

/* ---- Laying down tables --------------------------------------------------------------------- */

static void fix_checksum(uint64_t address, size_t length, size_t at)
{
    uint8_t sum = 0;
    memory[address + at] = 0;
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + memory[address + i]);
    memory[address + at] = (uint8_t)-sum;
}

static void table(uint64_t address, const char *signature, const void *body, size_t length)
{
    memset(memory + address, 0, HEADER);
    memcpy(memory + address, signature, 4);
    store_le32(memory + address + 4, (uint32_t)(HEADER + length));
    memcpy(memory + address + HEADER, body, length);
    fix_checksum(address, HEADER + length, 9);
}

static void store_le64(uint8_t *to, uint64_t value)
{
    memcpy(to, &value, sizeof(value));
}

static void rsdp(uint8_t revision, uint32_t rsdt, uint64_t xsdt)
{
    memset(memory + RSDP, 0, 36);
    memcpy(memory + RSDP, "RSD PTR ", 8);
    memcpy(memory + RSDP + 9, "TSUJI\x1b", 6);
    memory[RSDP + 15] = revision;
    store_le32(memory + RSDP + 16, rsdt);
    store_le32(memory + RSDP + 20, 36);
    store_le64(memory + RSDP + 24, xsdt);
    fix_checksum(RSDP, 20, 8);
    fix_checksum(RSDP, 36, 32);
}

/* An XSDT of these tables, and an RSDP to it. */
static void root(const uint64_t *tables, size_t count)
{
    uint8_t body[1024];
    for (size_t i = 0; i < count; i++)
        store_le64(body + 8 * i, tables[i]);
    table(XSDT, "XSDT", body, 8 * count);
    rsdp(2, RSDT, XSDT);
}

static enum error read_all(void)
{
    return acpi_tables_read(&info, memory + RSDP, 36, physical, NULL);
}

static void only(uint64_t address, const char *signature, const void *body, size_t length)
{
    table(address, signature, body, length);
    root(&address, 1);
    EXPECT(read_all() == OK);
}

/* The FADT of a table of 244 bytes, without header. Offsets are those of the whole table. */
static uint8_t fadt[244];

static void fadt_io(size_t old_offset, size_t offset, uint16_t port)
{
    store_le32(fadt + old_offset, port);
    fadt[offset] = ACPI_SPACE_IO;
    fadt[offset + 1] = 16;
    store_le64(fadt + offset + 4, port);
}

static void fadt_make(void)
{
    store_le32(fadt + 40, DSDT);
    fadt[46] = 9;
    store_le32(fadt + 48, 0xb2);
    fadt[52] = 0xf1;
    fadt[88] = 4;
    fadt[108] = 0x32;
    store_le32(fadt + 112, ACPI_RESET_SUPPORTED | ACPI_PM_TIMER_32_BITS);
    fadt[116] = ACPI_SPACE_IO;
    fadt[117] = 8;
    store_le64(fadt + 120, 0xcf9);
    fadt[128] = 0x0f;
    store_le64(fadt + 140, DSDT);
    fadt_io(56, 148, 0x600);
    fadt_io(64, 172, 0x604);
    fadt_io(76, 208, 0x608);
}

/* ---- Where the tables are ------------------------------------------------------------------- */

TEST(acpi_rsdp_is_found_in_the_bios_area)
{
    rsdp(0, RSDT, 0);
    EXPECT_EQUAL(acpi_find_rsdp(physical, NULL), RSDP);
    memory[RSDP + 8]++;
    EXPECT_EQUAL(acpi_find_rsdp(physical, NULL), 0);
}

TEST(acpi_rsdp_is_found_in_the_ebda_first)
{
    rsdp(0, RSDT, 0);
    memcpy(memory + EBDA + 0x20, memory + RSDP, 36);
    store_le32(memory + 0x40e, EBDA >> 4);
    EXPECT_EQUAL(acpi_find_rsdp(physical, NULL), EBDA + 0x20);
}

TEST(acpi_xsdt_counts_and_rsdt_is_the_way_out)
{
    uint8_t none[8] = { 0 };
    uint8_t to_hpet[4];
    store_le32(to_hpet, HPET);
    table(XSDT, "XSDT", none, sizeof(none));
    table(RSDT, "RSDT", to_hpet, sizeof(to_hpet));
    table(HPET, "HPET", (uint8_t[20]){ [4] = ACPI_SPACE_MEMORY, [10] = 0xd0, [11] = 0xfe }, 20);
    rsdp(2, RSDT, XSDT);
    EXPECT(read_all() == OK);
    EXPECT_EQUAL(info.table_count, 0);
    EXPECT_TEXT(info.oem, "TSUJI?");

    memory[XSDT + 20]++; /* checksum */
    EXPECT(read_all() == OK);
    EXPECT(info.hpet_present);
    rsdp(2, RSDT, XSDT);
    memory[RSDP + 33]++; /* the extended checksum */
    EXPECT(read_all() == OK);
    EXPECT_EQUAL(info.rejected, 1);
    EXPECT(info.hpet_present);
    rsdp(0, RSDT, 0);
    EXPECT(acpi_tables_read(&info, memory + RSDP, 20, physical, NULL) == OK);
    EXPECT_EQUAL(info.hpet_address, 0xfed00000);
}

TEST(acpi_without_a_root_table_says_so)
{
    rsdp(2, 0, 0);
    EXPECT(read_all() == ERROR_MALFORMED);
    EXPECT(!info.present);
    rsdp(2, MEMORY_BYTES - 10, 0xffffffffffff0000);
    EXPECT(read_all() == ERROR_MALFORMED);
    EXPECT(acpi_tables_read(&info, memory + RSDP, 19, physical, NULL) == ERROR_BAD_CHECKSUM);
    EXPECT(acpi_tables_read(&info, memory, 36, physical, NULL) == ERROR_BAD_CHECKSUM);
}

TEST(acpi_table_with_a_bad_length_or_checksum_is_left_out)
{
    uint8_t mcfg[24] = { [10] = 0xe0, [18] = 0, [19] = 255 };
    only(MCFG, "MCFG", mcfg, sizeof(mcfg));
    EXPECT_EQUAL(info.ecam_count, 1);
    memory[MCFG + 50]++;
    EXPECT(read_all() == OK);
    EXPECT_EQUAL(info.ecam_count, 0);
    EXPECT_EQUAL(info.rejected, 1);
    EXPECT_EQUAL(info.table_count, 1);
    EXPECT(!info.tables[0].valid);
    static const uint32_t lengths[] = { 0, 35, ACPI_TABLE_BYTES_MAX + 1, UINT32_MAX, MEMORY_BYTES };
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        store_le32(memory + MCFG + 4, lengths[i]);
        EXPECT(read_all() == OK);
        EXPECT(!info.tables[0].valid);
    }
}

TEST(acpi_more_tables_than_we_keep_are_counted)
{
    uint64_t tables[ACPI_TABLE_MAX + 5];
    for (unsigned i = 0; i < ARRAY_COUNT(tables); i++) {
        tables[i] = 0x20000 + i * 64;
        table(tables[i], "TEST", "", 0);
    }
    root(tables, ARRAY_COUNT(tables));
    EXPECT(read_all() == OK);
    EXPECT_EQUAL(info.table_count, ACPI_TABLE_MAX);
    EXPECT_EQUAL(info.rejected, 1);
    root((uint64_t[]){ 0x20000, 0x20000, 0 }, 3); /* listed twice, and nothing */
    EXPECT(read_all() == OK);
    EXPECT_EQUAL(info.table_count, 1);
}

/* ---- MADT ----------------------------------------------------------------------------------- */

/* clang-format off */
static const uint8_t madt[] = {
    0x00, 0x00, 0xe0, 0xfe,  0x01, 0x00, 0x00, 0x00,     /* local APIC, PCAT_COMPAT */
    0, 8,  0, 0,  1, 0, 0, 0,                            /* processors: APIC 0, enabled */
    0, 8,  1, 2,  1, 0, 0, 0,                            /* APIC 2 */
    0, 8,  2, 4,  0, 0, 0, 0,                            /* APIC 4, not there */
    0, 8,  3, 0xff,  1, 0, 0, 0,                         /* not usable in this form */
    9, 16,  0, 0,  0, 1, 0, 0,  1, 0, 0, 0,  7, 0, 0, 0, /* x2APIC 256 */
    9, 16,  0, 0,  2, 0, 0, 0,  1, 0, 0, 0,  1, 0, 0, 0, /* APIC 2 again */
    1, 12,  5, 0,  0x00, 0x00, 0xc0, 0xfe,  0, 0, 0, 0,  /* I/O APIC 5 */
    2, 10,  0, 0,  2, 0, 0, 0,  0, 0,                    /* IRQ 0 is at 2 */
    2, 10,  0, 9,  9, 0, 0, 0,  0x0d, 0,                 /* IRQ 9: high, level */
    3, 8,  0x05, 0,  30, 0, 0, 0,                        /* NMI at 30: high, edge */
    4, 6,  0xff, 0x0f, 0,  1,                            /* LINT1 of all: low, level */
    10, 12,  0, 0,  7, 0, 0, 0,  0,  0, 0, 0,            /* LINT0 of uid 7 */
    5, 12,  0, 0,  0x00, 0x10, 0xe0, 0xfe,  1, 0, 0, 0,  /* local APICs elsewhere */
    0x7f, 4, 1, 2,                                       /* a type of tomorrow */
};
/* clang-format on */

TEST(acpi_madt_lists_processors_and_interrupt_controllers)
{
    only(MADT, "APIC", madt, sizeof(madt));
    EXPECT(info.madt_present);
    EXPECT_EQUAL(info.processor_count, 3);
    EXPECT_EQUAL(info.processors[1].apic_id, 2);
    EXPECT_EQUAL(info.processors[2].apic_id, 256);
    EXPECT_EQUAL(info.processors[2].uid, 7);
    EXPECT_EQUAL(info.io_apic_count, 1);
    EXPECT_EQUAL(info.io_apics[0].address, 0xfec00000);
    EXPECT_EQUAL(info.rejected, 0);

    uint32_t interrupt;
    struct acpi_pin pin;
    acpi_isa_interrupt(&info, 0, &interrupt, &pin);
    EXPECT_EQUAL(interrupt, 2);
    acpi_isa_interrupt(&info, 9, &interrupt, &pin);
    EXPECT_EQUAL(pin.trigger, ACPI_LEVEL);
    EXPECT_EQUAL(pin.polarity, ACPI_ACTIVE_HIGH);
    acpi_isa_interrupt(&info, 4, &interrupt, &pin);
    EXPECT_EQUAL(interrupt, 4);
    EXPECT_EQUAL(pin.trigger, ACPI_TRIGGER_BUS);
}

TEST(acpi_madt_entry_of_no_length_ends_the_reading)
{
    uint8_t body[] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 1, 0, 0, 0, 0, 0, 0, 8, 1, 1, 1, 0, 0, 0
    };
    only(MADT, "APIC", body, sizeof(body));
    EXPECT_EQUAL(info.processor_count, 1);
    EXPECT_EQUAL(info.rejected, 1);
    body[17] = 200; /* longer than the table */
    only(MADT, "APIC", body, sizeof(body));
    EXPECT_EQUAL(info.processor_count, 1);
    body[17] = 2; /* too short for its type, but well formed */
    only(MADT, "APIC", body, sizeof(body));
    EXPECT_EQUAL(info.processor_count, 2);
    EXPECT_EQUAL(info.rejected, 1);
    only(MADT, "APIC", body, 7);
    EXPECT(!info.madt_present);
}

TEST(acpi_madt_processor_that_means_everybody_is_rejected)
{
    static const uint8_t body[] = { 0,    0,    0,    0,    0, 0, 0, 0, 9, 16, 0, 0,
                                    0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 7, 0,  0, 0 };
    only(MADT, "APIC", body, sizeof(body));
    EXPECT_EQUAL(info.processor_count, 0);
    EXPECT_EQUAL(info.rejected, 1);
}

TEST(acpi_madt_beyond_the_bounds_is_counted)
{
    static uint8_t body[8 + 400 * 16];
    uint8_t *at = body + 8;
    for (unsigned i = 0; i < 400; i++, at += 16) {
        at[0] = 9;
        at[1] = 16;
        store_le32(at + 4, i);
        at[8] = 1;
    }
    only(MADT, "APIC", body, sizeof(body));
    EXPECT_EQUAL(info.processor_count, ACPI_PROCESSOR_MAX);
    EXPECT_EQUAL(info.rejected, 400 - ACPI_PROCESSOR_MAX);

    static const uint8_t entries[][12] = {
        { 1, 12, 0, 0, 1 }, /* I/O APIC */
        { 2, 10, 0, 3 },    /* override */
    };
    static const unsigned bounds[] = { ACPI_IO_APIC_MAX, ACPI_OVERRIDE_MAX };
    for (unsigned kind = 0; kind < ARRAY_COUNT(bounds); kind++) {
        size_t length = entries[kind][1];
        memset(body, 0, sizeof(body));
        for (unsigned i = 0; i < bounds[kind] + 2; i++)
            memcpy(body + 8 + i * length, entries[kind], length);
        only(MADT, "APIC", body, 8 + (bounds[kind] + 2) * length);
        EXPECT_EQUAL(info.rejected, 2);
    }
    static const uint8_t strange[] = {
        0, 0,  0, 0,  0, 0, 0, 0, 2, 10, 1, 3, 0, 0, 0, 0, 0, 0, /* override of another bus */
        2, 10, 0, 16, 0, 0, 0, 0, 0, 0,                          /* of no ISA interrupt */
        1, 12, 0, 0,  0, 0, 0, 0, 0, 0,  0, 0,                   /* I/O APIC at 0 */
    };
    only(MADT, "APIC", strange, sizeof(strange));
    EXPECT_EQUAL(info.rejected, 3);
}

/* ---- MCFG, HPET ----------------------------------------------------------------------------- */

TEST(acpi_mcfg_windows_must_make_sense)
{
    uint8_t body[8 + 16 * 12 + 5] = { 0 };
    for (unsigned i = 0; i < 12; i++) {
        uint8_t *entry = body + 8 + 16 * i;
        store_le64(entry, 0xb0000000 + ((uint64_t)i << 28));
        entry[8] = (uint8_t)i;
        entry[11] = 255;
    }
    only(MCFG, "MCFG", body, sizeof(body));
    EXPECT_EQUAL(info.ecam_count, ACPI_ECAM_MAX);
    EXPECT_EQUAL(info.rejected, 12 - ACPI_ECAM_MAX);
    EXPECT_EQUAL(info.ecams[1].segment, 1);
    EXPECT_EQUAL(info.ecams[1].address, 0xc0000000);
    store_le64(body + 8, 0xb0000001);
    store_le64(body + 24, 0);
    body[8 + 32 + 10] = 5;
    body[8 + 32 + 11] = 4;
    only(MCFG, "MCFG", body, 8 + 48);
    EXPECT_EQUAL(info.ecam_count, 0);
    EXPECT_EQUAL(info.rejected, 3);
    only(MCFG, "MCFG", body, 0);
    EXPECT_EQUAL(info.ecam_count, 0);
}

TEST(acpi_hpet_must_be_in_memory)
{
    uint8_t body[20] = { [4] = ACPI_SPACE_IO, [11] = 0xfe };
    only(HPET, "HPET", body, sizeof(body));
    EXPECT(!info.hpet_present);
    only(HPET, "HPET", body, 19);
    EXPECT(!info.hpet_present);
    EXPECT_EQUAL(info.rejected, 1);
}

/* ---- FADT and \_S5 -------------------------------------------------------------------------- */

static const uint8_t dsdt_qemu[] = { 0x08, '_',  'S',  '5',  '_',  0x12,
                                     0x06, 0x04, 0x00, 0x00, 0x00, 0x00 };

TEST(acpi_fadt_leads_to_power_registers_and_s5)
{
    fadt_make();
    table(DSDT, "DSDT", dsdt_qemu, sizeof(dsdt_qemu));
    only(FADT, "FACP", fadt + HEADER, sizeof(fadt) - HEADER);
    EXPECT(info.fadt_present && info.s5_present && info.reset_present);
    EXPECT_EQUAL(info.sci_interrupt, 9);
    EXPECT_EQUAL(info.smi_command_port, 0xb2);
    EXPECT_EQUAL(info.acpi_enable_value, 0xf1);
    EXPECT_EQUAL(info.century_index, 0x32);
    EXPECT_EQUAL(info.pm1a_event.address, 0x600);
    EXPECT_EQUAL(info.pm1b_event.address, 0);
    EXPECT_EQUAL(info.pm1a_control.address, 0x604);
    EXPECT_EQUAL(info.pm_timer.address, 0x608);
    EXPECT_EQUAL(info.reset.address, 0xcf9);
    EXPECT_EQUAL(info.reset_value, 0x0f);
    EXPECT_EQUAL(info.s5_sleep_type_a, 0);
    EXPECT_EQUAL(info.table_count, 2);
}

TEST(acpi_fadt_of_acpi_1_has_ports_only)
{
    fadt_make();
    only(FADT, "FACP", fadt + HEADER, 116 - HEADER);
    EXPECT_EQUAL(info.pm1a_control.address, 0x604);
    EXPECT_EQUAL(info.pm1a_control.space, ACPI_SPACE_IO);
    EXPECT(!info.reset_present && !info.s5_present);
    only(FADT, "FACP", fadt + HEADER, 115 - HEADER);
    EXPECT(!info.fadt_present);
    root((uint64_t[]){ FADT, FADT + 0x800 }, 2);
    table(FADT, "FACP", fadt + HEADER, 116 - HEADER);
    table(FADT + 0x800, "FACP", fadt + HEADER, 116 - HEADER);
    EXPECT(read_all() == OK);
    EXPECT_EQUAL(info.rejected, 2); /* a second one, and the DSDT that is not there */
}

TEST(acpi_fadt_that_is_its_own_dsdt_is_read_once)
{
    fadt_make();
    store_le64(fadt + 140, FADT);
    only(FADT, "FACP", fadt + HEADER, sizeof(fadt) - HEADER);
    EXPECT_EQUAL(info.table_count, 1);
}

static bool s5_of(const void *aml, size_t length)
{
    only(SSDT, "SSDT", aml, length);
    return info.s5_present;
}

TEST(acpi_s5_is_found_in_all_its_forms)
{
    /* \_S5_, package length of two bytes, byte, word and dword constants, and One. */
    static const uint8_t rooted[] = { 1,    2,    0x08, '\\', '_', 'S',  '5', '_', 0x12,
                                      0x40, 0x01, 4,    0x0a, 5,   0x0b, 6,   0,   0 };
    EXPECT(s5_of(rooted, sizeof(rooted)));
    EXPECT_EQUAL(info.s5_sleep_type_a, 5);
    EXPECT_EQUAL(info.s5_sleep_type_b, 6);
    static const uint8_t wide[] = { 0x08, '_', 'S', '5', '_', 0x12, 8, 2, 0x0c, 7, 0, 0, 0, 1 };
    EXPECT(s5_of(wide, sizeof(wide)));
    EXPECT_EQUAL(info.s5_sleep_type_a, 7);
    EXPECT_EQUAL(info.s5_sleep_type_b, 1);
}

TEST(acpi_s5_of_another_shape_is_refused)
{
    static const uint8_t shapes[][14] = {
        { 0x14, '_', 'S', '5', '_', 0x12, 6, 4 },          /* a method */
        { 0x08, '_', 'S', '5', '_', 0x11, 6, 4 },          /* no package */
        { 0x08, '_', 'S', '5', '_', 0x12, 6, 1 },          /* one element */
        { 0x08, '_', 'S', '5', '_', 0x12, 6, 4, 0x0a, 8 }, /* no sleep type */
        { 0x08, '_', 'S', '5', '_', 0x12, 6, 4, 0x0d, 0 }, /* a text */
    };
    for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
        EXPECT(!s5_of(shapes[i], sizeof(shapes[i])));
        EXPECT_EQUAL(info.rejected, 1);
    }
    for (size_t length = 0; length < sizeof(dsdt_qemu) - 2; length++)
        EXPECT(!s5_of(dsdt_qemu, length));
}
