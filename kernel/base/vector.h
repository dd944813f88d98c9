/* Vector instructions beyond the baseline of x86-64: a function that uses them is marked
 * VECTOR_AVX2 or VECTOR_AVX512 and is called only where vector_has_avx2() or vector_has_avx512()
 * says yes. Interrupt handlers never
 * touch vector registers, so all other code may. */
#pragma once

/* gcc's mm_malloc.h wants a hosted <stdlib.h>; nobody here calls _mm_malloc(). */
#define _MM_MALLOC_H_INCLUDED
#include <immintrin.h>

#include "kernel/base/types.h"

/* The sets that came with Haswell (2013). */
#define VECTOR_AVX2 __attribute__((target("avx2,popcnt,bmi,bmi2")))
/* The sets that came with Skylake-X (2017) and Zen 4 (2022). */
#define VECTOR_AVX512 \
    __attribute__((target("avx2,popcnt,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl")))

/* The processor has all of it, and whoever runs us saves those registers. */
bool vector_has_avx2(void);
bool vector_has_avx512(void);
