/* A compiled filter for people: its instructions, what of its tables leads to a rule, and copies
 * that end early, to see what the rest costs. What the parts of the code are for is in the marks
 * (marks.h) of its description; nothing here changes a filter. */
#pragma once

#include "jit/disassemble.h"
#include "jit/jit.h"

/* ---- Instructions ---------------------------------------------------------------------------- */

/* What an instruction reads or writes in memory. */
enum jit_operand {
    JIT_OPERAND_NONE,
    JIT_OPERAND_FIELD,  /* of packets */
    JIT_OPERAND_ANSWER, /* of packets; what a search has come to waits there as well */
    JIT_OPERAND_VALUE,  /* index: a word of the table, always the same; value: what it is, as if
                         * all were compared without a sign */
    JIT_OPERAND_TABLE,  /* a word of the table that depends on the packet, from `index` on */
    JIT_OPERAND_STACK,
};

struct jit_instruction {
    struct disassembled disassembled;
    enum jit_operand operand;
    uint32_t index;
    uint32_t value;
    bool has_field; /* it is about that field of packets, in memory or in a register */
    unsigned field;
};

/* The one at place `at` of the code; .disassembled.length is 0 where there is none. */
void jit_instruction_at(const struct jit_description *filter, uint32_t at,
                        struct jit_instruction *instruction);
/* Where the code of a mark ends. */
uint32_t jit_mark_end(const struct jit_description *filter, unsigned mark);

/* ---- What fields are -------------------------------------------------------------------------
 *
 * Those of code that does not read the caller's are columns made of them (key_front.h). */

enum jit_field_kind {
    JIT_FIELD_ITSELF,  /* one of the caller's */
    JIT_FIELD_RANK,    /* the number of a range of a key: its place among all that rules ask for */
    JIT_FIELD_MEMBERS, /* bits: in which sets a key is */
};

struct jit_field {
    enum jit_field_kind kind;
    unsigned field; /* of the caller's: itself, or where the key begins */
};
struct jit_field jit_field_of(const struct jit_description *filter, unsigned field);

/* Of a field of ranks: the words of the first value of one rank, and of the last one of another. */
void jit_rank_values(const struct jit_description *filter, unsigned field, uint32_t first_rank,
                     uint32_t last_rank, uint32_t first[JIT_KEY_WORDS_MAX],
                     uint32_t last[JIT_KEY_WORDS_MAX]);

/* Of a field of members: bits of that value under the mask say that the key is in the set. */
bool jit_bits_name_set(const struct jit_description *filter, unsigned field, unsigned set,
                       uint32_t value, uint32_t mask);

/* The code before that of the rules, where there is any (front is not NULL), as if it were a filter
 * of its own. Its fields are the caller's. */
void jit_front_describe(const struct jit_description *filter, struct jit_description *front);

/* ---- What leads to an answer ----------------------------------------------------------------- */

enum {
    JIT_ENTRY_WORDS_MAX = 64, /* of a row; longer ones are looked at so far */
};

/* One more table entry that leads to the answer. */
struct jit_entry {
    const struct jit_table *table;
    /* INTERVALS: from value to value. VALUES: the same value of the bits under the mask twice, or
     * 0 and the mask: all of them. ROWS: the same number of a bit twice. */
    uint32_t first, last;
    /* Of PAIRS, likewise: all words of the key, and behind them zeros and ones. */
    uint32_t first_words[JIT_KEY_WORDS_MAX], last_words[JIT_KEY_WORDS_MAX];
};

/* How far one has come; begin with { .answer = ... }. */
struct jit_entry_search {
    uint32_t answer;
    unsigned table; /* the one that is gone through */
    uint32_t next;  /* its entry that comes next */
    bool is_open;   /* the entry before that led to the answer, and so on back to first */
    uint32_t first; /* value */
    /* Of PAIRS: within the next interval; where the open one begins, and the one before ends. */
    uint32_t within;
    uint32_t first_words[JIT_KEY_WORDS_MAX], last_words[JIT_KEY_WORDS_MAX];
    bool has_bits; /* of the rows that this table leads to */
    uint32_t bits[JIT_ENTRY_WORDS_MAX];
};

enum jit_found { JIT_FOUND, JIT_NOT_YET, JIT_NO_MORE };

/* Looks at a thousand entries at most: JIT_NOT_YET, where none of them was one. Neighbours that
 * both are, are found as one. */
enum jit_found jit_entry_next(const struct jit_description *filter, struct jit_entry_search *search,
                              struct jit_entry *entry);

/* ---- Copies that end early ------------------------------------------------------------------- */

/* A copy of the code that ends behind a mark's: what follows of the turn that it is in, is left
 * out, and all behind that. It runs on the tables of the filter, and its answers mean nothing. */
struct jit_cut {
    struct code *code;
    const uint32_t *table;
    const struct key_front *front; /* of the filter, or NULL */
};

/* ERROR_NO_MEMORY. ERROR_FULL: not all of the filter's marks are known. */
enum error jit_cut_make(const struct jit_description *filter, unsigned mark,
                        struct jit_cut *cut) MUST_CHECK;
/* What the code reads, of the caller's fields: those themselves, or columns that the code before it
 * makes of them. */
const uint32_t (*jit_cut_fields(const struct jit_cut *cut, const uint32_t (*fields)[BATCH_MAX],
                                unsigned count,
                                uint32_t columns[JIT_FIELD_MAX][BATCH_MAX]))[BATCH_MAX];
/* As jit_filter_run(), of jit_cut_fields(). */
void jit_cut_run(const struct jit_cut *cut, const uint32_t (*fields)[BATCH_MAX], unsigned count,
                 uint32_t answers[BATCH_MAX]);
void jit_cut_free(struct jit_cut *cut);
