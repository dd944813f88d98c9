/* The configuration space of a modelled PCI function, for device models: identity, BARs, a list of
 * capabilities, MSI-X, the interrupt pin. BARs are where the model wants them. */
#pragma once

#include "drivers/pci.h"
#include "tests/host/host.h"

enum { PCI_FUNCTION_VECTOR_MAX = 16, PCI_FUNCTION_SPACE_BYTES = 256 };

struct pci_function {
    uint8_t space[PCI_FUNCTION_SPACE_BYTES];
    unsigned capability_end;                      /* where the next one goes */
    unsigned last_pointer;                        /* the byte that will point to it */
    unsigned msix_at;                             /* 0: none */
    unsigned msi_at;                              /* 0: none */
    unsigned irq;                                 /* the pin that INTx drives */
    bool interrupts_lost;                         /* fault: no message and no pin ever arrives */
    uint32_t vectors[PCI_FUNCTION_VECTOR_MAX][4]; /* the MSI-X table */
    struct device_model model;
    struct pci_device device; /* what a scan would find */
};

void pci_function_init(struct pci_function *function, unsigned slot, uint16_t vendor,
                       uint16_t device, unsigned irq);
void pci_function_bar(struct pci_function *function, unsigned bar, uint64_t address, uint64_t size);
/* Appends a capability of that many bytes, its two first ones included; answers its offset. */
unsigned pci_function_capability(struct pci_function *function, uint8_t id, const void *bytes,
                                 unsigned size);
/* The table lies at the start of that BAR; the model hands accesses to it down here. */
void pci_function_msix(struct pci_function *function, unsigned bar, unsigned vector_count);
uint64_t pci_function_msix_read(const struct pci_function *function, uint64_t offset);
void pci_function_msix_write(struct pci_function *function, uint64_t offset, uint64_t value);

/* One message, at an address of 64 bits. */
void pci_function_msi(struct pci_function *function);

bool pci_function_masters(const struct pci_function *function); /* may do DMA */
/* Raises MSI-X entry `vector`, or MSI or INTx where MSI-X is off. */
void pci_function_interrupt(struct pci_function *function, unsigned vector);
bool pci_function_uses_msix(const struct pci_function *function);
