/* A virtio network device in C (virtio 1.2), for tests of its driver: modern PCI interface, split
 * and packed rings, MSI-X or INTx, merged buffers, control queue, several queue pairs. It panics on
 * what the specification forbids a driver, and can be told to break the rules itself.
 *
 * Set the first group between _init() and _attach(), call the rest at any time. */
#pragma once

#include "drivers/virtio_regs.h"
#include "tests/host/frame_sum.h"
#include "tests/host/pci_function.h"

enum {
    VIRTIO_MODEL_PAIR_MAX = 4,
    VIRTIO_MODEL_QUEUE_MAX = 2 * VIRTIO_MODEL_PAIR_MAX + 1,
    VIRTIO_MODEL_FRAME_MAX = 16384,
    VIRTIO_MODEL_SENT_MAX = 1024,
    VIRTIO_MODEL_RSS_TABLE_MAX = 128,
    VIRTIO_MODEL_RSS_KEY_MAX = 40,
};

struct virtio_model_queue {
    uint16_t size, vector, enabled;
    uint64_t descriptors, driver, device; /* areas; of a split ring: available and used */
    uint32_t taken;                       /* next entry of the available ring, or place */
    uint32_t used_place;                  /* packed: where the next used descriptor goes */
    uint8_t descriptor_counts[1 << 15];   /* packed: of each buffer number taken */
    unsigned notified;
};

struct virtio_net_model {
    /* What it is. */
    uint64_t features;
    uint16_t pairs;
    uint16_t queue_size;
    unsigned vector_count; /* 0: no MSI-X */
    uint8_t mac[6];
    uint16_t mtu;
    bool link;
    uint16_t rss_table_max; /* 0: no such fields */

    /* Faults. */
    bool mute; /* every register reads as ones */
    bool reset_never_ends;
    bool refuses_features;
    bool refuses_vectors;
    bool control_is_deaf;    /* never answers a command */
    bool control_refuses;    /* answers each with an error */
    bool transmit_stalls;    /* takes no frames */
    bool transmit_backwards; /* completes what is there in reverse order */

    /* What the driver made of it. */
    struct pci_function pci;
    struct device_model registers, vectors;
    uint8_t status;
    uint64_t accepted; /* features */
    uint32_t device_feature_select, driver_feature_select;
    uint16_t queue_select;
    uint8_t interrupt_status;
    uint16_t pairs_enabled;
    bool promiscuous, all_multicast;
    uint32_t rss_hash_types;
    unsigned rss_entries; /* 0: not configured */
    uint16_t rss_table[VIRTIO_MODEL_RSS_TABLE_MAX];
    uint8_t rss_key[VIRTIO_MODEL_RSS_KEY_MAX];
    unsigned interrupts;
    struct virtio_model_queue queues[VIRTIO_MODEL_QUEUE_MAX];

    /* What it has sent. */
    unsigned sent_count;
    struct sent_frame sent[VIRTIO_MODEL_SENT_MAX];
    uint8_t sent_header[VIRTIO_NET_HEADER_BYTES]; /* of the last one */
};

void virtio_net_model_init(struct virtio_net_model *model);
void virtio_net_model_attach(struct virtio_net_model *model, unsigned slot);

/* A frame from the wire, into buffers of pair `pair`: false where there are not enough. */
bool virtio_net_model_receive(struct virtio_net_model *model, unsigned pair, const uint8_t *frame,
                              uint32_t length_bytes);
/* Sends what pair `pair` offers; happens by itself at a doorbell. */
void virtio_net_model_transmit(struct virtio_net_model *model, unsigned pair);
/* Receive buffers that the pair has on offer. */
unsigned virtio_net_model_offered(const struct virtio_net_model *model, unsigned queue);

/* Whether the device wants doorbells of that queue. */
void virtio_net_model_want_doorbells(struct virtio_net_model *model, unsigned queue, bool wanted);

/* Faults on the ring: writes one used entry, or moves the index alone; in a packed ring, marks so
 * many places used, whatever is there. */
void virtio_net_model_use(struct virtio_net_model *model, unsigned queue, uint32_t id,
                          uint32_t length_bytes);
void virtio_net_model_move_used(struct virtio_net_model *model, unsigned queue, uint16_t by);
/* Takes the next offered buffer, for use with _use(): its descriptor and its memory. */
uint16_t virtio_net_model_take(struct virtio_net_model *model, unsigned queue, uint8_t **memory);
