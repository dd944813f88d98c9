/* Comparisons of lanes with constants.
 *
 * A range is one subtraction and one comparison: x is in [first, last] when x - first, counted
 * without a sign, is at most last - first. SSE2 and AVX2 compare with a sign; taking FILTER_SIGN
 * off both sides turns one order into the other, and x - (first ^ FILTER_SIGN) has it taken off
 * already.
 *
 * AVX-512 takes a constant from one word of the table for all lanes, and gathers in a mask register
 * where all fields matched. For the others a constant is as wide as a vector, and where all matched
 * are the ones in a register. */
#include "jit/linear_code.h"

#include "jit/filter_code.h"
#include "jit/lanes.h"
#include "jit/marks.h"

struct linear {
    const struct jit_plan *plan;
    struct emit *emit;
    uint32_t *table; /* or NULL */
    uint32_t words;
};

/* What a rule asks of a field. */
enum test { TEST_NONE, TEST_EXACT, TEST_RANGE, TEST_BITS };

static enum test test_of(const struct jit_plan *plan, unsigned field, const struct jit_range *range)
{
    if ((plan->bits >> field & 1) != 0)
        return range->last == 0 ? TEST_NONE : TEST_BITS;
    if (range->first == 0 && range->last == UINT32_MAX)
        return TEST_NONE;
    return range->first == range->last ? TEST_EXACT : TEST_RANGE;
}

/* The next constant of the table. */
static struct memory_operand constant(struct linear *linear, uint32_t value)
{
    const enum jit_vectors vectors = linear->plan->vectors;
    const unsigned count = vectors == JIT_AVX512 ? 1 : lane_count(vectors);
    const uint32_t at = linear->words;

    for (unsigned i = 0; linear->table != NULL && i < count; i++)
        linear->table[at + i] = value;
    linear->words += count;
    return filter_table(at);
}

static void mark_rule(struct linear *linear, const struct jit_rule *rule)
{
    emit_mark(linear->emit, (struct jit_mark){ .step = JIT_STEP_RULE, .number = rule->answer });
}

/* ---- AVX-512 --------------------------------------------------------------------------------- */

/* Registers: the answer, what is computed, and the fields that any rule asks for. */
enum {
    ANSWER = 0,
    SCRATCH = 1,
    FIELDS = FILTER_FIELD_VECTORS,
    MATCHED = 1,
    ALL_LANES = 0 /* as a mask */
};
_Static_assert(FIELDS + JIT_FIELD_MAX <= 32, "AVX-512 has 32 registers");

static void load_fields(struct linear *linear, const struct rule_list *list)
{
    for (unsigned field = 0; field < linear->plan->field_count; field++) {
        bool is_used = false;
        for (unsigned i = 0; i < list->count; i++)
            is_used |= test_of(linear->plan, field, &list->rules[i].fields[field]) != TEST_NONE;
        if (is_used)
            lanes_load(linear->emit, JIT_AVX512, FIELDS + field, filter_field(field, 0));
    }
}

/* MATCHED = those among `among` that match. */
static void test_mask(struct linear *linear, enum test test, const struct jit_range *range,
                      unsigned field, unsigned among)
{
    struct emit *emit = linear->emit;
    const unsigned value = FIELDS + field;

    switch (test) {
    case TEST_NONE:
        return;
    case TEST_EXACT:
        emit_evex_vpcmpud_word(emit, VECTOR_512, COMPARE_EQUAL, MATCHED, among, value,
                               constant(linear, range->first));
        return;
    case TEST_RANGE:
        emit_evex_word(emit, VECTOR_512, VECTOR_PSUBD, SCRATCH, value,
                       constant(linear, range->first));
        emit_evex_vpcmpud_word(emit, VECTOR_512, COMPARE_NOT_GREATER, MATCHED, among, SCRATCH,
                               constant(linear, range->last - range->first));
        return;
    case TEST_BITS:
        emit_evex_word(emit, VECTOR_512, VECTOR_PAND, SCRATCH, value,
                       constant(linear, range->last));
        emit_evex_vpcmpud_word(emit, VECTOR_512, COMPARE_EQUAL, MATCHED, among, SCRATCH,
                               constant(linear, range->first));
        return;
    }
}

static void try_rule_mask(struct linear *linear, const struct jit_rule *rule)
{
    unsigned among = ALL_LANES;

    mark_rule(linear, rule);
    for (unsigned field = 0; field < linear->plan->field_count; field++) {
        enum test test = test_of(linear->plan, field, &rule->fields[field]);
        test_mask(linear, test, &rule->fields[field], field, among);
        if (test != TEST_NONE)
            among = MATCHED;
    }
    emit_evex_vpbroadcastd_merge(linear->emit, VECTOR_512, ANSWER, among,
                                 constant(linear, rule->answer));
}

static void emit_group_mask(struct linear *linear, const struct rule_list *list)
{
    emit_mark(linear->emit, (struct jit_mark){ .step = JIT_STEP_FIELDS });
    load_fields(linear, list);
    lanes_broadcast(linear->emit, JIT_AVX512, ANSWER, constant(linear, JIT_NONE));
    for (unsigned i = list->count; i-- > 0;)
        try_rule_mask(linear, &list->rules[i]);
    emit_mark(linear->emit, (struct jit_mark){ .step = JIT_STEP_STORE });
    lanes_store(linear->emit, JIT_AVX512, filter_answer(0), ANSWER);
}

/* ---- SSE2 and AVX2 --------------------------------------------------------------------------- */

/* Registers. What an instruction computes replaces its left operand, so names move about. */
struct names {
    unsigned answer;
    unsigned matched;
    unsigned scratch;
};
enum { ONES = 3 };

static void swap(unsigned *a, unsigned *b)
{
    unsigned value = *a;
    *a = *b;
    *b = value;
}

/* matched = those among `among` that match. */
static void test_lanes(struct linear *linear, enum test test, const struct jit_range *range,
                       unsigned field, unsigned among, struct names *names)
{
    const enum jit_vectors vectors = linear->plan->vectors;
    const unsigned at = names->scratch;
    struct emit *emit = linear->emit;

    if (test == TEST_NONE)
        return;
    lanes_load(emit, vectors, at, filter_field(field, 0));
    if (test == TEST_RANGE) {
        lanes_operate_load(emit, vectors, VECTOR_PSUBD, at,
                           constant(linear, range->first ^ FILTER_SIGN));
        lanes_operate_load(emit, vectors, VECTOR_PCMPGTD, at,
                           constant(linear, (range->last - range->first) ^ FILTER_SIGN));
        lanes_operate(emit, vectors, VECTOR_PANDN, at, among);
    } else {
        if (test == TEST_BITS)
            lanes_operate_load(emit, vectors, VECTOR_PAND, at, constant(linear, range->last));
        lanes_operate_load(emit, vectors, VECTOR_PCMPEQD, at, constant(linear, range->first));
        lanes_operate(emit, vectors, VECTOR_PAND, at, among);
    }
    swap(&names->scratch, &names->matched);
}

static void try_rule_lanes(struct linear *linear, const struct jit_rule *rule, struct names *names)
{
    const enum jit_vectors vectors = linear->plan->vectors;
    struct emit *emit = linear->emit;
    unsigned among = ONES;

    mark_rule(linear, rule);
    for (unsigned field = 0; field < linear->plan->field_count; field++) {
        enum test test = test_of(linear->plan, field, &rule->fields[field]);
        test_lanes(linear, test, &rule->fields[field], field, among, names);
        if (test != TEST_NONE)
            among = names->matched;
    }
    if (among == ONES) {
        lanes_load(emit, vectors, names->answer, constant(linear, rule->answer));
        return;
    }
    lanes_load(emit, vectors, names->scratch, constant(linear, rule->answer));
    lanes_operate(emit, vectors, VECTOR_PAND, names->scratch, names->matched);
    lanes_operate(emit, vectors, VECTOR_PANDN, names->matched, names->answer);
    lanes_operate(emit, vectors, VECTOR_POR, names->matched, names->scratch);
    swap(&names->matched, &names->answer);
}

static void emit_group_lanes(struct linear *linear, const struct rule_list *list)
{
    const enum jit_vectors vectors = linear->plan->vectors;
    struct names names = { .answer = 0, .matched = 1, .scratch = 2 };

    lanes_operate(linear->emit, vectors, VECTOR_PCMPEQD, ONES, ONES);
    lanes_load(linear->emit, vectors, names.answer, constant(linear, JIT_NONE));
    for (unsigned i = list->count; i-- > 0;)
        try_rule_lanes(linear, &list->rules[i], &names);
    emit_mark(linear->emit, (struct jit_mark){ .step = JIT_STEP_STORE });
    lanes_store(linear->emit, vectors, filter_answer(0), names.answer);
}

size_t linear_emit(const struct jit_plan *plan, const struct rule_list *list, struct emit *emit,
                   uint32_t *table)
{
    struct linear linear = {
        .plan = plan, .emit = emit, .table = table, .words = FILTER_TABLE_HEAD_WORDS
    };

    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_BEGIN });
    struct label group = filter_loop_begin(emit);
    if (plan->vectors == JIT_AVX512)
        emit_group_mask(&linear, list);
    else
        emit_group_lanes(&linear, list);
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_TURN });
    filter_loop_end(emit, &group, lane_count(plan->vectors));
    filter_end(emit, plan->vectors);
    return linear.words;
}
