/* The lab with IPv6: port i has 2001:db8:<i>::1/64 as well, valid, and a link-local address; host
 * 2001:db8:<i>::2 behind it, with the MAC address that lab_host_mac() says, is made known by
 * lab6_meet(). */
#pragma once

#include "net/ipv6_addresses.h"
#include "net/wire/ethernet.h"
#include "net/wire/icmp6.h"
#include "net/wire/ipv6.h"
#include "net/wire/nd.h"
#include "tests/unit/lab.h"

struct lab lab6_create(unsigned core_count, unsigned port_count);
/* The host tells its address by a solicitation; the answer is thrown away. */
void lab6_meet(struct lab *lab, unsigned port, const char *address, unsigned host);
void lab6_forget_frames(struct lab *lab); /* all that the router has sent until now */

struct lab6_packet {
    const char *source, *destination;
    uint8_t hop_limit;         /* 0 means 64 */
    uint8_t protocol;          /* 0 means UDP, unless there are extensions */
    const uint8_t *extensions; /* before the payload; `protocol` says of what kind the first is */
    unsigned extension_bytes;
    uint16_t payload_bytes;
};

/* A frame of host 2 behind the port; to a group by the group's MAC address. */
struct lab_frame lab6_frame(unsigned port, const struct lab6_packet *packet);
/* The same with an ICMPv6 message of that many bytes as its payload, whose checksum is made. */
struct lab_frame lab6_icmp(unsigned port, const struct lab6_packet *packet, const void *message,
                           size_t length_bytes);
void lab6_seal(struct lab_frame *frame); /* the checksum of such a message again */

struct ipv6_header *lab6_header(struct lab_frame *frame);
uint8_t *lab6_payload(struct lab_frame *frame); /* behind the 40 bytes */
size_t lab6_payload_bytes(struct lab_frame *frame);

struct lab_frame lab6_solicitation(unsigned port, const char *source, const char *destination,
                                   const char *target, const uint8_t *mac);
struct advertised {
    bool router, solicited, override;
};
struct lab_frame lab6_advertisement(unsigned port, const char *source, const char *destination,
                                    const char *target, const uint8_t *mac,
                                    struct advertised flags);

/* The next frame by that port is the ICMPv6 error about `frame` that RFC 4443 wants, from `source`
 * to the sender, and nothing follows it. */
struct icmp6_header lab6_expect_error(struct lab *lab, unsigned port, struct lab_frame *frame,
                                      const char *source, uint8_t type, uint8_t code);
void lab6_expect_silence(struct lab *lab); /* no frame by any port */
/* "2001:db8::1" */
void lab6_expect_address(const uint8_t *actual, const char *expected);
