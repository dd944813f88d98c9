/* Intel 8254x gigabit cards as hypervisors emulate them: 82540EM and 82545EM. Source: 8254x SDM,
 * 317453; sections in brackets. One queue pair, legacy descriptors, INTx.
 *
 *   receive   descriptor i always points to buffer i of 2048 bytes; the frame is copied into a
 * packet. The card knows buffers of 1024 or 2048 bytes only, and with long frames allowed it fills
 *             them; a packet has room for 1792. So either every full frame comes in two pieces, or
 * frames are copied, which costs less than emulating this card costs anyone. A descriptor goes back
 * by clearing its state; a frame for which there is no packet is lost at no other cost. transmit
 * descriptor i sends a segment of the packet; the slot of the frame's last one holds the packet
 * until the card sets DD there.
 *
 * Head and tail [3.2.6, 3.4]: equal means empty, so the driver always keeps one descriptor back.
 * The card's registers are never read in the hot path: DD in memory says all. */
#include <stdatomic.h>
#include <string.h>

#include "drivers/driver_table.h"
#include "drivers/e1000_regs.h"
#include "drivers/nic.h"
#include "kernel/base/bytes.h"
#include "kernel/base/counter.h"
#include "kernel/base/log.h"

enum {
    RING_ENTRIES = NIC_RING_DEFAULT, /* RDLEN is a multiple of 128 bytes [13.4.27] */
    RING_MASK = RING_ENTRIES - 1,
    RETURN_BATCH = 32, /* receive descriptors given back by one register write */
    RING_ALIGN_BYTES = 128,
    RESET_READS_MAX = 20000, /* waiting is counted in register reads, of about a microsecond each */
    RESET_READS_MIN = 10,    /* [13.4.1] the card is deaf for a microsecond */
    EEPROM_READS_MAX = 20000,
    EEPROM_MAC_WORDS = 3, /* at word 0 [5.6] */
    ETHERNET_HEADER_BYTES = 14,
    ETHERNET_GROUP_BIT = 0x01,
    /* [14.5] 16128 is the card's limit; ours is what a chain of packets carries and some. */
    FRAME_MAX_BYTES = ETHERNET_HEADER_BYTES + 9216,
    /* With TCTL.PSP the card pads, but not what is shorter than this. Found in other drivers. */
    SEND_BYTES_MIN = 17,
    CHAIN_MAX = 32, /* descriptors of one frame to send */
    COPY_BYTES = 64,
};
_Static_assert((RING_ENTRIES & RING_MASK) == 0, "indices are masked");
_Static_assert(PACKET_ROOM_BYTES % COPY_BYTES == 0 && E1000_BUFFER_BYTES % COPY_BYTES == 0,
               "copies are in whole blocks");

static const char subject[] = "e1000";

struct nic_queue {
    /* Set by open. */
    struct e1000_nic *card;
    struct packet_pool *pool;
    uint64_t *register_accesses;
    struct e1000_receive_descriptor *receive;
    struct e1000_transmit_descriptor *transmit;
    uint8_t (*buffers)[E1000_BUFFER_BYTES];
    int interrupt; /* -1: none */
    /* Owned by the queue's core. */
    _Atomic bool broken; /* read by others */
    bool skipping;       /* the rest of a frame that is lost */
    uint16_t receive_next;
    uint16_t unreturned; /* receive descriptors done and not given back */
    uint16_t send_next;
    uint16_t send_told;     /* TDT */
    uint16_t send_clean;    /* the oldest descriptor that may not be sent yet */
    struct packet *partial; /* the chain of a frame whose end has not come */
    struct packet *partial_last;
    struct nic_stats stats; /* counters */
    struct packet *slots[RING_ENTRIES];
    /* Control core. */
    struct nic_watch watch; /* of the transmit ring */
};

struct e1000_nic {
    struct nic nic;
    /* Set by probe. */
    struct pci_device *device;
    uint8_t *registers;
    /* Control core. */
    struct nic_stats past; /* the card's own counters, and those of closed queues */
};

static struct e1000_nic *card_of(struct nic *nic)
{
    return CONTAINER_OF(nic, struct e1000_nic, nic);
}

static uint32_t read_register(const struct e1000_nic *card, unsigned offset)
{
    return mmio_read32(card->registers + offset);
}

static void write_register(const struct e1000_nic *card, unsigned offset, uint32_t value)
{
    mmio_write32(card->registers + offset, value);
}

/* ---- Receiving [3.2] ------------------------------------------------------------------------ */

/* Whether the card vouches for the transport checksum. */
static inline uint8_t checksum_flag(uint64_t state)
{
    const uint64_t said = E1000_RECEIVE_TCPCS | E1000_RECEIVE_IXSM | E1000_RECEIVE_TCPE;
    return (state & said) == E1000_RECEIVE_TCPCS ? PACKET_CHECKSUM_GOOD : 0;
}

/* Whole blocks, in registers; there is room behind the end in either buffer. */
static inline void copy_blocks(uint8_t *to, const uint8_t *from, uint32_t length_bytes)
{
    for (uint32_t at = 0; at < length_bytes; at += COPY_BYTES)
        memcpy(to + at, from + at, COPY_BYTES);
}

static void lose_partial(struct nic_queue *queue, uint64_t *counter)
{
    counter_add(counter, 1);
    packet_free(queue->pool, queue->partial);
    queue->partial = NULL;
    queue->partial_last = NULL;
}

/* Appends bytes to the partial chain; false, and nothing left of it, where there is no room. */
static bool append(struct nic_queue *queue, const uint8_t *from, uint32_t length_bytes)
{
    while (length_bytes > 0) {
        struct packet *last = queue->partial_last;
        if (last == NULL || last->length_bytes == PACKET_ROOM_BYTES) {
            struct packet *fresh = NULL;
            bool too_long = queue->partial != NULL && queue->partial->frame_length_bytes >=
                                                          PACKET_SEGMENT_MAX * PACKET_ROOM_BYTES;
            if (!too_long)
                fresh = packet_alloc(queue->pool);
            if (fresh == NULL) {
                lose_partial(queue,
                             too_long ? &queue->stats.rx_errors : &queue->stats.rx_no_buffer);
                return false;
            }
            if (last == NULL)
                queue->partial = fresh;
            else
                last->next_segment = fresh;
            queue->partial_last = fresh;
            last = fresh;
        }
        uint32_t here = MIN_OF(length_bytes, PACKET_ROOM_BYTES - last->length_bytes);
        memcpy(last->data + last->length_bytes, from, here);
        last->length_bytes += here;
        queue->partial->frame_length_bytes += here;
        from += here;
        length_bytes -= here;
    }
    return true;
}

/* What is not one good frame in one descriptor that fits one packet. Answers a frame when it is
 * whole. */
static struct packet *receive_piece(struct nic_queue *queue, const uint8_t *buffer, uint64_t state)
{
    bool last = state & E1000_RECEIVE_EOP;
    if (queue->skipping) {
        queue->skipping = !last;
        return NULL;
    }
    if (state & E1000_RECEIVE_ERRORS) {
        lose_partial(queue, &queue->stats.rx_errors);
        queue->skipping = !last;
        return NULL;
    }
    if (!append(queue, buffer, E1000_RECEIVE_LENGTH(state))) {
        queue->skipping = !last;
        return NULL;
    }
    if (!last)
        return NULL;
    struct packet *packet = queue->partial;
    if (packet == NULL || packet->length_bytes < ETHERNET_HEADER_BYTES) {
        lose_partial(queue, &queue->stats.rx_errors);
        return NULL;
    }
    queue->partial = NULL;
    queue->partial_last = NULL;
    return packet;
}

static void return_descriptors(struct nic_queue *queue)
{
    io_fence();
    /* The tail is the one that we keep back: the last that was done. [3.2.6] */
    write_register(queue->card, E1000_RDT, (queue->receive_next - 1u) & RING_MASK);
    counter_add(queue->register_accesses, 1);
    queue->unreturned = 0;
}

/* One frame, or a piece of one, whatever it is; false where there is none. */
static bool receive_any(struct nic_queue *queue, struct batch *batch)
{
    struct e1000_receive_descriptor *descriptor = &queue->receive[queue->receive_next];
    uint64_t state = atomic_load_explicit(&descriptor->state, memory_order_acquire);
    if (!(state & E1000_RECEIVE_DD))
        return false;
    if (E1000_RECEIVE_LENGTH(state) > E1000_BUFFER_BYTES) {
        queue->broken = true;
        log_error(subject, "%s stopped: the card wrote %u bytes into a buffer",
                  queue->card->nic.location, E1000_RECEIVE_LENGTH(state));
        return false;
    }
    struct packet *packet = receive_piece(queue, queue->buffers[queue->receive_next], state);
    if (packet != NULL)
        batch->packets[batch->count++] = packet;
    atomic_store_explicit(&descriptor->state, 0, memory_order_release);
    queue->receive_next = (queue->receive_next + 1u) & RING_MASK;
    queue->unreturned++;
    return true;
}

/* The same with all in registers, while frames are good and each is in one descriptor. */
static void receive_quickly(struct nic_queue *queue, struct batch *batch)
{
    struct packet_pool *pool = queue->pool;
    const unsigned room = pool_prepare(pool, BATCH_MAX - batch->count);
    struct packet **top = pool->top;
    struct packet **out = &batch->packets[batch->count];
    struct packet **const end = out + room;
    unsigned next = queue->receive_next;

    for (; out != end; next = (next + 1) & RING_MASK) {
        struct e1000_receive_descriptor *descriptor = &queue->receive[next];
        uint64_t state = atomic_load_explicit(&descriptor->state, memory_order_acquire);
        uint32_t length = E1000_RECEIVE_LENGTH(state);
        if ((state & E1000_RECEIVE_WHOLE_MASK) != E1000_RECEIVE_WHOLE)
            break;
        if (UNLIKELY(length - ETHERNET_HEADER_BYTES > PACKET_ROOM_BYTES - ETHERNET_HEADER_BYTES))
            break;
        struct packet *packet = pool_pop(&top);
        copy_blocks(packet->data, queue->buffers[next], length);
        packet->flags = checksum_flag(state);
        packet->length_bytes = length;
        packet->frame_length_bytes = length;
        *out++ = packet;
        atomic_store_explicit(&descriptor->state, 0, memory_order_release);
    }
    pool->top = top;
    queue->receive_next = (uint16_t)next;
    queue->unreturned = (uint16_t)(queue->unreturned + (out - &batch->packets[batch->count]));
    batch->count = (unsigned)(out - batch->packets);
}

static void e1000_receive(struct nic_queue *queue, struct batch *batch)
{
    if (UNLIKELY(queue->broken))
        return;
    /* No more than once around, whatever the card writes meanwhile. */
    for (unsigned round = 0; round < RING_ENTRIES; round++) {
        if (LIKELY(queue->partial == NULL && !queue->skipping))
            receive_quickly(queue, batch);
        if (batch->count == BATCH_MAX || !receive_any(queue, batch))
            break;
    }
    if (queue->unreturned >= RETURN_BATCH)
        return_descriptors(queue);
}

/* ---- Transmitting [3.3, 3.4] ---------------------------------------------------------------- */

/* Frees what the card has sent. */
static void reclaim(struct nic_queue *queue)
{
    struct packet_pool *pool = queue->pool;
    struct packet **top = pool->top;
    unsigned clean = queue->send_clean;
    const unsigned told = queue->send_told;

    for (; clean != told; clean = (clean + 1) & RING_MASK) {
        uint64_t state = atomic_load_explicit(&queue->transmit[clean].state, memory_order_acquire);
        if (!(state & E1000_TRANSMIT_DD))
            break;
        struct packet *packet = queue->slots[clean];
        if (packet == NULL) /* no frame's last segment */
            continue;
        queue->slots[clean] = NULL;
        if (LIKELY(pool_push(pool, &top, packet)))
            continue;
        pool->top = top;
        packet_free(pool, packet);
        top = pool->top;
    }
    pool->top = top;
    queue->send_clean = (uint16_t)clean;
}

static void e1000_flush(struct nic_queue *queue)
{
    if (queue->send_next != queue->send_told) {
        io_fence();
        write_register(queue->card, E1000_TDT, queue->send_next);
        counter_add(queue->register_accesses, 1);
        queue->send_told = queue->send_next;
    }
    reclaim(queue);
}

static unsigned room_to_send(const struct nic_queue *queue)
{
    return (queue->send_clean - queue->send_next - 1u) & RING_MASK;
}

static inline void describe(struct nic_queue *queue, const struct packet *segment, uint64_t command)
{
    struct e1000_transmit_descriptor *descriptor = &queue->transmit[queue->send_next];
    descriptor->address = packet_dma(segment, segment->data);
    /* RS in each, so that every descriptor is collected by itself. */
    uint64_t state = segment->length_bytes | E1000_TRANSMIT_IFCS | E1000_TRANSMIT_RS | command;
    atomic_store_explicit(&descriptor->state, state, memory_order_release);
    queue->send_next = (queue->send_next + 1) & RING_MASK;
}

/* How many descriptors the frame needs. */
static unsigned count_segments(const struct packet *packet)
{
    unsigned count = 0;
    for (; packet != NULL; packet = packet->next_segment)
        count++;
    return count;
}

/* A frame can be too short for the card, or be more segments than any frame of ours. */
static bool can_send(struct packet *packet, unsigned segment_count)
{
    if (segment_count > CHAIN_MAX)
        return false;
    if (packet->frame_length_bytes >= SEND_BYTES_MIN || segment_count > 1)
        return true;
    uint32_t missing = SEND_BYTES_MIN - packet->frame_length_bytes;
    uint8_t *padding = packet_append(packet, missing);
    if (padding == NULL)
        return false;
    memset(padding, 0, missing);
    return true;
}

static unsigned e1000_transmit(struct nic_queue *queue, struct packet **packets, unsigned count)
{
    if (UNLIKELY(queue->broken))
        return 0;
    unsigned room = room_to_send(queue);
    for (unsigned taken = 0; taken < count; taken++) {
        struct packet *packet = packets[taken];
        unsigned needed = 1;
        if (UNLIKELY(packet->next_segment != NULL || packet->length_bytes < SEND_BYTES_MIN)) {
            needed = count_segments(packet);
            if (!can_send(packet, needed)) {
                counter_add(&queue->stats.tx_errors, 1);
                packet_free(queue->pool, packet);
                continue;
            }
        }
        if (UNLIKELY(room < needed)) {
            e1000_flush(queue);
            room = room_to_send(queue);
            if (room < needed)
                return taken;
        }
        room -= needed;
        const struct packet *segment = packet;
        for (; segment->next_segment != NULL; segment = segment->next_segment)
            describe(queue, segment, 0);
        queue->slots[queue->send_next] = packet;
        describe(queue, segment, E1000_TRANSMIT_EOP);
    }
    return count;
}

/* ---- Interrupts [13.4.17]
 * ------------------------------------------------------------------------ */

static bool e1000_arm(struct nic_queue *queue)
{
    struct e1000_nic *card = queue->card;
    if (queue->broken)
        return false;
    reclaim(queue);
    if (queue->interrupt >= 0) {
        (void)read_register(card, E1000_ICR);
        interrupt_unmask(queue->interrupt);
        write_register(card, E1000_IMS,
                       E1000_INTERRUPT_LSC | E1000_INTERRUPT_RXDMT0 | E1000_INTERRUPT_RXO |
                           E1000_INTERRUPT_RXT0);
        counter_add(queue->register_accesses, 2);
    }
    uint64_t state =
        atomic_load_explicit(&queue->receive[queue->receive_next].state, memory_order_acquire);
    return (state & E1000_RECEIVE_DD) != 0;
}

static void e1000_disarm(struct nic_queue *queue)
{
    if (queue->interrupt < 0)
        return;
    write_register(queue->card, E1000_IMC, UINT32_MAX);
    counter_add(queue->register_accesses, 1);
}

/* For interrupt_connect_pci_pin(). */
static void raise_interrupt(void *device)
{
    const struct e1000_nic *card = device;
    write_register(card, E1000_IMS, E1000_INTERRUPT_LSC);
    write_register(card, E1000_ICS, E1000_INTERRUPT_LSC);
}

static void quiet_interrupt(void *device)
{
    const struct e1000_nic *card = device;
    write_register(card, E1000_IMC, UINT32_MAX);
    (void)read_register(card, E1000_ICR);
}

static void connect_interrupt(struct e1000_nic *card, struct nic_queue *queue, unsigned core)
{
    queue->interrupt = interrupt_alloc(core);
    if (queue->interrupt >= 0) {
        if (interrupt_connect_pci_pin(queue->interrupt, card->device->interrupt_line,
                                      raise_interrupt, quiet_interrupt, card))
            return;
        interrupt_free(queue->interrupt);
        queue->interrupt = -1;
    }
    card->nic.polled = true;
    log_warning(subject, "%s: no interrupt reaches us, so it is polled", card->nic.location);
}

/* ---- Opening and closing [14]
 * -------------------------------------------------------------------- */

/* [14.3] All interrupts off before and after, since a reset forgets the mask. */
static enum error reset(const struct e1000_nic *card)
{
    write_register(card, E1000_IMC, UINT32_MAX);
    write_register(card, E1000_RCTL, 0);
    write_register(card, E1000_TCTL, 0);
    uint32_t control = read_register(card, E1000_CTRL);
    if (control == (uint32_t)E1000_MUTE)
        return fail(ERROR_DEVICE);
    write_register(card, E1000_CTRL, control | E1000_CTRL_RST);
    for (unsigned i = 0; i < RESET_READS_MAX; i++) {
        control = read_register(card, E1000_CTRL);
        if (i >= RESET_READS_MIN && control == (uint32_t)E1000_MUTE)
            return fail(ERROR_DEVICE);
        if (i >= RESET_READS_MIN && !(control & E1000_CTRL_RST)) {
            write_register(card, E1000_IMC, UINT32_MAX);
            (void)read_register(card, E1000_ICR);
            return OK;
        }
        core_relax();
    }
    return fail(ERROR_TIMEOUT);
}

static enum error alloc_queue(struct e1000_nic *card, const struct nic_queue_setup *setup)
{
    struct nic_queue *queue = memory_alloc(sizeof(*queue), CACHE_LINE_BYTES, MEMORY_DRIVER);
    if (queue == NULL)
        return fail(ERROR_NO_MEMORY);
    card->nic.queues[0] = queue;
    card->nic.queue_count = 1;
    queue->card = card;
    queue->pool = setup->pool;
    queue->register_accesses = &card->nic.register_accesses[0];
    queue->interrupt = -1;
    queue->receive =
        dma_alloc(RING_ENTRIES * sizeof(queue->receive[0]), RING_ALIGN_BYTES, MEMORY_RING);
    queue->transmit =
        dma_alloc(RING_ENTRIES * sizeof(queue->transmit[0]), RING_ALIGN_BYTES, MEMORY_RING);
    queue->buffers = dma_alloc(RING_ENTRIES * sizeof(queue->buffers[0]), PAGE_BYTES, MEMORY_RING);
    if (queue->receive == NULL || queue->transmit == NULL || queue->buffers == NULL)
        return fail(ERROR_NO_MEMORY);
    for (unsigned i = 0; i < RING_ENTRIES; i++)
        queue->receive[i].address = dma_address(queue->buffers[i]);
    return OK;
}

static void write_ring(const struct e1000_nic *card, unsigned base_low, const void *ring)
{
    enum { HIGH = E1000_RDBAH - E1000_RDBAL, LENGTH = E1000_RDLEN - E1000_RDBAL };
    uint64_t address = dma_address(ring);
    write_register(card, base_low, (uint32_t)address);
    write_register(card, base_low + HIGH, (uint32_t)(address >> 32));
    write_register(card, base_low + LENGTH, RING_ENTRIES * sizeof(struct e1000_receive_descriptor));
}

/* The address that the card takes frames for [13.4.54, 13.4.55]. */
static void write_mac(const struct e1000_nic *card)
{
    const uint8_t *mac = card->nic.mac;
    write_register(card, E1000_RAL0, load_le32(mac));
    write_register(card, E1000_RAH0, load_le16(mac + 4) | E1000_RAH_AV);
}

/* [14.4, 14.5] Addresses, then rings, then the two units on. */
static void start(const struct e1000_nic *card, const struct nic_queue *queue)
{
    write_mac(card);
    for (unsigned i = 0; i < E1000_MTA_WORDS; i++)
        write_register(card, E1000_MTA + i * 4, 0);

    write_ring(card, E1000_RDBAL, queue->receive);
    write_register(card, E1000_RDH, 0);
    write_register(card, E1000_RDT, 0);
    write_ring(card, E1000_TDBAL, queue->transmit);
    write_register(card, E1000_TDH, 0);
    write_register(card, E1000_TDT, 0);

    write_register(card, E1000_CTRL,
                   read_register(card, E1000_CTRL) | E1000_CTRL_SLU | E1000_CTRL_ASDE);
    write_register(card, E1000_TIPG, E1000_TIPG_COPPER);
    write_register(card, E1000_TCTL,
                   E1000_TCTL_EN | E1000_TCTL_PSP | E1000_TCTL_CT | E1000_TCTL_COLD);
    write_register(card, E1000_RXCSUM, E1000_RXCSUM_TUOFLD);
    write_register(card, E1000_RCTL,
                   E1000_RCTL_EN | E1000_RCTL_MPE | E1000_RCTL_LPE | E1000_RCTL_BAM |
                       E1000_RCTL_SECRC);
    io_fence();
    write_register(card, E1000_RDT, RING_ENTRIES - 1);
}

static void free_queue(struct e1000_nic *card, struct nic_queue *queue, struct packet_pool *local)
{
    card->past.rx_errors += queue->stats.rx_errors;
    card->past.rx_no_buffer += queue->stats.rx_no_buffer;
    card->past.tx_errors += queue->stats.tx_errors;
    for (unsigned i = 0; i < RING_ENTRIES; i++)
        packet_free(local, queue->slots[i]);
    packet_free(local, queue->partial);
    if (queue->interrupt >= 0)
        interrupt_free(queue->interrupt);
    dma_free(queue->receive);
    dma_free(queue->transmit);
    dma_free(queue->buffers);
    memory_free(queue);
}

static void e1000_stats(struct nic *nic, struct nic_stats *stats);

/* From any state that open leaves behind. */
static void e1000_close(struct nic *nic, struct packet_pool *local)
{
    struct e1000_nic *card = card_of(nic);
    struct nic_stats last;
    e1000_stats(nic, &last); /* the reset clears the card's counters */
    if (reset(card) != OK)
        log_warning(subject, "%s does not answer a reset", nic->location);
    pci_disable(card->device); /* no DMA from here on, whatever the card thinks */
    if (nic->queue_count > 0)
        free_queue(card, nic->queues[0], local);
    nic->queues[0] = NULL;
    nic->queue_count = 0;
    nic->polled = false;
    nic->ring_entries_rx = 0;
    nic->ring_entries_tx = 0;
}

static enum error e1000_open(struct nic *nic, unsigned queue_count,
                             const struct nic_queue_setup *setup)
{
    struct e1000_nic *card = card_of(nic);
    if (nic->queue_count != 0)
        return fail(ERROR_BUSY);
    if (queue_count != 1)
        return fail(ERROR_BAD_VALUE);
    pci_enable(card->device);
    enum error error = reset(card);
    if (error != OK)
        goto failed;
    error = alloc_queue(card, &setup[0]);
    if (error != OK)
        goto failed;
    start(card, nic->queues[0]);
    connect_interrupt(card, nic->queues[0], setup[0].core);
    nic->ring_entries_rx = RING_ENTRIES;
    nic->ring_entries_tx = RING_ENTRIES;
    return OK;

failed:
    e1000_close(nic, setup[0].pool);
    return error;
}

/* ---- What is asked now and then
 * ------------------------------------------------------------------ */

static bool e1000_link_up(struct nic *nic)
{
    struct e1000_nic *card = card_of(nic);
    if (nic->queue_count == 0)
        return false;
    uint32_t status = read_register(card, E1000_STATUS);
    return status != (uint32_t)E1000_MUTE && (status & E1000_STATUS_LU) != 0;
}

/* The card has frames to send and sends none. Without a link it need not. */
static bool hangs(struct e1000_nic *card, struct nic_queue *queue)
{
    unsigned clean = queue->send_clean;
    uint64_t state = atomic_load_explicit(&queue->transmit[clean].state, memory_order_relaxed);
    bool waiting = clean != queue->send_told && !(state & E1000_TRANSMIT_DD);
    return nic_watch_hangs(&queue->watch, waiting && e1000_link_up(&card->nic), clean);
}

static bool e1000_is_well(struct nic *nic)
{
    struct e1000_nic *card = card_of(nic);
    if (nic->queue_count == 0)
        return true;
    struct nic_queue *queue = nic->queues[0];
    if (queue->broken)
        return false;
    if (read_register(card, E1000_STATUS) == (uint32_t)E1000_MUTE) {
        log_error(subject, "%s does not answer any more", nic->location);
        return false;
    }
    if (hangs(card, queue)) {
        log_error(subject, "%s sends nothing any more", nic->location);
        return false;
    }
    return true;
}

static enum error e1000_set_mac(struct nic *nic, const uint8_t mac[6])
{
    if (mac[0] & ETHERNET_GROUP_BIT)
        return fail(ERROR_BAD_VALUE);
    memcpy(nic->mac, mac, sizeof(nic->mac));
    if (nic->queue_count != 0) /* else open() tells it */
        write_mac(card_of(nic));
    return OK;
}

/* A counter of the card, 0 where it is mute. */
static uint64_t read_counter(const struct e1000_nic *card, unsigned offset)
{
    uint32_t value = read_register(card, offset);
    return value == (uint32_t)E1000_MUTE ? 0 : value;
}

static void e1000_stats(struct nic *nic, struct nic_stats *stats)
{
    static const uint16_t error_counters[] = { E1000_CRCERRS, E1000_RXERRC, E1000_RLEC, E1000_RUC,
                                               E1000_ROC };
    struct e1000_nic *card = card_of(nic);
    if (nic->queue_count == 0) {
        *stats = card->past;
        return;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(error_counters); i++)
        card->past.rx_errors += read_counter(card, error_counters[i]);
    card->past.rx_no_buffer += read_counter(card, E1000_MPC);
    card->past.tx_errors += read_counter(card, E1000_ECOL) + read_counter(card, E1000_LATECOL);
    const struct nic_stats *queue = &nic->queues[0]->stats;
    stats->rx_errors = card->past.rx_errors + counter_read(&queue->rx_errors);
    stats->rx_no_buffer = card->past.rx_no_buffer + counter_read(&queue->rx_no_buffer);
    stats->tx_errors = card->past.tx_errors + counter_read(&queue->tx_errors);
}

/* ---- Probing
 * ------------------------------------------------------------------------------------- */

static const struct nic_ops e1000_ops = {
    .open = e1000_open,
    .close = e1000_close,
    .receive = e1000_receive,
    .transmit = e1000_transmit,
    .flush = e1000_flush,
    .arm = e1000_arm,
    .disarm = e1000_disarm,
    .link_up = e1000_link_up,
    .is_well = e1000_is_well,
    .set_mac = e1000_set_mac,
    .stats = e1000_stats,
};

static bool is_station_address(const uint8_t mac[6])
{
    static const uint8_t none[6];
    return !(mac[0] & ETHERNET_GROUP_BIT) && memcmp(mac, none, sizeof(none)) != 0;
}

/* [5.3.1] One word of the EEPROM. */
static bool read_eeprom(const struct e1000_nic *card, unsigned word, uint8_t out[2])
{
    write_register(card, E1000_EERD, word << E1000_EERD_ADDRESS_SHIFT | E1000_EERD_START);
    for (unsigned i = 0; i < EEPROM_READS_MAX; i++) {
        uint32_t value = read_register(card, E1000_EERD);
        if (value == (uint32_t)E1000_MUTE)
            return false;
        if (value & E1000_EERD_DONE) {
            out[0] = (uint8_t)(value >> E1000_EERD_DATA_SHIFT);
            out[1] = (uint8_t)(value >> (E1000_EERD_DATA_SHIFT + 8));
            return true;
        }
        core_relax();
    }
    return false;
}

/* From where the reset has put it, else from the EEPROM. */
static bool read_mac(struct e1000_nic *card)
{
    uint8_t *mac = card->nic.mac;
    uint32_t low = read_register(card, E1000_RAL0);
    uint32_t high = read_register(card, E1000_RAH0);
    store_le32(mac, low);
    mac[4] = (uint8_t)high;
    mac[5] = (uint8_t)(high >> 8);
    if (high & E1000_RAH_AV && is_station_address(mac))
        return true;
    for (unsigned word = 0; word < EEPROM_MAC_WORDS; word++) {
        if (!read_eeprom(card, word, mac + 2 * word))
            return false;
    }
    return is_station_address(mac);
}

static struct nic *e1000_probe(struct pci_device *device, const char **why)
{
    struct e1000_nic *card = memory_alloc(sizeof(*card), CACHE_LINE_BYTES, MEMORY_DRIVER);
    if (card == NULL) {
        *why = error_text(ERROR_NO_MEMORY);
        return NULL;
    }
    struct nic *nic = &card->nic;
    nic->ops = &e1000_ops;
    nic->driver = subject;
    nic->queue_max = 1;
    nic->frame_max_bytes = FRAME_MAX_BYTES;
    card->device = device;
    text_format(nic->location, sizeof(nic->location), "%04x:%02x:%02x.%u", device->address.segment,
                device->address.bus, device->address.device, device->address.function);

    pci_enable(device);
    card->registers = pci_map_bar(device, 0, E1000_BAR_BYTES);
    if (card->registers == NULL) {
        *why = "has no registers in BAR 0";
        goto failed;
    }
    if (reset(card) != OK) {
        *why = "does not answer a reset";
        goto failed;
    }
    if (!read_mac(card)) {
        *why = "has no MAC address";
        goto failed;
    }
    pci_disable(device);
    return nic;

failed:
    pci_disable(device);
    memory_free(card);
    return NULL;
}

static void e1000_remove(struct nic *nic)
{
    memory_free(card_of(nic));
}

static const struct pci_id e1000_ids[] = {
    { E1000_VENDOR, E1000_82540EM },
    { E1000_VENDOR, E1000_82545EM },
    { 0, 0 },
};

const struct pci_driver e1000_driver = {
    .name = subject,
    .ids = e1000_ids,
    .probe = e1000_probe,
    .remove = e1000_remove,
};
