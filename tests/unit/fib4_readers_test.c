/* Threads that look up as fast as they can while one changes the table: every answer is one that
 * was right at some time between question and answer. AddressSanitizer sees a read of what was
 * freed too early, ThreadSanitizer an unordered one. */
#include <pthread.h>
#include <sched.h>

#include "kernel/base/bytes.h"
#include "kernel/base/snapshot.h"
#include "net/address.h"
#include "net/fib4.h"
#include "tests/unit/test.h"

enum {
    READERS = 2,
    TOGGLED = 5,           /* routes that come and go; the one before them stays */
    PERIOD = 1 << TOGGLED, /* changes, after which all begins anew */
    CHANGES = 20000,
    RANGE_MAX = 8, /* a reader who slept through more changes than that asks again */
};

/* Each inside the one before it. */
static const struct {
    uint32_t address;
    uint8_t length;
} prefixes[1 + TOGGLED] = {
    { 0x0a000000, 8 },  { 0x0a010000, 16 }, { 0x0a011000, 20 },
    { 0x0a011100, 24 }, { 0x0a011180, 25 }, { 0x0a011181, 32 },
};

/* Where those differ: how many of the prefixes have the address in them. */
static const uint32_t addresses[1 + TOGGLED] = { 0x0a020000, 0x0a012000, 0x0a011200,
                                                 0x0a011101, 0x0a0111ff, 0x0a011181 };

static struct fib4 *fib;
static struct snapshot_domain domain;
static _Atomic uint32_t changes_done;
static _Atomic bool ended;

static uint32_t wire(uint32_t address)
{
    uint32_t address_be;

    store_be32(&address_be, address);
    return address_be;
}

static struct fib4_route route_at(unsigned index)
{
    return (struct fib4_route){ .address_be = wire(prefixes[index].address),
                                .length = prefixes[index].length,
                                .next_hop = (uint16_t)(index + 1) };
}

/* Which of the toggled ones are there after that many changes: a Gray code, one bit a change. */
static uint32_t present_after(uint32_t changes)
{
    uint32_t step = changes % PERIOD;

    return step ^ step >> 1;
}

/* The longest prefix that is there and has address number `depth` in it. */
static unsigned deciding(uint32_t present, unsigned depth)
{
    while (depth > 0 && !(present >> (depth - 1) & 1))
        depth--;
    return depth;
}

static void change(uint32_t number)
{
    uint32_t before = present_after(number), after = present_after(number + 1);
    unsigned index = 1 + (unsigned)__builtin_ctz(before ^ after);
    struct fib4_route route = route_at(index);

    if (after > before) {
        EXPECT_EQUAL(fib4_insert(fib, &route), OK);
    } else {
        struct fib4_route cover = route_at(deciding(after, index - 1));
        EXPECT_EQUAL(fib4_remove(fib, route.address_be, route.length, &cover), OK);
    }
}

/* From `first` on there were that many changes when it was asked, and while it was answered the one
 * after `last` may have been under way. */
static bool may_answer(unsigned depth, uint16_t answer, uint32_t first, uint32_t last)
{
    for (uint32_t done = first; done <= last + 1; done++)
        if (answer == deciding(present_after(done), depth) + 1)
            return true;
    return false;
}

static void *read_all(void *core)
{
    uint32_t addresses_be[BATCH_MAX];
    uint16_t answers[BATCH_MAX];
    uint64_t compared = 0;

    for (unsigned i = 0; i < BATCH_MAX; i++)
        addresses_be[i] = wire(addresses[i % ARRAY_COUNT(addresses)]);
    while (!atomic_load(&ended)) {
        snapshot_quiesce(&domain, *(unsigned *)core);
        uint32_t first = atomic_load(&changes_done);
        fib4_lookup_batch(fib, addresses_be, answers, BATCH_MAX);
        uint32_t last = atomic_load(&changes_done);
        for (unsigned i = 0; i < BATCH_MAX && last - first <= RANGE_MAX; i++) {
            if (!may_answer(i % ARRAY_COUNT(addresses), answers[i], first, last))
                test_fail(__FILE__, __LINE__, "address %u: %u between changes %u and %u",
                          i % (unsigned)ARRAY_COUNT(addresses), answers[i], first, last + 1);
            compared++;
        }
    }
    snapshot_offline(&domain, *(unsigned *)core);
    EXPECT(compared > 0);
    return NULL;
}

static void change_while_others_read(const struct fib4_plan *shape, unsigned way)
{
    pthread_t threads[READERS];
    unsigned cores[READERS];
    struct fib4_plan plan = *shape;
    struct fib4_route base = route_at(0);

    snapshot_domain_init(&domain, READERS);
    plan.snapshots = &domain;
    fib = fib4_create(&plan, &base, 1);
    EXPECT(fib != NULL);
    fib4_use_way(fib, way);
    atomic_store(&changes_done, 0);
    atomic_store(&ended, false);
    for (unsigned i = 0; i < READERS; i++) {
        cores[i] = i;
        EXPECT_EQUAL(pthread_create(&threads[i], NULL, read_all, &cores[i]), 0);
    }
    for (uint32_t number = 0; number < CHANGES; number++) {
        change(number);
        atomic_store(&changes_done, number + 1);
        while (snapshot_reclaim(&domain) > RETIRED_MAX / 4)
            sched_yield();
        if (number % PERIOD == 0)
            sched_yield();
    }
    atomic_store(&ended, true);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
    fib4_destroy(fib, NULL);
}

static void change_in_every_way(enum fib4_shape shape)
{
    for (uint16_t next_hop_max = 0; next_hop_max <= 1000; next_hop_max += 1000) {
        struct fib4_plan plan = { .shape = shape, .next_hop_max = next_hop_max };
        struct fib4 *probe = fib4_create(&plan, NULL, 0);
        EXPECT(probe != NULL);
        unsigned ways = fib4_way_count(probe);
        fib4_destroy(probe, NULL);
        for (unsigned way = 0; way < ways; way++)
            change_while_others_read(&plan, way);
    }
}

TEST(fib4_direct_answers_right_while_it_changes)
{
    change_in_every_way(FIB4_DIRECT);
}

TEST(fib4_compact_answers_right_while_it_changes)
{
    change_in_every_way(FIB4_COMPACT);
}
