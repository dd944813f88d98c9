/* The FIB against a list that is searched from end to end, in every shape and width and by every
 * way to look up that this machine has. */
#include "net/fib4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/base/bytes.h"
#include "kernel/base/snapshot.h"
#include "net/address.h"
#include "tests/unit/test.h"

enum { LIST_MAX = 320 };

/* What a table may look like inside. */
static const struct fib4_plan plans[] = {
    { .shape = FIB4_COMPACT },
    { .shape = FIB4_COMPACT, .next_hop_max = FIB4_NARROW_MAX + 1 },
    { .shape = FIB4_DIRECT },
    { .shape = FIB4_DIRECT, .next_hop_max = FIB4_NARROW_MAX + 1 },
};

static uint64_t random_state;

static uint32_t next_random(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

static uint32_t wire(uint32_t address)
{
    uint32_t address_be;

    store_be32(&address_be, address);
    return address_be;
}

static struct fib4_route route_of(uint32_t address, unsigned length, unsigned next_hop)
{
    return (struct fib4_route){ .address_be = wire(address) & ipv4_mask_be(length),
                                .length = (uint8_t)length,
                                .next_hop = (uint16_t)next_hop };
}

/* ---- The stupid one ---------------------------------------------------------------------------
 */

struct list {
    unsigned count;
    struct fib4_route routes[LIST_MAX];
};

/* The longest match below that length; of equal ones the last in the list. */
static const struct fib4_route *list_find(const struct list *list, uint32_t address_be,
                                          unsigned length_below)
{
    const struct fib4_route *best = NULL;

    for (const struct fib4_route *route = list->routes; route < list->routes + list->count;
         route++) {
        if (((address_be ^ route->address_be) & ipv4_mask_be(route->length)) == 0 &&
            route->length < length_below && (!best || route->length >= best->length))
            best = route;
    }
    return best;
}

static uint16_t list_lookup(const struct list *list, uint32_t address_be)
{
    const struct fib4_route *route = list_find(list, address_be, 33);

    return route ? route->next_hop : FIB4_NO_ROUTE;
}

/* Both change alike. */
static void insert(struct fib4 *fib, struct list *list, const struct fib4_route *route)
{
    EXPECT_EQUAL(fib4_insert(fib, route), OK);
    for (unsigned i = 0; i < list->count; i++) {
        struct fib4_route *known = &list->routes[i];
        if (known->address_be == route->address_be && known->length == route->length) {
            *known = *route;
            return;
        }
    }
    EXPECT(list->count < LIST_MAX);
    list->routes[list->count++] = *route;
}

static void remove_at(struct fib4 *fib, struct list *list, unsigned index)
{
    struct fib4_route route = list->routes[index];

    list->routes[index] = list->routes[--list->count];
    const struct fib4_route *cover = list_find(list, route.address_be, route.length);
    EXPECT_EQUAL(fib4_remove(fib, route.address_be, route.length, cover), OK);
}

/* ---- Comparing --------------------------------------------------------------------------------
 */

static void compare(struct fib4 *fib, const struct list *list, const uint32_t *addresses_be,
                    unsigned count)
{
    uint16_t answers[BATCH_MAX];

    for (unsigned way = 0; way < fib4_way_count(fib); way++) {
        fib4_use_way(fib, way);
        fib4_lookup_batch(fib, addresses_be, answers, count);
        for (unsigned i = 0; i < count; i++)
            EXPECT_EQUAL(answers[i], list_lookup(list, addresses_be[i]));
    }
    EXPECT_EQUAL(fib4_lookup(fib, addresses_be[0]), answers[0]);
}

/* Every place where an answer can change is at a prefix's edge, or one beside it. */
static void compare_at_edges(struct fib4 *fib, const struct list *list)
{
    enum { EDGES = 5 };
    uint32_t addresses_be[BATCH_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < list->count; i++) {
        uint32_t last_be = list->routes[i].address_be | ~ipv4_mask_be(list->routes[i].length);
        uint32_t first = load_be32(&list->routes[i].address_be), last = load_be32(&last_be);
        uint32_t edges[EDGES] = { first - 1, first, last, last + 1, next_random() };

        for (unsigned k = 0; k < EDGES; k++)
            addresses_be[count++] = wire(edges[k]);
        if (count + EDGES > BATCH_MAX || i + 1 == list->count) {
            compare(fib, list, addresses_be, count);
            count = 0;
        }
    }
}

/* Prefixes near each other, so that they nest, touch and repeat. */
static struct fib4_route random_route(const struct fib4_plan *plan)
{
    unsigned length = next_random() % 8 ? 12 + next_random() % 21 : next_random() % 33;
    uint32_t address = next_random() << 8 ^ next_random();

    if (next_random() % 4)
        address = 0x0a000000 | (address & 0x3ff) | 0xfffffc00 * (next_random() % 2);
    return route_of(address, length, 1 + next_random() % 5 + plan->next_hop_max);
}

TEST(fib4_answers_as_a_list_does)
{
    static struct list list;

    for (unsigned p = 0; p < ARRAY_COUNT(plans); p++) {
        for (unsigned round = 0; round < 12; round++) {
            random_state = round;
            list.count = next_random() % LIST_MAX;
            for (unsigned i = 0; i < list.count; i++)
                list.routes[i] = random_route(&plans[p]);
            struct fib4 *fib = fib4_create(&plans[p], list.routes, list.count);
            EXPECT(fib != NULL);
            compare_at_edges(fib, &list);
            fib4_destroy(fib, NULL);
        }
    }
}

/* The list stays short, or the list would be all that is tested. */
TEST(fib4_answers_as_a_list_does_after_random_changes)
{
    enum { ROUTES_MAX = 24 };
    static struct list list;
    static struct snapshot_domain domain;
    uint32_t addresses_be[BATCH_MAX];

    for (unsigned p = 0; p < ARRAY_COUNT(plans); p++) {
        random_state = p;
        list.count = 0;
        struct fib4_plan plan = plans[p];
        snapshot_domain_init(&domain, 1); /* its one core sleeps: all is freed at once */
        plan.snapshots = &domain;
        struct fib4 *fib = fib4_create(&plan, NULL, 0);
        EXPECT(fib != NULL);
        size_t bytes_empty = fib4_bytes(fib);
        for (unsigned i = 0; i < test_comparisons() / ARRAY_COUNT(plans); i += BATCH_MAX) {
            if (list.count == ROUTES_MAX || (list.count > 0 && next_random() % 5 < 2)) {
                remove_at(fib, &list, next_random() % list.count);
            } else {
                struct fib4_route route = random_route(&plan);
                insert(fib, &list, &route);
            }
            snapshot_reclaim(&domain);
            for (unsigned k = 0; k < BATCH_MAX; k++) {
                const struct fib4_route *near = &list.routes[next_random() % LIST_MAX];
                if (near >= list.routes + list.count)
                    near = &list.routes[0];
                uint32_t host_be = wire(next_random() << 8 ^ next_random());
                /* In a prefix, at the first or last address of one, or anywhere near. */
                uint32_t mask_be = ipv4_mask_be(MIN_OF(near->length + k % 3, 32u));
                addresses_be[k] = k % 8 == 0 ? host_be : near->address_be ^ (host_be & ~mask_be);
                if (k % 8 == 1)
                    addresses_be[k] = near->address_be | ~ipv4_mask_be(near->length);
            }
            compare(fib, &list, addresses_be, BATCH_MAX);
        }
        while (list.count > 0)
            remove_at(fib, &list, list.count - 1);
        EXPECT_EQUAL(fib4_bytes(fib), bytes_empty);
        EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
        fib4_destroy(fib, NULL);
    }
}

/* ---- Edges ------------------------------------------------------------------------------------
 */

TEST(fib4_knows_the_edges_of_each_length)
{
    for (unsigned p = 0; p < ARRAY_COUNT(plans); p++) {
        struct fib4 *fib = fib4_create(&plans[p], NULL, 0);
        EXPECT(fib != NULL);
        for (unsigned length = 0; length <= 32; length++) {
            struct list list = { 0 };
            struct fib4_route route = route_of(0xa9b4c7d3, length, 7);
            insert(fib, &list, &route);
            compare_at_edges(fib, &list);
            remove_at(fib, &list, 0);
            EXPECT_EQUAL(fib4_lookup(fib, route.address_be), FIB4_NO_ROUTE);
        }
        fib4_destroy(fib, NULL);
    }
}

TEST(fib4_nests_33_deep)
{
    for (unsigned p = 0; p < ARRAY_COUNT(plans); p++) {
        struct list list = { 0 };
        struct fib4 *fib = fib4_create(&plans[p], NULL, 0);
        EXPECT(fib != NULL);
        for (unsigned i = 0; i <= 32; i++) {
            unsigned length = i * 7 % 33; /* in no order */
            struct fib4_route route = route_of(0xffffffff, length, length + 1);
            insert(fib, &list, &route);
        }
        compare_at_edges(fib, &list);
        EXPECT_EQUAL(fib4_lookup(fib, wire(0xffffffff)), 33);
        EXPECT_EQUAL(fib4_lookup(fib, wire(0xfffffffe)), 32);
        EXPECT_EQUAL(fib4_lookup(fib, wire(0x00000000)), 1);
        while (list.count > 0) {
            remove_at(fib, &list, list.count * 5 % 3 % list.count);
            compare_at_edges(fib, &list);
        }
        fib4_destroy(fib, NULL);
    }
}

TEST(fib4_without_routes_knows_no_way)
{
    for (unsigned p = 0; p < ARRAY_COUNT(plans); p++) {
        struct fib4 *fib = fib4_create(&plans[p], NULL, 0);
        EXPECT(fib != NULL);
        EXPECT_EQUAL(fib4_lookup(fib, wire(0x0a000001)), FIB4_NO_ROUTE);
        EXPECT_EQUAL(fib4_lookup(fib, wire(0xffffffff)), FIB4_NO_ROUTE);
        fib4_destroy(fib, NULL);
    }
}

TEST(fib4_reads_and_writes_no_more_than_the_batch)
{
    enum { GUARD = 0xabcd };
    const struct fib4_route route = route_of(0, 0, 3);

    for (unsigned p = 0; p < ARRAY_COUNT(plans); p++) {
        struct fib4 *fib = fib4_create(&plans[p], &route, 1);
        EXPECT(fib != NULL);
        for (unsigned count = 0; count <= BATCH_MAX; count++) {
            uint32_t *addresses_be = calloc(count + 1, sizeof(*addresses_be));
            uint16_t *answers = malloc((count + 1) * sizeof(*answers));
            EXPECT(addresses_be && answers);
            memset(addresses_be, 0xff, count * sizeof(*addresses_be)); /* the last entry */
            answers[count] = GUARD;
            for (unsigned way = 0; way < fib4_way_count(fib); way++) {
                memset(answers, 0, count * sizeof(*answers));
                fib4_use_way(fib, way);
                fib4_lookup_batch(fib, addresses_be, answers, count);
                for (unsigned i = 0; i < count; i++)
                    EXPECT_EQUAL(answers[i], 3);
                EXPECT_EQUAL(answers[count], GUARD);
            }
            free(addresses_be);
            free(answers);
        }
        fib4_destroy(fib, NULL);
    }
}

/* At every place of batches of all lengths, longer ones than the datapath's included. */
TEST(fib4_follows_long_prefixes_anywhere_in_a_batch)
{
    enum { COUNT_MAX = 2 * BATCH_MAX + 9 };
    const struct fib4_route routes[] = { route_of(0, 0, 1), route_of(0x0a000001, 32, 2) };
    uint32_t addresses_be[COUNT_MAX];
    uint16_t answers[COUNT_MAX];

    for (unsigned p = 0; p < ARRAY_COUNT(plans); p++) {
        struct fib4 *fib = fib4_create(&plans[p], routes, ARRAY_COUNT(routes));
        EXPECT(fib != NULL);
        for (unsigned way = 0; way < fib4_way_count(fib); way++) {
            fib4_use_way(fib, way);
            for (unsigned count = 1; count <= COUNT_MAX; count++) {
                for (unsigned i = 0; i < count; i++)
                    addresses_be[i] = wire(i % 3 == count % 3 ? 0x0a000001 : 0x0a000000 + i * 997);
                fib4_lookup_batch(fib, addresses_be, answers, count);
                for (unsigned i = 0; i < count; i++)
                    EXPECT_EQUAL(answers[i], addresses_be[i] == wire(0x0a000001) ? 2 : 1);
            }
        }
        fib4_destroy(fib, NULL);
    }
}

TEST(fib4_with_narrow_entries_refuses_a_large_next_hop)
{
    const struct fib4_route small = route_of(0x0a000000, 8, FIB4_NARROW_MAX);
    const struct fib4_route large = route_of(0x0a000000, 8, FIB4_NARROW_MAX + 1);
    const struct fib4_route long_one = route_of(0x0a000000, 28, 1);

    for (enum fib4_shape shape = FIB4_COMPACT; shape <= FIB4_DIRECT; shape++) {
        struct fib4 *fib = fib4_create(&(struct fib4_plan){ .shape = shape }, &small, 1);
        EXPECT(fib != NULL);
        EXPECT_EQUAL(fib4_insert(fib, &large), ERROR_FULL);
        EXPECT_EQUAL(fib4_lookup(fib, wire(0x0a010203)), FIB4_NARROW_MAX);
        EXPECT_EQUAL(fib4_insert(fib, &long_one), OK);
        EXPECT_EQUAL(fib4_remove(fib, long_one.address_be, 28, &large), ERROR_FULL);
        EXPECT_EQUAL(fib4_lookup(fib, wire(0x0a000001)), 1);
        fib4_destroy(fib, NULL);

        /* One that is made with the large one has room for it. */
        fib = fib4_create(&(struct fib4_plan){ .shape = shape }, &large, 1);
        EXPECT(fib != NULL);
        EXPECT_EQUAL(fib4_lookup(fib, wire(0x0a010203)), FIB4_NARROW_MAX + 1);
        fib4_destroy(fib, NULL);
    }
}

TEST(fib4_has_the_size_of_what_differs)
{
    const struct fib4_route routes[] = { route_of(0, 0, 1), route_of(0x0a000000, 8, 2) };
    struct fib4 *fib = fib4_create(&plans[0], routes, ARRAY_COUNT(routes));

    EXPECT(fib != NULL);
    EXPECT(fib4_bytes(fib) < 600 << 10);
    for (uint32_t i = 0; i < 64; i++) {
        struct fib4_route route = route_of(0x0a000000 + (i << 8), 24, 3);
        EXPECT_EQUAL(fib4_insert(fib, &route), OK);
    }
    EXPECT(fib4_bytes(fib) < 602 << 10);
    fib4_destroy(fib, NULL);
}

/* ---- Memory -----------------------------------------------------------------------------------
 */

TEST(fib4_is_not_made_without_memory)
{
    const struct fib4_route routes[] = { route_of(0x0b000000, 8, 2), route_of(0x0a000001, 32, 1) };

    for (unsigned p = 0; p < ARRAY_COUNT(plans); p++) {
        for (uint64_t n = 0;; n++) {
            host_fail_allocation(n);
            struct fib4 *fib = fib4_create(&plans[p], routes, ARRAY_COUNT(routes));
            bool failed_one = host_allocation_count() > n;
            host_fail_allocation(UINT64_MAX);
            if (fib && !failed_one) {
                fib4_destroy(fib, NULL);
                EXPECT(n > 2);
                break;
            }
            EXPECT(fib == NULL);
        }
    }
}

TEST(fib4_changes_nothing_without_memory)
{
    const struct fib4_route base = route_of(0x0a000000, 8, 1);

    for (unsigned p = 0; p < ARRAY_COUNT(plans); p++) {
        for (unsigned length = 0; length <= 32; length++) {
            struct fib4_route route = route_of(0x0a141e28, length, 2);
            struct fib4 *fib = fib4_create(&plans[p], &base, 1);
            EXPECT(fib != NULL);
            size_t bytes = fib4_bytes(fib);
            for (uint64_t n = 0;; n++) {
                host_fail_allocation(n);
                enum error error = fib4_insert(fib, &route);
                bool failed_one = host_allocation_count() > n;
                host_fail_allocation(UINT64_MAX);
                if (!failed_one) {
                    EXPECT_EQUAL(error, OK);
                    EXPECT_EQUAL(fib4_lookup(fib, wire(0x0a141e28)), length < 8 ? 1 : 2);
                    break;
                }
                EXPECT_EQUAL(error, ERROR_NO_MEMORY);
                EXPECT_EQUAL(fib4_lookup(fib, wire(0x0a141e28)), 1);
                EXPECT_EQUAL(fib4_bytes(fib), bytes);
            }
            /* To take a route away needs no memory. */
            host_fail_allocation(0);
            EXPECT_EQUAL(fib4_remove(fib, route.address_be, length, length > 8 ? &base : NULL), OK);
            host_fail_allocation(UINT64_MAX);
            if (length > 8)
                EXPECT_EQUAL(fib4_bytes(fib), bytes);
            fib4_destroy(fib, NULL);
        }
    }
}

static uint64_t fib_parts(void)
{
    struct memory_stats stats;

    memory_stats(&stats);
    return stats.tags[MEMORY_FIB].live;
}

TEST(fib4_returns_memory_after_a_quiescent_point)
{
    static struct snapshot_domain domain;
    const struct fib4_route route = route_of(0x0a000001, 32, 1);

    for (unsigned p = 0; p < ARRAY_COUNT(plans); p++) {
        struct fib4_plan plan = plans[p];
        snapshot_domain_init(&domain, 1);
        plan.snapshots = &domain;
        struct fib4 *fib = fib4_create(&plan, NULL, 0);
        EXPECT(fib != NULL);
        uint64_t empty = fib_parts();
        snapshot_quiesce(&domain, 0);
        EXPECT_EQUAL(fib4_insert(fib, &route), OK);
        uint64_t used = fib_parts();
        EXPECT_EQUAL(fib4_remove(fib, route.address_be, 32, NULL), OK);
        EXPECT_EQUAL(snapshot_reclaim(&domain), 1);
        EXPECT_EQUAL(fib_parts(), used);
        snapshot_quiesce(&domain, 0);
        EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
        EXPECT_EQUAL(fib_parts(), empty);

        /* A storm that nobody interrupts leaves room on the list, and is tidied up at the next
         * change. */
        for (unsigned i = 0; i < 2 * RETIRED_MAX; i++) {
            EXPECT_EQUAL(fib4_insert(fib, &route), OK);
            EXPECT_EQUAL(fib4_remove(fib, route.address_be, 32, NULL), OK);
        }
        EXPECT(domain.retired_count <= RETIRED_MAX / 2);
        for (unsigned i = 0; i < 2; i++) {
            snapshot_quiesce(&domain, 0);
            EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
            EXPECT_EQUAL(fib4_insert(fib, &route), OK);
            EXPECT_EQUAL(fib4_remove(fib, route.address_be, 32, NULL), OK);
        }
        snapshot_quiesce(&domain, 0);
        EXPECT_EQUAL(snapshot_reclaim(&domain), 0);
        EXPECT_EQUAL(fib_parts(), empty);
        fib4_destroy(fib, NULL);
    }
}

/* ---- The real table ---------------------------------------------------------------------------
 */

/* All of a file, ended by a 0 byte. */
static char *read_data(const char *name)
{
    enum { SIZE_MAX_BYTES = 32 << 20 };
    const char *folder = getenv("TSUJI_DATA");
    char command[512];
    char *text = malloc(SIZE_MAX_BYTES);

    EXPECT(text != NULL);
    if (!folder)
        folder = "../shared/data";
    snprintf(command, sizeof(command), "%s/%s", folder, name);
    if (access(command, R_OK) != 0)
        test_skip("no routing table: TSUJI_DATA names no folder with dfz-2023-02-v4.txt.gz");
    snprintf(command, sizeof(command), "zcat '%s/%s'", folder, name);
    FILE *pipe = popen(command, "r");
    EXPECT(pipe != NULL);
    size_t size = fread(text, 1, SIZE_MAX_BYTES - 1, pipe);
    EXPECT_EQUAL(pclose(pipe), 0);
    text[size] = 0;
    return text;
}

/* The next number, and over what follows it. */
static unsigned next_number(char **at)
{
    unsigned number = 0;

    for (; **at >= '0' && **at <= '9'; ++*at)
        number = number * 10 + (unsigned)(**at - '0');
    ++*at;
    return number;
}

static uint32_t next_address(char **at)
{
    uint32_t address = 0;

    for (unsigned i = 0; i < 4; i++)
        address = address << 8 | next_number(at);
    return address;
}

/* Lines `prefix next-hop`. */
static unsigned read_routes(struct fib4_route *routes, unsigned max)
{
    char *text = read_data("dfz-2023-02-v4.txt.gz"), *at = text;
    unsigned count = 0;

    for (; *at; count++) {
        EXPECT(count < max);
        uint32_t address = next_address(&at);
        unsigned length = next_number(&at);
        routes[count] = route_of(address, length, next_number(&at));
    }
    free(text);
    return count;
}

TEST(fib4_answers_as_the_real_table_does)
{
    enum { ROUTES_MAX = 1000000 };
    struct fib4_route *routes = calloc(ROUTES_MAX, sizeof(*routes));

    EXPECT(routes != NULL);
    unsigned count = read_routes(routes, ROUTES_MAX), looked_up = 0;
    EXPECT(count > 900000);
    struct fib4 *direct = fib4_create(&plans[2], routes, count);
    struct fib4 *compact = fib4_create(&plans[0], routes, count);
    EXPECT(direct && compact);
    EXPECT(fib4_bytes(direct) <= 48 << 20);
    EXPECT(fib4_bytes(compact) <= 16 << 20);
    char *text = read_data("dfz-2023-02-v4.lookups.gz"), *at = text;
    for (; *at; looked_up++) {
        uint32_t address_be = wire(next_address(&at));
        uint16_t right = (uint16_t)next_number(&at), answer;
        EXPECT_EQUAL(fib4_lookup(compact, address_be), right);
        for (unsigned way = 0; way < fib4_way_count(direct); way++) {
            fib4_use_way(direct, way);
            fib4_lookup_batch(direct, &address_be, &answer, 1);
            EXPECT_EQUAL(answer, right);
        }
    }
    EXPECT_EQUAL(looked_up, 200000);
    free(text);
    fib4_destroy(direct, NULL);
    fib4_destroy(compact, NULL);
    free(routes);
}
