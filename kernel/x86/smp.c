/* The other cores. */
#include "boot/entry.h"

void core_main(struct x86_cpu *cpu)
{
    (void)cpu;
    for (;;)
        __asm__ volatile("cli; hlt");
}
