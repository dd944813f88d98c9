/* Code in pages of its own, which are writable until mprotect() makes them executable, never both.
 * An unsealed entry cannot be executed, a freed one is not mapped: a use of either ends the
 * process. bytes and entry are one place, so what is sealed is what was written there. */
#include <string.h>
#include <sys/mman.h>

#include "kernel/platform.h"
#include "tests/host/host.h"

enum { TRAP = 0xcc }; /* int3 */

_Atomic uint32_t code_generation;

static size_t room = SIZE_MAX; /* bytes that may be taken, those that are taken included */
static size_t taken;

void host_limit_code(size_t bytes)
{
    room = bytes;
}

static size_t mapped_bytes(size_t size_bytes)
{
    return (size_bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

struct code *code_alloc(size_t size)
{
    CHECK(size > 0);
    if (size > CODE_BYTES_MAX || taken > room || size > room - taken)
        return NULL;
    struct code *code = memory_alloc(sizeof(*code), 0, MEMORY_CODE);
    if (!code)
        return NULL;
    void *pages =
        mmap(NULL, mapped_bytes(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        memory_free(code);
        return NULL;
    }
    memset(pages, TRAP, mapped_bytes(size));
    taken += size;
    *code = (struct code){ .bytes = pages, .entry = pages, .size_bytes = size };
    return code;
}

enum error code_seal(struct code *code)
{
    CHECK(code->bytes != NULL);
    if (mprotect(code->bytes, mapped_bytes(code->size_bytes), PROT_READ | PROT_EXEC) != 0)
        return fail(ERROR_NO_MEMORY);
    code->bytes = NULL;
    atomic_fetch_add_explicit(&code_generation, 1, memory_order_release);
    return OK;
}

void code_free(struct code *code)
{
    if (!code)
        return;
    taken -= code->size_bytes;
    CHECK(munmap((void *)code->entry, mapped_bytes(code->size_bytes)) == 0);
    memory_free(code);
}
