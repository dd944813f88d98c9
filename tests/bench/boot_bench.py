#!/usr/bin/python3
"""How fast the router starts, how little it idles, how small it is.

Boots build/tsuji.elf in QEMU without KVM, two virtio-net ports, two cores. Times are CPU seconds of the whole QEMU
process (all its threads), best of RUNS, because these machines are shared: wall time says more about the neighbours.
Once more with the full table of TSUJI_DATA (default ../shared/data) in its configuration, and 512 MiB.
"""
import gzip
import os
import re
import select
import subprocess
import sys
import tempfile
import time

RUNS = 5
IDLE_SECONDS = 10
BOOT_TIMEOUT_S = 30
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KERNEL = os.path.join(ROOT, "build", "tsuji.elf")
TABLE = os.path.join(os.environ.get("TSUJI_DATA", os.path.join(ROOT, "../shared/data")), "dfz-2023-02-v4.txt.gz")
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


def start(nic, memory_mib=256, more=()):
    ports = []
    for name in ("a", "b"):
        ports += ["-netdev", f"hubport,id={name},hubid=0", "-device", f"{nic},netdev={name}"]
    return subprocess.Popen(
        ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", str(memory_mib), "-nodefaults",
         "-display", "none", "-serial", "stdio", "-kernel", KERNEL, *more] + ports,
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


def boot_once(nic, *how):
    process = start(nic, *how)
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


def table_files(folder):
    """QEMU's options for a configuration with the full table."""
    with gzip.open(TABLE, "rt") as lines, open(f"{folder}/full", "w", encoding="ascii") as full:
        for line in lines:
            prefix, number = line.split()
            full.write(f"{prefix} 10.{int(number) % 2}.0.{10 + int(number)}\n")
    with open(f"{folder}/config", "w", encoding="ascii") as config:
        config.write("ip eth0 address 10.0.0.1/24\nip eth1 address 10.1.0.1/24\nip route file full\n")
    return [word for name in ("config", "full") for word in ("-fw_cfg", f"name=opt/tsuji/{name},file={folder}/{name}")]


def report_boots(what, runs):
    print(f"boot {what}: QEMU CPU s to ready: best {min(r[0] for r in runs):.3f} of {RUNS} "
          f"(wall {min(r[1] for r in runs):.3f}); kernel's own part, ms: best {min(r[2] for r in runs):.1f}")


def main():
    for nic in ("virtio-net-pci", "e1000"):
        report_boots(nic, [boot_once(nic) for _ in range(RUNS)])
        print(f"idle {nic}: {idle_share(nic):.2f} % of a core")
    if os.path.exists(TABLE):
        with tempfile.TemporaryDirectory() as folder:
            files = table_files(folder)
            report_boots("virtio-net-pci, full table", [boot_once("virtio-net-pci", 512, files) for _ in range(RUNS)])
    else:
        print(f"skipped: the full table: no {TABLE} (set TSUJI_DATA)")
    print(f"size build/tsuji.elf: {os.path.getsize(KERNEL)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
