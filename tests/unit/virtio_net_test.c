/* Goal: the virtio-net driver moves every frame, gives every packet back, and survives a device
 * that fails or lies. Method: the device model of tests/host behind the seam. */
#include <string.h>

#include "drivers/driver_table.h"
#include "drivers/nic.h"
#include "kernel/base/bytes.h"
#include "tests/host/virtio_net_model.h"
#include "tests/unit/nic_frames.h"
#include "tests/unit/test.h"

enum {
    ROUNDS = 40, /* of 64 frames: several times around a ring of 256 */
};

struct bench {
    struct virtio_net_model model;
    struct packet_pools *pools;
    struct packet_pool *pool;
    struct nic *nic;
    bool packed;
};

static struct bench bench; /* tests are processes */

/* The test, once over each kind of ring. */
#define TEST_BOTH(name) \
    static void name(void); \
    TEST(name##_on_split_rings) \
    { \
        name(); \
    } \
    TEST(name##_on_packed_rings) \
    { \
        bench.packed = true; \
        name(); \
    } \
    static void name(void)

static void begin(void)
{
    virtio_net_model_init(&bench.model);
    if (bench.packed)
        bench.model.features |= VIRTIO_F_RING_PACKED;
    bench.pools = packet_pools_create(VIRTIO_MODEL_PAIR_MAX, TEST_POOL_PACKETS);
    EXPECT(bench.pools != NULL);
    bench.pool = packet_pool(bench.pools, 0);
    host_cores(VIRTIO_MODEL_PAIR_MAX, HOST_STEPPED);
}

static struct nic *probe(void)
{
    const char *why = NULL;
    virtio_net_model_attach(&bench.model, 3);
    bench.nic = virtio_net_driver.probe(&bench.model.pci.device, &why);
    EXPECT((bench.nic == NULL) == (why != NULL));
    return bench.nic;
}

static enum error open_pairs(unsigned count)
{
    struct nic_queue_setup setup[VIRTIO_MODEL_PAIR_MAX];
    for (unsigned i = 0; i < VIRTIO_MODEL_PAIR_MAX; i++)
        setup[i] = (struct nic_queue_setup){ .pool = packet_pool(bench.pools, i), .core = i };
    return bench.nic->ops->open(bench.nic, count, setup);
}

/* Opened, and its receive ring filled. */
static void open_one(void)
{
    EXPECT(probe() != NULL);
    EXPECT_EQUAL(open_pairs(1), OK);
    struct batch batch = { .count = 0 };
    bench.nic->ops->receive(bench.nic->queues[0], &batch);
    EXPECT_EQUAL(batch.count, 0);
}

static uint64_t out(void)
{
    return packets_out(bench.pools, VIRTIO_MODEL_PAIR_MAX);
}

static void end(void)
{
    if (bench.nic != NULL) {
        bench.nic->ops->close(bench.nic, bench.pool);
        EXPECT_EQUAL(bench.nic->queue_count, 0);
        virtio_net_driver.remove(bench.nic);
    }
    EXPECT_EQUAL(out(), 0);
    EXPECT(!pci_function_masters(&bench.model.pci));
    packet_pools_destroy(bench.pools);
    host_detach_all();
}

static void receive(struct batch *batch)
{
    batch->count = 0;
    bench.nic->ops->receive(bench.nic->queues[0], batch);
}

static void drop(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++)
        packet_free(bench.pool, batch->packets[i]);
    batch->count = 0;
}

static struct nic_stats stats(void)
{
    struct nic_stats stats;
    bench.nic->ops->stats(bench.nic, &stats);
    return stats;
}

/* ---- Probe and open ------------------------------------------------------------------------- */

TEST(virtio_net_probe_reads_the_card)
{
    begin();
    bench.model.features |= VIRTIO_NET_F_MQ | VIRTIO_NET_F_MTU;
    bench.model.pairs = 4;
    bench.model.vector_count = 10;
    struct nic *nic = probe();
    EXPECT(nic != NULL);
    EXPECT(memcmp(nic->mac, bench.model.mac, 6) == 0);
    EXPECT_EQUAL(nic->queue_max, 4);
    EXPECT_EQUAL(nic->frame_max_bytes, 1514);
    EXPECT_TEXT(nic->location, "0000:00:03.0");
    EXPECT_TEXT(nic->driver, "virtio-net");
    EXPECT(!nic->ops->link_up(nic)); /* closed */
    end();
}

TEST(virtio_net_probe_gives_up_a_mute_device)
{
    begin();
    bench.model.mute = true;
    EXPECT(probe() == NULL);
    end();
}

TEST(virtio_net_probe_gives_up_a_device_that_never_resets)
{
    begin();
    bench.model.reset_never_ends = true;
    virtio_net_model_attach(&bench.model, 3);
    bench.model.status = VIRTIO_STATUS_DRIVER;
    const char *why = NULL;
    EXPECT(virtio_net_driver.probe(&bench.model.pci.device, &why) == NULL);
    EXPECT_TEXT(why, "does not answer a reset");
    end();
}

TEST(virtio_net_probe_gives_up_a_device_of_the_old_kind)
{
    begin();
    bench.model.features &= ~VIRTIO_F_VERSION_1;
    EXPECT(probe() == NULL);
    host_detach_all();
    bench.model.features |= VIRTIO_F_VERSION_1;
    virtio_net_model_attach(&bench.model, 3);
    bench.model.pci.device.bars[4].size_bytes = 0x1000; /* the structures lie behind its end */
    const char *why = NULL;
    EXPECT(virtio_net_driver.probe(&bench.model.pci.device, &why) == NULL);
    EXPECT_TEXT(why, "has no usable modern virtio interface");
    end();
}

TEST(virtio_net_makes_up_an_address_where_there_is_none)
{
    begin();
    memset(bench.model.mac, 0, 6);
    struct nic *nic = probe();
    EXPECT(nic != NULL);
    EXPECT_EQUAL(nic->mac[0] & 3, 2); /* one station, local */
    EXPECT_EQUAL(open_pairs(1), OK);
    EXPECT(memcmp(nic->mac, bench.model.mac, 6) == 0);
    end();
}

TEST_BOTH(virtio_net_open_sets_filter_and_address)
{
    static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 9 };
    static const uint8_t group[6] = { 1, 0, 0, 0, 0, 9 };
    begin();
    EXPECT(probe() != NULL);
    EXPECT_EQUAL(bench.nic->ops->set_mac(bench.nic, group), ERROR_BAD_VALUE);
    EXPECT_EQUAL(bench.nic->ops->set_mac(bench.nic, mac), OK);
    EXPECT_EQUAL(open_pairs(1), OK);
    EXPECT(memcmp(mac, bench.model.mac, 6) == 0);
    EXPECT(!bench.model.promiscuous);
    EXPECT(bench.model.all_multicast);
    EXPECT(!bench.nic->polled);
    EXPECT_EQUAL(open_pairs(1), ERROR_BUSY);
    end();
}

/* A commit changes the address of a card that is in service. */
TEST_BOTH(virtio_net_changes_its_address_while_open)
{
    static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 9 };
    static const uint8_t other[6] = { 2, 0, 0, 0, 0, 10 };
    begin();
    EXPECT(probe() != NULL);
    EXPECT_EQUAL(open_pairs(1), OK);
    EXPECT_EQUAL(bench.nic->ops->set_mac(bench.nic, mac), OK);
    EXPECT(memcmp(mac, bench.model.mac, 6) == 0);
    EXPECT(memcmp(mac, bench.nic->mac, 6) == 0);
    bench.model.control_refuses = true;
    EXPECT(bench.nic->ops->set_mac(bench.nic, other) != OK);
    EXPECT(memcmp(mac, bench.nic->mac, 6) == 0);
    end();
}

TEST_BOTH(virtio_net_open_refuses_queues_it_has_not)
{
    begin();
    EXPECT(probe() != NULL);
    EXPECT_EQUAL(open_pairs(2), ERROR_BAD_VALUE);
    EXPECT_EQUAL(open_pairs(0), ERROR_BAD_VALUE);
    end();
}

TEST_BOTH(virtio_net_open_fails_cleanly_at_every_allocation)
{
    begin();
    bench.model.features |= VIRTIO_NET_F_MQ;
    bench.model.pairs = 2;
    bench.model.vector_count = 6;
    for (uint64_t n = 0;; n++) {
        EXPECT(n < 100);
        host_fail_allocation(n);
        bool done = probe() != NULL && open_pairs(2) == OK;
        host_fail_allocation(UINT64_MAX);
        if (bench.nic != NULL) {
            EXPECT(done || bench.nic->queue_count == 0);
            bench.nic->ops->close(bench.nic, bench.pool);
            virtio_net_driver.remove(bench.nic);
            bench.nic = NULL;
        }
        host_detach_all();
        EXPECT_EQUAL(out(), 0);
        if (done)
            break;
    }
    end();
}

static void expect_open_fails(void)
{
    EXPECT(probe() != NULL);
    EXPECT(open_pairs(1) != OK);
    EXPECT_EQUAL(bench.nic->queue_count, 0);
    EXPECT(bench.nic->queues[0] == NULL);
    end();
}

TEST_BOTH(virtio_net_open_fails_where_features_are_refused)
{
    begin();
    bench.model.refuses_features = true;
    expect_open_fails();
}

TEST_BOTH(virtio_net_open_fails_where_the_control_queue_is_deaf)
{
    begin();
    bench.model.control_is_deaf = true;
    expect_open_fails();
}

/* Packed rings may be of any size; ours are not. */
TEST(virtio_net_takes_a_part_of_a_packed_ring_of_no_power_of_two)
{
    begin();
    bench.model.features |= VIRTIO_F_RING_PACKED;
    bench.model.queue_size = 100;
    open_one();
    EXPECT_EQUAL(virtio_net_model_offered(&bench.model, 0), 64);
    end();
}

TEST(virtio_net_open_fails_with_a_ring_size_of_no_power_of_two)
{
    begin();
    bench.model.queue_size = 100;
    expect_open_fails();
}

TEST_BOTH(virtio_net_open_lives_without_a_filter)
{
    begin();
    bench.model.control_refuses = true;
    open_one();
    end();
}

TEST_BOTH(virtio_net_reopens_without_a_leak)
{
    begin();
    struct batch batch;
    open_one();
    for (unsigned i = 0; i < 5; i++) {
        EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(60, i), 60));
        receive(&batch);
        EXPECT_EQUAL(batch.count, 1);
        bench.model.transmit_stalls = true; /* so that close() finds it in the ring */
        EXPECT_EQUAL(bench.nic->ops->transmit(bench.nic->queues[0], batch.packets, 1), 1);
        bench.nic->ops->flush(bench.nic->queues[0]);
        bench.nic->ops->close(bench.nic, bench.pool);
        EXPECT_EQUAL(out(), 0);
        EXPECT_EQUAL(open_pairs(1), OK);
        receive(&batch);
    }
    end();
}

TEST_BOTH(virtio_net_closes_a_device_that_went_away)
{
    begin();
    open_one();
    bench.model.mute = true;
    EXPECT(!bench.nic->ops->is_well(bench.nic));
    end();
}

TEST_BOTH(virtio_net_rings_are_bounded_by_ours_and_by_the_device)
{
    begin();
    bench.model.queue_size = 1024;
    open_one();
    EXPECT_EQUAL(bench.nic->ring_entries_rx, 256);
    EXPECT_EQUAL(virtio_net_model_offered(&bench.model, 0), 256);
    bench.nic->ops->close(bench.nic, bench.pool);
    virtio_net_driver.remove(bench.nic);
    host_detach_all();
    bench.model.queue_size = 16;
    open_one();
    EXPECT_EQUAL(bench.nic->ring_entries_tx, 16);
    EXPECT_EQUAL(virtio_net_model_offered(&bench.model, 0), 16);
    end();
}

/* ---- Receive and transmit ------------------------------------------------------------------- */

TEST_BOTH(virtio_net_receives_any_number_of_frames_around_the_ring)
{
    begin();
    open_one();
    struct batch batch;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned count = 1 + (round * 37) % BATCH_MAX;
        for (unsigned i = 0; i < count; i++) {
            uint32_t length_bytes = 14 + (round * 64 + i) % 1500;
            EXPECT(
                virtio_net_model_receive(&bench.model, 0, frame_of(length_bytes, i), length_bytes));
        }
        receive(&batch);
        EXPECT_EQUAL(batch.count, count);
        for (unsigned i = 0; i < count; i++) {
            uint32_t length_bytes = 14 + (round * 64 + i) % 1500;
            expect_frame(batch.packets[i], length_bytes, i);
        }
        drop(&batch);
        EXPECT_EQUAL(virtio_net_model_offered(&bench.model, 0), 256);
    }
    end();
}

TEST_BOTH(virtio_net_receives_no_more_than_the_batch_holds)
{
    begin();
    open_one();
    struct batch batch;
    for (unsigned i = 0; i < 100; i++)
        EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(60, i), 60));
    receive(&batch);
    EXPECT_EQUAL(batch.count, BATCH_MAX);
    drop(&batch);
    receive(&batch);
    EXPECT_EQUAL(batch.count, 100 - BATCH_MAX);
    drop(&batch);
    end();
}

TEST_BOTH(virtio_net_receives_merged_buffers_as_a_chain)
{
    begin();
    open_one();
    struct batch batch;
    for (unsigned round = 0; round < 100; round++) {
        uint32_t length_bytes = 1780 + round * 75;
        EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(60, 1), 60));
        EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(length_bytes, 5), length_bytes));
        receive(&batch);
        EXPECT_EQUAL(batch.count, 2);
        expect_frame(batch.packets[1], length_bytes, 5);
        drop(&batch);
    }
    /* More buffers than a packet may have. */
    EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(15000, 5), 15000));
    EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(60, 1), 60));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 1);
    EXPECT_EQUAL(stats().rx_errors, 1);
    EXPECT_EQUAL(virtio_net_model_offered(&bench.model, 0), 256);
    drop(&batch);
    end();
}

TEST_BOTH(virtio_net_drops_runts)
{
    begin();
    open_one();
    struct batch batch;
    EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(13, 1), 13));
    EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(14, 1), 14));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 1);
    EXPECT_EQUAL(batch.packets[0]->frame_length_bytes, 14);
    EXPECT_EQUAL(stats().rx_errors, 1);
    drop(&batch);
    end();
}

TEST_BOTH(virtio_net_loses_frames_but_no_buffers_when_the_pool_is_empty)
{
    begin();
    open_one();
    struct packet *taken[TEST_POOL_PACKETS + 1];
    unsigned count = take_all(bench.pool, taken);
    EXPECT_EQUAL(count, TEST_POOL_PACKETS - 256);
    struct batch batch;
    for (unsigned i = 0; i < 10; i++)
        EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(60, i), 60));
    EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(5000, 0), 5000));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 0);
    EXPECT_EQUAL(stats().rx_no_buffer, 11);
    EXPECT_EQUAL(virtio_net_model_offered(&bench.model, 0), 256);
    packet_free(bench.pool, taken[--count]); /* one is not enough for three buffers */
    EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(5000, 0), 5000));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 0);
    EXPECT_EQUAL(stats().rx_no_buffer, 12);
    EXPECT_EQUAL(virtio_net_model_offered(&bench.model, 0), 256);
    while (count > 0)
        packet_free(bench.pool, taken[--count]);
    EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(60, 0), 60));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 1);
    drop(&batch);
    end();
}

TEST_BOTH(virtio_net_fills_its_ring_when_the_pool_has_packets_again)
{
    begin();
    EXPECT(probe() != NULL);
    EXPECT_EQUAL(open_pairs(1), OK);
    struct packet *taken[TEST_POOL_PACKETS + 1];
    unsigned count = take_all(bench.pool, taken);
    struct batch batch;
    receive(&batch);
    EXPECT_EQUAL(virtio_net_model_offered(&bench.model, 0), 0);
    for (unsigned i = 0; i < 100; i++)
        packet_free(bench.pool, taken[--count]);
    receive(&batch);
    EXPECT_EQUAL(virtio_net_model_offered(&bench.model, 0), 100);
    while (count > 0)
        packet_free(bench.pool, taken[--count]);
    EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(60, 0), 60));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 1);
    EXPECT_EQUAL(virtio_net_model_offered(&bench.model, 0), 256);
    drop(&batch);
    end();
}

TEST_BOTH(virtio_net_receives_without_merged_buffers)
{
    begin();
    bench.model.features &= ~VIRTIO_NET_F_MRG_RXBUF;
    open_one();
    struct batch batch;
    EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(1514, 3), 1514));
    EXPECT(!virtio_net_model_receive(&bench.model, 0, frame_of(4000, 3), 4000));
    uint8_t *memory;
    uint16_t id = virtio_net_model_take(&bench.model, 0, &memory);
    memset(memory, 0, VIRTIO_NET_HEADER_BYTES); /* a count of 0, which some devices leave there */
    virtio_net_model_use(&bench.model, 0, id, VIRTIO_NET_HEADER_BYTES + 60);
    receive(&batch);
    EXPECT_EQUAL(batch.count, 2);
    expect_frame(batch.packets[0], 1514, 3);
    EXPECT_EQUAL(batch.packets[1]->frame_length_bytes, 60);
    drop(&batch);
    end();
}

TEST_BOTH(virtio_net_sends_any_number_of_frames_around_the_ring)
{
    begin();
    open_one();
    struct nic_queue *queue = bench.nic->queues[0];
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned count = 1 + (round * 37) % BATCH_MAX;
        struct packet *packets[BATCH_MAX];
        for (unsigned i = 0; i < count; i++)
            packets[i] = packet_of(bench.pool, 14 + (round * 64 + i) % 1500, i);
        bench.model.sent_count = 0;
        unsigned notified = bench.model.queues[1].notified;
        EXPECT_EQUAL(bench.nic->ops->transmit(queue, packets, count), count);
        EXPECT_EQUAL(bench.model.sent_count, 0); /* one doorbell per flush */
        bench.nic->ops->flush(queue);
        EXPECT_EQUAL(bench.model.queues[1].notified, notified + 1);
        EXPECT_EQUAL(bench.model.sent_count, count);
        for (unsigned i = 0; i < count; i++) {
            uint32_t length_bytes = 14 + (round * 64 + i) % 1500;
            EXPECT_EQUAL(bench.model.sent[i].length_bytes, length_bytes);
            EXPECT_EQUAL(bench.model.sent[i].descriptor_count, 1);
            EXPECT_EQUAL(bench.model.sent[i].sum, frame_sum_of(length_bytes, i));
        }
        EXPECT_EQUAL(out(), 256); /* the receive ring's */
    }
    end();
}

TEST_BOTH(virtio_net_transmit_stops_where_the_ring_is_full)
{
    begin();
    open_one();
    struct nic_queue *queue = bench.nic->queues[0];
    bench.model.transmit_stalls = true;
    struct packet *packets[BATCH_MAX];
    for (unsigned sent = 0; sent < 256; sent += BATCH_MAX) {
        for (unsigned i = 0; i < BATCH_MAX; i++)
            packets[i] = packet_of(bench.pool, 60, i);
        EXPECT_EQUAL(bench.nic->ops->transmit(queue, packets, BATCH_MAX), BATCH_MAX);
    }
    packets[0] = packet_of(bench.pool, 60, 0);
    packets[1] = packet_of(bench.pool, 4000, 0);
    EXPECT_EQUAL(bench.nic->ops->transmit(queue, packets, 2), 0);
    EXPECT_EQUAL(bench.nic->ops->transmit(queue, packets + 1, 1), 0);
    bench.model.transmit_stalls = false;
    virtio_net_model_transmit(&bench.model, 0);
    EXPECT_EQUAL(bench.model.sent_count, 256);
    EXPECT_EQUAL(bench.nic->ops->transmit(queue, packets, 2), 2); /* collects by itself */
    bench.nic->ops->flush(queue);
    EXPECT_EQUAL(bench.model.sent_count, 258);
    EXPECT_EQUAL(bench.model.sent[257].descriptor_count, 3);
    EXPECT_EQUAL(out(), 256);
    end();
}

TEST_BOTH(virtio_net_sends_chains_and_frames_without_headroom)
{
    begin();
    open_one();
    struct nic_queue *queue = bench.nic->queues[0];
    for (unsigned round = 0; round < 200; round++) {
        uint32_t length_bytes = 14 + round * 45;
        struct packet *packet = packet_of(bench.pool, length_bytes, round);
        if (round % 3 == 0 && length_bytes < PACKET_ROOM_BYTES) {
            memmove(packet_buffer(packet), packet->data, packet->length_bytes);
            packet->data = packet_buffer(packet);
        }
        bench.model.sent_count = 0;
        EXPECT_EQUAL(bench.nic->ops->transmit(queue, &packet, 1), 1);
        bench.nic->ops->flush(queue);
        EXPECT_EQUAL(bench.model.sent_count, 1);
        EXPECT_EQUAL(bench.model.sent[0].length_bytes, length_bytes);
        EXPECT_EQUAL(bench.model.sent[0].sum, frame_sum_of(length_bytes, round));
    }
    EXPECT_EQUAL(out(), 256);
    /* More segments than any frame of ours. */
    struct packet *huge = packet_of(bench.pool, TEST_FRAME_MAX, 0);
    struct packet *last = huge;
    for (unsigned segments = 1; segments < 40; segments++, last = last->next_segment) {
        if (last->next_segment == NULL)
            last->next_segment = packet_of(bench.pool, 60, 0);
    }
    EXPECT_EQUAL(bench.nic->ops->transmit(queue, &huge, 1), 1); /* taken, and dropped */
    EXPECT_EQUAL(stats().tx_errors, 1);
    EXPECT_EQUAL(out(), 256);
    end();
}

TEST_BOTH(virtio_net_collects_frames_sent_in_any_order)
{
    begin();
    open_one();
    struct nic_queue *queue = bench.nic->queues[0];
    bench.model.transmit_stalls = true;
    bench.model.transmit_backwards = true;
    unsigned sent = 0;
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 20; i++) {
            struct packet *packet = packet_of(bench.pool, i % 5 == 0 ? 4000 : 60, i);
            EXPECT_EQUAL(bench.nic->ops->transmit(queue, &packet, 1), 1);
            sent++;
        }
        bench.nic->ops->flush(queue);
        bench.model.sent_count = 0;
        virtio_net_model_transmit(&bench.model, 0);
        EXPECT_EQUAL(bench.model.sent_count, 20);
    }
    bench.nic->ops->flush(queue);
    EXPECT(bench.nic->ops->is_well(bench.nic));
    EXPECT_EQUAL(out(), 256);
    end();
}

TEST_BOTH(virtio_net_lets_the_device_complete_checksums)
{
    begin();
    bench.model.features |= VIRTIO_NET_F_CSUM;
    open_one();
    EXPECT(bench.nic->completes_checksums);
    struct nic_queue *queue = bench.nic->queues[0];
    for (unsigned round = 0; round < 300; round++) {
        uint32_t length_bytes = 60 + round * 10;
        struct packet *packet = packet_of(bench.pool, length_bytes, round);
        bool wanted = round % 3 != 0;
        if (wanted)
            packet->flags |= PACKET_CHECKSUM_WANTED;
        packet->checksum_start = 34;
        packet->checksum_offset = 16;
        if (round % 7 == 0 && length_bytes < PACKET_ROOM_BYTES) {
            memmove(packet_buffer(packet), packet->data, packet->length_bytes);
            packet->data = packet_buffer(packet);
        }
        bench.model.sent_count = 0;
        EXPECT_EQUAL(bench.nic->ops->transmit(queue, &packet, 1), 1);
        bench.nic->ops->flush(queue);
        const uint8_t *header = bench.model.sent_header;
        EXPECT_EQUAL(header[VIRTIO_NET_HEADER_FLAGS],
                     wanted ? VIRTIO_NET_HEADER_NEEDS_CHECKSUM : 0);
        EXPECT_EQUAL(load_le16(header + VIRTIO_NET_HEADER_CHECKSUM_START), wanted ? 34 : 0);
        EXPECT_EQUAL(load_le16(header + VIRTIO_NET_HEADER_CHECKSUM_OFFSET), wanted ? 16 : 0);
        EXPECT_EQUAL(bench.model.sent[0].sum, frame_sum_of(length_bytes, round));
    }
    /* A field behind the frame's end is nothing for a device. */
    struct packet *packet = packet_of(bench.pool, 60, 0);
    packet->flags |= PACKET_CHECKSUM_WANTED;
    packet->checksum_start = 34;
    packet->checksum_offset = 25;
    EXPECT_EQUAL(bench.nic->ops->transmit(queue, &packet, 1), 1);
    EXPECT_EQUAL(stats().tx_errors, 1);
    EXPECT_EQUAL(out(), 256);
    end();
}

/* Nobody else's packet is to leave with a wrong checksum: it is a mistake of the caller. */
TEST_BOTH(virtio_net_sends_no_unfinished_checksum_by_a_device_that_does_not_offer_to)
{
    begin();
    open_one();
    EXPECT(!bench.nic->completes_checksums);
    struct packet *packet = packet_of(bench.pool, 60, 0);
    packet->flags |= PACKET_CHECKSUM_WANTED;
    packet->checksum_start = 34;
    packet->checksum_offset = 16;
    EXPECT_EQUAL(bench.nic->ops->transmit(bench.nic->queues[0], &packet, 1), 1);
    EXPECT_EQUAL(stats().tx_errors, 1);
    EXPECT_EQUAL(bench.model.sent_count, 0);
    end();
}

TEST_BOTH(virtio_net_rings_no_doorbell_of_a_device_that_looks_by_itself)
{
    begin();
    open_one();
    struct nic_queue *queue = bench.nic->queues[0];
    for (unsigned round = 0; round < 4; round++) {
        bool wanted = round % 2 == 1;
        virtio_net_model_want_doorbells(&bench.model, 0, wanted);
        virtio_net_model_want_doorbells(&bench.model, 1, wanted);
        unsigned filled = bench.model.queues[0].notified;
        unsigned sent = bench.model.queues[1].notified;
        struct batch batch;
        for (unsigned i = 0; i < 10; i++)
            EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(60, i), 60));
        receive(&batch);
        EXPECT_EQUAL(bench.nic->ops->transmit(queue, batch.packets, batch.count), 10);
        bench.nic->ops->flush(queue);
        EXPECT_EQUAL(bench.model.queues[0].notified - filled, wanted);
        EXPECT_EQUAL(bench.model.queues[1].notified - sent, wanted);
        virtio_net_model_transmit(&bench.model, 0);
        bench.nic->ops->flush(queue);
        EXPECT_EQUAL(out(), 256);
    }
    end();
}

/* ---- Several pairs -------------------------------------------------------------------------- */

TEST_BOTH(virtio_net_uses_a_pair_per_core)
{
    begin();
    bench.model.features |= VIRTIO_NET_F_MQ;
    bench.model.pairs = 4;
    bench.model.vector_count = 10;
    EXPECT(probe() != NULL);
    EXPECT_EQUAL(open_pairs(3), OK);
    EXPECT_EQUAL(bench.model.pairs_enabled, 3);
    EXPECT_EQUAL(bench.nic->queue_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        struct batch batch = { .count = 0 };
        struct nic_queue *queue = bench.nic->queues[i];
        bench.nic->ops->receive(queue, &batch);
        EXPECT(!bench.nic->ops->arm(queue));
        uint64_t woken = host_wake_count(i);
        EXPECT(virtio_net_model_receive(&bench.model, i, frame_of(100, i), 100));
        EXPECT_EQUAL(host_wake_count(i), woken + 1);
        bench.nic->ops->disarm(queue);
        bench.nic->ops->receive(queue, &batch);
        EXPECT_EQUAL(batch.count, 1);
        EXPECT_EQUAL(bench.nic->ops->transmit(queue, batch.packets, 1), 1);
        bench.nic->ops->flush(queue);
        EXPECT_EQUAL(bench.model.sent_count, i + 1);
        EXPECT_EQUAL(bench.nic->register_accesses[i], 3); /* filled, refilled, sent */
    }
    end();
}

TEST_BOTH(virtio_net_takes_one_pair_without_message_interrupts)
{
    begin();
    bench.model.features |= VIRTIO_NET_F_MQ;
    bench.model.pairs = 4;
    bench.model.vector_count = 0;
    EXPECT(probe() != NULL);
    EXPECT_EQUAL(bench.nic->queue_max, 1);
    end();
}

/* ---- Receive-side scaling ------------------------------------------------------------------- */

/* The pair that a device with this configuration chooses for an IPv4 flow (5.1.6.4.3). */
static unsigned pair_of_flow(uint32_t source, uint32_t target, uint16_t source_port,
                             uint16_t target_port)
{
    uint8_t input[12];
    uint32_t hash = 0;
    store_le32(input, __builtin_bswap32(source));
    store_le32(input + 4, __builtin_bswap32(target));
    store_le16(input + 8, __builtin_bswap16(source_port));
    store_le16(input + 10, __builtin_bswap16(target_port));
    for (unsigned bit = 0; bit < 8 * sizeof(input); bit++) {
        if (!(input[bit / 8] & (0x80 >> bit % 8)))
            continue;
        for (unsigned i = 0; i < 32; i++) {
            unsigned at = bit + i;
            hash ^= (uint32_t)(bench.model.rss_key[at / 8] >> (7 - at % 8) & 1) << (31 - i);
        }
    }
    return bench.model.rss_table[hash & (bench.model.rss_entries - 1)];
}

static void offer_rss(void)
{
    begin();
    bench.model.features |= VIRTIO_NET_F_MQ | VIRTIO_NET_F_RSS;
    bench.model.pairs = 4;
    bench.model.vector_count = 10;
}

TEST_BOTH(virtio_net_spreads_flows_by_a_symmetric_hash)
{
    enum { FLOWS = 64 };
    for (unsigned pairs = 2; pairs <= 4; pairs++) {
        unsigned flows[VIRTIO_MODEL_PAIR_MAX] = { 0 };
        offer_rss();
        EXPECT(probe() != NULL);
        EXPECT_EQUAL(open_pairs(pairs), OK);
        EXPECT_EQUAL(bench.model.pairs_enabled, pairs);
        EXPECT_EQUAL(bench.model.rss_hash_types, 0x3f);
        for (uint16_t flow = 0; flow < FLOWS; flow++) {
            uint16_t port = (uint16_t)(40000 + flow);
            unsigned pair = pair_of_flow(0x0a010002, 0x0a020002, port, 5001);
            EXPECT_EQUAL(pair, pair_of_flow(0x0a020002, 0x0a010002, 5001, port));
            flows[pair]++;
        }
        for (unsigned i = 0; i < pairs; i++) {
            EXPECT(flows[i] * pairs * 10 >= FLOWS * 7);
            EXPECT(flows[i] * pairs * 10 <= FLOWS * 13);
        }
        end();
    }
}

TEST_BOTH(virtio_net_leaves_steering_to_a_device_that_cannot_hash)
{
    static const uint16_t tables[] = { 0, 2 };
    for (unsigned i = 0; i < ARRAY_COUNT(tables); i++) {
        offer_rss();
        bench.model.rss_table_max = tables[i];
        EXPECT(probe() != NULL);
        EXPECT_EQUAL(open_pairs(3), OK);
        EXPECT_EQUAL(bench.model.pairs_enabled, 3);
        EXPECT_EQUAL(bench.model.rss_entries, 0);
        end();
    }
}

/* ---- Interrupts and link -------------------------------------------------------------------- */

static void expect_wakes(void)
{
    struct nic_queue *queue = bench.nic->queues[0];
    struct batch batch;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t woken = host_wake_count(0);
        EXPECT(!bench.nic->ops->arm(queue));
        EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(60, 0), 60));
        EXPECT_EQUAL(host_wake_count(0), woken + 1);
        EXPECT(bench.nic->ops->arm(queue)); /* there is work: do not sleep */
        bench.nic->ops->disarm(queue);
        receive(&batch);
        EXPECT_EQUAL(batch.count, 1);
        drop(&batch);
        woken = host_wake_count(0);
        EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(60, 0), 60));
        EXPECT_EQUAL(host_wake_count(0), woken); /* a polling core is left alone */
        receive(&batch);
        drop(&batch);
    }
}

TEST_BOTH(virtio_net_wakes_by_message)
{
    begin();
    open_one();
    expect_wakes();
    end();
}

TEST_BOTH(virtio_net_wakes_by_pin)
{
    begin();
    bench.model.vector_count = 0;
    open_one();
    EXPECT(!bench.nic->polled);
    expect_wakes();
    end();
}

TEST_BOTH(virtio_net_is_polled_where_no_interrupt_comes)
{
    begin();
    bench.model.vector_count = 0;
    bench.model.pci.interrupts_lost = true;
    EXPECT(probe() != NULL);
    bench.model.pci.interrupts_lost = true; /* attaching has cleared it */
    EXPECT_EQUAL(open_pairs(1), OK);
    EXPECT(bench.nic->polled);
    bench.nic->ops->close(bench.nic, bench.pool);
    bench.model.pci.interrupts_lost = false;
    EXPECT_EQUAL(open_pairs(1), OK);
    EXPECT(!bench.nic->polled);
    end();
}

TEST_BOTH(virtio_net_is_polled_where_vectors_are_refused)
{
    begin();
    bench.model.refuses_vectors = true;
    open_one();
    EXPECT(bench.nic->polled);
    end();
}

TEST_BOTH(virtio_net_sees_the_link_change)
{
    begin();
    open_one();
    EXPECT(bench.nic->ops->link_up(bench.nic));
    bench.model.link = false;
    EXPECT(!bench.nic->ops->link_up(bench.nic));
    EXPECT(bench.nic->ops->is_well(bench.nic));
    bench.model.link = true;
    EXPECT(bench.nic->ops->link_up(bench.nic));
    bench.model.status |= VIRTIO_STATUS_NEEDS_RESET;
    EXPECT(!bench.nic->ops->is_well(bench.nic));
    bench.nic->ops->close(bench.nic, bench.pool);
    EXPECT_EQUAL(open_pairs(1), OK);
    EXPECT(bench.nic->ops->is_well(bench.nic));
    end();
}

/* ---- Devices that lie ----------------------------------------------------------------------- */

/* The queue stands still, and works again after close and open. */
static void expect_stopped(void)
{
    struct batch batch;
    receive(&batch);
    drop(&batch);
    bench.nic->ops->flush(bench.nic->queues[0]);
    EXPECT(!bench.nic->ops->is_well(bench.nic));
    struct packet *packet = packet_of(bench.pool, 60, 0);
    EXPECT_EQUAL(bench.nic->ops->transmit(bench.nic->queues[0], &packet, 1), 0);
    packet_free(bench.pool, packet);
    EXPECT(!bench.nic->ops->arm(bench.nic->queues[0]));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 0);
    bench.nic->ops->close(bench.nic, bench.pool);
    EXPECT_EQUAL(out(), 0);
    EXPECT_EQUAL(open_pairs(1), OK);
    receive(&batch);
    EXPECT(virtio_net_model_receive(&bench.model, 0, frame_of(60, 0), 60));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 1);
    drop(&batch);
    end();
}

TEST_BOTH(virtio_net_stops_at_a_receive_index_too_far)
{
    begin();
    open_one();
    virtio_net_model_move_used(&bench.model, 0, 257);
    expect_stopped();
}

TEST_BOTH(virtio_net_stops_at_a_receive_index_that_went_back)
{
    begin();
    open_one();
    virtio_net_model_move_used(&bench.model, 0, (uint16_t)-1);
    expect_stopped();
}

TEST_BOTH(virtio_net_stops_at_a_buffer_it_has_not_given)
{
    static const uint32_t ids[] = { 256, 0xffff, 0x10000, 0x80000000, 0xffffffff };
    begin();
    for (unsigned i = 0; i < ARRAY_COUNT(ids); i++) {
        open_one();
        virtio_net_model_use(&bench.model, 0, ids[i], 72);
        struct batch batch;
        receive(&batch);
        EXPECT_EQUAL(batch.count, 0);
        EXPECT(!bench.nic->ops->is_well(bench.nic));
        bench.nic->ops->close(bench.nic, bench.pool);
        virtio_net_driver.remove(bench.nic);
        host_detach_all();
    }
    open_one();
    virtio_net_model_use(&bench.model, 0, 300, 72);
    expect_stopped();
}

TEST_BOTH(virtio_net_stops_at_a_length_beyond_the_buffer)
{
    begin();
    open_one();
    uint8_t *memory;
    uint16_t id = virtio_net_model_take(&bench.model, 0, &memory);
    memset(memory, 0, VIRTIO_NET_HEADER_BYTES);
    memory[VIRTIO_NET_HEADER_BUFFER_COUNT] = 1;
    virtio_net_model_use(&bench.model, 0, id, VIRTIO_NET_HEADER_BYTES + PACKET_ROOM_BYTES + 1);
    expect_stopped();
}

TEST_BOTH(virtio_net_drops_a_length_shorter_than_its_header)
{
    begin();
    open_one();
    uint8_t *memory;
    for (uint32_t length_bytes = 0; length_bytes < VIRTIO_NET_HEADER_BYTES; length_bytes++) {
        uint16_t id = virtio_net_model_take(&bench.model, 0, &memory);
        memset(memory, 0, VIRTIO_NET_HEADER_BYTES);
        memory[VIRTIO_NET_HEADER_BUFFER_COUNT] = 1;
        virtio_net_model_use(&bench.model, 0, id, length_bytes);
    }
    struct batch batch;
    receive(&batch);
    EXPECT_EQUAL(batch.count, 0);
    EXPECT_EQUAL(stats().rx_errors, VIRTIO_NET_HEADER_BYTES);
    EXPECT(bench.nic->ops->is_well(bench.nic));
    end();
}

TEST_BOTH(virtio_net_stops_at_a_count_of_buffers_that_are_not_there)
{
    static const uint16_t counts[] = { 0, 2, 255, 0xffff };
    begin();
    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        open_one();
        uint8_t *memory;
        uint16_t id = virtio_net_model_take(&bench.model, 0, &memory);
        memset(memory, 0, VIRTIO_NET_HEADER_BYTES);
        memory[VIRTIO_NET_HEADER_BUFFER_COUNT] = (uint8_t)counts[i];
        memory[VIRTIO_NET_HEADER_BUFFER_COUNT + 1] = (uint8_t)(counts[i] >> 8);
        virtio_net_model_use(&bench.model, 0, id, 72);
        struct batch batch;
        receive(&batch);
        EXPECT_EQUAL(batch.count, 0);
        EXPECT(!bench.nic->ops->is_well(bench.nic));
        bench.nic->ops->close(bench.nic, bench.pool);
        virtio_net_driver.remove(bench.nic);
        host_detach_all();
    }
    bench.nic = NULL;
    end();
}

/* A merged frame whose second buffer is not full, unknown, or given twice. */
static void use_merged(uint32_t first_bytes, uint32_t second_id, uint32_t second_bytes)
{
    uint8_t *memory;
    uint8_t *unused;
    uint16_t id = virtio_net_model_take(&bench.model, 0, &memory);
    uint16_t next = virtio_net_model_take(&bench.model, 0, &unused);
    memset(memory, 0, VIRTIO_NET_HEADER_BYTES);
    memory[VIRTIO_NET_HEADER_BUFFER_COUNT] = 2;
    virtio_net_model_use(&bench.model, 0, id, first_bytes);
    virtio_net_model_use(&bench.model, 0, second_id == UINT16_MAX ? next : second_id, second_bytes);
}

TEST_BOTH(virtio_net_drops_merged_buffers_that_are_not_full)
{
    enum { FULL = VIRTIO_NET_HEADER_BYTES + PACKET_ROOM_BYTES };
    begin();
    open_one();
    use_merged(100, UINT16_MAX, 100);
    use_merged(5, UINT16_MAX, 100);
    use_merged(FULL, UINT16_MAX, 0);
    struct batch batch;
    receive(&batch);
    EXPECT_EQUAL(batch.count, 0);
    EXPECT_EQUAL(stats().rx_errors, 3);
    EXPECT_EQUAL(virtio_net_model_offered(&bench.model, 0), 256);
    use_merged(FULL, 0, 10); /* buffer 0 a second time: memory stays ours, whatever it says */
    receive(&batch);
    drop(&batch);
    use_merged(FULL, 5000, 10);
    expect_stopped();
}

TEST(virtio_net_stops_at_a_sent_frame_it_has_not_given)
{
    begin();
    open_one();
    virtio_net_model_use(&bench.model, 1, 7, 0); /* nothing was sent at all */
    expect_stopped();
}

TEST(virtio_net_stops_at_a_frame_sent_twice)
{
    begin();
    open_one();
    struct packet *packet = packet_of(bench.pool, 60, 0);
    EXPECT_EQUAL(bench.nic->ops->transmit(bench.nic->queues[0], &packet, 1), 1);
    bench.nic->ops->flush(bench.nic->queues[0]);
    virtio_net_model_use(&bench.model, 1, 0, 0);
    expect_stopped();
}

TEST_BOTH(virtio_net_stops_at_a_chain_sent_by_its_middle)
{
    begin();
    open_one();
    bench.model.transmit_stalls = true;
    struct packet *packet = packet_of(bench.pool, 4000, 0);
    EXPECT_EQUAL(bench.nic->ops->transmit(bench.nic->queues[0], &packet, 1), 1);
    bench.nic->ops->flush(bench.nic->queues[0]);
    virtio_net_model_use(&bench.model, 1, 129, 0); /* chains start half a ring ahead */
    bench.model.transmit_stalls = false;
    expect_stopped();
}

TEST(virtio_net_stops_at_a_send_index_too_far)
{
    begin();
    open_one();
    virtio_net_model_move_used(&bench.model, 1, 300);
    expect_stopped();
}

/* ---- Devices that send nothing any more -------------------------------------------------------
 */

TEST_BOTH(virtio_net_is_not_well_when_it_sends_nothing_any_more)
{
    begin();
    open_one();
    struct nic_queue *queue = bench.nic->queues[0];
    for (unsigned i = 0; i < 10 * NIC_HANG_QUESTIONS; i++)
        EXPECT(bench.nic->ops->is_well(bench.nic)); /* there is nothing to send */
    bench.model.transmit_stalls = true;
    for (unsigned round = 0; round < 3; round++) {
        struct packet *packet = packet_of(bench.pool, 60, 0);
        EXPECT_EQUAL(bench.nic->ops->transmit(queue, &packet, 1), 1);
        bench.nic->ops->flush(queue);
        for (unsigned i = 0; i < NIC_HANG_QUESTIONS - 1; i++)
            EXPECT(bench.nic->ops->is_well(bench.nic));
        if (round == 2)
            break;
        virtio_net_model_transmit(&bench.model, 0); /* slow, but it moves */
        for (unsigned i = 0; i < 2 * NIC_HANG_QUESTIONS; i++)
            EXPECT(bench.nic->ops->is_well(bench.nic)); /* whether or not the driver looks */
        bench.nic->ops->flush(queue);
    }
    bool well = bench.nic->ops->is_well(bench.nic) && bench.nic->ops->is_well(bench.nic);
    EXPECT(!well);
    bench.nic->ops->close(bench.nic, bench.pool);
    EXPECT_EQUAL(out(), 0);
    EXPECT_EQUAL(open_pairs(1), OK);
    EXPECT(bench.nic->ops->is_well(bench.nic));
    end();
}

TEST_BOTH(virtio_net_is_not_well_when_mute)
{
    begin();
    open_one();
    bench.model.mute = true;
    EXPECT(!bench.nic->ops->is_well(bench.nic));
    end();
}

/* ---- Packed rings alone -----------------------------------------------------------------------
 */

static struct nic_queue *send_two_packed(void)
{
    begin();
    bench.model.features |= VIRTIO_F_RING_PACKED;
    open_one();
    bench.model.transmit_stalls = true;
    struct nic_queue *queue = bench.nic->queues[0];
    struct packet *packets[2] = { packet_of(bench.pool, 4000, 0), packet_of(bench.pool, 60, 1) };
    EXPECT_EQUAL(bench.nic->ops->transmit(queue, packets, 2), 2);
    bench.nic->ops->flush(queue);
    bench.model.transmit_stalls = false;
    return queue;
}

TEST(virtio_net_stops_at_a_number_of_a_packed_ring_it_has_not_given)
{
    static const uint16_t ids[] = { 1, 2, 100, 256, 0xffff };
    for (unsigned i = 0; i < ARRAY_COUNT(ids); i++) {
        send_two_packed();
        virtio_net_model_use(&bench.model, 1, ids[i], 0);
        expect_stopped();
    }
}

TEST(virtio_net_stops_at_a_number_of_a_packed_ring_used_twice)
{
    struct nic_queue *queue = send_two_packed();
    virtio_net_model_use(&bench.model, 1, 3, 0); /* overtakes the chain of three */
    bench.nic->ops->flush(queue);
    EXPECT(bench.nic->ops->is_well(bench.nic));
    virtio_net_model_use(&bench.model, 1, 3, 0);
    expect_stopped();
}

TEST(virtio_net_looks_at_no_place_of_a_packed_ring_that_it_has_not_given)
{
    struct nic_queue *queue = send_two_packed();
    virtio_net_model_move_used(&bench.model, 1, 256);
    bench.nic->ops->flush(queue);
    bench.nic->ops->flush(queue);
    end();
}
