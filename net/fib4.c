/* See fib4.h. The table is cut into slices, one per /16, in either shape:
 *
 *   struct slice   entries[256]   lengths[256]   pages -> struct page_table -> struct page
 *
 * Readers go entries, pages, table, page, and each step is one aligned store of the writer; lengths
 * are the writer's own. A page is taken away only after its entry stopped saying FAR, so a reader
 * who saw FAR and finds no page asks the entry again.
 *
 * What can fail is done first: a change that lacks memory has changed nothing. */
#include "net/fib4.h"

#include <stdatomic.h>
#include <string.h>

#include "kernel/base/bytes.h"
#include "kernel/base/pause.h"
#include "kernel/base/snapshot.h"
#include "kernel/base/vector.h"
#include "kernel/platform.h"

enum {
    SLICE_COUNT = 65536, /* one per /16 */
    SLICE_ENTRIES = 256, /* one per /24 */
    PAGE_ENTRIES = 256,  /* one per address */
    SLICE_LENGTH = 16,
    ENTRY_LENGTH = 24,
    LENGTH_MAX = 32,
    LENGTH_PAGED = 255, /* in lengths[]: the page has them */
    FAR_NARROW = 0xff,  /* in entries[] */
    FAR_WIDE = 0xffff,
    HUGE_PAGE_BYTES = 2 << 20,
    PARTS_PER_PAUSE = 512,   /* freed */
    CLEAR_BYTES = 256 << 10, /* at once */
    SLICES_PER_PAUSE = 4096, /* painted */
};
static const size_t ENTRY_COUNT = (size_t)SLICE_COUNT * SLICE_ENTRIES;

/* What readers may still hold after it is replaced begins with this. */
struct part {
    struct part *next; /* once it is waste */
};

struct page {
    struct part part;
    /* Read by all. */
    _Atomic uint16_t next_hops[PAGE_ENTRIES];
    /* The writer's. */
    uint8_t lengths[PAGE_ENTRIES];
    unsigned long_count; /* addresses that a prefix longer than /24 decides; 0: no page is needed */
};

struct page_table {
    struct part part;
    _Atomic(struct page *) pages[SLICE_ENTRIES];
    unsigned count; /* the writer's */
};

typedef _Atomic(struct page_table *) page_table_link;

/* A slice of the compact shape, where it is not the same all over. */
struct block {
    struct part part;
    page_table_link pages;
    uint8_t lengths[SLICE_ENTRIES];
    alignas(CACHE_LINE_BYTES) uint8_t entries[]; /* of one or two bytes */
};

/* Where the parts of a slice are. */
struct slice {
    uint8_t *entries;
    uint8_t *lengths;
    page_table_link *pages;
};

/* Where in entries[] the addresses' are. at[] begins a cache line and has room for BATCH_MAX. */
typedef void entry_finder(const uint32_t *addresses_be, uint32_t *at, unsigned count);

struct fib4 {
    /* Set when created, read by all. */
    entry_finder *find_entries;
    uint8_t *entries;        /* direct: all of them */
    page_table_link *pages;  /* direct: of every slice */
    _Atomic uint64_t *roots; /* compact: of every slice, see root_is_block() */
    uint16_t far;            /* the entry that leads to a page */
    bool wide;               /* entries of two bytes */
    uint8_t way_count;
    /* The writer's. */
    uint8_t *lengths; /* direct */
    struct snapshot_domain *snapshots;
    struct part *waste; /* replaced, not yet on the domain's list */
    struct pause pause; /* taken in changes of short prefixes */
    size_t bytes;
};

/* What is painted, and over what lengths. */
struct change {
    uint8_t over_first;
    uint8_t over_last;
    uint8_t length;
    uint16_t next_hop;
};

static bool changes(const struct change *change, uint8_t length)
{
    return length >= change->over_first && length <= change->over_last;
}

/* ---- Memory -----------------------------------------------------------------------------------
 */

static void *take(struct fib4 *fib, size_t size, size_t align)
{
    void *memory = memory_alloc(size, align, MEMORY_FIB);

    if (memory)
        fib->bytes += size;
    return memory;
}

/* No reader has seen it, or none is left. */
static void give(struct fib4 *fib, void *memory, size_t size)
{
    if (!memory)
        return;
    memory_free(memory);
    fib->bytes -= size;
}

static size_t block_bytes(const struct fib4 *fib)
{
    return sizeof(struct block) + SLICE_ENTRIES * (fib->wide ? 2 : 1);
}

static void free_parts(void *first)
{
    for (struct part *part = first; part;) {
        struct part *next = part->next;
        memory_free(part);
        part = next;
    }
}

static void discard(struct fib4 *fib, struct part *part, size_t size)
{
    part->next = fib->waste;
    fib->waste = part;
    fib->bytes -= size;
}

/* After a change: all its waste is one object of the domain. Half of the domain's list is left to
 * those who cannot wait. */
static void retire_waste(struct fib4 *fib)
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

/* ---- Entries ----------------------------------------------------------------------------------
 * Acquire and release order the entry that says FAR after the page it leads to; on x86 they cost
 * nothing.
 */

static inline uint16_t entry_load(const void *entries, bool wide, size_t index)
{
    if (wide)
        return atomic_load_explicit((_Atomic uint16_t *)entries + index, memory_order_acquire);
    return atomic_load_explicit((_Atomic uint8_t *)entries + index, memory_order_acquire);
}

static inline void entry_store(void *entries, bool wide, size_t index, uint16_t entry)
{
    if (wide)
        atomic_store_explicit((_Atomic uint16_t *)entries + index, entry, memory_order_release);
    else
        atomic_store_explicit((_Atomic uint8_t *)entries + index, (uint8_t)entry,
                              memory_order_release);
}

/* ---- Roots of the compact shape: a block's address + 1, or what all of the slice is ------------
 */

static inline bool root_is_block(uint64_t root)
{
    return root & 1;
}

static inline struct block *root_block(uint64_t root)
{
    return (struct block *)(uintptr_t)(root - 1);
}

static inline uint16_t root_next_hop(uint64_t root)
{
    return (uint16_t)(root >> 16);
}

static uint8_t root_length(uint64_t root)
{
    return (uint8_t)(root >> 8);
}

static uint64_t root_of_block(const struct block *block)
{
    return (uintptr_t)block + 1;
}

static uint64_t root_of_route(uint16_t next_hop, uint8_t length)
{
    return (uint64_t)next_hop << 16 | (uint64_t)length << 8;
}

static uint64_t root_load(const struct fib4 *fib, uint32_t index)
{
    return atomic_load_explicit(&fib->roots[index], memory_order_acquire);
}

static void root_store(struct fib4 *fib, uint32_t index, uint64_t root)
{
    atomic_store_explicit(&fib->roots[index], root, memory_order_release);
}

/* ---- Slices -----------------------------------------------------------------------------------
 */

static struct slice slice_of_block(struct block *block)
{
    return (struct slice){ block->entries, block->lengths, &block->pages };
}

/* False: it is the same all over, its root says what. */
static bool find_slice(const struct fib4 *fib, uint32_t index, struct slice *slice)
{
    if (fib->entries) {
        size_t first = (size_t)index * SLICE_ENTRIES;
        *slice = (struct slice){ fib->entries + (first << fib->wide), fib->lengths + first,
                                 &fib->pages[index] };
        return true;
    }
    uint64_t root = root_load(fib, index);
    if (!root_is_block(root))
        return false;
    *slice = slice_of_block(root_block(root));
    return true;
}

/* A block that answers as that root does; nobody sees it yet. */
static struct block *make_block(struct fib4 *fib, uint64_t root)
{
    struct block *block = take(fib, block_bytes(fib), CACHE_LINE_BYTES);

    if (!block)
        return NULL;
    for (unsigned i = 0; i < SLICE_ENTRIES; i++)
        entry_store(block->entries, fib->wide, i, root_next_hop(root));
    memset(block->lengths, root_length(root), sizeof(block->lengths));
    return block;
}

static void merge_block(struct fib4 *fib, uint32_t index)
{
    uint64_t root = fib->entries ? 0 : root_load(fib, index);

    if (!root_is_block(root))
        return;
    struct block *block = root_block(root);
    size_t width = fib->wide ? 2 : 1;
    if (block->lengths[0] == LENGTH_PAGED ||
        memcmp(block->lengths, block->lengths + 1, SLICE_ENTRIES - 1) != 0 ||
        memcmp(block->entries, block->entries + width, (SLICE_ENTRIES - 1) * width) != 0)
        return;
    root_store(fib, index,
               root_of_route(entry_load(block->entries, fib->wide, 0), block->lengths[0]));
    discard(fib, &block->part, block_bytes(fib));
}

/* ---- Pages ------------------------------------------------------------------------------------
 */

static struct page *find_page(const struct slice *slice, unsigned entry)
{
    struct page_table *table = atomic_load_explicit(slice->pages, memory_order_acquire);

    return table ? atomic_load_explicit(&table->pages[entry], memory_order_acquire) : NULL;
}

/* A page that answers as the entry does; nobody sees it yet. */
static struct page *make_page(struct fib4 *fib, uint16_t next_hop, uint8_t length)
{
    struct page *page = take(fib, sizeof(*page), CACHE_LINE_BYTES);

    if (!page)
        return NULL;
    for (unsigned i = 0; i < PAGE_ENTRIES; i++)
        atomic_init(&page->next_hops[i], next_hop);
    memset(page->lengths, length, sizeof(page->lengths));
    return page;
}

static void paint_page(struct page *page, unsigned first, unsigned count,
                       const struct change *change)
{
    for (unsigned i = first; i < first + count; i++) {
        if (!changes(change, page->lengths[i]))
            continue;
        page->long_count += change->length > ENTRY_LENGTH;
        page->long_count -= page->lengths[i] > ENTRY_LENGTH;
        page->lengths[i] = change->length;
        atomic_store_explicit(&page->next_hops[i], change->next_hop, memory_order_release);
    }
}

static void publish_page(const struct fib4 *fib, const struct slice *slice, unsigned entry,
                         struct page *page)
{
    struct page_table *table = atomic_load_explicit(slice->pages, memory_order_relaxed);

    table->count++;
    atomic_store_explicit(&table->pages[entry], page, memory_order_release);
    slice->lengths[entry] = LENGTH_PAGED;
    entry_store(slice->entries, fib->wide, entry, fib->far);
}

/* All of the page is one answer again. */
static void remove_page(struct fib4 *fib, const struct slice *slice, unsigned entry,
                        struct page *page)
{
    struct page_table *table = atomic_load_explicit(slice->pages, memory_order_relaxed);

    slice->lengths[entry] = page->lengths[0];
    entry_store(slice->entries, fib->wide, entry,
                atomic_load_explicit(&page->next_hops[0], memory_order_relaxed));
    atomic_store_explicit(&table->pages[entry], NULL, memory_order_release);
    discard(fib, &page->part, sizeof(*page));
    if (--table->count > 0)
        return;
    atomic_store_explicit(slice->pages, NULL, memory_order_release);
    discard(fib, &table->part, sizeof(*table));
}

/* ---- Changes ----------------------------------------------------------------------------------
 */

static void paint_each(const struct fib4 *fib, const struct slice *slice, unsigned first,
                       unsigned count, const struct change *change)
{
    for (unsigned i = first; i < first + count; i++) {
        if (changes(change, slice->lengths[i])) {
            slice->lengths[i] = change->length;
            entry_store(slice->entries, fib->wide, i, change->next_hop);
        } else if (slice->lengths[i] == LENGTH_PAGED) {
            paint_page(find_page(slice, i), 0, PAGE_ENTRIES, change);
        }
    }
}

/* Eight whose lengths are the same are painted by one or two stores. */
static void paint_entries(const struct fib4 *fib, const struct slice *slice, unsigned first,
                          unsigned count, const struct change *change)
{
    enum { GROUP = sizeof(uint64_t) };
    static const uint64_t EACH_BYTE = 0x0101010101010101, EACH_WORD = 0x0001000100010001;
    const uint64_t painted = change->next_hop * (fib->wide ? EACH_WORD : EACH_BYTE);

    if (count < GROUP) {
        paint_each(fib, slice, first, count, change);
        return;
    }
    for (unsigned i = first; i < first + count; i += GROUP) {
        uint64_t lengths;
        _Atomic uint64_t *entries = (_Atomic uint64_t *)(void *)&slice->entries[i << fib->wide];
        uint8_t length = slice->lengths[i];
        memcpy(&lengths, &slice->lengths[i], GROUP);
        if (lengths != length * EACH_BYTE || length == LENGTH_PAGED) {
            paint_each(fib, slice, i, GROUP, change);
        } else if (changes(change, length)) {
            memset(&slice->lengths[i], change->length, GROUP);
            atomic_store_explicit(&entries[0], painted, memory_order_release);
            if (fib->wide)
                atomic_store_explicit(&entries[1], painted, memory_order_release);
        }
    }
}

/* Up to /16: whole slices, nothing is needed for it. */
static void change_slices(struct fib4 *fib, uint32_t first, uint32_t last,
                          const struct change *change)
{
    for (uint32_t index = first; index <= last; index++) {
        struct slice slice;
        if ((index - first) % SLICES_PER_PAUSE == SLICES_PER_PAUSE - 1)
            pause_take(&fib->pause);
        if (find_slice(fib, index, &slice)) {
            paint_entries(fib, &slice, 0, SLICE_ENTRIES, change);
            merge_block(fib, index);
        } else if (changes(change, root_length(root_load(fib, index)))) {
            root_store(fib, index, root_of_route(change->next_hop, change->length));
        }
    }
}

/* From /17 to /24: entries of one slice. */
static enum error change_entries(struct fib4 *fib, uint32_t address, unsigned length,
                                 const struct change *change)
{
    uint32_t index = address >> SLICE_LENGTH;
    unsigned first = address >> (LENGTH_MAX - ENTRY_LENGTH) & (SLICE_ENTRIES - 1);
    unsigned count = 1u << (ENTRY_LENGTH - length);
    struct slice slice;

    if (find_slice(fib, index, &slice)) {
        paint_entries(fib, &slice, first, count, change);
        merge_block(fib, index);
        return OK;
    }
    uint64_t root = root_load(fib, index);
    if (!changes(change, root_length(root)))
        return OK;
    struct block *block = make_block(fib, root);
    if (!block)
        return fail(ERROR_NO_MEMORY);
    slice = slice_of_block(block);
    paint_entries(fib, &slice, first, count, change);
    root_store(fib, index, root_of_block(block));
    return OK;
}

/* The first long prefix in its /24: makes what is missing of block, table and page. */
static enum error divide_entry(struct fib4 *fib, uint32_t address, unsigned first, unsigned count,
                               const struct change *change)
{
    uint32_t index = address >> SLICE_LENGTH;
    unsigned entry = address >> (LENGTH_MAX - ENTRY_LENGTH) & (SLICE_ENTRIES - 1);
    struct slice slice;
    struct block *block = NULL;
    struct page_table *table = NULL;

    if (!find_slice(fib, index, &slice)) {
        block = make_block(fib, root_load(fib, index));
        if (!block)
            return fail(ERROR_NO_MEMORY);
        slice = slice_of_block(block);
    }
    struct page *page =
        make_page(fib, entry_load(slice.entries, fib->wide, entry), slice.lengths[entry]);
    if (!page)
        goto no_page;
    if (!atomic_load_explicit(slice.pages, memory_order_relaxed)) {
        table = take(fib, sizeof(*table), CACHE_LINE_BYTES);
        if (!table)
            goto no_table;
        atomic_store_explicit(slice.pages, table, memory_order_release);
    }
    paint_page(page, first, count, change);
    publish_page(fib, &slice, entry, page);
    if (block)
        root_store(fib, index, root_of_block(block));
    return OK;

no_table:
    give(fib, page, sizeof(*page));
no_page:
    give(fib, block, block_bytes(fib));
    return fail(ERROR_NO_MEMORY);
}

/* From /25: addresses of one entry. */
static enum error change_page(struct fib4 *fib, uint32_t address, unsigned length,
                              const struct change *change)
{
    unsigned entry = address >> (LENGTH_MAX - ENTRY_LENGTH) & (SLICE_ENTRIES - 1);
    unsigned first = address & (PAGE_ENTRIES - 1);
    unsigned count = 1u << (LENGTH_MAX - length);
    struct slice slice;

    bool found = find_slice(fib, address >> SLICE_LENGTH, &slice);
    struct page *page = found ? find_page(&slice, entry) : NULL;
    if (page) {
        paint_page(page, first, count, change);
        if (page->long_count == 0) {
            remove_page(fib, &slice, entry, page);
            merge_block(fib, address >> SLICE_LENGTH);
        }
        return OK;
    }
    if (change->over_first > ENTRY_LENGTH)
        return OK; /* nothing so long is here */
    return divide_entry(fib, address, first, count, change);
}

static enum error apply(struct fib4 *fib, uint32_t address_be, unsigned length,
                        const struct change *change)
{
    uint32_t address = load_be32(&address_be);
    enum error error = OK;

    CHECK(length <= LENGTH_MAX);
    CHECK(length == LENGTH_MAX || (uint32_t)(address << length) == 0);
    if (length <= SLICE_LENGTH) {
        uint32_t first = address >> SLICE_LENGTH;
        change_slices(fib, first, first + (1u << (SLICE_LENGTH - length)) - 1, change);
    } else if (length <= ENTRY_LENGTH) {
        error = change_entries(fib, address, length, change);
    } else {
        error = change_page(fib, address, length, change);
    }
    retire_waste(fib);
    return error;
}

enum error fib4_insert(struct fib4 *fib, const struct fib4_route *route)
{
    if (route->next_hop >= fib->far)
        return fail(ERROR_FULL);
    struct change change = { 0, route->length, route->length, route->next_hop };
    return apply(fib, route->address_be, route->length, &change);
}

enum error fib4_remove(struct fib4 *fib, uint32_t address_be, unsigned length,
                       const struct fib4_route *cover)
{
    struct change change = { (uint8_t)length, (uint8_t)length, 0, FIB4_NO_ROUTE };

    if (cover) {
        if (cover->next_hop >= fib->far)
            return fail(ERROR_FULL);
        CHECK(cover->length < length);
        change.length = cover->length;
        change.next_hop = cover->next_hop;
    }
    return apply(fib, address_be, length, &change);
}

/* ---- Looking up -------------------------------------------------------------------------------
 */

uint16_t fib4_lookup(const struct fib4 *fib, uint32_t address_be)
{
    uint32_t address = load_be32(&address_be), index = address >> SLICE_LENGTH;
    unsigned entry = address >> (LENGTH_MAX - ENTRY_LENGTH) & (SLICE_ENTRIES - 1);

    for (;;) {
        struct slice slice;
        uint64_t root = fib->entries ? 0 : root_load(fib, index);
        if (fib->entries)
            find_slice(fib, index, &slice);
        else if (root_is_block(root))
            slice = slice_of_block(root_block(root));
        else
            return root_next_hop(root);
        uint16_t answer = entry_load(slice.entries, fib->wide, entry);
        if (LIKELY(answer != fib->far))
            return answer;
        const struct page *page = find_page(&slice, entry);
        if (page)
            return atomic_load_explicit(&page->next_hops[address & (PAGE_ENTRIES - 1)],
                                        memory_order_acquire);
    }
}

/* Direct: where the entries are, then the entries, then those of them that lead to a page: three
 * loops over all of a batch. In the second, which is the one that waits for memory, each lookup is
 * three instructions, so that the processor has all of them on their way at once. Prefetches would
 * only be more instructions, and so are gathers on many processors (tests/bench/RESULTS.md). */

static void find_entries(const uint32_t *addresses_be, uint32_t *at, unsigned count)
{
    enum { LANES = 4 };
    const __m128i low = _mm_set1_epi32(0xff), middle = _mm_set1_epi32(0xff00);
    unsigned i = 0;

    /* The bytes of the address in the order of the wire: the first is the lowest. */
#pragma GCC unroll 4
    for (; count - i >= LANES; i += LANES) {
        __m128i wire = _mm_loadu_si128((const __m128i_u *)&addresses_be[i]);
        __m128i first = _mm_slli_epi32(_mm_and_si128(wire, low), 16);
        __m128i second = _mm_and_si128(wire, middle);
        __m128i third = _mm_and_si128(_mm_srli_epi32(wire, 16), low);
        _mm_store_si128((__m128i *)&at[i], _mm_or_si128(_mm_or_si128(first, second), third));
    }
    for (; i < count; i++)
        at[i] = load_be32(&addresses_be[i]) >> (LENGTH_MAX - ENTRY_LENGTH);
}

VECTOR_AVX512 static void find_entries_avx512(const uint32_t *addresses_be, uint32_t *at,
                                              unsigned count)
{
    enum { LANES = 16 };
    const __m512i to_host =
        _mm512_broadcast_i32x4(_mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));

    for (unsigned i = 0; i < count; i += LANES) {
        unsigned left = MIN_OF(count - i, (unsigned)LANES);
        __mmask16 lanes = (__mmask16)((1u << left) - 1);
        __m512i wire = _mm512_maskz_loadu_epi32(lanes, &addresses_be[i]);
        __m512i host = _mm512_shuffle_epi8(wire, to_host);
        _mm512_store_si512(&at[i], _mm512_srli_epi32(host, LENGTH_MAX - ENTRY_LENGTH));
    }
}

static void follow_far(const struct fib4 *fib, const uint32_t *addresses_be, uint16_t *next_hops,
                       unsigned count)
{
    enum { LANES = 8 };
    const __m128i far = _mm_set1_epi16((short)fib->far);
    unsigned i = 0;

    for (; count - i >= LANES; i += LANES) {
        __m128i answers = _mm_loadu_si128((const __m128i_u *)&next_hops[i]);
        if (LIKELY(_mm_movemask_epi8(_mm_cmpeq_epi16(answers, far)) == 0))
            continue;
        for (unsigned k = i; k < i + LANES; k++)
            if (next_hops[k] == fib->far)
                next_hops[k] = fib4_lookup(fib, addresses_be[k]);
    }
    for (; i < count; i++)
        if (next_hops[i] == fib->far)
            next_hops[i] = fib4_lookup(fib, addresses_be[i]);
}

static void load_narrow(const void *entries, const uint32_t *at, uint16_t *next_hops,
                        unsigned count)
{
#pragma GCC unroll 8
    for (unsigned i = 0; i < count; i++)
        next_hops[i] = entry_load(entries, false, at[i]);
}

static void load_wide(const void *entries, const uint32_t *at, uint16_t *next_hops, unsigned count)
{
#pragma GCC unroll 8
    for (unsigned i = 0; i < count; i++)
        next_hops[i] = entry_load(entries, true, at[i]);
}

static void lookup_direct(const struct fib4 *fib, const uint32_t *addresses_be, uint16_t *next_hops,
                          unsigned count)
{
    alignas(CACHE_LINE_BYTES) uint32_t at[BATCH_MAX];

    for (unsigned now; count > 0; count -= now) {
        now = MIN_OF(count, (unsigned)BATCH_MAX);
        fib->find_entries(addresses_be, at, now);
        if (fib->wide)
            load_wide(fib->entries, at, next_hops, now);
        else
            load_narrow(fib->entries, at, next_hops, now);
        follow_far(fib, addresses_be, next_hops, now);
        addresses_be += now;
        next_hops += now;
    }
}

static void lookup_compact(const struct fib4 *fib, const uint32_t *addresses_be,
                           uint16_t *next_hops, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t root = root_load(fib, load_be32(&addresses_be[i]) >> SLICE_LENGTH);
        if (LIKELY(!root_is_block(root))) /* few routes: most slices are the same all over */
            next_hops[i] = root_next_hop(root);
        else
            next_hops[i] = fib4_lookup(fib, addresses_be[i]);
    }
}

void fib4_lookup_batch(const struct fib4 *fib, const uint32_t *addresses_be, uint16_t *next_hops,
                       unsigned count)
{
    if (fib->entries)
        lookup_direct(fib, addresses_be, next_hops, count);
    else
        lookup_compact(fib, addresses_be, next_hops, count);
}

unsigned fib4_way_count(const struct fib4 *fib)
{
    return fib->way_count;
}

void fib4_use_way(struct fib4 *fib, unsigned way)
{
    CHECK(way < fib->way_count);
    fib->find_entries = way == 0 ? find_entries : find_entries_avx512;
}

/* ---- The whole --------------------------------------------------------------------------------
 */

static size_t entries_bytes(const struct fib4 *fib)
{
    return ENTRY_COUNT << fib->wide;
}

/* Cleared in pieces: all at once takes milliseconds. */
static void *take_cleared(struct fib4 *fib, size_t size, size_t align, const struct pause *pause)
{
    uint8_t *memory = memory_alloc_uncleared(size, align, MEMORY_FIB);

    if (!memory)
        return NULL;
    fib->bytes += size;
    for (size_t done = 0, piece; done < size; done += piece) {
        piece = MIN_OF(size - done, (size_t)CLEAR_BYTES);
        memset(memory + done, 0, piece);
        if (done > 0) /* a small table is one slice of work */
            pause_take(pause);
    }
    return memory;
}

static bool take_arrays(struct fib4 *fib, const struct fib4_plan *plan)
{
    const struct pause *pause = plan->pause;

    if (plan->shape == FIB4_COMPACT) {
        fib->roots = take_cleared(fib, SLICE_COUNT * sizeof(*fib->roots), CACHE_LINE_BYTES, pause);
        return fib->roots;
    }
    fib->entries = take_cleared(fib, entries_bytes(fib), HUGE_PAGE_BYTES, pause);
    fib->lengths = take_cleared(fib, ENTRY_COUNT, HUGE_PAGE_BYTES, pause);
    fib->pages = take_cleared(fib, SLICE_COUNT * sizeof(*fib->pages), CACHE_LINE_BYTES, pause);
    return fib->entries && fib->lengths && fib->pages;
}

struct fib4 *fib4_create(const struct fib4_plan *plan, const struct fib4_route *routes,
                         unsigned count)
{
    uint16_t next_hop_max = plan->next_hop_max;
    struct fib4 *fib = memory_alloc(sizeof(*fib), CACHE_LINE_BYTES, MEMORY_FIB);

    if (!fib)
        return NULL;
    for (unsigned i = 0; i < count; i++)
        next_hop_max = MAX_OF(next_hop_max, routes[i].next_hop);
    CHECK(next_hop_max <= FIB4_NEXT_HOP_MAX);
    fib->wide = next_hop_max > FIB4_NARROW_MAX;
    fib->far = fib->wide ? FAR_WIDE : FAR_NARROW;
    fib->bytes = sizeof(*fib);
    if (plan->pause)
        fib->pause = *plan->pause;
    if (!take_arrays(fib, plan))
        goto no_memory;
    fib->way_count = fib->entries && vector_has_avx512() ? 2 : 1;
    fib4_use_way(fib, fib->way_count - 1);
    for (unsigned i = 0; i < count; i++)
        if (fib4_insert(fib, &routes[i]) != OK)
            goto no_memory;
    fib->snapshots = plan->snapshots; /* until now nobody else knew it */
    return fib;

no_memory:
    fib4_destroy(fib, plan->pause);
    return NULL;
}

/* How many parts were freed. */
static unsigned destroy_pages(const struct slice *slice)
{
    struct page_table *table = atomic_load_explicit(slice->pages, memory_order_relaxed);
    unsigned count = table ? table->count + 1 : 0;

    for (unsigned i = 0; table && i < SLICE_ENTRIES; i++)
        memory_free(atomic_load_explicit(&table->pages[i], memory_order_relaxed));
    memory_free(table);
    return count;
}

void fib4_destroy(struct fib4 *fib, const struct pause *pause)
{
    unsigned freed = 0;

    if (!fib)
        return;
    bool complete = fib->roots || (fib->entries && fib->lengths && fib->pages);
    for (uint32_t index = 0; complete && index < SLICE_COUNT; index++) {
        struct slice slice;
        if (!find_slice(fib, index, &slice))
            continue;
        freed += destroy_pages(&slice);
        if (fib->roots) {
            memory_free(root_block(root_load(fib, index)));
            freed++;
        }
        if (freed >= PARTS_PER_PAUSE) {
            pause_take(pause);
            freed = 0;
        }
    }
    free_parts(fib->waste);
    memory_free(fib->entries);
    memory_free(fib->lengths);
    memory_free(fib->pages);
    memory_free(fib->roots);
    memory_free(fib);
}

void fib4_share(struct fib4 *fib, struct snapshot_domain *snapshots, const struct pause *pause)
{
    fib->snapshots = snapshots;
    fib->pause = *pause;
}

size_t fib4_bytes(const struct fib4 *fib)
{
    return fib->bytes;
}
