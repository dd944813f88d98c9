/* CPUID and XGETBV may be executed by anyone, so this is the same in the kernel and in a process.
 */
#include "kernel/base/vector.h"

/* Intel SDM volume 1, 14.3, 14.7.1, 15.2 and 15.4: how to detect AVX, AVX2 and AVX-512. */
enum {
    LEAF_FEATURES = 1,
    LEAF_EXTENDED_FEATURES = 7,
    ECX_OSXSAVE = 1 << 27,
    ECX_POPCNT = 1 << 23,
    EBX_BMI1 = 1 << 3,
    EBX_AVX2 = 1 << 5,
    EBX_BMI2 = 1 << 8,
    EBX_AVX512F = 1 << 16,
    EBX_AVX512DQ = 1 << 17,
    EBX_AVX512BW = 1 << 30,
    /* XCR0: SSE, AVX. */
    STATE_AVX = 0x06,
    /* Besides: the mask registers, upper halves of 0 to 15, registers 16 to 31. */
    STATE_AVX512 = 0xe6,
};
static const uint32_t EBX_AVX512VL = 1u << 31;

struct registers {
    uint32_t eax, ebx, ecx, edx;
};

static struct registers cpuid(uint32_t leaf)
{
    struct registers result;

    __asm__ volatile("cpuid"
                     : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
                     : "a"(leaf), "c"(0));
    return result;
}

static uint32_t saved_state(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* Of leaf 7, if the registers are saved that they need. */
static uint32_t extended_features(uint32_t state)
{
    if (cpuid(0).eax < LEAF_EXTENDED_FEATURES || !(cpuid(LEAF_FEATURES).ecx & ECX_OSXSAVE))
        return 0;
    return (saved_state() & state) == state ? cpuid(LEAF_EXTENDED_FEATURES).ebx : 0;
}

bool vector_has_avx2(void)
{
    const uint32_t wanted = EBX_AVX2 | EBX_BMI1 | EBX_BMI2;

    return (extended_features(STATE_AVX) & wanted) == wanted &&
           (cpuid(LEAF_FEATURES).ecx & ECX_POPCNT);
}

bool vector_has_avx512(void)
{
    const uint32_t wanted = EBX_AVX512F | EBX_AVX512DQ | EBX_AVX512BW | EBX_AVX512VL;

    return vector_has_avx2() && (extended_features(STATE_AVX512) & wanted) == wanted;
}
