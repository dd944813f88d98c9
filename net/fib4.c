/* See fib4.h. Building: sorted by address and then by length, prefixes come in the order in which
 * their ranges open, each after those that contain it. So one pass with a stack of the open ones
 * (33 at most, as lengths on it grow) meets every place where the answer changes. */
#include "net/fib4.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/platform.h"

enum {
    NEST_MAX = 33, /* lengths 0 to 32 */
    FIRST_BYTES = 256,
};

struct fib4 {
    unsigned count;   /* ranges; the first starts at 0.0.0.0 */
    uint32_t *starts; /* host order, ascending */
    uint16_t *next_hops;
    /* The range in which the address byte.0.0.0 lies; one more for the end. */
    uint32_t first[FIRST_BYTES + 1];
};

/* ---- Sorting ----------------------------------------------------------------------------------
 */

static bool comes_before(const struct fib4_route *a, const struct fib4_route *b)
{
    uint32_t a_address = load_be32(&a->address_be), b_address = load_be32(&b->address_be);

    if (a_address != b_address)
        return a_address < b_address;
    return a->length < b->length;
}

/* Merges two sorted neighbors, stable: what came first stays first among equals. */
static void merge(const struct fib4_route *from, struct fib4_route *to, unsigned left,
                  unsigned middle, unsigned right)
{
    unsigned a = left, b = middle;

    for (unsigned out = left; out < right; out++) {
        bool take_b = a == middle || (b < right && comes_before(&from[b], &from[a]));
        to[out] = take_b ? from[b++] : from[a++];
    }
}

static bool is_sorted(const struct fib4_route *routes, unsigned count)
{
    for (unsigned i = 1; i < count; i++)
        if (comes_before(&routes[i], &routes[i - 1]))
            return false;
    return true;
}

static enum error sort(struct fib4_route *routes, unsigned count)
{
    if (is_sorted(routes, count))
        return OK;
    struct fib4_route *spare = memory_alloc(count * sizeof(*spare), 0, MEMORY_FIB);
    if (!spare)
        return fail(ERROR_NO_MEMORY);
    struct fib4_route *from = routes, *to = spare;
    for (unsigned width = 1; width < count; width *= 2) {
        for (unsigned left = 0; left < count; left += 2 * width)
            merge(from, to, left, MIN_OF(left + width, count), MIN_OF(left + 2 * width, count));
        struct fib4_route *swap = from;
        from = to;
        to = swap;
    }
    if (from != routes)
        memcpy(routes, from, count * sizeof(*routes));
    memory_free(spare);
    return OK;
}

/* ---- Building ---------------------------------------------------------------------------------
 */

static uint32_t last_address(const struct fib4_route *route)
{
    uint32_t first = load_be32(&route->address_be);

    return route->length == 0 ? UINT32_MAX
                              : first | (uint32_t)(UINT32_MAX >> 1 >> (route->length - 1));
}

/* From `start` on the answer is next_hop. */
static void add_range(struct fib4 *fib, uint32_t start, uint16_t next_hop)
{
    unsigned last = fib->count - 1;

    if (fib->starts[last] == start)
        fib->next_hops[last] = next_hop;
    else if (fib->next_hops[last] != next_hop) {
        fib->starts[fib->count] = start;
        fib->next_hops[fib->count++] = next_hop;
    }
}

static void flatten(struct fib4 *fib, const struct fib4_route *routes, unsigned count)
{
    struct {
        uint32_t last;
        uint16_t next_hop;
    } open[NEST_MAX + 1];
    unsigned depth = 1;

    open[0].last = UINT32_MAX;
    open[0].next_hop = FIB4_NO_ROUTE;
    fib->starts[0] = 0;
    fib->next_hops[0] = FIB4_NO_ROUTE;
    fib->count = 1;
    for (unsigned i = 0; i < count; i++) {
        uint32_t first = load_be32(&routes[i].address_be);

        for (; depth > 1 && open[depth - 1].last < first; depth--)
            add_range(fib, open[depth - 1].last + 1, open[depth - 2].next_hop);
        if (i > 0 && !comes_before(&routes[i - 1], &routes[i]))
            depth--; /* the same prefix again: it replaces the first */
        add_range(fib, first, routes[i].next_hop);
        CHECK(depth <= NEST_MAX);
        open[depth].last = last_address(&routes[i]);
        open[depth++].next_hop = routes[i].next_hop;
    }
    for (; depth > 1 && open[depth - 1].last < UINT32_MAX; depth--)
        add_range(fib, open[depth - 1].last + 1, open[depth - 2].next_hop);
}

static void index_first_bytes(struct fib4 *fib)
{
    uint32_t at = 0;

    for (uint32_t byte = 0; byte < FIRST_BYTES; byte++) {
        while (at + 1 < fib->count && fib->starts[at + 1] <= byte << 24)
            at++;
        fib->first[byte] = at;
    }
    fib->first[FIRST_BYTES] = fib->count - 1;
}

struct fib4 *fib4_create(struct fib4_route *routes, unsigned count)
{
    /* Each prefix opens one range and closes one. */
    size_t room = 2 * (size_t)count + 1;
    struct fib4 *fib = memory_alloc(sizeof(*fib), 0, MEMORY_FIB);

    if (!fib)
        return NULL;
    fib->starts = memory_alloc(room * sizeof(*fib->starts), CACHE_LINE_BYTES, MEMORY_FIB);
    fib->next_hops = memory_alloc(room * sizeof(*fib->next_hops), CACHE_LINE_BYTES, MEMORY_FIB);
    if (!fib->starts || !fib->next_hops || sort(routes, count) != OK) {
        fib4_destroy(fib);
        return NULL;
    }
    flatten(fib, routes, count);
    index_first_bytes(fib);
    return fib;
}

void fib4_destroy(struct fib4 *fib)
{
    if (!fib)
        return;
    memory_free(fib->starts);
    memory_free(fib->next_hops);
    memory_free(fib);
}

/* ---- Looking up -------------------------------------------------------------------------------
 */

/* The last range that starts at or before the address. */
static inline uint16_t search(const struct fib4 *fib, uint32_t address)
{
    uint32_t low = fib->first[address >> 24], high = fib->first[(address >> 24) + 1];

    while (low < high) {
        uint32_t middle = (low + high + 1) / 2;
        if (fib->starts[middle] <= address)
            low = middle;
        else
            high = middle - 1;
    }
    return fib->next_hops[low];
}

uint16_t fib4_lookup(const struct fib4 *fib, uint32_t address_be)
{
    return search(fib, load_be32(&address_be));
}

void fib4_lookup_batch(const struct fib4 *fib, const uint32_t *addresses_be, uint16_t *next_hops,
                       unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        next_hops[i] = search(fib, load_be32(&addresses_be[i]));
}

size_t fib4_bytes(const struct fib4 *fib)
{
    return sizeof(*fib) + fib->count * (sizeof(*fib->starts) + sizeof(*fib->next_hops));
}
