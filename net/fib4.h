/* The longest IPv4 prefix that matches, for the datapath: an array with one entry for every /24.
 *
 *   address   10.1.2.3
 *             |______|         entries[0x0a0102]: the next hop, for all that is decided by prefixes
 *                 |            up to /24. One access, nearly always the only one.
 *                 '-- FAR -->  page[3]: where longer prefixes divide that /24
 *
 * An entry is one byte while the next hops' indexes allow (up to FIB4_NARROW_MAX), else two: half
 * the bytes are half the cache lines, and cache lines are all that a lookup costs. A second array,
 * for the writer alone, has the length of the prefix that decided each entry.
 *
 *   insert P/l   every entry inside P whose length is at most l now is P's
 *   remove P/l   every entry inside P whose length is l goes to the prefix that covers P
 *
 * So routes come in any order, one change costs what the prefix spans, and whoever removes a route
 * says what covers it: the RIB knows.
 *
 * Two shapes, same answers:
 *
 *   FIB4_DIRECT   the arrays as they are: 32 MiB (48 with entries of two bytes). For full tables.
 *   FIB4_COMPACT  cut into blocks of a /16, of which only those exist that are not the same all
 *                 over: 0.5 MiB, and 0.5 to 3 KiB per /16 that is divided. A second access.
 *
 * One writer (the control core), any number of readers, no locks. Each address has the old answer
 * or the new one at any time. What is replaced is freed when all readers passed a quiescent point.
 */
#pragma once

#include "kernel/base/types.h"

struct pause;
struct snapshot_domain;

enum {
    FIB4_NO_ROUTE = 0,     /* the answer where nothing matches */
    FIB4_NARROW_MAX = 254, /* the largest next hop that fits in an entry of one byte */
    FIB4_NEXT_HOP_MAX = 65534,
};

struct fib4_route {
    uint32_t address_be; /* no host bits */
    uint8_t length;      /* 0 to 32 */
    uint16_t next_hop;
};

enum fib4_shape { FIB4_COMPACT, FIB4_DIRECT };

struct fib4_plan {
    enum fib4_shape shape;
    uint16_t next_hop_max; /* that will be inserted later; those of the first routes are seen */
    /* Readers' quiescent points. NULL: nobody reads while it is changed. It may wait for at most
     * half of RETIRED_MAX; what is more is kept until a later change. */
    struct snapshot_domain *snapshots;
    const struct pause *pause; /* taken while it is made */
};

struct fib4;

/* Of equal prefixes the last in the list wins; the order matters for nothing else, but sorted ones
 * build faster. NULL: no memory. */
struct fib4 *fib4_create(const struct fib4_plan *plan, const struct fib4_route *routes,
                         unsigned count) MUST_CHECK;
void fib4_destroy(struct fib4 *fib,
                  const struct pause *pause); /* NULL is allowed; no reader is left */
/* One that was made without readers gets some, and a pause for changes of prefixes shorter than /4:
 * those of a /8 take some 15 us, of the default route milliseconds. */
void fib4_share(struct fib4 *fib, struct snapshot_domain *snapshots, const struct pause *pause);

/* Writer. An error has changed nothing. Inserting what is there already gives it a new next hop.
 * ERROR_FULL: the entries are too narrow for that next hop; build a new one aside. */
enum error fib4_insert(struct fib4 *fib, const struct fib4_route *route) MUST_CHECK;
/* `cover` is the longest remaining prefix that contains this one, NULL where there is none. What
 * was not there is no error. */
enum error fib4_remove(struct fib4 *fib, uint32_t address_be, unsigned length,
                       const struct fib4_route *cover) MUST_CHECK;

uint16_t fib4_lookup(const struct fib4 *fib, uint32_t address_be);
void fib4_lookup_batch(const struct fib4 *fib, const uint32_t *addresses_be, uint16_t *next_hops,
                       unsigned count);
size_t fib4_bytes(const struct fib4 *fib);

/* For tests: the ways to look up that this machine has; 0 is the one for every processor. */
unsigned fib4_way_count(const struct fib4 *fib);
void fib4_use_way(struct fib4 *fib, unsigned way);
