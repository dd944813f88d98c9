/* Creating and destroying rings; the rest is inline in the header. */
#include "kernel/base/ring.h"

enum error ring_init(struct ring *ring, uint32_t capacity, enum memory_tag tag)
{
    CHECK(capacity > 0 && (capacity & (capacity - 1)) == 0);
    void **slots = memory_alloc((size_t)capacity * sizeof(*slots), CACHE_LINE_BYTES, tag);
    if (slots == NULL)
        return fail(ERROR_NO_MEMORY);
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->head, 0);
    ring->head_seen = 0;
    ring->tail_seen = 0;
    ring->mask = capacity - 1;
    ring->slots = slots;
    return OK;
}

void ring_destroy(struct ring *ring)
{
    CHECK(ring_count(ring) == 0);
    memory_free(ring->slots);
    ring->slots = NULL;
}
