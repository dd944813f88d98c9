/* The log ring of the running core. Entries are written in place; the oldest is overwritten. */
#include "kernel/base/log.h"

#include "kernel/platform.h"

void log_write(enum log_level level, const char *subject, const char *format, ...)
{
    struct cpu *cpu = core_current();
    struct log_ring *ring = cpu->log;
    if (ring == NULL)
        return;

    uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    struct log_entry *entry = &ring->entries[written % LOG_ENTRY_MAX];
    entry->sequence = 0;
    atomic_thread_fence(memory_order_release);
    entry->time_ns = clock_ns();
    entry->level = level;
    entry->core = cpu->index;

    struct text name = text_of(entry->subject, sizeof(entry->subject));
    text_print(&name, "%s", subject);
    struct text text = text_of(entry->text, sizeof(entry->text));
    va_list args;
    va_start(args, format);
    text_print_args(&text, format, args);
    va_end(args);

    atomic_thread_fence(memory_order_release);
    entry->sequence = written + 1;
    atomic_store_explicit(&ring->written, written + 1, memory_order_release);
    if (ring->echo != NULL)
        ring->echo(entry);
}

bool log_read(const struct log_ring *ring, uint64_t sequence, struct log_entry *out)
{
    const struct log_entry *entry = &ring->entries[(sequence - 1) % LOG_ENTRY_MAX];
    *out = *entry;
    atomic_thread_fence(memory_order_acquire);
    return out->sequence == sequence && *(const volatile uint64_t *)&entry->sequence == sequence;
}

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {
        [LOG_ERROR] = "error",
        [LOG_WARNING] = "warning",
        [LOG_INFO] = "info",
        [LOG_DEBUG] = "debug",
    };
    return (unsigned)level < ARRAY_COUNT(names) ? names[level] : "unknown";
}
