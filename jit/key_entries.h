/* What of the tables of a search for a key of several words (key_search.h) leads to an answer: the
 * part of jit_entry_next() (show.h) that goes through those. */
#pragma once

#include "jit/show.h"

/* Goes on in a table of pairs, for a thousand intervals at most. False: nothing was found that is
 * whole. */
bool key_entries_search(const struct jit_description *filter, const struct jit_table *table,
                        struct jit_entry_search *search, struct jit_entry *entry);
