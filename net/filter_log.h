/* What rules with `log` have decided, on its way from the datapath to the log. A core notes a
 * packet in a few words and writes the line at the end of its step. So many lines a second and
 * core; what is beyond that is counted, and told with the next one that is written. */
#pragma once

#include "kernel/base/rate.h"
#include "kernel/base/types.h"
#include "net/filter.h"

struct core;

enum {
    FILTER_LOG_PER_SECOND = 10, /* and core */
    FILTER_LOG_BURST = 8,
    FILTER_NOTE_MAX = FILTER_LOG_BURST, /* in a step */
};

struct filter_note {
    uint32_t words[FILTER_WORD_COUNT]; /* of the packet */
    uint16_t number;                   /* of the rule */
    uint8_t family, action;
};

struct filter_log {
    struct rate rate;
    uint64_t untold; /* since the last line */
    unsigned count;
    struct filter_note notes[FILTER_NOTE_MAX];
};

void filter_log_init(struct filter_log *log, uint64_t now_ns);

/* Packet i of the keys, all words of which are there, decided by rules[rule]. */
void filter_log_note(struct filter_log *log, const struct filter *filter, unsigned rule,
                     const struct filter_keys *keys, unsigned i, uint64_t now_ns);

/* At the end of a step that has noted something. */
void filter_log_write(struct core *core);
