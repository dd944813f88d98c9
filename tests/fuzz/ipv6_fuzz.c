/* covers: net/wire/ipv6.c */
/* Whatever the chain of headers: the walk stays within the packet, points at a byte of it, and says
 * the same of a part that goes just far enough. The input is a packet, which is also walked by its
 * first half. */
#include "net/wire/ipv6.h"

#include <string.h>

#include "net/wire/checksum.h"
#include "net/wire/icmp6.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_walk(const uint8_t *data, size_t here_bytes, enum ipv6_purpose purpose)
{
    const struct ipv6_header *header = (const void *)data;
    struct ipv6_headers headers, again;
    enum ipv6_chain chain = ipv6_headers_walk(data, here_bytes, purpose, &headers);

    CHECK(headers.extension_count <= IPV6_EXTENSIONS_MAX);
    CHECK(headers.next_header_offset < here_bytes);
    if (chain == IPV6_CHAIN_PROBLEM) {
        CHECK(headers.problem_pointer <= here_bytes);
        CHECK(headers.problem_code != ICMP6_UNKNOWN_OPTION || purpose != IPV6_TO_QUOTE);
    }
    if (chain != IPV6_CHAIN_GOOD)
        return;
    CHECK(headers.upper_offset <= MIN_OF(here_bytes, (size_t)ipv6_packet_bytes(header)));
    CHECK(data[headers.next_header_offset] == headers.protocol);
    CHECK(ipv6_headers_walk(data, headers.upper_offset, purpose, &again) == IPV6_CHAIN_GOOD);
    CHECK(again.protocol == headers.protocol);
    CHECK(again.upper_offset == headers.upper_offset);
    if (headers.fragment_offset != 0) {
        uint8_t written[IPV6_FRAGMENT_HEADER_BYTES];
        struct ipv6_fragment fragment;

        CHECK(data[headers.fragment_named_offset] == PROTOCOL_FRAGMENT);
        ipv6_fragment_write(&headers.fragment, written);
        ipv6_fragment_read(written, &fragment);
        CHECK(fragment.offset_bytes == headers.fragment.offset_bytes);
        CHECK(fragment.more == headers.fragment.more);
        CHECK(fragment.identification == headers.fragment.identification);
        if (!ipv6_fragment_is_possible(header, &headers))
            CHECK(headers.problem_pointer < headers.upper_offset);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ipv6_header *header = (const void *)data;
    uint8_t alert[IPV6_ROUTER_ALERT_HEADER_BYTES];

    if (ipv6_check(data, size, size) != IPV6_GOOD) {
        CHECK(size < IPV6_HEADER_BYTES || !ipv6_is_plain(data, (uint32_t)size));
        return 0;
    }
    CHECK(ipv6_packet_bytes(header) <= size);
    for (unsigned purpose = IPV6_TO_FORWARD; purpose <= IPV6_TO_QUOTE; purpose++) {
        check_walk(data, size, purpose);
        check_walk(data, IPV6_HEADER_BYTES + (size - IPV6_HEADER_BYTES) / 2, purpose);
    }

    ipv6_router_alert_write(header->next_header, IPV6_ROUTER_ALERT_MLD, alert);
    CHECK(alert[0] == header->next_header);
    /* The pseudo-header is symmetric. */
    CHECK(checksum_fold(ipv6_pseudo_sum(header->source, header->destination, 8, 17)) ==
          checksum_fold(ipv6_pseudo_sum(header->destination, header->source, 8, 17)));
    return 0;
}
