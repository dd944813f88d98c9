/* See filter_cost.h. */
#include "net/filter_cost.h"

#include "kernel/platform.h"

enum error filter_cost_make(struct filter_cost *cost, const struct filter *filter,
                            enum filter_moment moment, unsigned mark)
{
    struct jit_description description;

    jit_filter_describe(filter->compiled[moment], &description);
    enum error error = jit_cut_make(&description, mark, &cost->cut);
    /* Other cores run none of it, but they see that there is new code. */
    if (error == OK)
        core_follow_code();
    return error;
}

void filter_cost_clear(struct filter_cost *cost)
{
    jit_cut_free(&cost->cut);
}

uint64_t filter_cost_measure(const struct filter_cost *cost, const struct filter_keys *keys)
{
    alignas(CACHE_LINE_BYTES) uint32_t columns[JIT_FIELD_MAX][BATCH_MAX];
    const uint32_t(*fields)[BATCH_MAX] =
        jit_cut_fields(&cost->cut, keys->words, BATCH_MAX, columns);
    uint32_t answers[BATCH_MAX];

    jit_cut_run(&cost->cut, fields, BATCH_MAX, answers); /* brings it to the caches */
    uint64_t start = clock_cycles();
    for (unsigned pass = 0; pass < FILTER_COST_PASSES; pass++)
        jit_cut_run(&cost->cut, fields, BATCH_MAX, answers);
    return clock_cycles() - start;
}

uint64_t filter_cost_measure_front(const struct filter_cost *cost, const struct filter_keys *keys)
{
    alignas(CACHE_LINE_BYTES) uint32_t columns[JIT_FIELD_MAX][BATCH_MAX];

    (void)jit_cut_fields(&cost->cut, keys->words, BATCH_MAX, columns);
    uint64_t start = clock_cycles();
    for (unsigned pass = 0; pass < FILTER_COST_PASSES; pass++)
        (void)jit_cut_fields(&cost->cut, keys->words, BATCH_MAX, columns);
    return clock_cycles() - start;
}
