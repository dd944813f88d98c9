/* See virtio_net_model.h. Sections are those of virtio 1.2. */
#include "tests/host/virtio_net_model.h"

#include <stdatomic.h>
#include <string.h>

#include "kernel/base/bytes.h"

enum {
    REGISTERS_BAR = 4,
    VECTORS_BAR = 1,
    BASE = 0xc0000000,
    STRIDE = 0x100000, /* between slots */
    VECTORS_AT = 0x80000,
    STRUCTURE_BYTES = 0x1000,
    COMMON_AT = 0x0000,
    ISR_AT = 0x1000,
    CONFIG_AT = 0x2000,
    NOTIFY_AT = 0x3000,
    NOTIFY_MULTIPLIER = 4,
    BAR_BYTES = 0x4000,
    ISR_QUEUE = 1,
    CHAIN_MAX = 64,
};

void virtio_net_model_init(struct virtio_net_model *model)
{
    *model = (struct virtio_net_model){
        .features = VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MAC | VIRTIO_NET_F_MRG_RXBUF |
                    VIRTIO_NET_F_STATUS | VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_CTRL_RX |
                    VIRTIO_NET_F_CTRL_MAC_ADDR,
        .pairs = 1,
        .queue_size = 256,
        .vector_count = 4,
        .mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 },
        .mtu = 1500,
        .link = true,
    };
}

/* ---- Registers, 4.1.4 ----------------------------------------------------------------------- */

static void reset(struct virtio_net_model *model)
{
    model->status = 0;
    model->accepted = 0;
    model->interrupt_status = 0;
    model->pairs_enabled = 1;
    model->promiscuous = true;
    model->all_multicast = false;
    memset(model->queues, 0, sizeof(model->queues));
    for (unsigned i = 0; i < VIRTIO_MODEL_QUEUE_MAX; i++) {
        model->queues[i].size = model->queue_size;
        model->queues[i].vector = VIRTIO_NO_VECTOR;
    }
}

static unsigned control_queue(const struct virtio_net_model *model)
{
    return model->accepted & VIRTIO_NET_F_MQ ? 2u * model->pairs : 2;
}

static bool queue_exists(const struct virtio_net_model *model, unsigned queue)
{
    if (queue == control_queue(model))
        return model->accepted & VIRTIO_NET_F_CTRL_VQ;
    return queue < 2u * (model->accepted & VIRTIO_NET_F_MQ ? model->pairs : 1);
}

static uint64_t read_common(const struct virtio_net_model *model, uint64_t offset)
{
    unsigned select = MIN_OF(model->queue_select, VIRTIO_MODEL_QUEUE_MAX - 1);
    const struct virtio_model_queue *queue = &model->queues[select];
    bool exists = queue_exists(model, model->queue_select);
    switch (offset) {
    case VIRTIO_COMMON_DEVICE_FEATURE:
        return model->device_feature_select < 2
                   ? (uint32_t)(model->features >> (32 * model->device_feature_select))
                   : 0;
    case VIRTIO_COMMON_STATUS:
        return model->status;
    case VIRTIO_COMMON_QUEUE_COUNT:
        return 2u * model->pairs + 1;
    case VIRTIO_COMMON_QUEUE_SIZE:
        return exists ? queue->size : 0;
    case VIRTIO_COMMON_QUEUE_VECTOR:
        return queue->vector;
    case VIRTIO_COMMON_QUEUE_ENABLE:
        return queue->enabled;
    case VIRTIO_COMMON_QUEUE_NOTIFY_OFFSET:
        return model->queue_select;
    default:
        return 0;
    }
}

static uint64_t read_config(const struct virtio_net_model *model, uint64_t offset, unsigned size)
{
    uint8_t config[VIRTIO_NET_CONFIG_END] = { 0 };
    memcpy(config, model->mac, sizeof(model->mac));
    config[VIRTIO_NET_CONFIG_STATUS] = model->link;
    config[VIRTIO_NET_CONFIG_PAIR_COUNT] = (uint8_t)model->pairs;
    config[VIRTIO_NET_CONFIG_MTU] = (uint8_t)model->mtu;
    config[VIRTIO_NET_CONFIG_MTU + 1] = (uint8_t)(model->mtu >> 8);
    CHECK(offset + size <= sizeof(config));
    uint64_t value = 0;
    memcpy(&value, config + offset, size);
    return value;
}

static uint64_t read_registers(void *context, uint64_t offset, unsigned size)
{
    struct virtio_net_model *model = context;
    if (model->mute)
        return UINT64_MAX;
    if (offset < ISR_AT)
        return read_common(model, offset - COMMON_AT);
    if (offset < CONFIG_AT) { /* 4.1.4.5: cleared by reading */
        uint8_t status = model->interrupt_status;
        model->interrupt_status = 0;
        return status;
    }
    if (offset < NOTIFY_AT)
        return read_config(model, offset - CONFIG_AT, size);
    return 0;
}

static void write_half(uint64_t *address, unsigned half, uint64_t value)
{
    unsigned shift = 32 * half;
    *address = (*address & ~(0xffffffffull << shift)) | value << shift;
}

static void write_status(struct virtio_net_model *model, uint8_t status)
{
    if (status == 0) {
        if (!model->reset_never_ends)
            reset(model);
        return;
    }
    CHECK((status & model->status) == model->status); /* 2.1.1: bits are only added */
    if (status & VIRTIO_STATUS_FEATURES_OK && !(model->status & VIRTIO_STATUS_FEATURES_OK)) {
        CHECK((model->accepted & ~model->features) == 0);
        if (model->refuses_features)
            status &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
    }
    model->status = status;
}

static void write_common(struct virtio_net_model *model, uint64_t offset, uint64_t value)
{
    CHECK(model->queue_select < VIRTIO_MODEL_QUEUE_MAX);
    struct virtio_model_queue *queue = &model->queues[model->queue_select];
    switch (offset) {
    case VIRTIO_COMMON_DEVICE_FEATURE_SELECT:
        model->device_feature_select = (uint32_t)value;
        break;
    case VIRTIO_COMMON_DRIVER_FEATURE_SELECT:
        model->driver_feature_select = (uint32_t)value;
        break;
    case VIRTIO_COMMON_DRIVER_FEATURE:
        CHECK(!(model->status & VIRTIO_STATUS_FEATURES_OK));
        if (model->driver_feature_select < 2)
            write_half(&model->accepted, model->driver_feature_select, value);
        break;
    case VIRTIO_COMMON_STATUS:
        write_status(model, (uint8_t)value);
        break;
    case VIRTIO_COMMON_QUEUE_SELECT:
        model->queue_select = (uint16_t)value;
        break;
    case VIRTIO_COMMON_QUEUE_SIZE:
        CHECK(value > 0 && (value & (value - 1)) == 0 && value <= model->queue_size);
        queue->size = (uint16_t)value;
        break;
    case VIRTIO_COMMON_QUEUE_VECTOR:
        queue->vector = model->refuses_vectors || value >= model->vector_count ? VIRTIO_NO_VECTOR
                                                                               : (uint16_t)value;
        break;
    case VIRTIO_COMMON_QUEUE_ENABLE:
        CHECK(value == 1 && queue->descriptors && queue->available && queue->used);
        CHECK(queue->descriptors % 16 == 0 && queue->available % 2 == 0 && queue->used % 4 == 0);
        CHECK(!(model->status & VIRTIO_STATUS_DRIVER_OK));
        queue->enabled = 1;
        break;
    case VIRTIO_COMMON_QUEUE_DESCRIPTORS:
    case VIRTIO_COMMON_QUEUE_DESCRIPTORS + 4:
        write_half(&queue->descriptors, offset & 4 ? 1 : 0, value);
        break;
    case VIRTIO_COMMON_QUEUE_AVAILABLE:
    case VIRTIO_COMMON_QUEUE_AVAILABLE + 4:
        write_half(&queue->available, offset & 4 ? 1 : 0, value);
        break;
    case VIRTIO_COMMON_QUEUE_USED:
    case VIRTIO_COMMON_QUEUE_USED + 4:
        write_half(&queue->used, offset & 4 ? 1 : 0, value);
        break;
    default:
        CHECK(!"a write to a register that is not there or read-only");
    }
}

/* ---- Rings, 2.7 ----------------------------------------------------------------------------- */

static void *memory_at(uint64_t address)
{
    return (void *)(uintptr_t)address; /* what dma_address() answers in a process */
}

static struct virtio_model_queue *live_queue(struct virtio_net_model *model, unsigned queue)
{
    CHECK(queue < VIRTIO_MODEL_QUEUE_MAX && model->queues[queue].enabled);
    CHECK(pci_function_masters(&model->pci));
    return &model->queues[queue];
}

unsigned virtio_net_model_offered(const struct virtio_net_model *model, unsigned queue)
{
    const struct virtio_model_queue *ring = &model->queues[queue];
    if (!ring->enabled)
        return 0;
    const struct virtio_available *available = memory_at(ring->available);
    uint16_t count = (uint16_t)(atomic_load(&available->index) - ring->available_seen);
    CHECK(count <= ring->size);
    return count;
}

static const struct virtio_descriptor *descriptor_at(const struct virtio_model_queue *ring,
                                                     uint16_t id)
{
    CHECK(id < ring->size);
    const struct virtio_descriptor *table = memory_at(ring->descriptors);
    CHECK(table[id].length_bytes > 0); /* QEMU stops a device for that */
    return &table[id];
}

uint16_t virtio_net_model_take(struct virtio_net_model *model, unsigned queue, uint8_t **memory)
{
    struct virtio_model_queue *ring = live_queue(model, queue);
    CHECK(virtio_net_model_offered(model, queue) > 0);
    const struct virtio_available *available = memory_at(ring->available);
    uint16_t id = available->ring[ring->available_seen++ % ring->size];
    *memory = memory_at(descriptor_at(ring, id)->address);
    return id;
}

static void write_used(struct virtio_model_queue *ring, unsigned ahead, uint32_t id,
                       uint32_t length_bytes)
{
    struct virtio_used *used = memory_at(ring->used);
    uint16_t index = (uint16_t)(atomic_load(&used->index) + ahead);
    used->ring[index % ring->size].id = id;
    used->ring[index % ring->size].length_bytes = length_bytes;
}

static void interrupt(struct virtio_net_model *model, const struct virtio_model_queue *ring)
{
    const struct virtio_available *available = memory_at(ring->available);
    if (atomic_load(&available->flags) & VIRTIO_AVAILABLE_NO_INTERRUPT)
        return;
    model->interrupts++;
    if (!pci_function_uses_msix(&model->pci))
        model->interrupt_status |= ISR_QUEUE;
    pci_function_interrupt(&model->pci, ring->vector);
}

void virtio_net_model_move_used(struct virtio_net_model *model, unsigned queue, uint16_t by)
{
    struct virtio_model_queue *ring = live_queue(model, queue);
    struct virtio_used *used = memory_at(ring->used);
    atomic_store(&used->index, (uint16_t)(atomic_load(&used->index) + by));
    interrupt(model, ring);
}

void virtio_net_model_use(struct virtio_net_model *model, unsigned queue, uint32_t id,
                          uint32_t length_bytes)
{
    write_used(live_queue(model, queue), 0, id, length_bytes);
    virtio_net_model_move_used(model, queue, 1);
}

/* ---- Frames, 5.1.6 -------------------------------------------------------------------------- */

bool virtio_net_model_receive(struct virtio_net_model *model, unsigned pair, const uint8_t *frame,
                              uint32_t length_bytes)
{
    static uint8_t image[VIRTIO_NET_HEADER_BYTES + VIRTIO_MODEL_FRAME_MAX];
    struct virtio_model_queue *ring = live_queue(model, 2 * pair);
    CHECK(model->status & VIRTIO_STATUS_DRIVER_OK && length_bytes <= VIRTIO_MODEL_FRAME_MAX);
    CHECK(pair < model->pairs_enabled);
    memset(image, 0, VIRTIO_NET_HEADER_BYTES);
    memcpy(image + VIRTIO_NET_HEADER_BYTES, frame, length_bytes);

    uint32_t total = VIRTIO_NET_HEADER_BYTES + length_bytes;
    uint16_t seen = ring->available_seen;
    unsigned count = 0;
    uint8_t *first = NULL;
    for (uint32_t done = 0; done < total; count++) {
        if (virtio_net_model_offered(model, 2 * pair) == 0 ||
            (count > 0 && !(model->accepted & VIRTIO_NET_F_MRG_RXBUF))) {
            ring->available_seen = seen;
            return false;
        }
        uint8_t *memory;
        uint16_t id = virtio_net_model_take(model, 2 * pair, &memory);
        const struct virtio_descriptor *descriptor = descriptor_at(ring, id);
        CHECK(descriptor->flags == VIRTIO_DESCRIPTOR_WRITE);
        uint32_t here = MIN_OF(total - done, descriptor->length_bytes);
        memcpy(memory, image + done, here);
        if (first == NULL)
            first = memory;
        write_used(ring, count, id, here);
        done += here;
    }
    first[VIRTIO_NET_HEADER_BUFFER_COUNT] = (uint8_t)count;
    first[VIRTIO_NET_HEADER_BUFFER_COUNT + 1] = (uint8_t)(count >> 8);
    virtio_net_model_move_used(model, 2 * pair, (uint16_t)count);
    return true;
}

/* One frame, header and all, into `sent`. */
static void send(struct virtio_net_model *model, const struct virtio_model_queue *ring, uint16_t id)
{
    static const uint8_t zero[VIRTIO_NET_HEADER_BYTES];
    CHECK(model->sent_count < VIRTIO_MODEL_SENT_MAX);
    struct sent_frame *frame = &model->sent[model->sent_count++];
    *frame = (struct sent_frame){ .length_bytes = 0 };
    uint32_t at = 0; /* in header and frame */
    for (;;) {
        const struct virtio_descriptor *descriptor = descriptor_at(ring, id);
        const uint8_t *memory = memory_at(descriptor->address);
        uint32_t length = descriptor->length_bytes;
        CHECK(!(descriptor->flags & ~VIRTIO_DESCRIPTOR_NEXT));
        CHECK(++frame->descriptor_count <= CHAIN_MAX);
        if (at == 0) {
            CHECK(length >= sizeof(zero) && memcmp(memory, zero, sizeof(zero)) == 0);
            memory += sizeof(zero);
            length -= (uint32_t)sizeof(zero);
            at = sizeof(zero);
        }
        sent_frame_append(frame, memory, length);
        if (!(descriptor->flags & VIRTIO_DESCRIPTOR_NEXT))
            return;
        id = descriptor->next;
    }
}

void virtio_net_model_transmit(struct virtio_net_model *model, unsigned pair)
{
    unsigned queue = 2 * pair + 1;
    struct virtio_model_queue *ring = live_queue(model, queue);
    CHECK(model->status & VIRTIO_STATUS_DRIVER_OK);
    uint16_t ids[1 << 15];
    unsigned count = virtio_net_model_offered(model, queue);
    for (unsigned i = 0; i < count; i++) {
        uint8_t *memory;
        ids[i] = virtio_net_model_take(model, queue, &memory);
        send(model, ring, ids[i]);
    }
    for (unsigned i = 0; i < count; i++)
        virtio_net_model_use(model, queue, ids[model->transmit_backwards ? count - 1 - i : i], 0);
}

/* ---- The control queue, 5.1.6.5 ------------------------------------------------------------- */

static bool obey(struct virtio_net_model *model, const uint8_t *command, uint32_t length_bytes)
{
    CHECK(length_bytes >= 2);
    const uint8_t *data = command + 2;
    switch (command[0] << 8 | command[1]) {
    case VIRTIO_NET_CONTROL_RX << 8 | VIRTIO_NET_CONTROL_RX_PROMISCUOUS:
        model->promiscuous = data[0];
        return length_bytes == 3 && model->accepted & VIRTIO_NET_F_CTRL_RX;
    case VIRTIO_NET_CONTROL_RX << 8 | VIRTIO_NET_CONTROL_RX_ALL_MULTICAST:
        model->all_multicast = data[0];
        return length_bytes == 3 && model->accepted & VIRTIO_NET_F_CTRL_RX;
    case VIRTIO_NET_CONTROL_MAC << 8 | VIRTIO_NET_CONTROL_MAC_ADDRESS_SET:
        if (length_bytes != 8 || !(model->accepted & VIRTIO_NET_F_CTRL_MAC_ADDR))
            return false;
        memcpy(model->mac, data, sizeof(model->mac));
        return true;
    case VIRTIO_NET_CONTROL_MQ << 8 | VIRTIO_NET_CONTROL_MQ_PAIRS_SET:
        if (length_bytes != 4 || !(model->accepted & VIRTIO_NET_F_MQ))
            return false;
        model->pairs_enabled = load_le16(data);
        return model->pairs_enabled >= 1 && model->pairs_enabled <= model->pairs;
    default:
        return false;
    }
}

static void run_commands(struct virtio_net_model *model, unsigned queue)
{
    struct virtio_model_queue *ring = live_queue(model, queue);
    while (!model->control_is_deaf && virtio_net_model_offered(model, queue) > 0) {
        uint8_t *command;
        uint16_t id = virtio_net_model_take(model, queue, &command);
        const struct virtio_descriptor *descriptor = descriptor_at(ring, id);
        CHECK(descriptor->flags == VIRTIO_DESCRIPTOR_NEXT);
        bool done = obey(model, command, descriptor->length_bytes) && !model->control_refuses;
        const struct virtio_descriptor *answer = descriptor_at(ring, descriptor->next);
        CHECK(answer->flags == VIRTIO_DESCRIPTOR_WRITE && answer->length_bytes == 1);
        *(uint8_t *)memory_at(answer->address) = done ? VIRTIO_NET_CONTROL_OK : 1;
        virtio_net_model_use(model, queue, id, 1);
    }
}

/* ---- Accesses ------------------------------------------------------------------------------- */

static void doorbell(struct virtio_net_model *model, unsigned queue)
{
    struct virtio_model_queue *ring = live_queue(model, queue);
    CHECK(model->status & VIRTIO_STATUS_DRIVER_OK);
    ring->notified++;
    if (queue == control_queue(model))
        run_commands(model, queue);
    else if (queue % 2 == 1 && !model->transmit_stalls)
        virtio_net_model_transmit(model, queue / 2);
}

static void write_registers(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio_net_model *model = context;
    if (model->mute)
        return;
    if (offset < ISR_AT) {
        write_common(model, offset - COMMON_AT, value);
    } else {
        CHECK(offset >= NOTIFY_AT && size == sizeof(uint16_t));
        CHECK((offset - NOTIFY_AT) / NOTIFY_MULTIPLIER == value);
        doorbell(model, (unsigned)value);
    }
}

static uint64_t read_vectors(void *context, uint64_t offset, unsigned size)
{
    const struct virtio_net_model *model = context;
    (void)size;
    return model->mute ? UINT64_MAX : pci_function_msix_read(&model->pci, offset);
}

static void write_vectors(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio_net_model *model = context;
    (void)size;
    pci_function_msix_write(&model->pci, offset, value);
}

static void add_structure(struct virtio_net_model *model, uint8_t type, uint32_t offset,
                          uint32_t length)
{
    uint8_t bytes[20] = { 0 };
    unsigned size = type == VIRTIO_TYPE_NOTIFY ? 20 : 16;
    bytes[2] = (uint8_t)size;
    bytes[VIRTIO_CAPABILITY_TYPE] = type;
    bytes[VIRTIO_CAPABILITY_BAR] = REGISTERS_BAR;
    store_le32(bytes + VIRTIO_CAPABILITY_OFFSET, offset);
    store_le32(bytes + VIRTIO_CAPABILITY_LENGTH, length);
    if (type == VIRTIO_TYPE_NOTIFY)
        store_le32(bytes + VIRTIO_CAPABILITY_NOTIFY_MULTIPLIER, NOTIFY_MULTIPLIER);
    (void)pci_function_capability(&model->pci, VIRTIO_CAPABILITY_ID, bytes, size);
}

void virtio_net_model_attach(struct virtio_net_model *model, unsigned slot)
{
    uint64_t base = BASE + (uint64_t)slot * STRIDE;
    CHECK(model->pairs <= VIRTIO_MODEL_PAIR_MAX);
    reset(model);
    pci_function_init(&model->pci, slot, VIRTIO_VENDOR, VIRTIO_DEVICE_NET_TRANSITIONAL, 10 + slot);
    pci_function_bar(&model->pci, REGISTERS_BAR, base, BAR_BYTES);
    pci_function_bar(&model->pci, VECTORS_BAR, base + VECTORS_AT, STRUCTURE_BYTES);
    if (model->vector_count > 0)
        pci_function_msix(&model->pci, VECTORS_BAR, model->vector_count);
    add_structure(model, VIRTIO_TYPE_COMMON, COMMON_AT, STRUCTURE_BYTES);
    add_structure(model, VIRTIO_TYPE_ISR, ISR_AT, STRUCTURE_BYTES);
    add_structure(model, VIRTIO_TYPE_DEVICE, CONFIG_AT, STRUCTURE_BYTES);
    add_structure(model, VIRTIO_TYPE_NOTIFY, NOTIFY_AT, STRUCTURE_BYTES);
    model->registers = (struct device_model){ model, read_registers, write_registers };
    model->vectors = (struct device_model){ model, read_vectors, write_vectors };
    host_attach_mmio(base, BAR_BYTES, &model->registers);
    host_attach_mmio(base + VECTORS_AT, STRUCTURE_BYTES, &model->vectors);
}
