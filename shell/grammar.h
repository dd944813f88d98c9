/* The grammar strings of shell/command.h, read where they stand: which words may come at a point of
 * one. Pure. */
#pragma once

#include "shell/command.h"

enum { GRAMMAR_POSITION_MAX = 48, GRAMMAR_DEPTH_MAX = 12 };

/* The words that may follow: offsets of their first characters. */
struct grammar_positions {
    unsigned count;
    bool end; /* the line may be over here */
    uint16_t at[GRAMMAR_POSITION_MAX];
};

/* What may come at offset `at`: 0, or behind a word. */
void grammar_follow(const char *grammar, unsigned at, struct grammar_positions *out);

/* A word of a grammar: a keyword, or a value with the keywords that may stand in its place. */
struct grammar_word {
    enum token_type type;
    struct span name;          /* the keyword, or the value's name */
    uint64_t minimum, maximum; /* NUMBER */
    struct span keywords;      /* of a value: "a|b", or empty */
    unsigned after;            /* offset behind it */
};

/* False where the grammar is wrong: a unit test reads all of them. */
bool grammar_word_at(const char *grammar, unsigned at, struct grammar_word *word) MUST_CHECK;

/* The keywords of a word one by one: `at` begins as 0; false behind the last. */
bool grammar_keyword(const struct grammar_word *word, unsigned *at,
                     struct span *keyword) MUST_CHECK;

/* How a type is called in help: "IPv4 address, like 192.0.2.1". */
const char *token_type_help(enum token_type type);
