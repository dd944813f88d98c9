/* All rules, one after the other, on as many packets at once as a vector has lanes: a packet is a
 * lane, a rule is a handful of comparisons, of those fields alone that it asks for. From the last
 * rule to the first, each lays its answer over that of the later ones where it matches; so the
 * first one has the last word, and nothing branches.
 *
 * The constants of the comparisons lie in the table, in the order in which the code reads them. */
#pragma once

#include "jit/emit.h"
#include "jit/rule_list.h"

/* Emits the function, see filter_code.h, and writes its table; answers how many words that has.
 * table NULL: the words are only counted. */
size_t linear_emit(const struct jit_plan *plan, const struct rule_list *list, struct emit *emit,
                   uint32_t *table);
