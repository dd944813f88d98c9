/* Errors: each has its two names, and fail() leaves a trace. */
#include <string.h>

#include "kernel/base/trace.h"
#include "kernel/platform.h"
#include "tests/unit/test.h"

TEST(every_error_has_an_identifier_and_a_text)
{
    for (unsigned i = 0; i < ERROR_COUNT; i++) {
        const char *id = error_id((enum error)i);
        EXPECT(strlen(id) > 0 && strcmp(id, "unknown") != 0);
        EXPECT(strspn(id, "abcdefghijklmnopqrstuvwxyz-") == strlen(id));
        EXPECT(strlen(error_text((enum error)i)) > 0);
        for (unsigned j = 0; j < i; j++)
            EXPECT(strcmp(id, error_id((enum error)j)) != 0);
    }
    EXPECT_TEXT(error_id(ERROR_COUNT), "unknown");
    EXPECT_TEXT(error_id((enum error) - 1), "unknown");
    EXPECT_TEXT(error_text(ERROR_COUNT), "unknown error");
}

TEST(every_memory_tag_has_a_name)
{
    for (unsigned i = 0; i < MEMORY_TAG_COUNT; i++)
        EXPECT(memory_tag_name((enum memory_tag)i) != NULL);
    EXPECT_TEXT(memory_tag_name(MEMORY_FIB), "fib");
    EXPECT_TEXT(memory_tag_name(MEMORY_TAG_COUNT), "unknown");
}

TEST(fail_leaves_file_line_and_code_in_the_trace)
{
    int line = __LINE__ + 1;
    EXPECT_EQUAL(fail(ERROR_FULL), ERROR_FULL);
    const struct trace_ring *ring = core_current()->trace;
    const struct trace_event *event = &ring->events[(ring->written - 1) % TRACE_EVENT_MAX];
    EXPECT_TEXT(event->what, "full");
    EXPECT_TEXT(event->file, __FILE__);
    EXPECT_EQUAL(event->line, line);
    EXPECT_EQUAL(event->value, ERROR_FULL);
}

TEST(a_failed_check_panics_with_its_condition)
{
    volatile int one = 1;
    EXPECT_PANIC(CHECK(one == 2), "one == 2");
}

TEST(trace_keeps_the_newest_events)
{
    for (uint64_t i = 0; i < TRACE_EVENT_MAX + 10; i++)
        trace("step", i);
    const struct trace_ring *ring = core_current()->trace;
    EXPECT_EQUAL(ring->written, TRACE_EVENT_MAX + 10);
    EXPECT_EQUAL(ring->events[9].value, TRACE_EVENT_MAX + 9);
    EXPECT_EQUAL(ring->events[10].value, 10);
}

TEST(tracing_without_a_ring_does_nothing)
{
    struct cpu cpu = { .index = 0 };
    host_core_enter(&cpu);
    trace("lost", 1);
    EXPECT_EQUAL(fail(ERROR_BUSY), ERROR_BUSY);
    host_core_enter(NULL);
}
