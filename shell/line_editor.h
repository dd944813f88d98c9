/* Editing one line on a terminal, with history. Needs of the terminal: BS, CR, and CSI A B C J;
 * asks it nothing, so a plain serial line will do. A character typed at the end of the line is
 * echoed and nothing else, so that a script sees what it sent. */
#pragma once

#include "shell/command.h"
#include "shell/output.h"

enum {
    EDITOR_PROMPT_MAX = 96,
    EDITOR_HISTORY_BYTES = 8 << 10, /* the oldest lines go first */
    EDITOR_COLUMNS_MIN = 20,
};

enum editor_event {
    EDITOR_NONE,
    EDITOR_LINE,     /* Enter: line, length, loss */
    EDITOR_HELP,     /* ? */
    EDITOR_COMPLETE, /* TAB */
    EDITOR_CANCEL,   /* Ctrl-C: the line is dropped */
    EDITOR_LEAVE,    /* Ctrl-Z */
    EDITOR_END,      /* Ctrl-D on an empty line */
};

/* What the line lacks of what was typed. A line that lacks something means something else. */
enum editor_loss {
    LOSS_NONE,
    LOSS_TOO_LONG,
    LOSS_NOT_ASCII, /* letters with accents, typographic quotes and the like */
};

struct line_editor {
    struct sink screen;
    unsigned columns;
    /* The line being edited. */
    char line[LINE_BYTES_MAX + 1]; /* ends in 0 */
    unsigned length, cursor;
    enum editor_loss loss;
    bool hidden; /* a secret: no echo, no history */
    char prompt[EDITOR_PROMPT_MAX];
    unsigned prompt_length;
    /* Where the terminal's cursor is, counted from the prompt's first column. */
    unsigned at;
    bool at_edge; /* behind the last column: the terminal wraps at the next character */
    /* Keys that are several bytes. */
    uint8_t escape; /* enum escape_state */
    uint8_t parameter;
    bool literal;      /* Ctrl-V: the next one as it is */
    bool after_return; /* CR LF is one key */
    char killed[LINE_BYTES_MAX + 1];
    /* History: lines that end in 0, oldest first. */
    char history[EDITOR_HISTORY_BYTES];
    unsigned history_length, history_count;
    unsigned history_back; /* 0: the line itself, n: the n-th newest */
    char draft[LINE_BYTES_MAX + 1];
    bool searching;
    char pattern[64];
    unsigned pattern_length;
};

void editor_init(struct line_editor *editor, struct sink screen, unsigned columns);
void editor_start(struct line_editor *editor, const char *prompt,
                  bool hidden); /* a new, empty line */
enum editor_event editor_key(struct line_editor *editor, char byte);

void editor_insert(struct line_editor *editor, const char *text, unsigned length);
/* Something else is to be printed: goes to a fresh line below what is typed. */
void editor_suspend(struct line_editor *editor);
void editor_resume(struct line_editor *editor); /* prompt and line once more */
void editor_wipe(struct line_editor *editor);   /* takes prompt and line off the screen */

void editor_remember(struct line_editor *editor, const char *line, unsigned length);
void editor_forget(struct line_editor *editor); /* history, and what was cut */
/* The n-th newest line, from 1; NULL where there are fewer. */
const char *editor_history(const struct line_editor *editor, unsigned back);
