/* See path_mtu.h. Destinations are few, and only packets of more than 1,280 bytes ask: so they are
 * looked through one by one.
 *
 * Each word is read and written whole, but an entry is not. Who reads one that is being changed may
 * see an old destination with a new MTU: then one packet is cut for another's path, or is too big
 * once more, and neither does harm. */
#include "net/path_mtu.h"

#include <stdatomic.h>

#include "kernel/base/bytes.h"
#include "kernel/platform.h"

struct known_path {
    _Atomic uint64_t expires_ns; /* since then: free */
    _Atomic uint64_t destination[2];
    _Atomic uint16_t mtu_bytes;
};

struct path_mtus {
    struct known_path paths[PATH_MTU_MAX]; /* written by the control core */
};

static uint64_t expires_ns(const struct known_path *path)
{
    return atomic_load_explicit(&path->expires_ns, memory_order_relaxed);
}

static uint16_t mtu_bytes(const struct known_path *path)
{
    return atomic_load_explicit(&path->mtu_bytes, memory_order_relaxed);
}

static bool is_to(const struct known_path *path, const uint8_t *destination)
{
    return atomic_load_explicit(&path->destination[0], memory_order_relaxed) ==
               load_le64(destination) &&
           atomic_load_explicit(&path->destination[1], memory_order_relaxed) ==
               load_le64(destination + 8);
}

uint16_t path_mtu(const struct path_mtus *mtus, const uint8_t *destination, uint16_t link_mtu_bytes,
                  uint64_t now_ns)
{
    for (unsigned i = 0; i < PATH_MTU_MAX; i++) {
        const struct known_path *path = &mtus->paths[i];
        if (now_ns < expires_ns(path) && is_to(path, destination))
            return MIN_OF(link_mtu_bytes, mtu_bytes(path));
    }
    return link_mtu_bytes;
}

void path_mtu_learn(struct path_mtus *mtus, const uint8_t *destination, uint16_t mtu,
                    uint64_t now_ns)
{
    struct known_path *path = &mtus->paths[0]; /* that of the destination, or the next to go */

    for (unsigned i = 0; i < PATH_MTU_MAX; i++) {
        struct known_path *other = &mtus->paths[i];
        if (now_ns < expires_ns(other) && is_to(other, destination)) {
            path = other;
            if (mtu > mtu_bytes(path))
                return;
            break;
        }
        if (expires_ns(other) < expires_ns(path))
            path = other;
    }
    atomic_store_explicit(&path->destination[0], load_le64(destination), memory_order_relaxed);
    atomic_store_explicit(&path->destination[1], load_le64(destination + 8), memory_order_relaxed);
    atomic_store_explicit(&path->mtu_bytes, mtu, memory_order_relaxed);
    atomic_store_explicit(&path->expires_ns, now_ns + (uint64_t)PATH_MTU_LIFETIME_S * NS_PER_S,
                          memory_order_relaxed);
}

struct path_mtus *path_mtus_create(void)
{
    return memory_alloc(sizeof(struct path_mtus), 0, MEMORY_SOCKET);
}

void path_mtus_destroy(struct path_mtus *mtus)
{
    memory_free(mtus);
}
