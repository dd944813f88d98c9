/* ARP for IPv4 over Ethernet (RFC 826):
 *
 *   hardware 1 | protocol 0x0800 | lengths 6, 4 | operation | sender MAC, IP | target MAC, IP */
#pragma once

#include "kernel/base/types.h"
#include "net/wire/ethernet.h"

enum {
    ARP_BYTES = 28,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
};

struct arp_message {
    uint16_t operation;
    uint8_t sender_mac[MAC_BYTES];
    uint32_t sender_be;
    uint8_t target_mac[MAC_BYTES];
    uint32_t target_be;
};

/* ERROR_TRUNCATED; ERROR_UNSUPPORTED for other hardware, protocols, lengths and operations. What
 * follows the 28 bytes is padding. */
enum error arp_read(const void *data, size_t length_bytes, struct arp_message *arp) MUST_CHECK;
void arp_write(const struct arp_message *arp, uint8_t out[ARP_BYTES]);
