/* A value in the tree is the number of a path, or, where a prefix has several routes, SHARED and
 * the place of a list of numbers, best first. See rib.h. */
#include "net/rib.h"

#include <string.h>

#include "kernel/base/hash.h"
#include "kernel/base/pause.h"
#include "kernel/platform.h"

enum {
    PATH_BUCKETS = 4096,
    /* Tables grow by these: nothing that is there moves, and no growing takes long. */
    PATHS_PER_CHUNK = 256,
    SHARED_PER_CHUNK = 1024,
};
static const uint32_t SHARED = UINT32_C(1) << 31;

/* The routes of one prefix. */
struct candidates {
    unsigned count;
    uint16_t paths[ROUTES_PER_PREFIX_MAX];
};

struct path_entry {
    struct path path;
    uint16_t next; /* in its bucket; 0: the last */
};

struct rib {
    struct prefix_tree tree;
    enum family family;
    unsigned count; /* routes that are not local */
    /* Paths by number, 0 unused. */
    struct path_entry *paths[NEXT_HOP_MAX / PATHS_PER_CHUNK];
    unsigned path_end;
    struct hash_key hash_key;
    uint16_t buckets[PATH_BUCKETS];
    /* Prefixes with several routes; free places are chained by shared_free, place + 1. */
    struct candidates *shared[RIB_SHARED_MAX / SHARED_PER_CHUNK];
    unsigned shared_end, shared_free;
};

const char *route_protocol_name(enum route_protocol protocol)
{
    static const char *const names[] = { "local", "connected", "static", "ra" };
    return names[protocol];
}

const char *next_hop_kind_name(enum next_hop_kind kind)
{
    static const char *const names[] = {
        [NEXT_HOP_NONE] = "none",
        [NEXT_HOP_LOCAL] = "local",
        [NEXT_HOP_LOOPBACK] = "loopback",
        [NEXT_HOP_BROADCAST] = "broadcast",
        [NEXT_HOP_LIMITED_BROADCAST] = "broadcast",
        [NEXT_HOP_MULTICAST] = "multicast",
        [NEXT_HOP_LINK_LOCAL] = "link-local",
        [NEXT_HOP_MARTIAN] = "martian",
        [NEXT_HOP_BLACKHOLE] = "blackhole",
        [NEXT_HOP_REJECT] = "reject",
        [NEXT_HOP_CONNECTED] = "connected",
        [NEXT_HOP_GATEWAY] = "gateway",
    };
    return names[kind];
}

struct rib *rib_create(enum family family)
{
    struct rib *rib = memory_alloc(sizeof(*rib), 0, MEMORY_ROUTE);

    if (!rib)
        return NULL;
    rib->family = family;
    rib->path_end = 1;
    random_bytes(&rib->hash_key, sizeof(rib->hash_key));
    return rib;
}

void rib_destroy(struct rib *rib, const struct pause *pause)
{
    if (!rib)
        return;
    prefix_tree_clear(&rib->tree, pause);
    for (unsigned i = 0; i < ARRAY_COUNT(rib->paths); i++)
        memory_free(rib->paths[i]);
    for (unsigned i = 0; i < ARRAY_COUNT(rib->shared); i++)
        memory_free(rib->shared[i]);
    memory_free(rib);
}

enum family rib_family(const struct rib *rib)
{
    return rib->family;
}

unsigned rib_count(const struct rib *rib)
{
    return rib->count;
}

/* ---- Paths --------------------------------------------------------------------------------------
 */

static struct path_entry *entry_of(const struct rib *rib, uint16_t number)
{
    return &rib->paths[number / PATHS_PER_CHUNK][number % PATHS_PER_CHUNK];
}

static uint16_t *bucket_of(const struct rib *rib, const struct path *path)
{
    uint64_t hash = hash_bytes(&rib->hash_key, path, sizeof(*path));

    return (uint16_t *)&rib->buckets[hash % PATH_BUCKETS];
}

uint16_t rib_find_path(const struct rib *rib, const struct path *path)
{
    uint16_t number = *bucket_of(rib, path);

    while (number != 0 && memcmp(&entry_of(rib, number)->path, path, sizeof(*path)) != 0)
        number = entry_of(rib, number)->next;
    return number;
}

enum error rib_add_path(struct rib *rib, const struct path *path, uint16_t *number)
{
    *number = rib_find_path(rib, path);
    if (*number != 0)
        return OK;
    if (rib->path_end == NEXT_HOP_MAX)
        return fail(ERROR_FULL);
    struct path_entry **chunk = &rib->paths[rib->path_end / PATHS_PER_CHUNK];
    if (!*chunk)
        *chunk = memory_alloc(PATHS_PER_CHUNK * sizeof(**chunk), 0, MEMORY_ROUTE);
    if (!*chunk)
        return fail(ERROR_NO_MEMORY);
    uint16_t *bucket = bucket_of(rib, path);
    *number = (uint16_t)rib->path_end++;
    *entry_of(rib, *number) = (struct path_entry){ .path = *path, .next = *bucket };
    *bucket = *number;
    return OK;
}

const struct path *rib_path(const struct rib *rib, uint16_t number)
{
    CHECK(number > 0 && number < rib->path_end);
    return &entry_of(rib, number)->path;
}

unsigned rib_path_end(const struct rib *rib)
{
    return rib->path_end;
}

/* They are the same route of a prefix, one in place of the other. */
static bool same_route(const struct path *a, const struct path *b)
{
    return a->protocol == b->protocol && a->source == b->source && a->distance == b->distance;
}

static bool is_better(const struct path *a, const struct path *b)
{
    if (a->distance != b->distance)
        return a->distance < b->distance;
    if (a->protocol != b->protocol)
        return a->protocol < b->protocol;
    return a->source < b->source;
}

/* ---- The routes of a prefix ---------------------------------------------------------------------
 */

static struct candidates *shared_at(const struct rib *rib, unsigned place)
{
    return &rib->shared[place / SHARED_PER_CHUNK][place % SHARED_PER_CHUNK];
}

/* All of them, whatever the value's form. */
static void read_candidates(const struct rib *rib, uint32_t value, struct candidates *out)
{
    if (value & SHARED) {
        *out = *shared_at(rib, value & ~SHARED);
        return;
    }
    out->count = value != 0;
    out->paths[0] = (uint16_t)value;
}

static uint32_t value_of(const struct rib *rib, const struct prefix *prefix)
{
    return prefix_tree_get(&rib->tree, prefix->address.bytes, prefix->length);
}

/* A place for a list. */
static enum error take_shared(struct rib *rib, unsigned *place)
{
    if (rib->shared_free != 0) {
        *place = rib->shared_free - 1;
        rib->shared_free = shared_at(rib, *place)->count;
        return OK;
    }
    if (rib->shared_end == RIB_SHARED_MAX)
        return fail(ERROR_FULL);
    struct candidates **chunk = &rib->shared[rib->shared_end / SHARED_PER_CHUNK];
    if (!*chunk)
        *chunk = memory_alloc(SHARED_PER_CHUNK * sizeof(**chunk), 0, MEMORY_ROUTE);
    if (!*chunk)
        return fail(ERROR_NO_MEMORY);
    *place = rib->shared_end++;
    return OK;
}

static void give_shared(struct rib *rib, uint32_t value)
{
    if (!(value & SHARED))
        return;
    unsigned place = value & ~SHARED;
    shared_at(rib, place)->count = rib->shared_free;
    rib->shared_free = place + 1;
}

/* The routes of a prefix as a value, the one before being `value`. Only a second route for a prefix
 * may fail. */
static enum error write_candidates(struct rib *rib, const struct candidates *candidates,
                                   uint32_t *value)
{
    unsigned place = *value & ~SHARED;

    if (candidates->count < 2) {
        give_shared(rib, *value);
        *value = candidates->count > 0 ? candidates->paths[0] : 0;
        return OK;
    }
    enum error error = *value & SHARED ? OK : take_shared(rib, &place);
    if (error != OK)
        return error;
    *shared_at(rib, place) = *candidates;
    *value = SHARED | place;
    return OK;
}

/* Among other routes of its prefix. */
static enum error set_among(struct rib *rib, uint32_t *value, uint16_t path, uint16_t *replaced)
{
    const struct path *wanted = rib_path(rib, path);
    struct candidates candidates;
    unsigned at = 0;

    read_candidates(rib, *value, &candidates);
    while (at < candidates.count && is_better(rib_path(rib, candidates.paths[at]), wanted))
        at++;
    if (at < candidates.count && same_route(rib_path(rib, candidates.paths[at]), wanted)) {
        *replaced = candidates.paths[at];
        candidates.paths[at] = path;
        return write_candidates(rib, &candidates, value);
    }
    if (candidates.count == ROUTES_PER_PREFIX_MAX)
        return fail(ERROR_FULL);
    memmove(&candidates.paths[at + 1], &candidates.paths[at],
            (candidates.count - at) * sizeof(candidates.paths[0]));
    candidates.paths[at] = path;
    candidates.count++;
    return write_candidates(rib, &candidates, value);
}

enum error rib_set(struct rib *rib, const struct prefix *prefix, uint16_t path, uint16_t *replaced)
{
    uint32_t *value;
    enum error error = prefix_tree_place(&rib->tree, prefix->address.bytes, prefix->length, &value);

    CHECK(prefix->address.family == rib->family);
    *replaced = 0;
    if (error != OK)
        return error;
    if (*value == 0)
        *value = path;
    else
        error = set_among(rib, value, path, replaced);
    if (error == OK && *replaced == 0 && rib_path(rib, path)->protocol != PROTOCOL_LOCAL)
        rib->count++;
    return error;
}

bool rib_remove(struct rib *rib, const struct prefix *prefix, uint16_t path)
{
    uint32_t value = value_of(rib, prefix);
    struct candidates candidates;
    unsigned at = 0;

    read_candidates(rib, value, &candidates);
    while (at < candidates.count && candidates.paths[at] != path)
        at++;
    if (at == candidates.count)
        return false;
    candidates.count--;
    memmove(&candidates.paths[at], &candidates.paths[at + 1],
            (candidates.count - at) * sizeof(candidates.paths[0]));
    enum error error = write_candidates(rib, &candidates, &value);
    CHECK(error == OK);
    if (value == 0)
        prefix_tree_remove(&rib->tree, prefix->address.bytes, prefix->length);
    else
        error = prefix_tree_set(&rib->tree, prefix->address.bytes, prefix->length, value);
    CHECK(error == OK); /* it has a place already */
    if (rib_path(rib, path)->protocol != PROTOCOL_LOCAL)
        rib->count--;
    return true;
}

uint16_t rib_get(const struct rib *rib, const struct prefix *prefix, const struct path *like)
{
    struct candidates candidates;

    read_candidates(rib, value_of(rib, prefix), &candidates);
    for (unsigned i = 0; i < candidates.count; i++)
        if (same_route(rib_path(rib, candidates.paths[i]), like))
            return candidates.paths[i];
    return 0;
}

/* ---- Which one is used --------------------------------------------------------------------------
 */

static uint16_t best_of(const struct rib *rib, uint32_t value, const struct next_hop *next_hops,
                        uint16_t without)
{
    struct candidates candidates;

    if (LIKELY(!(value & SHARED)))
        return value != without && next_hops[value].kind != NEXT_HOP_NONE ? (uint16_t)value : 0;
    read_candidates(rib, value, &candidates);
    for (unsigned i = 0; i < candidates.count; i++) {
        uint16_t path = candidates.paths[i];
        if (path != without && next_hops[path].kind != NEXT_HOP_NONE)
            return path;
    }
    return 0;
}

uint16_t rib_best(const struct rib *rib, const struct prefix *prefix,
                  const struct next_hop *next_hops, uint16_t without)
{
    return best_of(rib, value_of(rib, prefix), next_hops, without);
}

uint16_t rib_lookup(const struct rib *rib, const struct address *address,
                    const struct next_hop *next_hops, unsigned *length)
{
    for (;;) {
        uint32_t value = prefix_tree_cover(&rib->tree, address->bytes, length);
        uint16_t best = best_of(rib, value, next_hops, 0);
        if (best != 0 || *length == 0)
            return best;
        --*length;
    }
}

uint16_t rib_connected_port(const struct rib *rib, const struct address *address,
                            const bool *usable)
{
    unsigned length = address_bits(address);

    if (address->family != rib->family)
        return PORT_NONE;
    for (;; length--) {
        struct candidates candidates;
        uint32_t value = prefix_tree_cover(&rib->tree, address->bytes, &length);
        read_candidates(rib, value, &candidates);
        for (unsigned i = 0; i < candidates.count; i++) {
            const struct path *path = rib_path(rib, candidates.paths[i]);
            if (path->kind == NEXT_HOP_CONNECTED && usable[path->port])
                return path->port;
        }
        if (length == 0)
            return PORT_NONE;
    }
}

/* ---- All ----------------------------------------------------------------------------------------
 */

struct walk {
    const struct rib *rib;
    const struct next_hop *next_hops; /* NULL: all routes, not the best */
    rib_visit *visit;
    void *context;
};

static struct prefix prefix_from(const struct rib *rib, const uint8_t *address, unsigned length)
{
    struct prefix prefix = { .address = { .family = (uint8_t)rib->family },
                             .length = (uint8_t)length };

    memcpy(prefix.address.bytes, address, address_bits(&prefix.address) / 8);
    return prefix;
}

static enum error visit_prefix(void *context, const uint8_t *address, unsigned length,
                               uint32_t value)
{
    const struct walk *walk = context;
    struct prefix prefix = prefix_from(walk->rib, address, length);
    struct candidates candidates;
    enum error error = OK;

    if (walk->next_hops) {
        uint16_t best = best_of(walk->rib, value, walk->next_hops, 0);
        return walk->visit(walk->context, &prefix, best);
    }
    read_candidates(walk->rib, value, &candidates);
    for (unsigned i = 0; i < candidates.count && error == OK; i++)
        error = walk->visit(walk->context, &prefix, candidates.paths[i]);
    return error;
}

enum error rib_each(const struct rib *rib, rib_visit *visit, void *context)
{
    struct walk walk = { .rib = rib, .visit = visit, .context = context };

    return prefix_tree_each(&rib->tree, visit_prefix, &walk);
}

enum error rib_each_best(const struct rib *rib, const struct next_hop *next_hops, rib_visit *visit,
                         void *context)
{
    struct walk walk = { .rib = rib, .next_hops = next_hops, .visit = visit, .context = context };

    return prefix_tree_each(&rib->tree, visit_prefix, &walk);
}

unsigned rib_list(const struct rib *rib, const struct next_hop *next_hops,
                  struct rib_cursor *cursor, struct route *out, unsigned max)
{
    unsigned length = cursor->begun ? cursor->last.length : PREFIX_BEFORE_FIRST;
    uint8_t address[sizeof(cursor->last.address.bytes)];
    unsigned count = 0;
    uint32_t value;

    CHECK(max >= ROUTES_PER_PREFIX_MAX);
    memcpy(address, cursor->last.address.bytes, sizeof(address));
    while (max - count >= ROUTES_PER_PREFIX_MAX &&
           (value = prefix_tree_next(&rib->tree, address, &length)) != 0) {
        struct candidates candidates;
        uint16_t best = best_of(rib, value, next_hops, 0);
        *cursor = (struct rib_cursor){ true, prefix_from(rib, address, length) };
        read_candidates(rib, value, &candidates);
        for (unsigned i = 0; i < candidates.count; i++) {
            uint16_t path = candidates.paths[i];
            if (rib_path(rib, path)->protocol == PROTOCOL_LOCAL)
                continue;
            out[count++] = (struct route){
                .prefix = cursor->last,
                .path = *rib_path(rib, path),
                .active = path == best,
                .port = next_hops[path].kind != NEXT_HOP_NONE ? next_hops[path].port : PORT_NONE,
            };
        }
    }
    return count;
}
