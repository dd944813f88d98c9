/* The PCI transport of virtio (virtio 1.2, 4.1), and the making of its rings, split (2.7) or packed
 * (2.8), for any kind of device. Control work only: what happens per packet is in the drivers. */
#pragma once

#include <stdatomic.h>

#include "drivers/pci.h"
#include "drivers/virtio_regs.h"

/* Where a device's structures are. Set by virtio_pci_find(), never changed but for what is said. */
struct virtio_pci {
    struct pci_device *device;
    uint8_t *common;
    uint8_t *isr;
    uint8_t *notify;
    uint32_t notify_bytes;
    uint32_t notify_multiplier;
    uint8_t *config;
    uint32_t config_bytes;
    bool packed; /* set by virtio_pci_negotiate(): the kind of its rings */
};

/* A ring in memory shared with the device, of one of two kinds.
 *
 * split:
 *   descriptors  [0][1][2] ... [entries - 1]     ours: address and length of each buffer
 *   available    flags index [.][.][.] ...       ours: which descriptors the device may use
 *   used         flags index [.][.][.] ...       the device's: which it is done with, and lengths
 *
 * packed:
 *   packed        [0][1][2] ... [entries - 1]    both write: given, used, given again in the next
 *                                                lap; two flags tell whose a descriptor is
 *   driver_event  whether we want interrupts     device_event  whether it wants doorbells */
struct virtio_ring {
    void *memory;
    struct virtio_descriptor *descriptors;
    struct virtio_available *available;
    struct virtio_used *used;
    struct virtio_packed_descriptor *packed;
    struct virtio_packed_event *driver_event;
    const struct virtio_packed_event *device_event;
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
enum error virtio_pci_negotiate(struct virtio_pci *virtio, uint64_t features) MUST_CHECK;

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

/* Shows the device the available ring of a split ring up to index and rings the doorbell, unless
 * the device says that it is looking anyway. True if the doorbell was touched. */
static inline bool virtio_split_publish(const struct virtio_ring *ring, uint16_t index)
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
static inline uint16_t virtio_split_ready(const struct virtio_ring *ring, uint16_t used_next)
{
    return (uint16_t)(atomic_load_explicit(&ring->used->index, memory_order_acquire) - used_next);
}

/* The same for a packed ring, whose descriptors have been given already. */
static inline bool virtio_packed_publish(const struct virtio_ring *ring)
{
    io_fence(); /* 2.8.21.3.1 */
    if (atomic_load_explicit(&ring->device_event->flags, memory_order_relaxed) ==
        VIRTIO_PACKED_EVENT_DISABLE)
        return false;
    mmio_write16(ring->doorbell, ring->queue);
    return true;
}

/* Places in a packed ring are numbers that only grow. In the first lap and every second one after
 * it the wrap counter is 1 (2.8.1): these are the two flags of a descriptor that is the device's.
 */
static inline uint64_t virtio_packed_given(const struct virtio_ring *ring, uint32_t place)
{
    return place & ring->entries ? VIRTIO_PACKED_USED : VIRTIO_PACKED_AVAILABLE;
}

/* And these those of one that the device has used. */
static inline uint64_t virtio_packed_used(const struct virtio_ring *ring, uint32_t place)
{
    return place & ring->entries ? 0 : VIRTIO_PACKED_OWNER;
}

static inline bool virtio_packed_is_used(const struct virtio_ring *ring, uint32_t place,
                                         uint64_t state)
{
    return (state & VIRTIO_PACKED_OWNER) == virtio_packed_used(ring, place);
}

static inline uint64_t virtio_packed_state(const struct virtio_ring *ring, uint32_t place)
{
    return atomic_load_explicit(&ring->packed[place & (ring->entries - 1u)].state,
                                memory_order_acquire);
}
