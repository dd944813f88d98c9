/* The few words that every file of Tsuji uses: fixed-width integers, errors, assertions.
 *
 * CHECK is for our own mistakes and is always on; DCHECK is for hot loops and on in debug and
 * test builds. Neither is ever applied to what came from the wire, a loader or a user. */
#pragma once

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK          __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a)   __attribute__((format(printf, f, a)))
#define ARRAY_COUNT(array)  (sizeof(array) / sizeof((array)[0]))
#define LIKELY(condition)   __builtin_expect_with_probability(!!(condition), 1, 0.999)
#define UNLIKELY(condition) __builtin_expect_with_probability(!!(condition), 0, 0.999)
#define CONTAINER_OF(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

enum {
    CORE_MAX = 64, /* cores we start; a 65th stays parked */
    PORT_MAX = 64, /* network ports, loopback included */
    PORT_NONE = 0xffff,
    BATCH_MAX = 64, /* packets in one pass of the datapath */
    CACHE_LINE_BYTES = 64,
    PAGE_BYTES = 4096,
};

/* Why something could not be done. Each has an identifier for machines and a text for people, in
 * error.c. OK is 0, so `if (error)` reads well. */
enum error {
    OK = 0,
    ERROR_NO_MEMORY,
    ERROR_TRUNCATED, /* ends before a field that must be there */
    ERROR_MALFORMED, /* all there, but contradictory */
    ERROR_BAD_CHECKSUM,
    ERROR_NOT_FOUND,
    ERROR_EXISTS,
    ERROR_FULL, /* a table or queue is at its stated bound */
    ERROR_BAD_VALUE,
    ERROR_UNSUPPORTED,
    ERROR_TIMEOUT,
    ERROR_DEVICE, /* the hardware answered nonsense or nothing */
    ERROR_BUSY,
    ERROR_COUNT,
};

const char *error_id(enum error error);   /* "no-memory": stable, for machines */
const char *error_text(enum error error); /* "out of memory": for people */

/* Leaves file, line and code in this core's trace ring and gives the error back:
 * `return fail(ERROR_TRUNCATED);`. Defined in trace.c. */
#define fail(error) fail_at((error), __FILE__, __LINE__)
enum error fail_at(enum error error, const char *file, int line);

/* Ends in platform_panic(). Defined in trace.c. */
_Noreturn void check_failed(const char *file, int line, const char *condition);

#define CHECK(condition) \
    do { \
        if (UNLIKELY(!(condition))) \
            check_failed(__FILE__, __LINE__, #condition); \
    } while (0)

#ifdef TSUJI_DEBUG
#define DEBUG_CHECKS      true
#define DCHECK(condition) CHECK(condition)
#else
#define DEBUG_CHECKS false
#define DCHECK(condition) \
    do { \
        (void)sizeof(condition); \
    } while (0)
#endif

#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

enum {
    NS_PER_US = 1000,
    NS_PER_MS = 1000000,
    NS_PER_S = 1000000000,
};
