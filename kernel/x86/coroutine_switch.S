/* void coroutine_switch(uint64_t *save_rsp, uint64_t load_rsp)
 *
 * Leaves what a function must preserve (System V ABI, 3.2.1) on the old stack, and takes it from the new one.
 * The control words of x87 and SSE are never changed here, so they are not switched. */

    .text
    .global coroutine_switch
coroutine_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret

/* Where a new coroutine begins: its struct is in rbx. */
    .global coroutine_begin
coroutine_begin:
    xor %ebp, %ebp          /* here backtraces end */
    mov %rbx, %rdi
    call coroutine_run
    ud2

    .section .note.GNU-stack, "", @progbits
