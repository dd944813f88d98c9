#include "kernel/loader.h"

#include "boot/entry.h"
#include "kernel/platform.h"

enum { MULTIBOOT2_BYTES_MAX = 1 << 20 }; /* GRUB's has some KiB */

/* The boot page tables show the first 4 GiB; loaders put nothing for us above. */
static const void *boot_mapped(uint64_t address, uint64_t size_bytes, void *context)
{
    (void)context;
    if (address > BOOT_MAPPED_BYTES || size_bytes > BOOT_MAPPED_BYTES - address)
        return NULL;
    return (const void *)(BOOT_DIRECT_MAP + address);
}

void loader_read(struct boot_info *info, unsigned protocol, uint64_t information)
{
    enum error error = ERROR_BAD_VALUE;
    if (protocol == BOOT_PVH) {
        error = boot_info_from_pvh(info, information, boot_mapped, NULL);
    } else {
        const uint32_t *total_bytes = boot_mapped(information, MULTIBOOT2_BYTES_MAX, NULL);
        if (total_bytes && *total_bytes <= MULTIBOOT2_BYTES_MAX)
            error = boot_info_from_multiboot2(info, total_bytes, *total_bytes);
    }
    info->first_cycles = boot_first_cycles;
    if (error)
        platform_panic(__FILE__, __LINE__, "the loader's information cannot be used");
}
