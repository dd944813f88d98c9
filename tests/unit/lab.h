/* A router on software cards, with a virtual clock, hosts that are frames, and statements set
 * without the shell: for tests of everything from the datapath up.
 *
 * Port i is eth<i>; by lab_create() it has 10.0.<i>.1/24, and host 10.0.<i>.2 behind it is known to
 * the neighbor table as a static entry, so that a test about something else needs no ARP. */
#pragma once

#include "net/control.h"
#include "net/datapath.h"
#include "net/router.h"
#include "tests/host/host.h"
#include "tests/host/wire_nic.h"
#include "tests/unit/test.h"

enum { LAB_PORT_MAX = 8 };

struct lab {
    struct router *router;
    unsigned port_count;
    struct wire_nic *cards[LAB_PORT_MAX];
    uint64_t now_ns;
    struct config *config; /* the next to be committed */
};

struct lab lab_create(unsigned core_count, unsigned port_count);
/* Cards with that many queues, where there are more cores. */
struct lab lab_create_queues(unsigned core_count, unsigned port_count, unsigned queue_max);
void lab_destroy(struct lab *lab); /* after the books have been looked at */

/* Statements into lab->config; a mistake fails the test. */
void lab_address(struct lab *lab, const char *interface, const char *prefix);
void lab_route(struct lab *lab, const char *prefix, const char *gateway); /* may be repeated */
void lab_route_kind(struct lab *lab, const char *prefix, enum route_kind kind);
void lab_interface(struct lab *lab, const char *name, bool down, unsigned mtu_bytes);
void lab_arp(struct lab *lab, const char *address, const uint8_t mac[6], const char *interface);
void lab_commit(struct lab *lab); /* must work */
enum error lab_try_commit(struct lab *lab, struct commit_report *report);

/* Steps every core `steps` times, 10 us apart; lab_wait lets time pass, a step each 10 ms. */
void lab_step(struct lab *lab, unsigned steps);
void lab_wait(struct lab *lab, uint64_t ms);
/* Received + originated = sent + delivered + dropped + held, for each port, and none is held. */
void lab_expect_books(struct lab *lab);
uint64_t lab_dropped(struct lab *lab, unsigned port, enum verdict why);
struct port_counters lab_counters(struct lab *lab, unsigned port);

uint32_t ipv4_of(const char *text);          /* wire order */
struct address address_of(const char *text); /* of either family */
/* The MAC address of host number `host` behind that port, and of the port itself. */
const uint8_t *lab_host_mac(unsigned port, unsigned host);
const uint8_t *lab_port_mac(unsigned port);

/* A frame with an IPv4 packet, as a host sends it. */
struct lab_frame {
    size_t length_bytes;
    uint8_t bytes[WIRE_FRAME_MAX];
};

struct lab_packet {
    const char *source, *destination;
    uint8_t ttl;      /* 0 means 64 */
    uint8_t protocol; /* 0 means UDP */
    uint16_t payload_bytes;
    uint16_t fragment; /* flags and offset */
    uint16_t identification;
    uint16_t source_port, destination_port; /* into the payload, where it is long enough */
    const uint8_t *options;
    unsigned option_bytes; /* a multiple of 4 */
};

struct lab_frame lab_frame(unsigned port, const struct lab_packet *packet);
void lab_frame_seal(struct lab_frame *frame); /* the IPv4 checksum again, after a change */
void lab_put(struct lab *lab, unsigned port, const struct lab_frame *frame);
/* The next frame that the router has sent by that port; false: none. */
bool lab_take(struct lab *lab, unsigned port, struct lab_frame *frame);
