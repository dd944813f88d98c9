/* For classify.c and classify6.c: what they have in common. */
#pragma once

#include "kernel/base/bytes.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"

struct forwarding_port;

/* Is it meant for us? Sets the flags of group frames. */
enum verdict classify_target(struct packet *packet, const struct forwarding_port *port);
/* Ethernet pads to 60 bytes; the IP packet ends where its own header says. */
void classify_trim(struct core *core, struct packet *packet, uint32_t length_bytes);
bool classify_has_too_many_segments(const struct packet *packet);
void classify_drop_all(struct core *core, uint16_t port_in, struct batch *batch, enum verdict why);

static inline bool classify_is_of(const struct packet *packet, uint16_t ethertype)
{
    return packet->length_bytes >= ETHERNET_HEADER_BYTES &&
           load_be16(packet->data + ETHERNET_TYPE_OFFSET) == ethertype;
}

/* Packet i is for the line of the other family, which counts its bytes again. */
static inline void classify_hand_over(struct core *core, struct findings *findings, unsigned i,
                                      struct packet *packet)
{
    counter_subtract(&core->ports[packet->port_in].received_bytes, packet->frame_length_bytes);
    core->other_family.packets[core->other_family.count++] = packet;
    findings->fallen |= bit_of(i);
}
