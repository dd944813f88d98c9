/* See igb_model.h. Sections are those of the 82576's datasheet. */
#include "tests/host/igb_model.h"

#include "drivers/igb_regs.h"

enum {
    VECTORS = 10,
    QUEUES = 8, /* of 16 */
    VECTOR_FIELD = 0xff,
    SRRCTL_SIZE_FIELD = 0x7f,
    SRRCTL_KIND_FIELD = 7 << 25,
    CONTEXT_PROTOCOL = 3 << 11,
    TCP_FIELD = 16,
    UDP_FIELD = 6,
    EICR_ALL = 0x1ffffff,
    RETA_QUEUE = 0xf,
    MRQC_MODE = 7,
};

#define at  intel_model_at
#define get intel_model_get

static bool has_vectors(const struct intel_model *model)
{
    if (!pci_function_uses_msix(&model->pci))
        return false;
    CHECK(get(model, IGB_GPIE) & IGB_GPIE_MULTIPLE_MSIX);
    return true;
}

/* ---- Interrupts [7.3] -------------------------------------------------------------------------
 */

static void deliver_vectors(struct intel_model *model)
{
    uint32_t pending = get(model, IGB_EICR) & get(model, IGB_EIMS);
    for (unsigned vector = 0; vector < VECTORS; vector++) {
        uint32_t bit = (uint32_t)1 << vector;
        if (!(pending & bit))
            continue;
        intel_model_raise(model, vector);
        *at(model, IGB_EICR) &= ~(get(model, IGB_EIAC) & bit);
        if (get(model, IGB_GPIE) & IGB_GPIE_EIAME)
            *at(model, IGB_EIMS) &= ~(get(model, IGB_EIAM) & bit);
    }
}

static void cause_by(struct intel_model *model, uint32_t vector)
{
    if (!(vector & IGB_IVAR_VALID))
        return;
    *at(model, IGB_EICR) |= (uint32_t)1 << (vector & ~(uint32_t)IGB_IVAR_VALID);
    deliver_vectors(model);
}

/* Something in ICR has changed: news are those causes alone that were not there before. */
static void deliver(struct intel_model *model)
{
    if (!pci_function_uses_msix(&model->pci) || get(model, IGB_GPIE) == 0) {
        intel_model_deliver_line(model);
        return;
    }
    uint32_t pending = get(model, E1000_ICR) & get(model, E1000_IMS) & E1000_INTERRUPT_LSC;
    uint32_t fresh = pending & ~model->announced;
    model->announced = pending;
    if (fresh)
        cause_by(model, get(model, IGB_IVAR_MISC) >> IGB_IVAR_MISC_OTHER_SHIFT & VECTOR_FIELD);
}

/* [8.8] */
static uint32_t ivar_of(const struct intel_model *model, unsigned queue)
{
    if (model->device == IGB_82576)
        return get(model, IGB_IVAR0 + 4 * (queue % 8)) >> (queue >= 8 ? 16 : 0) & VECTOR_FIELD;
    return get(model, IGB_IVAR0 + 4 * (queue / 2)) >> (queue % 2 != 0 ? 16 : 0) & VECTOR_FIELD;
}

static void received(struct intel_model *model, unsigned queue)
{
    *at(model, E1000_ICR) |= E1000_INTERRUPT_RXT0;
    if (has_vectors(model))
        cause_by(model, ivar_of(model, queue));
    else
        deliver(model);
}

/* ---- Queues -----------------------------------------------------------------------------------
 */

static uint32_t check_receiver(const struct intel_model *model, unsigned queue)
{
    unsigned ring = IGB_RDBAL + queue * IGB_RING_STRIDE;
    uint32_t control = get(model, ring + IGB_RING_SRRCTL);
    CHECK((control & SRRCTL_KIND_FIELD) == IGB_SRRCTL_ADVANCED_ONE);
    CHECK(queue == 0 || (get(model, E1000_MRQC) & MRQC_MODE) == IGB_MRQC_RSS);
    return (control & SRRCTL_SIZE_FIELD) * 1024;
}

static unsigned queue_of_hash(const struct intel_model *model, uint32_t hash)
{
    unsigned entry = hash % E1000_RETA_ENTRIES;
    CHECK((get(model, E1000_MRQC) & MRQC_MODE) == IGB_MRQC_RSS);
    return get(model, E1000_RETA + entry / 4 * 4) >> 8 * (entry % 4) & RETA_QUEUE;
}

static bool hashes_udp(const struct intel_model *model)
{
    return (get(model, E1000_MRQC) & IGB_MRQC_UDPIPV4) != 0;
}

/* [7.2] */
static void read_context(uint64_t first, uint64_t second, unsigned *start, unsigned *field)
{
    unsigned protocol = second & CONTEXT_PROTOCOL;
    CHECK(first >> 16 == 0 && second >> 32 == 0);
    CHECK(protocol == IGB_CONTEXT_L4T_TCP || protocol == IGB_CONTEXT_L4T_UDP);
    CHECK((first >> IGB_CONTEXT_MACLEN_SHIFT) == 14);
    *start = (unsigned)(first >> IGB_CONTEXT_MACLEN_SHIFT) + (first & IGB_CONTEXT_IPLEN_MAX);
    *field = *start + (protocol == IGB_CONTEXT_L4T_TCP ? TCP_FIELD : UDP_FIELD);
}

/* [8.10, 8.12] A tail holds from when the queue is enabled, so it is written after that. */
static bool write_own(struct intel_model *model, unsigned offset, uint32_t value)
{
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        unsigned receive = IGB_RDBAL + queue * IGB_RING_STRIDE + E1000_RING_DCTL;
        unsigned transmit = IGB_TDBAL + queue * IGB_RING_STRIDE + E1000_RING_DCTL;
        if (offset != receive && offset != transmit)
            continue;
        CHECK(get(model, offset - E1000_RING_DCTL + E1000_RING_LEN) != 0);
        *at(model, offset) = model->queues_stay_off ? value & ~(uint32_t)IGB_DCTL_ENABLE : value;
        return true;
    }
    switch (offset) {
    case IGB_EICR:
        *at(model, IGB_EICR) &= ~value;
        return true;
    case IGB_EIMS:
        CHECK((value & ~(uint32_t)EICR_ALL) == 0);
        *at(model, IGB_EIMS) |= value;
        deliver_vectors(model);
        return true;
    case IGB_EIMC:
        *at(model, IGB_EIMS) &= ~value;
        return true;
    default:
        return false;
    }
}

static const struct intel_model_kind kind = {
    .queue_max = QUEUES,
    .receive_ring = IGB_RDBAL,
    .transmit_ring = IGB_TDBAL,
    .ring_stride = IGB_RING_STRIDE,
    .eerd_address_shift = IGB_EERD_ADDRESS_SHIFT,
    .descriptor_kind = IGB_TRANSMIT_ADVANCED,
    .payload_shift = IGB_TRANSMIT_PAYLEN_SHIFT,
    .enable = IGB_DCTL_ENABLE,
    .write = write_own,
    .check_receiver = check_receiver,
    .queue_of_hash = queue_of_hash,
    .hashes_udp = hashes_udp,
    .context = read_context,
    .received = received,
    .deliver = deliver,
};

void igb_model_init(struct intel_model *model, uint16_t device)
{
    intel_model_init(model, &kind, device, VECTORS);
}
