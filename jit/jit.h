/* Filters compiled to machine code: which is the first rule that a packet matches?
 *
 * What a field means is the caller's affair, as is how a packet becomes fields of 32 bits. One to
 * four of them that follow each other are a key, the most significant word first: a port is a key
 * of one, an IPv6 address one of four. Of each key a rule wants one of these:
 *
 *   anything
 *   a range       from one value to another, words compared in their order: a prefix is one
 *   a set         any of a list of ranges, which many rules may share
 *   bits          of a key of one word: those under a mask must have a value
 *
 * The first rule that is content with all keys gives the answer, or JIT_NONE does.
 *
 * How it is done depends on the shape of the rules. Where one key alone is in use, they become
 * disjoint intervals, and these trees of vectors (key_search.h). Where several are, keys of several
 * words and sets become one word each beforehand, by the same trees (key_columns.h). Then a few
 * rules are all tried, on as many packets at once as a vector has lanes (linear_code.h); of more,
 * each field says which rules are left, and the first that all fields leave is the one
 * (rows_code.h); many are divided before, by one field or two (division.h). Nothing of this takes a
 * branch that depends on a packet. The code is for the vectors it was asked for, so that each kind
 * can be tried on a machine that has better ones.
 *
 * A filter does not change. Any number of cores may run it at a time. */
#pragma once

#include "jit/marks.h"
#include "kernel/base/pause.h"
#include "kernel/base/types.h"

enum {
    JIT_FIELD_MAX = 16, /* IPv6 with all that a statement can ask for is 15 */
    JIT_KEY_WORDS_MAX = 4,
    JIT_RULE_MAX = 1 << 20,
    JIT_RANGE_MAX = 1 << 21,   /* of rules and of the sets they name: while addresses of IPv6 are
                                  compiled, each takes some 120 bytes */
    JIT_SET_MAX = 4096,        /* that rules name */
    JIT_GENERAL_MAX = 1 << 17, /* rules over several keys: compiled in a second or two */
    JIT_LINEAR_MAX = 256,      /* of these, where they look at bits all over a field */
    JIT_SHADOW_TRIES = 2048,   /* others that one of these is compared with */
    JIT_TABLE_BYTES_MAX = 1 << 27, /* for these; up to three times as much while it is made */
    JIT_CODE_BYTES_MAX = 1 << 19,  /* so that the next filter has room beside this one */
};

/* The answer where no rule matches; also what a rule may answer, as is all below 2^31. */
#define JIT_NONE UINT32_MAX

/* first <= last, both belong to it. Of a key of several words each field has a word of either. Of a
 * field of bits: first is the value that the bits set in last must have; it has none beside these.
 */
struct jit_range {
    uint32_t first;
    uint32_t last;
};

/* Ranges of a key: ascending, disjoint. */
struct jit_set {
    unsigned words;               /* of the key */
    unsigned count;               /* of ranges; 0: nothing is in it */
    const uint32_t *first, *last; /* of range i the words at [i * words] */
};

struct jit_rule {
    struct jit_range fields[JIT_FIELD_MAX];
    uint32_t in_set; /* one for each field that begins a key: what is wanted is a set, and the
                        field's `first` is which of the plan's */
    uint32_t answer; /* several rules may have the same */
};

/* What any value is content with. */
static const struct jit_range JIT_ANY = { 0, UINT32_MAX }; /* of a field of numbers */
static const struct jit_range JIT_ANY_BITS = { 0, 0 };

/* From the least to the best. */
enum jit_vectors {
    JIT_SSE2, /* all x86-64 processors: 4 lanes */
    JIT_AVX2, /* 8 lanes */
    JIT_AVX512,
    JIT_VECTORS_COUNT,
};

/* The best that this processor has. */
enum jit_vectors jit_vectors_best(void);

/* What to make of rules: what is fastest for them; or one shape, for all that it can be made of.
 * Rows are not divided then as long as one has room for all rules. */
enum jit_shape { JIT_BEST_SHAPE, JIT_LINEAR, JIT_ROWS };

/* How to compile. */
struct jit_plan {
    unsigned field_count; /* 1 to JIT_FIELD_MAX; rules' other fields are not looked at */
    uint32_t bits;        /* one for each field: whether it is one of bits */
    uint32_t joined;      /* one for each field: whether it is the next word of the key before */
    const struct jit_set *sets; /* that rules may name */
    unsigned set_count;
    enum jit_vectors vectors;
    enum jit_shape shape;
    const struct pause *pause; /* or NULL */
};

struct jit_filter;
struct key_front;

/* The filter, in *filter; rules and sets are not needed any more. ERROR_BAD_VALUE: a range is
 * reversed, a set is not in order, or not the plan's, a value has bits that its mask has not, an
 * answer is too large. ERROR_FULL: more rules or ranges than the bounds above, those left out as
 * shadowed or joined to others not counted; larger tables or code than these; or sets that overlap
 * each other in more ways than there are fields for (key_columns.h). ERROR_NO_MEMORY: for code or
 * for tables. With an error *filter is as it was. */
enum error jit_filter_compile(const struct jit_plan *plan, const struct jit_rule *rules,
                              unsigned count, struct jit_filter **filter) MUST_CHECK;
void jit_filter_destroy(struct jit_filter *filter); /* NULL is allowed */

/* Answers for the first `count` (at most BATCH_MAX) packets: fields[f][i] is field f of packet i.
 * There are as many rows as the plan has fields; those that no rule asks for need not be set, nor
 * the last words of a key where no range is so narrow. The other elements of answers may be
 * written, too, with anything. The processor has the vectors of the plan. */
void jit_filter_run(const struct jit_filter *filter, const uint32_t (*fields)[BATCH_MAX],
                    unsigned count, uint32_t answers[BATCH_MAX]);

/* No packet comes to this rule (0 to count - 1), as rules before it match them all, or its set is
 * empty. Always known where one key is in use; with several, one earlier rule must match all that
 * this one does, and where more than JIT_SHADOW_TRIES rules overlap in each field not all of them
 * are looked at. */
bool jit_filter_is_shadowed(const struct jit_filter *filter, unsigned rule);

struct jit_description {
    const char *shape; /* "intervals", "linear" or "rows" */
    enum jit_vectors vectors;
    unsigned parts; /* intervals that differ from their neighbours, or rules that are left */
    /* Of "rows": portions of these that are searched one after the other, and groups of rules in
     * all of them, of which one is searched in each. */
    unsigned portions;
    unsigned groups; /* 1: all rules are in question, and tables are told of (marks.h) */
    unsigned code_bytes;
    size_t table_bytes;
    const uint8_t *code;
    const uint32_t *table;
    struct jit_marks marks;
    /* What runs before the code, which then reads what that makes of the caller's fields
     * (key_front.h). NULL: nothing does. */
    const struct key_front *front;
    unsigned front_code_bytes;
    size_t front_table_bytes;
};
void jit_filter_describe(const struct jit_filter *filter, struct jit_description *description);
