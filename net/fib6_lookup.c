/* Looking up in a fib6, whose form fib6_tree.h shows.
 *
 * With vector registers all addresses of a batch go down together, a byte of the address at a time:
 * each step loads as many links as a register has lanes, and whoever has arrived stays where it is.
 * So nothing branches on what an address is, and the processor has all loads of a step on their way
 * at once. Whoever has to go on into the second group does so one by one. */
#include <string.h>

#include "net/fib6_tree.h"

static uint16_t next_hop_in(const uint8_t *arena, uint32_t link, uint8_t byte)
{
    return atomic_load_explicit(&link_answers(arena, link)->next_hops[byte], memory_order_relaxed);
}

/* From a link at that byte of the address to the end. */
static uint16_t follow(const uint8_t *arena, const uint8_t *address, uint32_t link, unsigned byte)
{
    while (!is_answer(link)) {
        if (link & LINK_TABLE) {
            link = link_load(&link_table(arena, link)->links[address[byte++]]);
        } else if (link & LINK_ANSWERS) {
            return next_hop_in(arena, link, address[byte]);
        } else {
            const struct fib6_leaf *leaf = link_leaf(arena, link);
            unsigned group = group_of(byte);
            link = link_load(&leaf->links[find_run(leaf, group_value(address, group))]);
            byte = group + FIB6_GROUP_BYTES;
        }
    }
    return answer_next_hop(link);
}

static void lookup(const uint8_t *arena, const uint8_t (*addresses)[16], uint16_t *next_hops,
                   unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        next_hops[i] =
            follow(arena, addresses[i], link_load(root_slot(arena, addresses[i])), FIB6_FIRST_BYTE);
}

/* ---- All together -----------------------------------------------------------------------------
 */

enum {
    BYTE_STEPS = 3, /* behind the first byte of the first group */
    TO_NEXT_HOP = 16,
    LANES_AVX2 = 8,
    LANES_AVX512 = 16,
};

/* Those of a batch, with room for a whole register behind the last one. */
struct lanes {
    alignas(CACHE_LINE_BYTES) uint32_t links[BATCH_MAX];
    alignas(CACHE_LINE_BYTES)
        uint32_t ends[BATCH_MAX + LANES_AVX512]; /* their values of the first group */
};

/* The root and the first byte behind it, which nearly all lead to a table. */
__attribute__((always_inline)) static inline uint32_t start(const uint8_t *arena,
                                                            const uint8_t *address)
{
    uint32_t link = link_load(root_slot(arena, address));
    uint8_t byte = address[FIB6_FIRST_BYTE];

    if (LIKELY(link & LINK_TABLE))
        return link_load((const link_slot *)(uintptr_t)(arena + (link - LINK_TABLE)) + byte);
    return link & LINK_ANSWERS ? answer_of(next_hop_in(arena, link, byte), 0) : link;
}

__attribute__((always_inline)) static inline void
start_all(struct lanes *lanes, const uint8_t *arena, const uint8_t (*addresses)[16], unsigned count)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < count; i++)
        lanes->links[i] = start(arena, addresses[i]);
    memset(&lanes->links[count], 0, sizeof(lanes->links) - count * sizeof(lanes->links[0]));
}

/* How many of a leaf's ends are below the value's. */
typedef unsigned end_counter(const int32_t *ends, uint32_t end);

/* Each is at a leaf, if only at FIB6_NO_LEAF. */
__attribute__((always_inline)) static inline void
follow_leaves(const struct lanes *lanes, uint32_t *leaves, const uint8_t *arena, unsigned count,
              end_counter *count_below)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < count; i++) {
        const struct fib6_leaf *leaf = (const struct fib6_leaf *)(uintptr_t)(arena + leaves[i]);
        leaves[i] = link_load(&leaf->links[count_below(leaf->ends, lanes->ends[i])]);
    }
}

/* For whom the first group was not the end: from the root again, as C wants what is behind a link
 * read after an acquire, which a gather is not; for the vectors of the first group x86 is enough.
 */
static void follow_deeper(const struct lanes *lanes, const uint8_t *arena,
                          const uint8_t (*addresses)[16], uint16_t *next_hops, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (lanes->links[i] & LINK_DEEPER)
            lookup(arena, &addresses[i], &next_hops[i], 1);
}

VECTOR_AVX2 static inline unsigned count_ends_avx2(const int32_t *ends, uint32_t end)
{
    __m256i below =
        _mm256_cmpgt_epi32(_mm256_set1_epi32((int)end), _mm256_load_si256((const __m256i *)ends));

    return (unsigned)__builtin_popcount((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(below)));
}

/* All bits of the lanes that have one of `bits`. */
VECTOR_AVX2 static inline __m256i having_avx2(__m256i links, int bits)
{
    __m256i wanted = _mm256_and_si256(links, _mm256_set1_epi32(bits));

    return _mm256_cmpgt_epi32(wanted, _mm256_setzero_si256());
}

VECTOR_AVX2 static inline __m256i follow_byte_avx2(__m256i links, __m256i bytes,
                                                   const uint8_t *arena)
{
    __m256i tables = having_avx2(links, LINK_TABLE);
    __m256i answers = having_avx2(links, LINK_ANSWERS);
    __m256i at = _mm256_andnot_si256(_mm256_set1_epi32(LINK_KIND), links);
    at = _mm256_add_epi32(at, _mm256_slli_epi32(bytes, 1));
    at = _mm256_add_epi32(at, _mm256_and_si256(_mm256_slli_epi32(bytes, 1), tables));
    links = _mm256_mask_i32gather_epi32(links, (const int *)(uintptr_t)arena, at,
                                        _mm256_or_si256(tables, answers), 1);
    return _mm256_blendv_epi8(links, _mm256_slli_epi32(links, TO_NEXT_HOP), answers);
}

VECTOR_AVX2 static void lookup_avx2(const uint8_t *arena, const uint8_t (*addresses)[16],
                                    uint16_t *next_hops, unsigned count)
{
    struct lanes lanes;
    alignas(CACHE_LINE_BYTES) uint32_t leaves[BATCH_MAX];
    alignas(CACHE_LINE_BYTES) uint16_t answers[BATCH_MAX];
    const __m256i low_byte = _mm256_set1_epi32(0xff);
    __m256i deeper = _mm256_setzero_si256();
    bool have_leaves = false;

    start_all(&lanes, arena, addresses, count);
    for (size_t i = 0; i < count; i++)
        lanes.ends[i] = load_be32(addresses[i] + FIB6_FIRST_BYTE);
    for (unsigned shift = 8 * (BYTE_STEPS - 1), step = 0; step < BYTE_STEPS; step++, shift -= 8) {
        for (size_t i = 0; i < count; i += LANES_AVX2) {
            __m256i *links = (__m256i *)&lanes.links[i];
            if (_mm256_testz_si256(*links, _mm256_set1_epi32(LINK_TABLE | LINK_ANSWERS)))
                continue;
            __m256i value = _mm256_load_si256((const __m256i *)&lanes.ends[i]);
            __m256i bytes = _mm256_and_si256(_mm256_srli_epi32(value, (int)shift), low_byte);
            *links = follow_byte_avx2(*links, bytes, arena);
        }
    }
    for (size_t i = 0; i < count; i += LANES_AVX2) {
        __m256i links = _mm256_load_si256((const __m256i *)&lanes.links[i]);
        __m256i at_leaf =
            _mm256_andnot_si256(having_avx2(links, LINK_DEEPER), having_avx2(links, LINK_LEAF));
        __m256i *ends = (__m256i *)&lanes.ends[i];
        *ends = _mm256_xor_si256(*ends, _mm256_set1_epi32(INT32_MIN));
        have_leaves |= !_mm256_testz_si256(at_leaf, at_leaf);
        __m256i leaf =
            _mm256_blendv_epi8(_mm256_set1_epi32(FIB6_NO_LEAF),
                               _mm256_sub_epi32(links, _mm256_set1_epi32(LINK_LEAF)), at_leaf);
        _mm256_store_si256((__m256i *)&leaves[i], leaf);
    }
    if (have_leaves)
        follow_leaves(&lanes, leaves, arena, count, count_ends_avx2);
    for (size_t i = 0; i < count; i += LANES_AVX2) {
        __m256i *links = (__m256i *)&lanes.links[i];
        __m256i at_leaf =
            _mm256_andnot_si256(having_avx2(*links, LINK_DEEPER), having_avx2(*links, LINK_LEAF));
        *links =
            _mm256_blendv_epi8(*links, _mm256_load_si256((const __m256i *)&leaves[i]), at_leaf);
        deeper = _mm256_or_si256(deeper, *links);
        __m256i next_hop = _mm256_srli_epi32(*links, TO_NEXT_HOP);
        __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(next_hop, next_hop), 0xd8);
        _mm_store_si128((__m128i *)&answers[i], _mm256_castsi256_si128(packed));
    }
    memcpy(next_hops, answers, count * sizeof(answers[0]));
    if (UNLIKELY(!_mm256_testz_si256(deeper, _mm256_set1_epi32(LINK_DEEPER))))
        follow_deeper(&lanes, arena, addresses, next_hops, count);
}

VECTOR_AVX512 static inline unsigned count_ends_avx512(const int32_t *ends, uint32_t end)
{
    __m256i line = _mm256_load_si256((const __m256i *)ends);

    return (unsigned)__builtin_ctz(_mm256_cmpge_epi32_mask(line, _mm256_set1_epi32((int)end)));
}

/* The first group's values of 16 addresses; of those that are not there, anything. */
VECTOR_AVX512 static inline __m512i load_values_avx512(const uint8_t (*addresses)[16],
                                                       unsigned count)
{
    const __m512i first_words =
        _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i wire_order = _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
    const uint64_t words = MIN_OF(count, (unsigned)LANES_AVX512) * 2; /* of 64 bits */
    const uint64_t there = ((uint64_t)1 << words) - 1;
    __m512i four[4], eight[2];

#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        four[i] = _mm512_maskz_loadu_epi64((__mmask8)(there >> 8 * i), addresses[4 * i]);
        four[i] = _mm512_srli_epi64(four[i], 8 * FIB6_FIRST_BYTE);
    }
#pragma GCC unroll 2
    for (unsigned i = 0; i < 2; i++)
        eight[i] = _mm512_permutex2var_epi32(four[2 * i], first_words, four[2 * i + 1]);
    return _mm512_shuffle_epi8(_mm512_inserti64x4(eight[0], _mm512_castsi512_si256(eight[1]), 1),
                               wire_order);
}

VECTOR_AVX512 static inline __m512i follow_byte_avx512(__m512i links, __m512i bytes,
                                                       const uint8_t *arena)
{
    __mmask16 tables = _mm512_test_epi32_mask(links, _mm512_set1_epi32(LINK_TABLE));
    __mmask16 answers = _mm512_test_epi32_mask(links, _mm512_set1_epi32(LINK_ANSWERS));
    __m512i at = _mm512_andnot_si512(_mm512_set1_epi32(LINK_KIND), links);
    __m512i twice = _mm512_slli_epi32(bytes, 1);
    at = _mm512_add_epi32(at, twice);
    at = _mm512_mask_add_epi32(at, tables, at, twice);
    links = _mm512_mask_i32gather_epi32(links, tables | answers, at, arena, 1);
    return _mm512_mask_slli_epi32(links, answers, links, TO_NEXT_HOP);
}

enum { REGISTERS = BATCH_MAX / LANES_AVX512 };

__attribute__((always_inline)) VECTOR_AVX512 static inline void
lookup_registers(const uint8_t *arena, const uint8_t (*addresses)[16], uint16_t *next_hops,
                 unsigned count)
{
    const unsigned used = (count + LANES_AVX512 - 1) / LANES_AVX512;
    struct lanes lanes;
    uint32_t leaves[BATCH_MAX + LANES_AVX512];
    const __m512i below = _mm512_set1_epi32(LINK_TABLE | LINK_ANSWERS);
    __m512i links[REGISTERS], values[REGISTERS];
    __mmask16 at_leaf[REGISTERS] = { 0 }, deeper = 0;
    unsigned first_leaf[REGISTERS] = { 0 }, leaf_count = 0;

    start_all(&lanes, arena, addresses, count);
#pragma GCC unroll 4
    for (unsigned r = 0; r < used; r++) {
        links[r] = _mm512_load_si512(&lanes.links[LANES_AVX512 * r]);
        values[r] = load_values_avx512(addresses + LANES_AVX512 * r, count - LANES_AVX512 * r);
    }
#pragma GCC unroll 3
    for (unsigned step = 0; step < BYTE_STEPS; step++) {
        for (unsigned r = 0; r < used; r++) {
            if (_mm512_test_epi32_mask(links[r], below) == 0)
                continue;
            __m512i bytes = _mm512_srli_epi32(values[r], 8 * (BYTE_STEPS - 1 - step));
            bytes = _mm512_and_si512(bytes, _mm512_set1_epi32(0xff));
            links[r] = follow_byte_avx512(links[r], bytes, arena);
        }
    }
#pragma GCC unroll 4
    for (unsigned r = 0; r < used; r++) {
        __m512i kind = _mm512_and_si512(links[r], _mm512_set1_epi32(LINK_KIND));
        __m512i leaf = _mm512_xor_si512(links[r], kind);
        __m512i end = _mm512_xor_si512(values[r], _mm512_set1_epi32(INT32_MIN));
        at_leaf[r] = _mm512_cmpeq_epi32_mask(kind, _mm512_set1_epi32(LINK_LEAF));
        first_leaf[r] = leaf_count;
        _mm512_storeu_si512(&leaves[leaf_count], _mm512_maskz_compress_epi32(at_leaf[r], leaf));
        _mm512_storeu_si512(&lanes.ends[leaf_count], _mm512_maskz_compress_epi32(at_leaf[r], end));
        leaf_count += (unsigned)__builtin_popcount(at_leaf[r]);
    }
    follow_leaves(&lanes, leaves, arena, leaf_count, count_ends_avx512);
#pragma GCC unroll 4
    for (unsigned r = 0; r < used; r++) {
        unsigned at = LANES_AVX512 * r, left = MIN_OF(count - at, (unsigned)LANES_AVX512);
        links[r] = _mm512_mask_expand_epi32(links[r], at_leaf[r],
                                            _mm512_loadu_si512(&leaves[first_leaf[r]]));
        deeper |= _mm512_test_epi32_mask(links[r], _mm512_set1_epi32(LINK_DEEPER));
        _mm512_store_si512(&lanes.links[at], links[r]);
        __m256i found = _mm512_cvtepi32_epi16(_mm512_srli_epi32(links[r], TO_NEXT_HOP));
        _mm256_mask_storeu_epi16(&next_hops[at], (__mmask16)((1u << left) - 1), found);
    }
    if (UNLIKELY(deeper != 0))
        follow_deeper(&lanes, arena, addresses, next_hops, count);
}

/* A full batch stays in registers. */
VECTOR_AVX512 static void lookup_avx512(const uint8_t *arena, const uint8_t (*addresses)[16],
                                        uint16_t *next_hops, unsigned count)
{
    if (LIKELY(count == BATCH_MAX))
        lookup_registers(arena, addresses, next_hops, BATCH_MAX);
    else
        lookup_registers(arena, addresses, next_hops, count);
}

unsigned fib6_ways(fib6_way *const **ways)
{
    static fib6_way *const all[] = { lookup, lookup_avx2, lookup_avx512 };

    *ways = all;
    return vector_has_avx512() ? 3 : vector_has_avx2() ? 2 : 1;
}
