/* Router advertisements (RFC 4861 6.2): on ports told to, hosts learn that we are their router,
 * which prefixes are theirs, whom to ask for names (RFC 8106), and the MTU; from that they make
 * their addresses (RFC 4862). Belongs to the control core.
 *
 * What is told is what the configuration says at that moment; without prefixes of its own, those of
 * the port's addresses. A prefix that was told and is not any more is told with lifetimes of 0 for
 * RA_WITHDRAWN_S, so that hosts give up the addresses that they have made of it (RFC 4861 6.2.7,
 * RFC 9096 3.3): without a word they would keep them for weeks. */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"

struct config;
struct core;
struct ipv6_addresses;
struct nd_router_advertisement;

enum { /* RFC 4861 6.2.1 and 10, its defaults */
       RA_INTERVAL_MIN_S = 200,
       RA_INTERVAL_MAX_S = 600,
       RA_LIFETIME_S = 3 * RA_INTERVAL_MAX_S,
       RA_PREFIX_VALID_S = 2592000,
       RA_PREFIX_PREFERRED_S = 604800,
       /* After 2 hours nobody has it any more who has heard it withdrawn: RFC 4862 5.5.3 e. */
       RA_WITHDRAWN_S = 7200,
       RA_WITHDRAWN_MAX = 8,     /* on a port; one more, and the oldest is forgotten */
       RA_INITIAL = 3,           /* so many after a change, */
       RA_INITIAL_MAX_S = 16,    /* at most so far apart */
       RA_SPACING_MS = 3000,     /* never closer together to all nodes */
       RA_ANSWER_DELAY_MS = 500, /* at most, after a solicitation */
};

/* nd_advertise_router(). */
struct ra_uses {
    void (*advertise)(struct core *core, uint16_t port,
                      const struct nd_router_advertisement *advertisement);
};

struct ra;

/* core: the control core. NULL: no memory. */
struct ra *ra_create(struct core *core, const struct ipv6_addresses *addresses,
                     const struct ra_uses *uses) MUST_CHECK;
void ra_destroy(struct ra *ra); /* NULL is allowed */

/* The configuration is in force: who is new is told soon, and who is no longer served, at once. */
void ra_reconfigure(struct ra *ra, const struct config *config, uint64_t now_ns);
/* An address of that port has become valid. */
void ra_address_valid(struct ra *ra, uint16_t port, uint64_t now_ns);
/* A host asks for an advertisement. False: there are none on that port. */
bool ra_solicited(struct ra *ra, uint16_t port, uint64_t now_ns);
