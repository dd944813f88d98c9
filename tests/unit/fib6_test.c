/* The IPv6 FIB against a list that is searched from end to end, by every way to look up that this
 * machine has. */
#include "net/fib6.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/base/pause.h"
#include "kernel/base/random.h"
#include "kernel/base/snapshot.h"
#include "kernel/base/text.h"
#include "tests/unit/test.h"

enum { SIZE = 16, LENGTH_MAX = 128, LIST_MAX = 400 };

struct key {
    uint8_t bytes[SIZE];
};

static uint64_t random_state;

static unsigned below(unsigned limit)
{
    return random_below(&random_state, limit);
}

static struct key random_key(void)
{
    struct key key;

    for (unsigned i = 0; i < SIZE; i++)
        key.bytes[i] = (uint8_t)below(256);
    return key;
}

static uint8_t mask_byte(unsigned length, unsigned index)
{
    unsigned bits = length > 8 * index ? MIN_OF(length - 8 * index, 8u) : 0;

    return (uint8_t)(0xff00 >> bits);
}

/* The first `length` bits of one, the others of the other. */
static struct key join(const uint8_t *network, unsigned length, const uint8_t *host)
{
    struct key key;

    for (unsigned i = 0; i < SIZE; i++) {
        uint8_t mask = mask_byte(length, i);
        key.bytes[i] = (uint8_t)((network[i] & mask) | (host[i] & ~mask));
    }
    return key;
}

/* The address before or after it. */
static struct key beside(struct key key, int step)
{
    for (unsigned i = SIZE; i-- > 0;) {
        key.bytes[i] = (uint8_t)(key.bytes[i] + step);
        if (key.bytes[i] != (step > 0 ? 0 : 0xff))
            break;
    }
    return key;
}

static const struct key all_zero, all_one = { { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                                                255, 255, 255, 255, 255, 255 } };

static struct fib6_route route_of(const struct key *key, unsigned length, unsigned next_hop)
{
    struct fib6_route route = { .length = (uint8_t)length, .next_hop = (uint16_t)next_hop };

    memcpy(route.address, join(key->bytes, length, all_zero.bytes).bytes, SIZE);
    return route;
}

static struct key key_of(const char *text)
{
    struct key key;

    EXPECT(text_to_ipv6(text, strlen(text), key.bytes));
    return key;
}

static struct fib6_route route_to(const char *text, unsigned length, unsigned next_hop)
{
    struct key key = key_of(text);

    return route_of(&key, length, next_hop);
}

static struct fib6 *make(struct snapshot_domain *domain)
{
    struct fib6 *fib = fib6_create(&(struct fib6_plan){ .snapshots = domain }, NULL, 0);

    EXPECT(fib != NULL);
    return fib;
}

/* ---- The stupid one ---------------------------------------------------------------------------
 */

struct list {
    unsigned count;
    struct fib6_route routes[LIST_MAX];
};

static bool contains(const struct fib6_route *route, const uint8_t *address)
{
    for (unsigned i = 0; i < SIZE; i++)
        if ((route->address[i] ^ address[i]) & mask_byte(route->length, i))
            return false;
    return true;
}

/* The longest match below that length. */
static const struct fib6_route *list_find(const struct list *list, const uint8_t *address,
                                          unsigned length_below)
{
    const struct fib6_route *best = NULL;

    for (const struct fib6_route *route = list->routes; route < list->routes + list->count; route++)
        if (route->length < length_below && (!best || route->length > best->length) &&
            contains(route, address))
            best = route;
    return best;
}

static uint16_t list_lookup(const struct list *list, const struct key *key)
{
    const struct fib6_route *route = list_find(list, key->bytes, LENGTH_MAX + 1);

    return route ? route->next_hop : FIB6_NO_ROUTE;
}

/* Both change alike. */
static void insert(struct fib6 *fib, struct list *list, const struct fib6_route *route)
{
    EXPECT_EQUAL(fib6_insert(fib, route), OK);
    for (unsigned i = 0; i < list->count; i++) {
        struct fib6_route *known = &list->routes[i];
        if (known->length == route->length && contains(known, route->address)) {
            known->next_hop = route->next_hop;
            return;
        }
    }
    EXPECT(list->count < LIST_MAX);
    list->routes[list->count++] = *route;
}

static void remove_at(struct fib6 *fib, struct list *list, unsigned index)
{
    struct fib6_route route = list->routes[index];

    list->routes[index] = list->routes[--list->count];
    EXPECT_EQUAL(
        fib6_remove(fib, route.address, route.length, list_find(list, route.address, route.length)),
        OK);
}

/* ---- Comparing --------------------------------------------------------------------------------
 */

static void compare(struct fib6 *fib, const struct list *list, const struct key *keys,
                    unsigned count)
{
    uint16_t answers[BATCH_MAX], expected[BATCH_MAX];

    for (unsigned i = 0; i < count; i++)
        expected[i] = list_lookup(list, &keys[i]);
    for (unsigned way = 0; way < fib6_way_count(fib); way++) {
        fib6_use_way(fib, way);
        fib6_lookup_batch(fib, (const uint8_t(*)[SIZE])keys, answers, count);
        for (unsigned i = 0; i < count; i++)
            EXPECT_EQUAL(answers[i], expected[i]);
    }
    EXPECT_EQUAL(fib6_lookup(fib, keys[0].bytes), expected[0]);
}

/* Every place where an answer can change is at a prefix's edge, or one beside it. */
static void compare_at_edges(struct fib6 *fib, const struct list *list)
{
    enum { EDGES = 5 };
    struct key keys[BATCH_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < list->count; i++) {
        const struct fib6_route *route = &list->routes[i];
        struct key host = random_key();
        struct key first = join(route->address, route->length, all_zero.bytes);
        struct key last = join(route->address, route->length, all_one.bytes);
        keys[count++] = beside(first, -1);
        keys[count++] = first;
        keys[count++] = join(route->address, route->length, host.bytes);
        keys[count++] = last;
        keys[count++] = beside(last, 1);
        if (count + EDGES > BATCH_MAX || i + 1 == list->count) {
            compare(fib, list, keys, count);
            count = 0;
        }
    }
}

/* Prefixes near each other, so that they nest, touch and repeat: each group has few values, but for
 * one, which may have many. */
static struct fib6_route random_route(unsigned crowded_group)
{
    struct key key = { { 0 } };
    unsigned length = below(8) ? below(LENGTH_MAX + 1) : 16 * crowded_group + 9 + below(8);

    for (unsigned group = 0; group < SIZE / 2; group++) {
        unsigned kind = below(8);
        key.bytes[2 * group] = kind == 0 ? 0xff : 0;
        key.bytes[2 * group + 1] = (uint8_t)(kind == 0 ? 0xff : kind == 1 ? below(4) : 0);
        if (group == crowded_group && kind > 2) {
            key.bytes[2 * group] = (uint8_t)(below(3) * below(128));
            key.bytes[2 * group + 1] = (uint8_t)below(256);
        }
    }
    return route_of(&key, length, 1 + below(5) * 16383);
}

TEST(fib6_answers_as_a_list_does)
{
    static struct list list;

    for (unsigned round = 0; round < 32; round++) {
        random_state = round;
        struct fib6 *fib = make(NULL);
        list.count = 0;
        for (unsigned i = below(LIST_MAX); i > 0; i--) {
            struct fib6_route route = random_route(round % 8);
            insert(fib, &list, &route);
        }
        compare_at_edges(fib, &list);
        struct fib6 *copy = fib6_create(&(struct fib6_plan){ 0 }, list.routes, list.count);
        EXPECT(copy != NULL);
        compare_at_edges(copy, &list);
        fib6_destroy(copy);
        fib6_destroy(fib);
    }
}

/* In a prefix, at the first or last address of one, or anywhere near. */
static struct key random_key_near(const struct list *list, unsigned kind)
{
    struct key key = random_key();

    if (list->count == 0 || kind == 0)
        return key;
    const struct fib6_route *near = &list->routes[below(list->count)];
    struct key last = join(near->address, near->length, all_one.bytes);
    switch (kind) {
    case 1:
        return beside(last, 1);
    case 2:
        return last;
    case 3:
        return join(near->address, LENGTH_MAX, key.bytes);
    default:
        return join(near->address, MIN_OF(near->length + kind % 3, LENGTH_MAX + 0u), key.bytes);
    }
}

/* The list is long enough for tables and lists to become each other, and back to none. */
TEST(fib6_answers_as_a_list_does_after_random_changes)
{
    enum { ROUNDS = 8 };
    static struct list list;
    static struct snapshot_domain domain;
    struct key keys[BATCH_MAX];

    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned routes_max = round % 2 ? 24 : 90, grows = 1;
        random_state = round;
        snapshot_domain_init(&domain, 1); /* its one core sleeps: all is freed at once */
        struct fib6 *fib = make(&domain);
        size_t bytes_empty = fib6_bytes_in_use(fib);
        for (unsigned i = 0; i < test_comparisons() / ROUNDS; i += BATCH_MAX) {
            if (list.count == 0 || list.count == routes_max)
                grows = list.count == 0;
            if (below(5) < (grows ? 4 : 1) && list.count < routes_max) {
                struct fib6_route route = random_route(round);
                insert(fib, &list, &route);
            } else if (list.count > 0) {
                remove_at(fib, &list, below(list.count));
            }
            snapshot_reclaim(&domain);
            for (unsigned k = 0; k < BATCH_MAX; k++)
                keys[k] = random_key_near(&list, k % 8);
            compare(fib, &list, keys, BATCH_MAX);
        }
        while (list.count > 0)
            remove_at(fib, &list, list.count - 1);
        EXPECT_EQUAL(fib6_bytes_in_use(fib), bytes_empty);
        EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
        fib6_destroy(fib);
    }
}

/* ---- Edges ------------------------------------------------------------------------------------
 */

TEST(fib6_knows_the_edges_of_each_length)
{
    struct key key = key_of("a9b4:c7d3:5e6f:8192:a3b4:c5d6:e7f8:9a0b");
    struct fib6 *fib = make(NULL);
    size_t bytes = fib6_bytes_in_use(fib);

    for (unsigned length = 0; length <= LENGTH_MAX; length++) {
        struct list list = { 0 };
        struct fib6_route route = route_of(&key, length, 7);
        insert(fib, &list, &route);
        compare_at_edges(fib, &list);
        remove_at(fib, &list, 0);
        EXPECT_EQUAL(fib6_lookup(fib, key.bytes), FIB6_NO_ROUTE);
        EXPECT_EQUAL(fib6_bytes_in_use(fib), bytes);
    }
    fib6_destroy(fib);
}

/* A neighbor that becomes the same moves an end without there being more of them. */
TEST(fib6_puts_equal_neighbors_together)
{
    static struct list list;
    struct fib6 *fib = make(NULL);

    for (unsigned i = 0; i < 40; i++) {
        struct fib6_route route = route_to("2001:db8::", 48, 1 + i / 3);
        route.address[5] = (uint8_t)i;
        insert(fib, &list, &route);
        compare_at_edges(fib, &list);
    }
    while (list.count > 0) {
        remove_at(fib, &list, list.count / 2);
        compare_at_edges(fib, &list);
    }
    fib6_destroy(fib);
}

TEST(fib6_nests_129_deep)
{
    static struct list list;
    struct fib6 *fib = make(NULL);
    size_t bytes = fib6_bytes_in_use(fib);

    for (unsigned i = 0; i <= LENGTH_MAX; i++) {
        unsigned length = i * 50 % (LENGTH_MAX + 1); /* in no order */
        struct fib6_route route = route_of(&all_one, length, length + 1);
        insert(fib, &list, &route);
    }
    compare_at_edges(fib, &list);
    EXPECT_EQUAL(fib6_lookup(fib, all_one.bytes), LENGTH_MAX + 1);
    EXPECT_EQUAL(fib6_lookup(fib, beside(all_one, -1).bytes), LENGTH_MAX);
    EXPECT_EQUAL(fib6_lookup(fib, all_zero.bytes), 1);
    while (list.count > 0) {
        remove_at(fib, &list, list.count * 5 % 3 % list.count);
        compare_at_edges(fib, &list);
    }
    EXPECT_EQUAL(fib6_bytes_in_use(fib), bytes);
    fib6_destroy(fib);
}

/* A group that is divided as finely as can be, filled and emptied in different orders. */
TEST(fib6_divides_a_group_65536_times)
{
    enum { VALUES = 65536 };

    for (unsigned length = 32; length <= 128; length += 48) {
        struct fib6 *fib = make(NULL);
        size_t bytes = fib6_bytes_in_use(fib);
        struct fib6_route route = route_to("2001:db8:1:2:3:4:5:6", length, 0);
        uint8_t *group = &route.address[length / 8 - 2];
        for (unsigned i = 0; i < VALUES; i++) {
            unsigned value = i * 40503 % VALUES;
            group[0] = (uint8_t)(value >> 8);
            group[1] = (uint8_t)value;
            route.next_hop = (uint16_t)(value ^ 0x5a5a);
            EXPECT_EQUAL(fib6_insert(fib, &route), OK);
        }
        for (unsigned way = 0; way < fib6_way_count(fib); way++) {
            fib6_use_way(fib, way);
            for (unsigned value = 0; value < VALUES; value++) {
                group[0] = (uint8_t)(value >> 8);
                group[1] = (uint8_t)value;
                EXPECT_EQUAL(fib6_lookup(fib, route.address), value ^ 0x5a5a);
            }
        }
        for (unsigned i = 0; i < VALUES; i++) {
            unsigned value = i * 25717 % VALUES;
            group[0] = (uint8_t)(value >> 8);
            group[1] = (uint8_t)value;
            EXPECT_EQUAL(fib6_remove(fib, route.address, length, NULL), OK);
        }
        EXPECT_EQUAL(fib6_bytes_in_use(fib), bytes);
        fib6_destroy(fib);
    }
}

TEST(fib6_without_routes_knows_no_way)
{
    struct fib6 *fib = make(NULL);

    EXPECT_EQUAL(fib6_lookup(fib, all_zero.bytes), FIB6_NO_ROUTE);
    EXPECT_EQUAL(fib6_lookup(fib, all_one.bytes), FIB6_NO_ROUTE);
    fib6_destroy(fib);
}

TEST(fib6_reads_and_writes_no_more_than_the_batch)
{
    enum { GUARD = 0xabcd, COUNT_MAX = 2 * BATCH_MAX + 9 };
    const struct fib6_route routes[] = { route_to("::", 0, 3), route_of(&all_one, 48, 4),
                                         route_of(&all_one, 128, 5) };
    struct fib6 *fib = fib6_create(&(struct fib6_plan){ 0 }, routes, ARRAY_COUNT(routes));

    /* Whatever is loaded behind the last address ends it. */
    uint8_t *page =
        mmap(NULL, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(fib != NULL);
    EXPECT(page != MAP_FAILED);
    EXPECT(mprotect(page + PAGE_BYTES, PAGE_BYTES, PROT_NONE) == 0);
    for (unsigned count = 0; count <= COUNT_MAX; count++) {
        struct key *keys = (struct key *)(uintptr_t)(page + PAGE_BYTES) - count;
        uint16_t *answers = calloc(count + 1, sizeof(*answers));
        EXPECT(answers);
        memset(keys, 0xff, count * sizeof(*keys));
        for (unsigned i = 0; i < count; i++)
            keys[i].bytes[i % 3 == 0 ? 15 : 1] ^= i % 3 != 1;
        answers[count] = GUARD;
        for (unsigned way = 0; way < fib6_way_count(fib); way++) {
            fib6_use_way(fib, way);
            fib6_lookup_batch(fib, (const uint8_t(*)[SIZE])keys, answers, count);
            for (unsigned i = 0; i < count; i++)
                EXPECT_EQUAL(answers[i], i % 3 == 0 ? 4 : i % 3 == 1 ? 5 : 3);
            EXPECT_EQUAL(answers[count], GUARD);
        }
        free(answers);
    }
    munmap(page, 2 * PAGE_BYTES);
    fib6_destroy(fib);
}

/* ---- Memory -----------------------------------------------------------------------------------
 */

/* Enough of them to grow a few times. */
static struct fib6_route spread_route(unsigned i)
{
    struct key key = key_of("2001:db8::");

    key.bytes[3] = (uint8_t)(i * 61);
    key.bytes[4] = (uint8_t)(i >> 8);
    key.bytes[5] = (uint8_t)(i * 7);
    return route_of(&key, 48, 1 + i);
}

TEST(fib6_is_not_made_without_memory)
{
    enum { ROUTES = 20000, ALLOCATIONS_LEAST = 7 };
    struct fib6_route *routes = calloc(ROUTES, sizeof(*routes));

    EXPECT(routes != NULL);
    for (unsigned i = 0; i < ROUTES; i++)
        routes[i] = spread_route(i);
    for (uint64_t n = 0;; n++) {
        host_fail_allocation(n);
        struct fib6 *fib = fib6_create(&(struct fib6_plan){ 0 }, routes, ROUTES);
        bool failed_one = host_allocation_count() > n;
        host_fail_allocation(UINT64_MAX);
        if (fib && !failed_one) {
            fib6_destroy(fib);
            EXPECT(n >= ALLOCATIONS_LEAST);
            break;
        }
        EXPECT(fib == NULL);
    }
    free(routes);
}

/* Goal: a FIB that has grown, or could not, answers as before; one that is shared stops where its
 * room ends, and has changed nothing then. Method: of each route both the one before and after the
 * failure are looked up. */
TEST(fib6_changes_nothing_without_memory)
{
    enum { ROUTES_MAX = 200000 };
    static struct snapshot_domain domain;
    struct fib6 *fib = make(NULL);
    unsigned count = 0, refused = 0;

    for (; count < 20000; count++) {
        struct fib6_route route = spread_route(count);
        host_fail_allocation(0);
        enum error error = fib6_insert(fib, &route);
        host_fail_allocation(UINT64_MAX);
        if (error == OK)
            continue;
        EXPECT_EQUAL(error, ERROR_NO_MEMORY);
        EXPECT_EQUAL(fib6_lookup(fib, route.address), FIB6_NO_ROUTE);
        EXPECT_EQUAL(fib6_insert(fib, &route), OK);
        refused++;
    }
    EXPECT(refused > 1);
    snapshot_domain_init(&domain, 1);
    fib6_share(fib, &domain, &(struct pause){ 0 });
    size_t bytes = fib6_bytes(fib);
    struct fib6_route next;
    for (;; count++) {
        EXPECT(count < ROUTES_MAX);
        next = route_to("2001:db9::", 48, 9);
        next.address[2] = (uint8_t)count;
        next.address[3] = (uint8_t)(count >> 8);
        enum error error = fib6_insert(fib, &next);
        if (error != OK) {
            EXPECT_EQUAL(error, ERROR_FULL);
            break;
        }
        EXPECT_EQUAL(fib6_lookup(fib, next.address), 9);
        snapshot_reclaim(&domain);
    }
    EXPECT_EQUAL(fib6_lookup(fib, next.address), FIB6_NO_ROUTE);
    EXPECT_EQUAL(fib6_bytes(fib), bytes);
    for (unsigned i = 0; i < 20000; i++) {
        struct fib6_route route = spread_route(i);
        EXPECT_EQUAL(fib6_lookup(fib, route.address), route.next_hop);
    }
    EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
    fib6_destroy(fib);
}

static void ignore(void *object)
{
    (void)object;
}

/* A few routes of one /32 in turns, so that leaves become tables and back. */
static enum error change_in_turns(struct fib6 *fib, unsigned number)
{
    enum { ROUTES = 6 };
    unsigned i = number % ROUTES;
    struct fib6_route route = route_to("2001:db8::", 48, 2 + i);

    route.address[4] = (uint8_t)(37 * i + 3);
    route.address[5] = 77;
    return number / ROUTES % 2 == 0 ? fib6_insert(fib, &route)
                                    : fib6_remove(fib, route.address, route.length, NULL);
}

/* A storm that nobody interrupts waits for one point, until the room is used up; all that it has
 * replaced is used again after that point or the next. */
TEST(fib6_uses_memory_again_after_a_quiescent_point)
{
    static struct snapshot_domain domain;
    unsigned number = 0;

    snapshot_domain_init(&domain, 1);
    struct fib6 *fib = make(&domain);
    snapshot_quiesce(&domain, 0);
    for (unsigned round = 0; round < 5; round++) {
        enum error error;
        unsigned first = number;
        while ((error = change_in_turns(fib, number)) == OK)
            number++;
        EXPECT_EQUAL(error, ERROR_BUSY);
        EXPECT(number > first + 100);
        EXPECT(number < first + 10000);
        EXPECT_EQUAL(domain.retired_count, 1);
        for (unsigned point = 0; point < 2; point++) {
            snapshot_quiesce(&domain, 0);
            EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
            if (change_in_turns(fib, number) == OK)
                number++;
        }
    }
    snapshot_offline(&domain, 0);
    snapshot_reclaim(&domain);
    fib6_destroy(fib);
}

/* Goal: waste that found the domain's list half full does not stay waste. */
TEST(fib6_waits_for_room_on_the_list_of_what_is_retired)
{
    static struct snapshot_domain domain;
    static char objects[RETIRED_MAX / 2];
    unsigned number = 0;

    snapshot_domain_init(&domain, 1);
    struct fib6 *fib = make(&domain);
    snapshot_quiesce(&domain, 0);
    for (unsigned i = 0; i < ARRAY_COUNT(objects); i++)
        EXPECT_EQUAL(snapshot_retire(&domain, &objects[i], ignore), OK);
    enum error error;
    while ((error = change_in_turns(fib, number)) == OK)
        number++;
    EXPECT_EQUAL(error, ERROR_BUSY);
    snapshot_quiesce(&domain, 0);
    EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
    EXPECT_EQUAL(change_in_turns(fib, number), ERROR_BUSY); /* now it waits */
    snapshot_quiesce(&domain, 0);
    EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
    EXPECT_EQUAL(change_in_turns(fib, number), OK);
    snapshot_offline(&domain, 0);
    snapshot_reclaim(&domain);
    fib6_destroy(fib);
}

static void count_pause(void *context)
{
    ++*(unsigned *)context;
}

/* The default route is above all that there is, which takes long. */
TEST(fib6_pauses_in_changes_of_short_prefixes)
{
    static struct snapshot_domain domain;
    unsigned pauses = 0;
    const struct pause pause = { count_pause, &pauses };
    const struct fib6_route above = route_to("::", 0, 1);

    snapshot_domain_init(&domain, 1);
    struct fib6 *fib = make(NULL);
    for (unsigned i = 0; i < 40; i++) {
        struct fib6_route route = route_to("2001:db8::", 32, 2);
        route.address[0] = (uint8_t)i;
        EXPECT_EQUAL(fib6_insert(fib, &route), OK);
    }
    fib6_share(fib, &domain, &pause);
    EXPECT_EQUAL(fib6_insert(fib, &above), OK);
    EXPECT(pauses >= 40);
    EXPECT_EQUAL(fib6_lookup(fib, key_of("5:5::").bytes), 1);
    fib6_destroy(fib);
}

/* ---- The real table ---------------------------------------------------------------------------
 */

/* Its lines, to be closed with pclose(). */
static FILE *open_data(const char *name)
{
    const char *folder = getenv("TSUJI_DATA");
    char command[512];

    if (!folder)
        folder = "../shared/data";
    snprintf(command, sizeof(command), "%s/%s", folder, name);
    if (access(command, R_OK) != 0)
        test_skip("no routing table: TSUJI_DATA names no folder with dfz-2023-02-v6.txt.gz");
    snprintf(command, sizeof(command), "zcat '%s/%s'", folder, name);
    FILE *lines = popen(command, "r");
    EXPECT(lines != NULL);
    return lines;
}

static unsigned read_routes(struct fib6_route *routes, unsigned max)
{
    FILE *lines = open_data("dfz-2023-02-v6.txt.gz");
    char text[48];
    unsigned count = 0, length, next_hop;

    while (fscanf(lines, " %47[^/]/%u %u", text, &length, &next_hop) == 3) {
        EXPECT(count < max);
        routes[count++] = route_to(text, length, next_hop);
    }
    EXPECT_EQUAL(pclose(lines), 0);
    return count;
}

TEST(fib6_answers_as_the_real_table_does)
{
    enum { ROUTES_MAX = 200000 };
    struct fib6_route *routes = calloc(ROUTES_MAX, sizeof(*routes));
    char text[48];
    unsigned looked_up = 0, right;

    EXPECT(routes != NULL);
    unsigned count = read_routes(routes, ROUTES_MAX);
    EXPECT(count > 160000);
    struct fib6 *fib = fib6_create(&(struct fib6_plan){ 0 }, routes, count);
    EXPECT(fib != NULL);
    EXPECT(fib6_bytes(fib) <= 16 << 20);
    FILE *lines = open_data("dfz-2023-02-v6.lookups.gz");
    for (; fscanf(lines, " %47s %u", text, &right) == 2; looked_up++) {
        struct key key = key_of(text);
        for (unsigned way = 0; way < fib6_way_count(fib); way++) {
            fib6_use_way(fib, way);
            EXPECT_EQUAL(fib6_lookup(fib, key.bytes), right);
        }
    }
    EXPECT_EQUAL(pclose(lines), 0);
    EXPECT_EQUAL(looked_up, 200000);
    fib6_destroy(fib);
    free(routes);
}
