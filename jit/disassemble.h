/* What machine code says, in Intel's syntax: one instruction as text, by Zydis (tools/zydis). The
 * only door to that. */
#pragma once

#include "jit/emit.h"

enum { DISASSEMBLED_TEXT_MAX = 96 };

struct disassembled {
    unsigned length; /* in bytes; 0: no instruction, or not all of it */
    char text[DISASSEMBLED_TEXT_MAX];
    bool has_memory; /* it reads or writes there, relative to a register */
    struct memory_operand memory;
    int vector; /* the highest register of vectors that it names; -1: none */
};

/* The one that begins with the first of `left` bytes. Jumps are told as places in the code, of
 * which this is place `at`. */
void disassemble(const uint8_t *bytes, size_t left, uint32_t at, struct disassembled *out);
