/* A test stand: one core with two ports, eth0 10.1.0.1/24 and eth1 10.2.0.1/16, with a view and
 * timers, but with no cards and nothing that steps it. Tests call a module's functions themselves
 * and move the time. */
#pragma once

#include "kernel/base/packet.h"
#include "kernel/base/types.h"
#include "net/config.h"
#include "net/router.h"

enum { STAND_PACKETS = 4096, STAND_ETH0 = 0, STAND_ETH1 = 1, STAND_LOOPBACK = 2 };

struct stand {
    struct router router;
    struct core core;
};

struct stand *stand_create(void);
/* Everything must be given back before: every packet, every timer, every retired object. */
void stand_destroy(struct stand *stand);

/* Builds the view anew after a change to router.ports or router.config. */
void stand_view(struct stand *stand);
/* The time is now_ns, and whatever was due has happened; cores have passed a quiescent point. */
void stand_time(struct stand *stand, uint64_t now_ns);
void stand_advance(struct stand *stand, uint64_t ms);

uint64_t stand_packets_in_use(const struct stand *stand);

/* A packet of length_bytes that came in by that port, data at its Ethernet header. */
struct packet *stand_frame(struct stand *stand, uint16_t port, const void *bytes,
                           uint32_t length_bytes);
/* An IPv4 packet behind an Ethernet header, as it leaves the classify stage. Its payload counts
 * upward from `first`. fragment is flags and offset in units of 8. */
struct packet *stand_ipv4(struct stand *stand, uint16_t port, uint32_t source_be,
                          uint32_t destination_be, uint8_t protocol, uint16_t identification,
                          uint16_t fragment, uint8_t first, uint16_t payload_bytes);

static inline uint32_t ip(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return a | b << 8 | c << 16 | d << 24; /* in wire order on this little-endian machine */
}
