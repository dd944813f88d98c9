/* Which Tsuji this is, as the Makefile says. */
#pragma once

const char *tsuji_version(void); /* "0.1" */
const char *tsuji_commit(void);  /* "775f705abcde", or "unknown" */
const char *tsuji_build(void);   /* "release" or "debug" */
