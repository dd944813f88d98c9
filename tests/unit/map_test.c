/* The hash map against an array that is searched from its start, under random work that keeps it
 * nearly full, so that runs of items are long and wrap around the end. */
#include "kernel/base/map.h"

#include <string.h>

#include "tests/unit/test.h"

enum { ITEM_COUNT = 300, COUNT_MAX = 96, STEPS = 200000 };

struct item {
    int other;
    uint8_t key[6];
    bool inside;
    unsigned seen;
};

static struct item items[ITEM_COUNT];

static void make_items(void)
{
    for (unsigned i = 0; i < ITEM_COUNT; i++) {
        uint8_t key[6] = { 2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i };
        memcpy(items[i].key, key, sizeof(key));
    }
}

static const struct map_setup setup = {
    .count_max = COUNT_MAX,
    .key_offset = offsetof(struct item, key),
    .key_bytes = 6,
    .hash_key = { { 1, 2 } },
    .tag = MEMORY_TEST,
};

TEST(siphash_answers_as_its_paper_says)
{
    uint8_t message[15];
    uint8_t key_bytes[16];
    struct hash_key key;
    for (unsigned i = 0; i < 16; i++)
        key_bytes[i] = (uint8_t)i;
    for (unsigned i = 0; i < 15; i++)
        message[i] = (uint8_t)i;
    memcpy(&key, key_bytes, sizeof(key));
    EXPECT(hash_bytes(&key, message, sizeof(message)) == 0xa129ca6149be45e5);
    EXPECT(hash_bytes(&key, message, 0) == 0x726fdb47dd0e0e31);
}

/* Every item is where the twin says, and iteration gives each once. */
static void compare(const struct map *map, uint32_t count)
{
    EXPECT_EQUAL(map->count, count);
    struct map_cursor cursor = map_begin(map);
    struct item *item;
    unsigned given = 0;
    for (unsigned i = 0; i < ITEM_COUNT; i++)
        items[i].seen = 0;
    while ((item = map_next(map, &cursor)) != NULL) {
        item->seen++;
        given++;
    }
    EXPECT_EQUAL(given, count);
    for (unsigned i = 0; i < ITEM_COUNT; i++) {
        EXPECT_EQUAL(items[i].seen, items[i].inside);
        EXPECT(map_find(map, items[i].key) == (items[i].inside ? &items[i] : NULL));
    }
}

TEST(map_agrees_with_an_array)
{
    struct map map;
    uint32_t count = 0;
    make_items();
    host_random_seed(1);
    EXPECT_EQUAL(map_init(&map, &setup), OK);
    for (unsigned step = 0; step < STEPS; step++) {
        uint16_t chance[2];
        random_bytes(chance, sizeof(chance));
        struct item *item = &items[chance[0] % ITEM_COUNT];
        if (chance[1] % 2 == 0) {
            enum error expected = item->inside         ? ERROR_EXISTS
                                  : count == COUNT_MAX ? ERROR_FULL
                                                       : OK;
            EXPECT_EQUAL(map_insert(&map, item), expected);
            if (expected == OK) {
                item->inside = true;
                count++;
            }
        } else {
            EXPECT(map_remove(&map, item->key) == (item->inside ? item : NULL));
            count -= item->inside;
            item->inside = false;
        }
        EXPECT(map_find(&map, item->key) == (item->inside ? item : NULL));
        if (step % 1000 == 0)
            compare(&map, count);
    }
    map_destroy(&map);
}

TEST(map_items_may_be_removed_while_walking)
{
    make_items();
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct map map;
        struct map_setup seeded = setup;
        seeded.hash_key.words[0] = seed;
        EXPECT_EQUAL(map_init(&map, &seeded), OK);
        for (unsigned i = 0; i < COUNT_MAX; i++) {
            EXPECT_EQUAL(map_insert(&map, &items[i]), OK);
            items[i].seen = 0;
        }
        struct map_cursor cursor = map_begin(&map);
        struct item *item;
        unsigned odd = 0;
        while ((item = map_next(&map, &cursor)) != NULL) {
            EXPECT_EQUAL(item->seen++, 0);
            if (item->key[5] % 3 != 0)
                EXPECT(map_remove(&map, item->key) == item);
            else
                odd++;
        }
        for (unsigned i = 0; i < COUNT_MAX; i++)
            EXPECT_EQUAL(items[i].seen, 1);
        EXPECT_EQUAL(map.count, odd);
        map_destroy(&map);
    }
}

TEST(map_survives_keys_that_all_want_one_slot)
{
    make_items();
    struct map map;
    EXPECT_EQUAL(map_init(&map, &setup), OK);
    /* As a flooder would who knew the hash key: keys that want the last slot of the table. */
    unsigned chosen = 0;
    for (uint32_t number = 0; chosen < COUNT_MAX / 2; number++) {
        uint8_t key[6] = { 4 };
        memcpy(key + 2, &number, sizeof(number));
        if ((hash_bytes(&map.hash_key, key, sizeof(key)) & map.mask) != map.mask)
            continue;
        memcpy(items[chosen].key, key, sizeof(key));
        EXPECT_EQUAL(map_insert(&map, &items[chosen++]), OK);
    }
    for (unsigned i = 0; i < chosen; i += 2)
        EXPECT(map_remove(&map, items[i].key) == &items[i]);
    for (unsigned i = 0; i < chosen; i++)
        EXPECT(map_find(&map, items[i].key) == (i % 2 == 0 ? NULL : &items[i]));
    map_destroy(&map);
}

TEST(map_says_when_there_is_no_memory)
{
    struct map map;
    host_fail_allocation(0);
    EXPECT_EQUAL(map_init(&map, &setup), ERROR_NO_MEMORY);
}
