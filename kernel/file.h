/* The files of the seam in the bare machine: boot modules, and under the same name QEMU's fw_cfg
 * file, where no module has it. */
#pragma once

#include "boot/boot_info.h"
#include "kernel/platform.h"

/* Once, on core 0, after paging_init(). *info stays. */
void file_init(const struct boot_info *info);

/* Boot module `index` of those that there are, whatever its name. */
enum error file_open_module(unsigned index, struct file *file) MUST_CHECK;
