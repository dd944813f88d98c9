/* The inline part of the seam in a Linux process. Device registers are reached through the models
 * that tests/host/host.h attaches; where there is none, an address is plain memory. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct cpu;

extern _Thread_local struct cpu *host_cpu; /* never NULL */

static inline struct cpu *core_current(void)
{
    return host_cpu;
}

static inline void core_relax(void)
{
    __builtin_ia32_pause();
}

/* A process has no watchdog. */
static inline void core_progress(void)
{
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

uint64_t host_mmio_read(const volatile void *address, unsigned size);
void host_mmio_write(volatile void *address, unsigned size, uint64_t value);
uint32_t host_port_read(uint16_t port, unsigned size);
void host_port_write(uint16_t port, unsigned size, uint32_t value);

static inline uint8_t mmio_read8(const volatile void *address)
{
    return (uint8_t)host_mmio_read(address, 1);
}

static inline uint16_t mmio_read16(const volatile void *address)
{
    return (uint16_t)host_mmio_read(address, 2);
}

static inline uint32_t mmio_read32(const volatile void *address)
{
    return (uint32_t)host_mmio_read(address, 4);
}

static inline uint64_t mmio_read64(const volatile void *address)
{
    return host_mmio_read(address, 8);
}

static inline void mmio_write8(volatile void *address, uint8_t value)
{
    host_mmio_write(address, 1, value);
}

static inline void mmio_write16(volatile void *address, uint16_t value)
{
    host_mmio_write(address, 2, value);
}

static inline void mmio_write32(volatile void *address, uint32_t value)
{
    host_mmio_write(address, 4, value);
}

static inline void mmio_write64(volatile void *address, uint64_t value)
{
    host_mmio_write(address, 8, value);
}

static inline uint8_t port_read8(uint16_t port)
{
    return (uint8_t)host_port_read(port, 1);
}

static inline uint16_t port_read16(uint16_t port)
{
    return (uint16_t)host_port_read(port, 2);
}

static inline uint32_t port_read32(uint16_t port)
{
    return host_port_read(port, 4);
}

static inline void port_write8(uint16_t port, uint8_t value)
{
    host_port_write(port, 1, value);
}

static inline void port_write16(uint16_t port, uint16_t value)
{
    host_port_write(port, 2, value);
}

static inline void port_write32(uint16_t port, uint32_t value)
{
    host_port_write(port, 4, value);
}

static inline void io_fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}
