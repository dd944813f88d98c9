/* What the code and the tables of a filter are for, so that people can be shown what runs. The
 * compilers say it as they emit, by one line where something else begins:
 *
 *   emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_LEVEL, .field = field, .number = level });
 *   emit_table(emit, (struct jit_table){ .kind = JIT_TABLE_INTERVALS, ... });
 *
 * and it is kept with the filter: 12 bytes for each mark, 36 for each table. */
#pragma once

#include "kernel/base/types.h"

struct emit;

enum {
    JIT_MARK_MAX =
        1024, /* one for each rule of a list, and some; what follows belongs to the last */
    JIT_TABLE_MAX = 64, /* a few for each field; what follows is not told */
};

/* What is done from a mark to the next one. What lies between a TURN and where that jumps back to
 * is done for a few packets at a time, and then for the next ones; a LEVEL and VALUES have such a
 * turn of their own in them. */
enum jit_step {
    JIT_STEP_BEGIN,  /* what later steps have in common */
    JIT_STEP_FIELDS, /* the packets' fields to registers */
    JIT_STEP_RULE,   /* is it this rule? number: its answer */
    JIT_STEP_LEVEL,  /* field: one level of its tree of intervals. number: which, from 0 on */
    JIT_STEP_VALUES, /* field: its bits choose from a table */
    JIT_STEP_COPIES, /* fields that are one word go on as they are */
    JIT_STEP_COMMON, /* what the rows of all fields have in common; number: of which packet */
    JIT_STEP_FIRST,  /* the first bit of that, and the answer; number: of which packet */
    JIT_STEP_STORE,  /* the answers go out */
    JIT_STEP_TURN,   /* on to the next packets; ends with the jump back */
    JIT_STEP_END,    /* back to the caller; up to the end of the code, and there always */
    JIT_STEP_COUNT,
};

struct jit_mark {
    uint32_t at; /* its first byte; emit_mark() fills it in */
    uint16_t step;
    uint16_t field;
    uint32_t number;
};

/* What lies in the table, from its word `at` on. Of rules in several groups or portions nothing is
 * told of tables. */
enum jit_table_kind {
    JIT_TABLE_INTERVALS, /* of the values of a field, as search_tree_plan() has it of `count`: what
                          * each leads to is the answer; or where a row is, in bytes, if rows
                          * follow in the list */
    JIT_TABLE_VALUES, /* of the bits of a field under a mask: for each where a row is, in bytes */
    JIT_TABLE_PAIRS,  /* of the values of a key of two words and more, as pair_tree_plan() has them:
                       * what each leads to is the answer; or, as pair_groups.h has it, a node */
    JIT_TABLE_ROWS,   /* count answers, and JIT_NONE; a row has bit i set where answer i is left
                       * in question, and `words` of 32 bits */
};

struct jit_table {
    uint32_t at;
    uint32_t count;
    uint32_t mask; /* of VALUES */
    uint16_t kind;
    uint16_t field;
    uint32_t words;   /* of ROWS: of each */
    uint32_t answers; /* of ROWS: where they are */
    uint32_t nodes;   /* of PAIRS: where those of groups are, and what comes next of each */
    uint32_t next;
    uint32_t mark; /* the number of the one that looks there first; emit_table() fills it in */
};

/* Those of a filter: marks in the order of the code, the first at its first byte; tables in the
 * order in which they are looked at. */
struct jit_marks {
    unsigned mark_count, table_count;
    const struct jit_mark *marks;
    const struct jit_table *tables;
};

/* ---- For compilers --------------------------------------------------------------------------- */

/* Where what is emitted is listed; see struct emit. One of zeros only counts, until it is given
 * room. */
struct mark_list {
    unsigned mark_count, table_count;
    struct jit_mark last; /* of those counted */
    struct jit_mark *marks;
    struct jit_table *tables;
};

/* What is emitted next is for that. Said twice, it is one mark. */
void emit_mark(struct emit *emit, struct jit_mark mark);
/* What is emitted next looks at that table. */
void emit_table(struct emit *emit, struct jit_table table);

static inline struct jit_marks mark_list_of(const struct mark_list *list)
{
    return (struct jit_marks){ list->mark_count, list->table_count, list->marks, list->tables };
}

/* Room for as many as were counted, to be filled by emitting the same once more. ERROR_NO_MEMORY.
 */
enum error mark_list_make_room(struct mark_list *list) MUST_CHECK;
void mark_list_destroy(struct mark_list *list); /* one of zeros is allowed */
