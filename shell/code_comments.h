/* What is said of the machine code of filters, in the words of those who wrote the rules. */
#pragma once

#include "jit/show.h"
#include "kernel/base/text.h"
#include "net/filter.h"

struct router;

/* The code that is spoken of, and whose. */
struct code_subject {
    const struct router *router;
    const struct filter *filter;
    struct jit_description code;
    bool is_front; /* that before the code of the rules */
};

/* "rule 10", "the default", "our own packets", "no rule": who stands behind an answer. */
void print_answer(struct text *out, const struct code_subject *subject, uint32_t answer);
/* "source address" */
void print_field(struct text *out, const struct code_subject *subject, unsigned field);
/* The values of an entry: "192.0.2.0 - 192.0.2.255". */
void print_entry(struct text *out, const struct code_subject *subject,
                 const struct jit_entry *entry);

/* What the code of a mark does: "rule 10: drop src 192.0.2.0/24". */
void print_mark(struct text *out, const struct code_subject *subject, unsigned mark);

/* What was said of the instructions of the mark so far. */
struct comment_state {
    unsigned field;  /* loaded last */
    bool is_range;   /* the next comparison is with the size of a range that begins at first */
    bool is_bits;    /* with a value of the bits of mask */
    bool is_matched; /* all that the rule asks was asked */
    uint32_t first, mask;
};
/* What an instruction of a mark does, "" where there is nothing to say. */
void print_instruction(struct text *out, const struct code_subject *subject, unsigned mark,
                       const struct jit_instruction *instruction, struct comment_state *state);
