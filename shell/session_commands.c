/* Commands about the console and the candidate: configure, commit, load, terminal and so on. */
#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/control.h"
#include "shell/config_text.h"
#include "shell/secret.h"
#include "shell/session.h"

static enum command_result failed(struct command_call *call, const struct problem *problem)
{
    call->problem = *problem;
    return COMMAND_FAILED;
}

static bool put_record_line(void *context, const char *line)
{
    record_text(context, NULL, line);
    return true;
}

/* ---- The candidate ----------------------------------------------------------------------------
 */

static enum command_result run_configure(struct command_call *call)
{
    struct session *session = call->session;
    if (session->candidate)
        return command_failed(call, "already", NULL, "you are in configure already");
    session->candidate = config_copy(session_running_config(session));
    if (!session->candidate)
        return command_failed(call, "no-memory", NULL, "out of memory");
    session->candidate_base = session->shell->generation;
    session->dirty = false;
    return COMMAND_DONE;
}

static void tell_commit(struct command_call *call, const struct commit_report *report)
{
    unsigned long long check = report->check_ns / (NS_PER_MS / 10);
    unsigned long long prepare = report->prepare_ns / (NS_PER_MS / 10);
    unsigned long long swap = report->swap_ns / (NS_PER_MS / 10);
    unsigned long long sum = check + prepare + swap;
    record_message(call->record,
                   "commit complete: %u %s changed, %llu.%llu ms (check %llu.%llu, "
                   "prepare %llu.%llu, swap %llu.%llu)",
                   report->changes, report->changes == 1 ? "line" : "lines", sum / 10, sum % 10,
                   check / 10, check % 10, prepare / 10, prepare % 10, swap / 10, swap % 10);
    if (report->note[0] != '\0')
        record_text(call->record, "note", report->note);
}

static enum command_result no_candidate(struct command_call *call)
{
    return command_failed(call, "no-candidate", NULL,
                          "there is no candidate: `configure` makes one");
}

static enum command_result run_commit(struct command_call *call)
{
    struct session *session = call->session;
    struct shell *shell = session->shell;
    struct commit_report report;
    struct problem problem;
    if (!session->candidate)
        return no_candidate(call);
    if (session->candidate_base != shell->generation)
        return command_failed(call, "conflict", NULL,
                              "the configuration has changed since you said `configure`: see "
                              "`compare`, then `discard`");
    if (line_has(call->line, "check")) {
        if (shell_check(shell, session->candidate, &report, &problem) != OK)
            return failed(call, &problem);
        record_message(call->record, "the candidate is good");
        return COMMAND_DONE;
    }
    struct config *next = config_copy(session->candidate);
    if (!next)
        return command_failed(call, "no-memory", NULL, "out of memory");
    if (shell_commit(shell, next, &report, &problem) != OK)
        return failed(call, &problem);
    session->candidate_base = shell->generation;
    session->dirty = false;
    if (line_has(call->line, "and-quit"))
        session_close(session);
    tell_commit(call, &report);
    return COMMAND_DONE;
}

static enum command_result run_discard(struct command_call *call)
{
    struct session *session = call->session;
    if (!session->candidate)
        return no_candidate(call);
    struct config *again = config_copy(session_running_config(session));
    if (!again)
        return command_failed(call, "no-memory", NULL, "out of memory");
    config_destroy(session->candidate);
    session->candidate = again;
    session->candidate_base = session->shell->generation;
    session->dirty = false;
    return COMMAND_DONE;
}

static enum command_result run_compare(struct command_call *call)
{
    struct session *session = call->session;
    if (!session->candidate)
        return no_candidate(call);
    struct line_sink sink = { .put = put_record_line, .context = call->record };
    record_lines(call->record, "changes");
    enum error error = config_compare(&session->shell->commands, session_running_config(session),
                                      session->candidate, &sink);
    record_end(call->record);
    if (error)
        return command_failed(call, "no-memory", NULL, "out of memory");
    return COMMAND_DONE;
}

/* Lines that begin with the words of a command, as they are typed. */
struct line_filter {
    struct record *record;
    bool hide_secrets;
    char beginning[LINE_BYTES_MAX];
};

static bool put_filtered_line(void *context, const char *line)
{
    struct line_filter *filter = context;
    char hidden[LINE_BYTES_MAX];
    if (filter->hide_secrets) { /* before comparing, or the filter would tell them */
        struct text text = text_of(hidden, sizeof(hidden));
        secret_hide(line, &text);
        line = hidden;
    }
    if (strncmp(line, filter->beginning, strlen(filter->beginning)) == 0)
        record_text(filter->record, NULL, line);
    return true;
}

static void show_config(struct command_call *call, const struct config *config)
{
    struct line_filter filter = { .record = call->record,
                                  .hide_secrets = call->session->role < ROLE_ADMIN };
    struct text text = text_of(filter.beginning, sizeof(filter.beginning));
    const struct argument *word = NULL;
    while ((word = line_argument_next(call->line, "word", word)) != NULL)
        text_print(&text, "%s%s", text.length > 0 ? " " : "", word->text);
    struct line_sink sink = { .put = put_filtered_line, .context = &filter };
    record_lines(call->record, "lines");
    (void)!config_print(&call->session->shell->commands, config, &sink);
    record_end(call->record);
}

static enum command_result run_show_configuration(struct command_call *call)
{
    show_config(call, session_running_config(call->session));
    return COMMAND_DONE;
}

static enum command_result run_show_candidate(struct command_call *call)
{
    if (!call->session->candidate)
        return no_candidate(call);
    show_config(call, call->session->candidate);
    return COMMAND_DONE;
}

/* ---- Leaving ------------------------------------------------------------------------------------
 */

static enum command_result run_exit(struct command_call *call)
{
    struct session *session = call->session;
    if (session->candidate && session->dirty)
        return command_failed(call, "uncommitted", NULL,
                              "the candidate has changes: `commit` or `discard` them first");
    session_close(session);
    return COMMAND_DONE;
}

static enum command_result run_end(struct command_call *call)
{
    return call->session->candidate ? run_exit(call) : COMMAND_DONE;
}

/* ---- load
 * ---------------------------------------------------------------------------------------- */

/* The text is complete. */
static enum command_result load_text(struct command_call *call)
{
    struct session *session = call->session;
    struct shell *shell = session->shell;
    const struct config *base =
        session->candidate ? session->candidate : session_running_config(session);
    struct problem problem;
    struct config *next;
    struct commit_report report;
    enum error error;
    if (session->load_replace)
        error = config_from_text(&shell->commands, session->load_text, session->load_length, &next,
                                 &problem);
    else
        error = config_merge_text(&shell->commands, base, session->load_text, session->load_length,
                                  &next, &problem);
    if (error)
        return failed(call, &problem);
    if (!session->candidate) {
        if (shell_commit(shell, next, &report, &problem) != OK)
            return failed(call, &problem);
        tell_commit(call, &report);
        return COMMAND_DONE;
    }
    config_destroy(session->candidate);
    session->candidate = next;
    session->dirty = !config_equal(next, session_running_config(session));
    record_message(call->record, "loaded into the candidate");
    return COMMAND_DONE;
}

static enum command_result run_load(struct command_call *call)
{
    struct session *session = call->session;
    if (call->cursor == 0) { /* the session collects lines and calls again */
        session_load_begin(session, line_has(call->line, "replace"));
        return COMMAND_AGAIN;
    }
    enum command_result result;
    if (call->interrupted)
        result = command_failed(call, "interrupted", NULL, "given up, nothing was loaded");
    else if (session->load_bad_line > 0) {
        loss_tell(session->load_loss, &call->problem);
        call->problem.line = session->load_bad_line;
        result = COMMAND_FAILED;
    } else {
        result = load_text(call);
    }
    memory_free(session->load_text);
    session->load_text = NULL;
    session->load_length = session->load_room = 0;
    return result;
}

/* ---- terminal
 * ------------------------------------------------------------------------------------ */

static enum command_result run_terminal_length(struct command_call *call)
{
    call->session->pager.rows = (unsigned)line_argument(call->line, "lines")->number;
    return COMMAND_DONE;
}

static enum command_result run_terminal_width(struct command_call *call)
{
    call->session->columns = (unsigned)line_argument(call->line, "columns")->number;
    call->session->editor.columns = call->session->columns;
    return COMMAND_DONE;
}

static enum command_result run_terminal_format(struct command_call *call)
{
    call->session->json_after = line_has(call->line, "json");
    return COMMAND_DONE;
}

static enum command_result run_terminal_monitor(struct command_call *call)
{
    struct session *session = call->session;
    session->monitor = !line_has(call->line, "off");
    session_skip_log(session);
    return COMMAND_DONE;
}

/* ---- Help
 * ----------------------------------------------------------------------------------------- */

static enum command_result run_history(struct command_call *call)
{
    static const struct record_column columns[] = { { "number", RECORD_PLAIN },
                                                    { "line", RECORD_PLAIN } };
    const struct line_editor *editor = &call->session->editor;
    const struct argument *wanted = line_argument(call->line, "count");
    unsigned count = editor->history_count;
    unsigned shown = wanted ? MIN_OF((unsigned)wanted->number, count) : count;
    record_table(call->record, "history", columns, ARRAY_COUNT(columns));
    for (unsigned back = shown; back > 0; back--) {
        record_row(call->record);
        record_u64(call->record, "number", count - back + 1);
        record_text(call->record, "line", editor_history(editor, back));
    }
    record_end(call->record);
    return COMMAND_DONE;
}

static const char *kind_name(enum command_kind kind)
{
    static const char *const names[] = { "statement", "show", "action", "session" };
    return names[kind];
}

/* The command reference: every entry of every table. */
static enum command_result run_show_commands(struct command_call *call)
{
    static const struct record_column columns[] = { { "grammar", RECORD_PLAIN },
                                                    { "kind", RECORD_PLAIN },
                                                    { "role", RECORD_PLAIN },
                                                    { "help", RECORD_PLAIN } };
    const struct command_set *set = &call->session->shell->commands;
    record_table(call->record, "commands", columns, ARRAY_COUNT(columns));
    for (unsigned table = 0; table < set->table_count; table++) {
        for (unsigned i = 0; i < set->tables[table]->count; i++) {
            const struct command *command = &set->tables[table]->commands[i];
            record_row(call->record);
            record_text(call->record, "grammar", command->grammar);
            record_text(call->record, "kind", kind_name(command->kind));
            record_text(call->record, "role", role_name(command->role));
            record_text(call->record, "help", command->help);
        }
    }
    record_end(call->record);
    return COMMAND_DONE;
}

static enum command_result run_help(struct command_call *call)
{
    static const char *const lines[] = {
        "? lists what may come next, TAB completes it; every word may be cut short.",
        "show ...            tells something;  | match, except, count, head, last, json filter it",
        "interface, ip, ...  statements: applied at once, or after `configure` by `commit`",
        "no STATEMENT        takes it back",
        "show configuration  all statements, as they can be typed and loaded",
        "show commands       everything there is",
        "Keys: arrows, Ctrl-A E B F K U W Y R L; Ctrl-C stops a command, Ctrl-V ? types a ?",
    };
    record_lines(call->record, "lines");
    for (unsigned i = 0; i < ARRAY_COUNT(lines); i++)
        record_text(call->record, NULL, lines[i]);
    record_end(call->record);
    return COMMAND_DONE;
}

/* clang-format off */
static const struct command commands[] = {
    { .grammar = "help", .kind = COMMAND_SESSION, .run = run_help, .help = "a short guide" },
    { .grammar = "configure [terminal]", .kind = COMMAND_SESSION, .role = ROLE_ADMIN, .run = run_configure,
      .help = "edit a candidate, to be applied by `commit`" },
    { .grammar = "commit [{check|and-quit}]", .kind = COMMAND_SESSION, .role = ROLE_ADMIN,
      .run = run_commit, .help = "check the candidate, and apply it" },
    { .grammar = "discard", .kind = COMMAND_SESSION, .role = ROLE_ADMIN, .run = run_discard,
      .help = "make the candidate equal to what is running" },
    { .grammar = "compare", .kind = COMMAND_SESSION, .role = ROLE_ADMIN, .run = run_compare,
      .help = "what `commit` would change" },
    { .grammar = "load {merge|replace} terminal", .kind = COMMAND_SESSION, .role = ROLE_ADMIN,
      .run = run_load, .help = "read statements from here, up to a line `end` or Ctrl-D" },
    { .grammar = "exit", .kind = COMMAND_SESSION, .run = run_exit, .help = "leave configure, or log out" },
    { .grammar = "quit", .kind = COMMAND_SESSION, .run = run_exit, .help = "the same as exit" },
    { .grammar = "end", .kind = COMMAND_SESSION, .run = run_end, .help = "leave configure" },
    { .grammar = "history [<count:1-1000>]", .kind = COMMAND_SESSION, .run = run_history,
      .help = "lines typed before" },
    { .grammar = "terminal length <lines:0-512>", .kind = COMMAND_SESSION, .run = run_terminal_length,
      .help = "lines of a page; 0: do not stop" },
    { .grammar = "terminal width <columns:20-512>", .kind = COMMAND_SESSION, .run = run_terminal_width,
      .help = "characters of a line" },
    { .grammar = "terminal format {text|json}", .kind = COMMAND_SESSION, .run = run_terminal_format,
      .help = "how all answers are printed" },
    { .grammar = "terminal monitor [off]", .kind = COMMAND_SESSION, .run = run_terminal_monitor,
      .help = "show log lines here as they come" },
    { .grammar = "show configuration [<word:STR>]*", .kind = COMMAND_SHOW, .run = run_show_configuration,
      .help = "the configuration as statements, or those that begin so" },
    { .grammar = "show running-config", .kind = COMMAND_SHOW, .run = run_show_configuration,
      .help = "the same as show configuration" },
    { .grammar = "show candidate [<word:STR>]*", .kind = COMMAND_SHOW, .role = ROLE_ADMIN,
      .run = run_show_candidate, .help = "the candidate as statements" },
    { .grammar = "show commands", .kind = COMMAND_SHOW, .run = run_show_commands,
      .help = "all commands" },
};
/* clang-format on */

const struct command_table session_commands = { .commands = commands,
                                                .count = ARRAY_COUNT(commands) };
