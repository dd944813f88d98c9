/* Coroutines by ucontext, on stacks of their own with a guard page at the lower end. */
#include <sys/mman.h>
#include <ucontext.h>

#include "kernel/platform.h"
#include "tests/host/host.h"
#include "tests/host/sanitizer.h"

/* Four times the kernel's: the frames of sanitized code are larger. */
enum { STACK_BYTES = 1024 * 1024 };

struct coroutine {
    void (*entry)(void *arg);
    void *arg;
    bool ended;
    uint8_t *mapping; /* guard page, then the stack */
    uint8_t *stack;
    ucontext_t inside, outside;
    /* AddressSanitizer's. */
    void *fake_stack;
    const void *outside_stack;
    size_t outside_stack_bytes;
};

/* makecontext() passes integers only. */
static void run(unsigned high, unsigned low)
{
    struct coroutine *coroutine = (void *)((uintptr_t)high << 32 | low);
    sanitizer_enter_stack(NULL, &coroutine->outside_stack, &coroutine->outside_stack_bytes);
    coroutine->entry(coroutine->arg);
    coroutine->ended = true;
    sanitizer_leave_stack(NULL, coroutine->outside_stack, coroutine->outside_stack_bytes);
    setcontext(&coroutine->outside);
}

struct coroutine *coroutine_create(void (*entry)(void *arg), void *arg)
{
    struct coroutine *coroutine = memory_alloc(sizeof(*coroutine), 0, MEMORY_STACK);
    if (coroutine == NULL)
        return NULL;
    coroutine->mapping = mmap(NULL, PAGE_BYTES + STACK_BYTES, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (coroutine->mapping == MAP_FAILED)
        goto no_stack;
    coroutine->stack = coroutine->mapping + PAGE_BYTES;
    if (mprotect(coroutine->stack, STACK_BYTES, PROT_READ | PROT_WRITE) != 0)
        goto no_access;
    sanitizer_add_roots(coroutine->stack, STACK_BYTES);

    coroutine->entry = entry;
    coroutine->arg = arg;
    getcontext(&coroutine->inside);
    coroutine->inside.uc_stack.ss_sp = coroutine->stack;
    coroutine->inside.uc_stack.ss_size = STACK_BYTES;
    uintptr_t self = (uintptr_t)coroutine;
    makecontext(&coroutine->inside, (void (*)(void))run, 2, (unsigned)(self >> 32), (unsigned)self);
    return coroutine;

no_access:
    munmap(coroutine->mapping, PAGE_BYTES + STACK_BYTES);
no_stack:
    memory_free(coroutine);
    return NULL;
}

void coroutine_resume(struct coroutine *coroutine)
{
    if (coroutine->ended)
        return;
    void *fake_stack;
    sanitizer_leave_stack(&fake_stack, coroutine->stack, STACK_BYTES);
    swapcontext(&coroutine->outside, &coroutine->inside);
    sanitizer_enter_stack(fake_stack, NULL, NULL);
}

void coroutine_yield(struct coroutine *coroutine)
{
    sanitizer_leave_stack(&coroutine->fake_stack, coroutine->outside_stack,
                          coroutine->outside_stack_bytes);
    swapcontext(&coroutine->inside, &coroutine->outside);
    sanitizer_enter_stack(coroutine->fake_stack, &coroutine->outside_stack,
                          &coroutine->outside_stack_bytes);
}

void coroutine_destroy(struct coroutine *coroutine)
{
    if (coroutine == NULL)
        return;
    sanitizer_remove_roots(coroutine->stack, STACK_BYTES);
    munmap(coroutine->mapping, PAGE_BYTES + STACK_BYTES);
    memory_free(coroutine);
}
