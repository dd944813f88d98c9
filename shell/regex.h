/* Regular expressions for `| match` and its like: . [a-z] [^...] * + ? ( | ) ^ $ and \d \w \s, or
 * \ before any character that stands for itself. Time grows with pattern times text, never worse.
 * Pure. */
#pragma once

#include "kernel/base/types.h"

enum {
    REGEX_STEP_MAX = 256, /* about one per character of the pattern */
    REGEX_SET_MAX = 16,   /* [...] in one pattern */
    REGEX_DEPTH_MAX = 16, /* ( inside ( */
};

struct regex_step {
    uint8_t kind;
    uint8_t value; /* character, or index of the set */
    int16_t first; /* where to go on, counted from this step */
    int16_t second;
};

struct regex {
    unsigned step_count, set_count;
    struct regex_step steps[REGEX_STEP_MAX];
    uint32_t sets[REGEX_SET_MAX][8]; /* a bit per character */
};

/* NULL when it is good; else what is wrong, and at which character of the pattern. */
const char *regex_compile(struct regex *regex, const char *pattern, size_t length,
                          size_t *column) MUST_CHECK;
/* Anywhere in the text. */
bool regex_matches(const struct regex *regex, const char *text, size_t length) MUST_CHECK;
