/* See icmp4.h. */
#include "net/wire/icmp4.h"

#include "kernel/base/bytes.h"

bool icmp4_is_query(uint8_t type)
{
    switch (type) {
    case ICMP4_ECHO_REPLY:
    case ICMP4_ECHO_REQUEST:
    case ICMP4_ROUTER_ADVERTISEMENT:
    case ICMP4_ROUTER_SOLICITATION:
    case ICMP4_TIMESTAMP_REQUEST:
    case ICMP4_TIMESTAMP_REPLY:
    case ICMP4_INFORMATION_REQUEST:
    case ICMP4_INFORMATION_REPLY:
    case ICMP4_MASK_REQUEST:
    case ICMP4_MASK_REPLY:
        return true;
    }
    return false;
}

enum error icmp4_error_read(const void *data, size_t length_bytes, struct icmp4_error *error)
{
    struct reader reader = reader_of(data, length_bytes);
    const struct icmp4_header *icmp = (const void *)reader_take(&reader, ICMP4_HEADER_BYTES);

    if (!icmp)
        return ERROR_TRUNCATED;
    *error = (struct icmp4_error){ .type = icmp->type, .code = icmp->code };
    switch (icmp->type) {
    case ICMP4_UNREACHABLE:
        if (icmp->code == ICMP4_FRAGMENTATION_NEEDED)
            error->mtu = __builtin_bswap16(icmp->fragmentation_needed.mtu_be);
        break;
    case ICMP4_PARAMETER_PROBLEM:
        error->pointer = icmp->parameter_problem.pointer;
        break;
    case ICMP4_TIME_EXCEEDED:
        break;
    default: /* source quench is ignored (RFC 6633), redirects are (RFC 1812 5.2.7.2) */
        return ERROR_UNSUPPORTED;
    }

    /* The quoted header's checksum and TTL are as the sender of the error saw them, and its length
     * is more than what is quoted: so only the fields are looked at that say which packet it was.
     */
    const struct ipv4_header *quoted = (const void *)reader_take(&reader, IPV4_HEADER_BYTES);
    if (!quoted)
        return ERROR_TRUNCATED;
    if (quoted->version_and_length >> 4 != 4 || ipv4_header_bytes(quoted) < IPV4_HEADER_BYTES)
        return ERROR_MALFORMED;
    if (ipv4_fragment_offset_bytes(quoted) != 0)
        return ERROR_MALFORMED;
    reader_take(&reader, ipv4_header_bytes(quoted) - IPV4_HEADER_BYTES);
    const uint8_t *transport = reader_take(&reader, ICMP4_QUOTED_MINIMUM_BYTES);
    if (!transport)
        return ERROR_TRUNCATED;

    error->source_be = quoted->source_be;
    error->destination_be = quoted->destination_be;
    error->total_bytes = ipv4_total_bytes(quoted);
    error->protocol = quoted->protocol;
    memcpy(error->transport, transport, sizeof(error->transport));
    return OK;
}
