/* What two fuzzers do with a filter when they have compared it. */
#pragma once

#include "jit/show.h"
#include "kernel/platform.h"

/* The search for what leads to an answer ends, and what it finds is in order. */
static inline void check_entries(const struct jit_filter *filter, uint32_t answer)
{
    struct jit_entry_search search = { .answer = answer };
    struct jit_description description;
    struct jit_entry entry;
    enum jit_found found;

    jit_filter_describe(filter, &description);
    while ((found = jit_entry_next(&description, &search, &entry)) != JIT_NO_MORE)
        CHECK(found == JIT_NOT_YET || entry.first <= entry.last);
}
