/* The IPv6 addresses of our ports, and whether they may be used yet: each is asked for first, in
 * case somebody else has it (duplicate address detection, RFC 4862 5.4).
 *
 *   TENTATIVE --nobody has answered for a second--> VALID
 *       `------somebody has it-------------------> DUPLICATE, until its port's link has been down
 *
 * A port that has an address by the configuration, or is told to learn some, also has a link-local
 * one, made of its MAC address (RFC 4291 2.5.6, RFC 2464 5). If that is a duplicate, so is the MAC
 * address, and the port does without IPv6 altogether: its other addresses are DISABLED (RFC 4862
 * 5.4.5).
 *
 * The first address of each net is any router's, ours too (the subnet-router anycast address, RFC
 * 4291 2.6.1): nobody is asked for it, and nothing is sent from it.
 *
 * Belongs to the control core; the view has those that are valid and the groups of those that are
 * tentative, and is made anew when that changes. */
#pragma once

#include "kernel/base/types.h"
#include "net/address.h"

struct config;
struct core;

enum {
    /* What a configuration may have, and what 64 ports may learn (net/autoconf.h), with the anycast
     * address of each; a link-local one per port, and what is proxied there; and one more, as one
     * comes before another goes. */
    IPV6_ADDRESS_MAX = 2 * (1024 + 64 * 8) + 64 + 64 * 8 + 1,
    IPV6_PROBE_MS = 1000,         /* RFC 4861 RETRANS_TIMER, after the one probe of RFC 4862 5.1 */
    IPV6_CONFLICT_LOG_MS = 10000, /* about learned addresses, which strangers can make and take */
    /* RFC 4862 5.4.2 wants up to 1 s: a router's link comes up alone, but of what is advertised all
     * hosts of the link make addresses at once. */
    IPV6_PROBE_DELAY_MS = 10,
    IPV6_LEARNED_DELAY_MS = 1000, /* at most */
};

enum ipv6_address_state {
    IPV6_ADDRESS_NONE,
    IPV6_ADDRESS_TENTATIVE,
    IPV6_ADDRESS_VALID,
    IPV6_ADDRESS_DUPLICATE,
    IPV6_ADDRESS_DISABLED,
    IPV6_ADDRESS_PROXIED, /* not ours: asked for here, it is answered for (net/nd.h) */
};

const char *ipv6_address_state_name(enum ipv6_address_state state); /* "tentative" */

/* Why it is ours. There may be several reasons at once: the first one counts, and when that goes,
 * the next one. */
enum ipv6_address_origin {
    IPV6_FROM_STATEMENT,
    IPV6_FROM_MAC,           /* link-local */
    IPV6_FROM_NET,           /* anycast, of the net of another */
    IPV6_FROM_ADVERTISEMENT, /* learned: net/autoconf.h */
    IPV6_FROM_PROXY,         /* a single one that is proxied, so that its group is listened to */
    IPV6_ORIGIN_COUNT,
};

const char *ipv6_address_origin_name(enum ipv6_address_origin origin); /* "static" */

struct ipv6_address {
    struct address address;
    uint8_t length; /* of its net; 64 of a link-local one, 128 of an anycast one */
    uint16_t port;
    uint8_t state;   /* enum ipv6_address_state */
    uint8_t origin;  /* enum ipv6_address_origin */
    bool deprecated; /* to be used no longer where there is another one: RFC 4862 5.5.4 */
};

struct ipv6_addresses;

/* What it asks of others. */
struct ipv6_addresses_uses {
    /* Listens on that port to what is sent to whoever has that address, from now on. */
    void (*listen)(struct core *core, uint16_t port);
    /* Asks whether somebody has that address. */
    void (*probe)(struct core *core, uint16_t port, const struct address *address);
    /* Says that it is ours now. */
    void (*announce)(struct core *core, uint16_t port, const struct address *address);
    /* Listens no longer to what is sent to whoever has that address, unless for another one. */
    void (*leave)(struct core *core, uint16_t port, const struct address *address);
    /* Somebody else has it: it is out of use, and so are all others if it is link-local. */
    void (*duplicate)(struct core *core, uint16_t port, const struct address *address);
};

/* core: the control core. NULL: no memory. */
struct ipv6_addresses *ipv6_addresses_create(struct core *core,
                                             const struct ipv6_addresses_uses *uses) MUST_CHECK;
void ipv6_addresses_destroy(struct ipv6_addresses *addresses); /* NULL is allowed */

/* There is room for all that may come, from the beginning: nothing below can fail. */

/* The configuration is in force, the ports are as they are: addresses come and go. */
void ipv6_addresses_reconfigure(struct ipv6_addresses *addresses, const struct config *config,
                                uint64_t now_ns);
/* The port's link, admin state or MAC address has changed. */
void ipv6_addresses_port_changed(struct ipv6_addresses *addresses, uint16_t port, uint64_t now_ns);
/* The address was learned, or its net's length is another one now, or it is to be used no longer
 * where there is another one, or again. At most AUTOCONF_PREFIX_MAX on a port. */
void ipv6_addresses_learn(struct ipv6_addresses *addresses, uint16_t port,
                          const struct prefix *address, bool deprecated, uint64_t now_ns);
/* It is learned no longer. */
void ipv6_addresses_forget(struct ipv6_addresses *addresses, uint16_t port,
                           const struct address *address, uint64_t now_ns);
/* Somebody else has, or asks for, an address of ours on that port. */
void ipv6_addresses_conflict(struct ipv6_addresses *addresses, uint16_t port,
                             const struct address *address, const uint8_t *mac);

/* NONE: it is not ours on that port. */
enum ipv6_address_state ipv6_addresses_state(const struct ipv6_addresses *addresses, uint16_t port,
                                             const struct address *address);
/* NULL: it is not ours on that port. */
const struct ipv6_address *ipv6_addresses_find(const struct ipv6_addresses *addresses,
                                               uint16_t port, const struct address *address);
/* The link-local address of that port; false: it has none that is valid. */
bool ipv6_addresses_link_local(const struct ipv6_addresses *addresses, uint16_t port,
                               struct address *address) MUST_CHECK;
/* The anycast address of that net; false: it has none, as nets of two addresses and single ones. */
bool ipv6_subnet_router(const struct prefix *prefix, struct address *anycast) MUST_CHECK;
/* The port does without IPv6: its link-local address is somebody else's. */
bool ipv6_addresses_is_disabled(const struct ipv6_addresses *addresses, uint16_t port);
unsigned ipv6_addresses_count(const struct ipv6_addresses *addresses);
const struct ipv6_address *ipv6_addresses_at(const struct ipv6_addresses *addresses,
                                             unsigned index);
/* One has come, gone or changed, since it was asked last. */
bool ipv6_addresses_take_change(struct ipv6_addresses *addresses);
