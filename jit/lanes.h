/* What one writes the same way for vectors of any width: lanes of 32 bits, by SSE2, AVX or EVEX as
 * the plan has it. Registers are 0 to 15, so that all have them. */
#pragma once

#include "jit/emit.h"
#include "jit/jit.h"

static inline unsigned lane_count(enum jit_vectors vectors)
{
    return 4u << vectors;
}

void lanes_load(struct emit *emit, enum jit_vectors vectors, unsigned to,
                struct memory_operand from);
void lanes_store(struct emit *emit, enum jit_vectors vectors, struct memory_operand to,
                 unsigned from);
void lanes_broadcast(struct emit *emit, enum jit_vectors vectors, unsigned to,
                     struct memory_operand from);            /* one word to all lanes */
void lanes_end(struct emit *emit, enum jit_vectors vectors); /* before the return */

/* to = to OPERATION right. What is in memory is aligned to its size. AVX-512 has no comparisons of
 * this kind, and no signs. */
void lanes_operate(struct emit *emit, enum jit_vectors vectors, enum vector_operation operation,
                   unsigned to, unsigned right);
void lanes_operate_load(struct emit *emit, enum jit_vectors vectors,
                        enum vector_operation operation, unsigned to, struct memory_operand right);
void lanes_signs(struct emit *emit, enum jit_vectors vectors, enum gpr to, unsigned from);
