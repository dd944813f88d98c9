/* Rules over several fields in as few portions as can be divided (division.h): one, but where rules
 * that are wide in one field and rules that are wide in another would have to be copied into all of
 * each other's groups. */
#pragma once

#include "jit/rows_code.h"

/* Writes the tables of all portions, which are code->portions, for the caller to free. Some rule
 * asks something of some field, and fields of bits fit (bit_classes.h). ERROR_FULL: the tables are
 * too large; ERROR_NO_MEMORY. With an error there are no portions. */
enum error portions_write(const struct jit_plan *plan, const struct rule_list *list,
                          struct table *table, struct rows_code *code) MUST_CHECK;
void portions_free(struct rows_code *code);
