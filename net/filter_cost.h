/* What the machine code of a filter costs, here and now. */
#pragma once

#include "net/filter.h"

/* Passes over a batch that are measured as one: more than the TSC's own steps, and done before
 * anybody waits. */
enum { FILTER_COST_PASSES = 8 };

/* The TSC cycles of so many passes over a whole batch of packets (filter_draw()), of the code up to
 * the end of that mark (jit/marks.h), the way there and back included. There is code for the
 * moment. ERROR_NO_MEMORY; ERROR_FULL: the code has too many marks. */
enum error filter_cost_measure(const struct filter *filter, enum filter_moment moment,
                               unsigned mark, const struct filter_keys *keys,
                               uint64_t *cycles) MUST_CHECK;
