/* The answer of a session to a line: in text, what the command says, or a caret and `error: `;
 * after `terminal format json` one line, {"ok":true,"data":...,"ms":0.4} or
 * {"ok":false,"error":{...}}. Private to this folder. */
#pragma once

#include "shell/session.h"

/* Makes the record and the pipe of a command; pipes begins with the first bar, at `column` of the
 * line. */
enum error answer_begin(struct session *session, const char *pipes, size_t length, unsigned column,
                        struct problem *problem) MUST_CHECK;
/* The command is done, or has failed (problem not NULL). */
void answer_end(struct session *session, const struct problem *problem);
void answer_drop(struct session *session); /* frees what answer_begin() made */

/* The whole answer to a line that came to no command. `shift`: column of the screen where the line
 * begins. */
void answer_problem(struct session *session, const struct problem *problem, unsigned shift);
/* Done, and nothing to say but a note, if that is not "". */
void answer_ok(struct session *session, const char *note);
