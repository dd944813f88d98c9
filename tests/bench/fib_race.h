/* Who looks up faster: several tables (FIBs, filters) in one process and in turns, over several
 * traces. In each pass, over each trace, everybody goes over all addresses twice, in bursts as the
 * datapath's, and the second time counts: so each has its own table in the caches, as far as they
 * go. Every other pass goes backwards, as whoever follows another one with the same table finds
 * more of it there. Cycles are of the time stamp counter; minima tell what is ours, medians what
 * the machine's other guests do. */
#pragma once

#include "kernel/base/types.h"

enum {
    TRACE_LENGTH = 1 << 20,
    HOT_LENGTH = 4096,
    BURST = BATCH_MAX,
    BUILDS = 5,
};

struct subject {
    const char *name;
    void (*choose)(const struct subject *subject); /* may be NULL */
    void (*run)(const struct subject *subject, const void *trace);
    void *table;
    unsigned choice;
    bool ours; /* measured by the best of the peers */
    bool peer;
    bool few; /* holds fewer routes, and is compared with nobody */
};

struct race {
    const char *trace_names[8];
    const void *traces[8];
    unsigned trace_count;
    struct subject subjects[24];
    unsigned subject_count;
    unsigned passes;
    double *cycles; /* [subject][trace][pass] */
};

_Noreturn void refuse(const char *why);
void *need(void *memory);
uint64_t cpu_ns(void);
/* Their first argument. */
unsigned race_passes(int argc, char **argv);
/* Large pages and a processor of its own for DPDK. */
void race_start_dpdk(void);
void race_add_trace(struct race *race, const char *name, const void *trace);
/* A copy of it; the name, too, is copied, with what is behind it. */
void race_add(struct race *race, const struct subject *subject, const char *behind);
/* Which of the flows each of TRACE_LENGTH packets belongs to: the k-th comes 1/k as often as the
 * first. */
void zipf_flows(unsigned *flows, unsigned flow_count, uint64_t *random_state);
void race_run(struct race *race);
void race_report(const struct race *race);
/* A line of the table of builds. */
void report_build(const char *name, uint64_t took_ns, size_t bytes);

/* Somebody reads them: DPDK's inlined lookups would vanish otherwise. */
static inline void use_answers(const void *answers)
{
    __asm__ volatile("" : : "r"(answers) : "memory");
}
