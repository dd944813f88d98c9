/* ICMP as a router speaks it (RFC 792, RFC 1812 4.3): errors about packets that cannot go on,
 * redirects, and answers to echo requests. Any core.
 *
 * Errors are limited per core: a flood of bad packets must not become a flood of errors. One that
 * is not sent for that reason counts as originated and dropped by DROP_ICMP_RATE_LIMIT, on the
 * loopback. */
#pragma once

#include "kernel/base/types.h"
#include "net/verdict.h"

struct core;
struct packet;

enum {
    ICMP_ERRORS_PER_SECOND = 1000, /* and core */
    ICMP_ERROR_BURST = 64,
    ICMP_ERROR_MAX_BYTES = 576, /* the whole IP packet: RFC 1812 4.3.2.3 */
    ICMP_ERROR_TTL = 255,
    ICMP_ECHO_TTL = 64,
    ICMP_ERROR_TOS = 0xc0, /* internetwork control: RFC 1812 4.3.2.5 */
};

/* Takes one error from the allowance of this core; true: it is used up, and counted is one that was
 * not sent. */
bool icmp_is_over_limit(struct core *core);

/* RFC 1812 4.3.2.7: nothing may be sent about that packet, whole, its IP header checked. */
bool icmp_is_forbidden(const struct core *core, const struct packet *packet);

/* Borrows a packet that is being dropped, whole, its IP header checked, and sends its sender the
 * error that drop_reasons[] knows for this verdict, unless RFC 1812 4.3.2.7 forbids. Fragmentation
 * needed tells packet->mtu_bytes. */
void icmp_send_error(struct core *core, const struct packet *packet, enum verdict verdict);

/* Borrows a packet that its sender could send to gateway_be itself, which is on the same net: the
 * caller has seen to that. */
void icmp_send_redirect(struct core *core, const struct packet *packet, uint32_t gateway_be);

/* Takes an echo request to us, whole, its checksum good, and sends the same bytes back as a reply.
 * Counted as delivered; the reply is originated. */
void icmp_answer_echo(struct core *core, struct packet *packet);
