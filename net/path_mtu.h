/* What others have told about the path MTU to a destination (RFC 8201): IPv6 routers do not cut, so
 * that what is ours must be cut to fit before it goes. The control core learns, any core asks.
 *
 * IPv4 has no such table: our packets there may be cut on their way, unless a ping wants to know.
 */
#pragma once

#include "kernel/base/types.h"

enum {
    PATH_MTU_MAX = 64,         /* destinations; beyond, the one next to be forgotten is */
    PATH_MTU_LIFETIME_S = 600, /* RFC 8201 4: after 10 minutes the whole MTU is tried again */
};

struct path_mtus;

struct path_mtus *path_mtus_create(void) MUST_CHECK; /* NULL: no memory */
void path_mtus_destroy(struct path_mtus *mtus);      /* NULL is allowed */

/* Any core. What a packet to that address (16 bytes) may have that leaves by a link of
 * link_mtu_bytes: no more than that. */
uint16_t path_mtu(const struct path_mtus *mtus, const uint8_t *destination, uint16_t link_mtu_bytes,
                  uint64_t now_ns) MUST_CHECK;

/* Control core. A packet to that address was too big; the caller has seen to it that we may have
 * sent it, and that mtu_bytes is 1,280 at least and less than the link's. What says more than we
 * know is ignored (RFC 8201 4). */
void path_mtu_learn(struct path_mtus *mtus, const uint8_t *destination, uint16_t mtu_bytes,
                    uint64_t now_ns);
