/* Goal: the heap gives zeroed, aligned memory that nobody else has, keeps exact books, and notices
 * frees of what is not in use. Method: pages from aligned_alloc, so that AddressSanitizer sees a
 * slab that is touched after it went back. */
#include "kernel/heap.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

static uint64_t pages_out, pages_left;

static void *take(void *context, size_t count, size_t align)
{
    (void)context;
    if (count > pages_left)
        return NULL;
    pages_left -= count;
    pages_out += count;
    void *pages = aligned_alloc(MAX_OF(align * PAGE_BYTES, (size_t)PAGE_BYTES), count * PAGE_BYTES);
    memset(pages, 0xee, count * PAGE_BYTES);
    return pages;
}

static void give(void *context, void *pages, size_t count)
{
    (void)context;
    pages_out -= count;
    pages_left += count;
    free(pages);
}

static struct heap heap;

static void start(uint64_t pages)
{
    pages_left = pages;
    heap_init(&heap, &(struct heap_pages){ take, give, NULL });
}

/* Slabs that the heap keeps for next time go back too, so that the leak checker is content. */
static void end(void)
{
    for (unsigned i = 0; i < HEAP_CLASS_COUNT; i++)
        free(heap.partial[i]);
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

TEST(heap_memory_is_zeroed_aligned_and_apart)
{
    enum { COUNT = 3000 };
    static uint8_t *blocks[COUNT];
    static size_t sizes[COUNT];
    start(1 << 16);
    uint32_t random = 7;
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            random = random * 1664525 + 1013904223;
            if (blocks[i]) {
                for (size_t at = 0; at < sizes[i]; at++)
                    EXPECT_EQUAL(blocks[i][at], (uint8_t)i);
                EXPECT(heap_free(&heap, blocks[i]) == HEAP_FREED);
                blocks[i] = NULL;
            }
            if (round == 3)
                continue;
            size_t align = 1u << (random >> 8) % 13;
            sizes[i] = (random >> 12) % 16 == 0 ? (random >> 16) % 30000 : (random >> 16) % 700;
            blocks[i] = heap_alloc(&heap, sizes[i], align, MEMORY_TEST);
            EXPECT(blocks[i] != NULL);
            EXPECT_EQUAL((uintptr_t)blocks[i] % align, 0);
            EXPECT(all_zero(blocks[i], sizes[i]));
            EXPECT(heap_size(&heap, blocks[i]) >= sizes[i]);
            memset(blocks[i], (int)i, sizes[i]);
        }
    }
    struct memory_stats stats;
    heap_stats(&heap, &stats);
    EXPECT_EQUAL(stats.live, 0);
    EXPECT_EQUAL(stats.live_bytes, 0);
    EXPECT(stats.peak_bytes > 0);
    EXPECT_EQUAL(stats.double_frees, 0);
    EXPECT(pages_out <= HEAP_CLASS_COUNT * (HEAP_SLAB_BYTES / PAGE_BYTES));
    end();
}

TEST(heap_gives_large_pages_without_waste)
{
    enum { BLOCK = 2 * 1024 * 1024 };
    start(1024 + HEAP_SLAB_BYTES / PAGE_BYTES);
    void *first = heap_alloc(&heap, BLOCK, BLOCK, MEMORY_PACKET);
    void *second = heap_alloc(&heap, BLOCK, BLOCK, MEMORY_PACKET);
    EXPECT(first && second && (uintptr_t)first % BLOCK == 0 && (uintptr_t)second % BLOCK == 0);
    EXPECT(!heap_alloc(&heap, BLOCK, BLOCK, MEMORY_PACKET));
    EXPECT_EQUAL(heap.stats.tags[MEMORY_PACKET].live_bytes, 2 * BLOCK);
    EXPECT_EQUAL(heap.stats.live, 2);
    EXPECT(heap_free(&heap, first) == HEAP_FREED);
    EXPECT(heap_free(&heap, second) == HEAP_FREED);
    end();
}

TEST(heap_touches_no_memory_that_is_wanted_uncleared)
{
    enum { BLOCK = 100000 };
    start(1000);
    uint8_t *block = heap_alloc_uncleared(&heap, BLOCK, 0, MEMORY_PACKET);
    EXPECT(block && block[0] == 0xee && block[BLOCK - 1] == 0xee); /* as it came from take() */
    EXPECT(heap_free(&heap, block) == HEAP_FREED);
    end();
}

TEST(heap_counts_by_tag)
{
    start(1000);
    void *route = heap_alloc(&heap, 100, 0, MEMORY_ROUTE);
    void *config = heap_alloc(&heap, 20000, 0, MEMORY_CONFIG);
    EXPECT_EQUAL(heap.stats.tags[MEMORY_ROUTE].live, 1);
    EXPECT_EQUAL(heap.stats.tags[MEMORY_ROUTE].live_bytes, heap_size(&heap, route));
    EXPECT_EQUAL(heap.stats.tags[MEMORY_CONFIG].live_bytes, 5 * PAGE_BYTES);
    EXPECT(heap_free(&heap, route) == HEAP_FREED);
    EXPECT_EQUAL(heap.stats.tags[MEMORY_ROUTE].live, 0);
    EXPECT_EQUAL(heap.stats.tags[MEMORY_CONFIG].live, 1);
    EXPECT(heap_free(&heap, config) == HEAP_FREED);
    end();
}

TEST(heap_notices_a_double_free_in_every_build)
{
    start(1000);
    char *kept = heap_alloc(&heap, 100, 0, MEMORY_TEST); /* keeps the slab */
    char *block = heap_alloc(&heap, 100, 0, MEMORY_TEST);
    EXPECT(heap_free(&heap, block) == HEAP_FREED);
    EXPECT(heap_free(&heap, block) == HEAP_NOT_IN_USE);
    EXPECT(heap_free(&heap, kept + 1) == HEAP_NOT_OURS);
    EXPECT(heap_free(&heap, kept + 16) == HEAP_NOT_OURS);
    EXPECT_EQUAL(heap.stats.double_frees, 3);
    EXPECT_EQUAL(heap.stats.live, 1);
    EXPECT_EQUAL(heap_size(&heap, block), 0);
    EXPECT(heap_free(&heap, kept) == HEAP_FREED);
    end();
}

TEST(heap_looks_at_no_memory_behind_a_wrong_pointer)
{
    start(1000);
    char *block = heap_alloc(&heap, 100000, 0, MEMORY_TEST);
    EXPECT(heap_free(&heap, block) == HEAP_FREED);
    EXPECT(heap_free(&heap, block) == HEAP_NOT_OURS); /* it went back: sanitizers watch it */
    EXPECT(heap_free(&heap, (void *)PAGE_BYTES) == HEAP_NOT_OURS); /* nothing is mapped there */
    EXPECT_EQUAL(heap_size(&heap, (void *)PAGE_BYTES), 0);
    EXPECT_EQUAL(heap.stats.double_frees, 2);
    end();
}

TEST(heap_without_pages_answers_null_and_stays_whole)
{
    start(HEAP_SLAB_BYTES / PAGE_BYTES);
    EXPECT(!heap_alloc(&heap, SIZE_MAX, 0, MEMORY_TEST));
    EXPECT(!heap_alloc(&heap, 100000, 0, MEMORY_TEST)); /* room for the record alone */
    EXPECT_EQUAL(heap.stats.live, 0);
    unsigned count = 0;
    void *last = NULL, *block;
    while ((block = heap_alloc(&heap, 32, 0, MEMORY_TEST)) != NULL) {
        *(void **)block = last;
        last = block;
        count++;
    }
    EXPECT(count > HEAP_SLAB_BYTES / 32 * 9 / 10);
    while (last) {
        block = last;
        last = *(void **)block;
        EXPECT(heap_free(&heap, block) == HEAP_FREED);
    }
    EXPECT_EQUAL(heap.stats.live_bytes, 0);
    end();
}
