/* The buffer between a command and its console. It starts small and grows by doubling; once empty
 * it shrinks back, so that sixteen idle consoles cost next to nothing. */
#include "shell/output.h"

#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"

void sink_print(const struct sink *sink, const char *format, ...)
{
    char line[256];
    struct text text = text_of(line, sizeof(line));
    va_list args;
    va_start(args, format);
    text_print_args(&text, format, args);
    va_end(args);
    sink_put(sink, text.start, text.length);
}

void sink_spaces(const struct sink *sink, unsigned count)
{
    static const char spaces[] = "                                ";
    while (count > 0) {
        unsigned some = MIN_OF(count, (unsigned)sizeof(spaces) - 1);
        sink_put(sink, spaces, some);
        count -= some;
    }
}

enum error output_init(struct output *output)
{
    *output = (struct output){ .room = OUTPUT_KEEP_BYTES };
    output->bytes = memory_alloc(output->room, 0, MEMORY_SHELL);
    return output->bytes ? OK : fail(ERROR_NO_MEMORY);
}

void output_destroy(struct output *output)
{
    memory_free(output->bytes);
    *output = (struct output){ 0 };
}

/* Another buffer of `room` bytes with what waits at its beginning. */
static bool output_resize(struct output *output, size_t room)
{
    char *bytes = memory_alloc(room, 0, MEMORY_SHELL);
    if (!bytes)
        return false;
    size_t waiting = output_waiting(output);
    memcpy(bytes, output->bytes + output->start, waiting);
    memory_free(output->bytes);
    output->bytes = bytes;
    output->room = room;
    output->start = 0;
    output->end = waiting;
    return true;
}

static bool output_make_room(struct output *output, size_t length)
{
    size_t waiting = output_waiting(output);
    if (output->start > 0 && length <= output->room - waiting) {
        memmove(output->bytes, output->bytes + output->start, waiting);
        output->start = 0;
        output->end = waiting;
        return true;
    }
    if (length > OUTPUT_MAX_BYTES - waiting)
        return false;
    size_t room = output->room;
    while (room - waiting < length)
        room *= 2;
    return output_resize(output, room);
}

void output_put(struct output *output, const char *bytes, size_t length)
{
    if (output->lost && length > OUTPUT_KEEP_BYTES / 4)
        return;
    if (length > output->room - output->end && !output_make_room(output, length)) {
        output->lost = true;
        return;
    }
    memcpy(output->bytes + output->end, bytes, length);
    output->end += length;
}

static void put(void *context, const char *bytes, size_t length)
{
    output_put(context, bytes, length);
}

struct sink output_sink(struct output *output)
{
    return (struct sink){ .put = put, .context = output };
}

void output_taken(struct output *output, size_t length)
{
    CHECK(length <= output_waiting(output));
    output->start += length;
    if (output->start < output->end)
        return;
    output->start = output->end = 0;
    /* Without memory for the small buffer, the big one stays. */
    if (output->room > OUTPUT_KEEP_BYTES * 4)
        (void)!output_resize(output, OUTPUT_KEEP_BYTES);
}
