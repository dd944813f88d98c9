/* Lines against the command tables: what a line means, what is wrong with it, and what may come
 * next. Pure. */
#pragma once

#include "shell/command.h"

enum parse_flag {
    PARSE_TYPED = 0,
    PARSE_STORED = 1 << 0,     /* text from a file: every keyword in full */
    PARSE_STATEMENTS = 1 << 1, /* nothing but statements */
};

/* ERROR_NOT_FOUND (no such command), ERROR_MALFORMED, ERROR_TRUNCATED (incomplete),
 * ERROR_BAD_VALUE, or ERROR_FULL (too long); `problem` says where and why. Says nothing about
 * roles. */
enum error parse_line(const struct command_set *set, const char *text, size_t length,
                      unsigned flags, struct parsed_line *line, struct problem *problem) MUST_CHECK;

/* Nothing, or a comment. */
bool line_is_blank(const char *text, size_t length);

/* Offset of the first `|` outside of quotes at or behind `from`; length where there is none. */
size_t line_find_bar(const char *text, size_t length, size_t from);

/* It says more than keywords. */
bool line_names_value(const struct parsed_line *line);

/* The line as it is stored: keywords in full, values canonical, strings quoted where they must be;
 * a secret as it is, or as `***`. */
size_t line_print(const struct parsed_line *line, bool show_secrets, char *out, size_t size);

/* A string as a word that reads back as the same. */
struct text;
void print_quoted(struct text *out, const char *string);

/* What may stand at the end of a text. */
enum { EXPECTED_MAX = 96 };

struct expected {
    char word[40];    /* the keyword, "<gateway>", or "<enter>" */
    const char *help; /* "": the word says it by itself, in whatever command */
    enum token_type type;
    bool end;       /* the line may be over here */
    bool statement; /* ... and says nothing that could be filtered */
};

struct expectation {
    size_t partial; /* where the word begins that is being typed */
    unsigned count;
    struct expected items[EXPECTED_MAX]; /* in the order of the alphabet, values and <enter> last */
};

/* Keywords that begin with what is being typed, values that may stand there. Commands beyond the
 * role are not told. ERROR_NOT_FOUND, with the problem, where the words before make no sense. */
enum error parse_expect(const struct command_set *set, const char *text, size_t length,
                        enum role role, struct expectation *out,
                        struct problem *problem) MUST_CHECK;

/* Of several keywords the one that was probably meant: at most one letter wrong in short ones, two
 * in long ones. Gives `best` back where `keyword` is no nearer than `*distance`. */
struct span nearest_word(struct span typed, struct span keyword, struct span best,
                         unsigned *distance);
