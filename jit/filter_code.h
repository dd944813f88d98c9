/* What the code of all filters has in common: its arguments, its tables, how it goes through a
 * batch. */
#pragma once

#include "jit/emit.h"
#include "jit/jit.h"

/* Any part of answers may be written on the way, all of the first `count` are right at the end.
 * count is not 0. */
typedef void filter_code(const uint32_t (*fields)[BATCH_MAX], unsigned count, uint32_t *answers,
                         const uint32_t *table);

/* Where System V has these arguments, and what the code uses besides. */
#define FILTER_FIELDS  RDI
#define FILTER_COUNT   RSI
#define FILTER_ANSWERS RDX
#define FILTER_TABLE   RCX
#define FILTER_PACKET  R9 /* the first of those that are looked at */

/* With AVX-512 the fields of packets may wait in vectors from this one on, in their order. */
enum { FILTER_FIELD_VECTORS = 16 };

/* What x ^ FILTER_SIGN orders with a sign, x orders without. */
#define FILTER_SIGN 0x80000000u

/* Tables are aligned to a cache line and start with one that holds constants. */
enum { FILTER_SIGN_WORD = 0, FILTER_TABLE_HEAD_WORDS = CACHE_LINE_BYTES / sizeof(uint32_t) };

/* The table's word at `words`, and what follows it; or so many bytes times scale behind it. */
struct memory_operand filter_table(uint32_t words);
struct memory_operand filter_table_indexed(uint32_t words, enum gpr index, uint8_t scale);

/* From the packet that is `ahead` of FILTER_PACKET on: one word, or as many as a vector takes. */
struct memory_operand filter_field(unsigned field, unsigned ahead);
struct memory_operand filter_answer(unsigned ahead);

/* What is emitted between the two is run for packets 0, step, 2 step ... below count. */
struct label filter_loop_begin(struct emit *emit);
void filter_loop_end(struct emit *emit, struct label *begin, unsigned step);

/* Back to the caller. */
void filter_end(struct emit *emit, enum jit_vectors vectors);
