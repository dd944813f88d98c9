/* All of the machine's RAM, in pages of 4 KiB and in runs of them.
 *
 * RAM comes in areas. An area is cut into blocks of 2 MiB, each with a count of its free pages, and
 * with a bit per page that means something only while the block is partly used:
 *
 *   area   |  base                                                        end |
 *   blocks | 311 | 512 | 512 |   0 |   0 | 417 | 512 | 512 | ... | 512 |  96  |  free pages
 *   bits     *                             *                             *      (64 bytes each)
 *
 * So a fresh machine of 8 GiB costs 8 KiB of memory touched (bits of untouched blocks are never
 * written), and a single page, a large page or a run of many is found by a walk over small counts,
 * which begins where the first hit can be.
 * Runs of less than a block stay inside one block; longer ones begin at a block.
 *
 * Pure: it never touches the pages it hands out, and speaks of them by physical address. It takes
 * the memory for its counts and bits from the first area that has room. */
#pragma once

#include "kernel/base/types.h"
#include "kernel/spinlock.h"

enum {
    PAGE_AREA_MAX = 192,   /* areas of the boot information, each perhaps cut by a module */
    PAGES_PER_BLOCK = 512, /* 2 MiB: a large page, and a chunk of packet buffers */
};

struct page_block_bits {
    uint64_t free[PAGES_PER_BLOCK / 64];
};

struct page_area {
    uint64_t base; /* physical, multiples of the page size */
    uint64_t end;
    /* From here on once started. */
    uint64_t first_block; /* number of the 2 MiB block that holds base */
    uint32_t block_count;
    uint32_t free_hint;  /* no block before it has a free page */
    uint32_t whole_hint; /* no block before it is all free */
    uint16_t *free_counts;
    struct page_block_bits *bits;
};

struct page_allocator {
    struct spinlock lock; /* guards all below, once started */
    unsigned area_count;
    struct page_area areas[PAGE_AREA_MAX]; /* sorted by base, not overlapping */
    uint64_t total_pages;
    uint64_t free_pages;
    uint64_t lowest_free_pages; /* the least there ever were */
    uint64_t metadata_bytes;
    uint64_t ignored_bytes; /* RAM beyond PAGE_AREA_MAX */
};

/* First all areas are added, then what is in use already is removed; both may overlap each other in
 * any way and need not be aligned (RAM is rounded inwards, holes outwards). */
void page_allocator_init(struct page_allocator *allocator);
void page_allocator_add(struct page_allocator *allocator, uint64_t base, uint64_t length_bytes);
void page_allocator_remove(struct page_allocator *allocator, uint64_t base, uint64_t length_bytes);

/* Where a physical address can be written by us, or NULL where it cannot (yet). */
typedef void *page_to_virtual(uint64_t physical, size_t size, void *context);

/* Takes room for the counts and bits and begins to serve. No memory: nothing was large enough. */
enum error page_allocator_start(struct page_allocator *allocator, page_to_virtual *to_virtual,
                                void *context) MUST_CHECK;

/* count pages in one run, physical address a multiple of align_pages (a power of two) pages, all
 * below `limit` (UINT64_MAX: anywhere). 0 where there is no such run. What is in them is left from
 * before. */
uint64_t page_alloc(struct page_allocator *allocator, size_t count, size_t align_pages,
                    uint64_t limit) MUST_CHECK;

/* Gives back a run or any part of one. False, and nothing done, where a page of it is not in use.
 */
bool page_free(struct page_allocator *allocator, uint64_t physical, size_t count) MUST_CHECK;

struct page_stats {
    uint64_t total_pages;
    uint64_t free_pages;
    uint64_t lowest_free_pages;
    uint64_t free_blocks; /* whole ones */
    uint64_t metadata_bytes;
    uint64_t ignored_bytes;
    unsigned area_count;
};
void page_allocator_stats(struct page_allocator *allocator, struct page_stats *stats);
