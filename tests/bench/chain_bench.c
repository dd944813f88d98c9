/* What a list of prefixes costs each packet where it is compared one by one: by the kernel's eBPF,
 * by libpcap's interpreter, and compiled by ours. In one process, in turns, over one packet: one
 * that is in no prefix, so that all of them are asked, and one that is in the last.
 *
 *     chain_bench PASSES COUNT
 *
 * The peers' programs find the address in the frame themselves; ours is given it in a column, as
 * the datapath has it, 64 packets at a time. What the kernel's loop around a program costs is
 * measured, too, by one that does nothing. Nanoseconds of wall time, minimum / median: the minimum
 * says what the code takes, the median what the machine's other guests do. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jit/jit.h"
#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "kernel/platform.h"
#include "tests/bench/chain_peers.h"

enum {
    PASSES_MAX = 1000,
    COUNT_MAX = 4000, /* the kernel's jumps have 16 bits */
    FRAME_BYTES = 60,
    DESTINATION_OFFSET = 30,
    COMPARISONS = 1 << 24, /* by a pass, so that all passes are of a like length */
};

enum subject { KERNEL_EMPTY, KERNEL, LIBPCAP, OURS, SUBJECTS };

static const char *const names[SUBJECTS] = { "eBPF, nothing", "eBPF, the list", "libpcap", "ours" };

struct bench {
    unsigned count;
    uint32_t nets[COUNT_MAX];
    struct kernel_chain kernel;
    struct pcap_chain *pcap;
    struct jit_filter *ours;
    double ns[SUBJECTS][PASSES_MAX];
};

_Noreturn static void refuse(const char *why)
{
    fprintf(stderr, "chain bench: %s\n", why);
    exit(EXIT_FAILURE);
}

static double ms_since(uint64_t start_ns)
{
    return (double)(clock_ns() - start_ns) / NS_PER_MS;
}

/* ---- The list -------------------------------------------------------------------------------- */

/* /24 in 192.0.0.0/4. */
static void make_nets(struct bench *bench)
{
    uint64_t random_state = 1;

    for (unsigned i = 0; i < bench->count; i++)
        bench->nets[i] = 0xc0000000 | ((uint32_t)random_next(&random_state) & 0x0fffff00);
}

static void compile_ours(struct bench *bench)
{
    const struct jit_plan plan = { .field_count = 1, .vectors = jit_vectors_best() };
    static struct jit_rule rules[COUNT_MAX];
    struct jit_description description;
    uint64_t start_ns = clock_ns();

    for (unsigned i = 0; i < bench->count; i++)
        rules[i] = (struct jit_rule){ .fields = { { bench->nets[i], bench->nets[i] | 0xff } },
                                      .answer = i };
    if (jit_filter_compile(&plan, rules, bench->count, &bench->ours) != OK)
        refuse("ours cannot be compiled");
    double took_ms = ms_since(start_ns);
    jit_filter_describe(bench->ours, &description);
    printf("  ours: compiled in %.2f ms, %u bytes of code and %zu of tables (%s)\n", took_ms,
           description.code_bytes, description.table_bytes, description.shape);
}

/* What the peers are made of; one that is not to be had is left out, and said. */
static void make_peers(struct bench *bench)
{
    uint64_t start_ns = clock_ns();

    if (kernel_chain_create(&bench->kernel, bench->nets, bench->count))
        printf("  eBPF: verified and compiled in %.1f ms\n", ms_since(start_ns));
    else
        printf("  skipped: eBPF: bpf(): %s\n", strerror(errno));
    start_ns = clock_ns();
    bench->pcap = pcap_chain_create(bench->nets, bench->count);
    if (bench->pcap == NULL)
        refuse("libpcap makes no program");
    printf("  libpcap: compiled in %.1f ms, %u instructions\n", ms_since(start_ns),
           pcap_chain_instructions(bench->pcap));
}

/* ---- The packet ------------------------------------------------------------------------------ */

static void make_frame(uint8_t frame[FRAME_BYTES], uint32_t destination)
{
    memset(frame, 0, FRAME_BYTES);
    store_be16(frame + 12, 0x0800);
    frame[14] = 0x45;
    store_be32(frame + DESTINATION_OFFSET, destination);
}

static double run_libpcap(const struct bench *bench, const uint8_t *frame, unsigned runs,
                          bool *found)
{
    uint64_t start_ns = clock_ns();

    for (unsigned i = 0; i < runs; i++) {
        *found = pcap_chain_run(bench->pcap, frame, FRAME_BYTES);
        __asm__ volatile("" : : : "memory");
    }
    return (double)(clock_ns() - start_ns) / runs;
}

static double run_ours(const struct bench *bench, const uint8_t *frame, unsigned runs, bool *found)
{
    uint32_t column[1][BATCH_MAX], answers[BATCH_MAX];

    for (unsigned i = 0; i < BATCH_MAX; i++)
        column[0][i] = load_be32(frame + DESTINATION_OFFSET);
    uint64_t start_ns = clock_ns();
    for (unsigned i = 0; i < runs; i += BATCH_MAX) {
        jit_filter_run(bench->ours, (const uint32_t(*)[BATCH_MAX])column, BATCH_MAX, answers);
        __asm__ volatile("" : : "r"(answers) : "memory");
    }
    *found = answers[0] != JIT_NONE;
    return (double)(clock_ns() - start_ns) / runs;
}

static double run(const struct bench *bench, enum subject subject, const uint8_t *frame,
                  unsigned runs, bool *found)
{
    switch (subject) {
    case KERNEL_EMPTY:
        return kernel_chain_run(bench->kernel.empty, frame, FRAME_BYTES, runs, found);
    case KERNEL:
        return kernel_chain_run(bench->kernel.chain, frame, FRAME_BYTES, runs, found);
    case LIBPCAP:
        return run_libpcap(bench, frame, runs, found);
    default:
        return run_ours(bench, frame, runs, found);
    }
}

/* ---- The race -------------------------------------------------------------------------------- */

static int by_size(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

static bool is_there(const struct bench *bench, enum subject subject)
{
    return subject >= LIBPCAP || bench->kernel.chain > 0;
}

static void race(struct bench *bench, const char *what, uint32_t destination, unsigned passes)
{
    const unsigned runs = MAX_OF(COMPARISONS / bench->count, 4096u) / BATCH_MAX * BATCH_MAX;
    const bool is_in = destination == (bench->nets[bench->count - 1] | 5);
    uint8_t frame[FRAME_BYTES];

    make_frame(frame, destination);
    for (unsigned pass = 0; pass < passes; pass++) {
        for (enum subject subject = 0; subject < SUBJECTS; subject++) {
            bool found = is_in;
            if (is_there(bench, subject))
                bench->ns[subject][pass] = run(bench, subject, frame, runs, &found);
            if (found != is_in && subject != KERNEL_EMPTY)
                refuse("the answers differ");
        }
    }
    printf("| %u, %s |", bench->count, what);
    for (enum subject subject = 0; subject < SUBJECTS; subject++) {
        double *ns = bench->ns[subject];
        qsort(ns, passes, sizeof(ns[0]), by_size);
        if (is_there(bench, subject))
            printf(" %.2f / %.2f |", ns[0], ns[passes / 2]);
        else
            printf(" |");
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    static struct bench bench;
    unsigned passes = argc == 3 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;

    bench.count = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    if (passes < 1 || passes > PASSES_MAX || bench.count < 1 || bench.count > COUNT_MAX)
        refuse("usage: chain_bench PASSES COUNT");
    make_nets(&bench);
    printf("%u prefixes:\n", bench.count);
    compile_ours(&bench);
    make_peers(&bench);
    printf("| prefixes, packet; ns a packet, minimum / median |");
    for (enum subject subject = 0; subject < SUBJECTS; subject++)
        printf(" %s |", names[subject]);
    printf("\n|---|---|---|---|---|\n");
    race(&bench, "in none of them", 0x08080808, passes);
    race(&bench, "in the last", bench.nets[bench.count - 1] | 5, passes);
    jit_filter_destroy(bench.ours);
    pcap_chain_destroy(bench.pcap);
    if (is_there(&bench, KERNEL))
        kernel_chain_destroy(&bench.kernel);
    return 0;
}
