/* Characters on their way to a reader: a sink is whoever takes them, an output keeps them until the
 * reader is ready. Lines end in \n in here; the session makes CR LF of it. */
#pragma once

#include "kernel/base/types.h"

/* Takes everything; what it cannot keep it counts against itself, not against the writer. */
struct sink {
    void (*put)(void *context, const char *bytes, size_t length);
    void *context;
};

static inline void sink_put(const struct sink *sink, const char *bytes, size_t length)
{
    if (length > 0)
        sink->put(sink->context, bytes, length);
}

void sink_print(const struct sink *sink, const char *format, ...)
    PRINTF_LIKE(2, 3); /* 255 bytes at most */
void sink_spaces(const struct sink *sink, unsigned count);

enum {
    OUTPUT_MAX_BYTES = 16 << 20, /* an answer that cannot pause: the longest configuration */
    OUTPUT_HIGH_BYTES = 8 << 10, /* above this, an answer that can pause does */
    OUTPUT_KEEP_BYTES = 4 << 10, /* allocated for good, so that a prompt never fails */
};

/* A buffer that grows as needed up to OUTPUT_MAX_BYTES. */
struct output {
    char *bytes;
    size_t start, end, room; /* [start, end) waits to be read */
    bool lost;               /* something did not fit, or there was no memory for it */
};

enum error output_init(struct output *output) MUST_CHECK;
void output_destroy(struct output *output);
void output_put(struct output *output, const char *bytes, size_t length);
struct sink output_sink(struct output *output);
void output_taken(struct output *output, size_t length); /* the reader has consumed that much */

static inline size_t output_waiting(const struct output *output)
{
    return output->end - output->start;
}
