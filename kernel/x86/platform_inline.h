/* The inline part of the seam on the bare machine: <platform_inline.h> of the kernel's build. */
#pragma once

#include <stdint.h>

struct cpu;

/* Offsets in struct x86_cpu, which %gs points to; asserted in kernel/x86/cpu.h. */
#define CPU_SELF_OFFSET     "24"
#define CPU_PROGRESS_OFFSET "32"

static inline struct cpu *core_current(void)
{
    struct cpu *cpu;
    /* Not volatile: code never moves to another core, so one load serves a whole function. */
    __asm__("mov %%gs:" CPU_SELF_OFFSET ", %0" : "=r"(cpu));
    return cpu;
}

static inline void core_relax(void)
{
    __builtin_ia32_pause();
}

static inline void core_progress(void)
{
    __asm__ volatile("incq %%gs:" CPU_PROGRESS_OFFSET ::: "memory", "cc");
}

/* Intel SDM volume 3, 8.3. */
static inline void core_serialize(void)
{
    uint32_t leaf = 0, subleaf = 0;
    __asm__ volatile("cpuid" : "+a"(leaf), "+c"(subleaf) : : "ebx", "edx", "memory");
}

static inline uint64_t clock_cycles(void)
{
    return __builtin_ia32_rdtsc();
}

#define MMIO_ACCESS(bits) \
    static inline uint##bits##_t mmio_read##bits(const volatile void *address) \
    { \
        return *(const volatile uint##bits##_t *)address; \
    } \
    static inline void mmio_write##bits(volatile void *address, uint##bits##_t value) \
    { \
        *(volatile uint##bits##_t *)address = value; \
    }
MMIO_ACCESS(8)
MMIO_ACCESS(16)
MMIO_ACCESS(32)
MMIO_ACCESS(64)
#undef MMIO_ACCESS

static inline uint8_t port_read8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint16_t port_read16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint32_t port_read32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void port_write8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void port_write16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void port_write32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

/* Full, not only of stores: a doorbell must not pass the descriptors, nor our look at the device's
 * index pass our store that asks it for interrupts. */
static inline void io_fence(void)
{
    __asm__ volatile("mfence" ::: "memory");
}
