/* What `show memory` calls the owners of memory. */
#include "kernel/platform.h"

static const char *const names[] = {
    [MEMORY_MISC] = "misc",     [MEMORY_BOOT] = "boot",         [MEMORY_STACK] = "stack",
    [MEMORY_PACKET] = "packet", [MEMORY_RING] = "ring",         [MEMORY_DRIVER] = "driver",
    [MEMORY_CORE] = "core",     [MEMORY_CONFIG] = "config",     [MEMORY_ROUTE] = "route",
    [MEMORY_FIB] = "fib",       [MEMORY_NEIGHBOR] = "neighbor", [MEMORY_FRAGMENT] = "fragment",
    [MEMORY_SOCKET] = "socket", [MEMORY_SHELL] = "shell",       [MEMORY_LOG] = "log",
    [MEMORY_FILTER] = "filter", [MEMORY_CODE] = "code",         [MEMORY_TEST] = "test",
};
_Static_assert(ARRAY_COUNT(names) == MEMORY_TAG_COUNT, "every tag has a name");

const char *memory_tag_name(enum memory_tag tag)
{
    return (unsigned)tag < MEMORY_TAG_COUNT ? names[tag] : "unknown";
}
