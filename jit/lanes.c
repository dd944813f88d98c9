/* One name for what three instruction sets spell differently. */
#include "jit/lanes.h"

void lanes_load(struct emit *emit, enum jit_vectors vectors, unsigned to,
                struct memory_operand from)
{
    switch (vectors) {
    case JIT_SSE2:
        emit_sse_movdqu_load(emit, to, from);
        return;
    case JIT_AVX2:
        emit_avx_vmovdqu_load(emit, VECTOR_256, to, from);
        return;
    default:
        emit_evex_vmovdqu32_load(emit, VECTOR_512, to, from);
    }
}

void lanes_store(struct emit *emit, enum jit_vectors vectors, struct memory_operand to,
                 unsigned from)
{
    switch (vectors) {
    case JIT_SSE2:
        emit_sse_movdqu_store(emit, to, from);
        return;
    case JIT_AVX2:
        emit_avx_vmovdqu_store(emit, VECTOR_256, to, from);
        return;
    default:
        emit_evex_vmovdqu32_store(emit, VECTOR_512, to, from);
    }
}

void lanes_broadcast(struct emit *emit, enum jit_vectors vectors, unsigned to,
                     struct memory_operand from)
{
    switch (vectors) {
    case JIT_SSE2:
        emit_sse_movd_load(emit, to, from);
        emit_sse_pshufd(emit, to, to, 0);
        return;
    case JIT_AVX2:
        emit_avx_vpbroadcastd_load(emit, VECTOR_256, to, from);
        return;
    default:
        emit_evex_vpbroadcastd_load(emit, VECTOR_512, to, from);
    }
}

void lanes_end(struct emit *emit, enum jit_vectors vectors)
{
    if (vectors != JIT_SSE2)
        emit_avx_vzeroupper(emit);
}

void lanes_operate(struct emit *emit, enum jit_vectors vectors, enum vector_operation operation,
                   unsigned to, unsigned right)
{
    switch (vectors) {
    case JIT_SSE2:
        emit_sse(emit, operation, to, right);
        return;
    case JIT_AVX2:
        emit_avx(emit, VECTOR_256, operation, to, to, right);
        return;
    default:
        emit_evex(emit, VECTOR_512, operation, to, to, right);
    }
}

void lanes_operate_load(struct emit *emit, enum jit_vectors vectors,
                        enum vector_operation operation, unsigned to, struct memory_operand right)
{
    switch (vectors) {
    case JIT_SSE2:
        emit_sse_load(emit, operation, to, right);
        return;
    case JIT_AVX2:
        emit_avx_load(emit, VECTOR_256, operation, to, to, right);
        return;
    default:
        emit_evex_load(emit, VECTOR_512, operation, to, to, right);
    }
}

void lanes_signs(struct emit *emit, enum jit_vectors vectors, enum gpr to, unsigned from)
{
    DCHECK(vectors != JIT_AVX512);
    if (vectors == JIT_SSE2)
        emit_sse_movmskps(emit, to, from);
    else
        emit_avx_vmovmskps(emit, VECTOR_256, to, from);
}
