/* The timer wheel against a list that is searched whole each time. Same work on both: in each step
 * some timers are set, moved and cancelled, then time moves on, by a little or by weeks; both must
 * fire the same timers in this step. */
#include "kernel/base/timer_wheel.h"

#include <string.h>

#include "kernel/platform.h"
#include "tests/unit/test.h"

enum { TIMER_COUNT = 200, STEPS = 20000 };

static const uint64_t DAY_NS = 86400ull * NS_PER_S;

struct subject {
    struct timer timer;
    unsigned fired;
    uint64_t fired_ns;
    /* What the twin knows. */
    bool set;
    uint64_t due_tick;
    unsigned expected;
};

static struct timer_wheel wheel;
static struct subject subjects[TIMER_COUNT];
static unsigned total_fired;

static void on_expiry(struct timer *timer, uint64_t now_ns)
{
    struct subject *subject = CONTAINER_OF(timer, struct subject, timer);
    EXPECT(!timer_is_set(timer));
    EXPECT(now_ns >= timer->deadline_ns);
    subject->fired++;
    subject->fired_ns = now_ns;
    total_fired++;
}

static uint64_t chance(uint64_t below)
{
    uint64_t value;
    random_bytes(&value, sizeof(value));
    return value % below;
}

/* Spans of all sizes, so that all levels are used. */
static uint64_t chance_span(void)
{
    static const uint64_t most[] = { NS_PER_MS, 300ull * NS_PER_MS, 70ull * NS_PER_S, 0, 0 };
    switch (chance(5)) {
    case 3:
        return chance(DAY_NS);
    case 4:
        return chance(200 * DAY_NS);
    default:
        return chance(most[chance(3)]);
    }
}

static void twin_set(struct subject *subject, uint64_t deadline_ns)
{
    uint64_t tick = deadline_ns / NS_PER_MS + (deadline_ns % NS_PER_MS != 0);
    subject->due_tick = MAX_OF(tick, wheel.tick + 1);
    subject->set = true;
}

static void twin_advance(uint64_t now_ns)
{
    for (unsigned i = 0; i < TIMER_COUNT; i++) {
        struct subject *subject = &subjects[i];
        if (subject->set && subject->due_tick <= now_ns / NS_PER_MS) {
            subject->set = false;
            subject->expected++;
        }
    }
}

static uint64_t twin_next_ns(void)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < TIMER_COUNT; i++) {
        if (subjects[i].set)
            next = MIN_OF(next, subjects[i].due_tick * NS_PER_MS);
    }
    return next;
}

TEST(timer_wheel_agrees_with_a_list)
{
    uint64_t now_ns = 12345678901ull;
    host_random_seed(2);
    timer_wheel_init(&wheel, now_ns);
    for (unsigned i = 0; i < TIMER_COUNT; i++)
        subjects[i].timer.expired = on_expiry;

    for (unsigned step = 0; step < STEPS; step++) {
        for (uint64_t n = chance(8); n > 0; n--) {
            struct subject *subject = &subjects[chance(TIMER_COUNT)];
            if (chance(4) == 0) {
                timer_cancel(&wheel, &subject->timer);
                subject->set = false;
                continue;
            }
            uint64_t deadline_ns = now_ns + chance_span() - MIN_OF(now_ns, chance(2 * NS_PER_MS));
            timer_set(&wheel, &subject->timer, deadline_ns);
            twin_set(subject, deadline_ns);
        }

        uint64_t next_ns = twin_next_ns();
        uint64_t wake_ns = timer_wheel_deadline(&wheel);
        EXPECT(wake_ns <= next_ns);
        EXPECT((wake_ns == UINT64_MAX) == (next_ns == UINT64_MAX));
        if (next_ns / NS_PER_MS < (wheel.tick | 255))
            EXPECT_EQUAL(wake_ns, next_ns);

        /* Sometimes as a core does that sleeps until the deadline. */
        if (wake_ns != UINT64_MAX && chance(2) == 0)
            now_ns = MAX_OF(now_ns, wake_ns);
        else
            now_ns += chance_span();
        timer_wheel_advance(&wheel, now_ns);
        twin_advance(now_ns);

        unsigned set = 0;
        for (unsigned i = 0; i < TIMER_COUNT; i++) {
            EXPECT_EQUAL(subjects[i].fired, subjects[i].expected);
            EXPECT_EQUAL(timer_is_set(&subjects[i].timer), subjects[i].set);
            set += subjects[i].set;
        }
        EXPECT_EQUAL(wheel.count, set);
    }
    EXPECT(total_fired > STEPS / 2);
}

TEST(timer_fires_in_its_tick_and_not_before)
{
    static struct subject one = { .timer.expired = on_expiry };
    timer_wheel_init(&wheel, 0);
    timer_set(&wheel, &one.timer, 1500000);
    EXPECT_EQUAL(timer_wheel_deadline(&wheel), 2 * NS_PER_MS);
    timer_wheel_advance(&wheel, 1999999);
    EXPECT_EQUAL(one.fired, 0);
    timer_wheel_advance(&wheel, 2000000);
    EXPECT_EQUAL(one.fired, 1);
    EXPECT_EQUAL(timer_wheel_deadline(&wheel), UINT64_MAX);
}

TEST(timer_in_the_past_fires_at_the_next_tick)
{
    static struct subject one = { .timer.expired = on_expiry };
    timer_wheel_init(&wheel, 5ull * NS_PER_S);
    timer_set(&wheel, &one.timer, 0);
    timer_wheel_advance(&wheel, 5ull * NS_PER_S);
    EXPECT_EQUAL(one.fired, 0);
    timer_wheel_advance(&wheel, 5ull * NS_PER_S + NS_PER_MS);
    EXPECT_EQUAL(one.fired, 1);
}

TEST(timer_that_never_comes_goes_round_for_years)
{
    static struct subject never = { .timer.expired = on_expiry };
    timer_wheel_init(&wheel, 0);
    timer_set(&wheel, &never.timer, UINT64_MAX);
    timer_wheel_advance(&wheel, 5000 * DAY_NS);
    EXPECT_EQUAL(never.fired, 0);
    timer_wheel_advance(&wheel, UINT64_MAX - NS_PER_S);
    EXPECT_EQUAL(never.fired, 0);
    EXPECT(timer_is_set(&never.timer));
    timer_cancel(&wheel, &never.timer);
}

TEST(an_idle_wheel_sleeps_until_its_timer)
{
    static struct subject one = { .timer.expired = on_expiry };
    unsigned wakes = 0;
    timer_wheel_init(&wheel, 77ull * NS_PER_S);
    timer_set(&wheel, &one.timer, 30 * DAY_NS);
    while (timer_is_set(&one.timer)) {
        timer_wheel_advance(&wheel, timer_wheel_deadline(&wheel));
        wakes++;
    }
    EXPECT_EQUAL(one.fired_ns, 30 * DAY_NS);
    EXPECT(wakes <= 4); /* one for each level */
}

/* A callback may do anything with any timer: here each cancels its right neighbor, which is due in
 * the same tick, and sets itself again. */
static void on_expiry_meddle(struct timer *timer, uint64_t now_ns)
{
    struct subject *subject = CONTAINER_OF(timer, struct subject, timer);
    size_t index = (size_t)(subject - subjects);
    subject->fired++;
    timer_cancel(&wheel, &subjects[(index + 1) % TIMER_COUNT].timer);
    timer_set(&wheel, timer, now_ns);
}

TEST(timer_callbacks_may_cancel_and_set_timers)
{
    timer_wheel_init(&wheel, 0);
    for (unsigned i = 0; i < TIMER_COUNT; i++) {
        subjects[i].timer.expired = on_expiry_meddle;
        timer_set(&wheel, &subjects[i].timer, 10 * NS_PER_MS);
    }
    timer_wheel_advance(&wheel, 10 * NS_PER_MS);
    for (unsigned i = 0; i < TIMER_COUNT; i++) {
        EXPECT(subjects[i].fired <= 1);
        EXPECT(subjects[i].fired == 1 || subjects[(i + TIMER_COUNT - 1) % TIMER_COUNT].fired == 1);
    }
    unsigned set = 0;
    for (unsigned i = 0; i < TIMER_COUNT; i++)
        set += timer_is_set(&subjects[i].timer);
    EXPECT_EQUAL(wheel.count, set);
    EXPECT(set > 0);
}

/* A timer that always sets itself into the past costs one call a tick, not an endless loop. */
TEST(timer_that_sets_itself_fires_once_a_tick)
{
    timer_wheel_init(&wheel, 0);
    subjects[0].timer.expired = on_expiry_meddle;
    timer_set(&wheel, &subjects[0].timer, 0);
    timer_wheel_advance(&wheel, NS_PER_MS);
    EXPECT_EQUAL(subjects[0].fired, 1);
    timer_wheel_advance(&wheel, NS_PER_MS);
    EXPECT_EQUAL(subjects[0].fired, 1);
    timer_wheel_advance(&wheel, 2 * NS_PER_MS);
    EXPECT_EQUAL(subjects[0].fired, 2);
}
