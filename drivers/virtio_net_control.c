/* The control queue of a virtio network card (virtio 1.2, 5.1.6.5): one command at a time, class,
 * command and data in one descriptor, the answer's byte in a second one. */
#include <string.h>

#include "drivers/virtio_net.h"

enum {
    ENTRIES_MAX = 16,
    READS_MAX = 2000000,   /* a second and more: the host may be busy */
    READS_PER_SLICE = 128, /* of at least half a microsecond each, between calls of while_waiting */
};

enum { COMMAND, ANSWER, DESCRIPTORS };

struct control {
    uint8_t class;
    uint8_t command;
    uint8_t data[VIRTIO_CONTROL_DATA_MAX];
    volatile uint8_t answer;
};

enum error virtio_control_open(struct virtio_nic *card, uint16_t queue)
{
    struct virtio_ring *ring = &card->control_ring;
    enum error error = virtio_ring_open(&card->virtio, ring, queue, ENTRIES_MAX, VIRTIO_NO_VECTOR);
    if (error != OK)
        return error;
    if (ring->entries < DESCRIPTORS)
        return fail(ERROR_DEVICE);
    card->control = dma_alloc(sizeof(*card->control), 0, MEMORY_DRIVER);
    if (card->control == NULL)
        return fail(ERROR_NO_MEMORY);
    card->control_count = 0;
    virtio_control_interrupt(card, false);
    return OK;
}

void virtio_control_close(struct virtio_nic *card)
{
    virtio_ring_close(&card->control_ring);
    dma_free(card->control);
    card->control = NULL;
}

void virtio_control_interrupt(struct virtio_nic *card, bool wanted)
{
    struct virtio_ring *ring = &card->control_ring;
    if (card->virtio.packed)
        atomic_store_explicit(&ring->driver_event->flags,
                              wanted ? VIRTIO_PACKED_EVENT_ENABLE : VIRTIO_PACKED_EVENT_DISABLE,
                              memory_order_relaxed);
    else
        atomic_store_explicit(&ring->available->flags, wanted ? 0 : VIRTIO_AVAILABLE_NO_INTERRUPT,
                              memory_order_relaxed);
}

/* ---- One command on each kind of ring ---------------------------------------------------------
 */

/* Always the same two descriptors: every entry of the available ring is 0, COMMAND. */
static void give_split(const struct virtio_nic *card, uint32_t data_bytes)
{
    const struct virtio_ring *ring = &card->control_ring;
    ring->descriptors[COMMAND] = (struct virtio_descriptor){
        .address = dma_address(card->control),
        .length_bytes = (uint32_t)offsetof(struct control, data) + data_bytes,
        .flags = VIRTIO_DESCRIPTOR_NEXT,
        .next = ANSWER,
    };
    ring->descriptors[ANSWER] = (struct virtio_descriptor){
        .address = dma_address(card->control) + offsetof(struct control, answer),
        .length_bytes = sizeof(card->control->answer),
        .flags = VIRTIO_DESCRIPTOR_WRITE,
    };
    (void)virtio_split_publish(ring, (uint16_t)(card->control_count + 1));
}

/* Two places for each command, which lie in one lap, as the ring has an even number of them. */
static void give_packed(const struct virtio_nic *card, uint32_t data_bytes)
{
    const struct virtio_ring *ring = &card->control_ring;
    uint32_t place = DESCRIPTORS * card->control_count;
    uint64_t given = virtio_packed_given(ring, place);
    struct virtio_packed_descriptor *descriptors = &ring->packed[place & (ring->entries - 1u)];
    descriptors[COMMAND].address = dma_address(card->control);
    descriptors[ANSWER].address = dma_address(card->control) + offsetof(struct control, answer);
    atomic_store_explicit(&descriptors[ANSWER].state,
                          sizeof(card->control->answer) | VIRTIO_PACKED_WRITE | given,
                          memory_order_relaxed);
    atomic_store_explicit(&descriptors[COMMAND].state,
                          (offsetof(struct control, data) + data_bytes) | VIRTIO_PACKED_NEXT |
                              given,
                          memory_order_release);
    (void)virtio_packed_publish(ring);
}

/* How many answers there are; more than one is nonsense. */
static unsigned count_answers(const struct virtio_nic *card)
{
    const struct virtio_ring *ring = &card->control_ring;
    if (!card->virtio.packed)
        return virtio_split_ready(ring, (uint16_t)card->control_count);
    uint32_t place = DESCRIPTORS * card->control_count;
    return virtio_packed_is_used(ring, place, virtio_packed_state(ring, place));
}

enum error virtio_control_command(struct virtio_nic *card, uint8_t class, uint8_t what,
                                  const void *data, size_t data_bytes)
{
    struct control *control = card->control;
    if (control == NULL)
        return fail(ERROR_UNSUPPORTED);
    CHECK(data_bytes <= sizeof(control->data));
    control->class = class;
    control->command = what;
    memcpy(control->data, data, data_bytes);
    control->answer = (uint8_t)~VIRTIO_NET_CONTROL_OK;
    if (card->virtio.packed)
        give_packed(card, (uint32_t)data_bytes);
    else
        give_split(card, (uint32_t)data_bytes);

    for (unsigned i = 1; i <= READS_MAX; i++) {
        unsigned answers = count_answers(card);
        if (answers > 1)
            return fail(ERROR_DEVICE);
        if (answers == 1) {
            card->control_count++;
            return control->answer == VIRTIO_NET_CONTROL_OK ? OK : ERROR_UNSUPPORTED;
        }
        /* The read of a register paces the loop, too. */
        if (virtio_pci_is_broken(&card->virtio))
            return fail(ERROR_DEVICE);
        core_relax();
        if (i % READS_PER_SLICE == 0 && card->nic.while_waiting != NULL)
            card->nic.while_waiting(card->nic.while_waiting_context);
    }
    return fail(ERROR_TIMEOUT);
}
