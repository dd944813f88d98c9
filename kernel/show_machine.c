/* See show_machine.h. Everything shown here was found at the boot and stays, but for memory. */
#include "kernel/show_machine.h"

#include "boot/boot_info.h"
#include "drivers/pci.h"
#include "kernel/base/text.h"
#include "kernel/boot_phase.h"
#include "kernel/clock.h"
#include "kernel/memory.h"
#include "kernel/selftest_memory.h"
#include "kernel/x86/acpi.h"
#include "kernel/x86/stack.h"
#include "shell/command.h"

static const struct boot_info *boot;
static const struct pci_bus *bus;

void show_machine_init(const struct boot_info *boot_info, const struct pci_bus *pci_bus)
{
    boot = boot_info;
    bus = pci_bus;
}

/* ---- show pci ------------------------------------------------------------------------------- */

/* PCI Code and ID Assignment 1.11, chapter 1: base class and sub-class. */
static const struct {
    uint16_t class_code;
    const char *name;
} class_names[] = {
    { 0x0100, "SCSI" },          { 0x0101, "IDE" },         { 0x0106, "SATA" },
    { 0x0108, "NVMe" },          { 0x0200, "ethernet" },    { 0x0300, "VGA" },
    { 0x0403, "audio" },         { 0x0600, "host bridge" }, { 0x0601, "ISA bridge" },
    { 0x0604, "PCI bridge" },    { 0x0680, "bridge" },      { 0x0700, "serial port" },
    { 0x0c03, "USB" },           { 0x0c05, "SMBus" },       { 0x0880, "system device" },
    { 0x0780, "communication" }, { 0x1000, "encryption" },  { 0x0001, "VGA, old" },
};

static const char *class_name(uint32_t class_code)
{
    for (size_t i = 0; i < ARRAY_COUNT(class_names); i++)
        if (class_names[i].class_code == class_code >> 8)
            return class_names[i].name;
    return "other";
}

static void write_bars(struct record *record, const struct pci_device *device)
{
    char line[256];
    struct text text = text_of(line, sizeof(line));
    for (unsigned i = 0; i < PCI_BAR_MAX; i++) {
        const struct pci_bar *bar = &device->bars[i];
        if (bar->size_bytes != 0)
            text_print(&text, "%s%u: %s 0x%llx size 0x%llx", text.length > 0 ? ", " : "", i,
                       bar->io ? "io" : "memory", (unsigned long long)bar->address,
                       (unsigned long long)bar->size_bytes);
    }
    record_text(record, "bars", line);
}

static void write_optional(struct record *record, const char *name, const char *value)
{
    if (value)
        record_text(record, name, value);
    else
        record_null(record, name);
}

static enum command_result show_pci(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "address", RECORD_PLAIN },         { "id", RECORD_PLAIN },
        { "class", RECORD_PLAIN },           { "driver", RECORD_PLAIN },
        { "why_not", RECORD_PLAIN },         { "class_code", RECORD_DETAIL },
        { "revision", RECORD_DETAIL },       { "subsystem", RECORD_DETAIL },
        { "interrupt_line", RECORD_DETAIL }, { "interrupt_pin", RECORD_DETAIL },
        { "bars", RECORD_DETAIL },
    };
    struct record *record = call->record;
    record_table(record, "devices", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; bus && i < bus->device_count; i++) {
        const struct pci_device *device = &bus->devices[i];
        record_row(record);
        record_format(record, "address", "%04x:%02x:%02x.%u", device->address.segment,
                      device->address.bus, device->address.device, device->address.function);
        record_format(record, "id", "%04x:%04x", device->vendor, device->device);
        record_text(record, "class", class_name(device->class_code));
        write_optional(record, "driver", device->driver);
        write_optional(record, "why_not", device->why_not);
        record_format(record, "class_code", "%06x", device->class_code);
        record_u64(record, "revision", device->revision);
        record_format(record, "subsystem", "%04x:%04x", device->subsystem_vendor,
                      device->subsystem_device);
        record_u64(record, "interrupt_line", device->interrupt_line);
        record_u64(record, "interrupt_pin", device->interrupt_pin);
        write_bars(record, device);
    }
    record_end(record);
    if (bus && bus->ignored_count > 0)
        record_u64(record, "ignored", bus->ignored_count);
    return COMMAND_DONE;
}

/* ---- show boot ------------------------------------------------------------------------------ */

static void write_milliseconds(struct record *record, const char *name, uint64_t ns)
{
    record_decimal(record, name, ns / NS_PER_US, 3);
}

static void write_phases(struct record *record)
{
    static const struct record_column columns[] = {
        { "phase", RECORD_PLAIN },
        { "start_ms", RECORD_PLAIN },
        { "length_ms", RECORD_PLAIN },
    };
    record_table(record, "phases", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < boot_phase_count(); i++) {
        struct boot_phase_time phase = boot_phase_get(i);
        record_row(record);
        record_text(record, "phase", phase.name);
        write_milliseconds(record, "start_ms", phase.start_ns);
        write_milliseconds(record, "length_ms", phase.length_ns);
    }
    record_end(record);
}

static void write_areas(struct record *record)
{
    static const char *const kinds[] = {
        [BOOT_MEMORY_RAM] = "ram",   [BOOT_MEMORY_RESERVED] = "reserved",
        [BOOT_MEMORY_ACPI] = "acpi", [BOOT_MEMORY_ACPI_NVS] = "acpi-nvs",
        [BOOT_MEMORY_BAD] = "bad",
    };
    static const struct record_column columns[] = {
        { "base", RECORD_PLAIN },
        { "length_bytes", RECORD_PLAIN },
        { "kind", RECORD_PLAIN },
    };
    record_table(record, "memory", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < boot->memory_count; i++) {
        record_row(record);
        record_hex(record, "base", boot->memory[i].base);
        record_u64(record, "length_bytes", boot->memory[i].length_bytes);
        record_text(record, "kind", kinds[boot->memory[i].kind]);
    }
    record_end(record);
}

static void write_modules(struct record *record)
{
    static const struct record_column columns[] = {
        { "name", RECORD_PLAIN },
        { "address", RECORD_PLAIN },
        { "size_bytes", RECORD_PLAIN },
    };
    record_table(record, "modules", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < boot->module_count; i++) {
        record_row(record);
        record_text(record, "name", boot->modules[i].name);
        record_hex(record, "address", boot->modules[i].address);
        record_u64(record, "size_bytes", boot->modules[i].size_bytes);
    }
    record_end(record);
}

static enum command_result show_boot(struct command_call *call)
{
    struct record *record = call->record;
    if (boot) {
        record_text(record, "protocol", boot->protocol == BOOT_MULTIBOOT2 ? "multiboot2" : "pvh");
        record_text(record, "loader", boot->loader);
        record_text(record, "command_line", boot->command_line);
        record_u64(record, "rejected", boot->rejected);
    }
    record_decimal(record, "tsc_mhz", clock_frequency_hz() / 1000, 3);
    record_text(record, "tsc_source", clock_source_name());
    record_bool(record, "tsc_invariant", clock_tsc_invariant());
    record_bool(record, "calendar", clock_calendar_is_set());
    write_phases(record);
    if (boot) {
        write_areas(record);
        write_modules(record);
    }
    return COMMAND_DONE;
}

/* ---- show acpi ------------------------------------------------------------------------------ */

static void write_tables(struct record *record, const struct acpi_info *acpi)
{
    static const struct record_column columns[] = {
        { "signature", RECORD_PLAIN },
        { "address", RECORD_PLAIN },
        { "length_bytes", RECORD_PLAIN },
        { "valid", RECORD_PLAIN },
    };
    record_table(record, "tables", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < acpi->table_count; i++) {
        record_row(record);
        record_text(record, "signature", acpi->tables[i].signature);
        record_hex(record, "address", acpi->tables[i].address);
        record_u64(record, "length_bytes", acpi->tables[i].length_bytes);
        record_bool(record, "valid", acpi->tables[i].valid);
    }
    record_end(record);
}

static enum command_result show_acpi(struct command_call *call)
{
    const struct acpi_info *acpi = acpi_get();
    struct record *record = call->record;
    record_bool(record, "present", acpi->present);
    if (!acpi->present)
        return COMMAND_DONE;
    record_u64(record, "revision", acpi->revision);
    record_text(record, "oem", acpi->oem);
    record_u64(record, "rejected", acpi->rejected);
    record_u64(record, "processors", acpi->processor_count);
    record_u64(record, "io_apics", acpi->io_apic_count);
    record_u64(record, "overrides", acpi->override_count);
    record_u64(record, "pci_windows", acpi->ecam_count);
    record_bool(record, "hpet", acpi->hpet_present);
    record_bool(record, "power_off", acpi->s5_present);
    record_bool(record, "reset_register", acpi->reset_present);
    record_bool(record, "power_button",
                acpi->fadt_present && !(acpi->fadt_flags & ACPI_POWER_BUTTON_IS_DEVICE));
    record_u64(record, "sci", acpi->sci_interrupt);
    write_tables(record, acpi);
    return COMMAND_DONE;
}

/* ---- show memory leaks, show memory pages --------------------------------------------------- */

enum { OWNER_MAX = 256 };

static enum command_result show_memory_leaks(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "owner", RECORD_PLAIN },      { "tag", RECORD_PLAIN },    { "live", RECORD_PLAIN },
        { "live_bytes", RECORD_PLAIN }, { "oldest", RECORD_PLAIN },
    };
    if (!memory_is_recorded())
        return command_failed(call, "not-in-this-build", NULL,
                              "a release build keeps no record of allocations: make DEBUG=1");
    static struct memory_owner owners[OWNER_MAX]; /* control core only */
    unsigned count = memory_owners(owners, OWNER_MAX);
    struct record *record = call->record;
    record_table(record, "owners", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < count; i++) {
        record_row(record);
        record_format(record, "owner", "%s:%d", owners[i].file, owners[i].line);
        record_text(record, "tag", memory_tag_name(owners[i].tag));
        record_u64(record, "live", owners[i].live);
        record_u64(record, "live_bytes", owners[i].live_bytes);
        record_seconds(record, "oldest",
                       call->now_ns > owners[i].oldest_ns ? call->now_ns - owners[i].oldest_ns : 0);
    }
    record_end(record);
    return COMMAND_DONE;
}

static enum command_result show_memory_pages(struct command_call *call)
{
    struct page_stats stats;
    memory_page_stats(&stats);
    struct record *record = call->record;
    record_u64(record, "total_bytes", stats.total_pages * PAGE_BYTES);
    record_u64(record, "free_bytes", stats.free_pages * PAGE_BYTES);
    record_u64(record, "lowest_free_bytes", stats.lowest_free_pages * PAGE_BYTES);
    record_u64(record, "free_large_pages", stats.free_blocks);
    record_u64(record, "areas", stats.area_count);
    record_u64(record, "metadata_bytes", stats.metadata_bytes);
    record_u64(record, "ignored_bytes", stats.ignored_bytes);
    return COMMAND_DONE;
}

static enum command_result show_memory_stacks(struct command_call *call)
{
    static const struct record_column columns[] = {
        { "stack", RECORD_PLAIN },
        { "size_bytes", RECORD_PLAIN },
        { "most_used_bytes", RECORD_PLAIN },
    };
    struct record *record = call->record;
    record_table(record, "stacks", columns, ARRAY_COUNT(columns));
    for (unsigned i = 0; i < stack_count(); i++) {
        const struct stack *stack = stack_get(i);
        if (!stack->used)
            continue;
        record_row(record);
        record_text(record, "stack", stack->name);
        record_u64(record, "size_bytes", stack->size_bytes);
        record_u64(record, "most_used_bytes", stack_high_water(stack));
    }
    record_end(record);
    return COMMAND_DONE;
}

/* ---- selftest: misuse of memory, so that a system test can see it caught --------------------- */

static enum command_result selftest(struct command_call *call)
{
    enum error error = selftest_memory(call->line->arguments[1].text);
    if (error == ERROR_UNSUPPORTED)
        return command_failed(call, "not-in-this-build", NULL,
                              "only a debug build survives that: make DEBUG=1");
    if (error)
        return command_failed(call, error_id(error), NULL, "%s", error_text(error));
    record_u64(call->record, "damaged", memory_check());
    return COMMAND_DONE;
}

/* ---- The table ------------------------------------------------------------------------------ */

/* clang-format off */
static const struct command commands[] = {
    { .grammar = "show pci", .kind = COMMAND_SHOW, .role = ROLE_VIEW, .run = show_pci,
      .help = "PCI devices and who drives them" },
    { .grammar = "show boot", .kind = COMMAND_SHOW, .role = ROLE_VIEW, .run = show_boot,
      .help = "what the loader said, and milliseconds per phase of the boot" },
    { .grammar = "show acpi", .kind = COMMAND_SHOW, .role = ROLE_VIEW, .run = show_acpi,
      .help = "the firmware's tables" },
    { .grammar = "show memory leaks", .kind = COMMAND_SHOW, .role = ROLE_VIEW,
      .run = show_memory_leaks, .help = "live allocations by the line that made them" },
    { .grammar = "show memory pages", .kind = COMMAND_SHOW, .role = ROLE_VIEW,
      .run = show_memory_pages, .help = "the machine's RAM" },
    { .grammar = "show memory stacks", .kind = COMMAND_SHOW, .role = ROLE_VIEW,
      .run = show_memory_stacks, .help = "stacks, and the most that was used of each" },
    { .grammar = "selftest {double-free|leak|overrun|use-after-free}", .kind = COMMAND_ACTION,
      .role = ROLE_ADMIN, .run = selftest, .only_in_test = true,
      .help = "misuses memory, for the debug allocator to report" },
};
/* clang-format on */

const struct command_table machine_commands = { commands, ARRAY_COUNT(commands), NULL };
