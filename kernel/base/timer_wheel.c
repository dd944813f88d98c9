/* The timer wheel.
 *
 *   level 0: 256 slots of 1 ms         [ ][*][ ] ...   fires
 *   level 1: 256 slots of 256 ms       [ ][*][ ] ...   opened into level 0 when its time begins
 *   level 2: 256 slots of 65.5 s
 *   level 3: 256 slots of 4.66 h
 *
 * A timer lies in the finest level that can tell its tick from the present one's. The slot that the
 * present tick falls into has been opened, so at every level it is the last one to come round
 * again, not the first. The bits in `occupied` let time jump from one slot in use to the next. */
#include "kernel/base/timer_wheel.h"

#include <string.h>

enum {
    LEVELS = 4,
    SLOT_BITS = 8,
    SLOTS = 1 << SLOT_BITS,
    WORDS = SLOTS / 64,
};

static const uint64_t NEVER = UINT64_MAX;
static const uint64_t FARTHEST_TICKS = (1ull << (LEVELS * SLOT_BITS)) - 1;

/* The first tick that is not before the deadline: a timer never fires early. */
static uint64_t tick_of(uint64_t deadline_ns)
{
    return deadline_ns / NS_PER_MS + (deadline_ns % NS_PER_MS != 0);
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns)
{
    memset(wheel, 0, sizeof(*wheel));
    wheel->tick = now_ns / NS_PER_MS;
}

static void insert(struct timer_wheel *wheel, struct timer *timer, uint64_t tick)
{
    uint64_t distance = tick - wheel->tick;
    if (distance > FARTHEST_TICKS) {
        /* It lands in level 3, and opening that slot puts it in again by its deadline. */
        distance = FARTHEST_TICKS;
        tick = wheel->tick + distance;
    }
    unsigned level = 0;
    while (distance >> (SLOT_BITS * (level + 1)) != 0)
        level++;
    uint64_t block = tick >> (SLOT_BITS * level);
    wheel->quiet_until = MIN_OF(wheel->quiet_until, block << (SLOT_BITS * level));
    unsigned slot = block % SLOTS;

    struct timer **head = &wheel->slots[level][slot];
    timer->next = *head;
    timer->previous = head;
    if (timer->next != NULL)
        timer->next->previous = &timer->next;
    *head = timer;
    wheel->occupied[level][slot / 64] |= 1ull << (slot % 64);
}

static void unlink_timer(struct timer *timer)
{
    *timer->previous = timer->next;
    if (timer->next != NULL)
        timer->next->previous = timer->previous;
    timer->next = NULL;
    timer->previous = NULL;
}

void timer_set(struct timer_wheel *wheel, struct timer *timer, uint64_t deadline_ns)
{
    timer_cancel(wheel, timer);
    timer->deadline_ns = deadline_ns;
    insert(wheel, timer, MAX_OF(tick_of(deadline_ns), wheel->tick + 1));
    wheel->count++;
}

void timer_cancel(struct timer_wheel *wheel, struct timer *timer)
{
    if (!timer_is_set(timer))
        return;
    struct timer **previous = timer->previous;
    unlink_timer(timer);
    wheel->count--;

    /* Was it the last of a slot? (`previous` may also be another timer, or a list being fired.) */
    struct timer **first = &wheel->slots[0][0];
    if (*previous == NULL && previous >= first && previous < first + LEVELS * SLOTS) {
        size_t index = (size_t)(previous - first);
        unsigned level = (unsigned)(index / SLOTS);
        unsigned slot = (unsigned)(index % SLOTS);
        wheel->occupied[level][slot / 64] &= ~(1ull << (slot % 64));
    }
}

/* How many slots after `current` the next one in use lies: 1 to SLOTS, or 0 where none is. */
static unsigned slots_ahead(const uint64_t occupied[WORDS], unsigned current)
{
    unsigned start = (current + 1) % SLOTS;
    /* The word of `start` comes twice: first its upper part, at the end its lower part. */
    for (unsigned i = 0; i <= WORDS; i++) {
        unsigned word = (start / 64 + i) % WORDS;
        uint64_t bits = occupied[word];
        uint64_t from_start = UINT64_MAX << (start % 64);
        if (i == 0)
            bits &= from_start;
        else if (i == WORDS)
            bits &= ~from_start;
        if (bits != 0) {
            unsigned slot = word * 64 + (unsigned)__builtin_ctzll(bits);
            return (slot - start + SLOTS) % SLOTS + 1;
        }
    }
    return 0;
}

/* The tick at which the next slot fires or is to be opened. */
static uint64_t next_tick(const struct timer_wheel *wheel)
{
    uint64_t next = NEVER;
    for (unsigned level = 0; level < LEVELS; level++) {
        uint64_t block = wheel->tick >> (SLOT_BITS * level);
        unsigned ahead = slots_ahead(wheel->occupied[level], block % SLOTS);
        if (ahead == 0)
            continue;
        uint64_t tick = (block + ahead) << (SLOT_BITS * level);
        next = MIN_OF(next, tick);
    }
    return next;
}

uint64_t timer_wheel_deadline(const struct timer_wheel *wheel)
{
    if (wheel->count == 0)
        return NEVER;
    return next_tick(wheel) * NS_PER_MS;
}

/* Moves the timers of the present tick's slot to *list, whose timers stay cancellable. */
static void take_slot(struct timer_wheel *wheel, unsigned level, struct timer **list)
{
    unsigned slot = (wheel->tick >> (SLOT_BITS * level)) % SLOTS;
    *list = wheel->slots[level][slot];
    if (*list != NULL)
        (*list)->previous = list;
    wheel->slots[level][slot] = NULL;
    wheel->occupied[level][slot / 64] &= ~(1ull << (slot % 64));
}

static void open_slot(struct timer_wheel *wheel, unsigned level)
{
    struct timer *list;
    take_slot(wheel, level, &list);
    while (list != NULL) {
        struct timer *timer = list;
        unlink_timer(timer);
        insert(wheel, timer, tick_of(timer->deadline_ns));
    }
}

static void fire_slot(struct timer_wheel *wheel, uint64_t now_ns)
{
    struct timer *list;
    take_slot(wheel, 0, &list);
    while (list != NULL) {
        struct timer *timer = list;
        unlink_timer(timer);
        wheel->count--;
        timer->expired(timer, now_ns);
    }
}

void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ns)
{
    uint64_t now_tick = now_ns / NS_PER_MS;
    if (now_tick < wheel->quiet_until) { /* nearly always: looking for the next slot takes longer */
        wheel->tick = MAX_OF(wheel->tick, now_tick);
        return;
    }
    while (wheel->tick < now_tick) {
        uint64_t tick = wheel->count > 0 ? next_tick(wheel) : NEVER;
        wheel->quiet_until = tick;
        if (tick > now_tick) {
            wheel->tick = now_tick;
            return;
        }
        wheel->tick = tick;
        for (unsigned level = LEVELS - 1; level > 0; level--) {
            if (tick % (1ull << (SLOT_BITS * level)) == 0)
                open_slot(wheel, level);
        }
        fire_slot(wheel, now_ns);
    }
}
