/* Ranges of a key of several words, or of many sets, as ranges of numbers: the values of the key
 * between two of all their ends have one rank, counted upwards. */
#pragma once

#include "jit/jit.h"

/* Ranges of a key, as they come. */
struct key_ranges {
    unsigned words; /* of the key */
    unsigned count, room;
    uint32_t *ends; /* words of the first value of range i at [2 i * words], then of the last */
};

/* None yet. */
enum error key_ranges_create(struct key_ranges *ranges, unsigned words, unsigned room) MUST_CHECK;
void key_ranges_free(struct key_ranges *ranges); /* one of zeros is allowed */
void key_ranges_add(struct key_ranges *ranges, const uint32_t *first, const uint32_t *last);
void key_ranges_add_rule(struct key_ranges *ranges, const struct jit_range *fields);
void key_ranges_add_set(struct key_ranges *ranges, const struct jit_set *set,
                        const struct pause *pause);

struct key_ranks {
    unsigned words;
    unsigned count;          /* of ranks, at least 1 */
    uint32_t *last;          /* words of the last value of rank i at [i * words]; of the last rank
                                all ones */
    struct jit_range *ranks; /* of each of the ranges: `last` is UINT32_MAX for the last rank */
};

/* Of the ranges nothing is left. ERROR_NO_MEMORY: *ranks is as it was. */
enum error key_ranks_make(struct key_ranges *ranges, const struct pause *pause,
                          struct key_ranks *ranks) MUST_CHECK;
void key_ranks_free(struct key_ranks *ranks); /* one of zeros is allowed */
