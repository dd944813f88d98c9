/* See debug_allocator.h. Records are found by address in an open table with linear probing; one
 * that goes is filled from behind, so there are no tombstones and an empty slot ends every search.
 */
#include "kernel/debug_allocator.h"

#include <string.h>

#include "kernel/base/log.h"

enum {
    RECORD_MAX_FIRST = 1024,
    RED_ZONE_FILL = 0xa5,
    POISON_FILL = 0xdb,
};

void debug_allocator_init(struct debug_allocator *debug, struct heap *heap, debug_where *where,
                          void *context)
{
    *debug = (struct debug_allocator){
        .lock = { ATOMIC_FLAG_INIT },
        .heap = heap,
        .where = where,
        .context = context,
    };
}

/* ---- The table of records ------------------------------------------------------------------- */

static size_t slot_wanted(const struct debug_allocator *debug, const void *address)
{
    /* Fibonacci hashing: the golden ratio spreads addresses that differ in few bits. */
    uint64_t hash = (uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15ull;
    return (size_t)(hash >> 32) & (debug->record_max - 1);
}

/* The slot of the record for the address, or the empty one where it would be. */
static size_t slot_find(const struct debug_allocator *debug, const void *address)
{
    size_t slot = slot_wanted(debug, address);
    while (debug->records[slot].state != DEBUG_EMPTY && debug->records[slot].address != address)
        slot = (slot + 1) & (debug->record_max - 1);
    return slot;
}

static void slot_delete(struct debug_allocator *debug, size_t hole)
{
    size_t mask = debug->record_max - 1;
    debug->record_count--;
    for (size_t slot = (hole + 1) & mask; debug->records[slot].state != DEBUG_EMPTY;
         slot = (slot + 1) & mask) {
        /* May move back only where the hole lies between its wanted slot and where it is now. */
        size_t wanted = slot_wanted(debug, debug->records[slot].address);
        if (((slot - wanted) & mask) < ((slot - hole) & mask))
            continue;
        debug->records[hole] = debug->records[slot];
        hole = slot;
    }
    debug->records[hole].state = DEBUG_EMPTY;
}

static bool table_make_room(struct debug_allocator *debug)
{
    if (debug->record_count < debug->record_max / 2)
        return true;

    struct debug_allocator larger = *debug;
    larger.record_max = debug->record_max ? debug->record_max * 2 : RECORD_MAX_FIRST;
    larger.records =
        heap_alloc(debug->heap, larger.record_max * sizeof(struct debug_record), 0, MEMORY_MISC);
    if (!larger.records)
        return false;
    for (size_t slot = 0; slot < debug->record_max; slot++)
        if (debug->records[slot].state != DEBUG_EMPTY)
            larger.records[slot_find(&larger, debug->records[slot].address)] = debug->records[slot];
    if (debug->records)
        CHECK(heap_free(debug->heap, debug->records) == HEAP_FREED);
    debug->records = larger.records;
    debug->record_max = larger.record_max;
    return true;
}

static struct debug_place place_here(struct debug_allocator *debug, const char *file, int line)
{
    struct debug_place place = { .file = file, .line = line };
    debug->where(&place, debug->context);
    return place;
}

/* ---- Reports -------------------------------------------------------------------------------- */

/* "allocated by net/fib4.c:120, core 0, level 0, at 12.345678 s" */
static void report_place(const char *what, const struct debug_place *place)
{
    log_error("memory", "  %s by %s:%d, core %u, level %u, at %llu.%06llu s", what, place->file,
              place->line, place->core, place->level,
              (unsigned long long)(place->time_ns / NS_PER_S),
              (unsigned long long)(place->time_ns % NS_PER_S / NS_PER_US));
}

static void report_record(const struct debug_record *record)
{
    log_error("memory", "  %zu bytes of %s, allocation %llu", record->size,
              memory_tag_name(record->tag), (unsigned long long)record->serial);
    report_place("allocated", &record->allocated);
    if (record->state == DEBUG_FREED)
        report_place("freed first", &record->freed);
}

static void report_bad_free(struct debug_allocator *debug, size_t slot, void *pointer,
                            const struct debug_place *place)
{
    const struct debug_record *record = debug->record_max ? &debug->records[slot] : NULL;
    bool known = record && record->state == DEBUG_FREED;
    debug->stats.double_frees++;
    log_error("memory", "slot %zu: free of %p, which is not allocated: double free?", slot,
              pointer);
    report_place("free", place);
    if (known)
        report_record(record);
    else
        log_error("memory", "  nothing is known of that address");
}

/* offset: of the first damaged byte, from what the caller got; negative in front of it. */
static void report_damage(struct debug_allocator *debug, const struct debug_record *record,
                          const char *what, long offset, const struct debug_place *place)
{
    debug->stats.corruptions++;
    log_error("memory", "slot %zu: %s: byte %ld of the %zu at %p was overwritten",
              (size_t)(record - debug->records), what, offset, record->size, record->address);
    report_place("found", place);
    report_record(record);
}

/* ---- Red zones and poison ------------------------------------------------------------------- */

/* The first byte that is not `fill`, or length. */
static size_t fill_broken_at(const uint8_t *bytes, size_t length, uint8_t fill)
{
    size_t at = 0;
    while (at < length && bytes[at] == fill)
        at++;
    return at;
}

static size_t front_bytes(const struct debug_record *record)
{
    return (size_t)((char *)record->address - (char *)record->block);
}

static size_t rear_bytes(const struct debug_record *record)
{
    return record->block_bytes - front_bytes(record) - record->size;
}

static void red_zones_fill(const struct debug_record *record)
{
    memset(record->block, RED_ZONE_FILL, front_bytes(record));
    memset((char *)record->address + record->size, RED_ZONE_FILL, rear_bytes(record));
}

static bool red_zones_check(struct debug_allocator *debug, const struct debug_record *record,
                            const struct debug_place *place)
{
    size_t front = front_bytes(record), rear = rear_bytes(record);
    size_t front_at = fill_broken_at(record->block, front, RED_ZONE_FILL);
    size_t rear_at = fill_broken_at((uint8_t *)record->address + record->size, rear, RED_ZONE_FILL);
    if (front_at < front)
        report_damage(debug, record, "underrun", (long)front_at - (long)front, place);
    if (rear_at < rear)
        report_damage(debug, record, "overrun", (long)(record->size + rear_at), place);
    return front_at == front && rear_at == rear;
}

static bool poison_check(struct debug_allocator *debug, const struct debug_record *record,
                         const struct debug_place *place)
{
    size_t at = fill_broken_at(record->block, record->block_bytes, POISON_FILL);
    if (at == record->block_bytes)
        return true;
    report_damage(debug, record, "use after free", (long)at - (long)front_bytes(record), place);
    return false;
}

/* ---- Freed blocks --------------------------------------------------------------------------- */

/* Forgets the block that was freed first, if its record is still about that free. */
static void freed_forget_oldest(struct debug_allocator *debug, const struct debug_place *place)
{
    unsigned oldest = debug->freed_taken++ % DEBUG_FREED_MAX;
    size_t slot = slot_find(debug, debug->freed[oldest].address);
    struct debug_record *record = &debug->records[slot];
    if (record->state != DEBUG_FREED || record->serial != debug->freed[oldest].serial)
        return;
    if (record->kept) {
        poison_check(debug, record, place);
        debug->freed_bytes -= record->block_bytes;
        CHECK(heap_free(debug->heap, record->block) == HEAP_FREED);
    }
    slot_delete(debug, slot);
}

static void freed_remember(struct debug_allocator *debug, struct debug_record *record)
{
    record->state = DEBUG_FREED;
    record->kept = record->block_bytes <= DEBUG_FREED_BLOCK_BYTES_MAX;
    if (record->kept) {
        memset(record->block, POISON_FILL, record->block_bytes);
        debug->freed_bytes += record->block_bytes;
    } else {
        CHECK(heap_free(debug->heap, record->block) == HEAP_FREED);
    }
    unsigned newest = debug->freed_put++ % DEBUG_FREED_MAX;
    debug->freed[newest].address = record->address;
    debug->freed[newest].serial = record->serial;

    struct debug_place place = record->freed;
    while (debug->freed_put - debug->freed_taken == DEBUG_FREED_MAX ||
           debug->freed_bytes > DEBUG_FREED_BYTES_MAX)
        freed_forget_oldest(debug, &place);
}

/* ---- Allocation ----------------------------------------------------------------------------- */

static void record_new(struct debug_allocator *debug, struct debug_record record)
{
    size_t slot = slot_find(debug, record.address);
    /* The address may be remembered from a block that was freed and reused at once. */
    if (debug->records[slot].state == DEBUG_EMPTY)
        debug->record_count++;
    record.serial = ++debug->serial;
    debug->records[slot] = record;
    red_zones_fill(&record);

    struct memory_stats *stats = &debug->stats;
    stats->live++;
    stats->live_bytes += record.size;
    stats->peak_bytes = MAX_OF(stats->peak_bytes, stats->live_bytes);
    stats->tags[record.tag].live++;
    stats->tags[record.tag].live_bytes += record.size;
}

void *debug_alloc(struct debug_allocator *debug, size_t size, size_t align, enum memory_tag tag,
                  const char *file, int line)
{
    align = MAX_OF(align, (size_t)DEBUG_RED_ZONE_BYTES);
    bool whole_pages = align >= PAGE_BYTES && size % PAGE_BYTES == 0 && size > 0;
    size_t front = whole_pages ? 0 : align;
    size_t around = whole_pages ? 0 : front + DEBUG_RED_ZONE_BYTES;
    if (size > SIZE_MAX - around)
        return NULL;

    char *block = NULL;
    spinlock_take(&debug->lock);
    if (table_make_room(debug))
        block = heap_alloc(debug->heap, size + around, align, tag);
    if (block)
        record_new(debug, (struct debug_record){
                              .address = block + front,
                              .block = block,
                              .size = size,
                              .block_bytes = heap_size(debug->heap, block),
                              .tag = tag,
                              .state = DEBUG_LIVE,
                              .allocated = place_here(debug, file, line),
                          });
    spinlock_release(&debug->lock);
    return block ? block + front : NULL;
}

void debug_free(struct debug_allocator *debug, void *pointer, const char *file, int line)
{
    spinlock_take(&debug->lock);
    struct debug_place place = place_here(debug, file, line);
    size_t slot = debug->record_max ? slot_find(debug, pointer) : 0;
    struct debug_record *record = debug->record_max ? &debug->records[slot] : NULL;
    if (!record || record->state != DEBUG_LIVE) {
        report_bad_free(debug, slot, pointer, &place);
    } else {
        struct memory_stats *stats = &debug->stats;
        stats->live--;
        stats->live_bytes -= record->size;
        stats->tags[record->tag].live--;
        stats->tags[record->tag].live_bytes -= record->size;
        red_zones_check(debug, record, &place);
        record->freed = place;
        freed_remember(debug, record);
    }
    spinlock_release(&debug->lock);
}

unsigned debug_allocator_check(struct debug_allocator *debug)
{
    unsigned damaged = 0;

    spinlock_take(&debug->lock);
    struct debug_place place = place_here(debug, __FILE__, __LINE__);
    for (size_t slot = 0; slot < debug->record_max; slot++) {
        const struct debug_record *record = &debug->records[slot];
        if (record->state == DEBUG_LIVE && !red_zones_check(debug, record, &place)) {
            damaged++;
            red_zones_fill(record);
        } else if (record->state == DEBUG_FREED && record->kept &&
                   !poison_check(debug, record, &place)) {
            damaged++;
            memset(record->block, POISON_FILL, record->block_bytes);
        }
    }
    spinlock_release(&debug->lock);
    return damaged;
}

/* ---- Figures -------------------------------------------------------------------------------- */

static void owner_add(struct memory_owner *owners, unsigned *count, unsigned max,
                      const struct debug_record *record)
{
    const struct debug_place *place = &record->allocated;
    unsigned i = 0;
    while (i < *count && (owners[i].line != place->line || owners[i].tag != record->tag ||
                          strcmp(owners[i].file, place->file) != 0))
        i++;
    if (i == max)
        return;
    if (i == *count) {
        owners[i] =
            (struct memory_owner){ place->file, place->line, record->tag, 0, 0, place->time_ns };
        (*count)++;
    }
    owners[i].live++;
    owners[i].live_bytes += record->size;
    owners[i].oldest_ns = MIN_OF(owners[i].oldest_ns, place->time_ns);
}

static void owners_sort(struct memory_owner *owners, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        struct memory_owner owner = owners[i];
        unsigned at = i;
        for (; at > 0 && owners[at - 1].live_bytes < owner.live_bytes; at--)
            owners[at] = owners[at - 1];
        owners[at] = owner;
    }
}

unsigned debug_allocator_owners(struct debug_allocator *debug, struct memory_owner *owners,
                                unsigned max)
{
    unsigned count = 0;

    spinlock_take(&debug->lock);
    for (size_t slot = 0; slot < debug->record_max; slot++)
        if (debug->records[slot].state == DEBUG_LIVE)
            owner_add(owners, &count, max, &debug->records[slot]);
    spinlock_release(&debug->lock);
    owners_sort(owners, count);
    return count;
}

void debug_allocator_stats(struct debug_allocator *debug, struct memory_stats *stats)
{
    spinlock_take(&debug->lock);
    *stats = debug->stats;
    spinlock_release(&debug->lock);
}
