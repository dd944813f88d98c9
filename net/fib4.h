/* The longest IPv4 prefix that matches, for the datapath. Immutable: built from all routes at once.
 *
 * The prefixes are flattened to the ranges of addresses in which the answer does not change:
 *
 *   10.0.0.0/8 -> 1, 10.1.0.0/16 -> 2     starts:  0.0.0.0  10.0.0.0  10.1.0.0  10.2.0.0  11.0.0.0
 *                                         answers: 0        1         2         1         0
 *
 * so a lookup is one binary search, and how prefixes nest costs nothing. It begins between the
 * ranges where the addresses with the same first byte begin and end. */
#pragma once

#include "kernel/base/types.h"

enum { FIB4_NO_ROUTE = 0 }; /* the answer where nothing matches */

struct fib4_route {
    uint32_t address_be; /* no host bits */
    uint8_t length;      /* 0 to 32 */
    uint16_t next_hop;
};

struct fib4;

/* Sorts `routes` in place; of equal prefixes the last in the list wins. NULL: no memory. */
struct fib4 *fib4_create(struct fib4_route *routes, unsigned count) MUST_CHECK;
void fib4_destroy(struct fib4 *fib); /* NULL is allowed */

uint16_t fib4_lookup(const struct fib4 *fib, uint32_t address_be);
void fib4_lookup_batch(const struct fib4 *fib, const uint32_t *addresses_be, uint16_t *next_hops,
                       unsigned count);
size_t fib4_bytes(const struct fib4 *fib);
