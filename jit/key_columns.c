/* Which columns there are, and what rules ask of them. */
#include "jit/key_columns.h"

#include "jit/set_groups.h"
#include "kernel/platform.h"

enum {
    RULES_A_PAUSE = 1024,
    RANKS_A_PAUSE = 16384,
};

static bool has_bit(uint32_t bits, unsigned field)
{
    return (bits >> field & 1) != 0;
}

bool key_columns_are_needed(const struct jit_plan *plan, const struct keys_look *look)
{
    for (unsigned field = 0; field < plan->field_count; field += key_words(plan, field)) {
        if (has_bit(look->sets, field))
            return true;
        if (has_bit(look->ranges, field) && key_words(plan, field) > 1)
            return true;
    }
    return false;
}

/* NULL: there is no room for one more. */
static struct key_column *add_column(struct key_columns *columns, enum column_kind kind,
                                     unsigned field)
{
    if (columns->plan.field_count == JIT_FIELD_MAX)
        return NULL;
    struct key_column *column = &columns->columns[columns->plan.field_count++];
    *column = (struct key_column){ .kind = kind, .field = field };
    return column;
}

/* ---- Ranks ----------------------------------------------------------------------------------- */

/* The search for a rank answers it. */
static enum error search_rank(const struct jit_plan *plan, struct key_column *column)
{
    const struct key_ranks *ranks = &column->ranks;
    struct key_intervals intervals = { .words = ranks->words,
                                       .count = ranks->count,
                                       .last = ranks->last };

    intervals.answers =
        memory_alloc_uncleared(ranks->count * sizeof(*intervals.answers), 0, MEMORY_CODE);
    if (intervals.answers == NULL)
        return fail(ERROR_NO_MEMORY);
    for (unsigned i = 0; i < ranks->count; i++)
        intervals.answers[i] = i;
    enum error error =
        key_search_make(&intervals, plan->vectors, column->field, plan->pause, &column->search);
    memory_free(intervals.answers);
    return error;
}

/* Each rule's range of ranks, in the order of the rules that ask for one. */
static enum error note_ranges(const struct jit_plan *plan, const struct jit_rule *rules,
                              unsigned count, struct key_column *column)
{
    unsigned next = 0;

    column->ranges =
        memory_alloc_uncleared((size_t)count * sizeof(*column->ranges), 0, MEMORY_CODE);
    if (column->ranges == NULL)
        return fail(ERROR_NO_MEMORY);
    for (unsigned i = 0; i < count; i++) {
        bool asks = key_ask(plan, &rules[i], column->field) == ASK_RANGE;
        column->ranges[i] = asks ? column->ranks.ranks[next++] : JIT_ANY;
        if (i % RULES_A_PAUSE == 0)
            pause_take(plan->pause);
    }
    return OK;
}

static enum error gather_ranges(const struct jit_plan *plan, const struct jit_rule *rules,
                                unsigned count, unsigned field, struct key_ranges *ranges)
{
    enum error error = key_ranges_create(ranges, key_words(plan, field), count);

    for (unsigned i = 0; i < count && error == OK; i++) {
        if (key_ask(plan, &rules[i], field) == ASK_RANGE)
            key_ranges_add_rule(ranges, &rules[i].fields[field]);
        if (i % RULES_A_PAUSE == 0)
            pause_take(plan->pause);
    }
    return error;
}

static enum error make_rank(const struct jit_plan *plan, const struct jit_rule *rules,
                            unsigned count, unsigned field, struct key_columns *columns)
{
    struct key_column *column = add_column(columns, COLUMN_RANK, field);
    struct key_ranges ranges = { .count = 0 };

    if (column == NULL)
        return fail(ERROR_FULL);
    enum error error = gather_ranges(plan, rules, count, field, &ranges);
    if (error == OK)
        error = key_ranks_make(&ranges, plan->pause, &column->ranks);
    if (error == OK)
        error = search_rank(plan, column);
    if (error == OK)
        error = note_ranges(plan, rules, count, column);
    key_ranges_free(&ranges);
    return error;
}

/* ---- Members --------------------------------------------------------------------------------- */

/* The sets that rules name for one key, those that are not empty. */
struct named_sets {
    unsigned field;
    unsigned count;
    uint32_t *numbers; /* in the plan */
    unsigned *counts;  /* of their ranges */
    struct set_group *groups;
    struct key_ranks ranks; /* of their ranges, set by set */
};

static enum error find_named(const struct jit_plan *plan, const struct jit_rule *rules,
                             unsigned count, struct key_member *members, struct named_sets *named)
{
    enum { NAMED = 1 }; /* as a column, for now */
    const unsigned field = named->field;

    for (unsigned i = 0; i < count; i++) {
        if (key_ask(plan, &rules[i], field) == ASK_SET)
            members[rules[i].fields[field].first].column = NAMED;
    }
    for (unsigned set = 0; set < plan->set_count; set++) {
        if (members[set].column != NAMED || plan->sets[set].count == 0)
            continue;
        if (named->count == JIT_SET_MAX)
            return fail(ERROR_FULL);
        named->numbers[named->count] = set;
        named->counts[named->count++] = plan->sets[set].count;
    }
    return OK;
}

static enum error rank_named(const struct jit_plan *plan, struct named_sets *named)
{
    struct key_ranges ranges;
    uint64_t room = 0;

    for (unsigned i = 0; i < named->count; i++)
        room += named->counts[i];
    if (room > JIT_RANGE_MAX)
        return fail(ERROR_FULL);
    enum error error = key_ranges_create(&ranges, key_words(plan, named->field), (unsigned)room);
    if (error != OK)
        return error;
    for (unsigned i = 0; i < named->count; i++)
        key_ranges_add_set(&ranges, &plan->sets[named->numbers[i]], plan->pause);
    error = key_ranks_make(&ranges, plan->pause, &named->ranks);
    key_ranges_free(&ranges);
    return error;
}

/* Where each group's numbers lie: in which column, from which bit on. */
struct group_place {
    unsigned column, shift, width;
};

static enum error place_groups(const struct named_sets *named, struct key_columns *columns,
                               struct group_place places[SET_GROUP_MAX])
{
    unsigned sizes[SET_GROUP_MAX] = { 0 }, used_bits = SET_GROUP_BITS_MAX;

    for (unsigned i = 0; i < named->count; i++)
        sizes[named->groups[i].group]++;
    for (unsigned group = 0; group < SET_GROUP_MAX && sizes[group] > 0; group++) {
        const unsigned width = 32 - (unsigned)__builtin_clz(sizes[group]);
        if (used_bits + width > SET_GROUP_BITS_MAX) {
            if (add_column(columns, COLUMN_MEMBERS, named->field) == NULL)
                return fail(ERROR_FULL);
            used_bits = 0;
        }
        places[group] = (struct group_place){ .column = columns->plan.field_count - 1,
                                              .shift = used_bits,
                                              .width = width };
        used_bits += width;
    }
    return OK;
}

static void set_members(const struct named_sets *named,
                        const struct group_place places[SET_GROUP_MAX], struct key_member *members)
{
    for (unsigned i = 0; i < named->count; i++) {
        const struct group_place *place = &places[named->groups[i].group];
        struct key_member *member = &members[named->numbers[i]];
        member->column = place->column;
        member->bits.first = (uint32_t)named->groups[i].number << place->shift;
        member->bits.last = ((1u << place->width) - 1) << place->shift;
    }
}

/* How the column's value changes where a rank begins: all that begins or ends there. */
static void note_changes(const struct jit_plan *plan, const struct named_sets *named,
                         const struct key_member *members, unsigned column, uint32_t *changes)
{
    const struct jit_range *range = named->ranks.ranks;

    for (unsigned i = 0; i < named->count; i++) {
        const struct key_member *member = &members[named->numbers[i]];
        const struct jit_range *end = range + named->counts[i];
        for (; range < end; range++) {
            if (member->column != column)
                continue;
            changes[range->first] ^= member->bits.first;
            if (range->last != UINT32_MAX)
                changes[range->last + 1] ^= member->bits.first;
            if ((range - named->ranks.ranks) % RANKS_A_PAUSE == 0)
                pause_take(plan->pause);
        }
    }
}

/* In place: neighbours of the same value become one. */
static void join_ranks(const struct key_ranks *ranks, const uint32_t *changes,
                       const struct pause *pause, struct key_intervals *intervals)
{
    const unsigned words = ranks->words;
    uint32_t value = 0;

    for (unsigned rank = 0; rank < ranks->count; rank++) {
        value ^= changes[rank];
        if (intervals->count == 0 || intervals->answers[intervals->count - 1] != value)
            intervals->answers[intervals->count++] = value;
        for (unsigned word = 0; word < words; word++) {
            intervals->last[(size_t)(intervals->count - 1) * words + word] =
                ranks->last[(size_t)rank * words + word];
        }
        if (rank % RANKS_A_PAUSE == 0)
            pause_take(pause);
    }
}

static enum error search_members(const struct jit_plan *plan, const struct named_sets *named,
                                 const struct key_member *members, unsigned number,
                                 struct key_column *column)
{
    const struct key_ranks *ranks = &named->ranks;
    const size_t count = ranks->count, words = ranks->words;
    struct key_intervals intervals = { .words = ranks->words };
    uint32_t *changes = memory_alloc(count * sizeof(*changes), 0, MEMORY_CODE);
    enum error error = ERROR_NO_MEMORY;

    intervals.last = memory_alloc_uncleared(count * (words + 1) * sizeof(uint32_t), 0, MEMORY_CODE);
    if (changes == NULL || intervals.last == NULL)
        goto out;
    intervals.answers = intervals.last + count * words;
    note_changes(plan, named, members, number, changes);
    join_ranks(ranks, changes, plan->pause, &intervals);
    error = key_search_make(&intervals, plan->vectors, column->field, plan->pause, &column->search);
out:
    memory_free(changes);
    memory_free(intervals.last);
    return error == ERROR_NO_MEMORY ? fail(error) : error;
}

static enum error make_named(const struct jit_plan *plan, struct named_sets *named,
                             struct key_member *members, struct key_columns *columns)
{
    struct group_place places[SET_GROUP_MAX];
    const unsigned first = columns->plan.field_count;
    enum error error = rank_named(plan, named);

    if (error == OK)
        error =
            set_groups_make(&named->ranks, named->counts, named->count, plan->pause, named->groups);
    if (error == OK)
        error = place_groups(named, columns, places);
    if (error != OK)
        return error;
    set_members(named, places, members);
    for (unsigned i = first; i < columns->plan.field_count && error == OK; i++) {
        columns->plan.bits |= (uint32_t)1 << i;
        error = search_members(plan, named, members, i, &columns->columns[i]);
    }
    return error;
}

static enum error make_members(const struct jit_plan *plan, const struct jit_rule *rules,
                               unsigned count, unsigned field, struct key_columns *columns)
{
    const size_t room = MIN_OF(plan->set_count, (unsigned)JIT_SET_MAX);
    struct named_sets named = { .field = field };
    struct key_member *members = memory_alloc(plan->set_count * sizeof(*members), 0, MEMORY_CODE);
    enum error error = ERROR_NO_MEMORY;

    columns->members[field] = members;
    named.numbers = memory_alloc_uncleared(room * sizeof(*named.numbers), 0, MEMORY_CODE);
    named.counts = memory_alloc_uncleared(room * sizeof(*named.counts), 0, MEMORY_CODE);
    named.groups = memory_alloc_uncleared(room * sizeof(*named.groups), 0, MEMORY_CODE);
    if (members == NULL || named.numbers == NULL || named.counts == NULL || named.groups == NULL)
        goto out;
    error = find_named(plan, rules, count, members, &named);
    if (error == OK)
        error = make_named(plan, &named, members, columns);
out:
    key_ranks_free(&named.ranks);
    memory_free(named.groups);
    memory_free(named.counts);
    memory_free(named.numbers);
    return error == ERROR_NO_MEMORY ? fail(error) : error;
}

/* ---- All columns ----------------------------------------------------------------------------- */

static enum error make_key(const struct jit_plan *plan, const struct jit_rule *rules,
                           unsigned count, const struct keys_look *look, unsigned field,
                           struct key_columns *columns)
{
    const bool is_bits = has_bit(plan->bits & look->asked, field);
    enum error error = OK;

    if (is_bits || (has_bit(look->ranges, field) && key_words(plan, field) == 1)) {
        if (add_column(columns, COLUMN_COPY, field) == NULL)
            return fail(ERROR_FULL);
        columns->plan.bits |= (uint32_t)is_bits << (columns->plan.field_count - 1);
    } else if (has_bit(look->ranges, field)) {
        error = make_rank(plan, rules, count, field, columns);
    }
    if (error == OK && has_bit(look->sets, field))
        error = make_members(plan, rules, count, field, columns);
    return error;
}

enum error key_columns_make(const struct jit_plan *plan, const struct jit_rule *rules,
                            unsigned count, const struct keys_look *look,
                            struct key_columns *columns)
{
    enum error error = OK;

    *columns = (struct key_columns){
        .plan = { .vectors = plan->vectors, .shape = plan->shape, .pause = plan->pause }
    };
    for (unsigned field = 0; field < plan->field_count && error == OK;
         field += key_words(plan, field))
        error = make_key(plan, rules, count, look, field, columns);
    return error;
}

void key_columns_free(struct key_columns *columns)
{
    for (unsigned i = 0; i < columns->plan.field_count; i++) {
        key_search_free(&columns->columns[i].search);
        memory_free(columns->columns[i].ranges);
        key_ranks_free(&columns->columns[i].ranks);
    }
    for (unsigned i = 0; i < JIT_FIELD_MAX; i++)
        memory_free(columns->members[i]);
}

/* ---- Rules ----------------------------------------------------------------------------------- */

/* What a rule asks of a column of the key, if it does. */
static struct jit_range column_range(const struct key_columns *columns, unsigned number,
                                     const struct jit_plan *plan, const struct jit_rule *rule,
                                     unsigned index)
{
    const struct key_column *column = &columns->columns[number];
    const bool is_set = has_bit(rule->in_set, column->field);

    switch (column->kind) {
    case COLUMN_COPY:
        return is_set ? JIT_ANY : rule->fields[column->field];
    case COLUMN_RANK:
        return column->ranges[index];
    default:
        break;
    }
    if (!is_set)
        return JIT_ANY_BITS;
    const struct key_member *member =
        &columns->members[column->field][key_set(plan, rule, column->field) - plan->sets];
    return member->column == number ? member->bits : JIT_ANY_BITS;
}

static bool names_empty_set(const struct jit_plan *plan, const struct jit_rule *rule)
{
    for (uint32_t left = rule->in_set; left != 0; left &= left - 1) {
        if (key_set(plan, rule, (unsigned)__builtin_ctz(left))->count == 0)
            return true;
    }
    return false;
}

struct jit_rule *key_columns_rules(const struct key_columns *columns, const struct jit_plan *plan,
                                   const struct jit_rule *rules, unsigned count, uint64_t *never)
{
    struct jit_rule *made =
        memory_alloc(count * sizeof(*made), alignof(struct jit_rule), MEMORY_CODE);

    for (unsigned i = 0; i < count && made != NULL; i++) {
        made[i].answer = rules[i].answer;
        for (unsigned column = 0; column < columns->plan.field_count; column++)
            made[i].fields[column] = column_range(columns, column, plan, &rules[i], i);
        if (names_empty_set(plan, &rules[i]))
            never[i / 64] |= (uint64_t)1 << (i % 64);
        if (i % RULES_A_PAUSE == 0)
            pause_take(plan->pause);
    }
    return made;
}
