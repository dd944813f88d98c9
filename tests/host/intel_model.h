/* Intel's gigabit cards on PCI Express in C, for tests of their drivers: what e1000e_model.h and
 * igb_model.h share. Registers, EEPROM, PHY, rings, RSS, checksums on sending, interrupts. It
 * panics on what a driver must not do, and can be told to misbehave.
 *
 * Set the first group between e1000e_model_init() or igb_model_init() and intel_model_attach(),
 * call the rest at any time. */
#pragma once

#include "drivers/e1000_regs.h"
#include "tests/host/frame_sum.h"
#include "tests/host/pci_function.h"

enum {
    INTEL_MODEL_BAR_BYTES = 0x20000,
    INTEL_MODEL_FRAME_MAX = 1522, /* without long frames, and we count no FCS */
    INTEL_MODEL_SENT_MAX = 1024,
    INTEL_MODEL_SENT_BYTES = 16384,
};

struct intel_model;

/* What differs from card to card. */
struct intel_model_kind {
    unsigned queue_max;
    uint16_t receive_ring, transmit_ring, ring_stride; /* RDBAL, TDBAL */
    uint8_t eerd_address_shift;
    uint64_t descriptor_kind; /* bits of DTYP that are neither data nor context */
    unsigned payload_shift;   /* of the frame's length in a data descriptor; 0: nowhere */
    uint32_t enable;          /* what RXDCTL and TXDCTL must say before a queue works */
    /* Whether a write was one of its own registers, and has been obeyed; NULL: it has none. */
    bool (*write)(struct intel_model *model, unsigned offset, uint32_t value);
    /* What must hold when the receiver is on, and the size of its buffers. */
    uint32_t (*check_receiver)(const struct intel_model *model, unsigned queue);
    unsigned (*queue_of_hash)(const struct intel_model *model, uint32_t hash);
    bool (*hashes_udp)(const struct intel_model *model); /* NULL: never */
    /* Where a context wants the sum: from `start`, at `field`. */
    void (*context)(uint64_t first, uint64_t second, unsigned *start, unsigned *field);
    /* A frame has come into a queue; something in ICR has changed. */
    void (*received)(struct intel_model *model, unsigned queue);
    void (*deliver)(struct intel_model *model);
};

struct intel_model {
    /* What it is. */
    const struct intel_model_kind *kind;
    uint16_t device;
    uint8_t mac[6];      /* in the EEPROM */
    bool address_loaded; /* from there into RAL0 by a reset */
    bool link;
    bool phy_sleeps; /* no link before it is told to negotiate */
    bool has_msi;
    unsigned vector_count; /* of MSI-X; 0: none */

    /* Faults. */
    bool mute;
    bool reset_never_ends;
    bool transfers_never_end;
    bool eeprom_is_deaf;
    bool phy_is_deaf;
    bool queues_stay_off;      /* igb: they never say that they are enabled */
    bool transmit_stalls;      /* a stuck ring */
    bool completes_nothing;    /* it sends, and never says so */
    unsigned link_flaps_after; /* so many frames more, it goes down in mid-batch; 0: never */

    /* What the driver made of it. */
    struct pci_function pci;
    struct device_model model, vector_model;
    uint32_t registers[INTEL_MODEL_BAR_BYTES / 4];
    uint32_t announced;   /* causes that have raised their interrupt already */
    unsigned tail_writes; /* RDT and TDT */
    unsigned reads;
    unsigned interrupts;

    /* What it has sent. */
    unsigned context_start, context_field;      /* of the last context */
    uint32_t sent_length;                       /* of the frame that is being put together */
    bool sent_sums;                             /* it wants a checksum */
    uint64_t sent_payload;                      /* the length that it was announced with */
    uint8_t sent_bytes[INTEL_MODEL_SENT_BYTES]; /* of the last frame */
    unsigned sent_count;
    struct sent_frame sent[INTEL_MODEL_SENT_MAX];
    unsigned sent_by_queue[16];
};

void intel_model_attach(struct intel_model *model, unsigned slot);

/* A frame from the wire, into the queue that RSS says: false where there is no descriptor, or it is
 * too long. */
bool intel_model_receive(struct intel_model *model, const uint8_t *frame, uint32_t length_bytes);
/* Writes one receive descriptor, whatever it says. */
void intel_model_complete(struct intel_model *model, unsigned queue, uint64_t state);
/* Any descriptor of a receive ring, given or not, for a card that lies. */
struct e1000_receive_descriptor *intel_model_descriptor(const struct intel_model *model,
                                                        unsigned queue, unsigned index);
/* Sends what is there; happens by itself when TDT is written. */
void intel_model_transmit(struct intel_model *model, unsigned queue);
unsigned intel_model_offered(const struct intel_model *model, unsigned queue); /* to receive */
void intel_model_link(struct intel_model *model, bool up);
/* The queue that such a frame comes to. */
unsigned intel_model_queue_of(const struct intel_model *model, const uint8_t *frame,
                              uint32_t length_bytes);

/* For the kinds. */
static inline uint32_t *intel_model_at(struct intel_model *model, unsigned offset)
{
    return &model->registers[offset / 4];
}
static inline uint32_t intel_model_get(const struct intel_model *model, unsigned offset)
{
    return model->registers[offset / 4];
}
void intel_model_init(struct intel_model *model, const struct intel_model_kind *kind,
                      uint16_t device, unsigned vector_count);
void intel_model_raise(struct intel_model *model, unsigned vector);
/* INTx or MSI, by ICR and IMS. */
void intel_model_deliver_line(struct intel_model *model);
