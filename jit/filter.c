/* A filter: which shape suits the rules, and what belongs to it. */
#include "jit/emit.h"
#include "jit/filter_code.h"
#include "jit/first_match.h"
#include "jit/key_front.h"
#include "jit/key_search.h"
#include "jit/keys.h"
#include "jit/linear_code.h"
#include "jit/marks.h"
#include "jit/portions.h"
#include "jit/rule_list.h"
#include "jit/shadow.h"
#include "kernel/base/vector.h"
#include "kernel/platform.h"

struct jit_filter {
    struct jit_description description; /* code is filled in when asked for */
    struct key_front front;             /* before the code; may be without any */
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
    if (measured->used > JIT_CODE_BYTES_MAX)
        return fail(ERROR_FULL);
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

static enum error build_search(struct jit_filter *filter, const struct jit_plan *plan,
                               struct key_search *search)
{
    const uint32_t end_words = key_search_place(search, FILTER_TABLE_HEAD_WORDS, plan->pause);
    struct emit measured = measure(filter);

    key_search_emit(search, &measured);
    filter_end(&measured, plan->vectors);
    enum error error = take_table(filter, end_words);
    if (error == OK)
        error = take_code(filter, &measured);
    if (error != OK)
        return error;

    struct emit emit = write(filter);
    key_search_fill(search, plan->pause, filter->table);
    key_search_emit(search, &emit);
    filter_end(&emit, plan->vectors);
    return seal(filter, &emit);
}

/* One key decides. */
static enum error compile_intervals(struct jit_filter *filter, const struct jit_plan *plan,
                                    const struct jit_rule *rules, const struct keys_look *look)
{
    const unsigned field = (unsigned)__builtin_ctz(look->asked);
    struct key_search search = { .field = field };
    enum error error = first_match_search(plan, rules, filter->rule_count, field, filter->shadowed,
                                          &filter->description.parts, &search);

    for (unsigned i = 0; i < (filter->rule_count + 63) / 64; i++)
        filter->shadowed[i] = ~filter->shadowed[i];
    filter->description.shape = "intervals";
    if (error == OK)
        error = build_search(filter, plan, &search);
    key_search_free(&search);
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

static enum error build_rows(struct jit_filter *filter, const struct rows_code *code)
{
    struct emit measured = measure(filter);

    rows_code_emit(code, &measured);
    enum error error = take_code(filter, &measured);
    if (error != OK)
        return error;

    struct emit emit = write(filter);
    rows_code_emit(code, &emit);
    return seal(filter, &emit);
}

static enum error compile_rows(struct jit_filter *filter, const struct jit_plan *plan,
                               const struct rule_list *list, struct pace *pace)
{
    struct table table;
    struct rows_code code = { .portion_count = 0 };
    enum error error = table_create(&table, pace);

    if (error != OK)
        return error;
    error = portions_write(plan, list, &table, &code);
    if (error == OK)
        error = table_settle(&table);
    if (error == OK)
        error = build_rows(filter, &code);
    filter->table = table.words;
    filter->description.table_bytes = table.used * sizeof(uint32_t);
    filter->description.portions = code.portion_count;
    for (unsigned i = 0; i < code.portion_count; i++)
        filter->description.groups += code.portions[i].group_count;
    portions_free(&code);
    return error;
}

static bool bits_fit(const struct jit_plan *plan, const struct rule_list *list)
{
    for (unsigned field = 0; field < plan->field_count; field++) {
        if ((plan->bits >> field & 1) != 0 && !bit_classes_fit(list, field))
            return false;
    }
    return true;
}

/* From so many rules on rows are faster: measured by tests/bench/filter_bench.c. */
static const unsigned rows_from[] = { [JIT_SSE2] = 16, [JIT_AVX2] = 24, [JIT_AVX512] = 64 };

static enum error compile_list(struct jit_filter *filter, const struct jit_plan *plan,
                               const struct rule_list *list, struct pace *pace)
{
    const bool wants_rows = plan->shape == JIT_BEST_SHAPE ? list->count >= rows_from[plan->vectors]
                                                          : plan->shape == JIT_ROWS;

    filter->description.parts = list->count;
    if (wants_rows && list->used != 0 && bits_fit(plan, list)) {
        filter->description.shape = "rows";
        return list->count <= JIT_GENERAL_MAX ? compile_rows(filter, plan, list, pace)
                                              : fail(ERROR_FULL);
    }
    if (list->count > JIT_LINEAR_MAX)
        return fail(ERROR_FULL);
    filter->description.shape = "linear";
    return build_linear(filter, plan, list);
}

/* Several fields do. */
static enum error compile_general(struct jit_filter *filter, const struct jit_plan *plan,
                                  const struct jit_rule *rules, const struct keys_look *look)
{
    struct pace pace = { .pause = plan->pause };
    struct rule_list list = { .count = 0 };
    enum error error =
        shadow_find(plan, rules, filter->rule_count, look->asked, &pace, filter->shadowed);

    if (error == OK)
        error = rule_list_make(plan, rules, filter->rule_count, filter->shadowed, &pace, &list);
    if (error == OK)
        error = compile_list(filter, plan, &list, &pace);
    rule_list_free(&list);
    return error;
}

static enum error compile_made(struct jit_filter *filter, const struct jit_plan *plan,
                               const struct jit_rule *rules)
{
    struct keys_look look;
    enum error error = keys_look(plan, rules, filter->rule_count, &look);

    return error == OK ? compile_general(filter, plan, rules, &look) : error;
}

/* Words are what is compared, each by itself. */
static enum error compile_words(struct jit_filter *filter, const struct jit_plan *plan,
                                const struct jit_rule *rules)
{
    struct jit_plan words = *plan;

    words.joined = 0;
    return compile_made(filter, &words, rules);
}

/* Keys become columns first. */
static enum error compile_columns(struct jit_filter *filter, const struct jit_plan *plan,
                                  const struct jit_rule *rules, const struct keys_look *look)
{
    struct key_columns *columns = memory_alloc(sizeof(*columns), 0, MEMORY_CODE);
    struct jit_rule *made = NULL;
    enum error error = ERROR_NO_MEMORY;

    if (columns == NULL)
        return fail(error);
    error = key_columns_make(plan, rules, filter->rule_count, look, columns);
    if (error == OK) {
        made = key_columns_rules(columns, plan, rules, filter->rule_count, filter->shadowed);
        error = made != NULL ? compile_made(filter, &columns->plan, made) : fail(ERROR_NO_MEMORY);
    }
    if (error == OK)
        error = key_front_build(columns, &filter->front);
    filter->description.front_code_bytes = filter->front.code_bytes;
    filter->description.front_table_bytes = filter->front.table_bytes;
    memory_free(made);
    key_columns_free(columns);
    memory_free(columns);
    return error;
}

/* ---- The filter ------------------------------------------------------------------------------ */

enum error jit_filter_compile(const struct jit_plan *plan, const struct jit_rule *rules,
                              unsigned count, struct jit_filter **filter)
{
    struct keys_look look;

    CHECK(plan->field_count >= 1 && plan->field_count <= JIT_FIELD_MAX);
    CHECK(plan->vectors < JIT_VECTORS_COUNT);
    if (count > JIT_RULE_MAX)
        return fail(ERROR_FULL);
    enum error error = keys_look(plan, rules, count, &look);
    if (error != OK)
        return error;

    struct jit_filter *made =
        memory_alloc(sizeof(*made) + (count + 63) / 64 * sizeof(uint64_t), 0, MEMORY_CODE);
    if (made == NULL)
        return fail(ERROR_NO_MEMORY);
    made->rule_count = count;
    made->description.vectors = plan->vectors;
    /* Where no key is in use, the list comes to one rule at most. */
    const uint32_t asked = look.asked;
    const bool is_one_key = asked != 0 && (asked & (asked - 1)) == 0 && (asked & plan->bits) == 0;
    if (is_one_key && plan->shape == JIT_BEST_SHAPE)
        error = compile_intervals(made, plan, rules, &look);
    else if (!key_columns_are_needed(plan, &look))
        error = compile_general(made, plan, rules, &look);
    else if (count < rows_from[plan->vectors] && keys_are_boxes(plan, rules, count))
        error = compile_words(made, plan, rules);
    else
        error = compile_columns(made, plan, rules, &look);
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
    key_front_free(&filter->front);
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
    if (count == 0)
        return;
    if (filter->front.code == NULL) {
        code(fields, count, answers, filter->table);
        return;
    }
    alignas(CACHE_LINE_BYTES) uint32_t columns[JIT_FIELD_MAX][BATCH_MAX];
    key_front_run(&filter->front, fields, count, columns);
    code((const uint32_t(*)[BATCH_MAX])columns, count, answers, filter->table);
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
    description->marks = mark_list_of(&filter->marks);
    description->front = filter->front.code != NULL ? &filter->front : NULL;
}
