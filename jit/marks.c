/* Lists of marks and tables. A compiler says the same when it measures and when it writes, so what
 * was counted the first time has room the second time. */
#include "jit/marks.h"

#include "jit/emit.h"
#include "kernel/platform.h"

static bool is_same(const struct jit_mark *a, const struct jit_mark *b)
{
    return a->step == b->step && a->field == b->field && a->number == b->number;
}

void emit_mark(struct emit *emit, struct jit_mark mark)
{
    struct mark_list *list = emit->marks;

    if (list == NULL || (list->mark_count > 0 && is_same(&list->last, &mark)))
        return;
    mark.at = (uint32_t)emit->used;
    if (list->mark_count > 0 && list->last.at == mark.at)
        list->mark_count--; /* nothing was done for the last one */
    /* The last place is for the end. */
    if (list->mark_count >= JIT_MARK_MAX - (mark.step != JIT_STEP_END))
        return;
    list->last = mark;
    if (list->marks != NULL)
        list->marks[list->mark_count] = mark;
    list->mark_count++;
}

void emit_table(struct emit *emit, struct jit_table table)
{
    struct mark_list *list = emit->marks;

    if (list == NULL || list->table_count == JIT_TABLE_MAX)
        return;
    table.mark = list->mark_count - 1;
    if (list->tables != NULL)
        list->tables[list->table_count] = table;
    list->table_count++;
}

enum error mark_list_make_room(struct mark_list *list)
{
    struct jit_mark *marks = memory_alloc(list->mark_count * sizeof(*list->marks), 0, MEMORY_CODE);
    struct jit_table *tables =
        memory_alloc((list->table_count + 1) * sizeof(*list->tables), 0, MEMORY_CODE);

    *list = (struct mark_list){ .marks = marks, .tables = tables };
    return marks != NULL && tables != NULL ? OK : fail(ERROR_NO_MEMORY);
}

void mark_list_destroy(struct mark_list *list)
{
    memory_free(list->marks);
    memory_free(list->tables);
    *list = (struct mark_list){ .mark_count = 0 };
}
