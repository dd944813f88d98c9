/* covers: net/wire/mld.c */
/* Whatever a query says, its sources lie within the message and its times within what the forms can
 * say; then its group is reported. The input: a byte that chooses hop limit, source and router
 * alert, then the message. */
#include <string.h>

#include "net/wire/icmp6.h"
#include "net/wire/mld.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { FORWARDED = 1, FROM_AFAR = 2, WITHOUT_ALERT = 4 };
    struct mld_query query;
    uint8_t out[MLD_REPORT_BYTES + 2 * MLD_RECORD_BYTES];

    if (size < 1)
        return 0;
    struct ipv6_header header = {
        .hop_limit = data[0] & FORWARDED ? 2 : MLD_HOP_LIMIT,
        .source = { data[0] & FROM_AFAR ? 0x20 : 0xfe, 0x80 },
    };
    const uint8_t *message = data + 1;
    size_t length = size - 1;
    if (mld_query_read(&header, !(data[0] & WITHOUT_ALERT), message, length, &query) != OK)
        return 0;
    CHECK((data[0] & (FORWARDED | FROM_AFAR | WITHOUT_ALERT)) == 0);
    CHECK(query.version == (length == MLD1_MESSAGE_BYTES ? 1 : 2));
    CHECK(query.maximum_response_ms <= 0x1fff << 10);
    CHECK(query.interval_s <= 0x1f << 10);
    CHECK(query.robustness <= 7);
    if (query.sources)
        CHECK(query.sources + (size_t)query.source_count * 16 <= message + length);
    CHECK((query.sources != NULL) == (query.source_count > 0));

    struct mld_record records[2] = { { .type = MLD_IS_EXCLUDE }, { .type = MLD_TO_INCLUDE } };
    memcpy(records[0].group, query.group, sizeof(query.group));
    memcpy(records[1].group, query.group, sizeof(query.group));
    unsigned count = query.robustness % 3;
    CHECK(mld_report_write(records, count, out, sizeof(out)) ==
          MLD_REPORT_BYTES + count * MLD_RECORD_BYTES);
    CHECK(mld_report_write(records, count, out, MLD_REPORT_BYTES - 1) == 0);
    CHECK(out[7] == count);
    mld1_message_write(ICMP6_LISTENER_REPORT, query.group, out);
    CHECK(ipv6_equal(out + 8, query.group));
    return 0;
}
