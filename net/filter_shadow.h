/* Rules that no packet comes to, as those before them have all of theirs. */
#pragma once

#include "net/filter.h"

struct jit_filter;
struct text;

/* Each rule is compared with so many of those before it, from the first on: of 65,535 rules that
 * takes half a second. One that is shadowed by later ones alone is not found. */
enum { FILTER_SHADOW_RULES = 1024 };

/* Control, while the filter is made: finds those that one rule before them covers. A set covers
 * prefixes and is covered by them; what two different sets have in common is not looked into. `old`
 * spares comparisons, and changes nothing: the filter before, whose hits this one goes on with, or
 * NULL. */
void filter_find_shadowed(struct filter *filter, const struct filter *old,
                          const struct pause *pause);

/* The same, of what the compiler has found: it knows of several rules that have all packets of a
 * later one together, where all ask of one field or address. Of an empty set nothing is told. */
void filter_learn_shadowed(struct filter *filter, enum filter_moment moment,
                           const struct jit_filter *compiled);

/* "rule 30 is never reached: rule 10 has all of its packets", of the first rule that is, and was
 * not in `old` (NULL: nothing was); and how many more. Nothing where there is none. */
void filter_tell_shadowed(const struct filter *filter, const struct filter *old, struct text *out);
