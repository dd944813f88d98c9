/* What of the seam is not elsewhere: last words, and what machine this is. (Time: clock.c. Memory:
 * memory.c. Cores: x86/smp.c, x86/sleep.c, x86/coroutine.c. Devices: x86/pci_config.c,
 * x86/paging.c, x86/interrupt.c, x86/pins.c. Entropy: x86/random.c. platform_panic(): panic.c.) */
#include <string.h>

#include "kernel/platform.h"
#include "kernel/x86/acpi.h"
#include "kernel/x86/com1.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/registers.h"

enum { DEBUG_EXIT_PORT = 0xf4 }; /* QEMU's isa-debug-exit: status = value * 2 + 1 */

void platform_write(const char *text, size_t length)
{
    com1_write(text, length);
}

/* QEMU goes on for a moment. Other machines have nothing at that port. */
void platform_exit(int code)
{
    port_write32(DEBUG_EXIT_PORT, (uint32_t)code);
    halt_for_good();
}

void platform_power_off(void)
{
    acpi_power_off();
    static const char text[] = "the machine can be switched off now\n";
    com1_write(text, sizeof(text) - 1);
    halt_for_good();
}

void platform_restart(void)
{
    acpi_restart();
    halt_for_good();
}

const char *platform_name(void)
{
    if (strcmp(cpu_features.hypervisor, "VMwareVMware") == 0)
        return "vmware";
    if (strcmp(cpu_features.hypervisor, "TCGTCGTCGTCG") == 0 ||
        strncmp(cpu_features.hypervisor, "KVMKVMKVM", 9) == 0)
        return "qemu";
    return "bare";
}
