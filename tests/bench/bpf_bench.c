/* How long a capture filter takes, beside libpcap's own interpreter: in one process, in turns, the
 * same programs (libpcap compiles them) over the same packets. A pass goes over each packet again
 * and again; the minimum of the passes says what is ours, the median what the machine's other
 * guests do. First one packet that goes the longest way to a match, then 4,096 of the real frames
 * of `bpf/packets.pcap.gz` in the shared data (zcat, standard input), whose ways nobody foresees.
 *
 *     bpf_bench PASSES [< PCAP] */
#include "jit/bpf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/platform.h"
#include "tests/unit/bpf_oracle.h"

enum {
    PASSES_MAX = 1000,
    RUNS = 1 << 16, /* filters run in one pass */
    FRAMES_MAX = 4096,
    SUBJECTS = 4,
};

struct frame {
    const uint8_t *bytes;
    uint32_t captured, wire;
};

struct filter {
    const char *expression;
    struct bpf_instruction program[BPF_INSTRUCTIONS_MAX];
    size_t count;
    struct code *plain, *guarded;
};

_Noreturn static void refuse(const char *why)
{
    fprintf(stderr, "bpf bench: %s\n", why);
    exit(EXIT_FAILURE);
}

/* ---- Who runs them ----------------------------------------------------------------------------
 */

typedef uint32_t run_all(const struct filter *filter, const struct frame *frames, unsigned count);

/* The loop is everybody's own, so that the call alone is counted. */
#define RUN_ALL(name, call) \
    static uint32_t name(const struct filter *filter, const struct frame *frames, unsigned count) \
    { \
        uint32_t sum = 0; \
        const struct frame *frame = frames; \
        for (unsigned i = 0; i < RUNS; i++) { \
            sum += call; \
            frame = frame + 1 == frames + count ? frames : frame + 1; \
        } \
        return sum; \
    }
RUN_ALL(run_libpcap, oracle_filter(filter->program, frame->bytes, frame->captured, frame->wire))
RUN_ALL(run_interpreted, bpf_interpret(filter->program, frame->bytes, frame->captured, frame->wire))
RUN_ALL(run_plain, bpf_run(filter->plain, frame->bytes, frame->captured, frame->wire))
RUN_ALL(run_guarded, bpf_run(filter->guarded, frame->bytes, frame->captured, frame->wire))

static const struct {
    const char *name;
    run_all *run;
} subjects[SUBJECTS] = {
    { "libpcap", run_libpcap },
    { "interpreted", run_interpreted },
    { "compiled", run_plain },
    { "guarded", run_guarded },
};

/* ---- Figures ----------------------------------------------------------------------------------
 */

static int by_size(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

/* A line: minima and medians in nanoseconds a packet. */
static void race(const struct filter *filter, const char *what, const struct frame *frames,
                 unsigned count, unsigned passes)
{
    static double ns[SUBJECTS][PASSES_MAX];
    uint32_t sums[SUBJECTS];

    for (unsigned pass = 0; pass < passes; pass++) {
        for (unsigned i = 0; i < SUBJECTS; i++) {
            uint64_t start_ns = clock_ns();
            sums[i] = subjects[i].run(filter, frames, count);
            ns[i][pass] = (double)(clock_ns() - start_ns) / RUNS;
            if (sums[i] != sums[0])
                refuse("the answers differ");
        }
    }
    printf("| %s, %zu instructions, %s |", filter->expression, filter->count, what);
    for (unsigned i = 0; i < SUBJECTS; i++) {
        qsort(ns[i], passes, sizeof(ns[i][0]), by_size);
        printf(" %.2f / %.2f |", ns[i][0], ns[i][passes / 2]);
    }
    printf(" %.1f |\n", ns[0][0] / ns[2][0]);
}

/* ---- Packets ----------------------------------------------------------------------------------
 */

/* IPv4, TCP with its ACK, 192.0.2.1:49152 to 192.0.2.2:443, no data. */
static const uint8_t matching[60] = {
    2,    0, 0, 0,    0, 1, 2,    0, 0,  0, 0, 2, 8,    0,                        /* Ethernet */
    0x45, 0, 0, 40,   0, 0, 0x40, 0, 64, 6, 0, 0, 192,  0,    2, 1, 192, 0, 2, 2, /* IPv4 */
    0xc0, 0, 1, 0xbb, 0, 0, 0,    0, 0,  0, 0, 0, 0x50, 0x10, 0, 0, 0,   0, 0, 0, /* TCP */
};

static unsigned read_frames(struct frame *frames)
{
    enum { FILE_MAX_BYTES = 4 << 20, FILE_HEADER_BYTES = 24, RECORD_HEADER_BYTES = 16 };
    static uint8_t file[FILE_MAX_BYTES];
    size_t size = fread(file, 1, sizeof(file), stdin);
    unsigned count = 0;
    for (size_t at = FILE_HEADER_BYTES;
         count < FRAMES_MAX && at < size && size - at > RECORD_HEADER_BYTES; count++) {
        struct frame *frame = &frames[count];
        *frame = (struct frame){ file + at + RECORD_HEADER_BYTES, load_le32(file + at + 8),
                                 load_le32(file + at + 12) };
        if (frame->captured > size - at - RECORD_HEADER_BYTES)
            break;
        at += RECORD_HEADER_BYTES + frame->captured;
    }
    return count;
}

int main(int argc, char **argv)
{
    static const char *const expressions[] = {
        "tcp port 443",
        "net 192.0.2.0/24 and not port 22",
        "tcp[tcpflags] & tcp-ack != 0 and ip",
    };
    static struct filter filter;
    static struct frame frames[FRAMES_MAX];
    const struct frame match = { matching, sizeof(matching), sizeof(matching) };
    unsigned passes = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;

    if (passes < 1 || passes > PASSES_MAX)
        refuse("usage: bpf_bench PASSES [< PCAP]");
    unsigned frame_count = read_frames(frames);
    printf("| filter, packets; ns a packet, minimum / median |");
    for (unsigned i = 0; i < SUBJECTS; i++)
        printf(" %s |", subjects[i].name);
    printf(" libpcap / compiled |\n|---|---|---|---|---|---|\n");
    for (unsigned i = 0; i < ARRAY_COUNT(expressions); i++) {
        filter.expression = expressions[i];
        filter.count = oracle_compile(expressions[i], true, filter.program);
        if (bpf_verify(filter.program, filter.count) != OK)
            refuse("libpcap made no program");
        filter.plain = bpf_compile(filter.program, filter.count, false);
        filter.guarded = bpf_compile(filter.program, filter.count, true);
        if (!filter.plain || !filter.guarded)
            refuse("out of memory");
        race(&filter, "one that matches", &match, 1, passes);
        if (frame_count > 0)
            race(&filter, "real frames", frames, frame_count, passes);
        code_free(filter.plain);
        code_free(filter.guarded);
    }
    return 0;
}
