/* Addresses and prefixes of either family. IPv4 addresses stand in the first four bytes, the rest
 * is 0, so that equal values are equal bytes. Headers and tables of one family use its own width
 * instead (uint32_t address_be). */
#pragma once

#include "kernel/base/types.h"

enum family { FAMILY_NONE, FAMILY_IPV4, FAMILY_IPV6, FAMILY_COUNT };

struct address {
    uint8_t family; /* enum family */
    uint8_t bytes[16];
};

struct prefix {
    struct address address; /* a network's has no host bits; an interface's may have */
    uint8_t length;         /* 0 to 32, or to 128 */
};

enum { ADDRESS_TEXT_MAX = 48, PREFIX_TEXT_MAX = 52 };

struct address address_of_ipv4(uint32_t address_be);
struct address address_of_ipv6(const uint8_t bytes[16]);
uint32_t address_ipv4_be(const struct address *address);
unsigned address_bits(const struct address *address);      /* 32 or 128 */
bool address_is_unicast(const struct address *address);    /* what a station may have */
bool address_is_link_local(const struct address *address); /* fe80::/10 */
bool address_equal(const struct address *a, const struct address *b);
int address_compare(const struct address *a, const struct address *b); /* family, then value */

struct prefix prefix_of_ipv4(uint32_t address_be, unsigned length);
struct prefix prefix_network(const struct prefix *prefix); /* host bits cleared */
bool prefix_equal(const struct prefix *a, const struct prefix *b);
int prefix_compare(const struct prefix *a, const struct prefix *b); /* address, then length */
bool prefix_contains(const struct prefix *prefix, const struct address *address);
uint32_t ipv4_mask_be(unsigned length);

const char *address_text(const struct address *address, char out[ADDRESS_TEXT_MAX]);
const char *prefix_text(const struct prefix *prefix, char out[PREFIX_TEXT_MAX]);
