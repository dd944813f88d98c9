/* The rules that must be tried: without those that no packet comes to, and neighbours with the same
 * answer as one where they are one box. */
#pragma once

#include "jit/jit.h"

struct rule_list {
    unsigned count;
    unsigned key_field;
    struct jit_range keys[JIT_GENERAL_MAX]; /* that field of each rule, where it is one of numbers:
                                              most questions end there */
    struct jit_rule rules[JIT_GENERAL_MAX];
};

/* An empty list. The key field is best the one of numbers of which most rules ask something. */
void rule_list_init(struct rule_list *list, unsigned key_field);

/* All of the values that content `inner` content `outer`. */
bool rule_covers(const struct jit_plan *plan, const struct jit_rule *outer,
                 const struct jit_rule *inner);

/* Adds a rule behind the others. *shadowed: it is left out, as one of them covers it. ERROR_FULL:
 * there is no room for it. */
enum error rule_list_add(struct rule_list *list, const struct jit_plan *plan,
                         const struct jit_rule *rule, bool *shadowed) MUST_CHECK;
