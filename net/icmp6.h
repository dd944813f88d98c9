/* ICMPv6 as a router speaks it (RFC 4443): errors about packets that cannot go on, redirects (RFC
 * 4861 8), and answers to echo requests. Any core. Errors are limited as ICMP's are (icmp.h), by
 * the same allowance. */
#pragma once

#include "kernel/base/types.h"
#include "net/verdict.h"

struct core;
struct packet;

enum { ICMP6_HOP_LIMIT = 64 }; /* unless another is learned on the link: net/autoconf.h */

/* Borrows an IPv6 packet that is being dropped, whole, its header checked, and sends its sender the
 * error that drop_reasons[] knows for this verdict, unless RFC 4443 2.4 (e) forbids. Packet too big
 * tells packet->mtu_bytes, a parameter problem error_code and error_offset. */
void icmp6_send_error(struct core *core, const struct packet *packet, enum verdict verdict);

/* RFC 4443 2.4 (e): nothing may be sent about that packet, as what is prohibited. */
bool icmp6_is_forbidden(const struct core *core, const struct packet *packet);

/* Borrows a packet that its sender could send to packet->next_hop itself, which is on the link it
 * came from: the caller has seen to that. */
void icmp6_send_redirect(struct core *core, const struct packet *packet);

/* Takes an echo request to us, whole, its checksum good, its header at message_offset from the IPv6
 * header and in the first segment, and sends the same message back as a reply, without the
 * extension headers that were before it. Counted as delivered; the reply is originated. */
void icmp6_answer_echo(struct core *core, struct packet *packet, uint32_t message_offset);
