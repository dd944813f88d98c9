/* Threads that look up as fast as they can while one changes the table: every answer is one that
 * was right at some time between question and answer. AddressSanitizer sees a read of what was
 * freed too early, ThreadSanitizer an unordered one. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/pause.h"
#include "kernel/base/snapshot.h"
#include "kernel/base/text.h"
#include "net/fib4.h"
#include "net/fib6.h"
#include "tests/unit/test.h"

enum {
    READERS = 2,
    TOGGLED = 5,           /* routes that come and go; the one before them stays */
    PERIOD = 1 << TOGGLED, /* changes, after which all begins anew */
    CHANGES = 20000,
    RANGE_MAX = 8, /* a reader who slept through more changes than that asks again */
};

/* What is tested. Prefixes and addresses have numbers, 0 to TOGGLED: each prefix is inside the one
 * before it, and each address in that prefix and not in the next. Prefix number n has next hop
 * n + 1. */
struct subject {
    void (*make)(struct snapshot_domain *snapshots, unsigned way); /* with prefix 0 */
    void (*insert)(unsigned prefix);
    void (*remove)(unsigned prefix, unsigned cover);
    /* Address i is number i % (TOGGLED + 1). */
    void (*lookup)(uint16_t answers[BATCH_MAX]);
    void (*destroy)(void);
};

static const struct subject *subject;
static struct snapshot_domain domain;
static _Atomic uint32_t changes_done;
static _Atomic bool ended;

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

    if (after > before)
        subject->insert(index);
    else
        subject->remove(index, deciding(after, index - 1));
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
    uint16_t answers[BATCH_MAX];
    uint64_t compared = 0;

    while (!atomic_load(&ended)) {
        snapshot_quiesce(&domain, *(unsigned *)core);
        uint32_t first = atomic_load(&changes_done);
        subject->lookup(answers);
        uint32_t last = atomic_load(&changes_done);
        for (unsigned i = 0; i < BATCH_MAX && last - first <= RANGE_MAX; i++) {
            if (!may_answer(i % (TOGGLED + 1), answers[i], first, last))
                test_fail(__FILE__, __LINE__, "address %u: %u between changes %u and %u",
                          i % (TOGGLED + 1u), answers[i], first, last + 1);
            compared++;
        }
    }
    snapshot_offline(&domain, *(unsigned *)core);
    EXPECT(compared > 0);
    return NULL;
}

static void change_while_others_read(const struct subject *tested, unsigned way)
{
    pthread_t threads[READERS];
    unsigned cores[READERS];

    subject = tested;
    snapshot_domain_init(&domain, READERS);
    subject->make(&domain, way);
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
    subject->destroy();
}

/* ---- IPv4 -------------------------------------------------------------------------------------
 */

static const struct {
    uint32_t address;
    uint8_t length;
} prefixes4[1 + TOGGLED] = {
    { 0x0a000000, 8 },  { 0x0a010000, 16 }, { 0x0a011000, 20 },
    { 0x0a011100, 24 }, { 0x0a011180, 25 }, { 0x0a011181, 32 },
};
static const uint32_t addresses4[1 + TOGGLED] = { 0x0a020000, 0x0a012000, 0x0a011200,
                                                  0x0a011101, 0x0a0111ff, 0x0a011181 };
static struct fib4 *fib4;
static struct fib4_plan plan4;

static uint32_t wire(uint32_t address)
{
    uint32_t address_be;

    store_be32(&address_be, address);
    return address_be;
}

static struct fib4_route route4(unsigned prefix)
{
    return (struct fib4_route){ .address_be = wire(prefixes4[prefix].address),
                                .length = prefixes4[prefix].length,
                                .next_hop = (uint16_t)(prefix + 1) };
}

static void make4(struct snapshot_domain *snapshots, unsigned way)
{
    struct fib4_route base = route4(0);

    fib4 = fib4_create(&plan4, &base, 1);
    EXPECT(fib4 != NULL);
    fib4_share(fib4, snapshots, &(const struct pause){ .take = NULL });
    fib4_use_way(fib4, way);
}

static void insert4(unsigned prefix)
{
    struct fib4_route route = route4(prefix);

    EXPECT_EQUAL(fib4_insert(fib4, &route), OK);
}

static void remove4(unsigned prefix, unsigned covering)
{
    struct fib4_route route = route4(prefix), cover = route4(covering);

    EXPECT_EQUAL(fib4_remove(fib4, route.address_be, route.length, &cover), OK);
}

static void lookup4(uint16_t answers[BATCH_MAX])
{
    uint32_t addresses_be[BATCH_MAX];

    for (unsigned i = 0; i < BATCH_MAX; i++)
        addresses_be[i] = wire(addresses4[i % ARRAY_COUNT(addresses4)]);
    fib4_lookup_batch(fib4, addresses_be, answers, BATCH_MAX);
}

static void destroy4(void)
{
    fib4_destroy(fib4, NULL);
}

static const struct subject subject4 = { make4, insert4, remove4, lookup4, destroy4 };

static void change_in_every_way(enum fib4_shape shape)
{
    for (uint16_t next_hop_max = 0; next_hop_max <= 1000; next_hop_max += 1000) {
        plan4 = (struct fib4_plan){ .shape = shape, .next_hop_max = next_hop_max };
        struct fib4 *probe = fib4_create(&plan4, NULL, 0);
        EXPECT(probe != NULL);
        unsigned ways = fib4_way_count(probe);
        fib4_destroy(probe, NULL);
        for (unsigned way = 0; way < ways; way++)
            change_while_others_read(&subject4, way);
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

/* ---- IPv6 -------------------------------------------------------------------------------------
 */

/* Ends of groups, of bytes, and in between. */
static const struct {
    const char *prefix;
    uint8_t length;
    const char *address;
} prefixes6[1 + TOGGLED] = {
    { "2001::", 16, "2001:8000::" },
    { "2001:d00::", 24, "2001:d00:1::1" },
    { "2001:db8::", 32, "2001:db8:8000::1" },
    { "2001:db8:4000::", 36, "2001:db8:4fff::1" },
    { "2001:db8:4001::", 48, "2001:db8:4001::1" },
    { "2001:db8:4001:2:3:4:5:6", 128, "2001:db8:4001:2:3:4:5:6" },
};
static struct fib6 *fib6;
static bool crowded6; /* enough routes beside them that the groups have tables */
static uint8_t addresses6[BATCH_MAX][16];

static void read6(const char *text, uint8_t address[16])
{
    EXPECT(text_to_ipv6(text, strlen(text), address));
}

static struct fib6_route route6(unsigned prefix)
{
    struct fib6_route route = { .length = prefixes6[prefix].length,
                                .next_hop = (uint16_t)(prefix + 1) };

    read6(prefixes6[prefix].prefix, route.address);
    return route;
}

/* Whether a change has to be made again, as readers must move on first. */
static bool is_busy(enum error error)
{
    if (error == OK)
        return false;
    EXPECT_EQUAL(error, ERROR_BUSY);
    snapshot_reclaim(&domain);
    sched_yield();
    return true;
}

static void insert6(unsigned prefix)
{
    struct fib6_route route = route6(prefix);

    while (is_busy(fib6_insert(fib6, &route)))
        continue;
}

/* Far from what is asked for, in the groups that are. */
static void crowd6(void)
{
    enum { NEIGHBORS = 30, NEXT_HOP = 99 };

    for (unsigned i = 0; i < NEIGHBORS; i++) {
        struct fib6_route route = route6(2);
        route.length = 48;
        route.next_hop = NEXT_HOP;
        route.address[4] = (uint8_t)(0xa0 + i);
        EXPECT_EQUAL(fib6_insert(fib6, &route), OK);
        route.address[4] = 0x40;
        route.address[5] = (uint8_t)(0x10 + 2 * i);
        EXPECT_EQUAL(fib6_insert(fib6, &route), OK);
    }
}

static void make6(struct snapshot_domain *snapshots, unsigned way)
{
    fib6 = fib6_create(&(struct fib6_plan){ .snapshots = snapshots }, NULL, 0);
    EXPECT(fib6 != NULL);
    fib6_use_way(fib6, way);
    insert6(0);
    if (crowded6)
        crowd6();
    for (unsigned i = 0; i < BATCH_MAX; i++)
        read6(prefixes6[i % ARRAY_COUNT(prefixes6)].address, addresses6[i]);
}

static void remove6(unsigned prefix, unsigned covering)
{
    struct fib6_route route = route6(prefix), cover = route6(covering);

    while (is_busy(fib6_remove(fib6, route.address, route.length, &cover)))
        continue;
}

static void lookup6(uint16_t answers[BATCH_MAX])
{
    fib6_lookup_batch(fib6, (const uint8_t(*)[16])addresses6, answers, BATCH_MAX);
}

static void destroy6(void)
{
    fib6_destroy(fib6);
}

static const struct subject subject6 = { make6, insert6, remove6, lookup6, destroy6 };

static void change6_in_every_way(void)
{
    struct fib6 *probe = fib6_create(&(struct fib6_plan){ 0 }, NULL, 0);

    EXPECT(probe != NULL);
    unsigned ways = fib6_way_count(probe);
    fib6_destroy(probe);
    for (unsigned way = 0; way < ways; way++)
        change_while_others_read(&subject6, way);
}

TEST(fib6_answers_right_while_it_changes)
{
    crowded6 = false;
    change6_in_every_way();
}

TEST(fib6_with_tables_answers_right_while_it_changes)
{
    crowded6 = true;
    change6_in_every_way();
}
