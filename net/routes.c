/* See routes.h. In a change of one route the FIB comes last when routes come, first when they go:
 * what can fail is done before what cannot. */
#include "net/routes.h"

#include "kernel/base/pause.h"
#include "kernel/platform.h"
#include "net/fib4.h"
#include "net/forwarding.h"
#include "net/rib.h"
#include "net/router.h"

enum {
    ROUTES_PER_PAUSE = 256,
    /* Many routes are worth the large table where there is room for it, and for the next one beside
     * it. */
    DIRECT_FROM_ROUTES = 4096,
};
static const uint64_t DIRECT_FROM_FREE_BYTES = 256 << 20;

/* ---- The whole ----------------------------------------------------------------------------------
 */

struct build {
    struct fib4 *fib;
    const struct pause *pause;
    unsigned count;
};

static enum error insert_best(void *context, const struct prefix *prefix, uint16_t path)
{
    struct build *build = context;
    struct fib4_route route = { .address_be = address_ipv4_be(&prefix->address),
                                .length = prefix->length,
                                .next_hop = path };

    if (++build->count % ROUTES_PER_PAUSE == 0)
        pause_take(build->pause);
    return path != 0 ? fib4_insert(build->fib, &route) : OK;
}

struct fib4 *routes_create_fib4(const struct rib *rib, const struct forwarding *view,
                                const struct pause *pause)
{
    struct fib4_plan plan = { .shape = FIB4_COMPACT,
                              .next_hop_max = (uint16_t)(rib_path_end(rib) - 1),
                              .pause = pause };
    struct memory_stats memory;

    memory_stats(&memory);
    bool has_room = memory.free_bytes == 0 || memory.free_bytes >= DIRECT_FROM_FREE_BYTES;
    if (rib_count(rib) >= DIRECT_FROM_ROUTES && has_room)
        plan.shape = FIB4_DIRECT;
    struct build build = { .fib = fib4_create(&plan, NULL, 0), .pause = pause };
    if (!build.fib)
        return NULL;
    if (rib_each_best(rib, view->ipv4.next_hops, insert_best, &build) == OK)
        return build.fib;
    fib4_destroy(build.fib, pause);
    return NULL;
}

/* ---- One route ----------------------------------------------------------------------------------
 */

/* The prefix's best path is that one now; 0: what covers it decides. */
static enum error follow(struct router *router, const struct prefix *prefix, uint16_t best)
{
    const struct forwarding *view = atomic_load_explicit(&router->forwarding, memory_order_relaxed);
    uint32_t address_be = address_ipv4_be(&prefix->address);
    struct fib4_route route = { address_be, prefix->length, best };
    unsigned length = prefix->length;

    if (best != 0)
        return fib4_insert(router->fib4, &route);
    if (length > 0) {
        length--;
        route.next_hop = rib_lookup(router->rib, &prefix->address, view->ipv4.next_hops, &length);
        route.address_be = address_be & ipv4_mask_be(length);
        route.length = (uint8_t)length;
    }
    return fib4_remove(router->fib4, address_be, prefix->length,
                       route.next_hop != 0 ? &route : NULL);
}

/* The path's number, which this view knows. A view that is on its way out shares the FIB and may
 * have no such number. */
static enum error find_number(struct router *router, const struct path *path, uint16_t *number)
{
    struct forwarding *view = atomic_load_explicit(&router->forwarding, memory_order_relaxed);
    enum error error = rib_add_path(router->rib, path, number);

    if (error != OK || *number < view->ipv4.count)
        return error;
    if (router->snapshots.retired_count > 0)
        return fail(ERROR_BUSY);
    return forwarding_add_paths(view, router->rib, router->neighbors) ? OK : fail(ERROR_FULL);
}

enum error routes_set(struct router *router, const struct prefix *prefix, const struct path *path)
{
    const struct forwarding *view = atomic_load_explicit(&router->forwarding, memory_order_relaxed);
    uint16_t number, replaced;
    enum error error = find_number(router, path, &number);

    if (error != OK)
        return error;
    uint16_t before = rib_best(router->rib, prefix, view->ipv4.next_hops, 0);
    error = rib_set(router->rib, prefix, number, &replaced);
    if (error != OK)
        return error;
    uint16_t best = rib_best(router->rib, prefix, view->ipv4.next_hops, 0);
    if (best == before)
        return OK;
    error = follow(router, prefix, best);
    if (error == OK)
        return OK;
    if (replaced != 0) {
        enum error undo = rib_set(router->rib, prefix, replaced, &replaced);
        CHECK(undo == OK); /* it takes a place that is there */
    } else {
        rib_remove(router->rib, prefix, number);
    }
    return error;
}

enum error routes_remove(struct router *router, const struct prefix *prefix,
                         const struct path *path)
{
    const struct forwarding *view = atomic_load_explicit(&router->forwarding, memory_order_relaxed);
    uint16_t number = rib_get(router->rib, prefix, path);

    if (number == 0)
        return fail(ERROR_NOT_FOUND);
    uint16_t best = rib_best(router->rib, prefix, view->ipv4.next_hops, number);
    if (best != rib_best(router->rib, prefix, view->ipv4.next_hops, 0)) {
        enum error error = follow(router, prefix, best);
        if (error != OK)
            return error;
    }
    rib_remove(router->rib, prefix, number);
    return OK;
}
