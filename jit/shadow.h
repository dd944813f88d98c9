/* Which rules does one earlier rule cover, so that no packet comes to them? */
#pragma once

#include "jit/jit.h"
#include "jit/pace.h"

/* Sets their bits in shadowed[]; a rule is compared with JIT_SHADOW_TRIES others at most, and those
 * whose bit is set already are not there. `used` has a bit for each field that any rule asks
 * something of. ERROR_NO_MEMORY. */
enum error shadow_find(const struct jit_plan *plan, const struct jit_rule *rules, unsigned count,
                       uint32_t used, struct pace *pace, uint64_t *shadowed) MUST_CHECK;

/* All of the values that content `inner` content `outer`. */
bool shadow_covers(const struct jit_plan *plan, const struct jit_rule *outer,
                   const struct jit_rule *inner);
