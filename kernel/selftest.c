/* Each is a function with a name of its own, which the backtrace must show. */
#include "kernel/selftest.h"

#include <string.h>

#include "boot/entry.h"
#include "kernel/base/trace.h"
#include "kernel/platform.h"
#include "kernel/selftest_code.h"
#include "kernel/x86/apic.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/paging.h"
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

/* ---- Code that is made at run time: the one place of these bytes where they may run, or not -----
 */

static int call(const void *entry)
{
    return ((int (*)(void))(uintptr_t)entry)();
}

/* A function that answers 42, to be sealed. */
static struct code *make_code(void)
{
    static const uint8_t bytes[] = { 0xb8, 42, 0, 0, 0, 0xc3 }; /* mov $42, %eax; ret */
    struct code *code = code_alloc(sizeof(bytes));
    CHECK(code != NULL);
    memcpy(code->bytes, bytes, sizeof(bytes));
    return code;
}

/* It runs where it may. */
static struct code *make_sealed_code(void)
{
    struct code *code = make_code();
    CHECK(code_seal(code) == OK);
    CHECK(call(code->entry) == 42);
    return code;
}

static NOINLINE void selftest_write_code(void)
{
    write_byte((uint64_t)make_sealed_code()->entry);
}

/* As if its RAM were part of the direct map. */
static NOINLINE void selftest_write_code_alias(void)
{
    write_byte(BOOT_DIRECT_MAP + paging_physical((uint64_t)make_sealed_code()->entry));
}

/* Where it was written to, a moment ago. */
static NOINLINE void selftest_write_code_window(void)
{
    write_byte((uint64_t)make_sealed_code()->entry - CODE_BASE + CODE_WRITER);
}

static NOINLINE void selftest_map_code(void)
{
    CHECK(mmio_map(paging_physical((uint64_t)make_sealed_code()->entry), PAGE_BYTES) != NULL);
}

static NOINLINE void selftest_exec_unsealed(void)
{
    call(make_code()->bytes);
}

static NOINLINE void selftest_exec_early(void)
{
    call(make_code()->entry);
}

static NOINLINE void selftest_exec_freed(void)
{
    struct code *code = make_sealed_code();
    const void *entry = code->entry;
    code_free(code);
    call(entry);
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
    { "write-code", selftest_write_code },
    { "write-code-alias", selftest_write_code_alias },
    { "write-code-window", selftest_write_code_window },
    { "map-code", selftest_map_code },
    { "exec-unsealed", selftest_exec_unsealed },
    { "exec-early", selftest_exec_early },
    { "exec-freed", selftest_exec_freed },
    { "code", selftest_code },
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
