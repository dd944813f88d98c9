/* Fills all there is with small functions, each of which answers its own number, frees every other
 * one, and looks whether the rest is as it was. */
#include "kernel/selftest_code.h"

#include "kernel/base/bytes.h"
#include "kernel/base/log.h"
#include "kernel/platform.h"

enum { PIECES_MAX = 8192, PIECES_LEAST = 1024, SMALL_BYTES = 6 };

static struct code *pieces[PIECES_MAX];

/* mov $number, %eax; ret. NULL: all is full. */
static struct code *make_piece(uint32_t number)
{
    struct code *code = code_alloc(SMALL_BYTES);
    if (!code)
        return NULL;
    code->bytes[0] = 0xb8;
    store_le32(code->bytes + 1, number);
    code->bytes[5] = 0xc3;
    CHECK(code_seal(code) == OK);
    return code;
}

static void check_pieces(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (pieces[i])
            CHECK(((uint32_t(*)(void))(uintptr_t)pieces[i]->entry)() == i);
    }
}

static void free_piece(unsigned i)
{
    code_free(pieces[i]);
    pieces[i] = NULL;
}

/* Is there room for so much? */
static bool fits(size_t size)
{
    struct code *code = code_alloc(size);
    code_free(code);
    return code != NULL;
}

void selftest_code(void)
{
    unsigned count = 0;
    while (count < PIECES_MAX && (pieces[count] = make_piece(count)) != NULL)
        count++;
    CHECK(count >= PIECES_LEAST);
    CHECK(count < PIECES_MAX);
    check_pieces(count);

    for (unsigned i = 0; i < count; i += 2)
        free_piece(i);
    check_pieces(count);
    CHECK(fits(SMALL_BYTES));
    CHECK(!fits(CODE_BYTES_MAX));

    for (unsigned i = 1; i < count; i += 2)
        free_piece(i);
    CHECK(fits(CODE_BYTES_MAX));
    CHECK(!fits(CODE_BYTES_MAX + 1));
    log_info("selftest", "code: %u pieces", count);
}
