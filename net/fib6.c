/* See fib6.h. What a link leads to is in the link itself, 64 bits that are loaded and stored at
 * once:
 *
 *   an answer    next hop << 16 | length of the prefix that decided << 8
 *   below        address of a node or a table | which of them; both begin cache lines
 *
 *   root -> (table ->) node -> (table ->) node -> ...      a link where an arrow is
 *
 * Of a node all but the answers stays as it was made, and that is what readers rely on when they
 * compare a whole line of ends at once. Invariants, for the sake of size and not of answers: a node
 * has two runs or more, and neighbors differ in next hop or length.
 *
 * What can fail is done first: a change that lacks memory has changed nothing. */
#include "net/fib6.h"

#include <stdatomic.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/pause.h"
#include "kernel/base/snapshot.h"
#include "kernel/base/vector.h"
#include "kernel/platform.h"

enum {
    LENGTH_MAX = 128,
    GROUP_COUNT = 8,
    FIRST_GROUP = 1, /* below the root */
    GROUP_BITS = 16,
    GROUP_LAST = 0xffff,
    BYTE_BITS = 8,
    TABLE_LINKS = 256, /* one per first byte of a group */
    WORD_BITS = 64,
    WORDS = TABLE_LINKS / WORD_BITS,
    LIST_RUNS = 24,      /* of a list; more become a table */
    MERGED_RUNS = 16,    /* of a table; fewer become a list */
    SMALL_LIST_RUNS = 8, /* of a list of a single line */
    SMALL_ENTRIES_AT = 16,
    ROUTES_PER_PAUSE = 64,
    LINKS_PER_PAUSE = 512, /* freed */
};

/* What readers may still hold after it is replaced has this at the end of its first line. */
struct part {
    struct part *next; /* once it is waste */
};
enum { PART_AT = CACHE_LINE_BYTES - sizeof(struct part) };

typedef _Atomic uint64_t link_slot;

/* The runs of a group as a list, of up to 24 of them; or those of one byte of it, below a table.
 *
 *   list, up to 8 runs    ends | next hops | lengths            a single line
 *   list, more            ends || entries
 *   bytes                 starts, ranks || entries
 *
 * Entries are next hops, two bytes each, with their lengths behind them, or links where something
 * is below. Ends are kept so that they compare as signed numbers. The last one is the end of all:
 * no group is above it, so what stands behind it is compared in vain. Starts have a bit for each
 * byte that begins a run, and ranks say how many begin in the words before. */
struct node {
    union {
        int16_t ends[LIST_RUNS];
        struct {
            uint64_t starts[WORDS];
            uint8_t ranks[WORDS];
        };
    };
    uint16_t run_count;
    uint16_t entries_at; /* in bytes from here */
    bool has_links;
    alignas(sizeof(void *)) struct part part;
};
_Static_assert(sizeof(struct node) == CACHE_LINE_BYTES, "entries_at counts from the first line");
_Static_assert(offsetof(struct node, part) == PART_AT, "free_parts() finds the node by it");

struct table {
    unsigned below_count; /* the writer's: runs of all its nodes, less one for each */
    alignas(CACHE_LINE_BYTES / 8) uint8_t unused[PART_AT - 8];
    struct part part;
    link_slot links[TABLE_LINKS];
};
_Static_assert(offsetof(struct table, part) == PART_AT, "free_parts() finds the table by it");

struct run {
    uint16_t end;
    uint64_t link;
};

/* All of at most BATCH_MAX addresses. */
typedef void batch_lookup(const struct fib6 *fib, const uint8_t (*addresses)[16],
                          uint16_t *next_hops, unsigned count);

struct fib6 {
    /* Set when created, read by all. */
    batch_lookup *lookup;
    link_slot *root;
    uint8_t way_count;
    /* The writer's. */
    struct snapshot_domain *snapshots;
    struct part *waste; /* replaced, not yet on the domain's list */
    size_t bytes;
    unsigned run_count; /* of those that are put together for a node or a table */
    struct run old_runs[TABLE_LINKS];
    struct run runs[TABLE_LINKS + LIST_RUNS + 2];
};
static const size_t ROOT_BYTES = (GROUP_LAST + 1) * sizeof(link_slot);

/* What is painted, and over what lengths. */
struct change {
    uint8_t over_first;
    uint8_t over_last;
    uint64_t answer;
};

/* ---- Links ------------------------------------------------------------------------------------
 * Acquire and release order a link after what it leads to; on x86 they cost nothing.
 */

enum { LINK_LIST = 1, LINK_TABLE = 2, LINK_BYTES = 4, LINK_BELOW = 7 };
static const uint64_t LINK_KIND = CACHE_LINE_BYTES - 1;

static inline uint64_t link_load(const link_slot *slot)
{
    return atomic_load_explicit(slot, memory_order_acquire);
}

static void link_store(link_slot *slot, uint64_t link)
{
    atomic_store_explicit(slot, link, memory_order_release);
}

static inline bool is_answer(uint64_t link)
{
    return !(link & LINK_BELOW);
}

static inline struct node *link_node(uint64_t link)
{
    return (struct node *)(uintptr_t)(link & ~LINK_KIND);
}

static inline struct table *link_table(uint64_t link)
{
    return (struct table *)(uintptr_t)(link & ~LINK_KIND);
}

static inline uint16_t answer_next_hop(uint64_t link)
{
    return (uint16_t)(link >> 16);
}

static uint8_t answer_length(uint64_t link)
{
    return (uint8_t)(link >> 8);
}

static uint64_t answer_of(uint16_t next_hop, unsigned length)
{
    return (uint64_t)next_hop << 16 | (uint64_t)length << 8;
}

static bool changes(const struct change *change, uint8_t length)
{
    return length >= change->over_first && length <= change->over_last;
}

/* The root has its links in the order of the wire's bytes read the other way round. */
static inline link_slot *root_slot(const struct fib6 *fib, const uint8_t *address)
{
    return &fib->root[load_le16(address)];
}

static inline uint16_t group_of(const uint8_t *address, unsigned group)
{
    return load_be16(address + 2 * group);
}

/* ---- Nodes ------------------------------------------------------------------------------------
 */

static inline int16_t end_of(unsigned value)
{
    return (int16_t)(value ^ 0x8000);
}

static inline link_slot *node_links(const struct node *node)
{
    return (link_slot *)((uintptr_t)node + node->entries_at);
}

static inline _Atomic uint16_t *node_next_hops(const struct node *node)
{
    return (_Atomic uint16_t *)((uintptr_t)node + node->entries_at);
}

static uint8_t *node_lengths(const struct node *node)
{
    return (uint8_t *)(node_next_hops(node) + node->run_count);
}

static size_t entries_offset(uint64_t kind, unsigned run_count, bool has_links)
{
    if (kind == LINK_LIST && !has_links && run_count <= SMALL_LIST_RUNS)
        return SMALL_ENTRIES_AT;
    return sizeof(struct node);
}

static size_t node_bytes(size_t entries_at, unsigned run_count, bool has_links)
{
    size_t entry = has_links ? sizeof(link_slot) : sizeof(uint16_t) + sizeof(uint8_t);

    return MAX_OF(entries_at + run_count * entry, sizeof(struct node));
}

static uint64_t node_link(const struct node *node, unsigned run)
{
    if (node->has_links)
        return link_load(&node_links(node)[run]);
    return answer_of(atomic_load_explicit(&node_next_hops(node)[run], memory_order_relaxed),
                     node_lengths(node)[run]);
}

/* Which run a byte is in. */
static inline size_t rank_of(const struct node *node, uint8_t byte)
{
    unsigned word = byte / WORD_BITS;
    uint64_t up_to_it = node->starts[word] << (~byte & (WORD_BITS - 1));

    return node->ranks[word] + (size_t)__builtin_popcountll(up_to_it) - 1;
}

static unsigned find_run(uint64_t link, unsigned value)
{
    const struct node *node = link_node(link);
    unsigned run = 0;

    if (link & LINK_BYTES)
        return (unsigned)rank_of(node, (uint8_t)value);
    while (node->ends[run] < end_of(value))
        run++;
    return run;
}

/* Of a link that stands for what ends with the value `last`. */
static unsigned read_runs(uint64_t link, unsigned last, struct run *runs)
{
    struct node *node = link_node(link);
    unsigned count = 0;

    if (is_answer(link)) {
        runs[0] = (struct run){ (uint16_t)last, link };
        return 1;
    }
    if (link & LINK_LIST) {
        for (; count < node->run_count; count++)
            runs[count] =
                (struct run){ (uint16_t)(node->ends[count] ^ 0x8000), node_link(node, count) };
        return count;
    }
    unsigned first = last & ~(TABLE_LINKS - 1u);
    for (unsigned word = 0; word < WORDS; word++) {
        for (uint64_t starts = node->starts[word]; starts != 0; starts &= starts - 1) {
            unsigned start = first + word * WORD_BITS + (unsigned)__builtin_ctzll(starts);
            if (count > 0)
                runs[count - 1].end = (uint16_t)(start - 1);
            runs[count].link = node_link(node, count);
            count++;
        }
    }
    runs[count - 1].end = (uint16_t)last;
    return count;
}

/* How many runs a link stands for. */
static unsigned run_count_of(uint64_t link)
{
    return is_answer(link) ? 1 : link_node(link)->run_count;
}

/* ---- Memory -----------------------------------------------------------------------------------
 */

static void *take(struct fib6 *fib, size_t size)
{
    void *memory = memory_alloc(size, CACHE_LINE_BYTES, MEMORY_FIB);

    if (memory)
        fib->bytes += size;
    return memory;
}

static size_t part_bytes(uint64_t link)
{
    if (link & LINK_TABLE)
        return sizeof(struct table);
    const struct node *node = link_node(link);
    return node_bytes(node->entries_at, node->run_count, node->has_links);
}

/* A node or a table that no reader has seen, without what is below. */
static void give(struct fib6 *fib, uint64_t link)
{
    if (is_answer(link))
        return;
    fib->bytes -= part_bytes(link);
    memory_free(link_node(link));
}

static void free_parts(void *first)
{
    for (struct part *part = first; part;) {
        struct part *next = part->next;
        memory_free((uint8_t *)part - PART_AT);
        part = next;
    }
}

static void discard(struct fib6 *fib, uint64_t link)
{
    if (is_answer(link))
        return;
    struct part *part = (struct part *)((uintptr_t)link_node(link) + PART_AT);
    part->next = fib->waste;
    fib->waste = part;
    fib->bytes -= part_bytes(link);
}

/* After a change: all its waste is one object of the domain. Half of the domain's list is left to
 * those who cannot wait. */
static void retire_waste(struct fib6 *fib)
{
    if (!fib->waste)
        return;
    if (!fib->snapshots) {
        free_parts(fib->waste);
        fib->waste = NULL;
    } else if (fib->snapshots->retired_count < RETIRED_MAX / 2 &&
               snapshot_retire(fib->snapshots, fib->waste, free_parts) == OK) {
        fib->waste = NULL;
    }
}

/* All below, of which no reader is left. */
static void free_below(struct fib6 *fib, uint64_t link, unsigned *freed, const struct pause *pause)
{
    if (is_answer(link))
        return;
    if (link & LINK_TABLE) {
        for (unsigned i = 0; i < TABLE_LINKS; i++)
            free_below(fib, link_load(&link_table(link)->links[i]), freed, pause);
    } else if (link_node(link)->has_links) {
        for (unsigned i = 0; i < link_node(link)->run_count; i++)
            free_below(fib, link_load(&node_links(link_node(link))[i]), freed, pause);
    }
    give(fib, link);
    if (++*freed % LINKS_PER_PAUSE == 0)
        pause_take(pause);
}

/* ---- Putting runs together --------------------------------------------------------------------
 */

static void add_run(struct fib6 *fib, unsigned end, uint64_t link)
{
    struct run *last = fib->run_count > 0 ? &fib->runs[fib->run_count - 1] : NULL;

    if (last && last->link == link && is_answer(link)) {
        last->end = (uint16_t)end;
        return;
    }
    fib->runs[fib->run_count++] = (struct run){ (uint16_t)end, link };
}

/* From first to last all is `outside`, but for what is between two values. */
static void put_runs(struct fib6 *fib, unsigned last, uint64_t outside, unsigned inside_first,
                     unsigned inside_last, uint64_t inside)
{
    fib->run_count = 0;
    if (inside_first > 0)
        add_run(fib, inside_first - 1, outside);
    add_run(fib, inside_last, inside);
    if (inside_last < last)
        add_run(fib, last, outside);
}

/* At least two runs, of which the last one is cut at `last`. 0: no memory. */
static uint64_t make_node(struct fib6 *fib, uint64_t kind, const struct run *runs, unsigned count,
                          unsigned last, bool has_links)
{
    for (unsigned i = 0; i < count; i++)
        has_links |= !is_answer(runs[i].link);
    size_t entries_at = entries_offset(kind, count, has_links);
    struct node *node = take(fib, node_bytes(entries_at, count, has_links));
    if (!node)
        return 0;
    node->run_count = (uint16_t)count;
    node->has_links = has_links;
    node->entries_at = (uint16_t)entries_at;
    for (unsigned i = 0; i < count; i++) {
        if (kind == LINK_LIST) {
            node->ends[i] = end_of(MIN_OF(runs[i].end, last));
        } else {
            uint8_t start = i > 0 ? (uint8_t)(runs[i - 1].end + 1) : 0;
            node->starts[start / WORD_BITS] |= (uint64_t)1 << start % WORD_BITS;
        }
        if (has_links) {
            atomic_init(&node_links(node)[i], runs[i].link);
        } else {
            atomic_init(&node_next_hops(node)[i], answer_next_hop(runs[i].link));
            node_lengths(node)[i] = answer_length(runs[i].link);
        }
    }
    for (unsigned word = 1; kind == LINK_BYTES && word < WORDS; word++)
        node->ranks[word] =
            (uint8_t)(node->ranks[word - 1] + __builtin_popcountll(node->starts[word - 1]));
    return (uintptr_t)node | kind;
}

static uint64_t make_table(struct fib6 *fib, bool has_links)
{
    struct table *table = take(fib, sizeof(*table));
    const struct run *run = fib->runs;

    if (!table)
        return 0;
    for (unsigned i = 0; i < TABLE_LINKS; i++) {
        unsigned last = i << BYTE_BITS | (TABLE_LINKS - 1), count = 1;
        while (run[count - 1].end < last)
            count++;
        uint64_t link =
            count > 1 ? make_node(fib, LINK_BYTES, run, count, last, has_links) : run->link;
        if (link == 0 && count > 1)
            goto no_memory;
        atomic_init(&table->links[i], link);
        table->below_count += count - 1;
        run += count - (run[count - 1].end > last);
    }
    return (uintptr_t)table | LINK_TABLE;

no_memory:
    for (unsigned i = 0; i < TABLE_LINKS; i++)
        give(fib, link_load(&table->links[i]));
    give(fib, (uintptr_t)table | LINK_TABLE);
    return 0;
}

/* What fib->runs are: all of a group, or what a link of a table stands for. */
static enum error make_link(struct fib6 *fib, unsigned group, bool in_table, unsigned last,
                            uint64_t *link)
{
    bool has_links = group == FIRST_GROUP;

    if (fib->run_count == 1)
        *link = fib->runs[0].link;
    else if (in_table)
        *link = make_node(fib, LINK_BYTES, fib->runs, fib->run_count, last, has_links);
    else if (fib->run_count <= LIST_RUNS && !has_links)
        *link = make_node(fib, LINK_LIST, fib->runs, fib->run_count, last, false);
    else
        *link = make_table(fib, has_links);
    return fib->run_count == 1 || *link != 0 ? OK : ERROR_NO_MEMORY;
}

/* ---- Changes in place -------------------------------------------------------------------------
 */

static void paint_below(uint64_t link, const struct change *change);

static void paint_slot(link_slot *slot, const struct change *change)
{
    uint64_t link = link_load(slot);

    if (!is_answer(link))
        paint_below(link, change);
    else if (changes(change, answer_length(link)))
        link_store(slot, change->answer);
}

static void paint_slots(link_slot *slots, unsigned count, const struct change *change)
{
    for (unsigned i = 0; i < count; i++)
        paint_slot(&slots[i], change);
}

/* All of it. Its runs stay: what is changed was the same all over, and differs from what lies
 * between in its length. */
static void paint_below(uint64_t link, const struct change *change)
{
    struct node *node = link_node(link);

    if (link & LINK_TABLE) {
        paint_slots(link_table(link)->links, TABLE_LINKS, change);
    } else if (node->has_links) {
        paint_slots(node_links(node), node->run_count, change);
    } else {
        for (unsigned i = 0; i < node->run_count; i++) {
            if (!changes(change, node_lengths(node)[i]))
                continue;
            node_lengths(node)[i] = answer_length(change->answer);
            atomic_store_explicit(&node_next_hops(node)[i], answer_next_hop(change->answer),
                                  memory_order_relaxed);
        }
    }
}

/* All that the prefix spans, which is as long as the first group at most. */
static void paint_root(struct fib6 *fib, const uint8_t *address, unsigned length,
                       const struct change *change)
{
    unsigned first = group_of(address, 0), count = 1u << (GROUP_BITS - length);

    for (unsigned value = first; value < first + count; value++)
        paint_slot(&fib->root[(uint16_t)(value << BYTE_BITS | value >> BYTE_BITS)], change);
}

/* ---- Changes of runs --------------------------------------------------------------------------
 */

/* From the root downwards: where a link is that the address passes. */
struct step {
    link_slot *slot;
    uint64_t link;       /* an answer or a node */
    unsigned last;       /* of the group's values that the link stands for */
    struct table *table; /* that the slot is in, NULL: none */
    link_slot *table_slot;
    bool in_node; /* the slot is in the node of the step before */
};

struct edit {
    const struct change *change; /* NULL: all becomes `link` */
    unsigned first, last;
    uint64_t link;
};

/* False: nothing changes. */
static bool edit_runs(struct fib6 *fib, const struct step *step, const struct edit *edit)
{
    unsigned count = read_runs(step->link, step->last, fib->old_runs);
    unsigned first = step->table ? step->last & ~(TABLE_LINKS - 1u) : 0;
    bool changed = false;

    fib->run_count = 0;
    for (unsigned i = 0; i < count; i++) {
        struct run run = fib->old_runs[i];
        bool touched = first <= edit->last && run.end >= edit->first;
        if (touched && edit->change)
            touched = is_answer(run.link) && changes(edit->change, answer_length(run.link));
        if (touched && run.link != edit->link) {
            changed = true;
            if (first < edit->first)
                add_run(fib, edit->first - 1, run.link);
            add_run(fib, MIN_OF(run.end, edit->last), edit->link);
            if (run.end > edit->last)
                add_run(fib, run.end, run.link);
        } else {
            add_run(fib, run.end, run.link);
        }
        first = run.end + 1u;
    }
    return changed;
}

/* What is below a run of the group before, if the change divides it there. */
static enum error make_chain(struct fib6 *fib, const uint8_t *address, unsigned group,
                             unsigned bottom, const struct edit *edit, uint64_t around,
                             uint64_t *link)
{
    unsigned freed = 0;
    uint64_t made;

    put_runs(fib, GROUP_LAST, around, edit->first, edit->last, edit->link);
    enum error error = make_link(fib, bottom, false, GROUP_LAST, &made);
    while (error == OK && bottom-- > group && !is_answer(made)) {
        unsigned value = group_of(address, bottom);
        put_runs(fib, GROUP_LAST, around, value, value, made);
        uint64_t below = made;
        error = make_link(fib, bottom, false, GROUP_LAST, &made);
        if (error != OK)
            free_below(fib, below, &freed, NULL);
    }
    *link = made;
    return error;
}

/* So few runs are left that they are a list again, or the same all over. Without memory for it,
 * another time. */
static void merge_table(struct fib6 *fib, struct table *table, link_slot *slot, unsigned group)
{
    uint64_t merged;

    if (table->below_count >= MERGED_RUNS)
        return;
    fib->run_count = 0;
    for (unsigned i = 0; i < TABLE_LINKS; i++) {
        unsigned last = i << BYTE_BITS | (TABLE_LINKS - 1);
        unsigned count = read_runs(link_load(&table->links[i]), last, fib->old_runs);
        for (unsigned k = 0; k < count; k++)
            add_run(fib, fib->old_runs[k].end, fib->old_runs[k].link);
        if (fib->run_count > MERGED_RUNS)
            return;
    }
    if ((fib->run_count == 1) != (group == FIRST_GROUP) ||
        make_link(fib, group, false, GROUP_LAST, &merged) != OK)
        return;
    link_store(slot, merged);
    for (unsigned i = 0; i < TABLE_LINKS; i++)
        discard(fib, link_load(&table->links[i]));
    discard(fib, (uintptr_t)table | LINK_TABLE);
}

/* What lies wholly inside the prefix, below a node that was replaced: the new one shares it. */
static void paint_inside(struct fib6 *fib, const struct step *step, const struct edit *edit)
{
    unsigned count = read_runs(step->link, step->last, fib->old_runs);

    for (unsigned i = 0; edit->change && i < count; i++) {
        const struct run *run = &fib->old_runs[i];
        if (!is_answer(run->link) && run->end >= edit->first && run->end <= edit->last)
            paint_below(run->link, edit->change);
    }
}

/* Replaces the node of the last step, and where all of one has become the same, that of the step
 * before. Nothing but the last of them needs memory. */
static enum error replace_nodes(struct fib6 *fib, const struct step *steps,
                                const struct step *bottom, const uint8_t *address,
                                const struct edit *wanted)
{
    const struct step *step = bottom;
    struct edit edit = *wanted;
    uint64_t link = 0;
    unsigned group;

    for (;;) {
        group = FIRST_GROUP + (unsigned)(step - steps);
        if (!edit_runs(fib, step, &edit)) {
            paint_inside(fib, bottom, wanted);
            return OK;
        }
        if (make_link(fib, group, step->table, step->last, &link) != OK)
            return fail(ERROR_NO_MEMORY);
        if (!is_answer(link) || !step->in_node)
            break;
        step--;
        unsigned value = group_of(address, group - 1);
        edit = (struct edit){ NULL, value, value, link };
    }
    link_store(step->slot, link);
    if (step->table)
        step->table->below_count += run_count_of(link) - run_count_of(step->link);
    paint_inside(fib, bottom, wanted);
    for (const struct step *old = step; old <= bottom; old++)
        discard(fib, old->link);
    if (step->table)
        merge_table(fib, step->table, step->table_slot, group);
    return OK;
}

/* Longer than a group. */
static enum error change_below(struct fib6 *fib, const uint8_t *address, unsigned length,
                               const struct change *change)
{
    struct step steps[GROUP_COUNT], *step = steps;
    unsigned bottom = (length - 1) / GROUP_BITS, group = 1;
    struct edit edit = { .change = change,
                         .first = group_of(address, bottom),
                         .link = change->answer };

    edit.last = edit.first | GROUP_LAST >> (length - bottom * GROUP_BITS);
    *step = (struct step){ .slot = root_slot(fib, address) };
    for (;; group++) {
        unsigned value = group_of(address, group);
        step->link = link_load(step->slot);
        step->last = GROUP_LAST;
        if (step->link & LINK_TABLE) {
            struct table *table = link_table(step->link);
            if (group == bottom && edit.last - edit.first >= TABLE_LINKS - 1) {
                paint_slots(&table->links[edit.first >> BYTE_BITS],
                            (edit.last - edit.first + 1) >> BYTE_BITS, change);
                merge_table(fib, table, step->slot, group);
                return OK;
            }
            link_slot *slot = &table->links[value >> BYTE_BITS];
            *step = (struct step){ .slot = slot,
                                   .link = link_load(slot),
                                   .last = value | (TABLE_LINKS - 1),
                                   .table = table,
                                   .table_slot = step->slot };
        }
        if (group == bottom)
            return replace_nodes(fib, steps, step, address, &edit);
        uint64_t below = step->link;
        if (!is_answer(below)) {
            struct node *node = link_node(below);
            unsigned run = find_run(below, value);
            below = node_link(node, run);
            if (!is_answer(below)) {
                *++step = (struct step){ .slot = &node_links(node)[run], .in_node = true };
                continue;
            }
        }
        if (!changes(change, answer_length(below)))
            return OK;
        uint64_t chain;
        if (make_chain(fib, address, group + 1, bottom, &edit, below, &chain) != OK)
            return fail(ERROR_NO_MEMORY);
        struct edit link_chain = { NULL, value, value, chain };
        enum error error = replace_nodes(fib, steps, step, address, &link_chain);
        unsigned freed = 0;
        if (error != OK)
            free_below(fib, chain, &freed, NULL);
        return error;
    }
}

static enum error apply(struct fib6 *fib, const uint8_t *address, unsigned length,
                        const struct change *change)
{
    enum error error = OK;

    CHECK(length <= LENGTH_MAX);
    for (unsigned i = length / 8; i < LENGTH_MAX / 8; i++)
        CHECK((uint8_t)(address[i] << (i == length / 8 ? length % 8 : 0)) == 0);
    if (length <= GROUP_BITS)
        paint_root(fib, address, length, change);
    else
        error = change_below(fib, address, length, change);
    retire_waste(fib);
    return error;
}

enum error fib6_insert(struct fib6 *fib, const struct fib6_route *route)
{
    struct change change = { 0, route->length, answer_of(route->next_hop, route->length) };

    return apply(fib, route->address, route->length, &change);
}

enum error fib6_remove(struct fib6 *fib, const uint8_t address[16], unsigned length,
                       const struct fib6_route *cover)
{
    struct change change = { (uint8_t)length, (uint8_t)length, answer_of(FIB6_NO_ROUTE, 0) };

    if (cover) {
        CHECK(cover->length < length);
        change.answer = answer_of(cover->next_hop, cover->length);
    }
    return apply(fib, address, length, &change);
}

/* ---- Looking up -------------------------------------------------------------------------------
 * A batch goes down level by level, and of each level in loops over all that are still on their way
 * (links, tables, first lines of nodes, second lines, entries), so that the processor has many of
 * the accesses on their way at once and the branches that are left nearly always go the same way.
 */

/* How many of a line's ends are below the group's value. */
typedef unsigned end_counter(const int16_t *ends, int16_t value);

/* Stops in the vector that has the answer: what follows the ends in a small node may be changing.
 */
static inline unsigned count_ends(const int16_t *ends, int16_t value)
{
    enum { LANES = 8, ALL = 0xffff };
    const __m128i wanted = _mm_set1_epi16(value);

    for (unsigned at = 0;; at += LANES) {
        __m128i below = _mm_cmplt_epi16(_mm_load_si128((const __m128i *)&ends[at]), wanted);
        unsigned mask = (unsigned)_mm_movemask_epi8(below);
        if (mask != ALL)
            return at + (unsigned)__builtin_ctz(~mask) / 2;
    }
}

/* These take what they compare in vain from the same line as it is. */
VECTOR_AVX2 static inline unsigned count_ends_avx2(const int16_t *ends, int16_t value)
{
    const __m256i wanted = _mm256_set1_epi16(value), *line = (const __m256i *)ends;
    __m256i low = _mm256_cmpgt_epi16(wanted, _mm256_load_si256(&line[0]));
    __m256i high = _mm256_cmpgt_epi16(wanted, _mm256_load_si256(&line[1]));
    __m256i below = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);

    return (unsigned)__builtin_ctz(~(unsigned)_mm256_movemask_epi8(below));
}

VECTOR_AVX512 static inline unsigned count_ends_avx512(const int16_t *ends, int16_t value)
{
    __m512i line = _mm512_load_si512(ends);

    return (unsigned)__builtin_ctz(_mm512_cmpge_epi16_mask(line, _mm512_set1_epi16(value)));
}

/* Those of a batch that have no answer yet: where they come to next, with their place in the batch
 * in the bits that an address has to spare. Lists and tables apart, as a branch on that would be
 * taken or not as the traffic wills. */
struct travelers {
    unsigned list_count, table_count;
    /* With room for what a vector writes behind the last one. */
    uint64_t at_lists[BATCH_MAX + 8], at_tables[BATCH_MAX + 8];
};
_Static_assert((size_t)BATCH_MAX <= CACHE_LINE_BYTES, "a place fits beside the address of a line");

__attribute__((always_inline)) static inline void
travel_on(struct travelers *travelers, uint64_t index, uint64_t link, uint16_t *next_hops)
{
    uint64_t traveler = (link & ~LINK_KIND) + index;

    next_hops[index] = answer_next_hop(link);
    travelers->at_lists[travelers->list_count] = traveler;
    travelers->list_count += link & LINK_LIST;
    travelers->at_tables[travelers->table_count] = traveler;
    travelers->table_count += link / LINK_TABLE % 2;
}

/* The link, if it is of that kind, leads there; this costs less than link_node(). */
static inline const struct node *link_bytes(uint64_t link)
{
    return (const struct node *)(uintptr_t)(link - LINK_BYTES);
}

/* All of a batch. */
typedef void sorter(struct travelers *travelers, const uint64_t *links, unsigned count,
                    uint16_t *next_hops);

static inline void sort_links(struct travelers *travelers, const uint64_t *links, unsigned count,
                              uint16_t *next_hops)
{
    travelers->list_count = travelers->table_count = 0;
    for (unsigned i = 0; i < count; i++)
        travel_on(travelers, i, links[i], next_hops);
}

VECTOR_AVX512 static inline void sort_links_avx512(struct travelers *travelers,
                                                   const uint64_t *links, unsigned count,
                                                   uint16_t *next_hops)
{
    enum { LANES = 8 };
    const __m512i kinds = _mm512_set1_epi64((int64_t)LINK_KIND);
    __m512i indexes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    unsigned list_count = 0, table_count = 0;

    for (unsigned i = 0; i < count; i += LANES) {
        __mmask8 lanes = (__mmask8)((1u << MIN_OF(count - i, (unsigned)LANES)) - 1);
        __m512i link = _mm512_maskz_loadu_epi64(lanes, &links[i]);
        __m512i traveler = _mm512_add_epi64(_mm512_andnot_si512(kinds, link), indexes);
        __mmask8 lists = _mm512_test_epi64_mask(link, _mm512_set1_epi64(LINK_LIST));
        __mmask8 tables = _mm512_test_epi64_mask(link, _mm512_set1_epi64(LINK_TABLE));
        _mm_mask_storeu_epi16(&next_hops[i], lanes,
                              _mm512_cvtepi64_epi16(_mm512_srli_epi64(link, 16)));
        _mm512_storeu_si512(&travelers->at_lists[list_count],
                            _mm512_maskz_compress_epi64(lists, traveler));
        _mm512_storeu_si512(&travelers->at_tables[table_count],
                            _mm512_maskz_compress_epi64(tables, traveler));
        list_count += (unsigned)__builtin_popcount(lists);
        table_count += (unsigned)__builtin_popcount(tables);
        indexes = _mm512_add_epi64(indexes, _mm512_set1_epi64(LANES));
    }
    travelers->list_count = list_count;
    travelers->table_count = table_count;
}

/* The first two groups, which nearly all addresses go through. */
__attribute__((always_inline)) static inline void
start(const struct fib6 *fib, struct travelers *travelers, const uint8_t (*addresses)[16],
      unsigned count, uint16_t *next_hops, sorter *sort)
{
    uint64_t links[BATCH_MAX];

    for (size_t i = 0; i < count; i++) {
        uint64_t link = link_load(root_slot(fib, addresses[i]));
        if (LIKELY(link & LINK_TABLE)) {
            const struct table *table = (const struct table *)(uintptr_t)(link - LINK_TABLE);
            link = link_load(&table->links[addresses[i][2]]);
            if (LIKELY(link & LINK_BYTES))
                __builtin_prefetch(link_bytes(link));
        }
        links[i] = link;
    }
    for (size_t i = 0; i < count; i++) {
        if (UNLIKELY(!(links[i] & LINK_BYTES)))
            continue;
        const struct node *node = link_bytes(links[i]);
        links[i] = link_load((const link_slot *)(node + 1) + rank_of(node, addresses[i][3]));
    }
    sort(travelers, links, count, next_hops);
    for (unsigned i = 0; i < travelers->list_count; i++)
        __builtin_prefetch(link_node(travelers->at_lists[i]));
    for (unsigned i = 0; i < travelers->table_count; i++) {
        uint64_t traveler = travelers->at_tables[i];
        __builtin_prefetch(&link_table(traveler)->links[addresses[traveler & LINK_KIND][4]]);
    }
}

__attribute__((always_inline)) static inline void
follow_entry(const struct node *node, const void *entries, size_t run, uint64_t index,
             struct travelers *travelers, uint16_t *next_hops)
{
    if (LIKELY(!node->has_links))
        next_hops[index] =
            atomic_load_explicit((const _Atomic uint16_t *)entries + run, memory_order_relaxed);
    else
        travel_on(travelers, index, link_load((const link_slot *)entries + run), next_hops);
}

/* One group further. */
__attribute__((always_inline)) static inline void
follow(const struct travelers *from, struct travelers *to, const uint8_t (*addresses)[16],
       unsigned group, uint16_t *next_hops, end_counter *count_below)
{
    const uint8_t *groups = (const uint8_t *)addresses + 2 * group;

    for (unsigned i = 0; i < from->list_count; i++) {
        uint64_t index = from->at_lists[i] & LINK_KIND;
        const struct node *node = link_node(from->at_lists[i]);
        size_t run = count_below(node->ends, end_of(load_be16(groups + 16 * index)));
        follow_entry(node, (const uint8_t *)node + node->entries_at, run, index, to, next_hops);
    }
    for (unsigned i = 0; i < from->table_count; i++) {
        uint64_t index = from->at_tables[i] & LINK_KIND;
        const uint8_t *bytes = groups + 16 * index;
        uint64_t link = link_load(&link_table(from->at_tables[i])->links[bytes[0]]);
        const struct node *node = link_bytes(link);
        if (is_answer(link))
            next_hops[index] = answer_next_hop(link);
        else
            follow_entry(node, node + 1, rank_of(node, bytes[1]), index, to, next_hops);
    }
}

__attribute__((always_inline)) static inline void lookup_by(const struct fib6 *fib,
                                                            const uint8_t (*addresses)[16],
                                                            uint16_t *next_hops, unsigned count,
                                                            sorter *sort, end_counter *count_below)
{
    struct travelers travelers[2];

    start(fib, &travelers[0], addresses, count, next_hops, sort);
    for (unsigned group = 2;; group++) {
        const struct travelers *from = &travelers[group % 2];
        struct travelers *to = &travelers[(group + 1) % 2];
        if (from->list_count + from->table_count == 0)
            return;
        to->list_count = to->table_count = 0;
        follow(from, to, addresses, group, next_hops, count_below);
    }
}

static void lookup(const struct fib6 *fib, const uint8_t (*addresses)[16], uint16_t *next_hops,
                   unsigned count)
{
    lookup_by(fib, addresses, next_hops, count, sort_links, count_ends);
}

VECTOR_AVX2 static void lookup_avx2(const struct fib6 *fib, const uint8_t (*addresses)[16],
                                    uint16_t *next_hops, unsigned count)
{
    lookup_by(fib, addresses, next_hops, count, sort_links, count_ends_avx2);
}

VECTOR_AVX512 static void lookup_avx512(const struct fib6 *fib, const uint8_t (*addresses)[16],
                                        uint16_t *next_hops, unsigned count)
{
    lookup_by(fib, addresses, next_hops, count, sort_links_avx512, count_ends_avx512);
}

uint16_t fib6_lookup(const struct fib6 *fib, const uint8_t address[16])
{
    uint16_t next_hop;

    fib->lookup(fib, (const uint8_t(*)[16])address, &next_hop, 1);
    return next_hop;
}

void fib6_lookup_batch(const struct fib6 *fib, const uint8_t (*addresses)[16], uint16_t *next_hops,
                       unsigned count)
{
    for (unsigned now; count > 0; count -= now) {
        now = MIN_OF(count, (unsigned)BATCH_MAX);
        fib->lookup(fib, addresses, next_hops, now);
        addresses += now;
        next_hops += now;
    }
}

unsigned fib6_way_count(const struct fib6 *fib)
{
    return fib->way_count;
}

void fib6_use_way(struct fib6 *fib, unsigned way)
{
    static batch_lookup *const ways[] = { lookup, lookup_avx2, lookup_avx512 };

    CHECK(way < fib->way_count);
    fib->lookup = ways[way];
}

/* ---- The whole --------------------------------------------------------------------------------
 */

struct fib6 *fib6_create(const struct fib6_plan *plan, const struct fib6_route *routes,
                         unsigned count)
{
    struct fib6 *fib = memory_alloc(sizeof(*fib), CACHE_LINE_BYTES, MEMORY_FIB);

    if (!fib)
        return NULL;
    fib->bytes = sizeof(*fib);
    fib->root = take(fib, ROOT_BYTES);
    if (!fib->root)
        goto no_memory;
    fib->way_count = vector_has_avx512() ? 3 : vector_has_avx2() ? 2 : 1;
    fib6_use_way(fib, fib->way_count - 1);
    for (unsigned i = 0; i < count; i++) {
        if (fib6_insert(fib, &routes[i]) != OK)
            goto no_memory;
        if ((i + 1) % ROUTES_PER_PAUSE == 0)
            pause_take(plan->pause);
    }
    fib->snapshots = plan->snapshots; /* until now nobody else knew it */
    return fib;

no_memory:
    fib6_destroy(fib, plan->pause);
    return NULL;
}

void fib6_destroy(struct fib6 *fib, const struct pause *pause)
{
    unsigned freed = 0;

    if (!fib)
        return;
    for (unsigned i = 0; fib->root && i <= GROUP_LAST; i++)
        free_below(fib, link_load(&fib->root[i]), &freed, pause);
    free_parts(fib->waste);
    memory_free(fib->root);
    memory_free(fib);
}

void fib6_share(struct fib6 *fib, struct snapshot_domain *snapshots)
{
    fib->snapshots = snapshots;
}

size_t fib6_bytes(const struct fib6 *fib)
{
    return fib->bytes;
}
