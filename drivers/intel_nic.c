/* What Intel's gigabit cards have in common, but for what happens per packet: see intel_nic.h. */
#include "drivers/intel_nic.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/log.h"

enum {
    RING_ALIGN_BYTES = 128,
    /* Waiting is counted in register reads, of about a microsecond each. */
    READS_MAX = 20000,
    READS_PER_SLICE = 128, /* between calls of while_waiting */
    RESET_READS_MIN = 10,  /* [13.4.1] the card is deaf for a microsecond */
    EEPROM_MAC_WORDS = 3,  /* at word 0 [5.6] */
    ETHERNET_GROUP_BIT = 0x01,
    LINE_CAUSES =
        E1000_INTERRUPT_LSC | E1000_INTERRUPT_RXDMT0 | E1000_INTERRUPT_RXO | E1000_INTERRUPT_RXT0,
};

/* ---- Registers and reset ----------------------------------------------------------------------
 */

bool intel_wait(const struct intel_nic *card, unsigned offset, uint32_t mask, uint32_t wanted)
{
    for (unsigned i = 1; i <= READS_MAX; i++) {
        uint32_t value = intel_read(card, offset);
        if (value == (uint32_t)E1000_MUTE)
            return false;
        if ((value & mask) == wanted)
            return true;
        core_relax();
        if (i % READS_PER_SLICE == 0 && card->nic.while_waiting != NULL)
            card->nic.while_waiting(card->nic.while_waiting_context);
    }
    return false;
}

/* Before a reset, no transfer may be under way on PCI Express. One that does not end is no reason
 * to go without. */
static void end_transfers(const struct intel_nic *card, uint32_t control)
{
    intel_write(card, E1000_CTRL, control);
    if (!intel_wait(card, E1000_STATUS, E1000_STATUS_GIO_MASTER_ENABLE, 0))
        log_warning(card->family->name, "%s does not end its transfers", card->nic.location);
}

static void mask_interrupts(const struct intel_nic *card)
{
    intel_write(card, E1000_IMC, UINT32_MAX);
    if (card->family->mask_clear != E1000_IMC)
        intel_write(card, card->family->mask_clear, UINT32_MAX);
}

/* [14.3] All interrupts off before and after, since a reset forgets the mask. */
enum error intel_reset(const struct intel_nic *card)
{
    mask_interrupts(card);
    intel_write(card, E1000_RCTL, 0);
    intel_write(card, E1000_TCTL, 0);
    uint32_t control = intel_read(card, E1000_CTRL);
    if (control == (uint32_t)E1000_MUTE)
        return fail(ERROR_DEVICE);
    control &= ~(uint32_t)E1000_CTRL_RST;
    bool tells_of_eeprom = false;
    if (card->family->express) {
        tells_of_eeprom = intel_read(card, E1000_EECD) & E1000_EECD_AUTO_RD;
        control |= E1000_CTRL_GIO_MASTER_DISABLE;
        end_transfers(card, control);
    }
    intel_write(card, E1000_CTRL, control | E1000_CTRL_RST);
    for (unsigned i = 0; i < RESET_READS_MIN; i++)
        (void)intel_read(card, E1000_CTRL);
    if (!intel_wait(card, E1000_CTRL, E1000_CTRL_RST, 0))
        return fail(ERROR_TIMEOUT);
    /* The EEPROM is read once more. QEMU's igb never says so, nor a card without one. */
    if (tells_of_eeprom && !intel_wait(card, E1000_EECD, E1000_EECD_AUTO_RD, E1000_EECD_AUTO_RD))
        log_warning(card->family->name, "%s does not read its EEPROM", card->nic.location);
    mask_interrupts(card);
    (void)intel_read(card, E1000_ICR);
    return OK;
}

/* ---- Interrupts [13.4.17] --------------------------------------------------------------------
 */

/* For interrupt_connect_pci_pin(). */
static void raise_interrupt(void *device)
{
    const struct intel_nic *card = device;
    intel_write(card, E1000_IMS, E1000_INTERRUPT_LSC);
    intel_write(card, E1000_ICS, E1000_INTERRUPT_LSC);
}

static void quiet_interrupt(void *device)
{
    const struct intel_nic *card = device;
    intel_write(card, E1000_IMC, UINT32_MAX);
    (void)intel_read(card, E1000_ICR);
}

/* Every queue has its entry of the MSI-X table, or none has. */
static bool connect_messages(struct intel_nic *card, const struct nic_queue_setup *setup)
{
    if (card->msix.entry_count < card->nic.queue_count)
        return false;
    for (unsigned i = 0; i < card->nic.queue_count; i++) {
        struct nic_queue *queue = card->nic.queues[i];
        queue->interrupt = interrupt_alloc(setup[i].core);
        if (queue->interrupt < 0 || pci_msix_set(&card->msix, i, queue->interrupt) != OK)
            return false;
    }
    for (unsigned i = 0; i < card->nic.queue_count; i++) {
        card->nic.queues[i]->has_message = true;
        card->nic.queues[i]->causes = card->family->causes(i);
    }
    card->family->assign_vectors(card);
    return true;
}

static void disconnect(struct intel_nic *card)
{
    pci_msix_close(card->device, &card->msix);
    for (unsigned i = 0; i < card->nic.queue_count; i++) {
        struct nic_queue *queue = card->nic.queues[i];
        if (queue->interrupt >= 0)
            interrupt_free(queue->interrupt);
        queue->interrupt = -1;
    }
}

/* The one queue, by the causes that all cards have. */
static bool connect_line(struct intel_nic *card, unsigned core)
{
    struct nic_queue *queue = card->nic.queues[0];
    queue->causes = LINE_CAUSES;
    queue->interrupt = interrupt_alloc(core);
    if (queue->interrupt < 0)
        return false;
    card->has_msi = card->family->express && pci_msi_set(card->device, queue->interrupt) == OK;
    return card->has_msi ||
           interrupt_connect_pci_pin(queue->interrupt, card->device->interrupt_line,
                                     raise_interrupt, quiet_interrupt, card);
}

void intel_connect(struct intel_nic *card, const struct nic_queue_setup *setup)
{
    if (card->family->express && pci_msix_open(card->device, &card->msix) == OK &&
        connect_messages(card, setup))
        return;
    disconnect(card);
    if (card->nic.queue_count == 1 && connect_line(card, setup[0].core))
        return;
    disconnect(card);
    card->nic.polled = true;
    log_warning(card->family->name, "%s: no interrupt reaches us, so it is polled",
                card->nic.location);
}

/* ---- Opening and closing [14] ----------------------------------------------------------------
 */

static enum error alloc_queue(struct intel_nic *card, unsigned index,
                              const struct nic_queue_setup *setup, size_t bytes)
{
    const struct intel_family *family = card->family;
    struct nic_queue *queue = memory_alloc(bytes, CACHE_LINE_BYTES, MEMORY_DRIVER);
    if (queue == NULL)
        return fail(ERROR_NO_MEMORY);
    card->nic.queues[index] = queue;
    card->nic.queue_count = index + 1;
    queue->card = card;
    queue->pool = setup->pool;
    queue->register_accesses = &card->nic.register_accesses[index];
    queue->index = index;
    queue->interrupt = -1;
    queue->receive_tail =
        card->registers + intel_of_queue(card, family->receive_ring, index) + E1000_RING_TAIL;
    queue->transmit_tail =
        card->registers + intel_of_queue(card, family->transmit_ring, index) + E1000_RING_TAIL;
    queue->receive =
        dma_alloc(RING_ENTRIES * sizeof(queue->receive[0]), RING_ALIGN_BYTES, MEMORY_RING);
    queue->transmit =
        dma_alloc(RING_ENTRIES * sizeof(queue->transmit[0]), RING_ALIGN_BYTES, MEMORY_RING);
    if (queue->receive == NULL || queue->transmit == NULL)
        return fail(ERROR_NO_MEMORY);
    return OK;
}

static void write_ring(const struct intel_nic *card, unsigned base, const void *ring)
{
    uint64_t address = dma_address(ring);
    intel_write(card, base, (uint32_t)address);
    intel_write(card, base + E1000_RING_BAH, (uint32_t)(address >> 32));
    intel_write(card, base + E1000_RING_LEN,
                RING_ENTRIES * sizeof(struct e1000_receive_descriptor));
    intel_write(card, base + E1000_RING_HEAD, 0);
    intel_write(card, base + E1000_RING_TAIL, 0);
}

void intel_write_rings(const struct intel_nic *card, const struct nic_queue *queue)
{
    const struct intel_family *family = card->family;
    write_ring(card, intel_of_queue(card, family->receive_ring, queue->index), queue->receive);
    write_ring(card, intel_of_queue(card, family->transmit_ring, queue->index), queue->transmit);
}

/* The address that the card takes frames for [13.4.54, 13.4.55]. */
static void write_mac(const struct intel_nic *card)
{
    const uint8_t *mac = card->nic.mac;
    intel_write(card, E1000_RAL0, load_le32(mac));
    intel_write(card, E1000_RAH0, load_le16(mac + 4) | E1000_RAH_AV);
}

void intel_write_addresses(const struct intel_nic *card)
{
    write_mac(card);
    for (unsigned i = 0; i < E1000_MTA_WORDS; i++)
        intel_write(card, E1000_MTA + i * 4, 0);
}

/* A PHY that has a link keeps it over a reset of the MAC; another one may have been left without
 * power, or without a wish to negotiate. A card without a PHY takes no notice. */
void intel_set_link_up(const struct intel_nic *card)
{
    uint32_t control = intel_read(card, E1000_CTRL) & ~(uint32_t)E1000_CTRL_GIO_MASTER_DISABLE;
    intel_write(card, E1000_CTRL, control | E1000_CTRL_SLU);
    if (intel_read(card, E1000_STATUS) & E1000_STATUS_LU)
        return;
    intel_write(card, E1000_MDIC,
                E1000_MDIC_WRITE | E1000_MDIC_PHY | E1000_PHY_CONTROL << E1000_MDIC_REGISTER_SHIFT |
                    E1000_PHY_CONTROL_NEGOTIATE | E1000_PHY_CONTROL_RESTART);
    if (!intel_wait(card, E1000_MDIC, E1000_MDIC_READY, E1000_MDIC_READY))
        log_warning(card->family->name, "%s: the PHY does not answer", card->nic.location);
}

void intel_write_rss(const struct intel_nic *card, unsigned queue_count, unsigned queue_shift)
{
    const uint32_t key = NIC_RSS_KEY_EVEN * 0x00010001u | NIC_RSS_KEY_ODD * 0x01000100u;
    for (unsigned i = 0; i < E1000_RSS_KEY_BYTES; i += 4)
        intel_write(card, E1000_RSSRK + i, key);
    for (unsigned i = 0; i < E1000_RETA_ENTRIES; i += 4) {
        uint32_t word = 0;
        for (unsigned j = i; j < i + 4; j++)
            word |= nic_rss_queue(j, queue_count) << queue_shift << 8 * (j - i);
        intel_write(card, E1000_RETA + i, word);
    }
}

enum error intel_open_queues(struct nic *nic, unsigned queue_count,
                             const struct nic_queue_setup *setup, size_t queue_bytes)
{
    struct intel_nic *card = intel_card(nic);
    if (nic->queue_count != 0)
        return fail(ERROR_BUSY);
    if (queue_count == 0 || queue_count > nic->queue_max)
        return fail(ERROR_BAD_VALUE);
    pci_enable(card->device);
    enum error error = intel_reset(card);
    for (unsigned i = 0; i < queue_count && error == OK; i++)
        error = alloc_queue(card, i, &setup[i], queue_bytes);
    nic->ring_entries_rx = RING_ENTRIES;
    nic->ring_entries_tx = RING_ENTRIES;
    if (error != OK)
        intel_close(nic, setup[0].pool);
    return error;
}

static void free_queue(struct intel_nic *card, struct nic_queue *queue, struct packet_pool *local)
{
    card->past.rx_errors += queue->stats.rx_errors;
    card->past.rx_no_buffer += queue->stats.rx_no_buffer;
    card->past.tx_errors += queue->stats.tx_errors;
    for (unsigned i = 0; i < RING_ENTRIES; i++) {
        packet_free(local, queue->received[i]);
        packet_free(local, queue->sent[i]);
    }
    dma_free(queue->receive);
    dma_free(queue->transmit);
    memory_free(queue);
}

void intel_stop(struct nic *nic)
{
    struct intel_nic *card = intel_card(nic);
    struct nic_stats last;
    intel_stats(nic, &last); /* the reset clears the card's counters */
    if (intel_reset(card) != OK)
        log_warning(card->family->name, "%s does not answer a reset", nic->location);
    if (card->has_msi)
        pci_msi_clear(card->device);
    card->has_msi = false;
    disconnect(card);
    pci_disable(card->device); /* no DMA from here on, whatever the card thinks */
}

void intel_free_queues(struct nic *nic, struct packet_pool *local)
{
    for (unsigned i = 0; i < nic->queue_count; i++) {
        free_queue(intel_card(nic), nic->queues[i], local);
        nic->queues[i] = NULL;
    }
    nic->queue_count = 0;
    nic->polled = false;
    nic->completes_checksums = false;
    nic->ring_entries_rx = 0;
    nic->ring_entries_tx = 0;
}

/* From any state that open leaves behind. */
void intel_close(struct nic *nic, struct packet_pool *local)
{
    intel_stop(nic);
    intel_free_queues(nic, local);
}

/* ---- What is asked now and then ---------------------------------------------------------------
 */

bool intel_link_up(struct nic *nic)
{
    if (nic->queue_count == 0)
        return false;
    uint32_t status = intel_read(intel_card(nic), E1000_STATUS);
    return status != (uint32_t)E1000_MUTE && (status & E1000_STATUS_LU) != 0;
}

/* The card has frames to send and sends none. Without a link it need not. */
static bool hangs(struct intel_nic *card, struct nic_queue *queue)
{
    unsigned clean = queue->send_clean;
    bool waiting = clean != queue->send_told;
    uint64_t state = atomic_load_explicit(&queue->transmit[clean].state, memory_order_relaxed);
    if (intel_is_context(state))
        state = atomic_load_explicit(&queue->transmit[(clean + 1) & RING_MASK].state,
                                     memory_order_relaxed);
    waiting = waiting && !(state & E1000_TRANSMIT_DD) && intel_link_up(&card->nic);
    return nic_watch_hangs(&queue->watch, waiting, clean);
}

bool intel_is_well(struct nic *nic)
{
    struct intel_nic *card = intel_card(nic);
    if (nic->queue_count == 0)
        return true;
    for (unsigned i = 0; i < nic->queue_count; i++) {
        if (nic->queues[i]->broken)
            return false;
    }
    if (intel_read(card, E1000_STATUS) == (uint32_t)E1000_MUTE) {
        log_error(card->family->name, "%s does not answer any more", nic->location);
        return false;
    }
    for (unsigned i = 0; i < nic->queue_count; i++) {
        if (!hangs(card, nic->queues[i]))
            continue;
        log_error(card->family->name, "%s queue %u sends nothing any more", nic->location, i);
        return false;
    }
    return true;
}

enum error intel_set_mac(struct nic *nic, const uint8_t mac[6])
{
    if (mac[0] & ETHERNET_GROUP_BIT)
        return fail(ERROR_BAD_VALUE);
    memcpy(nic->mac, mac, sizeof(nic->mac));
    if (nic->queue_count != 0) /* else open() tells it */
        write_mac(intel_card(nic));
    return OK;
}

/* A counter of the card, 0 where it is mute. */
static uint64_t read_counter(const struct intel_nic *card, unsigned offset)
{
    uint32_t value = intel_read(card, offset);
    return value == (uint32_t)E1000_MUTE ? 0 : value;
}

/* Without RUC, frames that are too short: QEMU counts there what it pads and delivers. */
void intel_stats(struct nic *nic, struct nic_stats *stats)
{
    static const uint16_t error_counters[] = { E1000_CRCERRS, E1000_RXERRC, E1000_RLEC, E1000_ROC };
    struct intel_nic *card = intel_card(nic);
    if (nic->queue_count == 0) {
        *stats = card->past;
        return;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(error_counters); i++)
        card->past.rx_errors += read_counter(card, error_counters[i]);
    card->past.rx_no_buffer += read_counter(card, E1000_MPC);
    card->past.tx_errors += read_counter(card, E1000_ECOL) + read_counter(card, E1000_LATECOL);
    *stats = card->past;
    for (unsigned i = 0; i < nic->queue_count; i++) {
        const struct nic_stats *queue = &nic->queues[i]->stats;
        stats->rx_errors += counter_read(&queue->rx_errors);
        stats->rx_no_buffer += counter_read(&queue->rx_no_buffer);
        stats->tx_errors += counter_read(&queue->tx_errors);
    }
}

/* ---- Probing ----------------------------------------------------------------------------------
 */

static bool is_station_address(const uint8_t mac[6])
{
    static const uint8_t none[6];
    return !(mac[0] & ETHERNET_GROUP_BIT) && memcmp(mac, none, sizeof(none)) != 0;
}

/* [5.3.1] One word of the EEPROM. */
static bool read_eeprom(const struct intel_nic *card, unsigned word, uint8_t out[2])
{
    const struct intel_family *family = card->family;
    intel_write(card, E1000_EERD, word << family->eerd_address_shift | E1000_EERD_START);
    if (!intel_wait(card, E1000_EERD, family->eerd_done, family->eerd_done))
        return false;
    store_le16(out, (uint16_t)(intel_read(card, E1000_EERD) >> E1000_EERD_DATA_SHIFT));
    return true;
}

/* From where the reset has put it, else from the EEPROM. */
static bool read_mac(struct intel_nic *card)
{
    uint8_t *mac = card->nic.mac;
    uint32_t high = intel_read(card, E1000_RAH0);
    store_le32(mac, intel_read(card, E1000_RAL0));
    store_le16(mac + 4, (uint16_t)high);
    if (high & E1000_RAH_AV && is_station_address(mac))
        return true;
    for (unsigned word = 0; word < EEPROM_MAC_WORDS; word++) {
        if (!read_eeprom(card, word, mac + 2 * word))
            return false;
    }
    return is_station_address(mac);
}

/* Several only where each has an interrupt of its own. */
static unsigned count_queues(const struct intel_nic *card)
{
    struct pci_msix msix;
    if (card->family->queue_max == 1 || pci_msix_open(card->device, &msix) != OK)
        return 1;
    unsigned count = MIN_OF(MIN_OF(card->family->queue_max, msix.entry_count), NIC_QUEUE_MAX);
    pci_msix_close(card->device, &msix);
    return count;
}

struct nic *intel_probe(struct pci_device *device, const struct intel_family *family,
                        const struct nic_ops *ops, const char **why)
{
    struct intel_nic *card = memory_alloc(sizeof(*card), CACHE_LINE_BYTES, MEMORY_DRIVER);
    if (card == NULL) {
        *why = error_text(ERROR_NO_MEMORY);
        return NULL;
    }
    struct nic *nic = &card->nic;
    nic->ops = ops;
    nic->driver = family->name;
    nic->frame_max_bytes = family->frame_max_bytes;
    card->family = family;
    card->device = device;
    text_format(nic->location, sizeof(nic->location), "%04x:%02x:%02x.%u", device->address.segment,
                device->address.bus, device->address.device, device->address.function);

    pci_enable(device);
    card->registers = pci_map_bar(device, 0, family->bar_bytes);
    if (card->registers == NULL) {
        *why = "has no registers in BAR 0";
        goto failed;
    }
    if (intel_reset(card) != OK) {
        *why = "does not answer a reset";
        goto failed;
    }
    if (!read_mac(card)) {
        *why = "has no MAC address";
        goto failed;
    }
    nic->queue_max = count_queues(card);
    pci_disable(device);
    return nic;

failed:
    pci_disable(device);
    memory_free(card);
    return NULL;
}

void intel_remove(struct nic *nic)
{
    memory_free(intel_card(nic));
}
