/* Goal: a card that fails leaves service and comes back, the other ports forward on all the time,
 * and no packet is forgotten. Method: routers in steps, on software cards that are told to fail,
 * and on the models of real cards behind their drivers; a virtual clock. */
#include "drivers/driver_table.h"
#include "drivers/igb_regs.h"
#include "kernel/base/counter.h"
#include "kernel/platform.h"
#include "net/wire/ethernet.h"
#include "tests/host/e1000_model.h"
#include "tests/host/e1000e_model.h"
#include "tests/host/igb_model.h"
#include "tests/host/virtio_net_model.h"
#include "tests/unit/lab.h"

enum { FAILING = 2, STEPS_PER_ROUND = 20 };

/* ---- Software cards ---------------------------------------------------------------------------
 */

static void put_from_to(struct lab *lab, unsigned from, unsigned to)
{
    static const char *const hosts[] = { "10.0.0.2", "10.0.1.2", "10.0.2.2" };
    struct lab_frame frame = lab_frame(from, &(struct lab_packet){ .source = hosts[from],
                                                                   .destination = hosts[to],
                                                                   .payload_bytes = 100 });

    lab_put(lab, from, &frame);
}

static unsigned take_all_of(struct lab *lab, unsigned port)
{
    struct lab_frame frame;
    unsigned count = 0;

    while (lab_take(lab, port, &frame))
        count++;
    return count;
}

/* A frame from eth0 to eth1 arrives, whatever happens elsewhere. */
static void expect_others_forward(struct lab *lab)
{
    put_from_to(lab, 0, 1);
    lab_step(lab, STEPS_PER_ROUND);
    EXPECT_EQUAL(take_all_of(lab, 1), 1);
}

static struct port *failing_port(struct lab *lab)
{
    return &lab->router->ports[FAILING];
}

/* Rounds of 10 ms, in each of which the others forward. */
static void pass_time(struct lab *lab, unsigned ms)
{
    for (unsigned i = 0; i < ms / 10; i++) {
        expect_others_forward(lab);
        lab_wait(lab, 10);
    }
}

static void expect_recovery(unsigned core_count, unsigned queue_max)
{
    struct lab lab = lab_create_queues(core_count, 3, queue_max);

    put_from_to(&lab, 0, FAILING);
    lab_step(&lab, STEPS_PER_ROUND);
    EXPECT_EQUAL(take_all_of(&lab, FAILING), 1);

    wire_nic_fail(lab.cards[FAILING], 0);
    for (unsigned i = 0; i < 20 && failing_port(&lab)->link_up; i++)
        pass_time(&lab, 10);
    EXPECT(!failing_port(&lab)->link_up);
    EXPECT_EQUAL(failing_port(&lab)->resets, 1);
    uint64_t lost = lab_dropped(&lab, 0, DROP_PORT_DOWN) + lab_dropped(&lab, 0, DROP_NO_ROUTE);
    put_from_to(&lab, 0, FAILING);
    pass_time(&lab, 10);
    EXPECT_EQUAL(lab_dropped(&lab, 0, DROP_PORT_DOWN) + lab_dropped(&lab, 0, DROP_NO_ROUTE),
                 lost + 1);

    for (unsigned i = 0; i < 100 && !failing_port(&lab)->link_up; i++)
        pass_time(&lab, 10);
    EXPECT(failing_port(&lab)->link_up);
    pass_time(&lab, 100);
    take_all_of(&lab, FAILING);
    put_from_to(&lab, 0, FAILING);
    put_from_to(&lab, FAILING, 1);
    lab_step(&lab, STEPS_PER_ROUND);
    EXPECT_EQUAL(take_all_of(&lab, FAILING), 1);
    EXPECT_EQUAL(take_all_of(&lab, 1), 1);
    lab_wait(&lab, 3000);
    lab_expect_books(&lab);
    lab_destroy(&lab);
}

TEST(a_failed_port_comes_back_and_the_others_never_stop)
{
    static const unsigned cores[] = { 1, 2, 4 };
    for (unsigned i = 0; i < ARRAY_COUNT(cores); i++) {
        expect_recovery(cores[i], cores[i]);
        expect_recovery(cores[i], 1);
    }
    expect_recovery(4, 2);
}

TEST(a_card_that_stays_broken_is_tried_with_longer_and_longer_pauses)
{
    enum { TRIES = 10, MINUTE_MS = 60000 };
    static const unsigned pauses_s[TRIES] = { 0, 1, 2, 4, 8, 16, 32, 60, 60, 60 };
    struct lab lab = lab_create(2, 3);
    unsigned opens = wire_nic_opens(lab.cards[FAILING]);

    lab_wait(&lab, 61000); /* so long was it well */
    wire_nic_fail(lab.cards[FAILING], TRIES - 1);
    uint64_t last_ns = lab.now_ns;
    for (unsigned try = 0; try < TRIES; try++) {
        for (unsigned ms = 0; wire_nic_opens(lab.cards[FAILING]) == opens; ms += 10) {
            EXPECT(ms < 2 * MINUTE_MS);
            lab_wait(&lab, 10);
        }
        opens++;
        uint64_t pause_ms = (lab.now_ns - last_ns) / NS_PER_MS;
        EXPECT(pause_ms >= pauses_s[try] * 1000u);
        EXPECT(pause_ms <= pauses_s[try] * 1000u + 500);
        last_ns = lab.now_ns;
        expect_others_forward(&lab);
    }
    EXPECT(failing_port(&lab)->link_up);
    /* It fails again soon: then it has to wait. */
    wire_nic_fail(lab.cards[FAILING], 0);
    lab_wait(&lab, 30000);
    EXPECT_EQUAL(wire_nic_opens(lab.cards[FAILING]), opens);
    lab_wait(&lab, 31000);
    EXPECT_EQUAL(wire_nic_opens(lab.cards[FAILING]), opens + 1);
    EXPECT(failing_port(&lab)->link_up);
    /* It is well for long: the next time it is tried at once. */
    lab_wait(&lab, 61000);
    wire_nic_fail(lab.cards[FAILING], 0);
    lab_wait(&lab, 500);
    EXPECT_EQUAL(wire_nic_opens(lab.cards[FAILING]), opens + 2);
    lab_destroy(&lab);
}

TEST(a_card_that_does_not_open_at_first_is_tried_again)
{
    struct wire_nic *card = wire_nic_create(lab_port_mac(0), 1);
    struct nic *nic = wire_nic_card(card);
    wire_nic_fail(card, 2);
    host_clock_virtual(NS_PER_S);
    host_cores(1, HOST_STEPPED);
    struct lab lab = { .now_ns = NS_PER_S };
    lab.router = router_create(&(struct router_setup){
        .core_count = 1, .nics = &nic, .nic_count = 1, .now_ns = lab.now_ns });
    EXPECT(lab.router != NULL);
    EXPECT(!lab.router->ports[0].link_up);
    lab_wait(&lab, 5000);
    EXPECT(lab.router->ports[0].link_up);
    router_destroy(lab.router);
    wire_nic_destroy(card);
}

TEST(a_mac_address_that_comes_while_a_card_is_closed_is_set_when_it_opens)
{
    struct lab lab = lab_create(1, 3);
    struct config_interface wish = { .name = "eth2", .has_mac = true, .mac = { 2, 9, 9, 9, 9, 1 } };

    wire_nic_fail(lab.cards[FAILING], 3);
    lab_wait(&lab, 500);
    EXPECT(!failing_port(&lab)->link_up);
    EXPECT_EQUAL(config_set_interface(lab.config, &wish), OK);
    lab_commit(&lab);
    lab_wait(&lab, 10000);
    EXPECT(failing_port(&lab)->link_up);
    EXPECT(memcmp(wire_nic_card(lab.cards[FAILING])->mac, wish.mac, 6) == 0);
    lab_destroy(&lab);
}

/* ---- Drivers and models: eth0 and eth1 virtio, eth2 e1000, eth3 e1000e, eth4 igb --------------
 */

enum { MODELS = 5, E1000_PORT = 2, INTEL_PORT = 3, PROBE_ETHERTYPE = 0x88b5 };

static struct virtio_net_model virtio[2];
static struct e1000_model e1000;
static struct intel_model intel[MODELS - INTEL_PORT];
static const struct pci_driver *const intel_drivers[] = { &e1000e_driver, &igb_driver };
static struct nic *nics[MODELS];

static struct lab create_models(uint64_t features)
{
    struct lab lab = { .now_ns = NS_PER_S };
    const char *why = NULL;

    host_clock_virtual(lab.now_ns);
    host_cores(2, HOST_STEPPED);
    for (unsigned i = 0; i < ARRAY_COUNT(virtio); i++) {
        virtio_net_model_init(&virtio[i]);
        virtio[i].features |= features;
        virtio_net_model_attach(&virtio[i], 3 + i);
        nics[i] = virtio_net_driver.probe(&virtio[i].pci.device, &why);
        EXPECT(nics[i] != NULL);
    }
    e1000_model_init(&e1000);
    e1000_model_attach(&e1000, 5);
    nics[E1000_PORT] = e1000_driver.probe(&e1000.pci.device, &why);
    EXPECT(nics[E1000_PORT] != NULL);
    e1000e_model_init(&intel[0]);
    igb_model_init(&intel[1], IGB_82576);
    for (unsigned i = 0; i < ARRAY_COUNT(intel); i++) {
        intel_model_attach(&intel[i], 6 + i);
        nics[INTEL_PORT + i] = intel_drivers[i]->probe(&intel[i].pci.device, &why);
        EXPECT(nics[INTEL_PORT + i] != NULL);
    }
    lab.router = router_create(&(struct router_setup){
        .core_count = 2, .nics = nics, .nic_count = MODELS, .now_ns = lab.now_ns });
    EXPECT(lab.router != NULL);
    lab_step(&lab, 10);
    return lab;
}

static void destroy_models(struct lab *lab)
{
    lab_expect_books(lab);
    router_destroy(lab->router);
    for (unsigned i = 0; i < ARRAY_COUNT(virtio); i++)
        virtio_net_driver.remove(nics[i]);
    e1000_driver.remove(nics[E1000_PORT]);
    for (unsigned i = 0; i < ARRAY_COUNT(intel); i++)
        intel_drivers[i]->remove(nics[INTEL_PORT + i]);
    host_detach_all();
}

static const uint8_t *probe_frame(void)
{
    static uint8_t frame[60] = { [12] = PROBE_ETHERTYPE >> 8, [13] = PROBE_ETHERTYPE & 0xff };

    return frame;
}

/* The port takes a frame: it is counted, and dropped for its type. */
static void expect_receives(struct lab *lab, unsigned port)
{
    uint64_t before = lab_counters(lab, port).received;

    if (port >= INTEL_PORT)
        EXPECT(intel_model_receive(&intel[port - INTEL_PORT], probe_frame(), 60));
    else if (port == E1000_PORT)
        EXPECT(e1000_model_receive(&e1000, probe_frame(), 60));
    else
        EXPECT(virtio_net_model_receive(&virtio[port], 0, probe_frame(), 60));
    lab_step(lab, 10);
    EXPECT_EQUAL(lab_counters(lab, port).received, before + 1);
}

static void send_by(struct lab *lab, unsigned port)
{
    struct core *core = lab->router->cores[0];
    struct packet *packet = packet_alloc(core->pool);

    EXPECT(packet != NULL);
    memcpy(packet_append(packet, 60), probe_frame(), 60);
    packet->frame_length_bytes = 60;
    packet->port_in = PORT_NONE;
    lab_step(lab, 1);
    packet->port_in = lab->router->port_count - 1;
    counter_add(&core->ports[packet->port_in].originated, 1);
    port_transmit(core, &lab->router->ports[port], packet);
    lab_step(lab, 10);
}

/* Until the port is out of service, and then until it is back; the others receive all the time. */
static void expect_reset(struct lab *lab, unsigned port, unsigned limit_ms)
{
    uint64_t resets = lab->router->ports[port].resets;
    unsigned ms = 0;

    for (; lab->router->ports[port].resets == resets; ms += 50) {
        EXPECT(ms < limit_ms);
        lab_wait(lab, 50);
        for (unsigned i = 0; i < MODELS; i++)
            if (i != port)
                expect_receives(lab, i);
    }
    virtio[0].transmit_stalls = virtio[0].mute = e1000.transmit_stalls = e1000.mute = false;
    for (unsigned i = 0; i < ARRAY_COUNT(intel); i++)
        intel[i].transmit_stalls = intel[i].completes_nothing = intel[i].mute = false;
    for (ms = 0; !lab->router->ports[port].link_up; ms += 50) {
        EXPECT(ms < 5000);
        lab_wait(lab, 50);
        for (unsigned i = 0; i < MODELS; i++)
            if (i != port)
                expect_receives(lab, i);
    }
    lab_step(lab, 10);
    expect_receives(lab, port);
}

static void expect_recovery_of_intel_card(struct lab *lab, unsigned port)
{
    struct intel_model *model = &intel[port - INTEL_PORT];

    model->transmit_stalls = true;
    send_by(lab, port);
    expect_reset(lab, port, 7000);
    lab_wait(lab, 61000);

    model->completes_nothing = true;
    send_by(lab, port);
    expect_reset(lab, port, 7000);
    lab_wait(lab, 61000);

    model->mute = true;
    expect_reset(lab, port, 500);
    lab_wait(lab, 61000);

    intel_model_complete(model, 0, 5000ull << 32 | E1000_DONE_DD | E1000_DONE_EOP);
    lab_step(lab, 10);
    expect_reset(lab, port, 500);
}

static void expect_recovery_of_cards(uint64_t features)
{
    struct lab lab = create_models(features);
    lab_wait(&lab, 500);
    for (unsigned i = 0; i < MODELS; i++)
        expect_receives(&lab, i);

    virtio[0].transmit_stalls = true;
    send_by(&lab, 0);
    expect_reset(&lab, 0, 7000);
    lab_wait(&lab, 61000);

    virtio[0].status |= VIRTIO_STATUS_NEEDS_RESET;
    expect_reset(&lab, 0, 500);
    lab_wait(&lab, 61000);

    virtio[0].mute = true;
    expect_reset(&lab, 0, 500);
    lab_wait(&lab, 61000);

    virtio_net_model_use(&virtio[0], 0, 0x8000, 60);
    lab_step(&lab, 10);
    expect_reset(&lab, 0, 500);

    e1000.transmit_stalls = true;
    send_by(&lab, E1000_PORT);
    expect_reset(&lab, E1000_PORT, 7000);
    lab_wait(&lab, 61000);

    e1000.mute = true;
    expect_reset(&lab, E1000_PORT, 500);
    lab_wait(&lab, 61000);

    e1000_model_complete(&e1000, 5000 | E1000_RECEIVE_DD | E1000_RECEIVE_EOP);
    lab_step(&lab, 10);
    expect_reset(&lab, E1000_PORT, 500);
    lab_wait(&lab, 1000);
    for (unsigned i = 0; i < ARRAY_COUNT(intel); i++)
        expect_recovery_of_intel_card(&lab, INTEL_PORT + i);
    lab_wait(&lab, 1000);
    destroy_models(&lab);
}

TEST(cards_that_hang_lie_or_go_mute_are_reset_and_the_others_go_on)
{
    expect_recovery_of_cards(0);
}

TEST(virtio_cards_with_packed_rings_are_reset_as_well)
{
    expect_recovery_of_cards(VIRTIO_F_RING_PACKED);
}

/* A device that obeys no command: opening it takes long, and nobody waits for it. */
TEST(a_card_that_never_answers_a_command_does_not_stop_the_others)
{
    struct lab lab = create_models(0);

    lab_wait(&lab, 500);
    virtio[0].status |= VIRTIO_STATUS_NEEDS_RESET;
    virtio[0].control_is_deaf = true;
    for (unsigned i = 0; i < 100; i++) {
        lab_wait(&lab, 10);
        for (unsigned port = 1; port < MODELS; port++)
            expect_receives(&lab, port);
    }
    EXPECT_EQUAL(lab.router->ports[0].resets, 1);
    EXPECT(lab.router->control_busy); /* in the middle of it */
    EXPECT(!lab.router->ports[0].link_up);
    destroy_models(&lab);
}
