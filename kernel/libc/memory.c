/* Copying, filling and comparing bytes, which the compiler also calls on its own.
 *
 * Moves are done with 16-byte loads and stores at any alignment. A tail is moved by one more such
 * step that ends at the last byte and overlaps what is done already, so nothing goes byte by byte:
 *
 *   |----------------|----------------|------|          size 38
 *   [ step          ][ step          ]
 *                          [ last step      ]
 *
 * The exception is 4 KiB and more, where `rep movsb` knows the processor's best way (and costs
 * nothing extra where it has none).
 *
 * The names are in parentheses because <string.h> has macros of the same names. */
#include <stdint.h>
#include <string.h>

typedef uint64_t any_u64 __attribute__((aligned(1), may_alias));
typedef uint32_t any_u32 __attribute__((aligned(1), may_alias));
typedef uint16_t any_u16 __attribute__((aligned(1), may_alias));
typedef uint64_t any_vector __attribute__((vector_size(16), aligned(1), may_alias));

enum {
    STEP = sizeof(any_vector),
    STRING_INSTRUCTION_BYTES =
        4096, /* Intel optimization manual 3.7.6: its start-up cost is small then */
};

/* Up to 16 bytes, all loaded before the first store, so that they may overlap. */
static inline void move_short(char *to, const char *from, size_t size)
{
    if (size >= 8) {
        uint64_t first = *(const any_u64 *)from;
        uint64_t last = *(const any_u64 *)(from + size - 8);
        *(any_u64 *)to = first;
        *(any_u64 *)(to + size - 8) = last;
    } else if (size >= 4) {
        uint32_t first = *(const any_u32 *)from;
        uint32_t last = *(const any_u32 *)(from + size - 4);
        *(any_u32 *)to = first;
        *(any_u32 *)(to + size - 4) = last;
    } else if (size >= 2) {
        uint16_t first = *(const any_u16 *)from;
        uint16_t last = *(const any_u16 *)(from + size - 2);
        *(any_u16 *)to = first;
        *(any_u16 *)(to + size - 2) = last;
    } else if (size == 1) {
        *to = *from;
    }
}

static void move_up(char *to, const char *from, size_t size)
{
    any_vector last = *(const any_vector *)(from + size - STEP);
    char *end = to + size - STEP;
    for (; to < end; to += STEP, from += STEP)
        *(any_vector *)to = *(const any_vector *)from;
    *(any_vector *)end = last;
}

static void move_down(char *to, const char *from, size_t size)
{
    any_vector first = *(const any_vector *)from;
    for (size_t left = size; left > STEP; left -= STEP)
        *(any_vector *)(to + left - STEP) = *(const any_vector *)(from + left - STEP);
    *(any_vector *)to = first;
}

void *(memcpy)(void *restrict to, const void *restrict from, size_t size)
{
    if (size <= STEP) {
        move_short(to, from, size);
    } else if (size < STRING_INSTRUCTION_BYTES) {
        move_up(to, from, size);
    } else {
        void *at = to;
        __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    }
    return to;
}

void *(memmove)(void *to, const void *from, size_t size)
{
    if (size <= STEP)
        move_short(to, from, size);
    else if ((uintptr_t)to - (uintptr_t)from >= size)
        move_up(to, from, size); /* to is below from, or wholly above it */
    else
        move_down(to, from, size);
    return to;
}

void *(memset)(void *to, int value, size_t size)
{
    char *at = to;
    uint64_t word = 0x0101010101010101ull * (uint8_t)value;
    if (size < STEP) {
        if (size >= 8) {
            *(any_u64 *)at = word;
            *(any_u64 *)(at + size - 8) = word;
        } else if (size >= 4) {
            *(any_u32 *)at = (uint32_t)word;
            *(any_u32 *)(at + size - 4) = (uint32_t)word;
        } else if (size >= 2) {
            *(any_u16 *)at = (uint16_t)word;
            *(any_u16 *)(at + size - 2) = (uint16_t)word;
        } else if (size == 1) {
            *at = (char)word;
        }
    } else if (size < STRING_INSTRUCTION_BYTES) {
        any_vector vector = { word, word };
        char *end = at + size - STEP;
        for (; at < end; at += STEP)
            *(any_vector *)at = vector;
        *(any_vector *)end = vector;
    } else {
        size_t words = size / 8;
        *(any_u64 *)(at + size - 8) = word;
        __asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(word) : "memory");
    }
    return to;
}

int(memcmp)(const void *left, const void *right, size_t size)
{
    const uint8_t *a = left, *b = right;
    while (size >= 8 && *(const any_u64 *)a == *(const any_u64 *)b) {
        a += 8;
        b += 8;
        size -= 8;
    }
    for (; size > 0; a++, b++, size--) {
        if (*a != *b)
            return *a < *b ? -1 : 1;
    }
    return 0;
}

void *(memchr)(const void *where, int value, size_t size)
{
    const uint8_t *at = where;
    for (; size > 0; at++, size--) {
        if (*at == (uint8_t)value)
            return (void *)(uintptr_t)at;
    }
    return NULL;
}
