/* A module lies in RAM that the page allocator leaves alone for good. It is read through the direct
 * map, or through a window where that has not all of its pages; windows are never closed, so each
 * module gets one at most. */
#include "kernel/file.h"

#include <string.h>

#include "drivers/fw_cfg.h"
#include "kernel/x86/paging.h"

#define FW_CFG_FOLDER "opt/tsuji/"
_Static_assert(sizeof(FW_CFG_FOLDER) - 1 + FILE_NAME_MAX == FW_CFG_NAME_MAX, "every name fits");
_Static_assert((int)FW_CFG_TRANSFER_MAX == (int)FILE_READ_MAX, "one read is one transfer");

/* Used by core 0 only. */
static const struct boot_info *boot;
static const void *modules[BOOT_MODULE_MAX]; /* where each can be read, once one has asked */
static struct fw_cfg fw_cfg;

void file_init(const struct boot_info *info)
{
    boot = info;
    fw_cfg_open(&fw_cfg);
}

enum error file_open_module(unsigned index, struct file *file)
{
    CHECK(index < boot->module_count);
    const struct boot_module *module = &boot->modules[index];
    if (!modules[index])
        modules[index] = paging_firmware(module->address, module->size_bytes, NULL);
    if (!modules[index])
        return fail(ERROR_NO_MEMORY);
    *file = (struct file){ .size_bytes = module->size_bytes, .bytes = modules[index] };
    return OK;
}

static enum error open_fw_cfg(const char *name, struct file *file)
{
    struct fw_cfg_file found;
    char path[FW_CFG_NAME_MAX] = FW_CFG_FOLDER;

    strcpy(path + strlen(path), name);
    enum error error = fw_cfg_find(&fw_cfg, path, &found);
    if (error)
        return error;
    *file = (struct file){ .size_bytes = found.size_bytes, .item = found.item };
    return OK;
}

enum error file_open(const char *name, struct file *file)
{
    if (!file_name_is_valid(name))
        return ERROR_BAD_VALUE;
    for (unsigned i = 0; i < boot->module_count; i++) {
        if (strcmp(boot->modules[i].name, name) == 0)
            return file_open_module(i, file);
    }
    return open_fw_cfg(name, file);
}

static enum error read_fw_cfg(const struct file *file, uint32_t offset, void *out, size_t size,
                              size_t *read_bytes)
{
    struct fw_cfg_file found = { (uint32_t)file->size_bytes, (uint16_t)file->item };
    return fw_cfg_read(&fw_cfg, &found, offset, out, size, read_bytes);
}

enum error file_read(const struct file *file, uint64_t offset, void *out, size_t size,
                     size_t *read_bytes)
{
    *read_bytes = 0;
    if (offset >= file->size_bytes)
        return OK;
    if (!file->bytes)
        return read_fw_cfg(file, (uint32_t)offset, out, size, read_bytes);
    *read_bytes = MIN_OF(MIN_OF(size, (size_t)FILE_READ_MAX), file->size_bytes - offset);
    memcpy(out, (const char *)file->bytes + offset, *read_bytes);
    return OK;
}
