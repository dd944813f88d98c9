/* See mld.h. */
#include "net/wire/mld.h"

#include "kernel/base/bytes.h"
#include "net/wire/icmp6.h"

enum {
    QUERY_SUPPRESS = 0x08, /* RFC 3810 5.1.7 and 5.1.8 */
    QUERY_ROBUSTNESS = 0x07,
};

/* RFC 3810 5.1.3: from 0x8000 on a 1, 3 bits of exponent and 12 of mantissa. */
static uint32_t response_ms(uint16_t code)
{
    if (code < 0x8000)
        return code;
    return ((code & 0xfffu) | 0x1000) << ((code >> 12 & 7u) + 3);
}

/* RFC 3810 5.1.9: from 0x80 on a 1, 3 bits of exponent and 4 of mantissa. */
static uint32_t interval_s(uint8_t code)
{
    if (code < 0x80)
        return code;
    return ((code & 0xfu) | 0x10) << ((code >> 4 & 7u) + 3);
}

/* What version 2 has behind version 1's message: 5.1.6 to 5.1.11. */
static enum error query_rest_read(struct reader *reader, struct mld_query *query)
{
    uint8_t flags = read_u8(reader);

    query->version = 2;
    query->suppress = flags & QUERY_SUPPRESS;
    query->robustness = flags & QUERY_ROBUSTNESS;
    query->interval_s = interval_s(read_u8(reader));
    query->source_count = read_be16(reader);
    query->sources = reader_take(reader, (size_t)query->source_count * IPV6_ADDRESS_BYTES);
    if (reader->failed)
        return ERROR_MALFORMED;
    if (query->source_count == 0)
        query->sources = NULL;
    return OK;
}

enum error mld_query_read(const struct ipv6_header *header, bool router_alert, const void *message,
                          size_t length_bytes, struct mld_query *query)
{
    struct reader reader = reader_of(message, length_bytes);
    uint8_t type = read_u8(&reader);

    read_u8(&reader); /* the code is not looked at: RFC 3810 5.1.1 */
    read_be16(&reader);
    uint16_t response_code = read_be16(&reader);
    read_be16(&reader); /* reserved */
    const uint8_t *group = reader_take(&reader, IPV6_ADDRESS_BYTES);
    if (!group)
        return ERROR_TRUNCATED;
    if (type != ICMP6_LISTENER_QUERY)
        return ERROR_UNSUPPORTED;
    if (length_bytes != MLD1_MESSAGE_BYTES && length_bytes < MLD_QUERY_BYTES)
        return ERROR_UNSUPPORTED;
    if (!ipv6_is_link_local(header->source) || header->hop_limit != MLD_HOP_LIMIT || !router_alert)
        return ERROR_MALFORMED;
    if (!ipv6_is_unspecified(group) && !ipv6_is_multicast(group))
        return ERROR_MALFORMED;

    *query = (struct mld_query){ .version = 1, .maximum_response_ms = response_code };
    memcpy(query->group, group, IPV6_ADDRESS_BYTES);
    if (length_bytes == MLD1_MESSAGE_BYTES)
        return OK;
    query->maximum_response_ms = response_ms(response_code);
    return query_rest_read(&reader, query);
}

size_t mld_report_write(const struct mld_record *records, unsigned count, void *out,
                        size_t size_bytes)
{
    uint8_t *at = out;

    CHECK(count <= MLD_RECORDS_MAX);
    size_t length_bytes = MLD_REPORT_BYTES + (size_t)count * MLD_RECORD_BYTES;
    if (length_bytes > size_bytes)
        return 0;
    /* Codes, reserved bytes, lengths of auxiliary data and numbers of sources are 0. */
    memset(out, 0, length_bytes);
    at[0] = ICMP6_LISTENER_REPORT_V2;
    store_be16(at + 6, (uint16_t)count);
    at += MLD_REPORT_BYTES;
    for (unsigned i = 0; i < count; i++, at += MLD_RECORD_BYTES) {
        at[0] = (uint8_t)records[i].type;
        memcpy(at + 4, records[i].group, IPV6_ADDRESS_BYTES);
    }
    return length_bytes;
}

void mld1_message_write(uint8_t type, const uint8_t *group, uint8_t out[MLD1_MESSAGE_BYTES])
{
    memset(out, 0, MLD1_MESSAGE_BYTES);
    out[0] = type;
    memcpy(out + 8, group, IPV6_ADDRESS_BYTES);
}
