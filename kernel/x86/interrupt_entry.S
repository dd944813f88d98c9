/* 256 entries of 16 bytes each. All push an error code (0 where the processor has none) and their
 * number, so that struct interrupt_frame fits every one. */

#define ERROR_CODE_VECTORS 0x60227d00 /* 8, 10-14, 17, 21, 29, 30: Intel SDM volume 3, 6.3.1, and AMD's */
#define ENTRY_BYTES        16         /* INTERRUPT_ENTRY_BYTES */

    .text
    .global interrupt_entries
    .balign ENTRY_BYTES
interrupt_entries:
    .set vector, 0
    .rept 256
    .balign ENTRY_BYTES
    .set has_error_code, 0
    .if vector < 32         /* apart: the assembler warns of wider shifts, taken or not */
    .set has_error_code, (ERROR_CODE_VECTORS >> vector) & 1
    .endif
    .if !has_error_code
    push $0
    .endif
    push $vector
    jmp interrupt_common
    .set vector, vector + 1
    .endr

    .balign ENTRY_BYTES
interrupt_common:
    push %rax
    push %rbx
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %rbp
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    call interrupt_dispatch
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rbp
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rbx
    pop %rax
    add $16, %rsp           /* number and error code */
    iretq

    .section .note.GNU-stack, "", @progbits
