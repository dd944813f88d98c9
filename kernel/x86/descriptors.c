#include "kernel/x86/descriptors.h"

#include <string.h>

#include "kernel/x86/interrupt.h"

/* Intel SDM volume 3, 6.14.1. */
struct gate {
    uint16_t offset_low;
    uint16_t segment;
    uint8_t ist; /* 1 to 7 */
    uint8_t kind;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};
_Static_assert(sizeof(struct gate) == 16, "as the processor reads it");

enum { GATE_INTERRUPT = 0x8e }; /* present, interrupts off on entry */

/* Intel SDM volume 3, 3.4.5 and 7.2.3. */
#define SEGMENT_CODE_64    0x00af9b000000ffffull
#define SEGMENT_DATA_FLAT  0x00cf93000000ffffull
#define SEGMENT_TASK_READY 0x0000890000000000ull

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static struct gate gates[VECTOR_COUNT];
static bool ready;

static enum ist stack_of(unsigned vector)
{
    switch (vector) {
    case VECTOR_NMI:
        return IST_NMI;
    case VECTOR_DOUBLE_FAULT:
        return IST_DOUBLE_FAULT;
    case VECTOR_MACHINE_CHECK:
        return IST_MACHINE_CHECK;
    default:
        return vector < VECTOR_EXCEPTIONS ? IST_EXCEPTION : IST_INTERRUPT;
    }
}

void descriptors_init(void)
{
    for (unsigned vector = 0; vector < VECTOR_COUNT; vector++) {
        uint64_t entry = (uint64_t)interrupt_entries + vector * INTERRUPT_ENTRY_BYTES;
        gates[vector] = (struct gate){
            .offset_low = (uint16_t)entry,
            .segment = SEGMENT_CODE,
            .ist = (uint8_t)(stack_of(vector) + 1),
            .kind = GATE_INTERRUPT,
            .offset_middle = (uint16_t)(entry >> 16),
            .offset_high = (uint32_t)(entry >> 32),
        };
    }
}

bool descriptors_ready(void)
{
    return ready;
}

void descriptors_set_stacks(struct core_descriptors *descriptors,
                            const uint64_t stack_tops[IST_COUNT])
{
    for (unsigned i = 0; i < IST_COUNT; i++)
        descriptors->task.ist[i] = stack_tops[i];
}

void descriptors_init_core(struct core_descriptors *descriptors,
                           const uint64_t stack_tops[IST_COUNT])
{
    uint64_t task = (uint64_t)&descriptors->task;
    uint64_t limit = sizeof(descriptors->task) - 1;

    memset(descriptors, 0, sizeof(*descriptors));
    descriptors->task.io_map_offset = sizeof(descriptors->task); /* none */
    descriptors_set_stacks(descriptors, stack_tops);
    descriptors->segments[1] = SEGMENT_CODE_64;
    descriptors->segments[2] = SEGMENT_DATA_FLAT;
    descriptors->segments[3] =
        SEGMENT_TASK_READY | limit | (task & 0xffffff) << 16 | (task >> 24 & 0xff) << 56;
    descriptors->segments[4] = task >> 32;

    struct table_pointer segments = { sizeof(descriptors->segments) - 1,
                                      (uint64_t)descriptors->segments };
    struct table_pointer handlers = { sizeof(gates) - 1, (uint64_t)gates };
    /* The selectors are those of the boot table, so only %cs' hidden part might differ: it does
     * not. */
    __asm__ volatile("lgdt %0; lidt %1; ltr %w2"
                     :
                     : "m"(segments), "m"(handlers), "r"(SEGMENT_TASK)
                     : "memory");
    ready = true;
}
