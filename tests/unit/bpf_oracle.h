/* libpcap, whose answers ours must be, in a file of its own: its names for instructions are not
 * ours. */
#pragma once

#include "jit/bpf.h"

uint32_t oracle_filter(const struct bpf_instruction *program, const uint8_t *packet,
                       uint32_t captured_bytes, uint32_t wire_bytes);
bool oracle_validate(const struct bpf_instruction *program, size_t count);

/* The program for an expression about Ethernet frames, as libpcap compiles it; how long it is, at
 * most BPF_INSTRUCTIONS_MAX; 0: no expression. */
size_t oracle_compile(const char *expression, bool optimize,
                      struct bpf_instruction program[BPF_INSTRUCTIONS_MAX]);
