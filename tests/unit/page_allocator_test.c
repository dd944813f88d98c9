/* Goal: no page is handed out twice, none outside RAM, and none is lost. Method: small machines by
 * hand, then a random play against a map of bytes. The pages themselves do not exist; only the
 * metadata is given real memory. */
#include "kernel/page_allocator.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

#define MIB      (1024ull * 1024)
#define GIB      (1024ull * MIB)
#define ANYWHERE UINT64_MAX

static void *metadata; /* what to_virtual gave, to be freed at the end */
static uint64_t metadata_at;

static void *give_memory(uint64_t physical, size_t size, void *context)
{
    (void)context;
    metadata_at = physical;
    metadata = malloc(size);
    memset(metadata, 0xee, size); /* RAM is not zero when we come */
    return metadata;
}

static void *give_nothing(uint64_t physical, size_t size, void *context)
{
    (void)physical, (void)size, (void)context;
    return NULL;
}

static struct page_allocator *machine(void)
{
    struct page_allocator *allocator = malloc(sizeof(*allocator));
    page_allocator_init(allocator);
    return allocator;
}

static void start(struct page_allocator *allocator)
{
    EXPECT(page_allocator_start(allocator, give_memory, NULL) == OK);
}

static void end(struct page_allocator *allocator)
{
    free(metadata);
    free(allocator);
}

TEST(pages_of_a_small_machine_are_all_handed_out_once)
{
    struct page_allocator *allocator = machine();
    page_allocator_add(allocator, 1 * MIB, 63 * MIB);
    start(allocator);
    struct page_stats stats;
    page_allocator_stats(allocator, &stats);
    EXPECT_EQUAL(stats.total_pages, 63 * MIB / PAGE_BYTES);
    EXPECT_EQUAL(metadata_at, 1 * MIB);

    uint8_t *seen = calloc(64 * MIB / PAGE_BYTES, 1);
    uint64_t count = 0, page;
    while ((page = page_alloc(allocator, 1, 1, ANYWHERE)) != 0) {
        EXPECT(page >= 1 * MIB + stats.metadata_bytes && page < 64 * MIB);
        EXPECT_EQUAL(seen[page / PAGE_BYTES], 0);
        seen[page / PAGE_BYTES] = 1;
        count++;
    }
    EXPECT_EQUAL(count, stats.free_pages);
    page_allocator_stats(allocator, &stats);
    EXPECT_EQUAL(stats.free_pages, 0);
    EXPECT_EQUAL(stats.lowest_free_pages, 0);
    free(seen);
    end(allocator);
}

TEST(pages_beyond_4_gib_are_used_and_cost_little_metadata)
{
    struct page_allocator *allocator = machine();
    page_allocator_add(allocator, 1 * MIB, 3 * GIB - 1 * MIB);
    page_allocator_add(allocator, 4 * GIB, 5 * GIB);
    start(allocator);
    EXPECT(allocator->metadata_bytes < 300 * 1024);

    uint64_t chunks = 0, high = 0, chunk;
    while ((chunk = page_alloc(allocator, PAGES_PER_BLOCK, PAGES_PER_BLOCK, ANYWHERE)) != 0) {
        EXPECT_EQUAL(chunk % (2 * MIB), 0);
        chunks++;
        high += chunk >= 4 * GIB;
    }
    EXPECT_EQUAL(high, 5 * GIB / (2 * MIB));
    EXPECT_EQUAL(chunks, high + 3 * GIB / (2 * MIB) - 1); /* the first is cut */
    end(allocator);
}

TEST(pages_of_a_terabyte_start_at_once)
{
    struct page_allocator *allocator = machine();
    page_allocator_add(allocator, 4 * GIB, 1024 * GIB);
    start(allocator);
    uint64_t run = page_alloc(allocator, 512 * GIB / PAGE_BYTES, 1, ANYWHERE);
    EXPECT(run >= 4 * GIB);
    EXPECT(page_free(allocator, run, 512 * GIB / PAGE_BYTES));
    end(allocator);
}

TEST(page_limit_and_alignment_are_kept)
{
    struct page_allocator *allocator = machine();
    page_allocator_add(allocator, 3 * MIB, 125 * MIB);
    start(allocator);
    uint64_t low = page_alloc(allocator, 3, 1, 16 * MIB);
    EXPECT(low != 0 && low + 3 * PAGE_BYTES <= 16 * MIB);
    EXPECT_EQUAL(page_alloc(allocator, 1, 1, 2 * MIB), 0);
    EXPECT_EQUAL(page_alloc(allocator, 16, 16, ANYWHERE) % (16 * PAGE_BYTES), 0);
    EXPECT_EQUAL(page_alloc(allocator, 1, 256, ANYWHERE) % (256 * PAGE_BYTES), 0);
    EXPECT_EQUAL(page_alloc(allocator, 1, 1024, ANYWHERE) % (4 * MIB), 0);
    uint64_t run = page_alloc(allocator, 1300, 1, ANYWHERE);
    EXPECT(run != 0 && run + 1300 * PAGE_BYTES <= 128 * MIB);
    EXPECT_EQUAL(page_alloc(allocator, 128 * MIB / PAGE_BYTES, 1, ANYWHERE), 0);
    EXPECT_EQUAL(page_alloc(allocator, 0, 1, ANYWHERE), 0);
    end(allocator);
}

TEST(page_freed_twice_or_never_taken_is_refused)
{
    struct page_allocator *allocator = machine();
    page_allocator_add(allocator, 2 * MIB, 32 * MIB);
    start(allocator);
    uint64_t run = page_alloc(allocator, 700, 1, ANYWHERE);
    uint64_t free_pages = allocator->free_pages;
    EXPECT(!page_free(allocator, run, 701));
    EXPECT(!page_free(allocator, run + 1, 1));
    EXPECT(!page_free(allocator, 1 * MIB, 1));
    EXPECT(!page_free(allocator, 34 * MIB, 1));
    EXPECT(!page_free(allocator, 33 * MIB, 1024));
    EXPECT_EQUAL(allocator->free_pages, free_pages);
    EXPECT(page_free(allocator, run + 100 * PAGE_BYTES, 500)); /* a part */
    EXPECT(!page_free(allocator, run, 700));
    EXPECT(page_free(allocator, run, 100));
    EXPECT(page_free(allocator, run + 600 * PAGE_BYTES, 100));
    EXPECT_EQUAL(allocator->free_pages, free_pages + 700);
    end(allocator);
}

TEST(page_areas_that_overlap_touch_or_are_odd_are_one)
{
    struct page_allocator *allocator = machine();
    page_allocator_add(allocator, 10 * MIB, 2 * MIB);
    page_allocator_add(allocator, 4 * MIB + 1, 2 * MIB);
    page_allocator_add(allocator, 12 * MIB, 1 * MIB);
    page_allocator_add(allocator, 11 * MIB, 1 * MIB);
    page_allocator_add(allocator, 20 * MIB + 1, PAGE_BYTES); /* no whole page in it */
    page_allocator_add(allocator, UINT64_MAX - 100, 200);
    EXPECT_EQUAL(allocator->area_count, 2);
    EXPECT_EQUAL(allocator->areas[0].base, 4 * MIB + PAGE_BYTES);
    EXPECT_EQUAL(allocator->areas[0].end, 6 * MIB);
    EXPECT_EQUAL(allocator->areas[1].base, 10 * MIB);
    EXPECT_EQUAL(allocator->areas[1].end, 13 * MIB);

    page_allocator_remove(allocator, 5 * MIB - 1, 2); /* two pages in the middle */
    EXPECT_EQUAL(allocator->area_count, 3);
    EXPECT_EQUAL(allocator->areas[0].end, 5 * MIB - PAGE_BYTES);
    EXPECT_EQUAL(allocator->areas[1].base, 5 * MIB + PAGE_BYTES);
    page_allocator_remove(allocator, 0, 12 * MIB);
    EXPECT_EQUAL(allocator->area_count, 1);
    EXPECT_EQUAL(allocator->areas[0].base, 12 * MIB);
    page_allocator_remove(allocator, 12 * MIB, 0);
    page_allocator_remove(allocator, 0, UINT64_MAX);
    EXPECT_EQUAL(allocator->area_count, 0);
    EXPECT(page_allocator_start(allocator, give_memory, NULL) == ERROR_NO_MEMORY);
    free(allocator);
}

TEST(page_areas_beyond_the_bound_are_counted)
{
    struct page_allocator *allocator = machine();
    for (uint64_t i = 0; i < PAGE_AREA_MAX + 3; i++)
        page_allocator_add(allocator, i * 4 * MIB, 1 * MIB);
    EXPECT_EQUAL(allocator->area_count, PAGE_AREA_MAX);
    EXPECT_EQUAL(allocator->ignored_bytes, 3 * MIB);
    EXPECT(page_allocator_start(allocator, give_nothing, NULL) == ERROR_NO_MEMORY);
    free(allocator);
}

/* The twin: a byte per page, 0 free, else the number of the run it belongs to. */
TEST(pages_agree_with_a_map_of_bytes)
{
    enum { PAGES = 4096, RUN_MAX = 64, STEPS = 20000 };
    static uint8_t map[PAGES];
    static struct {
        uint64_t at;
        unsigned count;
    } runs[RUN_MAX];
    struct page_allocator *allocator = machine();
    page_allocator_add(allocator, 1 * MIB + 5 * PAGE_BYTES, 14 * MIB);
    page_allocator_remove(allocator, 9 * MIB, 3 * PAGE_BYTES);
    start(allocator);
    uint64_t free_at_start = allocator->free_pages;
    uint32_t random = 1;

    for (unsigned step = 0; step < STEPS; step++) {
        random = random * 1664525 + 1013904223;
        unsigned slot = (random >> 8) % RUN_MAX;
        unsigned count =
            (random >> 16) % 16 == 0 ? (random >> 20) % 1500 + 1 : (random >> 20) % 40 + 1;
        if (runs[slot].at == 0) {
            uint64_t at = page_alloc(allocator, count, 1, ANYWHERE);
            if (at == 0)
                continue;
            runs[slot].at = at;
            runs[slot].count = count;
            for (unsigned i = 0; i < count; i++) {
                EXPECT_EQUAL(map[at / PAGE_BYTES + i], 0);
                map[at / PAGE_BYTES + i] = (uint8_t)(slot + 1);
            }
        } else {
            EXPECT(page_free(allocator, runs[slot].at, runs[slot].count));
            memset(&map[runs[slot].at / PAGE_BYTES], 0, runs[slot].count);
            runs[slot].at = 0;
        }
        uint64_t used = 0;
        for (unsigned i = 0; step % 100 == 0 && i < PAGES; i++)
            used += map[i] != 0;
        if (step % 100 == 0)
            EXPECT_EQUAL(allocator->free_pages, free_at_start - used);
    }
    for (unsigned slot = 0; slot < RUN_MAX; slot++)
        if (runs[slot].at)
            EXPECT(page_free(allocator, runs[slot].at, runs[slot].count));
    struct page_stats stats;
    page_allocator_stats(allocator, &stats);
    EXPECT_EQUAL(stats.free_pages, free_at_start);
    uint64_t block = 0;
    for (unsigned i = 0; i < stats.free_blocks; i++) /* every whole one is found again */
        EXPECT((block = page_alloc(allocator, PAGES_PER_BLOCK, PAGES_PER_BLOCK, ANYWHERE)) != 0);
    EXPECT(!page_alloc(allocator, PAGES_PER_BLOCK, PAGES_PER_BLOCK, ANYWHERE));
    EXPECT(page_free(allocator, block, PAGES_PER_BLOCK));
    EXPECT_EQUAL(page_alloc(allocator, 1, 2 * PAGES_PER_BLOCK, ANYWHERE) % (4 * MIB), 0);
    end(allocator);
}
