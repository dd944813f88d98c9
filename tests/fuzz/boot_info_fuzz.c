/* covers: boot/boot_info.c */
/* The first byte chooses the loader. Multiboot2: the rest is the structure, its total size made to
 * fit. PVH: the rest is memory from 0x1000 on, with hvm_start_info in front, its magic made right.
 */
#include "boot/boot_info.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { START = 0x1000 };

struct memory {
    const uint8_t *bytes;
    size_t size;
};

static const void *visible(uint64_t address, uint64_t size_bytes, void *context)
{
    const struct memory *memory = context;
    if (address < START || address - START > memory->size ||
        size_bytes > memory->size - (address - START))
        return NULL;
    return memory->bytes + (address - START);
}

/* What everybody behind relies on. */
static void check(const struct boot_info *info, enum error error)
{
    bool ram = false;
    CHECK(info->memory_count <= BOOT_MEMORY_MAX);
    CHECK(info->module_count <= BOOT_MODULE_MAX);
    for (unsigned i = 0; i < info->memory_count; i++) {
        const struct boot_memory *area = &info->memory[i];
        CHECK(area->length_bytes > 0);
        CHECK(area->length_bytes <= UINT64_MAX - area->base);
        CHECK(i == 0 || area->base >= area[-1].base + area[-1].length_bytes);
        ram |= area->kind == BOOT_MEMORY_RAM;
    }
    for (unsigned i = 0; i < info->module_count; i++) {
        CHECK(strnlen(info->modules[i].name, BOOT_MODULE_NAME_MAX) < BOOT_MODULE_NAME_MAX);
        CHECK(strpbrk(info->modules[i].name, "/ ") == NULL);
    }
    CHECK(error != OK || ram);
    CHECK(strlen(info->command_line) < BOOT_COMMAND_LINE_MAX);
    char value[16];
    (void)boot_option(info, "test", value, sizeof(value));
    (void)boot_option(info, "cores", value, sizeof(value));
    (void)boot_option_is(info, "cores", "1");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct boot_info info;
    if (size < 9)
        return 0;
    size_t length = size - 1;
    uint8_t *bytes = malloc(length);
    memcpy(bytes, data + 1, length);
    memset(&info, 0, sizeof(info));
    if (data[0] % 2 == 0) {
        if (data[0] < 0xf0)
            store_le32(bytes, (uint32_t)length);
        check(&info, boot_info_from_multiboot2(&info, bytes, length));
    } else {
        struct memory memory = { bytes, length };
        if (data[0] < 0xf0)
            store_le32(bytes, 0x336ec578);
        check(&info, boot_info_from_pvh(&info, START, visible, &memory));
    }
    free(bytes);
    return 0;
}
