/* Goal: what people are shown of a compiled filter is so. Method: random rules in every shape and
 * for every kind of vector; all code is read from mark to mark, what leads to a rule is compared
 * with its ranges, and copies that end early are run. */
#include <string.h>

#include "jit/show.h"
#include "kernel/base/random.h"
#include "tests/unit/test.h"

enum { FIELDS = 4, BITS = 3, RULES = 120, ROUNDS = 60 };

static uint64_t random_state = 7;

static unsigned below(unsigned limit)
{
    return random_below(&random_state, limit);
}

/* Rule i answers i. Ranges lie anywhere in small spaces, so that they overlap. */
static void draw_rules(struct jit_rule *rules, unsigned count, unsigned used)
{
    for (unsigned i = 0; i < count; i++) {
        rules[i] = (struct jit_rule){ .answer = i };
        for (unsigned field = 0; field < FIELDS; field++) {
            const uint32_t first = below(200), length = below(40);
            rules[i].fields[field] = field == BITS ? JIT_ANY_BITS : JIT_ANY;
            if ((used >> field & 1) == 0 || below(4) == 0)
                continue;
            rules[i].fields[field] =
                field == BITS ? (struct jit_range){ first & 0x2a & length, 0x2a & length }
                              : (struct jit_range){ first, first + length };
        }
    }
}

struct sight {
    struct jit_plan plan;
    struct jit_rule rules[RULES];
    unsigned count;
    struct jit_filter *filter;
    struct jit_description description;
};

static void compile(struct sight *sight)
{
    sight->filter = NULL;
    EXPECT_EQUAL(jit_filter_compile(&sight->plan, sight->rules, sight->count, &sight->filter), OK);
    jit_filter_describe(sight->filter, &sight->description);
}

/* Calls `look` with filters of each shape for each kind of vector, some of a rule or two. */
static void with_all(void (*look)(struct sight *sight))
{
    static struct sight sight;
    static const char *const shapes[] = { "intervals", "linear", "rows" };

    for (unsigned round = 0; round < ROUNDS; round++) {
        const unsigned shape = round % ARRAY_COUNT(shapes);
        sight.plan = (struct jit_plan){ .field_count = FIELDS,
                                        .bits = 1u << BITS,
                                        .vectors = round / 3 % (jit_vectors_best() + 1),
                                        .shape = (enum jit_shape)shape };
        sight.count = round < 12 ? 1 + below(3) : RULES;
        draw_rules(sight.rules, sight.count, shape == JIT_BEST_SHAPE ? 1 : (1u << FIELDS) - 1);
        sight.rules[0].fields[0] = (struct jit_range){ 100, 150 };
        compile(&sight);
        EXPECT_TEXT(sight.description.shape, shapes[shape]);
        EXPECT_EQUAL(sight.description.vectors, sight.plan.vectors);
        look(&sight);
        jit_filter_destroy(sight.filter);
    }
}

/* ---- Instructions and marks ------------------------------------------------------------------ */

/* From a mark to the next one, instruction by instruction. Answers the last of the table's words
 * that one of them takes. */
static uint32_t read_mark(const struct jit_description *filter, unsigned mark)
{
    struct jit_instruction instruction;
    uint32_t value = JIT_NONE, at = filter->marks.marks[mark].at;

    EXPECT(at < jit_mark_end(filter, mark));
    while (at < jit_mark_end(filter, mark)) {
        jit_instruction_at(filter, at, &instruction);
        EXPECT(instruction.disassembled.length > 0);
        EXPECT(instruction.disassembled.text[0] != '\0');
        if (instruction.operand == JIT_OPERAND_VALUE)
            value = instruction.value;
        EXPECT(instruction.operand != JIT_OPERAND_FIELD || instruction.has_field);
        EXPECT(instruction.field < FIELDS);
        if (instruction.operand == JIT_OPERAND_TABLE || instruction.operand == JIT_OPERAND_VALUE)
            EXPECT(instruction.index < filter->table_bytes / sizeof(uint32_t));
        at += instruction.disassembled.length;
    }
    EXPECT_EQUAL(at, jit_mark_end(filter, mark));
    return value;
}

/* All of the code is read without a gap; what is marked as a rule's ends with its answer; and each
 * rule that is not shadowed has a mark, and no other. */
static void look_at_marks(struct sight *sight)
{
    const struct jit_marks *marks = &sight->description.marks;
    uint64_t marked[RULES / 64 + 1] = { 0 };

    EXPECT_EQUAL(marks->marks[0].at, 0);
    EXPECT_EQUAL(marks->marks[marks->mark_count - 1].step, JIT_STEP_END);
    for (unsigned i = 0; i < marks->mark_count; i++) {
        const struct jit_mark *mark = &marks->marks[i];
        uint32_t value = read_mark(&sight->description, i);
        EXPECT(mark->field < FIELDS);
        if (mark->step != JIT_STEP_RULE)
            continue;
        EXPECT_EQUAL(value, mark->number);
        marked[mark->number / 64] |= (uint64_t)1 << (mark->number % 64);
    }
    for (unsigned i = 0; i < sight->count && strcmp(sight->description.shape, "linear") == 0; i++)
        EXPECT_EQUAL(marked[i / 64] >> (i % 64) & 1, !jit_filter_is_shadowed(sight->filter, i));
}

TEST(jit_show_reads_all_code_from_mark_to_mark)
{
    with_all(look_at_marks);
}

TEST(jit_show_tells_what_instructions_look_at)
{
    const struct jit_plan plan = { .field_count = 2, .vectors = JIT_SSE2 };
    struct jit_rule rules[] = { { .fields = { { 80, 80 }, { 0xc0000200, 0xc00002ff } },
                                  .answer = 5 } };
    struct jit_filter *filter = NULL;
    struct jit_description description;
    struct jit_instruction instruction;
    unsigned seen[JIT_OPERAND_STACK + 1] = { 0 };
    bool saw_port = false;

    EXPECT_EQUAL(jit_filter_compile(&plan, rules, 1, &filter), OK);
    jit_filter_describe(filter, &description);
    for (uint32_t at = 0; at < description.code_bytes; at += instruction.disassembled.length) {
        jit_instruction_at(&description, at, &instruction);
        EXPECT(instruction.disassembled.length > 0);
        seen[instruction.operand]++;
        saw_port |= instruction.operand == JIT_OPERAND_VALUE && instruction.value == 80;
    }
    EXPECT(saw_port);
    EXPECT_EQUAL(seen[JIT_OPERAND_FIELD], 2);
    EXPECT_EQUAL(seen[JIT_OPERAND_VALUE], 5); /* none, a port, first and last, the answer */
    EXPECT_EQUAL(seen[JIT_OPERAND_ANSWER], 1);
    jit_instruction_at(&description, description.code_bytes - 1, &instruction);
    EXPECT_TEXT(instruction.disassembled.text, "ret");
    jit_instruction_at(&description, description.code_bytes, &instruction);
    EXPECT_EQUAL(instruction.disassembled.length, 0);
    jit_filter_destroy(filter);
}

/* ---- What leads to a rule -------------------------------------------------------------------- */

/* Who decides about a packet of that value, in a filter of one field. */
static uint32_t answer_at(const struct sight *sight, uint32_t value)
{
    static uint32_t fields[FIELDS][BATCH_MAX];
    uint32_t answers[BATCH_MAX];

    fields[0][0] = value;
    jit_filter_run(sight->filter, (const uint32_t(*)[BATCH_MAX])fields, 1, answers);
    return answers[0];
}

/* Intervals are those of the values that the rule decides about, and the longest such. */
static void expect_interval(const struct sight *sight, const struct jit_entry *entry,
                            uint32_t answer)
{
    EXPECT(entry->first <= entry->last);
    EXPECT_EQUAL(answer_at(sight, entry->first), answer);
    EXPECT_EQUAL(answer_at(sight, entry->last), answer);
    EXPECT(entry->first == 0 || answer_at(sight, entry->first - 1) != answer);
    EXPECT(entry->last == UINT32_MAX || answer_at(sight, entry->last + 1) != answer);
}

/* Of rows: all that the rule wants of the field. */
static void expect_range(const struct jit_rule *rule, const struct jit_entry *entry)
{
    const struct jit_range *range = &rule->fields[entry->table->field];

    if (entry->table->kind == JIT_TABLE_VALUES) {
        EXPECT_EQUAL(entry->first & ~entry->table->mask, 0);
        EXPECT_EQUAL(entry->first & range->last, range->first);
    } else if (entry->table->kind == JIT_TABLE_INTERVALS) {
        EXPECT_EQUAL(entry->first, range->first);
        EXPECT_EQUAL(entry->last, range->last);
    }
}

static unsigned find_entries(const struct sight *sight, uint32_t answer)
{
    struct jit_entry_search search = { .answer = answer };
    struct jit_entry entry;
    enum jit_found found;
    unsigned count = 0;

    while ((found = jit_entry_next(&sight->description, &search, &entry)) != JIT_NO_MORE) {
        if (found == JIT_NOT_YET)
            continue;
        count++;
        if (strcmp(sight->description.shape, "intervals") == 0)
            expect_interval(sight, &entry, answer);
        else
            expect_range(&sight->rules[answer], &entry);
    }
    return count;
}

static void look_at_entries(struct sight *sight)
{
    for (unsigned i = 0; i < sight->count; i++) {
        unsigned count = find_entries(sight, i);
        if (strcmp(sight->description.shape, "linear") == 0)
            EXPECT_EQUAL(count, 0);
        else
            EXPECT_EQUAL(count == 0, jit_filter_is_shadowed(sight->filter, i));
    }
}

TEST(jit_show_finds_what_leads_to_a_rule)
{
    with_all(look_at_entries);
}

/* More intervals than one call looks at; the rules' own are all but every other. */
TEST(jit_show_finds_entries_of_large_tables)
{
    static struct jit_rule rules[20000];
    const struct jit_plan plan = { .field_count = 1, .vectors = JIT_SSE2 };
    struct jit_entry_search search = { .answer = 7 };
    struct jit_filter *filter = NULL;
    struct jit_description description;
    struct jit_entry entry;
    enum jit_found found;
    unsigned calls = 0, count = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(rules); i++)
        rules[i] = (struct jit_rule){ .fields = { { 4 * i, 4 * i + 1 } },
                                      .answer = i == 0 || i == 19999 ? 7 : 8 };
    EXPECT_EQUAL(jit_filter_compile(&plan, rules, ARRAY_COUNT(rules), &filter), OK);
    jit_filter_describe(filter, &description);
    for (; (found = jit_entry_next(&description, &search, &entry)) != JIT_NO_MORE; calls++) {
        if (found == JIT_NOT_YET)
            continue;
        EXPECT_EQUAL(entry.first, count == 0 ? 0 : 4 * 19999);
        EXPECT_EQUAL(entry.last, entry.first + 1);
        count++;
    }
    EXPECT_EQUAL(count, 2);
    EXPECT(calls > 9);
    jit_filter_destroy(filter);
}

/* All rows have rule 0's bit, so its interval goes on from call to call. */
TEST(jit_show_finds_what_is_longer_than_a_call_as_one)
{
    static struct jit_rule rules[1500];
    const struct jit_plan plan = { .field_count = 2, .shape = JIT_ROWS };
    struct jit_entry_search search = { .answer = 0 };
    struct jit_filter *filter = NULL;
    struct jit_description description;
    struct jit_entry entry;
    enum jit_found found;
    unsigned count = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(rules); i++)
        rules[i] = (struct jit_rule){ .fields = { { 4 * i, 4 * i + 1 }, { 0, 9 } }, .answer = i };
    rules[0] = (struct jit_rule){ .fields = { { 1, UINT32_MAX - 1 }, { 5, 5 } }, .answer = 0 };
    EXPECT_EQUAL(jit_filter_compile(&plan, rules, ARRAY_COUNT(rules), &filter), OK);
    jit_filter_describe(filter, &description);
    while ((found = jit_entry_next(&description, &search, &entry)) != JIT_NO_MORE) {
        if (found == JIT_NOT_YET || entry.table->field != 0 || entry.table->kind == JIT_TABLE_ROWS)
            continue;
        EXPECT_EQUAL(entry.first, 1);
        EXPECT_EQUAL(entry.last, UINT32_MAX - 1);
        count++;
    }
    EXPECT_EQUAL(count, 1);
    jit_filter_destroy(filter);
}

/* ---- Keys of several words ------------------------------------------------------------------- */

enum { KEY_WORDS = 4 };

/* Words of few values, so that ranges end within pairs, and many within the same one. */
static void draw_key(uint32_t words[KEY_WORDS])
{
    static const uint32_t values[] = { 0, 1, 7, 0x80000000, 0xfffffffe, UINT32_MAX };

    for (unsigned i = 0; i < KEY_WORDS; i++)
        words[i] = values[below(ARRAY_COUNT(values))] + below(i < 2 ? 2 : 40);
}

/* Another answer for each rule, from one value to another. */
static void draw_key_rule(struct jit_rule *rule, uint32_t answer)
{
    uint32_t a[KEY_WORDS], b[KEY_WORDS];
    unsigned same = below(KEY_WORDS), word = 0;

    draw_key(a);
    draw_key(b);
    memcpy(b, a, same * sizeof(*a));
    while (word < KEY_WORDS - 1 && a[word] == b[word])
        word++;
    *rule = (struct jit_rule){ .answer = answer };
    for (unsigned i = 0; i < KEY_WORDS; i++)
        rule->fields[i] = a[word] <= b[word] ? (struct jit_range){ a[i], b[i] }
                                             : (struct jit_range){ b[i], a[i] };
}

/* What the filter answers for a key that is `step` beside that one. */
static uint32_t answer_beside(const struct jit_filter *filter, const uint32_t *words, int step)
{
    static uint32_t fields[KEY_WORDS][BATCH_MAX];
    uint32_t answers[BATCH_MAX];
    bool carries = step != 0;

    for (unsigned i = KEY_WORDS; i-- > 0;) {
        fields[i][0] = words[i] + (carries ? (uint32_t)step : 0);
        carries = carries && fields[i][0] == (step > 0 ? 0 : UINT32_MAX);
    }
    if (carries) /* there is none */
        return UINT32_MAX - 1;
    jit_filter_run(filter, (const uint32_t(*)[BATCH_MAX])fields, 1, answers);
    return answers[0];
}

static void expect_key_interval(const struct jit_filter *filter, const struct jit_entry *entry,
                                uint32_t answer)
{
    EXPECT_EQUAL(entry->table->kind, JIT_TABLE_PAIRS);
    EXPECT_EQUAL(answer_beside(filter, entry->first_words, 0), answer);
    EXPECT_EQUAL(answer_beside(filter, entry->last_words, 0), answer);
    EXPECT(answer_beside(filter, entry->first_words, -1) != answer);
    EXPECT(answer_beside(filter, entry->last_words, 1) != answer);
}

TEST(jit_show_finds_the_intervals_of_longer_keys)
{
    static struct jit_rule rules[400];

    for (unsigned round = 0; round < 30; round++) {
        const struct jit_plan plan = { .field_count = KEY_WORDS,
                                       .joined = 0xe,
                                       .vectors = round % (jit_vectors_best() + 1) };
        const unsigned count = round < 10 ? 3 : ARRAY_COUNT(rules);
        struct jit_filter *filter = NULL;
        struct jit_description description;
        for (unsigned i = 0; i < count; i++)
            draw_key_rule(&rules[i], i);
        rules[0].fields[0] = rules[0].fields[1] = (struct jit_range){ 3, 3 };
        rules[0].fields[2] = rules[0].fields[3] = (struct jit_range){ 5, 9 };
        for (unsigned i = 0; i < KEY_WORDS; i++) /* from the first key to the last */
            rules[count - 1].fields[i] = JIT_ANY;
        EXPECT_EQUAL(jit_filter_compile(&plan, rules, count, &filter), OK);
        jit_filter_describe(filter, &description);
        for (unsigned i = 0; i < count; i++) {
            struct jit_entry_search search = { .answer = i };
            struct jit_entry entry;
            enum jit_found found;
            unsigned entries = 0;
            while ((found = jit_entry_next(&description, &search, &entry)) != JIT_NO_MORE) {
                if (found == JIT_NOT_YET)
                    continue;
                expect_key_interval(filter, &entry, i);
                entries++;
            }
            EXPECT_EQUAL(entries == 0, jit_filter_is_shadowed(filter, i));
        }
        jit_filter_destroy(filter);
    }
}

/* ---- Copies that end early ------------------------------------------------------------------- */

/* Each copy runs and ends; the one that ends behind the last mark decides as the filter does. */
static void look_at_cuts(struct sight *sight)
{
    static uint32_t fields[FIELDS][BATCH_MAX];
    uint32_t answers[BATCH_MAX], wanted[BATCH_MAX];
    const unsigned marks = sight->description.marks.mark_count;

    for (unsigned field = 0; field < FIELDS; field++)
        for (unsigned i = 0; i < BATCH_MAX; i++)
            fields[field][i] = below(250);
    jit_filter_run(sight->filter, (const uint32_t(*)[BATCH_MAX])fields, BATCH_MAX, wanted);
    for (unsigned i = 0; i < marks; i++) {
        struct jit_cut cut;
        EXPECT_EQUAL(jit_cut_make(&sight->description, i, &cut), OK);
        jit_cut_run(&cut, (const uint32_t(*)[BATCH_MAX])fields, BATCH_MAX, answers);
        if (sight->description.marks.marks[i].step >= JIT_STEP_STORE)
            EXPECT(memcmp(answers, wanted, sizeof(answers)) == 0);
        jit_cut_free(&cut);
    }
}

TEST(jit_show_cuts_code_behind_every_mark)
{
    with_all(look_at_cuts);
}
