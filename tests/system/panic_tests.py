"""Goal: our own mistakes are caught and told so that they can be found. Method: deliberate ones, by the boot word
`selftest=` of kernel/selftest.c and by commands; the console's text and QEMU's status."""
import re

from cases import matrix
from lab import DEBUG_KERNEL, PANIC_STATUS, Lab, expect, expect_equal, wait_until

# Self-test -> cause in words, functions that the backtrace names from the innermost out.
PANICS = {
    "write-text": (r"write to 0x\w+", ["write_text", "selftest_run", "kernel_main"]),
    "write-constant": (r"write to 0x\w+", ["write_constant", "selftest_run", "kernel_main"]),
    "write-alias": (r"write to 0x\w+", ["alias", "selftest_run", "kernel_main"]),
    "map-text": (r"mmio_map\(.* != NULL", ["selftest_map_text", "selftest_run", "kernel_main"]),
    "exec-data": (r"execution at 0x\w+", ["selftest_run", "kernel_main"]),
    "write-code": (r"write to 0xffffffffc0000000", ["write_code", "selftest_run", "kernel_main"]),
    "write-code-alias": (r"write to 0xffff8", ["write_code_alias", "selftest_run", "kernel_main"]),
    "write-code-window": (r"write to 0xffffe00000000000", ["write_code_window", "selftest_run", "kernel_main"]),
    "map-code": (r"mmio_map\(.* != NULL", ["selftest_map_code", "selftest_run", "kernel_main"]),
    "exec-unsealed": (r"execution at 0xffff8", ["selftest_run", "kernel_main"]),
    "exec-early": (r"breakpoint[^$]*rip ffffffffc0000001", ["selftest_run", "kernel_main"]),
    "exec-freed": (r"breakpoint[^$]*rip ffffffffc0000001", ["selftest_run", "kernel_main"]),
    "null": (r"null pointer: write to 0x8", ["selftest_null", "selftest_run", "kernel_main"]),
    "stack-overflow": (r"stack overflow", ["selftest_stack_overflow", "selftest_run", "kernel_main"]),
    "coroutine-overflow": (r"stack overflow", ["selftest_stack_overflow"]),
    "panic": (r"core_count\(\) == 0", ["selftest_panic", "selftest_run", "kernel_main"]),
    "divide": (r"divi", ["selftest_divide", "selftest_run", "kernel_main"]),
    "other-core": (r"panic on core 1", ["selftest_panic", "core_main"]),
    "stall": (r"watchdog|no progress", ["selftest_stall", "selftest_run", "kernel_main"]),
    "deaf": (r"watchdog: .* interrupts are off", ["selftest_stall", "selftest_run", "kernel_main"]),
}


@matrix(mistake=list(PANICS))
def test_panic_names_cause_and_functions(mistake):
    cause, functions = PANICS[mistake]
    with Lab() as lab:
        router = lab.router([], cores=2, words=f"selftest={mistake}", wait=False)
        expect_equal(router.wait_end(40), PANIC_STATUS, "QEMU's status after a panic")
        _, panic, text = router.console.all.partition("panic on core")
        expect(panic, "no panic")
        expect(re.search(cause, panic + text), f"the cause is not named {cause!r}")
        expect("rip" in text, "no registers")
        backtrace = text[text.index("backtrace:"):].split("core ")[0] if mistake not in ("stall", "deaf") else text
        places = [backtrace.find(function) for function in functions]
        expect(-1 not in places and places == sorted(places), f"the backtrace does not name {functions}")
        panicking = int(re.match(r" (\d):", text).group(1))
        expect(re.search(rf"^core {1 - panicking} was at:\n  [0-9a-f]{{16}} \w+\+0x", text, re.MULTILINE),
               "the other core's place is not named")
        # The self-test leaves an event before it begins; a CHECK that fails leaves one on its own core.
        events = dict(re.findall(r"^last events of core (\d):\n((?:  .*\n)+)", text, re.MULTILINE))
        expect(re.search(r"us ago  selftest 0x", events.get("0", "")), "core 0 has no events:", events)
        if mistake in ("panic", "other-core"):
            expect(re.search(r"us ago  core_count\(\) == 0 .* kernel/selftest\.c:\d+", events.get(str(panicking), "")),
                   "the core that panics has no events:", events)


def test_memory_for_code_holds_what_it_is_given():
    """Filled with functions to the last, of which those that stay are as they were; then given back, all of it."""
    with Lab() as lab:
        router = lab.router([None], words="selftest=code")
        expect(re.search(r"code: \d{4} pieces", router.command("show log")), "the self-test did not get to its end")
        tags = {tag["tag"]: tag["live"] for tag in router.show("memory")["tags"]}
        expect_equal(tags.get("code", 0), 0, "pieces of code that are left")


@matrix(mistake=["panic", "other-core"])
def test_protections_of_the_processor_are_on(mistake):
    """As the panic shows the control registers of its core. Intel SDM volume 3, 2.5."""
    wanted = {"cr0": {"WP": 16}, "cr4": {"UMIP": 11, "SMEP": 20, "SMAP": 21}}
    with Lab() as lab:
        router = lab.router([], cores=2, cpu="max", words=f"selftest={mistake}", wait=False)
        expect_equal(router.wait_end(40), PANIC_STATUS, "QEMU's status after a panic")
        for register, bits in wanted.items():
            value = int(re.search(rf"\b{register} ([0-9a-f]{{16}})", router.console.all).group(1), 16)
            for name, bit in bits.items():
                expect(value >> bit & 1, f"{register}.{name} is off: {value:x}")


def test_watchdog_follows_the_configuration():
    with Lab() as lab:
        router = lab.router([], words="selftest=stall", config="system watchdog 2s\n", wait=False)
        expect_equal(router.wait_end(8), PANIC_STATUS, "QEMU's status after a panic")
        expect("watchdog" in router.console.all, "the watchdog is not named")
        expect("restarting" in router.console.all, "the machine would not be restarted")


@matrix(mistake=["double-free", "overrun", "use-after-free"])
def test_debug_allocator_catches(mistake):
    with Lab() as lab:
        router = lab.router([None], kernel=DEBUG_KERNEL, memory_mib=256)
        log = router.command(f"selftest {mistake}") + router.command("show log")
        words = {"double-free": "double free", "overrun": "overrun", "use-after-free": "use after free"}
        expect(words[mistake] in log.lower(), f"not reported:\n{log}")
        expect(".c:" in log, "the report names no place in the source")


def test_debug_allocator_lists_leaks():
    with Lab() as lab:
        router = lab.router([None], kernel=DEBUG_KERNEL, memory_mib=256)
        before = router.show("memory")["heap"]["live"]
        router.command("selftest leak")
        wait_until(lambda: router.show("memory")["heap"]["live"] > before, 5, "the leak in show memory")
        expect("selftest" in router.command("show memory leaks"), "the leak is not listed with its place")
