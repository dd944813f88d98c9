/* Intel 82574L. Source: its datasheet, 317694; sections in brackets. Two queue pairs with an MSI-X
 * vector each, else one with MSI or INTx; extended descriptors; RSS.
 *
 * Frames are received into packets, see intel_queue.c. The card's hash knows TCP's ports but not
 * UDP's [7.1]: UDP is spread by addresses. */
#include "drivers/driver_table.h"
#include "drivers/e1000e_regs.h"
#include "drivers/intel_nic.h"

enum {
    /* With long frames off the card takes 1522 bytes, FCS included [10.2.5]. */
    FRAME_MAX_BYTES = 1518,
};

/* ---- Transmitting [7.2] --------------------------------------------------------------------- */

/* [8254x 3.3.6] The sum goes from a byte to the frame's end, whatever the protocol. */
static bool write_context(const struct packet *packet, struct e1000_transmit_descriptor *descriptor)
{
    uint64_t start = packet->checksum_start;
    uint64_t field = start + packet->checksum_offset;
    if (field > E1000E_CONTEXT_OFFSET_MAX || field + sizeof(uint16_t) > packet->frame_length_bytes)
        return false;
    descriptor->address = start << E1000E_CONTEXT_TUCSS_SHIFT | field << E1000E_CONTEXT_TUCSO_SHIFT;
    atomic_store_explicit(&descriptor->state, E1000_TRANSMIT_DEXT, memory_order_release);
    return true;
}

static unsigned e1000e_transmit(struct nic_queue *queue, struct packet **packets, unsigned count)
{
    static const struct intel_format extended = {
        .data = E1000_TRANSMIT_DEXT | E1000_TRANSMIT_DATA,
        .context = write_context,
    };
    return intel_transmit(queue, packets, count, &extended);
}

/* ---- Interrupts [7.4] ----------------------------------------------------------------------- */

static uint32_t causes_of(unsigned queue)
{
    uint32_t others = queue == 0 ? E1000E_INTERRUPT_OTHER | E1000_INTERRUPT_LSC : 0;
    return (uint32_t)E1000E_INTERRUPT_RXQ0 << queue | others;
}

/* [7.4] Sent frames are collected by whoever polls: they interrupt nobody. */
static void assign_vectors(const struct intel_nic *card)
{
    uint32_t vectors = E1000E_IVAR_VALID << E1000E_IVAR_RXQ0_SHIFT | E1000E_IVAR_VALID
                                                                         << E1000E_IVAR_OTHER_SHIFT;
    if (card->nic.queue_count > 1)
        vectors |= (E1000E_IVAR_VALID | 1) << E1000E_IVAR_RXQ1_SHIFT;
    intel_write(card, E1000_CTRL_EXT, intel_read(card, E1000_CTRL_EXT) | E1000E_CTRL_EXT_PBA);
    intel_write(card, E1000E_EIAC, E1000E_INTERRUPT_RXQ0 | E1000E_INTERRUPT_RXQ0 << 1);
    intel_write(card, E1000E_IVAR, vectors);
}

/* ---- Opening [4.6] -------------------------------------------------------------------------- */

/* [7.1] RSS wants extended descriptors, and a hash in them. */
static void start_receiving(const struct intel_nic *card)
{
    unsigned queue_count = card->nic.queue_count;
    uint32_t spread = 0;
    if (queue_count > 1) {
        intel_write_rss(card, queue_count, E1000E_RETA_QUEUE_SHIFT);
        spread = E1000E_MRQC_RSS | E1000_MRQC_TCPIPV4 | E1000_MRQC_IPV4 | E1000_MRQC_IPV6;
    }
    intel_write(card, E1000_MRQC, spread);
    intel_write(card, E1000E_RFCTL, E1000E_RFCTL_EXSTEN);
    intel_write(card, E1000_RXCSUM, E1000_RXCSUM_TUOFLD | E1000_RXCSUM_PCSD);
    intel_write(card, E1000_RCTL,
                E1000_RCTL_EN | E1000_RCTL_MPE | E1000_RCTL_BAM | E1000_RCTL_SECRC);
}

static void start_transmitting(const struct intel_nic *card)
{
    for (unsigned i = 0; i < card->nic.queue_count; i++)
        intel_write(card, intel_of_queue(card, E1000_TDBAL, i) + E1000_RING_DCTL,
                    E1000E_TXDCTL_WTHRESH | E1000E_TXDCTL_COUNT_DESC | E1000E_TXDCTL_GRAN);
    intel_write(card, E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_PSP | E1000_TCTL_CT | E1000_TCTL_COLD);
}

static enum error e1000e_open(struct nic *nic, unsigned queue_count,
                              const struct nic_queue_setup *setup)
{
    struct intel_nic *card = intel_card(nic);
    enum error error = intel_open_queues(nic, queue_count, setup, sizeof(struct nic_queue));
    if (error != OK)
        return error;
    nic->completes_checksums = true;
    intel_write_addresses(card);
    for (unsigned i = 0; i < queue_count; i++)
        intel_write_rings(card, nic->queues[i]);
    intel_set_link_up(card);
    start_transmitting(card);
    start_receiving(card);
    intel_connect(card, setup);
    return OK;
}

/* ---- Probing -------------------------------------------------------------------------------- */

static const struct intel_family family = {
    .name = "e1000e",
    .bar_bytes = E1000E_BAR_BYTES,
    .queue_max = E1000E_QUEUE_MAX,
    .frame_max_bytes = FRAME_MAX_BYTES,
    .receive_ring = E1000_RDBAL,
    .transmit_ring = E1000_TDBAL,
    .ring_stride = E1000E_RING_STRIDE,
    .eerd_address_shift = E1000E_EERD_ADDRESS_SHIFT,
    .eerd_done = E1000E_EERD_DONE,
    .express = true,
    .receive_done = E1000_DONE_DD,
    .cause = E1000_ICR,
    .mask_set = E1000_IMS,
    .mask_clear = E1000_IMC,
    .causes = causes_of,
    .assign_vectors = assign_vectors,
};

static const struct nic_ops e1000e_ops = {
    .open = e1000e_open,
    .close = intel_close,
    .receive = intel_receive,
    .transmit = e1000e_transmit,
    .flush = intel_flush,
    .arm = intel_arm,
    .disarm = intel_disarm,
    .link_up = intel_link_up,
    .is_well = intel_is_well,
    .set_mac = intel_set_mac,
    .stats = intel_stats,
};

static struct nic *e1000e_probe(struct pci_device *device, const char **why)
{
    return intel_probe(device, &family, &e1000e_ops, why);
}

static const struct pci_id e1000e_ids[] = {
    { E1000_VENDOR, E1000E_82574L },
    { 0, 0 },
};

const struct pci_driver e1000e_driver = {
    .name = "e1000e",
    .ids = e1000e_ids,
    .probe = e1000e_probe,
    .remove = intel_remove,
};
