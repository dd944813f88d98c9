/* Virtio network cards, modern interface (virtio 1.2, 5.1): finding, opening and closing them, and
 * what they are told and asked. What happens per packet is in virtio_split.c and virtio_packed.c,
 * after the kind of rings that the device offers.
 *
 * Guest checksum and guest segmentation are not negotiated: they would give us unfinished packets
 * to forward. So no received checksum is vouched for. */
#include "drivers/virtio_net.h"

#include <string.h>

#include "drivers/driver_table.h"
#include "kernel/base/log.h"

enum {
    MTU_MIN = 68,              /* RFC 791 */
    MTU_MAX = 9216,            /* fits PACKET_SEGMENT_MAX buffers with room to spare */
    PAIR_COUNT_MAX = 0x8000,   /* 5.1.4.1 */
    ETHERNET_GROUP_BIT = 0x01, /* of the first byte of an address */
    ETHERNET_LOCAL_BIT = 0x02,
    RSS_TABLE_MAX = 128, /* entries: enough that queues differ by little where they are not 2^n */
    RSS_KEY_BYTES = 40,
};

const char virtio_net_name[] = "virtio-net";

static struct virtio_nic *card_of(struct nic *nic)
{
    return CONTAINER_OF(nic, struct virtio_nic, nic);
}

/* ---- Commands, 5.1.6.5 ------------------------------------------------------------------------
 */

/* What this card should let through: its own address and all groups. */
static enum error set_filter(struct virtio_nic *card)
{
    static const uint8_t off = 0, on = 1;
    enum error error = virtio_control_command(card, VIRTIO_NET_CONTROL_RX,
                                              VIRTIO_NET_CONTROL_RX_PROMISCUOUS, &off, sizeof(off));
    if (error != OK)
        return error;
    return virtio_control_command(card, VIRTIO_NET_CONTROL_RX, VIRTIO_NET_CONTROL_RX_ALL_MULTICAST,
                                  &on, sizeof(on));
}

static enum error set_mac(struct virtio_nic *card, const uint8_t mac[6])
{
    return virtio_control_command(card, VIRTIO_NET_CONTROL_MAC, VIRTIO_NET_CONTROL_MAC_ADDRESS_SET,
                                  mac, 6);
}

static enum error set_pairs(struct virtio_nic *card, unsigned pair_count)
{
    uint16_t pairs = (uint16_t)pair_count;
    return virtio_control_command(card, VIRTIO_NET_CONTROL_MQ, VIRTIO_NET_CONTROL_MQ_PAIRS_SET,
                                  &pairs, sizeof(pairs));
}

/* Entries of the indirection table: as many as the device takes, a power of two. */
static unsigned rss_table_entries(const struct virtio_nic *card)
{
    unsigned limit = mmio_read16(card->virtio.config + VIRTIO_NET_CONFIG_RSS_TABLE_MAX);
    unsigned entries = RSS_TABLE_MAX;
    while (entries > limit)
        entries /= 2;
    return entries;
}

/* 5.1.6.5.7.1: spreads by addresses and ports, with the key and the table of nic.h. */
static enum error set_rss(struct virtio_nic *card, unsigned pair_count)
{
    uint8_t data[VIRTIO_NET_RSS_TABLE + RSS_TABLE_MAX * sizeof(uint16_t) + VIRTIO_NET_RSS_KEY +
                 RSS_KEY_BYTES] = { 0 };
    unsigned entries = rss_table_entries(card);
    unsigned key_max = mmio_read8(card->virtio.config + VIRTIO_NET_CONFIG_RSS_KEY_MAX);
    uint32_t types = mmio_read32(card->virtio.config + VIRTIO_NET_CONFIG_RSS_HASH_TYPES);
    types &= VIRTIO_NET_HASH_IPV4 | VIRTIO_NET_HASH_TCPV4 | VIRTIO_NET_HASH_UDPV4 |
             VIRTIO_NET_HASH_IPV6 | VIRTIO_NET_HASH_TCPV6 | VIRTIO_NET_HASH_UDPV6;
    if (entries < pair_count || key_max < RSS_KEY_BYTES || types == 0)
        return fail(ERROR_UNSUPPORTED);

    store_le32(data + VIRTIO_NET_RSS_HASH_TYPES, types);
    store_le16(data + VIRTIO_NET_RSS_TABLE_MASK, (uint16_t)(entries - 1));
    for (unsigned i = 0; i < entries; i++) {
        uint16_t pair = (uint16_t)nic_rss_queue(i, pair_count);
        store_le16(data + VIRTIO_NET_RSS_TABLE + i * sizeof(uint16_t), pair);
    }
    uint8_t *tail = data + VIRTIO_NET_RSS_TABLE + entries * sizeof(uint16_t);
    store_le16(tail + VIRTIO_NET_RSS_TRANSMIT_MAX, (uint16_t)pair_count);
    tail[VIRTIO_NET_RSS_KEY_LENGTH] = RSS_KEY_BYTES;
    for (unsigned i = 0; i < RSS_KEY_BYTES; i++)
        tail[VIRTIO_NET_RSS_KEY + i] = i % 2 == 0 ? NIC_RSS_KEY_EVEN : NIC_RSS_KEY_ODD;
    size_t data_bytes = (size_t)(tail - data) + VIRTIO_NET_RSS_KEY + RSS_KEY_BYTES;
    return virtio_control_command(card, VIRTIO_NET_CONTROL_MQ, VIRTIO_NET_CONTROL_MQ_RSS_CONFIG,
                                  data, data_bytes);
}

/* Lets the device use that many pairs: it spreads by a hash, or steers a flow to the pair that we
 * have sent the flow's last packet by (5.1.6.5.5). */
static enum error spread(struct virtio_nic *card, unsigned pair_count)
{
    if (card->features & VIRTIO_NET_F_RSS) {
        enum error error = set_rss(card, pair_count);
        if (error != ERROR_UNSUPPORTED)
            return error;
        log_warning(virtio_net_name, "%s offers to spread by hashes, but does not",
                    card->nic.location);
    }
    return pair_count == 1 ? OK : set_pairs(card, pair_count);
}

/* For interrupt_connect_pci_pin(): a card with INTx raises it when it has obeyed a command. */
static void raise_interrupt(void *device)
{
    struct virtio_nic *card = device;
    static const uint8_t on = 1;
    virtio_control_interrupt(card, true);
    (void)virtio_control_command(card, VIRTIO_NET_CONTROL_RX, VIRTIO_NET_CONTROL_RX_ALL_MULTICAST,
                                 &on, sizeof(on));
    virtio_control_interrupt(card, false);
}

static void quiet_interrupt(void *device)
{
    struct virtio_nic *card = device;
    (void)virtio_pci_interrupt_status(&card->virtio);
}

/* ---- Opening and closing -------------------------------------------------------------------- */

static enum error open_ring(struct nic_queue *queue, struct ring *ring, unsigned number,
                            uint16_t vector)
{
    enum error error = virtio_ring_open(&queue->card->virtio, &ring->shared, (uint16_t)number,
                                        RING_ENTRIES_MAX, vector);
    if (error != OK)
        return error;
    ring->mask = ring->shared.entries - 1u;
    return OK;
}

/* No interrupts for now; of a transmit ring never. */
static void silence(const struct virtio_pci *virtio, const struct virtio_ring *ring)
{
    if (virtio->packed)
        atomic_store_explicit(&ring->driver_event->flags, VIRTIO_PACKED_EVENT_DISABLE,
                              memory_order_relaxed);
    else
        atomic_store_explicit(&ring->available->flags, VIRTIO_AVAILABLE_NO_INTERRUPT,
                              memory_order_relaxed);
}

/* Gives the queue pair an entry of the MSI-X table; VIRTIO_NO_VECTOR where that is not possible. */
static uint16_t connect_message(struct virtio_nic *card, struct nic_queue *queue, unsigned core)
{
    if (queue->pair >= card->msix.entry_count)
        return VIRTIO_NO_VECTOR;
    queue->interrupt = interrupt_alloc(core);
    if (queue->interrupt < 0)
        return VIRTIO_NO_VECTOR;
    if (pci_msix_set(&card->msix, queue->pair, queue->interrupt) == OK)
        return (uint16_t)queue->pair;
    interrupt_free(queue->interrupt);
    queue->interrupt = -1;
    return VIRTIO_NO_VECTOR;
}

static enum error open_queue(struct virtio_nic *card, unsigned pair,
                             const struct nic_queue_setup *setup)
{
    struct nic_queue *queue = memory_alloc(sizeof(*queue), CACHE_LINE_BYTES, MEMORY_DRIVER);
    if (queue == NULL)
        return fail(ERROR_NO_MEMORY);
    card->nic.queues[pair] = queue;
    card->nic.queue_count = pair + 1;
    queue->card = card;
    queue->pool = setup->pool;
    queue->register_accesses = &card->nic.register_accesses[pair];
    queue->pair = pair;
    queue->merged_buffers = (card->features & VIRTIO_NET_F_MRG_RXBUF) != 0;
    queue->interrupt = -1;
    queue->chained.next_segment = &queue->chained; /* so that it is no frame of one segment */

    uint16_t vector = connect_message(card, queue, setup->core);
    enum error error = open_ring(queue, &queue->receive, 2 * pair, vector);
    if (error != OK)
        return error;
    if (queue->receive.shared.vector == VIRTIO_NO_VECTOR)
        card->nic.polled = true;
    error = open_ring(queue, &queue->transmit, 2 * pair + 1, VIRTIO_NO_VECTOR);
    if (error != OK)
        return error;
    silence(&card->virtio, &queue->receive.shared);
    silence(&card->virtio, &queue->transmit.shared);
    return OK;
}

/* Without MSI-X: proves INTx by a command that the device answers with it. */
static void connect_pin(struct virtio_nic *card, unsigned core)
{
    if (card->control == NULL)
        return;
    card->pin = interrupt_alloc(core);
    if (card->pin < 0)
        return;
    if (interrupt_connect_pci_pin(card->pin, card->virtio.device->interrupt_line, raise_interrupt,
                                  quiet_interrupt, card)) {
        card->nic.polled = false;
        return;
    }
    interrupt_free(card->pin);
    card->pin = -1;
}

static void free_slots(struct ring *ring, const struct nic_queue *queue, struct packet_pool *local)
{
    for (unsigned i = 0; i < RING_ENTRIES_MAX; i++) {
        if (ring->slots[i] != NULL && ring->slots[i] != &queue->chained)
            packet_free(local, ring->slots[i]);
    }
    virtio_ring_close(&ring->shared);
}

static void close_queue(struct virtio_nic *card, struct nic_queue *queue, struct packet_pool *local)
{
    card->past.rx_errors += queue->stats.rx_errors;
    card->past.rx_no_buffer += queue->stats.rx_no_buffer;
    card->past.tx_errors += queue->stats.tx_errors;
    free_slots(&queue->receive, queue, local);
    free_slots(&queue->transmit, queue, local);
    if (queue->interrupt >= 0)
        interrupt_free(queue->interrupt);
    memory_free(queue);
}

/* From any state that open leaves behind. */
static void virtio_net_close(struct nic *nic, struct packet_pool *local)
{
    struct virtio_nic *card = card_of(nic);
    if (virtio_pci_reset(&card->virtio) != OK)
        log_warning(virtio_net_name, "%s does not answer a reset", nic->location);
    if (card->msix.entry_count > 0)
        pci_msix_close(card->virtio.device, &card->msix);
    card->msix = (struct pci_msix){ .entry_count = 0 };
    pci_disable(card->virtio.device); /* no DMA from here on, whatever the device thinks */

    for (unsigned i = 0; i < nic->queue_count; i++) {
        close_queue(card, nic->queues[i], local);
        nic->queues[i] = NULL;
    }
    nic->queue_count = 0;
    nic->polled = false;
    nic->completes_checksums = false;
    nic->ring_entries_rx = 0;
    nic->ring_entries_tx = 0;
    virtio_control_close(card);
    if (card->pin >= 0)
        interrupt_free(card->pin);
    card->pin = -1;
}

/* Everything before the device is live: rings, interrupts, features. */
static enum error prepare(struct virtio_nic *card, unsigned queue_count,
                          const struct nic_queue_setup *setup)
{
    uint64_t wanted = VIRTIO_F_VERSION_1 | VIRTIO_F_RING_PACKED | VIRTIO_NET_F_CSUM |
                      VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC | VIRTIO_NET_F_MRG_RXBUF |
                      VIRTIO_NET_F_STATUS | VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_CTRL_RX |
                      VIRTIO_NET_F_CTRL_MAC_ADDR;
    if (queue_count > 1)
        wanted |= VIRTIO_NET_F_MQ | VIRTIO_NET_F_RSS;
    card->features = card->offered & wanted;
    card->nic.completes_checksums = (card->features & VIRTIO_NET_F_CSUM) != 0;
    enum error error = virtio_pci_negotiate(&card->virtio, card->features);
    if (error != OK)
        return error;
    if (pci_msix_open(card->virtio.device, &card->msix) != OK)
        card->msix = (struct pci_msix){ .entry_count = 0 };
    for (unsigned i = 0; i < queue_count; i++) {
        error = open_queue(card, i, &setup[i]);
        if (error != OK)
            return error;
    }
    if (!(card->features & VIRTIO_NET_F_CTRL_VQ))
        return OK;
    /* 5.1.2: the control queue comes after all the pairs that the device can have. */
    unsigned pairs = card->features & VIRTIO_NET_F_MQ ? card->device_pairs : 1;
    return virtio_control_open(card, (uint16_t)(2 * pairs));
}

/* What the live device is told by commands. */
static enum error instruct(struct virtio_nic *card, unsigned queue_count)
{
    if (card->features & VIRTIO_NET_F_CTRL_RX) {
        enum error error = set_filter(card);
        if (error == ERROR_UNSUPPORTED) /* then it lets everything through, which costs only time */
            log_warning(virtio_net_name, "%s does not take a receive filter", card->nic.location);
        else if (error != OK)
            return error;
    }
    if (card->features & VIRTIO_NET_F_CTRL_MAC_ADDR && card->mac_is_ours) {
        enum error error = set_mac(card, card->nic.mac);
        if (error != OK)
            return error;
    }
    return spread(card, queue_count);
}

static enum error virtio_net_open(struct nic *nic, unsigned queue_count,
                                  const struct nic_queue_setup *setup)
{
    struct virtio_nic *card = card_of(nic);
    if (nic->queue_count != 0)
        return fail(ERROR_BUSY);
    if (queue_count == 0 || queue_count > nic->queue_max)
        return fail(ERROR_BAD_VALUE);
    pci_enable(card->virtio.device);
    enum error error = prepare(card, queue_count, setup);
    if (error != OK)
        goto failed;
    virtio_pci_start(&card->virtio);
    error = instruct(card, queue_count);
    if (error != OK)
        goto failed;
    if (card->msix.entry_count == 0)
        connect_pin(card, setup[0].core);
    if (nic->polled)
        log_warning(virtio_net_name, "%s: no interrupt reaches us, so it is polled", nic->location);
    nic->ring_entries_rx = nic->queues[0]->receive.shared.entries;
    nic->ring_entries_tx = nic->queues[0]->transmit.shared.entries;
    return OK;

failed:
    virtio_net_close(nic, setup[0].pool);
    return error;
}

/* ---- What is asked now and then ------------------------------------------------------------- */

static bool virtio_net_link_up(struct nic *nic)
{
    struct virtio_nic *card = card_of(nic);
    if (nic->queue_count == 0)
        return false;
    if (!(card->features & VIRTIO_NET_F_STATUS))
        return true;
    return mmio_read16(card->virtio.config + VIRTIO_NET_CONFIG_STATUS) & VIRTIO_NET_STATUS_LINK_UP;
}

/* The device has frames to send and sends none. */
static bool hangs(const struct virtio_nic *card, struct nic_queue *queue)
{
    const struct ring *ring = &queue->transmit;
    bool sent = card->virtio.packed ? virtio_packed_has_sent(ring) : virtio_split_has_sent(ring);
    return nic_watch_hangs(&queue->watch, ring->used_next != ring->offered && !sent,
                           ring->used_next);
}

static bool virtio_net_is_well(struct nic *nic)
{
    struct virtio_nic *card = card_of(nic);
    for (unsigned i = 0; i < nic->queue_count; i++) {
        if (nic->queues[i]->broken)
            return false;
    }
    if (virtio_pci_is_broken(&card->virtio)) {
        log_error(virtio_net_name, "%s has stopped and wants a reset", nic->location);
        return false;
    }
    for (unsigned i = 0; i < nic->queue_count; i++) {
        if (!hangs(card, nic->queues[i]))
            continue;
        log_error(virtio_net_name, "%s queue %u sends nothing any more", nic->location, i);
        return false;
    }
    return true;
}

static enum error virtio_net_set_mac(struct nic *nic, const uint8_t mac[6])
{
    struct virtio_nic *card = card_of(nic);
    if (mac[0] & ETHERNET_GROUP_BIT)
        return fail(ERROR_BAD_VALUE);
    if (memcmp(nic->mac, mac, sizeof(nic->mac)) == 0)
        return OK;
    uint64_t needed = VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_CTRL_MAC_ADDR;
    if ((card->offered & needed) != needed)
        return fail(ERROR_UNSUPPORTED);
    if (nic->queue_count != 0) { /* else open() tells it */
        enum error error = set_mac(card, mac);
        if (error != OK)
            return error;
    }
    memcpy(nic->mac, mac, sizeof(nic->mac));
    card->mac_is_ours = true;
    return OK;
}

static void virtio_net_stats(struct nic *nic, struct nic_stats *stats)
{
    *stats = card_of(nic)->past;
    for (unsigned i = 0; i < nic->queue_count; i++) {
        const struct nic_stats *queue = &nic->queues[i]->stats;
        stats->rx_errors += counter_read(&queue->rx_errors);
        stats->rx_no_buffer += counter_read(&queue->rx_no_buffer);
        stats->tx_errors += counter_read(&queue->tx_errors);
    }
}

/* ---- Probing -------------------------------------------------------------------------------- */

/* What differs by the kind of rings is chosen here, not packet by packet. */
static const struct nic_ops split_ops = {
    .open = virtio_net_open,
    .close = virtio_net_close,
    .receive = virtio_split_receive,
    .transmit = virtio_split_transmit,
    .flush = virtio_split_flush,
    .arm = virtio_split_arm,
    .disarm = virtio_split_disarm,
    .link_up = virtio_net_link_up,
    .is_well = virtio_net_is_well,
    .set_mac = virtio_net_set_mac,
    .stats = virtio_net_stats,
};

static const struct nic_ops packed_ops = {
    .open = virtio_net_open,
    .close = virtio_net_close,
    .receive = virtio_packed_receive,
    .transmit = virtio_packed_transmit,
    .flush = virtio_packed_flush,
    .arm = virtio_packed_arm,
    .disarm = virtio_packed_disarm,
    .link_up = virtio_net_link_up,
    .is_well = virtio_net_is_well,
    .set_mac = virtio_net_set_mac,
    .stats = virtio_net_stats,
};

static void read_mac(struct virtio_nic *card)
{
    static const uint8_t none[6];
    uint8_t *mac = card->nic.mac;
    if (card->offered & VIRTIO_NET_F_MAC) {
        for (unsigned i = 0; i < sizeof(card->nic.mac); i++)
            mac[i] = mmio_read8(card->virtio.config + VIRTIO_NET_CONFIG_MAC + i);
        if (!(mac[0] & ETHERNET_GROUP_BIT) && memcmp(mac, none, sizeof(none)) != 0)
            return;
    }
    random_bytes(mac, sizeof(card->nic.mac));
    mac[0] = (uint8_t)((mac[0] & ~ETHERNET_GROUP_BIT) | ETHERNET_LOCAL_BIT);
    card->mac_is_ours = true;
    log_warning(virtio_net_name, "%s has no MAC address; this one was made up: %pM",
                card->nic.location, mac);
}

/* How many pairs the device has, as far as we could give each an interrupt and command it. */
static void count_pairs(struct virtio_nic *card)
{
    card->device_pairs = 1;
    card->nic.queue_max = 1;
    uint64_t needed = VIRTIO_NET_F_MQ | VIRTIO_NET_F_CTRL_VQ;
    if ((card->offered & needed) != needed)
        return;
    unsigned pairs = mmio_read16(card->virtio.config + VIRTIO_NET_CONFIG_PAIR_COUNT);
    if (pairs < 1 || pairs > PAIR_COUNT_MAX)
        return;
    card->device_pairs = pairs;
    struct pci_msix msix;
    if (pci_msix_open(card->virtio.device, &msix) != OK)
        return;
    card->nic.queue_max = MIN_OF(MIN_OF(pairs, msix.entry_count), NIC_QUEUE_MAX);
    pci_msix_close(card->virtio.device, &msix);
}

/* Features whose fields lie behind the end of the configuration are none. */
static uint64_t features_in_reach(const struct virtio_pci *virtio, uint64_t features)
{
    if (virtio->config_bytes < VIRTIO_NET_CONFIG_STATUS)
        features &= ~VIRTIO_NET_F_MAC;
    if (virtio->config_bytes < VIRTIO_NET_CONFIG_PAIR_COUNT)
        features &= ~VIRTIO_NET_F_STATUS;
    if (virtio->config_bytes < VIRTIO_NET_CONFIG_MTU)
        features &= ~VIRTIO_NET_F_MQ;
    if (virtio->config_bytes < VIRTIO_NET_CONFIG_SPEED)
        features &= ~VIRTIO_NET_F_MTU;
    if (virtio->config_bytes < VIRTIO_NET_CONFIG_END)
        features &= ~VIRTIO_NET_F_RSS;
    return features;
}

static void read_frame_max(struct virtio_nic *card)
{
    unsigned mtu = MTU_MAX;
    if (card->offered & VIRTIO_NET_F_MTU) {
        unsigned device_mtu = mmio_read16(card->virtio.config + VIRTIO_NET_CONFIG_MTU);
        if (device_mtu >= MTU_MIN)
            mtu = MIN_OF(mtu, device_mtu);
    }
    card->nic.frame_max_bytes = ETHERNET_HEADER_BYTES + mtu;
}

static struct nic *virtio_net_probe(struct pci_device *device, const char **why)
{
    struct virtio_nic *card = memory_alloc(sizeof(*card), CACHE_LINE_BYTES, MEMORY_DRIVER);
    if (card == NULL) {
        *why = error_text(ERROR_NO_MEMORY);
        return NULL;
    }
    struct nic *nic = &card->nic;
    nic->driver = virtio_net_name;
    card->pin = -1;
    text_format(nic->location, sizeof(nic->location), "%04x:%02x:%02x.%u", device->address.segment,
                device->address.bus, device->address.device, device->address.function);

    pci_enable(device);
    if (virtio_pci_find(device, &card->virtio, why) != OK)
        goto failed;
    if (virtio_pci_reset(&card->virtio) != OK) {
        *why = "does not answer a reset";
        goto failed;
    }
    card->offered = features_in_reach(&card->virtio, virtio_pci_features(&card->virtio));
    if (!(card->offered & VIRTIO_F_VERSION_1)) {
        *why = "does not offer virtio version 1";
        goto failed;
    }
    nic->ops = card->offered & VIRTIO_F_RING_PACKED ? &packed_ops : &split_ops;
    read_mac(card);
    count_pairs(card);
    read_frame_max(card);
    pci_disable(device);
    return nic;

failed:
    pci_disable(device);
    memory_free(card);
    return NULL;
}

static void virtio_net_remove(struct nic *nic)
{
    memory_free(card_of(nic));
}

static const struct pci_id virtio_net_ids[] = {
    { VIRTIO_VENDOR, VIRTIO_DEVICE_NET_TRANSITIONAL },
    { VIRTIO_VENDOR, VIRTIO_DEVICE_NET },
    { 0, 0 },
};

const struct pci_driver virtio_net_driver = {
    .name = virtio_net_name,
    .ids = virtio_net_ids,
    .probe = virtio_net_probe,
    .remove = virtio_net_remove,
};
