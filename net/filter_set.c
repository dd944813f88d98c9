/* See filter_set.h. All prefixes of a set go into a tree, which sorts them and takes each once;
 * what comes out of it in order is joined to ranges. */
#include "net/filter_set.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/pause.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/prefix_tree.h"
#include "net/route_file.h"

enum {
    WORDS_MAX = 4,
    PREFIXES_PER_PAUSE = 256, /* a few hundred nanoseconds each */
};

/* ---- Addresses as words ------------------------------------------------------------------------
 */

void filter_address_words(const struct address *address, uint32_t words[4])
{
    for (unsigned i = 0; i < WORDS_MAX; i++)
        words[i] = load_be32(address->bytes + i * 4);
}

void filter_prefix_words(const struct prefix *prefix, uint32_t first[4], uint32_t last[4])
{
    unsigned bits = address_bits(&prefix->address);

    filter_address_words(&prefix->address, first);
    for (unsigned i = 0; i < WORDS_MAX; i++) {
        unsigned known = prefix->length > i * 32 ? MIN_OF(prefix->length - i * 32, 32u) : 0;
        uint32_t open = known == 32 || i * 32 >= bits ? 0 : UINT32_MAX >> known;
        first[i] &= ~open;
        last[i] = first[i] | open;
    }
}

static int compare_words(const uint32_t *a, const uint32_t *b, unsigned words)
{
    for (unsigned i = 0; i < words; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

/* Is b the address behind a? */
static bool follows(const uint32_t *a, const uint32_t *b, unsigned words)
{
    uint32_t next[WORDS_MAX];
    bool carry = true;

    for (unsigned i = words; i-- > 0;) {
        next[i] = a[i] + carry;
        carry = carry && next[i] == 0;
    }
    return !carry && compare_words(next, b, words) == 0;
}

/* ---- Making ------------------------------------------------------------------------------------
 */

struct collection {
    struct prefix_tree tree;
    uint64_t count;
    const struct pause *pause;
};

static enum error collect(struct collection *collection, const struct prefix *prefix)
{
    uint32_t *value;

    if (collection->count % PREFIXES_PER_PAUSE == 0)
        pause_take(collection->pause);
    enum error error =
        prefix_tree_place(&collection->tree, prefix->address.bytes, prefix->length, &value);
    if (error != OK)
        return error;
    collection->count += *value == 0;
    *value = 1;
    return OK;
}

static enum error collect_line(void *context, const struct route_line *line, const char **wrong)
{
    *wrong = NULL;
    return collect(context, &line->prefix);
}

static enum error collect_element(struct collection *collection,
                                  const struct config_filter_set *element, struct text *problem)
{
    char why[128];
    struct text why_text = text_of(why, sizeof(why));

    if (element->prefix.address.family != FAMILY_NONE)
        return collect(collection, &element->prefix);
    enum error error = prefix_file_read(element->file, (enum family)element->family, collect_line,
                                        collection, collection->pause, &why_text);
    if (error != OK)
        text_print(problem, "%s filter set %s file %s: %s",
                   element->family == FAMILY_IPV6 ? "ipv6" : "ip", element->name, element->file,
                   why);
    return error;
}

static enum error collect_all(struct collection *collection, const struct config *config,
                              enum family family, const char *name, struct text *problem)
{
    const struct config_filter_set *first = config_find_filter_set(config, family, name);
    size_t at = first ? (size_t)(first - config->filter_sets) : config->filter_set_count;
    enum error error = OK;

    for (; at < config->filter_set_count && error == OK; at++) {
        const struct config_filter_set *element = &config->filter_sets[at];
        if (element->family != family || strcmp(element->name, name) != 0)
            break;
        error = collect_element(collection, element, problem);
    }
    return error;
}

/* The next prefix in order, joined to the last range where it lies in it or begins behind it. */
static void add_range(struct filter_set *set, const struct prefix *prefix)
{
    uint32_t first[WORDS_MAX], last[WORDS_MAX];
    unsigned words = set->words;

    filter_prefix_words(prefix, first, last);
    if (set->count > 0) {
        uint32_t *end = set->last + (size_t)(set->count - 1) * words;
        if (compare_words(first, end, words) <= 0) /* a prefix in another one */
            return;
        if (follows(end, first, words)) {
            memcpy(end, last, words * sizeof(last[0]));
            return;
        }
    }
    memcpy(set->first + (size_t)set->count * words, first, words * sizeof(first[0]));
    memcpy(set->last + (size_t)set->count * words, last, words * sizeof(last[0]));
    set->count++;
}

static enum error make_ranges(struct filter_set *set, const struct collection *collection,
                              enum family family)
{
    size_t bytes = collection->count * set->words * sizeof(set->first[0]);
    struct prefix prefix = { .address.family = (uint8_t)family };
    unsigned length = PREFIX_BEFORE_FIRST;

    if (collection->count == 0)
        return OK;
    set->first = memory_alloc_uncleared(bytes, 0, MEMORY_FILTER);
    set->last = memory_alloc_uncleared(bytes, 0, MEMORY_FILTER);
    if (!set->first || !set->last)
        return fail(ERROR_NO_MEMORY);
    for (uint64_t i = 0; i < collection->count; i++) {
        uint32_t value = prefix_tree_next(&collection->tree, prefix.address.bytes, &length);
        CHECK(value != 0);
        prefix.length = (uint8_t)length;
        add_range(set, &prefix);
        if (i % PREFIXES_PER_PAUSE == 0)
            pause_take(collection->pause);
    }
    return OK;
}

enum error filter_set_make(struct filter_set *set, const struct config *config, enum family family,
                           const char *name, const struct pause *pause, struct text *problem)
{
    struct collection collection = { .pause = pause };

    text_format(set->name, sizeof(set->name), "%s", name);
    set->words = family == FAMILY_IPV6 ? 4 : 1;
    enum error error = collect_all(&collection, config, family, name, problem);
    if (error == OK) {
        set->prefix_count = collection.count;
        error = make_ranges(set, &collection, family);
    }
    prefix_tree_clear(&collection.tree, pause);
    return error;
}

void filter_set_clear(struct filter_set *set)
{
    memory_free(set->first);
    memory_free(set->last);
    *set = (struct filter_set){ .count = 0 };
}

/* ---- Asking ------------------------------------------------------------------------------------
 */

bool filter_set_has(const struct filter_set *set, const uint32_t *address)
{
    unsigned low = 0, high = set->count;

    while (low < high) { /* the first range that does not end before the address */
        unsigned middle = low + (high - low) / 2;
        if (compare_words(set->last + (size_t)middle * set->words, address, set->words) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->count &&
           compare_words(set->first + (size_t)low * set->words, address, set->words) <= 0;
}
