/* A UDP socket of a lab's router that remembers what it has heard. */
#pragma once

#include <string.h>

#include "net/local.h"
#include "net/udp.h"
#include "tests/unit/lab.h"

struct heard {
    unsigned datagrams, failures;
    uint8_t payload[3000]; /* of the last one */
    struct udp_datagram last;
    struct udp_failure failure;
};

static inline void hear(void *context, const struct udp_datagram *datagram, uint64_t now_ns)
{
    struct heard *heard = context;

    (void)now_ns;
    heard->datagrams++;
    heard->last = *datagram;
    EXPECT(datagram->payload_bytes <= sizeof(heard->payload));
    EXPECT(packet_copy_out(datagram->packet, datagram->payload_offset, heard->payload,
                           datagram->payload_bytes));
}

static inline void hear_failure(void *context, const struct udp_failure *failure, uint64_t now_ns)
{
    struct heard *heard = context;

    (void)now_ns;
    heard->failures++;
    heard->failure = *failure;
}

/* address NULL: any of the router's. */
static inline struct udp_socket *bind_to(struct lab *lab, const char *address, uint16_t port,
                                         struct heard *heard)
{
    const struct udp_handlers handlers = { hear, hear_failure, heard };
    const struct address own =
        address ? address_of(address) : (struct address){ .family = FAMILY_NONE };
    struct udp_socket *socket = NULL;

    memset(heard, 0, sizeof(*heard));
    EXPECT_EQUAL(udp_bind(lab->router->local->udp, address ? &own : NULL, port, &handlers, &socket),
                 OK);
    return socket;
}
