/* The longest IPv6 prefix that matches, for the datapath: a tree that divides a group of 16 bits of
 * the address a level, as the text of an address has them.
 *
 *   2001:db8:47::1
 *     |   |   |
 *   root  |   |             an array: what each first group leads to
 *       node  |             2001::/16, if there is more than one answer in it
 *           node            2001:db8::/32, likewise, and so on
 *
 * A node knows its group's runs (from where to where the answer is the same) and what they lead to,
 * a next hop or a node of the next group. Up to 24 runs are a list of their ends, in one cache
 * line, of which one vector compare tells the place. More are divided by the first byte of the
 * group, by a table of 256 links to nodes that have a bit for each second byte that begins a run.
 * The group behind the root, which all addresses go through, always has such a table. A full table
 * of 160,000 prefixes takes 5 MiB.
 *
 * Each run has, for the writer alone, the length of the prefix that decided it, and changes are
 * those of fib4.h: an insert takes what is of its length or shorter, a removal gives what is of its
 * length to the prefix that covers it. Below a node on which the prefix ends only answers change,
 * each in its place; the node itself, and those that come or go with it, are made anew and
 * published by one store.
 *
 * One writer (the control core), any number of readers, no locks. Each address has the old answer
 * or the new one at any time. What is replaced is freed when all readers passed a quiescent point.
 */
#pragma once

#include "kernel/base/types.h"

struct pause;
struct snapshot_domain;

enum {
    FIB6_NO_ROUTE = 0, /* the answer where nothing matches */
    FIB6_NEXT_HOP_MAX = 65535,
};

struct fib6_route {
    uint8_t address[16]; /* no host bits */
    uint8_t length;      /* 0 to 128 */
    uint16_t next_hop;
};

struct fib6_plan {
    /* Readers' quiescent points. NULL: nobody reads while it is changed. It may wait for at most
     * half of RETIRED_MAX; what is more is kept until a later change. */
    struct snapshot_domain *snapshots;
    const struct pause *pause; /* taken while it is made */
};

struct fib6;

/* Of equal prefixes the last in the list wins; the order matters for nothing else, but sorted ones
 * build faster. NULL: no memory. */
struct fib6 *fib6_create(const struct fib6_plan *plan, const struct fib6_route *routes,
                         unsigned count) MUST_CHECK;
void fib6_destroy(struct fib6 *fib,
                  const struct pause *pause); /* NULL is allowed; no reader is left */
/* One that was made without readers gets some. */
void fib6_share(struct fib6 *fib, struct snapshot_domain *snapshots);

/* Writer. An error, which is ERROR_NO_MEMORY, has changed nothing. Inserting what is there already
 * gives it a new next hop. */
enum error fib6_insert(struct fib6 *fib, const struct fib6_route *route) MUST_CHECK;
/* `cover` is the longest remaining prefix that contains this one, NULL where there is none. What
 * was not there is no error. Removing may need memory, as it may divide a run. */
enum error fib6_remove(struct fib6 *fib, const uint8_t address[16], unsigned length,
                       const struct fib6_route *cover) MUST_CHECK;

uint16_t fib6_lookup(const struct fib6 *fib, const uint8_t address[16]);
void fib6_lookup_batch(const struct fib6 *fib, const uint8_t (*addresses)[16], uint16_t *next_hops,
                       unsigned count);
size_t fib6_bytes(const struct fib6 *fib);

/* For tests: the ways to look up that this machine has; 0 is the one for every processor. */
unsigned fib6_way_count(const struct fib6 *fib);
void fib6_use_way(struct fib6 *fib, unsigned way);
