/* Addresses and prefixes of either family as comparable values. */
#include "net/address.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/text.h"
#include "net/wire/ipv6.h"

enum { IPV4_BITS = 32, IPV6_BITS = 128 };

struct address address_of_ipv4(uint32_t address_be)
{
    struct address address = { .family = FAMILY_IPV4 };

    memcpy(address.bytes, &address_be, sizeof(address_be));
    return address;
}

struct address address_of_ipv6(const uint8_t bytes[16])
{
    struct address address = { .family = FAMILY_IPV6 };

    memcpy(address.bytes, bytes, sizeof(address.bytes));
    return address;
}

uint32_t address_ipv4_be(const struct address *address)
{
    uint32_t address_be;

    memcpy(&address_be, address->bytes, sizeof(address_be));
    return address_be;
}

unsigned address_bits(const struct address *address)
{
    return address->family == FAMILY_IPV6 ? IPV6_BITS : IPV4_BITS;
}

/* RFC 1122 3.2.1.3, RFC 4291 2.5 to 2.7. */
bool address_is_unicast(const struct address *address)
{
    if (address->family == FAMILY_IPV6)
        return ipv6_is_station(address->bytes);
    return address->family == FAMILY_IPV4 && address->bytes[0] != 0 && address->bytes[0] < 224;
}

bool address_is_link_local(const struct address *address)
{
    return address->family == FAMILY_IPV6 && ipv6_is_link_local(address->bytes);
}

bool address_equal(const struct address *a, const struct address *b)
{
    return address_compare(a, b) == 0;
}

int address_compare(const struct address *a, const struct address *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

struct prefix prefix_of_ipv4(uint32_t address_be, unsigned length)
{
    return (struct prefix){ .address = address_of_ipv4(address_be), .length = (uint8_t)length };
}

/* The bits of byte number `index` that belong to the network. */
static uint8_t byte_mask(unsigned index, unsigned length)
{
    if (length >= (index + 1) * 8)
        return 0xff;
    if (length <= index * 8)
        return 0;
    return (uint8_t)(0xff << (8 - (length - index * 8)));
}

struct prefix prefix_network(const struct prefix *prefix)
{
    struct prefix network = *prefix;

    for (unsigned i = 0; i < sizeof(network.address.bytes); i++)
        network.address.bytes[i] &= byte_mask(i, prefix->length);
    return network;
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
    return prefix_compare(a, b) == 0;
}

int prefix_compare(const struct prefix *a, const struct prefix *b)
{
    int order = address_compare(&a->address, &b->address);

    if (order != 0)
        return order;
    return (int)a->length - (int)b->length;
}

bool prefix_contains(const struct prefix *prefix, const struct address *address)
{
    if (prefix->address.family != address->family)
        return false;
    for (unsigned i = 0; i < sizeof(address->bytes); i++) {
        uint8_t difference = prefix->address.bytes[i] ^ address->bytes[i];
        if (difference & byte_mask(i, prefix->length))
            return false;
    }
    return true;
}

uint32_t ipv4_mask_be(unsigned length)
{
    uint32_t mask_be;

    store_be32(&mask_be, length == 0 ? 0 : UINT32_MAX << (IPV4_BITS - length));
    return mask_be;
}

const char *address_text(const struct address *address, char out[ADDRESS_TEXT_MAX])
{
    if (address->family == FAMILY_IPV4)
        text_format(out, ADDRESS_TEXT_MAX, "%pI4", (const void *)address->bytes);
    else if (address->family == FAMILY_IPV6)
        text_format(out, ADDRESS_TEXT_MAX, "%pI6", (const void *)address->bytes);
    else
        text_format(out, ADDRESS_TEXT_MAX, "none");
    return out;
}

const char *prefix_text(const struct prefix *prefix, char out[PREFIX_TEXT_MAX])
{
    char address[ADDRESS_TEXT_MAX];

    text_format(out, PREFIX_TEXT_MAX, "%s/%u", address_text(&prefix->address, address),
                (unsigned)prefix->length);
    return out;
}
