"""Goal: the router boots in every way and on every size of machine it promises, and ends as it is told. Method: QEMU's
machines, firmwares and monitor."""
import os
import re
import shutil
import struct
import tempfile
from datetime import datetime
from pathlib import Path

from cases import Skip, matrix
from debugger import Debugger
from lab import KERNEL, TREE, Lab, expect, expect_equal, run, wait_until

TEXT_CONFIG = "system name lab\nip eth0 address 10.1.0.1/24\n"


@matrix(cores=[1, 2, 4], machine=["q35", "pc"])
def test_boots_with_kernel_option(cores, machine):
    with Lab() as lab:
        router = lab.router([None, None], cores=cores, machine=machine)
        expect_equal(router.ready[1:], (cores, 2), "cores and interfaces")
        expect("tsuji" in router.command("show version"), "show version does not say who it is")


@matrix(cpu=["qemu64", "max"])
def test_boots_on_processor(cpu):
    with Lab() as lab:
        lab.router([None], cores=2, cpu=cpu)


@matrix(boot=["iso-bios", "iso-uefi"])
def test_boots_from_iso(boot):
    with Lab() as lab:
        router = lab.router([None, None], cores=2, memory_mib=256, boot=boot, vga="std", wait=False)
        router.balanced = True
        router.wait_ready(limit_s=60)
        expect_equal(router.ready[1:], (2, 2), "cores and interfaces")
        expect_equal(router.show("boot")["rejected"], 0, "what the loader told wrongly")


@matrix(machine=["q35", "q35,hpet=off", "q35,hpet=off,pit=off"])
def test_finds_a_clock_to_measure_the_tsc_against(machine):
    """No processor of QEMU's tells the rate of its TSC."""
    sources = {"q35": "hpet", "q35,hpet=off": "pit", "q35,hpet=off,pit=off": "acpi-pm"}
    with Lab() as lab:
        boot = lab.router([None], machine=machine).show("boot")
        expect_equal(boot["tsc_source"], sources[machine], "what the TSC was measured against")


def test_shows_the_calendar_clock_as_utc():
    base = "2031-02-03T04:05:06"
    with Lab() as lab:
        version = lab.router([None], extra=("-rtc", f"base={base}")).show("version")
        for field in ("time", "booted"):
            passed = datetime.fromisoformat(version[field]) - datetime.fromisoformat(base + "Z")
            # Later than QEMU began, and not later than this test may take.
            expect(-1 <= passed.total_seconds() <= 120, f"{field} is", version[field])


PRESENT, WRITABLE, LARGE, NO_EXECUTE = 1, 1 << 1, 1 << 7, 1 << 63
PAGE, HUGE = 1 << 12, 1 << 30
CODE_BASE = 0xFFFFC0000000  # without its sign


def mapped_pages(router):
    """Address, size, physical address, writable?, executable? of every page, by the page tables themselves. Intel SDM
    volume 3, 4.5.4; 4.6.1: a right is there only where each level gives it."""
    registers = router.qmp("human-monitor-command", **{"command-line": "info registers"})
    root = int(re.search(r"CR3=([0-9a-f]+)", registers).group(1), 16)

    def walk(table, base, size, writable, executable):
        for index, entry in enumerate(struct.unpack("<512Q", router.physical_memory(table, PAGE))):
            if not entry & PRESENT:
                continue
            address = base + index * size
            physical = entry & 0xFFFFFFFFFF000 & ~(PAGE if size > PAGE and entry & LARGE else 0)
            rights = writable and bool(entry & WRITABLE), executable and not entry & NO_EXECUTE
            if size == PAGE or entry & LARGE:
                yield address, size, physical, *rights
            else:
                yield from walk(physical, address, size >> 9, *rights)

    yield from walk(root & 0xFFFFFFFFFF000, 0, 1 << 39, True, True)


def test_nothing_is_writable_and_executable():
    """No page is both, and no RAM is one at this address and the other at that."""
    with Lab() as lab:
        router = lab.router([None, None], cores=2)
        pages = list(mapped_pages(router))
        expect((CODE_BASE, True) in {(page[0], page[4]) for page in pages}, "no place for code")
        for address, size, physical, writable, executable in pages:
            if not executable:
                continue
            expect(not writable, "writable and executable:", hex(address))
            for other, other_size, other_physical, other_writable, _ in pages:
                apart = physical + size <= other_physical or other_physical + other_size <= physical
                expect(apart or not other_writable, f"executable at {address:x}, writable at {other:x}")


@matrix(memory_mib=[64, 8192])
def test_boots_with_memory(memory_mib):
    """The small one on the processor with the fewest features, the large one on that with the most."""
    if memory_mib > 1024:
        with open("/proc/meminfo", encoding="ascii") as meminfo:
            free_kib = int(re.search(r"MemAvailable:\s+(\d+)", meminfo.read()).group(1))
        if free_kib < (memory_mib + 2048) * 1024:
            raise Skip("this machine has less than 10 GiB of free memory")
    with Lab() as lab:
        router = lab.router([None, None], cores=2, memory_mib=memory_mib, cpu="max" if memory_mib > 1024 else "qemu64")
        total_mib = router.show("memory pages")["total_bytes"] / (1 << 20)
        expect(memory_mib * 0.9 - 16 < total_mib <= memory_mib, f"of {memory_mib} MiB it knows {total_mib:.0f}")
        # QEMU's q35 has 2 GiB of RAM below its devices, in pieces, and the rest as a whole from 4 GiB on.
        expect_equal(sum(size == HUGE for _, size, *_ in mapped_pages(router)), max(0, memory_mib // 1024 - 2), "pages of 1 GiB")
        memory = router.show("memory")
        expect_equal(memory["heap"]["corruptions"], 0, "corruptions")
        for pool in memory["packets"]:
            expect(pool["total"] > 0, f"core {pool['core']} has no packets")


def test_boots_without_cards_or_screen():
    with Lab() as lab:
        expect_equal(lab.router([], vga="none").ready[2], 0, "interfaces")


def test_cards_behind_bridges_and_unknown_ones_are_listed():
    """e1000 behind a PCI bridge, whose pin goes through it; virtio-net behind a PCI Express port; a card that nobody
    drives."""
    bridges = ["-device", "pci-bridge,id=bridge,chassis_nr=1", "-device", "pcie-root-port,id=express,chassis=2"]
    cards = ["-netdev", "hubport,id=near,hubid=1", "-netdev", "hubport,id=far,hubid=2",
             "-device", "rtl8139,netdev=near,romfile=", "-device", "virtio-net-pci,netdev=far,bus=express,romfile="]
    with Lab() as lab:
        host = lab.host("h1", "10.1.0.2/24")
        router = lab.router([host], nic="e1000,bus=bridge,addr=3", extra=bridges + cards)
        expect_equal(router.ready[2], 2, "interfaces")
        devices = {device["id"]: device for device in router.show("pci")["devices"]}
        for identity, driver in (("8086:100e", "e1000"), ("1af4:1041", "virtio-net")):
            expect_equal(devices[identity]["driver"], driver, f"driver of {identity}")
            expect(not devices[identity]["address"].startswith("0000:00:"), devices[identity], "is behind no bridge")
        unknown = devices["10ec:8139"]
        expect_equal((unknown["class"], unknown["driver"]), ("ethernet", None), "class and driver of the unknown card")
        mine = next(interface for interface in router.show("interfaces")["interfaces"]
                    if interface["mac"] == "52:54:00:00:00:01")
        expect_equal(mine["polled"], False, "the card behind the bridge is polled")
        router.configure(f"ip {mine['name']} address 10.1.0.1/24")
        wait_until(lambda: host.ping("10.1.0.1", count=1), 10, "the card behind the bridge to answer")


def test_boots_with_sixteen_cores():
    with Lab() as lab:
        router = lab.router([None], cores=16, memory_mib=256)
        expect_equal(router.ready[1], 16, "cores")
        stacks = {stack["stack"]: stack for stack in router.show("memory stacks")["stacks"]}
        for name in [f"core {number}" for number in range(16)] + ["coroutine"]:
            expect(0 < stacks[name]["most_used_bytes"] < stacks[name]["size_bytes"], "high-water mark of", stacks[name])


def test_core_that_comes_late_stays_out():
    """The third is held by the debugger until the router goes on without it; then it finds its place withdrawn, and
    comes neither to its stack nor to any other memory that somebody else has by now."""
    with Lab() as lab:
        debugger = Debugger(lab)
        router = lab.router([None], cores=3, extra=debugger.arguments, wait=False)
        router.balanced = True
        debugger.attach()
        # Not earlier: the firmware wants all of them.
        debugger.breakpoint("kernel_main")
        debugger.go()
        expect_equal(debugger.stopped(), (0, "kernel_main"), "processor and place")
        debugger.breakpoint("kernel_main", there=False)
        debugger.go(0, 1)
        expect_equal(router.wait_ready()[1], 2, "cores")
        expect(re.search(r"APIC id 2 did not start", router.command("show log")), "the log does not name it")
        debugger.pause()
        for place in ("core_main", "core_refused"):
            debugger.breakpoint(place)
        debugger.go()
        expect_equal(debugger.stopped(), (2, "core_refused"), "processor and place")
        debugger.breakpoint("core_refused", there=False)
        debugger.go()
        expect_equal([core["core"] for core in router.show("cores")["cores"]], [0, 1], "cores")


@matrix(words=["", "cores=3"])
def test_says_which_cores_it_has_no_room_for(words):
    """CORE_MAX is 64. Not where the operator wants fewer."""
    with Lab() as lab:
        router = lab.router([], cores=66, memory_mib=512, words=words)
        expect_equal(router.ready[1], 3 if words else 64, "cores")
        told = re.search(r"of 66 cores the first 64 are started", router.command("show log"))
        expect_equal(told is not None, not words, "told that cores stay parked")


def test_command_line_limits_cores():
    with Lab() as lab:
        expect_equal(lab.router([None], cores=4, words="cores=2").ready[1], 2, "cores")


def test_configuration_from_initrd():
    with Lab() as lab:
        router = lab.router([None], config=TEXT_CONFIG)
        expect_equal(router.show("interfaces")["interfaces"] != [], True)
        expect("10.1.0.1/24" in router.interface("eth0")["addresses"], "address not configured")
        expect("ip eth0 address 10.1.0.1/24" in router.command("show configuration"), "not in the configuration")


def test_configuration_from_fw_cfg():
    with Lab() as lab:
        router = lab.router([None], memory_mib=256, config=TEXT_CONFIG, boot="iso-bios", vga="none")
        expect_equal(router.show("boot")["rejected"], 0, "what the loader told wrongly, without a screen")
        expect("10.1.0.1/24" in router.interface("eth0")["addresses"], "address not configured")


def test_image_has_the_configuration_it_was_made_with_and_no_older_one():
    """In a folder of its own, around the kernel that is there."""
    with Lab() as lab:
        out = Path(tempfile.mkdtemp(prefix=f"tsuji-image-{os.getpid()}-"))
        lab.undo.callback(shutil.rmtree, out, True)
        shutil.copy(KERNEL, out)
        iso = out / "tsuji.iso"

        def make_image(text):
            (out / "wanted").write_text(text or "")
            run("make", "-C", str(TREE), "-o", str(out / "tsuji.elf"), f"OUT={out}", "image",
                *([f"CONFIG={out}/wanted"] if text else []), limit_s=60)
            return iso.read_bytes()

        expect(b"10.6.0.1/24" in make_image("ip eth0 address 10.6.0.1/24\n"), "CONFIG is not in the image")
        router = lab.router([None], memory_mib=256, boot="iso-bios", iso=iso)
        expect_equal(router.interface("eth0")["addresses"], ["10.6.0.1/24"], "addresses")
        image = make_image("ip eth0 address 10.7.0.1/24\n")
        expect((b"10.6.0.1" in image, b"10.7.0.1" in image) == (False, True), "another text under the same name")
        expect(b"10.7.0.1" not in make_image(None), "the image without CONFIG has that of the one before")
        made = iso.stat().st_mtime_ns
        make_image(None)
        expect_equal(iso.stat().st_mtime_ns, made, "made again for nothing, at")


def test_bad_configuration_names_the_line_and_applies_nothing():
    with Lab() as lab:
        router = lab.router([None], config=TEXT_CONFIG + "ip eth0 adress 10.9.0.1/24\n")
        expect(re.search(r"line 3\b", router.console.all + router.command("show log")), "line 3 is not named")
        expect_equal(router.interface("eth0")["addresses"], [], "addresses")


def test_power_button_interrupts_and_halts():
    with Lab() as lab:
        router = lab.router([None], cores=2)
        expect("only looked at" not in router.command("show log"), "the power button does not interrupt")
        router.qmp("system_powerdown")
        expect_equal(router.wait_end(), 0, "QEMU's status")


def test_halt_powers_off():
    with Lab() as lab:
        router = lab.router([None], cores=2)
        router.send("halt")
        expect_equal(router.wait_end(), 0, "QEMU's status")


# By the reset register alone; by the keyboard controller alone; by neither, which leaves the triple fault.
@matrix(machine=["q35,i8042=off", "pc", "pc,i8042=off"])
def test_reboot_restarts(machine):
    with Lab() as lab:
        log = Path(tempfile.mkdtemp(prefix=f"tsuji-reset-{os.getpid()}-")) / "log"
        lab.undo.callback(shutil.rmtree, log.parent, True)
        router = lab.router([None], cores=2, machine=machine, extra=("-d", "cpu_reset", "-D", str(log)))
        expect_equal(router.show("acpi")["reset_register"], machine.startswith("q35"), "reset register")
        router.send("reboot")
        expect_equal(router.wait_end(), 0, "QEMU's status")  # -no-reboot: a reset ends it
        router.monitor.receive(0.5)
        expect('"guest-reset"' in router.monitor.all or '"RESET"' in router.monitor.all, "no reset seen")
        expect_equal("Triple fault" in log.read_text(), machine == "pc,i8042=off", "by a triple fault")


def test_exit_gives_its_status():
    with Lab() as lab:
        router = lab.router([None])
        router.send("exit 5")
        expect_equal(router.wait_end(), 11, "QEMU's status")



def test_temporary_files_are_removed():
    with Lab() as lab:
        folder = lab.router([None]).folder
        expect(os.path.isdir(folder), "no folder while running")
    expect(not os.path.exists(folder), "left behind:", folder)
