#include "tests/bench/fib_race.h"

#include <rte_eal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#undef MS_PER_S
#undef US_PER_S
#undef NS_PER_S /* ours are constants of the same name */

#include "kernel/base/random.h"
#include "tests/host/host.h"

enum { PASSES_MAX = 1000 };

void refuse(const char *why)
{
    fprintf(stderr, "fib bench: %s\n", why);
    exit(EXIT_FAILURE);
}

void *need(void *memory)
{
    if (memory == NULL)
        refuse("out of memory");
    return memory;
}

uint64_t cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

unsigned race_passes(int argc, char **argv)
{
    unsigned passes = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;

    if (passes < 1 || passes > PASSES_MAX)
        refuse("usage: PROGRAM PASSES < TABLE");
    return passes;
}

void race_start_dpdk(void)
{
    /* The second processor: interrupts and what the system does prefer the first. */
    static char *eal[] = { "fib_bench",    "--in-memory",
                           "--no-pci",     "--no-telemetry",
                           "--lcores=0@1", "--force-max-simd-bitwidth=512",
                           "-m",           "1500",
                           "--log-level=4" };

    if (rte_eal_init(ARRAY_COUNT(eal), eal) < 0)
        refuse("DPDK does not start: it wants root, two processors and large pages");
    host_cores(1, HOST_STEPPED);
    setlinebuf(stdout);
}

void race_add_trace(struct race *race, const char *name, const void *trace)
{
    race->trace_names[race->trace_count] = name;
    race->traces[race->trace_count++] = trace;
}

void race_add(struct race *race, const struct subject *subject, const char *behind)
{
    enum { NAME_MAX_BYTES = 64 };
    char *name = need(malloc(NAME_MAX_BYTES));

    snprintf(name, NAME_MAX_BYTES, "%s%s", subject->name, behind);
    race->subjects[race->subject_count] = *subject;
    race->subjects[race->subject_count++].name = name;
}

void zipf_flows(unsigned *flows, unsigned flow_count, uint64_t *random_state)
{
    double *sums = need(calloc(flow_count, sizeof(*sums))), sum = 0;

    for (unsigned i = 0; i < flow_count; i++)
        sums[i] = sum += 1.0 / (i + 1);
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
        flows[i] = low;
    }
    free(sums);
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double *cycles_of(const struct race *race, unsigned subject, unsigned trace)
{
    return &race->cycles[((size_t)subject * race->trace_count + trace) * race->passes];
}

void race_run(struct race *race)
{
    race->cycles = need(calloc((size_t)race->subject_count * race->trace_count * race->passes,
                               sizeof(*race->cycles)));
    for (unsigned pass = 0; pass < race->passes; pass++) {
        for (unsigned t = 0; t < race->trace_count; t++) {
            for (unsigned i = 0; i < race->subject_count; i++) {
                unsigned s = pass % 2 == 0 ? i : race->subject_count - 1 - i;
                const struct subject *subject = &race->subjects[s];
                if (subject->choose != NULL)
                    subject->choose(subject);
                subject->run(subject, race->traces[t]);
                uint64_t start = clock_cycles();
                subject->run(subject, race->traces[t]);
                cycles_of(race, s, t)[pass] = (double)(clock_cycles() - start) / TRACE_LENGTH;
            }
        }
    }
    for (unsigned s = 0; s < race->subject_count; s++)
        for (unsigned t = 0; t < race->trace_count; t++)
            qsort(cycles_of(race, s, t), race->passes, sizeof(double), compare_double);
}

void race_report(const struct race *race)
{
    printf("TSC cycles a lookup, min / median of %u passes\n  %-28s", race->passes, "");
    for (unsigned t = 0; t < race->trace_count; t++)
        printf(" %15s", race->trace_names[t]);
    printf("\n");
    for (unsigned s = 0; s < race->subject_count; s++) {
        printf("  %-28s", race->subjects[s].name);
        for (unsigned t = 0; t < race->trace_count; t++)
            printf("   %5.2f / %5.2f", cycles_of(race, s, t)[0],
                   cycles_of(race, s, t)[race->passes / 2]);
        printf("\n");
    }
    printf("ratios of minima, the best peer / ours\n");
    for (unsigned s = 0; s < race->subject_count; s++) {
        if (!race->subjects[s].ours || race->subjects[s].few)
            continue;
        printf("  %-28s", race->subjects[s].name);
        for (unsigned t = 0; t < race->trace_count; t++) {
            double best = 0;
            for (unsigned p = 0; p < race->subject_count; p++)
                if (race->subjects[p].peer && (best == 0 || cycles_of(race, p, t)[0] < best))
                    best = cycles_of(race, p, t)[0];
            printf(" %15.2f", best / cycles_of(race, s, t)[0]);
        }
        printf("\n");
    }
}

void report_build(const char *name, uint64_t took_ns, size_t bytes)
{
    printf("  %-28s %9.1f %9.1f\n", name, (double)took_ns / NS_PER_MS, (double)bytes / (1 << 20));
}
