/* covers: net/wire/ipv4.c */
/* covers: net/wire/checksum.c */
/* A header that is good stays good through all that a router does with it; options that were walked
 * can be copied. The input is a packet; its checksum is repaired, since random ones are wrong. */
#include "net/wire/ipv4.h"

#include <string.h>

#include "net/wire/checksum.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[IPV4_HEADER_MAX_BYTES] = { 0 };
    size_t header_bytes = MIN_OF(size, sizeof(bytes));
    struct ipv4_header *header = (void *)bytes;
    struct ipv4_options options;

    if (size > 0)
        memcpy(bytes, data, header_bytes);
    enum ipv4_validity validity = ipv4_check(bytes, header_bytes, size);
    if (validity == IPV4_BAD_CHECKSUM) {
        ipv4_seal(header);
        validity = ipv4_check(bytes, header_bytes, size);
        CHECK(validity != IPV4_BAD_CHECKSUM);
    }
    if (validity != IPV4_GOOD)
        return 0;
    CHECK(ipv4_header_bytes(header) <= header_bytes);
    CHECK(ipv4_total_bytes(header) <= size);

    header->ttl |= 1;
    ipv4_seal(header);
    ipv4_decrement_ttl(header);
    CHECK(ipv4_check(bytes, header_bytes, size) == IPV4_GOOD);

    if (!ipv4_options_walk(bytes, ipv4_header_bytes(header), &options)) {
        CHECK(options.error_offset >= IPV4_HEADER_BYTES);
        CHECK(options.error_offset < ipv4_header_bytes(header));
        return 0;
    }
    uint8_t again[IPV4_HEADER_MAX_BYTES];
    memcpy(again, bytes, IPV4_HEADER_BYTES);
    size_t copied = ipv4_options_copied(bytes, ipv4_header_bytes(header), again + 20);
    CHECK(copied % 4 == 0);
    CHECK(IPV4_HEADER_BYTES + copied <= ipv4_header_bytes(header));
    CHECK(ipv4_options_walk(again, IPV4_HEADER_BYTES + copied, &options));

    /* A sum over two pieces, wherever the cut. */
    size_t cut = data[0] % size;
    uint64_t sum = checksum_add(0, data, cut);
    sum = cut % 2 ? checksum_add_odd(sum, data + cut, size - cut)
                  : checksum_add(sum, data + cut, size - cut);
    CHECK(checksum_finish(sum) == checksum_of(data, size));
    (void)ipv4_pseudo_sum(header->source_be, header->destination_be, header->protocol, 8);
    return 0;
}
