/* The table is at most three quarters full, so a probe is a few slots long. */
#include "kernel/base/map.h"

#include <string.h>

enum error map_init(struct map *map, const struct map_setup *setup)
{
    CHECK(setup->count_max > 0 && setup->count_max <= MAP_COUNT_MAX);
    CHECK(setup->key_bytes > 0);
    uint32_t slot_count = 4;
    while (slot_count / 4 * 3 < setup->count_max)
        slot_count *= 2;

    struct map_slot *slots =
        memory_alloc(slot_count * sizeof(*slots), CACHE_LINE_BYTES, setup->tag);
    if (slots == NULL)
        return fail(ERROR_NO_MEMORY);
    *map = (struct map){
        .hash_key = setup->hash_key,
        .key_offset = setup->key_offset,
        .key_bytes = setup->key_bytes,
        .count_max = setup->count_max,
        .mask = slot_count - 1,
        .slots = slots,
    };
    return OK;
}

void map_destroy(struct map *map)
{
    memory_free(map->slots);
    *map = (struct map){ .slots = NULL };
}

static const void *key_of(const struct map *map, const void *item)
{
    return (const uint8_t *)item + map->key_offset;
}

/* The slot of the item with that key, or the empty slot where it would go. There always is one. */
static uint32_t find_slot(const struct map *map, const void *key, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & map->mask;
    for (;; at = (at + 1) & map->mask) {
        const struct map_slot *slot = &map->slots[at];
        if (slot->item == NULL)
            return at;
        if (slot->hash == hash && memcmp(key_of(map, slot->item), key, map->key_bytes) == 0)
            return at;
    }
}

void *map_find(const struct map *map, const void *key)
{
    uint64_t hash = hash_bytes(&map->hash_key, key, map->key_bytes);
    return map->slots[find_slot(map, key, hash)].item;
}

enum error map_insert(struct map *map, void *item)
{
    const void *key = key_of(map, item);
    uint64_t hash = hash_bytes(&map->hash_key, key, map->key_bytes);
    struct map_slot *slot = &map->slots[find_slot(map, key, hash)];
    if (slot->item != NULL)
        return ERROR_EXISTS;
    if (map->count == map->count_max)
        return ERROR_FULL;
    *slot = (struct map_slot){ .item = item, .hash = hash };
    map->count++;
    return OK;
}

/* Moves items back into the gap until one is where it wants to be, or a slot is empty. */
static void close_gap(struct map *map, uint32_t gap)
{
    for (uint32_t at = (gap + 1) & map->mask; map->slots[at].item != NULL;
         at = (at + 1) & map->mask) {
        /* An item may not move in front of the slot it wants. */
        uint32_t wanted = (uint32_t)map->slots[at].hash & map->mask;
        uint32_t distance = (at - wanted) & map->mask;
        if (distance < ((at - gap) & map->mask))
            continue;
        map->slots[gap] = map->slots[at];
        gap = at;
    }
    map->slots[gap].item = NULL;
}

void *map_remove(struct map *map, const void *key)
{
    uint64_t hash = hash_bytes(&map->hash_key, key, map->key_bytes);
    uint32_t at = find_slot(map, key, hash);
    void *item = map->slots[at].item;
    if (item == NULL)
        return NULL;
    close_gap(map, at);
    map->count--;
    return item;
}

/* Backwards from an empty slot: what closes a gap comes from slots that have been seen, and no run
 * of items reaches over the start. */
struct map_cursor map_begin(const struct map *map)
{
    uint32_t at = 0;
    while (map->slots[at].item != NULL)
        at++;
    return (struct map_cursor){ .at = at, .left = map->mask };
}

void *map_next(const struct map *map, struct map_cursor *cursor)
{
    while (cursor->left > 0) {
        cursor->left--;
        cursor->at = (cursor->at - 1) & map->mask;
        void *item = map->slots[cursor->at].item;
        if (item != NULL)
            return item;
    }
    return NULL;
}
