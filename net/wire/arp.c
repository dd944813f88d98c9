/* See arp.h. Fields in the order of RFC 826, "Packet format". */
#include "net/wire/arp.h"

#include "kernel/base/bytes.h"

enum { HARDWARE_ETHERNET = 1, IPV4_BYTES = 4 };

enum error arp_read(const void *data, size_t length_bytes, struct arp_message *arp)
{
    struct reader reader = reader_of(data, length_bytes);
    uint16_t hardware = read_be16(&reader);
    uint16_t protocol = read_be16(&reader);
    uint8_t hardware_bytes = read_u8(&reader);
    uint8_t protocol_bytes = read_u8(&reader);
    uint16_t operation = read_be16(&reader);
    const uint8_t *addresses = reader_take(&reader, 2 * (MAC_BYTES + IPV4_BYTES));

    if (!addresses)
        return ERROR_TRUNCATED;
    if (hardware != HARDWARE_ETHERNET || hardware_bytes != MAC_BYTES)
        return ERROR_UNSUPPORTED;
    if (protocol != ETHERTYPE_IPV4 || protocol_bytes != IPV4_BYTES)
        return ERROR_UNSUPPORTED;
    if (operation != ARP_REQUEST && operation != ARP_REPLY)
        return ERROR_UNSUPPORTED;

    arp->operation = operation;
    memcpy(arp->sender_mac, addresses, MAC_BYTES);
    memcpy(&arp->sender_be, addresses + 6, IPV4_BYTES);
    memcpy(arp->target_mac, addresses + 10, MAC_BYTES);
    memcpy(&arp->target_be, addresses + 16, IPV4_BYTES);
    return OK;
}

void arp_write(const struct arp_message *arp, uint8_t out[ARP_BYTES])
{
    store_be16(out, HARDWARE_ETHERNET);
    store_be16(out + 2, ETHERTYPE_IPV4);
    out[4] = MAC_BYTES;
    out[5] = IPV4_BYTES;
    store_be16(out + 6, arp->operation);
    memcpy(out + 8, arp->sender_mac, MAC_BYTES);
    memcpy(out + 14, &arp->sender_be, IPV4_BYTES);
    memcpy(out + 18, arp->target_mac, MAC_BYTES);
    memcpy(out + 24, &arp->target_be, IPV4_BYTES);
}
