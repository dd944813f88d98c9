/* The first instructions of the boot core and of all others.
 *
 * Loaders: multiboot2 (GRUB, BIOS and UEFI) enters boot_entry_multiboot2 with the information structure in
 * ebx; PVH (qemu -kernel) enters boot_entry_pvh with hvm_start_info in ebx. Both in 32-bit protected mode
 * without paging, as Multiboot2 Specification 2.0, 3.3, and Xen docs/misc/pvh say.
 *
 * The way up: boot page tables that map the first 4 GiB at 0, in the direct map, and (2 GiB of it) where the
 * image is linked; long mode; a jump to the linked address; kernel_main(). The real page tables are made by
 * kernel/x86/paging.c, after which these serve only the other cores on their way up.
 *
 * The other cores start in real mode in a page below 1 MiB that holds a copy of trampoline_start to
 * trampoline_end, each looks up its APIC id in core_slots, and takes what it finds there by turning the
 * slot from OFFERED to TAKEN. One that comes after its slot was withdrawn halts for good, in this code, which is
 * never freed. */

#include "boot/entry.h"

#define PHYSICAL(symbol) (symbol - BOOT_IMAGE_OFFSET)

/* Multiboot2 Specification 2.0, 3.1 */
#define HEADER_MAGIC          0xe85250d6
#define HEADER_I386           0
#define HEADER_OPTIONAL       1
#define HEADER_TAG_END        0
#define HEADER_TAG_ENTRY      3
#define HEADER_TAG_CONSOLE    4
#define HEADER_TAG_FRAMEBUFFER 5
#define HEADER_TAG_ALIGN      6
#define CONSOLE_EGA_TEXT      2
#define LOADER_MAGIC          0x36d76289 /* in eax, 3.3 */

/* Xen public/elfnote.h */
#define NOTE_PHYS32_ENTRY     18

/* Intel SDM volume 3, 2.5 and 4.3 */
#define CR0_PE                (1 << 0)
#define CR0_MP                (1 << 1)
#define CR0_NE                (1 << 5)
#define CR0_WP                (1 << 16)
#define CR0_PG                (1 << 31)
#define CR0_LONG_MODE         (CR0_PE | CR0_MP | CR0_NE | CR0_WP | CR0_PG)
#define CR4_PAE               (1 << 5)
#define CR4_OSFXSR            (1 << 9)
#define CR4_OSXMMEXCPT        (1 << 10)
#define CR4_LONG_MODE         (CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT)
#define MSR_EFER              0xc0000080
#define EFER_LME              (1 << 8)
#define PAGE_TABLE            0x3   /* present, writable */
#define PAGE_2M               0x83  /* and large */
#define CPUID_EXTENDED        0x80000000
#define CPUID_EXTENDED_FEATURES 0x80000001
#define CPUID_LONG_MODE       29
#define CPUID_TOPOLOGY        0xb

#define GDT_CODE              0x08
#define GDT_DATA              0x10

#define COM1_DATA             0x3f8
#define COM1_LINE_STATUS      0x3fd
#define COM1_CAN_SEND         0x20

/* ---- What loaders look for ------------------------------------------------------------------ */

    .section .boot.header, "a"
    .balign 8
header:
    .long HEADER_MAGIC
    .long HEADER_I386
    .long header_end - header
    .long -(HEADER_MAGIC + HEADER_I386 + (header_end - header))

    .balign 8
    .short HEADER_TAG_ENTRY, 0
    .long 12
    .long PHYSICAL(boot_entry_multiboot2)

    .balign 8
    .short HEADER_TAG_CONSOLE, HEADER_OPTIONAL
    .long 12
    .long CONSOLE_EGA_TEXT

    .balign 8
    .short HEADER_TAG_FRAMEBUFFER, HEADER_OPTIONAL
    .long 20
    .long 0, 0, 32          /* any size, 32 bits a pixel */

    .balign 8
    .short HEADER_TAG_ALIGN, 0
    .long 8

    .balign 8
    .short HEADER_TAG_END, 0
    .long 8
header_end:

    .section .note.pvh, "a", @note
    .balign 4
    .long 4                 /* length of the name */
    .long 8                 /* of the value */
    .long NOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad PHYSICAL(boot_entry_pvh)

/* ---- The boot core --------------------------------------------------------------------------- */

    .section .boot.text, "ax"
    .code32
    .global boot_entry_multiboot2
    .global boot_entry_pvh

boot_entry_multiboot2:
    cmp $LOADER_MAGIC, %eax
    jne no_loader
    mov $BOOT_BY_MULTIBOOT2, %edi
    jmp boot_entry
boot_entry_pvh:
    mov $BOOT_BY_PVH, %edi
boot_entry:
    cli
    cld
    rdtsc
    mov %eax, PHYSICAL(boot_first_cycles)
    mov %edx, PHYSICAL(boot_first_cycles) + 4
    mov %ebx, %esi
    mov $PHYSICAL(boot_stack_top), %esp

    /* A processor without long mode can only say so. */
    mov $CPUID_EXTENDED, %eax
    cpuid
    cmp $CPUID_EXTENDED_FEATURES, %eax
    jb no_long_mode
    mov $CPUID_EXTENDED_FEATURES, %eax
    cpuid
    bt $CPUID_LONG_MODE, %edx
    jnc no_long_mode

    /* boot_pml4[0] -> boot_pdpt_low[0..3] -> boot_directories: the first 4 GiB where they are,
     * boot_pml4[256] -> the same: the beginning of the direct map.
     * boot_pml4[511] -> boot_pdpt_high[510, 511] -> the first two of the same directories. */
    movl $PHYSICAL(boot_pdpt_low) + PAGE_TABLE, PHYSICAL(boot_pml4)
    movl $PHYSICAL(boot_pdpt_low) + PAGE_TABLE, PHYSICAL(boot_pml4) + BOOT_DIRECT_MAP_INDEX * 8
    movl $PHYSICAL(boot_pdpt_high) + PAGE_TABLE, PHYSICAL(boot_pml4) + 511 * 8
    movl $PHYSICAL(boot_directories) + PAGE_TABLE, PHYSICAL(boot_pdpt_low)
    movl $PHYSICAL(boot_directories) + 0x1000 + PAGE_TABLE, PHYSICAL(boot_pdpt_low) + 8
    movl $PHYSICAL(boot_directories) + 0x2000 + PAGE_TABLE, PHYSICAL(boot_pdpt_low) + 16
    movl $PHYSICAL(boot_directories) + 0x3000 + PAGE_TABLE, PHYSICAL(boot_pdpt_low) + 24
    movl $PHYSICAL(boot_directories) + PAGE_TABLE, PHYSICAL(boot_pdpt_high) + 510 * 8
    movl $PHYSICAL(boot_directories) + 0x1000 + PAGE_TABLE, PHYSICAL(boot_pdpt_high) + 511 * 8
    mov $PAGE_2M, %eax
    mov $PHYSICAL(boot_directories), %ebx
1:  mov %eax, (%ebx)
    add $8, %ebx
    add $0x200000, %eax
    jnc 1b

    lgdt PHYSICAL(boot_gdt_pointer)
    mov $CR4_LONG_MODE, %eax
    mov %eax, %cr4
    mov $PHYSICAL(boot_pml4), %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov $CR0_LONG_MODE, %eax
    mov %eax, %cr0
    ljmp $GDT_CODE, $PHYSICAL(boot_long_mode)

no_loader:                  /* what ebx points to is unknown */
    cld
    mov $PHYSICAL(no_loader_text), %esi
    jmp 2f
no_long_mode:
    mov $PHYSICAL(no_long_mode_text), %esi
2:  lodsb
    test %al, %al
    jz 4f
    mov %al, %bl
3:  mov $COM1_LINE_STATUS, %dx
    in %dx, %al
    test $COM1_CAN_SEND, %al
    jz 3b
    mov $COM1_DATA, %dx
    mov %bl, %al
    out %al, %dx
    jmp 2b
4:  cli
    hlt
    jmp 4b

    .code64
boot_long_mode:
    mov $boot_linked, %rax
    jmp *%rax
boot_linked:
    mov $GDT_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $boot_stack_top, %rsp
    xor %ebp, %ebp          /* here backtraces end */
    mov %edi, %edi
    mov %esi, %esi
    mov $kernel_main, %rax
    call *%rax
5:  cli
    hlt
    jmp 5b

/* ---- The other cores -------------------------------------------------------------------------- */

    .code16
    .global trampoline_start
    .global trampoline_end
trampoline_start:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    lgdtl trampoline_gdt_pointer - trampoline_start
    mov $CR4_LONG_MODE, %eax
    mov %eax, %cr4
    mov $PHYSICAL(boot_pml4), %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov $CR0_LONG_MODE, %eax  /* caches on as well: INIT leaves CD and NW set */
    mov %eax, %cr0
    ljmpl $GDT_CODE, $PHYSICAL(core_long_mode)
    .balign 4
trampoline_gdt_pointer:
    .short boot_gdt_end - boot_gdt - 1
    .long PHYSICAL(boot_gdt)
trampoline_end:

    .code64
core_long_mode:
    mov $core_linked, %rax
    jmp *%rax
core_linked:
    mov $GDT_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs

    /* Our APIC id: all 32 bits where the processor tells them (CPUID leaf 0xb, edx), else 8. */
    cpuid
    cmp $CPUID_TOPOLOGY, %eax
    jb 1f
    mov $CPUID_TOPOLOGY, %eax
    xor %ecx, %ecx
    cpuid
    test %ebx, %ebx
    jz 1f
    mov %edx, %esi
    jmp 2f
1:  mov $1, %eax
    cpuid
    mov %ebx, %esi
    shr $24, %esi

2:  mov $core_slots, %rdi
    mov $BOOT_CORE_MAX, %edx
3:  cmpl $CORE_SLOT_EMPTY, CORE_SLOT_STATE(%rdi)
    je 4f
    cmp %esi, CORE_SLOT_APIC_ID(%rdi)
    je 5f
4:  add $CORE_SLOT_BYTES, %rdi
    dec %edx
    jnz 3b
    jmp core_refused

5:  mov $CORE_SLOT_OFFERED, %eax
    mov $CORE_SLOT_TAKEN, %ecx
    lock cmpxchg %ecx, CORE_SLOT_STATE(%rdi)
    jne core_refused

    /* The kernel's tables have no-execute bits, which need EFER.NXE first. */
    mov $MSR_EFER, %ecx
    rdmsr
    or core_start_efer, %eax
    wrmsr
    mov core_start_cr3, %rax
    mov %rax, %cr3
    mov CORE_SLOT_STACK(%rdi), %rsp
    mov CORE_SLOT_ARGUMENT(%rdi), %rdi
    xor %ebp, %ebp
    mov $core_main, %rax
    call *%rax
core_refused:
    cli
    hlt
    jmp core_refused

/* ---- Data -------------------------------------------------------------------------------------- */

    .section .rodata.boot, "a"
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff  /* GDT_CODE: 64-bit */
    .quad 0x00cf93000000ffff  /* GDT_DATA */
boot_gdt_end:
boot_gdt_pointer:
    .short boot_gdt_end - boot_gdt - 1
    .long PHYSICAL(boot_gdt)
no_loader_text:
    .asciz "tsuji: this loader speaks neither multiboot2 nor PVH\r\n"
no_long_mode_text:
    .asciz "tsuji: this processor has no 64-bit mode\r\n"

    .section .bss.boot, "aw", @nobits
    .balign 4096
boot_pml4:        .skip 4096
boot_pdpt_low:    .skip 4096
boot_pdpt_high:   .skip 4096
boot_directories: .skip 4 * 4096

    .global boot_stack_guard
    .global boot_stack_top
boot_stack_guard: .skip 4096   /* unmapped by kernel/x86/paging.c */
                  .skip BOOT_STACK_BYTES
boot_stack_top:

    .global boot_first_cycles
    .global core_slots
    .global core_start_efer
    .global core_start_cr3
boot_first_cycles: .skip 8
core_start_cr3:    .skip 8
core_start_efer:   .skip 8
core_slots:        .skip BOOT_CORE_MAX * CORE_SLOT_BYTES

    .section .note.GNU-stack, "", @progbits
