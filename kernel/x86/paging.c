/* Intel SDM volume 3, chapter 4. Tables are pages of the page allocator, reached through the direct
 * map. */
#include "kernel/x86/paging.h"

#include <string.h>

#include "boot/entry.h"
#include "kernel/memory.h"
#include "kernel/platform.h"
#include "kernel/spinlock.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/cpuid.h"
#include "kernel/x86/registers.h"

enum {
    ENTRY_PRESENT = 1 << 0,
    ENTRY_WRITABLE = 1 << 1,
    ENTRY_WRITE_THROUGH = 1 << 3, /* with PAT_WRITE_COMBINING: writes combined */
    ENTRY_UNCACHED = 1 << 4,
    ENTRY_LARGE = 1 << 7,
    ENTRY_GLOBAL = 1 << 8,
    TABLE_ENTRIES = 512,
    PAGE_SHIFT = 12,
    INDEX_BITS = 9,
    LEVEL_2M = 2, /* levels count from 1, the last, to 4, the root */
    LEVEL_1G = 3,
    LEVEL_ROOT = 4,
};
#define ENTRY_NO_EXECUTE (1ull << 63)
#define ENTRY_ADDRESS    0x000ffffffffff000ull
#define LARGE_BYTES      (2ull << 20)

/* 11.12.4: as after reset, but entry 1 (write-through alone) is write combining. */
#define PAT_WRITE_COMBINING 0x0007040600070106ull

#define CPUID_LEAF_ADDRESS_BITS 0x80000008u
enum { ADDRESS_BITS_LEAST = 36 }; /* of a processor that does not say */

static struct spinlock lock; /* guards the tables and window_next */
static uint64_t *root;
static uint64_t window_next = WINDOWS_BASE;
static uint64_t tables_below =
    BOOT_MAPPED_BYTES;               /* what can be written while the boot tables hold */
static const struct boot_info *boot; /* who has RAM */

/* The topmost table of who writes code, the entry that only it has, and the RAM for code; 0: there
 * is none. Set by paging_init(). */
static uint64_t *writer_root;
static uint64_t writer_entry;
static uint64_t code_physical;

static uint64_t level_bytes(unsigned level)
{
    return 1ull << (PAGE_SHIFT + INDEX_BITS * (level - 1));
}

static unsigned level_index(uint64_t address, unsigned level)
{
    return address >> (PAGE_SHIFT + INDEX_BITS * (level - 1)) & (TABLE_ENTRIES - 1);
}

static uint64_t use_bits(enum paging_use use)
{
    uint64_t no_execute = cpu_features.no_execute ? ENTRY_NO_EXECUTE : 0;
    uint64_t always = ENTRY_PRESENT | ENTRY_GLOBAL;
    switch (use) {
    case PAGING_TEXT:
        return always;
    case PAGING_CONSTANT:
    case PAGING_FIRMWARE:
        return always | no_execute;
    case PAGING_DATA:
        return always | no_execute | ENTRY_WRITABLE;
    case PAGING_DEVICE:
        return always | no_execute | ENTRY_WRITABLE | ENTRY_UNCACHED | ENTRY_WRITE_THROUGH;
    case PAGING_SCREEN:
        return always | no_execute | ENTRY_WRITABLE | ENTRY_WRITE_THROUGH;
    case PAGING_WRITER:
        return ENTRY_PRESENT | no_execute | ENTRY_WRITABLE;
    }
    return 0;
}

static uint64_t *table_create(void)
{
    uint64_t physical = memory_pages_alloc(1, 1, tables_below);
    if (physical == 0)
        return NULL;
    return memset(memory_at(physical), 0, PAGE_BYTES);
}

/* The entry for an address at that level; tables on the way are made. NULL: no memory. */
static uint64_t *entry_make(uint64_t address, unsigned level)
{
    uint64_t *table = root;
    for (unsigned at = LEVEL_ROOT; at > level; at--) {
        uint64_t *entry = &table[level_index(address, at)];
        if (*entry & ENTRY_PRESENT) {
            CHECK(!(*entry & ENTRY_LARGE) || at == LEVEL_ROOT);
            table = memory_at(*entry & ENTRY_ADDRESS);
            continue;
        }
        table = table_create();
        if (!table)
            return NULL;
        *entry = memory_physical(table) | ENTRY_PRESENT | ENTRY_WRITABLE;
    }
    return &table[level_index(address, level)];
}

/* The largest page that begins at both addresses and ends within size_bytes. */
static unsigned best_level(uint64_t address, uint64_t physical, uint64_t size_bytes)
{
    unsigned level = cpu_features.huge_pages ? LEVEL_1G : LEVEL_2M;
    while (level > 1 && (size_bytes < level_bytes(level) ||
                         ((address | physical) & (level_bytes(level) - 1)) != 0))
        level--;
    return level;
}

static bool map(uint64_t address, uint64_t physical, uint64_t size_bytes, enum paging_use use)
{
    while (size_bytes > 0) {
        unsigned level = best_level(address, physical, size_bytes);
        uint64_t *entry = entry_make(address, level);
        if (!entry)
            return false;
        CHECK(*entry == 0);
        *entry = physical | use_bits(use) | (level > 1 ? ENTRY_LARGE : 0);
        address += level_bytes(level);
        physical += level_bytes(level);
        size_bytes -= level_bytes(level);
    }
    return true;
}

bool paging_map(uint64_t address, uint64_t physical, uint64_t size_bytes, enum paging_use use)
{
    spinlock_take(&lock);
    bool mapped = map(address, physical, size_bytes, use);
    spinlock_release(&lock);
    return mapped;
}

uint64_t paging_physical(uint64_t address)
{
    const uint64_t *table = root;
    if (!table)
        return UINT64_MAX;
    for (unsigned level = LEVEL_ROOT;; level--) {
        uint64_t entry = table[level_index(address, level)];
        uint64_t inside = level_bytes(level) - 1;
        if (!(entry & ENTRY_PRESENT))
            return UINT64_MAX;
        if (level == 1 || (entry & ENTRY_LARGE))
            return (entry & ENTRY_ADDRESS & ~inside) | (address & inside);
        table = memory_at(entry & ENTRY_ADDRESS);
    }
}

/* ---- Start ----------------------------------------------------------------------------------- */

static uint64_t page_down(uint64_t address)
{
    return address & ~(uint64_t)(PAGE_BYTES - 1);
}

static uint64_t page_up(uint64_t address)
{
    return page_down(address + PAGE_BYTES - 1);
}

static void map_or_panic(uint64_t address, uint64_t physical, uint64_t end, enum paging_use use)
{
    if (physical < end && !map(address, physical, end - physical, use))
        platform_panic(__FILE__, __LINE__, "no memory for page tables");
}

static uint64_t physical_address_end(void)
{
    unsigned bits = cpuid(CPUID_LEAF_ADDRESS_BITS, 0).eax & 0xff;
    return 1ull << MAX_OF(bits, (unsigned)ADDRESS_BITS_LEAST);
}

uint64_t paging_ram_end(void)
{
    return MIN_OF(physical_address_end(), DIRECT_MAP_BYTES_MAX);
}

/* Bytes of RAM that the direct map leaves out: they have a place and rights of their own. */
struct hole {
    uint64_t base, end;
};

/* The RAM of an area but for the holes, which are in the order of their addresses. */
static void map_ram(const struct boot_memory *area, const struct hole *holes, unsigned hole_count)
{
    uint64_t base = page_up(area->base);
    uint64_t end = MIN_OF(page_down(area->base + area->length_bytes), paging_ram_end());
    for (unsigned i = 0; i < hole_count; i++) {
        map_or_panic(DIRECT_MAP + base, base, MIN_OF(end, holes[i].base), PAGING_DATA);
        base = MAX_OF(base, holes[i].end);
    }
    map_or_panic(DIRECT_MAP + base, base, end, PAGING_DATA);
}

/* Both places of the RAM for code. The boot tables are still in force, and write to it once more.
 */
static void map_code(void)
{
    if (code_physical == 0)
        return;
    memset(memory_at(code_physical), CODE_TRAP, CODE_ARENA_BYTES);
    map_or_panic(CODE_BASE, code_physical, code_physical + CODE_ARENA_BYTES, PAGING_TEXT);
    map_or_panic(CODE_WRITER, code_physical, code_physical + CODE_ARENA_BYTES, PAGING_WRITER);
    uint64_t *entry = &root[level_index(CODE_WRITER, LEVEL_ROOT)];
    writer_entry = *entry;
    *entry = 0;
    writer_root = table_create();
    CHECK(writer_root != NULL);
}

static void map_image(const char *start, const char *end, enum paging_use use)
{
    uint64_t address = page_down((uint64_t)start);
    uint64_t size_bytes = page_up((uint64_t)end) - address;
    uint64_t physical = address - BOOT_IMAGE_OFFSET;
    map_or_panic(address, physical, physical + size_bytes, use);
}

void paging_init(const struct boot_info *info)
{
    uint64_t image = (uint64_t)image_start - BOOT_IMAGE_OFFSET;
    uint64_t image_limit = (uint64_t)image_end - BOOT_IMAGE_OFFSET;

    boot = info;
    root = table_create();
    CHECK(root != NULL);
    /* A whole large page, so none of those that the image begins and ends in. */
    enum { CODE_PAGES = CODE_ARENA_BYTES / PAGE_BYTES };
    code_physical = memory_pages_alloc(CODE_PAGES, CODE_PAGES, tables_below);
    CHECK(code_physical == 0 || code_physical >= image_limit);
    const struct hole holes[] = {
        { image, image_limit },
        { code_physical, code_physical + CODE_ARENA_BYTES },
    };
    for (unsigned i = 0; i < info->memory_count; i++) {
        if (info->memory[i].kind == BOOT_MEMORY_RAM)
            map_ram(&info->memory[i], holes, code_physical ? 2 : 1);
    }
    map_code();
    map_image(image_start, text_end, PAGING_TEXT);
    map_image(rodata_start, data_start, PAGING_CONSTANT);
    map_image(data_start, boot_stack_guard, PAGING_DATA);
    map_image(boot_stack_guard + PAGE_BYTES, image_end, PAGING_DATA);

    paging_init_core();
    tables_below = UINT64_MAX;
    core_start_cr3 = memory_physical(root);
    core_start_efer = cpu_features.no_execute ? EFER_NXE : 0;
    cr3_write(core_start_cr3);
}

void paging_init_core(void)
{
    msr_write(MSR_PAT, PAT_WRITE_COMBINING);
}

/* ---- Windows --------------------------------------------------------------------------------- */

/* Bytes [physical, physical + size_bytes) somewhere among the windows; an unmapped page follows
 * each. */
static void *open_window(uint64_t physical, uint64_t size_bytes, enum paging_use use)
{
    uint64_t physical_end = physical_address_end();
    if (size_bytes == 0 || physical >= physical_end || size_bytes > physical_end - physical)
        return NULL;
    uint64_t base = page_down(physical);
    uint64_t mapped_bytes = page_up(physical + size_bytes) - base;
    /* Large things at an address that large pages can serve. */
    uint64_t align = mapped_bytes >= LARGE_BYTES ? LARGE_BYTES : PAGE_BYTES;

    spinlock_take(&lock);
    uint64_t address = ((window_next + align - 1) & ~(align - 1)) + (base & (align - 1));
    bool mapped = mapped_bytes < WINDOWS_END - address && map(address, base, mapped_bytes, use);
    if (mapped)
        window_next = address + mapped_bytes + PAGE_BYTES;
    spinlock_release(&lock);
    return mapped ? (void *)(address + (physical - base)) : NULL;
}

static bool in_direct_map(uint64_t physical, uint64_t size_bytes)
{
    if (physical >= DIRECT_MAP_BYTES_MAX || size_bytes > DIRECT_MAP_BYTES_MAX - physical)
        return false;
    for (uint64_t page = page_down(physical); page < physical + size_bytes; page += PAGE_BYTES) {
        if (paging_physical(DIRECT_MAP + page) == UINT64_MAX)
            return false;
    }
    return true;
}

const void *paging_firmware(uint64_t physical, uint64_t size_bytes, void *context)
{
    (void)context;
    if (in_direct_map(physical, size_bytes))
        return memory_at(physical);
    return open_window(physical, size_bytes, PAGING_FIRMWARE);
}

static bool touches_ram(uint64_t physical, uint64_t size_bytes)
{
    for (unsigned i = 0; i < boot->memory_count; i++) {
        const struct boot_memory *area = &boot->memory[i];
        if (area->kind == BOOT_MEMORY_RAM && physical < area->base + area->length_bytes &&
            area->base < physical + size_bytes)
            return true;
    }
    return false;
}

/* Devices are where firmware and PCI say. No such word makes RAM, and with it the kernel's text,
 * writable by another address. */
static void *open_device_window(uint64_t physical, uint64_t size_bytes, enum paging_use use)
{
    return touches_ram(physical, size_bytes) ? NULL : open_window(physical, size_bytes, use);
}

void *paging_screen(uint64_t physical, uint64_t size_bytes)
{
    return open_device_window(physical, size_bytes, PAGING_SCREEN);
}

void *mmio_map(uint64_t physical, size_t size)
{
    return open_device_window(physical, size, PAGING_DEVICE);
}

/* ---- Writing code ---------------------------------------------------------------------------- */

bool paging_has_code(void)
{
    return code_physical != 0;
}

uint64_t paging_code_open(void)
{
    CHECK(paging_has_code());
    uint64_t flags = interrupts_off();
    spinlock_take(&lock);
    memcpy(writer_root, root, PAGE_BYTES);
    spinlock_release(&lock);
    writer_root[level_index(CODE_WRITER, LEVEL_ROOT)] = writer_entry;
    cr3_write(memory_physical(writer_root));
    return flags;
}

void paging_code_close(uint64_t opened)
{
    cr3_write(memory_physical(root)); /* 4.10.4.1: forgets all that is not global */
    writer_root[level_index(CODE_WRITER, LEVEL_ROOT)] = 0;
    interrupts_restore(opened);
}
