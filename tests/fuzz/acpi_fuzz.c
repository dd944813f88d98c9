/* covers: kernel/x86/acpi_tables.c */
/* ACPI tables as a careless or hostile firmware leaves them. The input is memory at physical
 * address 0xe0000, where the RSDP is looked for. Checksums are not in the fuzzer's way: a table
 * that is asked for whole is made to add up, unless its checksum is 0xff. */
#include <stdlib.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/x86/acpi_tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BASE = 0xe0000, AREA_BYTES = 0x20000, RSDP_V1_BYTES = 20, HEADER_BYTES = 36, CHECKSUM = 9 };

struct memory {
    uint8_t *bytes; /* AREA_BYTES */
    bool ebda;
};

static void add_up(uint8_t *bytes, size_t length, size_t checksum)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[checksum] = (uint8_t)(bytes[checksum] - sum);
}

static const void *physical(uint64_t address, uint64_t size, void *context)
{
    static uint8_t ebda_pointer[2];
    struct memory *memory = context;
    if (address == 0x40e && size == sizeof(ebda_pointer) && memory->ebda) {
        ebda_pointer[1] = BASE >> 12;
        return ebda_pointer;
    }
    if (address < BASE || address - BASE > AREA_BYTES || size > AREA_BYTES - (address - BASE))
        return NULL;
    uint8_t *bytes = memory->bytes + (address - BASE);
    if (size > HEADER_BYTES && load_le32(bytes + 4) == size && bytes[CHECKSUM] != 0xff)
        add_up(bytes, size, CHECKSUM);
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory memory = { .bytes = calloc(1, AREA_BYTES), .ebda = size % 2 };
    memcpy(memory.bytes, data, size < AREA_BYTES ? size : AREA_BYTES);
    if (size >= HEADER_BYTES) {
        add_up(memory.bytes, RSDP_V1_BYTES, 8);
        add_up(memory.bytes, ACPI_RSDP_BYTES, 32);
    }

    static struct acpi_info info;
    uint64_t rsdp = acpi_find_rsdp(physical, &memory);
    if (rsdp) {
        uint64_t left = BASE + AREA_BYTES - rsdp;
        enum error error = acpi_tables_read(
            &info, memory.bytes + (rsdp - BASE),
            left < ACPI_RSDP_BYTES ? (size_t)left : (size_t)ACPI_RSDP_BYTES, physical, &memory);
        CHECK((error == OK) == info.present);
        CHECK(info.table_count <= ACPI_TABLE_MAX);
        CHECK(info.processor_count <= ACPI_PROCESSOR_MAX);
        for (unsigned irq = 0; irq < 16; irq++) {
            uint32_t interrupt;
            struct acpi_pin pin;
            acpi_isa_interrupt(&info, (uint8_t)irq, &interrupt, &pin);
        }
    }
    free(memory.bytes);
    return 0;
}
