/* What two fuzzers ask of a filter. */
#pragma once

#include "jit/show.h"
#include "kernel/platform.h"
#include "tests/unit/rule_search.h"

/* It answers as the rules do, and no packet comes to one that it calls shadowed. */
static inline void check_packets(const struct jit_plan *plan, const struct jit_rule *rules,
                                 unsigned count, const struct jit_filter *filter,
                                 const uint32_t (*fields)[BATCH_MAX])
{
    uint32_t answers[BATCH_MAX];

    jit_filter_run(filter, fields, BATCH_MAX, answers);
    for (unsigned packet = 0; packet < BATCH_MAX; packet++) {
        unsigned rule = rule_search(plan, rules, count, fields, packet);
        CHECK(answers[packet] == (rule < count ? rules[rule].answer : JIT_NONE));
        CHECK(rule == count || !jit_filter_is_shadowed(filter, rule));
    }
}

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
