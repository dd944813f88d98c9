/* What holds for every driver of an Intel card on PCI Express: each function is the body of a test,
 * for the driver and the model that it is given. */
#pragma once

#include "drivers/driver_table.h"
#include "drivers/nic.h"
#include "tests/host/intel_model.h"

enum { INTEL_RING = 256, INTEL_QUEUES_MAX = 8 };

struct intel_card {
    const struct pci_driver *driver;
    void (*init)(struct intel_model *model);
    unsigned queue_max;
    bool spreads_udp; /* by ports */
};

struct intel_bench {
    const struct intel_card *card;
    struct intel_model model;
    struct packet_pools *pools;
    struct packet_pool *pool[INTEL_QUEUES_MAX];
    struct nic *nic;
};
extern struct intel_bench intel_bench; /* tests are processes */

/* For tests of one card alone. open: with the rings filled. */
void intel_begin(const struct intel_card *card);
struct nic *intel_probe_model(void);
enum error intel_open(unsigned queue_count);
void intel_begin_open(const struct intel_card *card, unsigned queue_count);
void intel_end(void);

typedef void intel_case(const struct intel_card *card);
/* Probe, open, close. */
intel_case intel_probe_reads_the_card;
intel_case intel_probe_reads_the_eeprom;
intel_case intel_probe_gives_up_bad_cards;
intel_case intel_open_fails_cleanly_at_every_allocation;
intel_case intel_open_sets_the_address;
intel_case intel_reopens_without_a_leak;
intel_case intel_closes_a_card_that_went_away;
intel_case intel_resets_a_card_whose_transfers_never_end;
intel_case intel_wakes_a_phy;
/* Receive. */
intel_case intel_receives_around_the_ring;
intel_case intel_receives_a_ring_full;
intel_case intel_drops_bad_frames;
intel_case intel_loses_frames_without_packets;
intel_case intel_believes_checksums_that_are_vouched_for;
intel_case intel_stops_at_a_length_beyond_the_buffer;
intel_case intel_takes_no_descriptor_that_was_not_given;
intel_case intel_loses_no_frame_that_comes_while_it_looks;
/* Transmit. */
intel_case intel_sends_around_the_ring;
intel_case intel_sends_short_frames_and_chains;
intel_case intel_stops_where_the_ring_is_full;
intel_case intel_completes_checksums;
intel_case intel_is_not_well_when_nothing_is_sent;
intel_case intel_bears_a_link_that_flaps_in_mid_batch;
/* Interrupts and queues. */
intel_case intel_wakes_by_message;
intel_case intel_wakes_without_msix;
intel_case intel_is_polled_where_no_interrupt_comes;
intel_case intel_wakes_when_the_link_changes;
intel_case intel_uses_all_queues;
intel_case intel_spreads_flows_both_ways;
