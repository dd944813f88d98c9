/* See page_allocator.h for how RAM is cut up. Searching always begins at the lowest area, so that
 * the machine's memory fills from below and whole blocks stay whole as long as possible: a single
 * page comes from a block that is in use already where there is one. */
#include "kernel/page_allocator.h"

#include "kernel/base/bytes.h"

enum {
    BLOCK_BYTES = PAGES_PER_BLOCK * PAGE_BYTES,
    WORD_BITS = 64,
};

/* ---- Areas ---------------------------------------------------------------------------------- */

void page_allocator_init(struct page_allocator *allocator)
{
    *allocator = (struct page_allocator){ .lock = { ATOMIC_FLAG_INIT } };
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return value > UINT64_MAX - (unit - 1) ? UINT64_MAX / unit * unit
                                           : (value + unit - 1) / unit * unit;
}

static uint64_t round_down(uint64_t value, uint64_t unit)
{
    return value / unit * unit;
}

static void area_delete(struct page_allocator *allocator, unsigned at)
{
    allocator->area_count--;
    for (unsigned i = at; i < allocator->area_count; i++)
        allocator->areas[i] = allocator->areas[i + 1];
}

static void area_insert(struct page_allocator *allocator, unsigned at, uint64_t base, uint64_t end)
{
    if (base >= end)
        return;
    if (allocator->area_count == PAGE_AREA_MAX) {
        allocator->ignored_bytes += end - base;
        return;
    }
    for (unsigned i = allocator->area_count; i > at; i--)
        allocator->areas[i] = allocator->areas[i - 1];
    allocator->area_count++;
    allocator->areas[at] = (struct page_area){ .base = base, .end = end };
}

void page_allocator_add(struct page_allocator *allocator, uint64_t base, uint64_t length_bytes)
{
    uint64_t end = length_bytes > UINT64_MAX - base ? UINT64_MAX : base + length_bytes;
    base = round_up(base, PAGE_BYTES);
    end = round_down(end, PAGE_BYTES);
    if (base >= end)
        return;

    /* What touches or overlaps becomes one area. */
    unsigned at = 0;
    while (at < allocator->area_count && allocator->areas[at].end < base)
        at++;
    while (at < allocator->area_count && allocator->areas[at].base <= end) {
        base = MIN_OF(base, allocator->areas[at].base);
        end = MAX_OF(end, allocator->areas[at].end);
        area_delete(allocator, at);
    }
    area_insert(allocator, at, base, end);
}

void page_allocator_remove(struct page_allocator *allocator, uint64_t base, uint64_t length_bytes)
{
    if (length_bytes == 0)
        return;
    uint64_t end = length_bytes > UINT64_MAX - base ? UINT64_MAX : base + length_bytes;
    base = round_down(base, PAGE_BYTES);
    end = round_up(end, PAGE_BYTES);

    unsigned at = 0;
    while (at < allocator->area_count) {
        struct page_area area = allocator->areas[at];
        if (area.end <= base || area.base >= end) {
            at++;
            continue;
        }
        area_delete(allocator, at);
        if (area.base < base)
            area_insert(allocator, at++, area.base, base);
        if (area.end > end)
            area_insert(allocator, at++, end, area.end);
    }
}

/* ---- Blocks --------------------------------------------------------------------------------- */

/* Of an area's block: the pages that belong to the area. The first and last block may be cut. */
static void block_bounds(const struct page_area *area, uint32_t block, unsigned *first,
                         unsigned *end)
{
    uint64_t base = (area->first_block + block) * BLOCK_BYTES;
    *first = area->base > base ? (unsigned)((area->base - base) / PAGE_BYTES) : 0;
    *end = area->end - base < BLOCK_BYTES ? (unsigned)((area->end - base) / PAGE_BYTES)
                                          : PAGES_PER_BLOCK;
}

static unsigned block_size(const struct page_area *area, uint32_t block)
{
    unsigned first, end;
    block_bounds(area, block, &first, &end);
    return end - first;
}

static void bits_set(struct page_block_bits *bits, unsigned from, unsigned count, bool free)
{
    for (unsigned page = from; page < from + count; page++) {
        uint64_t mask = 1ull << (page % WORD_BITS);
        if (free)
            bits->free[page / WORD_BITS] |= mask;
        else
            bits->free[page / WORD_BITS] &= ~mask;
    }
}

static bool bit_is_free(const struct page_block_bits *bits, unsigned page)
{
    return (bits->free[page / WORD_BITS] >> (page % WORD_BITS)) & 1;
}

/* Makes the bits say what the count says, before a block becomes partly used. */
static void block_open(struct page_area *area, uint32_t block)
{
    unsigned first, end;
    block_bounds(area, block, &first, &end);
    if (area->free_counts[block] == end - first) {
        area->bits[block] = (struct page_block_bits){ { 0 } };
        bits_set(&area->bits[block], first, end - first, true);
    } else if (area->free_counts[block] == 0) {
        area->bits[block] = (struct page_block_bits){ { 0 } };
    }
}

static void block_take(struct page_area *area, uint32_t block, unsigned page, unsigned count)
{
    block_open(area, block);
    bits_set(&area->bits[block], page, count, false);
    area->free_counts[block] = (uint16_t)(area->free_counts[block] - count);
}

static void block_give(struct page_area *area, uint32_t block, unsigned page, unsigned count)
{
    bits_set(&area->bits[block], page, count, true);
    area->free_counts[block] = (uint16_t)(area->free_counts[block] + count);
    area->free_hint = MIN_OF(area->free_hint, block);
    if (area->free_counts[block] == PAGES_PER_BLOCK)
        area->whole_hint = MIN_OF(area->whole_hint, block);
}

/* First page of `count` free ones in a row at a multiple of align, or PAGES_PER_BLOCK. */
static unsigned block_find(struct page_area *area, uint32_t block, unsigned count, unsigned align)
{
    block_open(area, block);
    const struct page_block_bits *bits = &area->bits[block];
    unsigned page = 0;
    while (page + count <= PAGES_PER_BLOCK) {
        if (page % WORD_BITS == 0 && bits->free[page / WORD_BITS] == 0) {
            page += MAX_OF(align, (unsigned)WORD_BITS);
            continue;
        }
        unsigned length = 0;
        while (length < count && bit_is_free(bits, page + length))
            length++;
        if (length == count)
            return page;
        page = (page + length + align) / align * align;
    }
    return PAGES_PER_BLOCK;
}

enum error page_allocator_start(struct page_allocator *allocator, page_to_virtual *to_virtual,
                                void *context)
{
    uint64_t block_total = 0;
    for (unsigned i = 0; i < allocator->area_count; i++) {
        struct page_area *area = &allocator->areas[i];
        area->first_block = area->base / BLOCK_BYTES;
        area->block_count =
            (uint32_t)((area->end + BLOCK_BYTES - 1) / BLOCK_BYTES - area->first_block);
        block_total += area->block_count;
    }
    uint64_t size =
        round_up(block_total * (sizeof(struct page_block_bits) + sizeof(uint16_t)), PAGE_BYTES);

    struct page_area *home = NULL;
    void *room = NULL;
    for (unsigned i = 0; i < allocator->area_count && !room; i++) {
        home = &allocator->areas[i];
        if (home->end - home->base >= size && size > 0)
            room = to_virtual(home->base, size, context);
    }
    if (!room)
        return fail(ERROR_NO_MEMORY);

    struct page_block_bits *bits = room;
    uint16_t *counts = (uint16_t *)(bits + block_total);
    for (unsigned i = 0; i < allocator->area_count; i++) {
        struct page_area *area = &allocator->areas[i];
        area->bits = bits;
        area->free_counts = counts;
        for (uint32_t block = 0; block < area->block_count; block++)
            counts[block] = (uint16_t)block_size(area, block);
        bits += area->block_count;
        counts += area->block_count;
        allocator->total_pages += (area->end - area->base) / PAGE_BYTES;
    }

    /* The metadata's own pages are simply in use from now on. */
    uint64_t left = size / PAGE_BYTES;
    for (uint32_t block = 0; left > 0; block++) {
        unsigned first, end;
        block_bounds(home, block, &first, &end);
        unsigned count = (unsigned)MIN_OF(left, (uint64_t)(end - first));
        block_take(home, block, first, count);
        left -= count;
    }
    allocator->metadata_bytes = size;
    allocator->free_pages = allocator->total_pages - size / PAGE_BYTES;
    allocator->lowest_free_pages = allocator->free_pages;
    return OK;
}

/* ---- Runs ----------------------------------------------------------------------------------- */

static uint64_t page_address(const struct page_area *area, uint32_t block, unsigned page)
{
    return (area->first_block + block) * BLOCK_BYTES + (uint64_t)page * PAGE_BYTES;
}

/* Blocks of the area that lie below the limit as a whole. */
static uint32_t area_blocks_below(const struct page_area *area, uint64_t limit)
{
    uint64_t blocks = limit / BLOCK_BYTES;
    if (blocks <= area->first_block)
        return 0;
    return (uint32_t)MIN_OF((uint64_t)area->block_count, blocks - area->first_block);
}

/* The hints go up here, over what was taken meanwhile, and down in block_give(). */
static void hints_advance(struct page_area *area)
{
    while (area->free_hint < area->block_count && area->free_counts[area->free_hint] == 0)
        area->free_hint++;
    while (area->whole_hint < area->block_count &&
           area->free_counts[area->whole_hint] != PAGES_PER_BLOCK)
        area->whole_hint++;
}

/* whole: may it come from a block that nobody uses yet? */
static uint64_t small_run(struct page_area *area, unsigned count, unsigned align, uint64_t limit,
                          bool whole)
{
    uint32_t blocks = area_blocks_below(area, limit);
    for (uint32_t block = area->free_hint; block < blocks; block++) {
        if (area->free_counts[block] < count ||
            (!whole && area->free_counts[block] == PAGES_PER_BLOCK))
            continue;
        unsigned page = block_find(area, block, count, align);
        if (page == PAGES_PER_BLOCK)
            continue;
        block_take(area, block, page, count);
        return page_address(area, block, page);
    }
    return 0;
}

/* Does the run of count pages begin free at this block, and stay free to its end? */
static bool large_run_fits(struct page_area *area, uint32_t block, uint64_t count)
{
    for (; count >= PAGES_PER_BLOCK; block++, count -= PAGES_PER_BLOCK)
        if (area->free_counts[block] != PAGES_PER_BLOCK)
            return false;
    if (count == 0)
        return true;
    if (area->free_counts[block] < count)
        return false;
    block_open(area, block);
    for (unsigned page = 0; page < count; page++)
        if (!bit_is_free(&area->bits[block], page))
            return false;
    return true;
}

static uint64_t large_run(struct page_area *area, uint64_t count, uint64_t align, uint64_t limit)
{
    uint64_t blocks = area_blocks_below(area, limit);
    uint64_t needed = (count + PAGES_PER_BLOCK - 1) / PAGES_PER_BLOCK;
    uint64_t block_align = MAX_OF(align / PAGES_PER_BLOCK, 1u);
    uint64_t first =
        area->first_block + (count < PAGES_PER_BLOCK ? area->free_hint : area->whole_hint);
    uint64_t start = round_up(first, block_align) - area->first_block;
    for (; needed <= blocks && start <= blocks - needed; start += block_align) {
        uint32_t block = (uint32_t)start;
        if (!large_run_fits(area, block, count))
            continue;
        for (uint64_t left = count; left > 0; block++) {
            unsigned pages = (unsigned)MIN_OF(left, (uint64_t)PAGES_PER_BLOCK);
            block_take(area, block, 0, pages);
            left -= pages;
        }
        return page_address(area, (uint32_t)start, 0);
    }
    return 0;
}

static uint64_t find_run(struct page_allocator *allocator, size_t count, size_t align,
                         uint64_t limit)
{
    bool small = count < PAGES_PER_BLOCK && align <= PAGES_PER_BLOCK;
    for (unsigned pass = small ? 0 : 1; pass < 2; pass++) {
        for (unsigned i = 0; i < allocator->area_count; i++) {
            struct page_area *area = &allocator->areas[i];
            hints_advance(area);
            uint64_t physical =
                small ? small_run(area, (unsigned)count, (unsigned)align, limit, pass == 1)
                      : large_run(area, count, align, limit);
            if (physical)
                return physical;
        }
    }
    return 0;
}

uint64_t page_alloc(struct page_allocator *allocator, size_t count, size_t align_pages,
                    uint64_t limit)
{
    CHECK(align_pages > 0);
    CHECK((align_pages & (align_pages - 1)) == 0);
    if (count == 0)
        return 0;

    spinlock_take(&allocator->lock);
    uint64_t physical = 0;
    if (count <= allocator->free_pages)
        physical = find_run(allocator, count, align_pages, limit);
    if (physical) {
        allocator->free_pages -= count;
        allocator->lowest_free_pages = MIN_OF(allocator->lowest_free_pages, allocator->free_pages);
    }
    spinlock_release(&allocator->lock);
    return physical;
}

static struct page_area *area_of(struct page_allocator *allocator, uint64_t physical)
{
    for (unsigned i = 0; i < allocator->area_count; i++) {
        struct page_area *area = &allocator->areas[i];
        if (physical >= area->base && physical < area->end)
            return area;
    }
    return NULL;
}

/* One block's part of a run. */
struct block_part {
    uint32_t block;
    unsigned page;
    unsigned count;
};

static struct block_part block_part_at(const struct page_area *area, uint64_t page_number,
                                       uint64_t left)
{
    struct block_part part = {
        .block = (uint32_t)(page_number / PAGES_PER_BLOCK - area->first_block),
        .page = (unsigned)(page_number % PAGES_PER_BLOCK),
    };
    part.count = (unsigned)MIN_OF(left, (uint64_t)(PAGES_PER_BLOCK - part.page));
    return part;
}

static bool run_in_use(struct page_area *area, uint64_t page_number, uint64_t count)
{
    while (count > 0) {
        struct block_part part = block_part_at(area, page_number, count);
        block_open(area, part.block);
        for (unsigned page = part.page; page < part.page + part.count; page++)
            if (bit_is_free(&area->bits[part.block], page))
                return false;
        page_number += part.count;
        count -= part.count;
    }
    return true;
}

bool page_free(struct page_allocator *allocator, uint64_t physical, size_t count)
{
    if (physical % PAGE_BYTES != 0)
        return false;
    struct page_area *area = area_of(allocator, physical);
    if (!area || count > (area->end - physical) / PAGE_BYTES)
        return false;

    spinlock_take(&allocator->lock);
    uint64_t page_number = physical / PAGE_BYTES;
    bool in_use = run_in_use(area, page_number, count);
    if (in_use) {
        allocator->free_pages += count;
        for (uint64_t left = count; left > 0;) {
            struct block_part part = block_part_at(area, page_number, left);
            block_give(area, part.block, part.page, part.count);
            page_number += part.count;
            left -= part.count;
        }
    }
    spinlock_release(&allocator->lock);
    return in_use;
}

void page_allocator_stats(struct page_allocator *allocator, struct page_stats *stats)
{
    spinlock_take(&allocator->lock);
    *stats = (struct page_stats){
        .total_pages = allocator->total_pages,
        .free_pages = allocator->free_pages,
        .lowest_free_pages = allocator->lowest_free_pages,
        .metadata_bytes = allocator->metadata_bytes,
        .ignored_bytes = allocator->ignored_bytes,
        .area_count = allocator->area_count,
    };
    for (unsigned i = 0; i < allocator->area_count; i++) {
        const struct page_area *area = &allocator->areas[i];
        for (uint32_t block = 0; block < area->block_count; block++)
            stats->free_blocks += area->free_counts[block] == PAGES_PER_BLOCK;
    }
    spinlock_release(&allocator->lock);
}
