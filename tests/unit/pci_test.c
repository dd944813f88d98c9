/* Goal: every function is found once and in order, with the sizes its base addresses really have,
 * and devices that lie, loop or vanish do no harm. Method: configuration spaces as bytes with a
 * mask of what can be written, attached to the seam's device model. */
#include "drivers/pci.h"

#include <stdlib.h>
#include <string.h>

#include "drivers/pci_registers.h"
#include "kernel/base/bytes.h"
#include "tests/host/host.h"
#include "tests/unit/test.h"

enum { FUNCTION_MAX = 40, SPACE_BYTES = 4096 };

struct function {
    uint8_t bytes[SPACE_BYTES];
    uint8_t writable[SPACE_BYTES];
    unsigned reads_left; /* then it vanishes; 0: never */
    bool gone;
    unsigned moved; /* writes of a BAR while it was decoding */
};

static struct function functions[FUNCTION_MAX];
static struct device_model models[FUNCTION_MAX];
static unsigned function_count;
static struct pci_bus bus;

static uint64_t function_read(void *context, uint64_t offset, unsigned size)
{
    struct function *function = context;
    if (function->reads_left > 0 && --function->reads_left == 0)
        function->gone = true;
    if (function->gone)
        return UINT64_MAX;
    uint64_t value = 0;
    memcpy(&value, function->bytes + offset, size);
    return value;
}

static void function_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct function *function = context;
    bool bar = offset >= PCI_BAR_FIRST && offset < PCI_BAR_FIRST + 24;
    if (bar && (function->bytes[PCI_COMMAND] & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)))
        function->moved++;
    for (unsigned i = 0; i < size; i++, value >>= 8) {
        uint8_t mask = function->writable[offset + i];
        uint8_t *byte = &function->bytes[offset + i];
        *byte = (uint8_t)((*byte & ~mask) | ((uint8_t)value & mask));
    }
}

static void put32(uint8_t *at, uint32_t value)
{
    store_le32(at, value);
}

static struct function *add(uint8_t bus_number, uint8_t device, uint8_t number, uint16_t id,
                            uint8_t header)
{
    CHECK(function_count < FUNCTION_MAX);
    struct function *function = &functions[function_count];
    models[function_count] = (struct device_model){ function, function_read, function_write };
    put32(function->bytes, (uint32_t)id << 16 | 0x8086);
    function->bytes[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
    function->writable[PCI_COMMAND] = 0x07;
    function->writable[PCI_COMMAND + 1] = 0x04;
    put32(function->bytes + PCI_REVISION, 0x02000003);
    function->bytes[PCI_HEADER_TYPE] = header;
    function->bytes[PCI_INTERRUPT_LINE] = 11;
    function->bytes[PCI_INTERRUPT_PIN] = 1;
    host_attach_pci((struct pci_address){ .bus = bus_number, .device = device, .function = number },
                    &models[function_count++]);
    return function;
}

static struct function *add_bridge(uint8_t bus_number, uint8_t device, uint8_t secondary)
{
    struct function *bridge = add(bus_number, device, 0, 0xb01d, PCI_HEADER_BRIDGE);
    put32(bridge->bytes + PCI_REVISION, 0x06040000);
    bridge->bytes[PCI_SECONDARY_BUS] = secondary;
    return bridge;
}

static void bar32(struct function *function, unsigned index, uint32_t value, uint32_t size)
{
    unsigned flags = value & PCI_BAR_IO ? PCI_BAR_IO_FLAGS : PCI_BAR_MEMORY_FLAGS;
    put32(function->bytes + PCI_BAR_FIRST + 4 * index, value);
    put32(function->writable + PCI_BAR_FIRST + 4 * index, ~(size - 1) & ~flags);
}

static void bar64(struct function *function, unsigned index, uint64_t address, uint64_t size)
{
    bar32(function, index, (uint32_t)address | PCI_BAR_KIND_64, 16);
    put32(function->writable + PCI_BAR_FIRST + 4 * index, (uint32_t) ~(size - 1) & ~0xfu);
    put32(function->bytes + PCI_BAR_FIRST + 4 * index + 4, (uint32_t)(address >> 32));
    put32(function->writable + PCI_BAR_FIRST + 4 * index + 4, (uint32_t)(~(size - 1) >> 32));
}

static void capability(struct function *function, uint8_t at, uint8_t id, uint8_t next)
{
    function->bytes[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    if (function->bytes[PCI_CAPABILITIES] == 0)
        function->bytes[PCI_CAPABILITIES] = at;
    function->bytes[at] = id;
    function->bytes[at + 1] = next;
}

/* ---- Scan ----------------------------------------------------------------------------------- */

TEST(pci_empty_machine_has_no_devices)
{
    pci_scan(&bus);
    EXPECT_EQUAL(bus.device_count, 0);
}

TEST(pci_devices_behind_bridges_come_in_order)
{
    add_bridge(0, 1, 3); /* the higher bus first */
    add_bridge(0, 2, 1);
    add(3, 0, 0, 0x3000, 0);
    add(1, 4, 0, 0x1400, 0);
    add_bridge(1, 5, 2);
    add(2, 31, 0, 0x2310, PCI_HEADER_MANY_FUNCTIONS);
    add(2, 31, 7, 0x2317, 0);
    add(0, 3, 1, 0x0031, 0); /* function 1 without function 0 is not there */
    add(0, 4, 0, 0x0040, 0);
    add(0, 4, 1, 0x0041, 0); /* the device does not say that it has more */
    pci_scan(&bus);
    static const uint16_t order[] = {
        0xb01d, 0xb01d, 0x0040, 0x1400, 0xb01d, 0x2310, 0x2317, 0x3000
    };
    EXPECT_EQUAL(bus.device_count, ARRAY_COUNT(order));
    for (unsigned i = 0; i < bus.device_count; i++)
        EXPECT_EQUAL(bus.devices[i].device, order[i]);
    EXPECT_EQUAL(bus.devices[6].address.function, 7);
    EXPECT_EQUAL(bus.devices[6].class_code, 0x020000);
    EXPECT_EQUAL(bus.devices[6].revision, 3);
    EXPECT_EQUAL(bus.devices[6].interrupt_line, 11);
}

TEST(pci_bridges_that_lead_in_circles_are_seen_once)
{
    add_bridge(0, 1, 1);
    add_bridge(1, 1, 0);
    add_bridge(1, 2, 1);
    add_bridge(0, 2, 1); /* two ways to one bus */
    add_bridge(0, 3, 0); /* not set up */
    pci_scan(&bus);
    EXPECT_EQUAL(bus.device_count, 5);
}

TEST(pci_device_that_vanishes_while_it_is_read_is_left_out)
{
    struct function *steady = add(0, 2, 0, 0x1000, 0);
    struct function *leaving = add(0, 1, 0, 0x2000, 0);
    bar32(leaving, 0, 0xfeb00000, 0x1000);
    bar32(steady, 0, 0xfea00000, 0x1000);
    unsigned runs = 0;
    for (unsigned reads = 1; reads < 60; reads++) {
        leaving->gone = false;
        leaving->reads_left = reads;
        pci_scan(&bus);
        EXPECT(bus.device_count == 1 || !leaving->gone || leaving->reads_left == 0);
        EXPECT_EQUAL(bus.devices[bus.device_count - 1].device, 0x1000);
        runs += bus.device_count == 1;
    }
    EXPECT(runs > 10 && runs < 59); /* at last it stays for long enough */
}

TEST(pci_vendor_that_is_none_is_no_device)
{
    put32(add(0, 1, 0, 0, 0)->bytes, 0xffffffff);
    put32(add(0, 2, 0, 0, 0)->bytes, 0x00000000);
    put32(add(0, 3, 0, 0, 0)->bytes, 0xffff0001);
    pci_scan(&bus);
    EXPECT_EQUAL(bus.device_count, 0);
}

TEST(pci_devices_beyond_the_bound_are_counted)
{
    add(0, 0, 0, 0x1234, PCI_HEADER_MANY_FUNCTIONS); /* its model serves for all */
    for (unsigned i = 1; i < PCI_DEVICE_MAX; i++)
        host_attach_pci((struct pci_address){ .device = (uint8_t)(i / 8), .function = i % 8 },
                        &models[0]);
    add_bridge(0, 31, 1); /* in the place of 31.0 */
    functions[1].bytes[PCI_HEADER_TYPE] |= PCI_HEADER_MANY_FUNCTIONS;
    add(1, 0, 0, 0x1000, 0);
    add(1, 1, 0, 0x1001, 0);
    pci_scan(&bus);
    EXPECT_EQUAL(bus.device_count, PCI_DEVICE_MAX);
    EXPECT_EQUAL(bus.ignored_count, 2);
}

/* ---- Base addresses ------------------------------------------------------------------------- */

TEST(pci_bars_are_sized_and_left_as_they_were)
{
    struct function *function = add(0, 3, 0, 0x100e, 0);
    bar32(function, 0, 0xfebc0000, 0x20000);
    bar32(function, 1, 0xc041, 0x40);
    bar64(function, 2, 0x380000000000, 0x200000000); /* 8 GiB beyond 4 GiB */
    bar64(function, 4, 0xfe000000, 0x4000);
    struct function before = *function;
    pci_scan(&bus);
    const struct pci_bar *bars = bus.devices[0].bars;
    EXPECT_EQUAL(bars[0].address, 0xfebc0000);
    EXPECT_EQUAL(bars[0].size_bytes, 0x20000);
    EXPECT(!bars[0].io && !bars[0].wide);
    EXPECT(bars[1].io);
    EXPECT_EQUAL(bars[1].address, 0xc040);
    EXPECT_EQUAL(bars[1].size_bytes, 0x40);
    EXPECT(bars[2].wide);
    EXPECT_EQUAL(bars[2].address, 0x380000000000);
    EXPECT_EQUAL(bars[2].size_bytes, 0x200000000);
    EXPECT_EQUAL(bars[3].size_bytes, 0);
    EXPECT_EQUAL(bars[4].address, 0xfe000000);
    EXPECT_EQUAL(bars[4].size_bytes, 0x4000);
    EXPECT(memcmp(before.bytes, function->bytes, SPACE_BYTES) == 0);
    EXPECT_EQUAL(function->moved, 0);
}

TEST(pci_bars_that_make_no_sense_are_absent)
{
    struct function *function = add(0, 3, 0, 0x100e, 0);
    bar32(function, 0, 0, 0x1000);                            /* never assigned */
    bar32(function, 5, 0xfe000000 | PCI_BAR_KIND_64, 0x1000); /* no room for its upper half */
    struct function *host = add(0, 0, 0, 0x29c0, 0);
    put32(host->bytes + PCI_REVISION, 0x06000000);
    bar32(host, 0, 0xfed10000, 0x4000); /* not touched */
    pci_scan(&bus);
    EXPECT_EQUAL(bus.device_count, 2);
    for (unsigned i = 0; i < PCI_BAR_MAX; i++) {
        EXPECT_EQUAL(bus.devices[0].bars[i].size_bytes, 0);
        EXPECT_EQUAL(bus.devices[1].bars[i].size_bytes, 0);
    }
    EXPECT(!pci_map_bar(&bus.devices[1], 0, 1));
    EXPECT(!pci_map_bar(&bus.devices[1], PCI_BAR_MAX, 1));
}

TEST(pci_bar_is_mapped_within_its_size_only)
{
    static uint8_t registers[0x1000];
    struct function *function = add(0, 3, 0, 0x100e, 0);
    bar32(function, 0, 0xfebc0000, 0x1000);
    bar32(function, 1, 0xc001, 0x40);
    host_attach_memory(0xfebc0000, sizeof(registers), registers);
    pci_scan(&bus);
    EXPECT(pci_map_bar(&bus.devices[0], 0, 0x1000) == registers);
    EXPECT(!pci_map_bar(&bus.devices[0], 0, 0x1001));
    EXPECT(!pci_map_bar(&bus.devices[0], 0, 0));
    EXPECT(!pci_map_bar(&bus.devices[0], 1, 4));
}

/* ---- Capabilities --------------------------------------------------------------------------- */

TEST(pci_capabilities_are_found_one_after_the_other)
{
    struct function *function = add(0, 3, 0, 0x1000, 0);
    capability(function, 0x40, 9, 0x50);
    capability(function, 0x50, 5, 0x60);
    capability(function, 0x60, 9, 0);
    pci_scan(&bus);
    EXPECT_EQUAL(pci_capability(&bus.devices[0], 9, 0), 0x40);
    EXPECT_EQUAL(pci_capability(&bus.devices[0], 9, 0x40), 0x60);
    EXPECT_EQUAL(pci_capability(&bus.devices[0], 9, 0x60), 0);
    EXPECT_EQUAL(pci_capability(&bus.devices[0], 5, 0), 0x50);
    EXPECT_EQUAL(pci_capability(&bus.devices[0], 6, 0), 0);
    function->bytes[PCI_STATUS] = 0;
    EXPECT_EQUAL(pci_capability(&bus.devices[0], 9, 0), 0);
}

TEST(pci_capabilities_that_loop_or_lead_astray_end)
{
    struct function *function = add(0, 3, 0, 0x1000, 0);
    capability(function, 0x40, 9, 0x50);
    capability(function, 0x50, 5, 0x41); /* back, and odd */
    pci_scan(&bus);
    EXPECT_EQUAL(pci_capability(&bus.devices[0], 6, 0), 0);
    function->bytes[0x51] = 0x20; /* into the header */
    EXPECT_EQUAL(pci_capability(&bus.devices[0], 6, 0), 0);
    function->gone = true;
    EXPECT_EQUAL(pci_capability(&bus.devices[0], 6, 0), 0);
}

/* ---- Message interrupts --------------------------------------------------------------------- */

static uint32_t msix_table[4 * 3];

static struct function *msix_device(uint32_t table_offset)
{
    struct function *function = add(0, 3, 0, 0x1041, 0);
    bar32(function, 1, 0xfeb00000, 0x1000);
    capability(function, 0x40, PCI_CAPABILITY_MSIX, 0);
    function->bytes[0x42] = 3 - 1;
    function->writable[0x43] = 0xc0;
    put32(function->bytes + 0x44, table_offset | 1);
    host_attach_memory(0xfeb00000 + 0x800, sizeof(msix_table), msix_table);
    pci_scan(&bus);
    return function;
}

TEST(pci_msix_masks_all_sets_one_and_closes)
{
    struct function *function = msix_device(0x800);
    struct pci_msix msix;
    EXPECT(pci_msix_open(&bus.devices[0], &msix) == OK);
    EXPECT_EQUAL(msix.entry_count, 3);
    EXPECT_EQUAL(function->bytes[0x43], 0x80);
    EXPECT(function->bytes[PCI_COMMAND + 1] & 4); /* no INTx */
    for (unsigned entry = 0; entry < 3; entry++)
        EXPECT_EQUAL(msix_table[4 * entry + 3], 1);

    int interrupt = interrupt_alloc(0);
    EXPECT(pci_msix_set(&msix, 2, interrupt) == OK);
    EXPECT_EQUAL(msix_table[11], 0);
    EXPECT(host_message((uint64_t)msix_table[9] << 32 | msix_table[8], msix_table[10]));
    EXPECT_EQUAL(interrupt_count(interrupt), 1);
    EXPECT(pci_msix_set(&msix, 3, interrupt) == ERROR_BAD_VALUE);

    struct pci_device device = bus.devices[0];
    pci_msix_close(&device, &msix);
    EXPECT_EQUAL(msix_table[11], 1);
    EXPECT_EQUAL(function->bytes[0x43], 0);
    pci_msix_close(&device, &msix); /* nothing more */
}

TEST(pci_msix_table_outside_its_bar_is_refused)
{
    struct function *function = msix_device(0xff8);
    struct pci_msix msix;
    EXPECT(pci_msix_open(&bus.devices[0], &msix) == ERROR_DEVICE);
    put32(function->bytes + 0x44, 0x2000 | 1);
    EXPECT(pci_msix_open(&bus.devices[0], &msix) == ERROR_DEVICE);
    put32(function->bytes + 0x44, 7);
    EXPECT(pci_msix_open(&bus.devices[0], &msix) == ERROR_DEVICE);
    put32(function->bytes + 0x44, 0);
    EXPECT(pci_msix_open(&bus.devices[0], &msix) == ERROR_DEVICE);
    function->bytes[0x40] = 9;
    EXPECT(pci_msix_open(&bus.devices[0], &msix) == ERROR_UNSUPPORTED);
    EXPECT_EQUAL(function->bytes[0x43], 0);
}

TEST(pci_msi_writes_one_message_in_either_form)
{
    struct function *function = add(0, 3, 0, 0x10d3, 0);
    capability(function, 0x50, PCI_CAPABILITY_MSI, 0);
    memset(function->writable + 0x54, 0xff, 16);
    function->writable[0x52] = 0x71;
    function->bytes[0x52] = 0x70; /* as if eight messages had been on */
    pci_scan(&bus);
    int interrupt = interrupt_alloc(0);
    EXPECT(pci_msi_set(&bus.devices[0], interrupt) == OK);
    EXPECT_EQUAL(function->bytes[0x52], 0x01);
    EXPECT(host_message(load_le32(function->bytes + 0x54), load_le16(function->bytes + 0x58)));

    function->bytes[0x52] = 0x80; /* wide */
    function->bytes[0x53] = 0x01; /* with masks */
    memset(function->bytes + 0x54, 0xff, 16);
    EXPECT(pci_msi_set(&bus.devices[0], interrupt) == OK);
    EXPECT(host_message(load_le64(function->bytes + 0x54), load_le16(function->bytes + 0x5c)));
    EXPECT_EQUAL(load_le32(function->bytes + 0x60), 0);
    pci_msi_clear(&bus.devices[0]);
    EXPECT_EQUAL(function->bytes[0x52], 0x80);
    function->bytes[0x50] = 9;
    EXPECT(pci_msi_set(&bus.devices[0], interrupt) == ERROR_UNSUPPORTED);
    pci_msi_clear(&bus.devices[0]);
}

TEST(pci_enable_and_disable_touch_decoding_and_mastering_only)
{
    struct function *function = add(0, 3, 0, 0x10d3, 0);
    function->bytes[PCI_COMMAND + 1] = 4;
    pci_scan(&bus);
    pci_disable(&bus.devices[0]);
    EXPECT_EQUAL(load_le16(function->bytes + PCI_COMMAND), 0x400);
    pci_enable(&bus.devices[0]);
    EXPECT_EQUAL(load_le16(function->bytes + PCI_COMMAND), 0x407);
}
