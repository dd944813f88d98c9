#!/usr/bin/python3
"""How fast the router starts, how little it idles, how small it is.

Boots build/tsuji.elf in QEMU without KVM, two virtio-net ports, two cores. Times are CPU seconds of the whole QEMU
process (all its threads), best of RUNS, because these machines are shared: wall time says more about the neighbours.
"""
import os
import re
import select
import subprocess
import sys
import time

RUNS = 5
IDLE_SECONDS = 10
BOOT_TIMEOUT_S = 30
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KERNEL = os.path.join(ROOT, "build", "tsuji.elf")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of all threads, from schedstat (ns) where there is one, else from stat (ticks)."""
    total_ns = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total_ns += int(file.read().split()[0])
        return total_ns / 1e9
    except FileNotFoundError:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def start(nic):
    ports = []
    for name in ("a", "b"):
        ports += ["-netdev", f"hubport,id={name},hubid=0", "-device", f"{nic},netdev={name}"]
    return subprocess.Popen(
        ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "256", "-nodefaults",
         "-display", "none", "-serial", "stdio", "-kernel", KERNEL] + ports,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def read_until(process, pattern, timeout_s):
    text, deadline = "", time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.05)[0]:
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                break
            text += chunk.decode("latin-1")
            found = re.search(pattern, text)
            if found:
                return found
    raise SystemExit(f"no {pattern!r} within {timeout_s} s; the console said:\n{text}")


def boot_once(nic):
    process = start(nic)
    try:
        began = time.monotonic()
        ready = read_until(process, r"ready: ([\d.]+) ms", BOOT_TIMEOUT_S)
        return cpu_seconds(process.pid), time.monotonic() - began, float(ready.group(1))
    finally:
        process.kill()
        process.wait()


def idle_share(nic):
    process = start(nic)
    try:
        read_until(process, r"ready: ", BOOT_TIMEOUT_S)
        time.sleep(3)
        before, began = cpu_seconds(process.pid), time.monotonic()
        time.sleep(IDLE_SECONDS)
        return 100 * (cpu_seconds(process.pid) - before) / (time.monotonic() - began)
    finally:
        process.kill()
        process.wait()


def main():
    for nic in ("virtio-net-pci", "e1000"):
        runs = [boot_once(nic) for _ in range(RUNS)]
        print(f"boot {nic}: QEMU CPU s to ready: best {min(r[0] for r in runs):.3f} of {RUNS} "
              f"(wall {min(r[1] for r in runs):.3f}); kernel's own part, ms: best {min(r[2] for r in runs):.1f}")
        print(f"idle {nic}: {idle_share(nic):.2f} % of a core")
    print(f"size build/tsuji.elf: {os.path.getsize(KERNEL)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
