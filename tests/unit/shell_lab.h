/* A router on software cards and a shell over it with one console: what is typed goes to the real
 * commands, and what the terminal would show is the answer. */
#pragma once

#include <string.h>

#include "net/router.h"
#include "shell/shell.h"
#include "tests/unit/lab.h"

static const struct command_table *const tables[] = { &session_commands,  &statement_commands,
                                                      &filter_statements, &show_net_commands,
                                                      &route_commands,    &filter_commands,
                                                      &explain_commands,  &show_memory_commands,
                                                      &action_commands };

static struct lab lab;
static struct shell *shell;
static char shown[1 << 16];
static size_t shown_length;
static const char *typed;

static inline size_t read_typed(void *context, char *out, size_t size)
{
    (void)context;
    size_t length = MIN_OF(size, strlen(typed));
    memcpy(out, typed, length);
    typed += length;
    return length;
}

static inline size_t write_shown(void *context, const char *text, size_t size)
{
    (void)context;
    EXPECT(size < sizeof(shown) - shown_length);
    for (size_t i = 0; i < size; i++)
        if (text[i] != '\r')
            shown[shown_length++] = text[i];
    shown[shown_length] = '\0';
    return size;
}

static inline void start(void)
{
    static const struct terminal_io terminal = {
        .read = read_typed, .write = write_shown, .name = "test", .columns = 80
    };
    lab = lab_create(2, 2);
    struct shell_setup setup = {
        .router = lab.router, .commands = { .tables = tables, .table_count = ARRAY_COUNT(tables) }
    };
    shell = shell_create(&setup);
    EXPECT(shell != NULL);
    typed = "";
    EXPECT(shell_open(shell, &terminal) == OK);
    lab.router->control_work = shell_work;
    lab.router->control_context = shell;
    lab_step(&lab, 3);
}

static inline void stop(void)
{
    shell_destroy(shell);
    lab.router->control_work = NULL;
    lab_destroy(&lab);
}

/* What the terminal shows comes to shown[] from now on. */
static inline void type(const char *line, unsigned steps)
{
    static char keys[1024]; /* read on later, when time passes */
    strcpy(keys, line);
    strcat(keys, "\r");
    shown_length = 0;
    typed = keys;
    lab_step(&lab, steps);
}

/* The answer to a line, after so many steps and some virtual time. */
static inline const char *ask_in(const char *line, unsigned steps, uint64_t ms)
{
    type(line, steps);
    lab_wait(&lab, ms);
    EXPECT(*typed == '\0');
    char *answer = strchr(shown, '\n');
    char *end = strrchr(shown, '\n');
    EXPECT(answer && end);
    *end = '\0';
    return end > answer ? answer + 1 : "";
}

static inline const char *ask_for(const char *line, uint64_t ms)
{
    return ask_in(line, 50, ms);
}

static inline const char *ask(const char *line)
{
    return ask_for(line, 0);
}

static inline void expect_in(const char *answer, const char *part)
{
    if (!strstr(answer, part))
        test_fail(__FILE__, __LINE__, "no %s in\n%s", part, answer);
}
