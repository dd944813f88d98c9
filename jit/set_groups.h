/* Sets in groups whose members have no value in common. */
#pragma once

#include "jit/key_ranks.h"

enum {
    SET_GROUP_MAX = 64,      /* so many sets may overlap in one place */
    SET_GROUP_BITS_MAX = 10, /* of a number; what one field of bits is good for (bit_rows.h) */
};

/* One for each set. */
struct set_group {
    unsigned group;
    unsigned number; /* in the group, from 1 on */
};

/* Sets whose ranges of ranks follow each other: set i has counts[i] of them, and `count` sets are
 * at most JIT_SET_MAX. ERROR_NO_MEMORY; ERROR_FULL: more groups than the bound. */
enum error set_groups_make(const struct key_ranks *ranks, const unsigned *counts, unsigned count,
                           const struct pause *pause, struct set_group *groups) MUST_CHECK;
