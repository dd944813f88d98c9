/* The trace ring of the running core, and the two functions of types.h that write it: the origin of
 * an error and the end of everything. */
#include "kernel/base/trace.h"

#include "kernel/platform.h"

_Static_assert((TRACE_EVENT_MAX & (TRACE_EVENT_MAX - 1)) == 0, "the ring index is masked");

static void record(struct trace_event event)
{
    struct trace_ring *ring = core_current()->trace;
    if (ring == NULL)
        return;
    event.cycles = clock_cycles();
    ring->events[ring->written & (TRACE_EVENT_MAX - 1)] = event;
    ring->written++;
}

void trace(const char *what, uint64_t value)
{
    record((struct trace_event){ .what = what, .value = value });
}

enum error fail_at(enum error error, const char *file, int line)
{
    record((struct trace_event){
        .what = error_id(error), .value = error, .file = file, .line = line });
    return error;
}

void check_failed(const char *file, int line, const char *condition)
{
    record((struct trace_event){ .what = condition, .file = file, .line = line });
    platform_panic(file, line, condition);
}
