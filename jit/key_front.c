/* See key_front.h. */
#include "jit/key_front.h"

#include "jit/emit.h"
#include "jit/filter_code.h"
#include "jit/lanes.h"
#include "jit/marks.h"
#include "kernel/platform.h"

/* ---- The code -------------------------------------------------------------------------------- */

enum { COLUMN_BYTES = BATCH_MAX * sizeof(uint32_t) };

/* R10 = where the first column is. */
static struct memory_operand in_column(unsigned column)
{
    return memory_indexed(R10, FILTER_PACKET, sizeof(uint32_t), (int32_t)(column * COLUMN_BYTES));
}

static void emit_copies(const struct key_columns *columns, struct emit *emit)
{
    const enum jit_vectors vectors = columns->plan.vectors;
    struct label turn = filter_loop_begin(emit);

    for (unsigned i = 0; i < columns->plan.field_count; i++) {
        if (columns->columns[i].kind != COLUMN_COPY)
            continue;
        lanes_load(emit, vectors, 0, filter_field(columns->columns[i].field, 0));
        lanes_store(emit, vectors, in_column(i), 0);
    }
    filter_loop_end(emit, &turn, lane_count(vectors));
}

static void emit_columns(const struct key_columns *columns, struct emit *emit)
{
    emit_mark(emit, (struct jit_mark){ .step = JIT_STEP_COPIES });
    emit_mov64(emit, R10, FILTER_ANSWERS);
    emit_copies(columns, emit);
    for (unsigned i = 0; i < columns->plan.field_count; i++) {
        if (columns->columns[i].kind == COLUMN_COPY)
            continue;
        emit_lea64(emit, FILTER_ANSWERS, memory_of(R10, (int32_t)(i * COLUMN_BYTES)));
        key_search_emit(&columns->columns[i].search, emit);
    }
    filter_end(emit, columns->plan.vectors);
}

static enum error take_front(struct key_front *front, size_t table_words, size_t code_bytes)
{
    front->table_bytes = table_words * sizeof(uint32_t);
    front->table = memory_alloc_uncleared(front->table_bytes, CACHE_LINE_BYTES, MEMORY_CODE);
    if (front->table == NULL)
        return fail(ERROR_NO_MEMORY);
    front->table[FILTER_SIGN_WORD] = FILTER_SIGN;
    front->code_bytes = (unsigned)code_bytes;
    front->code = code_alloc(code_bytes);
    return front->code != NULL ? OK : fail(ERROR_NO_MEMORY);
}

static void tell_columns(struct key_columns *columns, struct key_front *front)
{
    front->count = columns->plan.field_count;
    for (unsigned i = 0; i < front->count; i++) {
        struct key_column *column = &columns->columns[i];
        front->columns[i].kind = column->kind;
        front->columns[i].field = column->field;
        front->columns[i].ranks = column->ranks;
        memory_free(column->ranks.ranks);
        front->columns[i].ranks.ranks = NULL;
        column->ranks = (struct key_ranks){ .count = 0 };
    }
    for (unsigned field = 0; field < JIT_FIELD_MAX; field++) {
        front->members[field] = columns->members[field];
        columns->members[field] = NULL;
    }
}

enum error key_front_build(struct key_columns *columns, struct key_front *front)
{
    uint32_t words = FILTER_TABLE_HEAD_WORDS;
    struct emit measured = { .marks = &front->marks };

    tell_columns(columns, front);
    for (unsigned i = 0; i < columns->plan.field_count; i++) {
        if (columns->columns[i].kind != COLUMN_COPY)
            words = key_search_place(&columns->columns[i].search, words, columns->plan.pause);
    }
    emit_columns(columns, &measured);
    enum error error = take_front(front, words, measured.used);
    if (error == OK)
        error = mark_list_make_room(&front->marks);
    if (error != OK)
        return error;

    struct emit emit = { .bytes = front->code->bytes,
                         .room = front->code->size_bytes,
                         .marks = &front->marks };
    for (unsigned i = 0; i < columns->plan.field_count; i++) {
        if (columns->columns[i].kind != COLUMN_COPY)
            key_search_fill(&columns->columns[i].search, columns->plan.pause, front->table);
    }
    emit_columns(columns, &emit);
    CHECK(emit.used == front->code->size_bytes);
    return code_seal(front->code);
}

void key_front_run(const struct key_front *front, const uint32_t (*fields)[BATCH_MAX],
                   unsigned count, uint32_t columns[JIT_FIELD_MAX][BATCH_MAX])
{
    filter_code *code = (filter_code *)(uintptr_t)front->code->entry;

    code(fields, count, columns[0], front->table);
}

void key_front_free(struct key_front *front)
{
    code_free(front->code);
    memory_free(front->table);
    mark_list_destroy(&front->marks);
    for (unsigned i = 0; i < front->count; i++)
        key_ranks_free(&front->columns[i].ranks);
    for (unsigned field = 0; field < JIT_FIELD_MAX; field++)
        memory_free(front->members[field]);
}
