/* See intel_model.h. Sections are those of the 82574's datasheet, with the 82576's behind where
 * they differ. */
#include "tests/host/intel_model.h"

#include <stdatomic.h>
#include <string.h>

#include "kernel/base/bytes.h"

enum {
    BASE = 0xd2000000,
    MSIX_BASE = 0xd3000000,
    STRIDE = 0x100000, /* between slots */
    MSIX_BAR = 3,
    MSIX_BAR_BYTES = 0x4000,
    DESCRIPTOR_BYTES = 16,
    ALIGN_BYTES = 128,
    SEND_BYTES_MIN = 17, /* what PSP can pad */
    ETHERNET_BYTES = 14,
    IPV4_ETHERTYPE = 0x0800,
    IPV4_BYTES = 20,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    KEY_BITS = 8 * E1000_RSS_KEY_BYTES,
};

#define at  intel_model_at
#define get intel_model_get

void intel_model_init(struct intel_model *model, const struct intel_model_kind *kind,
                      uint16_t device, unsigned vector_count)
{
    *model = (struct intel_model){
        .kind = kind,
        .device = device,
        .mac = { 0x52, 0x54, 0x00, 0x65, 0x43, 0x22 },
        .address_loaded = true,
        .link = true,
        .vector_count = vector_count,
    };
}

static void reset(struct intel_model *model)
{
    memset(model->registers, 0, sizeof(model->registers));
    model->sent_length = 0;
    model->announced = 0;
    *at(model, E1000_EECD) = E1000_EECD_AUTO_RD;
    if (model->address_loaded) {
        *at(model, E1000_RAL0) = load_le32(model->mac);
        *at(model, E1000_RAH0) = load_le16(model->mac + 4) | E1000_RAH_AV;
    }
    if (model->reset_never_ends)
        *at(model, E1000_CTRL) = E1000_CTRL_RST;
}

/* ---- Interrupts [7.4] -------------------------------------------------------------------------
 */

void intel_model_raise(struct intel_model *model, unsigned vector)
{
    model->interrupts++;
    pci_function_interrupt(&model->pci, vector);
}

void intel_model_deliver_line(struct intel_model *model)
{
    uint32_t pending = get(model, E1000_ICR) & get(model, E1000_IMS);
    model->announced &= pending;
    if ((pending & ~model->announced) == 0)
        return;
    model->announced = pending;
    intel_model_raise(model, 0);
}

void intel_model_link(struct intel_model *model, bool up)
{
    model->link = up;
    *at(model, E1000_ICR) |= E1000_INTERRUPT_LSC;
    model->kind->deliver(model);
    for (unsigned queue = 0; up && queue < model->kind->queue_max; queue++)
        intel_model_transmit(model, queue);
}

/* ---- Rings ------------------------------------------------------------------------------------
 */

static unsigned receive_ring(const struct intel_model *model, unsigned queue)
{
    return model->kind->receive_ring + queue * model->kind->ring_stride;
}

static unsigned transmit_ring(const struct intel_model *model, unsigned queue)
{
    return model->kind->transmit_ring + queue * model->kind->ring_stride;
}

static void *memory_of(const struct intel_model *model, unsigned ring)
{
    uint32_t enable = model->kind->enable;
    CHECK((get(model, ring + E1000_RING_DCTL) & enable) == enable);
    CHECK(pci_function_masters(&model->pci));
    CHECK(!(get(model, E1000_CTRL) & E1000_CTRL_GIO_MASTER_DISABLE));
    uint64_t address = (uint64_t)get(model, ring + E1000_RING_BAH) << 32 | get(model, ring);
    CHECK(address != 0 && address % ALIGN_BYTES == 0);
    return (void *)(uintptr_t)address;
}

static unsigned entries_of(const struct intel_model *model, unsigned ring)
{
    uint32_t length_bytes = get(model, ring + E1000_RING_LEN);
    CHECK(length_bytes > 0 && length_bytes % ALIGN_BYTES == 0);
    return length_bytes / DESCRIPTOR_BYTES;
}

/* ---- Receiving [7.1] --------------------------------------------------------------------------
 */

unsigned intel_model_offered(const struct intel_model *model, unsigned queue)
{
    unsigned ring = receive_ring(model, queue);
    if (!(get(model, E1000_RCTL) & E1000_RCTL_EN) || get(model, ring + E1000_RING_LEN) == 0)
        return 0;
    unsigned count = entries_of(model, ring);
    return (get(model, ring + E1000_RING_TAIL) + count - get(model, ring + E1000_RING_HEAD)) %
           count;
}

struct e1000_receive_descriptor *intel_model_descriptor(const struct intel_model *model,
                                                        unsigned queue, unsigned index)
{
    struct e1000_receive_descriptor *descriptors = memory_of(model, receive_ring(model, queue));
    return &descriptors[index];
}

static struct e1000_receive_descriptor *next_receive(struct intel_model *model, unsigned queue)
{
    unsigned ring = receive_ring(model, queue);
    CHECK(intel_model_offered(model, queue) > 0);
    uint32_t *head = at(model, ring + E1000_RING_HEAD);
    struct e1000_receive_descriptor *descriptor = intel_model_descriptor(model, queue, *head);
    *head = (*head + 1) % entries_of(model, ring);
    /* [7.1] The second half is 0 when it is given: the bit that says DD is in there. */
    CHECK(descriptor->state == 0);
    return descriptor;
}

/* Writes back: over the address, too. */
static void complete(struct intel_model *model, unsigned queue,
                     struct e1000_receive_descriptor *descriptor, uint64_t state)
{
    descriptor->address = 0x5ead5ead5ead5eadull;
    atomic_store(&descriptor->state, state);
    model->kind->received(model, queue);
}

void intel_model_complete(struct intel_model *model, unsigned queue, uint64_t state)
{
    complete(model, queue, next_receive(model, queue), state);
}

/* [7.1] Toeplitz, over the bytes of the frame from `from` on. */
static uint32_t hash_bytes(const struct intel_model *model, uint32_t hash, unsigned *bit,
                           const uint8_t *bytes, unsigned count)
{
    for (unsigned i = 0; i < 8 * count; i++, ++*bit) {
        uint32_t window = 0;
        for (unsigned j = 0; j < 32; j++) {
            unsigned key_bit = *bit + j;
            CHECK(key_bit < KEY_BITS);
            uint32_t word = get(model, E1000_RSSRK + key_bit / 32 * 4);
            unsigned byte = word >> 8 * (key_bit / 8 % 4) & 0xff;
            window = window << 1 | (byte >> (7 - key_bit % 8) & 1);
        }
        if (bytes[i / 8] >> (7 - i % 8) & 1)
            hash ^= window;
    }
    return hash;
}

unsigned intel_model_queue_of(const struct intel_model *model, const uint8_t *frame,
                              uint32_t length_bytes)
{
    uint32_t mrqc = get(model, E1000_MRQC);
    if (mrqc == 0 || length_bytes < ETHERNET_BYTES + IPV4_BYTES + 4 ||
        load_be16(frame + 12) != IPV4_ETHERTYPE)
        return 0;
    CHECK(get(model, E1000_RXCSUM) & E1000_RXCSUM_PCSD);
    uint8_t protocol = frame[ETHERNET_BYTES + 9];
    bool ports = (protocol == PROTOCOL_TCP && mrqc & E1000_MRQC_TCPIPV4) ||
                 (protocol == PROTOCOL_UDP && model->kind->hashes_udp != NULL &&
                  model->kind->hashes_udp(model));
    CHECK(mrqc & E1000_MRQC_IPV4);
    unsigned bit = 0;
    uint32_t hash = hash_bytes(model, 0, &bit, frame + ETHERNET_BYTES + 12, 8);
    if (ports)
        hash = hash_bytes(model, hash, &bit, frame + ETHERNET_BYTES + IPV4_BYTES, 4);
    unsigned queue = model->kind->queue_of_hash(model, hash);
    CHECK(queue < model->kind->queue_max);
    return queue;
}

bool intel_model_receive(struct intel_model *model, const uint8_t *frame, uint32_t length_bytes)
{
    unsigned queue = intel_model_queue_of(model, frame, length_bytes);
    CHECK(!(get(model, E1000_RCTL) & E1000_RCTL_LPE)); /* else it may fill a buffer */
    if (!model->link || length_bytes > INTEL_MODEL_FRAME_MAX)
        return false;
    if (intel_model_offered(model, queue) == 0) {
        ++*at(model, E1000_MPC);
        return false;
    }
    CHECK(length_bytes <= model->kind->check_receiver(model, queue));
    struct e1000_receive_descriptor *descriptor = next_receive(model, queue);
    memcpy((void *)(uintptr_t)descriptor->address, frame, length_bytes);
    complete(model, queue, descriptor,
             (uint64_t)length_bytes << 32 | E1000_DONE_DD | E1000_DONE_EOP);
    return true;
}

/* ---- Transmitting [7.2] -----------------------------------------------------------------------
 */

static uint16_t sum_of(const uint8_t *bytes, unsigned count)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void end_frame(struct intel_model *model)
{
    CHECK(model->sent_length >= SEND_BYTES_MIN);
    CHECK(model->kind->payload_shift == 0 || model->sent_payload == model->sent_length);
    if (model->sent_sums) {
        CHECK(model->context_field + sizeof(uint16_t) <= model->sent_length);
        uint8_t *from = model->sent_bytes + model->context_start;
        store_be16(model->sent_bytes + model->context_field,
                   sum_of(from, model->sent_length - model->context_start));
    }
    struct sent_frame *frame = &model->sent[model->sent_count++];
    frame->length_bytes = 0;
    frame->sum = 0;
    sent_frame_append(frame, model->sent_bytes, model->sent_length);
    model->sent_length = 0;
}

static void send(struct intel_model *model, struct e1000_transmit_descriptor *descriptor)
{
    uint64_t state = atomic_load(&descriptor->state);
    CHECK(state & E1000_TRANSMIT_DEXT);
    CHECK(!(state & E1000_TRANSMIT_DD));
    CHECK((state & (uint64_t)0xe << 20) == model->kind->descriptor_kind);
    if (!(state & E1000_TRANSMIT_DATA)) {
        CHECK(model->sent_length == 0); /* not within a frame */
        model->kind->context(descriptor->address, state, &model->context_start,
                             &model->context_field);
        return;
    }
    CHECK(model->sent_count < INTEL_MODEL_SENT_MAX);
    uint32_t length = (uint32_t)(state & 0xffff);
    CHECK(length > 0 && state & E1000_TRANSMIT_IFCS);
    CHECK(length <= INTEL_MODEL_SENT_BYTES - model->sent_length);
    if (model->sent_length == 0) {
        model->sent[model->sent_count] = (struct sent_frame){ .length_bytes = 0 };
        model->sent_sums = state & E1000_TRANSMIT_TXSM;
        model->sent_payload = state >> model->kind->payload_shift;
    }
    memcpy(model->sent_bytes + model->sent_length, (const void *)(uintptr_t)descriptor->address,
           length);
    model->sent_length += length;
    model->sent[model->sent_count].descriptor_count++;
    if (state & E1000_TRANSMIT_EOP)
        end_frame(model);
    if (state & E1000_TRANSMIT_RS && !model->completes_nothing)
        atomic_store(&descriptor->state, state | E1000_TRANSMIT_DD);
}

static void flap(struct intel_model *model)
{
    if (model->link_flaps_after > 0 && --model->link_flaps_after == 0)
        intel_model_link(model, false);
}

void intel_model_transmit(struct intel_model *model, unsigned queue)
{
    unsigned ring = transmit_ring(model, queue);
    if (!(get(model, E1000_TCTL) & E1000_TCTL_EN) || get(model, ring + E1000_RING_LEN) == 0)
        return;
    unsigned count = entries_of(model, ring);
    uint32_t *head = at(model, ring + E1000_RING_HEAD);
    CHECK(get(model, ring + E1000_RING_TAIL) < count);
    while (model->link && *head != get(model, ring + E1000_RING_TAIL)) {
        struct e1000_transmit_descriptor *descriptors = memory_of(model, ring);
        unsigned before = model->sent_count;
        send(model, &descriptors[*head]);
        *head = (*head + 1) % count;
        model->sent_by_queue[queue] += model->sent_count - before;
        if (model->sent_count != before)
            flap(model);
    }
}

/* ---- Registers [10] ---------------------------------------------------------------------------
 */

static uint32_t read_status(const struct intel_model *model)
{
    uint32_t control = get(model, E1000_CTRL);
    uint32_t status = 0;
    if (model->link && control & E1000_CTRL_SLU && !model->phy_sleeps)
        status |= E1000_STATUS_LU;
    if (!(control & E1000_CTRL_GIO_MASTER_DISABLE) || model->transfers_never_end)
        status |= E1000_STATUS_GIO_MASTER_ENABLE;
    return status;
}

static uint64_t read_model(void *context, uint64_t offset, unsigned size)
{
    struct intel_model *model = context;
    CHECK(size == sizeof(uint32_t) && offset % size == 0);
    model->reads++;
    if (model->mute)
        return UINT32_MAX;
    uint32_t value = get(model, (unsigned)offset);
    switch (offset) {
    case E1000_STATUS:
        return read_status(model);
    case E1000_ICR:
    case E1000_CRCERRS:
    case E1000_RXERRC:
    case E1000_MPC:
    case E1000_ECOL:
    case E1000_LATECOL:
    case E1000_RLEC:
    case E1000_ROC:
        *at(model, (unsigned)offset) = 0;
        if (offset == E1000_ICR)
            model->announced &= ~value;
        return value;
    default:
        return value;
    }
}

static void read_eeprom(struct intel_model *model, uint32_t value)
{
    uint32_t word = (value & 0xffff) >> model->kind->eerd_address_shift;
    uint32_t data = word < 3 ? load_le16(model->mac + 2 * word) : 0;
    if (value & E1000_EERD_START && !model->eeprom_is_deaf)
        *at(model, E1000_EERD) = data << E1000_EERD_DATA_SHIFT | (value & 0xfffc) | 1 << 1;
}

static void write_phy(struct intel_model *model, uint32_t value)
{
    CHECK(value & E1000_MDIC_WRITE && value & E1000_MDIC_PHY);
    CHECK((value >> E1000_MDIC_REGISTER_SHIFT & 0x1f) == E1000_PHY_CONTROL);
    if (model->phy_is_deaf)
        return;
    if (value & E1000_PHY_CONTROL_NEGOTIATE && value & E1000_PHY_CONTROL_RESTART)
        model->phy_sleeps = false;
    *at(model, E1000_MDIC) = value | E1000_MDIC_READY;
}

/* Reset only when no transfer is under way. */
static void write_control(struct intel_model *model, uint32_t value)
{
    *at(model, E1000_CTRL) = value;
    if (!(value & E1000_CTRL_RST))
        return;
    CHECK(value & E1000_CTRL_GIO_MASTER_DISABLE);
    CHECK(get(model, E1000_RCTL) == 0 && get(model, E1000_TCTL) == 0);
    reset(model);
}

/* A tail of one of the queues, or none. */
static bool write_tail(struct intel_model *model, unsigned offset, uint32_t value)
{
    for (unsigned queue = 0; queue < model->kind->queue_max; queue++) {
        bool sends = offset == transmit_ring(model, queue) + E1000_RING_TAIL;
        if (!sends && offset != receive_ring(model, queue) + E1000_RING_TAIL)
            continue;
        unsigned ring = offset - E1000_RING_TAIL;
        CHECK(value < entries_of(model, ring));
        *at(model, offset) = value;
        model->tail_writes++;
        if (!sends && get(model, E1000_RCTL) & E1000_RCTL_EN)
            (void)model->kind->check_receiver(model, queue);
        if (sends && !model->transmit_stalls)
            intel_model_transmit(model, queue);
        return true;
    }
    return false;
}

static void write_model(void *context, uint64_t offset64, unsigned size, uint64_t wide)
{
    struct intel_model *model = context;
    uint32_t value = (uint32_t)wide;
    unsigned offset = (unsigned)offset64;
    CHECK(size == sizeof(uint32_t) && offset % size == 0);
    if (model->mute || write_tail(model, offset, value))
        return;
    if (model->kind->write != NULL && model->kind->write(model, offset, value))
        return;
    switch (offset) {
    case E1000_CTRL:
        write_control(model, value);
        break;
    case E1000_EERD:
        read_eeprom(model, value);
        break;
    case E1000_MDIC:
        write_phy(model, value);
        break;
    case E1000_ICR:
        *at(model, E1000_ICR) &= ~value;
        model->kind->deliver(model);
        break;
    case E1000_ICS:
        *at(model, E1000_ICR) |= value;
        model->kind->deliver(model);
        break;
    case E1000_IMS:
        *at(model, E1000_IMS) |= value;
        model->kind->deliver(model);
        break;
    case E1000_IMC:
        *at(model, E1000_IMS) &= ~value;
        model->kind->deliver(model);
        break;
    default:
        *at(model, offset) = value;
    }
}

static uint64_t read_vectors(void *context, uint64_t offset, unsigned size)
{
    (void)size;
    return pci_function_msix_read(context, offset);
}

static void write_vectors(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    pci_function_msix_write(context, offset, value);
}

void intel_model_attach(struct intel_model *model, unsigned slot)
{
    uint64_t base = BASE + (uint64_t)slot * STRIDE;
    uint64_t vectors = MSIX_BASE + (uint64_t)slot * STRIDE;
    reset(model);
    pci_function_init(&model->pci, slot, E1000_VENDOR, model->device, 10 + slot);
    pci_function_bar(&model->pci, 0, base, INTEL_MODEL_BAR_BYTES);
    model->model = (struct device_model){ model, read_model, write_model };
    host_attach_mmio(base, INTEL_MODEL_BAR_BYTES, &model->model);
    if (model->has_msi)
        pci_function_msi(&model->pci);
    if (model->vector_count == 0)
        return;
    pci_function_bar(&model->pci, MSIX_BAR, vectors, MSIX_BAR_BYTES);
    pci_function_msix(&model->pci, MSIX_BAR, model->vector_count);
    model->vector_model = (struct device_model){ &model->pci, read_vectors, write_vectors };
    host_attach_mmio(vectors, MSIX_BAR_BYTES, &model->vector_model);
}
