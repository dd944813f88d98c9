/* Our FIB beside DPDK's, in one process and in turns: cycles a lookup over several traces of a full
 * table, the time to build it, its memory, and what one more route costs.
 *
 *   fib_bench PASSES < TABLE     TABLE: "prefix number" lines, sorted; the numbers become next hops
 *
 * fib_bench.py gives it the table and large pages, fib_race.h says how all are measured. Before
 * that all answers are compared.
 *
 * rte_lpm adds routes so slowly that it gets a few of them, and stands beside our own with as few.
 * rte_fib's figures for changes hold those of the tree of routes that it keeps for them; ours
 * leaves that to the RIB. */
#include <rte_fib.h>
#include <rte_lpm.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#undef MS_PER_S
#undef US_PER_S
#undef NS_PER_S /* ours are constants of the same name */

#include "kernel/base/random.h"
#include "net/fib4.h"
#include "tests/bench/fib_race.h"
#include "tests/host/host.h"

enum {
    ROUTE_MAX = 1 << 20,
    ROUTES_FEW = 30000,
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
    uint32_t *addresses, *addresses_be; /* TRACE_LENGTH; DPDK wants them in host order */
};

struct bench {
    struct route *routes;
    unsigned count;
    struct route *few;
    struct race race;
};

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
    struct trace *trace = need(calloc(1, sizeof(*trace)));

    race_add_trace(&bench->race, name, trace);
    trace->addresses = need(calloc(TRACE_LENGTH, sizeof(uint32_t)));
    trace->addresses_be = need(calloc(TRACE_LENGTH, sizeof(uint32_t)));
    return trace;
}

static void end_trace(struct trace *trace)
{
    for (unsigned i = 0; i < TRACE_LENGTH; i++)
        trace->addresses_be[i] = __builtin_bswap32(trace->addresses[i]);
}

static void add_zipf(struct bench *bench, const char *name, unsigned flow_count,
                     uint64_t *random_state)
{
    struct trace *trace = add_trace(bench, name);
    uint32_t *addresses = need(calloc(flow_count, sizeof(*addresses)));

    for (unsigned i = 0; i < flow_count; i++)
        addresses[i] = random_host(bench, random_state);
    zipf_flows(trace->addresses, flow_count, random_state);
    for (unsigned i = 0; i < TRACE_LENGTH; i++)
        trace->addresses[i] = addresses[trace->addresses[i]];
    free(addresses);
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

static void choose_ours(const struct subject *subject)
{
    fib4_use_way(subject->table, subject->choice);
}

static void run_ours(const struct subject *subject, const void *of)
{
    const struct trace *trace = of;
    uint16_t answers[BURST];

    for (unsigned i = 0; i < TRACE_LENGTH; i += BURST) {
        fib4_lookup_batch(subject->table, trace->addresses_be + i, answers, BURST);
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
    report_build(name, best_ns, fib4_bytes(fib));
    return fib;
}

/* A line for every way. */
static void add_ours(struct bench *bench, const char *name, const struct fib4_plan *plan, bool few)
{
    unsigned count = few ? ROUTES_FEW : bench->count;
    struct fib4_route *routes = fib4_routes(few ? bench->few : bench->routes, count);
    struct fib4 *fib = build_ours(name, plan, routes, count);

    for (unsigned way = 0; way < fib4_way_count(fib); way++) {
        char behind[32];
        snprintf(behind, sizeof(behind), ", way %u", way);
        race_add(&bench->race,
                 &(struct subject){ .name = name,
                                    .choose = choose_ours,
                                    .run = run_ours,
                                    .table = fib,
                                    .choice = way,
                                    .ours = true,
                                    .few = few },
                 behind);
    }
    free(routes);
}

/* ---- DPDK -------------------------------------------------------------------------------------
 */

static void choose_fib(const struct subject *subject)
{
    rte_fib_select_lookup(subject->table, (enum rte_fib_lookup_type)subject->choice);
}

static void run_fib(const struct subject *subject, const void *of)
{
    const struct trace *trace = of;
    uint64_t answers[BURST];

    for (unsigned i = 0; i < TRACE_LENGTH; i += BURST) {
        rte_fib_lookup_bulk(subject->table, trace->addresses + i, answers, BURST);
        use_answers(answers);
    }
}

static void run_lpm(const struct subject *subject, const void *of)
{
    const struct trace *trace = of;
    uint32_t answers[BURST];

    for (unsigned i = 0; i < TRACE_LENGTH; i += BURST) {
        rte_lpm_lookup_bulk(subject->table, trace->addresses + i, answers, BURST);
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
    report_build(name, cpu_ns() - start_ns, dpdk_bytes() - before_bytes);

    static const enum rte_fib_lookup_type choices[] = { RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO,
                                                        RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512 };
    static const char *const words[] = { ", scalar", ", AVX-512" };
    for (unsigned i = 0; i < ARRAY_COUNT(choices); i++) {
        if (rte_fib_select_lookup(fib, choices[i]) != 0) {
            printf("skipped: %s%s: not on this processor\n", name, words[i]);
            continue;
        }
        race_add(&bench->race,
                 &(struct subject){ .name = name,
                                    .choose = choose_fib,
                                    .run = run_fib,
                                    .table = fib,
                                    .choice = choices[i],
                                    .peer = true },
                 words[i]);
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
    report_build("rte_lpm, few routes", cpu_ns() - start_ns, dpdk_bytes() - before_bytes);
    race_add(&bench->race,
             &(struct subject){
                 .name = "rte_lpm, few routes", .run = run_lpm, .table = lpm, .few = true },
             "");
}

/* ---- Lookups ----------------------------------------------------------------------------------
 */

static void answer(const struct subject *subject, const struct trace *trace, unsigned first,
                   uint16_t answers[BURST])
{
    uint64_t wide[BURST];
    uint32_t found[BURST];

    if (subject->choose != NULL)
        subject->choose(subject);
    if (subject->ours) {
        fib4_lookup_batch(subject->table, trace->addresses_be + first, answers, BURST);
    } else if (subject->peer) {
        rte_fib_lookup_bulk(subject->table, trace->addresses + first, wide, BURST);
        for (unsigned i = 0; i < BURST; i++)
            answers[i] = (uint16_t)wide[i];
    } else {
        rte_lpm_lookup_bulk(subject->table, trace->addresses + first, found, BURST);
        for (unsigned i = 0; i < BURST; i++)
            answers[i] = found[i] & RTE_LPM_LOOKUP_SUCCESS ? (uint16_t)found[i] : FIB4_NO_ROUTE;
    }
}

/* All with the same routes answer alike. */
static void compare_answers(const struct bench *bench)
{
    const struct subject *first[2] = { NULL };
    uint16_t answers[BURST], expected[BURST];

    for (const struct subject *subject = bench->race.subjects;
         subject < bench->race.subjects + bench->race.subject_count; subject++) {
        if (first[subject->few] == NULL)
            first[subject->few] = subject;
        for (unsigned t = 0; t < bench->race.trace_count; t++) {
            const struct trace *trace = bench->race.traces[t];
            for (unsigned i = 0; i < TRACE_LENGTH; i += BURST) {
                answer(first[subject->few], trace, i, expected);
                answer(subject, trace, i, answers);
                if (memcmp(answers, expected, sizeof(answers)) != 0)
                    refuse("answers differ");
            }
        }
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
    for (unsigned s = 0; s < bench->race.subject_count; s++) {
        const struct subject *subject = &bench->race.subjects[s];
        double best = 0;
        if (subject->few || (s > 0 && subject[-1].table == subject->table))
            continue;
        for (unsigned i = 0; i < BUILDS; i++) {
            double ns = subject->ours ? change_ours(subject->table, changes)
                                      : change_fib(subject->table, changes);
            best = i == 0 || ns < best ? ns : best;
        }
        printf("  %-28s %9.1f\n", subject->name, best);
    }
    free(changes);
}

int main(int argc, char **argv)
{
    static struct bench bench;

    bench.race.passes = race_passes(argc, argv);
    race_start_dpdk();
    read_table(&bench);
    make_traces(&bench);
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
    race_run(&bench.race);
    race_report(&bench.race);
    report_changes(&bench);
    return EXIT_SUCCESS;
}
