/* A shell with one console, driven by a test: what is typed goes in, what the terminal would show
 * comes out. The router under it is a bare struct with two ports and a configuration; a commit
 * swaps that. */
#pragma once

#include <string.h>

#include "kernel/platform.h"
#include "net/config.h"
#include "net/control.h"
#include "net/router.h"
#include "shell/shell.h"
#include "tests/unit/test.h"

enum { SHOWN_BYTES = 1 << 17 };

struct shell_fixture {
    struct router router;
    struct core core;
    struct cpu cpu;
    struct shell *shell;
    uint64_t now_ns;
    const char *typed; /* what the terminal has still to send */
    size_t typed_length;
    size_t shown_length;
    char shown[SHOWN_BYTES]; /* since fixture_type() began, without CR */
    char refuse[64];         /* the next commits are refused with that */
    char note[64];           /* or note that */
    unsigned commits;
    bool fussy; /* the terminal takes one byte at a time */
};

static inline size_t fixture_read(void *context, char *out, size_t size)
{
    struct shell_fixture *fixture = context;
    size_t length = MIN_OF(size, fixture->typed_length);
    if (fixture->fussy)
        length = MIN_OF(length, (size_t)1);
    if (length == 0)
        return 0;
    memcpy(out, fixture->typed, length);
    fixture->typed += length;
    fixture->typed_length -= length;
    return length;
}

static inline size_t fixture_write(void *context, const char *text, size_t size)
{
    struct shell_fixture *fixture = context;
    if (fixture->fussy)
        size = MIN_OF(size, (size_t)1);
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\r' && fixture->shown_length + 1 < SHOWN_BYTES)
            fixture->shown[fixture->shown_length++] = text[i];
    }
    fixture->shown[fixture->shown_length] = '\0';
    return size;
}

static inline struct shell_fixture *fixture_of(struct router *router)
{
    return (struct shell_fixture *)(void *)((char *)router -
                                            offsetof(struct shell_fixture, router));
}

static inline enum error fixture_check(struct router *router, const struct config *next,
                                       struct commit_report *report)
{
    struct shell_fixture *fixture = fixture_of(router);
    (void)next;
    if (fixture->refuse[0] == '\0')
        return OK;
    memcpy(report->problem, fixture->refuse, sizeof(fixture->refuse));
    return ERROR_BAD_VALUE;
}

static inline enum error fixture_commit(struct router *router, struct config *next,
                                        struct commit_report *report)
{
    config_destroy(router->config);
    router->config = next;
    report->changes = 1;
    memcpy(report->note, fixture_of(router)->note, sizeof(fixture_of(router)->note));
    fixture_of(router)->commits++;
    return OK;
}

static const struct command_table *const fixture_tables[] = { &session_commands,
                                                              &statement_commands,
                                                              &filter_statements };
static const struct command_set fixture_commands = { .tables = fixture_tables,
                                                     .table_count = ARRAY_COUNT(fixture_tables) };

/* NULL: there was no memory for it. */
static inline struct shell_fixture *fixture_try_create(const struct command_set *commands)
{
    struct shell_fixture *fixture = memory_alloc(sizeof(*fixture), 64, MEMORY_TEST);
    if (!fixture)
        return NULL;
    fixture->router.config = config_create();
    fixture->router.core_count = 1;
    fixture->router.cores[0] = &fixture->core;
    fixture->core.cpu = &fixture->cpu;
    fixture->router.port_count = 2;
    memcpy(fixture->router.ports[0].name, "eth0", 5);
    memcpy(fixture->router.ports[1].name, "eth1", 5);
    struct shell_setup setup = { .router = &fixture->router,
                                 .commands = *commands,
                                 .check = fixture_check,
                                 .commit = fixture_commit };
    if (fixture->router.config)
        fixture->shell = shell_create(&setup);
    return fixture;
}

/* Until nothing happens any more. */
static inline void fixture_poll(struct shell_fixture *fixture)
{
    size_t before;
    bool worked;
    do {
        before = fixture->typed_length;
        worked = shell_poll(fixture->shell, fixture->now_ns);
    } while (worked || fixture->typed_length < before);
}

static inline enum error fixture_open(struct shell_fixture *fixture, enum console_kind kind,
                                      uint16_t rows)
{
    struct terminal_io terminal = { .read = fixture_read,
                                    .write = fixture_write,
                                    .context = fixture,
                                    .name = "test",
                                    .kind = kind,
                                    .columns = 80,
                                    .rows = rows };
    return shell_open(fixture->shell, &terminal);
}

/* A shell with a console that shows its prompt. */
static inline struct shell_fixture *fixture_create(void)
{
    struct shell_fixture *fixture = fixture_try_create(&fixture_commands);
    EXPECT(fixture && fixture->shell);
    EXPECT(fixture_open(fixture, CONSOLE_COM1, 0) == OK);
    fixture_poll(fixture);
    return fixture;
}

static inline void fixture_destroy(struct shell_fixture *fixture)
{
    if (!fixture)
        return;
    shell_destroy(fixture->shell);
    config_destroy(fixture->router.config);
    memory_free(fixture);
}

/* Types, lets the shell work until it has nothing more to do, and answers what was shown meanwhile.
 */
static inline const char *fixture_type_bytes(struct shell_fixture *fixture, const char *text,
                                             size_t length)
{
    fixture->typed = text;
    fixture->typed_length = length;
    fixture->shown_length = 0;
    fixture->shown[0] = '\0';
    fixture_poll(fixture);
    return fixture->shown;
}

static inline const char *fixture_type(struct shell_fixture *fixture, const char *text)
{
    return fixture_type_bytes(fixture, text, strlen(text));
}

/* The answer to a line alone: without its echo and the prompt behind it. */
static inline const char *fixture_ask(struct shell_fixture *fixture, const char *line)
{
    fixture_type(fixture, line);
    fixture->typed = "\r";
    fixture->typed_length = 1;
    fixture->shown_length = 0;
    fixture_poll(fixture);
    char *end = fixture->shown + fixture->shown_length;
    while (end > fixture->shown && end[-1] != '\n')
        end--;
    *end = '\0';
    return fixture->shown[0] == '\n' ? fixture->shown + 1 : fixture->shown;
}
