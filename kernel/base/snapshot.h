/* Publishing whole immutable objects to cores that read without locks (quiescent-state based
 * reclamation). A reader loads the pointer once per step of its loop and drops it at the end of the
 * step; the writer frees an old object after every core has passed such a point or is asleep.
 *
 * Writer and retire list belong to the control core. */
#pragma once

#include <stdatomic.h>

#include "kernel/base/types.h"

enum {
    RETIRED_MAX = 1024
}; /* objects waiting; snapshot_retire() fails beyond, the caller waits a step */

/* One per core, alone on its line, so that a reader's store disturbs nobody. */
struct quiescence {
    alignas(CACHE_LINE_BYTES) _Atomic uint64_t epoch; /* 0: offline (asleep or not started) */
};

struct retired {
    void *object;
    void (*destroy)(void *object);
    uint64_t epoch;
};

struct snapshot_domain {
    /* Written by the control core, read by all. */
    alignas(CACHE_LINE_BYTES) _Atomic uint64_t epoch;
    unsigned core_count;
    /* Each written by its core. */
    struct quiescence cores[CORE_MAX];
    /* Owned by the control core. */
    unsigned retired_first; /* the oldest; the list goes round */
    unsigned retired_count;
    struct retired retired[RETIRED_MAX];
};

void snapshot_domain_init(struct snapshot_domain *domain, unsigned core_count);

/* Reader, once per step, holding no pointer from before. */
static inline void snapshot_quiesce(struct snapshot_domain *domain, unsigned core)
{
    uint64_t epoch = atomic_load_explicit(&domain->epoch, memory_order_acquire);
    if (atomic_load_explicit(&domain->cores[core].epoch, memory_order_relaxed) == epoch)
        return;
    /* A core that comes back from sleep must be seen awake before it loads a pointer. */
    atomic_store_explicit(&domain->cores[core].epoch, epoch, memory_order_seq_cst);
}

/* Reader, before it sleeps: it holds nothing until its next snapshot_quiesce(). */
static inline void snapshot_offline(struct snapshot_domain *domain, unsigned core)
{
    atomic_store_explicit(&domain->cores[core].epoch, 0, memory_order_release);
}

/* Writer: the object can no longer be reached by a new reader. Frees it later. */
enum error snapshot_retire(struct snapshot_domain *domain, void *object,
                           void (*destroy)(void *object)) MUST_CHECK;

/* Writer, once per step: frees what nobody can still hold. How many are left. */
unsigned snapshot_reclaim(struct snapshot_domain *domain);
