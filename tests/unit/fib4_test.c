/* The FIB against a list that is searched from end to end. */
#include "net/fib4.h"

#include <stdlib.h>

#include "kernel/base/bytes.h"
#include "net/address.h"
#include "tests/unit/test.h"

static uint64_t random_state;

static uint32_t next_random(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

/* The longest match; of equal ones the last in the list. */
static uint16_t naive_lookup(const struct fib4_route *routes, unsigned count, uint32_t address_be)
{
    uint16_t answer = FIB4_NO_ROUTE;
    int longest = -1;

    for (unsigned i = 0; i < count; i++) {
        if ((address_be & ipv4_mask_be(routes[i].length)) != routes[i].address_be)
            continue;
        if ((int)routes[i].length >= longest) {
            longest = routes[i].length;
            answer = routes[i].next_hop;
        }
    }
    return answer;
}

static uint32_t wire(uint32_t address)
{
    uint32_t address_be;

    store_be32(&address_be, address);
    return address_be;
}

/* Prefixes near each other, so that they nest, touch and repeat. */
static void random_routes(struct fib4_route *routes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned length = next_random() % 33;
        uint32_t address_be = wire(next_random() << 8 ^ next_random());
        if (next_random() % 2)
            address_be =
                wire(0x0a000000 | (next_random() & 0x3ff) | 0xfffffc00 * (next_random() % 2));
        routes[i] = (struct fib4_route){ .address_be = address_be & ipv4_mask_be(length),
                                         .length = (uint8_t)length,
                                         .next_hop = (uint16_t)(1 + next_random() % 5) };
    }
}

/* Every place where an answer can change is at a prefix's edge, or one beside it. */
static void compare_at_edges(const struct fib4 *fib, const struct fib4_route *routes,
                             unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t first = load_be32(&routes[i].address_be);
        uint32_t last_be = routes[i].address_be | ~ipv4_mask_be(routes[i].length);
        uint32_t edges[] = { first - 1, first, load_be32(&last_be), load_be32(&last_be) + 1,
                             next_random() };
        uint32_t addresses_be[ARRAY_COUNT(edges)];
        uint16_t answers[ARRAY_COUNT(edges)];

        for (unsigned k = 0; k < ARRAY_COUNT(edges); k++)
            addresses_be[k] = wire(edges[k]);
        fib4_lookup_batch(fib, addresses_be, answers, ARRAY_COUNT(edges));
        for (unsigned k = 0; k < ARRAY_COUNT(edges); k++) {
            EXPECT_EQUAL(answers[k], naive_lookup(routes, count, addresses_be[k]));
            EXPECT_EQUAL(fib4_lookup(fib, addresses_be[k]), answers[k]);
        }
    }
}

TEST(fib4_answers_as_a_list_does)
{
    enum { ROUTES_MAX = 300 };
    struct fib4_route routes[ROUTES_MAX], sorted[ROUTES_MAX];

    for (unsigned round = 0; round < 200; round++) {
        random_state = round;
        unsigned count = next_random() % ROUTES_MAX;
        random_routes(routes, count);
        memcpy(sorted, routes, sizeof(routes));
        struct fib4 *fib = fib4_create(sorted, count);
        EXPECT(fib != NULL);
        compare_at_edges(fib, routes, count);
        fib4_destroy(fib);
    }
}

TEST(fib4_without_routes_knows_no_way)
{
    struct fib4 *fib = fib4_create(NULL, 0);

    EXPECT(fib != NULL);
    EXPECT_EQUAL(fib4_lookup(fib, wire(0x0a000001)), FIB4_NO_ROUTE);
    fib4_destroy(fib);
}

TEST(fib4_nests_33_deep)
{
    struct fib4_route routes[33];

    for (unsigned length = 0; length <= 32; length++)
        routes[length] = (struct fib4_route){ .address_be = wire(0xffffffff) & ipv4_mask_be(length),
                                              .length = (uint8_t)length,
                                              .next_hop = (uint16_t)(length + 1) };
    struct fib4 *fib = fib4_create(routes, ARRAY_COUNT(routes));
    EXPECT(fib != NULL);
    EXPECT_EQUAL(fib4_lookup(fib, wire(0xffffffff)), 33);
    EXPECT_EQUAL(fib4_lookup(fib, wire(0xfffffffe)), 32);
    EXPECT_EQUAL(fib4_lookup(fib, wire(0x00000000)), 1);
    fib4_destroy(fib);
}

TEST(fib4_fails_cleanly_without_memory)
{
    for (uint64_t n = 0;; n++) {
        struct fib4_route routes[] = { { wire(0x0b000000), 8, 2 }, { wire(0x0a000000), 8, 1 } };
        host_fail_allocation(n);
        struct fib4 *fib = fib4_create(routes, ARRAY_COUNT(routes));
        bool failed_one = host_allocation_count() > n;
        host_fail_allocation(UINT64_MAX);
        if (fib && !failed_one) {
            fib4_destroy(fib);
            EXPECT(n > 2);
            return;
        }
        EXPECT(fib == NULL);
    }
}
