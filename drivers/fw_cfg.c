/* A selector port chooses an item, a data port gives its bytes one by one; newer QEMUs also copy
 * any part of an item by DMA, told by the physical address of a command structure. Everything the
 * device says is big-endian but for the selectors and the feature bitmap. The directory is an item
 * like the files, and read in the same way. */
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
    DMA_SKIP = 1 << 2,
    DMA_SELECT = 1 << 3,
    DMA_SELECTOR_SHIFT = 16,
};

enum {
    /* QEMU is done before the write returns; a device that is not is left alone. */
    DMA_POLL_MAX = 1000000,
};

struct dma_command {
    uint32_t control_be;
    uint32_t length_be;
    uint64_t address_be;
};

/* The device writes here and nowhere else, whatever becomes of the caller's memory. */
struct transfer {
    volatile struct dma_command command;
    uint8_t bytes[];
};

/* ---- By port --------------------------------------------------------------------------------- */

static void read_by_port(struct fw_cfg *device, uint16_t item, uint32_t offset, void *out,
                         uint32_t size_bytes)
{
    uint8_t *bytes = out;

    if (device->item != item || device->position > offset) {
        port_write16(PORT_SELECTOR, item);
        device->item = item;
        device->position = 0;
    }
    for (; device->position < offset; device->position++)
        port_read8(PORT_DATA);
    for (uint32_t i = 0; i < size_bytes; i++)
        bytes[i] = port_read8(PORT_DATA);
    device->position += size_bytes;
}

/* ---- By DMA ---------------------------------------------------------------------------------- */

static enum error run_command(struct fw_cfg *device, volatile struct dma_command *command,
                              uint32_t control, uint32_t length_bytes, uint64_t target)
{
    uint64_t address = dma_address((const void *)command);
    uint32_t unfinished_be = __builtin_bswap32(~(uint32_t)DMA_ERROR);

    command->control_be = __builtin_bswap32(control);
    command->length_be = __builtin_bswap32(length_bytes);
    command->address_be = __builtin_bswap64(target);
    io_fence();
    port_write32(PORT_DMA_HIGH, __builtin_bswap32((uint32_t)(address >> 32)));
    port_write32(PORT_DMA_LOW, __builtin_bswap32((uint32_t)address));

    uint32_t answer_be = command->control_be;
    for (unsigned i = 0; i < DMA_POLL_MAX && (answer_be & unfinished_be) != 0; i++) {
        core_relax();
        answer_be = command->control_be;
    }
    io_fence();
    if (answer_be == 0)
        return OK;
    device->stuck = (answer_be & unfinished_be) != 0;
    return fail(device->stuck ? ERROR_TIMEOUT : ERROR_DEVICE);
}

static enum error read_by_dma(struct fw_cfg *device, uint16_t item, uint32_t offset, void *out,
                              uint32_t size_bytes)
{
    struct transfer *transfer =
        dma_alloc_uncleared(sizeof(*transfer) + size_bytes, alignof(uint64_t), MEMORY_DRIVER);
    if (!transfer)
        return fail(ERROR_NO_MEMORY);
    uint32_t select = (uint32_t)item << DMA_SELECTOR_SHIFT | DMA_SELECT;
    enum error error = run_command(device, &transfer->command, select | DMA_SKIP, offset, 0);
    if (error == OK)
        error = run_command(device, &transfer->command, DMA_READ, size_bytes,
                            dma_address(transfer->bytes));
    if (error == OK)
        memcpy(out, transfer->bytes, size_bytes);
    if (!device->stuck)
        dma_free(transfer);
    return error;
}

/* ---- Items ----------------------------------------------------------------------------------- */

static enum error read_item(struct fw_cfg *device, uint16_t item, uint32_t offset, void *out,
                            uint32_t size_bytes)
{
    if (device->stuck)
        return fail(ERROR_DEVICE);
    if (device->has_dma)
        return read_by_dma(device, item, offset, out, size_bytes);
    read_by_port(device, item, offset, out, size_bytes);
    return OK;
}

void fw_cfg_open(struct fw_cfg *device)
{
    char signature[4];
    uint8_t features[4];

    *device = (struct fw_cfg){ .position = UINT32_MAX }; /* no item is chosen */
    read_by_port(device, ITEM_SIGNATURE, 0, signature, sizeof(signature));
    device->present = memcmp(signature, "QEMU", sizeof(signature)) == 0;
    if (!device->present)
        return;
    read_by_port(device, ITEM_FEATURES, 0, features, sizeof(features));
    device->has_dma = (load_le32(features) & FEATURE_DMA) != 0;
}

enum error fw_cfg_find(struct fw_cfg *device, const char *name, struct fw_cfg_file *file)
{
    struct {
        uint8_t size_be[4];
        uint8_t item_be[2];
        uint8_t reserved[2];
        char name[FW_CFG_NAME_MAX];
    } entry;
    uint8_t count_be[4];

    if (!device->present)
        return ERROR_NOT_FOUND;
    enum error error = read_item(device, ITEM_DIRECTORY, 0, count_be, sizeof(count_be));
    if (error)
        return error;
    uint32_t count = MIN_OF(load_be32(count_be), (uint32_t)FW_CFG_FILE_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t offset = sizeof(count_be) + i * (uint32_t)sizeof(entry);
        error = read_item(device, ITEM_DIRECTORY, offset, &entry, sizeof(entry));
        if (error)
            return error;
        entry.name[FW_CFG_NAME_MAX - 1] = '\0';
        if (strcmp(entry.name, name) != 0)
            continue;
        file->size_bytes = load_be32(entry.size_be);
        file->item = load_be16(entry.item_be);
        return OK;
    }
    return ERROR_NOT_FOUND;
}

enum error fw_cfg_read(struct fw_cfg *device, const struct fw_cfg_file *file, uint32_t offset,
                       void *out, size_t size_bytes, size_t *read_bytes)
{
    uint32_t left = file->size_bytes - MIN_OF(offset, file->size_bytes);
    uint32_t most = device->has_dma ? FW_CFG_TRANSFER_MAX : FW_CFG_PORT_MAX;
    size_t count = MIN_OF(MIN_OF(left, most), size_bytes);

    *read_bytes = 0;
    if (count == 0)
        return OK;
    enum error error = read_item(device, file->item, offset, out, (uint32_t)count);
    if (error == OK)
        *read_bytes = count;
    return error;
}
