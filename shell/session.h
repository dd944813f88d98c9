/* A session: one console, one person or program. Private to this folder.
 *
 *   bytes in -> typed -> line editor -> parse -> command -> record -> pipe -> output -> pager ->
 * bytes out
 *
 * session_poll() does a little of all of it and never waits; so a command that goes on for long, a
 * reader that is slow, and a page that is being read each hold up their own console only. */
#pragma once

#include "kernel/base/timer_wheel.h"
#include "net/config.h"
#include "shell/command.h"
#include "shell/line_editor.h"
#include "shell/output.h"
#include "shell/pipe.h"
#include "shell/record_printer.h"
#include "shell/shell.h"

enum {
    SESSION_TYPED_BYTES = 4096,          /* typed ahead; beyond, the terminal has to wait */
    SESSION_LOAD_MAX = OUTPUT_MAX_BYTES, /* what `show configuration` printed can be loaded */
    SESSION_COLUMNS_DEFAULT = 80,
    LOGIN_DELAY_S = 2, /* after a wrong password */
};

enum session_state {
    SESSION_CLOSED,
    SESSION_NAME, /* asks who it is */
    SESSION_PASSWORD,
    SESSION_READY,   /* at the prompt */
    SESSION_RUNNING, /* a command */
    SESSION_ENDING,  /* its answer is still going out */
    SESSION_LOADING, /* lines of `load ... terminal` */
};

/* The screen, where a person reads page by page. */
struct pager {
    unsigned rows;        /* `terminal length`; 0: no paging */
    bool active;          /* for the answer that is going out */
    bool waiting;         /* --More-- is shown */
    bool quit;            /* the reader has seen enough: the rest is dropped */
    size_t uncounted;     /* bytes of the echo that are still in front of the answer */
    unsigned row, column; /* of this page */
};

struct session {
    struct shell *shell;
    struct terminal_io terminal;
    enum session_state state;
    char user[32];
    enum role role;
    /* What `terminal` sets. */
    unsigned columns;
    bool json;
    bool json_after; /* from the next line on */
    bool monitor;
    struct pager pager;
    /* What `configure` opened; NULL: at the operational prompt. */
    struct config *candidate;
    bool dirty;
    uint64_t candidate_base; /* shell->generation then */
    /* In. */
    char typed[SESSION_TYPED_BYTES];
    unsigned typed_start, typed_count;
    struct line_editor editor;
    uint64_t now_ns;
    uint64_t login_after_ns;
    bool logging_out, closing; /* when the answer to `exit` is out */
    /* The command that runs. */
    struct parsed_line line;
    struct command_call call;
    struct record *record;
    struct pipe *pipe;
    bool head_sent;     /* {"ok":true,"data": */
    bool plain_json;    /* `| json` on a console in text format */
    bool lines_as_json; /* filtered lines, inside of a JSON answer */
    bool line_open;     /* ... in the middle of one */
    bool any_line;
    uint64_t started_ns;
    /* load ... terminal */
    char *load_text;
    size_t load_length, load_room;
    bool load_replace;
    unsigned load_line, load_bad_line; /* which one lacks something; 0: none */
    enum editor_loss load_loss;        /* what it lacks; LOSS_NONE: there was no room for it */
    /* Out. */
    struct output output;
    char sending[256]; /* with CR LF, on its way to the terminal */
    unsigned sending_start, sending_end;
    uint64_t log_seen[CORE_MAX];
};

struct shell {
    struct router *router;
    struct command_set commands;
    enum error (*check)(struct router *router, const struct config *next,
                        struct commit_report *report);
    enum error (*commit)(struct router *router, struct config *next, struct commit_report *report);
    uint64_t generation;  /* commits so far */
    struct timer wake_up; /* for the running command that wants it first */
    struct session *sessions[SESSION_MAX];
};

enum error session_create(struct shell *shell, const struct terminal_io *terminal,
                          struct session **out) MUST_CHECK;
void session_destroy(struct session *session);
bool session_poll(struct session *session, uint64_t now_ns); /* true: something was done */
uint64_t session_deadline(const struct session *session);

/* For commands about the session itself. */
void session_close(struct session *session);
void session_skip_log(struct session *session); /* what is in the log now is not news */
void loss_tell(enum editor_loss loss, struct problem *problem);
void session_load_begin(struct session *session, bool replace);
const struct config *session_running_config(const struct session *session);

/* Commits `next`, which is taken in any case. */
enum error shell_commit(struct shell *shell, struct config *next, struct commit_report *report,
                        struct problem *problem) MUST_CHECK;
enum error shell_check(struct shell *shell, const struct config *next, struct commit_report *report,
                       struct problem *problem) MUST_CHECK;

/* The oldest log entry of any core behind those in seen[], which it then counts as seen. */
bool log_next(const struct router *router, uint64_t seen[CORE_MAX], struct log_entry *out);

/* What `?` says of a keyword that begins several commands; "" where there is nothing to say. */
const char *word_help(const char *word);
