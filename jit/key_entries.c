/* Intervals of pairs one after the other, and where one leads to a group, those of the group in
 * their order, before the next one. */
#include "jit/key_entries.h"

#include <string.h>

#include "jit/pair_groups.h"

enum { INTERVALS_A_CALL = 1024 };

/* The interval that one has come to. */
struct leaf {
    uint32_t last[JIT_KEY_WORDS_MAX];
    uint32_t answer;
};

static void set_pair(uint32_t *words, uint64_t pair)
{
    words[0] = (uint32_t)(pair >> 32);
    words[1] = (uint32_t)pair;
}

static bool is_node(uint32_t next)
{
    return next != JIT_NONE && (next & PAIR_GROUPS_NODE) != 0;
}

static const uint32_t *children_of(const struct jit_description *filter,
                                   const struct jit_table *table, uint32_t node)
{
    return filter->table + table->next + (size_t)node * PAIR_NODE_CHILDREN;
}

/* How many leaves a child of the group's root has, if it is not the last one. */
static unsigned child_span(const struct jit_description *filter, const struct jit_table *table,
                           uint32_t root)
{
    uint32_t next = children_of(filter, table, root)[0];
    unsigned span = 1;

    for (; is_node(next); next = children_of(filter, table, next & ~PAIR_GROUPS_NODE)[0])
        span *= PAIR_NODE_CHILDREN;
    return span;
}

/* Leaf number `at` of those under a root, of which there are more: its last value, and where it
 * leads. All nodes but the last of a level are full (pair_groups.h). */
static uint64_t find_leaf(const struct jit_description *filter, const struct jit_table *table,
                          uint32_t root, unsigned at, uint32_t *answer)
{
    unsigned span = child_span(filter, table, root);
    uint64_t last = UINT64_MAX;

    for (uint32_t node = root;; at %= span, span /= PAIR_NODE_CHILDREN) {
        const unsigned child = at / span;
        CHECK(child < PAIR_NODE_CHILDREN);
        const uint32_t next = children_of(filter, table, node)[child];
        if (child < PAIR_NODE_BOUNDS)
            last = pair_node_bound(filter->vectors,
                                   filter->table + table->nodes + (size_t)node * PAIR_NODE_WORDS,
                                   child);
        if (!is_node(next)) {
            *answer = next;
            return last;
        }
        node = next & ~PAIR_GROUPS_NODE;
    }
}

/* The next interval, of which there is one; the search is behind it then. */
static struct leaf next_leaf(const struct jit_description *filter, const struct jit_table *table,
                             struct jit_entry_search *search)
{
    const struct pair_tree tree = pair_tree_plan(filter->vectors, table->count, table->at);
    const uint32_t answer = filter->table[tree.answer_words + search->next];
    const unsigned at = search->within++;
    uint64_t last = UINT64_MAX;
    struct leaf leaf = { .answer = answer };

    set_pair(leaf.last, pair_tree_last(&tree, filter->table, search->next));
    if (is_node(answer))
        last = find_leaf(filter, table, answer & ~PAIR_GROUPS_NODE, at, &leaf.answer);
    set_pair(leaf.last + 2, last);
    if (last == UINT64_MAX) {
        search->next++;
        search->within = 0;
    }
    return leaf;
}

/* The value behind that one, all of whose words count as one number. */
static void set_behind(uint32_t *words, const uint32_t *before)
{
    bool carry = true;

    for (unsigned i = JIT_KEY_WORDS_MAX; i-- > 0;) {
        words[i] = before[i] + carry;
        carry = carry && words[i] == 0;
    }
}

static void take_entry(struct jit_entry_search *search, const struct jit_table *table,
                       struct jit_entry *entry)
{
    *entry = (struct jit_entry){ .table = table };
    memcpy(entry->first_words, search->first_words, sizeof(entry->first_words));
    memcpy(entry->last_words, search->last_words, sizeof(entry->last_words));
    search->is_open = false;
}

bool key_entries_search(const struct jit_description *filter, const struct jit_table *table,
                        struct jit_entry_search *search, struct jit_entry *entry)
{
    for (unsigned i = 0; i < INTERVALS_A_CALL && search->next < table->count; i++) {
        const bool is_first = search->next == 0 && search->within == 0;
        const struct leaf leaf = next_leaf(filter, table, search);
        const bool leads = leaf.answer == search->answer;
        const bool is_end = search->is_open && !leads;
        if (is_end)
            take_entry(search, table, entry);
        if (leads && !search->is_open && !is_first)
            set_behind(search->first_words, search->last_words);
        search->is_open = leads;
        memcpy(search->last_words, leaf.last, sizeof(leaf.last));
        if (is_end)
            return true;
    }
    if (!search->is_open || search->next < table->count)
        return false;
    take_entry(search, table, entry);
    return true;
}
