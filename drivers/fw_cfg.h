/* QEMU's firmware configuration device: named files that the host hands to the guest.
 * Source: QEMU documentation, docs/specs/fw_cfg.rst. */
#pragma once

#include "kernel/base/types.h"

enum {
    FW_CFG_NAME_MAX = 56,   /* with the final 0 */
    FW_CFG_FILE_MAX = 4096, /* entries of the directory that we look at */
};

struct fw_cfg_file {
    uint32_t size_bytes;
    uint16_t selector;
};

/* False where there is no such device or no such file. */
bool fw_cfg_find(const char *name, struct fw_cfg_file *file) MUST_CHECK;

/* The first size_bytes of the file into out, which is dma_alloc() memory; at most what the file
 * has. By DMA where the device can, else byte by byte. ERROR_TIMEOUT: the device may still write to
 * out one day. */
enum error fw_cfg_read(const struct fw_cfg_file *file, void *out, uint32_t size_bytes) MUST_CHECK;
