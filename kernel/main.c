/* The table of contents: creates everything, in order, and owns nothing else. */
#include <string.h>

#include "boot/entry.h"
#include "kernel/platform.h"
#include "kernel/x86/com1.h"

void kernel_main(unsigned protocol, uint64_t information)
{
    (void)protocol;
    (void)information;
    com1_init();
    com1_write("tsuji\n", 6);
    for (;;)
        __asm__ volatile("cli; hlt");
}
