#include "kernel/start_config.h"

#include "kernel/file.h"
#include "kernel/platform.h"

static enum error read_all(const struct file *file, struct start_config *config)
{
    if (file->size_bytes > START_CONFIG_MAX)
        return fail(ERROR_FULL);
    config->text = memory_alloc(file->size_bytes + 1, 0, MEMORY_CONFIG); /* none of 0 bytes */
    if (!config->text)
        return fail(ERROR_NO_MEMORY);
    while (config->length_bytes < file->size_bytes) {
        size_t read_bytes;
        enum error error =
            file_read(file, config->length_bytes, config->text + config->length_bytes,
                      file->size_bytes - config->length_bytes, &read_bytes);
        if (error)
            return error;
        config->length_bytes += read_bytes;
    }
    return OK;
}

enum error start_config_find(const struct boot_info *info, struct start_config *config)
{
    bool by_module = info->module_count > 0;
    struct file file;

    *config = (struct start_config){ .source = by_module ? "boot module" : "fw_cfg" };
    enum error error = by_module ? file_open_module(0, &file) : file_open("config", &file);
    return error ? error : read_all(&file, config);
}

void start_config_free(struct start_config *config)
{
    memory_free(config->text);
    *config = (struct start_config){ .text = NULL };
}
