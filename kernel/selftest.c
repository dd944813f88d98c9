/* Each is a function with a name of its own, which the backtrace must show. */
#include "kernel/selftest.h"

#include <string.h>

#include "boot/entry.h"
#include "kernel/base/trace.h"
#include "kernel/platform.h"
#include "kernel/x86/apic.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/registers.h"

#define NOINLINE __attribute__((noinline))

/* The compiler must not know where, or it sees through us. */
static void write_byte(uint64_t address)
{
    __asm__ volatile("movb $0, (%0)" : : "r"(address) : "memory");
}

static NOINLINE void selftest_write_text(void)
{
    write_byte((uint64_t)image_start);
}

static NOINLINE void selftest_write_constant(void)
{
    write_byte((uint64_t)rodata_start);
}

static NOINLINE void selftest_execute_data(void)
{
    static volatile uint8_t code[] = { 0xc3 }; /* ret */
    ((void (*)(void))(uintptr_t)code)();
}

static NOINLINE void selftest_null(void)
{
    write_byte(8);
}

/* Where the image would be, were it part of the direct map. */
static NOINLINE void selftest_alias(void)
{
    write_byte((uint64_t)image_start - BOOT_IMAGE_OFFSET + BOOT_DIRECT_MAP);
}

/* A device that says it is where the image lies. */
static NOINLINE void selftest_map_text(void)
{
    CHECK(mmio_map((uint64_t)image_start - BOOT_IMAGE_OFFSET, PAGE_BYTES) != NULL);
}

static NOINLINE unsigned selftest_stack_overflow(volatile unsigned *depth)
{
    volatile unsigned deeper = *depth + 1;
    if (deeper == 0)
        return 0;
    return selftest_stack_overflow(&deeper) + deeper;
}

static NOINLINE void selftest_panic(void)
{
    CHECK(core_count() == 0);
}

static NOINLINE void selftest_divide(void)
{
    volatile unsigned seven = 7, zero = 0;
    seven = seven / zero;
}

static NOINLINE void selftest_nmi(void)
{
    apic_send_nmi(cpu_current()->apic_id);
    halt_for_good();
}

static NOINLINE void selftest_stall(void)
{
    core_progress();
    for (;;)
        core_relax();
}

static NOINLINE void selftest_deaf(void)
{
    interrupts_off();
    selftest_stall();
}

static void panic_there(void *argument)
{
    (void)argument;
    selftest_panic();
}

static NOINLINE void selftest_other_core(void)
{
    core_start(core_count() - 1, panic_there, NULL);
    for (;;)
        core_idle(UINT64_MAX);
}

static void overflow_there(void *argument)
{
    unsigned depth = 0;
    (void)argument;
    selftest_stack_overflow(&depth);
}

static NOINLINE void selftest_coroutine_overflow(void)
{
    struct coroutine *coroutine = coroutine_create(overflow_there, NULL);
    if (coroutine)
        coroutine_resume(coroutine);
}

static NOINLINE void selftest_boot_overflow(void)
{
    overflow_there(NULL);
}

static const struct {
    const char *word;
    void (*run)(void);
} selftests[] = {
    { "write-text", selftest_write_text },
    { "write-constant", selftest_write_constant },
    { "write-alias", selftest_alias },
    { "map-text", selftest_map_text },
    { "exec-data", selftest_execute_data },
    { "null", selftest_null },
    { "stack-overflow", selftest_boot_overflow },
    { "coroutine-overflow", selftest_coroutine_overflow },
    { "panic", selftest_panic },
    { "other-core", selftest_other_core },
    { "divide", selftest_divide },
    { "nmi", selftest_nmi },
    { "stall", selftest_stall },
    { "deaf", selftest_deaf },
};

void selftest_run(const struct boot_info *info)
{
    char word[32];
    if (!boot_option(info, "test", word, sizeof(word)) ||
        !boot_option(info, "selftest", word, sizeof(word)))
        return;
    for (unsigned i = 0; i < ARRAY_COUNT(selftests); i++) {
        if (strcmp(word, selftests[i].word) != 0)
            continue;
        trace("selftest", i); /* the panic shows it */
        selftests[i].run();
    }
}
