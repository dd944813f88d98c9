/* What the code of rows reads: words, written while rules are looked at and never after. It grows,
 * so places in it are numbers of words until all of it is written. */
#pragma once

#include "jit/jit.h"
#include "jit/pace.h"

struct table {
    uint32_t *words; /* to be freed */
    size_t used;
    size_t room;
    struct pace *pace;
};

/* Empty, but for the constants of filter_code.h. ERROR_NO_MEMORY. */
enum error table_create(struct table *table, struct pace *pace) MUST_CHECK;

/* So many words more, at a multiple of align (a power of 2, at most those of a cache line), not
 * cleared. What words[] was before may be gone. ERROR_FULL: beyond JIT_TABLE_BYTES_MAX;
 * ERROR_NO_MEMORY. */
enum error table_take(struct table *table, size_t count, size_t align, uint32_t *at) MUST_CHECK;

/* Nothing comes any more: gives back what has grown too much. ERROR_NO_MEMORY: it is as it was. */
enum error table_settle(struct table *table) MUST_CHECK;
