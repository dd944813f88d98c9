/* The PCI transport of virtio (virtio 1.2, 4.1) and its split rings (2.7), for any kind of device.
 * Control work only: what happens per packet is in the drivers. */
#pragma once

#include <stdatomic.h>

#include "drivers/pci.h"
#include "drivers/virtio_regs.h"

/* Where a device's structures are. Set by virtio_pci_find(), never changed. */
struct virtio_pci {
    struct pci_device *device;
    uint8_t *common;
    uint8_t *isr;
    uint8_t *notify;
    uint32_t notify_bytes;
    uint32_t notify_multiplier;
    uint8_t *config;
    uint32_t config_bytes;
};

/* A ring in memory shared with the device:
 *
 *   descriptors  [0][1][2] ... [entries - 1]     ours: address and length of each buffer
 *   available    flags index [.][.][.] ...       ours: which descriptors the device may use
 *   used         flags index [.][.][.] ...       the device's: which it is done with, how many
 * bytes */
struct virtio_ring {
    struct virtio_descriptor *descriptors;
    struct virtio_available *available;
    struct virtio_used *used;
    uint16_t *doorbell;
    uint16_t queue;   /* its number, which is what the doorbell is told */
    uint16_t entries; /* a power of two */
    uint16_t vector;  /* as the device took it: VIRTIO_NO_VECTOR where it would not */
};

/* Finds and maps the structures; else *why says what is missing. */
enum error virtio_pci_find(struct pci_device *device, struct virtio_pci *virtio,
                           const char **why) MUST_CHECK;

/* Back to the state after power-on. TIMEOUT where the device does not get there, DEVICE where it is
 * mute. */
enum error virtio_pci_reset(const struct virtio_pci *virtio) MUST_CHECK;

uint64_t virtio_pci_features(const struct virtio_pci *virtio);

/* 3.1.1, steps 1 to 6: from reset to agreed features. */
enum error virtio_pci_negotiate(const struct virtio_pci *virtio, uint64_t features) MUST_CHECK;

/* Step 8: the device is live. */
void virtio_pci_start(const struct virtio_pci *virtio);

/* The device wants a reset, or is mute. */
bool virtio_pci_is_broken(const struct virtio_pci *virtio);

/* Reading it quiets INTx. */
uint8_t virtio_pci_interrupt_status(const struct virtio_pci *virtio);

/* Makes ring of queue number `queue`, with what the device can do, but at most entries_max (a power
 * of two), and gives it to the device. vector: entry of the MSI-X table or VIRTIO_NO_VECTOR. */
enum error virtio_ring_open(const struct virtio_pci *virtio, struct virtio_ring *ring,
                            uint16_t queue, uint16_t entries_max, uint16_t vector) MUST_CHECK;

/* After virtio_pci_reset(), or when DMA is off. Harmless to a ring that was never opened. */
void virtio_ring_close(struct virtio_ring *ring);

/* Shows the device the available ring up to index and rings the doorbell, unless the device says
 * that it is looking anyway. True if the doorbell was touched. */
static inline bool virtio_ring_publish(const struct virtio_ring *ring, uint16_t index)
{
    atomic_store_explicit(&ring->available->index, index, memory_order_release);
    /* 2.7.13.4: the index must be visible before we look whether the device wants to be told. */
    io_fence();
    if (atomic_load_explicit(&ring->used->flags, memory_order_relaxed) & VIRTIO_USED_NO_NOTIFY)
        return false;
    mmio_write16(ring->doorbell, ring->queue);
    return true;
}

/* How many used entries there are from used_next on. More than ring->entries is nonsense. */
static inline uint16_t virtio_ring_ready(const struct virtio_ring *ring, uint16_t used_next)
{
    return (uint16_t)(atomic_load_explicit(&ring->used->index, memory_order_acquire) - used_next);
}
