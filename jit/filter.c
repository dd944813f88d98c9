/* A filter: which shape suits the rules, and what belongs to it. */
#include "jit/emit.h"
#include "jit/filter_code.h"
#include "jit/intervals.h"
#include "jit/linear_code.h"
#include "jit/rule_list.h"
#include "jit/search_tree.h"
#include "kernel/base/vector.h"
#include "kernel/platform.h"

enum { RULES_A_PAUSE = 1024 };

struct jit_filter {
    struct jit_description description; /* code is filled in when asked for */
    struct code *code;
    uint32_t *table;
    unsigned rule_count;
    uint64_t shadowed[]; /* a bit for each rule */
};

enum jit_vectors jit_vectors_best(void)
{
    return vector_has_avx512() ? JIT_AVX512 : vector_has_avx2() ? JIT_AVX2 : JIT_SSE2;
}

/* ---- What the rules are like ----------------------------------------------------------------- */

static bool rule_is_sound(const struct jit_plan *plan, const struct jit_rule *rule)
{
    for (unsigned field = 0; field < plan->field_count; field++) {
        const struct jit_range *range = &rule->fields[field];
        bool is_bits = (plan->bits >> field & 1) != 0;
        if (is_bits ? (range->first & ~range->last) != 0 : range->first > range->last)
            return false;
    }
    return true;
}

/* A bit for each field that the rule asks something of. */
static uint32_t rule_uses(const struct jit_plan *plan, const struct jit_rule *rule)
{
    uint32_t used = 0;

    for (unsigned field = 0; field < plan->field_count; field++) {
        const struct jit_range *range = &rule->fields[field];
        bool is_bits = (plan->bits >> field & 1) != 0;
        bool is_any = is_bits ? range->last == 0 : range->first == 0 && range->last == UINT32_MAX;
        if (!is_any)
            used |= (uint32_t)1 << field;
    }
    return used;
}

static enum error look_at_rules(const struct jit_plan *plan, const struct jit_rule *rules,
                                unsigned count, uint32_t *used)
{
    *used = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!rule_is_sound(plan, &rules[i]))
            return fail(ERROR_BAD_VALUE);
        *used |= rule_uses(plan, &rules[i]);
        if (i % RULES_A_PAUSE == 0)
            pause_take(plan->pause);
    }
    return OK;
}

static void set_shadowed(struct jit_filter *filter, unsigned rule)
{
    filter->shadowed[rule / 64] |= (uint64_t)1 << (rule % 64);
}

/* ---- Code and tables ------------------------------------------------------------------------- */

static enum error take_table(struct jit_filter *filter, size_t words)
{
    const size_t bytes = words * sizeof(uint32_t);

    filter->table = memory_alloc_uncleared(bytes, CACHE_LINE_BYTES, MEMORY_CODE);
    filter->description.table_bytes = bytes;
    return filter->table != NULL ? OK : fail(ERROR_NO_MEMORY);
}

static enum error take_code(struct jit_filter *filter, const struct emit *measured)
{
    filter->description.code_bytes = (unsigned)measured->used;
    filter->code = code_alloc(measured->used);
    return filter->code != NULL ? OK : fail(ERROR_NO_MEMORY);
}

/* What was written is as long as what was measured. */
static enum error seal(struct jit_filter *filter, const struct emit *written)
{
    CHECK(written->used == filter->code->size_bytes);
    return code_seal(filter->code);
}

/* ---- The shapes ------------------------------------------------------------------------------ */

static enum error build_tree(struct jit_filter *filter, const struct jit_plan *plan,
                             const struct intervals *intervals, unsigned field)
{
    const struct search_tree tree = search_tree_plan(plan->vectors, intervals->count);
    struct emit measured = { 0 };

    search_tree_emit(&tree, field, &measured);
    enum error error = take_table(filter, tree.words);
    if (error == OK)
        error = take_code(filter, &measured);
    if (error != OK)
        return error;

    struct emit emit = { .bytes = filter->code->bytes, .room = filter->code->size_bytes };
    search_tree_fill(&tree, intervals, plan->pause, filter->table);
    search_tree_emit(&tree, field, &emit);
    return seal(filter, &emit);
}

/* One field decides. */
static enum error compile_intervals(struct jit_filter *filter, const struct jit_plan *plan,
                                    const struct jit_rule *rules, unsigned field)
{
    struct intervals intervals;
    enum error error =
        intervals_make(rules, filter->rule_count, field, plan->pause, filter->shadowed, &intervals);
    if (error != OK)
        return error;

    for (unsigned i = 0; i < (filter->rule_count + 63) / 64; i++)
        filter->shadowed[i] = ~filter->shadowed[i];
    filter->description.shape = "intervals";
    filter->description.parts = intervals.count;
    error = build_tree(filter, plan, &intervals, field);
    intervals_free(&intervals);
    return error;
}

static enum error build_linear(struct jit_filter *filter, const struct jit_plan *plan,
                               const struct rule_list *list)
{
    struct emit measured = { 0 };
    enum error error = take_table(filter, linear_emit(plan, list, &measured, NULL));
    if (error == OK)
        error = take_code(filter, &measured);
    if (error != OK)
        return error;

    struct emit emit = { .bytes = filter->code->bytes, .room = filter->code->size_bytes };
    linear_emit(plan, list, &emit, filter->table);
    return seal(filter, &emit);
}

/* Several fields do. */
static enum error compile_linear(struct jit_filter *filter, const struct jit_plan *plan,
                                 const struct jit_rule *rules)
{
    struct rule_list *list = memory_alloc_uncleared(sizeof(*list), 0, MEMORY_CODE);
    enum error error = list != NULL ? OK : fail(ERROR_NO_MEMORY);

    if (error == OK)
        list->count = 0;
    for (unsigned i = 0; i < filter->rule_count && error == OK; i++) {
        bool shadowed;
        error = rule_list_add(list, plan, &rules[i], &shadowed);
        if (shadowed)
            set_shadowed(filter, i);
        pause_take(plan->pause);
    }
    if (error == OK) {
        filter->description.shape = "linear";
        filter->description.parts = list->count;
        error = build_linear(filter, plan, list);
    }
    memory_free(list);
    return error;
}

/* ---- The filter ------------------------------------------------------------------------------ */

enum error jit_filter_compile(const struct jit_plan *plan, const struct jit_rule *rules,
                              unsigned count, struct jit_filter **filter)
{
    uint32_t used;

    CHECK(plan->field_count >= 1 && plan->field_count <= JIT_FIELD_MAX);
    CHECK(plan->vectors < JIT_VECTORS_COUNT);
    if (count > JIT_RULE_MAX)
        return fail(ERROR_FULL);
    enum error error = look_at_rules(plan, rules, count, &used);
    if (error != OK)
        return error;

    struct jit_filter *made =
        memory_alloc(sizeof(*made) + (count + 63) / 64 * sizeof(uint64_t), 0, MEMORY_CODE);
    if (made == NULL)
        return fail(ERROR_NO_MEMORY);
    made->rule_count = count;
    made->description.vectors = plan->vectors;
    /* Where no field is in use, the list comes to one rule at most. */
    const bool is_one_number = used != 0 && (used & (used - 1)) == 0 && (used & plan->bits) == 0;
    error = is_one_number ? compile_intervals(made, plan, rules, (unsigned)__builtin_ctz(used))
                          : compile_linear(made, plan, rules);
    if (error != OK) {
        jit_filter_destroy(made);
        return error;
    }
    *filter = made;
    return OK;
}

void jit_filter_destroy(struct jit_filter *filter)
{
    if (filter == NULL)
        return;
    code_free(filter->code);
    memory_free(filter->table);
    memory_free(filter);
}

void jit_filter_run(const struct jit_filter *filter, const uint32_t (*fields)[BATCH_MAX],
                    unsigned count, uint32_t answers[BATCH_MAX])
{
    DCHECK(count <= BATCH_MAX);
    filter_code *code = (filter_code *)(uintptr_t)filter->code->entry;
    if (count > 0)
        code(fields, count, answers, filter->table);
}

bool jit_filter_is_shadowed(const struct jit_filter *filter, unsigned rule)
{
    CHECK(rule < filter->rule_count);
    return (filter->shadowed[rule / 64] >> (rule % 64) & 1) != 0;
}

void jit_filter_describe(const struct jit_filter *filter, struct jit_description *description)
{
    *description = filter->description;
    description->code = filter->code->entry;
}
