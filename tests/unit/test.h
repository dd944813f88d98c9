/* A test: `TEST(neighbor_forgets_after_last_probe) { ... EXPECT(...); }` in a file
 * tests/unit/X_test.c (or tests/sim/X_sim.c). Each runs in a process of its own, so that a crash, a
 * leak or an endless loop is one failed test (60 s, 600 s of a soak). All that it allocates through
 * the seam it must free. main() is in tests/unit/test_main.c. */
#pragma once

#include "kernel/base/types.h"
#include "tests/host/host.h"

struct test {
    const char *name;
    const char *file;
    void (*run)(void);
    struct test *next;
};

void test_register(struct test *test);
_Noreturn void test_fail(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4);
/* How many answers a fast structure and a stupid one are to be compared by; `make test` asks for
 * ten times as many of an optimized build, a soak for a hundred times as many. */
unsigned test_comparisons(void);
_Noreturn void test_skip(const char *reason); /* a line of tests/skips.txt, or it is a failure */

#define TEST(test_name) \
    static void test_##test_name(void); \
    __attribute__((constructor)) static void register_##test_name(void) \
    { \
        static struct test test = { #test_name, __FILE__, test_##test_name, NULL }; \
        test_register(&test); \
    } \
    static void test_##test_name(void)

#define EXPECT(condition) \
    do { \
        if (!(condition)) \
            test_fail(__FILE__, __LINE__, "expected: %s", #condition); \
    } while (0)

/* Integers, printed both ways. */
#define EXPECT_EQUAL(actual, expected) \
    do { \
        long long actual_value = (long long)(actual); \
        long long expected_value = (long long)(expected); \
        if (actual_value != expected_value) \
            test_fail(__FILE__, __LINE__, "%s is %lld (0x%llx), expected %lld (0x%llx)", #actual, \
                      actual_value, actual_value, expected_value, expected_value); \
    } while (0)

#define EXPECT_TEXT(actual, expected) test_expect_text(__FILE__, __LINE__, (actual), (expected))
void test_expect_text(const char *file, int line, const char *actual, const char *expected);

/* The statement must end in a panic whose text contains the words. It runs in a process of its own,
 * so nothing of it remains. */
#define EXPECT_PANIC(statement, words) \
    do { \
        if (test_panic_begins(__FILE__, __LINE__, (words))) { \
            statement; \
            test_panic_missed(); \
        } \
    } while (0)
bool test_panic_begins(const char *file, int line,
                       const char *words); /* true: in the new process */
_Noreturn void test_panic_missed(void);
