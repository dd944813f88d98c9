/* Timers of one core: a hierarchical wheel, 4 levels of 256 slots, 1 ms a tick. Adding and removing
 * cost O(1). A timer belongs to one wheel and is embedded in what it serves; it never fires early.
 */
#pragma once

#include "kernel/base/types.h"

struct timer {
    struct timer *next, **previous; /* previous is NULL when it is not set */
    uint64_t deadline_ns;
    void (*expired)(struct timer *timer, uint64_t now_ns); /* may set or cancel any timer */
};

struct timer_wheel {
    uint64_t tick;  /* time up to which all has fired, in ms */
    unsigned count; /* timers that are set */
    struct timer *slots[4][256];
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns);
void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ns);

/* When advance must be called next: exact while something is due within 256 ms, else the end of the
 * lowest level; UINT64_MAX when no timer is set. */
uint64_t timer_wheel_deadline(const struct timer_wheel *wheel);

/* Sets or moves a timer; farther away than 49 days is brought near. */
void timer_set(struct timer_wheel *wheel, struct timer *timer, uint64_t deadline_ns);
void timer_cancel(struct timer_wheel *wheel, struct timer *timer);

static inline bool timer_is_set(const struct timer *timer)
{
    return timer->previous != NULL;
}
