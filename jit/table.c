/* Words that move to a place twice as large when they need more room. */
#include "jit/table.h"

#include <string.h>

#include "jit/filter_code.h"
#include "kernel/platform.h"

enum { WORDS_A_STEP = 256 };

static enum error move(struct table *table, size_t room)
{
    uint32_t *words = memory_alloc_uncleared(room * sizeof(*words), CACHE_LINE_BYTES, MEMORY_CODE);

    if (words == NULL)
        return fail(ERROR_NO_MEMORY);
    for (size_t at = 0; at < table->used; at += WORDS_A_STEP) {
        const size_t count = MIN_OF(table->used - at, (size_t)WORDS_A_STEP);
        memcpy(words + at, table->words + at, count * sizeof(*words));
        pace_steps(table->pace, 1);
    }
    memory_free(table->words);
    table->words = words;
    table->room = room;
    return OK;
}

enum error table_create(struct table *table, struct pace *pace)
{
    struct table made = { .pace = pace };
    enum error error = move(&made, FILTER_TABLE_HEAD_WORDS);

    if (error != OK)
        return error;
    memset(made.words, 0, FILTER_TABLE_HEAD_WORDS * sizeof(*made.words));
    made.words[FILTER_SIGN_WORD] = FILTER_SIGN;
    made.used = FILTER_TABLE_HEAD_WORDS;
    *table = made;
    return OK;
}

enum error table_take(struct table *table, size_t count, size_t align, uint32_t *at)
{
    const size_t words_max = JIT_TABLE_BYTES_MAX / sizeof(uint32_t);
    const size_t start = (table->used + align - 1) & ~(align - 1);

    if (start > words_max || count > words_max - start)
        return fail(ERROR_FULL);
    if (start + count > table->room) {
        enum error error = move(table, MAX_OF(2 * table->room, start + count));
        if (error != OK)
            return error;
    }
    table->used = start + count;
    *at = (uint32_t)start;
    return OK;
}

enum error table_settle(struct table *table)
{
    return table->used == table->room ? OK : move(table, table->used);
}
