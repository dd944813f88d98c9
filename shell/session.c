/* What a session does with what is typed, and how its answers reach the terminal. The picture is in
 * session.h. */
#include "shell/session.h"

#include <string.h>

#include "kernel/base/log.h"
#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "net/control.h"
#include "net/router.h"
#include "shell/answer.h"
#include "shell/config_text.h"
#include "shell/hints.h"
#include "shell/parse.h"
#include "shell/secret.h"

enum {
    KEYS_PER_POLL = 256,
    KEY_CTRL_C = 3,
    KEY_RETURN = 13,
    POLL_SLOW_TERMINAL_NS = 1 * NS_PER_MS,
};

const struct config *session_running_config(const struct session *session)
{
    return session->shell->router->config;
}

/* ---- The prompt -------------------------------------------------------------------------------
 */

static void prompt(struct session *session)
{
    char text[EDITOR_PROMPT_MAX];
    text_format(text, sizeof(text), "%s%s%s%c ", session_running_config(session)->name,
                session->candidate ? "(config)" : "", session->dirty ? "*" : "",
                session->role == ROLE_VIEW ? '>' : '#');
    session->state = SESSION_READY;
    editor_start(&session->editor, text, false);
}

static bool login_needed(const struct session *session)
{
    const struct config *config = session_running_config(session);
    enum console_kind kind = session->terminal.kind;
    return kind >= CONSOLE_KIND_COUNT || config->console_login[kind];
}

static void ask_name(struct session *session)
{
    char text[EDITOR_PROMPT_MAX];
    text_format(text, sizeof(text), "%s login: ", session_running_config(session)->name);
    session->state = SESSION_NAME;
    editor_start(&session->editor, text, false);
}

/* The next to log in here finds nothing of what this one typed and set. */
static void log_out(struct session *session)
{
    session->logging_out = false;
    session->role = ROLE_VIEW;
    session->json = session->json_after = session->monitor = false;
    session->pager.rows = session->terminal.rows;
    editor_forget(&session->editor);
    ask_name(session);
}

static void welcome(struct session *session)
{
    if (login_needed(session)) {
        ask_name(session);
        return;
    }
    session->role = ROLE_ADMIN;
    prompt(session);
}

void session_close(struct session *session)
{
    if (session->candidate) {
        config_destroy(session->candidate);
        session->candidate = NULL;
        session->dirty = false;
    } else if (session->terminal.kind >= CONSOLE_KIND_COUNT) {
        session->closing = true;
    } else {
        session->logging_out = login_needed(session);
    }
}

/* ---- Running a line ----------------------------------------------------------------------------
 */

static void forget_call(struct session *session)
{
    struct command_call *call = &session->call;
    if (call->memory && call->forget)
        call->forget(call->memory);
    else
        memory_free(call->memory);
    call->memory = NULL;
}

static void end_command(struct session *session, const struct problem *problem)
{
    forget_call(session);
    answer_end(session, problem);
    session->state = SESSION_ENDING;
}

/* Calls the command once. */
static void step_command(struct session *session, uint64_t now_ns)
{
    struct command_call *call = &session->call;
    bool last = call->interrupted || pipe_is_satisfied(session->pipe);
    call->interrupted = last;
    call->now_ns = now_ns;
    call->wake_ns = 0;
    record_set_full(session->record, output_waiting(&session->output) >= OUTPUT_HIGH_BYTES);
    switch (call->line->command->run(call)) {
    case COMMAND_AGAIN:
        if (last)
            end_command(session, NULL);
        else
            record_flush(session->record);
        break;
    case COMMAND_DONE:
        end_command(session, NULL);
        break;
    case COMMAND_FAILED:
        end_command(session, &call->problem);
        break;
    }
}

enum command_result command_failed(struct command_call *call, const char *id,
                                   const struct argument *argument, const char *format, ...)
{
    char words[sizeof(call->problem.text)];
    struct text text = text_of(words, sizeof(words));
    va_list args;
    va_start(args, format);
    text_print_args(&text, format, args);
    va_end(args);
    problem_set(&call->problem, id, argument, "%s", words);
    return COMMAND_FAILED;
}

/* What a commit is refused for begins with the statement, up to the word that is wrong: "ip filter
 * 10 in eth9: there is no such interface". Where that word was typed, it is shown. */
static void place_problem(const struct parsed_line *line, struct problem *problem)
{
    const char *end = strstr(problem->text, ": "), *start = end;

    if (problem->column >= 0 || !end)
        return;
    while (start > problem->text && start[-1] != ' ')
        start--;
    for (unsigned i = line->argument_count; i-- > 0;) {
        const struct argument *argument = &line->arguments[i];
        if (strlen(argument->text) == (size_t)(end - start) &&
            memcmp(argument->text, start, (size_t)(end - start)) == 0) {
            problem->column = (int)argument->column;
            return;
        }
    }
}

/* A statement: into the candidate, or at once into the running configuration. */
static enum error run_statement(struct session *session, struct commit_report *report,
                                struct problem *problem)
{
    struct shell *shell = session->shell;
    const struct config *base =
        session->candidate ? session->candidate : session_running_config(session);
    struct config *next;
    enum error error = config_with_line(&shell->commands, base, &session->line, &next, problem);
    if (error)
        return error;
    if (!session->candidate) {
        error = shell_commit(shell, next, report, problem);
        if (error)
            place_problem(&session->line, problem);
        return error;
    }
    config_destroy(session->candidate);
    session->candidate = next;
    session->dirty = !config_equal(next, session_running_config(session));
    return OK;
}

static bool line_has_secret(const struct parsed_line *line)
{
    for (unsigned i = 0; i < line->argument_count; i++) {
        if (line->arguments[i].type == TOKEN_SECRET)
            return true;
    }
    return false;
}

static enum error refuse(struct problem *problem, const char *id, const char *text)
{
    problem_set(problem, id, NULL, "%s", text);
    return fail(ERROR_BAD_VALUE);
}

/* From the line to session->line and, for a command, its answer begun. */
static enum error understand(struct session *session, const char *text, size_t length,
                             struct problem *problem)
{
    size_t bar = line_find_bar(text, length, 0);
    /* Verbs work inside `configure`; who is used to say `do` or `run` there may. */
    size_t skip = session->candidate ? spoken_prefix(text, bar) : 0;
    enum error error = parse_line(&session->shell->commands, text + skip, bar - skip, PARSE_TYPED,
                                  &session->line, problem);
    if (error) {
        if (problem->column >= 0)
            problem->column += (int)skip;
        return error;
    }
    const struct command *command = session->line.command;
    if (command->role > session->role)
        return refuse(problem, "not-allowed", "your login may not do that");
    bool absent = command->only_in_test && !session->shell->commands.test;
    if (absent)
        return refuse(problem, "unknown-command", "this is there with `test` at the boot only");
    if (command->kind != COMMAND_STATEMENT)
        return answer_begin(session, text + bar, length - bar, (unsigned)bar, problem);
    if (bar < length)
        return refuse(problem, "bad-pipe", "a statement has no answer to filter");
    return OK;
}

static void begin_command(struct session *session)
{
    session->call = (struct command_call){ .router = session->shell->router,
                                           .session = session,
                                           .line = &session->line,
                                           .record = session->record };
    session->state = SESSION_RUNNING;
    struct pager *pager = &session->pager;
    pager->active = pager->rows > 1 && !session->json && !session->plain_json &&
                    !pipe_wants_no_pages(session->pipe);
    pager->row = pager->column = 0;
    pager->quit = false;
    pager->uncounted = output_waiting(&session->output);
}

static void execute(struct session *session, const char *text, size_t length, uint64_t now_ns)
{
    unsigned shift = session->editor.prompt_length;
    struct commit_report report = { .note = "" };
    struct problem problem;
    session->started_ns = clock_ns();
    session->state = SESSION_ENDING;
    session->pager.active = false;
    if (line_is_blank(text, length))
        return;
    enum error error = understand(session, text, length, &problem);
    bool secret = !error && line_has_secret(&session->line);
    if (!secret)
        editor_remember(&session->editor, text, (unsigned)length);
    if (!error && session->line.command->kind != COMMAND_STATEMENT) {
        begin_command(session);
        step_command(session, now_ns);
        return;
    }
    if (!error)
        error = run_statement(session, &report, &problem);
    if (error)
        answer_problem(session, &problem, shift);
    else
        answer_ok(session, report.note);
}

/* ---- Loading a text -----------------------------------------------------------------------------
 */

void loss_tell(enum editor_loss loss, struct problem *problem)
{
    if (loss == LOSS_TOO_LONG)
        problem_set(problem, "too-long", NULL, "a line has at most %d characters", LINE_BYTES_MAX);
    else if (loss == LOSS_NOT_ASCII)
        problem_set(problem, "not-ascii", NULL,
                    "only ASCII characters may stand here, others as \\xHH in \"quotes\"");
    else
        problem_set(problem, "full", NULL, "more text than fits");
}

/* A comment may lack what it wants. */
static bool is_whole(const struct line_editor *editor)
{
    return editor->loss == LOSS_NONE || line_is_blank(editor->line, editor->length);
}

void session_load_begin(struct session *session, bool replace)
{
    session->state = SESSION_LOADING;
    session->load_replace = replace;
    session->load_length = 0;
    session->load_line = session->load_bad_line = 0;
    struct sink sink = output_sink(&session->output);
    if (!session->json)
        sink_print(&sink, "a line `end` or Ctrl-D ends the text, Ctrl-C gives up\n");
    editor_start(&session->editor, "", false);
}

static bool load_append(struct session *session, const char *text, size_t length)
{
    if (session->load_room - session->load_length < length + 1) {
        size_t room = MAX_OF(session->load_room * 2, (size_t)LINE_BYTES_MAX * 4);
        char *bytes = room > SESSION_LOAD_MAX ? NULL : memory_alloc(room, 0, MEMORY_SHELL);
        if (!bytes)
            return false;
        if (session->load_length > 0)
            memcpy(bytes, session->load_text, session->load_length);
        memory_free(session->load_text);
        session->load_text = bytes;
        session->load_room = room;
    }
    memcpy(session->load_text + session->load_length, text, length);
    session->load_length += length;
    session->load_text[session->load_length++] = '\n';
    return true;
}

/* The handler of `load` is called again when the text is complete, or given up. */
static void load_end(struct session *session, bool given_up)
{
    session->call.interrupted = given_up;
    session->call.cursor = 1;
    session->state = SESSION_RUNNING;
}

static void load_line(struct session *session)
{
    const char *line = session->editor.line;
    session->load_line++;
    if (strcmp(line, ".") == 0 || strcmp(line, "end") == 0) {
        load_end(session, false);
        return;
    }
    const struct line_editor *editor = &session->editor;
    bool whole = is_whole(editor);
    bool kept = whole && load_append(session, line, editor->length);
    if (!kept && session->load_bad_line == 0) {
        session->load_bad_line = session->load_line;
        session->load_loss = whole ? LOSS_NONE : editor->loss;
    }
    editor_start(&session->editor, "", false);
}

/* ---- Logging in
 * ---------------------------------------------------------------------------------- */

static const struct config_login *find_login(const struct session *session)
{
    const struct config *config = session_running_config(session);
    for (unsigned i = 0; i < config->login_count; i++) {
        if (strcmp(config->logins[i].name, session->user) == 0)
            return &config->logins[i];
    }
    return NULL;
}

static void check_password(struct session *session, uint64_t now_ns)
{
    /* An unknown name takes as long as a wrong password. */
    static const char nobody[] = "$s$1000$00000000000000000000000000000000$"
                                 "0000000000000000000000000000000000000000000000000000000000000000";
    const struct config_login *login = find_login(session);
    bool good = secret_matches(login ? login->secret : nobody, session->editor.line);
    memset(session->editor.line, 0, sizeof(session->editor.line));
    if (login && good && session->editor.loss == LOSS_NONE) {
        session->role = (enum role)login->role;
        log_info("login", "%s on %s", session->user, session->terminal.name);
        prompt(session);
        return;
    }
    log_warning("login", "wrong name or password on %s", session->terminal.name);
    struct problem problem;
    problem_set(&problem, "login", NULL, "login incorrect");
    answer_problem(session, &problem, 0);
    session->login_after_ns = now_ns + (uint64_t)LOGIN_DELAY_S * NS_PER_S;
    ask_name(session);
}

/* ---- Keys
 * ----------------------------------------------------------------------------------------- */

static void ready_event(struct session *session, enum editor_event event, uint64_t now_ns)
{
    struct problem problem;
    switch (event) {
    case EDITOR_LINE:
        if (is_whole(&session->editor)) {
            execute(session, session->editor.line, session->editor.length, now_ns);
            return;
        }
        loss_tell(session->editor.loss, &problem);
        answer_problem(session, &problem, 0);
        break;
    case EDITOR_HELP:
        hints_show(session);
        return;
    case EDITOR_COMPLETE:
        hints_complete(session);
        return;
    case EDITOR_END:
        execute(session, "exit", 4, now_ns);
        return;
    case EDITOR_LEAVE:
        if (session->candidate) {
            execute(session, "end", 3, now_ns);
            return;
        }
        break;
    default:
        break;
    }
    prompt(session);
}

static void login_event(struct session *session, enum editor_event event, uint64_t now_ns)
{
    if (event != EDITOR_LINE) {
        if (event == EDITOR_END && session->terminal.kind >= CONSOLE_KIND_COUNT)
            session->state = SESSION_CLOSED;
        else if (event != EDITOR_HELP && event != EDITOR_COMPLETE)
            ask_name(session);
        return;
    }
    if (session->state == SESSION_PASSWORD) {
        check_password(session, now_ns);
        return;
    }
    text_format(session->user, sizeof(session->user), "%s", session->editor.line);
    session->state = SESSION_PASSWORD;
    editor_start(&session->editor, "password: ", true);
}

static void loading_event(struct session *session, enum editor_event event)
{
    switch (event) {
    case EDITOR_LINE:
        load_line(session);
        break;
    case EDITOR_HELP: /* part of the text, like everything else */
        editor_insert(&session->editor, "?", 1);
        break;
    case EDITOR_COMPLETE:
        editor_insert(&session->editor, " ", 1);
        break;
    default:
        load_end(session, event != EDITOR_END);
    }
}

static void key(struct session *session, char byte, uint64_t now_ns)
{
    enum editor_event event = editor_key(&session->editor, byte);
    if (event == EDITOR_NONE)
        return;
    switch (session->state) {
    case SESSION_READY:
        ready_event(session, event, now_ns);
        break;
    case SESSION_LOADING:
        loading_event(session, event);
        break;
    default:
        login_event(session, event, now_ns);
    }
}

static char take_typed(struct session *session)
{
    char byte = session->typed[session->typed_start];
    session->typed_start = (session->typed_start + 1) % SESSION_TYPED_BYTES;
    session->typed_count--;
    return byte;
}

static bool reads_keys(const struct session *session, uint64_t now_ns)
{
    if (session->typed_count == 0 || output_waiting(&session->output) >= OUTPUT_HIGH_BYTES)
        return false;
    switch (session->state) {
    case SESSION_READY:
    case SESSION_LOADING:
        return true;
    case SESSION_NAME:
    case SESSION_PASSWORD:
        return now_ns >= session->login_after_ns;
    default:
        return false;
    }
}

static bool read_terminal(struct session *session)
{
    bool any = false;
    while (session->typed_count < SESSION_TYPED_BYTES) {
        unsigned end = (session->typed_start + session->typed_count) % SESSION_TYPED_BYTES;
        size_t room = MIN_OF(SESSION_TYPED_BYTES - session->typed_count, SESSION_TYPED_BYTES - end);
        size_t count =
            session->terminal.read(session->terminal.context, session->typed + end, room);
        if (count == 0)
            break;
        CHECK(count <= room);
        session->typed_count += (unsigned)count;
        any = true;
    }
    return any;
}

static bool all_sent(const struct session *session)
{
    return output_waiting(&session->output) == 0 && session->sending_start == session->sending_end;
}

/* While a command runs or its answer goes out, only Ctrl-C means something; what was typed before
 * it is dropped with it. */
static bool take_interrupt(struct session *session)
{
    for (unsigned i = 0; i < session->typed_count; i++) {
        unsigned at = (session->typed_start + i) % SESSION_TYPED_BYTES;
        if (session->typed[at] != KEY_CTRL_C)
            continue;
        session->typed_start = (at + 1) % SESSION_TYPED_BYTES;
        session->typed_count -= i + 1;
        return true;
    }
    return false;
}

static void look_for_interrupt(struct session *session)
{
    if (!take_interrupt(session))
        return;
    session->call.interrupted = true;
    session->call.wake_ns = 0;
    if (!session->json)
        output_put(&session->output, "^C\n", 3);
}

/* The answer is complete, but a slow line is still busy with it. */
static void look_for_enough(struct session *session)
{
    if (all_sent(session) || !take_interrupt(session))
        return;
    output_taken(&session->output, output_waiting(&session->output));
    output_put(&session->output, session->json ? "\n" : "^C\n", session->json ? 1 : 3);
}

/* ---- Out
 * ------------------------------------------------------------------------------------------ */

static void send(struct session *session, const char *bytes, unsigned length)
{
    CHECK(sizeof(session->sending) - session->sending_end >= length);
    memcpy(session->sending + session->sending_end, bytes, length);
    session->sending_end += length;
}

/* Counts the rows of the page; true when it is full. */
static bool page_full(struct session *session, char next)
{
    struct pager *pager = &session->pager;
    if (!pager->active)
        return false;
    if (pager->uncounted > 0) {
        pager->uncounted--;
        return false;
    }
    if (pager->row >= pager->rows - 1)
        return true;
    pager->column = next == '\n' ? 0 : pager->column + 1;
    if (next == '\n' || pager->column % session->columns == 0)
        pager->row++;
    return false;
}

/* Some of the output into `sending`, with CR before LF. */
static void fill_sending(struct session *session)
{
    static const char more[] = "--More-- ";
    struct output *output = &session->output;
    session->sending_start = session->sending_end = 0;
    if (session->pager.quit)
        output_taken(output, output_waiting(output));
    size_t taken = 0, waiting = output_waiting(output);
    while (taken < waiting && session->sending_end + 2 <= sizeof(session->sending) - sizeof(more)) {
        char c = output->bytes[output->start + taken];
        if (page_full(session, c)) {
            send(session, more, sizeof(more) - 1);
            session->pager.waiting = true;
            break;
        }
        if (c == '\n')
            send(session, "\r", 1);
        send(session, &c, 1);
        taken++;
    }
    output_taken(output, taken);
}

static bool write_terminal(struct session *session)
{
    bool any = false;
    for (;;) {
        if (session->sending_start == session->sending_end) {
            if (session->pager.waiting)
                return any;
            fill_sending(session);
        }
        unsigned length = session->sending_end - session->sending_start;
        if (length == 0)
            return any;
        size_t took = session->terminal.write(session->terminal.context,
                                              session->sending + session->sending_start, length);
        CHECK(took <= length);
        session->sending_start += (unsigned)took;
        any = any || took > 0;
        if (took < length)
            return any;
    }
}

static void pager_key(struct session *session, char byte)
{
    struct pager *pager = &session->pager;
    if (byte == ' ')
        pager->row = 0;
    else if (byte == KEY_RETURN || byte == '\n')
        pager->row = pager->rows - 2;
    else if (byte == 'q' || byte == 'Q' || byte == KEY_CTRL_C)
        pager->quit = true;
    else
        return;
    pager->waiting = false;
    if (pager->quit && session->state == SESSION_RUNNING)
        session->call.interrupted = true;
    session->sending_start = session->sending_end = 0;
    send(session, "\r\033[K", 4);
}

void session_skip_log(struct session *session)
{
    struct log_entry entry;
    while (log_next(session->shell->router, session->log_seen, &entry))
        continue;
}

/* New log entries, for who asked by `terminal monitor`, above the line that is being typed. */
static bool show_log(struct session *session)
{
    struct log_entry entry;
    if (!session->monitor || session->state != SESSION_READY ||
        !log_next(session->shell->router, session->log_seen, &entry))
        return false;
    struct sink sink = output_sink(&session->output);
    editor_wipe(&session->editor);
    sink_print(&sink, "%s %s: %s\n", log_level_name(entry.level), entry.subject, entry.text);
    editor_resume(&session->editor);
    return true;
}

static void after_answer(struct session *session)
{
    session->pager.active = session->pager.quit = false;
    session->json = session->json_after;
    if (session->closing) {
        session->state = SESSION_CLOSED;
    } else if (session->logging_out) {
        log_out(session);
    } else {
        prompt(session);
    }
}

bool session_poll(struct session *session, uint64_t now_ns)
{
    session->now_ns = now_ns;
    bool any = read_terminal(session);
    if (session->pager.waiting && session->typed_count > 0 &&
        session->sending_start == session->sending_end) {
        pager_key(session, take_typed(session));
        any = true;
    }
    if (session->state == SESSION_RUNNING && !session->pager.waiting) {
        look_for_interrupt(session);
        bool due = now_ns >= session->call.wake_ns;
        if (due && output_waiting(&session->output) < OUTPUT_HIGH_BYTES) {
            step_command(session, now_ns);
            any = true;
        }
    }
    if (session->state == SESSION_ENDING && !session->pager.waiting)
        look_for_enough(session);
    any = write_terminal(session) || any;
    if (session->state == SESSION_ENDING && all_sent(session))
        after_answer(session);
    for (unsigned i = 0; i < KEYS_PER_POLL && reads_keys(session, now_ns); i++) {
        key(session, take_typed(session), now_ns);
        any = true;
    }
    any = show_log(session) || any;
    return write_terminal(session) || any;
}

uint64_t session_deadline(const struct session *session)
{
    if (session->pager.waiting)
        return UINT64_MAX;
    if (!all_sent(session))
        return session->now_ns + POLL_SLOW_TERMINAL_NS;
    if (session->state == SESSION_RUNNING)
        return session->call.wake_ns;
    if (session->login_after_ns > session->now_ns)
        return session->login_after_ns;
    return UINT64_MAX;
}

enum error session_create(struct shell *shell, const struct terminal_io *terminal,
                          struct session **out)
{
    struct session *session = memory_alloc(sizeof(*session), 0, MEMORY_SHELL);
    if (!session)
        return fail(ERROR_NO_MEMORY);
    session->shell = shell;
    session->terminal = *terminal;
    session->columns = terminal->columns ? terminal->columns : SESSION_COLUMNS_DEFAULT;
    session->pager.rows = terminal->rows;
    if (output_init(&session->output) != OK) {
        memory_free(session);
        return fail(ERROR_NO_MEMORY);
    }
    editor_init(&session->editor, output_sink(&session->output), session->columns);
    welcome(session);
    *out = session;
    return OK;
}

void session_destroy(struct session *session)
{
    forget_call(session);
    answer_drop(session);
    config_destroy(session->candidate);
    memory_free(session->load_text);
    output_destroy(&session->output);
    memory_free(session);
}
