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
        .rss_table_max = VIRTIO_MODEL_RSS_TABLE_MAX,
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
    model->rss_entries = 0;
    memset(model->queues, 0, sizeof(model->queues));
    for (unsigned i = 0; i < VIRTIO_MODEL_QUEUE_MAX; i++) {
        model->queues[i].size = model->queue_size;
        model->queues[i].vector = VIRTIO_NO_VECTOR;
    }
}

static bool is_packed(const struct virtio_net_model *model)
{
    return model->accepted & VIRTIO_F_RING_PACKED;
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
    config[VIRTIO_NET_CONFIG_RSS_KEY_MAX] = VIRTIO_MODEL_RSS_KEY_MAX;
    store_le16(config + VIRTIO_NET_CONFIG_RSS_TABLE_MAX, model->rss_table_max);
    store_le32(config + VIRTIO_NET_CONFIG_RSS_HASH_TYPES, 0x1ff);
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
        CHECK(value > 0 && value <= model->queue_size);
        CHECK(is_packed(model) || (value & (value - 1)) == 0);
        queue->size = (uint16_t)value;
        break;
    case VIRTIO_COMMON_QUEUE_VECTOR:
        queue->vector = model->refuses_vectors || value >= model->vector_count ? VIRTIO_NO_VECTOR
                                                                               : (uint16_t)value;
        break;
    case VIRTIO_COMMON_QUEUE_ENABLE:
        CHECK(value == 1 && queue->descriptors && queue->driver && queue->device);
        CHECK(queue->descriptors % 16 == 0 && queue->device % 4 == 0);
        CHECK(queue->driver % (is_packed(model) ? 4 : 2) == 0);
        CHECK(!(model->status & VIRTIO_STATUS_DRIVER_OK));
        queue->enabled = 1;
        break;
    case VIRTIO_COMMON_QUEUE_DESCRIPTORS:
    case VIRTIO_COMMON_QUEUE_DESCRIPTORS + 4:
        write_half(&queue->descriptors, offset & 4 ? 1 : 0, value);
        break;
    case VIRTIO_COMMON_QUEUE_DRIVER:
    case VIRTIO_COMMON_QUEUE_DRIVER + 4:
        write_half(&queue->driver, offset & 4 ? 1 : 0, value);
        break;
    case VIRTIO_COMMON_QUEUE_DEVICE:
    case VIRTIO_COMMON_QUEUE_DEVICE + 4:
        write_half(&queue->device, offset & 4 ? 1 : 0, value);
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

/* ---- Packed rings, 2.8: places are numbers that grow, as in the driver */

static struct virtio_packed_descriptor *packed_at(const struct virtio_model_queue *ring,
                                                  uint32_t place)
{
    struct virtio_packed_descriptor *table = memory_at(ring->descriptors);
    return &table[place % ring->size];
}

/* The wrap counter of the lap that the place is in. */
static bool wrap_of(const struct virtio_model_queue *ring, uint32_t place)
{
    return place / ring->size % 2 == 0;
}

static bool is_given(const struct virtio_model_queue *ring, uint32_t place)
{
    uint64_t state = atomic_load(&packed_at(ring, place)->state);
    bool available = state & VIRTIO_PACKED_AVAILABLE;
    bool used = state & VIRTIO_PACKED_USED;
    return available == wrap_of(ring, place) && used != wrap_of(ring, place);
}

/* Length and number alone; the flags still say that the place is the device's. */
static void write_packed(const struct virtio_model_queue *ring, uint32_t place, uint32_t id,
                         uint32_t length_bytes)
{
    struct virtio_packed_descriptor *descriptor = packed_at(ring, place);
    uint64_t flags = atomic_load(&descriptor->state) & ~(VIRTIO_PACKED_ID_OF(0xffff) | 0xffffffff);
    atomic_store(&descriptor->state, flags | VIRTIO_PACKED_ID_OF(id & 0xffff) | length_bytes);
}

static void mark_packed(const struct virtio_model_queue *ring, uint32_t place)
{
    const uint64_t both = VIRTIO_PACKED_OWNER;
    struct virtio_packed_descriptor *descriptor = packed_at(ring, place);
    uint64_t state = atomic_load(&descriptor->state);
    atomic_store(&descriptor->state, wrap_of(ring, place) ? state | both : state & ~both);
}

/* ---- Either kind ------------------------------------------------------------------------------
 */

unsigned virtio_net_model_offered(const struct virtio_net_model *model, unsigned queue)
{
    const struct virtio_model_queue *ring = &model->queues[queue];
    unsigned count = 0;
    if (!ring->enabled)
        return 0;
    if (is_packed(model)) {
        while (count < ring->size && is_given(ring, ring->taken + count))
            count++;
        return count;
    }
    const struct virtio_available *available = memory_at(ring->driver);
    count = (uint16_t)(atomic_load(&available->index) - ring->taken);
    CHECK(count <= ring->size);
    return count;
}

/* A buffer that the driver has given: one descriptor or several. */
struct chain {
    uint16_t id;
    unsigned count;
    struct {
        uint8_t *memory;
        uint32_t length_bytes;
        bool write;
    } parts[CHAIN_MAX];
};

static void add_part(struct chain *chain, uint64_t address, uint32_t length_bytes, uint64_t flags)
{
    CHECK(!(flags & ~(uint64_t)(VIRTIO_DESCRIPTOR_NEXT | VIRTIO_DESCRIPTOR_WRITE)));
    CHECK(length_bytes > 0); /* QEMU stops a device for that */
    CHECK(chain->count < CHAIN_MAX);
    chain->parts[chain->count].memory = memory_at(address);
    chain->parts[chain->count].length_bytes = length_bytes;
    chain->parts[chain->count].write = flags & VIRTIO_DESCRIPTOR_WRITE;
    chain->count++;
}

static void take_split(struct virtio_model_queue *ring, struct chain *chain)
{
    const struct virtio_available *available = memory_at(ring->driver);
    const struct virtio_descriptor *table = memory_at(ring->descriptors);
    uint16_t id = available->ring[ring->taken++ % ring->size];
    chain->id = id;
    for (;;) {
        CHECK(id < ring->size);
        add_part(chain, table[id].address, table[id].length_bytes, table[id].flags);
        if (!(table[id].flags & VIRTIO_DESCRIPTOR_NEXT))
            return;
        id = table[id].next;
    }
}

static void take_packed(struct virtio_model_queue *ring, struct chain *chain)
{
    uint64_t state = VIRTIO_PACKED_NEXT;
    while (state & VIRTIO_PACKED_NEXT) {
        CHECK(is_given(ring, ring->taken));
        const struct virtio_packed_descriptor *descriptor = packed_at(ring, ring->taken++);
        state = atomic_load(&descriptor->state);
        uint64_t flags = state & ~(VIRTIO_PACKED_AVAILABLE | VIRTIO_PACKED_USED);
        add_part(chain, descriptor->address, VIRTIO_PACKED_LENGTH(state), flags >> 48);
    }
    chain->id = (uint16_t)VIRTIO_PACKED_ID(state); /* 2.8.6: of the last one */
    CHECK(chain->id < sizeof(ring->descriptor_counts));
    ring->descriptor_counts[chain->id] = (uint8_t)chain->count;
}

static void take(struct virtio_net_model *model, unsigned queue, struct chain *chain)
{
    struct virtio_model_queue *ring = live_queue(model, queue);
    CHECK(virtio_net_model_offered(model, queue) > 0);
    chain->count = 0;
    if (is_packed(model))
        take_packed(ring, chain);
    else
        take_split(ring, chain);
}

uint16_t virtio_net_model_take(struct virtio_net_model *model, unsigned queue, uint8_t **memory)
{
    struct chain chain;
    take(model, queue, &chain);
    *memory = chain.parts[0].memory;
    return chain.id;
}

static void write_used(const struct virtio_net_model *model, const struct virtio_model_queue *ring,
                       unsigned ahead, uint32_t id, uint32_t length_bytes)
{
    if (is_packed(model)) {
        write_packed(ring, ring->used_place + ahead, id, length_bytes);
        return;
    }
    struct virtio_used *used = memory_at(ring->device);
    uint16_t index = (uint16_t)(atomic_load(&used->index) + ahead);
    used->ring[index % ring->size].id = id;
    used->ring[index % ring->size].length_bytes = length_bytes;
}

static bool wants_interrupts(const struct virtio_net_model *model,
                             const struct virtio_model_queue *ring)
{
    if (is_packed(model)) {
        const struct virtio_packed_event *event = memory_at(ring->driver);
        uint16_t flags = atomic_load(&event->flags);
        CHECK(flags == VIRTIO_PACKED_EVENT_ENABLE || flags == VIRTIO_PACKED_EVENT_DISABLE);
        return flags == VIRTIO_PACKED_EVENT_ENABLE;
    }
    const struct virtio_available *available = memory_at(ring->driver);
    return !(atomic_load(&available->flags) & VIRTIO_AVAILABLE_NO_INTERRUPT);
}

void virtio_net_model_want_doorbells(struct virtio_net_model *model, unsigned queue, bool wanted)
{
    const struct virtio_model_queue *ring = live_queue(model, queue);
    if (is_packed(model)) {
        struct virtio_packed_event *event = memory_at(ring->device);
        atomic_store(&event->flags,
                     wanted ? VIRTIO_PACKED_EVENT_ENABLE : VIRTIO_PACKED_EVENT_DISABLE);
        return;
    }
    struct virtio_used *used = memory_at(ring->device);
    atomic_store(&used->flags, wanted ? 0 : VIRTIO_USED_NO_NOTIFY);
}

static void interrupt(struct virtio_net_model *model, const struct virtio_model_queue *ring)
{
    if (!wants_interrupts(model, ring))
        return;
    model->interrupts++;
    if (!pci_function_uses_msix(&model->pci))
        model->interrupt_status |= ISR_QUEUE;
    pci_function_interrupt(&model->pci, ring->vector);
}

/* The first of several is shown last, 2.8. */
void virtio_net_model_move_used(struct virtio_net_model *model, unsigned queue, uint16_t by)
{
    struct virtio_model_queue *ring = live_queue(model, queue);
    if (is_packed(model)) {
        for (unsigned i = by; i-- > 0;)
            mark_packed(ring, ring->used_place + i);
        ring->used_place += by;
    } else {
        struct virtio_used *used = memory_at(ring->device);
        atomic_store(&used->index, (uint16_t)(atomic_load(&used->index) + by));
    }
    interrupt(model, ring);
}

void virtio_net_model_use(struct virtio_net_model *model, unsigned queue, uint32_t id,
                          uint32_t length_bytes)
{
    struct virtio_model_queue *ring = live_queue(model, queue);
    write_used(model, ring, 0, id, length_bytes);
    virtio_net_model_move_used(model, queue, 1);
    /* The device skips what else the buffer had. */
    if (is_packed(model) && id < ring->size && ring->descriptor_counts[id] > 1)
        ring->used_place += ring->descriptor_counts[id] - 1u;
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
    uint32_t taken = ring->taken;
    unsigned count = 0;
    uint8_t *first = NULL;
    for (uint32_t done = 0; done < total; count++) {
        if (virtio_net_model_offered(model, 2 * pair) == 0 ||
            (count > 0 && !(model->accepted & VIRTIO_NET_F_MRG_RXBUF))) {
            ring->taken = taken;
            return false;
        }
        struct chain chain;
        take(model, 2 * pair, &chain);
        CHECK(chain.count == 1 && chain.parts[0].write);
        uint32_t here = MIN_OF(total - done, chain.parts[0].length_bytes);
        memcpy(chain.parts[0].memory, image + done, here);
        if (first == NULL)
            first = chain.parts[0].memory;
        write_used(model, ring, count, chain.id, here);
        done += here;
    }
    store_le16(first + VIRTIO_NET_HEADER_BUFFER_COUNT, (uint16_t)count);
    virtio_net_model_move_used(model, 2 * pair, (uint16_t)count);
    return true;
}

/* 5.1.6.2: nothing is asked of the device but checksums, and those only where it has offered. */
static void check_header(struct virtio_net_model *model)
{
    static const uint8_t zero[VIRTIO_NET_HEADER_BYTES];
    uint8_t rest[VIRTIO_NET_HEADER_BYTES];
    memcpy(rest, model->sent_header, sizeof(rest));
    if (rest[VIRTIO_NET_HEADER_FLAGS] == VIRTIO_NET_HEADER_NEEDS_CHECKSUM) {
        CHECK(model->accepted & VIRTIO_NET_F_CSUM);
        rest[VIRTIO_NET_HEADER_FLAGS] = 0;
        memset(rest + VIRTIO_NET_HEADER_CHECKSUM_START, 0, 2 * sizeof(uint16_t));
    }
    CHECK(memcmp(rest, zero, sizeof(rest)) == 0);
}

/* One frame, header and all, into `sent`. */
static void send(struct virtio_net_model *model, const struct chain *chain)
{
    CHECK(model->sent_count < VIRTIO_MODEL_SENT_MAX);
    struct sent_frame *frame = &model->sent[model->sent_count++];
    *frame = (struct sent_frame){ .descriptor_count = chain->count };
    for (unsigned i = 0; i < chain->count; i++) {
        const uint8_t *memory = chain->parts[i].memory;
        uint32_t length = chain->parts[i].length_bytes;
        CHECK(!chain->parts[i].write);
        if (i == 0) {
            CHECK(length >= VIRTIO_NET_HEADER_BYTES);
            memcpy(model->sent_header, memory, VIRTIO_NET_HEADER_BYTES);
            check_header(model);
            memory += VIRTIO_NET_HEADER_BYTES;
            length -= VIRTIO_NET_HEADER_BYTES;
        }
        sent_frame_append(frame, memory, length);
    }
}

void virtio_net_model_transmit(struct virtio_net_model *model, unsigned pair)
{
    unsigned queue = 2 * pair + 1;
    CHECK(model->status & VIRTIO_STATUS_DRIVER_OK);
    static uint16_t ids[1 << 15];
    unsigned count = 0;
    (void)live_queue(model, queue);
    while (virtio_net_model_offered(model, queue) > 0) {
        struct chain chain;
        take(model, queue, &chain);
        send(model, &chain);
        ids[count++] = chain.id;
    }
    for (unsigned i = 0; i < count; i++)
        virtio_net_model_use(model, queue, ids[model->transmit_backwards ? count - 1 - i : i], 0);
}

/* ---- The control queue, 5.1.6.5 ------------------------------------------------------------- */

static bool enable_pairs(struct virtio_net_model *model, uint16_t pairs)
{
    model->pairs_enabled = pairs;
    return pairs >= 1 && pairs <= model->pairs;
}

/* 5.1.6.5.7.1 */
static bool set_rss(struct virtio_net_model *model, const uint8_t *data, uint32_t length_bytes)
{
    CHECK(length_bytes > VIRTIO_NET_RSS_TABLE);
    unsigned entries = load_le16(data + VIRTIO_NET_RSS_TABLE_MASK) + 1u;
    CHECK((entries & (entries - 1)) == 0 && entries <= model->rss_table_max);
    CHECK(load_le16(data + VIRTIO_NET_RSS_UNCLASSIFIED) < model->pairs);
    const uint8_t *tail = data + VIRTIO_NET_RSS_TABLE + entries * sizeof(uint16_t);
    CHECK(length_bytes == (uint32_t)(tail - data) + VIRTIO_NET_RSS_KEY + sizeof(model->rss_key));
    CHECK(tail[VIRTIO_NET_RSS_KEY_LENGTH] == sizeof(model->rss_key));
    uint16_t pairs = load_le16(tail + VIRTIO_NET_RSS_TRANSMIT_MAX);
    for (unsigned i = 0; i < entries; i++) {
        model->rss_table[i] = load_le16(data + VIRTIO_NET_RSS_TABLE + i * sizeof(uint16_t));
        CHECK(model->rss_table[i] < pairs);
    }
    model->rss_entries = entries;
    model->rss_hash_types = load_le32(data + VIRTIO_NET_RSS_HASH_TYPES);
    memcpy(model->rss_key, tail + VIRTIO_NET_RSS_KEY, sizeof(model->rss_key));
    return enable_pairs(model, pairs);
}

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
        return enable_pairs(model, load_le16(data));
    case VIRTIO_NET_CONTROL_MQ << 8 | VIRTIO_NET_CONTROL_MQ_RSS_CONFIG:
        return model->accepted & VIRTIO_NET_F_RSS && set_rss(model, data, length_bytes - 2);
    default:
        return false;
    }
}

static void run_commands(struct virtio_net_model *model, unsigned queue)
{
    while (!model->control_is_deaf && virtio_net_model_offered(model, queue) > 0) {
        struct chain chain;
        take(model, queue, &chain);
        CHECK(chain.count == 2 && !chain.parts[0].write);
        bool done = obey(model, chain.parts[0].memory, chain.parts[0].length_bytes) &&
                    !model->control_refuses;
        CHECK(chain.parts[1].write && chain.parts[1].length_bytes == 1);
        *chain.parts[1].memory = done ? VIRTIO_NET_CONTROL_OK : 1;
        virtio_net_model_use(model, queue, chain.id, 1);
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
