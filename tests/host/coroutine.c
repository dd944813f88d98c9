/* Coroutines on stacks of their own with a guard page at the lower end. They change stacks by the
 * kernel's own instructions: swapcontext() asks Linux for the signal mask every time, and
 * AddressSanitizer's watch over it costs some system calls more. */
#include <sys/mman.h>

#include "kernel/platform.h"
#include "kernel/x86/coroutine_switch.h"
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
    uint64_t inside, outside; /* stack pointers of who is not running */
    /* AddressSanitizer's. */
    void *fake_stack;
    const void *outside_stack;
    size_t outside_stack_bytes;
    /* ThreadSanitizer's. */
    void *fiber, *outside_fiber;
};

void coroutine_run(struct coroutine *coroutine)
{
    sanitizer_enter_stack(NULL, &coroutine->outside_stack, &coroutine->outside_stack_bytes);
    coroutine->entry(coroutine->arg);
    coroutine->ended = true;
    sanitizer_leave_stack(NULL, coroutine->outside_stack, coroutine->outside_stack_bytes);
    sanitizer_enter_fiber(coroutine->outside_fiber);
    coroutine_switch(&coroutine->inside, coroutine->outside);
    platform_panic(__FILE__, __LINE__, "a coroutine that has ended was resumed");
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

    coroutine->fiber = sanitizer_create_fiber();

    coroutine->entry = entry;
    coroutine->arg = arg;
    struct first_frame *frame = (struct first_frame *)(coroutine->stack + STACK_BYTES) - 1;
    frame->rbx = (uint64_t)coroutine;
    frame->return_address = (uint64_t)coroutine_begin;
    coroutine->inside = (uint64_t)frame;
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
    coroutine->outside_fiber = sanitizer_current_fiber();
    sanitizer_enter_fiber(coroutine->fiber);
    coroutine_switch(&coroutine->outside, coroutine->inside);
    sanitizer_enter_stack(fake_stack, NULL, NULL);
}

void coroutine_yield(struct coroutine *coroutine)
{
    sanitizer_leave_stack(&coroutine->fake_stack, coroutine->outside_stack,
                          coroutine->outside_stack_bytes);
    sanitizer_enter_fiber(coroutine->outside_fiber);
    coroutine_switch(&coroutine->inside, coroutine->outside);
    sanitizer_enter_stack(coroutine->fake_stack, &coroutine->outside_stack,
                          &coroutine->outside_stack_bytes);
}

void coroutine_destroy(struct coroutine *coroutine)
{
    if (coroutine == NULL)
        return;
    sanitizer_remove_roots(coroutine->stack, STACK_BYTES);
    sanitizer_destroy_fiber(coroutine->fiber);
    munmap(coroutine->mapping, PAGE_BYTES + STACK_BYTES);
    memory_free(coroutine);
}
