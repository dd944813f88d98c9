/* What is left when nothing else works, and what goes by the name of power. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernel/platform.h"
#include "tests/host/host.h"

static void (*output_capture)(const char *text, size_t length);

void host_capture_output(void (*capture)(const char *text, size_t length))
{
    output_capture = capture;
}

void platform_write(const char *text, size_t length)
{
    if (output_capture != NULL) {
        output_capture(text, length);
        return;
    }
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, text, length);
        if (written <= 0)
            return;
        text += written;
        length -= (size_t)written;
    }
}

void platform_panic(const char *file, int line, const char *text)
{
    fprintf(stderr, "panic: %s (%s:%d, core %u)\n", text, file, line, core_current()->index);
    abort();
}

void platform_exit(int code)
{
    exit(code);
}

void platform_power_off(void)
{
    exit(EXIT_SUCCESS);
}

void platform_restart(void)
{
    exit(EXIT_SUCCESS);
}

const char *platform_name(void)
{
    return "process";
}
