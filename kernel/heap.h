/* The heap: memory of any size for control work, from pages.
 *
 *   up to 8 KiB   slabs of 64 KiB with slots of one size each:
 *                 +-------------+---------------------------+----------------------------+
 *                 | struct slab | a byte per slot: 0 free,  | slot 0 | slot 1 | slot 2 ..|
 *                 |             | or its memory_tag + 1     |        |        |          |
 *                 +-------------+---------------------------+----------------------------+
 *   above         whole pages, with a record in a hash table by address
 *
 * A slot's byte tells for certain whether it is in use, so a double free is noticed in every build.
 * Slabs are aligned to their size: masking a pointer gives its slab, if it is one that a hash table
 * by address knows; so nothing is read through a wrong pointer. All memory is physically
 * contiguous, because pages are; so device memory comes from here too.
 *
 * Pure: pages come from a `struct heap_pages`. */
#pragma once

#include "kernel/base/types.h"
#include "kernel/platform.h"
#include "kernel/spinlock.h"

enum {
    HEAP_SLAB_BYTES = 64 * 1024,
    HEAP_SLOT_BYTES_MAX = 8192,
    HEAP_CLASS_COUNT = 19,
    HEAP_LARGE_BUCKETS = 1024,
    HEAP_SLAB_BUCKETS = 1024, /* lists of one slab each, up to 64 MiB of them */
};

/* Where the heap gets its pages from. take: count pages in a run aligned to align pages, or NULL.
 */
struct heap_pages {
    void *(*take)(void *context, size_t count, size_t align);
    void (*give)(void *context, void *pages, size_t count);
    void *context;
};

struct heap_slab;
struct heap_large;

/* What became of a free. */
enum heap_verdict {
    HEAP_FREED,
    HEAP_NOT_IN_USE, /* a slot, but free: double free? */
    HEAP_NOT_OURS,   /* no slot and no run of pages begins there */
};

struct heap {
    struct spinlock lock; /* guards all below */
    struct heap_pages pages;
    struct heap_slab *partial[HEAP_CLASS_COUNT]; /* slabs with a free slot */
    struct heap_slab *slabs[HEAP_SLAB_BUCKETS];  /* all, by address */
    struct heap_large *large[HEAP_LARGE_BUCKETS];
    struct memory_stats stats; /* sizes as taken: a slot's, or whole pages */
};

void heap_init(struct heap *heap, const struct heap_pages *pages);

/* Zeroed memory or NULL; align is a power of two, 0 means 16. */
void *heap_alloc(struct heap *heap, size_t size, size_t align, enum memory_tag tag) MUST_CHECK;
void *heap_alloc_uncleared(struct heap *heap, size_t size, size_t align,
                           enum memory_tag tag) MUST_CHECK;
enum heap_verdict heap_free(struct heap *heap, void *pointer) MUST_CHECK;

/* How many bytes the block that begins there really has; 0 where none is in use there. */
size_t heap_size(struct heap *heap, const void *pointer);

void heap_stats(struct heap *heap, struct memory_stats *stats);
