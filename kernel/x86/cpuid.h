/* CPUID: what the processor, or the hypervisor that plays it, says of itself. */
#pragma once

#include "kernel/base/types.h"

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

enum {
    CPUID_FEATURES = 1,
    CPUID_TSC_RATE = 0x15,
    CPUID_FREQUENCIES = 0x16,
    CPUID_HYPERVISOR = 0x40000000,      /* highest leaf, and its name in 12 letters */
    CPUID_HYPERVISOR_RATE = 0x40000010, /* eax: TSC in kHz; VMware's idea, KVM has it too */
};

static inline struct cpuid cpuid_raw(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid result;
    __asm__ volatile("cpuid"
                     : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
                     : "a"(leaf), "c"(subleaf));
    return result;
}

/* All zero for a leaf that the processor does not have. */
static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    const uint32_t hypervisor_present = 1u << 31; /* ecx of leaf 1, set by hypervisors alone */
    uint32_t range = leaf & ~0xffffu; /* 0, 0x40000000, 0x80000000: each tells its highest leaf */
    if (range == CPUID_HYPERVISOR && !(cpuid_raw(CPUID_FEATURES, 0).ecx & hypervisor_present))
        return (struct cpuid){ 0, 0, 0, 0 };
    uint32_t highest = cpuid_raw(range, 0).eax;
    if (leaf > highest)
        return (struct cpuid){ 0, 0, 0, 0 };
    return cpuid_raw(leaf, subleaf);
}
