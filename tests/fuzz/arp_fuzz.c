/* covers: net/wire/arp.c */
/* What is accepted is written back as it was. */
#include "net/wire/arp.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arp_message arp;
    uint8_t written[ARP_BYTES];

    if (arp_read(data, size, &arp) != OK)
        return 0;
    arp_write(&arp, written);
    CHECK(memcmp(written, data, sizeof(written)) == 0);
    return 0;
}
