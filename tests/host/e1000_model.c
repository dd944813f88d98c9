/* See e1000_model.h. Sections are those of the manual. */
#include "tests/host/e1000_model.h"

#include <stdatomic.h>
#include <string.h>

#include "kernel/base/bytes.h"

enum {
    BASE = 0xd0000000,
    STRIDE = 0x100000, /* between slots */
    DESCRIPTOR_BYTES = 16,
    LENGTH_ALIGN_BYTES = 128, /* [13.4.27] */
    ADDRESS_ALIGN_BYTES = 16, /* [13.4.25] */
    FRAME_MAX_BYTES = 16384,  /* [13.4.22] with LPE */
    FRAME_USUAL_BYTES = 1518,
};

static uint32_t *at(struct e1000_model *model, unsigned offset)
{
    return &model->registers[offset / 4];
}

static uint32_t get(const struct e1000_model *model, unsigned offset)
{
    return model->registers[offset / 4];
}

void e1000_model_init(struct e1000_model *model)
{
    *model = (struct e1000_model){
        .mac = { 0x52, 0x54, 0x00, 0x65, 0x43, 0x21 },
        .address_loaded = true,
        .link = true,
    };
}

static void reset(struct e1000_model *model)
{
    memset(model->registers, 0, sizeof(model->registers));
    model->sent_length = 0;
    if (model->address_loaded) {
        *at(model, E1000_RAL0) = load_le32(model->mac);
        *at(model, E1000_RAH0) = load_le16(model->mac + 4) | E1000_RAH_AV;
    }
    if (model->reset_never_ends)
        *at(model, E1000_CTRL) = E1000_CTRL_RST;
}

/* ---- Interrupts [13.4.17] ------------------------------------------------------------------- */

static void drive_pin(struct e1000_model *model)
{
    if ((get(model, E1000_ICR) & get(model, E1000_IMS)) == 0)
        return;
    model->interrupts++;
    pci_function_interrupt(&model->pci, 0);
}

static void cause(struct e1000_model *model, uint32_t causes)
{
    *at(model, E1000_ICR) |= causes;
    drive_pin(model);
}

void e1000_model_link(struct e1000_model *model, bool up)
{
    model->link = up;
    cause(model, E1000_INTERRUPT_LSC);
}

/* ---- Receiving [3.2] ------------------------------------------------------------------------ */

static void *memory_at(const struct e1000_model *model, unsigned base_low)
{
    CHECK(pci_function_masters(&model->pci));
    uint64_t address = (uint64_t)get(model, base_low + 4) << 32 | get(model, base_low);
    CHECK(address != 0 && address % ADDRESS_ALIGN_BYTES == 0);
    return (void *)(uintptr_t)address;
}

static unsigned entries(const struct e1000_model *model, unsigned length)
{
    uint32_t length_bytes = get(model, length);
    CHECK(length_bytes > 0 && length_bytes % LENGTH_ALIGN_BYTES == 0);
    return length_bytes / DESCRIPTOR_BYTES;
}

unsigned e1000_model_offered(const struct e1000_model *model)
{
    if (!(get(model, E1000_RCTL) & E1000_RCTL_EN))
        return 0;
    unsigned count = entries(model, E1000_RDBAL + E1000_RING_LEN);
    return (get(model, E1000_RDBAL + E1000_RING_TAIL) + count -
            get(model, E1000_RDBAL + E1000_RING_HEAD)) %
           count;
}

static struct e1000_receive_descriptor *next_receive(struct e1000_model *model)
{
    CHECK(e1000_model_offered(model) > 0);
    struct e1000_receive_descriptor *ring = memory_at(model, E1000_RDBAL);
    uint32_t *head = at(model, E1000_RDBAL + E1000_RING_HEAD);
    struct e1000_receive_descriptor *descriptor = &ring[*head];
    *head = (*head + 1) % entries(model, E1000_RDBAL + E1000_RING_LEN);
    return descriptor;
}

void e1000_model_complete(struct e1000_model *model, uint64_t state)
{
    atomic_store(&next_receive(model)->state, state);
    cause(model, E1000_INTERRUPT_RXT0);
}

bool e1000_model_receive(struct e1000_model *model, const uint8_t *frame, uint32_t length_bytes)
{
    bool long_frames = get(model, E1000_RCTL) & E1000_RCTL_LPE;
    if (length_bytes > (long_frames ? FRAME_MAX_BYTES : FRAME_USUAL_BYTES))
        return false;
    unsigned needed = (length_bytes + E1000_BUFFER_BYTES - 1) / E1000_BUFFER_BYTES;
    if (needed > e1000_model_offered(model)) {
        ++*at(model, E1000_MPC);
        cause(model, E1000_INTERRUPT_RXO);
        return false;
    }
    while (length_bytes > 0) {
        struct e1000_receive_descriptor *descriptor = next_receive(model);
        uint32_t here = MIN_OF(length_bytes, E1000_BUFFER_BYTES);
        memcpy((void *)(uintptr_t)descriptor->address, frame, here);
        frame += here;
        length_bytes -= here;
        atomic_store(&descriptor->state,
                     here | E1000_RECEIVE_DD | (length_bytes == 0 ? E1000_RECEIVE_EOP : 0));
    }
    cause(model, E1000_INTERRUPT_RXT0);
    return true;
}

/* ---- Transmitting [3.3] --------------------------------------------------------------------- */

static void send(struct e1000_model *model, struct e1000_transmit_descriptor *descriptor)
{
    CHECK(model->sent_count < E1000_MODEL_SENT_MAX);
    struct sent_frame *frame = &model->sent[model->sent_count];
    uint64_t state = atomic_load(&descriptor->state);
    uint32_t length = (uint32_t)(state & 0xffff);
    const uint8_t *memory = (const void *)(uintptr_t)descriptor->address;
    CHECK(length > 0 && state & E1000_TRANSMIT_IFCS);
    if (model->sent_length == 0)
        *frame = (struct sent_frame){ .length_bytes = 0 };
    sent_frame_append(frame, memory, length);
    frame->descriptor_count++;
    model->sent_length = frame->length_bytes;
    if (state & E1000_TRANSMIT_EOP) {
        CHECK(frame->length_bytes >= 17); /* what PSP can pad */
        model->sent_count++;
        model->sent_length = 0;
    }
    if (state & E1000_TRANSMIT_RS)
        atomic_store(&descriptor->state, state | E1000_TRANSMIT_DD);
}

void e1000_model_transmit(struct e1000_model *model)
{
    if (!(get(model, E1000_TCTL) & E1000_TCTL_EN))
        return;
    unsigned count = entries(model, E1000_TDBAL + E1000_RING_LEN);
    uint32_t *head = at(model, E1000_TDBAL + E1000_RING_HEAD);
    CHECK(get(model, E1000_TDBAL + E1000_RING_TAIL) < count);
    while (*head != get(model, E1000_TDBAL + E1000_RING_TAIL)) {
        struct e1000_transmit_descriptor *ring = memory_at(model, E1000_TDBAL);
        send(model, &ring[*head]);
        *head = (*head + 1) % count;
    }
}

/* ---- Registers [13.4] ----------------------------------------------------------------------- */

static uint64_t read_model(void *context, uint64_t offset, unsigned size)
{
    struct e1000_model *model = context;
    CHECK(size == sizeof(uint32_t) && offset % size == 0);
    model->reads++;
    if (model->mute)
        return UINT32_MAX;
    uint32_t value = get(model, (unsigned)offset);
    switch (offset) {
    case E1000_STATUS:
        return model->link && get(model, E1000_CTRL) & E1000_CTRL_SLU ? E1000_STATUS_LU : 0;
    case E1000_ICR:
    case E1000_CRCERRS:
    case E1000_RXERRC:
    case E1000_MPC:
    case E1000_ECOL:
    case E1000_LATECOL:
    case E1000_RLEC:
    case E1000_ROC:
        *at(model, (unsigned)offset) = 0;
        return value;
    default:
        return value;
    }
}

static void read_eeprom(struct e1000_model *model, uint32_t value)
{
    uint32_t word = value >> E1000_EERD_ADDRESS_SHIFT & 0xff;
    uint32_t data = word < 3 ? load_le16(model->mac + 2 * word) : 0;
    if (value & E1000_EERD_START && !model->eeprom_is_deaf)
        *at(model, E1000_EERD) = data << E1000_EERD_DATA_SHIFT | (value & 0xff00) | E1000_EERD_DONE;
}

static void write_model(void *context, uint64_t offset, unsigned size, uint64_t wide)
{
    struct e1000_model *model = context;
    uint32_t value = (uint32_t)wide;
    CHECK(size == sizeof(uint32_t) && offset % size == 0);
    if (model->mute)
        return;
    switch (offset) {
    case E1000_CTRL:
        *at(model, E1000_CTRL) = value;
        if (value & E1000_CTRL_RST)
            reset(model);
        break;
    case E1000_EERD:
        read_eeprom(model, value);
        break;
    case E1000_ICR:
        *at(model, E1000_ICR) &= ~value;
        break;
    case E1000_ICS:
        cause(model, value);
        break;
    case E1000_IMS:
        *at(model, E1000_IMS) |= value;
        drive_pin(model);
        break;
    case E1000_IMC:
        *at(model, E1000_IMS) &= ~value;
        break;
    case E1000_TDBAL + E1000_RING_TAIL:
        *at(model, E1000_TDBAL + E1000_RING_TAIL) = value;
        model->tail_writes++;
        if (!model->transmit_stalls)
            e1000_model_transmit(model);
        break;
    case E1000_RDBAL + E1000_RING_TAIL:
        CHECK(value < entries(model, E1000_RDBAL + E1000_RING_LEN));
        *at(model, E1000_RDBAL + E1000_RING_TAIL) = value;
        model->tail_writes++;
        break;
    default:
        *at(model, (unsigned)offset) = value;
    }
}

void e1000_model_attach(struct e1000_model *model, unsigned slot)
{
    uint64_t base = BASE + (uint64_t)slot * STRIDE;
    reset(model);
    pci_function_init(&model->pci, slot, E1000_VENDOR, E1000_82540EM, 10 + slot);
    pci_function_bar(&model->pci, 0, base, E1000_BAR_BYTES);
    model->model = (struct device_model){ model, read_model, write_model };
    host_attach_mmio(base, E1000_BAR_BYTES, &model->model);
}
