/* See memory.h. The one heap of the machine, its pages, and the seam's functions over them. */
#include "kernel/memory.h"

#include <string.h>

#include "kernel/base/log.h"
#include "kernel/platform.h"
#include "kernel/x86/registers.h"

static struct page_allocator pages;
static struct heap heap;
static struct debug_allocator debug;
static char *direct_map;

/* ---- Pages ---------------------------------------------------------------------------------- */

enum { LOW_MEMORY_BYTES = 1024 * 1024 }; /* firmware's, and the trampoline of the other cores */

static void *mapped_at(uint64_t physical, size_t size, void *context)
{
    uint64_t mapped_bytes = *(const uint64_t *)context;
    if (physical > mapped_bytes || size > mapped_bytes - physical)
        return NULL;
    return memory_at(physical);
}

void *memory_at(uint64_t physical)
{
    return direct_map + physical;
}

uint64_t memory_physical(const void *virtual)
{
    return (uint64_t)((const char *)virtual - direct_map);
}

uint64_t memory_pages_alloc(size_t count, size_t align_pages, uint64_t limit)
{
    return page_alloc(&pages, count, align_pages, limit);
}

void memory_pages_free(uint64_t physical, size_t count)
{
    if (!page_free(&pages, physical, count))
        log_error("memory", "free of %zu pages at 0x%llx that are not in use", count,
                  (unsigned long long)physical);
}

void memory_page_stats(struct page_stats *stats)
{
    page_allocator_stats(&pages, stats);
}

static void *heap_pages_take(void *context, size_t count, size_t align)
{
    (void)context;
    uint64_t physical = page_alloc(&pages, count, align, UINT64_MAX);
    return physical ? memory_at(physical) : NULL;
}

static void heap_pages_give(void *context, void *memory, size_t count)
{
    (void)context;
    memory_pages_free(memory_physical(memory), count);
}

static void where_now(struct debug_place *place, void *context)
{
    (void)context;
    place->time_ns = clock_ns();
    place->core = core_current()->index;
    place->level = __builtin_ia32_readeflags_u64() & FLAGS_INTERRUPT ? 0 : 1;
}

void memory_init(const struct boot_info *info, const struct memory_hole *holes, unsigned hole_count,
                 void *map, uint64_t mapped_bytes)
{
    direct_map = map;
    page_allocator_init(&pages);
    for (unsigned i = 0; i < info->memory_count; i++)
        if (info->memory[i].kind == BOOT_MEMORY_RAM)
            page_allocator_add(&pages, info->memory[i].base, info->memory[i].length_bytes);
    page_allocator_remove(&pages, 0, LOW_MEMORY_BYTES);
    for (unsigned i = 0; i < info->module_count; i++)
        page_allocator_remove(&pages, info->modules[i].address, info->modules[i].size_bytes);
    for (unsigned i = 0; i < hole_count; i++)
        page_allocator_remove(&pages, holes[i].base, holes[i].length_bytes);
    if (page_allocator_start(&pages, mapped_at, &mapped_bytes) != OK)
        platform_panic(__FILE__, __LINE__, "no RAM in the loader's memory map");

    static const struct heap_pages source = { heap_pages_take, heap_pages_give, NULL };
    heap_init(&heap, &source);
    debug_allocator_init(&debug, &heap, where_now, NULL);
}

/* ---- The seam ------------------------------------------------------------------------------- */

void *memory_alloc_at(size_t size, size_t align, enum memory_tag tag, const char *file, int line)
{
    if (MEMORY_IS_RECORDED)
        return debug_alloc(&debug, size, align, tag, file, line);
    return heap_alloc(&heap, size, align, tag);
}

void memory_free_at(void *pointer, const char *file, int line)
{
    if (!pointer)
        return;
    if (MEMORY_IS_RECORDED) {
        debug_free(&debug, pointer, file, line);
        return;
    }
    if (heap_free(&heap, pointer) != HEAP_FREED)
        log_error("memory", "%s:%d: free of %p, which is not in use: double free?", file, line,
                  pointer);
}

/* Debug builds make sure that nobody takes it for zeroed. */
void *memory_alloc_uncleared_at(size_t size, size_t align, enum memory_tag tag, const char *file,
                                int line)
{
    enum { UNCLEARED_FILL = 0xcd };
    if (!MEMORY_IS_RECORDED)
        return heap_alloc_uncleared(&heap, size, align, tag);
    void *memory = debug_alloc(&debug, size, align, tag, file, line);
    return memory ? memset(memory, UNCLEARED_FILL, size) : NULL;
}

/* All memory of the heap is physically contiguous and in the direct map. */
void *dma_alloc_at(size_t size, size_t align, enum memory_tag tag, const char *file, int line)
{
    return memory_alloc_at(size, align, tag, file, line);
}

void *dma_alloc_uncleared_at(size_t size, size_t align, enum memory_tag tag, const char *file,
                             int line)
{
    return memory_alloc_uncleared_at(size, align, tag, file, line);
}

void dma_free_at(void *pointer, const char *file, int line)
{
    memory_free_at(pointer, file, line);
}

uint64_t dma_address(const void *pointer)
{
    return memory_physical(pointer);
}

void memory_stats(struct memory_stats *stats)
{
    if (MEMORY_IS_RECORDED)
        debug_allocator_stats(&debug, stats);
    else
        heap_stats(&heap, stats);
    struct page_stats page_stats;
    page_allocator_stats(&pages, &page_stats);
    stats->free_bytes = page_stats.free_pages * PAGE_BYTES;
}

/* ---- Owners, for `show memory leaks` -------------------------------------------------------- */

bool memory_is_recorded(void)
{
    return MEMORY_IS_RECORDED;
}

unsigned memory_owners(struct memory_owner *owners, unsigned max)
{
    return MEMORY_IS_RECORDED ? debug_allocator_owners(&debug, owners, max) : 0;
}

unsigned memory_check(void)
{
    return MEMORY_IS_RECORDED ? debug_allocator_check(&debug) : 0;
}
