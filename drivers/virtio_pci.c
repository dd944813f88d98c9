/* The PCI transport of virtio, modern interface only (virtio 1.2, 4.1). Transitional devices have
 * it too, beside the legacy one that we leave alone.
 *
 * Waiting here is counted in reads of device registers, not in time: each takes half a microsecond
 * or more wherever there is a real bus or a hypervisor, and a test with a clock that stands still
 * ends too. */
#include "drivers/virtio_pci.h"

enum {
    RESET_READS_MAX = 200000, /* 100 ms and more */
    STRUCTURE_MAX = 32,       /* capabilities we look at, so that a broken list ends */
    OWN_LINE_BYTES =
        CACHE_LINE_BYTES, /* more than the specification wants: no two writers on one */
};

/* Maps the structure that the capability at `at` describes, or NULL. */
static uint8_t *map_structure(const struct pci_device *device, unsigned at, uint32_t *length_bytes)
{
    unsigned bar = pci_read(device, at + VIRTIO_CAPABILITY_BAR, 1);
    uint64_t offset = pci_read(device, at + VIRTIO_CAPABILITY_OFFSET, 4);
    uint64_t length = pci_read(device, at + VIRTIO_CAPABILITY_LENGTH, 4);
    if (bar >= PCI_BAR_MAX || device->bars[bar].io || length == 0)
        return NULL;
    if (offset > device->bars[bar].size_bytes || length > device->bars[bar].size_bytes - offset)
        return NULL;
    uint8_t *registers = pci_map_bar(device, bar, (size_t)(offset + length));
    if (registers == NULL)
        return NULL;
    *length_bytes = (uint32_t)length;
    return registers + offset;
}

enum error virtio_pci_find(struct pci_device *device, struct virtio_pci *virtio, const char **why)
{
    *virtio = (struct virtio_pci){ .device = device };
    unsigned at = pci_capability(device, VIRTIO_CAPABILITY_ID, 0);
    for (unsigned i = 0; at != 0 && i < STRUCTURE_MAX; i++) {
        uint32_t length = 0;
        uint8_t *registers = map_structure(device, at, &length);
        unsigned type = pci_read(device, at + VIRTIO_CAPABILITY_TYPE, 1);
        /* 4.1.4: of several with the same type the first that works is the device's preference. */
        if (registers == NULL) {
            /* A BAR that nobody can use: maybe another capability says better. */
        } else if (type == VIRTIO_TYPE_COMMON && virtio->common == NULL &&
                   length >= VIRTIO_COMMON_BYTES) {
            virtio->common = registers;
        } else if (type == VIRTIO_TYPE_ISR && virtio->isr == NULL) {
            virtio->isr = registers;
        } else if (type == VIRTIO_TYPE_NOTIFY && virtio->notify == NULL) {
            virtio->notify = registers;
            virtio->notify_bytes = length;
            virtio->notify_multiplier =
                pci_read(device, at + VIRTIO_CAPABILITY_NOTIFY_MULTIPLIER, 4);
        } else if (type == VIRTIO_TYPE_DEVICE && virtio->config == NULL) {
            virtio->config = registers;
            virtio->config_bytes = length;
        }
        at = pci_capability(device, VIRTIO_CAPABILITY_ID, at);
    }
    if (virtio->common != NULL && virtio->isr != NULL && virtio->notify != NULL &&
        virtio->config != NULL)
        return OK;
    *why = "has no usable modern virtio interface";
    return fail(ERROR_UNSUPPORTED);
}

static uint8_t read_status(const struct virtio_pci *virtio)
{
    return mmio_read8(virtio->common + VIRTIO_COMMON_STATUS);
}

static void add_status(const struct virtio_pci *virtio, uint8_t bits)
{
    mmio_write8(virtio->common + VIRTIO_COMMON_STATUS, (uint8_t)(read_status(virtio) | bits));
}

enum error virtio_pci_reset(const struct virtio_pci *virtio)
{
    mmio_write8(virtio->common + VIRTIO_COMMON_STATUS, 0);
    for (unsigned i = 0; i < RESET_READS_MAX; i++) {
        uint8_t status = read_status(virtio);
        if (status == 0)
            return OK;
        if (status == VIRTIO_STATUS_MUTE)
            return fail(ERROR_DEVICE);
        core_relax();
    }
    return fail(ERROR_TIMEOUT);
}

uint64_t virtio_pci_features(const struct virtio_pci *virtio)
{
    uint64_t features = 0;
    for (unsigned half = 0; half < 2; half++) {
        mmio_write32(virtio->common + VIRTIO_COMMON_DEVICE_FEATURE_SELECT, half);
        uint64_t bits = mmio_read32(virtio->common + VIRTIO_COMMON_DEVICE_FEATURE);
        features |= bits << (32 * half);
    }
    return features;
}

enum error virtio_pci_negotiate(struct virtio_pci *virtio, uint64_t features)
{
    virtio->packed = (features & VIRTIO_F_RING_PACKED) != 0;
    enum error error = virtio_pci_reset(virtio);
    if (error != OK)
        return error;
    add_status(virtio, VIRTIO_STATUS_ACKNOWLEDGE);
    add_status(virtio, VIRTIO_STATUS_DRIVER);
    for (unsigned half = 0; half < 2; half++) {
        mmio_write32(virtio->common + VIRTIO_COMMON_DRIVER_FEATURE_SELECT, half);
        mmio_write32(virtio->common + VIRTIO_COMMON_DRIVER_FEATURE,
                     (uint32_t)(features >> (32 * half)));
    }
    add_status(virtio, VIRTIO_STATUS_FEATURES_OK);
    uint8_t status = read_status(virtio);
    if (status == VIRTIO_STATUS_MUTE || !(status & VIRTIO_STATUS_FEATURES_OK))
        return fail(ERROR_DEVICE);
    return OK;
}

void virtio_pci_start(const struct virtio_pci *virtio)
{
    add_status(virtio, VIRTIO_STATUS_DRIVER_OK);
}

bool virtio_pci_is_broken(const struct virtio_pci *virtio)
{
    return (read_status(virtio) & VIRTIO_STATUS_NEEDS_RESET) != 0; /* set in all ones, too */
}

uint8_t virtio_pci_interrupt_status(const struct virtio_pci *virtio)
{
    return mmio_read8(virtio->isr);
}

static void write_address(const struct virtio_pci *virtio, unsigned offset, const void *memory)
{
    uint64_t address = dma_address(memory);
    mmio_write32(virtio->common + offset, (uint32_t)address);
    mmio_write32(virtio->common + offset + 4, (uint32_t)(address >> 32));
}

/* Where the doorbell of the selected queue is, 4.1.4.4, or NULL. */
static uint16_t *find_doorbell(const struct virtio_pci *virtio)
{
    uint64_t offset = mmio_read16(virtio->common + VIRTIO_COMMON_QUEUE_NOTIFY_OFFSET);
    offset *= virtio->notify_multiplier;
    if (virtio->notify_bytes < sizeof(uint16_t) ||
        offset > virtio->notify_bytes - sizeof(uint16_t) || offset % sizeof(uint16_t) != 0)
        return NULL;
    return (void *)(virtio->notify + offset);
}

/* One block: descriptors, available, used. */
static enum error alloc_split(struct virtio_ring *ring)
{
    size_t descriptor_bytes = ring->entries * sizeof(struct virtio_descriptor);
    size_t available_bytes = sizeof(struct virtio_available) + ring->entries * sizeof(uint16_t);
    size_t used_at = descriptor_bytes + available_bytes;
    used_at = (used_at + OWN_LINE_BYTES - 1) / OWN_LINE_BYTES * OWN_LINE_BYTES;
    size_t used_bytes =
        sizeof(struct virtio_used) + ring->entries * sizeof(struct virtio_used_element);

    uint8_t *memory = dma_alloc(used_at + used_bytes, CACHE_LINE_BYTES, MEMORY_RING);
    if (memory == NULL)
        return fail(ERROR_NO_MEMORY);
    ring->memory = memory;
    ring->descriptors = (void *)memory;
    ring->available = (void *)(memory + descriptor_bytes);
    ring->used = (void *)(memory + used_at);
    return OK;
}

/* One block: descriptors and a line for each side's wishes. */
static enum error alloc_packed(struct virtio_ring *ring)
{
    size_t descriptor_bytes = ring->entries * sizeof(struct virtio_packed_descriptor);
    descriptor_bytes = (descriptor_bytes + OWN_LINE_BYTES - 1) / OWN_LINE_BYTES * OWN_LINE_BYTES;
    uint8_t *memory =
        dma_alloc(descriptor_bytes + 2 * (size_t)OWN_LINE_BYTES, CACHE_LINE_BYTES, MEMORY_RING);
    if (memory == NULL)
        return fail(ERROR_NO_MEMORY);
    ring->memory = memory;
    ring->packed = (void *)memory;
    ring->driver_event = (void *)(memory + descriptor_bytes);
    ring->device_event = (void *)(memory + descriptor_bytes + OWN_LINE_BYTES);
    return OK;
}

enum error virtio_ring_open(const struct virtio_pci *virtio, struct virtio_ring *ring,
                            uint16_t queue, uint16_t entries_max, uint16_t vector)
{
    *ring = (struct virtio_ring){ .queue = queue };
    mmio_write16(virtio->common + VIRTIO_COMMON_QUEUE_SELECT, queue);
    uint16_t entries = mmio_read16(virtio->common + VIRTIO_COMMON_QUEUE_SIZE);
    /* 2.7, 2.8.10: at most 32768, and a power of two if it is split. 0 says that there is none. */
    if (entries == 0 || (!virtio->packed && (entries & (entries - 1)) != 0))
        return fail(ERROR_DEVICE);
    ring->entries = entries_max;
    while (ring->entries > entries)
        ring->entries /= 2;
    ring->doorbell = find_doorbell(virtio);
    if (ring->doorbell == NULL)
        return fail(ERROR_DEVICE);
    enum error error = virtio->packed ? alloc_packed(ring) : alloc_split(ring);
    if (error != OK)
        return error;

    mmio_write16(virtio->common + VIRTIO_COMMON_QUEUE_SIZE, ring->entries);
    mmio_write16(virtio->common + VIRTIO_COMMON_QUEUE_VECTOR, vector);
    /* 4.1.5.1.2: a device that has no resources for the vector answers NO_VECTOR. */
    ring->vector = mmio_read16(virtio->common + VIRTIO_COMMON_QUEUE_VECTOR);
    write_address(virtio, VIRTIO_COMMON_QUEUE_DESCRIPTORS, ring->memory);
    write_address(virtio, VIRTIO_COMMON_QUEUE_DRIVER,
                  virtio->packed ? (void *)ring->driver_event : (void *)ring->available);
    write_address(virtio, VIRTIO_COMMON_QUEUE_DEVICE,
                  virtio->packed ? (const void *)ring->device_event : (void *)ring->used);
    mmio_write16(virtio->common + VIRTIO_COMMON_QUEUE_ENABLE, 1);
    return OK;
}

void virtio_ring_close(struct virtio_ring *ring)
{
    dma_free(ring->memory);
    *ring = (struct virtio_ring){ .memory = NULL };
}
