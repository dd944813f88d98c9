/* Values of a line: from a word to what it means and back to its canonical form. Pure. */
#pragma once

#include "kernel/base/text.h"
#include "shell/grammar.h"

/* True: fills in type, number, prefix, mac, and prints the canonical form. False: `why` says what
 * is wrong, "" where there is nothing better to say than what was expected. `quoted`: the word was
 * in quotes, which only strings may be. */
bool value_parse(const struct grammar_word *word, const char *text, size_t length, bool quoted,
                 struct argument *argument, struct text *canonical, struct text *why) MUST_CHECK;

/* 90 s is "90s", 120 s is "2m". */
void print_time(struct text *out, uint64_t seconds);
