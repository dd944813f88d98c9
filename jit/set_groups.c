/* One sweep over all ranks tells which sets overlap: those that are open when another one begins.
 * Then each set joins the first group where it overlaps nobody. That is not the least number of
 * groups there could be, which is hard to find, but one where sets lie apart, or within each
 * other. */
#include "jit/set_groups.h"

#include "jit/intervals.h"
#include "kernel/platform.h"

enum { STEPS_A_PAUSE = 2048 };

struct overlaps {
    unsigned words; /* of a row of bits */
    uint64_t *bits; /* one row for each set: whom it overlaps */
};

struct open {
    unsigned count;
    struct {
        uint32_t set, last;
    } sets[SET_GROUP_MAX];
};

static void note_overlap(struct overlaps *overlaps, uint32_t a, uint32_t b)
{
    overlaps->bits[(size_t)a * overlaps->words + b / 64] |= (uint64_t)1 << (b % 64);
    overlaps->bits[(size_t)b * overlaps->words + a / 64] |= (uint64_t)1 << (a % 64);
}

/* A set that begins in rank `first`. False: too many are open. */
static bool open_set(struct open *open, uint32_t set, const struct jit_range *range,
                     struct overlaps *overlaps)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < open->count; i++) {
        if (open->sets[i].last < range->first)
            continue;
        note_overlap(overlaps, open->sets[i].set, set);
        open->sets[kept++] = open->sets[i];
    }
    open->count = kept;
    if (kept == SET_GROUP_MAX)
        return false;
    open->sets[open->count].set = set;
    open->sets[open->count++].last = range->last;
    return true;
}

/* starts: a range's first rank each, and its number. */
static enum error find_overlaps(const struct key_ranks *ranks, const struct bound *starts,
                                unsigned count, const uint32_t *owners, const struct pause *pause,
                                struct overlaps *overlaps)
{
    struct open open = { .count = 0 };

    for (unsigned i = 0; i < count; i++) {
        const uint32_t range = starts[i].rule;
        if (!open_set(&open, owners[range], &ranks->ranks[range], overlaps))
            return fail(ERROR_FULL);
        if (i % STEPS_A_PAUSE == 0)
            pause_take(pause);
    }
    return OK;
}

/* The first group where it overlaps nobody and is not one too many. */
static enum error choose_group(const struct overlaps *overlaps, unsigned set,
                               unsigned sizes[SET_GROUP_MAX], struct set_group *groups)
{
    const uint64_t *row = &overlaps->bits[(size_t)set * overlaps->words];
    uint64_t taken = 0;

    for (unsigned word = 0; word <= set / 64; word++) {
        for (uint64_t left = row[word]; left != 0; left &= left - 1) {
            unsigned other = word * 64 + (unsigned)__builtin_ctzll(left);
            taken |= other < set ? (uint64_t)1 << groups[other].group : 0;
        }
    }
    for (unsigned group = 0; group < SET_GROUP_MAX; group++) {
        if ((taken >> group & 1) != 0 || sizes[group] == (1u << SET_GROUP_BITS_MAX) - 1)
            continue;
        groups[set] = (struct set_group){ .group = group, .number = ++sizes[group] };
        return OK;
    }
    return fail(ERROR_FULL);
}

static enum error choose_groups(const struct overlaps *overlaps, unsigned count,
                                const struct pause *pause, struct set_group *groups)
{
    unsigned sizes[SET_GROUP_MAX] = { 0 };
    enum error error = OK;

    for (unsigned set = 0; set < count && error == OK; set++) {
        error = choose_group(overlaps, set, sizes, groups);
        pause_take(pause);
    }
    return error;
}

enum error set_groups_make(const struct key_ranks *ranks, const unsigned *counts, unsigned count,
                           const struct pause *pause, struct set_group *groups)
{
    struct overlaps overlaps = { .words = (count + 63) / 64 };
    unsigned range_count = 0, at = 0;
    enum error error = ERROR_NO_MEMORY;

    for (unsigned set = 0; set < count; set++)
        range_count += counts[set];
    struct bound *starts =
        memory_alloc_uncleared(2 * ((size_t)range_count + 1) * sizeof(*starts), 0, MEMORY_CODE);
    uint32_t *owners =
        memory_alloc_uncleared(((size_t)range_count + 1) * sizeof(*owners), 0, MEMORY_CODE);
    overlaps.bits =
        memory_alloc(((size_t)count * overlaps.words + 1) * sizeof(uint64_t), 0, MEMORY_CODE);
    if (starts == NULL || owners == NULL || overlaps.bits == NULL)
        goto out;
    for (unsigned set = 0; set < count; set++) {
        for (unsigned i = 0; i < counts[set]; i++, at++) {
            owners[at] = set;
            starts[at] = (struct bound){ .value = ranks->ranks[at].first, .rule = at };
            if (at % STEPS_A_PAUSE == 0)
                pause_take(pause);
        }
    }
    error = find_overlaps(ranks, bounds_sort(starts, starts + range_count, range_count, pause),
                          range_count, owners, pause, &overlaps);
    if (error == OK)
        error = choose_groups(&overlaps, count, pause, groups);
out:
    memory_free(overlaps.bits);
    memory_free(owners);
    memory_free(starts);
    return error == ERROR_NO_MEMORY ? fail(error) : error;
}
