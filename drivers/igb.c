/* Intel 82576, I350 and I210. Source: 82576EB datasheet, 320025, sections in brackets, and those of
 * the others where they differ. Up to eight queue pairs with an MSI-X vector each, else one with
 * MSI or INTx; advanced descriptors; RSS by addresses and the ports of TCP and UDP.
 *
 * Frames are received into packets, see intel_queue.c. */
#include "drivers/driver_table.h"
#include "drivers/igb_regs.h"
#include "drivers/intel_nic.h"

enum {
    /* With long frames off the card takes 1522 bytes, FCS included [8.10]. */
    FRAME_MAX_BYTES = 1518,
    TCP_CHECKSUM_OFFSET = 16,
    UDP_CHECKSUM_OFFSET = 6,
    IP_VERSION_SHIFT = 4,
    IP_VERSION_4 = 4,
};

/* ---- Transmitting [7.2] --------------------------------------------------------------------- */

/* [7.2] The card has to be told the protocol, and knows where its checksum is. */
static bool write_context(const struct packet *packet, struct e1000_transmit_descriptor *descriptor)
{
    uint32_t start = packet->checksum_start;
    uint64_t command = IGB_TRANSMIT_ADVANCED | E1000_TRANSMIT_DEXT;
    if (packet->checksum_offset == TCP_CHECKSUM_OFFSET)
        command |= IGB_CONTEXT_L4T_TCP;
    else if (packet->checksum_offset == UDP_CHECKSUM_OFFSET)
        command |= IGB_CONTEXT_L4T_UDP;
    else
        return false;
    if (start <= ETHERNET_HEADER_BYTES || start >= packet->length_bytes ||
        start - ETHERNET_HEADER_BYTES > IGB_CONTEXT_IPLEN_MAX ||
        start + packet->checksum_offset + sizeof(uint16_t) > packet->frame_length_bytes)
        return false;
    if (packet->data[ETHERNET_HEADER_BYTES] >> IP_VERSION_SHIFT == IP_VERSION_4)
        command |= IGB_CONTEXT_IPV4;
    descriptor->address =
        ETHERNET_HEADER_BYTES << IGB_CONTEXT_MACLEN_SHIFT | (start - ETHERNET_HEADER_BYTES);
    atomic_store_explicit(&descriptor->state, command, memory_order_release);
    return true;
}

static unsigned igb_transmit(struct nic_queue *queue, struct packet **packets, unsigned count)
{
    static const struct intel_format advanced = {
        .data = E1000_TRANSMIT_DEXT | E1000_TRANSMIT_DATA | IGB_TRANSMIT_ADVANCED,
        .length_shift = IGB_TRANSMIT_PAYLEN_SHIFT,
        .context = write_context,
    };
    return intel_transmit(queue, packets, count, &advanced);
}

/* ---- Interrupts [7.3] ----------------------------------------------------------------------- */

/* With several vectors, a cause in EICR is a vector. */
static uint32_t causes_of(unsigned queue)
{
    return (uint32_t)1 << queue;
}

/* Where the receive queue's byte of IVAR is [8.8]: the 82576 has queues n and n + 8 in a word,
 * the others 2n and 2n + 1. */
static unsigned ivar_shift(const struct intel_nic *card, unsigned queue, unsigned *offset)
{
    bool first_kind = card->device->device == IGB_82576;
    *offset = IGB_IVAR0 + 4 * (first_kind ? queue : queue / 2);
    return first_kind || queue % 2 == 0 ? 0 : 16;
}

/* [7.3] Sent frames are collected by whoever polls: they interrupt nobody. The link's changes
 * come with the first vector. */
static void assign_vectors(const struct intel_nic *card)
{
    uint32_t all = ((uint32_t)1 << card->nic.queue_count) - 1;
    uint32_t ivar[IGB_QUEUE_MAX] = { 0 };
    for (unsigned i = 0; i < card->nic.queue_count; i++) {
        unsigned offset;
        unsigned shift = ivar_shift(card, i, &offset);
        ivar[(offset - IGB_IVAR0) / 4] |= (IGB_IVAR_VALID | i) << shift;
        intel_write(card, offset, ivar[(offset - IGB_IVAR0) / 4]);
    }
    intel_write(card, IGB_IVAR_MISC, IGB_IVAR_VALID << IGB_IVAR_MISC_OTHER_SHIFT);
    intel_write(card, IGB_GPIE,
                IGB_GPIE_NSICR | IGB_GPIE_MULTIPLE_MSIX | IGB_GPIE_EIAME | IGB_GPIE_PBA_SUPPORT);
    intel_write(card, IGB_EIAC, all);
    intel_write(card, IGB_EIAM, all);
    intel_write(card, E1000_IMS, E1000_INTERRUPT_LSC);
}

/* ICR keeps a change of the link until it is read, and tells of no other until then. */
static bool igb_link_up(struct nic *nic)
{
    struct intel_nic *card = intel_card(nic);
    if (nic->queue_count != 0 && nic->queues[0]->has_message)
        (void)intel_read(card, E1000_ICR);
    return intel_link_up(nic);
}

/* ---- Opening [4.5] -------------------------------------------------------------------------- */

/* [4.5] A queue takes descriptors once it says that it is enabled. */
static enum error enable_queue(const struct intel_nic *card, unsigned ring)
{
    intel_write(card, ring + E1000_RING_DCTL,
                IGB_DCTL_PTHRESH | IGB_DCTL_HTHRESH | IGB_DCTL_WTHRESH | IGB_DCTL_ENABLE);
    return intel_wait(card, ring + E1000_RING_DCTL, IGB_DCTL_ENABLE, IGB_DCTL_ENABLE)
               ? OK
               : fail(ERROR_TIMEOUT);
}

/* [7.1] RSS wants a hash in the descriptors. */
static enum error start_receiving(const struct intel_nic *card)
{
    unsigned queue_count = card->nic.queue_count;
    uint32_t spread = 0, buffers = IGB_SRRCTL_BSIZEPACKET_2K | IGB_SRRCTL_ADVANCED_ONE;
    if (queue_count > 1) {
        intel_write_rss(card, queue_count, 0);
        buffers |= IGB_SRRCTL_DROP_EN;
        spread = IGB_MRQC_RSS | E1000_MRQC_TCPIPV4 | IGB_MRQC_UDPIPV4 | E1000_MRQC_IPV4 |
                 IGB_MRQC_TCPIPV6 | IGB_MRQC_UDPIPV6 | E1000_MRQC_IPV6;
    }
    intel_write(card, E1000_MRQC, spread);
    intel_write(card, E1000_RXCSUM, E1000_RXCSUM_TUOFLD | E1000_RXCSUM_PCSD);
    intel_write(card, E1000_RCTL,
                E1000_RCTL_EN | E1000_RCTL_MPE | E1000_RCTL_BAM | E1000_RCTL_SECRC);
    for (unsigned i = 0; i < queue_count; i++) {
        unsigned ring = intel_of_queue(card, IGB_RDBAL, i);
        intel_write(card, ring + IGB_RING_SRRCTL, buffers);
        enum error error = enable_queue(card, ring);
        if (error != OK)
            return error;
    }
    return OK;
}

static enum error start_transmitting(const struct intel_nic *card)
{
    intel_write(card, E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_PSP | E1000_TCTL_CT | E1000_TCTL_COLD);
    for (unsigned i = 0; i < card->nic.queue_count; i++) {
        enum error error = enable_queue(card, intel_of_queue(card, IGB_TDBAL, i));
        if (error != OK)
            return error;
    }
    return OK;
}

static enum error igb_open(struct nic *nic, unsigned queue_count,
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
    error = start_transmitting(card);
    if (error != OK)
        goto failed;
    error = start_receiving(card);
    if (error != OK)
        goto failed;
    intel_connect(card, setup);
    return OK;

failed:
    intel_close(nic, setup[0].pool);
    return error;
}

/* ---- What is asked now and then ------------------------------------------------------------- */

/* [8.18] With Drop_En each queue counts for itself what it has no descriptor for; cleared by
 * reading, or on the I210 by writing. */
static void igb_stats(struct nic *nic, struct nic_stats *stats)
{
    struct intel_nic *card = intel_card(nic);
    for (unsigned i = 0; i < nic->queue_count; i++) {
        unsigned counter = intel_of_queue(card, IGB_RDBAL, i) + IGB_RING_RQDPC;
        uint32_t value = intel_read(card, counter);
        if (value == (uint32_t)E1000_MUTE)
            continue;
        card->past.rx_no_buffer += value;
        intel_write(card, counter, 0);
    }
    intel_stats(nic, stats);
}

/* ---- Probing -------------------------------------------------------------------------------- */

static const struct intel_family family = {
    .name = "igb",
    .bar_bytes = IGB_BAR_BYTES,
    .queue_max = IGB_QUEUE_MAX,
    .frame_max_bytes = FRAME_MAX_BYTES,
    .receive_ring = IGB_RDBAL,
    .transmit_ring = IGB_TDBAL,
    .ring_stride = IGB_RING_STRIDE,
    .eerd_address_shift = IGB_EERD_ADDRESS_SHIFT,
    .eerd_done = IGB_EERD_DONE,
    .express = true,
    .receive_done = E1000_DONE_DD,
    .cause = IGB_EICR,
    .mask_set = IGB_EIMS,
    .mask_clear = IGB_EIMC,
    .causes = causes_of,
    .assign_vectors = assign_vectors,
};

static const struct nic_ops igb_ops = {
    .open = igb_open,
    .close = intel_close,
    .receive = intel_receive,
    .transmit = igb_transmit,
    .flush = intel_flush,
    .arm = intel_arm,
    .disarm = intel_disarm,
    .link_up = igb_link_up,
    .is_well = intel_is_well,
    .set_mac = intel_set_mac,
    .stats = igb_stats,
};

static struct nic *igb_probe(struct pci_device *device, const char **why)
{
    struct nic *nic = intel_probe(device, &family, &igb_ops, why);
    bool is_i210 = device->device != IGB_82576 && device->device != IGB_I350;
    if (nic != NULL && is_i210)
        nic->queue_max = MIN_OF(nic->queue_max, (unsigned)IGB_I210_QUEUE_MAX);
    return nic;
}

static const struct pci_id igb_ids[] = {
    { E1000_VENDOR, IGB_82576 },          { E1000_VENDOR, IGB_I350 },
    { E1000_VENDOR, IGB_I210_COPPER },    { E1000_VENDOR, IGB_I210_FIBER },
    { E1000_VENDOR, IGB_I210_SERDES },    { E1000_VENDOR, IGB_I210_SGMII },
    { E1000_VENDOR, IGB_I210_FLASHLESS }, { 0, 0 },
};

const struct pci_driver igb_driver = {
    .name = "igb",
    .ids = igb_ids,
    .probe = igb_probe,
    .remove = intel_remove,
};
