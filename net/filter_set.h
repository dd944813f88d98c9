/* Sets of prefixes that rules name: of prefixes in the configuration and in files, kept as the
 * ranges of addresses that they are together, in ascending order, none touching another.
 *
 * A file is read when a filter first needs it. What it came to is handed on from filter to filter,
 * so that a commit that adds a prefix to a set of 100,000 reads none; `ip filter jit flash` reads
 * all of them anew. */
#pragma once

#include "kernel/base/types.h"
#include "net/config.h"

struct pause;
struct text;

struct filter_set {
    char name[FILTER_SET_NAME_BYTES];
    unsigned words;         /* of an address: 1 of IPv4, 4 of IPv6 */
    unsigned count;         /* of ranges; 0: nothing is in it */
    uint32_t *first, *last; /* of range i the addresses at [i * words], most significant word
                             * first, in host order; both are in it */
};

/* Files that sets are made of, as they were when they were read. */
struct filter_files {
    unsigned count, room;
    struct filter_file **files;
};

/* What a set is made of. */
struct filter_set_plan {
    const struct config *config;
    enum family family;
    const struct filter_files *known; /* read before; NULL: none */
    const struct pause *pause;
};

/* Into *set, which is all zero: the elements of that name; files that it needs, known or not, are
 * added to *files, which has room for all that the configuration names. ERROR_NO_MEMORY, or what is
 * wrong with a file, which *problem says; filter_set_clear() is due all the same. */
enum error filter_set_make(struct filter_set *set, const struct filter_set_plan *plan,
                           const char *name, struct filter_files *files,
                           struct text *problem) MUST_CHECK;
void filter_set_clear(struct filter_set *set);

/* For as many as the family's sets name. */
enum error filter_files_create(struct filter_files *files, const struct config *config,
                               enum family family) MUST_CHECK;
void filter_files_clear(struct filter_files *files);

/* Is the address, of four words in host order, in it? Any core. */
bool filter_set_has(const struct filter_set *set, const uint32_t *address);

/* The words of an address: what is not there is 0. */
void filter_address_words(const struct address *address, uint32_t words[4]);
/* The first and the last address of a prefix, likewise. */
void filter_prefix_words(const struct prefix *prefix, uint32_t first[4], uint32_t last[4]);
