/* Interrupts and exceptions, from the entry to who is woken.
 *
 * Files named interrupt*.c are compiled without vector registers, because the code they interrupt
 * may have its own values in them; tools/check_handlers.py sees to it that they call only each
 * other. */
#pragma once

#include <stdatomic.h>

#include "kernel/base/types.h"

enum {
    VECTOR_COUNT = 256,
    VECTOR_EXCEPTIONS = 32,
    INTERRUPT_ENTRY_BYTES = 16,
    INTERRUPT_MAX = 1024, /* handles: 64 cores with 16 each */
};

/* Intel SDM volume 3, 6.3.1. */
enum exception {
    VECTOR_NMI = 2,
    VECTOR_BREAKPOINT = 3,
    VECTOR_DOUBLE_FAULT = 8,
    VECTOR_PAGE_FAULT = 14,
    VECTOR_MACHINE_CHECK = 18,
};

/* Who has which vectors, from 32 on. */
enum vector {
    VECTOR_TRIAL = 0x20, /* pins while interrupt_connect_pci_pin() looks for one */
    VECTOR_TRIAL_END = 0x40,
    VECTOR_DEVICE = 0x40, /* handed out by interrupt_alloc(), each core's own */
    VECTOR_DEVICE_END = 0xe0,
    VECTOR_LEGACY = 0xe0, /* the old controllers, masked; what still comes is spurious */
    VECTOR_TIMER = 0xf0,
    VECTOR_WAKE = 0xf1,
    VECTOR_SPURIOUS = 0xff,
};

/* What interrupt_entry.S leaves on the stack, lowest address first. */
struct interrupt_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error_code;
    uint64_t rip, cs, flags, rsp, ss;
};

/* interrupt_entry.S */
extern const char interrupt_entries[];
void interrupt_dispatch(struct interrupt_frame *frame);

/* A handle of the seam's interrupt functions. */
struct interrupt {
    bool used;
    uint8_t vector;
    uint16_t core;       /* whom it wakes */
    int16_t pin;         /* global number of the I/O APIC pin, or -1: a message */
    int16_t next_on_pin; /* another handle that shares the pin, or -1 */
    uint64_t count;
};
extern struct interrupt interrupts[INTERRUPT_MAX];

/* Set by a panic: a core that gets an NMI from then on leaves its registers and halts. */
extern _Atomic bool interrupt_stop_requested;

struct x86_cpu;
void interrupt_init(void);                     /* core 0, once */
void interrupt_init_core(struct x86_cpu *cpu); /* each core, before its interrupts are on */
