/* Copies of filters that end early; see show.h.
 *
 *   mark      BEGIN  RULE  RULE  STORE  TURN  END
 *   cut       BEGIN  RULE        at the second mark   TURN  END
 *
 * The jump at the end of a TURN is shortened by what is left out. */
#include <string.h>

#include "jit/filter_code.h"
#include "jit/key_front.h"
#include "jit/show.h"
#include "kernel/base/bytes.h"
#include "kernel/platform.h"

enum { JUMP_BYTES = 6 }; /* 0F 8x and a distance, as emit_jump_if() has it */

/* Where the jump at the end of that mark goes to. */
static uint32_t turn_target(const struct jit_description *filter, unsigned mark)
{
    const uint32_t end = jit_mark_end(filter, mark);

    CHECK(filter->code[end - JUMP_BYTES] == 0x0f);
    return end + load_le32(filter->code + end - sizeof(uint32_t));
}

/* The TURN whose turn the mark is in; 0: none is, as the first mark is no TURN. */
static unsigned turn_of(const struct jit_description *filter, unsigned mark)
{
    const struct jit_marks *marks = &filter->marks;

    for (unsigned i = mark + 1; i < marks->mark_count; i++) {
        if (marks->marks[i].step == JIT_STEP_TURN)
            return turn_target(filter, i) < jit_mark_end(filter, mark) ? i : 0;
    }
    return 0;
}

static void copy(struct code *code, size_t *used, const struct jit_description *filter,
                 unsigned mark)
{
    const uint32_t at = filter->marks.marks[mark].at, end = jit_mark_end(filter, mark);

    memcpy(code->bytes + *used, filter->code + at, end - at);
    *used += end - at;
}

enum error jit_cut_make(const struct jit_description *filter, unsigned mark, struct jit_cut *cut)
{
    const struct jit_marks *marks = &filter->marks;
    const unsigned turn = turn_of(filter, mark), last = marks->mark_count - 1;
    size_t used = jit_mark_end(filter, mark);

    if (marks->mark_count == JIT_MARK_MAX)
        return fail(ERROR_FULL);
    struct code *code = code_alloc(filter->code_bytes);
    if (code == NULL)
        return fail(ERROR_NO_MEMORY);
    memcpy(code->bytes, filter->code, used);
    if (turn != 0) {
        copy(code, &used, filter, turn);
        store_le32(code->bytes + used - sizeof(uint32_t),
                   turn_target(filter, turn) - (uint32_t)used);
    }
    if (mark != last)
        copy(code, &used, filter, last);
    enum error error = code_seal(code);
    if (error != OK) {
        code_free(code);
        return error;
    }
    *cut = (struct jit_cut){ .code = code, .table = filter->table, .front = filter->front };
    return OK;
}

const uint32_t (*jit_cut_fields(const struct jit_cut *cut, const uint32_t (*fields)[BATCH_MAX],
                                unsigned count,
                                uint32_t columns[JIT_FIELD_MAX][BATCH_MAX]))[BATCH_MAX]
{
    CHECK(count > 0 && count <= BATCH_MAX);
    if (cut->front == NULL)
        return fields;
    key_front_run(cut->front, fields, count, columns);
    return (const uint32_t(*)[BATCH_MAX])columns;
}

void jit_cut_run(const struct jit_cut *cut, const uint32_t (*fields)[BATCH_MAX], unsigned count,
                 uint32_t answers[BATCH_MAX])
{
    filter_code *code = (filter_code *)(uintptr_t)cut->code->entry;

    CHECK(count > 0 && count <= BATCH_MAX);
    code(fields, count, answers, cut->table);
}

void jit_cut_free(struct jit_cut *cut)
{
    code_free(cut->code);
    *cut = (struct jit_cut){ .code = NULL };
}
