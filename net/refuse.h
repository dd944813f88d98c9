/* Answers to TCP segments that a filter rejects: a reset in the name of him to whom they went, so
 * that who sent them need not try again (RFC 9293 3.5.2). Any core. */
#pragma once

#include "kernel/base/types.h"

struct core;
struct packet;

enum { REFUSE_TTL = 64 };

/* Borrows an IP packet that is being dropped, whole, its header checked. False: it is no segment
 * that could be answered so, and an ICMP error may tell instead. True: it was answered, or shall
 * not be: it is a reset or its checksum is wrong, it went to many, or there were too many answers
 * (the allowance is that of ICMP errors, icmp.h). */
bool refuse_tcp(struct core *core, const struct packet *packet) MUST_CHECK;
