/* Finds out what the processor can do and switches it on. */
#include "kernel/x86/cpu.h"

#include <string.h>

#include "kernel/x86/cpuid.h"
#include "kernel/x86/registers.h"

/* Intel SDM volume 2, CPUID. */
enum {
    CPUID_1_ECX_X2APIC = 1 << 21,
    CPUID_1_ECX_TSC_DEADLINE = 1 << 24,
    CPUID_1_ECX_XSAVE = 1 << 26,
    CPUID_1_EDX_MCE = 1 << 7,
    CPUID_1_EDX_PGE = 1 << 13,
    CPUID_7_EBX_SMEP = 1 << 7,
    CPUID_7_EBX_SMAP = 1 << 20,
    CPUID_7_ECX_UMIP = 1 << 2,
    CPUID_EXTENDED_EDX_NX = 1 << 20,
    CPUID_EXTENDED_EDX_HUGE_PAGES = 1 << 26,
    CPUID_LEAF_MORE = 7,
    CPUID_LEAF_XSAVE = 0xd,
};
#define CPUID_LEAF_EXTENDED 0x80000001u

/* Intel SDM volume 1, 13.3: components of XCR0. */
enum {
    XCR0_X87_SSE = 0x3,
    XCR0_AVX = 0x4,
    XCR0_AVX512 = 0xe0, /* opmask, upper halves, upper registers: all or none */
};

struct cpu_features cpu_features;

/* Core 0 needs all this before there is memory. */
static struct x86_cpu boot_cpu;
static struct trace_ring boot_trace;
static struct log_ring boot_log;
static alignas(16) char boot_exception_stack[8192]; /* until smp_init_boot_core() */

static void find_features(void)
{
    struct cpuid vendor = cpuid(0, 0);
    memcpy(cpu_features.vendor, &vendor.ebx, 4);
    memcpy(cpu_features.vendor + 4, &vendor.edx, 4);
    memcpy(cpu_features.vendor + 8, &vendor.ecx, 4);

    struct cpuid basic = cpuid(CPUID_FEATURES, 0);
    cpu_features.x2apic = basic.ecx & CPUID_1_ECX_X2APIC;
    cpu_features.tsc_deadline = basic.ecx & CPUID_1_ECX_TSC_DEADLINE;
    cpu_features.xsave = basic.ecx & CPUID_1_ECX_XSAVE;
    cpu_features.machine_check = basic.edx & CPUID_1_EDX_MCE;
    cpu_features.global_pages = basic.edx & CPUID_1_EDX_PGE;

    struct cpuid more = cpuid(CPUID_LEAF_MORE, 0);
    cpu_features.smep = more.ebx & CPUID_7_EBX_SMEP;
    cpu_features.smap = more.ebx & CPUID_7_EBX_SMAP;
    cpu_features.umip = more.ecx & CPUID_7_ECX_UMIP;

    struct cpuid extended = cpuid(CPUID_LEAF_EXTENDED, 0);
    cpu_features.no_execute = extended.edx & CPUID_EXTENDED_EDX_NX;
    cpu_features.huge_pages = extended.edx & CPUID_EXTENDED_EDX_HUGE_PAGES;

    struct cpuid hypervisor = cpuid(CPUID_HYPERVISOR, 0);
    memcpy(cpu_features.hypervisor, &hypervisor.ebx, 12);
}

static void enable_vectors(void)
{
    if (!cpu_features.xsave)
        return;
    cr4_write(cr4_read() | CR4_OSXSAVE);
    uint32_t offered = cpuid(CPUID_LEAF_XSAVE, 0).eax;
    uint32_t wanted = XCR0_X87_SSE | (offered & XCR0_AVX);
    if ((wanted & XCR0_AVX) && (offered & XCR0_AVX512) == XCR0_AVX512)
        wanted |= XCR0_AVX512;
    xcr0_write(wanted);
}

void cpu_init_core(struct x86_cpu *cpu)
{
    cpu->self = cpu;
    msr_write(MSR_GS_BASE, (uint64_t)cpu);

    if (cpu_features.no_execute)
        msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_NXE);
    cr0_write((cr0_read() & ~(uint64_t)(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE | CR0_WP);
    cr4_write(cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT | (cpu_features.global_pages ? CR4_PGE : 0) |
              (cpu_features.smep ? CR4_SMEP : 0) | (cpu_features.smap ? CR4_SMAP : 0) |
              (cpu_features.umip ? CR4_UMIP : 0) | (cpu_features.machine_check ? CR4_MCE : 0));
    enable_vectors();
    /* Whatever firmware left: no exceptions from arithmetic. Intel SDM volume 1, 8.1.5 and 10.2.3.
     */
    static const uint32_t vector_control = 0x1f80;
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"(vector_control));
}

void cpu_init(void)
{
    find_features();
    boot_cpu.cpu.trace = &boot_trace;
    boot_cpu.cpu.log = &boot_log;
    cpu_init_core(&boot_cpu);
    cpus[0] = &boot_cpu;

    for (unsigned i = 0; i < IST_COUNT; i++)
        boot_cpu.stack_tops[i] = (uint64_t)(boot_exception_stack + sizeof(boot_exception_stack));
    descriptors_init();
    descriptors_init_core(&boot_cpu.descriptors, boot_cpu.stack_tops);
}
