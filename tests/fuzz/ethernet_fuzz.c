/* covers: net/wire/ethernet.c */
/* What is read is written back as it was. */
#include "net/wire/ethernet.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ethernet_header header;
    uint8_t written[ETHERNET_HEADER_BYTES];

    if (ethernet_read(data, size, &header) != OK)
        return 0;
    ethernet_write(&header, written);
    CHECK(memcmp(written, data, sizeof(written)) == 0);
    return 0;
}
