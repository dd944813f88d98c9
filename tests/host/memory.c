/* Memory from malloc, so that AddressSanitizer sees overruns, uses after free and leaks. Each block
 * is preceded by a header, which makes the books by tag and a list of what lives. Reading the
 * header of a block that was freed before is the report of a double free.
 *
 *   aligned to `align`                       aligned to `align`
 *   | unused ............. | struct block    | the caller's bytes |
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/platform.h"
#include "tests/host/host.h"

enum { ALIGN_MIN = 16 };

/* More is a mistake, and AddressSanitizer would stop at it: here it answers NULL as the kernel
 * does. */
static const size_t SIZE_MAX_BYTES = 64ull << 30;

static const uint64_t GUARD = 0x2d62a9c7f05be813;

struct block {
    struct block *next, **previous;
    void *start; /* what malloc gave */
    size_t size;
    enum memory_tag tag;
    const char *file;
    int line;
    uint64_t guard; /* GUARD: nobody wrote in front of the caller's bytes */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static struct block *live;
static struct memory_stats books;
static uint64_t allocations;
static uint64_t failing = UINT64_MAX;

void host_fail_allocation(uint64_t n)
{
    pthread_mutex_lock(&lock);
    allocations = 0;
    failing = n;
    pthread_mutex_unlock(&lock);
}

uint64_t host_allocation_count(void)
{
    pthread_mutex_lock(&lock);
    uint64_t count = allocations;
    pthread_mutex_unlock(&lock);
    return count;
}

static void enter_books(struct block *block)
{
    books.live++;
    books.live_bytes += block->size;
    books.peak_bytes = MAX_OF(books.peak_bytes, books.live_bytes);
    books.tags[block->tag].live++;
    books.tags[block->tag].live_bytes += block->size;

    block->next = live;
    block->previous = &live;
    if (live != NULL)
        live->previous = &block->next;
    live = block;
}

static void leave_books(struct block *block)
{
    books.live--;
    books.live_bytes -= block->size;
    books.tags[block->tag].live--;
    books.tags[block->tag].live_bytes -= block->size;

    *block->previous = block->next;
    if (block->next != NULL)
        block->next->previous = block->previous;
}

/* With anything in it. */
static void *take(size_t size, size_t align, enum memory_tag tag, const char *file, int line)
{
    CHECK((align & (align - 1)) == 0);
    CHECK(tag < MEMORY_TAG_COUNT);
    align = MAX_OF(align, ALIGN_MIN);
    size_t before = (sizeof(struct block) + align - 1) & ~(align - 1);
    void *pointer = NULL;

    pthread_mutex_lock(&lock);
    bool fails = allocations++ == failing;
    void *start;
    if (!fails && size <= SIZE_MAX_BYTES && posix_memalign(&start, align, before + size) == 0) {
        pointer = (char *)start + before;
        struct block *block = (struct block *)pointer - 1;
        *block = (struct block){
            .start = start, .size = size, .tag = tag, .file = file, .line = line, .guard = GUARD
        };
        enter_books(block);
    }
    pthread_mutex_unlock(&lock);
    return pointer;
}

void *memory_alloc_at(size_t size, size_t align, enum memory_tag tag, const char *file, int line)
{
    void *memory = take(size, align, tag, file, line);
    return memory ? memset(memory, 0, size) : NULL;
}

/* Where there are checks, nobody takes it for zeroed. */
void *memory_alloc_uncleared_at(size_t size, size_t align, enum memory_tag tag, const char *file,
                                int line)
{
    enum { UNCLEARED_FILL = 0xcd };
    void *memory = take(size, align, tag, file, line);
    return memory && DEBUG_CHECKS ? memset(memory, UNCLEARED_FILL, size) : memory;
}

void memory_free_at(void *pointer, const char *file, int line)
{
    (void)file, (void)line; /* AddressSanitizer prints both stacks of a double free */
    if (pointer == NULL)
        return;
    struct block *block = (struct block *)pointer - 1;
    pthread_mutex_lock(&lock);
    CHECK(block->guard == GUARD && "memory_free() of something else, or written in front of it");
    leave_books(block);
    void *start = block->start;
    pthread_mutex_unlock(&lock);
    free(start);
}

void *dma_alloc_at(size_t size, size_t align, enum memory_tag tag, const char *file, int line)
{
    return memory_alloc_at(size, align, tag, file, line);
}

void *dma_alloc_uncleared_at(size_t size, size_t align, enum memory_tag tag, const char *file,
                             int line)
{
    return memory_alloc_uncleared_at(size, align, tag, file, line);
}

void dma_free_at(void *pointer, const char *file, int line)
{
    memory_free_at(pointer, file, line);
}

uint64_t dma_address(const void *pointer)
{
    return (uintptr_t)pointer;
}

void memory_stats(struct memory_stats *stats)
{
    pthread_mutex_lock(&lock);
    *stats = books;
    pthread_mutex_unlock(&lock);
}

uint64_t host_memory_report(void)
{
    pthread_mutex_lock(&lock);
    for (struct block *block = live; block != NULL; block = block->next) {
        fprintf(stderr, "still allocated: %zu bytes, %s, at %s:%d\n", block->size,
                memory_tag_name(block->tag), block->file, block->line);
    }
    uint64_t count = books.live;
    pthread_mutex_unlock(&lock);
    return count;
}

uint8_t *host_guarded_end(size_t size)
{
    uint8_t *pages =
        mmap(NULL, size + PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    CHECK(mprotect(pages + size, PAGE_BYTES, PROT_NONE) == 0);
    return pages + size;
}
