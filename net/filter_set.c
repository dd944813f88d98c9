/* See filter_set.h. What a set is made of is gathered as it comes, sorted, and joined. */
#include "net/filter_set.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/pause.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/route_file.h"

enum {
    WORDS_MAX = 4,
    ROOM_MIN = 64,
    DIGIT_BITS = 8,
    DIGITS = 1 << DIGIT_BITS,
    ENTRIES_PER_PAUSE = 4096, /* some nanoseconds each */
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

static unsigned address_words(enum family family)
{
    return family == FAMILY_IPV6 ? 4 : 1;
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

/* ---- Ranges ------------------------------------------------------------------------------------
 */

/* Any ranges, as they come: of entry i the first address and then the last one, at
 * [i * 2 * words]. */
struct collection {
    const struct pause *pause;
    unsigned words;
    size_t count, room;
    uint32_t *bounds;
};

static size_t entry_bytes(const struct collection *collection)
{
    return 2 * (size_t)collection->words * sizeof(collection->bounds[0]);
}

static uint32_t *entry_at(const struct collection *collection, size_t i)
{
    return collection->bounds + i * 2 * collection->words;
}

static enum error make_room(struct collection *collection)
{
    size_t room = MAX_OF(2 * collection->room, (size_t)ROOM_MIN);
    uint32_t *bounds = memory_alloc_uncleared(room * entry_bytes(collection), 0, MEMORY_FILTER);

    if (!bounds)
        return fail(ERROR_NO_MEMORY);
    if (collection->count > 0)
        memcpy(bounds, collection->bounds, collection->count * entry_bytes(collection));
    memory_free(collection->bounds);
    collection->bounds = bounds;
    collection->room = room;
    return OK;
}

static enum error add_range(struct collection *collection, const uint32_t *first,
                            const uint32_t *last)
{
    if (collection->count == collection->room && make_room(collection) != OK)
        return ERROR_NO_MEMORY;
    uint32_t *entry = entry_at(collection, collection->count);
    memcpy(entry, first, collection->words * sizeof(first[0]));
    memcpy(entry + collection->words, last, collection->words * sizeof(last[0]));
    if (++collection->count % ENTRIES_PER_PAUSE == 0)
        pause_take(collection->pause);
    return OK;
}

static enum error add_prefix(struct collection *collection, const struct prefix *prefix)
{
    uint32_t first[WORDS_MAX], last[WORDS_MAX];

    filter_prefix_words(prefix, first, last);
    return add_range(collection, first, last);
}

/* By one digit of the first address, into `sorted`; what has the same one stays in order. False:
 * nothing to do, as all have the same. */
static bool sort_by_digit(const struct collection *collection, unsigned word, unsigned shift,
                          uint32_t *sorted)
{
    const size_t size = 2 * collection->words;
    size_t places[DIGITS] = { 0 }, place = 0;

    for (size_t i = 0; i < collection->count; i++)
        places[entry_at(collection, i)[word] >> shift & (DIGITS - 1)]++;
    if (places[collection->bounds[word] >> shift & (DIGITS - 1)] == collection->count)
        return false;
    for (unsigned digit = 0; digit < DIGITS; digit++) {
        size_t count = places[digit];
        places[digit] = place;
        place += count;
    }
    for (size_t i = 0; i < collection->count; i++) {
        const uint32_t *entry = entry_at(collection, i);
        memcpy(sorted + places[entry[word] >> shift & (DIGITS - 1)]++ * size, entry,
               entry_bytes(collection));
        if (i % ENTRIES_PER_PAUSE == 0)
            pause_take(collection->pause);
    }
    return true;
}

/* By the first address: a radix sort, the lowest digit first. */
static enum error sort(struct collection *collection)
{
    const size_t bytes = collection->count * entry_bytes(collection);
    uint32_t *other = memory_alloc_uncleared(bytes, 0, MEMORY_FILTER);

    if (!other)
        return fail(ERROR_NO_MEMORY);
    for (unsigned word = collection->words; word-- > 0;) {
        for (unsigned shift = 0; shift < 32; shift += DIGIT_BITS) {
            if (!sort_by_digit(collection, word, shift, other))
                continue;
            uint32_t *sorted = other;
            other = collection->bounds;
            collection->bounds = sorted;
        }
    }
    memory_free(other);
    return OK;
}

/* The next range in order, joined to the last one where it begins in it or right behind it. */
static void append(struct filter_set *set, const uint32_t *first, const uint32_t *last)
{
    const size_t words = set->words, bytes = words * sizeof(first[0]);

    if (set->count > 0) {
        uint32_t *end = set->last + (set->count - 1) * words;
        if (compare_words(first, end, set->words) <= 0 || follows(end, first, set->words)) {
            if (compare_words(last, end, set->words) > 0)
                memcpy(end, last, bytes);
            return;
        }
    }
    memcpy(set->first + set->count * words, first, bytes);
    memcpy(set->last + set->count * words, last, bytes);
    set->count++;
}

static enum error make_ranges(struct filter_set *set, struct collection *collection)
{
    size_t bytes = collection->count * set->words * sizeof(set->first[0]);

    if (collection->count == 0)
        return OK;
    set->first = memory_alloc_uncleared(bytes, 0, MEMORY_FILTER);
    set->last = memory_alloc_uncleared(bytes, 0, MEMORY_FILTER);
    if (!set->first || !set->last)
        return fail(ERROR_NO_MEMORY);
    enum error error = sort(collection);
    for (size_t i = 0; i < collection->count && error == OK; i++) {
        const uint32_t *entry = entry_at(collection, i);
        append(set, entry, entry + set->words);
        if (i % ENTRIES_PER_PAUSE == 0)
            pause_take(collection->pause);
    }
    return error;
}

static void clear_ranges(struct filter_set *set)
{
    memory_free(set->first);
    memory_free(set->last);
}

/* ---- Files -------------------------------------------------------------------------------------
 */

struct filter_file {
    unsigned users; /* filters that have it; the last one frees it */
    char name[FILE_NAME_MAX];
    struct filter_set ranges; /* without a name */
};

enum error filter_files_create(struct filter_files *files, const struct config *config,
                               enum family family)
{
    unsigned room = 0;

    for (unsigned i = 0; i < config->filter_set_count; i++) {
        const struct config_filter_set *element = &config->filter_sets[i];
        room += element->family == family && element->prefix.address.family == FAMILY_NONE;
    }
    *files = (struct filter_files){ .room = room };
    if (room == 0)
        return OK;
    files->files = memory_alloc(room * sizeof(struct filter_file *), 0, MEMORY_FILTER);
    return files->files ? OK : fail(ERROR_NO_MEMORY);
}

static void let_go(struct filter_file *file)
{
    if (--file->users > 0)
        return;
    clear_ranges(&file->ranges);
    memory_free(file);
}

void filter_files_clear(struct filter_files *files)
{
    for (unsigned i = 0; i < files->count; i++)
        let_go(files->files[i]);
    memory_free(files->files);
    *files = (struct filter_files){ .count = 0 };
}

static struct filter_file *find_file(const struct filter_files *files, const char *name)
{
    for (unsigned i = 0; files && i < files->count; i++)
        if (strcmp(files->files[i]->name, name) == 0)
            return files->files[i];
    return NULL;
}

static enum error add_line(void *context, const struct route_line *line, const char **wrong)
{
    *wrong = NULL;
    return add_prefix(context, &line->prefix);
}

static enum error read_file(struct filter_file *file, const struct filter_set_plan *plan,
                            const struct config_filter_set *element, struct text *problem)
{
    struct collection collection = { .pause = plan->pause, .words = file->ranges.words };
    char why[128];
    struct text why_text = text_of(why, sizeof(why));

    enum error error = prefix_file_read(element->file, plan->family, add_line, &collection,
                                        plan->pause, &why_text);
    if (error == OK)
        error = make_ranges(&file->ranges, &collection);
    else
        text_print(problem, "%s filter set %s file %s: %s",
                   plan->family == FAMILY_IPV6 ? "ipv6" : "ip", element->name, element->file, why);
    memory_free(collection.bounds);
    return error;
}

/* Known, or read now; *found belongs to *files. */
static enum error take_file(struct filter_files *files, const struct filter_set_plan *plan,
                            const struct config_filter_set *element, struct text *problem,
                            const struct filter_file **found)
{
    struct filter_file *file = find_file(files, element->file);

    *found = file;
    if (file)
        return OK;
    CHECK(files->count < files->room);
    file = find_file(plan->known, element->file);
    if (!file) {
        file = memory_alloc(sizeof(*file), 0, MEMORY_FILTER);
        if (!file)
            return fail(ERROR_NO_MEMORY);
        text_format(file->name, sizeof(file->name), "%s", element->file);
        file->ranges.words = address_words(plan->family);
    }
    file->users++;
    files->files[files->count++] = file;
    *found = file;
    return file->users > 1 ? OK : read_file(file, plan, element, problem);
}

/* ---- Sets --------------------------------------------------------------------------------------
 */

static enum error add_element(struct collection *collection, const struct filter_set_plan *plan,
                              const struct config_filter_set *element, struct filter_files *files,
                              struct text *problem)
{
    const struct filter_file *file;

    if (element->prefix.address.family != FAMILY_NONE)
        return add_prefix(collection, &element->prefix);
    enum error error = take_file(files, plan, element, problem, &file);
    for (size_t i = 0; error == OK && i < file->ranges.count; i++)
        error = add_range(collection, file->ranges.first + i * collection->words,
                          file->ranges.last + i * collection->words);
    return error;
}

enum error filter_set_make(struct filter_set *set, const struct filter_set_plan *plan,
                           const char *name, struct filter_files *files, struct text *problem)
{
    const struct config *config = plan->config;
    const struct config_filter_set *first = config_find_filter_set(config, plan->family, name);
    size_t at = first ? (size_t)(first - config->filter_sets) : config->filter_set_count;
    struct collection collection = { .pause = plan->pause, .words = address_words(plan->family) };
    enum error error = OK;

    text_format(set->name, sizeof(set->name), "%s", name);
    set->words = collection.words;
    for (; at < config->filter_set_count && error == OK; at++) {
        const struct config_filter_set *element = &config->filter_sets[at];
        if (element->family != plan->family || strcmp(element->name, name) != 0)
            break;
        error = add_element(&collection, plan, element, files, problem);
    }
    if (error == OK)
        error = make_ranges(set, &collection);
    memory_free(collection.bounds);
    return error;
}

void filter_set_clear(struct filter_set *set)
{
    clear_ranges(set);
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
