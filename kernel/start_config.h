/* Where the first configuration comes from: the first boot module, whatever its name, else QEMU's
 * fw_cfg file `opt/tsuji/config`, else nowhere (the built-in default stays). */
#pragma once

#include "boot/boot_info.h"
#include "kernel/base/types.h"

enum { START_CONFIG_MAX = 16 * 1024 * 1024 }; /* bytes of text; more is refused and said so */

struct start_config {
    char *text; /* NULL: there is none; given back by start_config_free() */
    size_t length_bytes;
    const char *source; /* "boot module", "fw_cfg" */
};

/* ERROR_NOT_FOUND: nobody gave one. Any other error: somebody did, and it cannot be read. */
enum error start_config_find(const struct boot_info *info, struct start_config *config) MUST_CHECK;
void start_config_free(struct start_config *config);
