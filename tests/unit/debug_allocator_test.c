/* Goal: double free, overrun, underrun, use after free and leaks are each caught and reported with
 * who did it. Method: the debug allocator over a heap over malloc, and its words read from the log
 * ring. */
#include "kernel/debug_allocator.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/base/log.h"
#include "tests/host/host.h"
#include "tests/unit/test.h"

static uint64_t pages_left;
static struct heap heap;
static struct debug_allocator debug;
static struct log_ring ring;
static struct cpu cpu = { .index = 3, .log = &ring };
static uint64_t now_ns = 5 * (uint64_t)NS_PER_S;

/* Pages are kept until the end: a block that is written after it went back to the heap is this
 * test's business and not AddressSanitizer's. */
static void *all_pages[4096];
static unsigned page_runs;

static void *take(void *context, size_t count, size_t align)
{
    (void)context;
    if (count > pages_left)
        return NULL;
    pages_left -= count;
    all_pages[page_runs] = aligned_alloc(align * PAGE_BYTES, count * PAGE_BYTES);
    return all_pages[page_runs++];
}

static void give(void *context, void *pages, size_t count)
{
    (void)context, (void)pages, (void)count;
}

static void where(struct debug_place *place, void *context)
{
    (void)context;
    place->core = 3;
    place->level = 1;
    place->time_ns = now_ns++;
}

static void start(void)
{
    pages_left = 100000;
    heap_init(&heap, &(struct heap_pages){ take, give, NULL });
    debug_allocator_init(&debug, &heap, where, NULL);
    host_core_enter(&cpu);
}

static void end(void)
{
    host_core_enter(NULL);
    for (unsigned i = 0; i < page_runs; i++)
        free(all_pages[i]);
}

static bool logged(const char *words)
{
    for (uint64_t i = 0; i < ring.written && i < LOG_ENTRY_MAX; i++)
        if (strstr(ring.entries[i].text, words))
            return true;
    return false;
}

TEST(debug_allocator_names_both_frees_of_a_double_free)
{
    start();
    void *block = debug_alloc(&debug, 100, 0, MEMORY_ROUTE, "alloc.c", 10);
    debug_free(&debug, block, "first.c", 20);
    EXPECT_EQUAL(ring.written, 0);
    debug_free(&debug, block, "second.c", 30);
    EXPECT(logged("double free?"));
    EXPECT(logged("free by second.c:30, core 3, level 1, at 5.000000 s"));
    EXPECT(logged("allocated by alloc.c:10"));
    EXPECT(logged("freed first by first.c:20"));
    EXPECT(logged("100 bytes of"));
    struct memory_stats stats;
    debug_allocator_stats(&debug, &stats);
    EXPECT_EQUAL(stats.double_frees, 1);
    EXPECT_EQUAL(stats.live, 0);
    end();
}

TEST(debug_allocator_reports_a_free_of_what_never_was)
{
    start();
    int something;
    debug_free(&debug, &something, "wild.c", 1); /* with an empty table */
    char *block = debug_alloc(&debug, 100, 0, MEMORY_TEST, "alloc.c", 10);
    debug_free(&debug, block + 8, "wild.c", 2);
    EXPECT(logged("nothing is known"));
    EXPECT_EQUAL(debug.stats.double_frees, 2);
    EXPECT_EQUAL(debug.stats.live, 1);
    end();
}

TEST(debug_allocator_reports_an_overrun_and_an_underrun)
{
    start();
    char *block = debug_alloc(&debug, 100, 0, MEMORY_TEST, "alloc.c", 10);
    block[100] = 'x';
    debug_free(&debug, block, "free.c", 20);
    EXPECT(logged("overrun: byte 100 of the 100"));
    EXPECT(logged("allocated by alloc.c:10"));
    block = debug_alloc(&debug, 64, 64, MEMORY_TEST, "alloc.c", 11);
    EXPECT_EQUAL((uintptr_t)block % 64, 0);
    block[-1] = 'x';
    EXPECT_EQUAL(debug_allocator_check(&debug), 1);
    EXPECT(logged("underrun: byte -1 of the 64"));
    EXPECT_EQUAL(debug_allocator_check(&debug), 0); /* once is enough */
    debug_free(&debug, block, "free.c", 21);
    EXPECT_EQUAL(debug.stats.corruptions, 2);
    end();
}

TEST(debug_allocator_reports_a_use_after_free)
{
    start();
    char *block = debug_alloc(&debug, 100, 0, MEMORY_TEST, "alloc.c", 10);
    debug_free(&debug, block, "free.c", 20);
    block[40] = 0;
    for (unsigned i = 0; i < DEBUG_FREED_MAX + 10; i++) /* until it would be reused */
        debug_free(&debug, debug_alloc(&debug, 100, 0, MEMORY_TEST, "other.c", 1), "other.c", 2);
    EXPECT(logged("use after free: byte 40 of the 100"));
    EXPECT(logged("freed first by free.c:20"));
    EXPECT_EQUAL(debug.stats.corruptions, 1);
    EXPECT_EQUAL(debug.stats.double_frees, 0);

    block = debug_alloc(&debug, 100, 0, MEMORY_TEST, "alloc.c", 10);
    debug_free(&debug, block, "free.c", 20);
    block[0] = 0;
    EXPECT_EQUAL(debug_allocator_check(&debug), 1);
    EXPECT_EQUAL(debug_allocator_check(&debug), 0);
    end();
}

TEST(debug_allocator_lists_leaks_by_owner)
{
    start();
    for (unsigned i = 0; i < 3000; i++)
        EXPECT(debug_alloc(&debug, 10, 0, MEMORY_ROUTE, "net/rib.c", 5));
    for (unsigned i = 0; i < 10; i++)
        EXPECT(debug_alloc(&debug, 100, 0, MEMORY_SHELL, "shell/line.c", 7));
    EXPECT(debug_alloc(&debug, 1, 0, MEMORY_SHELL, "shell/line.c", 8));
    struct memory_owner owners[2];
    EXPECT_EQUAL(debug_allocator_owners(&debug, owners, 2), 2);
    EXPECT_TEXT(owners[0].file, "net/rib.c");
    EXPECT_EQUAL(owners[0].live, 3000);
    EXPECT_EQUAL(owners[0].live_bytes, 30000);
    struct memory_owner all[10];
    EXPECT_EQUAL(debug_allocator_owners(&debug, all, 10), 3);
    EXPECT_EQUAL(all[1].live, 10);
    EXPECT_EQUAL(all[1].line, 7);
    EXPECT(all[0].oldest_ns < all[1].oldest_ns);
    EXPECT_EQUAL(debug.stats.tags[MEMORY_ROUTE].live, 3000);
    end();
}

TEST(debug_allocator_gives_whole_pages_without_red_zones)
{
    enum { CHUNK = 2 * 1024 * 1024 };
    start();
    char *chunk = debug_alloc(&debug, CHUNK, CHUNK, MEMORY_PACKET, "packet.c", 1);
    EXPECT_EQUAL((uintptr_t)chunk % CHUNK, 0);
    EXPECT_EQUAL(heap_size(&heap, chunk), CHUNK);
    debug_free(&debug, chunk, "packet.c", 2);
    debug_free(&debug, chunk, "packet.c", 3);
    EXPECT(logged("freed first by packet.c:2"));
    end();
}

TEST(debug_allocator_survives_a_long_random_play)
{
    enum { COUNT = 5000, STEPS = 60000 };
    static uint8_t *blocks[COUNT];
    start();
    uint32_t random = 3;
    for (unsigned step = 0; step < STEPS; step++) {
        random = random * 1664525 + 1013904223;
        unsigned i = (random >> 8) % COUNT;
        if (blocks[i]) {
            debug_free(&debug, blocks[i], "f.c", 1);
            blocks[i] = NULL;
        } else {
            size_t size = (random >> 21) % 600;
            blocks[i] = debug_alloc(&debug, size, 0, MEMORY_TEST, "a.c", 1);
            EXPECT(blocks[i] != NULL);
            memset(blocks[i], 0x11, size);
        }
    }
    EXPECT_EQUAL(debug_allocator_check(&debug), 0);
    for (unsigned i = 0; i < COUNT; i++)
        if (blocks[i])
            debug_free(&debug, blocks[i], "f.c", 1);
    EXPECT_EQUAL(debug.stats.live, 0);
    EXPECT_EQUAL(debug.stats.live_bytes, 0);
    EXPECT_EQUAL(debug.stats.double_frees, 0);
    EXPECT_EQUAL(debug.stats.corruptions, 0);
    EXPECT_EQUAL(ring.written, 0);
    end();
}

TEST(debug_allocator_without_memory_answers_null)
{
    start();
    pages_left = 0;
    EXPECT(!debug_alloc(&debug, 10, 0, MEMORY_TEST, "a.c", 1));
    EXPECT(!debug_alloc(&debug, SIZE_MAX - 8, 0, MEMORY_TEST, "a.c", 1));
    EXPECT_EQUAL(debug.stats.live, 0);
    end();
}
