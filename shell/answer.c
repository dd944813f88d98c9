/* How answers are wrapped. The head of a JSON answer waits for the first byte of its data, since a
 * command that fails must not have said "ok" before. */
#include "shell/answer.h"

#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"

static void head(struct session *session)
{
    if (!session->json || session->head_sent)
        return;
    session->head_sent = true;
    struct sink sink = output_sink(&session->output);
    sink_print(&sink, "{\"ok\":true,\"data\":%s", session->lines_as_json ? "{\"lines\":[" : "");
}

/* What comes out of the pipe, line by line, as an array of strings. */
static void put_json_lines(struct session *session, const char *bytes, size_t length)
{
    struct sink sink = output_sink(&session->output);
    for (size_t i = 0; i < length; i++) {
        if (!session->line_open)
            sink_print(&sink, "%s\"", session->any_line ? "," : "");
        session->any_line = true;
        session->line_open = bytes[i] != '\n';
        if (session->line_open)
            json_escape(&sink, bytes + i, 1);
        else
            sink_put(&sink, "\"", 1);
    }
}

static void put(void *context, const char *bytes, size_t length)
{
    struct session *session = context;
    head(session);
    if (session->lines_as_json)
        put_json_lines(session, bytes, length);
    else
        output_put(&session->output, bytes, length);
}

enum error answer_begin(struct session *session, const char *pipes, size_t length, unsigned column,
                        struct problem *problem)
{
    struct sink sink = { .put = put, .context = session };
    enum error error = pipe_create(pipes, length, column, &sink, &session->pipe, problem);
    if (error)
        return error;
    /* Filters work on text: in a JSON answer their lines become strings. */
    bool filtered = session->pipe && pipe_filters(session->pipe);
    session->head_sent = session->line_open = session->any_line = false;
    session->lines_as_json = session->json && filtered;
    bool json = pipe_wants_json(session->pipe) || (session->json && !filtered);
    if (filtered)
        sink = pipe_sink(session->pipe);
    session->record = record_create(json ? RECORD_FORMAT_JSON : RECORD_FORMAT_TEXT, sink);
    if (session->record) {
        session->plain_json = json && !session->json;
        return OK;
    }
    answer_drop(session);
    problem_set(problem, "no-memory", NULL, "out of memory");
    return fail(ERROR_NO_MEMORY);
}

void answer_drop(struct session *session)
{
    record_destroy(session->record);
    pipe_destroy(session->pipe);
    session->record = NULL;
    session->pipe = NULL;
}

/* Shown, and decides nothing: the one place here that looks at the clock by itself. */
static void tail(struct session *session)
{
    struct sink sink = output_sink(&session->output);
    unsigned long long tenths = (clock_ns() - session->started_ns) / (NS_PER_MS / 10);
    sink_print(&sink, ",\"ms\":%llu.%llu}\n", tenths / 10, tenths % 10);
}

static void put_error_object(struct session *session, const struct problem *problem)
{
    struct sink sink = output_sink(&session->output);
    sink_print(&sink, "\"error\":{\"id\":\"%s\",\"text\":", problem->id);
    json_string(&sink, problem->text, strlen(problem->text));
    if (problem->line > 0)
        sink_print(&sink, ",\"line\":%u", problem->line);
    if (problem->column >= 0)
        sink_print(&sink, ",\"column\":%d", problem->column + 1);
    sink_put(&sink, "}", 1);
}

static void put_error_text(struct session *session, const struct problem *problem)
{
    struct sink sink = output_sink(&session->output);
    if (problem->line > 0 && problem->column >= 0)
        sink_print(&sink, "error: line %u, column %d: %s\n", problem->line, problem->column + 1,
                   problem->text);
    else if (problem->line > 0)
        sink_print(&sink, "error: line %u: %s\n", problem->line, problem->text);
    else
        sink_print(&sink, "error: %s\n", problem->text);
}

static void put_caret(struct session *session, const struct problem *problem, unsigned shift)
{
    if (problem->line > 0 || problem->column < 0)
        return;
    struct sink sink = output_sink(&session->output);
    sink_spaces(&sink, ((unsigned)problem->column + shift) % session->columns);
    sink_put(&sink, "^\n", 2);
}

void answer_problem(struct session *session, const struct problem *problem, unsigned shift)
{
    struct sink sink = output_sink(&session->output);
    if (!session->json) {
        put_caret(session, problem, shift);
        put_error_text(session, problem);
        return;
    }
    sink_print(&sink, "{\"ok\":false,");
    put_error_object(session, problem);
    sink_put(&sink, "}\n", 2);
}

void answer_ok(struct session *session, const char *note)
{
    struct sink sink = output_sink(&session->output);
    if (!session->json) {
        if (note[0] != '\0')
            sink_print(&sink, "note: %s\n", note);
        return;
    }
    sink_print(&sink, "{\"ok\":true,\"data\":{");
    if (note[0] != '\0') {
        sink_print(&sink, "\"note\":");
        json_string(&sink, note, strlen(note));
    }
    sink_put(&sink, "}", 1);
    tail(session);
}

/* Closes what the record and the pipe have open. */
static void end_data(struct session *session)
{
    struct sink sink = output_sink(&session->output);
    record_finish(session->record);
    if (session->pipe)
        pipe_finish(session->pipe);
    head(session);
    if (session->lines_as_json)
        sink_put(&sink, "]}", 2);
}

void answer_end(struct session *session, const struct problem *problem)
{
    struct sink sink = output_sink(&session->output);
    unsigned shift = session->editor.prompt_length;
    if (problem && !session->head_sent) {
        answer_problem(session, problem, shift);
    } else if (session->json) {
        end_data(session);
        if (problem) {
            sink_put(&sink, ",", 1);
            put_error_object(session, problem);
        }
        tail(session);
    } else {
        end_data(session);
        if (session->plain_json && !pipe_filters(session->pipe)) /* filters end their lines */
            sink_put(&sink, "\n", 1);
        if (problem)
            answer_problem(session, problem, shift);
    }
    if (session->output.lost) {
        struct problem cut;
        session->output.lost = false;
        problem_set(&cut, "cut", NULL, "the answer was cut, it is too long or memory is short");
        answer_problem(session, &cut, 0);
    }
    answer_drop(session);
}
