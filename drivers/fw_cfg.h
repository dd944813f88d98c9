/* QEMU's firmware configuration device: named files that the host hands to the guest.
 * Source: QEMU documentation, docs/specs/fw_cfg.rst.
 *
 * It is one device with one place where it reads, so one core at a time may use it. */
#pragma once

#include "kernel/base/types.h"

enum {
    FW_CFG_NAME_MAX = 56,   /* with the final 0 */
    FW_CFG_FILE_MAX = 4096, /* entries of the directory that we look at */
    /* What one fw_cfg_read() takes at most, so that it ends within some 100 microseconds: a
     * transfer copies gigabytes in a second, but each byte by port costs an exit of the virtual
     * machine. */
    FW_CFG_TRANSFER_MAX = 32 * 1024,
    FW_CFG_PORT_MAX = 128,
};

struct fw_cfg {
    bool present;
    bool has_dma;
    bool stuck; /* it never ended a transfer, and is asked no more */
    /* What the data port gives next. */
    uint16_t item;
    uint32_t position;
};

struct fw_cfg_file {
    uint32_t size_bytes;
    uint16_t item;
};

/* Looks whether there is one, and what it can do. */
void fw_cfg_open(struct fw_cfg *device);

/* ERROR_NOT_FOUND where there is no such device or no such file. Others as below. */
enum error fw_cfg_find(struct fw_cfg *device, const char *name,
                       struct fw_cfg_file *file) MUST_CHECK;

/* Up to size_bytes of the file from offset into out; *read_bytes says how many, 0 at its end only.
 * By DMA where the device can, from any offset; else byte by byte, and going anywhere but on from
 * the last read costs the bytes in between. ERROR_DEVICE: it says that it failed. ERROR_TIMEOUT: it
 * does not answer; the memory that it may still write to is never given back, and from then on
 * every answer is ERROR_DEVICE. */
enum error fw_cfg_read(struct fw_cfg *device, const struct fw_cfg_file *file, uint32_t offset,
                       void *out, size_t size_bytes, size_t *read_bytes) MUST_CHECK;
