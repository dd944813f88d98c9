/* The heap of debug builds, which remembers. Every live allocation is a record in a hash table:
 * address, size, tag, file and line, core, time. A block lies between red zones:
 *
 *       +------------------+---------------------+-------------------------+
 *       | red zone, 0xa5.. | size bytes, zeroed  | red zone to the end     |
 *       +------------------+---------------------+-------------------------+
 *       ^ from the heap    ^ what callers get      at least 16 bytes
 *
 * What is freed is filled with poison and kept for a while; when it leaves, it is looked at: a byte
 * that changed was written after the free. Its record stays as long, so a second free can name the
 * first.
 *
 * Reported through log_error(): freeing what is not there, overruns, use after free, each with
 * time, core, interrupt level, table slot, address, and who allocated and who freed it first.
 * Nothing is repaired; the router goes on.
 *
 * Blocks of whole pages aligned to pages (packet chunks, rings) have no red zones. Pure. */
#pragma once

#include "kernel/heap.h"

enum {
    DEBUG_RED_ZONE_BYTES = 16,
    DEBUG_FREED_MAX = 1024,              /* freed blocks that are remembered */
    DEBUG_FREED_BYTES_MAX = 1024 * 1024, /* and kept from reuse */
    DEBUG_FREED_BLOCK_BYTES_MAX = 65536, /* larger ones are remembered, but reused at once */
};

/* Which builds use it: the choice is data, so that both ways compile in every build. */
#ifdef TSUJI_DEBUG
enum { MEMORY_IS_RECORDED = 1 };
#else
enum { MEMORY_IS_RECORDED = 0 };
#endif

enum debug_state { DEBUG_EMPTY, DEBUG_LIVE, DEBUG_FREED };

struct debug_place {
    const char *file;
    int line;
    unsigned core;
    unsigned level; /* 0: interrupts could come */
    uint64_t time_ns;
};

struct debug_record {
    void *address; /* what the caller got */
    void *block;   /* what the heap gave */
    size_t size;
    size_t block_bytes;
    enum memory_tag tag;
    enum debug_state state;
    bool kept; /* freed, and the memory is still ours */
    uint64_t serial;
    struct debug_place allocated, freed;
};

/* Who is asking, filled by the hook: core, level and time. */
typedef void debug_where(struct debug_place *place, void *context);

struct debug_allocator {
    struct spinlock lock; /* guards all below */
    struct heap *heap;
    debug_where *where;
    void *context;
    struct debug_record *records; /* open addressing, linear, at most half full */
    size_t record_max;            /* a power of two */
    size_t record_count;
    uint64_t serial;
    /* Freed blocks, oldest first. */
    struct {
        void *address;
        uint64_t serial;
    } freed[DEBUG_FREED_MAX];
    uint64_t freed_put, freed_taken;
    size_t freed_bytes;
    struct memory_stats stats; /* sizes as asked for */
};

void debug_allocator_init(struct debug_allocator *debug, struct heap *heap, debug_where *where,
                          void *context);

void *debug_alloc(struct debug_allocator *debug, size_t size, size_t align, enum memory_tag tag,
                  const char *file, int line) MUST_CHECK;
void debug_free(struct debug_allocator *debug, void *pointer, const char *file, int line);

/* Looks at all red zones and all poison now; how many blocks were found damaged. Each is reported
 * once. */
unsigned debug_allocator_check(struct debug_allocator *debug);

/* Live allocations by the line that made them, most bytes first; at most max, the rest is left out.
 */
struct memory_owner {
    const char *file;
    int line;
    enum memory_tag tag;
    uint64_t live;
    uint64_t live_bytes;
    uint64_t oldest_ns; /* when the oldest of them was made */
};
unsigned debug_allocator_owners(struct debug_allocator *debug, struct memory_owner *owners,
                                unsigned max);

void debug_allocator_stats(struct debug_allocator *debug, struct memory_stats *stats);
