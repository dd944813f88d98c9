/* The table of contents: creates everything, in order, and owns nothing else. */
#include "boot/boot_info.h"
#include "boot/entry.h"
#include "drivers/nic.h"
#include "drivers/pci.h"
#include "kernel/base/log.h"
#include "kernel/base/text.h"
#include "kernel/boot_phase.h"
#include "kernel/clock.h"
#include "kernel/consoles.h"
#include "kernel/file.h"
#include "kernel/loader.h"
#include "kernel/memory.h"
#include "kernel/panic.h"
#include "kernel/platform.h"
#include "kernel/selftest.h"
#include "kernel/show_machine.h"
#include "kernel/start_config.h"
#include "kernel/x86/acpi.h"
#include "kernel/x86/com1.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/paging.h"
#include "kernel/x86/pci_config.h"
#include "kernel/x86/pins.h"
#include "kernel/x86/random.h"
#include "kernel/x86/sleep.h"
#include "kernel/x86/smp.h"
#include "net/control.h"
#include "net/router.h"
#include "shell/shell.h"

/* What the whole machine consists of. */
static struct boot_info boot;
static struct pci_bus pci;
static struct nic *nics[PORT_MAX];
static struct router *router;
static struct shell *shell;

static const struct command_table *const command_tables[] = {
    &session_commands, &statement_commands, &filter_statements, &show_net_commands,
    &route_commands,   &filter_commands,    &explain_commands,  &show_memory_commands,
    &action_commands,  &machine_commands,
};

static void start_machine(unsigned protocol, uint64_t information)
{
    com1_init();
    cpu_init();
    boot_phase_start(boot_first_cycles);
    loader_read(&boot, protocol, information);
    panic_set_test(boot_option_is(&boot, "test", ""));

    boot_phase("memory");
    const struct memory_hole holes[] = {
        { (uint64_t)image_start - BOOT_IMAGE_OFFSET, (uint64_t)(image_end - image_start) },
        { paging_ram_end(), UINT64_MAX - paging_ram_end() },
    };
    memory_init(&boot, holes, ARRAY_COUNT(holes), (void *)BOOT_DIRECT_MAP, BOOT_MAPPED_BYTES);
    paging_init(&boot);

    boot_phase("acpi");
    acpi_init(&boot, paging_firmware, NULL);
    pci_config_init(acpi_get());

    boot_phase("clock");
    clock_init(boot_first_cycles);

    boot_phase("interrupts");
    smp_init_boot_core();
    pins_init();
    random_init(&boot);
    acpi_power_button_enable();

    boot_phase("cores");
    smp_start(&boot);
}

static unsigned start_devices(void)
{
    boot_phase("consoles");
    consoles_create(&boot);

    boot_phase("pci");
    pci_scan(&pci);
    show_machine_init(&boot, &pci);
    file_init(&boot);

    boot_phase("cards");
    return pci_probe_nics(&pci, nics, PORT_MAX);
}

static void start_router(unsigned nic_count)
{
    boot_phase("router");
    router = router_create(&(struct router_setup){
        .core_count = core_count(),
        .nics = nics,
        .nic_count = nic_count,
        .now_ns = clock_ns(),
    });
    CHECK(router != NULL);

    boot_phase("shell");
    shell = shell_create(&(struct shell_setup){
        .router = router,
        .commands = { .tables = command_tables,
                      .table_count = ARRAY_COUNT(command_tables),
                      .test = boot_option_is(&boot, "test", "") },
        .check = control_check,
        .commit = control_commit,
    });
    CHECK(shell != NULL);
}

/* `system watchdog TIME`: a stall of that long, and any other panic, restarts the machine. */
static void follow_watchdog(uint32_t watchdog_s)
{
    sleep_set_watchdog(watchdog_s > 0 ? watchdog_s : WATCHDOG_TICKS);
    panic_set_restart(watchdog_s > 0);
}

/* A text that is refused leaves the built-in configuration, and a console that says why. */
static void start_configuration(void)
{
    struct start_config text;
    struct problem problem;

    boot_phase("configuration");
    enum error error = start_config_find(&boot, &text);
    if (error == ERROR_NOT_FOUND)
        return;
    if (error != OK) {
        consoles_print("configuration from the %s: error: %s\r\n", text.source, error_text(error));
    } else if (shell_load(shell, text.text, text.length_bytes, &problem) != OK) {
        char place[32] = "";
        if (problem.line > 0) /* else it is about the whole */
            text_format(place, sizeof(place), ", line %u", problem.line);
        consoles_print("configuration from the %s%s: error: %s\r\n"
                       "nothing of it is in force\r\n",
                       text.source, place, problem.text);
        log_error("config", "%s%s: %s", text.source, place, problem.text);
    }
    start_config_free(&text);
}

/* What the control coroutine does, over and over. */
static void control_work(void *context, uint64_t now_ns)
{
    (void)context;
    shell_work(shell, now_ns);
    follow_watchdog(router->config->watchdog_s);
    if (acpi_power_button_pressed()) {
        log_info("acpi", "power button pressed: powering off");
        platform_power_off();
    }
}

static void enter_core_loop(void *core)
{
    core_loop(core);
}

_Noreturn void kernel_main(unsigned protocol, uint64_t information)
{
    start_machine(protocol, information);
    unsigned nic_count = start_devices();
    start_router(nic_count);
    start_configuration();
    follow_watchdog(router->config->watchdog_s);
    selftest_run(&boot);

    router->control_work = control_work;
    for (unsigned i = 1; i < core_count(); i++)
        core_start(i, enter_core_loop, router->cores[i]);
    boot_phase_end();

    uint64_t ready_us = clock_ns() / NS_PER_US;
    consoles_print("ready: %u.%u ms, %u cores, %u interfaces\r\n", (unsigned)(ready_us / 1000),
                   (unsigned)(ready_us / 100 % 10), core_count(), nic_count);
    consoles_open_sessions(shell);
    core_loop(router->cores[CONTROL_CORE]);
}
