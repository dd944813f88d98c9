/* Any bytes typed at a console with 16 rows; the first byte chooses what kind of console it is.
 * Whatever happens, afterwards the prompt can be had again. */
/* covers: shell/session.c */
/* covers: shell/session_commands.c */
/* covers: shell/line_editor.c */
/* covers: shell/hints.c */
/* covers: shell/answer.c */
/* covers: shell/pipe.c */
/* covers: shell/regex.c */
#include "kernel/base/log.h"
#include "tests/host/host.h"
#include "tests/unit/shell_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
{
    check_failed(file, line, format);
}

void test_expect_text(const char *file, int line, const char *actual, const char *expected)
{
    if (strcmp(actual, expected) != 0)
        check_failed(file, line, actual);
}

enum { ROWS = 16, KINDS = 3, SLOW_BIT = 4, LOGIN_BIT = 8, NOTE_BIT = 16, CHUNK_BYTES = 64 };

/* The password is "b". */
static const char login[] =
    "system login a password "
    "$s$1$00000000000000000000000000000000$"
    "f07842410a74357012a51aaa536d5fb71c8dab5d6f988549d590315f3526eb34 role admin\n"
    "system console com1 login on\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct log_ring log;
    if (size == 0)
        return 0;
    host_clock_virtual(0);
    host_random_seed(1);
    memset(&log, 0, sizeof(log));
    struct shell_fixture *fixture = fixture_try_create(&fixture_commands);
    fixture->cpu.log = &log;
    if (data[0] & NOTE_BIT)
        strcpy(fixture->note, "a \"note\"");
    struct problem problem;
    if (data[0] & LOGIN_BIT)
        CHECK(shell_load(fixture->shell, login, sizeof(login) - 1, &problem) == OK);
    unsigned choice = (data[0] & 3) % KINDS;
    enum console_kind kind = choice == 2 ? CONSOLE_NETWORK : (enum console_kind)choice;
    fixture->fussy = (data[0] & SLOW_BIT) != 0;
    CHECK(fixture_open(fixture, kind, data[0] & SLOW_BIT ? 0 : ROWS) == OK);
    for (size_t at = 1; at < size; at += CHUNK_BYTES) {
        size_t length = MIN_OF(size - at, (size_t)CHUNK_BYTES);
        fixture_type_bytes(fixture, (const char *)data + at, length);
        fixture->now_ns += NS_PER_S;
        struct log_entry *entry = &log.entries[log.written % LOG_ENTRY_MAX];
        *entry = (struct log_entry){ .sequence = ++log.written, .text = "news" };
    }
    fixture_destroy(fixture);
    return 0;
}
