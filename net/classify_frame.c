/* What both families' first stage does with a frame. See classify.h. */
#include "net/classify.h"
#include "net/forwarding.h"
#include "net/wire/ethernet.h"

/* Ethernet pads to 60 bytes (IEEE 802.3 3.2.8), some devices hand over more. The IP packet
 * ends where its own header says. */
void classify_trim(struct core *core, struct packet *packet, uint32_t length_bytes)
{
    struct packet *segment = packet;
    uint32_t left = length_bytes;

    while (segment->length_bytes < left) {
        left -= segment->length_bytes;
        segment = segment->next_segment;
    }
    segment->length_bytes = left;
    if (segment->next_segment) {
        packet_free(core->pool, segment->next_segment);
        segment->next_segment = NULL;
    }
    packet->frame_length_bytes = length_bytes;
}

bool classify_has_too_many_segments(const struct packet *packet)
{
    unsigned count = 0;

    for (; packet; packet = packet->next_segment)
        count++;
    return count > PACKET_SEGMENT_MAX;
}

enum verdict classify_target(struct packet *packet, const struct forwarding_port *port)
{
    const uint8_t *frame = packet->data;

    if (mac_equal(frame, port->mac))
        return PASS;
    if (mac_equal(frame, mac_broadcast))
        packet->flags |= PACKET_LINK_BROADCAST;
    else if (mac_is_group(frame))
        packet->flags |= PACKET_LINK_MULTICAST;
    else
        return DROP_NOT_FOR_US;
    return PASS;
}

void classify_drop_all(struct core *core, uint16_t port_in, struct batch *batch, enum verdict why)
{
    for (unsigned i = 0; i < batch->count; i++) {
        batch->packets[i]->port_in = port_in;
        datapath_drop(core, batch->packets[i], why);
    }
    batch->count = 0;
}
