/* See e1000e_model.h. Sections are those of the 82574's datasheet. */
#include "tests/host/e1000e_model.h"

#include "drivers/e1000e_regs.h"

enum {
    VECTORS = 5,
    BUFFER_BYTES = 2048, /* RCTL's field for it is 0 [10.2.5] */
    RCTL_BUFFER_FIELDS = 3 << 16 | 1 << 25 | 0xf << 27,
    OTHER_CAUSES = E1000_INTERRUPT_LSC | E1000_INTERRUPT_RXO,
    VECTOR_FIELD = 0xf,
};

#define at  intel_model_at
#define get intel_model_get

/* [7.4] With MSI-X, each of these causes has a vector in IVAR. */
static void deliver(struct intel_model *model)
{
    static const struct {
        uint32_t cause;
        unsigned shift;
    } causes[] = {
        { E1000E_INTERRUPT_RXQ0, E1000E_IVAR_RXQ0_SHIFT },
        { E1000E_INTERRUPT_RXQ0 << 1, E1000E_IVAR_RXQ1_SHIFT },
        { E1000E_INTERRUPT_OTHER, E1000E_IVAR_OTHER_SHIFT },
    };
    if (!pci_function_uses_msix(&model->pci)) {
        intel_model_deliver_line(model);
        return;
    }
    if (get(model, E1000_ICR) & OTHER_CAUSES & get(model, E1000_IMS))
        *at(model, E1000_ICR) |= E1000E_INTERRUPT_OTHER;
    uint32_t pending = get(model, E1000_ICR) & get(model, E1000_IMS);
    uint32_t fresh = pending & ~model->announced;
    model->announced = pending;
    for (unsigned i = 0; i < ARRAY_COUNT(causes); i++) {
        uint32_t vector = get(model, E1000E_IVAR) >> causes[i].shift & VECTOR_FIELD;
        if (!(fresh & causes[i].cause) || !(vector & E1000E_IVAR_VALID))
            continue;
        intel_model_raise(model, vector & ~(uint32_t)E1000E_IVAR_VALID);
        if (!(get(model, E1000E_EIAC) & causes[i].cause))
            continue;
        *at(model, E1000_ICR) &= ~causes[i].cause;
        *at(model, E1000_IMS) &= ~causes[i].cause;
        model->announced &= ~causes[i].cause;
    }
}

static void received(struct intel_model *model, unsigned queue)
{
    *at(model, E1000_ICR) |= E1000_INTERRUPT_RXT0 | (uint32_t)E1000E_INTERRUPT_RXQ0 << queue;
    deliver(model);
}

static uint32_t check_receiver(const struct intel_model *model, unsigned queue)
{
    CHECK(get(model, E1000E_RFCTL) & E1000E_RFCTL_EXSTEN);
    CHECK((get(model, E1000_RCTL) & RCTL_BUFFER_FIELDS) == 0);
    CHECK(queue == 0 || get(model, E1000_MRQC) & E1000E_MRQC_RSS);
    return BUFFER_BYTES;
}

/* [10.2.5] Only the highest bit of an entry counts. */
static unsigned queue_of_hash(const struct intel_model *model, uint32_t hash)
{
    unsigned entry = hash % E1000_RETA_ENTRIES;
    uint32_t word = get(model, E1000_RETA + entry / 4 * 4);
    return word >> (8 * (entry % 4) + E1000E_RETA_QUEUE_SHIFT) & 1;
}

static void read_context(uint64_t first, uint64_t second, unsigned *start, unsigned *field)
{
    CHECK(second == E1000_TRANSMIT_DEXT); /* no IP checksum, no segmentation, no RS */
    CHECK((uint32_t)first == 0 && first >> 48 == 0);
    *start = first >> E1000E_CONTEXT_TUCSS_SHIFT & 0xff;
    *field = first >> E1000E_CONTEXT_TUCSO_SHIFT & 0xff;
    CHECK(*start < *field);
}

static const struct intel_model_kind kind = {
    .queue_max = E1000E_QUEUE_MAX,
    .receive_ring = E1000_RDBAL,
    .transmit_ring = E1000_TDBAL,
    .ring_stride = E1000E_RING_STRIDE,
    .eerd_address_shift = E1000E_EERD_ADDRESS_SHIFT,
    .check_receiver = check_receiver,
    .queue_of_hash = queue_of_hash,
    .context = read_context,
    .received = received,
    .deliver = deliver,
};

void e1000e_model_init(struct intel_model *model)
{
    intel_model_init(model, &kind, E1000E_82574L, VECTORS);
}
