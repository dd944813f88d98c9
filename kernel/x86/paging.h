/* The kernel's page tables: four levels, one set for all cores, the low half empty.
 *
 *   0xffff800000000000  direct map  all RAM but the image's own and that for code: read, write
 *   0xffffc00000000000  windows     device registers (uncached) and firmware tables, on demand
 *   0xffffd00000000000  stacks      each with an unmapped guard page under it
 *   0xffffe00000000000  the writer  RAM for code: read, write; only between paging_code_open() and
 *                                   paging_code_close(), on the core that called them
 *   0xffffffff80000000  the image   text: read, execute; constants: read; data: read, write
 *   0xffffffffc0000000  code        made at run time, within reach of the image: read, execute
 *
 * Pages are as large as they can be: 1 GiB, 2 MiB, 4 KiB.
 *
 * Nothing is both writable and executable, nor reachable twice, once writable and once executable.
 * What is mapped stays mapped, so no core ever has to be told to forget a translation. The writer
 * is no exception: it hangs from a topmost table of its own, which is loaded for as long as a piece
 * of code is copied, with interrupts off; its translations are not global and so go when the common
 * table is loaded again. No other core can ever have one. */
#pragma once

#include "boot/boot_info.h"
#include "kernel/base/types.h"

#define DIRECT_MAP           0xffff800000000000ull /* BOOT_DIRECT_MAP */
#define WINDOWS_BASE         0xffffc00000000000ull
#define WINDOWS_END          0xffffc10000000000ull
#define STACKS_BASE          0xffffd00000000000ull
#define STACKS_END           0xffffd10000000000ull
#define CODE_WRITER          0xffffe00000000000ull
#define CODE_BASE            0xffffffffc0000000ull
#define DIRECT_MAP_BYTES_MAX (WINDOWS_BASE - DIRECT_MAP) /* 64 TiB of RAM */

enum {
    CODE_ARENA_BYTES = 2 << 20, /* one large page */
    CODE_TRAP = 0xcc,           /* int3: what is where no code is */
};

/* What the pages are for decides what may be done with them. */
enum paging_use {
    PAGING_TEXT,     /* read, execute */
    PAGING_CONSTANT, /* read */
    PAGING_DATA,     /* read, write */
    PAGING_DEVICE,   /* read, write, uncached */
    PAGING_SCREEN,   /* read, write, writes combined */
    PAGING_FIRMWARE, /* read */
    PAGING_WRITER,   /* read, write, forgotten with the topmost table */
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

/* Is there RAM for code? CODE_ARENA_BYTES at CODE_BASE then, full of traps at first. */
bool paging_has_code(void);

/* From here to paging_code_close(), which takes what this gives, CODE_WRITER is where CODE_BASE can
 * be written by this core, and interrupts are off: for some microseconds, please. */
uint64_t paging_code_open(void) MUST_CHECK;
void paging_code_close(uint64_t opened);
