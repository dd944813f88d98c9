/* Goal: the e1000 driver moves every frame, gives every packet back, and survives a card that fails
 * or lies. Method: the device model of tests/host behind the seam. */
#include <string.h>

#include "drivers/driver_table.h"
#include "drivers/nic.h"
#include "tests/host/e1000_model.h"
#include "tests/unit/nic_frames.h"
#include "tests/unit/test.h"

enum {
    RING = 256,
    ROUNDS = 40, /* of up to 64 frames: several times around the ring */
};

struct bench {
    struct e1000_model model;
    struct packet_pools *pools;
    struct packet_pool *pool;
    struct nic *nic;
    struct nic_queue *queue;
};

static struct bench bench; /* tests are processes */

static void begin(void)
{
    e1000_model_init(&bench.model);
    bench.pools = packet_pools_create(1, TEST_POOL_PACKETS);
    EXPECT(bench.pools != NULL);
    bench.pool = packet_pool(bench.pools, 0);
    host_cores(1, HOST_STEPPED);
}

static struct nic *probe(void)
{
    const char *why = NULL;
    e1000_model_attach(&bench.model, 2);
    bench.nic = e1000_driver.probe(&bench.model.pci.device, &why);
    EXPECT((bench.nic == NULL) == (why != NULL));
    return bench.nic;
}

static enum error open_card(void)
{
    struct nic_queue_setup setup = { .pool = bench.pool, .core = 0 };
    enum error error = bench.nic->ops->open(bench.nic, 1, &setup);
    bench.queue = bench.nic->queues[0];
    return error;
}

static void begin_open(void)
{
    begin();
    EXPECT(probe() != NULL);
    EXPECT_EQUAL(open_card(), OK);
    EXPECT_EQUAL(e1000_model_offered(&bench.model), RING - 1);
}

static uint64_t out(void)
{
    return packets_out(bench.pools, 1);
}

static void end(void)
{
    if (bench.nic != NULL) {
        bench.nic->ops->close(bench.nic, bench.pool);
        EXPECT_EQUAL(bench.nic->queue_count, 0);
        e1000_driver.remove(bench.nic);
    }
    EXPECT_EQUAL(out(), 0);
    EXPECT(!pci_function_masters(&bench.model.pci));
    packet_pools_destroy(bench.pools);
    host_detach_all();
}

static void receive(struct batch *batch)
{
    batch->count = 0;
    bench.nic->ops->receive(bench.queue, batch);
}

static void drop(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++)
        packet_free(bench.pool, batch->packets[i]);
    batch->count = 0;
}

static unsigned transmit(struct packet **packets, unsigned count)
{
    return bench.nic->ops->transmit(bench.queue, packets, count);
}

static struct nic_stats stats(void)
{
    struct nic_stats stats;
    bench.nic->ops->stats(bench.nic, &stats);
    return stats;
}

static bool arrive(uint32_t length_bytes, unsigned seed)
{
    return e1000_model_receive(&bench.model, frame_of(length_bytes, seed), length_bytes);
}

/* ---- Probe and open ------------------------------------------------------------------------- */

TEST(e1000_probe_reads_the_card)
{
    begin();
    struct nic *nic = probe();
    EXPECT(nic != NULL);
    EXPECT(memcmp(nic->mac, bench.model.mac, 6) == 0);
    EXPECT_EQUAL(nic->queue_max, 1);
    EXPECT_TEXT(nic->location, "0000:00:02.0");
    EXPECT(!nic->ops->link_up(nic)); /* closed */
    end();
}

TEST(e1000_probe_reads_the_address_from_the_eeprom)
{
    begin();
    bench.model.address_loaded = false;
    struct nic *nic = probe();
    EXPECT(nic != NULL);
    EXPECT(memcmp(nic->mac, bench.model.mac, 6) == 0);
    end();
}

TEST(e1000_probe_gives_up_a_card_without_an_address)
{
    begin();
    bench.model.address_loaded = false;
    bench.model.eeprom_is_deaf = true;
    EXPECT(probe() == NULL);
    bench.model.eeprom_is_deaf = false;
    memset(bench.model.mac, 0xff, 6);
    host_detach_all();
    EXPECT(probe() == NULL);
    end();
}

TEST(e1000_probe_gives_up_a_mute_card)
{
    begin();
    bench.model.mute = true;
    EXPECT(probe() == NULL);
    end();
}

TEST(e1000_probe_gives_up_a_card_that_never_resets)
{
    begin();
    bench.model.reset_never_ends = true;
    EXPECT(probe() == NULL);
    end();
}

TEST(e1000_probe_gives_up_a_card_without_registers)
{
    begin();
    e1000_model_attach(&bench.model, 2);
    bench.model.pci.device.bars[0].size_bytes = 0;
    const char *why = NULL;
    EXPECT(e1000_driver.probe(&bench.model.pci.device, &why) == NULL);
    EXPECT_TEXT(why, "has no registers in BAR 0");
    end();
}

TEST(e1000_open_fails_cleanly_at_every_allocation)
{
    begin();
    for (uint64_t n = 0;; n++) {
        EXPECT(n < 100);
        host_fail_allocation(n);
        bool done = probe() != NULL && open_card() == OK;
        host_fail_allocation(UINT64_MAX);
        if (bench.nic != NULL) {
            EXPECT(done || bench.nic->queue_count == 0);
            bench.nic->ops->close(bench.nic, bench.pool);
            e1000_driver.remove(bench.nic);
            bench.nic = NULL;
        }
        host_detach_all();
        EXPECT_EQUAL(out(), 0);
        if (done)
            break;
    }
    end();
}

TEST(e1000_open_sets_the_address)
{
    static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 9 };
    static const uint8_t group[6] = { 1, 0, 0, 0, 0, 9 };
    begin();
    EXPECT(probe() != NULL);
    EXPECT_EQUAL(bench.nic->ops->set_mac(bench.nic, group), ERROR_BAD_VALUE);
    EXPECT_EQUAL(bench.nic->ops->set_mac(bench.nic, mac), OK);
    EXPECT_EQUAL(open_card(), OK);
    EXPECT_EQUAL(bench.model.registers[E1000_RAL0 / 4], 2);
    EXPECT_EQUAL(bench.model.registers[E1000_RAH0 / 4], 0x0900 | E1000_RAH_AV);
    EXPECT_EQUAL(open_card(), ERROR_BUSY);
    end();
}

/* A commit changes the address of a card that is in service. */
TEST(e1000_changes_its_address_while_open)
{
    static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 10 };
    begin_open();
    EXPECT_EQUAL(bench.nic->ops->set_mac(bench.nic, mac), OK);
    EXPECT(memcmp(mac, bench.nic->mac, 6) == 0);
    EXPECT_EQUAL(bench.model.registers[E1000_RAL0 / 4], 2);
    EXPECT_EQUAL(bench.model.registers[E1000_RAH0 / 4], 0x0a00 | E1000_RAH_AV);
    end();
}

TEST(e1000_reopens_without_a_leak)
{
    begin_open();
    for (unsigned i = 0; i < 5; i++) {
        struct batch batch;
        EXPECT(arrive(60, i));
        receive(&batch);
        EXPECT_EQUAL(batch.count, 1);
        e1000_model_complete(&bench.model, 2048 | E1000_RECEIVE_DD); /* half a frame */
        struct batch rest;
        receive(&rest);
        EXPECT_EQUAL(rest.count, 0);
        bench.model.transmit_stalls = true; /* so that close() finds it in the ring */
        EXPECT_EQUAL(transmit(batch.packets, 1), 1);
        bench.nic->ops->flush(bench.queue);
        EXPECT(out() > 0);
        bench.nic->ops->close(bench.nic, bench.pool);
        EXPECT_EQUAL(out(), 0);
        EXPECT_EQUAL(open_card(), OK);
    }
    end();
}

TEST(e1000_closes_a_card_that_went_away)
{
    begin_open();
    bench.model.mute = true;
    EXPECT(!bench.nic->ops->link_up(bench.nic));
    EXPECT(!bench.nic->ops->is_well(bench.nic));
    EXPECT_EQUAL(stats().rx_errors, 0);
    end();
}

/* ---- Receive and transmit ------------------------------------------------------------------- */

TEST(e1000_receives_any_number_of_frames_around_the_ring)
{
    begin_open();
    unsigned reads = bench.model.reads;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned count = 1 + (round * 37) % BATCH_MAX;
        for (unsigned i = 0; i < count; i++)
            EXPECT(arrive(14 + (round * 64 + i) % 1779, i));
        struct batch batch;
        receive(&batch);
        EXPECT_EQUAL(batch.count, count);
        for (unsigned i = 0; i < count; i++)
            expect_frame(batch.packets[i], 14 + (round * 64 + i) % 1779, i);
        drop(&batch);
        EXPECT(e1000_model_offered(&bench.model) >= RING - 1 - 32);
    }
    EXPECT_EQUAL(bench.model.reads, reads); /* never in the hot path */
    end();
}

TEST(e1000_receives_a_ring_full_of_frames)
{
    begin_open();
    unsigned count = 0;
    while (arrive(60, count))
        count++;
    EXPECT_EQUAL(count, RING - 1);
    struct batch batch;
    for (unsigned done = 0; done < count;) {
        receive(&batch);
        EXPECT(batch.count > 0);
        for (unsigned i = 0; i < batch.count; i++)
            expect_frame(batch.packets[i], 60, done++);
        drop(&batch);
    }
    EXPECT_EQUAL(stats().rx_no_buffer, 1); /* by the card's own count */
    EXPECT_EQUAL(stats().rx_no_buffer, 1);
    EXPECT(arrive(60, 0));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 1);
    drop(&batch);
    end();
}

TEST(e1000_receives_long_frames_as_a_chain)
{
    begin_open();
    struct batch batch;
    for (unsigned round = 0; round < 100; round++) {
        uint32_t length_bytes = 1780 + round * 120;
        EXPECT(arrive(60, 1));
        EXPECT(arrive(length_bytes, 5));
        receive(&batch);
        EXPECT_EQUAL(batch.count, 2);
        expect_frame(batch.packets[1], length_bytes, 5);
        drop(&batch);
    }
    EXPECT(arrive(PACKET_SEGMENT_MAX * PACKET_ROOM_BYTES, 5));
    EXPECT(arrive(PACKET_SEGMENT_MAX * PACKET_ROOM_BYTES + 1, 5)); /* one segment too many */
    EXPECT(arrive(16384, 5));
    EXPECT(arrive(60, 1));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 2);
    expect_frame(batch.packets[0], PACKET_SEGMENT_MAX * PACKET_ROOM_BYTES, 5);
    EXPECT_EQUAL(stats().rx_errors, 2);
    drop(&batch);
    end();
}

TEST(e1000_puts_a_frame_together_that_comes_in_pieces)
{
    begin_open();
    struct batch batch;
    e1000_model_complete(&bench.model, 1000 | E1000_RECEIVE_DD);
    receive(&batch);
    EXPECT_EQUAL(batch.count, 0);
    e1000_model_complete(&bench.model, 30 | E1000_RECEIVE_DD | E1000_RECEIVE_EOP);
    receive(&batch);
    EXPECT_EQUAL(batch.count, 1);
    EXPECT_EQUAL(batch.packets[0]->frame_length_bytes, 1030);
    drop(&batch);
    end();
}

TEST(e1000_drops_runts_and_frames_with_errors)
{
    static const uint64_t errors[] = { 0x01, 0x02, 0x04, 0x10, 0x80 };
    begin_open();
    struct batch batch;
    for (unsigned i = 0; i < ARRAY_COUNT(errors); i++)
        e1000_model_complete(&bench.model,
                             60 | E1000_RECEIVE_DD | E1000_RECEIVE_EOP | errors[i] << 40);
    e1000_model_complete(&bench.model, 13 | E1000_RECEIVE_DD | E1000_RECEIVE_EOP);
    e1000_model_complete(&bench.model, 0 | E1000_RECEIVE_DD | E1000_RECEIVE_EOP);
    /* The first piece is bad: the rest goes with it. */
    e1000_model_complete(&bench.model, 2048 | E1000_RECEIVE_DD | 1ull << 40);
    e1000_model_complete(&bench.model, 2048 | E1000_RECEIVE_DD);
    e1000_model_complete(&bench.model, 100 | E1000_RECEIVE_DD | E1000_RECEIVE_EOP);
    EXPECT(arrive(60, 9));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 1);
    expect_frame(batch.packets[0], 60, 9);
    EXPECT_EQUAL(stats().rx_errors, ARRAY_COUNT(errors) + 3);
    EXPECT(bench.nic->ops->link_up(bench.nic));
    drop(&batch);
    end();
}

TEST(e1000_loses_frames_when_the_pool_is_empty)
{
    begin_open();
    struct packet *taken[TEST_POOL_PACKETS + 1];
    unsigned count = take_all(bench.pool, taken);
    struct batch batch;
    EXPECT(arrive(60, 0));
    EXPECT(arrive(5000, 0));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 0);
    EXPECT_EQUAL(stats().rx_no_buffer, 2);
    packet_free(bench.pool, taken[--count]);
    EXPECT(arrive(5000, 0)); /* one packet is not enough */
    receive(&batch);
    EXPECT_EQUAL(batch.count, 0);
    EXPECT(arrive(60, 4));
    receive(&batch);
    EXPECT_EQUAL(batch.count, 1);
    expect_frame(batch.packets[0], 60, 4);
    drop(&batch);
    while (count > 0)
        packet_free(bench.pool, taken[--count]);
    end();
}

TEST(e1000_believes_checksums_that_the_card_has_looked_at)
{
    static const struct {
        uint64_t said;
        bool good;
    } cases[] = {
        { 0, false },
        { E1000_RECEIVE_TCPCS, true },
        { E1000_RECEIVE_TCPCS | E1000_RECEIVE_TCPE, false },
        { E1000_RECEIVE_TCPCS | E1000_RECEIVE_IXSM, false },
        { E1000_RECEIVE_IXSM, false },
    };
    begin_open();
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct batch batch;
        e1000_model_complete(&bench.model,
                             60 | E1000_RECEIVE_DD | E1000_RECEIVE_EOP | cases[i].said);
        receive(&batch);
        EXPECT_EQUAL(batch.count, 1);
        EXPECT_EQUAL((batch.packets[0]->flags & PACKET_CHECKSUM_GOOD) != 0, cases[i].good);
        drop(&batch);
    }
    end();
}

TEST(e1000_is_not_well_when_it_sends_nothing_any_more)
{
    begin_open();
    for (unsigned i = 0; i < 2 * NIC_HANG_QUESTIONS; i++)
        EXPECT(bench.nic->ops->is_well(bench.nic)); /* there is nothing to send */
    bench.model.transmit_stalls = true;
    struct packet *packet = packet_of(bench.pool, 60, 0);
    EXPECT_EQUAL(transmit(&packet, 1), 1);
    bench.nic->ops->flush(bench.queue);
    e1000_model_link(&bench.model, false);
    for (unsigned i = 0; i < 2 * NIC_HANG_QUESTIONS; i++)
        EXPECT(bench.nic->ops->is_well(bench.nic)); /* without a link it need not send */
    e1000_model_link(&bench.model, true);
    for (unsigned i = 1; i < NIC_HANG_QUESTIONS; i++)
        EXPECT(bench.nic->ops->is_well(bench.nic));
    EXPECT(!bench.nic->ops->is_well(bench.nic));
    bench.nic->ops->close(bench.nic, bench.pool);
    EXPECT_EQUAL(open_card(), OK);
    EXPECT(bench.nic->ops->is_well(bench.nic));
    end();
}

TEST(e1000_stops_at_a_length_beyond_the_buffer)
{
    begin_open();
    struct batch batch;
    e1000_model_complete(&bench.model, 2049 | E1000_RECEIVE_DD | E1000_RECEIVE_EOP);
    receive(&batch);
    EXPECT_EQUAL(batch.count, 0);
    EXPECT(!bench.nic->ops->is_well(bench.nic));
    struct packet *packet = packet_of(bench.pool, 60, 0);
    EXPECT_EQUAL(transmit(&packet, 1), 0);
    packet_free(bench.pool, packet);
    EXPECT(!bench.nic->ops->arm(bench.queue));
    bench.nic->ops->close(bench.nic, bench.pool);
    EXPECT_EQUAL(open_card(), OK);
    EXPECT(bench.nic->ops->link_up(bench.nic));
    end();
}

TEST(e1000_sends_any_number_of_frames_around_the_ring)
{
    begin_open();
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned count = 1 + (round * 37) % BATCH_MAX;
        struct packet *packets[BATCH_MAX];
        for (unsigned i = 0; i < count; i++)
            packets[i] = packet_of(bench.pool, 17 + (round * 64 + i) % 1500, i);
        bench.model.sent_count = 0;
        unsigned writes = bench.model.tail_writes;
        unsigned reads = bench.model.reads;
        EXPECT_EQUAL(transmit(packets, count), count);
        EXPECT_EQUAL(bench.model.sent_count, 0);
        bench.nic->ops->flush(bench.queue);
        EXPECT_EQUAL(bench.model.tail_writes, writes + 1);
        EXPECT_EQUAL(bench.model.reads, reads);
        EXPECT_EQUAL(bench.model.sent_count, count);
        for (unsigned i = 0; i < count; i++) {
            uint32_t length_bytes = 17 + (round * 64 + i) % 1500;
            EXPECT_EQUAL(bench.model.sent[i].length_bytes, length_bytes);
            EXPECT_EQUAL(bench.model.sent[i].sum, frame_sum_of(length_bytes, i));
        }
        EXPECT_EQUAL(out(), 0);
    }
    end();
}

TEST(e1000_sends_frames_shorter_than_the_card_can_pad)
{
    begin_open();
    for (uint32_t length_bytes = 14; length_bytes < 20; length_bytes++) {
        struct packet *packet = packet_of(bench.pool, length_bytes, 3);
        EXPECT_EQUAL(transmit(&packet, 1), 1);
        bench.nic->ops->flush(bench.queue);
    }
    EXPECT_EQUAL(bench.model.sent_count, 6);
    EXPECT(memcmp(bench.model.sent[0].start, frame_of(14, 3), 14) == 0);
    EXPECT_EQUAL(bench.model.sent[0].start[14], 0);
    end();
}

TEST(e1000_sends_chains)
{
    begin_open();
    for (unsigned round = 0; round < 100; round++) {
        uint32_t length_bytes = 1700 + round * 70;
        struct packet *packet = packet_of(bench.pool, length_bytes, round);
        bench.model.sent_count = 0;
        EXPECT_EQUAL(transmit(&packet, 1), 1);
        bench.nic->ops->flush(bench.queue);
        EXPECT_EQUAL(bench.model.sent_count, 1);
        EXPECT_EQUAL(bench.model.sent[0].length_bytes, length_bytes);
        EXPECT_EQUAL(bench.model.sent[0].sum, frame_sum_of(length_bytes, round));
        EXPECT_EQUAL(out(), 0);
    }
    struct packet *huge = packet_of(bench.pool, 60, 0);
    struct packet *last = huge;
    for (unsigned segments = 1; segments < 40; segments++, last = last->next_segment)
        last->next_segment = packet_of(bench.pool, 60, 0);
    EXPECT_EQUAL(transmit(&huge, 1), 1); /* taken, and dropped */
    EXPECT_EQUAL(stats().tx_errors, 1);
    EXPECT_EQUAL(out(), 0);
    end();
}

TEST(e1000_transmit_stops_where_the_ring_is_full)
{
    begin_open();
    bench.model.transmit_stalls = true;
    unsigned sent = 0;
    struct packet *packet;
    do {
        packet = packet_of(bench.pool, 60, sent);
        sent++;
    } while (transmit(&packet, 1) == 1);
    EXPECT_EQUAL(sent - 1, RING - 1); /* one descriptor stays back */
    e1000_model_transmit(&bench.model);
    EXPECT_EQUAL(bench.model.sent_count, RING - 1);
    EXPECT_EQUAL(transmit(&packet, 1), 1); /* collects by itself */
    bench.nic->ops->flush(bench.queue);
    bench.model.transmit_stalls = false;
    e1000_model_transmit(&bench.model);
    bench.nic->ops->flush(bench.queue);
    EXPECT_EQUAL(bench.model.sent_count, RING);
    EXPECT_EQUAL(out(), 0);
    end();
}

/* ---- Interrupts and link -------------------------------------------------------------------- */

TEST(e1000_wakes_by_pin)
{
    begin_open();
    EXPECT(!bench.nic->polled);
    for (unsigned i = 0; i < 3; i++) {
        struct batch batch;
        uint64_t woken = host_wake_count(0);
        EXPECT(!bench.nic->ops->arm(bench.queue));
        EXPECT(arrive(60, i));
        EXPECT_EQUAL(host_wake_count(0), woken + 1);
        EXPECT(bench.nic->ops->arm(bench.queue)); /* there is work: do not sleep */
        bench.nic->ops->disarm(bench.queue);
        receive(&batch);
        EXPECT_EQUAL(batch.count, 1);
        drop(&batch);
        woken = host_wake_count(0);
        EXPECT(arrive(60, i));
        EXPECT_EQUAL(host_wake_count(0), woken); /* a polling core is left alone */
        receive(&batch);
        drop(&batch);
    }
    end();
}

TEST(e1000_wakes_when_the_link_changes)
{
    begin_open();
    EXPECT(bench.nic->ops->link_up(bench.nic));
    EXPECT(!bench.nic->ops->arm(bench.queue));
    uint64_t woken = host_wake_count(0);
    e1000_model_link(&bench.model, false);
    EXPECT_EQUAL(host_wake_count(0), woken + 1);
    EXPECT(!bench.nic->ops->link_up(bench.nic));
    e1000_model_link(&bench.model, true);
    EXPECT(bench.nic->ops->link_up(bench.nic));
    end();
}

TEST(e1000_is_polled_where_no_interrupt_comes)
{
    begin();
    EXPECT(probe() != NULL);
    bench.model.pci.interrupts_lost = true;
    EXPECT_EQUAL(open_card(), OK);
    EXPECT(bench.nic->polled);
    EXPECT(!bench.nic->ops->arm(bench.queue));
    EXPECT(arrive(60, 0));
    EXPECT(bench.nic->ops->arm(bench.queue));
    bench.nic->ops->disarm(bench.queue);
    bench.nic->ops->close(bench.nic, bench.pool);
    bench.model.pci.interrupts_lost = false;
    EXPECT_EQUAL(open_card(), OK);
    EXPECT(!bench.nic->polled);
    end();
}
