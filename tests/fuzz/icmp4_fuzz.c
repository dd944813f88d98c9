/* covers: net/wire/icmp4.c */
#include "net/wire/icmp4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct icmp4_error error;

    if (icmp4_error_read(data, size, &error) == OK) {
        CHECK(!icmp4_is_query(error.type)); /* an error about it would be forbidden */
        CHECK(size >= ICMP4_HEADER_BYTES + IPV4_HEADER_BYTES + ICMP4_QUOTED_MINIMUM_BYTES);
    }
    if (size > 0)
        (void)icmp4_is_query(data[0]);
    return 0;
}
