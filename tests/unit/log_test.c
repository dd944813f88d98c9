/* The log: entries in order, the oldest overwritten, long texts cut, an echo where one is wanted.
 */
#include "kernel/base/log.h"

#include <string.h>

#include "kernel/platform.h"
#include "tests/unit/test.h"

static unsigned echoed;

static void count_echo(const struct log_entry *entry)
{
    EXPECT(entry->sequence > 0);
    echoed++;
}

TEST(log_keeps_level_subject_text_and_time)
{
    host_clock_virtual(77);
    log_warning("arp", "%pI4 moved to %s", (const void *)(uint8_t[]){ 10, 0, 0, 1 }, "eth1");
    const struct log_ring *ring = core_current()->log;
    const struct log_entry *entry = &ring->entries[0];
    EXPECT_EQUAL(ring->written, 1);
    EXPECT_EQUAL(entry->sequence, 1);
    EXPECT_EQUAL(entry->time_ns, 77);
    EXPECT_EQUAL(entry->level, LOG_WARNING);
    EXPECT_EQUAL(entry->core, 0);
    EXPECT_TEXT(entry->subject, "arp");
    EXPECT_TEXT(entry->text, "10.0.0.1 moved to eth1");
}

TEST(log_overwrites_the_oldest)
{
    for (unsigned i = 1; i <= LOG_ENTRY_MAX + 3; i++)
        log_info("test", "line %u", i);
    const struct log_ring *ring = core_current()->log;
    EXPECT_TEXT(ring->entries[2].text, "line 259");
    EXPECT_EQUAL(ring->entries[2].sequence, LOG_ENTRY_MAX + 3);
    EXPECT_EQUAL(ring->entries[3].sequence, 4);
}

TEST(log_cuts_long_lines)
{
    char line[LOG_TEXT_MAX * 2];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\0';
    log_error("a subject that is too long", "%s", line);
    const struct log_entry *entry = &core_current()->log->entries[0];
    EXPECT_EQUAL(strlen(entry->text), LOG_TEXT_MAX - 1);
    EXPECT_EQUAL(strlen(entry->subject), sizeof(entry->subject) - 1);
}

TEST(log_echoes_where_asked)
{
    core_current()->log->echo = count_echo;
    log_debug("test", "one");
    log_info("test", "two");
    core_current()->log->echo = NULL;
    log_info("test", "three");
    EXPECT_EQUAL(echoed, 2);
}

TEST(logging_without_a_ring_does_nothing)
{
    struct cpu cpu = { .index = 3 };
    host_core_enter(&cpu);
    log_info("test", "lost");
    host_core_enter(NULL);
    EXPECT_EQUAL(core_current()->log->written, 0);
}

TEST(every_log_level_has_a_name)
{
    EXPECT_TEXT(log_level_name(LOG_ERROR), "error");
    EXPECT_TEXT(log_level_name(LOG_WARNING), "warning");
    EXPECT_TEXT(log_level_name(LOG_INFO), "info");
    EXPECT_TEXT(log_level_name(LOG_DEBUG), "debug");
    EXPECT_TEXT(log_level_name((enum log_level)9), "unknown");
}

TEST(log_entry_that_is_written_over_is_not_read)
{
    struct log_ring *ring = core_current()->log;
    struct log_entry entry;
    log_info("test", "first");
    uint64_t first = ring->written;
    EXPECT(log_read(ring, first, &entry));
    EXPECT_EQUAL(entry.sequence, first);
    ring->entries[(first - 1) % LOG_ENTRY_MAX].sequence = 0; /* as in the middle of log_write() */
    EXPECT(!log_read(ring, first, &entry));
    for (unsigned i = 0; i < LOG_ENTRY_MAX; i++)
        log_info("test", "later");
    EXPECT(!log_read(ring, first, &entry));
    EXPECT(log_read(ring, first + LOG_ENTRY_MAX, &entry));
}
