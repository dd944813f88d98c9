/* See heap.h for the shape. Every free slot holds the link to the next one, so taking and giving
 * are O(1); a slab that empties goes back to the pages unless it is the last one with room. */
#include "kernel/heap.h"

#include <string.h>

enum { SLAB_PAGES = HEAP_SLAB_BYTES / PAGE_BYTES, ALIGN_DEFAULT = 16 };

static const uint16_t class_bytes[HEAP_CLASS_COUNT] = {
    16,  32,   48,   64,   96,   128,  192,  256,  384,  512,
    768, 1024, 1536, 2048, 3072, 4096, 6144, 7168, 8192,
};

/* At the start of a slab. */
struct heap_slab {
    struct heap_slab *next_known;       /* in heap->slabs */
    struct heap_slab *next, **previous; /* in heap->partial; previous is NULL while it is full */
    void *free;                         /* first free slot; each holds the next */
    uint16_t class_index;
    uint16_t slot_count;
    uint16_t used_count;
    uint32_t first_slot; /* its offset in the slab */
    uint8_t owners[];    /* of each slot: 0 while free, else memory_tag + 1 */
};

/* Memory of whole pages. Records live in the heap's own slots. */
struct heap_large {
    struct heap_large *next;
    void *address;
    size_t page_count;
    enum memory_tag tag;
};

void heap_init(struct heap *heap, const struct heap_pages *pages)
{
    *heap = (struct heap){ .lock = { ATOMIC_FLAG_INIT }, .pages = *pages };
}

/* ---- Accounts ------------------------------------------------------------------------------- */

static void account_taken(struct heap *heap, size_t size, enum memory_tag tag)
{
    struct memory_stats *stats = &heap->stats;
    stats->live++;
    stats->live_bytes += size;
    stats->peak_bytes = MAX_OF(stats->peak_bytes, stats->live_bytes);
    stats->tags[tag].live++;
    stats->tags[tag].live_bytes += size;
}

static void account_given(struct heap *heap, size_t size, enum memory_tag tag)
{
    struct memory_stats *stats = &heap->stats;
    stats->live--;
    stats->live_bytes -= size;
    stats->tags[tag].live--;
    stats->tags[tag].live_bytes -= size;
}

/* ---- Slabs ---------------------------------------------------------------------------------- */

/* The largest power of two that divides a size: slots of it can all be aligned so. */
static size_t natural_align(size_t size)
{
    return size & -size;
}

/* The smallest class for it, or HEAP_CLASS_COUNT. */
static unsigned class_for(size_t size, size_t align)
{
    unsigned index = 0;
    while (index < HEAP_CLASS_COUNT &&
           (class_bytes[index] < size || natural_align(class_bytes[index]) < align))
        index++;
    return index;
}

static void slab_link(struct heap *heap, struct heap_slab *slab)
{
    struct heap_slab **head = &heap->partial[slab->class_index];
    slab->next = *head;
    slab->previous = head;
    if (slab->next)
        slab->next->previous = &slab->next;
    *head = slab;
}

static void slab_unlink(struct heap_slab *slab)
{
    *slab->previous = slab->next;
    if (slab->next)
        slab->next->previous = slab->previous;
    slab->previous = NULL;
}

/* The link to the slab that begins there, or the one at the end of its list. Addresses alone are
 * compared: what a wrong pointer points to is never looked at, it may not even be mapped. */
static struct heap_slab **slab_find(struct heap *heap, uintptr_t start)
{
    struct heap_slab **link = &heap->slabs[start / HEAP_SLAB_BYTES % HEAP_SLAB_BUCKETS];
    while (*link && (uintptr_t)*link != start)
        link = &(*link)->next_known;
    return link;
}

static void *slab_slot(const struct heap_slab *slab, unsigned index)
{
    return (char *)slab + slab->first_slot + (size_t)index * class_bytes[slab->class_index];
}

static struct heap_slab *slab_create(struct heap *heap, unsigned class_index)
{
    struct heap_slab *slab = heap->pages.take(heap->pages.context, SLAB_PAGES, SLAB_PAGES);
    if (!slab)
        return NULL;

    size_t size = class_bytes[class_index];
    size_t align = natural_align(size);
    size_t count = (HEAP_SLAB_BYTES - sizeof(*slab)) / (size + 1);
    size_t first = (sizeof(*slab) + count + align - 1) / align * align;
    count = MIN_OF(count, (HEAP_SLAB_BYTES - first) / size);

    *slab = (struct heap_slab){
        .class_index = (uint16_t)class_index,
        .slot_count = (uint16_t)count,
        .first_slot = (uint32_t)first,
    };
    memset(slab->owners, 0, count);
    for (unsigned i = (unsigned)count; i-- > 0;) {
        void **slot = slab_slot(slab, i);
        *slot = slab->free;
        slab->free = slot;
    }
    slab_link(heap, slab);
    *slab_find(heap, (uintptr_t)slab) = slab;
    return slab;
}

static void slab_destroy(struct heap *heap, struct heap_slab *slab)
{
    slab_unlink(slab);
    *slab_find(heap, (uintptr_t)slab) = slab->next_known;
    heap->pages.give(heap->pages.context, slab, SLAB_PAGES);
}

/* Where `pointer` is a slot, the slab and the slot's number. */
static struct heap_slab *slab_of(struct heap *heap, const void *pointer, unsigned *slot)
{
    size_t offset = (uintptr_t)pointer % HEAP_SLAB_BYTES;
    struct heap_slab *slab = *slab_find(heap, (uintptr_t)pointer - offset);
    if (!slab)
        return NULL;
    size_t size = class_bytes[slab->class_index];
    if (offset < slab->first_slot || (offset - slab->first_slot) % size != 0)
        return NULL;
    *slot = (unsigned)((offset - slab->first_slot) / size);
    return *slot < slab->slot_count ? slab : NULL;
}

static void *slab_take(struct heap *heap, unsigned class_index, enum memory_tag tag)
{
    struct heap_slab *slab = heap->partial[class_index];
    if (!slab)
        slab = slab_create(heap, class_index);
    if (!slab)
        return NULL;

    void **slot = slab->free;
    unsigned index;
    CHECK(slab_of(heap, slot, &index) ==
          slab); /* a link overwritten by a use after free ends here */
    CHECK(slab->owners[index] == 0);
    slab->free = *slot;
    slab->owners[index] = (uint8_t)(tag + 1);
    slab->used_count++;
    if (!slab->free)
        slab_unlink(slab);
    return slot;
}

static void slab_give(struct heap *heap, struct heap_slab *slab, unsigned index)
{
    void **slot = slab_slot(slab, index);
    *slot = slab->free;
    slab->free = slot;
    slab->owners[index] = 0;
    slab->used_count--;
    if (!slab->previous)
        slab_link(heap, slab);

    bool last = heap->partial[slab->class_index] == slab && !slab->next;
    if (slab->used_count == 0 && !last)
        slab_destroy(heap, slab);
}

/* ---- Whole pages ---------------------------------------------------------------------------- */

static struct heap_large **large_find(struct heap *heap, const void *address)
{
    struct heap_large **link = &heap->large[(uintptr_t)address / PAGE_BYTES % HEAP_LARGE_BUCKETS];
    while (*link && (*link)->address != address)
        link = &(*link)->next;
    return link;
}

/* The record of a run of pages is a slot that no account knows. */
static struct heap_large *record_take(struct heap *heap)
{
    return slab_take(heap, class_for(sizeof(struct heap_large), ALIGN_DEFAULT), MEMORY_MISC);
}

static void record_give(struct heap *heap, struct heap_large *record)
{
    unsigned index;
    struct heap_slab *slab = slab_of(heap, record, &index);
    slab_give(heap, slab, index);
}

static void *large_take(struct heap *heap, size_t page_count, size_t align, enum memory_tag tag)
{
    struct heap_large *record = record_take(heap);
    if (!record)
        return NULL;
    void *pages = heap->pages.take(heap->pages.context, page_count, MAX_OF(align / PAGE_BYTES, 1u));
    if (!pages) {
        record_give(heap, record);
        return NULL;
    }
    struct heap_large **link = large_find(heap, pages);
    *record = (struct heap_large){
        .next = *link,
        .address = pages,
        .page_count = page_count,
        .tag = tag,
    };
    *link = record;
    return pages;
}

static void large_give(struct heap *heap, struct heap_large **link)
{
    struct heap_large *record = *link;
    *link = record->next;
    heap->pages.give(heap->pages.context, record->address, record->page_count);
    record_give(heap, record);
}

/* ---- The heap ------------------------------------------------------------------------------- */

/* *size: what was asked for, then what was taken. */
static void *take(struct heap *heap, size_t *size, size_t align, enum memory_tag tag)
{
    align = align ? align : ALIGN_DEFAULT;
    CHECK((align & (align - 1)) == 0);
    CHECK(tag < MEMORY_TAG_COUNT);
    if (*size > SIZE_MAX - PAGE_BYTES)
        return NULL;

    spinlock_take(&heap->lock);
    unsigned class_index = class_for(*size, align);
    void *memory;
    if (class_index < HEAP_CLASS_COUNT) {
        *size = class_bytes[class_index];
        memory = slab_take(heap, class_index, tag);
    } else {
        *size = (MAX_OF(*size, 1u) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
        memory = large_take(heap, *size / PAGE_BYTES, align, tag);
    }
    if (memory)
        account_taken(heap, *size, tag);
    spinlock_release(&heap->lock);
    return memory;
}

void *heap_alloc(struct heap *heap, size_t size, size_t align, enum memory_tag tag)
{
    void *memory = take(heap, &size, align, tag);
    return memory ? memset(memory, 0, size) : NULL;
}

void *heap_alloc_uncleared(struct heap *heap, size_t size, size_t align, enum memory_tag tag)
{
    return take(heap, &size, align, tag);
}

/* Only a page's first byte can be a run of pages; a slot may be there too, so both are asked. */
static struct heap_large **large_at(struct heap *heap, const void *pointer)
{
    if ((uintptr_t)pointer % PAGE_BYTES != 0)
        return NULL;
    struct heap_large **link = large_find(heap, pointer);
    return *link ? link : NULL;
}

enum heap_verdict heap_free(struct heap *heap, void *pointer)
{
    enum heap_verdict verdict = HEAP_FREED;

    spinlock_take(&heap->lock);
    struct heap_large **large = large_at(heap, pointer);
    unsigned index;
    struct heap_slab *slab = large ? NULL : slab_of(heap, pointer, &index);
    if (large) {
        account_given(heap, (*large)->page_count * PAGE_BYTES, (*large)->tag);
        large_give(heap, large);
    } else if (!slab) {
        verdict = HEAP_NOT_OURS;
        heap->stats.double_frees++;
    } else if (slab->owners[index] == 0) {
        verdict = HEAP_NOT_IN_USE;
        heap->stats.double_frees++;
    } else {
        account_given(heap, class_bytes[slab->class_index],
                      (enum memory_tag)(slab->owners[index] - 1));
        slab_give(heap, slab, index);
    }
    spinlock_release(&heap->lock);
    return verdict;
}

size_t heap_size(struct heap *heap, const void *pointer)
{
    size_t size = 0;

    spinlock_take(&heap->lock);
    struct heap_large **large = large_at(heap, pointer);
    unsigned index;
    struct heap_slab *slab = large ? NULL : slab_of(heap, pointer, &index);
    if (large)
        size = (*large)->page_count * PAGE_BYTES;
    else if (slab && slab->owners[index] != 0)
        size = class_bytes[slab->class_index];
    spinlock_release(&heap->lock);
    return size;
}

void heap_stats(struct heap *heap, struct memory_stats *stats)
{
    spinlock_take(&heap->lock);
    *stats = heap->stats;
    spinlock_release(&heap->lock);
}
