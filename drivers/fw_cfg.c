/* A selector port chooses an item, a data port gives its bytes one by one; newer QEMUs also copy a
 * whole item by DMA, told by the physical address of a command structure. Everything the device
 * says is big-endian but for the selectors and the feature bitmap. */
#include "drivers/fw_cfg.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/platform.h"

enum fw_cfg_port {
    PORT_SELECTOR = 0x510,
    PORT_DATA = 0x511,
    PORT_DMA_HIGH = 0x514,
    PORT_DMA_LOW = 0x518, /* writing it starts the transfer */
};

enum fw_cfg_item {
    ITEM_SIGNATURE = 0x0000, /* "QEMU" */
    ITEM_FEATURES = 0x0001,
    ITEM_DIRECTORY = 0x0019,
};

enum { FEATURE_DMA = 1 << 1 };

enum dma_control {
    DMA_ERROR = 1 << 0,
    DMA_READ = 1 << 1,
    DMA_SELECT = 1 << 3,
    DMA_SELECTOR_SHIFT = 16,
};

enum {
    DMA_POLL_MAX =
        1000000, /* QEMU is done before the write returns; a device that is not is left alone */
};

struct dma_command {
    uint32_t control_be;
    uint32_t length_be;
    uint64_t address_be;
};

static void select_item(uint16_t item)
{
    port_write16(PORT_SELECTOR, item);
}

static void read_item(void *out, size_t size_bytes)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < size_bytes; i++)
        bytes[i] = port_read8(PORT_DATA);
}

static bool device_present(void)
{
    char signature[4];

    select_item(ITEM_SIGNATURE);
    read_item(signature, sizeof(signature));
    return memcmp(signature, "QEMU", sizeof(signature)) == 0;
}

static bool device_has_dma(void)
{
    uint8_t features[4];

    select_item(ITEM_FEATURES);
    read_item(features, sizeof(features));
    return (load_le32(features) & FEATURE_DMA) != 0;
}

bool fw_cfg_find(const char *name, struct fw_cfg_file *file)
{
    struct {
        uint8_t size_be[4];
        uint8_t selector_be[2];
        uint8_t reserved[2];
        char name[FW_CFG_NAME_MAX];
    } entry;
    uint8_t count_be[4];

    if (!device_present())
        return false;
    select_item(ITEM_DIRECTORY);
    read_item(count_be, sizeof(count_be));
    uint32_t count = MIN_OF(load_be32(count_be), (uint32_t)FW_CFG_FILE_MAX);
    for (uint32_t i = 0; i < count; i++) {
        read_item(&entry, sizeof(entry));
        entry.name[FW_CFG_NAME_MAX - 1] = '\0';
        if (strcmp(entry.name, name) != 0)
            continue;
        file->size_bytes = load_be32(entry.size_be);
        file->selector = load_be16(entry.selector_be);
        return true;
    }
    return false;
}

static enum error read_by_dma(const struct fw_cfg_file *file, void *out, uint32_t size_bytes)
{
    volatile struct dma_command *command =
        dma_alloc(sizeof(*command), alignof(uint64_t), MEMORY_DRIVER);
    if (!command)
        return fail(ERROR_NO_MEMORY);
    command->control_be =
        __builtin_bswap32((uint32_t)file->selector << DMA_SELECTOR_SHIFT | DMA_SELECT | DMA_READ);
    command->length_be = __builtin_bswap32(size_bytes);
    command->address_be = __builtin_bswap64(dma_address(out));
    uint64_t address = dma_address((const void *)command);
    io_fence();
    port_write32(PORT_DMA_HIGH, __builtin_bswap32((uint32_t)(address >> 32)));
    port_write32(PORT_DMA_LOW, __builtin_bswap32((uint32_t)address));

    uint32_t control = command->control_be;
    for (unsigned i = 0; i < DMA_POLL_MAX && (control & ~__builtin_bswap32(DMA_ERROR)) != 0; i++) {
        core_relax();
        control = command->control_be;
    }
    if ((control & ~__builtin_bswap32(DMA_ERROR)) != 0)
        return fail(ERROR_TIMEOUT); /* the device may still write: its memory is never given back */
    dma_free((void *)command);
    return control == 0 ? OK : fail(ERROR_DEVICE);
}

enum error fw_cfg_read(const struct fw_cfg_file *file, void *out, uint32_t size_bytes)
{
    if (size_bytes > file->size_bytes)
        return fail(ERROR_TRUNCATED);
    if (device_has_dma())
        return read_by_dma(file, out, size_bytes);
    select_item(file->selector);
    read_item(out, size_bytes);
    return OK;
}
