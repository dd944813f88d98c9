/* Finding things by a key of fixed size: a bounded hash table of pointers to items that contain
 * their key. Items are the caller's and never move.
 *
 *   slots   [   ][ a ][ b ][ c ][   ][ d ][   ][   ]
 *                  ^ a, b and c all want this slot: linear probing
 *
 * Removing closes the gap by moving back what follows, so there are no tombstones and a table that
 * has seen a flood is as fast as a new one. Nothing is allocated after map_init(). */
#pragma once

#include "kernel/base/hash.h"
#include "kernel/base/types.h"
#include "kernel/platform.h"

struct map_slot {
    void *item; /* NULL: empty */
    uint64_t hash;
};

struct map {
    /* Set when created. */
    struct hash_key hash_key;
    size_t key_offset; /* in an item */
    size_t key_bytes;
    uint32_t count_max;
    uint32_t mask;
    struct map_slot *slots;
    /* Its owner's. */
    uint32_t count;
};

struct map_setup {
    uint32_t count_max; /* items; map_insert() refuses more */
    size_t key_offset;
    size_t key_bytes;
    struct hash_key hash_key; /* random, against floods of chosen keys */
    enum memory_tag tag;
};

enum { MAP_COUNT_MAX = 1 << 24 };

enum error map_init(struct map *map, const struct map_setup *setup) MUST_CHECK;
void map_destroy(struct map *map); /* the items stay the caller's */

void *map_find(const struct map *map, const void *key); /* or NULL */

/* ERROR_EXISTS where an item has the same key, ERROR_FULL at count_max. */
enum error map_insert(struct map *map, void *item) MUST_CHECK;

void *map_remove(struct map *map, const void *key); /* the item, no longer inside, or NULL */

/* All items, in no order. An item just given may be removed, nothing else changed:
 *     struct map_cursor cursor = map_begin(map);
 *     while ((item = map_next(map, &cursor)) != NULL) */
struct map_cursor {
    uint32_t at;
    uint32_t left; /* slots not yet seen */
};
struct map_cursor map_begin(const struct map *map);
void *map_next(const struct map *map, struct map_cursor *cursor);
