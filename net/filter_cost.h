/* What the machine code of a filter costs, here and now: a copy that ends early is run over packets
 * that are made up, by the core that asks; the filter itself is left alone. */
#pragma once

#include "jit/show.h"
#include "net/filter.h"

/* Passes over a batch that are measured as one: more than the steps of the TSC, and done before
 * anybody waits. */
enum { FILTER_COST_PASSES = 8 };

/* The code up to the end of a mark (jit/marks.h), and the way there and back; one of zeros is none.
 * It looks at the filter's tables: once that is gone, it can only be cleared. */
struct filter_cost {
    struct jit_cut cut;
};

/* There is code for the moment. ERROR_NO_MEMORY; ERROR_FULL: the code has too many marks. */
enum error filter_cost_make(struct filter_cost *cost, const struct filter *filter,
                            enum filter_moment moment, unsigned mark) MUST_CHECK;
void filter_cost_clear(struct filter_cost *cost);

/* The TSC cycles of so many passes over a whole batch of packets (filter_draw()); and of the code
 * before that of the rules, which is not among them: about 0 where there is none. */
uint64_t filter_cost_measure(const struct filter_cost *cost, const struct filter_keys *keys);
uint64_t filter_cost_measure_front(const struct filter_cost *cost, const struct filter_keys *keys);
