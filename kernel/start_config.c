#include "kernel/start_config.h"

#include "drivers/fw_cfg.h"
#include "kernel/platform.h"
#include "kernel/x86/paging.h"

static enum error from_fw_cfg(struct start_config *config)
{
    struct fw_cfg_file file;

    if (!fw_cfg_find("opt/tsuji/config", &file))
        return ERROR_NOT_FOUND;
    config->source = "fw_cfg";
    if (file.size_bytes > START_CONFIG_MAX)
        return fail(ERROR_FULL);
    config->length_bytes = file.size_bytes;
    if (file.size_bytes == 0) {
        config->text = "";
        return OK;
    }
    config->memory = dma_alloc(file.size_bytes, 0, MEMORY_CONFIG);
    if (!config->memory)
        return fail(ERROR_NO_MEMORY);
    enum error error = fw_cfg_read(&file, config->memory, file.size_bytes);
    config->text = config->memory;
    if (error == ERROR_TIMEOUT)
        config->memory = NULL; /* the device may still write: never given back */
    return error;
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
    dma_free(config->memory);
    *config = (struct start_config){ .text = NULL };
}
