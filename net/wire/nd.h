/* Neighbor discovery (RFC 4861): five ICMPv6 messages, each a fixed part and options
 *
 *   type, code, checksum | 4 bytes of its own | addresses | type, length, value | ...
 *
 * where a length counts units of 8 bytes, its own two included. nd_X_read() takes a message of
 * length_bytes contiguous bytes whose checksum is good, and the IPv6 header it came behind, and
 * applies all of the RFC's rules of validity that need no more than these:
 *
 *   all            hop limit 255, so that it comes from this link; code 0; the fixed part is there;
 *                  no option has length 0 or runs over the end          6.1.1 6.1.2 7.1.1 7.1.2 8.1
 *   solicitations  from the unspecified address: without source link-layer address   6.1.1 7.1.1
 *   router adv.    from a link-local address                                               6.1.2
 *   neighbor sol.  the target is no group; from the unspecified address: to a
 *                  solicited-node group                                                    7.1.1
 *   neighbor adv.  the target is no group; to a group: not solicited                       7.1.2
 *   redirect       from a link-local address; the destination is no group; the target is
 *                  link-local or the destination itself                                      8.1
 *
 * Left to the caller: the checksum, that it did not come in fragments (RFC 6980 5), whether the
 * address asked for is ours, and for a redirect that its sender is the router in use (8.1).
 * ERROR_TRUNCATED where the fixed part is not there, ERROR_MALFORMED where another rule is broken,
 * ERROR_UNSUPPORTED where the type is another.
 *
 * Options that the message does not have in its list are skipped, as are unknown ones, DNSSL (RFC
 * 8106 5.2) for one. So are, alone, those with a value or length that cannot be: they are said
 * beside each field. Of several that may be there once, the last counts. There is no bound on the
 * number of options but the message's end; what is kept has one.
 *
 * nd_X_write() writes a message, with its checksum 0, for icmp6_seal(); it says how many bytes, or
 * 0 where size_bytes is not enough. */
#pragma once

#include "kernel/base/types.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv6.h"

enum {
    ND_HOP_LIMIT = 255,
    ND_ROUTER_SOLICITATION_BYTES = 8 + 8, /* with a MAC */
    ND_NEIGHBOR_BYTES = 8 + 16 + 8, /* a neighbor's solicitation or advertisement with a MAC */

    ND_PREFIXES_MAX =
        8, /* kept of one advertisement: a link has one or two, four while it is renumbered */
    ND_SERVERS_MAX = 4, /* RFC 8106 5.3.1 wants three at least to be kept */

    ND_OPTION_SOURCE_LINK_ADDRESS = 1,
    ND_OPTION_TARGET_LINK_ADDRESS = 2,
    ND_OPTION_PREFIX = 3,
    ND_OPTION_REDIRECTED_HEADER = 4,
    ND_OPTION_MTU = 5,
    ND_OPTION_SERVERS = 25, /* RDNSS, RFC 8106 5.1 */
};

#define ND_INFINITE_S 0xffffffffu /* of lifetimes: RFC 4861 4.6.2 */

/* In all of these, a link-layer address is one that a station can have: another is skipped, as is
 * one of another length than Ethernet's. */

struct nd_router_solicitation {
    bool has_source_mac;
    uint8_t source_mac[MAC_BYTES];
};

/* 4.6.2. Link-local prefixes and groups are skipped (6.3.4), as are lengths beyond 128. */
struct nd_prefix {
    uint8_t prefix[IPV6_ADDRESS_BYTES]; /* its bits from prefix_bits on are 0 */
    uint8_t prefix_bits;
    bool on_link;
    bool autonomous; /* false where preferred_s is more than valid_s: RFC 4862 5.5.3 c */
    uint32_t valid_s, preferred_s;
};

struct nd_server {
    uint8_t address[IPV6_ADDRESS_BYTES];
    uint32_t lifetime_s; /* 0: no longer to be used */
};

/* Of default routers: RFC 4191 2.1, where the fourth value counts as medium. */
enum nd_preference {
    ND_PREFERENCE_LOW = -1,
    ND_PREFERENCE_MEDIUM = 0,
    ND_PREFERENCE_HIGH = 1,
};

/* 4.2. Zeros are "not told by this router", but in lifetimes. */
struct nd_router_advertisement {
    uint8_t hop_limit;
    bool managed, other_configuration; /* DHCPv6 has addresses, or other things */
    int8_t preference;                 /* enum nd_preference, as a default router */
    uint16_t lifetime_s;               /* likewise; 0: it is none */
    uint32_t reachable_ms, retransmit_ms;
    uint32_t mtu; /* less than 1280 is skipped; more than the link's is the caller's to see */

    bool has_source_mac;
    uint8_t source_mac[MAC_BYTES];

    uint8_t prefix_count, server_count;
    uint16_t prefixes_left_out, servers_left_out; /* when read: good ones beyond the bound */
    struct nd_prefix prefixes[ND_PREFIXES_MAX];
    struct nd_server servers[ND_SERVERS_MAX];
};

struct nd_neighbor_solicitation {
    uint8_t target[IPV6_ADDRESS_BYTES];
    bool has_source_mac;
    uint8_t source_mac[MAC_BYTES];
};

struct nd_neighbor_advertisement {
    uint8_t target[IPV6_ADDRESS_BYTES];
    bool router, solicited, override;
    bool has_target_mac;
    uint8_t target_mac[MAC_BYTES];
};

struct nd_redirect {
    uint8_t target[IPV6_ADDRESS_BYTES]; /* the better first hop */
    uint8_t destination[IPV6_ADDRESS_BYTES];
    bool has_target_mac;
    uint8_t target_mac[MAC_BYTES];
    /* The beginning of the packet that caused it: borrowed from the message or its writer; NULL and
     * 0 for none. What is written is cut to a multiple of 8 and to what fits. */
    const uint8_t *redirected;
    uint32_t redirected_bytes;
};

enum error nd_router_solicitation_read(const struct ipv6_header *header, const void *message,
                                       size_t length_bytes,
                                       struct nd_router_solicitation *solicitation) MUST_CHECK;
enum error nd_router_advertisement_read(const struct ipv6_header *header, const void *message,
                                        size_t length_bytes,
                                        struct nd_router_advertisement *advertisement) MUST_CHECK;
enum error nd_neighbor_solicitation_read(const struct ipv6_header *header, const void *message,
                                         size_t length_bytes,
                                         struct nd_neighbor_solicitation *solicitation) MUST_CHECK;
enum error
nd_neighbor_advertisement_read(const struct ipv6_header *header, const void *message,
                               size_t length_bytes,
                               struct nd_neighbor_advertisement *advertisement) MUST_CHECK;
enum error nd_redirect_read(const struct ipv6_header *header, const void *message,
                            size_t length_bytes, struct nd_redirect *redirect) MUST_CHECK;

size_t nd_router_solicitation_write(const struct nd_router_solicitation *solicitation, void *out,
                                    size_t size_bytes) MUST_CHECK;
size_t nd_router_advertisement_write(const struct nd_router_advertisement *advertisement, void *out,
                                     size_t size_bytes) MUST_CHECK;
size_t nd_neighbor_solicitation_write(const struct nd_neighbor_solicitation *solicitation,
                                      void *out, size_t size_bytes) MUST_CHECK;
size_t nd_neighbor_advertisement_write(const struct nd_neighbor_advertisement *advertisement,
                                       void *out, size_t size_bytes) MUST_CHECK;
size_t nd_redirect_write(const struct nd_redirect *redirect, void *out,
                         size_t size_bytes) MUST_CHECK;
