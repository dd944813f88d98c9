/* Goal: the igb driver moves every frame, gives every packet back, and survives a card that fails
 * or lies. Method: the device model of tests/host behind the seam, the cases of intel_cases.h. */
#include "drivers/igb_regs.h"
#include "tests/host/igb_model.h"
#include "tests/unit/intel_cases.h"
#include "tests/unit/test.h"

static void init_82576(struct intel_model *model)
{
    igb_model_init(model, IGB_82576);
}

static void init_i350(struct intel_model *model)
{
    igb_model_init(model, IGB_I350);
}

static void init_i210(struct intel_model *model)
{
    igb_model_init(model, IGB_I210_COPPER);
}

static const struct intel_card card = {
    .driver = &igb_driver,
    .init = init_82576,
    .queue_max = IGB_QUEUE_MAX,
    .spreads_udp = true,
};

/* ---- Probe, open, close --------------------------------------------------------------------- */

TEST(igb_probe_reads_the_card)
{
    intel_probe_reads_the_card(&card);
}

TEST(igb_probe_reads_the_eeprom)
{
    intel_probe_reads_the_eeprom(&card);
}

TEST(igb_probe_gives_up_bad_cards)
{
    intel_probe_gives_up_bad_cards(&card);
}

TEST(igb_open_fails_cleanly_at_every_allocation)
{
    intel_open_fails_cleanly_at_every_allocation(&card);
}

TEST(igb_open_sets_the_address)
{
    intel_open_sets_the_address(&card);
}

TEST(igb_reopens_without_a_leak)
{
    intel_reopens_without_a_leak(&card);
}

TEST(igb_closes_a_card_that_went_away)
{
    intel_closes_a_card_that_went_away(&card);
}

TEST(igb_resets_a_card_whose_transfers_never_end)
{
    intel_resets_a_card_whose_transfers_never_end(&card);
}

TEST(igb_wakes_a_phy)
{
    intel_wakes_a_phy(&card);
}

/* ---- Receive -------------------------------------------------------------------------------- */

TEST(igb_receives_around_the_ring)
{
    intel_receives_around_the_ring(&card);
}

TEST(igb_receives_a_ring_full)
{
    intel_receives_a_ring_full(&card);
}

TEST(igb_drops_bad_frames)
{
    intel_drops_bad_frames(&card);
}

TEST(igb_loses_frames_without_packets)
{
    intel_loses_frames_without_packets(&card);
}

TEST(igb_believes_checksums_that_are_vouched_for)
{
    intel_believes_checksums_that_are_vouched_for(&card);
}

TEST(igb_stops_at_a_length_beyond_the_buffer)
{
    intel_stops_at_a_length_beyond_the_buffer(&card);
}

TEST(igb_takes_no_descriptor_that_was_not_given)
{
    intel_takes_no_descriptor_that_was_not_given(&card);
}

TEST(igb_loses_no_frame_that_comes_while_it_looks)
{
    intel_loses_no_frame_that_comes_while_it_looks(&card);
}

/* ---- Transmit ------------------------------------------------------------------------------- */

TEST(igb_sends_around_the_ring)
{
    intel_sends_around_the_ring(&card);
}

TEST(igb_sends_short_frames_and_chains)
{
    intel_sends_short_frames_and_chains(&card);
}

TEST(igb_stops_where_the_ring_is_full)
{
    intel_stops_where_the_ring_is_full(&card);
}

TEST(igb_completes_checksums)
{
    intel_completes_checksums(&card);
}

TEST(igb_is_not_well_when_nothing_is_sent)
{
    intel_is_not_well_when_nothing_is_sent(&card);
}

TEST(igb_bears_a_link_that_flaps_in_mid_batch)
{
    intel_bears_a_link_that_flaps_in_mid_batch(&card);
}

/* ---- Interrupts and queues ------------------------------------------------------------------ */

TEST(igb_wakes_by_message)
{
    intel_wakes_by_message(&card);
}

TEST(igb_wakes_without_msix)
{
    intel_wakes_without_msix(&card);
}

TEST(igb_is_polled_where_no_interrupt_comes)
{
    intel_is_polled_where_no_interrupt_comes(&card);
}

TEST(igb_wakes_when_the_link_changes)
{
    intel_wakes_when_the_link_changes(&card);
}

TEST(igb_uses_all_queues)
{
    intel_uses_all_queues(&card);
}

TEST(igb_spreads_flows_both_ways)
{
    intel_spreads_flows_both_ways(&card);
}

/* ---- What only these have ---------------------------------------------------------------------
 */

/* Their vectors are in other places. */
TEST(igb_uses_all_queues_of_the_i350_and_the_i210)
{
    static const struct intel_card i350 = { &igb_driver, init_i350, IGB_QUEUE_MAX, true };
    static const struct intel_card i210 = { &igb_driver, init_i210, IGB_I210_QUEUE_MAX, true };
    intel_uses_all_queues(&i350);
    intel_uses_all_queues(&i210);
}

TEST(igb_has_as_many_queues_as_vectors)
{
    intel_begin(&card);
    intel_bench.model.vector_count = 3;
    EXPECT(intel_probe_model() != NULL);
    EXPECT_EQUAL(intel_bench.nic->queue_max, 3);
    EXPECT_EQUAL(intel_open(4), ERROR_BAD_VALUE);
    EXPECT_EQUAL(intel_open(3), OK);
    intel_end();
}

TEST(igb_does_not_open_where_queues_stay_off)
{
    intel_begin(&card);
    EXPECT(intel_probe_model() != NULL);
    intel_bench.model.queues_stay_off = true;
    EXPECT_EQUAL(intel_open(2), ERROR_TIMEOUT);
    EXPECT_EQUAL(intel_bench.nic->queue_count, 0);
    intel_bench.model.queues_stay_off = false;
    EXPECT_EQUAL(intel_open(2), OK);
    intel_end();
}
