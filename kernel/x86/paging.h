/* The kernel's page tables: four levels, one set for all cores, the low half empty.
 *
 *   0xffff800000000000  direct map  all RAM but the image's own: read, write
 *   0xffffc00000000000  windows     device registers (uncached) and firmware tables, on demand
 *   0xffffd00000000000  stacks      each with an unmapped guard page under it
 *   0xffffffff80000000  the image   text: read, execute; constants: read; data: read, write
 *
 * Pages are as large as they can be: 1 GiB, 2 MiB, 4 KiB.
 *
 * Nothing is both writable and executable, nor reachable twice, once writable and once executable.
 * What is mapped stays mapped, so no core ever has to be told to forget a translation. */
#pragma once

#include "boot/boot_info.h"
#include "kernel/base/types.h"

#define DIRECT_MAP           0xffff800000000000ull /* BOOT_DIRECT_MAP */
#define WINDOWS_BASE         0xffffc00000000000ull
#define WINDOWS_END          0xffffc10000000000ull
#define STACKS_BASE          0xffffd00000000000ull
#define STACKS_END           0xffffd10000000000ull
#define DIRECT_MAP_BYTES_MAX (WINDOWS_BASE - DIRECT_MAP) /* 64 TiB of RAM */

/* What the pages are for decides what may be done with them. */
enum paging_use {
    PAGING_TEXT,     /* read, execute */
    PAGING_CONSTANT, /* read */
    PAGING_DATA,     /* read, write */
    PAGING_DEVICE,   /* read, write, uncached */
    PAGING_SCREEN,   /* read, write, writes combined */
    PAGING_FIRMWARE, /* read */
};

/* Once, on core 0, after memory_init(): builds the tables and switches to them. *info stays. */
void paging_init(const struct boot_info *info);

/* Each core: the page attribute table that PAGING_SCREEN needs. */
void paging_init_core(void);

/* Maps pages that were not mapped before; addresses and size are multiples of the page size. False
 * where there is no memory for tables (some pages may be mapped then, and stay). */
bool paging_map(uint64_t address, uint64_t physical, uint64_t size_bytes,
                enum paging_use use) MUST_CHECK;

/* Readable bytes for what firmware left in memory, RAM or not; NULL where it cannot be mapped. Of
 * the type acpi_physical; context is not used. */
const void *paging_firmware(uint64_t physical, uint64_t size_bytes, void *context);

/* A linear framebuffer; NULL where it cannot be mapped, or is RAM. mmio_map() of the seam does
 * registers. */
void *paging_screen(uint64_t physical, uint64_t size_bytes) MUST_CHECK;

/* RAM from here on cannot be addressed, or not mapped, and must not be used. */
uint64_t paging_ram_end(void);

/* What is mapped at an address: its physical address, or UINT64_MAX. */
uint64_t paging_physical(uint64_t address);
