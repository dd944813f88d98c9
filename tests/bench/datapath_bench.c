/* The whole datapath, natively: a router over two cards of memory (memory_nic.h says what those
 * cost), its cores pinned to processors, stepped as core_loop() does.
 *
 *   datapath_bench [TABLE]      TABLE: a file of "prefix number" lines
 *
 * reads requests from standard input and answers each by one line of name=value. So a script can
 * let this and its peers take turns (datapath_bench.py); by hand: echo 'forward 1 1 1000'.
 *
 *   forward ROUTES CORES MS          saturated: cycles a packet, register accesses a packet
 *   path ROUTES MS                   classify, route and rewrite alone, over batches in the cache
 *   build ROUTES                     RIB and FIB of that many routes, and changes of one
 *   stir ROUTES CORES MS KPPS DEED CHANGES   KPPS thousand packets a second come by each queue,
 *                                    while control does something (commit, flap, load) CHANGES
 *                                    times a second: losses and latency
 *
 * ROUTES 1: one each way and FLOWS_FEW flows, as l3fwd's own example. More: prefixes of TABLE, as
 * many as that, evenly chosen, with FLOWS_MANY flows to random hosts in random ones of them. Every
 * packet leaves by the other port.
 *
 * Cycles are of the time stamp counter, and time is the thread's processor time, so that what else
 * runs on the machine costs a run its caches but not its time. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel/base/counter.h"
#include "kernel/base/random.h"
#include "kernel/base/text.h"
#include "net/control.h"
#include "net/fib4.h"
#include "net/forwarding.h"
#include "net/neighbor.h"
#include "net/rib.h"
#include "net/router.h"
#include "net/routes.h"
#include "net/stage.h"
#include "net/wire/checksum.h"
#include "net/wire/ethernet.h"
#include "net/wire/ipv4.h"
#include "shell/shell.h"
#include "tests/bench/memory_nic.h"
#include "tests/host/host.h"

enum {
    PORTS = 2,
    CORES = 2,
    FLOWS_FEW = 1024,
    FLOWS_MANY = 65536, /* a port, as the peers have */
    GATEWAYS = 63,      /* the numbers in TABLE */
    WARM_MS = 20,
    PREFIX_MAX = 2000000,
};

#define ROUTES_FILE "table"

struct prefix_line {
    uint32_t address; /* host order */
    uint8_t length;
    uint8_t gateway; /* 1 to GATEWAYS */
};

struct table {
    struct prefix_line *lines;
    unsigned count;
};

/* A router with its cards and what they receive. */
struct bench {
    struct bench *next;
    unsigned route_count, core_count;
    struct memory_nic *cards[PORTS];
    struct memory_frame *frames[PORTS];
    unsigned flow_count;
    struct router *router;
    struct shell *shell;
    char *routes_text; /* what is in ROUTES_FILE */
    size_t routes_bytes;
};

_Noreturn static void refuse(const char *why)
{
    fprintf(stderr, "datapath_bench: %s\n", why);
    exit(EXIT_FAILURE);
}

static void *need(void *memory)
{
    if (memory == NULL)
        refuse("out of memory");
    return memory;
}

/* ---- Time -------------------------------------------------------------------------------------
 */

struct moment {
    uint64_t cycles, wall_ns, cpu_ns;
};

static uint64_t read_clock(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

static struct moment moment_now(void)
{
    return (struct moment){ clock_cycles(), read_clock(CLOCK_MONOTONIC),
                            read_clock(CLOCK_THREAD_CPUTIME_ID) };
}

/* How fast the time stamp counter counts. */
static double cycles_per_ns(void)
{
    static double rate;

    if (rate == 0) {
        struct moment before = moment_now(), after;
        do
            after = moment_now();
        while (after.wall_ns - before.wall_ns < 100 * NS_PER_MS);
        rate = (double)(after.cycles - before.cycles) / (double)(after.wall_ns - before.wall_ns);
    }
    return rate;
}

static uint64_t cycles_of_ms(unsigned ms)
{
    return (uint64_t)(cycles_per_ns() * (double)ms * (double)NS_PER_MS);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* ---- Table and frames -------------------------------------------------------------------------
 */

static void read_table(struct table *table, const char *path)
{
    FILE *file = fopen(path, "r");
    unsigned a, b, c, d, length, gateway;

    if (file == NULL)
        refuse("the table cannot be read");
    table->lines = need(malloc(PREFIX_MAX * sizeof(*table->lines)));
    while (table->count < PREFIX_MAX &&
           fscanf(file, "%u.%u.%u.%u/%u %u", &a, &b, &c, &d, &length, &gateway) == 6) {
        table->lines[table->count++] =
            (struct prefix_line){ .address = a << 24 | b << 16 | c << 8 | d,
                                  .length = (uint8_t)length,
                                  .gateway = (uint8_t)((gateway - 1) % GATEWAYS + 1) };
    }
    fclose(file);
}

static const struct prefix_line one_route[PORTS] = { { 16u << 24, 8, 1 }, { 48u << 24, 8, 2 } };

/* Gateway g is 10.0.PORT.(1 + g): odd ones behind eth1, even ones behind eth0. */
static unsigned port_of_gateway(unsigned gateway)
{
    return gateway % PORTS;
}

static void write_frame(struct memory_frame *frame, uint32_t source, uint32_t destination,
                        const uint8_t target[MAC_BYTES])
{
    struct ethernet_header ethernet = { .source = { 2, 0, 0, 0xaa, 0, 1 },
                                        .ethertype = ETHERTYPE_IPV4 };
    struct ipv4_header ipv4 = {
        .version_and_length = 0x45,
        .total_length_be = __builtin_bswap16(MEMORY_FRAME_BYTES - ETHERNET_HEADER_BYTES),
        .ttl = 64,
        .protocol = PROTOCOL_UDP,
        .source_be = __builtin_bswap32(source),
        .destination_be = __builtin_bswap32(destination),
    };

    memcpy(ethernet.target, target, MAC_BYTES);
    ethernet_write(&ethernet, frame->bytes);
    ipv4.checksum_be = checksum_of(&ipv4, sizeof(ipv4));
    memcpy(frame->bytes + ETHERNET_HEADER_BYTES, &ipv4, sizeof(ipv4));
    uint8_t *udp = frame->bytes + ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES;
    store_be16(udp, (uint16_t)(1024 + (source & 0x3fff)));
    store_be16(udp + 2, 9);
    store_be16(udp + 4, MEMORY_FRAME_BYTES - ETHERNET_HEADER_BYTES - IPV4_HEADER_BYTES);
}

/* Random hosts in random prefixes; which port they come by is what the router's table says: the
 * other one than they leave by. */
static void make_frames(struct bench *bench, const struct prefix_line *lines, unsigned line_count)
{
    const struct forwarding *view = atomic_load(&bench->router->forwarding);
    uint64_t random_state = 1;
    unsigned made[PORTS] = { 0 };

    for (unsigned i = 0; i < PORTS; i++)
        bench->frames[i] = need(aligned_alloc(sizeof(struct memory_frame),
                                              bench->flow_count * sizeof(*bench->frames[i])));
    while (made[0] < bench->flow_count || made[1] < bench->flow_count) {
        const struct prefix_line *line = &lines[random_below(&random_state, line_count)];
        uint32_t host = line->length < 32 ? UINT32_MAX >> line->length : 0;
        uint32_t destination = line->address | ((uint32_t)random_next(&random_state) & host);
        uint32_t source =
            100u << 24 | 64u << 16 | ((uint32_t)random_next(&random_state) & 0x3fffff);
        const struct next_hop *next_hop =
            forwarding_lookup_ipv4(view, __builtin_bswap32(destination));
        if (next_hop->kind != NEXT_HOP_GATEWAY)
            continue;
        unsigned port_in = 1 - next_hop->port;
        if (made[port_in] < bench->flow_count)
            write_frame(&bench->frames[port_in][made[port_in]++], source, destination,
                        bench->router->ports[port_in].mac);
    }
}

/* ---- The router -------------------------------------------------------------------------------
 */

/* Every each-th / count-th line, as the text of a file of routes. */
static void write_routes(struct text *text, const struct prefix_line *lines, unsigned count,
                         unsigned each)
{
    for (unsigned i = 0; i < count; i++) {
        const struct prefix_line *line = &lines[(uint64_t)i * each / count];
        uint32_t address_be = __builtin_bswap32(line->address);
        text_print(text, "%pI4/%u 10.0.%u.%u\n", (const void *)&address_be, (unsigned)line->length,
                   port_of_gateway(line->gateway), 1u + line->gateway);
    }
}

/* The file of routes that every router of the bench reads at its start, and some again later. */
static void use_routes(struct bench *bench, const struct prefix_line *lines, unsigned used,
                       unsigned count)
{
    size_t room = (size_t)used * 48 + 1;

    bench->routes_text = need(malloc(room));
    struct text text = text_of(bench->routes_text, room);
    write_routes(&text, lines, used, count);
    bench->routes_bytes = text.length;
    host_file_add(ROUTES_FILE, bench->routes_text, bench->routes_bytes);
}

static void load(struct bench *bench)
{
    static const struct command_table *const tables[] = { &session_commands, &statement_commands };
    char buffer[16384];
    struct text text = text_of(buffer, sizeof(buffer));
    struct problem problem;

    for (unsigned i = 0; i < PORTS; i++)
        text_print(&text, "ip eth%u address 10.0.%u.1/24\n", i, i);
    for (unsigned i = 1; i <= GATEWAYS; i++)
        text_print(&text, "arp 10.0.%u.%u 02:00:00:00:01:%02x eth%u\n", port_of_gateway(i), 1 + i,
                   i, port_of_gateway(i));
    text_print(&text, "ip route file " ROUTES_FILE "\n");
    bench->shell = need(shell_create(&(struct shell_setup){
        .router = bench->router,
        .commands = { .tables = tables, .table_count = ARRAY_COUNT(tables) },
    }));
    struct moment before = moment_now();
    if (shell_load(bench->shell, buffer, text.length, &problem) != OK)
        refuse(problem.text);
    fprintf(stderr, "%u routes: read, RIB and FIB made in %u ms\n",
            rib_count(bench->router->ribs[FAMILY_IPV4]),
            (unsigned)((moment_now().cpu_ns - before.cpu_ns) / NS_PER_MS));
}

static struct bench *bench_create(const struct table *table, unsigned route_count,
                                  unsigned core_count)
{
    struct bench *bench = need(calloc(1, sizeof(*bench)));
    struct nic *nics[PORTS];

    *bench = (struct bench){ .route_count = route_count, .core_count = core_count };
    for (unsigned i = 0; i < PORTS; i++) {
        uint8_t mac[MAC_BYTES] = { 2, 0, 0, 0, 0, (uint8_t)i };
        bench->cards[i] = memory_nic_create(mac, core_count);
        nics[i] = memory_nic_card(bench->cards[i]);
    }
    bench->router = need(router_create(&(struct router_setup){
        .core_count = core_count, .nics = nics, .nic_count = PORTS, .now_ns = clock_ns() }));
    if (route_count == 1) {
        bench->flow_count = FLOWS_FEW;
        use_routes(bench, one_route, PORTS, PORTS);
        load(bench);
        make_frames(bench, one_route, PORTS);
    } else {
        unsigned used = MIN_OF(route_count, table->count);
        if (used == 0)
            refuse("no table");
        bench->flow_count = FLOWS_MANY;
        use_routes(bench, table->lines, used, table->count);
        load(bench);
        make_frames(bench, table->lines, table->count);
    }
    for (unsigned i = 0; i < PORTS; i++)
        memory_nic_frames(bench->cards[i], bench->frames[i], bench->flow_count);
    return bench;
}

static struct bench *bench_find(struct bench **all, const struct table *table, unsigned route_count,
                                unsigned core_count)
{
    if (core_count < 1 || core_count > CORES)
        refuse("one core or two");
    for (struct bench *bench = *all; bench != NULL; bench = bench->next)
        if (bench->route_count == route_count && bench->core_count == core_count)
            return bench;
    struct bench *bench = bench_create(table, route_count, core_count);
    bench->next = *all;
    *all = bench;
    return bench;
}

static void bench_destroy(struct bench *bench)
{
    shell_destroy(bench->shell);
    router_destroy(bench->router);
    free(bench->routes_text);
    for (unsigned i = 0; i < PORTS; i++) {
        memory_nic_destroy(bench->cards[i]);
        free(bench->frames[i]);
    }
    free(bench);
}

static void pace(struct bench *bench, uint64_t cycles_per_frame)
{
    for (unsigned i = 0; i < PORTS; i++)
        memory_nic_pace(bench->cards[i], cycles_per_frame);
}

/* ---- Cores ------------------------------------------------------------------------------------
 */

/* One core's part of a run, and what it measured. */
struct job {
    struct core *core;
    bool undisturbed; /* nothing else runs on its processor meanwhile, where that is allowed */
    uint64_t warm_cycles, run_cycles;
    pthread_barrier_t *start;
    _Atomic bool done;
    struct moment begin, end;
    uint64_t packets; /* received between begin and end */
};

static void pin(unsigned processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        refuse("cannot be pinned to a processor");
}

/* For latency, which is about time that passes. Shorter than a second, so that Linux's guard
 * against real-time programs that take all of a processor does not step in. */
static void set_undisturbed(bool undisturbed)
{
    struct sched_param parameters = { .sched_priority = undisturbed ? 1 : 0 };

    if (sched_setscheduler(0, undisturbed ? SCHED_FIFO : SCHED_OTHER, &parameters) != 0)
        fprintf(stderr, "datapath_bench: not alone on its processors: latency is the machine's\n");
}

static void step_for(struct core *core, uint64_t cycles)
{
    uint64_t end = clock_cycles() + cycles;

    while (clock_cycles() < end)
        core_step(core);
}

static void run_job(void *arg)
{
    struct job *job = arg;
    struct core *core = job->core;

    /* The last processor first: interrupts and what the system does prefer the others. */
    pin(CORES - 1 - core->index);
    if (job->undisturbed)
        set_undisturbed(true);
    core->cpu = core_current();
    pthread_barrier_wait(job->start);
    step_for(core, job->warm_cycles);
    job->begin = moment_now();
    uint64_t before = core->stats.packets;
    step_for(core, job->run_cycles);
    job->packets = core->stats.packets - before;
    job->end = moment_now();
    if (job->undisturbed)
        set_undisturbed(false);
    atomic_store(&job->done, true);
}

static void run_cores(struct bench *bench, struct job jobs[CORES], unsigned ms, bool undisturbed)
{
    pthread_barrier_t start;

    if (pthread_barrier_init(&start, NULL, bench->core_count) != 0)
        refuse("no barrier");
    for (unsigned i = bench->core_count; i-- > 0;) {
        jobs[i] = (struct job){ .start = &start,
                                .core = bench->router->cores[i],
                                .undisturbed = undisturbed,
                                .warm_cycles = cycles_of_ms(WARM_MS),
                                .run_cycles = cycles_of_ms(ms) };
        if (i > 0)
            core_start(i, run_job, &jobs[i]);
        else
            run_job(&jobs[0]);
    }
    for (unsigned i = 0; i < bench->core_count; i++)
        while (!atomic_load(&jobs[i].done))
            sched_yield();
    pthread_barrier_destroy(&start);
}

/* Frames on their way between cores, and packets that wait for somebody, come to rest. */
static void settle(struct bench *bench)
{
    struct job jobs[CORES];

    pace(bench, MEMORY_NIC_SILENT);
    run_cores(bench, jobs, 1, false);
}

static struct path path_by_gateway(unsigned gateway)
{
    uint32_t address = 10u << 24 | port_of_gateway(gateway) << 8 | (1 + gateway);

    return (struct path){ .protocol = PROTOCOL_STATIC,
                          .distance = DISTANCE_STATIC,
                          .kind = NEXT_HOP_GATEWAY,
                          .port = PORT_NONE,
                          .gateway_count = 1,
                          .gateways = { address_of_ipv4(__builtin_bswap32(address)) } };
}

/* RIB and FIB from a table that is in memory already, as a protocol would fill them; then one /24
 * that comes and goes, at random places. */
static void build(const struct table *table, unsigned count)
{
    enum { CHANGES = 200000 };
    struct bench *bench = bench_create(table, 1, 1);
    struct router *router = bench->router;
    struct memory_stats memory;
    memory_stats(&memory);
    uint64_t route_bytes = memory.tags[MEMORY_ROUTE].live_bytes;
    struct rib *rib = need(rib_create(FAMILY_IPV4));
    uint16_t numbers[GATEWAYS + 1], replaced;
    uint64_t random_state = 1;
    struct path change = path_by_gateway(1);

    change.source = CONFIG_ROUTE_FILE_MAX + 1; /* nobody else's */
    for (unsigned i = 0; i <= GATEWAYS; i++) {
        struct path path = i > 0 ? path_by_gateway(i) : change;
        if (rib_add_path(rib, &path, &numbers[i]) != OK)
            refuse("no path");
    }
    struct moment before = moment_now();
    for (unsigned i = 0; i < count; i++) {
        const struct prefix_line *line = &table->lines[(uint64_t)i * table->count / count];
        struct prefix prefix = prefix_of_ipv4(__builtin_bswap32(line->address), line->length);
        if (rib_set(rib, &prefix, numbers[line->gateway], &replaced) != OK)
            refuse("no route");
    }
    struct moment between = moment_now();
    const struct rib *ribs[FAMILY_COUNT] = {
        [FAMILY_IPV4] = rib, [FAMILY_IPV6] = router->ribs[FAMILY_IPV6]
    };
    struct forwarding *view =
        need(forwarding_create(&(struct forwarding_plan){ .config = router->config,
                                                          .ribs = ribs,
                                                          .ports = router->ports,
                                                          .port_count = router->port_count }));
    struct fib4 *fib4 = need(routes_create_fib4(rib, view, NULL));
    struct moment after = moment_now();
    memory_stats(&memory);
    printf("rib_ms=%.1f fib_ms=%.1f ", (double)(between.cpu_ns - before.cpu_ns) / NS_PER_MS,
           (double)(after.cpu_ns - between.cpu_ns) / NS_PER_MS);
    /* They take the router's place, so that routes change as they do in service. */
    struct forwarding *own_view = atomic_load(&router->forwarding);
    struct fib4 *own_fib4 = router->fib4;
    struct rib *own_rib = router->ribs[FAMILY_IPV4];
    view->fib4 = router->fib4 = fib4;
    view->fib6 = router->fib6;
    router->ribs[FAMILY_IPV4] = rib;
    atomic_store(&router->forwarding, view);
    before = moment_now();
    for (unsigned i = 0; i < CHANGES; i++) {
        const struct prefix_line *line = &table->lines[random_below(&random_state, table->count)];
        struct prefix prefix = prefix_of_ipv4(__builtin_bswap32(line->address & 0xffffff00), 24);
        if (routes_set(router, &prefix, &change) != OK ||
            routes_remove(router, &prefix, &change) != OK)
            refuse("a route did not change");
    }
    after = moment_now();
    printf("change_ns=%.1f rib_bytes=%llu fib_bytes=%zu\n",
           (double)(after.cpu_ns - before.cpu_ns) / (2.0 * CHANGES),
           (unsigned long long)(memory.tags[MEMORY_ROUTE].live_bytes - route_bytes),
           fib4_bytes(fib4));
    atomic_store(&router->forwarding, own_view);
    router->ribs[FAMILY_IPV4] = own_rib;
    router->fib4 = own_fib4;
    forwarding_destroy(view);
    fib4_destroy(fib4, NULL);
    rib_destroy(rib, NULL);
    bench_destroy(bench);
}

static uint64_t lost_packets(const struct router *router)
{
    uint64_t lost = 0;

    for (unsigned i = 0; i < router->port_count; i++) {
        struct port_books books;
        router_books(router, i, &books);
        if (!books.balanced)
            refuse("the books do not balance");
        lost += books.dropped;
    }
    return lost;
}

static uint64_t register_accesses(const struct bench *bench)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < PORTS; i++)
        for (unsigned queue = 0; queue < bench->core_count; queue++)
            sum += memory_nic_card(bench->cards[i])->register_accesses[queue];
    return sum;
}

/* ---- Requests ---------------------------------------------------------------------------------
 */

/* Packets per microsecond of processor time of every core, added up. */
static double packets_per_second(const struct job jobs[], unsigned count)
{
    double rate = 0;

    for (unsigned i = 0; i < count; i++)
        rate +=
            (double)jobs[i].packets * 1000 / (double)(jobs[i].end.cpu_ns - jobs[i].begin.cpu_ns);
    return rate;
}

static void forward(struct bench *bench, unsigned ms)
{
    struct job jobs[CORES];
    struct memory_counts counts = { 0 };

    settle(bench);
    pace(bench, MEMORY_NIC_SATURATED);
    uint64_t accesses = register_accesses(bench), lost = lost_packets(bench->router);
    run_cores(bench, jobs, ms, false);
    accesses = register_accesses(bench) - accesses;
    for (unsigned i = 0; i < PORTS; i++)
        memory_nic_counts(bench->cards[i], &counts);
    settle(bench);
    lost = lost_packets(bench->router) - lost;

    double rate = packets_per_second(jobs, bench->core_count);
    double wall_ns = (double)(jobs[0].end.wall_ns - jobs[0].begin.wall_ns);
    double cpu_ns = (double)(jobs[0].end.cpu_ns - jobs[0].begin.cpu_ns);
    printf("cycles=%.2f mpps=%.3f accesses=%.4f lost=%llu cpu_share=%.2f tsc_ghz=%.4f\n",
           cycles_per_ns() * 1000 * bench->core_count / rate, rate,
           (double)accesses / (double)counts.received, (unsigned long long)lost, cpu_ns / wall_ns,
           cycles_per_ns());
}

/* Fresh packets as port_receive() leaves them. */
static void fill(struct bench *bench, struct batch *batch, unsigned port, unsigned *next)
{
    for (unsigned i = 0; i < BATCH_MAX; i++) {
        struct packet *packet = batch->packets[i];
        packet->data = packet_buffer(packet) + PACKET_HEADROOM_BYTES;
        memcpy(packet->data, bench->frames[port][*next].bytes, MEMORY_FRAME_BYTES);
        packet->flags = 0;
        packet->length_bytes = packet->frame_length_bytes = MEMORY_FRAME_BYTES;
        packet->port_in = (uint16_t)port;
        packet->received_ns = bench->router->cores[0]->now_ns;
        *next = (*next + 1) % bench->flow_count;
    }
    batch->count = BATCH_MAX;
}

static void path(struct bench *bench, unsigned ms)
{
    enum { SAMPLES_MAX = 1 << 20 };
    struct core *core = bench->router->cores[0];
    uint64_t *samples = need(malloc(SAMPLES_MAX * sizeof(*samples)));
    struct packet *packets[BATCH_MAX];
    struct batch batch;
    struct findings findings;
    unsigned count = 0, next = 0;

    settle(bench); /* on this thread, which is core 0 */
    core->forwarding = atomic_load(&bench->router->forwarding);
    for (unsigned i = 0; i < BATCH_MAX; i++)
        packets[i] = need(packet_alloc(core->pool));
    for (uint64_t end = clock_cycles() + cycles_of_ms(ms);
         clock_cycles() < end && count < SAMPLES_MAX; count++) {
        uint16_t port_in = count % PORTS;
        memcpy(batch.packets, packets, sizeof(packets));
        fill(bench, &batch, port_in, &next);
        uint64_t before = clock_cycles();
        findings_begin(&findings);
        classify_batch(core, port_in, &batch, &findings);
        route_batch(core, &batch, &findings);
        rewrite_batch(core, &batch, &findings);
        samples[count] = clock_cycles() - before;
        if (batch.count != BATCH_MAX)
            refuse("a packet left the path");
    }
    for (unsigned i = 0; i < BATCH_MAX; i++)
        packet_free(core->pool, packets[i]);
    qsort(samples, count, sizeof(*samples), compare_u64);
    printf("cycles=%.2f lowest=%.2f batches=%u\n", (double)samples[count / 2] / BATCH_MAX,
           (double)samples[0] / BATCH_MAX, count);
    free(samples);
}

/* What control does while packets come. */
enum deed {
    DEED_COMMIT, /* one route comes or goes, by a configuration of its own */
    DEED_FLAP,   /* one of many routes comes or goes, as a protocol does it */
    DEED_LOAD,   /* all routes are read anew */
    DEED_COUNT,
};
static const char *const deed_names[DEED_COUNT] = { "commit", "flap", "load" };

struct stirring {
    struct bench *bench;
    enum deed deed;
    uint64_t interval_ns, next_ns;
    unsigned count;
    uint64_t busy_ns;
};

enum { FLAPPING = 4096 }; /* prefixes */

/* 198.18/15 is nobody's (RFC 2544), and packets do not go there. */
static struct prefix flapping_prefix(unsigned number)
{
    uint32_t address = 198u << 24 | 18u << 16 | (number % FLAPPING) << 5;

    return prefix_of_ipv4(__builtin_bswap32(address & 0xffffff00), 24);
}

static void commit_change(struct stirring *stirring)
{
    struct router *router = stirring->bench->router;
    struct config *next = need(config_copy(router->config));
    struct config_route route = {
        .prefix = flapping_prefix(0),
        .kind = ROUTE_GATEWAY,
        .distance = DISTANCE_STATIC,
        .gateway_count = 1,
        .gateways = { address_of_ipv4(__builtin_bswap32(10u << 24 | 2)) },
    };
    struct commit_report report;
    enum error error = stirring->count % 2 == 0 ? config_set_route(next, &route)
                                                : config_remove_route(next, &route);

    if (error != OK || control_commit(router, next, &report) != OK)
        refuse("a commit failed");
}

static void flap_route(struct stirring *stirring)
{
    struct router *router = stirring->bench->router;
    struct path path = path_by_gateway(1);
    struct prefix prefix = flapping_prefix(stirring->count / 2 * 4133);
    path.source = CONFIG_ROUTE_FILE_MAX + 1; /* nobody else's */
    enum error error = stirring->count % 2 == 0 ? routes_set(router, &prefix, &path)
                                                : routes_remove(router, &prefix, &path);

    if (error != OK)
        refuse("a route did not change");
}

static void load_again(struct stirring *stirring)
{
    struct bench *bench = stirring->bench;
    struct commit_report report;

    host_file_add(ROUTES_FILE, bench->routes_text, bench->routes_bytes);
    if (control_read_routes(bench->router, FAMILY_IPV4, ROUTES_FILE, &report) != OK)
        refuse(report.problem);
}

static void stir_once(struct stirring *stirring)
{
    static void (*const deeds[DEED_COUNT])(struct stirring * stirring) = { commit_change,
                                                                           flap_route, load_again };
    uint64_t start_ns = clock_ns();

    deeds[stirring->deed](stirring);
    stirring->busy_ns += clock_ns() - start_ns;
    stirring->count++;
}

/* All that is due, as control has its turn a thousand times a second while packets come. */
static void stir_some(void *context, uint64_t now_ns)
{
    struct stirring *stirring = context;

    while (now_ns >= stirring->next_ns) {
        stir_once(stirring);
        stirring->next_ns += stirring->interval_ns;
    }
}

static enum deed find_deed(const char *name)
{
    unsigned deed = 0;

    while (deed < DEED_COUNT && strcmp(deed_names[deed], name) != 0)
        deed++;
    if (deed == DEED_COUNT)
        refuse("commit, flap or load");
    return (enum deed)deed;
}

static void stir(struct bench *bench, unsigned ms, unsigned kpps, enum deed deed, unsigned changes)
{
    struct stirring stirring = { .bench = bench, .deed = deed, .next_ns = clock_ns() };
    struct job jobs[CORES];
    struct memory_counts counts = { 0 };

    settle(bench);
    uint64_t lost = lost_packets(bench->router);
    if (changes > 0) {
        stirring.interval_ns = NS_PER_S / changes;
        bench->router->control_context = &stirring;
        bench->router->control_work = stir_some;
    }
    pace(bench, (uint64_t)(cycles_per_ns() * 1e6 / kpps));
    run_cores(bench, jobs, ms, true);
    for (unsigned i = 0; i < PORTS; i++)
        memory_nic_counts(bench->cards[i], &counts);
    bench->router->control_work = NULL;
    while (bench->router->control_busy) /* it yielded in the middle of something */
        settle(bench);
    if (stirring.deed != DEED_LOAD && stirring.count % 2 == 1)
        stir_once(&stirring);
    settle(bench);
    lost = lost_packets(bench->router) - lost;

    double us = cycles_per_ns() * 1000;
    printf("received=%llu ring_full=%llu lost=%llu p50_us=%.1f p999_us=%.1f max_us=%.1f "
           "changes=%u change_us=%.1f\n",
           (unsigned long long)counts.received, (unsigned long long)counts.lost,
           (unsigned long long)lost, (double)latency_at(&counts, 500) / us,
           (double)latency_at(&counts, 999) / us, (double)counts.latency_max_cycles / us,
           stirring.count,
           stirring.count > 0 ? (double)stirring.busy_ns / 1000 / stirring.count : 0.0);
}

int main(int argc, char **argv)
{
    struct table table = { 0 };
    struct bench *all = NULL;
    char line[128], deed[16];
    unsigned routes, cores, ms, kpps, changes;

    if (argc > 1)
        read_table(&table, argv[1]);
    host_cores(CORES, HOST_THREADS);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (sscanf(line, "forward %u %u %u", &routes, &cores, &ms) == 3)
            forward(bench_find(&all, &table, routes, cores), ms);
        else if (sscanf(line, "path %u %u", &routes, &ms) == 2)
            path(bench_find(&all, &table, routes, 1), ms);
        else if (sscanf(line, "build %u", &routes) == 1)
            build(&table, MIN_OF(routes, table.count));
        else if (sscanf(line, "stir %u %u %u %u %15s %u", &routes, &cores, &ms, &kpps, deed,
                        &changes) == 6)
            stir(bench_find(&all, &table, routes, cores), ms, kpps, find_deed(deed), changes);
        else
            refuse("not understood");
        fflush(stdout);
    }
    while (all != NULL) {
        struct bench *bench = all;
        all = bench->next;
        bench_destroy(bench);
    }
    free(table.lines);
    return EXIT_SUCCESS;
}
