/* The rules that must be tried: without those that no packet comes to, and neighbours with the same
 * answer as one where they are one box. */
#pragma once

#include "jit/jit.h"
#include "jit/pace.h"

struct rule_list {
    unsigned count;
    uint32_t used;                 /* a bit for each field that any of them asks something of */
    uint32_t masks[JIT_FIELD_MAX]; /* of each field of bits: those that any of them looks at */
    struct jit_rule *rules;
};

/* Of rules whose ranges are good, without those whose bit is set in shadowed[]. ERROR_NO_MEMORY. */
enum error rule_list_make(const struct jit_plan *plan, const struct jit_rule *rules, unsigned count,
                          const uint64_t *shadowed, struct pace *pace,
                          struct rule_list *list) MUST_CHECK;
void rule_list_free(struct rule_list *list); /* one of zeros is allowed */
