/* The few instructions under every coroutine, in the kernel and in a Linux process alike
 * (coroutine_switch.S): how to go from one stack to another. */
#pragma once

#include "kernel/base/types.h"

struct coroutine;

/* What coroutine_switch() takes from a stack that it has never left. At the top of a new stack,
 * with rbx = the coroutine and return_address = coroutine_begin. */
struct first_frame {
    uint64_t r15, r14, r13, r12, rbx, rbp;
    uint64_t return_address;
};

/* Leaves the stack pointer of the running stack in *save_rsp. */
void coroutine_switch(uint64_t *save_rsp, uint64_t load_rsp);
extern const char coroutine_begin[];

/* What a new coroutine begins with, on its own stack: each kind brings its own. */
_Noreturn void coroutine_run(struct coroutine *coroutine);
