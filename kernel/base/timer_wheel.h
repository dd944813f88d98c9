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
    uint64_t tick;           /* time up to which all has fired, in ms */
    uint64_t quiet_until;    /* nothing happens before that tick; perhaps even later */
    unsigned count;          /* timers that are set */
    uint64_t occupied[4][4]; /* a bit per slot that is not empty */
    struct timer *slots[4][256];
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns);
void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ns);

/* When advance must be called next: exact while the next timer is due within 256 ms, else the time
 * at which a coarser slot is to be opened, never later than what is due; UINT64_MAX when no timer
 * is set. */
uint64_t timer_wheel_deadline(const struct timer_wheel *wheel);

/* Sets or moves a timer. One in the past fires at the next tick; one farther away than the wheel's
 * 49 days goes round in it until it is due. */
void timer_set(struct timer_wheel *wheel, struct timer *timer, uint64_t deadline_ns);
void timer_cancel(struct timer_wheel *wheel, struct timer *timer);

static inline bool timer_is_set(const struct timer *timer)
{
    return timer->previous != NULL;
}
