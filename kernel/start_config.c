#include "kernel/start_config.h"

#include "drivers/fw_cfg.h"
#include "kernel/platform.h"
#include "kernel/x86/paging.h"

static enum error from_fw_cfg(struct start_config *config)
{
    struct fw_cfg device;
    struct fw_cfg_file file;

    config->source = "fw_cfg";
    fw_cfg_open(&device);
    enum error error = fw_cfg_find(&device, "opt/tsuji/config", &file);
    if (error)
        return error;
    if (file.size_bytes > START_CONFIG_MAX)
        return fail(ERROR_FULL);
    char *text = memory_alloc((size_t)file.size_bytes + 1, 0, MEMORY_CONFIG);
    if (!text)
        return fail(ERROR_NO_MEMORY);
    config->text = config->memory = text;
    while (config->length_bytes < file.size_bytes) {
        size_t read_bytes;
        uint32_t offset = (uint32_t)config->length_bytes;
        error = fw_cfg_read(&device, &file, offset, text + offset, file.size_bytes - offset,
                            &read_bytes);
        if (error)
            return error;
        config->length_bytes += read_bytes;
    }
    return OK;
}

enum error start_config_find(const struct boot_info *info, struct start_config *config)
{
    *config = (struct start_config){ .text = NULL };
    if (info->module_count == 0)
        return from_fw_cfg(config);
    config->source = "boot module";
    if (info->modules[0].size_bytes > START_CONFIG_MAX)
        return fail(ERROR_FULL);
    /* Not by the direct map, which has whole pages of RAM only, and no image. */
    config->text = paging_firmware(info->modules[0].address, info->modules[0].size_bytes, NULL);
    config->length_bytes = info->modules[0].size_bytes;
    return config->text ? OK : fail(ERROR_NO_MEMORY);
}

void start_config_free(struct start_config *config)
{
    memory_free(config->memory);
    *config = (struct start_config){ .text = NULL };
}
