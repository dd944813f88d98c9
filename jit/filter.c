/* A filter: which shape suits the rules, and what belongs to it. */
#include "jit/emit.h"
#include "jit/filter_code.h"
#include "jit/intervals.h"
#include "jit/linear_code.h"
#include "jit/marks.h"
#include "jit/rows_code.h"
#include "jit/rule_list.h"
#include "jit/search_tree.h"
#include "kernel/base/vector.h"
#include "kernel/platform.h"

enum { RULES_A_PAUSE = 1024 };

struct jit_filter {
    struct jit_description description; /* code is filled in when asked for */
    struct code *code;
    uint32_t *table;
    struct mark_list marks;
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

struct rules_look {
    uint32_t used;                 /* a bit for each field that any rule asks something of */
    unsigned users[JIT_FIELD_MAX]; /* so many rules do */
};

static enum error look_at_rules(const struct jit_plan *plan, const struct jit_rule *rules,
                                unsigned count, struct rules_look *look)
{
    *look = (struct rules_look){ .used = 0 };
    for (unsigned i = 0; i < count; i++) {
        if (!rule_is_sound(plan, &rules[i]))
            return fail(ERROR_BAD_VALUE);
        uint32_t used = rule_uses(plan, &rules[i]);
        look->used |= used;
        for (; used != 0; used &= used - 1)
            look->users[__builtin_ctz(used)]++;
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
    if (filter->table == NULL)
        return fail(ERROR_NO_MEMORY);
    filter->table[FILTER_SIGN_WORD] = FILTER_SIGN;
    return OK;
}

/* Emits nothing, but for how much it would be. */
static struct emit measure(struct jit_filter *filter)
{
    return (struct emit){ .marks = &filter->marks };
}

static enum error take_code(struct jit_filter *filter, const struct emit *measured)
{
    filter->description.code_bytes = (unsigned)measured->used;
    filter->code = code_alloc(measured->used);
    if (filter->code == NULL)
        return fail(ERROR_NO_MEMORY);
    return mark_list_make_room(&filter->marks);
}

static struct emit write(struct jit_filter *filter)
{
    return (struct emit){ .bytes = filter->code->bytes,
                          .room = filter->code->size_bytes,
                          .marks = &filter->marks };
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
    const struct search_tree tree =
        search_tree_plan(plan->vectors, intervals->count, FILTER_TABLE_HEAD_WORDS);
    struct emit measured = measure(filter);

    search_tree_emit(&tree, field, &measured);
    filter_end(&measured, plan->vectors);
    enum error error = take_table(filter, tree.end_words);
    if (error == OK)
        error = take_code(filter, &measured);
    if (error != OK)
        return error;

    struct emit emit = write(filter);
    search_tree_fill(&tree, intervals, plan->pause, filter->table);
    search_tree_emit(&tree, field, &emit);
    filter_end(&emit, plan->vectors);
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
    struct emit measured = measure(filter);
    enum error error = take_table(filter, linear_emit(plan, list, &measured, NULL));
    if (error == OK)
        error = take_code(filter, &measured);
    if (error != OK)
        return error;

    struct emit emit = write(filter);
    linear_emit(plan, list, &emit, filter->table);
    return seal(filter, &emit);
}

/* What rows are made of and from, until they are a table. */
struct rows_parts {
    struct bit_rows rows;
    struct field_rows fields[JIT_FIELD_MAX];
    unsigned field_count;
};

static enum error make_rows(const struct jit_plan *plan, const struct rule_list *list,
                            uint32_t used, unsigned room, struct rows_parts *parts)
{
    enum error error = bit_rows_create(&parts->rows, plan->vectors, list, room);

    for (; used != 0 && error == OK; used &= used - 1) {
        error = field_rows_make(plan, list, (unsigned)__builtin_ctz(used), &parts->rows,
                                &parts->fields[parts->field_count]);
        if (error == OK)
            parts->field_count++;
    }
    return error;
}

static enum error build_rows(struct jit_filter *filter, const struct jit_plan *plan,
                             const struct rule_list *list, struct rows_parts *parts)
{
    const struct rows_code code =
        rows_code_plan(plan->vectors, list, &parts->rows, parts->fields, parts->field_count);
    struct emit measured = measure(filter);

    rows_code_emit(&code, &measured);
    enum error error = take_table(filter, code.end_words);
    if (error == OK)
        error = take_code(filter, &measured);
    if (error != OK)
        return error;

    struct emit emit = write(filter);
    rows_code_fill(&code, list, &parts->rows, parts->fields, plan->pause, filter->table);
    rows_code_emit(&code, &emit);
    return seal(filter, &emit);
}

static enum error compile_rows(struct jit_filter *filter, const struct jit_plan *plan,
                               const struct rule_list *list, uint32_t used, unsigned room)
{
    struct rows_parts parts = { .field_count = 0 };
    enum error error = make_rows(plan, list, used, room, &parts);

    if (error == OK)
        error = build_rows(filter, plan, list, &parts);
    while (parts.field_count > 0)
        field_rows_free(&parts.fields[--parts.field_count]);
    bit_rows_destroy(&parts.rows);
    return error;
}

/* How many rows there may be in all fields that the list uses; 0 where one has too many. */
static unsigned rows_max(const struct jit_plan *plan, const struct rule_list *list, uint32_t *used)
{
    unsigned room = 0;

    *used = 0;
    for (unsigned i = 0; i < list->count; i++)
        *used |= rule_uses(plan, &list->rules[i]);
    for (uint32_t left = *used; left != 0; left &= left - 1) {
        unsigned count = field_rows_max(plan, list, (unsigned)__builtin_ctz(left));
        if (count == 0)
            return 0;
        room += count;
    }
    return room;
}

/* From so many rules on rows are faster: measured by tests/bench/filter_bench.c. */
static const unsigned rows_from[] = { [JIT_SSE2] = 16, [JIT_AVX2] = 24, [JIT_AVX512] = 64 };

static enum error compile_list(struct jit_filter *filter, const struct jit_plan *plan,
                               const struct rule_list *list)
{
    uint32_t used;
    const unsigned room = rows_max(plan, list, &used);

    filter->description.parts = list->count;
    const bool wants_rows = plan->shape == JIT_BEST_SHAPE ? list->count >= rows_from[plan->vectors]
                                                          : plan->shape == JIT_ROWS;
    if (room > 0 && wants_rows) {
        filter->description.shape = "rows";
        return compile_rows(filter, plan, list, used, room);
    }
    if (list->count > JIT_LINEAR_MAX)
        return fail(ERROR_FULL);
    filter->description.shape = "linear";
    return build_linear(filter, plan, list);
}

/* The field of numbers of which most rules ask something. */
static unsigned key_field(const struct jit_plan *plan, const struct rules_look *look)
{
    unsigned best = 0;

    for (unsigned field = 1; field < plan->field_count; field++) {
        if ((plan->bits >> field & 1) == 0 &&
            ((plan->bits >> best & 1) != 0 || look->users[field] > look->users[best]))
            best = field;
    }
    return best;
}

/* Several fields do. */
static enum error compile_general(struct jit_filter *filter, const struct jit_plan *plan,
                                  const struct jit_rule *rules, const struct rules_look *look)
{
    struct rule_list *list = memory_alloc_uncleared(sizeof(*list), 0, MEMORY_CODE);
    enum error error = list != NULL ? OK : fail(ERROR_NO_MEMORY);

    if (error == OK)
        rule_list_init(list, key_field(plan, look));
    for (unsigned i = 0; i < filter->rule_count && error == OK; i++) {
        bool shadowed;
        error = rule_list_add(list, plan, &rules[i], &shadowed);
        if (shadowed)
            set_shadowed(filter, i);
        pause_take(plan->pause);
    }
    if (error == OK)
        error = compile_list(filter, plan, list);
    memory_free(list);
    return error;
}

/* ---- The filter ------------------------------------------------------------------------------ */

enum error jit_filter_compile(const struct jit_plan *plan, const struct jit_rule *rules,
                              unsigned count, struct jit_filter **filter)
{
    struct rules_look look;

    CHECK(plan->field_count >= 1 && plan->field_count <= JIT_FIELD_MAX);
    CHECK(plan->vectors < JIT_VECTORS_COUNT);
    if (count > JIT_RULE_MAX)
        return fail(ERROR_FULL);
    enum error error = look_at_rules(plan, rules, count, &look);
    if (error != OK)
        return error;

    struct jit_filter *made =
        memory_alloc(sizeof(*made) + (count + 63) / 64 * sizeof(uint64_t), 0, MEMORY_CODE);
    if (made == NULL)
        return fail(ERROR_NO_MEMORY);
    made->rule_count = count;
    made->description.vectors = plan->vectors;
    /* Where no field is in use, the list comes to one rule at most. */
    const uint32_t used = look.used;
    const bool is_one_number = plan->shape == JIT_BEST_SHAPE && used != 0 &&
                               (used & (used - 1)) == 0 && (used & plan->bits) == 0;
    error = is_one_number ? compile_intervals(made, plan, rules, (unsigned)__builtin_ctz(used))
                          : compile_general(made, plan, rules, &look);
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
    mark_list_destroy(&filter->marks);
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
    description->table = filter->table;
    description->marks = (struct jit_marks){ .mark_count = filter->marks.mark_count,
                                             .table_count = filter->marks.table_count,
                                             .marks = filter->marks.marks,
                                             .tables = filter->marks.tables };
}
