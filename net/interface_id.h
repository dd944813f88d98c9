/* Interface identifiers that say nothing of the card and stay the same in a net (RFC 7217): the
 * second half of addresses that we make of a prefix that was advertised. */
#pragma once

#include "kernel/base/hash.h"
#include "net/config.h"
#include "net/wire/ipv6.h"

/* RFC 7217 5's F(), by SipHash-2-4, whose key is the secret. In another net, on another interface
 * or in another try (DAD_Counter) it is another one; Network_ID we have none. False: it is one of
 * the reserved ones (RFC 5453), so the next try must do. */
bool interface_id_make(const struct hash_key *secret, const uint8_t network[8],
                       const char interface[PORT_NAME_BYTES], uint8_t tries,
                       uint8_t out[IPV6_INTERFACE_ID_BYTES]) MUST_CHECK;

/* Of no station: anycast addresses of subnets (RFC 4291 2.6.1, RFC 2526 2), and those made of
 * IANA's own Ethernet addresses (RFC 5453 3, RFC 9542 2.2.1). */
bool interface_id_is_reserved(const uint8_t id[IPV6_INTERFACE_ID_BYTES]);
