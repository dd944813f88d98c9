/* The machine's memory put together: pages for the kernel itself, and under memory_alloc() and
 * dma_alloc() of the seam the heap, with the debug allocator in between in debug builds. */
#pragma once

#include "boot/boot_info.h"
#include "kernel/base/types.h"
#include "kernel/debug_allocator.h"
#include "kernel/page_allocator.h"

/* Something in RAM that is in use already: the image, the first page tables, modules. */
struct memory_hole {
    uint64_t base; /* physical */
    uint64_t length_bytes;
};

/* Once, on core 0, as soon as RAM is mapped at `direct_map` (physical 0 is found there), of which
 * the first mapped_bytes can be written so far. Takes all RAM of the boot information above 1 MiB
 * but for the boot modules and the holes. Panics where there is none. Nothing is touched but a
 * little metadata. */
void memory_init(const struct boot_info *info, const struct memory_hole *holes, unsigned hole_count,
                 void *direct_map, uint64_t mapped_bytes);

/* Pages for page tables, stacks, code: physical address below `limit` (UINT64_MAX: anywhere), 0
 * when there are none. Not zeroed. */
uint64_t memory_pages_alloc(size_t count, size_t align_pages, uint64_t limit) MUST_CHECK;
void memory_pages_free(uint64_t physical, size_t count);

/* Through the direct map. */
void *memory_at(uint64_t physical);
uint64_t memory_physical(const void *virtual);

/* Figures beside memory_stats() of the seam. */
void memory_page_stats(struct page_stats *stats);

/* debug_allocator_owners() of the machine's heap: `show memory leaks`. Debug builds only, 0 in
 * others. */
unsigned memory_owners(struct memory_owner *owners, unsigned max);
bool memory_is_recorded(void); /* is this a debug build? */

/* Looks at all red zones and poison now and reports in the log; how many blocks were damaged. */
unsigned memory_check(void);
