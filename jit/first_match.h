/* Rules that ask for one key alone, as a search for the first one that matches. */
#pragma once

#include "jit/key_search.h"

/* The key begins at `field`. The bit of each rule that owns a value of its own is set in seen[];
 * `count` is of rules, *parts of the intervals that they come to. ERROR_NO_MEMORY, ERROR_FULL: more
 * ranges than JIT_RANGE_MAX; *search is as it was. */
enum error first_match_search(const struct jit_plan *plan, const struct jit_rule *rules,
                              unsigned count, unsigned field, uint64_t *seen, unsigned *parts,
                              struct key_search *search) MUST_CHECK;
