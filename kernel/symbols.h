/* Names of functions, for backtraces: the table that tools/make_symbols.py makes. */
#pragma once

#include "kernel/base/types.h"

/* The function that the address lies in and how far in, or NULL. */
const char *symbol_find(uint64_t address, uint64_t *offset);
