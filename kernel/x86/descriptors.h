/* Descriptor tables: segments as long mode wants them, a task state per core for the stacks of
 * interrupts, and the table of 256 interrupt entries that all cores share. */
#pragma once

#include "kernel/base/types.h"

/* Each kind of interrupt has a stack of its own on each core. Interrupts never nest, since handlers
 * run with interrupts off; an exception inside a handler still finds a stack that nobody uses. */
enum ist {
    IST_INTERRUPT = 0,
    IST_EXCEPTION,
    IST_NMI,
    IST_DOUBLE_FAULT,
    IST_MACHINE_CHECK,
    IST_COUNT,
};
enum { IST_STACK_BYTES = 16 * 1024 };

enum { SEGMENT_CODE = 0x08, SEGMENT_DATA = 0x10, SEGMENT_TASK = 0x18 };

/* Intel SDM volume 3, 8.7. */
struct task_state {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map_offset;
} __attribute__((packed));
_Static_assert(sizeof(struct task_state) == 104, "as the processor reads it");

struct core_descriptors {
    alignas(16) uint64_t segments[5]; /* null, code, data, task state (two words) */
    alignas(16) struct task_state task;
};

/* Each core: loads its tables. Interrupts use stack_tops from then on; those of core 0 may change
 * later by descriptors_set_stacks(). */
void descriptors_init_core(struct core_descriptors *descriptors,
                           const uint64_t stack_tops[IST_COUNT]);
void descriptors_set_stacks(struct core_descriptors *descriptors,
                            const uint64_t stack_tops[IST_COUNT]);

/* Once, before the first core loads it: fills the interrupt table. */
void descriptors_init(void);
bool descriptors_ready(void);
