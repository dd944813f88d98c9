/* The shell of one router: its commands, and a session per console. main.c creates it and lets the
 * control coroutine call shell_work() over and over; nothing in it waits. */
#pragma once

#include "kernel/base/types.h"
#include "shell/command.h"

struct commit_report;
struct config;
struct log_entry;
struct router;
struct shell;

enum { SESSION_MAX = 16 };

enum console_kind { CONSOLE_COM1, CONSOLE_VGA, CONSOLE_KIND_COUNT, CONSOLE_NETWORK };

/* A line to a person or a program: bytes in, bytes out, never waiting. */
struct terminal_io {
    size_t (*read)(void *context, char *out, size_t size);         /* what is there */
    size_t (*write)(void *context, const char *text, size_t size); /* what it took */
    void *context;
    const char *name;       /* "com1" */
    enum console_kind kind; /* CONSOLE_NETWORK always asks for a login */
    uint16_t columns, rows; /* rows 0: nobody reads along, so no paging */
};

struct shell_setup {
    struct router *router;
    struct command_set commands; /* the tables outlive the shell */
    /* NULL: control_check() and control_commit(), net/control.h; a test may have its own. */
    enum error (*check)(struct router *router, const struct config *next,
                        struct commit_report *report);
    enum error (*commit)(struct router *router, struct config *next, struct commit_report *report);
};

struct shell *shell_create(const struct shell_setup *setup) MUST_CHECK; /* NULL: no memory */
void shell_destroy(struct shell *shell);

/* Opens a session, which prints its prompt (or asks for a login). ERROR_FULL, ERROR_NO_MEMORY. */
enum error shell_open(struct shell *shell, const struct terminal_io *terminal) MUST_CHECK;

/* A little work for every session; true if there was any. */
bool shell_poll(struct shell *shell, uint64_t now_ns);
/* When a running command wants to be called again; UINT64_MAX: only when input arrives. */
uint64_t shell_deadline(const struct shell *shell);

/* router->control_work: all that the sessions have to do now, in slices; wakes the control core
 * when a running command goes on. The context is the shell. */
void shell_work(void *shell, uint64_t now_ns);

/* A whole configuration from text, committed, or refused with the line and column: nothing has
 * changed then. */
enum error shell_load(struct shell *shell, const char *text, size_t length,
                      struct problem *problem) MUST_CHECK;

/* The tables of this folder, in the order of the command reference. */
extern const struct command_table session_commands, statement_commands, filter_statements,
    show_net_commands, route_commands, filter_commands, explain_commands, show_memory_commands,
    action_commands;
