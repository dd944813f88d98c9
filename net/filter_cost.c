/* A copy of the code that ends early is run; the running filter is left alone, and so are other
 * cores, which are in no part of it. */
#include "net/filter_cost.h"

#include "jit/show.h"
#include "kernel/platform.h"

enum error filter_cost_measure(const struct filter *filter, enum filter_moment moment,
                               unsigned mark, const struct filter_keys *keys, uint64_t *cycles)
{
    uint32_t answers[BATCH_MAX];
    struct jit_description description;
    struct jit_cut cut;

    jit_filter_describe(filter->compiled[moment], &description);
    enum error error = jit_cut_make(&description, mark, &cut);
    if (error != OK)
        return error;
    jit_cut_run(&cut, keys->words, BATCH_MAX, answers); /* brings it to the caches */
    uint64_t start = clock_cycles();
    for (unsigned pass = 0; pass < FILTER_COST_PASSES; pass++)
        jit_cut_run(&cut, keys->words, BATCH_MAX, answers);
    *cycles = clock_cycles() - start;
    jit_cut_free(&cut);
    return OK;
}
