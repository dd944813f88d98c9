/* Values of a line: from a word to what it means and back to its canonical form. Pure. */
#pragma once

#include "kernel/base/text.h"
#include "shell/grammar.h"

/* True: fills in type, number, prefix, mac, and prints the canonical form. False: `why` says what
 * is wrong, "" where there is nothing better to say than what was expected. `quoted`: the word was
 * in quotes, which only strings may be. */
bool value_parse(const struct grammar_word *word, const char *text, size_t length, bool quoted,
                 struct argument *argument, struct text *canonical, struct text *why) MUST_CHECK;

/* 80 to 80 is "80". */
void print_ports(struct text *out, unsigned first, unsigned last);
/* TCP flags, those of TCP_ that are set and those that are not: "S!A". */
void print_flags(struct text *out, unsigned set, unsigned clear);

/* 90 s is "90s", 120 s is "2m". */
void print_time(struct text *out, uint64_t seconds);
