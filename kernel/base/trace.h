/* Events for developers: what happened last on each core, cheap enough for everywhere. A panic
 * prints the last of every core. fail() records itself here. */
#pragma once

#include "kernel/base/types.h"

enum { TRACE_EVENT_MAX = 256 }; /* per core, a power of two */

struct trace_event {
    uint64_t cycles;
    const char *what; /* a literal */
    uint64_t value;
    const char *file; /* literal; NULL where `what` says enough */
    int line;
};

struct trace_ring {
    uint64_t written;
    struct trace_event events[TRACE_EVENT_MAX];
};

void trace(const char *what, uint64_t value);
