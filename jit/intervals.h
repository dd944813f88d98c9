/* What a list of ranges comes to when the first one that holds a value wins: disjoint intervals
 * that together are all values. */
#pragma once

#include "jit/jit.h"

/* What is sorted by a value: where the range of a rule starts, or ends, for one. */
struct bound {
    uint32_t value;
    uint32_t rule;
};

/* One of the ranges of a rule. */
struct span {
    uint32_t first, last;
    uint32_t rule;
    uint32_t answer;
};

struct intervals {
    unsigned count;    /* at least 1, at most twice the number of ranges plus 1 */
    uint32_t *last;    /* of each; ascending, the last one is UINT32_MAX */
    uint32_t *answers; /* neighbours differ; JIT_NONE where no range is */
};

/* Sorts bounds by value; those with the same one stay in order. `to` has room for as many; the
 * result is in one of the two, and answered. */
struct bound *bounds_sort(struct bound *from, struct bound *to, unsigned count,
                          const struct pause *pause);

/* Of spans the first one in order wins; those of one rule do not overlap. The bit of each rule that
 * owns a value of its own is set in seen[]. ERROR_NO_MEMORY: *intervals is as it was. */
enum error intervals_make(const struct span *spans, unsigned count, const struct pause *pause,
                          uint64_t *seen, struct intervals *intervals) MUST_CHECK;
void intervals_free(struct intervals *intervals);
