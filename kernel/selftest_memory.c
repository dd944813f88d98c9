#include "kernel/selftest_memory.h"

#include <string.h>

#include "kernel/memory.h"
#include "kernel/platform.h"

enum { MISUSE_BYTES = 100 };

/* The bytes are volatile: a compiler that sees through it would leave the mistake out. */
static void free_twice(volatile char *block)
{
    memory_free((void *)block);
    memory_free((void *)block);
}

static void leak(volatile char *block)
{
    block[0] = 1;
}

static void overrun(volatile char *block)
{
    block[MISUSE_BYTES] = 1;
    memory_free((void *)block);
}

static void use_after_free(volatile char *block)
{
    memory_free((void *)block);
    block[0] = 1;
}

static const struct {
    const char *word;
    void (*run)(volatile char *block);
    bool harmless; /* in a release build, too */
} misuses[] = {
    { "double-free", free_twice, true },
    { "leak", leak, true },
    { "overrun", overrun, false },
    { "use-after-free", use_after_free, false },
};

enum error selftest_memory(const char *word)
{
    for (size_t i = 0; i < ARRAY_COUNT(misuses); i++) {
        if (strcmp(misuses[i].word, word) != 0)
            continue;
        if (!misuses[i].harmless && !memory_is_recorded())
            return fail(ERROR_UNSUPPORTED);
        char *block = memory_alloc(MISUSE_BYTES, 0, MEMORY_TEST);
        if (!block)
            return fail(ERROR_NO_MEMORY);
        misuses[i].run(block);
        return OK;
    }
    return fail(ERROR_NOT_FOUND);
}
