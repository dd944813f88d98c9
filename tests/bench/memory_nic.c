/* See memory_nic.h. */
#include "tests/bench/memory_nic.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/counter.h"
#include "kernel/platform.h"

enum { ARRIVAL_OFFSET = 42 }; /* of the time in the frame: the payload of UDP over IPv4 */

struct nic_queue {
    /* Owned by the queue's core while it steps. */
    alignas(CACHE_LINE_BYTES) const struct memory_frame *frames;
    unsigned frame_count;
    unsigned next;
    struct packet_pool *pool;
    uint64_t *register_accesses;
    uint64_t cycles_per_frame;
    uint64_t next_arrival; /* of the oldest frame that waits, or the next; 0: not begun */
    bool unflushed;
    struct memory_counts counts;
};

struct memory_nic {
    struct nic card;
    struct nic_queue queues[NIC_QUEUE_MAX];
};

static struct memory_nic *nic_of(struct nic *card)
{
    return CONTAINER_OF(card, struct memory_nic, card);
}

/* ---- In ---------------------------------------------------------------------------------------
 */

/* How many frames wait; those beyond the ring are lost. */
static unsigned arrived(struct nic_queue *queue)
{
    uint64_t now = clock_cycles();

    if (queue->next_arrival == 0)
        queue->next_arrival = now;
    if (now < queue->next_arrival)
        return 0;
    uint64_t waiting = (now - queue->next_arrival) / queue->cycles_per_frame + 1;
    if (waiting > MEMORY_NIC_RING) {
        queue->counts.lost += waiting - MEMORY_NIC_RING;
        queue->next_arrival += (waiting - MEMORY_NIC_RING) * queue->cycles_per_frame;
        waiting = MEMORY_NIC_RING;
    }
    return (unsigned)waiting;
}

static void nic_receive(struct nic_queue *queue, struct batch *batch)
{
    bool saturated = queue->cycles_per_frame == MEMORY_NIC_SATURATED;
    unsigned wanted = BATCH_MAX - batch->count;

    if (queue->cycles_per_frame == MEMORY_NIC_SILENT)
        return;
    if (!saturated) {
        unsigned waiting = arrived(queue);
        wanted = MIN_OF(wanted, waiting);
    }
    unsigned count = pool_prepare(queue->pool, wanted);
    struct packet **top = queue->pool->top;
    unsigned next = queue->next;

    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = pool_pop(&top);
        memcpy(packet->data, queue->frames[next].bytes, MEMORY_FRAME_BYTES);
        if (++next == queue->frame_count)
            next = 0;
        packet->flags = 0;
        packet->length_bytes = MEMORY_FRAME_BYTES;
        packet->frame_length_bytes = MEMORY_FRAME_BYTES;
        if (!saturated) {
            memcpy(packet->data + ARRIVAL_OFFSET, &queue->next_arrival, sizeof(uint64_t));
            queue->next_arrival += queue->cycles_per_frame;
        }
        batch->packets[batch->count++] = packet;
    }
    queue->pool->top = top;
    queue->next = next;
    if (count == 0)
        return;
    queue->counts.received += count;
    counter_add(queue->register_accesses, 1); /* the ring's tail */
}

/* ---- Out --------------------------------------------------------------------------------------
 */

/* Octaves of cycles, each in LATENCY_STEPS equal steps. */
static unsigned latency_index(uint64_t cycles)
{
    uint64_t value = cycles + LATENCY_STEPS;
    unsigned octave = 63 - (unsigned)__builtin_clzll(value / LATENCY_STEPS);

    octave = MIN_OF(octave, LATENCY_OCTAVES - 1u);
    return octave * LATENCY_STEPS + (unsigned)((value >> octave) & (LATENCY_STEPS - 1));
}

static uint64_t latency_of_index(unsigned index)
{
    unsigned octave = index / LATENCY_STEPS, step = index % LATENCY_STEPS;

    return ((uint64_t)(LATENCY_STEPS + step + 1) << octave) - LATENCY_STEPS;
}

static void note_latency(struct nic_queue *queue, const struct packet *packet, uint64_t now)
{
    uint64_t arrival;

    if (packet->length_bytes != MEMORY_FRAME_BYTES) /* the router's own, ARP for instance */
        return;
    memcpy(&arrival, packet->data + ARRIVAL_OFFSET, sizeof(arrival));
    queue->counts.latencies[latency_index(now - arrival)]++;
    queue->counts.latency_max_cycles = MAX_OF(queue->counts.latency_max_cycles, now - arrival);
}

static unsigned nic_transmit(struct nic_queue *queue, struct packet **packets, unsigned count)
{
    if (queue->cycles_per_frame != MEMORY_NIC_SATURATED) {
        uint64_t now = clock_cycles();
        for (unsigned i = 0; i < count; i++)
            note_latency(queue, packets[i], now);
    }
    struct packet **top = queue->pool->top;
    unsigned strangers = 0;
    for (unsigned i = 0; i < count; i++)
        if (UNLIKELY(!pool_push(queue->pool, &top, packets[i])))
            packets[strangers++] = packets[i];
    queue->pool->top = top;
    for (unsigned i = 0; i < strangers; i++)
        packet_free(queue->pool, packets[i]);
    queue->counts.sent += count;
    queue->unflushed = true;
    return count;
}

static void nic_flush(struct nic_queue *queue)
{
    if (!queue->unflushed)
        return;
    queue->unflushed = false;
    counter_add(queue->register_accesses, 1); /* the doorbell */
}

/* ---- The rest of the contract -----------------------------------------------------------------
 */

static enum error nic_open(struct nic *card, unsigned queue_count,
                           const struct nic_queue_setup *setup)
{
    struct memory_nic *nic = nic_of(card);

    for (unsigned i = 0; i < queue_count; i++) {
        nic->queues[i].pool = setup[i].pool;
        nic->queues[i].register_accesses = &card->register_accesses[i];
        nic->queues[i].cycles_per_frame = MEMORY_NIC_SILENT;
        card->queues[i] = &nic->queues[i];
    }
    card->queue_count = queue_count;
    return OK;
}

static void nic_close(struct nic *card, struct packet_pool *local)
{
    (void)local;
    card->queue_count = 0;
}

/* There is always work, so nobody sleeps: a benchmark is not about that. */
static bool nic_arm(struct nic_queue *queue)
{
    (void)queue;
    return true;
}

static void nic_disarm(struct nic_queue *queue)
{
    (void)queue;
}

static bool nic_link_up(struct nic *card)
{
    (void)card;
    return true;
}

static bool nic_is_well(struct nic *card)
{
    (void)card;
    return true;
}

static enum error nic_set_mac(struct nic *card, const uint8_t mac[6])
{
    memcpy(card->mac, mac, sizeof(card->mac));
    return OK;
}

static void nic_stats(struct nic *card, struct nic_stats *stats)
{
    (void)card;
    *stats = (struct nic_stats){ 0 };
}

static const struct nic_ops nic_ops = {
    .open = nic_open,
    .close = nic_close,
    .receive = nic_receive,
    .transmit = nic_transmit,
    .flush = nic_flush,
    .arm = nic_arm,
    .disarm = nic_disarm,
    .link_up = nic_link_up,
    .is_well = nic_is_well,
    .set_mac = nic_set_mac,
    .stats = nic_stats,
};

/* ---- From outside -----------------------------------------------------------------------------
 */

struct memory_nic *memory_nic_create(const uint8_t mac[6], unsigned queue_max)
{
    struct memory_nic *nic = aligned_alloc(CACHE_LINE_BYTES, sizeof(*nic));

    CHECK(nic != NULL);
    *nic = (struct memory_nic){ .card = { .ops = &nic_ops,
                                          .driver = "memory",
                                          .queue_max = queue_max,
                                          .frame_max_bytes = 1514,
                                          .location = "memory",
                                          .ring_entries_rx = MEMORY_NIC_RING,
                                          .ring_entries_tx = MEMORY_NIC_RING } };
    memcpy(nic->card.mac, mac, sizeof(nic->card.mac));
    return nic;
}

void memory_nic_destroy(struct memory_nic *nic)
{
    free(nic);
}

struct nic *memory_nic_card(struct memory_nic *nic)
{
    return &nic->card;
}

void memory_nic_frames(struct memory_nic *nic, const struct memory_frame *frames, unsigned count)
{
    unsigned share = count / nic->card.queue_count;

    CHECK(share > 0);
    for (unsigned i = 0; i < nic->card.queue_count; i++) {
        nic->queues[i].frames = frames + (size_t)i * share;
        nic->queues[i].frame_count = share;
        nic->queues[i].next = 0;
    }
}

void memory_nic_pace(struct memory_nic *nic, uint64_t cycles_per_frame)
{
    for (unsigned i = 0; i < nic->card.queue_count; i++) {
        struct nic_queue *queue = &nic->queues[i];
        queue->counts = (struct memory_counts){ 0 };
        queue->cycles_per_frame = cycles_per_frame;
        queue->next_arrival = 0;
    }
}

void memory_nic_counts(const struct memory_nic *nic, struct memory_counts *sum)
{
    for (unsigned i = 0; i < nic->card.queue_count; i++) {
        const struct memory_counts *counts = &nic->queues[i].counts;
        sum->received += counts->received;
        sum->lost += counts->lost;
        sum->sent += counts->sent;
        sum->latency_max_cycles = MAX_OF(sum->latency_max_cycles, counts->latency_max_cycles);
        for (unsigned k = 0; k < LATENCY_COUNT; k++)
            sum->latencies[k] += counts->latencies[k];
    }
}

uint64_t latency_at(const struct memory_counts *counts, unsigned per_mille)
{
    uint64_t total = 0, below = 0;

    for (unsigned i = 0; i < LATENCY_COUNT; i++)
        total += counts->latencies[i];
    for (unsigned i = 0; i < LATENCY_COUNT; i++) {
        below += counts->latencies[i];
        if (below * 1000 >= total * per_mille && below > 0)
            return MIN_OF(latency_of_index(i), counts->latency_max_cycles);
    }
    return 0;
}
