/* See icmp6.h. */
#include "net/wire/icmp6.h"

#include "kernel/base/bytes.h"
#include "net/wire/checksum.h"

void icmp6_seal(void *message, size_t length_bytes, const uint8_t *source,
                const uint8_t *destination)
{
    struct icmp6_header *header = message;
    uint64_t sum = icmp6_pseudo_sum(source, destination, (uint32_t)length_bytes);

    header->checksum_be = 0;
    header->checksum_be = checksum_finish(checksum_add(sum, message, length_bytes));
}

bool icmp6_is_good(const void *message, size_t length_bytes, const uint8_t *source,
                   const uint8_t *destination)
{
    uint64_t sum = icmp6_pseudo_sum(source, destination, (uint32_t)length_bytes);

    return checksum_finish(checksum_add(sum, message, length_bytes)) == 0;
}

/* The protocol and first bytes behind the quoted packet's headers. Its payload length is more than
 * what is quoted, and its hop limit is as the sender of the error saw it: so only that is looked at
 * that says which packet it was. */
static enum error quote_read(const uint8_t *quote, size_t quote_bytes, struct icmp6_error *error)
{
    const struct ipv6_header *quoted = (const void *)quote;
    struct ipv6_headers headers;

    if (quote_bytes < IPV6_HEADER_BYTES)
        return ERROR_TRUNCATED;
    if (quote[0] >> 4 != 6)
        return ERROR_MALFORMED;
    if (ipv6_headers_walk(quote, quote_bytes, IPV6_TO_QUOTE, &headers) != IPV6_CHAIN_GOOD)
        return headers.problem_code == ICMP6_CHAIN_TOO_LONG ? ERROR_TRUNCATED : ERROR_MALFORMED;
    if (ipv6_is_later_fragment(&headers))
        return ERROR_MALFORMED;

    uint32_t packet_bytes = ipv6_packet_bytes(quoted);
    struct reader reader = reader_of(quote, MIN_OF(quote_bytes, (size_t)packet_bytes));
    reader_take(&reader, headers.upper_offset);
    const uint8_t *transport = reader_take(&reader, ICMP6_QUOTED_TRANSPORT_BYTES);
    if (!transport)
        return ERROR_TRUNCATED;
    memcpy(error->source, quoted->source, sizeof(error->source));
    memcpy(error->destination, quoted->destination, sizeof(error->destination));
    error->packet_bytes = packet_bytes;
    error->protocol = headers.protocol;
    memcpy(error->transport, transport, sizeof(error->transport));
    return OK;
}

enum error icmp6_error_read(const void *data, size_t length_bytes, struct icmp6_error *error)
{
    const struct icmp6_header *icmp = data;

    if (length_bytes < ICMP6_HEADER_BYTES)
        return ERROR_TRUNCATED;
    *error = (struct icmp6_error){ .type = icmp->type, .code = icmp->code };
    if (!icmp6_is_error(icmp->type))
        return ERROR_UNSUPPORTED;
    switch (icmp->type) {
    case ICMP6_PACKET_TOO_BIG:
        error->mtu = __builtin_bswap32(icmp->mtu_be);
        if (error->mtu < IPV6_MINIMUM_MTU)
            return ERROR_BAD_VALUE;
        break;
    case ICMP6_PARAMETER_PROBLEM:
        error->pointer = __builtin_bswap32(icmp->pointer_be);
        break;
    }
    return quote_read((const uint8_t *)data + ICMP6_HEADER_BYTES, length_bytes - ICMP6_HEADER_BYTES,
                      error);
}
