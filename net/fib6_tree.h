/* How the routes of a fib6 lie in memory: what its writer (fib6.c) makes and its readers
 * (fib6_lookup.c) follow.
 *
 *   root     65,536 links, by the first two bytes of the address
 *   table    256 links, by the next byte
 *   answers  256 next hops, by the next byte, where nothing is below: a table of half the size
 *   leaf     up to 8 runs (from where to where the answer is the same), by all that is left of a
 *            group of four bytes
 *
 *   byte     0  1 | 2  3  4  5 | 6  7  8  9 | 10 11 12 13 | 14 15
 *            root |   group    |   group    |    group    | group
 *
 * A link is an answer, or leads to one of these. What is below the last byte of a group belongs to
 * the next one, and a leaf's link leads there at once. Most routes end in the first group.
 *
 * All lie in one arena, in lines of 64 bytes; a link has 32 bits:
 *
 *   an answer    next hop << 16 | length of the prefix that decided << 8
 *   below        offset in the arena | which of them it is
 *
 * The lengths are the writer's. Links and next hops change in place, each by one store; all else
 * stays as it was made for as long as a reader may come there. */
#pragma once

#include <stdatomic.h>

#include "kernel/base/bytes.h"
#include "kernel/base/vector.h"
#include "net/fib6.h"

enum {
    FIB6_ROOT_LINKS = 65536,
    FIB6_TABLE_LINKS = 256,
    FIB6_LEAF_RUNS = 8,
    FIB6_FIRST_BYTE = 2, /* behind the root's */
    FIB6_GROUP_BYTES = 4,
    FIB6_LAST_GROUP = 14, /* of two bytes */
};

enum {
    LINK_TABLE = 1,
    LINK_ANSWERS = 2,
    LINK_LEAF = 4,
    LINK_DEEPER = 8, /* beside one of these: in the next group */
    LINK_KIND = CACHE_LINE_BYTES - 1,
};

typedef _Atomic uint32_t link_slot;

struct fib6_table {
    link_slot links[FIB6_TABLE_LINKS];
};

struct fib6_answers {
    _Atomic uint16_t next_hops[FIB6_TABLE_LINKS];
    uint8_t lengths[FIB6_TABLE_LINKS];
};

/* Ends are the group's values, from its first byte on, kept so that they compare as signed numbers.
 * The last run and what is behind it end with the greatest. */
struct fib6_leaf {
    int32_t ends[FIB6_LEAF_RUNS];
    link_slot links[FIB6_LEAF_RUNS];
};
_Static_assert(sizeof(struct fib6_leaf) == CACHE_LINE_BYTES, "a lookup reads one line of it");

/* A leaf for whoever is not at one, behind the root. */
enum { FIB6_NO_LEAF = FIB6_ROOT_LINKS * sizeof(link_slot) };

/* All of at most BATCH_MAX addresses. */
typedef void fib6_way(const uint8_t *arena, const uint8_t (*addresses)[16], uint16_t *next_hops,
                      unsigned count);
unsigned fib6_ways(fib6_way *const **ways);

/* Acquire and release order a link after what it leads to; on x86 they cost nothing. */
static inline uint32_t link_load(const link_slot *slot)
{
    return atomic_load_explicit(slot, memory_order_acquire);
}

static inline void link_store(link_slot *slot, uint32_t link)
{
    atomic_store_explicit(slot, link, memory_order_release);
}

static inline bool is_answer(uint32_t link)
{
    return !(link & LINK_KIND);
}

static inline uint32_t answer_of(uint16_t next_hop, uint8_t length)
{
    return (uint32_t)next_hop << 16 | (uint32_t)length << 8;
}

static inline uint16_t answer_next_hop(uint32_t link)
{
    return (uint16_t)(link >> 16);
}

static inline uint8_t answer_length(uint32_t link)
{
    return (uint8_t)(link >> 8);
}

static inline uintptr_t link_target(const uint8_t *arena, uint32_t link)
{
    return (uintptr_t)arena + (link & ~(uint32_t)LINK_KIND);
}

static inline struct fib6_table *link_table(const uint8_t *arena, uint32_t link)
{
    return (struct fib6_table *)link_target(arena, link);
}

static inline struct fib6_answers *link_answers(const uint8_t *arena, uint32_t link)
{
    return (struct fib6_answers *)link_target(arena, link);
}

static inline struct fib6_leaf *link_leaf(const uint8_t *arena, uint32_t link)
{
    return (struct fib6_leaf *)link_target(arena, link);
}

/* The root has its links in the order of the wire's bytes read the other way round. */
static inline link_slot *root_slot(const uint8_t *arena, const uint8_t *address)
{
    return (link_slot *)(uintptr_t)arena + load_le16(address);
}

/* Where the group begins that a byte is of. */
static inline unsigned group_of(unsigned byte)
{
    return byte - (byte - FIB6_FIRST_BYTE) % FIB6_GROUP_BYTES;
}

/* A group's value in an address. */
static inline uint32_t group_value(const uint8_t *address, unsigned group)
{
    if (group == FIB6_LAST_GROUP)
        return (uint32_t)load_be16(address + group) << 16;
    return load_be32(address + group);
}

static inline int32_t end_of(uint32_t value)
{
    return (int32_t)(value ^ 0x80000000);
}

/* Which run of a leaf a value is in. */
static inline unsigned find_run(const struct fib6_leaf *leaf, uint32_t value)
{
    const __m128i *ends = (const __m128i *)leaf->ends, wanted = _mm_set1_epi32(end_of(value));
    int low = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmplt_epi32(_mm_load_si128(&ends[0]), wanted)));
    int high = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmplt_epi32(_mm_load_si128(&ends[1]), wanted)));

    return (unsigned)__builtin_ctz(~(unsigned)(low | high << 4));
}
