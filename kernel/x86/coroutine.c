/* A second line of execution: a stack, and where on it to go on. */
#include "kernel/platform.h"
#include "kernel/x86/coroutine_switch.h"
#include "kernel/x86/stack.h"

struct coroutine {
    /* Set when created. */
    void (*entry)(void *arg);
    void *arg;
    struct stack *stack;
    /* Stack pointers of who is not running. */
    uint64_t inside;
    uint64_t outside;
    bool running;
    bool ended;
};

struct coroutine *coroutine_create(void (*entry)(void *arg), void *arg)
{
    struct coroutine *coroutine = memory_alloc(sizeof(*coroutine), 0, MEMORY_STACK);
    if (!coroutine)
        return NULL;
    coroutine->stack = stack_create(COROUTINE_STACK_BYTES, "coroutine");
    if (!coroutine->stack) {
        memory_free(coroutine);
        return NULL;
    }
    struct first_frame *frame = (struct first_frame *)stack_top(coroutine->stack) - 1;
    frame->rbx = (uint64_t)coroutine;
    frame->return_address = (uint64_t)coroutine_begin;
    coroutine->inside = (uint64_t)frame;
    coroutine->entry = entry;
    coroutine->arg = arg;
    return coroutine;
}

void coroutine_resume(struct coroutine *coroutine)
{
    CHECK(!coroutine->running);
    if (coroutine->ended)
        return;
    coroutine->running = true;
    coroutine_switch(&coroutine->outside, coroutine->inside);
    coroutine->running = false;
}

void coroutine_yield(struct coroutine *coroutine)
{
    CHECK(coroutine->running);
    coroutine_switch(&coroutine->inside, coroutine->outside);
}

void coroutine_run(struct coroutine *coroutine)
{
    coroutine->entry(coroutine->arg);
    coroutine->ended = true;
    coroutine_yield(coroutine);
    platform_panic(__FILE__, __LINE__, "a coroutine that has ended was resumed");
}

void coroutine_destroy(struct coroutine *coroutine)
{
    CHECK(!coroutine->running);
    stack_destroy(coroutine->stack);
    memory_free(coroutine);
}
