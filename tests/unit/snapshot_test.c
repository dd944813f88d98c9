/* Snapshots: an object is freed when and only when no core can hold it, first step by step, then
 * with threads that read as fast as they can while a writer replaces the object (AddressSanitizer
 * sees a read too late). */
#include "kernel/base/snapshot.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "kernel/platform.h"
#include "tests/unit/test.h"

enum { READERS = 3, REPLACEMENTS = 20000 };

static struct snapshot_domain domain;
static unsigned destroyed;
static int object;

static void count_destroyed(void *it)
{
    EXPECT(it == &object);
    destroyed++;
}

static void retire_one(void)
{
    EXPECT_EQUAL(snapshot_retire(&domain, &object, count_destroyed), OK);
}

TEST(snapshot_waits_for_every_core)
{
    snapshot_domain_init(&domain, 2);
    snapshot_quiesce(&domain, 0);
    snapshot_quiesce(&domain, 1);
    retire_one();
    EXPECT_EQUAL(snapshot_reclaim(&domain), 1);
    snapshot_quiesce(&domain, 0);
    EXPECT_EQUAL(snapshot_reclaim(&domain), 1);
    EXPECT_EQUAL(destroyed, 0);
    snapshot_quiesce(&domain, 1);
    EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
    EXPECT_EQUAL(destroyed, 1);
}

TEST(snapshot_does_not_wait_for_sleepers)
{
    snapshot_domain_init(&domain, 3); /* core 2 never starts */
    snapshot_quiesce(&domain, 0);
    snapshot_quiesce(&domain, 1);
    snapshot_offline(&domain, 1);
    retire_one();
    snapshot_quiesce(&domain, 0);
    EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
    /* Awake again before the retirement: it has to be waited for. */
    snapshot_quiesce(&domain, 1);
    retire_one();
    snapshot_quiesce(&domain, 0);
    EXPECT_EQUAL(snapshot_reclaim(&domain), 1);
    snapshot_offline(&domain, 1);
    EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
    EXPECT_EQUAL(destroyed, 2);
}

TEST(snapshot_frees_in_order_as_far_as_all_have_come)
{
    snapshot_domain_init(&domain, 1);
    snapshot_quiesce(&domain, 0);
    for (unsigned i = 0; i < 5; i++)
        retire_one();
    snapshot_quiesce(&domain, 0);
    for (unsigned i = 0; i < 3; i++)
        retire_one();
    EXPECT_EQUAL(snapshot_reclaim(&domain), 3);
    EXPECT_EQUAL(destroyed, 5);
    snapshot_quiesce(&domain, 0);
    EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
}

TEST(snapshot_list_is_bounded_and_goes_round)
{
    snapshot_domain_init(&domain, 1);
    for (unsigned round = 0; round < 3; round++) {
        snapshot_quiesce(&domain, 0);
        for (unsigned i = 0; i < RETIRED_MAX; i++)
            retire_one();
        EXPECT_EQUAL(snapshot_retire(&domain, &object, count_destroyed), ERROR_FULL);
        EXPECT_EQUAL(snapshot_reclaim(&domain), RETIRED_MAX);
        snapshot_quiesce(&domain, 0);
        EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
        EXPECT_EQUAL(destroyed, RETIRED_MAX * (round + 1));
        retire_one(); /* the list does not start at its slot 0 in the next round */
        snapshot_quiesce(&domain, 0);
        EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
        destroyed--;
    }
}

static void retire_another(void *it)
{
    EXPECT_EQUAL(snapshot_retire(&domain, it, count_destroyed), OK);
}

TEST(snapshot_destroying_may_retire_more)
{
    snapshot_domain_init(&domain, 1);
    snapshot_quiesce(&domain, 0);
    EXPECT_EQUAL(snapshot_retire(&domain, &object, retire_another), OK);
    snapshot_quiesce(&domain, 0);
    EXPECT_EQUAL(snapshot_reclaim(&domain), 1);
    EXPECT_EQUAL(destroyed, 0);
    snapshot_quiesce(&domain, 0);
    EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
    EXPECT_EQUAL(destroyed, 1);
}

/* ---- With threads -----------------------------------------------------------------------------
 */

struct view {
    uint64_t first, second; /* always equal: a reader sees one view, not a mixture */
};

static _Atomic(struct view *) current;
static atomic_bool stop;

static struct view *new_view(uint64_t number)
{
    struct view *view = malloc(sizeof(*view));
    *view = (struct view){ number, number };
    return view;
}

static void *read_views(void *arg)
{
    unsigned core = (unsigned)(uintptr_t)arg;
    uint64_t newest = 0;
    for (unsigned step = 1; !stop; step++) {
        snapshot_quiesce(&domain, core);
        struct view *view = atomic_load_explicit(&current, memory_order_acquire);
        uint64_t first = view->first;
        sched_yield();
        CHECK(view->second == first);
        CHECK(first >= newest);
        newest = first;
        if (step % 16 == 0) {
            snapshot_offline(&domain, core);
            sched_yield();
        }
    }
    snapshot_offline(&domain, core);
    return NULL;
}

TEST(snapshot_readers_never_see_a_freed_view)
{
    pthread_t readers[READERS];
    snapshot_domain_init(&domain, READERS + 1);
    current = new_view(0);
    for (uintptr_t i = 0; i < READERS; i++)
        EXPECT_EQUAL(pthread_create(&readers[i], NULL, read_views, (void *)(i + 1)), 0);
    for (uint64_t number = 1; number <= REPLACEMENTS; number++) {
        struct view *old = current;
        atomic_store_explicit(&current, new_view(number), memory_order_release);
        while (snapshot_retire(&domain, old, free) != OK) {
            snapshot_reclaim(&domain);
            sched_yield();
        }
        snapshot_reclaim(&domain);
    }
    stop = true;
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
    free(current);
}
