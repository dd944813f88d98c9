/* The longest IPv6 prefix that matches, for the datapath: a tree of the address's bytes, in which
 * whatever has few different answers is one cache line. fib6_tree.h draws it. A full table of
 * 160,000 prefixes takes 13 MiB.
 *
 * Each answer has, for the writer alone, the length of the prefix that decided it, and changes are
 * those of fib4.h: an insert takes what is of its length or shorter, a removal gives what is of its
 * length to the prefix that covers it.
 *
 * One writer (the control core), any number of readers, no locks. Each address has the old answer
 * or the new one at any time. What is replaced is used again when all readers passed a quiescent
 * point. */
#pragma once

#include "kernel/base/types.h"

struct pause;
struct snapshot_domain;

enum {
    FIB6_NO_ROUTE = 0, /* the answer where nothing matches */
};

struct fib6_route {
    uint8_t address[16]; /* no host bits */
    uint8_t length;      /* 0 to 128 */
    uint16_t next_hop;
};

struct fib6_plan {
    /* Readers' quiescent points, for one of which at a time it waits. NULL: nobody reads while it
     * is changed. */
    struct snapshot_domain *snapshots;
    const struct pause *pause; /* taken while it is made */
};

struct fib6;

/* Of equal prefixes the last in the list wins; the order matters for nothing else, but sorted ones
 * build faster. NULL: no memory. */
struct fib6 *fib6_create(const struct fib6_plan *plan, const struct fib6_route *routes,
                         unsigned count) MUST_CHECK;
/* NULL is allowed. No reader is left, and the domain has nothing of it. */
void fib6_destroy(struct fib6 *fib);
/* One that was made without readers gets some, and a pause for changes of prefixes of up to 16
 * bits: those of a /16 take up to 0.2 ms, of the default route 5. From now on it takes no more
 * memory: it has room for an eighth more than there is, and when that is used up, or in too many
 * pieces, changes fail with ERROR_FULL until it is made anew. */
void fib6_share(struct fib6 *fib, struct snapshot_domain *snapshots, const struct pause *pause);

/* Writer. An error has changed nothing; removing may fail, too, as it may divide what was one.
 * ERROR_BUSY: so much was replaced that a quiescent point has to come first. Inserting what is
 * there already gives it a new next hop. */
enum error fib6_insert(struct fib6 *fib, const struct fib6_route *route) MUST_CHECK;
/* `cover` is the longest remaining prefix that contains this one, NULL where there is none. What
 * was not there is no error. */
enum error fib6_remove(struct fib6 *fib, const uint8_t address[16], unsigned length,
                       const struct fib6_route *cover) MUST_CHECK;

uint16_t fib6_lookup(const struct fib6 *fib, const uint8_t address[16]);
void fib6_lookup_batch(const struct fib6 *fib, const uint8_t (*addresses)[16], uint16_t *next_hops,
                       unsigned count);
size_t fib6_bytes(const struct fib6 *fib); /* taken, room for changes included */

/* For tests: the ways to look up that this machine has; 0 is the one for every processor. */
unsigned fib6_way_count(const struct fib6 *fib);
void fib6_use_way(struct fib6 *fib, unsigned way);
size_t fib6_bytes_in_use(const struct fib6 *fib);
