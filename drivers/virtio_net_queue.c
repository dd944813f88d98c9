/* What split and packed queues of virtio network cards have in common, off the fast path. Sections
 * are those of virtio 1.2. */
#include <string.h>

#include "drivers/virtio_net.h"
#include "kernel/base/log.h"

void virtio_net_take_down(struct nic_queue *queue, const char *what, unsigned number)
{
    queue->broken = true;
    log_error(virtio_net_name, "%s queue %u stopped: the device %s (%u)", queue->card->nic.location,
              queue->pair, what, number);
}

/* ---- Receiving, 5.1.6.4 --------------------------------------------------------------------- */

void virtio_net_begin_frame(struct nic_queue *queue, struct frame_parts *frame,
                            unsigned buffer_count)
{
    *frame = (struct frame_parts){ .buffer_count = buffer_count, .link = &frame->first };
    if (buffer_count > PACKET_SEGMENT_MAX)
        frame->lost = &queue->stats.rx_errors;
}

/* All buffers but the last must be full (5.1.6.4.1), so that headers are in the first one. */
bool virtio_net_add_buffer(struct nic_queue *queue, struct frame_parts *frame, uint32_t id,
                           uint32_t length_bytes)
{
    struct ring *ring = &queue->receive;
    unsigned number = frame->done++;
    if (id >= ring->posted || length_bytes > BUFFER_BYTES) {
        virtio_net_take_down(queue, "used a buffer or length it was not given", id);
        frame->lost = &queue->stats.rx_errors;
        return false;
    }
    if (frame->lost != NULL)
        return true;
    struct packet *packet = ring->slots[id];
    struct packet *fresh = packet_take(queue->pool);
    if (fresh == NULL) {
        frame->lost = &queue->stats.rx_no_buffer;
        return true;
    }
    ring->slots[id] = fresh;
    *frame->link = packet;
    frame->link = &packet->next_segment;
    uint32_t header = number == 0 ? VIRTIO_NET_HEADER_BYTES : 0;
    uint32_t length_min = number == 0 ? VIRTIO_NET_HEADER_BYTES + ETHERNET_HEADER_BYTES : 1;
    if (length_bytes < length_min ||
        (length_bytes < BUFFER_BYTES && number + 1 < frame->buffer_count)) {
        frame->lost = &queue->stats.rx_errors;
        return true;
    }
    packet->data -= VIRTIO_NET_HEADER_BYTES - header;
    packet->flags = 0;
    packet->length_bytes = length_bytes - header;
    frame->length_bytes += packet->length_bytes;
    return true;
}

struct packet *virtio_net_end_frame(struct nic_queue *queue, struct frame_parts *frame)
{
    if (frame->lost != NULL) {
        counter_add(frame->lost, 1);
        packet_free(queue->pool, frame->first);
        return NULL;
    }
    frame->first->frame_length_bytes = frame->length_bytes;
    return frame->first;
}

/* ---- Transmitting, 5.1.6.2 ------------------------------------------------------------------ */

static bool needs_header_packet(struct packet *packet)
{
    return packet_headroom(packet) < VIRTIO_NET_HEADER_BYTES;
}

/* 5.1.6.2: both fields are of 16 bits, and the sum must lie inside the frame. */
static bool checksum_is_possible(const struct nic_queue *queue, const struct packet *packet)
{
    if (!(packet->flags & PACKET_CHECKSUM_WANTED))
        return true;
    uint32_t end = (uint32_t)packet->checksum_start + packet->checksum_offset + sizeof(uint16_t);
    return queue->card->nic.completes_checksums && end <= packet->frame_length_bytes;
}

unsigned virtio_net_count_descriptors(struct nic_queue *queue, struct packet *packet)
{
    unsigned count = needs_header_packet(packet) ? 1 : 0;
    for (const struct packet *segment = packet; segment != NULL; segment = segment->next_segment)
        count++;
    if (count <= MIN_OF(CHAIN_MAX, queue->transmit.shared.entries) &&
        checksum_is_possible(queue, packet))
        return count;
    counter_add(&queue->stats.tx_errors, 1);
    packet_free(queue->pool, packet);
    return 0;
}

struct packet *virtio_net_add_header(struct nic_queue *queue, struct packet *packet)
{
    struct packet *first = packet;
    if (needs_header_packet(packet)) {
        first = packet_alloc(queue->pool);
        if (first == NULL)
            return NULL;
        first->next_segment = packet;
    }
    uint8_t *header = first->data - VIRTIO_NET_HEADER_BYTES;
    memset(header, 0, VIRTIO_NET_HEADER_BYTES);
    if (packet->flags & PACKET_CHECKSUM_WANTED) {
        header[VIRTIO_NET_HEADER_FLAGS] = VIRTIO_NET_HEADER_NEEDS_CHECKSUM;
        store_le16(header + VIRTIO_NET_HEADER_CHECKSUM_START, packet->checksum_start);
        store_le16(header + VIRTIO_NET_HEADER_CHECKSUM_OFFSET, packet->checksum_offset);
    }
    return first;
}

/* ---- Interrupts ----------------------------------------------------------------------------- */

void virtio_net_unmask_pin(struct nic_queue *queue)
{
    struct virtio_nic *card = queue->card;
    if (card->pin < 0)
        return;
    (void)virtio_pci_interrupt_status(&card->virtio);
    counter_add(queue->register_accesses, 1);
    interrupt_unmask(card->pin);
}
