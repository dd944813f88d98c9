/* The sessions of a router, and the one way in which its configuration changes. */
#include "shell/shell.h"

#include <string.h>

#include "kernel/base/log.h"
#include "kernel/platform.h"
#include "net/control.h"
#include "net/router.h"
#include "shell/config_text.h"
#include "shell/session.h"

/* It is enough that the control core goes round. */
static void be_awake(struct timer *timer, uint64_t now_ns)
{
    (void)timer, (void)now_ns;
}

struct shell *shell_create(const struct shell_setup *setup)
{
    struct shell *shell = memory_alloc(sizeof(*shell), 0, MEMORY_SHELL);
    if (!shell)
        return NULL;
    shell->router = setup->router;
    shell->commands = setup->commands;
    shell->commands.breathe = control_yield;
    shell->commands.router = setup->router;
    shell->check = setup->check ? setup->check : control_check;
    shell->commit = setup->commit ? setup->commit : control_commit;
    shell->wake_up.expired = be_awake;
    return shell;
}

void shell_destroy(struct shell *shell)
{
    if (!shell)
        return;
    for (unsigned i = 0; i < SESSION_MAX; i++) {
        if (shell->sessions[i])
            session_destroy(shell->sessions[i]);
    }
    if (timer_is_set(&shell->wake_up))
        timer_cancel(&shell->router->cores[CONTROL_CORE]->timers, &shell->wake_up);
    memory_free(shell);
}

enum error shell_open(struct shell *shell, const struct terminal_io *terminal)
{
    for (unsigned i = 0; i < SESSION_MAX; i++) {
        if (!shell->sessions[i])
            return session_create(shell, terminal, &shell->sessions[i]);
    }
    return fail(ERROR_FULL);
}

bool shell_poll(struct shell *shell, uint64_t now_ns)
{
    bool any = false;
    for (unsigned i = 0; i < SESSION_MAX; i++) {
        struct session *session = shell->sessions[i];
        if (!session)
            continue;
        any = session_poll(session, now_ns) || any;
        if (session->state == SESSION_CLOSED) {
            shell->sessions[i] = NULL;
            session_destroy(session);
        }
    }
    return any;
}

uint64_t shell_deadline(const struct shell *shell)
{
    uint64_t deadline_ns = UINT64_MAX;
    for (unsigned i = 0; i < SESSION_MAX; i++) {
        if (shell->sessions[i])
            deadline_ns = MIN_OF(deadline_ns, session_deadline(shell->sessions[i]));
    }
    return deadline_ns;
}

void shell_work(void *context, uint64_t now_ns)
{
    struct shell *shell = context;
    struct core *control = shell->router->cores[CONTROL_CORE];

    while (shell_poll(shell, now_ns)) {
        control_yield(shell->router);
        now_ns = control->now_ns;
    }
    uint64_t deadline_ns = shell_deadline(shell);
    if (deadline_ns == UINT64_MAX)
        timer_cancel(&control->timers, &shell->wake_up);
    else
        timer_set(&control->timers, &shell->wake_up, deadline_ns);
}

/* What only the shell knows to be wrong: a console that asks for a login nobody has. */
static bool locks_out(const struct config *config)
{
    bool asks = false, admin = false;
    for (unsigned i = 0; i < CONSOLE_KIND_COUNT; i++)
        asks = asks || config->console_login[i];
    for (unsigned i = 0; i < config->login_count; i++)
        admin = admin || config->logins[i].role == ROLE_ADMIN;
    return asks && !admin;
}

static enum error refused(enum error error, const struct commit_report *report,
                          struct problem *problem)
{
    const char *id = error == ERROR_BAD_VALUE ? "refused" : error_id(error);
    problem_set(problem, id, NULL, "%s", report->problem[0] ? report->problem : error_text(error));
    return error;
}

enum error shell_check(struct shell *shell, const struct config *next, struct commit_report *report,
                       struct problem *problem)
{
    memset(report, 0, sizeof(*report));
    if (locks_out(next)) {
        problem_set(problem, "refused", NULL,
                    "a console that asks for a login needs a login with the role admin");
        return fail(ERROR_BAD_VALUE);
    }
    enum error error = shell->check(shell->router, next, report);
    return error ? refused(error, report, problem) : OK;
}

enum error shell_commit(struct shell *shell, struct config *next, struct commit_report *report,
                        struct problem *problem)
{
    enum error error = shell_check(shell, next, report, problem);
    if (!error) {
        error = shell->commit(shell->router, next, report);
        if (error)
            error = refused(error, report, problem);
    }
    if (error)
        config_destroy(next);
    else
        shell->generation++;
    return error;
}

enum error shell_load(struct shell *shell, const char *text, size_t length, struct problem *problem)
{
    struct config *next;
    struct commit_report report;
    enum error error = config_from_text(&shell->commands, text, length, &next, problem);
    if (error)
        return error;
    return shell_commit(shell, next, &report, problem);
}

bool log_next(const struct router *router, uint64_t seen[CORE_MAX], struct log_entry *out)
{
    unsigned from = CORE_MAX;
    for (unsigned i = 0; i < router->core_count; i++) {
        const struct core *core = router->cores[i];
        const struct log_ring *ring = core && core->cpu ? core->cpu->log : NULL;
        uint64_t written = ring ? atomic_load_explicit(&ring->written, memory_order_acquire) : 0;
        if (written > LOG_ENTRY_MAX && seen[i] < written - LOG_ENTRY_MAX)
            seen[i] = written - LOG_ENTRY_MAX;
        if (seen[i] >= written)
            continue;
        struct log_entry entry;
        if (!log_read(ring, seen[i] + 1, &entry)) {
            seen[i]++;
            continue;
        }
        if (from == CORE_MAX || entry.time_ns < out->time_ns) {
            *out = entry;
            from = i;
        }
    }
    if (from == CORE_MAX)
        return false;
    seen[from]++;
    return true;
}
