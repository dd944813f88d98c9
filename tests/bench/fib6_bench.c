/* Our IPv6 FIB beside DPDK's, in one process and in turns: cycles a lookup over several traces of a
 * full table, the time to build it, its memory, and what a route that goes and comes back costs.
 *
 *   fib6_bench PASSES < TABLE     TABLE: "prefix number" lines, sorted; the numbers become next
 * hops
 *
 * fib_bench.py gives it the table and large pages, fib_race.h says how all are measured. Before
 * that all answers are compared. rte_fib6 with next hops of two bytes numbers at most 32,767 blocks
 * of 256 entries, and a full table needs more: it is left out, and said. */
#include <arpa/inet.h>
#include <rte_fib6.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#undef MS_PER_S
#undef US_PER_S
#undef NS_PER_S /* ours are constants of the same name */

#include "kernel/base/random.h"
#include "kernel/platform.h"
#include "net/fib6.h"
#include "tests/bench/fib_race.h"

enum {
    ROUTE_MAX = 1 << 18,
    CHANGES = 50000,
    SIZE = 16,
    LENGTH_MAX = 128,
    BLOCKS_2B = 32767,
    BLOCKS_4B = 230000,
};

typedef uint8_t address_bytes[SIZE];

struct bench {
    struct fib6_route *routes;
    unsigned count;
    struct race race;
};

/* ---- Table and traces -------------------------------------------------------------------------
 */

static void read_table(struct bench *bench)
{
    char text[INET6_ADDRSTRLEN];
    unsigned length, next_hop;

    bench->routes = need(calloc(ROUTE_MAX, sizeof(*bench->routes)));
    while (bench->count < ROUTE_MAX && scanf(" %45[^/]/%u %u", text, &length, &next_hop) == 3) {
        struct fib6_route *route = &bench->routes[bench->count++];
        if (inet_pton(AF_INET6, text, route->address) != 1)
            refuse("no table");
        route->length = (uint8_t)length;
        route->next_hop = (uint16_t)next_hop;
    }
    if (bench->count == 0)
        refuse("no table");
}

/* Only the first `length` bits of it stay. */
static void cut_address(uint8_t *address, unsigned length)
{
    for (unsigned i = 0; i < SIZE; i++) {
        unsigned bits = length > 8 * i ? MIN_OF(length - 8 * i, 8u) : 0;
        address[i] &= (uint8_t)(0xff00 >> bits);
    }
}

static void random_host(const struct bench *bench, uint64_t *random_state, uint8_t *address)
{
    const struct fib6_route *route = &bench->routes[random_below(random_state, bench->count)];
    address_bytes host, network;

    for (unsigned i = 0; i < SIZE; i++)
        address[i] = network[i] = host[i] = (uint8_t)random_next(random_state);
    cut_address(network, route->length);
    for (unsigned i = 0; i < SIZE; i++)
        address[i] = (uint8_t)(route->address[i] | (host[i] ^ network[i]));
}

static address_bytes *add_trace(struct bench *bench, const char *name)
{
    address_bytes *trace = need(calloc(TRACE_LENGTH, sizeof(*trace)));

    race_add_trace(&bench->race, name, trace);
    return trace;
}

static void add_zipf(struct bench *bench, const char *name, unsigned flow_count,
                     uint64_t *random_state)
{
    address_bytes *trace = add_trace(bench, name);
    address_bytes *addresses = need(calloc(flow_count, sizeof(*addresses)));
    unsigned *flows = need(calloc(TRACE_LENGTH, sizeof(*flows)));

    for (unsigned i = 0; i < flow_count; i++)
        random_host(bench, random_state, addresses[i]);
    zipf_flows(flows, flow_count, random_state);
    for (unsigned i = 0; i < TRACE_LENGTH; i++)
        memcpy(trace[i], addresses[flows[i]], SIZE);
    free(addresses);
    free(flows);
}

/* Uniform addresses are of 2000::/3: elsewhere nobody has routes. */
static void make_traces(struct bench *bench)
{
    uint64_t random_state = 1;
    address_bytes *spread = add_trace(bench, "spread");

    for (unsigned i = 0; i < TRACE_LENGTH; i++)
        random_host(bench, &random_state, spread[i]);
    add_zipf(bench, "Zipf 64k", 64 << 10, &random_state);
    add_zipf(bench, "Zipf 1M", 1 << 20, &random_state);
    address_bytes *uniform = add_trace(bench, "uniform");
    for (unsigned i = 0; i < TRACE_LENGTH; i++) {
        for (unsigned k = 0; k < SIZE; k++)
            uniform[i][k] = (uint8_t)random_next(&random_state);
        uniform[i][0] = (uint8_t)(0x20 | (uniform[i][0] & 0x1f));
    }
    address_bytes *hot = add_trace(bench, "hot 4096");
    for (unsigned i = 0; i < TRACE_LENGTH; i++)
        memcpy(hot[i], spread[i % HOT_LENGTH], SIZE);
}

/* ---- Who looks up -----------------------------------------------------------------------------
 */

static void choose_ours(const struct subject *subject)
{
    fib6_use_way(subject->table, subject->choice);
}

static void run_ours(const struct subject *subject, const void *trace)
{
    const uint8_t(*addresses)[SIZE] = trace;
    uint16_t answers[BURST];

    for (unsigned i = 0; i < TRACE_LENGTH; i += BURST) {
        fib6_lookup_batch(subject->table, addresses + i, answers, BURST);
        use_answers(answers);
    }
}

static void add_ours(struct bench *bench)
{
    static const char *const ways[] = { ", any x86-64", ", AVX2", ", AVX-512" };
    struct fib6 *fib = NULL;
    uint64_t best_ns = UINT64_MAX;

    for (unsigned i = 0; i < BUILDS; i++) {
        fib6_destroy(fib);
        uint64_t start_ns = cpu_ns();
        fib = need(fib6_create(&(struct fib6_plan){ 0 }, bench->routes, bench->count));
        best_ns = MIN_OF(best_ns, cpu_ns() - start_ns);
    }
    report_build("ours", best_ns, fib6_bytes(fib));
    for (unsigned way = 0; way < fib6_way_count(fib); way++)
        race_add(&bench->race,
                 &(struct subject){ .name = "ours",
                                    .choose = choose_ours,
                                    .run = run_ours,
                                    .table = fib,
                                    .choice = way,
                                    .ours = true },
                 ways[way]);
}

static void choose_theirs(const struct subject *subject)
{
    rte_fib6_select_lookup(subject->table, (enum rte_fib6_lookup_type)subject->choice);
}

/* Theirs does not promise to leave the addresses as they are, but it does. */
static void look_up_theirs(const struct subject *subject, const uint8_t (*addresses)[SIZE],
                           uint64_t answers[BURST])
{
    rte_fib6_lookup_bulk(subject->table, (uint8_t(*)[SIZE])(uintptr_t)addresses, answers, BURST);
}

static void run_theirs(const struct subject *subject, const void *trace)
{
    const uint8_t(*addresses)[SIZE] = trace;
    uint64_t answers[BURST];

    for (unsigned i = 0; i < TRACE_LENGTH; i += BURST) {
        look_up_theirs(subject, addresses + i, answers);
        use_answers(answers);
    }
}

static void add_theirs(struct bench *bench, const char *name, enum rte_fib_trie_nh_sz width,
                       unsigned blocks)
{
    struct rte_fib6_conf plan = { .type = RTE_FIB6_TRIE,
                                  .default_nh = FIB6_NO_ROUTE,
                                  .max_routes = ROUTE_MAX,
                                  .trie = { .nh_sz = width, .num_tbl8 = blocks } };
    struct rte_malloc_socket_stats before, after;

    rte_malloc_get_socket_stats(0, &before);
    uint64_t start_ns = cpu_ns();
    struct rte_fib6 *fib = need(rte_fib6_create(name, SOCKET_ID_ANY, &plan));
    for (unsigned i = 0; i < bench->count; i++) {
        const struct fib6_route *route = &bench->routes[i];
        if (rte_fib6_add(fib, route->address, route->length, route->next_hop) != 0) {
            printf("skipped: %s: no room after %u routes\n", name, i);
            rte_fib6_free(fib);
            return;
        }
    }
    rte_malloc_get_socket_stats(0, &after);
    report_build(name, cpu_ns() - start_ns, after.heap_allocsz_bytes - before.heap_allocsz_bytes);

    static const enum rte_fib6_lookup_type choices[] = { RTE_FIB6_LOOKUP_TRIE_SCALAR,
                                                         RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512 };
    static const char *const words[] = { ", scalar", ", AVX-512" };
    for (unsigned i = 0; i < ARRAY_COUNT(choices); i++) {
        if (rte_fib6_select_lookup(fib, choices[i]) != 0)
            printf("skipped: %s%s: not on this processor\n", name, words[i]);
        else
            race_add(&bench->race,
                     &(struct subject){ .name = name,
                                        .choose = choose_theirs,
                                        .run = run_theirs,
                                        .table = fib,
                                        .choice = choices[i],
                                        .peer = true },
                     words[i]);
    }
}

static void compare_answers(const struct bench *bench)
{
    const struct race *race = &bench->race;
    uint64_t theirs[BURST];
    uint16_t ours[BURST];

    for (const struct subject *peer = race->subjects; peer < race->subjects + race->subject_count;
         peer++) {
        if (!peer->peer)
            continue;
        peer->choose(peer);
        for (unsigned t = 0; t < race->trace_count; t++) {
            const uint8_t(*addresses)[SIZE] = race->traces[t];
            for (unsigned i = 0; i < TRACE_LENGTH; i += BURST) {
                look_up_theirs(peer, addresses + i, theirs);
                fib6_lookup_batch(race->subjects[0].table, addresses + i, ours, BURST);
                for (unsigned k = 0; k < BURST; k++)
                    if (ours[k] != theirs[k])
                        refuse("answers differ");
            }
        }
    }
}

/* ---- Changes ----------------------------------------------------------------------------------
 */

static int compare_routes(const void *a, const void *b)
{
    const struct fib6_route *x = a, *y = b;
    int order = memcmp(x->address, y->address, SIZE);

    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

static const struct fib6_route *find_cover(const struct bench *bench,
                                           const struct fib6_route *route)
{
    for (unsigned length = route->length; length-- > 0;) {
        struct fib6_route key = *route;
        key.length = (uint8_t)length;
        cut_address(key.address, length);
        const struct fib6_route *cover =
            bsearch(&key, bench->routes, bench->count, sizeof(key), compare_routes);
        if (cover != NULL)
            return cover;
    }
    return NULL;
}

/* One of the table that goes and comes back. */
struct change {
    const struct fib6_route *route, *cover;
};

static double change_ours(struct fib6 *fib, const struct change *changes)
{
    uint64_t start_ns = cpu_ns();

    for (const struct change *change = changes; change < changes + CHANGES; change++)
        if (fib6_remove(fib, change->route->address, change->route->length, change->cover) != OK ||
            fib6_insert(fib, change->route) != OK)
            refuse("a change failed");
    return (double)(cpu_ns() - start_ns) / (2 * CHANGES);
}

/* 0: it does not take them, as one of them finds no room for what it divides. */
static double change_theirs(struct rte_fib6 *fib, const struct change *changes)
{
    uint64_t start_ns = cpu_ns();

    for (const struct change *change = changes; change < changes + CHANGES; change++) {
        const struct fib6_route *route = change->route;
        if (rte_fib6_delete(fib, route->address, route->length) != 0 ||
            rte_fib6_add(fib, route->address, route->length, route->next_hop) != 0)
            return 0;
    }
    return (double)(cpu_ns() - start_ns) / (2 * CHANGES);
}

static void report_changes(const struct bench *bench)
{
    struct change *changes = need(calloc(CHANGES, sizeof(*changes)));
    const struct subject *subjects = bench->race.subjects;
    uint64_t random_state = 2;

    for (unsigned i = 0; i < CHANGES; i++) {
        changes[i].route = &bench->routes[random_below(&random_state, bench->count)];
        changes[i].cover = find_cover(bench, changes[i].route);
    }
    printf("a route of the table less or more, ns, best of %u times %u\n", BUILDS, CHANGES);
    for (unsigned s = 0; s < bench->race.subject_count; s++) {
        double best = 0;
        if (s > 0 && subjects[s - 1].table == subjects[s].table)
            continue;
        for (unsigned i = 0; i < BUILDS; i++) {
            double ns = subjects[s].ours ? change_ours(subjects[s].table, changes)
                                         : change_theirs(subjects[s].table, changes);
            best = i == 0 || ns < best ? ns : best;
        }
        if (best == 0)
            printf("skipped: %s refuses one of them\n", subjects[s].name);
        else
            printf("  %-28s %9.1f\n", subjects[s].name, best);
    }
    free(changes);
}

int main(int argc, char **argv)
{
    static struct bench bench;

    bench.race.passes = race_passes(argc, argv);
    race_start_dpdk();
    read_table(&bench);
    qsort(bench.routes, bench.count, sizeof(*bench.routes), compare_routes);
    make_traces(&bench);
    printf("%u IPv6 routes, %u addresses a pass\n  %-28s %9s %9s\n", bench.count, TRACE_LENGTH, "",
           "build ms", "MiB");
    add_ours(&bench);
    add_theirs(&bench, "rte_fib6 2B", RTE_FIB6_TRIE_2B, BLOCKS_2B);
    add_theirs(&bench, "rte_fib6 4B", RTE_FIB6_TRIE_4B, BLOCKS_4B);
    compare_answers(&bench);
    race_run(&bench.race);
    race_report(&bench.race);
    report_changes(&bench);
    return EXIT_SUCCESS;
}
