/* Stacks lie one above the other from STACKS_BASE on, each above an unmapped page. A stack that is
 * given back stays mapped and waits for the next taker of its size. */
#include "kernel/x86/stack.h"

#include <string.h>

#include "boot/entry.h"
#include "kernel/base/text.h"
#include "kernel/memory.h"
#include "kernel/x86/paging.h"

static struct stack stacks[STACK_MAX];
static unsigned count;
static uint64_t next_address = STACKS_BASE;

static struct stack *find_free(size_t size_bytes)
{
    for (unsigned i = 0; i < count; i++) {
        if (!stacks[i].used && stacks[i].size_bytes == size_bytes)
            return &stacks[i];
    }
    return NULL;
}

static struct stack *map_new(size_t size_bytes)
{
    if (count == STACK_MAX)
        return NULL;
    uint64_t physical = memory_pages_alloc(size_bytes / PAGE_BYTES, 1, UINT64_MAX);
    if (physical == 0)
        return NULL;
    uint64_t bottom = next_address + PAGE_BYTES;
    next_address = bottom + size_bytes; /* not used again, even if mapping fails half-way */
    if (!paging_map(bottom, physical, size_bytes, PAGING_DATA)) {
        memory_pages_free(physical, size_bytes / PAGE_BYTES);
        return NULL;
    }
    struct stack *stack = &stacks[count++];
    stack->bottom = bottom;
    stack->size_bytes = size_bytes;
    return stack;
}

struct stack *stack_create(size_t size_bytes, const char *format, ...)
{
    struct stack *stack = find_free(size_bytes);
    if (!stack)
        stack = map_new(size_bytes);
    if (!stack)
        return NULL;

    struct text name = text_of(stack->name, sizeof(stack->name));
    va_list args;
    va_start(args, format);
    text_print_args(&name, format, args);
    va_end(args);
    memset((void *)stack->bottom, 0, size_bytes);
    stack->used = true;
    return stack;
}

void stack_destroy(struct stack *stack)
{
    stack->used = false;
}

void stack_add_boot(void)
{
    stacks[count++] = (struct stack){
        .name = "core 0",
        .bottom = (uint64_t)boot_stack_guard + PAGE_BYTES,
        .size_bytes = BOOT_STACK_BYTES,
        .used = true,
    };
}

uint64_t stack_high_water(const struct stack *stack)
{
    const uint64_t *word = (const uint64_t *)stack->bottom;
    while ((uint64_t)word < stack_top(stack) && *word == 0)
        word++;
    return stack_top(stack) - (uint64_t)word;
}

unsigned stack_count(void)
{
    return count;
}

const struct stack *stack_get(unsigned index)
{
    return &stacks[index];
}

const struct stack *stack_of(uint64_t address, bool *in_guard)
{
    for (unsigned i = 0; i < count; i++) {
        if (address >= stacks[i].bottom - PAGE_BYTES && address < stack_top(&stacks[i])) {
            *in_guard = address < stacks[i].bottom;
            return &stacks[i];
        }
    }
    return NULL;
}
