/* See routes.h. In a change of one route the FIB comes last when routes come, first when they go:
 * what can fail is done before what cannot. */
#include "net/routes.h"

#include <string.h>

#include "kernel/base/pause.h"
#include "kernel/platform.h"
#include "net/fib4.h"
#include "net/fib6.h"
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
    struct fib4 *fib4;
    struct fib6 *fib6;
    const struct pause *pause;
    unsigned count;
};

static enum error insert(struct fib4 *fib4, struct fib6 *fib6, const struct prefix *prefix,
                         uint16_t path)
{
    if (prefix->address.family == FAMILY_IPV6) {
        struct fib6_route route = { .length = prefix->length, .next_hop = path };
        memcpy(route.address, prefix->address.bytes, sizeof(route.address));
        return fib6_insert(fib6, &route);
    }
    struct fib4_route route = { .address_be = address_ipv4_be(&prefix->address),
                                .length = prefix->length,
                                .next_hop = path };
    return fib4_insert(fib4, &route);
}

static enum error insert_best(void *context, const struct prefix *prefix, uint16_t path)
{
    struct build *build = context;

    if (++build->count % ROUTES_PER_PAUSE == 0)
        pause_take(build->pause);
    return path != 0 ? insert(build->fib4, build->fib6, prefix, path) : OK;
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
    struct build build = { .fib4 = fib4_create(&plan, NULL, 0), .pause = pause };
    if (!build.fib4)
        return NULL;
    if (rib_each_best(rib, view->ipv4.next_hops, insert_best, &build) == OK)
        return build.fib4;
    fib4_destroy(build.fib4, pause);
    return NULL;
}

struct fib6 *routes_create_fib6(const struct rib *rib, const struct forwarding *view,
                                const struct pause *pause)
{
    struct fib6_plan plan = { .pause = pause };
    struct build build = { .fib6 = fib6_create(&plan, NULL, 0), .pause = pause };

    if (!build.fib6)
        return NULL;
    if (rib_each_best(rib, view->ipv6.next_hops, insert_best, &build) == OK)
        return build.fib6;
    fib6_destroy(build.fib6);
    return NULL;
}

/* ---- One route ----------------------------------------------------------------------------------
 */

/* What routes of a prefix's family are kept in. */
struct place {
    struct rib *rib;
    struct forwarding *view;
    struct next_hop_table *table; /* the view's */
};

static struct place place_of(struct router *router, const struct prefix *prefix)
{
    enum family family = (enum family)prefix->address.family;
    struct forwarding *view = atomic_load_explicit(&router->forwarding, memory_order_relaxed);

    return (struct place){ router->ribs[family], view, forwarding_table(view, family) };
}

static enum error remove_from_fib(struct router *router, const struct prefix *prefix,
                                  const struct prefix *cover, uint16_t cover_path)
{
    if (prefix->address.family == FAMILY_IPV6) {
        struct fib6_route route = { .length = cover->length, .next_hop = cover_path };
        memcpy(route.address, cover->address.bytes, sizeof(route.address));
        return fib6_remove(router->fib6, prefix->address.bytes, prefix->length,
                           cover_path != 0 ? &route : NULL);
    }
    struct fib4_route route = { address_ipv4_be(&cover->address), cover->length, cover_path };
    return fib4_remove(router->fib4, address_ipv4_be(&prefix->address), prefix->length,
                       cover_path != 0 ? &route : NULL);
}

/* The prefix's best path is that one now; 0: what covers it decides. */
static enum error follow(struct router *router, const struct place *place,
                         const struct prefix *prefix, uint16_t best)
{
    struct prefix cover = *prefix;
    unsigned length = prefix->length;
    uint16_t cover_path = 0;

    if (best != 0)
        return insert(router->fib4, router->fib6, prefix, best);
    if (length > 0) {
        length--;
        cover_path = rib_lookup(place->rib, &prefix->address, place->table->next_hops, &length);
        cover.length = (uint8_t)length;
    }
    cover = prefix_network(&cover);
    return remove_from_fib(router, prefix, &cover, cover_path);
}

/* The path's number, which this view knows. A view that is on its way out shares the FIB and may
 * have no such number. */
static enum error find_number(struct router *router, const struct place *place,
                              const struct prefix *prefix, const struct path *path,
                              uint16_t *number)
{
    enum error error = rib_add_path(place->rib, path, number);

    if (error != OK || *number < place->table->count)
        return error;
    if (router->snapshots.retired_count > 0)
        return fail(ERROR_BUSY);
    return forwarding_add_paths(place->view, (enum family)prefix->address.family, place->rib,
                                router->neighbors)
               ? OK
               : fail(ERROR_FULL);
}

enum error routes_set(struct router *router, const struct prefix *prefix, const struct path *path)
{
    const struct place place = place_of(router, prefix);
    uint16_t number, replaced;
    enum error error = find_number(router, &place, prefix, path, &number);

    if (error != OK)
        return error;
    uint16_t before = rib_best(place.rib, prefix, place.table->next_hops, 0);
    error = rib_set(place.rib, prefix, number, &replaced);
    if (error == ERROR_FULL)
        return fail(ERROR_NO_MEMORY);
    if (error != OK)
        return error;
    uint16_t best = rib_best(place.rib, prefix, place.table->next_hops, 0);
    if (best == before)
        return OK;
    error = follow(router, &place, prefix, best);
    if (error == OK)
        return OK;
    if (replaced != 0) {
        enum error undo = rib_set(place.rib, prefix, replaced, &replaced);
        CHECK(undo == OK); /* it takes a place that is there */
    } else {
        rib_remove(place.rib, prefix, number);
    }
    return error;
}

enum error routes_remove(struct router *router, const struct prefix *prefix,
                         const struct path *path)
{
    const struct place place = place_of(router, prefix);
    uint16_t number = rib_get(place.rib, prefix, path);

    if (number == 0)
        return fail(ERROR_NOT_FOUND);
    uint16_t best = rib_best(place.rib, prefix, place.table->next_hops, number);
    if (best != rib_best(place.rib, prefix, place.table->next_hops, 0)) {
        enum error error = follow(router, &place, prefix, best);
        if (error != OK)
            return error;
    }
    rib_remove(place.rib, prefix, number);
    return OK;
}

/* ---- Of protocols -------------------------------------------------------------------------------
 */

static bool is_done(struct router *router, enum error error)
{
    if (error == ERROR_FULL)
        router->routes_anew = true;
    return error == OK;
}

bool routes_announce(struct router *router, const struct prefix *prefix, const struct path *path)
{
    CHECK(path_is_learned(path));
    return is_done(router, routes_set(router, prefix, path));
}

bool routes_withdraw(struct router *router, const struct prefix *prefix, const struct path *path)
{
    CHECK(path_is_learned(path));
    enum error error = routes_remove(router, prefix, path);
    return error == ERROR_NOT_FOUND || is_done(router, error);
}
