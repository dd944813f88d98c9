/* The writer's side of a fib6, whose form fib6_tree.h shows. A change goes down to where its prefix
 * ends, changes answers in their places or makes the piece anew that divides otherwise, and on the
 * way back puts together what needs no division any more. A piece is published by one store.
 *
 * What can fail is done first: with room for all that a change may want, nothing else can fail. As
 * readers hold pieces by their place in the arena, that grows only until the FIB is shared; one
 * that is full then is made anew by its owner. */
#include "net/fib6.h"

#include <string.h>

#include "kernel/base/pause.h"
#include "kernel/base/snapshot.h"
#include "kernel/platform.h"
#include "net/fib6_tree.h"

enum {
    LENGTH_MAX = 128,
    ROOT_BITS = 8 * FIB6_FIRST_BYTE,
    MERGED_RUNS = 6,               /* so few become a leaf again */
    RUNS_MAX = FIB6_LEAF_RUNS + 2, /* a prefix divides one run into three */
    ROUTES_PER_PAUSE = 64,
    COPIED_PER_PAUSE = 256 << 10,
};

/* Pieces of the arena, by their lines. */
enum piece { LEAF, ANSWERS, TABLE, PIECE_COUNT };
static const uint32_t PIECE_LINES[] = {
    [LEAF] = sizeof(struct fib6_leaf) / CACHE_LINE_BYTES,
    [ANSWERS] = sizeof(struct fib6_answers) / CACHE_LINE_BYTES,
    [TABLE] = sizeof(struct fib6_table) / CACHE_LINE_BYTES,
};
enum {
    FIRST_LINE = FIB6_NO_LEAF / CACHE_LINE_BYTES + 1,
    LINES_MAX = 1 << 24, /* a gather's offsets are 31 bits */
    FIRST_ROOM_LINES = 4096,
};

/* More than a change makes. A leaf that is divided has nine ends inside, which makes nine leaves
 * and a chain of four tables at most; each group behind it wants a leaf more; on the way back there
 * may be one leaf or answers for each of 14 bytes. */
static const uint32_t PIECES_OF_A_CHANGE[] = { [LEAF] = 64, [ANSWERS] = 16, [TABLE] = 8 };

/* Those that are not in use: lists of their first lines. 0: the end. */
struct pieces {
    uint32_t first[PIECE_COUNT];
    uint32_t count[PIECE_COUNT];
};

struct run {
    uint32_t end; /* of the group's values */
    uint32_t link;
};

struct fib6 {
    /* Set before it is shared, read by all. */
    uint8_t *arena;
    fib6_way *way;
    fib6_way *const *ways;
    unsigned way_count;
    /* The writer's. */
    struct snapshot_domain *snapshots;
    struct pause pause; /* taken while it is made, and in changes of short prefixes */
    uint32_t *behind;   /* of each line that begins a piece on a list, the next one's */
    uint32_t line_count;
    uint32_t line_end; /* those behind were never used */
    struct pieces free;
    struct pieces waste;   /* readers may be there */
    struct pieces waiting; /* for the quiescent point that is on the domain's list */
    bool waits;
    unsigned run_count; /* of those that a piece is made of */
    struct run runs[RUNS_MAX];
};

/* What is painted, and over what lengths. */
struct change {
    const uint8_t *address;
    unsigned length;
    bool is_removal;
    uint8_t over_first;
    uint8_t over_last;
    uint32_t answer;
};

static bool changes(const struct change *change, uint32_t answer)
{
    uint8_t length = answer_length(answer);

    return length >= change->over_first && length <= change->over_last;
}

/* ---- Memory -----------------------------------------------------------------------------------
 */

static enum piece piece_of(uint32_t link)
{
    return link & LINK_LEAF ? LEAF : link & LINK_ANSWERS ? ANSWERS : TABLE;
}

static void push(struct fib6 *fib, struct pieces *pieces, enum piece piece, uint32_t line)
{
    fib->behind[line] = pieces->first[piece];
    pieces->first[piece] = line;
    pieces->count[piece]++;
}

static uint32_t pop(struct fib6 *fib, struct pieces *pieces, enum piece piece)
{
    uint32_t line = pieces->first[piece];

    pieces->first[piece] = fib->behind[line];
    pieces->count[piece]--;
    return line;
}

static uint32_t take(struct fib6 *fib, enum piece piece)
{
    uint32_t line = fib->line_end;

    if (fib->free.count[piece] > 0)
        return pop(fib, &fib->free, piece) * CACHE_LINE_BYTES;
    CHECK(PIECE_LINES[piece] <= fib->line_count - line); /* make_room() */
    fib->line_end += PIECE_LINES[piece];
    return line * CACHE_LINE_BYTES;
}

static void discard(struct fib6 *fib, uint32_t link)
{
    push(fib, fib->snapshots ? &fib->waste : &fib->free, piece_of(link), link / CACHE_LINE_BYTES);
}

static void free_waiting(void *context)
{
    struct fib6 *fib = context;

    fib->waits = false;
    for (enum piece piece = 0; piece < PIECE_COUNT; piece++)
        while (fib->waiting.count[piece] > 0)
            push(fib, &fib->free, piece, pop(fib, &fib->waiting, piece));
}

static bool has_waste(const struct fib6 *fib)
{
    const uint32_t *counts = fib->waste.count;

    return counts[LEAF] + counts[ANSWERS] + counts[TABLE] > 0;
}

/* Waste waits for one quiescent point at a time, and half of the domain's list is left to those who
 * cannot wait. */
static void retire_waste(struct fib6 *fib)
{
    if (!has_waste(fib) || fib->waits || fib->snapshots->retired_count >= RETIRED_MAX / 2)
        return;
    if (snapshot_retire(fib->snapshots, fib, free_waiting) != OK)
        return;
    fib->waits = true;
    fib->waiting = fib->waste;
    fib->waste = (struct pieces){ 0 };
}

static void copy(const struct fib6 *fib, void *to, const void *from, size_t size)
{
    for (size_t at = 0; at < size; at += COPIED_PER_PAUSE) {
        memcpy((uint8_t *)to + at, (const uint8_t *)from + at,
               MIN_OF(size - at, (size_t)COPIED_PER_PAUSE));
        pause_take(&fib->pause);
    }
}

static enum error grow(struct fib6 *fib, uint32_t line_count)
{
    const size_t size = (size_t)line_count * CACHE_LINE_BYTES;
    const size_t list_size = line_count * sizeof(fib->behind[0]);

    if (line_count > LINES_MAX)
        return fail(ERROR_NO_MEMORY);
    uint8_t *arena = memory_alloc_uncleared(size, CACHE_LINE_BYTES, MEMORY_FIB);
    if (!arena)
        return fail(ERROR_NO_MEMORY);
    uint32_t *behind = memory_alloc_uncleared(list_size, sizeof(*behind), MEMORY_FIB);
    if (!behind)
        goto no_list;
    copy(fib, arena, fib->arena, (size_t)fib->line_end * CACHE_LINE_BYTES);
    copy(fib, behind, fib->behind, fib->line_end * sizeof(*behind));
    memory_free(fib->arena);
    memory_free(fib->behind);
    fib->arena = arena;
    fib->behind = behind;
    fib->line_count = line_count;
    return OK;

no_list:
    memory_free(arena);
    return fail(ERROR_NO_MEMORY);
}

/* How many lines a change may want that were never used. */
static uint32_t lines_wanted(const struct fib6 *fib)
{
    uint32_t lines = 0;

    for (enum piece piece = 0; piece < PIECE_COUNT; piece++)
        if (fib->free.count[piece] < PIECES_OF_A_CHANGE[piece])
            lines += (PIECES_OF_A_CHANGE[piece] - fib->free.count[piece]) * PIECE_LINES[piece];
    return lines;
}

/* For a change. One that will be shared has an eighth more than it needs, for changes to come. */
static enum error make_room(struct fib6 *fib)
{
    uint32_t room = fib->line_count - fib->line_end, wanted = lines_wanted(fib);

    if (!fib->snapshots)
        return room >= wanted + fib->line_end / 8
                   ? OK
                   : grow(fib, fib->line_end + fib->line_end / 3 + FIRST_ROOM_LINES);
    if (room >= wanted)
        return OK;
    retire_waste(fib);
    return fail(fib->waits || has_waste(fib) ? ERROR_BUSY : ERROR_FULL);
}

/* ---- Regions ----------------------------------------------------------------------------------
 * What lies below a link: all values of a group that have its first `depth` bytes in common.
 */

struct region {
    unsigned group, depth;
    uint32_t first, last;
};

static uint32_t values_below(unsigned depth)
{
    return depth == FIB6_GROUP_BYTES ? 0 : UINT32_MAX >> 8 * depth;
}

static struct region region_at(const uint8_t *address, unsigned byte)
{
    unsigned group = group_of(byte), depth = byte - group;
    uint32_t value = group_value(address, group), below = values_below(depth);

    return (struct region){ group, depth, value & ~below, value | below };
}

/* That of a table's link. */
static struct region region_in(struct region region, unsigned link)
{
    uint32_t below = values_below(region.depth + 1);

    region.first += link * (below + 1);
    region.last = region.first + below;
    region.depth++;
    return region;
}

/* ---- Making pieces ----------------------------------------------------------------------------
 */

/* False: too many for a table to become a leaf. */
static bool add_run(struct fib6 *fib, uint32_t end, uint32_t link)
{
    struct run *last = fib->run_count > 0 ? &fib->runs[fib->run_count - 1] : NULL;

    if (last && last->link == link && is_answer(link)) {
        last->end = end;
    } else {
        CHECK(fib->run_count < RUNS_MAX);
        fib->runs[fib->run_count++] = (struct run){ end, link };
    }
    return fib->run_count <= MERGED_RUNS;
}

static uint32_t deeper(uint32_t link)
{
    return is_answer(link) ? link : link | LINK_DEEPER;
}

static uint32_t make_leaf(struct fib6 *fib, const struct run *runs, unsigned count)
{
    uint32_t offset = take(fib, LEAF);
    struct fib6_leaf *leaf = link_leaf(fib->arena, offset);

    for (unsigned i = 0; i < FIB6_LEAF_RUNS; i++) {
        leaf->ends[i] = i + 1 < count ? end_of(runs[i].end) : INT32_MAX;
        atomic_init(&leaf->links[i], i < count ? runs[i].link : 0);
    }
    return offset | LINK_LEAF;
}

static uint32_t make_table(struct fib6 *fib, const uint32_t links[FIB6_TABLE_LINKS])
{
    uint32_t offset = take(fib, TABLE);

    for (unsigned i = 0; i < FIB6_TABLE_LINKS; i++)
        atomic_init(&link_table(fib->arena, offset)->links[i], links[i]);
    return offset | LINK_TABLE;
}

static uint32_t make_answers(struct fib6 *fib, const uint32_t links[FIB6_TABLE_LINKS])
{
    uint32_t offset = take(fib, ANSWERS);
    struct fib6_answers *answers = link_answers(fib->arena, offset);

    for (unsigned i = 0; i < FIB6_TABLE_LINKS; i++) {
        atomic_init(&answers->next_hops[i], answer_next_hop(links[i]));
        answers->lengths[i] = answer_length(links[i]);
    }
    return offset | LINK_ANSWERS;
}

static bool are_answers(const uint32_t links[FIB6_TABLE_LINKS])
{
    for (unsigned i = 0; i < FIB6_TABLE_LINKS; i++)
        if (!is_answer(links[i]))
            return false;
    return true;
}

/* The smallest piece for a region's runs, which are taken from the front of *runs; the last of them
 * may go on behind it. */
static uint32_t make_piece(struct fib6 *fib, const struct run **runs, struct region region)
{
    const struct run *run = *runs;
    uint32_t links[FIB6_TABLE_LINKS];
    unsigned count = 1;

    while (run[count - 1].end < region.last)
        count++;
    *runs = run + count - (run[count - 1].end > region.last);
    if (count == 1)
        return run->link;
    if (count <= FIB6_LEAF_RUNS)
        return make_leaf(fib, run, count);
    for (unsigned i = 0; i < FIB6_TABLE_LINKS; i++)
        links[i] = make_piece(fib, &run, region_in(region, i));
    return are_answers(links) ? make_answers(fib, links) : make_table(fib, links);
}

static uint32_t make_of_runs(struct fib6 *fib, struct region region)
{
    const struct run *runs = fib->runs;

    return make_piece(fib, &runs, region);
}

/* What of a group a change is about. */
struct span {
    uint32_t first, last;
    bool goes_deeper; /* the prefix ends in a later group: it is a single value */
};

static struct span span_of(const struct change *change, unsigned group)
{
    uint32_t first = group_value(change->address, group);
    unsigned length = change->length - 8 * group;

    if (length > 8 * FIB6_GROUP_BYTES)
        return (struct span){ first, first, true };
    return (struct span){ first, first | (uint32_t)(((uint64_t)1 << (32 - length)) - 1), false };
}

/* What leads to a region that is the same all over but for the prefix. */
static uint32_t make_around(struct fib6 *fib, const struct change *change, unsigned byte,
                            uint32_t around)
{
    struct region region = region_at(change->address, byte);
    struct span span = span_of(change, region.group);
    uint32_t inside = change->answer;

    if (span.goes_deeper)
        inside = deeper(make_around(fib, change, region.group + FIB6_GROUP_BYTES, around));
    fib->run_count = 0;
    if (span.first > region.first)
        add_run(fib, span.first - 1, around);
    add_run(fib, span.last, inside);
    if (span.last < region.last)
        add_run(fib, region.last, around);
    return make_of_runs(fib, region);
}

/* ---- Taking pieces apart ----------------------------------------------------------------------
 */

static uint32_t answer_at(const struct fib6_answers *answers, unsigned i)
{
    return answer_of(atomic_load_explicit(&answers->next_hops[i], memory_order_relaxed),
                     answers->lengths[i]);
}

static void set_answer(struct fib6_answers *answers, unsigned i, uint32_t answer)
{
    answers->lengths[i] = answer_length(answer);
    atomic_store_explicit(&answers->next_hops[i], answer_next_hop(answer), memory_order_relaxed);
}

/* The links of a table, or answers as such. */
static void read_links(const struct fib6 *fib, uint32_t link, uint32_t links[FIB6_TABLE_LINKS])
{
    for (unsigned i = 0; i < FIB6_TABLE_LINKS; i++)
        links[i] = link & LINK_TABLE ? link_load(&link_table(fib->arena, link)->links[i])
                                     : answer_at(link_answers(fib->arena, link), i);
}

static uint32_t run_end(const struct fib6_leaf *leaf, unsigned run, struct region region)
{
    return leaf->ends[run] == INT32_MAX ? region.last : (uint32_t)end_of((uint32_t)leaf->ends[run]);
}

/* Adds the runs of a region, if they are few. */
static bool collect_runs(struct fib6 *fib, uint32_t link, struct region region)
{
    if (is_answer(link) || link & LINK_DEEPER)
        return add_run(fib, region.last, link);
    if (link & LINK_LEAF) {
        const struct fib6_leaf *leaf = link_leaf(fib->arena, link);
        for (unsigned i = 0;; i++) {
            uint32_t end = run_end(leaf, i, region);
            if (!add_run(fib, end, link_load(&leaf->links[i])))
                return false;
            if (end == region.last)
                return true;
        }
    }
    for (unsigned i = 0; i < FIB6_TABLE_LINKS; i++) {
        uint32_t below = link & LINK_TABLE ? link_load(&link_table(fib->arena, link)->links[i])
                                           : answer_at(link_answers(fib->arena, link), i);
        if (!collect_runs(fib, below, region_in(region, i)))
            return false;
    }
    return true;
}

/* All pieces of a region; what is in the next group stays. */
static void discard_region(struct fib6 *fib, uint32_t link)
{
    if (is_answer(link) || link & LINK_DEEPER)
        return;
    for (unsigned i = 0; link & LINK_TABLE && i < FIB6_TABLE_LINKS; i++)
        discard_region(fib, link_load(&link_table(fib->arena, link)->links[i]));
    discard(fib, link);
}

/* ---- Changes ----------------------------------------------------------------------------------
 */

/* All below, which lies in the prefix. Its runs stay: what is changed was the same all over, and
 * differs from what lies between in its length. */
static void paint(struct fib6 *fib, link_slot *slot, const struct change *change)
{
    uint32_t link = link_load(slot);

    if (is_answer(link)) {
        if (changes(change, link))
            link_store(slot, change->answer);
    } else if (link & LINK_TABLE) {
        for (unsigned i = 0; i < FIB6_TABLE_LINKS; i++)
            paint(fib, &link_table(fib->arena, link)->links[i], change);
    } else if (link & LINK_ANSWERS) {
        struct fib6_answers *answers = link_answers(fib->arena, link);
        for (unsigned i = 0; i < FIB6_TABLE_LINKS; i++)
            if (changes(change, answer_at(answers, i)))
                set_answer(answers, i, change->answer);
    } else {
        struct fib6_leaf *leaf = link_leaf(fib->arena, link);
        for (unsigned i = 0, end = 0; !end; i++) {
            paint(fib, &leaf->links[i], change);
            end = leaf->ends[i] == INT32_MAX;
        }
    }
}

/* As it has to be where it leads to that byte. */
static uint32_t link_to(unsigned byte, uint32_t link)
{
    return byte == group_of(byte) && byte > FIB6_FIRST_BYTE ? deeper(link) : link;
}

static void put(link_slot *slot, unsigned byte, uint32_t link)
{
    link_store(slot, link_to(byte, link));
}

static void change_region(struct fib6 *fib, link_slot *slot, unsigned byte,
                          const struct change *change);

/* The leaf divides where the runs do. */
static bool has_ends_of_runs(const struct fib6 *fib, const struct fib6_leaf *leaf, unsigned count,
                             struct region region)
{
    bool has = fib->run_count == count;

    for (unsigned i = 0; has && i < count; i++)
        has = fib->runs[i].end == run_end(leaf, i, region);
    return has;
}

/* What is inside the span becomes `inside`, if the change is about it. */
static void edit_leaf(struct fib6 *fib, link_slot *slot, unsigned byte, const struct change *change,
                      struct span span, uint32_t inside)
{
    const uint32_t link = link_load(slot);
    struct fib6_leaf *leaf = link_leaf(fib->arena, link);
    struct region region = region_at(change->address, byte);
    uint32_t first = region.first;
    unsigned count = 0;

    fib->run_count = 0;
    for (bool is_last = false; !is_last; count++) {
        uint32_t end = run_end(leaf, count, region), below = link_load(&leaf->links[count]);
        is_last = end == region.last;
        if (!is_answer(below) && !span.goes_deeper && first >= span.first && end <= span.last)
            paint(fib, &leaf->links[count], change);
        if (is_answer(below) && first <= span.last && end >= span.first && changes(change, below)) {
            if (first < span.first)
                add_run(fib, span.first - 1, below);
            add_run(fib, MIN_OF(end, span.last), inside);
            if (end > span.last)
                add_run(fib, end, below);
        } else {
            add_run(fib, end, below);
        }
        first = end + 1;
    }
    if (!has_ends_of_runs(fib, leaf, count, region)) {
        put(slot, byte, make_of_runs(fib, region));
        discard(fib, link);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        link_store(&leaf->links[i], fib->runs[i].link);
}

static void change_leaf(struct fib6 *fib, link_slot *slot, unsigned byte,
                        const struct change *change)
{
    struct fib6_leaf *leaf = link_leaf(fib->arena, link_load(slot));
    struct span span = span_of(change, group_of(byte));
    unsigned next_group = group_of(byte) + FIB6_GROUP_BYTES;
    uint32_t inside = change->answer;

    if (span.goes_deeper) {
        link_slot *below = &leaf->links[find_run(leaf, span.first)];
        inside = link_load(below);
        if (is_answer(inside)) {
            if (!changes(change, inside))
                return;
            inside = deeper(make_around(fib, change, next_group, inside));
        } else {
            change_region(fib, below, next_group, change);
            if (!is_answer(link_load(below)))
                return;
            inside = link_load(below); /* perhaps as what is beside it */
        }
    }
    edit_leaf(fib, slot, byte, change, span, inside);
}

/* A table, or answers, as small as they can be after a removal. After an insertion, which seldom
 * leaves less to divide, it is not worth the look. */
static void merge(struct fib6 *fib, link_slot *slot, unsigned byte, const struct change *change)
{
    const uint32_t link = link_load(slot);
    const struct region region = region_at(change->address, byte);
    uint32_t links[FIB6_TABLE_LINKS];

    if (!change->is_removal)
        return;
    fib->run_count = 0;
    if (collect_runs(fib, link & ~(uint32_t)LINK_DEEPER, region)) {
        put(slot, byte, make_of_runs(fib, region));
        discard_region(fib, link & ~(uint32_t)LINK_DEEPER);
        return;
    }
    if (!(link & LINK_TABLE))
        return;
    read_links(fib, link, links);
    if (are_answers(links)) {
        put(slot, byte, make_answers(fib, links));
        discard(fib, link);
    }
}

/* How many links of a table at that byte the prefix spans, 0: it is longer than that. */
static unsigned spanned_links(const struct change *change, unsigned byte)
{
    return change->length <= 8 * (byte + 1) ? 1u << (8 * (byte + 1) - change->length) : 0;
}

static void change_table(struct fib6 *fib, link_slot *slot, unsigned byte,
                         const struct change *change)
{
    link_slot *links = &link_table(fib->arena, link_load(slot))->links[change->address[byte]];
    unsigned count = spanned_links(change, byte);

    for (unsigned i = 0; i < count; i++)
        paint(fib, &links[i], change);
    if (count == 0)
        change_region(fib, &links[0], byte + 1, change);
    merge(fib, slot, byte, change);
}

static void change_answers(struct fib6 *fib, link_slot *slot, unsigned byte,
                           const struct change *change)
{
    const uint32_t link = link_load(slot);
    struct fib6_answers *answers = link_answers(fib->arena, link);
    unsigned first = change->address[byte], count = spanned_links(change, byte);
    uint32_t links[FIB6_TABLE_LINKS];

    for (unsigned i = first; i < first + count; i++)
        if (changes(change, answer_at(answers, i)))
            set_answer(answers, i, change->answer);
    if (count > 0) {
        merge(fib, slot, byte, change);
    } else if (changes(change, answer_at(answers, first))) {
        read_links(fib, link, links);
        links[first] =
            link_to(byte + 1, make_around(fib, change, byte + 1, answer_at(answers, first)));
        put(slot, byte, make_table(fib, links));
        discard(fib, link);
    }
}

/* A link at that byte, where the prefix has not ended. */
static void change_region(struct fib6 *fib, link_slot *slot, unsigned byte,
                          const struct change *change)
{
    uint32_t link = link_load(slot);

    if (link & LINK_LEAF)
        change_leaf(fib, slot, byte, change);
    else if (link & LINK_TABLE)
        change_table(fib, slot, byte, change);
    else if (link & LINK_ANSWERS)
        change_answers(fib, slot, byte, change);
    else if (changes(change, link))
        put(slot, byte, make_around(fib, change, byte, link));
}

/* A prefix that ends in the root spans some of its links. */
static void change_root(struct fib6 *fib, const struct change *change)
{
    unsigned first = load_be16(change->address), count = 1u << (ROOT_BITS - change->length);

    for (unsigned value = first; value < first + count; value++) {
        uint8_t address[] = { (uint8_t)(value >> 8), (uint8_t)value };
        link_slot *slot = root_slot(fib->arena, address);
        if (!is_answer(link_load(slot)))
            pause_take(&fib->pause);
        paint(fib, slot, change);
    }
}

static enum error apply(struct fib6 *fib, const struct change *change)
{
    CHECK(change->length <= LENGTH_MAX);
    for (unsigned i = change->length / 8; i < LENGTH_MAX / 8; i++)
        CHECK((uint8_t)(change->address[i] << (i == change->length / 8 ? change->length % 8 : 0)) ==
              0);
    enum error error = make_room(fib);
    if (error != OK)
        return error;
    if (change->length <= ROOT_BITS)
        change_root(fib, change);
    else
        change_region(fib, root_slot(fib->arena, change->address), FIB6_FIRST_BYTE, change);
    retire_waste(fib);
    return OK;
}

enum error fib6_insert(struct fib6 *fib, const struct fib6_route *route)
{
    struct change change = { .address = route->address,
                             .length = route->length,
                             .over_last = route->length,
                             .answer = answer_of(route->next_hop, route->length) };

    return apply(fib, &change);
}

enum error fib6_remove(struct fib6 *fib, const uint8_t address[16], unsigned length,
                       const struct fib6_route *cover)
{
    struct change change = { .address = address,
                             .length = length,
                             .is_removal = true,
                             .over_first = (uint8_t)length,
                             .over_last = (uint8_t)length,
                             .answer = answer_of(FIB6_NO_ROUTE, 0) };

    if (cover) {
        CHECK(cover->length < length);
        change.answer = answer_of(cover->next_hop, cover->length);
    }
    return apply(fib, &change);
}

/* ---- The whole --------------------------------------------------------------------------------
 */

struct fib6 *fib6_create(const struct fib6_plan *plan, const struct fib6_route *routes,
                         unsigned count)
{
    struct fib6 *fib = memory_alloc(sizeof(*fib), CACHE_LINE_BYTES, MEMORY_FIB);

    if (!fib)
        return NULL;
    if (plan->pause)
        fib->pause = *plan->pause;
    if (grow(fib, FIRST_LINE + FIRST_ROOM_LINES) != OK)
        goto no_memory;
    fib->line_end = FIRST_LINE;
    memset(fib->arena, 0, FIB6_NO_LEAF);
    for (unsigned i = 0; i < FIB6_LEAF_RUNS; i++)
        link_leaf(fib->arena, FIB6_NO_LEAF)->ends[i] = INT32_MAX;
    fib->way_count = fib6_ways(&fib->ways);
    fib6_use_way(fib, fib->way_count - 1);
    for (unsigned i = 0; i < count; i++) {
        if (fib6_insert(fib, &routes[i]) != OK)
            goto no_memory;
        if ((i + 1) % ROUTES_PER_PAUSE == 0)
            pause_take(&fib->pause);
    }
    fib->snapshots = plan->snapshots; /* until now nobody else knew it */
    return fib;

no_memory:
    fib6_destroy(fib);
    return NULL;
}

void fib6_destroy(struct fib6 *fib)
{
    if (!fib)
        return;
    CHECK(!fib->waits);
    memory_free(fib->arena);
    memory_free(fib->behind);
    memory_free(fib);
}

void fib6_share(struct fib6 *fib, struct snapshot_domain *snapshots, const struct pause *pause)
{
    fib->snapshots = snapshots;
    fib->pause = *pause;
}

size_t fib6_bytes(const struct fib6 *fib)
{
    return sizeof(*fib) + fib->line_count * (CACHE_LINE_BYTES + sizeof(fib->behind[0]));
}

/* ---- Looking up -------------------------------------------------------------------------------
 */

uint16_t fib6_lookup(const struct fib6 *fib, const uint8_t address[16])
{
    uint16_t next_hop;

    fib->way(fib->arena, (const uint8_t(*)[16])address, &next_hop, 1);
    return next_hop;
}

void fib6_lookup_batch(const struct fib6 *fib, const uint8_t (*addresses)[16], uint16_t *next_hops,
                       unsigned count)
{
    for (unsigned now; count > 0; count -= now) {
        now = MIN_OF(count, (unsigned)BATCH_MAX);
        fib->way(fib->arena, addresses, next_hops, now);
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
    CHECK(way < fib->way_count);
    fib->way = fib->ways[way];
}

size_t fib6_bytes_in_use(const struct fib6 *fib)
{
    uint32_t lines = fib->line_end;

    for (enum piece piece = 0; piece < PIECE_COUNT; piece++)
        lines -= PIECE_LINES[piece] *
                 (fib->free.count[piece] + fib->waste.count[piece] + fib->waiting.count[piece]);
    return (size_t)lines * CACHE_LINE_BYTES;
}
