/* The table of contents: creates everything, in order, and owns nothing else. */
#include "boot/boot_info.h"
#include "boot/entry.h"
#include "kernel/base/text.h"
#include "kernel/boot_phase.h"
#include "kernel/clock.h"
#include "kernel/loader.h"
#include "kernel/memory.h"
#include "kernel/panic.h"
#include "kernel/platform.h"
#include "kernel/selftest.h"
#include "kernel/x86/acpi.h"
#include "kernel/x86/com1.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/paging.h"
#include "kernel/x86/pci_config.h"
#include "kernel/x86/pins.h"
#include "kernel/x86/random.h"
#include "kernel/x86/smp.h"

static struct boot_info boot;

static void start_memory(void)
{
    const struct memory_hole image = { (uint64_t)image_start - BOOT_IMAGE_OFFSET,
                                       (uint64_t)(image_end - image_start) };
    memory_init(&boot, &image, 1, (void *)BOOT_DIRECT_MAP, BOOT_MAPPED_BYTES);
    paging_init(&boot);
}

void kernel_main(unsigned protocol, uint64_t information)
{
    com1_init();
    cpu_init();
    boot_phase_start(boot_first_cycles);
    loader_read(&boot, protocol, information);
    panic_set_ending(boot_option_is(&boot, "test", ""), false);

    boot_phase("memory");
    start_memory();

    boot_phase("acpi");
    acpi_init(&boot, paging_firmware, NULL);
    pci_config_init(acpi_get());

    boot_phase("clock");
    clock_init(boot_first_cycles);

    boot_phase("interrupts");
    smp_init_boot_core();
    pins_init();
    random_init(&boot);

    boot_phase("cores");
    smp_start(&boot);
    boot_phase_end();

    char line[80];
    uint64_t boot_us = clock_ns() / NS_PER_US;
    platform_write(line, text_format(line, sizeof(line), "ready: %u.%u ms, %u cores\n",
                                     (unsigned)(boot_us / 1000), (unsigned)(boot_us / 100 % 10),
                                     core_count()));
    selftest_run(&boot);
    for (;;)
        core_idle(UINT64_MAX);
}
