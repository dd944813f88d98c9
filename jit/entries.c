/* What of a filter's tables leads to an answer; see show.h. */
#include <string.h>

#include "jit/filter_code.h"
#include "jit/key_entries.h"
#include "jit/search_tree.h"
#include "jit/show.h"

enum { ENTRIES_A_CALL = 1024 }; /* some 50 microseconds, where rows are long */

static const struct jit_table *table_at(const struct jit_description *filter, unsigned i)
{
    return i < filter->marks.table_count ? &filter->marks.tables[i] : NULL;
}

/* The rows that table i leads to: the next ones. NULL: it leads to answers. */
static const struct jit_table *rows_behind(const struct jit_description *filter, unsigned i)
{
    const struct jit_table *table;

    while ((table = table_at(filter, ++i)) != NULL)
        if (table->kind == JIT_TABLE_ROWS)
            return table;
    return NULL;
}

/* Which bits of a row stand for the answer. */
static void find_bits(const struct jit_description *filter, const struct jit_table *rows,
                      struct jit_entry_search *search)
{
    memset(search->bits, 0, sizeof(search->bits));
    for (uint32_t i = 0; i < MIN_OF(rows->count, 32u * JIT_ENTRY_WORDS_MAX); i++) {
        if (filter->table[rows->answers + i] == search->answer)
            search->bits[i / 32] |= (uint32_t)1 << (i % 32);
    }
    search->has_bits = true;
}

/* The row that begins so many bytes into the table has one of the bits. */
static bool row_leads(const struct jit_description *filter, const struct jit_table *rows,
                      uint32_t row_bytes, const struct jit_entry_search *search)
{
    const uint32_t *row = filter->table + row_bytes / sizeof(uint32_t);

    for (uint32_t i = 0; i < MIN_OF(rows->words, (uint32_t)JIT_ENTRY_WORDS_MAX); i++) {
        if ((row[i] & search->bits[i]) != 0)
            return true;
    }
    return false;
}

/* Where entry i of the table leads to. */
static uint32_t entry_of(const struct jit_description *filter, const struct jit_table *table,
                         uint32_t i)
{
    if (table->kind == JIT_TABLE_VALUES)
        return filter->table[table->at + i];
    if (table->kind == JIT_TABLE_ROWS)
        return filter->table[table->answers + i];
    return filter
        ->table[search_tree_plan(filter->vectors, table->count, table->at).answer_words + i];
}

static bool entry_leads(const struct jit_description *filter, const struct jit_table *table,
                        const struct jit_table *rows, uint32_t i,
                        const struct jit_entry_search *search)
{
    /* Bits of the mask have holes, the table has not. */
    if (table->kind == JIT_TABLE_VALUES && (i << __builtin_ctz(table->mask) & ~table->mask) != 0)
        return false;
    const uint32_t entry = entry_of(filter, table, i);
    return rows == NULL ? entry == search->answer : row_leads(filter, rows, entry, search);
}

/* The last value of entry i, which for all but intervals is its only one. */
static uint32_t last_of(const struct jit_description *filter, const struct jit_table *table,
                        uint32_t i)
{
    if (table->kind == JIT_TABLE_VALUES)
        return i << __builtin_ctz(table->mask);
    if (table->kind == JIT_TABLE_ROWS)
        return i;
    const struct search_tree tree = search_tree_plan(filter->vectors, table->count, table->at);
    return search_tree_last(&tree, filter->table, i);
}

static uint32_t first_of(const struct jit_description *filter, const struct jit_table *table,
                         uint32_t i)
{
    if (table->kind != JIT_TABLE_INTERVALS)
        return last_of(filter, table, i);
    return i == 0 ? 0 : last_of(filter, table, i - 1) + 1;
}

/* All values of the bits under the mask: the next one carries over the holes. */
static bool all_values_lead(const struct jit_description *filter, const struct jit_table *table,
                            const struct jit_table *rows, const struct jit_entry_search *search)
{
    uint32_t value = 0;

    do {
        if (!entry_leads(filter, table, rows, value >> __builtin_ctz(table->mask), search))
            return false;
        value = (value - table->mask) & table->mask;
    } while (value != 0);
    return true;
}

/* Goes on in one table. False: nothing was found that is whole. */
static bool search_table(const struct jit_description *filter, const struct jit_table *table,
                         struct jit_entry_search *search, struct jit_entry *entry)
{
    const struct jit_table *rows =
        table->kind == JIT_TABLE_ROWS ? NULL : rows_behind(filter, search->table);
    const uint32_t end = MIN_OF(table->count, search->next + ENTRIES_A_CALL);

    if (rows != NULL && !search->has_bits)
        find_bits(filter, rows, search);
    if (table->kind == JIT_TABLE_VALUES && search->next == 0 &&
        all_values_lead(filter, table, rows, search)) {
        search->next = table->count;
        *entry = (struct jit_entry){ .table = table, .first = 0, .last = table->mask };
        return true;
    }
    for (; search->next < end; search->next++) {
        const bool leads = entry_leads(filter, table, rows, search->next, search);
        if (search->is_open && !leads)
            break;
        if (leads && !search->is_open)
            search->first = first_of(filter, table, search->next);
        search->is_open = leads;
        if (leads && table->kind != JIT_TABLE_INTERVALS) {
            search->next++;
            break;
        }
    }
    if (!search->is_open || (search->next == end && end < table->count))
        return false;
    *entry = (struct jit_entry){ .table = table,
                                 .first = search->first,
                                 .last = last_of(filter, table, search->next - 1) };
    search->is_open = false;
    return true;
}

enum jit_found jit_entry_next(const struct jit_description *filter, struct jit_entry_search *search,
                              struct jit_entry *entry)
{
    const struct jit_table *table = table_at(filter, search->table);

    if (table == NULL)
        return JIT_NO_MORE;
    if (table->kind == JIT_TABLE_PAIRS ? key_entries_search(filter, table, search, entry)
                                       : search_table(filter, table, search, entry))
        return JIT_FOUND;
    if (search->next == table->count) {
        search->table++;
        search->next = 0;
        search->has_bits = false;
        memset(search->first_words, 0, sizeof(search->first_words));
    }
    return JIT_NOT_YET;
}
