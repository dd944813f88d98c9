/* See panic.h. Nothing here allocates, waits for ever or trusts what it looks at: a frame pointer
 * is followed only to mapped memory. */
#include "kernel/panic.h"

#include <stdatomic.h>
#include <string.h>

#include "boot/entry.h"
#include "kernel/base/text.h"
#include "kernel/clock.h"
#include "kernel/platform.h"
#include "kernel/symbols.h"
#include "kernel/x86/acpi.h"
#include "kernel/x86/apic.h"
#include "kernel/x86/com1.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/paging.h"
#include "kernel/x86/registers.h"
#include "kernel/x86/stack.h"

enum {
    LINE_MAX = 160,
    BACKTRACE_MAX = 32,
    REPEATED_MAX = 1000 * 1000, /* frames of one recursion, the bound of a walk through rubbish */
    TRACE_SHOWN = 8,            /* of each core */
    STOP_CYCLES = 200 * 1000 * 1000, /* about 0.1 s for the others to take their NMI */
    NOBODY = -1,
    PANIC_EXIT_CODE = 127, /* QEMU's status is 255 */
};

/* Intel SDM volume 3, 4.7: page fault error code. */
enum {
    FAULT_PRESENT = 1 << 0,
    FAULT_WRITE = 1 << 1,
    FAULT_EXECUTE = 1 << 4,
};

static _Atomic int panicking_core = NOBODY;
static void (*screen_write)(const char *text, size_t length);
static bool ends_test, ends_restart;

void panic_set_screen(void (*write)(const char *text, size_t length))
{
    screen_write = write;
}

void panic_set_test(bool test)
{
    ends_test = test;
}

void panic_set_restart(bool restart)
{
    ends_restart = restart;
}

/* ---- Output ---------------------------------------------------------------------------------- */

static void put(const char *text, size_t length)
{
    com1_write(text, length);
    if (screen_write)
        screen_write(text, length);
}

static void print(const char *format, ...) PRINTF_LIKE(1, 2);
static void print(const char *format, ...)
{
    char line[LINE_MAX];
    struct text text = text_of(line, sizeof(line));
    va_list args;
    va_start(args, format);
    text_print_args(&text, format, args);
    va_end(args);
    put(line, text.length);
}

static unsigned long long word(uint64_t value)
{
    return value;
}

static void print_place(uint64_t address, uint64_t shown)
{
    uint64_t offset;
    const char *name = symbol_find(address, &offset);
    if (name)
        print("  %016llx %s+0x%llx\n", word(shown), name, word(offset + (shown - address)));
    else
        print("  %016llx\n", word(shown));
}

static bool readable(uint64_t address)
{
    /* Early in the boot there are no tables that could be asked, but there is one stack only. */
    bool boot_stack =
        address >= (uint64_t)boot_stack_guard + PAGE_BYTES && address < (uint64_t)boot_stack_top;
    bool canonical = (int64_t)address >> 47 == 0 || (int64_t)address >> 47 == -1;
    return canonical && address % 8 == 0 && (boot_stack || paging_physical(address) != UINT64_MAX);
}

static bool is_text(uint64_t address)
{
    return address > (uint64_t)image_start && address < (uint64_t)text_end;
}

/* Does a call end there? Intel SDM volume 2, CALL: E8 and four bytes, or FF and what names a
 * register or a place. */
static bool follows_call(uint64_t address)
{
    const uint8_t *code = (const uint8_t *)address;
    return is_text(address) && is_text(address - 8) &&
           (code[-5] == 0xe8 || code[-2] == 0xff || code[-3] == 0xff || code[-6] == 0xff);
}

/* Functions that call nobody often have no frame. Then their caller is what lies on top of the
 * stack. */
static void print_frameless_caller(uint64_t rsp, uint64_t rbp)
{
    if (!readable(rsp))
        return;
    uint64_t caller = *(const uint64_t *)rsp;
    bool framed = readable(rbp + 8) && ((const uint64_t *)rbp)[1] == caller;
    if (!framed && follows_call(caller))
        print_place(caller - 1, caller);
}

/* A frame is the caller's frame pointer, then the return address. Frames lie one above the other. A
 * recursion is shown as one place and a count. */
static void print_frames(uint64_t rbp)
{
    uint64_t last = 0;
    unsigned repeated = 0;
    for (unsigned shown = 0; shown < BACKTRACE_MAX && readable(rbp) && readable(rbp + 8);) {
        const uint64_t *frame = (const uint64_t *)rbp;
        if (frame[1] == last && repeated < REPEATED_MAX) {
            repeated++;
        } else if (frame[1] == 0) {
            break;
        } else {
            if (repeated > 0)
                print("  ... and %u times more\n", repeated);
            repeated = 0;
            /* The call is before the address it returns to, which may be another function already.
             */
            last = frame[1];
            print_place(last - 1, last);
            shown++;
        }
        if (frame[0] <= rbp)
            break;
        rbp = frame[0];
    }
    if (repeated > 0)
        print("  ... and %u times more\n", repeated);
}

static void print_backtrace(const struct interrupt_frame *frame)
{
    print_place(frame->rip, frame->rip);
    print_frameless_caller(frame->rsp, frame->rbp);
    print_frames(frame->rbp);
}

static void print_registers(const struct interrupt_frame *frame)
{
    print("rax %016llx  rbx %016llx  rcx %016llx\n", word(frame->rax), word(frame->rbx),
          word(frame->rcx));
    print("rdx %016llx  rsi %016llx  rdi %016llx\n", word(frame->rdx), word(frame->rsi),
          word(frame->rdi));
    print("rbp %016llx  rsp %016llx  r8  %016llx\n", word(frame->rbp), word(frame->rsp),
          word(frame->r8));
    print("r9  %016llx  r10 %016llx  r11 %016llx\n", word(frame->r9), word(frame->r10),
          word(frame->r11));
    print("r12 %016llx  r13 %016llx  r14 %016llx\n", word(frame->r12), word(frame->r13),
          word(frame->r14));
    print("r15 %016llx  rip %016llx  flags %08llx\n", word(frame->r15), word(frame->rip),
          word(frame->flags));
    print("cr0 %016llx  cr2 %016llx  cr3 %016llx\n", word(cr0_read()), word(cr2_read()),
          word(cr3_read()));
    print("cr4 %016llx  vector %llu  error code 0x%llx\n", word(cr4_read()), word(frame->vector),
          word(frame->error_code));
}

static void print_trace(const struct x86_cpu *cpu)
{
    const struct trace_ring *ring = cpu->cpu.trace;
    if (!ring || ring->written == 0)
        return;
    uint64_t now = clock_cycles();
    uint64_t cycles_per_us = MAX_OF(clock_frequency_hz() / 1000000, 1u);
    uint64_t first = ring->written > TRACE_SHOWN ? ring->written - TRACE_SHOWN : 0;

    print("last events of core %u:\n", cpu->cpu.index);
    for (uint64_t i = first; i < ring->written; i++) {
        const struct trace_event *event = &ring->events[i % TRACE_EVENT_MAX];
        print("  %10llu us ago  %s 0x%llx", word((now - event->cycles) / cycles_per_us),
              event->what, word(event->value));
        if (event->file)
            print("  %s:%d", event->file, event->line);
        print("\n");
    }
}

/* ---- The other cores ------------------------------------------------------------------------- */

static void stop_others(const struct x86_cpu *self)
{
    atomic_store_explicit(&interrupt_stop_requested, true, memory_order_seq_cst);
    for (unsigned i = 0; i < core_count(); i++) {
        if (cpus[i] != self)
            apic_send_nmi(cpus[i]->apic_id);
    }
    uint64_t start = clock_cycles();
    for (unsigned i = 0; i < core_count(); i++) {
        while (cpus[i] != self && !atomic_load_explicit(&cpus[i]->stopped, memory_order_acquire) &&
               clock_cycles() - start < STOP_CYCLES)
            core_relax();
    }
}

static void print_others(const struct x86_cpu *self)
{
    for (unsigned i = 0; i < core_count(); i++) {
        const struct x86_cpu *cpu = cpus[i];
        if (cpu == self)
            continue;
        if (!atomic_load_explicit(&cpu->stopped, memory_order_acquire)) {
            print("core %u does not answer\n", i);
            continue;
        }
        print("core %u was at:\n", i);
        print_backtrace(cpu->stopped_at);
    }
}

/* ---- The end --------------------------------------------------------------------------------- */

_Noreturn static void end(void)
{
    if (ends_test)
        platform_exit(PANIC_EXIT_CODE);
    else if (ends_restart)
        acpi_restart();
    halt_for_good();
}

_Noreturn void panic_at(const struct interrupt_frame *frame, const char *cause)
{
    const struct x86_cpu *self = cpu_current();
    int nobody = NOBODY;

    interrupts_off();
    if (!atomic_compare_exchange_strong(&panicking_core, &nobody, (int)self->cpu.index)) {
        if (nobody != (int)self->cpu.index)
            halt_for_good(); /* another core is at it and stops us */
        print("panic inside the panic: %s\n", cause);
        end();
    }
    if (atomic_load(&self->checked_in))
        stop_others(self);

    print("\npanic on core %u: %s\n", self->cpu.index, cause);
    if (frame) {
        print_registers(frame);
        print("backtrace:\n");
        print_backtrace(frame);
    } else {
        print("backtrace:\n");
        print_frames((uint64_t)__builtin_frame_address(0));
    }
    print_others(self);
    for (unsigned i = 0; i < core_count(); i++)
        print_trace(cpus[i]);
    print(ends_restart ? "restarting\n" : "halted\n");
    end();
}

/* ---- Causes ---------------------------------------------------------------------------------- */

static const char *exception_name(uint64_t vector)
{
    static const char *const names[VECTOR_EXCEPTIONS] = {
        [0] = "division by zero or overflow",
        [1] = "debug trap",
        [2] = "non-maskable interrupt: the hardware reports an error",
        [3] = "breakpoint",
        [4] = "overflow",
        [5] = "bound range exceeded",
        [6] = "invalid instruction",
        [7] = "vector unit not available",
        [8] = "double fault",
        [10] = "invalid task state",
        [11] = "segment not present",
        [12] = "stack segment fault",
        [13] = "general protection: address not canonical, or a privileged register misused",
        [14] = "page fault",
        [16] = "floating point error",
        [17] = "misaligned access",
        [18] = "machine check: the hardware reports an error",
        [19] = "SIMD floating point error",
        [21] = "control flow protection",
    };
    return names[vector] ? names[vector] : "unknown exception";
}

static void name_page_fault(struct text *text, uint64_t error_code, uint64_t address)
{
    const char *what = error_code & FAULT_EXECUTE ? "execution at"
                       : error_code & FAULT_WRITE ? "write to"
                                                  : "read from";
    bool guard;
    const struct stack *stack = stack_of(address, &guard);

    if (stack && guard)
        text_print(text, "stack overflow: %s", stack->name);
    else if (address < PAGE_BYTES)
        text_print(text, "null pointer: %s 0x%llx", what, word(address));
    else if (!(error_code & FAULT_PRESENT))
        text_print(text, "page fault: %s 0x%llx, where nothing is mapped", what, word(address));
    else if (error_code & FAULT_EXECUTE)
        text_print(text, "page fault: %s 0x%llx, which is data", what, word(address));
    else
        text_print(text, "page fault: %s 0x%llx, which is read-only", what, word(address));
}

_Noreturn void panic_exception(const struct interrupt_frame *frame)
{
    const char *asked = cpu_current()->panic_text;
    char cause[LINE_MAX];
    struct text text = text_of(cause, sizeof(cause));

    if (frame->vector == VECTOR_BREAKPOINT && asked)
        panic_at(frame, asked);
    if (frame->vector == VECTOR_PAGE_FAULT)
        name_page_fault(&text, frame->error_code, cr2_read());
    else
        text_print(&text, "%s", exception_name(frame->vector));
    panic_at(frame, cause);
}

/* By a breakpoint, so that all registers are kept, and the rest runs on a stack that surely has
 * room. */
_Noreturn void platform_panic(const char *file, int line, const char *cause)
{
    char buffer[LINE_MAX];
    text_format(buffer, sizeof(buffer), "%s (%s:%d)", cause, file, line);
    if (descriptors_ready()) {
        cpu_current()->panic_text = buffer;
        __asm__ volatile("int3" : : : "memory");
    }
    panic_at(NULL, buffer);
}
