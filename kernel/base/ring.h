/* A queue of pointers between exactly one producer and one consumer, which may be different cores.
 *
 *            head: next to take, written by the consumer
 *            v
 *   [ ][ ][ ][a][b][c][ ][ ]          full when tail - head == capacity
 *                     ^
 *                     tail: next to fill, written by the producer
 *
 * Each side keeps its own line and a copy of the other's index, so that an uncontended put or take
 * touches no line that the other core writes. */
#pragma once

#include <stdatomic.h>

#include "kernel/base/types.h"
#include "kernel/platform.h"

struct ring {
    /* Written by the producer. */
    alignas(CACHE_LINE_BYTES) _Atomic uint32_t tail;
    uint32_t head_seen;
    /* Written by the consumer. */
    alignas(CACHE_LINE_BYTES) _Atomic uint32_t head;
    uint32_t tail_seen;
    /* Set when created. */
    alignas(CACHE_LINE_BYTES) uint32_t mask;
    void **slots;
};

/* capacity is a power of two. */
enum error ring_init(struct ring *ring, uint32_t capacity, enum memory_tag tag) MUST_CHECK;
void ring_destroy(struct ring *ring); /* must be empty */

/* Producer: false when full. */
static inline bool ring_put(struct ring *ring, void *item)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - ring->head_seen > ring->mask) {
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (tail - ring->head_seen > ring->mask)
            return false;
    }
    ring->slots[tail & ring->mask] = item;
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

/* Consumer: NULL when empty. */
static inline void *ring_take(struct ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == ring->tail_seen) {
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head == ring->tail_seen)
            return NULL;
    }
    void *item = ring->slots[head & ring->mask];
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return item;
}

/* Producer: as many of the first items as fit; how many that were. */
static inline uint32_t ring_put_many(struct ring *ring, void *const *items, uint32_t count)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint32_t capacity = ring->mask + 1;
    if (capacity - (tail - ring->head_seen) < count)
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint32_t room = capacity - (tail - ring->head_seen);
    uint32_t done = count < room ? count : room;
    for (uint32_t i = 0; i < done; i++)
        ring->slots[(tail + i) & ring->mask] = items[i];
    atomic_store_explicit(&ring->tail, tail + done, memory_order_release);
    return done;
}

/* Consumer: at most count; how many that were. */
static inline uint32_t ring_take_many(struct ring *ring, void **items, uint32_t count)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (ring->tail_seen - head < count)
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    uint32_t ready = ring->tail_seen - head;
    uint32_t done = count < ready ? count : ready;
    for (uint32_t i = 0; i < done; i++)
        items[i] = ring->slots[(head + i) & ring->mask];
    atomic_store_explicit(&ring->head, head + done, memory_order_release);
    return done;
}

/* From either side, or a third: how many are inside, about. */
static inline uint32_t ring_count(const struct ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    return atomic_load_explicit(&ring->tail, memory_order_acquire) - head;
}
