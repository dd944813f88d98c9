/* The local APIC of each core: x2APIC where the processor offers it, else memory-mapped.
 * Intel SDM volume 3, chapter 11. */
#pragma once

#include "kernel/base/types.h"

/* Core 0: `registers` are where they are mapped, or NULL for x2APIC mode. Spends measure_cycles of
 * the time stamp counter on measuring the timer where that must be. */
void apic_init(volatile void *registers, uint64_t measure_cycles);

/* The other cores. */
void apic_init_core(void);

uint32_t apic_id(void); /* of this core */

/* The largest id that interrupts can be sent to, by the way of x2APIC or the other. */
uint32_t apic_id_max(void);

enum { APIC_MESSAGE_ID_MAX = 254 }; /* the same for devices and I/O APICs, which know 8 bits */

/* An interrupt has been handled. */
void apic_acknowledge(void);

/* To another core, by its APIC id; what was stored before is seen by the handler. */
void apic_send(uint32_t id, uint8_t vector);
void apic_send_nmi(uint32_t id);
void apic_send_init(uint32_t id);
void apic_send_startup(uint32_t id, uint64_t page); /* physical, below 1 MiB */

/* VECTOR_TIMER once, when the time stamp counter reaches `cycles`, or a little early or late. */
void apic_timer_set(uint64_t cycles);
const char *apic_timer_name(void);
