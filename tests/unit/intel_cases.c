/* See intel_cases.h. */
#include "tests/unit/intel_cases.h"

#include <pthread.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "tests/unit/nic_frames.h"
#include "tests/unit/test.h"

enum {
    RING = INTEL_RING,
    ROUNDS = 40, /* of up to 64 frames: several times around the ring */
    FRAME_MIN = 14,
    FRAME_MAX = 1518,
    UDP_START = 34,
    FLOWS = 64,
};

struct intel_bench intel_bench;
#define bench intel_bench

void intel_begin(const struct intel_card *card)
{
    bench.card = card;
    card->init(&bench.model);
    bench.pools = packet_pools_create(INTEL_QUEUES_MAX, TEST_POOL_PACKETS);
    EXPECT(bench.pools != NULL);
    for (unsigned i = 0; i < INTEL_QUEUES_MAX; i++)
        bench.pool[i] = packet_pool(bench.pools, i);
    host_cores(INTEL_QUEUES_MAX, HOST_STEPPED);
}

struct nic *intel_probe_model(void)
{
    const char *why = NULL;
    intel_model_attach(&bench.model, 2);
    bench.nic = bench.card->driver->probe(&bench.model.pci.device, &why);
    EXPECT((bench.nic == NULL) == (why != NULL));
    return bench.nic;
}

enum error intel_open(unsigned queue_count)
{
    struct nic_queue_setup setup[INTEL_QUEUES_MAX];
    for (unsigned i = 0; i < queue_count; i++)
        setup[i] = (struct nic_queue_setup){ .pool = bench.pool[i], .core = i };
    return bench.nic->ops->open(bench.nic, queue_count, setup);
}

static void receive(unsigned queue, struct batch *batch)
{
    batch->count = 0;
    bench.nic->ops->receive(bench.nic->queues[queue], batch);
}

static void fill_rings(void)
{
    struct batch batch;
    for (unsigned i = 0; i < bench.nic->queue_count; i++) {
        receive(i, &batch);
        EXPECT_EQUAL(batch.count, 0);
        EXPECT_EQUAL(intel_model_offered(&bench.model, i), RING - 1);
    }
}

void intel_begin_open(const struct intel_card *card, unsigned queue_count)
{
    intel_begin(card);
    EXPECT(intel_probe_model() != NULL);
    EXPECT_EQUAL(intel_open(queue_count), OK);
    EXPECT_EQUAL(bench.nic->queue_count, queue_count);
    fill_rings();
}

static uint64_t out(void)
{
    return packets_out(bench.pools, INTEL_QUEUES_MAX);
}

/* Packets out besides those behind the receive rings. */
static uint64_t out_of_rings(void)
{
    return out() - (uint64_t)RING * bench.nic->queue_count;
}

static void drop(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++)
        packet_free(bench.pool[0], batch->packets[i]);
    batch->count = 0;
}

static void collect(void)
{
    for (unsigned i = 0; i < INTEL_QUEUES_MAX; i++)
        packet_pool_collect(bench.pool[i]);
    for (unsigned i = 0; i < INTEL_QUEUES_MAX; i++)
        packet_pool_collect(bench.pool[i]);
}

static void close_card(void)
{
    bench.nic->ops->close(bench.nic, bench.pool[0]);
    collect();
    EXPECT_EQUAL(bench.nic->queue_count, 0);
    EXPECT_EQUAL(out(), 0);
    EXPECT(!pci_function_masters(&bench.model.pci));
}

void intel_end(void)
{
    if (bench.nic != NULL) {
        close_card();
        bench.card->driver->remove(bench.nic);
    }
    packet_pools_destroy(bench.pools);
    host_detach_all();
}

static unsigned transmit(struct packet **packets, unsigned count)
{
    return bench.nic->ops->transmit(bench.nic->queues[0], packets, count);
}

static void flush(void)
{
    bench.nic->ops->flush(bench.nic->queues[0]);
}

static struct nic_stats stats(void)
{
    struct nic_stats stats;
    bench.nic->ops->stats(bench.nic, &stats);
    return stats;
}

static bool arrive(uint32_t length_bytes, unsigned seed)
{
    return intel_model_receive(&bench.model, frame_of(length_bytes, seed), length_bytes);
}

static void complete(uint32_t length_bytes, uint64_t bits)
{
    intel_model_complete(&bench.model, 0, (uint64_t)length_bytes << 32 | bits);
}

/* ---- Probe, open, close -----------------------------------------------------------------------
 */

void intel_probe_reads_the_card(const struct intel_card *card)
{
    intel_begin(card);
    struct nic *nic = intel_probe_model();
    EXPECT(nic != NULL);
    EXPECT(memcmp(nic->mac, bench.model.mac, 6) == 0);
    EXPECT_EQUAL(nic->queue_max, card->queue_max);
    EXPECT_EQUAL(nic->frame_max_bytes, FRAME_MAX);
    EXPECT_TEXT(nic->location, "0000:00:02.0");
    EXPECT(!nic->ops->link_up(nic)); /* closed */
    EXPECT_EQUAL(intel_open(0), ERROR_BAD_VALUE);
    EXPECT_EQUAL(intel_open(1), OK);
    EXPECT(nic->completes_checksums);
    EXPECT(nic->ops->link_up(nic));
    intel_end();
}

void intel_probe_reads_the_eeprom(const struct intel_card *card)
{
    intel_begin(card);
    bench.model.address_loaded = false;
    struct nic *nic = intel_probe_model();
    EXPECT(nic != NULL);
    EXPECT(memcmp(nic->mac, bench.model.mac, 6) == 0);
    intel_end();
}

void intel_probe_gives_up_bad_cards(const struct intel_card *card)
{
    const char *why = NULL;
    intel_begin(card);
    bench.model.address_loaded = false;
    bench.model.eeprom_is_deaf = true;
    EXPECT(intel_probe_model() == NULL);
    host_detach_all();
    card->init(&bench.model);
    memset(bench.model.mac, 0xff, 6);
    EXPECT(intel_probe_model() == NULL);
    host_detach_all();
    card->init(&bench.model);
    bench.model.mute = true;
    EXPECT(intel_probe_model() == NULL);
    host_detach_all();
    card->init(&bench.model);
    bench.model.reset_never_ends = true;
    EXPECT(intel_probe_model() == NULL);
    host_detach_all();
    card->init(&bench.model);
    intel_model_attach(&bench.model, 2);
    bench.model.pci.device.bars[0].size_bytes = 0x1000;
    EXPECT(card->driver->probe(&bench.model.pci.device, &why) == NULL);
    EXPECT_TEXT(why, "has no registers in BAR 0");
    intel_end();
}

void intel_open_fails_cleanly_at_every_allocation(const struct intel_card *card)
{
    intel_begin(card);
    for (uint64_t n = 0;; n++) {
        EXPECT(n < 100);
        host_fail_allocation(n);
        bool done = intel_probe_model() != NULL && intel_open(card->queue_max) == OK;
        host_fail_allocation(UINT64_MAX);
        if (bench.nic != NULL) {
            EXPECT(done || bench.nic->queue_count == 0);
            bench.nic->ops->close(bench.nic, bench.pool[0]);
            card->driver->remove(bench.nic);
            bench.nic = NULL;
        }
        host_detach_all();
        EXPECT_EQUAL(out(), 0);
        if (done)
            break;
        card->init(&bench.model);
    }
    intel_end();
}

void intel_open_sets_the_address(const struct intel_card *card)
{
    static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 9 };
    static const uint8_t other[6] = { 2, 0, 0, 0, 0, 10 };
    static const uint8_t group[6] = { 1, 0, 0, 0, 0, 9 };
    intel_begin(card);
    EXPECT(intel_probe_model() != NULL);
    EXPECT_EQUAL(bench.nic->ops->set_mac(bench.nic, group), ERROR_BAD_VALUE);
    EXPECT_EQUAL(bench.nic->ops->set_mac(bench.nic, mac), OK);
    EXPECT_EQUAL(intel_open(1), OK);
    EXPECT_EQUAL(bench.model.registers[E1000_RAL0 / 4], 2);
    EXPECT_EQUAL(bench.model.registers[E1000_RAH0 / 4], 0x0900 | E1000_RAH_AV);
    EXPECT_EQUAL(intel_open(1), ERROR_BUSY);
    EXPECT_EQUAL(bench.nic->ops->set_mac(bench.nic, other), OK); /* in service */
    EXPECT_EQUAL(bench.model.registers[E1000_RAH0 / 4], 0x0a00 | E1000_RAH_AV);
    intel_end();
}

void intel_reopens_without_a_leak(const struct intel_card *card)
{
    intel_begin_open(card, card->queue_max);
    for (unsigned i = 0; i < 5; i++) {
        struct batch batch;
        EXPECT(arrive(60, i));
        receive(0, &batch);
        EXPECT_EQUAL(batch.count, 1);
        complete(1000, E1000_DONE_DD);      /* half a frame */
        EXPECT(arrive(60, i));              /* and one that nobody fetches */
        bench.model.transmit_stalls = true; /* so that close() finds it in the ring */
        EXPECT_EQUAL(transmit(batch.packets, 1), 1);
        flush();
        close_card();
        bench.model.transmit_stalls = false;
        EXPECT_EQUAL(intel_open(1 + i % card->queue_max), OK);
        fill_rings();
    }
    intel_end();
}

void intel_closes_a_card_that_went_away(const struct intel_card *card)
{
    intel_begin_open(card, 1);
    bench.model.mute = true;
    EXPECT(!bench.nic->ops->link_up(bench.nic));
    EXPECT(!bench.nic->ops->is_well(bench.nic));
    EXPECT_EQUAL(stats().rx_errors, 0);
    EXPECT_EQUAL(stats().rx_no_buffer, 0);
    close_card();
    EXPECT(intel_open(1) != OK);
    EXPECT_EQUAL(bench.nic->queue_count, 0);
    bench.model.mute = false;
    EXPECT_EQUAL(intel_open(1), OK);
    intel_end();
}

void intel_resets_a_card_whose_transfers_never_end(const struct intel_card *card)
{
    intel_begin(card);
    bench.model.transfers_never_end = true;
    EXPECT(intel_probe_model() != NULL);
    EXPECT_EQUAL(intel_open(1), OK);
    fill_rings();
    intel_end();
}

void intel_wakes_a_phy(const struct intel_card *card)
{
    intel_begin(card);
    bench.model.phy_sleeps = true;
    bench.model.phy_is_deaf = true;
    EXPECT(intel_probe_model() != NULL);
    EXPECT_EQUAL(intel_open(1), OK); /* without a link */
    EXPECT(!bench.nic->ops->link_up(bench.nic));
    close_card();
    bench.model.phy_is_deaf = false;
    EXPECT_EQUAL(intel_open(1), OK);
    EXPECT(bench.nic->ops->link_up(bench.nic));
    intel_end();
}

/* ---- Receive ----------------------------------------------------------------------------------
 */

static uint32_t length_of(unsigned number)
{
    return FRAME_MIN + number % (FRAME_MAX - FRAME_MIN + 1);
}

void intel_receives_around_the_ring(const struct intel_card *card)
{
    intel_begin_open(card, 1);
    unsigned reads = bench.model.reads;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned count = 1 + (round * 37) % BATCH_MAX;
        for (unsigned i = 0; i < count; i++)
            EXPECT(arrive(length_of(round * 64 + i), i));
        struct batch batch;
        receive(0, &batch);
        EXPECT_EQUAL(batch.count, count);
        for (unsigned i = 0; i < count; i++)
            expect_frame(batch.packets[i], length_of(round * 64 + i), i);
        drop(&batch);
        EXPECT(intel_model_offered(&bench.model, 0) >= RING - 1 - 32);
    }
    EXPECT_EQUAL(bench.model.reads, reads); /* never in the hot path */
    intel_end();
}

void intel_receives_a_ring_full(const struct intel_card *card)
{
    intel_begin_open(card, 1);
    unsigned count = 0;
    while (arrive(60, count))
        count++;
    EXPECT_EQUAL(count, RING - 1);
    struct batch batch;
    for (unsigned done = 0; done < count;) {
        receive(0, &batch);
        EXPECT(batch.count > 0);
        for (unsigned i = 0; i < batch.count; i++)
            expect_frame(batch.packets[i], 60, done++);
        drop(&batch);
    }
    EXPECT_EQUAL(stats().rx_no_buffer, 1); /* by the card's own count */
    EXPECT_EQUAL(stats().rx_no_buffer, 1);
    EXPECT(arrive(60, 0));
    receive(0, &batch);
    EXPECT_EQUAL(batch.count, 1);
    drop(&batch);
    intel_end();
}

void intel_drops_bad_frames(const struct intel_card *card)
{
    static const unsigned errors[] = { 24, 25, 26, 28, 31 }; /* CE, SE, SEQ, CXE, RXE */
    const uint64_t whole = E1000_DONE_DD | E1000_DONE_EOP;
    intel_begin_open(card, 1);
    struct batch batch;
    for (unsigned i = 0; i < ARRAY_COUNT(errors); i++)
        complete(60, whole | 1ull << errors[i]);
    complete(13, whole);
    complete(0, whole);
    /* In pieces: long frames are off, so that is one lost frame. */
    complete(1000, E1000_DONE_DD);
    complete(1000, E1000_DONE_DD);
    complete(100, whole);
    EXPECT(arrive(60, 9));
    receive(0, &batch);
    EXPECT_EQUAL(batch.count, 1);
    expect_frame(batch.packets[0], 60, 9);
    EXPECT_EQUAL(stats().rx_errors, ARRAY_COUNT(errors) + 3);
    EXPECT(bench.nic->ops->is_well(bench.nic));
    drop(&batch);
    EXPECT_EQUAL(out_of_rings(), 0);
    intel_end();
}

void intel_loses_frames_without_packets(const struct intel_card *card)
{
    struct packet *taken[TEST_POOL_PACKETS + 1];
    struct batch batch;
    intel_begin(card);
    EXPECT(intel_probe_model() != NULL);
    EXPECT_EQUAL(intel_open(1), OK);
    /* Not even enough for the ring: it stays empty, until there is. */
    unsigned count = take_all(bench.pool[0], taken);
    for (unsigned i = 0; i < RING - 1; i++)
        packet_free(bench.pool[0], taken[--count]);
    receive(0, &batch);
    EXPECT_EQUAL(intel_model_offered(&bench.model, 0), 0);
    EXPECT(!arrive(60, 0));
    packet_free(bench.pool[0], taken[--count]);
    fill_rings();
    EXPECT_EQUAL(stats().rx_no_buffer, 1);

    EXPECT(arrive(60, 1));
    EXPECT(arrive(60, 2));
    receive(0, &batch);
    EXPECT_EQUAL(batch.count, 0);
    EXPECT_EQUAL(stats().rx_no_buffer, 3);
    packet_free(bench.pool[0], taken[--count]);
    EXPECT(arrive(60, 3));
    EXPECT(arrive(60, 4));
    receive(0, &batch);
    EXPECT_EQUAL(batch.count, 1);
    expect_frame(batch.packets[0], 60, 3);
    EXPECT_EQUAL(stats().rx_no_buffer, 4);
    drop(&batch);
    while (count > 0)
        packet_free(bench.pool[0], taken[--count]);
    intel_end();
}

void intel_believes_checksums_that_are_vouched_for(const struct intel_card *card)
{
    static const struct {
        uint64_t said;
        bool good;
    } cases[] = {
        { 0, false },
        { E1000_DONE_L4CS, true },
        { E1000_DONE_L4CS | E1000_DONE_L4E, false },
        { E1000_DONE_L4E, false },
        { E1000_DONE_L4CS | E1000_DONE_IXSM, false },
        { E1000_DONE_IXSM, false },
        { E1000_DONE_L4CS | 1ull << 30, true }, /* IPE: the router looks for itself */
    };
    intel_begin_open(card, 1);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct batch batch;
        complete(60, E1000_DONE_DD | E1000_DONE_EOP | cases[i].said);
        receive(0, &batch);
        EXPECT_EQUAL(batch.count, 1);
        EXPECT_EQUAL((batch.packets[0]->flags & PACKET_CHECKSUM_GOOD) != 0, cases[i].good);
        drop(&batch);
    }
    intel_end();
}

void intel_stops_at_a_length_beyond_the_buffer(const struct intel_card *card)
{
    static const uint32_t lengths[] = { PACKET_ROOM_BYTES + 1, 2049, 0xffff };
    for (unsigned i = 0; i < ARRAY_COUNT(lengths); i++) {
        intel_begin_open(card, 1);
        struct batch batch;
        EXPECT(arrive(60, 1));
        complete(lengths[i], E1000_DONE_DD | E1000_DONE_EOP);
        receive(0, &batch);
        EXPECT_EQUAL(batch.count, 1); /* the one before is good */
        EXPECT(!bench.nic->ops->is_well(bench.nic));
        EXPECT_EQUAL(transmit(batch.packets, 1), 0);
        EXPECT(!bench.nic->ops->arm(bench.nic->queues[0]));
        drop(&batch);
        receive(0, &batch);
        EXPECT_EQUAL(batch.count, 0);
        close_card();
        EXPECT_EQUAL(intel_open(1), OK);
        EXPECT(bench.nic->ops->is_well(bench.nic));
        intel_end();
        bench.nic = NULL;
    }
}

/* The card says that every descriptor of the ring is done, over and over, also those that it was
 * not given. What it says of them is wrong, but each has a packet behind it. */
void intel_takes_no_descriptor_that_was_not_given(const struct intel_card *card)
{
    static const uint64_t states[] = { E1000_DONE_DD, E1000_DONE_DD | E1000_DONE_EOP,
                                       E1000_DONE_DD | E1000_DONE_EOP | 1ull << 31 };
    intel_begin_open(card, 1);
    for (unsigned round = 0; round < 30; round++) {
        struct batch batch;
        uint64_t errors = stats().rx_errors;
        for (unsigned i = 0; i < RING; i++)
            intel_model_descriptor(&bench.model, 0, i)->state =
                60ull << 32 | states[round % ARRAY_COUNT(states)];
        receive(0, &batch);
        for (unsigned i = 0; i < batch.count; i++) {
            EXPECT_EQUAL(batch.packets[i]->length_bytes, 60);
            for (unsigned j = 0; j < i; j++)
                EXPECT(batch.packets[i] != batch.packets[j]);
        }
        if (round % ARRAY_COUNT(states) == 2)
            EXPECT_EQUAL(stats().rx_errors - errors, RING - 1);
        drop(&batch);
        EXPECT_EQUAL(out_of_rings(), 0);
    }
    intel_end();
}

static void *receive_in_the_background(void *count)
{
    for (unsigned done = 0; done < *(unsigned *)count;) {
        if (intel_model_offered(&bench.model, 0) == 0)
            continue;
        complete(60, E1000_DONE_DD | E1000_DONE_EOP);
        done++;
    }
    return NULL;
}

/* The card writes descriptors while the driver looks at them. */
void intel_loses_no_frame_that_comes_while_it_looks(const struct intel_card *card)
{
    unsigned count = 200000, received = 0;
    pthread_t thread;
    intel_begin_open(card, 1);
    EXPECT_EQUAL(pthread_create(&thread, NULL, receive_in_the_background, &count), 0);
    while (received < count) {
        struct batch batch;
        receive(0, &batch);
        received += batch.count;
        drop(&batch);
        EXPECT_EQUAL(stats().rx_no_buffer, 0);
    }
    pthread_join(thread, NULL);
    intel_end();
}

/* ---- Transmit ---------------------------------------------------------------------------------
 */

void intel_sends_around_the_ring(const struct intel_card *card)
{
    intel_begin_open(card, 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned count = 1 + (round * 37) % BATCH_MAX;
        struct packet *packets[BATCH_MAX];
        for (unsigned i = 0; i < count; i++)
            packets[i] = packet_of(bench.pool[0], 17 + (round * 64 + i) % 1500, i);
        bench.model.sent_count = 0;
        unsigned writes = bench.model.tail_writes;
        unsigned reads = bench.model.reads;
        EXPECT_EQUAL(transmit(packets, count), count);
        EXPECT_EQUAL(bench.model.sent_count, 0);
        flush();
        EXPECT_EQUAL(bench.model.tail_writes, writes + 1);
        EXPECT_EQUAL(bench.model.reads, reads);
        EXPECT_EQUAL(bench.model.sent_count, count);
        for (unsigned i = 0; i < count; i++) {
            uint32_t length_bytes = 17 + (round * 64 + i) % 1500;
            EXPECT_EQUAL(bench.model.sent[i].length_bytes, length_bytes);
            EXPECT_EQUAL(bench.model.sent[i].sum, frame_sum_of(length_bytes, i));
        }
        EXPECT_EQUAL(out_of_rings(), 0);
    }
    intel_end();
}

void intel_sends_short_frames_and_chains(const struct intel_card *card)
{
    intel_begin_open(card, 1);
    for (uint32_t length_bytes = 14; length_bytes < 20; length_bytes++) {
        struct packet *packet = packet_of(bench.pool[0], length_bytes, 3);
        EXPECT_EQUAL(transmit(&packet, 1), 1);
        flush();
    }
    EXPECT_EQUAL(bench.model.sent_count, 6);
    EXPECT(memcmp(bench.model.sent[0].start, frame_of(14, 3), 14) == 0);
    EXPECT_EQUAL(bench.model.sent[0].start[14], 0);

    for (unsigned segments = 2; segments < 40; segments++) {
        struct packet *chain = packet_of(bench.pool[0], 30, 0);
        struct packet *last = chain;
        for (unsigned i = 1; i < segments; i++, last = last->next_segment)
            last->next_segment = packet_of(bench.pool[0], 30, 0);
        chain->frame_length_bytes = 30 * segments;
        bench.model.sent_count = 0;
        EXPECT_EQUAL(transmit(&chain, 1), 1);
        flush();
        if (segments <= 32) {
            EXPECT_EQUAL(bench.model.sent_count, 1);
            EXPECT_EQUAL(bench.model.sent[0].length_bytes, 30 * segments);
            EXPECT_EQUAL(bench.model.sent[0].descriptor_count, segments);
        } else { /* taken, and dropped */
            EXPECT_EQUAL(bench.model.sent_count, 0);
            EXPECT_EQUAL(stats().tx_errors, segments - 32);
        }
        EXPECT_EQUAL(out_of_rings(), 0);
    }
    intel_end();
}

void intel_stops_where_the_ring_is_full(const struct intel_card *card)
{
    intel_begin_open(card, 1);
    bench.model.transmit_stalls = true;
    unsigned sent = 0;
    struct packet *packet;
    do {
        packet = packet_of(bench.pool[0], 60, sent);
        sent++;
    } while (transmit(&packet, 1) == 1);
    EXPECT_EQUAL(sent - 1, RING - 1); /* one descriptor stays back */
    intel_model_transmit(&bench.model, 0);
    EXPECT_EQUAL(bench.model.sent_count, RING - 1);
    EXPECT_EQUAL(transmit(&packet, 1), 1); /* collects by itself */
    flush();
    bench.model.transmit_stalls = false;
    intel_model_transmit(&bench.model, 0);
    flush();
    EXPECT_EQUAL(bench.model.sent_count, RING);
    EXPECT_EQUAL(out_of_rings(), 0);
    intel_end();
}

/* IPv4 and UDP, with the sum of the pseudo header where its checksum will be. */
static struct packet *udp_packet(uint32_t length_bytes, unsigned seed)
{
    struct packet *packet = packet_of(bench.pool[0], length_bytes, seed);
    packet->data[14] = 0x45;
    packet->flags |= PACKET_CHECKSUM_WANTED;
    packet->checksum_start = UDP_START;
    packet->checksum_offset = 6;
    store_be16(packet->data + UDP_START + 6, 0x1234);
    return packet;
}

/* One's complement sum of the transport part of what was sent, and of what was in the field. */
static uint32_t sum_sent(void)
{
    uint32_t sum = 0;
    for (uint32_t i = UDP_START; i < bench.model.sent[0].length_bytes; i++)
        sum += (i - UDP_START) % 2 == 0 ? (uint32_t)bench.model.sent_bytes[i] << 8
                                        : bench.model.sent_bytes[i];
    sum += 0x1234;
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

void intel_completes_checksums(const struct intel_card *card)
{
    intel_begin_open(card, 1);
    for (uint32_t round = 0; round < 3 * RING; round++) {
        struct packet *packet = udp_packet(60 + round, round);
        bench.model.sent_count = 0;
        EXPECT_EQUAL(transmit(&packet, 1), 1);
        flush();
        EXPECT_EQUAL(bench.model.sent_count, 1);
        EXPECT_EQUAL(bench.model.sent[0].length_bytes, 60 + round);
        EXPECT_EQUAL(sum_sent(), 0xffff);
        EXPECT_EQUAL(out_of_rings(), 0);
        packet = packet_of(bench.pool[0], 60, round); /* one without */
        EXPECT_EQUAL(transmit(&packet, 1), 1);
        flush();
        EXPECT_EQUAL(bench.model.sent[1].sum, frame_sum_of(60, round));
    }
    /* What the card has no words for. */
    uint64_t errors = stats().tx_errors;
    for (unsigned i = 0; i < 2; i++) {
        struct packet *packet = udp_packet(1500, i);
        packet->checksum_start = i == 0 ? 1490 : UDP_START;
        packet->checksum_offset = i == 0 ? 16 : 1470;
        bench.model.sent_count = 0;
        EXPECT_EQUAL(transmit(&packet, 1), 1);
        flush();
        EXPECT_EQUAL(bench.model.sent_count, 0);
    }
    EXPECT_EQUAL(stats().tx_errors, errors + 2);
    /* The ring fills with contexts and frames, and every packet comes back. */
    bench.model.transmit_stalls = true;
    unsigned sent = 0;
    struct packet *packet;
    do {
        packet = udp_packet(60, sent);
        sent++;
    } while (transmit(&packet, 1) == 1);
    EXPECT_EQUAL(sent - 1, (RING - 1) / 2);
    packet_free(bench.pool[0], packet);
    bench.model.transmit_stalls = false;
    intel_model_transmit(&bench.model, 0);
    flush();
    EXPECT_EQUAL(out_of_rings(), 0);
    /* A context is the oldest: its frame is sent and not collected yet, or not sent. */
    bench.model.transmit_stalls = true;
    packet = udp_packet(60, 1);
    EXPECT_EQUAL(transmit(&packet, 1), 1);
    flush();
    intel_model_transmit(&bench.model, 0);
    for (unsigned i = 0; i < 2 * NIC_HANG_QUESTIONS; i++)
        EXPECT(bench.nic->ops->is_well(bench.nic));
    packet = udp_packet(60, 1);
    EXPECT_EQUAL(transmit(&packet, 1), 1);
    flush();
    for (unsigned i = 0; i < NIC_HANG_QUESTIONS; i++)
        EXPECT(bench.nic->ops->is_well(bench.nic));
    EXPECT(!bench.nic->ops->is_well(bench.nic));
    intel_end();
}

/* In the card's ring, or sent and never said so. */
void intel_is_not_well_when_nothing_is_sent(const struct intel_card *card)
{
    for (unsigned fault = 0; fault < 2; fault++) {
        intel_begin_open(card, 1);
        for (unsigned i = 0; i < 2 * NIC_HANG_QUESTIONS; i++)
            EXPECT(bench.nic->ops->is_well(bench.nic)); /* there is nothing to send */
        bench.model.transmit_stalls = fault == 0;
        bench.model.completes_nothing = fault == 1;
        struct packet *packet = packet_of(bench.pool[0], 60, 0);
        EXPECT_EQUAL(transmit(&packet, 1), 1);
        flush();
        intel_model_link(&bench.model, false);
        for (unsigned i = 0; i < 2 * NIC_HANG_QUESTIONS; i++)
            EXPECT(bench.nic->ops->is_well(bench.nic)); /* without a link it need not send */
        bench.model.link = true;
        for (unsigned i = 1; i < NIC_HANG_QUESTIONS; i++)
            EXPECT(bench.nic->ops->is_well(bench.nic));
        EXPECT(!bench.nic->ops->is_well(bench.nic));
        close_card();
        bench.model.transmit_stalls = bench.model.completes_nothing = false;
        EXPECT_EQUAL(intel_open(1), OK);
        EXPECT(bench.nic->ops->is_well(bench.nic));
        intel_end();
        bench.nic = NULL;
    }
}

/* What is left of the batch waits in the ring; the ring fills; the link comes back, and all goes
 * out in order. */
void intel_bears_a_link_that_flaps_in_mid_batch(const struct intel_card *card)
{
    for (unsigned first = 1; first < BATCH_MAX; first += 7) {
        intel_begin_open(card, 1);
        bench.model.link_flaps_after = first;
        unsigned sent = 0;
        struct packet *packet;
        do {
            packet = packet_of(bench.pool[0], 60, sent);
            sent++;
            if (sent % BATCH_MAX == 0)
                flush();
        } while (transmit(&packet, 1) == 1);
        EXPECT_EQUAL(bench.model.sent_count, first);
        EXPECT(!bench.nic->ops->link_up(bench.nic));
        for (unsigned i = 0; i < 2 * NIC_HANG_QUESTIONS; i++)
            EXPECT(bench.nic->ops->is_well(bench.nic));
        EXPECT(!arrive(60, 0));
        intel_model_link(&bench.model, true);
        EXPECT(bench.nic->ops->link_up(bench.nic));
        EXPECT_EQUAL(transmit(&packet, 1), 1);
        flush();
        EXPECT_EQUAL(bench.model.sent_count, sent);
        for (unsigned i = 0; i < sent; i++)
            EXPECT_EQUAL(bench.model.sent[i].sum, frame_sum_of(60, i));
        EXPECT_EQUAL(out_of_rings(), 0);
        EXPECT(arrive(60, 0));
        intel_end();
        bench.nic = NULL;
    }
}

/* ---- Interrupts and queues --------------------------------------------------------------------
 */

static void expect_wakes(void)
{
    struct nic_queue *queue = bench.nic->queues[0];
    EXPECT(!bench.nic->polled);
    for (unsigned i = 0; i < 3; i++) {
        struct batch batch;
        uint64_t woken = host_wake_count(0);
        EXPECT(!bench.nic->ops->arm(queue));
        EXPECT_EQUAL(host_wake_count(0), woken);
        EXPECT(arrive(60, i));
        EXPECT_EQUAL(host_wake_count(0), woken + 1);
        EXPECT(bench.nic->ops->arm(queue)); /* there is work: do not sleep */
        bench.nic->ops->disarm(queue);
        receive(0, &batch);
        EXPECT_EQUAL(batch.count, 1);
        drop(&batch);
        woken = host_wake_count(0);
        EXPECT(arrive(60, i));
        EXPECT_EQUAL(host_wake_count(0), woken); /* a polling core is left alone */
        receive(0, &batch);
        drop(&batch);
    }
}

void intel_wakes_by_message(const struct intel_card *card)
{
    intel_begin_open(card, 1);
    EXPECT(pci_function_uses_msix(&bench.model.pci));
    expect_wakes();
    close_card();
    EXPECT(!pci_function_uses_msix(&bench.model.pci));
    intel_end();
}

void intel_wakes_without_msix(const struct intel_card *card)
{
    for (unsigned msi = 0; msi < 2; msi++) {
        intel_begin(card);
        bench.model.vector_count = 0;
        bench.model.has_msi = msi;
        EXPECT(intel_probe_model() != NULL);
        EXPECT_EQUAL(bench.nic->queue_max, 1);
        for (unsigned i = 0; i < 2; i++) {
            EXPECT_EQUAL(intel_open(1), OK);
            fill_rings();
            expect_wakes();
            EXPECT(bench.nic->ops->link_up(bench.nic));
            close_card();
        }
        intel_end();
        bench.nic = NULL;
    }
}

void intel_is_polled_where_no_interrupt_comes(const struct intel_card *card)
{
    intel_begin(card);
    bench.model.vector_count = 0;
    EXPECT(intel_probe_model() != NULL);
    bench.model.pci.interrupts_lost = true;
    EXPECT_EQUAL(intel_open(1), OK);
    fill_rings();
    EXPECT(bench.nic->polled);
    EXPECT(!bench.nic->ops->arm(bench.nic->queues[0]));
    EXPECT(arrive(60, 0));
    EXPECT(bench.nic->ops->arm(bench.nic->queues[0]));
    bench.nic->ops->disarm(bench.nic->queues[0]);
    close_card();
    bench.model.pci.interrupts_lost = false;
    EXPECT_EQUAL(intel_open(1), OK);
    EXPECT(!bench.nic->polled);
    intel_end();
}

void intel_wakes_when_the_link_changes(const struct intel_card *card)
{
    intel_begin_open(card, 1);
    EXPECT(bench.nic->ops->link_up(bench.nic));
    for (unsigned i = 0; i < 3; i++) {
        bool up = i % 2 != 0;
        EXPECT(!bench.nic->ops->arm(bench.nic->queues[0]));
        uint64_t woken = host_wake_count(0);
        intel_model_link(&bench.model, up);
        EXPECT_EQUAL(host_wake_count(0), woken + 1);
        bench.nic->ops->disarm(bench.nic->queues[0]);
        EXPECT_EQUAL(bench.nic->ops->link_up(bench.nic), up);
    }
    intel_end();
}

struct flow {
    uint8_t frame[60];
};

static struct flow flow_of(unsigned number, bool by_port, bool back)
{
    struct flow flow = { { 0 } };
    uint32_t source = by_port ? 0x0a010002 : 0x0a010064 + number;
    uint16_t source_port = by_port ? (uint16_t)(40000 + number) : 40000;
    store_be16(flow.frame + 12, 0x0800);
    flow.frame[14] = 0x45;
    flow.frame[23] = 17;
    store_be32(flow.frame + (back ? 30 : 26), source);
    store_be32(flow.frame + (back ? 26 : 30), 0x0a020002);
    store_be16(flow.frame + (back ? 36 : 34), source_port);
    store_be16(flow.frame + (back ? 34 : 36), 5001);
    return flow;
}

static unsigned queue_of(struct flow flow)
{
    return intel_model_queue_of(&bench.model, flow.frame, sizeof(flow.frame));
}

/* Each receives, sends and wakes its core. */
void intel_uses_all_queues(const struct intel_card *card)
{
    for (unsigned queue_count = 2; queue_count <= card->queue_max; queue_count++) {
        intel_begin_open(card, queue_count);
        unsigned seen = 0;
        for (unsigned i = 0; i < queue_count; i++)
            EXPECT(!bench.nic->ops->arm(bench.nic->queues[i]));
        for (unsigned number = 0; number < FLOWS; number++) {
            struct flow flow = flow_of(number, card->spreads_udp, false);
            unsigned queue = queue_of(flow);
            uint64_t woken = host_wake_count(queue);
            struct batch batch;
            EXPECT(queue < queue_count);
            EXPECT(!bench.nic->ops->arm(bench.nic->queues[queue]));
            EXPECT(intel_model_receive(&bench.model, flow.frame, sizeof(flow.frame)));
            EXPECT_EQUAL(host_wake_count(queue), woken + 1);
            for (unsigned i = 0; i < queue_count; i++) {
                receive(i, &batch);
                EXPECT_EQUAL(batch.count, i == queue);
                if (i != queue)
                    continue;
                EXPECT_EQUAL(batch.packets[0]->home, queue);
                EXPECT_EQUAL(bench.nic->ops->transmit(bench.nic->queues[i], batch.packets, 1), 1);
                bench.nic->ops->flush(bench.nic->queues[i]);
            }
            seen |= 1u << queue;
        }
        EXPECT_EQUAL(bench.model.sent_count, FLOWS);
        EXPECT_EQUAL(seen, (1u << queue_count) - 1);
        for (unsigned i = 0; i < queue_count; i++)
            EXPECT(bench.model.sent_by_queue[i] > 0);
        EXPECT_EQUAL(out_of_rings(), 0);
        intel_end();
        bench.nic = NULL;
    }
}

/* 64 flows over all queues, none with less than half of its share, and their answers likewise. */
void intel_spreads_flows_both_ways(const struct intel_card *card)
{
    for (unsigned queue_count = 2; queue_count <= card->queue_max; queue_count++) {
        unsigned flows[INTEL_QUEUES_MAX] = { 0 };
        intel_begin_open(card, queue_count);
        for (unsigned number = 0; number < FLOWS; number++) {
            unsigned there = queue_of(flow_of(number, card->spreads_udp, false));
            EXPECT_EQUAL(queue_of(flow_of(number, card->spreads_udp, true)), there);
            EXPECT(there < queue_count);
            flows[there]++;
        }
        for (unsigned i = 0; i < queue_count; i++)
            EXPECT(flows[i] * queue_count * 2 >= FLOWS);
        intel_end();
        bench.nic = NULL;
    }
}
