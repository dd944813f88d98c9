/* Goal: the e1000e driver moves every frame, gives every packet back, and survives a card that
 * fails or lies. Method: the device model of tests/host behind the seam, the cases of
 * intel_cases.h. */
#include "drivers/e1000e_regs.h"
#include "tests/host/e1000e_model.h"
#include "tests/unit/intel_cases.h"
#include "tests/unit/test.h"

static const struct intel_card card = {
    .driver = &e1000e_driver,
    .init = e1000e_model_init,
    .queue_max = E1000E_QUEUE_MAX,
};

/* ---- Probe, open, close --------------------------------------------------------------------- */

TEST(e1000e_probe_reads_the_card)
{
    intel_probe_reads_the_card(&card);
}

TEST(e1000e_probe_reads_the_eeprom)
{
    intel_probe_reads_the_eeprom(&card);
}

TEST(e1000e_probe_gives_up_bad_cards)
{
    intel_probe_gives_up_bad_cards(&card);
}

TEST(e1000e_open_fails_cleanly_at_every_allocation)
{
    intel_open_fails_cleanly_at_every_allocation(&card);
}

TEST(e1000e_open_sets_the_address)
{
    intel_open_sets_the_address(&card);
}

TEST(e1000e_reopens_without_a_leak)
{
    intel_reopens_without_a_leak(&card);
}

TEST(e1000e_closes_a_card_that_went_away)
{
    intel_closes_a_card_that_went_away(&card);
}

TEST(e1000e_resets_a_card_whose_transfers_never_end)
{
    intel_resets_a_card_whose_transfers_never_end(&card);
}

TEST(e1000e_wakes_a_phy)
{
    intel_wakes_a_phy(&card);
}

/* ---- Receive -------------------------------------------------------------------------------- */

TEST(e1000e_receives_around_the_ring)
{
    intel_receives_around_the_ring(&card);
}

TEST(e1000e_receives_a_ring_full)
{
    intel_receives_a_ring_full(&card);
}

TEST(e1000e_drops_bad_frames)
{
    intel_drops_bad_frames(&card);
}

TEST(e1000e_loses_frames_without_packets)
{
    intel_loses_frames_without_packets(&card);
}

TEST(e1000e_believes_checksums_that_are_vouched_for)
{
    intel_believes_checksums_that_are_vouched_for(&card);
}

TEST(e1000e_stops_at_a_length_beyond_the_buffer)
{
    intel_stops_at_a_length_beyond_the_buffer(&card);
}

TEST(e1000e_takes_no_descriptor_that_was_not_given)
{
    intel_takes_no_descriptor_that_was_not_given(&card);
}

TEST(e1000e_loses_no_frame_that_comes_while_it_looks)
{
    intel_loses_no_frame_that_comes_while_it_looks(&card);
}

/* ---- Transmit ------------------------------------------------------------------------------- */

TEST(e1000e_sends_around_the_ring)
{
    intel_sends_around_the_ring(&card);
}

TEST(e1000e_sends_short_frames_and_chains)
{
    intel_sends_short_frames_and_chains(&card);
}

TEST(e1000e_stops_where_the_ring_is_full)
{
    intel_stops_where_the_ring_is_full(&card);
}

TEST(e1000e_completes_checksums)
{
    intel_completes_checksums(&card);
}

TEST(e1000e_is_not_well_when_nothing_is_sent)
{
    intel_is_not_well_when_nothing_is_sent(&card);
}

TEST(e1000e_bears_a_link_that_flaps_in_mid_batch)
{
    intel_bears_a_link_that_flaps_in_mid_batch(&card);
}

/* ---- Interrupts and queues ------------------------------------------------------------------ */

TEST(e1000e_wakes_by_message)
{
    intel_wakes_by_message(&card);
}

TEST(e1000e_wakes_without_msix)
{
    intel_wakes_without_msix(&card);
}

TEST(e1000e_is_polled_where_no_interrupt_comes)
{
    intel_is_polled_where_no_interrupt_comes(&card);
}

TEST(e1000e_wakes_when_the_link_changes)
{
    intel_wakes_when_the_link_changes(&card);
}

TEST(e1000e_uses_all_queues)
{
    intel_uses_all_queues(&card);
}

TEST(e1000e_spreads_flows_both_ways)
{
    intel_spreads_flows_both_ways(&card);
}
