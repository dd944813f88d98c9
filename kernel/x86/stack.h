/* Stacks with a guard page under each, and what is known about them. */
#pragma once

#include "kernel/base/types.h"

enum {
    CORE_STACK_BYTES = 64 * 1024,
    COROUTINE_STACK_BYTES = 256 * 1024,
    STACK_MAX = CORE_MAX * 6 + 64, /* a core's own, its five for interrupts; and coroutines */
    STACK_NAME_MAX = 24,
};

struct stack {
    char name[STACK_NAME_MAX]; /* "core 3", "core 3 nmi", "coroutine" */
    uint64_t bottom;           /* lowest address; the page below is unmapped */
    uint64_t size_bytes;
    bool used; /* false: given back, to be taken again */
};

/* A cleared stack, or NULL. Control core only. */
struct stack *stack_create(size_t size_bytes, const char *format, ...) PRINTF_LIKE(2, 3) MUST_CHECK;
void stack_destroy(struct stack *stack);

static inline uint64_t stack_top(const struct stack *stack)
{
    return stack->bottom + stack->size_bytes;
}

/* Core 0's own is part of the image. */
void stack_add_boot(void);

/* The most that was ever used of it. */
uint64_t stack_high_water(const struct stack *stack);

/* For `show memory`: all of them, by index; and for panics: the one that an address lies in or
 * under. */
unsigned stack_count(void);
const struct stack *stack_get(unsigned index);
const struct stack *stack_of(uint64_t address, bool *in_guard);
