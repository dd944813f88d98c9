/* Our FIB beside DPDK's, in one process and in turns: cycles a lookup over several traces of a full
 * table, the time to build it, its memory, and what one more route costs.
 *
 *   fib_bench PASSES < TABLE     TABLE: "prefix number" lines, sorted; the numbers become next hops
 *
 * fib_bench.py gives it the table and large pages. In each pass, over each trace, everybody goes
 * over all addresses twice, in bursts as the datapath's, and the second time counts: so each has
 * its own table in the caches, as far as they go. Every other pass goes backwards, as whoever
 * follows another one with the same table finds more of it there. Cycles are of the time stamp
 * counter; minima tell what is ours, medians what the machine's other guests do. Before that all
 * answers are compared.
 *
 * rte_lpm adds routes so slowly that it gets a few of them, and stands beside our own with as few.
 * rte_fib's figures for changes hold those of the tree of routes that it keeps for them; ours
 * leaves that to the RIB. */
#include <rte_eal.h>
#include <rte_fib.h>
#include <rte_lpm.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#undef MS_PER_S
#undef US_PER_S
#undef NS_PER_S /* ours are constants of the same name */

#include "kernel/base/random.h"
#include "net/fib4.h"
#include "tests/host/host.h"

enum {
    ROUTE_MAX = 1 << 20,
    ROUTES_FEW = 30000,
    TRACE_LENGTH = 1 << 20,
    HOT_LENGTH = 4096,
    BURST = BATCH_MAX,
    PASSES_MAX = 1000,
    BUILDS = 5,
    CHANGES = 50000,
    GROUPS_OF_LONG = 4096, /* rte_fib's and rte_lpm's blocks of 256 addresses */
};

/* Host order. */
struct route {
    uint32_t address;
    uint8_t length;
    uint8_t next_hop;
};

struct trace {
    const char *name;
    uint32_t *addresses, *addresses_be; /* TRACE_LENGTH; DPDK wants them in host order */
};

/* Who looks up. */
struct subject {
    const char *name;
    void (*run)(const struct subject *subject, const struct trace *trace);
    struct fib4 *ours;
    struct rte_fib *fib;
    struct rte_lpm *lpm;
    uint8_t choice; /* the way of ours, the rte_fib_lookup_type of theirs */
    bool peer;      /* the best of these is what ours is measured by */
    bool few;       /* holds ROUTES_FEW */
};

struct bench {
    struct route *routes;
    unsigned count;
    struct route *few;
    struct trace traces[8];
    unsigned trace_count;
    struct subject subjects[24];
    unsigned subject_count;
    double *cycles; /* [subject][trace][pass] */
    unsigned passes;
};

_Noreturn static void refuse(const char *why)
{
    fprintf(stderr, "fib_bench: %s\n", why);
    exit(EXIT_FAILURE);
}

static void *need(void *memory)
{
    if (memory == NULL)
        refuse("out of memory");
    return memory;
}

static uint64_t cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- Table and traces -------------------------------------------------------------------------
 */

static void read_table(struct bench *bench)
{
    unsigned a, b, c, d, length, next_hop;

    bench->routes = need(calloc(ROUTE_MAX, sizeof(*bench->routes)));
    while (bench->count < ROUTE_MAX &&
           scanf("%u.%u.%u.%u/%u %u", &a, &b, &c, &d, &length, &next_hop) == 6) {
        bench->routes[bench->count++] =
            (struct route){ .address = a << 24 | b << 16 | c << 8 | d,
                            .length = (uint8_t)length,
                            .next_hop = (uint8_t)((next_hop - 1) % FIB4_NARROW_MAX + 1) };
    }
    if (bench->count < ROUTES_FEW)
        refuse("no table");
    bench->few = need(calloc(ROUTES_FEW, sizeof(*bench->few)));
    for (unsigned i = 0; i < ROUTES_FEW; i++)
        bench->few[i] = bench->routes[(uint64_t)i * bench->count / ROUTES_FEW];
}

static uint32_t random_host(const struct bench *bench, uint64_t *random_state)
{
    const struct route *route = &bench->routes[random_below(random_state, bench->count)];
    uint32_t host = route->length < 32 ? UINT32_MAX >> route->length : 0;

    return route->address | ((uint32_t)random_next(random_state) & host);
}

static struct trace *add_trace(struct bench *bench, const char *name)
{
    struct trace *trace = &bench->traces[bench->trace_count++];

    trace->name = name;
    trace->addresses = need(calloc(TRACE_LENGTH, sizeof(uint32_t)));
    trace->addresses_be = need(calloc(TRACE_LENGTH, sizeof(uint32_t)));
    return trace;
}

static void end_trace(struct trace *trace)
{
    for (unsigned i = 0; i < TRACE_LENGTH; i++)
        trace->addresses_be[i] = __builtin_bswap32(trace->addresses[i]);
}

/* The k-th flow comes 1/k as often as the first. */
static void add_zipf(struct bench *bench, const char *name, unsigned flow_count,
                     uint64_t *random_state)
{
    struct trace *trace = add_trace(bench, name);
    uint32_t *flows = need(calloc(flow_count, sizeof(*flows)));
    double *sums = need(calloc(flow_count, sizeof(*sums))), sum = 0;

    for (unsigned i = 0; i < flow_count; i++) {
        flows[i] = random_host(bench, random_state);
        sums[i] = sum += 1.0 / (i + 1);
    }
    for (unsigned i = 0; i < TRACE_LENGTH; i++) {
        double wanted = (double)(random_next(random_state) >> 11) * 0x1p-53 * sum;
        unsigned low = 0, high = flow_count - 1;
        while (low < high) {
            unsigned middle = (low + high) / 2;
            if (sums[middle] > wanted)
                high = middle;
            else
                low = middle + 1;
        }
        trace->addresses[i] = flows[low];
    }
    free(flows);
    free(sums);
    end_trace(trace);
}

static void make_traces(struct bench *bench)
{
    uint64_t random_state = 1;

    struct trace *spread = add_trace(bench, "spread");
    for (unsigned i = 0; i < TRACE_LENGTH; i++)
        spread->addresses[i] = random_host(bench, &random_state);
    end_trace(spread);
    add_zipf(bench, "Zipf 64k", 64 << 10, &random_state);
    add_zipf(bench, "Zipf 1M", 1 << 20, &random_state);
    struct trace *uniform = add_trace(bench, "uniform");
    for (unsigned i = 0; i < TRACE_LENGTH; i++)
        uniform->addresses[i] = (uint32_t)random_next(&random_state);
    end_trace(uniform);
    struct trace *hot = add_trace(bench, "hot 4096");
    for (unsigned i = 0; i < TRACE_LENGTH; i++)
        hot->addresses[i] = spread->addresses[i % HOT_LENGTH];
    end_trace(hot);
}

/* ---- Ours -------------------------------------------------------------------------------------
 */

static struct fib4_route fib4_route_of(const struct route *route)
{
    return (struct fib4_route){ __builtin_bswap32(route->address), route->length, route->next_hop };
}

static struct fib4_route *fib4_routes(const struct route *routes, unsigned count)
{
    struct fib4_route *list = need(calloc(count, sizeof(*list)));

    for (unsigned i = 0; i < count; i++)
        list[i] = fib4_route_of(&routes[i]);
    return list;
}

/* Somebody reads them: DPDK's inlined lookups would vanish otherwise. */
static inline void use_answers(const void *answers)
{
    __asm__ volatile("" : : "r"(answers) : "memory");
}

static void run_ours(const struct subject *subject, const struct trace *trace)
{
    uint16_t answers[BURST];

    for (unsigned i = 0; i < TRACE_LENGTH; i += BURST) {
        fib4_lookup_batch(subject->ours, trace->addresses_be + i, answers, BURST);
        use_answers(answers);
    }
}

static struct fib4 *build_ours(const char *name, const struct fib4_plan *plan,
                               const struct fib4_route *routes, unsigned count)
{
    struct fib4 *fib = NULL;
    uint64_t best_ns = UINT64_MAX;

    for (unsigned i = 0; i < BUILDS; i++) {
        fib4_destroy(fib, NULL);
        uint64_t start_ns = cpu_ns();
        fib = need(fib4_create(plan, routes, count));
        best_ns = MIN_OF(best_ns, cpu_ns() - start_ns);
    }
    printf("  %-28s %9.1f %9.1f\n", name, (double)best_ns / NS_PER_MS,
           (double)fib4_bytes(fib) / (1 << 20));
    return fib;
}

/* A line for every way. */
static void add_ours(struct bench *bench, const char *name, const struct fib4_plan *plan, bool few)
{
    unsigned count = few ? ROUTES_FEW : bench->count;
    struct fib4_route *routes = fib4_routes(few ? bench->few : bench->routes, count);
    struct fib4 *fib = build_ours(name, plan, routes, count);

    for (unsigned way = 0; way < fib4_way_count(fib); way++) {
        char *full_name = need(malloc(64));
        snprintf(full_name, 64, "%s, way %u", name, way);
        bench->subjects[bench->subject_count++] = (struct subject){
            .name = full_name, .run = run_ours, .ours = fib, .choice = (uint8_t)way, .few = few
        };
    }
    free(routes);
}

/* ---- DPDK -------------------------------------------------------------------------------------
 */

static void run_fib(const struct subject *subject, const struct trace *trace)
{
    uint64_t answers[BURST];

    for (unsigned i = 0; i < TRACE_LENGTH; i += BURST) {
        rte_fib_lookup_bulk(subject->fib, trace->addresses + i, answers, BURST);
        use_answers(answers);
    }
}

static void run_lpm(const struct subject *subject, const struct trace *trace)
{
    uint32_t answers[BURST];

    for (unsigned i = 0; i < TRACE_LENGTH; i += BURST) {
        rte_lpm_lookup_bulk(subject->lpm, trace->addresses + i, answers, BURST);
        use_answers(answers);
    }
}

static size_t dpdk_bytes(void)
{
    struct rte_malloc_socket_stats stats;

    rte_malloc_get_socket_stats(0, &stats);
    return stats.heap_allocsz_bytes;
}

static void add_fib(struct bench *bench, unsigned width_bytes)
{
    struct rte_fib_conf plan = {
        .type = RTE_FIB_DIR24_8,
        .default_nh = FIB4_NO_ROUTE,
        .max_routes = ROUTE_MAX,
        .dir24_8 = { .nh_sz = width_bytes == 2 ? RTE_FIB_DIR24_8_2B : RTE_FIB_DIR24_8_4B,
                     .num_tbl8 = GROUPS_OF_LONG },
    };
    char name[32];
    size_t before_bytes = dpdk_bytes();
    uint64_t start_ns = cpu_ns();

    snprintf(name, sizeof(name), "rte_fib %uB", width_bytes);
    struct rte_fib *fib = need(rte_fib_create(name, SOCKET_ID_ANY, &plan));
    for (unsigned i = 0; i < bench->count; i++) {
        const struct route *route = &bench->routes[i];
        if (rte_fib_add(fib, route->address, route->length, route->next_hop) != 0)
            refuse("rte_fib takes no more routes");
    }
    printf("  %-28s %9.1f %9.1f\n", name, (double)(cpu_ns() - start_ns) / NS_PER_MS,
           (double)(dpdk_bytes() - before_bytes) / (1 << 20));

    static const enum rte_fib_lookup_type choices[] = { RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO,
                                                        RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512 };
    static const char *const words[] = { "scalar", "AVX-512" };
    for (unsigned i = 0; i < ARRAY_COUNT(choices); i++) {
        if (rte_fib_select_lookup(fib, choices[i]) != 0) {
            printf("skipped: %s %s: not on this processor\n", name, words[i]);
            continue;
        }
        char *full_name = need(malloc(64));
        snprintf(full_name, 64, "%s, %s", name, words[i]);
        bench->subjects[bench->subject_count++] = (struct subject){ .name = full_name,
                                                                    .run = run_fib,
                                                                    .fib = fib,
                                                                    .choice = (uint8_t)choices[i],
                                                                    .peer = true };
    }
}

static void add_lpm(struct bench *bench)
{
    struct rte_lpm_config plan = { .max_rules = 2 * ROUTES_FEW, .number_tbl8s = GROUPS_OF_LONG };
    size_t before_bytes = dpdk_bytes();
    uint64_t start_ns = cpu_ns();

    struct rte_lpm *lpm = need(rte_lpm_create("lpm", SOCKET_ID_ANY, &plan));
    for (unsigned i = 0; i < ROUTES_FEW; i++)
        if (rte_lpm_add(lpm, bench->few[i].address, bench->few[i].length, bench->few[i].next_hop))
            refuse("rte_lpm takes no more routes");
    printf("  %-28s %9.1f %9.1f\n", "rte_lpm, few routes",
           (double)(cpu_ns() - start_ns) / NS_PER_MS,
           (double)(dpdk_bytes() - before_bytes) / (1 << 20));
    bench->subjects[bench->subject_count++] =
        (struct subject){ .name = "rte_lpm, few routes", .run = run_lpm, .lpm = lpm, .few = true };
}

/* ---- Lookups ----------------------------------------------------------------------------------
 */

static void choose(const struct subject *subject)
{
    if (subject->ours != NULL)
        fib4_use_way(subject->ours, subject->choice);
    else if (subject->fib != NULL)
        rte_fib_select_lookup(subject->fib, (enum rte_fib_lookup_type)subject->choice);
}

static void answer(const struct subject *subject, const struct trace *trace, unsigned first,
                   uint16_t answers[BURST])
{
    uint64_t wide[BURST];
    uint32_t found[BURST];

    if (subject->ours != NULL) {
        fib4_lookup_batch(subject->ours, trace->addresses_be + first, answers, BURST);
    } else if (subject->fib != NULL) {
        rte_fib_lookup_bulk(subject->fib, trace->addresses + first, wide, BURST);
        for (unsigned i = 0; i < BURST; i++)
            answers[i] = (uint16_t)wide[i];
    } else {
        rte_lpm_lookup_bulk(subject->lpm, trace->addresses + first, found, BURST);
        for (unsigned i = 0; i < BURST; i++)
            answers[i] = found[i] & RTE_LPM_LOOKUP_SUCCESS ? (uint16_t)found[i] : FIB4_NO_ROUTE;
    }
}

/* All with the same routes answer alike. */
static void compare_answers(const struct bench *bench)
{
    const struct subject *first[2] = { NULL };
    uint16_t answers[BURST], expected[BURST];

    for (const struct subject *subject = bench->subjects;
         subject < bench->subjects + bench->subject_count; subject++) {
        if (first[subject->few] == NULL)
            first[subject->few] = subject;
        for (unsigned t = 0; t < bench->trace_count; t++) {
            for (unsigned i = 0; i < TRACE_LENGTH; i += BURST) {
                choose(first[subject->few]);
                answer(first[subject->few], &bench->traces[t], i, expected);
                choose(subject);
                answer(subject, &bench->traces[t], i, answers);
                if (memcmp(answers, expected, sizeof(answers)) != 0)
                    refuse("answers differ");
            }
        }
    }
}

static double *cycles_of(const struct bench *bench, unsigned subject, unsigned trace)
{
    return &bench->cycles[((size_t)subject * bench->trace_count + trace) * bench->passes];
}

static void measure(struct bench *bench)
{
    bench->cycles = need(calloc((size_t)bench->subject_count * bench->trace_count * bench->passes,
                                sizeof(*bench->cycles)));
    for (unsigned pass = 0; pass < bench->passes; pass++) {
        for (unsigned t = 0; t < bench->trace_count; t++) {
            for (unsigned i = 0; i < bench->subject_count; i++) {
                unsigned s = pass % 2 == 0 ? i : bench->subject_count - 1 - i;
                const struct subject *subject = &bench->subjects[s];
                choose(subject);
                subject->run(subject, &bench->traces[t]);
                uint64_t start = clock_cycles();
                subject->run(subject, &bench->traces[t]);
                cycles_of(bench, s, t)[pass] = (double)(clock_cycles() - start) / TRACE_LENGTH;
            }
        }
    }
    for (unsigned s = 0; s < bench->subject_count; s++)
        for (unsigned t = 0; t < bench->trace_count; t++)
            qsort(cycles_of(bench, s, t), bench->passes, sizeof(double), compare_double);
}

static void report_lookups(const struct bench *bench)
{
    printf("TSC cycles a lookup, min / median of %u passes\n  %-28s", bench->passes, "");
    for (unsigned t = 0; t < bench->trace_count; t++)
        printf(" %15s", bench->traces[t].name);
    printf("\n");
    for (unsigned s = 0; s < bench->subject_count; s++) {
        printf("  %-28s", bench->subjects[s].name);
        for (unsigned t = 0; t < bench->trace_count; t++)
            printf("   %5.2f / %5.2f", cycles_of(bench, s, t)[0],
                   cycles_of(bench, s, t)[bench->passes / 2]);
        printf("\n");
    }
    printf("ratios of minima, rte_fib's best mode / ours\n");
    for (unsigned s = 0; s < bench->subject_count; s++) {
        if (bench->subjects[s].ours == NULL || bench->subjects[s].few)
            continue;
        printf("  %-28s", bench->subjects[s].name);
        for (unsigned t = 0; t < bench->trace_count; t++) {
            double best = 0;
            for (unsigned p = 0; p < bench->subject_count; p++)
                if (bench->subjects[p].peer && (best == 0 || cycles_of(bench, p, t)[0] < best))
                    best = cycles_of(bench, p, t)[0];
            printf(" %15.2f", best / cycles_of(bench, s, t)[0]);
        }
        printf("\n");
    }
}

/* ---- Changes ----------------------------------------------------------------------------------
 */

static int compare_routes(const void *a, const void *b)
{
    const struct route *x = a, *y = b;

    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return (x->length > y->length) - (x->length < y->length);
}

static const struct route *find_route(const struct bench *bench, uint32_t address, unsigned length)
{
    struct route key = { .address = length ? address & (UINT32_MAX << (32 - length)) : 0,
                         .length = (uint8_t)length };

    return bsearch(&key, bench->routes, bench->count, sizeof(key), compare_routes);
}

/* A /24 that is not in the table, and what covers it. */
struct change {
    struct route route;
    struct fib4_route added, cover;
    bool covered;
};

static struct change *make_changes(const struct bench *bench)
{
    enum { LENGTH = 24 };
    struct change *changes = need(calloc(CHANGES, sizeof(*changes)));
    uint64_t random_state = 2;

    for (unsigned i = 0; i < CHANGES;) {
        uint32_t address = random_host(bench, &random_state) & 0xffffff00;
        struct change change = { .route = { address, LENGTH, (uint8_t)(1 + i % 63) } };
        if (find_route(bench, address, LENGTH) != NULL)
            continue;
        change.added = fib4_route_of(&change.route);
        for (unsigned length = LENGTH; length-- > 0 && !change.covered;) {
            const struct route *cover = find_route(bench, address, length);
            change.covered = cover != NULL;
            if (change.covered)
                change.cover = fib4_route_of(cover);
        }
        changes[i++] = change;
    }
    return changes;
}

static double change_ours(struct fib4 *fib, const struct change *changes)
{
    uint64_t start_ns = cpu_ns();

    for (const struct change *change = changes; change < changes + CHANGES; change++) {
        if (fib4_insert(fib, &change->added) != OK ||
            fib4_remove(fib, change->added.address_be, change->added.length,
                        change->covered ? &change->cover : NULL) != OK)
            refuse("a change failed");
    }
    return (double)(cpu_ns() - start_ns) / (2 * CHANGES);
}

static double change_fib(struct rte_fib *fib, const struct change *changes)
{
    uint64_t start_ns = cpu_ns();

    for (const struct change *change = changes; change < changes + CHANGES; change++) {
        const struct route *route = &change->route;
        if (rte_fib_add(fib, route->address, route->length, route->next_hop) != 0 ||
            rte_fib_delete(fib, route->address, route->length) != 0)
            refuse("a change of rte_fib failed");
    }
    return (double)(cpu_ns() - start_ns) / (2 * CHANGES);
}

static void report_changes(const struct bench *bench)
{
    struct change *changes = make_changes(bench);

    printf("one /24 more or less, ns, best of %u times %u\n", BUILDS, CHANGES);
    for (unsigned s = 0; s < bench->subject_count; s++) {
        const struct subject *subject = &bench->subjects[s];
        double best = 0;
        if (subject->few || subject->lpm != NULL ||
            (s > 0 && subject[-1].ours == subject->ours && subject[-1].fib == subject->fib))
            continue;
        for (unsigned i = 0; i < BUILDS; i++) {
            double ns = subject->ours != NULL ? change_ours(subject->ours, changes)
                                              : change_fib(subject->fib, changes);
            best = i == 0 || ns < best ? ns : best;
        }
        printf("  %-28s %9.1f\n", subject->name, best);
    }
    free(changes);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    /* The second processor: interrupts and what the system does prefer the first. */
    static char *eal[] = { "fib_bench",    "--in-memory",
                           "--no-pci",     "--no-telemetry",
                           "--lcores=0@1", "--force-max-simd-bitwidth=512",
                           "-m",           "1500",
                           "--log-level=4" };

    bench.passes = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    if (bench.passes < 1 || bench.passes > PASSES_MAX)
        refuse("usage: fib_bench PASSES < TABLE");
    if (rte_eal_init(ARRAY_COUNT(eal), eal) < 0)
        refuse("DPDK does not start: it wants root, two processors and large pages");
    host_cores(1, HOST_STEPPED);
    read_table(&bench);
    make_traces(&bench);
    setlinebuf(stdout);
    printf("%u routes, %u addresses a pass\n  %-28s %9s %9s\n", bench.count, TRACE_LENGTH, "",
           "build ms", "MiB");
    add_ours(&bench, "direct", &(struct fib4_plan){ .shape = FIB4_DIRECT }, false);
    add_ours(&bench, "direct, wide",
             &(struct fib4_plan){ .shape = FIB4_DIRECT, .next_hop_max = FIB4_NARROW_MAX + 1 },
             false);
    add_ours(&bench, "compact", &(struct fib4_plan){ .shape = FIB4_COMPACT }, false);
    add_fib(&bench, 2);
    add_fib(&bench, 4);
    add_ours(&bench, "direct, few routes", &(struct fib4_plan){ .shape = FIB4_DIRECT }, true);
    add_lpm(&bench);
    compare_answers(&bench);
    measure(&bench);
    report_lookups(&bench);
    report_changes(&bench);
    return EXIT_SUCCESS;
}
