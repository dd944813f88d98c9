/* The ring: order, bounds, and nothing lost or doubled between two threads. */
#include "kernel/base/ring.h"

#include <pthread.h>
#include <sched.h>

#include "tests/unit/test.h"

enum { ITEMS = 300000 };

static struct ring ring;

static void *number(uintptr_t value)
{
    return (void *)value;
}

TEST(ring_gives_what_was_put_in_order_until_full)
{
    EXPECT_EQUAL(ring_init(&ring, 4, MEMORY_TEST), OK);
    EXPECT(ring_take(&ring) == NULL);
    for (uintptr_t round = 0; round < 100; round++) {
        for (uintptr_t i = 1; i <= 4; i++)
            EXPECT(ring_put(&ring, number(10 * round + i)));
        EXPECT(!ring_put(&ring, number(1)));
        EXPECT_EQUAL(ring_count(&ring), 4);
        for (uintptr_t i = 1; i <= 4; i++)
            EXPECT(ring_take(&ring) == number(10 * round + i));
        EXPECT(ring_take(&ring) == NULL);
        EXPECT_EQUAL(ring_count(&ring), 0);
        EXPECT(ring_put(&ring, number(1)) && ring_take(&ring) != NULL); /* not always from slot 0 */
    }
    ring_destroy(&ring);
}

TEST(ring_goes_on_when_its_counters_wrap)
{
    EXPECT_EQUAL(ring_init(&ring, 2, MEMORY_TEST), OK);
    ring.head = ring.tail = ring.head_seen = ring.tail_seen = UINT32_MAX;
    for (uintptr_t i = 1; i < 10; i += 2) {
        EXPECT(ring_put(&ring, number(i)));
        EXPECT(ring_put(&ring, number(i + 1)));
        EXPECT(!ring_put(&ring, number(i + 2)));
        EXPECT(ring_take(&ring) == number(i));
        EXPECT(ring_take(&ring) == number(i + 1));
    }
    ring_destroy(&ring);
}

static void *produce(void *unused)
{
    (void)unused;
    for (uintptr_t i = 1; i <= ITEMS; i++) {
        while (!ring_put(&ring, number(i)))
            sched_yield();
    }
    return NULL;
}

TEST(ring_loses_nothing_between_threads)
{
    pthread_t producer;
    EXPECT_EQUAL(ring_init(&ring, 64, MEMORY_TEST), OK);
    EXPECT_EQUAL(pthread_create(&producer, NULL, produce, NULL), 0);
    for (uintptr_t expected = 1; expected <= ITEMS;) {
        void *item = ring_take(&ring);
        if (item == NULL) {
            sched_yield();
            continue;
        }
        EXPECT(item == number(expected));
        expected++;
    }
    pthread_join(producer, NULL);
    EXPECT(ring_take(&ring) == NULL);
    ring_destroy(&ring);
}

TEST(ring_says_when_there_is_no_memory)
{
    host_fail_allocation(0);
    EXPECT_EQUAL(ring_init(&ring, 8, MEMORY_TEST), ERROR_NO_MEMORY);
}

TEST(ring_is_not_destroyed_with_items_inside)
{
    EXPECT_EQUAL(ring_init(&ring, 8, MEMORY_TEST), OK);
    EXPECT(ring_put(&ring, &ring));
    EXPECT_PANIC(ring_destroy(&ring), "ring_count(ring) == 0");
    EXPECT(ring_take(&ring) == &ring);
    ring_destroy(&ring);
}
