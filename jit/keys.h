/* Reading rules: what they ask of which key. */
#pragma once

#include "jit/jit.h"

enum key_ask { ASK_NOTHING, ASK_RANGE, ASK_SET, ASK_BITS };

/* How many words the key has that begins at this field: its other fields follow. */
unsigned key_words(const struct jit_plan *plan, unsigned field);

enum key_ask key_ask(const struct jit_plan *plan, const struct jit_rule *rule, unsigned field);

/* The set that a rule asks for. */
const struct jit_set *key_set(const struct jit_plan *plan, const struct jit_rule *rule,
                              unsigned field);

/* What all rules ask for. Bits stand for fields that begin keys. */
struct keys_look {
    uint32_t asked;                /* of which any rule asks something */
    uint32_t ranges, sets;         /* ... a range; a set */
    unsigned users[JIT_FIELD_MAX]; /* so many rules ask something */
    uint64_t range_count;          /* of rules; those of a set for each rule that names it */
};

/* ERROR_BAD_VALUE, see jit.h: something is not as it must be. */
enum error keys_look(const struct jit_plan *plan, const struct jit_rule *rules, unsigned count,
                     struct keys_look *look) MUST_CHECK;

/* A bit for each key that the rule asks something of. */
uint32_t rule_uses(const struct jit_plan *plan, const struct jit_rule *rule);

/* Every range of a key is what ranges of its words have in common, as those of prefixes are: so
 * each word may be a key of its own. */
bool keys_are_boxes(const struct jit_plan *plan, const struct jit_rule *rules, unsigned count);

/* Words of the same number, the first one counts most: negative, 0, positive. */
int words_compare(const uint32_t *a, const uint32_t *b, unsigned count);
