/* The seam's code on the bare machine. Its place is CODE_BASE of kernel/x86/paging.h, one large
 * page that every core can execute and none can write, cut into grains; code is written to memory
 * of the heap and copied there when it is sealed, through the writer's window.
 *
 * Code that is sealed lies in grains of its own, so what a core runs and what is copied beside it
 * share no cache line. Gaps hold traps. */
#include <string.h>

#include "kernel/platform.h"
#include "kernel/x86/paging.h"

enum {
    GRAIN_BYTES = 1024,
    GRAINS = CODE_ARENA_BYTES / GRAIN_BYTES,
    OPEN_BYTES = 16 * 1024, /* copied with interrupts off at a time */
};
_Static_assert(CODE_BYTES_MAX <= (int)CODE_ARENA_BYTES, "all code that is allowed has room once");
_Static_assert(GRAIN_BYTES % (int)CACHE_LINE_BYTES == 0, "entries begin at cache lines");

_Atomic uint32_t code_generation;

static bool taken[GRAINS]; /* the control core's */

static unsigned grains_of(size_t size_bytes)
{
    return (unsigned)((size_bytes + GRAIN_BYTES - 1) / GRAIN_BYTES);
}

/* The first of `count` free grains in a row; GRAINS: there are none. */
static unsigned find_grains(unsigned count)
{
    unsigned run = 0;
    for (unsigned i = 0; i < GRAINS; i++) {
        run = taken[i] ? 0 : run + 1;
        if (run == count)
            return i + 1 - count;
    }
    return GRAINS;
}

static unsigned first_grain(const struct code *code)
{
    return (unsigned)(((uint64_t)code->entry - CODE_BASE) / GRAIN_BYTES);
}

static void mark_grains(const struct code *code, bool mark)
{
    memset(&taken[first_grain(code)], mark, grains_of(code->size_bytes));
}

/* The code's grains become its bytes, traps behind them; without bytes traps altogether. */
static void fill_grains(const struct code *code, const uint8_t *bytes)
{
    size_t end = (size_t)grains_of(code->size_bytes) * GRAIN_BYTES;
    char *target = (char *)CODE_WRITER + ((uint64_t)code->entry - CODE_BASE);
    for (size_t at = 0; at < end; at += OPEN_BYTES) {
        size_t length = MIN_OF(end - at, (size_t)OPEN_BYTES);
        size_t left = bytes && at < code->size_bytes ? code->size_bytes - at : 0;
        size_t copied = MIN_OF(length, left);
        uint64_t opened = paging_code_open();
        if (copied > 0)
            memcpy(target + at, bytes + at, copied);
        memset(target + at + copied, CODE_TRAP, length - copied);
        paging_code_close(opened);
    }
}

struct code *code_alloc(size_t size)
{
    CHECK(size > 0);
    if (size > CODE_BYTES_MAX || !paging_has_code())
        return NULL;
    unsigned grain = find_grains(grains_of(size));
    if (grain == GRAINS)
        return NULL;
    struct code *code = memory_alloc(sizeof(*code), 0, MEMORY_CODE);
    if (!code)
        return NULL;
    code->bytes = memory_alloc_uncleared(size, 0, MEMORY_CODE);
    if (!code->bytes) {
        memory_free(code);
        return NULL;
    }
    memset(code->bytes, CODE_TRAP, size);
    code->entry = (const void *)(CODE_BASE + (uint64_t)grain * GRAIN_BYTES);
    code->size_bytes = size;
    mark_grains(code, true);
    return code;
}

enum error code_seal(struct code *code)
{
    CHECK(code->bytes != NULL);
    fill_grains(code, code->bytes);
    memory_free(code->bytes);
    code->bytes = NULL;
    atomic_fetch_add_explicit(&code_generation, 1, memory_order_release);
    return OK;
}

void code_free(struct code *code)
{
    if (!code)
        return;
    if (!code->bytes)
        fill_grains(code, NULL);
    mark_grains(code, false);
    memory_free(code->bytes);
    memory_free(code);
}
