/* What boot/entry.S and the C code behind it agree on. Read by the assembler as well, hence the
 * macros. */
#pragma once

#define BOOT_IMAGE_OFFSET 0xffffffff80000000 /* virtual minus physical address of the image */

#define BOOT_DIRECT_MAP       0xffff800000000000 /* physical 0 is found here */
#define BOOT_DIRECT_MAP_INDEX 256                /* of its entry in the topmost page table */
#define BOOT_MAPPED_BYTES     0x100000000        /* what the boot page tables map of it */

#define BOOT_BY_MULTIBOOT2 0 /* enum boot_protocol */
#define BOOT_BY_PVH        1

#define BOOT_STACK_BYTES 65536
#define BOOT_CORE_MAX    64 /* CORE_MAX */

/* struct core_slot, one per core that is started */
#define CORE_SLOT_EMPTY     0
#define CORE_SLOT_OFFERED   1
#define CORE_SLOT_TAKEN     2
#define CORE_SLOT_WITHDRAWN 3

#define CORE_SLOT_APIC_ID  0
#define CORE_SLOT_STATE    4
#define CORE_SLOT_STACK    8
#define CORE_SLOT_ARGUMENT 16
#define CORE_SLOT_BYTES    24

#ifndef __ASSEMBLER__
#include <stdatomic.h>

#include "kernel/base/types.h"

struct core_slot {
    uint32_t apic_id;
    _Atomic uint32_t state;
    void *stack_top;
    void *argument; /* of core_main() */
};
_Static_assert(sizeof(struct core_slot) == CORE_SLOT_BYTES, "entry.S knows the layout");
_Static_assert(offsetof(struct core_slot, argument) == CORE_SLOT_ARGUMENT, "entry.S knows it");
_Static_assert(BOOT_CORE_MAX == CORE_MAX, "one number, written twice");

extern struct core_slot core_slots[CORE_MAX];
extern uint64_t core_start_cr3;  /* page tables that a core loads once it has a slot */
extern uint32_t core_start_efer; /* bits to set in EFER before */
extern uint64_t boot_first_cycles;

extern const char trampoline_start[], trampoline_end[];
extern char boot_stack_guard[], boot_stack_top[];
extern char image_start[], text_end[], rodata_start[], data_start[], image_end[];

struct x86_cpu;
_Noreturn void kernel_main(unsigned protocol, uint64_t information); /* kernel/main.c */
_Noreturn void core_main(struct x86_cpu *cpu);                       /* kernel/x86/smp.c */
#endif
