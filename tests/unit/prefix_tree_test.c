/* The tree of prefixes against a list that is searched from end to end: the same answers after any
 * number of changes, for both families' lengths. */
#include "net/prefix_tree.h"

#include <string.h>

#include "kernel/base/random.h"
#include "kernel/platform.h"
#include "net/address.h"
#include "tests/host/host.h"
#include "tests/unit/test.h"

enum { LIST_MAX = 2000 };

/* The naive twin. */
struct entry {
    struct prefix prefix;
    uint32_t value;
};

struct list {
    unsigned count;
    struct entry entries[LIST_MAX];
};

static struct prefix prefix_of(enum family family, uint64_t high, unsigned length)
{
    struct prefix prefix = { .address = { .family = (uint8_t)family }, .length = (uint8_t)length };

    for (unsigned i = 0; i < 8; i++)
        prefix.address.bytes[i] = prefix.address.bytes[i + 8] = (uint8_t)(high >> (56 - 8 * i));
    if (family == FAMILY_IPV4)
        memset(prefix.address.bytes + 4, 0, 12);
    return prefix_network(&prefix);
}

static struct entry *list_find(struct list *list, const struct prefix *prefix)
{
    for (unsigned i = 0; i < list->count; i++)
        if (prefix_equal(&list->entries[i].prefix, prefix))
            return &list->entries[i];
    return NULL;
}

static void list_set(struct list *list, const struct prefix *prefix, uint32_t value)
{
    struct entry *entry = list_find(list, prefix);

    if (!entry) {
        EXPECT(list->count < LIST_MAX);
        entry = &list->entries[list->count++];
    }
    *entry = (struct entry){ *prefix, value };
}

static void list_remove(struct list *list, const struct prefix *prefix)
{
    struct entry *entry = list_find(list, prefix);

    if (entry)
        *entry = list->entries[--list->count];
}

static uint32_t list_cover(const struct list *list, const struct address *address, unsigned *length)
{
    const struct entry *best = NULL;

    for (unsigned i = 0; i < list->count; i++) {
        const struct entry *entry = &list->entries[i];
        if (entry->prefix.length <= *length && prefix_contains(&entry->prefix, address) &&
            (!best || entry->prefix.length > best->prefix.length))
            best = entry;
    }
    *length = best ? best->prefix.length : 0;
    return best ? best->value : 0;
}

static const struct entry *list_next(const struct list *list, const struct prefix *after)
{
    const struct entry *best = NULL;

    for (unsigned i = 0; i < list->count; i++) {
        const struct entry *entry = &list->entries[i];
        if ((!after || prefix_compare(&entry->prefix, after) > 0) &&
            (!best || prefix_compare(&entry->prefix, &best->prefix) < 0))
            best = entry;
    }
    return best;
}

/* Few different bits, so that prefixes lie in each other; also lengths next to a node's border. */
static struct prefix random_prefix(enum family family, uint64_t *state)
{
    static const uint64_t high[] = {
        0x0a00000000000000, 0x0a80000000000000, 0xc0a8000000000000, 0xffffffffffffffff, 0,
        0x20010db800000000
    };
    uint64_t address = high[random_below(state, ARRAY_COUNT(high))];
    unsigned bits = family == FAMILY_IPV4 ? 32 : 128;

    address ^= random_next(state) & random_next(state) & random_next(state) & 0x000f0f0f81c30307;
    return prefix_of(family, address, (unsigned)random_below(state, bits + 1));
}

static void expect_in_order(const struct prefix_tree *tree, const struct list *list,
                            enum family family)
{
    struct prefix at = { .address = { .family = (uint8_t)family }, .length = PREFIX_BEFORE_FIRST };
    const struct entry *expected = list_next(list, NULL);

    for (;;) {
        unsigned length = at.length;
        uint32_t value = prefix_tree_next(tree, at.address.bytes, &length);
        EXPECT_EQUAL(value, expected ? expected->value : 0);
        if (!expected)
            break;
        at.length = (uint8_t)length;
        EXPECT(prefix_equal(&at, &expected->prefix));
        expected = list_next(list, &at);
    }
}

struct seen {
    struct list *list;
    struct prefix_tree covered; /* whose prefixes were visited already */
    unsigned count;
    enum family family;
};

static enum error look_at(void *context, const uint8_t *address, unsigned length, uint32_t value)
{
    struct seen *seen = context;
    struct prefix prefix = { .address = { .family = (uint8_t)seen->family },
                             .length = (uint8_t)length };

    memcpy(prefix.address.bytes, address, sizeof(prefix.address.bytes));
    struct prefix network = prefix_network(&prefix);
    const struct entry *entry = list_find(seen->list, &network);
    EXPECT(entry && entry->value == value);
    EXPECT_EQUAL(prefix_tree_get(&seen->covered, network.address.bytes, length), 0);
    EXPECT_EQUAL(prefix_tree_set(&seen->covered, network.address.bytes, length, value), OK);
    /* What covers it was told before. */
    unsigned cover = length > 0 ? length - 1 : 0, cover_seen = cover;
    uint32_t above = list_cover(seen->list, &network.address, &cover);
    if (length > 0 && above != 0)
        EXPECT_EQUAL(prefix_tree_cover(&seen->covered, network.address.bytes, &cover_seen), above);
    seen->count++;
    return OK;
}

static void expect_same_answers(enum family family)
{
    static struct list list;
    struct prefix_tree tree = { 0 };
    uint64_t state = family;

    list.count = 0;
    for (unsigned round = 0; round < 6000; round++) {
        struct prefix prefix = random_prefix(family, &state);
        bool grows = round < 2000 || (round < 4000 && random_below(&state, 2) == 0);
        if (grows && list.count < LIST_MAX) {
            uint32_t value = 1 + (uint32_t)random_below(&state, 1000);
            list_set(&list, &prefix, value);
            EXPECT_EQUAL(prefix_tree_set(&tree, prefix.address.bytes, prefix.length, value), OK);
        } else if (list.count > 0) {
            if (random_below(&state, 4) != 0) /* one that is there */
                prefix = list.entries[random_below(&state, list.count)].prefix;
            list_remove(&list, &prefix);
            prefix_tree_remove(&tree, prefix.address.bytes, prefix.length);
        }
        prefix = random_prefix(family, &state);
        const struct entry *entry = list_find(&list, &prefix);
        EXPECT_EQUAL(prefix_tree_get(&tree, prefix.address.bytes, prefix.length),
                     entry ? entry->value : 0);
        unsigned length = prefix.length, length_expected = prefix.length;
        uint32_t value = list_cover(&list, &prefix.address, &length_expected);
        EXPECT_EQUAL(prefix_tree_cover(&tree, prefix.address.bytes, &length), value);
        EXPECT_EQUAL(length, length_expected);
        if (round % 1000 != 999)
            continue;
        expect_in_order(&tree, &list, family);
        struct seen seen = { .list = &list, .family = family };
        EXPECT_EQUAL(prefix_tree_each(&tree, look_at, &seen), OK);
        EXPECT_EQUAL(seen.count, list.count);
        prefix_tree_clear(&seen.covered, NULL);
    }
    while (list.count > 0) {
        struct prefix prefix = list.entries[0].prefix;
        list_remove(&list, &prefix);
        prefix_tree_remove(&tree, prefix.address.bytes, prefix.length);
    }
    EXPECT(tree.root == NULL); /* no node outlives its prefixes */
}

TEST(a_prefix_tree_answers_as_a_list_does_for_ipv4)
{
    expect_same_answers(FAMILY_IPV4);
}

TEST(a_prefix_tree_answers_as_a_list_does_for_ipv6)
{
    expect_same_answers(FAMILY_IPV6);
}

TEST(a_prefix_tree_without_memory_stays_as_it_was)
{
    struct prefix_tree tree = { 0 };
    struct prefix first = prefix_of(FAMILY_IPV6, 0x20010db800000000, 128);
    struct prefix second = prefix_of(FAMILY_IPV6, 0x20010db900000000, 61);

    EXPECT_EQUAL(prefix_tree_set(&tree, first.address.bytes, 128, 7), OK);
    for (uint64_t n = 0;; n++) {
        struct memory_stats before, after;
        memory_stats(&before);
        host_fail_allocation(n);
        enum error error = prefix_tree_set(&tree, second.address.bytes, 61, 9);
        host_fail_allocation(UINT64_MAX);
        if (error == OK)
            break;
        memory_stats(&after);
        EXPECT_EQUAL(error, ERROR_NO_MEMORY);
        EXPECT_EQUAL(after.live, before.live); /* but for room that an array got */
        EXPECT_EQUAL(prefix_tree_get(&tree, second.address.bytes, 61), 0);
        EXPECT_EQUAL(prefix_tree_get(&tree, first.address.bytes, 128), 7);
        EXPECT(n < 50);
    }
    EXPECT_EQUAL(prefix_tree_get(&tree, second.address.bytes, 61), 9);
    prefix_tree_clear(&tree, NULL);
}
