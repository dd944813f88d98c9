/* See ipv4.h. */
#include "net/wire/ipv4.h"

#include "kernel/base/bytes.h"
#include "net/wire/checksum.h"

enum ipv4_validity ipv4_check(const void *data, size_t header_bytes, size_t packet_bytes)
{
    const struct ipv4_header *header = data;

    if (header_bytes < IPV4_HEADER_BYTES || packet_bytes < IPV4_HEADER_BYTES)
        return IPV4_TRUNCATED;
    if (header->version_and_length >> 4 != 4)
        return IPV4_BAD_HEADER;
    unsigned header_length = ipv4_header_bytes(header);
    if (header_length < IPV4_HEADER_BYTES)
        return IPV4_BAD_HEADER;
    if (header_length > header_bytes)
        return IPV4_TRUNCATED;
    if (checksum_of(header, header_length) != 0)
        return IPV4_BAD_CHECKSUM;
    if (ipv4_total_bytes(header) < header_length)
        return IPV4_BAD_HEADER;
    if (ipv4_total_bytes(header) > packet_bytes)
        return IPV4_TRUNCATED;
    return IPV4_GOOD;
}

/* Options that hold a pointer into themselves, counted from 1 at the option's type: RFC 791 3.1.
 * The offset within the option that is wrong, or -1. */
static int option_pointer_error(const uint8_t *option, unsigned option_length)
{
    enum { LENGTH_AT = 1, POINTER_AT = 2 };
    unsigned smallest_pointer = option[0] == IPV4_OPTION_TIMESTAMP ? 5 : 4;

    if (option_length < smallest_pointer - 1)
        return LENGTH_AT;
    if (option[POINTER_AT] < smallest_pointer)
        return POINTER_AT;
    return -1;
}

bool ipv4_options_walk(const void *header, size_t header_bytes, struct ipv4_options *options)
{
    const uint8_t *start = header;
    size_t at = IPV4_HEADER_BYTES;

    *options = (struct ipv4_options){ .source_route = false };
    while (at < header_bytes && start[at] != IPV4_OPTION_END) {
        if (start[at] == IPV4_OPTION_NOTHING) {
            at++;
            continue;
        }
        options->error_offset = (uint8_t)at;
        if (header_bytes - at < 2)
            return false;
        unsigned length = start[at + 1];
        options->error_offset = (uint8_t)(at + 1);
        if (length < 2 || length > header_bytes - at)
            return false;

        int wrong = -1;
        switch (start[at]) {
        case IPV4_OPTION_LOOSE_ROUTE:
        case IPV4_OPTION_STRICT_ROUTE:
            options->source_route = true;
            wrong = option_pointer_error(start + at, length);
            break;
        case IPV4_OPTION_RECORD_ROUTE:
        case IPV4_OPTION_TIMESTAMP:
            wrong = option_pointer_error(start + at, length);
            break;
        case IPV4_OPTION_ROUTER_ALERT:
            options->router_alert = true;
            wrong = length == 4 ? -1 : 1; /* RFC 2113 2.1 */
            break;
        }
        if (wrong >= 0) {
            options->error_offset = (uint8_t)(at + (unsigned)wrong);
            return false;
        }
        at += length;
    }
    options->error_offset = 0;
    return true;
}

size_t ipv4_options_copied(const void *header, size_t header_bytes,
                           uint8_t out[IPV4_HEADER_MAX_BYTES - IPV4_HEADER_BYTES])
{
    const uint8_t *start = header;
    size_t at = IPV4_HEADER_BYTES;
    size_t written = 0;

    while (at < header_bytes && start[at] != IPV4_OPTION_END) {
        size_t length = start[at] == IPV4_OPTION_NOTHING ? 1 : start[at + 1];
        if (start[at] & IPV4_OPTION_COPIED) {
            memcpy(out + written, start + at, length);
            written += length;
        }
        at += length;
    }
    while (written % 4 != 0)
        out[written++] = IPV4_OPTION_END;
    return written;
}

void ipv4_seal(struct ipv4_header *header)
{
    header->checksum_be = 0;
    header->checksum_be = checksum_of(header, ipv4_header_bytes(header));
}

uint64_t ipv4_pseudo_sum(uint32_t source_be, uint32_t destination_be, uint8_t protocol,
                         uint16_t length_bytes)
{
    return (uint64_t)source_be + destination_be + __builtin_bswap16(protocol) +
           __builtin_bswap16(length_bytes);
}
