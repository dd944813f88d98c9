/* A network card over a link. Each queue keeps a few empty packets into which the next frame is
 * read, so that a long one needs no second look. */
#include <string.h>

#include "drivers/nic.h"
#include "kernel/base/counter.h"
#include "kernel/platform.h"
#include "tests/host/host.h"
#include "tests/host/link.h"

enum { ETHERNET_HEADER_BYTES = 14 };

struct nic_queue {
    struct link_nic *owner;
    unsigned index;
    struct packet_pool *pool;
    unsigned core;
    struct packet *spare[PACKET_SEGMENT_MAX];
    struct nic_stats stats;
    bool armed;
};

struct link_nic {
    struct nic nic;
    struct link *link;
    struct nic_queue queues[NIC_QUEUE_MAX];
};

static struct link_nic *link_nic_of(struct nic *nic)
{
    return CONTAINER_OF(nic, struct link_nic, nic);
}

static enum error open_card(struct nic *nic, unsigned queue_count,
                            const struct nic_queue_setup *setup)
{
    struct link_nic *card = link_nic_of(nic);
    CHECK(queue_count > 0 && queue_count <= nic->queue_max);
    if (queue_count < nic->queue_max)
        card->link->ops->keep_queues(card->link, queue_count);
    nic->queue_max = queue_count;
    for (unsigned i = 0; i < queue_count; i++) {
        card->queues[i] = (struct nic_queue){
            .owner = card, .index = i, .pool = setup[i].pool, .core = setup[i].core
        };
        nic->queues[i] = &card->queues[i];
    }
    nic->queue_count = queue_count;
    return OK;
}

static void disarm(struct nic_queue *queue)
{
    if (!queue->armed)
        return;
    struct link *link = queue->owner->link;
    host_unwatch(queue->core, link->ops->file(link, queue->index));
    queue->armed = false;
}

static void close_card(struct nic *nic, struct packet_pool *local)
{
    for (unsigned i = 0; i < nic->queue_count; i++) {
        struct nic_queue *queue = nic->queues[i];
        disarm(queue);
        for (unsigned k = 0; k < ARRAY_COUNT(queue->spare); k++) {
            if (queue->spare[k] != NULL)
                packet_free(local, queue->spare[k]);
        }
        nic->queues[i] = NULL;
    }
    nic->queue_count = 0;
}

/* How many of the spare packets are there, from the first on. */
static unsigned fill_spare(struct nic_queue *queue)
{
    unsigned count = 0;
    for (; count < ARRAY_COUNT(queue->spare); count++) {
        if (queue->spare[count] == NULL)
            queue->spare[count] = packet_alloc(queue->pool);
        if (queue->spare[count] == NULL)
            break;
    }
    return count;
}

/* The first spare packets, as a chain that holds the frame. */
static struct packet *take_frame(struct nic_queue *queue, uint32_t length_bytes)
{
    struct packet *first = queue->spare[0];
    struct packet **link = &first;
    uint32_t left = length_bytes;
    for (unsigned i = 0; i == 0 || left > 0; i++) {
        struct packet *segment = queue->spare[i];
        queue->spare[i] = NULL;
        segment->length_bytes = MIN_OF(left, (uint32_t)PACKET_ROOM_BYTES);
        left -= segment->length_bytes;
        *link = segment;
        link = &segment->next_segment;
    }
    first->frame_length_bytes = length_bytes;
    return first;
}

static void receive(struct nic_queue *queue, struct batch *batch)
{
    struct link *link = queue->owner->link;
    /* Bad frames count as well, so that a flood of them does not hold the core. */
    for (unsigned tries = 0; tries < BATCH_MAX && batch->count < BATCH_MAX; tries++) {
        unsigned count = fill_spare(queue);
        if (count == 0) {
            counter_add(&queue->stats.rx_no_buffer, 1);
            return;
        }
        struct iovec parts[PACKET_SEGMENT_MAX];
        for (unsigned i = 0; i < count; i++)
            parts[i] = (struct iovec){ queue->spare[i]->data, PACKET_ROOM_BYTES };
        ssize_t length = link->ops->receive(link, queue->index, parts, (int)count);
        if (length == 0)
            return;
        if (length < ETHERNET_HEADER_BYTES || (size_t)length >= count * (size_t)PACKET_ROOM_BYTES) {
            counter_add(&queue->stats.rx_errors, 1); /* a runt, or cut off */
            continue;
        }
        batch->packets[batch->count++] = take_frame(queue, (uint32_t)length);
    }
}

static unsigned transmit(struct nic_queue *queue, struct packet **packets, unsigned count)
{
    struct link *link = queue->owner->link;
    for (unsigned taken = 0; taken < count; taken++) {
        struct iovec parts[PACKET_SEGMENT_MAX];
        int part_count = 0;
        const struct packet *segment = packets[taken];
        for (; segment != NULL && part_count < PACKET_SEGMENT_MAX; segment = segment->next_segment)
            parts[part_count++] = (struct iovec){ segment->data, segment->length_bytes };
        int sent = segment == NULL ? link->ops->send(link, queue->index, parts, part_count) : -1;
        if (sent == 0)
            return taken;
        if (sent < 0)
            counter_add(&queue->stats.tx_errors, 1);
        packet_free(queue->pool, packets[taken]);
    }
    return count;
}

/* Nothing waits for a doorbell here. */
static void flush(struct nic_queue *queue)
{
    (void)queue;
}

/* The file stays readable while a frame is there, so nothing is slept over. */
static bool arm(struct nic_queue *queue)
{
    struct link *link = queue->owner->link;
    int file = link->ops->file(link, queue->index);
    if (file >= 0 && !queue->armed) {
        host_watch(queue->core, file);
        queue->armed = true;
    }
    return false;
}

static bool is_well(struct nic *nic)
{
    (void)nic;
    return true;
}

static bool link_up(struct nic *nic)
{
    struct link *link = link_nic_of(nic)->link;
    return link->ops->up(link);
}

static enum error set_mac(struct nic *nic, const uint8_t mac[6])
{
    memcpy(nic->mac, mac, sizeof(nic->mac));
    return OK;
}

static void stats(struct nic *nic, struct nic_stats *sum)
{
    *sum = (struct nic_stats){ .rx_errors = 0 };
    for (unsigned i = 0; i < nic->queue_count; i++) {
        sum->rx_errors += counter_read(&nic->queues[i]->stats.rx_errors);
        sum->rx_no_buffer += counter_read(&nic->queues[i]->stats.rx_no_buffer);
        sum->tx_errors += counter_read(&nic->queues[i]->stats.tx_errors);
    }
}

static const struct nic_ops ops = {
    .open = open_card,
    .close = close_card,
    .receive = receive,
    .transmit = transmit,
    .flush = flush,
    .arm = arm,
    .disarm = disarm,
    .link_up = link_up,
    .is_well = is_well,
    .set_mac = set_mac,
    .stats = stats,
};

struct nic *link_nic_create(struct link *link)
{
    struct link_nic *card = memory_alloc(sizeof(*card), 0, MEMORY_DRIVER);
    if (card == NULL)
        return NULL;
    card->link = link;
    card->nic.ops = &ops;
    card->nic.driver = link->kind;
    card->nic.ring_entries_rx = PACKET_SEGMENT_MAX; /* the spare packets */
    card->nic.queue_max = link->queue_count;
    card->nic.frame_max_bytes = LINK_FRAME_MAX;
    card->nic.polled = link->ops->file(link, 0) < 0;
    random_bytes(card->nic.mac, sizeof(card->nic.mac));
    card->nic.mac[0] = 2; /* locally administered, one station */
    return &card->nic;
}

void link_nic_destroy(struct nic *nic)
{
    struct link_nic *card = link_nic_of(nic);
    card->link->ops->destroy(card->link);
    memory_free(card);
}
