/* Network cards of software: what a router sends lies in a queue in memory until somebody takes it,
 * what somebody puts there is received. And wires between two such cards, with loss, delay and
 * reordering that repeat themselves from one seed. One thread. */
#pragma once

#include "drivers/nic.h"

enum {
    WIRE_FRAME_MAX = 9216 + 14,
    WIRE_RING_MAX = 256, /* frames that a card holds in each direction and queue */
};

struct wire_nic;
struct wire_nic *wire_nic_create(const uint8_t mac[6], unsigned queue_max);
void wire_nic_destroy(struct wire_nic *nic); /* closed by its router */
struct nic *wire_nic_card(struct wire_nic *nic);

/* The link comes up, or goes down: then nothing passes. At the start it is up. */
void wire_nic_set_link(struct wire_nic *nic, bool up);
/* How many frames it takes to send before it is full; WIRE_RING_MAX at the start. */
void wire_nic_set_room(struct wire_nic *nic, unsigned frames);
/* From here on set_mac() and open() answer ERROR_DEVICE. */
void wire_nic_break(struct wire_nic *nic);
/* It is not well until it was closed and opened anew, which works after so many tries. */
void wire_nic_fail(struct wire_nic *nic, unsigned opens_to_fail);
unsigned wire_nic_opens(const struct wire_nic *nic); /* how often open() was called */
/* Frames are received in segments of at most that many bytes: PACKET_ROOM_BYTES at the start. */
void wire_nic_set_segment(struct wire_nic *nic, unsigned bytes);

/* Lets the card receive a frame by that queue; false when its ring is full or its link is down. */
bool wire_nic_put(struct wire_nic *nic, unsigned queue, const void *frame, size_t length_bytes);
/* The oldest frame that the router has sent, into WIRE_FRAME_MAX bytes; its length, 0: none. */
size_t wire_nic_take(struct wire_nic *nic, void *frame);
/* Frames in the card that the router has not received yet. */
unsigned wire_nic_waiting(const struct wire_nic *nic);

/* A wire between two cards. */
struct wire_setup {
    struct wire_nic *ends[2];
    unsigned loss_per_mille;
    uint64_t delay_ns;
    uint64_t jitter_ns; /* each frame takes up to that much longer, so frames overtake each other */
    uint64_t seed;
};

struct wire;
struct wire *wire_create(const struct wire_setup *setup);
void wire_destroy(struct wire *wire);
/* Moves what is due at that time. */
void wire_step(struct wire *wire, uint64_t now_ns);
uint64_t wire_lost(const struct wire *wire); /* by chance, or because the card was full */
unsigned wire_under_way(const struct wire *wire);
