/* An Intel 82540EM in C (8254x SDM, 317453), for tests of its driver: registers, EEPROM, legacy
 * descriptors, INTx. It panics on what a driver must not do, and can be told to misbehave.
 *
 * Set the first group between _init() and _attach(), call the rest at any time. */
#pragma once

#include "drivers/e1000_regs.h"
#include "tests/host/frame_sum.h"
#include "tests/host/pci_function.h"

enum { E1000_MODEL_FRAME_MAX = 16384, E1000_MODEL_SENT_MAX = 1024 };

struct e1000_model {
    /* What it is. */
    uint8_t mac[6];      /* in the EEPROM */
    bool address_loaded; /* from there into RAL0 by a reset */
    bool link;

    /* Faults. */
    bool mute;
    bool reset_never_ends;
    bool eeprom_is_deaf;
    bool transmit_stalls;

    /* What the driver made of it. */
    struct pci_function pci;
    struct device_model model;
    uint32_t registers[E1000_BAR_BYTES / 4];
    unsigned tail_writes; /* RDT and TDT */
    unsigned reads;
    unsigned interrupts;

    /* What it has sent. */
    unsigned sent_count;
    uint32_t sent_length; /* of the frame that is being put together */
    struct sent_frame sent[E1000_MODEL_SENT_MAX];
};

void e1000_model_init(struct e1000_model *model);
void e1000_model_attach(struct e1000_model *model, unsigned slot);

/* A frame from the wire: false where there are not enough descriptors, or it is too long. */
bool e1000_model_receive(struct e1000_model *model, const uint8_t *frame, uint32_t length_bytes);
/* Writes one receive descriptor, whatever it says. */
void e1000_model_complete(struct e1000_model *model, uint64_t state);
/* Sends what is there; happens by itself when TDT is written. */
void e1000_model_transmit(struct e1000_model *model);
unsigned e1000_model_offered(const struct e1000_model *model); /* receive descriptors */
void e1000_model_link(struct e1000_model *model, bool up);
