/* See ethernet.h. IEEE 802.3 clause 3.2. */
#include "net/wire/ethernet.h"

#include "kernel/base/bytes.h"

const uint8_t mac_broadcast[MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

enum error ethernet_read(const void *data, size_t length_bytes, struct ethernet_header *header)
{
    struct reader reader = reader_of(data, length_bytes);
    const uint8_t *target = reader_take(&reader, MAC_BYTES);
    const uint8_t *source = reader_take(&reader, MAC_BYTES);

    header->ethertype = read_be16(&reader);
    if (reader.failed)
        return ERROR_TRUNCATED;
    memcpy(header->target, target, MAC_BYTES);
    memcpy(header->source, source, MAC_BYTES);
    return OK;
}

void ethernet_write(const struct ethernet_header *header, uint8_t out[ETHERNET_HEADER_BYTES])
{
    memcpy(out, header->target, MAC_BYTES);
    memcpy(out + MAC_BYTES, header->source, MAC_BYTES);
    store_be16(out + 2 * MAC_BYTES, header->ethertype);
}
