/* AVX-512 compares a node as it is. AVX2 compares with a sign, so bounds and values have it
 * changed, and in halves, of which it packs what came out into one. SSE2 has no comparison of 64
 * bits: there a node is the upper words of its bounds, then the lower ones, and what is above is
 * so by its upper word, or by the lower where the upper are equal. */
#include "jit/pair_node.h"

#include "jit/filter_code.h"
#include "jit/lanes.h"

_Static_assert(PAIR_NODE_BOUNDS * sizeof(uint64_t) == CACHE_LINE_BYTES, "a line is a node");

/* What is changed in the upper and in the lower word of bounds and values. */
static uint32_t upper_change(enum jit_vectors vectors)
{
    return vectors == JIT_AVX512 ? 0 : FILTER_SIGN;
}

static uint32_t lower_change(enum jit_vectors vectors)
{
    return vectors == JIT_SSE2 ? FILTER_SIGN : 0;
}

unsigned pair_count_scale(enum jit_vectors vectors)
{
    return vectors == JIT_SSE2 ? 2 : 1;
}

void pair_node_set(enum jit_vectors vectors, uint32_t node[PAIR_NODE_WORDS], unsigned i,
                   uint64_t bound)
{
    const uint32_t upper = (uint32_t)(bound >> 32) ^ upper_change(vectors);
    const uint32_t lower = (uint32_t)bound ^ lower_change(vectors);

    node[vectors == JIT_SSE2 ? i : 2 * i + 1] = upper;
    node[vectors == JIT_SSE2 ? PAIR_NODE_BOUNDS + i : 2 * i] = lower;
}

uint64_t pair_node_bound(enum jit_vectors vectors, const uint32_t node[PAIR_NODE_WORDS], unsigned i)
{
    const uint32_t upper = node[vectors == JIT_SSE2 ? i : 2 * i + 1] ^ upper_change(vectors);
    const uint32_t lower =
        node[vectors == JIT_SSE2 ? PAIR_NODE_BOUNDS + i : 2 * i] ^ lower_change(vectors);

    return (uint64_t)upper << 32 | lower;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static struct memory_operand behind(struct memory_operand from, unsigned bytes)
{
    from.displacement += (int32_t)bytes;
    return from;
}

/* Vectors of 128 bits in all kinds of code; VEX where the others are wider, so that none waits for
 * the other kind's upper halves. */
static void load_four(struct emit *emit, enum jit_vectors vectors, unsigned to,
                      struct memory_operand from)
{
    if (vectors == JIT_SSE2)
        emit_sse_movdqu_load(emit, to, from);
    else
        emit_avx_vmovdqu_load(emit, VECTOR_128, to, from);
}

static void store_four(struct emit *emit, enum jit_vectors vectors, struct memory_operand to,
                       unsigned from)
{
    if (vectors == JIT_SSE2)
        emit_sse_movdqu_store(emit, to, from);
    else
        emit_avx_vmovdqu_store(emit, VECTOR_128, to, from);
}

static void operate_four(struct emit *emit, enum jit_vectors vectors,
                         enum vector_operation operation, unsigned to, unsigned left,
                         unsigned right)
{
    if (vectors != JIT_SSE2) {
        emit_avx(emit, VECTOR_128, operation, to, left, right);
        return;
    }
    if (to != left)
        emit_sse_movdqa(emit, to, left);
    emit_sse(emit, operation, to, right);
}

enum { UPPERS = 0, LOWERS = 1, LAST = 2, SIGNS = 3 };

void pair_values_begin(enum jit_vectors vectors, struct emit *emit)
{
    if (vectors != JIT_AVX512) /* which changes nothing */
        lanes_broadcast(emit, vectors, SIGNS, filter_table(FILTER_SIGN_WORD));
}

void pair_values_emit(enum jit_vectors vectors, struct memory_operand upper,
                      struct memory_operand lower, struct memory_operand values, struct emit *emit)
{
    load_four(emit, vectors, UPPERS, upper);
    load_four(emit, vectors, LOWERS, lower);
    if (upper_change(vectors) != 0)
        operate_four(emit, vectors, VECTOR_PXOR, UPPERS, UPPERS, SIGNS);
    if (lower_change(vectors) != 0)
        operate_four(emit, vectors, VECTOR_PXOR, LOWERS, LOWERS, SIGNS);
    operate_four(emit, vectors, VECTOR_PUNPCKHDQ, LAST, LOWERS, UPPERS);
    operate_four(emit, vectors, VECTOR_PUNPCKLDQ, LOWERS, LOWERS, UPPERS);
    store_four(emit, vectors, values, LOWERS);
    store_four(emit, vectors, behind(values, 2 * sizeof(uint64_t)), LAST);
}

/* ---- Counting -------------------------------------------------------------------------------- */

enum { VALUE = 0, UPPER = 0, LOWER = 1, HALVES = 2, SCRATCH = 4, ABOVE = 1 /* a mask register */ };

static void emit_avx512(struct emit *emit, struct memory_operand value, struct memory_operand node)
{
    emit_evex_vpbroadcastq_load(emit, VECTOR_512, VALUE, value);
    emit_evex_vpcmpuq_load(emit, VECTOR_512, COMPARE_GREATER, ABOVE, 0, VALUE, node);
    emit_kmovw(emit, RAX, ABOVE);
    emit_popcnt32(emit, RAX, RAX);
}

/* Packing changes their order, but not how many there are. */
static void emit_avx2(struct emit *emit, struct memory_operand value, struct memory_operand node)
{
    emit_avx_vpbroadcastq_load(emit, VECTOR_256, VALUE, value);
    for (unsigned half = 0; half < 2; half++)
        emit_avx_load(emit, VECTOR_256, VECTOR_PCMPGTQ, HALVES + half, VALUE,
                      behind(node, half * CACHE_LINE_BYTES / 2));
    emit_avx(emit, VECTOR_256, VECTOR_PACKSSDW, HALVES, HALVES, HALVES + 1);
    emit_avx_vmovmskps(emit, VECTOR_256, RAX, HALVES);
    emit_popcnt32(emit, RAX, RAX);
}

/* Two bytes for each bound. The ones are all below the zeros. */
static void emit_sse2(struct emit *emit, struct memory_operand value, struct memory_operand node)
{
    lanes_broadcast(emit, JIT_SSE2, UPPER, behind(value, sizeof(uint32_t)));
    lanes_broadcast(emit, JIT_SSE2, LOWER, value);
    for (unsigned half = 0; half < 2; half++) {
        const struct memory_operand upper = behind(node, half * CACHE_LINE_BYTES / 4);
        const struct memory_operand lower = behind(upper, CACHE_LINE_BYTES / 2);
        const unsigned to = HALVES + half;
        emit_sse_movdqa(emit, to, UPPER);
        emit_sse_load(emit, VECTOR_PCMPEQD, to, upper);
        emit_sse_movdqa(emit, SCRATCH, LOWER);
        emit_sse_load(emit, VECTOR_PCMPGTD, SCRATCH, lower);
        emit_sse(emit, VECTOR_PAND, to, SCRATCH);
        emit_sse_movdqa(emit, SCRATCH, UPPER);
        emit_sse_load(emit, VECTOR_PCMPGTD, SCRATCH, upper);
        emit_sse(emit, VECTOR_POR, to, SCRATCH);
    }
    emit_sse(emit, VECTOR_PACKSSDW, HALVES, HALVES + 1);
    emit_sse_pmovmskb(emit, RAX, HALVES);
    emit_not32(emit, RAX);
    emit_bsf32(emit, RAX, RAX);
}

void pair_node_emit_count(enum jit_vectors vectors, struct memory_operand value,
                          struct memory_operand node, struct emit *emit)
{
    switch (vectors) {
    case JIT_SSE2:
        emit_sse2(emit, value, node);
        return;
    case JIT_AVX2:
        emit_avx2(emit, value, node);
        return;
    default:
        emit_avx512(emit, value, node);
    }
}
