/* What `?` and TAB say about the line that is being typed. Private to this folder. */
#pragma once

#include "shell/session.h"

void hints_show(struct session *session);     /* ? */
void hints_complete(struct session *session); /* TAB */

/* Behind `do ` or `run ` at the beginning of a line; 0 where there is none. */
size_t spoken_prefix(const char *text, size_t length);
