/* See wire_nic.h. A card has one queue of sent frames for all its queue pairs, so that their order
 * is kept, and one of frames to receive for each pair. */
#include "tests/host/wire_nic.h"

#include <stdlib.h>
#include <string.h>

struct frame {
    struct frame *next;
    size_t length_bytes;
    uint64_t due_ns;
    unsigned toward; /* which end of the wire */
    uint8_t bytes[];
};

struct frame_queue {
    struct frame *first, **last;
    unsigned count;
};

struct nic_queue {
    struct wire_nic *nic;
    struct packet_pool *pool;
    struct frame_queue received;
};

struct wire_nic {
    struct nic card;
    bool link_up;
    bool broken;
    bool failed;
    unsigned opens_to_fail;
    unsigned opens; /* so far, tried */
    unsigned room;
    unsigned segment_bytes;
    struct frame_queue sent;
    struct nic_queue queues[NIC_QUEUE_MAX];
};

/* ---- Queues of frames -------------------------------------------------------------------------
 */

static struct frame *frame_create(const void *bytes, size_t length_bytes)
{
    struct frame *frame = malloc(sizeof(*frame) + length_bytes);

    CHECK(frame != NULL);
    *frame = (struct frame){ .length_bytes = length_bytes };
    if (length_bytes > 0 && bytes)
        memcpy(frame->bytes, bytes, length_bytes);
    return frame;
}

static void queue_put(struct frame_queue *queue, struct frame *frame)
{
    if (!queue->first)
        queue->last = &queue->first;
    frame->next = NULL;
    *queue->last = frame;
    queue->last = &frame->next;
    queue->count++;
}

static struct frame *queue_take(struct frame_queue *queue)
{
    struct frame *frame = queue->first;

    if (frame) {
        queue->first = frame->next;
        queue->count--;
    }
    return frame;
}

static void queue_clear(struct frame_queue *queue)
{
    struct frame *frame;

    while ((frame = queue_take(queue)))
        free(frame);
}

/* ---- The card's operations --------------------------------------------------------------------
 */

static struct wire_nic *nic_of(struct nic *card)
{
    return CONTAINER_OF(card, struct wire_nic, card);
}

static enum error wire_open(struct nic *card, unsigned queue_count,
                            const struct nic_queue_setup *setup)
{
    struct wire_nic *nic = nic_of(card);

    nic->opens++;
    if (nic->opens_to_fail > 0)
        nic->opens_to_fail--;
    else
        nic->failed = false;
    if (nic->broken || nic->failed)
        return ERROR_DEVICE;
    for (unsigned i = 0; i < queue_count; i++) {
        nic->queues[i].nic = nic;
        nic->queues[i].pool = setup[i].pool;
        card->queues[i] = &nic->queues[i];
    }
    card->queue_count = queue_count;
    return OK;
}

static void wire_close(struct nic *card, struct packet_pool *local)
{
    struct wire_nic *nic = nic_of(card);

    (void)local;
    for (unsigned i = 0; i < card->queue_count; i++)
        queue_clear(&nic->queues[i].received);
    card->queue_count = 0;
}

/* The frame in as many packets as its length takes; NULL without buffers. */
static struct packet *packet_of_frame(struct nic_queue *queue, const struct frame *frame)
{
    struct packet *first = NULL, **link = &first;
    size_t done = 0;

    do {
        struct packet *packet = packet_alloc(queue->pool);
        if (!packet) {
            packet_free(queue->pool, first);
            return NULL;
        }
        *link = packet;
        link = &packet->next_segment;
        packet->length_bytes =
            (uint32_t)MIN_OF(frame->length_bytes - done, (size_t)queue->nic->segment_bytes);
        memcpy(packet->data, frame->bytes + done, packet->length_bytes);
        done += packet->length_bytes;
    } while (done < frame->length_bytes);
    first->frame_length_bytes = (uint32_t)frame->length_bytes;
    return first;
}

static void wire_receive(struct nic_queue *queue, struct batch *batch)
{
    while (batch->count < BATCH_MAX && queue->received.count > 0) {
        struct packet *packet = packet_of_frame(queue, queue->received.first);
        if (!packet)
            return; /* as a card whose ring is empty: it stays outside */
        free(queue_take(&queue->received));
        batch->packets[batch->count++] = packet;
    }
}

static unsigned wire_transmit(struct nic_queue *queue, struct packet **packets, unsigned count)
{
    struct wire_nic *nic = queue->nic;
    unsigned taken = 0;

    for (; taken < count && nic->sent.count < nic->room; taken++) {
        struct packet *packet = packets[taken];
        struct frame *frame = frame_create(NULL, packet->frame_length_bytes);
        CHECK(packet->frame_length_bytes >= 14);
        CHECK(packet_copy_out(packet, 0, frame->bytes, packet->frame_length_bytes));
        packet_free(queue->pool, packet);
        if (nic->link_up)
            queue_put(&nic->sent, frame);
        else
            free(frame);
    }
    return taken;
}

static void wire_flush(struct nic_queue *queue)
{
    (void)queue;
}

static bool wire_arm(struct nic_queue *queue)
{
    return queue->received.count > 0;
}

static void wire_disarm(struct nic_queue *queue)
{
    (void)queue;
}

static bool wire_link_up(struct nic *card)
{
    return nic_of(card)->link_up;
}

static bool wire_is_well(struct nic *card)
{
    return !nic_of(card)->failed;
}

static enum error wire_set_mac(struct nic *card, const uint8_t mac[6])
{
    if (nic_of(card)->broken)
        return ERROR_DEVICE;
    memcpy(card->mac, mac, sizeof(card->mac));
    return OK;
}

static void wire_stats(struct nic *card, struct nic_stats *stats)
{
    (void)card;
    *stats = (struct nic_stats){ 0 };
}

static const struct nic_ops wire_ops = {
    .open = wire_open,
    .close = wire_close,
    .receive = wire_receive,
    .transmit = wire_transmit,
    .flush = wire_flush,
    .arm = wire_arm,
    .disarm = wire_disarm,
    .link_up = wire_link_up,
    .is_well = wire_is_well,
    .set_mac = wire_set_mac,
    .stats = wire_stats,
};

/* ---- The card from outside --------------------------------------------------------------------
 */

struct wire_nic *wire_nic_create(const uint8_t mac[6], unsigned queue_max)
{
    struct wire_nic *nic = calloc(1, sizeof(*nic));

    CHECK(nic != NULL);
    nic->card = (struct nic){ .ops = &wire_ops,
                              .driver = "wire",
                              .queue_max = queue_max,
                              .frame_max_bytes = WIRE_FRAME_MAX,
                              .location = "memory",
                              .ring_entries_rx = WIRE_RING_MAX,
                              .ring_entries_tx = WIRE_RING_MAX };
    memcpy(nic->card.mac, mac, sizeof(nic->card.mac));
    nic->link_up = true;
    nic->room = WIRE_RING_MAX;
    nic->segment_bytes = PACKET_ROOM_BYTES;
    return nic;
}

void wire_nic_destroy(struct wire_nic *nic)
{
    queue_clear(&nic->sent);
    free(nic);
}

struct nic *wire_nic_card(struct wire_nic *nic)
{
    return &nic->card;
}

void wire_nic_set_link(struct wire_nic *nic, bool up)
{
    nic->link_up = up;
}

void wire_nic_set_room(struct wire_nic *nic, unsigned frames)
{
    nic->room = frames;
}

void wire_nic_break(struct wire_nic *nic)
{
    nic->broken = true;
}

void wire_nic_fail(struct wire_nic *nic, unsigned opens_to_fail)
{
    nic->failed = true;
    nic->opens_to_fail = opens_to_fail;
}

unsigned wire_nic_opens(const struct wire_nic *nic)
{
    return nic->opens;
}

void wire_nic_set_segment(struct wire_nic *nic, unsigned bytes)
{
    nic->segment_bytes = bytes;
}

bool wire_nic_put(struct wire_nic *nic, unsigned queue, const void *frame, size_t length_bytes)
{
    CHECK(queue < nic->card.queue_count);
    CHECK(length_bytes <= WIRE_FRAME_MAX);
    if (!nic->link_up || nic->queues[queue].received.count >= WIRE_RING_MAX)
        return false;
    queue_put(&nic->queues[queue].received, frame_create(frame, length_bytes));
    return true;
}

size_t wire_nic_take(struct wire_nic *nic, void *frame)
{
    struct frame *sent = queue_take(&nic->sent);

    if (!sent)
        return 0;
    size_t length_bytes = sent->length_bytes;
    memcpy(frame, sent->bytes, length_bytes);
    free(sent);
    return length_bytes;
}

unsigned wire_nic_waiting(const struct wire_nic *nic)
{
    unsigned waiting = 0;

    for (unsigned i = 0; i < nic->card.queue_count; i++)
        waiting += nic->queues[i].received.count;
    return waiting;
}

/* ---- Wires ------------------------------------------------------------------------------------
 */

struct wire {
    struct wire_setup setup;
    uint64_t random_state;
    uint64_t lost;
    struct frame *under_way; /* in the order of their time */
    unsigned under_way_count;
};

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t wire_random(struct wire *wire)
{
    uint64_t value = wire->random_state += 0x9e3779b97f4a7c15;

    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

struct wire *wire_create(const struct wire_setup *setup)
{
    struct wire *wire = calloc(1, sizeof(*wire));

    CHECK(wire != NULL);
    wire->setup = *setup;
    wire->random_state = setup->seed;
    return wire;
}

void wire_destroy(struct wire *wire)
{
    while (wire->under_way) {
        struct frame *frame = wire->under_way;
        wire->under_way = frame->next;
        free(frame);
    }
    free(wire);
}

/* Behind all that are due before or at the same time. */
static void wire_insert(struct wire *wire, struct frame *frame)
{
    struct frame **link = &wire->under_way;

    while (*link && (*link)->due_ns <= frame->due_ns)
        link = &(*link)->next;
    frame->next = *link;
    *link = frame;
    wire->under_way_count++;
}

static void wire_pick_up(struct wire *wire, unsigned end, uint64_t now_ns)
{
    struct frame *frame;

    while ((frame = queue_take(&wire->setup.ends[end]->sent))) {
        uint64_t jitter_ns =
            wire->setup.jitter_ns > 0 ? wire_random(wire) % wire->setup.jitter_ns : 0;
        if (wire_random(wire) % 1000 < wire->setup.loss_per_mille) {
            wire->lost++;
            free(frame);
            continue;
        }
        frame->due_ns = now_ns + wire->setup.delay_ns + jitter_ns;
        frame->toward = 1 - end;
        wire_insert(wire, frame);
    }
}

void wire_step(struct wire *wire, uint64_t now_ns)
{
    wire_pick_up(wire, 0, now_ns);
    wire_pick_up(wire, 1, now_ns);
    while (wire->under_way && wire->under_way->due_ns <= now_ns) {
        struct frame *frame = wire->under_way;
        struct wire_nic *nic = wire->setup.ends[frame->toward];
        unsigned queue = 0;
        if (nic->card.queue_count > 1)
            queue = (unsigned)(wire_random(wire) % nic->card.queue_count);
        wire->under_way = frame->next;
        wire->under_way_count--;
        if (!wire_nic_put(nic, queue, frame->bytes, frame->length_bytes))
            wire->lost++;
        free(frame);
    }
}

uint64_t wire_lost(const struct wire *wire)
{
    return wire->lost;
}

unsigned wire_under_way(const struct wire *wire)
{
    return wire->under_way_count;
}
