/* Goal: kernel/libc/memory.c moves, fills and compares exactly the bytes it should.
 * Method: compiled here under other names, every size up to some hundred at every alignment, and
 * sizes around its thresholds, against byte by byte loops; bytes around the target must stay. */
#include <string.h>

#include "tests/unit/test.h"

void *kernel_memcpy(void *restrict to, const void *restrict from, size_t size);
void *kernel_memmove(void *to, const void *from, size_t size);
void *kernel_memset(void *to, int value, size_t size);
int kernel_memcmp(const void *left, const void *right, size_t size);
void *kernel_memchr(const void *where, int value, size_t size);

#define memcpy  kernel_memcpy
#define memmove kernel_memmove
#define memset  kernel_memset
#define memcmp  kernel_memcmp
#define memchr  kernel_memchr
#include "kernel/libc/memory.c"

enum { MARGIN = 64, SIZE_MAX_TRIED = 12000, AREA = SIZE_MAX_TRIED + 4 * MARGIN };

static const unsigned sizes_around_thresholds[] = { 4094, 4095, 4096, 4097, 4111, 12000 };

static uint8_t pattern(unsigned i)
{
    return (uint8_t)(i * 131 + (i >> 8) * 17 + 1);
}

static unsigned size_number(unsigned i)
{
    return i < 300 ? i : sizes_around_thresholds[i - 300];
}

enum { SIZE_COUNT = 300 + ARRAY_COUNT(sizes_around_thresholds) };

static void expect_moved(void *(*move)(void *, const void *, size_t), unsigned to, unsigned from,
                         unsigned size)
{
    static uint8_t area[AREA], expected[AREA];
    for (unsigned i = 0; i < AREA; i++)
        area[i] = expected[i] = pattern(i);
    for (unsigned i = 0; i < size; i++)
        expected[to + i] = pattern(from + i);
    EXPECT(move(area + to, area + from, size) == area + to);
    for (unsigned i = 0; i < AREA; i++) {
        if (area[i] != expected[i])
            test_fail(__FILE__, __LINE__, "to %u from %u size %u: byte %u", to, from, size, i);
    }
}

static void *copy(void *to, const void *from, size_t size)
{
    return kernel_memcpy(to, from, size);
}

TEST(libc_memcpy_copies_any_size_at_any_alignment)
{
    for (unsigned i = 0; i < 150; i++) {
        for (unsigned shift = 0; shift < 16; shift += 5)
            expect_moved(copy, MARGIN + shift, 400 + MARGIN + 3 * shift % 16, size_number(i));
    }
}

TEST(libc_memcpy_copies_large_blocks)
{
    static uint8_t from[SIZE_MAX_TRIED], to[SIZE_MAX_TRIED + 1];
    for (unsigned i = 0; i < SIZE_MAX_TRIED; i++)
        from[i] = pattern(i);
    for (unsigned i = 300; i < SIZE_COUNT; i++) {
        unsigned size = size_number(i);
        to[size] = 0x5a;
        kernel_memcpy(to, from, size);
        for (unsigned j = 0; j < size; j++)
            EXPECT(to[j] == from[j]);
        EXPECT(to[size] == 0x5a);
    }
}

TEST(libc_memmove_moves_overlapping_bytes_both_ways)
{
    static const unsigned distances[] = { 0, 1, 2, 7, 8, 15, 16, 17, 31, 33, 63 };
    for (unsigned i = 0; i < SIZE_COUNT; i += i < 80 ? 1 : 13) {
        for (unsigned j = 0; j < ARRAY_COUNT(distances); j++) {
            expect_moved(kernel_memmove, MARGIN + distances[j], MARGIN, size_number(i));
            expect_moved(kernel_memmove, MARGIN, MARGIN + distances[j], size_number(i));
        }
    }
}

TEST(libc_memset_fills_exactly_its_bytes)
{
    static uint8_t area[AREA];
    for (unsigned i = 0; i < SIZE_COUNT; i++) {
        unsigned size = size_number(i);
        for (unsigned j = 0; j < AREA; j++)
            area[j] = 0x11;
        EXPECT(kernel_memset(area + MARGIN + i % 16, 0x1a7, size) == area + MARGIN + i % 16);
        for (unsigned j = 0; j < AREA; j++) {
            bool inside = j >= MARGIN + i % 16 && j < MARGIN + i % 16 + size;
            EXPECT_EQUAL(area[j], inside ? 0xa7 : 0x11);
        }
    }
}

TEST(libc_memcmp_tells_the_order_of_the_first_difference)
{
    uint8_t left[40], right[40];
    for (unsigned size = 0; size <= sizeof(left); size++) {
        for (unsigned i = 0; i < sizeof(left); i++)
            left[i] = right[i] = pattern(i);
        EXPECT_EQUAL(kernel_memcmp(left, right, size), 0);
        for (unsigned i = 0; i < size; i++) {
            right[i] = (uint8_t)(left[i] ^ 0x80);
            EXPECT((kernel_memcmp(left, right, size) < 0) == (left[i] < right[i]));
            EXPECT((kernel_memcmp(right, left, size) < 0) == (right[i] < left[i]));
            right[i] = left[i];
        }
    }
}

TEST(libc_memchr_finds_the_first_or_nothing)
{
    const char text[] = "crossroads";
    EXPECT(kernel_memchr(text, 's', sizeof(text)) == text + 3);
    EXPECT(kernel_memchr(text, 's', 3) == NULL);
    EXPECT(kernel_memchr(text, 'c' + 256, sizeof(text)) == text);
}
