/* Field by field, and of each field group by group, so that what is searched together lies
 * together. Trees are raised to one height when the highest one is known. */
#include "jit/rows_table.h"

#include <string.h>

#include "jit/keys.h"
#include "jit/search_tree.h"
#include "kernel/platform.h"

struct writer {
    const struct jit_plan *plan;
    const struct rule_list *list;
    const struct rule_groups *groups;
    struct table *table;
    struct rows_portion *portion;
    struct bit_rows rows;
    uint32_t records;      /* where they are, in words */
    unsigned record_words; /* of each */
    struct forest *forest;
};

/* Trees that the same code searches. */
struct forest {
    unsigned level_count; /* of the highest */
    struct {
        uint32_t root;
        uint32_t level_count;
    } trees[];
};

/* ---- Forests --------------------------------------------------------------------------------- */

static enum error add_tree(struct writer *writer, const struct intervals *intervals,
                           unsigned number)
{
    struct forest *forest = writer->forest;
    struct search_tree tree = search_tree_plan(writer->plan->vectors, intervals->count, 0);
    uint32_t at;

    enum error error = table_take(writer->table, tree.end_words, SEARCH_NODE_WORDS, &at);
    if (error != OK)
        return error;
    tree = search_tree_plan(writer->plan->vectors, intervals->count, at);
    search_tree_fill(&tree, intervals, writer->table->pace->pause, writer->table->words);
    pace_steps(writer->table->pace, intervals->count / 4);
    forest->trees[number].root = at;
    forest->trees[number].level_count = tree.level_count;
    forest->level_count =
        number == 0 ? tree.level_count : MAX_OF(forest->level_count, tree.level_count);
    return OK;
}

/* All to the height of the highest. */
static enum error raise_trees(struct writer *writer, unsigned count)
{
    struct forest *forest = writer->forest;

    for (unsigned i = 0; i < count; i++) {
        for (unsigned level = forest->trees[i].level_count; level < forest->level_count; level++) {
            uint32_t at;
            enum error error = table_take(writer->table, SEARCH_NODE_WORDS, SEARCH_NODE_WORDS, &at);
            if (error != OK)
                return error;
            search_tree_raise(writer->plan->vectors, forest->trees[i].root, at,
                              writer->table->words);
            forest->trees[i].root = at;
        }
    }
    return OK;
}

/* ---- Fields ---------------------------------------------------------------------------------- */

static uint32_t *entry_at(const struct writer *writer, unsigned group, unsigned entry)
{
    return writer->table->words + writer->records + (size_t)group * writer->record_words + entry;
}

static enum error write_numbers(struct writer *writer, unsigned at)
{
    struct rows_field *field = &writer->portion->fields[at];
    enum error error = OK;

    for (unsigned i = 0; i < writer->groups->count && error == OK; i++) {
        const struct rule_group group = rule_group_at(writer->groups, i);
        error = bit_rows_of_numbers(&writer->rows, writer->list, &group, field->field);
        if (error == OK)
            error = add_tree(writer, &writer->rows.found, i);
    }
    if (error == OK)
        error = raise_trees(writer, writer->groups->count);
    if (error != OK)
        return error;
    field->level_count = writer->forest->level_count;
    field->start = writer->forest->trees[0].root;
    field->count = writer->rows.found.count;
    for (unsigned i = 0; i < writer->groups->count && writer->portion->stage_count > 0; i++)
        *entry_at(writer, i, at) = search_tree_place(writer->forest->trees[i].root);
    return OK;
}

/* The rows of all classes of one group, from the word *at of the table on. */
static enum error write_classes(struct writer *writer, const struct bit_classes *classes,
                                unsigned number, uint32_t *at)
{
    const struct rule_group group = rule_group_at(writer->groups, number);
    enum error error = table_take(writer->table, classes->count, 1, at);

    for (unsigned i = 0; i < classes->count && error == OK; i++) {
        uint32_t row = 0;
        error = bit_rows_of_class(&writer->rows, writer->list, &group, classes, i, &row);
        writer->table->words[*at + i] = row;
    }
    return error;
}

static enum error write_bits(struct writer *writer, unsigned at, const struct rows_bits *bits)
{
    const struct bit_classes *classes = &bits->classes;
    struct rows_field *field = &writer->portion->fields[at];
    enum error error = OK;
    uint32_t rows = 0, index;

    field->mask = classes->mask;
    field->shift = classes->shift;
    field->start = bits->index;
    field->count = classes->index_count;
    for (unsigned i = 0; i < writer->groups->count && error == OK; i++) {
        error = write_classes(writer, classes, i, &rows);
        if (writer->portion->stage_count > 0)
            *entry_at(writer, i, at) = rows * (uint32_t)sizeof(uint32_t);
    }
    if (error != OK || writer->portion->stage_count > 0)
        return error;
    /* Of one group alone straight to the rows. */
    error = table_take(writer->table, classes->index_count, 1, &index);
    for (unsigned i = 0; i < classes->index_count && error == OK; i++)
        writer->table->words[index + i] = writer->table->words[rows + classes->class_of[i]];
    field->start = index;
    return error;
}

/* Where no rule asks for anything any field of the list does: it has one row for all values. */
static uint32_t fields_of(const struct writer *writer)
{
    uint32_t used = 0;

    for (size_t i = 0; i < writer->groups->total; i++) {
        used |= rule_uses(writer->plan, &writer->list->rules[writer->groups->rules[i]]);
        pace_steps(writer->table->pace, 1);
    }
    return used != 0 ? used : writer->list->used & (0 - writer->list->used);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static enum error write_answers(struct writer *writer, bool numbered)
{
    const struct rule_groups *groups = writer->groups;
    const struct rule_list *list = writer->list;
    uint32_t at;

    for (unsigned i = 0; i < groups->count; i++) {
        const struct rule_group group = rule_group_at(groups, i);
        enum error error = table_take(writer->table, group.count + 1, 1, &at);
        if (error != OK)
            return error;
        for (unsigned k = 0; k < group.count; k++) {
            writer->table->words[at + k] =
                numbered ? group.rules[k] : list->rules[group.rules[k]].answer;
        }
        writer->table->words[at + group.count] = numbered ? list->count : JIT_NONE;
        writer->portion->answers = at;
        if (writer->portion->stage_count > 0)
            *entry_at(writer, i, writer->portion->field_count) = at;
        pace_steps(writer->table->pace, group.count / 8);
    }
    return OK;
}

/* ---- Stages ---------------------------------------------------------------------------------- */

/* The trees of one stage, which lead to what to[] has of its children. */
static enum error write_stage(struct writer *writer, const struct division_stage *stage,
                              uint32_t *to)
{
    enum error error = OK;
    uint32_t child = 0;

    for (unsigned i = 0; i < stage->parent_count && error == OK; i++) {
        const struct intervals children = { .count = stage->child_ends[i] - child,
                                            .last = stage->lasts + child,
                                            .answers = to + child };
        error = add_tree(writer, &children, i);
        child = stage->child_ends[i];
    }
    return error == OK ? raise_trees(writer, stage->parent_count) : error;
}

/* From the last one to the first. */
static enum error write_stages(struct writer *writer, const struct division *division)
{
    struct rows_portion *portion = writer->portion;
    const uint32_t record_bytes = writer->record_words * (uint32_t)sizeof(uint32_t);
    uint32_t *to = memory_alloc_uncleared(division->groups.count * sizeof(*to), 0, MEMORY_CODE);
    enum error error = to != NULL ? OK : fail(ERROR_NO_MEMORY);

    for (unsigned i = 0; i < division->groups.count && error == OK; i++)
        to[i] = writer->records * (uint32_t)sizeof(uint32_t) + i * record_bytes;
    for (unsigned i = division->stage_count; i-- > 0 && error == OK;) {
        const struct division_stage *stage = &division->stages[i];
        error = write_stage(writer, stage, to);
        portion->stages[i].field = stage->field;
        portion->stages[i].level_count = writer->forest->level_count;
        portion->root = writer->forest->trees[0].root;
        for (unsigned k = 0; k < stage->parent_count; k++)
            to[k] = search_tree_place(writer->forest->trees[k].root);
    }
    memory_free(to);
    return error;
}

/* ---- A portion ----------------------------------------------------------------------------------
 */

static enum error write_all(struct writer *writer, const struct rows_bits *bits,
                            const struct division *division, bool numbered)
{
    struct rows_portion *portion = writer->portion;
    const uint32_t used = fields_of(writer);
    enum error error = OK;

    portion->field_count = (unsigned)__builtin_popcount(used);
    writer->record_words = portion->field_count + 1;
    if (portion->stage_count > 0)
        error = table_take(writer->table, (size_t)writer->record_words * portion->group_count, 1,
                           &writer->records);
    unsigned at = 0;
    for (uint32_t left = used; left != 0 && error == OK; left &= left - 1, at++) {
        const unsigned field = (unsigned)__builtin_ctz(left);
        portion->fields[at].field = field;
        error = (writer->plan->bits >> field & 1) != 0 ? write_bits(writer, at, &bits[field])
                                                       : write_numbers(writer, at);
    }
    if (error == OK)
        error = write_answers(writer, numbered);
    return error == OK ? write_stages(writer, division) : error;
}

enum error rows_portion_write(const struct jit_plan *plan, const struct rule_list *list,
                              const struct rows_bits *bits, const struct division *division,
                              bool numbered, struct table *table, struct rows_portion *portion)
{
    const struct rule_groups *groups = &division->groups;
    struct writer writer = {
        .plan = plan, .list = list, .groups = groups, .table = table, .portion = portion
    };

    *portion = (struct rows_portion){ .stage_count = division->stage_count,
                                      .rule_count = groups->largest,
                                      .rows = (uint32_t)table->used,
                                      .group_count = groups->count };
    enum error error = bit_rows_create(&writer.rows, table, plan, groups->largest);
    if (error != OK)
        return error;
    portion->row_words = writer.rows.words;
    writer.forest = memory_alloc(
        sizeof(*writer.forest) + groups->count * sizeof(writer.forest->trees[0]), 0, MEMORY_CODE);
    error = writer.forest != NULL ? write_all(&writer, bits, division, numbered)
                                  : fail(ERROR_NO_MEMORY);
    memory_free(writer.forest);
    bit_rows_destroy(&writer.rows);
    return error;
}

enum error rows_bits_write(struct rows_bits *bits, struct table *table)
{
    const struct bit_classes *classes = &bits->classes;
    enum error error = table_take(table, classes->index_count, 1, &bits->index);

    for (unsigned i = 0; i < classes->index_count && error == OK; i++)
        table->words[bits->index + i] = classes->class_of[i] * (uint32_t)sizeof(uint32_t);
    return error;
}
