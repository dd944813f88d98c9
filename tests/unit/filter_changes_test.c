/* Goal: while filters are replaced as fast as that goes, under packets on all cores, no packet is
 * judged by anything but a filter that was in force while it was under way, and none is lost or
 * counted wrong. Method: a whole router whose cores are threads. Its cards bring packets of which
 * each generation of filters drops some others, and see which come out again; the control core
 * commits generation after generation, each of another shape than the one before. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "drivers/nic.h"
#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "net/control.h"
#include "net/filter.h"
#include "net/router.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "tests/unit/test.h"

enum {
    CORES = 4, /* the first is the control core, which has no queues then */
    PORTS = 2,
    FRAME_BYTES = 60,

    /* Kinds of packets, by the net that they come from: 10.7.KIND.0/24. */
    TOGGLED = 24, /* dropped by some generations */
    ALWAYS_PASSED = TOGGLED,
    ALWAYS_DROPPED,
    KINDS,
};

/* Each generation has the next one, so that code of all shapes follows each other. */
enum shape {
    PREFIXES,    /* one field decides */
    SET,         /* likewise, but one rule for all */
    FEW,         /* rules of several fields */
    MANY,        /* and so many of them that they are rows of bits */
    INTERPRETED, /* no code */
    WAY_OUT,     /* judged where they leave */
    SHAPES,
};

static enum shape shape_of(uint64_t generation)
{
    return (enum shape)(generation % SHAPES);
}

/* A bit for each kind that the generation drops. */
static uint32_t dropped_by(uint64_t generation)
{
    const uint32_t toggled = ((uint32_t)1 << TOGGLED) - 1;

    return ((uint32_t)random_next(&generation) & toggled) | (uint32_t)1 << ALWAYS_DROPPED;
}

/* ---- Cores and cards ------------------------------------------------------------------------- */

/* A core but the first, and what its packets did. */
struct worker {
    struct core *core;
    uint64_t random_state;
    bool silent;
    _Atomic bool ended;
    /* Of this step. */
    unsigned count;
    uint8_t kinds[BATCH_MAX];
    bool came_out[BATCH_MAX];
    /* Of all steps. */
    uint64_t brought[KINDS];
    uint64_t passed;
};

struct nic_queue {
    struct worker *worker;
    struct packet_pool *pool;
    bool brings; /* of the card by which packets arrive */
};

struct card {
    struct nic nic;
    bool brings;
    struct nic_queue queues[NIC_QUEUE_MAX];
};

static struct worker workers[CORES];
static struct card cards[PORTS];
static _Atomic uint64_t published; /* the last generation whose commit is over */
static _Atomic bool over;

static void write_frame(uint8_t *frame, unsigned kind, unsigned number)
{
    struct ethernet_header ethernet = { .source = { 2, 0, 0, 0xaa, 0, 2 },
                                        .target = { 2, 0, 0, 0, 0, 0 },
                                        .ethertype = ETHERTYPE_IPV4 };
    struct ipv4_header *ipv4 = (void *)(frame + ETHERNET_HEADER_BYTES);

    memset(frame, 0, FRAME_BYTES);
    ethernet_write(&ethernet, frame);
    ipv4->version_and_length = 0x45;
    store_be16(&ipv4->total_length_be, FRAME_BYTES - ETHERNET_HEADER_BYTES);
    store_be16(&ipv4->identification_be, (uint16_t)number);
    ipv4->ttl = 64;
    ipv4->protocol = PROTOCOL_UDP;
    store_be32(&ipv4->source_be, 0x0a070001 | kind << 8);
    store_be32(&ipv4->destination_be, 0x0a000102); /* 10.0.1.2 */
    ipv4_seal(ipv4);
    store_be16((uint8_t *)(ipv4 + 1) + 4, FRAME_BYTES - ETHERNET_HEADER_BYTES - IPV4_HEADER_BYTES);
}

static void card_receive(struct nic_queue *queue, struct batch *batch)
{
    struct worker *worker = queue->worker;

    if (!queue->brings || worker->silent)
        return;
    while (batch->count < BATCH_MAX && worker->count < BATCH_MAX) {
        struct packet *packet = packet_alloc(queue->pool);
        if (!packet)
            return;
        unsigned kind = random_below(&worker->random_state, KINDS);
        write_frame(packet->data, kind, worker->count);
        packet->length_bytes = packet->frame_length_bytes = FRAME_BYTES;
        worker->kinds[worker->count++] = (uint8_t)kind;
        worker->brought[kind]++;
        batch->packets[batch->count++] = packet;
    }
}

/* The router has frames of its own, too. */
static void note_sent(struct worker *worker, const uint8_t *frame)
{
    const struct ipv4_header *ipv4 = (const void *)(frame + ETHERNET_HEADER_BYTES);

    if (load_be16(frame + ETHERNET_HEADER_BYTES - 2) != ETHERTYPE_IPV4)
        return;
    unsigned number = load_be16(&ipv4->identification_be);
    EXPECT(number < worker->count);
    EXPECT(!worker->came_out[number]);
    EXPECT_EQUAL(load_be32(&ipv4->source_be), 0x0a070001 | worker->kinds[number] << 8);
    worker->came_out[number] = true;
    worker->passed++;
}

static unsigned card_transmit(struct nic_queue *queue, struct packet **packets, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!queue->brings)
            note_sent(queue->worker, packets[i]->data);
        packet_free(queue->pool, packets[i]);
    }
    return count;
}

static enum error card_open(struct nic *nic, unsigned queue_count,
                            const struct nic_queue_setup *setup)
{
    struct card *card = CONTAINER_OF(nic, struct card, nic);

    for (unsigned i = 0; i < queue_count; i++) {
        card->queues[i] = (struct nic_queue){ .worker = &workers[setup[i].core],
                                              .pool = setup[i].pool,
                                              .brings = card->brings };
        nic->queues[i] = &card->queues[i];
    }
    nic->queue_count = queue_count;
    return OK;
}

static void card_close(struct nic *nic, struct packet_pool *local)
{
    (void)local;
    nic->queue_count = 0;
}

static void do_nothing(struct nic_queue *queue)
{
    (void)queue;
}

static bool has_work(struct nic_queue *queue)
{
    (void)queue;
    return true;
}

static bool is_fine(struct nic *nic)
{
    (void)nic;
    return true;
}

static enum error card_set_mac(struct nic *nic, const uint8_t mac[6])
{
    memcpy(nic->mac, mac, sizeof(nic->mac));
    return OK;
}

static void card_stats(struct nic *nic, struct nic_stats *stats)
{
    (void)nic;
    *stats = (struct nic_stats){ 0 };
}

static const struct nic_ops card_ops = {
    .open = card_open,
    .close = card_close,
    .receive = card_receive,
    .transmit = card_transmit,
    .flush = do_nothing,
    .arm = has_work,
    .disarm = do_nothing,
    .link_up = is_fine,
    .is_well = is_fine,
    .set_mac = card_set_mac,
    .stats = card_stats,
};

static struct nic *make_card(unsigned port)
{
    struct card *card = &cards[port];

    card->brings = port == 0;
    card->nic = (struct nic){ .ops = &card_ops,
                              .driver = "test",
                              .mac = { 2, 0, 0, 0, 0, (uint8_t)port },
                              .queue_max = CORES,
                              .frame_max_bytes = 1514,
                              .ring_entries_rx = NIC_RING_DEFAULT,
                              .ring_entries_tx = NIC_RING_DEFAULT };
    return &card->nic;
}

/* ---- The workers ----------------------------------------------------------------------------- */

/* A core takes its view once in a step: one generation must have judged all packets of it. */
static bool judged_by(const struct worker *worker, uint64_t generation)
{
    uint32_t dropped = dropped_by(generation);

    for (unsigned i = 0; i < worker->count; i++)
        if (worker->came_out[i] == (dropped >> worker->kinds[i] & 1))
            return false;
    return true;
}

/* From `first` on: that one's commit was over before the step began; that of the one after `last`
 * may have been under way at its end. */
static void expect_judged(const struct worker *worker, uint64_t first, uint64_t last)
{
    for (uint64_t generation = first; generation <= last + 1; generation++)
        if (judged_by(worker, generation))
            return;
    test_fail(__FILE__, __LINE__,
              "%u packets of core %u were judged by no filter from %llu to %llu", worker->count,
              worker->core->index, (unsigned long long)first, (unsigned long long)last + 1);
}

static void step(struct worker *worker)
{
    worker->count = 0;
    memset(worker->came_out, 0, sizeof(worker->came_out));
    uint64_t first = atomic_load(&published);
    core_step(worker->core);
    expect_judged(worker, first, atomic_load(&published));
}

static void run_worker(void *arg)
{
    struct worker *worker = arg;

    worker->core->cpu = core_current();
    while (!atomic_load(&over)) {
        step(worker);
        sched_yield(); /* other tests that run beside this one hand a processor over all the time */
    }
    worker->silent = true;
    for (unsigned i = 0; i < 4; i++) /* what lies in mailboxes */
        step(worker);
    atomic_store(&worker->ended, true);
}

/* ---- Generations ----------------------------------------------------------------------------- */

static struct prefix net_of(unsigned second, unsigned third)
{
    uint32_t address_be;

    store_be32(&address_be, 0x0a000000 | second << 16 | third << 8);
    return prefix_of_ipv4(address_be, 24);
}

static struct config *base_config(void)
{
    struct config *config = config_create();

    EXPECT(config != NULL);
    for (unsigned port = 0; port < PORTS; port++) {
        struct config_address address = { .prefix = net_of(0, port) };
        struct config_arp arp = { .mac = { 2, 0, 0, 0xaa, (uint8_t)port, 2 } };
        snprintf(address.interface, sizeof(address.interface), "eth%u", port);
        snprintf(arp.interface, sizeof(arp.interface), "eth%u", port);
        store_be32(&arp.address_be, 0x0a000002 | port << 8);
        address.prefix.address.bytes[3] = 1;
        EXPECT_EQUAL(config_set_address(config, &address), OK);
        EXPECT_EQUAL(config_set_arp(config, &arp), OK);
    }
    return config;
}

static void add_filter(struct config *config, const struct config_filter *filter)
{
    EXPECT_EQUAL(config_set_filter(config, filter), OK);
}

static struct config_filter rule_about(unsigned number, unsigned kind, enum filter_action action)
{
    return (struct config_filter){ .family = FAMILY_IPV4,
                                   .number = (uint16_t)number,
                                   .action = (uint8_t)action,
                                   .source.prefix = net_of(7, kind) };
}

/* A rule for each kind, as the shape wants it. */
static void add_toggled_rules(struct config *config, uint32_t dropped, enum shape shape)
{
    for (unsigned kind = 0; kind < TOGGLED; kind++) {
        struct config_filter filter = rule_about(100 + kind, kind, FILTER_DROP);
        filter.has_protocol = shape == FEW || shape == MANY;
        filter.protocol = PROTOCOL_UDP;
        if (shape == WAY_OUT)
            snprintf(filter.out, sizeof(filter.out), "eth1");
        if (dropped >> kind & 1)
            add_filter(config, &filter);
    }
}

static void add_set(struct config *config, uint32_t dropped)
{
    struct config_filter filter = { .family = FAMILY_IPV4, .number = 50, .action = FILTER_DROP };

    for (unsigned kind = 0; kind < TOGGLED; kind++) {
        struct config_filter_set element = { .family = FAMILY_IPV4,
                                             .name = "bad",
                                             .prefix = net_of(7, kind) };
        if (dropped >> kind & 1)
            EXPECT_EQUAL(config_set_filter_set(config, &element), OK);
    }
    if (config->filter_set_count == 0)
        return;
    snprintf(filter.source.set, sizeof(filter.source.set), "bad");
    add_filter(config, &filter);
}

/* About other packets. */
static void add_many_rules(struct config *config)
{
    for (unsigned i = 0; i < 100; i++) {
        struct config_filter filter = rule_about(1000 + i, i, FILTER_DROP);
        filter.has_protocol = true;
        filter.protocol = (uint8_t)(200 + i % 50);
        add_filter(config, &filter);
    }
}

static struct config *config_of(const struct config *base, uint64_t generation)
{
    struct config *config = config_copy(base);
    struct config_filter pass = rule_about(1, ALWAYS_PASSED, FILTER_PASS);
    struct config_filter drop = rule_about(2, ALWAYS_DROPPED, FILTER_DROP);
    enum shape shape = shape_of(generation);

    EXPECT(config != NULL);
    drop.log = true;
    add_filter(config, &pass);
    add_filter(config, &drop);
    if (shape == SET)
        add_set(config, dropped_by(generation));
    else
        add_toggled_rules(config, dropped_by(generation), shape);
    if (shape == MANY)
        add_many_rules(config);
    config->filter_jit_off[FAMILY_IPV4] = shape == INTERPRETED;
    return config;
}

static void expect_kind(const struct router *router, uint64_t generation)
{
    static const char *const kinds[SHAPES] = { [PREFIXES] = "intervals",
                                               [SET] = "intervals",
                                               [MANY] = "rows",
                                               [INTERPRETED] = "interpreter" };
    struct filter_description description;

    filter_describe(router->filters[FAMILY_IPV4], &description);
    const char *kind = kinds[shape_of(generation)];
    if (kind)
        EXPECT_TEXT(description.kind, kind);
    else
        EXPECT(description.code_bytes > 0);
}

/* ---- The control core ------------------------------------------------------------------------ */

static void step_control(struct router *router)
{
    static uint64_t now_ns = NS_PER_S;

    host_clock_virtual(now_ns += NS_PER_MS);
    core_step(router->cores[CONTROL_CORE]);
}

static void commit(struct router *router, const struct config *base, uint64_t generation)
{
    struct config *next = config_of(base, generation);
    struct commit_report report;
    enum error error;

    while ((error = control_commit(router, next, &report)) == ERROR_BUSY)
        step_control(router); /* the cores have yet to let go of what was replaced */
    if (error != OK)
        test_fail(__FILE__, __LINE__, "generation %llu: %s", (unsigned long long)generation,
                  report.problem);
    atomic_store(&published, generation);
    expect_kind(router, generation);
    step_control(router);
}

static struct router *create_router(void)
{
    struct nic *nics[PORTS] = { make_card(0), make_card(1) };

    host_clock_virtual(NS_PER_S);
    host_cores(CORES, HOST_THREADS);
    struct router *router = router_create(&(struct router_setup){
        .core_count = CORES, .nics = nics, .nic_count = PORTS, .now_ns = NS_PER_S });
    EXPECT(router != NULL);
    EXPECT_EQUAL(cards[0].nic.queue_count, CORES - 1);
    return router;
}

static void start_workers(struct router *router)
{
    for (unsigned i = 1; i < CORES; i++) {
        workers[i].core = router->cores[i];
        workers[i].random_state = i;
        core_start(i, run_worker, &workers[i]);
    }
}

static void end_workers(struct router *router)
{
    atomic_store(&over, true);
    for (unsigned i = 1; i < CORES; i++)
        while (!atomic_load(&workers[i].ended))
            sched_yield();
    for (unsigned i = 0; i < 4; i++)
        step_control(router);
}

static uint64_t hits_of(const struct router *router, unsigned number)
{
    const struct filter *filter = router->filters[FAMILY_IPV4];
    uint64_t sum = 0;

    for (unsigned i = 0; i < filter->rule_count; i++)
        if (filter->rules[i].number == number)
            sum += filter_hits_of(filter, &filter->rules[i]).packets;
    return sum;
}

/* Rules that stayed through all commits have counted all of their packets, and so has the rule at
 * the end. */
static void expect_counted(struct router *router)
{
    uint64_t brought[KINDS] = { 0 }, all = 0, passed = 0, dropped = 0;
    struct port_counters counters;
    struct port_books books;

    for (unsigned i = 1; i < CORES; i++) {
        for (unsigned kind = 0; kind < KINDS; kind++) {
            brought[kind] += workers[i].brought[kind];
            all += workers[i].brought[kind];
        }
        EXPECT(workers[i].passed > 0);
        passed += workers[i].passed;
    }
    for (unsigned port = 0; port < router->port_count; port++) {
        router_books(router, port, &books);
        EXPECT(books.balanced && books.held == 0);
        router_port_counters(router, port, &counters);
        dropped += counters.dropped[DROP_FILTER];
    }
    EXPECT_EQUAL(passed + dropped, all);
    EXPECT_EQUAL(hits_of(router, 1), brought[ALWAYS_PASSED]);
    EXPECT_EQUAL(hits_of(router, 2), brought[ALWAYS_DROPPED]);
    EXPECT_EQUAL(hits_of(router, 0), passed - brought[ALWAYS_PASSED]);
}

TEST(filter_judges_every_packet_right_while_generations_change)
{
    const uint64_t generations = test_comparisons() / 1000;
    struct router *router = create_router();
    struct config *base = base_config();

    commit(router, base, 0);
    start_workers(router);
    for (uint64_t generation = 1; generation <= generations; generation++)
        commit(router, base, generation);
    end_workers(router);
    expect_counted(router);
    config_destroy(base);
    router_destroy(router);
}
